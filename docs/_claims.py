"""The catalogue of results: one page for each claim, and the table of all."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from pctheory.claims import Catalogue, Claim
from pctheory.claims._claim import EVIDENCE
from pctheory.claims._tests import ROOT, ClaimTest

__all__ = ["pages", "theorems"]

_LABEL = re.compile(r"\\label\{(?:thm|clm):([^}]*)\}")
_NUMBER = re.compile(r"\\newlabel\{(?:thm|clm):([^}]*)\}\{\{([^{}]*)\}\{[^{}]*\}\{.*?\}\{([^{}]*)\}\{")
_KINDS = (
    "has tests of up to three kinds that share no code. **S**, symbolic: derived by computer algebra from "
    "the energy. **N**, numerical: the closed form against dense algebra and differences. **E**, empirical: "
    "real inference and training. `python -m pctheory.claims verify` runs them all."
)
_ROADS = {
    "symbolic": "Derived by computer algebra from the definition of the energy.",
    "numerical": "The closed form against dense linear algebra, automatic or finite differences.",
    "empirical": "Measured in torch, with real inference or training.",
}


def pages(
    catalogue: Catalogue,
    tests: Sequence[ClaimTest],
    places: Mapping[str, str],
    pictures: Mapping[str, str],
    root: Path = ROOT,
) -> dict[str, str]:
    """The sources of the pages, in Markdown, by their path.

    `places` says in Markdown where in the paper a claim is stated (`theorems`); `pictures` shows a figure.
    """
    made = {"claims/index.md": _index(catalogue)}
    for heading, claims in catalogue.sections.items():
        for claim in claims:
            own = [test for test in tests if test.claim == claim.id]
            made[f"claims/{claim.id}.md"] = _page(claim, heading, own, places, pictures, root)
    return made


def theorems(paper: Path) -> dict[str, str]:
    """Where the paper states and proves each claim: with number and link if it was built."""
    links = {}
    for built in sorted((paper / "build").glob("*.aux")):
        for name, number, anchor in _NUMBER.findall(built.read_text()):
            links[name] = f'<a href="../paper/{built.stem}.pdf#{anchor}">Theorem {number}</a>'
    found = {}
    for path in sorted((paper / "sections").glob("*.tex")):
        for name in _LABEL.findall(path.read_text()):
            found[name] = f"{links.get(name, f'`thm:{name}`')}, in `paper/sections/{path.name}`"
    return found


def _index(catalogue: Catalogue) -> str:
    parts = [
        "# Claims",
        f"The {len(catalogue)} results of the theory: theorems of the paper, and measurements. Each {_KINDS}",
    ]
    for heading, claims in catalogue.sections.items():
        parts += [f"## {heading}", _table(claims)]
    names = "\n".join(catalogue)
    return "\n\n".join([*parts, f"```{{toctree}}\n:hidden:\n\n{names}\n```"]) + "\n"


def _table(claims: Sequence[Claim]) -> str:
    letters = " | ".join(kind[0].upper() for kind in EVIDENCE)
    rows = [f"| Claim | {letters} | Source |", "|---|:-:|:-:|:-:|---|"]
    for claim in claims:
        ticks = " | ".join("✓" if kind in claim.evidence else "" for kind in EVIDENCE)
        rows.append(f"| [{claim.title}]({claim.id}.md) | {ticks} | {claim.source} |")
    return "\n".join(rows)


def _page(
    claim: Claim,
    heading: str,
    tests: Sequence[ClaimTest],
    places: Mapping[str, str],
    pictures: Mapping[str, str],
    root: Path,
) -> str:
    measured = claim.where.startswith("experiments.")
    facts = {
        "Assumptions": claim.assumptions,
        "Source": claim.source,
        "Measured by" if measured else "Computed by": f"{'' if measured else '{py:obj}'}`{claim.where}`",
        "In the paper": places.get(claim.id, "not stated"),
    }
    statement = f":::{{admonition}} Statement\n:class: statement\n\n{claim.statement}\n:::"
    parts = [f"# {claim.title}", f"`{claim.id}` · {heading}", statement]
    parts += [f"**{name}:** {text}" for name, text in facts.items()]
    if claim.figures:
        shown = "".join(pictures.get(name, f"<code>{name}</code>") for name in claim.figures)
        parts += ["## Seen in", f'<div class="figures">{shown}</div>']
    parts += ["## Tests", f"`python -m pctheory.claims verify {claim.id}` runs them."]
    for kind in EVIDENCE:
        own = [test for test in tests if test.evidence == kind]
        if own:
            parts += [f"### {kind.capitalize()}", _ROADS[kind], *(_test(test, root) for test in own)]
    return "\n\n".join(parts) + "\n"


def _test(test: ClaimTest, root: Path) -> str:
    """The name of a test, which says what it finds; its source can be opened."""
    name = test.name.rpartition("::")[2].removeprefix("test_").replace("_", " ")
    return (
        f"<details><summary>{name[:1].upper()}{name[1:]}</summary>\n\n`{test.path}`, line {test.line}\n\n"
        f"````python\n{_source(root / test.path, test.line)}\n````\n\n</details>"
    )


def _source(path: Path, line: int) -> str:
    """The function that starts at a line of a file, with its decorators."""
    node = _functions(path)[line]
    first = min([line, *(decorator.lineno for decorator in node.decorator_list)])
    return "\n".join(path.read_text().splitlines()[first - 1 : node.end_lineno])


@cache
def _functions(path: Path) -> dict[int, ast.FunctionDef]:
    """The functions of a file by the line of their `def`."""
    tree = ast.parse(path.read_text())
    return {node.lineno: node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
