r"""From small weights, when does PC leave the origin, when does it fit, and from which size of the weights on
is it slower?

Exact gradient flow on the loss and on F*. Chains of depth 2..8 on y = -x with unit second moments start at
weights of one size, the first one with the sign that lets the product reach -1. For one depth the whole path
is kept; for all depths and for several sizes the times at which loss and energy have halved. Wide networks
with Gaussian weights repeat the comparison over sigma, with the time to one per cent of the loss besides.
Claims ``cascade`` and ``init-scale-reversal``.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from experiments._progress import Progress
from pctheory import Data, EquilibratedEnergy, LinearPCN, MSELoss, rescaling
from pctheory.dynamics import crossing_time, gradient_flow, half_time

OBJECTIVES = {"bp": MSELoss, "pc": EquilibratedEnergy}


@dataclass(frozen=True)
class Config:
    """New experiment: its own settings."""

    depths: tuple[int, ...] = (2, 3, 4, 5, 6, 7, 8)
    init: float = 0.01
    shown_depth: int = 4
    longest: float = 12.0
    points_per_decade: int = 60
    scales: tuple[float, ...] = (0.003, 0.01, 0.03, 0.1, 0.2, 0.3, 0.45, 0.6)
    wide: tuple[int, ...] = (3, 4, 4, 4, 3)
    wide_scales: tuple[float, ...] = (0.03, 0.1, 0.2, 0.3, 0.45, 0.7, 1.0)
    seeds: int = 20
    seed: int = 0


PROFILES = {
    "quick": Config(
        depths=(2, 3, 4), longest=5.0, points_per_decade=20, scales=(0.01, 0.3, 0.6), wide=(2, 3, 3, 2),
        wide_scales=(0.1, 1.0), seeds=2,
    ),
    "cpu": Config(seeds=10),
    "full": Config(),
}  # fmt: skip


def times(config: Config) -> np.ndarray:
    """0, then powers of ten and points between them."""
    decades = config.longest + 1
    return np.concatenate(
        [[0.0], np.logspace(-1, config.longest, round(decades * config.points_per_decade) + 1)]
    )


def chain(config: Config, depth: int, scale: float, rule: str) -> dict[str, Any]:
    """One flow of a chain: its path, and when loss and energy fell to a half, a quarter and a hundredth."""
    data = Data([[1.0]], [[-1.0]])
    net = LinearPCN([[[-scale if l == 0 else scale]] for l in range(depth)])
    flow = gradient_flow(OBJECTIVES[rule](data), net, times(config), rtol=1e-8)
    return _summary(flow, data)


def wide(config: Config, scale: float, rule: str, seed: int) -> dict[str, Any]:
    """One flow of a wide network with Gaussian weights."""
    data = Data.toy(64, size=config.wide[0], rng=config.seed)
    rng = np.random.default_rng([config.seed, seed])
    unit = LinearPCN.random(config.wide, init=1.0, rng=rng)
    net = unit.replace(weights=[scale * w for w in unit.weights])  # one draw for all scales
    flow = gradient_flow(OBJECTIVES[rule](data), net, times(config), rtol=1e-7, atol=1e-10)
    return _summary(flow, data)


def _summary(flow: Any, data: Data) -> dict[str, Any]:
    curves = {"loss": flow.values(MSELoss(data)), "energy": flow.values(EquilibratedEnergy(data))}
    found: dict[str, Any] = {
        "times": flow.times,
        **curves,
        "layers": flow.layer_norms(),
        "rescaling": np.array(
            [np.linalg.eigvalsh(rescaling(flow.network(i)))[-1] for i in range(len(flow.times))]
        ),
        "status": flow.status,
    }
    for name, curve in curves.items():
        found[f"half_{name}"] = half_time(flow.times, curve)
        found[f"quarter_{name}"] = crossing_time(flow.times, curve, curve[0] / 4)
        found[f"hundredth_{name}"] = crossing_time(flow.times, curve, curve[0] / 100)
    return found


MARKS = tuple(f"{mark}_{curve}" for mark in ("half", "quarter", "hundredth") for curve in ("loss", "energy"))


def run(config: Config, progress: Progress) -> dict[str, Any]:
    """One path in full, and all times."""
    by_depth = [{"depth": d, "scale": config.init, "rule": r} for r in OBJECTIVES for d in config.depths]
    by_scale = [
        {"depth": config.shown_depth, "scale": s, "rule": r} for r in OBJECTIVES for s in config.scales
    ]
    found = progress.cells(chain, [*by_depth, *by_scale])
    seeds = range(config.seeds)
    broad = [
        {"scale": s, "rule": r, "seed": k} for r in OBJECTIVES for s in config.wide_scales for k in seeds
    ]
    many = progress.cells(wide, broad)

    def table(cells: list[dict[str, Any]], results: Any, rule: str, shape: tuple[int, ...]) -> dict[str, Any]:
        own = [r for c, r in zip(cells, results, strict=True) if c["rule"] == rule]
        return {mark: np.array([r[mark] for r in own]).reshape(shape) for mark in MARKS}

    path = {
        rule: {k: r[k] for k in ("times", "loss", "energy", "layers", "rescaling")}
        for rule in OBJECTIVES
        for c, r in zip(by_depth, found, strict=False)
        if (c["depth"], c["rule"]) == (config.shown_depth, rule)
    }
    first, rest = found[: len(by_depth)], found[len(by_depth) :]
    return {
        "path": path,
        "depths": np.array(config.depths),
        "scales": np.array(config.scales),
        "wide_scales": np.array(config.wide_scales),
        "by_depth": {r: table(by_depth, first, r, (-1,)) for r in OBJECTIVES},
        "by_scale": {r: table(by_scale, rest, r, (-1,)) for r in OBJECTIVES},
        "wide": {r: table(broad, many, r, (-1, config.seeds)) for r in OBJECTIVES},
    }
