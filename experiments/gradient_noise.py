r"""How noisy are the gradients of predictive coding and of backprop along training, and in which layers?

Claim ``gradient-noise``. Deep linear networks learn the classes of the digits from small weights, by
full-batch descent on F* and on the loss. Along the way the per-sample gradients of all samples give the noise
scale tr C / |G|^2 and the share of each layer in tr C.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from experiments._progress import Progress
from pctheory import Data, EquilibratedEnergy, LinearPCN, MSELoss, gradient_descent, load_dataset
from pctheory.dynamics import gradient_noise
from pctheory.landscape import infimum

OBJECTIVES = {"bp": MSELoss, "pc": EquilibratedEnergy}


@dataclass(frozen=True)
class Config:
    """New experiment: its own settings."""

    hidden_layers: int = 3
    width: int = 32
    gain: float = field(default=0.1, metadata={"label": "gain of the weights"})
    pc_rate: float = 4.0
    bp_rate: float = 2.0
    steps: int = 10_000
    points: int = 80
    seeds: int = 5
    seed: int = 0


PROFILES = {
    "quick": Config(width=12, gain=0.3, steps=150, points=8, seeds=2),
    "cpu": Config(steps=3000, points=60, seeds=3),
    "full": Config(),
}


def digits() -> Data:
    """Centred digits of mean square 1 an image, and centred classes."""
    data = load_dataset("digits")
    x = data.x - data.x.mean(axis=0)
    return Data(x / np.sqrt(np.mean(np.sum(x**2, axis=1))), data.y - data.y.mean(axis=0))


def recorded(config: Config) -> list[int]:
    steps = np.geomspace(1, config.steps, config.points).round().astype(int)
    return sorted({0, *steps.tolist()})


def learn(config: Config, rule: str, seed: int) -> dict[str, Any]:
    """Noise scale, shares of the layers and losses along one run."""
    data = digits()
    widths = (data.x.shape[1], *(config.width,) * config.hidden_layers, data.y.shape[1])
    rng = np.random.default_rng([config.seed, seed])
    net = LinearPCN.random(widths, init=config.gain / np.sqrt(config.width), rng=rng)
    objective = OBJECTIVES[rule](data)
    rate = config.pc_rate if rule == "pc" else config.bp_rate
    path = gradient_descent(objective, net, rate, config.steps, record=recorded(config))
    kind = "energy" if rule == "pc" else "loss"
    noise = [gradient_noise(path.network(i), data, objective=kind) for i in range(len(path.times))]
    loss = MSELoss(data)
    return {
        "scale": np.array([n.scale for n in noise]),
        "shares": np.stack([n.shares for n in noise], axis=1),
        "loss": path.values(loss),
        "least": infimum(loss, net),
    }


def run(config: Config, progress: Progress) -> dict[str, Any]:
    """Tables (seed, step), and (seed, layer, step) for the shares."""
    cells = [{"rule": rule, "seed": s} for rule in OBJECTIVES for s in range(config.seeds)]
    found = progress.cells(learn, cells)
    rules: dict[str, Any] = {}
    for rule in OBJECTIVES:
        own = [f for c, f in zip(cells, found, strict=True) if c["rule"] == rule]
        rules[rule] = {
            name: np.stack([f[name] for f in own]) for name in ("scale", "shares", "loss", "least")
        }
    return {"steps": np.array(recorded(config)), "rules": rules}
