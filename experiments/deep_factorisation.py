r"""Is exact predictive coding a faster way to train a deep factorisation of all of MovieLens?

The ratings of 671 users and 9066 films, less the mean and the damped means of film and user, are factorised
by a linear network: the input is the user's unit vector, the outputs are the films, only the rated ones are
observed (claim ``missing-outputs``). L weight layers, hidden layers of one width, small Gaussian weights,
full batch, gradient descent on the loss (BP) and on :math:`F^*` (PC, exact: one system of the hidden width
for each user), with weight decay. 80% of the ratings train, 10% choose rate, decay and the step to stop at,
10% are reported. Rate and decay are those of the lowest validation error on the first split. Beside them the
factorisation of scikit-surprise (SVD: Funk's algorithm with biases), its settings chosen on the same
validation ratings.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import scipy.sparse

from experiments._progress import Progress
from pctheory.datasets import load_movielens

RULES = ("bp", "pc")
DAMPING = 10.0
"""Ratings of a user or a film that count as much as the prior mean 0."""

Matrix = np.ndarray


@dataclass(frozen=True)
class Config:
    """New experiment: its own settings."""

    depths: tuple[int, ...] = (2, 3, 4)
    width: int = field(default=8, metadata={"label": "hidden width"})
    init: float = 0.03
    rates: tuple[float, ...] = (1.0, 2.0, 4.0, 8.0)
    decays: tuple[float, ...] = (0.0, 0.01, 0.03)
    trial_steps: int = 240
    steps: int = 300
    every: int = 3
    worse: float = 0.01
    seeds: int = 3
    users: int = field(default=0, metadata={"label": "users (0: all)"})
    factors: tuple[int, ...] = (8, 50)
    regularisations: tuple[float, ...] = (0.02, 0.05, 0.1)
    epochs: int = field(default=40, metadata={"label": "epochs of the library (0: left out)"})
    seed: int = 0


PROFILES = {
    "quick": Config(
        depths=(2, 3), width=3, init=0.2, rates=(1.0, 4.0), decays=(0.0, 0.05), trial_steps=30, steps=30,
        seeds=2, users=60, epochs=0,
    ),
    "cpu": Config(),
    "full": Config(),
}  # fmt: skip


@dataclass(frozen=True)
class Ratings:
    """Residuals of the means: a sparse matrix (users, films) of each part, and the train part's entries."""

    train: scipy.sparse.csr_array
    valid: tuple[Matrix, Matrix, Matrix]
    test: tuple[Matrix, Matrix, Matrix]
    raw: dict[str, tuple[Matrix, Matrix, Matrix]]


def ratings(config: Config, seed: int) -> Ratings:
    """A random split of the ratings, less the means of the training part."""
    users, films, stars = load_movielens()
    if config.users:
        kept = (users < config.users) & (films < 4 * config.users)
        users, films, stars = users[kept], films[kept], stars[kept]
        users = np.unique(users, return_inverse=True)[1]
        films = np.unique(films, return_inverse=True)[1]
    shape = (users.max() + 1, films.max() + 1)
    order = np.random.default_rng([config.seed, seed]).permutation(len(stars))
    cuts = np.split(order, [round(0.8 * len(stars)), round(0.9 * len(stars))])
    raw = {
        name: (users[rows], films[rows], stars[rows])
        for name, rows in zip(("train", "valid", "test"), cuts, strict=True)
    }
    u, i, r = raw["train"]
    mean = r.mean()
    of_film = damped(i, r - mean, shape[1])
    of_user = damped(u, r - mean - of_film[i], shape[0])
    rest = {name: (u, i, r - mean - of_film[i] - of_user[u]) for name, (u, i, r) in raw.items()}
    u, i, r = rest["train"]
    return Ratings(scipy.sparse.csr_array((r, (u, i)), shape=shape), rest["valid"], rest["test"], raw)


def damped(group: Matrix, values: Matrix, size: int) -> Matrix:
    """Mean of the values of each group, drawn to 0 by `DAMPING` more values of 0."""
    counts = np.bincount(group, minlength=size)
    return np.bincount(group, values, minlength=size) / (counts + DAMPING)


def hidden_maps(weights: Sequence[Matrix]) -> tuple[list[Matrix], Matrix]:
    """Activities of the forward pass at layers 1..L-1, (users, k) each, and their noise covariance M."""
    z, covariance = [weights[0].T], np.eye(len(weights[0]))
    for weight in weights[1:-1]:
        z.append(z[-1] @ weight.T)
        covariance = np.eye(len(weight)) + weight @ covariance @ weight.T
    return z, covariance


def entries_of(train: scipy.sparse.csr_array) -> Matrix:
    """The user of each stored entry."""
    return np.repeat(np.arange(train.shape[0]), np.diff(train.indptr))


def gradient(
    rule: str, weights: Sequence[Matrix], train: scipy.sparse.csr_array, users: Matrix
) -> list[Matrix]:
    r"""The gradient of the loss or of :math:`F^*` in the weights.

    Inference moves z_{L-1} of a user by :math:`M q`, :math:`q = (I + A_O^T A_O M)^{-1} A_O^T r_O = A_L^T
    \delta`, and leaves the errors :math:`\delta_O = r_O - A_O M q`; the loss has q = 0.
    """
    z, covariance = hidden_maps(weights)
    last, films = weights[-1], train.indices
    residual = train.data - np.einsum("ek,ek->e", z[-1][users], last[films])
    errors = scipy.sparse.csr_array((residual, films, train.indptr), shape=train.shape)
    if rule == "pc":
        pulled = errors @ last
        read = last[films]
        grams = np.stack([read[a:b].T @ read[a:b] for a, b in pairwise(train.indptr)])
        systems = np.eye(len(covariance)) + grams @ covariance
        back = np.linalg.solve(systems, pulled[:, :, None])[:, :, 0]
        change = back @ covariance
        residual = residual - np.einsum("ek,ek->e", change[users], read)
        errors = scipy.sparse.csr_array((residual, films, train.indptr), shape=train.shape)
        deltas = [back]
        for weight in weights[-2:0:-1]:
            deltas.append(deltas[-1] @ weight)
        deltas.reverse()
        z = [weights[0].T + deltas[0]]
        for weight, delta in zip(weights[1:-1], deltas[1:], strict=True):
            z.append(z[-1] @ weight.T + delta)
    else:
        deltas = [errors @ last]
        for weight in weights[-2:0:-1]:
            deltas.append(deltas[-1] @ weight)
        deltas.reverse()
    size = train.shape[0]
    inner = [-(delta.T @ before) / size for delta, before in zip(deltas[1:], z, strict=False)]
    return [-deltas[0].T / size, *inner, -(errors.T @ z[-1]) / size]


def error(weights: Sequence[Matrix], part: tuple[Matrix, Matrix, Matrix]) -> float:
    """Root mean squared error of the forward pass on a part, in stars."""
    users, films, values = part
    features = hidden_maps(weights)[0][-1]
    return float(np.sqrt(np.mean((values - np.einsum("ek,ek->e", features[users], weights[-1][films])) ** 2)))


def singular_values(weights: Sequence[Matrix]) -> Matrix:
    """Those of the whole map, as many as the hidden width."""
    features, films = (
        np.asarray(np.linalg.qr(rows).R) for rows in (hidden_maps(weights)[0][-1], weights[-1])
    )
    return np.asarray(np.linalg.svd(features @ films.T, compute_uv=False))


def initial(config: Config, depth: int, shape: tuple[int, int], seed: int) -> list[Matrix]:
    """Weights near the origin."""
    rng = np.random.default_rng([config.seed, seed, depth])
    widths = (shape[0], *(config.width,) * (depth - 1), shape[1])
    return [config.init * rng.standard_normal((after, before)) for before, after in pairwise(widths)]


def descend(
    config: Config, rule: str, depth: int, rate: float, decay: float, seed: int, steps: int, worse: float
) -> dict[str, Any]:
    """Errors and singular values at every `every`-th step, NaN after the end, and CPU seconds for each step.

    The run ends where the validation error is `worse` than its least so far, or the weights diverge.
    """
    data = ratings(config, seed)
    users = entries_of(data.train)
    own = (users, data.train.indices, data.train.data)
    weights = initial(config, depth, data.train.shape, seed)
    count = steps // config.every + 1
    errors = np.full((3, count), np.nan)
    singular = np.full((count, config.width), np.nan)
    clock, taken, best = 0.0, 0, np.inf
    for step in range(steps + 1):
        if step % config.every == 0:
            at = step // config.every
            errors[:, at] = [error(weights, part) for part in (own, data.valid, data.test)]
            singular[at] = singular_values(weights)
            best = min(best, errors[1, at])
            if not errors[1, at] <= best + worse:
                break
        if step == steps:
            break
        start = time.process_time()
        slopes = gradient(rule, weights, data.train, users)
        weights = [w - rate * (g + decay * w) for w, g in zip(weights, slopes, strict=True)]
        clock, taken = clock + time.process_time() - start, taken + 1
        if not all(np.all(np.abs(w) < 1e3) for w in weights):
            break
    names = ("train", "valid", "test")
    return {
        **dict(zip(names, errors, strict=True)), "singular": singular, "seconds": clock / max(taken, 1)
    }  # fmt: skip


def trial(config: Config, rule: str, depth: int, rate: float, decay: float) -> dict[str, Any]:
    """A run on the first split, to choose rate and decay."""
    return descend(config, rule, depth, rate, decay, 0, config.trial_steps, config.worse)


def final(config: Config, rule: str, depth: int, rate: float, decay: float, seed: int) -> dict[str, Any]:
    """A run at the rate and the decay that were chosen."""
    return descend(config, rule, depth, rate, decay, seed, config.steps, np.inf)


def library(config: Config, factors: int, regularisation: float, seed: int) -> dict[str, Any]:
    """Validation and test error of the library's factorisation, and its CPU seconds."""
    import pandas as pd
    import surprise

    raw = ratings(config, seed).raw
    table = pd.DataFrame(dict(zip(("user", "film", "stars"), raw["train"], strict=True)))
    train = surprise.Dataset.load_from_df(table, surprise.Reader(rating_scale=(0.5, 5.0)))
    model = surprise.SVD(
        n_factors=factors, n_epochs=config.epochs, reg_all=regularisation, random_state=config.seed
    )
    start = time.process_time()
    model.fit(train.build_full_trainset())
    seconds = time.process_time() - start
    found = {
        name: float(
            np.sqrt(np.mean([(p.est - p.r_ui) ** 2 for p in model.test(zip(*raw[name], strict=True))]))
        )
        for name in ("valid", "test")
    }
    return {**found, "seconds": seconds}


def chosen(trials: Sequence[Any], cells: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The cell of the lowest validation error."""
    return cells[int(np.argmin([np.nanmin(np.asarray(t["valid"])) for t in trials]))]


def run(config: Config, progress: Progress) -> dict[str, Any]:
    """Trials, the runs at the chosen settings on every split, the library."""
    pairs = [(rule, depth) for depth in config.depths for rule in RULES]
    grid = [
        {"rule": rule, "depth": depth, "rate": rate, "decay": decay}
        for rule, depth in pairs
        for rate in config.rates
        for decay in config.decays
    ]
    trials = progress.cells(trial, grid)
    runs: dict[str, dict[str, Any]] = {str(depth): {} for depth in config.depths}
    best = []
    for rule, depth in pairs:
        own = [i for i, cell in enumerate(grid) if (cell["rule"], cell["depth"]) == (rule, depth)]
        best.append(chosen([trials[i] for i in own], [grid[i] for i in own]))
        runs[str(depth)][rule] = {
            "rate": best[-1]["rate"],
            "decay": best[-1]["decay"],
            "trials": np.array([np.asarray(trials[i]["valid"]) for i in own]),
            "trial_seconds": float(np.mean([trials[i]["seconds"] for i in own])),
        }
    cells = [{**cell, "seed": seed} for cell in best for seed in range(config.seeds)]
    for cell, found in zip(cells, progress.cells(final, cells), strict=True):
        own = runs[str(cell["depth"])][cell["rule"]]
        for name, values in found.flat().items():
            own.setdefault(name, []).append(np.asarray(values))
    splits = [ratings(config, seed) for seed in range(config.seeds)]
    result: dict[str, Any] = {
        "runs": runs,
        "every": config.every,
        "means": np.array([np.sqrt(np.mean(s.test[2] ** 2)) for s in splits]),
        "means_valid": float(np.sqrt(np.mean(splits[0].valid[2] ** 2))),
    }
    if config.epochs:
        options = [
            {"factors": f, "regularisation": r} for f in config.factors for r in config.regularisations
        ]
        tried = progress.cells(library, [{**option, "seed": 0} for option in options])
        setting: dict[str, Any] = options[int(np.argmin([t["valid"] for t in tried]))]
        fits = progress.cells(library, [{**setting, "seed": seed} for seed in range(config.seeds)])
        result["library"] = {
            **setting,
            **{name: np.array([fit[name] for fit in fits]) for name in ("valid", "test", "seconds")},
        }
    return result
