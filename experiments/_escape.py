"""What the experiments on leaving saddles share: settings, recorded iterations, runs by network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class EscapeSettings:
    """Networks of equal hidden layers, SGD, and Euler steps of inference.

    An experiment adds its data and its defaults.
    """

    activations: tuple[str, ...] = ("linear", "tanh", "relu")
    hidden_layers: int = 4
    width: int = field(default=500, metadata={"label": "width N"})
    init: float = field(default=5e-3, metadata={"label": "standard deviation of the initial weights"})
    learning_rate: float = 1e-3
    inference_steps: int = 50
    inference_dt: float = 0.1
    bp_iterations: int = field(default=50_000, metadata={"label": "iterations of BP"})
    pc_iterations: int = field(default=5000, metadata={"label": "iterations of PC"})
    points: int = 100
    seeds: int = 3
    seed: int = 0

    def widths(self, inputs: int, outputs: int) -> tuple[int, ...]:
        """Widths of all layers."""
        return (inputs, *[self.width] * self.hidden_layers, outputs)


def recorded(total: int, points: int) -> np.ndarray:
    """The iterations to record: 0 and at most `points` from 1 to `total`, spread over their logarithm."""
    return np.unique(np.concatenate([[0], np.geomspace(1, total, points).round().astype(int)]))


def over_seeds(
    cells: Sequence[Mapping[str, Any]], results: Sequence[Mapping[str, Any]], by: Sequence[str]
) -> dict[str, Any]:
    """Results nested by the cells' values of `by`, arrays stacked over the seeds; all share "step"."""
    if not by:
        return stacked(results)
    first, *rest = by
    found: dict[str, Any] = {}
    for name in dict.fromkeys(cell[first] for cell in cells):
        own = [(c, r) for c, r in zip(cells, results, strict=True) if c[first] == name]
        found[name] = over_seeds([c for c, _ in own], [r for _, r in own], rest)
    return found


def stacked(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Runs with the same entries as one, their arrays stacked; mappings are gone into."""
    return {
        key: value
        if key == "step"
        else stacked([run[key] for run in runs])
        if isinstance(value, Mapping)
        else np.array([run[key] for run in runs])
        for key, value in runs[0].items()
    }
