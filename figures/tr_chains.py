r"""Training loss of deep scalar chains: BP against PC, by activation.

Sees (published): PC faster with sign-symmetric activations, no gain with ReLU.
"""

import numpy as np
from matplotlib.figure import Figure

from experiments import tr_chains
from experiments._result import Result
from experiments._store import Meta
from pctheory import plotting

EXPERIMENT = tr_chains
TITLE = "Deep scalar chains"
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
    shares = ", ".join(
        f"{name} {area(result, name, 'bp'):.3f} and {area(result, name, 'pc'):.3f}"
        for name in _activations(result)
    )
    dead = {rule: result["relu"][rule]["dead"] for rule in _NAMES}
    gaps = ", ".join(f"{name} {result[name]['gap']:.0e}" for name in _activations(result))
    gain = {name: area(result, name, "bp") / area(result, name, "pc") for name in _activations(result)}
    symmetric = [gain[n] for n in gain if n != "relu"]
    faster = min(symmetric) > 1.1
    worse = gain["relu"] < 0.9
    relu = "does worse" if worse else "gains nothing" if gain["relu"] < 1.1 else "gains too"
    return (
        rf"Scalar chains of {c['depth']} weights, $y = -x$, stochastic gradient descent on batches of {c['batch_size']} from weights "
        rf"uniform on $[0, 1]$, {c['seeds']} seeds (thin; mean thick), each rule with the best of the learning rates "
        rf"{', '.join(f'{r:g}' for r in c['learning_rates'])}. Loss averaged over training, BP and PC: {shares}. With ReLU {dead['bp']} (BP) and "
        rf"{dead['pc']} (PC) of {c['seeds']} chains end dead, with no gradient left. Published: PC faster with sign-symmetric activations, no gain with ReLU. Here PC is "
        rf"{'faster' if faster else 'not faster'} with the former and {relu} with the latter. PC's inference was run to equilibrium by Newton-Krylov steps: at the first and (where the chain is not fitted) the "
        rf"last weights the activity gradient fell to at most this fraction of its start: {gaps}. ({meta.setting}.)"
    )


def numbers(result: Result) -> dict[str, str | float]:
    """Ratios of the mean losses."""
    return {
        f"{name}-gain": f"{area(result, name, 'bp') / area(result, name, 'pc'):.2f}"
        for name in _activations(result)
    }
