r"""The rule of matrix algebra: words of letters, rewritten until none of the given relations applies."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product as cartesian

import sympy as sp

from .exact import Expression
from .rules import Rule


def rewrite(relations: Mapping[sp.Expr, sp.Expr]) -> Rule:
    r"""Equality of words in noncommuting symbols (matrices) modulo relations, read from left to right.

    Parameters
    ----------
    relations : mapping of word to expression
        Such as `{N * N_inv: 1}`.

    Returns
    -------
    Rule

    Notes
    -----
    Every occurrence of a word is replaced until none is left. That terminates when the relations shorten or
    order the words; it is sound for any relations that hold, and it proves equality when the normal forms
    agree.

    Examples
    --------
    >>> A, Ai = sp.symbols("A A^{-1}", commutative=False)
    >>> rewrite({A * Ai: sp.S.One}).defect(A * Ai * A, A)
    0
    """
    words = {tuple(word.args) if word.is_Mul else (word,): _as_words(to) for word, to in relations.items()}

    def normal(entry: sp.Expr) -> sp.Expr:
        return _as_expression(_normal_form(_as_words(entry), words))

    def defect(before: Expression, after: Expression) -> Expression:
        return normal(before - after)

    return Rule("matrix algebra", defect, equates=True)


_Words = dict[tuple[sp.Expr, ...], sp.Expr]


def _as_words(expression: sp.Expr) -> _Words:
    """Words with their commutative coefficients, multiplied out from the tree."""
    expression = sp.sympify(expression)
    if expression.is_commutative:
        return {(): expression}
    if expression.is_Add:
        total: _Words = {}
        for term in expression.args:
            for word, coefficient in _as_words(term).items():
                total[word] = total.get(word, sp.S.Zero) + coefficient
        return {word: coefficient for word, coefficient in total.items() if coefficient != 0}
    if expression.is_Mul:
        factors = [_as_words(factor) for factor in expression.args]
    elif expression.is_Pow and expression.exp.is_Integer and expression.exp > 0:
        factors = [_as_words(expression.base)] * int(expression.exp)
    else:
        return {(expression,): sp.S.One}
    terms: _Words = {}
    for choice in cartesian(*(factor.items() for factor in factors)):
        word = tuple(letter for letters, _ in choice for letter in letters)
        terms[word] = terms.get(word, sp.S.Zero) + sp.Mul(*(coefficient for _, coefficient in choice))
    return {
        word: sp.expand(coefficient) for word, coefficient in terms.items() if sp.expand(coefficient) != 0
    }


def _normal_form(terms: _Words, relations: Mapping[tuple[sp.Expr, ...], _Words]) -> _Words:
    done: _Words = {}
    pending = list(terms.items())
    while pending:
        word, coefficient = pending.pop()
        for start, (pattern, replacement) in cartesian(range(len(word)), relations.items()):
            if word[start : start + len(pattern)] == pattern:
                tail = word[start + len(pattern) :]
                pending += [
                    (word[:start] + middle + tail, coefficient * c) for middle, c in replacement.items()
                ]
                break
        else:
            done[word] = sp.expand(done.get(word, sp.S.Zero) + coefficient)
    return {word: coefficient for word, coefficient in done.items() if coefficient != 0}


def _as_expression(terms: _Words) -> sp.Expr:
    return sp.Add(*(coefficient * sp.Mul(*word) for word, coefficient in terms.items()))
