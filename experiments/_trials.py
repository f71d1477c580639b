"""Training runs over a grid of learning rates, shared by the trust-region experiments."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pctheory import Data
from pctheory.nn import BP, PC, PCN, Stop, TrainingSettings, infer, train


def cells(activations: Sequence[str], learning_rates: Sequence[float], seeds: int) -> list[dict[str, Any]]:
    """The cells of the sweep: both rules, and all that is given."""
    return [
        {"activation": a, "rule": r, "learning_rate": g, "seed": s}
        for a in activations
        for r in ("bp", "pc")
        for g in learning_rates
        for s in range(seeds)
    ]


def runs_of(
    sweep: Sequence[Mapping[str, Any]], found: Sequence[Mapping[str, Any]], **wanted: Any
) -> list[Mapping[str, Any]]:
    """The results of the cells that have these values."""
    return [
        f
        for f, c in zip(found, sweep, strict=True)
        if all(c[name] == value for name, value in wanted.items())
    ]


def curves_of(runs: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """Losses (seeds, points)."""
    return np.array([np.asarray(run["loss"]) for run in runs])


def trained(
    model: PCN,
    data: Data,
    rule: str,
    pc: PC,
    *,
    learning_rate: float,
    batch_size: int,
    steps: int,
    every: int,
    seed: int,
    fitted: float = 0.0,
) -> tuple[np.ndarray, float]:
    """Losses of one run, and the worst of where PC's inference stops, before and after.

    After a run that ends with a loss of at most `fitted` it is not measured: its start is as small as its
    end.
    """
    settings = TrainingSettings(
        rule=pc if rule == "pc" else BP(),
        optimiser="SGD",
        learning_rate=learning_rate,
        batch_size=batch_size,
        steps=steps,
        seed=seed,
    )
    batch = data.take(slice(0, batch_size))
    gaps = [gap(model, batch, pc)] if rule == "pc" else [0.0]
    curve = losses(model, data, settings, every)
    if rule == "pc" and np.isfinite(curve).all() and curve[-1] > fitted:
        gaps.append(gap(model, batch, pc))
    return curve, max(gaps)


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
