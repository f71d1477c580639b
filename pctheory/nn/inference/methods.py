"""The methods of inference, each a frozen value with its own fields, and when inference stops."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

from ... import _check

__all__ = [
    "METHODS",
    "Adam",
    "Adaptive",
    "Descent",
    "ErrorDescent",
    "GradientDescent",
    "Heun",
    "Method",
    "Momentum",
    "Newton",
    "Stop",
    "checked_method",
    "checked_stop",
]


def _fraction(value: object, name: str) -> None:
    if not 0 <= (number := _check.real(value, name)) < 1:
        raise ValueError(f"`{name}` must be at least 0 and less than 1. Got {number:g}.")


def _betas(value: Any, name: str) -> None:
    if not isinstance(value, tuple) or len(value) != 2:
        raise TypeError(f"`{name}` must be a pair of numbers. Got {value!r}.")
    for index, beta in enumerate(value):
        _fraction(beta, f"{name}[{index}]")


def _convention(value: object, name: str) -> None:
    _check.choice(value, name, ("per-sample", "batch-mean"))


def _coordinates(value: object, name: str) -> None:
    _check.choice(value, name, ("displacements", "activities"))


_CHECKS: dict[str, Callable[[Any, str], object]] = {
    "step": _check.positive,
    "tolerance": _check.positive,
    "max_passes": lambda value, name: _check.count(value, name, 2),
    "first_step": _check.positive,
    "t_max": _check.positive,
    "rtol": _check.positive,
    "atol": _check.positive,
    "epsilon": _check.positive,
    "decay": _check.non_negative,
    "momentum": _fraction,
    "betas": _betas,
    "convention": _convention,
    "coordinates": _coordinates,
}


class Method:
    r"""How the activities are relaxed.

    The gradient :math:`\nabla` of a method is, by its `convention`, that of each sample's own energy
    ("per-sample"), or that of the batch mean F ("batch-mean"), which is B times smaller. Many published step
    sizes are for the latter. A `decay` adds its multiple of z to the per-sample gradient of the hidden
    layers.
    """

    def __post_init__(self) -> None:
        for field in fields(self):  # type: ignore[arg-type]
            _CHECKS[field.name](getattr(self, field.name), field.name)


class Descent(Method):
    """A method that repeats one step on the activities; the weights may change between its steps."""

    step: float
    decay: float
    convention: str
    coordinates: str


@dataclass(frozen=True)
class GradientDescent(Descent):
    r"""Gradient descent, :math:`z \leftarrow z - g\,\nabla`: Euler's method for the activity ODE
    :math:`\dot z = -\nabla`.

    Attributes
    ----------
    step : float
        The step g; as Euler's method, the time dt of a step.
    decay : float
        Decay of the activities.
    convention : "per-sample" or "batch-mean"
        What :math:`\nabla` is, see `Method`.
    coordinates : "displacements" or "activities"
        What moves from a forward pass: how far the activities are from it, so that errors keep their digits;
        or the activities, whose difference to their prediction loses errors below the rounding of the
        activities, as in most published code.

    Examples
    --------
    >>> GradientDescent(step=-1.0)
    Traceback (most recent call last):
        ...
    ValueError: `step` must be greater than 0. Got -1.
    """

    step: float = 0.1
    decay: float = 0.0
    convention: str = "per-sample"
    coordinates: str = "displacements"


@dataclass(frozen=True)
class Momentum(Descent):
    r"""Gradient descent with a heavy ball, :math:`v \leftarrow \mu v + \nabla`, :math:`z \leftarrow z - g v`.

    Attributes
    ----------
    step, momentum : float
        The step g, and :math:`\mu`.
    decay, convention, coordinates
        As of `GradientDescent`.
    """

    step: float = 0.1
    momentum: float = 0.9
    decay: float = 0.0
    convention: str = "per-sample"
    coordinates: str = "displacements"


@dataclass(frozen=True)
class Adam(Descent):
    r"""Adam on the activities.

    Attributes
    ----------
    step : float
        The learning rate.
    betas : (float, float)
        Decay rates of the running means of the gradient and of its square.
    epsilon : float
        Added to the root of the mean square.
    decay, convention, coordinates
        As of `GradientDescent`.
    """

    step: float = 0.1
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8
    decay: float = 0.0
    convention: str = "per-sample"
    coordinates: str = "displacements"


@dataclass(frozen=True)
class Heun(Method):
    r"""The activity ODE :math:`\dot z = -\nabla` by Heun's method with adaptive steps.

    The Euler step inside each Heun step estimates its error: the root mean square, over all activities, of
    the difference divided by `atol` + `rtol` times abs(z) stays below 1.

    Attributes
    ----------
    t_max : float
        The time to integrate to.
    first_step : float
        The time of the first step that is tried.
    rtol, atol : float
        Relative and absolute tolerance of a step.
    decay, convention
        As of `GradientDescent`.

    Examples
    --------
    >>> Heun(t_max=12.0, rtol=1e-3)
    Heun(t_max=12.0, first_step=0.1, rtol=0.001, atol=1e-09, decay=0.0, convention='per-sample')
    """

    t_max: float
    first_step: float = 0.1
    rtol: float = 1e-6
    atol: float = 1e-9
    decay: float = 0.0
    convention: str = "per-sample"


@dataclass(frozen=True)
class ErrorDescent(Method):
    r"""Gradient descent on the prediction errors (ePC); each step is a forward and a backward pass.

    .. math:: \epsilon_l \leftarrow \epsilon_l - g(\Pi_l\epsilon_l - J_{l+1}^T \cdots J_L^T\Pi_L\epsilon_L)

    Attributes
    ----------
    step : float
        The step g.
    convention : "per-sample" or "batch-mean"
        What the gradient is, see `Method`.
    """

    step: float = 0.1
    convention: str = "per-sample"


@dataclass(frozen=True)
class Newton(Method):
    """Newton-Krylov steps, preconditioned by the exact Gauss-Newton step in error coordinates.

    With an activation that has a kink, such as ReLU, exact steps of a model in which units come to rest at
    their kinks.
    """


@dataclass(frozen=True)
class Adaptive(Method):
    """Inference in as few passes as an accurate weight gradient needs, with an estimate of what it is off.

    An accelerated fixed point of the errors, in which units come to rest at kinks; Newton's method takes over
    where it stalls. A step is a pass. Without a tolerance of the `Stop` it ends by its own.

    The estimate is a heuristic, no bound: it tells the size of the error, which can be a few times larger.

    Attributes
    ----------
    tolerance : float
        Estimated relative error of the weight gradient, the largest over the layers, at which to stop.
    max_passes : int
        Passes before Newton's method takes over; a given number of steps leaves it out.
    """

    tolerance: float = 0.01
    max_passes: int = 8


METHODS: dict[str, type[Method]] = {
    "gd": GradientDescent,
    "momentum": Momentum,
    "adam": Adam,
    "error": ErrorDescent,
    "newton": Newton,
    "adaptive": Adaptive,
}
"""The names that stand for a method with its defaults."""


@dataclass(frozen=True)
class Stop:
    """When inference stops.

    Attributes
    ----------
    num_steps : int, optional
        Steps to take at most. None: the number of hidden layers H (of `Heun` 100000, of `Newton` 100, of
        `Adaptive` as many as it needs).
    tolerance : float, optional
        Stop when the norm of the gradient is at most this fraction of its norm at the start.
    """

    num_steps: int | None = None
    tolerance: float | None = None

    def __post_init__(self) -> None:
        if self.num_steps is not None:
            _check.count(self.num_steps, "num_steps")
        if self.tolerance is not None:
            _check.positive(self.tolerance, "tolerance")


def checked_method(value: object) -> Method:
    """A method, or the one that a name stands for."""
    if isinstance(value, Method):
        return value
    names = ", ".join(repr(name) for name in METHODS)
    rule = f"`method` must be a method such as Heun(t_max=1.0), or one of {names}."
    if not isinstance(value, str):
        raise TypeError(f"{rule} Got {type(value).__name__}.")
    if value not in METHODS:
        raise ValueError(f"{rule} Got {value!r}.")
    return METHODS[value]()


def checked_stop(value: object) -> Stop:
    """A `Stop`; the default one for None."""
    if value is None:
        return Stop()
    if not isinstance(value, Stop):
        raise TypeError(f"`stop` must be a Stop. Got {type(value).__name__}.")
    return value
