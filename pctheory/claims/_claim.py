"""One claim."""

from __future__ import annotations

import pkgutil
from dataclasses import dataclass
from html import escape

from .. import _check, _html

__all__ = ["EVIDENCE", "Claim"]

EVIDENCE = ("symbolic", "numerical", "empirical")
"""The three independent checks of a claim, in the order of the tables."""


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
    evidence : tuple of "symbolic", "numerical", "empirical"
        The independent checks that the tests make.
    where : str
        Dotted name of the public function, class or method that computes what the claim states. A claim that
        is measured and has no formula names the experiment that measures it. Its docstring names the claim.
    figures : tuple of figure ids
        Where it can be seen.

    Raises
    ------
    ValueError
        If `evidence` holds an unknown word, or `where` is not a dotted name in `pctheory` or `experiments`.

    Examples
    --------
    >>> from pctheory.claims import claims
    >>> claims["error-coordinates"]
    Claim(error-coordinates: symbolic, numerical, empirical)
    >>> claims["error-coordinates"].where
    'pctheory.inference.error_eigenvalues'
    """

    id: str
    title: str
    statement: str
    assumptions: str
    source: str
    evidence: tuple[str, ...]
    where: str
    figures: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for kind in self.evidence:
            _check.choice(kind, "evidence", EVIDENCE)
        root, *parts = self.where.split(".")
        if root not in ("pctheory", "experiments") or not parts or not all(p.isidentifier() for p in parts):
            raise ValueError(
                f"`where` must be a dotted name in `pctheory` or `experiments`. Got {self.where!r}: name a "
                "public function, as in 'pctheory.inference.equilibrium'."
            )

    def resolve(self) -> object:
        """The object that `where` names, imported.

        Returns
        -------
        object
            A function, a class, or the module of an experiment.

        Raises
        ------
        ImportError, AttributeError
            If there is no such object.

        Examples
        --------
        >>> from pctheory.claims import claims
        >>> claims["equilibrium-errors"].resolve().__name__
        'equilibrium'
        """
        return pkgutil.resolve_name(self.where)

    def __repr__(self) -> str:
        return f"Claim({self.id}: {', '.join(self.evidence)})"

    def _repr_html_(self) -> str:
        facts = {
            "assumptions": self.assumptions,
            "source": self.source,
            "evidence": ", ".join(self.evidence),
            "computed by": self.where,
            "figures": ", ".join(self.figures) or "none",
        }
        return _html.card(f"{self.title} ({self.id})", facts, f"<p>{escape(self.statement)}</p>")
