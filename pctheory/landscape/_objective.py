"""What every objective shares: its derivatives in several forms, from one expansion at a network."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from array_api_compat import array_namespace, device, is_array_api_obj
from scipy.sparse.linalg import LinearOperator

from .. import _check
from .._check import Array
from ..model import LEARNED, Data, LinearPCN
from ._expansion import Expansion

CHUNK = 2**22
"""Numbers held at once by a block of directions of the dense Hessian."""


class Objective(ABC):
    r"""A function f of the weights, with its exact gradient and Hessian.

    Value and gradient take weights of any array-API library, return arrays of the same one, and are
    differentiable there.

    Attributes
    ----------
    data : Data
    entropy_weight : float
        Weight of :math:`\frac12 \log\det S` in f.
    learn : tuple of str
        The kinds of parameters that f is a function of.
    """

    data: Data
    entropy_weight: ClassVar[float] = 0.0
    learn: tuple[str, ...] = LEARNED

    def coordinates(self, net: LinearPCN) -> LinearPCN:
        """The network whose parameters are those that this objective is a function of.

        Returns
        -------
        LinearPCN
            `net` itself if the objective is one of the weights and biases.

        Raises
        ------
        ValueError
            If the network has nothing of what `learn` names, or a precision that learns is a matrix.
        """
        own = _check.instance(net, "net", LinearPCN).learning(self.learn)
        if self.learn != LEARNED and not own.num_weights:
            raise ValueError(
                f"`learn` must name something that the network has and does not fix. Got {self.learn} for "
                f"{net!r}."
            )
        return own

    @abstractmethod
    def expand(self, net: LinearPCN, order: int = 1) -> Expansion:
        """What value, gradient and Hessian-vector product at `net` share, accurate to first or second
        derivatives.
        """

    def value(self, net: LinearPCN) -> Array:
        r""":math:`f`, a scalar of the weights' array library."""
        return self.expand(net).value

    def values(self, net: LinearPCN, vectors: Array) -> Array:
        r""":math:`f` at many points of weight space.

        Parameters
        ----------
        net : LinearPCN
            Widths, multipliers, skips and precisions; its weights do not matter.
        vectors : (K, num_weights)
            Weights, in the order of ``net.flatten()``, or of ``coordinates(net).flatten()``.

        Returns
        -------
        values : (K,)

        Raises
        ------
        ValueError
            If `vectors` has another shape.
        """
        net = self.coordinates(net)
        if vectors.ndim != 2 or vectors.shape[1] != net.num_weights:
            raise ValueError(
                f"`vectors` must have shape (K, {net.num_weights}), one row per network. "
                f"Got {tuple(vectors.shape)}."
            )
        return self.stacked_values(net.with_weights(net.split(vectors)))

    @abstractmethod
    def stacked_values(self, net: LinearPCN) -> Array:
        """Values (...,) of a network whose weights are stacks, (..., n_l, n_{l-1}). Unchecked."""

    def gradient(self, net: LinearPCN) -> tuple[Array, ...]:
        r""":math:`\partial f / \partial W_l`, then :math:`\partial f / \partial b_l` if there are biases.

        Returns
        -------
        gradient : tuple like ``coordinates(net).parameters``
            0 where an entry is fixed.
        """
        return self.value_and_gradient(net)[1]

    def value_and_gradient(self, net: LinearPCN) -> tuple[Array, tuple[Array, ...]]:
        """`value` and `gradient`, for the cost of the gradient."""
        net = self.coordinates(net)
        expansion = self.expand(net)
        return expansion.value, net.masked(expansion.gradient())

    def metric_and_noise(self, net: LinearPCN) -> tuple[np.ndarray, np.ndarray]:
        r"""The matrices :math:`\Lambda` and :math:`\Omega` of the closed forms (see
        `pctheory.landscape.closed_forms`).

        Returns
        -------
        metric, noise : (n_L, n_L)
            Numpy float64.

        Raises
        ------
        TypeError
            For an objective without them.
        """
        raise TypeError(
            "`objective` must be an MSELoss, an EquilibratedEnergy or a NegativeLogLikelihood. "
            f"Got {type(self).__name__}: its Hessian has no closed form."
        )

    def infimum(self, net: LinearPCN) -> float | None:
        """The greatest lower bound of f over all weights of networks of these widths; None where it is not
        known.

        Returns
        -------
        float or None
            The bound, or None.
        """
        return None

    def hvp(self, net: LinearPCN, direction: Sequence[Array] | Array) -> Any:
        r"""Hessian-vector product :math:`\nabla^2 f\, v`: the exact derivative of the gradient along v.

        Parameters
        ----------
        net : LinearPCN
            Where the Hessian is taken.
        direction : arrays like ``coordinates(net).parameters``, or vector (num_weights,)
            A vector is in the order of ``coordinates(net).flatten()``. What is fixed does not move.

        Returns
        -------
        product : of the same form as `direction`

        Raises
        ------
        ValueError, TypeError
            If the direction has other shapes.

        Notes
        -----
        Costs about three gradients, and about two in `hessian_operator`, which does the work at the network
        once.
        """
        net = self.coordinates(net)
        parts, flat = _direction(net, direction)
        product = net.masked(self.expand(net, 2).hvp(net.masked(parts)))
        return net.join(product) if flat else product

    def hessian(self, net: LinearPCN) -> Array:
        r"""The dense Hessian :math:`\nabla^2 f`, exactly symmetric.

        Returns
        -------
        hessian : (num_weights, num_weights)
            Rows and columns in the order of ``coordinates(net).flatten()``.

        Notes
        -----
        Costs num_weights Hessian-vector products, done in blocks.
        """
        net = self.coordinates(net)
        size = net.num_weights
        _check.memory(3 * size**2, "net", "use `hessian_operator`, which forms no matrix")
        expansion, weight = self.expand(net, 2), net.weights[0]
        xp = array_namespace(weight)
        identity = xp.eye(size, dtype=weight.dtype, device=device(weight))
        step = max(1, CHUNK // size)
        blocks = [net.join(expansion.hvp(net.split(identity[i : i + step, :]))) for i in range(0, size, step)]
        full = xp.concat(blocks, axis=0)
        return (full + full.T) / 2

    def hessian_operator(self, net: LinearPCN) -> LinearOperator:
        r"""The Hessian as an operator; the matrix is not formed.

        Returns
        -------
        operator : scipy.sparse.linalg.LinearOperator
            (num_weights, num_weights), on numpy float64 vectors.
        """
        net = self.coordinates(net)
        expansion, size = self.expand(net, 2), net.num_weights
        weight = net.weights[0]
        xp = array_namespace(weight)

        def rows(block: np.ndarray) -> np.ndarray:
            own = xp.asarray(np.ascontiguousarray(block), dtype=weight.dtype, device=device(weight))
            return _check.to_numpy(net.join(expansion.hvp(net.split(own))), "product")

        return LinearOperator(
            (size, size),
            matvec=lambda v: rows(np.reshape(v, (1, -1)))[0],
            rmatvec=lambda v: rows(np.reshape(v, (1, -1)))[0],
            matmat=lambda block: rows(block.T).T,
            rmatmat=lambda block: rows(block.T).T,
            dtype=np.float64,
        )

    def one_by_one(self, net: LinearPCN) -> Array:
        """`stacked_values` where they are not computed all at once."""
        xp = array_namespace(*_check.instance(net, "net", LinearPCN).weights)
        shape = net.weights[0].shape[:-2]
        flat = [xp.reshape(p, (-1, *p.shape[len(shape) :])) for p in net.parameters]
        values = [
            self.value(net.with_weights(tuple(p[i, ...] for p in flat))) for i in range(flat[0].shape[0])
        ]
        return xp.reshape(xp.stack(values), shape)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.data!r})"


def _direction(net: LinearPCN, direction: Sequence[Array] | Array) -> tuple[tuple[Array, ...], bool]:
    """A direction as a tuple of arrays, and whether it came as a vector."""
    if not isinstance(direction, list | tuple):
        if not is_array_api_obj(direction):
            raise TypeError(
                "`direction` must be a tuple of arrays like the weights, or a vector. "
                f"Got {type(direction).__name__}."
            )
        vector = _check.finite(_check.as_array(direction, "direction"), "direction")
        if tuple(vector.shape) != (net.num_weights,):
            raise ValueError(
                f"`direction` must have shape ({net.num_weights},), one entry per weight. Got "
                f"{tuple(vector.shape)}."
            )
        return net.split(vector), True
    if len(direction) != len(net.parameters):
        names = ", then ".join(f"`{name}_l`" for name in _letters(net))
        raise ValueError(
            f"`direction` must hold one array per layer, {names}: {len(net.parameters)} of them. Got "
            f"{len(direction)}."
        )
    parts = tuple(
        _check.finite(_check.as_array(d, f"direction[{l}]"), f"direction[{l}]")
        for l, d in enumerate(direction)
    )
    for l, (part, own) in enumerate(zip(parts, net.parameters, strict=True)):
        if tuple(part.shape) != tuple(own.shape):
            name = f"{_letters(net)[l // net.depth]}_{l % net.depth + 1}"
            raise ValueError(
                f"`direction[{l}]` must have the shape of `{name}`, {tuple(own.shape)}. Got "
                f"{tuple(part.shape)}."
            )
    return parts, False


def _letters(net: LinearPCN) -> list[str]:
    """What the groups of parameters are called, one per layer each."""
    logs = ["log Pi"] if len(net.parameters) > net.depth + len(net.biases) else []
    return ["W", *(["b"] if net.biases else []), *logs]
