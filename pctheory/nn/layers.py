r"""Linear maps between layers: matrices, and convolutions, which are matrices whose entries share weights.

Activities are rows (B, n) everywhere. A convolution reads a row as an image (channels, height, width), the
last index running fastest, and writes its result as such a row. It is a linear map, so that the energy,
inference and the local rule stay what they are; a network needs of each map no more than its product, its
transpose's product and the gradient in its weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import conv2d
from torch.nn.grad import conv2d_input, conv2d_weight

from .. import _check
from ..model import parameterisation

__all__ = [
    "Convolution",
    "Convolutional",
    "Dense",
    "Image",
    "Operator",
    "operators_of",
    "require_same_images",
    "widths_of",
]


@dataclass(frozen=True)
class Image:
    """The input layer as an image: rows of channels * height * width numbers, in this order.

    Examples
    --------
    >>> Image(3, 32, 32).size
    3072
    """

    channels: int
    height: int
    width: int

    def __post_init__(self) -> None:
        for name in ("channels", "height", "width"):
            _check.count(getattr(self, name), name, 1)

    @property
    def size(self) -> int:
        """Number of units."""
        return self.channels * self.height * self.width

    def __str__(self) -> str:
        return f"{self.channels}x{self.height}x{self.width}"


@dataclass(frozen=True)
class Convolution:
    r"""A layer that is a convolution of the image below it; its bias, if any, is one number a channel.

    The image shrinks by stride, which is linear. The maximum of pooling is not, and would change the form of
    the energy.

    Attributes
    ----------
    channels : int
        Of the result.
    kernel : int
        Side of the square kernel.
    stride : int
    padding : int, optional
        Rows and columns of zeros on each side; None: kernel // 2, which keeps the image's size at stride 1
        and odd kernel.

    Notes
    -----
    On a CUDA device torch multiplies float32 convolutions in TF32, with 10 bits of mantissa, unless
    ``torch.backends.cudnn.allow_tf32`` is False: inference to a small tolerance needs False, or float64.
    """

    channels: int
    kernel: int = 3
    stride: int = 1
    padding: int | None = None

    def __post_init__(self) -> None:
        for name in ("channels", "kernel", "stride"):
            _check.count(getattr(self, name), name, 1)
        if self.padding is not None and _check.count(self.padding, "padding") >= self.kernel:
            raise ValueError(
                "`padding` must be less than the kernel's side: beyond it units see zeros only. Got "
                f"{self.padding} for "
                f"kernel {self.kernel}."
            )

    @property
    def border(self) -> int:
        """The padding, also where it is left to the kernel."""
        return self.kernel // 2 if self.padding is None else self.padding

    def image(self, before: Image) -> Image:
        """The result's shape."""
        height, width = (
            (side + 2 * self.border - self.kernel) // self.stride + 1
            for side in (before.height, before.width)
        )
        if height < 1 or width < 1:
            raise ValueError(
                f"`kernel` must fit into the padded image below it. Got {self.kernel} with padding "
                f"{self.border} on an image "
                f"of {before.height} x {before.width}."
            )
        return Image(self.channels, height, width)


@dataclass(frozen=True)
class Dense:
    """The map of a matrix W (after, before)."""

    before: int | Image
    after: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the weights."""
        return self.after, self.fan_in

    @property
    def fan_in(self) -> int:
        """Number of weights that a unit of the result sums over."""
        return _size(self.before)

    def push(self, weight: Tensor, rows: Tensor) -> Tensor:
        """W v for rows (..., before)."""
        return rows @ weight.mT

    def pull(self, weight: Tensor, rows: Tensor, out: Tensor | None = None) -> Tensor:
        """W^T v for rows (..., after)."""
        return torch.matmul(rows, weight, out=out)

    def residual(self, weight: Tensor, target: Tensor, rows: Tensor, out: Tensor) -> Tensor:
        """Target - W v for rows (B, before), into `out`."""
        return torch.addmm(target, rows, weight.mT, alpha=-1, out=out)

    def gradient(self, errors: Tensor, rows: Tensor) -> Tensor:
        """Gradient of the sum of errors * W v in W."""
        return errors.mT @ rows

    def matrix(self, weight: Tensor) -> Tensor:
        """The map as a matrix."""
        return weight

    def spread(self, bias: Tensor) -> Tensor:
        """A bias as a row (after,)."""
        return bias

    def collect(self, errors: Tensor) -> Tensor:
        """Gradient of the sum of errors * bias in the bias, for errors (B, after)."""
        return errors.sum(0)


@dataclass(frozen=True)
class Convolutional:
    """The map of a kernel (channels, channels before, side, side)."""

    before: Image
    after: Image
    block: Convolution

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the weights."""
        return self.after.channels, self.before.channels, self.block.kernel, self.block.kernel

    @property
    def fan_in(self) -> int:
        """Number of weights that a unit of the result sums over, away from the border."""
        return self.before.channels * self.block.kernel**2

    def push(self, weight: Tensor, rows: Tensor) -> Tensor:
        """W v for rows (..., before), W the matrix of the convolution."""
        result = conv2d(
            _images(rows, self.before), weight, stride=self.block.stride, padding=self.block.border
        )
        return result.reshape(*rows.shape[:-1], self.after.size)

    def pull(self, weight: Tensor, rows: Tensor, out: Tensor | None = None) -> Tensor:
        """W^T v for rows (..., after)."""
        errors = _images(rows, self.after)
        size = (errors.shape[0], self.before.channels, self.before.height, self.before.width)
        images = conv2d_input(  # type: ignore[no-untyped-call]
            size, weight, errors, stride=self.block.stride, padding=self.block.border
        )
        result = images.reshape(*rows.shape[:-1], self.before.size)
        return result if out is None else out.copy_(result)

    def residual(self, weight: Tensor, target: Tensor, rows: Tensor, out: Tensor) -> Tensor:
        """Target - W v for rows (B, before), into `out`."""
        return torch.sub(target, self.push(weight, rows), out=out)

    def gradient(self, errors: Tensor, rows: Tensor) -> Tensor:
        """Gradient of the sum of errors * W v in the kernel: that of the matrix, summed over entries that
        share a weight.

        Returns
        -------
        tensor
            Of the shape of the kernel.
        """
        return conv2d_weight(  # type: ignore[no-untyped-call]
            _images(rows, self.before),
            self.shape,
            _images(errors, self.after),
            stride=self.block.stride,
            padding=self.block.border,
        )

    def matrix(self, weight: Tensor) -> Tensor:
        """The map as a matrix."""
        return self.push(weight, torch.eye(self.before.size, dtype=weight.dtype, device=weight.device)).mT

    def spread(self, bias: Tensor) -> Tensor:
        """A bias (channels,) as a row of the image."""
        return bias.repeat_interleave(self.after.height * self.after.width)

    def collect(self, errors: Tensor) -> Tensor:
        """Gradient of the sum of errors * bias in the bias, (channels,), for errors (B, after)."""
        return _images(errors, self.after).sum((0, 2, 3))


Operator = Dense | Convolutional


def operators_of(layers: Any) -> tuple[Operator, ...]:
    """The maps of a network whose layers 0..L are widths, an image at the input and convolutions."""
    items = list(layers) if hasattr(layers, "__iter__") else list(_check.widths(layers))  # which refuses it
    shapes: list[int | Image] = []
    for layer, item in enumerate(items):
        match item, shapes[-1] if shapes else None:
            case Convolution(), Image() as below:
                shapes.append(item.image(below))
            case Convolution(), below:
                raise ValueError(
                    "`widths` must have an image below every convolution: Image(channels, height, width) "
                    "as layer 0, or "
                    f"another convolution. Got a convolution as layer {layer}, with {below or 'nothing'} "
                    "below it."
                )
            case Image(), below if below is not None:
                raise ValueError(f"`widths` must have an Image as layer 0 only. Got one as layer {layer}.")
            case shape, _:
                shapes.append(shape)
    sizes = _check.widths(tuple(_size(shape) for shape in shapes))
    checked = [s if isinstance(s, Image) else n for s, n in zip(shapes, sizes, strict=True)]
    return tuple(
        Convolutional(cast(Image, before), cast(Image, after), item)
        if isinstance(item, Convolution)
        else Dense(before, cast(int, after))
        for (before, after), item in zip(pairwise(checked), items[1:], strict=True)
    )


def initial_weights(
    operators: Sequence[Operator], name: str, init: str | float | None, rng: np.random.Generator | int
) -> list[np.ndarray]:
    """Weights of every layer in the parameterisation of that name; a kernel as the matrix (channels, fan-in)
    that it is.

    Returns
    -------
    list of arrays
        One for each layer, float64.
    """
    generator = _check.generator(rng)
    return [
        parameterisation.initial_weights((o.fan_in, o.shape[0]), name, init=init, rng=generator)[0].reshape(
            o.shape
        )
        for o in operators
    ]


def initial_biases(
    operators: Sequence[Operator], init: str | float | None, rng: np.random.Generator
) -> list[np.ndarray]:
    r"""Biases of every layer, one for each unit or channel: zero, or as `torch.nn.Linear` draws them with
    `init` "torch".

    Returns
    -------
    list of arrays
        One for each layer, float64.
    """
    bounds = [o.fan_in**-0.5 if init == "torch" else 0.0 for o in operators]
    return [
        b * rng.uniform(-1, 1, o.shape[0]) if b else np.zeros(o.shape[0])
        for o, b in zip(operators, bounds, strict=True)
    ]


def widths_of(operators: Sequence[Operator]) -> tuple[int, ...]:
    """(n_0, ..., n_L)."""
    return (_size(operators[0].before), *(_size(o.after) for o in operators))


def require_same_images(operators: Sequence[Operator], skips: Sequence[bool]) -> None:
    """A skip over a convolution adds an image to another: both must have one shape."""
    for layer, (operator, skip) in enumerate(zip(operators, skips, strict=True), start=1):
        if skip and isinstance(operator, Convolutional) and operator.before != operator.after:
            raise ValueError(
                "`skips` must stay on convolutions that keep the shape of the image. "
                f"Layer {layer} maps {operator.before} to {operator.after}."
            )


def _size(shape: int | Image) -> int:
    return shape.size if isinstance(shape, Image) else shape


def _images(rows: Tensor, shape: Image) -> Tensor:
    return rows.reshape(-1, shape.channels, shape.height, shape.width)
