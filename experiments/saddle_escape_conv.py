r"""How long do backpropagation and predictive coding stay near the origin in a convolutional network on
colour images?

Four convolutions with stride 2 in place of pooling, which is not linear, and a dense readout; Gaussian
weights near 0, batches, SGD, T steps of inference with dt on each sample's energy. The settings are those of
Innocenti et al. 2024 (arXiv:2408.11979) for fully connected networks (figure ``saddle-escape``); the
architecture is this work's. Both rules take steps of B times the nominal `learning_rate`, BP on the loss and
PC on F: the matched scale. Loss and gradient norm are measured on one fixed batch, the change of the weights
over the run. Claim ``origin-hessian-energy``: below a dense last layer, kernels leave its block of the
Hessian at the origin as it is.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from experiments._escape import over_seeds
from experiments._leaving import leave
from experiments._progress import Progress
from pctheory import load_dataset
from pctheory.datasets import DATASETS, available_datasets
from pctheory.nn import PCN, Convolution, Image

RUNS = ("bp", "pc")


@dataclass(frozen=True)
class Config:
    """Batch, inference and scale of the weights as published for fully connected networks.

    Everything else is chosen here.
    """

    dataset: str = "cifar10"
    images: int = field(default=50_000, metadata={"label": "training images"})
    activations: tuple[str, ...] = ("linear", "tanh", "relu")
    channels: tuple[int, ...] = (32, 64, 128, 256)
    kernel: int = 3
    stride: int = 2
    init: float = field(default=5e-3, metadata={"label": "standard deviation of the initial weights"})
    batch_size: int = 64
    learning_rate: float = 1e-3
    inference_steps: int = 50
    inference_dt: float = 0.1
    bp_iterations: int = field(default=50_000, metadata={"label": "iterations of BP"})
    pc_iterations: int = field(default=5000, metadata={"label": "iterations of PC"})
    points: int = 100
    seeds: int = 3
    seed: int = 0


PROFILES = {
    "quick": Config(
        dataset="digits",
        images=640,
        activations=("relu",),
        channels=(3, 4),
        init=0.02,
        inference_steps=20,
        batch_size=32,
        learning_rate=0.02,
        bp_iterations=300,
        pc_iterations=100,
        points=25,
        seeds=1,
    ),
    # few channels; the weights are not as small, or BP would not leave within its iterations
    "cpu": Config(
        images=6400,
        activations=("relu",),
        channels=(8, 8, 16, 16),
        init=0.035,
        bp_iterations=1000,
        pc_iterations=1000,
        points=60,
    ),
    "full": Config(),
}


def used(config: Config) -> str:
    """The data set, or the digits where it is not on the machine."""
    return config.dataset if config.dataset in available_datasets() else "digits"


def trial(config: Config, activation: str, method: str, seed: int) -> dict[str, Any]:
    """Loss and gradient norm (of what is descended) on a fixed batch, at log-spaced iterations."""
    data = load_dataset(used(config), limit=config.images)
    shape = DATASETS[used(config)].image_shape
    blocks = [Convolution(channels, config.kernel, config.stride) for channels in config.channels]
    model = PCN(
        (Image(*(1,) * (3 - len(shape)), *shape), *blocks, data.y.shape[1]),
        activation=activation,
        init=config.init,
        rng=np.random.default_rng([config.seed, seed]),
        dtype=torch.float32,
    )
    curves, result = leave(
        model,
        data,
        config,
        pc=method == "pc",
        learning_rate=config.batch_size * config.learning_rate,
        batch_size=config.batch_size,
        seed=seed,
    )
    return {**curves, "change": result.metrics["weight_change"][-1]}


def run(config: Config, progress: Progress) -> dict[str, Any]:
    """All activations, rules and seeds."""
    cells = [
        {"activation": a, "method": m, "seed": s}
        for a in config.activations
        for m in RUNS
        for s in range(config.seeds)
    ]
    curves = over_seeds(cells, progress.cells(trial, cells), ("activation", "method"))
    return {"curves": curves, "dataset": used(config)}
