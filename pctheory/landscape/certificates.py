r"""Certificates of escape: directions of negative curvature of :math:`F^*` at a critical point, in closed
form.

Claims ``critical-points`` and ``strict-saddles`` (this work). At a critical point :math:`A_L^T R = 0` and
:math:`\langle r x^T \rangle Q_{L-1}^T = 0`: every hidden error vanishes and :math:`S^{-1} r = r`. With
:math:`h = Q_{L-1} x`, :math:`M = M_{L-1}` and :math:`C = (M^{-1} + A_L^T A_L)^{-1}`, for any unit u with
:math:`A_L^T u = 0`

.. math:: d^2 F^*[u v^T \text{ in } A_L] = v^T \langle h h^T \rangle v - \langle (u^T r)^2 \rangle\, v^T C v .

Precisions are absorbed first: :math:`\Pi_l = C_l C_l^T` and :math:`A_l \mapsto C_l^T A_l C_{l-1}^{-T}`,
:math:`y \mapsto C_L^T y` leave the energy as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh
from scipy.sparse.linalg import LinearOperator, eigsh

from .. import _check
from ..model import Data, LinearPCN
from ..model.definitions import require_plain
from ._whitened import RANK_TOLERANCE, Units, Whitened, flat, mean, regression
from .objectives import EquilibratedEnergy, Objective

__all__ = ["EscapeDirection", "escape_direction"]

DENSE_FORM = 1500
"""Size up to which the form of case (iii) is diagonalised as a dense matrix."""


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
        A critical point of :math:`F^*` with L >= 2 and a residual. Multipliers, skips and precisions are
        allowed.
    data : Data
        x (B, n_0) and y (B, n_L).
    case : None, "i", "ii" or "iii"
        Which certificate; by default that of most negative curvature (per unit length).

        * "i": some feature direction v is not in use. :math:`dA_L = u_r v^T` with :math:`u_r` the top
          eigenvector of :math:`\langle r r^T \rangle`; curvature
          :math:`v^T \langle h h^T \rangle v - \lambda_r v^T C v`, minimal over v.
        * "ii": :math:`A_L v = 0` for some v that the layers below reach, :math:`A_{L-1} \cdots A_2 p = v`.
          :math:`dA_L = t\,u v^T` with :math:`dA_1 = s\,p q^T`, (u, q) the top singular pair of
          :math:`\langle r x^T \rangle` with value :math:`\sigma`: a 2 x 2 form with no :math:`s^2` and the
          cross term :math:`-2 t s |v|^2 \sigma`, hence indefinite.
        * "iii": the columns of :math:`A_L` span eigenvectors of :math:`S_{yy}`, but not the top ones, so
          their span U is rotated: :math:`dA_L = V^T A_L` and :math:`dA_1` such that :math:`A_L h` moves by
          :math:`V r_x`, with the V of least curvature (see `pctheory.landscape.second_order_form`). On
          realisable data that is :math:`V = u_2 u_1^T`, from the smallest eigenvalue :math:`\lambda_2`
          inside to the largest :math:`\lambda_1` outside, and the curvature is
          :math:`\lambda_2 - \lambda_1`.
    gradient_tolerance : float
        Largest norm of the gradient at which the point is taken as critical, relative to the scale of the
        data.

    Returns
    -------
    EscapeDirection
        Verified: its curvature comes from one Hessian-vector product, and is negative (claim
        ``strict-saddles``).

    Raises
    ------
    ValueError
        If the point is not critical, fits perfectly, or no certificate applies: then it is not a strict
        saddle (claim ``second-order-classification``).

    Examples
    --------
    >>> data = Data([[1.0], [-1.0]], [[-2.0], [2.0]])
    >>> escape_direction(LinearPCN.zeros((1, 1, 1, 1)), data)  # S_yy = 4
    EscapeDirection(case i, curvature -4)
    """
    if case is not None:
        _check.choice(case, "case", CASES)
    if require_plain(net).depth < 2:
        raise ValueError("`net` must have at least two layers: with one the problem is convex. Got one.")
    if 0 in net.multipliers:
        raise ValueError(f"`multipliers` must not be 0 where weights learn. Got {net.multipliers}.")
    objective = EquilibratedEnergy(data)
    limit = _check.positive(gradient_tolerance, "gradient_tolerance")
    point = critical(objective, net, limit)
    found = []
    for name in CASES if case is None else (case,):
        candidate = CASES[name](point)
        if candidate is not None:
            found.append(verified(objective, net, point, name, candidate))
    found = [each for each in found if each.curvature < 0]
    if not found:
        which = "certificate of `strict-saddles`" if case is None else f'certificate "{case}"'
        raise ValueError(f"No {which} applies at this critical point: it may be degenerate, or a minimum.")
    return min(found, key=lambda each: each.curvature)


def critical(objective: EquilibratedEnergy, net: LinearPCN, tolerance: float) -> Whitened:
    """The whitened network, if it is a critical point with a residual, to which the certificates apply."""
    require_critical(objective, net, tolerance)
    point = Whitened.of(net, objective.data.complete())
    if point.fits:
        raise ValueError("`net` must have a residual to escape from. Got a perfect fit: a global minimum.")
    return point


def require_critical(objective: Objective, net: LinearPCN, tolerance: float) -> None:
    """Refuse what is not a critical point of a network to which the second-order forms apply."""
    if net.depth < 2:
        raise ValueError("`net` must have at least two layers: with one the problem is convex. Got one.")
    if 0 in net.multipliers:
        raise ValueError(f"`multipliers` must not be 0 where weights learn. Got {net.multipliers}.")
    size = float(np.linalg.norm(Units.of(objective, net).gradient(flat(net, objective.gradient(net)))))
    if not size <= tolerance:
        raise ValueError(
            "`net` must be a critical point of the equilibrated energy. Got a gradient of norm "
            f"{size:.2e} on the scale of the data: refine it first, or raise `gradient_tolerance`."
        )


Candidate = tuple[np.ndarray, np.ndarray | None, float]
"""dA_L, dA_1 (None if it does not move) and the curvature, unit precisions."""


def unused_feature(point: Whitened) -> Candidate | None:
    values, vectors = np.linalg.eigh(mean(point.residual, point.residual))
    u, strength = vectors[:, -1], values[-1]
    form = mean(point.features, point.features) - strength * point.posterior
    curvatures, directions = np.linalg.eigh(form)
    return np.outer(u, directions[:, 0]), None, float(curvatures[0])


def unread_feature(point: Whitened) -> Candidate | None:
    left, singular, right = np.linalg.svd(mean(point.residual, point.x))
    scale = np.sqrt(np.sum(point.residual**2) * np.sum(point.x**2)) / len(point.x)
    if singular[0] <= RANK_TOLERANCE * scale:
        return None
    u, q = left[:, 0], right[0]
    # the v that A_L does not read and the layers below reach: kernel of A_L, spread by the path
    kernel = point.readout[2]
    _, strengths, rows = np.linalg.svd(point.path.T @ kernel, full_matrices=False)
    if not len(strengths) or strengths[0] <= RANK_TOLERANCE * max(1.0, float(np.linalg.norm(point.path, 2))):
        return None
    v = kernel @ rows[0]
    p = _reach(point, v)
    if p is None:
        return None
    h = point.features @ v
    tt = np.mean(h**2) - np.mean((point.residual @ u) ** 2) * (v @ point.posterior @ v)
    # per unit of length: dA_L has norm 1, dA_1 has norm |p|
    length = float(np.linalg.norm(p))
    cross = -float(singular[0]) / length
    values, vectors = np.linalg.eigh(np.array([[tt, cross], [cross, 0.0]]))
    t, s = float(vectors[0, 0]), float(vectors[1, 0])
    return t * np.outer(u, v), (s / length) * np.outer(p, q), float(values[0])


def rotation(point: Whitened) -> Candidate | None:
    r"""The least value of the form of case (iii) over V of unit norm, and the V where it is attained.

    Over hidden changes with :math:`A_L \, dA_1 x = V r_x` at :math:`dA_L = V^T A_L`, :math:`r_x` the part of
    r that is linear in x.

    Returns
    -------
    Candidate or None
        The changes of the maps and the value; None where no hidden change gives such a rotation.
    """
    inside, outside, kernel = point.readout
    if kernel.size or not outside.size:
        return None
    a = point.maps[-1]
    rest = point.residual @ outside
    predictor = regression(point.x, rest)
    predicted = point.x @ predictor.T
    noise = rest - predicted
    seen = inside.T @ mean(point.y, point.y) @ inside
    explained, unexplained = mean(predicted, predicted), mean(noise, noise)
    shrink = np.eye(inside.shape[1]) - np.linalg.inv(
        np.eye(inside.shape[1]) + inside.T @ a @ point.covariance @ a.T @ inside
    )

    def form(v: np.ndarray) -> np.ndarray:
        return np.asarray(seen @ v - v @ explained - shrink @ v @ unexplained)

    value, v = least(form, (inside.shape[1], outside.shape[1]))
    hidden = np.linalg.lstsq(a, inside @ v @ predictor, rcond=None)[0]
    first = _reach(point, hidden)
    return None if first is None else (outside @ v.T @ inside.T @ a, first, value)


CASES: dict[str, Callable[[Whitened], Candidate | None]] = {
    "i": unused_feature,
    "ii": unread_feature,
    "iii": rotation,
}


def _reach(point: Whitened, target: np.ndarray) -> np.ndarray | None:
    """The change of A_1 that the layers above it turn into `target`, or None if they cannot."""
    found = np.linalg.lstsq(point.path, target, rcond=RANK_TOLERANCE)[0]
    missed = np.linalg.norm(point.path @ found - target)
    return None if missed > RANK_TOLERANCE * np.linalg.norm(target) else found


def least(form: Callable[[np.ndarray], np.ndarray], shape: tuple[int, ...]) -> tuple[float, np.ndarray]:
    """Smallest eigenvalue of a symmetric map of (stacks of) arrays, and where it is taken, of unit norm."""
    size = int(np.prod(shape))
    if size <= DENSE_FORM:
        matrix = form(np.eye(size).reshape(size, *shape)).reshape(size, size)
        values, vectors = eigh(matrix, subset_by_index=[0, 0])
    else:
        operator = LinearOperator(
            (size, size), matvec=lambda v: form(v.reshape(shape)).ravel(), dtype=np.float64
        )
        start = np.random.default_rng(0).standard_normal(size)
        values, vectors = eigsh(operator, k=1, which="SA", v0=start)
    return float(values[0]), vectors[:, 0].reshape(shape)


def verified(
    objective: EquilibratedEnergy, net: LinearPCN, point: Whitened, case: str, candidate: Candidate
) -> EscapeDirection:
    """Back to the weights, to unit length, and one Hessian-vector product."""
    last, first, predicted = candidate
    first = None if first is None else np.linalg.solve(point.roots[1].T, first)
    last = np.linalg.solve(point.roots[-1].T, last) @ point.roots[-2].T
    return measured(objective, net, case, (last, first, predicted))


def measured(
    objective: Objective, net: LinearPCN, case: str, candidate: Candidate, shift: np.ndarray | None = None
) -> EscapeDirection:
    """From changes of the maps, and of the output's bias, to a direction of unit length, and one
    Hessian-vector product.

    Returns
    -------
    EscapeDirection
        Along these changes.
    """
    last, first, predicted = candidate
    direction = [np.zeros(p.shape) for p in net.parameters]
    for l, change in ((0, first), (net.depth - 1, last)):
        if change is not None:
            direction[l] = direction[l] + change / net.multipliers[l]
    if shift is not None:
        direction[-1] = shift
    norm = np.sqrt(sum(np.sum(d**2) for d in direction))
    unit = tuple(d / norm for d in direction)
    product = objective.hvp(net, unit)
    curvature = sum(float(np.sum(d * h)) for d, h in zip(unit, product, strict=True))
    return EscapeDirection(unit, curvature, predicted / norm**2, case)
