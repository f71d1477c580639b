"""Three ways to compute the equilibrium of checked rows, and which of them is accurate where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from array_api_compat import device

from .. import _check
from .._check import Array, namespace
from ..linalg import BlockTridiagonal, solve_lower, thin_qr
from ..model import LinearPCN
from ..model.definitions import energies_of, errors_of, hessian_blocks, linear_term
from .feedback import feedback_sweep
from .products import hidden_products, largest, norm, representable, whitened_stack

__all__ = [
    "CLOSURE_BOUND",
    "METHODS",
    "SPREAD_BOUND",
    "Route",
    "forward_sweep",
    "is_trusted",
    "output_norm",
    "solve",
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
        return Route(tuple(rows[:cut]), tuple(rows[cut:]), route.energy, route.method)
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
    ends = [p.extremes for p in net.precisions]
    return (
        growth <= CLOSURE_BOUND ** (1 / order)
        and max(high for _, high in ends) <= SPREAD_BOUND * min(low for low, _ in ends)
        and norm <= eps**-0.25
    )


def output_norm(net: LinearPCN, root: Array) -> float:
    r""":math:`\|R C_L\|_F` of the (n_L, n_L) factor R with :math:`S = R^T R`; NaN if it is traced."""
    return norm(net.precisions[-1].whiten(root))


def forward_sweep(
    net: LinearPCN, start: Array, first: Array, added: Sequence[Array], strength: float, target: Array
) -> tuple[list[Array], float]:
    r"""Rows :math:`z_l = A_l z_{l-1} + e_l`, and how much their rounding errors grow.

    One more row carries random errors along: of the size of `strength` in every whitened :math:`e_l`, and, in
    the activities of every layer, of the size of those of a random combination of the samples. The mismatch
    of the last rows with `target`, which they must equal, is a sample of the true ones.

    Parameters
    ----------
    net : LinearPCN
        The network.
    start : (B, n_0)
        :math:`z_0`.
    first : (B, n_1)
        :math:`A_1 z_0`.
    added : L arrays (B, n_l)
        :math:`e_l`.
    strength : float
        Size of the rounding errors of the whitened :math:`e_l`, in units of eps.
    target : (B, n_L)
        What the last rows must be.

    Returns
    -------
    rows : L arrays (B, n_l)
        :math:`z_1, \dots, z_L`.
    growth : float
        Largest random error, or the mismatch in units of eps if that is larger, over the largest entry of the
        combinations. NaN if the sweep overflowed or is traced.
    """
    xp, size = namespace(first), first.shape[0]
    random = xp.asarray(_random_row(net.widths, size), dtype=first.dtype, device=device(first))
    signs, units = random[:, :size], random[:, size:]
    maps, strong, begin = net.maps, strength * units, 0
    rows, combined = [first + added[0]], [signs @ _check.detached(start)]
    errors: list[Array] = []
    for l, precision in enumerate(net.precisions):
        stop = begin + precision.size
        noise = precision.unwhiten(strong[:, begin:stop])
        if l:
            carried = xp.concat([rows[-1], errors[-1]], axis=0) @ maps[l].T
            rows.append(carried[:size, :] + added[l])
            noise = noise + _check.detached(carried[size:, :])
        combined.append(signs @ _check.detached(rows[-1]))
        errors.append(noise + units[:, begin:stop] * combined[-1])
        begin = stop
    scale, worst = largest(xp.concat(combined, axis=1)), largest(xp.concat(errors, axis=1))
    mismatch = largest(rows[-1] - target) / float(xp.finfo(first.dtype).eps)
    growth = max(worst, mismatch) / scale if scale else 0.0
    return rows, growth


def _by_sweep(net: LinearPCN, x: Array, y: Array) -> Route:
    """Through the products, forward without feedback."""
    xp, maps = namespace(x, y), net.maps
    products = hidden_products(net)
    first = x @ maps[0].T
    residual = y - first @ products[0].T
    q, r = thin_qr(whitened_stack(net, products))
    solved = solve_lower(r.T, residual)  # R^{-T} r: F* is half its squared norm
    whitened = (q @ solved.T).T
    errors, start = [], 0
    for precision in net.precisions:
        errors.append(precision.unwhiten(whitened[:, start : start + precision.size]))
        start += precision.size
    size = output_norm(net, r)
    rows, growth = forward_sweep(net, x, first, errors, size * largest(whitened), y)
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
    """The route, after refusing an overflow: a z that overflows is passed on upwards."""
    representable(route.energy, "F")
    representable(route.activities[-2], "z")
    return route


@lru_cache
def _random_row(widths: tuple[int, ...], size: int) -> np.ndarray:
    """A random sign for each sample, and a random number for each unit."""
    rng = np.random.default_rng(0)
    return np.hstack([rng.choice([-1.0, 1.0], (1, size)), rng.standard_normal((1, sum(widths[1:])))])
