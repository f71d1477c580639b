r"""Gradients of predictive coding and of backpropagation in residual tanh networks with a cross-entropy
output.

What to see: parallel gradients for N well above the depth, as in linear networks, with inference at its
equilibrium.
"""

import numpy as np
from matplotlib.figure import Figure

from experiments import limits_nonlinear
from experiments._result import Result
from experiments._store import Meta
from figures import _names
from figures._outcome import Outcome, outcome
from pctheory import plotting

EXPERIMENT = limits_nonlinear
TITLE = "Predictive coding and backpropagation in nonlinear networks"
SOURCE = "LIM 4a"
SIZE = (5.5, 3.6)
RATES = {"table": r"$10^{-3} (NL)^{-1/2}$", "none": r"$10^{-3}$"}
SAME = 1e-5
"""Relative distance below which two descents count as having ended at the same point."""


def draw(fig: Figure, result: Result) -> None:
    """Rows: readings of the learning rate. Columns: cosine along training, cosine by layer, energy gap,
    losses.
    """
    runs, widths = result["runs"], [int(n) for n in result["widths"]]
    axes = fig.subplots(len(list(runs)), 4, squeeze=False, sharex="col", sharey="col")
    shades = plotting.shades(len(widths))
    for row, (scaling, part) in zip(axes, runs.items(), strict=True):
        steps = np.arange(part["cosine"].shape[1])
        layers = np.arange(1, part["layers"].shape[2] + 1)
        for k, (n, colour) in enumerate(zip(widths, shades, strict=True)):
            row[0].plot(steps, part["cosine"][k], color=colour, lw=1.0, label=f"$N = {n}$")
            row[0].plot(steps, part["between"][k], ":", color=colour, lw=1.0)
            row[1].plot(layers, part["layers"][k, 0], ":", color=colour, lw=1.0)
            row[1].plot(layers, part["layers"][k, -1], color=colour, lw=1.0)
            row[2].plot(steps, 1 - part["energy"][k] / part["loss"][k], color=colour, lw=1.0)
            row[3].plot(steps, part["loss"][k], color=colour, lw=1.0)
            row[3].plot(steps, part["energy"][k], ":", color=colour, lw=1.0)
            row[3].plot(steps, part["bp_loss"][k], "--", color=plotting.COLOURS["bp"], lw=0.6)
        row[2].set_yscale("log")
        row[0].set_ylabel(f"Adam, {RATES[scaling]}")
    for ax, title in zip(
        axes[0],
        ("cosine", "cosine by layer", r"$1 - F^* / \mathcal{L}$", r"$\mathcal{L}$ and $F^*$"),
        strict=True,
    ):
        ax.set_title(title)
    for ax, label in zip(axes[-1], ("iteration", "layer $l$", "iteration", "iteration"), strict=True):
        ax.set_xlabel(label)
    axes[0, 0].plot([], [], ":", color="black", label="dotted: see caption")
    axes[0, 0].plot([], [], "--", color=plotting.COLOURS["bp"], label="BP loss")
    plotting.letter(axes.ravel().tolist())
    plotting.legend_outside(fig, axes[0, :1], "bottom", ncols=5)


def _ends(result: Result) -> list[tuple[str, int]]:
    widths = [int(n) for n in result["widths"]]
    return [("narrow", 0), ("middle", len(widths) // 2), ("wide", len(widths) - 1)]


def numbers(result: Result) -> dict[str, str | float]:
    """Cosines, gaps and losses at the ends and in the middle of the widths; the worst residual of
    inference.
    """
    found: dict[str, str | float] = {}
    for scaling, part in result["runs"].items():
        gap = 1 - part["energy"] / part["loss"]
        for name, k in _ends(result):
            key = f"{scaling}-{name}"
            found[f"{key}-cosine-start"] = f"{part['cosine'][k, 0]:.3f}"
            found[f"{key}-cosine-end"] = f"{part['cosine'][k, -1]:.3f}"
            found[f"{key}-between-end"] = f"{part['between'][k, -1]:.3f}"
            found[f"{key}-gap-start"] = f"{gap[k, 0]:.3f}"
            found[f"{key}-gap-end"] = f"{gap[k, -1]:.3f}"
            found[f"{key}-loss-end"] = f"{part['loss'][k, -1]:.3f}"
        found[f"{scaling}-fall"] = f"{100 * np.max(1 - part['loss'][:, -1] / part['loss'][:, 0]):.1f}"
    found["residual"] = max(float(np.max(part["residual"])) for _, part in result["runs"].items())
    return found


def _uniqueness(result: Result) -> str:
    """Whether two methods of inference end at one point."""
    same = result["agreement"]
    apart = [
        str(n)
        for n, distance, converged in zip(result["widths"], same["distance"], same["converged"], strict=True)
        if not np.all(converged) or distance > SAME
    ]
    found = "Two methods of inference end at one equilibrium"
    return found + (f", but not at $N = {', '.join(apart)}$." if apart else ".")


def caption(result: Result, meta: Meta) -> str:
    """What was run, what agrees, what does not."""
    n, config = numbers(result), meta.config
    rows = " ".join(
        rf"At the rate {RATES[scaling]} the cosine goes from {n[f'{scaling}-narrow-cosine-start']} to "
        rf"{n[f'{scaling}-narrow-cosine-end']} at $N = {int(result['widths'][0])}$, from "
        rf"{n[f'{scaling}-wide-cosine-start']} to {n[f'{scaling}-wide-cosine-end']} at $N = "
        rf"{int(result['widths'][-1])}$; loss down by {n[f'{scaling}-fall']}%."
        for scaling in result["runs"]
    )
    return (
        "Nonlinear residual networks also approach backpropagation with their width, as published. "
        rf"{config['activation']}, $H = {config['hidden']}$, $\mu$PC, cross-entropy, {config['samples']} "
        rf"images of {_names.dataset(result['dataset'])}, {config['iterations']} iterations of full-batch "
        r"Adam, one seed. Left to right: cosine of the gradients of $F^*$ and $\mathcal{L}$ (dotted: "
        r"$\mathcal{L}$ of a second network, as published); the same by layer (dotted: at "
        r"first); energy gap; loss "
        rf"(solid), $F^*$ (dotted), loss of BP (grey). {rows} "
        rf"{_uniqueness(result)} ({meta.setting}.)"
    )


def outcomes(result: Result, meta: Meta) -> list[Outcome]:
    """The cosine of the gradients at the published rate."""
    n, widths = numbers(result), result["widths"]
    start, end = (float(n[f"table-wide-cosine-{at}"]) for at in ("start", "end"))
    return [
        outcome(
            "the gradients of PC and BP become parallel with the width",
            rf"cosine {n['table-narrow-cosine-end']} at $N = {int(widths[0])}$, "
            rf"{end} at $N = {int(widths[-1])}$",
            min(start, end) > 0.98,
            end > float(n["table-narrow-cosine-end"]),
            tested=int(widths[-1]) >= 512,
        )
    ]
