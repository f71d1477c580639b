r"""The sharpness along training against 2 over the rate, for F* and for the loss.

A faithful run sees the sharpness of the loss rise to the edge of stability and stay there at larger rates,
and that of F* stay near 1, so that PC stands larger rates.
"""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments import edge_of_stability
from experiments._result import Result
from experiments._store import Meta
from figures._escapes import rounded, span
from pctheory import plotting

EXPERIMENT = edge_of_stability
TITLE = "The sharpness along training"
SOURCE = "new"
SIZE = (5.5, 2.4)
_RULES = {"pc": "PC", "bp": "BP"}
_SHOWN = 4


def draw(fig: Figure, result: Result) -> None:
    """Sharpness of both objectives along training at several rates, and the loss that each rate ends at."""
    axes = fig.subplots(1, 3)
    for ax, rule in zip(axes, _RULES, strict=False):
        _paths(ax, result, rule)
    axes[0].set_title(r"sharpness of $F^*$")
    axes[1].set_title(r"sharpness of $\mathcal{L}$")
    axes[0].set_ylabel(r"$\lambda_{\max}$")
    top = 1.5 * np.nanmax([2 / min(_rates(result, "bp")), *np.ravel(result["rules"]["pc"]["sharpness"])])
    for ax in axes[:2]:
        ax.set_ylim(0.4, top)
    _ends(axes[2], result)
    axes[2].set_title("loss at the end")
    plotting.letter(axes)


def _rates(result: Result, rule: str) -> np.ndarray:
    """The largest rates at which some seed does not diverge: a few, for the lines."""
    last = np.asarray(result["rules"][rule]["sharpness"])[:, :, -1]
    held = np.asarray(result["rates"])[np.isfinite(last).any(axis=1)]
    return np.asarray(held[-_SHOWN:])


def _paths(ax: Axes, result: Result, rule: str) -> None:
    at, rates = np.asarray(result["steps"]) + 1, np.asarray(result["rates"])
    shown = _rates(result, rule)
    ax.set_xscale("log")
    ax.set_yscale("log")
    for rate, colour in zip(shown, plotting.shades(len(shown)), strict=True):
        paths = np.asarray(result["rules"][rule]["sharpness"])[list(rates).index(rate)]
        for seed, path in enumerate(paths):
            ax.plot(at, path, "-", lw=0.9, color=colour, label=rf"$\eta = {rate:g}$" if seed == 0 else None)
        ax.axhline(2 / rate, color=colour, lw=0.9, ls="--")
    ax.set_xlabel("iteration + 1")
    ax.legend(fontsize=6.5, loc="upper left", handlelength=1, ncols=2, columnspacing=0.6, labelspacing=0.2)


def _ends(ax: Axes, result: Result) -> None:
    rates = np.asarray(result["rates"])
    ax.set_xscale("log")
    ax.set_yscale("log")
    for rule, name in _RULES.items():
        ends = _end(result, rule)
        ax.plot(
            np.repeat(rates, ends.shape[1]), ends.ravel(), "o" if rule == "pc" else "s", ms=3.2,
            color=plotting.COLOURS[rule], label=name,
        )  # fmt: skip
    ax.set_xlabel(r"rate $\eta$")
    ax.set_ylabel(r"$\mathcal{L} - \min \mathcal{L}$")
    ax.legend(fontsize=7, handlelength=1)


def _end(result: Result, rule: str) -> np.ndarray:
    return np.asarray(result["rules"][rule]["loss"])[:, :, -1]


def _largest(result: Result, rule: str) -> float:
    """The largest rate at which no seed diverges and the loss above its least value falls tenfold."""
    loss = np.asarray(result["rules"][rule]["loss"])
    good = np.nan_to_num(loss[:, :, -1] / loss[:, :, 0], nan=np.inf).max(axis=1) < 0.1
    return float(np.max(np.asarray(result["rates"])[good], initial=0.0))


def caption(result: Result, meta: Meta) -> str:
    """What was run, where the sharpness ends."""
    found = numbers(result)
    return (
        rf"The sharpness of $\mathcal{{L}}$ rises to the edge of stability, that of $F^*$ stays near 1. "
        rf"Linear networks, {meta.config['hidden_layers']} hidden layers of {meta.config['width']} units, "
        rf"whitened digits, full-batch descent, {meta.config['seeds']} seeds a rate. (a, b) The largest "
        r"eigenvalue of the Hessian at the largest rates that each rule stands; dashed: $2 / \eta$. At the "
        rf"smallest rate that of $\mathcal{{L}}$ ends at {found['bp-sharpness']}, that of $F^*$ never "
        rf"exceeds {found['pc-most']} at rates up to {found['pc-rate']}. (c) Loss above its least value "
        rf"after {meta.config['steps']} steps, where descent did not diverge; PC's weights inflate with "
        rf"noise, and its loss falls slower. ({meta.setting}.)"
    )


def numbers(result: Result) -> dict[str, str | float]:
    """Final sharpness of the loss at the smallest rate, the largest of F*, and the rates that each stands."""
    rates = np.asarray(result["rates"])
    stood = rates <= _largest(result, "pc")
    return {
        "bp-sharpness": span(np.asarray(result["rules"]["bp"]["sharpness"])[0, :, -1]),
        "pc-most": rounded(float(np.nanmax(np.asarray(result["rules"]["pc"]["sharpness"])[stood])), 3),
        "pc-rate": rounded(_largest(result, "pc")),
        "bp-rate": rounded(_largest(result, "bp")),
    }
