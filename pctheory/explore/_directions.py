"""Directions in weight space by name, as far as they exist at a network."""

from __future__ import annotations

import numpy as np

from .. import _check
from ..landscape import (
    EquilibratedEnergy,
    MSELoss,
    Objective,
    classify_critical_point,
    extreme_eigenvalues,
)
from ..model import Data, LinearPCN
from ..trust_region import gauss_newton_step, nearest_solution

__all__ = ["DIRECTIONS", "SOLUTION_LIMIT", "direction", "plane_of"]

DIRECTIONS = (
    "first weight",
    "last weight",
    "all weights",
    "sharpest of F*",
    "softest of F*",
    "sharpest of the loss",
    "softest of the loss",
    "escape",
    "gradient of F*",
    "gradient of the loss",
    "Gauss-Newton",
    "to the solution",
    "random",
    "another random",
)
"""What `direction` knows.

"sharpest" and "softest" are the eigenvectors of the largest and of the most negative eigenvalue of the
Hessian.
"""

SOLUTION_LIMIT = 20
"""Weights up to which the nearest solution is looked for: beyond, that takes seconds."""

TINY = 1e-9
"""Length, relative to the data, below which a direction counts as zero."""


def direction(net: LinearPCN, data: Data, name: str) -> np.ndarray:
    """A unit vector in weight space.

    Parameters
    ----------
    net : LinearPCN
        Where it starts.
    data : Data
        What the objectives are of.
    name : str
        One of `DIRECTIONS`.

    Returns
    -------
    vector : (num_weights,)
        In the order of ``net.flatten()``.

    Raises
    ------
    ValueError
        If there is no such direction here: no gradient at a critical point, no escape elsewhere.

    Examples
    --------
    >>> net, data = LinearPCN([[[2.0]], [[3.0]]]), Data([[1.0]], [[7.0]])
    >>> direction(net, data, "gradient of the loss").round(3)  # (3, 2) / sqrt(13), downhill
    array([0.832, 0.555])
    """
    _check.instance(net, "net", LinearPCN)
    _check.instance(data, "data", Data)
    _check.choice(name, "name", DIRECTIONS)
    vector = np.asarray(_raw(net, data, name), dtype=np.float64)
    length = float(np.linalg.norm(vector))
    if not length > TINY * (1 + float(np.sqrt(np.trace(data.yy)))):
        raise ValueError(
            f"`{name}` must not vanish to span a plane. Got a vector of length {length:.1g} here."
        )
    return np.asarray(vector / length)


def plane_of(net: LinearPCN, data: Data, first: str, second: str) -> np.ndarray:
    """Two orthonormal directions, (2, num_weights): the second without its part along the first.

    Returns
    -------
    plane : (2, num_weights)

    Raises
    ------
    ValueError
        If one does not exist here, or both are parallel.
    """
    if _check.instance(net, "net", LinearPCN).num_weights < 2:
        raise ValueError("`net` must have two weights or more to have a plane. Got one.")
    one, two = direction(net, data, first), direction(net, data, second)
    across = two - (two @ one) * one
    length = float(np.linalg.norm(across))
    if length < 1e-6:
        raise ValueError(f"`{second}` must not be parallel to `{first}`. Got the same line: choose another.")
    return np.stack([one, across / length])


def _raw(net: LinearPCN, data: Data, name: str) -> np.ndarray:
    energy, loss = EquilibratedEnergy(data), MSELoss(data)
    if name in ("first weight", "last weight"):
        return np.eye(1, net.num_weights, 0 if name == "first weight" else net.num_weights - 1)[0]
    if name == "all weights":
        return np.ones(net.num_weights)
    if name.endswith("random"):
        return np.random.default_rng(len(name)).standard_normal(net.num_weights)
    if name.startswith(("sharpest", "softest")):
        return _eigenvector(energy if name.endswith("F*") else loss, net, sharpest=name.startswith("sharp"))
    if name.startswith("gradient"):
        objective: Objective = energy if name.endswith("F*") else loss
        return -np.asarray(net.join(objective.gradient(net)))
    if name == "Gauss-Newton":
        return np.asarray(net.join(gauss_newton_step(net, data)))
    if name == "escape":
        point = classify_critical_point(energy, net)
        if point.escape is None:
            raise ValueError(
                f"`escape` must start at a strict saddle of F*. Got a point that is {point.kind}."
            )
        return np.asarray(net.join(point.escape.direction))
    if net.num_weights > SOLUTION_LIMIT:
        raise ValueError(
            f"`to the solution` is found for up to {SOLUTION_LIMIT} weights. Got {net.num_weights}: "
            "take `Gauss-Newton`, the solution of the linearised network."
        )
    return np.asarray(nearest_solution(net, data).net.flatten() - net.flatten())


def _eigenvector(objective: Objective, net: LinearPCN, *, sharpest: bool) -> np.ndarray:
    ends = extreme_eigenvalues(objective, net)
    return np.asarray((ends.largest_vectors if sharpest else ends.smallest_vectors)[0])
