r"""Does muPC keep up with backpropagation once the activity step lets the error reach every layer?

The networks and the training of ``mupc_depth`` with an activity learning rate `batch_size` times larger, which on each sample
is the step .5 that the published number reads as when it is not divided by the batch. Everything else is equal, so that the
difference is the reach of the error. Claim ``error-reach``.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from experiments import mupc_depth
from experiments._progress import Progress
from experiments.mupc_depth import trial


@dataclass(frozen=True)
class Config(mupc_depth.Config):
    """The settings of ``mupc_depth`` but for the activity learning rate, 64 x 0.5."""

    activity_lr: float = 32.0


PROFILES = {
    "quick": Config(
        dataset="digits", depths=(6,), width=16, batch_size=32, iterations=40, every=20, test_images=100, activity_lr=16.0, seeds=1
    ),
    "cpu": Config(depths=(8, 16, 30), width=128, every=100, test_images=2000, seeds=1),
    "full": Config(),
}  # fmt: skip


def run(config: Config, progress: Progress) -> dict[str, Any]:
    """All depths and seeds, muPC alone."""
    cells = [{"hidden": h, "method": "mupc", "seed": s} for h in config.depths for s in range(config.seeds)]
    results = progress.cells(trial, cells)
    return {
        **{
            key: {
                h: np.array([r[key] for c, r in zip(cells, results, strict=True) if c["hidden"] == h])
                for h in config.depths
            }
            for key in ("accuracy", "final", "change", "seconds")
        },
        "steps": np.arange(0, config.iterations + 1, config.every),
        "dataset": results[0]["dataset"],
    }
