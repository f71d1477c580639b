r"""Newton-Krylov inference, preconditioned by the Gauss-Newton step in error coordinates.

Linearised around the current activities, the energy of one sample is a least-squares problem in the errors,
:math:`\frac12\sum_l |\epsilon_l + d_l|^2_{\Pi_l} + \frac12 |r - \sum_l P_l d_l|^2_C`, which the n_L x n_L matrix
:math:`I + KC`, :math:`K = \sum_{l<L} P_l \Sigma_l P_l^T`, solves exactly at the price of n_L backward passes. Its spectrum
does not spread with depth in the way that the Hessian in the activities does, so that preconditioning the Hessian with it
leaves to conjugate gradients only what the linearisation lacks: the curvature of the activation, and units at a kink.

A unit whose activation has a kink (ReLU) may come to rest exactly at z = 0, where the subdifferential of the energy
contains zero although neither one-sided slope vanishes. Such units are held at zero while the others move, and released
when the interval no longer contains zero. The gradient that decides about convergence is the one of smallest norm there.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ._frame import Frame, State, weight_by
from ._problem import Problem, Trace, require_standard
from ._settings import InferenceSettings

__all__ = ["newton_krylov"]

DENSE_OUTPUTS = 64
"""Widest output for which the products P_l are formed; wider ones leave the rank-n_L part to conjugate gradients."""
MAX_STEPS = 100
MAX_KRYLOV = 500
MAX_HALVINGS = 30
MAX_HOLDS = 2
IDLE, MAX_IDLE = 1e-9, 4
"""A run that lowers the energy by less than this share in so many steps on end has stalled."""
NEAR = 1e-2
"""Relative fall of the energy in a step below which units are brought to rest at kinks."""
ARMIJO = 1e-4


def newton_krylov(problem: Problem, settings: InferenceSettings, trace: Trace) -> None:
    """Relax the hidden activities to a stationary point of the energy; input and output are clamped."""
    require_standard(problem, settings.method)
    frame, state = problem.frame, problem.state
    limit = MAX_STEPS if settings.num_steps is None else settings.num_steps
    near = frame.activation.kink is None
    previous, idle = math.inf, 0
    for step in range(limit + 1):
        local = _Local(frame, state, hold=near)
        trace.num_passes += 1
        energy = frame.energy(state)
        mean = float(energy.mean())
        if not near and previous - mean < NEAR * mean:  # close to the minimum: now the kinks decide
            near = True
            local = _Local(frame, state, hold=True)
        norm = problem.norm(local.gradient)
        idle = idle + 1 if near and previous - mean <= IDLE * mean else 0
        previous = mean
        stalled = idle == MAX_IDLE
        last = step == limit or norm == 0 or stalled
        if trace.measure(step, float(step), lambda f=mean: f, norm, last=last) or last:  # type: ignore[misc]
            if norm == 0 and settings.tolerance is not None:
                trace.converged = True
            if not (trace.converged or norm == 0):
                trace.message = "stalled at kinks" if stalled else "step limit reached"
            else:
                trace.message = "converged"
            return
        forcing = min(0.1, math.sqrt(norm / trace.reference)) if trace.reference else 0.1
        _line_search(problem, local, energy, *_direction(local, forcing, trace), trace)
        trace.after(step + 1)


class _Local:
    """The energy's first and second derivatives at the current activities."""

    def __init__(self, frame: Frame, state: State, *, hold: bool) -> None:
        self.frame, self.state = frame, state
        act = frame.activation
        ones = [torch.ones_like(z) for z in state.hidden]
        full = frame.gradient(state, slopes=ones)
        self.curvature = frame.output_curvature(full.prediction)
        self.gradient: list[Tensor] = []
        self.slopes: list[Tensor] = []
        self.pulls: list[Tensor] = []  # u = M_{l+1}^T Pi_{l+1} eps_{l+1}, before the activation's slope
        self.free: list[Tensor] | None = [] if act.kink and hold else None
        self.side: list[Tensor] | None = [] if act.kink and hold else None
        self.stops: list[Tensor] = []  # units that may not change sign within a step
        self.diagonal: list[Tensor] | None = [] if act.curvature else None
        for s, z in enumerate(state.hidden):
            own = full.weighted[s].clone()
            if frame.inners[s] is not None:
                own[:-1].sub_(frame.taus[s] * full.weighted[s][1:])
            if frame.skip[frame.stacks[s].last]:  # of the map to the next stack
                own[-1].sub_(full.weighted[s + 1][0])
            pull = own - full.hidden[s]
            slope = act.slope(z, act.value(z))
            if act.kink is not None and self.free is not None and self.side is not None:
                slope, free = _subgradient(z, own, pull, slope, act.kink)
                self.free.append(free)
                self.side.append(torch.where(z == 0, torch.sign(slope * pull - own), torch.sign(z)))
                self.stops.append((pull < 0) | (z == 0))
            self.slopes.append(slope)
            self.pulls.append(pull)
            self.gradient.append(own - slope * pull)
            if self.diagonal is not None and act.curvature is not None:
                self.diagonal.append(-act.curvature(z) * pull)

    def hessian(self, vectors: list[Tensor]) -> list[Tensor]:
        """The Hessian times hidden stacks."""
        return self.frame.hessian_product(vectors, self.slopes, self.curvature, self.diagonal)


def _subgradient(
    z: Tensor, own: Tensor, pull: Tensor, slope: Tensor, kink: tuple[float, float]
) -> tuple[Tensor, Tensor]:
    """Slopes at z = 0, and which units are free (1) or held at their kink (0).

    The energy along one unit falls or rises by own - slope * pull. With pull < 0 the kink is convex: the slope that makes
    the gradient smallest is chosen, and the unit is held if the gradient vanishes for it. With pull >= 0 it is concave, never
    a resting place: the steeper side is chosen.
    """
    left, right = kink
    at_kink = z == 0
    balanced = own / torch.where(pull < 0, pull, -1)
    convex = balanced.clamp(left, right)
    steeper = torch.where((own - right * pull).abs() > (own - left * pull).abs(), right, left).to(z)
    chosen = torch.where(pull < 0, convex, steeper)
    held = at_kink & (pull < 0) & (balanced > left) & (balanced < right)
    return torch.where(at_kink, chosen, slope), (~held).to(z)


class _Preconditioner:
    r"""The inverse of the Gauss-Newton Hessian, through one backward and one forward sweep per application."""

    def __init__(self, local: _Local, trace: Trace) -> None:
        self.local, self.frame = local, local.frame
        frame, state = self.frame, local.state
        batch, outputs = state.y.shape
        self.variances = [_inverse_precision(p) for p in frame.stack_precisions]
        self.products: list[Tensor] | None = None
        if outputs > DENSE_OUTPUTS:
            return
        products = [z.new_empty(z.shape[0], batch, outputs, z.shape[2]) for z in state.hidden]
        value = torch.eye(outputs, dtype=state.y.dtype, device=state.y.device).expand(batch, -1, -1)
        layer = frame.depth
        kernel = torch.zeros_like(local.curvature)
        for s in reversed(range(len(frame.stacks))):
            for row in reversed(range(frame.stacks[s].size)):
                value = frame.transport(value, layer, local.slopes[s][row][:, None, :])
                if local.free is not None:
                    value = value * local.free[s][row][:, None, :]
                products[s][row] = value
                kernel += (_row_weight(self.variances[s], value, row)) @ value.mT
                layer -= 1
        trace.num_passes += outputs / 2
        eye = torch.eye(outputs, dtype=state.y.dtype, device=state.y.device)
        self.core = torch.linalg.solve(eye + local.curvature @ kernel, local.curvature)  # (I + C K)^-1 C
        self.products = products

    def __call__(self, residual: list[Tensor]) -> list[Tensor]:
        frame, local = self.frame, self.local
        result = [torch.empty_like(r) for r in residual]
        value: Tensor | None = None
        layer = frame.depth
        for s in reversed(range(len(residual))):
            for row in reversed(range(residual[s].shape[0])):
                total = residual[s][row]
                if value is not None:
                    total = total + frame.transport(value, layer, local.slopes[s][row])
                if local.free is not None:
                    total = total * local.free[s][row]
                value = total
                result[s][row] = total
                layer -= 1
        result = [weight_by(v, r) for v, r in zip(self.variances, result, strict=True)]
        if self.products is not None:
            # batched matrix-vector products read the big stack of products in place, where einsum would copy it
            output = torch.zeros_like(local.state.y)
            for p, r in zip(self.products, result, strict=True):
                output += (p @ r[..., None]).sum(0)[..., 0]
            output = self.core @ output[..., None]
            result = [
                r - weight_by(v, (p.mT @ output)[..., 0])
                for p, r, v in zip(self.products, result, self.variances, strict=True)
            ]
        value, layer, slope = None, 0, None
        for s in range(len(residual)):
            for row in range(residual[s].shape[0]):
                total = result[s][row]
                if value is not None and slope is not None:
                    total = total + frame.push(value, layer + 1, slope)
                if local.free is not None:
                    total = total * local.free[s][row]
                result[s][row] = total
                value, slope = total, local.slopes[s][row]
                layer += 1
        return result


def _direction(local: _Local, forcing: float, trace: Trace) -> tuple[list[Tensor], list[Tensor]]:
    """The Newton step, units that would cross a convex kink on the way ending at it.

    The step is solved for, units that it would carry across a convex kink (or away from one on the wrong side) are held at
    zero, and it is solved for again. Returned with the first solution, which always descends.
    """
    solve = _Preconditioner(local, trace)
    free = local.free
    fixed = [torch.zeros_like(g) for g in local.gradient]
    direction = _conjugate_gradients(local, solve, free, fixed, forcing, trace)
    first = direction
    if free is None or local.side is None:
        return direction, first
    for _ in range(MAX_HOLDS):
        caught, fresh = False, []
        for s, (z, d) in enumerate(zip(local.state.hidden, direction, strict=True)):
            crossing = local.stops[s] & (local.side[s] * (z + d) < 0) & (free[s] > 0)
            caught = caught or bool(crossing.any())
            fixed[s] = torch.where(crossing, -z, fixed[s])
            fresh.append(torch.where(crossing, 0, free[s]))
        free = fresh
        if not caught:
            break
        direction = _conjugate_gradients(local, solve, free, fixed, forcing, trace)
    return direction, first


def _conjugate_gradients(
    local: _Local,
    solve: _Preconditioner,
    free: list[Tensor] | None,
    fixed: list[Tensor],
    forcing: float,
    trace: Trace,
) -> list[Tensor]:
    """Preconditioned conjugate gradients on the Newton equations of the free units, each sample with its own coefficients.

    A sample that meets negative curvature keeps what it has (at first, the Gauss-Newton step).
    """
    solution = [f.clone() for f in fixed]
    residual = [-g for g in local.gradient]
    if any(bool(f.any()) for f in fixed):
        for r, h in zip(residual, local.hessian(fixed), strict=True):
            r.sub_(h)
        trace.num_passes += 1
    residual = _masked(residual, free)
    target = forcing * _dot(residual, residual).sqrt()
    scaled = _masked(solve(residual), free)
    trace.num_passes += 1
    search = [s.clone() for s in scaled]
    product = _dot(residual, scaled)
    active = product > 0
    for iteration in range(MAX_KRYLOV):
        image = _masked(local.hessian(search), free)
        trace.num_passes += 1
        bend = _dot(search, image)
        if iteration == 0:
            _add(solution, search, (active & (bend <= 0)).to(product))
        active = active & (bend > 0)
        length = torch.where(active, product / torch.where(active, bend, 1), 0)
        _add(solution, search, length)
        _add(residual, image, -length)
        active = active & (_dot(residual, residual).sqrt() > target)
        if not bool(active.any()):
            break
        scaled = _masked(solve(residual), free)
        trace.num_passes += 1
        fresh = _dot(residual, scaled)
        ratio = torch.where(active, fresh / torch.where(active, product, 1), 0)
        product = torch.where(active, fresh, product)
        for p, z in zip(search, scaled, strict=True):
            p.mul_(ratio[None, :, None]).add_(z)
    return solution


def _masked(vectors: list[Tensor], free: list[Tensor] | None) -> list[Tensor]:
    """Zero at units that are held."""
    return vectors if free is None else [v * f for v, f in zip(vectors, free, strict=True)]


def _line_search(
    problem: Problem,
    local: _Local,
    energy: Tensor,
    direction: list[Tensor],
    first: list[Tensor],
    trace: Trace,
) -> None:
    """Move each sample by the longest of 1, 1/2, 1/4, ... steps that lowers its energy enough, or not at all.

    Far away and with a smooth activation the step is taken in the errors and rolled forward through the network, so that
    curvature cannot open errors in hidden layers that the linearised problem had closed. Near kinks it is taken in the
    activities, where a unit can be brought to rest at one: the whole of `direction`, or else a part of `first`.
    """
    frame, state = problem.frame, problem.state
    old = [z.clone() for z in state.hidden]
    result = [z.clone() for z in old]
    changes = _error_changes(local, direction) if local.side is None else first
    length = torch.ones_like(energy)
    accepted = torch.zeros_like(energy, dtype=torch.bool)
    rounding = 16 * torch.finfo(energy.dtype).eps * energy.abs()

    def accept() -> Tensor:
        slope = torch.zeros_like(energy)
        for gradient, z, z0 in zip(local.gradient, state.hidden, old, strict=True):
            slope += torch.einsum("kbn,kbn->b", gradient, z - z0)
        trial = frame.energy(state)
        trace.num_passes += 0.5
        good = (trial <= energy + ARMIJO * slope.clamp(max=0) + rounding) & ~accepted
        _keep(result, state.hidden, good)
        return accepted | good

    if local.side is not None:
        _walk(local, old, direction, length)
        accepted = accept()
    for _ in range(MAX_HALVINGS):
        if bool(accepted.all()):
            break
        if local.side is None:
            _roll(local, old, changes, length)
            trace.num_passes += 0.5
        else:
            _walk(local, old, changes, length)
        accepted = accept()
        length = torch.where(accepted, length, 0.5 * length)
    for z, new in zip(state.hidden, result, strict=True):
        z.copy_(new)


def _keep(result: list[Tensor], values: list[Tensor], chosen: Tensor) -> None:
    for kept, value in zip(result, values, strict=True):
        kept.copy_(torch.where(chosen[None, :, None], value, kept))


def _walk(local: _Local, old: list[Tensor], direction: list[Tensor], length: Tensor) -> None:
    """A straight step, but a unit that crosses a convex kink stops there and one that rests there leaves on its own side."""
    assert local.side is not None
    for target, z0, d, stops, side in zip(
        local.state.hidden, old, direction, local.stops, local.side, strict=True
    ):
        z = z0 + length[None, :, None] * d
        target.copy_(torch.where(stops & (z * side < 0), 0, z))


def _error_changes(local: _Local, direction: list[Tensor]) -> list[Tensor]:
    r"""What the linearised network makes of a step: :math:`d_l - J_l d_{l-1}`."""
    frame, result, layer = local.frame, [], 0
    before: tuple[Tensor, Tensor] | None = None
    for d, slopes in zip(direction, local.slopes, strict=True):
        change = d.clone()
        for row in range(d.shape[0]):
            if before is not None:
                change[row] -= frame.push(before[0], layer + 1, before[1])
            before = (d[row], slopes[row])
            layer += 1
        result.append(change)
    return result


def _roll(local: _Local, old: list[Tensor], changes: list[Tensor], length: Tensor) -> None:
    """The forward pass with the errors of `old` plus `length` times `changes`; the result is the state's activities.

    Layer by layer the change of a prediction is added to the old activity, which loses no digits of small steps.
    """
    frame, state, layer = local.frame, local.state, 0
    phi = frame.activation.value
    before: tuple[Tensor, Tensor] | None = None
    for s, z0 in enumerate(old):
        for row in range(z0.shape[0]):
            z = z0[row] + length[:, None] * changes[s][row]
            if before is not None:
                now, was = before
                z = z + frame.mapped(layer + 1, phi(now) - phi(was))
                if frame.skip[layer]:
                    z = z.add_(now - was, alpha=frame.skip[layer])
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


def _inverse_precision(precision: float | Tensor) -> float | Tensor:
    if isinstance(precision, float):
        return 1.0 / precision
    if precision.shape[1] == 1:
        return 1.0 / precision
    return torch.linalg.inv(precision)


def _row_weight(variance: float | Tensor, rows: Tensor, row: int) -> Tensor:
    """One layer's Sigma times rows (B, n_L, N)."""
    return weight_by(variance if isinstance(variance, float) else _layer(variance, row), rows)


def _layer(variance: Tensor, row: int) -> Tensor:
    return variance[row, 0] if variance.shape[1] == 1 else variance[row]
