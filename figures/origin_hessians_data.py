r"""Spectra at the origin on images: the class frequencies, read off the Hessian of the energy.

What to see: negative eigenvalues at minus the class frequencies for more than one hidden layer; near them for
one.
"""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments import origin_hessians_data
from experiments._result import Result
from experiments._store import Meta
from figures import _names
from figures._outcome import Outcome, outcome
from figures._panels import by_dataset
from pctheory import plotting

EXPERIMENT = origin_hessians_data
TITLE = "On images the curvature at the origin is the class frequency"
SOURCE = "SAD 4"
SIZE = (5.5, 3.5)
_SHOWN = 130  # eigenvalues drawn, from the smallest


def draw(fig: Figure, result: Result) -> None:
    """One panel per network, one row per data set; three hidden layers look like two and four."""
    shown = {name: found for name, found in result["networks"].items() if found["hidden"] != 3}
    by_dataset(fig, shown, _panel)


def _panel(ax: Axes, found: Any) -> None:
    shown = min(_SHOWN, len(found["energy"]))
    rank = np.arange(1, shown + 1)
    for index, frequency in enumerate(found["frequencies"]):
        ax.axhline(
            -frequency,
            color=plotting.COLOURS["highlight"],
            lw=0.4,
            alpha=0.6,
            label="minus class frequencies" if index == 0 else None,
        )
    ax.plot(
        rank, found["loss"][:shown], ".", ms=3, color=plotting.COLOURS["bp"], label=r"$\mathcal{L}$ measured"
    )
    ax.plot(rank, found["energy"][:shown], ".", ms=4, color=plotting.COLOURS["pc"], label="$F$ measured")
    plotting.theory(ax, rank, found["exact"][:shown], label="$F^*$ exact", linewidth=0.8)
    ax.set_ylim(1.15 * min(found["energy"][0], found["loss"][0]), None)


def _worst(result: Result) -> float:
    return max(float(found["largest_difference"]) for found in result["networks"].values())


def caption(result: Result, meta: Meta) -> str:
    """What was run, what agrees."""
    sets = " and ".join(
        dict.fromkeys(_names.dataset(found["dataset"]) for found in result["networks"].values())
    )
    return (
        "On labelled images the curvature of the energy at the origin is minus the frequency of the classes, "
        "as published. Smallest eigenvalues of the Hessians at $W = 0$ on a batch of "
        rf"{meta.config['batch_size']} samples of {sets}, one-hot labels. Points: automatic differentiation "
        rf"through inference ($T = {meta.config['num_steps']}$ steps of {meta.config['step']:g}). Black: "
        "closed form. Red: minus the class frequencies of the batch. Largest difference of measured and "
        rf"exact entries, relative to the largest entry: {_worst(result):.1e}. With two hidden layers or "
        "more the loss has no eigenvalue but 0. With one, the correlation of input and label moves the "
        "eigenvalues of both objectives far below the frequencies (each panel has its own scale). "
        rf"({meta.setting}.)"
    )


def numbers(result: Result) -> dict[str, float]:
    """The worst disagreement."""
    return {"worst": float(f"{_worst(result):.1e}")}


def outcomes(result: Result, meta: Meta) -> list[Outcome]:
    """The curvature at the origin on labelled images."""
    worst = _worst(result)
    return [
        outcome(
            "on labelled images the negative eigenvalues at the origin are the class frequencies",
            f"within {worst:.1e} of the closed form: minus the frequencies from two hidden layers on",
            worst < 1e-3,
        )
    ]
