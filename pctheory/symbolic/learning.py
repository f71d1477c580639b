r"""Learning through inference on chains: implicit gradients, nudging, truncation, and the variants that equal backprop."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import sympy as sp

from .balance import MOMENTS, batch, moments
from .chain import Chain
from .curvature import block_tridiagonal
from .derivation import Derivation, Step
from .exact import inverse
from .rules import algebra, average, differentiate, solve, substitute

_XX = sp.Symbol("S_xx", positive=True)


def _task(chain: Chain) -> sp.Matrix:
    r"""$\nabla_z \Lambda$ at the equilibrium: any numbers, since a gradient of $\Lambda(z^*)$ sees nothing else of $\Lambda$."""
    return sp.Matrix(sp.symbols(f"q_1:{chain.depth}", real=True))


def through_inference(depth: int) -> Derivation:
    r"""$d\Lambda/dA_l = \Pi_l (\epsilon_l^* \alpha_{l-1} + \delta_l z_{l-1}^*)$, $\alpha = H^{-1} \nabla\Lambda$ (`through-inference-gradients`)."""
    chain = Chain(depth, unit_precisions=depth > 3)
    slopes = _task(chain)
    adjoint = list(inverse(block_tridiagonal(chain)) * slopes)
    optimum = list(chain.equilibrium_values.values())
    layers, costate = [chain.x, *optimum, chain.y], [sp.S.Zero, *adjoint, sp.S.Zero]
    value = sp.Add(*(slope * z for slope, z in zip(slopes, optimum, strict=True)))
    gradient = sp.Matrix(
        [
            pi
            * ((layers[l + 1] - A * layers[l]) * costate[l] + (costate[l + 1] - A * costate[l]) * layers[l])
            for l, (A, pi) in enumerate(zip(chain.maps, chain.precisions, strict=True))
        ]
    )
    steps = (
        Step(
            r"The adjoint $\alpha$ solves the equations of inference with $\nabla\Lambda$ in place of the data",
            block_tridiagonal(chain) * sp.Matrix(adjoint),
            slopes,
            algebra(),
        ),
        Step(
            r"and the gradient of $\Lambda(z^*)$, to first order $\sum_l q_l z_l^*$, is local in both, with $\delta_l = \alpha_l - A_l \alpha_{l-1}$",
            value,
            gradient,
            differentiate(*chain.maps),
        ),
    )
    return Derivation(
        "through-inference-gradients", f"Learning through inference, chain of depth {depth}", steps
    )


def nudging(depth: int) -> Derivation:
    r"""$[\partial_A F(z^\beta) - \partial_A F(z^{-\beta})] / 2\beta$ is even in $\beta$ with the implicit gradient at 0 (`equilibrium-propagation`)."""
    chain = Chain(depth, unit_precisions=True)
    beta = sp.Symbol("beta", positive=True)
    target = sp.Symbol("t", real=True)
    z, H = chain.activities, block_tridiagonal(chain)
    optimum = sp.Matrix(list(chain.equilibrium_values.values()))
    unit = sp.Matrix([1, *(0 for _ in z[1:])])
    # A task on the first hidden layer: Lambda = (z_1 - t)^2 / 2, added to the energy with weight beta.
    nudged_energy = chain.energy + beta * (z[0] - target) ** 2 / 2
    gradient = sp.Matrix([nudged_energy.diff(activity) for activity in z])
    response = inverse(H + beta * unit * unit.T) * unit
    nudged = optimum - beta * (optimum[0] - target) * response
    local = sp.Matrix([chain.energy.diff(A) for A in chain.maps])

    along = local.subs(dict(zip(z, nudged, strict=True)), simultaneous=True)
    slope = along.diff(beta)
    implicit = sp.Matrix([optimum[0].diff(A) * (optimum[0] - target) for A in chain.maps])
    size, odd, even = sp.symbols("b f_1 f_2", real=True)
    steps = (
        Step("The slope of the nudged energy", nudged_energy, gradient, differentiate(*z)),
        Step("vanishes at one point", gradient, nudged, solve(*z)),
        Step("The local rule there, $f(\\beta)$, has the slope", along, slope, differentiate(beta)),
        Step(
            r"$f'(0)$, the gradient of $\tfrac12 (z_1^* - t)^2$ through inference",
            slope,
            implicit,
            substitute({beta: sp.S.Zero}),
        ),
        Step(
            r"and $[f(\beta) - f(-\beta)] / 2\beta$ loses the even terms of $f$, so that its error is $O(\beta^2)$ (to third order, $f = f_1 \beta + f_2 \beta^2$)",
            ((odd * size + even * size**2) - (-odd * size + even * size**2)) / (2 * size),
            odd,
            algebra(),
        ),
    )
    return Derivation("equilibrium-propagation", f"Nudged equilibria, chain of depth {depth}", steps)


def truncated_adjoint(depth: int, terms: int) -> Derivation:
    r"""K terms of the Neumann sum leave $(I - gH)^K \alpha$ of the adjoint; $K = 1$ is one step (`truncated-adjoint`)."""
    chain = Chain(depth)
    size = sp.Symbol("g", positive=True)
    H, slopes = block_tridiagonal(chain), _task(chain)
    adjoint = inverse(H) * slopes
    decay = sp.eye(depth - 1) - size * H
    total, power = sp.zeros(depth - 1, 1), slopes
    rest = adjoint
    for _ in range(terms):
        total, power, rest = total + size * power, decay * power, decay * rest
    step = Step(
        rf"The adjoint less {terms} terms of $g \sum_k (I - gH)^k \nabla\Lambda$",
        adjoint - total,
        rest,
        algebra(),
    )
    return Derivation("truncated-adjoint", f"{terms} terms of the adjoint, chain of depth {depth}", (step,))


def zero_divergence(depth: int) -> Derivation:
    r"""Z-IL: step 1 from the forward pass, layer l updated at $t = L - l$: backprop's gradient (`exact-bp-variants`)."""
    chain = Chain(depth, unit_precisions=True)
    activities = [chain.Q(layer) * chain.x for layer in range(1, depth)]
    slopes = [chain.energy.diff(z) for z in chain.activities]
    symbolic = [chain.x, *chain.activities, chain.y]
    steps: list[Step] = []
    for time in range(depth):
        layer = depth - time
        rule = -(symbolic[layer] - chain.maps[layer - 1] * symbolic[layer - 1]) * symbolic[layer - 1]
        at = dict(zip(chain.activities, activities, strict=True))
        steps.append(
            Step(
                rf"At $t = {time}$ the local rule of layer {layer} is backprop's",
                rule,
                chain.loss.diff(chain.maps[layer - 1]),
                substitute(at),
            )
        )
        activities = [
            sp.expand(z - slope.subs(at, simultaneous=True))
            for z, slope in zip(activities, slopes, strict=True)
        ]
    return Derivation("exact-bp-variants", f"Updates on arrival, chain of depth {depth}", tuple(steps))


def fixed_predictions(depth: int) -> Derivation:
    r"""Predictions frozen at the forward pass: the equilibrium's errors are backprop's (`exact-bp-variants`)."""
    chain = Chain(depth)
    e, pi = chain.errors, chain.precisions
    above = [*e, chain.residual]
    balance = sp.Matrix(
        [pi[l] * e[l] - chain.maps[l + 1] * pi[l + 1] * above[l + 1] for l in range(depth - 1)]
    )
    closed = sp.Matrix([chain.P(l) * pi[-1] * chain.residual / pi[l - 1] for l in range(1, depth)])
    layers = [chain.Q(l) * chain.x for l in range(depth)]
    rule = sp.Matrix([-chain.P(l) * pi[-1] * chain.residual * layers[l - 1] for l in range(1, depth + 1)])
    steps = (
        Step(
            r"With $\epsilon_l = z_l - \hat z_l$, $\hat z$ held, stationarity is $\Pi_l \epsilon_l = A_{l+1} \Pi_{l+1} \epsilon_{l+1}$, $\epsilon_L = r$",
            balance,
            closed,
            solve(*e),
        ),
        Step(
            r"and $-\Pi_l \epsilon_l \hat z_{l-1}$ is the gradient of the loss",
            chain.loss,
            rule,
            differentiate(*chain.maps),
        ),
    )
    return Derivation("exact-bp-variants", f"Fixed predictions, chain of depth {depth}", steps)


def one_shot(depth: int) -> Derivation:
    r"""$dA_l = \epsilon_l z_{l-1} / z_{l-1}^2$ at equilibrium maps x exactly to y (`one-shot`), one sample."""
    chain = Chain(depth)
    layers = [chain.x, *chain.activities, chain.y]
    changed = [
        A + (above - A * below) / below
        for A, below, above in zip(chain.maps, layers, layers[1:], strict=False)
    ]
    step = Step(
        "Each layer now maps the activity below to the one above, so that the whole maps $x$ to $y$",
        sp.Mul(*changed) * chain.x,
        chain.y,
        algebra(),
    )
    return Derivation("one-shot", f"Normalised consolidation, chain of depth {depth}", (step,))


def compression(depth: int) -> Derivation:
    r"""Loss and equilibrated energy see the data through three second moments (`data-compression`)."""
    chain = Chain(depth)
    S = sp.Symbol("S", positive=True)
    squared = sp.Symbol("R", nonnegative=True)
    whole = chain.P(0)
    root, cross, rest = sp.symbols("u v n", real=True)
    two_rows = ((cross - whole * root) ** 2 + rest**2) / 2
    moments_of_two = dict(
        zip(MOMENTS, (root**2 / 2, root * cross / 2, (cross**2 + rest**2) / 2), strict=True)
    )
    steps = (
        Step(
            r"The mean of $r^2 / 2S$ over the batch, $R = S_{yy} - 2 P_0 S_{xy} + P_0^2 S_{xx}$",
            chain.residual**2 / (2 * S),
            squared / (2 * S),
            average(moments(chain)),
            {squared: batch(chain)[0]},
        ),
        Step(
            r"The two samples $(x, y) = (u, v)$ and $(0, n)$, with $S_{xx} = u^2/2$, $S_{xy} = uv/2$, $S_{yy} = (v^2 + n^2)/2$, have the same $R$",
            batch(chain)[0],
            two_rows,
            substitute(moments_of_two),
        ),
        Step(
            r"and a triangular square root takes on any moments: $u^2 = 2 S_{xx}$, $v = 2 S_{xy} / u$, $n^2 = 2 S_{yy} - v^2$",
            sp.Matrix([root**2 / 2, root * cross / 2]),
            sp.Matrix([_XX, MOMENTS[1]]),
            substitute({root: sp.sqrt(2 * _XX), cross: 2 * MOMENTS[1] / sp.sqrt(2 * _XX)}),
        ),
    )
    return Derivation("data-compression", f"Second moments are enough, chain of depth {depth}", steps)


DERIVATIONS: Mapping[str, Callable[[], Derivation]] = {
    f"{name}-{depth}": partial(builder, depth)
    for name, builder, depths in (
        ("through-inference-gradients/chain", through_inference, range(2, 5)),
        ("equilibrium-propagation/chain", nudging, range(2, 5)),
        ("exact-bp-variants/zero-divergence-chain", zero_divergence, range(1, 6)),
        ("exact-bp-variants/fixed-predictions-chain", fixed_predictions, range(2, 6)),
        ("one-shot/chain", one_shot, range(1, 5)),
        ("data-compression/chain", compression, range(1, 5)),
    )
    for depth in depths
} | {
    f"truncated-adjoint/chain-{depth}-terms-{terms}": partial(truncated_adjoint, depth, terms)
    for depth in (2, 3, 4)
    for terms in (1, 2, 3)
}
