"""The table of claims in the README, generated."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from ._catalogue import Catalogue
from ._claim import Claim
from ._tests import ROOT, ClaimTest

__all__ = ["BEGIN", "END", "readme_block", "rewrite"]

BEGIN, END = "<!-- claims:begin -->", "<!-- claims:end -->"


def readme_block(catalogue: Catalogue, tests: Sequence[ClaimTest]) -> str:
    """The Markdown table: claim, module, test files, figures; one row a claim, grouped by section."""
    lines = ["| Claim | Module | Tests | Figures |", "|---|---|---|---|"]
    for heading, claims in catalogue.sections.items():
        lines.append(f"| **{heading}** | | | |")
        lines += [_row(claim, tests) for claim in claims]
    return "\n".join(lines)


def rewrite(path: Path, block: str) -> bool:
    """Put the block between the markers of the file; whether that changed it.

    Raises
    ------
    ValueError
        If the file has not one pair of markers.
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


def _row(claim: Claim, tests: Sequence[ClaimTest]) -> str:
    module = claim.module.replace(".", "/")
    place = f"{module}.py" if (ROOT / f"{module}.py").exists() else module
    files = sorted({test.path for test in tests if test.claim == claim.id})
    cells = [
        f"`{claim.id}`<br>{claim.title}",
        _links([(claim.module.removeprefix("pctheory."), place)]),
        _links((Path(file).stem.removeprefix("test_"), file) for file in files),
        _links((figure, f"figures/{figure.replace('-', '_')}.py") for figure in claim.figures),
    ]
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def _links(targets: Iterable[tuple[str, str]]) -> str:
    return ", ".join(f"[{name}]({target})" for name, target in targets)
