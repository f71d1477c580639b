"""Both ends of the spectrum of a block-tridiagonal matrix: Lanczos on H and on its inverse."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import scipy.linalg
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

__all__ = ["SpectrumEnds", "extreme_pairs"]


class Factor(Protocol):
    """A factor U with H = U U^T."""

    def to_dense(self) -> np.ndarray: ...

    def substitute(self, rows: np.ndarray) -> np.ndarray: ...


class Matrix(Protocol):
    """What is needed of a symmetric matrix: products, a factor if it is positive definite, and its blocks."""

    @property
    def diagonal(self) -> Sequence[np.ndarray]: ...

    @property
    def lower(self) -> Sequence[np.ndarray]: ...

    @property
    def shape(self) -> tuple[int, int]: ...

    def cholesky(self) -> Factor: ...

    def shifted(self, sigma: float) -> Matrix: ...

    def to_dense(self) -> np.ndarray: ...

    def product(self, rows: np.ndarray) -> np.ndarray: ...


DENSE_SIZE = 400
"""Order up to which eigenvalues come from a dense factorisation, which costs no more than Lanczos."""


@dataclass(frozen=True, eq=False, repr=False)
class SpectrumEnds:
    r"""Both ends of the spectrum of a symmetric matrix H, numpy float64.

    Attributes
    ----------
    smallest : (k,)
        The smallest eigenvalues, ascending.
    largest : (k,)
        The largest eigenvalues, descending.
    smallest_vectors, largest_vectors : (k, n)
        Unit eigenvectors as rows, in the same order.
    smallest_residuals, largest_residuals : (k,)
        :math:`|H v - \lambda v|`: an eigenvalue of H lies within this distance of :math:`\lambda`.
    """

    smallest: np.ndarray
    largest: np.ndarray
    smallest_vectors: np.ndarray
    largest_vectors: np.ndarray
    smallest_residuals: np.ndarray
    largest_residuals: np.ndarray

    def plot(self, ax: Any = None) -> Any:
        """The eigenvalues at both ends, with their residuals.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            A new figure's by default.

        Returns
        -------
        matplotlib.axes.Axes
        """
        from ..plotting import plot_ends

        return plot_ends(self, ax)

    def __repr__(self) -> str:
        worst = max(self.smallest_residuals.max(), self.largest_residuals.max())
        return f"SpectrumEnds({self.smallest[0]:.6g} to {self.largest[0]:.6g}, residuals <= {worst:.1e})"


Pairs = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""Smallest eigenvalues ascending, their vectors as rows, largest descending, their vectors as rows."""


def extreme_pairs(matrix: Matrix, k: int) -> Pairs:
    """The k smallest and the k largest eigenvalues of a numpy float64 matrix, with their vectors."""
    size = matrix.shape[0]
    try:
        factor = matrix.cholesky()
    except ValueError:
        factor = None
    if size > DENSE_SIZE and 4 * k < size:
        return *_smallest_by_lanczos(matrix, factor, k), *_largest_by_lanczos(matrix, k)
    if factor is None:
        values, columns = scipy.linalg.eigh(matrix.to_dense())
        values, rows = values[::-1], columns.T[::-1]
    else:
        columns, singular, _ = scipy.linalg.svd(factor.to_dense())
        values, rows = singular**2, columns.T  # H = U U^T: never negative
        if values[-1] < 1e-8 * values[0] and 4 * k < size:
            return *_smallest_by_lanczos(matrix, factor, k), values[:k], rows[:k]
    return values[::-1][:k], rows[::-1][:k], values[:k], rows[:k]


def _smallest_by_lanczos(matrix: Matrix, factor: Factor | None, k: int) -> tuple[np.ndarray, np.ndarray]:
    if factor is not None:
        inverse, rows = _largest_pairs(factor.substitute, matrix.shape[0], k)
        return 1 / inverse, rows
    low, high = _gershgorin(matrix)
    shift = max(0.0, -low) + 1e-8 * max(abs(low), abs(high))
    _, rows = _largest_pairs(matrix.shifted(shift).cholesky().substitute, matrix.shape[0], k)
    values = np.sum(rows * matrix.product(rows), axis=1)  # undoing the shift would cancel more
    order = np.argsort(values)
    return values[order], rows[order]


def _largest_by_lanczos(matrix: Matrix, k: int) -> tuple[np.ndarray, np.ndarray]:
    offset = max(
        0.0, -_gershgorin(matrix)[0]
    )  # H + offset is positive semidefinite: deflated directions fall lowest
    values, rows = _largest_pairs(lambda row: matrix.product(row) + offset * row, matrix.shape[0], k)
    return values - offset, rows


def _gershgorin(matrix: Matrix) -> tuple[float, float]:
    """Bounds of the spectrum: row by row, the diagonal entry minus and plus the sum of the other
    magnitudes.

    Returns
    -------
    (low, high) : two floats
        No eigenvalue is outside.
    """
    centres = np.concatenate([block.diagonal() for block in matrix.diagonal])
    sums = [np.abs(block).sum(axis=1) for block in matrix.diagonal]
    for l, block in enumerate(matrix.lower):
        sums[l] = sums[l] + np.abs(block).sum(axis=0)
        sums[l + 1] = sums[l + 1] + np.abs(block).sum(axis=1)
    radii = np.concatenate(sums) - np.abs(centres)
    return float(np.min(centres - radii)), float(np.max(centres + radii))


def _largest_pairs(
    apply: Callable[[np.ndarray], np.ndarray], size: int, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """The k largest eigenvalues (descending) and eigenvectors (rows) of a positive semidefinite operator on
    rows.

    Lanczos, repeated on the complement of what was found. A run's lesser pairs are kept only if accurate
    relative to themselves: beside an eigenvalue 1e16 times larger they are noise until that one is deflated.

    Returns
    -------
    values : (k,)
        Descending.
    vectors : (k, size)
        One a row.
    """
    start = np.random.default_rng(0).standard_normal(size)
    values, rows = np.zeros(0), np.zeros((0, size))
    while True:
        found, vectors = _lanczos(_deflated(apply, rows), start, max(k - len(values), 1))
        images = _deflated(apply, rows)(vectors)
        accurate = np.linalg.norm(images - found[:, None] * vectors, axis=1) <= 1e-10 * found
        accurate[0] = True
        if len(values) >= k and found[0] <= values[k - 1] * (1 + 1e-12):
            return values[:k], rows[:k]
        values = np.concatenate([values, found[accurate]])
        rows = np.concatenate([rows, vectors[accurate]])
        order = np.argsort(-values, kind="stable")
        values, rows = values[order], rows[order]
        if k == 1:
            return values[:1], rows[:1]


def _deflated(
    apply: Callable[[np.ndarray], np.ndarray], rows: np.ndarray
) -> Callable[[np.ndarray], np.ndarray]:
    def project(vector: np.ndarray) -> np.ndarray:
        for _ in range(2 if len(rows) else 0):  # twice is enough for orthogonality to rounding
            vector = vector - (vector @ rows.T) @ rows
        return vector

    return lambda vector: project(apply(project(vector)))


def _lanczos(
    apply: Callable[[np.ndarray], np.ndarray], start: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """One run of ARPACK: eigenvalues descending, vectors as rows."""
    size = len(start)
    operator = LinearOperator((size, size), matvec=lambda v: apply(v.reshape(1, -1))[0], dtype=np.float64)
    try:
        values, columns = eigsh(operator, k=k, which="LA", v0=start, ncv=min(size, max(2 * k + 1, 40)))
    except ArpackNoConvergence as error:
        if not len(error.eigenvalues):
            raise ValueError(
                "The spectrum must be separated enough for Lanczos to resolve its end. Got no converged "
                f"pair of {size}: ask for more pairs, or diagonalise `to_dense()`."
            ) from error
        values, columns = error.eigenvalues, error.eigenvectors
    order = np.argsort(-values)
    return values[order], columns.T[order]
