r"""The dynamics of inference: rates, the energy after T steps, the spectrum of a chain, first arrival, and delays."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import sympy as sp

from .chain import Chain
from .curvature import block_tridiagonal
from .derivation import Derivation, Step
from .exact import inverse
from .rules import (
    algebra,
    differentiate,
    eigenvalues,
    limit,
    roots,
    sign,
    substitute,
)

_STEP = sp.Symbol("g", positive=True)


def _descend(chain: Chain, activities: sp.Matrix) -> sp.Matrix:
    """One step of gradient descent on the energy, at the given hidden activities."""
    slopes = sp.Matrix([chain.energy.diff(z) for z in chain.activities])
    at = dict(zip(chain.activities, activities, strict=True))
    return (activities - _STEP * slopes.subs(at, simultaneous=True)).applyfunc(sp.expand)


def _feedforward(chain: Chain) -> sp.Matrix:
    return sp.Matrix([chain.Q(layer) * chain.x for layer in range(1, chain.depth)])


def contraction(depth: int) -> Derivation:
    r"""$z_{t+1} - z^* = (I - gH)(z_t - z^*)$, so that $z_T - z^* = (I - gH)^T (z_0 - z^*)$ (`inference-rate`)."""
    chain = Chain(depth)
    z, H = sp.Matrix(chain.activities), block_tridiagonal(chain)
    slopes = sp.Matrix([chain.energy.diff(activity) for activity in chain.activities])
    optimum = sp.Matrix(list(chain.equilibrium_values.values()))
    steps = (
        Step("The slope of the energy", chain.energy, slopes, differentiate(*chain.activities)),
        Step(
            "One step, measured from the equilibrium",
            z - _STEP * slopes - optimum,
            (sp.eye(depth - 1) - _STEP * H) * (z - optimum),
            algebra(),
        ),
    )
    return Derivation("inference-rate", f"Contraction of inference, chain of depth {depth}", steps)


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


def finite_time_energy(depth: int, num_steps: int) -> Derivation:
    r"""$F(z_T) = \tfrac12 M_T r^2$ from feedforward activities, by T steps of descent (`finite-time-energy`)."""
    chain = Chain(depth, unit_precisions=num_steps > 2 or depth > 3)
    activities = _feedforward(chain)
    steps: list[Step] = []
    for step in range(num_steps):
        after = _descend(chain, activities)
        before = chain.activities
        steps.append(
            Step(
                f"Inference step {step + 1}",
                sp.Matrix(before) - _STEP * sp.Matrix([chain.energy.diff(z) for z in before]),
                after,
                substitute(dict(zip(before, activities, strict=True))),
            )
        )
        activities = after
    H, last = block_tridiagonal(chain), chain.precisions[-1]
    U = sp.zeros(depth - 1, 1)
    U[depth - 2] = chain.maps[-1] * last
    decay = sp.eye(depth - 1) - _STEP * H
    sums = sp.zeros(depth - 1, 1)
    power = U
    for _ in range(2 * num_steps):
        sums, power = sums + power, (decay * power).applyfunc(sp.expand)
    polynomial = last - _STEP * (U.T * sums)[0]
    r, _ = chain.abbreviations
    M = sp.Symbol("M_T", real=True)
    closed = last - (U.T * inverse(H) * (U - power))[0]
    steps += [
        Step(
            r"The energy there is $\tfrac12 M_T r^2$, $M_T = \Pi_L - g\, U^T \sum_{k < 2T} (I - gH)^k U$",
            chain.energy,
            M * r**2 / 2,
            substitute(dict(zip(chain.activities, activities, strict=True))),
            {r: chain.residual, M: polynomial},
        ),
        Step(
            r"and $M_T = \Pi_L - U^T H^{-1} [I - (I - gH)^{2T}] U$",
            polynomial,
            closed,
            algebra(),
        ),
    ]
    return Derivation(
        "finite-time-energy", f"Energy after {num_steps} steps, chain of depth {depth}", tuple(steps)
    )


def long_time_energy(depth: int) -> Derivation:
    r"""$M_0 = \Pi_L$ (the loss), $M_\infty = \Pi_L - U^T H^{-1} U = 1/S$ (`finite-time-energy`)."""
    chain = Chain(depth)
    _, S = chain.abbreviations
    U = sp.zeros(depth - 1, 1)
    U[depth - 2] = chain.maps[-1] * chain.precisions[-1]
    feedforward = dict(zip(chain.activities, _feedforward(chain), strict=True))
    steps = (
        Step(
            "No step: the energy of the feedforward activities is the loss",
            chain.energy,
            chain.loss,
            substitute(feedforward),
        ),
        Step(
            r"All steps ($(I - gH)^{2T} \to 0$)",
            chain.precisions[-1] - (U.T * inverse(block_tridiagonal(chain)) * U)[0],
            1 / S,
            algebra(),
            {S: chain.rescaling},
        ),
    )
    return Derivation("finite-time-energy", f"The two ends, chain of depth {depth}", steps)


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


def first_arrival(depth: int) -> Derivation:
    r"""At $t = L - l$, $\epsilon_l = g^{L-l} P_l r$, and zero before (`first-arrival`), unit precisions."""
    chain = Chain(depth, unit_precisions=True)
    r = sp.Symbol("r", real=True)
    activities = _feedforward(chain)
    steps: list[Step] = []
    for time in range(depth):
        layers = [chain.x, *chain.activities, chain.y]
        errors = [above - A * below for A, below, above in zip(chain.maps, layers, layers[1:], strict=False)]
        reached = depth - time
        arrived = [sp.S.Zero] * (reached - 1) + [_STEP**time * chain.P(reached) * r]
        steps.append(
            Step(
                rf"After {time} steps the error of layer {reached} is $g^{{{time}}} P_{{{reached}}} r$, and the layers below have none"
                if time
                else "At the start only the output has an error",
                sp.Matrix(errors[:reached]),
                sp.Matrix(arrived),
                substitute(dict(zip(chain.activities, activities, strict=True))),
                {r: chain.residual},
            )
        )
        activities = _descend(chain, activities)
    return Derivation("first-arrival", f"Arrival of the error, chain of depth {depth}", tuple(steps))


def nothing_to_learn(depth: int) -> Derivation:
    r"""Free output, feedforward start: nothing moves, so that backprop through inference is backprop (`nothing-to-learn`)."""
    chain = Chain(depth)
    everything = (*chain.activities, chain.y)
    slopes = sp.Matrix([chain.energy.diff(z) for z in everything])
    forward = dict(zip(everything, [chain.Q(l) * chain.x for l in range(1, depth + 1)], strict=True))
    steps = (
        Step(
            "The slope of the energy in the hidden layers and in the free output",
            chain.energy,
            slopes,
            differentiate(*everything),
        ),
        Step(
            "vanishes at the feedforward activities: they are stationary for every number of steps",
            slopes,
            sp.zeros(depth, 1),
            substitute(forward),
        ),
    )
    return Derivation("nothing-to-learn", f"A free output, chain of depth {depth}", steps)


def delayed_errors() -> Derivation:
    r"""Errors one step late: $\mu^2 - \mu + g s^2 = 0$ leaves the unit circle at $g s^2 = 1$, angle 60 degrees (`stability-delay`)."""
    mu, s, z, old = sp.Symbol("mu"), sp.Symbol("s", positive=True), *sp.symbols("z z_{t-1}", real=True)
    energy = s**2 * z**2 / 2
    load = sp.Symbol("c", positive=True)
    inside, outside = sp.symbols("u v", positive=True)
    polynomial = mu**2 - mu + load
    root = sp.sqrt(3) * sp.I / 2
    real, imaginary = sp.Rational(1, 2), sp.sqrt(4 * load - 1) / 2
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
        Step("whose squared modulus is $c$", real**2 + imaginary**2, load, algebra()),
        Step(
            "so that for $c = 1 / (1 + v) < 1$ they lie inside the unit circle",
            1 - 1 / (1 + outside),
            outside / (1 + outside),
            sign(">"),
        ),
        Step("At $c = 1$", polynomial.subs(load, 1), sp.Matrix([[real + root, real - root]]), roots(mu)),
        Step(
            r"they stand on it at 60 degrees",
            sp.cos(sp.pi / 3) + sp.I * sp.sin(sp.pi / 3),
            real + root,
            algebra(),
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


DERIVATIONS: dict[str, Callable[[], Derivation]] = (
    {
        "inference-rate/best-step": best_step,
        "chain-spectrum/any-depth": path_eigenvectors,
        "stability-delay": delayed_errors,
    }
    | {
        f"finite-time-energy/chain-{depth}-steps-{num_steps}": partial(finite_time_energy, depth, num_steps)
        for depth in (2, 3, 4)
        for num_steps in range(4)
    }
    | {
        f"{name}-{depth}": partial(builder, depth)
        for name, builder, depths in (
            ("inference-rate/chain", contraction, range(2, 6)),
            ("finite-time-energy/ends-of-chain", long_time_energy, range(2, 6)),
            ("chain-spectrum/chain", path_spectrum, range(2, 7)),
            ("first-arrival/chain", first_arrival, range(2, 6)),
            ("nothing-to-learn/chain", nothing_to_learn, range(1, 6)),
        )
        for depth in depths
    }
)
