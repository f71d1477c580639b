"""The benchmarks: every group runs, and their table and figure say what was measured."""

import importlib

import pytest

from experiments.benchmarks import __main__ as benchmarks
from experiments.benchmarks import _report
from experiments.benchmarks.__main__ import GROUPS, main, write
from experiments.benchmarks._timing import Effort, Row, compared

pytest.importorskip("torch")

VARIABLES = ("JPC_PYTHON", "FABRICPC_PYTHON")


def test_the_ratio_is_the_time_of_the_alternative_over_ours_repetition_by_repetition():
    ours, other = iter([0.0, 1.0, 2.0, 4.0]), iter([0.0, 3.0, 4.0, 4.0])  # the first of each warms up
    (row,) = compared("task", "size", 1.0, {"ours": lambda: next(ours), "other": lambda: next(other)}, 3)
    assert row.seconds == (1.5, 2.0, 3.0)
    assert row.reference == (3.5, 4.0, 4.0)
    assert row.ratio == (1.5, 2.0, 2.5)  # of 3, 2 and 1


@pytest.mark.parametrize("module", sorted({module for module, _ in GROUPS.values()}))
def test_a_group_measures_each_of_its_tasks(module, monkeypatch):
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    found = list(importlib.import_module(f"experiments.benchmarks.{module}").rows(Effort(False, 1, 1)))
    rows = [row for row in found if isinstance(row, Row)]
    assert rows
    assert all(0 < row.seconds[0] <= row.seconds[1] <= row.seconds[2] for row in rows)
    assert all((row.ratio is None) == (module == "large") for row in rows)
    sentences = [row for row in found if isinstance(row, str)]
    if module == "training":
        assert all("skipped" in sentence for sentence in sentences)
        assert {name for name in VARIABLES if any(name in row for row in sentences)} == set(VARIABLES)
    if module == "large":
        assert "5000 samples differ from those in one array by " in sentences[0]
        assert float(sentences[0].split(" by ")[1].split(";")[0]) < 1e-12


@pytest.mark.parametrize("name", ["jpc", "FabricPC"])
def test_an_interpreter_without_the_library_is_named(name, monkeypatch, tmp_path):
    from experiments.benchmarks.training import Other

    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nexit 1\n")
    python.chmod(0o755)
    monkeypatch.setenv(f"{name.upper()}_PYTHON", str(python))
    with Other(name, 2, 1) as other:
        assert other.call is None
        assert other.reason == f"{python} cannot import {name}"


def test_the_large_group_runs_only_by_its_name(monkeypatch, tmp_path):
    ran = []
    monkeypatch.setattr(benchmarks, "write", lambda *found: None)
    monkeypatch.setattr(benchmarks, "in_a_process", lambda name, options: ran.append(name) or [])
    main(["--out", str(tmp_path)])
    assert ran == [name for name in GROUPS if name != "large"]
    main(["large", "--out", str(tmp_path)])
    assert ran[-1] == "large"


def test_table_and_figure_show_the_rows(tmp_path):
    rows = [
        Row("equilibrium", "large", 2.0, (0.001, 0.002, 0.003), "torch", (1.0, 2.0, 3.0), (4.0, 5.0, 6.0)),
        Row("kappa of H", "small", 1.0, (2.0, 2.0, 2.0), note="peak 1 GB"),
    ]
    write([*rows, "jpc: skipped."], tmp_path, 60.0)
    table = (tmp_path / "table.md").read_text()
    assert "| equilibrium | large | 2 (1-3) ms | torch | 2 (1-3) s | 5 (4-6) |  |" in table
    assert "| kappa of H | small | 2 s |  |  |  | peak 1 GB |" in table
    assert table.endswith("jpc: skipped.\n")
    assert (tmp_path / "scaling.png").stat().st_size > 1000
    assert _report.duration((2e-5, 3e-5, 4e-5)) == "30 (20-40) µs"


def test_an_unknown_group_is_named(capsys):
    with pytest.raises(SystemExit):
        main(["flow"])
    assert "NAME must be one of equilibrium, derivatives" in capsys.readouterr().err
