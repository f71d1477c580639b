r"""Which layers get a gradient in which arithmetic, and which of them Adam then moves.

Theory: the gradient at k layers from the output is binom(T, k) g^k times backpropagation's. What survives of
it is predicted by where that falls below the rounding of the activities or the smallest number.
"""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from experiments import arithmetic_reach
from experiments._result import Result
from experiments._store import Meta
from figures import _names
from pctheory import plotting

EXPERIMENT = arithmetic_reach
TITLE = "The reach of the error is a matter of arithmetic"
SOURCE = "here"
SIZE = (5.5, 2.3)
ROUNDING = {"bfloat16": 2.0**-8, "float32": 2.0**-24, "float64": 2.0**-53}
"""Unit roundoff."""
SMALLEST = {"bfloat16": 2.0**-133, "float32": 2.0**-149, "float64": 2.0**-1074}
MARKERS = {"bfloat16": "s", "float32": "o", "float64": "^"}
ARMS = {
    "activities": ("differences, float32", "--"),
    "displacements": ("displacements, float32", ":"),
    "scaled": ("and layers scaled", "-"),
    "double": ("and float64", "-."),
}
MOVED = 0.01
"""Relative change of a layer's weights that is counted as training."""


def measured(result: Result, arithmetic: str, coordinates: str, time: int) -> int:
    """Layers from the output on whose gradient has backpropagation's direction."""
    cosines = np.asarray(result["reach"][arithmetic][coordinates][str(time)]["cosine"])
    return int(np.argmin(np.append(cosines > result["agreement"], False)))


def predicted(result: Result, arithmetic: str, coordinates: str, time: int) -> int:
    """Layers whose error, to leading order, is above what the arithmetic can tell."""
    log = arithmetic_reach.attenuation(result["step"], time, int(result["hidden"]))
    errors = log + np.log(np.asarray(result["backward"]["error"]))
    if coordinates == "activities":
        floor = np.log(ROUNDING[arithmetic] * np.asarray(result["backward"]["activity"]))
    else:
        floor = np.full(len(errors), np.log(SMALLEST[arithmetic]))
    return int(np.argmin(np.append(errors > floor, False)))


def draw(fig: Figure, result: Result) -> None:
    """Layers reached against time, and the change of the weights against the distance from the output."""
    left, right = fig.subplots(1, 2)
    times = np.asarray(result["times"])
    for arithmetic, marker in MARKERS.items():
        for coordinates, fill in (("activities", "none"), ("displacements", plotting.COLOURS["pc"])):
            found = [measured(result, arithmetic, coordinates, t) for t in times]
            theory = [predicted(result, arithmetic, coordinates, t) for t in times]
            left.plot(times, theory, color=plotting.COLOURS["theory"], lw=0.7, zorder=1)
            label = arithmetic if coordinates == "displacements" else None
            left.plot(
                times, found, marker=marker, ls="", ms=4, mfc=fill, mec=plotting.COLOURS["pc"], label=label
            )
    plotting.log2_axis(left, "x")
    left.set(xlabel="inference steps $T$", ylabel="layers with a gradient", title="at initialisation")
    left.legend(fontsize=7)
    right.set_yscale("log")
    changes = {arm: np.asarray(result["training"][arm]["change"]) for arm in (*ARMS, "bp")}
    right.plot(changes["bp"].mean(axis=0), color=plotting.COLOURS["bp"], lw=3, label="BP")
    for arm, (label, style) in ARMS.items():
        rows = np.where(changes[arm] > 1e-8, changes[arm], np.nan)
        right.plot(rows.mean(axis=0), ls=style, color=plotting.COLOURS["pc"], lw=1, label=label)
    right.set(
        xlabel="distance from the output (layers)",
        ylabel=r"$\Vert \Delta W_l \Vert / \Vert W_l \Vert$",
        title="after training",
    )
    right.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    right.legend(fontsize=6)
    plotting.letter([left, right])


def numbers(result: Result) -> dict[str, str | float]:
    """Layers reached and predicted after H steps, layers that move, and accuracies in per cent."""
    time = int(result["hidden"])
    found: dict[str, str | float] = {"layers": time + 1}
    time = time if time in [int(t) for t in result["times"]] else int(result["times"][-1])
    for arithmetic in MARKERS:
        for coordinates in ("activities", "displacements"):
            key = f"{arithmetic}-{coordinates}"
            found[key] = measured(result, arithmetic, coordinates, time)
            found[f"{key}-predicted"] = predicted(result, arithmetic, coordinates, time)
    for arm in (*ARMS, "bp"):
        run = result["training"][arm]
        found[f"{arm}-accuracy"] = f"{100 * float(np.mean(run['accuracy'])):.1f}"
        found[f"{arm}-moved"] = round(float(np.mean(np.sum(np.asarray(run["change"]) > MOVED, axis=1))))
    return found


def caption(result: Result, meta: Meta) -> str:
    """What survives in which arithmetic."""
    n, c = numbers(result), meta.config
    arms = "; ".join(
        f"{name} {n[f'{arm}-moved']}, {n[f'{arm}-accuracy']}"
        for arm, name in (
            ("activities", "differences"),
            ("displacements", "displacements"),
            ("scaled", "gradients scaled by layer"),
            ("double", "float64"),
            ("bp", "BP"),
        )
    )
    return (
        r"Predictive coding with few steps trains the last layers only because of rounding and Adam's "
        rf"$\epsilon$. {c['hidden']} residual ReLU layers of width {c['width']}, "
        rf"{_names.dataset(c['dataset'])}. (a) Layers whose gradient has a cosine above "
        rf"{c['agreement']:g} with "
        r"BP's after $T$ steps, errors as differences (open) and as displacements (filled); lines: where "
        r"$\binom{T}{k} g^k$ falls below rounding or the smallest number. "
        rf"(b) Change of the weights after {c['iterations']} iterations. "
        rf"Layers that change by over {100 * MOVED:g}% and accuracy (%): {arms}. "
        rf"({meta.setting}; {_names.seeds(c)}.)"
    )
