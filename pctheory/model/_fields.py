"""The fields of a network, checked: weights that fit together, and what each layer has beside them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from array_api_compat import array_namespace, device, is_numpy_array

from .. import _check
from .._check import Array
from .precision import Precision

__all__ = ["bias_of", "biases_of", "fixed_of", "multipliers_of", "precisions_of", "read_only", "weights_of"]


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
        Precision.of(
            1.0 if value is None else value,
            widths[layer],
            like,
            f"precisions[{layer - 1}]",
            zero_noise=layer < depth,
        )
        for layer, value in enumerate(values, start=1)
    )


def biases_of(biases: Sequence[Any] | None, weights: tuple[Array, ...]) -> tuple[Array, ...]:
    """One vector for each layer, zero where None is given; none at all without biases."""
    if biases is None:
        return ()
    values = _check.sequence(biases, "biases", "a list or tuple of vectors")
    if len(values) != len(weights):
        raise ValueError(f"`biases` must be one vector per layer, {len(weights)} of them. Got {len(values)}.")
    result = []
    for layer, (value, weight) in enumerate(zip(values, weights, strict=True), start=1):
        xp = array_namespace(weight)
        if value is None:
            value = xp.zeros(weight.shape[:1], dtype=weight.dtype, device=device(weight))
        result.append(bias_of(value, weight.shape[0], weight, f"b_{layer}", f"layer {layer}"))
    return tuple(result)


def bias_of(value: object, size: int, like: Array, name: str, where: str) -> Array:
    """A vector (size,) in the library and dtype of `like`."""
    vector = _check.finite(_check.as_array(value, name), name)
    xp = _check.same_namespace((like, vector), "the weights and the biases")
    if tuple(vector.shape) != (size,):
        raise ValueError(
            f"`{name}` must have shape ({size},): one number for each unit of {where}. Got "
            f"{tuple(vector.shape)}."
        )
    if vector.dtype != like.dtype:
        vector = xp.astype(vector, like.dtype)
    return read_only(vector) if is_numpy_array(vector) else vector


def fixed_of(
    fixed: Sequence[Any] | None, parameters: tuple[Array, ...], absent: Sequence[int]
) -> tuple[np.ndarray, ...]:
    """A mask for each parameter, True where it does not learn; none at all if all of them learn.

    `absent` are the layers, from 0, whose biases were not given: they do not learn.

    Returns
    -------
    masks
        Like the parameters.

    Raises
    ------
    ValueError
        If a mask does not fit its parameter.
    """
    depth = sum(p.ndim == 2 for p in parameters)
    values = [None] * depth if fixed is None else _check.sequence(fixed, "fixed", "a list or tuple of masks")
    if len(values) == depth:
        values = values + [None] * (len(parameters) - depth)
    if len(values) != len(parameters):
        raise ValueError(
            f"`fixed` must be one mask per layer, {depth} of them, or one per weight matrix and bias. Got "
            f"{len(values)}."
        )
    masks = []
    for index, (value, parameter) in enumerate(zip(values, parameters, strict=True)):
        mask = np.asarray(False if value is None else value)
        if mask.dtype != np.bool_ or mask.shape not in ((), tuple(parameter.shape)):
            raise ValueError(
                f"`fixed[{index}]` must be True, False or an array of booleans of shape "
                f"{tuple(parameter.shape)}, True where an entry does not learn. Got shape {mask.shape} and "
                f"dtype {mask.dtype}."
            )
        masks.append(np.broadcast_to(mask, parameter.shape).copy())
    for layer in absent:
        masks[depth + layer][:] = True
    return tuple(masks) if any(mask.any() for mask in masks) else ()
