r"""The picture of the README: the loss and the equilibrated energy on one plane, and the two paths out of the
saddle.

What to see: the path on the loss creeps over a plateau; the path on the energy slides off it. Both end at a
perfect fit.
"""

import numpy as np
from matplotlib.figure import Figure

from experiments import hero_landscape
from experiments._result import Result
from experiments._store import Meta
from pctheory import plotting

EXPERIMENT = hero_landscape
TITLE = "Two ways out of the saddle at the origin"
SOURCE = "new"
SIZE = (5.5, 2.1)
FILM = (5.5, 2.4)
_NAMES = {"bp": r"loss $\mathcal{L}$", "pc": r"equilibrated energy $F^*$"}
_PATHS = {"bp": ("BP", plotting.COLOURS["bp"]), "pc": ("PC", plotting.COLOURS["pc"])}
_EVERY = 25
"""Iterations between two dots on a path."""


def draw(fig: Figure, result: Result) -> None:
    """Left and middle: the two landscapes, one scale, with their paths. Right: the loss along both paths."""
    grid = fig.add_gridspec(1, 3, width_ratios=(1.25, 1.25, 1.0))
    top = max(float(np.max(result[rule]["values"])) for rule in _NAMES)
    levels = np.linspace(0, top, 15)
    for column, (rule, name) in enumerate(_NAMES.items()):
        ax = fig.add_subplot(grid[column], projection="3d", computed_zorder=False)
        plotting.surface(ax, result["u"], result["v"], result[rule]["values"], levels=levels)
        color = _PATHS[rule][1]
        way = np.column_stack([result[rule]["path"], result[rule]["heights"] + 0.015])
        ax.plot(*way.T, color="white", lw=3.0, zorder=4)
        ax.plot(*way.T, color=color, lw=1.7, zorder=5)
        ax.plot(*way[::_EVERY].T, "o", color=color, mec="white", mew=0.5, ms=3.4, zorder=6)
        ax.plot(*way[:1].T, "o", mfc="white", mec=color, ms=4.5, zorder=7)
        ax.set(xlabel="$u$", ylabel="$v$", title=name, zlim=(0, top))
        ax.set(xticks=(0, 0.5, 1), yticks=(-1, -0.5, 0), zticks=(0, 0.5, 1))
        ax.view_init(elev=32, azim=-120)
        ax.set_box_aspect((1, 1, 0.7), zoom=1.18)
    losses = fig.add_subplot(grid[2])
    for rule, (label, color) in _PATHS.items():
        losses.plot(result[rule]["losses"], color=color, lw=1.6)
        at = _half(result, rule)
        losses.text(at + 12, 0.29, label, color=color, fontsize=7.5, va="center", ha="left")
    losses.set(xlabel="iteration", title=r"$\mathcal{L}$ along the two paths")
    losses.set(xlim=(0, 300), ylim=(0, None), yticks=(0, 0.25, 0.5))
    plotting.letter(fig.axes)


def frames(result: Result) -> int:
    """One for each number of inference steps."""
    return len(result["film"]["steps"])


def frame(fig: Figure, result: Result, index: int) -> None:
    """The energy after some steps of inference: on the plane, and through the saddle along v."""
    grid = fig.add_gridspec(1, 2, width_ratios=(1.5, 1.0))
    film = result["film"]
    steps, u, v, values = (np.asarray(film[name]) for name in ("steps", "u", "v", "values"))
    top = float(np.max(values))
    ax = fig.add_subplot(grid[0], projection="3d", computed_zorder=False)
    plotting.surface(ax, u, v, values[index], levels=np.linspace(0, top, 15))
    middle = int(np.argmin(np.abs(u)))
    saddle = values[index, int(np.argmin(np.abs(v))), middle]
    ax.plot([0], [0], [saddle + 0.02], "o", mfc="white", mec=plotting.COLOURS["ink"], ms=4.5, zorder=7)
    ax.set(xlabel="$u$", ylabel="$v$", zlim=(0, top), xticks=(0, 0.5, 1), yticks=(-1, -0.5, 0))
    ax.set_title(f"$F$ after {steps[index]} steps of inference")
    ax.view_init(elev=32, azim=-120)
    ax.set_box_aspect((1, 1, 0.7), zoom=1.1)
    cut = fig.add_subplot(grid[1])
    cut.plot(v, values[0, :, middle], color=plotting.COLOURS["bp"])
    cut.plot(v, values[-1, :, middle], "--", color=plotting.COLOURS["theory"], lw=0.9)
    cut.plot(v, values[index, :, middle], color=plotting.COLOURS["pc"])
    height = float(values[0, 0, middle])
    cut.text(v[0], 1.03 * height, r"loss $\mathcal{L}$", color=plotting.COLOURS["bp"], fontsize=7.5)
    cut.text(v[0], 0.85 * float(values[-1, 0, middle]), " $F^*$", fontsize=7.5, va="top")
    cut.set(xlabel="$v$", title="along $v$ at $u = 0$", ylim=(0, 1.2 * height), yticks=(0, 0.25, 0.5))


def _half(result: Result, rule: str) -> int:
    """Iterations until the loss is half of the first one."""
    losses = np.asarray(result[rule]["losses"])
    return int(np.argmax(losses <= losses[0] / 2))


def caption(result: Result, meta: Meta) -> str:
    """What is drawn, what it shows."""
    loss, energy = (float(np.min(result["origin"][rule])) for rule in _NAMES)
    return (
        rf"Predictive coding (PC) leaves the saddle at the origin after {_half(result, 'pc')} iterations, "
        rf"backpropagation (BP) after {_half(result, 'bp')} (loss halved), with the same step from the same "
        "point. The network is a chain of three weights, the first two tied: $f = v u^2 x$ on $y = -x$. (a) "
        r"The loss $\mathcal{L}$, which BP descends. (b) On the same scale the equilibrated energy $F^* = "
        r"\mathcal{L} / S$ with $S = 1 + v^2 + v^2 u^2$, which PC descends. Hollow: the start; dots: every "
        rf"{_EVERY} iterations. At the origin the curvature of $\mathcal{{L}}$ is {abs(loss):.3g}, that "
        rf"of $F^*$ {energy:.3g}: a plateau against a slope; the film in the gallery shows inference turning "
        "the one into the other. The advantage belongs to small weights: from large ones BP can be faster. "
        f"({meta.setting}.)"
    )


def numbers(result: Result) -> dict[str, float]:
    """Iterations to half of the loss."""
    return {rule: _half(result, rule) for rule in _NAMES}
