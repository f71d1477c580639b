r"""What becomes of muPC if the published learning rate is read as a base rate, to be scaled with width and
depth?

The networks and the training of ``mupc_depth`` with Depth-muP's own rates of Adam: those of the hidden layers
are multiplied by (N L)^-1/2, under which they learn at a rate that neither width nor depth changes; the first
and the last layer, whose multiplier is 1/N, keep the rate as it is.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from experiments import mupc_depth
from experiments._progress import Progress
from experiments.mupc_depth import trial


@dataclass(frozen=True)
class Config(mupc_depth.Config):
    """The settings of ``mupc_depth`` but for the scaling of the learning rate."""

    learning_rate_scaling: str = "table"


PROFILES = {
    "quick": Config(
        dataset="digits",
        depths=(6,),
        width=16,
        batch_size=32,
        iterations=40,
        every=20,
        test_images=100,
        seeds=1,
    ),
    "cpu": Config(depths=(8, 16, 30), width=128, every=100, test_images=2000, seeds=1),
    "full": Config(),
}


def run(config: Config, progress: Progress) -> dict[str, Any]:
    """All depths and seeds: muPC, and of backpropagation the final accuracy."""
    cells = [
        {"hidden": h, "method": m, "seed": s}
        for h in config.depths
        for m in ("mupc", "bp")
        for s in range(config.seeds)
    ]
    results = progress.cells(trial, cells)

    def found(method: str, key: str) -> dict[int, Any]:
        pairs = list(zip(cells, results, strict=True))
        return {
            h: np.array([r[key] for c, r in pairs if (c["hidden"], c["method"]) == (h, method)])
            for h in config.depths
        }

    return {
        **{key: found("mupc", key) for key in ("accuracy", "final", "change", "seconds")},
        "final_bp": found("bp", "final"),
        "steps": np.arange(0, config.iterations + 1, config.every),
        "dataset": results[0]["dataset"],
    }
