r"""Solvers of inference compared on equal work: the gap :math:`F(z) - F^*` against gradients evaluated.

The unit of work is one gradient of the energy for the whole batch, :math:`2 B \sum_l n_l n_{l-1}`
multiply-adds: a product with H in the activities, and a forward and a backward pass in the coordinates of the
errors, cost the same. Gaps are computed from :math:`\tfrac12 (v - v^*)^T \nabla F`, exact for a quadratic:
nothing cancels near the minimum.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from .. import _check
from ..model import Data, LinearPCN, activity_hessian, loss
from ..model.definitions import data_rows
from .dynamics import hidden_rows, inference_rate, inference_start
from .equilibria import equilibrium
from .error_coordinates import error_eigenvalues, error_hessian
from .products import require_hidden

__all__ = ["SOLVERS", "SolverTrace", "solve_inference"]

SOLVERS = ("gd", "momentum", "heun", "adam", "cg", "error-gd", "error-cg", "exact")

Gradient = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, eq=False)
class SolverTrace:
    r"""A run of one solver.

    Attributes
    ----------
    method : str
    step : float
        g of the descent methods, the learning rate of Adam; nan where there is none.
    products : (k,)
        Work so far, in gradients of the batch.
    gaps : (k,)
        :math:`F - F^*` there; the first is that of the feedforward pass.
    """

    method: str
    step: float
    products: np.ndarray
    gaps: np.ndarray

    def products_to(self, fraction: float) -> float:
        """Work until the gap is `fraction` of the first one; infinite if the run ended before."""
        below = self.gaps <= _check.positive(fraction, "fraction") * self.gaps[0]
        return float(self.products[np.argmax(below)]) if below.any() else math.inf


def solve_inference(
    net: LinearPCN,
    data: Data,
    method: str,
    *,
    max_products: int = 1000,
    tolerance: float = 0.0,
    step: float | None = None,
) -> SolverTrace:
    r"""Infer from the feedforward pass with one solver, and record the gap against the work.

    Parameters
    ----------
    net : LinearPCN
        The network.
    data : Data
        x (B, n_0) and y (B, n_L).
    method : str
        "gd", "momentum" (heavy ball) and "heun" with the constants that are optimal for the extreme
        eigenvalues of H; "adam" (step sizes from signs: never optimal, and it needs a learning rate); "cg"
        (conjugate gradients on H); "error-gd" and "error-cg", descent and conjugate gradients in the
        coordinates of the errors, where the latter ends after at most n_L steps; "exact", the closed form.
    max_products : int
        Largest work, in gradients.
    tolerance : float
        Stop when the gap is below this fraction of the first one.
    step : float, optional
        Instead of the optimal one ("gd", "heun", "error-gd"), or Adam's learning rate (0.01).

    Returns
    -------
    SolverTrace

    Notes
    -----
    Heun's map of a mode is :math:`1 - u + u^2/2` with :math:`u = g\lambda`; its best step equals that of
    descent, :math:`2/(\lambda_{\min}+\lambda_{\max})`, at twice the work. The extremes are found beforehand
    and not counted. The "exact" work counts its sweeps and its QR factorisation. Claims ``inference-rate``,
    ``coordinates-resolve-tradeoff``.

    Examples
    --------
    >>> net, data = LinearPCN([[[2.0]], [[3.0]]]), Data([[1.0]], [[7.0]])
    >>> solve_inference(net, data, "cg").products_to(1e-12)
    1.0
    """
    _check.choice(method, "method", SOLVERS)
    require_hidden(net)
    data_rows(net, data)
    limit = _check.count(max_products, "max_products")
    fraction = _check.non_negative(tolerance, "tolerance")
    size = None if step is None else _check.positive(step, "step")
    host, rows = net.to_numpy(), data.to_numpy()
    if method == "exact":
        first = float(loss(host, rows)) - float(equilibrium(host, rows).energy)
        return SolverTrace(
            method, math.nan, np.array([0.0, _exact_work(host, rows.num_samples)]), np.array([first, 0.0])
        )
    start, solution, apply, low, high = _quadratic(host, rows, in_errors=method.startswith("error"))

    def gradient(v: np.ndarray) -> np.ndarray:
        return apply(v - solution)

    iterates = _iterates(method.removeprefix("error-"), start, gradient, apply, low, high, size)
    used = size if size is not None else _default_step(method.removeprefix("error-"), low, high)
    products, gaps = [], []
    for work, v, slope in iterates:
        if work > limit:
            break
        products.append(float(work))
        gaps.append(float(0.5 * np.sum((v - solution) * slope) / rows.num_samples))
        if gaps[-1] <= fraction * gaps[0] or not math.isfinite(gaps[-1]):
            break
    return SolverTrace(method, used, np.array(products), np.array(gaps))


def _quadratic(
    net: LinearPCN, data: Data, *, in_errors: bool
) -> tuple[np.ndarray, np.ndarray, Gradient, float, float]:
    """Start, minimum, v -> Hv on rows, and the extreme eigenvalues, in activities or in whitened errors."""
    fixed = equilibrium(net, data)
    if not in_errors:
        hessian = activity_hessian(net)
        rate = inference_rate(net)
        begin = hidden_rows(inference_start(net, data))
        return (
            begin,
            hidden_rows(fixed.activities),
            hessian.product,
            rate.smallest,
            rate.largest,
        )
    operator, values = error_hessian(net), error_eigenvalues(net)
    solution = np.concatenate(
        [p.whiten(e) for p, e in zip(net.precisions[:-1], fixed.errors[:-1], strict=True)], axis=1
    )

    def apply(v: np.ndarray) -> np.ndarray:
        return operator.matmat(v.T).T

    return np.zeros_like(solution), solution, apply, float(values[0]), float(values[-1])


def _default_step(method: str, low: float, high: float) -> float:
    if method == "momentum":
        return 4 / (math.sqrt(low) + math.sqrt(high)) ** 2
    return {"gd": 2 / (low + high), "heun": 2 / (low + high), "adam": 0.01}.get(method, math.nan)


def _iterates(
    method: str,
    v: np.ndarray,
    gradient: Gradient,
    apply: Gradient,
    low: float,
    high: float,
    step: float | None,
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Work spent, point and gradient there, without end."""
    g = _default_step(method, low, high) if step is None else step
    if method == "cg":
        yield from _conjugate_gradients(v, gradient, apply)
        return
    beta = ((math.sqrt(high) - math.sqrt(low)) / (math.sqrt(high) + math.sqrt(low))) ** 2
    velocity = np.zeros_like(v)
    mean, square, count = np.zeros_like(v), np.zeros_like(v), 0
    work = 0
    while True:
        slope = gradient(v)
        yield work, v, slope
        if method == "gd":
            v = v - g * slope
        elif method == "momentum":
            velocity = beta * velocity - g * slope
            v = v + velocity
        elif method == "heun":
            v = v - 0.5 * g * (slope + gradient(v - g * slope))
            work += 1
        else:  # Adam with its usual constants
            count += 1
            mean = 0.9 * mean + 0.1 * slope
            square = 0.999 * square + 0.001 * slope**2
            scale = np.sqrt(square / (1 - 0.999**count)) + 1e-8
            v = v - g * mean / (1 - 0.9**count) / scale
        work += 1


def _conjugate_gradients(
    v: np.ndarray, gradient: Gradient, apply: Gradient
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """One run per sample, side by side: their Krylov spaces differ."""
    slope = gradient(v)
    direction = -slope
    squared = np.sum(slope**2, axis=1, keepdims=True)
    floor = np.finfo(np.float64).eps ** 2 * squared
    work = 0
    while True:
        yield work, v, slope
        image = apply(direction)
        curvature = np.sum(direction * image, axis=1, keepdims=True)
        alive = squared > floor  # a sample that has converged keeps its point: its next step would be 0 / 0
        length = np.where(alive, squared / np.where(alive, curvature, 1.0), 0.0)
        v, slope = v + length * direction, slope + length * image
        following = np.sum(slope**2, axis=1, keepdims=True)
        direction = -slope + np.where(alive, following / np.where(alive, squared, 1.0), 0.0) * direction
        squared = following
        work += 1


def _exact_work(net: LinearPCN, batch: int) -> float:
    """Multiply-adds of the closed form's sweeps and QR, in gradients of the batch."""
    pairs = list(pairwise(net.widths))
    layers = sum(a * b for a, b in pairs)
    outputs = net.widths[-1]
    backward = outputs * sum(a * b for a, b in pairs[1:]) + 2 * outputs**2 * sum(net.widths[1:])
    forward = batch * layers + batch * outputs * sum(net.widths[1:])
    return (backward + forward) / (2 * batch * layers)
