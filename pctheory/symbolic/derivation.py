r"""The `Derivation` value: a proof as named steps, each of them checked exactly when it is built."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import sympy as sp

from .exact import Expression, entries, vanishes
from .rules import Rule

_LINE = 80
_COMMANDS = re.compile(r"\\[a-zA-Z]+|[{}_^&\s]")
_TERMS = 12


def _frozen(expression: Any) -> Expression:
    if isinstance(expression, sp.MatrixBase):
        return sp.ImmutableDenseMatrix(expression)
    return sp.sympify(expression)


@dataclass(frozen=True)
class Step:
    r"""One step: what is claimed, the expression before and after, the rule, and the abbreviations used on both sides.

    Parameters
    ----------
    statement : what the step says, in words with LaTeX between dollars
    before, after : expressions or matrices
    rule : the rule that leads from `before` to `after` (`pctheory.symbolic.rules`)
    where : abbreviation -> its definition, which may use the abbreviations named before it

    Raises
    ------
    ValueError
        If `after` does not follow from `before` under the rule; the message names the step.

    Examples
    --------
    >>> from pctheory.symbolic.rules import differentiate
    >>> x = sp.Symbol("x")
    >>> Step("the slope", x**2, 2 * x, differentiate(x)).after
    2*x
    >>> Step("a wrong slope", x**2, x, differentiate(x))
    Traceback (most recent call last):
    ...
    ValueError: Each step must follow from its left side under its rule. Step `a wrong slope` (differentiate in $x$) leaves x: correct its right side.
    """

    statement: str
    before: Expression
    after: Expression
    rule: Rule
    where: Mapping[sp.Symbol, sp.Expr] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "before", _frozen(self.before))
        object.__setattr__(self, "after", _frozen(self.after))
        object.__setattr__(self, "where", MappingProxyType(dict(self.where)))
        try:
            defect = self.rule.defect(self.expand(self.before), self.expand(self.after))
        except ValueError as error:
            raise ValueError(
                f"Step `{self.statement}` ({self.rule.name}) cannot be checked. {error}"
            ) from None
        if not vanishes(defect):
            raise ValueError(
                "Each step must follow from its left side under its rule. "
                f"Step `{self.statement}` ({self.rule.name}) leaves {_short(defect)}: correct its right side."
            )

    def expand(self, expression: Expression) -> Expression:
        """The expression with every abbreviation replaced by its definition."""
        for symbol, definition in reversed(list(self.where.items())):
            if expression.has(symbol):
                expression = expression.xreplace({symbol: sp.sympify(definition)})
        return expression


def _short(defect: Expression) -> str:
    text = str(next(sp.factor_terms(entry) for entry in entries(defect) if not vanishes(entry)))
    return text if len(text) <= 200 else text[:200] + " ..."


@dataclass(frozen=True)
class Derivation:
    r"""A result with the checked steps that lead to it from its premise.

    Parameters
    ----------
    claim : the id of the claim in the catalogue
    title : what is derived, and for which networks
    steps : `Step` values; the last one ends in the result

    Examples
    --------
    >>> from pctheory.symbolic.rules import differentiate, solve
    >>> z, x = sp.symbols("z x")
    >>> energy = (z - x) ** 2 / 2
    >>> proof = Derivation("toy", "One activity", (
    ...     Step("the gradient", energy, z - x, differentiate(z)),
    ...     Step("its zero", z - x, x, solve(z)),
    ... ))
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

    @property
    def premise(self) -> Expression:
        """The expression that the first step starts from, abbreviations written out."""
        return self.steps[0].expand(self.steps[0].before)

    @property
    def result(self) -> Expression:
        """The expression that the last step ends in, abbreviations written out."""
        return self.steps[-1].expand(self.steps[-1].after)

    def lambdify(self, *symbols: sp.Symbol) -> Callable[..., Any]:
        """The result as a numpy function of the given symbols (all of its symbols by name, when none is given)."""
        arguments = symbols or tuple(sorted(self.result.free_symbols, key=str))
        return sp.lambdify(arguments, self.result, modules="numpy")

    def to_latex(self) -> str:
        r"""The derivation as a LaTeX fragment: a heading and an enumeration of displayed formulas."""
        lines = [rf"\paragraph{{{self.title}.}}", r"\begin{enumerate}"]
        for step in self.steps:
            lines += [rf"\item {step.statement} (\emph{{{step.rule.name}}})", r"\begin{align*}"]
            lines += [r" \\ ".join(_formula_lines(step)), r"\end{align*}"]
        return "\n".join([*lines, r"\end{enumerate}"])

    def _repr_latex_(self) -> str:
        rows = [rf"\textbf{{{self.title}}}"]
        for number, step in enumerate(self.steps, start=1):
            rows.append(rf"\text{{{number}. {step.statement} ({step.rule.name})}}")
            rows += [r"\quad " + line.replace("&", "") for line in _formula_lines(step)]
        return (
            r"$\displaystyle \begin{aligned} " + r" \\ ".join(f"& {row}" for row in rows) + r" \end{aligned}$"
        )

    def __repr__(self) -> str:
        return f"Derivation({self.claim!r}, {self.title!r}, {len(self.steps)} steps)"


def _formula_lines(step: Step) -> Sequence[str]:
    """The display of a step: on one line where it fits, else one line for each side; abbreviations last."""
    left, right = step.rule.to_latex(_latex(step.before), _latex(step.after))
    fits = len(_COMMANDS.sub("", left + right)) <= _LINE
    lines = [f"{left} {right}"] if fits else [left, rf"\quad {right}"]
    used = step.before.free_symbols | step.after.free_symbols
    for symbol, value in reversed(list(step.where.items())):
        used |= sp.sympify(value).free_symbols if symbol in used else set()
    definitions = [
        f"{sp.latex(symbol)} = {_latex(value)}" for symbol, value in step.where.items() if symbol in used
    ]
    if definitions:
        lines += [r"\text{with}\quad " + r",\quad ".join(group) for group in _grouped(definitions)]
    return ["&" + line for line in lines]


def _grouped(formulas: Sequence[str]) -> list[list[str]]:
    groups: list[list[str]] = [[]]
    for formula in formulas:
        if groups[-1] and sum(map(len, groups[-1])) + len(formula) > _LINE:
            groups.append([])
        groups[-1].append(formula)
    return groups


def _latex(expression: Expression) -> str:
    r"""LaTeX; a sum of more than twelve terms shows its first and last ones, since the check has read all of them."""
    if isinstance(expression, sp.MatrixBase) and expression.shape == (1, 1):
        return _latex(expression[0, 0])
    if isinstance(expression, sp.MatrixBase):
        rows = [" & ".join(_latex(entry) for entry in expression.row(i)) for i in range(expression.rows)]
        return r"\begin{pmatrix} " + r" \\ ".join(rows) + r" \end{pmatrix}"
    numerator, denominator = sp.fraction(sp.sympify(expression))
    if denominator != 1 and expression.is_commutative and max(map(_terms, (numerator, denominator))) > _TERMS:
        return rf"\frac{{{_latex(numerator)}}}{{{_latex(denominator)}}}"
    if expression.is_Add and len(expression.args) > _TERMS:
        terms = expression.as_ordered_terms()
        kept = sp.latex(sp.Add(*terms[:3], evaluate=False), order="none")
        return rf"{kept} + \cdots + \left({sp.latex(terms[-1])}\right)"
    return str(sp.latex(expression))


def _terms(expression: sp.Expr) -> int:
    return len(sp.Add.make_args(expression))
