r"""Does the balance law hold at every node of a graph, on cycles and beside long skips, along training?

Two small graphs, one with a cycle and one with two long skips, follow the gradient flow of F* in all edges
and biases. At every hidden node the growth of the trace of the imbalance is compared with what the hidden
errors add up to. Claim ``graph-balance``.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.integrate import solve_ivp

from experiments._progress import Progress
from pctheory import Data, LinearGraph, MSELoss, equilibrium

HIDDEN = ("a", "b", "c")
EDGES = {
    "cycle": (("x", "a"), ("a", "b"), ("b", "c"), ("c", "a"), ("c", "y")),
    "skips": (("x", "a"), ("a", "b"), ("b", "c"), ("c", "y"), ("x", "c"), ("a", "y")),
}


@dataclass(frozen=True)
class Config:
    """New experiment: its own settings."""

    width: int = 3
    samples: int = 24
    gain: float = 0.4
    noise: float = 0.3
    precisions: tuple[float, ...] = (1.0, 2.0, 0.5)
    duration: float = 30.0
    points: int = 61
    tolerance: float = 1e-9
    seed: int = 0


PROFILES = {"quick": Config(width=2, duration=3.0, points=7), "cpu": Config(), "full": Config()}


def start(config: Config, kind: str, rng: np.random.Generator) -> LinearGraph:
    """The graph with Gaussian edges and biases."""
    n = config.width
    names = ("x", *HIDDEN, "y")
    return LinearGraph(
        dict.fromkeys(names, n),
        {edge: config.gain * rng.standard_normal((n, n)) / np.sqrt(n) for edge in EDGES[kind]},
        biases={name: config.gain * rng.standard_normal(n) for name in names[1:]},
        precisions=dict(zip(HIDDEN, config.precisions, strict=True)),
    )


def train(config: Config, kind: str) -> dict[str, Any]:
    """Growth of the imbalance at every node, measured and predicted, with F* and the loss."""
    rng = np.random.default_rng([config.seed, len(EDGES[kind])])
    n = config.width
    data = Data.teacher(rng.standard_normal((n, n)), config.samples, noise=config.noise, rng=rng)
    first = start(config, kind, rng)
    shapes = [m.shape for m in first.edges.values()] + [b.shape for b in first.biases.values()]
    cuts = np.cumsum([int(np.prod(shape)) for shape in shapes])

    def graph_at(state: np.ndarray) -> LinearGraph:
        parts = [p.reshape(s) for p, s in zip(np.split(state, cuts), shapes, strict=False)]
        edges = dict(zip(first.edges, parts, strict=False))
        return first.replace(edges=edges, biases=dict(zip(first.biases, parts[len(edges) :], strict=True)))

    def slope(_: float, state: np.ndarray) -> np.ndarray:
        graph = graph_at(state)
        values = graph.by_name(equilibrium(graph.network, data))
        moves = [*values.gradient.values(), *values.bias_gradient.values()]
        grown = [2 * np.sum(values.weighted_errors[j] * values.errors[j]) / len(data.x) for j in HIDDEN]
        return np.concatenate([*(-move.ravel() for move in moves), grown])

    begin = [*first.edges.values(), *first.biases.values(), np.zeros(len(HIDDEN))]
    times = np.linspace(0.0, config.duration, config.points)
    path = solve_ivp(
        slope, (0.0, config.duration), np.concatenate([p.ravel() for p in begin]), "DOP853", times,
        rtol=config.tolerance, atol=config.tolerance,
    )  # fmt: skip
    graphs = [graph_at(state) for state in path.y.T]
    traces = np.array([[np.trace(g.imbalance()[j]) for j in HIDDEN] for g in graphs])
    return {
        "measured": traces - traces[0],
        "predicted": path.y.T[:, -len(HIDDEN) :],
        "energy": np.array([float(equilibrium(g.network, data).energy) for g in graphs]),
        "loss": np.array([float(MSELoss(data).value(g.network)) for g in graphs]),
    }


def run(config: Config, progress: Progress) -> dict[str, Any]:
    """Tables (time, node) for each graph."""
    cells = [{"kind": kind} for kind in EDGES]
    found = progress.cells(train, cells)
    return {
        "times": np.linspace(0.0, config.duration, config.points),
        "graphs": dict(zip(EDGES, found, strict=True)),
    }
