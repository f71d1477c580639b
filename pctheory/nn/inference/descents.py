"""Descents: in the activities, by gradient descent, momentum and Adam, and in the errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .._stacked import Errors, Gradient, StackedNetwork, State, Windows
from .methods import Adam, Descent, ErrorDescent, GradientDescent, Momentum
from .problem import Problem, Trace, require_standard

__all__ = ["Learn", "descend", "error_descent", "scale_of"]

CACHE = 1_500_000
"""Bytes of a processor core's second-level cache, about."""

Learn = Callable[[StackedNetwork, State, Gradient], StackedNetwork]


def scale_of(problem: Problem, convention: str) -> float:
    """The factor from a per-sample gradient to that of the convention."""
    return 1.0 / problem.batch if convention == "batch-mean" else 1.0


class _Front:
    """The lowest layer that the error has reached; layers below it have no error and do not move.

    Displacements up to `problem.least` count as none.
    """

    def __init__(self, problem: Problem, decay: float) -> None:
        self.problem = problem
        hidden = problem.net.depth - 1
        self.open = problem.front and not decay and hidden > 0
        self.lowest = hidden if self.open else 1
        if self.open:
            self._watch()

    def _row(self) -> Tensor:
        for stack, z in zip(self.problem.net.stacks, self.problem.variables, strict=False):
            if stack.first <= self.lowest <= stack.last:
                return z[self.lowest - stack.first]
        raise AssertionError("no such layer")

    def _watch(self) -> None:
        # comparing costs a synchronisation on a GPU; there the front moves on at every step, which is also
        # exact
        self.seen = self._row().clone() if self.problem.state.x.device.type == "cpu" else None

    def _has_moved(self) -> bool:
        if self.seen is None:
            return True
        row = self._row()
        if self.problem.state.displacement is None:
            return not torch.equal(row, self.seen)
        if row.abs().max() <= self.problem.least:
            row.zero_()
            return False
        return True

    def advance(self) -> None:
        """Move on by one layer if the lowest one has moved."""
        if not self.open or not self._has_moved():
            return
        if self.lowest == 1:
            self.open = False
        else:
            self.lowest -= 1
            self._watch()


def descend(problem: Problem, method: Descent, trace: Trace, learn: Learn | None = None) -> Errors:
    """Errors where GD, momentum and Adam on the activities end, from a forward pass in its displacements."""
    problem.front = problem.front and learn is None  # weights that change send errors everywhere
    if method.coordinates == "displacements":
        problem.displace()
    stacks, scale, decay = problem.net.stacks, scale_of(problem, method.convention), method.decay
    variables = problem.variables
    front = _Front(problem, decay)
    rule = _UPDATES[type(method)](method, variables)
    steps = problem.net.depth - 1 if trace.stop.num_steps is None else trace.stop.num_steps

    def time(t: int) -> float | None:
        return t * method.step if isinstance(method, GradientDescent) else None

    displaced = front.open and problem.state.displacement is not None
    if displaced and len(stacks) == 1 and learn is None and trace.unobserved:
        _in_bands(problem, rule, front, steps, scale)
        trace.num_passes += steps
        trace.num_steps = steps
        return problem.net.errors(problem.state, lowest=front.lowest, settled_below=front.open)

    for t in range(steps):
        values, gradient = problem.gradient(front.lowest, front.open, decay=decay)
        trace.num_passes += 1
        if trace.wants(t) and trace.measure(
            t,
            time(t),
            lambda g=gradient: problem.net.energy_of(g.errors, problem.state.y),  # type: ignore[misc]
            problem.norm(values, front.lowest),
            last=False,
        ):
            return gradient.errors
        if learn is not None:
            problem.net = learn(problem.net, problem.state, gradient)
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
        values, gradient = problem.gradient(front.lowest, front.open, decay=decay)
        trace.measure(
            steps,
            time(steps),
            lambda: problem.net.energy_of(gradient.errors, problem.state.y),
            problem.norm(values, front.lowest),
            last=True,
        )
        return gradient.errors
    return problem.net.errors(problem.state, lowest=front.lowest, settled_below=front.open)


def _in_bands(problem: Problem, rule: Any, front: _Front, steps: int, scale: float) -> None:
    """The steps of a descent in another order, for the sake of the processor's cache.

    A step of a layer needs its own activity and those of its two neighbours one step before. So a few layers
    at a time can be followed down the network: a band i <= row + t < i + width of rows and steps t, from the
    step t = 0 on, each step one row lower. What the band above needs of this one, the errors at its upper
    end, stays in place. Below the first band, at the front, nothing has moved.
    """
    (moved,) = problem.variables
    rows, width, followed = len(moved), _width(moved, steps), 0
    windows = Windows(problem.net, problem.state, width)
    for first in range(rows - 1, rows - 1 + steps, width):
        for t in range(steps):
            start, stop = max(first - t, 0), min(first + width - t, rows)
            at_front = t >= followed and front.open  # of the bands below, none has come that far
            if at_front:
                start = front.lowest - 1
                if start >= first + width - t:
                    break
            if start >= rows:
                continue
            if stop <= start:
                break
            gradient = windows.gradient(start, stop, settled=at_front)
            rule.update(0, start, moved[start:stop], gradient, scale, t + 1)
            if at_front:
                front.advance()
                followed = t + 1


def _width(moved: Tensor, steps: int) -> int:
    """Rows of a band whose weights and activities fit into the cache."""
    rows, batch, units = moved.shape
    if moved.device.type != "cpu":
        return rows + steps
    return max(1, CACHE * torch.get_num_threads() // (moved.element_size() * units * (units + 9 * batch)))


# An update takes one step on a variable: g is its per-sample gradient, `scale` the convention's factor, t
# counts from 1.


class _Plain:
    def __init__(self, method: GradientDescent, variables: list[Tensor]) -> None:
        self.step = method.step

    def update(self, index: int, j0: int, z: Tensor, g: Tensor, scale: float, t: int) -> None:
        z.add_(g, alpha=-self.step * scale)


class _Momentum:
    def __init__(self, method: Momentum, variables: list[Tensor]) -> None:
        self.method = method
        self.velocities = [torch.zeros_like(z) for z in variables]

    def update(self, index: int, j0: int, z: Tensor, g: Tensor, scale: float, t: int) -> None:
        velocity = self.velocities[index][j0 : j0 + len(z)]
        velocity.mul_(self.method.momentum).add_(g, alpha=scale)
        z.add_(velocity, alpha=-self.method.step)


class _Adam:
    def __init__(self, method: Adam, variables: list[Tensor]) -> None:
        self.method = method
        self.means = [torch.zeros_like(z) for z in variables]
        self.squares = [torch.zeros_like(z) for z in variables]

    def update(self, index: int, j0: int, z: Tensor, g: Tensor, scale: float, t: int) -> None:
        first, second = self.method.betas
        mean, square = (m[index][j0 : j0 + len(z)] for m in (self.means, self.squares))
        mean.mul_(first).add_(g, alpha=(1 - first) * scale)
        square.mul_(second).addcmul_(g, g, value=(1 - second) * scale * scale)
        root = (square / (1 - second**t)).sqrt_().add_(self.method.epsilon)
        z.addcdiv_(mean, root, value=-self.method.step / (1 - first**t))


_UPDATES: dict[type[Descent], type[Any]] = {GradientDescent: _Plain, Momentum: _Momentum, Adam: _Adam}


def error_descent(problem: Problem, method: ErrorDescent, trace: Trace) -> Errors:
    """Gradient descent in the errors, see `ErrorDescent`; returns them."""
    require_standard(problem, method)
    net, state, scale = problem.net, problem.state, scale_of(problem, method.convention)
    errors = [torch.zeros_like(z) for z in state.hidden]
    backward = [torch.empty_like(z) for z in state.hidden]
    if not problem.front:
        for target, source in zip(errors, net.errors(state).hidden, strict=True):
            target.copy_(source)
    steps = net.depth - 1 if trace.stop.num_steps is None else trace.stop.num_steps
    t = 0
    while True:
        here = net.errors_of(errors, net.roll(state.x, errors, state).y, state.y)
        last = t == steps
        if (last and not trace.silent) or trace.wants(t):
            values, _ = problem.gradient()
            energy = lambda e=here: net.energy_of(e, state.y)
            if trace.measure(t, None, energy, problem.norm(values), last=last):
                return here
        if last:
            return here
        net.pull_back(here.output_weighted, net.slopes(state), backward)
        trace.num_passes += 1
        for error, weighted, value in zip(errors, here.weighted, backward, strict=True):
            error.sub_(weighted - value, alpha=method.step * scale)
        t += 1
        trace.after(t)
