r"""The catalogue of results: each claim's statement, assumptions, source, and the roads that verify it.

A claim's id is the marker on its tests (``@pytest.mark.claim("...")``) and its label in the paper. Three roads are
independent of one another: *symbolic* (`pctheory.symbolic`, from the energy's definition), *numerical* (the closed forms
against dense linear algebra and finite differences) and *empirical* (torch: autograd, real inference and training).

>>> import pctheory
>>> pctheory.claims["equilibrated-energy"].roads
('symbolic', 'numerical', 'empirical')
"""

import sys
from collections.abc import Iterator
from types import ModuleType

from ._catalogue import Catalogue
from ._claim import Claim

__all__ = ["Catalogue", "Claim", "claims"]

claims = Catalogue.load()


class _Subscriptable(ModuleType):
    """The package is itself the catalogue: ``pctheory.claims["strict-saddles"]``."""

    def __getitem__(self, claim_id: str) -> Claim:
        return claims[claim_id]

    def __iter__(self) -> Iterator[str]:
        return iter(claims)

    def __len__(self) -> int:
        return len(claims)


sys.modules[__name__].__class__ = _Subscriptable
