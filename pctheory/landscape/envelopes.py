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
from typing import final

import numpy as np
from array_api_compat import array_namespace, device

from .. import _check
from .._check import Array
from ..inference import ConvexLoss, envelope_equilibrium
from ..inference.output_losses import output_loss
from ..model import Data, LinearPCN, feedforward
from ..model.definitions import data_rows
from ._objective import Objective
from ._rows import Curvature, Rows
from .objectives import EquilibratedEnergy

__all__ = ["EnvelopeEnergy", "OutputLoss"]


class _ConvexObjective(Objective):
    """An objective made from data and an output loss.

    The data are not compressed: moments do not determine it.
    """

    def __init__(self, data: Data, output: str | ConvexLoss = "cross-entropy") -> None:
        self.data = _check.instance(data, "data", Data)
        self.output = output

    @abstractmethod
    def expand(self, net: LinearPCN, order: int = 1) -> Rows: ...

    def stacked_values(self, net: LinearPCN) -> Array:
        return self.one_by_one(net)

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

    def expand(self, net: LinearPCN, order: int = 1) -> Rows:
        net = _check.instance(net, "net", LinearPCN)
        loss = output_loss(net, self.output)
        x, y = data_rows(net, self.data)
        xp = array_namespace(x, y)
        *activities, out = feedforward(net, x)
        delta = [-loss.gradient(out, y)]
        for matrix in reversed(net.maps[1:]):
            delta.append(delta[-1] @ matrix)
        root = xp.zeros((0, y.shape[1]), dtype=y.dtype, device=device(y))
        curvature = Curvature(loss.hessian(out, y), root)
        return Rows(xp.mean(loss.value(out, y)), net, activities, delta[::-1], curvature.push, noisy=False)


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

    def expand(self, net: LinearPCN, order: int = 1) -> Rows:
        at = envelope_equilibrium(_check.instance(net, "net", LinearPCN), self.data, self.output)
        _, y = data_rows(net, self.data)
        curvature = Curvature(at.loss.hessian(at.activities[-1], y), at.root)
        return Rows(at.energy, net, at.activities[:-1], at.weighted_errors, curvature.push, noisy=True)

    def infimum(self, net: LinearPCN) -> float | None:
        r"""Cross-entropy of hard labels, two or more hidden units before the output (or two classes): 0;
        squared errors: as `pctheory.landscape.EquilibratedEnergy`; None where it is not known.

        Returns
        -------
        float or None
            The bound, or None.
        """
        if self.output == "mse":
            return EquilibratedEnergy(self.data).infimum(net)
        if self.output != "cross-entropy" or net.depth < 2 or net.fixed or net.carries:
            return None
        one_hot = bool(np.all(np.max(_check.to_numpy(self.data.y, "y"), axis=1) == 1.0))
        enough = net.widths[-2] >= 2 or net.widths[-1] == 2
        return 0.0 if one_hot and enough else None
