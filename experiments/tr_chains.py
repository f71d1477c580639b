r"""Does predictive coding train deep scalar chains faster, and does the activation matter?

Chains of width one, y = -x, x ~ N(1, .1^2), batches of 64, stochastic gradient descent. The initial weights
are uniform on [0, 1], the same for both rules: positive as in the published start of the toy, so that every
ReLU is on and an odd number of weights has to change its sign, past the saddle at the origin. BP and PC at
matched scale, each with the best learning rate of a grid. PC's inference is run to equilibrium (Newton-Krylov
to a gradient `tolerance` times that of the feedforward pass). Innocenti et al. 2023 (arXiv:2305.18188),
Figure 3.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from experiments._progress import Progress
from experiments._trials import best, cells, curves_of, runs_of, trained
from pctheory import Data
from pctheory.nn import PC, PCN, Stop

FITTED = 1e-6
"""Loss below which a chain counts as fitted.

The activity gradient is then too small to be compared with its start.
"""


@dataclass(frozen=True)
class Config:
    """Depth, seeds and grid are this work's: the source does not fix them."""

    depth: int = field(default=5, metadata={"label": "weight layers L"})
    activations: tuple[str, ...] = ("linear", "tanh", "relu")
    learning_rates: tuple[float, ...] = (0.1, 0.3, 1.0)
    seeds: int = 20
    steps: int = 300
    every: int = 3
    batch_size: int = 64
    tolerance: float = 1e-6
    seed: int = 0


PROFILES = {
    "quick": Config(activations=("linear", "relu"), learning_rates=(0.3,), seeds=2, steps=6),
    "cpu": Config(seeds=8, learning_rates=(0.3, 1.0), steps=180),
    "full": Config(),
}


def trial(config: Config, activation: str, rule: str, learning_rate: float, seed: int) -> dict[str, Any]:
    """One run."""
    torch.set_num_threads(1)
    data = Data.toy(16 * config.batch_size, rng=np.random.default_rng([config.seed, seed, 0]))
    weights = np.random.default_rng([config.seed, seed, 1]).uniform(0, 1, config.depth)
    model = PCN.from_weights([[[w]] for w in weights], activation=activation, dtype=torch.float64)
    pc = PC("newton", stop=Stop(tolerance=config.tolerance))
    curve, worst = trained(
        model,
        data,
        rule,
        pc,
        learning_rate=learning_rate,
        batch_size=config.batch_size,
        steps=config.steps,
        every=config.every,
        seed=seed,
        fitted=FITTED,
    )
    slopes = model.loss_gradient(data.x, data.y)
    return {
        "loss": curve,
        "gap": worst,
        "dead": bool(np.isfinite(curve).all()) and all(bool(torch.all(g == 0)) for g in slopes),
    }


def run(config: Config, progress: Progress) -> dict[str, Any]:
    """All runs; the best learning rate of each rule and activation."""
    grid = cells(config.activations, config.learning_rates, config.seeds)
    found = progress.cells(trial, grid)
    result: dict[str, Any] = {"steps": np.arange(0, config.steps + 1, config.every)}
    for activation in config.activations:
        result[activation] = {}
        result[activation]["gap"] = max(f["gap"] for f in runs_of(grid, found, activation=activation))
        for rule in ("bp", "pc"):
            curves, dead = [], []
            for rate in config.learning_rates:
                runs = runs_of(grid, found, activation=activation, rule=rule, learning_rate=rate)
                curves.append(curves_of(runs))
                dead.append(int(sum(f["dead"] for f in runs)))
            chosen = best(curves, window=max(1, len(result["steps"]) // 10))
            result[activation][rule] = {
                "loss": curves[chosen],
                "learning_rate": config.learning_rates[chosen],
                "dead": dead[chosen],
            }
    return result
