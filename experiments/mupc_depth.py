r"""Does predictive coding train residual networks of any depth under muPC, and which of their layers learn?

ReLU residual networks on MNIST, one epoch, batches of 64, T = H steps of inference on the batch-mean energy,
Adam. muPC and backpropagation with Depth-muP use the same parameterisation and the same learning rate;
standard PC ("sp") has no multipliers and a learning rate of its own. Innocenti et al. 2025
(arXiv:2505.13124), figure 1 right. The published rate 0.1 is Adam's own: read as a base rate that is still to
be multiplied by (N L)^-1/2, it leaves muPC far behind, which ``mupc_scaled_rate`` measures. Besides the test
accuracy, the relative change of each layer's weights tells where learning took place: with T = H and a step
that small on each sample (activity_lr / batch_size), errors are slow to leave the output (claims
``first-arrival``, ``error-reach``).
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from experiments._progress import Progress
from pctheory import load_dataset
from pctheory.datasets import available_datasets
from pctheory.nn import BP, PC, PCN, GradientDescent, Stop, TrainingSettings, accuracy, train

METHODS = ("mupc", "bp", "sp")


@dataclass(frozen=True)
class Config:
    """Published settings; the learning rate of "sp" is the same source's for standard PC."""

    dataset: str = "mnist"
    depths: tuple[int, ...] = field(default=(8, 16, 32, 64, 128), metadata={"label": "hidden layers H"})
    width: int = field(default=512, metadata={"label": "width N"})
    activation: str = "relu"
    batch_size: int = 64
    iterations: int = 900
    sp_iterations: int = field(default=900, metadata={"label": "iterations of standard PC"})
    learning_rate: float = 0.1
    learning_rate_scaling: str = field(default="none", metadata={"label": "scaling of the learning rate"})
    sp_learning_rate: float = 1e-3
    activity_lr: float = 0.5
    every: int = field(default=50, metadata={"label": "iterations between tests"})
    test_images: int = field(default=10000, metadata={"label": "test images along training"})
    seeds: int = 3
    seed: int = 0


PROFILES = {
    "quick": Config(
        dataset="digits", depths=(2, 6), width=16, batch_size=32, iterations=40, sp_iterations=20, every=20,
        test_images=100, seeds=2,
    ),
    "cpu": Config(depths=(8, 16, 30), width=128, sp_iterations=300, every=100, test_images=2000),
    "full": Config(),
}  # fmt: skip


class Diverged(Exception):
    """An output that is not finite."""


def trial(config: Config, hidden: int, method: str, seed: int) -> dict[str, Any]:
    """One run: test accuracy along training and at the end, and how far each layer's weights have moved.

    A run that diverges keeps the accuracies up to there; the rest is NaN.
    """
    torch.set_num_threads(1)
    steps = config.sp_iterations if method == "sp" else config.iterations
    used = config.dataset if config.dataset in available_datasets() else "digits"
    data = load_dataset(used, limit=config.batch_size * config.iterations)
    test = load_dataset(used, "test") if used != "digits" else data
    model = PCN(
        (data.x.shape[1], *[config.width] * hidden, data.y.shape[1]),
        activation=config.activation,
        parameterisation="sp" if method == "sp" else "mupc",
        skips=True,
        rng=np.random.default_rng([config.seed, hidden, seed]),
        dtype=torch.float32,
    )
    pc = PC(
        GradientDescent(config.activity_lr, convention="batch-mean", coordinates="activities"),
        stop=Stop(hidden),
    )
    settings = TrainingSettings(
        rule=BP() if method == "bp" else pc,
        learning_rate=config.sp_learning_rate if method == "sp" else config.learning_rate,
        learning_rate_scaling=config.learning_rate_scaling,
        batch_size=config.batch_size,
        steps=steps,
        seed=seed,
    )
    found = [accuracy(model, test.x[: config.test_images], test.y[: config.test_images])]

    def watch(step: int, model: PCN) -> None:
        if step % config.every:
            return
        with torch.no_grad():
            if not torch.isfinite(model(data.x[: config.batch_size])).all():
                raise Diverged
        found.append(accuracy(model, test.x[: config.test_images], test.y[: config.test_images]))

    final, change, seconds = np.nan, np.full(hidden + 1, np.nan), np.nan
    try:
        result = train(model, data, settings, callback=watch)
        final = accuracy(model, test.x, test.y)
        change, seconds = result.metrics["weight_change"][-1], result.seconds
    except Diverged:
        pass
    except ValueError:  # `train` refuses to measure a loss that is not finite
        if torch.isfinite(model(data.x[: config.batch_size])).all():
            raise
    return {
        "accuracy": np.pad(found, (0, steps // config.every + 1 - len(found)), constant_values=np.nan),
        "final": final,
        "change": change,
        "seconds": seconds,
        "dataset": used,
    }


def run(config: Config, progress: Progress) -> dict[str, Any]:
    """All depths, methods and seeds."""
    cells = [
        {"hidden": h, "method": m, "seed": s}
        for h in config.depths
        for m in METHODS
        for s in range(config.seeds)
    ]
    results = progress.cells(trial, cells)
    found: dict[str, Any] = {key: {} for key in ("accuracy", "final", "change", "seconds")}
    for key, table in found.items():
        for hidden in config.depths:
            table[hidden] = {
                m: np.array(
                    [
                        r[key]
                        for cell, r in zip(cells, results, strict=True)
                        if (cell["hidden"], cell["method"]) == (hidden, m)
                    ]
                )
                for m in METHODS
            }
    steps = {m: config.sp_iterations if m == "sp" else config.iterations for m in METHODS}
    return {
        **found,
        "steps": {m: np.arange(0, steps[m] + 1, config.every) for m in METHODS},
        "dataset": results[0]["dataset"],
    }
