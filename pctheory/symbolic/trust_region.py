r"""Inference as a trust-region step: the quadratic model, its radius, one hidden unit, flat minima."""

from __future__ import annotations

from collections.abc import Sequence

import sympy as sp

from .balance import MOMENTS, batch, equilibrated
from .blocks import Network, words
from .cases import Family, cases
from .chain import BATCH, ENERGY, EQUILIBRATED, LOSS, Chain
from .curvature import block_tridiagonal, in_errors
from .derivation import Derivation, Step
from .elimination import eigenvalues
from .exact import gradient, inverse
from .gradients import backprop_step
from .inference import feedforward
from .means import sign
from .rules import (
    algebra,
    differentiate,
    second_derivatives,
    second_derivatives_at_zero,
    second_derivatives_of_minimum,
    solve,
    substitute,
)


def expansion(hidden_layers: int) -> Derivation:
    r"""$F = L + g^T \delta + \tfrac12 \delta^T H \delta$ exactly, with its minimum at $-H^{-1} g$.

    Here $\delta = z - \hat z$.

    Claim `tr-expansion`.

    Parameters
    ----------
    hidden_layers : int
        Number of hidden layers, 1 or more.

    Returns
    -------
    Derivation
    """
    chain = Chain(hidden_layers + 1)
    z, forward, H = chain.activities, feedforward(chain), block_tridiagonal(chain)
    slope_there = sp.zeros(hidden_layers, 1)
    slope_there[hidden_layers - 1] = -chain.maps[-1] * chain.precisions[-1] * chain.residual
    shift = sp.Matrix(z) - forward
    slope = gradient(chain.energy, z)
    model = chain.loss + (slope_there.T * shift)[0] + (shift.T * H * shift)[0] / 2
    model_slope = slope_there + H * shift
    errors = list(chain.errors)
    perturbed = chain.residual - sp.Add(*(chain.P(l) * e for l, e in enumerate(errors, start=1)))
    damping = sp.Add(*(pi * e**2 for pi, e in zip(chain.precisions, errors, strict=False))) / 2
    optimum = sp.symbols(f"z^*_1:{chain.depth}", real=True)
    steps = (
        Step(
            r"In error coordinates: the loss of the perturbed forward pass and the damping $\tfrac12 "
            r"|\epsilon|^2_\Pi$",
            chain.energy,
            chain.precisions[-1] * perturbed**2 / 2 + damping,
            substitute(dict(zip(z, in_errors(chain), strict=True))),
            given=ENERGY,
        ),
        Step("In activities: its slope", chain.energy, slope, differentiate(*z), given=ENERGY),
        Step(
            r"which at the forward pass $\hat z$ is $g$",
            slope,
            slope_there,
            substitute(dict(zip(z, forward, strict=True))),
        ),
        Step("The energy is its own quadratic model there", chain.energy, model, algebra(), given=ENERGY),
        Step("The slope of the model", model, model_slope, differentiate(*z)),
        Step(
            "vanishes at one point, the equilibrium",
            model_slope,
            sp.Matrix(list(chain.equilibrium_values.values())),
            solve(*z),
            label="equilibrium",
        ),
        Step(
            r"The step from $\hat z$ to it is $-H^{-1} g$",
            sp.Matrix(optimum) - forward,
            -inverse(H) * slope_there,
            algebra(),
            dict(zip(optimum, chain.equilibrium_values.values(), strict=True)),
            using={"equilibrium": optimum},
        ),
    )
    return Derivation("tr-expansion", f"The exact quadratic model, {chain.described}", steps)


def radius(hidden_layers: int) -> Derivation:
    r"""$r_*^2 = g^T H^{-1} g = 2(L - F^*)$, and PC is the trust-region step of that radius.

    Claim `tr-radius`.

    In error coordinates with unit precisions the constrained step with multiplier $\mu$ minimises
    $\tfrac12 (r - P^T \epsilon)^2 + \tfrac12 \mu |\epsilon|^2$.

    Parameters
    ----------
    hidden_layers : int
        Number of hidden layers, 1 or more.

    Returns
    -------
    Derivation
    """
    chain = Chain(hidden_layers + 1, unit_precisions=True)
    H, e = block_tridiagonal(chain), chain.errors
    slope = sp.zeros(hidden_layers, 1)
    slope[hidden_layers - 1] = -chain.maps[-1] * chain.residual
    r, S = sp.Symbol("r", real=True), chain.rescaling
    mu, spread, change = sp.symbols("mu c h", positive=True)
    ell, ell_shorter = sp.symbols("l_0 l_h", real=True)
    P = [chain.P(layer) for layer in range(1, chain.depth)]
    problem = (r - sp.Add(*(p * error for p, error in zip(P, e, strict=True)))) ** 2 / 2
    problem += mu * sp.Add(*(error**2 for error in e)) / 2
    slopes = gradient(problem, e)
    step = sp.Matrix(P) * r / (mu + spread)
    where = {spread: S - 1}
    length = spread * r**2 / (mu + spread) ** 2
    shorter = length.subs(mu, mu + change)
    falls = spread * r**2 * change * (2 * mu + 2 * spread + change)
    steps = (
        Step(
            "It is twice what the energy gains on the loss",
            (slope.T * inverse(H) * slope)[0],
            2 * (chain.loss - chain.residual**2 / (2 * S)),
            algebra(),
            given="the squared length $g^T H^{-1} g$ of the PC step in the metric of $H$",
            label="squared radius",
        ),
        Step(
            "Its slope",
            problem,
            slopes,
            differentiate(*e),
            given=r"the problem with multiplier $\mu$, $\tfrac12 (r - P^T \epsilon)^2 + \tfrac12 \mu "
            r"|\epsilon|^2$",
        ),
        Step("vanishes at one point ($c = S - 1$)", slopes, step, solve(*e), where, label="step"),
        Step(
            r"which at $\mu = 1$ is the equilibrium",
            step,
            sp.Matrix([p * r / S for p in P]),
            substitute({mu: sp.S.One}),
            where,
        ),
        Step(
            "The squared length of the step",
            sp.Add(*(error**2 for error in e)),
            length,
            algebra(),
            where | dict(zip(e, step, strict=True)),
            using={"step": e},
            label="length",
        ),
        Step(r"At $\mu + h$", length, shorter, substitute({mu: mu + change}), label="shorter"),
        Step(
            "it is less, so that each radius has one multiplier (bisection finds it)",
            ell - ell_shorter,
            falls / ((mu + spread) ** 2 * (mu + change + spread) ** 2),
            sign(r"\ge"),
            {ell: length, ell_shorter: shorter},
            using={"length": ell, "shorter": ell_shorter},
        ),
    )
    return Derivation("tr-radius", f"The implied radius, {chain.described}", steps)


def one_unit() -> Derivation:
    r"""One hidden unit at 0: less attracted along the stable direction, more repelled along the other.

    Claim `tr-toy`.

    Returns
    -------
    Derivation
    """
    chain = Chain(2, unit_precisions=True)
    a, b = sp.symbols("a b", positive=True)
    p, n, q, m = sp.symbols("p n q m", real=True)
    variable = sp.Symbol("lambda")
    x, y = chain.x, chain.y
    zero = dict.fromkeys((*chain.maps, *chain.activities), sp.S.Zero)
    loss_hessian = sp.Matrix([[0, -x * y], [-x * y, 0]])
    energy_hessian = sp.Matrix([[0, -x * y], [-x * y, -(y**2)]])
    written = sp.sqrt(y**4 + 4 * x**2 * y**2)
    of_loss = sp.Matrix([[x * y, -x * y]])
    of_energy = sp.Matrix([[(-(y**2) + written) / 2, (-(y**2) - written) / 2]])
    root = sp.sqrt(b**2 + 4 * a**2)
    positive = {x: a / sp.sqrt(b), y: sp.sqrt(b)}
    attracted, repelled = (-b + root) / 2, (-b - root) / 2
    both = {p: attracted, n: repelled}
    golden = sp.sqrt(5)
    steps = (
        Step(
            "Its Hessian at the origin",
            chain.loss,
            loss_hessian,
            second_derivatives_at_zero(*chain.maps),
            given=LOSS,
        ),
        Step("has the eigenvalues", loss_hessian, of_loss, eigenvalues(variable)),
        Step(
            "With $x y = a > 0$ and $y^2 = b$",
            of_loss,
            sp.Matrix([[a, -a]]),
            substitute(positive),
            label="of the loss",
        ),
        Step(
            "The Hessian of its minimum over $z$ at the origin",
            chain.energy,
            energy_hessian,
            second_derivatives_of_minimum(chain.maps, chain.activities, zero),
            given=ENERGY,
        ),
        Step("has the eigenvalues", energy_hessian, of_energy, eigenvalues(variable), label="eigenvalues"),
        Step(
            "With $x y = a > 0$ and $y^2 = b$ (the sign of $x y$ makes no difference)",
            of_energy,
            sp.Matrix([[attracted, repelled]]),
            substitute(positive),
            label="of the energy",
        ),
        Step(
            "The positive one stays positive",
            p,
            2 * a**2 / (root + b),
            sign(">"),
            both,
            using={"of the energy": (p, n)},
        ),
        Step(
            "and is less than the loss's: the basin attracts less",
            q - p,
            2 * a * b / (2 * a + b + root),
            sign(">"),
            both | {q: a, m: -a},
            using={"of the energy": (p, n), "of the loss": (q, m)},
        ),
        Step(
            "The negative one lies below the loss's: the saddle repels more",
            m - n,
            b / 2 + b**2 / (2 * (root + 2 * a)),
            sign(">"),
            both | {q: a, m: -a},
            using={"of the energy": (p, n), "of the loss": (q, m)},
        ),
        Step(
            r"At $x = 1$, $y = -1$: 0.618 and -1.618 against $\pm 1$",
            of_energy,
            sp.Matrix([[(golden - 1) / 2, -(golden + 1) / 2]]),
            substitute({x: sp.S.One, y: -sp.S.One}),
            follows="eigenvalues",
        ),
    )
    return Derivation("tr-toy", "One hidden unit at the origin", steps)


def exact_weight_gradient() -> Derivation:
    r"""One hidden unit: $dF^*/dw_1 = (1/s)\, dL/dw_1$ exactly, where the heuristic adds a second direction.

    Claim `tr-weights`.

    The heuristic reads the energy's gradient as a trust-region direction plus backprop's. For the first
    weight what is to be added to backprop's gradient is $-(w_2^2 / s)$ times that same gradient: it is
    opposite to it, and no direction of its own.

    Returns
    -------
    Derivation
    """
    chain = Chain(2, unit_precisions=True)
    first, last = chain.maps
    r, s = sp.Symbol("r", real=True), sp.Symbol("s", positive=True)
    B, G = sp.symbols("B_1:3", real=True), sp.Symbol("G_1", real=True)
    loss = backprop_step(chain)
    where = {r: chain.residual, s: chain.rescaling} | dict(zip(B, loss.after, strict=True))
    energy = r**2 / (2 * s)
    steps = (
        loss,
        Step(
            "The first weight has backprop's gradient over $s$",
            energy,
            B[0] / s,
            differentiate(first),
            where,
            given=EQUILIBRATED,
            using={"backprop": B},
            label="first",
        ),
        Step(
            "so that what PC adds to backprop's gradient points against it",
            G - B[0],
            -(last**2) / s * B[0],
            algebra(),
            where | {G: B[0] / s},
            using={"first": G, "backprop": B},
        ),
        Step(
            "The second weight has the rescaled gradient and the gradient of the rescaling",
            energy,
            B[1] / s - last * r**2 / s**2,
            differentiate(last),
            where,
            given=EQUILIBRATED,
            using={"backprop": B},
            label="second",
        ),
    )
    return Derivation("tr-weights", "The exact gradient of one hidden unit", steps)


def flat_minima(hidden_layers: int) -> Derivation:
    r"""At zero residual $\nabla^2 F^* = \nabla^2 L / s$: the energy's minima are flatter.

    Claim `flat-minima`.

    Parameters
    ----------
    hidden_layers : int
        Number of hidden layers, 1 or more.

    Returns
    -------
    Derivation
    """
    chain = Chain(hidden_layers + 1, unit_precisions=True)
    xx, xy, yy = MOMENTS
    fit = {xy: chain.P(0) * xx, yy: chain.P(0) ** 2 * xx}
    loss, energy = batch(chain)[0] / 2, equilibrated(chain)
    of_loss, of_energy = (sp.hessian(function, chain.maps) for function in (loss, energy))
    jacobian = sp.Matrix([[chain.P(0).diff(A) for A in chain.maps]])
    outer = jacobian.T * jacobian * xx
    paths = sp.Add(*(chain.P(layer) ** 2 for layer in range(1, chain.depth)))
    s = sp.Symbol("s", positive=True)
    steps = (
        Step(
            "Its Hessian",
            loss,
            of_loss,
            second_derivatives(*chain.maps),
            given="the mean loss of a batch",
        ),
        Step(r"where $y = P_0 x$ on every sample is $J^T J S_{xx}$", of_loss, outer, substitute(fit)),
        Step("Its Hessian", energy, of_energy, second_derivatives(*chain.maps), given=BATCH),
        Step(
            "is there the same over the rescaling",
            of_energy,
            outer / s,
            substitute(fit),
            {s: chain.rescaling},
            label="flat",
        ),
        Step(
            "is not negative", chain.rescaling - 1, paths, sign(r"\ge"), given="the rescaling less 1, $S - 1$"
        ),
    )
    return Derivation("flat-minima", f"Curvature at a fit, {chain.described}", steps)


def flat_minima_of_blocks(widths: Sequence[int]) -> Derivation:
    r"""At zero residual $\nabla^2 F^* = J^T S^{-1} J$ with J the Jacobian of the outputs.

    Claim `flat-minima`.

    Parameters
    ----------
    widths : sequence of int
        $n_0, ..., n_L$ with a hidden layer at least.

    Returns
    -------
    Derivation
    """
    network = Network(tuple(widths))
    outputs = network.product(network.depth, 0) * network.x
    jacobian = outputs.jacobian(network.weights)
    hidden = [network.product(layer, 0) * network.x for layer in range(1, network.depth)]
    fit = dict(zip(network.y, outputs, strict=True))
    fit |= dict(zip(network.activities, [entry for layer in hidden for entry in layer], strict=True))
    step = Step(
        r"The Hessian of its minimum over $z$ where $y = P_0 x$ and $z_l = Q_l x$",
        network.energy,
        jacobian.T * inverse(network.rescaling) * jacobian,
        second_derivatives_of_minimum(network.weights, network.activities, fit),
        given=ENERGY,
    )
    return Derivation("flat-minima", f"Curvature at a fit, widths {words(widths)}", (step,))


FAMILIES = (
    Family("tr-toy", one_unit, cases()),
    Family("tr-weights", exact_weight_gradient, cases()),
    Family("tr-expansion", expansion, cases(hidden_layers=range(1, 5))),
    Family("tr-radius", radius, cases(hidden_layers=range(1, 5))),
    Family("flat-minima", flat_minima, cases(hidden_layers=range(1, 5))),
    Family("flat-minima", flat_minima_of_blocks, cases(widths=((1, 2, 2), (2, 2, 2), (1, 2, 2, 1)))),
)
