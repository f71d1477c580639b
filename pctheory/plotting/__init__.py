"""Style, colours and drawing helpers of the figures. matplotlib lives only here and in `figures`, seaborn
only here.

Nothing here changes matplotlib's global settings: `with style():` around the drawing does.
"""

from pctheory.plotting.axes import legend_outside, letter, log2_axis, note
from pctheory.plotting.graphs import draw_graph
from pctheory.plotting.landscape import contour, heatmap, path, surface
from pctheory.plotting.lines import measured, spectrum, spread, theory
from pctheory.plotting.live import Ground, Relief, Scale, Stage, common_levels
from pctheory.plotting.statistics import distribution, medians, violins
from pctheory.plotting.theme import COLOURS, DIVERGING, LANDSCAPE, SEQUENCE, WIDTH, shades, style
from pctheory.plotting.views import (
    plot_blocks,
    plot_ends,
    plot_equilibrium,
    plot_losses,
    plot_slice,
    plot_spectrum,
    plot_surface,
    plot_tradeoff,
    plot_training,
    plot_trajectory,
)

__all__ = [
    "COLOURS",
    "DIVERGING",
    "LANDSCAPE",
    "SEQUENCE",
    "WIDTH",
    "Ground",
    "Relief",
    "Scale",
    "Stage",
    "common_levels",
    "contour",
    "distribution",
    "draw_graph",
    "heatmap",
    "legend_outside",
    "letter",
    "log2_axis",
    "measured",
    "medians",
    "note",
    "path",
    "plot_blocks",
    "plot_ends",
    "plot_equilibrium",
    "plot_losses",
    "plot_slice",
    "plot_spectrum",
    "plot_surface",
    "plot_tradeoff",
    "plot_training",
    "plot_trajectory",
    "shades",
    "spectrum",
    "spread",
    "style",
    "surface",
    "theory",
    "violins",
]
