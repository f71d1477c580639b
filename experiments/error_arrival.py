r"""When do prediction errors reach a layer, how large are they then, and how large at equilibrium?

Layer energies along inference from the forward pass; backprop's direction by spiking precisions as the silent
layers' weight tends to 0, and by precisions that decay with the distance from the output. Claims
``first-arrival`` and ``precision-limits``; the imbalance of the layers' energies was reported by Qi et al.
2025 (arXiv:2506.23800).
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from experiments._progress import Progress
from pctheory import Data, LinearPCN, equilibrium, weight_gradient
from pctheory.inference import first_arrival, inference_start, relax, scheduled_inference, spiking_update
from pctheory.learning import backprop_gradient
from pctheory.model import layer_energies


@dataclass(frozen=True)
class Config:
    """Orthogonal layers, so that maps neither amplify nor damp an error."""

    depth: int = field(default=10, metadata={"label": "weight layers L"})
    width: int = field(default=32, metadata={"label": "width N"})
    samples: int = 16
    step: float = 0.1
    times: int = 3000
    alphas: tuple[float, ...] = (1.0, 0.3, 0.1, 0.03, 0.01, 1e-3, 1e-4)
    ratios: tuple[float, ...] = (1.0, 3.0, 10.0, 30.0, 100.0, 1e3, 1e4, 1e5)
    seed: int = 0


PROFILES = {
    "quick": Config(depth=4, width=6, samples=4, times=600, alphas=(1.0, 0.1, 1e-3, 1e-4)),
    "cpu": Config(),
    "full": Config(),
}


def run(config: Config, progress: Progress) -> dict[str, Any]:
    """Energies (T + 1, L); cosines of the update to backprop's by layer."""
    rng = np.random.default_rng(config.seed)
    net = LinearPCN.random([config.width] * (config.depth + 1), init="orthogonal", rng=rng)
    data = Data(*rng.standard_normal((2, config.samples, config.width)))
    recorded = sorted(
        {*range(2 * config.depth), *np.geomspace(1, config.times, 80).astype(int).tolist(), config.times}
    )
    energies, z, now = [], inference_start(net, data), 0
    for time in progress.track(recorded, "inference"):
        if time > now:
            z, now = relax(net, data, config.step, time - now, start=z), time
        energies.append(layer_energies(net, z))
    arrived = [0.5 * np.sum(e**2) / len(e) for e in first_arrival(net, data, config.step)]
    settled = equilibrium(net, data)
    # an orthogonal network sends every error along backprop's direction: directions are compared on a
    # Gaussian one
    net = LinearPCN.random([config.width] * (config.depth + 1), rng=rng)
    bp = backprop_gradient(net, data)
    other = equilibrium(net, data)
    return {
        "times": recorded,
        "energies": np.array(energies),
        "arrival": arrived,
        "equilibrium": [0.5 * np.sum(e**2) / len(e) for e in settled.errors],
        "alphas": list(config.alphas),
        "spiking_cosines": [_cosines(spiking_update(net, data, config.step, a), bp) for a in config.alphas],
        "spiking_norms": _norms(spiking_update(net, data, config.step, config.alphas[-1]), bp),
        "predicted_norms": [
            1.0 if l == config.depth else config.step ** (config.depth - l) * (1 - config.step)
            for l in range(1, config.depth + 1)
        ],
        "decaying_cosines": _decaying(config, net, data, bp),
        "ratios": list(config.ratios),
        "ratio_cosines": [_cosines(_weighted(net, data, ratio), bp) for ratio in config.ratios],
        "pc_cosines": _cosines(weight_gradient(net, other.activities), bp),
    }


def _weighted(net: LinearPCN, data: Data, ratio: float) -> tuple[np.ndarray, ...]:
    """Exact PC with hidden precisions `ratio` times the output's."""
    heavy = net.replace(precisions=[ratio] * (net.depth - 1) + [1.0])
    return weight_gradient(heavy, equilibrium(heavy, data).activities)


def _decaying(config: Config, net: LinearPCN, data: Data, bp: Any) -> np.ndarray:
    """Local rule after L steps of inference, plain and with precisions halved per layer from the output."""
    depth = config.depth
    plain = relax(net, data, config.step, depth)
    table = [[0.5 ** abs(depth - t - l) for l in range(1, depth + 1)] for t in range(depth)]
    decaying = scheduled_inference(net, data, config.step, table)
    return np.array([_cosines(weight_gradient(net, z), bp) for z in (plain, decaying)])


def _cosines(update: Any, bp: Any) -> list[float]:
    return [
        float(np.sum(a * b) / np.linalg.norm(a) / np.linalg.norm(b)) if np.any(a) else np.nan
        for a, b in zip(update, bp, strict=True)
    ]


def _norms(update: Any, bp: Any) -> list[float]:
    return [float(np.linalg.norm(a) / np.linalg.norm(b)) for a, b in zip(update, bp, strict=True)]
