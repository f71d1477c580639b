"""Networks at initialisation and in the limit of large width: exact means, random matrices, mean fields."""

from .conditioning import ConditionBound, condition_bound
from .initialisation import (
    entry_variances,
    expected_rescaling,
    forward_rms,
    isometric_condition_number,
    isometric_eigenvalues,
)
from .mean_field import MeanFieldTraining, mean_field_training
from .random_matrix import (
    coupling_density,
    coupling_edge,
    diagonal_density,
    hessian_density,
    marchenko_pastur,
    marchenko_pastur_edges,
)
from .stable import initial_cosine, stable_precisions

__all__ = [
    "ConditionBound",
    "MeanFieldTraining",
    "condition_bound",
    "coupling_density",
    "coupling_edge",
    "diagonal_density",
    "entry_variances",
    "expected_rescaling",
    "forward_rms",
    "hessian_density",
    "initial_cosine",
    "isometric_condition_number",
    "isometric_eigenvalues",
    "marchenko_pastur",
    "marchenko_pastur_edges",
    "mean_field_training",
    "stable_precisions",
]
