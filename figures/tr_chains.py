r"""Training loss of deep scalar chains: BP against PC, by activation.

Published: PC faster with sign-symmetric activations, no gain with ReLU.
"""

import numpy as np
from matplotlib.figure import Figure

from experiments import tr_chains
from experiments._result import Result
from experiments._store import Meta
from figures import _names
from figures._outcome import Outcome, outcome
from pctheory import plotting

EXPERIMENT = tr_chains
TITLE = "Predictive coding speeds up chains of linear and tanh units, not of ReLUs"
SOURCE = "TR 3"
SIZE = (5.5, 2.1)
_NAMES = {"bp": "BP", "pc": "PC"}


def _activations(result: Result) -> list[str]:
    return [name for name in ("linear", "tanh", "relu") if name in result]


def draw(fig: Figure, result: Result) -> None:
    """One panel an activation: the mean over the seeds thick, every seed thin."""
    names = _activations(result)
    axes = np.atleast_1d(fig.subplots(1, len(names), sharey=True))
    for ax, name in zip(axes, names, strict=True):
        for rule, label in _NAMES.items():
            curves = np.asarray(result[name][rule]["loss"])
            for curve in curves:
                ax.plot(result["steps"], curve, color=plotting.COLOURS[rule], lw=0.4, alpha=0.5)
            rate = result[name][rule]["learning_rate"]
            ax.plot(
                result["steps"], np.nanmean(curves, axis=0), color=plotting.COLOURS[rule], lw=1.8,
                label=rf"{label} ($\eta = {rate:g}$)",
            )  # fmt: skip
        fitted = (f"{label} {_fitted(result, name, rule)}" for rule, label in _NAMES.items())
        plotting.note(ax, f"fitted, of {len(curves)}: {', '.join(fitted)}", "upper right", fontsize=7)
        ax.set(title=_names.activation(name), xlabel="iteration", ylim=(0, 0.95))
        ax.legend(fontsize=7, loc="upper right", bbox_to_anchor=(1, 0.9))
    axes[0].set_ylabel(r"loss $\mathcal{L}$")
    plotting.letter(list(axes))


def area(result: Result, name: str, rule: str) -> float:
    """Mean loss over training and seeds: how much is lost on the way."""
    return float(np.nanmean(np.asarray(result[name][rule]["loss"])))


def _fitted(result: Result, name: str, rule: str) -> int:
    """Chains whose loss has fallen to a tenth."""
    losses = np.asarray(result[name][rule]["loss"])
    return int(np.sum(losses[:, -1] < 0.1 * losses[:, 0]))


def caption(result: Result, meta: Meta) -> str:
    """Mean losses over training; what was equilibrated."""
    c = meta.config
    losses = ", ".join(
        f"{_names.activation(name)} {area(result, name, 'bp'):.3f} and {area(result, name, 'pc'):.3f}"
        for name in _activations(result)
    )
    gain = {name: area(result, name, "bp") / area(result, name, "pc") for name in _activations(result)}
    faster = min(gain[name] for name in gain if name != "relu") > 1.1
    worse = gain["relu"] < 0.9
    worst = max(result[name]["gap"] for name in _activations(result))
    return (
        f"With linear and tanh units PC trains chains of scalar weights "
        f"{'faster than BP, as' if faster else 'no faster than BP, not as'} published; with ReLU it is "
        f"{'behind, where no gain was published' if worse else 'not, as published'}. "
        rf"{c['depth']} weights, $y = -x$, stochastic gradient descent on batches of {c['batch_size']} from "
        rf"weights uniform on $[0, 1]$, {_names.seeds(c)} (thin; mean thick), each rule with the best of the "
        rf"learning rates {', '.join(f'{r:g}' for r in c['learning_rates'])}. Loss averaged over training, "
        rf"BP and PC: {losses}. With ReLU BP fits {_fitted(result, 'relu', 'bp')} and PC "
        rf"{_fitted(result, 'relu', 'pc')} of "
        rf"{c['seeds']} chains; {result['relu']['bp']['dead']} (BP) and {result['relu']['pc']['dead']} (PC) "
        rf"end dead, with no gradient left. PC's inference runs to equilibrium by Newton-Krylov steps, which "
        rf"leave at most {worst:.0e} of the first activity gradient. ({meta.setting}.)"
    )


def numbers(result: Result) -> dict[str, str | float]:
    """Ratios of the mean losses."""
    return {
        f"{name}-gain": f"{area(result, name, 'bp') / area(result, name, 'pc'):.2f}"
        for name in _activations(result)
    }


def outcomes(result: Result, meta: Meta) -> list[Outcome]:
    """PC against BP, by activation."""
    gain = {name: area(result, name, "bp") / area(result, name, "pc") for name in _activations(result)}
    even = [name for name in gain if name != "relu"]
    return [
        outcome(
            "PC trains chains faster with sign-symmetric activations",
            "BP's mean loss over PC's: " + ", ".join(f"{_names.activation(k)} {gain[k]:.2f}" for k in even),
            *(gain[name] > 1.1 for name in even),
        ),
        outcome(
            "no gain with ReLU",
            f"BP's mean loss over PC's: {gain['relu']:.2f}; BP fits {_fitted(result, 'relu', 'bp')} and PC "
            f"{_fitted(result, 'relu', 'pc')} of {meta.config['seeds']} chains",
            gain["relu"] < 1.1,
            gain["relu"] > 0.9,
        ),
    ]
