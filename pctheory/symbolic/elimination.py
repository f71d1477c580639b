r"""Rules of algebra: determinants, inverses, eigenvalues, roots, resultants, common zeros."""

from __future__ import annotations

import sympy as sp

from .exact import Expression, characteristic_polynomial, determinant, entries
from .rules import Rule, names, outcome


def take_determinant() -> Rule:
    """The determinant of a matrix.

    Returns
    -------
    Rule
    """
    return Rule("determinant", outcome(determinant), r"\det\left[<before>\right]")


def invert() -> Rule:
    """The inverse of a matrix: the product with the claimed inverse is the identity.

    Returns
    -------
    Rule
    """
    return Rule(
        "inverse",
        lambda before, after: before * after - sp.eye(before.rows),
        r"\left[<before>\right]^{-1}",
    )


def eigenvalues(variable: sp.Symbol) -> Rule:
    r"""The eigenvalues with their multiplicities: $\det(\lambda I - M) = \prod (\lambda - \lambda_i)$.

    `after` is the list of eigenvalues as a matrix of one row, or the characteristic polynomial in any form
    (factored, so that its factors show the eigenvalues). The identity is checked coefficient by coefficient.

    Parameters
    ----------
    variable : sympy symbol
        $\lambda$.

    Returns
    -------
    Rule
    """

    def defect(before: Expression, after: Expression) -> Expression:
        claimed = sp.Mul(*(variable - root for root in after)) if isinstance(after, sp.MatrixBase) else after
        return characteristic_polynomial(before, variable) - claimed

    return Rule("eigenvalues", defect, r"\operatorname{eig}\left[<before>\right]:", r"\quad <after>")


def roots(variable: sp.Symbol) -> Rule:
    r"""All roots of a polynomial: $p = c \prod (\lambda - \lambda_i)$, checked as an identity.

    Parameters
    ----------
    variable : sympy symbol
        What the polynomial is in, $\lambda$ above.

    Returns
    -------
    Rule
    """

    def defect(before: Expression, after: Expression) -> Expression:
        polynomial = sp.Poly(before, variable)
        if polynomial.degree() != len(after):
            return sp.S.One
        return before - polynomial.LC() * sp.Mul(*(variable - root for root in after))

    return Rule(
        f"roots in ${sp.latex(variable)}$", defect, "<before> = 0", rf"\iff {sp.latex(variable)} \in <after>"
    )


def resultant(variable: sp.Symbol) -> Rule:
    r"""Eliminate a variable between two polynomials: their resultant vanishes at every common zero.

    Parameters
    ----------
    variable : sympy symbol
        The one to eliminate.

    Returns
    -------
    Rule
    """
    return Rule(
        f"eliminate ${sp.latex(variable)}$",
        outcome(lambda before: sp.resultant(*entries(before), variable)),
        rf"\operatorname{{Res}}_{{{sp.latex(variable)}}} <before>",
    )


def same_zeros(*variables: sp.Symbol) -> Rule:
    r"""Two columns of polynomials with the same common zeros, complex ones included.

    f vanishes wherever all g do iff 1 lies in the ideal of the g and $1 - t f$ (Rabinowitsch): a Groebner
    basis decides it, in both directions.

    Parameters
    ----------
    *variables : sympy symbols
        All unknowns of the polynomials.

    Returns
    -------
    Rule

    Examples
    --------
    >>> u, v = sp.symbols("u v")
    >>> same_zeros(u, v).defect(sp.Matrix([u**2, u + v]), sp.Matrix([u, v])).T
    Matrix([[0, 0, 0, 0]])
    """
    extra = sp.Dummy("t")

    def defect(before: Expression, after: Expression) -> Expression:
        remainders: list[sp.Expr] = []
        for implied, given in ((before, after), (after, before)):
            for polynomial in entries(implied):
                basis = sp.groebner(
                    [*entries(given), 1 - extra * polynomial], *variables, extra, order="grevlex"
                )
                remainders.append(sp.S.Zero if basis.exprs == [1] else polynomial)
        return sp.Matrix(remainders)

    return Rule(f"the same zeros in ${names(variables)}$", defect, "<before> = 0", r"\iff <after> = 0")
