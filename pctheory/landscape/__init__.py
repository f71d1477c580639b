"""The landscape of the weights: ends of the Hessian's spectrum, Hessians in closed form, slices."""

from .closed_forms import OriginHessian, gauss_newton_hessian, origin_hessian, zero_rank_hessian
from .slices import LandscapeSlice, landscape_slice
from .spectrum import HessianEnds, extreme_eigenvalues

__all__ = [
    "HessianEnds",
    "LandscapeSlice",
    "OriginHessian",
    "extreme_eigenvalues",
    "gauss_newton_hessian",
    "landscape_slice",
    "origin_hessian",
    "zero_rank_hessian",
]
