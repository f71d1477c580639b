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
SHARE = 0.95
"""Share of the first loss: off the plateau of the zero output."""


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


def escape(run: Any) -> np.ndarray:
    """Iterations to a loss off the plateau of the zero output, per seed; NaN: never."""
    return iterations_to(run["step"], run["loss"], SHARE)


def _time(run: Any) -> str:
    return span(escape(run), f"more than {rounded(float(run['step'][-1]))}")


def caption(result: Result, meta: Meta) -> str:
    """Times of escape, the ratio, and what the layers do."""
    n, c = numbers(result), meta.config
    pc, bp = (_ends(result, method) for method in ("pc", "bp"))
    level = "level" if bp.min() <= pc.max() else "apart"
    times = each(result["curves"], lambda a: f"{n[f'{a}-pc']} and {n[f'{a}-bp']}")
    return (
        "PC leaves the origin sooner in a convolutional network, too; at the end of the same budget the two "
        rf"are {level}. {_names.dataset(result['dataset'])}: {len(c['channels'])} convolutions (side "
        rf"{c['kernel']}, stride {c['stride']}, {', '.join(map(str, c['channels']))} channels) and a dense "
        rf"readout, $\sigma = {c['init']:g}$; $T = {c['inference_steps']}$; both rules with the same step, "
        rf"{c['pc_iterations']} (PC) and {c['bp_iterations']} (BP) iterations, {_names.seeds(c)}. (a, b) "
        "Error and gradient norm. (c) Change of the weights at the end over their first norm. Iterations of "
        rf"PC and BP to {SHARE:g} of the first loss: {times}. Mean squared error at the end: {n['end-pc']} "
        rf"and {n['end-bp']}; fully connected networks were published to pause near 0.09. Every layer "
        rf"changes, by at least {n['least-change-pc']} and {n['least-change-bp']} of its first norm. "
        rf"({meta.setting}.)"
    )


def _ends(result: Result, method: str) -> np.ndarray:
    """Mean squared errors at the end of the runs."""
    return MEAN * np.concatenate([runs[method]["loss"][:, -1] for runs in result["curves"].values()])


def numbers(result: Result) -> dict[str, str | float]:
    """Times of escape, their ratio, the least change of a layer, and the mean squared error at the end."""
    found: dict[str, str | float] = {}
    for activation, runs in result["curves"].items():
        for method in LABELS:
            found[f"{activation}-{method}"] = _time(runs[method])
        found[f"{activation}-ratio"] = span(escape(runs["bp"]) / escape(runs["pc"]), "unknown")
    for method in LABELS:
        least = min(float(np.min(runs[method]["change"])) for runs in result["curves"].values())
        found[f"least-change-{method}"] = rounded(least)
        found[f"end-{method}"] = span(_ends(result, method), digits=3)
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
