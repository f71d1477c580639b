r"""Can a predictive coding network classify and reconstruct, and what does its learning rule choose?

Generative networks from a label through codes to an image, trained on real images by the local rule, by
backpropagation of lambda * reconstruction + (1 - lambda) * cross-entropy through inference, and, as the third
arm, bidirectional networks by the local rule. Test images are classified by inferring their label. Linear
networks settle exactly, tanh ones by unrolled descent. Ceiling: regression from the pixels. Then images of
which the lower half is missing. Claim ``pcn-tradeoff``.
"""

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from experiments._classifiers import GenerativeClassifier, TradeoffSettings, train_tradeoff
from experiments._images import images, pooled
from experiments._progress import Progress
from pctheory import LinearPCN, clamped_equilibrium
from pctheory.nn import PCN


@dataclass(frozen=True)
class Config:
    """One layer of codes; Adam with weight decay, which the local rule needs on noisy data."""

    dataset: str = "mnist"
    samples: int = field(default=60000, metadata={"label": "images"})
    tests: int = field(default=10000, metadata={"label": "test images"})
    pool: int = field(default=1, metadata={"label": "pixels pooled"})
    code: int = field(default=64, metadata={"label": "code units"})
    weights: tuple[float, ...] = (0.0, 0.03, 0.1, 0.3, 0.5, 0.7, 0.9, 0.97, 1.0)
    balances: tuple[float, ...] = (0.1, 1.0, 10.0)
    steps: int = field(default=5000, metadata={"label": "training steps"})
    nonlinear_weights: tuple[float, ...] = (0.0, 0.03, 0.1, 0.3, 0.5, 0.7, 0.9, 0.97, 1.0)
    nonlinear_steps: int = field(default=5000, metadata={"label": "tanh training steps"})
    inference_steps: int = 30
    batch_size: int = 128
    learning_rate: float = 3e-3
    weight_decay: float = 1e-2
    prior: float = 0.1
    seeds: int = 3
    seed: int = 0


PROFILES = {
    "quick": Config(
        dataset="digits",
        samples=300,
        tests=100,
        pool=1,
        code=6,
        weights=(0.0, 0.3, 1.0),
        balances=(1.0,),
        steps=60,
        nonlinear_weights=(0.3,),
        nonlinear_steps=8,
        inference_steps=5,
        batch_size=64,
        learning_rate=2e-2,
        seeds=1,
    ),
    "cpu": Config(
        samples=4000,
        tests=1000,
        pool=2,
        code=16,
        steps=250,
        nonlinear_weights=(0.0, 0.3, 0.9),
        nonlinear_steps=100,
        inference_steps=15,
        learning_rate=1e-2,
        batch_size=64,
    ),
    "full": Config(),
}


@lru_cache(maxsize=2)
def load(config: Config) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, int, str]:
    """Training and test images (centred, unit variance of a pixel on average), one-hot labels, side, name."""
    train, used = images(config.dataset, config.samples)
    test, _ = images(config.dataset, config.tests, "test")
    size = config.pool if used != "digits" else 1
    (x, side), (x_test, _) = pooled(np.asarray(train.x), size), pooled(np.asarray(test.x), size)
    centre, scale = x.mean(0), np.sqrt(np.mean(np.var(x, 0)))
    parts = ((x - centre) / scale, train.y, (x_test - centre) / scale, test.y)
    return (*(torch.tensor(np.asarray(part)) for part in parts), side, used)  # type: ignore[return-value]


def train(config: Config, arm: str, weight: float, seed: int, tanh: bool) -> tuple[Any, Any]:
    """A trained model and its losses."""
    x, y, *_ = load(config)
    rng = np.random.default_rng([config.seed, seed])
    activation = "tanh" if tanh else "linear"
    widths = (y.shape[1], config.code, x.shape[1])
    options: dict[str, Any] = {"activation": activation, "rng": rng, "dtype": torch.float64}
    down = PCN(widths, init=0.1, **options)
    both = arm == "bidirectional"
    up = PCN(widths[::-1], init=0.03, **options) if both else None
    model = GenerativeClassifier(
        down, up, prior=config.prior, balance=(1.0, weight if both else 1.0), num_steps=config.inference_steps
    )
    settings = TradeoffSettings(
        rule="through-inference" if arm == "through-inference" else "local",
        weight=weight if arm == "through-inference" else 0.5,
        steps=config.nonlinear_steps if tanh else config.steps,
        batch_size=config.batch_size, learning_rate=config.learning_rate, weight_decay=config.weight_decay,
        seed=seed,
    )  # fmt: skip
    return model, train_tradeoff(model, x, y, settings)


def cell(config: Config, arm: str, weight: float, seed: int, tanh: bool) -> dict[str, Any]:
    """Test accuracy, reconstruction error and, for the first seed, five reconstructed test images."""
    *_, x_test, y_test, _, _ = load(config)
    model, run_ = train(config, arm, weight, seed, tanh)
    accuracy, reconstruction = model.evaluate(x_test, y_test)
    result: dict[str, Any] = {
        "accuracy": accuracy, "reconstruction": reconstruction, "loss": float(np.mean(run_.losses[-20:])),
        "weight_norm": float(np.sqrt(sum(float(torch.sum(w.detach() ** 2)) for w in model.down.weights))),
    }  # fmt: skip
    if seed == 0 and not tanh:
        with torch.no_grad():
            z = model.settle(x_test[:5])
            result["pictures"] = model.down.prediction(2, z[1]).numpy()
            if arm == "local":
                result["filled"] = _filled(model, x_test[:5].numpy())
    return result


def _filled(model: GenerativeClassifier, x: np.ndarray) -> np.ndarray:
    """The upper half of the pixels clamped, the rest inferred, exactly; label and codes free."""
    net = LinearPCN.from_torch(model.down)
    mask = np.arange(x.shape[1]) < x.shape[1] // 2
    given = (np.zeros((len(x), net.widths[0])), np.zeros((len(x), net.widths[1])), np.where(mask, x, 0.0))
    return np.asarray(clamped_equilibrium(net, given, (False, False, mask), prior=model.prior).activities[2])


def run(config: Config, progress: Progress) -> dict[str, Any]:
    """All arms; (weights, seeds) each."""
    x, y, x_test, y_test, side, used = load(config)
    arms: dict[str, tuple[str, tuple[float, ...], bool]] = {
        "local": ("local", (0.5,), False),
        "through": ("through-inference", config.weights, False),
        "bidirectional": ("bidirectional", config.balances, False),
        "tanh_local": ("local", (0.5,), True),
        "tanh_through": ("through-inference", config.nonlinear_weights, True),
    }
    result: dict[str, Any] = {
        "dataset": used, "side": side, "images": x_test[:5].numpy(), "weights": list(config.weights),
        "balances": list(config.balances), "nonlinear_weights": list(config.nonlinear_weights),
        **_baselines(config, x, y, x_test, y_test),
    }  # fmt: skip
    for name, (arm, levels, tanh) in arms.items():
        cells = [
            {"arm": arm, "weight": w, "seed": s, "tanh": tanh} for w in levels for s in range(config.seeds)
        ]
        found = progress.cells(cell, cells)
        shape = (len(levels), config.seeds)
        for key in ("accuracy", "reconstruction", "loss", "weight_norm"):
            result[f"{name}_{key}"] = np.array([f[key] for f in found]).reshape(shape)
        if not tanh:
            result[f"{name}_pictures"] = np.array([f["pictures"] for f in found[:: config.seeds]])
        if name == "local":
            result["filled"] = found[0]["filled"]
    return result


def _baselines(config: Config, x: Any, y: Any, x_test: Any, y_test: Any) -> dict[str, Any]:
    """Linear and logistic regression from the pixels.

    Reconstruction from as many principal components as codes.
    """
    host, targets = x.numpy(), y.numpy()
    penalty = 1e-2 * len(host) * np.eye(host.shape[1])
    solution = np.linalg.solve(host.T @ host + penalty, host.T @ (targets - targets.mean(0)))
    scores = x_test.numpy() @ solution + targets.mean(0)
    _, _, axes = np.linalg.svd(host, full_matrices=False)
    basis = axes[: config.code]
    rest = x_test.numpy() - x_test.numpy() @ basis.T @ basis
    return {
        "regression_accuracy": float(np.mean(scores.argmax(1) == y_test.numpy().argmax(1))),
        "logistic_accuracy": _logistic(config, x, y, x_test, y_test),
        "pca_reconstruction": float(np.mean(rest**2)),
    }


def _logistic(config: Config, x: Any, y: Any, x_test: Any, y_test: Any) -> float:
    """Test accuracy of softmax regression from the pixels, which linear generative networks hardly exceed."""
    weights = torch.zeros(y.shape[1], x.shape[1], dtype=x.dtype, requires_grad=True)
    optimiser = torch.optim.LBFGS([weights], max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        surprise = -torch.sum(y * torch.log_softmax(x @ weights.T, -1)) / len(x)
        value = surprise + 0.5 * config.weight_decay * torch.sum(weights**2)
        value.backward()
        return value.detach()

    optimiser.step(closure)
    with torch.no_grad():
        return float(((x_test @ weights.T).argmax(1) == y_test.argmax(1)).to(torch.float64).mean())
