r"""How ill-conditioned is inference at initialisation, as a function of width and depth?

Innocenti et al. 2025 (arXiv:2505.13124), toy settings: linear networks, kappa of the Hessian H of inference
in the activities for the standard parameterisation without and with skips (torch's default variance), for
Depth-muP with skips and for orthogonal weights. The extreme eigenvalues come from structured sweeps, never
from a dense H. The condition number in the coordinates of the errors, lambda_max(S), is stored beside.
Claims: conditioning, chain-spectrum.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from experiments._progress import Progress
from pctheory import LinearPCN, condition_number

CASES: dict[str, dict[str, Any]] = {
    "sp": {"init": "torch"},
    "sp + skips": {"init": "torch", "skips": True},
    "mupc + skips": {"parameterisation": "mupc", "skips": True},
    "orthogonal": {"init": "orthogonal"},
}


@dataclass(frozen=True)
class Config:
    """Published widths and depths: 2 to 128 by powers of two."""

    widths: tuple[int, ...] = field(default=(2, 4, 8, 16, 32, 64, 128), metadata={"label": "widths N"})
    hidden: tuple[int, ...] = field(default=(2, 4, 8, 16, 32, 64, 128), metadata={"label": "hidden layers H"})
    outputs: int = field(default=10, metadata={"label": "outputs"})
    seeds: int = field(default=3, metadata={"label": "seeds"})
    seed: int = 0


PROFILES = {
    "quick": Config(widths=(4, 16), hidden=(2, 8), seeds=2),
    "cpu": Config(),
    "full": Config(),
}


def cell(config: Config, width: int, seed: int) -> dict[str, Any]:
    """All depths and cases of one width and seed."""
    activities: dict[str, list[float]] = {case: [] for case in CASES}
    errors: dict[str, list[float]] = {case: [] for case in CASES}
    for num_hidden in config.hidden:
        for index, (case, options) in enumerate(CASES.items()):
            rng = np.random.default_rng([config.seed, width, num_hidden, seed, index])
            outputs = min(
                config.outputs, max(width // 2, 1)
            )  # narrower than the layers, as in the published nets
            net = LinearPCN.random([width] * (num_hidden + 1) + [outputs], rng=rng, **options)
            activities[case].append(condition_number(net))
            errors[case].append(condition_number(net, "errors"))
    return {"activities": activities, "errors": errors}


def run(config: Config, progress: Progress) -> dict[str, Any]:
    """Condition numbers (seeds, widths, depths) of every case in both coordinates."""
    cells = [{"width": w, "seed": s} for s in range(config.seeds) for w in config.widths]
    found = progress.cells(cell, cells)
    shape = (config.seeds, len(config.widths), len(config.hidden))
    return {
        "widths": np.array(config.widths),
        "hidden": np.array(config.hidden),
        **{
            kind: {case: np.array([f[kind][case] for f in found]).reshape(shape) for case in CASES}
            for kind in ("activities", "errors")
        },
    }
