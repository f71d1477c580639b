"""Networks without skips that start at a given scale, trained with accuracy and time recorded."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from pctheory import Data, load_dataset
from pctheory.nn import PCN, TrainingSettings, accuracy, train

__all__ = ["images", "network", "trained"]


def images(name: str, count: int) -> tuple[Data, Data]:
    """The first `count` training data, or all, and the test data; of the digits both are the former."""
    data = load_dataset(name)
    data = data.take(np.arange(min(count, data.num_samples)))
    return data, data if name == "digits" else load_dataset(name, "test")


def network(widths: Sequence[int], activation: str, scale: float, rng: np.random.Generator) -> PCN:
    r"""Gaussian weights of variance :math:`c^2 g / n_{l-1}`: g is 2 for ReLU (He), 1 otherwise (Xavier)."""
    gain = 2.0 if activation == "relu" else 1.0
    weights = [
        scale * (gain / before) ** 0.5 * rng.standard_normal((after, before))
        for before, after in pairwise(widths)
    ]
    return PCN.from_weights(weights, activation=activation, dtype=torch.float32)


def trained(
    model: PCN, data: Data, test: Data, settings: TrainingSettings, every: int, count: int
) -> dict[str, Any]:
    """Accuracy on the first `count` test images and processor seconds, every so many steps.

    A run that diverges keeps what it had; the rest is NaN.
    """
    accuracies, seconds, own = [np.nan] * (1 + (settings.steps or 0) // every), [0.0], 0.0
    x, y = test.x[:count], test.y[:count]
    accuracies[0], start = accuracy(model, x, y), time.process_time()

    def watch(step: int, model: PCN) -> None:
        nonlocal own
        if step % every == 0:
            before = time.process_time()
            accuracies[step // every] = accuracy(model, x, y)
            seconds.append(before - start - own)
            own += time.process_time() - before

    result: dict[str, Any] = {}
    try:
        found = train(model, data, settings, callback=watch)
        result["final"] = accuracy(model, test.x, test.y)
        result["passes"] = found.inference["passes"]
        result["precision"] = found.inference["precision"]
    except ValueError:
        result["final"] = np.nan
        result["passes"] = result["precision"] = np.full(settings.steps or 0, np.nan)
    seconds += [np.nan] * (len(accuracies) - len(seconds))
    return {**result, "accuracy": np.array(accuracies), "seconds": np.array(seconds)}
