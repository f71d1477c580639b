r"""Narrow deep networks on the toy problem: loss and energy of PC, loss of BP; and times to half of the loss
from several sigma.

What to see: PC leaves the saddle of deep narrow networks sooner; the advantage holds for small
initialisations and reverses at ordinary scale.
"""

import numpy as np
from matplotlib.figure import Figure

from experiments import saddle_regime
from experiments._result import Result
from experiments._store import Meta
from figures import _names
from figures._outcome import Outcome, outcome
from pctheory import plotting

EXPERIMENT = saddle_regime
TITLE = "Narrow deep networks near the saddle"
SOURCE = "LIM A.4, A.23"
SIZE = (5.5, 5.0)


def draw(fig: Figure, result: Result) -> None:
    """Rows: widths. Columns: depths. Bottom: iterations to half of the loss against sigma."""
    top, bottom = fig.subfigures(2, 1, height_ratios=(len(result["widths"]), 1.25))
    widths, hidden = [int(n) for n in result["widths"]], [int(h) for h in result["hidden"]]
    axes = top.subplots(len(widths), len(hidden), sharex=True, sharey=True, squeeze=False)
    steps = result["steps"]
    for row, n in zip(axes, widths, strict=True):
        for ax, h in zip(row, hidden, strict=True):
            part = result[n][h]
            plotting.spread(ax, steps, part["bp"]["loss"], plotting.COLOURS["bp"], "BP, loss", linewidth=1.0)
            plotting.spread(ax, steps, part["pc"]["loss"], plotting.COLOURS["pc"], "PC, loss", linewidth=1.0)
            ax.plot(
                steps,
                np.nanmean(part["pc"]["energy"], axis=0),
                ":",
                color=plotting.COLOURS["pc"],
                label="PC, energy",
            )
            ax.set_ylim(0, 0.8)
            ax.set_title(f"$N = {n}$, $H = {h}$", fontsize=7.5)
        row[0].set_ylabel("loss, energy")
    for ax in axes[-1]:
        ax.set_xlabel("iteration")
    plotting.legend_outside(top, axes, "bottom")
    depths = [int(h) for h in result["sigma hidden"]]
    panels = np.atleast_1d(bottom.subplots(1, len(depths), sharey=True))
    sigmas = result["sigmas"]
    last = steps[-1]
    for ax, h in zip(panels, depths, strict=True):
        ax.set(xscale="log", yscale="log", xlabel=r"$\sigma$", title=f"sp, $N = 8$, $H = {h}$")
        for rule in ("bp", "pc"):
            times = np.array([result["sigma"][h][f"{s:g}"][rule]["half"] for s in sigmas])
            reached = np.isfinite(times).all(axis=1)
            shown = np.where(np.isfinite(times), times, 1.5 * last)
            colour = plotting.COLOURS[rule]
            plotting.medians(ax, sigmas, shown.T, colour, rule.upper())
            late, middle = sigmas[~reached], np.median(shown[~reached], axis=1)
            ax.plot(late, middle, "^", color=colour, markerfacecolor="white", zorder=5)
    panels[0].set_ylabel("iterations to loss 1/4")
    panels[0].legend(fontsize=7)


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
        rf"own it ends lower in {n['wins']} of {n['panels']} panels. The toy problem of the "
        rf"limits, without skips. Top: $\mu$PC, {meta.config['steps']} iterations, mean and deviation over "
        rf"{_names.seeds(meta.config)} (losses above 0.8 are cut). PC lowers its energy at once and the loss "
        "later than BP, because $S$ grows as well. Bottom: iterations to half of the loss of zero weights, "
        r"sp, weights of standard deviation $\sigma$, median and range (open: not all seeds arrive). PC and "
        rf"BP at $H = {first}$: {times}; inf: not within the run. ({meta.setting}.)"
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
