r"""Chains: the curvature of the energy in the hidden activities and in error coordinates, and what it says about posteriors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import sympy as sp

from .chain import Chain
from .derivation import Derivation, Step
from .elimination import eigenvalues, invert, take_determinant
from .rules import algebra, differentiate, integrate, second_derivatives, substitute


def block_tridiagonal(chain: Chain) -> sp.Matrix:
    r"""$H_{ll} = \Pi_l + A_{l+1}^2 \Pi_{l+1}$, $H_{l,l+1} = -A_{l+1} \Pi_{l+1}$: the closed form, not the derivative."""
    A, pi, hidden = chain.maps, chain.precisions, chain.depth - 1
    H = sp.zeros(hidden, hidden)
    for i in range(hidden):
        H[i, i] = pi[i] + A[i + 1] ** 2 * pi[i + 1]
        if i + 1 < hidden:
            H[i, i + 1] = H[i + 1, i] = -A[i + 1] * pi[i + 1]
    return H


def activity_hessian(depth: int) -> Derivation:
    r"""$F = \tfrac12 z^T H z - b^T z + c$ with H tridiagonal and b in its first and last block (`activity-hessian`)."""
    chain = Chain(depth)
    z, A, pi = chain.activities, chain.maps, chain.precisions
    H = block_tridiagonal(chain)
    b = sp.zeros(depth - 1, 1)
    b[0] += pi[0] * A[0] * chain.x
    b[depth - 2] += A[depth - 1] * pi[depth - 1] * chain.y
    gradient = sp.Matrix([chain.energy.diff(activity) for activity in z])
    steps = (
        Step("The second derivatives in the hidden activities", chain.energy, H, second_derivatives(*z)),
        Step("The gradient", chain.energy, gradient, differentiate(*z)),
        Step(r"At $z = 0$ it is $-b$", gradient, -b, substitute(dict.fromkeys(z, sp.S.Zero))),
    )
    return Derivation("activity-hessian", f"Activity Hessian, chain of depth {depth}", steps)


def hessian_determinant(depth: int) -> Derivation:
    r"""$\det H = S \prod_l \Pi_l$ (`hessian-determinant`)."""
    chain = Chain(depth)
    H = block_tridiagonal(chain)
    _, S = chain.abbreviations
    steps = (
        Step("The activity Hessian", chain.energy, H, second_derivatives(*chain.activities)),
        Step(
            "Its determinant",
            H,
            S * sp.Mul(*chain.precisions),
            take_determinant(),
            {S: chain.rescaling},
        ),
    )
    return Derivation("hessian-determinant", f"Determinant of the Hessian, chain of depth {depth}", steps)


def posterior(depth: int) -> Derivation:
    r"""$H^{-1}$ is the posterior covariance: prior covariance minus what the observed output explains (`posterior`)."""
    chain = Chain(depth)
    H = block_tridiagonal(chain)
    _, S = chain.abbreviations
    hidden = range(1, depth)
    prior = sp.Matrix(
        [[chain.product(max(i, j), min(i, j)) * chain.marginal(min(i, j)) for j in hidden] for i in hidden]
    )
    with_output = sp.Matrix([chain.gain(layer) for layer in hidden])
    offset = sp.Matrix([*(z - value for z, value in chain.equilibrium_values.items())])
    quadratic = (offset.T * H * offset)[0] / 2
    minimum = chain.residual**2 / (2 * chain.rescaling)
    steps = (
        Step(
            r"The energy is $F^* + \tfrac12 (z - z^*)^T H (z - z^*)$, so that $e^{-F}$ is a Gaussian with precision $H$",
            chain.energy,
            minimum + quadratic,
            algebra(),
        ),
        Step(
            r"Its covariance is that of the prior $z_l = A_l z_{l-1} + \epsilon_l$, less the regression on the output",
            H,
            prior - with_output * with_output.T / S,
            invert(),
            {S: chain.rescaling},
        ),
    )
    return Derivation("posterior", f"Posterior covariance, chain of depth {depth}", steps)


def gaussian_marginal(depth: int) -> Derivation:
    r"""$p(y|x) = N(P_0 x, S)$: the hidden layers are integrated out one by one (`gaussian-marginal`)."""
    chain = Chain(depth)
    variance, precision, width = sp.symbols("V Pi J", positive=True)
    mean, shift, below, above, A = sp.symbols("m c u v A", real=True)
    # One layer: N(u; m, V) times N(v; A u, 1 / Pi), integrated over u.
    exponent = (below - mean) ** 2 / (2 * variance) + precision * (above - A * below) ** 2 / 2
    joint = 1 / variance + A**2 * precision
    centre = (mean / variance + A * precision * above) / joint
    spread = variance * A**2 + 1 / precision
    completed = joint * (below - centre) ** 2 / 2 + (above - A * mean) ** 2 / (2 * spread)
    steps = [
        Step(
            "One layer: complete the square of the joint exponent in $u = z_{l-1}$, with $v = z_l$",
            exponent,
            completed,
            algebra(),
        ),
        Step(
            "The integral over $u$",
            sp.exp(-width * (below - shift) ** 2 / 2),
            sp.sqrt(2 * sp.pi / width),
            integrate(below),
        ),
        Step(
            r"The square of the normalisation is that of a Gaussian of variance $A^2 V + 1/\Pi$",
            precision / (2 * sp.pi) / (2 * sp.pi * variance) * (2 * sp.pi / joint),
            1 / (2 * sp.pi * spread),
            algebra(),
        ),
    ]
    for layer in range(2, depth + 1):
        propagated = chain.maps[layer - 1] ** 2 * chain.marginal(layer - 1) + 1 / chain.precisions[layer - 1]
        statement = f"So the variance of $z_{layer}$ given $x$ is"
        steps.append(Step(statement, propagated, chain.marginal(layer), algebra()))
    _, S = chain.abbreviations
    where = {S: chain.rescaling}
    steps.append(Step("which at the output is the rescaling", chain.marginal(depth), S, algebra(), where))
    return Derivation("gaussian-marginal", f"Marginal of the output, chain of depth {depth}", tuple(steps))


def error_coordinates(depth: int) -> Derivation:
    r"""In error coordinates the Hessian is $I + P P^T$, with spectrum {1, S}; the first step is backprop's (`error-coordinates`)."""
    chain = Chain(depth, unit_precisions=True)
    e = chain.errors
    variable = sp.Symbol("lambda")
    layers: list[sp.Expr] = []
    for layer in range(1, depth):
        below = layers[-1] if layers else chain.x
        layers.append(chain.maps[layer - 1] * below + e[layer - 1])
    r, S = chain.abbreviations
    P = sp.Matrix([chain.P(layer) for layer in range(1, depth)])
    energy = sp.Add(*(error**2 for error in e)) / 2 + (r - (P.T * sp.Matrix(e))[0]) ** 2 / 2
    written_out = energy.xreplace({r: chain.residual})
    hessian = sp.eye(depth - 1) + P * P.T
    steps = (
        Step(
            r"Insert $z_l = A_l z_{l-1} + \epsilon_l$",
            chain.energy,
            energy,
            substitute(dict(zip(chain.activities, layers, strict=True))),
            {r: chain.residual},
        ),
        Step("The second derivatives", written_out, hessian, second_derivatives(*e)),
        Step(
            "Their eigenvalues: 1, and $S$ once",
            hessian,
            (variable - 1) ** (depth - 2) * (variable - S),
            eigenvalues(variable),
            {S: chain.rescaling},
        ),
        Step(
            "The slope",
            written_out,
            sp.Matrix(
                [
                    error - weight * (chain.residual - (P.T * sp.Matrix(e))[0])
                    for error, weight in zip(e, P, strict=True)
                ]
            ),
            differentiate(*e),
        ),
        Step(
            r"The first step from $\epsilon = 0$ is backprop's error $P_l r$",
            -sp.Matrix([written_out.diff(error) for error in e]),
            P * r,
            substitute(dict.fromkeys(e, sp.S.Zero)),
            {r: chain.residual},
        ),
    )
    return Derivation("error-coordinates", f"Error coordinates, chain of depth {depth}", steps)


DERIVATIONS: Mapping[str, Callable[[], Derivation]] = {
    f"{name}/chain-{depth}": partial(builder, depth)
    for name, builder, depths in (
        ("activity-hessian", activity_hessian, range(2, 7)),
        ("hessian-determinant", hessian_determinant, range(2, 7)),
        ("posterior", posterior, range(2, 6)),
        ("gaussian-marginal", gaussian_marginal, range(1, 7)),
        ("error-coordinates", error_coordinates, range(2, 7)),
    )
    for depth in depths
}
