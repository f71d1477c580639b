r"""What a local update does to the output; one-shot learning; learning averaged over the posterior."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from array_api_compat import array_namespace

from .. import _check
from .._check import Array
from ..inference import equilibrium, output_products
from ..model import Data, LinearPCN, activity_hessian, feedforward
from ..model.definitions import data_rows, like_weights, require_plain

__all__ = ["aligned_update", "one_shot", "output_change", "posterior_averaged_gradient", "target_alignment"]


def output_change(net: LinearPCN, x: Array, update: tuple[Array, ...]) -> Array:
    r"""First-order change of the output when the weights change by an update, (B, n_L).

    .. math:: \Delta f(x) = \sum_{l=1}^{L} a_l P_l\, \Delta W_l\, \hat z_{l-1}

    Parameters
    ----------
    net : LinearPCN
        The network.
    x : (B, n_0)
        Inputs, one sample a row.
    update : L arrays (n_l, n_{l-1})
        :math:`\Delta W_l`, in the direction of learning.

    Returns
    -------
    change : (B, n_L)

    Examples
    --------
    >>> net = LinearPCN([[[2.0]], [[3.0]]])
    >>> output_change(net, [[1.0]], ([[0.1]], [[0.2]])).round(12)  # 3 * 0.1 + 0.2 * 2
    array([[0.7]])
    """
    require_plain(net)
    update = _like_weights(net, update)
    forward = feedforward(net, x)
    return sum(
        a * (z @ dw.T) @ product.T
        for a, z, dw, product in zip(net.multipliers, forward, update, output_products(net)[1:], strict=False)
    )


def target_alignment(net: LinearPCN, data: Data, update: tuple[Array, ...]) -> Array:
    r"""Cosine of each sample's first-order output change and its output error r. Claim ``target-alignment``.

    For one sample and one learning rate, backprop moves the output along K r and PC along :math:`\tilde K
    S^{-1} r`, with :math:`K = \sum_l a_l^2 |\hat z_{l-1}|^2 P_l P_l^T` and :math:`\tilde K` the same with
    :math:`\langle z_{l-1}^*, \hat z_{l-1} \rangle` (unit hidden precisions). Source: Song et al. 2024.

    Parameters
    ----------
    net : LinearPCN
        The network.
    data : Data
        x (B, n_0) and y (B, n_L).
    update : L arrays (n_l, n_{l-1})
        :math:`\Delta W_l`, in the direction of learning: minus a gradient.

    Returns
    -------
    cosines : (B,)

    Examples
    --------
    >>> net, data = LinearPCN([[[1.0], [0.0]]]), Data([[1.0]], [[2.0, 1.0]])  # r = (1, 1)
    >>> target_alignment(net, data, ([[1.0], [0.0]],)).round(6)
    array([0.707107])
    """
    x, y = data_rows(net, data)
    xp = array_namespace(x, y)
    moved, wanted = output_change(net, x, update), y - feedforward(net, x)[-1]
    sizes = xp.sqrt(xp.sum(moved**2, axis=1) * xp.sum(wanted**2, axis=1))
    return xp.sum(moved * wanted, axis=1) / sizes


def aligned_update(net: LinearPCN, data: Data) -> tuple[Array, ...]:
    r"""PC's update of one sample with learning rates that make the output move straight at the target.

    .. math:: \Delta W_l = \frac{\epsilon_l^* z_{l-1}^{*T}}{a_l \langle z_{l-1}^*, \hat z_{l-1} \rangle}
              \quad\Rightarrow\quad \Delta f(x) = \sum_l P_l \Sigma_l P_l^T S^{-1} r = r

    to first order. Claim ``target-alignment``.

    Parameters
    ----------
    net : LinearPCN
        The network.
    data : Data
        One sample.

    Returns
    -------
    update : tuple of (n_l, n_{l-1}), l = 1..L

    Raises
    ------
    ValueError
        If there is more than one sample, or if an activity at equilibrium is orthogonal to the forward pass.

    Examples
    --------
    >>> net, data = LinearPCN([[[2.0]], [[3.0]]]), Data([[1.0]], [[7.0]])  # r = 1
    >>> output_change(net, data.x, aligned_update(net, data)).round(12)
    array([[1.]])
    """
    x, _ = data_rows(require_plain(net), data)
    if data.num_samples != 1:
        raise ValueError(
            f"`data` must hold one sample, as the learning rates depend on it. Got {data.num_samples}: "
            "pass one at a time."
        )
    settled = equilibrium(net, data)
    forward = feedforward(net, x)
    xp = array_namespace(*forward)
    update = []
    for a, error, z, z_hat in zip(net.multipliers, settled.errors, settled.activities, forward, strict=False):
        overlap = xp.sum(z * z_hat)
        if not float(xp.abs(_check.detached(overlap))) > 0:
            raise ValueError(
                "`data` must not make an activity at equilibrium orthogonal to the forward pass: the "
                "learning rate is the inverse of their product. Got a product of 0: use another sample or "
                "other weights."
            )
        update.append(error.T @ z / (a * overlap))
    return tuple(update)


def one_shot(net: LinearPCN, data: Data) -> LinearPCN:
    r"""The network after normalised consolidation at equilibrium: it maps every x exactly to its y.

    .. math:: A_l \leftarrow A_l + E_l Z_{l-1}^+, \qquad \text{for one sample }
              A_l + \frac{\epsilon_l^* z_{l-1}^{*T}}{|z_{l-1}^*|^2}

    with the samples' errors and activities as columns. Then :math:`A_l z_{l-1}^* = z_l^*` for every layer,
    and the forward pass from x gives the activities of that equilibrium. Claim ``one-shot``; one sample:
    Alonso et al. 2022 (arXiv:2206.00164).

    Parameters
    ----------
    net : LinearPCN
        The network.
    data : Data
        x (B, n_0) and y (B, n_L).

    Returns
    -------
    LinearPCN
        With the new weights.

    Raises
    ------
    ValueError
        If the activities of some layer are linearly dependent across the samples.

    Examples
    --------
    >>> net, data = LinearPCN([[[2.0]], [[3.0]]]), Data([[1.0]], [[7.0]])
    >>> round(feedforward(one_shot(net, data), data.x)[-1].item(), 12)
    7.0
    """
    settled = equilibrium(require_plain(net), data)
    host = [_check.to_numpy(z, "z") for z in settled.activities[:-1]]
    for l, z in enumerate(host):
        rank = np.linalg.matrix_rank(z)
        if rank < len(z):
            raise ValueError(
                f"`data` must give samples whose activities in layer {l} are linearly independent: else no "
                f"map sends each to its target. Got rank {rank} of {len(z)} samples: use fewer samples or a "
                "wider layer."
            )
    xp = array_namespace(*net.weights)
    return net.replace(
        weights=[
            w + (xp.linalg.pinv(z) @ e).T / a
            for w, a, e, z in zip(
                net.weights, net.multipliers, settled.errors, settled.activities, strict=False
            )
        ]
    )


def posterior_averaged_gradient(net: LinearPCN, data: Data) -> tuple[Array, ...]:
    r"""The local rule averaged over the posterior of the hidden activities.

    .. math:: -a_l \Pi_l \big\langle \mathbb E[\epsilon_l z_{l-1}^T] \big\rangle
              = -a_l \Pi_l \big[ \langle \epsilon_l^* z_{l-1}^{*T} \rangle + C_{l,l-1} - A_l C_{l-1,l-1}
              \big], \qquad C = H^{-1}

    It is the gradient of :math:`F^* + \frac12 \log\det S`, the negative log likelihood that plain PC leaves
    incomplete, so that a linear generative model of one layer is stationary exactly at probabilistic PCA's
    solution. Claim ``missing-logdet``.

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
    >>> net, data = LinearPCN([[[0.0]], [[1.0]]]), Data([[0.0]], [[2.0 ** 0.5]])
    >>> bool(abs(posterior_averaged_gradient(net, data)[1].item()) < 1e-15)  # W^2 = lambda - sigma^2 = 2 - 1
    True
    """
    settled = equilibrium(require_plain(net), _check.instance(data, "data", Data).complete())
    size = settled.activities[0].shape[0]
    hessian = activity_hessian(net)
    diagonal, lower = hessian.cholesky().inverse_blocks() if net.depth > 1 else ((), ())
    gradient = []
    for l in range(1, net.depth + 1):
        moment = settled.errors[l - 1].T @ settled.activities[l - 1] / size
        if l > 1:  # layer 0 is clamped: it has no covariance
            moment = moment - net.maps[l - 1] @ diagonal[l - 2]
        if 1 < l < net.depth:
            moment = moment + lower[l - 2]
        gradient.append(-net.multipliers[l - 1] * net.precisions[l - 1].apply(moment.T).T)
    return tuple(gradient)


def _like_weights(net: LinearPCN, update: Sequence[Array]) -> tuple[Array, ...]:
    """One matrix for each weight, in the library and the dtype of the weights."""
    if not isinstance(update, list | tuple) or len(update) != net.depth:
        got = f"{len(update)} of them" if isinstance(update, list | tuple) else type(update).__name__
        raise ValueError(f"`update` must be one matrix per layer, {net.depth} of them. Got {got}.")
    arrays = tuple(like_weights(net, _check.as_array(dw, f"update[{l}]")) for l, dw in enumerate(update))
    for l, (dw, w) in enumerate(zip(arrays, net.weights, strict=True)):
        if tuple(dw.shape) != tuple(w.shape):
            raise ValueError(
                f"`update[{l}]` must have the shape of `W_{l + 1}`, {tuple(w.shape)}. Got {tuple(dw.shape)}."
            )
    return arrays
