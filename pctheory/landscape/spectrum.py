r"""The two ends of the spectrum of a Hessian in the weights, from Hessian-vector products."""

from __future__ import annotations

from typing import Literal

import numpy as np
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

from .. import _check
from ..linalg import SpectrumEnds
from ..model import LinearPCN
from .objectives import Objective

__all__ = ["extreme_eigenvalues"]

DENSE_LIMIT = 300
"""Number of weights up to which the ends of a spectrum come from the dense Hessian."""


def extreme_eigenvalues(
    objective: Objective, net: LinearPCN, k: int = 1, *, tolerance: float = 1e-8
) -> SpectrumEnds:
    r"""Both ends of the spectrum of :math:`\nabla^2 f` at a network, with eigenvectors and residuals.

    Dense up to `DENSE_LIMIT` weights; above, Lanczos on Hessian-vector products from a fixed start. Each end
    is sought as the top of the Hessian (or its negative) shifted by its norm, so that eigenvalues near 0, as
    at flat minima, converge to an accuracy relative to the norm.

    Parameters
    ----------
    objective : Objective
        The function of the weights, f.
    net : LinearPCN
        Where the Hessian is taken.
    k : int
        How many at each end.
    tolerance : float
        Largest residual, relative to the norm of the Hessian, of the iterative method.

    Returns
    -------
    SpectrumEnds
        Of vectors in the order of ``net.flatten()``: ``net.split(ends.smallest_vectors[0])`` is the direction
        of most negative curvature.

    Raises
    ------
    ValueError
        If `k` exceeds the number of weights, or if Lanczos does not converge to `tolerance`.

    Notes
    -----
    Cost: a few hundred Hessian-vector products, each two sweeps of n_L rows. A start orthogonal to an
    eigenvector would miss it; a random one almost surely is not. Of a multiple eigenvalue Lanczos finds at
    least one copy.

    Examples
    --------
    >>> from pctheory import Data, EquilibratedEnergy
    >>> ends = extreme_eigenvalues(EquilibratedEnergy(Data([[1.0]], [[-1.0]])), LinearPCN.zeros((1, 1, 1)))
    >>> ends.smallest.round(3), ends.largest.round(3)  # -(sqrt(5) + 1) / 2 and (sqrt(5) - 1) / 2
    (array([-1.618]), array([0.618]))
    """
    _check.instance(objective, "objective", Objective)
    size = objective.coordinates(net).num_weights
    wanted = _check.count(k, "k", 1)
    accuracy = _check.positive(tolerance, "tolerance")
    if wanted > size:
        raise ValueError(f"`k` must not exceed the number of weights. Got {wanted} for {size} weights.")
    _check.memory(6 * wanted * size, "k", "ask for fewer eigenvalues")
    operator = objective.hessian_operator(net)
    if size <= DENSE_LIMIT or 2 * wanted + 1 >= size:
        values, columns = np.linalg.eigh(_check.to_numpy(objective.hessian(net), "hessian"))
        small, large = values[:wanted], values[::-1][:wanted]
        small_rows, large_rows = columns.T[:wanted], columns.T[::-1][:wanted]
    elif not np.any(operator @ _start(size)):  # a random vector is mapped to 0, and so is every other
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
    return SpectrumEnds(small, large, small_rows, large_rows, residuals[0], residuals[1])


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
