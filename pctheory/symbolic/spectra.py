r"""Modes of inference: the best step, the spectrum of a chain of isometries, and errors that arrive late."""

from __future__ import annotations

import sympy as sp

from .cases import Family, cases
from .chain import Chain
from .curvature import block_tridiagonal, hessian_step
from .derivation import Derivation, Step
from .elimination import eigenvalues, roots
from .means import limit, sign
from .rules import algebra, differentiate, substitute

_STEP = sp.Symbol("g", positive=True)


def best_step() -> Derivation:
    r"""The best step is $g = 2 / (\lambda_{min} + \lambda_{max})$, at rate $(\kappa - 1)/(\kappa + 1)$.

    Claim `inference-rate`.

    Returns
    -------
    Derivation
    """
    low, spread, change = sp.symbols("lambda_min delta h", positive=True)
    curvature = sp.Symbol("lambda", positive=True)
    rho, factor = sp.symbols("rho f", real=True)
    high = low + spread
    best = 2 / (low + high)
    rate = (high / low - 1) / (high / low + 1)
    premise = r"the factor $1 - g \lambda$ of a mode with curvature $\lambda$"
    mode = 1 - _STEP * curvature
    longer = 2 / high + change
    shorter = 2 / high - change

    def at(statement: str, step: sp.Expr, mode_curvature: sp.Expr, outcome: sp.Expr, label: str) -> Step:
        inserted = substitute({_STEP: step, curvature: mode_curvature})
        return Step(statement, mode, outcome, inserted, given=premise, label=label)

    steps = (
        at(
            r"At $g = 2/(\lambda_{\min} + \lambda_{\max})$, $\lambda_{\max} = \lambda_{\min} + \delta$: "
            "the slowest mode",
            best,
            low,
            rate,
            "slowest",
        ),
        at("The fastest has the same rate, with the other sign", best, high, -rate, "fastest"),
        at(
            "With a step shorter by $h$ the slowest mode has",
            best - change,
            low,
            rate + change * low,
            "shorter",
        ),
        Step(
            "which is slower",
            factor - rho,
            change * low,
            sign(">"),
            {factor: rate + change * low, rho: rate},
            using={"shorter": factor, "slowest": rho},
        ),
        at("With a longer one the fastest has", best + change, high, -rate - change * high, "longer"),
        Step(
            "whose size is larger",
            rho - factor,
            change * high,
            sign(">"),
            {factor: -rate - change * high, rho: -rate},
            using={"longer": factor, "fastest": rho},
        ),
        at(r"At $g = 2/\lambda_{\max} - h$ the fastest mode has", shorter, high, change * high - 1, "stable"),
        Step(
            "above $-1$: it decays",
            factor + 1,
            change * high,
            sign(">"),
            {factor: change * high - 1},
            using={"stable": factor},
        ),
        at(r"At $g = 2/\lambda_{\max} + h$ it has", longer, high, -1 - change * high, "unstable"),
        Step(
            "below $-1$: it grows",
            -1 - factor,
            change * high,
            sign(">"),
            {factor: -1 - change * high},
            using={"unstable": factor},
        ),
    )
    return Derivation("inference-rate", "The best step of inference", steps)


def path_spectrum(hidden_layers: int) -> Derivation:
    r"""Orthogonal maps (here 1): the eigenvalues of H are $2 - 2\cos(k\pi/L)$.

    Claim `chain-spectrum`.

    Parameters
    ----------
    hidden_layers : int
        Number of hidden layers, 1 or more.

    Returns
    -------
    Derivation
    """
    chain = Chain(hidden_layers + 1, unit_precisions=True)
    ones = dict.fromkeys(chain.maps, sp.S.One)
    path = block_tridiagonal(chain).subs(ones)
    values = [2 - 2 * sp.cos(k * sp.pi / chain.depth) for k in range(1, chain.depth)]
    steps = (
        hessian_step(chain),
        Step(
            "With $A_l = 1$ it is the path graph's",
            block_tridiagonal(chain),
            path,
            substitute(ones),
            label="path",
        ),
        Step("Its eigenvalues", path, sp.Matrix([values]), eigenvalues(sp.Symbol("lambda"))),
    )
    return Derivation("chain-spectrum", f"Spectrum of the Hessian, {chain.described}", steps)


def path_eigenvectors() -> Derivation:
    r"""Any depth: $v_j = \sin(j\theta)$, $\theta = k\pi/L$, has eigenvalue $2 - 2\cos\theta$.

    Claim `chain-spectrum`.

    Returns
    -------
    Derivation
    """
    theta = sp.Symbol("theta", real=True)
    j, k, depth = sp.symbols("j k L", integer=True, positive=True)
    row, low, high, condition = sp.symbols("v rho_1 rho_2 kappa", real=True)
    row_of = (2 - 2 * sp.cos(theta)) * sp.sin(j * theta)
    smallest, largest = (2 - 2 * sp.cos(angle) for angle in (sp.pi / depth, (depth - 1) * sp.pi / depth))
    ratio = (1 + sp.cos(sp.pi / depth)) / (1 - sp.cos(sp.pi / depth))
    in_angle = (1 + sp.cos(theta)) / (1 - sp.cos(theta))
    steps = (
        Step(
            "It is a multiple of $v_j$",
            sp.expand_trig(2 * sp.sin(j * theta) - sp.sin((j - 1) * theta) - sp.sin((j + 1) * theta)),
            row_of,
            algebra(),
            given="row $j$ of the path graph's matrix times $v$, $2 v_j - v_{j-1} - v_{j+1}$ with $v_j = "
            r"\sin(j \theta)$",
            label="row",
        ),
        Step(
            r"At $\theta = k\pi/L$ it is zero, as it must be",
            sp.sin(depth * theta),
            sp.S.Zero,
            substitute({theta: k * sp.pi / depth}),
            given="the entry beyond the end, $v_L$",
        ),
        Step(
            "The row over $v_j$ is the eigenvalue: the largest, at $k = L - 1$",
            row / sp.sin(j * theta),
            largest,
            substitute({theta: (depth - 1) * sp.pi / depth}),
            {row: row_of},
            using={"row": row},
            label="largest",
        ),
        Step(
            "The smallest, at $k = 1$",
            row / sp.sin(j * theta),
            smallest,
            substitute({theta: sp.pi / depth}),
            {row: row_of},
            using={"row": row},
            label="smallest",
        ),
        Step(
            "Their ratio, the condition number",
            high / low,
            ratio,
            algebra(),
            {high: largest, low: smallest},
            using={"largest": high, "smallest": low},
        ),
        Step(
            r"With $\theta = \pi / L$",
            ratio,
            in_angle,
            substitute({depth: sp.pi / theta}),
            label="condition number",
        ),
        Step(
            r"it grows as $4 L^2 / \pi^2$",
            condition * theta**2,
            sp.Integer(4),
            limit(theta, sp.S.Zero),
            {condition: in_angle},
            using={"condition number": condition},
        ),
    )
    return Derivation("chain-spectrum", "Eigenvectors of a chain of any depth", steps)


def delayed_errors() -> Derivation:
    r"""Errors one step late: $\mu^2 - \mu + g s^2 = 0$ leaves the unit circle at $g s^2 = 1$, at 60 degrees.

    Claim `stability-delay`.

    Returns
    -------
    Derivation
    """
    mu, s = sp.Symbol("mu"), sp.Symbol("s", positive=True)
    z, old, new = sp.symbols("z z_{t-1} z_{t+1}", real=True)
    load = sp.Symbol("c", positive=True)
    inside, outside = sp.symbols("u v", positive=True)
    late = sp.Symbol("D", real=True)
    first, second, modulus = sp.symbols("mu_1 mu_2 m")
    polynomial = mu**2 - mu + load
    half, quarter = sp.Rational(1, 2), sp.Rational(1, 4)
    unit = half + sp.sqrt(3) * sp.I / 2
    pair = sp.Matrix([[half + sp.I * sp.sqrt(inside), half - sp.I * sp.sqrt(inside)]])
    real_pair = sp.Matrix([[(1 + inside) / 2, (1 - inside) / 2]])

    def special(statement: str, value: sp.Expr) -> Step:
        return Step(
            statement,
            polynomial,
            sp.expand(polynomial.subs(load, value)),
            substitute({load: value}),
            follows="polynomial",
        )

    steps = (
        Step(
            "Its slope",
            s**2 * z**2 / 2,
            s**2 * z,
            differentiate(z),
            given="the energy of a mode with curvature $s^2$",
        ),
        Step("The slope one step before", s**2 * z, s**2 * old, substitute({z: old}), label="late slope"),
        Step(
            r"With $z_t = \mu^t$, divided by $\mu^{t-1}$",
            new - z + _STEP * late,
            mu**2 - mu + _STEP * s**2,
            substitute({new: mu**2, z: mu, old: sp.S.One}),
            {late: s**2 * old},
            given="the step of descent with the late slope, $z_{t+1} - z_t + g D = 0$",
            using={"late slope": late},
        ),
        Step(
            "With the gain $c = g s^2$",
            mu**2 - mu + _STEP * s**2,
            polynomial,
            substitute({_STEP: load / s**2}),
            label="polynomial",
        ),
        special(r"For $c = u + \tfrac14 > \tfrac14$", inside + quarter),
        Step(
            "the roots are complex, a conjugate pair",
            mu**2 - mu + inside + quarter,
            pair,
            roots(mu),
            label="complex roots",
        ),
        Step(
            "The squared modulus of both, their product, is $c$",
            first * second,
            inside + quarter,
            algebra(),
            dict(zip((first, second), pair, strict=True)),
            using={"complex roots": (first, second)},
            label="modulus",
        ),
        Step(
            "For $c = 1 / (1 + v) < 1$, what it lacks of 1",
            1 - modulus,
            outside / (1 + outside),
            substitute({inside: 1 / (1 + outside) - quarter}),
            {modulus: inside + quarter},
            using={"modulus": modulus},
        ),
        Step(
            "is positive: the roots lie inside the unit circle",
            outside / (1 + outside),
            outside / (1 + outside),
            sign(">"),
        ),
        special("At $c = 1$", sp.S.One),
        Step("the roots are", mu**2 - mu + 1, sp.Matrix([[unit, unit.conjugate()]]), roots(mu)),
        Step(
            "on the circle, at 60 degrees",
            sp.Matrix([[unit, unit.conjugate()]]),
            sp.Matrix([[sp.exp(sp.I * sp.pi / 3), sp.exp(-sp.I * sp.pi / 3)]]),
            algebra(),
        ),
        special(r"For $c = (1 - u^2)/4 < \tfrac14$", (1 - inside**2) / 4),
        Step(
            "both roots are real",
            mu**2 - mu + (1 - inside**2) / 4,
            real_pair,
            roots(mu),
            label="real roots",
        ),
        Step(
            "For $u = 1 / (1 + v) < 1$, what the larger one lacks of 1",
            1 - first,
            outside / (2 * (1 + outside)),
            substitute({inside: 1 / (1 + outside)}),
            dict(zip((first, second), real_pair, strict=True)),
            using={"real roots": (first, second)},
        ),
        Step("is positive", outside / (2 * (1 + outside)), outside / (2 * (1 + outside)), sign(">")),
    )
    return Derivation("stability-delay", "Errors that arrive one step late", steps)


FAMILIES = (
    Family("inference-rate", best_step, cases()),
    Family("chain-spectrum", path_eigenvectors, cases()),
    Family("stability-delay", delayed_errors, cases()),
    Family("chain-spectrum", path_spectrum, cases(hidden_layers=range(1, 6))),
)
