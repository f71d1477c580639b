"""Stacks: hidden layers of equal width as one tensor, their activities, gradients and precisions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from .._activation import Activation, Change
from ..layers import Dense, Operator

__all__ = [
    "Displacement",
    "Errors",
    "Gradient",
    "Stack",
    "State",
    "gathered",
    "inner_errors",
    "inner_gradient",
    "inverse",
    "observed_precision",
    "rows_of",
    "stacked_precision",
    "stacks_of",
    "weight_by",
    "weight_output",
]


@dataclass(frozen=True)
class Stack:
    """Activity layers first..last, all of one width."""

    first: int
    last: int
    width: int

    @property
    def size(self) -> int:
        """Number of activity layers."""
        return self.last - self.first + 1


def stacks_of(widths: Sequence[int], operators: Sequence[Operator]) -> tuple[Stack, ...]:
    """Hidden layers 1..L-1 cut into runs of equal width with matrices between them; a convolution starts a
    run of its own.

    Returns
    -------
    tuple of Stack
        From layer 1 up.
    """
    stacks: list[Stack] = []
    for layer in range(1, len(widths) - 1):
        if stacks and stacks[-1].width == widths[layer] and isinstance(operators[layer - 1], Dense):
            stacks[-1] = Stack(stacks[-1].first, layer, widths[layer])
        else:
            stacks.append(Stack(layer, layer, widths[layer]))
    return tuple(stacks)


@dataclass
class Displacement:
    r"""How far hidden activities have moved from a forward pass: :math:`z = \hat z + d`.

    An error is :math:`\epsilon_l = d_l - [\hat z_l(\hat z_{l-1} + d_{l-1}) - \hat z_l(\hat z_{l-1})]`, all of
    the size of the displacements: they keep their digits where the difference of two activities has none.

    Attributes
    ----------
    origin, moved : hidden stacks
        :math:`\hat z` and d.
    prediction : (B, n_L)
        Of layer L at the origin.
    """

    origin: list[Tensor]
    moved: list[Tensor]
    prediction: Tensor
    _changes: list[Change] = field(default_factory=list)

    def changes(self, activation: Activation) -> list[Change]:
        """For each stack the change of the activation from the origin, see `Activation.change_from`."""
        if not self._changes:
            self._changes = [activation.change_from(z) for z in self.origin]
        return self._changes


@dataclass
class State:
    """Activities during inference: z_0 (B, n_0), hidden stacks (k, B, N), z_L (B, n_L). Changed in place.

    `prediction`, (B, n_L), is that of the forward pass from which `hidden` starts, if it does. With a
    displacement it decides about `hidden`, which follows when errors are asked for.
    """

    x: Tensor
    hidden: list[Tensor]
    y: Tensor
    prediction: Tensor | None = None
    displacement: Displacement | None = None

    def displace(self) -> None:
        """Measure from here, a forward pass; without its prediction nothing changes."""
        if self.prediction is not None:
            moved = [torch.zeros_like(z) for z in self.hidden]
            self.displacement = Displacement([z.clone() for z in self.hidden], moved, self.prediction)

    def follow(self) -> None:
        """Bring `hidden` to where the displacement is."""
        if (rest := self.displacement) is not None:
            for z, origin, moved in zip(self.hidden, rest.origin, rest.moved, strict=True):
                torch.add(origin, moved, out=z)

    def layers(self) -> tuple[Tensor, ...]:
        """Activities (z_0, ..., z_L), each (B, n_l), as views."""
        return (self.x, *(row for stack in self.hidden for row in stack.unbind(0)), self.y)


@dataclass
class Errors:
    """Prediction errors, and as the precisions weigh them.

    Rows of layers below `lowest` are not defined: their errors are zero. With a cross-entropy output the last
    error is y - softmax.
    """

    lowest: int
    hidden: list[Tensor]
    weighted: list[Tensor]
    output: Tensor
    output_weighted: Tensor
    prediction: Tensor


@dataclass
class Gradient:
    """Per-sample gradient in the activities, with the errors it was made from.

    Rows of layers below the errors' `lowest` are not defined: their gradients are zero.
    """

    errors: Errors
    hidden: list[Tensor]
    input: Tensor | None
    output: Tensor | None


def inner_errors(
    above: Tensor, below: Tensor, values: Tensor, transposed: Tensor, tau: float | Tensor, out: Tensor
) -> None:
    r"""Errors :math:`z_l - \tau_l z_{l-1} - M_l \phi(z_{l-1})` of some inner layers of a stack, into `out`.

    Parameters
    ----------
    above, below : (k, B, N)
        The activities of these layers, and of those below them.
    values : (k, B, N)
        The activation of the latter.
    transposed : (k, N, N)
        The transposed maps.
    tau : float or (k, 1, 1)
        The skips.
    out : (k, B, N)
        Where the errors go.
    """
    if isinstance(tau, Tensor):
        torch.sub(above, tau * below, out=out)
    elif tau:
        torch.sub(above, below, out=out)
    else:
        out.copy_(above)
    out.baddbmm_(values, transposed, alpha=-1)


def inner_gradient(g: Tensor, pulled: Tensor, above: Tensor, tau: float | Tensor, out: Tensor) -> None:
    r"""The gradient :math:`g_l - \lambda_l - \tau_{l+1} g_{l+1}` in some layers of a stack, into `out`.

    Parameters
    ----------
    g : (k, B, N)
        Weighted errors of these layers.
    pulled : (k, B, N)
        What comes down to them through the maps; may be `out`.
    above : (k, B, N), or (k - 1, B, N)
        The weighted errors above them, without that of another stack.
    tau : float or (len(above), 1, 1)
        The skips from them.
    out : (k, B, N)
        Where the gradient goes.
    """
    torch.sub(g, pulled, out=out)
    if isinstance(tau, Tensor):
        out[: len(above)].sub_(tau * above)
    elif tau and len(above):
        out[: len(above)].sub_(above)


def rows_of(values: float | Tensor, start: int, stop: int | None = None) -> float | Tensor:
    """The values of some layers of a stack, where each layer has its own."""
    return values[start:stop] if isinstance(values, Tensor) and values.ndim == 3 else values


def weight_by(precision: float | Tensor, rows: Tensor, start: int = 0) -> Tensor:
    r"""Rows :math:`v \mapsto \Pi v`; `rows` itself when the precision is 1.

    With a stack the precision is a float, (k, 1, 1), (k, 1, N) or (k, N, N), and rows below `start` are left
    undefined.

    Returns
    -------
    tensor like `rows`
    """
    if isinstance(precision, float):
        return rows if precision == 1.0 else precision * rows
    if precision.ndim == 1:
        return rows * precision
    if precision.ndim == 2:
        return rows @ precision
    result = torch.empty_like(rows)
    if precision.shape[1] == 1:
        torch.mul(rows[start:], precision[start:], out=result[start:])
    else:
        torch.bmm(rows[start:], precision[start:], out=result[start:])
    return result


def inverse(precision: float | Tensor) -> float | Tensor:
    """The variance of a precision, one layer's or a stack's."""
    if (
        isinstance(precision, float)
        or precision.ndim == 1
        or (precision.ndim == 3 and precision.shape[1] == 1)
    ):
        return 1.0 / precision
    return torch.linalg.inv(precision)


def observed_precision(precision: float | Tensor, observed: Tensor | None, like: Tensor) -> float | Tensor:
    r"""The precision of each sample's observed outputs O, with the others where the energy is least:
    :math:`(\Sigma_{OO})^{-1}` on O and 0 elsewhere.

    Returns
    -------
    float or tensor
        `precision` itself if `observed`, booleans (B, n_L), is None; of a number or a vector the diagonals
        (B, 1, n_L), of a matrix (B, n_L, n_L).
    """
    if observed is None:
        return precision
    if isinstance(precision, float) or precision.ndim == 1:
        return (precision * observed.to(like))[:, None]
    both = observed[:, :, None] & observed[:, None, :]
    eye = torch.eye(observed.shape[1], dtype=like.dtype, device=like.device)
    own = torch.linalg.inv(torch.where(both, torch.linalg.inv(precision), eye))
    return torch.where(both, own, torch.zeros_like(own))


def weight_output(precision: float | Tensor, rows: Tensor) -> Tensor:
    """`weight_by` of the output layer, whose precision may be one for each sample, `observed_precision`."""
    if isinstance(precision, float) or precision.ndim < 3:
        return weight_by(precision, rows)
    return rows * precision[:, 0] if precision.shape[1] == 1 else (precision @ rows[:, :, None])[:, :, 0]


def stacked_precision(precisions: tuple[float | Tensor, ...], stack: Stack, like: Tensor) -> float | Tensor:
    """The precisions of a stack's layers as one float, (k, 1, 1), (k, 1, N) or (k, N, N)."""
    values = precisions[stack.first - 1 : stack.last]
    if all(isinstance(v, float) for v in values):
        if len(set(values)) == 1:
            return values[0]
        return like.new_tensor(values)[:, None, None]
    rank = max(0 if isinstance(v, float) else v.ndim for v in values)
    ones = torch.ones(stack.width, dtype=like.dtype, device=like.device)
    vectors = [v * ones if isinstance(v, float) else v for v in values]
    if rank == 1:
        return torch.stack(vectors)[:, None, :]
    return torch.stack([torch.diag(v) if v.ndim == 1 else v for v in vectors])


def gathered(parameters: Sequence[Tensor], storage: Tensor | None) -> Tensor:
    """The one storage (k, N, N) whose rows the parameters are; they are moved into a new one if need be."""
    if storage is not None:
        start, stride = storage.data_ptr(), storage.stride(0) * storage.element_size()
        if all(p.data_ptr() == start + i * stride and p.is_contiguous() for i, p in enumerate(parameters)):
            return storage
    storage = torch.stack([p.detach() for p in parameters])
    for parameter, row in zip(parameters, storage, strict=True):
        parameter.data = row
    return storage
