r"""Learning rules with input and output clamped: backprop, the local rule, and exact variants of backprop.

All return arrays like the weights in the sign of a gradient: subtract them to learn. BP is the gradient of
the loss,

.. math:: \frac{\partial\mathcal L}{\partial W_l} = -a_l \langle \delta_l \hat z_{l-1}^T \rangle, \qquad
          \delta_L = \Pi_L r, \quad \delta_l = A_{l+1}^T \delta_{l+1} .
"""

from __future__ import annotations

from collections.abc import Sequence

from .. import _check
from .._check import Array
from ..inference import activities_from_errors, equilibrium, error_gradient, inference_start, relax
from ..model import Data, LinearPCN, feedforward, prediction_errors, weight_gradient
from ..model.definitions import data_rows, require_plain, weight_rule

__all__ = [
    "backprop_gradient",
    "error_descent_gradient",
    "fixed_prediction_gradient",
    "local_gradient",
    "pc_gradient",
    "z_il_gradient",
]


def backprop_gradient(net: LinearPCN, data: Data) -> tuple[Array, ...]:
    """The gradient of the loss: a forward and a backward pass.

    Parameters
    ----------
    net : LinearPCN
        The network.
    data : Data
        x (B, n_0) and y (B, n_L).

    Returns
    -------
    gradient : tuple of (n_l, n_{l-1}), l = 1..L

    Examples
    --------
    >>> [g.item() for g in backprop_gradient(LinearPCN([[[2.0]], [[3.0]]]), Data([[1.0]], [[7.0]]))]  # r = 1
    [-3.0, -2.0]
    """
    x, y = data_rows(net, data)
    forward = feedforward(net, x)
    delta = net.precisions[-1].apply(y - forward[-1])
    deltas = [delta]
    for matrix in net.maps[:0:-1]:
        deltas.append(deltas[-1] @ matrix)
    return weight_rule(net, deltas[::-1], forward)


def pc_gradient(net: LinearPCN, data: Data) -> tuple[Array, ...]:
    """The local rule at equilibrium, which is the gradient of F* (claim ``envelope-gradient``).

    Parameters
    ----------
    net : LinearPCN
        The network.
    data : Data
        x (B, n_0) and y (B, n_L).

    Returns
    -------
    gradient : tuple of (n_l, n_{l-1}), l = 1..L

    Examples
    --------
    >>> net, data = LinearPCN([[[2.0]], [[3.0]]]), Data([[1.0]], [[7.0]])  # r = 1, S = 10
    >>> [round(g.item(), 12) for g in pc_gradient(net, data)]
    [-0.3, -0.23]
    """
    return equilibrium(net, data).weight_gradient()


def local_gradient(net: LinearPCN, data: Data, step: float, num_steps: int) -> tuple[Array, ...]:
    r"""The local rule :math:`-\frac{a_l}{B}\sum \Pi_l \epsilon_l z_{l-1}^T` after T steps of inference.

    Inference starts from the forward pass.

    Parameters
    ----------
    net : LinearPCN
        The network.
    data : Data
        x (B, n_0) and y (B, n_L).
    step : float
        g of gradient descent on the activities.
    num_steps : int
        T.

    Returns
    -------
    update : tuple of (n_l, n_{l-1}), l = 1..L
        In the sign of a gradient.

    Examples
    --------
    >>> net, data = LinearPCN([[[1.0]], [[1.0]]]), Data([[1.0]], [[2.0]])
    >>> [g.item() for g in local_gradient(net, data, 0.25, 1)]  # z_1 moves to 1.25
    [-0.25, -0.9375]
    """
    return weight_gradient(net, relax(net, data, step, num_steps))


def error_descent_gradient(net: LinearPCN, data: Data, step: float, num_steps: int) -> tuple[Array, ...]:
    r"""The local rule after T steps of gradient descent on the whitened hidden errors, from zero.

    .. math:: \epsilon_l \leftarrow \epsilon_l - g\, (\epsilon_l - \Sigma_l P_l^T \Pi_L \epsilon_L)

    A step costs a forward and a backward pass and changes every layer: after the first one, :math:`\Pi_l
    \epsilon_l` is g times backprop's :math:`\delta_l`. Source of the coordinates: Goemaere et al. 2025
    (arXiv:2505.20137).

    Parameters
    ----------
    net : LinearPCN
        The network.
    data : Data
        x (B, n_0) and y (B, n_L).
    step : float
        g.
    num_steps : int
        T.

    Returns
    -------
    update : tuple of (n_l, n_{l-1}), l = 1..L
        In the sign of a gradient.

    Examples
    --------
    >>> net, data = LinearPCN([[[1.0]], [[1.0]]]), Data([[1.0]], [[2.0]])  # step 1 / S: one step is enough
    >>> [round(g.item(), 12) for g in error_descent_gradient(net, data, 0.5, 1)]
    [-0.5, -0.75]
    """
    g, steps = _check.positive(step, "step"), _check.count(num_steps, "num_steps")
    x, y = data_rows(net, data)
    errors: Sequence[Array] = [0 * z for z in feedforward(net, x)[1:-1]]
    for _ in range(steps):
        slope = error_gradient(net, data, errors)
        errors = [
            e - g * x.shape[0] * p.solve(s) for e, p, s in zip(errors, net.precisions, slope, strict=False)
        ]
    return weight_gradient(net, (*activities_from_errors(net, x, errors)[:-1], y))


def z_il_gradient(net: LinearPCN, data: Data) -> tuple[Array, ...]:
    r"""Z-IL: inference with step 1 from the forward pass, layer l updated at the step :math:`t = L - l`.

    The error at that step is backprop's, :math:`\epsilon_l(L-l) = \delta_l`, and :math:`z_{l-1}` has not
    moved yet, so that this is exactly backprop's gradient if the precisions of the hidden layers are 1. Claim
    ``exact-bp-variants``; Song et al. 2020.

    Parameters
    ----------
    net : LinearPCN
        The network.
    data : Data
        x (B, n_0) and y (B, n_L).

    Returns
    -------
    update : tuple of (n_l, n_{l-1}), l = 1..L
        In the sign of a gradient.

    Examples
    --------
    >>> [g.item() for g in z_il_gradient(LinearPCN([[[2.0]], [[3.0]]]), Data([[1.0]], [[7.0]]))]
    [-3.0, -2.0]
    """
    gradient: list[Array] = []
    z = inference_start(require_plain(net), data)
    for l in range(net.depth, 0, -1):
        gradient.append(weight_gradient(net, z)[l - 1])
        if l > 1:
            z = relax(net, data, 1.0, 1, start=z)
    return tuple(gradient[::-1])


def fixed_prediction_gradient(net: LinearPCN, data: Data, step: float, num_steps: int) -> tuple[Array, ...]:
    r"""The local rule with predictions held at the forward pass, after T steps.

    .. math:: \epsilon_l \leftarrow \epsilon_l - g\, (\Pi_l \epsilon_l - A_{l+1}^T \Pi_{l+1} \epsilon_{l+1}),
              \qquad \epsilon_L = r, \qquad
              \text{update } -\tfrac{a_l}{B} \sum \Pi_l \epsilon_l \hat z_{l-1}^T

    At its fixed point :math:`\Pi_l \epsilon_l = \delta_l`: backprop's gradient for any precisions. The
    iteration is triangular: with :math:`g \Pi_l = I` it ends after L - 1 steps, otherwise at the rate
    :math:`\max |1 - g\, \mathrm{eig}(\Pi_l)|`. Claim ``exact-bp-variants``; Millidge et al. 2022, Whittington
    & Bogacz 2017.

    Parameters
    ----------
    net : LinearPCN
        The network.
    data : Data
        x (B, n_0) and y (B, n_L).
    step : float
        g.
    num_steps : int
        T.

    Returns
    -------
    update : tuple of (n_l, n_{l-1}), l = 1..L
        In the sign of a gradient.

    Examples
    --------
    >>> net, data = LinearPCN([[[2.0]], [[3.0]]]), Data([[1.0]], [[7.0]])
    >>> [g.item() for g in fixed_prediction_gradient(net, data, 1.0, 1)]
    [-3.0, -2.0]
    """
    g, steps = _check.positive(step, "step"), _check.count(num_steps, "num_steps")
    x, y = data_rows(net, data)
    forward = feedforward(net, x)
    errors = list(prediction_errors(net, (*forward[:-1], y)))
    for _ in range(steps):
        pushed = [p.apply(e) for p, e in zip(net.precisions, errors, strict=True)]
        for l in range(1, net.depth):
            errors[l - 1] = errors[l - 1] - g * (pushed[l - 1] - pushed[l] @ net.maps[l])
    return weight_rule(net, [p.apply(e) for p, e in zip(net.precisions, errors, strict=True)], forward)
