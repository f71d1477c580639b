r"""The definition of the network, layer by layer: differentiable, and what the stacked code is tested
against.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from .. import _check
from ._activation import Activation
from ._rows import checked_activities, checked_rows, one_hot, require_probabilities, summary
from ._stacked import observed_precision, weight_by, weight_output
from .layers import Operator

__all__ = ["Definition"]


class Definition(nn.Module):
    """Predictions, energy and loss of a network, with the checks of what they are given."""

    weights: nn.ParameterList
    biases: nn.ParameterList
    activation: Activation
    output: str
    multipliers: tuple[float, ...]
    skips: tuple[bool, ...]
    operators: tuple[Operator, ...]
    widths: tuple[int, ...]
    _precision_numbers: list[float | None]

    @property
    def depth(self) -> int:
        """Number of weight layers L."""
        return len(self.widths) - 1

    @property
    def num_weights(self) -> int:
        """Number of scalars that learn: weights, and biases if there are any."""
        return sum(w.numel() for w in self.parameters())

    @property
    def dtype(self) -> torch.dtype:
        """Of the weights."""
        return cast(torch.dtype, self.weights[0].dtype)

    @property
    def device(self) -> torch.device:
        """Of the weights."""
        return cast(torch.device, self.weights[0].device)

    @property
    def precisions(self) -> tuple[float | Tensor, ...]:
        r""":math:`\Pi_l`, l = 1..L: a float, a vector or a matrix each."""
        return tuple(
            getattr(self, f"precision_{layer}") if number is None else number
            for layer, number in enumerate(self._precision_numbers, start=1)
        )

    def prediction(self, layer: int, before: Tensor) -> Tensor:
        r"""The prediction :math:`a_l W_l \phi(z_{l-1}) + b_l + \tau_l z_{l-1}` of layer l = `layer`."""
        value = before if layer == 1 else self.activation.value(before)
        operator = self.operators[layer - 1]
        result = self.multipliers[layer - 1] * operator.push(self.weights[layer - 1], value)
        if len(self.biases):
            result = result + operator.spread(self.biases[layer - 1])
        return result + before if self.skips[layer - 1] else result

    def feedforward(self, x: Any) -> list[Tensor]:
        r"""Activities :math:`(\hat z_0, \dots, \hat z_L)` without prediction errors."""
        activities = [self.inputs(x)]
        for layer in range(1, self.depth + 1):
            activities.append(self.prediction(layer, activities[-1]))
        return activities

    def forward(self, x: Any) -> Tensor:
        """The prediction of the output layer, (B, n_L): logits with a cross-entropy output."""
        return self.feedforward(x)[-1]

    def energy(self, activities: Sequence[Any]) -> Tensor:
        r"""The energy F of any activities :math:`(z_0, \dots, z_L)`, a differentiable scalar."""
        z = self.activities(activities)
        total: Tensor = z[0].new_zeros(())
        for layer in range(1, self.depth + 1):
            prediction = self.prediction(layer, z[layer - 1])
            precision = self.precisions[layer - 1]
            if layer == self.depth and self.output == "cross-entropy":
                total = total - precision * (z[layer] * torch.log_softmax(prediction, -1)).sum()
                continue
            error = z[layer] - prediction
            total = total + 0.5 * (error * weight_by(precision, error)).sum()
        return total / z[0].shape[0]

    def loss(self, x: Any, y: Any, observed: Any = None) -> Tensor:
        r"""Backpropagation's loss at the energy's scale, a differentiable scalar.

        :math:`\frac{1}{2B}\sum_i |y - \hat z_L|^2_{\Pi_L}`, or :math:`\Pi_L` times the mean cross-entropy.
        `observed`, booleans (B, n_L), says which targets are counted, see `pctheory.loss`; all by default.

        Returns
        -------
        scalar tensor
            The mean over the batch.
        """
        inputs = self.inputs(x)
        targets, marks = self.observed_targets(y, observed, inputs.shape[0])
        prediction, precision = self(inputs), observed_precision(self.precisions[-1], marks, inputs)
        if self.output == "cross-entropy":
            return -precision * (targets * torch.log_softmax(prediction, -1)).sum() / inputs.shape[0]
        error = targets - prediction
        return 0.5 * (error * weight_output(precision, error)).sum() / inputs.shape[0]

    def inputs(self, x: Any) -> Tensor:
        """`x` as a checked tensor (B, n_0) of the model's dtype and device."""
        return self._rows(x, "x", 0)

    def targets(self, y: Any, batch: int) -> Tensor:
        """`y` as a checked tensor (B, n_L); class labels become one-hot rows with a cross-entropy output."""
        if self.output == "cross-entropy":
            y = one_hot(y, self.widths[-1])
        rows = self._rows(y, "y", self.depth)
        if rows.shape[0] != batch:
            raise ValueError(
                f"`x` and `y` must have one row per sample each. Got {batch} rows of x and {rows.shape[0]} "
                "of y."
            )
        if self.output == "cross-entropy":
            require_probabilities(rows)
        return rows

    def observed_targets(self, y: Any, observed: Any, batch: int) -> tuple[Tensor, Tensor | None]:
        """`targets` with zeros where they are not observed.

        Parameters
        ----------
        y : (B, n_L)
            Not read where `observed` is False (NaN is allowed there).
        observed : None or booleans (B, n_L)
            None: all of them.
        batch : int
            B.

        Returns
        -------
        targets : (B, n_L)
        observed : (B, n_L), or None if none is missing

        Raises
        ------
        ValueError
            If `observed` does not fit y, or the output is cross-entropy and a target is missing.
        """
        if observed is None:
            return self.targets(y, batch), None
        marks = observed if isinstance(observed, Tensor) else torch.as_tensor(np.array(observed))
        values = y if isinstance(y, Tensor) else torch.as_tensor(_check.to_numpy(y, "y"))
        if marks.dtype != torch.bool or marks.shape != values.shape:
            raise ValueError(
                f"`observed` must be booleans of the shape of y, {tuple(values.shape)}. Got an array of "
                f"shape {tuple(marks.shape)} and dtype {marks.dtype}."
            )
        if bool(marks.all()):
            return self.targets(y, batch), None
        if self.output == "cross-entropy":
            raise ValueError(
                "`observed` must be True everywhere with a cross-entropy output: a class is known or not. "
                f"Got {int((~marks).sum())} missing targets: leave their samples out."
            )
        values, marks = values.to(self.weights[0].detach()), marks.to(self.device)
        return self.targets(torch.where(marks, values, torch.zeros_like(values)), batch), marks

    def activities(self, activities: Sequence[Any]) -> tuple[Tensor, ...]:
        """`activities` as checked tensors (z_0, ..., z_L)."""
        return checked_activities(activities, self.widths, self.weights[0].detach())

    def _rows(self, value: Any, name: str, layer: int) -> Tensor:
        return checked_rows(value, name, layer, self.widths[layer], self.weights[0].detach())

    def __repr__(self) -> str:
        weighted = any(not isinstance(p, float) or p != 1.0 for p in self.precisions)
        shapes = (self.operators[0].before, *(o.after for o in self.operators))
        return summary(
            shapes,
            self.activation.name,
            self.output,
            self.skips,
            f"{self.num_weights} weights{' and biases' if len(self.biases) else ''}",
            weighted=weighted,
        )
