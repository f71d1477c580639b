"""The console script: its commands, `--help` everywhere, and errors that say what was meant."""

import json
import subprocess
import sys

import pytest
from architecture import ROOT

import pctheory.__main__ as command
from pctheory.explore.__main__ import main as explore

MODULES = [
    "experiments.benchmarks",
    "experiments.benchmarks.explore",
    "experiments.benchmarks.nn_inference",
    "paper.generate",
    "figures",
    "experiments",
    "pctheory",
    "pctheory.claims",
    "pctheory.datasets",
    "pctheory.explore",
]


@pytest.mark.parametrize("module", MODULES)
def test_every_command_explains_itself(module):
    done = subprocess.run(
        [sys.executable, "-m", module, "--help"], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 0
    assert "usage:" in done.stdout or "pctheory COMMAND --help" in done.stdout


def test_the_commands_of_the_package_are_those_of_its_modules(capsys):
    assert command.main(["claims"]) == 0
    assert "strict-saddles" in capsys.readouterr().out
    assert command.main(["--version"]) == 0
    assert command.main([]) == 2


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["claim"], "Did you mean 'claims'?"),
        (["claims", "verify", "strict-sadles"], "Did you mean 'strict-saddles'?"),
        (["figures", "escape-tim"], "Did you mean 'escape-time'?"),
        (["experiments", "cascad"], "Did you mean 'cascade'?"),
    ],
)
def test_a_slip_is_answered_with_what_was_meant(words, meant, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert command.main(words) == 2
    assert meant in capsys.readouterr().err


def test_what_needs_a_checkout_says_so(capsys, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert command.main(["figures"]) == 2
    assert "needs a checkout" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["figures", "experiments"])
def test_an_interrupt_says_what_is_kept_and_shows_no_traceback(name, capsys, monkeypatch):
    module = __import__(f"{name}.__main__", fromlist=["main"])

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "_each", interrupt)
    assert module.main([]) == 130
    assert "the same command goes on from there" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["figures", "experiments"])
def test_a_list_reads_the_sources_and_loads_nothing_heavy(name):
    code = (
        f"import sys; from {name}.__main__ import main; main(['--list']); "
        "print(sorted({'torch', 'matplotlib', 'sympy', 'joblib', 'seaborn'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.splitlines()[-1] == "[]"
    assert len(done.stdout.splitlines()) > 80


def test_explore_writes_a_notebook_once(tmp_path, capsys):
    path = tmp_path / "mine.ipynb"
    assert explore([str(path), "--no-open"]) == 0
    written = json.loads(path.read_text())
    assert "pt.explore()" in "".join(written["cells"][0]["source"])
    path.write_text("{}")
    assert explore([str(path), "--no-open"]) == 0
    assert path.read_text() == "{}"
