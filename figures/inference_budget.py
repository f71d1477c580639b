r"""Test accuracy and energy gap against the length of inference, for three solvers and three depths; decay of activities.

Sees: deeper networks need longer inference; decay trades the equilibrium for speed.
"""

import numpy as np
from matplotlib.figure import Figure

from experiments import inference_budget
from experiments._result import Result
from experiments._store import Meta
from pctheory import plotting

EXPERIMENT = inference_budget
TITLE = "The budget of inference"
SOURCE = "MU; JPC library experiment 1"
SIZE = (5.5, 4.0)

LINES = {"euler": "-", "heun": "--", "adam": ":"}


def draw(fig: Figure, result: Result) -> None:
    """Accuracy and gap against T; the same against the decay."""
    axes = fig.subplots(2, 2)
    times, hidden, decays = result["times"], result["hidden"], result["decays"]
    for method, line in LINES.items():
        for k, colour in enumerate(plotting.shades(len(hidden))):
            part = result[method]
            label = f"$H = {hidden[k]}$" if method == "euler" else None
            axes[0, 0].plot(times, part["accuracy"][k], line, marker="o", color=colour, label=label)
            axes[0, 1].plot(times, np.maximum(part["gap"][k], 1e-12), line, marker="o", color=colour)
    for method, line in LINES.items():
        axes[0, 0].plot([], [], line, color="black", label=method.capitalize())
    x = np.arange(len(decays))
    plotting.measured(axes[1, 0], x, result["decay"]["accuracy"], linestyle="-", linewidth=0.8)
    plotting.measured(axes[1, 1], x, np.maximum(result["decay"]["gap"], 1e-12), linestyle="-", linewidth=0.8)
    for ax in axes[0]:
        ax.set(xlabel="inference time $T$")
        ax.set_xscale("log")
        ax.set_xticks(times, [str(t) for t in times])
        ax.minorticks_off()
    for ax in axes[1]:
        ax.set(xlabel="decay of the activities")
        ax.set_xticks(x, [f"{d:g}" for d in decays])
    for ax in axes[:, 0]:
        ax.set(ylabel="test accuracy", ylim=(0, 1))
    for ax in axes[:, 1]:
        ax.set(ylabel="relative energy gap", yscale="log")
    plotting.legend_outside(fig, axes[0, 0], "bottom")
    plotting.letter(axes)


def caption(result: Result, meta: Meta) -> str:
    """What was run and what it shows."""
    c, deep = meta.config, int(result["hidden"][-1])
    ends = ", ".join(
        rf"{m.capitalize()} {result[m]['accuracy'][-1, 0]:.2f} to {result[m]['accuracy'][-1, -1]:.2f}"
        for m in LINES
    )
    gaps = ", ".join(rf"{m.capitalize()} {max(result[m]['gap'][-1, -1], 0):.1g}" for m in LINES)
    acc = result["decay"]["accuracy"]
    wide = [
        str(h)
        for h, row in zip(result["hidden"], result["euler"]["gap"], strict=True)
        if row[-1] > 0.1 * row[0]
    ]
    unstable = (
        rf"Euler's gap does not fall for H = {', '.join(wide)}: training raises the largest eigenvalue of H until the step lies "
        r"beyond the stability bound and the activities oscillate; accuracy survives that."
        if wide
        else ""
    )
    return (
        rf"Networks with tanh units, width {c['width']}, trained by predictive coding on {result['dataset']} ({c['iterations']} "
        rf"iterations of Adam, {c['learning_rate']:g}, batch {c['batch']}, torch's initialisation, one seed). Top: test accuracy, and "
        rf"the energy gap where inference stops relative to that of the feedforward pass, against the length of inference (time for "
        rf"Euler with step {c['step']:g} and Heun with adaptive steps, number of steps for Adam with rate {c['adam_step']:g}). At "
        rf"$H = {deep}$ the accuracy goes from the shortest to the longest inference: {ends}; gaps at the end: {gaps}. {unstable} Bottom: Euler "
        rf"at $T = {c['decay_time']}$, $H = {c['decay_hidden']}$ with a decay of the activities: accuracy from {acc[0]:.2f} at decay "
        rf"{result['decays'][0]:g} to {acc[-1]:.2f} without; the gap is that of the energy without decay. ({meta.setting}.)"
    )
