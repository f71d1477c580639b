r"""How long do PC and backprop take to leave small weights, and does the time follow the predicted powers?

Chains from weights d on y = x: the time of gradient flow until their product is 1/2, integrated in logarithms
down to d = 1e-3000, with unit precision and with the best one, and the fewest iterations of gradient descent
over its rate until the residual is 1e-4. Dense networks with random weights follow the flow until the largest
singular value of their map is half its target. tanh and ReLU networks on whitened digits descend by each rule
at its best rate, PC at activities that inference has brought to rest, until the loss has lost a quarter.
Claims ``escape-time`` and ``escape-steps``.
"""

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import numpy as np
import torch

from experiments._progress import Progress
from pctheory import Data, EquilibratedEnergy, LinearPCN, MSELoss, gradient_descent, gradient_flow
from pctheory.datasets import load_dataset
from pctheory.dynamics import (
    best_precision,
    chain_flow,
    chain_rates,
    crossing_time,
    escape_profile,
    escape_time,
    fewest_loss_steps,
)
from pctheory.nn import PCN, Stop, infer

OBJECTIVES = {"bp": "loss", "pc": "energy"}


@dataclass(frozen=True)
class Config:
    """New experiment: its own settings. Exponents e stand for weights of size d = 10^-e."""

    depths: tuple[int, ...] = (3, 4, 5, 6)
    exponents: tuple[float, ...] = (1, 2, 4, 6, 10, 20, 60, 200, 600, 3000)
    descent_depths: tuple[int, ...] = (3, 4, 5)
    descent_exponents: tuple[float, ...] = (1, 2, 3, 4, 5, 6)
    rates: int = 60
    tolerance: float = 1e-4
    dense_depths: tuple[int, ...] = (3, 4)
    dense_width: int = 8
    dense_exponents: tuple[float, ...] = (1, 2, 3, 4, 5, 6)
    longest: float = field(default=5e3, metadata={"label": "longest time of a dense flow"})
    seeds: int = 5
    hidden_layers: int = 3
    width: int = 16
    samples: int = 256
    gains: tuple[float, ...] = (0.3, 0.1, 0.03, 0.01)
    network_rates: tuple[float, ...] = (0.5, 1, 2, 4, 8)
    level: float = 0.75
    steps: int = field(default=20_000, metadata={"label": "steps of BP"})
    pc_steps: int = field(default=200, metadata={"label": "steps of PC"})
    seed: int = 0


PROFILES = {
    "quick": Config(
        depths=(3, 4), exponents=(1, 6, 600), descent_depths=(3, 4), descent_exponents=(1, 2, 6), rates=30,
        dense_width=3, dense_exponents=(1, 2), longest=200.0, seeds=1, width=8, samples=64, gains=(0.3, 0.1),
        network_rates=(2,), steps=200, pc_steps=30,
    ),
    "cpu": Config(seeds=3, gains=(0.3, 0.1, 0.03), network_rates=(1, 2, 4, 8), steps=4000, pc_steps=100),
    "full": Config(),
}  # fmt: skip


def widths(depth: int, width: int = 1) -> tuple[int, ...]:
    return (width,) * (depth + 1)


def scale(exponent: float) -> Decimal:
    """10^-exponent, also where no float can hold it."""
    return Decimal(10) ** -Decimal(str(exponent))


def chain(config: Config, depth: int, exponent: float) -> dict[str, Any]:
    """Times of the flow on the energy, with unit and best precision, and on the loss, and what is predicted
    of them.
    """
    shape, small = widths(depth), scale(exponent)
    best = best_precision(shape, small)
    found: dict[str, Any] = {"best": best}
    for name, precision in (("unit", 1.0), ("tuned", best)):
        flow = chain_flow(shape, small, precision)
        found[f"{name}_time"] = flow.escape_time
        found[f"{name}_predicted"] = escape_time(shape, small, precision)
        if name == "unit":
            found["squares"] = np.exp(2 * flow.log_weights[-1])
            found["profile"] = escape_profile(shape, small)
    predicted = escape_time(shape, small, objective="loss")
    found["loss_predicted"] = predicted
    found["loss_time"] = (
        chain_flow(shape, small, objective="loss").escape_time if np.isfinite(predicted) else np.inf
    )
    return found


def descent(config: Config, depth: int, exponent: float) -> dict[str, Any]:
    """Fewest iterations to the tolerance over the rate, on the energy and, where it can be run, on the
    loss.
    """
    start = float(scale(exponent))
    data = Data([[1.0]], [[1.0]])
    bound = fewest_loss_steps(widths(depth), start)
    found: dict[str, Any] = {"bound": bound}
    for rule, objective in OBJECTIVES.items():
        if rule == "bp" and bound > config.steps:
            found["bp_steps"] = found["bp_rate"] = np.nan
            continue
        top = 2 / depth if rule == "bp" else 60 * 5.0 ** (depth - 4)
        rates = np.geomspace(top / 60, top, config.rates)
        limit = round(4 * bound) + 200 if rule == "bp" else 1500
        counts = scan(depth, start, rates, objective, limit, config.tolerance)
        best = int(np.argmin(counts))
        net = LinearPCN([[[start]]] * depth)
        chosen = EquilibratedEnergy(data) if rule == "pc" else MSELoss(data)
        path = gradient_descent(chosen, net, rates[best], int(counts[best]), record=1)
        residual = np.abs(1 - path.weights.prod(axis=1))
        found[f"{rule}_steps"] = int(np.flatnonzero(residual < config.tolerance)[0])
        found[f"{rule}_rate"] = float(rates[best])
    return found


def scan(
    depth: int, start: float, rates: np.ndarray, objective: str, limit: int, tolerance: float
) -> np.ndarray:
    """Iterations of descent on the chain at each rate until the residual is below the tolerance; infinite if
    never.
    """
    weights = np.full((len(rates), depth), start)
    counts = np.full(len(rates), np.inf)
    alive = np.ones(len(rates), dtype=bool)
    for step in range(1, limit + 1):
        own = weights[alive]
        weights[alive] = own * (1 + rates[alive, None] * chain_rates(np.log(own), objective=objective))
        # a weight that turns negative has overshot by more than the whole product: not a good rate
        alive &= np.all((weights > 0) & (weights < 1e6), axis=1)
        done = alive & (np.abs(1 - weights.prod(axis=1)) < tolerance)
        counts[done & np.isinf(counts)] = step
        alive &= ~done
        if not alive.any():
            break
    return counts


def dense(config: Config, depth: int, exponent: float, rule: str, seed: int) -> dict[str, Any]:
    """Time of the flow of a dense network, N(0, d^2 / N) weights on y = x, until a singular value of its map
    is 1/2.
    """
    start, size = float(scale(exponent)), config.dense_width
    guess = chain_flow(widths(depth), start, objective=OBJECTIVES[rule]).escape_time
    if guess > config.longest:
        return {"time": np.nan, "chain": guess}
    x = np.sqrt(size) * np.eye(size)
    data = Data(x, x)
    rng = np.random.default_rng([config.seed, seed, depth])
    net = LinearPCN.random(widths(depth, size), init=start / np.sqrt(size), rng=rng)
    times = np.concatenate([[0.0], np.geomspace(guess / 100, 1.6 * guess, 300)])
    objective = EquilibratedEnergy(data) if rule == "pc" else MSELoss(data)
    path = gradient_flow(objective, net, times, method="DOP853", rtol=1e-7, atol=1e-11)
    tops = [
        np.linalg.norm(np.linalg.multi_dot(path.network(i).weights[::-1]), 2) for i in range(len(path.times))
    ]
    return {"time": crossing_time(path.times, -np.array(tops), -0.5), "chain": guess}


def digits(config: Config) -> tuple[np.ndarray, np.ndarray]:
    """The first principal components of the digits, whitened, and centred classes scaled to a largest
    correlation of 1.
    """
    data = load_dataset("digits", "train", limit=config.samples)
    left = np.linalg.svd(data.x - data.x.mean(axis=0), full_matrices=False)[0]
    x = left[:, : config.width] * np.sqrt(config.samples)
    y = data.y - data.y.mean(axis=0)
    return x, y / np.linalg.norm(y.T @ x / config.samples, 2)


def network(
    config: Config, activation: str, rule: str, gain: float, rate: float, seed: int
) -> dict[str, Any]:
    """Iterations of full-batch descent until the loss has fallen to the level."""
    torch.set_num_threads(1)
    x, y = digits(config)
    shape = (config.width,) * (config.hidden_layers + 1) + (y.shape[1],)
    rng = np.random.default_rng([config.seed, seed])
    init = gain / np.sqrt(config.width)
    model = PCN(shape, activation=activation, init=init, rng=rng, dtype=torch.float64)
    activities: Any = "feedforward"
    first = float(model.loss(x, y).detach())
    for step in range(config.steps if rule == "bp" else config.pc_steps):
        if rule == "bp":
            gradients = model.loss_gradient(x, y)
        else:
            activities = infer(model, x, y, "newton", stop=Stop(30, 1e-2), start=activities).activities
            gradients = model.local_gradient(activities)
        with torch.no_grad():
            for weight, gradient in zip(model.weights, gradients, strict=True):
                weight -= rate * gradient
        loss = float(model.loss(x, y).detach())
        if loss <= config.level * first:
            return {"steps": step + 1}
        if not loss < 100 * first:
            break
    return {"steps": np.inf}


def loss_lines(config: Config) -> dict[str, Any]:
    """The predicted times on the loss, on a fine grid of exponents up to where the largest float ends."""
    grid = np.linspace(config.exponents[0], 20, 400)
    times = {
        d: np.array([escape_time(widths(d), scale(e), objective="loss") for e in grid]) for d in config.depths
    }
    return {"exponents": grid, "times": times}


def run(config: Config, progress: Progress) -> dict[str, Any]:
    """Times and iterations as tables: depth, seed and rate first, the size of the weights last."""
    chains = progress.cells(
        chain, [{"depth": d, "exponent": e} for d in config.depths for e in config.exponents]
    )
    shape = (len(config.depths), len(config.exponents))
    names = (
        "best",
        "unit_time",
        "unit_predicted",
        "tuned_time",
        "tuned_predicted",
        "loss_time",
        "loss_predicted",
    )
    steps = progress.cells(
        descent,
        [{"depth": d, "exponent": e} for d in config.descent_depths for e in config.descent_exponents],
    )
    cells = [
        {"depth": d, "exponent": e, "rule": rule, "seed": s}
        for d in config.dense_depths
        for rule in OBJECTIVES
        for s in range(config.seeds)
        for e in config.dense_exponents
    ]
    flows = progress.cells(dense, cells)
    wide = (len(config.dense_depths), len(OBJECTIVES), config.seeds, len(config.dense_exponents))
    trials = [
        {"activation": a, "rule": r, "gain": g, "rate": rate, "seed": s}
        for a in ("tanh", "relu") for r in OBJECTIVES for s in range(config.seeds) for g in config.gains
        for rate in config.network_rates
    ]  # fmt: skip
    counts = np.array([r["steps"] for r in progress.cells(network, trials)])
    trial = (2, len(OBJECTIVES), config.seeds, len(config.gains), len(config.network_rates))
    counts = counts.reshape(trial).min(axis=-1)
    count = (len(config.descent_depths), len(config.descent_exponents))
    return {
        "depths": np.array(config.depths),
        "exponents": np.array(config.exponents, dtype=float),
        "chain": {name: np.array([r[name] for r in chains]).reshape(shape) for name in names},
        "squares": {d: chains[(i + 1) * shape[1] - 1]["squares"] for i, d in enumerate(config.depths)},
        "profile": {d: chains[(i + 1) * shape[1] - 1]["profile"] for i, d in enumerate(config.depths)},
        "loss_lines": loss_lines(config),
        "descent_depths": np.array(config.descent_depths),
        "descent_exponents": np.array(config.descent_exponents, dtype=float),
        "descent": {
            name: np.array([r[name] for r in steps], dtype=float).reshape(count)
            for name in ("pc_steps", "pc_rate", "bp_steps", "bp_rate", "bound")
        },
        "dense_depths": np.array(config.dense_depths),
        "dense_exponents": np.array(config.dense_exponents, dtype=float),
        "dense": {
            rule: np.array([r["time"] for r in flows]).reshape(wide)[:, i]
            for i, rule in enumerate(OBJECTIVES)
        },
        "dense_chain": {
            rule: np.array([r["chain"] for r in flows]).reshape(wide)[:, i, 0]
            for i, rule in enumerate(OBJECTIVES)
        },
        "network_depth": config.hidden_layers + 1,
        "gains": np.array(config.gains),
        "network": {
            name: {rule: counts[a, i] for i, rule in enumerate(OBJECTIVES)}
            for a, name in enumerate(("tanh", "relu"))
        },
    }
