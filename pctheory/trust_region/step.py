r"""Inference as a trust-region step on the loss: the step for any radius, and the radius of inference.

In the hidden errors :math:`\epsilon = (\epsilon_1, \dots, \epsilon_{L-1})` a perturbed forward pass loses

.. math:: \ell(\epsilon) = \tfrac12 \Big| r - \sum_{l<L} P_l \epsilon_l \Big|^2_{\Pi_L},
          \qquad F = \ell(\epsilon) + \tfrac12 |\epsilon|^2_\Pi, \quad |\epsilon|^2_\Pi = \sum_{l<L}
          \epsilon_l^T \Pi_l \epsilon_l

(claim ``tr-expansion``): the Gauss-Newton model of the loss is the loss itself, and inference damps it by
one. The step of radius :math:`\Delta` minimises :math:`\ell` over :math:`|\epsilon|_\Pi \le \Delta`. With
whitened errors :math:`w`, the whitened residual :math:`\rho = C_L^T r`, :math:`\Pi_l = C_l C_l^T`, and
:math:`G = C_L^T [P_l C_l^{-T}]_{l<L}`,

.. math:: w(\lambda) = (G^T G + \lambda I)^{-1} G^T \rho,
          \qquad |w(\lambda)| = \Delta \quad (\lambda = 0 \text{ inside}),

solved for :math:`\lambda` in the singular values of G, which are at most n_L: the secular equation.
Predictive coding is :math:`\lambda = 1`. Source: Innocenti et al. 2023 (arXiv:2305.18188); exactness, radius
and gradients: this work.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .. import _check
from .._check import Array
from ..inference import activities_from_errors, equilibrium, output_products
from ..model import Data, LinearPCN, activity_hessian, feedforward
from ..model.definitions import data_rows, weight_rule

__all__ = ["QuadraticModel", "TrustRegionStep", "implied_radius", "quadratic_model", "trust_region_step"]

METRICS = ("errors", "fisher")

NEWTON_STEPS = 100
"""More than the secular equation ever takes: the iteration is monotone and ends quadratically."""


@dataclass(frozen=True, eq=False, repr=False)
class TrustRegionStep:
    r"""The minimum of the loss over perturbations of the forward pass of a given size, sample by sample.

    Attributes
    ----------
    radius : (B,)
        :math:`\Delta`, as asked.
    length : (B,)
        :math:`|\epsilon|_\Pi`: :math:`\Delta`, or less when the unconstrained minimum lies inside.
    multiplier : (B,)
        :math:`\lambda`; 0 where the unconstrained minimum lies inside, infinite for another sample at
        :math:`\Delta = 0`.
    errors : L arrays (B, n_l), l = 1..L
        The hidden step, and what it leaves at the output, :math:`\epsilon_L = y - A_L z_{L-1}`.
    activities : (z_0, ..., z_L), each (B, n_l)
        :math:`z_l = A_l z_{l-1} + \epsilon_l` from z_0 = x; z_L = y.
    model_reduction, actual_reduction : (B,)
        Decrease of the loss of each sample: by the quadratic model at the forward pass, and by a new forward
        pass. They are equal (claim ``tr-expansion``).
    """

    net: LinearPCN
    radius: np.ndarray
    length: np.ndarray
    multiplier: np.ndarray
    errors: tuple[np.ndarray, ...]
    activities: tuple[np.ndarray, ...]
    model_reduction: np.ndarray
    backward: tuple[np.ndarray, ...]
    before: np.ndarray

    @cached_property
    def actual_reduction(self) -> np.ndarray:
        """Decrease of each sample's loss, from the definition, (B,)."""
        whiten = self.net.precisions[-1].whiten
        left = np.sum(whiten(self.errors[-1]) ** 2, axis=1)
        return np.asarray(0.5 * (np.sum(whiten(self.before) ** 2, axis=1) - left))

    def gradient(self) -> tuple[np.ndarray, ...]:
        r"""Gradient in the weights of the loss that remains, (n_l, n_{l-1}) each (claim ``tr-radius``).

        .. math:: \frac{\partial}{\partial W_l} \frac1B \sum_i \min_{|\epsilon|_\Pi \le \Delta_i} \ell_i
                  = -\frac{a_l}{B} \sum_i P_l^T \Pi_L \epsilon_L \, z_{l-1}^T

        Backprop of what is left of the residual, at the moved activities: the gradient of the loss at radius
        0, that of the equilibrated energy at the implied radius.

        Returns
        -------
        tuple of (n_l, n_{l-1}), l = 1..L
            Numpy float64.
        """
        return weight_rule(self.net, self.backward, self.activities)

    def __repr__(self) -> str:
        return f"TrustRegionStep({len(self.radius)} samples, {self.net!r})"


def trust_region_step(
    net: LinearPCN, data: Data, radius: float | Sequence[float] | Array | None = None
) -> TrustRegionStep:
    r"""The perturbation of the forward pass that lowers the loss most among those of at most a given size.

    .. math:: \min_\epsilon \ell(\epsilon) \quad \text{subject to} \quad |\epsilon|_\Pi \le \Delta

    Parameters
    ----------
    net : LinearPCN
        The network.
    data : Data
        x (B, n_0) and y (B, n_L).
    radius : None, number or (B,)
        :math:`\Delta \ge 0` of every sample, in units of whitened activity; infinity for the Gauss-Newton
        step. None: the radius that predictive coding implies, where the step is the equilibrium.

    Returns
    -------
    TrustRegionStep
        In numpy float64.

    Notes
    -----
    Cost: the products :math:`P_l`, one singular value decomposition (n_L x n) for all samples, and a few
    scalar Newton steps on :math:`1/|w(\lambda)| = 1/\Delta`, which is concave and increasing, so that from
    below they rise to the root. The problem is convex: there is no hard case. Singular values below
    ``max(n_L, n) eps`` of the largest count as zero. Claims ``tr-expansion``, ``tr-radius``.

    Examples
    --------
    >>> net, data = LinearPCN([[[2.0]], [[3.0]]]), Data([[1.0]], [[7.0]])  # r = 1, S = 10, G = 3
    >>> [round(trust_region_step(net, data, d).errors[0].item(), 12) for d in (None, 0.1, np.inf)]
    [0.3, 0.1, 0.333333333333]
    """
    host, x, y = numpy_problem(net, data)
    delta = implied_radius(net, data) if radius is None else _radii(radius, len(x))
    before = y - feedforward(host, x)[-1]
    whitened = host.precisions[-1].whiten(before)
    left, values, right = _modes(host)
    amplitudes = whitened @ left  # c = U^T rho
    multiplier = _secular(values, amplitudes, delta)
    steps = values / (values**2 + multiplier[:, None]) * amplitudes
    hidden = _unwhiten(host, steps @ right)
    forward = activities_from_errors(host, x, hidden)
    output = y - forward[-1]
    slope = steps * values * amplitudes  # the model's first-order decrease, mode by mode
    return TrustRegionStep(
        host,
        delta,
        np.linalg.norm(steps, axis=1),
        multiplier,
        (*hidden, output),
        (*forward[:-1], y),
        np.sum(slope - 0.5 * (steps * values) ** 2, axis=1),
        tuple(host.precisions[-1].apply(output) @ p for p in output_products(host)[1:]),
        before,
    )


def implied_radius(net: LinearPCN, data: Data, *, metric: str = "errors") -> np.ndarray:
    r"""How far inference moves each sample: the radius of its trust region (claim ``tr-radius``).

    Parameters
    ----------
    net : LinearPCN
        The network.
    data : Data
        x (B, n_0) and y (B, n_L).
    metric : "errors" or "fisher"
        "errors": :math:`\Delta^{*2} = \sum_{l<L} \epsilon_l^{*T} \Pi_l \epsilon_l^*`, the metric of
        `trust_region_step`. "fisher": :math:`\Delta^{*2} = g^T H^{-1} g = r^T (\Pi_L - S^{-1}) r`, the size
        of the same step in the Fisher metric of the activities, the Hessian H, under which it is the
        natural-gradient step :math:`-H^{-1} g`: twice the energy that inference removes. It is the first,
        plus what the step does to the prediction of the output.

    Returns
    -------
    radius : (B,)

    Examples
    --------
    >>> net, data = LinearPCN([[[2.0]], [[3.0]]]), Data([[1.0]], [[7.0]])
    >>> [round(float(implied_radius(net, data, metric=m)[0]) ** 2, 12) for m in ("errors", "fisher")]
    [0.09, 0.9]
    """
    host, x, y = numpy_problem(net, data)
    if _check.choice(metric, "metric", METRICS) == "errors":
        errors = equilibrium(host, Data(x, y)).errors[:-1]
        squares = [np.sum(p.whiten(e) ** 2, axis=1) for p, e in zip(host.precisions, errors, strict=False)]
        return np.sqrt(np.sum(squares, axis=0)) if squares else np.zeros(len(x))
    residual = y - feedforward(host, x)[-1]
    left, values, _ = _modes(host)
    amplitudes = host.precisions[-1].whiten(residual) @ left
    # Pi_L - S^-1 = C_L U s^2/(1 + s^2) U^T C_L^T: no difference of near-equal numbers
    return np.asarray(np.sqrt(np.sum(amplitudes**2 * values**2 / (1 + values**2), axis=1)))


@dataclass(frozen=True, eq=False, repr=False)
class QuadraticModel:
    r"""The energy around the forward pass: :math:`\ell(0) + g^T d + \frac12 d^T H d` per sample, d = z -
    zhat.

    Attributes
    ----------
    value : (B,)
        :math:`\ell(0)`, the loss of each sample.
    gradient : (B, n)
        g: :math:`-A_L^T \Pi_L r` in the block of layer L-1, zero elsewhere.
    step : (B, n)
        :math:`-H^{-1} g = z^* - \hat z`.
    net : LinearPCN
        Its `activity_hessian` is H.
    """

    value: np.ndarray
    gradient: np.ndarray
    step: np.ndarray
    net: LinearPCN

    def at(self, perturbation: Array) -> np.ndarray:
        """The model's energy of each sample at hidden activities moved by `perturbation` (B, n)."""
        rows = _check.to_numpy(perturbation, "perturbation")
        if rows.shape != self.gradient.shape:
            raise ValueError(f"`perturbation` must have shape {self.gradient.shape}. Got {rows.shape}.")
        curved = activity_hessian(self.net).matvec(rows)
        return np.asarray(self.value + np.sum((self.gradient + 0.5 * curved) * rows, axis=1))

    def __repr__(self) -> str:
        return f"QuadraticModel({len(self.value)} samples, {self.net!r})"


def quadratic_model(net: LinearPCN, data: Data) -> QuadraticModel:
    r"""The second-order expansion of the energy in the hidden activities at the forward pass; it is exact.

    H is the Fisher information of the activities: :math:`-\log p(z, y \mid x)` has this Hessian whatever z
    and y are. Its minimum is a natural-gradient step of the loss in activity space. Claim ``tr-expansion``;
    Innocenti et al. 2023.

    Returns
    -------
    QuadraticModel
        Value, gradient, step and H.

    Examples
    --------
    >>> model = quadratic_model(LinearPCN([[[2.0]], [[3.0]]]), Data([[1.0]], [[7.0]]))
    >>> model.value.item(), model.gradient.item(), round(model.step.item(), 12)  # H = 10
    (0.5, -3.0, 0.3)
    """
    host, x, y = numpy_problem(net, data)
    before = y - feedforward(host, x)[-1]
    gradient = np.zeros((len(x), sum(host.widths[1:-1])))
    step = gradient
    if host.depth > 1:
        weighted = host.precisions[-1].apply(before)
        gradient[:, gradient.shape[1] - host.widths[-2] :] = -weighted @ host.maps[-1]
        step = -activity_hessian(host).cholesky().solve(gradient)
    value = 0.5 * np.sum(host.precisions[-1].whiten(before) ** 2, axis=1)
    return QuadraticModel(value, gradient, step, host)


def _secular(values: np.ndarray, amplitudes: np.ndarray, radius: np.ndarray) -> np.ndarray:
    r"""The multiplier with :math:`|s c / (s^2 + \lambda)| = \Delta`, or 0, for every sample, (B,)."""
    forces, squares = values * amplitudes, values**2
    longest = np.linalg.norm(amplitudes / values, axis=1)
    result = np.where(radius >= longest, 0.0, np.inf)
    active = (radius > 0) & (radius < longest)
    if not active.any():
        return result
    force, delta = forces[active], radius[active]
    # |w| is at least |s c| / (s_max^2 + lambda): a bound from below to start at
    lam = np.maximum(np.linalg.norm(force, axis=1) / delta - squares[0], 0.0)
    for _ in range(NEWTON_STEPS):
        inverse = 1 / (squares + lam[:, None])
        length = np.linalg.norm(force * inverse, axis=1)
        slope = np.sum(force**2 * inverse**3, axis=1)  # -|w| d|w|/dlambda
        excess = length / delta - 1
        lam = lam + np.maximum(length**2 / slope * excess, 0.0)  # exact steps never go back: rounding may
        if np.all(np.abs(excess) <= 4 * np.finfo(float).eps * len(values)):
            break
    result[active] = lam
    return result


def _modes(net: LinearPCN) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """U (n_L, k), s (k,) and V^T (k, n) of G, without the singular values at rounding level."""
    hidden = [
        p.colour(product) for p, product in zip(net.precisions[:-1], output_products(net)[1:-1], strict=True)
    ]
    outputs = net.widths[-1]
    if not hidden:
        return np.zeros((outputs, 0)), np.zeros(0), np.zeros((0, 0))
    stack = net.precisions[-1].whiten(np.concatenate(hidden, axis=1).T).T
    left, values, right = np.linalg.svd(stack, full_matrices=False)
    cut = max(stack.shape) * np.finfo(float).eps * values[0]
    kept = values > cut
    return left[:, kept], values[kept], right[kept]


def _unwhiten(net: LinearPCN, rows: np.ndarray) -> tuple[np.ndarray, ...]:
    """Hidden errors from their whitened coordinates side by side."""
    edges = np.cumsum([0, *net.widths[1:-1]])
    return tuple(
        np.asarray(p.unwhiten(rows[:, start:stop]))
        for p, start, stop in zip(net.precisions[:-1], edges, edges[1:], strict=False)
    )


def _radii(radius: object, batch: int) -> np.ndarray:
    values = _check.to_numpy(radius, "radius")
    if values.shape not in ((), (batch,)):
        raise ValueError(
            f"`radius` must be one number or one per sample, shape ({batch},). Got shape {values.shape}."
        )
    if not np.all(values >= 0):
        raise ValueError(
            f"`radius` must be 0 or more (infinity included). Got {values.min():g}: it is a length."
        )
    return np.broadcast_to(values, (batch,)).copy()


def numpy_problem(net: LinearPCN, data: Data) -> tuple[LinearPCN, np.ndarray, np.ndarray]:
    """The network and the data, checked, in numpy float64."""
    data_rows(net, data)
    rows = data.to_numpy()
    return net.to_numpy(), rows.x, rows.y
