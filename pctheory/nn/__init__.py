r"""Real inference and training of predictive coding networks in torch: the empirical road to every claim.

Nothing here imports a closed form: this package measures what the rest of `pctheory` predicts.
"""

from .inference import InferenceResult, InferenceSettings, infer
from .pcn import PCN
from .training import TrainingResult, TrainingSettings, accuracy, train

__all__ = [
    "PCN",
    "InferenceResult",
    "InferenceSettings",
    "TrainingResult",
    "TrainingSettings",
    "accuracy",
    "infer",
    "train",
]
