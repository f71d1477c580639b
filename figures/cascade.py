r"""The top-down cascade: leaving the saddle is not fitting the data.

What to see: the last layer grows first and the energy with it falls, at a time that does not depend on depth;
the loss follows much later; PC's advantage over backprop at small weights turns into a disadvantage at
weights of order one.
"""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from scipy.integrate import quad

from experiments import cascade
from experiments._result import Result
from experiments._store import Meta
from pctheory import plotting

EXPERIMENT = cascade
TITLE = "The last layer grows first, and only from small weights is it sooner"
SOURCE = "new"
SIZE = (5.5, 4.4)


def draw(fig: Figure, result: Result) -> None:
    """Top: one chain's layers, rescaling, loss and energy. Bottom: times against depth and size of the
    weights.
    """
    axes = fig.subplots(2, 3)
    layers, values, rescaling = axes[0]
    path = result["path"]["pc"]
    after = path["times"] > 0
    times = path["times"][after]
    depth, init = path["layers"].shape[1], float(path["layers"][0, -1])
    for layer, color in enumerate(plotting.shades(depth)):
        layers.loglog(times, path["layers"][after, layer], color=color, label=f"$|w_{layer + 1}|$")
    backprop = result["path"]["bp"]
    values.semilogx(
        backprop["times"][after],
        backprop["loss"][after],
        color=plotting.COLOURS["bp"],
        label=r"BP: $\mathcal{L}$",
    )
    values.semilogx(
        times, path["loss"][after], "--", color=plotting.COLOURS["pc"], label=r"PC: $\mathcal{L}$"
    )
    values.semilogx(times, path["energy"][after], color=plotting.COLOURS["pc"], label="PC: $F^*$")
    rescaling.loglog(times, path["rescaling"][after], color=plotting.COLOURS["pc"])
    end = 30 * float(result["by_depth"]["pc"]["half_loss"][list(result["depths"]).index(depth)])
    for ax in (layers, rescaling):
        ax.set_xlim(times[0], end)
    values.set_xlim(
        times[0], 30 * float(result["by_depth"]["bp"]["half_loss"][list(result["depths"]).index(depth)])
    )
    _first_stage(layers, values, rescaling, path, end)
    layers.legend(fontsize=7, loc="lower right", handlelength=1)
    values.legend(fontsize=7, loc="upper right", handlelength=1.4)
    layers.set(ylabel=r"weights $|w_l|$", title=f"chain, $L = {depth}$")
    values.set(ylabel="loss and energy", title="loss and energy", ylim=(None, 0.85))
    rescaling.set(ylabel="rescaling $s$", title="rescaling")
    for ax in axes[0]:
        ax.set_xlabel("time $t$")
    _halves(axes[1, 0], result["depths"], result["by_depth"], result["depths"], init)
    axes[1, 0].set(xlabel="weight layers $L$", ylabel="time to half", title="against depth")
    axes[1, 0].set_xticks(result["depths"])
    axes[1, 1].set_xscale("log")
    _halves(axes[1, 1], result["scales"], result["by_scale"], depth, result["scales"])
    axes[1, 1].set(
        xlabel=r"initial size $\sigma$", ylabel="time to half", title=f"against size, $L = {depth}$"
    )
    _ratios(axes[1, 2], result)
    plotting.letter(axes)


def _first_stage(layers: Axes, values: Axes, rescaling: Axes, path: Any, end: float) -> None:
    """While only the last weight is large it grows by a law of its own, which the others follow."""
    first = path["layers"][0]
    last = np.geomspace(first[-1], 10.0, 400)
    time = _clock(last) - _clock(first[-1])
    early = (time > 0) & (time < end)
    last, time = last[early], time[early]
    below = first[-2] * np.exp((last**2 - first[-1] ** 2) / 2)
    small = below < 0.5  # what the law neglects is the square of this weight
    style: dict[str, Any] = {"label": None, "linewidth": 0.8, "linestyle": "--"}
    plotting.theory(layers, time[small], last[small], **style)
    plotting.theory(layers, time[small], below[small], **style)
    plotting.theory(values, time[small], 0.5 / (1 + last[small] ** 2), **style)
    plotting.theory(rescaling, time[small], 1 + last[small] ** 2, **style)


def _clock(weight: Any) -> Any:
    """Time at which the last weight passes a value, up to a constant: dw/dt = w / (1 + w^2)^2."""
    return np.log(weight) + weight**2 + weight**4 / 4


def _energy_half(scale: Any) -> Any:
    """The energy 1 / (2 (1 + w^2)) is at half of its first value where w = 1."""
    return _clock(1.0) - _clock(scale)


def _backprop_half(depth: int, scale: float) -> float:
    """Equal weights under backprop: dw/dt = w^(L-1) (1 - w^L), until (1 - w^L)^2 = 1/2."""
    start, stop = np.log(scale), np.log(1 - 0.5**0.5) / depth

    def time(logarithm: float) -> float:
        return float(np.exp((2 - depth) * logarithm) / (1 - np.exp(depth * logarithm)))

    return float(quad(time, start, stop, epsrel=1e-6)[0])


def _halves(ax: Axes, x: ArrayLike, table: Any, depths: ArrayLike, scales: ArrayLike) -> None:
    ax.set_yscale("log")
    at = np.broadcast_arrays(np.asarray(depths, dtype=int), np.asarray(scales, dtype=float))
    backprop = [_backprop_half(int(depth), float(scale)) for depth, scale in zip(*at, strict=True)]
    deep = at[0] > 2
    plotting.theory(ax, x, backprop, label=None, linewidth=0.8)
    plotting.theory(ax, np.asarray(x)[deep], _energy_half(at[1])[deep], label=None, linewidth=0.8)
    ax.plot(
        x, table["bp"]["half_loss"], "o-", ms=3.5, color=plotting.COLOURS["bp"], label=r"BP: $\mathcal{L}$"
    )
    ax.plot(
        x, table["pc"]["half_loss"], "o--", ms=3.5, color=plotting.COLOURS["pc"], label=r"PC: $\mathcal{L}$"
    )
    ax.plot(x, table["pc"]["half_energy"], "o-", ms=3.5, color=plotting.COLOURS["pc"], label="PC: $F^*$")


def _ratios(ax: Axes, result: Result) -> None:
    """How many times faster PC is, for two thresholds."""
    ax.set(xscale="log", yscale="log", xlabel=r"initial size $\sigma$", ylabel="time of BP / time of PC")
    for mark, color, label in (
        ("half_loss", plotting.COLOURS["newton"], "half"),
        ("hundredth_loss", plotting.COLOURS["trust-region"], "1%"),
    ):
        ratio = _ratio(result, mark)
        plotting.spread(
            ax, result["wide_scales"], ratio.T, color, rf"$\mathcal{{L}}$ to {label}", marker="o", ms=3
        )
    ax.axhline(1, color=plotting.COLOURS["ink"], lw=0.6, ls=":")
    ax.legend(fontsize=7, loc="upper right", handlelength=1.4)
    ax.set_title("wide networks")


def _ratio(result: Result, mark: str) -> np.ndarray:
    """(scales, seeds)"""
    return np.asarray(result["wide"]["bp"][mark]) / np.asarray(result["wide"]["pc"][mark])


def _power(value: float) -> str:
    if value < 1000:
        return f"{value:.3g}"
    mantissa, exponent = f"{value:.1e}".split("e")
    return rf"${mantissa} \times 10^{{{int(exponent)}}}$"


def caption(result: Result, meta: Meta) -> str:
    """What grows when, and where the advantage of PC ends."""
    depths = [int(d) for d in result["depths"]]
    table = result["by_depth"]
    times = "; ".join(
        f"{_power(table['bp']['quarter_loss'][i])} and {_power(table['pc']['quarter_loss'][i])} at $L = "
        f"{depth}$"
        for i, depth in enumerate(depths)
        if depth in (3, 6)
    )
    ratios = {mark: np.median(_ratio(result, mark), axis=1) for mark in ("half_loss", "hundredth_loss")}
    small, large = result["wide_scales"][0], result["wide_scales"][-1]
    energies = np.asarray(table["pc"]["half_energy"])[1:]
    return (
        "Under predictive coding the last layer grows first: the energy falls early, the loss late, and the "
        "advantage over BP belongs to small weights. Exact gradient flow. (a-c) Chain of "
        rf"{result['path']['pc']['layers'].shape[1]} weights of size {meta.config['init']:g} on $y = -x$; "
        r"dashed: the first stage, $\dot w_L = w_L / (1 + w_L^2)^2$. (d, e) Time to half of energy and loss; "
        rf"black: closed forms. The energy takes {energies.min():.2f} to {energies.max():.2f} at every depth "
        rf"above 2 ({_energy_half(meta.config['init']):.2f}). A quarter of the loss "
        rf"takes BP and PC {times}. (f) Networks of widths {'-'.join(map(str, meta.config['wide']))}, median "
        rf"of {meta.config['seeds']} draws: to half of the loss BP takes {ratios['half_loss'][0]:.2g} times "
        rf"as long as PC at $\sigma = {small:g}$ and {ratios['half_loss'][-1]:.2g} times at $\sigma = "
        rf"{large:g}$; to 1%, {ratios['hundredth_loss'][0]:.2g} and {ratios['hundredth_loss'][-1]:.2g}. "
        rf"({meta.setting}.)"
    )


def numbers(result: Result) -> dict[str, float]:
    """Times to a quarter of the loss, half-time of the energy, and the reversal."""
    depths = [int(d) for d in result["depths"]]
    found: dict[str, float] = {}
    for depth in (3, 4, 6):
        if depth in depths:
            for rule in ("bp", "pc"):
                found[f"{rule}-{depth}"] = float(
                    f"{result['by_depth'][rule]['quarter_loss'][depths.index(depth)]:.2g}"
                )
    found["energy"] = float(f"{result['by_depth']['pc']['half_energy'][-1]:.3g}")
    return found
