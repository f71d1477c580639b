r"""How do the loss and the equilibrated energy look around the origin, and how long does each keep training
there?

Chains with one and two hidden units and a wide network with three hidden layers, on y = -x. The landscapes
are exact: the plane of the weights (one hidden unit), the plane spanned by the last weight and the common
direction of the others (two), and the plane of the extreme eigenvectors of F*'s Hessian at 0 (wide). Training
is measured in torch: backprop, and the local rule after T Euler steps of inference, from weights of standard
deviation sigma. The public code averages its loss over batch and outputs, (2/n_L) L, and sums its energy over
the batch, B F (claim ``matched-scale``). On the chains a common rate on L and F is published; on the wide
network "published" has one nominal rate on the two unequal scales, "matched" the same step. Innocenti et al.
2024 (arXiv:2408.11979), Figures 2 and 7. Claims ``origin-hessian-loss``, ``origin-hessian-energy``.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from experiments._progress import Progress
from pctheory import Data, EquilibratedEnergy, LinearPCN, MSELoss
from pctheory.dynamics import half_time
from pctheory.landscape import extreme_eigenvalues, landscape_slice
from pctheory.nn import BP, PC, PCN, GradientDescent, Stop, TrainingSettings, train


@dataclass(frozen=True)
class Config:
    """Published settings."""

    batch_size: int = 64
    num_steps: int = field(default=20, metadata={"label": "inference steps T"})
    step: float = field(default=0.1, metadata={"label": "dt"})
    seeds: int = 5
    chain_iterations: int = 300
    wide_iterations: int = 300
    published_iterations: int = 25_000
    grid: int = 61
    seed: int = 0


PROFILES = {
    "quick": Config(
        seeds=2, chain_iterations=60, wide_iterations=80, published_iterations=80, num_steps=10, grid=9
    ),
    "cpu": Config(),
    "full": Config(),
}

PROBLEMS: dict[str, dict[str, Any]] = {
    "chain H=1": {"widths": (1, 1, 1), "init": 0.05, "rate": 0.4, "extent": 2.0},
    "chain H=2": {"widths": (1, 1, 1, 1), "init": 0.05, "rate": 0.4, "extent": 2.0},
    "wide H=3": {"widths": (3, 4, 4, 4, 3), "init": 0.1, "rate": 1e-3, "extent": 2.0},
}


def data_of(config: Config, problem: str) -> Data:
    """Targets -x, entries of x from N(1, 0.1^2), one input per output."""
    return Data.toy(config.batch_size, size=PROBLEMS[problem]["widths"][0], rng=config.seed)


def rates(config: Config, problem: str) -> dict[str, float]:
    """Learning rates on L and F by curve."""
    rate, outputs = PROBLEMS[problem]["rate"], PROBLEMS[problem]["widths"][-1]
    if outputs == 1:
        return {"bp": rate, "pc": rate}
    step = rate * config.batch_size
    return {"bp": step, "pc": step, "bp published": 2 * rate / outputs}


def training(config: Config, problem: str, curve: str, seed: int) -> dict[str, Any]:
    """One training run: the loss before each iteration, and the energy where inference ended."""
    torch.set_num_threads(1)
    spec = PROBLEMS[problem]
    rng = np.random.default_rng([config.seed, seed, len(spec["widths"])])
    model = PCN(spec["widths"], init=spec["init"], rng=rng, dtype=torch.float64)
    iterations = config.chain_iterations if spec["widths"][-1] == 1 else config.wide_iterations
    every = 1
    if curve == "bp published":
        iterations, every = config.published_iterations, max(1, config.published_iterations // 500)
    settings = TrainingSettings(
        rule=PC(GradientDescent(config.step), stop=Stop(config.num_steps)) if curve[:2] == "pc" else BP(),
        optimiser="SGD",
        learning_rate=rates(config, problem)[curve],
        batch_size=config.batch_size,
        steps=iterations,
        metrics_every=every,
    )
    metrics = train(model, data_of(config, problem), settings).metrics
    steps, losses = metrics["step"], metrics["loss"]
    return {
        "steps": steps, "loss": losses, "energy": metrics["energy"], "half_time": half_time(steps, losses),
    }  # fmt: skip


def landscapes(config: Config, problem: str) -> dict[str, Any]:
    """L and F* on a plane through the origin, with their negative gradients in the plane."""
    spec, data = PROBLEMS[problem], data_of(config, problem)
    net, energy = LinearPCN.zeros(spec["widths"]), EquilibratedEnergy(data)
    depth = net.depth
    if spec["widths"][-1] > 1:
        ends = extreme_eigenvalues(energy, net)
        plane = np.stack([ends.largest_vectors[0], ends.smallest_vectors[0]])
        eigenvalues = np.array([ends.largest[0], ends.smallest[0]])
    else:
        plane = np.zeros((2, depth))
        plane[0, :-1] = 1 / np.sqrt(depth - 1)
        plane[1, -1] = 1.0
        eigenvalues = np.full(2, np.nan)
    found: dict[str, Any] = {"eigenvalues": eigenvalues}
    for name, objective in (("loss", MSELoss(data)), ("energy", energy)):
        cut = landscape_slice(objective, net, list(plane), extent=spec["extent"], num=config.grid)
        axis = cut.axes[0]
        slopes = np.empty((2, len(axis), len(axis)))
        for j, beta in enumerate(axis):
            for i, alpha in enumerate(axis):
                point = net.unflatten(alpha * plane[0] + beta * plane[1])
                gradient = np.concatenate([g.ravel() for g in objective.gradient(point)])
                slopes[:, j, i] = -plane @ gradient
        found[name] = {"values": cut.values, "slopes": slopes}
    found["axis"] = axis
    return found


def run(config: Config, progress: Progress) -> dict[str, Any]:
    """All landscapes and all training runs."""
    cells = [
        {"problem": problem, "curve": curve, "seed": seed}
        for problem in PROBLEMS
        for curve in rates(config, problem)
        for seed in range(config.seeds)
    ]
    runs = progress.cells(training, cells)
    curves: dict[str, Any] = {problem: {} for problem in PROBLEMS}
    for problem in PROBLEMS:
        for curve, rate in rates(config, problem).items():
            own = [
                r for c, r in zip(cells, runs, strict=True) if (c["problem"], c["curve"]) == (problem, curve)
            ]
            curves[problem][curve] = {
                "rate": rate,
                "steps": own[0]["steps"],
                "loss": np.stack([r["loss"] for r in own]),
                "energy": np.stack([r["energy"] for r in own]),
                "half_time": np.array([r["half_time"] for r in own]),
            }
    return {"landscapes": {p: landscapes(config, p) for p in PROBLEMS}, "curves": curves}
