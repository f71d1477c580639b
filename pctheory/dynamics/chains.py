r"""Gradient flow of a chain in the logarithms of its weights: what the predicted times of escape are compared
with.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from .. import _check
from ..model import LinearPCN
from .escape import OBJECTIVES, chain_depth, escape_time, log_inverse_scale

__all__ = ["ChainFlow", "chain_flow", "chain_rates"]

LOG_CEILING = 80.0
"""Largest logarithm of the product of the weights that a trial step of the integrator may propose."""

EXPONENT_CEILING = 300.0
"""Largest exponent of a term: a trial step beyond it is refused anyway, without an overflow."""


@dataclass(frozen=True, eq=False, repr=False)
class ChainFlow:
    r"""Gradient flow of a chain from equal weights until its product is a given part of the target.

    Attributes
    ----------
    times : (T,)
        From 0 to the time of escape, at the integrator's own steps.
    log_weights : (T, L)
        :math:`\log w_l`.
    precision, signal : float
    objective : "energy" or "loss"
    """

    times: np.ndarray
    log_weights: np.ndarray
    precision: float
    signal: float
    objective: str

    @property
    def escape_time(self) -> float:
        """The last of `times`: the product is the given part of the target."""
        return float(self.times[-1])

    def log_products(self) -> np.ndarray:
        r""":math:`\log P_l` for l = 0..L, (T, L + 1); the last is 0."""
        return _log_products(self.log_weights)

    def rescalings(self) -> np.ndarray:
        """S along the path, (T,)."""
        hidden = self.log_products()[:, 1:-1]
        return np.asarray(1 + np.exp(2 * hidden).sum(axis=1) / self.precision)

    def __repr__(self) -> str:
        return (
            f"ChainFlow({self.log_weights.shape[1]} weights on the {self.objective}, "
            f"{len(self.times)} points to time {self.escape_time:.4g})"
        )


def chain_rates(
    log_weights: np.ndarray, precision: float = 1.0, *, signal: float = 1.0, objective: str = "energy"
) -> np.ndarray:
    r"""The rates :math:`\dot w_l / w_l` of gradient flow on a chain, from the logarithms of its weights.

    Parameters
    ----------
    log_weights : (..., L)
        :math:`\log w_l`, of any size: no product is formed that could underflow where it counts.
    precision, signal, objective
        As in `escape_time`; any precision above 0.

    Returns
    -------
    rates : (..., L)

    Notes
    -----
    Claim ``escape-time`` (this work).

    Examples
    --------
    >>> chain_rates(np.log([1.0, 1.0, 1.0]), signal=2.0)  # rho = 1, S = 3: 1/3, 1/3 + 1/9, 1/3 + 2/9
    array([0.33333333, 0.44444444, 0.55555556])
    """
    logs = np.asarray(log_weights, dtype=np.float64)
    pi, sigma = _check.positive(precision, "precision"), _check.positive(signal, "signal")
    products = _log_products(logs)
    whole = products[..., :1]
    rho = sigma - np.exp(whole)
    direct = rho * np.exp(np.minimum(whole - 2 * logs, EXPONENT_CEILING))
    if _check.choice(objective, "objective", OBJECTIVES) == "loss":
        return np.asarray(direct)
    hidden = 2 * products[..., 1:-1]
    rescaling = 1 + np.exp(hidden).sum(axis=-1, keepdims=True) / pi
    # row l - 1, column j - 1: log(P_j^2 / w_l^2), wanted for j < l; in logarithms, since P_j^2 alone may
    # underflow
    ratios = np.exp(np.minimum(hidden[..., None, :] - 2 * logs[..., :, None], EXPONENT_CEILING))
    shares = np.tril(ratios, -1).sum(axis=-1)
    return np.asarray(direct / rescaling + (rho / rescaling) ** 2 * shares / pi)


def chain_flow(
    net: LinearPCN | Iterable[int],
    scale: float | Decimal,
    precision: float = 1.0,
    *,
    signal: float = 1.0,
    objective: str = "energy",
    fraction: float = 0.5,
    rtol: float = 1e-12,
) -> ChainFlow:
    r"""Gradient flow of a chain from weights d, integrated in :math:`\log w_l`, so that d may be 1e-3000.

    Parameters
    ----------
    net, scale, precision, signal, objective
        As in `escape_time`; any precision above 0.
    fraction : float
        The flow ends when :math:`P_0` is this part of the target, between 0 and 1.
    rtol : float
        Relative tolerance of a step, and the absolute one of the logarithms.

    Returns
    -------
    ChainFlow

    Raises
    ------
    ValueError
        If the time of escape is beyond the largest floats.
    ArithmeticError
        If the integrator does not reach the end.

    Notes
    -----
    The path does not use `escape_time`: it is what the formula is compared with. Claim ``escape-time`` (this
    work).

    Examples
    --------
    >>> flow = chain_flow((1, 1, 1, 1), Decimal("1e-3000"))
    >>> flow.escape_time / escape_time((1, 1, 1, 1), Decimal("1e-3000"))  # doctest: +ELLIPSIS
    0.965...
    """
    depth, log_inverse = chain_depth(net), log_inverse_scale(scale)
    pi, sigma = _check.positive(precision, "precision"), _check.positive(signal, "signal")
    on_energy = _check.choice(objective, "objective", OBJECTIVES) == "energy"
    part, accuracy = _check.positive(fraction, "fraction"), _check.positive(rtol, "rtol")
    end = math.log(sigma * part)
    if not (part < 1 and -depth * log_inverse < end):
        raise ValueError(
            "`fraction` must be below 1, and the product of the weights must start below that part of the "
            "target. "
            f"Got a fraction of {part:g} and a start at {-depth * log_inverse:g} in logarithms."
        )

    if not on_energy and math.isinf(escape_time(net, scale, signal=sigma, objective=objective)):
        raise ValueError(
            "`scale` must be large enough for the time of the escape on the loss to fit a float. "
            f"Got {scale} at depth {depth}."
        )

    def rates(logs: np.ndarray) -> np.ndarray:
        return chain_rates(logs, pi, signal=sigma, objective=objective)

    times, logs = follow(rates, depth, log_inverse, end, accuracy)
    return ChainFlow(times, logs, pi, sigma, objective)


def follow(
    rates: Callable[[np.ndarray], np.ndarray], depth: int, log_inverse: float, end: float, accuracy: float
) -> tuple[np.ndarray, np.ndarray]:
    """Times (T,) and log weights (T, L) from equal weights until the log of the product is `end`."""
    from scipy.integrate import solve_ivp  # 0.3 s that `import pctheory` need not wait for

    def slope(_: float, state: np.ndarray) -> np.ndarray:
        change = rates(np.minimum(state[:-1], LOG_CEILING / depth))
        return np.append(change, 1 / unit) / change.sum()

    # log P_0 only grows: with it as the variable and the time as one more state, the flow ends where it
    # should
    start = np.full(depth, -log_inverse)
    unit = 1 / float(rates(start).sum())
    solution = solve_ivp(
        slope,
        (-depth * log_inverse, end),
        np.append(start, 0.0),
        method="LSODA",
        rtol=accuracy,
        atol=accuracy,
    )
    if not solution.success:
        raise ArithmeticError(f"The flow could not be followed to the required accuracy: {solution.message}")
    return unit * solution.y[-1], solution.y[:-1].T


def _log_products(log_weights: np.ndarray) -> np.ndarray:
    r""":math:`\log P_l = \sum_{j > l} \log w_j`, l = 0..L, along the last axis."""
    sums = np.cumsum(log_weights[..., ::-1], axis=-1)[..., ::-1]
    return np.concatenate([sums, np.zeros((*log_weights.shape[:-1], 1))], axis=-1)
