r"""Test accuracy, energy gap and largest curvature against the length of inference, by solver and depth;
decay of activities.

What to see: deeper networks need longer inference; decay trades the equilibrium for speed. Euler's coarse
step becomes unstable where training has raised the largest eigenvalue of H to the bound.
"""

import numpy as np
from matplotlib.figure import Figure

from experiments import inference_budget
from experiments._result import Result
from experiments._store import Meta
from figures import _names
from pctheory import plotting

EXPERIMENT = inference_budget
TITLE = "How much inference is enough"
SOURCE = "MU; JPC library experiment 1"
SIZE = (5.5, 3.9)

LINES = {"euler": "-", "coarse": "-.", "heun": "--", "adam": ":"}
MEASURES = ("accuracy", "gap", "largest")


def draw(fig: Figure, result: Result) -> None:
    """Accuracy, gap and largest eigenvalue against T; the same against the decay."""
    axes = fig.subplots(2, 3)
    times, hidden, decays = result["times"], result["hidden"], result["decays"]
    x = np.arange(len(decays))
    for column, measure in enumerate(MEASURES):
        floor = 1e-12 if measure == "gap" else 0.0  # a gap below rounding may be negative
        for method, line in LINES.items():
            for k, colour in enumerate(plotting.shades(len(hidden))):
                values = np.maximum(result[method][measure][k], floor)
                axes[0, column].plot(times, values, line, marker="o", ms=3, lw=0.9, color=colour)
        values = np.maximum(result["decay"][measure], floor)
        plotting.measured(axes[1, column], x, values, linestyle="-", linewidth=0.8)
    for k, colour in enumerate(plotting.shades(len(hidden))):
        axes[0, 0].plot([], [], color=colour, label=f"$H = {hidden[k]}$")
    for method, line in LINES.items():
        step = {"euler": "step", "coarse": "coarse_step"}.get(method)
        label = f"Euler, step {result[step]:g}" if step else method.capitalize()
        axes[0, 0].plot([], [], line, color="black", lw=0.9, label=label)
    plotting.theory(axes[0, 2], times, np.full(len(times), 2 / result["coarse_step"]), label=None)
    plotting.note(axes[0, 2], rf"black: $2 / {result['coarse_step']:g}$", "upper right")
    for ax in axes[0]:
        ax.set(xlabel="inference time $T$")
        ax.set_xscale("log")
        ax.set_xticks(times, [str(t) for t in times])
        ax.minorticks_off()
    for ax in axes[1]:
        ax.set(xlabel="decay of the activities")
        ax.set_xticks(x, [f"{d:g}" for d in decays])
    plotting.log2_axis(axes[0, 2], "y")
    for ax in axes[:, 0]:
        ax.set(ylabel="test accuracy", ylim=(0, 1))
    for ax in axes[:, 1]:
        ax.set(ylabel="relative energy gap", yscale="log")
    for ax in axes[:, 2]:
        ax.set(ylabel=r"$\lambda_{\max}(H)$")
    plotting.legend_outside(fig, axes[0, 0], "bottom", ncols=4)
    plotting.letter(axes)


def _gap(value: float) -> str:
    return f"{value:.1g}" if value > 1e-12 else "below 1e-12"


def _unstable(result: Result) -> str:
    """Where the coarse step ends beyond its bound, and how the fine one fares there."""
    bound, step = 2 / result["coarse_step"], f"{result['coarse_step']:g}"
    wide = [k for k, row in enumerate(result["coarse"]["gap"]) if row[-1] > 0.1 * row[0]]
    if not wide:
        return rf"Euler's step of {step} stays stable: $\lambda_{{\max}}(H)$ is below {bound:g}."
    depths = " and ".join(str(result["hidden"][k]) for k in wide)
    high = ", ".join(f"{result['coarse']['largest'][k, -1]:.2f}" for k in wide)
    gaps = ", ".join(f"{result['coarse']['gap'][k, -1]:.2g}" for k in wide)
    fine = ", ".join(_gap(result["euler"]["gap"][k, -1]) for k in wide)
    return (
        rf"Euler's step of {step} converges while $\lambda_{{\max}}(H) < {bound:g}$. With {depths} hidden "
        rf"layers training raises it to {high}: the activities oscillate and a gap of {gaps} remains (step "
        rf"{result['step']:g}: {fine})."
    )


def caption(result: Result, meta: Meta) -> str:
    """What was run and what it shows."""
    c, deep = meta.config, int(result["hidden"][-1])
    names = {"euler": "Euler", "heun": "Heun", "adam": "Adam"}
    ends = ", ".join(
        rf"{name} {result[m]['accuracy'][-1, 0]:.2f} to {result[m]['accuracy'][-1, -1]:.2f}"
        for m, name in names.items()
    )
    decay = result["decay"]
    return (
        "Deeper networks need longer inference; training can make a coarse step unstable. tanh networks of "
        rf"width {c['width']} on {_names.dataset(result['dataset'])}, one seed. Top, after training, against "
        "the length of inference (time; steps for Adam): test accuracy, share of the energy gap that is "
        rf"left, largest eigenvalue of the activity Hessian. Accuracy at $H = {deep}$, shortest to longest: "
        rf"{ends}. {_unstable(result)} Bottom: Euler with step {c['step']:g}, $T = {c['decay_time']}$, $H = "
        rf"{c['decay_hidden']}$ with decaying activities: accuracy {decay['accuracy'][0]:.2f} at decay "
        rf"{result['decays'][0]:g}, {decay['accuracy'][-1]:.2f} without. ({meta.setting}.)"
    )


def numbers(result: Result) -> dict[str, str | float]:
    """The deepest network after the longest inference, with the fine and the coarse step of Euler's
    method.
    """
    return {
        **{f"largest-{m}": f"{result[m]['largest'][-1, -1]:.2f}" for m in ("euler", "coarse")},
        "gap-coarse": _gap(result["coarse"]["gap"][-1, -1]),
        "bound": f"{2 / result['coarse_step']:g}",
        "hidden": int(result["hidden"][-1]),
    }
