"""Models beside predictive coding in the narrow sense, on linear networks: Predify's dynamics, inference over
time.
"""

from .predify import Predify, chain_is_stable, chain_multiplier, chain_speed
from .state_space import Beliefs, StateSpace, drift_phases

__all__ = [
    "Beliefs",
    "Predify",
    "StateSpace",
    "chain_is_stable",
    "chain_multiplier",
    "chain_speed",
    "drift_phases",
]
