"""Checks of arguments, and the wording of every error: the rule, what came, what to do.

Public functions check their arguments first; the private ones that they call rely on it. A wrong value is a
`ValueError`, a wrong type a `TypeError`. The checks keep the library of an array: numpy, torch, JAX, ...
"""

from __future__ import annotations

import math
import numbers
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from array_api_compat import array_namespace, device, is_array_api_obj

Array = Any
"""Any array of the array API: numpy, torch, JAX, array-api-strict."""

EXPECTED = {
    "LinearPCN": ("a pctheory.LinearPCN", "LinearPCN(weights)"),
    "Data": ("a pctheory.Data", "Data(x, y)"),
    "ClampedProblem": ("a pctheory.inference.ClampedProblem", "ClampedProblem(net, activities)"),
    "TaskLoss": ("a task loss", "LayerEnergies()"),
    "Objective": ("an objective", "MSELoss(data) or EquilibratedEnergy(data)"),
}
"""What errors call the classes of the common arguments, and how to make one."""

LARGEST_COUNT = 2**53
"""Up to here every integer is a float; a larger count is a mistake, and its loop would not end."""


_NUMPY = array_namespace(np.zeros(1))


def namespace(*arrays: Array) -> Any:
    """`array_namespace`, with a short way for numpy: the long one is a fifth of a small equilibrium."""
    for array in arrays:
        if type(array) is not np.ndarray:
            return array_namespace(*arrays)
    return _NUMPY


def instance(value: object, name: str, kind: type[Any]) -> Any:
    """An object of the class `kind`."""
    if isinstance(value, kind):
        return value
    called, example = EXPECTED.get(kind.__name__, (f"a {kind.__name__}", f"{kind.__name__}(...)"))
    raise TypeError(f"`{name}` must be {called}. Got {type(value).__name__}: pass for example {example}.")


def as_array(value: object, name: str) -> Array:
    """`value` as float32 or float64: such arrays keep their library and dtype, the rest becomes float64."""
    array: Array = value
    if isinstance(value, np.ma.MaskedArray) or not is_array_api_obj(value):
        array = to_numpy(value, name)
    xp = namespace(array)
    if xp.isdtype(array.dtype, ("bool", "integral")):
        array = xp.astype(array, xp.float64)
    if array.dtype not in (xp.float32, xp.float64):
        raise TypeError(
            f"`{name}` must be a real array of float32, float64 or integers. Got dtype {array.dtype}: "
            "convert it first."
        )
    return array


def to_numpy(value: object, name: str) -> np.ndarray:
    """Any array as a numpy array of float64, without torch's graph; not copied if it is one already."""
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(
            f"`{name}` must have no mask: it would be ignored. Got a masked array: fill it first."
        )
    if hasattr(value, "detach"):
        value = value.detach().cpu()
    rule = f"`{name}` must be a real array (numpy, torch, JAX or nested lists)."
    try:
        array = np.asarray(value)
        result = array.astype(np.float64, copy=False) if array.dtype.kind not in "cSUmM" else None
    except (TypeError, ValueError):
        raise TypeError(f"{rule} Got {type(value).__name__}.") from None
    except OverflowError:
        raise ValueError(
            f"`{name}` must be numbers that fit a float. Got an integer beyond 1.8e308."
        ) from None
    if result is None:
        raise TypeError(f"{rule} Got dtype {array.dtype}.")
    return result


def detached(value: Array) -> Array:
    """A torch tensor without its graph, to look at its values; arrays of other libraries unchanged."""
    return value.detach() if hasattr(value, "detach") else value


def like(constant: np.ndarray, array: Array) -> Array:
    """A constant of float64 in the library, the dtype and on the device of `array`."""
    if type(array) is np.ndarray and array.dtype == np.float64:
        return constant
    return namespace(array).asarray(constant, dtype=array.dtype, device=device(array))


def finite(value: Array, name: str) -> Array:
    """Refuse NaN and infinity; a traced array (`jax.jit`, `torch.func.vmap`) has no values yet and passes."""
    xp = namespace(value)
    try:
        ok = bool(xp.all(xp.isfinite(value)))
    except (TypeError, RuntimeError):
        return value
    if not ok:
        count = int(xp.sum(xp.astype(~xp.isfinite(value), xp.int64)))
        raise ValueError(
            f"`{name}` must be finite. Got {count} NaN or infinite entries of {math.prod(value.shape)}: "
            "clean the input or lower the scale."
        )
    return value


def matrix(value: object, name: str) -> Array:
    """A finite two-dimensional real array with at least one row and one column."""
    array = as_array(value, name)
    if array.ndim != 2 or 0 in array.shape:
        raise ValueError(
            f"`{name}` must be a two-dimensional array with at least one row and one column. "
            f"Got shape {tuple(array.shape)}."
        )
    return finite(array, name)


def matrices(value: object, name: str) -> list[Array]:
    """A sequence of matrices."""
    entries = sequence(value, name, "a list or tuple of matrices")
    return [matrix(entry, f"{name}[{i}]") for i, entry in enumerate(entries)]


def same_namespace(arrays: Sequence[Array], name: str) -> Any:
    """The one array namespace of `arrays`."""
    try:
        return namespace(*arrays)
    except TypeError:
        kinds = sorted({type(a).__module__.split(".")[0] for a in arrays})
        raise TypeError(
            f"`{name}` must all be arrays of one library. Got {' and '.join(kinds)}: convert them first."
        ) from None


def choice(value: object, name: str, valid: Iterable[str]) -> str:
    """One of the listed names."""
    options = list(valid)
    if not isinstance(value, str):
        raise TypeError(f"`{name}` must be one of {_listed(options)}. Got {type(value).__name__}.")
    if value not in options:
        raise ValueError(f"`{name}` must be one of {_listed(options)}. Got {value!r}.{meant(value, options)}")
    return value


def meant(value: str, valid: Iterable[str]) -> str:
    """The words "Did you mean ...?" where one of the valid ones is near, else nothing."""
    from difflib import get_close_matches

    near = get_close_matches(value, list(valid), n=1)
    return f" Did you mean {near[0]!r}?" if near else ""


def positive(value: object, name: str) -> float:
    """A finite number greater than zero."""
    number = real(value, name)
    if not number > 0:
        raise ValueError(f"`{name}` must be greater than 0. Got {number:g}.")
    return number


def non_negative(value: object, name: str) -> float:
    """A finite number that is zero or more."""
    number = real(value, name)
    if number < 0:
        raise ValueError(f"`{name}` must be 0 or more. Got {number:g}.")
    return number


def real(value: object, name: str) -> float:
    """A finite real number."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"`{name}` must be a real number. Got {type(value).__name__}.")
    try:
        number = float(value)
    except OverflowError:
        raise ValueError(f"`{name}` must be a number that fits a float. Got one beyond 1.8e308.") from None
    if not math.isfinite(number):
        raise ValueError(f"`{name}` must be finite. Got {number}.")
    return number


def count(value: object, name: str, minimum: int = 0) -> int:
    """An integer of at least `minimum`."""
    number = integer(value, name)
    if number < minimum:
        raise ValueError(f"`{name}` must be {minimum} or more. Got {number}.")
    return number


def integer(value: object, name: str) -> int:
    """An integer of a size that can be counted to."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"`{name}` must be an integer. Got {type(value).__name__}.")
    if abs(int(value)) > LARGEST_COUNT:
        raise ValueError(f"`{name}` must be at most 2**53 in size. Got an integer beyond it.")
    return int(value)


def memory(entries: int, name: str, advice: str) -> None:
    """Refuse float64 numbers that memory cannot hold, before they are made; `advice` ends the error."""
    needed, there = 8 * entries, _memory()
    if needed > there:
        raise ValueError(
            f"`{name}` must leave what it asks for within memory. Got {needed:,} bytes, and there are "
            f"{there:,}: {advice}."
        )


def _memory() -> int:
    """Bytes of the machine, or of the process if it is limited; 16 GiB where the system does not say."""
    try:
        there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    except (AttributeError, ImportError, OSError, ValueError):  # not a POSIX system
        return 2**34
    return there if limit == resource.RLIM_INFINITY else min(there, limit)


def flag(value: object, name: str) -> bool:
    """True or False."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"`{name}` must be True or False. Got {type(value).__name__}.")
    return bool(value)


def iterable(value: object, name: str, kind: str) -> Iterable[Any]:
    """An iterable, which is no word and no mapping; `kind` is what errors ask for."""
    fits = isinstance(value, Iterable) and not isinstance(value, str | Mapping)
    if not fits or getattr(value, "ndim", 1) == 0:
        raise TypeError(f"`{name}` must be {kind}. Got {type(value).__name__}.")
    return value  # type: ignore[return-value]


def sequence(value: object, name: str, kind: str = "a list or tuple") -> list[Any]:
    """The entries of an iterable, which is no word and no mapping; `kind` is what errors ask for."""
    return list(iterable(value, name, kind))


def mapping(value: object, name: str) -> dict[Any, Any]:
    """A mapping, such as a dict."""
    if not isinstance(value, Mapping):
        raise TypeError(f"`{name}` must be a mapping, such as a dict. Got {type(value).__name__}.")
    return dict(value)


def widths(value: Iterable[int]) -> tuple[int, ...]:
    """Layer widths (n_0, ..., n_L), L >= 1."""
    try:
        result = tuple(count(n, "widths", 1) for n in value)
    except TypeError:
        raise TypeError(f"`widths` must be a sequence of integers (n_0, ..., n_L). Got {value!r}.") from None
    if len(result) < 2:
        raise ValueError(
            "`widths` must list at least the input and the output width (n_0, ..., n_L). "
            f"Got {len(result)} of them."
        )
    return result


def generator(rng: object) -> np.random.Generator:
    """A numpy random generator, or a seed for one. There is no global seed."""
    if isinstance(rng, np.random.Generator):
        return rng
    if isinstance(rng, int | np.integer) and not isinstance(rng, bool):
        if rng < 0:
            raise ValueError(f"`rng` must be a seed of 0 or more. Got {int(rng)}.")
        return np.random.default_rng(int(rng))
    raise TypeError(
        "`rng` must be a numpy.random.Generator or an integer seed, so that the draw can be repeated. "
        f"Got {type(rng).__name__}: pass for example `rng=np.random.default_rng(0)`."
    )


def _listed(options: Sequence[str]) -> str:
    return ", ".join(repr(option) for option in options)


def clamped_units(mask: object, widths: Sequence[int], name: str) -> tuple[np.ndarray, ...]:
    """For each layer 0..L the booleans (n_l,), True where a unit is clamped; None clamps layers 0 and L."""
    depth = len(widths) - 1
    if mask is None:
        mask = [l in (0, depth) for l in range(depth + 1)]
    rule = f"`{name}` must be one entry per layer, {depth + 1} of them."
    if not isinstance(mask, list | tuple):
        raise TypeError(f"{rule} Got {type(mask).__name__}.")
    if len(mask) != depth + 1:
        raise ValueError(f"{rule} Got {len(mask)}.")
    return tuple(
        _marks(entry, width, f"{name}[{l}]")
        for l, (entry, width) in enumerate(zip(mask, widths, strict=True))
    )


def _marks(entry: Any, width: int, name: str) -> np.ndarray:
    if isinstance(entry, bool | np.bool_):
        return np.full(width, bool(entry))
    marks = np.asarray(list(entry) if isinstance(entry, Iterable) else entry)
    if marks.shape != (width,) or marks.dtype != np.bool_:
        raise ValueError(
            f"`{name}` must be True, False or {width} booleans, one per unit. "
            f"Got an array of shape {marks.shape} and dtype {marks.dtype}."
        )
    return marks
