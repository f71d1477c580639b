r"""How does inference turn the loss into the equilibrated energy?

The toy f = w_2 w_1 x, y = -x, x ~ N(1, .1^2): the energy over the weights after inference for t = 0, .1, .5,
1, 2 and for ever, from the feedforward pass, by the closed form `finite_time_rescaling` with Euler steps dt.
The share of the loss that is left depends on w_2 alone; it is followed in time by the closed form and by
inference in torch; so is, on the grid, the curvature at the origin. At random weights the two agree.
Innocenti et al. 2023 (arXiv:2305.18188). Claims ``finite-time-energy``, ``tr-expansion``.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from experiments._progress import Progress
from experiments._toy import chain
from pctheory import Data, EquilibratedEnergy, LinearPCN, MSELoss
from pctheory.inference import finite_time_rescaling
from pctheory.nn import PCN, GradientDescent, Stop, infer


@dataclass(frozen=True)
class Config:
    """Published settings."""

    times: tuple[float, ...] = (0.0, 0.1, 0.5, 1.0, 2.0)
    last_weights: tuple[float, ...] = (0.5, 1.0, 2.0)
    longest: float = 2.0
    dt: float = field(default=0.01, metadata={"label": "Euler step dt"})
    batch_size: int = 64
    extent: float = 2.0
    grid: int = 61
    checks: int = 20
    seed: int = 0


PROFILES = {"quick": Config(grid=9, checks=3), "cpu": Config(), "full": Config()}


def run(config: Config, progress: Progress) -> dict[str, Any]:
    """One landscape per time, and the largest disagreement with torch."""
    axis = np.linspace(-config.extent, config.extent, config.grid)
    data = Data.toy(config.batch_size, rng=np.random.default_rng([config.seed, 0]))
    loss, energy = MSELoss(data), EquilibratedEnergy(data)
    nets = [[chain(np.array([first, second])) for first in axis] for second in axis]
    losses = np.array([[float(loss.value(net)) for net in row] for row in nets])
    # M_T is a function of w_2 alone: the first weight is upstream of the only hidden unit
    factors = {t: np.array([_factor(row[0], config, t) for row in nets]) for t in config.times}
    landscapes = {f"{t:g}": factor[:, None] * losses for t, factor in factors.items()}
    landscapes["inf"] = np.array([[float(energy.value(net)) for net in row] for row in nets])
    rng, worst = np.random.default_rng([config.seed, 1]), 0.0
    for weights in progress.track(rng.uniform(-config.extent, config.extent, (config.checks, 2)), "torch"):
        net = chain(weights)
        for t in config.times[1:]:
            worst = max(worst, abs(_measured(net, config, data, t) / _factor(net, config, t) - 1))
    saddle = {name: np.linalg.eigvalsh(_curvature(values, axis)) for name, values in landscapes.items()}
    return {
        "axis": axis,
        "landscapes": landscapes,
        "worst": worst,
        "origin_eigenvalues": saddle,
        "last_weights": np.array(config.last_weights),
        **_shares(config, data),
    }


def _shares(config: Config, data: Data) -> dict[str, np.ndarray]:
    """The share of the loss that inference leaves (weights, times), by the closed form and in torch."""
    dense = np.linspace(0, config.longest, 101)
    sparse = np.linspace(0, config.longest, 9)
    nets = [chain(np.array([1.0, last])) for last in config.last_weights]
    return {
        "dense": dense,
        "sparse": sparse,
        "shares": np.array([[_factor(net, config, t) for t in dense] for net in nets]),
        "measured": np.array([[_measured(net, config, data, t) for t in sparse] for net in nets]),
    }


def _measured(net: LinearPCN, config: Config, data: Data, time: float) -> float:
    """Energy after inference in torch, over the loss."""
    if time == 0:
        return 1.0
    stop, model = Stop(round(time / config.dt)), PCN.from_linear(net)
    energy = infer(model, data.x, data.y, GradientDescent(config.dt), stop=stop).energy
    return float(energy) / float(MSELoss(data).value(net))


def _factor(net: LinearPCN, config: Config, time: float) -> float:
    return float(finite_time_rescaling(net, config.dt, round(time / config.dt))[0, 0])


def _curvature(values: np.ndarray, axis: np.ndarray) -> np.ndarray:
    """Hessian at the central grid point by second differences."""
    c, h = len(axis) // 2, axis[1] - axis[0]
    v = values[c - 1 : c + 2, c - 1 : c + 2]
    cross = (v[2, 2] - v[2, 0] - v[0, 2] + v[0, 0]) / (4 * h**2)
    first = (v[1, 2] - 2 * v[1, 1] + v[1, 0]) / h**2
    second = (v[2, 1] - 2 * v[1, 1] + v[0, 1]) / h**2
    return np.array([[first, cross], [cross, second]])
