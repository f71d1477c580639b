"""Models beside predictive coding in the narrow sense, on linear networks: Predify's dynamics, inference over
time, inference with multipliers.
"""

from .augmented_lagrangian import ballistic_rate, primal_dual_eigenvalues, primal_dual_matrix
from .predify import Predify, chain_is_stable, chain_multiplier, chain_speed
from .state_space import Beliefs, StateSpace, drift_phases

__all__ = [
    "Beliefs",
    "Predify",
    "StateSpace",
    "ballistic_rate",
    "chain_is_stable",
    "chain_multiplier",
    "chain_speed",
    "drift_phases",
    "primal_dual_eigenvalues",
    "primal_dual_matrix",
]
