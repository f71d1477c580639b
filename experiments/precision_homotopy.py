r"""How long does a chain of small weights need to learn when its precision may follow its state?

Chains descend from weights d by gradient flow on the loss, and on the energy with hidden precision 1, with
the best constant one, and with the one that keeps the rescaling at 2. Random schedules try to be faster.
Claim ``precision-homotopy``.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from experiments._progress import Progress
from pctheory.dynamics import (
    KeepRescaling,
    best_precision,
    chain_flow,
    escape_time,
    fastest_time,
    homotopy_flow,
    homotopy_time,
)

RULES = ("bp", "unit", "best", "kept")
SHOWN = 5
"""The depth of the path that is shown."""


@dataclass(frozen=True)
class Config:
    """New experiment: its own settings."""

    depths: tuple[int, ...] = (4, 5, 6)
    exponents: tuple[int, ...] = (2, 4, 8, 16, 32, 64)
    rescalings: tuple[float, ...] = (1.1, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 6.0, 10.0)
    schedules: int = 60
    exponent: int = 16
    seed: int = 0


PROFILES = {
    "quick": Config(depths=(4,), exponents=(4, 8), rescalings=(1.5, 2.0, 4.0), schedules=4, exponent=6),
    "cpu": Config(),
    "full": Config(),
}


def times(config: Config, depth: int, exponent: int) -> dict[str, Any]:
    """Measured and predicted time of each rule; the loss's measured one only where a float holds it."""
    widths, scale = (1,) * (depth + 1), 10.0**-exponent
    best = best_precision(widths, scale)
    measured = {
        "bp": chain_flow(widths, scale, objective="loss").escape_time,
        "unit": chain_flow(widths, scale).escape_time,
        "best": chain_flow(widths, scale, best).escape_time,
        "kept": homotopy_flow(widths, scale).escape_time,
    }
    predicted = {
        "bp": escape_time(widths, scale, objective="loss"),
        "unit": escape_time(widths, scale),
        "best": escape_time(widths, scale, best),
        "kept": homotopy_time(widths, scale),
    }
    return {"measured": [measured[r] for r in RULES], "predicted": [predicted[r] for r in RULES]}


def rescaled(config: Config, depth: int, rescaling: float) -> dict[str, Any]:
    """Time of the rule that keeps another rescaling, in units of the bound."""
    widths, scale, rule = (1,) * (depth + 1), 10.0**-config.exponent, KeepRescaling(rescaling)
    bound = fastest_time(widths, scale)
    return {
        "measured": homotopy_flow(widths, scale, rule).escape_time / bound,
        "predicted": homotopy_time(widths, scale, rule) / bound,
    }


class _Schedule:
    """A piecewise constant precision over the progress of the product, or a jumping multiple of the kept
    one.
    """

    def __init__(self, config: Config, depth: int, number: int) -> None:
        rng = np.random.default_rng([config.seed, depth, number])
        self.whole = depth * config.exponent * math.log(10)
        self.edges = np.sort(rng.uniform(0, 1, 5))
        self.follows = bool(number % 2)
        self.values = np.exp(rng.uniform(-2, 2, 6) if self.follows else rng.uniform(-8, 12, 6))
        self.kept = KeepRescaling(1 + float(np.exp(rng.uniform(-1, 1))))

    def __call__(self, logs: np.ndarray) -> float:
        part = np.clip(1 + logs.sum() / self.whole, 0, 1)
        value = float(self.values[np.searchsorted(self.edges, part)])
        return value * self.kept(logs) if self.follows else value


def scheduled(config: Config, depth: int, number: int) -> dict[str, Any]:
    """Time of a random schedule, in units of the time at S = 2."""
    widths, scale = (1,) * (depth + 1), 10.0**-config.exponent
    kept = homotopy_flow(widths, scale).escape_time
    flow = homotopy_flow(widths, scale, _Schedule(config, depth, number), rtol=1e-7)
    return {"ratio": flow.escape_time / kept}


def path(config: Config) -> dict[str, Any]:
    """The weights and the precision along the flow at S = 2."""
    depth = min(SHOWN, max(config.depths))
    flow = homotopy_flow((1,) * (depth + 1), 10.0**-config.exponent)
    return {"times": flow.times, "squares": np.exp(2 * flow.log_weights), "precisions": flow.precisions}


def run(config: Config, progress: Progress) -> dict[str, Any]:
    """Times (rule, exponent) by depth; factors (depth, rescaling); ratios (depth, schedule); one path."""
    cells = [{"depth": d, "exponent": e} for d in config.depths for e in config.exponents]
    found = progress.cells(times, cells)
    kept = progress.cells(
        rescaled, [{"depth": d, "rescaling": s} for d in config.depths for s in config.rescalings]
    )
    tried = progress.cells(
        scheduled, [{"depth": d, "number": n} for d in config.depths for n in range(config.schedules)]
    )
    result: dict[str, Any] = {
        "depths": np.array(config.depths),
        "logs": np.array(config.exponents) * math.log(10),
        "rescalings": np.array(config.rescalings),
        "path": path(config),
        "schedules": np.array([t["ratio"] for t in tried]).reshape(len(config.depths), config.schedules),
    }
    for d in config.depths:
        own = [f for c, f in zip(cells, found, strict=True) if c["depth"] == d]
        result[f"L = {d}"] = {key: np.array([f[key] for f in own]).T for key in ("measured", "predicted")}
    for key in ("measured", "predicted"):
        result[f"kept {key}"] = np.array([k[key] for k in kept]).reshape(len(config.depths), -1)
    return result
