"""The equilibrium in closed form against one backprop gradient of the same network, and against solvers.

784 inputs, 10 outputs, batch 64, float64. The dense solve is timed where H fits into a gigabyte. Under
cross-entropy the alternative is torch's L-BFGS on the hidden activities of the same energy.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np
import torch

from experiments.benchmarks._timing import Effort, Row, compared, seconds_of
from pctheory import Data, LinearGraph, LinearPCN, activity_hessian, condition_number, equilibrium
from pctheory.inference import envelope_equilibrium
from pctheory.model import activity_linear_term

BATCH, INPUTS, OUTPUTS = 64, 784, 10
DENSE = 8000  # hidden units
TOLERANCE = 1e-6


def rows(effort: Effort) -> Iterator[Row | str]:
    """Equilibrium, on a graph too, the condition of H, equilibrium under cross-entropy."""
    shapes = ((128, 8), (128, 32), (128, 128), (512, 16), (1024, 16)) if effort.full else ((8, 3),)
    for width, depth in shapes:
        yield from _euclidean(width, depth, effort)
    for width, hidden in ((64, 8), (256, 16)) if effort.full else shapes:
        yield from _graph(width, hidden)
    for width, depth in ((128, 8), (128, 16)) if effort.full else shapes:
        yield from _condition(width, depth)
    for width, depth in shapes[:2]:
        yield from _cross_entropy(width, depth, effort)


def problem(width: int, depth: int) -> tuple[LinearPCN, Data]:
    """A network of `depth` maps and random data with one-hot targets."""
    rng = np.random.default_rng(0)
    net = LinearPCN.random((INPUTS, *[width] * (depth - 1), OUTPUTS), rng=rng)
    targets = np.eye(OUTPUTS)[rng.integers(0, OUTPUTS, BATCH)]
    return net, Data(rng.standard_normal((BATCH, INPUTS)), targets)


def _euclidean(width: int, depth: int, effort: Effort) -> Iterator[Row]:
    net, data = problem(width, depth)
    calls: dict[str, Callable[[], object]] = {
        "ours": lambda: equilibrium(net, data),
        "torch backprop gradient": backprop(net, data),
    }
    size = f"{INPUTS}-{width}x{depth - 1}-{OUTPUTS}"
    yield from compared("equilibrium", size, net.num_weights, calls, effort.repetitions)
    if width * (depth - 1) <= DENSE:
        hessian, linear = activity_hessian(net), activity_linear_term(net, data).T
        solve = lambda: np.linalg.solve(hessian.to_dense(), linear)
        error = np.abs(np.hstack(equilibrium(net, data).activities[1:-1]) - solve().T).max()
        calls = {"ours": calls["ours"], "dense solve": solve}
        yield from compared("equilibrium", size, net.num_weights, calls, 3, f"largest difference {error:.0e}")


def _graph(width: int, hidden: int) -> Iterator[Row]:
    rng = np.random.default_rng(0)
    names = ["x", *(f"h{k}" for k in range(hidden)), "y"]
    nodes = {name: OUTPUTS if name == "y" else width for name in names}
    pairs = [*pairwise(names), *((names[k], names[k + 3]) for k in range(0, hidden - 2, 3))]
    edges = {(u, v): rng.standard_normal((nodes[v], nodes[u])) / np.sqrt(2 * nodes[u]) for u, v in pairs}
    graph = LinearGraph(nodes, edges)
    data = Data(rng.standard_normal((BATCH, width)), rng.standard_normal((BATCH, OUTPUTS)))

    def block(targets: list[str], sources: list[str]) -> np.ndarray:
        zero = lambda v, u: np.zeros((nodes[v], nodes[u]))
        return np.block([[edges.get((u, v), zero(v, u)) for u in sources] for v in targets])

    inner, into = block(names[1:-1], names[1:-1]), block(names[1:-1], names[:1])
    out = block(names[-1:], names[1:-1])

    def dense() -> np.ndarray:
        loop = np.eye(len(inner)) - inner
        linear = loop.T @ into @ data.x.T + out.T @ data.y.T
        return np.asarray(np.linalg.solve(loop.T @ loop + out.T @ out, linear).T)

    found = graph.by_name(equilibrium(graph.network, data)).activities
    error = np.abs(np.hstack([found[name] for name in names[1:-1]]) - dense()).max()
    calls: dict[str, Callable[[], object]] = {
        "ours": lambda: equilibrium(graph.network, data),
        "dense solve": dense,
    }
    size = f"{width * hidden} activities in {hidden} nodes, skips over two"
    note = f"largest difference {error:.0e}"
    yield from compared("equilibrium of a graph", size, graph.network.num_weights, calls, 3, note)


def backprop(net: LinearPCN, data: Data) -> Callable[[], object]:
    """One gradient of the loss by torch: forward, backward, weight gradients."""
    leaves = [torch.tensor(np.array(w), requires_grad=True) for w in net.weights]
    x, y = torch.tensor(data.x), torch.tensor(data.y)

    def gradient() -> object:
        z = x
        for weight in leaves:
            z = z @ weight.T
        return torch.autograd.grad(0.5 * torch.sum((y - z) ** 2) / len(y), leaves)

    return gradient


def _condition(width: int, depth: int) -> Iterator[Row]:
    net, _ = problem(width, depth)

    def dense() -> float:
        values = np.linalg.eigvalsh(activity_hessian(net).to_dense())
        return float(values[-1] / values[0])

    error = abs(condition_number(net) / dense() - 1)
    calls: dict[str, Callable[[], object]] = {
        "ours": lambda: [condition_number(net)],
        "dense eigenvalues": lambda: [dense()],
    }
    size = f"{width * (depth - 1)} hidden units in {depth - 1} layers"
    yield from compared("kappa of H", size, net.num_weights, calls, 3, f"relative difference {error:.0e}")


def _cross_entropy(width: int, depth: int, effort: Effort) -> Iterator[Row]:
    net, data = problem(width, depth)
    exact = float(envelope_equilibrium(net, data).energy)
    size = f"{INPUTS}-{width}x{depth - 1}-{OUTPUTS}"
    task, repetitions = "equilibrium, cross-entropy", min(effort.repetitions, 5)
    calls: dict[str, Callable[[], object]] = {
        "ours": lambda: envelope_equilibrium(net, data),
        "our equilibrium, squared error": lambda: equilibrium(net, data),
    }
    (row,) = compared(task, size, net.num_weights, calls, repetitions)
    yield row
    ends: list[float] = []  # once: it takes seconds
    seconds = seconds_of(lambda: ends.append(lbfgs(net, data)()))
    ratio = seconds / np.array(row.seconds)[::-1]
    note = f"one run of L-BFGS, which ends {ends[0] / exact - 1:.0e} above"
    yield dataclasses.replace(
        row,
        against="torch L-BFGS on the activities",
        reference=(seconds,) * 3,
        ratio=(float(ratio[0]), float(ratio[1]), float(ratio[2])),
        note=note,
    )


def lbfgs(net: LinearPCN, data: Data) -> Callable[[], float]:
    """The energy under cross-entropy, minimised over the hidden activities; returns where it ends."""
    weights = [torch.tensor(np.array(w)) for w in net.maps]
    x, y = torch.tensor(data.x), torch.tensor(data.y)

    def minimum() -> float:
        z, before = [], x
        for weight in weights[:-1]:
            before = before @ weight.T
            z.append(before.clone().requires_grad_())
        optimiser = torch.optim.LBFGS(
            z, max_iter=2000, tolerance_grad=TOLERANCE / BATCH, line_search_fn="strong_wolfe"
        )

        def energy() -> torch.Tensor:
            below, total = x, torch.zeros((), dtype=x.dtype)
            for layer, weight in zip(z, weights, strict=False):
                total = total + 0.5 * torch.sum((layer - below @ weight.T) ** 2)
                below = layer
            return (total - torch.sum(y * torch.log_softmax(below @ weights[-1].T, dim=1))) / BATCH

        def closure() -> torch.Tensor:
            optimiser.zero_grad()
            value = energy()
            value.backward()
            return value

        optimiser.step(closure)
        return float(energy().detach())

    return minimum
