r"""Condition number of inference against depth and width, with the exact laws.

What to see: orthogonal networks on the law of the path graph, Depth-muP with skips parallel to it (the square
of the depth) and nearly independent of the width, the standard parameterisation saturated without skips and
exponential with them.
"""

import numpy as np
from matplotlib.figure import Figure

from experiments import conditioning_init
from experiments._result import Result
from experiments._store import Meta
from figures import _names
from figures._outcome import Outcome, outcome
from pctheory import plotting
from pctheory.limits import isometric_condition_number

EXPERIMENT = conditioning_init
TITLE = "Conditioning of inference at initialisation"
SOURCE = "MU 2, 4"
SIZE = (5.5, 2.5)

COLOURS = {
    "sp": plotting.COLOURS["sp"],
    "sp + skips": plotting.COLOURS["highlight"],
    "mupc + skips": plotting.COLOURS["mupc"],
    "orthogonal": plotting.COLOURS["orthogonal"],
}


def draw(fig: Figure, result: Result) -> None:
    """Kappa against H at the largest width, against N at the largest depth, and in the coordinates of the
    errors.
    """
    axes = fig.subplots(1, 3)
    hidden, widths = result["hidden"], result["widths"]
    for case, colour in COLOURS.items():
        values, errors = result["activities"][case], result["errors"][case]
        for ax, samples, x in (
            (axes[0], values[:, -1, :], hidden),
            (axes[1], values[:, :, -1], widths),
            (axes[2], errors[:, -1, :], hidden),
        ):
            ax.set(xscale="log", yscale="log")
            plotting.spread(
                ax, x, samples, colour, _names.parameterisation(case), marker="o", markeredgecolor="white"
            )
    fine = np.unique(np.round(np.geomspace(hidden[0], hidden[-1], 40)).astype(int))
    law = [isometric_condition_number(int(h) + 1, narrow_output=True) for h in fine]
    plotting.theory(axes[0], fine, law, label="path graph")
    plotting.theory(axes[1], widths[[0, -1]], [law[-1]] * 2, label=None)
    plotting.theory(axes[2], fine, fine + 1, label=None)
    axes[0].set(
        xlabel="hidden layers $H$",
        ylabel=r"$\kappa(H)$",
        title=f"activities, $N = {widths[-1]}$",
        ylim=(1, 1e9),
    )
    axes[1].set(xlabel="width $N$", title=f"activities, $H = {hidden[-1]}$")
    axes[2].set(
        xlabel="hidden layers $H$",
        ylabel=r"$\lambda_{\max}(S)$",
        title=f"errors, $N = {widths[-1]}$",
        ylim=(0.7, 1e5),
    )
    for ax in axes:
        plotting.log2_axis(ax, "x")
    plotting.legend_outside(fig, axes, "bottom")
    plotting.letter(axes)


def _slope(x: np.ndarray, samples: np.ndarray) -> float:
    """Exponent of the geometric mean over seeds, over the depths from 8 on."""
    kept = x >= 8
    kept = kept if kept.sum() > 1 else x > 0
    return float(np.polyfit(np.log(x[kept]), np.log(samples[:, kept]).mean(axis=0), 1)[0])


def numbers(result: Result) -> dict[str, str | float]:
    """Fitted exponents at the largest width, and values at the largest network."""
    hidden = result["hidden"]
    found: dict[str, str | float] = {}
    for case in COLOURS:
        key = case.replace(" + ", "-")
        found[f"exponent-{key}"] = round(_slope(hidden, result["activities"][case][:, -1, :]), 2)
        found[f"kappa-{key}"] = f"{np.exp(np.log(result['activities'][case][:, -1, -1]).mean()):.2g}"
        found[f"errors-{key}"] = f"{np.exp(np.log(result['errors'][case][:, -1, -1]).mean()):.3g}"
    growth = np.log(result["activities"]["sp + skips"][:, -1, :]).mean(axis=0)
    found["rate-sp-skips"] = round(float((growth[-1] - growth[-2]) / (hidden[-1] - hidden[-2])), 3)
    wide = np.log(result["activities"]["mupc + skips"][:, :, -1]).mean(axis=0)
    found["mupc-over-widths"] = round(float(np.exp(wide.max() - wide.min())), 1)
    return found


def caption(result: Result, meta: Meta) -> str:
    """The growth with depth and width, in both coordinates, against the law."""
    n = numbers(result)
    deep, wide = result["hidden"][-1], result["widths"][-1]
    return (
        r"Inference is badly conditioned in deep networks that keep their signal: $\kappa$ grows as the "
        r"square of the depth or faster. Linear networks at initialisation, mean and deviation of $\log "
        rf"\kappa$ over {_names.seeds(meta.config)}; sp has torch's variance. (a) Against depth. Black: the "
        r"exact law of the path graph, which orthogonal weights follow. Fitted exponents for $H \geq 8$: "
        rf"orthogonal {n['exponent-orthogonal']}, $\mu$PC {n['exponent-mupc-skips']} (law: 2). With skips sp "
        rf"grows by $e^{{{n['rate-sp-skips']}}}$ a layer (the axis is cut); without skips it stays at "
        rf"{n['kappa-sp']} because the signal dies. (b) Against width: $\mu$PC varies by a factor of "
        rf"{n['mupc-over-widths']}. (c) In error coordinates $\kappa = \lambda_{{\max}}(S)$: $L$ for "
        rf"orthogonal weights (black); for $\mu$PC at $N = {wide}$, $H = {deep}$ it is "
        rf"{n['errors-mupc-skips']}, against {n['kappa-mupc-skips']} in the activities. As published. "
        rf"({meta.setting}.)"
    )


def outcomes(result: Result, meta: Meta) -> list[Outcome]:
    """How the condition number grows with depth and width."""
    n = numbers(result)
    mupc, sp = float(n["kappa-mupc-skips"]), float(n["kappa-sp-skips"])
    return [
        outcome(
            r"inference is ill-conditioned in deep $\mu$PC networks",
            rf"$\kappa$ = {n['kappa-mupc-skips']} at the greatest depth, growing as "
            rf"$H^{{{n['exponent-mupc-skips']}}}$",
            mupc > 1e3,
            float(n["exponent-mupc-skips"]) > 1,
        ),
        outcome(
            r"with skips the standard parameterisation is far worse than $\mu$PC",
            rf"$\kappa$ = {n['kappa-sp-skips']} against {n['kappa-mupc-skips']}",
            sp > 10 * mupc,
        ),
    ]
