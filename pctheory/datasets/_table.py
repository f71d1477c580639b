"""The table of data sets: what each one is, which files it has, and the numbers that standardise it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

_DIGITS = tuple("0123456789")
_GARMENTS = (
    *("T-shirt/top", "trouser", "pullover", "dress", "coat"),
    *("sandal", "shirt", "sneaker", "bag", "ankle boot"),
)
_OBJECTS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


@dataclass(frozen=True)
class DataFile:
    """One idx file: split, content ("images" or "labels"), name, sha256 of the decompressed bytes."""

    split: str
    content: str
    name: str
    sha256: str | None = None
    rounded: bool = False
    """Whether the sha256 is that of the values rounded to integers of 1e-6: the last digits of generated
    values may differ from machine to machine.
    """


@dataclass(frozen=True)
class DatasetInfo:
    r"""One row of the table of data sets.

    Parameters
    ----------
    name : str
        The name that `load_dataset` knows.
    num_train, num_test : int
        Number of samples in the two splits.
    image_shape : tuple of int
        Shape of one sample: (height, width), channel first for colour, (length,) for signals.
    scale : float
        Stored value that becomes 1.
    mean, std : tuple of float
        Mean and population standard deviation of the training set's pixels after division by `scale`, one
        number per channel. Both splits are standardised by these.
    classes : tuple of str
        What the labels 0, 1, ... mean.
    source : str
        Who made the set.
    files : tuple of DataFile
        Its files; empty if a Python package carries it.
    package : str
        The importable module that carries or generates it; empty if there is none.
    torchvision : str
        The folder in which torchvision keeps the same files; empty if there is none.
    """

    name: str
    num_train: int
    num_test: int
    image_shape: tuple[int, ...]
    scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]
    classes: tuple[str, ...]
    source: str
    files: tuple[DataFile, ...] = ()
    package: str = ""
    torchvision: str = ""

    @property
    def num_inputs(self) -> int:
        """n_0, the number of values of one sample."""
        return math.prod(self.image_shape)

    def num_samples(self, split: str) -> int:
        """Number of samples of a split."""
        return self.num_train if split == "train" else self.num_test

    def most_bytes(self, file: DataFile) -> int:
        """No idx file of these samples is longer: 8 bytes a number, and the header."""
        return 64 + 8 * self.num_samples(file.split) * (self.num_inputs if file.content == "images" else 1)


_MNIST_NAMES = (
    ("train", "images", "train-images-idx3-ubyte"),
    ("train", "labels", "train-labels-idx1-ubyte"),
    ("test", "images", "t10k-images-idx3-ubyte"),
    ("test", "labels", "t10k-labels-idx1-ubyte"),
)
_CIFAR10_NAMES = (
    ("train", "images", "train-images-idx4-ubyte"),
    ("train", "labels", "train-labels-idx1-ubyte"),
    ("test", "images", "test-images-idx4-ubyte"),
    ("test", "labels", "test-labels-idx1-ubyte"),
)


def _files(names: tuple[tuple[str, str, str], ...], *digests: str) -> tuple[DataFile, ...]:
    return tuple(DataFile(*name, sha256) for name, sha256 in zip(names, digests, strict=True))


_TABLE = (
    DatasetInfo(
        name="digits",
        num_train=1437,
        num_test=360,
        image_shape=(8, 8),
        scale=16.0,
        mean=(0.3053956267397356,),
        std=(0.3758630807800152,),
        classes=_DIGITS,
        source="Optical recognition of handwritten digits (Alpaydin and Kaynak, 1998), in scikit-learn",
        package="sklearn.datasets",
    ),
    DatasetInfo(
        name="mnist",
        num_train=60000,
        num_test=10000,
        image_shape=(28, 28),
        scale=255.0,
        mean=(0.1306604762738429,),
        std=(0.3081078038564627,),
        classes=_DIGITS,
        source="MNIST (LeCun, Cortes and Burges, 1998)",
        files=_files(
            _MNIST_NAMES,
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        ),
        torchvision="MNIST/raw",
    ),
    DatasetInfo(
        name="fashion-mnist",
        num_train=60000,
        num_test=10000,
        image_shape=(28, 28),
        scale=255.0,
        mean=(0.28604059698879547,),
        std=(0.3530242445149226,),
        classes=_GARMENTS,
        source="Fashion-MNIST (Xiao, Rasul and Vollgraf, 2017)",
        files=_files(
            _MNIST_NAMES,
            "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        ),
        torchvision="FashionMNIST/raw",
    ),
    DatasetInfo(
        name="cifar10",
        num_train=50000,
        num_test=10000,
        image_shape=(3, 32, 32),
        scale=255.0,
        mean=(0.4913996786151961, 0.48215840839460783, 0.44653091444546567),
        std=(0.24703223246328201, 0.24348512800005556, 0.2615878417279645),
        classes=_OBJECTS,
        source="CIFAR-10 (Krizhevsky, 2009)",
        # idx files written by `_fetch` from the published batches: labels as they stand, pixels channel
        # first.
        files=_files(
            _CIFAR10_NAMES,
            "1086b65fb2d8719d99846dc8bc5d5a52141422760ff01eb1e06619041c1670f9",
            "1a4c5fb4e1cab2caa8eee134c093de84d620899e907756e71736fb7b0d4ab554",
            "d4d62aa9f6b816a3be65053ddc66fdd27c1350e10d25345000fec0d9e2f9e2dd",
            "987e01129ceec0098f1e9d9404cff9fa82ad3d15383a61e8ec60ff20ffe6db40",
        ),
    ),
    DatasetInfo(
        name="mnist1d",
        num_train=4000,
        num_test=1000,
        image_shape=(40,),
        scale=1.0,  # signals without a natural range: the generator centres and scales them
        mean=(-0.00032367167421934744,),
        std=(0.9976479749365885,),
        classes=_DIGITS,
        source="MNIST-1D (Greydanus and Kobak, 2024), generated by the package mnist1d with its own seed",
        files=(
            DataFile(
                *("train", "images", "train-signals-idx2-double"),
                "80cdccdc11b35a66b1bd9a6aa5cc3b7eba6eb5513b03913ef537d632ebdd5ec5",
                rounded=True,
            ),
            DataFile(
                *("train", "labels", "train-labels-idx1-ubyte"),
                "04df6139c6bdf779fdb90dc98075023b5c2fa91781847bee53f3a8c1211c64b2",
            ),
            DataFile(
                *("test", "images", "test-signals-idx2-double"),
                "b6377bed2c8f6a6bbe8d78c7b0fd30c3a3fa849f6acd6bc0d6291224d106970f",
                rounded=True,
            ),
            DataFile(
                *("test", "labels", "test-labels-idx1-ubyte"),
                "d44d4c5ce982a3b9aadd2f4fb62bc464e49fd92490d3a57d20ac76b34fc3a4a5",
            ),
        ),
        package="mnist1d.data",
    ),
)

DATASETS: Mapping[str, DatasetInfo] = MappingProxyType({info.name: info for info in _TABLE})
"""The data sets by name."""

DEFAULT = ("digits", "mnist1d", "mnist", "fashion-mnist")
"""What `make data` fetches. The rest (139 MB) is fetched when it is named, or with `--all`."""
