"""Activities to relax: the free variables with their gradient, and the record of a run."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from ._frame import Frame, Gradient, State
from ._settings import InferenceResult, InferenceSettings

__all__ = ["Problem", "Trace", "require_standard"]


class Problem:
    """Activities to relax: the free variables, and the gradient in them."""

    def __init__(self, frame: Frame, state: State, held: frozenset[int], *, front: bool) -> None:
        self.frame, self.state, self.held = frame, state, held
        self.batch = state.x.shape[0]
        self.free_input = 0 not in held
        self.free_output = frame.depth not in held
        self.held_rows = [
            [layer - s.first for layer in range(s.first, s.last + 1) if layer in held] for s in frame.stacks
        ]
        # a front exists where only the output pulls
        self.front = front and not self.free_input and not self.free_output and not any(self.held_rows)

    @property
    def variables(self) -> list[Tensor]:
        """Hidden stacks, then z_0 and z_L where they are free."""
        ends = [z for z, free in ((self.state.x, self.free_input), (self.state.y, self.free_output)) if free]
        return [*self.state.hidden, *ends]

    @property
    def is_standard(self) -> bool:
        """Input and output are held, and nothing else."""
        return self.held == {0, self.frame.depth}

    def gradient(self, lowest: int = 1, settled_below: bool = False) -> tuple[list[Tensor], Gradient]:
        """Per-sample gradient in the variables (zero on held hidden layers)."""
        g = self.frame.gradient(
            self.state,
            lowest=lowest,
            settled_below=settled_below,
            ends=(self.free_input, self.free_output),
        )
        for hidden, rows in zip(g.hidden, self.held_rows, strict=True):
            if rows:
                hidden[rows] = 0
        return [*g.hidden, *(e for e in (g.input, g.output) if e is not None)], g

    def norm(self, values: list[Tensor], lowest: int = 1) -> float:
        """Norm of the gradient of F from a per-sample gradient."""
        total = 0.0
        for s, value in enumerate(values):
            if s < len(self.frame.stacks):
                value = value[max(lowest - self.frame.stacks[s].first, 0) :]
            total += float(torch.linalg.vector_norm(value)) ** 2
        return math.sqrt(total) / self.batch


class Trace:
    """What is recorded along the way, and the decision to stop."""

    def __init__(
        self,
        settings: InferenceSettings,
        problem: Problem,
        callback: Callable[[int, tuple[Tensor, ...]], None] | None = None,
        *,
        silent: bool = False,
    ) -> None:
        self.settings, self.problem, self.callback, self.silent = settings, problem, callback, silent
        self.reference: float | None = None
        self.energies: list[float] = []
        self.norms: list[float] = []
        self.steps: list[int] = []
        self.times: list[float] = []
        self.num_steps, self.num_passes = 0, 0.0
        self.converged: bool | None = None if settings.tolerance is None else False
        self.message = "all steps taken"

    def wants(self, step: int) -> bool:
        """Whether anything has to be measured at this step."""
        every = 0 if self.silent else self.settings.record
        return self.settings.tolerance is not None or bool(every and step % every == 0)

    def measure(
        self, step: int, time: float, energy: Callable[[], float], norm: float, *, last: bool
    ) -> bool:
        """Record, and say whether to stop."""
        if not math.isfinite(norm):
            raise ValueError(
                f"`step` must be small enough for inference to stay finite. Got a gradient norm of {norm} after "
                f"{step} steps with step {self.settings.step:g}: lower it, or scale the weights down."
            )
        if self.reference is None:
            self.reference = norm
        done = False
        if self.settings.tolerance is not None and norm <= self.settings.tolerance * self.reference:
            self.converged, self.message, done = True, "converged", True
        every = self.settings.record
        if last or done or (every and step % every == 0):
            self.energies.append(energy())
            self.norms.append(norm)
            self.steps.append(step)
            self.times.append(time)
        return done

    def after(self, step: int) -> None:
        """A step has been taken."""
        self.num_steps = step
        if self.callback is not None:
            self.callback(step, self.problem.state.layers())

    def result(self) -> InferenceResult:
        """The frozen record."""
        return InferenceResult(
            activities=self.problem.state.layers(),
            energies=np.array(self.energies),
            gradient_norms=np.array(self.norms),
            steps=np.array(self.steps),
            times=np.array(self.times),
            num_steps=self.num_steps,
            num_passes=self.num_passes,
            converged=self.converged,
            message=self.message,
        )


def require_standard(problem: Problem, method: str) -> None:
    """Methods in error coordinates need input and output clamped, and nothing else."""
    if not problem.is_standard:
        raise ValueError(
            f"`clamp` must be (0, {problem.frame.depth}) for method {method!r}: the errors are its coordinates. "
            f"Got {sorted(problem.held)}."
        )
