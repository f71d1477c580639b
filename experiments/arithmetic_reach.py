r"""Which layers get a gradient, and which are lost to rounding?

A residual Depth-muP network with the published inference (activity rate .5 on the batch mean, g = .5 / B a
sample). After T steps the error at k layers from the output is :math:`\binom{T}{k} g^k` times that of
backpropagation, to leading order (claim ``early-pc-is-scale-free-bp``): nothing beyond T layers, and very
little far inside. What of it survives? As a difference of activities it is lost below their rounding, as a
displacement below the smallest number of the arithmetic; and Adam hides a gradient below its epsilon.
Measured by plain loops in three arithmetics, at initialisation, and by training: real inference and training.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from experiments._progress import Progress
from pctheory import Data, load_dataset
from pctheory.nn import BP, PC, PCN, GradientDescent, Stop, TrainingSettings, accuracy, train

DTYPES = {"bfloat16": torch.bfloat16, "float32": torch.float32, "float64": torch.float64}
COORDINATES = ("activities", "displacements")
ARMS = {
    "activities": ("float32", "activities", "none"),
    "displacements": ("float32", "displacements", "none"),
    "scaled": ("float32", "displacements", "layer"),
    "double": ("float64", "displacements", "layer"),
    "bp": ("float32", "", "none"),
}
"""Arithmetic, coordinates and gradient scaling of each training run."""


@dataclass(frozen=True)
class Config:
    """Published batch, activity rate and activation."""

    dataset: str = field(default="mnist", metadata={"label": "data"})
    width: int = field(default=128, metadata={"label": "width N"})
    hidden: int = field(default=30, metadata={"label": "hidden layers H"})
    times: tuple[int, ...] = field(default=(8, 15, 30, 60, 120), metadata={"label": "inference steps T"})
    activity_rate: float = field(default=0.5, metadata={"label": "activity rate"})
    batch: int = 64
    iterations: int = field(default=900, metadata={"label": "iterations"})
    rate: float = field(default=0.015, metadata={"label": "rate of Adam"})
    agreement: float = field(default=0.99, metadata={"label": "cosine of a gradient that has survived"})
    seeds: int = 3
    seed: int = 0


PROFILES = {
    "quick": Config(dataset="digits", width=8, hidden=6, times=(3, 6), batch=16, iterations=20, seeds=1),
    "cpu": Config(times=(8, 15, 30, 60), iterations=60),
    "full": Config(),
}


def network(config: Config, data: Data, seed: int, dtype: torch.dtype) -> PCN:
    """The network of a seed."""
    return PCN(
        (data.x.shape[1], *[config.width] * config.hidden, data.y.shape[1]),
        activation="relu",
        parameterisation="mupc",
        skips=True,
        rng=np.random.default_rng([config.seed, seed]),
        dtype=dtype,
    )


def plain_errors(
    model: PCN, x: Tensor, y: Tensor, step: float, num_steps: int, dtype: torch.dtype, coordinates: str
) -> tuple[list[Tensor], list[Tensor]]:
    """Activities z_0..z_{L-1} and errors of layers 1..L after `num_steps`, by plain loops."""
    maps = [
        (a * w.detach().double()).to(dtype) for a, w in zip(model.multipliers, model.weights, strict=True)
    ]
    skips, last = model.skips, model.depth

    def predicted(layer: int, value: Tensor, below: Tensor) -> Tensor:
        prediction = value @ maps[layer - 1].T
        return prediction + below if skips[layer - 1] else prediction

    start = [x.to(dtype)]
    for layer in range(1, last):
        below = start[-1]
        start.append(predicted(layer, below.relu() if layer > 1 else below, below))
    target, output = y.to(dtype), start[-1].relu() @ maps[-1].T
    z = [v.clone() for v in start]
    d = [torch.zeros_like(v) for v in start]

    def errors() -> list[Tensor]:
        if coordinates == "activities":
            inner = [
                z[l] - predicted(l, z[l - 1].relu() if l > 1 else z[0], z[l - 1]) for l in range(1, last)
            ]
            return [*inner, target - z[-1].relu() @ maps[-1].T]
        # relu(z + d) - relu(z) with the digits of d
        change = [torch.maximum(v, -s) + s.clamp(max=0) for v, s in zip(d, start, strict=True)]
        inner = [d[1], *(d[l] - predicted(l, change[l - 1], d[l - 1]) for l in range(2, last))]
        return [*inner, target - (output + change[-1] @ maps[-1].T)]

    for _ in range(num_steps):
        eps = errors()
        for l in range(1, last):
            pull = (eps[l] @ maps[l]) * (z[l] > 0)
            gradient = eps[l - 1] - (pull + eps[l] if skips[l] else pull)
            d[l] = d[l] - step * gradient
            z[l] = z[l] - step * gradient if coordinates == "activities" else start[l] + d[l]
    return z, errors()


def reach(config: Config, arithmetic: str, coordinates: str, num_steps: int, seed: int) -> dict[str, Any]:
    """Cosine with backpropagation, and root mean square, of each layer's gradient, from the output."""
    torch.set_num_threads(1)
    data = load_dataset(config.dataset, limit=config.batch)
    model = network(config, data, seed, torch.float64)
    x, y = torch.as_tensor(np.asarray(data.x)), torch.as_tensor(np.asarray(data.y))
    step = config.activity_rate / config.batch
    z, errors = plain_errors(model, x, y, step, num_steps, DTYPES[arithmetic], coordinates)
    exact = model.loss_gradient(x, y)
    cosines, sizes = [], []
    for layer, there in enumerate(exact, start=1):
        below = z[layer - 1].relu() if layer > 1 else z[0]
        scale = errors[layer - 1].double().abs().max().clamp(min=1e-300)
        here = -((errors[layer - 1].double() / scale).T @ below.double())  # no underflow in the product
        norm = float(here.norm())
        cosines.append(float((here * there).sum() / (norm * there.norm())) if norm else 0.0)
        factor = model.multipliers[layer - 1] / config.batch
        sizes.append(norm * float(scale) * factor / here.numel() ** 0.5)
    return {"cosine": np.array(cosines[::-1]), "size": np.array(sizes[::-1])}


def backward(config: Config, seed: int) -> dict[str, Any]:
    """Root mean squares of backpropagation's errors, its gradients and the activities, from the output."""
    data = load_dataset(config.dataset, limit=config.batch)
    model = network(config, data, seed, torch.float64)
    x, y = torch.as_tensor(np.asarray(data.x)), torch.as_tensor(np.asarray(data.y))
    with torch.no_grad():
        z = model.feedforward(x)
        gradients = model.loss_gradient(x, y)
        net = model.stacked()
        state = net.feedforward(x)
        into = net.empty_like_hidden(config.batch)
        net.pull_back(net.output_force(state.y, y), net.slopes(state), into)
        errors = [*(row for stack in into for row in stack), y - state.y]
    root = lambda v: float(v.square().mean().sqrt())
    return {
        "error": np.array([root(v) for v in errors][::-1]),
        "gradient": np.array([root(v) for v in gradients][::-1]),
        "activity": np.array([root(v) for v in z[1:]][::-1]),
    }


def attenuation(step: float, num_steps: int, hidden: int) -> np.ndarray:
    """Log of C(T, k) g^k for k = 0..H; minus infinity beyond the light cone."""
    return np.array(
        [
            math.log(math.comb(num_steps, k)) + k * math.log(step) if k <= num_steps else -math.inf
            for k in range(hidden + 1)
        ]
    )


def training(config: Config, arm: str, seed: int) -> dict[str, Any]:
    """Accuracy after training, and the relative change of each layer's weights, from the output."""
    torch.set_num_threads(1)
    arithmetic, coordinates, scaling = ARMS[arm]
    data = load_dataset(config.dataset, limit=config.batch * config.iterations)
    test = data if config.dataset == "digits" else load_dataset(config.dataset, "test")
    model = network(config, data, seed, DTYPES[arithmetic])
    descent = GradientDescent(
        config.activity_rate, convention="batch-mean", coordinates=coordinates or "displacements"
    )
    settings = TrainingSettings(
        BP() if arm == "bp" else PC(descent, stop=Stop(config.hidden)),
        learning_rate=config.rate,
        gradient_scaling=scaling,
        batch_size=config.batch,
        steps=config.iterations,
        seed=seed,
    )
    found = train(model, data, settings)
    return {
        "accuracy": accuracy(model, test.x, test.y),
        "change": found.metrics["weight_change"][-1][::-1].copy(),
    }


def run(config: Config, progress: Progress) -> dict[str, Any]:
    """Gradients at initialisation by arithmetic, coordinates and time; then training."""
    cells = [
        {"arithmetic": a, "coordinates": c, "num_steps": t, "seed": 0}
        for a in DTYPES
        for c in COORDINATES
        for t in config.times
    ]
    reached = progress.cells(reach, cells)
    runs = [{"arm": arm, "seed": s} for arm in ARMS for s in range(config.seeds)]
    trained = progress.cells(training, runs)
    result: dict[str, Any] = {
        "times": np.array(config.times),
        "step": config.activity_rate / config.batch,
        "hidden": config.hidden,
        "agreement": config.agreement,
        "backward": progress.cells(backward, [{"seed": 0}])[0],
        "reach": {f"{a}/{c}": {} for a in DTYPES for c in COORDINATES},
        "training": {},
    }
    for cell, found in zip(cells, reached, strict=True):
        result["reach"][f"{cell['arithmetic']}/{cell['coordinates']}"][str(cell["num_steps"])] = found
    for arm in ARMS:
        mine = [f for cell, f in zip(runs, trained, strict=True) if cell["arm"] == arm]
        result["training"][arm] = {name: np.array([f[name] for f in mine]) for name in mine[0]}
    return result
