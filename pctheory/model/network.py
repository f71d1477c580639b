r"""The linear predictive coding network: weights, multipliers, skips and precisions, as one frozen value."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from array_api_compat import array_namespace, device, is_jax_array, is_numpy_array

from .. import _check, _html
from .._check import Array
from ._fields import multipliers_of, precisions_of, read_only, weights_of
from ._modules import linear_layers, require_same_map
from .parameterisation import initial_weights, skip_pattern
from .parameterisation import multipliers as parameterised_multipliers
from .precision import Precision

__all__ = ["LinearPCN"]


@dataclass(frozen=True, eq=False, repr=False, init=False)
class LinearPCN:
    r"""A linear predictive coding network with effective maps :math:`A_l = a_l W_l + \tau_l I`.

    Its energy is :math:`F = \frac{1}{2B} \sum_i \sum_{l=1}^{L} \epsilon_l^T \Pi_l \epsilon_l` with
    :math:`\epsilon_l = z_l - A_l z_{l-1}`; there are no biases.

    Parameters
    ----------
    weights : sequence of L arrays, W_l of shape (n_l, n_{l-1})
        Arrays of any array-API library, which every result keeps. Numpy arrays are copied and made read-only.
    multipliers : None or L numbers
        :math:`a_l`, 1 by default.
    skips : None, bool or L booleans
        :math:`\tau_l`: an identity skip around layer l. True means every hidden layer 2..L-1; the first and
        the last layer, and layers that are not square, cannot have one.
    precisions : None or L of: None, number, vector (n_l,), matrix (n_l, n_l)
        :math:`\Pi_l`, 1 by default; a matrix must be symmetric positive definite.

    Raises
    ------
    ValueError, TypeError
        One sentence with the rule that the argument breaks.

    Examples
    --------
    >>> net = LinearPCN([[[2.0]], [[3.0]]])
    >>> net
    LinearPCN(1 -> 1 -> 1, 2 weights)
    >>> [a.item() for a in net.replace(multipliers=(1, 0.5)).maps]
    [2.0, 1.5]
    """

    weights: tuple[Array, ...]
    multipliers: tuple[float, ...]
    skips: tuple[bool, ...]
    precisions: tuple[Precision, ...]

    def __init__(
        self,
        weights: Sequence[Array],
        *,
        multipliers: Sequence[float] | None = None,
        skips: bool | Iterable[bool] | None = None,
        precisions: Sequence[Any] | None = None,
    ) -> None:
        matrices = weights_of(weights)
        widths = (matrices[0].shape[1], *(w.shape[0] for w in matrices))
        object.__setattr__(self, "weights", matrices)
        object.__setattr__(self, "multipliers", multipliers_of(multipliers, len(matrices)))
        object.__setattr__(self, "skips", skip_pattern(widths, False if skips is None else skips))
        object.__setattr__(self, "precisions", precisions_of(precisions, widths, matrices[0]))

    @classmethod
    def random(
        cls,
        widths: Iterable[int],
        *,
        parameterisation: str = "sp",
        skips: bool | Iterable[bool] = False,
        gamma: float = 1.0,
        init: str | float | None = None,
        precisions: Sequence[Any] | None = None,
        rng: np.random.Generator | int,
    ) -> LinearPCN:
        r"""A network at random initialisation.

        Parameters
        ----------
        widths : (n_0, ..., n_L)
            Units of each layer, input first.
        parameterisation : "sp", "ntp" or "mupc"
            See `pctheory.model.parameterisation` for the table of multipliers and variances.
        skips : bool, or one per layer
            True: an identity skip on every hidden layer 2..L-1.
        gamma : float
            Richness; divides :math:`a_L`.
        init : None, float, "normal", "torch" or "orthogonal"
            None: the parameterisation's own variance; a number: the standard deviation of every entry; the
            others as in `initial_weights`.
        precisions
            As in `LinearPCN`.
        rng : numpy.random.Generator or int
            Generator, or its seed.

        Returns
        -------
        LinearPCN

        Examples
        --------
        >>> LinearPCN.random((3, 5, 5, 2), parameterisation="mupc", skips=True, rng=0)
        LinearPCN(3 -> 5 -> 5 -> 2, 50 weights, skips on layers 2)
        """
        sizes = _check.widths(widths)
        weights = initial_weights(sizes, parameterisation, init=init, rng=rng)
        return cls._parameterised(sizes, weights, parameterisation, skips, gamma, precisions)

    @classmethod
    def zeros(
        cls,
        widths: Iterable[int],
        *,
        parameterisation: str = "sp",
        skips: bool | Iterable[bool] = False,
        gamma: float = 1.0,
        precisions: Sequence[Any] | None = None,
    ) -> LinearPCN:
        """The origin of weight space: every weight is zero. Skips, if any, remain.

        Parameters
        ----------
        widths, parameterisation, skips, gamma, precisions
            As in `LinearPCN.random`.

        Returns
        -------
        LinearPCN

        Examples
        --------
        >>> LinearPCN.zeros((2, 1)).weights
        (array([[0., 0.]]),)
        """
        sizes = _check.widths(widths)
        _check.memory(sum(a * b for a, b in pairwise(sizes)), "widths", "take narrower layers")
        weights = tuple(np.zeros((out, into)) for into, out in pairwise(sizes))
        return cls._parameterised(sizes, weights, parameterisation, skips, gamma, precisions)

    @classmethod
    def _parameterised(
        cls,
        sizes: tuple[int, ...],
        weights: tuple[np.ndarray, ...],
        name: str,
        skips: bool | Iterable[bool],
        gamma: float,
        precisions: Sequence[Any] | None,
    ) -> LinearPCN:
        pattern = skip_pattern(sizes, skips)
        scales = parameterised_multipliers(sizes, name, skips=pattern, gamma=gamma)
        return cls(weights, multipliers=scales, skips=pattern, precisions=precisions)

    @classmethod
    def from_torch(cls, module: Any) -> LinearPCN:
        """The linear network of a torch module, as float64 numpy arrays.

        Parameters
        ----------
        module : torch.nn.Module
            A `pctheory.nn.PCN` with linear activation, or any container of bias-free `torch.nn.Linear` layers
            in the order of their use.

        Returns
        -------
        LinearPCN

        Raises
        ------
        ValueError
            If a layer has a bias, if the module holds anything that is not linear, or if its output on random
            inputs is not that of its layers one after another: a skip, a shared layer or a non-linearity in
            `forward`.
        TypeError
            If it is no module.
        """
        own = getattr(module, "linear_parameters", None)
        if own is not None:
            return cls(**own())
        if not callable(getattr(module, "modules", None)):
            raise TypeError(
                "`module` must be a torch.nn.Module of linear layers. "
                f"Got {type(module).__name__}: for matrices, use LinearPCN(weights)."
            )
        matrices = linear_layers(module)
        net = cls([_check.to_numpy(matrix, "weight") for matrix in matrices])
        require_same_map(module, net, matrices[0])
        return net

    @property
    def maps(self) -> tuple[Array, ...]:
        r"""Effective maps :math:`A_l = a_l W_l + \tau_l I`, (n_l, n_{l-1}) each.

        They are formed once if the weights cannot change. Torch tensors can be changed in place, and a graph
        serves only one backward pass, so that their maps are formed at every call.
        """
        fixed = isinstance(self.weights[0], np.ndarray) or is_jax_array(self.weights[0])
        return self._fixed_maps if fixed else self._form_maps()

    @cached_property
    def _fixed_maps(self) -> tuple[Array, ...]:
        return self._form_maps()

    def _form_maps(self) -> tuple[Array, ...]:
        return tuple(
            self._map(weight, multiplier, skip)
            for weight, multiplier, skip in zip(self.weights, self.multipliers, self.skips, strict=True)
        )

    @staticmethod
    def _map(weight: Array, multiplier: float, skip: bool) -> Array:
        scaled = weight if multiplier == 1.0 else multiplier * weight
        if not skip:
            return scaled
        xp = array_namespace(weight)
        return scaled + xp.eye(weight.shape[-1], dtype=weight.dtype, device=device(weight))

    @property
    def depth(self) -> int:
        """Number of weight layers L."""
        return len(self.weights)

    @cached_property
    def widths(self) -> tuple[int, ...]:
        """Layer widths (n_0, ..., n_L)."""
        return (int(self.weights[0].shape[-1]), *(int(w.shape[-2]) for w in self.weights))

    @property
    def num_weights(self) -> int:
        """Number of scalar weights."""
        return sum(out * into for into, out in pairwise(self.widths))

    def replace(self, **changes: Any) -> LinearPCN:
        """A new network with some fields changed.

        Parameters
        ----------
        **changes
            Any of `weights`, `multipliers`, `skips` and `precisions`, as in `LinearPCN`.

        Returns
        -------
        LinearPCN

        Raises
        ------
        TypeError
            For any other name.
        """
        fields = {
            "weights": self.weights,
            "multipliers": self.multipliers,
            "skips": self.skips,
            "precisions": [precision.value for precision in self.precisions],
        }
        unknown = sorted(set(changes) - set(fields))
        if unknown:
            raise TypeError(f"`replace` takes only {', '.join(fields)}. Got {', '.join(unknown)}.")
        return LinearPCN(**{**fields, **changes})

    def flatten(self) -> Array:
        """All weights as one vector (num_weights,): W_1, ..., W_L, each row by row."""
        return self.join(self.weights)

    def unflatten(self, vector: Array) -> LinearPCN:
        """The network with the weights of `vector`, (num_weights,): the inverse of `flatten`.

        Returns
        -------
        LinearPCN
            With the new weights.

        Raises
        ------
        ValueError
            If the vector has another shape, or entries that are not finite.
        """
        array = _check.as_array(vector, "vector")
        if tuple(array.shape) != (self.num_weights,):
            raise ValueError(f"`vector` must have shape ({self.num_weights},). Got {tuple(array.shape)}.")
        return self.with_weights(self.split(_check.finite(array, "vector")))

    def split(self, vectors: Array) -> tuple[Array, ...]:
        """Vectors (..., num_weights) as arrays of the weights' shapes, (..., n_l, n_{l-1}), l = 1..L.

        Unchecked.

        Returns
        -------
        tuple of (..., n_l, n_{l-1}), l = 1..L
        """
        xp = array_namespace(vectors)
        parts, start = [], 0
        for into, out in pairwise(self.widths):
            stop = start + out * into
            parts.append(xp.reshape(vectors[..., start:stop], (*vectors.shape[:-1], out, into)))
            start = stop
        return tuple(parts)

    def join(self, parts: Sequence[Array]) -> Array:
        """Arrays (..., n_l, n_{l-1}), l = 1..L, as vectors (..., num_weights): the inverse of `split`.

        Unchecked.

        Returns
        -------
        (..., num_weights)
            In the order of `flatten`.
        """
        xp = array_namespace(*parts)
        return xp.concat([xp.reshape(part, (*part.shape[:-2], -1)) for part in parts], axis=-1)

    def to_numpy(self) -> LinearPCN:
        """The same network in numpy float64, off the device and out of the graph of its arrays."""
        if all(isinstance(w, np.ndarray) and w.dtype == np.float64 for w in self.weights):
            return self
        weights = tuple(read_only(_check.to_numpy(w, "weights")) for w in self.weights)
        return self.with_weights(weights).with_precisions(tuple(p.to_numpy() for p in self.precisions))

    def with_weights(self, weights: tuple[Array, ...]) -> LinearPCN:
        """The network with other weights of the same shapes, or with stacks of them, (..., n_l, n_{l-1}).

        Unchecked.

        Returns
        -------
        LinearPCN
            All but the weights is shared.
        """
        net = object.__new__(LinearPCN)
        object.__setattr__(net, "weights", weights)
        for name in ("multipliers", "skips", "precisions"):
            object.__setattr__(net, name, getattr(self, name))
        return net

    def with_precisions(self, precisions: tuple[Precision, ...]) -> LinearPCN:
        """The network with other precisions of the same sizes. Unchecked."""
        net = self.with_weights(self.weights)
        object.__setattr__(net, "precisions", precisions)
        return net

    def __reduce__(self) -> tuple[Any, ...]:
        # copies and pickles: unpickled numpy arrays are writeable, and maps with a graph cannot be copied
        return _restored, (self.weights, self.multipliers, self.skips, self.precisions)

    def _repr_html_(self) -> str:
        facts: dict[str, object] = {
            "widths": _html.brief(self.widths),
            "weights": f"{self.num_weights}, {type(self.weights[0]).__module__.split('.')[0]} "
            f"{self.weights[0].dtype}",
            "multipliers": _html.brief([float(a) for a in self.multipliers]),
            "skips": ", ".join(str(l) for l, skip in enumerate(self.skips, 1) if skip) or "none",
            "precisions": _html.brief(
                [
                    float(p.value)
                    if isinstance(p.value, float)
                    else "matrix"
                    if p.value.ndim == 2
                    else "vector"
                    for p in self.precisions
                ]
            ),
        }
        return _html.card(f"LinearPCN, {self.depth} layers", facts, _html.layers(self.widths, self.skips))

    def __repr__(self) -> str:
        widths = self.widths if self.depth <= 8 else (*self.widths[:3], "...", *self.widths[-2:])
        parts = [" -> ".join(str(n) for n in widths), f"{self.num_weights} weights"]
        if any(self.skips):
            parts.append("skips on layers " + ", ".join(str(i) for i, s in enumerate(self.skips, 1) if s))
        if not all(p.is_identity for p in self.precisions):
            parts.append("precisions")
        return f"LinearPCN({', '.join(parts)})"


def _restored(
    weights: tuple[Array, ...],
    multipliers: tuple[float, ...],
    skips: tuple[bool, ...],
    precisions: tuple[Precision, ...],
) -> LinearPCN:
    """A network from the fields of another one."""
    net = object.__new__(LinearPCN)
    matrices = tuple(read_only(w) if is_numpy_array(w) else w for w in weights)
    for name, value in zip(
        ("weights", "multipliers", "skips", "precisions"),
        (matrices, multipliers, skips, precisions),
        strict=True,
    ):
        object.__setattr__(net, name, value)
    return net
