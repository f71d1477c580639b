r"""The equilibrium of inference when some outputs are not observed: they are free, and inference fills them
in.

Claim ``missing-outputs``. Of sample i the outputs O are observed. The least energy over the hidden activities
and the other outputs is

.. math:: F^* = \frac{1}{2B} \sum_i r_O^T (S_{OO})^{-1} r_O, \qquad \Pi_l \epsilon_l^* = P_l^T \delta, \qquad
          \delta_O = (S_{OO})^{-1} r_O,

with :math:`\delta = 0` on the outputs that are not observed; :math:`z_L^* = A_L z_{L-1}^* + \Sigma_L \delta`
is y on the observed ones. All that is known of the others passes through the last hidden layer: :math:`S =
\Sigma_L + R^T R` with R of k rows, k the narrower of the last two layers. If :math:`\Sigma_L` is diagonal,

.. math:: (S_{OO})^{-1} = \Pi_O - \Pi_O R_O^T (I + R_O \Pi_O R_O^T)^{-1} R_O \Pi_O ,

a system of k unknowns for each pattern of observed outputs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from array_api_compat import array_namespace, device

from .._check import Array
from ..linalg import by_pattern, solve_observed, where_observed
from ..model import LinearPCN, Precision
from ..model.definitions import forward_pass
from .output_losses import hidden_root

__all__ = ["ObservedMetric", "observed_sweep"]


@dataclass(frozen=True, eq=False)
class ObservedMetric:
    r"""Applies :math:`(S_{OO})^{-1}`, :math:`S = \Sigma_L + R^T R`, to the rows of a batch.

    `precision`: :math:`\Pi_L`. `root`: R, (k, n_L); with no rows S is :math:`\Sigma_L`. `observed`: booleans
    (B, n_L).
    """

    precision: Precision
    root: Array
    observed: np.ndarray

    def solve(self, rows: Array) -> Array:
        r"""Rows :math:`v \mapsto (S_{OO})^{-1} v_O` on the observed outputs, 0 on the others, (B, n_L)."""
        xp, root = array_namespace(rows), self.root
        if not root.shape[0]:
            return self.precision.apply_observed(rows, self.observed)
        if not self.precision.is_diagonal or root.shape[0] >= root.shape[1]:
            return solve_observed(self.precision.covariance(root) + root.T @ root, rows, self.observed)
        weighted = self.precision.apply_observed(rows, self.observed)
        eye = xp.eye(root.shape[0], dtype=root.dtype, device=device(root))

        def solve(pattern: np.ndarray, own: Array) -> Array:
            columns = xp.asarray(np.flatnonzero(pattern), device=device(root))
            read, scales = xp.take(root, columns, axis=1), self.precision.value
            if not isinstance(scales, float):
                scales = xp.take(scales, columns, axis=0)
            return xp.linalg.solve(eye + (read * scales) @ read.T, own.T).T

        inner = by_pattern(solve, weighted @ root.T, self.observed)
        return weighted - self.precision.apply_observed(inner @ root, self.observed)


def observed_sweep(
    net: LinearPCN, x: Array, y: Array, observed: np.ndarray
) -> tuple[tuple[Array, ...], tuple[Array, ...], Array]:
    """Activities (z_0, ..., z_L), errors (eps_1, ..., eps_L) and energy at equilibrium, of checked rows.

    Returns
    -------
    activities, errors, energy
        The free outputs of z_L are those that inference fills in.
    """
    xp = array_namespace(x, y)
    predicted = forward_pass(net, x)[-1]
    residual = where_observed(y - predicted, observed)
    delta = ObservedMetric(net.precisions[-1], hidden_root(net)[1], observed).solve(residual)
    energy = 0.5 * xp.sum(residual * delta) / x.shape[0]
    weighted = [delta]
    for matrix in reversed(net.maps[1:]):
        weighted.append(weighted[-1] @ matrix)
    errors = [p.solve(w) for p, w in zip(net.precisions, weighted[::-1], strict=True)]
    activities = [x]
    for predict, error in zip(net.predictors, errors, strict=True):
        activities.append(predict(activities[-1]) + error)
    # the observed outputs are known without rounding errors
    activities[-1] = where_observed(y, observed) + where_observed(activities[-1], ~observed)
    return tuple(activities), tuple(errors), energy
