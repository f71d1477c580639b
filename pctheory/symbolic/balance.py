r"""The balance law of chains and what it says about critical points, with a batch of any size.

A batch enters through its second moments only. With $G_l = dF^*/dA_l$ the law is $A_{l+1} G_{l+1} - G_l A_l =
-\langle \Pi_l \epsilon_l^{*2} \rangle$: where all gradients vanish, so do all hidden errors.
"""

from __future__ import annotations

import sympy as sp

from .cases import Family, cases
from .chain import BATCH, RESCALING, Chain
from .derivation import Derivation, Step
from .exact import gradient
from .gradients import equilibrated_step
from .means import average, sign
from .rules import algebra, along, differentiate, substitute

MOMENTS = (sp.Symbol("S_xx", positive=True), sp.Symbol("S_xy", real=True), sp.Symbol("S_yy", positive=True))
"""The second moments of the data; neither all inputs nor all targets are zero."""


def moments(chain: Chain) -> dict[sp.Expr, sp.Expr]:
    """Map the products of the data to the symbols of their means.

    Parameters
    ----------
    chain : Chain
        The chain that the data pass through; its x and y are the data.

    Returns
    -------
    dict
        For the rule `average`.
    """
    xx, xy, yy = MOMENTS
    return {chain.x**2: xx, chain.x * chain.y: xy, chain.y**2: yy}


def batch(chain: Chain) -> tuple[sp.Expr, sp.Expr]:
    r"""Write $\langle r^2 \rangle$ and $\langle r x \rangle$ in the second moments of the data.

    Parameters
    ----------
    chain : Chain
        The chain with the residual r.

    Returns
    -------
    tuple of two sympy expressions
    """
    xx, xy, yy = MOMENTS
    whole = chain.P(0)
    return yy - 2 * whole * xy + whole**2 * xx, xy - whole * xx


def equilibrated(chain: Chain) -> sp.Expr:
    r"""Write $F^* = \langle r^2 \rangle / 2S$ of a batch in the second moments of the data.

    Parameters
    ----------
    chain : Chain
        The chain with the residual r and the rescaling S.

    Returns
    -------
    sympy expression
    """
    return batch(chain)[0] / (2 * chain.rescaling)


def balance_law(hidden_layers: int) -> Derivation:
    r"""The imbalance of neighbouring layers drifts towards the output, at twice the hidden error.

    Claim `balance-law`.

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
    A, pi, a, hidden = chain.maps, chain.precisions, chain.multipliers, range(1, chain.depth)
    squared = sp.Symbol("R", nonnegative=True)
    gradient_step = equilibrated_step(chain)
    G = sp.symbols(f"G_1:{chain.depth + 1}", real=True)
    B = sp.symbols(f"B_1:{chain.depth}", real=True)
    law = [A[l] * G[l] - G[l - 1] * A[l - 1] for l in hidden]
    errors = sp.Matrix([-((chain.P(l) * r / S) ** 2) / pi[l - 1] for l in hidden])
    mean = sp.Matrix([-((chain.P(l) / S) ** 2) / pi[l - 1] * squared for l in hidden])
    imbalance = sp.Matrix([A[l] ** 2 / a[l] ** 2 - A[l - 1] ** 2 / a[l - 1] ** 2 for l in hidden])
    velocities = dict(zip(chain.weights, (-a_l * g for a_l, g in zip(a, G, strict=True)), strict=True))
    steps = (
        gradient_step,
        Step(
            r"$A_{l+1} G_{l+1} - G_l A_l$ is minus the weighted squared error $\Pi_l \epsilon_l^{*2}$",
            sp.Matrix(law),
            errors,
            algebra(),
            chain.abbreviations | dict(zip(G, gradient_step.after, strict=True)),
            using={"gradient": G},
        ),
        Step(
            r"and so is its mean over the batch, with $R = \langle r^2 \rangle$",
            errors,
            mean,
            average(moments(chain)),
            chain.abbreviations | {squared: batch(chain)[0]},
            label="law",
        ),
        Step(
            r"Under the flow $\dot w_l = -a_l G_l$ it drifts at $-2 B_l$, $B_l = A_{l+1} G_{l+1} - G_l A_l$",
            imbalance,
            -2 * sp.Matrix(B),
            along(velocities),
            chain.parameters | dict(zip(B, law, strict=True)),
            given=r"the imbalance $A_{l+1}^2 / a_{l+1}^2 - A_l^2 / a_l^2$ with $A_l = a_l w_l + \tau_l$",
        ),
        Step(
            "which by the law is twice the hidden error: towards the output",
            -2 * sp.Matrix(B),
            -2 * mean,
            sign(r"\ge"),
            {S: chain.rescaling} | dict(zip(B, mean, strict=True)),
            using={"law": B},
        ),
    )
    return Derivation("balance-law", f"The balance law, {chain.described}", steps)


def homogeneous_balance(activation: str, hidden_layers: int) -> Derivation:
    r"""ReLU and leaky ReLU: the law holds for each hidden unit at any stationary point.

    Claim `balance-law`.

    On one branch of such an activation $\phi(z) = \phi'(z) z$ with a constant slope $c_l$ for layer l; $z_0 =
    x$ enters as it is.

    Parameters
    ----------
    activation : "relu"
        Stands for all piecewise linear activations with a kink at zero.
    hidden_layers : int
        Number of hidden layers, 1 or more.

    Returns
    -------
    Derivation
    """
    chain = Chain(hidden_layers + 1, unit_precisions=True)
    slopes = sp.symbols(f"c_1:{chain.depth}", real=True)
    w, z = chain.weights, chain.activities
    layers = [chain.x, *(c * activity for c, activity in zip(slopes, z, strict=True))]
    errors = [above - weight * below for weight, below, above in zip(w, layers, [*z, chain.y], strict=True)]
    energy = sp.Add(*(error**2 for error in errors)) / 2
    in_weights, in_activities = gradient(energy, w), gradient(energy, z)
    G = sp.symbols(f"G_1:{chain.depth + 1}", real=True)
    D = sp.symbols(f"D_1:{chain.depth}", real=True)
    hidden = range(1, chain.depth)
    premise = "the energy of one sample on one branch of the activations, with slopes $c_l$"
    steps = (
        Step(
            "The slope in the activities",
            energy,
            in_activities,
            differentiate(*z),
            given=premise,
            label="slope",
        ),
        Step(
            "The gradient in the weights",
            energy,
            in_weights,
            differentiate(*w),
            given=premise,
            label="gradient",
        ),
        Step(
            "$w_{l+1} G_{l+1} - G_l w_l$, less $z_l D_l$, which is zero where the activities are "
            r"stationary, is $-\epsilon_l^2$",
            sp.Matrix([w[l] * G[l] - G[l - 1] * w[l - 1] - z[l - 1] * D[l - 1] for l in hidden]),
            sp.Matrix([-(errors[l - 1] ** 2) for l in hidden]),
            algebra(),
            dict(zip(G, in_weights, strict=True)) | dict(zip(D, in_activities, strict=True)),
            using={"gradient": G, "slope": D},
        ),
    )
    return Derivation("balance-law", f"Balance of piecewise linear units, {chain.described}", steps)


def critical_points(hidden_layers: int) -> Derivation:
    r"""All gradients vanish iff $A_L r = 0$ for every sample and $\langle r x \rangle Q_{L-1} = 0$.

    Claim `critical-points`.

    Parameters
    ----------
    hidden_layers : int
        Number of hidden layers, 1 or more.

    Returns
    -------
    Derivation
    """
    chain = Chain(hidden_layers + 1, unit_precisions=True)
    depth = chain.depth
    S = sp.Symbol("S", positive=True)
    squared, cross = sp.Symbol("R", nonnegative=True), sp.Symbol("C", real=True)
    where = {S: chain.rescaling, squared: batch(chain)[0], cross: batch(chain)[1]}
    A, last = chain.maps, chain.maps[-1]
    G = sp.symbols(f"G_1:{depth + 1}", real=True)
    through = [
        -last * chain.product(depth - 1, l) / S * (cross * chain.Q(l - 1) + squared * chain.gain(l - 1) / S)
        for l in range(1, depth)
    ]
    top = -cross * chain.Q(depth - 1) / S - last * squared * chain.marginal(depth - 1) / S**2
    gradients = sp.Matrix([*through, top])
    steps = (
        Step(
            r"Its gradient, with $C = \langle r x \rangle$ and $R = \langle r^2 \rangle$",
            squared / (2 * S),
            gradients,
            differentiate(*A),
            where,
            given=BATCH,
            label="gradient",
        ),
        Step(
            r"$A_L^2 R$ is a combination of the gradients: if all vanish, so does $A_L r$ for every sample",
            S**2 * (G[depth - 2] * A[depth - 2] - G[depth - 1] * last),
            last**2 * squared,
            algebra(),
            where | dict(zip(G, gradients, strict=True)),
            using={"gradient": G},
        ),
        Step(
            r"With $A_L = 0$ the gradient vanishes iff $C Q_{L-1} = 0$, where $C = S_{xy}$",
            gradients,
            sp.Matrix([*(sp.S.Zero for _ in through), -MOMENTS[1] * chain.Q(depth - 1)]),
            substitute({last: sp.S.Zero}),
            where,
            follows="gradient",
        ),
        Step(
            "is then 1, so that the energy is the loss",
            chain.rescaling,
            sp.S.One,
            substitute({last: sp.S.Zero}),
            given=RESCALING,
        ),
    )
    return Derivation("critical-points", f"The critical points, {chain.described}", steps)


FAMILIES = (
    Family("balance-law", balance_law, cases(hidden_layers=range(1, 5))),
    Family("balance-law", homogeneous_balance, cases(activation=("relu",), hidden_layers=range(1, 5))),
    Family("critical-points", critical_points, cases(hidden_layers=range(1, 5))),
)
