"""`python -m figures`: compute what is missing or stale, draw, write the gallery and the captions."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.__main__ import INTERRUPTED, add_compute_options, outline
from experiments._store import Store
from pctheory import _check

if TYPE_CHECKING:
    from figures._figure import Figure

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "figures" / "out"
FORMATS = ("png", "pdf")


def main(argv: Sequence[str] | None = None, store: Store | None = None, package: str = "figures") -> int:
    """Run the command line and return the exit status: 0, 1 (a figure failed), 2 (a wrong argument) or 130
    (interrupted).
    """
    os.environ.setdefault("SOURCE_DATE_EPOCH", "0")  # read by matplotlib: no clock in the files
    store = store or Store()
    options = _parser().parse_args(argv)
    described = {name.replace("_", "-"): facts for name, facts in outline(package).items()}
    known = list(described)
    ids = [name.replace("_", "-") for name in options.ids] or known
    if unknown := [name for name in ids if name not in known]:
        print(
            f"A figure id must be one of {', '.join(known)}. Got {', '.join(unknown)}."
            f"{_check.meant(unknown[0], known)}",
            file=sys.stderr,
        )
        return 2
    if options.list and not options.ids:
        for name, facts in described.items():
            print(f"{name}  [{facts.get('SOURCE', '?')}]\n    {facts.get('TITLE', '?')}")
        print("With an ID, --list says too what is known of its results.", file=sys.stderr)
        return 0
    if options.table:
        from figures._figure import read_drawn
        from figures._table import table

        print(table([d for d in read_drawn(options.out) if d.id in ids]), end="")
        return 0
    try:
        return _each(ids, known, options, store, package)
    except KeyboardInterrupt:
        print(INTERRUPTED, file=sys.stderr)
        return 130


def _each(
    ids: Sequence[str], known: Sequence[str], options: argparse.Namespace, store: Store, package: str
) -> int:
    from figures._figure import draw_summary, load_figure, read_drawn

    failures: list[str] = []
    figures = []
    for figure_id in ids:
        try:
            figures.append(load_figure(package, figure_id))
        except Exception as error:  # noqa: BLE001  # one broken figure must not hide the others
            _fail(failures, figure_id, error)
    for figure in sorted(figures, key=lambda f: f.summary):
        try:
            if options.list:
                _show(figure, store, options.profile)
            elif figure.summary:
                others = [d for d in read_drawn(options.out) if d.id in known and d.setting != "summary"]
                draw_summary(figure, others, options.out, options.formats)
                print(f"{figure.id}: drawn", file=sys.stderr)
            else:
                _draw(figure, store, options)
        except Exception as error:  # noqa: BLE001
            _fail(failures, figure.id, error)
    if not options.list:
        _write_pages(options, set(known))
    if failures:
        print(f"{len(failures)} of {len(ids)} figures failed:", *failures, sep="\n  ", file=sys.stderr)
    return 1 if failures else 0


def _fail(failures: list[str], figure_id: str, error: Exception) -> None:
    failures.append(f"{figure_id}: {type(error).__name__}: {error}")
    print(failures[-1], file=sys.stderr)


def _draw(figure: Figure, store: Store, options: argparse.Namespace) -> None:
    from figures._figure import draw_figure

    stored = [
        store.obtain(
            store.experiment(name),
            options.profile,
            jobs=options.jobs,
            backend=options.backend,
            keep_stale=options.keep_stale,
        )
        for name in figure.experiments
    ]
    draw_figure(figure, stored, options.out, options.formats)
    print(f"{figure.id}: drawn", file=sys.stderr)


def _write_pages(options: argparse.Namespace, known: set[str]) -> None:
    """The pages show all figures in the folder, those of earlier calls too, but none that no longer
    exists.
    """
    from figures._figure import read_drawn
    from figures._gallery import write_gallery
    from figures._sections import reading_order
    from figures._tex import write_tex

    drawn = [d for d in read_drawn(options.out) if d.id in known]
    inside = options.out.resolve().is_relative_to(ROOT)
    sources = Path(os.path.relpath(ROOT, options.out.resolve())) if inside else None
    write_gallery(drawn, options.out, sources, reading_order())
    # Only the standard folder feeds the paper: a quick look elsewhere must not change its captions.
    standard = options.out.resolve() == OUT
    write_tex(drawn, ROOT / "paper" / "generated" if standard else options.out / "paper")
    print(f"gallery: {options.out / 'index.html'}", file=sys.stderr)


def _show(figure: Figure, store: Store, profile: str) -> None:
    print(f"{figure.id}  [{figure.source}]\n    {figure.title}")
    for name in figure.experiments:
        print(f"    {name} ({profile}): {store.status(store.experiment(name), profile).state}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m figures", description=__doc__)
    parser.add_argument("ids", nargs="*", metavar="ID", help="figures (default: all)")
    parser.add_argument(
        "--list", action="store_true", help="show titles and sources; of named figures also the results"
    )
    parser.add_argument(
        "--table", action="store_true", help="print, of the figures drawn so far, verdict, looks and scale"
    )
    parser.add_argument("--out", type=Path, default=OUT, help="folder to write to (default: figures/out)")
    parser.add_argument(
        "--formats", nargs="+", choices=FORMATS, default=list(FORMATS), help="default: png pdf"
    )
    parser.add_argument(
        "--keep-stale", action="store_true", help="draw stale results instead of recomputing them"
    )
    add_compute_options(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
