r"""Exact weight gradients in a few passes: an accelerated fixed point of the errors, watched by an estimate.

At equilibrium :math:`\Pi_l\epsilon_l` is what the backward pass makes of one vector a sample, the force
:math:`u = \Pi_L\epsilon_L` of the output. So the unknown has n_L numbers, and a pass (forward with the
errors, backward with a force) tells how the output's force answers u: Anderson's method finds the u that
answers itself. The slopes of the activation follow from pass to pass. A unit that rests at a kink would jump
from one side to the other for ever: the secant through its last two passes finds the slope that brings it to
0.

Where precisions keep the rescaling S near the identity two to four passes do. Where S is large, and where
many units rest at kinks, the iteration may stall: then Newton's method takes over.

The estimate of what the weight gradient is off is a heuristic, no bound.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .._stacked import Errors, StackedNetwork, inverse, weight_by
from .linearised import Linearised
from .methods import Adaptive, Newton
from .newton import Local, newton_krylov
from .problem import Problem, Trace, require_standard

__all__ = ["adaptive_descent"]

MEMORY = 10
"""Most earlier passes that Anderson's method combines."""
RIDGE = 1e-12
"""Of its least squares, relative."""


def adaptive_descent(problem: Problem, method: Adaptive, trace: Trace) -> Errors:
    """Relax the errors by `Adaptive`; returns them. Training (a silent trace) ends with a backward pass."""
    require_standard(problem, method)
    net, state, stop = problem.net, problem.state, trace.stop
    forces, slopes = _Forces(state.y), _Slopes(net)
    change = _Change(net)
    errors = [torch.zeros_like(z) for z in state.hidden]
    if not problem.front:
        for target, source in zip(errors, net.errors(state).hidden, strict=True):
            target.copy_(source)
    variances = [inverse(p) for p in net.stack_precisions]
    # without hidden layers there is nothing to relax
    limit = (math.inf if state.hidden else 0) if stop.num_steps is None else stop.num_steps
    t = 0
    while True:
        forward = state.prediction if t == 0 and problem.front else None  # the start is its own forward pass
        prediction = net.roll(state.x, errors, state).y if forward is None else forward
        if t == 0:
            start = errors, prediction
        enough = stop.tolerance is None and t > 0 and change.estimate <= method.tolerance
        last = t >= limit or enough
        if (last and not trace.silent) or trace.wants(t):
            here = net.errors_of(errors, prediction, state.y)
            norm, value = problem.norm(problem.gradient()[0]), net.energy_of(here, state.y)
            if trace.measure(t, None, lambda f=value: f, norm, last=last):  # type: ignore[misc]
                return here
        if last:
            trace.message = "converged" if enough else trace.message
            return net.errors_of(errors, prediction, state.y)
        if stop.num_steps is None and (change.stalled or t >= method.max_passes):
            ends = (start, (errors, prediction))
            first, now = (net.energy_of(net.errors_of(*end, state.y), state.y) for end in ends)
            if not now <= first:  # worse than the start, or not finite
                net.roll(state.x, None, state)
            return _newton(problem, method, trace, t)
        answer = net.output_force(prediction, state.y)
        force = forces.next(answer, known=t > 0 or problem.front)
        backward = net.empty_like_hidden(problem.batch)
        net.pull_back(force, slopes.next(state.hidden), backward)
        trace.num_passes += 1
        if trace.reference is None:
            # the gradient of the forward pass: that of the last hidden layer
            trace.reference = float(torch.linalg.vector_norm(backward[-1][-1])) / problem.batch
        change.see(backward, forces.inflation)
        trace.gradient_error = change.estimate
        errors = [weight_by(v, b) for v, b in zip(variances, backward, strict=True)]
        t += 1
        trace.after(t)
        if trace.silent and stop.tolerance is None and change.estimate <= method.tolerance:
            if net.output == "mse":
                output = net.filled_error(force)
                prediction = state.y - output
            else:
                output = net.output_error(prediction, state.y)
            return Errors(1, errors, backward, output, force, prediction)


def _newton(problem: Problem, method: Adaptive, trace: Trace, steps: int) -> Errors:
    """Newton's method from here, until the weight gradient is as near as `method` asks."""

    def enough(local: Local) -> bool:
        r"""Estimate what the weight gradient is off, and say whether that is little enough.

        Returns
        -------
        bool
            Whether the gradient in the errors is small beside :math:`\Pi\epsilon` in every layer. What the
            errors are off, :math:`S^{-1}` of it along the outputs, is smaller still.
        """
        lin = Linearised(problem.net, problem.state, trace, dense=False)
        lin.slopes = local.slopes
        rest = lin.backward(local.gradient)
        trace.gradient_error = _largest(rest, local.weighted)
        return trace.stop.tolerance is None and trace.gradient_error <= method.tolerance

    return newton_krylov(problem, Newton(), trace, enough=enough, done=steps)


def _largest(parts: list[Tensor], wholes: list[Tensor]) -> float:
    """Largest |part| / |whole| over the layers; 0 for a layer where both are zero."""
    sizes = [[torch.linalg.vector_norm(v, dim=(1, 2)) for v in values] for values in (parts, wholes)]
    part, whole = (torch.cat(s) for s in sizes)
    return float((part / whole.clamp(min=torch.finfo(whole.dtype).tiny)).max())


class _Forces:
    """Anderson's method for the output's force of each sample: the combination of earlier forces whose
    answers differ least from them.
    """

    def __init__(self, like: Tensor) -> None:
        self.current = torch.zeros_like(like)
        self.first: Tensor | None = None
        self.forces: list[Tensor] = []
        self.misses: list[Tensor] = []

    @property
    def inflation(self) -> float:
        """|r| / |u|, the size of S along the residual."""
        assert self.first is not None
        size = torch.linalg.vector_norm(self.current).clamp(min=torch.finfo(self.current.dtype).tiny)
        return float(torch.linalg.vector_norm(self.first) / size)

    def next(self, answer: Tensor, *, known: bool) -> Tensor:
        """The next force; `known` says that the current one made the errors that `answer` came from."""
        self.first = answer if self.first is None else self.first
        miss = answer - self.current
        mixed = answer
        if known and self.forces:
            moved = torch.stack([self.current - u for u in self.forces], dim=2)
            turned = torch.stack([miss - g for g in self.misses], dim=2)
            square = (turned.mT @ turned).double()
            scale = square.diagonal(dim1=1, dim2=2).mean(1)[:, None, None]
            eye = torch.eye(square.shape[1], dtype=square.dtype, device=square.device)
            right = (turned.mT @ miss[:, :, None]).double()
            ridge = RIDGE * scale + torch.finfo(square.dtype).tiny
            share = torch.linalg.solve(square + ridge * eye, right).to(miss)
            mixed = answer - ((moved + turned) @ share)[:, :, 0]
        if known:
            self.forces, self.misses = (
                [*self.forces, self.current][-MEMORY:],
                [*self.misses, miss][-MEMORY:],
            )
        self.current = mixed
        return mixed


class _Slopes:
    """Slopes of the activation for the next backward pass."""

    def __init__(self, net: StackedNetwork) -> None:
        self.activation = net.activation
        self.used: list[Tensor] = []
        self.before: list[Tensor] = []
        self.seen: list[Tensor] = []

    def next(self, hidden: list[Tensor]) -> list[Tensor]:
        """From the activities that the last slopes led to."""
        act = self.activation
        if act.kink is None:
            return [act.slope(z, act.value(z)) for z in hidden]
        plain = [act.slope(z, z) for z in hidden]  # at a kink the value does not matter
        if self.before:
            for s, (z, new) in enumerate(zip(hidden, plain, strict=True)):
                self._rest(s, z, new)
        if self.used:
            self.seen = [z.clone() for z in hidden]
        self.before, self.used = self.used, plain
        return plain

    def _rest(self, s: int, z: Tensor, new: Tensor) -> None:
        """Change `new` to the slope that brings z to 0, by the secant, where a higher slope lowered z past 0
        and back. A unit at 0 keeps its slope.
        """
        left, right = self.activation.kink or (0.0, 1.0)
        wrong = (self.used[s] != new).flatten().nonzero()[:, 0]
        now, here, after = (v.take(wrong) for v in (self.used[s], z, new))
        turn, rise = now - self.before[s].take(wrong), here - self.seen[s].take(wrong)
        secant = (now - here * turn / torch.where(rise == 0, 1, rise)).clamp(left, right)
        new.put_(wrong, torch.where((turn * rise < 0) | (here == 0), secant, after))


class _Change:
    r"""How much :math:`\Pi_l\epsilon_l` still changes, and what the weight gradient is off in the end.

    With q the relative change in a pass, the largest over the layers, the next one is about q times
    :math:`\rho`, the last ratio of changes, and half of it is left in a gradient summed over a batch. Jumps
    of single units make the ratio uneven: it is taken for a half at least, and a change for an eighth of that
    before. What is left along the large eigenvalues of S changes little from pass to pass: that is allowed
    for by the square of the inflation.
    """

    def __init__(self, net: StackedNetwork) -> None:
        self.last: list[Tensor] = []
        self.changes: list[float] = []
        self.inflation = 1.0

    @property
    def estimate(self) -> float:
        """Of the largest relative error of a layer's weight gradient; NaN before the second pass."""
        if len(self.changes) < 2:
            return math.nan
        before, now = self.changes[-2:]
        floor = before / 8 if len(self.changes) > 2 else 0.0
        ratio = min(now / before, 1.0) if before else 1.0
        scale = max(self.inflation, 1.0)
        return 0.5 * scale * scale * max(ratio * now, 0.5 * now, floor)

    @property
    def stalled(self) -> bool:
        """Whether two passes brought nothing, or are not finite."""
        if self.changes and not math.isfinite(self.changes[-1]):
            return True
        return len(self.changes) > 4 and min(self.changes[-2:]) > 0.7 * self.changes[-3]

    def see(self, backward: list[Tensor], inflation: float) -> None:
        """A new backward pass."""
        self.inflation = inflation
        if self.last:
            moved = [a - b for a, b in zip(backward, self.last, strict=True)]
            self.changes.append(_largest(moved, backward))
        else:
            self.changes.append(1.0)
        self.last = backward
