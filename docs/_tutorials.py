"""The notebooks as pages. Controls need a kernel, so a page says where they are in their place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

__all__ = ["pages"]

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
        made[f"tutorials/{name}.ipynb"] = json.dumps(_without_controls(notebook), indent=1)
    return made


def _without_controls(notebook: dict[str, Any]) -> dict[str, Any]:
    cells = []
    for cell in notebook["cells"]:
        cells.append(cell)
        if cell["cell_type"] == "code" and _CONTROLS in "".join(cell["source"]):
            cell["metadata"]["tags"] = ["remove-output"]
            note = {"cell_type": "markdown", "id": f"{cell['id']}-note", "metadata": {}, "source": _NOTE}
            cells.append(note)
    return notebook | {"cells": cells}
