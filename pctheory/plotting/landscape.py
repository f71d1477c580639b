"""Landscapes and matrices: contours with their gradient field, surfaces, paths, heatmaps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.contour import QuadContourSet
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from mpl_toolkits.mplot3d.axes3d import Axes3D  # type: ignore[import-untyped]
from numpy.typing import ArrayLike

from pctheory.plotting.theme import COLOURS, DIVERGING, LANDSCAPE


def contour(
    ax: Axes,
    x: ArrayLike,
    y: ArrayLike,
    values: ArrayLike,
    *,
    levels: int | ArrayLike = 14,
    field: tuple[ArrayLike, ArrayLike] | None = None,
) -> QuadContourSet:
    """Filled contours of a landscape, dark where it is low, and arrows down its slope.

    Parameters
    ----------
    ax
        where it is drawn
    x, y : (n,) and (m,)
        grid
    values : (m, n)
        `values[j, i]` at `(x[i], y[j])`
    levels
        how many, evenly spread over the *ranks* of the values so that valleys are resolved as well as walls,
        or the levels themselves
    field : pair of (m, n)
        the two components of the negative gradient, drawn as arrows of one length on a thinned grid

    Returns
    -------
    QuadContourSet
        of the filled contours, for a colour bar

    Raises
    ------
    ValueError
        If `values` does not have the shape (m, n).
    """
    x, y, z = (np.asarray(v, dtype=np.float64) for v in (x, y, values))
    if z.shape != (y.size, x.size):
        raise ValueError(
            f"`values` must have shape (len(y), len(x)) = ({y.size}, {x.size}). Got {z.shape}: transpose it."
        )
    at = _levels(z, levels) if isinstance(levels, int) else np.asarray(levels, dtype=np.float64)
    # one colour step per level: with ranks as levels the colours follow the ranks too
    norm = _Rank(at)
    filled = ax.contourf(x, y, z, levels=at, cmap=LANDSCAPE, norm=norm, extend="both")
    ax.contour(x, y, z, levels=at, colors="white", linewidths=0.35, alpha=0.7)
    if field is not None:
        _arrows(ax, x, y, np.asarray(field[0], dtype=np.float64), np.asarray(field[1], dtype=np.float64))
    for spine in ax.spines.values():
        spine.set_visible(True)
    ax.set_xlim(x[0], x[-1])
    ax.set_ylim(y[0], y[-1])
    return filled


def surface(
    ax: Axes3D,
    x: ArrayLike,
    y: ArrayLike,
    values: ArrayLike,
    *,
    ceiling: float | None = None,
    levels: ArrayLike | None = None,
) -> None:
    """The landscape as a surface over its grid, in the colours of `contour`.

    Parameters
    ----------
    ax
        where it is drawn
    x, y : (n,) and (m,)
        grid
    values : (m, n)
        `values[j, i]` at `(x[i], y[j])`
    ceiling
        values above it are cut off
    levels
        values at which the colours step; give the same levels to surfaces that are compared
    """
    x, y, z = (np.asarray(v, dtype=np.float64) for v in (x, y, values))
    shown = z if ceiling is None else np.where(z > ceiling, np.nan, z)
    grid_x, grid_y = np.meshgrid(x, y)
    at = _levels(z, 14) if levels is None else np.asarray(levels, dtype=np.float64)
    colours = LANDSCAPE(_Rank(at)(np.nan_to_num(shown, nan=float(np.nanmax(z)))))
    # the grid lines are the edges of the facets: a separate wireframe would shine through from behind
    step = max(1, round(x.size / 30)), max(1, round(y.size / 30))
    ax.plot_surface(
        grid_x,
        grid_y,
        shown,
        facecolors=colours,
        rstride=step[1],
        cstride=step[0],
        edgecolor=(1.0, 1.0, 1.0, 0.55),
        linewidth=0.15,
        shade=False,
    )
    for axis in (ax.xaxis, ax.yaxis, ax.zaxis):
        axis.set_pane_color((1.0, 1.0, 1.0, 0.0))
        axis._axinfo["grid"].update(color="#e3e5e8", linewidth=0.4)
        axis.set_rotate_label(False)
        axis.labelpad = -7
    ax.tick_params(pad=-3)


def path(ax: Axes, points: ArrayLike, color: str, label: str | None = None, **options: Any) -> Line2D:
    """A path through a landscape, (steps, 2).

    Its marker is hollow where it starts and full where it ends; a white edge keeps it readable on any ground.

    Returns
    -------
    Line2D
        The line of the path.
    """
    way = np.asarray(points, dtype=np.float64)
    options = {"linewidth": 1.3, "zorder": 5, **options}
    ax.plot(
        way[:, 0],
        way[:, 1],
        color="white",
        linewidth=options["linewidth"] + 1.2,
        zorder=options["zorder"] - 0.1,
    )
    line = ax.plot(way[:, 0], way[:, 1], color=color, label=label, **options)[0]
    end = {
        "markeredgecolor": color,
        "markersize": 4.2,
        "markeredgewidth": 1.0,
        "zorder": options["zorder"] + 0.1,
    }
    ax.plot(*way[0], marker="o", markerfacecolor="white", **end)
    ax.plot(*way[-1], marker="o", markerfacecolor=color, **{**end, "markeredgecolor": "white"})
    return line


def heatmap(
    ax: Axes, values: ArrayLike, *, limit: float | None = None, blocks: Sequence[int] = ()
) -> AxesImage:
    """A matrix with white at zero and the same scale on both sides; lines between blocks of the given sizes.

    Parameters
    ----------
    ax
        where it is drawn
    values : (m, n)
        the matrix
    limit
        value of the full colours; default the largest absolute value. Give it to compare matrices.
    blocks
        sizes of the diagonal blocks, for example the numbers of weights of the layers

    Returns
    -------
    AxesImage
        for a colour bar
    """
    matrix = np.asarray(values, dtype=np.float64)
    bound = limit if limit is not None else float(np.nanmax(np.abs(matrix))) or 1.0
    image = ax.imshow(matrix, cmap=DIVERGING, norm=Normalize(-bound, bound), interpolation="nearest")
    for edge in np.cumsum(blocks)[:-1] - 0.5:
        ax.axhline(edge, color=COLOURS["ink"], linewidth=0.4)
        ax.axvline(edge, color=COLOURS["ink"], linewidth=0.4)
    ax.set_xticks([])
    ax.set_yticks([])
    for spine in ax.spines.values():
        spine.set_visible(True)
    return image


class _Rank(Normalize):
    """Values to [0, 1] by their place among the levels."""

    def __init__(self, levels: np.ndarray) -> None:
        super().__init__(float(levels[0]), float(levels[-1]))
        self.levels = levels

    def __call__(self, value: Any, clip: bool | None = None) -> Any:
        return np.ma.masked_invalid(np.interp(value, self.levels, np.linspace(0.0, 1.0, self.levels.size)))


def _levels(values: np.ndarray, count: int) -> np.ndarray:
    """Levels between the smallest and the largest finite value, dense where many values lie."""
    finite = values[np.isfinite(values)]
    levels = np.unique(np.quantile(finite, np.linspace(0.0, 1.0, count + 1)))
    if levels.size < 2:  # a flat landscape
        return np.asarray([levels[0] - 1.0, levels[0] + 1.0])
    return levels


def _arrows(ax: Axes, x: np.ndarray, y: np.ndarray, u: np.ndarray, v: np.ndarray, across: int = 13) -> None:
    length = np.hypot(u, v)
    length[length == 0] = 1.0
    rows, columns = (
        np.linspace(0, n - 1, min(across, n) + 2).round().astype(int)[1:-1] for n in (y.size, x.size)
    )
    pick = np.ix_(rows, columns)
    ax.quiver(
        x[columns],
        y[rows],
        (u / length)[pick],
        (v / length)[pick],
        angles="xy",
        scale_units="width",
        scale=1.45 * across,
        width=0.004,
        headwidth=4,
        headlength=4,
        headaxislength=3.5,
        color=COLOURS["ink"],
        alpha=0.55,
        zorder=3,
    )
