r"""Backpropagation through inference by autograd, for any activation: unrolled, detached, truncated,
implicit.

The loss is any differentiable function of the settled activities; the weights are the model's. The implicit
gradient solves :math:`\mathcal H_{ff}\, \alpha = \nabla_z \Lambda` by a Krylov method with products by
autograd, and so differentiates the exact stationary point without storing how it was reached.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import _check
from .pcn import PCN

__all__ = ["Clamps", "ThroughInference", "implicit_gradient", "settle", "unrolled_gradient"]

TaskLoss = Callable[[PCN, tuple[Tensor, ...]], Tensor]


@dataclass(frozen=True, eq=False)
class Clamps:
    r"""What inference may not change, and a Gaussian prior on layer 0.

    Attributes
    ----------
    free : tuple of (n_l,) tensors, l = 0..L
        1 on free units, 0 on clamped ones.
    prior : float
        Precision of the prior on layer 0, mean 0; 0 for none.
    """

    free: tuple[Tensor, ...]
    prior: float

    @classmethod
    def of(cls, model: PCN, mask: Sequence[Any] | None = None, *, prior: float = 0.0) -> Clamps:
        """From a mask of L + 1 of: bool, (n_l,) booleans, True where a unit is clamped; None clamps layers 0
        and L.

        Returns
        -------
        Clamps
            Of the layers of `model`.
        """
        free = (
            torch.tensor((~marks).astype(np.float64), dtype=model.dtype, device=model.device)
            for marks in _check.clamped_units(mask, model.widths, "mask")
        )
        return cls(tuple(free), _check.non_negative(prior, "prior"))

    def energy(self, model: PCN, activities: Sequence[Tensor]) -> Tensor:
        """The model's energy and the prior's."""
        total = model.energy(activities)
        if self.prior:
            z = activities[0]
            total = total + 0.5 * self.prior * torch.sum(z**2) / z.shape[0]
        return total

    def slope(self, model: PCN, activities: Sequence[Tensor], *, graph: bool) -> tuple[Tensor, ...]:
        """Per-sample gradient of the energy on the free units, zero elsewhere."""
        with torch.enable_grad():
            own = tuple(z * 1.0 if z.requires_grad else z.detach().requires_grad_() for z in activities)
            gradient = torch.autograd.grad(self.energy(model, own), own, create_graph=graph)
        return tuple(z.shape[0] * g * m for z, g, m in zip(own, gradient, self.free, strict=True))

    def start(self, model: PCN, given: Sequence[Any]) -> tuple[Tensor, ...]:
        """The forward pass that keeps clamped units; free units of layer 0 start at 0. Differentiable."""
        values = model.activities(given)
        z = [values[0] * (1 - self.free[0])]
        for l in range(1, model.depth + 1):
            m = self.free[l]
            if not bool(m.any()):
                z.append(values[l])
            else:
                z.append(values[l] * (1 - m) + model.prediction(l, z[-1]) * m)
        return tuple(z)


@dataclass(frozen=True, eq=False)
class ThroughInference:
    """A gradient through inference, with what it was computed from.

    Attributes
    ----------
    gradient : tensors like `PCN.parameters()`
    loss : float
    activities : (z_0, ..., z_L), each (B, n_l), where inference ended
    residual : float
        Of "implicit": the relative residual of the adjoint system. 0 otherwise.
    iterations : int
        Steps of inference, or Krylov iterations of the adjoint.
    """

    gradient: tuple[Tensor, ...]
    loss: float
    activities: tuple[Tensor, ...]
    residual: float
    iterations: int


def settle(
    model: PCN,
    given: Sequence[Any],
    clamps: Clamps,
    *,
    step: float,
    num_steps: int,
    start: Sequence[Any] | None = None,
    detach_start: bool = False,
    last: int | None = None,
) -> tuple[Tensor, ...]:
    r"""Gradient descent on the free units, :math:`z \leftarrow z - g \nabla`, inside torch's graph.

    Parameters
    ----------
    model : PCN
        The network.
    given : (z_0, ..., z_L), each (B, n_l)
        Read on the clamped units.
    clamps : Clamps
        Which units are free.
    step, num_steps : float, int
        g (per sample) and T.
    start : None or activities
        A constant start; the forward pass by default.
    detach_start : bool
        Treat the forward pass of the start as a constant.
    last : None or int
        Only the last K steps are in the graph.

    Returns
    -------
    activities : tuple of (B, n_l), l = 0..L

    Raises
    ------
    ValueError
        If `last` exceeds `num_steps`.
    """
    g, steps = _check.positive(step, "step"), _check.count(num_steps, "num_steps")
    kept = steps if last is None else _check.count(last, "last")
    if kept > steps:
        raise ValueError(f"`last` must not exceed the number of steps. Got {kept} for `num_steps` = {steps}.")
    z = clamps.start(model, given) if start is None else model.activities(start)
    if detach_start or last is not None:
        z = tuple(a.detach() for a in z)
    for t in range(steps):
        graph = torch.is_grad_enabled() and t >= steps - kept
        slope = clamps.slope(model, z, graph=graph)
        z = tuple(a - g * s for a, s in zip(z, slope, strict=True))
        if not graph:
            z = tuple(a.detach() for a in z)
    return z


def unrolled_gradient(
    model: PCN,
    given: Sequence[Any],
    loss: TaskLoss,
    clamps: Clamps,
    *,
    step: float,
    num_steps: int,
    start: Sequence[Any] | None = None,
    detach_start: bool = False,
    last: int | None = None,
) -> ThroughInference:
    r"""The gradient of a loss of the activities after T steps, by backpropagation through the steps.

    Parameters
    ----------
    model : PCN
        The network.
    given : (z_0, ..., z_L), each (B, n_l)
        Read on the clamped units.
    loss : (model, activities) -> scalar tensor
        A batch mean, :math:`\Lambda(z_T; \theta)`.
    clamps : Clamps
        Which units are free.
    step, num_steps, start, detach_start, last : see `settle`
        ``last=0`` leaves the explicit derivative alone: for the energy, the local rule at :math:`z_T`.

    Returns
    -------
    ThroughInference
        The gradient, the loss and the activities after T steps.

    Examples
    --------
    >>> model = PCN.from_weights([[[2.0]], [[3.0]]])
    >>> given = (torch.ones(1, 1), torch.zeros(1, 1), 7 * torch.ones(1, 1))
    >>> def energy(model, z):
    ...     return model.energy(z)
    >>> result = unrolled_gradient(model, given, energy, Clamps.of(model), step=0.1, num_steps=1)
    >>> [round(g.item(), 6) for g in result.gradient]  # 1 / H = 0.1: at equilibrium, the local rule
    [-0.3, -0.23]
    """
    with torch.enable_grad():
        z = settle(
            model,
            given,
            clamps,
            step=step,
            num_steps=num_steps,
            start=start,
            detach_start=detach_start,
            last=last,
        )
        value = loss(model, z)
        gradient = _weight_gradient(value, model)
    return ThroughInference(
        gradient, float(value.detach()), tuple(a.detach() for a in z), 0.0, int(num_steps)
    )


def implicit_gradient(
    model: PCN,
    activities: Sequence[Any],
    loss: TaskLoss,
    clamps: Clamps,
    *,
    tolerance: float = 1e-10,
    max_iterations: int = 1000,
) -> ThroughInference:
    r"""The gradient of a loss at a stationary point of the energy, by the implicit function theorem.

    .. math:: \mathcal H_{ff}\, \alpha = \nabla_z \Lambda, \qquad
              \frac{d\Lambda}{d\theta} = \frac{\partial\Lambda}{\partial\theta}
              - \alpha^T \partial_\theta \nabla_z E

    Parameters
    ----------
    model : PCN
        The network.
    activities : (z_0, ..., z_L)
        Where inference has settled; the formula assumes that the energy is stationary there on the free
        units.
    loss : (model, activities) -> scalar tensor
        A batch mean, :math:`\Lambda(z; \theta)`.
    clamps : Clamps
        Which units are free.
    tolerance : float
        Of the adjoint's relative residual.
    max_iterations : int
        Of MINRES, which does not need a positive definite Hessian: away from a minimum that of a nonlinear
        network is not.

    Returns
    -------
    ThroughInference
        The gradient, the loss, and the residual of the adjoint.

    Notes
    -----
    A product with the Hessian is a backward pass through the gradient of the energy. Samples are one
    block-diagonal system.
    """
    z = tuple(a.detach() for a in model.activities(activities))
    with torch.enable_grad():
        own = tuple(a.clone().requires_grad_() for a in z)
        value = loss(model, own)
        source = _filled(torch.autograd.grad(value, own, allow_unused=True, retain_graph=True), own)
        explicit = _weight_gradient(value, model)
        slope = torch.autograd.grad(clamps.energy(model, own), own, create_graph=True)
        right = _flat(source, clamps.free)

        def along(vector: Tensor) -> Tensor:
            rows = torch.split(vector, [a.numel() for a in z])
            parts = [torch.sum(s * p.reshape(s.shape)) for s, p in zip(slope, rows, strict=True)]
            return torch.stack(parts).sum()

        def product(vector: Tensor) -> Tensor:
            back = torch.autograd.grad(along(vector), own, retain_graph=True, allow_unused=True)
            return _flat(_filled(back, own), clamps.free)

        adjoint, residual, iterations = _minres(product, right, tolerance, max_iterations)
        through = _weight_gradient(along(adjoint), model)
    gradient = tuple(e - t for e, t in zip(explicit, through, strict=True))
    return ThroughInference(gradient, float(value.detach()), z, residual, iterations)


def _filled(found: Sequence[Tensor | None], like: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Zeros where autograd found no dependence."""
    return tuple(torch.zeros_like(a) if g is None else g for a, g in zip(like, found, strict=True))


def _flat(layers: Sequence[Tensor], marks: Sequence[Tensor]) -> Tensor:
    return torch.cat([(v * m).flatten() for v, m in zip(layers, marks, strict=True)])


def _weight_gradient(value: Tensor, model: PCN) -> tuple[Tensor, ...]:
    weights = list(model.parameters())
    if not value.requires_grad:
        return tuple(torch.zeros_like(w) for w in weights)
    return _filled(torch.autograd.grad(value, weights, allow_unused=True, retain_graph=True), weights)


def _minres(
    product: Callable[[Tensor], Tensor], right: Tensor, tolerance: float, limit: int
) -> tuple[Tensor, float, int]:
    """Solve a symmetric system by scipy's MINRES; the returned residual is recomputed."""
    from scipy.sparse.linalg import LinearOperator, minres

    scale = float(torch.linalg.vector_norm(right))
    if scale == 0:
        return torch.zeros_like(right), 0.0, 0
    count = 0

    def matvec(vector: np.ndarray) -> np.ndarray:
        nonlocal count
        count += 1
        rows = torch.as_tensor(vector.reshape(-1), dtype=right.dtype, device=right.device)
        return _check.to_numpy(product(rows), "product")

    size = right.numel()
    operator = LinearOperator((size, size), matvec=matvec, dtype=np.float64)
    host = _check.to_numpy(right, "right")
    solution, _ = minres(operator, host / scale, rtol=tolerance, maxiter=limit)
    solution = solution * scale
    residual = float(np.linalg.norm(matvec(solution) - host)) / scale
    return torch.as_tensor(solution, dtype=right.dtype, device=right.device), residual, count - 1
