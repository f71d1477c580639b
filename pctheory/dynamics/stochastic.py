r"""Gradient noise: how much the gradients of single samples differ, and in which layers.

The gradient of one sample's energy at its equilibrium, and that of its loss, are of rank one,

.. math:: g_{l,i} = -a_l\, \Pi_l \epsilon_{l,i}^*\, z_{l-1,i}^{*T}, \qquad
          g_{l,i} = -a_l\, P_l^T \Pi_L r_i\, \hat z_{l-1,i}^T ,

so that their squared norms are products of two norms, and no gradient of a single sample needs to be formed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .. import _check
from ..inference import equilibrium, output_products
from ..model import Data, LinearPCN, feedforward
from ..model.definitions import data_rows, require_plain
from .kernels import OBJECTIVES

__all__ = ["GradientNoise", "gradient_noise"]


@dataclass(frozen=True, eq=False)
class GradientNoise:
    r"""The noise of the gradient over the samples, layer by layer.

    Attributes
    ----------
    traces : (L,)
        :math:`\mathrm{tr}\, C_l = \frac1B \sum_i |g_{l,i} - G_l|^2`, :math:`G_l` the mean gradient. That of
        the mean over b samples drawn at random is 1/b of it.
    squares : (L,)
        :math:`|G_l|^2`.
    """

    traces: np.ndarray
    squares: np.ndarray

    @property
    def trace(self) -> float:
        r""":math:`\mathrm{tr}\, C`, the sum over the layers."""
        return float(self.traces.sum())

    @property
    def scale(self) -> float:
        r"""The noise scale :math:`\mathrm{tr}\, C / |G|^2`: the batch size at which noise and gradient are
        equal.

        Infinite where the gradient vanishes.
        """
        return float(_ratio(self.traces.sum(), self.squares.sum()))

    @property
    def scales(self) -> np.ndarray:
        r""":math:`\mathrm{tr}\, C_l / |G_l|^2` of each layer, (L,)."""
        return _ratio(self.traces, self.squares)

    @property
    def shares(self) -> np.ndarray:
        r""":math:`\mathrm{tr}\, C_l / \mathrm{tr}\, C`, (L,); zeros where there is no noise."""
        return self.traces / self.trace if self.trace else np.zeros_like(self.traces)


def gradient_noise(net: LinearPCN, data: Data, *, objective: str = "energy") -> GradientNoise:
    r"""Traces of the covariances of per-sample gradients, and the squares of their means:

    .. math:: \mathrm{tr}\, C_l = \frac{a_l^2}{B} \sum_i |\Pi_l \epsilon_{l,i}^*|^2\, |z_{l-1,i}^*|^2
              - |G_l|^2 .

    At every critical point of :math:`F^*` the hidden errors vanish on every sample, and with them the noise
    of all layers but the last. A critical point of the loss may keep noise in every layer.

    Parameters
    ----------
    net : LinearPCN
        The network.
    data : Data
        The samples themselves: fourth moments enter, so that compressed data have another noise.
    objective : "energy" or "loss"
        Gradients of :math:`F^*` (predictive coding at equilibrium) or of the loss (backprop).

    Returns
    -------
    GradientNoise

    Notes
    -----
    Cost: one equilibrium, or one forward and one backward pass. No array larger than an activity is formed.
    The noise scale is the simple one of McCandlish et al. 2018 (arXiv:1812.06162). Claim ``gradient-noise``
    (this work).

    Examples
    --------
    >>> net, data = LinearPCN([[[1.0]], [[1.0]]]), Data([[1.0], [1.0]], [[3.0], [1.0]])  # r = 2, 0; S = 2
    >>> noise = gradient_noise(net, data)  # gradients -1 and -2 of the first sample, 0 of the other
    >>> noise.traces.round(12), noise.squares.round(12), round(noise.scale, 12)
    (array([0.25, 1.  ]), array([0.25, 1.  ]), 1.0)
    """
    require_plain(net)
    _check.choice(objective, "objective", OBJECTIVES)
    data_rows(net, data)
    net, data = net.to_numpy(), data.to_numpy()
    if objective == "energy":
        found = equilibrium(net, data)
        below = found.activities[:-1]
        signals = [p.apply(error) for p, error in zip(net.precisions, found.errors, strict=True)]
    else:
        *hidden, output = feedforward(net, data.x)
        below = tuple(hidden)
        weighted = net.precisions[-1].apply(data.y - output)
        signals = [weighted @ product for product in output_products(net)[1:]]
    traces, squares = [], []
    for a, signal, z in zip(net.multipliers, signals, below, strict=True):
        square = a**2 * float(np.sum((signal.T @ z / len(z)) ** 2))
        moment = a**2 * float(np.mean(np.sum(signal**2, axis=1) * np.sum(z**2, axis=1)))
        squares.append(square)
        traces.append(max(moment - square, 0.0))  # rounding can leave less
    return GradientNoise(np.array(traces), np.array(squares))


def _ratio(trace: np.ndarray, square: np.ndarray) -> np.ndarray:
    return np.divide(trace, square, out=np.full(np.shape(square), np.inf), where=np.asarray(square) > 0)
