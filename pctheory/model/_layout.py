"""Where the parameters of a network lie in one vector."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from array_api_compat import array_namespace, device

from .._check import Array

__all__ = ["Layout"]


@dataclass(frozen=True, eq=False)
class Layout:
    """The shapes of the parameters, and which of their entries do not learn: the vector leaves those out.

    Attributes
    ----------
    shapes : one per parameter
    fixed : masks of these shapes, or none if all entries learn
    """

    shapes: tuple[tuple[int, ...], ...]
    fixed: tuple[np.ndarray, ...]

    @cached_property
    def size(self) -> int:
        """Entries that learn."""
        return sum(map(math.prod, self.shapes)) - sum(int(mask.sum()) for mask in self.fixed)

    @cached_property
    def _learned(self) -> np.ndarray:
        """The places of the entries that learn among all."""
        return np.flatnonzero(~np.concatenate([mask.ravel() for mask in self.fixed]))

    @cached_property
    def _places(self) -> np.ndarray:
        """For every entry its place in the vector; after its end for those that do not learn."""
        places = np.full(sum(map(math.prod, self.shapes)), self.size)
        places[self._learned] = np.arange(self.size)
        return places

    def split(self, vectors: Array) -> tuple[Array, ...]:
        """Vectors (..., size) as arrays of the parameters' shapes, 0 where an entry does not learn."""
        xp = array_namespace(vectors)
        if self.fixed:
            zero = xp.zeros((*vectors.shape[:-1], 1), dtype=vectors.dtype, device=device(vectors))
            places = xp.asarray(self._places, device=device(vectors))
            vectors = xp.take(xp.concat([vectors, zero], axis=-1), places, axis=-1)
        parts, start = [], 0
        for shape in self.shapes:
            stop = start + math.prod(shape)
            parts.append(xp.reshape(vectors[..., start:stop], (*vectors.shape[:-1], *shape)))
            start = stop
        return tuple(parts)

    def join(self, parts: Sequence[Array]) -> Array:
        """The inverse of `split`; entries that do not learn are left out."""
        xp = array_namespace(*parts)
        flat = [
            xp.reshape(part, (*part.shape[: part.ndim - len(shape)], -1))
            for part, shape in zip(parts, self.shapes, strict=True)
        ]
        whole = xp.concat(flat, axis=-1)
        if not self.fixed:
            return whole
        return xp.take(whole, xp.asarray(self._learned, device=device(whole)), axis=-1)

    def masked(self, parts: Sequence[Array], others: Sequence[Array] | None = None) -> tuple[Array, ...]:
        """`parts` with 0, or the entries of `others`, where an entry does not learn."""
        if not self.fixed:
            return tuple(parts)
        xp = array_namespace(*parts)
        kept = [xp.zeros_like(part) for part in parts] if others is None else others
        return tuple(
            xp.where(xp.asarray(mask, device=device(part)), other, part)
            for mask, part, other in zip(self.fixed, parts, kept, strict=False)
        )
