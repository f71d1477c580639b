r"""Gradients of predictive coding and of backpropagation in residual tanh networks with a cross-entropy
output.

What to see: parallel gradients for N well above the depth, as in linear networks, with inference at its
equilibrium.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from experiments import limits_nonlinear, limits_squared_error
from experiments._result import Result
from experiments._store import Meta
from figures import _names
from figures._outcome import Outcome, outcome
from pctheory import plotting

EXPERIMENTS = (limits_nonlinear, limits_squared_error)
TITLE = "Wide nonlinear networks learn by predictive coding as by backpropagation"
SOURCE = "LIM 4a"
SIZE = (5.5, 2.4)
RATES = {"table": r"$10^{-3} (NL)^{-1/2}$", "none": r"$10^{-3}$"}
SAME = 1e-5
"""Relative distance below which two descents count as having ended at the same point."""


def draw(fig: Figure, results: Mapping[str, Result]) -> None:
    """Against the width: how far the gradients are from parallel, the energy gap, the last losses."""
    result, squared = results["limits_nonlinear"], results["limits_squared_error"]
    runs, widths = result["runs"], np.asarray(result["widths"])
    angle, gap, losses = fig.subplots(1, 3)
    colours = dict(zip(runs, plotting.shades(3)[1:], strict=False))
    first = next(iter(runs.values()))
    start = {"color": plotting.COLOURS["quiet"], "lw": 4, "alpha": 0.4, "label": "at the start"}
    angle.plot(widths, _angle(first, 0), **start)
    gap.plot(widths, _gap(first, 0), **start)
    for scaling, part in runs.items():
        steps = part["cosine"].shape[1] - 1
        line = {"color": colours[scaling], "lw": 0.9}
        label = f"after {steps} iterations at {RATES[scaling]}"
        angle.plot(widths, _angle(part, -1), "o-", label=label, **line)
        angle.plot(widths, 1 - part["between"][:, -1], "o:", markerfacecolor="white", **line)
        gap.plot(widths, _gap(part, -1), "o-", **line)
        losses.plot(widths, part["loss"][:, -1], "o-", **line)
        losses.plot(widths, part["bp_loss"][:, -1], "s--", ms=3, lw=0.9, color=plotting.COLOURS["bp"])
    public = {"color": plotting.COLOURS["newton"], "lw": 0.9, "ms": 3}
    label = "squared error, as in the public code, at the start"
    angle.plot(squared["widths"], _angle(squared, 0), "^-", label=label, **public)
    gap.plot(squared["widths"], _gap(squared, 0), "^-", **public)
    for ax, values, power in ((angle, _angle(first, 0), 2), (gap, _gap(first, 0), 1)):
        guide = values[-1] * (widths[-1] / widths) ** power
        plotting.theory(ax, widths, np.where(guide < 1.2, guide, np.nan), label=None, linestyle=":")
    angle.plot([], [], "s--", ms=3, lw=0.9, color=plotting.COLOURS["bp"], label="BP")
    for ax in (angle, gap):
        ax.set_yscale("log")
    for ax in (angle, gap, losses):
        plotting.log2_axis(ax, "x")
        ax.set_xlabel("width $N$")
    angle.set(ylabel=r"$1 - \cos$", title="angle of PC and BP")
    gap.set(ylabel=r"$1 - F^* / \mathcal{L}$", title="energy gap")
    losses.set(ylabel=r"loss $\mathcal{L}$", title="last loss")
    plotting.letter([angle, gap, losses])
    plotting.legend_outside(fig, angle, "bottom", ncols=3)


def _angle(part: Any, when: int) -> np.ndarray:
    return 1 - np.asarray(part["cosine"][:, when])


def _gap(part: Any, when: int) -> np.ndarray:
    return 1 - np.asarray(part["energy"][:, when] / part["loss"][:, when])


def _slope(result: Result, of: Any) -> float:
    """Power of N with which a measure falls between the last three widths, at the start."""
    values = of(next(iter(result["runs"].values())), 0)[-3:]
    return float(np.polyfit(np.log(result["widths"][-3:]), np.log(values), 1)[0])


def _ends(result: Result) -> list[tuple[str, int]]:
    widths = [int(n) for n in result["widths"]]
    return [("narrow", 0), ("middle", len(widths) // 2), ("wide", len(widths) - 1)]


def numbers(results: Mapping[str, Result]) -> dict[str, str | float]:
    """Cosines, gaps and losses at the ends and in the middle of the widths; the worst residual of
    inference.
    """
    result, squared = results["limits_nonlinear"], results["limits_squared_error"]
    found: dict[str, str | float] = {}
    for name, k in (("narrow", 0), ("wide", -1)):
        found[f"squared-{name}-cosine-start"] = f"{squared['cosine'][k, 0]:.3f}"
        found[f"squared-{name}-gap-start"] = f"{_gap(squared, 0)[k]:.3f}"
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
    parts = [squared, *(part for _, part in result["runs"].items())]
    found["residual"] = max(float(np.max(part["residual"])) for part in parts)
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


def caption(results: Mapping[str, Result], metas: Mapping[str, Meta]) -> str:
    """What was run, what agrees, what does not."""
    result, meta = results["limits_nonlinear"], metas["limits_nonlinear"]
    n, config = numbers(results), meta.config
    narrow, wide = int(result["widths"][0]), int(result["widths"][-1])
    rows = "; ".join(
        rf"{n[f'{scaling}-narrow-cosine-end']} and {n[f'{scaling}-wide-cosine-end']} at the rate {rate} "
        rf"(loss down by {n[f'{scaling}-fall']}%)"
        for scaling, rate in RATES.items()
    )
    return (
        "Nonlinear residual networks also approach backpropagation with their width, as published. "
        rf"{config['activation']}, $H = {config['hidden']}$, $\mu$PC, cross-entropy, {config['samples']} "
        rf"images of {_names.dataset(result['dataset'])}, {config['iterations']} iterations of Adam, one "
        r"seed; triangles: squared error, as in the public code. (a) One minus the cosine of the gradients "
        r"of $F^*$ and $\mathcal{L}$; hollow: $\mathcal{L}$ of a network trained by BP. (b) Relative energy "
        rf"gap. Powers of $N$: {_slope(result, _angle):.1f}, "
        rf"{_slope(result, _gap):.1f} (dotted: $-2$, $-1$). (c) Last losses. Cosine at $N = {narrow}$ and "
        rf"{wide}: {n['table-narrow-cosine-start']} and {n['table-wide-cosine-start']} at the start (squared "
        rf"error {n['squared-narrow-cosine-start']} and {n['squared-wide-cosine-start']}), then {rows}. "
        rf"{_uniqueness(result)} ({meta.setting}.)"
    )


def outcomes(results: Mapping[str, Result], metas: Mapping[str, Meta]) -> list[Outcome]:
    """The cosine of the gradients at the published rate."""
    n, widths = numbers(results), results["limits_nonlinear"]["widths"]
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
