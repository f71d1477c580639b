r"""How accurate a computed equilibrium is: how far it moves when its inputs move by rounding errors.

A computation in floating point is roughly an exact one of slightly different numbers. The equilibrium is
computed again with every input moved at random by a few eps of itself, and with the units of every layer in
another order, which makes other rounding errors; twice by its own method, and once by the feedback, which
needs no moderate products. The largest move of the result, and at least eps for every layer, is the estimate:
of what the condition of the problem does and of what the method adds. It is a sample and no bound. Against
120 digits and more, on 12000 networks with precisions between 1e-12 and 1e12, weights between 1e-150 and
1e150 and up to 1000 layers, the worst error was 5.3 times its estimate for the activities, 5.6 times for the
errors and 5.8 times for the energy, and most estimates are about ten times the error.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .._check import Array, detached
from ..model import LinearPCN, Precision
from .routes import solve

__all__ = ["RelativeErrors", "relative_errors"]

PERTURBATION = 4.0
"""Largest relative move of an input, in units of eps."""

NO_DIGIT = 0.3
"""A relative move beyond which no digit is left, and nothing more is known of the error."""


class RelativeErrors(NamedTuple):
    r"""Estimated relative errors of an equilibrium: NaN if they are unknown, infinite if no digit is left.

    Attributes
    ----------
    activities : float
        Largest error of a :math:`z_l^*` over the largest entry of all of them.
    errors : float
        The same for the whitened errors :math:`C_l^T \epsilon_l^*`, whose squares sum to the energy.
    energy : float
    """

    activities: float
    errors: float
    energy: float


def relative_errors(
    net: LinearPCN, activities: Sequence[Array], errors: Sequence[Array], energy: Array, method: str
) -> RelativeErrors:
    """The estimates for an equilibrium of `net` that was computed by `method`."""
    try:
        host = _host(net)
        z, found = [_array(a) for a in activities], [_array(e) for e in errors]
        value = float(detached(energy))
    except (TypeError, RuntimeError, ValueError):  # a traced array has no values yet
        return RelativeErrors(math.nan, math.nan, math.nan)
    white = _whitened(host, found)
    rng = np.random.default_rng(0)
    moves = [0.0, 0.0, 0.0]
    for way in (method, method, "feedback"):  # what a method loses every time, another one shows
        orders = _orders(host, rng)
        try:
            moved = _moved(host, orders, rng)
            other = solve(moved, _near(z[0], rng), _near(z[-1][:, orders[-1]], rng), way)
        except (ValueError, np.linalg.LinAlgError):  # no longer positive definite
            return RelativeErrors(math.inf, math.inf, math.inf)
        other_errors = _in_place(other.errors, orders[1:])
        pairs = (
            _relative(_differences(z, _in_place(other.activities, orders)), z),
            _relative(_whitened(host, _differences(found, other_errors)), white),
            _relative([np.asarray(value - float(other.energy))], [np.asarray(value)]),
        )
        moves = [float(np.maximum(a, b)) for a, b in zip(moves, pairs, strict=True)]  # keeps NaN
    # what rounds in the same direction in every layer, such as 1 + a small square, no repetition shows
    least = net.depth * float(np.finfo(z[0].dtype).eps)
    return RelativeErrors(*(math.inf if m > NO_DIGIT else float(np.maximum(m, least)) for m in moves))


def _differences(first: Sequence[np.ndarray], second: Sequence[np.ndarray]) -> list[np.ndarray]:
    return [a - b for a, b in zip(first, second, strict=True)]


def _relative(moves: Sequence[np.ndarray], values: Sequence[np.ndarray]) -> float:
    """Largest move over the largest value; NaN for values too small to have all their digits."""
    scale = max(float(np.max(np.abs(v), initial=0.0)) for v in values)
    if scale < np.finfo(np.float64).tiny:
        return math.nan
    return max(float(np.max(np.abs(m), initial=0.0)) for m in moves) / scale


def _whitened(net: LinearPCN, errors: Sequence[np.ndarray]) -> list[np.ndarray]:
    return [p.whiten(e) for p, e in zip(net.precisions, errors, strict=True)]


def _array(array: Array) -> np.ndarray:
    """A numpy array of the same dtype."""
    return np.asarray(detached(array).cpu() if hasattr(array, "detach") else array)


def _host(net: LinearPCN) -> LinearPCN:
    """The network in numpy, of the same dtype."""
    return (
        net.all_learned()
        .with_weights(tuple(_array(p) for p in net.parameters))
        .with_precisions(
            tuple(
                p if isinstance(p.value, float) else Precision(_array(p.value), p.size)
                for p in net.precisions
            )
        )
    )


def _near(array: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The array with every entry moved by up to `PERTURBATION` eps of itself."""
    eps = PERTURBATION * float(np.finfo(array.dtype).eps)
    return np.asarray(array * (1 + eps * rng.uniform(-1, 1, array.shape)).astype(array.dtype))


def _orders(net: LinearPCN, rng: np.random.Generator) -> list[np.ndarray]:
    """An order of the units of every layer: the inputs stay, and a skip keeps the order of the layer
    below.

    Returns
    -------
    orders : list of arrays of int, (n_l,), l = 0..L
        A permutation of the units of each layer.
    """
    orders = [np.arange(net.widths[0])]
    for width, skip in zip(net.widths[1:], net.skips, strict=True):
        orders.append(orders[-1] if skip else rng.permutation(width))
    return orders


def _in_place(layers: Sequence[np.ndarray], orders: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Rows whose columns are in other orders, in their own."""
    return [rows[:, np.argsort(order)] for rows, order in zip(layers, orders, strict=True)]


def _moved(net: LinearPCN, orders: Sequence[np.ndarray], rng: np.random.Generator) -> LinearPCN:
    weights = tuple(
        _near(w[above][:, below], rng)
        for w, below, above in zip(net.weights, orders[:-1], orders[1:], strict=True)
    )
    biases = tuple(_near(b[order], rng) for b, order in zip(net.biases, orders[1:], strict=False))
    precisions = []
    for p, order in zip(net.precisions, orders[1:], strict=True):
        if isinstance(p.value, float):
            value: float | np.ndarray = float(_near(np.asarray(p.value), rng))
        elif p.value.ndim == 1:
            value = _near(p.value[order], rng)
        else:
            moved = _near(p.value[order][:, order], rng)
            value = np.tril(moved) + np.tril(moved, -1).T
        precisions.append(Precision(value, p.size))
    return net.with_weights((*weights, *biases)).with_precisions(tuple(precisions))
