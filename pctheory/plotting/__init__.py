"""Style, colours and drawing helpers of the figures. matplotlib lives only here and in `figures`, seaborn
only here.

Nothing here changes matplotlib's global settings: `with style():` around the drawing does.
"""

from pctheory.plotting.axes import legend_outside, letter, log2_axis, note
from pctheory.plotting.graphs import draw_graph
from pctheory.plotting.landscape import contour, heatmap, path, surface
from pctheory.plotting.lines import measured, spectrum, spread, theory
from pctheory.plotting.statistics import distribution, medians, violins
from pctheory.plotting.theme import COLOURS, DIVERGING, LANDSCAPE, SEQUENCE, WIDTH, shades, style

__all__ = [
    "COLOURS",
    "DIVERGING",
    "LANDSCAPE",
    "SEQUENCE",
    "WIDTH",
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
    "shades",
    "spectrum",
    "spread",
    "style",
    "surface",
    "theory",
    "violins",
]
