"""The landscape over the weights: objectives with exact derivatives, Hessians in closed form, critical points, slices."""

from .certificates import EscapeDirection, escape_direction
from .classification import KINDS, CriticalPoint, classify_critical_point, infimum, non_strict_saddle
from .closed_forms import OriginHessian, gauss_newton_hessian, origin_hessian, zero_rank_hessian
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
    "WeightDecay",
    "classify_critical_point",
    "escape_direction",
    "extreme_eigenvalues",
    "find_critical_points",
    "gauss_newton_hessian",
    "infimum",
    "landscape_slice",
    "non_strict_saddle",
    "origin_hessian",
    "zero_rank_hessian",
]
