r"""Trained networks against the prediction from the kernel of their initial weights, over the width.

A faithful run sees the error fall like 1/N for PC and BP, linear and tanh, and stay for muPC.
"""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from experiments import lazy_prediction
from experiments._result import Result
from experiments._store import Meta
from figures._escapes import span
from pctheory import plotting

EXPERIMENT = lazy_prediction
TITLE = "Wide networks follow the kernel of their initial weights"
SOURCE = "new"
SIZE = (5.5, 2.2)
_RULES = {"pc": ("PC", "o"), "bp": ("BP", "s")}


def draw(fig: Figure, result: Result) -> None:
    """Held-out loss of the widest networks; errors of linear networks; errors of tanh networks."""
    axes = fig.subplots(1, 3)
    _losses(axes[0], result)
    _errors(axes[1], result)
    _tanh(axes[2], result)
    axes[0].set_title(rf"$N = {int(result['widths'][-1])}$")
    axes[1].set_title("linear networks")
    axes[2].set_title("tanh networks")
    plotting.letter(axes)


def _losses(ax: Axes, result: Result) -> None:
    for rule, (name, marker) in _RULES.items():
        table, at = result["ntp"][rule], np.asarray(result["times"])
        colour = plotting.COLOURS[rule]
        plotting.theory(ax, at, np.asarray(table["predicted"])[-1, 0], label=None)
        ax.plot(at, np.asarray(table["trained"])[-1, 0], marker, ms=3.5, color=colour, label=name)
    ax.set_xlabel("time")
    ax.set_ylabel(r"held-out $\mathcal{L}$")
    ax.legend(fontsize=7, handlelength=1)


def _errors(ax: Axes, result: Result) -> None:
    at = np.asarray(result["widths"], dtype=float)
    plotting.log2_axis(ax, "x")
    ax.set_yscale("log")
    for scheme, face in (("ntp", None), ("mupc", "white")):
        for rule, (name, marker) in _RULES.items():
            errors = _last(result, scheme, rule)
            colour = plotting.COLOURS[rule]
            label = name if scheme == "ntp" else rf"{name}, $\mu$PC"
            ax.plot(
                at, errors, marker + "-", ms=3.5, lw=0.7, color=colour, mfc=colour if face is None else face,
                label=label,
            )  # fmt: skip
    _line(ax, at, _last(result, "ntp", "pc"))
    ax.set_xlabel("width $N$")
    ax.set_ylabel("error / distance")
    ax.legend(fontsize=6.5, handlelength=1, labelspacing=0.2)


def _tanh(ax: Axes, result: Result) -> None:
    at = np.asarray(result["tanh_widths"], dtype=float)
    plotting.log2_axis(ax, "x")
    ax.set_yscale("log")
    for rule, (_, marker) in _RULES.items():
        for seed in np.asarray(result["tanh"][rule]).T:
            ax.plot(at, seed, marker, ms=3.2, color=plotting.COLOURS[rule], mfc="none", mew=0.7)
    _line(ax, at, np.median(np.asarray(result["tanh"]["pc"]), axis=1))
    ax.set_xlabel("width $N$")


def _line(ax: Axes, at: np.ndarray, errors: np.ndarray) -> None:
    """The power -1 of the width, from the first error."""
    ax.yaxis.set_minor_formatter(NullFormatter())
    plotting.theory(ax, at, errors[0] * at[0] / at, label=None, linestyle="--", linewidth=0.8)


def _last(result: Result, scheme: str, rule: str) -> np.ndarray:
    """Root mean square over seeds and times."""
    return np.asarray(np.sqrt(np.mean(np.square(result[scheme][rule]["error"]), axis=(1, 2))))


def _slope(at: np.ndarray, errors: np.ndarray) -> float:
    return float(np.polyfit(np.log(at), np.log(errors), 1)[0])


def caption(result: Result, meta: Meta) -> str:
    """What was run and the powers found."""
    found = numbers(result)
    return (
        r"Wide networks learn what the kernel of their initial weights predicts, PC with the outputs "
        rf"preconditioned by $S^{{-1}}$. {meta.config['hidden_layers']} hidden layers, "
        rf"{meta.config['inputs']} whitened components of the digits. (a) Held-out loss; markers: gradient "
        r"flow, black: predicted. (b) Distance of the trained map from the predicted one over the distance "
        rf"travelled (root mean square of {meta.config['seeds']} seeds and all times). It falls with the "
        rf"power {found['power-pc']} (PC) and {found['power-bp']} (BP) of N; dashed: 1/N; open: $\mu$PC at N "
        r"times the time, where features move. (c) tanh networks trained by real inference and predicted "
        rf"by their kernel from autograd: power {found['power-tanh']}. ({meta.setting}.)"
    )


def numbers(result: Result) -> dict[str, str | float]:
    """Powers of the width with which the errors fall, and the errors of the widest networks."""
    at, nonlinear = np.asarray(result["widths"]), np.asarray(result["tanh_widths"])
    return {
        **{f"power-{rule}": f"{_slope(at, _last(result, 'ntp', rule)):.2f}" for rule in _RULES},
        "power-tanh": span(
            [_slope(nonlinear, np.median(result["tanh"][rule], axis=1)) for rule in _RULES], digits=2
        ),
        **{f"error-{rule}": f"{_last(result, 'ntp', rule)[-1]:.1g}" for rule in _RULES},
        "error-mupc": f"{_last(result, 'mupc', 'pc')[-1]:.1g}",
    }
