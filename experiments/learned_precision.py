r"""Do learned precisions stop the weights that noise inflates?

The problems of `no_minimiser`, two chains and a network, with one precision (a number) for each layer.
Gradient flow in the weights and in the logarithms of the precisions: on F* with the precisions held at 1; on
the energy with the normalisation of its layers, F* - (1/2) sum_l n_l log Pi_l, whose precisions follow the
mean squared errors alone (MAP); and on the negative log likelihood F* + (1/2) log det S. The least value of
the likelihood is that of the Gaussian with the residual noise of the data. Beside it the two rules as
iterations, with the weights held still, on one output: the shares of the layers in S, against their law.
Claim ``precision-learning``.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.integrate import solve_ivp

from experiments import no_minimiser
from experiments._progress import Progress
from pctheory import Data, EquilibratedEnergy, LinearPCN, MSELoss, NegativeLogLikelihood
from pctheory.inference import equilibrium, output_products, rescaling
from pctheory.learning import precision_gradient, update_precisions

RULES = ("fixed", "map", "likelihood")
UPDATES = ("map", "em")
FARTHEST = 14.0
"""A flow ends where the logarithm of a precision is this large: it runs away."""


@dataclass(frozen=True)
class Config:
    """New experiment: its own settings."""

    longest: float = field(default=4.0, metadata={"label": "decades of time"})
    points_per_decade: int = 10
    chain_noise: tuple[float, ...] = (2.0, 0.5)
    widths: tuple[int, ...] = (5, 6, 6, 3)
    samples: int = 200
    noise: float = field(default=1.5, metadata={"label": "noise of the network's targets"})
    shares: tuple[float, ...] = (0.4, 0.35, 0.25)
    updates: int = 6
    start: float = field(default=4.0, metadata={"label": "first S over the mean squared residual"})
    seed: int = 0


PROFILES = {
    "quick": Config(longest=0.5, points_per_decade=4, chain_noise=(2.0,), widths=(2, 3, 2), samples=20),
    "cpu": Config(),
    "full": Config(),
}


def with_numbers(net: LinearPCN, logs: np.ndarray) -> LinearPCN:
    """The network with the precisions exp(logs)."""
    return net.replace(precisions=[float(p) for p in np.exp(logs)])


def slope(rule: str, data: Data, net: LinearPCN) -> np.ndarray:
    """Minus the gradient in the weights and in the logarithms of the precisions."""
    objective = NegativeLogLikelihood(data) if rule == "likelihood" else EquilibratedEnergy(data)
    weights = net.join(objective.gradient(net))
    numbers = np.array([p.value for p in net.precisions])
    if rule == "fixed":
        logs = np.zeros_like(numbers)
    elif rule == "likelihood":
        logs = numbers * [np.trace(g) for g in precision_gradient(net, data)]
    else:
        squares = [np.mean(np.sum(e**2, axis=1)) for e in equilibrium(net, data).errors]
        logs = (numbers * squares - net.widths[1:]) / 2
    return -np.concatenate([weights, logs])


def flow(config: Config, name: str, rule: str) -> dict[str, Any]:
    """Norms of the last weights, precisions, loss and likelihood along a flow; NaN after an early end."""
    net, data = no_minimiser.problem(config, name)  # type: ignore[arg-type]
    data = data.compress()
    split = net.num_weights
    times = np.concatenate(
        [[0.0], np.logspace(-1, config.longest, round((config.longest + 1) * config.points_per_decade) + 1)]
    )

    def at(state: np.ndarray) -> LinearPCN:
        return with_numbers(net.unflatten(state[:split]), state[split:])

    def too_far(_: float, state: np.ndarray) -> float:
        return FARTHEST - float(np.max(np.abs(state[split:])))

    too_far.terminal = True  # type: ignore[attr-defined]
    start = np.concatenate([net.flatten(), np.zeros(net.depth)])
    path = solve_ivp(
        lambda _, state: slope(rule, data, at(state)), (0.0, times[-1]), start, method="LSODA", t_eval=times,
        events=too_far, rtol=1e-7, atol=1e-9,
    )  # fmt: skip
    nets = [at(state) for state in path.y.T]
    plain = net.replace(precisions=None)
    noise = data.residual_noise()
    least = 0.5 * len(noise) + 0.5 * float(np.linalg.slogdet(noise)[1])
    rows = [
        (
            float(np.linalg.norm(n.weights[-1])),
            n.precisions[0].value,
            n.precisions[-1].value,
            float(MSELoss(data).value(plain.with_weights(n.weights))) - float(np.trace(noise)) / 2,
            float(equilibrium(n, data).energy) + 0.5 * float(np.linalg.slogdet(rescaling(n))[1]) - least,
        )
        for n in nets
    ]
    table = np.full((5, len(times)), np.nan)
    table[:, : len(rows)] = np.array(rows).T
    names = ("last", "first_precision", "last_precision", "loss", "likelihood")
    return {"times": times, **dict(zip(names, table, strict=True))}


def iterations(config: Config, rule: str) -> dict[str, Any]:
    """Shares of the layers and S over the mean squared residual, update by update, one output."""
    data = Data([[1.0], [-1.0]], [[1.0], [1.0]])  # no linear map predicts it: the mean squared residual is 1
    first = np.array(config.shares) * config.start
    net = LinearPCN([[[0.0]]] + [[[1.0]]] * (len(first) - 1), precisions=list(1 / first))
    shares, sizes = [], []
    for _ in range(config.updates + 1):
        parts = np.array(
            [
                p.item() ** 2 / float(q.value)
                for p, q in zip(output_products(net)[1:], net.precisions, strict=True)
            ]
        )
        shares.append(parts / parts.sum())
        sizes.append(float(rescaling(net)[0, 0]))
        net = update_precisions(net, data, rule=rule, shape="number")
    return {"shares": np.array(shares).T, "size": np.array(sizes)}


def run(config: Config, progress: Progress) -> dict[str, Any]:
    """Flows on the three problems; iterations."""
    names = [*(f"N={noise:g}" for noise in config.chain_noise), "network"]
    cells = [{"name": name, "rule": rule} for name in names for rule in RULES]
    columns: dict[str, dict[str, Any]] = {name: {} for name in names}
    for cell, found in zip(cells, progress.cells(flow, cells), strict=True):
        columns[cell["name"]][cell["rule"]] = dict(found)
    return {"columns": columns, "iterations": {rule: iterations(config, rule) for rule in UPDATES}}
