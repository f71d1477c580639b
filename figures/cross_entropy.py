r"""A cross-entropy output on labels that the inputs do not tell: the energy falls to 0 and the loss rises.

What to see: on the plane F* has no minimum, only the saddle at the origin, where the loss has valleys; along
the flow the energy passes below the least possible loss while the loss climbs; weight decay stops it; with
width the gradients of PC and of BP come together.
"""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments import cross_entropy
from experiments._result import Result
from experiments._store import Meta
from figures._escapes import rounded
from pctheory import plotting

EXPERIMENT = cross_entropy
TITLE = "Cross-entropy and random labels"
SOURCE = "new"
SIZE = (5.5, 3.9)
_RULES = {
    "pc": ("PC: $F^*$", plotting.COLOURS["pc"]),
    "decay": ("PC with weight decay", "#e76300"),
    "bp": ("BP", plotting.COLOURS["bp"]),
}


def draw(fig: Figure, result: Result) -> None:
    """Top: F* and the loss on the plane, the gradients. Bottom: the chain and the digits along learning."""
    axes = fig.subplots(2, 3)
    for ax, name, title in zip(axes[0], ("energy", "loss"), ("$F^*$", r"$\mathcal{L}$"), strict=False):
        plotting.contour(ax, result["axis"], result["axis"], result["plane"][name])
        ax.plot(0, 0, "o", ms=4, color=plotting.COLOURS["highlight"])
        ax.set(title=f"{title}, 1-1-2", xlabel="$w_1$", ylabel="$w_2$")
    _curves(axes[1, 0], result["chain"], "energy", "$F^*$, 1-1-2", "time $t$")
    _curves(axes[1, 1], result["chain"], "loss", r"$\mathcal{L}$, 1-1-2", "time $t$")
    _digits(axes[1, 2], result["digits"])
    _cosines(axes[0, 2], result)
    plotting.legend_outside(fig, axes[1, 0], "bottom")
    plotting.letter(axes.ravel().tolist())


def _curves(ax: Axes, runs: Result, name: str, title: str, label: str) -> None:
    for rule, (text, color) in _RULES.items():
        at, values = np.asarray(runs[rule]["at"])[1:], np.asarray(runs[rule][name])[1:]
        ax.semilogx(at, values, color=color, label=text)
    ax.axhline(least(runs), color=plotting.COLOURS["theory"], lw=0.7, ls=":")
    ax.set(title=title, xlabel=label, ylabel="nats")


def _digits(ax: Axes, runs: Result) -> None:
    for rule, (_, color) in _RULES.items():
        at = np.asarray(runs[rule]["at"])
        ax.plot(at, runs[rule]["loss"], color=color)
        if rule != "bp":
            ax.plot(at, runs[rule]["energy"], color=color, ls="--")
    ax.axhline(np.log(10), color=plotting.COLOURS["theory"], lw=0.7, ls=":")
    ax.set(title="digits, random labels", xlabel="iteration", ylabel=r"$\mathcal{L}$ (dashed: $F^*$)")


def _cosines(ax: Axes, result: Result) -> None:
    gap = 1 - np.asarray(result["cosine"])
    ax.loglog(result["widths"], gap.mean(axis=1), "o-", ms=3, color=plotting.COLOURS["pc"])
    plotting.theory(ax, result["widths"], slope(result), linestyle="--")
    ax.set(title="gradients, digits", xlabel="width $N$", ylabel="1 - cosine to BP")


def slope(result: Result) -> np.ndarray:
    """A line of slope -2 through the mean at the largest width."""
    widths, gap = np.asarray(result["widths"]), 1 - np.asarray(result["cosine"])
    line: np.ndarray = gap[-1].mean() * (widths / widths[-1]) ** -2.0
    return line


def least(runs: Result) -> float:
    """The least loss that BP found."""
    return float(np.min(np.asarray(runs["bp"]["loss"])))


def caption(result: Result, meta: Meta) -> str:
    """What the energy and the loss do, the remedy, the gradients."""
    n, c = numbers(result), meta.config
    return (
        "With a cross-entropy output PC can drive its energy to 0 on any labels while the loss rises. "
        rf"(a, b) The chain 1-1-2 on {c['samples']} noisy signs ($\pm w_2$ read two classes); dot: the "
        r"only critical point of $F^*$ on the plane, a strict saddle. (c) "
        rf"{c['seeds']} $\mu$PC networks a width, true labels; dashed: $N^{{-2}}$. (d, e) Gradient flow of "
        rf"the "
        rf"chain: at the end $F^* = {n['chain-energy']}$ and the loss {n['chain-loss']}; BP's best (dotted) "
        rf"{n['chain-least']}; with weight decay {c['decay']:g} the loss is {n['chain-decayed']}. (f) "
        rf"{c['images']} digits, {c['components']} principal components, random labels, {c['hidden']} hidden "
        rf"units: loss at the end {n['digits-pc']} (PC), {n['digits-decay']} (decay), {n['digits-bp']} (BP); "
        rf"PC's energy {n['digits-energy']}; dotted: $\log 10$. ({meta.setting}.)"
    )


def numbers(result: Result) -> dict[str, str | float]:
    """Energies and losses at the end, BP's least loss, and how the cosine closes."""
    chain, digits = result["chain"], result["digits"]

    def last(runs: Result, rule: str, name: str) -> str | float:
        return rounded(float(np.asarray(runs[rule][name])[-1]), digits=3)

    gap = (1 - np.asarray(result["cosine"])).mean(axis=1)
    return {
        "chain-energy": last(chain, "pc", "energy"),
        "chain-loss": last(chain, "pc", "loss"),
        "chain-decayed": last(chain, "decay", "loss"),
        "chain-least": rounded(least(chain), digits=3),
        "digits-pc": last(digits, "pc", "loss"),
        "digits-energy": last(digits, "pc", "energy"),
        "digits-decay": last(digits, "decay", "loss"),
        "digits-bp": last(digits, "bp", "loss"),
        "gap-narrow": rounded(float(gap[0])),
        "gap-wide": rounded(float(gap[-1])),
    }
