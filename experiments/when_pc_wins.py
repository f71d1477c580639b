r"""Where does predictive coding train better than backpropagation, and for how long?

Networks without skips, of several depths and activations, from weights of :math:`c` times the standard
deviation of Xavier (tanh, linear) or He (ReLU). Backpropagation, exact predictive coding at unit precisions
(`Adaptive`), and predictive coding that hands over to backpropagation when the loss has halved, each at the
best of its own rates, by Adam and by gradient descent. At c = 1 backpropagation has the initialisation that
practice gives it. Test accuracy after the same number of iterations, and the processor time of each rule.
Claims ``escape-time``, ``precision-homotopy``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from experiments._progress import Progress
from experiments._small_starts import images, network, trained
from pctheory.nn import BP, PC, Adaptive, Switch, TrainingSettings

RULES = ("bp", "pc", "both")


@dataclass(frozen=True)
class Config:
    """Each case is an activation, a number of hidden layers and an optimiser."""

    dataset: str = field(default="mnist", metadata={"label": "data"})
    cases: tuple[str, ...] = field(
        default=(
            "tanh/5/Adam",
            "tanh/10/Adam",
            "tanh/20/Adam",
            "relu/10/Adam",
            "linear/10/Adam",
            "tanh/10/SGD",
        ),
        metadata={"label": "cases"},
    )
    scales: tuple[float, ...] = field(default=(0.3, 0.5, 0.7, 1.0), metadata={"label": "initial scales c"})
    width: int = field(default=64, metadata={"label": "width N"})
    batch: int = 64
    iterations: int = field(default=900, metadata={"label": "iterations"})
    adam_rates: tuple[float, ...] = field(default=(3e-4, 1e-3, 3e-3), metadata={"label": "rates of Adam"})
    sgd_rates: tuple[float, ...] = field(
        default=(0.1, 0.3, 1.0, 3.0, 10.0), metadata={"label": "rates of gradient descent"}
    )
    handover: float = field(default=0.5, metadata={"label": "share of the first loss at the handover"})
    sgd_handover_rate: float = field(
        default=0.03, metadata={"label": "factor of the rate of gradient descent at the handover"}
    )
    tolerance: float = field(default=0.05, metadata={"label": "estimated error of the weight gradient"})
    images: int = field(default=2000, metadata={"label": "test images"})
    seeds: int = 3
    seed: int = 0


PROFILES = {
    "quick": Config(
        dataset="digits", cases=("tanh/4/Adam", "tanh/3/SGD"), scales=(0.3, 1.0), width=16, batch=32,
        iterations=20, adam_rates=(3e-3,), sgd_rates=(1.0,), images=500, seeds=1,
    ),
    "cpu": Config(
        cases=("tanh/10/Adam", "tanh/20/Adam", "relu/10/Adam", "tanh/10/SGD"), scales=(0.3, 0.5, 1.0),
        iterations=150, adam_rates=(1e-3, 3e-3), sgd_rates=(0.3, 3.0), seeds=1,
    ),
    "full": Config(),
}  # fmt: skip


def rule_of(config: Config, name: str, optimiser: str) -> PC | BP | Switch:
    """What a name stands for."""
    if name == "bp":
        return BP()
    pc = PC(Adaptive(config.tolerance))
    if name == "pc":
        return pc
    rate = config.sgd_handover_rate if optimiser == "SGD" else 1.0
    return Switch(pc, BP(), below=config.handover, rate=rate)


def trial(config: Config, case: str, scale: float, rule: str, rate: float, seed: int) -> dict[str, Any]:
    """One run: accuracy at the end, processor seconds, passes."""
    torch.set_num_threads(1)
    activation, hidden, optimiser = case.split("/")
    data, test = images(config.dataset, config.batch * config.iterations)
    widths = (data.x.shape[1], *[config.width] * int(hidden), data.y.shape[1])
    model = network(widths, activation, scale, np.random.default_rng([config.seed, int(hidden), seed]))
    settings = TrainingSettings(
        rule_of(config, rule, optimiser),
        optimiser=optimiser,
        learning_rate=rate,
        batch_size=config.batch,
        steps=config.iterations,
        seed=seed,
    )
    found = trained(model, data, test, settings, config.iterations, config.images)
    return {
        "accuracy": found["final"],
        "seconds": found["seconds"][-1],
        "passes": float(np.mean(found["passes"])),
    }


def run(config: Config, progress: Progress) -> dict[str, Any]:
    """Accuracies, seconds and passes (rates, scales, seeds) of each case and rule."""
    rates = {"Adam": config.adam_rates, "SGD": config.sgd_rates}
    cells = [
        {"case": case, "scale": scale, "rule": rule, "rate": rate, "seed": seed}
        for case in config.cases
        for rule in RULES
        for rate in rates[case.split("/")[2]]
        for scale in config.scales
        for seed in range(config.seeds)
    ]
    found = progress.cells(trial, cells)
    result: dict[str, Any] = {"scales": np.array(config.scales), "runs": {}}
    for case in config.cases:
        shape = (len(rates[case.split("/")[2]]), len(config.scales), config.seeds)
        result["runs"][case] = {"rates": np.array(rates[case.split("/")[2]])}
        for rule in RULES:
            mine = [
                f
                for cell, f in zip(cells, found, strict=True)
                if (cell["case"], cell["rule"]) == (case, rule)
            ]
            result["runs"][case][rule] = {
                name: np.array([f[name] for f in mine]).reshape(shape) for name in mine[0]
            }
    return result
