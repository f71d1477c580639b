"""The rule for figures, measured on one that is drawn: panels, letters, fonts, and whether its colours stay
apart for eyes without green cones.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgba
from matplotlib.figure import Figure
from matplotlib.text import Text
from numpy.typing import ArrayLike

PANELS = 6
FONT = 6.0
"""Points, as printed."""
APART = 10.0
"""Least distance in CIELAB of two colours that nothing but their colour tells apart."""

_DEUTERANOPIA = np.array(
    [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
)
"""On linear RGB (Machado, Oliveira and Fernandes 2009, severity 1)."""
_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
_SRGB_BREAK = 0.04045


def panels(fig: Figure) -> list[Axes]:
    """All axes that are seen, but for colour bars."""
    return [
        ax
        for ax in fig.axes
        if ax.get_visible() and (ax.axison or hasattr(ax, "zaxis")) and ax.get_label() != "<colorbar>"
    ]


def letters(fig: Figure) -> str:
    """The letters of the panels, sorted."""
    texts = (text for ax in fig.axes for text in ax.texts if text.get_fontweight() == "bold")
    return "".join(sorted(text.get_text() for text in texts if len(text.get_text()) == 1))


def smallest_font(fig: Figure) -> float:
    """The size in points of the smallest words that are seen."""
    return min((float(t.get_fontsize()) for t in _texts(fig)), default=np.inf)


def _texts(artist: Artist) -> Iterator[Text]:
    if not artist.get_visible():
        return
    if isinstance(artist, Text) and artist.get_text().strip():
        yield artist
    for child in artist.get_children():
        yield from _texts(child)


def looks(fig: Figure) -> dict[str, float]:
    """What the rule asks of a figure that is drawn; no distance of colours where nothing needs one."""
    closest = closest_colours(fig)
    apart = {} if closest is None else {"colours": round(closest[0], 1)}
    return {"panels": len(letters(fig)) or len(panels(fig)), "font": smallest_font(fig), **apart}


def deuteranopia(rgb: ArrayLike) -> np.ndarray:
    """How colours (..., 3), sRGB between 0 and 1, look to eyes without green cones."""
    linear = np.clip(_linear(np.asarray(rgb, dtype=float)) @ _DEUTERANOPIA.T, 0, 1)
    small = linear <= _SRGB_BREAK / 12.92
    return np.where(small, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def _linear(rgb: np.ndarray) -> np.ndarray:
    return np.where(rgb <= _SRGB_BREAK, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def lab(rgb: ArrayLike) -> np.ndarray:
    """CIELAB of sRGB colours (..., 3), white D65."""
    xyz = _linear(np.asarray(rgb, dtype=float)) @ _XYZ.T / _XYZ.sum(axis=1)
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    x, y, z = np.moveaxis(f, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def distance(first: ArrayLike, second: ArrayLike) -> float:
    """How far two sRGB colours are apart in CIELAB under deuteranopia."""
    return float(np.linalg.norm(lab(deuteranopia(first)) - lab(deuteranopia(second))))


def closest_colours(fig: Figure) -> tuple[float, str] | None:
    """The smallest distance, in one panel, of two lines or markers that only their colours tell apart, and
    which they are; None: there are no such two.
    """
    found = []
    for number, ax in enumerate(panels(fig)):
        for (style, one), (other, two) in combinations(sorted(_marks(ax)), 2):
            if style == other:
                found.append(
                    (distance(one, two), f"panel {number}: {style}, {to_hex(one)} and {to_hex(two)}")
                )
    return min(found, default=None)


def _marks(ax: Axes) -> set[tuple[str, tuple[float, float, float]]]:
    """How each line or marker is drawn, and its colour on white; straight guides do not count."""
    found = set()
    for line in ax.lines:
        guide = line.get_transform() != ax.transData
        style = f"line {line.get_linestyle()}, marker {line.get_marker()}"
        if line.get_visible() and not guide and style != "line None, marker None":
            *rgb, opacity = to_rgba(line.get_color(), line.get_alpha())
            red, green, blue = (round(1 - opacity * (1 - v), 3) for v in rgb)
            found.add((style, (red, green, blue)))
    return found
