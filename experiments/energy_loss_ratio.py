r"""Where in width and depth does the equilibrated energy become the loss, at initialisation and along
training?

Innocenti et al. 2025 (arXiv:2505.13124), figure 6: linear residual networks trained by predictive coding at
the exact equilibrium, Depth-muP (learning rate 1e-1) and the standard parameterisation (1e-4), Adam, batch
64; the ratio of the loss to the equilibrated energy over widths and depths at several iterations. The
published rates are Adam's own; Depth-muP is also trained at 1e-1 (N L)^-1/2, the scaling that keeps its
updates alike over widths and depths. H is never formed. Claim: limit-to-backprop.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from experiments._descent import Adam, loss_of, pc_gradient, train
from experiments._progress import Progress
from pctheory import Data, LinearPCN, equilibrium, expected_rescaling, load_dataset, rescaling
from pctheory.datasets import available_datasets
from pctheory.model import learning_rate_scale

CASES: dict[str, dict[str, Any]] = {
    "mupc": {"parameterisation": "mupc"},
    "scaled": {"parameterisation": "mupc"},
    "sp": {"init": "torch"},
}
"""Options of the network; "scaled" is mupc at the scaled learning rate."""


@dataclass(frozen=True)
class Config:
    """The published settings."""

    dataset: str = field(default="mnist", metadata={"label": "data"})
    widths: tuple[int, ...] = field(default=(1, 2, 4, 8, 16, 32, 64), metadata={"label": "widths N"})
    hidden: tuple[int, ...] = field(default=(1, 2, 4, 8, 16, 32, 64), metadata={"label": "hidden layers H"})
    times: tuple[int, ...] = field(
        default=(0, 5, 10, 50, 100, 200, 450, 900), metadata={"label": "iterations"}
    )
    batch: int = field(default=64, metadata={"label": "batch"})
    mupc_rate: float = 1e-1
    sp_rate: float = 1e-4
    init_seeds: int = field(default=20, metadata={"label": "seeds at initialisation"})
    seed: int = 0


PROFILES = {
    "quick": Config(dataset="digits", widths=(2, 8), hidden=(1, 3), times=(0, 3), batch=16, init_seeds=4),
    "cpu": Config(),
    "full": Config(),
}


@functools.cache
def images(dataset: str) -> tuple[Data, str]:
    """The training set, read once per process, and the name of the set really used."""
    name = dataset if dataset in available_datasets() else "digits"
    return load_dataset(name), name


def ratio(config: Config, case: str, width: int, num_hidden: int) -> dict[str, Any]:
    """L / F* at the chosen iterations, and the excess of S at initialisation over seeds against its mean."""
    data, name = images(config.dataset)
    rng = np.random.default_rng([config.seed, width, num_hidden])
    widths = [data.x.shape[1], *[width] * num_hidden, data.y.shape[1]]
    options = CASES[case]
    net = LinearPCN.random(widths, skips=True, rng=rng, **options)
    kind = options.get("parameterisation", "sp")
    factor = learning_rate_scale(widths, kind, "adam", skips=True) if case == "scaled" else 1.0
    optimiser = Adam(factor * (config.mupc_rate if kind == "mupc" else config.sp_rate))
    values: dict[int, float] = {}
    energies: dict[int, float] = {}

    def observe(t: int, state: LinearPCN, batch: Data) -> None:
        if t in config.times:
            energies[t] = float(equilibrium(state, batch).energy)
            values[t] = loss_of(state, batch)

    def batch(t: int) -> Data:
        rows = np.random.default_rng([config.seed, t]).choice(data.num_samples, config.batch, replace=False)
        return data.take(rows)

    train(net, batch, pc_gradient, optimiser, max(config.times), observe)
    # the mean over outputs of the diagonal of S - 1, whose expectation is exact
    excess = []
    for seed in range(config.init_seeds):
        draw = LinearPCN.random(
            widths, skips=True, rng=np.random.default_rng([config.seed, 7, seed]), **options
        )
        excess.append(float(np.trace(rescaling(draw))) / widths[-1] - 1)
    mean = expected_rescaling(widths, kind, skips=True, init=options.get("init"))
    nan = float("nan")
    return {
        "loss": [values.get(t, nan) for t in config.times],
        "energy": [energies.get(t, nan) for t in config.times],
        "excess": float(np.mean(excess)),
        "error": float(np.std(excess, ddof=1) / np.sqrt(config.init_seeds)),
        "law": float(np.trace(mean)) / widths[-1] - 1,
        "dataset": name,
    }


def run(config: Config, progress: Progress) -> dict[str, Any]:
    """Losses and energies (widths, depths, iterations); initial excess of S (widths, depths)."""
    cells = [
        {"case": case, "width": n, "num_hidden": h}
        for case in CASES
        for n in config.widths
        for h in config.hidden
    ]
    found = progress.cells(ratio, cells)
    shape = (len(config.widths), len(config.hidden))
    result: dict[str, Any] = {
        "widths": np.array(config.widths),
        "hidden": np.array(config.hidden),
        "times": np.array(config.times),
        "dataset": found[0]["dataset"],
    }
    for case in CASES:
        mine = [f for c, f in zip(cells, found, strict=True) if c["case"] == case]
        result[case] = {
            **{k: np.array([f[k] for f in mine]).reshape(*shape, -1) for k in ("loss", "energy")},
            **{k: np.array([f[k] for f in mine]).reshape(shape) for k in ("excess", "error", "law")},
        }
    return result
