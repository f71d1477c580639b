r"""What does the energy look like from the hidden activities, and how do the usual solvers walk on it?

One hidden unit: F(z), a parabola of curvature 1 + w_2^2 at z*. Two hidden layers of one unit: contours, and
the paths of gradient descent, momentum, Adam (by torch inference) and adaptive Heun. Deep networks (N = 128,
L = 16): the energy along the extreme eigenvectors of H, whose ratio of curvatures is the condition number
that inference has to cope with. Claims ``activity-hessian``, ``equilibrium-errors``; Innocenti et al. 2025
(arXiv:2505.13124).
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from experiments._progress import Progress
from pctheory import Data, LinearPCN, activity_hessian, energy, equilibrium
from pctheory.nn import PCN, Adam, GradientDescent, Heun, Momentum, Stop, infer


@dataclass(frozen=True)
class Config:
    """Published settings: N = 128, L = 16."""

    width: int = field(default=128, metadata={"label": "width N"})
    depth: int = field(default=16, metadata={"label": "weight layers L"})
    outputs: int = 10
    steps: int = 40
    grid: int = 61
    seed: int = 0


PROFILES = {"quick": Config(width=12, depth=5, steps=10, grid=9), "cpu": Config(), "full": Config()}

NETWORKS = {
    "sp": {"parameterisation": "sp", "init": "torch", "skips": False},
    "sp + skips": {"parameterisation": "sp", "init": "torch", "skips": True},
    "muPC": {"parameterisation": "mupc", "skips": True},
}
SOLVERS = {
    "GD": GradientDescent(step=0.15),
    "momentum": Momentum(step=0.05, momentum=0.8),
    "Adam": Adam(step=0.15),
}


def run(config: Config, progress: Progress) -> dict[str, Any]:
    """All three panels."""
    return {
        "one": _one_unit(config),
        "two": _two_units(config),
        "deep": _deep(config, progress),
    }


def _one_unit(config: Config) -> dict[str, Any]:
    """F(z) of the network 1 - 1 - 1 with w = (0.5, 1.5), x = 1, y = -1."""
    net, data = LinearPCN([[[0.5]], [[1.5]]]), Data([[1.0]], [[-1.0]])
    z = np.linspace(-2, 2, config.grid)
    values = [float(energy(net, (data.x, [[value]], data.y))) for value in z]
    settled = equilibrium(net, data)
    return {
        "z": z,
        "energy": values,
        "z_star": settled.activities[1].item(),
        "energy_star": float(settled.energy),
        "curvature": float(activity_hessian(net).to_dense()[0, 0]),
    }


def _two_units(config: Config) -> dict[str, Any]:
    """Contours over (z_1, z_2) of the network 1 - 1 - 1 - 1, and solver paths from zero activities."""
    net, data = LinearPCN([[[1.0]], [[2.0]], [[1.0]]]), Data([[1.0]], [[-1.0]])
    model = PCN.from_linear(net)
    axis = np.linspace(-2.5, 2.5, config.grid)
    values = [[float(energy(net, (data.x, [[a]], [[b]], data.y))) for a in axis] for b in axis]
    start = (data.x, np.array([[2.0]]), np.array([[-2.0]]), data.y)
    paths = {}
    for name, method in SOLVERS.items():
        points = [[2.0, -2.0]]
        infer(
            model,
            data.x,
            data.y,
            method,
            start=start,
            stop=Stop(config.steps),
            callback=lambda _, z, points=points: points.append([z[1].item(), z[2].item()]),  # type: ignore[misc]
        )
        paths[name] = points
    points = [[2.0, -2.0]]
    infer(
        model, data.x, data.y, Heun(t_max=12.0, first_step=0.05, rtol=1e-2, atol=1e-3), start=start,
        callback=lambda _, z: points.append([z[1].item(), z[2].item()]),
    )  # fmt: skip
    paths["Heun"] = points
    z_star = [z.item() for z in equilibrium(net, data).activities[1:-1]]
    return {"axis": axis, "energy": values, "paths": paths, "z_star": z_star}


def _deep(config: Config, progress: Progress) -> dict[str, Any]:
    """Energy of one sample along the eigenvectors of the smallest and the largest eigenvalue of H."""
    rng = np.random.default_rng(config.seed)
    data = Data(rng.standard_normal((1, config.width)), np.eye(config.outputs)[:1])
    result: dict[str, Any] = {}
    for name, options in progress.track(NETWORKS.items(), "networks"):
        widths = (*[config.width] * config.depth, config.outputs)
        net = LinearPCN.random(widths, rng=rng, **options)  # type: ignore[arg-type]
        ends = activity_hessian(net).extreme_eigenvalues()
        settled = equilibrium(net, data)
        hidden = np.hstack(settled.activities[1:-1])
        distance = np.linspace(-1, 1, config.grid)
        slices = {}
        for end, vector in (("smallest", ends.smallest_vectors), ("largest", ends.largest_vectors)):
            direction = np.asarray(vector).reshape(-1)
            moved = hidden + distance[:, None] * direction
            blocks = activity_hessian(net).split(moved)
            slices[end] = [
                float(energy(net, (data.x, *(b[i : i + 1] for b in blocks), data.y)) - settled.energy)
                for i in range(len(distance))
            ]
        smallest, largest = float(ends.smallest[0]), float(ends.largest[0])
        result[name] = {
            "distance": distance, "slices": slices, "smallest": smallest, "largest": largest,
            "condition": largest / smallest,
        }  # fmt: skip
    return result
