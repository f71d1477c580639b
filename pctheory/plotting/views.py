"""What `.plot()` of the library's objects draws, in the colours of the figures: PC blue, BP grey.

The objects are taken as they are: nothing here imports the rest of the package.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from mpl_toolkits.mplot3d.axes3d import Axes3D  # type: ignore[import-untyped]

from pctheory.plotting.landscape import contour, heatmap, path, surface
from pctheory.plotting.lines import spectrum
from pctheory.plotting.theme import COLOURS, style

ROLES = {"MSELoss": "bp", "EquilibratedEnergy": "pc", "NegativeLogLikelihood": "newton"}

NAMES = {
    "MSELoss": r"$\mathcal{L}$",
    "EquilibratedEnergy": "$F^*$",
    "NegativeLogLikelihood": r"$F^* + \frac{1}{2} \log\det S$",
}


def own_axes(ax: Any, *, solid: bool = False, size: tuple[float, float] = (3.4, 2.6)) -> Any:
    """The axes, or those of a new figure, which a notebook shows by itself."""
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt  # its figures are global: only where no axes are given

    with style():
        figure = plt.figure(figsize=size, layout="constrained")
        return figure.add_subplot(projection="3d") if solid else figure.add_subplot()


def plot_slice(piece: Any, ax: Axes | None, trajectories: tuple[Any, ...], **options: Any) -> Axes:
    """A `LandscapeSlice`: a line, or contours with the paths of trajectories."""
    panel: Axes = own_axes(ax)
    with style():
        if len(piece.axes) == 1:
            role = COLOURS[ROLES.get(piece.objective, "theory")]
            panel.plot(piece.axes[0], piece.values, **{"color": role, **options})
            panel.set(xlabel="along the direction", ylabel=NAMES.get(piece.objective, "value"))
            return panel
        contour(panel, piece.axes[0], piece.axes[1], piece.values, **options)
        panel.set(xlabel="first direction", ylabel="second direction", title=NAMES.get(piece.objective, ""))
        for each in trajectories:
            role = ROLES.get(type(each.objective).__name__, "highlight")
            path(panel, piece.project(each), COLOURS[role])
    return panel


def plot_surface(piece: Any, ax: Axes3D | None, **options: Any) -> Axes3D:
    """A `LandscapeSlice` as a surface."""
    panel: Axes3D = own_axes(ax, solid=True)
    with style():
        surface(panel, piece.axes[0], piece.axes[1], piece.values, **options)
        panel.set(xlabel="first", ylabel="second", title=NAMES.get(piece.objective, ""))
    return panel


def plot_trajectory(way: Any, ax: Axes | None, objectives: tuple[Any, ...], **options: Any) -> Axes:
    """A `Trajectory`: objectives against time, its own if none is named."""
    panel: Axes = own_axes(ax)
    with style():
        for objective in objectives or (way.objective,):
            kind = type(objective).__name__
            line = {"color": COLOURS[ROLES.get(kind, "theory")], "label": NAMES.get(kind, kind), **options}
            panel.plot(way.times, way.values(objective), **line)
        panel.set(xlabel="time", ylabel="value", yscale="log")
        panel.legend()
    return panel


def plot_ends(ends: Any, ax: Axes | None) -> Axes:
    """A `SpectrumEnds`: the eigenvalues found at each end, with their residuals as bars."""
    panel: Axes = own_axes(ax)
    with style():
        for values, residuals, role in (
            (ends.smallest, ends.smallest_residuals, "pc"),
            (ends.largest[::-1], ends.largest_residuals[::-1], "bp"),
        ):
            place = np.arange(len(values)) + (0 if role == "pc" else len(values) + 1)
            panel.errorbar(place, values, residuals, fmt="o", color=COLOURS[role], markeredgecolor="white")
        panel.axhline(0.0, color=COLOURS["quiet"], linewidth=0.5)
        k = len(ends.smallest)
        panel.set(ylabel="eigenvalue")
        panel.set_xticks([(k - 1) / 2, k + 1 + (k - 1) / 2], ["smallest", "largest"])
    return panel


def plot_equilibrium(layers: np.ndarray, ax: Axes | None) -> Axes:
    """The energy of each layer, (L,), at equilibrium."""
    panel: Axes = own_axes(ax)
    with style():
        place = np.arange(1, len(layers) + 1)
        panel.bar(place, layers, color=COLOURS["pc"], width=0.7)
        panel.set(xlabel="layer", ylabel="share of $F^*$", xticks=place[:: max(1, len(place) // 8)])
    return panel


def plot_blocks(dense: np.ndarray, sizes: tuple[int, ...], ax: Axes | None) -> Axes:
    """A matrix with the borders of its diagonal blocks, white at zero."""
    panel: Axes = own_axes(ax, size=(2.8, 2.8))
    with style():
        heatmap(panel, dense, blocks=sizes)
    return panel


def plot_spectrum(values: np.ndarray, ax: Axes | None) -> Axes:
    """Eigenvalues of a closed form, in black, ascending."""
    panel: Axes = own_axes(ax)
    with style():
        spectrum(panel, values, color=COLOURS["theory"])
        panel.set(xlabel="rank", ylabel="eigenvalue")
    return panel


def plot_tradeoff(curve: Any, ax: Axes | None) -> Axes:
    """A `TradeoffCurve`: the error of the target against that of the input."""
    panel: Axes = own_axes(ax)
    with style():
        panel.plot(curve.reconstruction, curve.classification, ".-", color=COLOURS["theory"])
        for point, name in ((0, "first weight"), (-1, "last weight")):
            spot = curve.reconstruction[point], curve.classification[point]
            panel.annotate(name, spot, xytext=(4, 4), textcoords="offset points", fontsize=7)
        panel.set(xlabel="reconstruction error", ylabel="classification error")
    return panel


def plot_training(result: Any, ax: Axes | None) -> Axes:
    """A `TrainingResult`: the loss and the energy of the batches, and the loss on the test data."""
    panel: Axes = own_axes(ax)
    name = type(result.settings.rule).__name__
    with style():
        role = COLOURS["bp" if name == "BP" else "pc"]
        panel.plot(result.metrics["step"], result.metrics["loss"], color=role, label=f"{name}: loss")
        if name != "BP":
            panel.plot(result.metrics["step"], result.metrics["energy"], ":", color=role, label="energy")
        if len(result.evaluations["step"]):
            panel.plot(result.evaluations["step"], result.evaluations["loss"], "o", color=role, label="test")
        panel.set(xlabel="step", ylabel="loss", yscale="log")
        panel.legend()
    return panel


def plot_losses(losses: np.ndarray, ax: Axes | None) -> Axes:
    """The loss of each step of a theory of training, (T + 1,), in black."""
    panel: Axes = own_axes(ax)
    with style():
        panel.plot(losses, color=COLOURS["theory"])
        panel.set(xlabel="step", ylabel="loss", yscale="log")
    return panel
