"""The dense steps of a block elimination: raw LAPACK on numpy arrays, array-API operations on all others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.linalg
from array_api_compat import array_namespace, device

from .._check import Array

__all__ = ["ArrayAPI", "Lapack", "dense", "identity", "solve_lower"]


class Lapack:
    """The dense steps of the elimination on rows, in place on Fortran-ordered arrays that the caller owns.

    scipy's raw BLAS throughout: numpy's matmul runs on another thread pool, and two pools fight over small
    blocks.
    """

    def __init__(self, dtype: np.dtype[Any]) -> None:
        kind = "s" if dtype == np.float32 else "d"
        self._potrf = getattr(scipy.linalg.lapack, f"{kind}potrf")
        self._trsm, self._syrk, self._gemm = (
            getattr(scipy.linalg.blas, kind + name) for name in ("trsm", "syrk", "gemm")
        )

    def own(self, array: Array) -> Array:
        """A copy to write on; its column slices are contiguous."""
        return np.array(array, order="F")

    def pivot(self, block: Array, coupling: Array | None) -> Array | None:
        """Lower C with C C^T = D - X X^T; None where that is not positive definite."""
        work = self.own(block.T)  # D is symmetric, and its transpose lies in memory in Fortran's order
        if coupling is not None:
            work = self._syrk(-1.0, coupling, beta=1.0, c=work, lower=1, overwrite_c=1)
        factor, info = self._potrf(work, lower=1, clean=1, overwrite_a=1)
        return factor if info == 0 and np.all(np.isfinite(factor.diagonal())) else None

    def solve(self, pivot: Array, rows: Array, *, transposed: bool = False) -> Array:
        """Rows v -> C^{-1} v, or C^{-T} v."""
        return self._trsm(1.0, pivot, rows, side=1, lower=1, trans_a=int(not transposed), overwrite_b=1)

    def subtract(self, rows: Array, coupling: Array, other: Array, *, transposed: bool = False) -> Array:
        """Rows v -> v - X u, or v - X^T u, with rows u in `other`."""
        return self._gemm(-1.0, other, coupling, beta=1.0, c=rows, trans_b=int(not transposed), overwrite_c=1)


class ArrayAPI:
    """The same steps in any array library, without mutation, so that gradients flow."""

    def __init__(self, xp: Any) -> None:
        self._xp = xp

    def own(self, array: Array) -> Array:
        return array

    def pivot(self, block: Array, coupling: Array | None) -> Array | None:
        schur = block if coupling is None else block - coupling @ coupling.T
        try:
            factor = self._xp.linalg.cholesky(schur)
        except (RuntimeError, ValueError) as error:  # torch's LinAlgError is the one, numpy's the other
            if "LinAlgError" not in type(error).__name__:
                raise
            return None
        try:  # JAX answers with NaN instead; a traced array cannot be looked at
            return factor if bool(self._xp.all(self._xp.isfinite(factor))) else None
        except (TypeError, RuntimeError):
            return factor

    def solve(self, pivot: Array, rows: Array, *, transposed: bool = False) -> Array:
        return self._xp.linalg.solve(pivot.T if transposed else pivot, rows.T).T

    def subtract(self, rows: Array, coupling: Array, other: Array, *, transposed: bool = False) -> Array:
        return rows - other @ (coupling if transposed else coupling.T)


def solve_lower(lower: Array, rows: Array, *, transposed: bool = False) -> Array:
    """Rows v -> C^{-1} v, or C^{-T} v, for a lower triangular C. Unchecked; differentiable outside numpy."""
    if isinstance(lower, np.ndarray) and rows.shape[0]:
        kernel = Lapack(lower.dtype)
        return kernel.solve(lower, kernel.own(rows), transposed=transposed)
    return ArrayAPI(array_namespace(lower)).solve(lower, rows, transposed=transposed)


def identity(block: Array) -> Array:
    """The identity matrix of a block's order, library and dtype."""
    return array_namespace(block).eye(block.shape[0], dtype=block.dtype, device=device(block))


def dense(diagonal: Sequence[Array], lower: Sequence[Array], upper: Sequence[Array]) -> Array:
    """One array from the blocks on, below and above the diagonal."""
    if not diagonal:
        return np.zeros((0, 0))
    xp = array_namespace(*diagonal)
    like, last = diagonal[0], len(diagonal) - 1

    def zeros(row: int, column: int) -> Array:
        shape = (diagonal[row].shape[0], diagonal[column].shape[0])
        return xp.zeros(shape, dtype=like.dtype, device=device(like))

    bands = []
    for l, block in enumerate(diagonal):
        band = [zeros(l, j) for j in range(l - 1)]
        band += [lower[l - 1]] if l else []
        band += [block]
        band += [upper[l]] if l < last else []
        band += [zeros(l, j) for j in range(l + 2, last + 1)]
        bands.append(xp.concat(band, axis=1))
    return xp.concat(bands, axis=0)
