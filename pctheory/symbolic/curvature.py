r"""Chains: the curvature of the energy in activities and in error coordinates, and the posterior."""

from __future__ import annotations

import sympy as sp

from .cases import Family, cases
from .chain import ENERGY, Chain, stationary_steps
from .derivation import Derivation, Step
from .elimination import eigenvalues, invert, take_determinant
from .exact import gradient
from .means import integrate
from .rules import algebra, differentiate, second_derivatives, substitute


def block_tridiagonal(chain: Chain) -> sp.Matrix:
    r"""Write the activity Hessian in closed form.

    $H_{ll} = \Pi_l + A_{l+1}^2 \Pi_{l+1}$ and $H_{l,l+1} = -A_{l+1} \Pi_{l+1}$.

    Parameters
    ----------
    chain : Chain
        The chain whose maps and precisions the entries are made of.

    Returns
    -------
    sympy Matrix
        $L - 1$ rows and columns.
    """
    A, pi, hidden = chain.maps, chain.precisions, chain.depth - 1
    H = sp.zeros(hidden, hidden)
    for i in range(hidden):
        H[i, i] = pi[i] + A[i + 1] ** 2 * pi[i + 1]
        if i + 1 < hidden:
            H[i, i + 1] = H[i + 1, i] = -A[i + 1] * pi[i + 1]
    return H


def hessian_step(chain: Chain) -> Step:
    """Differentiate the energy twice in the hidden activities.

    Parameters
    ----------
    chain : Chain
        The chain whose energy is differentiated.

    Returns
    -------
    Step
        It has the label `Hessian`.
    """
    return Step(
        "The second derivatives in the hidden activities",
        chain.energy,
        block_tridiagonal(chain),
        second_derivatives(*chain.activities),
        given=ENERGY,
        label="Hessian",
    )


def activity_hessian(hidden_layers: int) -> Derivation:
    r"""$F = \tfrac12 z^T H z - b^T z + c$ with H tridiagonal and b in its first and last block.

    Claim `activity-hessian`.

    Parameters
    ----------
    hidden_layers : int
        Number of hidden layers, 1 or more.

    Returns
    -------
    Derivation
    """
    chain = Chain(hidden_layers + 1)
    z, A, pi = chain.activities, chain.maps, chain.precisions
    b = sp.zeros(hidden_layers, 1)
    b[0] += pi[0] * A[0] * chain.x
    b[hidden_layers - 1] += A[-1] * pi[-1] * chain.y
    slope = gradient(chain.energy, z)
    steps = (
        hessian_step(chain),
        Step("The gradient", chain.energy, slope, differentiate(*z), given=ENERGY),
        Step(r"At $z = 0$ it is $-b$", slope, -b, substitute(dict.fromkeys(z, sp.S.Zero))),
    )
    return Derivation("activity-hessian", f"Activity Hessian, {chain.described}", steps)


def hessian_determinant(hidden_layers: int) -> Derivation:
    r"""The determinant of the activity Hessian is $\det H = S \prod_l \Pi_l$.

    Claim `hessian-determinant`.

    Parameters
    ----------
    hidden_layers : int
        Number of hidden layers, 1 or more.

    Returns
    -------
    Derivation
    """
    chain = Chain(hidden_layers + 1)
    _, S = chain.abbreviations
    steps = (
        hessian_step(chain),
        Step(
            "Its determinant",
            block_tridiagonal(chain),
            S * sp.Mul(*chain.precisions),
            take_determinant(),
            {S: chain.rescaling},
        ),
    )
    return Derivation("hessian-determinant", f"Determinant of the Hessian, {chain.described}", steps)


def posterior(hidden_layers: int) -> Derivation:
    r"""$H^{-1}$ is the posterior covariance: that of the prior, less what the output explains.

    Claim `posterior`.

    Parameters
    ----------
    hidden_layers : int
        Number of hidden layers, 1 or more.

    Returns
    -------
    Derivation
    """
    chain = Chain(hidden_layers + 1)
    H = block_tridiagonal(chain)
    _, S = chain.abbreviations
    hidden = range(1, chain.depth)
    prior = sp.Matrix(
        [[chain.product(max(i, j), min(i, j)) * chain.marginal(min(i, j)) for j in hidden] for i in hidden]
    )
    with_output = sp.Matrix([chain.gain(layer) for layer in hidden])
    optimum = sp.symbols(f"z^*_1:{chain.depth}", real=True)
    offset = sp.Matrix(chain.activities) - sp.Matrix(optimum)
    where = chain.abbreviations | dict(zip(optimum, chain.closed_activities, strict=True))
    r, S = chain.abbreviations
    steps = (
        *stationary_steps(chain),
        Step(
            r"It is $F^* + \tfrac12 (z - z^*)^T H (z - z^*)$, so that $e^{-F}$ is a Gaussian with "
            "precision $H$",
            chain.energy,
            r**2 / (2 * S) + (offset.T * H * offset)[0] / 2,
            algebra(),
            where,
            given=ENERGY,
            using={"equilibrium": optimum},
        ),
        hessian_step(chain),
        Step(
            r"Its inverse is the covariance of the prior $z_l = A_l z_{l-1} + \epsilon_l$, less the "
            "regression on the output",
            H,
            prior - with_output * with_output.T / S,
            invert(),
            {S: chain.rescaling},
        ),
    )
    return Derivation("posterior", f"Posterior covariance, {chain.described}", steps)


def gaussian_marginal(hidden_layers: int) -> Derivation:
    r"""The output has the distribution $p(y|x) = N(P_0 x, S)$, hidden layers integrated out.

    Claim `gaussian-marginal`.

    Parameters
    ----------
    hidden_layers : int
        Number of hidden layers, 1 or more.

    Returns
    -------
    Derivation
        It ends in the square of the normalising factor, $1 / 2 \pi S$.
    """
    chain = Chain(hidden_layers + 1)
    variance, precision, joint = sp.symbols("V Pi J", positive=True)
    mean, centre, below, above, A = sp.symbols("m c u v A", real=True)
    integral = sp.Symbol("I", positive=True)
    spread = variance * A**2 + 1 / precision
    where = {joint: 1 / variance + A**2 * precision}
    where[centre] = (mean / variance + A * precision * above) / joint
    steps = [
        Step(
            r"One layer ($u = z_{l-1}$, $v = z_l$): complete the square in $u$",
            (below - mean) ** 2 / (2 * variance) + precision * (above - A * below) ** 2 / 2,
            joint * (below - centre) ** 2 / 2 + (above - A * mean) ** 2 / (2 * spread),
            algebra(),
            where,
            given=r"minus the exponent of $N(u; m, V) \, N(v; A u, 1/\Pi)$",
        ),
        Step(
            "Integrate it over $u$",
            sp.exp(-joint * (below - centre) ** 2 / 2),
            sp.sqrt(2 * sp.pi / joint),
            integrate(below),
            given=r"the factor $e^{-J (u - c)^2 / 2}$ of the joint density, for any $J$ and $c$",
            label="integral",
        ),
        Step(
            r"The square of the factor before $e^{-(v - A m)^2 / 2 (A^2 V + 1/\Pi)}$ is that of a Gaussian "
            "in $v$",
            precision / (2 * sp.pi) / (2 * sp.pi * variance) * integral**2,
            1 / (2 * sp.pi * spread),
            algebra(),
            {joint: where[joint], integral: sp.sqrt(2 * sp.pi / joint)},
            using={"integral": integral},
            label="one layer",
        ),
    ]
    for layer in range(2, chain.depth + 1):
        inserted = {
            variance: chain.marginal(layer - 1),
            A: chain.maps[layer - 1],
            precision: chain.precisions[layer - 1],
        }
        steps.append(
            Step(
                f"In layer {layer}, with the variance $V$ of layer {layer - 1} given $x$",
                1 / (2 * sp.pi * spread),
                1 / (2 * sp.pi * chain.marginal(layer)),
                substitute(inserted),
                follows="one layer",
            )
        )
    return Derivation("gaussian-marginal", f"Marginal of the output, {chain.described}", tuple(steps))


def error_coordinates(hidden_layers: int) -> Derivation:
    r"""In error coordinates the Hessian is $I + P P^T$; the first step is backprop's error.

    Claim `error-coordinates`.

    Parameters
    ----------
    hidden_layers : int
        Number of hidden layers, 1 or more.

    Returns
    -------
    Derivation
    """
    chain = Chain(hidden_layers + 1, unit_precisions=True)
    e = chain.errors
    variable = sp.Symbol("lambda")
    r, S = chain.abbreviations
    P = sp.Matrix([chain.P(layer) for layer in range(1, chain.depth)])
    left = r - (P.T * sp.Matrix(e))[0]
    energy = sp.Add(*(error**2 for error in e)) / 2 + left**2 / 2
    hessian = sp.eye(hidden_layers) + P * P.T
    slope = sp.Matrix([error - weight * left for error, weight in zip(e, P, strict=True)])
    where = {r: chain.residual}
    steps = (
        Step(
            r"Insert $z_l = A_l z_{l-1} + \epsilon_l$",
            chain.energy,
            energy,
            substitute(dict(zip(chain.activities, in_errors(chain), strict=True))),
            where,
            given=ENERGY,
            label="energy in errors",
        ),
        Step("The second derivatives", energy, hessian, second_derivatives(*e), where),
        Step(
            "Their eigenvalues: 1, and $S$ once",
            hessian,
            (variable - 1) ** (hidden_layers - 1) * (variable - S),
            eigenvalues(variable),
            {S: chain.rescaling},
        ),
        Step("The slope", energy, slope, differentiate(*e), where, follows="energy in errors"),
        Step(
            r"At $\epsilon = 0$ it is minus backprop's error $P_l r$: the first step goes along that",
            slope,
            -P * r,
            substitute(dict.fromkeys(e, sp.S.Zero)),
            where,
        ),
    )
    return Derivation("error-coordinates", f"Error coordinates, {chain.described}", steps)


def in_errors(chain: Chain) -> list[sp.Expr]:
    r"""Write the hidden activities in the errors: $z_l = A_l z_{l-1} + \epsilon_l$.

    Parameters
    ----------
    chain : Chain
        The chain with the maps $A_l$, the input x and the errors.

    Returns
    -------
    list of sympy expressions
    """
    layers: list[sp.Expr] = []
    for A, error in zip(chain.maps, chain.errors, strict=False):
        layers.append(A * (layers[-1] if layers else chain.x) + error)
    return layers


FAMILIES = (
    Family("activity-hessian", activity_hessian, cases(hidden_layers=range(1, 6))),
    Family("hessian-determinant", hessian_determinant, cases(hidden_layers=range(1, 6))),
    Family("posterior", posterior, cases(hidden_layers=range(1, 5))),
    Family("gaussian-marginal", gaussian_marginal, cases(hidden_layers=range(1, 6))),
    Family("error-coordinates", error_coordinates, cases(hidden_layers=range(1, 6))),
)
