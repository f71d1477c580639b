r"""What does predictive coding learn where backpropagation does reduced-rank regression, and which remedy
restores it?

Claim ``no-minimiser-with-noise``. A linear network with a narrow hidden layer predicts the lower half of an
image of a digit from the upper half: noise, and a bottleneck. Backpropagation's best output space is that of
reduced-rank regression; the infimum of the equilibrated energy depends on the targets alone, and belongs to
their principal components. Each objective is minimised by L-BFGS on its exact gradient: the loss, the energy,
the energy with weight decay, and the full likelihood with the output precision of the best fit.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import minimize

from experiments._progress import Progress
from pctheory import Data, EquilibratedEnergy, LinearPCN, MSELoss, load_dataset
from pctheory.landscape import NegativeLogLikelihood, Objective, WeightDecay, infimum


@dataclass(frozen=True)
class Config:
    units: tuple[int, ...] = (1, 2, 4, 8)
    decays: tuple[float, ...] = (1e-4, 1e-3, 1e-2, 3e-2)
    decay_units: int = 1
    iterations: int = 3000
    train: int = 1200
    seed: int = 0


PROFILES = {
    "quick": Config(units=(2,), decays=(1e-2,), decay_units=2, iterations=150),
    "cpu": Config(units=(1, 2, 4), decays=(1e-4, 1e-3, 1e-2), iterations=500),
    "full": Config(),
}
RULES = ("bp", "pc", "decay", "likelihood")


def halves(config: Config) -> tuple[Data, Data]:
    """Centred upper and lower halves of the digits, mean square 1 an image: training and test data."""
    images = np.asarray(load_dataset("digits").x)
    images = images - images.mean(axis=0)
    images = images / np.sqrt(np.mean(np.sum(images**2, axis=1)))
    order = np.random.default_rng(config.seed).permutation(len(images))
    rows = images[order]
    half = rows.shape[1] // 2
    data = Data(rows[:, :half], rows[:, half:])
    return data.take(slice(0, config.train)), data.take(slice(config.train, None))


def subspaces(data: Data, units: int) -> dict[str, np.ndarray]:
    """The principal components of the targets and the output space of reduced-rank regression, orthonormal
    columns.
    """
    fitted = data.x @ np.linalg.lstsq(data.x, data.y, rcond=None)[0]
    return {
        name: np.linalg.svd(rows)[2][:units].T for name, rows in (("pca", data.y), ("regression", fitted))
    }


def learn(config: Config, units: int, rule: str, strength: float = 0.0) -> dict[str, Any]:
    """Minimise one objective, and compare the output space with both subspaces."""
    train, test = halves(config)
    net = LinearPCN.random(
        (train.x.shape[1], units, train.y.shape[1]), init=0.1, rng=np.random.default_rng([config.seed, units])
    )
    left = np.linalg.eigvalsh(train.residual_noise()).mean()
    objective: Objective
    if rule == "bp":
        objective = MSELoss(train)
    elif rule == "likelihood":
        net, objective = net.replace(precisions=[1.0, 1.0 / left]), NegativeLogLikelihood(train)
    else:
        energy = EquilibratedEnergy(train)
        objective = WeightDecay(energy, strength) if rule == "decay" else energy

    def function(vector: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = objective.value_and_gradient(net.unflatten(vector))
        return float(value), np.concatenate([np.ravel(g) for g in gradient])

    options = {"maxiter": config.iterations, "maxfun": 2 * config.iterations, "gtol": 1e-12, "ftol": 1e-15}
    end = minimize(function, net.flatten(), jac=True, method="L-BFGS-B", options=options)  # type: ignore[call-overload]
    learned = LinearPCN(net.unflatten(end.x).weights)
    basis = np.linalg.qr(learned.weights[-1])[0]
    overlaps = {
        name: float(np.sum((basis.T @ space) ** 2)) / units for name, space in subspaces(train, units).items()
    }
    energy = EquilibratedEnergy(train)
    return {
        "loss": float(MSELoss(train).value(learned)),
        "test": float(MSELoss(test).value(learned)),
        "energy": float(energy.value(learned)),
        "least_energy": infimum(energy, learned),
        "least_loss": infimum(MSELoss(train), learned),
        "sizes": np.array([np.linalg.norm(w) for w in learned.weights]),
        **overlaps,
    }


def closed_form(config: Config, units: int) -> dict[str, float]:
    """Test losses of the regression within either subspace, and the overlap of the two."""
    train, test = halves(config)
    spaces = subspaces(train, units)
    whole = np.linalg.lstsq(train.x, train.y, rcond=None)[0].T
    losses = {
        name: float(MSELoss(test).value(LinearPCN([space.T @ whole, space])))
        for name, space in spaces.items()
    }
    return {**losses, "overlap": float(np.sum((spaces["pca"].T @ spaces["regression"]) ** 2)) / units}


def run(config: Config, progress: Progress) -> dict[str, Any]:
    cells: list[dict[str, Any]] = [
        {"units": k, "rule": rule} for k in config.units for rule in ("bp", "pc", "likelihood")
    ]
    cells += [{"units": config.decay_units, "rule": "decay", "strength": s} for s in config.decays]
    results = progress.cells(learn, cells)
    learned: dict[str, dict[str, Any]] = {rule: {} for rule in RULES}
    for cell, result in zip(cells, results, strict=True):
        key = f"{cell['strength']:g}" if "strength" in cell else str(cell["units"])
        learned[cell["rule"]][key] = dict(result.items())
    return {
        **learned,
        "closed_form": {str(k): closed_form(config, k) for k in config.units},
        "units": np.array(config.units),
        "decays": np.array(config.decays),
    }
