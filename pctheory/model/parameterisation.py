r"""Parameterisations: multipliers :math:`a_l`, initial variances, learning rates, as one table of powers.

A parameterisation is data. Each multiplier is a product of powers of the layer's fan-in, of the number of
weight layers L (residual networks only) and of the richness :math:`\gamma` (output layer only).

========  ===============  =======================================  ===============  ===================
name      :math:`a_1`      :math:`a_l`, hidden                      :math:`a_L`      initial variance
========  ===============  =======================================  ===============  ===================
sp        1                1                                        1                1 / fan-in
ntp       D^-1/2           N^-1/2, with skips (N L)^-1/2            N^-1/2           1
mupc      D^-1/2           N^-1/2, with skips (N L)^-1/2            N^-1             1
========  ===============  =======================================  ===============  ===================

========  =====================  ==========================================  ====================
name      rate of descent        rate of Adam: first, hidden, last           hidden precision
========  =====================  ==========================================  ====================
sp        1                      1, 1, 1                                     L / alpha
ntp       1                      1, N^-1/2 or (N L)^-1/2, N^-1/2             L / alpha
mupc      gamma^2 N              1, N^-1/2 or (N L)^-1/2, 1                  L / (alpha N)
========  =====================  ==========================================  ====================

D is the input width and N the fan-in of the layer. The rates multiply a base rate. Under Adam a weight moves
by its rate whatever the gradient: the readout of "mupc", whose multiplier 1/N already keeps the output still,
takes the base rate as it is, and so does the first layer, whose fan-in does not grow. With the hidden
precision of the last column, for an output precision of 1, the distance of the rescaling S from the identity
is set by alpha, at any width and depth (claim ``s-stable-limit``). Sources: Innocenti et al. 2025
(arXiv:2505.13124), who call Depth-muP applied to predictive coding muPC; Yang et al. 2023 (arXiv:2310.02244).

Biases have no multiplier and start at zero (``init="torch"``: as those of `torch.nn.Linear`). Their rates are
those at which they move the outputs as much as the weights of their layer do: see `bias_rate_scales`.

Convolutions. The unit of channel i at position p predicts :math:`a \sum_{c,q} w_{icq} \phi_{c,p+q}`, a sum
over the :math:`f = C k^2` weights of C channels below and a kernel of side k, which are independent at first.
The variance of the sum is what the table sets, so that D and N are f there, as in the dense case they are the
width below. Positions share weights, which correlates units, not the terms of one sum. Near a border with
padding some terms are zero, and the variance is smaller.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from .. import _check

__all__ = [
    "INITIALISATIONS",
    "PARAMETERISATIONS",
    "Parameterisation",
    "bias_rate_scales",
    "hidden_precision",
    "initial_weights",
    "learning_rate_scale",
    "learning_rate_scales",
    "multipliers",
    "skip_pattern",
]


@dataclass(frozen=True)
class Parameterisation:
    """One row of the table: powers of the fan-in and of the depth.

    Attributes
    ----------
    first, hidden, last : float
        Power of the fan-in in the multiplier of the first, hidden and last layer.
    depth : float
        Power of L in the hidden multipliers of a network with skips.
    variance : float
        Power of the fan-in in the variance of the initial weights.
    sgd_width, sgd_gamma, adam_width, adam_depth : float
        Powers of the width N, of gamma and (with skips) of L in the learning rates of gradient descent and of
        Adam, there of the hidden layers.
    adam_last : float
        Power of the fan-in of the last layer in its learning rate of Adam. That of the first layer is 1.
    precision_width : float
        Power of the width in the hidden precision; that of L is 1.
    """

    first: float
    hidden: float
    last: float
    depth: float
    variance: float
    sgd_width: float
    sgd_gamma: float
    adam_width: float
    adam_depth: float
    adam_last: float
    precision_width: float


PARAMETERISATIONS: dict[str, Parameterisation] = {
    "sp": Parameterisation(0, 0, 0, 0, -1, 0, 0, 0, 0, 0, 0),
    "ntp": Parameterisation(-0.5, -0.5, -0.5, -0.5, 0, 0, 0, -0.5, -0.5, -0.5, 0),
    "mupc": Parameterisation(-0.5, -0.5, -1, -0.5, 0, 1, 2, -0.5, -0.5, 0, -1),
}

INITIALISATIONS = ("normal", "torch", "orthogonal")


def skip_pattern(widths: Sequence[int], skips: bool | Iterable[bool]) -> tuple[bool, ...]:
    r"""The indicator :math:`\tau_l` of an identity skip, one per layer 1..L.

    `True` puts a skip on every hidden layer 2..L-1; the first and the last layer never have one.

    Returns
    -------
    tuple of bool
        L of them.

    Raises
    ------
    ValueError
        If there is not one boolean per layer, or a skip lies on the first, the last or a layer that is not
        square.
    """
    depth = len(_check.widths(widths)) - 1
    if isinstance(skips, bool | np.bool_):
        pattern = tuple(bool(skips) and 1 < layer < depth for layer in range(1, depth + 1))
    else:
        entries = _check.sequence(skips, "skips", "a boolean or a list or tuple of them")
        pattern = tuple(_check.flag(skip, f"skips[{i}]") for i, skip in enumerate(entries))
    if len(pattern) != depth:
        raise ValueError(
            f"`skips` must be one boolean or one per layer, {depth} of them. Got {len(pattern)}."
        )
    for layer, skip in enumerate(pattern, start=1):
        if skip and layer in (1, depth):
            raise ValueError(
                f"`skips` must be False on the first and on the last layer. Got a skip on layer {layer} of "
                f"{depth}."
            )
        if skip and widths[layer] != widths[layer - 1]:
            raise ValueError(
                f"`skips` must stay on square layers: the identity needs equal widths. Layer {layer} maps "
                f"{widths[layer - 1]} units to {widths[layer]}."
            )
    return pattern


def multipliers(
    widths: Iterable[int],
    parameterisation: str = "sp",
    *,
    skips: bool | Iterable[bool] = False,
    gamma: float = 1.0,
    fan_ins: Iterable[int] | None = None,
) -> tuple[float, ...]:
    r"""The multipliers :math:`a_1, \dots, a_L` of a parameterisation.

    A network of one layer has no hidden width to scale with: its layer is a first layer (and divided by
    gamma).

    Parameters
    ----------
    widths : (n_0, ..., n_L)
        Units of each layer, input first.
    parameterisation : "sp", "ntp" or "mupc"
        Which multipliers and initial variances.
    skips : bool, or one per layer
        Whether the hidden layers are residual: then they carry the factor :math:`L^{-1/2}` of Depth-muP.
    gamma : float
        Richness: :math:`a_L` is divided by it.
    fan_ins : one per layer, optional
        Fan-in of the layers; (n_0, ..., n_{L-1}) when None, what it is without convolutions.

    Returns
    -------
    tuple of float
        L of them.

    Examples
    --------
    >>> multipliers((4, 9, 9, 1), "mupc")
    (0.5, 0.333..., 0.111...)
    """
    sizes = _check.widths(widths)
    powers = PARAMETERISATIONS[_check.choice(parameterisation, "parameterisation", PARAMETERISATIONS)]
    richness = _check.positive(gamma, "gamma")
    pattern = skip_pattern(sizes, skips)
    fans = _fan_ins(sizes, fan_ins)
    depth = len(sizes) - 1
    result = []
    for layer in range(1, depth + 1):
        power = powers.first if layer == 1 else powers.last if layer == depth else powers.hidden
        factor = float(fans[layer - 1]) ** power
        if 1 < layer < depth and any(pattern):
            factor *= float(depth) ** powers.depth
        if layer == depth:
            factor /= richness
        result.append(factor)
    return tuple(result)


def initial_weights(
    widths: Iterable[int],
    parameterisation: str = "sp",
    *,
    init: str | float | None = None,
    rng: np.random.Generator | int,
) -> tuple[np.ndarray, ...]:
    r"""Random weights :math:`W_l` of shape (n_l, n_{l-1}), float64.

    Parameters
    ----------
    widths : (n_0, ..., n_L)
        Units of each layer, input first.
    parameterisation : "sp", "ntp" or "mupc"
        Which multipliers and initial variances.
    init : None, float, "normal", "torch" or "orthogonal"
        None: Gaussian with the parameterisation's own variance. A number: the standard deviation of every
        entry. "normal": Gaussian with variance 1 / fan-in. "torch": uniform on :math:`\pm` fan-in^-1/2, the
        default of `torch.nn.Linear`, variance 1 / (3 fan-in). "orthogonal": uniform over matrices with
        orthonormal rows or columns (Haar).
    rng : numpy.random.Generator or int
        Generator, or its seed.

    Returns
    -------
    tuple of (n_l, n_{l-1}), l = 1..L
        Numpy float64.
    """
    sizes = _check.widths(widths)
    _check.memory(sum(a * b for a, b in pairwise(sizes)), "widths", "take narrower layers")
    powers = PARAMETERISATIONS[_check.choice(parameterisation, "parameterisation", PARAMETERISATIONS)]
    generator = _check.generator(rng)
    if isinstance(init, str):
        _check.choice(init, "init", INITIALISATIONS)
    elif init is not None:
        _check.non_negative(init, "init")

    def draw(fan_out: int, fan_in: int) -> np.ndarray:
        shape = (fan_out, fan_in)
        if init == "torch":
            bound = fan_in**-0.5
            return generator.uniform(-bound, bound, shape)
        if init == "orthogonal":
            tall = generator.standard_normal((max(shape), min(shape)))
            q, r = np.linalg.qr(tall)
            q = q * np.sign(np.diagonal(r))  # the sign makes the distribution Haar's
            return q if fan_out >= fan_in else q.T
        if init == "normal":
            std = fan_in**-0.5
        elif init is None:
            std = float(fan_in) ** (powers.variance / 2)
        else:
            std = float(init)
        return std * generator.standard_normal(shape)

    return tuple(draw(out, into) for into, out in pairwise(sizes))


def learning_rate_scale(
    widths: Iterable[int],
    parameterisation: str,
    optimiser: str,
    *,
    skips: bool | Iterable[bool] = False,
    gamma: float = 1.0,
    fan_ins: Iterable[int] | None = None,
) -> float:
    r"""The factor that turns a base learning rate :math:`\eta_0` into that of the hidden layers.

    For "mupc": :math:`\gamma^2 N` under gradient descent; :math:`(N L)^{-1/2}` with skips and
    :math:`N^{-1/2}` without under Adam. N is the widest hidden layer (of a network of one layer, the input),
    with `fan_ins` the largest fan-in above the first layer, which without convolutions is the same number.
    "sp" is not scaled.

    Parameters
    ----------
    widths : (n_0, ..., n_L)
        Units of each layer, input first.
    parameterisation : "sp", "ntp" or "mupc"
        Which multipliers and initial variances.
    optimiser : "sgd" or "adam"
        Gradient descent or Adam.
    skips : bool, or one per layer
        Whether the hidden layers are residual.
    gamma : float
        :math:`\gamma`, the richness.
    fan_ins : see `multipliers`
        As in `multipliers`.

    Returns
    -------
    float
        The factor of :math:`\eta_0`.

    Notes
    -----
    Convolutions. Under Adam every weight moves by about :math:`\eta`, and a unit, which sums f of them times
    :math:`a = f^{-1/2}`, by at most :math:`f^{1/2}\eta`: with the largest fan-in for N no layer moves by more
    than :math:`\eta_0`. Under gradient descent the readout, :math:`a_L = 1/(\gamma f_L)`, sends a gradient of
    size :math:`1/(\gamma f_L)` to each unit, which the step on its f weights moves by :math:`\eta a^2 f =
    \eta` times that. With :math:`N = f_L` this is of size :math:`\gamma \eta_0`, as in the dense case, but
    once for every position that shares the weights, as far as their gradients agree. The number of positions
    does not grow with the channels: :math:`\eta_0` carries over from few channels to many, not from dense
    layers to convolutions.

    Some published rates are already those of the optimiser: the 0.1 of muPC with Adam is to be used as it is
    (figure ``mupc-depth`` shows both readings).
    """
    sizes = _check.widths(widths)
    powers = PARAMETERISATIONS[_check.choice(parameterisation, "parameterisation", PARAMETERISATIONS)]
    _check.choice(optimiser, "optimiser", ("sgd", "adam"))
    richness = _check.positive(gamma, "gamma")
    pattern = skip_pattern(sizes, skips)
    fans = _fan_ins(sizes, fan_ins)
    width = float(max(fans[1:], default=fans[0]))
    if optimiser == "sgd":
        return width**powers.sgd_width * richness**powers.sgd_gamma
    depth = float(len(sizes) - 1) ** powers.adam_depth if any(pattern) else 1.0
    return math.prod((width**powers.adam_width, depth))


def learning_rate_scales(
    widths: Iterable[int],
    parameterisation: str,
    optimiser: str,
    *,
    skips: bool | Iterable[bool] = False,
    gamma: float = 1.0,
    fan_ins: Iterable[int] | None = None,
) -> tuple[float, ...]:
    r"""The factors of a base learning rate :math:`\eta_0`, layer by layer.

    Under gradient descent all layers have that of `learning_rate_scale`. Under Adam the hidden layers have
    it, the first layer has 1, and the last layer 1 in "mupc" and :math:`N^{-1/2}` in "ntp".

    Parameters
    ----------
    widths, parameterisation, optimiser, skips, gamma, fan_ins : see `learning_rate_scale`
        Of the network.

    Returns
    -------
    tuple of float
        L of them.

    Examples
    --------
    >>> learning_rate_scales((784, 4, 4, 4, 10), "mupc", "adam", skips=True)
    (1.0, 0.25, 0.25, 1.0)
    """
    sizes = _check.widths(widths)
    scale = learning_rate_scale(sizes, parameterisation, optimiser, skips=skips, gamma=gamma, fan_ins=fan_ins)
    depth = len(sizes) - 1
    if optimiser == "sgd":
        return (scale,) * depth
    fan_in = float(_fan_ins(sizes, fan_ins)[-1])
    last = fan_in ** PARAMETERISATIONS[parameterisation].adam_last
    return (1.0, *[scale] * (depth - 2), last)[:depth]


def bias_rate_scales(
    widths: Iterable[int],
    parameterisation: str,
    optimiser: str,
    *,
    skips: bool | Iterable[bool] = False,
    gamma: float = 1.0,
    fan_ins: Iterable[int] | None = None,
) -> tuple[float, ...]:
    r"""The factors of a base learning rate :math:`\eta_0` for the biases, layer by layer.

    A bias is a weight from a unit that is always 1, and its multiplier is 1. Below the output it has the rate
    of a first layer, whose fan-in does not grow: that of `learning_rate_scale` under gradient descent, 1
    under Adam. In a residual network of "ntp" or "mupc" the hidden layers have it times 1 / L, because L of
    them add up. The output's bias has 1.

    Parameters
    ----------
    widths, parameterisation, optimiser, skips, gamma, fan_ins : see `learning_rate_scale`
        Of the network.

    Returns
    -------
    tuple of float
        L of them.

    Notes
    -----
    Under gradient descent in "mupc" the gradient of a hidden bias is of size :math:`1/(\gamma N)`, and a step
    of :math:`\gamma^2 N` times it moves the N units by :math:`\gamma` and the output, :math:`1/(\gamma N)`
    times a sum of N, by 1: what the step on the weights does, at any width.

    Examples
    --------
    >>> bias_rate_scales((784, 4, 4, 4, 10), "mupc", "adam", skips=True)
    (1.0, 0.25, 0.25, 1.0)
    >>> bias_rate_scales((784, 4, 4, 4, 10), "mupc", "sgd")
    (4.0, 4.0, 4.0, 1.0)
    """
    sizes = _check.widths(widths)
    scale = learning_rate_scale(sizes, parameterisation, optimiser, skips=skips, gamma=gamma, fan_ins=fan_ins)
    depth = len(sizes) - 1
    below = scale if optimiser == "sgd" else 1.0
    power = 2 * PARAMETERISATIONS[parameterisation].depth if any(skip_pattern(sizes, skips)) else 0.0
    return (*(below, *[below * float(depth) ** power] * (depth - 2))[: depth - 1], 1.0)


def hidden_precision(
    widths: Iterable[int],
    parameterisation: str,
    *,
    skips: bool | Iterable[bool] = False,
    alpha: float = 1 / 64,
) -> float:
    r"""The hidden precision that keeps the rescaling S near the identity, for an output precision of 1.

    It is ``L / (alpha N)`` for "mupc", N the width of the last hidden layer, and ``L / alpha`` for "ntp" and
    for "sp" without skips (claim ``s-stable-limit``). A small ``alpha`` brings the gradient of predictive
    coding near that of backpropagation: they differ by a share of this order.

    Parameters
    ----------
    widths : (n_0, ..., n_L)
        Units of each layer, input first.
    parameterisation : "sp", "ntp" or "mupc"
        Of the network.
    skips : bool, or one per layer
        Whether the hidden layers are residual.
    alpha : float
        The distance from the identity: at initialisation and without skips S is about ``1 + alpha``.

    Returns
    -------
    float
        :math:`\pi`, at least 1.

    Raises
    ------
    ValueError
        For "sp" with skips, where S grows exponentially with the depth.

    Examples
    --------
    >>> hidden_precision((784, *[128] * 30, 10), "mupc", skips=True)
    15.5
    """
    sizes = _check.widths(widths)
    powers = PARAMETERISATIONS[_check.choice(parameterisation, "parameterisation", PARAMETERISATIONS)]
    if parameterisation == "sp" and any(skip_pattern(sizes, skips)):
        raise ValueError(
            "`parameterisation` must be 'ntp' or 'mupc' with skips: in 'sp' the rescaling grows "
            "exponentially with the depth, which no power of it mends. Got 'sp'."
        )
    share = _check.positive(alpha, "alpha")
    return max((len(sizes) - 1) * float(sizes[-2]) ** powers.precision_width / share, 1.0)


def _fan_ins(sizes: tuple[int, ...], fan_ins: Iterable[int] | None) -> tuple[int, ...]:
    """One per layer 1..L."""
    if fan_ins is None:
        return sizes[:-1]
    fans = tuple(_check.count(fan_in, "fan_ins", 1) for fan_in in _check.sequence(fan_ins, "fan_ins"))
    if len(fans) != len(sizes) - 1:
        raise ValueError(f"`fan_ins` must be one per layer, {len(sizes) - 1} of them. Got {len(fans)}.")
    return fans
