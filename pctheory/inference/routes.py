"""Three ways to compute the equilibrium of checked rows, and which of them is accurate where."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from array_api_compat import array_namespace, device

from .. import _check
from .._check import Array
from ..linalg import BlockTridiagonal
from ..model import LinearPCN
from ..model.definitions import energies_of, errors_of, hessian_blocks, linear_term
from .feedback import feedback_sweep
from .products import hidden_products, whitened_stack

__all__ = [
    "CLOSURE_BOUND",
    "METHODS",
    "SPREAD_BOUND",
    "Route",
    "error_growth",
    "is_trusted",
    "output_norm",
    "solve",
]

METHODS = ("auto", "sweep", "feedback", "elimination")

CLOSURE_BOUND = 1e4
"""Largest growth of rounding errors at which a sweep is trusted."""

SPREAD_BOUND = 1e4
"""Largest ratio of two precisions of a network at which a sweep is trusted."""


@dataclass(frozen=True, eq=False)
class Route:
    """Activities (z_0, ..., z_L), errors (eps_1, ..., eps_L) and energy at equilibrium, and the method they
    are from.
    """

    activities: tuple[Array, ...]
    errors: tuple[Array, ...]
    energy: Array
    method: str


def solve(net: LinearPCN, x: Array, y: Array, method: str) -> Route:
    """The equilibrium by one of `METHODS`."""
    if method == "elimination":
        return _by_elimination(net, x, y)
    if net.biases:  # a constant unit carries them
        xp = array_namespace(x)
        route = solve(net.with_constant(), xp.concat([x, xp.ones_like(x[:, :1])], axis=1), y, method)
        pairs = zip((*route.activities, *route.errors), (*net.widths, *net.widths[1:]), strict=True)
        rows = [array[:, :width] for array, width in pairs]
        cut = net.depth + 1
        return Route(tuple(rows[:cut]), tuple(rows[cut:]), route.energy, route.method)
    if method == "sweep" or (method == "auto" and net.widths[-1] <= min(net.widths[1:])):
        route, root, growth = _by_sweep(net, x, y)
        if method == "sweep" or is_trusted(net, root, growth):
            return route
    return Route(*feedback_sweep(net, x, y), "feedback")


def is_trusted(net: LinearPCN, root: Array, growth: float, *, order: int = 1) -> bool:
    r"""Whether a sweep through the products is accurate: neither they nor the precisions are extreme.

    Parameters
    ----------
    net : LinearPCN
        The network.
    root : (n_L, n_L)
        R with :math:`S = R^T R`. All singular values of :math:`R C_L` are at least 1, so that its norm bounds
        its condition: at most :math:`\varepsilon^{-1/4}` is accepted.
    growth : float
        `error_growth` of the forward sweep, at most `CLOSURE_BOUND`.
    order : int
        2 for second derivatives, which are swept twice.

    Returns
    -------
    bool
        True where the sweep is accurate.
    """
    eps = float(array_namespace(root).finfo(root.dtype).eps)
    low, high = (list(ends) for ends in zip(*(p.extremes for p in net.precisions), strict=True))
    if not growth <= CLOSURE_BOUND ** (1 / order) or not max(high) <= SPREAD_BOUND * min(low):
        return False
    return output_norm(net, root) <= eps**-0.25


def output_norm(net: LinearPCN, root: Array) -> float:
    r""":math:`\|R C_L\|_F`; NaN if it is traced."""
    xp = array_namespace(root)
    try:
        return float(xp.sum(_check.detached(net.precisions[-1].whiten(root)) ** 2)) ** 0.5
    except (TypeError, RuntimeError):
        return math.nan


def error_growth(net: LinearPCN, swept: Sequence[Array], strength: float, target: Array) -> float:
    r"""How much the rounding errors of a forward sweep grow, in units of eps times the largest row.

    Random errors of the size of `strength` in the whitened errors, and of the size of every layer's rows, are
    carried along; and the mismatch of the last rows with `target`, which they must equal, is a sample of the
    true ones. Infinite if the sweep overflowed, NaN if it is traced.

    Returns
    -------
    float
        In units of eps.
    """
    xp = array_namespace(*swept)
    try:
        sizes = [float(xp.max(xp.abs(_check.detached(rows)))) for rows in swept]
        random = _random_row(sum(net.widths))
        noise, worst, start = xp.zeros_like(_check.detached(swept[0])[:1, :]), 0.0, net.widths[0]
        for matrix, precision, size in zip(net.maps, net.precisions, sizes[1:], strict=True):
            unit = random[:, start : start + precision.size]
            unit = xp.asarray(unit, dtype=noise.dtype, device=device(noise))
            carried = noise @ _check.detached(matrix).T
            noise = carried + strength * _check.detached(precision.unwhiten(unit)) + size * unit
            worst = max(worst, float(xp.max(xp.abs(noise))))
            start += precision.size
        mismatch = float(xp.max(xp.abs(_check.detached(swept[-1] - target))))
    except (TypeError, RuntimeError):
        return math.nan
    scale = max(sizes)
    growth = max(worst, mismatch / float(xp.finfo(noise.dtype).eps)) / scale if scale else 0.0
    return math.inf if math.isnan(growth) else growth


def _by_sweep(net: LinearPCN, x: Array, y: Array) -> tuple[Route, Array, float]:
    """Through the products, forward without feedback. Also R with S = R^T R, and the growth of errors."""
    xp = array_namespace(x, y)
    products, maps = hidden_products(net), net.maps
    first = x @ maps[0].T
    residual = y - first @ products[0].T
    q, r = xp.linalg.qr(whitened_stack(net, products), mode="reduced")
    root = xp.linalg.solve(r.T, residual.T)  # R^{-T} r: F* is half its squared norm
    whitened = (q @ root).T
    errors, start = [], 0
    for precision in net.precisions:
        errors.append(precision.unwhiten(whitened[:, start : start + precision.size]))
        start += precision.size
    activities = [x, first + errors[0]]
    for matrix, error in zip(maps[1:], errors[1:], strict=True):
        activities.append(activities[-1] @ matrix.T + error)
    strength = output_norm(net, r) * _largest(whitened)
    growth = error_growth(net, activities, strength, y)
    activities[-1] = y
    energy = 0.5 * xp.sum(root**2) / x.shape[0]
    return Route(tuple(activities), tuple(errors), energy, "sweep"), r, growth


def _by_elimination(net: LinearPCN, x: Array, y: Array) -> Route:
    """From the Hessian, whose condition is the square of that of the problem; errors are differences."""
    hidden: tuple[Array, ...] = ()
    if net.depth > 1:
        hessian = BlockTridiagonal.unchecked(*hessian_blocks(net))
        hidden = hessian.split_rows(hessian.cholesky().substitute(linear_term(net, x, y)))
    activities = (x, *hidden, y)
    errors = errors_of(net, activities)
    energies = energies_of(net, errors)
    energy = array_namespace(energies).sum(energies)
    return Route(activities, errors, energy, "elimination")


@lru_cache
def _random_row(size: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((1, size))


def _largest(array: Array) -> float:
    """Largest magnitude; NaN if it is traced."""
    xp = array_namespace(array)
    try:
        return float(xp.max(xp.abs(_check.detached(array))))
    except (TypeError, RuntimeError):
        return math.nan
