r"""What alpha does: how evenly linear networks learn, and which networks behave alike.

A faithful run sees the modes learned more evenly the larger alpha is, as the mean field says, and the ratio
of loss and energy depend on alpha and not on the precision.
"""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from experiments import what_alpha_does
from experiments._result import Result
from experiments._store import Meta
from figures import _names
from pctheory import plotting

EXPERIMENT = what_alpha_does
TITLE = r"What $\alpha$ does"
SOURCE = "new"
SIZE = (5.5, 2.5)
LEVEL = 0.1
"""Share of the initial excess loss at which the modes are compared."""


def excess(result: Result, name: str) -> np.ndarray:
    """Loss above least squares, as a share of that at the start, (runs, T)."""
    above = np.asarray(result[name]["losses"]) - result["least"]
    return np.asarray(above / above[:, :1])


def learned(result: Result, name: str) -> np.ndarray:
    """Shares of the modes when the excess is `LEVEL`, between iterations by interpolation, (runs, k)."""
    found = []
    for left, shares in zip(excess(result, name), np.asarray(result[name]["shares"]), strict=True):
        k = int(np.argmax(left < LEVEL))
        part = (left[k - 1] - LEVEL) / (left[k - 1] - left[k])
        found.append((1 - part) * shares[k - 1] + part * shares[k])
    return np.array(found)


def by_alpha(result: Result, values: np.ndarray) -> np.ndarray:
    """Runs as (alphas, seeds, ...)."""
    return np.asarray(values).reshape(len(result["alphas"]), -1, *np.shape(values)[1:])


def ratios(result: Result, activation: str, rule: str) -> np.ndarray:
    """Loss over F* of each network, mean over the seeds, (networks, T)."""
    return np.asarray(result[activation][rule]["ratios"]).mean(axis=1)


def spread(result: Result, activation: str, rule: str) -> float:
    """Largest over smallest L/F* - 1 of the networks, the mean over training."""
    inflation = ratios(result, activation, rule).mean(axis=1) - 1
    return float(inflation.max() / inflation.min())


def activations(result: Result) -> list[str]:
    """The nonlinear networks' activations."""
    return [name for name in ("tanh", "relu") if name in result]


def draw(fig: Figure, result: Result) -> None:
    """Shares of the modes at equal loss; L/F* along training at equal alpha and at equal precisions."""
    axes = fig.subplots(1, 3)
    axes[2].sharey(axes[1])
    _modes(axes[0], result)
    for ax, rule in zip(axes[1:], what_alpha_does.RULES, strict=True):
        _ratios(ax, result, rule)
    axes[1].set_title(r"equal $\alpha$")
    axes[2].set_title(r"equal $\pi$")
    plotting.legend_outside(fig, axes, "bottom", ncols=5)
    plotting.letter(axes)


def _modes(ax: Axes, result: Result) -> None:
    modes = np.arange(1, len(result["values"]) + 1)
    colours = [plotting.COLOURS["bp"], *plotting.shades(len(result["alphas"]) - 1)]
    measured, predicted = by_alpha(result, learned(result, "networks")), learned(result, "field")
    for alpha, colour, networks, limit in zip(result["alphas"], colours, measured, predicted, strict=True):
        label = rf"$\alpha = {alpha:g}$" if alpha else "BP"
        plotting.measured(ax, modes, networks, color=colour, ms=3.5, label=label)
        plotting.theory(ax, modes, limit, label=None)
    ax.set(xlabel="mode, largest first", ylabel="share learned", ylim=(0, 1.05))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))


def _ratios(ax: Axes, result: Result, rule: str) -> None:
    for activation, style in zip(activations(result), ("-", "--"), strict=False):
        for k, curve in enumerate(ratios(result, activation, rule)):
            ax.plot(
                curve - 1, style, color=plotting.COLOURS["pc"], lw=0.8,
                label=None if k else _names.activation(activation),
            )  # fmt: skip
    ax.set_yscale("log")
    ax.set_xlabel("iteration")
    ax.set_ylabel(r"$\mathcal{L} / F^* - 1$")


def numbers(result: Result) -> dict[str, str | float]:
    """Shares of the strongest and the weakest mode by alpha, of networks and mean field, and the largest
    distance of the two over the modes; the spreads of L/F* - 1.
    """
    found: dict[str, str | float] = {}
    measured, predicted = by_alpha(result, learned(result, "networks")), learned(result, "field")
    for alpha, networks, limit in zip(result["alphas"], measured, predicted, strict=True):
        mean = networks.mean(axis=0)
        found[f"first-{alpha:g}"] = f"{mean[0]:.2f}"
        found[f"last-{alpha:g}"] = f"{mean[-1]:.2f}"
        found[f"last-{alpha:g}-predicted"] = f"{limit[-1]:.2f}"
        found[f"off-{alpha:g}"] = f"{np.abs(mean - limit).max():.3f}"
    for activation in activations(result):
        for rule in what_alpha_does.RULES:
            found[f"{activation}-{rule}"] = f"{spread(result, activation, rule):.1f}"
    return found


def caption(result: Result, meta: Meta) -> str:
    """What the modes and the ratios show."""
    found, c, names = numbers(result), meta.config, activations(result)
    last = [f"{found[f'last-{a:g}']} (predicted {found[f'last-{a:g}-predicted']})" for a in result["alphas"]]
    alphas = ", ".join(f"{a:g}" for a in result["alphas"])
    equal, other = (
        " and ".join(f"{found[f'{n}-{rule}']} ({_names.activation(n)})" for n in names)
        for rule in what_alpha_does.RULES
    )
    sizes = ", ".join(f"({n}, {depth})" for n, depth in c["networks"])
    return (
        r"The larger $\alpha$ is, the more evenly the modes are learned, and $\mathcal{L} / F^*$ follows "
        r"$\alpha$ and not the precision. (a) Linear networks on principal components of digits, "
        rf"$N = {c['width']}$, $\gamma = {c['gamma']:g}$: share of each mode of the least squares map that "
        rf"is learned when {100 * LEVEL:g}% of the excess loss is left; black: mean field. The last mode at "
        rf"$\alpha$ = {alphas}: {', '.join(last)}. (b, c) Residual networks of (N, L) = {sizes} with equal "
        rf"$\alpha$ = {c['alpha']:g} or equal $\pi$: the largest $\mathcal{{L}} / F^* - 1$ is {equal} times "
        rf"the smallest at equal $\alpha$, {other} times at equal $\pi$. ({meta.setting}.)"
    )
