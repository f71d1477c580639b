"""`python -m experiments`: compute the results that are missing or stale."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import joblib

from experiments._progress import BACKENDS
from experiments._store import PROFILES, Store


def main(argv: Sequence[str] | None = None, store: Store | None = None) -> int:
    """Run the command line and return the exit status: 0, 1 (something failed) or 2 (a wrong argument)."""
    store = store or Store()
    options = _parser().parse_args(argv)
    try:
        names = [store.experiment(name).name for name in options.names] or store.names()
    except (ValueError, TypeError) as error:
        print(error, file=sys.stderr)
        return 2
    if options.list:
        return _list(store, names)
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


def add_compute_options(parser: argparse.ArgumentParser) -> None:
    """The options that `python -m experiments` and `python -m figures` share."""
    parser.add_argument(
        "--profile", choices=PROFILES, default="cpu", help="settings (default: cpu, two cores)"
    )
    parser.add_argument(
        "--jobs", type=_positive, default=joblib.cpu_count(), help="processes (default: one per core)"
    )
    parser.add_argument("--backend", choices=BACKENDS, default="loky", help="joblib's way to the processes")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m experiments", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="experiments (default: all)")
    parser.add_argument("--list", action="store_true", help="show questions and the state of the results")
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
