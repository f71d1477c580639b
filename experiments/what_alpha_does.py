r"""What does alpha, the ratio of depth over width and precision, do in networks on real data?

Linear networks on principal components of digits descend on the loss (alpha 0) or on F* until both have
fitted: how far is each singular mode of the least squares map learned when the loss is the same? Residual
tanh and ReLU networks of several widths and depths descend on F* once with equal alpha, :math:`\pi = L /
(\alpha N)`, and once with equal precisions. Claim ``s-stable-limit``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from experiments._progress import Progress
from pctheory import (
    Data,
    EquilibratedEnergy,
    LinearPCN,
    MSELoss,
    feedforward,
    load_dataset,
    mean_field_training,
)
from pctheory.limits import stable_precisions
from pctheory.nn import PCN, Adaptive, infer

RULES = ("alpha", "precision")


@dataclass(frozen=True)
class Config:
    """New experiment: its own settings."""

    alphas: tuple[float, ...] = (0.0, 10.0, 100.0)
    components: int = 8
    samples: int = 100
    width: int = 256
    hidden: int = 3
    gamma: float = 10.0
    rate: float = 0.05
    steps: int = 60
    seeds: int = 4
    networks: tuple[tuple[int, int], ...] = ((32, 8), (128, 32), (64, 16), (32, 32), (128, 8))
    activations: tuple[str, ...] = ("tanh", "relu")
    alpha: float = 0.5
    batch: int = 32
    nonlinear_rate: float = 0.1
    nonlinear_steps: int = 20
    nonlinear_seeds: int = 2
    tolerance: float = 0.01
    seed: int = 0


PROFILES = {
    "quick": Config(
        alphas=(0.0, 100.0), components=3, samples=30, width=128, steps=20, seeds=4,
        networks=((16, 4), (32, 8), (16, 8)), batch=16, nonlinear_steps=4, nonlinear_seeds=1,
    ),
    "cpu": Config(),
    "full": Config(),
}  # fmt: skip


def components(config: Config) -> Data:
    """Digits' first principal components, of mean size 1, and centred labels."""
    data = load_dataset("digits", limit=config.samples)
    x, y = np.asarray(data.x), np.asarray(data.y)
    x = x - x.mean(axis=0)
    parts = x @ np.linalg.svd(x, full_matrices=False)[2][: config.components].T
    return Data(parts / np.sqrt(np.mean(parts**2)), y - y.mean(axis=0))


def modes(data: Data, maps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Singular values of the least squares map of whitened inputs, (k,), largest first, and the shares of
    them that `maps`, (T, n_L, n_0), have learned, (T, k).
    """
    x, y = np.asarray(data.x), np.asarray(data.y)
    _, sizes, axes = np.linalg.svd(x / np.sqrt(len(x)), full_matrices=False)
    root = (axes.T * sizes) @ axes
    best = np.linalg.lstsq(x, y, rcond=None)[0].T
    left, values, right = np.linalg.svd(best @ root, full_matrices=False)
    return values, np.einsum("ik,tij,kj->tk", left, maps @ root, right) / values


def losses(data: Data, maps: np.ndarray) -> np.ndarray:
    """Loss of linear maps (T, n_L, n_0), (T,)."""
    rest = np.asarray(data.y) - np.einsum("bi,toi->tbo", np.asarray(data.x), maps)
    return 0.5 * np.sum(rest**2, axis=(1, 2)) / rest.shape[1]


def linear(config: Config, alpha: float, seed: int) -> dict[str, Any]:
    """The map of a network along training, (steps + 1, n_L, n_0): the mean over both signs of the last layer,
    whose fluctuations of first order cancel.
    """
    data = components(config)
    widths = (config.components, *[config.width] * config.hidden, np.asarray(data.y).shape[1])
    objective = EquilibratedEnergy(data) if alpha else MSELoss(data)
    precisions = stable_precisions(widths, alpha) if alpha else None
    rng = np.random.default_rng([config.seed, seed])
    first = LinearPCN.random(
        widths, parameterisation="mupc", gamma=config.gamma, precisions=precisions, rng=rng
    )
    rate, unit = config.rate * config.gamma**2 * config.width, np.eye(config.components)
    paths = []
    for sign in (1, -1):
        net = first.replace(weights=[*first.weights[:-1], sign * first.weights[-1]])
        path = [feedforward(net, unit)[-1].T]
        for _ in range(config.steps):
            slope = objective.gradient(net)
            net = net.replace(weights=[w - rate * g for w, g in zip(net.weights, slope, strict=True)])
            path.append(feedforward(net, unit)[-1].T)
        paths.append(path)
    return {"maps": np.mean(paths, axis=0)}


def field(config: Config, alpha: float) -> dict[str, Any]:
    """The map of the infinitely wide network along training."""
    found = mean_field_training(
        components(config),
        config.hidden,
        learning_rate=config.rate,
        num_steps=config.steps,
        gamma=config.gamma,
        alpha=alpha,
    )
    return {"maps": found.maps}


def nonlinear(
    config: Config, activation: str, rule: str, width: int, depth: int, seed: int
) -> dict[str, Any]:
    """Loss, and loss over F*, along descent on F* at the precision of a rule, (steps + 1,) each.

    With equal precisions all networks have the one that makes alpha right for the third of them.
    """
    torch.set_num_threads(1)
    data = load_dataset("digits", limit=config.batch)
    x, y = np.asarray(data.x), np.asarray(data.y)
    own, common = (layers / (config.alpha * n) for n, layers in ((width, depth), config.networks[2]))
    model = PCN(
        (x.shape[1], *[width] * (depth - 1), y.shape[1]),
        activation=activation,
        parameterisation="mupc",
        skips=True,
        precisions=[*[own if rule == "alpha" else common] * (depth - 1), 1.0],
        rng=np.random.default_rng([config.seed, seed, width, depth]),
        dtype=torch.float64,
    )
    losses, ratios = [], []
    for _ in range(config.nonlinear_steps + 1):
        found = infer(model, x, y, Adaptive(config.tolerance))
        with torch.no_grad():
            losses.append(float(model.loss(x, y)))
            slope = model.local_gradient(found.activities, errors=found.errors)
            for weight, g in zip(model.weights, slope, strict=True):
                weight.sub_(config.nonlinear_rate * width * g)
        ratios.append(losses[-1] / found.energy)
    return {"losses": np.array(losses), "ratios": np.array(ratios)}


def run(config: Config, progress: Progress) -> dict[str, Any]:
    """Shares of the modes and excess losses by alpha, of networks and mean field; losses and ratios by
    activation, rule and network.
    """
    data = components(config)
    cells = [{"alpha": a, "seed": s} for a in config.alphas for s in range(config.seeds)]
    trained = progress.cells(linear, cells)
    fields = progress.cells(field, [{"alpha": a} for a in config.alphas])
    tries = [
        {"activation": act, "rule": rule, "width": n, "depth": depth, "seed": s}
        for act in config.activations
        for rule in RULES
        for n, depth in config.networks
        for s in range(config.nonlinear_seeds)
    ]
    runs = iter(progress.cells(nonlinear, tries))
    values = modes(data, fields[0]["maps"])[0]
    least = losses(data, np.linalg.lstsq(np.asarray(data.x), np.asarray(data.y), rcond=None)[0].T[None])[0]
    result: dict[str, Any] = {"alphas": np.array(config.alphas), "values": values, "least": least}
    for name, found in (("networks", trained), ("field", fields)):
        result[name] = {
            "shares": np.array([modes(data, f["maps"])[1] for f in found]),
            "losses": np.array([losses(data, f["maps"]) for f in found]),
        }
    shape = (len(config.networks), config.nonlinear_seeds, config.nonlinear_steps + 1)
    for act in config.activations:
        result[act] = {}
        for rule in RULES:
            found = [next(runs) for _ in range(shape[0] * shape[1])]
            result[act][rule] = {
                name: np.array([f[name] for f in found]).reshape(shape) for name in ("losses", "ratios")
            }
    return result
