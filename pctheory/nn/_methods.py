"""The methods of inference: descents, the activity ODE by Heun's method, and descent in the errors."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from ._frame import Frame, Gradient, State, weight_by
from ._newton import newton_krylov
from ._problem import Problem, Trace, require_standard
from ._settings import InferenceSettings

__all__ = ["RULES", "descend", "run_method"]


def run_method(problem: Problem, settings: InferenceSettings, trace: Trace) -> None:
    if settings.method == "heun":
        _heun(problem, settings, trace)
    elif settings.method == "error":
        _error_descent(problem, settings, trace)
    elif settings.method == "gauss-newton":
        newton_krylov(problem, settings, trace)
    else:
        descend(problem, settings, trace)


def _scale(problem: Problem, settings: InferenceSettings) -> float:
    return 1.0 / problem.batch if settings.convention == "batch-mean" else 1.0


class _Front:
    """The lowest layer that the error has reached; layers below it have no error and do not move."""

    def __init__(self, problem: Problem, settings: InferenceSettings) -> None:
        self.problem = problem
        hidden = problem.frame.depth - 1
        self.open = problem.front and not settings.decay and hidden > 0
        self.lowest = hidden if self.open else 1
        if self.open:
            self._watch()

    def _row(self) -> Tensor:
        for stack, z in zip(self.problem.frame.stacks, self.problem.state.hidden, strict=True):
            if stack.first <= self.lowest <= stack.last:
                return z[self.lowest - stack.first]
        raise AssertionError("no such layer")

    def _watch(self) -> None:
        # comparing costs a synchronisation on a GPU; there the front moves on at every step, which is also exact
        self.seen = self._row().clone() if self.problem.state.x.device.type == "cpu" else None

    def advance(self) -> None:
        """Move on by one layer if the lowest one has changed."""
        if not self.open or (self.seen is not None and torch.equal(self._row(), self.seen)):
            return
        if self.lowest == 1:
            self.open = False
        else:
            self.lowest -= 1
            self._watch()


def descend(
    problem: Problem,
    settings: InferenceSettings,
    trace: Trace,
    learn: Callable[[Frame, State, Gradient], Frame] | None = None,
) -> tuple[int, bool]:
    """GD, momentum and Adam on the activities; returns where the front stands: its layer, and whether it is on its way."""
    problem.front = problem.front and learn is None  # weights that change send errors everywhere
    stacks, scale = problem.frame.stacks, _scale(problem, settings)
    variables = problem.variables
    front = _Front(problem, settings)
    rule = RULES[settings.method](settings, variables)
    steps = settings.num_steps if settings.num_steps is not None else problem.frame.depth - 1
    for t in range(steps):
        values, gradient = problem.gradient(front.lowest, front.open)
        trace.num_passes += 1
        if settings.decay:
            for value, z in zip(values, problem.state.hidden, strict=False):
                value.add_(z, alpha=settings.decay)
        if trace.wants(t) and trace.measure(
            t,
            t * settings.step,
            lambda g=gradient: problem.frame.energy_of(g, problem.state.y),  # type: ignore[misc]
            problem.norm(values, front.lowest),
            last=False,
        ):
            return front.lowest, front.open
        if learn is not None:
            problem.frame = learn(problem.frame, problem.state, gradient)
        for index, (z, value) in enumerate(zip(variables, values, strict=True)):
            j0 = 0
            if index < len(stacks):
                if stacks[index].last < front.lowest:
                    continue
                j0 = max(front.lowest - stacks[index].first, 0)
            rule.update(index, j0, z[j0:], value[j0:], scale, t + 1)
        front.advance()
        trace.after(t + 1)
    if not trace.silent:
        values, gradient = problem.gradient(front.lowest, front.open)
        trace.measure(
            steps,
            steps * settings.step,
            lambda: problem.frame.energy_of(gradient, problem.state.y),
            problem.norm(values, front.lowest),
            last=True,
        )
    return front.lowest, front.open


class _Descent:
    def __init__(self, settings: InferenceSettings, variables: list[Tensor]) -> None:
        self.settings = settings

    def update(self, index: int, j0: int, z: Tensor, g: Tensor, scale: float, t: int) -> None:
        z.add_(g, alpha=-self.settings.step * scale)


class _Momentum(_Descent):
    r"""Heavy ball: :math:`v \leftarrow \mu v + \nabla`, :math:`z \leftarrow z - g v`."""

    def __init__(self, settings: InferenceSettings, variables: list[Tensor]) -> None:
        super().__init__(settings, variables)
        self.velocities = [torch.zeros_like(z) for z in variables]

    def update(self, index: int, j0: int, z: Tensor, g: Tensor, scale: float, t: int) -> None:
        velocity = self.velocities[index][j0:]
        velocity.mul_(self.settings.momentum).add_(g, alpha=scale)
        z.add_(velocity, alpha=-self.settings.step)


class _Adam(_Descent):
    def __init__(self, settings: InferenceSettings, variables: list[Tensor]) -> None:
        super().__init__(settings, variables)
        self.means = [torch.zeros_like(z) for z in variables]
        self.squares = [torch.zeros_like(z) for z in variables]

    def update(self, index: int, j0: int, z: Tensor, g: Tensor, scale: float, t: int) -> None:
        first, second = self.settings.betas
        mean, square = self.means[index][j0:], self.squares[index][j0:]
        mean.mul_(first).add_(g, alpha=(1 - first) * scale)
        square.mul_(second).addcmul_(g, g, value=(1 - second) * scale * scale)
        root = (square / (1 - second**t)).sqrt_().add_(self.settings.epsilon)
        z.addcdiv_(mean, root, value=-self.settings.step / (1 - first**t))


RULES: dict[str, type[_Descent]] = {"gd": _Descent, "euler": _Descent, "momentum": _Momentum, "adam": _Adam}


def _heun(problem: Problem, settings: InferenceSettings, trace: Trace) -> None:
    """The activity ODE by Heun's method; the embedded Euler step estimates the error."""
    scale, variables = _scale(problem, settings), problem.variables
    assert settings.t_max is not None
    t_max, dt, time = settings.t_max, min(settings.step, settings.t_max), 0.0
    count = sum(z.numel() for z in variables)

    def rate() -> tuple[list[Tensor], Gradient]:
        values, gradient = problem.gradient()
        trace.num_passes += 1
        if settings.decay:
            for value, z in zip(values, problem.state.hidden, strict=False):
                value.add_(z, alpha=settings.decay)
        return values, gradient

    step, limit = 0, 100_000 if settings.num_steps is None else settings.num_steps
    values, gradient = rate()
    while True:
        energy = problem.frame.energy_of(gradient, problem.state.y)
        last = step == limit or time >= t_max
        if trace.measure(step, time, lambda e=energy: e, problem.norm(values), last=last) or last:  # type: ignore[misc]
            trace.message = (
                trace.message if trace.converged or time >= t_max else "step limit reached before t_max"
            )
            return
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
                bound = settings.atol + settings.rtol * torch.maximum(z0.abs(), new.abs())
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
                    f"`rtol` and `atol` must be reachable in {variables[0].dtype}. Got {settings.rtol:g} and "
                    f"{settings.atol:g}, for which the step fell to {dt:.1e}: raise them, or use float64."
                )
        step += 1
        trace.after(step)
        values, gradient = rate()


def _error_descent(problem: Problem, settings: InferenceSettings, trace: Trace) -> None:
    r"""GD in the errors: :math:`\epsilon_l \leftarrow \epsilon_l - g(\Pi_l\epsilon_l - J_{l+1}^T \cdots J_L^T\Pi_L\epsilon_L)`."""
    require_standard(problem, settings.method)
    frame, state, scale = problem.frame, problem.state, _scale(problem, settings)
    errors = [torch.zeros_like(z) for z in state.hidden]
    backward = [torch.empty_like(z) for z in state.hidden]
    if not problem.front:
        for target, source in zip(errors, frame.gradient(state).errors, strict=True):
            target.copy_(source)
    steps = settings.num_steps if settings.num_steps is not None else frame.depth - 1
    for t in range(steps + 1):
        prediction = frame.roll(state.x, errors, state).y
        last = t == steps
        if (last and not trace.silent) or trace.wants(t):
            values, gradient = problem.gradient()
            energy = lambda g=gradient: frame.energy_of(g, state.y)
            if trace.measure(t, t * settings.step, energy, problem.norm(values), last=last):
                return
        if last:
            return
        frame.pull_back(frame.output_error(prediction, state.y), frame.slopes(state), backward)
        trace.num_passes += 1
        for s, (error, value) in enumerate(zip(errors, backward, strict=True)):
            weighted = _weighted(frame, s, error)
            error.sub_(weighted - value, alpha=settings.step * scale)
        trace.after(t + 1)


def _weighted(frame: Frame, s: int, rows: Tensor) -> Tensor:
    return weight_by(frame.stack_precisions[s], rows)
