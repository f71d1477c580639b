r"""How do the modes of a task, the rescaling, the loss and the energy change along training?

A deep linear network, whitened inputs, a noiseless linear teacher with a few singular values, small random
weights. The gradient flows of the loss (backpropagation) and of the equilibrated energy (predictive coding)
from the same weights, in the same time. Recorded: the strength :math:`u_k^T P_0 v_k` of the network's map
along the teacher's singular vectors, the eigenvalues of S, the loss and :math:`F^*`; over several draws the
time until a mode has half its strength. New. Claims ``equilibrated-energy``, ``cascade``.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from experiments._progress import Progress
from experiments._toy import OBJECTIVES
from pctheory import Data, LinearPCN, gradient_flow, rescaling


@dataclass(frozen=True)
class Config:
    """The settings of the picture."""

    width: int = 6
    depth: int = 3
    strengths: tuple[float, ...] = (3.0, 2.0, 1.2, 0.6)
    scale: float = 0.05
    end: float = 15.0
    points: int = 61
    seeds: int = 5
    seed: int = 0


PROFILES = {"quick": Config(width=5, points=9, seeds=2), "cpu": Config(), "full": Config()}


def teacher(config: Config, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, Data]:
    """The teacher's singular vectors (columns) and its data, with :math:`S_{xx} = I`."""
    left, right, inputs = (
        np.linalg.qr(rng.standard_normal((config.width, config.width)))[0] for _ in range(3)
    )
    count = len(config.strengths)
    left, right = left[:, :count], right[:, :count]
    x = np.sqrt(config.width) * inputs
    return left, right, Data(x, x @ ((left * config.strengths) @ right.T).T)


def film(config: Config, seed: int) -> dict[str, Any]:
    """Both flows of one draw, at the recorded times."""
    rng = np.random.default_rng([config.seed, seed])
    left, right, data = teacher(config, rng)
    shape = (config.depth, config.width, config.width)
    start = LinearPCN(list(config.scale * rng.standard_normal(shape)))
    times = np.linspace(0, config.end, config.points)
    found: dict[str, Any] = {}
    for rule, objective in OBJECTIVES.items():
        path = gradient_flow(objective(data), start, times)
        nets = [start.unflatten(weights) for weights in path.weights]
        maps = [np.linalg.multi_dot([np.asarray(w) for w in net.weights[::-1]]) for net in nets]
        found[rule] = {
            "modes": np.array([np.sum(left * (whole @ right), axis=0) for whole in maps]),
            "rescaling": np.array([np.linalg.eigvalsh(rescaling(net))[::-1] for net in nets]),
            "loss": np.array([float(OBJECTIVES["bp"](data).value(net)) for net in nets]),
            "energy": np.array([float(OBJECTIVES["pc"](data).value(net)) for net in nets]),
        }
    return found


def halves(config: Config, modes: np.ndarray) -> np.ndarray:
    """The time at which each mode first has half its strength, by linear interpolation; infinite if never."""
    times, share = np.linspace(0, config.end, config.points), modes / np.array(config.strengths)
    found = []
    for row in share.T:
        k = int(np.argmax(row >= 0.5))
        before, after = row[max(k - 1, 0)], row[k]
        part = (0.5 - before) / (after - before) if after > before else 0.0
        found.append(times[max(k - 1, 0)] + part * (times[1] - times[0]) if np.any(row >= 0.5) else np.inf)
    return np.array(found)


def run(config: Config, progress: Progress) -> dict[str, Any]:
    """The film of the first draw, and the times of all."""
    films = [film(config, seed) for seed in progress.track(range(config.seeds), "flows")]
    times = {rule: np.array([halves(config, f[rule]["modes"]) for f in films]) for rule in OBJECTIVES}
    return {
        "times": np.linspace(0, config.end, config.points),
        "strengths": np.array(config.strengths),
        "film": films[0],
        "half": times,
    }
