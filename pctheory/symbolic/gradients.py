r"""Chains: the gradients of the equilibrated energy, how they split, and when they become backprop's."""

from __future__ import annotations

import sympy as sp

from .cases import Family, cases
from .chain import ENERGY, EQUILIBRATED, LOSS, RESCALING, Chain, at_equilibrium, equilibrated_steps
from .derivation import Derivation, Step
from .exact import gradient
from .means import limit, sign
from .rules import algebra, differentiate, substitute


def equilibrated_step(chain: Chain) -> Step:
    r"""Differentiate $F^* = r^2 / 2S$ in the maps: $-P_l S^{-1} (r x Q_{l-1} + r^2 S^{-1} K_{l-1})$.

    Parameters
    ----------
    chain : Chain
        The chain whose equilibrated energy is differentiated.

    Returns
    -------
    Step
        It has the label `gradient` and the premise `EQUILIBRATED`.
    """
    r, S = chain.abbreviations
    split = [
        -chain.P(l) / S * (r * chain.x * chain.Q(l - 1) + r**2 / S * chain.gain(l - 1))
        for l in range(1, chain.depth + 1)
    ]
    return Step(
        "Its gradient in the maps",
        r**2 / (2 * S),
        sp.Matrix(split),
        differentiate(*chain.maps),
        chain.abbreviations,
        given=EQUILIBRATED,
        label="gradient",
    )


def backprop(chain: Chain) -> sp.Matrix:
    r"""Write backprop's gradient, $dL/dA_l = -\Pi_L P_l r Q_{l-1} x$.

    Parameters
    ----------
    chain : Chain
        The chain whose loss is differentiated in the maps.

    Returns
    -------
    sympy Matrix
        A column, in the abbreviation r of the chain.
    """
    r, _ = chain.abbreviations
    return sp.Matrix(
        [-chain.precisions[-1] * chain.P(l) * r * chain.Q(l - 1) * chain.x for l in range(1, chain.depth + 1)]
    )


def backprop_step(chain: Chain) -> Step:
    """Differentiate the loss in the maps.

    Parameters
    ----------
    chain : Chain
        The chain whose loss is differentiated.

    Returns
    -------
    Step
        It has the label `backprop` and the premise `LOSS`.
    """
    r, _ = chain.abbreviations
    return Step(
        "Its gradient in the maps: backprop's",
        chain.precisions[-1] * r**2 / 2,
        backprop(chain),
        differentiate(*chain.maps),
        {r: chain.residual},
        given=LOSS,
        label="backprop",
    )


def envelope_gradient(hidden_layers: int) -> Derivation:
    r"""The local rule at equilibrium is the gradient of the energy there: $-\Pi_l \epsilon_l^* z_{l-1}^*$.

    Claim `envelope-gradient`.

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
    layers = [chain.x, *chain.activities, chain.y]
    local = sp.Matrix(
        [
            -pi * (above - A * below) * below
            for pi, A, below, above in zip(chain.precisions, chain.maps, layers, layers[1:], strict=False)
        ]
    )
    below = [chain.x, *chain.closed_activities]
    closed = sp.Matrix([-chain.P(l) * r / S * below[l - 1] for l in range(1, chain.depth + 1)])
    equilibrated = chain.residual**2 / (2 * chain.rescaling)
    gradients = sp.symbols(f"G_1:{chain.depth + 1}", real=True)
    with_gradients = chain.abbreviations | dict(zip(gradients, closed, strict=True))
    inserted = equilibrated.xreplace(chain.parameters)
    steps = (
        *equilibrated_steps(chain),
        Step(
            "With the activities held, its gradient in the maps is the local rule",
            chain.energy,
            local,
            differentiate(*chain.maps),
            given=ENERGY,
        ),
        Step(
            "which at the equilibrium is",
            local,
            closed,
            at_equilibrium(chain),
            chain.abbreviations,
            using={"equilibrium": chain.activities},
        ),
        Step(
            "The energy at equilibrium, where the activities move with the maps, has the same gradient",
            r**2 / (2 * S),
            closed,
            differentiate(*chain.maps),
            chain.abbreviations,
            follows="equilibrated energy",
            label="gradient",
        ),
        Step(
            r"With $A_l = a_l w_l + \tau_l$",
            equilibrated,
            inserted,
            substitute(chain.parameters),
            follows="equilibrated energy",
        ),
        Step(
            r"the chain rule multiplies the gradient $G_l$ in the map by $a_l$",
            inserted,
            sp.Matrix([a * G for a, G in zip(chain.multipliers, gradients, strict=True)]),
            differentiate(*chain.weights),
            chain.parameters | with_gradients,
            using={"gradient": gradients},
        ),
    )
    return Derivation("envelope-gradient", f"Gradient of the equilibrated energy, {chain.described}", steps)


def gradient_decomposition(hidden_layers: int) -> Derivation:
    r"""The gradient is backprop's, divided by $\Pi_L S$, and a part with the gain $K_{l-1}$.

    Claim `gradient-decomposition`.

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
    whole, loss = equilibrated_step(chain), backprop_step(chain)
    G, B = (sp.symbols(f"{letter}_1:{chain.depth + 1}", real=True) for letter in "GB")
    steps = (
        whole,
        loss,
        Step(
            r"The first part of $G$ is backprop's $B$ divided by $\Pi_L S$; the rest carries $K_{l-1}$",
            sp.Matrix([g - b / (chain.precisions[-1] * S) for g, b in zip(G, B, strict=True)]),
            sp.Matrix([-chain.P(l) * r**2 / S**2 * chain.gain(l - 1) for l in range(1, chain.depth + 1)]),
            algebra(),
            chain.abbreviations
            | dict(zip(G, whole.after, strict=True))
            | dict(zip(B, loss.after, strict=True)),
            using={"gradient": G, "backprop": B},
        ),
    )
    return Derivation("gradient-decomposition", f"The two parts of the gradient, {chain.described}", steps)


def scalar_gradient_split(hidden_layers: int) -> Derivation:
    r"""One output: $\nabla F^* = \nabla L / s - (L / s^2) \nabla s$.

    Claim `scalar-gradient-split`.

    Parameters
    ----------
    hidden_layers : int
        Number of hidden layers, 0 or more.

    Returns
    -------
    Derivation
    """
    chain = Chain(hidden_layers + 1, unit_precisions=True)
    loss, s = sp.Symbol("L", nonnegative=True), sp.Symbol("s", positive=True)
    slopes = zip(gradient(chain.loss, chain.maps), gradient(chain.rescaling, chain.maps), strict=True)
    step = Step(
        "It is the loss over the rescaling; its gradient has a part of each",
        loss / s,
        sp.Matrix([loss_slope / s - loss / s**2 * slope for loss_slope, slope in slopes]),
        differentiate(*chain.maps),
        {loss: chain.loss, s: chain.rescaling},
        given=EQUILIBRATED,
    )
    return Derivation("scalar-gradient-split", f"One output: loss and rescaling, {chain.described}", (step,))


def precision_limits(hidden_layers: int) -> Derivation:
    r"""As hidden precisions grow, $1/h \to \infty$, the gradient tends to backprop's, with an error in h.

    Claim `precision-limits`.

    Parameters
    ----------
    hidden_layers : int
        Number of hidden layers, 1 or more.

    Returns
    -------
    Derivation
    """
    chain = Chain(hidden_layers + 1)
    h = sp.Symbol("h", positive=True)
    rigid = dict.fromkeys(chain.precisions[:-1], 1 / h) | {chain.precisions[-1]: sp.S.One}
    r, _ = chain.abbreviations
    c = sp.Symbol("c", nonnegative=True)
    inflation = sp.Add(*(chain.P(l) ** 2 for l in range(1, chain.depth)))
    where = {r: chain.residual, c: inflation}
    limits = backprop(chain).subs(rigid)
    slopes = gradient(inflation, chain.maps)
    closed = sp.Matrix(
        [
            entry / (1 + c * h) - r**2 * slope * h / (2 * (1 + c * h) ** 2)
            for entry, slope in zip(limits, slopes, strict=True)
        ]
    )
    G, B = (sp.symbols(f"{letter}_1:{chain.depth + 1}", real=True) for letter in "GB")
    scaled = sp.Matrix(
        [
            -entry * c / (1 + c * h) - r**2 * slope / (2 * (1 + c * h) ** 2)
            for entry, slope in zip(limits, slopes, strict=True)
        ]
    )
    _, S = chain.abbreviations
    steps = (
        Step(
            r"With hidden precisions $1/h$ and output precision 1",
            r**2 / (2 * S),
            r**2 / (2 * (1 + c * h)),
            substitute(rigid),
            where | {S: chain.rescaling},
            given=EQUILIBRATED,
        ),
        Step(
            "Its gradient",
            r**2 / (2 * (1 + c * h)),
            closed,
            differentiate(*chain.maps),
            where,
            label="gradient",
        ),
        Step(
            "Its limit is backprop's",
            closed,
            limits,
            substitute({h: sp.S.Zero}),
            where,
            label="backprop",
        ),
        Step(
            "The difference, divided by $h$,",
            sp.Matrix([(g - b) / h for g, b in zip(G, B, strict=True)]),
            scaled,
            algebra(),
            where | dict(zip(G, closed, strict=True)) | dict(zip(B, limits, strict=True)),
            using={"gradient": G, "backprop": B},
        ),
        Step(
            "has a finite limit",
            scaled,
            scaled.subs(h, 0),
            substitute({h: sp.S.Zero}),
            where,
            label="first order",
        ),
    )
    return Derivation("precision-limits", f"Rigid hidden layers, {chain.described}", steps)


def no_minimiser(hidden_layers: int) -> Derivation:
    r"""If the residual cannot vanish, the energy falls for ever along a scaling path.

    Claim `no-minimiser-with-noise`.

    Parameters
    ----------
    hidden_layers : int
        Number of hidden layers, 1 or more.

    Returns
    -------
    Derivation
    """
    chain = Chain(hidden_layers + 1, unit_precisions=True)
    scale, inflation = sp.symbols("s c", positive=True)
    noise = sp.Symbol("R", positive=True)
    last, first = chain.maps[-1], chain.maps[0]
    path = {last: scale * last, first: first / scale}
    energy = noise / (2 * (1 + scale**2 * inflation))
    slope = -noise * scale * inflation / (1 + scale**2 * inflation) ** 2
    premise = r"the mean energy along the path, where $\langle r^2 \rangle = R > 0$ and $S = 1 + s^2 c$"
    steps = (
        Step(
            "Scaling the last map up and the first one down leaves it",
            chain.residual,
            chain.residual,
            substitute(path),
            given="the residual $r$",
        ),
        Step(
            "becomes $1 + s^2 c$ with $c = S - 1$ at $s = 1$",
            chain.rescaling,
            1 + scale**2 * inflation,
            substitute(path),
            {inflation: chain.rescaling - 1},
            given=RESCALING,
        ),
        Step("Its slope in $s$", energy, slope, differentiate(scale), given=premise),
        Step("is negative", slope, slope, sign("<")),
        Step("It stays positive", energy, energy, sign(">"), given=premise),
        Step("and tends to zero, which no finite weights reach", energy, sp.S.Zero, limit(scale, sp.oo)),
    )
    return Derivation("no-minimiser-with-noise", f"The scaling path, {chain.described}", steps)


def weight_inflation() -> Derivation:
    r"""Where nothing fits, the last weight of a chain grows as $w \sim (4 S_{yy} t)^{1/4}$.

    Claim `no-minimiser-with-noise`.

    Returns
    -------
    Derivation
    """
    w, c = sp.symbols("w S_yy", positive=True)
    constant, slope, pace, clock = sp.symbols("C G p t", real=True)
    energy, time = c / (2 * (1 + w**2)), (sp.log(w) + w**2 + w**4 / 4 + constant) / c
    fall, per_weight = -c * w / (1 + w**2) ** 2, (1 + w**2) ** 2 / (c * w)
    premise = "the time $t(w)$ to reach a weight, as it will turn out"
    steps = (
        Step(
            "Its slope: the weight grows at minus that",
            energy,
            fall,
            differentiate(w),
            given="the equilibrated energy in the last weight where the first is zero, so that the "
            "residual is $y$",
            label="slope",
        ),
        Step("Its slope", time, per_weight, differentiate(w), given=premise, label="pace"),
        Step(
            r"The product of $dw/dt = -G$ and $dt/dw = p$ is 1: it is the time",
            -slope * pace,
            sp.S.One,
            algebra(),
            {slope: fall, pace: per_weight},
            using={"slope": slope, "pace": pace},
        ),
        Step(
            r"so that $S_{yy} t / (w^4 / 4) \to 1$",
            c * clock / (w**4 / 4),
            sp.S.One,
            limit(w, sp.oo),
            {clock: time},
            using={premise: clock},
        ),
    )
    return Derivation("no-minimiser-with-noise", "How fast the weights inflate", steps)


FAMILIES = (
    Family("envelope-gradient", envelope_gradient, cases(hidden_layers=range(1, 6))),
    Family("gradient-decomposition", gradient_decomposition, cases(hidden_layers=range(1, 6))),
    Family("scalar-gradient-split", scalar_gradient_split, cases(hidden_layers=range(6))),
    Family("precision-limits", precision_limits, cases(hidden_layers=range(1, 5))),
    Family("no-minimiser-with-noise", no_minimiser, cases(hidden_layers=range(1, 5))),
    Family("no-minimiser-with-noise", weight_inflation, cases()),
)
