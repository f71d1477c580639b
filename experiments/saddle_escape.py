r"""How long do backpropagation and predictive coding stay near the origin, and near a zero-rank saddle, on
real images?

Fully connected networks with four hidden layers, linear, tanh and ReLU; batches of 64, SGD, T steps of
inference with dt on each sample's energy. Innocenti et al. 2024 (arXiv:2408.11979), figures 5, 11, 12. The
start "origin" has Gaussian weights near
0. The start "zero-rank" is the one of their public code for a saddle other than the origin: the same, but for
W_{L-1}, which has the usual initialisation of torch; for a linear network it lies near the critical point of
the claim ``zero-rank-saddles``. That code averages the loss of BP over batch and outputs, (2/n_L) L, and sums
the energy over the batch, B F. At the nominal `learning_rate` PC's step on F is therefore B `learning_rate`;
"bp" takes the same step on L (the matched scale), "bp-published" the step (2/n_L) `learning_rate` of the
code, B n_L / 2 = 320 times smaller. Loss and gradient norm are measured on one fixed batch, and so are the
losses of the best linear maps of rank 0, 1 and 2 for the training images, computed without a network. Images
are standardised by their own mean and deviation (the code: Fashion-MNIST by .5 and .5). Claims
``strict-saddles``, ``zero-rank-saddles`` and ``matched-scale``.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from experiments._escape import EscapeSettings, over_seeds
from experiments._leaving import leave
from experiments._progress import Progress
from pctheory import Data, load_dataset
from pctheory.datasets import available_datasets
from pctheory.model import initial_weights
from pctheory.nn import PCN

RUNS = ("bp", "pc", "bp-published")
RANKS = (0, 1, 2)


@dataclass(frozen=True)
class Config(EscapeSettings):
    """Published widths, depth, batch, inference and initial weights.

    The numbers of iterations are chosen here.
    """

    datasets: tuple[str, ...] = ("mnist", "fashion-mnist")
    images: int = field(default=60_000, metadata={"label": "training images"})
    starts: tuple[str, ...] = ("origin", "zero-rank")
    batch_size: int = 64


PROFILES = {
    "quick": Config(
        datasets=("digits",),
        images=640,
        activations=("linear",),
        hidden_layers=3,
        width=12,
        init=0.03,
        inference_steps=20,
        batch_size=32,
        learning_rate=0.02,
        bp_iterations=300,
        pc_iterations=100,
        points=25,
        seeds=1,
    ),
    # the same singular values of the initial weights (sigma sqrt N) as at the published width
    "cpu": Config(
        images=12_800, width=128, init=0.0099, bp_iterations=8000, pc_iterations=1500, points=60, seeds=1
    ),
    "full": Config(),
}


def images_of(config: Config, dataset: str) -> tuple[Data, str]:
    """The training images, or the digits if the data set is missing, and the name of what was used."""
    used = dataset if dataset in available_datasets() else "digits"
    return load_dataset(used, limit=config.images), used


def network(config: Config, widths: tuple[int, ...], activation: str, start: str, seed: int) -> PCN:
    """A network near the origin or near the zero-rank saddle."""
    rng = np.random.default_rng([config.seed, seed])
    weights = list(initial_weights(widths, init=config.init, rng=rng))
    if start == "zero-rank":
        weights[-2] = initial_weights(widths[-3:-1], init="torch", rng=rng)[0]
    return PCN.from_weights(weights, activation=activation, dtype=torch.float32)


def trial(
    config: Config, dataset: str, start: str, activation: str, method: str, seed: int
) -> dict[str, Any]:
    """Loss and gradient norm (of what is descended) on a fixed batch, at log-spaced iterations."""
    data, _ = images_of(config, dataset)
    widths = config.widths(data.x.shape[1], data.y.shape[1])
    model = network(config, widths, activation, start, seed)
    rate = config.batch_size * config.learning_rate
    if method == "bp-published":
        rate = 2 / widths[-1] * config.learning_rate
    curves, result = leave(
        model, data, config, pc=method == "pc", learning_rate=rate, batch_size=config.batch_size, seed=seed
    )
    return {**curves, "seconds": result.seconds}


def linear_plateaus(config: Config, dataset: str) -> dict[str, Any]:
    """Loss of the best linear maps of rank 0, 1, 2 on the fixed batch, and the data really used."""
    data, used = images_of(config, dataset)
    x, y = np.asarray(data.x), np.asarray(data.y)
    fit = np.linalg.lstsq(x, y, rcond=None)[0]  # (n_0, n_L)
    directions = np.linalg.svd(x @ fit, full_matrices=False)[2]
    batch = slice(config.batch_size)
    losses = []
    for rank in RANKS:
        # reduced-rank regression keeps the leading output directions of the fit
        kept = directions[:rank].T @ directions[:rank]
        losses.append(float(np.sum((y[batch] - x[batch] @ fit @ kept) ** 2)) / (2 * config.batch_size))
    return {"losses": np.array(losses), "used": used}


def run(config: Config, progress: Progress) -> dict[str, Any]:
    """All data sets, starts, activations, scales and seeds."""
    cells = [
        {"dataset": d, "start": i, "activation": a, "method": m, "seed": s}
        for d in config.datasets
        for i in config.starts
        for a in config.activations
        for m in RUNS
        for s in range(config.seeds)
    ]
    curves = over_seeds(cells, progress.cells(trial, cells), ("dataset", "start", "activation", "method"))
    lines = progress.cells(linear_plateaus, [{"dataset": d} for d in config.datasets])
    by_name = dict(zip(config.datasets, lines, strict=True))
    return {
        "curves": curves,
        "plateaus": {name: line["losses"] for name, line in by_name.items()},
        "datasets": {name: line["used"] for name, line in by_name.items()},
    }
