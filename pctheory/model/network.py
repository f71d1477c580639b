r"""The linear predictive coding network, as one frozen value."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import pairwise
from typing import Any

import numpy as np
from array_api_compat import array_namespace, device, is_jax_array, is_numpy_array

from .. import _check, _html
from .._check import Array
from ._chain import Wiring, chain_of
from ._fields import biases_of, fixed_of, multipliers_of, precisions_of, read_only, weights_of
from ._layout import Layout
from ._modules import read_module, require_same_map
from .parameterisation import initial_weights, skip_pattern
from .parameterisation import multipliers as parameterised_multipliers
from .precision import Precision

__all__ = ["LinearPCN"]

PARAMETERS = ("weights", "biases", "precisions")
"""What can learn."""

LEARNED = ("weights", "biases")
"""What learns unless said otherwise."""

FIELDS = ("weights", "biases", "multipliers", "skips", "precisions", "fixed", "learned")


@dataclass(frozen=True, eq=False, repr=False, init=False)
class LinearPCN:
    r"""A linear predictive coding network with effective maps :math:`A_l = a_l W_l + \tau_l I`.

    Its energy is :math:`F = \frac{1}{2B} \sum_i \sum_{l=1}^{L} \epsilon_l^T \Pi_l \epsilon_l` with
    :math:`\epsilon_l = z_l - A_l z_{l-1} - b_l`.

    Parameters
    ----------
    weights : sequence of L arrays, W_l of shape (n_l, n_{l-1})
        Arrays of any array-API library, which every result keeps. Numpy arrays are copied and made read-only.
    biases : None or L of: None, vector (n_l,)
        :math:`b_l`. None for a layer: it has none, which counts as a zero that does not learn.
    multipliers : None or L numbers
        :math:`a_l`, 1 by default; the bias is not multiplied.
    skips : None, bool or L booleans
        :math:`\tau_l`: an identity skip around layer l. True means every hidden layer 2..L-1; the first and
        the last layer, and layers that are not square, cannot have one.
    precisions : None or L of: None, number, vector (n_l,), matrix (n_l, n_l)
        :math:`\Pi_l`, 1 by default; a matrix must be symmetric positive definite. In hidden layers inf (on
        the diagonal) makes a unit carry its value without noise: :math:`\epsilon_l = 0` there. A function
        that needs a finite precision says so.
    fixed : None or L, or 2 L with biases, of: None, bool, mask like the weight (then like the bias)
        True where an entry does not learn. Its gradient is 0, and the vectors of `flatten` and `split` leave
        it out.

    Raises
    ------
    ValueError, TypeError
        One sentence with the rule that the argument breaks.

    Notes
    -----
    With biases everything is as without them for the targets less what the biases add to the output (claim
    ``biases``). A network with edges over several layers, or cycles, is a `LinearGraph`.

    Examples
    --------
    >>> net = LinearPCN([[[2.0]], [[3.0]]])
    >>> net
    LinearPCN(1 -> 1 -> 1, 2 weights)
    >>> [a.item() for a in net.replace(multipliers=(1, 0.5)).maps]
    [2.0, 1.5]
    """

    weights: tuple[Array, ...]
    biases: tuple[Array, ...]
    multipliers: tuple[float, ...]
    skips: tuple[bool, ...]
    precisions: tuple[Precision, ...]
    fixed: tuple[np.ndarray, ...]
    learned: tuple[str, ...]

    def __init__(
        self,
        weights: Sequence[Array],
        *,
        biases: Sequence[Any] | None = None,
        multipliers: Sequence[float] | None = None,
        skips: bool | Iterable[bool] | None = None,
        precisions: Sequence[Any] | None = None,
        fixed: Sequence[Any] | None = None,
    ) -> None:
        matrices = weights_of(weights)
        vectors = biases_of(biases, matrices)
        absent = [] if biases is None else [layer for layer, b in enumerate(biases) if b is None]
        widths = (matrices[0].shape[1], *(w.shape[0] for w in matrices))
        self._set(
            weights=matrices,
            biases=vectors,
            multipliers=multipliers_of(multipliers, len(matrices)),
            skips=skip_pattern(widths, False if skips is None else skips),
            precisions=precisions_of(precisions, widths, matrices[0]),
            fixed=fixed_of(fixed, (*matrices, *vectors), absent),
            learned=LEARNED,
        )

    def _set(self, **fields: Any) -> None:
        for name, value in fields.items():
            object.__setattr__(self, name, value)

    def _with(self, **fields: Any) -> LinearPCN:
        """The network with other fields, unchecked."""
        net = object.__new__(LinearPCN)
        net._set(**{name: fields.get(name, getattr(self, name)) for name in FIELDS})
        return net

    @classmethod
    def random(
        cls,
        widths: Iterable[int],
        *,
        parameterisation: str = "sp",
        skips: bool | Iterable[bool] = False,
        gamma: float = 1.0,
        init: str | float | None = None,
        biases: float | None = None,
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
        biases : float, optional
            Standard deviation of the biases, 0 for biases that start at zero; None for no biases.
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
        generator = _check.generator(rng)
        weights = initial_weights(sizes, parameterisation, init=init, rng=generator)
        shifts = None
        if biases is not None:
            level = _check.non_negative(biases, "biases")
            shifts = [level * generator.standard_normal(width) for width in sizes[1:]]
        net = cls._parameterised(sizes, weights, parameterisation, skips, gamma, precisions)
        return net if shifts is None else net.replace(biases=shifts)

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
    def from_torch(
        cls, module: Any, *, input_shape: Sequence[int] | None = None, tensors: bool = False
    ) -> LinearPCN:
        """The linear network of a torch module.

        Parameters
        ----------
        module : torch.nn.Module
            A `pctheory.nn.PCN` with linear activation, or any module that is linear in its input: linear
            layers with or without biases, residual blocks and long skips, convolutions, average pools, batch
            norm in eval mode, flatten and the like. Its forward pass is traced, and the result compared with
            it.
        input_shape : sequence of int, optional
            Shape of an input without the batch; needed if the first layer is not a linear one. The network
            takes inputs that are flattened.
        tensors : bool
            Whether to keep the module's tensors, with dtype and graph, instead of float64 numpy copies.

        Returns
        -------
        LinearPCN
            Every input of a layer is a hidden layer with precision 1. A skip over several layers is carried
            by units of precision inf. What is no weight of a linear layer, or is used twice, is fixed:
            kernels of convolutions, pools, skips, shared layers. A batch norm, or an identity around one
            layer, is part of its matrix. `LinearGraph.from_torch` has the same by names.

        Raises
        ------
        ValueError
            At the first operation that is not linear, which it names; or if the forward pass cannot be
            traced.
        TypeError
            If it is no module.
        """
        own = getattr(module, "linear_parameters", None)
        if own is not None:
            return cls(**own())
        read = read_module(module, input_shape, tensors=_check.flag(tensors, "tensors"))
        ones = {name: Precision(1.0, size) for name, size in read.nodes.items()}
        names = list(read.nodes)
        fields, precisions = chain_of(
            Wiring(read.nodes, read.edges, read.biases, ones, frozenset(read.fixed), names[0], names[-1])
        )
        net = cls(**fields).with_precisions(precisions)
        require_same_map(module, net, input_shape)
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
    def predictors(self) -> tuple[Callable[[Array], Array], ...]:
        r"""The predictions of the layers, rows :math:`z_{l-1} \mapsto A_l z_{l-1} + b_l`, l = 1..L."""
        shifts = self.biases or (None,) * self.depth
        return tuple(partial(_affine, matrix, shift) for matrix, shift in zip(self.maps, shifts, strict=True))

    @property
    def parameters(self) -> tuple[Array, ...]:
        """The weights, then the biases if there are any, then the logarithms of precisions that learn."""
        if "precisions" not in self.learned:
            return (*self.weights, *self.biases)
        logs = [precision.logarithm(self.weights[0]) for precision in self.precisions]
        return (*self.weights, *self.biases, *logs)

    @property
    def depth(self) -> int:
        """Number of weight layers L."""
        return len(self.weights)

    @cached_property
    def widths(self) -> tuple[int, ...]:
        """Layer widths (n_0, ..., n_L)."""
        return (int(self.weights[0].shape[-1]), *(int(w.shape[-2]) for w in self.weights))

    @cached_property
    def layout(self) -> Layout:
        """Where the parameters lie in the vector of `flatten`."""
        shapes: list[tuple[int, ...]] = [(out, into) for into, out in pairwise(self.widths)]
        if self.biases:
            shapes += [(width,) for width in self.widths[1:]]
        if self.learned == LEARNED:
            return Layout(tuple(shapes), self.fixed)
        kinds = [name for name, parts in (("weights", self.weights), ("biases", self.biases)) for _ in parts]
        own = self.fixed or tuple(np.zeros(shape, dtype=bool) for shape in shapes)
        masks = [mask | (kind not in self.learned) for kind, mask in zip(kinds, own, strict=True)]
        if "precisions" in self.learned:
            shapes += [tuple(log.shape) for log in self.parameters[len(shapes) :]]
            masks += [
                ~precision.noisy if shape else np.array(False)
                for precision, shape in zip(self.precisions, shapes[len(masks) :], strict=True)
            ]
        return Layout(tuple(shapes), tuple(masks) if any(mask.any() for mask in masks) else ())

    @property
    def num_weights(self) -> int:
        """Number of scalars that learn: weights, biases if there are any, precisions where they learn."""
        return self.layout.size

    @property
    def is_plain(self) -> bool:
        """Whether there are no biases, all entries learn and nothing else, and every unit has noise."""
        return not self.biases and not self.fixed and not self.carries and self.learned == LEARNED

    @cached_property
    def carries(self) -> bool:
        """Whether some units carry a value without noise."""
        return any(precision.carries for precision in self.precisions)

    @cached_property
    def is_white(self) -> bool:
        """Whether every precision is 1."""
        return all(precision.is_identity for precision in self.precisions)

    def replace(self, **changes: Any) -> LinearPCN:
        """A new network with some fields changed.

        Parameters
        ----------
        **changes
            Any of `weights`, `biases`, `multipliers`, `skips`, `precisions` and `fixed`, as in `LinearPCN`.

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
            "biases": self.biases or None,
            "multipliers": self.multipliers,
            "skips": self.skips,
            "precisions": [precision.value for precision in self.precisions],
            "fixed": (self.fixed[: self.depth] if "biases" in changes else self.fixed) or None,
        }
        unknown = sorted(set(changes) - set(fields))
        if unknown:
            raise TypeError(f"`replace` takes only {', '.join(fields)}. Got {', '.join(unknown)}.")
        return LinearPCN(**{**fields, **changes})

    def flatten(self) -> Array:
        """All that learns as one vector (num_weights,): W_1, ..., W_L row by row, then b_1, ..., b_L."""
        return self.join(self.parameters)

    def unflatten(self, vector: Array) -> LinearPCN:
        """The network with the parameters of `vector`, (num_weights,): the inverse of `flatten`.

        Returns
        -------
        LinearPCN
            With the new weights and biases, and precisions if they learn.

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
        """Vectors (..., num_weights) as arrays like `parameters`, 0 where an entry is fixed.

        Unchecked.

        Returns
        -------
        tuple of (..., n_l, n_{l-1}), l = 1..L, then with biases (..., n_l), l = 1..L
        """
        return self.layout.split(vectors)

    def join(self, parts: Sequence[Array]) -> Array:
        """Arrays like `parameters` as vectors (..., num_weights): the inverse of `split`.

        Unchecked.

        Returns
        -------
        (..., num_weights)
            In the order of `flatten`, without what is fixed.
        """
        return self.layout.join(parts)

    def masked(self, parts: Sequence[Array]) -> tuple[Array, ...]:
        """Arrays like `parameters` with 0 where an entry is fixed."""
        return self.layout.masked(parts)

    def without_biases(self) -> LinearPCN:
        """The network with all biases zero and none to learn."""
        masks = self.fixed[: self.depth]
        return self._with(biases=(), fixed=masks if any(mask.any() for mask in masks) else ())

    def all_learned(self) -> LinearPCN:
        """The network with nothing fixed."""
        return self._with(fixed=(), learned=LEARNED)

    def learning(self, names: Sequence[str]) -> LinearPCN:
        r"""The network with other `parameters`: what learns.

        Precisions learn by their logarithms, one of a number and n_l of a vector.

        Parameters
        ----------
        names : some of "weights", "biases", "precisions"
            Kinds that are left out are fixed. Entries that are `fixed` stay so, and units that carry a value
            keep the precision inf.

        Returns
        -------
        LinearPCN

        Examples
        --------
        >>> net = LinearPCN([[[2.0]], [[3.0]]]).learning(("weights", "precisions"))
        >>> [float(log) for log in net.parameters[2:]], net.num_weights
        ([0.0, 0.0], 4)
        >>> round(net.unflatten([2.0, 3.0, 0.0, 1.0]).precisions[1].value, 6)
        2.718282
        """
        return self if tuple(names) == self.learned else self._with(learned=tuple(names))

    def with_constant(self) -> LinearPCN:
        r"""The network whose last unit of layers 0..L-1 carries a 1, and whose biases are weights from it.

        .. math:: A_l \mapsto \begin{pmatrix} A_l & b_l \\ 0 & 1 \end{pmatrix}, \qquad
                  \Sigma_l \mapsto \begin{pmatrix} \Sigma_l & 0 \\ 0 & 0 \end{pmatrix} \quad (l < L)

        Claim ``biases``. Its multipliers are 1, and it has no skips: its weights are its maps.

        Returns
        -------
        LinearPCN
            Of widths n_0 + 1, ..., n_{L-1} + 1, n_L, for inputs with a last column of ones.
        """
        like = self.weights[0]
        xp = array_namespace(like)
        weights = []
        for layer, (matrix, bias) in enumerate(zip(self.maps, self.biases, strict=True), start=1):
            stack = (*matrix.shape[:-2], matrix.shape[-2], 1)
            rows = xp.concat([matrix, xp.broadcast_to(bias[..., None], stack)], axis=-1)
            if layer < self.depth:
                last = xp.eye(rows.shape[-1], dtype=like.dtype, device=device(like))[-1:, :]
                last = xp.broadcast_to(last, (*rows.shape[:-2], 1, rows.shape[-1]))
                rows = xp.concat([rows, last], axis=-2)
            weights.append(rows)
        return self._with(
            weights=tuple(weights),
            biases=(),
            multipliers=(1.0,) * self.depth,
            skips=(False,) * self.depth,
            precisions=(*(p.with_constant(like) for p in self.precisions[:-1]), self.precisions[-1]),
            fixed=(),
            learned=LEARNED,
        )

    def to_numpy(self) -> LinearPCN:
        """The same network in numpy float64, off the device and out of the graph of its arrays."""
        if all(isinstance(p, np.ndarray) and p.dtype == np.float64 for p in self.parameters):
            return self
        weights = tuple(read_only(_check.to_numpy(w, "weights")) for w in self.weights)
        biases = tuple(read_only(_check.to_numpy(b, "biases")) for b in self.biases)
        return self._with(
            weights=weights, biases=biases, precisions=tuple(p.to_numpy() for p in self.precisions)
        )

    def with_weights(self, parts: Sequence[Array]) -> LinearPCN:
        """The network with other parameters of the same shapes, or with stacks of them, (..., n_l, n_{l-1}).

        Unchecked.

        Parameters
        ----------
        parts : arrays like the weights, or like `parameters`
            What is not given stays, and so do entries that are fixed.

        Returns
        -------
        LinearPCN
            All else is shared.
        """
        masked = self.fixed or self.learned != LEARNED
        kept = self.layout.masked(parts, self.parameters) if masked else tuple(parts)
        end = self.depth + len(self.biases)
        net = self._with(weights=kept[: self.depth], biases=kept[self.depth : end] or self.biases)
        if kept[end:]:
            logs = zip(self.precisions, kept[end:], strict=True)
            return net.with_precisions(tuple(p.with_logarithm(log) for p, log in logs))
        return net

    def with_precisions(self, precisions: tuple[Precision, ...]) -> LinearPCN:
        """The network with other precisions of the same sizes. Unchecked."""
        return self._with(precisions=precisions)

    def __reduce__(self) -> tuple[Any, ...]:
        # copies and pickles: unpickled numpy arrays are writeable, and maps with a graph cannot be copied
        return _restored, tuple(getattr(self, name) for name in FIELDS)

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
        num_weights = self.learning(LEARNED).num_weights
        parts = [" -> ".join(str(n) for n in widths), f"{num_weights} weights"]
        if self.biases:
            parts[1] += " and biases"
        if any(self.skips):
            parts.append("skips on layers " + ", ".join(str(i) for i, s in enumerate(self.skips, 1) if s))
        if not all(p.is_identity for p in self.precisions):
            parts.append("precisions")
        if self.fixed:
            parts.append(f"{sum(int(mask.sum()) for mask in self.fixed)} entries fixed")
        if self.learned != LEARNED:
            parts.append(f"learns {' and '.join(self.learned)}")
        return f"LinearPCN({', '.join(parts)})"


def _restored(*values: Any) -> LinearPCN:
    """A network from the fields of another one."""
    net = object.__new__(LinearPCN)
    fields = dict(zip(FIELDS, values, strict=True))
    for name in ("weights", "biases", "fixed"):
        fields[name] = tuple(read_only(w) if is_numpy_array(w) else w for w in fields[name])
    net._set(**fields)
    return net


def _affine(matrix: Array, shift: Array | None, rows: Array) -> Array:
    predicted = rows @ matrix.T
    return predicted if shift is None else predicted + shift
