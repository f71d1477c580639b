r"""Does predictive coding train a network of ten layers faster than backpropagation, and with which
activation?

MNIST, L = 10, linear, tanh and ReLU networks from PyTorch's default initial weights, batches of 64,
stochastic gradient descent at matched scale; BP and PC each with the best learning rate of a grid. PC learns
by the local rule after Newton-Krylov inference, which stops when the activity gradient is `tolerance` of that
at the feedforward pass, or after `inference_steps` steps: for linear networks its first step is the exact
equilibrium. How far from equilibrium it stops is measured. Innocenti et al. 2023 (arXiv:2305.18188), the
experiment with ten layers.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from experiments._progress import Progress
from experiments._trials import best, cells, curves_of, runs_of, trained
from pctheory import load_dataset
from pctheory.datasets import available_datasets
from pctheory.nn import PC, PCN, Stop


@dataclass(frozen=True)
class Config:
    """L = 10, MNIST and batches of 64 are published; width, grid and iterations are this work's."""

    dataset: str = "mnist"
    depth: int = field(default=10, metadata={"label": "weight layers L"})
    width: int = field(default=300, metadata={"label": "width N"})
    activations: tuple[str, ...] = ("linear", "tanh", "relu")
    learning_rates: tuple[float, ...] = (0.03, 0.1, 0.3, 1.0, 3.0)
    iterations: int = 2000
    every: int = 5
    batch_size: int = 64
    seeds: int = 3
    tolerance: float = 1e-3
    inference_steps: int = 30
    window: int = field(default=25, metadata={"label": "points averaged"})
    seed: int = 0


PROFILES = {
    "quick": Config(
        dataset="digits",
        depth=4,
        width=8,
        activations=("linear", "relu"),
        learning_rates=(0.3,),
        iterations=10,
        seeds=1,
        window=2,
    ),
    "cpu": Config(
        width=32,
        learning_rates=(0.3, 1.0, 3.0),
        iterations=250,
        every=4,
        seeds=1,
        tolerance=1e-2,
        inference_steps=8,
        window=10,
    ),
    "full": Config(),
}


def trial(config: Config, activation: str, rule: str, learning_rate: float, seed: int) -> dict[str, Any]:
    """One run."""
    torch.set_num_threads(1)
    name = config.dataset if config.dataset in available_datasets() else "digits"
    data = load_dataset(name, limit=config.batch_size * config.iterations)
    widths = (data.x.shape[1], *[config.width] * (config.depth - 1), data.y.shape[1])
    model = PCN(
        widths,
        activation=activation,
        init="torch",
        rng=np.random.default_rng([config.seed, seed]),
        dtype=torch.float32,
    )
    pc = PC("newton", stop=Stop(config.inference_steps, config.tolerance))
    curve, worst = trained(
        model,
        data,
        rule,
        pc,
        learning_rate=learning_rate,
        batch_size=config.batch_size,
        steps=config.iterations,
        every=config.every,
        seed=seed,
    )
    return {"loss": curve, "gap": worst, "dataset": name}


def run(config: Config, progress: Progress) -> dict[str, Any]:
    """All runs; the best learning rate of each rule and activation."""
    grid = cells(config.activations, config.learning_rates, config.seeds)
    found = progress.cells(trial, grid)
    result: dict[str, Any] = {
        "steps": np.arange(0, config.iterations + 1, config.every), "dataset": found[0]["dataset"],
    }  # fmt: skip
    for activation in config.activations:
        result[activation] = {}
        for rule in ("bp", "pc"):
            curves, gaps = [], []
            for rate in config.learning_rates:
                runs = runs_of(grid, found, activation=activation, rule=rule, learning_rate=rate)
                curves.append(curves_of(runs))
                gaps.append(max(f["gap"] for f in runs))
            chosen = best(curves, window=config.window)
            result[activation][rule] = {
                "loss": curves[chosen],
                "learning_rate": config.learning_rates[chosen],
                "gap": gaps[chosen],
                "ends": [float(np.mean(c[:, -config.window :])) for c in curves],
            }
    return result
