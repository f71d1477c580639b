r"""The balance law along training in torch.

What to see: backprop keeps the imbalance of neighbouring layers, PC adds twice the hidden errors; the
deviation of both from the law of the flow is of the order of the learning rate.
"""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from experiments import balance_law
from experiments._result import Result
from experiments._store import Meta
from figures import _names
from pctheory import plotting

EXPERIMENT = balance_law
TITLE = "Backprop keeps layers in balance, predictive coding moves weight to the output"
SOURCE = "new"
SIZE = (5.5, 3.9)
_RULES = {"bp": "BP", "pc": "PC"}


def draw(fig: Figure, result: Result) -> None:
    """Columns: drift between layers, single neurons, deviation against the learning rate. Rows: linear,
    ReLU.
    """
    axes = fig.subplots(2, 3)
    for row, (activation, runs) in enumerate(result["runs"].items()):
        drift, neurons, error = axes[row]
        for rule, run in runs.items():
            color = plotting.COLOURS[rule]
            for layer, style in zip(range(run["measured"].shape[1]), ("-", "--", ":"), strict=False):
                drift.plot(run["time"], run["measured"][:, layer], style, color=color, lw=1.6)
                if rule == "pc":
                    plotting.theory(drift, run["time"], run["predicted"][:, layer], label=None, linewidth=0.7)
                    end = (run["time"][-1], run["measured"][-1, layer])
                    drift.annotate(f"$l = {layer + 1}$", end, (0, -10), textcoords="offset points",
                                   ha="right", fontsize=7.5)  # fmt: skip
            neurons.plot(run["time"], run["neurons"], color=color, lw=0.8)
            for k, deviations in enumerate(run["deviations"]):
                error.plot(result["rates"], deviations, "o-", ms=3, lw=0.9, color=color,
                           label=None if k else _RULES[rule])  # fmt: skip
        rates = np.asarray(result["rates"])
        guide = runs["pc"]["deviations"][:, -1].min() / 2 * rates / rates[-1]
        plotting.theory(error, rates, guide, label="slope 1", linestyle=":")
        drift.set_ylabel(r"$\Vert W_{l+1} \Vert^2 - \Vert W_l \Vert^2$" + "\nsince the start")
        drift.set_title(f"{_names.activation(activation)}: layers")
        neurons.set_title("neurons of layer 1")
        neurons.set_ylabel(r"$|\mathrm{out}|^2 - |\mathrm{in}|^2$")
        error.set(xscale="log", yscale="log", title="deviation from the law", ylabel="largest deviation")
        error.set_xticks(rates, [f"{rate:g}" for rate in rates])
        error.minorticks_off()
        error.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        error.yaxis.set_major_formatter("{x:g}")
    for ax in axes[1, :2]:
        ax.set_xlabel(r"time (steps $\times$ learning rate)")
    axes[1, 2].set_xlabel("learning rate")
    plotting.legend_outside(fig, axes[0, 2], "bottom")
    plotting.letter(axes)


def _slope(result: Result, activation: str) -> np.ndarray:
    """Order of the deviation in the learning rate, PC, per seed."""
    deviations = np.log(np.asarray(result["runs"][activation]["pc"]["deviations"]))
    return np.asarray(np.polyfit(np.log(np.asarray(result["rates"])), deviations.T, 1)[0])


def _orders(result: Result, activation: str) -> str:
    low, high = (f"{v:.2f}" for v in (_slope(result, activation).min(), _slope(result, activation).max()))
    return low if low == high else f"{low} to {high}"


def _relative(result: Result, activation: str) -> float:
    run = result["runs"][activation]["pc"]
    return float(np.max(run["deviations"][:, -1] / run["scales"][:, -1]))


def caption(result: Result, meta: Meta) -> str:
    """The law, what is drawn, how well it holds."""
    rate = min(meta.config["learning_rates"])
    return (
        "Backprop conserves the difference between the squared weights of neighbouring layers; predictive "
        "coding increases it towards the output, as the law says. Widths "
        rf"{'-'.join(map(str, meta.config['widths']))}, linear (top) and ReLU (bottom), trained in torch on "
        r"a noisy linear teacher; PC learns at the equilibrium of inference. (a, d) Change of $\Vert W_{l+1} "
        rf"\Vert^2 - \Vert W_l \Vert^2$ at learning rate $\eta = {rate:g}$ (solid: $l = 1$, dashed: $l = "
        r"2$). Black: the law, $2 \eta \langle |\epsilon_l|^2 \rangle$ summed over the steps. (b, e) The "
        "same for each neuron of the first hidden layer: under PC none falls. (c, f) Largest deviation from "
        rf"the law, {_names.seeds(meta.config)}: of order {_orders(result, 'linear')} (linear) and "
        rf"{_orders(result, 'relu')} (ReLU) in $\eta$, expected 1; at $\eta = {rate:g}$ at most "
        rf"{100 * _relative(result, 'linear'):.1f}% and {100 * _relative(result, 'relu'):.1f}% of the "
        rf"largest "
        rf"change. ({meta.setting}.)"
    )


def numbers(result: Result) -> dict[str, str]:
    """Order of the deviation in the learning rate, over the seeds."""
    return {f"order-{name}": _orders(result, name) for name in ("linear", "relu")}
