r"""What does predictive coding learn where backpropagation does reduced-rank regression, and which remedy
restores it?

Claim ``no-minimiser-with-noise``. Linear networks with a narrow hidden layer on Fashion-MNIST: they predict
the lower half of an image from the upper half, or its class, which are noise and a bottleneck, or the image
itself, which is a bottleneck without noise. Backpropagation's best output space is that of reduced-rank
regression; the infimum of the equilibrated energy depends on the targets alone, and belongs to their
principal components. Each objective is minimised by L-BFGS on its exact gradient: the loss, the energy, the
energy with weight decay, and the full likelihood with the output precision of the best fit.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.optimize import minimize

from experiments._images import images, pooled
from experiments._progress import Progress
from pctheory import Data, EquilibratedEnergy, LinearPCN, MSELoss
from pctheory.landscape import NegativeLogLikelihood, Objective, WeightDecay, infimum

TASKS = ("completion", "classification", "autoencoding")
RULES = ("bp", "pc", "likelihood", "decay")


@dataclass(frozen=True)
class Config:
    dataset: str = "fashion-mnist"
    pool: int = field(default=2, metadata={"label": "side of the pooled squares"})
    train: int = 20_000
    test: int = 5000
    units: tuple[int, ...] = (1, 2, 4, 8)
    decays: tuple[float, ...] = (1e-4, 1e-3, 1e-2, 3e-2)
    decay_units: int = 2
    iterations: int = 3000
    seed: int = 0


PROFILES = {
    "quick": Config(dataset="digits", train=1200, test=300, units=(2,), decays=(1e-2,), iterations=150),
    "cpu": Config(
        pool=4, train=10_000, test=2000, units=(1, 2, 4), decays=(1e-4, 1e-3, 1e-2), iterations=500
    ),
    "full": Config(),
}


def samples(config: Config, task: str) -> tuple[Data, Data]:
    """Training and test data: images of mean square 1, and all targets, centred by the training means."""
    train, used = images(config.dataset, config.train)
    test, _ = images(config.dataset, config.test, "test")
    rows, held_out = (pooled(d.x, config.pool if used != "digits" else 1)[0] for d in (train, test))
    mean = rows.mean(axis=0)
    size = np.sqrt(np.mean(np.sum((rows - mean) ** 2, axis=1)))
    classes = train.y.mean(axis=0)
    found = []
    for x, y in ((rows, train.y), (held_out, test.y)):
        image = (x - mean) / size
        half = image.shape[1] // 2
        targets = {"completion": image[:, half:], "classification": y - classes, "autoencoding": image}
        found.append(Data(image[:, :half] if task == "completion" else image, targets[task]))
    return found[0], found[1]


def subspaces(data: Data, units: int) -> dict[str, np.ndarray]:
    """The principal components of the targets and the output space of reduced-rank regression, orthonormal
    columns.
    """
    fitted = data.x @ np.linalg.lstsq(data.x, data.y, rcond=None)[0]
    return {
        name: np.linalg.svd(rows, full_matrices=False)[2][:units].T
        for name, rows in (("pca", data.y), ("regression", fitted))
    }


def accuracy(data: Data, net: LinearPCN) -> float:
    """Rate of samples whose largest centred output is that of their class."""
    output = data.x @ np.linalg.multi_dot([w.T for w in net.weights])
    return float(np.mean(np.argmax(output, axis=1) == np.argmax(data.y, axis=1)))


def learn(config: Config, task: str, units: int, rule: str, strength: float = 0.0) -> dict[str, Any]:
    """Minimise one objective, and compare the output space with both subspaces."""
    train, test = samples(config, task)
    net = LinearPCN.random(
        (train.x.shape[1], units, train.y.shape[1]), init=0.1, rng=np.random.default_rng([config.seed, units])
    )
    left = float(np.linalg.eigvalsh(train.residual_noise()).mean())
    small = train.compress()
    energy = EquilibratedEnergy(small)
    objective: Objective
    if rule == "bp":
        objective = MSELoss(small)
    elif rule == "likelihood":
        net, objective = net.replace(precisions=[1.0, 1.0 / left]), NegativeLogLikelihood(small)
    else:
        objective = WeightDecay(energy, strength) if rule == "decay" else energy

    def function(vector: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = objective.value_and_gradient(net.unflatten(vector))
        return float(value), np.concatenate([np.ravel(g) for g in gradient])

    options = {"maxiter": config.iterations, "maxfun": 2 * config.iterations, "gtol": 1e-12, "ftol": 1e-15}
    end = minimize(  # type: ignore[call-overload]
        function, net.flatten(), jac=True, method="L-BFGS-B", options=options
    )
    learned = LinearPCN(net.unflatten(end.x).weights)
    basis = np.linalg.qr(learned.weights[-1])[0]
    overlaps = {
        name: float(np.sum((basis.T @ space) ** 2)) / units for name, space in subspaces(train, units).items()
    }
    return {
        "loss": float(MSELoss(small).value(learned)),
        "test": float(MSELoss(test).value(learned)),
        "accuracy": accuracy(test, learned) if task == "classification" else np.nan,
        "energy": float(energy.value(learned)),
        "least_energy": infimum(energy, learned),
        "least_loss": infimum(MSELoss(small), learned),
        "sizes": np.array([np.linalg.norm(w) for w in learned.weights]),
        **overlaps,
    }


def closed_form(config: Config, task: str, units: int) -> dict[str, float]:
    """Test losses of the regression within either subspace, the overlap of the two, and the gap of the
    components: the last eigenvalue that is kept over the first one that is not.
    """
    train, test = samples(config, task)
    spaces = subspaces(train, units)
    whole = np.linalg.lstsq(train.x, train.y, rcond=None)[0].T
    losses = {
        name: float(MSELoss(test).value(LinearPCN([space.T @ whole, space])))
        for name, space in spaces.items()
    }
    spectrum = np.linalg.eigvalsh(train.yy)[::-1]
    overlap = float(np.sum((spaces["pca"].T @ spaces["regression"]) ** 2)) / units
    return {**losses, "overlap": overlap, "gap": float(spectrum[units - 1] / spectrum[units])}


def run(config: Config, progress: Progress) -> dict[str, Any]:
    """For each task and rule the results by number of units, for decay by strength; and the closed forms."""
    cells: list[dict[str, Any]] = [
        {"task": task, "units": k, "rule": rule}
        for task in TASKS
        for k in config.units
        for rule in RULES[:-1]
        if (task, rule) != ("autoencoding", "likelihood")  # no noise, no precision of the best fit
    ]
    cells += [
        {"task": task, "units": config.decay_units, "rule": "decay", "strength": s}
        for task in TASKS[:-1]
        for s in config.decays
    ]
    results = progress.cells(learn, cells)
    tasks: dict[str, dict[str, Any]] = {task: {rule: {} for rule in RULES} for task in TASKS}
    for cell, result in zip(cells, results, strict=True):
        key = f"{cell['strength']:g}" if "strength" in cell else str(cell["units"])
        tasks[cell["task"]][cell["rule"]][key] = dict(result.items())
    for task in TASKS:
        tasks[task]["closed_form"] = {str(k): closed_form(config, task, k) for k in config.units}
    return {
        **{task: {name: table for name, table in tasks[task].items() if table} for task in TASKS},
        "dataset": images(config.dataset, 1)[1],
        "units": np.array(config.units),
        "decays": np.array(config.decays),
        "decay_units": config.decay_units,
    }
