"""Block-tridiagonal matrices: products, Cholesky factor, inverse blocks, both ends of the spectrum."""

from ._kernels import lower_factor, qr_root, solve_lower, thin_qr
from .block_tridiagonal import BlockTridiagonal, BlockTridiagonalCholesky
from .observed import by_pattern, solve_observed, where_observed
from .spectrum import SpectrumEnds, extreme_pairs

__all__ = [
    "BlockTridiagonal",
    "BlockTridiagonalCholesky",
    "SpectrumEnds",
    "by_pattern",
    "extreme_pairs",
    "lower_factor",
    "qr_root",
    "solve_lower",
    "solve_observed",
    "thin_qr",
    "where_observed",
]
