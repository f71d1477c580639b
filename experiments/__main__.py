"""`python -m experiments`: compute the results that are missing or stale."""

from __future__ import annotations

import argparse
import ast
import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from experiments._progress import BACKENDS
from experiments._store import PROFILES, Store
from pctheory import _check

INTERRUPTED = (
    "Interrupted. Results and figures that were finished are kept, and so is every finished cell of a sweep: "
    "the same command goes on from there."
)


def main(argv: Sequence[str] | None = None, store: Store | None = None) -> int:
    """Run the command line and return the exit status: 0, 1 (something failed), 2 (a wrong argument) or 130
    (interrupted).
    """
    store = store or Store()
    options = _parser().parse_args(argv)
    if options.list and not options.names:
        for name, facts in outline(store.package).items():
            print(f"{name}\n    {facts.get('question', '?')}")
        print("With a NAME, --list says too what is known of its results.", file=sys.stderr)
        return 0
    try:
        names = [
            _check.choice(name.replace("-", "_"), "experiment", store.names()) for name in options.names
        ] or store.names()
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    try:
        return _list(store, names) if options.list else _each(store, names, options)
    except KeyboardInterrupt:
        print(INTERRUPTED, file=sys.stderr)
        return 130


def _each(store: Store, names: Sequence[str], options: argparse.Namespace) -> int:
    failures: list[str] = []
    for name in names:
        try:
            store.obtain(
                store.experiment(name),
                options.profile,
                jobs=options.jobs,
                backend=options.backend,
                force=options.force,
            )
        except Exception as error:  # noqa: BLE001  # one broken experiment must not cost the night's other ones
            failures.append(f"{name}: {type(error).__name__}: {error}")
            print(failures[-1], file=sys.stderr)
    if failures:
        print(f"{len(failures)} of {len(names)} experiments failed:", *failures, sep="\n  ", file=sys.stderr)
    return 1 if failures else 0


def outline(package: str) -> dict[str, dict[str, str]]:
    """What the modules of a package say of themselves, by name, read from their source without importing it.

    Returns
    -------
    facts : dict by module of dict
        "question" is the first paragraph of the docstring; the others are its strings in capital letters.
    """
    spec = importlib.util.find_spec(package)
    folders = list(spec.submodule_search_locations or ()) if spec else []
    found: dict[str, dict[str, str]] = {}
    for path in sorted(p for folder in folders for p in Path(folder).glob("[!_]*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        facts = {"question": " ".join((ast.get_docstring(tree) or "").partition("\n\n")[0].split())}
        for node in tree.body:
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                try:
                    value = ast.literal_eval(node.value)
                except ValueError:
                    continue
                if isinstance(value, str):
                    facts[node.targets[0].id] = value
        found[path.stem] = facts
    return found


def add_compute_options(parser: argparse.ArgumentParser) -> None:
    """The options that `python -m experiments` and `python -m figures` share."""
    parser.add_argument(
        "--profile", choices=PROFILES, default="cpu", help="settings (default: cpu, two cores)"
    )
    parser.add_argument(
        "--jobs", type=_positive, default=os.cpu_count() or 1, help="processes (default: one per core)"
    )
    parser.add_argument("--backend", choices=BACKENDS, default="loky", help="joblib's way to the processes")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m experiments", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="experiments (default: all)")
    parser.add_argument(
        "--list", action="store_true", help="show questions; of named experiments also the results"
    )
    parser.add_argument("--force", action="store_true", help="recompute what is present, too")
    add_compute_options(parser)
    return parser


def _list(store: Store, names: Sequence[str]) -> int:
    broken = 0
    for name in names:
        try:
            experiment = store.experiment(name)
        except Exception as error:  # noqa: BLE001  # the others can still be listed
            broken = 1
            print(f"{name}\n    cannot be loaded: {error}")
            continue
        print(f"{name}\n    {experiment.question}")
        for profile in PROFILES:
            status = store.status(experiment, profile)
            seconds = "" if status.seconds is None else f", {status.seconds:.0f} s"
            reason = "" if status.reason is None else f": {status.reason}"
            print(f"    {profile:<6} {status.state}{reason}{seconds}")
    return broken


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more, got {number}")
    return number


if __name__ == "__main__":
    sys.exit(main())
