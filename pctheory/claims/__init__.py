r"""The catalogue of results: each claim's statement, assumptions, source, and the roads that verify it.

A claim's id is the marker on its tests (``@pytest.mark.claim("...")``) and its label in the paper. Three roads are
independent of one another: *symbolic* (`pctheory.symbolic`, from the energy's definition), *numerical* (the closed forms
against dense linear algebra and finite differences) and *empirical* (torch: autograd, real inference and training).

>>> from pctheory.claims import claims
>>> claims["equilibrated-energy"].roads
('symbolic', 'numerical', 'empirical')
"""

from ._catalogue import Catalogue
from ._claim import Claim

__all__ = ["Catalogue", "Claim", "claims"]

claims = Catalogue.load()
