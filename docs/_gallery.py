"""The figures that were drawn, on the pages of the site and in a gallery of their own."""

from __future__ import annotations

import html
import shutil
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path

from figures._figure import THUMB_DPI, Drawn
from figures._gallery import write_gallery
from figures._sections import OTHERS
from figures._tex import plain

__all__ = ["copy_gallery", "page", "thumbnail"]

_NONE = (
    "No figure is drawn yet: `make figures` draws them all from the stored results, in minutes, and the "
    "next `make docs` shows them here and on the pages of the claims."
)


def page(drawn: Sequence[Drawn], order: Mapping[str, str]) -> str:
    """The page of all figures, in Markdown: a small picture of each, by the sections of the paper."""
    parts = ["# Figures"]
    if not drawn:
        return "\n\n".join([*parts, _NONE]) + "\n"
    parts.append(
        '<a href="gallery/index.html"><strong>Open the gallery</strong></a>: captions, verdicts against the '
        "published outcomes, search, sources. A picture below leads to its place there. "
        "`make figures FIG=hero-landscape` draws one figure."
    )
    rank = {name: k for k, name in enumerate(order)}
    shown = sorted(drawn, key=lambda d: (rank.get(d.id, len(rank)), d.id))
    for heading, figures in groupby(shown, key=lambda d: order.get(d.id, OTHERS)):
        parts += [f"## {heading}", f'<div class="figures">{"".join(thumbnail(d) for d in figures)}</div>']
    return "\n\n".join(parts) + "\n"


def thumbnail(drawn: Drawn, up: str = "") -> str:
    """A small picture that leads to its place in the gallery, in HTML; `up` is the way to the first page."""
    width, height = (round(THUMB_DPI * side) for side in drawn.size)
    size = f'width="{width}" height="{height}"'
    image = f'<img src="{up}gallery/{drawn.id}.thumb.png" {size} alt="" loading="lazy">'
    title = f"<span>{html.escape(plain(drawn.title))}</span>"
    return f'<a class="figure" href="{up}gallery/index.html#{drawn.id}">{image}{title}</a>'


def copy_gallery(drawn: Sequence[Drawn], source: Path, target: Path, order: Mapping[str, str]) -> None:
    """The gallery as a folder of the site, without links to sources that are not there."""
    if not drawn:
        return
    target.mkdir(parents=True, exist_ok=True)
    for figure in drawn:
        for suffix in ("png", "thumb.png", "pdf"):
            if (source / f"{figure.id}.{suffix}").exists():
                shutil.copy2(source / f"{figure.id}.{suffix}", target)
    write_gallery(drawn, target, None, order)
