r"""How steep is the saddle where all weights but those of W_{L-1} vanish?

W_{L-1} has torch's default initialisation, everything else is zero: Q_{L-1} = 0 with two hidden layers or
more, and the block of the last layer is -S_yy (x) M. Spectra of the full Hessian of the energy are measured
by automatic differentiation through inference in torch, on toy data and on images; lines are the closed form
of the block and the exact Hessian of F*. Innocenti et al. 2024 (arXiv:2408.11979), Figures 9 and 10. Claim
``zero-rank-saddles``.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from experiments._hessians import HessianSettings, measured, over_networks
from experiments._progress import Progress
from experiments._saddles import batch_of
from pctheory import Data, EquilibratedEnergy, LinearPCN
from pctheory.landscape import origin_hessian, zero_rank_hessian


@dataclass(frozen=True)
class Config(HessianSettings):
    """Published settings; "toy" is a data set, too."""

    networks: tuple[str, ...] = field(
        default=(
            "toy 2:5", "toy 3:4", "toy 4:4",
            "mnist 2:10", "mnist 3:5", "mnist 4:5",
            "mnist1d 2:50", "mnist1d 3:10", "mnist1d 4:5",
        ),
        metadata={"label": "networks"},
    )  # fmt: skip
    size: int = field(default=3, metadata={"label": "toy inputs"})


PROFILES = {
    "quick": Config(networks=("toy 2:3", "digits 3:2"), batch_size=12, num_steps=20, step=0.4),
    "cpu": Config(
        networks=(
            "toy 2:5", "toy 3:4", "toy 4:4",
            "mnist 2:10", "mnist 3:5", "mnist 4:5",
            "mnist1d 2:15", "mnist1d 3:10", "mnist1d 4:5",
        )
    ),
    "full": Config(),
}  # fmt: skip


def spectra(config: Config, dataset: str, hidden: int, width: int) -> dict[str, Any]:
    """Measured spectra, that of the exact Hessian of F*, and the block's closed form, of one network."""
    if dataset == "toy":
        used, data = dataset, Data.toy(config.batch_size, size=config.size, rng=config.seed)
    else:
        used, data = batch_of(dataset, config.batch_size, config.seed)
    widths = (data.x.shape[1], *[width] * hidden, data.y.shape[1])
    drawn = LinearPCN.random(widths, init="torch", rng=np.random.default_rng([config.seed, hidden, width]))
    weights = [np.zeros_like(w) for w in drawn.weights]
    weights[-2] = drawn.weights[-2]
    net, objective = drawn.replace(weights=weights), EquilibratedEnergy(data)
    exact = objective.hessian(net)
    return {
        "dataset": used,
        "hidden": hidden,
        "width": width,
        "exact": np.linalg.eigvalsh(exact),
        "block": np.linalg.eigvalsh(zero_rank_hessian(objective, net)),
        "origin_smallest": origin_hessian(objective, widths).eigenvalues()[0],
        "gradient_norm": np.sqrt(sum(float(np.sum(g**2)) for g in objective.gradient(net))),
        **measured(config, weights, data, exact),
    }


def run(config: Config, progress: Progress) -> dict[str, Any]:
    """All networks."""
    return over_networks(config, progress, spectra)
