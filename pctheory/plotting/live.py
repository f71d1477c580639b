"""Figures that move: what does not change is drawn once, and the rest is drawn over it again and again.

A full drawing of three panels takes about 50 ms on one core, nearly all of it ticks and text. `Stage` keeps
a picture of those; what moves (images, lines) takes a few milliseconds, and a text that changes one more.
"""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import Any, TypeVar

import numpy as np
from contourpy import contour_generator
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backend_bases import RendererBase
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from PIL import Image

from pctheory.plotting.theme import COLOURS, LANDSCAPE, style

A = TypeVar("A", bound=Artist)


class Stage:
    """A figure of which some artists move.

    Parameters
    ----------
    width, height : float
        Inches.
    dpi : int
        Pixels per inch.

    Attributes
    ----------
    figure : Figure
        Add panels to it, and `add` what moves.
    """

    def __init__(self, width: float, height: float, *, dpi: int = 100) -> None:
        room = ConstrainedLayoutEngine(rect=(0.025, 0.05, 0.97, 0.94))  # for the numbers of a `Scale`
        self.figure = Figure(figsize=(width, height), dpi=dpi, layout=room)
        self.canvas: Any = FigureCanvasAgg(self.figure)  # untyped in matplotlib
        self._moving: list[Artist] = []
        self._seldom: list[Artist] = []
        self._stills: dict[str, np.ndarray] = {}  # what does not move, of each view
        self._view = ""
        self._ground: np.ndarray | None = None  # with what moves seldom
        self._boxes: dict[Artist, tuple[slice, slice]] = {}  # where that is
        self._changed: list[Artist] = []

    def add(self, artist: A, *, seldom: bool = False) -> A:
        """The artist, from now on drawn at every `refresh`; if `seldom`, a text drawn after a `retouch`."""
        artist.set_animated(True)
        (self._seldom if seldom else self._moving).append(artist)
        return artist

    def restage(self, view: str | None = None) -> None:
        """Draw everything again at the next `refresh`: for new limits, ticks or titles.

        Parameters
        ----------
        view : str, optional
            A name for what does not move: it is drawn once under each name.
        """
        if view is None:
            self._stills.clear()
        else:
            self._view = view
        self._ground = None

    def retouch(self, artists: Sequence[Artist]) -> None:
        """Draw these, which move seldom, again at the next `refresh`."""
        self._changed.extend(artists)

    def refresh(self) -> None:
        """Draw the artists that move over what does not."""
        if self._view not in self._stills:
            with style():
                self.canvas.draw()
            self.figure.set_layout_engine("none")  # placed once: it takes longer than all the rest
            self._stills[self._view] = self._pixels().copy()
        if self._ground is None:
            self._ground, self._changed = self._stills[self._view].copy(), list(self._seldom)
            self._boxes.clear()
        pixels = self._pixels()
        pixels[:] = self._ground
        if self._changed:
            for artist in self._changed:
                if artist in self._boxes:
                    pixels[self._boxes[artist]] = self._stills[self._view][self._boxes[artist]]
            self._draw(self._changed)
            for artist in self._changed:
                self._boxes[artist] = self._box(artist)
            self._ground[:] = pixels
            self._changed = []
        self._draw(self._moving)

    def _box(self, artist: Artist) -> tuple[slice, slice]:
        """The pixels that an artist covers: rows from the top, columns."""
        box, height = artist.get_window_extent(), round(self.figure.bbox.height)
        left, top = max(0, int(box.x0) - 2), max(0, height - int(box.y1) - 3)
        return slice(top, max(0, height - int(box.y0) + 2)), slice(left, max(0, int(box.x1) + 3))

    def _pixels(self) -> np.ndarray:
        """What the canvas holds, (height, width, 4) bytes, to read and to write."""
        return np.asarray(self.canvas.buffer_rgba())

    def _draw(self, artists: Sequence[Artist]) -> None:
        for artist in artists:
            if artist.get_visible():
                owner = artist.axes if artist.axes is not None else self.figure
                owner.draw_artist(artist)

    def pixels(self) -> np.ndarray:
        """The picture, (height, width, 3), bytes."""
        return self._pixels()[:, :, :3]

    def png(self) -> bytes:
        """The picture as a PNG file."""
        with BytesIO() as buffer:
            Image.fromarray(self.pixels()).save(buffer, "png")
            return buffer.getvalue()

    def jpeg(self) -> bytes:
        """The picture as a JPEG file, which takes a third of the time: for pictures that soon change."""
        with BytesIO() as buffer:
            Image.fromarray(self.pixels()).save(buffer, "jpeg", quality=93, subsampling=0)
            return buffer.getvalue()

    def still(self) -> Figure:
        """The figure with everything drawn in the ordinary way, to be saved with ``savefig``."""
        for artist in (*self._moving, *self._seldom):
            artist.set_animated(False)
        self._moving.clear()
        self._seldom.clear()
        self.restage()
        return self.figure

    def panel_at(self, across: float, up: float) -> tuple[Axes, float, float] | None:
        """The panel under a point of the picture, and the data coordinates there.

        Parameters
        ----------
        across, up : float
            Fractions of the picture's width and height, from the lower left corner.

        Returns
        -------
        (Axes, x, y) or None
            None beside the panels.
        """
        pixel = (across * self.figure.bbox.width, up * self.figure.bbox.height)
        for ax in self.figure.axes:
            if ax.bbox.contains(*pixel):
                x, y = ax.transData.inverted().transform(pixel)
                return ax, float(x), float(y)
        return None


class Scale:
    """The numbers at the ends of a panel's axes, which move where ticks would be drawn anew.

    The panel itself runs from -1 to 1 both ways.

    Parameters
    ----------
    stage : Stage
    ax : Axes
    up : bool
        Whether the vertical axis has numbers too.
    """

    def __init__(self, stage: Stage, ax: Axes, *, up: bool = True) -> None:
        ax.set(xlim=(-1, 1), ylim=(-1, 1), xticks=[-1, 0, 1], yticks=[-1, 0, 1])
        ax.tick_params(labelbottom=False, labelleft=False)
        size = {"fontsize": 7.5, "clip_on": False, "color": COLOURS["ink"], "in_layout": False}
        place = ax.get_xaxis_transform()
        self._across = [
            stage.add(ax.text(x, -0.03, "", transform=place, ha=side, va="top", **size), seldom=True)  # type: ignore[arg-type]
            for x, side in ((-1, "left"), (0, "center"), (1, "right"))
        ]
        place = ax.get_yaxis_transform()
        self._up = [
            stage.add(ax.text(-0.03, y, "", transform=place, ha="right", va=side, **size), seldom=True)  # type: ignore[arg-type]
            for y, side in ((-1, "bottom"), (0, "center"), (1, "top"))
            if up
        ]
        if up:
            self._up[1].set_rotation(90)
        self._stage, self._shown = stage, ("",) * 6

    def set(
        self, across: tuple[float, float], up: tuple[float, float], name: str = "", upward: str = ""
    ) -> None:
        """What stands at the ends, (low, high), and between them the names of the directions."""
        numbers = [f"{number:.3g}".replace("-", "\N{MINUS SIGN}") for number in _rounded(*across, *up)]
        shown = (numbers[0], name, numbers[1], numbers[2], upward, numbers[3])
        if shown != self._shown:
            self._shown = shown
            texts = (*self._across, *self._up)
            pairs = [p for p in zip(texts, shown, strict=False) if p[0].get_text() != p[1]]
            for text, words in pairs:
                text.set_text(words)
            self._stage.retouch([text for text, _ in pairs])

    def show(self, *, visible: bool) -> None:
        """Show or hide the numbers."""
        for text in (*self._across, *self._up):
            text.set_visible(visible)
        self._stage.retouch((*self._across, *self._up))


class Picture(Artist):
    """Colours at the points of a grid that spans a panel, smoothed between them.

    As `matplotlib.image.AxesImage`, at a twentieth of the time: that resamples colours and opacity apart, in
    floating point.

    Parameters
    ----------
    ax : Axes
    """

    def __init__(self, ax: Axes) -> None:
        super().__init__()
        self._panel = ax
        self.set_data(np.zeros((2, 2, 4), np.uint8))
        self.set_zorder(0)

    def set_data(self, colours: np.ndarray) -> None:
        """Colours (m, n, 4), bytes, bottom row first; the outer points lie on the edges of the panel."""
        self._colours = Image.fromarray(colours)

    def draw(self, renderer: RendererBase) -> None:
        """Draw it over the whole panel."""
        if not self.get_visible():
            return
        box, (width, height) = self._panel.bbox, self._colours.size
        left, bottom = round(box.x0), round(box.y0)
        size = max(1, round(box.x1) - left), max(1, round(box.y1) - bottom)
        middle = (0.5, 0.5, width - 0.5, height - 0.5)
        smooth = self._colours.resize(size, Image.Resampling.BILINEAR, box=middle)
        context = renderer.new_gc()
        renderer.draw_image(context, left, bottom, np.array(smooth))
        context.restore()


class Ground:
    """A landscape on a plane that is given new values: filled by level, with lines between the levels.

    The panel runs from -1 to 1 both ways.

    Parameters
    ----------
    stage : Stage
    ax : Axes
    """

    def __init__(self, stage: Stage, ax: Axes) -> None:
        self.image = stage.add(Picture(ax))
        ax.add_artist(self.image)
        self.lines = stage.add(LineCollection([], colors="white", linewidths=0.4, alpha=0.7))
        ax.add_collection(self.lines, autolim=False)
        ax.set(xlim=(-1, 1), ylim=(-1, 1))

    def show(self, *, visible: bool) -> None:
        """Show or hide it."""
        self.image.set_visible(visible)
        self.lines.set_visible(visible)

    def set(self, values: np.ndarray, levels: np.ndarray) -> None:
        """Values (m, n), bottom row first, and the levels at which the colours step."""
        x, y = (np.linspace(-1, 1, n) for n in values.shape[::-1])
        self.image.set_data(LANDSCAPE(ranks(values, levels), bytes=True))
        sections = contour_generator(x, y, values).multi_lines(levels)
        lines: list[Any] = [line for level in sections for line in level]
        self.lines.set_segments(lines)


class Relief:
    """The landscape as a surface on plain axes: a parallel projection, painted from the back.

    Parameters
    ----------
    stage : Stage
    ax : Axes
        From -1 to 1 both ways.
    """

    def __init__(self, stage: Stage, ax: Axes) -> None:
        self.facets = stage.add(PolyCollection([], edgecolors=(1, 1, 1, 0.6), linewidths=0.25))
        ax.add_collection(self.facets, autolim=False)
        self.floor = stage.add(ax.plot([], [], color=COLOURS["quiet"], linewidth=0.5)[0])
        self._view = np.eye(3)
        self._heights = (0.0, 1.0)

    def show(self, *, visible: bool) -> None:
        """Show or hide it."""
        self.facets.set_visible(visible)
        self.floor.set_visible(visible)

    def set(
        self,
        values: np.ndarray,
        levels: np.ndarray,
        *,
        azimuth: float = 35.0,
        elevation: float = 35.0,
        facets: int = 30,
    ) -> None:
        """Values (m, n), cut at the ends of the levels, seen from an azimuth and an elevation in degrees.

        Parameters
        ----------
        values : (m, n)
            On a grid from -1 to 1 both ways.
        levels : (k,)
            Where the colours step; the first is the floor and the last the ceiling.
        azimuth, elevation : float
            Of the eye, in degrees.
        facets : int
            At most so many along each side.
        """
        turn, tilt = np.radians(azimuth), np.radians(elevation)
        self._view = np.array(
            [
                [np.cos(turn), np.sin(turn), 0.0],
                [-np.sin(turn) * np.sin(tilt), np.cos(turn) * np.sin(tilt), np.cos(tilt)],
                [-np.sin(turn) * np.cos(tilt), np.cos(turn) * np.cos(tilt), -np.sin(tilt)],
            ]
        )
        self._heights = float(levels[0]), float(levels[-1])
        rows, columns = (np.linspace(0, n - 1, min(facets + 1, n)).astype(int) for n in values.shape)
        x, y = (
            np.linspace(-1, 1, n)[kept] for n, kept in zip(values.shape[::-1], (columns, rows), strict=True)
        )
        z = values[np.ix_(rows, columns)]
        across, along = np.meshgrid(x, y)
        seen = self._seen(across, along, z)
        flat, away = seen[..., :2], seen[..., 2]
        corners = [flat[:-1, :-1], flat[:-1, 1:], flat[1:, 1:], flat[1:, :-1]]
        centre = (z[:-1, :-1] + z[:-1, 1:] + z[1:, 1:] + z[1:, :-1]).ravel() / 4
        order = np.argsort((away[:-1, :-1] + away[1:, 1:]).ravel())[::-1]
        polygons = np.stack(corners, axis=2).reshape(-1, 4, 2)
        self.facets.set_verts(polygons[order])  # type: ignore[arg-type]
        self.facets.set_facecolor(LANDSCAPE(ranks(centre[order], levels)))
        edge = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1), (-1, -1)], dtype=float)
        floor = self._seen(edge[:, 0], edge[:, 1], np.full(5, levels[0]))
        self.floor.set_data(floor[:, 0], floor[:, 1])

    def line(self, points: np.ndarray, heights: np.ndarray) -> np.ndarray:
        """Points (k, 2) of the plane at heights (k,), in the coordinates of the picture, (k, 2)."""
        return self._seen(points[:, 0], points[:, 1], heights)[:, :2]

    def _seen(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """To the right, up and away from the eye, (..., 3)."""
        low, high = self._heights
        up = 1.1 * (np.clip(z, low, high) - low) / (high - low) - 0.55
        return np.asarray(0.68 * np.stack([x, y, up], axis=-1) @ self._view.T)


def _rounded(*numbers: float) -> list[float]:
    """The numbers, with 0 for what is nothing beside the largest."""
    size = max(abs(number) for number in numbers)
    return [0.0 if abs(number) < 1e-6 * size else number for number in numbers]


def ranks(values: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Values to [0, 1] by their place among the levels."""
    return np.interp(values, levels, np.linspace(0.0, 1.0, len(levels)))


def common_levels(landscapes: Sequence[np.ndarray], count: int = 16, share: float = 1.0) -> np.ndarray:
    """Levels for landscapes that are compared: dense where many of their values lie.

    Parameters
    ----------
    landscapes : arrays
        Their finite values are taken together.
    count : int
        Steps between the levels.
    share : float
        The highest level is this quantile.

    Returns
    -------
    levels : (count + 1,) or fewer
        Increasing, at least two.
    """
    values = np.concatenate([np.ravel(each) for each in landscapes])
    values = values[np.isfinite(values)]
    levels = np.unique(np.quantile(values, np.linspace(0.0, share, count + 1)))
    if len(levels) < 2:  # a flat landscape
        return np.array([levels[0] - 1.0, levels[0] + 1.0])
    return np.asarray(levels)
