r"""pctheory: the theory of predictive coding networks, in closed form.

A predictive coding network relaxes its hidden activities to the minimum of an energy and then changes its weights by
local rules. For linear networks the equilibrium, its energy, their gradients and Hessians have closed forms; this package
computes them, derives them (`pctheory.symbolic`) and checks them by real inference and training (`pctheory.nn`).
"""

from .block_tridiagonal import BlockTridiagonal
from .clamping import clamped_equilibrium
from .credit import compare_gradients
from .data import Data
from .datasets import load_dataset
from .directions import nearest_solution, update_directions
from .energy import activity_gradient, activity_hessian, energy, feedforward, loss, weight_gradient
from .equilibrium import Equilibrium, equilibrium, rescaling
from .flow import gradient_descent, gradient_flow, imbalance
from .inference import condition_number, finite_time_energy, inference_rate, relax
from .landscape import extreme_eigenvalues, landscape_slice, origin_hessian
from .limits import expected_rescaling
from .mean_field import mean_field_training
from .network import LinearPCN
from .objectives import EquilibratedEnergy, MSELoss, NegativeLogLikelihood, WeightDecay
from .saddles import classify_critical_point, escape_direction, find_critical_points
from .solvers import solve_inference
from .tradeoff import tradeoff_curve
from .trust_region import trust_region_step

__version__ = "0.1.0"

__all__ = [
    "BlockTridiagonal",
    "Data",
    "EquilibratedEnergy",
    "Equilibrium",
    "LinearPCN",
    "MSELoss",
    "NegativeLogLikelihood",
    "WeightDecay",
    "activity_gradient",
    "activity_hessian",
    "clamped_equilibrium",
    "classify_critical_point",
    "compare_gradients",
    "condition_number",
    "energy",
    "equilibrium",
    "escape_direction",
    "expected_rescaling",
    "extreme_eigenvalues",
    "feedforward",
    "find_critical_points",
    "finite_time_energy",
    "gradient_descent",
    "gradient_flow",
    "imbalance",
    "inference_rate",
    "landscape_slice",
    "load_dataset",
    "loss",
    "mean_field_training",
    "nearest_solution",
    "origin_hessian",
    "relax",
    "rescaling",
    "solve_inference",
    "tradeoff_curve",
    "trust_region_step",
    "update_directions",
    "weight_gradient",
]
