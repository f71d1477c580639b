r"""Does the forward pass of a deep network keep its size, at initialisation and after the first steps of
training?

Innocenti et al. 2025 (arXiv:2505.13124), figure A.29: root mean square of layers 1, L/4, L/2, 3L/4 and L - 1
against depth 16..512, N = 128, at initialisation and after 1 and 2 steps of SGD and Adam on the loss, linear
/ tanh / ReLU. Claim: forward-stability (linear networks at initialisation).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from experiments._progress import Progress
from pctheory.limits import forward_rms
from pctheory.model import initial_weights, learning_rate_scale, multipliers, skip_pattern

CASES: dict[str, dict[str, Any]] = {
    "mupc + skips": {"name": "mupc", "skips": True, "init": None},
    "sp + skips": {"name": "sp", "skips": True, "init": "torch"},
    "sp": {"name": "sp", "skips": False, "init": "torch"},
    "orthogonal": {"name": "sp", "skips": False, "init": "orthogonal"},
}
ACTIVATIONS = {"linear": lambda z: z, "tanh": torch.tanh, "relu": torch.relu}
PLACES = ("1", "L/4", "L/2", "3L/4", "L-1")


@dataclass(frozen=True)
class Config:
    """The published settings."""

    width: int = field(default=128, metadata={"label": "width N"})
    depths: tuple[int, ...] = field(default=(16, 32, 64, 128, 256, 512), metadata={"label": "depths"})
    steps: int = field(default=2, metadata={"label": "steps"})
    batch: int = field(default=64, metadata={"label": "batch"})
    sgd_rate: float = 0.1
    adam_rate: float = 0.01
    seed: int = 0


PROFILES = {
    "quick": Config(width=8, depths=(4, 8), steps=1, batch=4),
    "cpu": Config(),
    "full": Config(),
}


def sizes(config: Config, case: str, activation: str, depth: int) -> dict[str, Any]:
    """Root mean squares (1 + steps, places) for both optimisers."""
    options = CASES[case]
    widths = [config.width] * depth + [1]
    pattern = skip_pattern(widths, options["skips"])
    factors = multipliers(widths, options["name"], skips=pattern)
    phi = ACTIVATIONS[activation]
    rng = np.random.default_rng([config.seed, depth])
    start = initial_weights(widths, options["name"], init=options["init"], rng=rng)
    x = torch.from_numpy(rng.standard_normal((config.batch, config.width)))
    y = torch.from_numpy(rng.standard_normal((config.batch, 1)))
    places = [1, max(depth // 4, 1), depth // 2, 3 * depth // 4, depth - 1]

    def forward(weights: list[torch.Tensor]) -> list[torch.Tensor]:
        z = [x]
        for l, (w, a, skip) in enumerate(zip(weights, factors, pattern, strict=True)):
            pre = z[-1] if l == 0 else phi(z[-1])
            z.append(a * pre @ w.T + (z[-1] if skip else 0.0))
        return z

    result = {}
    for optimiser in ("sgd", "adam"):
        base = config.sgd_rate if optimiser == "sgd" else config.adam_rate
        rate = base * learning_rate_scale(widths, options["name"], optimiser, skips=pattern)
        weights = [torch.tensor(np.array(w), requires_grad=True) for w in start]
        make = torch.optim.SGD if optimiser == "sgd" else torch.optim.Adam
        stepper = make(weights, lr=rate)
        rows = []
        for step in range(config.steps + 1):
            z = forward(weights)
            rows.append([float(torch.sqrt(torch.mean(z[p].detach() ** 2))) for p in places])
            if step == config.steps:
                break
            value = 0.5 * torch.mean((y - z[-1]) ** 2)
            if not bool(torch.isfinite(value)):
                rows += [[np.inf] * len(places)] * (config.steps - step)
                break
            stepper.zero_grad()
            value.backward()
            stepper.step()
        result[optimiser] = np.array(rows)
    return result


def run(config: Config, progress: Progress) -> dict[str, Any]:
    """Sizes (depths, 1 + steps, places) by case, activation, optimiser; the law for linear networks."""
    cells = [
        {"case": case, "activation": phi, "depth": depth}
        for case in CASES
        for phi in ACTIVATIONS
        for depth in config.depths
    ]
    found = progress.cells(sizes, cells)
    result: dict[str, Any] = {"depths": np.array(config.depths), "places": np.array(PLACES)}
    for case, options in CASES.items():
        result[case] = {
            phi: {
                optimiser: np.array(
                    [
                        f[optimiser]
                        for c, f in zip(cells, found, strict=True)
                        if c["case"] == case and c["activation"] == phi
                    ]
                )
                for optimiser in ("sgd", "adam")
            }
            for phi in ACTIVATIONS
        }
        result[case]["law"] = np.array(
            [
                forward_rms(
                    [config.width] * depth + [1],
                    options["name"],
                    skips=options["skips"],
                    init=options["init"],
                )[-2]
                for depth in config.depths
            ]
        )
    return result
