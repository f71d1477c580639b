"""How a network is trained, and what comes of it: the settings and the result of training."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from .. import _check
from ._settings import InferenceSettings

__all__ = ["RULES", "SCALINGS", "TrainingResult", "TrainingSettings"]

RULES = ("pc", "ipc", "bp")


SCALINGS = ("none", "table")


@dataclass(frozen=True)
class TrainingSettings:
    r"""How a network is trained.

    Attributes
    ----------
    rule : "pc", "ipc" or "bp"
        "pc": the local rule at the activities where inference ends. "ipc": activities and weights step together, from the
        same errors, `inference.num_steps` times for every batch. "bp": backpropagation of `PCN.loss`, at the same scale.
    inference : InferenceSettings
        Of "pc" and "ipc" (there a descent: "gd", "momentum" or "adam").
    optimiser : str
        A class of `torch.optim`, for example "Adam", "SGD", "AdamW".
    learning_rate : float
    learning_rate_scaling : "none" or "table"
        "table" multiplies the learning rate by `pctheory.model.learning_rate_scale`.
    optimiser_options : mapping
        Further arguments of the optimiser, such as ``{"momentum": 0.9}``.
    batch_size : int
    epochs : int, or steps : int
        One of them. Each epoch visits the samples in a new random order and leaves out the last, incomplete batch.
    seed : int
        Of the order of the samples and of random initial activities. Each step has its own generator.
    frozen : layer numbers
        Layers 1..L whose weights do not change.
    metrics_every, evaluate_every : int
        Steps between metrics of the training batch, and between evaluations on the test data; 0: at the end only.
    """

    rule: str = "pc"
    inference: InferenceSettings = field(default_factory=InferenceSettings)
    optimiser: str = "Adam"
    learning_rate: float = 1e-3
    learning_rate_scaling: str = "none"
    optimiser_options: Mapping[str, Any] = field(default_factory=dict)
    batch_size: int = 64
    epochs: int | None = None
    steps: int | None = None
    seed: int = 0
    frozen: tuple[int, ...] = ()
    metrics_every: int = 0
    evaluate_every: int = 0

    def __post_init__(self) -> None:
        _check.choice(self.rule, "rule", RULES)
        _check.choice(self.learning_rate_scaling, "learning_rate_scaling", SCALINGS)
        if not isinstance(self.inference, InferenceSettings):
            raise TypeError(f"`inference` must be an InferenceSettings. Got {type(self.inference).__name__}.")
        if self.rule == "ipc" and self.inference.method not in ("gd", "euler", "momentum", "adam"):
            raise ValueError(
                "`inference.method` must be 'gd', 'euler', 'momentum' or 'adam' for rule 'ipc': weights change at each of "
                f"its steps. Got {self.inference.method!r}."
            )
        optimiser = getattr(torch.optim, str(self.optimiser), None)
        if not (inspect.isclass(optimiser) and issubclass(optimiser, torch.optim.Optimizer)):
            raise ValueError(
                f"`optimiser` must be a class of torch.optim, such as 'Adam' or 'SGD'. Got {self.optimiser!r}."
            )
        _check.positive(self.learning_rate, "learning_rate")
        _check.count(self.batch_size, "batch_size", 1)
        if (self.epochs is None) == (self.steps is None):
            raise ValueError(
                f"`epochs` or `steps` must be given, and not both. Got {self.epochs} and {self.steps}."
            )
        _check.count(self.epochs if self.steps is None else self.steps, "epochs or steps")
        for name in ("seed", "metrics_every", "evaluate_every"):
            _check.count(getattr(self, name), name)
        if self.frozen and self.optimiser_options.get("weight_decay"):
            raise ValueError(
                "`frozen` must be empty with weight decay: the optimiser would shrink the frozen weights. "
                f"Got layers {list(self.frozen)}."
            )


@dataclass(frozen=True, eq=False, repr=False)
class TrainingResult:
    r"""A training run in numbers.

    Attributes
    ----------
    settings : TrainingSettings
    metrics : dict of numpy arrays, one row per measurement
        "step" (steps done), "loss" (`PCN.loss` of the step's batch), "energy" (F where inference ends; of "bp" the loss; of
        "ipc" at the last of its steps), "batch_accuracy", "weight_norms" (M, L) and "weight_change" (M, L):
        :math:`|W_l - W_l(0)| / |W_l(0)|`. Rows are measured before their step, the last one after the last step.
    evaluations : dict of numpy arrays
        "step", "loss", "accuracy" on the test data.
    weights : tuple of (n_l, n_{l-1}) numpy arrays, of convolutions their kernels, at the end
    seconds : float, over all the pieces of a resumed run
    """

    settings: TrainingSettings
    metrics: dict[str, np.ndarray]
    evaluations: dict[str, np.ndarray]
    weights: tuple[np.ndarray, ...]
    num_steps: int
    seconds: float

    def __repr__(self) -> str:
        tested = self.evaluations["accuracy"]
        end = f", test accuracy {tested[-1]:.4f}" if len(tested) else ""
        return f"TrainingResult({self.settings.rule}, {self.num_steps} steps, loss {self.metrics['loss'][-1]:.6g}{end})"
