"""Block-tridiagonal matrices: products, Cholesky factor, inverse blocks, both ends of the spectrum."""

from ._kernels import solve_lower
from .block_tridiagonal import BlockTridiagonal, BlockTridiagonalCholesky
from .observed import by_pattern, solve_observed, where_observed
from .spectrum import SpectrumEnds, extreme_pairs

__all__ = [
    "BlockTridiagonal",
    "BlockTridiagonalCholesky",
    "SpectrumEnds",
    "by_pattern",
    "extreme_pairs",
    "solve_lower",
    "solve_observed",
    "where_observed",
]
