r"""Where the equilibrated energy has local minima that are not global, and on which data it has none.

Sees: on 1-1-2 the border a^2 = mu / (nu - mu) between strict saddles and local minima; on random networks the
form and the Hessian agree in sign at every point; local minima on data with a component free of noise only.
"""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments import second_order_map
from experiments._result import Result
from experiments._store import Meta
from pctheory import plotting

EXPERIMENT = second_order_map
TITLE = "Noise of partial rank: strict saddles and local minima"
SOURCE = "new"
SIZE = (5.5, 2.2)
_KINDS = {"strict saddle": plotting.COLOURS["pc"], "local minimum": plotting.COLOURS["highlight"]}
_MARKERS = {"i": "o", "ii": "s", "ii'": "^", "iii": "D"}


def draw(fig: Figure, result: Result) -> None:
    """The plane of 1-1-2, the form against the Hessian, and the counts by data."""
    axes = fig.subplots(1, 3)
    _plane(axes[0], result)
    _form(axes[1], result["found"], result)
    _counts(axes[2], result["found"], result)
    plotting.letter(axes)


def _plane(ax: Axes, result: Result) -> None:
    names = list(result["kinds"])
    for ratio, points in zip(result["ratios"], result["plane"].values(), strict=True):
        for name, color in _KINDS.items():
            gains = np.asarray(points["gain"])[np.asarray(points["kind"]) == names.index(name)]
            ax.plot(np.full(len(gains), ratio), gains, "o", ms=3, color=color, markeredgewidth=0)
    ratios = np.linspace(1.02, 1.05 * float(np.max(result["ratios"])), 200)
    plotting.theory(ax, ratios, 1 / np.sqrt(ratios - 1), label=None)
    ax.set_yscale("log")
    ax.set_ylim(0.04, 80)
    ax.text(
        0.96, 0.9, "strict", transform=ax.transAxes, ha="right", fontsize=7, color=_KINDS["strict saddle"]
    )
    ax.text(
        0.96,
        0.06,
        "local minima",
        transform=ax.transAxes,
        ha="right",
        fontsize=7,
        color=_KINDS["local minimum"],
    )
    ax.set(xlabel=r"$\nu / \mu$", ylabel="gain $a$", title="1-1-2, unit on the signal")


def _form(ax: Axes, found: Result, result: Result) -> None:
    names = list(result["cases"])
    for name, marker in _MARKERS.items():
        chosen = np.asarray(found["case"]) == names.index(name)
        if np.any(chosen):
            ax.plot(
                np.asarray(found["form"])[chosen],
                np.asarray(found["smallest"])[chosen],
                marker,
                ms=3,
                alpha=0.6,
                markeredgewidth=0,
                label=f"({name})",
            )
    for scale in (ax.set_xscale, ax.set_yscale):
        scale("symlog", linthresh=1e-3)
    ax.set_xticks([-1, 0, 1], ["$-1$", "0", "1"])
    ax.set_yticks([-1, 0], ["$-1$", "0"])
    ax.axvline(0, color=plotting.COLOURS["ink"], lw=0.5)
    ax.axhline(0, color=plotting.COLOURS["ink"], lw=0.5)
    ax.set(
        xlabel="least value of the form",
        ylabel=r"$\lambda_\mathrm{min}$ of the Hessian",
        title="critical points",
    )
    ax.legend(fontsize=7, loc="lower right", handlelength=0.8)


def _counts(ax: Axes, found: Result, result: Result) -> None:
    table = counts(result)
    rows = ("general noise", "a component\nfree of noise")
    for name, color, shift in ((*item, 0.2 - 0.4 * k) for k, item in enumerate(_KINDS.items())):
        values = [table[name, benign] for benign in (True, False)]
        bars = ax.barh(np.arange(2) + shift, values, 0.36, color=color, label=name)
        ax.bar_label(bars, fontsize=7, padding=2)
    ax.set_yticks(np.arange(2), rows)
    ax.margins(x=0.2)
    ax.set(xlabel="critical points found", title="by data")
    ax.legend(fontsize=7, loc="lower right", handlelength=0.8)


def counts(result: Result) -> dict[tuple[str, bool], int]:
    """Critical points away from a global minimum, by kind and by whether the corollary covers the data."""
    kinds, benign = (np.asarray(result["found"][key]) for key in ("kind", "benign"))
    return {
        (name, covered): int(np.sum((kinds == list(result["kinds"]).index(name)) & (benign == covered)))
        for name in _KINDS
        for covered in (True, False)
    }


def caption(result: Result, meta: Meta) -> str:
    """What was found, what agrees."""
    table = counts(result)
    cases = np.asarray(result["found"]["case"])
    used = ", ".join(f"{int(np.sum(cases == code))} in ({name})" for code, name in enumerate(result["cases"]))
    return (
        "Noise in some output directions only can turn saddles into local minima, exactly where the theorem "
        r"says. (a) Critical points found on 1-1-2, $y = (x, \sqrt{\nu/\mu}\, \xi)$: strict saddles (blue), "
        r"local minima that are not global (red), the predicted border $a^2 = \mu / (\nu - \mu)$. "
        rf"(b) Other critical points on {result['sets']} data sets with noise in all output directions but "
        rf"one: the form of the theorem against the smallest eigenvalue of the Hessian ({used}). The two "
        rf"disagree {result['disagreements']} times and are both 0, on the border, {result['border']} times. "
        rf"(c) Strict saddles and local minima on the {result['benign_sets']} sets where the corollary makes "
        rf"every saddle strict: {table['strict saddle', True]} and {table['local minimum', True]}; on the "
        rf"others {table['strict saddle', False]} and {table['local minimum', False]}. ({meta.setting}.)"
    )


def numbers(result: Result) -> dict[str, float]:
    """How many points, disagreements and local minima."""
    table = counts(result)
    return {
        "points": float(len(result["found"]["kind"])),
        "disagreements": float(result["disagreements"]),
        "minima-general": float(table["local minimum", True]),
        "minima-isolated": float(table["local minimum", False]),
    }
