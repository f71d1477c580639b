"""What a network's callers see at the door: rows of samples checked, and the network in one line."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .. import _check

__all__ = ["checked_rows", "one_hot", "require_probabilities", "summary"]


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


def summary(
    widths: tuple[int, ...],
    activation: str,
    output: str,
    skips: tuple[bool, ...],
    num_weights: int,
    *,
    weighted: bool,
) -> str:
    """The one-line description of a network."""
    shown = widths if len(widths) <= 9 else (*widths[:3], "...", *widths[-2:])
    parts = [
        " -> ".join(str(n) for n in shown),
        activation,
        output,
        f"{num_weights} weights",
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


def require_probabilities(rows: Tensor) -> None:
    """Rows that are distributions over the classes."""
    off = float((rows.sum(-1) - 1).abs().max())
    if off > 1e-5 or float(rows.min()) < 0:
        raise ValueError(
            "`y` must hold class labels or rows of probabilities with a cross-entropy output. "
            f"Got rows that miss a sum of 1 by up to {off:.1e}, and a smallest entry of {float(rows.min()):.1e}."
        )
