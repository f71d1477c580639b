r"""Networks at initialisation: the mean rescaling, the forward pass, and spectra under perfect isometry.

Random weights with independent layers make second moments propagate layer by layer in closed form, at any
widths:

.. math:: \mathbb E[M_l] = \Sigma_l + a_l^2 \sigma_l^2\, \mathrm{tr}\, \mathbb E[M_{l-1}]\, I
          + \tau_l\, \mathbb E[M_{l-1}], \qquad M_0 = 0, \quad S = M_L ,

with :math:`\sigma_l^2` the variance of an entry of :math:`W_l`. Spectral densities are in `random_matrix`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from .. import _check
from ..model import INITIALISATIONS, PARAMETERISATIONS, Precision, multipliers, skip_pattern

__all__ = [
    "entry_variances",
    "expected_rescaling",
    "forward_rms",
    "isometric_condition_number",
    "isometric_eigenvalues",
]


def entry_variances(
    widths: Iterable[int], parameterisation: str = "sp", *, init: str | float | None = None
) -> tuple[float, ...]:
    r"""Variance :math:`\sigma_l^2` of an entry of :math:`W_l` at initialisation, l = 1..L.

    Of a Haar matrix with orthonormal rows or columns it is the inverse of the larger side.

    Parameters
    ----------
    widths : (n_0, ..., n_L)
        Units of each layer, input first.
    parameterisation : "sp", "ntp" or "mupc"
        Which multipliers and initial variances.
    init : None, float, "normal", "torch" or "orthogonal"
        As in `LinearPCN.random`.

    Returns
    -------
    variances : L numbers

    Examples
    --------
    >>> entry_variances((4, 8, 2)), entry_variances((4, 8, 2), init="orthogonal")
    ((0.25, 0.125), (0.125, 0.125))
    """
    sizes = _check.widths(widths)
    powers = PARAMETERISATIONS[_check.choice(parameterisation, "parameterisation", PARAMETERISATIONS)]
    fans = list(zip(sizes[1:], sizes[:-1], strict=True))
    if isinstance(init, str):
        _check.choice(init, "init", INITIALISATIONS)
        rule = {
            "normal": lambda o, i: 1 / i,
            "torch": lambda o, i: 1 / (3 * i),
            "orthogonal": lambda o, i: 1 / max(o, i),
        }
        return tuple(rule[init](*fan) for fan in fans)
    if init is not None:
        return (_check.non_negative(init, "init") ** 2,) * len(fans)
    return tuple(float(into) ** powers.variance for _, into in fans)


def expected_rescaling(
    widths: Iterable[int],
    parameterisation: str = "sp",
    *,
    skips: bool | Iterable[bool] = False,
    gamma: float = 1.0,
    init: str | float | None = None,
    precisions: Sequence[Any] | None = None,
) -> np.ndarray:
    r"""The exact mean of the rescaling at initialisation, :math:`\mathbb E[S]`, at any finite widths.

    With one output, equal hidden widths N and unit precisions (claim ``limit-to-backprop``): ``mupc`` has
    :math:`\mathbb E[S] - 1 = \frac{L}{\gamma^2 N}\big[(1+1/L)^{L-1}-1\big]` with skips, which tends to
    :math:`(e-1) L/(\gamma^2 N)`, and :math:`(L-1)/(\gamma^2 N)` without; ``ntp`` has N times that. With one
    output S is also the condition number of inference in the coordinates of the errors (claim
    ``coordinates-resolve-tradeoff``).

    Parameters
    ----------
    widths : (n_0, ..., n_L)
        Units of each layer, input first.
    parameterisation : "sp", "ntp" or "mupc"
        Which multipliers and initial variances.
    skips, gamma, init, precisions
        As in `LinearPCN.random`.

    Returns
    -------
    mean : (n_L, n_L)

    Raises
    ------
    ValueError
        If there is not one precision for each layer.

    Notes
    -----
    Needs independent layers, and entries with mean zero and equal variances that are uncorrelated within a
    layer: all of the initialisations here. Sources: Innocenti et al. 2025 (arXiv:2505.13124) and 2026
    (arXiv:2602.07697) for the limit; the exact mean is this work's.

    Examples
    --------
    >>> expected_rescaling((1, 8, 8, 1), "mupc", skips=True)  # 1 + (3/8) ((4/3)^2 - 1) = 1.2916...
    array([[1.29166667]])
    """
    sizes = _check.widths(widths)
    pattern = skip_pattern(sizes, skips)
    factors = multipliers(sizes, parameterisation, skips=pattern, gamma=gamma)
    variances = entry_variances(sizes, parameterisation, init=init)
    given = [None] * len(factors) if precisions is None else _check.sequence(precisions, "precisions")
    if len(given) != len(factors):
        raise ValueError(f"`precisions` must be one per layer, {len(factors)} of them. Got {len(given)}.")
    moment = np.zeros((sizes[0], sizes[0]))
    for l, (a, variance, skip, value) in enumerate(
        zip(factors, variances, pattern, given, strict=True), start=1
    ):
        like = np.zeros((sizes[l], sizes[l]))
        precision = Precision.of(1.0 if value is None else value, sizes[l], like, f"precisions[{l - 1}]")
        gain = a * a * variance * np.trace(moment)
        moment = precision.covariance(like) + gain * np.eye(sizes[l]) + (moment if skip else 0.0)
    return moment


def forward_rms(
    widths: Iterable[int],
    parameterisation: str = "sp",
    *,
    skips: bool | Iterable[bool] = False,
    gamma: float = 1.0,
    init: str | float | None = None,
) -> np.ndarray:
    r"""Root mean square of each layer in the feedforward pass, for an input of root mean square 1.

    .. math:: q_l^2 = (a_l^2 \sigma_l^2 n_{l-1} + \tau_l)\, q_{l-1}^2, \qquad q_0 = 1

    The mean over the weights is exact at any width. Claim ``forward-stability``: at the last hidden layer
    ``mupc`` with skips tends to :math:`\sqrt e`, ``sp`` with skips grows like :math:`2^{L/2}` (or
    :math:`(4/3)^{L/2}` from torch's initialisation), and ``sp`` without them keeps 1 (or dies like
    :math:`3^{-L/2}`).

    Parameters
    ----------
    widths : (n_0, ..., n_L)
        Units of each layer, input first.
    parameterisation : "sp", "ntp" or "mupc"
        Which multipliers and initial variances.
    skips, gamma, init
        As in `LinearPCN.random`.

    Returns
    -------
    rms : (L + 1,), l = 0..L

    Examples
    --------
    >>> forward_rms((4, 4, 4, 4), "sp", skips=True).round(6)  # layer 2 doubles the square
    array([1.      , 1.      , 1.414214, 1.414214])
    """
    sizes = _check.widths(widths)
    pattern = skip_pattern(sizes, skips)
    factors = multipliers(sizes, parameterisation, skips=pattern, gamma=gamma)
    squares = [1.0]
    for a, variance, into, skip in zip(
        factors, entry_variances(sizes, parameterisation, init=init), sizes[:-1], pattern, strict=True
    ):
        squares.append((a * a * variance * into + float(skip)) * squares[-1])
    return np.sqrt(squares)


def isometric_eigenvalues(depth: int, *, narrow_output: bool = False) -> np.ndarray:
    r"""Distinct eigenvalues of the Hessian H of square orthogonal maps (claim ``chain-spectrum``).

    Rotating every layer turns H into copies of one chain of L - 1 hidden units, a path graph:

    .. math:: \lambda_k = 2 - 2\cos\frac{k\pi}{L}, \qquad k = 1, \dots, L - 1 .

    With `narrow_output` the last map has fewer rows than columns (orthonormal rows). The hidden directions
    that it does not see belong to a chain with a free end, whose :math:`2 - 2\cos\frac{(2k-1)\pi}{2L-1}` are
    added.

    Parameters
    ----------
    depth : int
        L, 2 or more.
    narrow_output : bool
        Whether the output has fewer units than the last hidden layer.

    Returns
    -------
    eigenvalues : (L - 1,), or (2L - 2,) with `narrow_output`
        Ascending.

    Examples
    --------
    >>> isometric_eigenvalues(2), isometric_eigenvalues(2, narrow_output=True)
    (array([2.]), array([1., 2.]))
    """
    layers = _check.count(depth, "depth", 2)
    _check.memory(8 * layers, "depth", "take fewer layers")
    k = np.arange(1, layers)
    clamped = 4 * np.sin(k * math.pi / (2 * layers)) ** 2  # 2 - 2 cos without cancellation
    if not _check.flag(narrow_output, "narrow_output"):
        return clamped
    free = 4 * np.sin((2 * k - 1) * math.pi / (2 * (2 * layers - 1))) ** 2
    return np.sort(np.concatenate([clamped, free]))


def isometric_condition_number(depth: int, *, narrow_output: bool = False) -> float:
    r"""Condition number :math:`\kappa` of the Hessian H under perfect isometry.

    It is :math:`\cot^2 \frac{\pi}{2L} \sim 4 L^2/\pi^2` or, with a narrow output,

    .. math:: \kappa = \cos^2\!\frac{\pi}{2L} \Big/ \sin^2\!\frac{\pi}{2(2L-1)}
              \sim \frac{4 (2L-1)^2}{\pi^2} .

    A stable forward pass at initialisation makes H this ill-conditioned (claim ``conditioning``).

    Parameters
    ----------
    depth, narrow_output
        As in `isometric_eigenvalues`.

    Returns
    -------
    float

    Examples
    --------
    >>> round(isometric_condition_number(3), 12)
    3.0
    """
    values = isometric_eigenvalues(depth, narrow_output=narrow_output)
    return float(values[-1] / values[0])
