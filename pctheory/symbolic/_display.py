r"""How a derivation is shown: plain text, LaTeX for the paper, LaTeX for a notebook."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import sympy as sp
from sympy.printing.latex import LatexPrinter

from .exact import Expression, tidy

Derivation: TypeAlias = Any
Step: TypeAlias = Any
# The values of `pctheory.symbolic.derivation`, which imports this module.

_LINE = 80
_COMMANDS = re.compile(r"\\[a-zA-Z]+|[{}_^&\s]")
_TERMS = 12


class _Printer(LatexPrinter):  # type: ignore[misc]
    """sympy's LaTeX with a positive term first in a sum, and numbers before the brackets of a denominator."""

    def _as_ordered_terms(self, expression: sp.Expr, order: str | None = None) -> list[sp.Expr]:
        terms = list(super()._as_ordered_terms(expression, order))
        first = next((i for i, term in enumerate(terms) if not term.could_extract_minus_sign()), 0)
        return [terms[first], *terms[:first], *terms[first + 1 :]]

    def _print_Mul(self, expression: sp.Expr) -> str:
        number, rest = expression.as_coeff_Mul()
        numerator, denominator = sp.fraction(rest)
        if not number.is_Rational or number.q == 1 or not denominator.has(sp.Add):
            return str(super()._print_Mul(expression))
        sign = "- " if number.p < 0 else ""
        below = self._print(sp.Mul(number.q, *sp.Mul.make_args(denominator), evaluate=False))
        return rf"{sign}\frac{{{self._print(abs(number.p) * numerator)}}}{{{below}}}"


def latex(expression: sp.Basic, order: str | None = None) -> str:
    """Write an expression as LaTeX.

    Parameters
    ----------
    expression : sympy object
        What to write; also a matrix.
    order : str, optional
        The order of the terms of a sum, as sympy names it.

    Returns
    -------
    str
    """
    return str(_Printer({"order": order}).doprint(expression))


def text(derivation: Derivation) -> str:
    """Write premises and steps one below the other, with their results in sympy's notation."""
    lines = [f"{derivation.title} ({derivation.claim})"]
    for number, step, premise in _items(derivation):
        if premise:
            lines.append(f"Given {step.given}: {_cut(step.before)}")
        origin = derivation.origin(step)
        rule = step.rule.name + (f", {origin}" if origin else "")
        lines.append(f"{number}. {step.statement} ({rule}): {_cut(step.after)}")
    return "\n".join(lines)


def fragment(derivation: Derivation) -> str:
    r"""Write a `\paragraph` and an `enumerate` whose items are the premises and the steps."""
    shown: set[str] = set()
    lines = [rf"\paragraph{{{derivation.title}.}}", r"\begin{enumerate}"]
    for _, step, premise in _items(derivation):
        if premise:
            lines += [rf"\item[Given] {step.given}", *_displayed(_premise_lines(derivation, step, shown))]
        origin = derivation.origin(step)
        rule = rf"\emph{{{step.rule.name}}}" + (f", {origin}" if origin else "")
        lines += [rf"\item {step.statement} ({rule})", *_displayed(_step_lines(derivation, step, shown))]
    return "\n".join([*lines, r"\end{enumerate}"])


def notebook(derivation: Derivation) -> str:
    """Write the derivation as one formula, which is what a notebook shows."""
    shown: set[str] = set()
    rows = [rf"\textbf{{{derivation.title}}}"]
    for number, step, premise in _items(derivation):
        if premise:
            rows.append(rf"\text{{Given {step.given}}}")
            rows += [r"\quad " + line.replace("&", "") for line in _premise_lines(derivation, step, shown)]
        origin = derivation.origin(step)
        rule = step.rule.name + (f", {origin}" if origin else "")
        rows.append(rf"\text{{{number}. {step.statement} ({rule})}}")
        rows += [r"\quad " + line.replace("&", "") for line in _step_lines(derivation, step, shown)]
    return r"$\displaystyle \begin{aligned} " + r" \\ ".join(f"& {row}" for row in rows) + r" \end{aligned}$"


def _items(derivation: Derivation) -> Iterator[tuple[int, Step, bool]]:
    """Each step with its number, and whether its premise is stated here for the first time."""
    for number, step in enumerate(derivation.steps, start=1):
        yield number, step, step.given is not None and derivation.sources[step.given].step is step


def _displayed(lines: Sequence[str]) -> list[str]:
    return [r"\begin{align*}", r" \\ ".join(lines), r"\end{align*}"]


def _cut(expression: Expression) -> str:
    if isinstance(expression, sp.MatrixBase):
        written = str(expression.tolist()) if expression.cols > 1 else str(list(expression))
    else:
        written = str(expression)
    return written if len(written) <= _LINE else written[:_LINE] + " ..."


def _premise_lines(derivation: Derivation, step: Step, shown: set[str]) -> list[str]:
    return ["&" + _latex(step.before), *_definitions(derivation, step, step.before.free_symbols, shown)]


def _step_lines(derivation: Derivation, step: Step, shown: set[str]) -> list[str]:
    """The display of a step: on one line where it fits, else one line for each side; abbreviations last."""
    left, right = step.rule.to_latex(_latex(step.before), _latex(step.after))
    fits = len(_COMMANDS.sub("", left + right)) <= _LINE
    lines = [f"&{left} {right}"] if fits else [f"&{left}", rf"&\quad {right}"]
    return lines + _definitions(derivation, step, step.before.free_symbols | step.after.free_symbols, shown)


def _definitions(derivation: Derivation, step: Step, symbols: set[sp.Symbol], shown: set[str]) -> list[str]:
    """What the abbreviations in use stand for: a formula, if it is not shown yet, or an earlier step."""
    named = {symbol: label for label, group in step.using.items() for symbol in group}
    used = set(symbols)
    for symbol, value in reversed(list(step.where.items())):
        if symbol in used and symbol not in named:
            used |= sp.sympify(value).free_symbols
    formulas = [
        f"{latex(symbol)} = {_latex(sp.sympify(value))}"
        for symbol, value in step.where.items()
        if symbol in used and symbol not in named
    ]
    formulas = [formula for formula in formulas if formula not in shown]
    shown.update(formulas)
    for label, group in step.using.items():
        found = [latex(symbol) for symbol in group if symbol in used and symbol in step.where]
        if found:
            formulas.append(rf"{', '.join(found)} \text{{ from {derivation.sources[label].name}}}")
    if not formulas:
        return []
    return [r"&\text{with}\quad " + r",\quad ".join(group) for group in _grouped(formulas)]


def _grouped(formulas: Sequence[str]) -> list[list[str]]:
    groups: list[list[str]] = [[]]
    for formula in formulas:
        if groups[-1] and sum(map(len, groups[-1])) + len(formula) > _LINE:
            groups.append([])
        groups[-1].append(formula)
    return groups


def _latex(expression: Expression) -> str:
    r"""LaTeX; a sum of more than twelve terms shows only its first and last ones."""
    if isinstance(expression, sp.MatrixBase) and expression.shape == (1, 1):
        return _latex(expression[0, 0])
    if isinstance(expression, sp.MatrixBase):
        rows = [" & ".join(_latex(entry) for entry in expression.row(i)) for i in range(expression.rows)]
        return r"\begin{pmatrix} " + r" \\ ".join(rows) + r" \end{pmatrix}"
    expression = tidy(expression) if expression.is_commutative else expression
    numerator, denominator = sp.fraction(expression)
    if denominator != 1 and expression.is_commutative and max(map(_terms, (numerator, denominator))) > _TERMS:
        return rf"\frac{{{_latex(numerator)}}}{{{_latex(denominator)}}}"
    if expression.is_Add and len(expression.args) > _TERMS:
        terms = expression.as_ordered_terms()
        kept = latex(sp.Add(*terms[:3], evaluate=False), order="none")
        return rf"{kept} + \cdots + \left({latex(terms[-1])}\right)"
    return latex(expression)


def _terms(expression: sp.Expr) -> int:
    return len(sp.Add.make_args(expression))
