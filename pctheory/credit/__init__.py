r"""Credit assignment in closed form: what each learning rule computes on a linear network, and how they differ.

`through_inference` holds the gradients of a task loss through inference (unrolled, truncated, implicit, equilibrium
propagation) for any clamps; `rules` the local rule and the exact variants of backprop; `comparison` all of them on one batch;
`consolidation` what an update does to the output.
"""

from .comparison import RULES, GradientBounds, GradientComparison, compare_gradients, gradient_bounds
from .consolidation import (
    aligned_update,
    one_shot,
    output_change,
    posterior_averaged_gradient,
    target_alignment,
)
from .losses import CrossEntropy, LayerEnergies, Mixture, SquaredError, TaskLoss
from .rules import (
    backprop_gradient,
    error_descent_gradient,
    fixed_prediction_gradient,
    local_gradient,
    pc_gradient,
    z_il_gradient,
)
from .through_inference import (
    equilibrium_propagation_gradient,
    implicit_gradient,
    mixed_derivative,
    truncated_gradient,
    unrolled_gradient,
)

__all__ = [
    "RULES",
    "CrossEntropy",
    "GradientBounds",
    "GradientComparison",
    "LayerEnergies",
    "Mixture",
    "SquaredError",
    "TaskLoss",
    "aligned_update",
    "backprop_gradient",
    "compare_gradients",
    "equilibrium_propagation_gradient",
    "error_descent_gradient",
    "fixed_prediction_gradient",
    "gradient_bounds",
    "implicit_gradient",
    "local_gradient",
    "mixed_derivative",
    "one_shot",
    "output_change",
    "pc_gradient",
    "posterior_averaged_gradient",
    "target_alignment",
    "truncated_gradient",
    "unrolled_gradient",
    "z_il_gradient",
]
