r"""What noise does to the weights after the map is learned: under gradient flow on the equilibrated energy
they inflate.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from .. import _check
from ..model import LinearPCN
from ..model.definitions import require_plain

__all__ = ["Inflation", "inflation"]


class Inflation(NamedTuple):
    r"""A chain at a late time of gradient flow on noisy data.

    Attributes
    ----------
    weight : float
        Every weight but the first, :math:`w_2, \dots, w_L`; the first keeps the product at its target.
    energy : float
        :math:`F^*`.
    """

    weight: float
    energy: float


def inflation(net: LinearPCN | Iterable[int], noise: float, time: float) -> Inflation:
    r"""The weights and the energy of a chain that has learned its map, to leading order at late times:

    .. math:: w_l \sim (2 \nu L t)^{1/(2L)} \quad (l \ge 2), \qquad
              F^* \sim \frac{\nu}{2} (2 \nu L t)^{-(L-1)/L}.

    Parameters
    ----------
    net : LinearPCN or widths (n_0, ..., n_L)
        Only its depth counts, L of 2 or more; unit precisions.
    noise : float
        :math:`\nu`, the second moment of the residual that no map can predict.
    time : float
        t, time of the flow.

    Returns
    -------
    Inflation

    Raises
    ------
    ValueError
        If there is only one weight.

    Notes
    -----
    Claim ``inflation`` (this work): formal, and confirmed by the flow.

    Examples
    --------
    >>> late = inflation((1, 1, 1), noise=2.0, time=2e3)  # t^(1/4) at two weights
    >>> round(late.weight, 4), round(late.energy, 6)
    (11.2468, 0.007906)
    """
    depth = require_plain(net).depth if isinstance(net, LinearPCN) else len(_check.widths(net)) - 1
    if depth < 2:
        raise ValueError(f"`net` must have 2 weights or more: a single one cannot inflate. Got {depth}.")
    nu, when = _check.positive(noise, "noise"), _check.positive(time, "time")
    square = (2 * nu * depth * when) ** (1 / depth)
    return Inflation(square**0.5, nu / 2 * square ** -(depth - 1))
