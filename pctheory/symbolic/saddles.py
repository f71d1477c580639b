r"""All critical points of the equilibrated energy of chains, their kinds, and the case that is not strict.

The data enter through their second moments, which stay symbols. Critical points are found by elimination
(resultants) and by reduction to an equivalent system (Groebner bases); their kinds by the Hessian, with signs
that follow from $S_{xx}, S_{yy} > 0$.
"""

from __future__ import annotations

from collections.abc import Sequence

import sympy as sp

from .balance import MOMENTS, batch, equilibrated
from .cases import Family, cases
from .chain import BATCH, Chain
from .derivation import Derivation, Step
from .elimination import resultant, same_zeros
from .means import sign
from .rules import algebra, differentiate, mixed_derivative, second_derivatives, substitute

_XX, _XY, _YY = MOMENTS
_MEAN_SQUARE = r"the mean squared residual $\langle r^2 \rangle$"


def two_maps(moments: str, hidden_layers: int) -> Derivation:
    r"""One hidden unit, any data: a critical point has $A_2 = 0$ or fits the data.

    Claim `critical-points`.

    Parameters
    ----------
    moments : "any"
        Stands for second moments without any restriction.
    hidden_layers : int
        Number of hidden layers: this result is for one only.

    Returns
    -------
    Derivation
    """
    chain = Chain(hidden_layers + 1, unit_precisions=True)
    first, last = chain.maps
    energy, (squared, cross) = equilibrated(chain), batch(chain)
    S = chain.rescaling
    G = sp.symbols("G_1:3", real=True)
    polynomials = sp.Matrix([-last * cross, -first * cross * S - last * squared])
    gradients = sp.Matrix([polynomials[0] / S, polynomials[1] / S**2])
    fit = {first: _XY / (_XX * last), _YY: _XY**2 / _XX}
    steps = (
        Step("Its gradient", energy, gradients, differentiate(first, last), given=BATCH, label="gradient"),
        Step(
            r"Times $S$ and $S^2$ it is a pair of polynomials",
            sp.Matrix([S * G[0], S**2 * G[1]]),
            polynomials.applyfunc(sp.expand),
            algebra(),
            dict(zip(G, gradients, strict=True)),
            using={"gradient": G},
            label="polynomials",
        ),
        Step(
            r"Eliminating $A_1$: a critical point has $A_2 = 0$ or $S_{xx} S_{yy} = S_{xy}^2$",
            polynomials,
            sp.factor(sp.resultant(*polynomials, first)),
            resultant(first),
        ),
        Step(
            r"Where $A_2 = 0$ the gradient is $(0, -A_1 S_{xy})$",
            gradients,
            sp.Matrix([0, -first * _XY]),
            substitute({last: sp.S.Zero}),
            follows="gradient",
        ),
        Step(
            r"Where $S_{xx} S_{yy} = S_{xy}^2$ and $A_1 = S_{xy} / (S_{xx} A_2)$ both polynomials vanish",
            polynomials,
            sp.zeros(2, 1),
            substitute(fit),
            follows="polynomials",
        ),
        Step("and so does the energy: its global minimum", energy, sp.S.Zero, substitute(fit), given=BATCH),
    )
    return Derivation("critical-points", f"All critical points, {chain.described}, any data", steps)


def generic(moments: str, hidden_layers: int) -> Derivation:
    r"""Generic data: the critical points of a chain are $A_L = 0$, $Q_{L-1} = 0$ and no others.

    Claim `critical-points`.

    The second moments are algebraically independent, which stands for all but a set of moments of measure
    zero (those with $S_{xy} = 0$ or without noise among them).

    Parameters
    ----------
    moments : "generic"
        Stands for second moments that are algebraically independent.
    hidden_layers : int
        Number of hidden layers, 1 or more.

    Returns
    -------
    Derivation
    """
    chain = Chain(hidden_layers + 1, unit_precisions=True)
    return _only_the_stated_ones(chain, [], equilibrated(chain), "generic data")


def noisy(moments: Sequence[int], hidden_layers: int) -> Derivation:
    r"""Data with noise: the critical points of a chain are $A_L = 0$, $Q_{L-1} = 0$ and no others.

    Claim `critical-points`.

    Parameters
    ----------
    moments : (1, -1, 2)
        $(S_{xx}, S_{xy}, S_{yy})$.
    hidden_layers : int
        Number of hidden layers, 1 or more.

    Returns
    -------
    Derivation
    """
    chain = Chain(hidden_layers + 1, unit_precisions=True)
    numbers = dict(zip(MOMENTS, map(sp.Integer, moments), strict=True))
    energy = equilibrated(chain).subs(numbers)
    first = Step("With these moments", equilibrated(chain), energy, substitute(numbers), given=BATCH)
    title = f"$(S_{{xx}}, S_{{xy}}, S_{{yy}}) = {tuple(moments)}$"
    return _only_the_stated_ones(chain, [first], energy, title)


def _only_the_stated_ones(chain: Chain, before: list[Step], energy: sp.Expr, title: str) -> Derivation:
    S = chain.rescaling
    # An inverse of S as one more unknown removes the zeros of the denominator, which no real point has.
    helper = sp.Symbol("k", real=True)
    G = sp.symbols(f"G_1:{chain.depth + 1}", real=True)
    numerators = [sp.cancel(energy.diff(A) * S**2) for A in chain.maps]
    gradients = [numerator / S**2 for numerator in numerators]
    polynomials = sp.Matrix([*numerators, sp.expand(helper * S - 1)])
    steps = (
        *before,
        Step(
            "Its gradient",
            energy,
            sp.Matrix(gradients),
            differentiate(*chain.maps),
            given=None if before else BATCH,
            label="gradient",
        ),
        Step(
            "Times $S^2$ it is polynomial; $k S = 1$ keeps $S$ from zero",
            sp.Matrix([*(S**2 * g for g in G), helper * S - 1]),
            polynomials,
            algebra(),
            dict(zip(G, gradients, strict=True)),
            using={"gradient": G},
        ),
        Step(
            r"The critical points are those with $A_L = 0$ and $Q_{L-1} = 0$: none fits the data",
            polynomials,
            sp.Matrix([chain.maps[-1], chain.Q(chain.depth - 1), helper - 1]),
            same_zeros(*chain.maps, helper),
            label="critical points",
        ),
    )
    return Derivation("critical-points", f"All critical points, {chain.described}, {title}", steps)


def strict(hidden_layers: int) -> Derivation:
    r"""A critical point that does not fit the data has negative curvature, $S_{xy} \ne 0$.

    Claim `strict-saddles`.

    By `critical-points` such a point has $A_L = 0$ and $Q_{L-1} = 0$. Realisable data and data with noise
    alike.

    Parameters
    ----------
    hidden_layers : int
        Number of hidden layers, 1 or more.

    Returns
    -------
    Derivation
    """
    chain = Chain(hidden_layers + 1, unit_precisions=True)
    last, top, energy = chain.maps[-1], chain.depth - 1, equilibrated(chain)
    at_zero = chain.Q(top) ** 2 * _XX - _YY * chain.marginal(top)
    curvature = energy.diff(last, 2)
    paths = sp.Add(*(chain.product(top, k) ** 2 for k in range(1, top)))
    c, here = sp.symbols("c C", real=True)
    steps = (
        Step("Its curvature in the last map", energy, curvature, mixed_derivative(last, last), given=BATCH),
        Step("is at $A_L = 0$", curvature, at_zero, substitute({last: sp.S.Zero}), label="curvature"),
        Step(
            r"Where $Q_{L-1} = 0$, that is, without its part $Q_{L-1}^2 S_{xx}$, it is negative",
            here - chain.Q(top) ** 2 * _XX,
            -_YY * (1 + paths),
            sign("<"),
            {here: at_zero},
            using={"curvature": here},
        ),
        Step(
            r"Any other critical point fits: $y = c x$ and $P_0 = c$ make the energy zero",
            energy,
            _XX * (c - chain.P(0)) ** 2 / (2 * chain.rescaling),
            substitute({_XY: c * _XX, _YY: c**2 * _XX}),
            given=BATCH,
        ),
    )
    return Derivation("strict-saddles", f"Strict saddles, {chain.described}", steps)


def noise_has_no_minimum(data: str, hidden_layers: int) -> Derivation:
    r"""With noise, $S_{yy} S_{xx} > S_{xy}^2$, every critical point is a strict saddle.

    Claim `strict-saddles`.

    Parameters
    ----------
    data : "noisy"
        Stands for all data with $S_{yy} S_{xx} > S_{xy}^2$.
    hidden_layers : int
        Number of hidden layers, 1 or more.

    Returns
    -------
    Derivation
    """
    chain = Chain(hidden_layers + 1, unit_precisions=True)
    noise = sp.Symbol("N", positive=True)
    closed = _XX * (chain.P(0) - _XY / _XX) ** 2 + noise
    steps = (
        Step(
            r"With the Schur complement $N = S_{yy} - S_{xy}^2 / S_{xx} > 0$",
            batch(chain)[0],
            closed,
            substitute({_YY: _XY**2 / _XX + noise}),
            given=_MEAN_SQUARE,
        ),
        Step(
            "it is positive: $A_L R = 0$ forces $A_L = 0$, and every critical point is a strict saddle",
            closed,
            closed,
            sign(">"),
        ),
    )
    return Derivation("strict-saddles", f"Noise leaves no minimum, {chain.described}", steps)


def counterexample(point: str) -> Derivation:
    r"""$S_{xy} = 0$, $S_{yy} = w^2 S_{xx}$, $A = (w, 0)$: zero Hessian, and descent at third order.

    Claim `strict-saddles`.

    Parameters
    ----------
    point : "zero Hessian"
        Names the critical point above, where the Hessian is zero.

    Returns
    -------
    Derivation
    """
    chain = Chain(2, unit_precisions=True)
    first, last = chain.maps
    w, d, rest = sp.symbols("w d e", positive=True)
    at = {first: w, last: sp.S.Zero}
    data = {_XY: sp.S.Zero, _YY: w**2 * _XX}
    energy = equilibrated(chain).subs(data)
    gradients = sp.Matrix([sp.factor(energy.diff(A)) for A in chain.maps])
    hessian = sp.hessian(energy, chain.maps).applyfunc(sp.factor)
    third = sp.factor(energy.diff(first, last, last))
    path = {first: w - d, last: sp.sqrt(d)}
    start, on_path = sp.symbols("E_0 E", real=True)
    along_path = energy.subs(path, simultaneous=True)
    drop = _XX * d**2 * (2 * w - d) / (2 * (1 + d))
    below = _XX * d**2 * rest / (2 * (1 + d))
    steps = (
        Step("With these data", equilibrated(chain), energy, substitute(data), given=BATCH, label="energy"),
        Step("Its gradient", energy, gradients, differentiate(*chain.maps)),
        Step("vanishes at the point", gradients, sp.zeros(2, 1), substitute(at)),
        Step("Its Hessian", energy, hessian, second_derivatives(*chain.maps), follows="energy"),
        Step("vanishes too", hessian, sp.zeros(2, 2), substitute(at)),
        Step("A third derivative", energy, third, mixed_derivative(first, last, last), follows="energy"),
        Step("does not", third, 2 * w * _XX, substitute(at)),
        Step("At the point it is", energy, w**2 * _XX / 2, substitute(at), follows="energy", label="start"),
        Step(
            r"Along $(w - d, \sqrt d)$ it is",
            energy,
            along_path,
            substitute(path),
            follows="energy",
            label="path",
        ),
        Step(
            "lower by",
            start - on_path,
            drop,
            algebra(),
            {start: w**2 * _XX / 2, on_path: along_path},
            using={"start": start, "path": on_path},
        ),
        Step("With $2w = d + e$, for $0 < d < 2w$,", drop, below, substitute({w: (d + rest) / 2})),
        Step("which is positive", below, below, sign(">")),
    )
    return Derivation("strict-saddles", "A critical point with zero Hessian", steps)


def local_minimum(point: str) -> Derivation:
    r"""$S_{xy} = 0$, $w^2 S_{xx} > S_{yy}$, $A = (w, 0)$: a local minimum that is not global.

    Claim `strict-saddles`.

    Parameters
    ----------
    point : "local minimum"
        Names the critical point above, which is a local minimum.

    Returns
    -------
    Derivation
    """
    chain = Chain(2, unit_precisions=True)
    first, last = chain.maps
    excess = sp.Symbol("e", nonnegative=True)
    other = sp.Symbol("v", positive=True)
    flat, here = sp.symbols("E_0 E", real=True)
    data = {_XY: sp.S.Zero}
    energy = equilibrated(chain).subs(data)
    rise = last**2 * (first**2 * _XX - _YY) / (2 * (1 + last**2))
    not_below = last**2 * excess / (2 * (1 + last**2))
    lower = _YY / (2 * (1 + other**2))
    steps = (
        Step("With these data", equilibrated(chain), energy, substitute(data), given=BATCH, label="energy"),
        Step("On the line $A_2 = 0$", energy, _YY / 2, substitute({last: sp.S.Zero}), label="line"),
        Step(
            "It rises above that by",
            here - flat,
            rise,
            algebra(),
            {here: energy, flat: _YY / 2},
            using={"energy": here, "line": flat},
        ),
        Step(
            r"Where $S_{yy} = A_1^2 S_{xx} - e$ with $e \ge 0$",
            rise,
            not_below,
            substitute({_YY: first**2 * _XX - excess}),
        ),
        Step(
            "this is not negative: every point of the line in that region is a local minimum",
            not_below,
            not_below,
            sign(r"\ge"),
        ),
        Step(
            r"but at $A = (0, v)$ the energy",
            energy,
            lower,
            substitute({first: sp.S.Zero, last: other}),
            follows="energy",
            label="elsewhere",
        ),
        Step(
            "is lower than on the line",
            flat - here,
            _YY * other**2 / (2 * (1 + other**2)),
            sign(">"),
            {here: lower, flat: _YY / 2},
            using={"elsewhere": here, "line": flat},
        ),
    )
    return Derivation("strict-saddles", "A local minimum that is not global", steps)


FAMILIES = (
    Family("critical-points", two_maps, cases(moments=("any",), hidden_layers=(1,))),
    Family("critical-points", generic, cases(moments=("generic",), hidden_layers=(1, 2))),
    Family("critical-points", noisy, cases(moments=((1, -1, 2),), hidden_layers=(1, 2, 3))),
    Family("strict-saddles", strict, cases(hidden_layers=range(1, 5))),
    Family("strict-saddles", noise_has_no_minimum, cases(data=("noisy",), hidden_layers=range(1, 5))),
    Family("strict-saddles", counterexample, cases(point=("zero Hessian",))),
    Family("strict-saddles", local_minimum, cases(point=("local minimum",))),
)
