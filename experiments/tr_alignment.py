r"""Which update points most directly at the nearest solution, and does the answer depend on the start?

The toy f = w_2 w_1 x, y = -x, x ~ N(1, .1^2), batches of 64. Cosine between the update and the way to the
nearest solution for trust-region Newton -(H + 2I)^{-1} grad, predictive coding and gradient descent: along
five steps of each rule from (0.744, 0.94), and at the first step from 1000 random starts and from a grid of
starts. Innocenti et al. 2023 (arXiv:2305.18188), Figure 2; the distribution is new. Claim ``tr-alignment``.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from experiments._progress import Progress
from experiments._toy import PUBLISHED_START, chain, descent, vector
from pctheory import Data, LinearPCN
from pctheory.trust_region import cosines, nearest_solution, update_directions

RULES = {"trust-region": "trust-region-newton", "pc": "pc", "bp": "gd"}


@dataclass(frozen=True)
class Config:
    """Published settings, and the range of the random starts."""

    start: tuple[float, ...] = PUBLISHED_START
    learning_rate: float = 0.2
    batches: int = 5
    batch_size: int = 64
    damping: float = 2.0
    starts: int = 1000
    extent: float = 2.0
    grid: int = 41
    seed: int = 0


PROFILES = {"quick": Config(starts=40, grid=5), "cpu": Config(), "full": Config()}


def alignment(weights: np.ndarray, data: Data, damping: float) -> dict[str, float]:
    """Cosine of each rule's update to the way to the nearest solution."""
    net = chain(weights)
    goal = nearest_solution(net, data).net
    way = [b - a for a, b in zip(net.weights, goal.weights, strict=True)]
    found = cosines(update_directions(net, data, damping=damping), way)
    return {rule: found[name] for rule, name in RULES.items()}  # type: ignore[misc]


def run(config: Config, progress: Progress) -> dict[str, Any]:
    """The published start, the distribution, the map."""
    published = {}
    for rule, name in RULES.items():

        def update(net: LinearPCN, batch: Data, name: str = name) -> np.ndarray:
            return vector(update_directions(net, batch, damping=config.damping)[name])

        path, batches = descent(
            update, config.start, config.learning_rate, config.batches, config.batch_size,
            np.random.default_rng([config.seed, 0]),
        )  # fmt: skip
        published[rule] = [
            alignment(w, b, config.damping)[rule] for w, b in zip(path[:-1], batches, strict=True)
        ]
    data = Data.toy(config.batch_size, rng=np.random.default_rng([config.seed, 1]))
    starts = np.random.default_rng([config.seed, 2]).uniform(
        -config.extent, config.extent, (config.starts, 2)
    )
    found = [alignment(w, data, config.damping) for w in progress.track(starts, "random starts")]
    axis = np.linspace(-config.extent, config.extent, config.grid + 1)[:-1] + config.extent / config.grid
    gain = np.empty((config.grid, config.grid))
    for j, second in enumerate(progress.track(axis, "map")):
        for i, first in enumerate(axis):
            at = alignment(np.array([first, second]), data, config.damping)
            gain[j, i] = at["pc"] - at["bp"]
    return {
        "published": published,
        "random": {rule: [f[rule] for f in found] for rule in RULES},
        "axis": axis,
        "gain": gain,
    }
