"""Inference: the activities relax towards a stationary point of the energy, by a method that is a value."""

from .methods import (
    METHODS,
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
from .problem import Diverged, InferenceResult
from .run import STARTS, infer, relax

__all__ = [
    "METHODS",
    "STARTS",
    "Adam",
    "Adaptive",
    "Descent",
    "Diverged",
    "ErrorDescent",
    "GradientDescent",
    "Heun",
    "InferenceResult",
    "Method",
    "Momentum",
    "Newton",
    "Stop",
    "checked_method",
    "checked_stop",
    "infer",
    "relax",
]
