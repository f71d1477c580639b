r"""Spectral densities of the inference Hessian at initialisation, in the limit of large width.

:math:`H = D + O` splits into its diagonal blocks :math:`D_l = I + A_{l+1}^T A_{l+1}` and its couplings. D and
O share the same weights, so the spectrum of the sum does not follow from the two spectra. It follows from
:math:`H = J^T J`, where J is block bidiagonal with I on the diagonal and :math:`-A_{l+1}` below: a
deterministic matrix plus independent Gaussian blocks. The resolvent of such a matrix tends to the solution M
of the matrix Dyson equation

.. math:: M = \Big( z - K - \mathrm{diag}_a \sum_b v_{ab} M_{bb} \Big)^{-1},

a matrix of one row per block: K is the deterministic part and :math:`v_{ab}` the variance of an entry of the
coupling of blocks a and b times the size of b. Unit precisions, Gaussian (or any independent) entries; finite
networks approach the limit at the rate 1 / width. Claim ``hessian-spectra``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import ArrayLike

from .. import _check
from ..model import multipliers, skip_pattern
from .initialisation import entry_variances

__all__ = [
    "coupling_density",
    "coupling_edge",
    "diagonal_density",
    "hessian_density",
    "marchenko_pastur",
    "marchenko_pastur_edges",
]

_RESOLUTION = 1e-4
"""Imaginary part of the spectral parameter: densities are smoothed over this width."""


def marchenko_pastur_edges(ratio: float, variance: float = 1.0) -> tuple[float, float]:
    r"""Ends :math:`v (1 \mp \sqrt{c})^2` of the spectrum of :math:`A^T A` in the limit of large A.

    Parameters
    ----------
    ratio : float
        c = n/m, A of shape (m, n).
    variance : float
        v: the entries of A have the variance v/m.

    Returns
    -------
    low, high : float

    Examples
    --------
    >>> marchenko_pastur_edges(1.0, 0.25)
    (0.0, 1.0)
    """
    c, v = _check.positive(ratio, "ratio"), _check.positive(variance, "variance")
    return v * (1 - math.sqrt(c)) ** 2, v * (1 + math.sqrt(c)) ** 2


def marchenko_pastur(points: ArrayLike, ratio: float, variance: float = 1.0) -> np.ndarray:
    r"""Density of the eigenvalues of :math:`A^T A` in the limit of a large random matrix A.

    .. math:: \rho(\lambda) = \frac{\sqrt{(\lambda_+ - \lambda)(\lambda - \lambda_-)}}{2\pi c v \lambda}

    With c > 1 a fraction 1 - 1/c of the eigenvalues is zero and not part of the density. The diagonal block
    :math:`I + A^T A` has this density shifted by 1: edges [1, 1 + 4v] for square A.

    Parameters
    ----------
    points : (k,)
        Eigenvalues :math:`\lambda`.
    ratio, variance
        c and v, as in `marchenko_pastur_edges`.

    Returns
    -------
    density : (k,)

    Examples
    --------
    >>> marchenko_pastur([1.0, 5.0], 1.0).round(6)  # sqrt(3) / (2 pi), and 0 outside
    array([0.275664, 0.      ])
    """
    low, high = marchenko_pastur_edges(ratio, variance)
    x = _points(points)
    inside = (x > low) & (x < high)
    safe = np.where(inside, x, 1.0)
    root = np.sqrt(np.where(inside, (high - safe) * (safe - low), 0.0))
    return np.where(inside, root / (2 * math.pi * ratio * variance * safe), 0.0)


def coupling_edge(num_hidden: int, std: float = 1.0) -> float:
    r"""Edge of the spectrum of the couplings O of H equal hidden layers, in the limit of large width N.

    .. math:: 0 \text{ for } H = 1, \qquad 2s \text{ for } H = 2, \qquad
              2\sqrt2\, s \, \big(1 - O(H^{-4})\big) \text{ for deep networks}

    Found as the largest z at which the Dyson equation :math:`1/m_l = z - s^2 (m_{l-1} + m_{l+1})` is
    singular: there the solution on the real axis ends.

    Parameters
    ----------
    num_hidden : int
        H.
    std : float
        s: the entries of the maps have the variance :math:`s^2/N`.

    Returns
    -------
    float

    Examples
    --------
    >>> round(coupling_edge(2), 6), round(coupling_edge(64), 3)
    (2.0, 2.828)
    """
    layers, s = _check.count(num_hidden, "num_hidden", 1), _check.non_negative(std, "std")
    if layers == 1 or s == 0:
        return 0.0
    _check.memory(4 * layers**2, "num_hidden", "take fewer layers")
    path = np.diag(np.ones(layers - 1), 1) + np.diag(np.ones(layers - 1), -1)
    # beyond the edge m (z - P m) = 1 has a solution with m > 0, and within it none
    low, high = 1.0, 4.0
    for _ in range(60):
        z = (low + high) / 2
        low, high = (low, z) if _real_solution(path, z) else (z, high)
    return high * s


def _real_solution(path: np.ndarray, z: float) -> bool:
    """Whether m = 1 / (z - P m) has a positive solution: the monotone iteration from 0 then converges."""
    m = np.zeros(len(path))
    for _ in range(200):
        # Newton on m (z - P m) = 1 from below converges monotonically while a solution exists
        residual = m * (z - path @ m) - 1
        jacobian = np.diag(z - path @ m) - m[:, None] * path
        m = m - np.linalg.solve(jacobian, residual)
        if not np.all(np.isfinite(m)) or np.any(m < 0) or np.any(z - path @ m <= 0):
            return False
        if np.max(np.abs(residual)) < 1e-12:
            return True
    return False


def hessian_density(
    points: ArrayLike,
    widths: Iterable[int],
    parameterisation: str = "sp",
    *,
    skips: bool | Iterable[bool] = False,
    gamma: float = 1.0,
    init: str | float | None = None,
) -> np.ndarray:
    r"""Limiting density of the eigenvalues of the inference Hessian H, at any depth, by the Dyson equation.

    Parameters
    ----------
    points : (k,)
        Eigenvalues :math:`\lambda > 0`.
    widths, parameterisation, skips, gamma, init
        As in `LinearPCN.random`; only the ratios of the widths and the sizes of the gains matter.

    Returns
    -------
    density : (k,)
        Of unit area, smoothed over a width of 1e-4.

    Notes
    -----
    Claim ``hessian-spectra`` (this work). Cost: k matrices of order 2L per iteration. One hidden layer gives
    Marchenko and Pastur's law, shifted by 1.

    Examples
    --------
    >>> points = np.array([2.0, 7.0])
    >>> hessian_density(points, (1, 50, 50)).round(3), marchenko_pastur(points - 1, 1.0).round(3)
    (array([0.276, 0.   ]), array([0.276, 0.   ]))
    """
    sizes, variances, pattern = _layers(widths, parameterisation, skips, gamma, init)
    depth = len(sizes) - 1
    # blocks: errors 1..L, then activities 1..L-1
    n = np.array([*sizes[1:], *sizes[1:-1]], dtype=np.float64)
    deterministic = np.zeros((2 * depth - 1, 2 * depth - 1))
    variance = np.zeros_like(deterministic)
    for l in range(1, depth):  # column of z_l: I in error l, -A_{l+1} in error l+1
        column = depth + l - 1
        deterministic[l - 1, column] = deterministic[column, l - 1] = 1.0
        if pattern[l]:
            deterministic[l, column] = deterministic[column, l] = -1.0
        variance[l, column] = variance[column, l] = variances[l]
    columns = slice(depth, None)
    return _squared_density(points, deterministic, variance * n, columns, n[columns])


def diagonal_density(
    points: ArrayLike,
    widths: Iterable[int],
    parameterisation: str = "sp",
    *,
    skips: bool | Iterable[bool] = False,
    gamma: float = 1.0,
    init: str | float | None = None,
) -> np.ndarray:
    r"""Limiting density of the diagonal part D, the mixture of its blocks :math:`I + A_{l+1}^T A_{l+1}`.

    Without skips each block is Marchenko and Pastur's law shifted by 1; with them, the law of a Gaussian
    matrix plus I.

    Parameters
    ----------
    points, widths, parameterisation, skips, gamma, init
        As in `hessian_density`.

    Returns
    -------
    density : (k,)

    Examples
    --------
    >>> diagonal_density([2.0], (1, 50, 50)).round(3)
    array([0.276])
    """
    sizes, variances, pattern = _layers(widths, parameterisation, skips, gamma, init)
    total = np.zeros(_points(points).shape)
    for l in range(1, len(sizes) - 1):
        # the column (I; -A): errors l and l+1, activity l
        n = np.array([sizes[l], sizes[l + 1], sizes[l]], dtype=np.float64)
        deterministic, variance = np.zeros((3, 3)), np.zeros((3, 3))
        deterministic[0, 2] = deterministic[2, 0] = 1.0
        if pattern[l]:
            deterministic[1, 2] = deterministic[2, 1] = -1.0
        variance[1, 2] = variance[2, 1] = variances[l]
        block = _squared_density(points, deterministic, variance * n, slice(2, None), n[2:])
        total = total + sizes[l] * block
    return total / sum(sizes[1:-1])


def coupling_density(
    points: ArrayLike,
    widths: Iterable[int],
    parameterisation: str = "sp",
    *,
    gamma: float = 1.0,
    init: str | float | None = None,
) -> np.ndarray:
    r"""Limiting density of the eigenvalues of the couplings O of a network without skips.

    It is symmetric about 0. Where the layers are unequal, some eigenvalues are exactly 0: they are a narrow
    peak.

    Parameters
    ----------
    points, widths, parameterisation, gamma, init
        As in `hessian_density`; at least two hidden layers.

    Returns
    -------
    density : (k,)

    Raises
    ------
    ValueError
        If there are fewer than two hidden layers.

    Examples
    --------
    >>> coupling_density([1.0, 2.5], (1, 50, 50, 1)).round(3)  # two layers: the semicircle of radius 2
    array([0.276, 0.   ])
    """
    sizes, variances, _ = _layers(widths, parameterisation, False, gamma, init)
    hidden = np.array(sizes[1:-1], dtype=np.float64)
    if len(hidden) < 2:
        raise ValueError(
            "`widths` must have two hidden layers or more: one has no couplings. Got one or none."
        )
    variance = np.zeros((len(hidden), len(hidden)))
    for l in range(len(hidden) - 1):
        variance[l, l + 1] = variance[l + 1, l] = variances[l + 1]
    values = _points(points)
    diagonal, _ = _dyson(values, lambda z: z, np.zeros_like(variance), variance * hidden)
    return -np.asarray((diagonal @ hidden).imag / (math.pi * hidden.sum()))


def _points(points: ArrayLike) -> np.ndarray:
    return np.asarray(_check.finite(_check.to_numpy(points, "points"), "points"))


def _layers(
    widths: Iterable[int],
    parameterisation: str,
    skips: bool | Iterable[bool],
    gamma: float,
    init: str | float | None,
) -> tuple[tuple[int, ...], list[float], tuple[bool, ...]]:
    """Widths, variances of the entries of A_l, skips."""
    sizes = _check.widths(widths)
    if len(sizes) < 3:
        raise ValueError("`widths` must have a hidden layer: H acts on hidden activities. Got none.")
    if isinstance(init, str) and init == "orthogonal":
        raise ValueError(
            "`init` must have independent entries for the densities. Got 'orthogonal': see "
            "`limits.isometric_eigenvalues`."
        )
    pattern = skip_pattern(sizes, skips)
    factors = multipliers(sizes, parameterisation, skips=pattern, gamma=gamma)
    variances = entry_variances(sizes, parameterisation, init=init)
    return sizes, [a * a * v for a, v in zip(factors, variances, strict=True)], pattern


def _squared_density(
    points: ArrayLike, deterministic: np.ndarray, variance: np.ndarray, columns: slice, sizes: np.ndarray
) -> np.ndarray:
    """Density of J^T J, from the Dyson equation of [[0, J], [J^T, 0]] at the square root of the parameter."""
    values = _points(points)
    if np.any(values <= 0):
        raise ValueError(f"`points` must be positive: H is positive definite. Got {values.min():g}.")
    diagonal, z = _dyson(values, np.sqrt, deterministic, variance)
    trace = diagonal[..., columns] @ sizes / z  # tr (lambda - J^T J)^{-1}
    return -np.asarray(trace.imag / (math.pi * sizes.sum()))


def _dyson(
    points: np.ndarray,
    parameter: Callable[[np.ndarray], np.ndarray],
    deterministic: np.ndarray,
    variance: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Diagonal of the solution with negative imaginary part, (k, blocks), and z = parameter(points + i eta).

    Far from the real axis the fixed-point iteration contracts. From there the solution is followed down to
    the resolution by Newton's method on the diagonal.

    Returns
    -------
    m : (k, blocks)
        The diagonal of the solution.
    z : array
        The parameter at the points, just off the real axis.

    Raises
    ------
    ValueError
        If the residual stays above 1e-11.
    """
    order = len(deterministic)
    eye = np.eye(order)

    def resolvent(z: np.ndarray, diagonal: np.ndarray) -> np.ndarray:
        shift = z[..., None] - diagonal @ variance.T
        return np.asarray(np.linalg.inv(shift[..., None] * eye - deterministic))

    eta = 1.0 + 4 * float(variance.sum(axis=1).max()) + float(np.max(np.abs(points), initial=0.0))
    z = parameter(points + 1j * eta)
    m = np.full((*points.shape, order), -1j / math.sqrt(eta))
    for _ in range(50):
        m = 0.5 * m + 0.5 * np.einsum("...aa->...a", resolvent(z, m))
    while True:
        z = parameter(points + 1j * eta)
        for _ in range(200):
            full = resolvent(z, m)
            residual = np.einsum("...aa->...a", full) - m
            if np.max(np.abs(residual), initial=0.0) <= 1e-11 * (1 + np.max(np.abs(m), initial=0.0)):
                break
            # d M_aa / d m_b = sum_c M_ac M_ca v_cb
            jacobian = eye - (full * np.swapaxes(full, -1, -2)) @ variance
            trial = m + np.linalg.solve(jacobian, residual[..., None])[..., 0]
            # a step that leaves the half plane of the solution is replaced by the averaged iteration
            inside = np.all(trial.imag < 0, axis=-1, keepdims=True)
            m = np.where(inside, trial, m + 0.5 * residual)
        else:
            raise ValueError(
                "The Dyson equation must be solvable to 1e-11 at every one of `points`. Got "
                f"{np.max(np.abs(residual)):.1e}: move the points off the singular ends of the spectrum."
            )
        if eta <= _RESOLUTION:
            return m, z
        eta = max(0.6 * eta, _RESOLUTION)
