r"""Real inference and training of predictive coding networks in torch: the empirical road to every claim.

Nothing here imports a closed form: this package measures what the rest of `pctheory` predicts.
"""

from ._maps import Convolution, Image
from .inference import InferenceResult, InferenceSettings, infer
from .pcn import PCN
from .through_inference import Clamps, ThroughInference, settle
from .tradeoff import (
    AutoencoderClassifier,
    GenerativeClassifier,
    TradeoffSettings,
    train_autoencoder,
    train_tradeoff,
)
from .training import TrainingResult, TrainingSettings, accuracy, train

__all__ = [
    "PCN",
    "AutoencoderClassifier",
    "Clamps",
    "Convolution",
    "GenerativeClassifier",
    "Image",
    "InferenceResult",
    "InferenceSettings",
    "ThroughInference",
    "TradeoffSettings",
    "TrainingResult",
    "TrainingSettings",
    "accuracy",
    "infer",
    "settle",
    "train",
    "train_autoencoder",
    "train_tradeoff",
]
