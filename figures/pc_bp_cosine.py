r"""Cosine of the gradients of predictive coding and backpropagation over width and depth, and the excess of S.

Sees: 1.0 for wide or shallow networks; .2 to .4 in the narrow deep corner.
"""

import numpy as np
from matplotlib.figure import Figure

from experiments import pc_bp_cosine
from experiments._result import Result
from experiments._store import Meta
from pctheory import plotting

EXPERIMENT = pc_bp_cosine
TITLE = "Predictive coding and backpropagation, gradient by gradient"
SOURCE = "LIM 1"
SIZE = (5.5, 3.7)


def draw(fig: Figure, result: Result) -> None:
    """Top: heatmaps of the cosine at each time. Bottom: excess of S against width, with the law."""
    top, bottom = fig.subfigures(2, 1, height_ratios=(1, 1.15))
    times, widths, depths = result["times"], result["widths"], result["depths"]
    axes = top.subplots(1, len(times), squeeze=False)[0]
    image = None
    for k, ax in enumerate(axes):
        values = np.ma.masked_invalid(result["cosine"][:, :, k]).T
        image = ax.imshow(values, origin="lower", vmin=0, vmax=1, cmap=plotting.SEQUENCE, aspect="auto")
        ax.set_facecolor("#e6e6e6")
        ax.set_xticks(range(0, len(widths), 2), [str(w) for w in widths[::2]], fontsize=6.5)
        ax.set_yticks(range(len(depths)), [str(d) for d in depths], fontsize=7)
        ax.set(title=f"$t = {times[k]}$", xlabel="width $N$")
    axes[0].set_ylabel("depth $L$")
    top.colorbar(image, ax=list(axes), label="cosine")
    panels = bottom.subplots(1, 2)
    for k, ax in zip((0, len(times) - 1), panels, strict=True):
        ax.set(xscale="log", yscale="log", xlabel="width $N$", title=f"$t = {times[k]}$")
        for d, colour in zip(range(len(depths)), plotting.shades(len(depths)), strict=True):
            plotting.measured(ax, widths, result["excess"][:, d, k], color=colour, label=f"$L = {depths[d]}$")
            plotting.theory(ax, widths, result["law"][:, d], label=None)
        plotting.log2_axis(ax, "x")
        ax.tick_params(axis="x", labelsize=6.5)
    panels[0].set_ylabel(r"$\mathrm{tr}\,S / n_L - 1$")
    panels[0].legend(fontsize=7, ncols=2)


def numbers(result: Result) -> dict[str, str | float]:
    """Cosines at initialisation in the deepest networks, and at the last time where trained."""
    found: dict[str, str | float] = {}
    deepest = int(result["depths"][-1])
    for i, n in enumerate(result["widths"]):
        found[f"{n}-{deepest}"] = f"{result['cosine'][i, -1, 0]:.4f}"
        last = result["cosine"][i, -1, -1]
        found[f"{n}-{deepest}-end"] = f"{last:.4f}" if np.isfinite(last) else "not trained"
    finite = result["cosine"][np.isfinite(result["cosine"])]
    found["smallest"] = f"{finite.min():.2f}"
    return found


def caption(result: Result, meta: Meta) -> str:
    """What was run, what agrees, what does not."""
    n, widths, deepest = numbers(result), [int(w) for w in result["widths"]], int(result["depths"][-1])
    trained = min(meta.config["trained_width"], widths[-1])
    shown = [w for w in (8, 128, 512, 2048) if w in widths] or widths
    listed = ", ".join(f"{n[f'{w}-{deepest}']} ($N = {w}$)" for w in shown)
    end = ", ".join(f"{n[f'{w}-{deepest}-end']} ($N = {w}$)" for w in shown if w <= trained)
    grey = "" if trained == widths[-1] else f"; networks wider than {trained} were not trained (grey)"
    return (
        rf"Cosine of the gradients of $F^*$ and of the loss, linear residual mupc networks trained by predictive coding at the "
        rf"exact equilibrium on {meta.config['samples']} samples of {result['dataset']} (Adam, {meta.config['rate']:g}), one seed"
        rf"{grey}. At $L = {deepest}$ and $t = 0$: {listed}; at $t = {result['times'][-1]}$: {end}; the smallest of all is "
        rf"{n['smallest']}. Bottom: excess of S over the identity with the exact mean at initialisation (black). The published "
        rf"map has .2 to .4 in the narrow deep corner and 1.0 from $N = 512$ on or in shallow networks. ({meta.setting}.)"
    )
