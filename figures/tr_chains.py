r"""Training loss of deep scalar chains: BP against PC, by activation.

Published: PC faster with sign-symmetric activations, no gain with ReLU.
"""

import numpy as np
from matplotlib.figure import Figure

from experiments import tr_chains
from experiments._result import Result
from experiments._store import Meta
from figures import _names
from pctheory import plotting

EXPERIMENT = tr_chains
TITLE = "Chains of scalar weights, by activation"
SOURCE = "TR 3"
SIZE = (5.5, 2.0)
_NAMES = {"bp": "BP", "pc": "PC"}


def _activations(result: Result) -> list[str]:
    return [name for name in ("linear", "tanh", "relu") if name in result]


def draw(fig: Figure, result: Result) -> None:
    """One panel an activation: median over seeds, and every seed."""
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
        ax.set(title={"relu": "ReLU"}.get(name, name), xlabel="iteration", ylim=(0, None))
        ax.legend(fontsize=7, loc="upper right")
    axes[0].set_ylabel(r"loss $\mathcal{L}$")
    plotting.letter(list(axes))


def area(result: Result, name: str, rule: str) -> float:
    """Mean loss over training and seeds: how much is lost on the way."""
    return float(np.nanmean(np.asarray(result[name][rule]["loss"])))


def caption(result: Result, meta: Meta) -> str:
    """Mean losses over training; what was equilibrated."""
    c = meta.config
    losses = ", ".join(
        f"{_names.activation(name)} {area(result, name, 'bp'):.3f} and {area(result, name, 'pc'):.3f}"
        for name in _activations(result)
    )
    dead = {rule: result["relu"][rule]["dead"] for rule in _NAMES}
    gain = {name: area(result, name, "bp") / area(result, name, "pc") for name in _activations(result)}
    agrees = min(gain[name] for name in gain if name != "relu") > 1.1 and gain["relu"] < 1.1
    worst = max(result[name]["gap"] for name in _activations(result))
    return (
        "PC trains chains of scalar weights faster than BP with linear and tanh units, and with ReLU the "
        rf"mean loss shows no gain: {'as' if agrees else 'not quite as'} published. {c['depth']} weights, $y "
        rf"= -x$, stochastic gradient descent on batches of {c['batch_size']} from weights uniform on $[0, "
        rf"1]$, {_names.seeds(c)} (thin; mean thick), each rule with the best of the learning rates "
        rf"{', '.join(f'{r:g}' for r in c['learning_rates'])}. Loss averaged over training, BP and PC: "
        rf"{losses}. But the mean over ReLU chains hides that {dead['bp']} (BP) and {dead['pc']} (PC) of "
        rf"{c['seeds']} chains end dead, with no gradient left. PC's inference runs to equilibrium by "
        rf"Newton-Krylov steps, which leave at most {worst:.0e} of the first activity gradient. "
        rf"({meta.setting}.)"
    )


def numbers(result: Result) -> dict[str, str | float]:
    """Ratios of the mean losses."""
    return {
        f"{name}-gain": f"{area(result, name, 'bp') / area(result, name, 'pc'):.2f}"
        for name in _activations(result)
    }
