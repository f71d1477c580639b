r"""Captions and numbers for the paper, and the mathematics of captions for the gallery.

A caption is plain text with mathematics between dollar signs, `the energy $\mathcal{F}^*$ at 5% noise`.
Outside the dollars every character means itself; inside them stands what matplotlib's mathtext and LaTeX both
read.
"""

from __future__ import annotations

import functools
import html
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib.font_manager import FontProperties
from matplotlib.path import Path as Outline
from matplotlib.textpath import TextPath

from experiments._result import write_atomically
from pctheory.plotting import style

if TYPE_CHECKING:
    from figures._figure import Drawn

_ESCAPES = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "%": r"\%",
    "&": r"\&",
    "#": r"\#",
    "_": r"\_",
    "×": r"\ensuremath{\times}",
    "≤": r"\ensuremath{\le}",
    "≥": r"\ensuremath{\ge}",
    "±": r"\ensuremath{\pm}",
    "∞": r"\ensuremath{\infty}",
    "–": "--",
}
# \ifcsname asks without defining, and an unknown key stops LaTeX: no number of the paper is typed by hand or
# empty.
_PCNUM = r"""\providecommand{\pcnum}[1]{%
  \ifcsname pcnum:#1\endcsname\csname pcnum:#1\endcsname
  \else\errmessage{pctheory: no figure defines the number #1}\fi}
"""


def write_tex(drawn: Sequence[Drawn], folder: Path) -> None:
    r"""Write `captions/<id>.tex`, and `numbers.tex` with `\pcnum{<id>/<key>}` for every number."""
    lines = [_PCNUM]
    for figure in drawn:
        first, rest, setting = (to_latex(part) for part in figure.parts)
        scale = rf"\emph{{{setting[:1].upper()}{setting[1:]}}}" if setting else ""
        parts = (rf"\textbf{{{first}}}", rest, scale)
        caption = " ".join(part for part in parts if part) + "%"
        write_atomically(folder / "captions" / f"{figure.id}.tex", caption + "\n")
        for key, value in figure.numbers.items():
            lines.append(
                rf"\expandafter\def\csname pcnum:{figure.id}/{key}\endcsname{{{format_number(value)}}}" + "\n"
            )
    write_atomically(folder / "numbers.tex", "".join(lines))


def to_latex(text: str) -> str:
    r"""LaTeX source of a caption.

    Examples
    --------
    >>> print(to_latex("5% of $x_1$ & more"))
    5\% of $x_1$ \& more
    """
    return "".join(
        f"${part}$" if is_math else "".join(_ESCAPES.get(c, c) for c in part)
        for part, is_math in _parts(text)
    )


def format_number(value: str | float) -> str:
    r"""LaTeX source of a number: strings as captions are, integers in full, floats to three digits.

    Examples
    --------
    >>> print(format_number(1234), format_number(0.5), format_number(1.5e-7))
    1234 \ensuremath{0.5} \ensuremath{1.5\times 10^{-7}}
    """
    if isinstance(value, str):
        return to_latex(value)
    if isinstance(value, int):
        return str(value)
    mantissa, _, exponent = f"{value:.3g}".partition("e")
    return (
        rf"\ensuremath{{{mantissa}\times 10^{{{int(exponent)}}}}}"
        if exponent
        else rf"\ensuremath{{{mantissa}}}"
    )


def to_html(text: str) -> str:
    """HTML of a caption, its formulas as inline SVG: the page needs no script and no font from elsewhere."""
    return "".join(_math_svg(part) if is_math else html.escape(part) for part, is_math in _parts(text))


def _parts(text: str) -> Iterator[tuple[str, bool]]:
    pieces = text.split("$")
    if len(pieces) % 2 == 0:
        raise ValueError(
            f"A caption must have its mathematics between two dollar signs. Got an odd one in {text!r}."
        )
    for index, piece in enumerate(pieces):
        if piece:
            yield piece, index % 2 == 1


@functools.cache
def _math_svg(source: str) -> str:
    size = 100.0
    try:
        with style():
            path = TextPath((0, 0), f"${source}$", prop=FontProperties(family="STIXGeneral"), size=size)
    except ValueError as error:
        raise ValueError(
            "What stands between dollar signs in a caption or title must be mathematics that matplotlib "
            rf"reads. Got ${source}$: write it with simpler commands."
        ) from error
    box = path.get_extents()
    bottom, top, width = min(box.y0, 0.0), max(box.y1, 0.0), box.x1 + 2
    letters = {
        int(Outline.MOVETO): "M",
        int(Outline.LINETO): "L",
        int(Outline.CURVE3): "Q",
        int(Outline.CURVE4): "C",
    }
    commands = []
    for vertices, code in path.iter_segments(curves=True, simplify=False):
        letter = letters.get(int(code), "Z")
        commands.append(letter if letter == "Z" else letter + " ".join(f"{v:.1f}" for v in vertices))
    # y points down in SVG, hence the flip; vertical-align puts the formula's base line on the text's
    return (
        f'<svg class="math" role="img" aria-label="{html.escape(source)}" '
        f'viewBox="0 {-top:.1f} {width:.1f} {top - bottom:.1f}" '
        f'style="width:{width / size:.3f}em;height:{(top - bottom) / size:.3f}em;'
        f'vertical-align:{bottom / size:.3f}em"><path transform="scale(1 -1)" d="{"".join(commands)}"/></svg>'
    )


def plain(text: str) -> str:
    """A caption or title without its dollars, for places that take no markup."""
    return re.sub(r"\$([^$]*)\$", r"\1", text)
