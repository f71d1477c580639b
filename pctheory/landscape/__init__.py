"""The landscape over the weights: objectives, Hessians in closed form, critical points, slices."""

from .certificates import EscapeDirection, escape_direction
from .classification import KINDS, CriticalPoint, classify_critical_point, infimum, non_strict_saddle
from .closed_forms import OriginHessian, gauss_newton_hessian, origin_hessian, zero_rank_hessian
from .envelope_forms import envelope_form
from .envelopes import EnvelopeEnergy, OutputLoss
from .objectives import (
    EquilibratedEnergy,
    MSELoss,
    NegativeLogLikelihood,
    Objective,
    RescaledObjective,
    WeightDecay,
)
from .search import CriticalPoints, find_critical_points
from .second_order import SecondOrderForm, every_saddle_is_strict, second_order_form, spurious_minimum
from .slices import LandscapeSlice, landscape_slice
from .spectrum import extreme_eigenvalues

__all__ = [
    "KINDS",
    "CriticalPoint",
    "CriticalPoints",
    "EnvelopeEnergy",
    "EquilibratedEnergy",
    "EscapeDirection",
    "LandscapeSlice",
    "MSELoss",
    "NegativeLogLikelihood",
    "Objective",
    "OriginHessian",
    "OutputLoss",
    "RescaledObjective",
    "SecondOrderForm",
    "WeightDecay",
    "classify_critical_point",
    "envelope_form",
    "escape_direction",
    "every_saddle_is_strict",
    "extreme_eigenvalues",
    "find_critical_points",
    "gauss_newton_hessian",
    "infimum",
    "landscape_slice",
    "non_strict_saddle",
    "origin_hessian",
    "second_order_form",
    "spurious_minimum",
    "zero_rank_hessian",
]
