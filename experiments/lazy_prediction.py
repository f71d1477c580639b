r"""How far are trained networks of growing width from what the kernel of their initial weights predicts?

Claim ``lazy-prediction``. Linear networks follow gradient flow on F* and on the loss, on whitened digits,
under the neural-tangent parameterisation and under muPC, whose features move (its time is scaled by the
width). tanh networks are trained by real inference, in Runge-Kutta steps of the flow, and predicted by their
kernel from autograd.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from experiments._progress import Progress
from pctheory import Data, EquilibratedEnergy, LinearPCN, MSELoss, gradient_flow, load_dataset
from pctheory.dynamics import lazy_map
from pctheory.inference import output_products
from pctheory.nn import PCN, Stop, empirical_kernel, infer

OBJECTIVES = {"bp": MSELoss, "pc": EquilibratedEnergy}
KINDS = {"bp": "loss", "pc": "energy"}
SCHEMES = ("ntp", "mupc")


@dataclass(frozen=True)
class Config:
    """New experiment: its own settings."""

    widths: tuple[int, ...] = (16, 32, 64, 128, 256)
    hidden_layers: int = 2
    inputs: int = 12
    samples: int = 400
    times: tuple[float, ...] = (0.25, 0.5, 1.0, 2.0, 4.0)
    tanh_widths: tuple[int, ...] = (16, 32, 64, 128)
    tanh_samples: int = 20
    tanh_steps: int = 4
    tanh_rate: float = 0.5
    seeds: int = 5
    seed: int = 0


PROFILES = {
    "quick": Config(
        widths=(8, 32), inputs=3, samples=60, times=(0.5, 1.0), tanh_widths=(4, 16), tanh_samples=4,
        tanh_steps=2, seeds=1,
    ),
    "cpu": Config(widths=(16, 32, 64, 128), seeds=3),
    "full": Config(),
}  # fmt: skip


def digits(config: Config, samples: int) -> tuple[Data, Data]:
    """Whitened principal components of the digits, and their classes, centred and of mean square 1: training
    and held-out data.
    """
    data = load_dataset("digits")
    left = np.linalg.svd(data.x - data.x.mean(axis=0), full_matrices=False)[0]
    y = data.y - data.y.mean(axis=0)
    whole = Data(left[:, : config.inputs] * np.sqrt(data.num_samples), y / np.sqrt(np.mean(y**2)))
    return whole.take(slice(0, samples)), whole.take(slice(samples, 2 * samples))


def linear(config: Config, rule: str, scheme: str, width: int, seed: int) -> dict[str, Any]:
    """Distance of the map from its prediction over the distance travelled, and held-out losses of both."""
    train, test = digits(config, config.samples)
    widths = (config.inputs, *(width,) * config.hidden_layers, train.y.shape[1])
    rng = np.random.default_rng([config.seed, seed])
    net = LinearPCN.random(widths, parameterisation=scheme, rng=rng)
    times = np.array([0.0, *config.times]) * (width if scheme == "mupc" else 1)
    path = gradient_flow(OBJECTIVES[rule](train), net, times, method="DOP853", rtol=1e-6, atol=1e-8)
    trained = np.stack([output_products(path.network(i))[0] for i in range(len(times))])
    predicted = lazy_map(net, train, times, objective=KINDS[rule])
    norm = np.linalg.norm
    travelled = norm(trained[1:] - trained[0], axis=(1, 2))
    losses = {
        name: np.array([float(MSELoss(test).value(LinearPCN([m]))) for m in maps])
        for name, maps in (("trained", trained), ("predicted", predicted))
    }
    return {"error": norm(trained[1:] - predicted[1:], axis=(1, 2)) / travelled, **losses}


def tanh(config: Config, rule: str, width: int, seed: int) -> dict[str, Any]:
    """The same distance of the outputs of a tanh network on its samples, at the end."""
    torch.set_num_threads(1)
    train, _ = digits(config, config.tanh_samples)
    widths = (config.inputs, *(width,) * config.hidden_layers, train.y.shape[1])
    rng = np.random.default_rng([config.seed, seed])
    model = PCN(widths, activation="tanh", parameterisation="ntp", rng=rng, dtype=torch.float64)
    kernel = empirical_kernel(model, train.x)
    predicted = kernel.predict(train.y, [config.tanh_rate * config.tanh_steps], rule=rule)[0]
    activities: Any = "feedforward"

    def gradient(weights: list[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        nonlocal activities
        assign(model, weights)
        if rule == "bp":
            return model.loss_gradient(train.x, train.y)
        activities = infer(
            model, train.x, train.y, "newton", stop=Stop(30, 1e-5), start=activities
        ).activities
        return model.local_gradient(activities)

    for _ in range(config.tanh_steps):
        runge_kutta(model, gradient, config.tanh_rate)
    end = model(train.x).detach()
    return {"error": float((end - predicted).norm() / (end - kernel.outputs).norm())}


def assign(model: PCN, weights: list[torch.Tensor]) -> None:
    with torch.no_grad():
        for own, value in zip(model.weights, weights, strict=True):
            own.copy_(value)


def runge_kutta(model: PCN, gradient: Any, step: float) -> None:
    """One step of order four of gradient flow."""
    start = [w.detach().clone() for w in model.weights]
    slopes, moved = [], start
    for part in (0.5, 0.5, 1.0, None):
        slopes.append(gradient(moved))
        if part is not None:
            moved = [w - part * step * g for w, g in zip(start, slopes[-1], strict=True)]
    one, two, three, four = slopes
    assign(
        model,
        [
            w - step / 6 * (a + 2 * b + 2 * c + d)
            for w, a, b, c, d in zip(start, one, two, three, four, strict=True)
        ],
    )


def run(config: Config, progress: Progress) -> dict[str, Any]:
    """Errors (width, seed, time) of linear networks, (width, seed) of tanh networks, held-out losses."""
    seeds = range(config.seeds)
    keys = [(scheme, rule) for scheme in SCHEMES for rule in OBJECTIVES]
    cells = [
        {"rule": r, "scheme": k, "width": n, "seed": s} for k, r in keys for n in config.widths for s in seeds
    ]
    found = progress.cells(linear, cells)
    shape = (len(config.widths), config.seeds, -1)
    tables: dict[str, Any] = {scheme: {} for scheme in SCHEMES}
    for scheme, rule in keys:
        own = [f for c, f in zip(cells, found, strict=True) if (c["scheme"], c["rule"]) == (scheme, rule)]
        names = ("error", "trained", "predicted")
        tables[scheme][rule] = {name: np.stack([f[name] for f in own]).reshape(shape) for name in names}
    trials = [
        {"rule": r, "width": n, "seed": s} for r in OBJECTIVES for n in config.tanh_widths for s in seeds
    ]
    ends = np.array([f["error"] for f in progress.cells(tanh, trials)])
    ends = ends.reshape(len(OBJECTIVES), len(config.tanh_widths), config.seeds)
    return {
        "widths": np.array(config.widths),
        "times": np.array([0.0, *config.times]),
        **tables,
        "tanh_widths": np.array(config.tanh_widths),
        "tanh": {rule: ends[i] for i, rule in enumerate(OBJECTIVES)},
    }
