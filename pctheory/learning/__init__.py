"""What each learning rule computes, in closed form, and how the rules differ.

`rules` holds the local rule and the exact variants of backprop; `through_inference` the gradients of a task
loss through inference (unrolled, truncated, implicit, equilibrium propagation) for any clamps; `comparison`
puts all of them on one batch; `consolidation` says what an update does to the output; `precisions` learns the
precisions; `tradeoff` how a linear code trades classification for reconstruction.
"""

from .comparison import LEARNING_RULES, GradientBounds, GradientComparison, compare_gradients, gradient_bounds
from .consolidation import (
    aligned_update,
    one_shot,
    output_change,
    posterior_averaged_gradient,
    target_alignment,
)
from .losses import CrossEntropy, LayerEnergies, Mixture, SquaredError, TaskLoss
from .precisions import PRECISION_RULES, PRECISION_SHAPES, precision_gradient, update_precisions
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
from .tradeoff import TradeoffCurve, TradeoffPoint, tradeoff_curve

__all__ = [
    "LEARNING_RULES",
    "PRECISION_RULES",
    "PRECISION_SHAPES",
    "CrossEntropy",
    "GradientBounds",
    "GradientComparison",
    "LayerEnergies",
    "Mixture",
    "SquaredError",
    "TaskLoss",
    "TradeoffCurve",
    "TradeoffPoint",
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
    "precision_gradient",
    "target_alignment",
    "tradeoff_curve",
    "truncated_gradient",
    "unrolled_gradient",
    "update_precisions",
    "z_il_gradient",
]
