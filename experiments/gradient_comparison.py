r"""How far is each learning rule from backprop and from exact predictive coding, layer by layer?

Local rule at z_T, backpropagation through inference (full, detached, truncated), implicit and one-step
gradients, equilibrium propagation, error coordinates, Z-IL, fixed predictions and spiking precisions, on one
deep linear network and batch: with the energy as the loss, and with a read-out of the inferred input of the
generative orientation, where the envelope theorem does not apply. The orders of the errors: K steps of the
adjoint against rho^K, nudges beta against beta^2. Claims ``through-inference-gradients``,
``truncated-adjoint``, ``equilibrium-propagation``, ``exact-bp-variants``.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from experiments._progress import Progress
from pctheory import Data, LinearPCN, compare_gradients
from pctheory.inference import ClampedProblem
from pctheory.learning import (
    CrossEntropy,
    equilibrium_propagation_gradient,
    implicit_gradient,
    truncated_gradient,
)


@dataclass(frozen=True)
class Config:
    """Five weight layers, several draws of weights and data."""

    widths: tuple[int, ...] = (10, 16, 16, 16, 16, 6)
    samples: int = 32
    num_steps: int = 20
    last: int = 5
    terms: tuple[int, ...] = (1, 32, 64, 128, 192, 256, 384, 512, 640, 768, 1024)
    betas: tuple[float, ...] = (1e-1, 3e-2, 1e-2, 3e-3, 1e-3, 3e-4)
    seeds: int = 5
    seed: int = 0


PROFILES = {
    "quick": Config(widths=(4, 5, 5, 3), samples=8, terms=(1, 16, 32, 64, 128, 192), seeds=2),
    "cpu": Config(),
    "full": Config(),
}


def run(config: Config, progress: Progress) -> dict[str, Any]:
    """Cosines and ratios by rule and layer, (seeds, L); orders of the generative problem, (seeds, points)."""
    tables: dict[str, dict[str, list[Any]]] = {
        "cosine_bp": {},
        "cosine_pc": {},
        "ratio_bp": {},
        "ratio_pc": {},
    }
    orders: dict[str, list[Any]] = {"neumann": [], "ep": [], "rho": []}
    for index in progress.track(range(config.seeds), "networks"):
        rng = np.random.default_rng([config.seed, index])
        net = LinearPCN.random(config.widths, rng=rng)
        teacher = rng.standard_normal((config.widths[-1], config.widths[0])) / config.widths[0] ** 0.5
        data = Data.teacher(teacher, config.samples, noise=0.3, rng=rng)
        compared = compare_gradients(net, data, num_steps=config.num_steps, last=config.last)
        for key, values in (
            ("cosine_bp", compared.cosines("bp")),
            ("cosine_pc", compared.cosines("pc")),
            ("ratio_bp", compared.norm_ratios("bp")),
            ("ratio_pc", compared.norm_ratios("pc")),
        ):
            for rule, row in values.items():
                tables[key].setdefault(rule, []).append(row)
        measured = _orders(config, rng)
        for key, row in measured.items():
            orders[key].append(row)
    return {"terms": list(config.terms), "betas": list(config.betas), **tables, **orders}


def _orders(config: Config, rng: np.random.Generator) -> dict[str, Any]:
    """Relative errors of the generative problem: labels on top inferred from the images at the bottom."""
    widths = (config.widths[-1], *config.widths[1:-1], config.widths[0])
    net = LinearPCN.random(widths, rng=rng)
    labels = np.eye(widths[0])[rng.integers(0, widths[0], config.samples)]
    images = labels @ rng.standard_normal((widths[0], widths[-1])) + 0.5 * rng.standard_normal(
        (config.samples, widths[-1])
    )
    z = (0 * labels, *(np.zeros((config.samples, n)) for n in widths[1:-1]), images)
    problem = ClampedProblem(net, z, (*[False] * (len(widths) - 1), True), prior=0.5)
    values = np.linalg.eigvalsh(problem.hessian.to_dense())
    step = 2 / (values[0] + values[-1])
    loss = CrossEntropy(labels, 0)
    exact = _flat(implicit_gradient(problem, loss))
    return {
        "rho": (values[-1] - values[0]) / (values[-1] + values[0]),
        "neumann": [_gap(truncated_gradient(problem, loss, step, k), exact) for k in config.terms],
        "ep": [_gap(equilibrium_propagation_gradient(problem, loss, b), exact) for b in config.betas],
    }


def _flat(gradient: tuple[np.ndarray, ...]) -> np.ndarray:
    return np.concatenate([g.ravel() for g in gradient])


def _gap(gradient: tuple[np.ndarray, ...], exact: np.ndarray) -> float:
    return float(np.linalg.norm(_flat(gradient) - exact) / np.linalg.norm(exact))
