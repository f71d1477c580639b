r"""Does the balance of neighbouring layers drift under PC as the hidden errors say, and stay under backprop?

Linear and ReLU networks trained in torch by small steps: backprop, and the local rule at activities that
inference has brought to rest. The imbalance of layer l is followed against the sum of the law's rate 2 eta
<eps_l^2> over the steps: for linear networks the whole matrix, for ReLU networks its diagonal, one number per
hidden neuron. A step of size eta adds a term of order eta^2, so that the deviation from the law must fall in
proportion to eta. Claim ``balance-law``.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from experiments._progress import Progress
from pctheory import Data, LinearPCN
from pctheory.nn import PCN, Stop, infer


@dataclass(frozen=True)
class Config:
    """New experiment: its own settings."""

    widths: tuple[int, ...] = (5, 8, 8, 4)
    samples: int = 40
    noise: float = 0.3
    time: float = 20.0
    learning_rates: tuple[float, ...] = field(
        default=(0.08, 0.04, 0.02, 0.01), metadata={"label": "learning rates"}
    )
    points: int = 60
    tolerance: float = 1e-9
    seeds: int = 3
    seed: int = 0


PROFILES = {
    "quick": Config(widths=(3, 4, 2), samples=10, time=2.0, learning_rates=(0.1, 0.05), points=10, seeds=1),
    "cpu": Config(time=8.0, learning_rates=(0.08, 0.04, 0.02)),
    "full": Config(),
}


def train(config: Config, activation: str, rule: str, rate: float, seed: int) -> dict[str, Any]:
    """Imbalance traces along one run, and what the law predicts for them."""
    torch.set_num_threads(1)
    rng = np.random.default_rng([config.seed, seed])
    teacher = LinearPCN.random((config.widths[0], config.widths[-1]), init=1.0, rng=rng)
    data = Data.teacher(teacher, config.samples, noise=config.noise, rng=rng)
    model = PCN(config.widths, activation=activation, init=0.3, rng=rng, dtype=torch.float64)
    weights = list(model.weights)
    steps = round(config.time / rate)
    every = max(1, steps // config.points)
    hidden = range(len(weights) - 1)
    matrices = activation == "linear"
    start = [_imbalance(weights, l) for l in hidden]
    predicted = [torch.zeros_like(d) for d in start]
    activities: Any = "feedforward"
    rows: dict[str, list[Any]] = {"time": [], "measured": [], "predicted": [], "loss": [], "neurons": []}
    deviation = scale = 0.0
    for step in range(steps + 1):
        now = [_imbalance(weights, l) - d for l, d in zip(hidden, start, strict=True)]
        gaps = [g - p for g, p in zip(now, predicted, strict=True)]
        if not matrices:
            gaps, now = [torch.diagonal(g) for g in gaps], [torch.diagonal(d) for d in now]
        deviation = max(deviation, *(float(g.abs().max()) for g in gaps))
        scale = max(scale, *(float(d.abs().max()) for d in now))
        if step % every == 0 or step == steps:
            trace = torch.trace if matrices else torch.sum
            rows["time"].append(step * rate)
            rows["measured"].append([float(trace(d)) for d in now])
            rows["predicted"].append([float(torch.trace(p)) for p in predicted])
            rows["loss"].append(float(model.loss(data.x, data.y).detach()))
            rows["neurons"].append((torch.diagonal(now[0]) if matrices else now[0]).numpy().copy())
        if rule == "bp":
            gradients = model.loss_gradient(data.x, data.y)
        else:
            # from the last activities: they are nearly at rest, and of several resting places this one is
            # followed
            activities = infer(
                model, data.x, data.y, "newton", stop=Stop(50, config.tolerance), start=activities,
            ).activities  # fmt: skip
            gradients = model.local_gradient(activities)
            for l, error in zip(hidden, _errors(model, activities), strict=False):
                predicted[l] = predicted[l] + 2 * rate * (error.T @ error) / config.samples
        with torch.no_grad():
            for weight, gradient in zip(weights, gradients, strict=True):
                weight -= rate * gradient
    return {**{k: np.array(v) for k, v in rows.items()}, "deviation": deviation, "scale": scale}


def _imbalance(weights: list[torch.Tensor], layer: int) -> torch.Tensor:
    below, above = weights[layer].detach(), weights[layer + 1].detach()
    return above.T @ above - below @ below.T


def _errors(model: PCN, activities: tuple[torch.Tensor, ...]) -> list[torch.Tensor]:
    """eps_1, eps_2, ..., eps_L."""
    with torch.no_grad():
        return [activities[l] - model.prediction(l, activities[l - 1]) for l in range(1, len(activities))]


def run(config: Config, progress: Progress) -> dict[str, Any]:
    """Traces of the first seed at the smallest learning rate; deviations (seeds, learning rates)."""
    cells = [
        {"activation": activation, "rule": rule, "rate": rate, "seed": seed}
        for activation in ("linear", "relu")
        for rule in ("bp", "pc")
        for seed in range(config.seeds)
        for rate in config.learning_rates
    ]
    results = progress.cells(train, cells)
    shape = (config.seeds, len(config.learning_rates))
    found: dict[str, Any] = {}
    for activation in ("linear", "relu"):
        found[activation] = {}
        for rule in ("bp", "pc"):
            own = [
                r
                for c, r in zip(cells, results, strict=True)
                if (c["activation"], c["rule"]) == (activation, rule)
            ]
            found[activation][rule] = {
                "deviations": np.array([r["deviation"] for r in own]).reshape(shape),
                "scales": np.array([r["scale"] for r in own]).reshape(shape),
                **{k: own[shape[1] - 1][k] for k in ("time", "measured", "predicted", "loss", "neurons")},
            }
    return {"rates": np.array(config.learning_rates), "runs": found}
