"""What each learning rule does with a batch."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .._stacked import Errors, Gradient, StackedNetwork, State
from ..inference import checked_method, relax
from ..pcn import PCN
from .measures import Samples
from .rules import BP, IPC, PC, KeepRatio, Rule, Switch

__all__ = ["Learner", "learner_of"]

Apply = Callable[[list[Tensor]], None]

MEMORY = 0.9
"""Share of its past that the running mean of the loss keeps from batch to batch."""


class Learner:
    """What a rule does, and what it remembers from batch to batch.

    Attributes
    ----------
    rate : float
        What the learning rate of the next step is multiplied by.
    record : dict of float
        Of the last batch: passes of inference, the estimated error of the weight gradient (NaN where none is
        made), the factor of the hidden precisions (infinite for backpropagation), and the loss (NaN where it
        is not asked for).
    """

    def __init__(self) -> None:
        self.rate, self.watched, self.least = 1.0, False, 0.0
        self.record = {"passes": 1.0, "gradient_error": math.nan, "precision": math.inf, "loss": math.nan}

    def learn(self, samples: Samples, rng: np.random.Generator, apply: Apply, *, measure: bool) -> float:
        """Hand the gradient of a batch to `apply`; returns the energy where inference ended, or of `BP` the
        loss, if it is to be measured.

        Returns
        -------
        float
            The energy, or NaN if it is not measured.
        """
        raise NotImplementedError

    def energy(self, samples: Samples, rng: np.random.Generator) -> float:
        """The energy where inference ends with the weights as they are."""
        raise NotImplementedError

    def neglect(self, least: float) -> None:
        """Take displacements of inference up to `least` for none, see `relax`."""
        self.least = least

    def memory(self) -> dict[str, Any]:
        """What a checkpoint has to keep."""
        return {}

    def remember(self, memory: dict[str, Any]) -> None:
        """Go on from what a checkpoint kept."""


class _Local(Learner):
    """`PC`: relax the activities, then step the weights."""

    def __init__(self, rule: PC, model: PCN) -> None:
        super().__init__()
        self.rule, self.model = rule, model
        self.method = checked_method(rule.method)
        keep = rule.precision
        self.keep = keep if isinstance(keep, KeepRatio) else None
        self.precision = keep.first if isinstance(keep, KeepRatio) else float(keep)

    def learn(self, samples: Samples, rng: np.random.Generator, apply: Apply, *, measure: bool) -> float:
        with torch.no_grad():
            net, state, errors = self._rest(samples, rng)
            apply(net.local_gradients(state, errors, self.model.multipliers))
            energy = net.energy_of(errors, samples.y) if measure or self.keep else math.nan
            if self.watched or self.keep:
                prediction = self.model(samples.x) if state.prediction is None else state.prediction
                self.record["loss"] = float(net.output_energy(prediction, samples.y).mean())
            if self.keep:
                self._follow(self.keep, self.record["loss"], energy)
            return energy

    def energy(self, samples: Samples, rng: np.random.Generator) -> float:
        with torch.no_grad():
            net, _, errors = self._rest(samples, rng)
            return net.energy_of(errors, samples.y)

    def memory(self) -> dict[str, Any]:
        return {"precision": self.precision, "rate": self.rate}

    def remember(self, memory: dict[str, Any]) -> None:
        self.precision, self.rate = memory["precision"], memory["rate"]

    def _follow(self, keep: KeepRatio, loss: float, energy: float) -> None:
        """The precision of the next batch."""
        up = loss > keep.target * energy
        self.precision = max(self.precision * keep.factor ** (1 if up else -1), keep.least)
        self.rate = (keep.first / self.precision) ** keep.rate_power

    def _rest(self, samples: Samples, rng: np.random.Generator) -> tuple[StackedNetwork, State, Errors]:
        (x, y, observed), rule = samples, self.rule
        net = self.model.stacked(self.precision, observed)
        state, errors, trace = relax(net, x, y, self.method, rule.stop, rule.start, rng, least=self.least)
        error = math.nan if trace.gradient_error is None else trace.gradient_error
        self.record.update(passes=trace.num_passes, gradient_error=error, precision=self.precision)
        return net, state, errors


class _Incremental(_Local):
    """`IPC`: step the weights with every step of the activities."""

    def learn(self, samples: Samples, rng: np.random.Generator, apply: Apply, *, measure: bool) -> float:
        energy, rule, (x, y, observed) = math.nan, self.rule, samples

        def step(net: StackedNetwork, state: State, gradient: Gradient) -> StackedNetwork:
            nonlocal energy
            apply(net.local_gradients(state, gradient.errors, self.model.multipliers))
            if measure:
                energy = net.energy_of(gradient.errors, y)
            return self.model.stacked(self.precision, observed)

        with torch.no_grad():
            if self.watched:
                self.record["loss"] = float(self.model.loss(*samples))
            net = self.model.stacked(self.precision, observed)
            trace = relax(net, x, y, self.method, rule.stop, rule.start, rng, step)[-1]
        self.record.update(passes=trace.num_passes, precision=self.precision)
        return energy


class _Backward(Learner):
    """`BP`: step the weights along the gradient of the loss, which stands in for the energy."""

    def __init__(self, rule: BP, model: PCN) -> None:
        super().__init__()
        self.model = model

    def learn(self, samples: Samples, rng: np.random.Generator, apply: Apply, *, measure: bool) -> float:
        loss = self.energy(samples, rng) if measure or self.watched else math.nan
        if self.watched:
            self.record["loss"] = loss
        apply(list(self.model.loss_gradient(*samples)))
        return loss

    def energy(self, samples: Samples, rng: np.random.Generator) -> float:
        """The loss with the weights as they are."""
        with torch.no_grad():
            return float(self.model.loss(*samples))


class _Switching(Learner):
    """`Switch`: one rule until the loss has fallen far enough, then the other."""

    def __init__(self, rule: Switch, model: PCN) -> None:
        super().__init__()
        self.rule = rule
        self.parts = [learner_of(part, model) for part in (rule.first, rule.then)]  # type: ignore[arg-type]
        self.parts[0].watched = True
        self.active, self.first, self.mean = 0, math.nan, math.nan

    def learn(self, samples: Samples, rng: np.random.Generator, apply: Apply, *, measure: bool) -> float:
        part = self.parts[self.active]
        energy = part.learn(samples, rng, apply, measure=measure)
        self.record = part.record
        if self.active == 0:
            loss = part.record["loss"]
            if math.isnan(self.first):
                self.first = self.mean = loss
            self.mean = MEMORY * self.mean + (1 - MEMORY) * loss
            self.active = int(self.mean < self.rule.below * self.first)
        self.rate = self.parts[self.active].rate * (self.rule.rate if self.active else 1.0)
        return energy

    def energy(self, samples: Samples, rng: np.random.Generator) -> float:
        return self.parts[self.active].energy(samples, rng)

    def neglect(self, least: float) -> None:
        for part in self.parts:
            part.neglect(least)

    def memory(self) -> dict[str, Any]:
        own = {"active": self.active, "first": self.first, "mean": self.mean, "rate": self.rate}
        return {**own, "parts": [part.memory() for part in self.parts]}

    def remember(self, memory: dict[str, Any]) -> None:
        self.active, self.first, self.mean = memory["active"], memory["first"], memory["mean"]
        self.rate = memory["rate"]
        for part, kept in zip(self.parts, memory["parts"], strict=True):
            part.remember(kept)


_LEARNERS: dict[type[Rule], Callable[[Any, PCN], Learner]] = {
    PC: _Local,
    IPC: _Incremental,
    BP: _Backward,
    Switch: _Switching,
}


def learner_of(rule: Rule, model: PCN) -> Learner:
    """What a rule does to a model."""
    return _LEARNERS[type(rule)](rule, model)
