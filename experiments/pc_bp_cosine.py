r"""How parallel are the gradients of predictive coding and of backpropagation, over width and depth?

Innocenti et al. 2026 (arXiv:2602.07697), figure 1: linear residual Depth-muP networks, 64 samples, exact
equilibrium, Adam 1e-3 times (N L)^-1/2; the cosine of the gradients of F* and of the loss after t iterations,
and the excess of S over the identity. Both gradients are taken at the weights of predictive coding; the
source takes that of the loss along a training by backpropagation of its own. At the scaled rate the weights
hardly move in 100 iterations, so the same is measured with Adam's rate as it is. Claim: limit-to-backprop.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from experiments._descent import Adam, bp_gradient, cosine, pc_gradient, single, train
from experiments._progress import Progress
from pctheory import Data, LinearPCN, expected_rescaling, load_dataset, rescaling
from pctheory.datasets import available_datasets
from pctheory.model import learning_rate_scale

SCALINGS = ("table", "none")
"""Adam's rate times the factor of the parameterisation, and as it is."""


@dataclass(frozen=True)
class Config:
    """The published settings."""

    dataset: str = field(default="cifar10", metadata={"label": "data"})
    widths: tuple[int, ...] = field(
        default=(2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048), metadata={"label": "widths N"}
    )
    depths: tuple[int, ...] = field(default=(2, 4, 8, 16, 32), metadata={"label": "depths L"})
    times: tuple[int, ...] = field(default=(0, 50, 100), metadata={"label": "iterations"})
    trained_width: int = field(default=2048, metadata={"label": "largest width trained at the scaled rate"})
    unscaled_width: int = field(
        default=2048, metadata={"label": "largest width trained at the unscaled rate"}
    )
    samples: int = field(default=64, metadata={"label": "samples"})
    rate: float = 1e-3
    seed: int = 0


PROFILES = {
    "quick": Config(dataset="digits", widths=(2, 16), depths=(2, 4), times=(0, 3), samples=8),
    "cpu": Config(unscaled_width=512),
    "full": Config(),
}


def compare(config: Config, scaling: str, width: int, depth: int) -> dict[str, Any]:
    """Cosines at the chosen iterations (nan where not trained so far) and the excess of S at each."""
    name = config.dataset if config.dataset in available_datasets() else "digits"
    data = load_dataset(name, limit=config.samples)
    rng = np.random.default_rng([config.seed, width, depth])
    widths = [data.x.shape[1], *[width] * (depth - 1), data.y.shape[1]]
    net = single(LinearPCN.random(widths, parameterisation="mupc", skips=True, rng=rng))
    cosines: dict[int, float] = {}
    excess: dict[int, float] = {}

    def observe(t: int, state: LinearPCN, batch: Data) -> None:
        if t in config.times:
            cosines[t] = cosine(pc_gradient(state, batch)[1], bp_gradient(state, batch)[1])
            excess[t] = float(np.trace(rescaling(state))) / widths[-1] - 1

    largest = config.trained_width if scaling == "table" else config.unscaled_width
    steps = max(config.times) if width <= largest else 0
    factor = learning_rate_scale(widths, "mupc", "adam", skips=True) if scaling == "table" else 1.0
    train(net, lambda t: data, pc_gradient, Adam(config.rate * factor), steps, observe)
    nan = float("nan")
    law = float(np.trace(expected_rescaling([1, *widths[1:-1], 1], "mupc", skips=True))) - 1
    return {
        "cosine": [cosines.get(t, nan) for t in config.times],
        "excess": [excess.get(t, nan) for t in config.times],
        "law": law,
        "dataset": name,
    }


def run(config: Config, progress: Progress) -> dict[str, Any]:
    """Cosines and excesses (widths, depths, iterations) by scaling of the rate; the law (widths, depths)."""
    cells = [
        {"scaling": s, "width": n, "depth": d} for s in SCALINGS for n in config.widths for d in config.depths
    ]
    found = progress.cells(compare, cells)
    shape = (len(config.widths), len(config.depths))
    half = len(found) // 2
    return {
        "widths": np.array(config.widths),
        "depths": np.array(config.depths),
        "times": np.array(config.times),
        "dataset": found[0]["dataset"],
        "law": np.array([f["law"] for f in found[:half]]).reshape(shape),
        **{
            s: {k: np.array([f[k] for f in part]).reshape(*shape, -1) for k in ("cosine", "excess")}
            for s, part in zip(SCALINGS, (found[:half], found[half:]), strict=True)
        },
    }
