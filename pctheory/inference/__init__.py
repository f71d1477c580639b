"""The equilibrium of inference in closed form, and the dynamics, conditioning and solvers of inference."""

from .accuracy import RelativeErrors
from .arrival import (
    delayed_multipliers,
    first_arrival,
    scheduled_inference,
    spiking_precision,
    spiking_update,
)
from .clamping import ClampedEquilibrium, ClampedProblem, clamped_equilibrium
from .curvature import extreme_curvatures
from .dynamics import (
    InferenceModes,
    InferenceRate,
    condition_number,
    finite_time_energy,
    finite_time_rescaling,
    inference_modes,
    inference_rate,
    inference_start,
    relax,
)
from .early_time import early_reach, early_scales
from .equilibria import Equilibrium, equilibrium, gradient_decomposition
from .error_coordinates import (
    activities_from_errors,
    error_eigenvalues,
    error_energy,
    error_gradient,
    error_hessian,
)
from .error_descent import error_inference_rate, relax_errors
from .output_losses import OUTPUT_LOSSES, ConvexLoss, EnvelopeEquilibrium, envelope_equilibrium, pseudo_huber
from .products import input_products, noise_covariances, output_products, rescaling
from .solvers import SOLVERS, SolverTrace, solve_inference

__all__ = [
    "OUTPUT_LOSSES",
    "SOLVERS",
    "ClampedEquilibrium",
    "ClampedProblem",
    "ConvexLoss",
    "EnvelopeEquilibrium",
    "Equilibrium",
    "InferenceModes",
    "InferenceRate",
    "RelativeErrors",
    "SolverTrace",
    "activities_from_errors",
    "clamped_equilibrium",
    "condition_number",
    "delayed_multipliers",
    "early_reach",
    "early_scales",
    "envelope_equilibrium",
    "equilibrium",
    "error_eigenvalues",
    "error_energy",
    "error_gradient",
    "error_hessian",
    "error_inference_rate",
    "extreme_curvatures",
    "finite_time_energy",
    "finite_time_rescaling",
    "first_arrival",
    "gradient_decomposition",
    "inference_modes",
    "inference_rate",
    "inference_start",
    "input_products",
    "noise_covariances",
    "output_products",
    "pseudo_huber",
    "relax",
    "relax_errors",
    "rescaling",
    "scheduled_inference",
    "solve_inference",
    "spiking_precision",
    "spiking_update",
]
