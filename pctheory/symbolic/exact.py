r"""Exact arithmetic: is an expression zero, the solution of a linear system, a determinant, an inverse.

sympy's polynomial rings and domain matrices do the work, over the rationals; nothing is sampled and nothing
is rounded. They are two to three orders of magnitude faster than `sympy.simplify` and `sympy.solve` on the
same expressions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, TypeAlias

import sympy as sp
from sympy.polys.matrices import DomainMatrix
from sympy.polys.rings import ring

Expression: TypeAlias = sp.Expr | sp.MatrixBase


def entries(expression: Expression) -> tuple[sp.Expr, ...]:
    """The entries of a matrix row by row, or the one entry of a scalar.

    Parameters
    ----------
    expression : sympy expression or matrix
        What to take apart; a scalar counts as one entry.

    Returns
    -------
    tuple of sympy expressions
    """
    return tuple(expression) if isinstance(expression, sp.MatrixBase) else (expression,)


def vanishes(expression: Expression) -> bool:
    r"""Whether an expression (every entry of a matrix) is identically zero, decided exactly.

    Rational functions: the numerator over a common denominator is expanded in $\mathbb{Q}[\text{symbols}]$.
    Cost: the number of its terms. Anything else (roots, trigonometric functions) goes through `sympy.expand`
    and `sympy.simplify`; what sympy cannot reduce counts as not zero, so that nothing is accepted for lack of
    a proof.

    Parameters
    ----------
    expression : sympy expression or matrix
        What to compare with zero, entry by entry.

    Returns
    -------
    bool

    Examples
    --------
    >>> x, y = sp.symbols("x y")
    >>> vanishes((x**2 - y**2) / (x - y) - x - y), vanishes(x / y - y / x)
    (True, False)
    >>> vanishes(sp.sqrt(x**2 + 1) ** 2 - x**2 - 1), vanishes(sp.sqrt(2) - 1)
    (True, False)
    """
    return all(_is_zero(entry) for entry in entries(expression))


def _is_zero(entry: sp.Expr) -> bool:
    if entry == 0:
        return True
    symbols = sorted(entry.free_symbols, key=str)
    if not all(symbol.is_commutative for symbol in symbols):
        return bool(sp.expand(entry) == 0)
    try:
        return _RationalFunction(symbols).is_zero(entry)
    except _NotRational:
        ways = (sp.expand, lambda e: sp.expand(e, complex=True), sp.simplify)
        return any(way(entry) == 0 for way in ways)


def same(one: Expression, other: Expression) -> bool:
    r"""Decide exactly whether two expressions (or matrices of one shape) are equal.

    Parameters
    ----------
    one, other : sympy expression or matrix
        A scalar counts as a matrix with one entry.

    Returns
    -------
    bool

    Examples
    --------
    >>> x = sp.Symbol("x")
    >>> same((x + 1) ** 2, x**2 + 2 * x + 1), same(x, 2 * x)
    (True, False)
    """
    if shape(one) != shape(other):
        return False
    pairs = zip(entries(one), entries(other), strict=True)
    return all(first == second or _is_zero(first - second) for first, second in pairs)


def shape(expression: Expression) -> tuple[int, int]:
    """Return rows and columns; a scalar is a matrix with one entry.

    Parameters
    ----------
    expression : sympy expression or matrix
        What to measure.

    Returns
    -------
    tuple of two int
    """
    return tuple(expression.shape) if isinstance(expression, sp.MatrixBase) else (1, 1)


def gradient(expression: sp.Expr, symbols: Sequence[sp.Symbol]) -> sp.Matrix:
    r"""Return the derivatives in the given symbols as a column, numerical factors collected.

    Parameters
    ----------
    expression : sympy expression
        A scalar, to be differentiated.
    symbols : sequence of sympy symbols
        What to differentiate in, in the order of the rows.

    Returns
    -------
    sympy Matrix, one row for each symbol

    Examples
    --------
    >>> x, y, p = sp.symbols("x y p")
    >>> (p * (x - y) ** 2 / 2).diff(x), gradient(p * (x - y) ** 2 / 2, [x])[0]
    (p*(2*x - 2*y)/2, p*(x - y))
    """
    return sp.Matrix([tidy(expression.diff(symbol)) for symbol in symbols])


def tidy(expression: sp.Expr) -> sp.Expr:
    r"""Take the common numerical factor out of every sum, so that it cancels against the factors around it.

    Parameters
    ----------
    expression : sympy expression
        A scalar whose sums may have numerical factors in common.

    Returns
    -------
    sympy expression, equal to the first

    Examples
    --------
    >>> x, y, p = sp.symbols("x y p")
    >>> tidy(p * (2 * x - 2 * y) / 2), tidy(x / (2 * x + 2))
    (p*(x - y), x/(2*(x + 1)))
    """
    if expression.is_Atom:
        return expression
    arguments = [tidy(argument) for argument in expression.args]
    if expression.is_Mul:
        number = sp.S.One
        for place, argument in enumerate(arguments):
            if argument.is_Add:
                content, arguments[place] = argument.primitive()
                number *= content
        return sp.Mul(number, *arguments)
    if expression.is_Pow and arguments[0].is_Add and arguments[1].is_Integer:
        content, base = arguments[0].primitive()
        return content ** arguments[1] * base ** arguments[1]
    return expression.func(*arguments)


class _NotRational(Exception):
    """A root, a function or a symbolic power: the polynomial ring cannot hold the expression."""


_Fraction = tuple[Any, dict[Any, int]]


class _RationalFunction:
    """Numerators over a common denominator that stays factored: no greatest common divisor is ever computed.

    A denominator is a map from monic polynomials to powers, so that terms over powers of the same polynomial
    (the rescaling, most often) meet over the highest of these powers. `sympy.together` gives the same
    numerators 10-50 times slower.
    """

    def __init__(self, symbols: Sequence[sp.Symbol]) -> None:
        self.ring, *generators = ring(symbols or [sp.Dummy()], sp.QQ)
        self.known: dict[sp.Expr, _Fraction] = {
            symbol: (generator, {}) for symbol, generator in zip(symbols, generators, strict=False)
        }

    def is_zero(self, expression: sp.Expr) -> bool:
        return not self.fraction(expression)[0]

    def fraction(self, expression: sp.Expr) -> _Fraction:
        if expression not in self.known:
            self.known[expression] = self._read(expression)
        return self.known[expression]

    def _read(self, expression: sp.Expr) -> _Fraction:
        if expression.is_Rational:
            return self.ring(sp.QQ.from_sympy(expression)), {}
        if expression.is_Add:
            return self._sum([self.fraction(term) for term in expression.args])
        if expression.is_Mul:
            numerator, denominator = self.ring.one, Counter[Any]()
            for factor in expression.args:
                top, bottom = self.fraction(factor)
                numerator *= top
                denominator.update(bottom)
            return numerator, dict(denominator)
        if not (expression.is_Pow and expression.exp.is_Integer):
            raise _NotRational
        base, power = self.fraction(expression.base), int(expression.exp)
        top, bottom = base if power > 0 else self._reciprocal(base)
        return top ** abs(power), {factor: count * abs(power) for factor, count in bottom.items()}

    def _sum(self, terms: Sequence[_Fraction]) -> _Fraction:
        common: dict[Any, int] = {}
        for _, bottom in terms:
            for factor, count in bottom.items():
                common[factor] = max(count, common.get(factor, 0))
        total = self.ring.zero
        for top, bottom in terms:
            for factor, count in common.items():
                missing = count - bottom.get(factor, 0)
                top = top * factor**missing if missing else top
            total += top
        return total, common

    def _reciprocal(self, fraction: _Fraction) -> _Fraction:
        top, bottom = fraction
        if not top:
            raise ValueError("An expression must be defined. Got a denominator that is identically zero.")
        numerator = self.ring.one
        for factor, count in bottom.items():
            numerator *= factor**count
        return numerator.quo_ground(top.LC), {top.monic(): 1}


def solution(equations: Sequence[sp.Expr], unknowns: Sequence[sp.Symbol]) -> sp.Matrix:
    r"""The one solution of a linear system `equations = 0`, a column, by elimination.

    Parameters
    ----------
    equations : sequence of sympy expressions
        As many as there are unknowns, linear in them.
    unknowns : sequence of sympy symbols
        What to solve for, in the order of the rows.

    Returns
    -------
    sympy Matrix, one row for each unknown

    Examples
    --------
    >>> u, v, a = sp.symbols("u v a")
    >>> solution([u + a * v - 1, u - v], [u, v]).T
    Matrix([[1/(a + 1), 1/(a + 1)]])
    """
    if not unknowns:
        return sp.zeros(0, 1)
    matrix, right = sp.linear_eq_to_matrix(list(equations), list(unknowns))
    left_hand, right_hand = matrix.to_DM().unify(right.to_DM())
    numerator, denominator = left_hand.to_field().solve_den(right_hand.to_field())
    return (numerator / denominator).to_Matrix()


def determinant(matrix: sp.MatrixBase) -> sp.Expr:
    r"""The determinant, by fraction-free elimination.

    Parameters
    ----------
    matrix : square sympy matrix
        Numbers or expressions as entries.

    Returns
    -------
    sympy expression

    Examples
    --------
    >>> a, b = sp.symbols("a b")
    >>> determinant(sp.Matrix([[a, b], [b, a]]))
    a**2 - b**2
    """
    if not matrix.rows:
        return sp.S.One
    domain_matrix: DomainMatrix = matrix.to_DM()
    return domain_matrix.domain.to_sympy(domain_matrix.det())


def inverse(matrix: sp.MatrixBase) -> sp.Matrix:
    r"""The inverse in the field of fractions.

    Parameters
    ----------
    matrix : square sympy matrix
        Numbers or expressions as entries; its determinant is not identically zero.

    Returns
    -------
    sympy Matrix

    Examples
    --------
    >>> a = sp.Symbol("a")
    >>> inverse(sp.Matrix([[1, a], [0, 1]]))
    Matrix([
    [1, -a],
    [0,  1]])
    """
    return matrix.to_DM().to_field().inv().to_Matrix()


def characteristic_polynomial(matrix: sp.MatrixBase, variable: sp.Symbol) -> sp.Expr:
    r"""$\det(\lambda I - M)$, monic in the variable.

    Parameters
    ----------
    matrix : square sympy matrix
        M.
    variable : sympy symbol
        $\lambda$.

    Returns
    -------
    sympy expression, expanded

    Examples
    --------
    >>> t = sp.Symbol("t")
    >>> characteristic_polynomial(sp.Matrix([[0, 1], [1, 0]]), t)
    t**2 - 1
    """
    domain_matrix: DomainMatrix = matrix.to_DM()
    coefficients = [domain_matrix.domain.to_sympy(entry) for entry in domain_matrix.charpoly()]
    degree = len(coefficients) - 1
    return sp.Add(*(entry * variable ** (degree - power) for power, entry in enumerate(coefficients)))
