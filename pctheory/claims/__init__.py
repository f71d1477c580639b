r"""The catalogue of results: the statement, assumptions and source of each claim, and its checks.

A claim's id is the marker on its tests (``@pytest.mark.claim("...")``) and its label in the paper. There are
three independent checks: *symbolic* (`pctheory.symbolic` derives the result from the definition of the
energy), *numerical* (the closed form against dense linear algebra and finite differences) and *empirical*
(torch: automatic differentiation, inference and training).

>>> import pctheory
>>> pctheory.claims["equilibrated-energy"].evidence
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
