r"""How much sooner does PC leave its saddle than backprop, at the published scales of the two gradients and
at one scale?

The public code of Innocenti et al. 2024 (arXiv:2408.11979) averages the loss over batch and outputs, (2/n_L)
L, and sums the energy over the batch, B F: at one nominal learning rate PC's step is B n_L / 2 times
backprop's. Exact gradient flow on L and F* gives the time to each level of the loss; a number of small steps
is that time over the step, so that the speed-up in iterations is the ratio of the times at the matched scale,
and B n_L / 2 times it at the published one. Linear networks: the chain and the wide toy network, and matrix
completion, where unobserved outputs are left out of loss and energy (their rescaling is the block of S of the
observed ones). Claim ``matched-scale``.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.integrate import solve_ivp

from experiments._progress import Progress
from pctheory import Data, EquilibratedEnergy, LinearPCN, MSELoss

PROBLEMS = ("chain H=2", "wide toy", "matrix completion")
RULES = ("bp", "pc")
LEVELS = (0.5, 0.1, 0.01)
"""Fractions of the initial loss."""


@dataclass(frozen=True)
class Config:
    """Published widths, data and initial weights."""

    batch_size: int = 64
    completion_size: int = 10
    completion_rank: int = 3
    completion_width: int = field(default=100, metadata={"label": "completion network's width"})
    completion_init: float = field(default=5e-3, metadata={"label": "completion network's sigma"})
    longest: float = 1e6
    seeds: int = 5
    seed: int = 0


PROFILES = {
    "quick": Config(completion_width=8, completion_init=0.1, longest=1e4, seeds=1),
    "cpu": Config(),
    "full": Config(),
}

Vector = np.ndarray
Flow = Callable[[Vector], tuple[Vector, float]]
"""Weights -> gradient of what is descended, and the loss."""


def closed_form(net: LinearPCN, data: Data, rule: str) -> Flow:
    """Gradient flow on L or F* of a linear network."""
    loss = MSELoss(data)
    objective = loss if rule == "bp" else EquilibratedEnergy(data)

    def evaluate(vector: Vector) -> tuple[Vector, float]:
        at = net.unflatten(vector)
        gradient = objective.gradient(at)
        return np.concatenate([g.ravel() for g in gradient]), float(loss.value(at))

    return evaluate


def completion(
    shapes: Sequence[tuple[int, int]], target: np.ndarray, observed: np.ndarray, rule: str
) -> Flow:
    """Gradient flow of matrix completion.

    There is one sample per column of `target`, its unobserved outputs left free.
    """
    samples = target.shape[1]
    sizes = np.cumsum([a * b for a, b in shapes])[:-1]
    masks = observed.T[:, :, None] * observed.T[:, None, :]  # (samples, n_L, n_L)
    free = np.eye(len(target)) * (1 - observed.T)[:, None, :]

    def evaluate(vector: Vector) -> tuple[Vector, float]:
        maps = [part.reshape(shape) for part, shape in zip(np.split(vector, sizes), shapes, strict=True)]
        products = [np.eye(len(target))]
        for matrix in reversed(maps):
            products.insert(0, products[0] @ matrix)
        residual = observed * (target - products[0])  # inputs are the unit vectors
        rescaling = sum(p @ p.T for p in products[1:])
        if rule == "pc":
            seen = masks * rescaling + free
            delta = observed * np.linalg.solve(seen, residual.T[:, :, None])[:, :, 0].T
        else:
            delta = residual
        layer, gradient = np.eye(samples), []
        for matrix, product in zip(maps, products[1:], strict=True):
            error = product.T @ delta
            gradient.append(-(error @ layer.T).ravel() / samples)
            layer = matrix @ layer + (error if rule == "pc" else 0)
        return np.concatenate(gradient), float(np.sum(residual**2)) / (2 * samples)

    return evaluate


def times_to(flow: Flow, start: Vector, longest: float) -> dict[str, Any]:
    """When the loss has come down to the levels, infinite if later than `longest`; and its curve."""
    first = flow(start)[1]
    levels = [level * first for level in LEVELS]

    def crossing(level: float) -> Callable[[float, Vector], float]:
        def event(_: float, vector: Vector) -> float:
            return flow(vector)[1] - level

        return event

    events = [crossing(level) for level in levels]
    events[-1].terminal = True  # type: ignore[attr-defined]
    solution = solve_ivp(
        lambda _, v: -flow(v)[0],
        (0.0, longest),
        start,
        method="DOP853",
        events=events,
        rtol=1e-6,
        atol=1e-9,
        dense_output=True,
    )
    times = np.logspace(-1.5, 0, 200) * solution.t[-1]
    curve = solution.sol(times)  # type: ignore[misc]
    return {
        "times": np.array([float(t[0]) if len(t) else np.inf for t in solution.t_events]),  # type: ignore[union-attr]
        "curve_time": times,
        "curve_loss": np.array([flow(column)[1] for column in curve.T]),
    }


def problem(config: Config, name: str, rule: str, seed: int) -> dict[str, Any]:
    """One flow, with the factor between the published scales."""
    rng = np.random.default_rng([config.seed, seed, PROBLEMS.index(name)])
    if name == "matrix completion":
        size = batch = config.completion_size
        rank = config.completion_rank
        target = rng.standard_normal((size, rank)) @ rng.standard_normal((rank, size))
        observed = np.ones(size * size)
        observed[rng.permutation(size * size)[: size * size // 5]] = 0.0
        widths = (size, *[config.completion_width] * 3, size)
        shapes = list(zip(widths[1:], widths[:-1], strict=True))
        start = config.completion_init * rng.standard_normal(LinearPCN.zeros(widths).num_weights)
        flow = completion(shapes, target, observed.reshape(size, size), rule)
    else:
        batch = config.batch_size
        widths, init = ((1, 1, 1, 1), 0.05) if name == "chain H=2" else ((3, 4, 4, 4, 3), 0.1)
        data = Data.toy(batch, size=widths[0], rng=config.seed).compress()
        net = LinearPCN.random(widths, init=init, rng=rng)
        if name == "chain H=2":  # of the two halves of weight space, the one from which backprop can fit
            last = -np.sign(np.prod([w[0, 0] for w in net.weights])) * net.weights[-1]
            net = net.replace(weights=[*net.weights[:-1], last])
        start, flow = net.flatten(), closed_form(net, data, rule)
    return {**times_to(flow, start, config.longest), "factor": batch * widths[-1] / 2}


def run(config: Config, progress: Progress) -> dict[str, Any]:
    """Times of both rules to all levels, one curve each, and the factors."""
    cells = [{"name": n, "rule": r, "seed": s} for n in PROBLEMS for r in RULES for s in range(config.seeds)]
    results = progress.cells(problem, cells)
    found: dict[str, Any] = {}
    for name in PROBLEMS:
        found[name] = {}
        for rule in RULES:
            own = [r for c, r in zip(cells, results, strict=True) if (c["name"], c["rule"]) == (name, rule)]
            found[name][rule] = {
                "times": np.stack([r["times"] for r in own]),
                "curve_time": own[0]["curve_time"],
                "curve_loss": own[0]["curve_loss"],
            }
        found[name]["factor"] = own[0]["factor"]
    return {"problems": found, "levels": np.array(LEVELS)}
