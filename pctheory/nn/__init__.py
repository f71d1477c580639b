r"""Real inference and training of predictive coding networks in torch: the empirical road to every claim.

Nothing here imports a closed form: this package measures what the rest of `pctheory` predicts.
"""

from .inference import (
    Adam,
    Adaptive,
    ErrorDescent,
    GradientDescent,
    Heun,
    InferenceResult,
    Momentum,
    Newton,
    Stop,
    infer,
)
from .layers import Convolution, Image
from .pcn import PCN
from .tangent import EmpiricalKernel, empirical_kernel
from .through_inference import Clamps, ThroughInference, settle
from .training import BP, IPC, PC, KeepRatio, Switch, TrainingResult, TrainingSettings, accuracy, train

__all__ = [
    "BP",
    "IPC",
    "PC",
    "PCN",
    "Adam",
    "Adaptive",
    "Clamps",
    "Convolution",
    "EmpiricalKernel",
    "ErrorDescent",
    "GradientDescent",
    "Heun",
    "Image",
    "InferenceResult",
    "KeepRatio",
    "Momentum",
    "Newton",
    "Stop",
    "Switch",
    "ThroughInference",
    "TrainingResult",
    "TrainingSettings",
    "accuracy",
    "empirical_kernel",
    "infer",
    "settle",
    "train",
]
