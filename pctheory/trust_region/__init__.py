"""Inference as a trust-region step on the loss, and the directions of the updates of the weights."""

from .directions import (
    DIRECTIONS,
    Directions,
    NearestSolution,
    cosines,
    gauss_newton_matrix,
    gauss_newton_step,
    nearest_solution,
    norms,
    update_directions,
)
from .step import QuadraticModel, TrustRegionStep, implied_radius, quadratic_model, trust_region_step

__all__ = [
    "DIRECTIONS",
    "Directions",
    "NearestSolution",
    "QuadraticModel",
    "TrustRegionStep",
    "cosines",
    "gauss_newton_matrix",
    "gauss_newton_step",
    "implied_radius",
    "nearest_solution",
    "norms",
    "quadratic_model",
    "trust_region_step",
    "update_directions",
]
