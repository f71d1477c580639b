r"""Certificates of escape: directions of negative curvature of :math:`F^*` at a critical point, in closed form.

Claims ``critical-points`` and ``strict-saddles`` (this work). At a critical point :math:`A_L^T R = 0` and
:math:`\langle r x^T \rangle Q_{L-1}^T = 0`: every hidden error vanishes and :math:`S^{-1} r = r`. With
:math:`h = Q_{L-1} x`, :math:`M = M_{L-1}` and :math:`C = (M^{-1} + A_L^T A_L)^{-1}`, for any unit u with :math:`A_L^T u = 0`

.. math:: d^2 F^*[u v^T \text{ in } A_L] = v^T \langle h h^T \rangle v - \langle (u^T r)^2 \rangle\, v^T C v .

Precisions are absorbed first: :math:`\Pi_l = C_l C_l^T` and :math:`A_l \mapsto C_l^T A_l C_{l-1}^{-T}`, :math:`y \mapsto C_L^T y`
leave the energy as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .. import _check
from ..inference import input_products, noise_covariances, output_products
from ..model import Data, LinearPCN
from .objectives import EquilibratedEnergy

__all__ = ["EscapeDirection", "escape_direction"]

RANK_TOLERANCE = 1e-6
"""Singular values below this part of the largest count as zero: critical points are found, not given exactly."""


@dataclass(frozen=True, eq=False, repr=False)
class EscapeDirection:
    r"""A direction of negative curvature, with what is needed to check it by one Hessian-vector product.

    Attributes
    ----------
    direction : tuple like ``net.weights``
        Of unit norm.
    curvature : float
        :math:`d^T \nabla^2 f\, d`, by one exact Hessian-vector product.
    predicted : float
        The same from the closed form of the case (of the eigenvalue, for "eigenvector").
    case : "i", "ii", "iii" or "eigenvector"
        Which certificate of ``strict-saddles``.
    """

    direction: tuple[np.ndarray, ...]
    curvature: float
    predicted: float
    case: str

    def __repr__(self) -> str:
        return f"EscapeDirection(case {self.case}, curvature {self.curvature:.6g})"


def escape_direction(
    net: LinearPCN, data: Data, *, case: str | None = None, gradient_tolerance: float = 1e-6
) -> EscapeDirection:
    r"""A direction of negative curvature of :math:`F^*` at a critical point, in closed form.

    Parameters
    ----------
    net : LinearPCN
        A critical point of :math:`F^*` with L >= 2 and a residual. Multipliers, skips and precisions are allowed.
    case : None, "i", "ii" or "iii"
        Which certificate; by default that of most negative curvature (per unit length).

        * "i": some feature direction v is not in use. :math:`dA_L = u_r v^T` with :math:`u_r` the top eigenvector of
          :math:`\langle r r^T \rangle`; curvature :math:`v^T \langle h h^T \rangle v - \lambda_r v^T C v`, minimal over v.
        * "ii": :math:`A_L v = 0` for some v that the layers below reach, :math:`A_{L-1} \cdots A_2 p = v`.
          :math:`dA_L = t\,u v^T` with :math:`dA_1 = s\,p q^T`, (u, q) the top singular pair of
          :math:`\langle r x^T \rangle` with value :math:`\sigma`: a 2 x 2 form with no :math:`s^2` and the cross term
          :math:`-2 t s |v|^2 \sigma`, hence indefinite.
        * "iii": the columns of :math:`A_L` span eigenvectors of :math:`S_{yy}`, but not the top ones. Rotating
          :math:`u_2` (inside, :math:`\lambda_2`) towards :math:`u_1` (outside, :math:`\lambda_1 > \lambda_2`) by
          :math:`dA_L = u_1 u_2^T A_L`, :math:`dA_1 = p q^T`, :math:`A_{L-1} \cdots A_2 p = A_L^+ u_2`,
          :math:`q^T x = u_1^T y` has the curvature :math:`\lambda_2 - \lambda_1` exactly.
    gradient_tolerance : float
        Largest norm of the gradient at which the point is taken as critical.

    Returns
    -------
    EscapeDirection
        Verified: its curvature comes from one Hessian-vector product, and is negative.

    Raises
    ------
    ValueError
        If the point is not critical, fits perfectly, or no certificate applies: on realisable data and on data with
        full-rank noise and :math:`S_{yx} \ne 0` this cannot happen away from the global minimum (claim ``strict-saddles``).

    Examples
    --------
    >>> data = Data([[1.0], [-1.0]], [[-2.0], [2.0]])
    >>> escape_direction(LinearPCN.zeros((1, 1, 1, 1)), data)  # S_yy = 4
    EscapeDirection(case i, curvature -4)
    """
    if case is not None:
        _check.choice(case, "case", _CASES)
    if _check.instance(net, "net", LinearPCN).depth < 2:
        raise ValueError("`net` must have at least two layers: with one the problem is convex. Got one.")
    if 0 in net.multipliers:
        raise ValueError(f"`multipliers` must not be 0 where weights learn. Got {net.multipliers}.")
    objective = EquilibratedEnergy(data)
    gradient = np.concatenate([g.ravel() for g in objective.gradient(net)])
    if not np.linalg.norm(gradient) <= gradient_tolerance:
        raise ValueError(
            "`net` must be a critical point of the equilibrated energy. "
            f"Got a gradient of norm {np.linalg.norm(gradient):.2e}: polish it first, or raise `gradient_tolerance`."
        )
    point = _Whitened.of(net, objective.data)
    if np.sum(point.residual**2) <= RANK_TOLERANCE**2 * np.sum(point.y**2):
        raise ValueError("`net` must have a residual to escape from. Got a perfect fit: a global minimum.")
    found = []
    for name in _CASES if case is None else (case,):
        candidate = _CASES[name](point)
        if candidate is not None:
            found.append(_verified(objective, net, point, name, *candidate))
    found = [each for each in found if each.curvature < 0]
    if not found:
        which = "certificate of `strict-saddles`" if case is None else f'certificate "{case}"'
        raise ValueError(f"No {which} applies at this critical point: it may be degenerate, or a minimum.")
    return min(found, key=lambda each: each.curvature)


@dataclass(frozen=True, eq=False)
class _Whitened:
    """The same problem with unit precisions, and the way back."""

    x: np.ndarray
    y: np.ndarray
    maps: list[np.ndarray]
    roots: list[np.ndarray]  # C_0 = I, C_1, ..., C_L
    residual: np.ndarray
    features: np.ndarray  # Q_{L-1}
    covariance: np.ndarray  # M_{L-1}
    path: np.ndarray  # A_{L-1} ... A_2

    @classmethod
    def of(cls, net: LinearPCN, data: Data) -> _Whitened:
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
            input_products(plain)[-2],
            noise_covariances(plain)[-2],
            path,
        )

    def mean(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        r""":math:`\langle a b^T \rangle` of rows."""
        return np.asarray(first.T @ second / len(first))

    @property
    def posterior(self) -> np.ndarray:
        """C = M - M A^T S^{-1} A M."""
        a, m = self.maps[-1], self.covariance
        gain = a @ m
        return np.asarray(m - gain.T @ np.linalg.solve(np.eye(len(a)) + gain @ a.T, gain))


Pair = tuple[np.ndarray, np.ndarray | None, float]
"""dA_L, dA_1 (None if it does not move) and the curvature, unit precisions."""


def _unused_feature(point: _Whitened) -> Pair | None:
    values, vectors = np.linalg.eigh(point.mean(point.residual, point.residual))
    u, strength = vectors[:, -1], values[-1]
    h = point.x @ point.features.T
    curvatures, directions = np.linalg.eigh(point.mean(h, h) - strength * point.posterior)
    return np.outer(u, directions[:, 0]), None, float(curvatures[0])


def _unread_feature(point: _Whitened) -> Pair | None:
    left, singular, right = np.linalg.svd(point.mean(point.residual, point.x))
    scale = np.sqrt(np.sum(point.residual**2) * np.sum(point.x**2)) / len(point.x)
    if singular[0] <= RANK_TOLERANCE * scale:
        return None
    u, q = left[:, 0], right[0]
    # the v that A_L does not read and the layers below reach: null space of A_L, spread by the path
    reach = point.path.T @ _null_space(point.maps[-1])
    _, strengths, rows = np.linalg.svd(reach, full_matrices=False)
    if not len(strengths) or strengths[0] <= RANK_TOLERANCE * max(1.0, float(np.linalg.norm(point.path, 2))):
        return None
    v = _null_space(point.maps[-1]) @ rows[0]
    p = np.linalg.lstsq(point.path, v, rcond=RANK_TOLERANCE)[0]
    if np.linalg.norm(point.path @ p - v) > RANK_TOLERANCE:
        return None
    h = point.x @ point.features.T @ v
    tt = np.mean(h**2) - np.mean((point.residual @ u) ** 2) * (v @ point.posterior @ v)
    # per unit of length: dA_L has norm 1, dA_1 has norm |p|
    length = float(np.linalg.norm(p))
    cross = -float(singular[0]) / length
    values, vectors = np.linalg.eigh(np.array([[tt, cross], [cross, 0.0]]))
    t, s = float(vectors[0, 0]), float(vectors[1, 0])
    return t * np.outer(u, v), (s / length) * np.outer(p, q), float(values[0])


def _rotation(point: _Whitened) -> Pair | None:
    a = point.maps[-1]
    basis, singular, _ = np.linalg.svd(a, full_matrices=False)
    if a.shape[1] > a.shape[0] or singular[-1] <= RANK_TOLERANCE * singular[0]:
        return None
    inside, vectors = np.linalg.eigh(basis.T @ point.mean(point.y, point.y) @ basis)
    u2 = basis @ vectors[:, 0]
    values, outer = np.linalg.eigh(point.mean(point.residual, point.residual))
    u1 = outer[:, -1]
    q = np.linalg.lstsq(point.x, point.y @ u1, rcond=None)[0]
    target = np.linalg.lstsq(a, u2, rcond=None)[0]
    p = np.linalg.lstsq(point.path, target, rcond=RANK_TOLERANCE)[0]
    if np.linalg.norm(point.path @ p - target) > RANK_TOLERANCE * np.linalg.norm(target):
        return None
    return np.outer(u1, a.T @ u2), np.outer(p, q), float(inside[0] - values[-1])


_CASES: dict[str, Callable[[_Whitened], Pair | None]] = {
    "i": _unused_feature,
    "ii": _unread_feature,
    "iii": _rotation,
}


def _null_space(matrix: np.ndarray) -> np.ndarray:
    _, singular, rows = np.linalg.svd(matrix)
    rank = int(np.sum(singular > RANK_TOLERANCE * max(1.0, singular[0])))
    return rows[rank:].T


def _verified(
    objective: EquilibratedEnergy,
    net: LinearPCN,
    point: _Whitened,
    case: str,
    last: np.ndarray,
    first: np.ndarray | None,
    predicted: float,
) -> EscapeDirection:
    """Back to the weights, to unit length, and one Hessian-vector product."""
    direction = [np.zeros(w.shape) for w in net.weights]
    for l, change in ((1, first), (net.depth, last)):
        if change is not None:
            own = np.linalg.solve(point.roots[l].T, change) @ point.roots[l - 1].T
            direction[l - 1] = direction[l - 1] + own / net.multipliers[l - 1]
    norm = np.sqrt(sum(np.sum(d**2) for d in direction))
    unit = tuple(d / norm for d in direction)
    product = objective.hvp(net, unit)
    curvature = sum(float(np.sum(d * h)) for d, h in zip(unit, product, strict=True))
    return EscapeDirection(unit, curvature, predicted / norm**2, case)
