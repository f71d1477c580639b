"""One look for all figures: type, lines, and a fixed colour for each role."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import matplotlib as mpl
import matplotlib.style
from cycler import cycler
from matplotlib.colors import Colormap, LinearSegmentedColormap, to_hex

from pctheory import _check

WIDTH = 5.5
"""Width of the paper's text block in inches; figures are drawn at printed size."""

_INK = "#1c1e21"
_QUIET = "#8a9099"

# The palette is petroff10 (Petroff 2021), which was optimised for colour-vision deficiencies; roles that meet
# in one panel differ in lightness too, so that they survive a grey print.
COLOURS: dict[str, str] = {
    "theory": "#000000",
    "bp": "#717581",
    "pc": "#3f90da",
    "loss": "#bd1f01",
    "energy": "#3f90da",
    "newton": "#832db6",
    "trust-region": "#ffa90e",
    "gauss-newton": "#a96b59",
    "sp": "#e76300",
    "mupc": "#3f90da",
    "orthogonal": "#832db6",
    "highlight": "#bd1f01",
    "quiet": _QUIET,
    "ink": _INK,
}
"""Colour of each role, the same in every figure: theory black, BP grey, PC blue."""

CYCLE = ("#3f90da", "#ffa90e", "#bd1f01", "#832db6", "#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd")

LANDSCAPE: Colormap = LinearSegmentedColormap.from_list(
    "landscape", ["#173a5e", "#2f6fa8", "#6ba6d3", "#a9cde6", "#dbe9f2", "#f7f7f4"]
)
"""For losses and energies: low is dark, so that minima read as valleys."""

SEQUENCE: Colormap = LinearSegmentedColormap.from_list(
    "sequence", ["#a8d2f2", "#3f90da", "#2a6096", "#1d3f66"]
)
"""For an ordered family of lines (depth, width, time): light to dark."""

DIVERGING: Colormap = mpl.colormaps["RdBu_r"]
"""For signed quantities, with white at zero."""

_RC: dict[str, Any] = {
    "font.family": "STIXGeneral",
    "mathtext.fontset": "stix",
    "text.usetex": False,
    "font.size": 8.5,
    "axes.titlesize": 8.5,
    "axes.labelsize": 8.5,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "legend.fontsize": 7.5,
    "axes.titlepad": 4.0,
    "axes.labelpad": 2.5,
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.titlecolor": _INK,
    "axes.edgecolor": "#4a4f57",
    "xtick.color": "#4a4f57",
    "ytick.color": "#4a4f57",
    "xtick.labelcolor": _INK,
    "ytick.labelcolor": _INK,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.prop_cycle": cycler(color=CYCLE),
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.minor.width": 0.4,
    "ytick.minor.width": 0.4,
    "xtick.major.size": 2.6,
    "ytick.major.size": 2.6,
    "xtick.minor.size": 1.5,
    "ytick.minor.size": 1.5,
    "lines.linewidth": 1.2,
    "lines.markersize": 3.4,
    "lines.markeredgewidth": 0.6,
    "patch.linewidth": 0.5,
    "legend.framealpha": 0.75,
    "legend.edgecolor": "none",
    "legend.fancybox": False,
    "legend.handlelength": 1.6,
    "legend.handletextpad": 0.5,
    "legend.labelspacing": 0.3,
    "legend.columnspacing": 1.2,
    "legend.borderaxespad": 0.3,
    "image.interpolation": "nearest",
    "figure.constrained_layout.h_pad": 0.03,
    "figure.constrained_layout.w_pad": 0.03,
    "figure.dpi": 100,
    "savefig.dpi": 300,
    "savefig.facecolor": "white",
    "pdf.fonttype": 42,
    "axes.formatter.use_mathtext": True,
    "axes.formatter.limits": (-3, 4),
}


@contextlib.contextmanager
def style() -> Iterator[None]:
    """The style of all figures, for as long as the context lasts; it starts from matplotlib's own defaults.

    Examples
    --------
    >>> import matplotlib as mpl
    >>> before = mpl.rcParams["font.size"]
    >>> with style():
    ...     mpl.rcParams["font.size"]
    8.5
    >>> mpl.rcParams["font.size"] == before
    True
    """
    with matplotlib.style.context(["default", _RC]):
        yield
        # the first figure of a notebook makes it interactive, so that it shows this one and all others
        interactive = matplotlib.is_interactive()
    matplotlib.interactive(interactive)


def shades(count: int) -> list[str]:
    """`count` colours from light to dark, for an ordered family of lines.

    Returns
    -------
    list of str
        Hexadecimal colours.

    Examples
    --------
    >>> shades(2)
    ['#a8d2f2', '#1d3f66']
    """
    _check.count(count, "count", 1)
    if count == 1:
        return [COLOURS["pc"]]
    return [to_hex(SEQUENCE(i / (count - 1))) for i in range(count)]
