r"""Exact derivations of the theory, by sympy, from the definition of the energy and nothing else.

`derivations()` names them all, `derive(name)` builds one: a `Derivation` whose every step has been checked when it was built
(`pctheory.symbolic.derivation`) and which shows itself as LaTeX in a notebook and in the paper's appendix. A name is the id
of the claim and, after a slash, the case: `equilibrated-energy/chain-3`.

This package shares no code with the rest of `pctheory`: it is one of the independent checks of every claim.

Examples
--------
>>> proof = derive("equilibrated-energy/chain-2")
>>> proof.claim, len(proof.steps)
('equilibrated-energy', 5)
>>> sorted(derivations("stability-delay"))
['stability-delay']
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from . import (
    balance,
    blocks,
    chain,
    curvature,
    gradients,
    induction,
    inference,
    learning,
    origin,
    related,
    saddles,
    spectra,
    trust_region,
)
from .blocks import Network
from .chain import Chain
from .derivation import Derivation, Step
from .exact import vanishes

__all__ = ["Chain", "Derivation", "Network", "Step", "derivations", "derive", "vanishes"]

_MODULES = (
    chain,
    induction,
    blocks,
    curvature,
    gradients,
    balance,
    origin,
    saddles,
    trust_region,
    inference,
    spectra,
    learning,
    related,
)


def derivations(claim: str | None = None) -> dict[str, Callable[[], Derivation]]:
    """The builder of every derivation by name, in the order of the theory; of one claim only, when its id is given.

    Nothing is derived until a builder is called.
    """
    builders = {name: builder for module in _MODULES for name, builder in module.DERIVATIONS.items()}
    if claim is None:
        return builders
    chosen = {name: builder for name, builder in builders.items() if name.split("/")[0] == claim}
    if not chosen:
        known = ", ".join(dict.fromkeys(name.split("/")[0] for name in builders))
        raise ValueError(f"`claim` must be one with a symbolic derivation: {known}. Got {claim!r}.")
    return chosen


@cache
def derive(name: str) -> Derivation:
    """Build the derivation of that name (see `derivations`); a second call returns the same value."""
    builders = derivations()
    if name not in builders:
        near = [known for known in builders if known.split("/")[0] == name.split("/")[0]]
        raise ValueError(f"`name` must be one of {', '.join(near or builders)}. Got {name!r}.")
    return builders[name]()
