r"""Does the sharpness of the equilibrated energy rise to the edge of stability, as that of the loss does?

Claim ``fit-sharpness``, along training. Deep linear networks learn the classes of whitened digits by
full-batch descent on F* and on the loss at several rates; the largest eigenvalue of the Hessian is recorded,
to be compared with 2 over the rate. The inputs are white, so that the bound at a fit starts from 1.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from experiments._progress import Progress
from pctheory import Data, EquilibratedEnergy, LinearPCN, MSELoss, gradient_descent, load_dataset
from pctheory.landscape import extreme_eigenvalues, infimum

OBJECTIVES = {"bp": MSELoss, "pc": EquilibratedEnergy}


@dataclass(frozen=True)
class Config:
    """New experiment: its own settings."""

    hidden_layers: int = 3
    width: int = 16
    samples: int = 512
    gain: float = 0.6
    rates: tuple[float, ...] = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.5, 2.0, 3.0)
    steps: int = 1000
    points: int = 60
    seeds: int = 5
    seed: int = 0


PROFILES = {
    "quick": Config(width=8, samples=128, rates=(0.2, 1.0), steps=40, points=5, seeds=1),
    "cpu": Config(rates=(0.1, 0.3, 0.4, 0.6, 1.0, 2.0, 3.0), steps=400, points=30, seeds=3),
    "full": Config(),
}


def digits(config: Config) -> Data:
    """The first principal components of the digits, whitened, and centred classes scaled to a largest
    correlation of 1.
    """
    data = load_dataset("digits", "train", limit=config.samples)
    left = np.linalg.svd(data.x - data.x.mean(axis=0), full_matrices=False)[0]
    x = left[:, : config.width] * np.sqrt(config.samples)
    y = data.y - data.y.mean(axis=0)
    return Data(x, y / np.linalg.norm(y.T @ x / config.samples, 2))


def recorded(config: Config) -> list[int]:
    steps = np.geomspace(1, config.steps, config.points).round().astype(int)
    return sorted({0, *steps.tolist()})


def descend(config: Config, rule: str, rate: float, seed: int) -> dict[str, Any]:
    """Sharpness and loss along one run, up to where it diverges; the loss above its least value."""
    data = digits(config)
    widths = (*(config.width,) * (config.hidden_layers + 1), data.y.shape[1])
    rng = np.random.default_rng([config.seed, seed])
    net = LinearPCN.random(widths, init=config.gain / np.sqrt(config.width), rng=rng)
    objective, loss = OBJECTIVES[rule](data), MSELoss(data)
    at = recorded(config)
    path = gradient_descent(objective, net, rate, config.steps, record=at)
    found = {name: np.full(len(at), np.nan) for name in ("sharpness", "loss")}
    for i in range(len(path.times)):
        found["sharpness"][i] = extreme_eigenvalues(objective, path.network(i)).largest[0]
    found["loss"][: len(path.times)] = path.values(loss) - infimum(loss, net)
    return found


def run(config: Config, progress: Progress) -> dict[str, Any]:
    """Tables (rate, seed, step) for each rule."""
    seeds = range(config.seeds)
    cells = [{"rule": r, "rate": e, "seed": s} for r in OBJECTIVES for e in config.rates for s in seeds]
    found = progress.cells(descend, cells)
    shape = (len(config.rates), config.seeds, -1)
    rules: dict[str, Any] = {}
    for rule in OBJECTIVES:
        own = [f for c, f in zip(cells, found, strict=True) if c["rule"] == rule]
        rules[rule] = {
            name: np.stack([f[name] for f in own]).reshape(shape) for name in ("sharpness", "loss")
        }
    return {"rates": np.array(config.rates), "steps": np.array(recorded(config)), "rules": rules}
