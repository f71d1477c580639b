r"""Test accuracy, condition number of inference and the energy gap left by T steps, along the training of
deep linear networks.

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
TITLE = "Conditioning along training"
SOURCE = "MU 3"
SIZE = (5.5, 4.9)

TITLES = {"gd": "gradient descent", "adam": "Adam", "orthogonal": "orthogonal weights, GD"}
LINES = ("-", "--", ":")


def draw(fig: Figure, result: Result) -> None:
    """One column per case; rows: accuracy, condition number, energy gap."""
    axes = fig.subplots(3, len(TITLES), sharex=True, sharey="row", squeeze=False)
    hidden, rates = result["hidden"], result["rates"]
    colours = plotting.shades(len(hidden))
    for column, (case, title) in enumerate(TITLES.items()):
        part = result[case]
        for ax in axes[1:, column]:
            ax.set_yscale("log")
        for ax, measure in zip(axes[:, column], ("accuracy", "kappa", "gap"), strict=True):
            values = 100 * part[measure] if measure == "accuracy" else part[measure]
            for h, colour in enumerate(colours):
                for r, line in enumerate(LINES[: len(rates)]):
                    plotting.spread(ax, result["steps"], values[h, r], colour, ls=line, lw=1.0)
        axes[0, column].set(title=title, ylim=(0, 100))
        axes[-1, column].set(xlabel="iteration")
    kappas = axes[1, 0].yaxis  # less than two decades: labels within
    kappas.set_major_locator(LogLocator(subs=(1.0, 3.0)))
    kappas.set_major_formatter("{x:g}")
    kappas.set_minor_locator(NullLocator())
    axes[0, 0].set_ylabel("test accuracy (%)")
    axes[1, 0].set_ylabel(r"condition number $\kappa(H)$")
    axes[2, 0].set_ylabel("relative energy gap")
    for h, colour in zip(hidden, colours, strict=True):
        axes[0, 0].plot([], [], color=colour, label=f"$H = {h}$")
    for rate, line in zip(rates, LINES, strict=False):
        axes[0, 0].plot([], [], color="black", ls=line, lw=1.0, label=f"activity rate {rate:g}")
    plotting.legend_outside(fig, axes[0, 0], "bottom")
    plotting.letter(axes)


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
    for case in TITLES:
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
    names = {"gd": "gradient descent", "adam": "Adam", "orthogonal": "orthogonal weights"}
    growths = [_growth(result, case) for case in TITLES]
    total, grown = sum(g.size for g in growths), sum(int(np.sum(g > 1)) for g in growths)
    factors = ", ".join(f"{n[f'growth-{k}-{deep}']} ({name})" for k, name in names.items())
    best = ", ".join(f"{n[f'rate-gd-{h}']} ($H = {h}$)" for h in result["hidden"])
    faster = result["gd"]["gap"][..., -1] < result["gd"]["gap"][..., 0]
    return (
        rf"Training raised the condition number of inference in {grown} of {total} runs, as published; but "
        "inference need not become slower. Deep linear networks (sp or orthogonal weights, no skips, width "
        rf"{c['width']}) on {_names.dataset(result['dataset'])}, Adam, $T = {c['num_steps']}$ steps of "
        "inference by gradient descent or Adam. Top: test accuracy. Middle: condition number; growth in "
        rf"{int(result['steps'][-1])} iterations at $H = {deep}$: {factors}. Bottom: the share of the energy "
        "gap that $T$ steps leave (above 1: the energy rises). Under gradient descent it falls in "
        rf"{int(faster.sum())} of {faster.size} runs: learning speeds up the modes that the error excites. "
        rf"Best activity rates: {best}; published, after an epoch: 0.5 ($H = 8$), 0.05 ($H = 16, 32$). "
        rf"({meta.setting}.)"
    )


def outcomes(result: Result, meta: Meta) -> list[Outcome]:
    """Growth along training, and the best activity rates."""
    n, c = numbers(result), meta.config
    growths = np.concatenate([np.ravel(_growth(result, case)) for case in TITLES])
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
