"""Small tables and drawings in HTML, for what a notebook shows of an object: nothing is computed here.

Colours are those of the page (`currentColor`), so that they read on a light ground and on a dark one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from itertools import pairwise

import numpy as np

BLUE = "#3f90da"


def card(title: str, facts: Mapping[str, object], *drawings: str) -> str:
    """A title, drawings and facts.

    Parameters
    ----------
    title : str
        In bold.
    facts : mapping from name to value
        Shown as text.
    *drawings : str
        HTML.

    Returns
    -------
    str
        HTML.
    """
    cell = "text-align:left;vertical-align:top"
    rows = "".join(
        f"<tr><td style='{cell};opacity:.7'>{escape(name)}</td>"
        f"<td style='{cell}'>{escape(str(value))}</td></tr>"
        for name, value in facts.items()
    )
    return f"<div><b>{escape(title)}</b>{''.join(drawings)}<table>{rows}</table></div>"


def table(head: Iterable[object], rows: Iterable[Iterable[object]]) -> str:
    """A table of text; the first column is to the left, the others to the right.

    Parameters
    ----------
    head : iterable of cells
        Shown as text.
    rows : iterable of rows of cells
        Shown as text.

    Returns
    -------
    str
        HTML.
    """

    def line(cells: Iterable[object], tag: str) -> str:
        side = ("left", "right")
        return "".join(
            f"<{tag} style='text-align:{side[i > 0]}'>{escape(str(cell))}</{tag}>"
            for i, cell in enumerate(cells)
        )

    body = "".join(f"<tr>{line(row, 'td')}</tr>" for row in rows)
    return f"<table><tr>{line(head, 'th')}</tr>{body}</table>"


def sparkline(values: Sequence[float] | np.ndarray, width: int = 220, height: int = 36) -> str:
    """A line through the finite values, at most 200 of them, as SVG."""
    line = np.asarray(values, dtype=np.float64).ravel()
    line = line[np.isfinite(line)]
    line = line[np.linspace(0, len(line) - 1, 200).astype(int)] if len(line) > 200 else line
    if len(line) < 2:
        return ""
    span = float(np.ptp(line)) or 1.0
    across = np.linspace(2, width - 2, len(line))
    down = 2 + (height - 4) * (line.max() - line) / span
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(across, down, strict=True))
    return _svg(
        width, height, f"<polyline points='{points}' fill='none' stroke='{BLUE}' stroke-width='1.5'/>"
    )


def layers(widths: Sequence[int], skips: Sequence[bool]) -> str:
    """A network as SVG: a bar for each layer, as tall as the logarithm of its width; arcs are skips."""
    step, height = max(14, min(44, 560 // max(len(widths), 1))), 74
    tall = [12 + 40 * np.log1p(n) / np.log1p(max(widths)) for n in widths]
    x = [10 + step * i for i in range(len(widths))]
    shapes = [
        f"<line x1='{a + 5}' y1='46' x2='{b - 5}' y2='46' stroke='currentColor' stroke-opacity='.5'/>"
        for a, b in pairwise(x)
    ]
    shapes += [
        f"<path d='M{a},16 Q{(a + b) / 2},-2 {b},16' fill='none' stroke='{BLUE}'/>"
        for (a, b), skip in zip(pairwise(x), skips, strict=True)
        if skip
    ]
    shapes += [
        f"<rect x='{a - 5}' y='{46 - t / 2:.1f}' width='10' height='{t:.1f}' rx='3' fill='{BLUE}' "
        f"fill-opacity='{1 if 0 < i < len(x) - 1 else 0.45}'/>"
        for i, (a, t) in enumerate(zip(x, tall, strict=True))
    ]
    return _svg(x[-1] + 12, height, "".join(shapes))


def _svg(width: int, height: int, shapes: str) -> str:
    """A drawing on a line of its own, smaller where the page is narrower."""
    return (
        f"<br><svg width='{width}' viewBox='0 0 {width} {height}' style='max-width:100%;height:auto'>"
        f"{shapes}</svg>"
    )


def brief(numbers: Sequence[object], each: str = "layer") -> str:
    """Numbers, one for `each`, as text; cut in the middle if many, and one number if all are the same."""
    shown = [f"{n:.4g}" if isinstance(n, float) else str(n) for n in numbers]
    if len(set(shown)) == 1 and len(shown) > 1:
        return f"{shown[0]} in every {each}"
    return ", ".join(shown if len(shown) <= 8 else [*shown[:4], "...", *shown[-3:]])
