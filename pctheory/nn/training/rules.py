"""The learning rules, each a frozen value with its own fields."""

from __future__ import annotations

from dataclasses import dataclass, field

from ... import _check
from ..inference import (
    STARTS,
    Descent,
    GradientDescent,
    Method,
    Stop,
    checked_method,
    checked_stop,
)

__all__ = ["BP", "IPC", "PC", "RULES", "Rule", "checked_rule"]


class Rule:
    """How the weights learn."""


@dataclass(frozen=True)
class PC(Rule):
    """Predictive coding: the local rule at the activities that inference ends with.

    Attributes
    ----------
    method : GradientDescent, Momentum, Adam, Heun, ErrorDescent or Newton
        Of inference; or a name, see `infer`.
    stop : Stop
    start : "feedforward", "zeros" or "random"
        Where the hidden activities start; "random" is N(0, 1).

    Examples
    --------
    >>> PC("newton", stop=Stop(tolerance=1e-6))
    PC(method=Newton(), stop=Stop(num_steps=None, tolerance=1e-06), start='feedforward')
    """

    method: Method | str = field(default_factory=GradientDescent)
    stop: Stop = field(default_factory=Stop, kw_only=True)
    start: str = field(default="feedforward", kw_only=True)

    def __post_init__(self) -> None:
        object.__setattr__(self, "method", checked_method(self.method))
        checked_stop(self.stop)
        _check.choice(self.start, "start", STARTS)


@dataclass(frozen=True)
class IPC(PC):
    """Incremental predictive coding: activities and weights step together, from the same errors.

    Every batch takes the steps of its inference, and the optimiser one with each of them.

    Attributes
    ----------
    method : GradientDescent, Momentum or Adam
        Or a name, see `infer`.
    stop, start
        As of `PC`.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.method, Descent):
            raise TypeError(
                "`method` must be GradientDescent, Momentum or Adam for IPC: weights change at each of its "
                "steps. "
                f"Got {type(self.method).__name__}."
            )


@dataclass(frozen=True)
class BP(Rule):
    """Backpropagation of `PCN.loss`, at the scale of the energy."""


RULES: dict[str, type[Rule]] = {"pc": PC, "ipc": IPC, "bp": BP}
"""The names that stand for a rule with its defaults."""


def checked_rule(value: object) -> Rule:
    """A rule, or the one that a name stands for."""
    if isinstance(value, Rule):
        return value
    names = ", ".join(repr(name) for name in RULES)
    text = f"`rule` must be PC(...), IPC(...) or BP(), or one of {names}."
    if not isinstance(value, str):
        raise TypeError(f"{text} Got {type(value).__name__}.")
    if value not in RULES:
        raise ValueError(f"{text} Got {value!r}.")
    return RULES[value]()
