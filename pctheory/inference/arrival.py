r"""How errors travel in the first steps of inference: arrival times, changing precisions, delays.

After the feedforward pass with a clamped output only the last layer has an error. Each step of inference
carries it one layer towards the input (claim ``first-arrival``). The exponential imbalance of the errors
across layers that this leaves is a transient of inference, not a property of its equilibrium.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .. import _check
from .._check import Array
from ..model import Data, LinearPCN
from ..model.definitions import data_rows, errors_of, forward_pass, weight_rule
from .dynamics import inference_start

__all__ = [
    "delayed_multipliers",
    "first_arrival",
    "scheduled_inference",
    "spiking_precision",
    "spiking_update",
]


def first_arrival(net: LinearPCN, data: Data, step: float) -> tuple[Array, ...]:
    r"""Errors at the step of their first arrival, :math:`t = L - l`; before it they are exactly zero.

    .. math:: \epsilon_l(t = L-l) = g^{L-l} A_{l+1}^T \Pi_{l+1} \cdots A_L^T \Pi_L r
              \quad (= g^{L-l} P_l^T r \text{ for unit precisions})

    Claim ``first-arrival``; the exponential imbalance was observed by Qi et al. 2025 (arXiv:2506.23800).

    Parameters
    ----------
    net : LinearPCN
        The network.
    data : Data
        x (B, n_0) and y (B, n_L).
    step : float
        g of `relax`, on the energy of a sample.

    Returns
    -------
    errors : tuple of (B, n_l), l = 1..L
        That of layer l at step L - l.

    Examples
    --------
    >>> net = LinearPCN([[[1.0]], [[2.0]], [[3.0]]])
    >>> [e.item() for e in first_arrival(net, Data([[1.0]], [[7.0]]), 0.5)]  # r = 1
    [1.5, 1.5, 1.0]
    """
    g = _check.positive(step, "step")
    x, y = data_rows(net, data)
    errors, maps = [y - forward_pass(net, x)[-1]], net.maps
    for l in range(net.depth - 1, 0, -1):
        errors.append(g * net.precisions[l].apply(errors[-1]) @ maps[l])
    return tuple(errors[::-1])


def scheduled_inference(
    net: LinearPCN, data: Data, step: float, weights: Sequence[Sequence[float]] | np.ndarray
) -> tuple[Array, ...]:
    r"""Inference whose layers' energies are weighted differently at each step.

    .. math:: z_l \leftarrow z_l - g\, \big( c_l(t) \Pi_l \epsilon_l
              - c_{l+1}(t) A_{l+1}^T \Pi_{l+1} \epsilon_{l+1} \big)

    Parameters
    ----------
    net : LinearPCN
        The network.
    data : Data
        x (B, n_0) and y (B, n_L).
    step : float
        g, on the energy of a sample.
    weights : T rows of L numbers
        :math:`c_l(t)`, l = 1..L, at t = 0..T-1: for example `spiking_precision`.

    Returns
    -------
    activities : tuple of (B, n_l), l = 0..L

    Raises
    ------
    ValueError
        If the rows of `weights` do not have L numbers.

    Examples
    --------
    >>> net, data = LinearPCN([[[2.0]], [[3.0]]]), Data([[1.0]], [[7.0]])
    >>> [z.item() for z in scheduled_inference(net, data, 0.1, [[1, 1]])]
    [1.0, 2.3, 7.0]
    """
    g = _check.positive(step, "step")
    _check.instance(net, "net", LinearPCN)
    table = _check.finite(_check.to_numpy(weights, "weights"), "weights")
    if table.ndim != 2 or table.shape[1] != net.depth:
        raise ValueError(
            f"`weights` must be rows of {net.depth} numbers, one per layer. Got shape {table.shape}."
        )
    z, maps = inference_start(net, data), net.maps
    for row in table.tolist():
        pushed = [c * p.apply(e) for c, p, e in zip(row, net.precisions, errors_of(net, z), strict=True)]
        hidden = [z[l] - g * (pushed[l - 1] - pushed[l] @ maps[l]) for l in range(1, net.depth)]
        z = (z[0], *hidden, z[-1])
    return z


def spiking_precision(depth: int, alpha: float) -> np.ndarray:
    r"""The spiking schedule: weight 1 on layer L - t at step t = 0..L-1, and `alpha` elsewhere.

    Parameters
    ----------
    depth : int
        L.
    alpha : float
        Zero or more.

    Returns
    -------
    weights : (L, L)
        For `scheduled_inference`.

    Notes
    -----
    Source: Qi et al. 2025 (arXiv:2506.23800).

    Examples
    --------
    >>> spiking_precision(3, 0.1)
    array([[0.1, 0.1, 1. ],
           [0.1, 1. , 0.1],
           [1. , 0.1, 0.1]])
    """
    layers, floor = _check.count(depth, "depth", 1), _check.non_negative(alpha, "alpha")
    _check.memory(layers**2, "depth", "take fewer layers")
    table = np.full((layers, layers), floor)
    table[np.arange(layers), layers - 1 - np.arange(layers)] = 1.0
    return table


def spiking_update(net: LinearPCN, data: Data, step: float, alpha: float) -> tuple[Array, ...]:
    r"""The forward update with spiking precisions:

    .. math:: -\frac{a_l}{B} \sum_i (z_l^T - \hat z_l)\, \hat z_{l-1}^T

    As alpha tends to 0, with unit precisions, :math:`z_l - \hat z_l \to g^{L-l} (1-g) P_l^T r` for hidden l
    and r for the output: backprop's gradient with its layers rescaled. Claim ``precision-limits``.

    Parameters
    ----------
    net : LinearPCN
        The network.
    data : Data
        x (B, n_0) and y (B, n_L).
    step : float
        g, on the energy of a sample.
    alpha : float
        Weight of the layers that do not spike.

    Returns
    -------
    update : tuple of (n_l, n_{l-1}), l = 1..L
        In the sign of a gradient: subtract it to learn.

    Examples
    --------
    >>> net, data = LinearPCN([[[2.0]], [[3.0]]]), Data([[1.0]], [[7.0]])
    >>> [u.item() for u in spiking_update(net, data, 0.5, 0.0)]  # P_1 r = 3, r = 1
    [-0.75, -2.0]
    """
    x, _ = data_rows(net, data)
    forward = forward_pass(net, x)
    z = scheduled_inference(net, data, step, spiking_precision(net.depth, alpha))
    moved = [after - before for after, before in zip(z[1:], forward[1:], strict=True)]
    return weight_rule(net, moved, forward)


def delayed_multipliers(step_times_eigenvalue: float, delay: int = 1) -> np.ndarray:
    r"""Multipliers of one mode when its errors arrive `delay` steps late: the roots of a polynomial.

    .. math:: z_{t+1} = z_t - g \lambda z_{t-d} \quad\Rightarrow\quad \mu^{d+1} - \mu^d + g\lambda = 0

    The mode decays iff all of them lie inside the unit circle, :math:`g\lambda < 2 \sin \frac{\pi}{2(2d+1)}`;
    at the bound the dominant pair is :math:`e^{\pm i \pi / (2d+1)}`: a flip without delay, a turn by 60
    degrees (a Neimark-Sacker bifurcation) with a delay of one. Claim ``stability-delay``.

    Parameters
    ----------
    step_times_eigenvalue : float
        :math:`g\lambda`.
    delay : int
        d, in steps.

    Returns
    -------
    multipliers : (delay + 1,) complex
        Largest magnitude first.

    Examples
    --------
    >>> multipliers = delayed_multipliers(1.0)
    >>> np.abs(multipliers).round(12), np.degrees(np.angle(multipliers)).round(9).max()
    (array([1., 1.]), np.float64(60.0))
    """
    gain = _check.real(step_times_eigenvalue, "step_times_eigenvalue")
    d = _check.count(delay, "delay")
    _check.memory(3 * (d + 1) ** 2, "delay", "take a shorter one")
    polynomial = np.zeros(d + 2)
    polynomial[0] = 1.0
    polynomial[1] -= 1.0
    polynomial[-1] += gain
    roots = np.roots(polynomial).astype(complex)
    return roots[np.argsort(-np.abs(roots), kind="stable")]
