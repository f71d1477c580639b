"""Toy problems by name, and what a user brings: a network, a torch module, data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .. import _check
from ..model import Data, LinearPCN

__all__ = ["PROBLEMS", "problem"]

Problem = tuple[LinearPCN, Data]


def problem(name: str) -> Problem:
    """A small network with its data, by name.

    Parameters
    ----------
    name : str
        One of `PROBLEMS`.

    Returns
    -------
    net, data

    Examples
    --------
    >>> problem("two weights")
    (LinearPCN(1 -> 1 -> 1, 2 weights), Data(64 samples, 1 -> 1))
    """
    return _MAKERS[_check.choice(name, "name", PROBLEMS)]()


def given(net: Any, data: Data | None, default: str) -> Problem:
    """The user's network, or a torch module's, and data; without data a teacher of its widths answers.

    Parameters
    ----------
    net : LinearPCN or torch.nn.Module, optional
        Linear, without biases.
    data : Data, optional
        Of its widths.
    default : str
        The toy problem where neither is given.

    Returns
    -------
    net, data
        Numpy; the data compressed to at most n_0 + n_L rows.

    Raises
    ------
    TypeError
        If there are data and no network.
    ValueError
        If the widths do not fit the data, or the network has biases.
    """
    if net is None and data is None:
        net, data = problem(default)
    elif net is None:
        raise TypeError("`net` must be given where `data` are. Got None: pass LinearPCN.zeros(widths).")
    own = net if isinstance(net, LinearPCN) else LinearPCN.from_torch(net)
    own = own.to_numpy()
    if own.biases:
        raise ValueError(
            "`net` must have no biases in a scene. Got some: pass `net.without_biases()`, or a module made "
            "with bias=False."
        )
    ends = own.widths[0], own.widths[-1]
    if data is None:
        data = _taught(ends, noise=0.1)
    rows = _check.instance(data, "data", Data).to_numpy()
    columns = rows.x.shape[1], rows.y.shape[1]
    if columns != ends:
        raise ValueError(
            f"`data` must have {ends[0]} columns of x and {ends[1]} of y, as `net` has units there. "
            f"Got {columns[0]} and {columns[1]}."
        )
    return own, rows.compress()


def _taught(ends: tuple[int, int], noise: float = 0.0) -> Data:
    teacher = np.random.default_rng(0).standard_normal(ends[::-1]) / np.sqrt(ends[0])
    return Data.teacher(teacher, 256, noise=noise, rng=1)


def _chain(depth: int) -> Callable[[], Problem]:
    return lambda: (LinearPCN.zeros((1,) * (depth + 1)), Data.toy(rng=0))


def _random(widths: tuple[int, ...], **options: Any) -> Callable[[], Problem]:
    return lambda: (LinearPCN.random(widths, rng=0, **options), _taught((widths[0], widths[-1]), noise=0.1))


def _flat_saddle() -> Problem:
    """Only the middle layer has weights: a saddle of rank zero, flat for the loss and strict for F*."""
    net = LinearPCN.zeros((3, 3, 3, 2))
    middle = np.random.default_rng(0).standard_normal((3, 3)) / np.sqrt(3)
    return net.replace(weights=[net.weights[0], middle, net.weights[2]]), _taught((3, 2))


_MAKERS: dict[str, Callable[[], Problem]] = {
    "two weights": _chain(2),
    "chain of three": _chain(3),
    "chain of five": _chain(5),
    "flat saddle": _flat_saddle,
    "random network": _random((4, 6, 6, 2)),
    "deep network": _random((4, *[6] * 9, 2), parameterisation="mupc", skips=True),
}

PROBLEMS = tuple(_MAKERS)
"""The names of the toy problems."""
