r"""Spectra at zero-rank saddles, against the Kronecker product of S_yy and M.

What to see: the negative eigenvalues are those of -S_yy (x) M and reach deeper than at the origin.
"""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments import zero_rank_hessians
from experiments._result import Result
from experiments._store import Meta
from figures._outcome import Outcome, outcome
from figures._panels import by_dataset
from pctheory import plotting

EXPERIMENT = zero_rank_hessians
TITLE = "Zero-rank saddles are deeper than the origin"
SOURCE = "SAD 9, 10"
SIZE = (5.5, 5.2)


def draw(fig: Figure, result: Result) -> None:
    """Two networks per data set, in a row: with two hidden layers, and with the most."""
    names = list(result["networks"])
    rows = dict.fromkeys(name.split()[0] for name in names)
    own = [[name for name in names if name.startswith(f"{row} ")] for row in rows]
    shown = [name for row in own for name in dict.fromkeys((row[0], row[-1]))]
    by_dataset(fig, {name: result["networks"][name] for name in shown}, _panel)


def _panel(ax: Axes, found: Any) -> None:
    shown = min(len(found["energy"]), len(found["block"]) + 10)
    rank = np.arange(1, shown + 1)
    ax.axhline(
        found["origin_smallest"], color=plotting.COLOURS["highlight"], lw=0.8, ls=":",
        label="smallest at the origin",
    )  # fmt: skip
    ax.plot(
        rank, found["loss"][:shown], ".", ms=3, color=plotting.COLOURS["bp"], label=r"$\mathcal{L}$ measured"
    )
    ax.plot(rank, found["energy"][:shown], ".", ms=5, color=plotting.COLOURS["pc"], label="$F$ measured")
    block = np.arange(1, len(found["block"]) + 1)
    plotting.theory(ax, block, found["block"], label=r"$-\mathrm{eig}(S_{yy} \otimes M)$", linewidth=0.8)


def _worst(result: Result, key: str) -> float:
    return max(float(found[key]) for found in result["networks"].values())


def _block_gap(result: Result) -> float:
    """How far the lowest eigenvalues are from the block's with three hidden layers or more, relative to the
    lowest.
    """
    gaps = [0.0]
    for found in result["networks"].values():
        if found["hidden"] > 2:
            gap = np.abs(found["energy"][: len(found["block"])] - found["block"]).max()
            gaps.append(float(gap / abs(found["block"][0])))
    return max(gaps)


def _deeper(result: Result) -> list[float]:
    return [float(found["energy"][0] / found["origin_smallest"]) for found in result["networks"].values()]


def caption(result: Result, meta: Meta) -> str:
    """What was run, what agrees."""
    deeper = _deeper(result)
    return (
        "At zero-rank saddles the energy has more negative curvature than at the origin, as published and "
        rf"proved: {min(deeper):.2f} to {max(deeper):.2f} times. Smallest eigenvalues of the Hessian where "
        rf"all weights but $W_{{L-1}}$ (torch's initialisation) are zero, batch {meta.config['batch_size']}. "
        rf"Points: automatic differentiation through inference ($T = {meta.config['num_steps']}$ steps of "
        rf"{meta.config['step']:g}), within {_worst(result, 'largest_difference'):.1e} of the largest entry "
        "of the exact Hessian of $F^*$, which is what inference leaves in its slowest mode. Line: closed "
        "form of the last layer's block. Dotted: the smallest at the origin. With more than two hidden "
        "layers it gives all negative eigenvalues "
        rf"(measured within {_block_gap(result):.1e}); with two, the coupling of first and last layer lowers "
        rf"them and gives the loss negative eigenvalues, too. ({meta.setting}.)"
    )


def numbers(result: Result) -> dict[str, float]:
    """How much deeper than the origin."""
    deeper = _deeper(result)
    return {"deeper-min": float(f"{min(deeper):.3g}"), "deeper-max": float(f"{max(deeper):.3g}")}


def outcomes(result: Result, meta: Meta) -> list[Outcome]:
    """Curvature at zero-rank saddles against the origin, and against the closed form."""
    deeper, gap = _deeper(result), _block_gap(result)
    return [
        outcome(
            "zero-rank saddles of the energy are strict, with more negative curvature than the origin",
            f"{min(deeper):.2f} to {max(deeper):.2f} times",
            min(deeper) > 1,
        ),
        outcome(
            "the negative eigenvalues are those of the last layer's block",
            f"within {gap:.1e} with more than two hidden layers",
            gap < 0.05,
        ),
    ]
