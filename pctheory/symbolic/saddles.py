r"""All critical points of the equilibrated energy of small chains, their kinds, and the case that is not strict.

The data enter through their second moments, which stay symbols. Critical points are found by elimination (resultants) and by
reduction to an equivalent system (Groebner bases); their kinds by the Hessian, with signs that follow from $S_{xx}, S_{yy} > 0$.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import sympy as sp

from .balance import MOMENTS, batch, equilibrated
from .chain import Chain
from .derivation import Derivation, Step
from .elimination import resultant, same_zeros
from .rules import algebra, differentiate, mixed_derivative, second_derivatives, sign, substitute

_XX, _XY, _YY = MOMENTS
_XX_POSITIVE, _YY_POSITIVE = sp.symbols("S_xx S_yy", positive=True)
_POSITIVE = {_XX: _XX_POSITIVE, _YY: _YY_POSITIVE}


def two_maps() -> Derivation:
    r"""Depth 2, any moments: a critical point is the origin (or $S_{xy} = 0$, $A_2 = 0$) or fits the data (`critical-points`)."""
    chain = Chain(2, unit_precisions=True)
    first, last = chain.maps
    energy, (squared, cross) = equilibrated(chain), batch(chain)
    S = chain.rescaling
    gradient = sp.Matrix([energy.diff(A) for A in chain.maps])
    polynomials = sp.Matrix([-last * cross, -first * cross * S - last * squared])
    steps = (
        Step(
            r"The gradient is that of two polynomials over $S$ and $S^2$",
            energy,
            sp.Matrix([polynomials[0] / S, polynomials[1] / S**2]),
            differentiate(first, last),
        ),
        Step(
            r"Eliminating $A_1$: a critical point has $A_2 = 0$ or $S_{xx} S_{yy} = S_{xy}^2$",
            polynomials,
            sp.factor(sp.resultant(*polynomials, first)),
            resultant(first),
        ),
        Step(
            r"Where $A_2 = 0$ the gradient is $(0, -A_1 S_{xy})$",
            gradient,
            sp.Matrix([0, -first * _XY]),
            substitute({last: sp.S.Zero}),
        ),
        Step(
            r"Where $S_{xx} S_{yy} = S_{xy}^2$ and $A_1 = S_{xy} / (S_{xx} A_2)$ both vanish",
            polynomials,
            sp.zeros(2, 1),
            substitute({first: _XY / (_XX * last), _YY: _XY**2 / _XX}),
        ),
        Step(
            r"and so does the energy, its global minimum",
            energy,
            sp.S.Zero,
            substitute({first: _XY / (_XX * last), _YY: _XY**2 / _XX}),
        ),
    )
    return Derivation("critical-points", "All critical points, chain of depth 2, any moments", steps)


def noisy(depth: int, numbers: tuple[int, int, int] | None = None) -> Derivation:
    r"""Data with noise: the critical points of a chain are $A_L = 0$, $Q_{L-1} = 0$ and no others (`critical-points`).

    Without numbers the second moments are algebraically independent, which stands for all but a set of moments of measure
    zero (those with $S_{xy} = 0$ or without noise among them); with numbers they are $(S_{xx}, S_{xy}, S_{yy})$.
    """
    chain = Chain(depth, unit_precisions=True)
    energy, title = equilibrated(chain), "generic moments"
    if numbers is not None:
        energy = energy.subs(dict(zip(MOMENTS, numbers, strict=True)))
        title = f"$(S_{{xx}}, S_{{xy}}, S_{{yy}}) = {numbers}$"
    # An inverse of S as one more unknown removes the zeros of the denominator, which no real point has.
    helper = sp.Symbol("k", real=True)
    gradient = sp.Matrix([sp.cancel(energy.diff(A) * chain.rescaling**2) for A in chain.maps])
    polynomials = sp.Matrix([*gradient, helper * chain.rescaling - 1])
    steps = (
        Step(
            r"The critical points are the zeros of $S^2 \nabla F^*$",
            energy,
            gradient / chain.rescaling**2,
            differentiate(*chain.maps),
        ),
        Step(
            r"With $k S = 1$, which keeps $S$ from zero, they are those of $A_L = 0$ and $Q_{L-1} = 0$: none fits the data",
            polynomials,
            sp.Matrix([chain.maps[-1], chain.Q(depth - 1), helper - 1]),
            same_zeros(*chain.maps, helper),
        ),
    )
    return Derivation("critical-points", f"All critical points, chain of depth {depth}, {title}", steps)


def strict(depth: int) -> Derivation:
    r"""Every critical point that does not fit the data has negative curvature (`strict-saddles`), $S_{xy} \ne 0$.

    By `critical-points` such a point has $A_L = 0$ and $Q_{L-1} = 0$. Realisable data and data with noise alike.
    """
    chain = Chain(depth, unit_precisions=True)
    last, energy = chain.maps[-1], equilibrated(chain)
    at_zero = chain.Q(depth - 1) ** 2 * _XX - _YY * chain.marginal(depth - 1)
    curvature = energy.diff(last, 2)
    h = sp.Symbol("h", real=True)
    paths = sp.Add(*(chain.product(depth - 1, k) ** 2 for k in range(1, depth - 1)))
    c = sp.Symbol("c", real=True)
    steps = (
        Step("The curvature in the last map", energy, curvature, mixed_derivative(last, last)),
        Step("At $A_L = 0$", curvature, at_zero, substitute({last: sp.S.Zero})),
        Step(
            r"With $Q_{L-1} = 0$ it is $-S_{yy} M_{L-1}$, negative",
            h**2 * _XX - _YY_POSITIVE * chain.marginal(depth - 1) - h**2 * _XX,
            -_YY_POSITIVE * (1 + paths),
            sign("<"),
        ),
        Step(
            r"Any other critical point fits: $\langle r^2 \rangle = 0$ makes $y = c x$ and $P_0 = c$, and the energy zero",
            equilibrated(chain).subs({_XY: c * _XX, _YY: c**2 * _XX}),
            _XX * (c - chain.P(0)) ** 2 / (2 * chain.rescaling),
            algebra(),
        ),
    )
    return Derivation("strict-saddles", f"Strict saddles, chain of depth {depth}", steps)


def noise_has_no_minimum(depth: int) -> Derivation:
    r"""With $S_{yy} S_{xx} > S_{xy}^2$ the mean squared residual is positive everywhere (`strict-saddles`, part b)."""
    chain = Chain(depth, unit_precisions=True)
    noise = sp.Symbol("N", positive=True)
    squared = batch(chain)[0].subs({_YY: _XY**2 / _XX + noise}).subs(_XX, _XX_POSITIVE)
    closed = _XX_POSITIVE * (chain.P(0) - _XY / _XX_POSITIVE) ** 2 + noise
    steps = (
        Step(
            r"With the Schur complement $N = S_{yy} - S_{xy}^2 / S_{xx} > 0$ the residual cannot vanish: $A_L R = 0$ forces $A_L = 0$, and every critical point is a strict saddle",
            squared,
            closed,
            sign(">"),
        ),
    )
    return Derivation("strict-saddles", f"Noise leaves no minimum, chain of depth {depth}", steps)


def counterexample() -> Derivation:
    r"""$S_{xy} = 0$, $w^2 S_{xx} = S_{yy}$, $A = (w, 0)$: zero Hessian, and descent at third order (`strict-saddles`, part c)."""
    chain = Chain(2, unit_precisions=True)
    first, last = chain.maps
    w, d, rest = sp.symbols("w d e", positive=True)
    point = {first: w, last: sp.S.Zero}
    energy = equilibrated(chain).subs({_XY: 0, _YY: w**2 * _XX_POSITIVE, _XX: _XX_POSITIVE})
    gradient = sp.Matrix([sp.factor(energy.diff(A)) for A in chain.maps])
    hessian = sp.hessian(energy, chain.maps).applyfunc(sp.factor)
    third = sp.factor(energy.diff(first, last, last))
    along = energy.subs({first: w - d, last: sp.sqrt(d)}, simultaneous=True)
    drop = w**2 * _XX_POSITIVE / 2 - along
    steps = (
        Step("The gradient", energy, gradient, differentiate(*chain.maps)),
        Step("vanishes at the point", gradient, sp.zeros(2, 1), substitute(point)),
        Step("The Hessian", energy, hessian, second_derivatives(*chain.maps)),
        Step("vanishes too", hessian, sp.zeros(2, 2), substitute(point)),
        Step("A third derivative", energy, third, mixed_derivative(first, last, last)),
        Step("does not", third, 2 * w * _XX_POSITIVE, substitute(point)),
        Step(
            r"Along $(w - d, \sqrt d)$ the energy is",
            energy,
            along,
            substitute({first: w - d, last: sp.sqrt(d)}),
        ),
        Step(
            r"which lies below its value at the point for every $0 < d < 2w$ ($2w = d + e$ with $d, e > 0$)",
            drop.subs(w, (d + rest) / 2),
            _XX_POSITIVE * d**2 * rest / (2 * (1 + d)),
            sign(">"),
        ),
    )
    return Derivation("strict-saddles", "A critical point with zero Hessian", steps)


def local_minimum() -> Derivation:
    r"""$S_{xy} = 0$, $w^2 S_{xx} > S_{yy}$, $A = (w, 0)$: a local minimum that is not global (`strict-saddles`, part c)."""
    chain = Chain(2, unit_precisions=True)
    first, last = chain.maps
    excess = sp.Symbol("e", nonnegative=True)
    a, b = sp.symbols("w_1 w_2", real=True)
    other = sp.Symbol("v", positive=True)
    energy = equilibrated(chain).subs({_XY: 0} | _POSITIVE)
    here = energy.subs({first: a, last: b}, simultaneous=True)
    rise = b**2 * (a**2 * _XX_POSITIVE - _YY_POSITIVE) / (2 * (1 + b**2))
    steps = (
        Step(
            "The energy above its value $S_{yy} / 2$ on the line $w_2 = 0$",
            here - _YY_POSITIVE / 2,
            rise,
            algebra(),
        ),
        Step(
            r"is not negative wherever $w_1^2 S_{xx} \ge S_{yy}$, so that every point $(w, 0)$ inside that region is a local minimum",
            b**2 * excess / (2 * (1 + b**2)),
            b**2 * excess / (2 * (1 + b**2)),
            sign(r"\ge"),
        ),
        Step(
            r"but at $w_1 = 0$ the energy is lower by",
            _YY_POSITIVE / 2 - energy.subs({first: 0, last: other}),
            _YY_POSITIVE * other**2 / (2 * (1 + other**2)),
            sign(">"),
        ),
    )
    return Derivation("strict-saddles", "A local minimum that is not global", steps)


DERIVATIONS: Mapping[str, Callable[[], Derivation]] = (
    {
        "critical-points/all-of-chain-2": two_maps,
        "strict-saddles/counterexample": counterexample,
        "strict-saddles/local-minimum": local_minimum,
    }
    | {f"critical-points/generic-chain-{depth}": partial(noisy, depth) for depth in (2, 3)}
    | {f"critical-points/noisy-chain-{depth}": partial(noisy, depth, (1, -1, 2)) for depth in (2, 3, 4)}
    | {
        f"strict-saddles/{name}-{depth}": partial(builder, depth)
        for name, builder in (("chain", strict), ("noise-chain", noise_has_no_minimum))
        for depth in range(2, 6)
    }
)
