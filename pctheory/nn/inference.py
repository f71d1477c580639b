r"""Inference: the activities relax towards a stationary point of the energy, by one of eight methods."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import _check
from ._frame import Frame, Gradient, State, weight_by
from .pcn import PCN

__all__ = ["CONVENTIONS", "INITS", "METHODS", "InferenceResult", "InferenceSettings", "infer", "relax"]

METHODS = ("gd", "momentum", "adam", "euler", "heun", "error", "gauss-newton")
INITS = ("feedforward", "zeros", "random")
CONVENTIONS = ("per-sample", "batch-mean")


@dataclass(frozen=True)
class InferenceSettings:
    r"""How the activities are relaxed.

    Attributes
    ----------
    method : str
        "gd": :math:`z \leftarrow z - g\,\nabla`. "momentum": heavy ball. "adam". "euler": the same map as "gd", read as
        the activity ODE :math:`\dot z = -\nabla` with dt = `step`. "heun": that ODE to time `t_max`, with adaptive steps.
        "error": gradient descent on the prediction errors (ePC), each step a forward and a backward pass.
        "gauss-newton": Newton-Krylov steps, preconditioned by the exact Gauss-Newton step in error coordinates.
    step : float
        Step g of the descents, learning rate of "adam", first dt of "heun". Not used by "gauss-newton".
    num_steps : int, optional
        Steps to take at most. None: the number of hidden layers H (of "heun" and "gauss-newton": 100000 and 100).
    convention : "per-sample" or "batch-mean"
        What :math:`\nabla` is: the gradient of each sample's own energy, or that of the batch mean F, which is B times
        smaller. Many published step sizes are for the latter.
    init : "feedforward", "zeros" or "random"
        Hidden activities at the start; "random" is N(0, 1).
    tolerance : float, optional
        Stop when the norm of the gradient is at most this fraction of its norm at the start.
    decay : float
        Decay of the activities: adds `decay` times z to the per-sample gradient of hidden layers.
    momentum, betas, epsilon : float, (float, float), float
        Of "momentum" and "adam".
    t_max, rtol, atol : float
        Of "heun": final time, and tolerances on the embedded Euler error (root mean square over all activities).
    record : int
        Record energy and gradient norm every so many steps; 0: at the end only.
    """

    method: str = "gd"
    step: float = 0.1
    num_steps: int | None = None
    convention: str = "per-sample"
    init: str = "feedforward"
    tolerance: float | None = None
    decay: float = 0.0
    momentum: float = 0.9
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8
    t_max: float | None = None
    rtol: float = 1e-6
    atol: float = 1e-9
    record: int = 0

    def __post_init__(self) -> None:
        _check.choice(self.method, "method", METHODS)
        _check.choice(self.convention, "convention", CONVENTIONS)
        _check.choice(self.init, "init", INITS)
        for name in ("step", "epsilon", "rtol", "atol"):
            _check.positive(getattr(self, name), name)
        _check.non_negative(self.decay, "decay")
        _check.count(self.record, "record")
        if self.num_steps is not None:
            _check.count(self.num_steps, "num_steps")
        if self.tolerance is not None:
            _check.positive(self.tolerance, "tolerance")
        for name, value in (
            ("momentum", self.momentum),
            ("betas[0]", self.betas[0]),
            ("betas[1]", self.betas[1]),
        ):
            if not 0 <= _check.real(value, name) < 1:
                raise ValueError(f"`{name}` must be at least 0 and less than 1. Got {value:g}.")
        if self.method == "heun":
            if self.t_max is None:
                raise ValueError(
                    "`t_max` must be given for method 'heun': the time to integrate to. Got None."
                )
            _check.positive(self.t_max, "t_max")
        if self.decay and self.method in ("error", "gauss-newton"):
            raise ValueError(
                f"`decay` must be 0 for method {self.method!r}: it solves for the energy alone. Got {self.decay:g}."
            )


@dataclass(frozen=True, eq=False, repr=False)
class InferenceResult:
    r"""Where inference ended, and how it got there.

    Attributes
    ----------
    activities : (z_0, ..., z_L), each (B, n_l)
    energies, gradient_norms : (M,) numpy arrays
        Energy F and norm of :math:`\partial F/\partial z` over the free layers, at the recorded steps; the last at the end.
    steps, times : (M,) numpy arrays
        Number of steps done at each record, and (of descents and ODEs) the time step * g, or the ODE's time.
    num_steps : int
    num_passes : float
        Work in units of one gradient of all samples in all activities: one forward and one backward sweep.
    converged : bool or None
        Whether the last gradient norm is within `tolerance` of the first; None when no tolerance was asked.
    message : str
        Why inference stopped.
    """

    activities: tuple[Tensor, ...]
    energies: np.ndarray
    gradient_norms: np.ndarray
    steps: np.ndarray
    times: np.ndarray
    num_steps: int
    num_passes: float
    converged: bool | None
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


def infer(
    model: PCN,
    x: Any,
    y: Any,
    *,
    settings: InferenceSettings | None = None,
    clamp: Iterable[int] | None = None,
    start: Sequence[Any] | None = None,
    rng: np.random.Generator | int | None = None,
    callback: Callable[[int, tuple[Tensor, ...]], None] | None = None,
    **changes: Any,
) -> InferenceResult:
    r"""Relax the activities of `model` on the samples (x, y).

    Parameters
    ----------
    x : (B, n_0), or None when layer 0 is free
    y : (B, n_L) (labels (B,) with a cross-entropy output), or None when layer L is free
    settings : InferenceSettings, with keyword `changes` to it
        See `InferenceSettings` for `method`, `step`, `num_steps`, `convention`, `tolerance` and the others.
    clamp : layer numbers, optional
        The layers that are held. (0, L) when None; (L,) leaves the input free, (0,) the output, and hidden layers may be
        held at their starting values.
    start : activities (z_0, ..., z_L), optional
        Start here instead of at `init`; the values of clamped hidden layers.
    rng : needed by ``init="random"``
    callback : called with the number of steps done and the activities (views: copy what you keep)

    Returns
    -------
    result : InferenceResult

    Notes
    -----
    From feedforward initialisation with a clamped output the error moves one layer a step, and nothing below its front
    changes (claim ``first-arrival``): those layers are skipped, exactly. In float32 a step that is too small to change an
    activity stops the front, as it does in the full computation; use float64 to follow tiny errors.

    Examples
    --------
    >>> model = PCN.from_weights([[[2.0]], [[3.0]]])
    >>> result = infer(model, [[1.0]], [[7.0]], step=0.1, num_steps=200, tolerance=1e-12)
    >>> [round(z.item(), 6) for z in result.activities]  # z_1* = 2 + 3 / (1 + 9)
    [1.0, 2.3, 7.0]
    >>> result.converged
    True
    """
    if not isinstance(model, PCN):
        raise TypeError(f"`model` must be a pctheory.nn.PCN. Got {type(model).__name__}.")
    chosen = _settings(settings, changes)
    held = _clamped(clamp, model.depth)
    with torch.no_grad():
        frame = model.frame()
        state = _start(model, frame, x, y, held, start, chosen, rng)
        problem = Problem(frame, state, held, front=start is None and chosen.init == "feedforward")
        trace = Trace(chosen, problem, callback)
        _run(problem, chosen, trace)
        return trace.result()


def relax(
    frame: Frame,
    x: Tensor,
    y: Tensor,
    settings: InferenceSettings,
    rng: np.random.Generator,
    learn: Callable[[Frame, State, Gradient], Frame] | None = None,
) -> tuple[State, int, bool]:
    r"""Inference on checked tensors for training: nothing is measured unless `settings.tolerance` asks for it.

    Parameters
    ----------
    learn : called at every step of a descent with the frame, the state and the gradient that is about to be applied;
        returns the frame to go on with (incremental predictive coding)

    Returns
    -------
    state : the activities
    lowest, settled_below : the arguments of `Frame.gradient` for their errors, exactly zero below the front
    """
    state = _initial(frame, x, y, settings, rng)
    problem = Problem(frame, state, frozenset((0, frame.depth)), front=settings.init == "feedforward")
    trace = Trace(settings, problem, silent=True)
    if settings.method in _RULES:
        return state, *descend(problem, settings, trace, learn)
    _run(problem, settings, trace)
    return state, 1, False


# -- the problem ---------------------------------------------------------------------------------------------------


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


def _settings(settings: InferenceSettings | None, changes: dict[str, Any]) -> InferenceSettings:
    if settings is not None and not isinstance(settings, InferenceSettings):
        raise TypeError(f"`settings` must be an InferenceSettings. Got {type(settings).__name__}.")
    valid = [f.name for f in fields(InferenceSettings)]
    unknown = sorted(set(changes) - set(valid))
    if unknown:
        raise TypeError(f"`infer` takes only {', '.join(valid)} as settings. Got {', '.join(unknown)}.")
    return replace(settings or InferenceSettings(), **changes)


def _clamped(clamp: Iterable[int] | None, depth: int) -> frozenset[int]:
    if clamp is None:
        return frozenset((0, depth))
    held = frozenset(_check.count(layer, "clamp") for layer in clamp)
    if held and max(held) > depth:
        raise ValueError(f"`clamp` must list layers 0..{depth}. Got {max(held)}.")
    if not held & {0, depth}:
        raise ValueError(
            f"`clamp` must hold the input layer 0 or the output layer {depth}: nothing else fixes the batch. Got {sorted(held)}."
        )
    return held


def _start(
    model: PCN,
    frame: Frame,
    x: Any,
    y: Any,
    held: frozenset[int],
    start: Sequence[Any] | None,
    settings: InferenceSettings,
    rng: np.random.Generator | int | None,
) -> State:
    for name, value, layer in (("x", x, 0), ("y", y, model.depth)):
        if value is None and layer in held:
            raise ValueError(f"`{name}` must be given when layer {layer} is clamped. Got None.")
    if model.output == "cross-entropy" and model.depth not in held:
        raise ValueError(
            "`clamp` must hold the output layer with a cross-entropy output: a free one has no energy of its own. "
            f"Got {sorted(held)}."
        )
    if start is not None:
        state = model.state(start)
        if 0 in held:
            state.x = model.inputs(x).detach().clone()
        if model.depth in held:
            state.y = model.targets(y, state.x.shape[0]).detach().clone()
        return state
    if 0 in held:
        inputs = model.inputs(x).detach().clone()
        targets = model.targets(y, inputs.shape[0]).detach().clone() if model.depth in held else None
    else:
        rows = model.targets(y, np.shape(y)[0]).detach().clone()
        inputs, targets = rows.new_zeros(rows.shape[0], model.widths[0]), rows
    if settings.init == "random" and rng is None:
        raise ValueError(
            "`rng` must be given with init 'random', so that the draw can be repeated. Got None."
        )
    generator = None if rng is None else _check.generator(rng)
    if settings.init == "random" and 0 not in held and generator is not None:
        inputs = torch.as_tensor(generator.standard_normal(inputs.shape)).to(inputs)
    return _initial(frame, inputs, targets, settings, generator)


def _initial(
    frame: Frame,
    inputs: Tensor,
    targets: Tensor | None,
    settings: InferenceSettings,
    rng: np.random.Generator | None,
) -> State:
    """Activities at `settings.init`; the output is the target, or free and initialised like the hidden layers."""
    batch = inputs.shape[0]
    if settings.init == "feedforward":
        state = frame.feedforward(inputs)
    elif settings.init == "zeros" or rng is None:
        hidden = [z.zero_() for z in frame.empty_like_hidden(batch)]
        state = State(inputs, hidden, inputs.new_zeros(batch, frame.widths[-1]))
    else:
        shapes = [*(z.shape for z in frame.empty_like_hidden(batch)), (batch, frame.widths[-1])]
        *hidden, output = [torch.as_tensor(rng.standard_normal(tuple(shape))).to(inputs) for shape in shapes]
        state = State(inputs, hidden, output)
    if targets is not None:
        state.y = targets
    return state


# -- the methods ---------------------------------------------------------------------------------------------------


def _run(problem: Problem, settings: InferenceSettings, trace: Trace) -> None:
    if settings.method == "heun":
        _heun(problem, settings, trace)
    elif settings.method == "error":
        _error_descent(problem, settings, trace)
    elif settings.method == "gauss-newton":
        from ._newton import newton_krylov

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
    rule = _RULES[settings.method](settings, variables)
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


_RULES: dict[str, type[_Descent]] = {"gd": _Descent, "euler": _Descent, "momentum": _Momentum, "adam": _Adam}


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


def require_standard(problem: Problem, method: str) -> None:
    """Methods in error coordinates need input and output clamped, and nothing else."""
    if not problem.is_standard:
        raise ValueError(
            f"`clamp` must be (0, {problem.frame.depth}) for method {method!r}: the errors are its coordinates. "
            f"Got {sorted(problem.held)}."
        )
