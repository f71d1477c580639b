r"""The balance law at the nodes of two graphs, one with a cycle and one with long skips, along training.

A faithful run sees the measured growth of every node's imbalance on the curve that its errors predict.
"""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments import graph_balance
from experiments._result import Result
from experiments._store import Meta
from figures._escapes import rounded
from pctheory import plotting

EXPERIMENT = graph_balance
TITLE = "The balance law on graphs"
SOURCE = "new"
SIZE = (5.5, 3.0)
_PLACES = {
    "cycle": {"x": (0.0, 0.0), "a": (1.0, 0.0), "b": (1.5, 0.87), "c": (2.0, 0.0), "y": (3.0, 0.0)},
    "skips": {"x": (0.0, 0.0), "a": (0.8, 0.0), "b": (1.6, 0.0), "c": (2.4, 0.0), "y": (3.2, 0.0)},
}
_BENDS = {"cycle": {}, "skips": {("x", "c"): -0.35, ("a", "y"): 0.35}}
_NAMES = {"cycle": "with a cycle", "skips": "with long skips"}
_MARKS = "vos"


def draw(fig: Figure, result: Result) -> None:
    """Each graph, and the growth of the imbalance at its hidden nodes."""
    axes = fig.subplots(2, 2, width_ratios=(1, 1.35))
    colours = dict(zip(graph_balance.HIDDEN, plotting.shades(3), strict=True))
    for row, kind in enumerate(graph_balance.EDGES):
        plotting.draw_graph(
            axes[row, 0], _PLACES[kind], graph_balance.EDGES[kind], bends=_BENDS[kind], colours=colours
        )
        axes[row, 0].set_title(_NAMES[kind])
        _growth(axes[row, 1], result, kind, colours)
    axes[1, 1].set_xlabel("time")
    plotting.letter(axes)


def _growth(ax: Axes, result: Result, kind: str, colours: dict[str, str]) -> None:
    times, table = np.asarray(result["times"]), result["graphs"][kind]
    every = max(1, len(times) // 12)
    for column, (name, colour) in enumerate(colours.items()):
        plotting.theory(ax, times[1:], table["predicted"][1:, column], label=None)
        measured = np.asarray(table["measured"])[:, column]
        ax.plot(times[every::every], measured[every::every], _MARKS[column], ms=3.5, color=colour)
        ax.annotate(
            name, (times[-1], measured[-1]), (4, 0), textcoords="offset points", va="center", fontsize=8
        )
    ax.set_yscale("log")
    ax.set_ylabel("imbalance gained")
    ax.margins(x=0.06)


def caption(result: Result, meta: Meta) -> str:
    """What was run and what agrees."""
    found = numbers(result)
    return (
        r"At every hidden node of a graph the imbalance grows by twice the prediction errors. "
        rf"Gradient flow of $F^*$ in all edges and biases, {meta.config['width']} units a node, precisions "
        rf"1, 2 and 0.5 at a, b and c. Right: trace of $\sum_{{out}} B^T B - \sum_{{in}} B B^T - b b^T$ less "
        r"its start (marks) and the integral of $2 \langle \epsilon^T \Pi \epsilon \rangle$ (lines). Largest "
        rf"difference: {found['mismatch']} of the growth. ({meta.setting}.)"
    )


def numbers(result: Result) -> dict[str, str | float]:
    """The largest difference of measured and predicted growth, relative to the growth."""
    tables = result["graphs"].values()
    worst = max(np.max(np.abs(t["measured"] - t["predicted"])) / np.max(t["predicted"]) for t in tables)
    return {"mismatch": rounded(float(worst))}
