r"""How do backpropagation and predictive coding walk from the same start past the saddle at the origin?

The toy f = w_2 w_1 x on [-2, 2]^2, y = -x, x ~ N(1, .1^2), batches of 64, step .2 at matched scale, from
(0.744, 0.94): landscapes of the loss and of the equilibrated energy, their negative gradient fields and the
two paths. Innocenti et al. 2023 (arXiv:2305.18188), Figure 1. Claim ``tr-toy``.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from experiments._progress import Progress
from experiments._toy import OBJECTIVES, PUBLISHED_START, chain, descent, gradient_rule, vector
from pctheory import Data


@dataclass(frozen=True)
class Config:
    """Published settings."""

    start: tuple[float, ...] = PUBLISHED_START
    learning_rate: float = 0.2
    steps: int = 60
    batch_size: int = 64
    extent: float = 2.0
    grid: int = 61
    seed: int = 0


PROFILES = {"quick": Config(steps=60, grid=9), "cpu": Config(), "full": Config()}


def run(config: Config, progress: Progress) -> dict[str, Any]:
    """Both landscapes and both paths."""
    axis = np.linspace(-config.extent, config.extent, config.grid)
    data = Data.toy(config.batch_size, rng=np.random.default_rng([config.seed, 0]))
    result: dict[str, Any] = {"axis": axis}
    for rule in progress.track(OBJECTIVES, "landscapes"):
        objective = OBJECTIVES[rule](data)
        values, fields = np.empty((config.grid, config.grid)), np.empty((2, config.grid, config.grid))
        for j, second in enumerate(axis):
            for i, first in enumerate(axis):
                value, gradient = objective.value_and_gradient(chain(np.array([first, second])))
                values[j, i], fields[:, j, i] = value, -vector(gradient)
        path, _ = descent(
            gradient_rule(rule), config.start, config.learning_rate, config.steps, config.batch_size,
            np.random.default_rng([config.seed, 1]),
        )  # fmt: skip
        origin = np.linalg.eigvalsh(objective.hessian(chain(np.zeros(2))))
        result[rule] = {
            "values": values,
            "field": fields,
            "path": path,
            "losses": [float(OBJECTIVES["bp"](data).value(chain(w))) for w in path],
            "nearest_to_origin": float(np.min(np.linalg.norm(path, axis=1))),
            "origin_eigenvalues": origin,
        }
    return result
