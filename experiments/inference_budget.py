r"""How much inference does learning need, and with which solver?

Innocenti et al. 2025 (arXiv:2505.13124) and the first experiment of the JPC library (arXiv:2412.03676): tanh
networks of width 300 trained by predictive coding with Euler, Heun and Adam inference; test accuracy and the
energy gap where inference stops, against its length T; and the same with a decay of the activities. Euler's
method takes two steps: training raises the largest eigenvalue of the activity Hessian, and the coarse step .5
is stable below 4 only (claim inference-rate), so that eigenvalue is measured too. Real inference and training
in torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from scipy.sparse.linalg import LinearOperator, eigsh

from experiments._progress import Progress
from pctheory import load_dataset
from pctheory.nn import PC, PCN, Adam, GradientDescent, Heun, Stop, TrainingSettings, infer, train

METHODS = ("euler", "coarse", "heun", "adam")
"""Euler's method with the fine and with the coarse step, Heun's with adaptive steps, Adam."""
MEASURES = ("accuracy", "gap", "largest")


@dataclass(frozen=True)
class Config:
    """Published widths, depths and decays."""

    dataset: str = field(default="mnist", metadata={"label": "data"})
    width: int = field(default=300, metadata={"label": "width N"})
    hidden: tuple[int, ...] = field(default=(3, 5, 10), metadata={"label": "hidden layers H"})
    times: tuple[int, ...] = field(default=(5, 10, 20, 50, 100, 200), metadata={"label": "inference times T"})
    decays: tuple[float, ...] = field(default=(1.0, 0.5, 0.1, 0.05, 0.01, 0.0), metadata={"label": "decays"})
    decay_hidden: int = 5
    decay_time: int = 20
    step: float = 0.2
    coarse_step: float = 0.5
    adam_step: float = 0.05
    learning_rate: float = 1e-3
    batch: int = 64
    iterations: int = field(default=900, metadata={"label": "iterations"})
    seed: int = 0


PROFILES = {
    "quick": Config(
        dataset="digits",
        width=8,
        hidden=(2,),
        times=(2, 4),
        decays=(0.1, 0.0),
        decay_hidden=2,
        decay_time=3,
        batch=16,
        iterations=3,
    ),
    "cpu": Config(dataset="digits", width=64, times=(2, 8, 32, 128), iterations=100),
    "full": Config(),
}


def rule_of(config: Config, method: str, time: int, decay: float) -> PC:
    """Learning after inference of one method to time T: Euler and Adam take T / step and T steps."""
    if method == "heun":
        return PC(Heun(t_max=float(time), first_step=0.1, rtol=1e-3, atol=1e-3, decay=decay))
    if method == "adam":
        return PC(Adam(config.adam_step, decay=decay), stop=Stop(time))
    step = config.coarse_step if method == "coarse" else config.step
    return PC(GradientDescent(step, decay=decay), stop=Stop(max(round(time / step), 1)))


def largest_curvature(model: PCN, activities: Sequence[torch.Tensor]) -> float:
    """Largest eigenvalue over the batch of the Hessian of a sample's energy in the activities, by Lanczos."""
    z = [a.detach().clone().requires_grad_(0 < l < len(activities) - 1) for l, a in enumerate(activities)]
    hidden, batch = z[1:-1], z[0].shape[0]
    slopes = torch.autograd.grad(batch * model.energy(z), hidden, create_graph=True)
    shapes = [tuple(a.shape) for a in hidden]
    cuts = np.cumsum([a.numel() for a in hidden])

    def product(vector: np.ndarray) -> np.ndarray:
        parts = np.split(np.ravel(vector), cuts[:-1])
        rows = [torch.as_tensor(p.reshape(shape)) for p, shape in zip(parts, shapes, strict=True)]
        found = torch.autograd.grad(slopes, hidden, rows, retain_graph=True)
        return np.concatenate([f.numpy().ravel() for f in found])

    operator = LinearOperator((int(cuts[-1]), int(cuts[-1])), matvec=product, dtype=np.float64)
    start = np.random.default_rng(0).standard_normal(int(cuts[-1]))
    values = eigsh(operator, k=1, which="LA", v0=start, tol=1e-6, return_eigenvectors=False)
    return float(values[0])


def budget(config: Config, method: str, hidden: int, time: int, decay: float) -> dict[str, Any]:
    """Test accuracy, relative energy gap of inference and largest curvature, after training."""
    torch.set_num_threads(1)
    data, test = load_dataset(config.dataset), load_dataset(config.dataset, "test")
    widths = [data.x.shape[1], *[config.width] * hidden, data.y.shape[1]]
    rng = np.random.default_rng([config.seed, hidden])
    model = PCN(widths, activation="tanh", init="torch", rng=rng, dtype=torch.float64)
    rule = rule_of(config, method, time, decay)
    settings = TrainingSettings(
        rule=rule,
        learning_rate=config.learning_rate,
        batch_size=config.batch,
        steps=config.iterations,
        seed=config.seed,
    )
    found = train(model, data, settings, test=test)
    batch = data.take(slice(0, config.batch))
    reached = infer(model, batch.x, batch.y, rule.method, stop=rule.stop).energy
    settled = infer(model, batch.x, batch.y, "newton", stop=Stop(tolerance=1e-9))
    start = float(model.loss(batch.x, batch.y).detach())
    return {
        "accuracy": float(found.evaluations["accuracy"][-1]),
        "gap": (reached - settled.energy) / (start - settled.energy),
        "largest": largest_curvature(model, settled.activities),
    }


def run(config: Config, progress: Progress) -> dict[str, Any]:
    """Accuracies, gaps and largest curvatures (depths, times) by method, and (decays,) of Euler."""
    cells = [
        {"method": m, "hidden": h, "time": t, "decay": 0.0}
        for m in METHODS
        for h in config.hidden
        for t in config.times
    ]
    decays = [
        {"method": "euler", "hidden": config.decay_hidden, "time": config.decay_time, "decay": d}
        for d in config.decays
    ]
    found = progress.cells(budget, [*cells, *decays])
    shape = (len(config.hidden), len(config.times))
    result: dict[str, Any] = {
        "hidden": np.array(config.hidden),
        "times": np.array(config.times),
        "decays": np.array(config.decays),
        "step": config.step,
        "coarse_step": config.coarse_step,
        "dataset": config.dataset,
    }
    for m in METHODS:
        mine = [f for c, f in zip(cells, found, strict=False) if c["method"] == m]
        result[m] = {k: np.array([f[k] for f in mine]).reshape(shape) for k in MEASURES}
    rest = found[len(cells) :]
    result["decay"] = {k: np.array([f[k] for f in rest]) for k in MEASURES}
    return result
