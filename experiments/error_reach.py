r"""How many layers does the error reach, and does a network need the others?

Residual Depth-muP networks at the settings published for them (Innocenti et al. 2025, arXiv:2505.13124):
batch 64, activity learning rate .5 on the batch-mean energy, T = H steps. Errors and weight gradients against
the distance from the output; then which layers learn, and test accuracy after training with the input-side
layers frozen: by that inference, by inference that reaches equilibrium (Gauss-Newton, which depth does not
slow), and by backpropagation. Real inference and training in torch. Claim ``error-reach``.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from experiments._progress import Progress
from pctheory import Data, load_dataset
from pctheory.nn import BP, PC, PCN, GradientDescent, Stop, TrainingSettings, infer, train

RULES = ("pc", "equilibrium", "bp")


@dataclass(frozen=True)
class Config:
    """Published batch, activity rate, optimiser and activation; depth and data are ours."""

    dataset: str = field(default="mnist", metadata={"label": "data"})
    width: int = field(default=128, metadata={"label": "width N"})
    hidden: int = field(default=128, metadata={"label": "hidden layers H of the profiles"})
    times: tuple[int, ...] = field(default=(8, 32, 128), metadata={"label": "inference steps T"})
    rates: tuple[float, ...] = field(default=(0.5, 5.0, 25.0), metadata={"label": "activity rates"})
    trained_hidden: int = field(default=30, metadata={"label": "hidden layers H in training"})
    trainable: tuple[int, ...] = field(default=(1, 2, 3, 5, 10, 31), metadata={"label": "trained layers"})
    steps: int = field(default=900, metadata={"label": "iterations"})
    batch: int = 64
    weight_rate: float = 0.1
    tolerance: float = field(default=0.01, metadata={"label": "relative gradient norm at equilibrium"})
    equilibrium_trainable: tuple[int, ...] = field(
        default=(5, 31), metadata={"label": "trained layers at equilibrium"}
    )
    seeds: int = field(default=3, metadata={"label": "seeds"})
    seed: int = 0


PROFILES = {
    "quick": Config(
        dataset="digits",
        width=8,
        hidden=10,
        times=(4, 8),
        rates=(0.5,),
        trained_hidden=3,
        trainable=(1, 4),
        equilibrium_trainable=(1, 4),
        steps=3,
        batch=16,
        seeds=1,
    ),
    "cpu": Config(seeds=1),
    "full": Config(),
}


def profile(config: Config, num_steps: int, rate: float) -> dict[str, Any]:
    """Root mean square errors and norms of weight gradients from the output, in float64 for tiny errors."""
    torch.set_num_threads(1)
    data = load_dataset(config.dataset, limit=config.batch)
    widths = [data.x.shape[1], *[config.width] * config.hidden, data.y.shape[1]]
    rng = np.random.default_rng([config.seed, 1])
    model = PCN(widths, activation="relu", parameterisation="mupc", skips=True, rng=rng, dtype=torch.float64)
    result = infer(
        model,
        data.x,
        data.y,
        GradientDescent(rate, convention="batch-mean", coordinates="activities"),
        stop=Stop(num_steps),
    )
    z = result.activities
    start = infer(model, data.x, data.y, stop=Stop(num_steps=0)).activities
    with torch.no_grad():
        # as differences to the start, where only the output has an error: layers that did not move have
        # exactly none
        moved = [
            (z[l] - start[l]) - (model.prediction(l, z[l - 1]) - model.prediction(l, start[l - 1]))
            for l in range(1, len(z))
        ]
        moved[-1] = z[-1] - model.prediction(len(z) - 1, z[-2])
        errors = [float(torch.sqrt(torch.mean(e**2))) for e in moved]
    # of hidden layers rounding alone, the same where nothing moved
    at_start = [*model.local_gradient(start)[:-1], torch.zeros(())]
    gradients = [
        float(torch.linalg.norm(g - h)) for g, h in zip(model.local_gradient(z), at_start, strict=True)
    ]
    return {"errors": np.array(errors[::-1]), "gradients": np.array(gradients[::-1])}


def learning(config: Config, rule: str) -> PC:
    """The local rule after the published inference, or after one that reaches equilibrium."""
    if rule == "equilibrium":
        return PC("newton", stop=Stop(30, config.tolerance))
    return PC(
        GradientDescent(0.5, convention="batch-mean", coordinates="activities"),
        stop=Stop(config.trained_hidden),
    )


def distance(model: PCN, batch: Data, rule: PC) -> float:
    """Largest relative distance, over layers, of the weight gradient from that at tolerance / 100."""
    strict = replace(rule.stop, tolerance=(rule.stop.tolerance or 0.0) / 100)
    here, there = (
        model.local_gradient(infer(model, batch.x, batch.y, rule.method, stop=stop).activities)
        for stop in (rule.stop, strict)
    )
    return max(
        float(torch.linalg.norm(a - b) / torch.linalg.norm(b)) for a, b in zip(here, there, strict=True)
    )


def frozen(config: Config, rule: str, trainable: int, seed: int) -> dict[str, Any]:
    """Test accuracy when only the last `trainable` layers learn."""
    torch.set_num_threads(1)
    data, test = load_dataset(config.dataset), load_dataset(config.dataset, "test")
    widths = [data.x.shape[1], *[config.width] * config.trained_hidden, data.y.shape[1]]
    depth = len(widths) - 1
    rng = np.random.default_rng([config.seed, 2, seed])
    model = PCN(widths, activation="relu", parameterisation="mupc", skips=True, rng=rng, dtype=torch.float32)
    pc = learning(config, rule)
    settings = TrainingSettings(
        rule=BP() if rule == "bp" else pc,
        learning_rate=config.weight_rate,
        learning_rate_scaling="none",
        batch_size=config.batch,
        steps=config.steps,
        seed=seed,
        frozen=tuple(range(1, depth - trainable + 1)),
    )
    batch = data.take(np.arange(config.batch))
    start = distance(model, batch, pc) if rule == "equilibrium" else np.nan
    found = train(model, data, settings, test=test)
    return {
        "accuracy": float(found.evaluations["accuracy"][-1]),
        "change": found.metrics["weight_change"][-1][::-1].copy(),
        "distance": np.array([start, distance(model, batch, pc) if rule == "equilibrium" else np.nan]),
    }


def run(config: Config, progress: Progress) -> dict[str, Any]:
    """Profiles (layers from the output) by rate and time, accuracies (seeds, trained layers) by rule."""
    reach = [{"num_steps": t, "rate": r} for r in config.rates for t in config.times]
    profiles = progress.cells(profile, reach)
    trainable = {r: config.equilibrium_trainable if r == "equilibrium" else config.trainable for r in RULES}
    learn = [
        {"rule": rule, "trainable": k, "seed": s}
        for rule in RULES
        for s in range(config.seeds)
        for k in trainable[rule]
    ]
    trained = progress.cells(frozen, learn)
    result: dict[str, Any] = {
        "times": np.array(config.times),
        "rates": np.array(config.rates),
        "trainable": {rule: np.array(trainable[rule]) for rule in RULES},
        "dataset": config.dataset,
        "batch": config.batch,
    }
    for cell, found in zip(reach, profiles, strict=True):
        result[f"{cell['rate']:g}/{cell['num_steps']}"] = found
    for rule in RULES:
        shape = (config.seeds, len(trainable[rule]))
        whole = trainable[rule].index(max(trainable[rule]))
        mine = [f for c, f in zip(learn, trained, strict=True) if c["rule"] == rule]
        result[f"accuracy {rule}"] = np.array([f["accuracy"] for f in mine]).reshape(shape)
        result[f"change {rule}"] = np.array([f["change"] for f in mine]).reshape(*shape, -1)[:, whole]
        if rule == "equilibrium":
            result["distance"] = np.array([f["distance"] for f in mine]).reshape(*shape, -1)[:, whole]
    return result
