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
SIZE = (5.5, 3.7)


def draw(fig: Figure, result: Result) -> None:
    """One panel a time, one colour scale."""
    axis, landscapes = result["axis"], dict(result["landscapes"].items())
    axes = fig.subplots(2, 3, sharex=True, sharey=True)
    levels = np.quantile(landscapes["0"], np.linspace(0, 1, 15))
    levels = np.unique(np.append(levels[1:], 0.0))
    for ax, (name, values) in zip(axes.flat, landscapes.items(), strict=True):
        filled = plotting.contour(ax, axis, axis, values, levels=levels)
        title = {"0": r"$t = 0$: the loss", "inf": r"$t = \infty$: $F^*$"}.get(name, f"$t = {name}$")
        ax.set(title=title, aspect="equal", xticks=(-2, 0, 2), yticks=(-2, 0, 2))
    bar = fig.colorbar(filled, ax=axes, shrink=0.8, pad=0.02, ticks=levels[::3])
    bar.ax.set_yticklabels([f"{v:.2g}" for v in levels[::3]])
    bar.set_label("energy after inference")
    for ax in axes[-1]:
        ax.set_xlabel("$w_1$")
    for ax in axes[:, 0]:
        ax.set_ylabel("$w_2$")


def caption(result: Result, meta: Meta) -> str:
    """Range of each landscape, agreement with torch."""
    largest = {name: float(np.max(values)) for name, values in result["landscapes"].items()}
    return (
        "As inference runs, the landscape over the weights flattens from the loss to the equilibrated "
        "energy, as published. The toy $f = w_2 w_1 x$, $y = -x$: the energy after inference for a time $t$ "
        rf"from the feedforward pass (Euler steps of {meta.config['dt']:g}), by the closed form of the "
        "energy after finitely many steps; one colour scale. The largest value on the square falls from "
        rf"{largest['0']:.2f} ($t = 0$) to {largest['inf']:.2f} (equilibrium), most where $w_2$ is large and "
        rf"with it the rescaling $1 + w_2^2$. Inference in torch at {meta.config['checks']} random weights "
        rf"agrees to a relative {result['worst']:.0e}. ({meta.setting}.)"
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
