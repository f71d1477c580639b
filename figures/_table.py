"""Verdict, looks and scale of all figures, in one table."""

from collections.abc import Sequence

from figures._figure import Drawn, caption_words

_HEADS = ("figure", "verdict", "words", "panels", "smallest font", "closest colours", "seeds", "settings")


def table(drawn: Sequence[Drawn]) -> str:
    """A table in Markdown: words of the caption, smallest font in points, distance under deuteranopia of the
    two closest colours that nothing else tells apart.
    """
    rows = [_HEADS, ("---",) * len(_HEADS), *map(_row, drawn)]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _row(drawn: Drawn) -> tuple[str, ...]:
    looks = (
        f"{drawn.looks[name]:g}" if name in drawn.looks else "-" for name in ("panels", "font", "colours")
    )
    seeds = "-" if drawn.seeds is None else str(drawn.seeds)
    return (drawn.id, drawn.verdict, str(caption_words(drawn.caption)), *looks, seeds, drawn.parts[2] or "-")
