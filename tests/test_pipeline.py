"""Experiment -> result -> figure -> page: results are kept, known by their code and settings, and redrawn
alike.
"""

from __future__ import annotations

import html.parser
import json
import os
import re
import subprocess
import sys
import textwrap
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import experiments.__main__ as experiments_cli
import figures.__main__ as figures_cli
from experiments import _store
from experiments._digest import code_digest
from experiments._progress import Progress
from experiments._result import Result, read_result, write_atomically, write_result
from experiments._store import Store
from figures._figure import CAPTION_WORDS, caption_words, figure_ids, load_figure
from figures._outcome import outcome
from figures._sections import reading_order
from figures._tex import format_number, to_html, to_latex
from pctheory.sweeps import results

ROOT = Path(__file__).resolve().parent.parent

WAVES = '''
"""Does a sine cross zero?

More of it.
"""
from dataclasses import dataclass, field
from pathlib import Path
import numpy as np
from PACKAGE._helper import scale

@dataclass(frozen=True)
class Config:
    rates: tuple[float, ...] = (1.0, 2.0, 3.0)
    width: int = field(default=512, metadata={"label": "width N"})
    seed: int = 3

PROFILES = {"quick": Config(rates=(1.0, 2.0), width=8), "cpu": Config(width=64), "full": Config()}

def wave(config, rate, seed):
    folder = Path(__file__).parent
    if (folder / "fail").exists() and rate == 2.0:
        raise RuntimeError("killed")
    with open(folder / "log", "a") as log:
        log.write(f"{rate} {seed}\\n")
    rng = np.random.default_rng([config.seed, seed])
    t = np.linspace(0, 3, config.width)
    return {"t": t, "y": scale(np.exp(-rate * t)) * rng.standard_normal(config.width)}

def run(config, progress):
    cells = [{"rate": r, "seed": s} for r in config.rates for s in range(2)]
    done = progress.cells(wave, cells)
    waves = {r: np.stack([d["y"] for c, d in zip(cells, done) if c["rate"] == r]) for r in config.rates}
    return {"t": done[0]["t"], "y": waves, "dataset": "none"}
'''
HELPER = '''
"""A helper."""
def scale(x):
    """Twice."""
    return 2 * x
'''
FIGURE = '''
"""A figure."""
from PACKAGE import waves
EXPERIMENT = waves
TITLE = r"Waves of $\\mathcal{F}^*$ & others"
SOURCE = "SAD 1"
SIZE = (2.0, 1.5)

def draw(fig, result):
    ax = fig.subplots()
    for rate, y in result["y"].items():
        ax.plot(result["t"], y.T, label=rate)

def caption(result, meta):
    return rf"With 5% noise & $x_1^2 < \\frac{{1}}{{2}}$ ({meta.setting})."

def numbers(result):
    return {"start": result["y"][1.0][0, 0], "count": 3, "tiny": 1.5e-8, "set": "a & b"}
'''


class Project:
    """A package of one experiment and its helper and a package of two figures, in a temporary folder."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.package, self.figures = folder, f"{name}_experiments", f"{name}_figures"
        self.experiment_folder, self.figure_folder = folder / self.package, folder / self.figures
        self.store = Store(self.package, folder / "results")
        self.out = folder / "out"
        self.write(waves=WAVES, _helper=HELPER)
        self.write_figure(demo_waves=FIGURE, second=FIGURE)

    def write(self, **modules: str) -> None:
        self._write(self.experiment_folder, modules)

    def write_figure(self, **modules: str) -> None:
        self._write(self.figure_folder, modules)

    def _write(self, folder: Path, modules: dict[str, str]) -> None:
        folder.mkdir(exist_ok=True)
        for name, text in {"__init__": "", **modules}.items():
            (folder / f"{name}.py").write_text(text.replace("PACKAGE", self.package))
        self.forget()

    def edit(self, module: str, old: str, new: str) -> None:
        path = self.experiment_folder / f"{module}.py"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))
        self.forget()

    def forget(self) -> None:
        """Import anew, as a new process would."""
        for name in [m for m in sys.modules if m.partition(".")[0] in (self.package, self.figures)]:
            del sys.modules[name]

    def obtain(self, profile: str = "quick", **options: object) -> Result:
        return self.store.obtain(self.store.experiment("waves"), profile, quiet=True, **options)[0]  # type: ignore[arg-type]

    def state(self, profile: str = "quick") -> str:
        return self.store.status(self.store.experiment("waves"), profile).state

    def calls(self) -> list[str]:
        log = self.experiment_folder / "log"
        lines = log.read_text().splitlines() if log.exists() else []
        log.unlink(missing_ok=True)
        return lines

    def draw(self, *arguments: str) -> int:
        return figures_cli.main(
            [*arguments, "--profile", "quick", "--jobs", "1", "--out", str(self.out)],
            self.store,
            self.figures,
        )


@pytest.fixture
def project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[Project]:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # edits within one second keep their time stamp
    made = Project(tmp_path, f"p{zlib.crc32(request.node.name.encode())}")
    yield made
    made.forget()


# --- results ------------------------------------------------------------------------------------------------


def test_nested_mappings_and_slashes_name_the_same_array(tmp_path: Path) -> None:
    result = Result({"a": {5: {"x": [1.0, np.nan]}}, "b/c": 3, "name": "digits", "flag": True})
    write_result(tmp_path / "r.npz", result, compact=True)
    for r in (result, read_result(tmp_path / "r.npz")):
        assert list(r) == ["a", "b", "name", "flag"]
        np.testing.assert_array_equal(r["a"][5]["x"], [1.0, np.nan])
        np.testing.assert_array_equal(r["a/5/x"], [1.0, np.nan])
        assert (r["b"]["c"], r["name"], r["flag"], len(r)) == (3, "digits", True, 4)
        assert "a/5" in r
        assert "a/6" not in r
    with pytest.raises(KeyError, match="has the names 'a', 'b'"):
        result["z"]


@pytest.mark.parametrize("value", [[[1.0], [1.0, 2.0]], None, object()])
def test_a_result_refuses_what_npz_cannot_hold(value: object) -> None:
    with pytest.raises(TypeError, match="`part/x` in a result must be a number"):
        Result({"part": {"x": value}})


def test_long_arrays_are_stored_in_single_precision_unless_they_leave_its_range(tmp_path: Path) -> None:
    long, short = np.linspace(0, 1, 2000), np.linspace(0, 1, 10)
    values = {"long": long, "short": short, "huge": long * 1e300, "tiny": long * 1e-300, "nan": long * np.nan}
    write_result(tmp_path / "r.npz", Result(values), compact=True)
    stored = read_result(tmp_path / "r.npz")
    kinds = {name: stored[name].dtype for name in stored}
    assert kinds == {"long": "f4", "short": "f8", "huge": "f8", "tiny": "f8", "nan": "f4"}
    np.testing.assert_allclose(stored["long"], long, rtol=np.finfo(np.float32).eps)


def test_the_same_result_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_result(tmp_path / name, Result({"x": np.arange(3000.0), "y": {"z": 1}}), compact=True)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    write_atomically(path, "old")

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(results.os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


# --- sweeps -------------------------------------------------------------------------------------------------


def test_a_killed_sweep_computes_only_the_remaining_cells(project: Project) -> None:
    whole = project.obtain(force=True).flat()
    assert len(project.calls()) == 4
    (project.experiment_folder / "fail").touch()
    with pytest.raises(RuntimeError, match="killed"):
        project.obtain(force=True)
    assert project.calls() == ["1.0 0", "1.0 1"]
    (project.experiment_folder / "fail").unlink()
    (project.folder / "results" / "quick" / "waves" / next_stem(project)).with_suffix(".json").unlink()
    resumed = project.obtain().flat()
    assert project.calls() == ["2.0 0", "2.0 1"]
    assert whole.keys() == resumed.keys()
    for name, array in whole.items():
        np.testing.assert_array_equal(array, resumed[name])
    assert not list(project.folder.glob("results/**/checkpoints"))


def next_stem(project: Project) -> str:
    stem = project.store.status(project.store.experiment("waves"), "quick").stem
    assert stem is not None
    return stem.name


def test_processes_give_what_one_process_gives(project: Project) -> None:
    alone, together = project.obtain(jobs=1), project.obtain(jobs=2, force=True)
    assert sorted(project.calls()) == sorted(["1.0 0", "1.0 1", "2.0 0", "2.0 1"] * 2)
    for name, array in alone.flat().items():
        np.testing.assert_array_equal(array, together.flat()[name])


def test_a_stored_result_is_not_computed_again(project: Project) -> None:
    project.obtain()
    project.calls()
    project.obtain()
    assert project.calls() == []
    assert project.state() == "present"
    assert project.state("cpu") == "missing"


def test_run_needs_no_store(project: Project) -> None:
    experiment = project.store.experiment("waves")
    config = experiment.profiles["quick"]
    result = experiment.run(config, Progress(config))
    assert result["t"].shape == (8,)
    assert not (project.folder / "results").exists()


def test_cells_refuse_a_function_that_processes_cannot_import() -> None:
    with pytest.raises(ValueError, match="must be defined with `def` at module level"):
        Progress(None).cells(lambda config: {}, [{}])


@pytest.mark.parametrize(("backend", "package"), [("dask", "distributed"), ("ray", "ray")])
def test_a_backend_that_is_not_installed_is_named(
    project: Project, monkeypatch: pytest.MonkeyPatch, backend: str, package: str
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setitem(sys.modules, "ray.util.joblib", None)
    with pytest.raises(ModuleNotFoundError, match=f"needs the package {package}, which is not installed"):
        project.obtain(backend=backend, jobs=2)


# --- damage -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "values", [{"a": {5: 1.0, "5": 2.0}}, {"a": {"b": 1.0}, "a/b": 2.0}, {"a": 1.0, "a/b": 2.0}]
)
def test_two_arrays_of_one_name_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"must have a name of its own. Got 'a"):
        Result(values)


@pytest.mark.parametrize("end", [".npz", ".json"])
@pytest.mark.parametrize("length", [0, 1, 0.5, -1])
def test_a_result_cut_short_counts_as_missing_and_is_computed_again(
    project: Project, end: str, length: float
) -> None:
    whole = project.obtain().flat()
    path = (project.folder / "results" / "quick" / "waves" / next_stem(project)).with_suffix(end)
    content = path.read_bytes()
    path.write_bytes(content[: int(length * len(content)) if 0 < length < 1 else int(length)])
    status = project.store.status(project.store.experiment("waves"), "quick")
    assert status.state == "missing" or (end, length) == (
        ".json",
        -1,
    )  # there only the last line break is lost
    for name, array in project.obtain().flat().items():
        np.testing.assert_array_equal(array, whole[name])
    assert project.state() == "present"


def test_any_flipped_bit_of_a_stored_array_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "r.npz"
    size = write_result(path, Result({"x": np.arange(40.0), "n": 3}), compact=True)
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    for bit in rng.choice(8 * size, 400, replace=False):
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << (bit % 8)
        path.write_bytes(changed)
        with pytest.raises(results.DamagedError):
            read_result(path)


def test_a_damaged_cell_is_computed_again(project: Project) -> None:
    (project.experiment_folder / "fail").touch()
    with pytest.raises(RuntimeError, match="killed"):
        project.obtain()
    project.calls()
    first, *_ = sorted(project.folder.glob("results/**/checkpoints/*/*.npz"))
    first.write_bytes(first.read_bytes()[:-100])
    (project.experiment_folder / "fail").unlink()
    project.obtain()
    assert len(project.calls()) == 3


# --- data sets ----------------------------------------------------------------------------------------------


def test_a_result_computed_without_its_data_set_is_stale_once_the_set_is_there(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.edit(
        "waves", "seed: int = 3", 'seed: int = 3\n    datasets: tuple[str, ...] = ("mnist", "digits")'
    )
    monkeypatch.setattr(_store, "available_datasets", lambda: ("digits",))
    project.obtain()
    assert project.state() == "present"
    monkeypatch.setattr(_store, "available_datasets", lambda: ("digits", "mnist"))
    status = project.store.status(project.store.experiment("waves"), "quick")
    assert (status.state, status.reason) == ("stale", "it was computed without mnist")
    project.calls()
    project.obtain()
    assert project.calls()
    assert project.state() == "present"
    monkeypatch.setattr(_store, "available_datasets", lambda: ("digits",))
    assert project.state() == "present"  # the better result is kept on a machine without the set


def test_a_run_begun_without_a_data_set_is_not_continued_with_it(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.edit("waves", "seed: int = 3", 'seed: int = 3\n    dataset: str = "mnist"')
    monkeypatch.setattr(_store, "available_datasets", lambda: ("digits",))
    (project.experiment_folder / "fail").touch()
    with pytest.raises(RuntimeError, match="killed"):
        project.obtain()
    (project.experiment_folder / "fail").unlink()
    project.calls()
    monkeypatch.setattr(_store, "available_datasets", lambda: ("digits", "mnist"))
    project.obtain()
    assert len(project.calls()) == 4


# --- stale --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        ("waves", "More of it.", "Other words."),
        ("waves", "def wave(", "# a remark\n\ndef wave("),
        ("waves", "np.linspace(0, 3, config.width)", "np.linspace(\n        0, 3, config.width,\n    )"),
        ("waves", '"cpu": Config(width=64)', '"cpu": Config(width=32)'),
        ("waves", "default=512", "default=1024"),
        ("waves", "PROFILES =", 'ANALOGUE = "noise"\nPROFILES ='),
        ("_helper", '"""Twice."""', '"""Two times."""'),
    ],
)
def test_words_format_and_other_profiles_leave_a_result_present(
    project: Project, module: str, old: str, new: str
) -> None:
    project.obtain()
    project.edit(module, old, new)
    assert project.state() == "present"


@pytest.mark.parametrize(
    ("module", "old", "new", "reason"),
    [
        ("waves", "np.linspace(0, 3,", "np.linspace(0, 4,", "its code changed"),
        ("waves", "range(2)]", "range(3)]", "its code changed"),
        ("_helper", "2 * x", "3 * x", "its code changed"),
        ("waves", "width=8", "width=9", "its settings changed"),
        ("waves", "seed: int = 3", "seed: int = 4", "its settings changed"),
    ],
)
def test_code_and_settings_make_a_result_stale(
    project: Project, module: str, old: str, new: str, reason: str
) -> None:
    before = project.obtain()
    project.calls()
    project.edit(module, old, new)
    status = project.store.status(project.store.experiment("waves"), "quick")
    assert (status.state, status.reason) == ("stale", reason)
    kept, meta = project.store.obtain(project.store.experiment("waves"), "quick", keep_stale=True, quiet=True)
    assert meta.stale == reason
    np.testing.assert_array_equal(kept["t"], before["t"])
    assert project.calls() == []
    project.obtain()
    assert project.calls()
    assert project.state() == "present"
    assert len(list((project.folder / "results" / "quick" / "waves").iterdir())) == 2


def test_the_digest_of_code_is_the_same_on_every_python(project: Project) -> None:
    project.write(
        pinned="""
def f(x, /, *, y=None, **k):
    return [f"{x!r:>3}", *k.values()] if x else (lambda: None)
"""
    )
    module = __import__(f"{project.package}.pinned", fromlist=["f"])
    assert code_digest(module) == "8e8724113216570d"


def test_a_result_records_where_it_came_from(project: Project) -> None:
    project.obtain()
    (path,) = (project.folder / "results" / "quick" / "waves").glob("*.json")
    record = json.loads(path.read_text())
    assert record["config"] == {"rates": [1.0, 2.0], "width": 8, "seed": 3}
    assert (record["seed"], record["experiment"], record["profile"]) == (3, "waves", "quick")
    assert {"python", "numpy", "scipy"} <= set(record["versions"])
    assert str(project.folder) not in path.read_text()


def test_the_setting_names_what_was_shrunk(project: Project) -> None:
    def setting(profile: str) -> str:
        return project.store.obtain(project.store.experiment("waves"), profile, quiet=True)[1].setting

    assert setting("full") == "exact setting"
    assert setting("cpu") == "scaled down: width N 64 instead of 512"
    assert setting("quick") == "scaled down: rates 1, 2 instead of 1, 2, 3; width N 8 instead of 512"
    project.edit("waves", "PROFILES =", 'ANALOGUE = "noise instead of waves"\nPROFILES =')
    assert setting("quick") == "analogue: noise instead of waves"


@pytest.mark.parametrize(
    ("old", "new", "rule"),
    [
        ("frozen=True", "frozen=False", "frozen dataclass `Config`"),
        ('"full": Config()', '"full": Config(width=3)', r"PROFILES\['full'\] == Config\(\)"),
        ('"cpu"', '"gpu"', "'quick', 'cpu' and 'full'"),
        ("def run(", "def walk(", r"must define `run\(config, progress\)`"),
    ],
)
def test_a_broken_contract_is_named(project: Project, old: str, new: str, rule: str) -> None:
    project.edit("waves", old, new)
    with pytest.raises(TypeError, match=f"The experiment `waves` .*{rule}"):
        project.store.experiment("waves")


# --- command lines ------------------------------------------------------------------------------------------


def test_experiments_lists_questions_and_states(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    project.obtain()
    assert experiments_cli.main(["--list"], project.store) == 0
    assert "waves\n    Does a sine cross zero?\n" in capsys.readouterr().out
    assert experiments_cli.main(["waves", "--list"], project.store) == 0
    out = capsys.readouterr().out
    assert "waves\n    Does a sine cross zero?\n    quick  present, 0 s\n    cpu    missing" in out


def test_one_failing_experiment_does_not_stop_the_others(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    project.write(broken='"""Broken?"""\nraise ImportError("no such thing")\n')
    assert experiments_cli.main(["--profile", "quick", "--jobs", "1"], project.store) == 1
    assert project.state() == "present"
    assert "broken: ImportError: no such thing" in capsys.readouterr().err
    assert experiments_cli.main(["broken", "--list"], project.store) == 1
    assert experiments_cli.main(["--list"], project.store) == 0  # reads the source alone


def test_unknown_names_list_the_valid_ones(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    assert experiments_cli.main(["nope"], project.store) == 2
    assert "`experiment` must be one of 'waves'. Got 'nope'." in capsys.readouterr().err
    assert project.draw("demo_waves", "nope") == 2
    assert "A figure id must be one of demo-waves, second. Got nope." in capsys.readouterr().err
    assert not project.out.exists()


def test_figures_are_listed_with_the_state_of_their_results(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    assert project.draw("--list") == 0
    assert "demo-waves  [SAD 1]" in capsys.readouterr().out
    assert project.draw("demo-waves", "--list") == 0
    out = capsys.readouterr().out
    assert "demo-waves  [SAD 1]" in out
    assert "waves (quick): missing" in out
    assert not project.out.exists()


# --- figures ------------------------------------------------------------------------------------------------


def test_a_figure_is_drawn_alike_in_every_process(project: Project) -> None:
    assert project.draw("demo_waves") == 0
    program = textwrap.dedent(f"""
        import sys
        from pathlib import Path
        import figures.__main__ as cli
        from experiments._store import Store
        sys.exit(cli.main(["demo-waves", "--profile", "quick", "--jobs", "1", "--out", "again"],
                          Store({project.package!r}, Path("results")), {project.figures!r}))
    """)
    path = os.pathsep.join([str(ROOT), str(project.folder)])
    subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        cwd=project.folder,
        env={**os.environ, "PYTHONPATH": path},
    )
    names = sorted(p.name for p in project.out.iterdir() if p.is_file())
    assert names == [f"demo-waves.{s}" for s in ("json", "pdf", "png", "thumb.png", "txt")] + ["index.html"]
    for name in names:
        assert (project.out / name).read_bytes() == (project.folder / "again" / name).read_bytes(), name
    assert b"CreationDate" not in (project.out / "demo-waves.pdf").read_bytes()


def test_captions_and_numbers_reach_the_paper(project: Project) -> None:
    assert project.draw() == 0
    setting = "scaled down: rates 1, 2 instead of 1, 2, 3; width N 8 instead of 512"
    math = r"$x_1^2 < \frac{1}{2}$"
    assert (project.out / "demo-waves.txt").read_text() == f"With 5% noise & {math} ({setting}).\n"
    tex = (project.out / "paper" / "captions" / "demo-waves.tex").read_text()
    said = setting.replace("scaled", "Scaled")
    assert tex == rf"\textbf{{With 5\% noise \& {math}}} \emph{{{said}.}}%" + "\n"
    numbers = (project.out / "paper" / "numbers.tex").read_text()
    assert r"\csname pcnum:demo-waves/count\endcsname{3}" in numbers
    assert r"\csname pcnum:second/tiny\endcsname{\ensuremath{1.5\times 10^{-8}}}" in numbers
    assert r"\csname pcnum:demo-waves/set\endcsname{a \& b}" in numbers
    start = project.obtain()["y"][1.0][0, 0]
    assert format_number(start) in numbers


class Tags(html.parser.HTMLParser):
    """Checks that tags are balanced and collects ids and targets."""

    void = frozenset({"meta", "img", "input", "path"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.targets: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.void:
            self.open.append(tag)
        values = dict(attrs)
        self.ids += [v for v in [values.get("id")] if v]
        self.targets += [v for v in [values.get("href"), values.get("src")] if v]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in self.void

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_gallery_is_a_valid_page_with_every_figure_drawn_so_far(project: Project) -> None:
    assert project.draw("second") == 0
    assert project.draw("demo-waves") == 0
    text = (project.out / "index.html").read_text()
    tags = Tags()
    tags.feed(text)
    tags.close()
    assert tags.open == []
    assert tags.ids == ["demo-waves", "second"]
    assert {"demo-waves.thumb.png", "second.thumb.png"} <= set(tags.targets)
    local = [t for t in tags.targets if not t.startswith("#")]
    assert local
    assert all((project.out / t).exists() for t in local)
    assert "after SAD 1" in text
    assert "scaled down" in text
    assert 'aria-label="x_1^2 &lt; \\frac{1}{2}"' in text


OUTCOMES = """
from figures._outcome import outcome

def outcomes(result, meta):
    return [outcome("$x$ rises", "it does", True), outcome("and falls", "it does not", False)]
"""
SUMMARY = """
SUMMARY = True
TITLE = "All waves"
SOURCE = "new"
SIZE = (2.0, 1.5)

def draw(fig, drawn):
    fig.text(0.1, 0.5, ", ".join(d.id for d in drawn))

def caption(drawn):
    return "Drawn: " + ", ".join(f"{d.id} ({d.verdict})" for d in drawn) + "."
"""


def test_a_figure_is_judged_by_its_outcomes_and_a_summary_is_drawn_from_the_records(project: Project) -> None:
    project.write_figure(demo_waves=FIGURE + OUTCOMES, all_waves=SUMMARY)
    assert project.draw() == 0
    assert (project.out / "all-waves.txt").read_text() == "Drawn: demo-waves (partly), second (new).\n"
    text = (project.out / "index.html").read_text()
    assert '<td class="agrees">agrees</td>' in text
    assert '<td class="disagrees">disagrees</td>' in text
    assert "Of 2 published outcomes 1 are seen here, 0 in part, 1 not" in text
    assert text.index('id="all-waves"') < text.index('id="demo-waves"')


def test_the_record_of_an_older_version_does_not_stop_the_gallery(project: Project) -> None:
    project.draw("second")
    (project.out / "demo-waves.json").write_text('{"id": "demo-waves", "title": "as it was"}')
    assert project.draw("second") == 0
    assert "as it was" not in (project.out / "index.html").read_text()


def test_an_outcome_without_a_condition_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one condition that can fail"):
        outcome("PC is faster", "it is")
    assert outcome("PC is faster", "too small a run", tested=False).verdict == "not tested"


def test_every_figure_after_a_paper_compares_itself_with_what_was_published() -> None:
    figures = [load_figure("figures", name) for name in figure_ids("figures")]
    papers = re.compile(r"\b(TR|SAD|MU|LIM|QI|PFY)\b")
    judged = {figure.id for figure in figures if figure.outcomes is not None}
    published = {figure.id for figure in figures if papers.search(figure.source)}
    assert judged == published - {"hessian-spectra", "inference-budget"}  # nothing was stated that could fail


@pytest.mark.parametrize("name", figure_ids("figures"))
def test_a_caption_is_short(name: str) -> None:
    figure, store = load_figure("figures", name), Store()
    if figure.summary:
        pytest.skip("made from the records of the others")
    stored = {e: store.load(store.experiment(e), "cpu") for e in figure.experiments}
    if figure.single:
        caption = figure.caption(*stored[figure.experiments[0]])
    else:
        results, metas = ({e: pair[k] for e, pair in stored.items()} for k in (0, 1))
        caption = figure.caption(results, metas)
    assert caption_words(" ".join(caption.split())) <= CAPTION_WORDS


def test_the_gallery_is_in_the_order_of_the_paper(tmp_path: Path) -> None:
    (tmp_path / "sections").mkdir()
    (tmp_path / "supplement.tex").write_text(r"\pcsection{one}\pcsection{two}")
    (tmp_path / "sections" / "one.tex").write_text(r"\section{First}\label{a} \pcfigure{b} \pcfigure[t]{a-c}")
    (tmp_path / "sections" / "two.tex").write_text(r"\section{Second} \pcfigure{b} \pcfigure{a}")
    assert list(reading_order(tmp_path).items()) == [("b", "First"), ("a-c", "First"), ("a", "Second")]
    assert reading_order(tmp_path / "nowhere") == {}
    assert reading_order()["map-of-the-theory"] == "Overview"  # the introduction has none of its own


def test_a_stale_result_that_is_drawn_says_so_in_the_gallery(project: Project) -> None:
    project.draw()
    assert "stale result" not in (project.out / "index.html").read_text()
    project.edit("waves", "np.linspace(0, 3,", "np.linspace(0, 4,")
    project.draw("--keep-stale")
    assert "stale result" in (project.out / "index.html").read_text()


def test_a_failing_figure_keeps_its_last_version_and_stops_no_other(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    project.draw()
    before = (project.out / "demo-waves.png").read_bytes()
    (project.out / "second.png").unlink()
    project.write_figure(demo_waves=FIGURE.replace("fig.subplots()", "1 / 0"))
    assert project.draw() == 1
    assert "demo-waves: ZeroDivisionError" in capsys.readouterr().err
    assert (project.out / "demo-waves.png").read_bytes() == before
    assert (project.out / "second.png").exists()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("({meta.setting})", "(no word)", "The caption of `demo-waves` must say 'exact setting'"),
        (r"\frac{{1}}{{2}}", r"\fraq", r"must be mathematics that matplotlib reads. Got $x_1^2 < \fraq$"),
        ("5% noise", "5$ noise", "mathematics between two dollar signs"),
        ("EXPERIMENT = waves", 'EXPERIMENT = "waves"', "must name its experiment module as `EXPERIMENT`"),
        ("SIZE = (2.0, 1.5)", "SIZE = 2", "must give its printed size in inches"),
        ("def caption", "def title", "must define `draw"),
    ],
)
def test_a_figure_that_breaks_the_contract_is_named(
    project: Project, capsys: pytest.CaptureFixture[str], old: str, new: str, message: str
) -> None:
    assert old in FIGURE
    project.write_figure(demo_waves=FIGURE.replace(old, new))
    assert project.draw("demo-waves") == 1
    assert message in capsys.readouterr().err
    assert not (project.out / "demo-waves.png").exists()


def test_a_figure_of_several_experiments_gets_them_by_name(project: Project) -> None:
    project.write(others=WAVES)
    several = (
        FIGURE.replace("import waves", "import others, waves")
        .replace("EXPERIMENT = waves", "EXPERIMENTS = (waves, others)")
        .replace("meta.setting", "meta['others'].setting")
        .replace('result["y"]', 'result["others"]["y"]')
        .replace('result["t"]', 'result["waves"]["t"]')
    )
    project.write_figure(demo_waves=several)
    assert project.draw("demo-waves") == 0
    assert json.loads((project.out / "demo-waves.json").read_text())["experiments"] == ["waves", "others"]


@pytest.mark.parametrize(
    ("text", "latex"),
    [
        ("a_b 5% #1 {x} ~ ^ \\", r"a\_b 5\% \#1 \{x\} \textasciitilde{} \textasciicircum{} \textbackslash{}"),
        ("$a_b$ and $c%$", "$a_b$ and $c%$"),
        ("3 ± 1 – 2 × 4", r"3 \ensuremath{\pm} 1 -- 2 \ensuremath{\times} 4"),
    ],
)
def test_captions_are_escaped_outside_mathematics_only(text: str, latex: str) -> None:
    assert to_latex(text) == latex


def test_formulas_become_pictures_on_the_base_line() -> None:
    page = to_html(r"<b> $\frac{1}{2}$")
    assert page.startswith("&lt;b&gt; <svg")
    assert "vertical-align:-0." in page  # the denominator hangs below the line


# --- what is shipped ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", Store().names())
def test_every_experiment_keeps_the_contract_and_no_committed_result_is_stale(name: str) -> None:
    store = Store()
    experiment = store.experiment(name)
    for profile in ("cpu", "full"):
        assert store.status(experiment, profile).state != "stale", profile


@pytest.mark.parametrize("figure_id", figure_ids("figures"))
def test_every_figure_keeps_the_contract(figure_id: str) -> None:
    figure = load_figure("figures", figure_id)
    assert set(figure.experiments) <= set(Store().names())


def test_committed_results_come_out_again() -> None:
    """The three quickest of the committed results, to the precision they are stored with."""
    store = Store()
    stored = [
        store.load(e, "cpu") for e in map(store.experiment, store.names()) if store.status(e, "cpu").stem
    ]
    quickest = sorted(stored, key=lambda pair: pair[1].seconds)[:3]
    if not quickest or quickest[0][1].seconds > 5:
        pytest.skip("no committed result can be recomputed within five seconds")
    for result, meta in quickest:
        if meta.seconds > 5:
            continue
        experiment = store.experiment(meta.experiment)
        config = experiment.profiles["cpu"]
        again = Result(experiment.run(config, Progress(config))).flat()
        assert again.keys() == result.flat().keys()
        for name, array in result.flat().items():
            if array.dtype.kind == "f":
                # stored with 24 bits, relative to the array's scale; ten times that for another CPU's
                # summation order
                scale = np.max(np.abs(array[np.isfinite(array)]), initial=0.0)
                tolerance = 10 * np.finfo(np.float32).eps * scale
                np.testing.assert_allclose(again[name], array, rtol=0, atol=tolerance, err_msg=name)
            else:
                np.testing.assert_array_equal(again[name], array, err_msg=name)
