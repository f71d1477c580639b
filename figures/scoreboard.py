r"""Every published outcome of the field's theory, what is measured here, and whether the two agree.

It sums up the records of the other figures, each of which compares the numbers of its experiments with what
its source reports (`outcomes`).
"""

import textwrap
from collections import Counter
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from figures._figure import Drawn
from figures._outcome import VERDICTS
from pctheory import plotting

SUMMARY = True
TITLE = "What was published and what is measured here"
SOURCE = "new"
SIZE = (5.5, 8.2)
_COLOURS = {
    "agrees": plotting.COLOURS["pc"],
    "partly": "#e8a33d",
    "disagrees": "#b3392f",
    "not tested": "#c4c8cc",
}
_MARKERS = {"agrees": "s", "partly": "D", "disagrees": "X", "not tested": "o"}
_WIDTHS = (60, 59)
"""Characters to a line of the two columns."""
_ORDER = ("SAD", "MU", "LIM", "TR", "QI", "PFY", "other")
_LEFT = (0.0, 0.139, 0.586)
_FONT = 6.7


def draw(fig: Figure, drawn: Sequence[Drawn]) -> None:
    """One row per outcome: its figure, the published clause, ours, and a mark for the verdict."""
    ax = fig.add_subplot()
    ax.set_axis_off()
    ordered = sorted(drawn, key=lambda d: (_ORDER.index(_paper(d)), d.source))
    rows = [(d, o, *_lines(o.published, o.measured)) for d in ordered for o in d.outcomes]
    total = sum(max(len(p), len(m)) for _, _, p, m in rows) + 0.3 * len(rows) + 2.5
    ax.set(xlim=(0, 1), ylim=(total, 0))
    for x, head in zip(_LEFT, ("source", "published", "measured"), strict=True):
        ax.text(x, 0.9, head, fontsize=7.2, fontweight="bold", va="center")
    y, last = 2.2, ""
    for figure, outcome, published, measured in rows:
        height = max(len(published), len(measured))
        if figure.id != last:
            ax.axhline(y - 0.68, color="0.85", lw=0.4)
            ax.text(0, y, _source(figure), fontsize=_FONT, va="center")
            last = figure.id
        for x, lines in ((_LEFT[1], published), (_LEFT[2], measured)):
            for k, line in enumerate(lines):
                ax.text(x, y + k, line, fontsize=_FONT, va="center")
        _mark(ax, 0.124, y, outcome.verdict)
        y += height + 0.3
    _key(ax, total)


def _source(figure: Drawn) -> str:
    """The paper and its figures; the first of several sources."""
    return figure.source.removeprefix("new; ").split(" for ")[0].split(" and ")[0].split(";")[0]


def _paper(figure: Drawn) -> str:
    return next((key for key in _ORDER if key in figure.source), _ORDER[-1])


def _lines(published: str, measured: str) -> tuple[list[str], list[str]]:
    first, second = (_wrap(text, width) for text, width in zip((published, measured), _WIDTHS, strict=True))
    return first, second


def _wrap(text: str, width: int) -> list[str]:
    """Wrap between words, never inside a formula."""
    parts = [f"${part}$" if k % 2 else part for k, part in enumerate(text.split("$"))]
    glued = "".join(part.replace(" ", "\0") if k % 2 else part for k, part in enumerate(parts))
    return [line.replace("\0", " ") for line in textwrap.wrap(glued, width, break_long_words=False)]


def _mark(ax: Axes, x: float, y: float, verdict: str) -> None:
    ax.plot(x, y, _MARKERS[verdict], ms=3.8, color=_COLOURS[verdict], clip_on=False)


def _key(ax: Axes, bottom: float) -> None:
    for k, verdict in enumerate(VERDICTS):
        _mark(ax, 0.14 + 0.16 * k, bottom - 0.4, verdict)
        ax.text(0.155 + 0.16 * k, bottom - 0.4, verdict, fontsize=_FONT, va="center")


def caption(drawn: Sequence[Drawn]) -> str:
    """How many outcomes agree, and which do not."""
    n = numbers(drawn)
    not_so = [d.id for d in drawn for o in d.outcomes if o.verdict == "disagrees"]
    named = f" Not so: {', '.join(dict.fromkeys(not_so))}." if not_so else ""
    return (
        f"Of {n['outcomes']} published outcomes {n['agrees']} are seen here, {n['partly']} in part, "
        f"{n['disagrees']} not; {n['not-tested']} would need a larger run. Each row is decided by a "
        f"condition in the program of its figure.{named}"
    )


def numbers(drawn: Sequence[Drawn]) -> dict[str, int]:
    """Outcomes by verdict."""
    found = Counter(o.verdict for d in drawn for o in d.outcomes)
    counts = {v.replace(" ", "-"): found[v] for v in VERDICTS}
    return {"outcomes": sum(found.values()), **counts}
