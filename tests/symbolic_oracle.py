"""Numbers for the derivations: random rational networks, and their equilibrium by least squares.

The energy is half a sum of squares of linear forms in the hidden activities, so that `numpy.linalg.lstsq`
minimises it. This shares nothing with `pctheory`: neither its closed forms nor its linear algebra.
"""

from dataclasses import dataclass

import numpy as np
import sympy as sp


@dataclass(frozen=True)
class Dense:
    """Maps, precisions (one a layer) and one sample; `minimum` is z at equilibrium, `energy` F there."""

    maps: tuple
    precisions: tuple
    x: np.ndarray
    y: np.ndarray

    @property
    def system(self):
        """K and b with F = |b - K z|^2 / 2, straight from the definition of the errors."""
        hidden = [A.shape[0] for A in self.maps[:-1]]
        starts = np.concatenate([[0], np.cumsum(hidden)])
        blocks, rights = [], []
        for layer, (A, pi) in enumerate(zip(self.maps, self.precisions, strict=True)):
            row, right = np.zeros((A.shape[0], int(starts[-1]))), np.zeros(A.shape[0])
            if layer < len(hidden):
                row[:, starts[layer] : starts[layer + 1]] -= np.eye(hidden[layer])
            else:
                right += self.y
            if layer > 0:
                row[:, starts[layer - 1] : starts[layer]] += A
            else:
                right -= A @ self.x
            blocks.append(np.sqrt(pi) * row)
            rights.append(np.sqrt(pi) * right)
        return np.concatenate(blocks), np.concatenate(rights)

    @property
    def minimum(self):
        K, b = self.system
        return np.linalg.lstsq(K, b, rcond=None)[0] if K.shape[1] else np.zeros(0)

    @property
    def energy(self):
        K, b = self.system
        return 0.5 * float(np.sum((b - K @ self.minimum) ** 2))

    @property
    def layers(self):
        """z_0, ..., z_L at the minimum."""
        ends = np.cumsum([A.shape[0] for A in self.maps[:-1]])
        return [self.x, *np.split(self.minimum, ends)[:-1], self.y] if len(ends) else [self.x, self.y]

    @property
    def errors(self):
        z = self.layers
        return [z[i + 1] - A @ z[i] for i, A in enumerate(self.maps)]

    @property
    def hessian(self):
        K, _ = self.system
        return K.T @ K

    @property
    def kappa(self):
        K, _ = self.system
        return float(np.linalg.cond(K)) ** 2 if K.shape[1] else 1.0


def rationals(rng, symbols):
    """A rational number for each symbol: non-zero, positive where the symbol must be."""
    values = {}
    for symbol in symbols:
        size = sp.Rational(int(rng.integers(2, 15)), 7)
        values[symbol] = size if symbol.is_positive or rng.random() < 0.5 else -size
    return values


def dense_chain(chain, values):
    """The dense network of a `Chain` at the given numbers."""
    return Dense(
        tuple(np.array([[float(values[A])]]) for A in chain.maps),
        tuple(float(sp.sympify(pi).subs(values)) for pi in chain.precisions),
        np.array([float(values[chain.x])]),
        np.array([float(values[chain.y])]),
    )


def chain_values(rng, chain):
    """A rational number for every symbol of a `Chain`'s energy but the activities."""
    free = [*chain.maps, chain.x, chain.y, *(pi for pi in chain.precisions if pi != 1)]
    return rationals(rng, free)


def network_at(network, weights, x, y, scales=None):
    """The dense network of a `Network` with flat numerical weights (layer by layer, row by row)."""
    maps, start = [], 0
    for layer, (columns, rows) in enumerate(zip(network.widths, network.widths[1:], strict=False), start=1):
        W = np.asarray(weights[start : start + rows * columns], dtype=np.float64).reshape(rows, columns)
        start += rows * columns
        skip = np.eye(rows) if network.skips and 1 < layer < network.depth else 0.0
        maps.append((1.0 if scales is None else scales[layer - 1]) * W + skip)
    return Dense(tuple(maps), (1.0,) * network.depth, np.asarray(x, dtype=float), np.asarray(y, dtype=float))


def dense_network(network, values):
    """The dense network of a `Network` at the given numbers, unit multipliers."""
    weights, x, y = (
        [float(values[s]) for s in symbols] for symbols in (network.weights, network.x, network.y)
    )
    return network_at(network, weights, x, y)


def at(expression, values):
    """An expression or matrix at exact numbers, as float64."""
    expression = sp.sympify(expression).xreplace(
        {symbol: sp.sympify(value) for symbol, value in values.items()}
    )
    if isinstance(expression, sp.MatrixBase):
        return np.array(expression.evalf(30).tolist(), dtype=np.float64)
    return float(expression.evalf(30))


def central_gradient(function, point, step=1e-5):
    """Central differences; their error is about step^2 times a third derivative plus eps / step."""
    point = np.asarray(point, dtype=np.float64)
    slope = np.empty(point.size)
    for i in range(point.size):
        shift = np.zeros(point.size)
        shift[i] = step
        slope[i] = (function(point + shift) - function(point - shift)) / (2 * step)
    return slope


def central_hessian(function, point, step=1e-3):
    """Second central differences of a function, fourth order in the step."""
    point, size = np.asarray(point, dtype=np.float64), len(point)
    hessian = np.empty((size, size))
    for i in range(size):
        for j in range(i, size):
            total = 0.0
            for scale, weight in ((1, 4 / 3), (2, -1 / 3)):
                d_i, d_j = np.zeros(size), np.zeros(size)
                d_i[i], d_j[j] = scale * step, scale * step
                mixed = function(point + d_i + d_j) + function(point - d_i - d_j)
                mixed -= function(point + d_i - d_j) + function(point - d_i + d_j)
                total += weight * mixed / (4 * (scale * step) ** 2)
            hessian[i, j] = hessian[j, i] = total
    return hessian
