"""`Result`: the arrays of an experiment, nested by name, and their file format."""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

_COMPACT_ABOVE = 1024  # entries; longer float64 arrays are stored as float32
_DIGEST = 64  # hexadecimal digits of a sha256


class DamagedError(ValueError):
    """A stored file is not what was written."""


class Result(Mapping[str, Any]):
    """Arrays and scalars by name; `result["mnist/5/loss"]` is `result["mnist"]["5"]["loss"]` is
    `result["mnist"][5]["loss"]`.

    Nested mappings and keys with `/` mean the same. Names are strings: `result[5]` looks up `"5"`. Scalars
    come back as Python scalars, everything else as numpy arrays. Iteration goes over the names of this level.

    Examples
    --------
    >>> result = Result({"mnist": {5: {"loss": [0.5, 0.25]}}, "seed": 3})
    >>> list(result), result["seed"], result["mnist"][5]["loss"]
    (['mnist', 'seed'], 3, array([0.5 , 0.25]))
    """

    def __init__(self, values: Mapping[Any, Any]) -> None:
        self._flat: dict[str, np.ndarray] = {}
        for name, array in _flatten(values, ""):
            parents = {name[:i] for i, letter in enumerate(name) if letter == "/"}
            if name in self._flat or parents & self._flat.keys() or self._has_part(name):
                raise ValueError(f"Each array of a result must have a name of its own. Got {name!r} twice.")
            self._flat[name] = array

    def __getitem__(self, key: object) -> Any:
        name = str(key)
        if name in self._flat:
            array = self._flat[name]
            return array.item() if array.ndim == 0 else array
        part = {k[len(name) + 1 :]: v for k, v in self._flat.items() if k.startswith(name + "/")}
        if not part:
            raise KeyError(f"A result has the names {', '.join(map(repr, self))}. Got {name!r}.")
        return Result(part)

    def _has_part(self, name: str) -> bool:
        return any(key.startswith(name + "/") for key in self._flat)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(key.partition("/")[0] for key in self._flat))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        return f"Result({', '.join(f'{key}: {array.shape}' for key, array in self._flat.items())})"

    def flat(self) -> dict[str, np.ndarray]:
        """All arrays by their full name."""
        return dict(self._flat)


def write_result(path: Path, result: Result, *, compact: bool) -> int:
    """Write `path` (.npz) atomically; the same arrays give the same bytes.

    The zip archive's comment is the sha256 of all that stands before it.

    Returns
    -------
    int
        Size in bytes.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in result.flat().items():
            member = io.BytesIO()
            np.lib.format.write_array(member, _compact(array) if compact else array, allow_pickle=False)
            # ZipInfo's own date is 1980-01-01: no clock in the file
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), member.getvalue(), zipfile.ZIP_DEFLATED)
    archive_without_comment = buffer.getvalue()[:-2]
    digest = hashlib.sha256(archive_without_comment).hexdigest().encode()
    content = archive_without_comment + _DIGEST.to_bytes(2, "little") + digest
    write_atomically(path, content)
    return len(content)


def read_result(path: Path) -> Result:
    """Read what `write_result` wrote.

    Returns
    -------
    Result

    Raises
    ------
    DamagedError
        If the file was cut short or changed since.
    """
    content = path.read_bytes()
    body, comment = content[: -_DIGEST - 2], content[-_DIGEST - 2 :]
    if comment != _DIGEST.to_bytes(2, "little") + hashlib.sha256(body).hexdigest().encode():
        raise DamagedError(f"{path.name} must be as it was written. Got another sha256: it is damaged.")
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        return Result({name: archive[name] for name in archive.files})


def write_atomically(path: Path, content: bytes | str) -> None:
    """A reader, or a kill at any moment, sees the old file or the new one and never a half."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _flatten(values: Mapping[Any, Any], prefix: str) -> Iterator[tuple[str, np.ndarray]]:
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{name}/")
            continue
        if hasattr(value, "detach"):
            value = value.detach().cpu().numpy()
        try:
            array = np.asarray(value)
        except ValueError:
            array = np.empty(0, dtype=object)
        if array.dtype.kind not in "biufcU":
            raise TypeError(
                f"`{name}` in a result must be a number, a string or a rectangular array of them. "
                f"Got {type(value).__name__}: pad it with NaN or store its parts under names of their own."
            )
        yield name, array


def _compact(array: np.ndarray) -> np.ndarray:
    """Float32 for long float64 arrays that lie in its range: six digits, and the repository stays small."""
    if array.dtype != np.float64 or array.size <= _COMPACT_ABOVE:
        return array
    size = np.abs(array[np.isfinite(array) & (array != 0)])
    limits = np.finfo(np.float32)
    in_range = size.size == 0 or (size.max() < float(limits.max) and size.min() > float(limits.tiny))
    return array.astype(np.float32) if in_range else array
