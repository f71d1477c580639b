r"""Which precision, and which handover to backpropagation, leaves a saddle of a network soonest.

For chains the theory says: keep the ratio of loss and energy at 2 until the product has grown, then go on
with backpropagation.
"""

import numpy as np
from matplotlib.figure import Figure

from experiments import homotopy_networks
from experiments._result import Result
from experiments._store import Meta
from figures import _names
from pctheory import plotting

EXPERIMENT = homotopy_networks
TITLE = "Predictive coding leaves the saddle, backpropagation goes on"
SOURCE = "here"
SIZE = (5.5, 2.2)
RULES = {
    "bp": ("BP", "bp", "-"),
    "pc": (r"PC, $\pi = 1$", "pc", "-"),
    "keep": ("PC, ratio kept", "pc", "--"),
    "pc-bp": ("PC, then BP", "pc", ":"),
    "keep-bp": ("ratio kept, then BP", "pc", "-."),
    "bp-xavier": ("BP, Xavier", "bp", "--"),
}


def draw(fig: Figure, result: Result) -> None:
    """Test accuracy against iterations and against processor time, and the hidden precision."""
    left, middle, right = fig.subplots(1, 3)
    for rule, (label, colour, style) in RULES.items():
        run = result["runs"][rule]
        accuracy = 100 * np.asarray(run["accuracy"]).mean(axis=0)
        options = {"color": plotting.COLOURS[colour], "ls": style, "lw": 1}
        left.plot(result["every"] * np.arange(len(accuracy)), accuracy, label=label, **options)
        middle.plot(np.asarray(run["seconds"]).mean(axis=0), accuracy, **options)
        precision = np.asarray(run["precision"])[0]
        right.plot(np.where(np.isfinite(precision), precision, np.nan), **options)
    left.set(xlabel="iteration", ylabel="test accuracy (%)")
    middle.set(xlabel="processor seconds", ylabel="test accuracy (%)", xscale="symlog")
    right.set(xlabel="iteration", ylabel=r"hidden precision $\pi$", yscale="log")
    plotting.letter([left, middle, right])
    plotting.legend_outside(fig, left, "bottom")


def numbers(result: Result) -> dict[str, str | float]:
    """Final accuracies in per cent, seconds, passes an iteration, and the iteration of the handover."""
    found: dict[str, str | float] = {}
    for rule in RULES:
        run = result["runs"][rule]
        found[f"{rule}-accuracy"] = f"{100 * float(np.mean(run['final'])):.1f}"
        found[f"{rule}-seconds"] = f"{float(np.mean(np.asarray(run['seconds'])[:, -1])):.1f}"
        found[f"{rule}-rate"] = f"{float(run['rate']):g}"
        found[f"{rule}-passes"] = f"{float(np.mean(run['passes'])):.1f}"
        turned = np.isinf(np.asarray(run["precision"])).argmax(axis=1)
        found[f"{rule}-handover"] = f"{float(np.mean(turned)):.0f}"
    return found


def caption(result: Result, meta: Meta) -> str:
    """Accuracy, time and work of each rule."""
    n, c = numbers(result), meta.config
    parts = "; ".join(
        f"{label} {n[f'{rule}-accuracy']}, {n[f'{rule}-seconds']}, {n[f'{rule}-passes']}"
        for rule, (label, _, _) in RULES.items()
    )
    ahead = min(float(n[f"{rule}-accuracy"]) for rule in RULES if not rule.startswith("bp"))
    behind, standard = float(n["bp-accuracy"]), float(n["bp-xavier-accuracy"])
    leaves = "leads" if ahead > behind + 5 else "does not lead"
    need = (
        "from Xavier's weights BP needs no such help" if standard > ahead else "BP gains less from Xavier's"
    )
    return (
        rf"From small weights predictive coding {leaves} a deep network out of a plateau where "
        rf"backpropagation stays; {need}. {c['hidden']} tanh layers of width {c['width']}, no skips, "
        rf"{_names.dataset(c['dataset'])}, weights {c['scale']:g} times Xavier's, Adam, best rates. "
        rf"Ratio kept: the precision keeps loss over energy at {c['ratio']:g}; then BP: from where the loss "
        rf"is {c['handover']:g} of the first. Accuracy (%), seconds and passes an iteration after "
        rf"{c['iterations']} iterations (BP alone: {c['patience'] * c['iterations']}): {parts}. "
        rf"({meta.setting}; {_names.seeds(c)}.)"
    )
