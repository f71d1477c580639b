r"""pctheory: the theory of predictive coding networks, in closed form.

A predictive coding network relaxes its hidden activities to the minimum of an energy and then changes its weights by
local rules. For linear networks the equilibrium, its energy, their gradients and Hessians have closed forms; this package
computes them, derives them (`pctheory.symbolic`) and checks them by real inference and training (`pctheory.nn`).
"""

from .block_tridiagonal import BlockTridiagonal
from .data import Data
from .datasets import load_dataset
from .energy import activity_gradient, activity_hessian, energy, feedforward, loss, weight_gradient
from .equilibrium import Equilibrium, equilibrium, rescaling
from .inference import condition_number, finite_time_energy, inference_rate, relax
from .limits import expected_rescaling
from .network import LinearPCN
from .objectives import EquilibratedEnergy, MSELoss, NegativeLogLikelihood, WeightDecay
from .solvers import solve_inference

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
    "condition_number",
    "energy",
    "equilibrium",
    "expected_rescaling",
    "feedforward",
    "finite_time_energy",
    "inference_rate",
    "load_dataset",
    "loss",
    "relax",
    "rescaling",
    "solve_inference",
    "weight_gradient",
]
