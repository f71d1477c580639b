"""`pctheory`, or `python -m pctheory`: the commands of the package, and in a checkout those of its figures.

pctheory claims      the catalogue of results; verify them (in a checkout)
pctheory datasets    put the data sets where `load_dataset` finds them
pctheory explore     open the scenes in JupyterLab
pctheory figures     draw the figures, computing what is missing (in a checkout)
pctheory experiments compute results (in a checkout)

`pctheory COMMAND --help` says more of each.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from pctheory import __version__, _check

COMMANDS = {
    "claims": "pctheory.claims.__main__",
    "datasets": "pctheory.datasets._fetch",
    "explore": "pctheory.explore.__main__",
    "figures": "figures.__main__",
    "experiments": "experiments.__main__",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one of the commands and return its exit status; 2 for an unknown one, 130 if interrupted."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ("-h", "--help"):
        print(__doc__)
        return 0 if words else 2
    if words[0] == "--version":
        print(__version__)
        return 0
    name, rest = words[0], words[1:]
    if name not in COMMANDS:
        print(
            f"The command must be one of {', '.join(COMMANDS)}. Got {name}.{_check.meant(name, COMMANDS)}",
            file=sys.stderr,
        )
        return 2
    package = COMMANDS[name].partition(".")[0]
    if package != "pctheory":
        sys.path.insert(0, os.getcwd())
        spec = importlib.util.find_spec(package)
        if spec is None or not (Path(str(spec.origin)).parent.parent / "pctheory").is_dir():
            print(
                f"`pctheory {name}` needs a checkout of the project, and to be called in its top folder.",
                file=sys.stderr,
            )
            return 2
    try:
        module = importlib.import_module(COMMANDS[name])
    except ModuleNotFoundError as missing:
        print(
            f"`pctheory {name}` needs {missing.name}, which is not installed: "
            "`pip install pctheory[all]` has all of it.",
            file=sys.stderr,
        )
        return 2
    try:
        return int(module.main(rest))
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
