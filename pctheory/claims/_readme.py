"""The table of claims in the README, generated."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from pathlib import Path

from ._catalogue import Catalogue
from ._claim import Claim
from ._tests import ROOT, ClaimTest

__all__ = ["BEGIN", "END", "readme_block", "rewrite", "source_file"]

BEGIN, END = "<!-- claims:begin -->", "<!-- claims:end -->"


def readme_block(catalogue: Catalogue, tests: Sequence[ClaimTest]) -> str:
    """The Markdown table, one row for each claim: where it is computed, its test files and its figures.

    Parameters
    ----------
    catalogue : Catalogue
        The claims, by id.
    tests : sequence of ClaimTest
        From `find_tests`.

    Returns
    -------
    str
        Lines joined by line breaks, without the markers.
    """
    lines = ["| Claim | Computed by | Tests | Figures |", "|---|---|---|---|"]
    for heading, claims in catalogue.sections.items():
        lines.append(f"| **{heading}** | | | |")
        lines += [_row(claim, tests) for claim in claims]
    return "\n".join(lines)


def rewrite(path: Path, block: str) -> bool:
    """Put the block between the markers of the file.

    Parameters
    ----------
    path : Path
        The file.
    block : str
        What goes between the markers.

    Returns
    -------
    bool
        Whether the file changed.

    Raises
    ------
    ValueError
        If the file does not hold exactly one pair of markers.
    """
    text = path.read_text()
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise ValueError(
            f"`{path.name}` must hold the lines `{BEGIN}` and `{END}` once each, in this order: "
            "the table of claims goes between them."
        )
    head, _, rest = text.partition(BEGIN)
    tail = rest.partition(END)[2]
    new = f"{head}{BEGIN}\n{block}\n{END}{tail}"
    if new != text:
        path.write_text(new)
    return new != text


def source_file(claim: Claim) -> str:
    """The file that defines the object named by `claim.where`, from the root of the checkout.

    Parameters
    ----------
    claim : Claim
        One claim of the catalogue.

    Returns
    -------
    str
        A path with forward slashes.

    Examples
    --------
    >>> from pctheory.claims import claims
    >>> source_file(claims["error-coordinates"])
    'pctheory/inference/error_coordinates.py'
    """
    # a decorated function is found where it is written, not where its decorator is
    file = inspect.getsourcefile(inspect.unwrap(claim.resolve()))  # type: ignore[arg-type]
    return Path(file or "").resolve().relative_to(ROOT).as_posix()


def _row(claim: Claim, tests: Sequence[ClaimTest]) -> str:
    files = sorted({test.path for test in tests if test.claim == claim.id})
    cells = [
        f"`{claim.id}`<br>{claim.title}",
        _links([(claim.where.removeprefix("pctheory."), source_file(claim))]),
        _links((Path(file).stem.removeprefix("test_"), file) for file in files),
        _links((figure, f"figures/{figure.replace('-', '_')}.py") for figure in claim.figures),
    ]
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def _links(targets: Iterable[tuple[str, str]]) -> str:
    return ", ".join(f"[{name}]({target})" for name, target in targets)
