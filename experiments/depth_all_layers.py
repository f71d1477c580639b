r"""Can predictive coding train every layer of a deep network, as well as backpropagation and at what price?

Residual ReLU networks in Depth-muP, batches of 64, Adam at its own rate, hidden layers N wide. Five rules,
each at the best of its own rates: inference as published (activity rate .5 on the batch mean, T = H steps);
exact inference at unit precisions; exact inference at the hidden precision :math:`\pi = L/(\alpha N)` for two
:math:`\alpha` (claim ``s-stable-limit``), by `Adaptive`, which estimates the error of the weight gradient;
backpropagation. What a layer does is measured by ablation: the test accuracy that is lost when its weights
are reset to where they started. Real inference and training in torch; claim ``error-reach``.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from experiments._progress import Progress
from pctheory import Data, load_dataset
from pctheory.model import hidden_precision
from pctheory.nn import (
    BP,
    PC,
    PCN,
    Adaptive,
    GradientDescent,
    Stop,
    TrainingSettings,
    accuracy,
    infer,
    train,
)

RULES = ("published", "unit", "pc", "near", "bp")


@dataclass(frozen=True)
class Config:
    """Published batch, activity rate, optimiser and parameterisation."""

    datasets: tuple[str, ...] = field(default=("mnist", "fashion-mnist"), metadata={"label": "data"})
    depths: tuple[int, ...] = field(default=(8, 30, 64, 128), metadata={"label": "hidden layers H"})
    width: int = field(default=128, metadata={"label": "width N"})
    iterations: int = field(default=937, metadata={"label": "iterations"})
    batch: int = 64
    rates: tuple[float, ...] = field(default=(0.0075, 0.015, 0.03, 0.06), metadata={"label": "rates of Adam"})
    published_rates: tuple[float, ...] = field(
        default=(0.03, 0.1, 0.3, 1.0), metadata={"label": "rates of the published rule"}
    )
    published_depth: int = field(default=128, metadata={"label": "deepest network of the published rule"})
    unit_rates: tuple[float, ...] = field(
        default=(0.01, 0.02, 0.04), metadata={"label": "rates at unit precisions"}
    )
    unit_depth: int = field(default=30, metadata={"label": "deepest network at unit precisions"})
    alphas: tuple[float, float] = (1 / 64, 1 / 256)
    larger_depth: int = field(default=128, metadata={"label": r"deepest network at the larger $\alpha$"})
    tolerance: float = field(default=0.01, metadata={"label": "estimated error of the weight gradient"})
    unit_tolerance: float = field(default=0.05, metadata={"label": "that at unit precisions"})
    ablated: int = field(default=2000, metadata={"label": "test images of the ablation"})
    seeds: int = 3
    seed: int = 0


PROFILES = {
    "quick": Config(
        datasets=("digits",), depths=(2, 6), width=16, iterations=20, batch=32, rates=(0.05, 0.1),
        published_rates=(0.1,), published_depth=6, unit_rates=(0.1,), unit_depth=2, ablated=200, seeds=2,
    ),
    "cpu": Config(
        rates=(0.0075, 0.015, 0.03), published_rates=(0.1, 0.3, 1.0), published_depth=30, unit_depth=8,
        larger_depth=30,
    ),
    "full": Config(),
}  # fmt: skip


def network(config: Config, hidden: int, seed: int, data: Data) -> PCN:
    """The network of a seed, the same for all rules."""
    return PCN(
        (data.x.shape[1], *[config.width] * hidden, data.y.shape[1]),
        activation="relu",
        parameterisation="mupc",
        skips=True,
        rng=np.random.default_rng([config.seed, hidden, seed]),
        dtype=torch.float32,
    )


def precision_of(config: Config, rule: str, model: PCN) -> float:
    """The hidden precision of a rule."""
    if rule not in ("pc", "near"):
        return 1.0
    alpha = config.alphas[rule == "near"]
    return hidden_precision(model.widths, "mupc", skips=True, alpha=alpha)


def learning(config: Config, rule: str, model: PCN) -> PC | BP:
    """What a name stands for."""
    if rule == "bp":
        return BP()
    if rule == "published":
        return PC(GradientDescent(0.5, convention="batch-mean"), stop=Stop(model.depth - 1))
    tolerance = config.unit_tolerance if rule == "unit" else config.tolerance
    return PC(Adaptive(tolerance), precision=precision_of(config, rule, model))


def ablation(model: PCN, initial: list[torch.Tensor], test: Data, count: int) -> np.ndarray:
    """Test accuracy that resetting each layer to its initial weights costs, (L,)."""
    with torch.no_grad():
        labels = torch.as_tensor(np.asarray(test.y[:count]).argmax(1))
        activities = model.feedforward(np.asarray(test.x[:count]))
        right = float((activities[-1].argmax(1) == labels).double().mean())
        lost = []
        for layer, start in enumerate(initial, start=1):
            trained = model.weights[layer - 1].clone()
            model.weights[layer - 1].copy_(start)
            z = activities[layer - 1]
            for above in range(layer, model.depth + 1):
                z = model.prediction(above, z)
            lost.append(right - float((z.argmax(1) == labels).double().mean()))
            model.weights[layer - 1].copy_(trained)
    return np.array(lost)


def distance(model: PCN, batch: Data, precision: float, tolerance: float) -> tuple[float, float, float]:
    """Estimated and true largest relative error of a layer's weight gradient (against Newton's method in
    float64), and the ratio of loss and energy.
    """
    twins = [
        PCN.from_weights(
            [w.detach().numpy() for w in model.weights],
            activation="relu",
            multipliers=model.multipliers,
            skips=model.skips,
            precisions=[*[precision] * (model.depth - 1), 1.0],
            dtype=dtype,
        )
        for dtype in (torch.float32, torch.float64)
    ]
    found = infer(twins[0], batch.x, batch.y, Adaptive(tolerance))
    exact = infer(twins[1], batch.x, batch.y, "newton", stop=Stop(100, 1e-8))
    here = twins[0].local_gradient(found.activities, errors=found.errors)
    there = twins[1].local_gradient(exact.activities, errors=exact.errors)
    off = max(float((a.double() - b).norm() / b.norm()) for a, b in zip(here, there, strict=True))
    with torch.no_grad():
        ratio = float(twins[1].loss(batch.x, batch.y)) / exact.energy
    return float(found.gradient_error or 0.0), off, ratio


def trial(config: Config, dataset: str, hidden: int, rule: str, rate: float, seed: int) -> dict[str, Any]:
    """A run: accuracy, cost of resetting each layer, passes and processor seconds of an iteration and, with
    the first seed, the check of the estimate. NaN for all if the run diverges.
    """
    torch.set_num_threads(1)
    data = load_dataset(dataset, limit=config.batch * config.iterations)
    test = data if dataset == "digits" else load_dataset(dataset, "test")
    model = network(config, hidden, seed, data)
    initial = [w.detach().clone() for w in model.weights]
    settings = TrainingSettings(
        learning(config, rule, model),
        learning_rate=rate,
        batch_size=config.batch,
        steps=config.iterations,
        seed=seed,
    )
    ends: list[float] = []
    checked = (np.nan,) * 3
    try:
        found = train(model, data, settings, callback=lambda *_: ends.append(time.process_time()))
        if rule in ("pc", "near") and seed == 0:
            batch = data.take(np.arange(config.batch))
            checked = distance(model, batch, precision_of(config, rule, model), config.tolerance)
    except ValueError:
        lost = np.full(model.depth, np.nan)
        names = ("accuracy", "passes", "estimate", "worst", "seconds", "estimated", "true", "ratio")
        return {"lost": lost, **dict.fromkeys(names, np.nan)}
    return {
        "accuracy": accuracy(model, test.x, test.y),
        "lost": ablation(model, initial, test, config.ablated),
        "passes": float(np.mean(found.inference["passes"])),
        "estimate": float(np.mean(found.inference["gradient_error"])),
        "worst": float(np.max(found.inference["gradient_error"])),
        "seconds": float(np.median(np.diff(ends))),
        **dict(zip(("estimated", "true", "ratio"), checked, strict=True)),
    }


def rates_of(config: Config, rule: str, hidden: int) -> tuple[float, ...]:
    """The rates that are tried, none where the rule is left out."""
    if rule == "published":
        return config.published_rates if hidden <= config.published_depth else ()
    if rule == "unit":
        return config.unit_rates if hidden <= config.unit_depth else ()
    if rule == "pc" and hidden > config.larger_depth:
        return ()
    return config.rates


def run(config: Config, progress: Progress) -> dict[str, Any]:
    """A sweep of each rule's rates with the first seed, then the other seeds at the rate of the best test
    accuracy.
    """
    cases: list[dict[str, Any]] = [
        {"dataset": d, "hidden": h, "rule": rule}
        for d in config.datasets
        for h in config.depths
        for rule in RULES
        if rates_of(config, rule, h)
    ]
    first = [
        [{**case, "rate": rate, "seed": 0} for rate in rates_of(config, case["rule"], case["hidden"])]
        for case in cases
    ]
    swept = iter(progress.cells(trial, [cell for row in first for cell in row]))
    sweeps = [[next(swept) for _ in row] for row in first]
    best = [int(np.nanargmax([found["accuracy"] for found in row])) for row in sweeps]
    others = [
        [{**row[k], "seed": seed} for seed in range(1, config.seeds)]
        for row, k in zip(first, best, strict=True)
    ]
    rest = iter(progress.cells(trial, [cell for row in others for cell in row]))
    result: dict[str, Any] = {"runs": {}}
    for case, sweep, k, row in zip(cases, sweeps, best, others, strict=True):
        seeds = [sweep[k], *(next(rest) for _ in row)]
        rates = np.array(rates_of(config, case["rule"], case["hidden"]))
        result["runs"]["/".join(map(str, case.values()))] = {
            "rate": rates[k],
            "rates": rates,
            "swept": np.array([found["accuracy"] for found in sweep]),
            **{name: np.array([found[name] for found in seeds]) for name in sweep[k].flat()},
        }
    return result
