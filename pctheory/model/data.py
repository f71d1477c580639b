r"""Data: inputs and targets, their second moments, exact compression, and problems with a known answer."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Protocol

import numpy as np
from array_api_compat import array_namespace

from .. import _check
from .._check import Array
from ..linalg import qr_root, where_observed

__all__ = ["Data"]

PART = 4096
"""Rows of a data set that are read at once."""


class Teacher(Protocol):
    """What `Data.teacher` needs of a linear network."""

    @property
    def maps(self) -> tuple[Array, ...]: ...

    @property
    def biases(self) -> tuple[Array, ...]: ...


@dataclass(frozen=True, eq=False, repr=False)
class Data:
    r"""Samples :math:`(x_i, y_i)` as rows, in any array library.

    Parameters
    ----------
    x : (B, n_0)
        Inputs.
    y : (B, n_L)
        Targets; one-hot rows for classes.
    observed : None or booleans (B, n_L)
        True where a target is observed; the others are free, and their y is not read (NaN is allowed there).
        None: all of them. `equilibrium`, `loss`, `MSELoss`, `EquilibratedEnergy` and `pctheory.nn.train` take
        missing targets (claim ``missing-outputs``); what needs all of them says so.

    Notes
    -----
    The loss, the equilibrated energy and all their derivatives depend on the data only through the second
    moments :math:`S_{xx}, S_{yx}, S_{yy}` (claim ``data-compression``): `compress` replaces any data set by
    at most n_0 + n_L rows that have the same ones.

    Examples
    --------
    >>> data = Data([[1.0], [2.0]], [[-1.0], [-2.0]])
    >>> float(data.yx[0, 0])
    -2.5
    >>> Data([[1.0], [2.0]], [[-1.0], [float("nan")]], observed=[[True], [False]])
    Data(2 samples, 1 -> 1, 1 of 2 targets observed)
    """

    x: Array
    y: Array
    observed: Array | None = None
    is_compressed = False
    """Whether the rows are no samples, but have their second moments: then the mean is lost."""

    def __post_init__(self) -> None:
        x, observed = _check.matrix(self.x, "x"), None
        if self.observed is not None:
            y, observed = _observed_targets(self.y, self.observed)
        else:
            y = _targets(self.y)
        _check.same_namespace((x, y), "x and y")
        if x.shape[0] != y.shape[0]:
            raise ValueError(
                f"`x` and `y` must have one row per sample each. Got {x.shape[0]} rows of x and {y.shape[0]} "
                f"of y."
            )
        object.__setattr__(self, "x", x)
        object.__setattr__(self, "y", y)
        object.__setattr__(self, "observed", observed)

    @property
    def num_samples(self) -> int:
        """Number of rows B."""
        return int(self.x.shape[0])

    @cached_property
    def xx(self) -> Array:
        r""":math:`S_{xx} = \frac1B \sum x x^T`, (n_0, n_0), not centred."""
        return self.x.T @ self.x / self.num_samples

    @cached_property
    def yx(self) -> Array:
        r""":math:`S_{yx} = \frac1B \sum y x^T`, (n_L, n_0)."""
        return self.complete().y.T @ self.x / self.num_samples

    @cached_property
    def yy(self) -> Array:
        r""":math:`S_{yy} = \frac1B \sum y y^T`, (n_L, n_L)."""
        return self.complete().y.T @ self.y / self.num_samples

    def complete(self) -> Data:
        """The data themselves, if every target is observed.

        Returns
        -------
        Data
            Unchanged.

        Raises
        ------
        ValueError
            If one is missing.
        """
        if self.observed is None:
            return self
        missing = int(self.observed.size - self.observed.sum())
        raise ValueError(
            f"`data` must have every target observed here. Got {missing} missing ones: only `equilibrium`, "
            "`loss`, `MSELoss`, `EquilibratedEnergy` and `pctheory.nn.train` take them."
        )

    def compress(self) -> Data:
        r"""At most n_0 + n_L rows with the same second moments: the triangular factor of [x y].

        Returns
        -------
        Data
            The data itself if it has no more rows than that.

        Notes
        -----
        The factor is the square root of the second moments, so that no condition number is squared. Cost
        :math:`O(B (n_0 + n_L)^2)`. Claim ``data-compression``.
        """
        self.complete()
        few = self.num_samples <= self.x.shape[1] + self.y.shape[1]
        return self if few else _compressed(_parts(self.x, self.y))

    def residual_noise(self) -> Array:
        r"""Schur complement :math:`S_{yy} - S_{yx} S_{xx}^+ S_{xy}`, (n_L, n_L).

        The second moment of what no linear map of x can predict. Zero means *realisable*: some T has y = T x
        on every sample. Directions of x below ``max(B, n_0) * eps`` of the largest singular value count as
        absent.

        Returns
        -------
        (n_L, n_L)
            Symmetric, positive semidefinite.
        """
        xp = array_namespace(self.x, self.y)
        data = self.compress()
        basis, values, _ = xp.linalg.svd(data.x, full_matrices=False)
        threshold = max(data.x.shape) * xp.finfo(values.dtype).eps * xp.max(values)
        basis = basis * xp.astype(values > threshold, values.dtype)
        rest = data.y - basis @ (basis.T @ data.y)
        return rest.T @ rest / data.num_samples

    def take(self, rows: Array) -> Data:
        """The samples with the given row numbers (or a slice, or a boolean mask)."""
        return Data(self.x[rows], self.y[rows], None if self.observed is None else self.observed[rows])

    def to_numpy(self) -> Data:
        """The same samples in numpy float64, off the device and out of the graph of their arrays."""
        x, y = _check.to_numpy(self.x, "x"), _check.to_numpy(self.y, "y")
        if x is self.x and y is self.y:
            return self
        data = Data(x, y, self.observed)
        object.__setattr__(data, "is_compressed", self.is_compressed)
        return data

    def batches(self, batch_size: int, *, rng: np.random.Generator | int) -> Iterator[Data]:
        """One pass over the samples in random order; the last, incomplete batch is left out.

        Parameters
        ----------
        batch_size : int
            At most B.
        rng : numpy.random.Generator or int
            Generator, or its seed.

        Yields
        ------
        Data
            `batch_size` samples.

        Raises
        ------
        ValueError
            If there are fewer samples than `batch_size`.
        """
        size = _check.count(batch_size, "batch_size", 1)
        if size > self.num_samples:
            raise ValueError(
                f"`batch_size` must not exceed the number of samples. Got {size} for {self.num_samples} "
                f"samples."
            )
        order = _check.generator(rng).permutation(self.num_samples)
        for start in range(0, self.num_samples - size + 1, size):
            yield self.take(order[start : start + size])

    @classmethod
    def from_batches(cls, batches: Iterable[tuple[Array, Array]]) -> Data:
        r"""The compressed data of batches that need not fit into memory together; each is read once.

        Parameters
        ----------
        batches : iterable of pairs (x, y)
            Arrays (b, n_0) and (b, n_L) with any numbers b of rows: a generator, a loader, a list with one
            pair of memory maps. The result does not depend on how the rows are cut into batches.

        Returns
        -------
        Data
            `Data(x, y).compress()` of all the rows, in the library and dtype of the batches; integers become
            float64.

        Raises
        ------
        TypeError
            If a batch is not a pair of real arrays, or the batches are of several libraries.
        ValueError
            If there is no batch, or one has NaN, no rows, or another width than the first.

        Notes
        -----
        Every objective, its Hessian, the flows and the energy of `equilibrium` depend on second moments alone
        (claim ``data-compression``), so they are exact on the result. The activities of `equilibrium` are one
        row per sample and do not depend on the other samples: a loop over the batches gives them. Memory: two
        copies of 5 (n_0 + n_L) rows and one batch; arrays on disk are read in parts of 4096 rows.

        Examples
        --------
        >>> data = Data.from_batches(([[float(i)]], [[-2.0 * i]]) for i in range(1, 5))
        >>> data.num_samples, round(float(data.xx[0, 0]), 12), round(float(data.yx[0, 0]), 12)
        (2, 7.5, -15.0)
        """
        return _compressed(_checked_parts(batches))

    @classmethod
    def teacher(
        cls,
        teacher: Teacher | Array,
        num_samples: int,
        *,
        noise: float = 0.0,
        rng: np.random.Generator | int,
    ) -> Data:
        r"""Gaussian inputs and the answers of a linear teacher: y = T x + noise, x ~ N(0, I).

        Parameters
        ----------
        teacher : LinearPCN, or matrix T of shape (n_L, n_0)
            The map from inputs to answers.
        num_samples : int
            B.
        noise : float
            Standard deviation of the Gaussian noise on every output; 0 makes the data realisable.
        rng : numpy.random.Generator or int
            Generator, or its seed.

        Returns
        -------
        Data
            `num_samples` rows, numpy float64.
        """
        matrix = _check.matrix(_whole_map(teacher), "teacher")
        shift = _whole_shift(teacher)
        count = _check.count(num_samples, "num_samples", 1)
        _check.memory(
            count * sum(matrix.shape), "num_samples", "draw batches, and join them with `from_batches`"
        )
        level = _check.non_negative(noise, "noise")
        generator = _check.generator(rng)
        x = generator.standard_normal((count, matrix.shape[1]))
        y = x @ matrix.T if shift is None else x @ matrix.T + shift
        if level:
            y = y + level * generator.standard_normal(y.shape)
        return cls(x, y)

    @classmethod
    def toy(
        cls,
        num_samples: int = 64,
        *,
        size: int = 1,
        mean: float = 1.0,
        std: float = 0.1,
        rng: np.random.Generator | int,
    ) -> Data:
        r"""The toy problem of the landscape papers: y = -x, entries of x from N(mean, std^2).

        Parameters
        ----------
        num_samples : int
            B.
        size : int
            Width of x and of y.
        mean, std : float
            Of the entries of x: their mean and standard deviation.
        rng : numpy.random.Generator or int
            Generator, or its seed.

        Returns
        -------
        Data
            `num_samples` rows, numpy float64.

        Notes
        -----
        Source: Innocenti et al. 2023 (arXiv:2305.18188) and 2024 (arXiv:2408.11979).
        """
        count, width = _check.count(num_samples, "num_samples", 1), _check.count(size, "size", 1)
        _check.memory(2 * count * width, "num_samples", "draw batches, and join them with `from_batches`")
        spread = _check.non_negative(std, "std")
        x = _check.real(mean, "mean") + spread * _check.generator(rng).standard_normal((count, width))
        return cls(x, -x)

    def __repr__(self) -> str:
        text = f"{self.num_samples} samples, {self.x.shape[1]} -> {self.y.shape[1]}"
        if self.observed is not None:
            text += f", {int(self.observed.sum())} of {self.observed.size} targets observed"
        return f"Data({text})"


def _targets(value: object) -> Array:
    """Targets that are all observed, (B, n_L)."""
    array = _check.as_array(value, "y")
    xp = array_namespace(array)
    if array.ndim == 1:
        raise ValueError(
            f"`y` must be a two-dimensional array, one row a sample. Got shape {tuple(array.shape)}: for "
            "class labels pass np.eye(num_classes)[labels], for one output y[:, None]."
        )
    try:
        missing = int(xp.sum(xp.astype(xp.isnan(array), xp.int32)))
    except (TypeError, RuntimeError):  # traced
        missing = 0
    if missing:
        raise ValueError(
            f"`y` must be finite. Got {missing} NaN entries: if they are missing, pass observed=~np.isnan(y)."
        )
    return _check.matrix(array, "y")


def _observed_targets(value: object, mask: object) -> tuple[Array, np.ndarray | None]:
    """Targets with zeros where they are missing, and the mask, or None if none is."""
    array = _check.as_array(value, "y")
    try:
        observed = np.array(mask.detach().cpu().numpy() if hasattr(mask, "detach") else mask)
    except (TypeError, ValueError):
        raise TypeError(f"`observed` must be an array of booleans. Got {type(mask).__name__}.") from None
    if observed.dtype != np.bool_ or observed.shape != tuple(array.shape):
        raise ValueError(
            f"`observed` must be booleans of the shape of y, {tuple(array.shape)}. Got an array of shape "
            f"{observed.shape} and dtype {observed.dtype}."
        )
    if observed.all():
        return _check.matrix(array, "y"), None
    observed.flags.writeable = False
    return _check.matrix(where_observed(array, observed), "y"), observed


def _parts(x: Array, y: Array) -> Iterator[tuple[Array, Array]]:
    for start in range(0, x.shape[0], PART):
        yield x[start : start + PART, :], y[start : start + PART, :]


def _checked_parts(batches: Iterable[tuple[Array, Array]]) -> Iterator[tuple[Array, Array]]:
    first: tuple[Array, ...] = ()
    for i, batch in enumerate(_check.iterable(batches, "batches", "an iterable of pairs (x, y)")):
        name = f"batches[{i}]"
        if not isinstance(batch, list | tuple) or len(batch) != 2:
            raise TypeError(
                f"`{name}` must be a pair (x, y). Got {type(batch).__name__}: pass [(x, y), ...]."
            )
        x, y = (_sliceable(rows, f"{name}[{k}]") for k, rows in enumerate(batch))
        if x.shape[0] != y.shape[0]:
            raise ValueError(
                f"`{name}` must have one row per sample in x and in y. Got {x.shape[0]} rows of x and "
                f"{y.shape[0]} of y."
            )
        for part in _parts(x, y):
            part = tuple(_check.matrix(rows, f"{name}[{k}]") for k, rows in enumerate(part))
            first = first or part
            _check.same_namespace((*first, *part), "batches")
            if any(rows.shape[1] != known.shape[1] for rows, known in zip(part, first, strict=True)):
                raise ValueError(
                    f"`{name}` must have the widths of the first batch, {first[0].shape[1]} and "
                    f"{first[1].shape[1]}. Got {part[0].shape[1]} and {part[1].shape[1]}."
                )
            yield part
    if not first:
        raise ValueError(
            "`batches` must hold at least one pair (x, y). Got none: a generator can be read only once."
        )


def _sliceable(rows: Array, name: str) -> Array:
    """An array in memory or on disk as it is, to be read and checked in parts; anything else as a matrix."""
    sliceable = len(getattr(rows, "shape", ())) == 2 and rows.shape[0] > 0
    return rows if sliceable else _check.matrix(rows, name)


def _blocks(parts: Iterable[tuple[Array, Array]]) -> Iterator[Array]:
    """The rows [x y] in blocks of 4 (n_0 + n_L), the last one shorter, however they were cut before."""
    held: list[Array] = []
    room = 0
    for x, y in parts:
        xp = array_namespace(x, y)
        rows = xp.concat((x, y), axis=1)
        room = room or 4 * rows.shape[1]
        while rows.shape[0] >= room:
            yield xp.concat((*held, rows[:room, :]), axis=0)
            rows, held, room = rows[room:, :], [], 4 * rows.shape[1]
        if rows.shape[0]:
            held.append(rows)
            room -= rows.shape[0]
    if held:
        yield array_namespace(*held).concat(held, axis=0)


def _compressed(parts: Iterator[tuple[Array, Array]]) -> Data:
    """All the rows if they are no more than their columns, else the triangular factor of [x y]."""
    x, y = next(parts)
    n_x, columns = x.shape[1], x.shape[1] + y.shape[1]
    count, root = 0, None
    for block in _blocks(chain([(x, y)], parts)):
        xp = array_namespace(block)
        count += block.shape[0]
        rows = block if root is None else xp.concat((root, block), axis=0)
        if count <= columns:
            root = rows
        else:
            root = qr_root(rows)
    assert root is not None
    root = root * math.sqrt(root.shape[0] / count)  # moments are means over the rows
    data = Data(root[:, :n_x], root[:, n_x:])
    object.__setattr__(data, "is_compressed", count > columns)
    return data


def _whole_map(teacher: Teacher | Array) -> Array:
    maps = getattr(teacher, "maps", None)
    if maps is None:
        return teacher
    product = maps[0]
    for matrix in maps[1:]:
        product = matrix @ product
    return product


def _whole_shift(teacher: Teacher | Array) -> Array | None:
    """What the biases of all layers add to the output, (n_L,)."""
    biases = getattr(teacher, "biases", ())
    if not biases:
        return None
    shift = biases[0]
    for matrix, bias in zip(teacher.maps[1:], biases[1:], strict=True):
        shift = matrix @ shift + bias
    return shift
