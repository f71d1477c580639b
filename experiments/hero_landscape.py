r"""Why does predictive coding leave the saddle at the origin sooner than backpropagation?

A chain of three weights on y = -x, x ~ N(1, .1^2), whose first two weights are tied, f = v u^2 x, so that two
numbers say everything: the loss L = (1 + v u^2)^2 <x^2> / 2 and the equilibrated energy F* = L / S with S = 1
+ v^2 + v^2 u^2. Both on the same plane, and gradient descent on both from the same point near the origin with
the same step. For a film, the energy on the same plane after T steps of inference, which is L at T = 0 and
tends to F*. At the origin all second derivatives of L are zero, while F* curves downwards along v. New.
Claims ``origin-hessian-loss``, ``origin-hessian-energy``,
``finite-time-energy``.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from experiments._progress import Progress
from experiments._toy import OBJECTIVES, chain
from pctheory import Data, landscape_slice
from pctheory.inference import finite_time_rescaling

TIED = np.array([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
"""Directions of u and v among the three weights."""


@dataclass(frozen=True)
class Config:
    """The settings of the picture."""

    start: tuple[float, ...] = (0.05, -0.05)
    learning_rate: float = 0.05
    steps: int = 600
    batch_size: int = 64
    low: tuple[float, ...] = (-0.3, -1.3)
    side: float = 1.6
    grid: int = 65
    inference_step: float = 0.03
    inference_steps: tuple[int, ...] = (
        0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 16, 18, 20, 22, 25, 28, 32, 36, 40, 46, 52, 70, 200,
    )  # fmt: skip
    film_every: int = 2
    seed: int = 0


PROFILES = {
    "quick": Config(steps=300, grid=9, inference_steps=(0, 4, 200)),
    "cpu": Config(),
    "full": Config(),
}


def run(config: Config, progress: Progress) -> dict[str, Any]:
    """The two landscapes, and along both paths the weights, the descended objective and the loss."""
    data = Data.toy(config.batch_size, rng=config.seed)
    result: dict[str, Any] = {}
    for rule in progress.track(OBJECTIVES, "landscapes"):
        objective, loss = OBJECTIVES[rule](data), OBJECTIVES["bp"](data)
        corner = chain(np.array(config.low) @ TIED)
        cut = landscape_slice(objective, corner, list(TIED), extent=(0.0, config.side), num=config.grid)
        path = [np.array(config.start)]
        for _ in range(config.steps):
            gradient = objective.gradient(chain(path[-1] @ TIED))
            path.append(
                path[-1] - config.learning_rate * TIED @ np.concatenate([g.ravel() for g in gradient])
            )
        result[rule] = {
            "values": cut.values,
            "path": np.array(path),
            "heights": np.array([objective.value(chain(p @ TIED)) for p in path]),
            "losses": np.array([loss.value(chain(p @ TIED)) for p in path]),
        }
    result["u"], result["v"] = (start + cut.axes[0] for start in config.low)
    u, v = (result[axis][:: config.film_every] for axis in "uv")
    losses = result["bp"]["values"][:: config.film_every, :: config.film_every]
    factors = [
        [[_factor(config, first, last, steps) for first in u] for last in v]
        for steps in progress.track(config.inference_steps, "film")
    ]
    result["film"] = {"steps": np.array(config.inference_steps), "u": u, "v": v}
    result["film"]["values"] = np.array(factors) * losses
    result["origin"] = {
        rule: np.linalg.eigvalsh(TIED @ OBJECTIVES[rule](data).hessian(chain(np.zeros(3))) @ TIED.T)
        for rule in OBJECTIVES
    }
    return result


def _factor(config: Config, u: float, v: float, steps: int) -> float:
    """The energy after so many steps of inference, over the loss."""
    net = chain(np.array([u, v]) @ TIED)
    return float(finite_time_rescaling(net, config.inference_step, steps)[0, 0])
