r"""Are the Hessians at the origin what the closed forms say they are?

Small networks on y = -x with several inputs, and chains. The loss's Hessian and that of the energy after T
inference steps are measured by automatic differentiation through inference in torch; the closed forms stand
beside them. Innocenti et al. 2024 (arXiv:2408.11979), Figures 3 and 8. Claims ``origin-hessian-loss``,
``origin-hessian-energy``.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from experiments._progress import Progress
from experiments._saddles import energy_after_inference, loss, measured_hessian
from pctheory import Data, EquilibratedEnergy, LinearPCN, MSELoss
from pctheory.landscape import origin_hessian


@dataclass(frozen=True)
class Config:
    """Published settings: hidden layers and their width, and chains."""

    shapes: tuple[tuple[int, int], ...] = field(
        default=((1, 10), (2, 5), (3, 4), (4, 4)), metadata={"label": "[H, n]"}
    )
    chains: tuple[int, ...] = field(default=(1, 2, 5, 10), metadata={"label": "chains H"})
    size: int = field(default=3, metadata={"label": "inputs"})
    batch_size: int = 64
    num_steps: int = field(default=50, metadata={"label": "inference steps T"})
    step: float = field(default=0.1, metadata={"label": "dt"})
    seed: int = 0


PROFILES = {
    "quick": Config(shapes=((1, 3), (2, 2)), chains=(1, 3), num_steps=12, step=0.4),
    "cpu": Config(),
    "full": Config(),
}


def hessians(config: Config, widths: tuple[int, ...]) -> dict[str, Any]:
    """Measured and exact Hessians and spectra at W = 0."""
    data = Data.toy(config.batch_size, size=widths[0], rng=config.seed)
    zeros = LinearPCN.zeros(widths).weights
    numeric = {
        "loss": measured_hessian(loss, zeros, data),
        "energy": measured_hessian(
            energy_after_inference, zeros, data, num_steps=config.num_steps, step=config.step
        ),
    }
    exact = {
        "loss": origin_hessian(MSELoss(data), widths),
        "energy": origin_hessian(EquilibratedEnergy(data), widths),
    }
    return {
        "blocks": np.array([w.size for w in zeros]),
        "numeric": numeric,
        "exact": {name: each.to_dense() for name, each in exact.items()},
        "numeric_spectrum": {name: np.linalg.eigvalsh(each) for name, each in numeric.items()},
        "exact_spectrum": {name: each.eigenvalues() for name, each in exact.items()},
    }


def run(config: Config, progress: Progress) -> dict[str, Any]:
    """All networks."""
    return {
        "shapes": {
            f"[{hidden}, {width}]": hessians(config, (config.size, *[width] * hidden, config.size))
            for hidden, width in progress.track(config.shapes, "networks")
        },
        "chains": {hidden: hessians(config, (1,) * (hidden + 2)) for hidden in config.chains},
    }
