r"""What precision, or what handover to backpropagation, leaves a saddle of a network soonest?

A deep tanh network without skips from small weights, MNIST, Adam. Backpropagation; exact predictive coding at
hidden precision 1; at the precision that keeps the ratio of loss and energy at 2; and each of the two handing
over to backpropagation when the loss has halved. Backpropagation alone takes more iterations, as its are
cheaper, and is run from Xavier's weights too, as a practitioner would. Each at the best of its rates; test
accuracy against the iteration and against processor time, and the precision along training. For chains "keep
the ratio at 2" is optimal (claim ``precision-homotopy``).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from experiments._progress import Progress
from experiments._small_starts import images, network, trained
from pctheory.nn import BP, PC, Adaptive, KeepRatio, Switch, TrainingSettings

RULES = ("bp", "pc", "keep", "pc-bp", "keep-bp", "bp-xavier")

ALONE = ("bp", "bp-xavier")


@dataclass(frozen=True)
class Config:
    """The scale is that of the initial weights, relative to Xavier's."""

    dataset: str = field(default="mnist", metadata={"label": "data"})
    hidden: int = field(default=10, metadata={"label": "hidden layers H"})
    width: int = field(default=64, metadata={"label": "width N"})
    scale: float = field(default=0.4, metadata={"label": "initial scale c"})
    rates: tuple[float, ...] = field(default=(3e-4, 1e-3, 3e-3, 1e-2), metadata={"label": "rates of Adam"})
    batch: int = 64
    iterations: int = field(default=900, metadata={"label": "iterations"})
    patience: int = field(default=3, metadata={"label": "times as many of BP alone"})
    ratio: float = field(default=2.0, metadata={"label": "ratio of loss and energy that is kept"})
    factor: float = field(default=1.1, metadata={"label": "change of the precision in an iteration"})
    handover: float = field(default=0.5, metadata={"label": "share of the first loss at the handover"})
    tolerance: float = field(default=0.02, metadata={"label": "estimated error of the weight gradient"})
    every: int = field(default=20, metadata={"label": "iterations between tests"})
    images: int = field(default=2000, metadata={"label": "test images along training"})
    seeds: int = 3
    seed: int = 0


PROFILES = {
    "quick": Config(
        dataset="digits", hidden=4, width=16, batch=32, rates=(3e-3,), iterations=30, every=10, images=500,
        seeds=1,
    ),
    "cpu": Config(iterations=300),
    "full": Config(),
}  # fmt: skip


def rule_of(config: Config, name: str) -> PC | BP | Switch:
    """What a name stands for."""
    if name in ALONE:
        return BP()
    keep = KeepRatio(config.ratio, config.factor) if name.startswith("keep") else 1.0
    pc = PC(Adaptive(config.tolerance), precision=keep)
    return Switch(pc, BP(), below=config.handover) if name.endswith("-bp") else pc


def trial(config: Config, rule: str, rate: float, seed: int) -> dict[str, Any]:
    """One run: accuracy and seconds along training, passes and precision of each iteration."""
    torch.set_num_threads(1)
    steps = config.iterations * (config.patience if rule in ALONE else 1)
    data, test = images(config.dataset, config.batch * steps)
    widths = (data.x.shape[1], *[config.width] * config.hidden, data.y.shape[1])
    scale = 1.0 if rule == "bp-xavier" else config.scale
    model = network(widths, "tanh", scale, np.random.default_rng([config.seed, seed]))
    settings = TrainingSettings(
        rule_of(config, rule),
        learning_rate=rate,
        batch_size=config.batch,
        steps=steps,
        seed=seed,
    )
    return trained(model, data, test, settings, config.every, config.images)


def run(config: Config, progress: Progress) -> dict[str, Any]:
    """Each rule at the rate that is best with the first seed, then with the others."""
    sweep = [{"rule": r, "rate": rate, "seed": 0} for r in RULES for rate in config.rates]
    tried = progress.cells(trial, sweep)
    best = {}
    for rule in RULES:
        finals = [f["final"] for cell, f in zip(sweep, tried, strict=True) if cell["rule"] == rule]
        best[rule] = config.rates[int(np.nanargmax(finals))]
    cells = [{"rule": r, "rate": best[r], "seed": s} for r in RULES for s in range(1, config.seeds)]
    found = progress.cells(trial, cells)
    result: dict[str, Any] = {"every": config.every, "runs": {}}
    for rule in RULES:
        first = [
            f
            for cell, f in zip(sweep, tried, strict=True)
            if (cell["rule"], cell["rate"]) == (rule, best[rule])
        ]
        mine = first + [f for cell, f in zip(cells, found, strict=True) if cell["rule"] == rule]
        names = mine[0].keys()
        result["runs"][rule] = {"rate": best[rule], **{n: np.array([f[n] for f in mine]) for n in names}}
    return result
