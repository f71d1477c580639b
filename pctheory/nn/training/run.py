r"""Training: the local rule, incremental predictive coding and backpropagation, on the same network at the
same scale.
"""

from __future__ import annotations

import inspect
import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ... import _check
from ...model import Data, parameterisation
from ..inference import Diverged
from ..pcn import PCN
from .checkpoints import identity_of, read_checkpoint, write_checkpoint
from .learners import learner_of
from .measures import Samples, mean_loss, share_whole, weight_changes, weight_norms
from .rules import checked_rule
from .settings import TrainingResult, TrainingSettings

__all__ = ["Run", "train"]

DENORMAL = 1e-31
"""Displacements below which inference in float32 meets denormal numbers. Without a scale, gradients this
small move no weight.
"""


def train(
    model: PCN,
    data: Data,
    settings: TrainingSettings,
    *,
    test: Data | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: int = 500,
    progress: bool = False,
    callback: Callable[[int, PCN], None] | None = None,
) -> TrainingResult:
    r"""Train `model` in place.

    Parameters
    ----------
    model : PCN
        The network; its weights change.
    data : Data
        y holds one row per sample: targets, one-hot rows of classes. Targets that are not `observed` are
        free: they have no energy, and the loss does not count them. Accuracies count the samples without
        missing targets (NaN if there is none). A cross-entropy output needs all of them.
    settings : TrainingSettings
        The learning rule, the optimiser and the length of the run.
    test : Data, optional
        Evaluated every `settings.evaluate_every` steps and at the end.
    checkpoint : path, optional
        Saved every `checkpoint_every` steps and at the end, atomically. If the file exists the run goes on
        from there, and ends with the same result as one that was never interrupted. A finished run goes on if
        it is asked for more steps.
    checkpoint_every : int
        Steps between checkpoints.
    progress : bool
        Show a tqdm bar.
    callback : callable, optional
        Called with the number of steps done and the model, after every step.

    Returns
    -------
    result : TrainingResult

    Raises
    ------
    TypeError, ValueError
        If an argument breaks its rule, or in the step in which weights or activities do not stay finite. The
        checkpoint then still holds finite weights.

    Examples
    --------
    >>> from pctheory.nn import PC, GradientDescent, Stop
    >>> data = Data.toy(64, rng=0)
    >>> model = PCN((1, 4, 1), init=0.3, rng=0, dtype=torch.float64)
    >>> rule = PC(GradientDescent(step=0.5), stop=Stop(num_steps=20))
    >>> settings = TrainingSettings(rule, optimiser="SGD", learning_rate=0.2, batch_size=64, steps=200)
    >>> bool(train(model, data, settings).metrics["loss"][-1] < 1e-6)
    True
    """
    run = Run(model, data, settings, test)
    path = None if checkpoint is None else Path(checkpoint)
    _check.count(checkpoint_every, "checkpoint_every", 1)
    if path is not None and path.exists():
        run.load(path)
    bar = _bar(run, progress)
    while run.step < run.total:
        run.advance()
        if callback is not None:
            callback(run.step, model)
        if path is not None and (run.step % checkpoint_every == 0 or run.step == run.total):
            run.save(path)
        if bar is not None:
            bar.update()
    if bar is not None:
        bar.close()
    return run.result()


class Run:
    """A training run: everything that changes from step to step."""

    def __init__(self, model: PCN, data: Data, settings: TrainingSettings, test: Data | None = None) -> None:
        _require(model, "model", PCN)
        _require(settings, "settings", TrainingSettings)
        _check.instance(data, "data", Data)
        if test is not None:
            _check.instance(test, "test", Data)
        self.model, self.settings = model, settings
        self.samples = _samples(model, data)
        self.test = None if test is None else _samples(model, test)
        if settings.batch_size > data.num_samples:
            raise ValueError(
                f"`batch_size` must not exceed the number of samples. Got {settings.batch_size} for "
                f"{data.num_samples} samples."
            )
        self.frozen = _frozen(settings, model)
        self.per_epoch = data.num_samples // settings.batch_size
        self.total = settings.steps if settings.steps is not None else (settings.epochs or 0) * self.per_epoch
        model.stacked()  # gathers the weights in their stacks before the optimiser meets them
        self.learner = learner_of(checked_rule(settings.rule), model)
        if settings.gradient_scaling == "none" and model.dtype == torch.float32:
            self.learner.neglect(DENORMAL)
        self.optimiser = _optimiser(model, settings, self.frozen)
        self.parameters = list(model.parameters())  # weights, then biases
        self.gradient_scales = [0.0] * len(self.parameters)  # none has had a gradient yet
        self.rates = [group["lr"] for group in self.optimiser.param_groups]
        self.initial = [w.detach().clone() for w in self.parameters]
        self.step, self.epoch = 0, -1
        self.seconds = 0.0
        self.metrics: dict[str, list[Any]] = {
            key: [] for key in ("step", "loss", "energy", "batch_accuracy", "weight_norms", "weight_change")
        }
        self.inference: dict[str, list[float]] = {key: [] for key in self.learner.record}
        self.evaluations: dict[str, list[Any]] = {key: [] for key in ("step", "loss", "accuracy")}

    def advance(self) -> None:
        """One batch."""
        begin = time.perf_counter()
        samples = self.batch(self.step)
        measure = _due(self.step, self.settings.metrics_every)
        row = self._measured(samples) if measure else {}
        try:
            energy = self.learner.learn(samples, self._generator(), self._apply, measure=measure)
        except Diverged as error:
            raise ValueError(
                "`learning_rate` must be small enough for training to stay finite. "
                f"In step {self.step + 1} inference does not: {error}"
            ) from error
        self._require_finite()
        _append(self.inference, self.learner.record)
        if measure:
            _append(self.metrics, {**row, "energy": energy})
        self.step += 1
        if self.test is not None and _due(self.step, self.settings.evaluate_every):
            _append(self.evaluations, self._evaluated(self.test))
        self.seconds += time.perf_counter() - begin

    def batch(self, step: int) -> Samples:
        """The samples of a step."""
        epoch, position = divmod(step, self.per_epoch)
        if epoch != self.epoch:
            order = np.random.default_rng([self.settings.seed, epoch]).permutation(len(self.samples.x))
            self.order, self.epoch = torch.as_tensor(order, device=self.samples.x.device), epoch
        rows = self.order[position * self.settings.batch_size : (position + 1) * self.settings.batch_size]
        return self.samples.take(rows)

    def result(self) -> TrainingResult:
        """The frozen record, with a last measurement after the last step."""
        metrics = {key: list(values) for key, values in self.metrics.items()}
        evaluations = {key: list(values) for key, values in self.evaluations.items()}
        samples = self.batch(max(self.step - 1, 0))
        row = self._measured(samples)
        _append(metrics, {**row, "energy": self.learner.energy(samples, self._generator())})
        if self.test is not None and self.step not in evaluations["step"]:
            _append(evaluations, self._evaluated(self.test))
        return TrainingResult(
            settings=self.settings,
            metrics={key: np.array(value) for key, value in metrics.items()},
            inference={key: np.array(value) for key, value in self.inference.items()},
            evaluations={key: np.array(value) for key, value in evaluations.items()},
            weights=tuple(_check.to_numpy(w, "weights") for w in self.model.weights),
            biases=tuple(_check.to_numpy(b, "biases") for b in self.model.biases),
            num_steps=self.step,
            seconds=self.seconds,
        )

    def save(self, path: Path) -> None:
        """Write a checkpoint."""
        content = {
            "identity": self._identity(),
            "step": self.step,
            "weights": [w.detach().clone() for w in self.parameters],
            "optimiser": self.optimiser.state_dict(),
            "gradient_scales": self.gradient_scales,
            "learner": self.learner.memory(),
            "metrics": self.metrics,
            "inference": self.inference,
            "evaluations": self.evaluations,
            "seconds": self.seconds,
        }
        write_checkpoint(path, content)

    def load(self, path: Path) -> None:
        """Go on from a checkpoint."""
        saved = read_checkpoint(path, self._identity(), self.samples.x.device)
        if saved["step"] > self.total:
            raise ValueError(
                f"`epochs` or `steps` must be at least what the checkpoint {path.name} has done, "
                f"{saved['step']} steps. "
                f"Got {self.total}: ask for more, or delete the file."
            )
        with torch.no_grad():
            for parameter, value in zip(self.parameters, saved["weights"], strict=True):
                parameter.copy_(value)
        self.optimiser.load_state_dict(saved["optimiser"])
        self.gradient_scales = saved["gradient_scales"]
        self.step, self.seconds = saved["step"], saved["seconds"]
        self.metrics, self.evaluations = saved["metrics"], saved["evaluations"]
        self.inference = saved["inference"]
        self.learner.remember(saved["learner"])

    def _identity(self) -> dict[str, str]:
        return identity_of(self.settings, self.model, self.samples, self.initial)

    def _generator(self) -> np.random.Generator:
        return np.random.default_rng([self.settings.seed, 1, self.step])

    def _apply(self, gradients: list[Tensor]) -> None:
        if self.settings.gradient_scaling == "layer":
            self.gradient_scales = [
                scale or _power_of_two(gradient)
                for scale, gradient in zip(self.gradient_scales, gradients, strict=True)
            ]
            gradients = [g * s for g, s in zip(gradients, self.gradient_scales, strict=True)]
        for index, (parameter, gradient) in enumerate(zip(self.parameters, gradients, strict=True)):
            parameter.grad = None if _layer(index, self.model) in self.frozen else gradient
        for group, rate in zip(self.optimiser.param_groups, self.rates, strict=True):
            group["lr"] = rate * self.learner.rate
        self.optimiser.step()

    def _require_finite(self) -> None:
        # a sum meets every NaN and infinity, at a hundredth of the price of the largest entry
        total = torch.stack([w.detach().sum() for w in self.parameters]).sum()
        if math.isfinite(float(total)):
            return
        finite = [bool(torch.isfinite(w).all()) for w in self.parameters]
        if not all(finite):  # else only the sum overflows
            index = finite.index(False)
            what = "weights W" if index < self.model.depth else "biases b"
            raise ValueError(
                "`learning_rate` must be small enough for training to stay finite. Got NaN or infinite "
                f"{what}_{_layer(index, self.model)} in step {self.step + 1}: lower it, or lower the step of "
                "inference."
            )

    def _measured(self, samples: Samples) -> dict[str, Any]:
        with torch.no_grad():
            loss = float(self.model.loss(*samples))
        if not math.isfinite(loss):
            raise ValueError(
                f"`learning_rate` must be small enough for training to stay finite. Got a loss of {loss} "
                "after step "
                f"{self.step}: lower it, or lower the step of inference."
            )
        weights = [w.detach() for w in self.model.weights]
        return {
            "step": self.step,
            "loss": loss,
            "batch_accuracy": share_whole(self.model, samples),
            "weight_norms": weight_norms(weights),
            "weight_change": weight_changes(weights, self.initial[: self.model.depth]),
        }

    def _evaluated(self, samples: Samples) -> dict[str, Any]:
        return {
            "step": self.step,
            "loss": mean_loss(self.model, samples),
            "accuracy": share_whole(self.model, samples),
        }


def _samples(model: PCN, data: Data) -> Samples:
    """The data as checked tensors of the model's."""
    x = model.inputs(data.x)
    return Samples(x, *model.observed_targets(data.y, data.observed, len(x)))


def _append(record: dict[str, list[Any]], row: dict[str, Any]) -> None:
    for key, value in row.items():
        record[key].append(value)


def _due(step: int, every: int) -> bool:
    return bool(every and step % every == 0)


def _require(value: object, name: str, kind: type) -> None:
    if not isinstance(value, kind):
        raise TypeError(f"`{name}` must be a {kind.__name__}. Got {type(value).__name__}.")


def _power_of_two(gradient: Tensor) -> float:
    """The power of two that brings the root mean square of a gradient to about 1, without rounding.

    Returns
    -------
    float
        Below the largest number of the gradient's arithmetic; 0 for a gradient that is zero or not finite.
    """
    largest = float(gradient.abs().max())
    if largest == 0.0 or not math.isfinite(largest):
        return 0.0
    mean = largest * float((gradient.double() / largest).square().mean().sqrt())
    largest_power = math.frexp(torch.finfo(gradient.dtype).max)[1] - 2
    return math.ldexp(1.0, min(-round(math.log2(mean)), largest_power))


def _layer(index: int, model: PCN) -> int:
    """The layer 1..L of the parameter of that index."""
    return index % model.depth + 1


def _frozen(settings: TrainingSettings, model: PCN) -> frozenset[int]:
    for layer in settings.frozen:
        if not 1 <= _check.count(layer, "frozen") <= model.depth:
            raise ValueError(f"`frozen` must list layers 1..{model.depth}. Got {layer}.")
    if len(frozen := frozenset(settings.frozen)) == model.depth:
        raise ValueError(f"`frozen` must leave a layer that learns. Got all of 1..{model.depth}.")
    return frozen


def _optimiser(model: PCN, settings: TrainingSettings, frozen: frozenset[int]) -> torch.optim.Optimizer:
    parameters = list(model.parameters())
    rates = [settings.learning_rate] * len(parameters)
    if settings.learning_rate_scaling == "table":
        if model.parameterisation is None or model.gamma is None:
            raise ValueError(
                "`learning_rate_scaling` must be 'none' for a network built from weights: its "
                "parameterisation is not known. "
                "Got 'table'."
            )
        kind = "sgd" if settings.optimiser == "SGD" else "adam"
        scales = [
            scale
            for table in (parameterisation.learning_rate_scales, parameterisation.bias_rate_scales)
            for scale in table(
                model.widths,
                model.parameterisation,
                kind,
                skips=model.skips,
                gamma=model.gamma,
                fan_ins=[o.fan_in for o in model.operators],
            )
        ]
        rates = [settings.learning_rate * scale for scale in scales[: len(parameters)]]
    cls = getattr(torch.optim, settings.optimiser)
    options = dict(settings.optimiser_options)
    if "foreach" in inspect.signature(cls).parameters and "fused" not in options:
        options.setdefault("foreach", True)  # one call for all layers instead of one per layer
    learning = [
        (w, r)
        for index, (w, r) in enumerate(zip(parameters, rates, strict=True))
        if _layer(index, model) not in frozen
    ]
    groups = [{"params": [w for w, r in learning if r == rate], "lr": rate} for rate in dict.fromkeys(rates)]
    try:
        return cls([g for g in groups if g["params"]], lr=settings.learning_rate, **options)
    except TypeError as error:
        raise TypeError(
            f"`optimiser_options` must be arguments of torch.optim.{settings.optimiser}. "
            f"Got {', '.join(settings.optimiser_options)}."
        ) from error


def _bar(run: Run, progress: bool) -> Any:
    if not progress:
        return None
    from tqdm import tqdm

    name = type(run.settings.rule).__name__
    return tqdm(total=run.total, initial=run.step, desc=name, unit="step", mininterval=1.0)
