r"""What does inference look like in a network that was trained by backpropagating through it?

The same linear network, data, initial weights and inference (step g, T steps from the forward pass, output
clamped), trained by the local rule at z_T, by backpropagation of the energy through the T steps, by exact PC
and by backprop. Along training: loss and equilibrated energy, the spectrum of H, the half-life of the slowest
mode, the energies of the layers, and how inference approaches its minimum. Claims ``inference-rate``,
``through-inference-gradients``, ``finite-time-energy``.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from experiments._images import images, pooled
from experiments._progress import Progress
from pctheory import Data, LinearPCN, activity_hessian, equilibrium, feedforward, loss
from pctheory.inference import ClampedProblem, finite_time_energy, inference_modes, relax
from pctheory.learning import LayerEnergies, backprop_gradient, local_gradient, pc_gradient, unrolled_gradient
from pctheory.model import layer_energies

RULES = ("local", "through", "pc", "bp")


@dataclass(frozen=True)
class Config:
    """Three hidden layers on pooled images; full-batch gradient descent."""

    dataset: str = "fashion-mnist"
    samples: int = field(default=10000, metadata={"label": "images"})
    pool: int = field(default=4, metadata={"label": "pixels pooled"})
    width: int = field(default=24, metadata={"label": "width N"})
    hidden: int = 3
    step: float = 0.1
    num_steps: int = 8
    learning_rate: float = 0.2
    iterations: int = 1200
    checkpoints: int = 25
    horizon: int = 120
    seeds: int = 3
    seed: int = 0


PROFILES = {
    "quick": Config(
        dataset="digits",
        samples=200,
        pool=2,
        width=5,
        hidden=2,
        iterations=40,
        checkpoints=4,
        horizon=20,
        seeds=1,
    ),
    "cpu": Config(),
    "full": Config(),
}


def load(config: Config) -> tuple[Data, str]:
    """Centred images and labels with mean squared norms n_0 and n_L / 10, compressed to second moments."""
    data, used = images(config.dataset, config.samples)
    x, _ = pooled(np.asarray(data.x), config.pool if used != "digits" else 1)
    x = x - x.mean(0)
    x = x / np.sqrt(np.mean(np.sum(x**2, 1))) * 2.0
    y = np.asarray(data.y) - np.asarray(data.y).mean(0)
    return Data(x, y / np.sqrt(np.mean(np.sum(y**2, 1))) * 2.0).compress(), used


def gradient(config: Config, rule: str, net: LinearPCN, data: Data) -> tuple[np.ndarray, ...]:
    """The gradient of a rule."""
    if rule == "bp":
        return backprop_gradient(net, data)
    if rule == "pc":
        return pc_gradient(net, data)
    if rule == "local":
        return local_gradient(net, data, config.step, config.num_steps)
    problem = ClampedProblem(net, (*feedforward(net, data.x)[:-1], data.y))
    return unrolled_gradient(problem, LayerEnergies(), config.step, config.num_steps)


def cell(config: Config, rule: str, seed: int) -> dict[str, Any]:
    """One training run, measured at checkpoints spaced evenly in log time."""
    data, _ = load(config)
    rng = np.random.default_rng([config.seed, seed])
    widths = (data.x.shape[1], *[config.width] * config.hidden, data.y.shape[1])
    net = LinearPCN.random(widths, rng=rng)
    net = net.replace(weights=[0.5 * w for w in net.weights])
    moments = np.unique(np.geomspace(1, config.iterations, config.checkpoints).astype(int))
    table: dict[str, list[Any]] = {
        key: [] for key in ("loss", "energy", "reached", "condition", "half_life", "layers", "settled_layers")
    }
    ends: dict[str, Any] = {}
    for iteration in range(config.iterations + 1):
        if iteration == 0 or iteration in moments:
            _measure(config, net, data, table)
        if iteration in (0, config.iterations):
            ends["first" if iteration == 0 else "last"] = _inference(config, net, data)
        if iteration < config.iterations:
            slopes = gradient(config, rule, net, data)
            net = net.replace(
                weights=[w - config.learning_rate * g for w, g in zip(net.weights, slopes, strict=True)]
            )
    return {"iterations": np.concatenate([[0], moments]), **table, **ends}


def _measure(config: Config, net: LinearPCN, data: Data, table: dict[str, list[Any]]) -> None:
    values = np.linalg.eigvalsh(activity_hessian(net).to_dense())
    settled = equilibrium(net, data)
    rho = max(abs(1 - config.step * values[0]), abs(1 - config.step * values[-1]))
    table["loss"].append(float(loss(net, data)))
    table["energy"].append(float(settled.energy))
    table["reached"].append(float(finite_time_energy(net, data, config.step, config.num_steps)))
    table["condition"].append(values[-1] / values[0])
    table["half_life"].append(-np.log(2) / np.log(rho) if rho < 1 else np.inf)
    table["layers"].append(layer_energies(net, relax(net, data, config.step, config.num_steps)))
    table["settled_layers"].append(layer_energies(net, settled.activities))


def _inference(config: Config, net: LinearPCN, data: Data) -> dict[str, Any]:
    """Spectrum of H, and the share of the initial excess energy that is left after t steps."""
    modes = inference_modes(net, data)
    gaps = np.array([modes.gap(t, config.step) for t in range(config.horizon + 1)])
    return {"eigenvalues": modes.eigenvalues, "gaps": gaps / gaps[0]}


def run(config: Config, progress: Progress) -> dict[str, Any]:
    """All rules, (seeds, ...) each."""
    cells = [{"rule": rule, "seed": seed} for rule in RULES for seed in range(config.seeds)]
    found = progress.cells(cell, cells)
    result: dict[str, Any] = {
        "dataset": load(config)[1], "iterations": found[0]["iterations"], "num_steps": config.num_steps,
    }  # fmt: skip
    for index, rule in enumerate(RULES):
        runs = found[index * config.seeds : (index + 1) * config.seeds]
        result[rule] = {
            key: np.array([run_[key] for run_ in runs])
            for key in ("loss", "energy", "reached", "condition", "half_life", "layers", "settled_layers")
        }
        for end in ("first", "last"):
            for key in ("eigenvalues", "gaps"):
                result[rule][f"{end}_{key}"] = np.array([run_[end][key] for run_ in runs])
    return result
