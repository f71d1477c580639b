r"""Training: the local rule, incremental predictive coding and backpropagation, on the same network at the same scale."""

from __future__ import annotations

import hashlib
import inspect
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import _check
from ..model import Data, parameterisation
from ._frame import State
from ._maps import Convolutional
from ._training_settings import RULES, SCALINGS, TrainingResult, TrainingSettings
from .inference import relax
from .pcn import PCN

__all__ = ["RULES", "SCALINGS", "TrainingResult", "TrainingSettings", "accuracy", "train"]


def accuracy(model: PCN, x: Any, labels: Any, *, batch_size: int = 4096) -> float:
    """Share of samples whose largest output is the right one.

    Parameters
    ----------
    x : (B, n_0)
    labels : (B,) class labels, or (B, n_L) rows whose largest entry is the class
    """
    inputs = model.inputs(x)
    target = torch.as_tensor(labels if isinstance(labels, Tensor) else np.asarray(labels)).to(inputs.device)
    if target.ndim == 2:
        target = target.argmax(-1)
    if target.shape != inputs.shape[:1]:
        raise ValueError(
            f"`labels` must hold one label per sample, {inputs.shape[0]} of them. Got shape {tuple(target.shape)}."
        )
    right = 0
    with torch.no_grad():
        for rows, wanted in zip(
            torch.split(inputs, batch_size), torch.split(target, batch_size), strict=True
        ):
            right += int((model(rows).argmax(-1) == wanted).sum())
    return right / inputs.shape[0]


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
    data : Data
        y holds one row per sample: targets, one-hot rows of classes.
    test : Data, optional
        Evaluated every `settings.evaluate_every` steps and at the end.
    checkpoint : path, optional
        Saved every `checkpoint_every` steps and at the end, atomically. If the file exists the run goes on from there, and
        ends with the same result as one that was never interrupted.
    progress : show a tqdm bar
    callback : called with the number of steps done and the model, after every step

    Examples
    --------
    >>> data = Data.toy(64, rng=0)
    >>> model = PCN((1, 4, 1), init=0.3, rng=0, dtype=torch.float64)
    >>> from pctheory.nn import InferenceSettings
    >>> inference = InferenceSettings(step=0.5, num_steps=20)
    >>> settings = TrainingSettings(
    ...     inference=inference, optimiser="SGD", learning_rate=0.2, batch_size=64, steps=200
    ... )
    >>> bool(train(model, data, settings).metrics["loss"][-1] < 1e-6)
    True
    """
    run = _Run(model, data, settings, test)
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


class _Run:
    """A training run: everything that changes from step to step."""

    def __init__(self, model: PCN, data: Data, settings: TrainingSettings, test: Data | None) -> None:
        _require(model, "model", PCN)
        _require(settings, "settings", TrainingSettings)
        _require(data, "data", Data)
        if test is not None:
            _require(test, "test", Data)
        self.model, self.settings = model, settings
        self.x = model.inputs(data.x)
        self.y = model.targets(data.y, self.x.shape[0])
        self.test = None
        if test is not None:
            inputs = model.inputs(test.x)
            self.test = (inputs, model.targets(test.y, inputs.shape[0]))
        if settings.batch_size > self.x.shape[0]:
            raise ValueError(
                f"`batch_size` must not exceed the number of samples. Got {settings.batch_size} for {self.x.shape[0]} samples."
            )
        for layer in settings.frozen:
            if not 1 <= _check.count(layer, "frozen") <= model.depth:
                raise ValueError(f"`frozen` must list layers 1..{model.depth}. Got {layer}.")
        self.per_epoch = self.x.shape[0] // settings.batch_size
        self.total = settings.steps if settings.steps is not None else (settings.epochs or 0) * self.per_epoch
        model.frame()  # gathers the weights in their stacks before the optimiser meets them
        self.optimiser = _optimiser(model, settings)
        self.initial = [w.detach().clone() for w in model.weights]
        self.step, self.epoch = 0, -1
        self.seconds = 0.0
        self.metrics: dict[str, list[Any]] = {
            key: [] for key in ("step", "loss", "energy", "batch_accuracy", "weight_norms", "weight_change")
        }
        self.evaluations: dict[str, list[Any]] = {key: [] for key in ("step", "loss", "accuracy")}

    def advance(self) -> None:
        """One batch."""
        begin = time.perf_counter()
        x, y = self.batch(self.step)
        every = self.settings.metrics_every
        wanted = bool(every and self.step % every == 0)
        final = self.step == self.total - 1
        if wanted:
            self._measure(x, y)
        energy = getattr(self, f"_{self.settings.rule}")(x, y, wanted)
        if wanted:
            self.metrics["energy"].append(energy)
        self.step += 1
        if final:
            self._measure(x, y)
            self.metrics["energy"].append(self._energy(x, y))
        each = self.settings.evaluate_every
        if self.test is not None and (final or (each and self.step % each == 0)):
            self._evaluate()
        self.seconds += time.perf_counter() - begin

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """The samples of a step."""
        epoch, position = divmod(step, self.per_epoch)
        if epoch != self.epoch:
            order = np.random.default_rng([self.settings.seed, epoch]).permutation(self.x.shape[0])
            self.order, self.epoch = torch.as_tensor(order, device=self.x.device), epoch
        rows = self.order[position * self.settings.batch_size : (position + 1) * self.settings.batch_size]
        return self.x[rows], self.y[rows]

    # -- rules -----------------------------------------------------------------------------------------------------

    def _pc(self, x: Tensor, y: Tensor, wanted: bool) -> float:
        with torch.no_grad():
            frame = self.model.frame()
            state, lowest, settled = relax(frame, x, y, self.settings.inference, self._generator())
            gradient = frame.gradient(state, lowest=lowest, settled_below=settled)
            self._apply(
                frame.weight_gradients(
                    state, gradient.weighted, gradient.output_weighted, self.model.multipliers, lowest
                )
            )
            return frame.energy_of(gradient, y) if wanted else 0.0

    def _bp(self, x: Tensor, y: Tensor, wanted: bool) -> float:
        self._apply(list(self.model.loss_gradient(x, y)))
        return float(self.metrics["loss"][-1]) if wanted else 0.0

    def _ipc(self, x: Tensor, y: Tensor, wanted: bool) -> float:
        energy = 0.0

        def learn(frame: Any, state: State, gradient: Any) -> Any:
            nonlocal energy
            self._apply(
                frame.weight_gradients(
                    state, gradient.weighted, gradient.output_weighted, self.model.multipliers
                )
            )
            if wanted:
                energy = frame.energy_of(gradient, y)
            return self.model.frame()

        with torch.no_grad():
            relax(self.model.frame(), x, y, self.settings.inference, self._generator(), learn)
        return energy

    def _energy(self, x: Tensor, y: Tensor) -> float:
        """Energy where inference ends with the weights as they are."""
        if self.settings.rule == "bp":
            return float(self.metrics["loss"][-1])
        with torch.no_grad():
            frame = self.model.frame()
            state, lowest, settled = relax(frame, x, y, self.settings.inference, self._generator())
            return frame.energy_of(frame.gradient(state, lowest=lowest, settled_below=settled), y)

    def _generator(self) -> np.random.Generator:
        return np.random.default_rng([self.settings.seed, 1, self.step])

    def _apply(self, gradients: list[Tensor]) -> None:
        frozen = set(self.settings.frozen)
        for layer, (weight, gradient) in enumerate(zip(self.model.weights, gradients, strict=True), start=1):
            weight.grad = torch.zeros_like(gradient) if layer in frozen else gradient
        self.optimiser.step()

    # -- measurements ----------------------------------------------------------------------------------------------

    def _measure(self, x: Tensor, y: Tensor) -> None:
        with torch.no_grad():
            loss = float(self.model.loss(x, y))
        if not np.isfinite(loss):
            raise ValueError(
                f"`learning_rate` must be small enough for training to stay finite. Got a loss of {loss} at step "
                f"{self.step}: lower it, or lower `inference.step`."
            )
        self.metrics["step"].append(self.step)
        self.metrics["loss"].append(loss)
        self.metrics["batch_accuracy"].append(accuracy(self.model, x, y))
        self._measure_weights()

    def _measure_weights(self) -> None:
        now = [w.detach() for w in self.model.weights]
        self.metrics["weight_norms"].append([float(torch.linalg.vector_norm(w)) for w in now])
        self.metrics["weight_change"].append(
            [
                float(torch.linalg.vector_norm(w - w0))
                / max(float(torch.linalg.vector_norm(w0)), torch.finfo(w.dtype).tiny)
                for w, w0 in zip(now, self.initial, strict=True)
            ]
        )

    def _evaluate(self) -> None:
        assert self.test is not None
        x, y = self.test
        with torch.no_grad():
            loss = sum(
                float(self.model.loss(a, b)) * a.shape[0]
                for a, b in zip(torch.split(x, 4096), torch.split(y, 4096), strict=True)
            )
        self.evaluations["step"].append(self.step)
        self.evaluations["loss"].append(loss / x.shape[0])
        self.evaluations["accuracy"].append(accuracy(self.model, x, y))

    def result(self) -> TrainingResult:
        """The frozen record."""
        return TrainingResult(
            settings=self.settings,
            metrics={key: np.array(value) for key, value in self.metrics.items()},
            evaluations={key: np.array(value) for key, value in self.evaluations.items()},
            weights=tuple(_check.to_numpy(w, "weights") for w in self.model.weights),
            num_steps=self.step,
            seconds=self.seconds,
        )

    # -- checkpoints -----------------------------------------------------------------------------------------------

    def fingerprint(self) -> str:
        """What a checkpoint must have in common with the run that resumes it."""
        digest = hashlib.sha256(repr(self.settings).encode())
        digest.update(repr((self.model.widths, self.model.activation.name, self.model.output)).encode())
        digest.update(repr((self.model.multipliers, self.model.skips)).encode())
        digest.update("".join(repr(o) for o in self.model.operators if isinstance(o, Convolutional)).encode())
        for rows in (self.x, self.y, *self.initial):
            digest.update(repr(tuple(rows.shape)).encode())
            digest.update(rows.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def save(self, path: Path) -> None:
        """Write a checkpoint; the file is whole at any moment."""
        partial = path.with_name(path.name + ".partial")
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(
            {
                "fingerprint": self.fingerprint(),
                "step": self.step,
                "weights": [w.detach().clone() for w in self.model.weights],
                "optimiser": self.optimiser.state_dict(),
                "metrics": self.metrics,
                "evaluations": self.evaluations,
                "seconds": self.seconds,
            },
            partial,
        )
        os.replace(partial, path)

    def load(self, path: Path) -> None:
        """Go on from a checkpoint."""
        try:
            saved = torch.load(path, map_location=self.x.device, weights_only=True)
        except Exception as error:
            raise ValueError(
                f"`checkpoint` must be a file written by `train`. Got {path.name}, which cannot be read: delete it."
            ) from error
        if saved.get("fingerprint") != self.fingerprint():
            raise ValueError(
                "`checkpoint` must come from the same settings, data and initial weights. "
                f"Got {path.name}, which does not: delete it or name another file."
            )
        with torch.no_grad():
            for weight, value in zip(self.model.weights, saved["weights"], strict=True):
                weight.copy_(value)
        self.optimiser.load_state_dict(saved["optimiser"])
        self.step, self.seconds = saved["step"], saved["seconds"]
        self.metrics, self.evaluations = saved["metrics"], saved["evaluations"]


def _require(value: object, name: str, kind: type) -> None:
    if not isinstance(value, kind):
        raise TypeError(f"`{name}` must be a {kind.__name__}. Got {type(value).__name__}.")


def _optimiser(model: PCN, settings: TrainingSettings) -> torch.optim.Optimizer:
    rate = settings.learning_rate
    if settings.learning_rate_scaling == "table":
        if model.parameterisation is None or model.gamma is None:
            raise ValueError(
                "`learning_rate_scaling` must be 'none' for a network built from weights: its parameterisation is not known. "
                "Got 'table'."
            )
        kind = "sgd" if settings.optimiser == "SGD" else "adam"
        rate *= parameterisation.learning_rate_scale(
            model.widths,
            model.parameterisation,
            kind,
            skips=model.skips,
            gamma=model.gamma,
            fan_ins=[o.fan_in for o in model.operators],
        )
    cls = getattr(torch.optim, settings.optimiser)
    options = dict(settings.optimiser_options)
    if "foreach" in inspect.signature(cls).parameters and "fused" not in options:
        options.setdefault("foreach", True)  # one call for all layers instead of one per layer
    try:
        return cls(model.parameters(), lr=rate, **options)
    except TypeError as error:
        raise TypeError(
            f"`optimiser_options` must be arguments of torch.optim.{settings.optimiser}. "
            f"Got {', '.join(settings.optimiser_options)}."
        ) from error


def _bar(run: _Run, progress: bool) -> Any:
    if not progress:
        return None
    from tqdm import tqdm

    return tqdm(total=run.total, initial=run.step, desc=run.settings.rule, unit="step", mininterval=1.0)
