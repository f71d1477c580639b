"""The activity ODE by Heun's method; the embedded Euler step estimates the error."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .._stacked import Errors, Gradient
from .descents import scale_of
from .methods import Heun
from .problem import Problem, Trace

__all__ = ["follow_ode"]

MAX_STEPS = 100_000


def follow_ode(problem: Problem, method: Heun, trace: Trace) -> Errors:
    """The activity ODE by Heun's method, see `Heun`; returns the errors at its end."""
    problem.displace()
    scale, variables = scale_of(problem, method.convention), problem.variables
    t_max, dt, time = method.t_max, min(method.first_step, method.t_max), 0.0
    count = sum(z.numel() for z in variables)

    def rate() -> tuple[list[Tensor], Gradient]:
        trace.num_passes += 1
        return problem.gradient(decay=method.decay)

    step, limit = 0, MAX_STEPS if trace.stop.num_steps is None else trace.stop.num_steps
    values, gradient = rate()
    while True:
        energy = problem.net.energy_of(gradient.errors, problem.state.y)
        last = step == limit or time >= t_max
        norm = problem.norm(values)
        if trace.measure(step, time, lambda e=energy: e, norm, last=last) or last:  # type: ignore[misc]
            trace.message = (
                trace.message if trace.converged or time >= t_max else "step limit reached before t_max"
            )
            return gradient.errors
        first = [v.clone() for v in values]
        while True:
            dt = min(dt, t_max - time)
            old = [z.clone() for z in variables]
            for z, k in zip(variables, first, strict=True):
                z.add_(k, alpha=-dt * scale)
            second, _ = rate()
            squared = 0.0
            for z, z0, k, m in zip(variables, old, first, second, strict=True):
                error = (0.5 * dt * scale) * (m - k)
                new = z - error
                bound = method.atol + method.rtol * torch.maximum(z0.abs(), new.abs())
                squared += float(((error / bound) ** 2).sum())
                z.copy_(new)
            ratio = math.sqrt(squared / max(count, 1))
            factor = 5.0 if ratio == 0 else min(5.0, max(0.2, 0.9 / math.sqrt(ratio)))
            if ratio <= 1:
                time = t_max if t_max - time - dt <= 1e-14 * t_max else time + dt
                dt *= factor
                break
            if not math.isfinite(ratio):
                factor = 0.2
            for z, z0 in zip(variables, old, strict=True):
                z.copy_(z0)
            dt *= factor
            if dt < 1e-14 * t_max:
                raise ValueError(
                    f"`rtol` and `atol` must be reachable in {variables[0].dtype}. Got {method.rtol:g} and "
                    f"{method.atol:g}, for which the step fell to {dt:.1e}: raise them, or use float64."
                )
        step += 1
        trace.after(step)
        values, gradient = rate()
