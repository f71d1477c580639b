r"""Chains: the gradients of the equilibrated energy, how they split, and when they become backprop's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import sympy as sp

from .chain import Chain
from .derivation import Derivation, Step
from .rules import algebra, differentiate, limit, sign, substitute


def _backprop(chain: Chain) -> sp.Matrix:
    r"""$dL/dA_l = -\Pi_L P_l r Q_{l-1} x$."""
    r = chain.residual
    return sp.Matrix(
        [-chain.precisions[-1] * chain.P(l) * r * chain.Q(l - 1) * chain.x for l in range(1, chain.depth + 1)]
    )


def envelope_gradient(depth: int) -> Derivation:
    r"""$dF^*/dA_l = -\Pi_l \epsilon_l^* z_{l-1}^*$: the local rule is the exact gradient (`envelope-gradient`)."""
    chain = Chain(depth)
    r, S = chain.abbreviations
    equilibrated = chain.residual**2 / (2 * chain.rescaling)
    layers = [chain.x, *chain.activities, chain.y]
    local = sp.Matrix([chain.energy.diff(A) for A in chain.maps])
    weighted = [
        -pi * (layers[l + 1] - A * layers[l]) * layers[l]
        for l, (pi, A) in enumerate(zip(chain.precisions, chain.maps, strict=True))
    ]
    below = [chain.x, *chain.closed_activities]
    closed = sp.Matrix([-chain.P(l) * r / S * below[l - 1] for l in range(1, depth + 1)])
    steps = (
        Step(
            "With the activities held, the energy's gradient in the maps is the local rule",
            chain.energy,
            sp.Matrix(weighted),
            differentiate(*chain.maps),
        ),
        Step(
            "At the equilibrium it is",
            local,
            closed,
            substitute(chain.equilibrium_values),
            chain.abbreviations,
        ),
        Step(
            "The equilibrated energy, where the activities move with the maps, has the same gradient",
            r**2 / (2 * S),
            closed,
            differentiate(*chain.maps),
            chain.abbreviations,
        ),
        Step(
            r"The chain rule for $A_l = a_l w_l + \tau_l$ multiplies by $a_l$",
            equilibrated.xreplace(chain.parameters),
            sp.Matrix(
                [
                    a * equilibrated.diff(A).xreplace(chain.parameters)
                    for a, A in zip(chain.multipliers, chain.maps, strict=True)
                ]
            ),
            differentiate(*chain.weights),
        ),
    )
    return Derivation(
        "envelope-gradient", f"Gradient of the equilibrated energy, chain of depth {depth}", steps
    )


def gradient_decomposition(depth: int) -> Derivation:
    r"""$dF^*/dA_l = -P_l S^{-1} (r x Q_{l-1} + r^2 S^{-1} K_{l-1})$ (`gradient-decomposition`)."""
    chain = Chain(depth)
    r, S = chain.abbreviations
    split = [
        -chain.P(l) / S * (r * chain.x * chain.Q(l - 1) + r**2 / S * chain.gain(l - 1))
        for l in range(1, depth + 1)
    ]
    rescaled = [-chain.P(l) / S * r * chain.x * chain.Q(l - 1) for l in range(1, depth + 1)]
    steps = (
        Step(
            "The gradient of the equilibrated energy",
            r**2 / (2 * S),
            sp.Matrix(split),
            differentiate(*chain.maps),
            chain.abbreviations,
        ),
        Step(
            r"Its first term is backprop's gradient divided by $\Pi_L S$",
            sp.Matrix(rescaled),
            _backprop(chain) / (chain.precisions[-1] * S),
            algebra(),
            chain.abbreviations,
        ),
    )
    return Derivation(
        "gradient-decomposition", f"The two parts of the gradient, chain of depth {depth}", steps
    )


def scalar_gradient_split(depth: int) -> Derivation:
    r"""One output: $\nabla F^* = \nabla L / s - (L / s^2) \nabla s$ (`scalar-gradient-split`)."""
    chain = Chain(depth, unit_precisions=True)
    s = chain.rescaling
    split = sp.Matrix([chain.loss.diff(A) / s - chain.loss / s**2 * s.diff(A) for A in chain.maps])
    energy = chain.residual**2 / (2 * s)
    steps = (
        Step(
            "The energy of the equilibrium is the loss over the rescaling", energy, chain.loss / s, algebra()
        ),
        Step(
            "Its gradient: the rescaled loss gradient and the extra energy gradient",
            energy,
            split,
            differentiate(*chain.maps),
        ),
    )
    return Derivation(
        "scalar-gradient-split", f"One output: loss and rescaling, chain of depth {depth}", steps
    )


def precision_limits(depth: int) -> Derivation:
    r"""Hidden over output precision $\rho \to \infty$: backprop's gradient, error $O(1/\rho)$ (`precision-limits`)."""
    chain = Chain(depth)
    ratio = sp.Symbol("rho", positive=True)
    hidden_over_output = dict.fromkeys(chain.precisions[:-1], ratio) | {chain.precisions[-1]: sp.S.One}
    equilibrated = chain.residual**2 / (2 * chain.rescaling)
    with_ratio = equilibrated.subs(hidden_over_output)
    gradient = sp.Matrix([with_ratio.diff(A) for A in chain.maps])
    backprop = _backprop(chain).subs(hidden_over_output)
    # S = 1 + c / rho: every entry is a polynomial in 1 / rho over (1 + c / rho)^2.
    inflation = sp.Add(*(chain.P(l) ** 2 for l in range(1, depth)))
    closed = sp.Matrix(
        [
            entry / (1 + inflation / ratio)
            - chain.residual**2 * inflation.diff(A) / (2 * ratio * (1 + inflation / ratio) ** 2)
            for entry, A in zip(backprop, chain.maps, strict=True)
        ]
    )
    error = sp.Matrix(
        [
            -entry * inflation - chain.residual**2 * inflation.diff(A) / 2
            for entry, A in zip(backprop, chain.maps, strict=True)
        ]
    )
    small = sp.Symbol("h", positive=True)
    scaled = ((closed - backprop) * ratio).applyfunc(lambda entry: sp.cancel(entry.subs(ratio, 1 / small)))
    steps = (
        Step(
            "Hidden precisions $\\rho$, output precision 1",
            equilibrated,
            with_ratio,
            substitute(hidden_over_output),
        ),
        Step("The gradient", with_ratio, closed, differentiate(*chain.maps)),
        Step("Its limit is backprop's", gradient, backprop, limit(ratio, sp.oo)),
        Step(
            r"and $\rho$ times the difference has a finite limit ($h = 1/\rho$)",
            scaled,
            error,
            substitute({small: sp.S.Zero}),
        ),
    )
    return Derivation("precision-limits", f"Rigid hidden layers, chain of depth {depth}", steps)


def no_minimiser(depth: int) -> Derivation:
    r"""With a residual that cannot vanish the energy falls for ever along a scaling path (`no-minimiser-with-noise`)."""
    chain = Chain(depth, unit_precisions=True)
    scale, top, inner = sp.symbols("s w c", positive=True)
    noise = sp.Symbol("R", positive=True)
    last, first = chain.maps[-1], chain.maps[0]
    path = {last: scale * last, first: first / scale}
    inflated = 1 + scale**2 * (chain.rescaling - 1)
    energy = noise / (2 * (1 + scale**2 * (top**2 * inner)))
    steps = (
        Step(
            "Scaling the last map up and the first one down leaves the residual",
            chain.residual,
            chain.residual,
            substitute(path),
        ),
        Step("but inflates the rescaling", chain.rescaling, inflated, substitute(path)),
        Step(
            r"$S - 1 = w^2 c$ with $w = A_L$",
            chain.rescaling - 1,
            top**2 * inner,
            algebra(),
            {top: last, inner: sp.cancel((chain.rescaling - 1) / last**2)},
        ),
        Step(
            "so that the mean energy, with the mean squared residual $R > 0$, falls",
            -energy.diff(scale),
            noise * scale * top**2 * inner / (1 + scale**2 * top**2 * inner) ** 2,
            sign(">"),
        ),
        Step("stays positive", energy, noise / (2 * (1 + scale**2 * top**2 * inner)), sign(">")),
        Step("and tends to zero, which no finite weights reach", energy, sp.S.Zero, limit(scale, sp.oo)),
    )
    return Derivation("no-minimiser-with-noise", f"The scaling path, chain of depth {depth}", steps)


def weight_inflation() -> Derivation:
    r"""Fitting nothing, the last weight of a chain grows as $w \sim (4 S_{yy} t)^{1/4}$ (`no-minimiser-with-noise`)."""
    w, c = sp.symbols("w S_yy", positive=True)
    constant = sp.Symbol("C", real=True)
    energy = c / (2 * (1 + w**2))
    speed = c * w / (1 + w**2) ** 2
    clock = (sp.log(w) + w**2 + w**4 / 4 + constant) / c
    steps = (
        Step(
            "At zero first weight the residual is $y$: the flow in the last weight",
            -energy,
            speed,
            differentiate(w),
        ),
        Step("The time it takes: $dt/dw$ is one over the speed", clock, 1 / speed, differentiate(w)),
        Step(r"so $S_{yy} t / (w^4 / 4) \to 1$", c * clock / (w**4 / 4), sp.S.One, limit(w, sp.oo)),
    )
    return Derivation("no-minimiser-with-noise", "How fast the weights inflate", steps)


DERIVATIONS: Mapping[str, Callable[[], Derivation]] = {
    f"{name}/chain-{depth}": partial(builder, depth)
    for name, builder, depths in (
        ("envelope-gradient", envelope_gradient, range(1, 7)),
        ("gradient-decomposition", gradient_decomposition, range(1, 7)),
        ("scalar-gradient-split", scalar_gradient_split, range(1, 7)),
        ("precision-limits", precision_limits, range(2, 6)),
        ("no-minimiser-with-noise", no_minimiser, range(2, 6)),
    )
    for depth in depths
} | {"no-minimiser-with-noise/inflation": weight_inflation}
