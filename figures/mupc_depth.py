r"""muPC on residual networks of growing depth beside backpropagation, and which of their layers learn.

Published: muPC and BP with Depth-muP together at every H, standard PC falling behind with H or diverging.
Dotted: muPC when the published rate is a base rate, of which hidden layers get (N L)^-1/2 and the others all.
"""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from experiments import mupc_depth, mupc_scaled_rate
from experiments._result import Result
from experiments._store import Meta
from figures import _names
from figures._outcome import Outcome, outcome
from pctheory import plotting

EXPERIMENTS = (mupc_depth, mupc_scaled_rate)
TITLE = r"Deep residual networks under $\mu$PC"
SOURCE = "MU 1 right"
SIZE = (5.5, 3.9)
LABELS = {"bp": r"BP, Depth-$\mu$P", "mupc": r"$\mu$PC", "sp": "PC, sp"}
SCALED = r"$\mu$PC, hidden rates $\times (NL)^{-1/2}$"
MOVED = 0.1
"""Relative change of a layer's weights above which it counts as having learned."""


def _colour(method: str) -> str:
    return plotting.COLOURS["bp"] if method == "bp" else plotting.COLOURS["pc"]


def draw(fig: Figure, results: Mapping[str, Result]) -> None:
    """Top: test accuracy against iteration, one panel per depth. Bottom: relative change of each layer's
    weights.
    """
    result, scaled = results["mupc_depth"], results["mupc_scaled_rate"]
    depths = list(result["accuracy"])
    axes = fig.subplots(2, len(depths), squeeze=False, sharey="row")
    plotting.letter(axes.ravel().tolist())
    for column, hidden in enumerate(depths):
        top, bottom = axes[:, column]
        for method, label in LABELS.items():
            style = {"ls": "--"} if method == "sp" else {}
            accuracies = 100 * np.asarray(result["accuracy"][hidden][method])
            plotting.spread(top, result["steps"][method], accuracies, _colour(method), label, **style)
        if hidden in scaled["accuracy"]:
            accuracies = 100 * np.asarray(scaled["accuracy"][hidden])
            plotting.spread(top, scaled["steps"], accuracies, plotting.COLOURS["pc"], SCALED, ls=":")
        top.set(title=f"H = {hidden}", xlabel="iteration", ylim=(0, 100))
        bottom.set_yscale("log")
        layers = np.arange(1, int(hidden) + 2)
        for method in ("bp", "mupc"):
            changes = np.asarray(result["change"][hidden][method])
            moving = np.where(changes > 0, changes, np.nan)
            for row in moving:
                bottom.plot(layers, row, marker=".", ms=4, lw=0.6, color=_colour(method))
        if hidden in scaled["change"]:
            for row in np.asarray(scaled["change"][hidden]):
                bottom.plot(layers, row, marker=".", ms=4, lw=0.6, ls=":", color=plotting.COLOURS["pc"])
        bottom.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        bottom.set_xlabel("layer $l$")
    axes[0, 0].set_ylabel("test accuracy (%)")
    axes[1, 0].set_ylabel(r"$\Vert \Delta W_l \Vert / \Vert W_l(0) \Vert$")
    plotting.legend_outside(fig, axes[0], "bottom")


def _percent(values: np.ndarray) -> str:
    finite = values[np.isfinite(values)]
    lost = "" if len(finite) == len(values) else f" ({len(values) - len(finite)} of {len(values)} diverged)"
    if len(finite) == 0:
        return "diverged"
    low, high = f"{100 * finite.min():.1f}", f"{100 * finite.max():.1f}"
    return (low if low == high else f"{low}-{high}") + lost


def _moved(change: np.ndarray) -> str:
    counts = np.unique(np.sum(change > MOVED, axis=1))
    return "-".join(str(c) for c in sorted({counts[0], counts[-1]}))


def _gap(result: Result, hidden: str) -> float:
    """Mean test accuracy of BP minus that of muPC, in points."""
    bp, pc = (100 * float(np.mean(np.asarray(result["final"][hidden][m]))) for m in ("bp", "mupc"))
    return bp - pc


def caption(results: Mapping[str, Result], metas: Mapping[str, Meta]) -> str:
    """Final accuracies, layers that learned, and what differs."""
    result, meta = results["mupc_depth"], metas["mupc_depth"]
    scaled, other = results["mupc_scaled_rate"], metas["mupc_scaled_rate"]
    depths = list(result["accuracy"])
    scores = "; ".join(
        ", ".join(_percent(np.asarray(result["final"][h][m])) for m in ("mupc", "bp", "sp")) for h in depths
    )
    moved = "; ".join(f"{_moved(np.asarray(result['change'][h]['mupc']))} of {int(h) + 1}" for h in depths)
    further = "; ".join(
        f"{_percent(np.asarray(values))} ({_moved(np.asarray(scaled['change'][h]))} layers)"
        for h, values in scaled["final"].items()
    )
    gaps = [_gap(result, h) for h in depths]
    return (
        r"$\mu$PC trains where standard PC fails; single precision loses the attenuated error of all but "
        r"the last layers. ReLU "
        rf"residual networks on {_names.dataset(result['dataset'])}, $T = H$. Top: test accuracy along "
        rf"training (first {meta.config['test_images']} images). After {int(result['steps']['mupc'][-1])} "
        rf"iterations (sp: {int(result['steps']['sp'][-1])}) the whole test set gives, in per cent, $\mu$PC, "
        rf"BP and PC in sp, by $H = {', '.join(depths)}$: {scores}. BP is ahead of $\mu$PC by "
        rf"{min(gaps):.1f} to {max(gaps):.1f} points; published: together. Bottom: change of each layer's "
        rf"weights; above {100 * MOVED:g}% under $\mu$PC: {moved}. Dotted: $\mu$PC "
        rf"with the rate of hidden layers times $(NL)^{{-1/2}}$, {_names.seeds(other.config)}: {further}. "
        rf"({meta.setting}; {_names.seeds(meta.config)}.)"
    )


def numbers(results: Mapping[str, Result]) -> dict[str, str | float]:
    """Accuracies in per cent, and layers that learned, at the largest depth."""
    result, scaled = results["mupc_depth"], results["mupc_scaled_rate"]
    hidden = list(result["accuracy"])[-1]
    change = result["change"][hidden]
    found: dict[str, str | float] = {
        "depth": float(hidden),
        **{f"accuracy-{m}": _percent(np.asarray(result["final"][hidden][m])) for m in LABELS},
        **{f"moved-{m}": _moved(np.asarray(change[m])) for m in ("mupc", "bp")},
    }
    if hidden in scaled["final"]:
        found["accuracy-scaled"] = _percent(np.asarray(scaled["final"][hidden]))
        found["accuracy-scaled-bp"] = _percent(np.asarray(scaled["final_bp"][hidden]))
        found["moved-scaled"] = _moved(np.asarray(scaled["change"][hidden]))
    return found


def outcomes(results: Mapping[str, Result], metas: Mapping[str, Meta]) -> list[Outcome]:
    """Accuracy of the three rules after an epoch."""
    result = results["mupc_depth"]
    depths = list(result["accuracy"])
    gaps = [_gap(result, h) for h in depths]
    means = {m: [100 * float(np.mean(result["final"][h][m])) for h in depths] for m in ("mupc", "sp")}
    return [
        outcome(
            r"$\mu$PC and BP reach the same accuracy at every depth",
            f"BP is ahead by {min(gaps):.1f} to {max(gaps):.1f} points",
            *(gap < 1 for gap in gaps),
        ),
        outcome(
            "PC in the standard parameterisation falls with depth",
            ", ".join(rf"{value:.0f}% at $H = {h}$" for h, value in zip(depths, means["sp"], strict=True)),
            means["sp"][-1] < means["mupc"][-1] - 20,
        ),
    ]
