r"""Objectives with any convex output loss: the loss itself, and its Moreau envelope, which predictive coding
descends.

With :math:`\delta_l = \Pi_l \epsilon_l` and :math:`\delta_L = -g` (`pctheory.inference.output_losses`) the
gradient of both is

.. math:: \frac{\partial f}{\partial W_l} = -a_l \langle \delta_l z_{l-1}^T \rangle ,

at the equilibrium for :math:`F^*`, at the feedforward pass for the loss. A derivative along a direction moves
:math:`\delta_l` and :math:`z_l` by two sweeps of B rows and one n_L x n_L system a sample (claim
``moreau-envelope``).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
from array_api_compat import array_namespace, device

from .. import _check
from .._check import Array
from ..inference import ConvexLoss, envelope_equilibrium
from ..inference.output_losses import output_loss
from ..model import Data, LinearPCN, feedforward
from ..model.definitions import data_rows, weight_rule
from ._expansion import Expansion
from ._objective import Objective

__all__ = ["EnvelopeEnergy", "OutputLoss"]


@dataclass(frozen=True, eq=False)
class _Rows(Expansion):
    """One row a sample: activities z_0..z_{L-1}, weighted errors delta_1..delta_L, and the loss's Hessian at
    the output.

    `root` is R with K = R^T R, of no rows for the loss itself, whose hidden layers have no errors.
    """

    value: Array
    net: LinearPCN
    activities: Sequence[Array]
    delta: Sequence[Array]
    curvature: Array
    root: Array

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
        turned = self._backward(moved, self._response(shift))
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
        noisy = self.root.shape[0] > 0
        for l, (matrix, change) in enumerate(zip(self.net.maps, moved, strict=True)):
            row = rows[-1] @ matrix.T + self.activities[l] @ change.T
            if shifted:
                row = row + shifted[l]
            if noisy and l + 1 < self.net.depth:
                row = row + self.net.precisions[l].solve(turned[l])
            rows.append(row)
        return rows

    def _response(self, shift: Array) -> Array:
        r"""The derivative of :math:`\delta_L`, :math:`-(\Lambda^{-1} + K)^{-1}` times the output's at a fixed
        :math:`\delta_L`.

        Returns
        -------
        (B, n_L)
            One row a sample.
        """
        xp = array_namespace(shift)
        pulled = (self.curvature @ shift[:, :, None])[:, :, 0]
        rank = self.root.shape[0]
        if not rank:
            return -pulled
        eye = xp.eye(rank, dtype=shift.dtype, device=device(shift))
        system = eye + self.root @ self.curvature @ self.root.T
        inner = xp.linalg.solve(system, (pulled @ self.root.T)[:, :, None])[:, :, 0] @ self.root
        return -(pulled - (self.curvature @ inner[:, :, None])[:, :, 0])


class _ConvexObjective(Objective):
    """An objective made from data and an output loss.

    The data are not compressed: moments do not determine it.
    """

    def __init__(self, data: Data, output: str | ConvexLoss = "cross-entropy") -> None:
        self.data = _check.instance(data, "data", Data)
        self.output = output

    @abstractmethod
    def expand(self, net: LinearPCN, order: int = 1) -> _Rows: ...

    def stacked_values(self, net: LinearPCN) -> Array:
        xp = array_namespace(*net.weights)
        shape = net.weights[0].shape[:-2]
        flat = [xp.reshape(p, (-1, *p.shape[len(shape) :])) for p in net.parameters]
        values = [
            self.value(net.with_weights(tuple(p[i, ...] for p in flat))) for i in range(flat[0].shape[0])
        ]
        return xp.reshape(xp.stack(values), shape)

    def __repr__(self) -> str:
        name = self.output if isinstance(self.output, str) else self.output.name
        return f"{type(self).__name__}({self.data!r}, {name})"


@final
class OutputLoss(_ConvexObjective):
    r"""The mean of a convex loss of the output, :math:`\frac1B \sum_i \ell_i(P_0 x_i)`: what backprop
    descends.

    Parameters
    ----------
    data : Data
        x (B, n_0) and targets y (B, n_L); of "cross-entropy" one-hot rows or rows of probabilities.
    output : "cross-entropy", "mse", or a ConvexLoss

    Examples
    --------
    >>> loss = OutputLoss(Data([[1.0]], [[1.0, 0.0]]))
    >>> round(float(loss.value(LinearPCN.zeros((1, 2)))), 6)  # log 2
    0.693147
    """

    def expand(self, net: LinearPCN, order: int = 1) -> _Rows:
        net = _check.instance(net, "net", LinearPCN)
        loss = output_loss(net, self.output)
        x, y = data_rows(net, self.data)
        xp = array_namespace(x, y)
        *activities, out = feedforward(net, x)
        delta = [-loss.gradient(out, y)]
        for matrix in reversed(net.maps[1:]):
            delta.append(delta[-1] @ matrix)
        root = xp.zeros((0, y.shape[1]), dtype=y.dtype, device=device(y))
        return _Rows(xp.mean(loss.value(out, y)), net, activities, delta[::-1], loss.hessian(out, y), root)


@final
class EnvelopeEnergy(_ConvexObjective):
    r"""The energy at the equilibrium of inference under a convex output loss: its Moreau envelope
    :math:`F^*`.

    Parameters
    ----------
    data : Data
        x (B, n_0) and targets y (B, n_L); of "cross-entropy" one-hot rows or rows of probabilities.
    output : "cross-entropy", "mse", or a ConvexLoss

    Notes
    -----
    Claims ``moreau-envelope``, ``cross-entropy-landscape`` and ``convex-loss-landscape``. With cross-entropy
    and two or more hidden units before the output the infimum is 0 on any labels and is not attained: the
    energy can fall to 0 on random labels while the loss rises. `WeightDecay` gives it a minimum.

    Examples
    --------
    >>> energy = EnvelopeEnergy(Data([[1.0]], [[7.0]]), "mse")
    >>> net = LinearPCN([[[2.0]], [[3.0]]])  # r = 1, S = 10
    >>> round(float(energy.value(net)), 12), [round(g.item(), 12) for g in energy.gradient(net)]
    (0.05, [-0.3, -0.23])
    """

    def expand(self, net: LinearPCN, order: int = 1) -> _Rows:
        at = envelope_equilibrium(_check.instance(net, "net", LinearPCN), self.data, self.output)
        _, y = data_rows(net, self.data)
        return _Rows(
            at.energy,
            net,
            at.activities[:-1],
            at.weighted_errors,
            at.loss.hessian(at.activities[-1], y),
            at.root,
        )

    def infimum(self, net: LinearPCN) -> float | None:
        r"""Cross-entropy, two or more hidden units before the output (or two classes): 0; None where it is
        not known.

        Returns
        -------
        float or None
            0, or None.
        """
        if self.output != "cross-entropy" or net.depth < 2 or net.fixed or net.carries:
            return None
        one_hot = bool(np.all(np.max(_check.to_numpy(self.data.y, "y"), axis=1) == 1.0))
        enough = net.widths[-2] >= 2 or net.widths[-1] == 2
        return 0.0 if one_hot and enough else None
