"""The same problem with unit precisions, and in units in which data and weights are of order one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..inference import input_products, noise_covariances, output_products
from ..model import Data, LinearPCN
from .objectives import Objective

RANK_TOLERANCE = 1e-6
"""Singular values below this part of the largest count as zero: critical points are found, not given
exactly.
"""

FIT_TOLERANCE = 1e-9
"""A residual below this part of the targets counts as none."""


@dataclass(frozen=True, eq=False)
class Whitened:
    r"""The network with :math:`\Pi_l = C_l C_l^T` absorbed: :math:`A_l \mapsto C_l^T A_l C_{l-1}^{-T}`, unit
    precisions.
    """

    x: np.ndarray
    y: np.ndarray
    maps: list[np.ndarray]
    roots: list[np.ndarray]  # C_0 = I, C_1, ..., C_L
    residual: np.ndarray
    features: np.ndarray  # h = Q_{L-1} x
    covariance: np.ndarray  # M_{L-1}
    path: np.ndarray  # A_{L-1} ... A_2

    @classmethod
    def of(cls, net: LinearPCN, data: Data) -> Whitened:
        roots = [np.eye(net.widths[0])]
        maps = []
        for matrix, precision in zip(net.maps, net.precisions, strict=True):
            root = np.linalg.cholesky(np.asarray(precision.matrix(np.asarray(matrix))))
            maps.append(root.T @ np.linalg.solve(roots[-1], np.asarray(matrix).T).T)
            roots.append(root)
        plain = LinearPCN(maps)
        x, y = np.asarray(data.x), np.asarray(data.y) @ roots[-1]
        path = np.eye(net.widths[1])
        for matrix in maps[1:-1]:
            path = matrix @ path
        return cls(
            x,
            y,
            maps,
            roots,
            y - x @ output_products(plain)[0].T,
            x @ input_products(plain)[-2].T,
            noise_covariances(plain)[-2],
            path,
        )

    @property
    def fits(self) -> bool:
        """Whether the residual vanishes."""
        return bool(np.sum(self.residual**2) <= FIT_TOLERANCE**2 * np.sum(self.y**2))

    @property
    def posterior(self) -> np.ndarray:
        """(M^-1 + A_L^T A_L)^-1 = M - M A^T S^-1 A M."""
        a, m = self.maps[-1], self.covariance
        gain = a @ m
        return np.asarray(m - gain.T @ np.linalg.solve(np.eye(len(a)) + gain @ a.T, gain))

    @property
    def readout(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Orthonormal columns that span the range of A_L and its complement, and its kernel (as columns)."""
        left, singular, rows = np.linalg.svd(self.maps[-1])
        # the hidden noise has unit variance: below 1e-6 of it nothing is read
        rank = int(np.sum(singular > RANK_TOLERANCE * max(1.0, float(np.max(singular, initial=0.0)))))
        return left[:, :rank], left[:, rank:], rows[rank:].T

    @property
    def every_feature_varies(self) -> bool:
        r"""Whether :math:`\langle h h^T \rangle` is positive definite."""
        values = np.linalg.svd(self.features, compute_uv=False)
        scale = max(float(values[0]), RANK_TOLERANCE * float(np.linalg.norm(self.y)))
        return len(values) == self.features.shape[1] and bool(values[-1] > RANK_TOLERANCE * scale)


def mean(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    r""":math:`\langle a b^T \rangle` of rows."""
    return np.asarray(first.T @ second / len(first))


def regression(x: np.ndarray, rows: np.ndarray) -> np.ndarray:
    r"""The matrix T of the best linear map :math:`T x` to the rows, (n, n_0)."""
    return np.asarray(np.linalg.lstsq(x, rows, rcond=None)[0].T)


@dataclass(frozen=True, eq=False)
class Units:
    r"""Units of the weights and of the objective in which the problem is of order one, whatever the scale of
    the data.

    :math:`|A_1| \sim |y| / |x|` and :math:`|A_l| \sim 1` (unit precisions, root mean squares); the objective
    has the unit
    :math:`|y|^2`.
    """

    weights: np.ndarray  # (num_weights,)
    energy: float

    @classmethod
    def of(cls, objective: Objective, net: LinearPCN) -> Units:
        x = np.asarray(objective.data.x)
        y = np.asarray(net.precisions[-1].whiten(np.asarray(objective.data.y)))
        x_size, y_size = (float(np.sqrt(np.mean(np.sum(rows**2, axis=1)))) for rows in (x, y))
        x_size, y_size = x_size or 1.0, y_size or x_size or 1.0
        like = np.eye(1)
        noise = [1.0]
        noise += [float(np.sqrt(np.mean(np.diag(np.asarray(p.covariance(like)))))) for p in net.precisions]
        noise = [level or 1.0 for level in noise]  # a layer that carries its values has none
        parts: list[np.ndarray] = []
        for l, multiplier in enumerate(net.multipliers):
            unit = noise[l + 1] / noise[l] / (multiplier or 1.0) * (y_size / x_size if l == 0 else 1.0)
            parts.append(np.full((net.widths[l + 1], net.widths[l]), unit))
        if net.biases:
            parts += [np.full(n, noise[l] * y_size) for l, n in enumerate(net.widths[1:], start=1)]
        parts += [np.ones(np.shape(log)) for log in net.parameters[len(parts) :]]
        return cls(np.asarray(net.join(parts)), y_size**2)

    def gradient(self, vector: np.ndarray) -> np.ndarray:
        return vector * self.weights / self.energy

    def hessian(self, matrix: np.ndarray) -> np.ndarray:
        return matrix * np.outer(self.weights, self.weights) / self.energy


def flat(net: LinearPCN, parts: tuple[object, ...]) -> np.ndarray:
    """A tuple like ``net.parameters`` as one vector of what learns."""
    return np.asarray(net.join([np.asarray(part) for part in parts]))
