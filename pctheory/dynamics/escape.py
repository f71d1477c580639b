r"""How long a chain of small weights takes to leave the origin: the times of gradient flow, and the best
precision.

A chain has one unit a layer, L weights, all of them d at the start, and data :math:`y = \sigma x` with
:math:`\langle x^2 \rangle = 1`. Write :math:`\Lambda = \log(1/d)`, :math:`P_l = w_L \cdots w_{l+1}`,
:math:`x_l = w_l^2`,
:math:`\rho = \sigma - P_0`, and :math:`\pi` for the precision of the hidden layers. On the equilibrated
energy

.. math:: \dot w_l = \frac{1}{w_l} \Big[ \frac{\rho P_0}{S}
          + \frac{\rho^2}{\pi S^2} \sum_{1 \le j < l} P_j^2 \Big],
          \qquad S = 1 + \frac{1}{\pi} \sum_{1 \le j < L} P_j^2,

and on the loss only the first term is there, with S = 1. The second term does not need the product
:math:`P_0` to be alive: it grows the weights from the output down, and the escape takes a time that is
polynomial in :math:`\Lambda`, where the loss needs a power of 1/d (claim ``escape-time``).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from decimal import Decimal
from fractions import Fraction

import numpy as np

from .. import _check
from ..model import LinearPCN
from ..model.definitions import require_plain

__all__ = [
    "best_precision",
    "escape_constant",
    "escape_profile",
    "escape_time",
    "fewest_loss_steps",
]

OBJECTIVES = ("energy", "loss")


def escape_constant(depth: int) -> Fraction:
    r"""The constant of the escape from small weights, :math:`c_L = 2^{L-3} \int_0^1 \prod_{j=0}^{L-4} (u +
    j)\, du`.

    Parameters
    ----------
    depth : int
        L, the number of weights, 4 or more.

    Returns
    -------
    Fraction
        Exact: 1, 10/3, 18 for L = 4, 5, 6.

    Notes
    -----
    Claim ``escape-time`` (this work).

    Examples
    --------
    >>> [str(escape_constant(depth)) for depth in (4, 5, 6)]
    ['1', '10/3', '18']
    """
    number = _check.count(depth, "depth", 4)
    powers = [Fraction(1)]  # coefficients of 1, u, u^2, ...
    for j in range(number - 3):
        shifted, scaled = [Fraction(0), *powers], [j * c for c in powers] + [Fraction(0)]
        powers = [a + b for a, b in zip(shifted, scaled, strict=True)]
    return 2 ** (number - 3) * sum((c / (n + 1) for n, c in enumerate(powers)), Fraction(0))


def escape_time(
    net: LinearPCN | Iterable[int],
    scale: float | Decimal,
    precision: float = 1.0,
    *,
    signal: float = 1.0,
    objective: str = "energy",
) -> float:
    r"""The time until the product of a chain's weights is half its target, to leading order in the size of
    the weights:

    .. math:: T = \frac{1}{\sigma^2} \Big[ \pi \Lambda + \frac{c_L \Lambda^{L-2}}{\pi} \Big]
              \quad (L \ge 4), \qquad
              T = \frac{\pi \Lambda}{\sigma^2} + \frac{(3 \Lambda)^{4/3}}{4 \pi\, \sigma^{2/3}} \quad (L = 3),
              \qquad T_{\mathcal L} = \frac{d^{-(L-2)}}{(L-2)\, \sigma}.

    Parameters
    ----------
    net : LinearPCN or widths (n_0, ..., n_L)
        Only its depth counts, L of 3 or more.
    scale : float or Decimal
        d, between 0 and 1: what every weight is at the start; a Decimal where it is below the smallest float.
        In a dense network with aligned weights, their singular values.
    precision : float
        :math:`\pi \ge 1`, that of the hidden layers where the output has 1.
    signal : float
        :math:`\sigma`, the target of the product; in a dense network a singular value of the map to be
        learned.
    objective : "energy" or "loss"
        Gradient flow on :math:`F^*` or on the loss; the loss does not see the precision.

    Returns
    -------
    float
        Time of the flow; infinite on the loss where it is beyond the largest float.

    Notes
    -----
    The ratio of the time to this formula tends to 1 as d falls, uniformly in precisions up to any power of
    :math:`\Lambda`; the corrections fall with powers of :math:`\Lambda` only, so that at d = 1e-6 they are
    tens of per cent. For dense random weights it is a conjecture. Claim ``escape-time`` (this work).

    Examples
    --------
    >>> widths = (1, 1, 1, 1, 1)
    >>> [round(escape_time(widths, 1e-6, objective=o), 1) for o in ("energy", "loss")]
    [204.7, 500000000000.0]
    """
    depth, log_inverse = chain_depth(net), log_inverse_scale(scale)
    pi, sigma = _precision(precision), _check.positive(signal, "signal")
    if _check.choice(objective, "objective", OBJECTIVES) == "loss":
        exponent = (depth - 2) * log_inverse - math.log((depth - 2) * sigma)
        return math.exp(exponent) if exponent < math.log(np.finfo(np.float64).max) else math.inf
    first = pi * log_inverse / sigma**2
    if depth == 3:
        return first + (3 * log_inverse) ** (4 / 3) / (4 * pi * sigma ** (2 / 3))
    return first + float(escape_constant(depth)) * log_inverse ** (depth - 2) / (pi * sigma**2)


def best_precision(net: LinearPCN | Iterable[int], scale: float | Decimal, *, signal: float = 1.0) -> float:
    r"""The precision of the hidden layers with the shortest `escape_time`:

    .. math:: \pi^* = \sqrt{c_L}\, \Lambda^{(L-3)/2} \quad (L \ge 4), \qquad
              \pi^* = \tfrac12 (3 \sigma)^{2/3} \Lambda^{1/6} \quad (L = 3),

    and 1 where that is less. The time falls to :math:`2 \sqrt{c_L} \Lambda^{(L-1)/2} / \sigma^2`, the square
    root of what a unit precision takes, up to logarithms.

    Parameters
    ----------
    net, scale, signal
        As in `escape_time`.

    Returns
    -------
    float

    Notes
    -----
    Claim ``escape-time`` (this work).

    Examples
    --------
    >>> widths = (1, 1, 1, 1, 1, 1)
    >>> best = best_precision(widths, 1e-6)
    >>> round(best, 2), round(escape_time(widths, 1e-6) / escape_time(widths, 1e-6, best), 2)
    (25.22, 12.63)
    """
    depth, log_inverse = chain_depth(net), log_inverse_scale(scale)
    sigma = _check.positive(signal, "signal")
    if depth == 3:
        return max(1.0, 0.5 * (3 * sigma) ** (2 / 3) * log_inverse ** (1 / 6))
    return max(1.0, math.sqrt(escape_constant(depth)) * log_inverse ** ((depth - 3) / 2))


def escape_profile(net: LinearPCN | Iterable[int], scale: float | Decimal) -> np.ndarray:
    r"""The squares of the weights that predictive coding leaves the origin with, to leading order: :math:`2
    (l - 3)_+ \Lambda`.

    The solution is top-heavy: the product of the weights above the third layer is
    :math:`P_3^2 = (L-3)!\, (2\Lambda)^{L-3}`, where backprop's weights are all equal, at 1 for a product of
    1.

    Parameters
    ----------
    net, scale
        As in `escape_time`.

    Returns
    -------
    squares : (L,)
        Of :math:`w_1, \dots, w_L`. The first three are of a lower order, written 0.

    Notes
    -----
    Claim ``escape-time`` (this work).

    Examples
    --------
    >>> escape_profile((1, 1, 1, 1, 1, 1), 1e-6).round(1)
    array([ 0. ,  0. ,  0. , 27.6, 55.3])
    """
    layers = np.arange(1, chain_depth(net) + 1)
    return np.asarray(2 * np.maximum(layers - 3, 0) * log_inverse_scale(scale))


def fewest_loss_steps(net: LinearPCN | Iterable[int], scale: float | Decimal) -> float:
    r"""The fewest steps of gradient descent on the loss that takes a chain from weights d to half its target
    and converges:

    .. math:: n \ge \frac{L}{2(L-2)} \big[ d^{-(L-2)} - 2^{(L-2)/L} \big],

    whatever the learning rate, but for countably many of them.

    Parameters
    ----------
    net, scale
        As in `escape_time`; the target is 1.

    Returns
    -------
    float
        Infinite where it is beyond the largest float.

    Notes
    -----
    Beyond the rate 2/L the minimum repels, so that descent can end there only by hitting it exactly. Claim
    ``escape-steps`` (this work).

    Examples
    --------
    >>> [f"{fewest_loss_steps((1,) * (depth + 1), 1e-6):.1e}" for depth in (3, 4, 5)]
    ['1.5e+06', '1.0e+12', '8.3e+17']
    """
    depth = chain_depth(net)
    exponent = (depth - 2) * log_inverse_scale(scale)
    if exponent >= math.log(np.finfo(np.float64).max):
        return math.inf
    return depth / (2 * (depth - 2)) * max(math.exp(exponent) - 2 ** ((depth - 2) / depth), 0.0)


def chain_depth(net: LinearPCN | Iterable[int]) -> int:
    depth = require_plain(net).depth if isinstance(net, LinearPCN) else len(_check.widths(net)) - 1
    if depth < 3:
        raise ValueError(
            f"`net` must have 3 weights or more: with fewer the origin repels at once. Got {depth}."
        )
    return depth


def log_inverse_scale(scale: float | Decimal) -> float:
    r""":math:`\Lambda = \log(1/d)`."""
    if isinstance(scale, Decimal):
        if not (scale.is_finite() and 0 < scale < 1):
            raise ValueError(f"`scale` must be between 0 and 1. Got {scale}.")
        return float(-scale.ln())
    number = _check.positive(scale, "scale")
    if not number < 1:
        raise ValueError(f"`scale` must be between 0 and 1. Got {number:g}.")
    return -math.log(number)


def _precision(precision: float) -> float:
    pi = _check.positive(precision, "precision")
    if pi < 1:
        raise ValueError(f"`precision` must be 1 or more: the times are proved from there on. Got {pi:g}.")
    return pi
