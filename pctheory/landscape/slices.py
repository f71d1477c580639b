r"""Slices of a landscape: an objective on a line or a plane through a network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import _check
from ..model import LinearPCN
from .objectives import Objective
from .spectrum import extreme_eigenvalues

__all__ = ["LandscapeSlice", "landscape_slice"]

SLICE_DIRECTIONS = ("eigenvectors", "random", "layer-normalised")

PAIR = "a number or a pair (low, high)"

STACK = 2**21
"""Numbers held at once by a block of networks of a slice."""


@dataclass(frozen=True, eq=False, repr=False)
class LandscapeSlice:
    r"""Values of an objective on a line or a plane through a network.

    Attributes
    ----------
    values : (num,) or (num_2, num_1)
        ``values[j, i]`` lies at ``axes[0][i]`` along the first direction and ``axes[1][j]`` along the second.
    axes : tuple of (num,)
        Coordinates along each direction; the network is at 0.
    directions : tuple of tuples like ``net.weights``
        One or two, as used (normalised unless they were given).
    net : LinearPCN
        The centre.
    objective : str
        The name of its class.
    """

    values: np.ndarray
    axes: tuple[np.ndarray, ...]
    directions: tuple[tuple[np.ndarray, ...], ...]
    net: LinearPCN
    objective: str = ""

    def plot(self, ax: Any = None, *trajectories: Any, **options: Any) -> Any:
        """The line, or the contours of the plane with the paths of trajectories.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            A new figure's by default.
        *trajectories : Trajectory
            Drawn where `project` puts them: the loss's grey, those of F* blue.
        **options
            Of `pctheory.plotting.contour`, or of the line.

        Returns
        -------
        matplotlib.axes.Axes
        """
        from ..plotting import plot_slice

        return plot_slice(self, ax, trajectories, **options)

    def surface(self, ax: Any = None, **options: Any) -> Any:
        """The plane as a surface.

        Parameters
        ----------
        ax : matplotlib 3-D axes, optional
            A new figure's by default.
        **options
            Of `pctheory.plotting.surface`: for example `ceiling`, above which it is cut.

        Returns
        -------
        Axes3D

        Raises
        ------
        ValueError
            If the slice is a line.
        """
        if len(self.axes) != 2:
            raise ValueError("A surface must have two directions. Got a slice along one: call `plot`.")
        from ..plotting import plot_surface

        return plot_surface(self, ax, **options)

    def project(self, trajectory: Any) -> np.ndarray:
        """Where weights lie in the slice: their coordinates along its directions, by least squares.

        Parameters
        ----------
        trajectory : Trajectory, or (T, num_weights)
            Weights in the order of ``net.flatten()``.

        Returns
        -------
        points : (T, 2), or (T, 1) on a line

        Raises
        ------
        ValueError
            If the weights are not as many as those of the slice's network.

        Examples
        --------
        >>> from pctheory import Data, MSELoss
        >>> net = LinearPCN.zeros((1, 1, 1))
        >>> plane = landscape_slice(MSELoss(Data([[1.0]], [[-1.0]])), net, [[1.0, 1.0], [0.0, 1.0]], num=3)
        >>> plane.project([[2.0, 5.0]]).round(12)
        array([[2., 3.]])
        """
        points = _check.to_numpy(getattr(trajectory, "weights", trajectory), "trajectory")
        if points.ndim != 2 or points.shape[1] != self.net.num_weights:
            raise ValueError(
                f"`trajectory` must have shape (T, {self.net.num_weights}), one row per point. Got "
                f"{points.shape}."
            )
        plane = np.stack([np.asarray(self.net.join(d)) for d in self.directions], axis=1)
        away = points - _check.to_numpy(self.net.flatten(), "weights")
        return np.asarray(np.linalg.lstsq(plane, away.T, rcond=None)[0].T)

    def __repr__(self) -> str:
        shape = " x ".join(str(n) for n in self.values.shape)
        return f"LandscapeSlice({shape}, {self.values.min():.4g} to {self.values.max():.4g})"


def landscape_slice(
    objective: Objective,
    net: LinearPCN,
    directions: str | Sequence[Any] = "eigenvectors",
    *,
    extent: float | tuple[float, float] = 1.0,
    num: int = 101,
    dimensions: int = 2,
    rng: np.random.Generator | int | None = None,
) -> LandscapeSlice:
    r"""The objective on a plane (or line) through a network: :math:`f(\theta + \alpha d_1 + \beta d_2)`.

    Parameters
    ----------
    objective : Objective
        The function of the weights, f.
    net : LinearPCN
        The middle of the slice, and all that is not a weight.
    directions : "eigenvectors", "random", "layer-normalised", or one or two directions
        "eigenvectors": the most negative and the most positive eigenvector of the Hessian. "random":
        orthonormal, uniform. "layer-normalised": random with each layer scaled to the norm of its weights (Li
        et al. 2018), which needs non-zero weights. Otherwise directions as in `Objective.hvp`, used as they
        are.
    extent : float or (low, high)
        The coordinates run from -extent to extent, or from low to high.
    num : int
        Points along each direction.
    dimensions : 1 or 2
        How many directions to draw; given directions count themselves.
    rng : numpy.random.Generator or int
        Needed for random directions only.

    Returns
    -------
    LandscapeSlice

    Raises
    ------
    ValueError
        If the directions do not have the shapes of the weights, or there are not `dimensions` of them.

    Notes
    -----
    The networks of the grid are evaluated as stacks of matrices.

    Examples
    --------
    >>> from pctheory import Data, MSELoss
    >>> net = LinearPCN.zeros((1, 1, 1))
    >>> landscape_slice(MSELoss(Data([[1.0]], [[-1.0]])), net, [[1.0, 1.0]], extent=1.0, num=3).values
    array([2. , 0.5, 2. ])
    """
    _check.instance(objective, "objective", Objective)
    net = objective.coordinates(net)
    points = _check.count(num, "num", 1)
    ends = (-extent, extent) if isinstance(extent, int | float) else _check.sequence(extent, "extent", PAIR)
    if len(ends) != 2:
        raise ValueError(f"`extent` must be {PAIR}. Got {len(ends)} numbers.")
    low, high = (_check.real(end, "extent") for end in ends)
    vectors = _slice_vectors(objective, net, directions, _check.count(dimensions, "dimensions", 1), rng)
    _check.memory(4 * points ** len(vectors), "num", "take fewer points")
    axis = np.linspace(low, high, points)
    mesh = np.meshgrid(*[axis] * len(vectors))
    coordinates = np.stack([m.ravel() for m in mesh], axis=1)
    centre, plane = net.flatten(), np.stack(vectors)
    step = max(1, STACK // net.num_weights)
    values = [
        objective.values(net, centre + coordinates[i : i + step] @ plane)
        for i in range(0, len(coordinates), step)
    ]
    return LandscapeSlice(
        np.concatenate(values).reshape(mesh[0].shape),
        (axis,) * len(vectors),
        tuple(net.split(v) for v in vectors),
        net,
        type(objective).__name__,
    )


def _slice_vectors(
    objective: Objective, net: LinearPCN, directions: str | Sequence[Any], dimensions: int, rng: Any
) -> list[np.ndarray]:
    if dimensions > 2:
        raise ValueError(f"`dimensions` must be 1 or 2. Got {dimensions}.")
    if not isinstance(directions, str):
        vectors = [_as_vector(net, d) for d in _check.sequence(directions, "directions")]
        if len(vectors) not in (1, 2):
            raise ValueError(f"`directions` must be one or two. Got {len(vectors)}.")
        return vectors
    if _check.choice(directions, "directions", SLICE_DIRECTIONS) == "eigenvectors":
        ends = extreme_eigenvalues(objective, net)
        return [ends.smallest_vectors[0], ends.largest_vectors[0]][:dimensions]
    drawn = _check.generator(rng).standard_normal((dimensions, net.num_weights))
    if directions == "random":
        orthonormal: list[np.ndarray] = list(np.linalg.qr(drawn.T)[0].T)
        return orthonormal
    return [_layer_normalised(net, vector) for vector in drawn]


def _layer_normalised(net: LinearPCN, vector: np.ndarray) -> np.ndarray:
    parts = []
    for l, (part, own) in enumerate(zip(net.split(vector), net.parameters, strict=True), start=1):
        norm = np.linalg.norm(own)
        if not norm > 0 and l <= net.depth:
            raise ValueError(
                f'`W_{l}` must not be zero for layer-normalised directions. Got a zero matrix: use "random".'
            )
        parts.append(part * (norm / (np.linalg.norm(part) or 1.0)))
    return np.asarray(net.join(parts))


def _as_vector(net: LinearPCN, direction: Any) -> np.ndarray:
    """A direction, as a tuple of arrays or a vector, as a vector."""
    if isinstance(direction, list | tuple) and any(np.ndim(d) for d in direction):
        if [np.shape(d) for d in direction] != [p.shape for p in net.parameters]:
            raise ValueError(
                f"`directions` must have the shapes of the weights, {[p.shape for p in net.parameters]}. "
                f"Got {[np.shape(d) for d in direction]}."
            )
        direction = net.join([_check.to_numpy(d, "directions") for d in direction])
    vector: np.ndarray = _check.finite(_check.to_numpy(direction, "directions"), "directions")
    if vector.shape != (net.num_weights,):
        raise ValueError(
            f"`directions` must have {net.num_weights} entries, one per weight. Got {vector.shape}."
        )
    return vector
