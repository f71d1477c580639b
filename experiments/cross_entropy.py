r"""What does predictive coding do with a cross-entropy output, on labels that the inputs do not tell?

A chain 1-1-2 on noisy labels of the sign of a number: F* and the loss over a plane of weights, and exact
gradient flow on F*, on F* with weight decay and on the loss. The same by gradient descent on the principal
components of handwritten digits whose labels are drawn at random. Then the cosine of the gradients of F* and
of the loss against width, muPC networks on the true labels. Claims ``cross-entropy-landscape`` and
``moreau-envelope``.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from experiments._progress import Progress
from pctheory import Data, LinearPCN, WeightDecay, gradient_descent
from pctheory.datasets import load_dataset
from pctheory.dynamics import gradient_flow
from pctheory.landscape import EnvelopeEnergy, Objective, OutputLoss

RULES = ("pc", "decay", "bp")


@dataclass(frozen=True)
class Config:
    """New experiment: its own settings."""

    samples: int = 20
    flipped: float = field(default=0.3, metadata={"label": "share of flipped labels"})
    decay: float = field(default=0.02, metadata={"label": "weight decay"})
    longest: float = field(default=7.0, metadata={"label": "decades of time"})
    points_per_decade: int = 6
    extent: float = 4.0
    grid: int = 21
    images: int = 200
    components: int = field(default=5, metadata={"label": "principal components of the digits"})
    hidden: int = 2
    rate: float = 2.0
    steps: int = 1500
    every: int = 25
    widths: tuple[int, ...] = (4, 8, 16, 32, 64, 128)
    batch: int = 64
    seeds: int = 3
    seed: int = 0


PROFILES = {
    "quick": Config(
        longest=1.0, points_per_decade=3, grid=5, images=30, hidden=2, steps=20, every=5, widths=(8, 64),
        batch=16, seeds=2
    ),
    "cpu": Config(),
    "full": Config(),
}  # fmt: skip


def noisy_signs(config: Config) -> Data:
    """A number, and its sign as one of two classes, flipped at random."""
    rng = np.random.default_rng(config.seed)
    x = rng.standard_normal((config.samples, 1))
    labels = (x[:, 0] > 0) ^ (rng.random(config.samples) < config.flipped)
    return Data(x, np.eye(2)[labels.astype(int)])


def chain(first: float, last: float) -> LinearPCN:
    """The network 1-1-2 whose classes are read with opposite signs."""
    return LinearPCN([[[first]], [[last], [-last]]])


def objective(rule: str, config: Config, data: Data) -> Objective:
    """F*, F* with weight decay, or the loss."""
    if rule == "bp":
        return OutputLoss(data)
    return EnvelopeEnergy(data) if rule == "pc" else WeightDecay(EnvelopeEnergy(data), config.decay)


def plane(config: Config, last: float) -> dict[str, Any]:
    """A row of the plane: F* and the loss at first weights across the extent."""
    data = noisy_signs(config)
    nets = [chain(w, last) for w in axis(config)]
    return {
        "energy": np.array([float(EnvelopeEnergy(data).value(net)) for net in nets]),
        "loss": np.array([float(OutputLoss(data).value(net)) for net in nets]),
    }


def axis(config: Config) -> np.ndarray:
    """Values of a weight across the plane."""
    return np.linspace(-config.extent, config.extent, config.grid)


def flow(config: Config, rule: str) -> dict[str, Any]:
    """F* and the loss along gradient flow of the chain."""
    data = noisy_signs(config)
    times = np.logspace(0, config.longest, round(config.longest * config.points_per_decade) + 1)
    path = gradient_flow(
        objective(rule, config, data), chain(0.5, 0.5), np.concatenate([[0.0], times]), rtol=1e-6, atol=1e-9
    )
    return {
        "at": path.times,
        "energy": path.values(EnvelopeEnergy(data)),
        "loss": path.values(OutputLoss(data)),
        "weights": path.weights,
    }


def descent(config: Config, rule: str) -> dict[str, Any]:
    """F* and the loss along gradient descent on digits with random labels."""
    x = load_dataset("digits", limit=config.images).x
    x = np.linalg.svd(x, full_matrices=False)[0][:, : config.components] * np.sqrt(len(x))
    rng = np.random.default_rng([config.seed, 1])
    data = Data(x, np.eye(10)[rng.integers(10, size=len(x))])
    net = LinearPCN.random((x.shape[1], config.hidden, 10), rng=rng)
    path = gradient_descent(
        objective(rule, config, data), net, config.rate, config.steps, record=config.every
    )
    return {
        "at": path.times / config.rate,
        "energy": path.values(EnvelopeEnergy(data)),
        "loss": path.values(OutputLoss(data)),
    }


def cosine(config: Config, width: int, seed: int) -> dict[str, Any]:
    """The cosine of the two gradients at initialisation, on digits with their labels."""
    data = load_dataset("digits", limit=config.batch)
    net = LinearPCN.random(
        (data.x.shape[1], width, width, 10), parameterisation="mupc", rng=np.random.default_rng([seed, width])
    )
    first, second = (np.asarray(net.join(f(data).gradient(net))) for f in (EnvelopeEnergy, OutputLoss))
    return {"cosine": float(first @ second / np.linalg.norm(first) / np.linalg.norm(second))}


def run(config: Config, progress: Progress) -> dict[str, Any]:
    """The plane, both kinds of random labels, the cosines."""
    rows = progress.cells(plane, [{"last": float(w)} for w in axis(config)])
    cells = [{"rule": rule} for rule in RULES]
    flows, descents = progress.cells(flow, cells), progress.cells(descent, cells)
    pairs = [{"width": width, "seed": seed} for width in config.widths for seed in range(config.seeds)]
    found = progress.cells(cosine, pairs)
    return {
        "axis": axis(config),
        "plane": {name: np.array([row[name] for row in rows]) for name in ("energy", "loss")},
        "chain": {rule: dict(f) for rule, f in zip(RULES, flows, strict=True)},
        "digits": {rule: dict(f) for rule, f in zip(RULES, descents, strict=True)},
        "widths": np.array(config.widths),
        "cosine": np.array([f["cosine"] for f in found]).reshape(len(config.widths), config.seeds),
    }
