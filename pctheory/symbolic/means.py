r"""Rules of integrals, limits, means and signs."""

from __future__ import annotations

from collections.abc import Mapping

import sympy as sp

from .exact import Expression, entries
from .rules import Rule, names, outcome


def integrate(symbol: sp.Symbol) -> Rule:
    r"""The integral over the real line, by sympy.

    Parameters
    ----------
    symbol : sympy symbol
        The variable of integration.

    Returns
    -------
    Rule
    """
    return Rule(
        f"integrate over ${sp.latex(symbol)}$",
        outcome(lambda before: sp.integrate(before, (symbol, -sp.oo, sp.oo))),
        rf"\int_{{-\infty}}^{{\infty}} <before>\, d{sp.latex(symbol)}",
    )


def limit(symbol: sp.Symbol, point: sp.Expr) -> Rule:
    r"""The limit of every entry as the symbol tends to the point.

    Parameters
    ----------
    symbol : sympy symbol
        What tends to the point.
    point : sympy expression
        A number, an expression or infinity.

    Returns
    -------
    Rule
    """

    def operation(before: Expression) -> Expression:
        if isinstance(before, sp.MatrixBase):
            return before.applyfunc(lambda entry: sp.limit(entry, symbol, point))
        return sp.limit(before, symbol, point)

    arrow = rf"{sp.latex(symbol)} \to {sp.latex(sp.sympify(point))}"
    return Rule(
        f"limit ${arrow}$",
        outcome(operation),
        rf"\lim_{{{arrow}}}\left[<before>\right]",
    )


def average(moments: Mapping[sp.Expr, sp.Expr]) -> Rule:
    r"""The mean over the batch: a quadratic form of the data goes to the same form of its second moments.

    Parameters
    ----------
    moments : mapping of product to symbol
        Each product of two data symbols with the symbol of its mean, such as `{x**2: S_xx, x * y: S_xy}`.

    Returns
    -------
    Rule
    """
    data = sorted(set().union(*(pair.free_symbols for pair in moments)), key=str)

    def mean(entry: sp.Expr) -> sp.Expr:
        numerator, denominator = sp.fraction(sp.together(entry))
        polynomial = sp.Poly(numerator, *data)
        total = sp.S.Zero
        for powers, coefficient in polynomial.terms():
            if coefficient == 0:
                continue
            monomial = sp.Mul(*(symbol**power for symbol, power in zip(data, powers, strict=True)))
            if monomial not in moments:
                raise ValueError(f"`average` must get a quadratic form of the data. Got the term {monomial}.")
            total += coefficient * moments[monomial]
        return total / denominator

    def operation(before: Expression) -> Expression:
        return before.applyfunc(mean) if isinstance(before, sp.MatrixBase) else mean(before)

    return Rule("mean over the batch", outcome(operation), r"\left\langle <before> \right\rangle")


def gaussian_mean(*symbols: sp.Symbol) -> Rule:
    r"""The mean of a polynomial over standard normal symbols: $E[w^{2k}] = (2k - 1)!!$, odd powers vanish.

    Parameters
    ----------
    *symbols : sympy symbols
        What the mean is over: independent, with mean 0 and variance 1.

    Returns
    -------
    Rule

    Examples
    --------
    >>> w, c = sp.symbols("w c")
    >>> from pctheory.symbolic import vanishes
    >>> vanishes(gaussian_mean(w).defect((1 + c * w) ** 4, 1 + 6 * c**2 + 3 * c**4))
    True
    """

    def operation(before: Expression) -> Expression:
        total = sp.S.Zero
        for powers, coefficient in sp.Poly(before, *symbols).terms():
            if all(power % 2 == 0 for power in powers):
                total += coefficient * sp.Mul(*(sp.factorial2(power - 1) for power in powers))
        return total

    return Rule(
        f"mean over normal ${names(symbols)}$",
        outcome(operation),
        r"\mathbb{E} \left[<before>\right]",
    )


_SIGNS = {">": "is_positive", "<": "is_negative", r"\ge": "is_nonnegative", r"\le": "is_nonpositive"}


def sign(relation: str) -> Rule:
    r"""A proved inequality with zero: `after` equals `before`, and its sign is visible.

    Parameters
    ----------
    relation : str
        One of `>`, `<`, `\ge`, `\le`.

    Returns
    -------
    Rule

    Raises
    ------
    ValueError
        If the relation is another.

    Notes
    -----
    sympy infers a sign only from the signs of factors and terms (a sum of squares with positive coefficients,
    a product of positive factors), so that `after` is a certificate that a reader sees at once. Nothing is
    sampled.

    Examples
    --------
    >>> x = sp.Symbol("x", real=True)
    >>> from pctheory.symbolic import vanishes
    >>> vanishes(sign(">").defect(x**2 + 2 * x + 2, (x + 1) ** 2 + 1))
    True
    """
    if relation not in _SIGNS:
        raise ValueError(f"`relation` must be one of {', '.join(_SIGNS)}. Got {relation!r}.")

    def defect(before: Expression, after: Expression) -> Expression:
        if not all(getattr(entry, _SIGNS[relation]) for entry in entries(after)):
            raise ValueError(
                f"`after` must be visibly {relation} 0 from the assumptions on its symbols. "
                f"Got {after}: rewrite it as a sum or product of terms with that sign."
            )
        return before - after

    return Rule(f"sign ${relation} 0$", defect, right=rf"= <after> {relation} 0", relation=relation)
