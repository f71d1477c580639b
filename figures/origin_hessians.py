r"""Hessians at the origin, measured and in closed form.

What to see: measured = exact; the loss's Hessian is zero for more than one hidden layer; F* has -eig(S_yy),
n_{L-1} times each.
"""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments import origin_hessians
from experiments._result import Result
from experiments._store import Meta
from figures._outcome import Outcome, outcome
from pctheory import plotting

EXPERIMENT = origin_hessians
TITLE = "At the origin the loss is flat and the energy a strict saddle"
SOURCE = "SAD 3, 8"
SIZE = (5.5, 6.6)
_ROWS = (
    ("numeric", "loss", r"$\mathcal{L}$ measured"),
    ("numeric", "energy", "$F$ measured"),
    ("exact", "energy", "$F^*$ exact"),
)


def draw(fig: Figure, result: Result) -> None:
    """Top: heatmaps and spectra of the networks. Bottom: spectra of the chains."""
    top, bottom = fig.subfigures(2, 1, height_ratios=(3.5, 1))
    shapes = result["shapes"]
    axes = top.subplots(4, len(shapes), squeeze=False, height_ratios=(1, 1, 1, 0.8))
    for column, (name, found) in enumerate(shapes.items()):
        limit = float(np.abs(found["exact"]["energy"]).max())
        for row, (kind, objective, label) in enumerate(_ROWS):
            image = plotting.heatmap(
                axes[row, column], found[kind][objective], limit=limit, blocks=found["blocks"]
            )
            if column == 0:
                axes[row, 0].set_ylabel(label)
        top.colorbar(image, ax=axes[:3, column], shrink=0.5, location="bottom", pad=0.02)
        hidden, width = name.strip("[]").split(", ")
        axes[0, column].set_title(f"$H = {hidden}$, $n = {width}$")
        _spectrum(axes[3, column], found)
        axes[3, column].set_xlabel("rank")
    axes[3, 0].set_ylabel("eigenvalue")
    chains = bottom.subplots(1, len(result["chains"]), squeeze=False)
    for ax, (hidden, found) in zip(chains[0], result["chains"].items(), strict=True):
        _spectrum(ax, found)
        ax.locator_params(axis="x", integer=True)
        ax.set_title(f"chain, $H = {hidden}$")
        ax.set_xlabel("rank")
    chains[0, 0].set_ylabel("eigenvalue")
    plotting.legend_outside(fig, [chains[0, 0]], "bottom")


def _spectrum(ax: Axes, found: Any) -> None:
    rank = np.arange(1, len(found["numeric_spectrum"]["loss"]) + 1)
    ax.plot(
        rank, found["numeric_spectrum"]["loss"], "s", ms=3, color=plotting.COLOURS["bp"],
        label=r"$\mathcal{L}$ measured", zorder=2.5,
    )  # fmt: skip
    plotting.spectrum(
        ax, found["numeric_spectrum"]["energy"], found["exact_spectrum"]["energy"], label="$F$ measured"
    )


def _difference(result: Result, objective: str) -> float:
    """Largest difference of a measured and an exact Hessian, relative to the largest entry of F*'s."""
    worst = 0.0
    for group in (result["shapes"], result["chains"]):
        for found in group.values():
            gap = np.abs(found["numeric"][objective] - found["exact"][objective]).max()
            worst = max(worst, float(gap / np.abs(found["exact"]["energy"]).max()))
    return worst


def caption(result: Result, meta: Meta) -> str:
    """What was run, what agrees."""
    c = meta.config
    flat = [
        float(np.abs(found["numeric"]["loss"]).max())
        for name, found in result["shapes"].items()
        if not name.startswith("[1,")
    ]
    left = (1 - c["step"]) ** (2 * c["num_steps"])
    return (
        "With two hidden layers or more the loss is flat to second order at the origin and the energy is a "
        rf"strict saddle, as published. Hessians at $W = 0$ on $y = -x$, {c['size']} inputs, by automatic "
        rf"differentiation through inference ($T = {c['num_steps']}$ Euler steps of {c['step']:g}) and in "
        "closed form; lines separate the layers, one colour scale per column. Fourth row and bottom "
        "(chains): sorted eigenvalues, measured (points) and exact (line). Largest difference relative to "
        rf"the largest entry: {_difference(result, 'loss'):.1e} (loss) and "
        rf"{_difference(result, 'energy'):.1e} (energy), which is what inference leaves, $(1 - "
        rf"\mathrm{{dt}})^{{2T}}$, or {left:.1e}. The largest entry of the measured Hessian of the loss is "
        rf"then {max(flat, default=0.0):.2g}; $F^*$ has the eigenvalues $-\mathrm{{eig}}(S_{{yy}})$, each "
        rf"$n_{{L-1}}$ times. ({meta.setting}.)"
    )


def numbers(result: Result) -> dict[str, float]:
    """The worst disagreements."""
    return {"energy": float(f"{_difference(result, 'energy'):.1e}")}


def outcomes(result: Result, meta: Meta) -> list[Outcome]:
    """The Hessians at the origin, measured and predicted."""
    energy, loss = _difference(result, "energy"), _difference(result, "loss")
    return [
        outcome(
            "the Hessian of the energy at the origin is that of the theorem, with inference run in torch",
            f"largest relative difference {energy:.1e}",
            energy < 1e-3,
        ),
        outcome(
            "with two or more hidden layers the Hessian of the loss is zero there",
            f"largest relative difference {loss:.1e}",
            loss < 1e-6,
        ),
    ]
