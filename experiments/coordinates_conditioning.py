r"""What does inference cost in the activities, and what in the coordinates of the errors?

Solvers of inference on equal work (gradients of the batch) for residual Depth-muP networks at initialisation:
descent, heavy ball, Heun, Adam, conjugate gradients in the activities, descent and conjugate gradients in the
errors, and the closed form. Claims: coordinates-resolve-tradeoff, error-coordinates, inference-rate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from experiments._progress import Progress
from pctheory import Data, LinearPCN, condition_number, expected_rescaling, solve_inference
from pctheory.inference import SOLVERS


@dataclass(frozen=True)
class Config:
    """Width, depths, and the work that iterative solvers may spend."""

    width: int = field(default=128, metadata={"label": "width N"})
    hidden: tuple[int, ...] = field(default=(8, 32, 128), metadata={"label": "hidden layers H"})
    kappa_hidden: tuple[int, ...] = (2, 4, 8, 16, 32, 64, 128)
    inputs: int = 32
    outputs: int = 4
    batch: int = field(default=16, metadata={"label": "batch"})
    max_products: int = field(default=100_000, metadata={"label": "largest work"})
    adam_rates: tuple[float, ...] = (0.1, 0.03, 0.01, 0.003)
    fraction: float = 1e-6
    seed: int = 0


PROFILES = {
    "quick": Config(
        width=12, hidden=(3, 6), kappa_hidden=(2, 4), inputs=4, outputs=2, batch=3, max_products=2000
    ),
    "cpu": Config(width=64, batch=4, max_products=3000, adam_rates=(0.1, 0.03, 0.01)),
    "full": Config(),
}


def network(config: Config, num_hidden: int) -> tuple[LinearPCN, Data]:
    """One residual Depth-muP network and a batch."""
    rng = np.random.default_rng([config.seed, num_hidden])
    widths = [config.inputs, *[config.width] * num_hidden, config.outputs]
    net = LinearPCN.random(widths, parameterisation="mupc", skips=True, rng=rng)
    shape = (config.batch, config.inputs), (config.batch, config.outputs)
    return net, Data(rng.standard_normal(shape[0]), rng.standard_normal(shape[1]))


def compare(config: Config, num_hidden: int, method: str) -> dict[str, Any]:
    """The trace of one solver, thinned, and its work to the target."""
    net, data = network(config, num_hidden)
    rates: tuple[float | None, ...] = config.adam_rates if method == "adam" else (None,)
    traces = [
        solve_inference(
            net, data, method, max_products=config.max_products, tolerance=config.fraction / 100, step=rate
        )
        for rate in rates
    ]
    # the best learning rate by its work to the target, then by its last gap
    best = min(traces, key=lambda t: (t.products_to(config.fraction), t.gaps[-1]))
    kept = np.unique(np.round(np.geomspace(1, len(best.gaps), 150)).astype(int)) - 1
    return {
        "products": best.products[kept],
        "gaps": best.gaps[kept] / best.gaps[0],
        "work": best.products_to(config.fraction),
        "step": best.step,
        "final": best.gaps[-1] / best.gaps[0],
    }


def conditioning(config: Config, num_hidden: int) -> dict[str, Any]:
    """Condition numbers in both coordinates."""
    net, _ = network(config, num_hidden)
    return {
        "activities": condition_number(net),
        "errors": condition_number(net, "errors"),
        "mean": float(np.trace(expected_rescaling(net.widths, "mupc", skips=True))) / config.outputs,
    }


def run(config: Config, progress: Progress) -> dict[str, Any]:
    """Traces by depth and solver, condition numbers by depth."""
    cells = [{"num_hidden": h, "method": m} for h in config.hidden for m in SOLVERS]
    traces = progress.cells(compare, cells)
    kappas = [conditioning(config, h) for h in progress.track(config.kappa_hidden, "condition numbers")]
    longest = max(len(t["gaps"]) for t in traces)
    result: dict[str, Any] = {
        "hidden": np.array(config.hidden),
        "kappa hidden": np.array(config.kappa_hidden),
    }
    for cell, trace in zip(cells, traces, strict=True):
        pad = longest - len(trace["gaps"])
        result.setdefault(str(cell["num_hidden"]), {})[cell["method"]] = {
            **{k: np.append(trace[k], [math.nan] * pad) for k in ("products", "gaps")},
            **{k: trace[k] for k in ("work", "step", "final")},
        }
    for name in ("activities", "errors", "mean"):
        result[f"kappa {name}"] = np.array([k[name] for k in kappas])
    return result
