r"""How long do backpropagation and predictive coding stay at the saddles of matrix completion?

A 10 x 10 matrix of rank 3 with a fifth of its entries hidden is learned by a network with three hidden layers
whose input j is the j-th unit vector and whose output is column j; hidden entries add nothing to loss or
energy. Full batch, Gaussian initial weights near the origin. Innocenti et al. 2024 (arXiv:2408.11979), figure
6. BP descends the loss, PC follows the local rule after T steps of inference; at the matched scale both have
1/(2B) in front, at the published one the public code averages BP's loss over batch and outputs, (2/n_L) L,
and sums PC's energy over the batch, B F, so that PC's step is B n_L / 2 = 50 times BP's. (That code also
feeds in the columns of the masked matrix, which leaves the saddles' errors where they are, and shows PC the
hidden entries; here both rules see the same entries.)

The saddles that BP visits are the minima of its gradient norm along the run. PC starts from the weights at
the first two, too, at the matched scale. Real data: the ratings of MovieLens, of the films with the most
ratings by the users who rated the most of them, minus their mean, by the linear network; the ratings that do
not exist are hidden, and a fifth of the others. Claims ``matched-scale`` and ``strict-saddles``.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from scipy.signal import find_peaks

from experiments._escape import EscapeSettings, over_seeds, recorded, stacked
from experiments._progress import Progress
from pctheory.datasets import load_movielens

RUNS = ("bp", "pc", "bp-published", "pc-published")
RATINGS_RUNS = ("bp", "pc")
Matrix = np.ndarray


@dataclass(frozen=True)
class Config(EscapeSettings):
    """Published settings; the published numbers of iterations are not known. MovieLens is this work's."""

    size: int = 10
    rank: int = 3
    hidden_share: float = field(default=0.2, metadata={"label": "share of hidden entries"})
    hidden_layers: int = 3
    width: int = field(default=100, metadata={"label": "width N"})
    learning_rate: float = 1e-2
    bp_iterations: int = field(default=1_000_000, metadata={"label": "iterations of BP"})
    pc_iterations: int = field(default=50_000, metadata={"label": "iterations of PC at the matched scale"})
    points: int = 300
    saddles: int = 2
    films: int = field(default=64, metadata={"label": "films and users"})
    ratings_ranks: int = 5


PROFILES = {
    "quick": Config(
        size=5,
        rank=2,
        hidden_layers=2,
        width=12,
        activations=("linear", "tanh"),
        init=0.02,
        learning_rate=0.1,
        bp_iterations=4000,
        pc_iterations=400,
        points=60,
        saddles=1,
        films=12,
        ratings_ranks=2,
        seeds=1,
    ),
    "cpu": Config(bp_iterations=150_000, pc_iterations=6000, points=200, seeds=2),
    "full": Config(),
}


def phi(name: str, z: Matrix) -> Matrix:
    """The activation."""
    if name == "linear":
        return z
    return np.tanh(z) if name == "tanh" else np.maximum(z, 0)


def slope(name: str, z: Matrix) -> Matrix | float:
    """Its derivative."""
    if name == "linear":
        return 1.0
    return 1 - np.tanh(z) ** 2 if name == "tanh" else (z > 0).astype(z.dtype)


def feedforward(weights: Sequence[Matrix], name: str) -> list[Matrix]:
    """Activities of layers 1..L, samples in rows; the inputs are the unit vectors."""
    activities = [weights[0].T]
    for weight in weights[1:]:
        activities.append(phi(name, activities[-1]) @ weight.T)
    return activities


def bp_gradient(
    weights: Sequence[Matrix], name: str, y: Matrix, observed: Matrix
) -> tuple[float, list[Matrix]]:
    r"""The loss :math:`\frac{1}{2B} \sum |m \odot (y - f(x))|^2` and its gradient.

    y and observed are (B, n_L).
    """
    activities = feedforward(weights, name)
    error = observed * (y - activities[-1])
    value = float(np.sum(error**2)) / (2 * len(y))
    gradient = []
    for weight, before in zip(weights[:0:-1], activities[-2::-1], strict=True):
        gradient.append(-error.T @ phi(name, before) / len(y))
        error = (error @ weight) * slope(name, before)
    gradient.append(-error.T / len(y))
    return value, gradient[::-1]


def pc_gradient(
    weights: Sequence[Matrix], name: str, y: Matrix, observed: Matrix, steps: int, dt: float
) -> tuple[float, list[Matrix]]:
    r"""The energy after `steps` of gradient descent on the activities, from the forward pass, and the local
    gradient.

    :math:`F = \frac{1}{2B} \sum (\sum_{l<L} |\epsilon_l|^2 + |m \odot \epsilon_L|^2)`; `dt` is the step on
    each sample's own energy.
    """
    z = feedforward(weights, name)[:-1]
    first = weights[0].T

    def errors() -> tuple[list[Matrix], list[Matrix]]:
        rates = [phi(name, value) for value in z]
        predictions = [rate @ weight.T for rate, weight in zip(rates, weights[1:], strict=True)]
        inner = [value - prediction for value, prediction in zip(z, [first, *predictions[:-1]], strict=True)]
        return rates, [*inner, observed * (y - predictions[-1])]

    for _ in range(steps):
        _, e = errors()
        pushes = [error @ weight for error, weight in zip(e[1:], weights[1:], strict=True)]
        z = [
            value - dt * (error - push * slope(name, value))
            for value, error, push in zip(z, e[:-1], pushes, strict=True)
        ]
    rates, e = errors()
    value = sum(float(np.sum(error**2)) for error in e) / (2 * len(y))
    local = [-error.T @ rate / len(y) for error, rate in zip(e[1:], rates, strict=True)]
    return value, [-e[0].T / len(y), *local]


def problem(config: Config, seed: int) -> tuple[Matrix, Matrix, Matrix]:
    """Columns of the matrix, which entries are observed, and which are hidden but known: each (B, n_L)."""
    rng = np.random.default_rng([config.seed, seed])
    factors = rng.standard_normal((2, config.size, config.rank))
    hidden = rng.permutation(config.size**2) < round(config.hidden_share * config.size**2)
    observed = 1.0 - hidden.reshape(config.size, config.size)
    return factors[0] @ factors[1].T, observed, 1.0 - observed


def ratings(config: Config) -> tuple[Matrix, Matrix, Matrix]:
    """Ratings (users, films) minus the mean of the observed ones, and the masks, as in `problem`."""
    users, films, stars = load_movielens()
    table = np.zeros((users.max() + 1, films.max() + 1))
    table[users, films] = stars  # no rating is 0
    chosen = np.argsort(-np.count_nonzero(table, axis=0), kind="stable")[: config.films]
    raters = np.argsort(-np.count_nonzero(table[:, chosen], axis=1), kind="stable")[: config.films]
    y = table[np.ix_(raters, chosen)]
    known = np.flatnonzero(y)
    order = np.random.default_rng([config.seed, config.films]).permutation(known)
    cut = round(config.hidden_share * known.size)
    tested, observed = np.zeros_like(y), np.zeros_like(y)
    tested.flat[order[:cut]], observed.flat[order[cut:]] = 1.0, 1.0
    return y - y[observed > 0].mean(), observed, tested


def lowest_loss(y: Matrix, observed: Matrix, rank: int, sweeps: int = 2000) -> float:
    """Mean squared observed residual of a fit of this rank, by alternating least squares from the SVD."""
    if rank == 0:
        return float(np.mean((observed * y) ** 2))
    left = np.linalg.svd(observed * y)[0][:, :rank]
    right = np.zeros((y.shape[1], rank))
    for _ in range(sweeps):
        for j, seen in enumerate(observed.T > 0):
            right[j] = np.linalg.lstsq(left[seen], y[seen, j], rcond=None)[0]
        for i, seen in enumerate(observed > 0):
            left[i] = np.linalg.lstsq(right[seen], y[i, seen], rcond=None)[0]
    return float(np.mean((observed * (y - left @ right.T)) ** 2))


def descend(
    config: Config,
    activation: str,
    method: str,
    entries: tuple[Matrix, Matrix, Matrix],
    weights: Sequence[Matrix],
) -> tuple[dict[str, Matrix], list[list[Matrix]]]:
    """One run: errors, energy, gradient norm and weights at the records.

    Errors are mean squares over all entries; the energy is multiplied by 2/n_L.
    """
    y, observed, tested = (part.astype(np.float32) for part in entries)
    mean = 2 / y.shape[1]  # what the mean over batch and outputs is of 1/(2B) times the sum
    scale = {"bp-published": mean, "pc-published": len(y)}.get(method, 1.0)
    rate = np.float32(scale * config.learning_rate)
    back = method.startswith("bp")
    total = config.bp_iterations if back else round(config.pc_iterations / scale)
    kept = recorded(total, config.points)
    weights = [weight.copy() for weight in weights]
    rows: list[tuple[float, ...]] = []
    path: list[list[Matrix]] = []
    for step in range(total + 1):
        if back:
            value, gradient = bp_gradient(weights, activation, y, observed)
        else:
            value, gradient = pc_gradient(
                weights, activation, y, observed, config.inference_steps, config.inference_dt
            )
        if step == kept[len(rows)]:
            missed = (y - feedforward(weights, activation)[-1]) ** 2
            norm = float(np.sqrt(sum(float(np.sum(g**2)) for g in gradient)))
            rows.append(
                (float(np.mean(observed * missed)), float(np.mean(tested * missed)), mean * value, norm)
            )
            path.append([weight.copy() for weight in weights])
        for weight, g in zip(weights, gradient, strict=True):
            weight -= rate * g
    columns = dict(zip(("error", "hidden_error", "energy", "norm"), np.array(rows).T, strict=True))
    return {"step": kept, **columns}, path


def initial(config: Config, size: int, seed: int) -> list[Matrix]:
    """Weights near the origin."""
    rng = np.random.default_rng([config.seed, seed, 1])
    return [
        np.float32(config.init) * rng.standard_normal((after, before)).astype(np.float32)
        for before, after in pairwise(config.widths(size, size))
    ]


def visited(norms: Matrix) -> Matrix:
    """Records at which the gradient norm has a minimum.

    Only minima at most half as high as the barriers beside them count.
    """
    found: Matrix = find_peaks(-np.log(norms), prominence=np.log(2))[0]
    return found


def trial(config: Config, activation: str, method: str, seed: int) -> dict[str, Any]:
    """A run from near the origin.

    For BP also the runs of PC from the saddles that BP visits; NaN beyond their number.
    """
    entries = problem(config, seed)
    found, path = descend(config, activation, method, entries, initial(config, config.size, seed))
    if method != "bp":
        return found
    records = visited(found["norm"])
    starts: dict[str, Any] = {}
    for number in range(1, config.saddles + 1):
        there = number <= len(records)
        record = records[number - 1] if there else 0
        run, _ = descend(config, activation, "pc", entries, path[record])
        if not there:
            run = {
                key: values if key == "step" else np.full_like(values, np.nan) for key, values in run.items()
            }
        starts[str(number)] = {"from": float(found["step"][record]) if there else np.nan, **run}
    return {**found, "saddles": starts}


def rated(config: Config, method: str) -> dict[str, Any]:
    """A run of the linear network on the ratings."""
    return descend(config, "linear", method, ratings(config), initial(config, config.films, 0))[0]


def run(config: Config, progress: Progress) -> dict[str, Any]:
    """All activations, scales and seeds, the ratings, and the errors of the best fits of each rank."""
    cells = [
        {"activation": a, "method": m, "seed": s}
        for a in config.activations
        for m in RUNS
        for s in range(config.seeds)
    ]
    curves = over_seeds(cells, progress.cells(trial, cells), ("activation", "method"))
    real = progress.cells(rated, [{"method": m} for m in RATINGS_RUNS])
    matrices = [problem(config, s)[:2] for s in range(config.seeds)]
    ranks = [[lowest_loss(*entries, rank) for rank in range(config.rank)] for entries in matrices]
    y, observed, tested = ratings(config)
    return {
        "curves": curves,
        "ranks": np.array(ranks),
        "ratings": {
            "runs": {m: stacked([r]) for m, r in zip(RATINGS_RUNS, real, strict=True)},
            "ranks": np.array([lowest_loss(y, observed, k, 300) for k in range(config.ratings_ranks)]),
            "observed": float(observed.mean()),
            "hidden": float(tested.mean()),
            "first_hidden_error": float(np.mean(tested * y**2)),
        },
    }
