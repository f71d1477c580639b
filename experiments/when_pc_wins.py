r"""Where does predictive coding learn sooner than backpropagation, by iterations and by time?

Deep networks whose initial weights are c times Xavier's (He's for ReLU), over depth, scale, activation and
optimiser. Each rule at the best of its rates: the iterations and the processor time until the test accuracy
reaches a target. Backpropagation; exact inference at hidden precision 1 and at a larger one; and inference at
precision 1 that hands over to backpropagation. At c = 1 backpropagation starts as a practitioner would start
it. Claims ``escape-time`` and ``precision-homotopy``: the times of a chain of the same depth and scale.
"""

from __future__ import annotations

import functools
import math
import time
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from scipy.optimize import brentq

from experiments._progress import Progress
from pctheory import Data, load_dataset
from pctheory.dynamics import chain_flow, homotopy_flow
from pctheory.nn import BP, PC, PCN, Adaptive, Switch, TrainingSettings
from pctheory.nn.training import Run

RULES = ("bp", "pc", "raised", "pc-bp")
ACTIVATIONS = ("linear", "tanh", "relu")
FACTOR = 10**0.5
"""Between neighbouring rates."""


@dataclass(frozen=True)
class Config:
    """The scale c is that of the initial weights, relative to Xavier's or He's."""

    dataset: str = field(default="mnist", metadata={"label": "data"})
    depths: tuple[int, ...] = field(default=(4, 8, 16, 32), metadata={"label": "hidden layers H"})
    scales: tuple[float, ...] = field(
        default=(0.1, 0.2, 0.35, 0.5, 0.7, 1.0), metadata={"label": "initial scales c"}
    )
    smallest: float = field(default=1e-10, metadata={"label": "smallest c^H"})
    width: int = field(default=64, metadata={"label": "width N"})
    batch: int = 64
    target: float = field(default=0.7, metadata={"label": "test accuracy to reach"})
    iterations: int = field(default=2000, metadata={"label": "most iterations"})
    passes: int = field(default=40000, metadata={"label": "most passes"})
    span: int = field(default=2, metadata={"label": "rates tried each way if none reaches the target"})
    precision: float = field(default=16.0, metadata={"label": "larger hidden precision"})
    handover: float = field(default=0.7, metadata={"label": "share of the first loss at the handover"})
    tolerance: float = field(default=0.1, metadata={"label": "estimated error of the weight gradient"})
    every: int = field(default=5, metadata={"label": "iterations between tests"})
    images: int = field(default=500, metadata={"label": "test images along training"})
    descended: tuple[str, ...] = field(default=ACTIVATIONS, metadata={"label": "activations with SGD"})
    compared: tuple[int, ...] = field(
        default=(4, 8, 16), metadata={"label": "hidden layers with all rules (tanh, Adam)"}
    )
    residual: tuple[int, ...] = field(
        default=(4, 8, 16), metadata={"label": "hidden layers with skips (tanh, Adam)"}
    )
    seeds: int = 3
    seed: int = 0


PROFILES = {
    "quick": Config(
        dataset="digits", depths=(2,), scales=(0.3, 0.6), width=16, batch=32, target=0.4, iterations=10,
        passes=40, span=1, images=200, descended=("tanh",), compared=(2,), residual=(2,), seeds=1,
    ),
    "cpu": Config(
        depths=(4, 8, 16), scales=(0.2, 0.45, 0.7, 1.0), smallest=1e-5, iterations=200,
        passes=1000, descended=("tanh",), compared=(8,), residual=(8,),
    ),
    "full": Config(),
}  # fmt: skip

FIRST_RATES = {"Adam": {"bp": 1e-3, "pc": 1e-3}, "SGD": {"bp": 0.3, "pc": 3.0}}
"""Where the search for the best rate begins; every rule with inference begins as "pc" does."""


def network(config: Config, hidden: int, activation: str, scale: float, skips: bool, seed: int) -> PCN:
    """Gaussian weights; the network of a seed is the same for all rules."""
    data = images(config)[0]
    widths = (data.x.shape[1], *[config.width] * hidden, data.y.shape[1])
    gain = 2.0 if activation == "relu" else 1.0
    rng = np.random.default_rng([config.seed, hidden, seed])
    weights = [
        scale * (gain / before) ** 0.5 * rng.standard_normal((after, before))
        for before, after in pairwise(widths)
    ]
    between = [False, *[skips] * (hidden - 1), False]
    return PCN.from_weights(weights, activation=activation, skips=between, dtype=torch.float32)


def rule_of(config: Config, name: str, optimiser: str) -> PC | BP | Switch:
    """What a name stands for."""
    if name == "bp":
        return BP()
    pc = PC(Adaptive(config.tolerance), precision=config.precision if name == "raised" else 1.0)
    if name != "pc-bp":
        return pc
    first = FIRST_RATES[optimiser]
    return Switch(pc, BP(), below=config.handover, rate=first["bp"] / first["pc"])


@functools.cache
def images(config: Config) -> tuple[Data, torch.Tensor, torch.Tensor]:
    """Training data; test images and their labels. Of the digits the test images are training data."""
    data = load_dataset(config.dataset, limit=config.batch * config.iterations)
    test = data if config.dataset == "digits" else load_dataset(config.dataset, "test")
    x, y = (torch.as_tensor(np.asarray(a[: config.images]), dtype=torch.float32) for a in (test.x, test.y))
    return data, x, y.argmax(1)


def reach(
    config: Config, rule: str, optimiser: str, rate: float, limit: float, seed: int, **net: Any
) -> tuple[float, float]:
    """Iterations and processor seconds to the target, without the tests; infinite if it is not reached within
    `limit` iterations.
    """
    data, x, labels = images(config)
    model = network(config, seed=seed, **net)
    settings = TrainingSettings(
        rule_of(config, rule, optimiser), optimiser, rate, batch_size=config.batch, steps=config.iterations,
        seed=seed,
    )  # fmt: skip
    run, seconds, passes = Run(model, data, settings), 0.0, 0.0
    while run.step < min(limit, config.iterations) and passes < config.passes:
        start = time.process_time()
        try:
            run.advance()
        except ValueError:  # the rate is too large
            break
        seconds += time.process_time() - start
        passes += run.inference["passes"][-1]
        if run.step % config.every == 0:
            with torch.no_grad():
                right = float((model(x).argmax(1) == labels).double().mean())
            if right >= config.target:
                return run.step, seconds
    return math.inf, math.inf


def trial(
    config: Config, rule: str, optimiser: str, hidden: int, activation: str, scale: float, skips: bool
) -> dict[str, Any]:
    """The best rate, found with the first seed by going up and down from the first rate while that helps, and
    what each seed takes at it.
    """
    torch.set_num_threads(1)
    net = {"hidden": hidden, "activation": activation, "scale": scale, "skips": skips}
    first = FIRST_RATES[optimiser]["bp" if rule == "bp" else "pc"]
    best, power = (math.inf, math.inf), 0
    tried: list[int] = []

    def better(at: int) -> bool:
        nonlocal best, power
        tried.append(at)
        limit = best[0] - config.every if best[0] < math.inf else math.inf
        if limit < config.every:
            return False
        found = reach(config, rule, optimiser, first * FACTOR**at, limit, 0, **net)
        if found[0] < best[0]:
            best, power = found, at
            return True
        return False

    better(0)
    for sign in (1, -1):
        at = sign
        while better(at) or (best[0] == math.inf and abs(at) < config.span):
            at += sign
    rate = first * FACTOR**power
    others = [
        reach(config, rule, optimiser, rate, math.inf, seed, **net)
        if best[0] < math.inf
        else (math.inf, math.inf)
        for seed in range(1, config.seeds)
    ]
    iterations, seconds = np.array([best, *others]).T
    return {"rate": rate, "tried": len(tried), "iterations": iterations, "seconds": seconds}


def cases(config: Config) -> list[dict[str, Any]]:
    """The networks and optimisers, and the rules that each is trained by."""
    sizes = [(h, c) for h in config.depths for c in config.scales if c**h >= config.smallest]
    residual = [(h, c) for h in config.residual for c in config.scales]
    settings = [
        *(("Adam", activation, False, h, c) for activation in ACTIVATIONS for h, c in sizes),
        *(("SGD", activation, False, h, c) for activation in config.descended for h, c in sizes),
        *(("Adam", "tanh", True, h, c) for h, c in residual),
    ]
    return [
        {
            "rule": rule, "optimiser": optimiser, "hidden": h, "activation": activation, "scale": c,
            "skips": skips,
        }
        for optimiser, activation, skips, h, c in settings
        for rule in RULES
        if rule in ("bp", "pc")
        or ((optimiser, activation, skips) == ("Adam", "tanh", False) and h in config.compared)
    ]  # fmt: skip


def border(hidden: int, *, kept: bool) -> float:
    """The initial weight of a chain at which gradient flow on the loss and on the energy take equally long,
    at hidden precision 1 or with the ratio of loss and energy kept at 2.
    """
    widths = (1,) * (hidden + 2)

    def lead(scale: float) -> float:
        loss = chain_flow(widths, scale, objective="loss", rtol=1e-8)
        energy = homotopy_flow(widths, scale, rtol=1e-8) if kept else chain_flow(widths, scale, rtol=1e-8)
        return math.log(loss.escape_time / energy.escape_time)

    # above the second scale the product begins beyond half its target
    return float(brentq(lead, 0.05, 0.45 ** (1 / (hidden + 1)), xtol=1e-3))


def run(config: Config, progress: Progress) -> dict[str, Any]:
    """Every case, named (plain or skips)/activation/optimiser/rule/H/c, and the borders of chains."""
    cells = cases(config)
    found = progress.cells(trial, cells)
    names = ("activation", "optimiser", "rule", "hidden", "scale")
    result: dict[str, Any] = {
        "runs": {},
        "depths": np.array(config.depths),
        "scales": np.array(config.scales),
        "border": np.array([border(hidden, kept=False) for hidden in config.depths]),
        "kept": np.array([border(hidden, kept=True) for hidden in config.depths]),
    }
    for cell, one in zip(cells, found, strict=True):
        path = "/".join(["skips" if cell["skips"] else "plain", *(f"{cell[name]}" for name in names)])
        result["runs"][path] = dict(one.flat())
    return result
