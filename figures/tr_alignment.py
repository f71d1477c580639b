r"""Cosine of the update to the way to the nearest solution: the published start, and all starts.

What to see: trust-region Newton > PC > GD from the published start; over random starts PC about as GD in the
mean.
"""

import numpy as np
from matplotlib.figure import Figure

from experiments import tr_alignment
from experiments._result import Result
from experiments._store import Meta
from figures._outcome import Outcome, outcome
from pctheory import plotting

EXPERIMENT = tr_alignment
TITLE = "Which update points at the nearest solution"
SOURCE = "TR 2 and new"
SIZE = (5.5, 2.05)
_NAMES = {"trust-region": "TR-Newton", "pc": "PC", "bp": "GD"}


def draw(fig: Figure, result: Result) -> None:
    """Left: the published start. Middle: distribution over random starts. Right: PC against GD by start."""
    left, middle, right = fig.subplots(1, 3, width_ratios=(1, 1, 1.1))
    for rule, name in _NAMES.items():
        values = np.asarray(result["published"][rule])
        color = plotting.COLOURS[rule]
        left.plot(np.arange(1, len(values) + 1), values, "o-", color=color, label=name)
        plotting.distribution(middle, result["random"][rule], color, name)
    left.set(xlabel="batch", ylabel="cosine to nearest solution", ylim=(0.4, 1.02), xticks=(1, 2, 3, 4, 5))
    left.legend(loc="center left", bbox_to_anchor=(0.0, 0.62), fontsize=7)
    middle.set(xlabel="cosine, first batch", ylabel="share of random starts", xlim=(-1.02, 1.02))
    axis, gain = result["axis"], result["gain"]
    image = right.pcolormesh(axis, axis, gain, cmap=plotting.DIVERGING, vmin=-1, vmax=1, rasterized=True)
    first = np.linspace(0.5, 2, 100)
    for sign in (-1, 1):
        right.plot(sign * first, -sign / first, color="black", lw=0.8, ls=":")
    right.plot(0.744, 0.94, "*", ms=9, color="black", markeredgecolor="white")
    right.set(xlabel="$w_1$", ylabel="$w_2$", aspect="equal", xticks=(-2, 0, 2), yticks=(-2, 0, 2))
    bar = fig.colorbar(image, ax=right, shrink=0.85, ticks=(-1, 0, 1))
    bar.set_label("PC $-$ GD", labelpad=0)
    plotting.letter([left, middle, right])


def caption(result: Result, meta: Meta) -> str:
    """Numbers at the published start, medians and means."""
    n, c = numbers(result), meta.config
    ranges = ", ".join(f"{name} {n[f'{rule}-published']}" for rule, name in _NAMES.items()).replace(
        "--", " to "
    )
    middle = ", ".join(
        f"{name} {n[f'{rule}-median']} and {n[f'{rule}-mean']}" for rule, name in _NAMES.items()
    )
    return (
        "PC points at the nearest solution better than BP from the published start, but from "
        rf"{n['pc-wins']}% of all starts only. The toy $f = w_2 w_1 x$, $y = -x$. (a) Cosine between the "
        rf"update and the way to the nearest solution over the first {c['batches']} batches from $(0.744, "
        rf"0.94)$: {ranges}, in the published order. (b) {c['starts']} starts uniform on $[-2, 2]^2$; "
        rf"medians and means: {middle}. (c) Cosine of PC minus "
        "that of GD by start (star: published; dotted: solutions). On one side of $w_1 = w_2$ PC heads for "
        rf"the farther solution, because its residual term drives $w_2$ away from zero. ({meta.setting}.)"
    )


def numbers(result: Result) -> dict[str, str | float]:
    """Medians, quartiles, ranges."""
    found: dict[str, str | float] = {}
    for rule in _NAMES:
        values, here = np.asarray(result["random"][rule]), np.asarray(result["published"][rule])
        found[f"{rule}-median"] = f"{np.median(values):.2f}"
        found[f"{rule}-mean"] = f"{np.mean(values):.2f}"
        found[f"{rule}-lower"] = f"{np.quantile(values, 0.25):.2f}"
        found[f"{rule}-upper"] = f"{np.quantile(values, 0.75):.2f}"
        found[f"{rule}-published"] = f"{here.min():.2f}--{here.max():.2f}"
    found["pc-wins"] = (
        f"{100 * np.mean(np.asarray(result['random']['pc']) > np.asarray(result['random']['bp'])):.0f}"
    )
    return found


def outcomes(result: Result, meta: Meta) -> list[Outcome]:
    """The order of the rules from the published start, and from other starts."""
    n = numbers(result)
    here = {rule: np.asarray(result["published"][rule]) for rule in _NAMES}
    ordered = np.all((here["trust-region"] >= here["pc"]) & (here["pc"] >= here["bp"]))
    return [
        outcome(
            "from the published start trust-region Newton points best, then PC, then gradient descent",
            ", ".join(f"{name} {n[f'{rule}-published']}" for rule, name in _NAMES.items()).replace(
                "--", " to "
            ),
            bool(ordered),
        ),
        outcome(
            "PC points better than gradient descent",
            f"from {n['pc-wins']}% of random starts",
            int(n["pc-wins"]) > 50,
        ),
    ]
