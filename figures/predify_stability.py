r"""Predify on linear chains: where it is stable, how fast waves travel, and the special case that is
predictive coding.

What to see: the boundary alpha + lambda = 1 for every beta; speeds (alpha + beta - lambda) / (1 - beta); a
complex spectrum in general and a real one in the special case beta = 0, lambda = alpha.
"""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from experiments import predify_stability
from experiments._result import Result
from experiments._store import Meta
from figures._outcome import Outcome, outcome
from pctheory import plotting

EXPERIMENT = predify_stability
TITLE = "Stability, waves and spectra of Predify"
SOURCE = "PFY"
SIZE = (5.5, 4.1)
_HUES = (
    plotting.COLOURS["pc"],
    "#ffa90e",
    plotting.COLOURS["highlight"],
    plotting.COLOURS["newton"],
    plotting.COLOURS["gauss-newton"],
)
"""Of the settings of the chains, which have no order."""


def draw(fig: Figure, result: Result) -> None:
    """Top: stability maps for three beta. Bottom: bumps, multipliers, spectra."""
    axes = fig.subplots(2, 3)
    alphas, lambdas = np.asarray(result["alphas"]), np.asarray(result["lambdas"])
    for ax, beta, growth in zip(axes[0], result["betas"], result["growth"], strict=True):
        image = ax.pcolormesh(
            alphas, lambdas, np.asarray(growth), cmap=plotting.DIVERGING, vmin=0.5, vmax=1.5, rasterized=True
        )
        plotting.theory(ax, [0, 1], [1, 0], label=None)
        if beta == 0:
            ax.plot([0, 0.5], [0, 0.5], color=plotting.COLOURS["pc"], lw=1.6)
            ax.text(0.3, 0.17, "PC", color=plotting.COLOURS["pc"], fontsize=8, fontweight="bold")
        else:  # published settings keep beta + lambda <= 1
            ax.axhline(1 - beta, color="black", lw=0.7, ls=":")
        ax.set(title=rf"$\beta = {beta:g}$", xlabel=r"error correction $\alpha$", aspect="equal")
    axes[0, 0].set_ylabel(r"feedback $\lambda$")
    bar = fig.colorbar(
        image, ax=axes[0], label=r"growth $\max_k\,|\mu(k)|$", shrink=0.9, pad=0.01, extend="max"
    )
    bar.ax.set_ylim(1, 1.5)
    _bumps(axes[1, 0], result)
    _waves(axes[1, 1], result)
    _spectra(axes[1, 2], result)
    plotting.letter(axes)
    handles, labels = axes[1, 0].get_legend_handles_labels()
    fig.legend(
        handles,
        labels,
        title=r"(d, e) $\alpha, \beta, \lambda$",
        loc="outside lower center",
        ncols=5,
        handlelength=0.8,
        title_fontsize=7.5,
    )


def _label(rates: Any) -> str:
    return ", ".join(f"{v:g}" for v in rates)


def _bumps(ax: Axes, result: Result) -> None:
    for rates, path, speed, color in zip(
        predify_stability.BUMPS, result["paths"], result["speeds"], _HUES, strict=True
    ):
        t = np.arange(len(path))
        ax.plot(t[::5], np.asarray(path)[::5], "o", ms=2.8, color=color, label=_label(rates))
        plotting.theory(ax, t, speed * t, label=None, linewidth=0.7)
    ax.set(xlabel="step $t$", ylabel="centre of a bump, layers")


def _waves(ax: Axes, result: Result) -> None:
    k = np.asarray(result["k"])
    for row, color in zip(result["multipliers"], _HUES, strict=True):
        ax.plot(k[k >= 0], np.asarray(row)[k >= 0], color=color)
    ax.set(xlabel="wavenumber $k$", ylabel=r"$|\mu(k)|$", xlim=(0, np.pi), ylim=(0, 1.05))
    ax.set_xticks([0, np.pi / 2, np.pi], ["0", r"$\pi/2$", r"$\pi$"])


def _spectra(ax: Axes, result: Result) -> None:
    ax.add_patch(Circle((0, 0), 1, fill=False, color=plotting.COLOURS["quiet"], lw=0.7))
    ax.plot(
        result["full_real"],
        result["full_imag"],
        "o",
        ms=2.8,
        color=plotting.COLOURS["highlight"],
        label="Predify",
    )
    ax.plot(
        result["pc_real"],
        result["pc_imag"],
        "|",
        ms=4,
        mew=0.6,
        color=plotting.COLOURS["pc"],
        label="PC case",
    )
    ax.set(xlabel="Re", ylabel="Im", xlim=(-1.1, 1.1), ylim=(-1.1, 1.1), aspect="equal")
    ax.set_title("eigenvalues of $A$")
    ax.legend(fontsize=7, loc="upper center", bbox_to_anchor=(0.5, 0.9), handlelength=0.6)


def caption(result: Result, meta: Meta) -> str:
    """What was run, what agrees."""
    worst = float(np.max(np.abs(np.asarray(result["speeds_measured"]) - np.asarray(result["speeds"]))))
    return (
        r"Predify is stable below $\alpha + \lambda = 1$, whatever $\beta$: the published constraint $\beta "
        r"+ \lambda \leq 1$ is not the boundary. Top: growth of the fastest wave on the infinite chain of "
        r"identity maps; black: the exact boundary, dotted: the published constraint. Blue: $\beta = 0$, "
        r"$\lambda = \alpha$, where a step is a gradient step of predictive coding. (d) Centre of a bump on "
        rf"a chain of {meta.config['chain']} layers (points) and the speed $(\alpha + \beta - \lambda)/(1 - "
        rf"\beta)$ (lines; largest difference {worst:.0e} layers per step). (e) Multipliers of these chains "
        "by wavenumber. (f) Eigenvalues of the update $A$ of a network with random feedback and forward maps "
        rf"(radius {result['full_radius']:.2f}, complex: damped oscillations), and of the special case with "
        rf"the same feedback (radius {result['pc_radius']:.2f}, real). ({meta.setting}.)"
    )


def outcomes(result: Result, meta: Meta) -> list[Outcome]:
    """Whether the published constraint is the boundary of stability."""
    alphas, lambdas = np.asarray(result["alphas"]), np.asarray(result["lambdas"])
    inside = growing = 0
    for beta, growth in zip(result["betas"], result["growth"], strict=True):
        allowed = np.broadcast_to((lambdas <= 1 - beta)[:, None], (len(lambdas), len(alphas)))
        inside += int(allowed.sum())
        growing += int(np.sum(np.asarray(growth)[allowed] > 1 + 1e-9))
    return [
        outcome(
            r"rates with $\beta + \lambda \leq 1$ are used as stable",
            rf"{100 * growing / inside:.0f}% of them grow: the boundary is $\alpha + \lambda = 1$",
            growing == 0,
        )
    ]
