r"""Inference with multipliers: the augmented Lagrangian, whose equilibrium is backpropagation.

Predictive coding penalises the errors of the layers; the augmented Lagrangian also enforces that they vanish,

.. math:: \tfrac12 |y - A_L z_{L-1}|^2 + \sum_{l<L} \big( \lambda_l^T \epsilon_l + \tfrac12 |\epsilon_l|^2
          \big), \qquad \dot z = -\partial_z, \quad \dot \lambda_l = \nu\, \epsilon_l .

At rest :math:`\epsilon_l = 0` and :math:`\lambda_l = P_l^T r`: the errors of backpropagation, found by local
steps. Without the multipliers a signal diffuses through the layers; with them it travels as a wave.
"""

from __future__ import annotations

import math

import numpy as np

from .. import _check
from ..model import LinearPCN
from ..model.definitions import require_plain

__all__ = ["ballistic_rate", "primal_dual_eigenvalues", "primal_dual_matrix"]


def primal_dual_matrix(net: LinearPCN, dual_rate: float) -> np.ndarray:
    r"""The matrix M of the flow of activities and multipliers, :math:`\frac{d}{dt}(z, \lambda) = M (z,
    \lambda) + c`.

    .. math:: M = \begin{pmatrix} -H & -D^T \\ \nu D & 0 \end{pmatrix}

    Parameters
    ----------
    net : LinearPCN
        A network with unit precisions and a hidden layer; H is its `activity_hessian`.
    dual_rate : float
        :math:`\nu > 0`.

    Returns
    -------
    matrix : (2n, 2n), n the number of hidden units
        D maps hidden activities to hidden errors.

    Raises
    ------
    ValueError
        If there is no hidden layer, or a precision is not 1.

    Notes
    -----
    All its eigenvalues have negative real parts, for every network and every :math:`\nu`. Claim
    ``augmented-lagrangian`` (this work).

    Examples
    --------
    >>> primal_dual_matrix(LinearPCN([[[2.0]], [[3.0]]]), 0.5)
    array([[-10. ,  -1. ],
           [  0.5,   0. ]])
    """
    require_plain(net)
    host, nu = _check.instance(net, "net", LinearPCN).to_numpy(), _check.positive(dual_rate, "dual_rate")
    if host.depth < 2:
        raise ValueError("`net` must have a hidden layer. Got a network of one layer.")
    if not all(precision.is_identity for precision in host.precisions):
        raise ValueError("`net` must have unit precisions. Got others.")
    sizes = host.widths[1:-1]
    cuts = np.concatenate([[0], np.cumsum(sizes)])
    errors = np.eye(cuts[-1])
    for l in range(1, len(sizes)):
        errors[cuts[l] : cuts[l + 1], cuts[l - 1] : cuts[l]] = -host.maps[l]
    hessian = errors.T @ errors
    hessian[cuts[-2] :, cuts[-2] :] += host.maps[-1].T @ host.maps[-1]
    return np.block([[-hessian, -errors.T], [nu * errors, np.zeros_like(errors)]])


def primal_dual_eigenvalues(depth: int, dual_rate: float) -> np.ndarray:
    r"""The eigenvalues of `primal_dual_matrix` for square orthogonal maps, each one as often as a layer has
    units.

    They are all -1 for :math:`\nu = 1`, and otherwise the :math:`\mu` with

    .. math:: \frac{\sin L\theta}{\sin\theta} = \frac{\nu}{\mu + \nu}\, \frac{\sin (L - 1)\theta}{\sin\theta},
              \qquad 2 - 2 \cos\theta = -\frac{\mu^2}{\mu + \nu} .

    Parameters
    ----------
    depth : int
        L, 2 or more.
    dual_rate : float
        :math:`\nu > 0`; as it falls to 0, half of them become the rates :math:`-(2 - 2\cos\frac{k\pi}{L})`
        of predictive coding.

    Returns
    -------
    eigenvalues : (2L - 2,)
        Complex, the slowest first.

    Notes
    -----
    Near :math:`\nu = 1` they move like :math:`|\nu - 1|^{1 / (2L - 2)}`, and a rounding error of :math:`\nu`
    moves them as much. Claim ``augmented-lagrangian`` (this work).

    Examples
    --------
    >>> primal_dual_eigenvalues(2, 0.75)  # mu^2 + 2 mu + 3/4
    array([-0.5+0.j, -1.5+0.j])
    """
    layers = _check.count(depth, "depth", 2)
    if dual_rate == 1:  # one Jordan block, which an eigenvalue solver would scatter
        return np.full(2 * layers - 2, -1.0 + 0j)
    chain = LinearPCN([[[1.0]]] * layers)
    values = np.linalg.eigvals(primal_dual_matrix(chain, dual_rate)).astype(complex)
    return values[np.argsort(-values.real)]


def ballistic_rate(depth: int, dual_rate: float) -> float:
    r"""The rate of the slowest mode of a deep orthogonal network,

    .. math:: \frac{\sqrt\nu}{2L} \log \Big| \frac{1 + \sqrt\nu}{1 - \sqrt\nu} \Big| ,

    where predictive coding has :math:`\pi^2 / L^2`.

    Parameters
    ----------
    depth : int
        L.
    dual_rate : float
        :math:`\nu > 0`.

    Returns
    -------
    float
        Infinite at :math:`\nu = 1`, where every rate is 1, whatever the depth.

    Notes
    -----
    To leading order in 1/L (formal). Waves travel at :math:`\sqrt\nu` layers a unit of time; the input
    reflects them with a change of sign, and the output with the coefficient :math:`(1 - \sqrt\nu)/(1 +
    \sqrt\nu)`, which vanishes at :math:`\nu = 1`. Claim ``augmented-lagrangian`` (this work).

    Examples
    --------
    >>> round(ballistic_rate(100, 0.25), 6), round(math.pi**2 / 100**2, 6)
    (0.002747, 0.000987)
    """
    layers, root = _check.count(depth, "depth", 2), math.sqrt(_check.positive(dual_rate, "dual_rate"))
    if root == 1:
        return math.inf
    return root / (2 * layers) * math.log(abs((1 + root) / (1 - root)))
