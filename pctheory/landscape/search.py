r"""A search for critical points of any kind: the gradient's zeros, from many starts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from .. import _check
from ..model import LinearPCN
from ._whitened import Units, flat
from .classification import KINDS, CriticalPoint, classify_critical_point
from .objectives import Objective
from .spectrum import DENSE_LIMIT

__all__ = ["CriticalPoints", "find_critical_points"]

MAX_STEPS = 400
FAR = 30.0
"""Root mean square weight, on the scale of the data, beyond which a search is running away: :math:`F^*` on
noisy data falls towards infinity.
"""


@dataclass(frozen=True, eq=False, repr=False)
class CriticalPoints:
    """The distinct critical points that a search found, by increasing value, and what became of all its
    starts.

    Attributes
    ----------
    points : tuple of CriticalPoint
    num_starts : int
    num_duplicates : int
        Starts that led to a point equal to another one up to rotations of the hidden layers.
    num_escaped : int
        Starts whose weights ran away.
    num_stalled : int
        Starts that ended where the gradient was not small enough.
    """

    points: tuple[CriticalPoint, ...]
    num_starts: int
    num_duplicates: int
    num_escaped: int
    num_stalled: int

    def __len__(self) -> int:
        return len(self.points)

    def __iter__(self) -> Iterator[CriticalPoint]:
        return iter(self.points)

    def of_kind(self, kind: str) -> tuple[CriticalPoint, ...]:
        """The points of one kind."""
        _check.choice(kind, "kind", KINDS)
        return tuple(point for point in self.points if point.kind == kind)

    def __repr__(self) -> str:
        kinds = {kind: len(self.of_kind(kind)) for kind in KINDS}
        counts = ", ".join(f"{count} {kind}" for kind, count in kinds.items() if count)
        return f"CriticalPoints({counts or 'none'} from {self.num_starts} starts)"


def find_critical_points(
    objective: Objective,
    net: LinearPCN,
    num_starts: int,
    rng: np.random.Generator | int,
    *,
    scale: float = 1.0,
    gradient_tolerance: float = 1e-10,
) -> CriticalPoints:
    r"""Critical points of any index: Levenberg-Marquardt on :math:`\nabla f = 0` from many starts.

    A step minimises :math:`|\nabla f + \nabla^2 f\, d|^2 + \mu |d|^2`; it is drawn to saddles as much as to
    minima. Starts are Gaussian of random scale, and half of them lose random singular values of random
    layers, down to rank zero: saddles lie there.

    Parameters
    ----------
    objective : Objective
        f, whose critical points are sought.
    net : LinearPCN
        Widths, multipliers, skips and precisions; its weights are ignored. At most `DENSE_LIMIT` weights.
    num_starts : int
        How many points to start from.
    rng : numpy.random.Generator or int
        Generator, or its seed.
    scale : float
        Median standard deviation of the starts' weights, on the scale of the data (see
        `classify_critical_point`).
    gradient_tolerance : float
        Points are polished to a gradient of at most this norm, on that scale.

    Returns
    -------
    CriticalPoints
        Duplicates are found by the value and the spectrum of the Hessian, which rotations of a hidden layer
        do not change. Critical points form continua (of the weights with one product, say), of which every
        start may find another point.

    Raises
    ------
    ValueError
        If the network has more weights than `DENSE_LIMIT`.

    Examples
    --------
    >>> from pctheory import Data, EquilibratedEnergy
    >>> data = Data([[1.0], [-1.0]], [[-2.0], [2.0]])
    >>> points = find_critical_points(EquilibratedEnergy(data), LinearPCN.zeros((1, 1, 1)), 30, rng=0)
    >>> points.of_kind("strict saddle")
    (CriticalPoint(strict saddle: value 2, ...),)
    """
    _check.instance(objective, "objective", Objective)
    net = objective.coordinates(net)
    starts = _check.count(num_starts, "num_starts", 1)
    generator = _check.generator(rng)
    width = _check.positive(scale, "scale")
    tolerance = _check.positive(gradient_tolerance, "gradient_tolerance")
    if net.num_weights > DENSE_LIMIT:
        raise ValueError(
            f"`net` must have at most {DENSE_LIMIT} weights for the search to factor its Hessian. "
            f"Got {net.num_weights}."
        )
    points: list[CriticalPoint] = []
    signatures: list[np.ndarray] = []
    duplicates = escaped = stalled = 0
    units = Units.of(objective, net)
    for _ in range(starts):
        vector = _polish(objective, net, _start(net, width, generator) * units.weights, units, tolerance)
        if vector is None:
            escaped += 1
            continue
        point = classify_critical_point(
            objective, net.with_weights(net.split(vector)), gradient_tolerance=tolerance
        )
        if point.kind == "not critical":
            stalled += 1
            continue
        signature = _signature(objective, point, units)
        largest = np.max(np.abs(signature))
        if any(np.max(np.abs(signature - other)) <= 1e-5 * largest for other in signatures):
            duplicates += 1
            continue
        points.append(point)
        signatures.append(signature)
    points.sort(key=lambda point: point.value)
    return CriticalPoints(tuple(points), starts, duplicates, escaped, stalled)


def _start(net: LinearPCN, scale: float, rng: np.random.Generator) -> np.ndarray:
    level = scale * np.exp(rng.uniform(-1.5, 1.0))
    matrices = [level * rng.standard_normal(w.shape) for w in net.weights]
    if rng.random() < 0.5:
        for l, matrix in enumerate(matrices):
            left, singular, right = np.linalg.svd(matrix, full_matrices=False)
            kept = rng.integers(0, len(singular) + 1)
            matrices[l] = (left[:, :kept] * singular[:kept]) @ right[:kept]
    shifts = [level * rng.standard_normal(p.shape) for p in net.parameters[net.depth :]]
    return np.asarray(net.join([*matrices, *shifts]))


def _polish(
    objective: Objective, net: LinearPCN, vector: np.ndarray, units: Units, tolerance: float
) -> np.ndarray | None:
    """The end of a Levenberg-Marquardt run in the units of the data, or None if it ran away."""

    def gradient(at: np.ndarray) -> np.ndarray:
        return units.gradient(flat(net, objective.gradient(net.with_weights(net.split(at)))))

    here = gradient(vector)
    damping = 1e-2
    for _ in range(MAX_STEPS):
        if np.linalg.norm(here) <= tolerance:
            break
        hessian = np.asarray(objective.hessian(net.with_weights(net.split(vector))))
        values, columns = np.linalg.eigh(units.hessian(hessian))
        image = columns.T @ here
        while damping < 1e12:
            # damping in the gradient's own units, so that the last steps are Newton's
            step = -columns @ (values / (values**2 + damping * np.linalg.norm(here)) * image)
            there = gradient(vector + step * units.weights)
            if np.linalg.norm(there) < np.linalg.norm(here):
                break
            damping *= 4.0
        else:
            break
        vector, here, damping = vector + step * units.weights, there, max(damping / 6.0, 1e-8)
        if np.linalg.norm(vector / units.weights) > FAR * np.sqrt(len(vector)):
            return None
    return vector


def _signature(objective: Objective, point: CriticalPoint, units: Units) -> np.ndarray:
    spectrum = np.linalg.eigvalsh(units.hessian(np.asarray(objective.hessian(point.net))))
    return np.concatenate([[point.value / units.energy], spectrum])
