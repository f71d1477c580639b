r"""pctheory: the theory of predictive coding networks, in closed form.

A predictive coding network relaxes its hidden activities to the minimum of an energy and then changes its
weights by local rules. For linear networks the equilibrium, its energy, their gradients and Hessians have
closed forms; this package computes them, derives them (`pctheory.symbolic`) and checks them by real inference
and training (`pctheory.nn`).
"""

import importlib
from importlib import metadata
from types import ModuleType

from .datasets import load_dataset
from .dynamics import gradient_descent, gradient_flow, imbalance
from .inference import (
    Equilibrium,
    clamped_equilibrium,
    condition_number,
    equilibrium,
    finite_time_energy,
    inference_rate,
    relax,
    rescaling,
    solve_inference,
)
from .landscape import (
    EquilibratedEnergy,
    MSELoss,
    NegativeLogLikelihood,
    WeightDecay,
    classify_critical_point,
    escape_direction,
    extreme_eigenvalues,
    find_critical_points,
    landscape_slice,
    origin_hessian,
)
from .learning import compare_gradients, tradeoff_curve
from .limits import expected_rescaling, mean_field_training
from .linalg import BlockTridiagonal
from .model import (
    Data,
    LinearGraph,
    LinearPCN,
    activity_gradient,
    activity_hessian,
    energy,
    feedforward,
    loss,
    weight_gradient,
)
from .sweeps import sweep
from .trust_region import nearest_solution, trust_region_step, update_directions

__version__ = metadata.version("pctheory")

_PACKAGES = (
    "claims",
    "datasets",
    "dynamics",
    "explore",
    "inference",
    "landscape",
    "learning",
    "limits",
    "linalg",
    "model",
    "nn",
    "plotting",
    "related",
    "sweeps",
    "symbolic",
    "trust_region",
)
"""Each is there after `import pctheory`; those that need torch, sympy or matplotlib are loaded when first
named.
"""

__all__ = [
    "BlockTridiagonal",
    "Data",
    "EquilibratedEnergy",
    "Equilibrium",
    "LinearGraph",
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
    "sweep",
    "tradeoff_curve",
    "trust_region_step",
    "update_directions",
    "weight_gradient",
]


def __getattr__(name: str) -> ModuleType:
    if name in _PACKAGES:
        return importlib.import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, *_PACKAGES, "__version__"])
