r"""Which layers does a deep network need, if they are reset together and not one by one?

A residual network adds up many small contributions, so that the reset of any one layer tells little. Here the
layers 1..k go back to where they started, or the layers k..L, after training as in ``depth_all_layers``:
inference as published, exact inference at the smaller :math:`\alpha`, and backpropagation. Real inference and
training in torch; claim ``error-reach``.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from experiments import depth_all_layers
from experiments._progress import Progress
from pctheory import load_dataset
from pctheory.nn import PCN, TrainingSettings, accuracy, train

RULES = ("published", "near", "bp")


@dataclass(frozen=True)
class Config:
    """Published batch, activity rate, optimiser and parameterisation."""

    datasets: tuple[str, ...] = field(default=("mnist", "fashion-mnist"), metadata={"label": "data"})
    depths: tuple[int, ...] = field(default=(8, 30, 64, 128), metadata={"label": "hidden layers H"})
    iterations: int = field(default=937, metadata={"label": "iterations"})
    width: int = field(default=128, metadata={"label": "width N"})
    batch: int = 64
    rates: tuple[float, ...] = field(default=(0.0075, 0.015, 0.03, 0.06), metadata={"label": "rates of Adam"})
    published_rates: tuple[float, ...] = field(
        default=(0.1, 0.3, 1.0), metadata={"label": "rates of the published rule"}
    )
    published_depth: int = field(default=128, metadata={"label": "deepest network of the published rule"})
    ablated: int = field(default=2000, metadata={"label": "test images of the resets"})
    seeds: int = 3
    seed: int = 0


PROFILES = {
    "quick": Config(
        datasets=("digits",), depths=(6,), iterations=20, width=16, batch=32, rates=(0.1,),
        published_rates=(0.1,), ablated=200, seeds=1,
    ),
    "cpu": Config(datasets=("mnist",), depths=(30, 64), iterations=200, published_depth=30),
    "full": Config(),
}  # fmt: skip


def resets(
    model: PCN, initial: list[torch.Tensor], x: Any, labels: torch.Tensor
) -> tuple[np.ndarray, np.ndarray]:
    """Test accuracy with the layers 1..k as they started, k = 0..L, and with the layers k + 1..L so, (L + 1,)
    both.
    """
    trained = [w.detach().clone() for w in model.weights]
    depth = model.depth
    found: list[list[float]] = [[], []]
    with torch.no_grad():
        for k in range(depth + 1):
            for below, shares in zip((True, False), found, strict=True):
                for layer, weight in enumerate(model.weights):
                    weight.copy_((initial if (layer < k) == below else trained)[layer])
                shares.append(float((model(x).argmax(1) == labels).double().mean()))
        for weight, value in zip(model.weights, trained, strict=True):
            weight.copy_(value)
    return np.array(found[0]), np.array(found[1])


def trial(config: Config, dataset: str, hidden: int, rule: str, rate: float, seed: int) -> dict[str, Any]:
    """A run: accuracy, that with layers reset, passes and processor seconds of an iteration, and the mean of
    the estimated error of the weight gradient. NaN for all if the run diverges.
    """
    torch.set_num_threads(1)
    data = load_dataset(dataset, limit=config.batch * config.iterations)
    test = data if dataset == "digits" else load_dataset(dataset, "test")
    base = depth_all_layers.Config(width=config.width, seed=config.seed)
    model = depth_all_layers.network(base, hidden, seed, data)
    initial = [w.detach().clone() for w in model.weights]
    settings = TrainingSettings(
        depth_all_layers.learning(base, rule, model),
        learning_rate=rate,
        batch_size=config.batch,
        steps=config.iterations,
        seed=seed,
    )
    ends: list[float] = []
    nothing = np.full(hidden + 2, np.nan)
    try:
        found = train(model, data, settings, callback=lambda *_: ends.append(time.process_time()))
    except ValueError:
        numbers = dict.fromkeys(("accuracy", "passes", "estimate", "seconds"), np.nan)
        return {"below": nothing, "above": nothing, **numbers}
    labels = torch.as_tensor(np.asarray(test.y[: config.ablated]).argmax(1))
    below, above = resets(model, initial, np.asarray(test.x[: config.ablated]), labels)
    return {
        "below": below,
        "above": above,
        "accuracy": accuracy(model, test.x, test.y),
        "passes": float(np.mean(found.inference["passes"])),
        "estimate": float(np.mean(found.inference["gradient_error"])),
        "seconds": float(np.median(np.diff(ends))),
    }


def run(config: Config, progress: Progress) -> dict[str, Any]:
    """A sweep of each rule's rates with the first seed, then the other seeds at the rate of the best test
    accuracy.
    """
    cases: list[dict[str, Any]] = [
        {"dataset": dataset, "hidden": hidden, "rule": rule}
        for dataset in config.datasets
        for hidden in config.depths
        for rule in RULES
        if rule != "published" or hidden <= config.published_depth
    ]
    rates = [config.published_rates if case["rule"] == "published" else config.rates for case in cases]
    first = [{**case, "rate": r, "seed": 0} for case, row in zip(cases, rates, strict=True) for r in row]
    swept = iter(progress.cells(trial, first))
    sweeps = [[next(swept) for _ in row] for row in rates]
    best = [int(np.nanargmax([found["accuracy"] for found in row])) for row in sweeps]
    others = [
        {**case, "rate": row[k], "seed": seed}
        for case, row, k in zip(cases, rates, best, strict=True)
        for seed in range(1, config.seeds)
    ]
    rest = iter(progress.cells(trial, others))
    result: dict[str, Any] = {"runs": {}}
    for case, row, k, sweep in zip(cases, rates, best, sweeps, strict=True):
        seeds = [sweep[k], *(next(rest) for _ in range(1, config.seeds))]
        result["runs"][f"{case['dataset']} {case['hidden']}/{case['rule']}"] = {
            "rate": row[k],
            "rates": np.array(row),
            "swept": np.array([found["accuracy"] for found in sweep]),
            **{name: np.array([found[name] for found in seeds]) for name in sweep[k].flat()},
        }
    return result
