r"""What happens to PC's weights on noisy data, and what stops it?

Exact gradient flow on F*, on F* with weight decay, and on the full negative log likelihood F* + (1/2) log det
S: for a chain of two weights with more noise than the output precision assumes, for one with less, and for a
network with noisy targets. For the chain the law w_2 = (4 N t)^{1/4} is drawn. Claim
``no-minimiser-with-noise``.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from experiments._progress import Progress
from pctheory import Data, EquilibratedEnergy, LinearPCN, MSELoss, NegativeLogLikelihood, WeightDecay
from pctheory.dynamics import gradient_flow


@dataclass(frozen=True)
class Config:
    """New experiment: its own settings."""

    longest: float = field(default=7.0, metadata={"label": "decades of time"})
    points_per_decade: int = 20
    chain_noise: tuple[float, ...] = (2.0, 0.5)
    decay: float = field(default=0.01, metadata={"label": "weight decay"})
    widths: tuple[int, ...] = (5, 6, 6, 3)
    samples: int = 200
    noise: float = field(default=1.5, metadata={"label": "noise of the network's targets"})
    seed: int = 0


PROFILES = {"quick": Config(longest=2.0, points_per_decade=8), "cpu": Config(), "full": Config()}


def chain_data(noise: float) -> Data:
    """S_xx = 1, S_yx = 1, and a residual of variance `noise` that no linear map predicts."""
    x = np.array([[1.0], [-1.0], [1.0], [-1.0]])
    return Data(x, x + np.sqrt(noise) * np.array([[1.0], [1.0], [-1.0], [-1.0]]))


def problem(config: Config, name: str) -> tuple[LinearPCN, Data]:
    """The start and the data of a column."""
    rng = np.random.default_rng(config.seed)
    if name == "network":
        teacher = rng.standard_normal((config.widths[-1], config.widths[0])) / np.sqrt(config.widths[0])
        data = Data.teacher(teacher, config.samples, noise=config.noise, rng=rng)
        return LinearPCN.random(config.widths, init=0.3, rng=rng), data
    return LinearPCN([[[0.5]], [[0.5]]]), chain_data(float(name.split("=")[1]))


def flows(config: Config, name: str) -> dict[str, Any]:
    """Weight norms, energy and loss along the three flows."""
    net, data = problem(config, name)
    energy, loss = EquilibratedEnergy(data), MSELoss(data)
    times = np.concatenate(
        [[0.0], np.logspace(-1, config.longest, round((config.longest + 1) * config.points_per_decade) + 1)]
    )
    objectives = {
        "plain": energy,
        "decay": WeightDecay(energy, config.decay),
        "likelihood": NegativeLogLikelihood(data),
    }
    found: dict[str, Any] = {}
    for key, objective in objectives.items():
        flow = gradient_flow(objective, net, times, rtol=1e-8, atol=1e-10)
        norms = flow.layer_norms()
        found[key] = {
            "times": flow.times,
            "first": norms[:, 0],
            "last": norms[:, -1],
            "energy": flow.values(energy),
            "loss": flow.values(loss),
        }
    noise = data.residual_noise()
    return {
        "curves": found,
        "noise": float(np.trace(noise)),
        "best_loss": float(np.trace(noise)) / 2,
        "infimum": 0.5 * float(np.sum(np.linalg.eigvalsh(data.yy)[::-1][net.widths[-2] :])),
    }


def run(config: Config, progress: Progress) -> dict[str, Any]:
    """Both chains and the network."""
    names = [*(f"N={noise:g}" for noise in config.chain_noise), "network"]
    results = progress.cells(flows, [{"name": name} for name in names])
    return {"columns": {name: dict(r) for name, r in zip(names, results, strict=True)}}
