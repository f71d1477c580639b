r"""How long do backpropagation and predictive coding stay near the origin on real images?

Fully connected networks with four hidden layers, linear, tanh and ReLU, from Gaussian weights near 0; batches of 64, SGD,
T steps of inference with dt on each sample's energy. Innocenti et al. 2024 (arXiv:2408.11979), figures 5, 11, 12, whose public
code averages the loss of BP over batch and outputs, (2/n_L) L, and sums the energy over the batch, B F. At the nominal
`learning_rate` PC's step on F is therefore B `learning_rate`; "bp" takes the same step on L (the matched scale),
"bp-published" the step (2/n_L) `learning_rate` of the code, B n_L / 2 = 320 times smaller. Loss and gradient norm are measured
on one fixed batch. Claims ``strict-saddles`` and ``matched-scale``.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from experiments._progress import Progress
from pctheory import load_dataset
from pctheory.datasets import available_datasets
from pctheory.nn import PCN, InferenceSettings, TrainingSettings, infer, train

RUNS = ("bp", "pc", "bp-published")


@dataclass(frozen=True)
class Config:
    """Published widths, depth, batch, inference and initial weights; the numbers of iterations are this work's."""

    dataset: str = "mnist"
    images: int = field(default=60_000, metadata={"label": "training images"})
    activations: tuple[str, ...] = ("linear", "tanh", "relu")
    hidden_layers: int = 4
    width: int = field(default=500, metadata={"label": "width N"})
    init: float = field(default=5e-3, metadata={"label": "standard deviation of the initial weights"})
    batch_size: int = 64
    learning_rate: float = 1e-3
    inference_steps: int = 50
    inference_dt: float = 0.1
    bp_iterations: int = field(default=50_000, metadata={"label": "iterations of BP"})
    pc_iterations: int = field(default=5000, metadata={"label": "iterations of PC"})
    points: int = 100
    seeds: int = 3
    seed: int = 0


PROFILES = {
    "quick": Config(
        dataset="digits", images=640, activations=("linear",), hidden_layers=3, width=12, init=0.03, inference_steps=20,
        batch_size=32, learning_rate=0.02, bp_iterations=300, pc_iterations=100, points=25, seeds=1,
    ),
    # the same singular values of the initial weights (sigma sqrt N) as at the published width
    "cpu": Config(images=12_800, width=128, init=0.0099, bp_iterations=8000, pc_iterations=1500, points=60, seeds=1),
    "full": Config(),
}  # fmt: skip


def trial(config: Config, activation: str, method: str, seed: int) -> dict[str, Any]:
    """Loss and gradient norm (of what is descended) on a fixed batch, at points spread over the iterations' logarithm."""
    torch.set_num_threads(1)
    used = config.dataset if config.dataset in available_datasets() else "digits"
    data = load_dataset(used, limit=config.images)
    fixed = data.take(slice(config.batch_size))
    widths = (data.x.shape[1], *[config.width] * config.hidden_layers, data.y.shape[1])
    model = PCN(
        widths,
        activation=activation,
        init=config.init,
        rng=np.random.default_rng([config.seed, seed]),
        dtype=torch.float32,
    )
    inference = InferenceSettings(step=config.inference_dt, num_steps=config.inference_steps)
    rate = config.batch_size * config.learning_rate
    if method == "bp-published":
        rate = 2 / widths[-1] * config.learning_rate
    total = config.pc_iterations if method == "pc" else config.bp_iterations
    kept = np.unique(np.concatenate([[0], np.geomspace(1, total, config.points).round().astype(int)]))
    wanted = set(kept.tolist())
    rows: list[tuple[float, float]] = []

    def measure(step: int, model: PCN) -> None:
        if step not in wanted:
            return
        if method == "pc":
            gradient = model.local_gradient(infer(model, fixed.x, fixed.y, settings=inference).activities)
        else:
            gradient = model.loss_gradient(fixed.x, fixed.y)
        with torch.no_grad():
            norm = sum(float(g.square().sum()) for g in gradient) ** 0.5
            rows.append((float(model.loss(fixed.x, fixed.y)), norm))

    measure(0, model)
    settings = TrainingSettings(
        rule="pc" if method == "pc" else "bp",
        inference=inference,
        optimiser="SGD",
        learning_rate=rate,
        batch_size=config.batch_size,
        steps=total,
        seed=seed,
    )
    result = train(model, data, settings, callback=measure)
    columns = np.array(rows).T
    return {"step": kept, "loss": columns[0], "norm": columns[1], "seconds": result.seconds, "dataset": used}


def run(config: Config, progress: Progress) -> dict[str, Any]:
    """All activations, scales and seeds."""
    cells = [
        {"activation": a, "method": m, "seed": s}
        for a in config.activations
        for m in RUNS
        for s in range(config.seeds)
    ]
    results = progress.cells(trial, cells)
    curves: dict[str, Any] = {activation: {} for activation in config.activations}
    for activation in config.activations:
        for method in RUNS:
            own = [
                r
                for cell, r in zip(cells, results, strict=True)
                if (cell["activation"], cell["method"]) == (activation, method)
            ]
            curves[activation][method] = {
                "step": own[0]["step"],
                **{key: np.array([r[key] for r in own]) for key in ("loss", "norm", "seconds")},
            }
    return {"curves": curves, "dataset": results[0]["dataset"]}
