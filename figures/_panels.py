"""What figures share of their panels: logarithmic axes over few decades, and a panel for each network."""

from collections.abc import Callable, Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from figures import _names
from pctheory import plotting


def few_decades(axis: Axis) -> None:
    """Ticks at 1, 2 and 5 times the powers of ten, written out, on a logarithmic axis."""
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_locator(NullLocator())


def by_dataset(fig: Figure, networks: Mapping[str, Any], panel: Callable[[Axes, Any], None]) -> None:
    """Draw networks named "data set H:n", one row per data set, with letters and one legend."""
    rows = list(dict.fromkeys(name.split()[0] for name in networks))
    columns = max(sum(name.startswith(row + " ") for name in networks) for row in rows)
    axes = fig.subplots(len(rows), columns, squeeze=False)
    for row, asked in enumerate(rows):
        own = [found for name, found in networks.items() if name.startswith(asked + " ")]
        for ax, found in zip(axes[row], own, strict=False):
            panel(ax, found)
            size = f"$H = {found['hidden']}$, $n = {found['width']}$"
            ax.set_title(f"{_names.dataset(found['dataset'])}\n{size}", fontsize=8)
        for ax in axes[row, len(own) :]:
            ax.set_visible(False)
        axes[row, 0].set_ylabel("eigenvalue")
    for ax in axes[-1]:
        ax.set_xlabel("rank")
    plotting.legend_outside(fig, axes[0, 0], "bottom")
    plotting.letter(ax for ax in axes.flat if ax.get_visible())
