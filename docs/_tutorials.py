"""The notebooks as pages: without controls, which need a kernel, and without what a drawing call returns."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

__all__ = ["pages"]

_DRAWS = re.compile(r"(?:\.plot\(|^plt\.|\.set_\w+\().*\)$")
_CONTROLS = "pt.explore("
_NOTE = (
    "*Here a notebook shows controls, which need a kernel: `make lab` opens it. As a figure, without "
    "controls, a scene looks like those below and in the other notebooks.*"
)


def pages(folder: Path) -> dict[str, str]:
    """The sources of the pages by their path: the notebooks, and a page that lists them."""
    names = sorted(path.stem for path in folder.glob("*.ipynb"))
    index = "# Tutorials\n\nSeven short notebooks; `make lab` opens them.\n\n```{toctree}\n:maxdepth: 1\n\n"
    made = {"tutorials/index.md": index + "\n".join(names) + "\n```\n"}
    for name in names:
        notebook = json.loads((folder / f"{name}.ipynb").read_text())
        made[f"tutorials/{name}.ipynb"] = json.dumps(
            notebook | {"cells": _shown(notebook["cells"])}, indent=1
        )
    return made


def _shown(cells: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found = []
    for cell in cells:
        source = "".join(cell["source"])
        if cell["cell_type"] == "code" and _DRAWS.search(source.splitlines()[-1]):
            cell = cell | {"source": f"{source};"}
        found.append(cell)
        if cell["cell_type"] == "code" and _CONTROLS in source:
            cell["metadata"]["tags"] = ["remove-output"]
            note = {"cell_type": "markdown", "id": f"{cell['id']}-note", "metadata": {}, "source": _NOTE}
            found.append(note)
    return found
