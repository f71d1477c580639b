"""`sweep`: a function at every point of a grid and for every seed, computed once and kept."""

from __future__ import annotations

import hashlib
import inspect
import itertools
import json
import os
import textwrap
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .. import _check, _html
from .progress import BACKENDS, Progress
from .results import Result

__all__ = ["Sweep", "sweep"]

SHOWN = 20
"""Rows of a sweep that a notebook shows."""


@dataclass(frozen=True, eq=False, repr=False)
class Sweep:
    """What a function gave on a grid.

    Attributes
    ----------
    axes : dict from name to tuple of values
        In the order of the axes of every array; the seeds, if any, are the last, under "seed".
    results : tuple of Result
        One a cell, the last axis running fastest.
    """

    axes: dict[str, tuple[Any, ...]]
    results: tuple[Result, ...]

    @property
    def cells(self) -> list[dict[str, Any]]:
        """The arguments of each call, in the order of `results`."""
        return [
            dict(zip(self.axes, values, strict=True)) for values in itertools.product(*self.axes.values())
        ]

    def __getitem__(self, name: str) -> np.ndarray:
        """One of the results at every cell: an array with an axis for each of `axes`, then its own.

        Parameters
        ----------
        name : str
            As the function names it; "value" where it gives one number.

        Returns
        -------
        (*number of values of each axis, *shape of the result)

        Raises
        ------
        KeyError
            If a cell has no such result.
        ValueError
            If the arrays of the cells differ in shape.
        """
        arrays = [np.asarray(result[name]) for result in self.results]
        if len({array.shape for array in arrays}) > 1:
            raise ValueError(
                f"`{name}` must have one shape in all cells to be one array. Got "
                f"{sorted({array.shape for array in arrays})}: take it from each of `results`."
            )
        return np.stack(arrays).reshape(*(len(values) for values in self.axes.values()), *arrays[0].shape)

    def rows(self) -> list[dict[str, Any]]:
        """One dict a cell with its arguments and its results that are single numbers, as for a data frame."""
        return [
            {**cell, **{name: array.item() for name, array in result.flat().items() if array.ndim == 0}}
            for cell, result in zip(self.cells, self.results, strict=True)
        ]

    def __repr__(self) -> str:
        shape = " x ".join(f"{len(values)} {name}" for name, values in self.axes.items())
        return f"Sweep({shape}: {', '.join(self.results[0].flat())})"

    def _repr_html_(self) -> str:
        rows = self.rows()
        names = list(dict.fromkeys(itertools.chain.from_iterable(rows)))  # a cell may lack some
        cells = [[row.get(name, "") for name in names] for row in rows[:SHOWN]]
        shown = [[f"{v:.6g}" if isinstance(v, float) else v for v in cell] for cell in cells]
        more = f"<p>... and {len(rows) - SHOWN} more</p>" if len(rows) > SHOWN else ""
        return _html.table(names, shown) + more


def sweep(
    function: Callable[..., Any],
    grid: Mapping[str, Iterable[Any]],
    *,
    seeds: int | Iterable[int] | None = None,
    cache: str | os.PathLike[str] | None = None,
    jobs: int = 1,
    backend: str = "loky",
    progress: bool = True,
) -> Sweep:
    """A function at every point of a grid, and there for every seed.

    Parameters
    ----------
    function : callable
        Called with keyword arguments, one for each name of the grid and `seed`. It gives a number, or a
        mapping from names to numbers and arrays, and depends on nothing else.
    grid : mapping from name to values
        Every combination is computed.
    seeds : int or numbers, optional
        So many seeds, 0, 1, ..., or these.
    cache : folder, optional
        Where each cell is kept as soon as it is done; an interrupted sweep goes on from there, and a larger
        one computes only what is new. The source of the function counts: a changed one is computed anew (not
        that of what it calls). Values must then be numbers, strings, booleans, or tuples of them.
    jobs : int
        Processes.
    backend : "loky", "dask" or "ray"
        The way to them: on this machine, or an existing cluster.
    progress : bool
        Show a bar.

    Returns
    -------
    Sweep

    Raises
    ------
    ValueError
        If the grid is empty, or names `seed` where `seeds` are given.
    TypeError
        If a value cannot be kept.
    ModuleNotFoundError
        If several processes are asked for without joblib (``pip install pctheory[experiments]``), or a
        cluster without its package.

    Examples
    --------
    >>> import pctheory as pt
    >>> def escape(depth, scale):
    ...     return pt.dynamics.escape_time((1,) * (depth + 1), scale)
    >>> found = sweep(escape, {"depth": [3, 4], "scale": [1e-2, 1e-4, 1e-6]}, progress=False)
    >>> found
    Sweep(2 depth x 3 scale: value)
    >>> found["value"].round(1)
    array([[ 12.9,  30.1,  49.7],
           [ 25.8,  94. , 204.7]])
    """
    if not callable(function):
        raise TypeError(f"`function` must be callable with keyword arguments. Got {type(function).__name__}.")
    axes = {
        str(name): tuple(map(_plain, _values(v, name))) for name, v in _check.mapping(grid, "grid").items()
    }
    seeds = _plain(seeds)
    if seeds is not None:
        if "seed" in axes:
            raise ValueError("`grid` must not name `seed` where `seeds` are given. Got both: leave one out.")
        numbers = (
            range(_check.count(seeds, "seeds", 1)) if isinstance(seeds, int) else _values(seeds, "seeds")
        )
        axes["seed"] = tuple(_check.count(_plain(seed), "seeds") for seed in numbers)
    if not axes or not all(axes.values()):
        raise ValueError("`grid` must have a name, and each name a value. Got none.")
    cells = [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]
    runner = Progress(
        function,
        jobs=_check.count(jobs, "jobs", 1),
        backend=_check.choice(backend, "backend", BACKENDS),
        checkpoints=None if cache is None else Path(cache) / _identity(function, cells),
        label=getattr(function, "__name__", "sweep") if progress else None,
    )
    return Sweep(axes, tuple(runner.cells(called, cells)))


def called(function: Callable[..., Any], **cell: Any) -> Mapping[str, Any]:
    """The function's results by name. At module level, so that processes find it."""
    found = function(**cell)
    return found if isinstance(found, Mapping) else {"value": found}


def _values(values: object, name: str) -> list[Any]:
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise TypeError(
            f"`{name}` must be a list of values. Got {type(values).__name__}: put it into a list."
        )
    return list(values)


def _plain(value: Any) -> Any:
    """Numpy's numbers as Python's."""
    return value.item() if isinstance(value, np.generic) else value


def _identity(function: Callable[..., Any], cells: list[dict[str, Any]]) -> str:
    """The folder of a function's cells: its name, and the digest of its source."""
    try:
        source = textwrap.dedent(inspect.getsource(function))
    except (OSError, TypeError) as error:
        raise ValueError(
            "`function` must be defined with `def` in a file or a notebook for its results to be kept. "
            f"Got {function!r}: define it there, or leave out `cache`."
        ) from error
    for cell in cells:
        try:
            json.dumps(cell)
        except TypeError as error:
            raise TypeError(
                "`grid` must hold numbers, strings, booleans or tuples of them for its cells to be kept. "
                f"Got {cell}: name the objects by strings, or leave out `cache`."
            ) from error
    name = getattr(function, "__name__", "function")
    return f"{name}-{hashlib.sha256(source.encode()).hexdigest()[:12]}"
