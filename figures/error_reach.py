r"""Errors, weight gradients and weight changes against the distance from the output; accuracy with frozen
layers.

Three causes: the error is exactly zero beyond T layers (light cone), falls factorially within them after
about one layer (attenuation), and is rounding where single precision cannot hold it (arithmetic). A change of
the weights does not measure what a layer does: panel d freezes the input side instead.
"""

import math

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from experiments import error_reach
from experiments._result import Result
from experiments._store import Meta
from figures import _names
from pctheory import plotting

EXPERIMENT = error_reach
TITLE = "How far the error reaches"
SOURCE = "new"
SIZE = (5.5, 4.2)
RULES = {
    "bp": ("BP", plotting.COLOURS["bp"]),
    "equilibrium": ("PC, equilibrium", plotting.COLOURS["newton"]),
    "pc": ("PC, $T = H$", plotting.COLOURS["pc"]),
}
MOVED = 0.1
"""Relative change of a layer's weights above which it counts as having learned."""


def draw(fig: Figure, result: Result) -> None:
    """Top: errors by time at the smallest rate, and by rate at the longest time. Bottom: weight changes,
    accuracy.
    """
    axes = fig.subplots(2, 2)
    times, rates = [int(t) for t in result["times"]], [float(r) for r in result["rates"]]
    first, longest = f"{rates[0]:g}", times[-1]
    for t, colour in zip(times, plotting.shades(len(times)), strict=True):
        values = result[first][t]["errors"]
        distance = np.arange(len(values))
        kept = values > 0
        axes[0, 0].plot(
            distance[kept],
            values[kept],
            "o-",
            color=colour,
            label=f"$T = {t}$",
            markersize=2.2,
            linewidth=0.8,
        )
        law = np.array(
            [math.exp(k * math.log(rates[0] / result["batch"] * t) - math.lgamma(k + 1)) for k in distance]
        )
        plotting.theory(axes[0, 0], distance, values[0] * law, label=None, linestyle=":")
    for rate, colour in zip(rates, plotting.shades(len(rates)), strict=True):
        values = result[f"{rate:g}"][longest]["gradients"]
        kept = values > 0
        axes[0, 1].plot(
            np.arange(len(values))[kept],
            values[kept],
            "o-",
            color=colour,
            label=rf"$\eta = {rate:g}$",
            markersize=2.2,
            linewidth=0.8,
        )
    axes[0, 0].set(
        yscale="log",
        ylim=(1e-17, 10),
        ylabel=r"root mean square of $\epsilon_l$",
        title=rf"errors, $\eta = {first}$",
    )
    axes[0, 1].set(yscale="log", ylim=(1e-17, 10), ylabel=r"$\Vert \partial F / \partial W_l \Vert$")
    axes[0, 1].set_title(f"weight gradients, $T = {longest}$")
    for rule, (label, colour) in RULES.items():
        change = np.maximum(result[f"change {rule}"], 1e-12)
        axes[1, 0].set_yscale("log")
        plotting.spread(axes[1, 0], np.arange(change.shape[1]), change, colour, label, marker="o", ms=2.2)
        plotting.measured(
            axes[1, 1],
            result["trainable"][rule],
            100 * result[f"accuracy {rule}"],
            label=label,
            color=colour,
            linestyle="-",
            linewidth=0.8,
        )
    axes[0, 0].set_xlim(-0.5, min(25, len(values)))
    axes[1, 0].xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes[1, 0].set(ylabel=r"$\Vert \Delta W_l \Vert / \Vert W_l \Vert$", title="after training")
    axes[1, 1].set(
        xlabel="layers that learn, from the output",
        ylabel="test accuracy (%)",
        title="input side frozen",
    )
    plotting.log2_axis(axes[1, 1], "x")
    for ax in (*axes[0], axes[1, 0]):
        ax.set_xlabel("distance from the output (layers)")
        ax.legend(fontsize=7)
    axes[1, 1].legend(fontsize=7)
    plotting.letter(axes)


def _moved(result: Result, rule: str) -> int:
    """Layers whose weights changed by more than `MOVED`, in the run that trains all, on average over the
    seeds.
    """
    return round(float(np.mean(np.sum(result[f"change {rule}"] > MOVED, axis=1))))


def _learned(result: Result) -> int:
    """The smallest number of trained layers that holds all those which PC moved at the published settings."""
    few = [int(k) for k in result["trainable"]["equilibrium"] if k >= _moved(result, "pc")]
    return few[0]


def numbers(result: Result) -> dict[str, str | float]:
    """Layers whose error exceeds a percent of the output's, and accuracies."""
    found: dict[str, str | float] = {}
    for rate in result["rates"]:
        values = result[f"{rate:g}"][int(result["times"][-1])]["errors"]
        found[f"reach-{rate:g}"] = int(np.sum(values[1:] > 0.01 * values[0]))
    for rule in RULES:
        for k, value in zip(result["trainable"][rule], result[f"accuracy {rule}"].mean(axis=0), strict=True):
            found[f"{rule}-{k}"] = f"{100 * value:.1f}"
        found[f"{rule}-moved"] = _moved(result, rule)
    learned = _learned(result)
    for rule in RULES:
        found[f"{rule}-frozen"] = found[f"{rule}-{learned}"]
        found[f"{rule}-all"] = found[f"{rule}-{result['trainable'][rule][-1]}"]
    found["layers"] = int(result["trainable"]["pc"][-1])
    found["learned"] = learned
    for key, column in (("start", 0), ("end", 1)):
        found[f"distance-{key}"] = f"{100 * float(np.max(result['distance'][:, column])):.2g}"
    return found


def caption(result: Result, meta: Meta) -> str:
    """What was run and what it shows."""
    n, c = numbers(result), meta.config
    reach = ", ".join(rf"{n[f'reach-{r:g}']} ($\eta = {r:g}$)" for r in result["rates"])
    moved, scores, kept = (
        ", ".join(str(n[f"{rule}-{key}"]) for rule in RULES) for key in ("moved", "all", "frozen")
    )
    return (
        rf"The error is zero beyond $T$ layers, small within them, and lost where it is below the rounding: "
        rf"{n['pc-moved']} of {n['layers']} layers change by over {100 * MOVED:g}%. Residual ReLU $\mu$PC "
        rf"networks of width {c['width']}, {_names.dataset(result['dataset'])}, activity rate $\eta$. (a, b) "
        rf"{c['hidden']} hidden layers at initialisation: errors and weight gradients by distance to the "
        rf"output; dotted: the attenuation $(\eta T / B)^k / k!$. After $T = {result['times'][-1]}$ steps so "
        rf"many errors are above 1% of the output's: {reach}. In the order "
        rf"{', '.join(label for label, _ in RULES.values())}: (c) change of the weights after {c['steps']} "
        rf"iterations, {c['trained_hidden']} hidden layers; above {100 * MOVED:g}%: {moved}; (d) test "
        rf"accuracy (%) when all layers learn, {scores}, and when the last {n['learned']} do, {kept}. "
        rf"({meta.setting}; {_names.seeds(c)}.)"
    )
