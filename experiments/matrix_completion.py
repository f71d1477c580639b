r"""How long do backpropagation and predictive coding stay at the saddles of matrix completion?

A 10 x 10 matrix of rank 3 with a fifth of its entries hidden is learned by a network with three hidden layers whose input j is
the j-th unit vector and whose output is column j; hidden entries add nothing to loss or energy. Full batch, Gaussian initial
weights near the origin. Innocenti et al. 2024 (arXiv:2408.11979), figure 6. BP descends the loss, PC follows the local rule
after T steps of inference; at the matched scale both have 1/(2B) in front, at the published one the public code averages BP's
loss over batch and outputs, (2/n_L) L, and sums PC's energy over the batch, B F, so that PC's step is B n_L / 2 = 50 times
BP's. Claims ``matched-scale`` and ``strict-saddles``.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from experiments._progress import Progress

RUNS = ("bp", "pc", "bp-published", "pc-published")
Matrix = np.ndarray


@dataclass(frozen=True)
class Config:
    """Published settings; the published numbers of iterations are not known."""

    size: int = 10
    rank: int = 3
    hidden_share: float = field(default=0.2, metadata={"label": "share of hidden entries"})
    hidden_layers: int = 3
    width: int = field(default=100, metadata={"label": "width N"})
    activations: tuple[str, ...] = ("linear", "tanh", "relu")
    init: float = 5e-3
    learning_rate: float = 1e-2
    inference_steps: int = 50
    inference_dt: float = 0.1
    bp_iterations: int = field(default=1_000_000, metadata={"label": "iterations of BP"})
    pc_iterations: int = field(default=50_000, metadata={"label": "iterations of PC at the matched scale"})
    points: int = 300
    seeds: int = 3
    seed: int = 0


PROFILES = {
    "quick": Config(
        size=5, rank=2, hidden_layers=2, width=12, activations=("linear", "tanh"), init=0.02, learning_rate=0.1,
        inference_steps=20, bp_iterations=4000, pc_iterations=400, points=60, seeds=1,
    ),
    "cpu": Config(bp_iterations=150_000, pc_iterations=6000, points=200, seeds=2),
    "full": Config(),
}  # fmt: skip


def phi(name: str, z: Matrix) -> Matrix:
    """The activation."""
    return {"linear": z, "tanh": np.tanh(z), "relu": np.maximum(z, 0)}[name]


def slope(name: str, z: Matrix) -> Matrix | float:
    """Its derivative."""
    if name == "linear":
        return 1.0
    return 1 - np.tanh(z) ** 2 if name == "tanh" else (z > 0).astype(z.dtype)


def feedforward(weights: Sequence[Matrix], name: str) -> list[Matrix]:
    """Activities of layers 1..L, samples in rows; the inputs are the unit vectors."""
    activities = [weights[0].T]
    for weight in weights[1:]:
        activities.append(phi(name, activities[-1]) @ weight.T)
    return activities


def bp_gradient(
    weights: Sequence[Matrix], name: str, y: Matrix, observed: Matrix
) -> tuple[float, list[Matrix]]:
    r"""The loss :math:`\frac{1}{2B} \sum |m \odot (y - f(x))|^2` and its gradient; y and observed are (B, n_L)."""
    activities = feedforward(weights, name)
    error = observed * (y - activities[-1])
    value = float(np.sum(error**2)) / (2 * len(y))
    gradient = []
    for weight, before in zip(weights[:0:-1], activities[-2::-1], strict=True):
        gradient.append(-error.T @ phi(name, before) / len(y))
        error = (error @ weight) * slope(name, before)
    gradient.append(-error.T / len(y))
    return value, gradient[::-1]


def pc_gradient(
    weights: Sequence[Matrix], name: str, y: Matrix, observed: Matrix, steps: int, dt: float
) -> tuple[float, list[Matrix]]:
    r"""The energy after `steps` of gradient descent on the activities, from the forward pass, and the local gradient.

    :math:`F = \frac{1}{2B} \sum (\sum_{l<L} |\epsilon_l|^2 + |m \odot \epsilon_L|^2)`; `dt` is the step on each sample's
    own energy.
    """
    z = feedforward(weights, name)[:-1]
    first = weights[0].T

    def errors() -> tuple[list[Matrix], list[Matrix]]:
        rates = [phi(name, value) for value in z]
        predictions = [rate @ weight.T for rate, weight in zip(rates, weights[1:], strict=True)]
        inner = [value - prediction for value, prediction in zip(z, [first, *predictions[:-1]], strict=True)]
        return rates, [*inner, observed * (y - predictions[-1])]

    for _ in range(steps):
        _, e = errors()
        pushes = [error @ weight for error, weight in zip(e[1:], weights[1:], strict=True)]
        z = [
            value - dt * (error - push * slope(name, value))
            for value, error, push in zip(z, e[:-1], pushes, strict=True)
        ]
    rates, e = errors()
    value = sum(float(np.sum(error**2)) for error in e) / (2 * len(y))
    local = [-error.T @ rate / len(y) for error, rate in zip(e[1:], rates, strict=True)]
    return value, [-e[0].T / len(y), *local]


def problem(config: Config, seed: int) -> tuple[Matrix, Matrix]:
    """Columns of the matrix and which entries are observed, both (B, n_L)."""
    rng = np.random.default_rng([config.seed, seed])
    factors = rng.standard_normal((2, config.size, config.rank))
    hidden = rng.permutation(config.size**2) < round(config.hidden_share * config.size**2)
    observed = 1.0 - hidden.reshape(config.size, config.size)
    return factors[0] @ factors[1].T, observed


def lowest_loss(y: Matrix, observed: Matrix, rank: int, sweeps: int = 2000) -> float:
    """Mean square of the observed residual of a fit of this rank, by alternating least squares from the SVD."""
    if rank == 0:
        return float(np.mean((observed * y) ** 2))
    left = np.linalg.svd(observed * y)[0][:, :rank]
    right = np.zeros((y.shape[1], rank))
    for _ in range(sweeps):
        for j, seen in enumerate(observed.T > 0):
            right[j] = np.linalg.lstsq(left[seen], y[seen, j], rcond=None)[0]
        for i, seen in enumerate(observed > 0):
            left[i] = np.linalg.lstsq(right[seen], y[i, seen], rcond=None)[0]
    return float(np.mean((observed * (y - left @ right.T)) ** 2))


def trial(config: Config, activation: str, method: str, seed: int) -> dict[str, Any]:
    """Mean squared error, energy (both times 2/n_L) and gradient norm along one run, at points spread over its logarithm."""
    target, mask = problem(config, seed)
    y, observed = target.astype(np.float32), mask.astype(np.float32)
    rng = np.random.default_rng([config.seed, seed, 1])
    widths = (config.size, *[config.width] * config.hidden_layers, config.size)
    weights = [
        np.float32(config.init) * rng.standard_normal((after, before)).astype(np.float32)
        for before, after in pairwise(widths)
    ]
    mean = 2 / config.size  # what the mean over batch and outputs is of 1/(2B) times the sum
    scale = {"bp-published": mean, "pc-published": config.size}.get(method, 1.0)
    rate = np.float32(scale * config.learning_rate)
    back = method.startswith("bp")
    total = config.bp_iterations if back else round(config.pc_iterations / scale)
    kept = np.unique(np.concatenate([[0], np.geomspace(1, total, config.points).round().astype(int)]))
    rows: list[tuple[float, float, float]] = []
    for step in range(total + 1):
        if back:
            value, gradient = bp_gradient(weights, activation, y, observed)
        else:
            value, gradient = pc_gradient(
                weights, activation, y, observed, config.inference_steps, config.inference_dt
            )
        if step == kept[len(rows)]:
            error = float(np.mean((observed * (y - feedforward(weights, activation)[-1])) ** 2))
            norm = float(np.sqrt(sum(float(np.sum(g**2)) for g in gradient)))
            rows.append((error, mean * value, norm))
        for weight, g in zip(weights, gradient, strict=True):
            weight -= rate * g
    columns = np.array(rows).T
    return {"step": kept, "error": columns[0], "energy": columns[1], "norm": columns[2]}


def run(config: Config, progress: Progress) -> dict[str, Any]:
    """All activations, scales and seeds, and the errors of the best fits of each rank."""
    cells = [
        {"activation": a, "method": m, "seed": s}
        for a in config.activations
        for m in RUNS
        for s in range(config.seeds)
    ]
    results = progress.cells(trial, cells)
    found: dict[str, Any] = {}
    for activation in config.activations:
        found[activation] = {}
        for method in RUNS:
            own = [
                r
                for cell, r in zip(cells, results, strict=True)
                if (cell["activation"], cell["method"]) == (activation, method)
            ]
            found[activation][method] = {
                "step": own[0]["step"],
                **{key: np.array([r[key] for r in own]) for key in ("error", "energy", "norm")},
            }
    ranks = [
        [lowest_loss(*problem(config, s), rank) for rank in range(config.rank)] for s in range(config.seeds)
    ]
    return {"curves": found, "ranks": np.array(ranks)}
