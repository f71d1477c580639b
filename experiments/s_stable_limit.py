r"""Do wide networks trained on F* with hidden precisions L / (alpha N) follow their own mean field, and when
do the two gradients agree at initialisation?

Linear ``mupc`` networks, with and without skips, descend on F* by its exact gradient. Each seed is run with
both signs of the last layer, whose fluctuations of first order cancel. The cosine at initialisation is that
of unit precisions, alpha = L / N. Claim ``s-stable-limit``.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from experiments._progress import Progress
from pctheory import (
    Data,
    EquilibratedEnergy,
    LinearPCN,
    MSELoss,
    equilibrium,
    loss,
    mean_field_training,
)
from pctheory.limits import initial_cosine, stable_precisions

SKIPS = {"plain": False, "residual": True}


@dataclass(frozen=True)
class Config:
    """New experiment: its own settings."""

    widths: tuple[int, ...] = (128, 256, 512, 1024, 2048)
    alphas: tuple[float, ...] = (0.1, 0.5, 2.0)
    hidden: int = 3
    steps: int = 20
    rate: float = 0.1
    gamma: float = 1.0
    inputs: int = 4
    outputs: int = 2
    samples: int = 8
    seeds: int = 12
    depths: tuple[int, ...] = (4, 8, 16, 32, 64)
    cosine_width: int = 128
    cosine_seeds: int = 12
    seed: int = 0


PROFILES = {
    "quick": Config(widths=(16, 64), alphas=(2.0,), steps=6, seeds=6, depths=(4, 8), cosine_seeds=6),
    "cpu": Config(seeds=6),
    "full": Config(),
}


def problem(config: Config) -> Data:
    """Gaussian inputs, and outputs that a linear map fits in part."""
    rng = np.random.default_rng(config.seed)
    x = rng.standard_normal((config.samples, config.inputs))
    teacher = rng.standard_normal((config.outputs, config.inputs)) / np.sqrt(config.inputs)
    return Data(x, x @ teacher.T + 0.3 * rng.standard_normal((config.samples, config.outputs)))


def mirrored(config: Config, width: int, layers: int, seed: int, **options: Any) -> list[LinearPCN]:
    """A random network, and the one with the other sign of the last layer."""
    widths = (config.inputs, *[width] * layers, config.outputs)
    rng = np.random.default_rng([config.seed, seed])
    net = LinearPCN.random(widths, parameterisation="mupc", gamma=config.gamma, rng=rng, **options)
    return [net, net.replace(weights=[*net.weights[:-1], -net.weights[-1]])]


def path(config: Config, net: LinearPCN, data: Data) -> np.ndarray:
    """The loss along descent on F*."""
    found, width = [float(loss(net, data))], net.widths[1]
    for _ in range(config.steps):
        slope = equilibrium(net, data).weight_gradient()
        rate = config.rate * config.gamma**2 * width
        net = net.replace(weights=[w - rate * g for w, g in zip(net.weights, slope, strict=True)])
        found.append(float(loss(net, data)))
    return np.array(found)


def train(config: Config, case: str, alpha: float, width: int) -> dict[str, Any]:
    """Losses (seeds, steps + 1), each the mean of the two signs."""
    data, widths = problem(config), (config.inputs, *[width] * config.hidden, config.outputs)
    runs = []
    for seed in range(config.seeds):
        nets = mirrored(
            config,
            width,
            config.hidden,
            seed,
            skips=SKIPS[case],
            precisions=stable_precisions(widths, alpha),
        )
        runs.append(np.mean([path(config, net, data) for net in nets], axis=0))
    return {"losses": np.array(runs)}


def field(config: Config, case: str, alpha: float) -> dict[str, Any]:
    """Loss and trace of S of the infinitely wide network."""
    found = mean_field_training(
        problem(config),
        config.hidden,
        learning_rate=config.rate,
        num_steps=config.steps,
        skips=SKIPS[case],
        gamma=config.gamma,
        alpha=alpha,
    )
    scale = np.trace(found.rescalings, axis1=1, axis2=2) / config.outputs
    return {"losses": found.losses, "scale": scale}


def start(config: Config, case: str, depth: int) -> dict[str, Any]:
    """Cosines of the gradients of F* and of the loss at unit precisions, (seeds,), and their limit."""
    data, found = problem(config), []
    for seed in range(config.cosine_seeds):
        pair = []
        for net in mirrored(config, config.cosine_width, depth - 1, seed, skips=SKIPS[case]):
            one, other = (
                np.concatenate([g.ravel() for g in objective(data).gradient(net)])
                for objective in (EquilibratedEnergy, MSELoss)
            )
            pair.append(float(one @ other / np.linalg.norm(one) / np.linalg.norm(other)))
        found.append(np.mean(pair))
    alpha = depth / config.cosine_width
    predicted = initial_cosine(data, depth - 1, alpha, skips=SKIPS[case], gamma=config.gamma)
    return {"cosines": np.array(found), "predicted": predicted}


def run(config: Config, progress: Progress) -> dict[str, Any]:
    """Losses by case, alpha and width; the mean fields, of alpha 0 too; the cosines by case and depth."""
    alphas = (0.0, *config.alphas)
    trainings = [
        {"case": c, "alpha": a, "width": n} for c in SKIPS for a in config.alphas for n in config.widths
    ]
    fields = [{"case": c, "alpha": a} for c in SKIPS for a in alphas]
    starts = [{"case": c, "depth": d} for c in SKIPS for d in config.depths]
    trained = progress.cells(train, trainings)
    limits = progress.cells(field, fields)
    begun = progress.cells(start, starts)
    result: dict[str, Any] = {
        "widths": np.array(config.widths),
        "alphas": np.array(config.alphas),
        "depths": np.array(config.depths),
    }
    for case in SKIPS:
        own = [f for c, f in zip(fields, limits, strict=True) if c["case"] == case]
        runs = [r["losses"] for c, r in zip(trainings, trained, strict=True) if c["case"] == case]
        first = [s for c, s in zip(starts, begun, strict=True) if c["case"] == case]
        shape = (len(config.alphas), len(config.widths), config.seeds, config.steps + 1)
        result[case] = {
            "field": np.array([f["losses"] for f in own]),
            "scale": np.array([f["scale"] for f in own]),
            "losses": np.array(runs).reshape(shape),
            "cosines": np.array([s["cosines"] for s in first]),
            "predicted": np.array([s["predicted"] for s in first]),
        }
    return result
