"""Train linear networks with exact gradients of the equilibrated energy (PC) or of the loss (BP)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from pctheory import Data, LinearPCN
from pctheory.inference import equilibrium
from pctheory.model import weight_gradient

Gradient = tuple[np.ndarray, ...]


def pc_gradient(net: LinearPCN, data: Data) -> tuple[float, Gradient]:
    """The equilibrated energy and its gradient, by the sweep."""
    eq = equilibrium(net, data)
    return float(eq.energy), weight_gradient(net, eq.activities)


def bp_gradient(net: LinearPCN, data: Data) -> tuple[float, Gradient]:
    """The loss and its gradient, by a forward and a backward pass."""
    x = np.asarray(data.x, dtype=net.weights[0].dtype)
    activities = [x]
    for matrix in net.maps:
        activities.append(activities[-1] @ matrix.T)
    error = np.asarray(data.y, dtype=x.dtype) - activities[-1]
    value = float(0.5 * np.sum(error**2) / len(x))
    gradient = []
    for a, matrix, before in zip(
        reversed(net.multipliers), reversed(net.maps), reversed(activities[:-1]), strict=True
    ):
        gradient.append((-a / len(x)) * error.T @ before)
        error = error @ matrix
    return value, tuple(gradient[::-1])


def loss_of(net: LinearPCN, data: Data) -> float:
    """The loss alone."""
    output = np.asarray(data.x, dtype=net.weights[0].dtype)
    for matrix in net.maps:
        output = output @ matrix.T
    return float(0.5 * np.sum((data.y - output) ** 2) / len(output))


def cosine(first: Sequence[np.ndarray], second: Sequence[np.ndarray]) -> float:
    """Cosine of two gradients over all weights."""
    dot, a, b = (
        sum(float(np.vdot(p, q)) for p, q in zip(u, v, strict=True))
        for u, v in ((first, second), (first, first), (second, second))
    )
    return dot / np.sqrt(a * b) if a > 0 and b > 0 else np.nan


class SGD:
    """Plain gradient descent."""

    def __init__(self, rate: float) -> None:
        self.rate = rate

    def step(self, net: LinearPCN, gradient: Gradient) -> LinearPCN:
        """The network after one step."""
        return net.with_weights(tuple(w - self.rate * g for w, g in zip(net.weights, gradient, strict=True)))


class Adam:
    """Adam with its usual constants, in the precision of the weights."""

    def __init__(self, rate: float) -> None:
        self.rate, self.count = rate, 0
        self.means: list[np.ndarray] = []
        self.squares: list[np.ndarray] = []

    def step(self, net: LinearPCN, gradient: Gradient) -> LinearPCN:
        """The network after one step."""
        if not self.count:
            self.means = [np.zeros_like(g) for g in gradient]
            self.squares = [np.zeros_like(g) for g in gradient]
        self.count += 1
        first, second = 1 - 0.9**self.count, 1 - 0.999**self.count
        weights = []
        for w, g, mean, square in zip(net.weights, gradient, self.means, self.squares, strict=True):
            mean += 0.1 * (g - mean)
            square += 0.001 * (g * g - square)
            weights.append(w - (self.rate / first) * mean / (np.sqrt(square / second) + 1e-8))
        return net.with_weights(tuple(weights))


def train(
    net: LinearPCN,
    batch: Callable[[int], Data],
    gradient: Callable[[LinearPCN, Data], tuple[float, Gradient]],
    optimiser: SGD | Adam,
    steps: int,
    observe: Callable[[int, LinearPCN, Data], None],
) -> LinearPCN:
    """Train for `steps` iterations, calling `observe` before each and after the last.

    Training stops when it diverges.
    """
    for t in range(steps + 1):
        data = batch(t)
        observe(t, net, data)
        if t == steps:
            break
        value, slope = gradient(net, data)
        if not np.isfinite(value) or value > 1e12:
            break
        net = optimiser.step(net, slope)
    return net


def single(net: LinearPCN) -> LinearPCN:
    """The network in float32."""
    return net.replace(weights=[w.astype(np.float32) for w in net.weights])
