r"""Modes of inference: the best step, the spectrum of a chain of isometries, and errors that arrive late."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import sympy as sp

from .chain import Chain
from .curvature import block_tridiagonal
from .derivation import Derivation, Step
from .elimination import eigenvalues, roots
from .rules import algebra, differentiate, limit, sign, substitute

_STEP = sp.Symbol("g", positive=True)


def best_step() -> Derivation:
    r"""$g = 2 / (\lambda_{min} + \lambda_{max})$ is best, at rate $(\kappa - 1)/(\kappa + 1)$ (`inference-rate`)."""
    low, spread, change = sp.symbols("lambda delta h", positive=True)
    high = low + spread
    best = 2 / (low + high)
    rate = (high / low - 1) / (high / low + 1)
    steps = (
        Step(
            r"At $g = 2/(\lambda_{\min} + \lambda_{\max})$ the slowest mode contracts at",
            1 - best * low,
            rate,
            algebra(),
        ),
        Step("and the fastest at the same rate, with the other sign", 1 - best * high, -rate, algebra()),
        Step(
            "A smaller step makes the slowest mode slower",
            1 - (best - change) * low - rate,
            change * low,
            sign(">"),
        ),
        Step("a larger one the fastest", -(1 - (best + change) * high) - rate, change * high, sign(">")),
        Step(
            r"No mode grows iff $-1 < 1 - g \lambda$: at $g = 2/\lambda - h$ the fastest one has",
            1 - (2 / high - change) * high + 1,
            change * high,
            sign(">"),
        ),
        Step(
            r"and at $g = 2/\lambda + h$ it grows",
            -1 - (1 - (2 / high + change) * high),
            change * high,
            sign(">"),
        ),
    )
    return Derivation("inference-rate", "The best step of inference", steps)


def path_spectrum(depth: int) -> Derivation:
    r"""Orthogonal maps (here 1): the eigenvalues of H are $2 - 2\cos(k\pi/L)$ (`chain-spectrum`)."""
    chain = Chain(depth, unit_precisions=True)
    H = block_tridiagonal(chain)
    variable = sp.Symbol("lambda")
    values = [2 - 2 * sp.cos(k * sp.pi / depth) for k in range(1, depth)]
    path = H.subs(dict.fromkeys(chain.maps, sp.S.One))
    steps = (
        Step(
            "With $A_l = 1$ the Hessian is the path graph's",
            H,
            path,
            substitute(dict.fromkeys(chain.maps, sp.S.One)),
        ),
        Step("Its eigenvalues", path, sp.Matrix([values]), eigenvalues(variable)),
    )
    return Derivation("chain-spectrum", f"Spectrum of the Hessian, chain of depth {depth}", steps)


def path_eigenvectors() -> Derivation:
    r"""Any depth: $v_j = \sin(j\theta)$ with $\theta = k\pi/L$ has eigenvalue $2 - 2\cos\theta$ (`chain-spectrum`)."""
    theta = sp.Symbol("theta", real=True)
    j, k, depth = sp.symbols("j k L", integer=True, positive=True)
    row = 2 * sp.sin(j * theta) - sp.sin((j - 1) * theta) - sp.sin((j + 1) * theta)
    condition = (1 + sp.cos(sp.pi / depth)) / (1 - sp.cos(sp.pi / depth))
    largest = 2 - 2 * sp.cos((depth - 1) * sp.pi / depth)
    smallest = 2 - 2 * sp.cos(sp.pi / depth)
    steps = (
        Step(
            "One row of the path graph's matrix",
            sp.expand_trig(row.expand(trig=False)),
            (2 - 2 * sp.cos(theta)) * sp.sin(j * theta),
            algebra(),
        ),
        Step(
            r"The vector ends at zero: $\sin(L \theta) = 0$ at $\theta = k\pi/L$",
            sp.sin(depth * theta),
            sp.S.Zero,
            substitute({theta: k * sp.pi / depth}),
        ),
        Step("The condition number", largest / smallest, condition, algebra()),
        Step(
            r"grows as $4 L^2 / \pi^2$ ($h = \pi / L$)",
            (1 + sp.cos(theta)) / (1 - sp.cos(theta)) * theta**2,
            sp.Integer(4),
            limit(theta, sp.S.Zero),
        ),
    )
    return Derivation("chain-spectrum", "Eigenvectors of a chain of any depth", steps)


def delayed_errors() -> Derivation:
    r"""Errors one step late: $\mu^2 - \mu + g s^2 = 0$ leaves the unit circle at $g s^2 = 1$, angle 60 degrees (`stability-delay`)."""
    mu, s = sp.Symbol("mu"), sp.Symbol("s", positive=True)
    z, old = sp.symbols("z z_{t-1}", real=True)
    energy = s**2 * z**2 / 2
    load = sp.Symbol("c", positive=True)
    inside, outside = sp.symbols("u v", positive=True)
    polynomial = mu**2 - mu + load
    root = sp.sqrt(3) * sp.I / 2
    real, angle = sp.Rational(1, 2), sp.Symbol("phi", real=True)
    steps = (
        Step("A mode of the energy with curvature $s^2$", energy, s**2 * z, differentiate(z)),
        Step(
            r"$z_{t+1} = z_t - g s^2 z_{t-1}$ with $z_t = \mu^t$, divided by $\mu^{t-1}$",
            mu**2 - (z - _STEP * s**2 * old),
            mu**2 - mu + _STEP * s**2,
            substitute({z: mu, old: sp.S.One}),
        ),
        Step(
            r"With $c = g s^2 \ge 1/4$ the roots are complex, a conjugate pair",
            polynomial.subs(load, inside + sp.Rational(1, 4)),
            sp.Matrix([[real + sp.I * sp.sqrt(inside), real - sp.I * sp.sqrt(inside)]]),
            roots(mu),
        ),
        Step(
            "whose squared modulus is $c$",
            real**2 + inside,
            load,
            algebra(),
            {load: inside + sp.Rational(1, 4)},
        ),
        Step(
            "so that for $c = 1 / (1 + v) < 1$ they lie inside the unit circle",
            1 - 1 / (1 + outside),
            outside / (1 + outside),
            sign(">"),
        ),
        Step("At $c = 1$", polynomial.subs(load, 1), sp.Matrix([[real + root, real - root]]), roots(mu)),
        Step(
            r"they stand on it at 60 degrees",
            sp.cos(angle) + sp.I * sp.sin(angle),
            real + root,
            substitute({angle: sp.pi / 3}),
        ),
        Step(
            r"For $c = (1 - u^2)/4 < 1/4$ both roots are real",
            4 * polynomial.subs(load, (1 - inside**2) / 4),
            sp.Matrix([[(1 + inside) / 2, (1 - inside) / 2]]),
            roots(mu),
        ),
        Step(
            r"and the larger one, $(1 + u)/2$ with $u < 1$ ($u = 1/(1 + v)$), is below 1",
            1 - (1 + 1 / (1 + outside)) / 2,
            outside / (2 * (1 + outside)),
            sign(">"),
        ),
    )
    return Derivation("stability-delay", "Errors that arrive one step late", steps)


DERIVATIONS: Mapping[str, Callable[[], Derivation]] = {
    "inference-rate/best-step": best_step,
    "chain-spectrum/any-depth": path_eigenvectors,
    "stability-delay": delayed_errors,
} | {f"chain-spectrum/chain-{depth}": partial(path_spectrum, depth) for depth in range(2, 7)}
