r"""Does the loss matter for how wide nonlinear networks approach backpropagation?

The networks, samples and training of ``limits_nonlinear`` with the squared error, on which the public code of
Innocenti et al. 2026 trains, in the place of the cross-entropy; at the published, scaled rate. Claim:
limit-to-backprop.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from experiments import limits_nonlinear
from experiments._progress import Progress
from experiments.limits_nonlinear import compare


@dataclass(frozen=True)
class Config(limits_nonlinear.Config):
    """The settings of ``limits_nonlinear`` but for the loss."""

    scalings: tuple[str, ...] = ("table",)
    output: ClassVar[str] = "mse"


PROFILES = {
    "quick": Config(dataset="digits", widths=(4, 32), hidden=5, samples=16, iterations=4),
    "cpu": Config(iterations=2),
    "full": Config(),
}


def run(config: Config, progress: Progress) -> dict[str, Any]:
    """All widths: arrays (widths, iterations + 1)."""
    runs = progress.cells(
        compare, [{"width": n, "scaling": s} for s in config.scalings for n in config.widths]
    )
    names = ("cosine", "between", "energy", "loss", "bp_loss", "residual")
    return {
        **{name: np.array([r[name] for r in runs]) for name in names},
        "widths": np.array(config.widths),
        "dataset": runs[0]["dataset"],
    }
