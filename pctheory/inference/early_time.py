r"""A few small steps of inference: backpropagation's direction in every layer, at a scale that falls with the
distance from the output.

Descent with step g from the forward pass moves the activities by :math:`d(T) = \sum_{t < T} (I - gH)^t\, g\,
U r`, where U carries the residual into layer L - 1. In the layer k below the output the first term that is
not zero needs k - 1 couplings of neighbours, and there are :math:`\sum_{t<T} \binom{t}{k-1} = \binom{T}{k}`
of them:

.. math:: \epsilon_{L-k}(T) = \binom{T}{k} g^k\, P_{L-k}^T r\, \big(1 + O(gT)\big) .

An optimiser that ignores the scale of each layer's gradient then makes backpropagation's step. What does not
ignore it is rounding, and a constant that is added to a gradient's size.
"""

from __future__ import annotations

import math

import numpy as np

from .. import _check
from .._check import Array
from ..model import Data, LinearPCN
from ..model.definitions import data_rows, forward_pass, local_rule, require_plain

__all__ = ["early_reach", "early_scales"]


def early_scales(depth: int, step: float, num_steps: int) -> np.ndarray:
    r"""The scales :math:`\binom{T}{k} g^k` of the gradients of layers L - k after T small steps.

    Parameters
    ----------
    depth : int
        L, the number of weight layers.
    step : float
        g, on the energy of a sample.
    num_steps : int
        T. Layers with k > T are out of reach: their scale is 0.

    Returns
    -------
    scales : (L,)
        Relative to backpropagation's gradients; the last is 1.

    Notes
    -----
    Corrections are of the relative order :math:`gT \lVert H \rVert`. Claim ``early-pc-is-scale-free-bp``
    (this work).

    Examples
    --------
    >>> early_scales(4, 0.1, 2).round(4)
    array([0.  , 0.01, 0.2 , 1.  ])
    """
    layers, g = _check.count(depth, "depth", 1), _check.positive(step, "step")
    steps = _check.count(num_steps, "num_steps")
    _check.memory(layers, "depth", "take fewer layers")
    logs = [
        math.lgamma(steps + 1) - math.lgamma(k + 1) - math.lgamma(steps - k + 1) + k * math.log(g)
        if k <= steps
        else -math.inf
        for k in range(layers - 1, -1, -1)
    ]
    return np.exp(logs)


def early_reach(
    net: LinearPCN,
    data: Data,
    step: float,
    num_steps: int,
    *,
    roundoff: float = 0.0,
    adam_epsilon: float = 0.0,
) -> int:
    r"""How many layers below the output get a gradient that survives the arithmetic and the optimiser.

    Unit precisions. The largest k such that, there and in all hidden layers above,

    .. math:: \binom{T}{k} g^k\, |P_{L-k}^T r| \ge u\, |\hat z_{L-k}|, \qquad
              \binom{T}{k} g^k\, |\partial \mathcal L / \partial W_{L-k}| \ge \varepsilon,

    in root mean squares.

    Parameters
    ----------
    net : LinearPCN
        The network.
    data : Data
        x (B, n_0) and y (B, n_L).
    step : float
        g, on the energy of a sample; small: gT of the order of 1 at most.
    num_steps : int
        T.
    roundoff : float
        u, the unit of rounding where errors are differences of activities: 6e-8 in float32, 4e-3 in bfloat16,
        1e-16 in float64; 0 where they are computed without a difference.
    adam_epsilon : float
        :math:`\varepsilon` of Adam; 0 for an optimiser that ignores the scale.

    Returns
    -------
    k : int
        From 0, the output layer alone, to L - 1, all layers.

    Raises
    ------
    ValueError
        If a precision is not 1.

    Notes
    -----
    Claim ``early-pc-is-scale-free-bp`` (this work).

    Examples
    --------
    >>> net, data = LinearPCN([[[1.0]]] * 6), Data([[1.0]], [[2.0]])  # all factors are 1: binom(6, k) 1e-2k
    >>> [early_reach(net, data, 0.01, 6, roundoff=u) for u in (0.0, 1e-16, 6e-8, 4e-3)]
    [5, 5, 4, 1]
    """
    require_plain(net)
    x, y = data_rows(net, data)
    if not all(precision.is_identity for precision in net.precisions):
        raise ValueError("`net` must have unit precisions: the scales are those. Got others.")
    scales = early_scales(net.depth, step, num_steps)
    unit, smallest = (
        _check.non_negative(roundoff, "roundoff"),
        _check.non_negative(adam_epsilon, "adam_epsilon"),
    )
    passes = forward_pass(net, x)
    sent = [y - passes[-1]]  # the residual and what backpropagation makes of it
    for matrix in net.maps[:0:-1]:
        sent.insert(0, sent[0] @ matrix)
    slopes = local_rule(net, sent, passes)
    reach = 0
    for l in range(net.depth - 1, 0, -1):
        error, activity, slope = (_rms(v) for v in (sent[l - 1], passes[l], slopes[l - 1]))
        scale = scales[l - 1]
        if not (scale > 0 and scale * error >= unit * activity and scale * slope >= smallest):
            break
        reach += 1
    return reach


def _rms(values: Array) -> float:
    return float(np.sqrt(np.mean(_check.to_numpy(values, "activities") ** 2)))
