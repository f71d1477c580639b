r"""Does predictive coding become backpropagation as the width grows, also during training?

Innocenti et al. 2026 (arXiv:2602.07697), figures 2 and A.17-19: 40 Gaussian inputs, 20 samples with labels +1
and -1, four hidden layers, gradient descent with base rate .025 (times N for Depth-muP), 100 iterations;
Depth-muP with and without skips and the standard parameterisation; beside Depth-muP the mean field of its
infinitely wide network. Claims: limit-to-backprop, scalar-gradient-split, mean-field-training.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from experiments._limits_toy import toy_cell, toy_mean_field
from experiments._progress import Progress
from pctheory import expected_rescaling

CASES: dict[str, dict[str, Any]] = {
    "mupc + skips": {"parameterisation": "mupc", "skips": True},
    "mupc": {"parameterisation": "mupc"},
    "sp": {"init": "torch"},
}


@dataclass(frozen=True)
class Config:
    """The published settings."""

    widths: tuple[int, ...] = field(default=(8, 32, 128, 512, 2048), metadata={"label": "widths N"})
    hidden: int = field(default=4, metadata={"label": "hidden layers H"})
    inputs: int = 40
    samples: int = 20
    rate: float = 0.025
    steps: int = field(default=100, metadata={"label": "iterations"})
    seeds: int = field(default=3, metadata={"label": "seeds"})
    seed: int = 0


PROFILES = {
    "quick": Config(widths=(8, 32), hidden=2, inputs=6, samples=4, steps=5, seeds=2),
    "cpu": Config(widths=(8, 32, 128, 512)),
    "full": Config(),
}


def cell(config: Config, case: str, width: int, seed: int, rule: str) -> dict[str, Any]:
    """One run."""
    rng = np.random.default_rng([config.seed, width, seed])  # both rules start from the same weights
    return toy_cell(config, width, config.hidden, rng, CASES[case], rule, details=rule == "pc")


def mean_field(config: Config, case: str) -> dict[str, Any]:
    """Loss and N (s - 1) of the infinitely wide network; sp has no such limit at a fixed learning rate."""
    if CASES[case].get("parameterisation") != "mupc":
        return {k: np.full(config.steps + 1, np.nan) for k in ("loss", "excess")}
    return toy_mean_field(config, skips=CASES[case].get("skips", False))


def run(config: Config, progress: Progress) -> dict[str, Any]:
    """Curves (seeds, iterations) by case, width and rule; the law of s - 1; the mean field."""
    cells = [
        {"case": case, "width": n, "seed": s, "rule": rule}
        for case in CASES
        for n in config.widths
        for s in range(config.seeds)
        for rule in ("pc", "bp")
    ]
    found = progress.cells(cell, cells)
    fields = progress.cells(mean_field, [{"case": case} for case in CASES])
    result: dict[str, Any] = {"widths": np.array(config.widths), "steps": np.arange(config.steps + 1)}
    for (case, options), field_of in zip(CASES.items(), fields, strict=True):
        name = options.get("parameterisation", "sp")
        rest = {k: v for k, v in options.items() if k != "parameterisation"}
        result[case] = {
            "mean field": field_of,
            "law": np.array(
                [
                    expected_rescaling([config.inputs, *[n] * config.hidden, 1], name, **rest)[0, 0] - 1
                    for n in config.widths
                ]
            ),
        }
        for n in config.widths:
            runs = {
                rule: [
                    f
                    for c, f in zip(cells, found, strict=True)
                    if (c["case"], c["width"], c["rule"]) == (case, n, rule)
                ]
                for rule in ("pc", "bp")
            }
            result[case][str(n)] = {
                **{
                    k: np.array([r[k] for r in runs["pc"]])
                    for k in ("loss", "energy", "excess", "rescaled", "extra", "cosine")
                },
                "bp loss": np.array([r["loss"] for r in runs["bp"]]),
            }
    return result
