r"""Systems of the observed entries alone: one principal submatrix for each pattern of observed entries."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from array_api_compat import array_namespace, device

from .._check import Array

__all__ = ["by_pattern", "solve_observed", "where_observed"]


def where_observed(rows: Array, observed: np.ndarray) -> Array:
    """The rows with zeros where `observed`, booleans of their shape, is False."""
    xp = array_namespace(rows)
    there = xp.asarray(np.array(observed), device=device(rows))
    return xp.where(there, rows, xp.zeros_like(rows))


def by_pattern(change: Callable[[np.ndarray, Array], Array], rows: Array, observed: np.ndarray) -> Array:
    """`change` of each different row of `observed` (B, n) and of the `rows` (B, k) that have it, in their
    order.

    Returns
    -------
    (B, k)
    """
    xp = array_namespace(rows)
    patterns, group = np.unique(observed, axis=0, return_inverse=True)
    order = np.argsort(group, kind="stable")
    groups = np.split(order, np.cumsum(np.bincount(group.ravel()))[:-1])
    parts = [
        change(pattern, xp.take(rows, xp.asarray(numbers, device=device(rows)), axis=0))
        for pattern, numbers in zip(patterns, groups, strict=True)
    ]
    back = xp.asarray(np.argsort(order), device=device(rows))
    return xp.take(xp.concat(parts, axis=0), back, axis=0)


def solve_observed(matrix: Array, rows: Array, observed: np.ndarray) -> Array:
    r"""Rows :math:`v \mapsto (S_{OO})^{-1} v_O` on the observed entries O of each row, and 0 elsewhere.

    Parameters
    ----------
    matrix : (n, n)
        S, symmetric positive definite.
    rows : (B, n)
        v; its entries that are not observed do not matter.
    observed : booleans (B, n)
        O, one pattern a row; equal patterns share one factorisation.

    Returns
    -------
    (B, n)

    Examples
    --------
    >>> matrix, rows = np.array([[2.0, 1.0], [1.0, 4.0]]), np.array([[3.0, 8.0]])
    >>> solve_observed(matrix, rows, np.array([[False, True]]))
    array([[0., 2.]])
    """
    xp = array_namespace(matrix, rows)

    def solve(pattern: np.ndarray, own: Array) -> Array:
        # the unit matrix on the other entries, whose right-hand side is 0
        rest = xp.asarray(np.diag(1.0 - pattern), dtype=matrix.dtype, device=device(matrix))
        return xp.linalg.solve(where_observed(matrix, np.outer(pattern, pattern)) + rest, own.T).T

    return by_pattern(solve, where_observed(rows, observed), observed)
