r"""Learned precisions: the likelihood stops the weights that noise inflates, the mean squared errors run
away.

What to see: with precisions held at 1 the last weights grow like t^(1/4); with precisions learned by the
likelihood they come to rest, and the likelihood at its least value, whatever the noise; by the mean squared
errors alone all precisions but one grow without end.
"""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from experiments import learned_precision
from experiments._result import Result
from experiments._store import Meta
from pctheory import plotting

EXPERIMENT = learned_precision
TITLE = "Learned precisions and the missing minimiser"
SOURCE = "new"
SIZE = (5.5, 3.9)
_RULES = {
    "fixed": ("precisions 1", plotting.COLOURS["pc"]),
    "map": ("mean squared errors alone (MAP)", "#e76300"),
    "likelihood": ("likelihood", "#832db6"),
}
_UPDATES = {"map": _RULES["map"][1], "em": _RULES["likelihood"][1]}


def draw(fig: Figure, result: Result) -> None:
    """Top: the last weights of each problem. Bottom: precisions and likelihood of the network, iterations."""
    columns = result["columns"]
    grid = fig.add_gridspec(2, 6)
    width = 6 // len(columns)
    top = [fig.add_subplot(grid[0, width * i : width * (i + 1)]) for i in range(len(columns))]
    bottom = [fig.add_subplot(grid[1, 2 * i : 2 * (i + 1)]) for i in range(3)]
    for ax, (name, column) in zip(top, columns.items(), strict=True):
        for rule, (label, color) in _RULES.items():
            run = column[rule]
            ax.loglog(run["times"][1:], run["last"][1:], color=color, label=label)
        ax.set_title(f"chain, $N = {name[2:]}$" if name.startswith("N=") else "network")
        ax.set_xlabel("time $t$")
        ax.yaxis.set_minor_formatter(NullFormatter())
    top[0].set_ylabel(r"$\Vert W_L \Vert$")
    for rule, (_, color) in _RULES.items():
        run = columns["network"][rule]
        bottom[0].loglog(run["times"][1:], run["last_precision"][1:], color=color)
        bottom[0].loglog(run["times"][1:], run["first_precision"][1:], color=color, ls=":")
        bottom[1].loglog(run["times"][1:], np.maximum(run["likelihood"][1:], 1e-8), color=color)
    bottom[0].set(title="network", xlabel="time $t$", ylabel=r"$\Pi_L$ (dotted: $\Pi_1$)")
    bottom[1].set(title="network", xlabel="time $t$", ylabel="likelihood above its least")
    _iterations(bottom[2], result["iterations"])
    plotting.legend_outside(fig, top[0], "bottom")
    plotting.letter([*top, *bottom])


def law(shares: np.ndarray) -> np.ndarray:
    """The shares that the rule of the mean squared errors makes of the first ones: their 2^k-th powers."""
    powers = np.asarray(shares)[:, :1] ** (2.0 ** np.arange(shares.shape[1]))
    return powers / powers.sum(axis=0)


def _iterations(ax: Axes, iterations: Result) -> None:
    for rule, color in _UPDATES.items():
        shares = np.asarray(iterations[rule]["shares"])
        for row in shares:
            ax.plot(np.arange(shares.shape[1]), row, "o", ms=3, color=color)
    predicted = law(np.asarray(iterations["map"]["shares"]))
    for row in predicted:
        plotting.theory(ax, np.arange(predicted.shape[1]), row)
    ax.set(title="weights held still", xlabel="update", ylabel="share of a layer in $S$")


def caption(result: Result, meta: Meta) -> str:
    """What was run, what agrees."""
    found = numbers(result)
    return (
        "With precisions learned from the likelihood, weights come to rest on any noise; learned from mean "
        "squared errors alone, precisions run away. Gradient flow in weights and log precisions. (a-c) Last "
        r"weights, residual variance $N$. (d) Precisions; (e) negative log likelihood above the least value "
        rf"of any Gaussian: {found['likelihood']} at the end, {found['fixed']} with precisions of 1. The "
        r"flow of the MAP rule is cut where a precision passes $e^{14}$. (f) Both rules as updates, one "
        "output: "
        r"shares $P_l \Sigma_l P_l^\top / S$ of three layers; black: each MAP update squares their ratios "
        rf"(largest error {found['law']}). ({meta.setting}.)"
    )


def numbers(result: Result) -> dict[str, str | float]:
    """Likelihoods at the end and the error of the law of the shares."""
    shares = np.asarray(result["iterations"]["map"]["shares"])
    network = result["columns"]["network"]
    return {
        "law": f"{np.max(np.abs(law(shares) - shares)):.0e}",
        "likelihood": f"{abs(float(network['likelihood']['likelihood'][-1])):.0e}",
        "fixed": f"{float(network['fixed']['likelihood'][-1]):.2g}",
        "weights": f"{float(network['likelihood']['last'][-1]):.2f}",
        "chain-weights": f"{float(next(iter(result['columns'].values()))['likelihood']['last'][-1]):.2f}",
    }
