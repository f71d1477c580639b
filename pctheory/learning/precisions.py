r"""Learning the precisions: the gradient of the likelihood, expectation-maximisation, and the rule that runs
away.

Claim ``precision-learning``. A linear network is the Gaussian model :math:`z_l | z_{l-1} \sim N(A_l z_{l-1},
\Sigma_l)`. Given x and y the error of layer l has the mean :math:`\epsilon_l^*` and the covariance
:math:`\Sigma_l - \Sigma_l P_l^T S^{-1} P_l \Sigma_l`, the same for all samples. So

.. math:: \langle \mathbb E[\epsilon_l \epsilon_l^T] \rangle = \langle \epsilon_l^* \epsilon_l^{*T} \rangle
          + \Sigma_l - \Sigma_l P_l^T S^{-1} P_l \Sigma_l, \qquad
          \frac{\partial}{\partial \Pi_l} \Big( F^* + \tfrac12 \log\det S \Big)
          = \tfrac12 \Big( \langle \mathbb E[\epsilon_l \epsilon_l^T] \rangle - \Sigma_l \Big) .
"""

from __future__ import annotations

from collections.abc import Iterable

from array_api_compat import array_namespace, device

from .. import _check
from .._check import Array
from ..inference import equilibrium, output_products
from ..model import Data, LinearPCN
from ..model.definitions import require_plain

__all__ = ["PRECISION_RULES", "PRECISION_SHAPES", "precision_gradient", "update_precisions"]

PRECISION_RULES = ("em", "map")
PRECISION_SHAPES = ("matrix", "diagonal", "number")


def precision_gradient(net: LinearPCN, data: Data) -> tuple[Array, ...]:
    r"""The gradient of the negative log likelihood :math:`F^* + \frac12 \log\det S` in the precisions.

    .. math:: \frac12 \Big( \langle \epsilon_l^* \epsilon_l^{*T} \rangle
              - \Sigma_l P_l^T S^{-1} P_l \Sigma_l \Big)

    Parameters
    ----------
    net : LinearPCN
        The network.
    data : Data
        x (B, n_0) and y (B, n_L).

    Returns
    -------
    gradient : tuple of (n_l, n_l), l = 1..L
        Symmetric: a change :math:`d\Pi_l` changes the likelihood by :math:`\mathrm{tr}\, G_l\, d\Pi_l`. Of a
        diagonal the diagonal counts, of a number the trace.

    Notes
    -----
    Claim ``precision-learning`` (this work).

    Examples
    --------
    >>> net, data = LinearPCN([[[2.0]], [[3.0]]]), Data([[1.0]], [[7.0]])  # r = 1, S = 10, errors .3 and .1
    >>> [round(g.item(), 12) for g in precision_gradient(net, data)]  # (.09 - .9) / 2 and (.01 - .1) / 2
    [-0.405, -0.045]
    """
    require_plain(net)
    return tuple((found - taken) / 2 for found, taken in _moments(net, data))


def update_precisions(
    net: LinearPCN,
    data: Data,
    *,
    rule: str = "em",
    shape: str = "matrix",
    layers: Iterable[int] | None = None,
) -> LinearPCN:
    r"""The network after one update of its precisions from the prediction errors at equilibrium.

    Parameters
    ----------
    net : LinearPCN
        The network.
    data : Data
        x (B, n_0) and y (B, n_L).
    rule : "em" or "map"
        "em": :math:`\Sigma_l \leftarrow \langle \mathbb E[\epsilon_l \epsilon_l^T] \rangle`, with the
        posterior covariance: the negative log likelihood never rises. "map": :math:`\Sigma_l \leftarrow
        \langle \epsilon_l^* \epsilon_l^{*T} \rangle`, the mean squared errors alone, which is what
        minimising the energy with its :math:`-\frac12 \log\det \Pi_l` does. It runs away: with one output
        every step squares the ratios of the layers' shares :math:`P_l \Sigma_l P_l^T / S`, and all precisions
        but that of the largest share grow without end.
    shape : "matrix", "diagonal" or "number"
        What :math:`\Sigma_l` may be; the others keep the diagonal, or its mean.
    layers : numbers from 1 to L, optional
        Which precisions learn; by default all.

    Returns
    -------
    LinearPCN
        With the new precisions.

    Raises
    ------
    ValueError
        If a new :math:`\Sigma_l` is singular, as that of "map" is in a layer wider than the output.

    Notes
    -----
    Claim ``precision-learning`` (this work; the EM step of factor analysis, Rubin and Thayer 1982, at any
    depth). One step is a step of EM with the weights held still; a step of the weights by
    `pctheory.learning.posterior_averaged_gradient` goes along with it.

    Examples
    --------
    >>> net, data = LinearPCN([[[2.0]], [[3.0]]]), Data([[1.0]], [[7.0]])  # errors .3 and .1
    >>> [[round(1 / p.value.item(), 12) for p in update_precisions(net, data, rule=r).precisions]
    ...  for r in ("em", "map")]  # .09 + 1 - .9, .01 + 1 - .1
    [[0.19, 0.91], [0.09, 0.01]]
    """
    require_plain(net)
    _check.choice(rule, "rule", PRECISION_RULES)
    _check.choice(shape, "shape", PRECISION_SHAPES)
    depth = _check.instance(net, "net", LinearPCN).depth
    chosen = range(1, depth + 1) if layers is None else _check.iterable(layers, "layers", "numbers of layers")
    learning = {_layer(l, depth) for l in chosen}
    precisions = []
    for l, (precision, (found, taken)) in enumerate(
        zip(net.precisions, _moments(net, data), strict=True), start=1
    ):
        if l not in learning:
            precisions.append(precision.value)
            continue
        covariance = found if rule == "map" else found + precision.covariance(found) - taken
        precisions.append(_inverse(covariance, shape, l))
    return net.replace(precisions=precisions)


def _layer(value: object, depth: int) -> int:
    layer = _check.count(value, "layers", 1)
    if layer > depth:
        raise ValueError(f"`layers` must be numbers from 1 to {depth}. Got {layer}.")
    return layer


def _moments(net: LinearPCN, data: Data) -> list[tuple[Array, Array]]:
    r"""Of each layer :math:`\langle\epsilon^*\epsilon^{*T}\rangle` and :math:`\Sigma P^T S^{-1} P\Sigma`."""
    at = equilibrium(net, _check.instance(data, "data", Data).complete())
    xp = array_namespace(at.energy)
    pairs = []
    for precision, error, product in zip(net.precisions, at.errors, output_products(net)[1:], strict=True):
        weighted = precision.solve(product)  # P Sigma
        pairs.append((error.T @ error / error.shape[0], weighted.T @ xp.linalg.solve(at.rescaling, weighted)))
    return pairs


def _inverse(covariance: Array, shape: str, layer: int) -> float | Array:
    """The precision of a covariance, of the given shape."""
    xp = array_namespace(covariance)
    diagonal = xp.linalg.diagonal(covariance)
    singular = ValueError(
        f"`rule` must leave errors in every direction of layer {layer}, or its precision is infinite. Got a "
        "singular covariance: use rule 'em', or shape 'diagonal' or 'number'."
    )
    if shape == "matrix":
        values = xp.linalg.eigvalsh(covariance)
        if not float(values[0]) > 1e-14 * float(values[-1]):
            raise singular
        eye = xp.eye(covariance.shape[0], dtype=covariance.dtype, device=device(covariance))
        inverse = xp.linalg.solve(covariance, eye)
        return (inverse + inverse.T) / 2
    if not float(xp.min(diagonal)) > 0:
        raise singular
    return 1 / diagonal if shape == "diagonal" else float(1 / xp.mean(diagonal))
