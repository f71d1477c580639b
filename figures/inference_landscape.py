r"""The energy over the hidden activities.

What to see: a parabola of curvature 1 + w_2^2; paths that agree on the minimum and differ in the way;
condition numbers of about 42 (sp), 4.6e4 (sp with skips) and 1.9e3 (muPC) at N = 128, L = 16.
"""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments import inference_landscape
from experiments._result import Result
from experiments._store import Meta
from figures import _names
from figures._outcome import Outcome, outcome
from pctheory import plotting

EXPERIMENT = inference_landscape
TITLE = "Inference descends a parabola, which is narrow in deep networks"
SOURCE = "MU toy; TR inference"
SIZE = (5.5, 3.9)
_PATHS = {
    "GD": (plotting.COLOURS["loss"], "-"),
    "momentum": (plotting.COLOURS["trust-region"], "-"),
    "Adam": (plotting.COLOURS["newton"], "-"),
    "Heun": (plotting.COLOURS["ink"], (0, (2, 1.5))),
}


def draw(fig: Figure, result: Result) -> None:
    """Top: one and two hidden units. Bottom: slices of deep networks along the extreme eigenvectors of H."""
    top, bottom = fig.subfigures(2, 1, height_ratios=(1.15, 1))
    one, two = top.subplots(1, 2)
    _one(one, result["one"])
    _two(two, result["two"])
    slices = bottom.subplots(1, 3)
    for ax, (name, deep) in zip(slices, result["deep"].items(), strict=True):
        _slices(ax, name, deep)
    slices[0].set_ylabel(r"$F - F^*$")
    plotting.legend_outside(bottom, slices[0], "bottom")
    plotting.legend_outside(top, two, "right")
    plotting.letter([one, two, *slices])


def _one(ax: Axes, one: Any) -> None:
    z, star, curvature = one["z"], one["z_star"], one["curvature"]
    plotting.theory(ax, z, one["energy_star"] + 0.5 * curvature * (z - star) ** 2)
    ax.plot(z[::4], one["energy"][::4], "o", ms=3, color=plotting.COLOURS["pc"])
    ax.plot(star, one["energy_star"], "*", ms=9, color=plotting.COLOURS["pc"], zorder=3)
    ax.set(xlabel="hidden activity $z$", ylabel="energy $F(z)$")
    plotting.note(ax, rf"$F'' = 1 + w_2^2 = {curvature:g}$" + "\n" + rf"$z^* = {star:.3f}$", "upper left")


def _two(ax: Axes, two: Any) -> None:
    plotting.contour(ax, two["axis"], two["axis"], two["energy"])
    for name, (color, style) in _PATHS.items():
        plotting.path(ax, two["paths"][name], color, name, linestyle=style)
    ax.plot(*two["z_star"], "*", ms=9, color="white", markeredgecolor="black", zorder=7)
    ax.set(xlabel="$z_1$", ylabel="$z_2$")


def _slices(ax: Axes, name: str, deep: Any) -> None:
    right = deep["distance"] > 0
    distance = deep["distance"][right]
    ax.set(xscale="log", yscale="log")
    for end, color in (("largest", plotting.COLOURS["pc"]), ("smallest", plotting.COLOURS["bp"])):
        plotting.theory(ax, distance, 0.5 * deep[end] * distance**2, label=None)
        label = f"along the eigenvector of the {end} eigenvalue"
        plotting.measured(ax, distance[::3], deep["slices"][end][right][::3], label, color=color)
    ax.annotate("", (0.3, 0.045 * deep["largest"]), (0.3, 0.045 * deep["smallest"]),
                arrowprops={"arrowstyle": "<->", "lw": 0.6, "shrinkA": 2, "shrinkB": 2})  # fmt: skip
    middle = 0.045 * np.sqrt(deep["largest"] * deep["smallest"])
    ax.text(0.33, middle, r"$\times \kappa$", va="center", fontsize=7.5)
    ax.set(
        xlabel=r"distance $\alpha$ from $z^*$",
        title=rf"{_names.parameterisation(name)}: $\kappa = {_power(deep['condition'])}$",
    )


def _power(value: float) -> str:
    """Three digits, as a power of ten from a thousand on."""
    if value < 1000:
        return f"{value:.3g}"
    mantissa, exponent = f"{value:.2e}".split("e")
    return rf"{mantissa} \times 10^{{{int(exponent)}}}"


def caption(result: Result, meta: Meta) -> str:
    """What was run, what agrees."""
    kappas = ", ".join(
        f"{_names.parameterisation(name)} ${_power(deep['condition'])}$"
        for name, deep in result["deep"].items()
    )
    return (
        "Inference descends a parabola, which is narrow in deep networks. (a) One hidden unit, $w = (0.5, "
        "1.5)$, $x = 1$, $y = -1$: the energy (points) and the parabola of curvature $1 + w_2^2$ around the "
        "closed form $z^*$ (line, star). (b) Two hidden layers of one unit, $w = (1, 2, 1)$: paths of the "
        "activities from $(2, -2)$ under four solvers. (c-e) Energy of one sample along the eigenvectors of "
        rf"$H$ with the smallest and the largest eigenvalue, $N = {meta.config['width']}$, $L = "
        rf"{meta.config['depth']}$: measured (points) and $\lambda \alpha^2 / 2$ (lines), a factor of "
        rf"$\kappa$ apart. Condition numbers: "
        rf"{kappas}. Published: about 42, $4.6 \times 10^4$ and $1.9 \times 10^3$; other draws of the "
        rf"weights change them by tens of per cent. ({meta.setting}.)"
    )


def numbers(result: Result) -> dict[str, float]:
    """Condition numbers."""
    names = {"sp": "kappa-sp", "sp + skips": "kappa-sp-skips", "muPC": "kappa-mupc"}
    return {key: float(f"{result['deep'][name]['condition']:.3g}") for name, key in names.items()}


def outcomes(result: Result, meta: Meta) -> list[Outcome]:
    """Condition numbers of the three deep networks; draws of the weights move them by tens of per cent."""
    published = {"sp": 42.0, "sp + skips": 4.6e4, r"muPC": 1.9e3}
    found = {name: float(result["deep"][name]["condition"]) for name in published}
    return [
        outcome(
            rf"{_names.parameterisation(name)}: $\kappa \approx {_power(value)}$",
            rf"${_power(found[name])}$, another draw of the weights",
            2 / 3 < found[name] / value < 3 / 2,
            tested=meta.config["width"] == 128 and meta.config["depth"] == 16,
        )
        for name, value in published.items()
    ]
