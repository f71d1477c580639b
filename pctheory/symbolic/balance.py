r"""The balance law and what it says about critical points: chains as polynomial identities, with a batch of any size.

A batch enters through its second moments only. With $G_l = dF^*/dA_l$ the law is $A_{l+1} G_{l+1} - G_l A_l =
-\langle \Pi_l \epsilon_l^{*2} \rangle$: where all gradients vanish, so do all hidden errors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import sympy as sp

from .chain import Chain
from .derivation import Derivation, Step
from .rules import algebra, average, differentiate, sign, substitute

MOMENTS = sp.symbols("S_xx S_xy S_yy", real=True)


def moments(chain: Chain) -> dict[sp.Expr, sp.Expr]:
    """The products of the data with the symbols of their means."""
    xx, xy, yy = MOMENTS
    return {chain.x**2: xx, chain.x * chain.y: xy, chain.y**2: yy}


def batch(chain: Chain) -> tuple[sp.Expr, sp.Expr]:
    r"""$\langle r^2 \rangle$ and $\langle r x \rangle$ in the second moments of the data."""
    xx, xy, yy = MOMENTS
    whole = chain.P(0)
    return yy - 2 * whole * xy + whole**2 * xx, xy - whole * xx


def equilibrated(chain: Chain) -> sp.Expr:
    r"""$F^* = \langle r^2 \rangle / 2S$ of a batch."""
    return batch(chain)[0] / (2 * chain.rescaling)


def balance_law(depth: int) -> Derivation:
    r"""The law, its mean over a batch, and the drift of the squared weights under gradient flow (`balance-law`)."""
    chain = Chain(depth)
    r, S = chain.abbreviations
    energy = chain.residual**2 / (2 * chain.rescaling)
    A, pi = chain.maps, chain.precisions
    gradient = [energy.diff(map_) for map_ in A]
    hidden = range(1, depth)
    law = sp.Matrix([A[l] * gradient[l] - gradient[l - 1] * A[l - 1] for l in hidden])
    errors = sp.Matrix([-((chain.P(l) * r / S) ** 2) / pi[l - 1] for l in hidden])
    written_out = errors.xreplace(chain.abbreviations)
    squared = sp.Symbol("R", nonnegative=True)
    mean = sp.Matrix([-((chain.P(l) / S) ** 2) / pi[l - 1] * squared for l in hidden])
    # Along the flow dw_l/dt = -dF*/dw_l = -a_l G_l, so that dA_l/dt = -a_l^2 G_l: one time derivative is the chain rule.
    a, G, weights = chain.multipliers, sp.symbols(f"G_1:{depth + 1}", real=True), chain.weights
    maps = [chain.parameters[map_] for map_ in A]
    above = [maps[l] ** 2 / a[l] ** 2 - maps[l - 1] ** 2 / a[l - 1] ** 2 for l in hidden]
    flow = sp.Matrix(
        [
            sp.Add(*(imbalance.diff(w) * (-a_l * g) for w, a_l, g in zip(weights, a, G, strict=True)))
            for imbalance in above
        ]
    )
    drift = sp.Matrix([-2 * (maps[l] * G[l] - G[l - 1] * maps[l - 1]) for l in hidden])
    covariance = sp.Matrix([2 * (chain.P(l) / S) ** 2 / pi[l - 1] * squared for l in hidden])
    steps = (
        Step(
            "The gradient of the equilibrated energy in the maps",
            r**2 / (2 * S),
            sp.Matrix(gradient),
            differentiate(*A),
            chain.abbreviations,
        ),
        Step(
            r"$A_{l+1} G_{l+1} - G_l A_l$ is minus the precision-weighted squared error $\Pi_l \epsilon_l^{*2}$",
            law,
            errors,
            algebra(),
            chain.abbreviations,
        ),
        Step(
            r"and so is its mean over the batch, with $R = \langle r^2 \rangle$",
            written_out,
            mean,
            average(moments(chain)),
            {squared: batch(chain)[0], S: chain.rescaling},
        ),
        Step(
            r"Under the flow $\dot w_l = -a_l G_l$, $A_{l+1}^2 / a_{l+1}^2 - A_l^2 / a_l^2$ drifts at",
            flow,
            drift,
            algebra(),
        ),
        Step(
            r"which by the law is twice the hidden error, towards the output",
            -2 * mean,
            covariance,
            sign(r"\ge"),
            {S: chain.rescaling},
        ),
    )
    return Derivation("balance-law", f"The balance law, chain of depth {depth}", steps)


def homogeneous_balance(depth: int) -> Derivation:
    r"""ReLU and leaky ReLU: the law holds for each hidden unit at any stationary point (`balance-law`).

    On one branch of such an activation $\phi(z) = \phi'(z) z$ with a constant slope $c_l$ for layer l; $z_0 = x$ enters as is.
    """
    chain = Chain(depth, unit_precisions=True)
    slopes = sp.symbols(f"c_1:{depth}", real=True)
    w, z = chain.weights, chain.activities
    layers = [chain.x, *(c * activity for c, activity in zip(slopes, z, strict=True))]
    errors = [above - weight * below for weight, below, above in zip(w, layers, [*z, chain.y], strict=True)]
    energy = sp.Add(*(error**2 for error in errors)) / 2
    gradient = [energy.diff(weight) for weight in w]
    hidden = range(1, depth)
    stationarity = sp.Matrix([energy.diff(activity) for activity in z])
    law = sp.Matrix([w[l] * gradient[l] - gradient[l - 1] * w[l - 1] for l in hidden])
    errors_squared = sp.Matrix([-(errors[l - 1] ** 2) for l in hidden])
    remainder = sp.Matrix([z[l - 1] * stationarity[l - 1] for l in hidden])
    steps = (
        Step(r"The gradient in the activities", energy, stationarity, differentiate(*z)),
        Step("The gradient in the weights", energy, sp.Matrix(gradient), differentiate(*w)),
        Step(
            r"$w_{l+1} G_{l+1} - G_l w_l$ is $-\epsilon_l^2$ plus $z_l \, \partial F / \partial z_l$, which is zero where the activities are stationary",
            law,
            errors_squared + remainder,
            algebra(),
        ),
    )
    return Derivation("balance-law", f"Balance of piecewise linear units, chain of depth {depth}", steps)


def critical_points(depth: int) -> Derivation:
    r"""$\theta$ is critical iff $A_L r = 0$ for every sample and $\langle r x \rangle Q_{L-1} = 0$ (`critical-points`)."""
    chain = Chain(depth, unit_precisions=True)
    S = sp.Symbol("S", positive=True)
    squared, cross = sp.Symbol("R", nonnegative=True), sp.Symbol("C", real=True)
    where = {S: chain.rescaling, squared: batch(chain)[0], cross: batch(chain)[1]}
    A, energy = chain.maps, equilibrated(chain)
    gradient = sp.Matrix([energy.diff(map_) for map_ in A])
    last = A[-1]
    combination = S**2 * (gradient[depth - 2] * A[depth - 2] - gradient[depth - 1] * last)
    inner = [chain.product(depth - 1, l) for l in range(1, depth)]
    through = [
        -last * inner[l - 1] / S * (cross * chain.Q(l - 1) + squared * chain.gain(l - 1) / S)
        for l in range(1, depth)
    ]
    top = -cross * chain.Q(depth - 1) / S - last * squared * chain.marginal(depth - 1) / S**2
    steps = (
        Step(
            r"$A_L^2 \langle r^2 \rangle$ is a combination of the gradients: if all vanish, so does $A_L r$ for every sample",
            combination,
            last**2 * squared,
            algebra(),
            where,
        ),
        Step(
            r"The gradient, with $C = \langle r x \rangle$: below the output it carries $A_L R$ and $A_L C$; at the output it is $-C Q_{L-1} / S$ and a part with $A_L R$",
            energy,
            sp.Matrix([*through, top]),
            differentiate(*A),
            where,
        ),
        Step(
            r"so that with $A_L = 0$ it vanishes iff $C Q_{L-1} = 0$",
            gradient,
            sp.Matrix([*(sp.S.Zero for _ in inner), -MOMENTS[1] * chain.Q(depth - 1)]),
            substitute({last: sp.S.Zero}),
        ),
        Step(
            "and there the rescaling is 1, so that the energy is the loss",
            chain.rescaling,
            sp.S.One,
            substitute({last: sp.S.Zero}),
        ),
    )
    return Derivation("critical-points", f"The critical points, chain of depth {depth}", steps)


DERIVATIONS: Mapping[str, Callable[[], Derivation]] = {
    f"{name}-{depth}": partial(builder, depth)
    for name, builder in (
        ("balance-law/chain", balance_law),
        ("balance-law/homogeneous-chain", homogeneous_balance),
        ("critical-points/chain", critical_points),
    )
    for depth in range(2, 6)
}
