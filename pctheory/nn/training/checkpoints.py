"""Checkpoints: files that are whole at any moment, and know of which run they are."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..layers import Convolutional
from ..pcn import PCN
from .measures import Samples
from .settings import TrainingSettings

__all__ = ["identity_of", "read_checkpoint", "write_checkpoint"]

_DIGEST = hashlib.sha256().digest_size


def identity_of(
    settings: TrainingSettings, model: PCN, samples: Samples, initial: Sequence[Tensor]
) -> dict[str, str]:
    """What a checkpoint must have in common with the run that resumes it, by name: all but the length of the
    run.

    Returns
    -------
    dict of str
        One text for each property; those of the data and of the weights are digests.
    """
    names = [f.name for f in fields(settings) if f.name not in ("steps", "epochs")]
    network = (model.widths, model.activation.name, model.output, model.multipliers, model.skips)
    kernels = [repr(o) for o in model.operators if isinstance(o, Convolutional)]
    precisions = [p if isinstance(p, float) else _digest([p]) for p in model.precisions]
    return {
        **{f"`{name}`": repr(getattr(settings, name)) for name in names},
        "architecture and precisions": repr((network, kernels, precisions)),
        "data": _digest([part for part in samples if part is not None]),
        "initial weights": _digest(initial),
    }


def write_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Write a file with its digest at the end; the old one stays until the new one is whole."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    data = buffer.getvalue()
    partial = path.with_name(path.name + ".partial")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial.write_bytes(data + hashlib.sha256(data).digest())
    os.replace(partial, path)


def read_checkpoint(path: Path, identity: dict[str, str], device: torch.device) -> dict[str, Any]:
    """What was written, if it is whole and of the run with this identity."""
    raw = path.read_bytes()
    data, digest = raw[:-_DIGEST], raw[-_DIGEST:]
    if hashlib.sha256(data).digest() != digest:
        raise ValueError(
            f"`checkpoint` must be a file written by `train`. Got {path.name}, which is damaged or of "
            "another kind: "
            "delete it or name another file."
        )
    saved: dict[str, Any] = torch.load(io.BytesIO(data), map_location=device, weights_only=True)
    for name, value in identity.items():
        came = saved["identity"].get(name)
        if came != value:
            how = f"is {came} and not {value}" if name.startswith("`") else "differ from this run's"
            raise ValueError(
                "`checkpoint` must come from the same settings, data and initial weights. "
                f"Got {path.name}, whose {name} {how}: delete it or name another file."
            )
    return saved


def _digest(tensors: Sequence[Tensor]) -> str:
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(repr((tuple(tensor.shape), tensor.dtype)).encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
