"""Linear algebra of block-tridiagonal matrices: products, Cholesky factor, inverse blocks, both ends of the spectrum."""

from .block_tridiagonal import BlockTridiagonal, BlockTridiagonalCholesky
from .spectrum import ExtremeEigenvalues, extreme_pairs

__all__ = ["BlockTridiagonal", "BlockTridiagonalCholesky", "ExtremeEigenvalues", "extreme_pairs"]
