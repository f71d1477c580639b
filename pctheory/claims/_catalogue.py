"""All claims, read by id, printed as a table."""

from __future__ import annotations

import html
import importlib
from collections.abc import Iterator, Mapping

from ._claim import EVIDENCE, Claim

__all__ = ["SECTIONS", "Catalogue"]

SECTIONS = {
    "model": "Energy and data",
    "inference": "Equilibrium and inference",
    "trust_region": "The trust region",
    "landscape": "Landscape",
    "dynamics": "Gradient flow and learning rates",
    "limits": "Initialisation, conditioning and limits",
    "learning": "Learning through inference",
    "related": "Related models",
}
"""Package that computes the claims of a section, and the section's heading, in the paper's order."""


class Catalogue(Mapping[str, Claim]):
    """A read-only mapping from claim id to `Claim`.

    Parameters
    ----------
    sections : mapping from heading to claims
        The claims in the order of the tables.

    Raises
    ------
    ValueError
        If two claims have the same id.

    Examples
    --------
    >>> from pctheory.claims import claims
    >>> "strict-saddles" in claims, claims["strict-saddles"].title
    (True, 'Saddles of the equilibrated energy are strict')
    """

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
            ticks = "  ".join(
                ("yes" if kind in claim.evidence else "-").ljust(len(kind)) for kind in EVIDENCE
            )
            lines.append(f"{claim.id:{width}}  {ticks}  {claim.source}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td><code>{claim.id}</code></td><td>{html.escape(claim.title)}</td>"
            + "".join(f"<td>{'✓' if kind in claim.evidence else ''}</td>" for kind in EVIDENCE)
            + f"<td>{html.escape(claim.source)}</td></tr>"
            for claim in self._claims.values()
        )
        heads = "".join(f"<th>{name}</th>" for name in ("id", "claim", *EVIDENCE, "source"))
        return f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"
