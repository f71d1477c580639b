r"""Precisions that follow the state of a chain: times, the best rescaling, and a path.

A faithful run sees the time at S = 2 on the line 4 (L - 3) log 1/d, other constant rescalings on their curve,
and no random schedule below.
"""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments import precision_homotopy
from experiments._result import Result
from experiments._store import Meta
from figures._escapes import rounded
from pctheory import plotting

EXPERIMENT = precision_homotopy
TITLE = "The fastest schedule of precisions keeps the rescaling at 2"
SOURCE = "new"
SIZE = (5.5, 2.6)
_NAMES = {"bp": "BP", "unit": r"$\pi = 1$", "best": r"$\pi = \pi^*$", "kept": r"$S = 2$ kept"}
_COLOURS = {
    "bp": plotting.COLOURS["bp"],
    "unit": plotting.COLOURS["pc"],
    "best": plotting.COLOURS["newton"],
    "kept": plotting.COLOURS["highlight"],
}
_MARKS = "osv"


def draw(fig: Figure, result: Result) -> None:
    """Times over log 1/d at one depth, time over the rescaling kept, and the weights along the best flow."""
    axes = fig.subplots(1, 3)
    depth = _shown(result)
    _times(axes[0], result, depth)
    _rescalings(axes[1], result)
    _path(axes[2], result)
    axes[0].set_title(f"L = {depth}")
    axes[1].set_title("constant rescaling")
    axes[2].set_title(r"the flow at $S = 2$")
    plotting.legend_outside(fig, axes[:2], "bottom", ncols=4)
    plotting.letter(axes)


def _shown(result: Result) -> int:
    return min(precision_homotopy.SHOWN, int(max(result["depths"])))


def _times(ax: Axes, result: Result, depth: int) -> None:
    table = result[f"L = {depth}"]
    logs = np.asarray(result["logs"])
    ax.set_xscale("log")
    ax.set_yscale("log")
    for row, rule in enumerate(precision_homotopy.RULES):
        plotting.measured(ax, logs, table["measured"][row], ms=3.5, color=_COLOURS[rule], label=_NAMES[rule])
        plotting.theory(ax, logs, table["predicted"][row], label="predicted" if row == 0 else None)
    ax.set_ylim(10, 1e9)
    ax.set_xlabel(r"$\Lambda = \log(1/d)$")
    ax.set_ylabel("time to half the target")


def _rescalings(ax: Axes, result: Result) -> None:
    ax.set_xscale("log")
    values = np.asarray(result["rescalings"])
    for row, depth in enumerate(result["depths"]):
        plotting.measured(
            ax, values, result["kept measured"][row], marker=_MARKS[row], ms=3.5, label=f"L = {int(depth)}",
            color=plotting.shades(len(result["depths"]))[row],
        )  # fmt: skip
    plotting.theory(ax, values, result["kept predicted"][0], label=None)
    ax.axhline(1, color=plotting.COLOURS["quiet"], linewidth=0.6, zorder=0)
    ax.set_xticks([1.1, 2, 5, 10], ["1.1", "2", "5", "10"])
    ax.minorticks_off()
    ax.set_xlabel("rescaling $s$ that is kept")
    ax.set_ylabel(r"time / $4 (L - 3) \Lambda$")


def _path(ax: Axes, result: Result) -> None:
    path = result["path"]
    squares = np.asarray(path["squares"])
    ax.set_yscale("log")
    times, depth = np.asarray(path["times"]), squares.shape[1]
    middle = np.sqrt(squares[0, 0])
    for layer, colour in enumerate(plotting.shades(depth)):
        ax.plot(times, squares[:, layer], color=colour)
        if layer in (0, depth - 1):  # the second weight follows the first, and the last rises at once
            continue
        name, height = ("$w_1^2, w_2^2$", middle**1.6) if layer == 1 else (f"$w_{layer + 1}^2$", middle)
        at = times[np.argmax(squares[:, layer] > height)]
        ax.annotate(name, (at, height), xytext=(-3, 0), textcoords="offset points", color=colour, ha="right")
    ax.plot(path["times"], path["precisions"], "--", color=plotting.COLOURS["highlight"])
    ax.text(0.9 * times[-1], 1e6, r"$\pi$", color=plotting.COLOURS["highlight"])
    ax.text(0.2 * times[-1], 1e-4, f"$w_{depth}^2$", color=plotting.shades(depth)[-1])
    ax.set_ylim(top=1e9)
    ax.set_xlabel("time")
    ax.set_ylabel("squares of the weights")


def caption(result: Result, meta: Meta) -> str:
    """What was run and what agrees."""
    found, config = numbers(result), meta.config
    depths = ", ".join(str(int(d)) for d in result["depths"])
    return (
        r"The precision that keeps $S = 2$ learns a chain of small weights as fast as any schedule can. "
        rf"Chains of L weights d, $y = x$. (a) Times of gradient flow at L = {_shown(result)}; black: "
        rf"predicted. (b) Keeping another rescaling, d = 1e-{config['exponent']}; black: $s^2 / 4 (s - 1)$. "
        r"(c) Squares of the weights and the precision along the flow at $S = 2$: the layers grow one after "
        r"the other, from the output down, each in the time $4\Lambda$. At the smallest d the time is "
        rf"{found['ratio']} of the bound $4 (L - 3) \Lambda$ at L = {depths}; of {found['tried']} random "
        rf"schedules the fastest takes {found['fastest']} of the time at $S = 2$. "
        rf"({meta.setting}.)"
    )


def numbers(result: Result) -> dict[str, str | float]:
    """Times in units of the bound, the fastest random schedule, and the times at d = 1e-4."""
    kept = precision_homotopy.RULES.index("kept")
    tables = [result[f"L = {int(d)}"] for d in result["depths"]]
    ratios = [float(t["measured"][kept][-1] / t["predicted"][kept][-1]) for t in tables]
    schedules = np.asarray(result["schedules"])
    gains = [
        float(t["measured"][precision_homotopy.RULES.index("unit")][-1] / t["measured"][kept][-1])
        for t in tables
    ]
    return {
        "ratio": ", ".join(f"{r:.3f}" for r in ratios),
        "tried": int(schedules.size),
        "fastest": f"{schedules.min():.3f}",
        "gain-unit": ", ".join(rounded(g) for g in gains),
    }
