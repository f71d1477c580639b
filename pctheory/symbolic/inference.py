r"""The dynamics of inference: rates, the energy after T steps, the spectrum of a chain, first arrival, and delays."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import sympy as sp

from .chain import Chain
from .curvature import block_tridiagonal
from .derivation import Derivation, Step
from .exact import inverse
from .rules import algebra, differentiate, substitute

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


DERIVATIONS: Mapping[str, Callable[[], Derivation]] = (
    {}
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
            ("first-arrival/chain", first_arrival, range(2, 6)),
            ("nothing-to-learn/chain", nothing_to_learn, range(1, 6)),
        )
        for depth in depths
    }
)
