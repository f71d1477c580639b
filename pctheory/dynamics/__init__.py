"""Learning dynamics: gradient flow and descent on an objective, and the balance law along them."""

from .flow import (
    Trajectory,
    escape_time,
    gradient_descent,
    gradient_flow,
    half_time,
    imbalance,
    imbalance_rate,
)

__all__ = [
    "Trajectory",
    "escape_time",
    "gradient_descent",
    "gradient_flow",
    "half_time",
    "imbalance",
    "imbalance_rate",
]
