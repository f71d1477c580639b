r"""Inference under any convex output loss: the equilibrated energy is the loss's Moreau envelope.

Claim ``moreau-envelope``. The hidden layers keep their Gaussian errors, and the last layer pays a convex loss
:math:`\ell_i` of its prediction. With :math:`\hat y = P_0 x` and :math:`K = \sum_{l<L} P_l \Sigma_l P_l^T`,

.. math:: F^* = \frac1B \sum_i \min_{u \in \operatorname{ran} K}
          \ell_i(\hat y_i + u) + \tfrac12 u^T K^+ u, \qquad
          u^* = -K g, \qquad \Pi_l \epsilon_l^* = -P_l^T g,

where g is the gradient of the loss at the shifted output :math:`\hat y + u^*`. The search is over one vector
of at most n_L numbers a sample: with :math:`K = R^T R` from a QR factorisation and :math:`u = R^T c`,
Newton's method minimises :math:`\ell(\hat y + R^T c) + \frac12 |c|^2`. That function is 1-strongly convex, so
the norm of its gradient bounds the distance to :math:`c^*`, and half its square bounds the excess of the
energy: the error bounds of the answer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from array_api_compat import array_namespace, device

from .. import _check
from .._check import Array
from ..model import Data, LinearPCN
from ..model.definitions import data_rows, forward_pass, weight_rule
from .error_coordinates import forward_with_errors
from .products import hidden_products, whitened_stack

__all__ = ["OUTPUT_LOSSES", "ConvexLoss", "EnvelopeEquilibrium", "envelope_equilibrium", "pseudo_huber"]

MAX_STEPS = 200
"""Newton steps at most; a softmax at any scale tried needed under 60."""

NEAR = 1e-8
"""Relative decrease of the energy below which the next Newton step is taken in full, and is the last."""

CERTIFIED = 1e-6
"""An answer whose energy is not known to this relative accuracy is refused."""


@dataclass(frozen=True)
class ConvexLoss:
    r"""A convex, twice differentiable loss of one sample's output, given by three functions of rows.

    Parameters
    ----------
    name : str
    value : (outputs (B, n), targets (B, n)) -> (B,)
    gradient : (outputs, targets) -> (B, n)
        In the outputs.
    hessian : (outputs, targets) -> (B, n, n)
        In the outputs, positive semidefinite.
    """

    name: str
    value: Callable[[Array, Array], Array]
    gradient: Callable[[Array, Array], Array]
    hessian: Callable[[Array, Array], Array]

    def scaled(self, factor: float) -> ConvexLoss:
        """The loss times a positive number."""
        if factor == 1.0:
            return self
        return ConvexLoss(
            f"{factor:g} {self.name}",
            lambda o, y: factor * self.value(o, y),
            lambda o, y: factor * self.gradient(o, y),
            lambda o, y: factor * self.hessian(o, y),
        )


def pseudo_huber(delta: float = 1.0) -> ConvexLoss:
    r"""The smooth Huber loss :math:`\delta^2 \sum_j (\sqrt{1 + (o_j - y_j)^2/\delta^2} - 1)`.

    Quadratic near the target, linear far from it.

    Returns
    -------
    ConvexLoss
        Of parameter `delta`.

    Examples
    --------
    >>> import numpy as np
    >>> pseudo_huber(1.0).value(np.array([[3.0**0.5]]), np.array([[0.0]])).round(12)  # sqrt(1 + 3) - 1
    array([1.])
    """
    d = _check.positive(delta, "delta")

    def root(o: Array, y: Array) -> Array:
        return (1 + ((o - y) / d) ** 2) ** 0.5

    return ConvexLoss(
        f"pseudo-Huber {d:g}",
        lambda o, y: array_namespace(o).sum(d**2 * (root(o, y) - 1), axis=-1),
        lambda o, y: (o - y) / root(o, y),
        lambda o, y: _diagonal(root(o, y) ** -3),
    )


def _diagonal(rows: Array) -> Array:
    return rows[:, :, None] * _eye(rows)


def _eye(rows: Array) -> Array:
    return array_namespace(rows).eye(rows.shape[1], dtype=rows.dtype, device=device(rows))


def _log_sum_exp(o: Array) -> Array:
    xp = array_namespace(o)
    top = xp.max(o, axis=-1, keepdims=True)
    return top + xp.log(xp.sum(xp.exp(o - top), axis=-1, keepdims=True))


def _softmax(o: Array) -> Array:
    return array_namespace(o).exp(o - _log_sum_exp(o))


def _cross_entropy_value(o: Array, y: Array) -> Array:
    # log sum_k exp(o_k - o_j) = log(1 + the others' part) + (top - o_j): nothing cancels, so that the loss of
    # a prediction that is right has all its digits however small it is
    xp = array_namespace(o)
    top = xp.max(o, axis=-1, keepdims=True)
    numbers = xp.arange(o.shape[-1], device=device(o))
    first = numbers == xp.argmax(o, axis=-1, keepdims=True)
    others = xp.sum(xp.where(first, xp.zeros_like(o), xp.exp(o - top)), axis=-1, keepdims=True)
    return xp.sum(y * (xp.log1p(others) + (top - o)), axis=-1)


def _others(rows: Array) -> Array:
    """Of each entry the sum of the others: 1 - p of a probability near 1 to all its digits."""
    xp = array_namespace(rows)
    n = rows.shape[1]
    return rows @ (xp.ones((n, n), dtype=rows.dtype, device=device(rows)) - _eye(rows))


def _cross_entropy_gradient(o: Array, y: Array) -> Array:
    p = _softmax(o)
    return p * _others(y) - y * _others(p)


def _cross_entropy_hessian(o: Array, y: Array) -> Array:
    p = _softmax(o)
    total = array_namespace(y).sum(y, axis=-1)[:, None, None]
    off = p[:, :, None] * p[:, None, :] * (1 - _eye(p))
    return total * (_diagonal(p * _others(p)) - off)


OUTPUT_LOSSES = {
    "mse": ConvexLoss(
        "mse",
        lambda o, y: array_namespace(o).sum(0.5 * (o - y) ** 2, axis=-1),
        lambda o, y: o - y,
        lambda o, y: _diagonal(array_namespace(o).ones_like(o)),
    ),
    "cross-entropy": ConvexLoss(
        "cross-entropy", _cross_entropy_value, _cross_entropy_gradient, _cross_entropy_hessian
    ),
}
"""Output losses by name. Targets of "cross-entropy" are rows of probabilities, such as one-hot labels."""


def output_loss(net: LinearPCN, output: str | ConvexLoss) -> ConvexLoss:
    r"""The loss of a name, or the loss itself, times the output precision :math:`\Pi_L`, which must be a
    number.

    Returns
    -------
    ConvexLoss
        Scaled by the output precision.

    Raises
    ------
    ValueError
        If the output precision is not a number.
    """
    if not isinstance(output, ConvexLoss):
        output = OUTPUT_LOSSES[_check.choice(output, "output", OUTPUT_LOSSES)]
    scale = net.precisions[-1].value
    if isinstance(scale, float):
        return output.scaled(scale)
    raise ValueError(
        "`precisions` must end with a number when `output` is a loss: it scales that loss. "
        f"Got shape {tuple(scale.shape)}."
    )


@dataclass(frozen=True, eq=False, repr=False)
class EnvelopeEquilibrium:
    r"""The equilibrium of inference under a convex output loss.

    Attributes
    ----------
    activities : (z_0, ..., z_{L-1}, o), each (B, n_l)
        :math:`z^*`, and the output :math:`o = A_L z_{L-1}^*` where the loss is taken.
    errors : L - 1 arrays (B, n_l), l = 1..L-1
        :math:`\epsilon_l^* = -\Sigma_l P_l^T g`.
    gradient : (B, n_L)
        g, of the loss in the output.
    energy : scalar
        :math:`F^*`.
    energy_bound : float
        :math:`F^*` is at most this much below `energy` (arithmetic aside).
    closure : float
        Mismatch of the two ways to compute o, relative to its scale: an estimate of the rounding error.
    num_steps : int
        Newton steps of the slowest sample.
    """

    activities: tuple[Array, ...]
    errors: tuple[Array, ...]
    gradient: Array
    energy: Array
    energy_bound: float
    closure: float
    num_steps: int
    loss: ConvexLoss
    root: Array
    net: LinearPCN
    data: Data

    @cached_property
    def weighted_errors(self) -> tuple[Array, ...]:
        r""":math:`\delta_l = \Pi_l \epsilon_l`, l = 1..L-1, and :math:`\delta_L = -g`, each (B, n_l)."""
        pairs = zip(self.net.precisions, self.errors, strict=False)
        return (*(pi.apply(e) for pi, e in pairs), -self.gradient)

    def weight_gradient(self) -> tuple[Array, ...]:
        r"""The gradient of :math:`F^*` in the weights, (n_l, n_{l-1}) each: the local rule at equilibrium.

        Returns
        -------
        gradient : tuple of (n_l, n_{l-1}), l = 1..L, then with biases (n_l,), l = 1..L
            0 where an entry is fixed.
        """
        return weight_rule(self.net, self.weighted_errors, self.activities)

    def __repr__(self) -> str:
        found = f"{self.loss.name}, energy={float(_check.detached(self.energy)):.6g}"
        return f"EnvelopeEquilibrium({found}, {self.net!r}, {self.data!r})"


def envelope_equilibrium(
    net: LinearPCN, data: Data, output: str | ConvexLoss = "cross-entropy"
) -> EnvelopeEquilibrium:
    r"""The equilibrium of inference under a convex output loss: the minimum over the hidden activities.

    .. math:: F(z) = \frac1B \sum_i
              \Big[ \tfrac12 \sum_{l<L} \epsilon_l^T \Pi_l \epsilon_l + \ell_i(A_L z_{L-1}) \Big]

    Parameters
    ----------
    net : LinearPCN
        The network.
    data : Data
        x (B, n_0) and targets y (B, n_L); of "cross-entropy" one-hot rows or rows of probabilities.
    output : "cross-entropy", "mse", or a ConvexLoss
        A number as last precision multiplies it.

    Returns
    -------
    EnvelopeEquilibrium

    Raises
    ------
    ValueError
        If Newton's method does not converge, if the last precision is not a number, or if the targets of a
        cross-entropy are not probabilities.

    Notes
    -----
    Claim ``moreau-envelope``; cost: a backward sweep of n_L rows, a QR factorisation, and a few solves of n_L
    x n_L systems a sample. With cross-entropy and two or more hidden units before the output the energy can
    be driven to 0 on *any* labels, random ones too, while the loss rises (claim ``cross-entropy-landscape``):
    add weight decay.

    Examples
    --------
    >>> net, data = LinearPCN([[[2.0]], [[3.0]]]), Data([[1.0]], [[7.0]])  # K = 9
    >>> round(float(envelope_equilibrium(net, data, "mse").energy), 12)  # r^2 / (2 (1 + K))
    0.05
    """
    x, y = data_rows(net, data)
    loss = output_loss(net, output)
    if output == "cross-entropy":
        _require_probabilities(y)
    xp = array_namespace(x, y)
    hidden = net.precisions[:-1]
    predicted = forward_pass(net, x)[-1]
    q, r = hidden_root(net)
    # the minimum over c does not move to first order: derivatives of the energy need not pass through the
    # search
    c, num_steps, bound = _minimise(loss, *(_check.detached(a) for a in (predicted, y, r)))
    target = predicted + c @ r
    whitened, errors, start = c @ q.T if hidden else c, [], 0
    for precision in hidden:
        errors.append(precision.unwhiten(whitened[:, start : start + precision.size]))
        start += precision.size
    *activities, out = forward_with_errors(net, x, errors)
    energy = xp.mean(loss.value(target, y) + 0.5 * xp.sum(c**2, axis=-1))
    return EnvelopeEquilibrium(
        activities=(*activities, out),
        errors=tuple(errors),
        gradient=loss.gradient(target, y),
        energy=energy,
        energy_bound=bound,
        closure=_mismatch(out, target),
        num_steps=num_steps,
        loss=loss,
        root=r,
        net=net,
        data=data,
    )


def _mismatch(output: Array, target: Array) -> float:
    xp = array_namespace(output)
    output, target = _check.detached(output), _check.detached(target)
    scale = float(xp.max(xp.abs(target)))
    return float(xp.max(xp.abs(output - target))) / scale if scale else 0.0


def hidden_root(net: LinearPCN) -> tuple[Array, Array]:
    r"""Q and R of :math:`[P_1 C_1^{-T}, \dots, P_{L-1} C_{L-1}^{-T}]^T = Q R`, so that :math:`K = R^T R`.

    R has as many rows as the narrower of the last two layers has units: all of K passes through both.

    Returns
    -------
    q : (n_1 + ... + n_{L-1}, k)
    r : (k, n_L)
    """
    last = net.maps[-1]
    xp = array_namespace(last)
    if net.depth == 1:
        empty = xp.zeros((0, last.shape[0]), dtype=last.dtype, device=device(last))
        return empty, empty
    if last.shape[0] <= last.shape[1]:
        stack = whitened_stack(net, hidden_products(net))[: sum(net.widths[1:-1])]
        return tuple(xp.linalg.qr(stack, mode="reduced"))
    below = LinearPCN(net.maps[:-1], precisions=[p.value for p in net.precisions[:-1]])
    q, r = xp.linalg.qr(whitened_stack(below, hidden_products(below)), mode="reduced")
    return q, r @ last.T


def _minimise(loss: ConvexLoss, predicted: Array, y: Array, root: Array) -> tuple[Array, int, float]:
    r"""Newton's method on :math:`\ell(\hat y + R^T c) + |c|^2/2`, all samples at once, each with its own step
    length.

    Returns
    -------
    c : (B, n)
        The minimum of each sample.
    num_steps : int
        Steps of Newton's method.
    bound : float
        How far the energies may be from their minimum.

    Raises
    ------
    ValueError
        If the energy is not known well enough at the end.
    """
    xp = array_namespace(predicted, y)
    rank = root.shape[0]
    eye = xp.eye(rank, dtype=y.dtype, device=device(y))
    c = xp.zeros((y.shape[0], rank), dtype=y.dtype, device=device(y))
    if not rank:
        return c, 0, 0.0

    def value(at: Array) -> Array:
        return loss.value(predicted + at @ root, y) + 0.5 * xp.sum(at**2, axis=-1)

    current, settled, num_steps = value(c), False, 0
    while True:
        out = predicted + c @ root
        slope = loss.gradient(out, y) @ root.T + c
        norms = xp.sum(slope**2, axis=-1)
        if settled or num_steps == MAX_STEPS or not bool(xp.any(norms > 0)):
            break
        num_steps += 1
        step = _solve(root @ loss.hessian(out, y) @ root.T + eye, -slope)
        decrease = xp.sum(slope * step, axis=-1)
        # so near the end a full step squares the relative error: it is the last one
        near = -decrease <= NEAR * xp.abs(current)
        settled = bool(xp.all(near))
        length = xp.ones_like(current)
        for _ in range(60):
            new = value(c + length[:, None] * step)
            good = near | (new <= current + 1e-4 * length * decrease)
            if bool(xp.all(good)):
                break
            length = xp.where(good, length, 0.5 * length)
        c = c + length[:, None] * step
        current = value(c)
    bound, energy = float(xp.mean(norms)) / 2, float(xp.mean(xp.abs(current)))
    if not bound <= CERTIFIED * energy:
        raise ValueError(
            f"`output` must be a convex loss at a scale that {y.dtype} can resolve. Got {loss.name}, whose "
            f"energy {energy:.3g} is known to {bound:.1e} only after {num_steps} steps: scale the weights "
            f"down, or check "
            "the loss's gradient and Hessian."
        )
    return c, num_steps, bound


def _solve(matrices: Array, rows: Array) -> Array:
    """Solve one system a sample.

    By eigenvalues, so that curvature of any size is never singular: all are 1 or more.

    Returns
    -------
    (B, n)
        The solutions, one row a sample.
    """
    xp = array_namespace(matrices, rows)
    values, vectors = xp.linalg.eigh((matrices + xp.matrix_transpose(matrices)) / 2)
    along = (rows[:, None, :] @ vectors)[:, 0, :] / xp.clip(values, 1.0, None)
    return (vectors @ along[:, :, None])[:, :, 0]


def _require_probabilities(y: Any) -> None:
    xp = array_namespace(y)
    total = xp.sum(y, axis=-1)
    if bool(xp.any(y < 0)) or bool(xp.any(xp.abs(total - 1) > 1e-6)):
        raise ValueError(
            "`y` must hold rows of probabilities when `output` is 'cross-entropy', such as one-hot labels. "
            f"Got rows that sum to {float(xp.min(total)):g}..{float(xp.max(total)):g}."
        )
