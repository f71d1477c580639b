"""What is measured of a network in training: accuracy and loss, and how far the weights have moved."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .._rows import checked_labels
from ..pcn import PCN

__all__ = ["Samples", "accuracy", "mean_loss", "share_whole", "weight_changes", "weight_norms"]

ROWS = 4096
"""Most samples of one forward pass."""


class Samples(NamedTuple):
    """Checked inputs (B, n_0), targets (B, n_L), and which are `observed`, (B, n_L); None: all of them."""

    x: Tensor
    y: Tensor
    observed: Tensor | None = None

    def take(self, rows: Tensor | slice) -> Samples:
        """The samples with these row numbers, or of a slice."""
        return Samples(self.x[rows], self.y[rows], None if self.observed is None else self.observed[rows])


def accuracy(model: PCN, x: Any, labels: Any) -> float:
    """Share of samples whose largest output is the right one.

    Parameters
    ----------
    model : PCN
        The network.
    x : (B, n_0)
        Inputs, one sample a row.
    labels : (B,) class labels 0..n_L - 1, or (B, n_L) rows whose largest entry is the class
        The right classes.

    Returns
    -------
    share : float in [0, 1]

    Raises
    ------
    ValueError
        If `labels` are neither.

    Examples
    --------
    >>> model = PCN.from_weights([[[1.0], [2.0]]])
    >>> accuracy(model, [[1.0], [-1.0]], [1, 1])
    0.5
    """
    inputs = model.inputs(x)
    return _share_right(
        model, inputs, checked_labels(labels, inputs.shape[0], model.widths[-1]).to(inputs.device)
    )


def _share_right(model: PCN, x: Tensor, labels: Tensor) -> float:
    """`accuracy` of checked inputs and labels (B,)."""
    with torch.no_grad():
        right = sum(
            int((model(rows).argmax(-1) == wanted).sum())
            for rows, wanted in zip(torch.split(x, ROWS), torch.split(labels, ROWS), strict=True)
        )
    return right / x.shape[0]


def share_whole(model: PCN, samples: Samples) -> float:
    """`accuracy` on the samples of which no target is missing; NaN if there is none."""
    if samples.observed is not None:
        samples = samples.take(samples.observed.all(-1))
    return _share_right(model, samples.x, samples.y.argmax(-1)) if len(samples.x) else math.nan


def mean_loss(model: PCN, samples: Samples) -> float:
    """`PCN.loss` of many samples."""
    count = len(samples.x)
    with torch.no_grad():
        total = 0.0
        for start in range(0, count, ROWS):
            part = samples.take(slice(start, start + ROWS))
            total += float(model.loss(*part)) * len(part.x)
    return total / count


def weight_norms(weights: Sequence[Tensor]) -> list[float]:
    """Euclidean norm of each layer's weights."""
    return [float(torch.linalg.vector_norm(w)) for w in weights]


def weight_changes(weights: Sequence[Tensor], initial: Sequence[Tensor]) -> list[float]:
    r""":math:`|W_l - W_l(0)| / |W_l(0)|` of each layer."""
    return [
        float(torch.linalg.vector_norm(w - w0))
        / max(float(torch.linalg.vector_norm(w0)), torch.finfo(w.dtype).tiny)
        for w, w0 in zip(weights, initial, strict=True)
    ]
