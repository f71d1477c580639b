"""The fields of a network, checked: weights that fit together, a multiplier and a precision per layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from array_api_compat import is_numpy_array

from .. import _check
from .._check import Array
from .precision import Precision

__all__ = ["multipliers_of", "precisions_of", "read_only", "weights_of"]


def weights_of(weights: Sequence[Array]) -> tuple[Array, ...]:
    if not isinstance(weights, list | tuple):
        raise TypeError(
            f"`weights` must be a list or tuple of matrices, one per layer. Got {type(weights).__name__}."
        )
    if not weights:
        raise ValueError("`weights` must hold at least one matrix. Got an empty sequence.")
    matrices = tuple(_check.matrix(w, f"W_{layer}") for layer, w in enumerate(weights, start=1))
    _check.same_namespace(matrices, "weights")
    for layer in range(1, len(matrices)):
        out, into = matrices[layer].shape
        width = matrices[layer - 1].shape[0]
        if into != width:
            raise ValueError(
                f"`W_{layer + 1}` must have shape ({out}, {width}): its input is the output of `W_{layer}`. "
                f"Got ({out}, {into})."
            )
    return tuple(read_only(m) if is_numpy_array(m) else m for m in matrices)


def read_only(matrix: np.ndarray) -> np.ndarray:
    if matrix.flags.writeable or matrix.base is not None:  # a view follows the array that owns its memory
        matrix = matrix.copy()
        matrix.flags.writeable = False
    return matrix


def multipliers_of(multipliers: Sequence[float] | None, depth: int) -> tuple[float, ...]:
    if multipliers is None:
        return (1.0,) * depth
    values = tuple(
        _check.real(a, f"multipliers[{i}]") for i, a in enumerate(_check.sequence(multipliers, "multipliers"))
    )
    if len(values) != depth:
        raise ValueError(f"`multipliers` must be one number per layer, {depth} of them. Got {len(values)}.")
    return values


def precisions_of(
    precisions: Sequence[Any] | None, widths: tuple[int, ...], like: Array
) -> tuple[Precision, ...]:
    depth = len(widths) - 1
    values = [None] * depth if precisions is None else _check.sequence(precisions, "precisions")
    if len(values) != depth:
        raise ValueError(f"`precisions` must be one per layer, {depth} of them. Got {len(values)}.")
    return tuple(
        Precision.of(1.0 if value is None else value, widths[layer], like, f"precisions[{layer - 1}]")
        for layer, value in enumerate(values, start=1)
    )
