r"""Inference in the coordinates of the errors: the same energy and equilibrium, another condition number.

Claim ``error-coordinates``. The hidden errors :math:`\epsilon_1, \dots, \epsilon_{L-1}` determine the
activities through :math:`z_l = A_l z_{l-1} + \epsilon_l`, and the energy of a sample is

.. math:: F = \tfrac12 \sum_{l<L} \epsilon_l^T \Pi_l \epsilon_l
          + \tfrac12 \Big| r - \sum_{l<L} P_l \epsilon_l \Big|^2_{\Pi_L} .

With :math:`\Pi_l = C_l C_l^T` and whitened errors :math:`w_l = C_l^T \epsilon_l` its Hessian is :math:`I +
G^T G`, :math:`G = C_L^T [P_1 C_1^{-T}, \dots, P_{L-1} C_{L-1}^{-T}]`, whose eigenvalues are 1 and those of
:math:`I + G G^T = C_L^T S C_L`. Source of the coordinates: Goemaere et al. 2025 (arXiv:2505.20137).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from array_api_compat import array_namespace
from scipy.sparse.linalg import LinearOperator

from .. import _check
from .._check import Array
from ..model import Data, LinearPCN
from ..model.definitions import data_rows, energies_of, input_rows, like_weights
from .products import output_products

__all__ = [
    "activities_from_errors",
    "error_eigenvalues",
    "error_energy",
    "error_gradient",
    "error_hessian",
]


def activities_from_errors(net: LinearPCN, x: Array, errors: Sequence[Array]) -> tuple[Array, ...]:
    r"""Activities :math:`z_l = A_l z_{l-1} + \epsilon_l` of hidden errors, and the prediction of the output.

    Parameters
    ----------
    net : LinearPCN
        The network.
    x : (B, n_0)
        Inputs, one sample a row.
    errors : L - 1 arrays (B, n_l), l = 1..L-1
        Errors of the hidden layers.

    Returns
    -------
    activities : tuple of (B, n_l), l = 0..L
        The last one is :math:`A_L z_{L-1}`: the target's error is :math:`\epsilon_L = y` minus it.

    Examples
    --------
    >>> net = LinearPCN([[[2.0]], [[3.0]]])
    >>> [z.item() for z in activities_from_errors(net, np.array([[1.0]]), [np.array([[0.5]])])]
    [1.0, 2.5, 7.5]
    """
    rows = input_rows(net, x)
    return forward_with_errors(net, rows, _errors(net, errors, rows.shape[0]))


def forward_with_errors(net: LinearPCN, x: Array, errors: Sequence[Array]) -> tuple[Array, ...]:
    """`activities_from_errors` of checked arrays."""
    activities, predictors = [x], net.predictors
    for predict, error in zip(predictors[:-1], errors, strict=True):
        activities.append(predict(activities[-1]) + error)
    return (*activities, predictors[-1](activities[-1]))


def error_energy(net: LinearPCN, data: Data, errors: Sequence[Array]) -> Array:
    r"""The energy F as a function of the hidden errors; at zero errors it is the loss.

    Parameters
    ----------
    net : LinearPCN
        The network.
    data : Data
        x (B, n_0) and y (B, n_L).
    errors : L - 1 arrays (B, n_l), l = 1..L-1
        Errors of the hidden layers.

    Returns
    -------
    F : scalar of the network's array library

    Examples
    --------
    >>> net, data = LinearPCN([[[2.0]], [[3.0]]]), Data([[1.0]], [[7.0]])
    >>> float(error_energy(net, data, [np.array([[0.3]])]))  # the equilibrium, where F = r^2 / (2 S) = 1 / 20
    0.05...
    """
    x, y = data_rows(net, data)
    hidden = _errors(net, errors, x.shape[0])
    energies = energies_of(net, (*hidden, y - forward_with_errors(net, x, hidden)[-1]))
    return array_namespace(energies).sum(energies)


def error_gradient(net: LinearPCN, data: Data, errors: Sequence[Array]) -> tuple[Array, ...]:
    r"""Gradient of `error_energy` in the hidden errors, with its factor 1/B.

    .. math:: \partial F / \partial \epsilon_l = \tfrac1B (\Pi_l \epsilon_l - P_l^T \Pi_L \epsilon_L)

    At zero errors it is minus the error that backpropagation sends to layer l. Cost: a forward and a backward
    pass, as for the gradient in the activities.

    Parameters
    ----------
    net : LinearPCN
        The network.
    data : Data
        x (B, n_0) and y (B, n_L).
    errors : L - 1 arrays (B, n_l), l = 1..L-1
        Errors of the hidden layers.

    Returns
    -------
    gradient : tuple of (B, n_l), l = 1..L-1

    Examples
    --------
    >>> net, data = LinearPCN([[[2.0]], [[3.0]]]), Data([[1.0]], [[7.0]])
    >>> error_gradient(net, data, [np.array([[0.0]])])[0].item()  # minus w_2 r
    -3.0
    """
    x, y = data_rows(net, data)
    hidden = _errors(net, errors, x.shape[0])
    return tuple(slope / x.shape[0] for slope in error_slope(net, x, y, hidden))


def error_slope(net: LinearPCN, x: Array, y: Array, errors: Sequence[Array]) -> tuple[Array, ...]:
    """`error_gradient` of checked arrays, of a sample's energy: without its factor 1/B."""
    back, maps = net.precisions[-1].apply(y - forward_with_errors(net, x, errors)[-1]), net.maps
    slopes = []
    for l in range(net.depth - 1, 0, -1):
        back = back @ maps[l]
        slopes.append(net.precisions[l - 1].apply(errors[l - 1]) - back)
    return tuple(slopes[::-1])


def error_hessian(net: LinearPCN) -> LinearOperator:
    r"""The Hessian :math:`I + G^T G` in whitened hidden errors, as an operator; :math:`I + P^T P` for unit
    precisions.

    Of one sample, so without 1/B. Vectors are the layers' whitened errors one after another, of length
    :math:`n = n_1 + \dots + n_{L-1}`. A product costs a forward and a backward pass; the matrix is not
    formed.

    Returns
    -------
    operator : scipy.sparse.linalg.LinearOperator
        (n, n), on numpy float64.

    Examples
    --------
    >>> error_hessian(LinearPCN([[[2.0]], [[3.0]]])) @ np.array([1.0])  # 1 + w_2^2
    array([10.])
    """
    _check.instance(net, "net", LinearPCN)
    host = net.to_numpy()
    sizes = host.widths[1:-1]
    cuts = np.cumsum(sizes)[:-1]

    def matmat(columns: np.ndarray) -> np.ndarray:
        rows = columns.T
        parts = np.split(rows, cuts, axis=1) if sizes else []
        z = np.zeros((len(rows), host.widths[0]))
        for matrix, precision, part in zip(host.maps, host.precisions, parts, strict=False):
            z = z @ matrix.T + precision.unwhiten(part)
        back = host.precisions[-1].apply(z @ host.maps[-1].T)
        images = []
        for l in range(host.depth - 1, 0, -1):
            back = back @ host.maps[l]
            images.append(parts[l - 1] + host.precisions[l - 1].colour(back))
        return np.concatenate(images[::-1], axis=1).T if images else columns

    def matvec(vector: np.ndarray) -> np.ndarray:
        return matmat(vector.reshape(-1, 1))[:, 0]

    order = int(sum(sizes))
    return LinearOperator(
        (order, order), matvec=matvec, rmatvec=matvec, matmat=matmat, rmatmat=matmat, dtype=np.float64
    )


def error_eigenvalues(net: LinearPCN) -> np.ndarray:
    r"""All eigenvalues of `error_hessian`, ascending, (n,): 1, and those of :math:`C_L^T S C_L` (claim
    ``error-coordinates``).

    From the singular values of G, (n_L, n): :math:`O(n_L^2 n)`. When the output is as wide as all hidden
    layers together, or wider, the eigenvalue 1 need not be there.

    Returns
    -------
    eigenvalues : (n,)
        Numpy float64.

    Examples
    --------
    >>> error_eigenvalues(LinearPCN([[[2.0]], [[3.0]]]))  # 1 + w_2^2 = S
    array([10.])
    """
    _check.instance(net, "net", LinearPCN)
    size = sum(net.widths[1:-1])
    if not size:
        return np.ones(0)
    host = net.to_numpy()
    stack = np.concatenate(
        [
            p.colour(product)
            for p, product in zip(host.precisions[:-1], output_products(host)[1:-1], strict=True)
        ],
        axis=1,
    )
    singular = np.linalg.svd(host.precisions[-1].whiten(stack.T), compute_uv=False)
    values = np.ones(size)
    values[size - len(singular) :] += singular[::-1] ** 2
    return values


def _errors(net: LinearPCN, errors: Sequence[Array], batch: int) -> list[Array]:
    if not isinstance(errors, list | tuple):
        raise TypeError(f"`errors` must be a list or tuple of arrays. Got {type(errors).__name__}.")
    if len(errors) != net.depth - 1:
        raise ValueError(
            f"`errors` must be one array per hidden layer, {net.depth - 1} of them. Got {len(errors)}."
        )
    result = []
    for l, (error, width) in enumerate(zip(errors, net.widths[1:-1], strict=True), start=1):
        array = _check.as_array(error, f"errors[{l - 1}]")
        if tuple(array.shape) != (batch, width):
            raise ValueError(
                f"`errors[{l - 1}]` must have shape ({batch}, {width}). Got {tuple(array.shape)}."
            )
        result.append(like_weights(net, array))
    return result
