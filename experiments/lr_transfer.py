r"""Do the best learning rates of weights and activities stay where they are when the network is wider or
deeper?

Residual tanh networks on MNIST, T = H steps of inference on the batch-mean energy, Adam. For every pair of a
weight and an activity learning rate: the smallest loss of a training batch along the run. muPC (Depth-muP),
standard PC ("sp", torch's initial weights) and, without activities to infer, backpropagation with Depth-muP.
Innocenti et al. 2025 (arXiv:2505.13124), figures 1 left and 5. Weight rates are Adam's own, as published
(``mupc_scaled_rate`` has the other reading). The seed fixes the batches, so that the runs of one network
differ in nothing but their rates.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from experiments._progress import Progress
from pctheory import load_dataset
from pctheory.datasets import available_datasets
from pctheory.nn import BP, PC, PCN, GradientDescent, Stop, TrainingSettings, train

METHODS = ("mupc", "sp", "bp")


@dataclass(frozen=True)
class Config:
    """Published grid up to width 512.

    Standard PC and BP get smaller weight rates, too: their optima lie below the published ones.
    """

    dataset: str = "mnist"
    activation: str = "tanh"
    widths: tuple[int, ...] = field(default=(64, 128, 256, 512), metadata={"label": "widths N"})
    hidden: int = field(default=8, metadata={"label": "H of the widths"})
    depths: tuple[int, ...] = field(default=(8, 16, 32, 64, 128), metadata={"label": "hidden layers H"})
    width: int = field(default=512, metadata={"label": "N of the depths"})
    learning_rates: tuple[float, ...] = field(
        default=(0.01, 0.05, 0.1, 0.5), metadata={"label": "weight learning rates"}
    )
    sp_learning_rates: tuple[float, ...] = field(
        default=(0.0003, 0.001, 0.003, 0.01, 0.1), metadata={"label": "weight learning rates of sp"}
    )
    bp_learning_rates: tuple[float, ...] = field(
        default=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5), metadata={"label": "learning rates of BP"}
    )
    activity_lrs: tuple[float, ...] = field(
        default=(0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 50.0, 100.0, 500.0, 1000.0),
        metadata={"label": "activity learning rates"},
    )
    batch_size: int = 64
    iterations: int = 937
    seeds: int = 3
    seed: int = 0


PROFILES = {
    "quick": Config(
        dataset="digits",
        widths=(8, 16),
        hidden=2,
        depths=(2, 4),
        width=16,
        learning_rates=(0.01, 0.1),
        sp_learning_rates=(0.001, 0.01),
        bp_learning_rates=(0.01, 0.1),
        activity_lrs=(1.0, 10.0, 1e30),
        batch_size=32,
        iterations=30,
        seeds=1,
    ),
    "cpu": Config(
        widths=(64, 128, 256),
        depths=(4, 8, 16),
        width=128,
        iterations=150,
        learning_rates=(0.05, 0.1, 0.5),
        sp_learning_rates=(0.0003, 0.001, 0.003, 0.01),
        bp_learning_rates=(0.005, 0.01, 0.02, 0.05, 0.1, 0.5),
        activity_lrs=(5.0, 10.0, 50.0),
    ),
    "full": Config(),
}


def smallest_loss(
    config: Config, method: str, width: int, hidden: int, learning_rate: float, seed: int
) -> dict[str, Any]:
    """Smallest loss of a training batch for each activity rate (for BP one number).

    Infinite for runs that diverge.
    """
    torch.set_num_threads(1)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    used = config.dataset if config.dataset in available_datasets() else "digits"
    data = load_dataset(used, limit=config.batch_size * config.iterations)
    losses = []
    for activity_lr in config.activity_lrs[: 1 if method == "bp" else None]:
        model = PCN(
            (data.x.shape[1], *[width] * hidden, data.y.shape[1]),
            activation=config.activation,
            parameterisation="sp" if method == "sp" else "mupc",
            init="torch" if method == "sp" else None,
            skips=True,
            rng=np.random.default_rng([config.seed, width, hidden, seed]),
            dtype=torch.float32,
            device=device,
        )
        pc = PC(GradientDescent(activity_lr, convention="batch-mean"), stop=Stop(hidden))
        settings = TrainingSettings(
            rule=BP() if method == "bp" else pc,
            learning_rate=learning_rate,
            batch_size=config.batch_size,
            steps=config.iterations,
            seed=seed,
            metrics_every=1,
        )
        try:
            losses.append(float(np.min(train(model, data, settings).metrics["loss"])))
        except ValueError as error:
            if "to stay finite" not in str(error):
                raise
            losses.append(np.inf)
    return {"loss": np.array(losses), "dataset": used}


def run(config: Config, progress: Progress) -> dict[str, Any]:
    """Smallest losses (seeds, weight rates, activity rates) by method and network "N-H"."""
    rates = {"mupc": config.learning_rates, "sp": config.sp_learning_rates, "bp": config.bp_learning_rates}
    networks = [(n, config.hidden) for n in config.widths]
    networks += [(config.width, h) for h in config.depths if (config.width, h) not in networks]
    cells = [
        {"method": m, "width": n, "hidden": h, "learning_rate": rate, "seed": s}
        for n, h in networks
        for m in METHODS
        for s in range(config.seeds)
        for rate in rates[m]
    ]
    found = progress.cells(smallest_loss, cells)

    def table(method: str, network: tuple[int, int]) -> np.ndarray:
        rows = [
            result["loss"]
            for cell, result in zip(cells, found, strict=True)
            if (cell["method"], cell["width"], cell["hidden"]) == (method, *network)
        ]
        return np.array(rows).reshape(config.seeds, len(rates[method]), -1)

    return {
        "loss": {m: {f"{n}-{h}": table(m, (n, h)) for n, h in networks} for m in METHODS},
        "sweeps": {
            "width": np.array([(n, config.hidden) for n in config.widths]),
            "depth": np.array([(config.width, h) for h in config.depths]),
        },
        "learning_rates": {m: np.array(rates[m]) for m in METHODS},
        "activity_lrs": np.array(config.activity_lrs),
        "dataset": found[0]["dataset"],
    }
