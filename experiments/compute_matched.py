r"""What does a pass over the network buy in backpropagation and in predictive coding, by method of inference?

Residual ReLU networks in Depth-muP on MNIST, Adam, and the same number of passes for everyone. A pass is one
evaluation of all layers, forward or backward with what belongs to it, as `pctheory.nn` counts it: an
iteration of backpropagation takes one, one of predictive coding as many as its inference. All methods but the
last solve the same problem, inference at unit precisions; the last one has the hidden precision
:math:`L / (\alpha N)` (claim ``s-stable-limit``). Each learns at its own best rate, for which it is swept
with the first seed. Time is processor time without the evaluations. Real inference and training in torch.
New.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from experiments._progress import Progress
from pctheory import load_dataset
from pctheory.model import hidden_precision
from pctheory.nn import (
    BP,
    PC,
    PCN,
    Adam,
    Adaptive,
    ErrorDescent,
    GradientDescent,
    Heun,
    Momentum,
    Newton,
    Stop,
    TrainingSettings,
    accuracy,
    train,
)

RULES = ("bp", "gd", "momentum", "adam", "heun", "error", "newton", "adaptive", "near")


@dataclass(frozen=True)
class Config:
    """Network, data, budget and grid of rates."""

    dataset: str = field(default="mnist", metadata={"label": "data"})
    hidden: int = field(default=30, metadata={"label": "hidden layers H"})
    width: int = field(default=128, metadata={"label": "width N"})
    batch: int = 64
    passes: int = field(default=20000, metadata={"label": "passes"})
    rates: tuple[float, ...] = (0.005, 0.01, 0.02, 0.04, 0.08)
    alpha: float = 1 / 64
    points: int = 16
    tested: int = field(default=10000, metadata={"label": "test images"})
    seeds: int = 3
    seed: int = 0


PROFILES = {
    "quick": Config(
        dataset="digits", hidden=2, width=16, batch=32, passes=60, rates=(0.02, 0.05), points=5, tested=200,
        seeds=2,
    ),
    "cpu": Config(hidden=8, passes=1500, tested=1000),
    "full": Config(),
}  # fmt: skip


def learning(config: Config, rule: str, model: PCN) -> PC | BP:
    """What a name stands for: the descents take 2H steps, the others end where they have converged."""
    steps = Stop(2 * config.hidden)
    methods = {
        "gd": PC(GradientDescent(0.4), stop=steps),
        "momentum": PC(Momentum(0.2, 0.8), stop=steps),
        "adam": PC(Adam(0.003), stop=steps),
        "heun": PC(Heun(0.8 * config.hidden, rtol=1e-3, atol=1e-3)),
        "error": PC(ErrorDescent(0.1), stop=steps),
        "newton": PC(Newton(), stop=Stop(tolerance=0.02)),
        "adaptive": PC(Adaptive(0.05)),
        "near": PC(
            Adaptive(0.05), precision=hidden_precision(model.widths, "mupc", skips=True, alpha=config.alpha)
        ),
    }
    return BP() if rule == "bp" else methods[rule]


def network(config: Config, widths: tuple[int, int], seed: int) -> PCN:
    """The network of a seed, the same for all rules."""
    return PCN(
        (widths[0], *[config.width] * config.hidden, widths[1]),
        activation="relu",
        parameterisation="mupc",
        skips=True,
        rng=np.random.default_rng([config.seed, seed]),
        dtype=torch.float32,
    )


def trial(config: Config, rule: str, rate: float, seed: int) -> dict[str, Any]:
    """One run: loss and accuracy on the test images at `points` iterations, evenly in their logarithm, with
    the passes and seconds until then; all NaN if it diverges.
    """
    torch.set_num_threads(1)
    data = load_dataset(config.dataset)
    test = data if config.dataset == "digits" else load_dataset(config.dataset, "test")
    test = test.take(np.arange(min(config.tested, test.num_samples)))
    model = network(config, (data.x.shape[1], data.y.shape[1]), seed)

    def settings(steps: int) -> TrainingSettings:
        own = learning(config, rule, model)
        return TrainingSettings(own, learning_rate=rate, batch_size=config.batch, steps=steps, seed=seed)

    first = network(config, (data.x.shape[1], data.y.shape[1]), seed)
    cost = float(np.mean(train(first, data, settings(3)).inference["passes"]))
    steps = max(int(config.passes / cost), config.points)
    marks = np.unique(np.geomspace(1, steps, config.points).round().astype(int))
    found: dict[str, list[float]] = {name: [] for name in ("loss", "accuracy", "seconds")}
    clock = {"spent": 0.0, "since": time.process_time()}

    def record(step: int, current: PCN) -> None:
        if step not in marks:
            return
        clock["spent"] += time.process_time() - clock["since"]
        with torch.no_grad():
            found["loss"].append(float(current.loss(test.x, test.y)))
        found["accuracy"].append(accuracy(current, test.x, test.y))
        found["seconds"].append(clock["spent"])
        clock["since"] = time.process_time()

    rows = {name: np.full(config.points, np.nan) for name in (*found, "passes")}
    try:
        passes = np.cumsum(train(model, data, settings(steps), callback=record).inference["passes"])
    except ValueError as error:
        if "to stay finite" not in str(error):
            raise
        return rows
    found["passes"] = [passes[step - 1] for step in marks]
    for name, values in found.items():
        rows[name][: len(values)] = values
    return rows


def run(config: Config, progress: Progress) -> dict[str, Any]:
    """The rates with the first seed, then the other seeds at the rate of the best last accuracy."""
    sweep = [[{"rule": rule, "rate": rate, "seed": 0} for rate in config.rates] for rule in RULES]
    swept = iter(progress.cells(trial, [cell for row in sweep for cell in row]))
    first = [[next(swept) for _ in row] for row in sweep]
    ends = [[_last(found["accuracy"]) for found in row] for row in first]
    best = [int(np.nanargmax(row)) for row in ends]
    others = [
        [{**row[k], "seed": seed} for seed in range(1, config.seeds)]
        for row, k in zip(sweep, best, strict=True)
    ]
    rest = iter(progress.cells(trial, [cell for row in others for cell in row]))
    result: dict[str, Any] = {"dataset": config.dataset, "rates": np.array(config.rates), "runs": {}}
    for rule, row, k, end, other in zip(RULES, first, best, ends, others, strict=True):
        seeds = [row[k], *(next(rest) for _ in other)]
        result["runs"][rule] = {
            "rate": config.rates[k],
            "swept": np.array(end),
            **{name: np.array([np.asarray(found[name]) for found in seeds]) for name in seeds[0].flat()},
        }
    return result


def _last(values: Any) -> float:
    """The last number of an array; NaN where the run diverged."""
    numbers = np.asarray(values)[np.isfinite(values)]
    return float(numbers[-1]) if len(numbers) else np.nan
