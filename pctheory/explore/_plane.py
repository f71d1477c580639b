"""The plane: the loss, the energy after some inference and F* on one plane of weight space, with paths."""

from __future__ import annotations

import math
from functools import partial
from typing import Any, ClassVar

import numpy as np

from ..landscape import EquilibratedEnergy, MSELoss, classify_critical_point
from ..model import Data, LinearPCN
from ..plotting import COLOURS, Ground, Relief, Scale, Stage, common_levels
from ._deformation import Deformation, deformation
from ._directions import DIRECTIONS, plane_of
from ._paths import DESCENTS, RULES, descents, rule_path
from ._problems import given
from ._scene import Choice, Control, Scene, Slider, Toggle

__all__ = ["Plane", "grid_size"]

SPECTRUM_LIMIT = 200
"""Weights up to which the eigenvalues at the chosen point are shown."""

CRITICAL = 1e-6
"""Norm of the gradient, relative to the data, up to which a point is classified."""

TIMES = {"loss": 0.0, "energy": math.inf}

VIEWS = ("contours", "relief")


def grid_size(num_weights: int, outputs: int) -> int:
    """Points along each side of the plane: at most 101, fewer for networks whose grid would take too long."""
    seconds = 4e-7 + 1.2e-8 * num_weights + 1.2e-6 * (outputs - 1) * outputs  # of one point, measured
    return int(np.clip(math.sqrt(0.025 / seconds), 25, 101))


class Plane(Scene):
    """Two directions of weight space through a network; three landscapes on it, on one scale.

    Parameters
    ----------
    net : LinearPCN or torch.nn.Module, optional
        The middle of the plane; by default a toy problem.
    data : Data, optional
        By default the answers of a random linear teacher.
    **settings
        Of `CONTROLS`: `first` and `second`, the directions by name (see `pctheory.explore.DIRECTIONS`);
        `extent`; `inference`, from 0 (the loss) to 1 (F*): it is 1 - exp(-2t) after a time t of descent on
        the hidden errors; `right` and `up`, where the paths start; `rate` and `steps` of the paths; which
        rules; `view`, `azimuth` and `elevation`.

    Examples
    --------
    >>> scene = Plane(LinearPCN.zeros((1, 1, 1)), Data([[1.0]], [[-1.0]]), right=0.1, up=0.1)
    >>> scene.note
    'F* at the point: 0.505; the loss: 0.5101; |gradient of F*| 0.1: not critical.'
    """

    CONTROLS: ClassVar[dict[str, Control]] = {
        "first": Choice("across", DIRECTIONS, "first weight"),
        "second": Choice("up", DIRECTIONS, "last weight"),
        "extent": Slider("extent", 0.1, 5.0, 0.1, 1.5),
        "inference": Slider("inference", 0.0, 1.0, 0.01, 0.5),
        "right": Slider("start, across", -5.0, 5.0, 0.01, 0.1),
        "up": Slider("start, up", -5.0, 5.0, 0.01, 0.15),
        "rate": Slider("rate", 0.01, 1.0, 0.01, 0.2),
        "steps": Slider("steps", 5, 100, 1, 30),
        **{rule: Toggle(rule, rule in ("bp", "pc")) for rule in RULES},
        "view": Choice("view", VIEWS, "contours"),
        "azimuth": Slider("turn", -180.0, 180.0, 1.0, 35.0),
        "elevation": Slider("tilt", 5.0, 90.0, 1.0, 35.0),
    }

    def __init__(self, net: Any = None, data: Data | None = None, **settings: Any) -> None:
        self.net, self.data = given(net, data, "two weights")
        super().__init__(Stage(10.4, 3.0), settings)

    def _build(self) -> None:
        grid = self.stage.figure.add_gridspec(2, 4, width_ratios=(1, 1, 1, 0.8))
        self.axes = [self.stage.figure.add_subplot(grid[:, i]) for i in range(3)]
        self.cut, self.spectrum = (self.stage.figure.add_subplot(grid[i, 3]) for i in range(2))
        self.grounds = [Ground(self.stage, ax) for ax in self.axes]
        self.reliefs = [Relief(self.stage, ax) for ax in self.axes]
        self.paths: list[dict[str, Any]] = []
        for ax in self.axes:
            lines = {}
            for rule in RULES:
                edge = self.stage.add(ax.plot([], [], color="white", linewidth=2.4, alpha=0.8)[0])
                line = self.stage.add(ax.plot([], [], ".-", color=COLOURS[rule], linewidth=1.1, ms=3)[0])
                lines[rule] = (edge, line)
            start = self.stage.add(
                ax.plot([], [], "o", ms=6, markerfacecolor="white", markeredgecolor=COLOURS["ink"])[0]
            )
            self.paths.append({**lines, "start": (start,)})
        for ax, title in zip(self.axes, (r"$\mathcal{L}$", "after some inference", "$F^*$"), strict=True):
            ax.set_title(title)
        self.scales = [Scale(self.stage, ax, up=ax is self.axes[0]) for ax in self.axes]
        self.cuts = [
            self.stage.add(self.cut.plot([], [], color=COLOURS[c], linewidth=1.2, label=name)[0])
            for c, name in (("bp", r"$\mathcal{L}$"), ("newton", "t"), ("pc", "$F^*$"))
        ]
        self.here = self.stage.add(self.cut.axvline(0.0, color=COLOURS["ink"], linewidth=0.6))
        self.cut.set_title("upwards through the start")
        self.cut_scale = Scale(self.stage, self.cut)
        self.cut.legend(loc="upper right", ncols=3, handlelength=0.9, fontsize=7, borderaxespad=0.1)
        self.spectrum.set_yscale("asinh", linear_width=0.05)
        self.spectrum.set(ylim=(-300, 300), xlim=(-0.05, 1.05), xticks=[], title="eigenvalues at the start")
        self.spectrum.set_yticks([-100, -1, 0, 1, 100], ["$-100$", "$-1$", "0", "1", "100"])
        self.spectrum.minorticks_off()
        self.spectrum.axhline(0, color=COLOURS["quiet"], linewidth=0.5)
        self.spectra = [
            self.stage.add(self.spectrum.plot([], [], mark, color=COLOURS[c], ms=3.2)[0])
            for c, mark in (("bp", "s"), ("pc", "o"))
        ]

    def _update(self) -> None:
        now = self.settings
        plane = self._keep(
            "plane",
            (now["first"], now["second"]),
            lambda: plane_of(self.net, self.data, now["first"], now["second"]),
        )
        key = (now["first"], now["second"], now["extent"])
        axis, shape, levels = self._keep("ground", key, lambda: self._ground(plane, now["extent"]))
        self._keep("view", (now["view"],), self._set_view)
        ends, low, high = (axis[0], axis[-1]), levels[0], levels[-1]
        for scale in self.scales:
            scale.set(ends, ends, now["first"], now["second"])
        self.cut_scale.set(ends, (low, high))
        time = TIMES["energy"] if now["inference"] >= 1 else -0.5 * math.log1p(-now["inference"])
        landscapes = [shape.at(t) for t in (0.0, time, math.inf)]
        relief = now["view"] == "relief"
        for ground, surface, values in zip(self.grounds, self.reliefs, landscapes, strict=True):
            if relief:
                surface.set(values, levels, azimuth=now["azimuth"], elevation=now["elevation"])
            else:
                ground.set(values, levels)
        start = self.net.unflatten(self.net.flatten() + np.array([now["right"], now["up"]]) @ plane)
        self._draw_paths(start, plane, time, relief=relief)
        column = int(np.argmin(np.abs(axis - now["right"])))
        for line, values in zip(self.cuts, landscapes, strict=True):
            line.set_data(axis / ends[1], 1.9 * (values[:, column] - low) / (high - low) - 0.95)
        self.here.set_xdata([now["up"] / ends[1]] * 2)
        key_point = (now["first"], now["second"], now["right"], now["up"])
        self.note = self._keep("note", key_point, lambda: self._at(start))

    def _ground(self, plane: np.ndarray, extent: float) -> tuple[np.ndarray, Deformation, np.ndarray]:
        axis = np.linspace(-extent, extent, grid_size(self.net.num_weights, self.net.widths[-1]))
        mesh = np.stack(np.meshgrid(axis, axis), axis=-1)
        ground = deformation(self.net, self.data, self.net.flatten() + mesh @ plane)
        return axis, ground, common_levels([ground.at(0.0), ground.at(math.inf)], share=0.85)

    def _set_view(self) -> None:
        relief = self.settings["view"] == "relief"
        for ground, surface, scale, ax in zip(
            self.grounds, self.reliefs, self.scales, self.axes, strict=True
        ):
            ground.show(visible=not relief)
            surface.show(visible=relief)
            scale.show(visible=not relief)
            ax.axison = not relief
        self.stage.restage(self.settings["view"])

    def _draw_paths(self, start: LinearPCN, plane: np.ndarray, time: float, *, relief: bool) -> None:
        now, centre = self.settings, self.net.flatten()
        place = (now["first"], now["second"], now["right"], now["up"])
        key, walk = (*place, now["rate"], now["steps"]), (now["rate"], now["steps"])
        ways = {"start": start.flatten()[None]}
        for rule in RULES:
            if now[rule] and rule in DESCENTS:
                both = self._keep("descents", key, partial(descents, start, self.data, *walk))
                ways[rule] = both[DESCENTS.index(rule)]
            elif now[rule]:
                ways[rule] = self._keep(rule, key, partial(rule_path, start, self.data, rule, *walk))
        heights = {}
        if relief:
            heights = {name: deformation(self.net, self.data, way) for name, way in ways.items()}
        for panel, (lines, when) in enumerate(zip(self.paths, (0.0, time, math.inf), strict=True)):
            for name, artists in lines.items():
                for artist in artists:
                    artist.set_visible(name in ways)
                if name not in ways:
                    continue
                points = (ways[name] - centre) @ plane.T / now["extent"]
                if relief:
                    points = self.reliefs[panel].line(points, heights[name].at(when))
                for artist in artists:
                    artist.set_data(points[:, 0], points[:, 1])

    def _at(self, start: LinearPCN) -> str:
        """The eigenvalues at the start, shown, and what kind of point it is."""
        energy, loss = EquilibratedEnergy(self.data), MSELoss(self.data)
        value, gradient = energy.value_and_gradient(start)
        size = float(np.linalg.norm(start.join(gradient)))
        if start.num_weights <= SPECTRUM_LIMIT:
            for line, objective in zip(self.spectra, (loss, energy), strict=True):
                values = np.clip(np.linalg.eigvalsh(objective.hessian(start)), -300, 300)
                line.set_data(np.linspace(0, 1, len(values)), values)
        said = f"F* at the point: {float(value):.4g}; the loss: {float(loss.value(start)):.4g}; "
        if size > CRITICAL * (1 + float(np.trace(self.data.yy))):
            return said + f"|gradient of F*| {size:.2g}: not critical."
        kinds = [classify_critical_point(objective, start).kind for objective in (energy, loss)]
        return said + f"a critical point of F*: {kinds[0]}; of the loss: {kinds[1]}."

    def point(self, across: float, up: float, shift: tuple[float, float]) -> dict[str, Any]:
        """A click or a drag: where the paths start or, in the relief, how it is turned.

        Returns
        -------
        changes : dict
        """
        found = self.stage.panel_at(across, up)
        if found is None or found[0] not in self.axes:
            return {}
        if self.settings["view"] == "relief":
            turned = (self.settings["azimuth"] - 180 * shift[0] + 180) % 360 - 180
            tilted = float(np.clip(self.settings["elevation"] + 90 * shift[1], 5, 90))
            return {"azimuth": turned, "elevation": tilted}
        extent = self.settings["extent"]
        return {"right": extent * found[1], "up": extent * found[2]}
