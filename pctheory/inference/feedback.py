r"""The equilibrium by a backward and a forward sweep, stable for products of maps of any size.

Let :math:`V_l(z)` be the least energy of the layers above l when :math:`z_l = z`. It is a sum of at most n_L
squares,

.. math:: V_l(z) = \tfrac12 |d_l - R_l z|^2 + \text{const}, \qquad
          R_{L-1} = C_L^T A_L, \quad d_{L-1} = C_L^T y, \qquad \Pi_l = C_l C_l^T .

Choosing :math:`z_l = A_l z_{l-1} + C_l^{-T} w_l` adds :math:`\frac12 |w_l|^2`. With :math:`M_l = R_l
C_l^{-T}` and the triangular factor :math:`T_l` of :math:`I + M_l M_l^T = T_l^T T_l` the best choice, and what
is left for layer l-1, are

.. math:: w_l = M_l^T T_l^{-1} s_l, \quad s_l = T_l^{-T} (d_l - R_l A_l z_{l-1}), \qquad
          R_{l-1} = T_l^{-T} R_l A_l, \quad d_{l-1} = T_l^{-T} d_l .

:math:`T_l^{-T}` divides out what would make a product explode, so that the :math:`R_l` stay of the size of
one map. The same residuals follow without a difference of activities, from :math:`s_{l+1} = T_l^{-1} s_l`:
the errors come from these, and the activities from the first form, which corrects in every layer the rounding
errors of the layers below.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from array_api_compat import device

from .._check import Array, namespace
from ..linalg import lower_factor, solve_lower, thin_qr
from ..model import LinearPCN, Precision
from .products import largest, norm

__all__ = ["feedback_sweep"]

MODERATE = 30.0
"""Norm of M up to which I + M M^T may be formed: its condition is at most the square of this."""

WELL_CONDITIONED = 1e3
"""Condition of R up to which R^T R may be formed, to reduce its rows: errors grow by at most this."""

REACHED = 0.99
"""Part of d that a z reaches, beyond which the rest is projected twice."""

MAX_MOVES = 40
SMALL = 1e-8
"""Part of the activities that a correction may have to be the last one."""

NEGLIGIBLE = 32.0
"""Part of the activities, in units of eps, that needs no correction."""


class Step(NamedTuple):
    """What the forward sweep needs of the layers above a layer.

    `reduced`, `target`: R and d. `root`: :math:`T^T`, lower triangular. `gain`: :math:`T^{-T} M`, (k, n).
    `back`: from s to what it was before R had its rows reduced to n; None if they were not.
    """

    reduced: Array
    target: Array
    root: Array
    gain: Array
    back: Callable[[Array], Array] | None


def feedback_sweep(net: LinearPCN, x: Array, y: Array) -> tuple[tuple[Array, ...], tuple[Array, ...], Array]:
    """Activities (z_0, ..., z_L), errors (eps_1, ..., eps_L) and energy at equilibrium, of checked rows."""
    xp, maps, precisions = namespace(x, y), net.maps, net.precisions
    reduced, target = precisions[-1].whiten(maps[-1].T).T, precisions[-1].whiten(y)
    steps: list[Step] = []
    for l in range(net.depth - 1, 0, -1):
        step, reduced = _step(precisions[l - 1], maps[l - 1], reduced, target)
        target = solve_lower(step.root, step.target)
        steps.append(step)
    residual = target - x @ reduced.T
    activities, errors, squares = [x], [], []
    for matrix, precision, step in zip(maps, precisions, steps[::-1], strict=False):
        whitened = residual @ step.gain
        squares.append(xp.sum(whitened**2))
        errors.append(precision.unwhiten(whitened))
        residual = left = solve_lower(step.root, residual, transposed=True)
        if step.back is not None:
            residual = step.back(residual)
        activities.append(_settled(precision, step, activities[-1] @ matrix.T + errors[-1], left))
    errors.append(precisions[-1].unwhiten(residual))
    squares.append(xp.sum(residual**2))
    return (*activities, y), tuple(errors), 0.5 * sum(squares) / x.shape[0]


def _step(precision: Precision, matrix: Array, reduced: Array, target: Array) -> tuple[Step, Array]:
    """The step of a layer with R and d above it, and the R of the layer below."""
    xp, back = namespace(reduced), None
    if reduced.shape[0] > reduced.shape[1]:
        reduced, target, back = _with_fewer_rows(reduced, target)
    feedback = precision.colour(reduced)  # M
    identity = xp.eye(feedback.shape[0], dtype=feedback.dtype, device=device(feedback))
    root = lower_factor(identity + feedback @ feedback.T) if norm(feedback) <= MODERATE else None
    if root is not None:
        carried = solve_lower(root, reduced.T).T
        gain, below = precision.colour(carried), carried @ matrix
    else:
        basis, upper = _graded_qr(xp.concat([feedback.T, identity], axis=0))
        root, gain = upper.T, basis[: feedback.shape[1], :].T
        below = solve_lower(root, (reduced @ matrix).T).T
    return Step(reduced, target, root, gain, back), below


def _with_fewer_rows(rows: Array, target: Array) -> tuple[Array, Array, Callable[[Array], Array]]:
    r"""R' and d' with :math:`|d - R z|^2 = |d' - R' z|^2` + const: R = Q R', d' = Q^T d.

    R' is the Cholesky factor of :math:`R^T R` if R is well conditioned, else that of a QR factorisation,
    which costs five times as much. What no z reaches, :math:`d - Q Q^T d`, is projected a second time where
    it is small: the first time leaves rounding errors of the size of d.

    Returns
    -------
    reduced : (n, n)
        R'.
    target : (B, n)
        d'.
    back : function of rows (B, n)
        From :math:`d' - R' z` to :math:`d - R z`.
    """
    upper, project, lift = _orthonormal(rows)
    reduced = project(target)
    if norm(reduced) <= REACHED * norm(target):
        return upper, reduced, lambda left: target - lift(reduced - left)
    rest = target - lift(reduced)
    rest = rest - lift(project(rest))
    return upper, reduced, lambda left: rest + lift(left)


def _orthonormal(rows: Array) -> tuple[Array, Callable[[Array], Array], Callable[[Array], Array]]:
    r"""R' of R = Q R', and the products of rows with Q and with :math:`Q^T`."""
    xp = namespace(rows)
    factor = lower_factor(rows.T @ rows)  # R'^T
    if factor is not None:
        inverse = solve_lower(factor, xp.eye(factor.shape[0], dtype=rows.dtype, device=device(rows)))
        if norm(factor) * norm(inverse) <= WELL_CONDITIONED:
            return (
                factor.T,
                lambda target: solve_lower(factor, target @ rows),
                lambda left: solve_lower(factor, left, transposed=True) @ rows.T,
            )
    basis, upper = _graded_qr(rows)
    return upper, lambda target: target @ basis, lambda left: left @ basis.T


def _graded_qr(rows: Array) -> tuple[Array, Array]:
    """A thin QR with the large rows first: then Householder's is accurate row by row."""
    xp = namespace(rows)
    order = xp.argsort(-xp.max(xp.abs(rows), axis=1))
    basis, upper = thin_qr(xp.take(rows, order, axis=0))
    return xp.take(basis, xp.argsort(order), axis=0), upper


def _settled(precision: Precision, step: Step, z: Array, left: Array) -> Array:
    r"""Activities z of a layer, with :math:`d - R z = T^{-1} s` (`left`), which is accurate, from a first z.

    The first z has the rounding errors of the layers below, carried along, and those of a large prediction
    that the errors cancel. The formula's move from there removes them: 16 digits at a time.

    Returns
    -------
    z : (B, n_l)

    Raises
    ------
    ValueError
        If rounding errors exceed the activities.
    """
    negligible = NEGLIGIBLE * float(namespace(z).finfo(z.dtype).eps) * precision.extremes[0] ** 0.5
    for _ in range(MAX_MOVES):
        missing = step.target - left - z @ step.reduced.T
        if largest(missing) <= negligible * largest(z):  # a traced one is NaN, and moves once
            return z
        move = precision.unwhiten(solve_lower(step.root, missing) @ step.gain)
        z = z + move
        if not largest(move) > SMALL * largest(z):
            return z
    if not largest(move) > 0.1 * largest(z):
        return z
    raise ValueError(
        "`weights` must be small enough for the activities at equilibrium to be computed. Got maps so large "
        "that rounding errors exceed the activities: scale the weights down."
    )
