r"""Cosine of the gradients of predictive coding and backpropagation over width and depth, and the excess of
S.

Published: 1.0 for wide or shallow networks; .2 to .4 in the narrow deep corner. The last map is not: Adam's
rate unscaled.
"""

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from experiments import pc_bp_cosine
from experiments._result import Result
from experiments._store import Meta
from figures import _names
from figures._outcome import Outcome, outcome
from pctheory import plotting

EXPERIMENT = pc_bp_cosine
TITLE = "Gradients of predictive coding and backpropagation become parallel with width"
SOURCE = "LIM 1"
SIZE = (5.5, 3.7)


def draw(fig: Figure, result: Result) -> None:
    """Top: 1 - cos at both ends of training, and at its end with the unscaled rate. Bottom: excess of S."""
    top, bottom = fig.subfigures(2, 1, height_ratios=(1, 1.15))
    times, widths, depths = result["times"], result["widths"], result["depths"]
    maps = [(rf"$t = {times[k]}$", result["table"]["cosine"][:, :, k]) for k in (0, -1)]
    maps.append((rf"$t = {times[-1]}$, unscaled", result["none"]["cosine"][:, :, -1]))
    axes = top.subplots(1, len(maps), squeeze=False, sharey=True)[0]
    image = None
    for ax, (title, values) in zip(axes, maps, strict=True):
        shown = np.ma.masked_invalid(1 - np.asarray(values)).T
        image = ax.imshow(shown, origin="lower", norm=LogNorm(1e-4, 1), cmap=plotting.SEQUENCE, aspect="auto")
        ax.set_facecolor("#e6e6e6")
        ax.set_xticks(range(0, len(widths), 3), [str(w) for w in widths[::3]], fontsize=7)
        ax.set_yticks(range(len(depths)), [str(d) for d in depths], fontsize=7)
        ax.set_title(title, fontsize=8)
        ax.set_xlabel("width $N$")
    axes[0].set_ylabel("depth $L$")
    top.colorbar(image, ax=list(axes), label=r"$1 - \cos$", extend="min")
    panels = bottom.subplots(1, 3, sharey=True)
    curves = [
        (rf"$t = {times[0]}$", result["table"]["excess"][:, :, 0]),
        (rf"$t = {times[-1]}$", result["table"]["excess"][:, :, -1]),
        (rf"$t = {times[-1]}$, unscaled", result["none"]["excess"][:, :, -1]),
    ]
    for ax, (title, excess) in zip(panels, curves, strict=True):
        ax.set(xscale="log", yscale="log", xlabel="width $N$")
        ax.set_title(title, fontsize=8)
        for d in range(len(depths)):
            plotting.measured(ax, widths, excess[:, d])
            plotting.theory(ax, widths, result["law"][:, d], label=None)
        plotting.log2_axis(ax, "x")
        ax.tick_params(axis="x", labelsize=7)
    panels[0].set_ylabel(r"$\mathrm{tr}\,S / n_L - 1$")
    for d, depth in enumerate(depths):
        name = f"$L = {depth}$" if d == len(depths) - 1 else f"{depth}"
        panels[-1].text(1.15 * widths[-1], result["law"][-1, d], name, fontsize=7, va="center")
    plotting.letter([*axes, *panels])


def _text(value: float, digits: int = 4) -> str:
    return f"{value:.{digits}f}" if np.isfinite(value) else "not trained"


def numbers(result: Result) -> dict[str, str | float]:
    """Cosines of the deepest networks at initialisation and at the last time, at both rates, and the
    smallest.
    """
    found: dict[str, str | float] = {}
    deepest = int(result["depths"][-1])
    for i, n in enumerate(result["widths"]):
        found[f"{n}-{deepest}"] = _text(result["table"]["cosine"][i, -1, 0])
        found[f"{n}-{deepest}-end"] = _text(result["table"]["cosine"][i, -1, -1])
        found[f"{n}-{deepest}-unscaled"] = _text(result["none"]["cosine"][i, -1, -1])
    for name in ("table", "none"):
        values = result[name]["cosine"]
        i, d, k = (int(v) for v in np.unravel_index(np.nanargmin(values), values.shape))
        found[f"smallest-{name}"] = f"{values[i, d, k]:.2f}"
        place = f"$N = {result['widths'][i]}$, $L = {result['depths'][d]}$, $t = {result['times'][k]}$"
        found[f"smallest-{name}-at"] = place
    return found


def caption(result: Result, meta: Meta) -> str:
    """What was run, what agrees, what does not."""
    n, widths, deepest = numbers(result), [int(w) for w in result["widths"]], int(result["depths"][-1])
    largest = min(meta.config["unscaled_width"], widths[-1])
    shown = [w for w in (8, 128, 512, 2048) if w in widths] or widths
    listed = ", ".join(f"{n[f'{w}-{deepest}']} ($N = {w}$)" for w in shown)
    wide = result["table"]["cosine"][np.array(widths) >= 512]
    wide = wide[np.isfinite(wide)]
    least = f"; from $N = 512$ on all are at least {wide.min():.3f}" if wide.size else ""
    grey = "; grey: not trained" if largest < widths[-1] else ""
    return (
        "The gradients of PC and BP become parallel with growing width and part in narrow deep networks, as "
        r"published. (a-c) One minus the cosine of the gradients of $F^*$ and $\mathcal{L}$, linear "
        r"residual $\mu$PC networks, "
        rf"PC at the exact equilibrium on {meta.config['samples']} samples of "
        rf"{_names.dataset(result['dataset'])} (Adam, {meta.config['rate']:g} times $(NL)^{{-1/2}}$; one "
        rf"seed{grey}). Cosines at $L = {deepest}$, $t = 0$: {listed}. The smallest is {n['smallest-table']} "
        rf"({n['smallest-table-at']}){least}. (c) Adam's rate as it is, smallest {n['smallest-none']} "
        rf"({n['smallest-none-at']}). (d-f) Excess of $S$ over the identity, with the exact mean at "
        "initialisation (black). Published: with the loss gradient "
        rf"of a second network. ({meta.setting}.)"
    )


def outcomes(result: Result, meta: Meta) -> list[Outcome]:
    """The cosines in the two corners of the published map."""
    n, deepest = numbers(result), int(result["depths"][-1])
    widths = [int(w) for w in result["widths"]]
    wide = np.asarray(result["table"]["cosine"])[np.array(widths) >= 512]
    wide = wide[np.isfinite(wide)]
    narrow = [float(n[f"{w}-{deepest}"]) for w in widths if w <= 8]
    return [
        outcome(
            "the gradients of PC and BP are parallel from $N = 512$ on",
            f"smallest cosine {wide.min():.3f}" if wide.size else "no such width was run",
            bool(wide.size and wide.min() > 0.98),
            tested=bool(wide.size),
        ),
        outcome(
            "their cosine is .2 to .4 in the narrow deep corner",
            rf"{min(narrow):.2f} to {max(narrow):.2f} at $L = {deepest}$ and $N \leq 8$, at first",
            0.1 < min(narrow) < 0.5,
            max(narrow) < 0.5,
            tested=deepest >= 32,
        ),
    ]
