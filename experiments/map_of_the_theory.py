r"""What is a predictive coding network, and what does the theory say of it?

Six small computations, one for each step of the theory, all by the package: a network with its activities at
the feedforward pass and at equilibrium, and the errors of its layers; the energy of two hidden units with a
descent to its minimum; loss and equilibrated energy along a line of weights through the origin; critical
points of both; gradient flows of both from small weights; and gradients of both at growing width, beside the
condition number of inference at growing depth. New. Claims ``equilibrium-errors``, ``equilibrated-energy``,
``strict-saddles``, ``cascade``, ``limit-to-backprop``, ``conditioning``.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from experiments._progress import Progress
from experiments._toy import chain
from pctheory import (
    Data,
    EquilibratedEnergy,
    LinearPCN,
    MSELoss,
    activity_gradient,
    condition_number,
    energy,
    equilibrium,
    feedforward,
    find_critical_points,
    gradient_flow,
)

OBJECTIVES: dict[str, type[MSELoss | EquilibratedEnergy]] = {"bp": MSELoss, "pc": EquilibratedEnergy}


@dataclass(frozen=True)
class Config:
    """The settings of the pictures."""

    widths: tuple[int, ...] = (3, 4, 4, 4, 2)
    weights: tuple[float, ...] = (0.9, 0.8, 1.1)
    grid: int = 61
    descent_steps: int = 60
    starts: int = 40
    flow_depth: int = 3
    flow_start: float = 0.05
    flow_end: float = 60.0
    network_widths: tuple[int, ...] = (8, 16, 32, 64, 128, 256, 512)
    network_depth: int = 8
    depths: tuple[int, ...] = (4, 8, 16, 32, 64)
    seeds: int = 5
    seed: int = 0


PROFILES = {
    "quick": Config(
        grid=7, starts=3, descent_steps=5, network_widths=(4, 8), network_depth=3, depths=(2, 3), seeds=2
    ),
    "cpu": Config(),
    "full": Config(),
}


def network(config: Config) -> dict[str, Any]:
    """Weights, activities and sizes of errors of one sample, before and after inference."""
    rng = np.random.default_rng([config.seed, 0])
    net = LinearPCN.random(config.widths, rng=rng)
    data = Data(rng.standard_normal((1, config.widths[0])), rng.standard_normal((1, config.widths[-1])))
    settled = equilibrium(net, data)
    first = [*feedforward(net, data.x)[:-1], data.y]
    before = [z - h @ a.T for z, h, a in zip(first[1:], first[:-1], net.maps, strict=True)]
    steep = activity_gradient(net, settled.activities)[1:-1]
    return {
        "weights": {str(k): np.asarray(w) for k, w in enumerate(net.weights, start=1)},
        "activities": {str(k): np.asarray(z)[0] for k, z in enumerate(settled.activities)},
        "before": np.array([np.linalg.norm(e) for e in before]),
        "after": np.array([np.linalg.norm(e) for e in settled.errors]),
        "gradient": float(max(np.max(np.abs(g)) for g in steep)),
    }


def inference(config: Config) -> dict[str, Any]:
    """The energy of the two hidden units of a chain, a descent from the forward pass, and the minimum."""
    net, x, y = chain(np.array(config.weights)), np.ones((1, 1)), -np.ones((1, 1))
    axes = np.linspace(-1.0, 1.2, config.grid), np.linspace(-1.2, 1.0, config.grid)

    def at(z: np.ndarray) -> list[np.ndarray]:
        return [x, z[None, :1], z[None, 1:], y]

    path = [np.array([float(z[0, 0]) for z in feedforward(net, x)[1:-1]])]
    for _ in range(config.descent_steps):
        gradient = np.array([float(g[0, 0]) for g in activity_gradient(net, at(path[-1]))[1:-1]])
        path.append(path[-1] - 0.15 * gradient)
    settled = equilibrium(net, Data(x, y))
    return {
        "first": axes[0],
        "second": axes[1],
        "values": np.array([[float(energy(net, at(np.array([a, b])))) for a in axes[0]] for b in axes[1]]),
        "path": np.array(path),
        "minimum": np.array([float(z[0, 0]) for z in settled.activities[1:-1]]),
    }


def saddle(config: Config) -> dict[str, Any]:
    """Both objectives of a chain of three weights along two lines through the origin."""
    data = Data(np.ones((1, 1)), -np.ones((1, 1)))
    lines = {"all": np.array([1.0, 1.0, -1.0]), "last": np.array([0.0, 0.0, 1.0])}
    at = np.linspace(-1.4, 1.4, config.grid)
    return {
        "at": at,
        **{
            name: {
                rule: np.array([float(objective(data).value(chain(a * line))) for a in at])
                for rule, objective in OBJECTIVES.items()
            }
            for name, line in lines.items()
        },
    }


def critical(config: Config) -> dict[str, Any]:
    """Value and least curvature of the critical points that many starts lead to, noiseless teacher."""
    rng = np.random.default_rng([config.seed, 1])
    data = Data.teacher(rng.standard_normal((2, 2)), 40, rng=rng)
    found = {}
    for rule, objective in OBJECTIVES.items():
        points = find_critical_points(objective(data), LinearPCN.zeros((2, 3, 2, 2)), config.starts, rng)
        found[rule] = {
            "value": np.array([p.value for p in points]),
            "curvature": np.array([p.min_curvature for p in points]),
            "strict": np.array([p.kind in ("strict saddle", "global minimum") for p in points]),
        }
    return found


def flows(config: Config) -> dict[str, Any]:
    """Loss and energy along both flows of a chain from small equal weights."""
    data = Data(np.ones((1, 1)), np.ones((1, 1)))
    times = np.linspace(0, config.flow_end, 241)
    start = chain(np.full(config.flow_depth, config.flow_start))
    found: dict[str, Any] = {"times": times}
    for rule, objective in OBJECTIVES.items():
        path = gradient_flow(objective(data), start, times).weights
        nets = [start.unflatten(w) for w in path]
        found[rule] = {
            name: np.array([float(each(data).value(net)) for net in nets])
            for name, each in OBJECTIVES.items()
        }
    return found


def limit(config: Config, width: int, seed: int) -> float:
    """One minus the cosine of the gradients of both objectives, residual muPC at initialisation."""
    rng = np.random.default_rng([config.seed, 2, width, seed])
    widths = (10, *[width] * (config.network_depth - 1), 1)
    net = LinearPCN.random(widths, parameterisation="mupc", skips=True, rng=rng)
    data = Data(rng.standard_normal((20, 10)), rng.choice([-1.0, 1.0], (20, 1)))
    first, second = (
        np.concatenate([np.ravel(g) for g in objective(data).gradient(net)])
        for objective in OBJECTIVES.values()
    )
    return float(1 - first @ second / np.linalg.norm(first) / np.linalg.norm(second))


def conditioning(config: Config, depth: int) -> dict[str, float]:
    """Condition numbers of inference of a residual muPC network."""
    rng = np.random.default_rng([config.seed, 3, depth])
    net = LinearPCN.random((10, *[32] * (depth - 1), 1), parameterisation="mupc", skips=True, rng=rng)
    return {name: condition_number(net, name) for name in ("activities", "errors")}


def run(config: Config, progress: Progress) -> dict[str, Any]:
    """All six."""
    parts = {
        "network": network,
        "inference": inference,
        "saddle": saddle,
        "critical": critical,
        "flows": flows,
    }
    result = {name: part(config) for name, part in progress.track(parts.items(), "panels")}
    result["limit"] = {
        "widths": np.array(config.network_widths),
        "distance": np.array(
            [[limit(config, n, seed) for n in config.network_widths] for seed in range(config.seeds)]
        ),
    }
    numbers = [conditioning(config, depth) for depth in config.depths]
    result["conditioning"] = {
        "depths": np.array(config.depths),
        **{name: np.array([found[name] for found in numbers]) for name in numbers[0]},
    }
    return result
