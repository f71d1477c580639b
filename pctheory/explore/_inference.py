"""Inference: the hidden activities on their way to the minimum of the energy, by several methods."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np

from .. import _check
from ..inference import activities_from_errors, equilibrium, inference_modes, output_products
from ..model import Data, LinearPCN, layer_energies
from ..plotting import COLOURS, Ground, Scale, Stage, common_levels
from ._problems import given
from ._scene import Choice, Control, Scene, Slider

__all__ = ["METHODS", "Descent", "Inference", "descent"]

METHODS = ("gd", "heun", "errors", "newton")
"""Descent on the activities, Heun's method on its flow, descent on the hidden errors, one step of Newton."""

SHADES = {"gd": "pc", "heun": "trust-region", "errors": "sp", "newton": "newton"}

STEPS = 60
"""Iterations that are shown."""


@dataclass(frozen=True, eq=False, repr=False)
class Descent:
    r"""A method of inference on a network and data, mode by mode.

    Attributes
    ----------
    eigenvalues : (n,)
        Of the Hessian in the method's own coordinates.
    amplitudes : (B, n)
        Of the start minus the minimum, along the eigenvectors.
    vectors : (n, n)
        One a row: hidden activities, side by side, of a unit of each mode.
    fixed : (B, n)
        The hidden activities of the equilibrium.
    method : str
    """

    eigenvalues: np.ndarray
    amplitudes: np.ndarray
    vectors: np.ndarray
    fixed: np.ndarray
    method: str

    def factors(self, share: float, steps: int) -> np.ndarray:
        r"""What is left of each mode after 0, ..., `steps` iterations, (steps + 1, n).

        The step is `share` of the edge of stability, :math:`g = 2\,\mathrm{share}/\lambda_{\max}`. One
        iteration multiplies by :math:`1 - u` with :math:`u = g\lambda`, by :math:`1 - u + u^2/2` (Heun), or
        by 0 (Newton).

        Returns
        -------
        factors : (steps + 1, n)
        """
        u = 2 * share * self.eigenvalues / self.eigenvalues[-1]
        once = {"heun": 1 - u + u**2 / 2, "newton": np.zeros_like(u)}.get(self.method, 1 - u)
        return np.asarray(once ** np.arange(steps + 1)[:, None])

    def gaps(self, share: float, steps: int) -> np.ndarray:
        r""":math:`F(z_k) - F^*` after 0, ..., `steps` iterations, (steps + 1,)."""
        weights = 0.5 * self.eigenvalues * np.mean(self.amplitudes**2, axis=0)
        return np.asarray(self.factors(share, steps) ** 2 @ weights)

    def activities(self, share: float, steps: int) -> np.ndarray:
        """Hidden activities of all samples after `steps` iterations, side by side, (B, n)."""
        return np.asarray(self.fixed + (self.amplitudes * self.factors(share, steps)[-1]) @ self.vectors)

    def path(self, share: float, steps: int, sample: int) -> np.ndarray:
        """The way of one sample, (steps + 1, n)."""
        return np.asarray(
            self.fixed[sample] + (self.amplitudes[sample] * self.factors(share, steps)) @ self.vectors
        )


def descent(net: LinearPCN, data: Data, method: str) -> Descent:
    """The modes of a method of inference.

    Parameters
    ----------
    net : LinearPCN
        With a hidden layer.
    data : Data
        What is clamped.
    method : str
        One of `METHODS`.

    Returns
    -------
    Descent

    Examples
    --------
    >>> found = descent(LinearPCN([[[2.0]], [[3.0]]]), Data([[1.0]], [[7.0]]), "gd")
    >>> found.gaps(0.25, 1).round(6)  # half of the mode is left, a quarter of the gap
    array([0.45  , 0.1125])
    """
    _check.choice(method, "method", METHODS)
    modes = inference_modes(net, data)
    if method != "errors":
        return Descent(modes.eigenvalues, modes.amplitudes, modes.vectors, modes.equilibrium, method)
    stack = [
        p.colour(product) for p, product in zip(net.precisions[:-1], output_products(net)[1:-1], strict=True)
    ]
    whitened = net.precisions[-1].whiten(np.concatenate(stack, axis=1).T).T  # G, (n_L, n)
    values, columns = np.linalg.eigh(np.eye(whitened.shape[1]) + whitened.T @ whitened)
    errors = equilibrium(net, data).errors[:-1]
    target = np.concatenate([p.whiten(e) for p, e in zip(net.precisions[:-1], errors, strict=True)], axis=1)
    edges = np.cumsum(net.widths[1:-1])[:-1]
    units = [
        p.unwhiten(part)
        for p, part in zip(net.precisions[:-1], np.split(columns.T, edges, axis=1), strict=True)
    ]
    nothing = np.zeros((len(columns), net.widths[0]))
    moved = np.concatenate(activities_from_errors(net, nothing, units)[1:-1], axis=1)
    return Descent(values, -target @ columns, moved, modes.equilibrium, method)


class Inference(Scene):
    r"""One sample's activities on the energy, the gap by method, the energy of each layer.

    Parameters
    ----------
    net : LinearPCN or torch.nn.Module, optional
        With a hidden layer; by default a toy problem.
    data : Data, optional
        By default the answers of a random linear teacher.
    **settings
        Of `CONTROLS`: `method`; `share`, the step as a part of the edge of stability
        :math:`2/\lambda_{\max}`, above 1 it diverges; `iterations`; `sample`.

    Raises
    ------
    ValueError
        If there is no hidden layer.

    Examples
    --------
    >>> Inference(LinearPCN([[[2.0]], [[3.0]]]), Data([[1.0]], [[7.0]]), iterations=1, share=0.25).note
    'gd, 1 iteration at step 0.05: F = 0.1625, F* = 0.05; condition number 1 (in the errors 1).'
    """

    CONTROLS: ClassVar[dict[str, Control]] = {
        "method": Choice("method", METHODS, "gd"),
        "share": Slider("step / edge of stability", 0.01, 1.1, 0.01, 0.5),
        "iterations": Slider("iterations", 0, STEPS, 1, 8),
        "sample": Slider("sample", 0, 15, 1, 0),
    }

    def __init__(self, net: Any = None, data: Data | None = None, **settings: Any) -> None:
        self.net, self.data = given(net, data, "random network")
        self.descents = {method: descent(self.net, self.data, method) for method in METHODS}
        self.fixed = equilibrium(self.net, self.data)
        self.least = float(self.fixed.energy)
        self.layers = np.asarray(layer_energies(self.net, self.fixed.activities))
        super().__init__(Stage(10.4, 3.0), settings)

    def _build(self) -> None:
        self.plane, self.curve, self.bars = self.stage.figure.subplots(1, 3)
        self.ground, self.scale = Ground(self.stage, self.plane), Scale(self.stage, self.plane)
        self.plane.set_title("the energy of one sample")
        self.plane.set_box_aspect(1)
        self.way = self.stage.add(self.plane.plot([], [], ".-", color=COLOURS["ink"], lw=1.1, ms=4)[0])
        self.ends = [
            self.stage.add(self.plane.plot([], [], "o", ms=6, mec=COLOURS["ink"], mfc=fill)[0])
            for fill in ("white", COLOURS["theory"])
        ]
        self.curve.set(yscale="log", xlim=(0, STEPS), ylim=(1e-9, 10), xlabel="iterations")
        self.curve.set_title("$(F - F^*)$ / its start")
        self.gaps = {
            m: self.stage.add(self.curve.plot([], [], color=COLOURS[SHADES[m]], lw=1.2, label=m)[0])
            for m in METHODS
        }
        self.curve.legend(loc="upper right", fontsize=7)
        self.now = self.stage.add(self.curve.axvline(0.0, color=COLOURS["ink"], lw=0.6))
        places = np.arange(1, self.net.depth + 1)
        rects = self.bars.bar(places, np.ones(len(places)), color=COLOURS["pc"], width=0.7)
        self.rects = [self.stage.add(rect) for rect in rects]
        top = 1.1 * float(np.max([*self.layers, self.least + self.descents["gd"].gaps(0.5, 0)[0]])) or 1.0
        self.bars.set(ylim=(0, top), xlabel="layer", xticks=places[:: max(1, len(places) // 8)])
        self.bars.set_title("energy of each layer; black: at equilibrium")
        marks = self.bars.plot(places, self.layers, "_", color=COLOURS["theory"], ms=11, mew=1.6)
        self.stage.add(marks[0])

    def _update(self) -> None:
        now, k = self.settings, self.settings["iterations"]
        chosen = self.descents[now["method"]]
        sample = min(now["sample"], len(chosen.fixed) - 1)
        extent = self._keep("ground", sample, lambda: self._ground(sample))
        path = (chosen.path(now["share"], k, sample) - self._middle) @ self._axes.T / extent
        self.way.set_data(path[:, 0], path[:, 1])
        for end, place in zip(self.ends, (path[0], path[-1]), strict=True):
            end.set_data(place[:1], place[1:])
        for method, line in self.gaps.items():
            gaps = self._keep(method, now["share"], partial(self.descents[method].gaps, now["share"], STEPS))
            line.set_data(np.arange(STEPS + 1), np.clip(gaps / max(gaps[0], 1e-300), 1e-12, 1e12))
        self.now.set_xdata([k, k])
        hidden = chosen.activities(now["share"], k)
        parts = np.split(hidden, np.cumsum(self.net.widths[1:-1])[:-1], axis=1)
        rows = self.fixed.activities
        energies = np.asarray(layer_energies(self.net, (rows[0], *parts, rows[-1])))
        for rect, height in zip(self.rects, energies, strict=True):
            rect.set_height(min(float(height), 1e6))
        self.note = self._said(k, float(energies.sum()))

    def _said(self, k: int, value: float) -> str:
        activities, errors = (self.descents[m].eigenvalues for m in ("gd", "errors"))
        own = self.descents[self.settings["method"]].eigenvalues
        step = 2 * self.settings["share"] / own[-1]
        method = self.settings["method"]
        at = "" if method == "newton" else f" at step {step:.3g}"
        return (
            f"{method}, {k} iteration{'' if k == 1 else 's'}{at}: F = {value:.4g}, F* = {self.least:.4g}; "
            f"condition number {activities[-1] / activities[0]:.3g} (in the errors "
            f"{errors[-1] / errors[0]:.3g})."
        )

    def _ground(self, sample: int) -> float:
        """The energy of a sample around its minimum, on the plane of the start and the softest mode."""
        modes = self.descents["gd"]
        self._middle = modes.fixed[sample]
        start = modes.amplitudes[sample] @ modes.vectors
        length = float(np.linalg.norm(start))
        one = start / length if length > 0 else modes.vectors[0]
        others = modes.vectors - (modes.vectors @ one)[:, None] * one
        sizes = np.linalg.norm(others, axis=1)
        # the softest mode that is not along the way; with one hidden unit there is none
        soft = int(np.argmax(sizes > 0.5)) if (sizes > 0.5).any() else 0
        two = others[soft] / sizes[soft] if sizes[soft] > 1e-9 else np.zeros_like(one)
        self._axes = np.stack([two, one])
        extent = 1.4 * length or 1.0
        axis = np.linspace(-extent, extent, 81)
        along = self._axes @ modes.vectors.T  # the two directions in the modes
        curved = (along * modes.eigenvalues) @ along.T
        a, b = np.meshgrid(axis, axis)
        values = 0.5 * (curved[0, 0] * a**2 + 2 * curved[0, 1] * a * b + curved[1, 1] * b**2)
        self.ground.set(values, common_levels([values]))
        self.scale.set((-extent, extent), (-extent, extent), "softest mode", "towards the start")
        return extent

    def point(self, across: float, up: float, shift: tuple[float, float]) -> dict[str, Any]:
        """A click or a drag on the middle panel: so many iterations.

        Returns
        -------
        changes : dict
        """
        found = self.stage.panel_at(across, up)
        if found is None or found[0] is not self.curve:
            return {}
        return {"iterations": round(float(np.clip(found[1], 0, STEPS)))}
