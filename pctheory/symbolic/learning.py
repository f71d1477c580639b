r"""Learning on chains: implicit gradients, nudging, truncation, and the variants that equal backprop."""

from __future__ import annotations

import sympy as sp

from .cases import Family, cases
from .chain import ENERGY, Chain, stationary_steps
from .curvature import block_tridiagonal, hessian_step
from .derivation import Derivation, Step
from .exact import gradient, inverse
from .gradients import backprop_step
from .inference import descent_steps, feedforward
from .rules import algebra, differentiate, solve, substitute, times


def _task(chain: Chain) -> tuple[sp.Symbol, ...]:
    r"""$\nabla_z \Lambda$ at the equilibrium: any numbers; the gradient of $\Lambda(z^*)$ sees no more."""
    return tuple(sp.symbols(f"q_1:{chain.depth}", real=True))


def adjoint_steps(chain: Chain) -> list[Step]:
    r"""Solve $H \alpha = \nabla_z \Lambda$ for the adjoint.

    Parameters
    ----------
    chain : Chain
        The chain at whose equilibrium the adjoint is taken.

    Returns
    -------
    list of Step
        The last one has the label `adjoint`.
    """
    H, q = block_tridiagonal(chain), _task(chain)
    alpha = sp.symbols(f"alpha_1:{chain.depth}", real=True)
    products = sp.symbols(f"h_1:{chain.depth}", real=True)
    times_alpha = H * sp.Matrix(alpha)
    return [
        hessian_step(chain),
        Step(r"times the adjoint $\alpha$", H, times_alpha, times(alpha), label="product"),
        Step(
            r"The adjoint solves $H \alpha = q$, the equations of inference with $q = \nabla \Lambda$ in "
            "place of the data",
            sp.Matrix([h - slope for h, slope in zip(products, q, strict=True)]),
            inverse(H) * sp.Matrix(q),
            solve(*alpha),
            dict(zip(products, times_alpha, strict=True)),
            using={"product": products},
            label="adjoint",
        ),
    ]


def through_inference(hidden_layers: int) -> Derivation:
    r"""$d\Lambda/dA_l = \Pi_l (\epsilon_l^* \alpha_{l-1} + \delta_l z_{l-1}^*)$.

    Claim `through-inference-gradients`.

    Here $\alpha = H^{-1} \nabla\Lambda$ and $\delta_l = \alpha_l - A_l \alpha_{l-1}$. Precisions are 1 for
    more than two hidden layers.

    Parameters
    ----------
    hidden_layers : int
        Number of hidden layers, 1 or more.

    Returns
    -------
    Derivation
    """
    chain = Chain(hidden_layers + 1, unit_precisions=hidden_layers > 2)
    q = _task(chain)
    alpha = sp.symbols(f"alpha_1:{chain.depth}", real=True)
    optimum = sp.symbols(f"z^*_1:{chain.depth}", real=True)
    adjoint = adjoint_steps(chain)
    z, adjoints = [chain.x, *optimum, chain.y], [sp.S.Zero, *alpha, sp.S.Zero]
    local = [
        pi * ((z[l + 1] - A * z[l]) * adjoints[l] + (adjoints[l + 1] - A * adjoints[l]) * z[l])
        for l, (A, pi) in enumerate(zip(chain.maps, chain.precisions, strict=True))
    ]
    last = Step(
        r"Its gradient is local in both equilibria, with $\epsilon_l = z_l^* - A_l z_{l-1}^*$ and "
        r"$\delta_l = \alpha_l - A_l \alpha_{l-1}$",
        sp.Add(*(slope * value for slope, value in zip(q, optimum, strict=True))),
        sp.Matrix(local),
        differentiate(*chain.maps),
        chain.abbreviations
        | dict(zip(optimum, chain.closed_activities, strict=True))
        | dict(zip(alpha, adjoint[-1].after, strict=True)),
        given=r"the task $\Lambda(z^*)$ to first order, $\sum_l q_l z_l^*$",
        using={"equilibrium": optimum, "adjoint": alpha},
    )
    return Derivation(
        "through-inference-gradients",
        f"Learning through inference, {chain.described}",
        (*stationary_steps(chain), *adjoint, last),
    )


def nudging(hidden_layers: int) -> Derivation:
    r"""The difference of the local rule at two nudged equilibria tends to the gradient of the task.

    Claim `equilibrium-propagation`.

    $[\partial_A F(z^\beta) - \partial_A F(z^{-\beta})] / 2\beta$ has an error of order $\beta^2$.

    Parameters
    ----------
    hidden_layers : int
        Number of hidden layers, 1 or more.

    Returns
    -------
    Derivation
    """
    chain = Chain(hidden_layers + 1, unit_precisions=True)
    beta = sp.Symbol("beta", positive=True)
    target = sp.Symbol("t", real=True)
    z, H, maps = chain.activities, block_tridiagonal(chain), chain.maps
    equilibrium = sp.symbols(f"z^*_1:{chain.depth}", real=True)
    optimum = sp.Matrix(list(chain.equilibrium_values.values()))
    # The task is on the first hidden layer and enters the energy with the weight beta.
    unit = sp.Matrix([1, *(0 for _ in z[1:])])
    nudged_energy = chain.energy + beta * (z[0] - target) ** 2 / 2
    slope = gradient(nudged_energy, z)
    nudged = optimum - beta * (optimum[0] - target) * inverse(H + beta * unit * unit.T) * unit
    local = gradient(chain.energy, maps)
    along_nudge = local.subs(dict(zip(z, nudged, strict=True)), simultaneous=True)
    derivative = along_nudge.diff(beta)
    implicit = sp.Matrix([optimum[0].diff(A) * (optimum[0] - target) for A in maps])
    size, odd, even, plus, minus = sp.symbols("b f_1 f_2 f_+ f_-", real=True)
    expanded, ahead, behind = (odd * b + even * b**2 for b in (beta, size, -size))
    premise = r"$f$ to third order in $\beta$ but for a constant, $f_1 \beta + f_2 \beta^2$"
    first, task = (sp.symbols(f"{letter}_1:{chain.depth + 1}", real=True) for letter in "fT")
    steps = (
        *stationary_steps(chain),
        Step(
            "Its gradient through inference",
            (equilibrium[0] - target) ** 2 / 2,
            implicit,
            differentiate(*maps),
            chain.abbreviations | dict(zip(equilibrium, chain.closed_activities, strict=True)),
            given=r"the task at equilibrium, $\tfrac12 (z_1^* - t)^2$",
            using={"equilibrium": equilibrium},
            label="implicit gradient",
        ),
        Step(
            "The slope of the nudged energy",
            nudged_energy,
            slope,
            differentiate(*z),
            given=r"the nudged energy $F + \beta (z_1 - t)^2 / 2$",
        ),
        Step("vanishes at one point", slope, nudged, solve(*z), label="nudged"),
        Step(
            "The gradient of the energy itself in the maps",
            chain.energy,
            local,
            differentiate(*maps),
            given=ENERGY,
        ),
        Step(
            r"is at the nudged equilibrium $f(\beta)$",
            local,
            along_nudge,
            substitute(dict(zip(z, nudged, strict=True))),
            using={"nudged": z},
        ),
        Step("Its slope", along_nudge, derivative, differentiate(beta)),
        Step(
            r"at $\beta = 0$",
            derivative,
            derivative.subs(beta, 0).applyfunc(sp.factor),
            substitute({beta: sp.S.Zero}),
            label="slope at zero",
        ),
        Step(
            "is the gradient of the task",
            sp.Matrix([f - t for f, t in zip(first, task, strict=True)]),
            sp.zeros(chain.depth, 1),
            algebra(),
            dict(zip(first, derivative.subs(beta, 0).applyfunc(sp.factor), strict=True))
            | dict(zip(task, implicit, strict=True)),
            using={"slope at zero": first, "implicit gradient": task},
        ),
        Step(r"At $\beta = b$", expanded, ahead, substitute({beta: size}), given=premise, label="ahead"),
        Step(r"At $\beta = -b$", expanded, behind, substitute({beta: -size}), given=premise, label="behind"),
        Step(
            r"The difference over $2b$ has lost the even term: its error is $O(b^2)$",
            (plus - minus) / (2 * size),
            odd,
            algebra(),
            {plus: ahead, minus: behind},
            using={"ahead": plus, "behind": minus},
        ),
    )
    return Derivation("equilibrium-propagation", f"Nudged equilibria, {chain.described}", steps)


def truncated_adjoint(hidden_layers: int, num_terms: int) -> Derivation:
    r"""K terms of the Neumann sum leave $(I - gH)^K \alpha$ of the adjoint.

    Claim `truncated-adjoint`.

    $K = 1$ is one step of inference.

    Parameters
    ----------
    hidden_layers : int
        Number of hidden layers, 1 or more.
    num_terms : int
        Number K of terms, 1 or more.

    Returns
    -------
    Derivation
    """
    chain = Chain(hidden_layers + 1)
    size = sp.Symbol("g", positive=True)
    q, alpha = sp.Matrix(_task(chain)), sp.symbols(f"alpha_1:{chain.depth}", real=True)
    adjoint = adjoint_steps(chain)
    decay = sp.eye(hidden_layers) - size * block_tridiagonal(chain)
    total, power, rest = sp.zeros(hidden_layers, 1), q, sp.Matrix(alpha)
    for _ in range(num_terms):
        total, power, rest = total + size * power, decay * power, decay * rest
    last = Step(
        rf"The adjoint, less {num_terms} term{'s' if num_terms > 1 else ''} of $g \sum_k (I - gH)^k q$",
        sp.Matrix(alpha) - total,
        rest,
        algebra(),
        dict(zip(alpha, adjoint[-1].after, strict=True)),
        using={"adjoint": alpha},
    )
    return Derivation(
        "truncated-adjoint",
        f"{num_terms} term{'s' if num_terms > 1 else ''} of the adjoint, {chain.described}",
        (*adjoint, last),
    )


def zero_divergence(variant: str, hidden_layers: int) -> Derivation:
    r"""Layers updated when the error arrives, at $t = L - l$, have backprop's gradient.

    Claim `exact-bp-variants`.

    Steps of size 1 from the forward pass, unit precisions: zero-divergence inference learning.

    Parameters
    ----------
    variant : "updates on arrival"
        Name of this variant of inference learning.
    hidden_layers : int
        Number of hidden layers, 1 or more.

    Returns
    -------
    Derivation
        The update at time t has the label `update t`.
    """
    chain = Chain(hidden_layers + 1, unit_precisions=True)
    layers = [chain.x, *chain.activities, chain.y]
    descended = descent_steps(chain, hidden_layers, sp.S.One)
    loss = backprop_step(chain)
    B, update = sp.symbols(f"B_1:{chain.depth + 1}", real=True), sp.Symbol("G", real=True)
    start = dict(zip(chain.activities, feedforward(chain), strict=True))
    steps = [loss]
    for time in range(chain.depth):
        layer = chain.depth - time
        at = dict(zip(chain.activities, descended[time].after, strict=True)) if time else start
        rule = -(layers[layer] - chain.maps[layer - 1] * layers[layer - 1]) * layers[layer - 1]
        steps += [descended[0], descended[1]] if time == 1 else [descended[time]] if time else []
        found = sp.expand(rule.subs(at, simultaneous=True))
        steps += [
            Step(
                f"At $t = {time}$ it is",
                rule,
                found,
                substitute(at),
                given=f"the local rule of layer {layer}",
                using={f"time {time}": chain.activities} if time else {},
                label=f"update {time}",
            ),
            Step(
                f"which is backprop's gradient of layer {layer}",
                update - B[layer - 1],
                sp.S.Zero,
                algebra(),
                {next(iter(chain.abbreviations)): chain.residual, update: found}
                | dict(zip(B, loss.after, strict=True)),
                using={f"update {time}": update, "backprop": B},
            ),
        ]
    return Derivation("exact-bp-variants", f"Updates on arrival, {chain.described}", tuple(steps))


def fixed_predictions(variant: str, hidden_layers: int) -> Derivation:
    r"""With predictions held at the forward pass, the errors at equilibrium are backprop's.

    Claim `exact-bp-variants`.

    Parameters
    ----------
    variant : "fixed predictions"
        Name of this variant of inference learning.
    hidden_layers : int
        Number of hidden layers, 1 or more.

    Returns
    -------
    Derivation
    """
    chain = Chain(hidden_layers + 1)
    r, _ = chain.abbreviations
    e, pi = chain.errors, chain.precisions
    above = [*e, r]
    where = {r: chain.residual}
    stationarity = [pi[l] * e[l] - chain.maps[l + 1] * pi[l + 1] * above[l + 1] for l in range(hidden_layers)]
    closed = [chain.P(l) * pi[-1] * r / pi[l - 1] for l in range(1, chain.depth)]
    layers = [chain.Q(l) * chain.x for l in range(chain.depth)]
    loss = backprop_step(chain)
    B = sp.symbols(f"B_1:{chain.depth + 1}", real=True)
    rule = [-weight * error * below for weight, error, below in zip(pi, above, layers, strict=True)]
    steps = (
        Step(
            "They have one solution",
            sp.Matrix(stationarity),
            sp.Matrix(closed),
            solve(*e),
            where,
            given=r"the equations $\Pi_l \epsilon_l = A_{l+1} \Pi_{l+1} \epsilon_{l+1}$ of stationarity, "
            r"with $\epsilon_l = z_l - \hat z_l$, $\hat z$ held, and $\epsilon_L = r$",
            label="errors",
        ),
        loss,
        Step(
            r"The local rule $-\Pi_l \epsilon_l \hat z_{l-1}$ there, less backprop's gradient",
            sp.Matrix([have - b for have, b in zip(rule, B, strict=True)]),
            sp.zeros(chain.depth, 1),
            algebra(),
            where | dict(zip(e, closed, strict=True)) | dict(zip(B, loss.after, strict=True)),
            using={"errors": e, "backprop": B},
        ),
    )
    return Derivation("exact-bp-variants", f"Fixed predictions, {chain.described}", steps)


FAMILIES = (
    Family("through-inference-gradients", through_inference, cases(hidden_layers=(1, 2, 3))),
    Family("equilibrium-propagation", nudging, cases(hidden_layers=(1, 2, 3))),
    Family(
        "exact-bp-variants",
        zero_divergence,
        cases(variant=("updates on arrival",), hidden_layers=range(1, 5)),
    ),
    Family(
        "exact-bp-variants",
        fixed_predictions,
        cases(variant=("fixed predictions",), hidden_layers=range(1, 5)),
    ),
    Family("truncated-adjoint", truncated_adjoint, cases(hidden_layers=(1, 2, 3), num_terms=(1, 2, 3))),
)
