r"""Inference as a trust-region step: the exact quadratic model, its radius, the one-unit theorems, and flat minima."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import sympy as sp

from .balance import MOMENTS, batch, equilibrated
from .blocks import Network, words
from .chain import Chain
from .curvature import block_tridiagonal
from .derivation import Derivation, Step
from .elimination import eigenvalues
from .exact import inverse
from .rules import (
    algebra,
    differentiate,
    second_derivatives,
    second_derivatives_at_zero,
    second_derivatives_of_minimum,
    sign,
    solve,
    substitute,
)


def _slopes_at_feedforward(chain: Chain) -> tuple[dict[sp.Symbol, sp.Expr], sp.Matrix]:
    r"""$\hat z$, and the slope g of the energy there: it has one entry, $-A_L \Pi_L r$, next to the output."""
    forward = {z: chain.Q(layer) * chain.x for layer, z in enumerate(chain.activities, start=1)}
    slope = sp.zeros(chain.depth - 1, 1)
    slope[chain.depth - 2] = -chain.maps[-1] * chain.precisions[-1] * chain.residual
    return forward, slope


def expansion(depth: int) -> Derivation:
    r"""$F = L + g^T \delta + \tfrac12 \delta^T H \delta$ exactly, $\delta = z - \hat z$; $\delta^* = -H^{-1} g$ (`tr-expansion`)."""
    chain = Chain(depth)
    forward, slope = _slopes_at_feedforward(chain)
    shift = sp.Matrix(chain.activities) - sp.Matrix(list(forward.values()))
    H = block_tridiagonal(chain)
    slopes = sp.Matrix([chain.energy.diff(z) for z in chain.activities])
    model = chain.loss + (slope.T * shift)[0] + (shift.T * H * shift)[0] / 2
    errors = list(chain.errors)
    layers: list[sp.Expr] = []
    for layer in range(1, depth):
        layers.append(chain.maps[layer - 1] * (layers[-1] if layers else chain.x) + errors[layer - 1])
    perturbed = (
        chain.y - chain.P(0) * chain.x - sp.Add(*(chain.P(l) * e for l, e in enumerate(errors, start=1)))
    )
    damping = sp.Add(*(pi * e**2 for pi, e in zip(chain.precisions, errors, strict=False))) / 2
    steps = (
        Step(
            r"In error coordinates: the loss of the perturbed forward pass and a unit damping, $\tfrac12 |\epsilon|^2_\Pi$",
            chain.energy,
            chain.precisions[-1] * perturbed**2 / 2 + damping,
            substitute(dict(zip(chain.activities, layers, strict=True))),
        ),
        Step("In activities: the slope at the forward pass", slopes, slope, substitute(forward)),
        Step("and the energy is its own quadratic model there", chain.energy, model, algebra()),
        Step(
            r"whose minimum is the step $-H^{-1} g$ to the equilibrium",
            -inverse(H) * slope,
            sp.Matrix(list(chain.equilibrium_values.values())) - sp.Matrix(list(forward.values())),
            algebra(),
        ),
    )
    return Derivation("tr-expansion", f"The exact quadratic model, chain of depth {depth}", steps)


def radius(depth: int) -> Derivation:
    r"""$r_*^2 = g^T H^{-1} g = 2(L - F^*)$, and PC is the trust-region step of that radius (`tr-radius`).

    In error coordinates with unit precisions the constrained step with multiplier $\mu$ minimises
    $\tfrac12 (r - P^T \epsilon)^2 + \tfrac12 \mu |\epsilon|^2$.
    """
    chain = Chain(depth, unit_precisions=True)
    _, slope = _slopes_at_feedforward(chain)
    H = block_tridiagonal(chain)
    r = sp.Symbol("r", real=True)
    S = chain.rescaling
    multiplier, spread, change = sp.symbols("mu c h", positive=True)
    P = [chain.P(layer) for layer in range(1, depth)]
    problem = (r - sp.Add(*(p * e for p, e in zip(P, chain.errors, strict=True)))) ** 2 / 2
    problem += multiplier * sp.Add(*(e**2 for e in chain.errors)) / 2
    gradient = sp.Matrix([problem.diff(e) for e in chain.errors])
    step = sp.Matrix(P) * r / (multiplier + S - 1)
    length = spread * r**2 / (multiplier + spread) ** 2
    shorter = spread * r**2 / (multiplier + change + spread) ** 2
    steps = (
        Step(
            r"The length of the PC step in the metric of $H$",
            (slope.T * inverse(H) * slope)[0],
            2 * (chain.loss - chain.residual**2 / (2 * S)),
            algebra(),
        ),
        Step(
            r"The slope of the problem with multiplier $\mu$", problem, gradient, differentiate(*chain.errors)
        ),
        Step("vanishes at one point", gradient, step, solve(*chain.errors)),
        Step(
            r"which at $\mu = 1$ is the equilibrium",
            step,
            sp.Matrix([p * r / S for p in P]),
            substitute({multiplier: sp.S.One}),
        ),
        Step(
            r"Its squared length is $c r^2 / (\mu + c)^2$ with $c = S - 1$",
            (step.T * step)[0],
            length,
            algebra(),
            {spread: S - 1},
        ),
        Step(
            r"and falls as $\mu$ grows by $h$, so that each radius has one multiplier (bisection finds it)",
            length - shorter,
            spread
            * r**2
            * change
            * (2 * multiplier + 2 * spread + change)
            / ((multiplier + spread) ** 2 * (multiplier + change + spread) ** 2),
            sign(r"\ge"),
        ),
    )
    return Derivation("tr-radius", f"The implied radius, chain of depth {depth}", steps)


def one_unit() -> Derivation:
    r"""$f = w_2 w_1 x$ at 0: less attracted along the stable direction, more repelled along the other (`tr-toy`)."""
    chain = Chain(2, unit_precisions=True)
    a, b = sp.symbols("a b", positive=True)
    variable = sp.Symbol("lambda")
    x, y = chain.x, chain.y
    zero = dict.fromkeys((*chain.maps, *chain.activities), sp.S.Zero)
    loss_hessian = sp.Matrix([[0, -x * y], [-x * y, 0]])
    energy_hessian = sp.Matrix([[0, -x * y], [-x * y, -(y**2)]])
    root = sp.sqrt(b**2 + 4 * a**2)
    written = sp.sqrt(y**4 + 4 * x**2 * y**2)
    attracted, repelled = (-b + root) / 2, (-b - root) / 2
    golden = sp.sqrt(5)
    steps = (
        Step(
            "The Hessian of the loss at the origin",
            chain.loss,
            loss_hessian,
            second_derivatives_at_zero(*chain.maps),
        ),
        Step("has the eigenvalues", loss_hessian, sp.Matrix([[x * y, -x * y]]), eigenvalues(variable)),
        Step(
            "The Hessian of the equilibrated energy there",
            chain.energy,
            energy_hessian,
            second_derivatives_of_minimum(chain.maps, chain.activities, zero),
        ),
        Step(
            "has the eigenvalues",
            energy_hessian,
            sp.Matrix([[(-(y**2) + written) / 2, (-(y**2) - written) / 2]]),
            eigenvalues(variable),
        ),
        Step(
            r"With $a = |xy| > 0$ and $b = y^2 > 0$: the positive one stays positive",
            attracted,
            2 * a**2 / (root + b),
            sign(">"),
        ),
        Step(
            "and is less than the loss's: the basin attracts less",
            a - attracted,
            2 * a * b / (2 * a + b + root),
            sign(">"),
        ),
        Step(
            "The negative one lies below the loss's: the saddle repels more",
            -a - repelled,
            b / 2 + b**2 / (2 * (root + 2 * a)),
            sign(">"),
        ),
        Step(
            r"At $x = 1$, $y = -1$: 0.618 and -1.618 against $\pm 1$",
            sp.Matrix([[(-(y**2) + written) / 2, (-(y**2) - written) / 2]]),
            sp.Matrix([[(golden - 1) / 2, -(golden + 1) / 2]]),
            substitute({x: sp.S.One, y: -sp.S.One}),
        ),
    )
    return Derivation("tr-toy", "One hidden unit at the origin", steps)


def exact_weight_gradient() -> Derivation:
    r"""One hidden unit: $dF^*/dw_1 = (1/s)\, dL/dw_1$ exactly, where the heuristic adds a second direction (`tr-weights`).

    The heuristic reads the energy's gradient as a trust-region direction plus backprop's. For the first weight what is to be
    added to backprop's gradient is $-(w_2^2 / s)$ times that same gradient: it is opposite to it, and no direction of its own.
    """
    chain = Chain(2, unit_precisions=True)
    first, last = chain.maps
    s = sp.Symbol("s", positive=True)
    where = {s: chain.rescaling}
    energy = chain.residual**2 / (2 * s)
    backprop = [chain.loss.diff(A) for A in chain.maps]
    steps = (
        Step("The first weight", energy, backprop[0] / s, differentiate(first), where),
        Step(
            "so that what PC adds to backprop's gradient points against it",
            backprop[0] / s - backprop[0],
            -(last**2) / s * backprop[0],
            algebra(),
            where,
        ),
        Step(
            "The second weight has the rescaled gradient and the gradient of the rescaling",
            energy,
            backprop[1] / s - last * chain.residual**2 / s**2,
            differentiate(last),
            where,
        ),
    )
    return Derivation("tr-weights", "The exact gradient of one hidden unit", steps)


def flat_minima(depth: int) -> Derivation:
    r"""At zero residual $\nabla^2 F^* = \nabla^2 L / s$: the energy's minima are flatter (`flat-minima`)."""
    chain = Chain(depth, unit_precisions=True)
    xx, xy, yy = MOMENTS
    fit = {xy: chain.P(0) * xx, yy: chain.P(0) ** 2 * xx}
    loss, energy = batch(chain)[0] / 2, equilibrated(chain)
    curvatures = [sp.hessian(function, chain.maps) for function in (loss, energy)]
    jacobian = sp.Matrix([[chain.P(0).diff(A) for A in chain.maps]])
    outer = jacobian.T * jacobian * xx
    paths = sp.Add(*(chain.P(layer) ** 2 for layer in range(1, depth)))
    steps = (
        Step("The Hessian of the loss", loss, curvatures[0], second_derivatives(*chain.maps)),
        Step(r"where $y = P_0 x$ on every sample is $J^T J S_{xx}$", curvatures[0], outer, substitute(fit)),
        Step(
            "The Hessian of the equilibrated energy", energy, curvatures[1], second_derivatives(*chain.maps)
        ),
        Step("is the same over the rescaling", curvatures[1], outer / chain.rescaling, substitute(fit)),
        Step(r"which is at least 1", chain.rescaling - 1, paths, sign(r"\ge")),
    )
    return Derivation("flat-minima", f"Curvature at a fit, chain of depth {depth}", steps)


def flat_minima_of_blocks(widths: Sequence[int]) -> Derivation:
    r"""At zero residual $\nabla^2 F^* = J^T S^{-1} J$ with J the Jacobian of the outputs (`flat-minima`)."""
    network = Network(tuple(widths))
    outputs = network.product(network.depth, 0) * network.x
    jacobian = outputs.jacobian(network.weights)
    hidden = [network.product(layer, 0) * network.x for layer in range(1, network.depth)]
    fit = dict(zip(network.y, outputs, strict=True))
    fit |= dict(zip(network.activities, [entry for layer in hidden for entry in layer], strict=True))
    step = Step(
        r"The Hessian of $\min_z F$ where $y = P_0 x$ and $z_l = Q_l x$",
        network.energy,
        jacobian.T * inverse(network.rescaling) * jacobian,
        second_derivatives_of_minimum(network.weights, network.activities, fit),
    )
    return Derivation("flat-minima", f"Curvature at a fit, widths {words(widths)}", (step,))


DERIVATIONS: Mapping[str, Callable[[], Derivation]] = (
    {"tr-toy": one_unit, "tr-weights": exact_weight_gradient}
    | {
        f"{name}/chain-{depth}": partial(builder, depth)
        for name, builder in (
            ("tr-expansion", expansion),
            ("tr-radius", radius),
            ("flat-minima", flat_minima),
        )
        for depth in range(2, 6)
    }
    | {
        f"flat-minima/widths-{'-'.join(map(str, widths))}": partial(flat_minima_of_blocks, widths)
        for widths in ((1, 2, 2), (2, 2, 2), (1, 2, 2, 1))
    }
)
