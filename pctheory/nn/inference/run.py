r"""Inference: the activities relax towards a stationary point of the energy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ... import _check
from .._stacked import Errors, StackedNetwork, State
from ..pcn import PCN
from .adaptive import adaptive_descent
from .descents import Learn, descend, error_descent
from .methods import (
    Adam,
    Adaptive,
    Descent,
    ErrorDescent,
    GradientDescent,
    Heun,
    Method,
    Momentum,
    Newton,
    Stop,
    checked_method,
    checked_stop,
)
from .newton import newton_krylov
from .ode import follow_ode
from .problem import InferenceResult, Problem, Trace

__all__ = ["STARTS", "infer", "relax"]

STARTS = ("feedforward", "zeros", "random")

_ALGORITHMS: dict[type[Method], Callable[[Problem, Any, Trace], Errors]] = {
    GradientDescent: descend,
    Momentum: descend,
    Adam: descend,
    Heun: follow_ode,
    ErrorDescent: error_descent,
    Newton: newton_krylov,
    Adaptive: adaptive_descent,
}


def infer(
    model: PCN,
    x: Any,
    y: Any,
    method: Method | str = "gd",
    *,
    stop: Stop | None = None,
    clamp: Sequence[Any] | None = None,
    observed: Any = None,
    start: str | Sequence[Any] = "feedforward",
    rng: np.random.Generator | int | None = None,
    record: int = 0,
    callback: Callable[[int, tuple[Tensor, ...]], None] | None = None,
) -> InferenceResult:
    r"""Relax the activities of `model` on the samples (x, y).

    Parameters
    ----------
    model : PCN
        The network.
    x : (B, n_0), or None when no unit of layer 0 is clamped
        Read on the clamped units only.
    y : (B, n_L) (labels (B,) with a cross-entropy output), or None when no unit of layer L is clamped
        Read on the clamped units only.
    method : GradientDescent, Momentum, Adam, Heun, ErrorDescent, Newton or Adaptive
        Or a name for one with its defaults: "gd", "momentum", "adam", "error", "newton", "adaptive".
    stop : Stop, optional
        The most steps to take, and the tolerance on the gradient.
    clamp : None, or L + 1 of: bool, (n_l,) booleans
        True where a unit is clamped; None clamps layers 0 and L. The same value means the same to
        `pctheory.inference.ClampedProblem` and to `Clamps`.
    observed : None or booleans (B, n_L)
        With `clamp` None: the outputs of each sample that are clamped. The others are free and follow the
        rest, always where the energy is least; their y is not read (NaN is allowed there).
    start : "feedforward", "zeros", "random", or activities (z_0, ..., z_L)
        Where the free units start, and the values of clamped hidden units. "random" is N(0, 1); free units of
        layer 0 start at zero but for "random".
    rng : numpy.random.Generator or int
        Needed by ``start="random"``.
    record : int
        Record energy and gradient norm every so many steps; 0: at the end only.
    callback : callable, optional
        Called with the number of steps done and the activities (views: copy what you keep).

    Returns
    -------
    result : InferenceResult

    Raises
    ------
    TypeError
        If `model` is not a PCN, or another argument has a wrong type.
    ValueError
        If an argument breaks its rule, or the activities do not stay finite.

    Notes
    -----
    From feedforward initialisation with a clamped output the error moves one layer a step, and nothing below
    its front changes (claim ``first-arrival``): those layers are skipped, exactly. Descents then move the
    displacements d from the forward pass, and compute errors from them: tiny errors keep all their digits,
    in float32 down to 1e-38, where the difference of two activities would round them away.

    Examples
    --------
    >>> model = PCN.from_weights([[[2.0]], [[3.0]]])
    >>> stop = Stop(num_steps=200, tolerance=1e-12)
    >>> result = infer(model, [[1.0]], [[7.0]], GradientDescent(step=0.1), stop=stop)
    >>> [round(z.item(), 6) for z in result.activities]  # z_1* = 2 + 3 / (1 + 9)
    [1.0, 2.3, 7.0]
    >>> result.converged
    True
    >>> infer(model, [[1.0]], [[7.0]], "newton").activities[1].item()
    2.3
    """
    if not isinstance(model, PCN):
        raise TypeError(f"`model` must be a pctheory.nn.PCN. Got {type(model).__name__}.")
    chosen, until = checked_method(method), checked_stop(stop)
    clamped = _check.clamped_units(clamp, model.widths, "clamp")
    marks = None
    if observed is not None and y is not None:
        if clamp is not None:
            raise ValueError("`clamp` must be None with `observed`, which says what is clamped. Got both.")
        y, marks = model.observed_targets(y, observed, (*np.shape(y), 0)[0])
    with torch.no_grad():
        net = model.stacked(observed=marks)
        state = _start(model, net, x, y, clamped, start, rng)
        problem = Problem(net, state, clamped, front=isinstance(start, str) and start == "feedforward")
        trace = Trace(problem, chosen, until, record=_check.count(record, "record"), callback=callback)
        return trace.result(_ALGORITHMS[type(chosen)](problem, chosen, trace))


def relax(
    net: StackedNetwork,
    x: Tensor,
    y: Tensor,
    method: Method,
    stop: Stop,
    start: str,
    rng: np.random.Generator,
    learn: Learn | None = None,
    *,
    least: float = 0.0,
) -> tuple[State, Errors, Trace]:
    r"""Inference on checked tensors for training: nothing is measured unless `stop.tolerance` asks for it.

    Parameters
    ----------
    net : StackedNetwork
        The network.
    x : (B, n_0)
        Inputs.
    y : (B, n_L)
        Targets.
    method : Method
        How the activities move.
    stop : Stop
        When they stop.
    start : str
        As in `infer`.
    rng : numpy.random.Generator
        For a random start.
    learn : called at every step of a descent with the network, the state and the gradient to be applied;
        returns the network to go on with (incremental predictive coding)
    least : float
        Displacements up to here count as none: below them float32 would go on with denormal numbers, which
        take a hundred times as long.

    Returns
    -------
    state : the activities
    errors : of these activities, exactly zero below the front
    trace : with the passes and, of `Adaptive`, the estimated error of the weight gradient (no bound)
    """
    state = _initial(net, x, start, rng)
    state.y = y
    problem = Problem(net, state, None, front=start == "feedforward", least=least)
    trace = Trace(problem, method, stop, record=None)
    if isinstance(method, Descent):
        return state, descend(problem, method, trace, learn), trace
    return state, _ALGORITHMS[type(method)](problem, method, trace), trace


def _start(
    model: PCN,
    net: StackedNetwork,
    x: Any,
    y: Any,
    clamped: Sequence[np.ndarray],
    start: str | Sequence[Any],
    rng: np.random.Generator | int | None,
) -> State:
    has_input, has_output = bool(clamped[0].any()), bool(clamped[-1].any())
    for name, value, layer, needed in (("x", x, 0, has_input), ("y", y, model.depth, has_output)):
        if value is None and needed:
            raise ValueError(f"`{name}` must be given when units of layer {layer} are clamped. Got None.")
    if model.output == "cross-entropy" and not clamped[-1].all():
        raise ValueError(
            "`clamp` must clamp the output layer with a cross-entropy output: a free unit there has no "
            "energy of its own. "
            f"Got {int(np.sum(~clamped[-1]))} free units."
        )
    if not isinstance(start, str | list | tuple):
        raise TypeError(
            f"`start` must be {', '.join(map(repr, STARTS))} or activities. Got {type(start).__name__}."
        )
    given = None if isinstance(start, str) else model.state(start)
    inputs = model.inputs(x).detach() if has_input else None
    batch = None if given is None else given.x.shape[0]
    if inputs is not None:
        if batch is not None and inputs.shape[0] != batch:
            raise ValueError(
                f"`start` and `x` must have one row per sample each. Got {batch} rows of `start` and "
                f"{inputs.shape[0]} of x."
            )
        batch = inputs.shape[0]
    targets = model.targets(y, np.shape(y)[0] if batch is None else batch).detach() if has_output else None
    if given is None:
        given = _named_start(net, inputs, targets, clamped[0], str(start), rng)
    elif inputs is not None:
        given.x = _placed(inputs, given.x, clamped[0])
    if targets is not None:
        given.y = _placed(targets, given.y, clamped[-1])
    return given


def _named_start(
    net: StackedNetwork,
    inputs: Tensor | None,
    targets: Tensor | None,
    clamped: np.ndarray,
    start: str,
    rng: np.random.Generator | int | None,
) -> State:
    """Activities that start by a name; the output is not placed yet."""
    _check.choice(start, "start", STARTS)
    like = targets if inputs is None else inputs
    if like is None:
        raise ValueError(
            "`clamp` must clamp units of the input or the output layer unless `start` gives the "
            "activities: nothing else "
            "fixes the batch. Got none."
        )
    if start == "random" and rng is None:
        raise ValueError(
            "`rng` must be given with start 'random', so that the draw can be repeated. Got None."
        )
    generator = None if rng is None else _check.generator(rng)
    first = like.new_zeros(like.shape[0], net.widths[0])
    if start == "random" and generator is not None and not clamped.all():
        first = torch.as_tensor(generator.standard_normal(first.shape)).to(first)
    return _initial(net, first if inputs is None else _placed(inputs, first, clamped), start, generator)


def _placed(values: Tensor, base: Tensor, clamped: np.ndarray) -> Tensor:
    """A new tensor: `values` on the clamped units, `base` on the free ones."""
    return torch.where(torch.as_tensor(clamped, device=base.device), values, base)


def _initial(net: StackedNetwork, inputs: Tensor, start: str, rng: np.random.Generator | None) -> State:
    """Activities at the named start; the output is free and starts like the hidden layers."""
    batch = inputs.shape[0]
    if start == "feedforward":
        return net.feedforward(inputs)
    if start == "zeros" or rng is None:
        hidden = [z.zero_() for z in net.empty_like_hidden(batch)]
        return State(inputs, hidden, inputs.new_zeros(batch, net.widths[-1]))
    shapes = [*(z.shape for z in net.empty_like_hidden(batch)), (batch, net.widths[-1])]
    *hidden, output = [torch.as_tensor(rng.standard_normal(tuple(shape))).to(inputs) for shape in shapes]
    return State(inputs, hidden, output)
