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
_NAMES = {"bp": r"loss $\mathcal{L}$", "pc": r"equilibrated energy $F^*$"}
_PATHS = {"bp": ("backprop", plotting.COLOURS["bp"]), "pc": ("predictive coding", plotting.COLOURS["pc"])}
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
        losses.text(at + 12, 0.29, label, color=color, fontsize=7.5, rotation=-90, va="center", ha="left")
    losses.set(xlabel="iteration", title=r"$\mathcal{L}$ along the two paths")
    losses.set(xlim=(0, 300), ylim=(0, None), yticks=(0, 0.25, 0.5))


def _half(result: Result, rule: str) -> int:
    """Iterations until the loss is half of the first one."""
    losses = np.asarray(result[rule]["losses"])
    return int(np.argmax(losses <= losses[0] / 2))


def caption(result: Result, meta: Meta) -> str:
    """What is drawn, what it shows."""
    loss, energy = (float(np.min(result["origin"][rule])) for rule in _NAMES)
    return (
        rf"Predictive coding leaves the saddle at the origin after {_half(result, 'pc')} iterations, "
        rf"backprop after {_half(result, 'bp')} (loss halved), with the same step from the same point. The "
        "network is a chain of three weights, the first two tied: $f = v u^2 x$ on $y = -x$. Left: the loss "
        r"$\mathcal{L}$, which backprop descends. Middle, on the same scale: the equilibrated energy $F^* = "
        r"\mathcal{L} / S$ with $S = 1 + v^2 + v^2 u^2$, which predictive coding descends. Hollow: the "
        rf"start; dots: every {_EVERY} iterations. At the origin the least curvature of $\mathcal{{L}}$ is "
        rf"{abs(loss):.3g}, that of $F^*$ {energy:.3g}: a plateau against a slope. The advantage belongs to "
        rf"small weights: from large ones backprop can be faster. ({meta.setting}.)"
    )


def numbers(result: Result) -> dict[str, float]:
    """Iterations to half of the loss."""
    return {rule: _half(result, rule) for rule in _NAMES}
