"""Learning dynamics: gradient flow and descent, the balance law along them, the time of the escape from small
weights, gradient noise, sharpness, and the lazy regime.
"""

from .chains import ChainFlow, chain_flow, chain_rates
from .escape import (
    best_precision,
    escape_constant,
    escape_profile,
    escape_time,
    fewest_loss_steps,
)
from .flow import (
    Trajectory,
    crossing_time,
    gradient_descent,
    gradient_flow,
    half_time,
    imbalance,
    imbalance_rate,
)
from .homotopy import HomotopyFlow, KeepRescaling, fastest_time, homotopy_flow, homotopy_time
from .lazy import lazy_map
from .noise import Inflation, inflation
from .sharpness import FitSharpness, fit_sharpness
from .stochastic import GradientNoise, gradient_noise

__all__ = [
    "ChainFlow",
    "FitSharpness",
    "GradientNoise",
    "HomotopyFlow",
    "Inflation",
    "KeepRescaling",
    "Trajectory",
    "best_precision",
    "chain_flow",
    "chain_rates",
    "crossing_time",
    "escape_constant",
    "escape_profile",
    "escape_time",
    "fastest_time",
    "fewest_loss_steps",
    "fit_sharpness",
    "gradient_descent",
    "gradient_flow",
    "gradient_noise",
    "half_time",
    "homotopy_flow",
    "homotopy_time",
    "imbalance",
    "imbalance_rate",
    "inflation",
    "lazy_map",
]
