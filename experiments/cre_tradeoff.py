r"""What do classification and reconstruction cost each other in one shared code?

The closed form over lambda and k on real images, and trained networks on top: linear autoencoder-classifiers
(encoder, shared code, decoder, head) by Adam and L-BFGS from a random start, whose loss must be the closed
form's, and ReLU ones by Adam, which may go below it. Claim ``cre-tradeoff``; the question is that of Rathjens
& Wiskott 2024 (arXiv:2401.09237).
"""

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from experiments._classifiers import AutoencoderClassifier, train_autoencoder
from experiments._images import images, pooled
from experiments._progress import Progress
from pctheory import Data, tradeoff_curve


@dataclass(frozen=True)
class Config:
    """Codes of 2 to 16 units; centred images and one-hot classes."""

    datasets: tuple[str, ...] = ("fashion-mnist", "digits")
    codes: tuple[int, ...] = (2, 4, 8, 16)
    weights: tuple[float, ...] = (0.0, 0.01, 0.03, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)
    trained: tuple[float, ...] = (0.0, 0.1, 0.5, 0.9, 1.0)
    samples: int = field(default=60000, metadata={"label": "images"})
    pool: int = field(default=1, metadata={"label": "pixels pooled"})
    steps: int = 4000
    iterations: int = 1000
    relu_code: int = 8
    relu_hidden: int = 128
    relu_steps: int = field(default=20000, metadata={"label": "ReLU training steps"})
    relu_images: int = field(default=60000, metadata={"label": "ReLU images"})
    shown: int = 6
    shown_code: int = 4
    seed: int = 0


PROFILES = {
    "quick": Config(
        datasets=("digits",),
        codes=(2, 4),
        trained=(0.1, 0.9),
        weights=(0.0, 0.1, 0.5, 0.9, 1.0),
        samples=200,
        pool=2,
        steps=300,
        iterations=100,
        relu_hidden=8,
        relu_steps=30,
        relu_images=100,
        shown=2,
    ),
    "cpu": Config(pool=2, steps=1500, iterations=200, samples=20000, relu_steps=1000, relu_images=8000),
    "full": Config(),
}


@lru_cache(maxsize=2)
def load(config: Config, name: str) -> tuple[Data, np.ndarray, int, str]:
    """The mean image, and data centred and scaled to mean squared norms of 1, so that errors are shares."""
    data, used = images(name, config.samples)
    x, side = pooled(data.x, config.pool if used != "digits" else 1)
    scale = np.sqrt(np.mean(np.sum((x - x.mean(0)) ** 2, 1)))
    y = data.y - data.y.mean(0)
    return Data((x - x.mean(0)) / scale, y / np.sqrt(np.mean(np.sum(y**2, 1)))), x.mean(0) / scale, side, used


def linear(config: Config, dataset: str, k: int, weight: float) -> dict[str, Any]:
    """A trained linear autoencoder-classifier on the compressed data, and the closed form."""
    data, _, _, _ = load(config, dataset)
    compact = data.compress()
    rng = np.random.default_rng([config.seed, k, int(1e6 * weight)])
    model = AutoencoderClassifier((data.x.shape[1], k), data.y.shape[1], rng=rng)
    x, y = torch.tensor(np.asarray(compact.x)), torch.tensor(np.asarray(compact.y))
    loss = train_autoencoder(
        model,
        x,
        y,
        weight,
        steps=config.steps,
        batch_size=len(x),
        learning_rate=1e-2,
        max_iterations=config.iterations,
        rng=rng,
    )
    with torch.no_grad():
        reconstruction, classification = (float(e) for e in model.errors(x, y))
    expected = tradeoff_curve(compact, k, [weight]).points[0]
    return {
        "loss": loss,
        "expected": expected.loss,
        "reconstruction": reconstruction,
        "classification": classification,
    }


def relu(config: Config, dataset: str, weight: float) -> dict[str, Any]:
    """A trained ReLU autoencoder-classifier, on the data it was trained on."""
    data, _, _, _ = load(config, dataset)
    rng = np.random.default_rng([config.seed, 1, int(1e6 * weight)])
    widths = (data.x.shape[1], config.relu_hidden, config.relu_code)
    model = AutoencoderClassifier(widths, data.y.shape[1], activation="relu", rng=rng)
    x, y = (torch.tensor(np.asarray(part)[: config.relu_images]) for part in (data.x, data.y))
    train_autoencoder(
        model, x, y, weight, max_iterations=0, steps=config.relu_steps, learning_rate=2e-3, rng=rng
    )
    with torch.no_grad():
        reconstruction, classification = (float(e) for e in model.errors(x, y))
    return {"reconstruction": reconstruction, "classification": classification}


def run(config: Config, progress: Progress) -> dict[str, Any]:
    """Curves of every data set and k, trained networks, and images reconstructed from the first set."""
    result: dict[str, Any] = {"weights": list(config.weights), "trained": list(config.trained)}
    for name in config.datasets:
        data, mean, side, used = load(config, name)
        compact = data.compress()
        curves = {k: tradeoff_curve(compact, k, config.weights) for k in config.codes}
        entry: dict[str, Any] = {
            "dataset": used,
            "side": side,
            "reconstruction": {k: curve.reconstruction for k, curve in curves.items()},
            "classification": {k: curve.classification for k, curve in curves.items()},
            "accuracy": {
                k: [_accuracy(data, point) for point in curve.points] for k, curve in curves.items()
            },
            "floor": float(np.trace(compact.residual_noise())),
        }
        if name == config.datasets[0]:
            entry |= _shown(config, data, mean, curves[config.shown_code])
        result[name] = entry
    cells = [
        {"dataset": config.datasets[0], "k": k, "weight": w} for k in config.codes for w in config.trained
    ]
    trained = progress.cells(linear, cells)
    size = (len(config.codes), len(config.trained))
    for key in ("loss", "expected", "reconstruction", "classification"):
        result[f"trained_{key}"] = np.array([cell[key] for cell in trained]).reshape(size)
    curved = progress.cells(relu, [{"dataset": config.datasets[0], "weight": w} for w in config.trained])
    for key in ("reconstruction", "classification"):
        result[f"relu_{key}"] = np.array([cell[key] for cell in curved])
    return result


def _accuracy(data: Data, point: Any) -> float:
    scores = data.x @ point.encoder.T @ point.classifier.T
    return float(np.mean(scores.argmax(1) == np.asarray(data.y).argmax(1)))


def _shown(config: Config, data: Data, mean: np.ndarray, curve: Any) -> dict[str, Any]:
    """Images and their reconstructions along lambda, one of each class."""
    labels = np.asarray(data.y).argmax(1)
    rows = [int(np.flatnonzero(labels == c)[0]) for c in range(config.shown)]
    x = np.asarray(data.x)[rows]
    levels = (0, len(curve.points) // 3, len(curve.points) // 2, len(curve.points) - 1)
    pictures = [x @ curve.points[i].encoder.T @ curve.points[i].decoder.T for i in levels]
    return {
        "images": x + mean,
        "levels": [curve.points[i].weight for i in levels],
        "pictures": np.array(pictures) + mean,
    }
