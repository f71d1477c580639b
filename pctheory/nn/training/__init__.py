"""Training by a learning rule that is a value, with checkpoints and measurements."""

from .measures import accuracy
from .rules import BP, IPC, PC, RULES, KeepRatio, Rule, Switch, checked_rule
from .run import Run, train
from .settings import TrainingResult, TrainingSettings

__all__ = [
    "BP",
    "IPC",
    "PC",
    "RULES",
    "KeepRatio",
    "Rule",
    "Run",
    "Switch",
    "TrainingResult",
    "TrainingSettings",
    "accuracy",
    "checked_rule",
    "train",
]
