r"""Does the spectrum at the origin show the class frequencies, on real data?

Hessians at W = 0 on a batch of 64 images with one-hot labels, measured by automatic differentiation through
inference in torch, against the closed form: S_yy is diagonal and holds the frequencies, so that -eig(S_yy),
n_{L-1} times each, are the negative eigenvalues of F* with more than one hidden layer. Inputs are rotated
into the span of the batch, which leaves out zero eigenvalues only. Innocenti et al. 2024 (arXiv:2408.11979),
Figure 4. Claim ``origin-hessian-energy``.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from experiments._hessians import HessianSettings, measured, over_networks
from experiments._progress import Progress
from experiments._saddles import batch_of
from pctheory import EquilibratedEnergy, LinearPCN
from pctheory.landscape import origin_hessian


@dataclass(frozen=True)
class Config(HessianSettings):
    """Published settings."""

    networks: tuple[str, ...] = field(
        default=(
            "mnist 1:10", "mnist 2:10", "mnist 3:5", "mnist 4:5",
            "mnist1d 1:100", "mnist1d 2:50", "mnist1d 3:10", "mnist1d 4:5",
        ),
        metadata={"label": "networks"},
    )  # fmt: skip


PROFILES = {
    "quick": Config(networks=("digits 1:2", "digits 2:2"), batch_size=12, num_steps=12, step=0.4),
    "cpu": Config(
        networks=(
            "mnist 1:10", "mnist 2:10", "mnist 3:5", "mnist 4:5",
            "mnist1d 1:20", "mnist1d 2:15", "mnist1d 3:10", "mnist1d 4:5",
        )
    ),
    "full": Config(),
}  # fmt: skip


def spectra(config: Config, dataset: str, hidden: int, width: int) -> dict[str, Any]:
    """Measured spectra of L and F, closed form of F*, class frequencies of one network's batch."""
    used, data = batch_of(dataset, config.batch_size, config.seed)
    widths = (data.x.shape[1], *[width] * hidden, data.y.shape[1])
    zeros = LinearPCN.zeros(widths).weights
    exact = origin_hessian(EquilibratedEnergy(data), widths)
    return {
        "dataset": used,
        "hidden": hidden,
        "width": width,
        "exact": exact.eigenvalues(),
        "frequencies": np.diag(data.yy),
        **measured(config, zeros, data, exact.to_dense()),
    }


def run(config: Config, progress: Progress) -> dict[str, Any]:
    """All networks."""
    return over_networks(config, progress, spectra)
