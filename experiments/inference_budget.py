r"""How much inference does learning need, and with which solver?

Innocenti et al. 2025 (arXiv:2505.13124) and the first experiment of the JPC library (arXiv:2412.03676): tanh networks of width
300 trained by predictive coding with Euler, Heun and Adam inference; test accuracy and the energy gap where inference stops,
against its length T; and the same with a decay of the activities. Real inference and training in torch.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from experiments._progress import Progress
from pctheory import load_dataset
from pctheory.nn import PCN, InferenceSettings, TrainingSettings, infer, train

METHODS = ("euler", "heun", "adam")


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
    step: float = 0.5
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


def settings_of(config: Config, method: str, time: int, decay: float) -> InferenceSettings:
    """Inference of one method to time T: Euler and Adam take T / step and T steps."""
    if method == "heun":
        return InferenceSettings(
            method="heun", step=0.1, t_max=float(time), rtol=1e-3, atol=1e-3, decay=decay
        )
    if method == "adam":
        return InferenceSettings(method="adam", step=config.adam_step, num_steps=time, decay=decay)
    return InferenceSettings(
        method="euler", step=config.step, num_steps=max(round(time / config.step), 1), decay=decay
    )


def budget(config: Config, method: str, hidden: int, time: int, decay: float) -> dict[str, Any]:
    """Test accuracy after training, and the relative energy gap of inference at the end."""
    torch.set_num_threads(1)
    data, test = load_dataset(config.dataset), load_dataset(config.dataset, "test")
    widths = [data.x.shape[1], *[config.width] * hidden, data.y.shape[1]]
    rng = np.random.default_rng([config.seed, hidden])
    model = PCN(widths, activation="tanh", init="torch", rng=rng, dtype=torch.float64)
    inference = settings_of(config, method, time, decay)
    settings = TrainingSettings(
        inference=inference,
        learning_rate=config.learning_rate,
        batch_size=config.batch,
        steps=config.iterations,
        seed=config.seed,
    )
    found = train(model, data, settings, test=test)
    batch = data.take(slice(0, config.batch))
    reached = infer(model, batch.x, batch.y, settings=inference).energy
    least = infer(model, batch.x, batch.y, method="gauss-newton", tolerance=1e-9).energy
    start = float(model.loss(batch.x, batch.y).detach())
    return {
        "accuracy": float(found.evaluations["accuracy"][-1]),
        "gap": (float(reached) - float(least)) / (start - float(least)),
    }


def run(config: Config, progress: Progress) -> dict[str, Any]:
    """Accuracies and gaps (depths, times) by method, and (decays,) of Euler."""
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
        "dataset": config.dataset,
    }
    for m in METHODS:
        mine = [f for c, f in zip(cells, found, strict=False) if c["method"] == m]
        result[m] = {k: np.array([f[k] for f in mine]).reshape(shape) for k in ("accuracy", "gap")}
    rest = found[len(cells) :]
    result["decay"] = {k: np.array([f[k] for f in rest]) for k in ("accuracy", "gap")}
    return result
