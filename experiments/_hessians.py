"""What the experiments on spectra at saddles share: settings, comparison of Hessians, networks by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from experiments._progress import Progress
from experiments._saddles import energy_after_inference, loss, measured_hessian
from pctheory import Data


@dataclass(frozen=True)
class HessianSettings:
    """Published batch and inference; a network is named "data set H:n", H hidden layers of n units."""

    networks: tuple[str, ...] = ()
    batch_size: int = 64
    num_steps: int = field(default=50, metadata={"label": "inference steps T"})
    step: float = field(default=0.1, metadata={"label": "dt"})
    seed: int = 0


def measured(
    config: HessianSettings, weights: Sequence[np.ndarray], data: Data, exact: np.ndarray
) -> dict[str, Any]:
    """Measured spectra of L and F; largest difference of F's Hessian from F*'s over its largest entry."""
    energy = measured_hessian(
        energy_after_inference, weights, data, num_steps=config.num_steps, step=config.step
    )
    return {
        "loss": np.linalg.eigvalsh(measured_hessian(loss, weights, data)),
        "energy": np.linalg.eigvalsh(energy),
        "largest_difference": np.abs(energy - exact).max() / np.abs(exact).max(),
    }


def over_networks(
    config: HessianSettings, progress: Progress, spectra: Callable[..., Mapping[str, Any]]
) -> dict[str, Any]:
    """`spectra(config, dataset, hidden, width)` of all networks, by name."""
    cells = []
    for name in config.networks:
        dataset, _, shape = name.partition(" ")
        hidden, width = map(int, shape.split(":"))
        cells.append({"dataset": dataset, "hidden": hidden, "width": width})
    results = progress.cells(spectra, cells)
    return {"networks": {name: dict(r) for name, r in zip(config.networks, results, strict=True)}}
