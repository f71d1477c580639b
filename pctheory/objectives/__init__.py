"""Objectives of learning and their exact derivatives: the loss, the equilibrated energy, the full likelihood."""

from .objective import EquilibratedEnergy, MSELoss, NegativeLogLikelihood, Objective, WeightDecay

__all__ = ["EquilibratedEnergy", "MSELoss", "NegativeLogLikelihood", "Objective", "WeightDecay"]
