r"""Inference: the activities relax towards a stationary point of the energy, by one of eight methods."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import _check
from ._frame import Frame, Gradient, State
from ._methods import RULES, descend, run_method
from ._problem import Problem, Trace
from ._settings import CONVENTIONS, INITS, METHODS, InferenceResult, InferenceSettings
from .pcn import PCN

__all__ = ["CONVENTIONS", "INITS", "METHODS", "InferenceResult", "InferenceSettings", "infer", "relax"]


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
        run_method(problem, chosen, trace)
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
    if settings.method in RULES:
        return state, *descend(problem, settings, trace, learn)
    run_method(problem, settings, trace)
    return state, 1, False


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
