r"""Gradient noise of PC and BP along training, and the layers that it lives in.

A faithful run sees PC's noise in the last layer at the saddle and in the first one late, BP's in all layers,
and at one loss a smaller noise scale of PC.
"""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments import gradient_noise
from experiments._result import Result
from experiments._store import Meta
from figures._escapes import rounded
from pctheory import plotting

EXPERIMENT = gradient_noise
TITLE = "The layers that gradient noise lives in"
SOURCE = "new"
SIZE = (5.5, 2.3)
_RULES = {"bp": "BP", "pc": "PC"}


def draw(fig: Figure, result: Result) -> None:
    """Shares of the layers along training, and the noise scale against the loss."""
    axes = fig.subplots(1, 3)
    _shares(axes[0], result, "pc")
    _shares(axes[1], result, "bp")
    _scales(axes[2], result)
    axes[0].set_title("PC: share of each layer")
    axes[1].set_title("BP: share of each layer")
    axes[2].set_title("noise scale")
    axes[0].set_ylabel("share of the noise")
    plotting.letter(axes)


def _shares(ax: Axes, result: Result, rule: str) -> None:
    at = np.asarray(result["steps"]) + 1
    shares = np.asarray(result["rules"][rule]["shares"])
    ax.set_xscale("log")
    for layer, colour in enumerate(plotting.shades(shares.shape[1])):
        plotting.spread(ax, at, shares[:, layer], colour, rf"$W_{layer + 1}$")
    ax.set_ylim(-0.02, 1.05)
    ax.set_xlabel("iteration + 1")
    if rule == "bp":
        ax.legend(fontsize=7, loc="upper left", handlelength=1.2, ncols=2, columnspacing=0.8)


def _scales(ax: Axes, result: Result) -> None:
    ax.set_xscale("log")
    ax.set_yscale("log")
    for rule, name in _RULES.items():
        for seed in range(len(_excess(result, rule))):
            ax.plot(
                _excess(result, rule)[seed], result["rules"][rule]["scale"][seed], "-", lw=0.9,
                color=plotting.COLOURS[rule], label=name if seed == 0 else None,
            )  # fmt: skip
    ax.invert_xaxis()
    ax.set_xlabel(r"$\mathcal{L} - \min \mathcal{L}$")
    ax.set_ylabel(r"$\mathrm{tr}\, C\, /\, |G|^2$")
    ax.legend(fontsize=7, loc="upper left", handlelength=1.2)


def _excess(result: Result, rule: str) -> np.ndarray:
    table = result["rules"][rule]
    return np.asarray(table["loss"]) - np.asarray(table["least"])[:, None]


def caption(result: Result, meta: Meta) -> str:
    """What was run and what it shows."""
    found = numbers(result)
    return (
        r"At the saddle PC's gradient noise lives in the last layer alone, BP's in all layers. Linear "
        rf"networks, {meta.config['hidden_layers']} hidden layers of {meta.config['width']} units, the "
        rf"digits, weights of gain {meta.config['gain']:g}, full-batch descent (rates "
        rf"{meta.config['pc_rate']:g} and {meta.config['bp_rate']:g}), {meta.config['seeds']} seeds. (a, b) "
        rf"Share of each layer in tr C: at the start $W_L$ holds {found['pc-start']} of PC's and "
        rf"{found['bp-start']} of BP's. Later PC's weights inflate, and its noise moves to $W_1$ "
        rf"({found['pc-end']}). (c) Noise scale against the loss above its least value; where half of it is "
        rf"left, PC's is {found['pc-half']} and BP's {found['bp-half']}. ({meta.setting}.)"
    )


def numbers(result: Result) -> dict[str, str | float]:
    """Shares of the last layer at the start and of the first at the end; noise scales at half the loss."""
    found: dict[str, str | float] = {}
    for rule in _RULES:
        table = result["rules"][rule]
        shares = np.asarray(table["shares"]).mean(axis=0)
        found[f"{rule}-start"] = f"{shares[-1, 0]:.2f}"
        found[f"{rule}-end"] = f"{shares[0, -1]:.2f}"
        excess, scale = _excess(result, rule), np.asarray(table["scale"])
        halves = [s[np.argmax(e <= e[0] / 2)] for e, s in zip(excess, scale, strict=True)]
        found[f"{rule}-half"] = rounded(float(np.median(halves)))
    return found
