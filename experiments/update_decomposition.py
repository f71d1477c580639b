r"""What drives predictive coding away from a small start: backprop's part of its gradient, or the rest?

A linear network with targets from a linear teacher plus noise, gradient descent on the equilibrated energy
from a small start. Along the way: the norms of the two terms of its gradient, of the loss's gradient, of the
Gauss-Newton, damped Newton and natural-gradient directions at the same weights, and their cosines to
predictive coding's direction; and what the picture "backprop plus the trust region's move" gets wrong. Claims
``gradient-decomposition``, ``tr-weights``.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from experiments._progress import Progress
from pctheory import Data, EquilibratedEnergy, LinearPCN, MSELoss, rescaling
from pctheory.trust_region import cosines, norms, update_directions


@dataclass(frozen=True)
class Config:
    """Settings of this work."""

    widths: tuple[int, ...] = (5, 6, 6, 3)
    sigma: float = field(default=0.03, metadata={"label": "std of the initial weights"})
    noise: float = field(default=0.3, metadata={"label": "std of the noise on the targets"})
    samples: int = 64
    learning_rate: float = 0.05
    steps: int = 3000
    points: int = 60
    seeds: int = 5
    seed: int = 0


PROFILES = {"quick": Config(steps=300, points=8, seeds=2), "cpu": Config(), "full": Config()}

DIRECTIONS = (
    "gd",
    "pc",
    "pc-preconditioned",
    "pc-residual",
    "gauss-newton",
    "damped-newton",
    "natural-gradient",
)


def run(config: Config, progress: Progress) -> dict[str, Any]:
    """Train once per seed and look at every direction on the way."""
    steps = np.unique(np.round(np.geomspace(1, config.steps + 1, config.points)).astype(int) - 1)
    runs = [_one(config, seed, steps) for seed in progress.track(range(config.seeds), "seeds")]
    return {"steps": steps, **{key: _stack([r[key] for r in runs]) for key in runs[0]}}


def _stack(values: list[Any]) -> Any:
    """Lists of dicts of curves as dicts of (seeds, points) arrays."""
    if isinstance(values[0], dict):
        return {key: _stack([v[key] for v in values]) for key in values[0]}
    return np.array(values)


def _one(config: Config, seed: int, steps: np.ndarray) -> dict[str, Any]:
    rng = np.random.default_rng([config.seed, seed])
    teacher = rng.standard_normal((config.widths[-1], config.widths[0])) / np.sqrt(config.widths[0])
    data = Data.teacher(teacher, config.samples, noise=config.noise, rng=rng).compress()
    net = LinearPCN.random(config.widths, init=config.sigma, rng=rng)
    energy, loss = EquilibratedEnergy(data), MSELoss(data)
    curves: dict[str, Any] = {
        "loss": [], "energy": [], "rescaling": [], "heuristic": [],
        "norm": {name: [] for name in DIRECTIONS}, "cosine": {name: [] for name in DIRECTIONS},
    }  # fmt: skip
    for step in range(config.steps + 1):
        gradient = energy.gradient(net)
        if step in steps:
            found = update_directions(net, data)
            length, angle = norms(found), cosines(found, found["pc"])
            for name in DIRECTIONS:
                curves["norm"][name].append(length[name])
                curves["cosine"][name].append(angle[name])
            # the heuristic: the loss's gradient in place of the preconditioned one
            wrong = [g - p for g, p in zip(found["gd"], found["pc-preconditioned"], strict=True)]
            curves["heuristic"].append(norms({"wrong": wrong})["wrong"] / length["pc"])
            curves["loss"].append(float(loss.value(net)))
            curves["energy"].append(float(energy.value(net)))
            curves["rescaling"].append(float(np.linalg.eigvalsh(rescaling(net))[-1]))
        net = net.replace(
            weights=[w - config.learning_rate * g for w, g in zip(net.weights, gradient, strict=True)]
        )
    return curves
