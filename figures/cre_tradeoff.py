r"""What classification and reconstruction cost each other in a shared code: closed form and trained networks.

What to see: the closed form's front, reached by trained linear networks at every lambda and k; a bend that
moves to the origin as k grows; ReLU networks at or below the linear front.
"""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase

from experiments import cre_tradeoff
from experiments._result import Result
from experiments._store import Meta
from figures import _names
from pctheory import plotting

EXPERIMENT = cre_tradeoff
TITLE = "The classification-reconstruction trade-off of a shared code"
SOURCE = "CRE"
SIZE = (5.5, 4.3)


def _sets(result: Result) -> list[Result]:
    return [entry for _, entry in result.items() if hasattr(entry, "keys") and "dataset" in entry]


def draw(fig: Figure, result: Result) -> None:
    """Fronts of two data sets, errors against lambda, gaps of trained networks; images along lambda."""
    top, bottom = fig.subfigures(2, 1, height_ratios=(1.25, 1))
    sets = _sets(result)
    axes = np.atleast_1d(top.subplots(1, len(sets) + 1))
    for ax, entry in zip(axes, sets, strict=False):
        _front(ax, entry)
    _trained(axes[0], result)
    axes[0].set_ylabel("classification error")
    axes[0].legend(fontsize=7, loc="lower right", handlelength=0.9)
    _gaps(axes[-1], result)
    _images(bottom, sets[0])
    plotting.letter([*axes, bottom.axes[0]])


def _front(ax: Axes, entry: Result) -> None:
    codes = list(entry["reconstruction"].keys())
    for k, color in zip(codes, plotting.shades(len(codes)), strict=True):
        plotting.theory(
            ax, entry["reconstruction"][k], entry["classification"][k], label=None, color=color, linewidth=1.1
        )
    ax.axhline(entry["floor"], color=plotting.COLOURS["quiet"], lw=0.7, ls=":")
    ax.set(
        xlabel="reconstruction error", title=_names.dataset(entry["dataset"]), xlim=(0, 1), ylim=(0.1, 1.02)
    )


def _trained(ax: Axes, result: Result) -> None:
    weights = np.asarray(result["trained"])
    inner = (weights > 0) & (weights < 1)  # at the ends one of the decoders is not trained
    styles: tuple[tuple[str, dict[str, Any]], ...] = (
        ("trained", {"marker": "o", "ms": 3.2, "color": "white", "mec": "black", "label": "trained, linear"}),
        ("relu", {"marker": "^", "ms": 4, "color": plotting.COLOURS["highlight"], "label": "trained, ReLU"}),
    )
    for kind, options in styles:
        x, y = (
            np.asarray(result[f"{kind}_{key}"])[..., inner].ravel()
            for key in ("reconstruction", "classification")
        )
        ax.plot(x, y, ls="none", zorder=4, **options)


def _gaps(ax: Axes, result: Result) -> None:
    gaps = np.asarray(result["trained_loss"]) / np.asarray(result["trained_expected"]) - 1
    codes = list(_sets(result)[0]["reconstruction"].keys())
    weights = np.asarray(result["trained"])
    places = np.arange(len(weights))
    for row, k, color in zip(gaps, codes, plotting.shades(len(codes)), strict=True):
        ax.plot(places, np.maximum(row, 1e-13), "o-", ms=3, lw=0.7, color=color, label=f"$k={k}$")
    ax.set_xticks(places, [f"{w:g}" for w in weights])
    ax.set(
        yscale="log",
        xlabel=r"weight $\lambda$",
        title="gap of trained linear",
        ylabel="loss / closed form - 1",
    )
    ax.legend(fontsize=7, loc="upper left", handlelength=0.9)


def _images(fig: FigureBase, entry: Result) -> None:
    """One image of some classes a row: itself, as reconstructed at the two ends of lambda, and how the two
    differ.
    """
    pictures, side = np.asarray(entry["pictures"]), int(entry["side"])
    label, image = pictures[0], pictures[-1]
    rows = [np.asarray(entry["images"]), label, image, label - image]
    names = ["image", r"$\lambda = 0$: for the label", r"$\lambda = 1$: for the image", "their difference"]
    axes = fig.subplots(1, len(rows))
    bound = float(np.percentile(np.abs(rows[0]), 99.5))
    for ax, row, name in zip(axes, rows, names, strict=True):
        tiles = row.reshape(-1, side, side)
        half = (len(tiles) + 1) // 2
        tiles = np.concatenate([tiles, np.full((2 * half - len(tiles), side, side), np.nan)])
        sheet = np.block([[tiles[2 * i], tiles[2 * i + 1]] for i in range(half)])
        signed = row is rows[-1]
        shown = ax.imshow(
            sheet,
            cmap=plotting.DIVERGING if signed else "gray",
            vmin=-bound / 2 if signed else 0,
            vmax=bound / 2 if signed else bound,
            rasterized=True,
        )
        ax.set_title(name, fontsize=7.5)
        ax.set(xticks=[], yticks=[])
        for spine in ax.spines.values():
            spine.set_visible(False)
    fig.colorbar(shown, ax=axes[-1], label="brightness", shrink=0.9)


def caption(result: Result, meta: Meta) -> str:
    """What was run, what agrees."""
    first = _sets(result)[0]
    gaps = np.asarray(result["trained_loss"]) / np.asarray(result["trained_expected"]) - 1
    sets = " and ".join(_names.dataset(entry["dataset"]) for entry in _sets(result))
    k = str(meta.config["shown_code"])
    reconstruction, classification = first["reconstruction"][k], first["classification"][k]
    return (
        "The price that classification and reconstruction pay for one shared code has a closed form, and "
        rf"training reaches it: trained linear networks exceed it by at most {gaps.max():.1e} (relative). "
        rf"Codes of dimension $k$ on centred images of {sets}. (a, b) Curves: the closed form as the weight "
        r"$\lambda$ of reconstruction varies, colours as in (c); dotted: regression without a code. Circles: "
        rf"linear networks trained on {_names.dataset(first['dataset'])}; triangles: ReLU networks with "
        rf"{meta.config['relu_hidden']} hidden and {meta.config['relu_code']} code units. (c) Excess over "
        rf"the closed form. At $k = {k}$ the ends are errors of {reconstruction[-1]:.3f} (reconstruction) "
        rf"and {classification[-1]:.3f} (classification) for principal components, {reconstruction[0]:.3f} "
        rf"and {classification[0]:.3f} for canonical regression. (d) "
        rf"Images reconstructed from $k = {k}$ at both ends. ({meta.setting}.)"
    )


def numbers(result: Result) -> dict[str, float]:
    """Worst gap."""
    gaps = np.asarray(result["trained_loss"]) / np.asarray(result["trained_expected"]) - 1
    return {"worst-gap": float(f"{gaps.max():.1e}")}
