r"""The limit of width in which the rescaling keeps its size: one parameter between backpropagation and more.

Multiplying all precisions by a number multiplies the energy by it and leaves the activities where they are,
so that for hidden precisions :math:`\pi` and the output precision :math:`\Pi_L I`

.. math:: F^*(\pi, \Pi_L I) = \Pi_L\, F^*(\pi / \Pi_L, I),

exactly, for any weights: a ratio of precisions and a learning rate are all there is to choose. In a ``mupc``
network :math:`P_l P_l^T` is of the order 1/N, and the ratio that keeps S at one size as the width N grows,
and at initialisation the depth L, is

.. math:: \alpha = \frac{L}{N} \frac{\Pi_L}{\pi} .

As :math:`N \to \infty` predictive coding becomes backpropagation if and only if :math:`\alpha \to 0`. The
training of the limit is `mean_field_training`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from .. import _check
from ..model import Data, multipliers, skip_pattern

__all__ = ["initial_cosine", "stable_precisions"]


def stable_precisions(widths: Iterable[int], alpha: float) -> tuple[float, ...]:
    r"""The precisions of the S-stable limit: :math:`L / (\alpha N)` in the hidden layers, 1 at the output.

    Parameters
    ----------
    widths : (n_0, ..., n_L)
        Units of each layer, input first; N is the width of each hidden layer.
    alpha : float
        :math:`\alpha`, above 0: at initialisation S is :math:`1 + (\alpha / \gamma^2)(L - 1)/L` on average
        in a ``mupc`` network without skips, and tends to :math:`1 + (\alpha / \gamma^2)(e - 1)` with them.

    Returns
    -------
    precisions : L numbers
        For `LinearPCN.random` or `LinearPCN.replace`.

    Notes
    -----
    Claim ``s-stable-limit`` (this work). Unit precisions are :math:`\alpha = L / N`.

    Examples
    --------
    >>> stable_precisions((2, 64, 64, 64, 1), 0.5)
    (0.125, 0.125, 0.125, 1.0)
    """
    sizes, strength = _check.widths(widths), _check.positive(alpha, "alpha")
    depth = len(sizes) - 1
    return (*(depth / (strength * width) for width in sizes[1:-1]), 1.0)


def initial_cosine(
    data: Data, hidden: int, alpha: float, *, skips: bool | Iterable[bool] = False, gamma: float = 1.0
) -> float:
    r"""The cosine between the gradients of F* and of the loss in an infinitely wide ``mupc`` network at
    initialisation.

    .. math:: \cos = \Big[ 1 + \frac{n_0 \operatorname{tr} S_{yy}^2}{s^2 \operatorname{tr} S_{yx} S_{xy}}\,
              \frac{\sum_l c_l^2 p_l k_{l-1}}{\sum_l c_l^2 p_l q_{l-1}} \Big]^{-1/2}

    Parameters
    ----------
    data : Data
        x (B, n_0) and y (B, n_L), correlated.
    hidden : int
        Hidden layers H = L - 1.
    alpha : float
        :math:`\alpha`, of the precisions `stable_precisions`; of unit precisions it is L / N.
    skips, gamma
        As in `LinearPCN.random`.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If the data have no correlation (the gradient of the loss vanishes), or `hidden` exceeds the memory.

    Notes
    -----
    Here :math:`q_l I/n_0`, :math:`p_l I` and :math:`k_l I` are the kernels of activities, backward vectors
    and of what inference adds, and :math:`s I = S`. With :math:`c_l` as in `mean_field_training` and
    :math:`m_0 = k_0 = 0`

    .. math:: w_l = c_l^2 m_{l-1} + \tfrac{\alpha}{\gamma L}, \quad m_l = \tau_l m_{l-1} + w_l, \quad
              k_l = (\tau_l + c_l^2)\, k_{l-1} + (w_l + 2 \tau_l m_{l-1})\, w_l\, p_l .

    Without skips the fraction is :math:`\frac{\alpha^2}{\gamma^2} \frac{L^2 - 1}{12 L}`, at every L, which
    has no limit in depth; with them it tends to :math:`\frac{e}{3} \frac{\alpha^2}{\gamma^2}`. So at unit
    precisions, :math:`\alpha = L/N`, the gradients agree only for :math:`N \gg L^{3/2}` without skips, though
    the energies do for :math:`N \gg L`. Claim ``s-stable-limit`` (this work).

    Examples
    --------
    >>> round(initial_cosine(Data([[1.0]], [[1.0]]), 1, 1.0), 6)  # S = 3/2: 1 / sqrt(1 + (4/9) (1/8))
    0.973329
    """
    _check.instance(data, "data", Data).complete()
    layers, strength = _check.count(hidden, "hidden", 1), _check.non_negative(alpha, "alpha")
    richness = _check.positive(gamma, "gamma")
    _check.memory(16 * layers, "hidden", "take fewer layers")
    unit = (1,) * (layers + 2)
    tau = np.array(skip_pattern(unit, skips), dtype=float)
    squares = np.square(multipliers(unit, "mupc", skips=tau.astype(bool)))
    x, y = _check.to_numpy(data.x, "x"), _check.to_numpy(data.y, "y")
    cross = float(np.sum((y.T @ x) ** 2)) / len(x) ** 2
    if not cross > 0:
        raise ValueError("`data` must have inputs and outputs that are correlated. Got `S_yx` = 0.")
    depth, injected = layers + 1, strength / (richness * (layers + 1))
    back = np.cumprod([1.0, *(tau + squares)[:0:-1]])[::-1]  # p_1, ..., p_L
    rescaling = 1 + injected / richness * float(back[:-1].sum())
    drift = kernel = energy = 0.0
    forward, signal = 1.0, float(squares[0] * back[0])
    for l in range(1, depth):
        own = squares[l - 1] * drift + injected
        kernel = (tau[l - 1] + squares[l - 1]) * kernel + (own + 2 * tau[l - 1] * drift) * own * back[l - 1]
        drift = tau[l - 1] * drift + own
        forward *= tau[l - 1] + squares[l - 1]
        energy += squares[l] * back[l] * kernel
        signal += squares[l] * back[l] * forward
    spread = float(np.sum((y.T @ y) ** 2)) / len(y) ** 2
    return 1 / math.sqrt(1 + x.shape[1] * spread / (rescaling**2 * cross) * energy / signal)
