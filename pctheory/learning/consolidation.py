r"""What a local update does: output change and target alignment, one-shot learning, posterior-averaged learning."""

from __future__ import annotations

import numpy as np
from array_api_compat import array_namespace

from .. import _check
from .._check import Array
from ..inference import equilibrium, output_products
from ..model import Data, LinearPCN, activity_hessian, feedforward
from ..model.definitions import data_rows

__all__ = ["aligned_update", "one_shot", "output_change", "posterior_averaged_gradient", "target_alignment"]


def output_change(net: LinearPCN, x: Array, update: tuple[Array, ...]) -> Array:
    r"""First-order change of the output when the weights change by an update, (B, n_L).

    .. math:: \Delta f(x) = \sum_{l=1}^{L} a_l P_l\, \Delta W_l\, \hat z_{l-1}

    Parameters
    ----------
    update : L arrays (n_l, n_{l-1})
        :math:`\Delta W_l`, in the direction of learning.
    """
    forward = feedforward(net, x)
    return sum(
        a * (z @ dw.T) @ product.T
        for a, z, dw, product in zip(net.multipliers, forward, update, output_products(net)[1:], strict=False)
    )


def target_alignment(net: LinearPCN, data: Data, update: tuple[Array, ...]) -> Array:
    r"""Cosine of each sample's first-order output change and its output error r, (B,). Claim ``target-alignment``.

    For one sample and one learning rate, backprop moves the output along K r and PC along :math:`\tilde K S^{-1} r`, with
    :math:`K = \sum_l a_l^2 |\hat z_{l-1}|^2 P_l P_l^T` and :math:`\tilde K` the same with
    :math:`\langle z_{l-1}^*, \hat z_{l-1} \rangle` (unit hidden precisions). Source: Song et al. 2024.

    Parameters
    ----------
    update : L arrays (n_l, n_{l-1})
        :math:`\Delta W_l`, in the direction of learning: minus a gradient.
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

    Raises
    ------
    ValueError
        If there is more than one sample, or if an activity at equilibrium is orthogonal to the forward pass.
    """
    x, _ = data_rows(net, data)
    if data.num_samples != 1:
        raise ValueError(
            f"`data` must hold one sample: its learning rates are its own. Got {data.num_samples}."
        )
    settled = equilibrium(net, data)
    forward = feedforward(net, x)
    xp = array_namespace(*forward)
    update = []
    for a, error, z, z_hat in zip(net.multipliers, settled.errors, settled.activities, forward, strict=False):
        overlap = xp.sum(z * z_hat)
        if not float(xp.abs(_check.detached(overlap))) > 0:
            raise ValueError(
                "`data` must leave every layer's activity at equilibrium with a component along its forward pass: the "
                "learning rate is the inverse of their product. Got a product of 0."
            )
        update.append(error.T @ z / (a * overlap))
    return tuple(update)


def one_shot(net: LinearPCN, data: Data) -> LinearPCN:
    r"""The network after normalised consolidation at equilibrium: it maps every x exactly to its y.

    .. math:: A_l \leftarrow A_l + E_l Z_{l-1}^+, \qquad \text{for one sample }
              A_l + \frac{\epsilon_l^* z_{l-1}^{*T}}{|z_{l-1}^*|^2}

    with the samples' errors and activities as columns. Then :math:`A_l z_{l-1}^* = z_l^*` for every layer, and the forward pass
    from x retraces the equilibrium. Claim ``one-shot``; one sample: Alonso et al. 2022 (arXiv:2206.00164).

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
    settled = equilibrium(net, data)
    host = [_check.to_numpy(z, "z") for z in settled.activities[:-1]]
    for l, z in enumerate(host):
        rank = np.linalg.matrix_rank(z)
        if rank < len(z):
            raise ValueError(
                f"`data` must leave the activities of layer {l} linearly independent across samples: only then can one map "
                f"send each to its own target. Got rank {rank} of {len(z)} samples."
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
    r"""The local rule averaged over the posterior of the hidden activities: learning that knows its uncertainty.

    .. math:: -a_l \Pi_l \big\langle \mathbb E[\epsilon_l z_{l-1}^T] \big\rangle
              = -a_l \Pi_l \big[ \langle \epsilon_l^* z_{l-1}^{*T} \rangle + C_{l,l-1} - A_l C_{l-1,l-1} \big],
              \qquad C = H^{-1}

    It is the gradient of :math:`F^* + \frac12 \log\det S`, the negative log likelihood that plain PC leaves incomplete, so that
    a linear generative model of one layer is stationary exactly at probabilistic PCA's solution. Claim ``missing-logdet``.

    Examples
    --------
    >>> net, data = LinearPCN([[[0.0]], [[1.0]]]), Data([[0.0]], [[2.0 ** 0.5]])
    >>> bool(abs(posterior_averaged_gradient(net, data)[1].item()) < 1e-15)  # W^2 = lambda - sigma^2 = 2 - 1
    True
    """
    settled = equilibrium(net, data)
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
