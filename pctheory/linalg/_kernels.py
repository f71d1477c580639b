"""The dense steps of a block elimination: raw LAPACK on numpy arrays, array-API operations on all others."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import scipy.linalg
from array_api_compat import device

from .._check import Array, namespace

__all__ = ["ArrayAPI", "Lapack", "dense", "identity", "lower_factor", "qr_root", "solve_lower", "thin_qr"]


_TRSM: dict[str, Any] = {"f": scipy.linalg.blas.strsm, "d": scipy.linalg.blas.dtrsm}
_QR: dict[str, Any] = {
    "f": (scipy.linalg.lapack.sgeqrf, scipy.linalg.lapack.sorgqr),
    "d": (scipy.linalg.lapack.dgeqrf, scipy.linalg.lapack.dorgqr),
}


_BLOCK = 64
"""Columns that LAPACK reflects together, if it has the room."""


class Lapack:
    """The dense steps of the elimination on rows, in place on Fortran-ordered arrays that the caller owns.

    scipy's raw BLAS throughout: numpy's matmul runs on another thread pool, and on small blocks
    two pools slow each other down.
    """

    def __init__(self, dtype: np.dtype[Any]) -> None:
        kind = "s" if dtype == np.float32 else "d"
        self._potrf = getattr(scipy.linalg.lapack, f"{kind}potrf")
        self._trsm, self._syrk, self._gemm = (
            getattr(scipy.linalg.blas, kind + name) for name in ("trsm", "syrk", "gemm")
        )

    def own(self, array: Array) -> Array:
        """A copy that may be overwritten, in Fortran order: its column slices are contiguous."""
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
    trsm = _TRSM.get(lower.dtype.char) if isinstance(lower, np.ndarray) else None
    if trsm is not None and rows.shape[0]:
        # LAPACK's order is Fortran's: a matrix in C's order is its own transpose there, which spares copies
        upper = lower.flags.c_contiguous
        triangle = lower.T if upper else lower
        if rows.flags.c_contiguous:  # C^{-1} V^T, on columns
            return trsm(
                1.0, triangle, rows.copy().T, lower=not upper, trans_a=transposed ^ upper, overwrite_b=1
            ).T
        return trsm(  # V C^{-T}, on rows
            1.0,
            triangle,
            np.array(rows, order="F"),
            side=1,
            lower=not upper,
            trans_a=not transposed ^ upper,
            overwrite_b=1,
        )
    return ArrayAPI(namespace(lower)).solve(lower, rows, transposed=transposed)


def thin_qr(columns: Array) -> tuple[Array, Array]:
    """Q (m, k) with orthonormal columns and the upper triangular R (k, k) of m >= k rows. Unchecked.

    Returns
    -------
    q, r
        By LAPACK's own routines, which take a third of the time of numpy's `qr` where there are few columns.
    """
    if not _is_raw(columns):
        return tuple(namespace(columns).linalg.qr(columns, mode="reduced"))
    factored, scales = _reflected(columns)
    orgqr = _QR[columns.dtype.char][1]
    upper = _upper(factored)
    return orgqr(factored, scales, lwork=_BLOCK * columns.shape[1], overwrite_a=1)[0], upper


def qr_root(columns: Array) -> Array:
    """R of `thin_qr`, in half the time of numpy's `qr` where there are many columns."""
    return _upper(_reflected(columns)[0]) if _is_raw(columns) else thin_qr(columns)[1]


def _is_raw(columns: Array) -> bool:
    return isinstance(columns, np.ndarray) and columns.ndim == 2 and columns.dtype.char in _QR


def _reflected(columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """R above the reflections whose product is Q, and their scales."""
    geqrf = _QR[columns.dtype.char][0]
    factored, scales, _, _ = geqrf(columns, lwork=_BLOCK * columns.shape[1])
    return factored, scales


def _upper(factored: np.ndarray) -> np.ndarray:
    order = factored.shape[1]
    return np.where(_triangle(order), factored[:order, :], 0.0)


@lru_cache(maxsize=8)
def _triangle(order: int) -> np.ndarray:
    """True on and above the diagonal."""
    return np.tri(order, dtype=bool).T


def lower_factor(block: Array) -> Array | None:
    """Lower C with C C^T = D for a symmetric D; None where D is not positive definite. Unchecked."""
    is_raw = isinstance(block, np.ndarray) and block.dtype.char in _TRSM
    kernel = Lapack(block.dtype) if is_raw else ArrayAPI(namespace(block))
    return kernel.pivot(block, None)


def identity(block: Array) -> Array:
    """The identity matrix of a block's order, library and dtype."""
    return namespace(block).eye(block.shape[0], dtype=block.dtype, device=device(block))


def dense(diagonal: Sequence[Array], lower: Sequence[Array], upper: Sequence[Array]) -> Array:
    """One array from the blocks on, below and above the diagonal."""
    if not diagonal:
        return np.zeros((0, 0))
    xp = namespace(*diagonal)
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
