"""`python -m pctheory.claims`: the table of claims, and their verification.

python -m pctheory.claims                       the catalogue: ids, evidence and sources
python -m pctheory.claims verify [ID ...]       run the tests of claims: a verdict for each check
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from .. import _check
from . import claims
from ._tests import ROOT
from ._verify import verify

VERDICTS = ROOT / "paper" / "generated" / "verdicts.json"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status: 0, 1 (not verified) or 2 (wrong argument)."""
    options = _parser().parse_args(argv)
    try:
        if options.command == "verify":
            return _verify(options)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    print(claims)
    return 0


def _verify(options: argparse.Namespace) -> int:
    if unknown := [name for name in options.ids if name not in claims]:
        raise ValueError(
            f"`ID` must be the id of a claim. Got {', '.join(map(repr, unknown))}: "
            f"`python -m pctheory.claims` lists them.{_check.meant(unknown[0], claims)}"
        )
    if options.jobs < 1:
        raise ValueError(f"`--jobs` must be 1 or more. Got {options.jobs}.")
    verdicts = verify([claims[name] for name in options.ids or claims], jobs=options.jobs)
    print(verdicts)
    # The paper's ticks come from one run over everything, never from pieces of several.
    target = options.out or (None if options.ids else VERDICTS)
    if target is not None:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(verdicts.to_json())
    return 0 if verdicts.ok else 1


def _parser() -> argparse.ArgumentParser:
    description = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        prog="python -m pctheory.claims",
        description=description[0],
        epilog=description[2],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", metavar="verify")
    check = commands.add_parser("verify", help="run the tests of claims")
    check.add_argument("ids", nargs="*", metavar="ID", help="claims (default: all)")
    check.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="processes (default: all cores)"
    )
    check.add_argument(
        "--out",
        type=Path,
        help="write the verdicts here, as JSON (default, for all claims: the paper's folder)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
