"""Models beside predictive coding in the narrow sense, on linear networks: Predify's dynamics."""

from .predify import Predify, chain_is_stable, chain_multiplier, chain_speed

__all__ = ["Predify", "chain_is_stable", "chain_multiplier", "chain_speed"]
