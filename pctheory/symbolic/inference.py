r"""The dynamics of inference: contraction, the energy after T steps, first arrival, free outputs."""

from __future__ import annotations

import sympy as sp

from .cases import Family, cases
from .chain import ENERGY, Chain, stationary_steps
from .curvature import block_tridiagonal
from .derivation import Derivation, Step
from .exact import gradient, inverse
from .rules import algebra, differentiate, substitute

_STEP = sp.Symbol("g", positive=True)
_DESCENT = r"one step of descent, $z_l - g \, \partial F / \partial z_l$"


def feedforward(chain: Chain) -> sp.Matrix:
    r"""Write the feedforward activities $\hat z_l = Q_l x$ of the hidden layers.

    Parameters
    ----------
    chain : Chain
        The chain with the input x and the maps of $Q_l$.

    Returns
    -------
    sympy Matrix
        A column.
    """
    return sp.Matrix([chain.Q(layer) * chain.x for layer in range(1, chain.depth)])


def descent_steps(chain: Chain, num_steps: int, size: sp.Expr) -> list[Step]:
    r"""Run gradient descent on the energy from the feedforward activities.

    Parameters
    ----------
    chain : Chain
        The chain whose hidden activities descend.
    num_steps : int
        Number of iterations, 0 or more.
    size : sympy expression
        The step size g.

    Returns
    -------
    list of Step
        The slope of the energy, then one step for each iteration, with the labels `time 1`, `time 2`, ...
    """
    z, D = chain.activities, sp.symbols(f"D_1:{chain.depth}", real=True)
    slope = gradient(chain.energy, z)
    steps = [
        Step(
            "Its slope in the hidden activities",
            chain.energy,
            slope,
            differentiate(*z),
            given=ENERGY,
            label="slope",
        )
    ]
    start = feedforward(chain)
    for time in range(1, num_steps + 1):
        at = dict(zip(z, steps[-1].after if time > 1 else start, strict=True))
        descended = sp.Matrix(z) - size * slope
        steps.append(
            Step(
                f"Inference step {time}, from "
                + (f"$t = {time - 1}$" if time > 1 else r"$\hat z_l = Q_l x$"),
                sp.Matrix([activity - size * d for activity, d in zip(z, D, strict=True)]),
                descended.subs(at, simultaneous=True).applyfunc(sp.expand),
                substitute(at),
                dict(zip(D, slope, strict=True)),
                given=_DESCENT,
                using={"slope": D} | ({f"time {time - 1}": z} if time > 1 else {}),
                label=f"time {time}",
            )
        )
    return steps


def _at_time(chain: Chain, steps: list[Step], time: int) -> dict[sp.Symbol, sp.Expr]:
    """The values of the hidden activities after that many of the steps of `descent_steps`."""
    return dict(zip(chain.activities, steps[time].after if time else feedforward(chain), strict=True))


def contraction(hidden_layers: int) -> Derivation:
    r"""One step multiplies the distance to the equilibrium by $I - gH$.

    Claim `inference-rate`.

    Parameters
    ----------
    hidden_layers : int
        Number of hidden layers, 1 or more.

    Returns
    -------
    Derivation
    """
    chain = Chain(hidden_layers + 1)
    z, H = chain.activities, block_tridiagonal(chain)
    D = sp.symbols(f"D_1:{chain.depth}", real=True)
    optimum = sp.symbols(f"z^*_1:{chain.depth}", real=True)
    steps = stationary_steps(chain)
    offset = sp.Matrix(z) - sp.Matrix(optimum)
    last = Step(
        "is, measured from the equilibrium, $(I - gH) (z - z^*)$",
        sp.Matrix([one - _STEP * d - best for one, d, best in zip(z, D, optimum, strict=True)]),
        (sp.eye(hidden_layers) - _STEP * H) * offset,
        algebra(),
        chain.abbreviations
        | dict(zip(D, steps[0].after, strict=True))
        | dict(zip(optimum, chain.closed_activities, strict=True)),
        given=_DESCENT + r", less $z_l^*$",
        using={"slope": D, "equilibrium": optimum},
    )
    return Derivation("inference-rate", f"Contraction of inference, {chain.described}", (*steps, last))


def finite_time_energy(hidden_layers: int, num_steps: int) -> Derivation:
    r"""After T steps of descent from feedforward activities the energy is $\tfrac12 M_T r^2$.

    Claim `finite-time-energy`.

    Precisions are 1 for more than two hidden layers or steps.

    Parameters
    ----------
    hidden_layers : int
        Number of hidden layers, 1 or more.
    num_steps : int
        Number T of steps of descent, 0 or more.

    Returns
    -------
    Derivation
    """
    chain = Chain(hidden_layers + 1, unit_precisions=num_steps > 2 or hidden_layers > 2)
    steps = descent_steps(chain, num_steps, _STEP) if num_steps else []
    H, last = block_tridiagonal(chain), chain.precisions[-1]
    U = sp.zeros(hidden_layers, 1)
    U[hidden_layers - 1] = chain.maps[-1] * last
    decay = sp.eye(hidden_layers) - _STEP * H
    sums, power = sp.zeros(hidden_layers, 1), U
    for _ in range(2 * num_steps):
        sums, power = sums + power, (decay * power).applyfunc(sp.expand)
    r, _ = chain.abbreviations
    M, energy = sp.symbols("M_T F_T", real=True)
    where = {r: chain.residual, M: last - _STEP * (U.T * sums)[0]}
    at = _at_time(chain, steps, num_steps)
    there = Step(
        r"There it is $\tfrac12 M_T r^2$, $M_T = \Pi_L - g\, U^T \sum_{k < 2T} (I - gH)^k U$",
        chain.energy,
        M * r**2 / 2,
        substitute(at),
        where,
        given=ENERGY,
        using={f"time {num_steps}": chain.activities} if num_steps else {},
        label="energy",
    )
    if not num_steps:
        return Derivation("finite-time-energy", f"Energy without a step, {chain.described}", (there,))
    closed = Step(
        r"and $M_T = \Pi_L - U^T H^{-1} [I - (I - gH)^{2T}] U$",
        2 * energy / r**2,
        last - (U.T * inverse(H) * (U - power))[0],
        algebra(),
        where | {energy: M * r**2 / 2},
        using={"energy": energy},
    )
    return Derivation(
        "finite-time-energy",
        f"Energy after {num_steps} step{'s' if num_steps > 1 else ''}, {chain.described}",
        (*steps, there, closed),
    )


def long_time_energy(hidden_layers: int) -> Derivation:
    r"""$M_0 = \Pi_L$ (the loss) and $M_\infty = \Pi_L - U^T H^{-1} U = 1/S$.

    Claim `finite-time-energy`.

    Parameters
    ----------
    hidden_layers : int
        Number of hidden layers, 1 or more.

    Returns
    -------
    Derivation
    """
    chain = Chain(hidden_layers + 1)
    r, S = chain.abbreviations
    U = sp.zeros(hidden_layers, 1)
    U[hidden_layers - 1] = chain.maps[-1] * chain.precisions[-1]
    steps = (
        Step(
            "Without a step, at the feedforward activities, it is the loss",
            chain.energy,
            chain.precisions[-1] * r**2 / 2,
            substitute(dict(zip(chain.activities, feedforward(chain), strict=True))),
            {r: chain.residual},
            given=ENERGY,
        ),
        Step(
            "It is",
            chain.precisions[-1] - (U.T * inverse(block_tridiagonal(chain)) * U)[0],
            1 / S,
            algebra(),
            {S: chain.rescaling},
            given=r"$M_\infty = \Pi_L - U^T H^{-1} U$: all steps, $(I - gH)^{2T} \to 0$",
        ),
    )
    return Derivation("finite-time-energy", f"The two ends, {chain.described}", steps)


def first_arrival(hidden_layers: int) -> Derivation:
    r"""At step $t = L - l$ layer l gets its first error, $g^{L-l} P_l r$.

    Claim `first-arrival`.

    Unit precisions.

    Parameters
    ----------
    hidden_layers : int
        Number of hidden layers, 1 or more.

    Returns
    -------
    Derivation
        The errors after t steps have the label `errors t`.
    """
    chain = Chain(hidden_layers + 1, unit_precisions=True)
    r, _ = chain.abbreviations
    layers = [chain.x, *chain.activities, chain.y]
    errors = [above - A * below for A, below, above in zip(chain.maps, layers, layers[1:], strict=False)]
    descended = descent_steps(chain, hidden_layers, _STEP)
    steps: list[Step] = []
    for time in range(chain.depth):
        reached = chain.depth - time
        arrived = [sp.S.Zero] * (reached - 1) + [_STEP**time * chain.P(reached) * r]
        when = f"After {time} step{'s' if time > 1 else ''}" if time else "At the start"
        steps += [descended[0], descended[time]] if time == 1 else [descended[time]] if time else []
        steps.append(
            Step(
                f"{when} that of layer {reached} is $g^{{{time}}} P_{{{reached}}} r$, and those below are "
                "zero",
                sp.Matrix(errors[:reached]),
                sp.Matrix(arrived),
                substitute(_at_time(chain, descended, time)),
                {r: chain.residual},
                given="the errors $z_l - A_l z_{l-1}$"
                + (f" of the layers up to {reached}" if time else " of all layers"),
                using={f"time {time}": chain.activities} if time else {},
                label=f"errors {time}",
            )
        )
    return Derivation("first-arrival", f"Arrival of the error, {chain.described}", tuple(steps))


def nothing_to_learn(hidden_layers: int) -> Derivation:
    r"""With a free output and a feedforward start nothing moves.

    Claim `nothing-to-learn`.

    So backprop through inference is backprop.

    Parameters
    ----------
    hidden_layers : int
        Number of hidden layers, 0 or more.

    Returns
    -------
    Derivation
    """
    chain = Chain(hidden_layers + 1)
    everything = (*chain.activities, chain.y)
    slope = gradient(chain.energy, everything)
    forward = [chain.Q(layer) * chain.x for layer in range(1, chain.depth + 1)]
    steps = (
        Step(
            "Its slope in the hidden layers and in the free output",
            chain.energy,
            slope,
            differentiate(*everything),
            given=ENERGY,
        ),
        Step(
            "vanishes at the feedforward activities: they stay for every number of steps",
            slope,
            sp.zeros(chain.depth, 1),
            substitute(dict(zip(everything, forward, strict=True))),
        ),
    )
    return Derivation("nothing-to-learn", f"A free output, {chain.described}", steps)


FAMILIES = (
    Family("finite-time-energy", finite_time_energy, cases(hidden_layers=(1, 2, 3), num_steps=range(4))),
    Family("inference-rate", contraction, cases(hidden_layers=range(1, 5))),
    Family("finite-time-energy", long_time_energy, cases(hidden_layers=range(1, 5))),
    Family("first-arrival", first_arrival, cases(hidden_layers=range(1, 5))),
    Family("nothing-to-learn", nothing_to_learn, cases(hidden_layers=range(5))),
)
