r"""Training loss of ten-layer networks: BP against PC, by activation.

Published: linear: PC at the floor about three times earlier; tanh: earlier, then BP slightly lower; ReLU: BP
stuck long, PC not.
"""

import numpy as np
from matplotlib.figure import Figure

from experiments import tr_deep_nets
from experiments._result import Result
from experiments._store import Meta
from figures import _names
from figures._outcome import Outcome, outcome
from pctheory import plotting

EXPERIMENT = tr_deep_nets
TITLE = "Networks of ten layers learn sooner by predictive coding"
SOURCE = "TR, 10 layers"
SIZE = (5.5, 2.1)
_NAMES = {"bp": "BP", "pc": "PC"}


def _activations(result: Result) -> list[str]:
    return [name for name in ("linear", "tanh", "relu") if name in result]


def _smooth(curve: np.ndarray, points: int) -> np.ndarray:
    """Running mean over the last `points` points."""
    total = np.cumsum(np.concatenate([np.zeros(points), curve]))
    count = np.minimum(np.arange(1, len(curve) + 1), points)
    return (total[points:] - total[:-points]) / count


def draw(fig: Figure, result: Result) -> None:
    """One panel an activation."""
    names = _activations(result)
    axes = np.atleast_1d(fig.subplots(1, len(names), sharey=True))
    for ax, name in zip(axes, names, strict=True):
        for rule, label in _NAMES.items():
            curves = np.asarray(result[name][rule]["loss"])
            color = plotting.COLOURS[rule]
            for curve in curves:
                ax.plot(result["steps"], curve, color=color, lw=0.4, alpha=0.4)
            rate = result[name][rule]["learning_rate"]
            smooth = np.mean([_smooth(c, 10) for c in curves], axis=0)
            ax.plot(result["steps"], smooth, color=color, lw=1.6, label=rf"{label} ($\eta = {rate:g}$)")
        ax.set(title={"relu": "ReLU"}.get(name, name), xlabel="iteration", ylim=(0, None))
        ax.legend(fontsize=7, loc="lower left")
    axes[0].set_ylabel(r"loss $\mathcal{L}$")
    plotting.letter(list(axes))


def lead(result: Result, name: str) -> float:
    """Iterations of BP over those of PC to the larger of the two final losses (smoothed); below 1: BP is
    ahead.
    """
    steps = np.asarray(result["steps"])
    smooth = {
        rule: np.mean([_smooth(c, 10) for c in np.asarray(result[name][rule]["loss"])], axis=0)
        for rule in _NAMES
    }
    level = max(float(s[-1]) for s in smooth.values())
    first = {rule: float(steps[np.flatnonzero(s <= level)[0]]) for rule, s in smooth.items()}
    return first["bp"] / max(first["pc"], 1.0)


def _end(result: Result, name: str, rule: str) -> float:
    return float(np.mean([_smooth(c, 10)[-1] for c in np.asarray(result[name][rule]["loss"])]))


def caption(result: Result, meta: Meta) -> str:
    """Final losses, leads, what was equilibrated."""
    c = meta.config
    ends = "; ".join(
        f"{_names.activation(name)} {_end(result, name, 'bp'):.3f} and {_end(result, name, 'pc'):.3f}"
        for name in _activations(result)
    )
    gaps = ", ".join(
        f"{result[name]['pc']['gap']:.0e} ({_names.activation(name)})" for name in _activations(result)
    )
    leads = ", ".join(
        f"{lead(result, name):.1f} ({_names.activation(name)})" for name in _activations(result)
    )
    edges = _edges(result, c["learning_rates"])
    beyond = f" (at an end of it: {', '.join(edges)})" if edges else ""
    return (
        "In networks of ten layers predictive coding learns sooner than backprop: to the loss that both "
        rf"reach BP takes {leads} times as many iterations. Width {c['width']}, "
        rf"{_names.dataset(result['dataset'])}: loss on training batches (thin) and its running mean "
        rf"(thick), stochastic gradient descent from PyTorch's initialisation, {_names.seeds(c)}, each rule "
        rf"at the best rate $\eta$ of the grid {', '.join(f'{r:g}' for r in c['learning_rates'])}{beyond}, "
        rf"one scale. Loss at the end, BP and PC: {ends}. Published: tanh networks end slightly lower under "
        "BP. Inference (Newton-Krylov) leaves these fractions of the first activity gradient: "
        rf"{gaps}. ({meta.setting}.)"
    )


def _edges(result: Result, rates: tuple[float, ...]) -> list[str]:
    """The runs whose best rate lies at an end of the grid, so that a better one may lie beyond it."""
    ends = (min(rates), max(rates))
    return [
        f"{_names.activation(name)} {_NAMES[rule]}"
        for name in _activations(result)
        for rule in _NAMES
        if result[name][rule]["learning_rate"] in ends
    ]


def numbers(result: Result) -> dict[str, str | float]:
    """Leads of PC."""
    return {f"{name}-lead": f"{lead(result, name):.1f}" for name in _activations(result)}


def outcomes(result: Result, meta: Meta) -> list[Outcome]:
    """Ten layers, by activation."""
    found = [
        outcome(
            "linear: PC is at the floor about 3 times sooner",
            f"{lead(result, 'linear'):.1f} times",
            lead(result, "linear") > 1.5,
        )
    ]
    if "tanh" in result:
        bp, pc = _end(result, "tanh", "bp"), _end(result, "tanh", "pc")
        found.append(
            outcome(
                "tanh: PC sooner, then BP ends slightly lower",
                f"PC {lead(result, 'tanh'):.1f} times sooner; last losses {bp:.3f} (BP), {pc:.3f} (PC)",
                lead(result, "tanh") > 1,
                bp < pc,
            )
        )
    bp, pc = _end(result, "relu", "bp"), _end(result, "relu", "pc")
    found.append(
        outcome(
            "ReLU: BP is stuck long, PC not",
            f"last losses {bp:.3f} (BP), {pc:.3f} (PC)",
            bp > 1.1 * pc,
        )
    )
    return found
