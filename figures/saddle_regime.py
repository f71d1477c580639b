r"""Narrow deep networks on the toy problem: loss and energy of PC, loss of BP; and times to half of the loss
from several sigma.

What to see: PC leaves the saddle of deep narrow networks sooner; the advantage holds for small
initialisations and reverses at ordinary scale.
"""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments import saddle_regime
from experiments._result import Result
from experiments._store import Meta
from figures import _names
from figures._escapes import rounded
from figures._outcome import Outcome, outcome
from pctheory import plotting

EXPERIMENT = saddle_regime
TITLE = "Only from very small weights does predictive coding leave the saddle first"
SOURCE = "LIM A.4, A.23"
SIZE = (5.5, 4.2)


def _last(part: Any, rule: str) -> float:
    return float(np.nanmean(part[rule]["loss"][:, -1]))


def draw(fig: Figure, result: Result) -> None:
    """Top: the last loss of PC over that of BP, and the curves of one network. Bottom: iterations to half of
    the loss against sigma.
    """
    top, bottom = fig.subfigures(2, 1)
    ratios, curves = top.subplots(1, 2, width_ratios=(1.15, 1))
    _map(ratios, result)
    widths, hidden = result["widths"], result["hidden"]
    _curves(curves, result, int(widths[len(widths) // 2]), int(hidden[-2]))
    depths = [int(h) for h in result["sigma hidden"]]
    panels = np.atleast_1d(bottom.subplots(1, len(depths), sharey=True))
    sigmas, last = result["sigmas"], result["steps"][-1]
    for ax, h in zip(panels, depths, strict=True):
        ax.set(xscale="log", yscale="log", xlabel=r"initial size $\sigma$", title=f"sp, $N = 8$, $H = {h}$")
        for rule in ("bp", "pc"):
            times = np.array([result["sigma"][h][f"{s:g}"][rule]["half"] for s in sigmas])
            reached = np.isfinite(times).all(axis=1)
            shown = np.where(np.isfinite(times), times, 1.5 * last)
            colour = plotting.COLOURS[rule]
            plotting.medians(ax, sigmas, shown.T, colour, rule.upper())
            late, middle = sigmas[~reached], np.median(shown[~reached], axis=1)
            ax.plot(late, middle, "^", color=colour, markerfacecolor="white", zorder=5)
    panels[0].set_ylabel("iterations to half of the loss")
    plotting.legend_outside(top, curves, "bottom")
    plotting.letter([ratios, curves, *panels])


def _map(ax: Axes, result: Result) -> None:
    """Red: PC ends higher."""
    widths, hidden = [int(n) for n in result["widths"]], [int(h) for h in result["hidden"]]
    values = np.array(
        [[_last(result[n][h], "pc") / _last(result[n][h], "bp") for h in hidden] for n in widths]
    )
    bound = np.abs(np.log10(values)).max()
    image = ax.imshow(np.log10(values), cmap=plotting.DIVERGING, vmin=-bound, vmax=bound, aspect="auto")
    for (row, column), value in np.ndenumerate(values):
        pale = abs(np.log10(value)) < 0.6 * bound
        ax.text(column, row, rounded(value), ha="center", va="center", fontsize=7.5,
                color=plotting.COLOURS["ink"] if pale else "white")  # fmt: skip
    ax.set_xticks(range(len(hidden)), [str(h) for h in hidden])
    ax.set_yticks(range(len(widths)), [str(n) for n in widths])
    ax.set(xlabel="hidden layers $H$", ylabel="width $N$", title=r"last loss, PC over BP, $\mu$PC")
    ax.figure.colorbar(image, ax=ax, label=r"$\log_{10}$ of the ratio")


def _curves(ax: Axes, result: Result, width: int, hidden: int) -> None:
    part, steps = result[width][hidden], result["steps"]
    for rule in ("bp", "pc"):
        colour = plotting.COLOURS[rule]
        for k, losses in enumerate(part[rule]["loss"]):
            ax.plot(steps, losses, color=colour, lw=0.9, label=None if k else f"{rule.upper()}, loss")
    for k, energies in enumerate(part["pc"]["energy"]):
        ax.plot(steps, energies, ":", color=plotting.COLOURS["pc"], label=None if k else "PC, energy")
    ax.set(xlabel="iteration", ylabel="loss, energy", ylim=(0, None))
    ax.set_title(rf"$\mu$PC, $N = {width}$, $H = {hidden}$")


def numbers(result: Result) -> dict[str, str | float]:
    """Median iterations to half of the loss by depth, sigma and rule."""
    found: dict[str, str | float] = {}
    for h in result["sigma hidden"]:
        for s in result["sigmas"]:
            for rule in ("pc", "bp"):
                middle = np.median(result["sigma"][int(h)][f"{s:g}"][rule]["half"])
                found[f"{rule}-{h}-{s:g}"] = f"{middle:.0f}"
    for n in result["widths"]:
        for h in result["hidden"]:
            for rule in ("pc", "bp"):
                found[f"{rule}-loss-{n}-{h}"] = (
                    f"{np.nanmean(result[int(n)][int(h)][rule]['loss'][:, -1]):.2g}"
                )
    last = {
        (n, h, rule): np.nanmean(result[int(n)][int(h)][rule]["loss"][:, -1])
        for n in result["widths"]
        for h in result["hidden"]
        for rule in ("pc", "bp")
    }
    cells = [(n, h) for n in result["widths"] for h in result["hidden"]]
    found["panels"] = len(cells)
    found["wins"] = sum(bool(last[n, h, "pc"] < last[n, h, "bp"]) for n, h in cells)
    return found


def caption(result: Result, meta: Meta) -> str:
    """What was run, what agrees, what does not."""
    n = numbers(result)
    first = int(result["sigma hidden"][-1])
    times = ", ".join(
        rf"{n[f'pc-{first}-{s:g}']} and {n[f'bp-{first}-{s:g}']} ($\sigma = {s:g}$)" for s in result["sigmas"]
    )
    return (
        "Only from very small weights does PC fit narrow deep networks sooner: from the parameterisation's "
        rf"own it ends lower in {n['wins']} of {n['panels']} networks. The toy problem of the "
        rf"limits, without skips, {_names.seeds(meta.config)}. (a) $\mu$PC, mean loss after "
        rf"{meta.config['steps']} iterations, PC over BP (red: PC is behind). (b) One of them, every seed: "
        rf"PC "
        "lowers its energy at once and the loss late, because $S$ grows as well. (c, d) Iterations "
        r"to half of the loss, sp, weights of standard deviation $\sigma$, median and range "
        rf"(open: not all arrive). PC and BP at $H = {first}$: {times}; inf: not within the run. "
        rf"({meta.setting}.)"
    )


def outcomes(result: Result, meta: Meta) -> list[Outcome]:
    """Which rule ends lower in narrow deep networks."""
    n = numbers(result)
    return [
        outcome(
            "without skips, narrow deep networks start near a saddle and PC fits them sooner than BP",
            f"PC ends with the lower loss in {n['wins']} of {n['panels']} networks of the parameterisation",
            2 * int(n["wins"]) > int(n["panels"]),
        )
    ]
