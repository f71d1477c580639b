r"""The directions in which learning rules would move the weights, and where the nearest solution lies.

All are descent directions of one point :math:`\theta = (W_1, \dots, W_L)`: gradient descent and its
second-order relatives on the loss, predictive coding at equilibrium and after a few steps of inference, and
the two terms of its gradient (claim ``gradient-decomposition``). Claim ``tr-alignment`` compares their angles
to the way to the nearest solution.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import _check, _html
from ..inference import (
    equilibrium,
    gradient_decomposition,
    inference_rate,
    input_products,
    noise_covariances,
    output_products,
    relax,
)
from ..landscape import EquilibratedEnergy, MSELoss
from ..model import Data, LinearPCN, weight_gradient
from ..model.definitions import require_plain
from .step import numpy_problem

__all__ = [
    "DIRECTIONS",
    "Directions",
    "NearestSolution",
    "cosines",
    "gauss_newton_matrix",
    "gauss_newton_step",
    "nearest_solution",
    "norms",
    "update_directions",
]

Direction = tuple[np.ndarray, ...]

DIRECTIONS = (
    "gd",
    "pc",
    "pc-finite",
    "pc-preconditioned",
    "pc-residual",
    "gauss-newton",
    "damped-newton",
    "trust-region-newton",
    "natural-gradient",
)
"""The names that `update_directions` returns."""


class Directions(dict[str, Direction]):
    """Directions in weight space by name: a dict that also knows their angles."""

    def angles(self, towards: Sequence[np.ndarray] | None = None) -> dict[str, Any]:
        """Angles in degrees: all pairs, or each to one reference; NaN where a direction is zero.

        Parameters
        ----------
        towards : None, or arrays like the weights
            As in `cosines`.

        Returns
        -------
        angles : dict by name, or (without `towards`) dict of dicts

        Examples
        --------
        >>> pair = {"a": (np.array([[3.0]]), np.array([[0.0]])), "b": (np.array([[1.0]]), np.array([[1.0]]))}
        >>> round(Directions(pair).angles()["a"]["b"], 12)
        45.0
        """
        found: dict[str, Any] = cosines(self, towards)
        return {
            name: _degrees(value) if towards is not None else {k: _degrees(v) for k, v in value.items()}
            for name, value in found.items()
        }

    def _repr_html_(self) -> str:
        lengths, angles = norms(self), self.angles()
        rows = (
            (name, f"{lengths[name]:.3g}", *(f"{angle:.1f}" for angle in row.values()))
            for name, row in angles.items()
        )
        return _html.table(["degrees between", "length", *self], rows)


def update_directions(
    net: LinearPCN,
    data: Data,
    *,
    damping: float = 2.0,
    step: float | None = None,
    num_steps: int | None = None,
) -> Directions:
    r"""Where each learning rule would move the weights, a step of length one each.

    By claim ``tr-weights`` "pc" is "gd" plus "pc-residual" plus a term that vanishes as S tends to
    :math:`\Sigma_L`.

    Parameters
    ----------
    net : LinearPCN
        The network.
    data : Data
        x (B, n_0) and y (B, n_L).
    damping : float
        Of "trust-region-newton"; 2 is the published value.
    step, num_steps : float, int
        Of the inference of "pc-finite": by default half of :math:`1/\lambda_{\max}(H)`, and L steps, after
        which the output's error has reached every layer.

    Returns
    -------
    directions : Directions, a dict of tuples like ``net.weights``, numpy float64
        * "gd": :math:`-\nabla\mathcal L`.
        * "pc": :math:`-\nabla F^*`, the local rule at the exact equilibrium.
        * "pc-finite": the local rule after T steps of inference.
        * "pc-preconditioned": first term of the gradient of F*, backprop preconditioned by :math:`S^{-1}`.
        * "pc-residual": second term; with the first it is "pc".
        * "gauss-newton": :math:`-(J^T J)^+ \nabla\mathcal L`, the natural gradient of the loss.
        * "damped-newton": :math:`-(\nabla^2\mathcal L + \mu I)^+ \nabla\mathcal L` with :math:`\mu =
          2\max(0, -\lambda_{\min})`: Newton's step where the loss is convex, the least damping that also
          mirrors the most negative curvature where it is not.
        * "trust-region-newton": :math:`-(\nabla^2\mathcal L + \text{damping}\, I)^{-1} \nabla\mathcal L`.
        * "natural-gradient": :math:`-I_\theta^{+} \nabla F^*` with the Fisher information of the network as a
          model of (z, y) given x: block :math:`l` is :math:`a_l^2\, \Pi_l \otimes (Q_{l-1} S_{xx} Q_{l-1}^T
          + M_{l-1})`.

    Notes
    -----
    The Newton directions need the dense Hessian: :math:`O(p^3)` in the number of weights p. Eigenvalues of
    it, and singular values of the Jacobian, at rounding level are left out. Raises `ValueError` when
    ``damping`` meets an eigenvalue exactly.

    Examples
    --------
    >>> net, data = LinearPCN([[[2.0]], [[3.0]]]), Data([[1.0]], [[7.0]])  # r = 1
    >>> found = update_directions(net, data)
    >>> [w.item() for w in found["gd"]], [round(w.item(), 12) for w in found["pc"]]  # -dF*/dw = (.3, .23)
    ([3.0, 2.0], [0.3, 0.23])
    """
    host, x, y = numpy_problem(require_plain(net), data)
    mu, sample = _check.real(damping, "damping"), Data(x, y).compress()
    loss_gradient = host.join(MSELoss(sample).gradient(host))
    pc = EquilibratedEnergy(sample).gradient(host)
    preconditioned, residual = gradient_decomposition(host, sample)
    curvatures, vectors = np.linalg.eigh(MSELoss(sample).hessian(host))
    shift = 2 * max(0.0, -float(curvatures[0]))
    found = {
        "gd": host.split(-loss_gradient),
        "pc": tuple(-g for g in pc),
        "pc-finite": _finite(host, sample, step, num_steps),
        "pc-preconditioned": tuple(-g for g in preconditioned),
        "pc-residual": tuple(-g for g in residual),
        "gauss-newton": host.split(_gauss_newton(host, sample)),
        "damped-newton": host.split(_newton(curvatures + shift, vectors, loss_gradient, pseudo=True)),
        "trust-region-newton": host.split(_newton(curvatures + mu, vectors, loss_gradient, pseudo=False)),
        "natural-gradient": _natural(host, sample, pc),
    }
    return Directions(found)


def norms(directions: Mapping[str, Sequence[np.ndarray]]) -> dict[str, float]:
    """Euclidean length of each direction over all weights."""
    return {name: float(np.linalg.norm(d)) for name, d in _named(directions).items()}


def cosines(
    directions: Mapping[str, Sequence[np.ndarray]], towards: Sequence[np.ndarray] | None = None
) -> dict[str, float] | dict[str, dict[str, float]]:
    r"""Cosines of the angles between directions: all pairs, or each to one reference.

    Parameters
    ----------
    directions : dict of tuples like ``net.weights``
        By name, as from `update_directions`.
    towards : None, or arrays like the weights
        For example the way to `nearest_solution`, or the eigenvector of the most negative curvature at a
        saddle (whose sign means nothing: take absolute values).

    Returns
    -------
    cosines : dict by name, or (without `towards`) dict of dicts
        NaN where a direction is zero: it has no angle.

    Raises
    ------
    ValueError
        If `towards` has another number of entries than the directions.

    Examples
    --------
    >>> pair = {"a": (np.array([[3.0]]), np.array([[0.0]])), "b": (np.array([[1.0]]), np.array([[1.0]]))}
    >>> round(cosines(pair)["a"]["b"] ** 2, 12), round(cosines(pair, pair["a"])["b"] ** 2, 12)
    (0.5, 0.5)
    """
    flat = _named(directions)
    if towards is not None:
        reference = _flat(towards, "towards")
        for name, v in flat.items():
            if v.shape != reference.shape:
                raise ValueError(
                    f"`towards` must have as many entries as a direction. Got {len(reference)}, and {len(v)} "
                    f"in `directions[{name!r}]`."
                )
        return {name: _cosine(v, reference) for name, v in flat.items()}
    return {name: {other: _cosine(v, w) for other, w in flat.items()} for name, v in flat.items()}


def gauss_newton_matrix(net: LinearPCN, data: Data) -> np.ndarray:
    r"""The Gauss-Newton matrix of the loss, :math:`J^T J = \frac1B\sum_i J_i^T \Pi_L J_i`.

    Shape (num_weights, num_weights).

    :math:`J_i` is the Jacobian of the output in the weights. It is the Fisher information of :math:`y | x
    \sim N(P_0 x, \Sigma_L)`, and the Hessian of the loss where the residual vanishes.

    Returns
    -------
    (num_weights, num_weights)
        Numpy float64.
    """
    host, x, y = numpy_problem(require_plain(net), data)
    _check.memory(host.num_weights**2, "net", "take a smaller network")
    jacobian = _jacobian(host, Data(x, y).compress())
    return np.asarray(jacobian.T @ jacobian)


def gauss_newton_step(net: LinearPCN, data: Data, *, damping: float = 0.0) -> Direction:
    r"""The Gauss-Newton step of the loss, :math:`-(J^T J + \mu I)^{+} \nabla\mathcal L`.

    Parameters
    ----------
    net : LinearPCN
        The network.
    data : Data
        x (B, n_0) and y (B, n_L).
    damping : float
        :math:`\mu \ge 0`. With 0 it is the step of least norm that minimises the linearised loss; above, the
        step of Levenberg and Marquardt, which is shorter: the minimum of the linearised loss in a trust
        region.

    Returns
    -------
    step : tuple like ``net.weights``, numpy float64

    Notes
    -----
    From the Jacobian of at most n_0 + n_L samples: :math:`J^T J` is not formed.

    Examples
    --------
    >>> net, data = LinearPCN([[[2.0]], [[3.0]]]), Data([[1.0]], [[7.0]])  # r = 1, J = (3, 2)
    >>> [[round(w.item(), 12) for w in gauss_newton_step(net, data, damping=mu)] for mu in (0.0, 13.0)]
    [[0.230769230769, 0.153846153846], [0.115384615385, 0.076923076923]]
    """
    host, x, y = numpy_problem(require_plain(net), data)
    return host.split(_gauss_newton(host, Data(x, y).compress(), _check.non_negative(damping, "damping")))


@dataclass(frozen=True, eq=False, repr=False)
class NearestSolution:
    r"""A point of zero loss near a network.

    Attributes
    ----------
    net : LinearPCN
        The solution.
    distance : float
        :math:`|\theta' - \theta|`.
    residual : float
        Root mean square of what is left of :math:`y - P_0 x`.
    stationarity : float
        Part of the unit vector :math:`(\theta' - \theta)/|\theta' - \theta|` that lies in the tangent of the
        solutions: 0 at a nearest point.
    """

    net: LinearPCN
    distance: float
    residual: float
    stationarity: float

    def __repr__(self) -> str:
        return f"NearestSolution(distance {self.distance:.6g}, residual {self.residual:.1e})"


def nearest_solution(
    net: LinearPCN, data: Data, *, tolerance: float = 1e-10, max_steps: int = 200
) -> NearestSolution:
    r"""The closest weights with zero loss, :math:`\min |\theta' - \theta|` subject to :math:`P_0(\theta')\, x
    = y`.

    Follows the minimum of :math:`\frac{\mu}{2}|\theta' - \theta|^2 + \mathcal L(\theta')` from :math:`\theta`
    as :math:`\mu` falls from infinity, then solves the equations of the constrained problem by Newton-like
    projections.

    Parameters
    ----------
    net : LinearPCN
        The network.
    data : Data
        x (B, n_0) and y (B, n_L).
    tolerance : float
        On `residual` relative to the targets and to its value at the start, and on `stationarity`.
    max_steps : int
        Of each stage.

    Returns
    -------
    NearestSolution
        With its distance and its certificate.

    Raises
    ------
    ValueError
        If the iteration ends without a solution to `tolerance`: the data may not be realisable by this
        network, or :math:`\theta` may be as near to one solution as to another.

    Notes
    -----
    A local minimum of the distance, with its certificate. For two scalar weights the start of the last stage
    is the best root of a quartic, so that the minimum is global.

    Examples
    --------
    >>> found = nearest_solution(LinearPCN([[[0.5]], [[-2.0]]]), Data([[1.0]], [[-1.0]]))  # a solution
    >>> found.distance
    0.0
    """
    host, x, y = numpy_problem(require_plain(net), data)
    sample, start = Data(x, y).compress(), host.flatten()
    limit = _check.positive(tolerance, "tolerance")
    steps = _check.count(max_steps, "max_steps", 1)
    scale = max(float(np.sqrt(np.mean(sample.y**2))), _rms(host, sample))
    if _rms(host, sample) <= limit * scale:
        return NearestSolution(host, 0.0, _rms(host, sample), 0.0)
    if host.widths == (1, 1, 1):
        theta = _two_weights(host, sample, start)
    else:
        theta = _follow(host, sample, start, steps)
    for _ in range(steps):
        here = host.unflatten(theta)
        jacobian, residual = _jacobian(here, sample), _whitened_residual(here, sample)
        moved = theta - start
        # multipliers of the constraint by least squares; then Newton's step on its Lagrange equations
        multipliers = np.linalg.lstsq(jacobian.T, moved, rcond=None)[0]
        tangent = moved - jacobian.T @ multipliers
        distance = float(np.linalg.norm(moved))
        remaining, slope = _rms(here, sample), float(np.linalg.norm(tangent)) / distance
        if remaining <= limit * scale and slope <= limit:
            return NearestSolution(here, distance, remaining, slope)
        theta = theta + _lagrange_step(here, sample, jacobian, residual, tangent, multipliers)
    raise ValueError(
        "`data` must be realisable, and the nearest solution unique, for the iteration to end. Got a "
        "residual of "
        f"{remaining:.1e} and a slope of {slope:.1e} after {steps} steps: check `data.residual_noise()`, or "
        f"move the weights."
    )


def _two_weights(net: LinearPCN, data: Data, start: np.ndarray) -> np.ndarray:
    r"""The nearest point of the hyperbola :math:`w_1 w_2 = t`: a root of :math:`w^4 - w_1 w^3 + t w_2 w - t^2
    = 0`.

    Returns
    -------
    (2,)
        The nearest point.
    """
    t = float(data.yx[0, 0] / data.xx[0, 0]) / math.prod(net.multipliers)
    if t == 0:
        return np.where(np.abs(start) == np.min(np.abs(start)), 0.0, start)
    roots = np.roots([1.0, -start[0], 0.0, t * start[1], -t * t])
    # complex pairs stand in by their real part: another candidate does no harm
    first = roots.real[np.abs(roots.real) > 0]
    points = np.stack([first, t / first], axis=1)
    return np.asarray(points[np.argmin(np.sum((points - start) ** 2, axis=1))])


def _follow(net: LinearPCN, data: Data, start: np.ndarray, steps: int) -> np.ndarray:
    """Minimise mu/2 |theta - start|^2 + loss for mu falling to (almost) zero, each from the last minimum."""
    loss, theta = MSELoss(data), start
    top = float(np.linalg.norm(_jacobian(net, data), 2)) ** 2 + float(
        np.linalg.norm(_whitened_residual(net, data))
    )
    for mu in top * np.logspace(1, -6, 36):

        def objective(point: np.ndarray, mu: float = mu) -> float:
            return float(loss.value(net.unflatten(point)) + 0.5 * mu * np.sum((point - start) ** 2))

        for _ in range(steps):
            here = net.unflatten(theta)
            gradient = here.join(loss.gradient(here)) + mu * (theta - start)
            values, vectors = np.linalg.eigh(loss.hessian(here))
            curvatures = np.maximum(np.abs(values + mu), 1e-12 * top)
            change = -vectors @ ((vectors.T @ gradient) / curvatures)
            length, now = 1.0, objective(theta)
            while objective(theta + length * change) > now and length > 1e-8:
                length /= 2
            theta = theta + length * change
            if np.linalg.norm(change) <= 1e-6 * (1e-3 + np.linalg.norm(theta - start)):
                break
    return theta


def _lagrange_step(
    net: LinearPCN,
    data: Data,
    jacobian: np.ndarray,
    residual: np.ndarray,
    tangent: np.ndarray,
    multipliers: np.ndarray,
) -> np.ndarray:
    r"""Newton's step for: theta' - theta = J^T m and rho = 0.

    The second derivative of :math:`m^T \text{output}` comes from the Hessian of a loss whose residual is
    minus m: its part beyond Gauss-Newton is that derivative.

    Returns
    -------
    (num_weights,)
        The step of the weights.
    """
    size = len(net.flatten())
    root = math.sqrt(data.num_samples)
    outputs = data.x @ output_products(net)[0].T
    shifted = Data(data.x, outputs + net.precisions[-1].unwhiten(root * multipliers.reshape(outputs.shape)))
    curvature = (
        MSELoss(shifted).hessian(net) - jacobian.T @ jacobian
    )  # minus the second derivative of m^T output
    system = np.block(
        [[np.eye(size) + curvature, -jacobian.T], [jacobian, np.zeros((len(jacobian), len(jacobian)))]]
    )
    return np.asarray(np.linalg.lstsq(system, np.concatenate([-tangent, residual]), rcond=None)[0][:size])


def _finite(net: LinearPCN, data: Data, step: float | None, num_steps: int | None) -> Direction:
    count = net.depth if num_steps is None else _check.count(num_steps, "num_steps")
    if net.depth == 1:
        activities = equilibrium(net, data).activities
    else:
        size = 0.5 / inference_rate(net).largest if step is None else _check.positive(step, "step")
        activities = relax(net, data, size, count)
    return tuple(-g for g in weight_gradient(net, activities))


def _gauss_newton(net: LinearPCN, data: Data, damping: float = 0.0) -> np.ndarray:
    """The step of least norm that minimises the linearised loss, plus half the damping times its square."""
    jacobian, residual = _jacobian(net, data), _whitened_residual(net, data)
    if damping:
        gram = jacobian @ jacobian.T + damping * np.eye(len(jacobian))
        return np.asarray(jacobian.T @ np.linalg.solve(gram, residual))
    return np.asarray(np.linalg.lstsq(jacobian, residual, rcond=None)[0])


def _newton(curvatures: np.ndarray, vectors: np.ndarray, gradient: np.ndarray, *, pseudo: bool) -> np.ndarray:
    """Minus the inverse (or pseudo-inverse) of a symmetric matrix times the gradient."""
    small = np.abs(curvatures) <= len(curvatures) * np.finfo(float).eps * np.max(np.abs(curvatures))
    if small.any() and not pseudo:
        raise ValueError(
            "`damping` must not be minus an eigenvalue of the Hessian: the step would be infinite. "
            "Got one that is: change it."
        )
    inverse = np.where(small, 0.0, 1 / np.where(small, 1.0, curvatures))
    return np.asarray(-vectors @ (inverse * (vectors.T @ gradient)))


def _natural(net: LinearPCN, data: Data, gradient: Direction) -> Direction:
    r"""Minus :math:`a_l^{-2}\, \Sigma_l\, G_l\, (Q_{l-1} S_{xx} Q_{l-1}^T + M_{l-1})^+` for every layer."""
    moments = [q @ data.xx @ q.T for q in input_products(net)[:-1]]
    for l, covariance in enumerate(noise_covariances(net)[:-1], start=1):
        moments[l] = moments[l] + covariance
    return tuple(
        -precision.solve(g.T).T @ np.linalg.pinv(moment, hermitian=True) / a**2 if a else np.zeros_like(g)
        for a, precision, g, moment in zip(net.multipliers, net.precisions, gradient, moments, strict=True)
    )


def _jacobian(net: LinearPCN, data: Data) -> np.ndarray:
    r"""Jacobian of the whitened output :math:`C_L^T P_0 x / \sqrt B` in the weights, (B n_L, num_weights)."""
    entries = 2 * data.num_samples * net.widths[-1] * net.num_weights
    _check.memory(entries, "net", "take a smaller network")
    outputs, activities, blocks = output_products(net)[1:], data.x, []
    for a, matrix, product in zip(net.multipliers, net.maps, outputs, strict=True):
        whitened = net.precisions[-1].whiten(product.T).T
        blocks.append(
            a * np.einsum("oi,bj->boij", whitened, activities).reshape(len(activities) * len(product), -1)
        )
        activities = activities @ matrix.T
    return np.concatenate(blocks, axis=1) / math.sqrt(data.num_samples)


def _whitened_residual(net: LinearPCN, data: Data) -> np.ndarray:
    r""":math:`C_L^T r / \sqrt B`, (B n_L,): its squared norm is twice the loss."""
    residual = data.y - data.x @ output_products(net)[0].T
    return np.asarray(net.precisions[-1].whiten(residual).ravel() / math.sqrt(data.num_samples))


def _rms(net: LinearPCN, data: Data) -> float:
    return float(np.sqrt(np.mean((data.y - data.x @ output_products(net)[0].T) ** 2)))


def _named(directions: object) -> dict[str, np.ndarray]:
    """The vectors of directions by name, of one length."""
    flat = {
        name: _flat(d, f"directions[{name!r}]")
        for name, d in _check.mapping(directions, "directions").items()
    }
    if len({len(v) for v in flat.values()}) > 1:
        raise ValueError(
            "`directions` must be of one size. Got "
            f"{', '.join(f'{name!r} of {len(v)} entries' for name, v in flat.items())}."
        )
    return flat


def _flat(direction: object, name: str) -> np.ndarray:
    """One vector of the arrays like the weights."""
    parts = _check.sequence(direction, name, "a list or tuple of arrays like the weights")
    arrays = [np.ravel(_check.to_numpy(part, f"{name}[{l}]")) for l, part in enumerate(parts)]
    return np.asarray(_check.finite(np.concatenate([np.zeros(0), *arrays]), name))


def _degrees(cosine: float) -> float:
    return math.degrees(math.acos(min(1.0, max(-1.0, cosine)))) if not math.isnan(cosine) else math.nan


def _cosine(a: np.ndarray, b: np.ndarray) -> float:
    size = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / size if size > 0 else math.nan
