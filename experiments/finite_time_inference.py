r"""What does learning through T steps of inference minimise, between backprop (T = 0) and predictive coding
(T = infinity)?

The eigenvalues of the matrix M_T that measures the residual after T steps, and the errors of two gradients
against that of the equilibrated energy: backpropagation of the energy through the T steps (measured by torch
unrolling) and the local rule at the activities reached. Claim ``finite-time-energy``.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from experiments._progress import Progress
from pctheory import Data, LinearPCN, feedforward, inference_rate, rescaling
from pctheory.inference import ClampedProblem, finite_time_rescaling
from pctheory.learning import backprop_gradient, gradient_bounds, pc_gradient
from pctheory.nn import PCN
from pctheory.nn.through_inference import Clamps, unrolled_gradient


@dataclass(frozen=True)
class Config:
    """A linear network at initialisation, a noisy linear teacher."""

    widths: tuple[int, ...] = (10, 20, 20, 20, 6)
    samples: int = 32
    times: tuple[int, ...] = (0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 320, 400, 480)
    gain: float = field(default=1.0, metadata={"label": "gain of the initial weights"})
    seed: int = 0


PROFILES = {
    "quick": Config(widths=(4, 5, 5, 3), samples=6, times=(0, 1, 2, 4, 8, 16, 24, 32)),
    "cpu": Config(),
    "full": Config(),
}


def run(config: Config, progress: Progress) -> dict[str, Any]:
    """Spectra and gradients at every T, at the best step."""
    rng = np.random.default_rng(config.seed)
    drawn = LinearPCN.random(config.widths, rng=rng)
    net = drawn.replace(weights=[config.gain * w for w in drawn.weights])
    teacher = rng.standard_normal((config.widths[-1], config.widths[0])) / config.widths[0] ** 0.5
    data = Data.teacher(teacher, config.samples, noise=0.3, rng=rng)
    rate = inference_rate(net)
    step, rho = rate.best_step, rate.contraction(rate.best_step)
    model = PCN.from_linear(net)
    given = tuple(torch.tensor(np.array(z)) for z in (*feedforward(net, data.x)[:-1], data.y))
    problem = ClampedProblem(net, [np.asarray(z) for z in given])
    clamps, pc, bp = Clamps.of(model), _flat(pc_gradient(net, data)), _flat(backprop_gradient(net, data))
    table: dict[str, list[Any]] = {key: [] for key in _COLUMNS}
    for steps in progress.track(config.times, "inference times"):
        table["eigenvalues"].append(np.linalg.eigvalsh(finite_time_rescaling(net, step, steps)))
        options: dict[str, Any] = {"step": step, "num_steps": steps}
        unrolled = _flat(unrolled_gradient(model, given, _energy, clamps, **options).gradient)
        local = _flat(unrolled_gradient(model, given, _energy, clamps, last=0, **options).gradient)
        bounds = gradient_bounds(problem, step, steps)
        for name, gradient in (("unrolled", unrolled), ("local", local)):
            table[f"{name}_error"].append(np.linalg.norm(gradient - pc) / np.linalg.norm(pc))
            table[f"{name}_bound"].append(np.linalg.norm(getattr(bounds, name)) / np.linalg.norm(pc))
            table[f"{name}_bp"].append(_cosine(gradient, bp))
            table[f"{name}_pc"].append(_cosine(gradient, pc))
    return {
        "times": list(config.times),
        "step": step,
        "rho": rho,
        "condition": rate.condition,
        "inverse_rescaling": 1 / np.linalg.eigvalsh(rescaling(net))[::-1],
        **table,
    }


_COLUMNS = (
    "eigenvalues",
    *(f"{rule}_{what}" for rule in ("unrolled", "local") for what in ("error", "bound", "bp", "pc")),
)


def _energy(model: PCN, z: tuple[torch.Tensor, ...]) -> torch.Tensor:
    return model.energy(z)


def _flat(gradient: tuple[Any, ...]) -> np.ndarray:
    return np.concatenate([np.asarray(g).ravel() for g in gradient])


def _cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
