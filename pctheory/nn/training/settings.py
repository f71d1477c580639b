"""How a network is trained, and what comes of it: the settings and the result of training."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from ... import _check
from .rules import PC, Rule, checked_rule

__all__ = ["TrainingResult", "TrainingSettings"]

SCALINGS = ("none", "table")
GRADIENT_SCALINGS = ("none", "layer")


@dataclass(frozen=True)
class TrainingSettings:
    r"""How a network is trained.

    Attributes
    ----------
    rule : PC, IPC, BP or Switch
        Or a name for one with its defaults: "pc", "ipc", "bp".
    optimiser : str
        A class of `torch.optim`, for example "Adam", "SGD", "AdamW"; not "LBFGS", which evaluates the loss by
        itself.
    learning_rate : float
    learning_rate_scaling : "none" or "table"
        "table" multiplies the rate of each layer by `pctheory.model.learning_rate_scales`, and that of its
        bias by `pctheory.model.bias_rate_scales`.
    gradient_scaling : "none" or "layer"
        "layer" divides the gradient of each layer by the power of two nearest to its root mean square in the
        first step in which it is not zero. Adam's direction does not depend on such a factor, but its epsilon
        hides gradients below it (1e-8 by default): this makes epsilon relative to the layer's own gradient.
    optimiser_options : mapping
        Further arguments of the optimiser, such as ``{"momentum": 0.9}``.
    batch_size : int
    epochs : int, or steps : int
        One of them. Each epoch visits the samples in a new random order and leaves out the last, incomplete
        batch.
    seed : int
        Of the order of the samples and of random initial activities. Each step has its own generator.
    frozen : layer numbers
        Layers 1..L whose weights and biases do not change: the optimiser does not meet them.
    metrics_every, evaluate_every : int
        Steps between metrics of the training batch, and between evaluations on the test data; 0: at the end
        only.

    Examples
    --------
    >>> TrainingSettings(rule="bp", steps=5).rule
    BP()
    >>> from pctheory.nn import GradientDescent, Stop
    >>> TrainingSettings(PC(GradientDescent(step=0.5), stop=Stop(num_steps=20)), steps=5).rule.method.step
    0.5
    """

    rule: Rule | str = field(default_factory=PC)
    optimiser: str = "Adam"
    learning_rate: float = 1e-3
    learning_rate_scaling: str = "none"
    gradient_scaling: str = "none"
    optimiser_options: Mapping[str, Any] = field(default_factory=dict)
    batch_size: int = 64
    epochs: int | None = None
    steps: int | None = None
    seed: int = 0
    frozen: tuple[int, ...] = ()
    metrics_every: int = 0
    evaluate_every: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "rule", checked_rule(self.rule))
        _check.choice(self.learning_rate_scaling, "learning_rate_scaling", SCALINGS)
        _check.choice(self.gradient_scaling, "gradient_scaling", GRADIENT_SCALINGS)
        optimiser = getattr(torch.optim, str(self.optimiser), None)
        if not (inspect.isclass(optimiser) and issubclass(optimiser, torch.optim.Optimizer)):
            raise ValueError(
                "`optimiser` must be a class of torch.optim, such as 'Adam' or 'SGD'. Got "
                f"{self.optimiser!r}."
            )
        if inspect.signature(optimiser.step).parameters["closure"].default is inspect.Parameter.empty:
            raise ValueError(
                "`optimiser` must step by a given gradient, such as 'Adam' or 'SGD': it gets that of the "
                "rule. "
                f"Got {self.optimiser!r}, which evaluates the loss by itself."
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


@dataclass(frozen=True, eq=False, repr=False)
class TrainingResult:
    r"""A training run in numbers.

    Attributes
    ----------
    settings : TrainingSettings
    metrics : dict of numpy arrays, one row per measurement
        "step" (steps done), "loss" (`PCN.loss` of the step's batch), "energy" (F where inference ends; of
        `BP` the loss; of `IPC` at the last of its steps), "batch_accuracy", "weight_norms" (M, L) and
        "weight_change" (M, L):
        :math:`|W_l - W_l(0)| / |W_l(0)|`. Rows are measured before their step, the last one after the last
        step.
    inference : dict of (num_steps,) numpy arrays
        Of each batch: "passes" of inference (of `BP` 1), "gradient_error" (`Adaptive`'s estimate, no bound,
        of the relative error of the weight gradient; else NaN), "precision" (what the hidden ones were
        multiplied by; of `BP` infinite), "loss" (where a rule follows it; else NaN).
    evaluations : dict of numpy arrays
        "step", "loss", "accuracy" on the test data.
    weights : tuple of (n_l, n_{l-1}) numpy arrays, of convolutions their kernels, at the end
    biases : tuple of (n_l,) numpy arrays, of convolutions one number a channel, at the end; empty without
    seconds : float, over all the pieces of a resumed run
    """

    settings: TrainingSettings
    metrics: dict[str, np.ndarray]
    inference: dict[str, np.ndarray]
    evaluations: dict[str, np.ndarray]
    weights: tuple[np.ndarray, ...]
    biases: tuple[np.ndarray, ...]
    num_steps: int
    seconds: float

    def plot(self, ax: Any = None) -> Any:
        """Loss and energy of the batches, and the loss on the test data.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            A new figure's by default.

        Returns
        -------
        matplotlib.axes.Axes
        """
        from ...plotting import plot_training

        return plot_training(self, ax)

    def __repr__(self) -> str:
        tested = self.evaluations["accuracy"]
        end = f", test accuracy {tested[-1]:.4f}" if np.isfinite(tested[-1:]).any() else ""
        name, loss = type(self.settings.rule).__name__, self.metrics["loss"][-1]
        return f"TrainingResult({name}, {self.num_steps} steps, loss {loss:.6g}{end})"
