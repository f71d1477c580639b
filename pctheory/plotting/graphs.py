"""Drawings of graphs: nodes as circles, edges as arrows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch

from pctheory.plotting.theme import COLOURS

__all__ = ["draw_graph"]


def draw_graph(
    ax: Axes,
    places: Mapping[str, tuple[float, float]],
    edges: Iterable[tuple[str, str]],
    *,
    bends: Mapping[tuple[str, str], float] | None = None,
    colours: Mapping[str, str] | None = None,
) -> None:
    """Draw the nodes of a graph at given places, with an arrow for every edge.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Its axes are turned off.
    places : mapping of names to (x, y)
        In units of the distance of neighbours.
    edges : pairs (source, target)
        Names of nodes.
    bends : mapping of edges to numbers, optional
        How far an arrow bends, as a part of its length; 0 by default.
    colours : mapping of names to colours, optional
        Of the circles; grey by default.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> ax = Figure().subplots()
    >>> draw_graph(ax, {"x": (0, 0), "y": (1, 0)}, [("x", "y")])
    >>> len(ax.patches), [text.get_text() for text in ax.texts]
    (1, ['x', 'y'])
    """
    curves, shades = bends or {}, colours or {}
    for source, target in edges:
        arrow = FancyArrowPatch(
            places[source],
            places[target],
            arrowstyle="-|>",
            mutation_scale=7,
            shrinkA=8,
            shrinkB=8,
            linewidth=0.8,
            color=COLOURS["theory"],
            connectionstyle=f"arc3,rad={curves.get((source, target), 0.0)}",
        )
        ax.add_patch(arrow)
    for name, (x, y) in places.items():
        ax.plot(x, y, "o", ms=13, mfc="white", mec=shades.get(name, COLOURS["bp"]), mew=1.2, clip_on=False)
        ax.text(x, y, name, ha="center", va="center_baseline", fontsize=8)
    ax.set_aspect("equal")
    ax.margins(0.15)
    ax.axis("off")
