r"""The two ends of the spectrum of a Hessian in the weights, from Hessian-vector products."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

from .. import _check
from ..model import LinearPCN
from .objectives import Objective

__all__ = ["HessianEnds", "extreme_eigenvalues"]

DENSE_LIMIT = 300
"""Number of weights up to which the ends of a spectrum come from the dense Hessian."""


@dataclass(frozen=True, eq=False, repr=False)
class HessianEnds:
    r"""The two ends of the spectrum of a Hessian in the weights.

    Attributes
    ----------
    smallest : (k,)
        The smallest eigenvalues, ascending: the most negative curvature first.
    largest : (k,)
        The largest ones, descending.
    smallest_vectors, largest_vectors : (k, num_weights)
        Unit eigenvectors as rows, in the order of ``net.flatten()``.
    smallest_residuals, largest_residuals : (k,)
        :math:`|\nabla^2 f\, v - \lambda v|`: an eigenvalue lies within its residual.
    net : LinearPCN
    """

    smallest: np.ndarray
    largest: np.ndarray
    smallest_vectors: np.ndarray
    largest_vectors: np.ndarray
    smallest_residuals: np.ndarray
    largest_residuals: np.ndarray
    net: LinearPCN

    def directions(self) -> tuple[tuple[np.ndarray, ...], tuple[np.ndarray, ...]]:
        """The most negative and the most positive direction, each a tuple like ``net.weights``."""
        return self.net.split(self.smallest_vectors[0]), self.net.split(self.largest_vectors[0])

    def __repr__(self) -> str:
        worst = max(self.smallest_residuals.max(), self.largest_residuals.max())
        return f"HessianEnds({self.smallest[0]:.6g} to {self.largest[0]:.6g}, residuals <= {worst:.1e})"


def extreme_eigenvalues(
    objective: Objective, net: LinearPCN, k: int = 1, *, tolerance: float = 1e-8
) -> HessianEnds:
    r"""Both ends of the spectrum of :math:`\nabla^2 f` at a network, with eigenvectors and residuals.

    Dense up to `DENSE_LIMIT` weights; above, Lanczos on Hessian-vector products from a fixed start. Each end is sought as the
    top of the Hessian (or its negative) shifted by its norm, so that eigenvalues near 0, as at flat minima, converge to an
    accuracy relative to the norm.

    Parameters
    ----------
    k : int
        How many at each end.
    tolerance : float
        Largest residual, relative to the norm of the Hessian, of the iterative method.

    Returns
    -------
    HessianEnds

    Notes
    -----
    Cost: a few hundred Hessian-vector products, each two sweeps of n_L rows. A start orthogonal to an eigenvector would miss
    it; a random one almost surely is not. Of a multiple eigenvalue Lanczos finds at least one copy.

    Examples
    --------
    >>> from pctheory import Data, EquilibratedEnergy
    >>> ends = extreme_eigenvalues(EquilibratedEnergy(Data([[1.0]], [[-1.0]])), LinearPCN.zeros((1, 1, 1)))
    >>> ends.smallest.round(3), ends.largest.round(3)  # -(sqrt(5) + 1) / 2 and (sqrt(5) - 1) / 2
    (array([-1.618]), array([0.618]))
    """
    check_objective(objective)
    size = net.num_weights
    wanted = _check.count(k, "k", 1)
    accuracy = _check.positive(tolerance, "tolerance")
    if wanted > size:
        raise ValueError(f"`k` must not exceed the number of weights. Got {wanted} for {size} weights.")
    operator = objective.hessian_operator(net)
    if size <= DENSE_LIMIT or 2 * wanted + 1 >= size:
        values, columns = np.linalg.eigh(_check.to_numpy(objective.hessian(net), "hessian"))
        small, large = values[:wanted], values[::-1][:wanted]
        small_rows, large_rows = columns.T[:wanted], columns.T[::-1][:wanted]
    elif not np.any(operator @ _start(size)):  # a random vector is mapped to 0: so is every other
        rows = np.linalg.qr(np.random.default_rng(0).standard_normal((size, 2 * wanted)))[0].T
        small, large, small_rows, large_rows = (
            np.zeros(wanted),
            np.zeros(wanted),
            rows[:wanted],
            rows[wanted:],
        )
    else:
        norm = abs(_top(operator, 1.0, 0.0, 1, 1e-2, "LM")[0][0])
        shift = 1.1 * norm if norm > 0 else 1.0
        top, large_rows = _top(operator, 1.0, shift, wanted, accuracy, "LA")
        bottom, small_rows = _top(operator, -1.0, shift, wanted, accuracy, "LA")
        large, small = top - shift, shift - bottom
    residuals = [
        np.linalg.norm((operator @ rows.T).T - values[:, None] * rows, axis=1)
        for values, rows in ((small, small_rows), (large, large_rows))
    ]
    return HessianEnds(small, large, small_rows, large_rows, residuals[0], residuals[1], net)


def _start(size: int) -> np.ndarray:
    """The same vector every time, with a part along every eigenvector."""
    return np.random.default_rng(0).standard_normal(size)


def _top(
    operator: LinearOperator, sign: float, shift: float, k: int, tolerance: float, which: Literal["LM", "LA"]
) -> tuple[np.ndarray, np.ndarray]:
    """The k largest eigenvalues of sign * H + shift, descending, with their vectors as rows."""
    size = operator.shape[0]
    shifted = LinearOperator(
        operator.shape, matvec=lambda v: sign * (operator @ v) + shift * v, dtype=np.float64
    )
    start = _start(size)
    try:
        values, columns = eigsh(
            shifted, k=k, which=which, v0=start, tol=tolerance, ncv=min(size, max(2 * k + 1, 40)), maxiter=300
        )
    except ArpackNoConvergence as error:
        raise ValueError(
            "The spectrum must be separated enough at its ends for Lanczos to converge to `tolerance`. Got "
            f"{len(error.eigenvalues)} of {k} pairs converged: ask for a larger `tolerance`."
        ) from error
    order = np.argsort(-np.abs(values) if which == "LM" else -values)
    return values[order], columns.T[order]


def check_objective(objective: object) -> None:
    if not isinstance(objective, Objective):
        raise TypeError(
            "`objective` must be an objective such as MSELoss(data) or EquilibratedEnergy(data). "
            f"Got {type(objective).__name__}."
        )
