r"""Do rich networks stay close to backpropagation?

Innocenti et al. 2026 (arXiv:2602.07697), figures A.3 and A.22: the toy problem of the limits at one large
width, with the output divided by gamma and the learning rate multiplied by its square. At initialisation s -
1 falls as the inverse square of gamma; what does training do to it, and does the mean field of infinite width
predict it? Claims ``rich-drift``, ``mean-field-training``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from experiments._limits_toy import toy_cell, toy_mean_field
from experiments._progress import Progress
from pctheory import expected_rescaling


@dataclass(frozen=True)
class Config:
    """The published settings."""

    width: int = field(default=2048, metadata={"label": "width N"})
    gammas: tuple[float, ...] = field(default=(0.1, 0.5, 1.0, 2.0, 3.0, 4.0), metadata={"label": "gamma"})
    hidden: int = field(default=4, metadata={"label": "hidden layers H"})
    inputs: int = 40
    samples: int = 20
    rate: float = 0.025
    steps: int = field(default=100, metadata={"label": "iterations"})
    seeds: int = field(default=3, metadata={"label": "seeds"})
    seed: int = 0


PROFILES = {
    "quick": Config(width=32, gammas=(0.5, 2.0), hidden=2, inputs=6, samples=4, steps=20, seeds=2),
    "cpu": Config(width=512),
    "full": Config(),
}


def cell(config: Config, gamma: float, seed: int) -> dict[str, Any]:
    """One run of predictive coding."""
    options = {"parameterisation": "mupc", "skips": True, "gamma": gamma}
    rng = np.random.default_rng([config.seed, seed])
    return toy_cell(config, config.width, config.hidden, rng, options)


def mean_field(config: Config, gamma: float) -> dict[str, Any]:
    """Loss of the infinitely wide network, and s - 1 to first order in 1/N."""
    field = toy_mean_field(config, skips=True, gamma=gamma)
    return {"loss": field["loss"], "excess": field["excess"] / config.width}


def run(config: Config, progress: Progress) -> dict[str, Any]:
    """Curves (gammas, seeds, iterations), and those of the mean field (gammas, iterations)."""
    cells = [{"gamma": g, "seed": s} for g in config.gammas for s in range(config.seeds)]
    found = progress.cells(cell, cells)
    fields = progress.cells(mean_field, [{"gamma": g} for g in config.gammas])
    shape = (len(config.gammas), config.seeds, -1)
    widths = [config.inputs, *[config.width] * config.hidden, 1]
    laws = [expected_rescaling(widths, "mupc", skips=True, gamma=g)[0, 0] - 1 for g in config.gammas]
    return {
        "gammas": np.array(config.gammas),
        "steps": np.arange(config.steps + 1),
        "law": np.array(laws),
        "mean field": {k: np.array([f[k] for f in fields]) for k in ("loss", "excess")},
        **{
            k: np.array([f[k] for f in found]).reshape(shape)
            for k in ("loss", "energy", "excess", "rescaled", "extra", "cosine")
        },
    }
