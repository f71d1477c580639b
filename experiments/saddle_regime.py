r"""Where networks are narrow and deep, does predictive coding leave the saddle sooner, and what does it fit?

Innocenti et al. 2026 (arXiv:2602.07697), figures A.4 and A.23: the toy problem of the limits for N = 1, 4, 8
and H = 1, 3, 5, 7, 1000 iterations, loss and energy; and the same from weights of standard deviation .01, .1,
.3 in the standard parameterisation: the advantage of small initialisations reverses. Claim:
init-scale-reversal.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from experiments._limits_toy import toy_data, toy_run
from experiments._progress import Progress


@dataclass(frozen=True)
class Config:
    """The published widths, depths and iterations; the standard deviations are ours."""

    widths: tuple[int, ...] = field(default=(1, 4, 8), metadata={"label": "widths N"})
    hidden: tuple[int, ...] = field(default=(1, 3, 5, 7), metadata={"label": "hidden layers H"})
    sigmas: tuple[float, ...] = field(default=(0.01, 0.03, 0.1, 0.2, 0.3), metadata={"label": "sigma"})
    sigma_width: int = field(default=8, metadata={"label": "width of the runs from sigma"})
    sigma_hidden: tuple[int, ...] = (1, 2)
    inputs: int = 40
    samples: int = 20
    rate: float = 0.025
    steps: int = field(default=1000, metadata={"label": "iterations"})
    seeds: int = field(default=5, metadata={"label": "seeds"})
    seed: int = 0


PROFILES = {
    "quick": Config(
        widths=(2,), hidden=(1, 2), sigmas=(0.1, 0.3), sigma_width=4, inputs=4, samples=4, steps=20, seeds=2
    ),
    "cpu": Config(),
    "full": Config(),
}


def cell(config: Config, width: int, hidden: int, sigma: float, rule: str, seed: int) -> dict[str, Any]:
    """One run, every tenth iteration kept.

    sigma = 0 means Depth-muP without skips and its own initialisation.
    """
    data = toy_data(config.inputs, config.samples, config.seed)
    widths = [config.inputs, *[width] * hidden, 1]
    options: dict[str, Any] = {"init": sigma} if sigma else {"parameterisation": "mupc"}
    rng = np.random.default_rng([config.seed, width, hidden, seed])
    curves = toy_run(data, widths, options, rule, config.rate, config.steps, rng, precise=True, details=False)
    thin = max(config.steps // 100, 1)
    half = curves["loss"] <= 0.25 * float(
        np.mean(data.y**2)
    )  # half of the loss of the network of zero weights
    return {
        "loss": curves["loss"][::thin],
        "energy": curves["energy"][::thin],
        "half": float(np.argmax(half)) if half.any() else float("inf"),
    }


def run(config: Config, progress: Progress) -> dict[str, Any]:
    """Curves (seeds, iterations) by width, depth and rule; and by depth, sigma and rule."""
    plain = [(n, h, 0.0) for n in config.widths for h in config.hidden]
    scaled = [(config.sigma_width, h, s) for h in config.sigma_hidden for s in config.sigmas]
    cells = [
        {"width": n, "hidden": h, "sigma": s, "rule": rule, "seed": seed}
        for n, h, s in (*plain, *scaled)
        for rule in ("pc", "bp")
        for seed in range(config.seeds)
    ]
    found = progress.cells(cell, cells)
    table: dict[tuple[int, int, float], dict[str, list[Any]]] = {}
    for c, f in zip(cells, found, strict=True):
        table.setdefault((c["width"], c["hidden"], c["sigma"]), {}).setdefault(c["rule"], []).append(f)  # type: ignore[arg-type]
    thin = max(config.steps // 100, 1)
    result: dict[str, Any] = {
        "steps": np.arange(0, config.steps + 1, thin),
        "widths": np.array(config.widths),
        "hidden": np.array(config.hidden),
        "sigmas": np.array(config.sigmas),
        "sigma hidden": np.array(config.sigma_hidden),
    }
    for (n, h, s), rules in table.items():
        key = f"sigma/{h}/{s:g}" if s else f"{n}/{h}"
        result[key] = {
            rule: {k: np.array([f[k] for f in fs]) for k in ("loss", "energy", "half")}
            for rule, fs in rules.items()
        }
    return result
