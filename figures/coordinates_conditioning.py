r"""Condition numbers in the two coordinates, and the energy gap of every solver against equal work.

What to see: kappa in the activities grows like the square of the depth and in the errors stays near 1;
descent in the errors needs a handful of gradients where descent in the activities needs thousands; conjugate
gradients end after n_L.
"""

import numpy as np
from matplotlib.figure import Figure

from experiments import coordinates_conditioning
from experiments._result import Result
from experiments._store import Meta
from pctheory import plotting

EXPERIMENT = coordinates_conditioning
TITLE = "Inference is slow in the activities and fast in the errors"
SOURCE = "new"
SIZE = (5.5, 4.1)

_LIGHT, _MIDDLE, _DARK = plotting.shades(3)
_ERRORS = plotting.COLOURS["sp"]
SOLVERS = {
    "gd": ("descent", _LIGHT, "-"),
    "heun": ("Heun", _LIGHT, "--"),
    "adam": ("Adam", _MIDDLE, "-"),
    "momentum": ("heavy ball", _DARK, "-"),
    "cg": ("conjugate gradients", _DARK, ":"),
    "error-gd": ("descent, errors", _ERRORS, "-"),
    "error-cg": ("conjugate gradients, errors", _ERRORS, ":"),
}
"""In the activities blue, in the errors orange."""


def draw(fig: Figure, result: Result) -> None:
    """First panel: condition numbers. Others: gap against work, one depth each."""
    axes = fig.subplots(2, 2)
    ax, hidden = axes[0, 0], result["kappa hidden"]
    ax.set(xscale="log", yscale="log", xlabel="hidden layers $H$", ylabel="condition number")
    plotting.measured(ax, hidden, result["kappa activities"], label="activities")
    plotting.measured(ax, hidden, result["kappa errors"], label="errors", color=_ERRORS)
    plotting.theory(ax, hidden, result["kappa mean"], label=r"$\mathrm{E}\,\mathrm{tr}\,S / n_L$")
    middle = len(hidden) // 2
    square = result["kappa activities"][middle] * (hidden / hidden[middle]) ** 2
    ax.plot(hidden, square, ":", color=plotting.COLOURS["quiet"], label="$H^2$", linewidth=0.9)
    plotting.log2_axis(ax, "x")
    ax.legend()
    for ax, h in zip(axes.flat[1:], result["hidden"], strict=False):
        for method, (label, colour, line) in SOLVERS.items():
            trace = result[int(h)][method]
            kept = np.isfinite(trace["products"])
            ax.plot(
                np.maximum(trace["products"][kept], 0.5),
                np.maximum(trace["gaps"][kept], 1e-16),
                line,
                color=colour,
                label=label,
            )
        work = result[int(h)]["exact"]["products"]
        ax.axvline(float(np.nanmax(work)), color="black", linewidth=0.9, label="closed form", zorder=1)
        ax.set(xscale="log", yscale="log", ylim=(1e-8, 2), xlim=(0.4, None))
        ax.set(xlabel="gradients of the batch", ylabel="relative gap", title=f"$H = {h}$")
    for ax in axes.flat[1 + len(result["hidden"]) :]:
        ax.set_visible(False)
    plotting.legend_outside(fig, axes.flat[1], "bottom", ncols=4)
    plotting.letter(axes)


def numbers(result: Result) -> dict[str, str | float]:
    """Gradients to 1e-6 of the gap by solver and depth."""
    found: dict[str, str | float] = {}
    for h in result["hidden"]:
        for method in (*SOLVERS, "exact"):
            work = result[int(h)][method]["work"]
            found[f"{method}-{h}"] = f"{work:.0f}" if np.isfinite(work) and work >= 10 else f"{work:.1f}"
    return found


def caption(result: Result, meta: Meta) -> str:
    """What was run and what it shows."""
    n, (first, last) = numbers(result), (result["hidden"][0], result["hidden"][-1])
    limit = meta.config["max_products"]

    def both(method: str) -> str:
        shown = [n[f"{method}-{h}"] for h in (first, last)]
        return " and ".join(f"more than {limit}" if work == "inf" else str(work) for work in shown)

    return (
        r"Inference is slow in the activities and takes few gradients in the errors. Residual $\mu$PC "
        rf"networks of width {meta.config['width']} with {meta.config['outputs']} outputs at initialisation. "
        r"(a) Condition number in both coordinates; in the errors it is $\lambda_{\max}(S)$ (black: its "
        "exact lower value, the mean of the diagonal of $S$). (b-d) Relative energy gap against gradients of "
        "the batch. Gradients to $10^{-6}$ of the gap at $H = "
        rf"{first}$ and {last}: in the activities gradient descent {both('gd')}, heavy ball "
        rf"{both('momentum')}, conjugate gradients {both('cg')}; in the errors gradient descent "
        rf"{both('error-gd')}, conjugate gradients {both('error-cg')}; the closed form costs "
        rf"{both('exact')}. Steps are the best for the known spectrum. ({meta.setting}.)"
    )
