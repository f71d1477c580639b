r"""Errors, weight gradients and weight changes against the distance from the output; accuracy with frozen layers.

Sees: at the published settings the error falls factorially after about one layer and is exactly zero beyond T layers; the
input-side layers of such networks can be frozen.
"""

import math

import numpy as np
from matplotlib.figure import Figure

from experiments import error_reach
from experiments._result import Result
from experiments._store import Meta
from pctheory import plotting

EXPERIMENT = error_reach
TITLE = "How far the error reaches"
SOURCE = "new"
SIZE = (5.5, 4.2)


def draw(fig: Figure, result: Result) -> None:
    """Top: errors by time at the smallest rate, and by rate at the longest time. Bottom: weight changes, accuracy."""
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
    for rule in ("bp", "pc"):
        change = np.maximum(result[f"change {rule}"], 1e-12)
        axes[1, 0].set_yscale("log")
        plotting.spread(
            axes[1, 0], np.arange(change.shape[1]), change, plotting.COLOURS[rule], rule.upper(), marker="o"
        )
        plotting.measured(
            axes[1, 1],
            result["trainable"],
            result[f"accuracy {rule}"],
            label=rule.upper(),
            color=plotting.COLOURS[rule],
            linestyle="-",
            linewidth=0.8,
        )
    axes[0, 0].set_xlim(-0.5, min(25, len(values)))
    axes[1, 0].set(ylabel=r"$\Vert \Delta W_l \Vert / \Vert W_l \Vert$", title="after training")
    axes[1, 1].set(
        xlabel="layers that learn, from the output",
        ylabel="test accuracy",
        title="input side frozen",
        ylim=(0, 1),
    )
    plotting.log2_axis(axes[1, 1], "x")
    for ax in (*axes[0], axes[1, 0]):
        ax.set_xlabel("distance from the output (layers)")
        ax.legend(fontsize=7)
    axes[1, 1].legend(fontsize=7)
    plotting.letter(axes)


def numbers(result: Result) -> dict[str, str | float]:
    """Layers whose error exceeds a percent of the output's, and accuracies."""
    found: dict[str, str | float] = {}
    for rate in result["rates"]:
        values = result[f"{rate:g}"][int(result["times"][-1])]["errors"]
        found[f"reach-{rate:g}"] = int(np.sum(values[1:] > 0.01 * values[0]))
    for rule in ("pc", "bp"):
        for k, value in zip(result["trainable"], result[f"accuracy {rule}"].mean(axis=0), strict=True):
            found[f"{rule}-{k}"] = f"{value:.3f}"
    return found


def caption(result: Result, meta: Meta) -> str:
    """What was run and what it shows."""
    n, c = numbers(result), meta.config
    few, every = int(result["trainable"][min(2, len(result["trainable"]) - 1)]), int(result["trainable"][-1])
    most = int(result["trainable"][-2])
    reach = ", ".join(rf"{n[f'reach-{r:g}']} at $\eta = {r:g}$" for r in result["rates"])
    return (
        rf"Residual mupc networks (ReLU, width {c['width']}) on {result['dataset']}, batch {c['batch']}, activity rate $\eta$ on the "
        rf"batch-mean energy. (a, b) At initialisation, {c['hidden']} hidden layers: errors and weight gradients against the "
        rf"distance from the output; dotted $(\eta T / B)^k / k!$. After T = {result['times'][-1]} steps the layers whose error "
        rf"exceeds a percent of the output's number {reach}; beyond T layers it is exactly zero (not drawn), and in "
        rf"float64 so are errors too small to change an activity. (c) Relative change of "
        rf"the weights after {c['steps']} iterations of Adam with $T = H = {c['trained_hidden']}$, $\eta = 0.5$. (d) Test accuracy when "
        rf"only the last layers learn, {c['seeds']} seeds: with {few} layers PC {n[f'pc-{few}']} and BP {n[f'bp-{few}']}; with "
        rf"{most} PC {n[f'pc-{most}']} and BP {n[f'bp-{most}']}; with all {every} PC {n[f'pc-{every}']} and BP {n[f'bp-{every}']}: what "
        rf"the error does not reach PC does not use. ({meta.setting}.)"
    )
