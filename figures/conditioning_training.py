r"""How the condition number of inference grows along the training of deep linear networks, and what part of
the energy gap T steps then leave.

Published: the condition number grows and spikes during training, under Adam as under gradient descent on the
activities.
"""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from experiments import conditioning_training
from experiments._result import Result
from experiments._store import Meta
from figures import _names
from figures._outcome import Outcome, outcome
from pctheory import plotting

EXPERIMENT = conditioning_training
TITLE = "Training makes inference ill-conditioned, but not always slower"
SOURCE = "MU 3"
SIZE = (5.5, 2.7)

CASES = {
    "gd": ("gradient descent", plotting.COLOURS["pc"]),
    "adam": ("Adam", plotting.COLOURS["sp"]),
    "orthogonal": ("orthogonal weights, gradient descent", plotting.COLOURS["orthogonal"]),
}


def draw(fig: Figure, result: Result) -> None:
    """The condition number over its first value along training; the gap left against the condition number."""
    growth, left = fig.subplots(1, 2)
    for ax in (growth, left):
        ax.set_yscale("log")
    left.set_xscale("log")
    deepest = len(result["hidden"]) - 1
    for case, (label, colour) in CASES.items():
        kappas, gaps = result[case]["kappa"], result[case]["gap"]
        for place in np.ndindex(kappas.shape[:-1]):
            kappa, gap = kappas[place], gaps[place]
            line = {"color": colour, "lw": 0.9, "ls": "-" if place[0] == deepest else "--"}
            growth.plot(result["steps"], kappa / kappa[0], **line)
            left.plot(kappa, gap, **line)
            ends = np.flatnonzero(np.isfinite(kappa))[[0, -1]]
            for at, fill in zip(ends, ("white", colour), strict=True):
                left.plot(kappa[at], gap[at], "o", ms=3, color=colour, markerfacecolor=fill)
        growth.plot([], [], color=colour, label=label)
    for hidden, style in zip(result["hidden"][::-1], ("-", "--"), strict=False):
        growth.plot([], [], color=plotting.COLOURS["ink"], ls=style, lw=0.9, label=f"$H = {hidden}$")
    for axis in (growth.yaxis, left.xaxis):  # less than two decades: labels within
        axis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
        axis.set_major_formatter("{x:g}")
        axis.set_minor_locator(NullLocator())
    growth.set(xlabel="training iteration", ylabel=r"condition number $\kappa$ over its first value")
    left.set(xlabel=r"condition number $\kappa$", ylabel="relative energy gap left")
    plotting.note(left, "hollow: at the start, full: at the end", "upper right", fontsize=7)
    plotting.legend_outside(fig, growth, "bottom", ncols=5)
    plotting.letter([growth, left])


def _growth(result: Result, case: str) -> np.ndarray:
    """Last finite condition number of each run over its first, (depths, rates, seeds)."""
    kappa = np.asarray(result[case]["kappa"])
    last = np.sum(np.isfinite(kappa), axis=-1, keepdims=True) - 1
    return np.asarray(np.take_along_axis(kappa, last, axis=-1)[..., 0] / kappa[..., 0])


def _range(values: np.ndarray) -> str:
    """The smallest and the largest, as factors."""
    low, high = f"{np.min(values):.2g}", f"{np.max(values):.2g}"
    return low if low == high else f"{low} to {high}"


def _final(result: Result, case: str, measure: str) -> np.ndarray:
    """Mean over seeds at the end, (depths, rates); NaN where one diverged."""
    return np.asarray(np.mean(result[case][measure][..., -1], axis=-1))


def _best(result: Result, case: str, h: int) -> tuple[float, float]:
    """Activity rate of the best final accuracy, and that accuracy in per cent; NaN when all diverged."""
    final = 100 * _final(result, case, "accuracy")[h]
    if not np.isfinite(final).any():
        return float("nan"), float("nan")
    k = int(np.nanargmax(final))
    return float(result["rates"][k]), float(final[k])


def numbers(result: Result) -> dict[str, str | float]:
    """Growth of the condition number, best final accuracies, gaps."""
    found: dict[str, str | float] = {}
    for case in CASES:
        growth, gaps = _growth(result, case), _final(result, case, "gap")
        gaps = gaps[np.isfinite(gaps)]
        found[f"gap-{case}"] = f"{gaps.min():.1g} to {gaps.max():.2g}" if gaps.size else "diverged"
        for h, depth in enumerate(result["hidden"]):
            found[f"growth-{case}-{depth}"] = _range(growth[h])
            found[f"start-{case}-{depth}"] = f"{np.mean(result[case]['kappa'][h, :, :, 0]):.0f}"
            rate, final = _best(result, case, h)
            found[f"rate-{case}-{depth}"] = f"{rate:g}"
            found[f"accuracy-{case}-{depth}"] = f"{final:.1f}"
    return found


def caption(result: Result, meta: Meta) -> str:
    """What was run and measured, what agrees, what does not."""
    n, c = numbers(result), meta.config
    deep = int(result["hidden"][-1])
    growths = [_growth(result, case) for case in CASES]
    total, grown = sum(g.size for g in growths), sum(int(np.sum(g > 1)) for g in growths)
    names = {"gd": "gradient descent", "adam": "Adam", "orthogonal": "orthogonal weights"}
    factors = ", ".join(f"{n[f'growth-{k}-{deep}']} ({name})" for k, name in names.items())
    faster = result["gd"]["gap"][..., -1] < result["gd"]["gap"][..., 0]
    return (
        rf"Training raised the condition number of inference in {grown} of {total} runs, as published; but "
        "inference need not become slower. Deep linear networks (standard or orthogonal weights, no skips, "
        rf"width {c['width']}) on {_names.dataset(result['dataset'])}, Adam, $T = {c['num_steps']}$ steps of "
        "inference by gradient descent or Adam; a line for each of the activity rates "
        rf"{', '.join(f'{r:g}' for r in result['rates'])}. (a) Growth along training: in "
        rf"{int(result['steps'][-1])} iterations at $H = {deep}$ {factors}. (b) The share of the energy gap "
        "that $T$ steps leave (above 1: the energy rises), against the condition number. Under gradient "
        rf"descent it falls in {int(faster.sum())} of {faster.size} runs: learning speeds up the modes that "
        rf"the error excites. ({meta.setting}.)"
    )


def outcomes(result: Result, meta: Meta) -> list[Outcome]:
    """Growth along training, and the best activity rates."""
    n, c = numbers(result), meta.config
    growths = np.concatenate([np.ravel(_growth(result, case)) for case in CASES])
    deep = int(result["hidden"][-1])
    best = {int(h): str(n[f"rate-gd-{h}"]) for h in result["hidden"]}
    return [
        outcome(
            r"$\kappa$ grows along training",
            f"in {int(np.sum(growths > 1))} of {growths.size} runs",
            bool(np.all(growths > 1)),
        ),
        outcome(
            "best activity rates after an epoch: 0.5 at $H = 8$, 0.05 at $H = 16$ and 32",
            "; ".join(f"{rate} at $H = {h}$" for h, rate in best.items())
            + f" ({c['iterations']} iterations)",
            *(rate == ("0.5" if h == 8 else "0.05") for h, rate in best.items()),
            tested=c["iterations"] >= 900 and deep >= 32,
        ),
    ]
