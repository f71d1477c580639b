r"""Write what the paper takes from the code: `python -m paper.generate`.

It needs the verdicts of `python -m pctheory.claims verify`.

generated/ticks.tex         a mark for each claim and check, from the verdicts of the tests
generated/claims.tex        the supplement's table of all claims and their tests, from the catalogue
generated/derivations.tex   derivations of `pctheory.symbolic`, step by step, for the file of derivations

Captions and numbers come from `python -m figures`.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments._result import write_atomically
from figures._tex import to_latex
from pctheory import symbolic
from pctheory.claims import Catalogue, Claim, claims
from pctheory.claims._claim import EVIDENCE
from pctheory.claims._tests import ClaimTest, find_tests, source_file

GENERATED = Path(__file__).resolve().parent / "generated"

LEGIBLE = 260
"""Characters of the longest formula that can be read when it is shrunk to the width of the text."""


def main(argv: Sequence[str] | None = None) -> int:
    """Write the three files; 2 when there are no verdicts."""
    parser = argparse.ArgumentParser(
        prog="python -m paper.generate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.parse_args(argv)
    verdicts = GENERATED / "verdicts.json"
    if not verdicts.exists():
        print(
            "The ticks need the verdicts of the tests: run `python -m pctheory.claims verify`.",
            file=sys.stderr,
        )
        return 2
    tests = find_tests()
    derived = symbolic.derivations()
    text = ticks(claims, json.loads(verdicts.read_text()), num_derivations=len(derived))
    write_atomically(GENERATED / "ticks.tex", text)
    write_atomically(GENERATED / "claims.tex", table(claims, tests))
    write_atomically(GENERATED / "derivations.tex", derivations(claims, derived))
    return 0


def ticks(catalogue: Catalogue, verdicts: Mapping[str, Any], num_derivations: int) -> str:
    r"""`\pctick:<id>` for every claim with a verdict, and `\pcnum{claims/...}` about the run as a whole."""
    records = {claim: kinds for claim, kinds in verdicts["claims"].items() if claim in catalogue}
    lines = []
    for claim, kinds in records.items():
        marks = r"\,".join(
            rf"\pctickmark{{{kind[0].upper()}}}{{{kinds[kind]['verdict']}}}" for kind in EVIDENCE
        )
        lines.append(rf"\expandafter\def\csname pctick:{claim}\endcsname{{{marks}}}")
    every = [record for kinds in records.values() for record in kinds.values()]
    tests = {test for record in every for test in record["tests"]}
    passed = Counter(
        sum(record["verdict"] == "passed" for record in kinds.values()) for kinds in records.values()
    )
    numbers = {
        "claims": len(records),
        "checks": sum(record["verdict"] == "passed" for record in every),
        "three-checks": passed[3],
        "two-checks": passed[2],
        "one-check": passed[1],
        "tests": len(tests),
        "derivations": num_derivations,
        "seconds": f"{verdicts['seconds']:.0f}",
    }
    lines += [
        rf"\expandafter\def\csname pcnum:claims/{key}\endcsname{{{value}}}" for key, value in numbers.items()
    ]
    return "\n".join(lines) + "\n"


def table(catalogue: Catalogue, tests: Sequence[ClaimTest]) -> str:
    """A long table: the claim with its ticks, its place and source, what computes it and its tests."""
    lines = [
        r"{\footnotesize\setlength{\tabcolsep}{4pt}",
        (
            r"\begin{longtable}"
            r"{@{}>{\raggedright}p{2.05in}>{\raggedright}p{1.4in}>{\raggedright\arraybackslash}p{1.83in}@{}}"
        ),
        r"\toprule claim & result and source & computed by, tests \\ \midrule\endhead \bottomrule\endfoot",
    ]
    for heading, group in catalogue.sections.items():
        lines.append(rf"\multicolumn{{3}}{{@{{}}l}}{{\bfseries {to_latex(heading)}}} \\*[1pt]")
        lines += [_row(claim, tests) for claim in group]
    return "\n".join([*lines, r"\end{longtable}}"]) + "\n"


def _row(claim: Claim, tests: Iterable[ClaimTest]) -> str:
    counts = Counter(test.path.rpartition("/")[2] for test in tests if test.claim == claim.id)
    files = r"\newline ".join(
        rf"\texttt{{{_breakable(name)}}}~({count})" for name, count in sorted(counts.items())
    )
    place = r".\allowbreak{}".join(map(_breakable, claim.where.removeprefix("pctheory.").split(".")))
    cells = [
        (
            rf"\hypertarget{{claim:{claim.id}}}{{}}\pcticks{{{claim.id}}} \texttt{{{claim.id}}}"
            rf"\newline {to_latex(claim.title)}"
        ),
        rf"\cref{{thm:{claim.id}}}\newline {to_latex(claim.source)}",
        rf"\href{{../../{source_file(claim)}}}{{\texttt{{{place}}}}}\newline {files}",
    ]
    return " & ".join(cells) + r" \\ \addlinespace[4pt]"


def _breakable(name: str) -> str:
    """The name with a place to break the line after each underscore."""
    return to_latex(name).replace(r"\_", r"\_\allowbreak{}")


def kinds(table: symbolic.Derivations) -> list[list[symbolic.Case]]:
    """For each family of derivations the case to print, and one to print if that is too long.

    The first choice is the smallest network that has a hidden layer or a matrix, and takes a step; the second
    the first case of the family.

    Parameters
    ----------
    table : Derivations

    Returns
    -------
    list of lists of Case
        One or two for each family.
    """
    chosen = []
    for family in table.families:
        group = [case for case in table if case.family is family]
        first = next((case for case in group if not _trivial(case)), group[0])
        chosen.append([first] if first is group[0] else [first, group[0]])
    return chosen


def _trivial(case: symbolic.Case) -> bool:
    """Whether no layer is hidden, no step is taken, or every layer has one unit."""
    widths = case.parameters.get("widths", (2,))
    return max(widths) < 2 or 0 in (case.parameters.get(name) for name in ("hidden_layers", "num_steps"))


def legible(derivation: symbolic.Derivation) -> bool:
    """Whether every displayed formula can be shrunk to the width of the text and still be read."""
    displays = re.findall(r"\\begin\{align\*\}(.*?)\\end\{align\*\}", derivation.to_latex(), re.DOTALL)
    lines = [line for display in displays for line in re.split(r"\\\\ &", display)]
    return all(len(re.sub(r"\\[a-zA-Z]+|[{}_^&\s]", "", line)) <= LEGIBLE for line in lines)


def derivations(catalogue: Catalogue, table: symbolic.Derivations) -> str:
    """One derivation of each family, in the order of the catalogue, one subsection a claim.

    Parameters
    ----------
    catalogue : Catalogue
    table : Derivations
        Those to choose from.

    Returns
    -------
    str
        LaTeX: premises are items that start with the word Given, steps are numbered.
    """
    groups = kinds(table)
    lines = []
    for claim in catalogue.values():
        own = [group for group in groups if group[0].claim == claim.id]
        built = [next(filter(legible, (case.derive() for case in group)), None) for group in own]
        if any(built):
            lines.append(rf"\subsection*{{{to_latex(claim.title)} (\suppref{{thm:{claim.id}}})}}")
            lines += [derivation.to_latex() for derivation in built if derivation is not None]
    return "\n\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
