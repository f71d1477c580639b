r"""Energy gap against the length of inference, by solver and depth; the curvature that training leaves; and
test accuracy against the gap.

What to see: deeper networks need longer inference; Euler's coarse step becomes unstable where training has
raised the largest eigenvalue of H to the bound; accuracy is lost only where a large gap remains.
"""

import numpy as np
from matplotlib.axes import Axes
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

SOLVERS = {
    "euler": plotting.COLOURS["pc"],
    "heun": plotting.COLOURS["orthogonal"],
    "adam": plotting.COLOURS["sp"],
    "coarse": plotting.COLOURS["loss"],
}
FLOOR = 1e-12
"""Below it a gap is rounding, and may be negative."""


def draw(fig: Figure, result: Result) -> None:
    """A panel per solver; largest eigenvalues for two steps of Euler's method; accuracy against the gap."""
    axes = fig.subplots(2, 3)
    times, depths = result["times"], result["hidden"]
    shades = plotting.shades(len(depths))
    gaps = dict(zip(SOLVERS, (*axes[0], axes[1, 0]), strict=True))
    for method, ax in gaps.items():
        ax.set_yscale("log")
        for gap, colour, depth in zip(result[method]["gap"], shades, depths, strict=True):
            shown = np.maximum(gap, FLOOR)
            ax.plot(times, shown, "o-", ms=3, lw=0.9, color=colour, label=f"$H = {depth}$")
        ax.set(title=_label(result, method), ylim=(FLOOR / 3, 10))
    curvature = axes[1, 1]
    for method, style in (("euler", "-"), ("coarse", ":")):
        for largest, colour in zip(result[method]["largest"], shades, strict=True):
            curvature.plot(times, largest, "o" + style, ms=3, lw=0.9, color=colour)
    bound = 2 / result["coarse_step"]
    plotting.theory(curvature, times, np.full(len(times), bound), label=None)
    curvature.set(title=f"steps {result['step']:g} (solid), {result['coarse_step']:g} (dotted)")
    curvature.set_ylabel(r"$\lambda_{\max}(H)$ after training")
    for ax in (*gaps.values(), curvature):
        ax.set_xscale("log")
        ax.set_xticks(times, [str(t) for t in times])
        ax.minorticks_off()
        ax.set_xlabel("inference time $T$")
    for ax in (axes[0, 0], axes[1, 0]):
        ax.set_ylabel("relative energy gap")
    _accuracy(axes[1, 2], result)
    plotting.legend_outside(fig, [axes[0, 0], axes[1, 2]], "bottom", ncols=8)
    plotting.letter(axes)


def _label(result: Result, method: str) -> str:
    step = {"euler": "step", "coarse": "coarse_step"}.get(method)
    return f"Euler, step {result[step]:g}" if step else method.capitalize()


def _accuracy(ax: Axes, result: Result) -> None:
    ax.set_xscale("log")
    for method, colour in SOLVERS.items():
        part = result[method]
        shown = np.maximum(np.ravel(part["gap"]), FLOOR)
        label = {"euler": f"Euler {result['step']:g}", "coarse": f"Euler {result['coarse_step']:g}"}
        name = label.get(method, method.capitalize())
        ax.plot(shown, np.ravel(part["accuracy"]), "o", ms=3, color=colour, label=name)
    decay = result["decay"]
    ax.plot(np.maximum(decay["gap"], FLOOR), decay["accuracy"], "D", ms=3, color="black",
            markerfacecolor="white", label="decay")  # fmt: skip
    ax.set(xlabel="relative energy gap", ylabel="test accuracy", title="all runs", ylim=(0, 1))


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
        rf"Euler's step of {step} converges while $\lambda_{{\max}}(H) < {bound:g}$ (line). With {depths} "
        rf"hidden layers training raises it to {high}: a gap of {gaps} remains (step {result['step']:g}: "
        rf"{fine})."
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
        "Deeper networks need longer inference, and training can make a coarse step unstable. tanh networks "
        rf"of width {c['width']} on {_names.dataset(result['dataset'])}, one seed. (a-d) Share of the energy "
        "gap that inference leaves after training, against its time (steps for Adam). (e) "
        rf"{_unstable(result)} (f) Accuracy is lost where a large gap remains. At $H = {deep}$, shortest to "
        rf"longest: {ends}. Diamonds: activities that decay (Euler, $T = {c['decay_time']}$, $H = "
        rf"{c['decay_hidden']}$), accuracy {decay['accuracy'][0]:.2f} at decay {result['decays'][0]:g}, "
        rf"{decay['accuracy'][-1]:.2f} without. ({meta.setting}.)"
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
