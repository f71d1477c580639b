"""The reading order of the figures: that of the paper's supplement, which shows all of them."""

from __future__ import annotations

import re
from pathlib import Path

PAPER = Path(__file__).resolve().parent.parent / "paper"
OVERVIEW = "Overview"
"""The section of the introduction's figures and of the summary."""
OTHERS = "More"
"""The section of figures that the paper does not show."""
_PLACES = re.compile(r"\\section\{([^{}]*)\}|\\pcfigure(?:\[[^]]*\])?\{([^{}]*)\}")


def reading_order(paper: Path = PAPER) -> dict[str, str]:
    r"""Figure ids in the order of the paper, each with the title of its section.

    Read from the ``\pcsection`` of `supplement.tex` and the ``\section`` and ``\pcfigure`` of each section;
    empty where there is no paper.
    """
    supplement = paper / "supplement.tex"
    if not supplement.exists():
        return {}
    order: dict[str, str] = {}
    title = OTHERS
    for name in re.findall(r"\\pcsection\{(\w+)\}", supplement.read_text()):
        for heading, figure in _PLACES.findall((paper / "sections" / f"{name}.tex").read_text()):
            title = OVERVIEW if name == "introduction" else heading or title
            if figure:
                order.setdefault(figure, title)
    return order
