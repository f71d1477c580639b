"""`pctheory.sweep`: every cell once, kept, resumed, and computed anew when the function changes."""

import importlib.util

import numpy as np
import pytest

import pctheory as pt

SOURCE = """
CALLS = []

def measured(width, scale, seed):
    CALLS.append((width, scale, seed))
    return {"loss": width * scale + seed, "curve": [seed, width]}
"""


@pytest.fixture
def module(tmp_path):
    def load(source=SOURCE, name="mine"):
        path = tmp_path / f"{name}.py"
        path.write_text(source)
        spec = importlib.util.spec_from_file_location(name, path)
        loaded = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(loaded)
        return loaded

    return load


def square(number):
    return number**2


def ragged(number):
    return {"rows": np.zeros(number), f"only {number}": 0.5}


def test_a_sweep_is_the_function_at_every_cell(module):
    mine = module()
    found = pt.sweep(mine.measured, {"width": [2, 3], "scale": [0.5]}, seeds=3, progress=False)
    expected = [[[w * s + seed for seed in range(3)] for s in (0.5,)] for w in (2, 3)]
    np.testing.assert_array_equal(found["loss"], expected)
    assert found["curve"].shape == (2, 1, 3, 2)
    assert found.cells[1] == {"width": 2, "scale": 0.5, "seed": 1}
    assert found.rows()[1] == {"width": 2, "scale": 0.5, "seed": 1, "loss": 2.0}
    assert repr(found) == "Sweep(2 width x 1 scale x 3 seed: loss, curve)"
    assert "<td style='text-align:right'>2</td>" in found._repr_html_()


def test_kept_cells_are_not_computed_again(module, tmp_path):
    mine, cache = module(), tmp_path / "cache"
    options = {"seeds": [4], "cache": cache, "progress": False}
    first = pt.sweep(mine.measured, {"width": [2, 3], "scale": [1.0]}, **options)
    larger = pt.sweep(mine.measured, {"width": [2, 3, 4], "scale": np.array([1.0])}, **options)
    assert mine.CALLS == [(2, 1.0, 4), (3, 1.0, 4), (4, 1.0, 4)]
    np.testing.assert_array_equal(larger["loss"][:2], first["loss"])


def test_a_changed_function_is_computed_anew(module, tmp_path):
    grid, options = {"width": [2], "scale": [1.0], "seed": [0]}, {"cache": tmp_path / "c", "progress": False}
    assert pt.sweep(module().measured, grid, **options)["loss"].item() == 2.0
    changed = module(SOURCE.replace("+ seed", "+ 10"), "other")
    assert pt.sweep(changed.measured, grid, **options)["loss"].item() == 12.0


def test_an_interrupted_sweep_goes_on(module, tmp_path):
    mine = module(
        SOURCE.replace(
            "    return", "    if width == 3 and len(CALLS) < 3: raise KeyboardInterrupt\n    return"
        )
    )
    grid, options = (
        {"width": [2, 3], "scale": [1.0], "seed": [0]},
        {"cache": tmp_path / "c", "progress": False},
    )
    with pytest.raises(KeyboardInterrupt):
        pt.sweep(mine.measured, grid, **options)
    pt.sweep(mine.measured, grid, **options)
    assert [call[0] for call in mine.CALLS] == [2, 3, 3]


def test_processes_give_the_same(capsys):
    function, grid = pt.limits.isometric_condition_number, {"depth": [2, 3, 4]}  # workers can import it
    alone, together = (pt.sweep(function, grid, jobs=jobs) for jobs in (1, 2))
    np.testing.assert_array_equal(alone["value"], together["value"])
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: pt.sweep(3, {"a": [1]}), TypeError, "`function` must be callable"),
        (lambda: pt.sweep(square, {}), ValueError, "`grid` must have a name"),
        (lambda: pt.sweep(square, {"number": []}), ValueError, "`grid` must have a name"),
        (lambda: pt.sweep(square, {"number": 3}), TypeError, "`number` must be a list"),
        (lambda: pt.sweep(square, {"number": [1]}, seeds=0), ValueError, "`seeds` must be"),
        (lambda: pt.sweep(square, {"number": [1], "seed": [1]}, seeds=2), ValueError, "must not name `seed`"),
        (lambda: pt.sweep(square, {"number": [1]}, jobs=0), ValueError, "`jobs` must be"),
        (lambda: pt.sweep(square, {"number": [1]}, backend="dusk"), ValueError, "Did you mean 'dask'"),
        (lambda: pt.sweep(square, {"number": [object()]}, cache="x"), TypeError, "for its cells to be kept"),
        (lambda: pt.sweep(print, {"number": [1]}, cache="x"), ValueError, "must be defined with `def`"),
    ],
)
def test_what_cannot_be_swept_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_arrays_of_different_shapes_are_no_one_array():
    with pytest.raises(ValueError, match="must have one shape in all cells"):
        pt.sweep(ragged, {"number": [1, 2]}, progress=False)["rows"]


def test_a_table_has_a_column_for_every_result():
    html = pt.sweep(ragged, {"number": [1, 2]}, progress=False)._repr_html_()
    assert [row.count("<t") for row in html.split("<tr>")[1:]] == [3, 3, 3]
    assert (
        html.split("<tr>")[3].index(">2<") < html.split("<tr>")[3].index("></td>") < html.index(">0.5<", -40)
    )


def test_one_process_needs_no_other_package(monkeypatch):
    for name in ("tqdm", "threadpoolctl", "joblib"):
        monkeypatch.setitem(__import__("sys").modules, name, None)
    assert pt.sweep(square, {"number": [3]})["value"].tolist() == [9]
    with pytest.raises(ModuleNotFoundError, match="need joblib"):
        pt.sweep(square, {"number": [3]}, jobs=2)
