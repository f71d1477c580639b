"""The network in stacks: hidden layers of equal width as one tensor, and what inference and learning compute
with them.
"""

from .network import StackedNetwork
from .stacks import (
    Errors,
    Gradient,
    Stack,
    State,
    gathered,
    inverse,
    observed_precision,
    stacks_of,
    weight_by,
    weight_output,
)
from .window import Windows

__all__ = [
    "Errors",
    "Gradient",
    "Stack",
    "StackedNetwork",
    "State",
    "Windows",
    "gathered",
    "inverse",
    "observed_precision",
    "stacks_of",
    "weight_by",
    "weight_output",
]
