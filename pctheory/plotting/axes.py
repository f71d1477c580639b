"""Helpers for axes: panel letters, base-2 axes, notes, legends beside the panels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import FigureBase
from matplotlib.legend import Legend
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
from matplotlib.transforms import ScaledTranslation

from pctheory import _check


def letter(axes: Iterable[Axes] | np.ndarray, start: str = "a") -> None:
    """Bold letters a, b, c, ... above the upper left corners, row by row."""
    panels = axes.flat if isinstance(axes, np.ndarray) else axes
    for index, ax in enumerate(panels):
        figure = ax.get_figure(root=True)
        assert figure is not None
        offset = ScaledTranslation(-14 / 72, 4 / 72, figure.dpi_scale_trans)
        # Axes.text, also on a 3-D panel: there ax.text would place it in the scene
        Axes.text(
            ax,
            0.0,
            1.0,
            chr(ord(start) + index),
            transform=ax.transAxes + offset,
            fontweight="bold",
            ha="left",
            va="bottom",
        )


def log2_axis(ax: Axes, which: str = "x") -> None:
    """Logarithmic axes to base 2 with ticks at the powers; `which` is "x", "y" or "both".

    Powers up to 2048 are written out (widths and depths are read as numbers), larger ones as powers.
    """
    for name in ("x", "y") if _check.choice(which, "which", ("x", "y", "both")) == "both" else (which,):
        (ax.set_xscale if name == "x" else ax.set_yscale)("log", base=2)
        axis = ax.xaxis if name == "x" else ax.yaxis
        axis.set_major_locator(LogLocator(base=2, numticks=9))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(FuncFormatter(_power_of_two))


def _power_of_two(value: float, _: int | None) -> str:
    exponent = round(float(np.log2(value)))
    return f"{2**exponent}" if 0 <= exponent <= 11 else rf"$2^{{{exponent}}}$"


def note(ax: Axes, text: str, corner: str = "upper right", **properties: Any) -> None:
    """A short remark in a corner of a panel, on a translucent ground: "upper left", ..., "lower right"."""
    _check.choice(corner, "corner", ("upper left", "upper right", "lower left", "lower right"))
    top, right = corner.startswith("upper"), corner.endswith("right")
    properties = {
        "fontsize": 7.5,
        "ha": "right" if right else "left",
        "va": "top" if top else "bottom",
        "bbox": {"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 1.2},
        **properties,
    }
    Axes.text(ax, 0.97 if right else 0.03, 0.96 if top else 0.04, text, transform=ax.transAxes, **properties)


def legend_outside(
    figure: FigureBase, source: Axes | Sequence[Axes] | np.ndarray, side: str = "bottom", **options: Any
) -> Legend:
    """One legend for the whole figure beside its panels, each label once.

    `side` is "bottom", "top" or "right".

    Returns
    -------
    Legend
        In the figure, outside its panels.
    """
    place = {"bottom": "outside lower center", "top": "outside upper center", "right": "outside right center"}
    axes = (
        [source]
        if isinstance(source, Axes)
        else list(source.flat if isinstance(source, np.ndarray) else source)
    )
    entries: dict[str, Artist] = {}
    for ax in axes:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    columns = 1 if side == "right" else len(entries)
    options = {"loc": place[_check.choice(side, "side", place)], "ncols": columns, **options}
    legend: Legend = figure.legend(list(entries.values()), list(entries), **options)
    return legend
