r"""Task losses :math:`\Lambda(z; \theta)` on the activities after inference, with their first derivatives.

Each is a batch mean: `value`, `activity_gradient` (with its factor 1/B, like `pctheory.activity_gradient`)
and `weight_gradient`, the explicit dependence on the weights at fixed activities.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from array_api_compat import array_namespace

from .. import _check
from .._check import Array
from ..inference import OUTPUT_LOSSES
from ..model import LinearPCN, layer_energies, prediction_errors
from ..model.definitions import weight_rule

__all__ = ["CrossEntropy", "LayerEnergies", "Mixture", "SquaredError", "TaskLoss"]


_CROSS_ENTROPY = OUTPUT_LOSSES["cross-entropy"]

PAIRS = "a list or tuple of pairs (number, task loss)"


@runtime_checkable
class TaskLoss(Protocol):
    """What the gradients through inference need to know of a task."""

    def value(self, net: LinearPCN, activities: Sequence[Array]) -> Array:
        r""":math:`\Lambda`, a scalar."""

    def activity_gradient(self, net: LinearPCN, activities: Sequence[Array]) -> tuple[Array, ...]:
        r""":math:`\partial\Lambda/\partial z_l`, (B, n_l), l = 0..L."""

    def weight_gradient(self, net: LinearPCN, activities: Sequence[Array]) -> tuple[Array, ...]:
        r""":math:`\partial\Lambda/\partial W_l` at fixed activities, l = 1..L."""


@dataclass(frozen=True)
class LayerEnergies:
    r"""Layer energies with weights, :math:`\frac{1}{2B} \sum_i \sum_l c_l\, \epsilon_l^T \Pi_l \epsilon_l`.

    Parameters
    ----------
    weights : None or L numbers
        :math:`c_l`. None: all 1, the energy itself. Zero but for the last: the reconstruction error of a
        generative network, whose layer L is the image.

    Examples
    --------
    >>> net = LinearPCN([[[2.0]], [[3.0]]])
    >>> float(LayerEnergies((0, 1)).value(net, ([[1.0]], [[2.5]], [[7.0]])))
    0.125
    """

    weights: Sequence[float] | None = None

    def __post_init__(self) -> None:
        if self.weights is not None:
            weights = _check.sequence(self.weights, "weights")
            checked = tuple(_check.real(c, f"weights[{l}]") for l, c in enumerate(weights))
            object.__setattr__(self, "weights", checked)

    def value(self, net: LinearPCN, activities: Sequence[Array]) -> Array:
        """The sum."""
        energies = layer_energies(net, activities)
        return sum(c * energies[l] for l, c in enumerate(self._weights(net)))

    def activity_gradient(self, net: LinearPCN, activities: Sequence[Array]) -> tuple[Array, ...]:
        r""":math:`\frac1B (c_l \Pi_l \epsilon_l - c_{l+1} A_{l+1}^T \Pi_{l+1} \epsilon_{l+1})`."""
        weighted = self._errors(net, activities)
        gradient = [-(weighted[0] @ net.maps[0])]
        for l in range(1, net.depth):
            gradient.append(weighted[l - 1] - weighted[l] @ net.maps[l])
        return (*gradient, weighted[-1])

    def weight_gradient(self, net: LinearPCN, activities: Sequence[Array]) -> tuple[Array, ...]:
        r""":math:`-\frac{a_l c_l}{B} \sum \Pi_l \epsilon_l z_{l-1}^T`."""
        size = activities[0].shape[0]
        return weight_rule(net, [size * error for error in self._errors(net, activities)], activities)

    def _errors(self, net: LinearPCN, activities: Sequence[Array]) -> list[Array]:
        size = activities[0].shape[0]
        return [
            c / size * precision.apply(error)
            for c, precision, error in zip(
                self._weights(net), net.precisions, prediction_errors(net, activities), strict=True
            )
        ]

    def _weights(self, net: LinearPCN) -> Sequence[float]:
        if self.weights is None:
            return (1.0,) * net.depth
        if len(self.weights) != net.depth:
            raise ValueError(
                f"`weights` must be one number per layer, {net.depth} of them. Got {len(self.weights)}."
            )
        return self.weights


@dataclass(frozen=True, eq=False)
class SquaredError:
    r"""Squared error of a linear read-out of one layer, :math:`\frac{1}{2B} \sum_i |t_i - V z_{l,i}|^2`.

    Parameters
    ----------
    target : (B, m)
        t.
    layer : int
        l; -1 is L.
    readout : None or (m, n_l)
        V; the identity when None.
    """

    target: Array
    layer: int = -1
    readout: Array | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "target", _check.matrix(self.target, "target"))
        object.__setattr__(self, "layer", _check.integer(self.layer, "layer"))
        if self.readout is not None:
            object.__setattr__(self, "readout", _check.matrix(self.readout, "readout"))

    def value(self, net: LinearPCN, activities: Sequence[Array]) -> Array:
        """The mean squared error over 2."""
        error = self._error(activities)
        return 0.5 * array_namespace(error).sum(error**2) / error.shape[0]

    def activity_gradient(self, net: LinearPCN, activities: Sequence[Array]) -> tuple[Array, ...]:
        r""":math:`-\frac1B V^T (t - V z_l)` in layer l."""
        error = self._error(activities)
        slope = error if self.readout is None else error @ self.readout
        return _only(activities, self.layer, -slope / error.shape[0])

    def weight_gradient(self, net: LinearPCN, activities: Sequence[Array]) -> tuple[Array, ...]:
        """Zero: the read-out is not a weight of the network."""
        return _no_weights(net)

    def _error(self, activities: Sequence[Array]) -> Array:
        z = activities[self.layer]
        return self.target - (z if self.readout is None else z @ self.readout.T)


@dataclass(frozen=True, eq=False)
class CrossEntropy:
    r"""Cross-entropy of a layer, :math:`-\frac1B \sum_i t_i^T \log \mathrm{softmax}(z_{l,i} / c)`.

    Parameters
    ----------
    target : (B, n_l)
        t: rows of probabilities, one-hot for classes.
    layer : int
        l; 0 by default: the inferred label of a generative network.
    temperature : float
        c, greater than 0.

    Examples
    --------
    >>> import numpy as np
    >>> net, activities = LinearPCN([[[1.0, 0.0]]]), (np.zeros((1, 2)), np.zeros((1, 1)))
    >>> round(float(CrossEntropy(np.array([[1.0, 0.0]])).value(net, activities)), 6)  # log 2
    0.693147
    """

    target: Array
    layer: int = 0
    temperature: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "target", _check.matrix(self.target, "target"))
        object.__setattr__(self, "layer", _check.integer(self.layer, "layer"))
        object.__setattr__(self, "temperature", _check.positive(self.temperature, "temperature"))

    def value(self, net: LinearPCN, activities: Sequence[Array]) -> Array:
        """The mean cross-entropy, in nats."""
        values = _CROSS_ENTROPY.value(self._logits(activities), self.target)
        return array_namespace(values).mean(values)

    def activity_gradient(self, net: LinearPCN, activities: Sequence[Array]) -> tuple[Array, ...]:
        r""":math:`\frac{1}{B c} (\mathrm{softmax} - t)` in layer l, for targets that sum to 1."""
        slope = _CROSS_ENTROPY.gradient(self._logits(activities), self.target)
        return _only(activities, self.layer, slope / (self.temperature * slope.shape[0]))

    def weight_gradient(self, net: LinearPCN, activities: Sequence[Array]) -> tuple[Array, ...]:
        """Zero."""
        return _no_weights(net)

    def _logits(self, activities: Sequence[Array]) -> Array:
        return activities[self.layer] / self.temperature


@dataclass(frozen=True)
class Mixture:
    r"""A weighted sum of task losses: :math:`\lambda` reconstruction :math:`+ (1 - \lambda)` cross-entropy.

    Parameters
    ----------
    terms : sequence of (number, TaskLoss)
    """

    terms: Sequence[tuple[float, TaskLoss]]

    def __post_init__(self) -> None:
        pairs = [
            _check.sequence(term, "terms", PAIRS) for term in _check.sequence(self.terms, "terms", PAIRS)
        ]
        for i, pair in enumerate(pairs):
            if len(pair) != 2:
                raise ValueError(f"`terms[{i}]` must be a number and a task loss. Got {len(pair)} entries.")
        checked = tuple(
            (_check.real(c, f"terms[{i}]"), _check.instance(loss, f"terms[{i}]", TaskLoss))
            for i, (c, loss) in enumerate(pairs)
        )
        object.__setattr__(self, "terms", checked)

    def value(self, net: LinearPCN, activities: Sequence[Array]) -> Array:
        """The sum."""
        return sum(c * loss.value(net, activities) for c, loss in self.terms)

    def activity_gradient(self, net: LinearPCN, activities: Sequence[Array]) -> tuple[Array, ...]:
        """The sum of the gradients."""
        return self._sum([loss.activity_gradient(net, activities) for _, loss in self.terms])

    def weight_gradient(self, net: LinearPCN, activities: Sequence[Array]) -> tuple[Array, ...]:
        """The sum of the explicit gradients."""
        return self._sum([loss.weight_gradient(net, activities) for _, loss in self.terms])

    def _sum(self, gradients: list[tuple[Array, ...]]) -> tuple[Array, ...]:
        return tuple(
            sum(c * part for (c, _), part in zip(self.terms, parts, strict=True))
            for parts in zip(*gradients, strict=True)
        )


def _only(activities: Sequence[Array], layer: int, slope: Array) -> tuple[Array, ...]:
    index = range(len(activities))[layer]
    return tuple(slope if l == index else array_namespace(z).zeros_like(z) for l, z in enumerate(activities))


def _no_weights(net: LinearPCN) -> tuple[Array, ...]:
    return tuple(array_namespace(w).zeros_like(w) for w in net.parameters)
