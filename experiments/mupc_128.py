r"""How well does muPC train networks of 128 hidden layers?

ReLU residual networks, T = H steps of inference on the batch-mean energy, Adam at its own rate: MNIST (5
epochs) and Fashion-MNIST (15) with squared errors and batches of 64, CIFAR-10 (20) with cross-entropy and
batches of 128; backpropagation with Depth-muP at the learning rates published for it. Innocenti et al. 2025
(arXiv:2505.13124), appendix. The full profile wants a GPU, which it finds by itself, and a killed run goes on
from its last checkpoint: ``python -m experiments mupc_128 --profile full --jobs 1``.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from experiments._progress import Progress
from pctheory import Data, load_dataset
from pctheory.datasets import available_datasets
from pctheory.nn import BP, PC, PCN, GradientDescent, Stop, TrainingSettings, accuracy, train

RULES = ("pc", "bp")


@dataclass(frozen=True)
class Config:
    """Published settings, a value for each data set; iterations are whole epochs."""

    datasets: tuple[str, ...] = field(
        default=("mnist", "fashion-mnist", "cifar10"), metadata={"label": "data"}
    )
    width: int = field(default=512, metadata={"label": "width N"})
    hidden: int = field(default=128, metadata={"label": "hidden layers H"})
    outputs: tuple[str, ...] = field(
        default=("mse", "mse", "cross-entropy"), metadata={"label": "output energies"}
    )
    batch_sizes: tuple[int, ...] = (64, 64, 128)
    iterations: tuple[int, ...] = (5 * 937, 15 * 937, 20 * 390)
    learning_rates: tuple[float, ...] = (0.1, 0.05, 0.1)
    activity_lrs: tuple[float, ...] = field(
        default=(0.5, 0.5, 0.01), metadata={"label": "activity learning rates"}
    )
    bp_learning_rates: tuple[float, ...] = field(
        default=(0.005, 0.005, 0.01), metadata={"label": "learning rates of BP"}
    )
    every: int = field(default=300, metadata={"label": "iterations between tests"})
    test_images: int = field(default=10000, metadata={"label": "test images along training"})
    seeds: int = 3
    seed: int = 0


PROFILES = {
    "quick": Config(
        datasets=("digits", "digits"),
        width=16,
        hidden=12,
        outputs=("mse", "cross-entropy"),
        batch_sizes=(32, 32),
        iterations=(40, 40),
        learning_rates=(0.1, 0.1),
        activity_lrs=(0.5, 0.5),
        bp_learning_rates=(0.02, 0.02),
        every=10,
        test_images=100,
        seeds=1,
    ),
    "cpu": Config(width=128, iterations=(937, 937, 390), every=25, test_images=1000, seeds=1),
    "full": Config(),
}


def trial(config: Config, case: int, rule: str, seed: int, checkpoint: str) -> dict[str, Any]:
    """One run: accuracy on the first test images along training, and on all of them at the end."""
    torch.set_num_threads(1)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    name = config.datasets[case]
    used = name if name in available_datasets() else "digits"
    data = load_dataset(used)
    test = load_dataset(used, "test") if used != "digits" else data
    model = PCN(
        (data.x.shape[1], *[config.width] * config.hidden, data.y.shape[1]),
        activation="relu",
        parameterisation="mupc",
        skips=True,
        output=config.outputs[case],
        rng=np.random.default_rng([config.seed, case, seed]),
        dtype=torch.float32,
        device=device,
    )
    pc = PC(
        GradientDescent(config.activity_lrs[case], convention="batch-mean", coordinates="activities"),
        stop=Stop(config.hidden),
    )
    settings = TrainingSettings(
        rule=pc if rule == "pc" else BP(),
        learning_rate=(config.learning_rates if rule == "pc" else config.bp_learning_rates)[case],
        batch_size=config.batch_sizes[case],
        steps=config.iterations[case],
        seed=seed,
        evaluate_every=config.every,
    )
    few = Data(test.x[: config.test_images], test.y[: config.test_images])
    result = train(model, data, settings, test=few, checkpoint=checkpoint or None)
    return {
        "step": result.evaluations["step"],
        "accuracy": result.evaluations["accuracy"],
        "final": accuracy(model, test.x, test.y),
        "change": result.metrics["weight_change"][-1],
        "seconds": result.seconds,
        "dataset": used,
        "device": torch.cuda.get_device_name() if device == "cuda" else "CPU, one thread",
    }


def run(config: Config, progress: Progress) -> dict[str, Any]:
    """Accuracies (seeds, tests), final ones, changes of weights (seeds, layers) by data set and rule."""
    folder = progress.checkpoints
    cells = [
        {"case": c, "rule": r, "seed": s, "checkpoint": str(folder / f"{c}-{r}-{s}.pt") if folder else ""}
        for c in range(len(config.datasets))
        for r in RULES
        for s in range(config.seeds)
    ]
    found = progress.cells(trial, cells)

    def table(case: int, rule: str) -> dict[str, Any]:
        runs = [f for c, f in zip(cells, found, strict=True) if (c["case"], c["rule"]) == (case, rule)]
        keys = ("accuracy", "final", "change", "seconds")
        return {"step": runs[0]["step"], **{key: np.array([r[key] for r in runs]) for key in keys}}

    return {
        "runs": {str(c): {r: table(c, r) for r in RULES} for c in range(len(config.datasets))},
        "datasets": {
            str(c): next(f["dataset"] for cell, f in zip(cells, found, strict=True) if cell["case"] == c)
            for c in range(len(config.datasets))
        },
        "device": found[0]["device"],
    }
