r"""The precision :math:`\Pi_l` of a layer's prediction errors, and its inverse :math:`\Sigma_l`.

A precision is a positive number, a positive vector (the diagonal) or a symmetric positive definite matrix.
Every operation on precisions is here, so that no other module needs to know which of the three it has.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from array_api_compat import array_namespace, device

from .. import _check
from .._check import Array
from ..linalg import solve_observed, where_observed

__all__ = ["Precision"]


@dataclass(frozen=True, eq=False)
class Precision:
    r"""A precision :math:`\Pi` of `size` units, in the array library of the weights.

    Parameters
    ----------
    value : float, or array of shape (size,) or (size, size)
        Positive, the diagonal, or symmetric positive definite.
    size : int
        Units of the layer.

    Raises
    ------
    ValueError
        Unless it is positive definite and of one of these shapes.
    TypeError
        If it does not hold real numbers.
    """

    value: float | Array
    size: int

    def __post_init__(self) -> None:
        _check.count(self.size, "size", 1)
        host = _checked(self.value, self.size, "value")
        if host.ndim == 0:
            object.__setattr__(self, "value", float(host))

    @classmethod
    def of(cls, value: object, size: int, like: Array, name: str) -> Precision:
        """The precision `value`, checked and copied into the library and dtype of the array `like`.

        Parameters
        ----------
        value : number, (size,) or (size, size)
            A number stays a Python float.
        size : int
            Units of the layer.
        like : array
            Gives the library, the dtype and the device.
        name : str
            How errors call it.

        Returns
        -------
        Precision
            The checked copy.

        Raises
        ------
        ValueError
            Unless it is positive definite and of one of these shapes.
        TypeError
            If it does not hold real numbers.
        """
        host = _checked(value, size, name).copy()
        if host.ndim == 0:
            return cls._trusted(float(host), size)
        xp = array_namespace(like)
        return cls._trusted(xp.asarray(host, dtype=like.dtype, device=device(like)), size)

    @classmethod
    def _trusted(cls, value: float | Array, size: int) -> Precision:
        made = object.__new__(cls)
        object.__setattr__(made, "value", value)
        object.__setattr__(made, "size", size)
        return made

    @cached_property
    def extremes(self) -> tuple[float, float]:
        """Smallest and largest eigenvalue."""
        if isinstance(self.value, float):
            return self.value, self.value
        host = _check.to_numpy(self.value, "precisions")
        values = np.linalg.eigvalsh(host) if host.ndim == 2 else host
        return float(np.min(values)), float(np.max(values))

    def to_numpy(self) -> Precision:
        """The same precision with a float64 numpy array, or a float."""
        if isinstance(self.value, float):
            return self
        return self._trusted(_check.to_numpy(self.value, "precisions"), self.size)

    @property
    def is_identity(self) -> bool:
        """Whether this is the default precision 1."""
        return isinstance(self.value, float) and self.value == 1.0

    @property
    def is_diagonal(self) -> bool:
        """Whether the precision is a number or a vector."""
        return isinstance(self.value, float) or self.value.ndim == 1

    @property
    def _is_matrix(self) -> bool:
        return not self.is_diagonal

    @cached_property
    def _factor(self) -> Array:
        """Lower Cholesky factor C with Pi = C C^T (square root of the entries when diagonal)."""
        if self._is_matrix:
            return array_namespace(self.value).linalg.cholesky(self.value)
        return self.value**0.5

    def apply(self, rows: Array) -> Array:
        r"""Rows :math:`v \mapsto \Pi v`, shape (B, size)."""
        if self.is_identity:
            return rows
        return rows @ self.value if self._is_matrix else rows * self.value

    def solve(self, rows: Array) -> Array:
        r"""Rows :math:`v \mapsto \Sigma v = \Pi^{-1} v`, shape (B, size)."""
        if self.is_identity:
            return rows
        if self._is_matrix:
            xp = array_namespace(rows)
            return xp.linalg.solve(self.value, rows.T).T
        return rows / self.value

    def whiten(self, rows: Array) -> Array:
        r"""Rows :math:`v \mapsto C^T v` with :math:`C C^T = \Pi`, so that :math:`|C^T v|^2 = v^T \Pi v`."""
        if self.is_identity:
            return rows
        return rows @ self._factor if self._is_matrix else rows * self._factor

    def colour(self, rows: Array) -> Array:
        r"""Rows :math:`v \mapsto C^{-1} v`, so that :math:`|C^{-1} v|^2 = v^T \Sigma v`."""
        if self.is_identity:
            return rows
        if self._is_matrix:
            xp = array_namespace(rows)
            return xp.linalg.solve(self._factor, rows.T).T
        return rows / self._factor

    def apply_observed(self, rows: Array, observed: np.ndarray) -> Array:
        r"""Rows :math:`v \mapsto (\Sigma_{OO})^{-1} v_O` on the observed units O of each row, and 0
        elsewhere.

        Returns
        -------
        (B, size)
        """
        if not self.is_diagonal:
            return solve_observed(self.covariance(rows), rows, observed)
        return self.apply(where_observed(rows, observed))

    def unwhiten(self, rows: Array) -> Array:
        r"""Rows :math:`v \mapsto C^{-T} v`, the inverse of `whiten`."""
        if self.is_identity:
            return rows
        if self._is_matrix:
            xp = array_namespace(rows)
            return xp.linalg.solve(self._factor.T, rows.T).T
        return rows / self._factor

    def matrix(self, like: Array) -> Array:
        r""":math:`\Pi` as a (size, size) array of the kind of `like`."""
        return self.value if self._is_matrix else self.apply(_identity(self.size, like))

    def covariance(self, like: Array) -> Array:
        r""":math:`\Sigma = \Pi^{-1}` as a (size, size) array of the kind of `like`."""
        return self.solve(_identity(self.size, like))


def _identity(size: int, like: Array) -> Array:
    return array_namespace(like).eye(size, dtype=like.dtype, device=device(like))


def _checked(value: object, size: int, name: str) -> np.ndarray:
    """The value in numpy float64, a positive definite precision of this size."""
    host = _check.finite(_check.to_numpy(value, name), name)
    if host.shape not in ((), (size,), (size, size)):
        raise ValueError(
            f"`{name}` must be a number, a vector ({size},) or a matrix ({size}, {size}). Got shape "
            f"{host.shape}."
        )
    _require_positive_definite(host, name)
    return host


def _require_positive_definite(host: np.ndarray, name: str) -> None:
    if host.ndim < 2:
        if not np.all(host > 0):
            raise ValueError(
                f"`{name}` must be positive: it is an inverse variance. Got a smallest entry of "
                f"{host.min():g}."
            )
        return
    asymmetry, scale = np.max(np.abs(host - host.T)), np.max(np.abs(host))
    if asymmetry > 1e-6 * scale:
        raise ValueError(
            f"`{name}` must be symmetric. Got a matrix whose transpose differs by {asymmetry:.1e}: "
            "pass (P + P.T) / 2 if that is what you mean."
        )
    smallest = np.linalg.eigvalsh(host)[0]
    if not smallest > 0:
        raise ValueError(f"`{name}` must be positive definite. Got a smallest eigenvalue of {smallest:g}.")
