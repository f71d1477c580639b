"""`python -m docs`: write the sources of the site, then build it.

Needs `pip install pctheory[docs]`. The notebooks are run, and their output is kept until they change;
DOCS_NOTEBOOKS=off shows them without. Figures that were drawn before, and the paper if it was built, are
part of the site.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from docs import _claims, _gallery, _landscape, _reference, _tutorials
from figures._figure import Drawn, read_drawn
from figures._sections import reading_order
from pctheory.claims import claims
from pctheory.claims._tests import find_tests

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
FIGURES = ROOT / "figures" / "out"
PAPER = ROOT / "paper"
_OUTSIDE = re.compile(r"""<(?:script|link|img|iframe)\b[^>]*\b(?:src|href)\s*=\s*["'](?:https?:)?//[^>]*>""")


def main(argv: Sequence[str] | None = None) -> int:
    """Build the site; 1 if Sphinx warns, or if a page needs the network."""
    parser = argparse.ArgumentParser(
        prog="python -m docs", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=HERE / "_build", help="folder (default: docs/_build)")
    out = parser.parse_args(argv).out.resolve()
    from sphinx.cmd.build import main as sphinx

    drawn, order, html = read_drawn(FIGURES), reading_order(), out / "html"
    write(out / "source", sources(drawn, order))
    os.environ.setdefault("SOURCE_DATE_EPOCH", "0")
    os.environ.pop("MPLBACKEND", None)  # in a notebook figures are shown
    options = ["-W", "--keep-going", "-q", "-j", "auto", "-c", str(HERE), "-d", str(out / "doctrees")]
    status = sphinx([*options, str(out / "source"), str(html)])
    _gallery.copy_gallery(drawn, FIGURES, html / "gallery", order)
    for built in (PAPER / "build").glob("*.pdf"):
        (html / "paper").mkdir(exist_ok=True)
        shutil.copy2(built, html / "paper")
    outside = [line for path in sorted(html.rglob("*.html")) for line in needs_network(path)]
    if outside:
        print("The site must be readable offline. It loads:", *outside, sep="\n  ", file=sys.stderr)
    print(html / "index.html", file=sys.stderr)
    return int(status != 0 or bool(outside))


def sources(drawn: Sequence[Drawn], order: Mapping[str, str]) -> dict[str, str | bytes]:
    """Every file that Sphinx reads, by its path: those of `docs/pages`, and those made from the project."""
    found: dict[str, str | bytes] = {path.name: path.read_text() for path in (HERE / "pages").glob("*.md")}
    found["hero.png"] = (HERE / "hero.png").read_bytes()
    found["index.md"] = str(found["index.md"]).replace("LANDSCAPE", _landscape.block(_landscape.film()))
    found["figures.md"] = _gallery.page(drawn, order)
    pictures = {figure.id: _gallery.thumbnail(figure, up="../") for figure in drawn}
    return (
        found
        | _tutorials.pages(ROOT / "experiments" / "notebooks")
        | _reference.pages()
        | _claims.pages(claims, find_tests(), _claims.theorems(PAPER), pictures)
    )


def write(folder: Path, files: Mapping[str, str | bytes]) -> None:
    """Make the folder hold these files. One that does not change keeps its time, so that Sphinx skips it."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.relative_to(folder).as_posix() not in files:
            path.unlink()
    for name, content in files.items():
        path, data = folder / name, content if isinstance(content, bytes) else content.encode()
        if not path.exists() or path.read_bytes() != data:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)


def needs_network(path: Path) -> list[str]:
    """What a page loads from elsewhere: scripts, styles, pictures, frames."""
    return [f"{path.name}: {found[0]}" for found in _OUTSIDE.finditer(path.read_text())]


if __name__ == "__main__":
    sys.exit(main())
