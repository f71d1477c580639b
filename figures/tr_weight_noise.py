r"""Objectives under Gaussian weight noise at the minima that BP and PC find, and the line of their Hessians.

Published: PC lower. True of its own objective, the energy; the loss at PC's minimum is the higher one from
the published start.
"""

import numpy as np
from matplotlib.figure import Figure

from experiments import tr_weight_noise
from experiments._result import Result
from experiments._store import Meta
from figures._outcome import Outcome, outcome
from pctheory import plotting

EXPERIMENT = tr_weight_noise
TITLE = "Flatness and weight noise at the minima"
SOURCE = "TR 6"
SIZE = (5.5, 2.2)
# where, what, label, colour, marker
_CURVES = (
    ("bp", "bp", r"$\mathcal{L}$ at BP's minimum", plotting.COLOURS["bp"], "o"),
    ("pc", "bp", r"$\mathcal{L}$ at PC's minimum", plotting.COLOURS["loss"], "s"),
    ("pc", "pc", r"$F^*$ at PC's minimum", plotting.COLOURS["pc"], "o"),
)
_TRACES = ("loss at bp", "loss at pc", "energy at pc")


def draw(fig: Figure, result: Result) -> None:
    """Left: noise curves. Right: trace of the Hessian at the minima from random starts."""
    left, right = fig.subplots(1, 2, width_ratios=(1.4, 1))
    sigma = np.asarray(result["deviations"])
    fine = np.linspace(0, sigma[-1], 100)
    for where, what, label, color, marker in _CURVES:
        part = result[where]
        mean, error = part[f"mean/{what}"], part[f"error/{what}"]
        left.errorbar(
            sigma, mean, 2 * np.asarray(error), fmt=marker, ms=3.5, color=color, label=label, elinewidth=0.8
        )
        name = r"$\sigma^2\,\mathrm{tr}(\nabla^2)\,/\,2$" if what == "pc" else None
        plotting.theory(left, fine, 0.5 * fine**2 * part[f"curvature/{what}"], label=name)
    left.set(xlabel=r"standard deviation of weight noise $\sigma$", ylabel="mean objective", ylim=(0, None))
    left.legend(loc="upper left", fontsize=7)
    traces = [result["traces"][name] for name in _TRACES]
    colors = [color for _, _, _, color, _ in _CURVES]
    plotting.violins(right, traces, colors, [r"$\mathcal{L}$, BP", r"$\mathcal{L}$, PC", r"$F^*$, PC"])
    right.set(ylabel="trace of the Hessian", xlim=(-0.5, 2.5), ylim=(0, None))
    plotting.letter([left, right])


def caption(result: Result, meta: Meta) -> str:
    """Measured against the line; which of the published statements hold."""
    traces = ", ".join(f"{np.median(result['traces'][name]):.2f}" for name in _TRACES)
    flatter = np.asarray(result["traces"]["loss at pc"]) < np.asarray(result["traces"]["loss at bp"])
    end = {(w, m): result[w][f"mean/{m}"][-1] for w, m, *_ in _CURVES}
    small = max(abs(z) for z in _scores(result))
    return (
        "PC's minimum is flatter for PC's own objective, not for the loss. The toy $f = w_2 w_1 x$, $y = "
        rf"-x$. (a) Mean of loss and energy over {meta.config['draws']} draws of Gaussian weight noise at "
        "the minima reached from $(0.744, 0.94)$ (bars: two standard errors), and what the Hessian predicts "
        rf"(lines; at the smallest noise they agree to {small:.1f} standard errors). At $\sigma = "
        rf"{max(result['deviations']):g}$: loss {end['bp', 'bp']:.2f} at BP's minimum and "
        rf"{end['pc', 'bp']:.2f} at PC's, energy {end['pc', 'pc']:.2f} at PC's. The published outcome, PC "
        "lower, holds for each rule's own objective, because the Hessian of $F^*$ is that of the loss over "
        rf"$1 + w_2^2$. (b) Trace of the Hessian at the minima from {meta.config['starts']} random starts "
        rf"(medians {traces}); for the loss PC's minimum is the flatter one in "
        rf"{100 * np.mean(flatter):.0f}%. ({meta.setting}.)"
    )


def _scores(result: Result) -> list[float]:
    """Deviation from the exact mean (loss) at the smallest noise, in standard errors."""
    sigma = result["deviations"][0]
    scores = []
    for where, what, *_ in _CURVES:
        part = result[where]
        line = 0.5 * sigma**2 * part[f"curvature/{what}"]
        scores.append((part[f"mean/{what}"][0] - line) / part[f"error/{what}"][0])
    return scores


def numbers(result: Result) -> dict[str, str | float]:
    """The objectives at the largest noise, medians of the traces."""
    found: dict[str, str | float] = {
        f"{m}-at-{w}": f"{result[w][f'mean/{m}'][-1]:.2f}" for w, m, *_ in _CURVES
    }
    for name in _TRACES:
        found["trace-" + name.replace(" ", "-")] = f"{np.median(result['traces'][name]):.2f}"
    return found


def outcomes(result: Result, meta: Meta) -> list[Outcome]:
    """Who is lower under weight noise, by its own objective and by the loss."""
    end = {(w, m): float(result[w][f"mean/{m}"][-1]) for w, m, *_ in _CURVES}
    return [
        outcome(
            "under weight noise PC's minimum is lower",
            f"PC's energy {end['pc', 'pc']:.2f}, BP's loss {end['bp', 'bp']:.2f}; the loss at PC's minimum "
            f"{end['pc', 'bp']:.2f}",
            end["pc", "pc"] < end["bp", "bp"],
            end["pc", "bp"] < end["bp", "bp"],
        )
    ]
