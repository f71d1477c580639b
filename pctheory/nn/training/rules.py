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

__all__ = ["BP", "IPC", "PC", "RULES", "KeepRatio", "Rule", "Switch", "checked_rule"]


class Rule:
    """How the weights learn."""


@dataclass(frozen=True)
class KeepRatio:
    r"""A hidden precision that follows the ratio of loss and energy, :math:`L / F^*`.

    After each batch it is multiplied by `factor` where the ratio exceeds `target`, and else divided by it. A
    ratio of 2 leaves a chain's saddle soonest (claim ``precision-homotopy``).

    Attributes
    ----------
    target : float > 1
        Of the loss over the energy where inference ends.
    factor : float > 1
        Of the precision, from batch to batch.
    first, least : float
        The precision to start with, and the smallest one.
    rate_power : float
        The learning rate is divided by this power of the precision over `first`. Plain gradient descent needs
        1: the sharpness at a fit grows with the precision. Adam needs 0.
    """

    target: float = 2.0
    factor: float = 1.1
    first: float = 1.0
    least: float = 1.0
    rate_power: float = 0.0

    def __post_init__(self) -> None:
        for name in ("target", "factor"):
            if (number := _check.real(getattr(self, name), name)) <= 1:
                raise ValueError(f"`{name}` must be greater than 1. Got {number:g}.")
        _check.positive(self.least, "least")
        if _check.positive(self.first, "first") < self.least:
            raise ValueError(f"`first` must be at least `least`, {self.least:g}. Got {self.first:g}.")
        _check.non_negative(self.rate_power, "rate_power")


@dataclass(frozen=True)
class PC(Rule):
    """Predictive coding: the local rule at the activities that inference ends with.

    Attributes
    ----------
    method : GradientDescent, Momentum, Adam, Heun, ErrorDescent, Newton or Adaptive
        Of inference; or a name, see `infer`.
    stop : Stop
    start : "feedforward", "zeros" or "random"
        Where the hidden activities start; "random" is N(0, 1).
    precision : float or KeepRatio
        What the precisions of the model's hidden layers are multiplied by in training;
        `pctheory.model.hidden_precision` recommends one.

    Examples
    --------
    >>> PC("newton", stop=Stop(tolerance=1e-6))
    PC(method=Newton(), stop=Stop(num_steps=None, tolerance=1e-06), start='feedforward', precision=1.0)
    """

    method: Method | str = field(default_factory=GradientDescent)
    stop: Stop = field(default_factory=Stop, kw_only=True)
    start: str = field(default="feedforward", kw_only=True)
    precision: float | KeepRatio = field(default=1.0, kw_only=True)

    def __post_init__(self) -> None:
        object.__setattr__(self, "method", checked_method(self.method))
        checked_stop(self.stop)
        _check.choice(self.start, "start", STARTS)
        if not isinstance(self.precision, KeepRatio):
            _check.positive(self.precision, "precision")


@dataclass(frozen=True)
class IPC(PC):
    """Incremental predictive coding: activities and weights step together, from the same errors.

    Every batch takes the steps of its inference, and the optimiser one with each of them.

    Attributes
    ----------
    method : GradientDescent, Momentum or Adam
        Or a name, see `infer`. Its `coordinates` are not read: weights that change send errors everywhere.
    stop, start, precision
        As of `PC`; `precision` is a number.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.method, Descent):
            raise TypeError(
                "`method` must be GradientDescent, Momentum or Adam for IPC: weights change at each of its "
                "steps. "
                f"Got {type(self.method).__name__}."
            )
        if isinstance(self.precision, KeepRatio):
            raise TypeError(
                "`precision` must be a number for IPC: no energy of its inference belongs to one set of "
                "weights. Got KeepRatio."
            )


@dataclass(frozen=True)
class BP(Rule):
    """Backpropagation of `PCN.loss`, at the scale of the energy."""


@dataclass(frozen=True)
class Switch(Rule):
    """One rule, and then another: predictive coding leaves a saddle, backpropagation goes on.

    Attributes
    ----------
    first, then : PC, IPC or BP
        Or a name for one with its defaults.
    below : float in (0, 1]
        The second rule takes over when the loss, averaged over the last ten batches or so, is below this
        share of the first batch's.
    rate : float
        What the learning rate is multiplied by from there.

    Examples
    --------
    >>> Switch("pc", "bp", below=0.5).then
    BP()
    """

    first: Rule | str
    then: Rule | str
    below: float = field(kw_only=True)
    rate: float = field(default=1.0, kw_only=True)

    def __post_init__(self) -> None:
        for name in ("first", "then"):
            rule = checked_rule(getattr(self, name), name)
            if isinstance(rule, Switch):
                raise TypeError(f"`{name}` must be PC, IPC or BP, no Switch. Got {rule!r}.")
            object.__setattr__(self, name, rule)
        if _check.positive(self.below, "below") > 1:
            raise ValueError(f"`below` must be a share of the first loss, at most 1. Got {self.below:g}.")
        _check.positive(self.rate, "rate")


RULES: dict[str, type[Rule]] = {"pc": PC, "ipc": IPC, "bp": BP}
"""The names that stand for a rule with its defaults."""


def checked_rule(value: object, argument: str = "rule") -> Rule:
    """A rule, or the one that a name stands for."""
    if isinstance(value, Rule):
        return value
    names = ", ".join(repr(name) for name in RULES)
    text = f"`{argument}` must be PC(...), IPC(...), BP() or Switch(...), or one of {names}."
    if not isinstance(value, str):
        raise TypeError(f"{text} Got {type(value).__name__}.")
    if value not in RULES:
        raise ValueError(f"{text} Got {value!r}.")
    return RULES[value]()
