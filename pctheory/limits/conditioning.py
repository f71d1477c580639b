r"""Why a stable forward pass makes inference ill-conditioned, in every linear network.

Restrict the activities to one direction a layer, that of the forward pass :math:`\hat z_l` of an input:
:math:`v_l = s_l \hat z_l`. Because :math:`A_l \hat z_{l-1} = \hat z_l`, the errors of v are :math:`(s_l -
s_{l-1}) \hat z_l`, and

.. math:: v^T H v = \sum_{l=1}^{L} (s_l - s_{l-1})^2\, |\hat z_l|^2_{\Pi_l}, \qquad s_0 = s_L = 0 :

a chain of springs, as stiff as the signal is large, with :math:`|v|^2 = \sum_{l<L} s_l^2 |\hat z_l|^2`. The
extreme eigenvalues of H lie outside those of the chain. The same holds for the Gauss-Newton Hessian of a
network of positively homogeneous units without biases, since :math:`J_l \hat z_{l-1} = \hat z_l` there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh_tridiagonal

from .. import _check
from .._check import Array
from ..model import LinearPCN
from ..model.definitions import forward_pass, input_rows, require_plain

__all__ = ["ConditionBound", "condition_bound"]


@dataclass(frozen=True, eq=False)
class ConditionBound:
    r"""A lower bound on the condition number of H from the norms of one forward pass.

    Attributes
    ----------
    bound : float
        The condition number of the chain of the norms: :math:`\kappa(H)` is at least this.
    depth_bound : float
        What the largest and the smallest norm alone say; with unit precisions :math:`\frac{m}{M} \big/ 4
        \sin^2 \frac{\pi}{2L} \ge \frac{m}{M} \frac{L^2}{\pi^2}`.
    sample : int
        The row of `x` that gives `bound`.
    norms : (L,)
        :math:`|\hat z_l|^2_{\Pi_l}` of that row, l = 1..L.
    """

    bound: float
    depth_bound: float
    sample: int
    norms: np.ndarray


def condition_bound(net: LinearPCN, x: Array) -> ConditionBound:
    r"""A lower bound on the condition number :math:`\kappa(H)` from the forward passes of some inputs.

    .. math:: \kappa(H) \ge \frac{m}{M} \frac{L^2}{\pi^2}, \qquad
              m \le |\hat z_l|^2 \ (0 < l < L), \quad |\hat z_l|^2 \le M \ (0 < l \le L)

    Parameters
    ----------
    net : LinearPCN
        A network with a hidden layer.
    x : (B, n_0)
        Inputs, one a row; the row with the best bound is used.

    Returns
    -------
    ConditionBound

    Raises
    ------
    ValueError
        If there is no hidden layer, no row whose signal reaches the last hidden layer, or too large a signal.

    Notes
    -----
    Orthogonal networks attain `bound`, which is :math:`\cot^2 \frac{\pi}{2L}` for them. The stable pass is
    needed: with maps .5 I or 2 I, :math:`\kappa \le 9` at every depth. Claim ``stable-is-ill-conditioned``
    (this work).

    Examples
    --------
    >>> found = condition_bound(LinearPCN([[[1.0]], [[1.0]], [[1.0]]]), [[1.0]])  # H = [[2, -1], [-1, 2]]
    >>> round(found.bound, 12), round(found.depth_bound, 12)
    (3.0, 1.0)
    """
    require_plain(net)
    host = _check.instance(net, "net", LinearPCN).to_numpy()
    if host.depth < 2:
        raise ValueError("`net` must have a hidden layer. Got a network of one layer.")
    passes = forward_pass(host, input_rows(host, x))[1:]
    with np.errstate(over="ignore"):
        plain = np.array([np.sum(z**2, axis=1) for z in passes]).T  # (B, L)
        weighted = np.array(
            [np.sum(p.whiten(z) ** 2, axis=1) for p, z in zip(host.precisions, passes, strict=True)]
        ).T
    if not np.all(np.isfinite(plain)) or not np.all(np.isfinite(weighted)):
        raise ValueError(
            "`x` must give activities whose squares fit a float. Got larger ones: scale it down."
        )
    best: ConditionBound | None = None
    for sample, (norms, stiffness) in enumerate(zip(plain, weighted, strict=True)):
        if not np.all(norms[:-1] > 0):
            continue
        diagonal = (stiffness[:-1] + stiffness[1:]) / norms[:-1]
        coupling = -stiffness[1:-1] / np.sqrt(norms[:-2] * norms[1:-1])
        values = eigh_tridiagonal(diagonal, coupling, eigvals_only=True)
        if best is None or values[-1] / values[0] > best.bound:
            fast = np.max(stiffness[:-1] / norms[:-1])  # a block Pi_l + A^T Pi A is at least that stiff
            slow = stiffness.max() / norms[:-1].min() * 4 * math.sin(math.pi / (2 * host.depth)) ** 2
            best = ConditionBound(float(values[-1] / values[0]), float(fast / slow), sample, stiffness)
    if best is None:
        raise ValueError("`x` must have a row whose signal reaches the last hidden layer. Got none.")
    return best
