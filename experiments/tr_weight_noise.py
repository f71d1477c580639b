r"""Does predictive coding end in minima that stand weight noise better?

The toy f = w_2 w_1 x, y = -x, x ~ N(1, .1^2). Gradient descent on the loss (BP) and on the equilibrated
energy (PC) to a minimum, from the published start and from random starts; then the mean of each objective
over Gaussian weight noise of growing standard deviation, at both minima, against the line of the Hessian
there, sigma^2 tr(Hess) / 2. Innocenti et al. 2023 (arXiv:2305.18188), Figure 6. Claim ``flat-minima``.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from experiments._progress import Progress
from experiments._toy import OBJECTIVES, PUBLISHED_START, chain, descent, gradient_rule
from pctheory import Data


@dataclass(frozen=True)
class Config:
    """Published settings."""

    start: tuple[float, ...] = PUBLISHED_START
    deviations: tuple[float, ...] = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5)
    draws: int = field(default=4000, metadata={"label": "noise draws"})
    learning_rate: float = 0.2
    steps: int = 300
    batch_size: int = 64
    starts: int = 100
    extent: float = 2.0
    seed: int = 0


PROFILES = {"quick": Config(draws=60, starts=2, steps=250), "cpu": Config(), "full": Config()}


def run(config: Config, progress: Progress) -> dict[str, Any]:
    """Noise curves at the published minima, and flatness over random starts."""
    data = Data.toy(config.batch_size, rng=np.random.default_rng([config.seed, 0]))
    rng = np.random.default_rng([config.seed, 3])
    result: dict[str, Any] = {"deviations": list(config.deviations)}
    for rule in OBJECTIVES:
        end = _minimum(rule, config.start, config)
        curves: dict[str, Any] = {"weights": end, "mean": {}, "error": {}, "curvature": {}}
        for measured, kind in OBJECTIVES.items():
            objective = kind(data)
            curves["curvature"][measured] = float(np.trace(objective.hessian(chain(end))))
            values = [
                _noisy(measured, data, end, sigma, config.draws, rng)
                for sigma in progress.track(config.deviations, f"{measured} at {rule}")
            ]
            curves["mean"][measured] = [float(np.mean(v)) for v in values]
            curves["error"][measured] = [float(np.std(v) / np.sqrt(len(v))) for v in values]
        result[rule] = curves
    starts = np.random.default_rng([config.seed, 2]).uniform(
        -config.extent, config.extent, (config.starts, 2)
    )
    traces: dict[str, list[float]] = {"loss at bp": [], "loss at pc": [], "energy at pc": []}
    for start in progress.track(starts, "random starts"):
        ends = {rule: _minimum(rule, tuple(start), config) for rule in OBJECTIVES}
        traces["loss at bp"].append(_trace("bp", data, ends["bp"]))
        traces["loss at pc"].append(_trace("bp", data, ends["pc"]))
        traces["energy at pc"].append(_trace("pc", data, ends["pc"]))
    result["traces"] = traces
    return result


def _minimum(rule: str, start: tuple[float, ...], config: Config) -> np.ndarray:
    path, _ = descent(
        gradient_rule(rule), start, config.learning_rate, config.steps, config.batch_size,
        np.random.default_rng([config.seed, 1]),
    )  # fmt: skip
    return path[-1]


def _trace(rule: str, data: Data, weights: np.ndarray) -> float:
    return float(np.trace(OBJECTIVES[rule](data).hessian(chain(weights))))


def _noisy(
    rule: str, data: Data, weights: np.ndarray, sigma: float, draws: int, rng: np.random.Generator
) -> np.ndarray:
    objective = OBJECTIVES[rule](data)
    noise = sigma * rng.standard_normal((draws, 2))
    return np.array([float(objective.value(chain(weights + shift))) for shift in noise])
