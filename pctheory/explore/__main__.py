"""Open the scenes in JupyterLab: `pctheory explore`, or `python -m pctheory.explore`."""

from __future__ import annotations

import argparse
import importlib.util
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

CELL = "import pctheory as pt\n\npt.explore()  # or pt.explore(net, data), with your own"


def main(argv: Sequence[str] | None = None) -> int:
    """Write a notebook of one cell, unless it is there, and open it; 2 without JupyterLab."""
    parser = argparse.ArgumentParser(prog="pctheory explore", description=__doc__)
    parser.add_argument(
        "notebook",
        nargs="?",
        type=Path,
        default=Path("explore.ipynb"),
        help="opened if it is there, else written first (default: explore.ipynb, in this folder)",
    )
    parser.add_argument("--no-open", action="store_true", help="write it only")
    options = parser.parse_args(argv)
    if not options.notebook.exists():
        options.notebook.write_text(json.dumps(notebook(), indent=1) + "\n")
        print(f"{options.notebook}: written", file=sys.stderr)
    if options.no_open:
        return 0
    if importlib.util.find_spec("jupyterlab") is None:
        print(
            "JupyterLab is not installed: `pip install pctheory[notebook]`. "
            f"Or open {options.notebook} in any other editor of notebooks.",
            file=sys.stderr,
        )
        return 2
    return subprocess.call([sys.executable, "-m", "jupyterlab", str(options.notebook)])


def notebook() -> dict[str, object]:
    """A notebook of one cell, as nbformat 4 has it."""
    cell: dict[str, object] = {
        "cell_type": "code",
        "execution_count": None,
        "id": "explore",
        "metadata": {},
        "outputs": [],
        "source": CELL.splitlines(keepends=True),
    }
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {"cells": [cell], "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}


if __name__ == "__main__":
    sys.exit(main())
