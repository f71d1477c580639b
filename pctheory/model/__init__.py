"""Definitions: the linear predictive coding network, its parameterisation, precisions, data and energy."""

from .data import Data
from .definitions import (
    activity_gradient,
    activity_hessian,
    activity_linear_term,
    energy,
    feedforward,
    layer_energies,
    loss,
    prediction_errors,
    weight_gradient,
)
from .graph import GraphValues, LinearGraph
from .network import LEARNED, PARAMETERS, LinearPCN
from .parameterisation import (
    INITIALISATIONS,
    PARAMETERISATIONS,
    Parameterisation,
    bias_rate_scales,
    hidden_precision,
    initial_weights,
    learning_rate_scale,
    learning_rate_scales,
    multipliers,
    skip_pattern,
)
from .precision import Precision

__all__ = [
    "INITIALISATIONS",
    "LEARNED",
    "PARAMETERISATIONS",
    "PARAMETERS",
    "Data",
    "GraphValues",
    "LinearGraph",
    "LinearPCN",
    "Parameterisation",
    "Precision",
    "activity_gradient",
    "activity_hessian",
    "activity_linear_term",
    "bias_rate_scales",
    "energy",
    "feedforward",
    "hidden_precision",
    "initial_weights",
    "layer_energies",
    "learning_rate_scale",
    "learning_rate_scales",
    "loss",
    "multipliers",
    "prediction_errors",
    "skip_pattern",
    "weight_gradient",
]
