r"""What predictive coding learns behind a bottleneck where backpropagation does reduced-rank regression; the
remedies.

Sees: PC's output space is that of the principal components of the targets, BP's that of the regression;
weight decay and the full likelihood have a minimiser, but it stays near the principal components.
"""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments import noise_and_bottleneck
from experiments._result import Result
from experiments._store import Meta
from pctheory import plotting

EXPERIMENT = noise_and_bottleneck
TITLE = "Noise and a bottleneck: principal components of the targets"
SOURCE = "new"
SIZE = (5.5, 2.1)
_RULES = {
    "bp": ("BP", plotting.COLOURS["bp"], "s"),
    "pc": ("PC", plotting.COLOURS["pc"], "o"),
    "likelihood": ("likelihood", "#832db6", "^"),
}


def draw(fig: Figure, result: Result) -> None:
    """Overlap with the regression, test loss, and weight decay."""
    axes = fig.subplots(1, 3)
    units = [int(k) for k in result["units"]]
    forms = result["closed_form"]
    overlap = [float(forms[str(k)]["overlap"]) for k in units]
    plotting.theory(axes[0], units, overlap, label=None)
    plotting.theory(axes[0], units, np.ones(len(units)), label=None)
    for space in ("pca", "regression"):
        plotting.theory(axes[1], units, [float(forms[str(k)][space]) for k in units], label=None)
    for rule, (label, color, marker) in _RULES.items():
        cells = [result[rule][str(k)] for k in units]
        for ax, key in ((axes[0], "regression"), (axes[1], "test")):
            values = [float(cell[key]) for cell in cells]
            plotting.measured(ax, units, values, label=label, color=color, marker=marker, zorder=5)
    axes[0].set(xlabel="hidden units", ylabel="overlap", title="with the regression", ylim=(0, 1.08))
    axes[1].set(xlabel="hidden units", ylabel=r"test $\mathcal{L}$", title="prediction")
    axes[0].legend(fontsize=7, loc="lower right", handlelength=1)
    for ax in axes[:2]:
        ax.set_xscale("log", base=2)
        ax.set_xticks(units, [str(k) for k in units])
        ax.minorticks_off()
    _remedies(axes[2], result)
    plotting.letter(axes)


def _remedies(ax: Axes, result: Result) -> None:
    decays = [float(d) for d in result["decays"]]
    cells = [result["decay"][f"{d:g}"] for d in decays]
    for key, color in (("pca", plotting.COLOURS["pc"]), ("regression", plotting.COLOURS["bp"])):
        label = {"pca": "components", "regression": "regression"}[key]
        plotting.measured(ax, decays, [float(cell[key]) for cell in cells], label=label, color=color)
    ax.set_xscale("log")
    ax.set(xlabel="weight decay", ylabel="overlap with", title="PC with decay", ylim=(0, 1.08))
    ax.legend(fontsize=7, loc="center right", handlelength=1)


def caption(result: Result, meta: Meta) -> str:
    """What was run, what each objective ends at."""
    first = str(int(result["units"][0]))
    found = numbers(result)
    return (
        rf"Lower halves of the digits predicted from the upper halves by linear networks with one narrow "
        rf"hidden layer; L-BFGS on each objective. (a) Overlap (mean squared cosine) of the network's output "
        rf"space with that of reduced-rank regression; black: the overlap of the principal components of the "
        rf"targets, and 1. With {first} hidden unit(s) PC's overlap with the principal components is "
        rf"{found['pc-components']:.4f}, BP's with the regression {found['bp-regression']:.4f}. (b) Test "
        rf"loss; black: the best maps into both spaces. (c) PC with weight decay, {first} hidden unit(s). "
        rf"Decay and the full likelihood have a minimiser, but near the components: the likelihood's overlap "
        rf"with them is {found['likelihood-components']:.2f}. PC's energy ends {found['pc-gap']:.1g} above "
        rf"its infimum, with output weights of norm {found['pc-size']:.0f}. ({meta.setting}.)"
    )


def numbers(result: Result) -> dict[str, float]:
    """Overlaps with one hidden unit (the first number of units), and where PC ends."""
    first = str(int(result["units"][0]))
    pc = result["pc"][first]
    return {
        "pc-components": float(pc["pca"]),
        "bp-regression": float(result["bp"][first]["regression"]),
        "likelihood-components": float(result["likelihood"][first]["pca"]),
        "apart": float(result["closed_form"][first]["overlap"]),
        "pc-test": float(pc["test"]),
        "bp-test": float(result["bp"][first]["test"]),
        "pc-gap": float(pc["energy"]) - float(pc["least_energy"]),
        "pc-size": float(np.asarray(pc["sizes"])[-1]),
    }
