r"""The expansion of an objective from one row a sample, where second moments do not determine it.

With :math:`\delta_l = \Pi_l \epsilon_l`, l < L, and :math:`\delta_L` minus the loss's gradient in the output,

.. math:: \frac{\partial f}{\partial W_l} = -a_l \langle \delta_l z_{l-1}^T \rangle, \qquad
          \delta_l = A_{l+1}^T \delta_{l+1} .

A derivative along a direction moves both by two sweeps of B rows and one small system a sample.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from array_api_compat import array_namespace, device

from .._check import Array
from ..inference import equilibrium
from ..inference.observed import ObservedMetric
from ..inference.output_losses import hidden_root
from ..linalg import where_observed
from ..model import Data, LinearPCN, feedforward, loss
from ..model.definitions import any_rows, weight_rule
from ._expansion import Expansion


@dataclass(frozen=True, eq=False)
class Rows(Expansion):
    r"""One row a sample: activities z_0..z_{L-1} and weighted errors delta_1..delta_L.

    `push`: the change of :math:`\delta_L` that a change of the output (B, n_L) at a fixed :math:`\delta_L`
    makes. `noisy`: whether hidden layers have errors, :math:`z_l = A_l z_{l-1} + \Sigma_l \delta_l`; those of
    the loss itself have none.
    """

    value: Array
    net: LinearPCN
    activities: Sequence[Array]
    delta: Sequence[Array]
    push: Callable[[Array], Array]
    noisy: bool

    def gradient(self) -> tuple[Array, ...]:
        return weight_rule(self.net, self.delta, self.activities)

    def hvp(self, direction: Sequence[Array]) -> tuple[Array, ...]:
        if direction[0].ndim > 2:
            xp = array_namespace(direction[0])
            products = [self.hvp([d[i, ...] for d in direction]) for i in range(direction[0].shape[0])]
            return tuple(xp.stack(list(parts)) for parts in zip(*products, strict=True))
        net, z, delta = self.net, self.activities, self.delta
        moved = [a * d for a, d in zip(net.multipliers, direction, strict=False)]  # dA_l
        shifted = direction[net.depth :]  # db_l
        # with the output's delta held still
        free = self._backward(moved, array_namespace(z[0]).zeros_like(delta[-1]))
        shift = self._forward(moved, free, shifted)[-1]
        turned = self._backward(moved, self.push(shift))
        dz = self._forward(moved, turned, shifted)
        size = z[0].shape[0]
        product = [
            (-a / size) * (turned[l].T @ z[l] + delta[l].T @ dz[l]) for l, a in enumerate(net.multipliers)
        ]
        if net.biases:
            product += [-array_namespace(rows).mean(rows, axis=0) for rows in turned]
        return tuple(product)

    def _backward(self, moved: Sequence[Array], last: Array) -> list[Array]:
        r"""Derivatives of :math:`\delta_l = A_{l+1}^T \delta_{l+1}`, l = 1..L, from that of
        :math:`\delta_L`.

        Returns
        -------
        rows : list of (B, n_l), l = 1..L
        """
        rows = [last]
        for l in range(self.net.depth - 1, 0, -1):
            rows.append(rows[-1] @ self.net.maps[l] + self.delta[l] @ moved[l])
        return rows[::-1]

    def _forward(
        self, moved: Sequence[Array], turned: Sequence[Array], shifted: Sequence[Array]
    ) -> list[Array]:
        r"""Derivatives of :math:`z_l = A_l z_{l-1} + b_l + \Sigma_l \delta_l`, l < L, and of the output."""
        rows = [array_namespace(self.activities[0]).zeros_like(self.activities[0])]
        for l, (matrix, change) in enumerate(zip(self.net.maps, moved, strict=True)):
            row = rows[-1] @ matrix.T + self.activities[l] @ change.T
            if shifted:
                row = row + shifted[l]
            if self.noisy and l + 1 < self.net.depth:
                row = row + self.net.precisions[l].solve(turned[l])
            rows.append(row)
        return rows


@dataclass(frozen=True, eq=False)
class Curvature:
    """The loss's Hessian at the output, (B, n_L, n_L), and R with K = R^T R; of the loss no rows."""

    hessian: Array
    root: Array

    def push(self, shift: Array) -> Array:
        r"""The derivative of :math:`\delta_L`, :math:`-(\Lambda^{-1} + K)^{-1}` times the output's at a fixed
        :math:`\delta_L`.

        Returns
        -------
        (B, n_L)
            One row a sample.
        """
        xp = array_namespace(shift)
        pulled = (self.hessian @ shift[:, :, None])[:, :, 0]
        rank = self.root.shape[0]
        if not rank:
            return -pulled
        eye = xp.eye(rank, dtype=shift.dtype, device=device(shift))
        system = eye + self.root @ self.hessian @ self.root.T
        inner = xp.linalg.solve(system, (pulled @ self.root.T)[:, :, None])[:, :, 0] @ self.root
        return -(pulled - (self.hessian @ inner[:, :, None])[:, :, 0])


def observed_rows(net: LinearPCN, data: Data, *, noisy: bool) -> Rows:
    r"""The expansion of :math:`F^*` (`noisy`) or of the loss where targets are missing.

    Returns
    -------
    Expansion
        :math:`\delta_L = (S_{OO})^{-1} r_O`, with :math:`\Sigma_L` in the place of S for the loss.
    """
    (x, y), observed = any_rows(net, data), np.asarray(data.observed)
    last = net.precisions[-1]
    if noisy:
        at = equilibrium(net, data)
        metric = ObservedMetric(last, hidden_root(net)[1], observed)
        delta = list(at.weighted_errors)
        # on the free outputs 0 but for rounding errors
        delta[-1] = where_observed(delta[-1], observed)
        return Rows(at.energy, net, at.activities[:-1], delta, lambda shift: -metric.solve(shift), noisy)
    *activities, out = feedforward(net, x)
    delta = [last.apply_observed(y - out, observed)]
    for matrix in reversed(net.maps[1:]):
        delta.append(delta[-1] @ matrix)

    def push(shift: Array) -> Array:
        return -last.apply_observed(shift, observed)

    return Rows(loss(net, data), net, activities, delta[::-1], push, noisy)
