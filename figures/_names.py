"""Names as the field writes them, for titles, legends and captions."""

from collections.abc import Mapping
from typing import Any

_DATASETS = {
    "mnist": "MNIST",
    "fashion-mnist": "Fashion-MNIST",
    "cifar10": "CIFAR-10",
    "mnist1d": "MNIST-1D",
    "digits": "8x8 digits",
}


def dataset(name: str) -> str:
    """The name of a data set.

    Examples
    --------
    >>> dataset("cifar10")
    'CIFAR-10'
    """
    return _DATASETS.get(name, name)


def activation(name: str) -> str:
    """The name of an activation function.

    Examples
    --------
    >>> activation("relu"), activation("tanh")
    ('ReLU', 'tanh')
    """
    return "ReLU" if name == "relu" else name


def parameterisation(name: str) -> str:
    r"""The name of a parameterisation, with or without skips.

    Examples
    --------
    >>> parameterisation("mupc + skips")
    '$\\mu$PC + skips'
    """
    return name.replace("mupc", r"$\mu$PC").replace("muPC", r"$\mu$PC")


def seeds(config: Mapping[str, Any]) -> str:
    """How many seeds a result averages over.

    Examples
    --------
    >>> seeds({"seeds": 1})
    '1 seed'
    """
    return f"{config['seeds']} seed{'s' if config['seeds'] > 1 else ''}"
