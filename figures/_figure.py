"""The contract of a figure module, and how one is drawn."""

from __future__ import annotations

import dataclasses
import importlib
import io
import json
import pkgutil
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from matplotlib.figure import Figure as Canvas

from experiments._result import Result, write_atomically
from experiments._store import Meta
from figures import _rule
from figures._film import Film
from figures._outcome import Outcome, verdict
from figures._tex import to_html
from pctheory import _check
from pctheory.plotting import style

THUMB_DPI = 90
_SETTINGS = ("exact setting", "scaled down", "analogue")
CAPTION_WORDS = 120
_FORMULA = re.compile(r"\$[^$]*\$")
_SENTENCE = re.compile(r"(\.)\s+")
# Without these matplotlib writes the time of drawing: the same result must give the same bytes.
_METADATA: dict[str, dict[str, Any]] = {"png": {"Software": None}, "pdf": {"CreationDate": None}}


@dataclasses.dataclass(frozen=True)
class Figure:
    """A figure module that keeps the contract."""

    id: str
    title: str
    source: str
    size: tuple[float, float]
    experiments: tuple[str, ...]
    single: bool
    summary: bool
    draw: Callable[..., None]
    caption: Callable[..., str]
    numbers: Callable[..., Mapping[str, Any]] | None
    outcomes: Callable[..., list[Outcome]] | None
    film: Film | None


@dataclasses.dataclass(frozen=True)
class Drawn:
    """What is known of a drawn figure: the gallery, the captions and the numbers of the paper are made from
    it.
    """

    id: str
    title: str
    source: str
    size: tuple[float, float]
    setting: str
    caption: str
    experiments: list[str]
    profile: str
    stale: bool
    seconds: float
    numbers: dict[str, str | int | float]
    outcomes: list[Outcome]
    seeds: int | None = None
    looks: dict[str, float] = dataclasses.field(default_factory=dict)

    @property
    def parts(self) -> tuple[str, str, str]:
        """The caption's first sentence, which is the figure's message; the rest; how the settings compare."""
        return _split(self.caption)

    @property
    def verdict(self) -> str:
        """Against the published outcomes: one of `VERDICTS`, or `new`."""
        return verdict(self.outcomes)


def _split(caption: str) -> tuple[str, str, str]:
    start = max(caption.rfind(f"({setting}") for setting in _SETTINGS)
    text, setting = (caption, "") if start < 0 else (caption[:start], caption[start:])
    first, _, rest = _SENTENCE.sub(r"\1\n", text.strip(), count=1).partition("\n")
    return first, rest, f"{setting.strip('(). ')}." if setting else ""


def caption_words(caption: str) -> int:
    """Words of a caption besides the settings, at most `CAPTION_WORDS`; a formula counts as one."""
    return len(_FORMULA.sub("x", " ".join(_split(caption)[:2])).split())


def figure_ids(package: str) -> list[str]:
    path = importlib.import_module(package).__path__
    names = (m.name for m in pkgutil.iter_modules(path) if not m.ispkg and m.name[0] != "_")
    return sorted(name.replace("_", "-") for name in names)


def load_figure(package: str, name: str) -> Figure:
    """Import a figure module by its id, with `-` or `_`, and check the contract."""
    figure_id = _check.choice(name.replace("_", "-"), "figure", figure_ids(package))
    return _figure(importlib.import_module(f"{package}.{figure_id.replace('-', '_')}"), figure_id)


def _figure(module: ModuleType, figure_id: str) -> Figure:
    summary, single = bool(getattr(module, "SUMMARY", False)), hasattr(module, "EXPERIMENT")
    used = (module.EXPERIMENT,) if single else getattr(module, "EXPERIMENTS", ())
    size = getattr(module, "SIZE", None)
    rule = None
    if not summary and (not used or not all(isinstance(e, ModuleType) for e in used)):
        rule = "must name its experiment module as `EXPERIMENT`, or several as the tuple `EXPERIMENTS`"
    elif not isinstance(size, tuple) or len(size) != 2:
        rule = "must give its printed size in inches as `SIZE = (width, height)`"
    elif not all(isinstance(getattr(module, name, None), str) for name in ("TITLE", "SOURCE")):
        rule = "must define the strings `TITLE` and `SOURCE`"
    elif not all(callable(getattr(module, name, None)) for name in ("draw", "caption")):
        rule = "must define `draw(fig, result)` and `caption(result, meta)`"
    elif len({hasattr(module, name) for name in ("FILM", "frames", "frame")}) > 1:
        rule = "must define all of `FILM = (width, height)`, `frames(result)` and `frame(fig, result, index)`"
    if rule is not None:
        raise TypeError(f"The figure `{figure_id}` {rule}: see experiments/README.md.")
    assert size is not None
    return Figure(
        id=figure_id,
        title=module.TITLE,
        source=module.SOURCE,
        size=(float(size[0]), float(size[1])),
        experiments=tuple(e.__name__.rpartition(".")[2] for e in used),
        single=single,
        summary=summary,
        draw=module.draw,
        caption=module.caption,
        numbers=getattr(module, "numbers", None),
        outcomes=getattr(module, "outcomes", None),
        film=Film(module.FILM, module.frames, module.frame) if hasattr(module, "FILM") else None,
    )


def draw_figure(
    figure: Figure, stored: Sequence[tuple[Result, Meta]], out: Path, formats: Sequence[str]
) -> Drawn:
    """Draw from results: write `out/<id>.<format>`, `<id>.thumb.png`, `<id>.txt` (the caption), `<id>.json`,
    and of a figure with frames `<id>.gif`.

    Everything is made before anything is written, so a figure that fails leaves its last good version in
    place.
    """
    metas = [meta for _, meta in stored]
    if figure.single:
        result, meta = stored[0]
        arguments: tuple[Any, Any] = (result, meta)
    else:
        arguments = ({m.experiment: r for r, m in stored}, {m.experiment: m for m in metas})
    outcomes = figure.outcomes(*arguments) if figure.outcomes else []
    about = {
        "profile": metas[0].profile,
        "stale": any(meta.stale for meta in metas),
        "seconds": sum(meta.seconds for meta in metas),
        "outcomes": outcomes,
        "seeds": min((m.config["seeds"] for m in metas if "seeds" in m.config), default=None),
    }
    return _write(figure, arguments, about, out, formats)


def draw_summary(figure: Figure, drawn: Sequence[Drawn], out: Path, formats: Sequence[str]) -> Drawn:
    """Draw a figure that sums up others from their records, and write the same files."""
    about = {
        "profile": " and ".join(sorted({d.profile for d in drawn})),
        "stale": any(d.stale for d in drawn),
        "seconds": 0.0,
        "outcomes": [],
    }
    return _write(figure, (drawn,), about, out, formats)


def _write(
    figure: Figure, arguments: tuple[Any, ...], about: dict[str, Any], out: Path, formats: Sequence[str]
) -> Drawn:
    caption = " ".join(figure.caption(*arguments).split())
    if not figure.summary and not any(setting in caption for setting in _SETTINGS):
        raise ValueError(
            f"The caption of `{figure.id}` must say 'exact setting', 'scaled down: ...' or 'analogue: ...': "
            "put `meta.setting` into it."
        )
    # A formula that cannot be shown must fail here, with its figure, and not with the whole page.
    texts = (t for o in about["outcomes"] for t in (o.published, o.measured))
    for text in (figure.title, caption, *texts):
        to_html(text)
    setting = "summary" if figure.summary else min((s for s in _SETTINGS if s in caption), key=caption.index)
    numbers = dict(figure.numbers(arguments[0])) if figure.numbers else {}
    images, looks = _render(figure, arguments[0], formats)
    drawn = Drawn(
        id=figure.id,
        title=figure.title,
        source=figure.source,
        size=figure.size,
        setting=setting,
        caption=caption,
        experiments=list(figure.experiments),
        numbers={
            key: value if isinstance(value, str | int) else float(value) for key, value in numbers.items()
        },
        looks=looks,
        **about,
    )
    for suffix, image in images.items():
        write_atomically(out / f"{figure.id}.{suffix}", image)
    write_atomically(out / f"{figure.id}.txt", caption + "\n")
    write_atomically(out / f"{figure.id}.json", json.dumps(dataclasses.asdict(drawn), indent=1) + "\n")
    return drawn


def read_drawn(out: Path) -> list[Drawn]:
    """The records of all figures that lie in `out`, by id; those that an older version wrote do not count."""
    fields = {field.name for field in dataclasses.fields(Drawn)}
    records = (json.loads(path.read_text()) for path in sorted(out.glob("*.json")))
    return [
        Drawn(**{**record, "outcomes": [Outcome(**o) for o in record["outcomes"]]})
        for record in records
        if record.keys() == fields
    ]


def _render(figure: Figure, result: Any, formats: Sequence[str]) -> tuple[dict[str, bytes], dict[str, float]]:
    """The files of the figure, by suffix, and what `_rule` measures on it."""
    images = {}
    with style():
        canvas = Canvas(figsize=figure.size, layout="constrained")
        figure.draw(canvas, result)
        for suffix in formats:
            buffer = io.BytesIO()
            canvas.savefig(buffer, format=suffix, metadata=_METADATA[suffix])
            images[suffix] = buffer.getvalue()
        buffer = io.BytesIO()
        canvas.savefig(buffer, format="png", dpi=THUMB_DPI, metadata=_METADATA["png"])
        images["thumb.png"] = buffer.getvalue()
        looks = _rule.looks(canvas)
    if figure.film is not None:
        images["gif"] = figure.film.render(result)
    return images, looks
