r"""Exact derivations of the theory, by sympy, from the definition of the energy.

`derivations()` is the table of all of them, `derive(claim, ...)` builds one: a `Derivation`. Every step is
checked when it is built, and every step starts from a premise or from the result of an earlier step. It shows
itself as LaTeX in a notebook and in the paper's file of derivations.

This package shares no code with the rest of `pctheory`: it is one of the independent ways in which a claim is
checked.

Examples
--------
>>> proof = derive("equilibrated-energy", hidden_layers=1)
>>> proof.claim, len(proof.steps), list(proof.premises)
('equilibrated-energy', 5, ['the energy $F$ of one sample'])
>>> [str(case) for case in derivations("stability-delay")]
['stability-delay()']
"""

from __future__ import annotations

from typing import Any

from .. import _check
from . import (
    balance,
    blocks,
    chain,
    consolidation,
    curvature,
    gradients,
    graphs,
    growth,
    induction,
    inference,
    learning,
    origin,
    predify,
    related,
    saddles,
    spectra,
    trust_region,
)
from .blocks import Network
from .cases import Case, Derivations, built
from .chain import Chain
from .derivation import Derivation, Step
from .exact import vanishes

__all__ = [
    "Case",
    "Chain",
    "Derivation",
    "Derivations",
    "Network",
    "Step",
    "derivations",
    "derive",
    "vanishes",
]

_MODULES = (
    chain,
    induction,
    blocks,
    curvature,
    gradients,
    balance,
    graphs,
    origin,
    saddles,
    growth,
    trust_region,
    inference,
    spectra,
    learning,
    consolidation,
    predify,
    related,
)
_FAMILIES = tuple(family for module in _MODULES for family in module.FAMILIES)
_CLAIMS = tuple(dict.fromkeys(family.claim for family in _FAMILIES))


def derivations(claim: str | None = None) -> Derivations:
    """List the derivations, in the order of the theory.

    Parameters
    ----------
    claim : str, optional
        The id of a claim: its derivations only.

    Returns
    -------
    Derivations
        A sequence of `Case`, shown as a table. Nothing is derived before a case is built or the table is
        shown.

    Raises
    ------
    ValueError
        If the claim has no symbolic derivation.

    Examples
    --------
    >>> derivations("tr-weights")
    claim       cases     steps  shows
    tr-weights  any size  4      One hidden unit: ...
    """
    if claim is None:
        return Derivations(_FAMILIES)
    _check.choice(claim, "claim", _CLAIMS)
    return Derivations([family for family in _FAMILIES if family.claim == claim])


def derive(claim: str, **case: Any) -> Derivation:
    """Build a derivation of a claim; a second call with the same arguments returns the same value.

    Parameters
    ----------
    claim : str
        The id of the claim.
    **case
        The parameters of the case, such as `hidden_layers=2` or `widths=(2, 3, 2)`; see `derivations(claim)`.
        Numbers beyond the listed ones are derived too, and take longer.

    Returns
    -------
    Derivation

    Raises
    ------
    ValueError
        If the claim has no derivation, or none with these parameters; the message lists those that it has.
    TypeError
        If a parameter has the wrong type.

    Examples
    --------
    >>> derive("hessian-determinant", hidden_layers=1).result
    Pi_1*Pi_2*(A_2**2/Pi_1 + 1/Pi_2)
    """
    families = derivations(claim).families
    for family in families:
        parameters = family.match(case)
        if parameters is not None:
            return built(family, **parameters)
    ways = "; or ".join(family.described or "no parameter" for family in families)
    got = ", ".join(f"{name}={value!r}" for name, value in case.items()) or "no parameter"
    raise ValueError(f"`{claim}` must be derived with {ways}. Got {got}.")
