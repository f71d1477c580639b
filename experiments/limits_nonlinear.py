r"""Does predictive coding become backpropagation in wide nonlinear networks, too, as long as inference ends
at equilibrium?

Innocenti et al. 2026 (arXiv:2602.07697), figure 4a: residual tanh networks with 31 hidden layers, 64 samples,
cross-entropy, 100 iterations of Adam at the rate 1e-3, which the published code multiplies by (N L)^-1/2; so
little is learned at that rate that it is used as it is, too. Measured at every iteration are the cosine of
the gradients of F* and of the loss at the weights of predictive coding, over all weights and layer by layer;
the cosine with the gradient of a second network, trained by backpropagation from the same weights, which is
what the published code compares; F* and the loss; and the norm of the gradient that inference leaves, because
all of this is about the equilibrium. Inference descends in the errors, and takes Gauss-Newton steps where
that does not get to the tolerance; `agreement` measures whether the two end at the same stationary point.
Claim: limit-to-backprop.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from experiments._progress import Progress
from pctheory import Data, load_dataset
from pctheory.datasets import available_datasets
from pctheory.model import learning_rate_scale
from pctheory.nn import PCN, ErrorDescent, InferenceResult, Stop, infer


@dataclass(frozen=True)
class Config:
    """The published settings; descents are (step, most steps) in the errors, tried in turn."""

    dataset: str = field(default="cifar10", metadata={"label": "data"})
    widths: tuple[int, ...] = field(default=(8, 16, 32, 64, 128, 256, 512), metadata={"label": "widths N"})
    hidden: int = field(default=31, metadata={"label": "hidden layers H"})
    activation: str = "tanh"
    samples: int = field(default=64, metadata={"label": "samples"})
    iterations: int = field(default=100, metadata={"label": "iterations"})
    learning_rate: float = 1e-3
    scalings: tuple[str, ...] = ("table", "none")
    tolerance: float = field(default=1e-6, metadata={"label": "relative gradient norm of inference"})
    descents: tuple[tuple[float, int], ...] = ((1.0, 15), (0.3, 150))
    seed: int = 0
    output: ClassVar[str] = "cross-entropy"


PROFILES = {
    "quick": Config(dataset="digits", widths=(4, 32), hidden=5, samples=16, iterations=4),
    "cpu": Config(),
    "full": Config(),
}


def problem(config: Config, width: int) -> tuple[PCN, Data, str]:
    """A network at initialisation, the samples, and the name of the data set really used."""
    torch.set_num_threads(1)
    used = config.dataset if config.dataset in available_datasets() else "digits"
    data = load_dataset(used, limit=config.samples)
    model = PCN(
        (data.x.shape[1], *[width] * config.hidden, data.y.shape[1]),
        activation=config.activation,
        output=config.output,
        parameterisation="mupc",
        skips=True,
        rng=np.random.default_rng([config.seed, width]),
        dtype=torch.float64,
    )
    return model, data, used


def settle(config: Config, model: PCN, data: Data) -> InferenceResult:
    """Inference to the tolerance: descents in the errors, and Newton steps if these were not enough."""
    for step, most in config.descents:
        found = infer(model, data.x, data.y, ErrorDescent(step), stop=Stop(most, config.tolerance))
        if found.converged:
            return found
    return infer(model, data.x, data.y, "newton", stop=Stop(tolerance=config.tolerance))


def cosines(first: tuple[Tensor, ...], second: tuple[Tensor, ...]) -> np.ndarray:
    """Cosine of two gradients, layer by layer, and over all weights last: (L + 1,)."""
    products = np.array(
        [
            [float(torch.vdot(p.flatten(), q.flatten())) for p, q in ((a, b), (a, a), (b, b))]
            for a, b in zip(first, second, strict=True)
        ]
    )
    dot, one, two = np.vstack([products, products.sum(axis=0)]).T
    return np.asarray(dot / np.sqrt(one * two))


def compare(config: Config, width: int, scaling: str) -> dict[str, Any]:
    """Both networks along training: all at iterations 0..t, cosines by layer at the first and last."""
    (pc, data, used), (bp, _, _) = problem(config, width), problem(config, width)
    factor = 1.0 if scaling == "none" else learning_rate_scale(pc.widths, "mupc", "adam", skips=True)
    optimisers = [torch.optim.Adam(m.parameters(), lr=config.learning_rate * factor) for m in (pc, bp)]
    found: dict[str, list[float]] = {
        k: [] for k in ("cosine", "between", "energy", "loss", "bp_loss", "residual")
    }
    layers = []
    for t in range(config.iterations + 1):
        settled, forward = settle(config, pc, data), infer(pc, data.x, data.y, stop=Stop(0))
        local, other = pc.local_gradient(settled.activities), bp.loss_gradient(data.x, data.y)
        each = cosines(local, pc.loss_gradient(data.x, data.y))
        if t in (0, config.iterations):
            layers.append(each[:-1])
        found["cosine"].append(each[-1])
        found["between"].append(cosines(local, other)[-1])
        found["energy"].append(settled.energy)
        found["loss"].append(forward.energy)
        found["bp_loss"].append(infer(bp, data.x, data.y, stop=Stop(0)).energy)
        found["residual"].append(settled.gradient_norms[-1] / forward.gradient_norms[-1])
        for model, gradient, optimiser in zip((pc, bp), (local, other), optimisers, strict=True):
            for weight, slope in zip(model.weights, gradient, strict=True):
                weight.grad = slope
            optimiser.step()
    return {**{k: np.array(v) for k, v in found.items()}, "layers": np.array(layers), "dataset": used}


def agreement(config: Config, width: int) -> dict[str, Any]:
    """Relative distance of the activities where descent in the errors and Gauss-Newton steps end."""
    model, data, _ = problem(config, width)
    by_errors = infer(model, data.x, data.y, ErrorDescent(0.3), stop=Stop(1000, 1e-8))
    by_newton = infer(model, data.x, data.y, "newton", stop=Stop(tolerance=1e-8))
    a, b = (torch.cat(r.activities[1:-1], dim=1) for r in (by_errors, by_newton))
    return {
        "distance": float(torch.linalg.vector_norm(a - b) / torch.linalg.vector_norm(b)),
        "energies": [by_errors.energy, by_newton.energy],
        "converged": [bool(by_errors.converged), bool(by_newton.converged)],
    }


def run(config: Config, progress: Progress) -> dict[str, Any]:
    """All widths at each reading of the rate: arrays (widths, iterations + 1) and (widths, 2, L)."""
    cells = [{"width": n, "scaling": s} for s in config.scalings for n in config.widths]
    runs = progress.cells(compare, cells)
    same = progress.cells(agreement, [{"width": n} for n in config.widths])
    found: dict[str, Any] = {}
    for scaling in config.scalings:
        mine = [r for cell, r in zip(cells, runs, strict=True) if cell["scaling"] == scaling]
        names = ("cosine", "between", "energy", "loss", "bp_loss", "residual", "layers")
        found[scaling] = {k: np.array([r[k] for r in mine]) for k in names}
    return {
        "runs": found,
        "widths": np.array(config.widths),
        "agreement": {k: np.array([r[k] for r in same]) for k in ("distance", "energies", "converged")},
        "dataset": runs[0]["dataset"],
    }
