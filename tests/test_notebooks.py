"""The notebooks: paired with their percent files, without outputs. `make notebooks` runs them in a kernel.

Their controls are those of `pctheory.explore`, whose callbacks `test_explore.py` calls: an error behind a
slider is printed and swallowed in a notebook.
"""

import json
from pathlib import Path

import jupytext
import pytest

NOTEBOOKS = Path(__file__).parent.parent / "experiments" / "notebooks"
PAIRS = sorted(path.stem for path in NOTEBOOKS.glob("*.py"))


def test_every_notebook_has_its_percent_file():
    assert sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb")) == PAIRS
    assert PAIRS


@pytest.mark.parametrize("name", PAIRS)
def test_the_two_files_of_a_notebook_are_in_step(name):
    text = jupytext.read(NOTEBOOKS / f"{name}.py")
    notebook = jupytext.read(NOTEBOOKS / f"{name}.ipynb")
    assert [(c.cell_type, c.source) for c in text.cells] == [
        (c.cell_type, c.source) for c in notebook.cells
    ], f"run `jupytext --sync experiments/notebooks/{name}.py`"


@pytest.mark.parametrize("name", PAIRS)
def test_notebooks_are_committed_without_outputs(name):
    cells = json.loads((NOTEBOOKS / f"{name}.ipynb").read_text())["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)


@pytest.mark.parametrize("name", PAIRS)
def test_a_notebook_shows_a_picture_before_it_explains(name):
    cells = json.loads((NOTEBOOKS / f"{name}.ipynb").read_text())["cells"]
    kinds = [cell["cell_type"] for cell in cells]
    assert kinds[:2] == ["markdown", "code"]
    assert "".join(cells[0]["source"]).startswith("# ")
    assert len(cells) <= 20
