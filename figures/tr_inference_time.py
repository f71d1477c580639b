r"""The landscape of the energy over the weights at growing inference times.

What to see: it equals the loss at 0 and flattens to F*.
"""

import itertools

import numpy as np
from matplotlib.figure import Figure

from experiments import tr_inference_time
from experiments._result import Result
from experiments._store import Meta
from figures._outcome import Outcome, outcome
from pctheory import plotting

EXPERIMENT = tr_inference_time
TITLE = "From the loss to the equilibrated energy"
SOURCE = "TR"
SIZE = (5.5, 3.9)
_MAPS = {"0": r"$t = 0$: the loss", "0.1": "$t = 0.1$", "0.5": "$t = 0.5$", "inf": r"$t = \infty$: $F^*$"}


def draw(fig: Figure, result: Result) -> None:
    """Top: the landscape at four times, one colour scale. Bottom: the share of the loss that is left, and the
    curvature at the origin, in time.
    """
    axis, landscapes = result["axis"], dict(result["landscapes"].items())
    top, bottom = fig.subfigures(2, 1, height_ratios=(1, 1.15))
    maps = top.subplots(1, 4, sharey=True)
    levels = np.quantile(landscapes["0"], np.linspace(0, 1, 15))
    levels = np.unique(np.append(levels[1:], 0.0))
    for ax, (name, title) in zip(maps, _MAPS.items(), strict=True):
        filled = plotting.contour(ax, axis, axis, landscapes[name], levels=levels)
        ax.set(title=title, aspect="equal", xticks=(-2, 0, 2), yticks=(-2, 0, 2), xlabel="$w_1$")
    bar = top.colorbar(filled, ax=maps, shrink=0.9, pad=0.02, ticks=levels[::3])
    bar.ax.set_yticklabels([f"{v:.2g}" for v in levels[::3]])
    bar.set_label("energy")
    maps[0].set_ylabel("$w_2$")
    share, curvature = bottom.subplots(1, 2)
    for row, color in enumerate(plotting.shades(len(result["last_weights"]))):
        last = result["last_weights"][row]
        plotting.measured(share, result["sparse"], result["measured"][row], color=color)
        plotting.theory(share, result["dense"], result["shares"][row], label=None)
        share.axhline(1 / (1 + last**2), color=plotting.COLOURS["quiet"], lw=0.6, ls=":", zorder=0)
        share.annotate(f"$w_2 = {last:g}$", (result["dense"][-1], result["shares"][row, -1]), (0, 5),
                       textcoords="offset points", ha="right", fontsize=7.5)  # fmt: skip
    share.set(xlabel="inference time $t$", ylabel="energy / loss", ylim=(0, 1.05))
    names = [name for name in landscapes if name != "inf"]
    times = np.array([float(name) for name in names])
    curved = np.array([result["origin_eigenvalues"][name] for name in (*names, "inf")])
    for column, (word, color) in enumerate((("escape", "pc"), ("attraction", "loss"))):
        plotting.measured(curvature, times, curved[:-1, column], color=plotting.COLOURS[color])
        plotting.theory(
            curvature, times[[0, -1]], np.repeat(curved[-1, column], 2), label=None, linestyle=":"
        )
        curvature.annotate(word, (times[-1], curved[-1, column]), (0, -10 if column else 5), ha="right",
                           textcoords="offset points", fontsize=7.5)  # fmt: skip
    curvature.axhline(0, color=plotting.COLOURS["quiet"], lw=0.6, zorder=0)
    curvature.set(xlabel="inference time $t$", ylabel="eigenvalues at the origin")
    plotting.letter([*maps, share, curvature])


def caption(result: Result, meta: Meta) -> str:
    """Range of each landscape, agreement with torch."""
    largest = {name: float(np.max(values)) for name, values in result["landscapes"].items()}
    eigen = result["origin_eigenvalues"]
    return (
        "As inference runs, the landscape over the weights flattens from the loss to the equilibrated "
        "energy, as published. (a-d) The toy $f = w_2 w_1 x$, $y = -x$: the energy after inference for a "
        "time "
        rf"$t$ from the feedforward pass (Euler steps of {meta.config['dt']:g}); its largest value on the "
        rf"square falls from {largest['0']:.2f} to {largest['inf']:.2f}. (e) The share of the loss that is "
        "left, in torch (points) and in closed form (lines): it tends to $1 / (1 + w_2^2)$ (dotted). (f) "
        rf"Eigenvalues of the Hessian at the origin: from ${eigen['0'][0]:.2f}$ and ${eigen['0'][1]:.2f}$ to "
        rf"those of $F^*$ (dotted), ${eigen['inf'][0]:.2f}$ and ${eigen['inf'][1]:.2f}$. At "
        rf"{meta.config['checks']} random weights torch and closed form agree to a relative "
        rf"{result['worst']:.0e}. ({meta.setting}.)"
    )


def numbers(result: Result) -> dict[str, str | float]:
    """Largest values."""
    return {
        "largest-loss": float(f"{np.max(result['landscapes/0']):.3g}"),
        "largest-energy": float(f"{np.max(result['landscapes/inf']):.3g}"),
    }


def outcomes(result: Result, meta: Meta) -> list[Outcome]:
    """How the landscape changes as inference runs."""
    largest = [float(np.max(values)) for values in result["landscapes"].values()]
    return [
        outcome(
            "the landscape flattens from the loss to the energy as inference runs",
            f"largest value {', '.join(f'{v:.2f}' for v in largest)}",
            all(later <= earlier * (1 + 1e-9) for earlier, later in itertools.pairwise(largest)),
        )
    ]
