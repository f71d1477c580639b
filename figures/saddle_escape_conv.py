r"""A convolutional network from near the origin: the plateau of the zero output, and when each rule leaves
it.

What to see: predictive coding leaves the origin sooner than backpropagation at the matched scale, as in fully
connected networks; the kernels of all layers move.
"""

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from experiments import saddle_escape_conv
from experiments._result import Result
from experiments._store import Meta
from figures import _names
from figures._escapes import each, iterations_to, rounded, span
from figures._outcome import Outcome, outcome
from pctheory import plotting

EXPERIMENT = saddle_escape_conv
TITLE = "Predictive coding leaves the origin sooner in a convolutional network, too"
SOURCE = "new; SAD 5 for fully connected networks"
SIZE = (5.5, 2.3)
LABELS = {"bp": "BP, matched scale", "pc": "PC"}
ROWS = ("loss", "norm", "change")
MEAN = 2 / 10
"""What the mean over batch and outputs is of the loss."""
SHARES = (0.95, 0.8)
"""Shares of the first loss: off the plateau of the zero output, and well below it."""


def draw(fig: Figure, result: Result) -> None:
    """Columns: mean squared error, gradient norm, change of the weights per layer; every run. Rows:
    activations.
    """
    curves = result["curves"]
    axes = fig.subplots(len(curves), 3, squeeze=False)
    plotting.letter(axes)
    for (errors, norms, change), (activation, runs) in zip(axes, curves.items(), strict=True):
        for method, label in LABELS.items():
            run, line = runs[method], {"color": plotting.COLOURS[method], "lw": 0.9}
            steps = np.asarray(run["step"])[1:]
            for k, (loss, norm, moved) in enumerate(zip(*(run[key] for key in ROWS), strict=True)):
                errors.plot(steps, MEAN * loss[1:], label=None if k else label, **line)
                norms.plot(steps, norm[1:], **line)
                layers = np.arange(1, len(moved) + 1)
                change.plot(layers, moved, "o-", ms=3, **line)
        for ax in (errors, norms):
            ax.set(xscale="log", xlabel="iteration")
        norms.set(yscale="log", ylabel="gradient norm")
        errors.set(ylabel="mean squared error", title=_names.activation(activation))
        errors.set_xlim(left=max(1.0, float(steps[-1]) / 100))
        change.set(ylabel="change of the weights", xlabel="layer", xticks=layers, ylim=(0, None))
    plotting.legend_outside(fig, axes[0, 0], "bottom", ncols=2)


def escape(run: Any, share: float = SHARES[0]) -> np.ndarray:
    """Iterations to a loss of at most this share of the first one, per seed; NaN: never."""
    return iterations_to(run["step"], run["loss"], share)


def _time(run: Any, share: float) -> str:
    return span(escape(run, share), f"more than {rounded(float(run['step'][-1]))}")


def caption(result: Result, meta: Meta) -> str:
    """Times of escape, the ratio, and what the layers do."""
    n, c = numbers(result), meta.config

    def times(activation: str) -> str:
        pc, bp = (f"{activation}-{method}" for method in ("pc", "bp"))
        return f"{n[pc]} and {n[bp]} ({n[f'{pc}-later']} and {n[f'{bp}-later']})"

    return (
        rf"PC leaves the origin sooner in a convolutional network, too. {_names.dataset(result['dataset'])}: "
        rf"{len(c['channels'])} convolutions (side {c['kernel']}, stride {c['stride']}, "
        rf"{', '.join(map(str, c['channels']))} channels) and a dense readout, $\sigma = {c['init']:g}$; $T "
        rf"= {c['inference_steps']}$; both rules with the same step and, "
        rf"for {c['pc_iterations']} iterations, the same budget; a line for each of "
        rf"{_names.seeds(c)}. (a, b) Error and gradient norm of what is descended. (c) Change of the weights "
        rf"at the end over their first norm. Iterations of PC and BP to {SHARES[0]:g} of the first loss (to "
        rf"{SHARES[1]:g}): {each(result['curves'], times)}. At the end the "
        rf"mean squared error is {n['end-pc']} (PC) and {n['end-bp']} (BP); fully connected networks were "
        rf"published to pause near 0.09. "
        rf"Every layer changes, by at least {n['least-change-pc']} (PC) and {n['least-change-bp']} (BP) of "
        rf"its first norm. ({meta.setting}.)"
    )


def numbers(result: Result) -> dict[str, str | float]:
    """Times of escape, their ratio, the least change of a layer, and the mean squared error at the end."""
    found: dict[str, str | float] = {}
    for activation, runs in result["curves"].items():
        for method in LABELS:
            found[f"{activation}-{method}"] = _time(runs[method], SHARES[0])
            found[f"{activation}-{method}-later"] = _time(runs[method], SHARES[1])
        found[f"{activation}-ratio"] = span(escape(runs["bp"]) / escape(runs["pc"]), "unknown")
    for method in LABELS:
        least = min(float(np.min(runs[method]["change"])) for runs in result["curves"].values())
        found[f"least-change-{method}"] = rounded(least)
        ends = [MEAN * np.asarray(runs[method]["loss"])[:, -1] for runs in result["curves"].values()]
        found[f"end-{method}"] = span(ends, digits=3)
    return found


def outcomes(result: Result, meta: Meta) -> list[Outcome]:
    """Whether PC leaves sooner, in convolutional networks too."""
    ratios = [escape(runs["bp"]) / escape(runs["pc"]) for runs in result["curves"].values()]
    return [
        outcome(
            "PC leaves the origin sooner than BP (published for fully connected networks)",
            f"BP takes {span(ratios, 'unknown')} times as many iterations at one scale",
            bool(np.nanmin(ratios) > 1),
        )
    ]
