r"""All critical points that a search finds, of F* and of the loss, and the counterexample to strictness
without correlation.

What to see: no critical point of F* that is neither a global minimum nor a strict saddle, under the
hypotheses of the theorem; flat saddles of the loss; the degenerate point for S_xy = 0 turns strict or
disappears as soon as S_xy is not 0.
"""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments import critical_points
from experiments._result import Result
from experiments._store import Meta
from pctheory import plotting

EXPERIMENT = critical_points
TITLE = "Critical points of the energy are global minima or strict saddles"
SOURCE = "new"
SIZE = (5.5, 4.4)
_FAMILIES = {"realisable": "o", "bottleneck": "^", "noisy": "s"}
_INDICES = ("index 0", "1", "2", "3 or more")


def draw(fig: Figure, result: Result) -> None:
    """Top: value against smallest curvature for F* and L, and the certificates. Bottom: the
    counterexample.
    """
    axes = fig.subplots(2, 3)
    for ax, objective, title in ((axes[0, 0], "energy", "$F^*$"), (axes[0, 1], "loss", r"$\mathcal{L}$")):
        _cloud(ax, result[objective])
        ax.set_title(f"critical points of {title}")
        ax.set_ylabel("value above infimum")
    _certificates(axes[0, 2], result["energy"])
    _plane(axes[1, 0], result["counterexample"], 0)
    _plane(axes[1, 1], result["counterexample"], -1)
    _line(axes[1, 2], result["counterexample"])
    _keys(axes[0, 0])
    plotting.legend_outside(fig, axes[0, 0], "bottom", handlelength=0.8)
    plotting.letter(axes)


def _family(setting: str) -> str:
    return next(name for name in ("noisy", "bottleneck", "realisable") if name in setting)


def _cloud(ax: Axes, found: Any) -> None:
    """The colour is the index, the marker the kind of data."""
    colours = np.array(plotting.shades(len(_INDICES)))
    for setting, points in found.items():
        above = np.maximum(points["value"] - points["infimum"], 0)
        index = np.minimum(points["index"], len(_INDICES) - 1)
        ax.scatter(
            points["smallest"], above, s=8, c=colours[index], marker=_FAMILIES[_family(setting)], alpha=0.8,
            linewidths=0, zorder=3,
        )  # fmt: skip
    ax.axvline(0, color=plotting.COLOURS["ink"], lw=0.5)
    ax.set_xscale("symlog", linthresh=1e-3)
    ax.set_xlim(right=5e-4)
    ax.set_xticks([-10, -0.1, 0], ["$-10$", "$-0.1$", "0"])
    ax.set_xlabel(r"$\lambda_\mathrm{min}$ of the Hessian")


def _keys(ax: Axes) -> None:
    for name, colour in zip(_INDICES, plotting.shades(len(_INDICES)), strict=True):
        ax.plot([], [], "o", color=colour, label=name)
    for name, marker in _FAMILIES.items():
        ax.plot([], [], marker, color=plotting.COLOURS["quiet"], markeredgecolor="white", label=name)


def _certificates(ax: Axes, found: Any) -> None:
    """Curvature of the certificate's unit direction against the smallest eigenvalue, by case."""
    cases = ("i", "ii", "iii", "eigenvector")
    for code, name in enumerate(cases):
        chosen = [
            (p["smallest"][p["case"] == code], p["certificate"][p["case"] == code]) for p in found.values()
        ]
        smallest, certificate = (np.concatenate(part) for part in zip(*chosen, strict=True))
        if len(smallest):
            ax.loglog(-smallest, -certificate, "o", ms=3, alpha=0.7, markeredgewidth=0, label=f"case {name}")
    low, high = ax.get_xlim()
    plotting.theory(ax, [low, high], [low, high], label=None, linewidth=0.6)
    ax.set_xlim(low, high)
    ax.set(xlabel=r"$-\lambda_\mathrm{min}$", ylabel="minus certified curvature", title="certificates")
    ax.legend(fontsize=7, loc="lower right", handlelength=0.8)


def _plane(ax: Axes, found: Any, which: int) -> None:
    plotting.contour(ax, found["first"], found["last"], found["values"][which])
    ax.plot(1, 0, "o", ms=4, markerfacecolor="white", markeredgecolor=plotting.COLOURS["highlight"])
    if which == 0:
        d = found["distance"]
        ax.plot(1 - d, np.sqrt(d), color=plotting.COLOURS["highlight"], lw=1.2)
    ax.set(xlabel="$w_1$", ylabel="$w_2$", title=rf"$F^*$, $S_{{xy}} = {found['correlations'][which]:g}$")


def _line(ax: Axes, found: Any) -> None:
    for curvature, correlation, color in zip(
        found["smallest"], found["correlations"], plotting.shades(len(found["correlations"])), strict=True
    ):
        ax.plot(found["first"], curvature, color=color, label=f"$S_{{xy}} = {correlation:g}$")
    ax.axhline(0, color=plotting.COLOURS["ink"], lw=0.5)
    ax.set(xlabel="$w_1$", ylabel=r"$\lambda_\mathrm{min}$ at $w_2 = 0$", title="curvature")
    ax.legend(fontsize=7, loc="lower right", handlelength=1.2)


def _counts(result: Result, objective: str) -> dict[str, int]:
    kinds = np.concatenate([np.asarray(p["kind"]) for p in result[objective].values()])
    return {kind: int(np.sum(kinds == code)) for code, kind in enumerate(result["kinds"])}


def caption(result: Result, meta: Meta) -> str:
    """What was found, what agrees."""
    energy, loss = _counts(result, "energy"), _counts(result, "loss")
    others = energy["degenerate"] + energy["local minimum"]
    flat = loss["degenerate"] + loss["local minimum"]
    example = result["counterexample"]
    return (
        "Every critical point of $F^*$ that was found is a global minimum or a strict saddle; the loss has "
        rf"{flat} that are neither. (a, b) Distinct critical points on {len(result['energy'])} networks of "
        rf"at most 21 weights, {meta.config['starts']} starts each (colour: negative eigenvalues): $F^*$ has "
        rf"{energy['global minimum']} "
        rf"global minima, {energy['strict saddle']} strict saddles and {others} others "
        rf"({result['violations']} violate the theorem); $\mathcal{{L}}$ has {loss['global minimum']}, "
        rf"{loss['strict saddle']} and {flat}. (c) Curvature along the theorem's escape direction, by "
        "its case. (d) Why the data must be correlated: one hidden unit "
        rf"with $S_{{xy}} = 0$ has a point with gradient {example['saddle_gradient']:.1g} and Hessian "
        rf"{np.abs(example['saddle_hessian']).max():.1g} from which $F^*$ falls along the red curve. (e, f) "
        rf"With correlation the line $w_2 = 0$ has negative curvature everywhere. ({meta.setting}.)"
    )


def numbers(result: Result) -> dict[str, float]:
    """How many points, and how many violate the theorem."""
    energy, loss = _counts(result, "energy"), _counts(result, "loss")
    return {
        "points": float(sum(energy.values())),
        "violations": float(result["violations"]),
        "flat-of-loss": float(loss["degenerate"]),
    }
