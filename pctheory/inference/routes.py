"""Three ways to compute the equilibrium of checked rows, and which of them is accurate where."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, pairwise

import numpy as np

from .. import _check
from .._check import Array, namespace
from ..linalg import BlockTridiagonal, solve_lower, thin_qr
from ..model import LinearPCN
from ..model.definitions import energies_of, errors_of, hessian_blocks, linear_term
from .feedback import feedback_sweep
from .products import hidden_products, largest, largest_of_rows, norm, representable, whitened_stack

__all__ = [
    "CLOSURE_BOUND",
    "METHODS",
    "SPREAD_BOUND",
    "Route",
    "forward_sweep",
    "is_trusted",
    "output_norm",
    "solve",
    "unwhitened",
]

METHODS = ("auto", "sweep", "feedback", "elimination")

CLOSURE_BOUND = 1e4
"""Largest growth of rounding errors at which a sweep is trusted."""

SPREAD_BOUND = 1e4
"""Largest ratio of two precisions of a network at which a sweep is trusted."""

CANCELLED = 100.0
"""Activities over those predicted, in units of eps, below which they may be rounding errors."""


@dataclass(frozen=True, eq=False)
class Route:
    """Activities (z_0, ..., z_L), errors (eps_1, ..., eps_L) and energy at equilibrium, and the method they
    are from; `doubtful`: whether rounding errors may have left no digit.
    """

    activities: tuple[Array, ...]
    errors: tuple[Array, ...]
    energy: Array
    method: str
    doubtful: bool


def solve(net: LinearPCN, x: Array, y: Array, method: str) -> Route:
    """The equilibrium by one of `METHODS`."""
    if method == "elimination":
        return _finite(_by_elimination(net, x, y))
    if net.biases:  # a constant unit carries them
        xp = namespace(x)
        route = solve(net.with_constant(), xp.concat([x, xp.ones_like(x[:, :1])], axis=1), y, method)
        pairs = zip((*route.activities, *route.errors), (*net.widths, *net.widths[1:]), strict=True)
        rows = [array[:, :width] for array, width in pairs]
        cut = net.depth + 1
        return Route(tuple(rows[:cut]), tuple(rows[cut:]), route.energy, route.method, route.doubtful)
    if method == "sweep" or (method == "auto" and net.widths[-1] <= min(net.widths[1:])):
        route = _by_sweep(net, x, y)
        if method == "sweep" or not route.doubtful:
            return _finite(route)
    activities, errors, energy = feedback_sweep(net, x, y)
    return _finite(Route(activities, errors, energy, "feedback", _cancels(net, activities)))


def is_trusted(net: LinearPCN, norm: float, growth: float, *, order: int = 1) -> bool:
    r"""Whether a sweep through the products is accurate: neither they nor the precisions are extreme.

    Parameters
    ----------
    net : LinearPCN
        The network.
    norm : float
        `output_norm` of R. All singular values of :math:`R C_L` are at least 1, so that its norm bounds its
        condition: at most :math:`\varepsilon^{-1/4}` is accepted.
    growth : float
        That of `forward_sweep`, at most `CLOSURE_BOUND`.
    order : int
        2 for second derivatives, which are swept twice.

    Returns
    -------
    bool
        True where the sweep is accurate.
    """
    weight = net.weights[0]
    eps = float(namespace(weight).finfo(weight.dtype).eps)
    if not (growth <= CLOSURE_BOUND ** (1 / order) and norm <= eps**-0.25):
        return False
    if net.is_white:
        return True
    ends = [p.extremes for p in net.precisions]
    return max(high for _, high in ends) <= SPREAD_BOUND * min(low for low, _ in ends)


def output_norm(net: LinearPCN, root: Array) -> float:
    r""":math:`\|R C_L\|_F` of the (n_L, n_L) factor R with :math:`S = R^T R`; NaN if it is traced."""
    return norm(net.precisions[-1].whiten(root))


def forward_sweep(
    net: LinearPCN, first: Array, coefficients: Array, basis: Array, condition: float, target: Array
) -> tuple[list[Array], list[Array], float]:
    r"""Rows :math:`z_l = A_l z_{l-1} + e_l`, and how much their rounding errors grow.

    One more row is a random combination of the samples, swept on its own, with random errors in its
    :math:`e_l`. Without these, and in exact arithmetic, it would stay the combination of the swept samples.
    How far it leaves them is a sample of the errors in every layer, as is the mismatch with `target` in the
    last one.

    Parameters
    ----------
    net : LinearPCN
        The network.
    first : (B, n_1)
        :math:`A_1 z_0`.
    coefficients : (B, k)
        Of the :math:`e_l` in the basis.
    basis : (k, n_1 + ... + n_L)
        Rows :math:`e_1, \dots, e_L`.
    condition : float
        Size of the rounding errors of the whitened :math:`e_l`, in units of eps times the coefficients.
    target : (B, n_L)
        What the last rows must be.

    Returns
    -------
    rows : L arrays (B, n_l)
        :math:`z_1, \dots, z_L`.
    added : L arrays (B, n_l)
        :math:`e_1, \dots, e_L`.
    growth : float
        Largest error in units of eps over the largest entry of the combination. NaN if the sweep overflowed
        or is traced.
    """
    xp, size = namespace(first), first.shape[0]
    eps = float(xp.finfo(first.dtype).eps)
    constants = _random_combination(net.widths[1:], size)
    mixed, last, read, units = (_check.like(constant, first) for constant in constants)
    mean = mixed @ coefficients
    noise = eps * condition * norm(mean) / mean.shape[1] ** 0.5
    known = math.isfinite(noise)  # else it is traced, or overflows, and must not enter gradients
    weights = xp.concat([xp.concat([coefficients, mean], axis=0), (noise if known else 0.0) * last], axis=1)
    added = _by_layer(net, weights @ xp.concat([basis, unwhitened(net, units)], axis=0))
    swept = [xp.concat([first, mixed @ first], axis=0) + added[0]]
    for matrix, error in zip(net.maps[1:], added[1:], strict=True):
        swept.append(swept[-1] @ matrix.T + error)
    rows = [z[:size, :] for z in swept]
    seen = [read @ _check.detached(z) for z in swept]
    seen.append(read[:, :size] @ _check.detached(rows[-1] - target))
    scale, worst = largest_of_rows(xp.concat(seen, axis=1))
    growth = (worst / eps / scale if scale else 0.0) if known else math.nan
    return rows, [e[:size, :] for e in added], growth


def unwhitened(net: LinearPCN, rows: Array) -> Array:
    """Whitened errors of all layers, (B, n_1 + ... + n_L), unwhitened."""
    if net.is_white:
        return rows
    parts = zip(net.precisions, _by_layer(net, rows), strict=True)
    return namespace(rows).concat([precision.unwhiten(part) for precision, part in parts], axis=1)


def _by_layer(net: LinearPCN, rows: Array) -> list[Array]:
    """Rows of all layers, (B, n_1 + ... + n_L), as those of each."""
    ends = accumulate(net.widths[1:], initial=0)
    return [rows[:, begin:end] for begin, end in pairwise(ends)]


def _by_sweep(net: LinearPCN, x: Array, y: Array) -> Route:
    """Through the products, forward without feedback."""
    xp = namespace(x, y)
    products = hidden_products(net)
    first = x @ net.maps[0].T
    residual = y - first @ products[0].T
    q, r = thin_qr(whitened_stack(net, products))
    solved = solve_lower(r.T, residual)  # R^{-T} r: F* is half its squared norm
    size = output_norm(net, r)
    rows, errors, growth = forward_sweep(net, first, solved, unwhitened(net, q.T), size, y)
    energy = 0.5 * xp.sum(solved**2) / x.shape[0]
    doubtful = not is_trusted(net, size, growth)
    return Route((x, *rows[:-1], y), tuple(errors), energy, "sweep", doubtful)


def _by_elimination(net: LinearPCN, x: Array, y: Array) -> Route:
    """From the Hessian, whose condition is the square of that of the problem; errors are differences."""
    hidden: tuple[Array, ...] = ()
    if net.depth > 1:
        hessian = BlockTridiagonal.unchecked(*hessian_blocks(net))
        hidden = hessian.split_rows(hessian.cholesky().substitute(linear_term(net, x, y)))
    activities = (x, *hidden, y)
    errors = errors_of(net, activities)
    energies = energies_of(net, errors)
    energy = namespace(energies).sum(energies)
    return Route(activities, errors, energy, "elimination", doubtful=True)


def _cancels(net: LinearPCN, activities: Sequence[Array]) -> bool:
    """Whether the activities of a hidden layer are as small as the rounding errors of their prediction."""
    eps = float(namespace(activities[0]).finfo(activities[0].dtype).eps)
    sizes = [largest(z) for z in activities]
    return any(
        after < CANCELLED * eps * before * largest(matrix)
        for before, after, matrix in zip(sizes, sizes[1:-1], net.maps, strict=False)
    )


def _finite(route: Route) -> Route:
    """The route, after refusing an overflow: a z that overflows is passed on upwards.

    A trusted sweep has seen all of them.

    Returns
    -------
    Route
        Unchanged.

    Raises
    ------
    ValueError
        If energy or activities overflowed.
    """
    representable(route.energy, "F")
    if route.doubtful or route.method != "sweep":
        representable(route.activities[-2], "z")
    return route


@lru_cache
def _random_combination(widths: tuple[int, ...], size: int) -> tuple[np.ndarray, ...]:
    """What `forward_sweep` needs for `size` samples, at random.

    Returns
    -------
    mixed : (1, B)
        Weights of the combination: neither small nor short in binary digits.
    last : (B + 1, 1)
        1 for the last row.
    read : (2, B + 1)
        The last row; how far it is from the combination of the others.
    units : (1, n_1 + ... + n_L)
        A normal number for each unit.
    """
    rng = np.random.default_rng(0)
    mixed = rng.choice([-1.0, 1.0], (1, size)) * rng.uniform(1, 2, (1, size))
    last = np.eye(size + 1)[:, -1:]
    read = np.vstack([last.T, np.hstack([mixed, [[-1.0]]])])
    return mixed, last, read, rng.standard_normal((1, sum(widths)))
