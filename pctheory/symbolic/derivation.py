r"""The `Derivation` value: a proof as steps that are checked one by one, and that join.

A step is checked on its own: its right side must follow from its left side under its rule. A derivation
checks that its steps join: each left side is a premise that is named as such, the result of an earlier step,
or a formula in such results. An expression that comes from nowhere is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from types import MappingProxyType
from typing import Any, TypeAlias

import sympy as sp

from . import _display
from .exact import Expression, entries, same, vanishes
from .rules import Rule

Symbols: TypeAlias = "sp.Symbol | Sequence[sp.Symbol]"


def _frozen(expression: Any) -> Expression:
    if isinstance(expression, sp.MatrixBase):
        return sp.ImmutableDenseMatrix(expression)
    return sp.sympify(expression)


@dataclass(frozen=True)
class Step:
    r"""One step: what it says, the expression before and after, the rule, and where the left side comes from.

    Without `given` and `follows` the step continues the one before it: its left side must be that step's
    result. It may also be a formula in the results that `using` names.

    Parameters
    ----------
    statement : str
        What the step says, in words with LaTeX between dollars.
    before, after : sympy expression or matrix
        The two sides.
    rule : Rule
        What leads from `before` to `after` (`pctheory.symbolic.rules`).
    where : mapping of symbol to expression
        Abbreviations used on both sides. A definition may use the abbreviations that stand before it.
    given : str, optional
        The premise that `before` is, in words. The same words name the same expression in all of a
        derivation.
    follows : str, optional
        The label of the earlier step whose result `before` is.
    using : mapping of str to symbol or sequence of symbols
        Earlier results (labels or premises) and the symbols that stand for their entries in this step:
        abbreviations of `where`, or symbols that the rule inserts values for. The derivation checks these
        values.
    label : str, optional
        A name for the result, by which later steps refer to it.

    Raises
    ------
    ValueError
        If `after` does not follow from `before` under the rule, or if both sides are the same expression and
        the rule says nothing else.

    Examples
    --------
    >>> from pctheory.symbolic.rules import differentiate
    >>> x = sp.Symbol("x")
    >>> Step("the slope", x**2, 2 * x, differentiate(x)).after
    2*x
    >>> Step("a wrong slope", x**2, x, differentiate(x))
    Traceback (most recent call last):
    ...
    ValueError: Each step must follow from its left side under its rule. Step `a wrong slope` ... leaves x:
    correct ...
    """

    statement: str
    before: Expression
    after: Expression
    rule: Rule
    where: Mapping[sp.Symbol, sp.Expr] = field(default_factory=dict)
    _: KW_ONLY
    given: str | None = None
    follows: str | None = None
    using: Mapping[str, Symbols] = field(default_factory=dict)
    label: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "before", _frozen(self.before))
        object.__setattr__(self, "after", _frozen(self.after))
        object.__setattr__(self, "where", MappingProxyType(dict(self.where)))
        named = {
            label: (symbols,) if isinstance(symbols, sp.Symbol) else tuple(symbols)
            for label, symbols in self.using.items()
        }
        object.__setattr__(self, "using", MappingProxyType(named))
        before, after = self.expand(self.before), self.expand(self.after)
        try:
            defect = self.expand(self.rule.defect(before, after))
        except ValueError as error:
            raise ValueError(
                f"Step `{self.statement}` ({self.rule.name}) cannot be checked. {error}"
            ) from None
        if not vanishes(defect):
            raise ValueError(
                "Each step must follow from its left side under its rule. "
                f"Step `{self.statement}` ({self.rule.name}) leaves {_short(defect)}: correct its right side."
            )
        if self.rule.equates and before == after and not self._is_formula():
            raise ValueError(
                f"Each step must lead to another expression. Step `{self.statement}` ({self.rule.name}) has "
                f"{_short(after)} on both sides: leave it out."
            )

    def _is_formula(self) -> bool:
        """Whether the left side is a formula in results that `using` names, and not one of them repeated."""
        named = {symbol for symbols in self.using.values() for symbol in symbols}
        bare = all(entry in named for entry in entries(self.before))
        return not bare and self.before.has(*named) if named else False

    def expand(self, expression: Expression) -> Expression:
        """Replace every abbreviation by its definition.

        Parameters
        ----------
        expression : sympy expression or matrix
            May have abbreviations from `where` of this step.

        Returns
        -------
        sympy expression or matrix
            The same, without the abbreviations of this step.
        """
        for symbol, definition in reversed(list(self.where.items())):
            if expression.has(symbol):
                expression = expression.xreplace({symbol: sp.sympify(definition)})
        return expression

    def value(self, symbol: sp.Symbol) -> sp.Expr | None:
        """Look up what a symbol stands for in this step.

        Parameters
        ----------
        symbol : sympy symbol
            An abbreviation, or a symbol that the rule replaces.

        Returns
        -------
        sympy expression or None
            Its definition in `where` or the value that the rule inserts for it, written out; None when it has
            neither.
        """
        found = self.where.get(symbol, self.rule.values.get(symbol))
        return None if found is None else self.expand(sp.sympify(found))


def _short(expression: Expression) -> str:
    found = [entry for entry in entries(expression) if not vanishes(entry)] or [sp.S.Zero]
    text = str(sp.factor_terms(found[0]))
    return text if len(text) <= 200 else text[:200] + " ..."


@dataclass(frozen=True)
class _Source:
    """A premise or a result: its expression, the step with its abbreviations, its name for the reader."""

    expression: Expression
    step: Step
    name: str

    def agrees(self, other: Expression, step: Step) -> bool:
        """Whether a step that starts from `other`, or inserts it, has this expression.

        The step may give letters of the expression a value in its `where`; it may leave an abbreviation of
        the source as a letter, which stands for anything then.

        Parameters
        ----------
        other : sympy expression or matrix
            What the step starts from or inserts.
        step : Step
            The step that uses this source.

        Returns
        -------
        bool
        """
        return same(step.expand(self.step.expand(self.expression)), self.step.expand(other))


@dataclass(frozen=True)
class Derivation:
    r"""A result, with the checked steps that lead to it from its premises.

    `derivation["label"]` is the step with that label.

    Parameters
    ----------
    claim : str
        The id of the claim in the catalogue.
    title : str
        What is derived, and for which networks.
    steps : sequence of Step
        The last one ends in the result.

    Raises
    ------
    ValueError
        If there is no step, if a step comes from nowhere, or if it is not what it says it continues.

    Examples
    --------
    >>> from pctheory.symbolic.rules import differentiate, solve
    >>> z, x = sp.symbols("z x")
    >>> energy = (z - x) ** 2 / 2
    >>> proof = Derivation("toy", "One activity", (
    ...     Step("The gradient", energy, z - x, differentiate(z), given="the energy"),
    ...     Step("It vanishes at one point", z - x, x, solve(z)),
    ... ))
    >>> proof
    One activity (toy)
    Given the energy: (-x + z)**2/2
    1. The gradient (differentiate in $z$): -x + z
    2. It vanishes at one point (solve for $z$): x
    >>> proof.result, float(proof.lambdify(x)(2.0))
    (x, 2.0)
    """

    claim: str
    title: str
    steps: tuple[Step, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", tuple(self.steps))
        if not self.steps:
            raise ValueError("`steps` must hold at least one step. Got none: state what is derived.")
        sources: dict[str, _Source] = {}
        previous: _Source | None = None
        for number, step in enumerate(self.steps, start=1):
            _check_origin(step, sources, previous)
            _check_values(step, sources)
            if step.given is not None:
                sources.setdefault(step.given, _Source(step.before, step, step.given))
            previous = _Source(step.after, step, f"step {number}")
            if step.label in sources:
                raise ValueError(
                    f"Each `label` must be new. Got `{step.label}` a second time in step {number}: rename it."
                )
            if step.label is not None:
                sources[step.label] = previous
        object.__setattr__(self, "_sources", MappingProxyType(sources))

    def __getitem__(self, label: str) -> Step:
        for step in self.steps:
            if step.label == label:
                return step
        labels = ", ".join(f"`{step.label}`" for step in self.steps if step.label is not None)
        raise KeyError(f"`label` must be one of {labels}. Got {label!r}.")

    @property
    def premises(self) -> dict[str, Expression]:
        """The premises in the order of their use: words to expression, abbreviations written out."""
        found: dict[str, Expression] = {}
        for step in self.steps:
            if step.given is not None:
                found.setdefault(step.given, step.expand(step.before))
        return found

    @property
    def result(self) -> Expression:
        """The expression that the last step ends in, abbreviations written out."""
        return self.steps[-1].expand(self.steps[-1].after)

    def lambdify(self, *symbols: sp.Symbol) -> Callable[..., Any]:
        """Turn the result into a numpy function.

        Parameters
        ----------
        *symbols : sympy symbols
            Its arguments, in this order; all symbols of the result, sorted by name, when none is given.

        Returns
        -------
        callable
            A function of numbers or arrays.
        """
        arguments = symbols or tuple(sorted(self.result.free_symbols, key=str))
        return sp.lambdify(arguments, self.result, modules="numpy")

    def to_latex(self) -> str:
        r"""Write the derivation as a LaTeX fragment: a heading, and an enumeration of displayed formulas.

        Returns
        -------
        str
            Premises are items that start with the word Given, steps are numbered.
        """
        return _display.fragment(self)

    def origin(self, step: Step) -> str:
        """Say in words where the left side of a step comes from.

        Parameters
        ----------
        step : Step
            One of the derivation's.

        Returns
        -------
        str
            Empty where it continues the step before it, or states its premise for the first time.
        """
        source = step.follows or step.given
        if source is None or (step.given is not None and self.sources[source].step is step):
            return ""
        return f"from {self.sources[source].name}"

    @property
    def sources(self) -> Mapping[str, _Source]:
        """Premises and labelled results by name."""
        found: Mapping[str, _Source] = self.__dict__["_sources"]
        return found

    def _repr_latex_(self) -> str:
        return _display.notebook(self)

    def __repr__(self) -> str:
        return _display.text(self)


def _check_origin(step: Step, sources: Mapping[str, _Source], previous: _Source | None) -> None:
    """Refuse a left side that is no premise, no earlier result and no formula in such results."""
    before = step.expand(step.before)
    if step.given is not None and step.follows is not None:
        raise ValueError(
            f"Each step must have one origin. Step `{step.statement}` has `given` and `follows`: keep one "
            "of them."
        )
    if step.given is not None:
        if step.given in sources and not sources[step.given].agrees(before, step):
            raise ValueError(
                f"The premise `{step.given}` must be the same expression wherever it is used. "
                f"Step `{step.statement}` starts from {_short(before)}: correct it or name another premise."
            )
        return
    if step.follows is not None:
        source = _look_up(step, step.follows, sources)
    elif any(step.before.has(symbol) for symbols in step.using.values() for symbol in symbols):
        return  # a formula in earlier results
    elif previous is None:
        raise ValueError(
            "Each step must start from a premise or from an earlier result. "
            f"Step `{step.statement}` is the first and has no premise: say what is `given`."
        )
    else:
        source = previous
    if not source.agrees(before, step):
        raise ValueError(
            "Each step must start from a premise or from an earlier result. "
            f"Step `{step.statement}` starts from {_short(before)}, which is not the result of "
            f"{source.name}: "
            "name its premise with `given` or the step it continues with `follows`."
        )


def _check_values(step: Step, sources: Mapping[str, _Source]) -> None:
    """Refuse a symbol that is said to stand for an earlier result and has another value."""
    for label, symbols in step.using.items():
        source = _look_up(step, label, sources)
        found = entries(source.expression)
        if len(found) != len(symbols):
            raise ValueError(
                f"`using` must name every entry of `{label}`. Step `{step.statement}` has {len(symbols)} "
                "symbols for "
                f"{len(found)} entries."
            )
        values = [step.value(symbol) for symbol in symbols]
        if all(value is None for value in values):
            raise ValueError(
                f"`using` must name symbols that the step defines. Step `{step.statement}` has no value "
                "for those of "
                f"`{label}`: give them in `where` or insert them."
            )
        for symbol, value, entry in zip(symbols, values, found, strict=True):
            if value is not None and not _Source(entry, source.step, label).agrees(value, step):
                raise ValueError(
                    f"Each value must be the result it stands for. Step `{step.statement}` has "
                    f"{_short(value)} for "
                    f"`{symbol}`, which is not the entry of `{label}`: correct it."
                )


def _look_up(step: Step, label: str, sources: Mapping[str, _Source]) -> _Source:
    if label not in sources:
        known = ", ".join(f"`{name}`" for name in sources) or "none so far"
        raise ValueError(
            f"Each step must continue a premise or a labelled step before it ({known}). "
            f"Step `{step.statement}` names `{label}`."
        )
    return sources[label]
