r"""Filters over time as clamped equilibria: a path, what temporal predictive coding loses, and its steps.

A faithful run sees simulated errors on the predicted curves, the Kalman filter lowest, and few steps of
inference losing more.
"""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments import kalman
from experiments._result import Result
from experiments._store import Meta
from figures._escapes import rounded
from pctheory import plotting

EXPERIMENT = kalman
TITLE = "Filters and smoothers are clamped equilibria"
SOURCE = "new"
SIZE = (5.5, 2.5)
_NAMES = {"kalman": "Kalman filter", "temporal": "temporal PC"}
_COLOURS = {"kalman": plotting.COLOURS["newton"], "temporal": plotting.COLOURS["pc"]}


def draw(fig: Figure, result: Result) -> None:
    """One path and its estimates; errors over the noise of the state; errors over the steps of inference."""
    axes = fig.subplots(1, 3)
    _path(axes[0], result)
    _noises(axes[1], result)
    _steps(axes[2], result)
    axes[0].set_title("one path")
    axes[1].set_title("at equilibrium")
    axes[2].set_title("after $T$ steps")
    plotting.legend_outside(fig, axes, "bottom", ncols=4)
    plotting.letter(axes)


def _path(ax: Axes, result: Result) -> None:
    path = result["path"]
    times = np.arange(1, len(path["seen"]) + 1)
    ax.plot(times, path["seen"], ".", ms=2.5, color=plotting.COLOURS["quiet"], label="observed")
    smooth, width = np.asarray(path["smoother"]), np.asarray(path["width"])
    colour = plotting.COLOURS["trust-region"]
    ax.fill_between(times, smooth - width, smooth + width, color=colour, alpha=0.3, linewidth=0)
    ax.plot(times, smooth, color=colour, label="smoother")
    for name, label in _NAMES.items():
        ax.plot(times, path[name], color=_COLOURS[name], lw=0.9, label=label)
    ax.plot(times, path["position"], color="black", lw=0.7, linestyle=":", label="true")
    ax.set_xlabel("time")
    ax.set_ylabel("position")


def _noises(ax: Axes, result: Result) -> None:
    ax.set_xscale("log")
    ax.set_yscale("log")
    for name in _NAMES:
        plotting.measured(ax, result["noises"], result[name]["simulated"], ms=3.5, color=_COLOURS[name])
        plotting.theory(ax, result["noises"], result[name]["predicted"], label=None)
    ax.set_xlabel("noise of the state")
    ax.set_ylabel("mean squared error")


def _steps(ax: Axes, result: Result) -> None:
    plotting.log2_axis(ax, "x")
    ax.set_yscale("log")
    plotting.measured(
        ax, result["steps"], result["steps errors"]["simulated"], ms=3.5, color=_COLOURS["temporal"]
    )
    plotting.theory(ax, result["steps"], result["steps errors"]["predicted"], label="predicted")
    for value, name in zip(result["limits"], _NAMES, strict=True):
        ax.axhline(value, color=_COLOURS[name], linewidth=0.8, linestyle="--", zorder=0)
    ax.set_xlabel("steps $T$")
    ax.set_ylabel("mean squared error")


def caption(result: Result, meta: Meta) -> str:
    """What was run and what agrees."""
    found = numbers(result)
    return (
        rf"Temporal predictive coding is a Kalman filter that forgets its own uncertainty. A damped "
        rf"particle, its position seen with noise of variance 1. (a) One path of {meta.config['times']} "
        rf"times: the smoother, with its deviation, and the filter are clamped equilibria of one network. "
        rf"(b) Mean squared error of the position over the variance of the driving noise: temporal PC errs "
        rf"{found['most']} times as much as the Kalman filter at the smallest noise and {found['least']} "
        rf"times at the largest. (c) Error over the number of gradient steps of inference; dashed: the "
        rf"equilibrium, and the Kalman filter. Dots are simulated over {meta.config['run']} times, within "
        rf"{found['off']}% of the prediction. ({meta.setting}.)"
    )


def numbers(result: Result) -> dict[str, str | float]:
    """Ratios of the errors at the ends of the noises, and the largest deviation of the simulation."""
    ratio = np.asarray(result["temporal"]["predicted"]) / np.asarray(result["kalman"]["predicted"])
    parts = [result[name] for name in ("kalman", "temporal", "steps errors")]
    off = [np.abs(np.asarray(p["simulated"]) / np.asarray(p["predicted"]) - 1).max() for p in parts]
    return {
        "most": rounded(float(ratio[0])),
        "least": rounded(float(ratio[-1]), 3),
        "off": rounded(100 * float(max(off))),
    }
