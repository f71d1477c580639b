"""The trust region: inference as a step of the loss in the hidden errors, for any radius."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from ..inference import activities_from_errors
from ..landscape import EquilibratedEnergy, MSELoss
from ..model import Data, feedforward
from ..plotting import COLOURS, Ground, Scale, Stage, common_levels
from ..trust_region import cosines, gauss_newton_step, implied_radius, trust_region_step
from ._problems import given
from ._scene import Control, Scene, Slider

__all__ = ["TrustRegion"]

RADII = np.concatenate([[0.0], np.logspace(-2, 1.5, 48)])
"""Multiples of the radius of inference at which the curves are computed."""

DONE = 1e-20
"""Part of the data's square below which the loss that is left counts as zero."""


class TrustRegion(Scene):
    """From backprop to Gauss-Newton by one radius, with predictive coding between.

    Parameters
    ----------
    net : LinearPCN or torch.nn.Module, optional
        With a hidden layer; by default a toy problem.
    data : Data, optional
        By default the answers of a random linear teacher.
    **settings
        Of `CONTROLS`: `radius`, the logarithm to base ten of the radius over the one that inference implies
        (0 is predictive coding); `sample`.

    Raises
    ------
    ValueError
        If there is no hidden layer, or inference moves nothing, as at zero weights.

    Examples
    --------
    >>> from pctheory import LinearPCN
    >>> TrustRegion(LinearPCN([[[2.0]], [[3.0]]]), Data([[1.0]], [[7.0]])).note
    'radius 1 of inference: loss left 0.005 of 0.5; to backprop 3.79 degrees, to PC 0, to Gauss-Newton 3.79.'
    """

    CONTROLS: ClassVar[dict[str, Control]] = {
        "radius": Slider("log10 of the radius", -2.0, 1.5, 0.01, 0.0),
        "sample": Slider("sample", 0, 15, 1, 0),
    }

    def __init__(self, net: Any = None, data: Data | None = None, **settings: Any) -> None:
        self.net, self.data = given(net, data, "random network")
        if self.net.depth < 2:
            raise ValueError("`net` must have a hidden layer: its errors are what moves. Got none.")
        self.implied = implied_radius(self.net, self.data)
        if not np.all(self.implied > 0):
            raise ValueError(
                "`net` must let some of the output's error through to its hidden layers. Got a sample for "
                "which inference moves nothing: take weights that are not zero."
            )
        down = {
            "backprop": [-g for g in MSELoss(self.data).gradient(self.net)],
            "PC": [-g for g in EquilibratedEnergy(self.data).gradient(self.net)],
            "Gauss-Newton": gauss_newton_step(self.net, self.data),
        }
        self.references = {name: tuple(np.asarray(part) for part in parts) for name, parts in down.items()}
        found = [self._at(multiple) for multiple in RADII]
        self.left = np.array([left for left, _ in found])
        self.angles = {name: np.array([angles[name] for _, angles in found]) for name in down}
        super().__init__(Stage(10.4, 3.0), settings)

    def _at(self, multiple: float) -> tuple[float, dict[str, float]]:
        """The loss that a step of a radius leaves, and the angles of its gradient, in degrees."""
        step = trust_region_step(self.net, self.data, multiple * self.implied)
        gradient = tuple(-g for g in step.gradient())
        left = 0.5 * np.mean(np.sum(self.net.precisions[-1].whiten(step.errors[-1]) ** 2, axis=1))
        found: dict[str, Any] = cosines(self.references, gradient)
        if left < DONE * np.mean(np.sum(self.data.y**2, axis=1)):
            found = dict.fromkeys(found, np.nan)  # nothing is left, whose gradient is rounding
        return float(left), {
            name: float(np.degrees(np.arccos(np.clip(value, -1.0, 1.0)))) for name, value in found.items()
        }

    def _build(self) -> None:
        self.plane, self.curve, self.turn = self.stage.figure.subplots(1, 3)
        self.ground, self.scale = Ground(self.stage, self.plane), Scale(self.stage, self.plane)
        self.plane.set_title("the loss of one sample in its hidden errors")
        self.plane.set_box_aspect(1)
        self.way = self.stage.add(self.plane.plot([], [], color=COLOURS["ink"], lw=1.2)[0])
        self.circle = self.stage.add(self.plane.plot([], [], color=COLOURS["trust-region"], lw=1.2)[0])
        self.marks = {
            name: self.stage.add(self.plane.plot([], [], "o", color=COLOURS[role], mec="white", ms=6)[0])
            for name, role in (("bp", "bp"), ("pc", "pc"), ("gauss-newton", "gauss-newton"))
        }
        self.here = self.stage.add(self.plane.plot([], [], "o", mfc="none", mec=COLOURS["ink"], ms=9)[0])
        logs = np.log10(RADII[1:])
        self.curve.plot(logs, self.left[1:], color=COLOURS["theory"], lw=1.2)
        top = 1.08 * float(self.left[0]) or 1.0
        self.curve.set(xlim=(-2, 1.5), ylim=(0, top), xlabel="log10 of the radius / that of inference")
        self.curve.set_title("the loss that is left")
        for name, role in (("backprop", "bp"), ("PC", "pc"), ("Gauss-Newton", "gauss-newton")):
            self.turn.plot(logs, self.angles[name][1:], color=COLOURS[role], lw=1.2, label=f"to {name}")
        self.turn.set(xlim=(-2, 1.5), ylim=(-2, 95), xlabel="log10 of the radius / that of inference")
        self.turn.set_title("angle of the update of the weights, degrees")
        self.turn.legend(loc="upper right", fontsize=7)
        self.lines = [
            self.stage.add(ax.axvline(0.0, color=COLOURS["trust-region"], lw=1.0))
            for ax in (self.curve, self.turn)
        ]

    def _update(self) -> None:
        now = self.settings
        sample = min(now["sample"], len(self.implied) - 1)
        self._keep("ground", sample, lambda: self._ground(sample))
        multiple = 10 ** now["radius"]
        step = trust_region_step(self.net, self.data, multiple * self.implied)
        spot = self._whitened(step, sample) @ self._axes.T / self._extent
        self.here.set_data(spot[:1], spot[1:])
        radius = min(float(step.radius[sample]), 1e6) / self._extent
        angle = np.linspace(0, 2 * np.pi, 97)
        self.circle.set_data(radius * np.cos(angle), radius * np.sin(angle))
        for line in self.lines:
            line.set_xdata([now["radius"]] * 2)
        left, angles = self._keep("said", now["radius"], lambda: self._at(multiple))
        self.note = (
            f"radius {multiple:.3g} of inference: loss left {left:.3g} of {self.left[0]:.3g}; to backprop "
            f"{angles['backprop']:.3g} degrees, to PC {round(angles['PC'], 4):.3g}, to Gauss-Newton "
            f"{angles['Gauss-Newton']:.3g}."
        )

    def _whitened(self, step: Any, sample: int) -> np.ndarray:
        """The hidden errors of a sample in whitened coordinates, side by side."""
        parts = [
            p.whiten(e[sample : sample + 1])
            for p, e in zip(self.net.precisions[:-1], step.errors[:-1], strict=True)
        ]
        return np.concatenate(parts, axis=1)[0]

    def _ground(self, sample: int) -> None:
        """The loss of a sample on the plane of the first and the last step, and the steps between."""
        radii = [*(multiple * self.implied for multiple in RADII[1:]), np.inf]
        steps = [trust_region_step(self.net, self.data, radius) for radius in radii]
        ways = np.stack([self._whitened(step, sample) for step in steps])
        first = ways[0] / max(float(np.linalg.norm(ways[0])), 1e-300)
        across = ways[-1] - (ways[-1] @ first) * first
        size = float(np.linalg.norm(across))
        if size < 1e-9 * float(np.linalg.norm(ways[-1])):  # one output: all steps lie on a line
            across = np.eye(1, len(first), int(np.argmin(np.abs(first))))[0]
            across = across - (across @ first) * first
            size = max(float(np.linalg.norm(across)), 1e-300)
        self._axes = np.stack([first, across / size])
        self._extent = 1.25 * float(np.linalg.norm(ways[-1])) or 1.0
        points = ways @ self._axes.T / self._extent
        self.way.set_data([0, *points[:, 0]], [0, *points[:, 1]])
        inferred = self._whitened(trust_region_step(self.net, self.data), sample) @ self._axes.T
        for name, spot in (
            ("bp", np.zeros(2)),
            ("pc", inferred / self._extent),
            ("gauss-newton", points[-1]),
        ):
            self.marks[name].set_data(spot[:1], spot[1:])
        self._fill(sample)
        ends = (-self._extent, self._extent)
        self.scale.set(ends, ends, "step of backprop", "across")

    def _fill(self, sample: int) -> None:
        """The prediction is linear in the errors: what the two axes add to it gives the whole plane."""
        edges, last = np.cumsum(self.net.widths[1:-1])[:-1], self.net.precisions[-1]
        units = [
            p.unwhiten(part)
            for p, part in zip(self.net.precisions[:-1], np.split(self._axes, edges, axis=1), strict=True)
        ]
        nothing = np.zeros((2, self.net.widths[0]))
        change = last.whiten(activities_from_errors(self.net, nothing, units)[-1])
        row = slice(sample, sample + 1)
        residual = last.whiten(self.data.y[row] - feedforward(self.net, self.data.x[row])[-1])[0]
        axis = np.linspace(-self._extent, self._extent, 81)
        a, b = np.meshgrid(axis, axis)
        left = residual - a[..., None] * change[0] - b[..., None] * change[1]
        values = 0.5 * np.sum(left**2, axis=-1)
        self.ground.set(values, common_levels([values]))

    def point(self, across: float, up: float, shift: tuple[float, float]) -> dict[str, Any]:
        """A click or a drag: the radius, on the plane by its distance from the middle.

        Returns
        -------
        changes : dict
        """
        found = self.stage.panel_at(across, up)
        if found is None:
            return {}
        if found[0] is not self.plane:
            return {"radius": float(np.clip(found[1], -2, 1.5))}
        sample = min(self.settings["sample"], len(self.implied) - 1)
        length = self._extent * float(np.hypot(found[1], found[2])) / float(self.implied[sample])
        return {"radius": float(np.clip(np.log10(max(length, 1e-2)), -2, 1.5))}
