r"""Precisions that change along training: how fast a chain of small weights can be learned at all.

The setting is that of `escape_time`, with the hidden precision :math:`\pi(t)` free to change with time and
state. Raising it raises the equilibrated energy by the energy of the hidden layers,

.. math:: \frac{\partial F^*}{\partial \log \pi}
          = \tfrac12 \langle r^T S^{-1} (S - \Sigma_L) S^{-1} r \rangle,

and leaves the loss where it is; with :math:`\pi = \infty` the energy is the loss. No schedule beats
:math:`4 (L-3) \Lambda / \sigma^2`, and the one that keeps the rescaling at S = 2 attains it (claim
``precision-homotopy``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from .. import _check
from ..model import LinearPCN
from .chains import chain_rates, follow
from .escape import chain_depth, log_inverse_scale

__all__ = ["HomotopyFlow", "KeepRescaling", "fastest_time", "homotopy_flow", "homotopy_time"]


@dataclass(frozen=True)
class KeepRescaling:
    r"""The precision that keeps the rescaling of a chain at one value, :math:`\pi = \max(\pi_0, \frac{1}{s -
    1} \sum_{1 \le l < L} P_l^2)`.

    Attributes
    ----------
    rescaling : float
        s, above 1.
    floor : float
        :math:`\pi_0`, the least precision; 0 for none.

    Examples
    --------
    >>> KeepRescaling()(np.log([1.0, 2.0, 3.0]))  # P_1 = 6, P_2 = 3
    45.0...
    """

    rescaling: float = 2.0
    floor: float = 0.0

    def __post_init__(self) -> None:
        _rescaling(self.rescaling)
        _check.non_negative(self.floor, "floor")

    def __call__(self, log_weights: np.ndarray) -> float:
        r""":math:`\pi` at the weights whose logarithms these are, (L,)."""
        return max(self.floor, _inflation(log_weights) / (self.rescaling - 1))


@dataclass(frozen=True, eq=False, repr=False)
class HomotopyFlow:
    r"""Gradient flow of a chain on the energy with a precision that changes along it.

    Attributes
    ----------
    times : (T,)
        From 0 until the product is the given part of the target.
    log_weights : (T, L)
        :math:`\log w_l`.
    precisions : (T,)
        :math:`\pi` at these times; infinite where the rule asks for backpropagation.
    """

    times: np.ndarray
    log_weights: np.ndarray
    precisions: np.ndarray

    @property
    def escape_time(self) -> float:
        """The last of `times`."""
        return float(self.times[-1])

    @property
    def rescalings(self) -> np.ndarray:
        """S along the path, (T,)."""
        return 1 + np.array([_inflation(logs) for logs in self.log_weights]) / self.precisions

    def __repr__(self) -> str:
        return f"HomotopyFlow({self.log_weights.shape[1]} weights to time {self.escape_time:.4g})"


def homotopy_flow(
    net: LinearPCN | Iterable[int],
    scale: float | Decimal,
    rule: Callable[[np.ndarray], float] | None = None,
    *,
    signal: float = 1.0,
    fraction: float = 0.5,
    rtol: float = 1e-10,
) -> HomotopyFlow:
    r"""Gradient flow of a chain from weights d, the precision given by a rule at every moment.

    Parameters
    ----------
    net, scale, signal
        As in `escape_time`; d no smaller than 1e-140, so that no precision underflows.
    rule : function of the (L,) log weights
        The precision there, above 0, or infinity for backpropagation; `KeepRescaling` by default.
    fraction, rtol
        As in `chain_flow`.

    Returns
    -------
    HomotopyFlow

    Raises
    ------
    TypeError
        If `rule` is no function.
    ValueError
        If `scale` is too small for a rule, or `fraction` leaves no way to go.
    ArithmeticError
        If the integrator does not reach the end.

    Notes
    -----
    Claim ``precision-homotopy`` (this work).

    Examples
    --------
    >>> widths = (1, 1, 1, 1, 1)
    >>> round(homotopy_flow(widths, 1e-4, rtol=1e-6).escape_time, 1), round(homotopy_time(widths, 1e-4), 1)
    (37.5, 36.8)
    """
    depth, log_inverse = chain_depth(net), log_inverse_scale(scale)
    if log_inverse > 140 * math.log(10):
        raise ValueError(f"`scale` must be at least 1e-140 with a rule. Got {scale}.")
    sigma, part = _check.positive(signal, "signal"), _check.positive(fraction, "fraction")
    end = math.log(sigma * part)
    if not (part < 1 and -depth * log_inverse < end):
        raise ValueError(
            "`fraction` must be below 1, and the product of the weights must start below that part of the "
            f"target. Got a fraction of {part:g} and a start at {-depth * log_inverse:g} in logarithms."
        )
    if rule is not None and not callable(rule):
        raise TypeError(f"`rule` must be a function of the log weights. Got {type(rule).__name__}.")
    chosen = KeepRescaling() if rule is None else rule

    def rates(logs: np.ndarray) -> np.ndarray:
        pi = chosen(logs)
        if math.isinf(pi):
            return chain_rates(logs, signal=sigma, objective="loss")
        return chain_rates(logs, pi, signal=sigma)

    times, path = follow(rates, depth, log_inverse, end, _check.positive(rtol, "rtol"))
    return HomotopyFlow(times, path, np.array([chosen(logs) for logs in path]))


def homotopy_time(
    net: LinearPCN | Iterable[int],
    scale: float | Decimal,
    rule: KeepRescaling | None = None,
    *,
    signal: float = 1.0,
) -> float:
    r"""The time until the product of a chain's weights is half its target while the rescaling is kept at s.

    .. math:: T = \frac{s^2}{s - 1}\, \frac{(L - 3) \Lambda}{\sigma^2} \quad (L \ge 4), \qquad
              T = \Big( \frac{3 s^2 \Lambda}{2 \sigma^2 \sqrt{2 (s-1)}} \Big)^{2/3} \quad (L = 3),

    to leading order in the size d of the weights. A least precision :math:`\pi_0` adds :math:`\pi_0 \Lambda /
    \sigma^2` (measured).

    Parameters
    ----------
    net, scale, signal
        As in `escape_time`.
    rule : KeepRescaling
        s = 2 and no least precision by default.

    Returns
    -------
    float
        Time of the flow.

    Notes
    -----
    Claim ``precision-homotopy`` (this work).

    Examples
    --------
    >>> widths = (1, 1, 1, 1, 1)
    >>> [round(homotopy_time(widths, 1e-4, KeepRescaling(s)), 1) for s in (2.0, 3.0)]
    [36.8, 41.4]
    """
    depth, log_inverse = chain_depth(net), log_inverse_scale(scale)
    sigma = _check.positive(signal, "signal")
    kept = _check.instance(KeepRescaling() if rule is None else rule, "rule", KeepRescaling)
    s = kept.rescaling
    if depth == 3:
        main = (3 * s**2 * log_inverse / (2 * sigma**2 * math.sqrt(2 * (s - 1)))) ** (2 / 3)
    else:
        main = s**2 / (s - 1) * (depth - 3) * log_inverse / sigma**2
    return main + kept.floor * log_inverse / sigma**2


def fastest_time(net: LinearPCN | Iterable[int], scale: float | Decimal, *, signal: float = 1.0) -> float:
    r"""The shortest time in which any schedule of the precision takes a chain to half its target.

    .. math:: T = \frac{4 (L-3) \Lambda}{\sigma^2} \quad (L \ge 4), \qquad
              T = \frac{18}{5} \Big( \frac{5 \Lambda}{12 \sigma^2} \Big)^{2/3} \quad (L = 3),

    to leading order. For L = 4 and more S = 2 attains it. For L = 3 (formal) the best s falls from 2 to 1,
    :math:`w_3 = h s (2 - s)` with :math:`h^3 = 5 \Lambda / (12 \sigma^2)` in units of :math:`\sigma`:
    predictive coding, then backpropagation.

    Parameters
    ----------
    net, scale, signal
        As in `escape_time`.

    Returns
    -------
    float

    Notes
    -----
    Claim ``precision-homotopy`` (this work).

    Examples
    --------
    >>> [round(fastest_time((1,) * (depth + 1), 1e-6), 1) for depth in (3, 4, 5, 6)]
    [11.6, 55.3, 110.5, 165.8]
    """
    depth, log_inverse = chain_depth(net), log_inverse_scale(scale)
    sigma = _check.positive(signal, "signal")
    if depth == 3:
        return 3.6 * (log_inverse / (2.4 * sigma**2)) ** (2 / 3)
    return 4 * (depth - 3) * log_inverse / sigma**2


def _inflation(log_weights: np.ndarray) -> float:
    r""":math:`\sum_{1 \le l < L} P_l^2`."""
    return float(np.exp(2 * np.cumsum(np.asarray(log_weights)[:0:-1])).sum())


def _rescaling(value: float) -> float:
    number = _check.positive(value, "rescaling")
    if not number > 1:
        raise ValueError(f"`rescaling` must be above 1: at 1 the precision is infinite. Got {number:g}.")
    return number
