"""Paths of the learning rules through weight space, from any point."""

from __future__ import annotations

import numpy as np

from .. import _check
from ..dynamics import gradient_descent
from ..landscape import EquilibratedEnergy, MSELoss
from ..model import Data, LinearPCN
from ..trust_region import gauss_newton_step

__all__ = ["RULES", "rule_path"]

RULES = ("bp", "pc", "gauss-newton", "trust-region")
"""Gradient descent on the loss and on F*; Gauss-Newton steps, and the same in a trust region."""

FRACTION = 0.25
"""Part of the full second-order step that is taken at a time, so that the path can be seen."""

DAMPING = 1.0
"""Of the steps in a trust region, those of Levenberg and Marquardt."""

FAR = 1e3
"""Norm of the weights at which a path ends."""


def rule_path(net: LinearPCN, data: Data, rule: str, rate: float, steps: int) -> np.ndarray:
    r"""Weights along the path of a rule.

    Parameters
    ----------
    net : LinearPCN
        The start.
    data : Data
        What the objectives are of.
    rule : "bp", "pc", "gauss-newton" or "trust-region"
        "bp" and "pc": gradient descent on the loss and on :math:`F^*`. "gauss-newton": a quarter of
        :math:`-(J^T J)^+ \nabla\mathcal L` at a time. "trust-region": a quarter of
        :math:`-(J^T J + I)^{-1} \nabla\mathcal L`.
    rate : float
        Learning rate of the descents; the second-order steps have none.
    steps : int
        How many are taken.

    Returns
    -------
    weights : (steps + 1, num_weights), or fewer rows if the path diverges

    Examples
    --------
    >>> net, data = LinearPCN([[[2.0]], [[3.0]]]), Data([[1.0]], [[7.0]])
    >>> rule_path(net, data, "bp", 0.1, 1).round(12).tolist()
    [[2.0, 3.0], [2.3, 3.2]]
    """
    _check.instance(net, "net", LinearPCN)
    _check.instance(data, "data", Data)
    _check.count(steps, "steps")
    if _check.choice(rule, "rule", RULES) in ("bp", "pc"):
        objective = MSELoss(data) if rule == "bp" else EquilibratedEnergy(data)
        return gradient_descent(objective, net, rate, steps).weights
    points = [np.asarray(net.flatten())]
    for _ in range(steps):
        step = gauss_newton_step(
            net.unflatten(points[-1]), data, damping=DAMPING if rule == "trust-region" else 0.0
        )
        points.append(points[-1] + FRACTION * np.asarray(net.join(step)))
        if not np.linalg.norm(points[-1]) < FAR:
            break
    return np.stack(points)
