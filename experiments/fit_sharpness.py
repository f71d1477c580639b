r"""Which learning rates does gradient descent stand at a fit, and does the bound over the layers hold where
the loss has none?

Dense linear networks of several depths and gains, with orthogonal or Gaussian maps, on data that they fit.
The largest rate is predicted from the sharpness of F* and of the loss; descent starts beside the fit, along
the top eigenvector, at .98 and 1.02 of that rate. Claim ``fit-sharpness``.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from experiments._progress import Progress
from pctheory import Data, EquilibratedEnergy, LinearPCN, MSELoss, feedforward, gradient_descent
from pctheory.dynamics import fit_sharpness
from pctheory.landscape import extreme_eigenvalues

OBJECTIVES = {"bp": MSELoss, "pc": EquilibratedEnergy}


@dataclass(frozen=True)
class Config:
    """New experiment: its own settings."""

    depths: tuple[int, ...] = (2, 4, 8, 16, 32)
    gains: tuple[float, ...] = (0.8, 1.0, 1.2)
    width: int = 6
    samples: int = 24
    parts: tuple[float, ...] = (0.98, 1.02)
    offset: float = 1e-6
    steps: int = 150
    seed: int = 0


PROFILES = {"quick": Config(depths=(2, 4), width=3, samples=6), "cpu": Config(), "full": Config()}


def fit(config: Config, kind: str, depth: int, gain: float) -> dict[str, Any]:
    """Predicted rates and bounds of both objectives, and by how much descent changed the objective on both
    sides.
    """
    rng = np.random.default_rng([config.seed, depth])
    net = LinearPCN.random(
        (config.width,) * (depth + 1), init="orthogonal" if kind == "orthogonal" else None, rng=rng
    )
    net = net.replace(weights=[gain * w for w in net.weights])
    x = np.linalg.qr(rng.standard_normal((config.samples, config.width)))[0] * np.sqrt(config.samples)
    data = Data(x, feedforward(net, x)[-1])
    found: dict[str, Any] = {}
    for rule, objective in OBJECTIVES.items():
        chosen = objective(data)
        sharpness = fit_sharpness(chosen, net)
        top = extreme_eigenvalues(chosen, net).largest_vectors[0]
        start = net.unflatten(net.flatten() + config.offset * top)
        first = float(chosen.value(start))
        for part, name in zip(config.parts, ("below", "above"), strict=True):
            path = gradient_descent(
                chosen, start, part * sharpness.largest_rate, config.steps, record=config.steps
            )
            found[f"{rule}_{name}"] = float(path.values()[-1]) / first
        found[f"{rule}_rate"] = sharpness.largest_rate
        found[f"{rule}_least"], found[f"{rule}_most"] = 2 / sharpness.upper, 2 / sharpness.lower
    return found


def run(config: Config, progress: Progress) -> dict[str, Any]:
    """Tables (gain, depth) for each kind of map."""
    kinds = ("orthogonal", "gaussian")
    cells = [{"kind": k, "depth": d, "gain": g} for k in kinds for g in config.gains for d in config.depths]
    found = progress.cells(fit, cells)
    shape = (len(config.gains), len(config.depths))
    tables: dict[str, Any] = {}
    for kind in kinds:
        own = [r for c, r in zip(cells, found, strict=True) if c["kind"] == kind]
        tables[kind] = {name: np.array([r[name] for r in own]).reshape(shape) for name in list(own[0].flat())}
    return {"depths": np.array(config.depths), "gains": np.array(config.gains), "maps": tables}
