r"""How much does temporal predictive coding lose against the Kalman filter, and what do its steps cost?

A hidden position and velocity, seen as a noisy position. One path with all estimates; the mean squared error
of the position over the ratio of the noises, and over the number of gradient steps of inference, predicted
and simulated. Claim ``state-space``.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from experiments._progress import Progress
from pctheory.related import StateSpace


@dataclass(frozen=True)
class Config:
    """New experiment: its own settings."""

    times: int = 60
    noises: tuple[float, ...] = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
    noise: float = 0.05
    steps: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64, 128)
    run: int = 20000
    burn: int = 500
    damping: float = 0.8
    seed: int = 0


PROFILES = {
    "quick": Config(times=20, noises=(0.1, 1.0), steps=(8, 64), run=2500),
    "cpu": Config(),
    "full": Config(),
}


def space(config: Config, noise: float) -> StateSpace:
    """A damped particle: position and velocity, driven with variance `noise`, seen with variance 1."""
    a = np.array([[0.9, 1.0], [0.0, config.damping]])
    q = noise * np.array([[0.3, 0.2], [0.2, 0.4]])
    return StateSpace(a, np.array([[1.0, 0.0]]), q, np.eye(1), np.eye(2))


def simulate(config: Config, model: StateSpace, times: int, rng: np.random.Generator) -> Any:
    """States (T, 2) and observations (T, 1)."""
    root = np.linalg.cholesky(model.state_noise)
    state, states = np.zeros(2), []
    for _ in range(times):
        state = model.transition @ state + root @ rng.standard_normal(2)
        states.append(state)
    track = np.array(states)
    return track, track[:, :1] + rng.standard_normal((times, 1))


def step_of(model: StateSpace) -> float:
    """One over the largest curvature of inference: a stable step."""
    hessian = np.linalg.inv(model.state_noise) + model.observation.T @ model.observation
    return float(1 / np.linalg.eigvalsh(hessian)[-1])


def squared(
    config: Config, model: StateSpace, gain: np.ndarray, rng: np.random.Generator
) -> dict[str, float]:
    """The predicted and the simulated mean squared error of the position with a constant gain."""
    track, seen = simulate(config, model, config.run, rng)
    mean, off = np.zeros(2), []
    for state, o in zip(track, seen, strict=True):
        ahead = model.transition @ mean
        mean = ahead + gain @ (o - model.observation @ ahead)
        off.append((mean[0] - state[0]) ** 2)
    return {
        "predicted": float(model.error_covariance(gain)[0, 0]),
        "simulated": float(np.mean(off[config.burn :])),
    }


def run(config: Config, progress: Progress) -> dict[str, Any]:
    """One path; errors over the noise of both filters; errors over the steps of inference."""
    rng = np.random.default_rng(config.seed)
    model = space(config, config.noise)
    track, seen = simulate(config, model, config.times, rng)
    filtered, smoothed = model.filter(seen), model.smooth(seen)
    result: dict[str, Any] = {
        "path": {
            "position": track[:, 0],
            "seen": seen[:, 0],
            "kalman": filtered.means[:, 0],
            "smoother": smoothed.means[:, 0],
            "width": np.sqrt(smoothed.covariances[:, 0, 0]),
            "temporal": model.temporal(seen).means[:, 0],
        },
        "noises": np.array(config.noises),
        "steps": np.array(config.steps),
    }
    over: dict[str, list[dict[str, float]]] = {"kalman": [], "temporal": []}
    for noise in config.noises:
        other = space(config, noise)
        over["kalman"].append(squared(config, other, other.steady_gain(), rng))
        over["temporal"].append(squared(config, other, other.temporal_gain(), rng))
    g = step_of(model)
    over["steps errors"] = [
        squared(config, model, model.temporal_gain(step=g, num_steps=t), rng) for t in config.steps
    ]
    for name, rows in over.items():
        result[name] = {key: np.array([row[key] for row in rows]) for key in ("predicted", "simulated")}
    result["limits"] = np.array(
        [model.error_covariance(k)[0, 0] for k in (model.steady_gain(), model.temporal_gain())]
    )
    return result
