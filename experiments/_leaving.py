"""One run away from a saddle, by BP or PC, seen on a fixed batch."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import torch

from experiments._escape import recorded
from pctheory import Data
from pctheory.nn import BP, PC, PCN, GradientDescent, Stop, TrainingResult, TrainingSettings, infer, train


class Settings(Protocol):
    """What a run needs to know of an experiment's settings."""

    @property
    def inference_dt(self) -> float: ...

    @property
    def inference_steps(self) -> int: ...

    @property
    def bp_iterations(self) -> int: ...

    @property
    def pc_iterations(self) -> int: ...

    @property
    def points(self) -> int: ...


def leave(
    model: PCN,
    data: Data,
    config: Settings,
    *,
    pc: bool,
    learning_rate: float,
    batch_size: int,
    seed: int,
) -> tuple[dict[str, Any], TrainingResult]:
    """Train, and record loss and gradient norm (of what is descended) on the first batch.

    `config` gives inference and iterations as `EscapeSettings` does. The recorded iterations, "step", are
    spread over their logarithm.
    """
    torch.set_num_threads(1)
    fixed = data.take(slice(batch_size))
    rule = PC(GradientDescent(config.inference_dt), stop=Stop(config.inference_steps))
    total = config.pc_iterations if pc else config.bp_iterations
    kept = recorded(total, config.points)
    wanted = set(kept.tolist())
    rows: list[tuple[float, float]] = []

    def measure(step: int, model: PCN) -> None:
        if step not in wanted:
            return
        if pc:
            settled = infer(model, fixed.x, fixed.y, rule.method, stop=rule.stop)
            gradient = model.local_gradient(settled.activities)
        else:
            gradient = model.loss_gradient(fixed.x, fixed.y)
        with torch.no_grad():
            norm = sum(float(g.square().sum()) for g in gradient) ** 0.5
            rows.append((float(model.loss(fixed.x, fixed.y)), norm))

    measure(0, model)
    settings = TrainingSettings(
        rule=rule if pc else BP(),
        optimiser="SGD",
        learning_rate=learning_rate,
        batch_size=batch_size,
        steps=total,
        seed=seed,
    )
    result = train(model, data, settings, callback=measure)
    losses, norms = np.array(rows).T
    return {"step": kept, "loss": losses, "norm": norms}, result
