"""Checks of the samples that callers pass to a network, and the network in one line."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .. import _check
from ..model import Precision

__all__ = [
    "checked_activities",
    "checked_dtype",
    "checked_labels",
    "checked_precisions",
    "checked_rows",
    "one_hot",
    "require_probabilities",
    "summary",
]


def checked_dtype(dtype: torch.dtype) -> None:
    """A type of numbers that inference can work with."""
    if dtype not in (torch.float32, torch.float64):
        raise TypeError(
            "`dtype` must be torch.float32 or torch.float64: errors are differences of activities, which "
            "need their digits. "
            f"Got {dtype}."
        )


def checked_rows(value: Any, name: str, layer: int, width: int, like: Tensor) -> Tensor:
    """`value` as rows (B, width) of the dtype and on the device of `like`."""
    if not isinstance(value, Tensor):
        value = torch.as_tensor(_check.to_numpy(value, name))
    rows = value.to(dtype=like.dtype, device=like.device)
    if rows.ndim != 2 or 0 in rows.shape:
        raise ValueError(
            f"`{name}` must be a two-dimensional array with at least one row and one column. "
            f"Got shape {tuple(rows.shape)}."
        )
    if rows.shape[1] != width:
        raise ValueError(
            f"`{name}` must have {width} columns, the width of layer {layer}. Got {rows.shape[1]}."
        )
    if not bool(torch.isfinite(rows).all()):
        count = int((~torch.isfinite(rows)).sum())
        raise ValueError(
            f"`{name}` must be finite. Got {count} NaN or infinite entries of {math.prod(rows.shape)}: "
            "clean the input or lower the scale."
        )
    return rows


def checked_activities(
    value: Any, widths: Sequence[int], like: Tensor, symbol: str = "z"
) -> tuple[Tensor, ...]:
    """`value` as tensors (z_0, ..., z_L) with one number of rows; `symbol` stands for z in messages."""
    depth = len(widths) - 1
    if not isinstance(value, list | tuple) or len(value) != depth + 1:
        came = len(value) if isinstance(value, list | tuple) else type(value).__name__
        raise ValueError(f"`activities` must be a tuple (z_0, ..., z_{depth}), one per layer. Got {came}.")
    z = [checked_rows(a, f"{symbol}_{layer}", layer, widths[layer], like) for layer, a in enumerate(value)]
    for layer, rows in enumerate(z):
        if rows.shape[0] != z[0].shape[0]:
            raise ValueError(
                f"`{symbol}_{layer}` must have shape ({z[0].shape[0]}, {widths[layer]}). "
                f"Got {tuple(rows.shape)}."
            )
    return tuple(z)


def checked_precisions(
    value: Sequence[Any] | None, widths: Sequence[int], output: str, like: Tensor
) -> list[float | Tensor]:
    """`value` as the precisions of layers 1..L: numbers, vectors and matrices."""
    depth = len(widths) - 1
    values = [None] * depth if value is None else list(value)
    if len(values) != depth:
        raise ValueError(f"`precisions` must be one per layer, {depth} of them. Got {len(values)}.")
    result: list[float | Tensor] = [
        Precision.of(1.0 if v is None else v, widths[layer], like, f"precisions[{layer - 1}]").value
        for layer, v in enumerate(values, start=1)
    ]
    if output == "cross-entropy" and not isinstance(result[-1], float):
        raise ValueError(
            f"`precisions[{depth - 1}]` must be a number with a cross-entropy output: it scales the "
            "cross-entropy. "
            "Got an array."
        )
    return result


def summary(
    layers: Sequence[object],
    activation: str,
    output: str,
    skips: tuple[bool, ...],
    counted: str,
    *,
    weighted: bool,
) -> str:
    """The one-line description of a network."""
    shown = layers if len(layers) <= 9 else (*layers[:3], "...", *layers[-2:])
    parts = [
        " -> ".join(str(n) for n in shown),
        activation,
        output,
        counted,
    ]
    if any(skips):
        listed = [layer for layer, skip in enumerate(skips, 1) if skip]
        parts.append(
            f"skips on layers {listed[0]}..{listed[-1]}"
            if len(listed) > 3 and listed == list(range(listed[0], listed[-1] + 1))
            else "skips on layers " + ", ".join(map(str, listed))
        )
    if weighted:
        parts.append("precisions")
    return f"PCN({', '.join(parts)})"


def one_hot(y: Any, classes: int) -> Any:
    """Class labels (B,) as one-hot rows; anything else as it is."""
    labels = torch.as_tensor(y if isinstance(y, Tensor) else np.asarray(y))
    if labels.ndim != 1 or labels.is_floating_point():
        return y
    if labels.numel() and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
        raise ValueError(
            f"`y` must hold class labels 0..{classes - 1}. Got {int(labels.min())}..{int(labels.max())}."
        )
    return nn.functional.one_hot(labels.long(), classes)


def checked_labels(labels: Any, samples: int, classes: int) -> Tensor:
    """The class of each sample, (B,), from labels or from rows whose largest entry is the class."""
    found = torch.as_tensor(labels if isinstance(labels, Tensor) else np.asarray(labels)).detach()
    if classes < 2:
        raise ValueError("`model` must have two or more outputs to tell classes apart. Got 1.")
    if found.shape not in ((samples,), (samples, classes)):
        raise ValueError(
            f"`labels` must hold one label per sample, shape ({samples},), or one row of {classes} outputs "
            "per sample, "
            f"shape ({samples}, {classes}). Got shape {tuple(found.shape)}."
        )
    if not bool(torch.isfinite(found).all()):
        raise ValueError("`labels` must be finite. Got NaN or infinite entries: clean them.")
    if found.ndim == 2:
        return found.argmax(-1)
    if (
        bool((found != found.round()).any())
        or not 0 <= float(found.min()) <= float(found.max()) <= classes - 1
    ):
        raise ValueError(
            f"`labels` must be class labels 0..{classes - 1}. Got values from {float(found.min()):g} to "
            f"{float(found.max()):g}."
        )
    return found.long()


def require_probabilities(rows: Tensor) -> None:
    """Rows that are distributions over the classes."""
    off = float((rows.sum(-1) - 1).abs().max())
    if off > 1e-5 or float(rows.min()) < 0:
        raise ValueError(
            "`y` must hold class labels or rows of probabilities with a cross-entropy output. "
            f"Got rows that miss a sum of 1 by up to {off:.1e}, and a smallest entry of "
            f"{float(rows.min()):.1e}."
        )
