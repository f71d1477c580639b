r"""Products of the maps, :math:`P_l` and :math:`Q_l`, the covariances of the layers and the rescaling S."""

from __future__ import annotations

import math
from itertools import pairwise

from array_api_compat import device

from .. import _check
from .._check import Array, namespace
from ..model import LinearPCN

__all__ = ["input_products", "noise_covariances", "output_products", "rescaling"]


def output_products(net: LinearPCN) -> tuple[Array, ...]:
    r"""Products :math:`P_l = A_L \cdots A_{l+1}`; :math:`P_L = I`, and :math:`P_0` maps x to the output.

    Returns
    -------
    products : tuple of (n_L, n_l), l = 0..L

    Examples
    --------
    >>> [p.item() for p in output_products(LinearPCN([[[2.0]], [[3.0]]]))]
    [6.0, 3.0, 1.0]
    """
    _check.instance(net, "net", LinearPCN)
    products = hidden_products(net)
    return (products[0] @ net.maps[0], *products)


def input_products(net: LinearPCN) -> tuple[Array, ...]:
    r"""Products :math:`Q_l = A_l \cdots A_1`; :math:`Q_0 = I`.

    Returns
    -------
    products : tuple of (n_l, n_0), l = 0..L

    Examples
    --------
    >>> [q.item() for q in input_products(LinearPCN([[[2.0]], [[3.0]]]))]
    [1.0, 2.0, 6.0]
    """
    maps = _check.instance(net, "net", LinearPCN).maps
    first, xp = maps[0], namespace(*maps)
    products = [xp.eye(first.shape[1], dtype=first.dtype, device=device(first))]
    for matrix in maps:
        products.append(matrix @ products[-1])
    return tuple(products)


def noise_covariances(net: LinearPCN) -> tuple[Array, ...]:
    r"""Covariances of the layers given x: :math:`M_l = \Sigma_l + A_l M_{l-1} A_l^T`, :math:`M_0 = 0`.

    By claim ``gaussian-marginal``, :math:`z_l | x \sim N(Q_l x, M_l)`; :math:`M_L = S`.

    Returns
    -------
    covariances : tuple of (n_l, n_l), l = 1..L

    Examples
    --------
    >>> [m.item() for m in noise_covariances(LinearPCN([[[2.0]], [[3.0]]]))]  # 1 and 1 + w_2^2
    [1.0, 10.0]
    """
    maps = _check.instance(net, "net", LinearPCN).maps
    covariances = [net.precisions[0].covariance(maps[0])]
    for matrix, precision in zip(maps[1:], net.precisions[1:], strict=True):
        covariances.append(precision.covariance(matrix) + matrix @ covariances[-1] @ matrix.T)
    return tuple(covariances)


def rescaling(net: LinearPCN) -> Array:
    r"""The rescaling :math:`S = \sum_{l=1}^{L} P_l \Sigma_l P_l^T`, (n_L, n_L), symmetric positive definite.

    It is the covariance of y given x, and does not depend on :math:`A_1`. Computed from the products
    :math:`P_l` or by the recursion of `noise_covariances`, whichever costs less. Source: Innocenti et al.
    2024 (arXiv:2408.11979), Theorem 1.

    Returns
    -------
    S : (n_L, n_L)

    Raises
    ------
    ValueError
        If the products of the maps overflow the floating-point range.

    Notes
    -----
    Claim ``hessian-determinant``: the Hessian of inference has :math:`\det H = \det S \prod_l \det \Pi_l`.

    Examples
    --------
    >>> float(rescaling(LinearPCN([[[2.0]], [[3.0]]]))[0, 0])  # 1 + w_2^2
    10.0
    """
    _check.instance(net, "net", LinearPCN)
    if _forward_is_cheaper(net):
        result = noise_covariances(net)[-1]
        result = (result + result.T) / 2
    else:
        stack = whitened_stack(net, hidden_products(net))
        result = stack.T @ stack
    return representable(result, "S")


def require_hidden(net: LinearPCN) -> None:
    """Raise an error unless `net` is a network with a hidden layer."""
    if _check.instance(net, "net", LinearPCN).depth < 2:
        raise ValueError(
            "`net` must have a hidden layer: inference moves hidden activities. Got a network of one layer."
        )


def hidden_products(net: LinearPCN) -> list[Array]:
    """P_1, ..., P_L."""
    maps = net.maps
    last, xp = maps[-1], namespace(*maps)
    products = [xp.eye(last.shape[-2], dtype=last.dtype, device=device(last))]
    for matrix in reversed(maps[1:]):
        products.append(matrix if len(products) == 1 else products[-1] @ matrix)
    return products[::-1]


def whitened_stack(net: LinearPCN, products: list[Array]) -> Array:
    """G^T, (n_1 + ... + n_L, n_L), with S = G G^T."""
    if not net.is_white:
        products = [p.colour(product) for p, product in zip(net.precisions, products, strict=True)]
    return namespace(*products).concat(products, axis=1).T


def _forward_is_cheaper(net: LinearPCN) -> bool:
    sizes, outputs = net.widths[1:], net.widths[-1]
    forward = sum(b * a * (a + b) for a, b in pairwise(sizes))
    backward = sum(outputs * a * b for a, b in pairwise(sizes)) + outputs**2 * sum(sizes)
    return forward < backward


def representable(array: Array, name: str) -> Array:
    """The array itself; an error if it overflowed."""
    try:
        if array.ndim == 0:
            ok = math.isfinite(_check.detached(array))
        else:
            xp = namespace(array)
            ok = bool(xp.all(xp.isfinite(array)))
    except (TypeError, RuntimeError):
        return array
    if not ok:
        raise ValueError(
            f"`weights` must keep `{name}` within the floating-point range. "
            f"Got an overflow of {array.dtype}: scale the weights down."
        )
    return array


def largest(array: Array) -> float:
    """Largest magnitude of the entries; NaN if they are traced."""
    xp, array = namespace(array), _check.detached(array)
    try:
        return max(float(xp.max(array)), -float(xp.min(array)))  # without a copy of the magnitudes
    except (TypeError, RuntimeError):
        return math.nan


def largest_of_rows(array: Array) -> list[float]:
    """Largest magnitude in each row; NaN if they are traced."""
    xp, array = namespace(array), _check.detached(array)
    sizes = xp.max(xp.abs(array), axis=1)
    try:
        return [float(sizes[i]) for i in range(array.shape[0])]
    except (TypeError, RuntimeError):
        return [math.nan] * array.shape[0]


def norm(array: Array) -> float:
    """Frobenius norm; NaN if the array is traced."""
    flat = namespace(array).reshape(_check.detached(array), (-1,))
    try:
        return float(flat @ flat) ** 0.5  # several times faster than a sum of squares
    except (TypeError, RuntimeError):
        return math.nan
