r"""The largest learning rate at a fit, over depth and gain.

A faithful run sees descent converge at .98 and diverge at 1.02 of every predicted rate, PC's rates above the
bound over the layers, and BP's rates fall with depth also where the maps are orthogonal.
"""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments import fit_sharpness
from experiments._result import Result
from experiments._store import Meta
from figures._escapes import rounded
from pctheory import plotting

EXPERIMENT = fit_sharpness
TITLE = "The largest learning rate at a fit"
SOURCE = "new"
SIZE = (5.5, 2.5)
_RULES = {"bp": "BP", "pc": "PC"}
_MARKS = "vos"


def draw(fig: Figure, result: Result) -> None:
    """Largest rates of orthogonal and of Gaussian networks, and what descent does on both sides of them."""
    axes = fig.subplots(1, 3)
    _rates(axes[0], result, "orthogonal")
    _rates(axes[1], result, "gaussian")
    _sides(axes[2], result)
    axes[0].set_title("orthogonal maps")
    axes[1].set_title("Gaussian maps")
    axes[2].set_title("descent beside the fit")
    axes[0].set_ylabel("largest rate")
    plotting.legend_outside(fig, axes[0], "bottom", ncols=4)
    plotting.letter(axes)


def _rates(ax: Axes, result: Result, kind: str) -> None:
    at, table = np.asarray(result["depths"]), result["maps"][kind]
    plotting.log2_axis(ax, "x")
    ax.set_yscale("log")
    for row, gain in enumerate(result["gains"]):
        for rule, name in _RULES.items():
            held = _holds(table, rule)[row]
            rates = np.asarray(table[f"{rule}_rate"])[row]
            ax.plot(
                at, np.where(held, rates, np.nan), _MARKS[row] + "-", ms=3.2, lw=0.7,
                color=plotting.COLOURS[rule], label=f"{name}, gain {gain:g}",
            )  # fmt: skip
    for row, least in enumerate(table["pc_least"]):
        plotting.theory(ax, at, least, label="bound over the layers" if row == 0 else None, linestyle=":")
    ax.set_xlabel("depth $L$")


def _sides(ax: Axes, result: Result) -> None:
    at = np.asarray(result["depths"])
    plotting.log2_axis(ax, "x")
    ax.set_yscale("log")
    for table in (result["maps"]["orthogonal"], result["maps"]["gaussian"]):
        for rule in _RULES:
            for side in ("below", "above"):
                for row in table[f"{rule}_{side}"]:
                    ax.plot(at, row, ".", ms=3.5, color=plotting.COLOURS[rule])
    ax.axhline(1, color=plotting.COLOURS["theory"], lw=0.7)
    ax.text(0.5, 0.72, r"1.02 $\times$ the rate", transform=ax.transAxes, fontsize=7, ha="center")
    ax.text(0.5, 0.24, r"0.98 $\times$ the rate", transform=ax.transAxes, fontsize=7, ha="center")
    ax.set_xlabel("depth $L$")
    ax.set_ylabel("last over first value")


def _holds(table: Result, rule: str) -> np.ndarray:
    """Where descent converged below the predicted rate and diverged above it."""
    return (np.asarray(table[f"{rule}_below"]) < 0.1) & (np.asarray(table[f"{rule}_above"]) > 10)


def caption(result: Result, meta: Meta) -> str:
    """What was run and what agrees."""
    found = numbers(result)
    return (
        r"Descent at a fit stands exactly the predicted rates, and PC's does not fall with depth where the "
        r"activities stay of one size. "
        rf"Linear networks, N = {meta.config['width']}. (a, b) The largest rate, 2 over the sharpness of "
        rf"$F^*$ (blue) and of $\mathcal{{L}}$ (grey); dotted: "
        r"$2 / \max_l \lambda_{\max} \langle \hat z_l \hat z_l^T \rangle$, below which PC is stable whatever "
        r"the backward gains. "
        rf"(c) {meta.config['steps']} steps from beside the fit at 0.98 and 1.02 of the rate: "
        rf"{found['confirmed']} of {found['tried']} converge below and diverge above. ({meta.setting}.)"
    )


def numbers(result: Result) -> dict[str, str | float]:
    """How many predicted rates descent confirmed, and the largest ratio of the two rules' rates."""
    held = [_holds(result["maps"][kind], rule) for kind in result["maps"] for rule in _RULES]
    ratios = [
        np.asarray(table["pc_rate"]) / np.asarray(table["bp_rate"]) for table in result["maps"].values()
    ]
    return {
        "confirmed": int(sum(h.sum() for h in held)),
        "tried": int(sum(h.size for h in held)),
        "largest-ratio": rounded(float(np.max(ratios))),
    }
