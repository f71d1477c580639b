"""One claim."""

from __future__ import annotations

from dataclasses import dataclass

from .. import _check

__all__ = ["ROADS", "Claim"]

ROADS = ("symbolic", "numerical", "empirical")


@dataclass(frozen=True)
class Claim:
    r"""A result of the theory.

    Attributes
    ----------
    id : str
        Lower-case words joined by hyphens.
    title : str
        A few words, as a heading.
    statement : str
        LaTeX, complete enough to be read alone.
    assumptions : str
        What the statement needs.
    source : str
        Who showed it first; "this work" where it is new.
    roads : tuple of "symbolic", "numerical", "empirical"
        The independent ways in which the tests verify it.
    module : str
        Where the formula lives.
    figures : tuple of figure ids
        Where it can be seen.
    """

    id: str
    title: str
    statement: str
    assumptions: str
    source: str
    roads: tuple[str, ...]
    module: str
    figures: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for road in self.roads:
            _check.choice(road, "roads", ROADS)

    def __repr__(self) -> str:
        return f"Claim({self.id}: {', '.join(self.roads)})"

    def _repr_latex_(self) -> str:
        return self.statement
