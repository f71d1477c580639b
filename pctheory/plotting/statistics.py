"""What many seeds or starts say: distributions, medians with their range, violins.

Drawn by seaborn, loaded on use.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from pctheory.plotting.theme import COLOURS


def distribution(ax: Axes, samples: ArrayLike, color: str, label: str | None = None) -> None:
    """The share of the samples that are at most x, with a dot at the median.

    Parameters
    ----------
    ax : Axes
        The panel.
    samples : (n,)
        One value per seed or start.
    color, label : str
        Of the line and its entry in the legend.
    """
    values = np.asarray(samples, dtype=np.float64)
    _seaborn().ecdfplot(x=values, ax=ax, color=color, label=label)
    ax.plot(np.median(values), 0.5, "o", color=color, markeredgecolor="white", ms=5)


def medians(ax: Axes, x: ArrayLike, samples: ArrayLike, color: str, label: str | None = None) -> None:
    """The median over seeds as a line with markers, and a bar from the smallest seed to the largest.

    Parameters
    ----------
    ax : Axes
        The panel.
    x : (n,)
        At least two places.
    samples : (seeds, n)
        All finite.
    color, label : str
        Of the line and its entry in the legend.
    """
    values = np.asarray(samples, dtype=np.float64)
    at = np.broadcast_to(np.asarray(x, dtype=np.float64), values.shape)
    _seaborn().lineplot(
        x=at.ravel(), y=values.ravel(), ax=ax, color=color, label=label, legend=False, linewidth=0.8,
        estimator="median", errorbar=("pi", 100), err_style="bars", err_kws={"elinewidth": 0.8},
        marker="o", markeredgecolor="white",
    )  # fmt: skip


def violins(ax: Axes, samples: Sequence[ArrayLike], colors: Sequence[str], labels: Sequence[str]) -> None:
    """The densities of several samples side by side, cut at their ends, with a black bar at each median.

    Parameters
    ----------
    ax : Axes
        The panel.
    samples : sequence of (n,)
        One array for each violin.
    colors, labels : sequences of str
        One for each sample.
    """
    values = [np.asarray(each, dtype=np.float64) for each in samples]
    _seaborn().violinplot(
        data=values,
        ax=ax,
        palette=list(colors),
        inner=None,
        cut=0,
        density_norm="width",
        linewidth=0,
        alpha=0.6,
    )
    for place, each in enumerate(values):
        middle = np.median(each)
        ax.plot([place - 0.25, place + 0.25], [middle, middle], color=COLOURS["theory"], linewidth=1.2)
    ax.set_xticks(range(len(values)), labels)


def _seaborn() -> ModuleType:
    """Not imported with the rest: the other helpers need matplotlib alone."""
    try:
        import seaborn as sns
    except ModuleNotFoundError as missing:
        raise ModuleNotFoundError(
            "Distributions over seeds need seaborn, which is not installed: "
            "`pip install pctheory[experiments]`."
        ) from missing
    return sns
