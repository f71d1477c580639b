"""The README's example runs and prints what the README says."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from experiments._store import Store
from figures import deep_factorisation, depth_all_layers, escape_time, joint_resets, mupc_128
from pctheory.dynamics import fewest_loss_steps

ROOT = Path(__file__).parent.parent


def test_the_example_prints_what_the_readme_shows():
    code, output = re.search(
        r"```python\n(.*?)```\n\n```\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL
    ).groups()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    numbers = re.compile(r"-?\d+\.?\d*(?:e[+-]?\d+)?")
    assert numbers.sub("#", done.stdout) == numbers.sub("#", output)
    for ours, shown in zip(numbers.findall(done.stdout), numbers.findall(output), strict=True):
        digits = len(shown.partition(".")[2])  # the last printed digit may differ between processors
        assert abs(float(ours) - float(shown)) <= 1.01 * 10.0**-digits


def stored_numbers(figure):
    """The numbers of a figure, from the committed result."""
    store = Store()
    name = figure.EXPERIMENT.__name__.rpartition(".")[2]
    return figure.numbers(store.load(store.experiment(name), "cpu")[0])


def words(text):
    return " ".join(text.split())


def test_the_findings_quote_the_committed_results():
    text = words((ROOT / "README.md").read_text())
    escape, deep = stored_numbers(escape_time), stored_numbers(mupc_128)
    *most, last = escape["pc-steps"].split(", ")
    assert f"takes {', '.join(most)} and {last} iterations at its best rate" in text
    quoted = re.search(r"takes at least (\S+), (\S+) and (\S+)\. This is a theorem", text).groups()
    depths = (3, 4, 5)
    for number, depth in zip(quoted, depths, strict=True):
        assert float(number) == pytest.approx(fewest_loss_steps((1,) * (depth + 1), 1e-6), rel=0.05)
    assert (
        f"reach {float(deep['mnist-pc']):.0f}% on MNIST, but only {deep['mnist-pc-moved']} of 129 layers"
        in text
    )
    every = stored_numbers(depth_all_layers)
    behind, least, most = (every[f"near-{key}"] for key in ("worst-behind", "least-time", "most-time"))
    assert f"are at most {behind} points behind backpropagation, at {least} to {most} times its time" in text
    resets = stored_numbers(joint_resets)
    spared = resets["mnist-published-30-spared"]
    assert f"With 30 hidden layers the first {spared} of 31 can be put back to their random start" in text
    assert "no layer can, as with backpropagation" in text
    assert resets["mnist-near-30-spared"] == resets["mnist-bp-30-spared"] == 0
    stars = stored_numbers(deep_factorisation)
    two, library = (f"{float(stars[key]):.3f}" for key in ("bp-2", "library"))
    assert f"held-out error of {two} and {library} stars" in text
    assert {f"{float(stars[f'pc-{depth}']):.3f}" for depth in (2, 3, 4)} == {"0.884"}
    assert "predictive coding at 0.884 at every depth" in text
    assert min(float(stars[f"bp-{depth}"]) for depth in (3, 4)) >= float(stars["means"]) - 1e-3
