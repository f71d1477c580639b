r"""The precision :math:`\Pi_l` of a layer's prediction errors, and its inverse :math:`\Sigma_l`.

A precision is a positive number, a positive vector (the diagonal) or a symmetric positive definite matrix.
Units without noise have the precision inf: they *carry* a value, :math:`\epsilon_l = 0`. Everything that
needs only :math:`\Sigma_l`, which is then singular, goes on as before; what needs :math:`\Pi_l` refuses.
Every operation on precisions is here, so that no other module needs to know which kind it has.
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
        Positive, the diagonal, or symmetric positive definite; inf on the diagonal for units that carry a
        value.
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
        host = _checked(self.value, self.size, "value", zero_noise=True)
        if host.ndim == 0:
            object.__setattr__(self, "value", float(host))
        elif np.ndim(self.value) == 0:  # inf
            object.__setattr__(self, "value", host)

    @classmethod
    def of(cls, value: object, size: int, like: Array, name: str, *, zero_noise: bool = False) -> Precision:
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
        zero_noise : bool
            Whether units may have the precision inf.

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
        host = _checked(value, size, name, zero_noise=zero_noise).copy()
        if host.ndim == 0:
            return cls.unchecked(float(host), size)
        xp = array_namespace(like)
        return cls.unchecked(xp.asarray(host, dtype=like.dtype, device=device(like)), size)

    @classmethod
    def unchecked(cls, value: float | Array, size: int) -> Precision:
        """A precision of a value that is known to be one."""
        made = object.__new__(cls)
        object.__setattr__(made, "value", value)
        object.__setattr__(made, "size", size)
        return made

    @cached_property
    def carries(self) -> bool:
        """Whether some units carry a value: have no noise."""
        return not bool(np.all(self.noisy))

    @cached_property
    def noisy(self) -> np.ndarray:
        """Which units have noise, booleans (size,)."""
        if isinstance(self.value, float):
            return np.ones(self.size, dtype=bool)
        host = _check.to_numpy(self.value, "precisions")
        return np.isfinite(np.diagonal(host) if host.ndim == 2 else np.broadcast_to(host, (self.size,)))

    def logarithm(self, like: Array) -> Array:
        r""":math:`\log \Pi` of a number () or of a vector (size,), as an array of the kind of `like`.

        Returns
        -------
        () or (size,)
            Free coordinates: every real value is that of a precision.

        Raises
        ------
        ValueError
            If the precision is a matrix.
        """
        if self._is_matrix:
            raise ValueError(
                "`precisions` must be numbers or vectors to learn by their logarithms. Got a matrix: give "
                "its diagonal, or learn it by `update_precisions`."
            )
        xp = array_namespace(like)
        number = isinstance(self.value, float)
        return xp.log(xp.asarray(self.value, dtype=like.dtype, device=device(like)) if number else self.value)

    def with_logarithm(self, log: Array) -> Precision:
        """The precision with another `logarithm`, or a stack of them, (...) or (..., size). Unchecked.

        Returns
        -------
        Precision
            That of a stack acts on stacks of rows, (..., B, size).
        """
        xp = array_namespace(log)
        number = isinstance(self.value, float) or self.value.ndim == 0
        value = xp.exp(log)
        if value.ndim > (0 if number else 1):
            value = value[..., None, None] if number else value[..., None, :]
        elif number and isinstance(value, np.ndarray | np.generic):
            value = float(value)
        made = Precision.unchecked(value, self.size)
        made.__dict__["noisy"] = self.noisy  # known beforehand, also where the values are traced
        return made

    @cached_property
    def _noise(self) -> Array:
        """1 for units with noise, 0 for the others."""
        value: Array = self.value
        return array_namespace(value).asarray(self.noisy, dtype=value.dtype, device=device(value))

    @cached_property
    def extremes(self) -> tuple[float, float]:
        """Smallest and largest eigenvalue of the part that is finite; (inf, 0) if there is none."""
        if isinstance(self.value, float):
            return self.value, self.value
        host = np.atleast_1d(_check.to_numpy(self.value, "precisions"))
        host = host[self.noisy][:, self.noisy] if host.ndim == 2 else host[np.isfinite(host)]
        values = np.linalg.eigvalsh(host) if host.ndim == 2 else host
        return float(np.min(values, initial=np.inf)), float(np.max(values, initial=0.0))

    def with_constant(self, like: Array) -> Precision:
        """The precision of these units and one more that carries a value."""
        xp = array_namespace(like)
        corner = xp.full((1, 1), xp.inf, dtype=like.dtype, device=device(like))
        if not self._is_matrix:
            flat = xp.ones((self.size,), dtype=like.dtype, device=device(like)) * self.value
            last = xp.broadcast_to(corner[0, :], (*flat.shape[:-1], 1))
            made = Precision.unchecked(xp.concat([flat, last], axis=-1), self.size + 1)
            made.__dict__["noisy"] = np.append(self.noisy, False)
            return made
        beside = xp.zeros((self.size, 1), dtype=like.dtype, device=device(like))
        top, bottom = xp.concat([self.value, beside], axis=1), xp.concat([beside.T, corner], axis=1)
        return Precision.unchecked(xp.concat([top, bottom], axis=0), self.size + 1)

    def to_numpy(self) -> Precision:
        """The same precision with a float64 numpy array, or a float."""
        if isinstance(self.value, float):
            return self
        return self.unchecked(_check.to_numpy(self.value, "precisions"), self.size)

    @property
    def is_identity(self) -> bool:
        """Whether this is the default precision 1."""
        return isinstance(self.value, float) and self.value == 1.0

    @property
    def is_diagonal(self) -> bool:
        """Whether the precision is a number or a vector."""
        return isinstance(self.value, float) or self.value.ndim != 2

    @property
    def _is_matrix(self) -> bool:
        return not self.is_diagonal

    @cached_property
    def _finite(self) -> Array:
        """The value with 1 in the place of inf."""
        if not self.carries:
            return self.value
        xp = array_namespace(self.value)
        return xp.where(xp.isfinite(self.value), self.value, xp.ones_like(self.value))

    @cached_property
    def _factor(self) -> Array:
        """Lower Cholesky factor C with Pi = C C^T (square root of the entries when diagonal)."""
        if self._is_matrix:
            return array_namespace(self.value).linalg.cholesky(self._finite)
        return self._finite**0.5

    def apply(self, rows: Array) -> Array:
        r"""Rows :math:`v \mapsto \Pi v`.

        Returns
        -------
        rows : (B, size)

        Raises
        ------
        ValueError
            If units carry a value: their :math:`\Pi` is infinite.
        """
        if self.is_identity:
            return rows
        if self.carries:
            raise ValueError(
                "`precisions` must be finite here: this needs the inverse of the noise's covariance. Got "
                f"{int(np.sum(~self.noisy))} units that carry a value exactly (precision inf): use "
                "`equilibrium` or `EquilibratedEnergy`, which need the covariance only, or give these units "
                "a large finite precision."
            )
        return rows @ self.value if self._is_matrix else rows * self.value

    def solve(self, rows: Array) -> Array:
        r"""Rows :math:`v \mapsto \Sigma v = \Pi^{-1} v`, shape (B, size)."""
        if self.is_identity:
            return rows
        return self._masked(_solved(self._finite, rows)) if self._is_matrix else rows / self.value

    def whiten(self, rows: Array) -> Array:
        r"""Rows :math:`v \mapsto C^T v` with :math:`C C^T = \Pi`, so that :math:`|C^T v|^2 = v^T \Pi v`.

        Returns
        -------
        rows : (B, size)
            0 for units that carry a value: they have no error.
        """
        if self.is_identity:
            return rows
        return self._masked(rows @ self._factor if self._is_matrix else rows * self._factor)

    def colour(self, rows: Array) -> Array:
        r"""Rows :math:`v \mapsto C^{-1} v`, so that :math:`|C^{-1} v|^2 = v^T \Sigma v`."""
        if self.is_identity:
            return rows
        return self._masked(_solved(self._factor, rows) if self._is_matrix else rows / self._factor)

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
        r"""Rows :math:`v \mapsto C^{-T} v`, the inverse of `whiten` (0 for units that carry a value)."""
        if self.is_identity:
            return rows
        return self._masked(_solved(self._factor.T, rows) if self._is_matrix else rows / self._factor)

    def require_carried(self, errors: Array, activities: Array, name: str) -> None:
        """Refuse errors of units that carry a value, beyond rounding against the activities called `name`."""
        if not self.carries:
            return
        xp = array_namespace(errors)
        found = xp.max(xp.abs(_check.detached(errors) * (1 - self._noise)))
        scale = xp.max(xp.abs(_check.detached(activities)))
        if bool(found > 1e3 * xp.finfo(errors.dtype).eps * self.size * scale):
            raise ValueError(
                f"`{name}` must have no error at the units of precision inf, which carry a value exactly. "
                f"Got errors up to {float(found):.2g}: their energy is infinite."
            )

    def _masked(self, rows: Array) -> Array:
        return rows * self._noise if self.carries else rows

    def matrix(self, like: Array) -> Array:
        r""":math:`\Pi` as a (size, size) array of the kind of `like`; refused like `apply`."""
        if self._is_matrix and not self.carries:
            return self.value
        return self.apply(_identity(self.size, like))

    def finite_matrix(self, like: Array) -> Array:
        r""":math:`\Pi` with 0 for units without noise."""
        factor = self.whiten(_identity(self.size, like))
        return factor @ factor.T

    def covariance(self, like: Array) -> Array:
        r""":math:`\Sigma = \Pi^{-1}` as a (size, size) array of the kind of `like`."""
        return self.solve(_identity(self.size, like))


def _solved(matrix: Array, rows: Array) -> Array:
    """Rows v to the solutions u of `matrix` u = v, for all stacks of rows at once."""
    xp = array_namespace(rows)
    flat = rows if rows.ndim == 2 else xp.reshape(rows, (-1, rows.shape[-1]))
    solved = xp.linalg.solve(matrix, flat.T).T
    return solved if rows.ndim == 2 else xp.reshape(solved, rows.shape)


def _identity(size: int, like: Array) -> Array:
    return array_namespace(like).eye(size, dtype=like.dtype, device=device(like))


def _checked(value: object, size: int, name: str, *, zero_noise: bool) -> np.ndarray:
    """The value in numpy float64, a positive definite precision of this size."""
    host = _check.to_numpy(value, name)
    if not zero_noise or np.any(np.isnan(host)):
        _check.finite(host, name)
    if host.shape not in ((), (size,), (size, size)):
        raise ValueError(
            f"`{name}` must be a number, a vector ({size},) or a matrix ({size}, {size}). Got shape "
            f"{host.shape}."
        )
    _require_positive_definite(host, name)
    return np.full(size, np.inf) if host.ndim == 0 and np.isinf(host) else host


def _require_positive_definite(host: np.ndarray, name: str) -> None:
    if host.ndim < 2:
        if not np.all(host > 0):
            raise ValueError(
                f"`{name}` must be positive: it is an inverse variance. Got a smallest entry of "
                f"{host.min():g}."
            )
        return
    carried = np.isposinf(np.diagonal(host))
    off = host[carried] if carried.any() else host[:0]
    if np.any(np.isinf(host) & ~np.diag(carried)) or np.any(off[~np.isinf(off)]):
        raise ValueError(
            f"`{name}` must have inf on the diagonal only, and zeros beside it: such a unit has no noise "
            "that could be correlated with another's. Got other entries there."
        )
    host = np.where(np.diag(carried), 1.0, host)
    asymmetry, scale = np.max(np.abs(host - host.T)), np.max(np.abs(host))
    if asymmetry > 1e-6 * scale:
        raise ValueError(
            f"`{name}` must be symmetric. Got a matrix whose transpose differs by {asymmetry:.1e}: "
            "pass (P + P.T) / 2 if that is what you mean."
        )
    smallest = np.linalg.eigvalsh(host)[0]
    if not smallest > 0:
        raise ValueError(f"`{name}` must be positive definite. Got a smallest eigenvalue of {smallest:g}.")
