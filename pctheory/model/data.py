r"""Data: inputs and targets, their second moments, exact compression, and problems with a known answer."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from array_api_compat import array_namespace

from .. import _check
from .._check import Array

__all__ = ["Data"]


class Teacher(Protocol):
    """A linear network, as far as a teacher needs one."""

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
    """

    x: Array
    y: Array

    def __post_init__(self) -> None:
        if _check.as_array(self.y, "y").ndim == 1:
            raise ValueError(
                f"`y` must be a two-dimensional array (B, n_L). Got shape {tuple(np.shape(self.y))}: for "
                "class labels pass one-hot rows, `np.eye(num_classes)[labels]`, for one output `y[:, None]`."
            )
        x, y = _check.matrix(self.x, "x"), _check.matrix(self.y, "y")
        _check.same_namespace((x, y), "x and y")
        if x.shape[0] != y.shape[0]:
            raise ValueError(
                f"`x` and `y` must have one row per sample each. Got {x.shape[0]} rows of x and {y.shape[0]} "
                f"of y."
            )
        object.__setattr__(self, "x", x)
        object.__setattr__(self, "y", y)

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
        return self.y.T @ self.x / self.num_samples

    @cached_property
    def yy(self) -> Array:
        r""":math:`S_{yy} = \frac1B \sum y y^T`, (n_L, n_L)."""
        return self.y.T @ self.y / self.num_samples

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
        xp = array_namespace(self.x, self.y)
        n_x = self.x.shape[1]
        columns = n_x + self.y.shape[1]
        if self.num_samples <= columns:
            return self
        root: Array = None
        block = 4 * columns
        # in blocks, so that at most 5 (n_0 + n_L) rows are in memory twice
        for start in range(0, self.num_samples, block):
            rows = xp.concat((self.x[start : start + block, :], self.y[start : start + block, :]), axis=1)
            rows = rows if root is None else xp.concat((root, rows), axis=0)
            # numpy can leave out Q; the array API's QR cannot
            root = (
                np.linalg.qr(rows, mode="r")
                if isinstance(rows, np.ndarray)
                else xp.linalg.qr(rows, mode="reduced")[1]
            )
        root = root * math.sqrt(columns / self.num_samples)  # moments are means over the rows
        return Data(root[:, :n_x], root[:, n_x:])

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
        return Data(self.x[rows], self.y[rows])

    def to_numpy(self) -> Data:
        """The same samples in numpy float64, off the device and out of the graph of their arrays."""
        x, y = _check.to_numpy(self.x, "x"), _check.to_numpy(self.y, "y")
        return self if x is self.x and y is self.y else Data(x, y)

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
        spread = _check.non_negative(std, "std")
        x = _check.real(mean, "mean") + spread * _check.generator(rng).standard_normal((count, width))
        return cls(x, -x)

    def __repr__(self) -> str:
        return f"Data({self.num_samples} samples, {self.x.shape[1]} -> {self.y.shape[1]})"


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
