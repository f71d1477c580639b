r"""Hessians at the origin, measured and in closed form.

What to see: measured = exact; the loss's Hessian is zero for more than one hidden layer; F* has -eig(S_yy),
n_{L-1} times each.
"""

from collections.abc import Mapping
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
SIZE = (5.5, 3.9)
_MAPS = (
    ("numeric", "loss", r"$\mathcal{L}$ measured"),
    ("numeric", "energy", "$F$ measured"),
    ("exact", "energy", "$F^*$ exact"),
)


def draw(fig: Figure, result: Result) -> None:
    """Top: Hessians of a network with two hidden layers. Bottom: spectra of one hidden layer, of more, and of
    chains.
    """
    top, bottom = fig.subfigures(2, 1, height_ratios=(1, 1.1))
    shapes = dict(result["shapes"].items())
    names = list(shapes)
    found = shapes[names[1]]
    limit = float(np.abs(found["exact"]["energy"]).max())
    maps = top.subplots(1, 3)
    for ax, (kind, objective, label) in zip(maps, _MAPS, strict=True):
        image = plotting.heatmap(ax, found[kind][objective], limit=limit, blocks=found["blocks"])
        ax.set_title(f"{label}, {_size(names[1])}")
    top.colorbar(image, ax=maps, shrink=0.8, label="entry")
    one, deep, chains = bottom.subplots(1, 3)
    _spectra(one, {None: shapes[names[0]]})
    one.set_title(_size(names[0]))
    _spectra(deep, {_size(name): shapes[name] for name in names[1:]})
    deep.set_title("more hidden layers")
    _spectra(chains, {f"$H = {hidden}$": each for hidden, each in result["chains"].items()})
    chains.set_title("chains")
    for ax in (one, deep, chains):
        ax.set_xlabel("rank")
    one.set_ylabel("eigenvalue")
    for ax in (deep, chains):
        ax.legend(loc="lower right", fontsize=7, handlelength=0.8)
    one.plot([], [], "s", ms=3, color=plotting.COLOURS["bp"], label=r"$\mathcal{L}$ measured")
    one.plot([], [], "o", color=plotting.COLOURS["pc"], label="$F$ measured (shades: networks)")
    one.plot([], [], color="black", lw=0.9, label="$F^*$ exact")
    plotting.legend_outside(bottom, one, "bottom")
    plotting.letter([*maps, one, deep, chains])


def _size(name: str) -> str:
    hidden, width = name.strip("[]").split(", ")
    return f"$H = {hidden}$, $n = {width}$"


def _spectra(ax: Axes, networks: Mapping[str | None, Any]) -> None:
    """Sorted eigenvalues: of the loss as squares, of the energy as points, of theory as steps."""
    shades = plotting.shades(len(networks))
    for (label, found), color in zip(networks.items(), shades, strict=True):
        loss, energy = (found["numeric_spectrum"][key] for key in ("loss", "energy"))
        exact = np.sort(found["exact_spectrum"]["energy"])
        rank = np.arange(1, len(loss) + 1)
        ax.plot(rank, loss, "s", ms=2.5, color=plotting.COLOURS["bp"], zorder=2)
        ax.plot(rank, energy, "o", ms=3, color=color, label=label, zorder=3, markeredgewidth=0)
        ax.step(np.append(rank, len(rank) + 1) - 0.5, np.append(exact, exact[-1]), where="post",
                color=plotting.COLOURS["theory"], lw=0.8, zorder=2.5)  # fmt: skip


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
        "closed form. (a-c) The matrices; lines separate the layers. (d-f) Sorted eigenvalues, measured "
        "(squares, points) and exact (lines). Largest difference over all networks relative to "
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
