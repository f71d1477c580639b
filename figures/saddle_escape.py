r"""Images from near the origin: BP stays on the plateau of the zero output, PC leaves it.

Sees: at the published scales BP flat at a mean squared error of 0.1 while PC leaves; at the matched scale PC still leaves first.
"""

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from experiments import saddle_escape
from experiments._result import Result
from experiments._store import Meta
from pctheory import plotting

EXPERIMENT = saddle_escape
TITLE = "Escape from the origin saddle"
SOURCE = "SAD 5, 11, 12"
SIZE = (5.5, 3.9)
LABELS = {"bp": "BP, matched scale", "pc": "PC", "bp-published": "BP, published scale"}
SHARES = (0.95, 0.8)
"""Shares of the first loss: past the first plateau, past the second."""
CLASSES = 10
NAMES = {"linear": "linear", "tanh": "tanh", "relu": "ReLU"}


def draw(fig: Figure, result: Result) -> None:
    """Rows: loss and gradient norm. Columns: activations. Mean and deviation over seeds."""
    curves = result["curves"]
    axes = fig.subplots(2, len(curves), squeeze=False, sharex=True, sharey="row")
    plotting.letter(axes.ravel().tolist())
    for column, (activation, runs) in enumerate(curves.items()):
        top, bottom = axes[:, column]
        top.set_xscale("log")
        bottom.set(xscale="log", yscale="log")
        for method, label in LABELS.items():
            run = runs[method]
            line = {"ls": "--"} if method.endswith("published") else {}
            steps = np.asarray(run["step"])[1:]
            for ax, key in ((top, "loss"), (bottom, "norm")):
                values = np.asarray(run[key])[:, 1:]
                plotting.spread(ax, steps, values, plotting.COLOURS[method[:2]], label, **line)
        top.set_title(NAMES.get(activation, activation))
        top.set_ylim(bottom=0)
        bottom.set_xlabel("iteration")
    axes[0, 0].set_ylabel(r"loss $\mathcal{L}$")
    axes[1, 0].set_ylabel("gradient norm")
    plotting.legend_outside(fig, axes[0, 0], "bottom", ncols=3)


def escape(run: Any, share: float = SHARES[0]) -> np.ndarray:
    """First recorded iteration with a loss of at most this share of the first one, per seed; NaN: never."""
    losses, steps = np.asarray(run["loss"]), np.asarray(run["step"], dtype=float)
    below = losses <= share * losses[:, :1]
    return np.where(below.any(axis=1), steps[below.argmax(axis=1)], np.nan)


def _span(values: np.ndarray, last: float) -> str:
    finite = values[np.isfinite(values)]
    if len(finite) == 0:
        return f"more than {last:g}"
    low, high = f"{finite.min():.0f}", f"{finite.max():.0f}"
    text = low if low == high else f"{low}-{high}"
    return text if len(finite) == len(values) else f"{text} ({len(values) - len(finite)} not)"


def _escapes(runs: Any, share: float) -> dict[str, str]:
    return {m: _span(escape(runs[m], share), float(runs[m]["step"][-1])) for m in LABELS}


def caption(result: Result, meta: Meta) -> str:
    """Times of escape, and what was left out."""
    parts = []
    for activation, runs in result["curves"].items():
        first, second = (_escapes(runs, share) for share in SHARES)
        parts.append(
            f"{NAMES.get(activation, activation)} {first['pc']}, {first['bp']}, {first['bp-published']}, and {second['pc']}, {second['bp']}, {second['bp-published']}"
        )
    start = 2 / CLASSES * float(np.mean([runs["bp"]["loss"][:, 0] for runs in result["curves"].values()]))
    data = "MNIST" if result["dataset"] == "mnist" else result["dataset"]
    seeds = meta.config["seeds"]
    return (
        rf"Networks with H = {meta.config['hidden_layers']} on {data} from $\sigma$ = {meta.config['init']:g}, T = {meta.config['inference_steps']} steps of inference; loss on one batch of "
        rf"{meta.config['batch_size']} and norm of the gradient of what is descended. PC steps by B times the nominal learning rate {meta.config['learning_rate']:g} on F, BP by the "
        rf"same on the loss (solid) or by that of the public code (dashed). First recorded iterations with a loss below {SHARES[0]:g} and {SHARES[1]:g} of the first one, PC, BP, BP at the published scale: {'; '.join(parts)}. "
        rf"The first plateau is a mean squared error of {start:.3g}, as published; the second plateau published is near 0.09. "
        rf"The zero-rank saddle, Fashion-MNIST and CIFAR-10 are not run. ({meta.setting}; {seeds} seed{'s' if seeds > 1 else ''}.)"
    )


def numbers(result: Result) -> dict[str, str | float]:
    """Times of escape."""
    return {
        f"{activation}-{method}": value
        for activation, runs in result["curves"].items()
        for method, value in _escapes(runs, SHARES[0]).items()
    }
