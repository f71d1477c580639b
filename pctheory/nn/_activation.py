r"""Activation functions :math:`\phi` with the derivatives that inference needs: pullback, slope and
curvature.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

__all__ = ["Activation", "Change", "activation"]

Change = Callable[..., Callable[[Tensor, Tensor], Any]]
"""See `Activation.change_from`."""


@dataclass(frozen=True)
class Activation:
    r"""An elementwise function :math:`\phi`.

    Attributes
    ----------
    name : str
        "linear", or a name in `torch.nn.functional`.
    value : z -> phi(z)
    pullback : (v, z, phi(z)) -> phi'(z) * v
        One fused kernel for the common functions, written into v, which is a tensor of the caller's own;
        autograd for the rest.
    change : (z, d) -> phi(z + d) - phi(z)
        With the relative precision of d, however small d is.
    curvature : z -> phi''(z), or None where it vanishes almost everywhere
    kink : None, or (left, right)
        The two slopes at z = 0 of a function that is not differentiable there; phi(0) = 0.
    """

    name: str
    value: Callable[[Tensor], Tensor]
    pullback: Callable[[Tensor, Tensor, Tensor], Tensor]
    change: Callable[[Tensor, Tensor], Tensor]
    curvature: Callable[[Tensor], Tensor] | None
    kink: tuple[float, float] | None = None

    def change_from(self, origin: Tensor) -> Change:
        """The change from activities (k, B, N) that stay.

        Returns
        -------
        callable
            (start, stop) -> a function of (d, out) that writes the change by d of the rows from `start` up to
            `stop` into `out`. What depends on the origin alone is computed once.
        """
        if self.name == "relu":
            least, negative = -origin, origin.clamp(max=0)

            def rows(start: int, stop: int | None = None) -> Callable[[Tensor, Tensor], Any]:
                low, shift = least[start:stop], negative[start:stop]
                return lambda d, out: torch.maximum(d, low, out=out).add_(shift)

        else:

            def rows(start: int, stop: int | None = None) -> Callable[[Tensor, Tensor], Any]:
                here = origin[start:stop]
                return lambda d, out: out.copy_(self.change(here, d))

        return rows

    @property
    def is_linear(self) -> bool:
        """Whether this is the identity."""
        return self.name == "linear"

    def slope(self, z: Tensor, phi: Tensor) -> Tensor:
        r""":math:`\phi'(z)`; at a kink the slope that torch's autograd takes."""
        if self.name == "relu":
            return torch.gt(z, 0, out=torch.empty_like(z))
        return self.pullback(torch.ones_like(z), z, phi)


def activation(name: object) -> Activation:
    """The activation of that name, checked to act on each entry by itself."""
    if isinstance(name, Activation):
        return name
    if not isinstance(name, str):
        raise TypeError(
            "`activation` must be a name: 'linear', or a function of torch.nn.functional. Got "
            f"{type(name).__name__}."
        )
    if name in _KNOWN:
        return _KNOWN[name]
    function = getattr(torch.nn.functional, name, None)
    if name.startswith("_") or not callable(function) or not _is_elementwise(function):
        raise ValueError(
            "`activation` must be 'linear' or the name of an elementwise, deterministic function of "
            f"torch.nn.functional, such as 'tanh', 'relu' or 'gelu'. Got {name!r}."
        )
    pullback = _autograd_pullback(function)
    return Activation(
        name, function, pullback, _quadrature_change(function, pullback), _autograd_curvature(function)
    )


def _is_elementwise(function: Callable[..., Any]) -> bool:
    probe = torch.linspace(-2.0, 2.0, 6, dtype=torch.float64).reshape(2, 3)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's own message would not name the argument
            whole = function(probe)
            single = [function(entry.reshape(1, 1)) for entry in probe.flatten()]
    except (TypeError, ValueError, RuntimeError, IndexError, NotImplementedError):
        return False
    if not isinstance(whole, Tensor) or whole.shape != probe.shape:
        return False
    return bool(torch.allclose(whole.flatten(), torch.cat([torch.as_tensor(s).flatten() for s in single])))


def _autograd_pullback(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    def pullback(v: Tensor, z: Tensor, phi: Tensor) -> Tensor:
        with torch.enable_grad():
            leaf = z.detach().requires_grad_()
            (result,) = torch.autograd.grad(function(leaf), leaf, v)
        return result

    return pullback


def _quadrature_change(
    function: Callable[[Tensor], Tensor], pullback: Callable[[Tensor, Tensor, Tensor], Tensor]
) -> Callable[[Tensor, Tensor], Tensor]:
    r"""A change :math:`\phi(z + d) - \phi(z)` without cancellation.

    Returns
    -------
    Tensor
        d times the mean slope on the way, by Gauss' rule of two points, where this agrees with the difference
        to the rounding of the latter: where d is small, unless a kink lies between.
    """

    def change(z: Tensor, d: Tensor) -> Tensor:
        first, second = (pullback(d.clone(), z + d * (0.5 + s * 12**-0.5), z) for s in (-1, 1))
        mean, before, after = 0.5 * (first + second), function(z), function(z + d)
        rounding = 4 * torch.finfo(d.dtype).eps * (before.abs() + after.abs() + z.abs())
        return torch.where((mean - (after - before)).abs() <= rounding, mean, after - before)

    return change


def _autograd_curvature(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    def curvature(z: Tensor) -> Tensor:
        with torch.enable_grad():
            leaf = z.detach().requires_grad_()
            (slope,) = torch.autograd.grad(function(leaf).sum(), leaf, create_graph=True)
            if not slope.requires_grad:
                return torch.zeros_like(z)
            (result,) = torch.autograd.grad(slope.sum(), leaf, allow_unused=True, materialize_grads=True)
        return result

    return curvature


def _linear(v: Tensor, z: Tensor, phi: Tensor) -> Tensor:
    return v


def _tanh(v: Tensor, z: Tensor, phi: Tensor) -> Tensor:
    return cast(Tensor, torch.ops.aten.tanh_backward.grad_input(v, phi, grad_input=v))


def _relu(v: Tensor, z: Tensor, phi: Tensor) -> Tensor:
    return cast(Tensor, torch.ops.aten.threshold_backward.grad_input(v, z, 0.0, grad_input=v))


def _gelu(v: Tensor, z: Tensor, phi: Tensor) -> Tensor:
    return cast(Tensor, torch.ops.aten.gelu_backward.grad_input(v, z, grad_input=v))


def _leaky_relu(v: Tensor, z: Tensor, phi: Tensor) -> Tensor:
    return cast(Tensor, torch.ops.aten.leaky_relu_backward.grad_input(v, z, 0.01, False, grad_input=v))


def _relu_change(z: Tensor, d: Tensor) -> Tensor:
    return torch.maximum(d, -z).add_(z.clamp(max=0))


def _leaky_relu_change(z: Tensor, d: Tensor) -> Tensor:
    return _relu_change(z, d).mul_(0.99).add_(d, alpha=0.01)


def _tanh_change(z: Tensor, d: Tensor) -> Tensor:
    # tanh(z + d) = (t + s) / (1 + t s); of opposite signs the two are at most 1 apart
    t, s = torch.tanh(z), torch.tanh(d)
    small = torch.addcmul(torch.ones_like(t), t, s)
    return torch.where(small > 0.5, s * (1 - t * t) / small, torch.tanh(z + d) - t)


def _tanh_curvature(z: Tensor) -> Tensor:
    t = torch.tanh(z)
    return -2 * t * (1 - t * t)


_KNOWN = {
    "linear": Activation("linear", lambda z: z, _linear, lambda z, d: d, None),
    "tanh": Activation("tanh", torch.tanh, _tanh, _tanh_change, _tanh_curvature),
    "relu": Activation("relu", torch.relu, _relu, _relu_change, None, kink=(0.0, 1.0)),
    "leaky_relu": Activation(
        "leaky_relu",
        torch.nn.functional.leaky_relu,
        _leaky_relu,
        _leaky_relu_change,
        None,
        kink=(0.01, 1.0),
    ),
    "gelu": Activation(
        "gelu",
        torch.nn.functional.gelu,
        _gelu,
        _quadrature_change(torch.nn.functional.gelu, _gelu),
        _autograd_curvature(torch.nn.functional.gelu),
    ),
}
