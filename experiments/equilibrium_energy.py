r"""Does inference, run to the end on real data, reach the closed-form equilibrated energy along training?

Linear networks of three depths on three data sets, trained by the local rule with Adam at activities that an
adaptive Heun solver has relaxed to T = 300. Every ten iterations the numerical energy is set against
`equilibrated-energy` on the same batch; and after training, against inference time, at the published
tolerance of the solver and at a tight one: an explicit adaptive solver rides on its stability bound and
leaves every activity uncertain by about its tolerance, which is a floor under the energy it can reach.
Innocenti et al. 2024 (arXiv:2408.11979), Figure 1.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from experiments._progress import Progress
from pctheory import Data, LinearPCN, equilibrium, load_dataset
from pctheory.datasets import available_datasets
from pctheory.nn import PCN, Heun, infer


@dataclass(frozen=True)
class Config:
    """Published settings."""

    datasets: tuple[str, ...] = field(
        default=("mnist", "fashion-mnist", "cifar10"), metadata={"label": "data sets"}
    )
    hidden_layers: tuple[int, ...] = field(default=(2, 5, 10), metadata={"label": "hidden layers H"})
    width: int = field(default=300, metadata={"label": "width N"})
    batch_size: int = 64
    learning_rate: float = 1e-3
    iterations: int = 100
    test_every: int = 10
    inference_time: float = field(default=300.0, metadata={"label": "inference time T"})
    tolerance: float = field(default=1e-3, metadata={"label": "rtol = atol"})
    tight_tolerance: float = 1e-6
    times: tuple[float, ...] = (10.0, 20.0, 50.0, 100.0, 150.0, 200.0)
    seed: int = 0


PROFILES = {
    "quick": Config(
        datasets=("digits",),
        hidden_layers=(2,),
        width=20,
        iterations=5,
        test_every=2,
        inference_time=60.0,
        times=(5.0, 10.0, 60.0),
    ),
    "cpu": Config(iterations=25, test_every=4),
    "full": Config(),
}


def relax(model: PCN, batch: Data, time: float, tolerance: float) -> Any:
    """The activities after inference for `time`, by Heun's method with adaptive steps."""
    return infer(model, batch.x, batch.y, Heun(t_max=time, first_step=0.1, rtol=tolerance, atol=tolerance))


def cell(config: Config, dataset: str, hidden: int) -> dict[str, Any]:
    """Train one network, comparing the two energies on the way."""
    torch.set_num_threads(1)
    available = dataset in available_datasets()
    data = load_dataset(
        dataset if available else "digits", limit=config.batch_size * config.iterations if available else None
    )
    rng = np.random.default_rng([config.seed, hidden])
    widths = (data.x.shape[1], *[config.width] * hidden, data.y.shape[1])
    model = PCN(widths, init="torch", rng=rng, dtype=torch.float32)
    optimiser = torch.optim.Adam(model.parameters(), lr=config.learning_rate)
    steps, numerical, exact = [], [], []
    for step, batch in enumerate(_batches(data, config, rng)):
        settled = relax(model, batch, config.inference_time, config.tolerance)
        if step % config.test_every == 0 or step == config.iterations - 1:
            steps.append(step)
            numerical.append(settled.energy)
            exact.append(float(equilibrium(LinearPCN.from_torch(model), batch).energy))
        for weight, gradient in zip(model.weights, model.local_gradient(settled.activities), strict=True):
            weight.grad = gradient
        optimiser.step()
    net = LinearPCN.from_torch(model)
    twin = PCN.from_linear(net)  # in float64: the excess over F* is to be seen down to the solver's own floor
    published, tight = (
        [relax(twin, batch, time, tolerance).energy for time in config.times]
        for tolerance in (config.tolerance, config.tight_tolerance)
    )
    return {
        "dataset": dataset if available else "digits",
        "steps": steps,
        "numerical": numerical,
        "exact": exact,
        "by_time": published,
        "by_time_tight": tight,
        "exact_final": float(equilibrium(net, batch).energy),
        "loss_final": float(twin.loss(batch.x, batch.y).detach()),
    }


def _batches(data: Data, config: Config, rng: np.random.Generator) -> list[Data]:
    """`iterations` batches, pass after pass over the samples."""
    batches: list[Data] = []
    while len(batches) < config.iterations:
        batches.extend(data.batches(config.batch_size, rng=rng))
    return batches[: config.iterations]


def run(config: Config, progress: Progress) -> dict[str, Any]:
    """Every data set at every depth."""
    cells = [{"dataset": d, "hidden": h} for d in config.datasets for h in config.hidden_layers]
    results = progress.cells(cell, cells)
    return {
        "times": list(config.times),
        "cells": {f"{c['dataset']} H={c['hidden']}": dict(r) for c, r in zip(cells, results, strict=True)},
    }
