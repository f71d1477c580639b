"""All benchmarks in one run: `make bench`, or `python -m experiments.benchmarks [NAME ...]`.

Each group runs in a process of its own, so that its threads and its peak memory are its own; the groups run
one after another. The table (`table.md`), the rows (`rows.json`) and the figure of scaling (`scaling.pdf`,
`.png`) go to `build/bench`. Ratios are the alternative's seconds over ours, so above 1 we are faster.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from experiments.benchmarks._report import draw, markdown
from experiments.benchmarks._timing import Effort, Row

GROUPS = {
    "equilibrium": ("equilibrium", 1),
    "derivatives": ("derivatives", 1),
    "training": ("training", 1),
    "training-two-threads": ("training", 2),
    "spectrum": ("spectrum", 1),
    "large": ("large", 1),
}
"""Name of a group: its module and its threads."""

BY_NAME = ("large",)
"""Groups that run only when they are named: they take half an hour."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    default = [name for name in GROUPS if name not in BY_NAME]
    groups = f"of {', '.join(GROUPS)}; without one, all but {', '.join(BY_NAME)}"
    parser.add_argument("names", nargs="*", metavar="NAME", help=groups)
    parser.add_argument("--quick", action="store_true", help="small sizes: whether everything runs")
    parser.add_argument("--repetitions", type=int, default=11)
    parser.add_argument("--out", type=Path, default=Path("build/bench"))
    parser.add_argument("--lines", action="store_true", help="measure in this process and print rows as JSON")
    options = parser.parse_args(arguments)
    if unknown := [name for name in options.names if name not in GROUPS]:
        parser.error(f"NAME must be one of {', '.join(GROUPS)}. Got {', '.join(unknown)}.")
    names = options.names or default
    if options.lines:
        for name in names:
            for row in measured(name, not options.quick, options.repetitions):
                print(json.dumps(row if isinstance(row, str) else dataclasses.asdict(row)), flush=True)
        return 0
    start = time.perf_counter()
    passed_on = [*(["--quick"] if options.quick else []), "--repetitions", str(options.repetitions)]
    found: list[Row | str] = []
    for name in names:
        for row in in_a_process(name, passed_on):
            found.append(row)
            say = row if isinstance(row, str) else f"{row.task}, {row.size}: {1e3 * row.seconds[1]:.3g} ms"
            print(f"{name}: {say}", file=sys.stderr, flush=True)
        write(
            found, options.out, time.perf_counter() - start
        )  # after each: a run that is stopped leaves its rows
    print(options.out / "table.md")
    return 0


def measured(name: str, full: bool, repetitions: int) -> Iterable[Row | str]:
    """The rows of one group, and sentences on what was skipped."""
    module, threads = GROUPS[name]
    effort = Effort(full, repetitions, threads)
    found: Iterable[Row | str] = importlib.import_module(f"experiments.benchmarks.{module}").rows(effort)
    return found


def in_a_process(name: str, options: Sequence[str]) -> Iterable[Row | str]:
    """The same, from a process that has the threads of the group."""
    threads = str(GROUPS[name][1])
    names = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
    command = [sys.executable, "-m", "experiments.benchmarks", name, "--lines", *options]
    environment = {**os.environ, **dict.fromkeys(names, threads)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        for line in process.stdout:
            row = json.loads(line)
            yield row if isinstance(row, str) else read(row)
    if process.returncode:
        raise RuntimeError(f"The group `{name}` must end without an error. Got status {process.returncode}.")


def read(row: dict[str, object]) -> Row:
    """A row from its JSON, where tuples are lists."""
    return Row(**{key: tuple(value) if isinstance(value, list) else value for key, value in row.items()})  # type: ignore[arg-type]


def write(found: Sequence[Row | str], folder: Path, seconds: float) -> None:
    """Table, rows and figure."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [row for row in found if isinstance(row, Row)]
    skipped = [row for row in found if isinstance(row, str)]
    machine = (
        f"{os.cpu_count()} cores ({platform.machine()}), Python {platform.python_version()}, load "
        f"{os.getloadavg()[0]:.1f} at the end, {seconds / 60:.0f} minutes in all."
    )
    (folder / "table.md").write_text(markdown(rows, skipped, machine), encoding="utf-8")
    text = json.dumps([dataclasses.asdict(row) for row in rows], indent=1)
    (folder / "rows.json").write_text(text + "\n", encoding="utf-8")
    draw(rows, folder / "scaling")


if __name__ == "__main__":
    sys.exit(main())
