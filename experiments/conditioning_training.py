r"""How ill-conditioned does inference become while a deep network learns, and does its accuracy suffer?

Innocenti et al. 2025 (arXiv:2505.13124), figure 3 and its appendix: deep linear networks of width 128 in the
standard parameterisation, without skips, on MNIST, batches of 64, Adam 1e-3, T = 500 steps of inference on
the batch-mean energy with activity rates .5, .1 and .05, by gradient descent and by Adam, and by gradient
descent from orthogonal weights. Measured along training: test accuracy, the condition number of the activity
Hessian H, and the part of the energy gap that these T steps leave open on a fixed batch. Real inference and
training in torch; H belongs to the weights that come out. Claim: conditioning.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from experiments._progress import Progress
from pctheory import Data, LinearPCN, equilibrium, inference_rate, load_dataset
from pctheory.datasets import available_datasets
from pctheory.nn import PC, PCN, Adam, GradientDescent, Stop, TrainingSettings, accuracy, infer, train

CASES: dict[str, dict[str, str]] = {
    "gd": {"method": "gd", "init": "torch"},
    "adam": {"method": "adam", "init": "torch"},
    "orthogonal": {"method": "gd", "init": "orthogonal"},
}
MEASURES = ("accuracy", "kappa", "largest", "gap")


@dataclass(frozen=True)
class Config:
    """The published settings: one epoch of MNIST, measured every 100 iterations."""

    dataset: str = field(default="mnist", metadata={"label": "data"})
    hidden: tuple[int, ...] = field(default=(8, 16, 32), metadata={"label": "hidden layers H"})
    width: int = field(default=128, metadata={"label": "width N"})
    activity_rates: tuple[float, ...] = field(default=(0.5, 0.1, 0.05), metadata={"label": "activity rates"})
    num_steps: int = field(default=500, metadata={"label": "inference steps T"})
    learning_rate: float = 1e-3
    batch: int = field(default=64, metadata={"label": "batch"})
    iterations: int = field(default=937, metadata={"label": "iterations"})
    every: int = field(default=100, metadata={"label": "iterations between measurements"})
    seeds: int = field(default=3, metadata={"label": "seeds"})
    seed: int = 0


PROFILES = {
    "quick": Config(
        dataset="digits",
        hidden=(2, 3),
        width=12,
        activity_rates=(0.5,),
        num_steps=30,
        batch=16,
        iterations=10,
        every=5,
        seeds=1,
    ),
    "cpu": Config(hidden=(8, 16), iterations=300, every=15, seeds=1),
    "full": Config(),
}


class Diverged(Exception):
    """Weights or activities that are not finite."""


def measure(model: PCN, batch: Data, test: Data, rule: PC) -> tuple[float, ...]:
    """Test accuracy, condition number and largest eigenvalue of H, relative energy gap after inference."""
    with torch.no_grad():
        start = float(model.loss(batch.x, batch.y))
    if not np.isfinite(start):
        raise Diverged
    reached = infer(model, batch.x, batch.y, rule.method, stop=rule.stop).energy
    if not np.isfinite(reached):
        raise Diverged
    net = LinearPCN(**model.linear_parameters())
    rate = inference_rate(net)
    least = float(equilibrium(net, batch).energy)
    return accuracy(model, test.x, test.y), rate.condition, rate.largest, (reached - least) / (start - least)


def trial(config: Config, case: str, hidden: int, rate: float, seed: int) -> dict[str, Any]:
    """One run: the measures along training, NaN from where it diverged."""
    torch.set_num_threads(1)
    used = config.dataset if config.dataset in available_datasets() else "digits"
    data, test = load_dataset(used), load_dataset(used, "test")
    model = PCN(
        (data.x.shape[1], *[config.width] * hidden, data.y.shape[1]),
        init=CASES[case]["init"],
        rng=np.random.default_rng([config.seed, hidden, seed]),
        dtype=torch.float32,
    )
    method = {"gd": GradientDescent, "adam": Adam}[CASES[case]["method"]]
    rule = PC(method(step=rate, convention="batch-mean"), stop=Stop(config.num_steps))
    settings = TrainingSettings(
        rule=rule,
        learning_rate=config.learning_rate,
        batch_size=config.batch,
        steps=config.iterations,
        seed=seed,
    )
    fixed = data.take(slice(config.batch))
    found = [measure(model, fixed, test, rule)]

    def watch(step: int, model: PCN) -> None:
        if step % config.every == 0:
            found.append(measure(model, fixed, test, rule))

    try:
        train(model, data, settings, callback=watch)
    except Diverged:
        pass
    except ValueError:  # `train` refuses to measure a loss that is not finite
        if all(bool(torch.isfinite(w).all()) for w in model.weights):
            raise
    rows = np.full((config.iterations // config.every + 1, len(MEASURES)), np.nan)
    rows[: len(found)] = found
    return {**dict(zip(MEASURES, rows.T, strict=True)), "dataset": used}


def run(config: Config, progress: Progress) -> dict[str, Any]:
    """For each case and measure: (depths, activity rates, seeds, measurements)."""
    cells = [
        {"case": case, "hidden": h, "rate": r, "seed": s}
        for case in CASES
        for h in config.hidden
        for r in config.activity_rates
        for s in range(config.seeds)
    ]
    found = progress.cells(trial, cells)
    shape = (len(config.hidden), len(config.activity_rates), config.seeds, -1)
    result: dict[str, Any] = {
        "hidden": np.array(config.hidden),
        "rates": np.array(config.activity_rates),
        "steps": np.arange(0, config.iterations + 1, config.every),
        "dataset": found[0]["dataset"],
    }
    for case in CASES:
        mine = [f for c, f in zip(cells, found, strict=True) if c["case"] == case]
        result[case] = {key: np.array([f[key] for f in mine]).reshape(shape) for key in MEASURES}
    return result
