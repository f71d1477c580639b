"""Training runs over a grid of learning rates, shared by the trust-region experiments."""

from collections.abc import Sequence

import numpy as np

from pctheory import Data
from pctheory.nn import PC, PCN, Stop, TrainingSettings, infer, train


def losses(model: PCN, data: Data, settings: TrainingSettings, every: int) -> np.ndarray:
    """Loss on a batch of the training data (rows in order) before every `every`-th step.

    NaN from where the run diverged.
    """
    found: list[float] = []
    total = settings.steps or 0
    size, rows = settings.batch_size, data.num_samples

    def record(step: int, current: PCN) -> None:
        if step % every == 0:
            batch = data.take(np.arange(step * size, (step + 1) * size) % rows)
            found.append(float(current.loss(batch.x, batch.y).detach()))

    record(0, model)
    try:
        train(model, data, settings, callback=record)
    except ValueError as error:
        if "to stay finite" not in str(error):
            raise
    curve = np.full(total // every + 1, np.nan)
    curve[: len(found)] = found
    return np.where(np.isfinite(curve), curve, np.nan)


def gap(model: PCN, data: Data, rule: PC) -> float:
    """Where inference stops: norm of the activity gradient relative to that at the feedforward pass."""
    start = infer(model, data.x, data.y, stop=Stop(num_steps=0)).gradient_norms[-1]
    end = infer(model, data.x, data.y, rule.method, stop=rule.stop).gradient_norms[-1]
    return float(end / start) if start > 0 else 0.0


def best(curves: Sequence[np.ndarray], window: int) -> int:
    """Index of the runs (seeds, points) with the lowest mean loss over the last `window` points.

    Divergence counts as infinite.
    """
    ends = [np.mean(np.asarray(c)[:, -window:]) for c in curves]
    return int(np.argmin([e if np.isfinite(e) else np.inf for e in ends]))
