"""The notebooks: paired with their percent files, without outputs, and every setting of their controls
computes.

`make notebooks` runs them in a kernel. That alone would not see an error behind a slider, which ipywidgets
prints and swallows: here the functions behind the sliders are called.
"""

import importlib.util
import json
from itertools import pairwise
from pathlib import Path

import ipywidgets
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


@pytest.fixture(scope="module")
def explore():
    """The module explore_landscapes, without its sliders, and the list of what it displays."""
    spec = importlib.util.spec_from_file_location("explore_landscapes", NOTEBOOKS / "explore_landscapes.py")
    module, shown = importlib.util.module_from_spec(spec), []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ipywidgets, "interact", lambda *_, **__: None)
        spec.loader.exec_module(module)
    module.display = shown.append
    return module, shown


@pytest.mark.parametrize("time", [0.0, 0.5, 20.0])
def test_the_deforming_landscape_is_drawn_for_every_inference_time(explore, time):
    module, shown = explore
    before = len(shown)
    module.deformation(depth=3, first_factor=-1.5, correlation=0.5, time=time, points=5)
    assert len(shown) == before + 1


def test_the_energy_falls_from_the_loss_to_the_equilibrated_energy_as_inference_runs(explore):
    module, _ = explore
    net, data = module.chain(4, 0.8, 1.3, -1.0), module.scalar_data(0.4)
    values = [module.energy_at(net, data, time) for time in (0.0, 0.1, 0.5, 2.0, 20.0, float("inf"))]
    assert all(a > b for a, b in pairwise(values))
    assert values[-2] == pytest.approx(values[-1], rel=1e-3)


@pytest.mark.claim("strict-saddles")
@pytest.mark.parametrize("kind", ["origin", "zero rank", "one direction learned"])
def test_every_saddle_of_the_notebook_is_critical_and_strict(explore, kind, capsys):
    module, shown = explore
    net, data = module.saddle(kind, 4, 0)
    point = module.classify_critical_point(module.EquilibratedEnergy(data), net)
    assert point.kind == "strict saddle"
    assert point.escape is not None
    assert point.escape.curvature < 0
    before = len(shown)
    module.leave(kind=kind, width=3, seed=1)
    assert len(shown) == before + 1
    assert "strict saddle" in capsys.readouterr().out


@pytest.mark.parametrize(("parameterisation", "skips"), [("sp", False), ("mupc", True)])
def test_the_landscape_of_any_network_is_drawn(explore, parameterisation, skips, capsys):
    module, shown = explore
    before = len(shown)
    module.view(parameterisation=parameterisation, depth=5, width=4, scale=0.5, skips=skips)
    assert len(shown) == before + 1
    assert "largest eigenvalue" in capsys.readouterr().out
