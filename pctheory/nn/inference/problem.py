"""Activities to relax: the free variables with their gradient, the record of a run, and what comes of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .._stacked import Errors, Gradient, StackedNetwork, State
from .methods import Method, Stop

__all__ = ["Diverged", "InferenceResult", "Problem", "Trace", "require_standard"]


class Diverged(ValueError):
    """Inference has left the finite numbers."""


@dataclass(frozen=True, eq=False, repr=False)
class InferenceResult:
    r"""Where inference ended, and how it got there.

    Attributes
    ----------
    activities : (z_0, ..., z_L), each (B, n_l)
    errors : (eps_1, ..., eps_L), each (B, n_l)
        Prediction errors there. Descents from the forward pass and methods in errors keep digits in them that
        differences of activities have lost: see `PCN.local_gradient`.
    energies, gradient_norms : (M,) numpy arrays
        Energy F at the recorded steps, and the norm of the gradient of F (and of the decay) over the free
        units; the last ones at the end.
    steps : (M,) numpy array
        Number of steps done at each record.
    times : (M,) numpy array, or None
        The ODE's time at each record, of the methods that follow it: `Heun`, and `GradientDescent`, a step of
        which takes the time `step`.
    num_steps : int
    num_passes : float
        Work in units of one gradient of all samples in all activities: one forward and one backward sweep.
    converged : bool or None
        Whether the last gradient norm is within the tolerance of the first; None when no tolerance was asked.
    gradient_error : float or None
        Of `Adaptive`: estimate, no bound, of the relative error of the weight gradient, the largest over the
        layers; NaN before the second pass. None of other methods and without hidden layers.
    message : str
        Why inference stopped.
    """

    activities: tuple[Tensor, ...]
    errors: tuple[Tensor, ...]
    energies: np.ndarray
    gradient_norms: np.ndarray
    steps: np.ndarray
    times: np.ndarray | None
    num_steps: int
    num_passes: float
    converged: bool | None
    gradient_error: float | None
    message: str

    @property
    def energy(self) -> float:
        """F at the end."""
        return float(self.energies[-1])

    def __repr__(self) -> str:
        return (
            f"InferenceResult(energy {self.energy:.6g}, gradient norm {self.gradient_norms[-1]:.2e}, "
            f"{self.num_steps} steps, {self.message})"
        )


class Problem:
    """Activities to relax: the free variables, and the gradient in them.

    Parameters
    ----------
    net, state : the network and its activities, which are changed in place
    clamped : L + 1 arrays (n_l,) of booleans, or None
        True where a unit is clamped; None: layers 0 and L.
    front : bool
        Whether the activities start without hidden errors.
    least : float
        Displacements up to here do not move the front.
    """

    def __init__(
        self,
        net: StackedNetwork,
        state: State,
        clamped: Sequence[np.ndarray] | None,
        *,
        front: bool,
        least: float = 0.0,
    ) -> None:
        self.net, self.state, self.least = net, state, least
        self.batch = state.x.shape[0]
        self.front = front
        self.held: list[Tensor | None] = [None] * len(net.stacks)
        self.free_input = self.free_output = False
        self.is_standard = True
        if clamped is not None:
            self._clamp(clamped)

    def _clamp(self, clamped: Sequence[np.ndarray]) -> None:
        self.free_input, self.free_output = not clamped[0].all(), not clamped[-1].all()
        self.free_units = [int(np.sum(~marks)) for marks in clamped]
        hidden = any(bool(marks.any()) for marks in clamped[1:-1])
        self.is_standard = not (self.free_input or self.free_output or hidden)
        # a front exists where only the output pulls
        self.front = self.front and self.is_standard
        groups = [np.stack(clamped[s.first : s.last + 1])[:, None, :] for s in self.net.stacks]
        groups += [clamped[0]] * self.free_input + [clamped[-1]] * self.free_output
        device = self.state.x.device
        self.held = [torch.as_tensor(g, device=device) if g.any() else None for g in groups]

    def displace(self) -> None:
        """Measure hidden activities from the forward pass, if they start there and only they move."""
        if self.front and self.state.hidden:
            self.state.displace()

    @property
    def variables(self) -> list[Tensor]:
        """Hidden stacks or their displacements, then z_0 and z_L where they have free units."""
        rest = self.state.displacement
        ends = [z for z, free in ((self.state.x, self.free_input), (self.state.y, self.free_output)) if free]
        return [*(self.state.hidden if rest is None else rest.moved), *ends]

    def gradient(
        self, lowest: int = 1, settled_below: bool = False, *, decay: float = 0.0
    ) -> tuple[list[Tensor], Gradient]:
        """Per-sample gradient in the variables (zero on clamped units), with that of the decay of hidden
        layers.

        Returns
        -------
        values : list of tensors
            The gradient in the variables.
        g : Gradient
            What it was made from: errors and weighted errors of the layers.
        """
        g = self.net.gradient(
            self.state,
            lowest=lowest,
            settled_below=settled_below,
            ends=(self.free_input, self.free_output),
        )
        values = [*g.hidden, *(e for e in (g.input, g.output) if e is not None)]
        if decay:
            for value, z in zip(values, self.state.hidden, strict=False):
                value.add_(z, alpha=decay)
        for value, held in zip(values, self.held, strict=True):
            if held is not None:
                value.masked_fill_(held, 0)
        return values, g

    def norm(self, values: list[Tensor], lowest: int = 1) -> float:
        """Norm of the gradient of F from a per-sample gradient."""
        total = 0.0
        for s, value in enumerate(values):
            if s < len(self.net.stacks):
                value = value[max(lowest - self.net.stacks[s].first, 0) :]
            total += float(torch.linalg.vector_norm(value)) ** 2
        return math.sqrt(total) / self.batch


class Trace:
    """What is recorded along the way, and the decision to stop.

    Parameters
    ----------
    record : int or None
        Record every so many steps; 0: at the end only; None: nothing is measured unless `stop.tolerance` asks
        for it.
    """

    def __init__(
        self,
        problem: Problem,
        method: Method,
        stop: Stop,
        *,
        record: int | None = 0,
        callback: Callable[[int, tuple[Tensor, ...]], None] | None = None,
    ) -> None:
        self.problem, self.method, self.stop, self.callback = problem, method, stop, callback
        self.silent, self.every = record is None, record or 0
        self.reference: float | None = None
        self.energies: list[float] = []
        self.norms: list[float] = []
        self.steps: list[int] = []
        self.times: list[float | None] = []
        self.num_steps, self.num_passes = 0, 0.0
        self.converged: bool | None = None if stop.tolerance is None else False
        self.gradient_error: float | None = None
        self.message = "all steps taken"

    @property
    def unobserved(self) -> bool:
        """Whether nobody looks before the last step."""
        return self.silent and self.stop.tolerance is None and self.callback is None

    def wants(self, step: int) -> bool:
        """Whether anything has to be measured at this step."""
        return self.stop.tolerance is not None or bool(self.every and step % self.every == 0)

    def measure(
        self, step: int, time: float | None, energy: Callable[[], float], norm: float, *, last: bool
    ) -> bool:
        """Record, and say whether to stop."""
        if not math.isfinite(norm):
            raise self.diverged(f"a gradient norm of {norm} after {step} steps")
        if self.reference is None:
            self.reference = norm
        done = False
        if self.stop.tolerance is not None and norm <= self.stop.tolerance * self.reference:
            self.converged, self.message, done = True, "converged", True
        if last or done or (self.every and step % self.every == 0):
            self.energies.append(energy())
            self.norms.append(norm)
            self.steps.append(step)
            self.times.append(time)
        return done

    def diverged(self, what: str) -> Diverged:
        """The error of inference that does not stay finite."""
        step = getattr(self.method, "step", None)
        if step is None:
            return Diverged(
                f"`model` must have weights small enough for inference to stay finite. Got {what} of "
                f"{type(self.method).__name__}: scale the weights down."
            )
        return Diverged(
            f"`step` must be small enough for inference to stay finite. Got {what} with step {step:g}: "
            "lower it, or scale the weights down."
        )

    def after(self, step: int) -> None:
        """A step has been taken."""
        self.num_steps = step
        if self.callback is not None:
            self.problem.state.follow()
            self.callback(step, self._layers())

    def _layers(self) -> tuple[Tensor, ...]:
        """The activities, with outputs that are not observed filled in."""
        return (*self.problem.state.layers()[:-1], self.problem.net.filled(self.problem.state))

    def result(self, errors: Errors) -> InferenceResult:
        """The frozen record."""
        net = self.problem.net
        output = errors.output if net.observed is None else net.filled_error(errors.output_weighted)
        layers: list[Tensor] = []
        for s, stack in enumerate(net.stacks):
            own = errors.hidden[s].clone()
            own[: max(errors.lowest - stack.first, 0)] = 0
            layers.extend(own.unbind(0))
        return InferenceResult(
            activities=self._layers(),
            errors=(*layers, output),
            energies=np.array(self.energies),
            gradient_norms=np.array(self.norms),
            steps=np.array(self.steps),
            times=None if None in self.times else np.array(self.times, dtype=np.float64),
            num_steps=self.num_steps,
            num_passes=self.num_passes,
            converged=self.converged,
            gradient_error=self.gradient_error,
            message=self.message,
        )


def require_standard(problem: Problem, method: Method) -> None:
    """Methods in error coordinates need input and output clamped, and nothing else."""
    if not problem.is_standard:
        raise ValueError(
            f"`clamp` must be None, all units of layers 0 and {problem.net.depth} alone, for "
            f"{type(method).__name__}: it "
            f"moves the errors of all hidden units. Got {problem.free_units} free units."
        )
