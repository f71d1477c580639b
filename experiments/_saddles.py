"""Hessians measured by torch: automatic differentiation through inference, and none of the closed forms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pctheory import Data, load_dataset
from pctheory.datasets import available_datasets


def energy_after_inference(
    weights: Sequence[Tensor], x: Tensor, y: Tensor, *, num_steps: int, step: float
) -> Tensor:
    """The energy after `num_steps` Euler steps from the feedforward pass, differentiable in the weights."""
    z = [x]
    for matrix in weights[:-1]:
        z.append(z[-1] @ matrix.T)
    hidden = range(1, len(weights))
    for _ in range(num_steps):
        errors = _errors(weights, [*z, y])
        z = [x, *(z[l] - step * (errors[l - 1] - errors[l] @ weights[l]) for l in hidden)]
    return sum(((e**2).sum() for e in _errors(weights, [*z, y])), x.new_zeros(())) / (2 * len(x))


def _errors(weights: Sequence[Tensor], z: Sequence[Tensor]) -> list[Tensor]:
    return [above - below @ matrix.T for matrix, below, above in zip(weights, z[:-1], z[1:], strict=True)]


def loss(weights: Sequence[Tensor], x: Tensor, y: Tensor) -> Tensor:
    """The mean squared error with the energy's factor 1/2B."""
    prediction = x
    for matrix in weights:
        prediction = prediction @ matrix.T
    return ((y - prediction) ** 2).sum() / (2 * len(x))


def measured_hessian(
    objective: Callable[..., Tensor], weights: Sequence[np.ndarray], data: Data, **options: Any
) -> np.ndarray:
    """The dense Hessian of `energy_after_inference` or `loss`, in the order of ``net.flatten()``."""
    torch.set_num_threads(1)
    shapes = [w.shape for w in weights]
    sizes = [w.size for w in weights]
    flat = torch.from_numpy(np.concatenate([np.ravel(w) for w in weights]))
    x, y = torch.from_numpy(np.asarray(data.x)), torch.from_numpy(np.asarray(data.y))

    def value(vector: Tensor) -> Tensor:
        parts = torch.split(vector, sizes)
        return objective([p.reshape(s) for p, s in zip(parts, shapes, strict=True)], x, y, **options)

    # a forward derivative of the backward one, 256 directions at a time
    gradient = torch.func.grad(value)

    def column(direction: Tensor) -> Tensor:
        product: Tensor = torch.func.jvp(gradient, (flat,), (direction,))[1]
        return product

    rows = torch.func.vmap(column, chunk_size=256)(torch.eye(len(flat), dtype=flat.dtype))
    return np.asarray((rows + rows.T) / 2)


def batch_of(name: str, size: int, seed: int) -> tuple[str, Data]:
    """A random batch of a data set, or of the digits where that is not on the machine, and the name of what
    it is.

    The inputs are rotated into the space that the samples span. Weights of the first layer that act outside
    of it change nothing, and would only add zeros to a Hessian's spectrum.
    """
    used = name if name in available_datasets() else "digits"
    data = load_dataset(used)
    rows = np.random.default_rng([seed, len(name)]).choice(data.num_samples, size, replace=False)
    batch = data.take(rows)
    left, values, _ = np.linalg.svd(np.asarray(batch.x, dtype=np.float64), full_matrices=False)
    kept = values > max(batch.x.shape) * np.finfo(np.float64).eps * values[0]
    return used, Data(left[:, kept] * values[kept], np.asarray(batch.y, dtype=np.float64))
