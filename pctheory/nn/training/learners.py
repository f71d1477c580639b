"""What each learning rule does with a batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .._stacked import Errors, Gradient, StackedNetwork, State
from ..inference import checked_method, relax
from ..pcn import PCN
from .rules import BP, IPC, PC, Rule

__all__ = ["Learner", "learner_of"]

Apply = Callable[[list[Tensor]], None]


class _Local:
    """`PC`: relax the activities, then step the weights."""

    def __init__(self, rule: PC, model: PCN) -> None:
        self.rule, self.model = rule, model
        self.method = checked_method(rule.method)

    def learn(self, x: Tensor, y: Tensor, rng: np.random.Generator, apply: Apply, *, measure: bool) -> float:
        """Hand the gradient of a batch to `apply`; returns the energy where inference ended, if it is to be
        measured.

        Returns
        -------
        float
            The energy, or 0 if it is not measured.
        """
        with torch.no_grad():
            net, state, errors = self._rest(x, y, rng)
            apply(net.weight_gradients(state, errors, self.model.multipliers))
            return net.energy_of(errors, y) if measure else 0.0

    def energy(self, x: Tensor, y: Tensor, rng: np.random.Generator) -> float:
        """The energy where inference ends with the weights as they are."""
        with torch.no_grad():
            net, _, errors = self._rest(x, y, rng)
            return net.energy_of(errors, y)

    def _rest(self, x: Tensor, y: Tensor, rng: np.random.Generator) -> tuple[StackedNetwork, State, Errors]:
        net, rule = self.model.stacked(), self.rule
        state, errors, self.trace = relax(net, x, y, self.method, rule.stop, rule.start, rng)
        return net, state, errors


class _Incremental(_Local):
    """`IPC`: step the weights with every step of the activities."""

    def learn(self, x: Tensor, y: Tensor, rng: np.random.Generator, apply: Apply, *, measure: bool) -> float:
        energy, rule = 0.0, self.rule

        def step(net: StackedNetwork, state: State, gradient: Gradient) -> StackedNetwork:
            nonlocal energy
            apply(net.weight_gradients(state, gradient.errors, self.model.multipliers))
            if measure:
                energy = net.energy_of(gradient.errors, y)
            return self.model.stacked()

        with torch.no_grad():
            relax(self.model.stacked(), x, y, self.method, rule.stop, rule.start, rng, step)
        return energy


class _Backward:
    """`BP`: step the weights along the gradient of the loss, which stands in for the energy."""

    def __init__(self, rule: BP, model: PCN) -> None:
        self.model = model

    def learn(self, x: Tensor, y: Tensor, rng: np.random.Generator, apply: Apply, *, measure: bool) -> float:
        """Hand the gradient of a batch to `apply`; returns the loss, if it is to be measured."""
        loss = self.energy(x, y, rng) if measure else 0.0
        apply(list(self.model.loss_gradient(x, y)))
        return loss

    def energy(self, x: Tensor, y: Tensor, rng: np.random.Generator) -> float:
        """The loss with the weights as they are."""
        with torch.no_grad():
            return float(self.model.loss(x, y))


Learner = _Local | _Backward

_LEARNERS: dict[type[Rule], Callable[[Any, PCN], Learner]] = {PC: _Local, IPC: _Incremental, BP: _Backward}


def learner_of(rule: Rule, model: PCN) -> Learner:
    """What a rule does to a model."""
    return _LEARNERS[type(rule)](rule, model)
