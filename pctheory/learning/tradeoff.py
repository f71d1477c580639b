r"""The classification-reconstruction trade-off of a shared linear code (claim ``cre-tradeoff``).

A code :math:`z = E x` of dimension k is decoded linearly into the input and into the target. The best linear
decoders leave mean squared errors that depend on the code's row space only, and

.. math:: \min_{E, D, C} \; \lambda \langle |x - D z|^2 \rangle + (1 - \lambda) \langle |y - C z|^2 \rangle

is solved by :math:`z = V_k^T S_{xx}^{-1/2} x`, with :math:`V_k` the top k eigenvectors of

.. math:: G(\lambda) = \lambda S_{xx} + (1 - \lambda)\, S_{xx}^{-1/2} S_{xy} S_{yx} S_{xx}^{-1/2} .

:math:`\lambda = 1` is principal component analysis and :math:`\lambda = 0` canonical (reduced-rank)
regression. The question is that of Rathjens & Wiskott 2024 (arXiv:2401.09237), who train networks. Moments
are not centred: centre x and y for PCA proper.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import _check
from ..model import Data

__all__ = ["TradeoffCurve", "TradeoffPoint", "tradeoff_curve"]


@dataclass(frozen=True, eq=False, repr=False)
class TradeoffPoint:
    r"""The optimal code at one weight.

    Attributes
    ----------
    weight : float
        :math:`\lambda`.
    reconstruction, classification : float
        :math:`\langle |x - D z|^2 \rangle` and :math:`\langle |y - C z|^2 \rangle`.
    encoder : (k', n_0)
        :math:`E = V^T S_{xx}^{-1/2}`, k' = min(k, rank of x): the code has second moment I.
    decoder : (n_0, k')
        :math:`D = S_{xx}^{1/2} V`.
    classifier : (n_L, k')
        :math:`C = S_{yx} S_{xx}^{-1/2} V`.
    """

    weight: float
    reconstruction: float
    classification: float
    encoder: np.ndarray
    decoder: np.ndarray
    classifier: np.ndarray

    @property
    def loss(self) -> float:
        r""":math:`\lambda` reconstruction + :math:`(1 - \lambda)` classification."""
        return self.weight * self.reconstruction + (1 - self.weight) * self.classification

    def __repr__(self) -> str:
        return (
            f"TradeoffPoint(weight {self.weight:g}: reconstruction {self.reconstruction:.6g}, "
            f"classification {self.classification:.6g})"
        )


@dataclass(frozen=True, eq=False, repr=False)
class TradeoffCurve:
    r"""The Pareto front of a code of dimension k.

    Attributes
    ----------
    points : tuple of TradeoffPoint, in the order of the weights
    dimension, rank : int
        k, and the rank of x on the sample: with k >= rank there is nothing to trade.
    """

    points: tuple[TradeoffPoint, ...]
    dimension: int
    rank: int

    @property
    def weights(self) -> np.ndarray:
        """(M,)."""
        return np.array([p.weight for p in self.points])

    @property
    def reconstruction(self) -> np.ndarray:
        """(M,), not increasing in the weight."""
        return np.array([p.reconstruction for p in self.points])

    @property
    def classification(self) -> np.ndarray:
        """(M,), not decreasing in the weight."""
        return np.array([p.classification for p in self.points])

    def plot(self, ax: Any = None) -> Any:
        """The error of the target against that of the input, one point a weight.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            A new figure's by default.

        Returns
        -------
        matplotlib.axes.Axes
        """
        from ..plotting import plot_tradeoff

        return plot_tradeoff(self, ax)

    def __repr__(self) -> str:
        return f"TradeoffCurve(k = {self.dimension}, {len(self.points)} weights)"


def tradeoff_curve(data: Data, k: int, weights: Iterable[float]) -> TradeoffCurve:
    r"""The optimal reconstruction and classification errors of a linear code of dimension k, for each weight.

    Claim ``cre-tradeoff``.

    Parameters
    ----------
    data : Data
        x (B, n_0) and y (B, n_L).
    k : int
        Dimension of the code, 1 or more.
    weights : numbers in [0, 1]
        :math:`\lambda`: the weight of the reconstruction error.

    Returns
    -------
    TradeoffCurve

    Raises
    ------
    ValueError
        If there are no weights, a weight is outside [0, 1], or x is zero on every sample.

    Notes
    -----
    :math:`S_{xx}` may be singular: directions in which x never varies carry no code, and the inverse root is
    taken on the others. Where the k-th eigenvalue of G is repeated, as at :math:`\lambda = 0` for k greater
    than the rank of :math:`S_{xy}`, the loss does not single out a code; then the code that is best for the
    other error is returned, so that the ends belong to the Pareto front. Cost: one singular value
    decomposition, and one symmetric eigenproblem of the rank of x for each weight.

    Examples
    --------
    >>> data = Data([[2.0, 0.0], [0.0, 1.0]], [[0.0], [1.0]])  # large variance in x_1, the class in x_2
    >>> curve = tradeoff_curve(data, 1, [0.0, 1.0])
    >>> curve.reconstruction.round(12).tolist(), curve.classification.round(12).tolist()
    ([2.0, 0.5], [0.0, 0.5])
    """
    _check.instance(data, "data", Data)
    size = _check.count(k, "k", 1)
    levels = [_check.real(w, "weights") for w in _check.sequence(weights, "weights")]
    if not levels:
        raise ValueError("`weights` must hold at least one number in [0, 1]. Got none.")
    for level in levels:
        if not 0 <= level <= 1:
            raise ValueError(f"`weights` must lie in [0, 1]: they share 1 between two errors. Got {level:g}.")
    compact = data.compress()
    x, y = _check.to_numpy(compact.x, "x"), _check.to_numpy(compact.y, "y")
    left, singular, right = np.linalg.svd(x, full_matrices=False)
    kept = singular > max(x.shape) * np.finfo(np.float64).eps * singular[0]
    left, singular, basis = left[:, kept], singular[kept], right[kept]
    if not len(singular):
        raise ValueError(
            "`data` must have an x that is not zero everywhere. Got only zeros: there is nothing to encode."
        )
    count = len(x)
    root = singular / np.sqrt(count)  # S_xx^{1/2} in the basis of principal directions
    cross = left.T @ y / np.sqrt(count)  # S_xx^{-1/2} S_xy in the same basis
    total = float(np.mean(np.sum(x**2, axis=1))), float(np.mean(np.sum(y**2, axis=1)))
    variance, explained = np.diag(root**2), cross @ cross.T
    points = []
    for level in levels:
        other = explained if level > 0.5 else variance
        v = _top(level * variance + (1 - level) * explained, other, min(size, len(root)))
        points.append(
            TradeoffPoint(
                level,
                max(total[0] - float(np.sum((root[:, None] * v) ** 2)), 0.0),
                max(total[1] - float(np.sum((cross.T @ v) ** 2)), 0.0),
                (v / root[:, None]).T @ basis,
                basis.T @ (root[:, None] * v),
                cross.T @ v,
            )
        )
    return TradeoffCurve(tuple(points), size, len(root))


def _top(matrix: np.ndarray, tie: np.ndarray, k: int) -> np.ndarray:
    """Orthonormal columns that span a top-k eigenspace, the best one for `tie` among equals."""
    values, vectors = np.linalg.eigh(matrix)
    values, vectors = values[::-1], vectors[:, ::-1]
    near = len(values) * np.finfo(np.float64).eps * max(abs(values[0]), abs(values[-1])) * 8
    above = int(np.sum(values > values[k - 1] + near))
    group = int(np.sum(values >= values[k - 1] - near))
    if group == k:
        return vectors[:, :k]
    level = vectors[:, above:group]
    _, turn = np.linalg.eigh(level.T @ tie @ level)
    return np.hstack([vectors[:, :above], level @ turn[:, ::-1][:, : k - above]])
