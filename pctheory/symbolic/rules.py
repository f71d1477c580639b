r"""The rules that a step of a derivation may use, each with the exact test that a step passes or fails.

A rule says what is done to the expression *before*. Its defect is an expression that vanishes exactly when
the expression *after* is the outcome: the outcome minus `after` where the rule computes it, the equations
with the solution inserted where it solves, the coefficients of a polynomial identity where it reads off
roots.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import sympy as sp
from sympy.polys.rings import ring

from .exact import Expression, determinant, entries, inverse, shape, vanishes

_SHORT = 60
"""Characters of the longest list of inserted values that is written below the bracket."""


@dataclass(frozen=True)
class Rule:
    r"""One kind of step: its name, the defect that must vanish, and how the step is written.

    Parameters
    ----------
    name : str
        What is done, in words ("differentiate in $z_{1}$"), with LaTeX between dollars.
    defect : callable
        `(before, after) -> expression`, zero exactly when the step holds.
    left, right : str
        LaTeX of the two sides, with the fields `<before>` and `<after>`.
    values : mapping of symbol to expression
        What the rule inserts for symbols, if it inserts anything.
    equates : bool
        Whether the rule says no more than that both sides are equal.
    relation : str
        The relation to zero that the rule proves, if it proves one.
    """

    name: str
    defect: Callable[[Expression, Expression], Expression]
    left: str = "<before>"
    right: str = "= <after>"
    values: Mapping[sp.Symbol, sp.Expr] = field(default_factory=dict)
    equates: bool = False
    relation: str = ""

    def to_latex(self, before: str, after: str) -> tuple[str, str]:
        """Write the two sides of a step as LaTeX.

        Parameters
        ----------
        before, after : str
            The formulas of the two expressions.

        Returns
        -------
        tuple of str
            The left and the right side, relation signs included.
        """
        if self.relation and before == after:
            return before, f"{self.relation} 0"
        return self.left.replace("<before>", before), self.right.replace("<after>", after)


def outcome(operation: Callable[[Expression], Expression]) -> Callable[[Expression, Expression], Expression]:
    """The defect of a rule that computes: what the operation gives, minus what is claimed.

    Parameters
    ----------
    operation : callable
        From the left side of a step to its right side.

    Returns
    -------
    callable
        `(before, after) -> expression`.
    """

    def defect(before: Expression, after: Expression) -> Expression:
        found = operation(before)
        if shape(found) != shape(after):
            raise ValueError(f"`after` must have shape {shape(found)}. Got {shape(after)}.")
        return sp.Matrix(
            [have - claimed for have, claimed in zip(entries(found), entries(after), strict=True)]
        )

    return defect


def names(symbols: Sequence[sp.Symbol]) -> str:
    """Write symbols as LaTeX, the middle ones of a long list left out.

    Parameters
    ----------
    symbols : sequence of sympy symbols
        What to write, in this order.

    Returns
    -------
    str
    """
    written = [sp.latex(symbol) for symbol in symbols]
    return ", ".join(written if len(written) <= 4 else [*written[:2], r"\dots", written[-1]])


def algebra() -> Rule:
    """Both sides are the same function: expand, factor, collect, cancel, multiply matrices out.

    Returns
    -------
    Rule
    """
    return Rule("algebra", outcome(lambda before: before), equates=True)


def differentiate(*symbols: sp.Symbol) -> Rule:
    r"""The gradient in the given symbols, as a column; of a column, those of its entries in turn.

    Parameters
    ----------
    *symbols : sympy symbols
        What to differentiate in, in the order of the rows.

    Returns
    -------
    Rule

    Examples
    --------
    >>> x, y = sp.symbols("x y")
    >>> differentiate(x, y).defect(x * y**2, sp.Matrix([y**2, 2 * x * y])).T
    Matrix([[0, 0]])
    """

    def gradient(before: Expression) -> Expression:
        return sp.Matrix([entry.diff(symbol) for entry in entries(before) for symbol in symbols])

    template = rf"\nabla_{{{names(symbols)}}}\left[<before>\right]"
    return Rule(f"differentiate in ${names(symbols)}$", outcome(gradient), template)


def second_derivatives(*symbols: sp.Symbol) -> Rule:
    r"""The matrix of second derivatives in the given symbols.

    Parameters
    ----------
    *symbols : sympy symbols
        What to differentiate in, in the order of the rows and columns.

    Returns
    -------
    Rule
    """
    return Rule(
        f"second derivatives in ${names(symbols)}$",
        outcome(lambda before: sp.hessian(before, symbols)),
        r"\nabla^2\left[<before>\right]",
    )


def mixed_derivative(*symbols: sp.Symbol) -> Rule:
    r"""One mixed derivative, in each symbol in turn; a symbol may be repeated.

    Parameters
    ----------
    *symbols : sympy symbols
        In the order of differentiation.

    Returns
    -------
    Rule
    """
    bottom = " ".join(rf"\partial {sp.latex(symbol)}" for symbol in symbols)
    template = rf"\frac{{\partial^{{{len(symbols)}}}}}{{{bottom}}}\left[<before>\right]"
    return Rule(
        f"derivative of order {len(symbols)}", outcome(lambda before: before.diff(*symbols)), template
    )


def second_derivatives_at_zero(*symbols: sp.Symbol) -> Rule:
    r"""The second derivatives of a polynomial where the given symbols vanish: its quadratic part, doubled.

    Parameters
    ----------
    *symbols : sympy symbols
        What to differentiate in, in the order of the rows and columns, and then set to zero.

    Returns
    -------
    Rule

    Examples
    --------
    >>> u, v, c = sp.symbols("u v c")
    >>> hessian = sp.Matrix([[0, -2 * c], [-2 * c, 0]])
    >>> vanishes(second_derivatives_at_zero(u, v).defect((c - u * v) ** 2, hessian))
    True
    """
    variables = set(symbols)

    def operation(before: Expression) -> Expression:
        everything = sorted(
            before.free_symbols | variables, key=lambda symbol: (symbol not in variables, str(symbol))
        )
        position = {everything.index(symbol): i for i, symbol in enumerate(symbols)}
        ring_, *_ = ring(everything, sp.QQ)
        hessian = sp.zeros(len(symbols), len(symbols))
        for powers, coefficient in ring_.from_expr(before).terms():
            inside = [place for place in position for _ in range(powers[place])]
            if len(inside) == 2:
                outside = [0 if place in position else power for place, power in enumerate(powers)]
                rest = sp.Mul(*(symbol**power for symbol, power in zip(everything, outside, strict=True)))
                first, second = (position[place] for place in inside)
                hessian[first, second] += sp.QQ.to_sympy(coefficient) * rest
                hessian[second, first] += sp.QQ.to_sympy(coefficient) * rest
        return hessian

    template = r"\nabla^2\left[<before>\right]_{0}"
    return Rule("second derivatives at zero", outcome(operation), template)


def second_derivatives_of_minimum(
    parameters: Sequence[sp.Symbol], minimised: Sequence[sp.Symbol], at: Mapping[sp.Symbol, sp.Expr]
) -> Rule:
    r"""The second derivatives of a minimum: $F_{\theta\theta} - F_{\theta z} F_{zz}^{-1} F_{z \theta}$.

    Implicit differentiation: $z^*$ moves with $\theta$ at $-F_{zz}^{-1} F_{z\theta}$. The rule checks that
    the point given is stationary in z.

    Parameters
    ----------
    parameters : sequence of sympy symbols
        $\theta$.
    minimised : sequence of sympy symbols
        z.
    at : mapping of symbol to expression
        The point: each z, and each $\theta$ that has a value there, with its value.

    Returns
    -------
    Rule

    Examples
    --------
    >>> u, v = sp.symbols("u v")
    >>> rule = second_derivatives_of_minimum([u], [v], {u: 0, v: 0})
    >>> rule.defect(v**2 / 2 + u * v, sp.Integer(-1))
    Matrix([[0]])
    """

    def operation(before: Expression) -> Expression:
        slopes = sp.Matrix([before.diff(z) for z in minimised])
        if not vanishes(slopes.subs(at, simultaneous=True)):
            raise ValueError("`at` must be stationary in the minimised variables. Got a slope there.")
        curvature = slopes.jacobian(minimised).subs(at, simultaneous=True)
        mixed = slopes.jacobian(parameters).subs(at, simultaneous=True)
        direct = sp.hessian(before, parameters).subs(at, simultaneous=True)
        return direct - mixed.T * inverse(curvature) * mixed

    template = r"\nabla^2 \min_z\left[<before>\right]"
    return Rule("second derivatives of a minimum", outcome(operation), template)


def substitute(values: Mapping[sp.Symbol, sp.Expr]) -> Rule:
    r"""Insert values for symbols, all at once.

    Parameters
    ----------
    values : mapping of symbol to expression
        At least one of the symbols must occur in the left side.

    Returns
    -------
    Rule

    Examples
    --------
    >>> x, y = sp.symbols("x y")
    >>> substitute({x: y, y: x}).defect(x - 2 * y, y - 2 * x)
    Matrix([[0]])
    """
    symbols = list(values)

    def operation(before: Expression) -> Expression:
        if not before.has(*symbols):
            raise ValueError(
                f"`substitute` must insert a symbol of the left side. Got none of {names(symbols)}."
            )
        return before.subs(values, simultaneous=True)

    inserted = ", ".join(
        f"{sp.latex(symbol)} = {sp.latex(sp.sympify(value))}" for symbol, value in values.items()
    )
    return Rule(
        f"insert ${names(symbols)}$",
        outcome(operation),
        rf"\left[<before>\right]_{{{inserted if len(inserted) <= _SHORT else names(symbols)}}}",
        values={symbol: sp.sympify(value) for symbol, value in values.items()},
    )


def times(vector: Sequence[sp.Expr]) -> Rule:
    r"""The product of a matrix with a column.

    Parameters
    ----------
    vector : sequence of expressions
        The entries of the column, as many as the matrix has columns.

    Returns
    -------
    Rule

    Examples
    --------
    >>> x, y = sp.symbols("x y")
    >>> times([x, y]).defect(sp.Matrix([[0, 1]]), y)
    Matrix([[0]])
    """
    column = sp.Matrix(vector)
    rows = r" \\ ".join(sp.latex(entry) for entry in column)
    template = rf"\left[<before>\right] \begin{{pmatrix}} {rows} \end{{pmatrix}}"
    return Rule(f"times ${names(vector)}$", outcome(lambda before: before * column), template)


def along(velocities: Mapping[sp.Symbol, sp.Expr]) -> Rule:
    r"""The rate of change of every entry while the symbols move at the given velocities: the chain rule.

    Parameters
    ----------
    velocities : mapping of symbol to expression
        $\dot s$ for each symbol s that moves.

    Returns
    -------
    Rule

    Examples
    --------
    >>> w, g = sp.symbols("w g")
    >>> along({w: -g}).defect(w**2, -2 * w * g)
    Matrix([[0]])
    """

    def rate(entry: sp.Expr) -> sp.Expr:
        return sp.Add(*(entry.diff(symbol) * velocity for symbol, velocity in velocities.items()))

    return Rule(
        f"change with ${names(list(velocities))}$",
        outcome(lambda before: sp.Matrix([rate(entry) for entry in entries(before)])),
        r"\frac{d}{dt}\left[<before>\right]",
    )


def solve(*unknowns: sp.Symbol) -> Rule:
    r"""The one solution of the linear system `before = 0`, whose determinant is not zero.

    Parameters
    ----------
    *unknowns : sympy symbols
        What to solve for, in the order of the solution.

    Returns
    -------
    Rule
    """

    def defect(before: Expression, after: Expression) -> Expression:
        equations = sp.Matrix(entries(before))
        matrix = equations.jacobian(sp.Matrix(unknowns))
        if matrix.free_symbols & set(unknowns):
            raise ValueError(
                "`solve` must get equations that are linear in the unknowns. "
                f"Got {names(unknowns)} in a coefficient: read roots off with `roots`."
            )
        if vanishes(determinant(matrix)):
            raise ValueError("`solve` must get a regular system. Got a zero determinant: add an equation.")
        return equations.subs(dict(zip(unknowns, entries(after), strict=True)), simultaneous=True)

    solved = names(unknowns) if len(unknowns) == 1 else rf"\left({names(unknowns)}\right)"
    right = rf"\iff {solved} = <after>"
    return Rule(f"solve for ${names(unknowns)}$", defect, "<before> = 0", right)
