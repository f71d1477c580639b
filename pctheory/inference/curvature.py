r"""The extreme eigenvalues of the inference Hessian, accurate even below the rounding errors of its entries.

In deep networks whose signal grows, :math:`\kappa(H)` passes :math:`1/\varepsilon`: the smallest eigenvalue
of H is then not determined by H in floating point. It is by the maps. With :math:`K = (I - A)^{-1}` the
block-triangular map from hidden errors to hidden activities, C the Cholesky factors of the precisions and Q
the orthonormal factor of the stacked :math:`C_l^{-1} P_l^T`, restricted to the hidden layers,

.. math:: H^{-1} = K C^{-T} (I - Q Q^T) C^{-1} K^T ,

the posterior covariance: two sweeps and a low-rank correction. Its rounding errors are :math:`\varepsilon
\Vert K C^{-T} \Vert^2`, small against :math:`\Vert H^{-1} \Vert` unless large maps are pinned down by the
layers above them; there H itself is well conditioned, and its elimination is used.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from scipy.sparse.linalg import LinearOperator, eigsh

from ..model import LinearPCN, activity_hessian
from .products import hidden_products, require_hidden, whitened_stack

__all__ = ["extreme_curvatures"]

Rows = Callable[[np.ndarray], np.ndarray]

_DENSE_SIZE = 300
_AMPLIFICATION = 1e4
"""Ratio of the squared norm of K C^{-T} to the norm of H^{-1} up to which the sweeps are always good enough."""

_NO_DIGIT = 1e13
"""Amplification beyond which the sweeps have no more than three digits."""


def extreme_curvatures(net: LinearPCN) -> tuple[float, float, float]:
    r"""Smallest and largest eigenvalue of `activity_hessian`, and the larger of their relative residuals.

    They are :math:`|Hv/\lambda - v|` of the largest and :math:`|\lambda H^{-1}v - v|` of the smallest: each
    eigenvalue is exact to this relative distance.

    Returns
    -------
    smallest, largest, residual : float

    Notes
    -----
    Cost: a few hundred sweeps through the network, :math:`O(\sum_l n_l n_{l-1})` each, and no factorisation.

    Examples
    --------
    >>> [round(v, 12) for v in extreme_curvatures(LinearPCN([[[1.0]], [[1.0]], [[1.0]]]))]  # [[2, -1], [-1, 2]]
    [1.0, 3.0, 0.0]
    """
    require_hidden(net)
    host = net.to_numpy()
    covariance, spread, size = _sweeps(host)
    hessian = activity_hessian(host)
    inverse, row = _top(covariance, size)
    largest, large_row = _top(hessian.product, size)
    # the sweeps err by eps times the amplification, the elimination by eps times kappa
    amplification = _top(spread, size)[0] / inverse if inverse > 0 else math.inf
    if not amplification <= min(max(_AMPLIFICATION, largest * inverse), _NO_DIGIT):
        found = hessian.extreme_eigenvalues()
        smallest, largest = float(found.smallest[0]), float(found.largest[0])
        residuals = [found.smallest_residuals[0] / smallest, found.largest_residuals[0] / largest]
        return smallest, largest, float(max(residuals))
    residuals = [
        np.linalg.norm(covariance(row) / inverse - row),
        np.linalg.norm(hessian.product(large_row) / largest - large_row),
    ]
    return 1 / inverse, largest, float(max(*residuals, np.finfo(np.float64).eps * amplification))


def _sweeps(net: LinearPCN) -> tuple[Rows, Rows, int]:
    """Rows v -> H^{-1} v and v -> K Sigma K^T v, and the order n."""
    sizes = net.widths[1:-1]
    size, cuts = sum(sizes), np.cumsum(sizes)[:-1]
    q = np.linalg.qr(whitened_stack(net, hidden_products(net)))[0][:size]

    def down(rows: np.ndarray) -> np.ndarray:  # C^{-1} K^T
        parts = np.split(rows, cuts, axis=1)
        result = [parts[-1]]
        for l in range(len(sizes) - 1, 0, -1):
            result.append(parts[l - 1] + result[-1] @ net.maps[l])
        whitened = [p.colour(u) for p, u in zip(net.precisions[:-1], result[::-1], strict=True)]
        return np.concatenate(whitened, axis=1)

    def up(rows: np.ndarray) -> np.ndarray:  # K C^{-T}
        parts = [
            p.unwhiten(w) for p, w in zip(net.precisions[:-1], np.split(rows, cuts, axis=1), strict=True)
        ]
        result = [parts[0]]
        for matrix, part in zip(net.maps[1:-1], parts[1:], strict=True):
            result.append(result[-1] @ matrix.T + part)
        return np.concatenate(result, axis=1)

    def covariance(rows: np.ndarray) -> np.ndarray:
        w = down(rows)
        return up(w - (w @ q) @ q.T)

    return covariance, lambda rows: up(down(rows)), size


def _top(apply: Rows, size: int) -> tuple[float, np.ndarray]:
    """The largest eigenvalue of a positive operator on rows, and its eigenvector as a row (1, n)."""
    if size <= _DENSE_SIZE:
        dense = apply(np.eye(size))
        values, columns = np.linalg.eigh((dense + dense.T) / 2)
        return float(values[-1]), columns[:, -1:].T
    operator = LinearOperator((size, size), matvec=lambda v: apply(v.reshape(1, -1))[0], dtype=np.float64)
    # the tolerance is one that rounding cannot keep from being met; the eigenvalue errs by its square
    start = np.random.default_rng(0).standard_normal(size)
    values, columns = eigsh(
        operator, k=1, which="LA", v0=start, ncv=min(size, 40), tol=1e-9, maxiter=100 * size
    )
    return float(values[0]), np.asarray(columns[:, :1].T)
