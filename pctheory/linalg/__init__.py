"""Block-tridiagonal matrices: products, Cholesky factor, inverse blocks, both ends of the spectrum."""

from ._kernels import lower_factor, solve_lower, thin_qr
from .block_tridiagonal import BlockTridiagonal, BlockTridiagonalCholesky
from .spectrum import SpectrumEnds, extreme_pairs

__all__ = [
    "BlockTridiagonal",
    "BlockTridiagonalCholesky",
    "SpectrumEnds",
    "extreme_pairs",
    "lower_factor",
    "solve_lower",
    "thin_qr",
]
