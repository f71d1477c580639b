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

from typing import NamedTuple

from array_api_compat import array_namespace, device

from .._check import Array
from ..linalg import solve_lower
from ..model import LinearPCN, Precision

__all__ = ["feedback_sweep"]

MODERATE = 30.0
"""Norm of M up to which I + M M^T may be formed: its condition is at most the square of this."""

MAX_MOVES = 40
SMALL = 1e-8
"""Part of the activities that a correction may have to be the last one."""


class Step(NamedTuple):
    """What the forward sweep needs of the layers above a layer.

    `reduced`, `target`: R and d. `root`: :math:`T^T`, lower triangular. `gain`: :math:`T^{-T} M`, (k, n).
    `back`, `rest`: s before R had its rows reduced to n is ``s @ back.T + rest``; None if they were not.
    """

    reduced: Array
    target: Array
    root: Array
    gain: Array
    back: Array | None
    rest: Array | None


def feedback_sweep(net: LinearPCN, x: Array, y: Array) -> tuple[tuple[Array, ...], tuple[Array, ...], Array]:
    """Activities (z_0, ..., z_L), errors (eps_1, ..., eps_L) and energy at equilibrium, of checked rows."""
    xp, maps = array_namespace(x, y), net.maps
    reduced, target = net.precisions[-1].whiten(maps[-1].T).T, net.precisions[-1].whiten(y)
    steps: list[Step] = []
    for l in range(net.depth - 1, 0, -1):
        step = _step(net, l, reduced, target)
        steps.append(step)
        reduced = solve_lower(step.root, (step.reduced @ maps[l - 1]).T).T
        target = solve_lower(step.root, step.target)
    residual = target - x @ reduced.T
    squares = xp.zeros_like(residual[:, 0])
    activities, errors = [x], []
    for matrix, precision, step in zip(maps, net.precisions, steps[::-1], strict=False):
        whitened = residual @ step.gain
        errors.append(precision.unwhiten(whitened))
        squares = squares + xp.sum(whitened**2, axis=1)
        residual = left = solve_lower(step.root, residual, transposed=True)
        if step.back is not None:
            residual = residual @ step.back.T + step.rest
        predicted = activities[-1] @ matrix.T
        activities.append(_settled(precision, step, predicted, left))
    errors.append(net.precisions[-1].unwhiten(residual))
    squares = squares + xp.sum(residual**2, axis=1)
    return (*activities, y), tuple(errors), 0.5 * xp.sum(squares) / x.shape[0]


def _step(net: LinearPCN, l: int, reduced: Array, target: Array) -> Step:
    xp = array_namespace(reduced)
    back = rest = None
    if reduced.shape[0] > reduced.shape[1]:
        back, reduced = xp.linalg.qr(reduced, mode="reduced")
        whole, target = target, target @ back
        rest = whole - target @ back.T
    feedback = net.precisions[l - 1].colour(reduced)  # M
    size = feedback.shape[0]
    identity = xp.eye(size, dtype=feedback.dtype, device=device(feedback))
    if _is_moderate(feedback):
        root = xp.linalg.cholesky(identity + feedback @ feedback.T)
        gain = solve_lower(root, feedback.T).T
    else:  # the large rows first: then Householder's QR is accurate row by row
        basis, upper = xp.linalg.qr(xp.concat([feedback.T, identity], axis=0), mode="reduced")
        root, gain = upper.T, basis[: feedback.shape[1], :].T
    return Step(reduced, target, root, gain, back, rest)


def _settled(precision: Precision, step: Step, predicted: Array, left: Array) -> Array:
    r"""Activities z of a layer from their prediction, with :math:`d - R z = T^{-1} s` (`left`), which is
    accurate.

    The first move is that of the formula. Where it cancels most of a large prediction, rounding errors of the
    size of the prediction remain, and the same move from there removes them: 16 digits at a time.

    Returns
    -------
    z : (B, n_l)

    Raises
    ------
    ValueError
        If rounding errors exceed the activities.
    """
    xp = array_namespace(predicted)
    z = predicted + precision.unwhiten(
        solve_lower(step.root, step.target - predicted @ step.reduced.T) @ step.gain
    )
    for _ in range(MAX_MOVES):
        missing = step.target - left - z @ step.reduced.T
        move = precision.unwhiten(solve_lower(step.root, missing) @ step.gain)
        z = z + move
        if not _is_larger(xp.abs(move), SMALL * xp.max(xp.abs(z))):
            return z
    if not _is_larger(xp.abs(move), 0.1 * xp.max(xp.abs(z))):
        return z
    raise ValueError(
        "`weights` must leave digits in the activities at equilibrium. Got maps so large that rounding "
        "errors exceed "
        "them: scale the weights down."
    )


def _is_larger(array: Array, bound: Array) -> bool:
    """Whether an entry exceeds the bound; False for a traced array, which has no values yet."""
    try:
        return bool(array_namespace(array).any(array > bound))
    except (TypeError, RuntimeError):
        return False


def _is_moderate(feedback: Array) -> bool:
    """Whether the norm of M is at most `MODERATE`; False for a traced array, which has no values yet."""
    try:
        return bool(array_namespace(feedback).sum(feedback**2) <= MODERATE**2)
    except (TypeError, RuntimeError):
        return False
