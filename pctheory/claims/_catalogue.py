"""All claims, read by id, printed as a table."""

from __future__ import annotations

import html
import importlib
from collections.abc import Iterator, Mapping

from ._claim import ROADS, Claim

__all__ = ["SECTIONS", "Catalogue"]

SECTIONS = {
    "equilibrium": "Equilibrium",
    "inference": "Inference dynamics",
    "landscape": "Landscape",
    "trust_region": "The trust region",
    "parameterisation": "Parameterisations, conditioning and limits",
    "learning": "Learning through inference",
    "predify": "Predify",
}
"""Module of each section and its heading, in the paper's order."""


class Catalogue(Mapping[str, Claim]):
    """A read-only mapping from claim id to `Claim`."""

    def __init__(self, sections: Mapping[str, tuple[Claim, ...]]) -> None:
        self.sections = dict(sections)
        self._claims: dict[str, Claim] = {}
        for claim in (claim for group in self.sections.values() for claim in group):
            if claim.id in self._claims:
                raise ValueError(f"Each claim must have an `id` of its own. Got {claim.id!r} twice.")
            self._claims[claim.id] = claim

    @classmethod
    def load(cls) -> Catalogue:
        """The catalogue of this package."""
        return cls(
            {
                heading: importlib.import_module(f"{__package__}.{name}").CLAIMS
                for name, heading in SECTIONS.items()
            }
        )

    def __getitem__(self, key: str) -> Claim:
        try:
            return self._claims[key]
        except KeyError:
            raise KeyError(f"no claim {key!r}: the ids are {', '.join(self._claims)}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._claims)

    def __len__(self) -> int:
        return len(self._claims)

    def __repr__(self) -> str:
        width = max(map(len, self._claims), default=2)
        lines = [f"{'id':{width}}  symbolic  numerical  empirical  source"]
        for claim in self._claims.values():
            ticks = "  ".join(("yes" if road in claim.roads else "-").ljust(len(road)) for road in ROADS)
            lines.append(f"{claim.id:{width}}  {ticks}  {claim.source}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td><code>{claim.id}</code></td><td>{html.escape(claim.title)}</td>"
            + "".join(f"<td>{'✓' if road in claim.roads else ''}</td>" for road in ROADS)
            + f"<td>{html.escape(claim.source)}</td></tr>"
            for claim in self._claims.values()
        )
        heads = "".join(f"<th>{name}</th>" for name in ("id", "claim", *ROADS, "source"))
        return f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"
