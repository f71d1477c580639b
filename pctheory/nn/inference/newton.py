r"""Newton-Krylov inference, preconditioned by the Gauss-Newton step in error coordinates.

Linearised around the current activities, the energy of one sample is a least-squares problem in the errors,
which an n_L x n_L matrix solves exactly at the price of n_L backward passes. Its spectrum does not spread
with depth in the way that the Hessian in the activities does, so that preconditioning the Hessian with it
leaves to conjugate gradients only the curvature of the activation. Activations with a kink (ReLU) have none,
but a unit may come to rest exactly at z = 0, where the subdifferential of the energy contains zero although
neither one-sided slope vanishes: their step is the minimum of a model with these kinks in it. The gradient
that decides about convergence is the one of smallest norm there.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from .._stacked import Errors, StackedNetwork, State
from .kinks import Kinks, smallest_slope
from .linearised import Linearised
from .methods import Newton
from .problem import Problem, Trace, require_standard

__all__ = ["Local", "newton_krylov"]

DENSE_OUTPUTS = 64
"""Widest output for which a smooth activation's Gauss-Newton step is exact; wider ones leave the rank-n_L
part to conjugate gradients.
"""
MAX_STEPS = 100
MAX_KRYLOV = 500
MAX_HALVINGS = 30
ROLLED = 6
"""Lengths that are tried in the errors before the straight step at kinks, which descends for certain."""
IDLE, MAX_IDLE = 1e-9, 4
"""A run that lowers the energy by less than this share in so many steps on end has stalled."""
NEAR = 0.1
"""Relative fall of the energy in a step below which the kinks on its way are modelled."""
ARMIJO = 1e-4


def newton_krylov(
    problem: Problem,
    method: Newton,
    trace: Trace,
    *,
    enough: Callable[[Local], bool] | None = None,
    done: int = 0,
) -> Errors:
    """Relax the hidden activities to a stationary point of the energy.

    `enough` ends the run where it is true, and `done` counts the steps of the method before this one.

    Returns
    -------
    Errors
        Those at the end.

    Raises
    ------
    Diverged
        If a linear system is singular.
    """
    require_standard(problem, method)
    net, state = problem.net, problem.state
    limit = MAX_STEPS if trace.stop.num_steps is None else trace.stop.num_steps
    kink = net.activation.kink
    lin = Linearised(net, state, trace, dense=kink is not None or state.y.shape[1] <= DENSE_OUTPUTS)
    step, previous, idle, bend = 0, math.inf, 0, False
    while True:
        local = Local(net, state)
        trace.num_passes += 1
        energy = net.energy(state)
        mean = float(energy.mean())
        norm = problem.norm(local.gradient)
        bend = bend or previous - mean < NEAR * mean
        idle = idle + 1 if previous - mean <= IDLE * mean else 0
        previous = mean
        stalled = idle == MAX_IDLE
        satisfied = enough is not None and enough(local)
        last = step == limit or norm == 0 or stalled or satisfied
        if trace.measure(done + step, None, lambda f=mean: f, norm, last=last) or last:  # type: ignore[misc]
            if norm == 0 and trace.stop.tolerance is not None:
                trace.converged = True
            if not (trace.converged or norm == 0 or satisfied):
                trace.message = "stalled" if stalled else "step limit reached"
            else:
                trace.message = "converged"
            return net.errors(state)
        try:
            forcing = min(0.5, math.sqrt(norm / trace.reference)) if trace.reference else 0.5
            changes, held, fall = _direction(local, lin, state, forcing, bend=bend)
        except torch.linalg.LinAlgError:  # type: ignore[attr-defined]
            raise trace.diverged(f"a singular linear system after {step} steps") from None
        _line_search(problem, lin, energy, changes, held, fall)
        step += 1
        trace.after(done + step)


def _direction(
    local: Local, lin: Linearised, state: State, forcing: float, *, bend: bool
) -> tuple[list[Tensor], list[Tensor] | None, Tensor]:
    """Changes of the errors, the units that they hold at kinks, and the slope of the energy along them."""
    kink = local.net.activation.kink
    if kink is None:
        lin.move(local.slopes, local.curvature)
        direction = _conjugate_gradients(local, lin, forcing)
        return _error_changes(local.net, local, direction), None, _dot(local.gradient, direction)
    kinks = Kinks(lin, state.hidden, local.own, local.pulls, local.slopes, kink)
    lin.move(kinks.slopes, local.curvature)
    return kinks.direction(bend=bend)


class Local:
    """The energy's first and second derivatives at the current activities; at a kink the subgradient of
    smallest norm.
    """

    def __init__(self, net: StackedNetwork, state: State) -> None:
        self.net = net
        act = net.activation
        ones = [torch.ones_like(z) for z in state.hidden]
        full = net.gradient(state, slopes=ones)
        weighted = full.errors.weighted
        self.curvature = net.output_curvature(full.errors.prediction)
        self.weighted = weighted
        self.gradient: list[Tensor] = []
        self.slopes: list[Tensor] = []
        self.own: list[Tensor] = []  # the gradient's part that does not pass through the activation
        self.pulls: list[Tensor] = []  # u = M_{l+1}^T Pi_{l+1} eps_{l+1}, before the activation's slope
        self.diagonal: list[Tensor] | None = [] if act.curvature else None
        for s, z in enumerate(state.hidden):
            own = weighted[s].clone()
            if net.inners[s] is not None:
                own[:-1].sub_(net.taus[s] * weighted[s][1:])
            if net.skip[net.stacks[s].last]:  # of the map to the next stack
                own[-1].sub_(weighted[s + 1][0])
            pull = own - full.hidden[s]
            slope = act.slope(z, act.value(z))
            if act.kink is not None:
                slope = smallest_slope(z, own, pull, slope, act.kink)
            self.slopes.append(slope)
            self.own.append(own)
            self.pulls.append(pull)
            self.gradient.append(own - slope * pull)
            if self.diagonal is not None and act.curvature is not None:
                self.diagonal.append(-act.curvature(z) * pull)

    def hessian(self, vectors: list[Tensor]) -> list[Tensor]:
        """The Hessian times hidden stacks."""
        return self.net.hessian_product(vectors, self.slopes, self.curvature, self.diagonal)


def _conjugate_gradients(local: Local, lin: Linearised, forcing: float) -> list[Tensor]:
    """Preconditioned conjugate gradients on the Newton equations, each sample with its own coefficients.

    A sample that meets negative curvature goes as far along it as if it were positive, which leads away from
    saddles, and ends.

    Returns
    -------
    list of tensors
        The step of each stack of hidden layers.
    """
    solution = [torch.zeros_like(g) for g in local.gradient]
    residual = [-g for g in local.gradient]
    target = forcing * _dot(residual, residual).sqrt()
    scaled = lin.forward(lin.solve(residual))
    search = [s.clone() for s in scaled]
    product = _dot(residual, scaled)
    active = product > 0
    for _ in range(MAX_KRYLOV):
        image = local.hessian(search)
        lin.trace.num_passes += 1
        bend = _dot(search, image)
        _add(
            solution, search, torch.where(active & (bend < 0), -product / torch.where(bend < 0, bend, -1), 0)
        )
        active = active & (bend > 0)
        length = torch.where(active, product / torch.where(active, bend, 1), 0)
        _add(solution, search, length)
        _add(residual, image, -length)
        active = active & (_dot(residual, residual).sqrt() > target)
        if not bool(active.any()):
            break
        scaled = lin.forward(lin.solve(residual))
        fresh = _dot(residual, scaled)
        ratio = torch.where(active, fresh / torch.where(active, product, 1), 0)
        product = torch.where(active, fresh, product)
        for p, z in zip(search, scaled, strict=True):
            p.mul_(ratio[None, :, None]).add_(z)
    return solution


def _line_search(
    problem: Problem,
    lin: Linearised,
    energy: Tensor,
    changes: list[Tensor],
    held: list[Tensor] | None,
    fall: Tensor,
) -> None:
    """Move each sample by the longest of 1, 1/2, 1/4, ... steps that lowers its energy enough, or not at all.

    The step is taken in the errors and rolled forward through the network, so that curvature and crossings of
    kinks cannot open errors in hidden layers that the linearised problem had closed. Units that are held
    reach 0 with the whole step. With kinks, short steps are taken in the activities.
    """
    net, state = problem.net, problem.state
    old = [z.clone() for z in state.hidden]
    result = [z.clone() for z in old]
    step: list[Tensor] | None = None
    length = torch.ones_like(energy)
    accepted = torch.zeros_like(energy, dtype=torch.bool)
    rounding = 16 * torch.finfo(energy.dtype).eps * energy.abs()
    for attempt in range(MAX_HALVINGS):
        if held is None or attempt < ROLLED:
            _roll(net, state, old, changes, held, length)
        else:
            step = step or lin.forward(changes)
            for z, z0, d in zip(state.hidden, old, step, strict=True):
                torch.addcmul(z0, length[None, :, None], d, out=z)
        trial = net.energy(state)
        lin.trace.num_passes += 1
        good = (trial <= energy + ARMIJO * length * fall.clamp(max=0) + rounding) & ~accepted
        for kept, z in zip(result, state.hidden, strict=True):
            kept.copy_(torch.where(good[None, :, None], z, kept))
        accepted |= good
        if bool(accepted.all()):
            break
        length = torch.where(accepted, length, 0.5 * length)
    for z, new in zip(state.hidden, result, strict=True):
        z.copy_(new)


def _error_changes(net: StackedNetwork, local: Local, direction: list[Tensor]) -> list[Tensor]:
    r"""What the linearised network makes of a step: :math:`d_l - J_l d_{l-1}`."""
    result, layer = [], 0
    before: tuple[Tensor, Tensor] | None = None
    for d, slopes in zip(direction, local.slopes, strict=True):
        change = d.clone()
        for row in range(d.shape[0]):
            if before is not None:
                change[row] -= net.push(before[0], layer + 1, before[1])
            before = (d[row], slopes[row])
            layer += 1
        result.append(change)
    return result


def _roll(
    net: StackedNetwork,
    state: State,
    old: list[Tensor],
    changes: list[Tensor],
    held: list[Tensor] | None,
    length: Tensor,
) -> None:
    """The forward pass with the errors of `old` plus `length` times `changes`; the result is the state's
    activities.

    Layer by layer the change of a prediction is added to the old activity, which loses no digits of small
    steps.
    """
    phi, layer = net.activation.value, 0
    before: tuple[Tensor, Tensor] | None = None
    for s, z0 in enumerate(old):
        for row in range(z0.shape[0]):
            z = z0[row] + length[:, None] * changes[s][row]
            if before is not None:
                now, was = before
                z = z + net.mapped(layer + 1, phi(now) - phi(was))
                if net.skip[layer]:
                    z = z.add_(now - was, alpha=net.skip[layer])
            if held is not None:
                z = torch.where(held[s][row], (1 - length[:, None]) * z0[row], z)
            state.hidden[s][row] = z
            before = (z, z0[row])
            layer += 1


def _dot(a: list[Tensor], b: list[Tensor]) -> Tensor:
    total = torch.einsum("kbn,kbn->b", a[0], b[0])
    for x, y in zip(a[1:], b[1:], strict=True):
        total = total + torch.einsum("kbn,kbn->b", x, y)
    return total


def _add(target: list[Tensor], source: list[Tensor], scale: Tensor) -> None:
    for t, s in zip(target, source, strict=True):
        t.addcmul_(s, scale[None, :, None])
