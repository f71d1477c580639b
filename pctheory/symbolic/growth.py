r"""Chains in learning: how the weights grow, where gradients of single samples vanish, and the sharpness at a
fit.

Multipliers are 1 and there are no skips, so that the maps are the weights. With $G_l = dF^*/dA_l$
gradient flow moves them at $-G_l$.
"""

from __future__ import annotations

import sympy as sp

from .balance import MOMENTS, batch, equilibrated, moments
from .cases import Family, cases
from .chain import BATCH, EQUILIBRATED, Chain
from .derivation import Derivation, Step
from .gradients import equilibrated_step
from .means import average, limit
from .rules import algebra, along, second_derivatives, substitute, times


def escape(hidden_layers: int) -> Derivation:
    r"""Squared weights grow apart at $2 r^2 P_l^2 / (\Pi_l S^2)$, and how $A_2 / A_1$ moves.

    Claim `escape-time`.

    Parameters
    ----------
    hidden_layers : int
        Number of hidden layers, 1 or more.

    Returns
    -------
    Derivation
        Its result is the rate of $R = A_2 / A_1$, with $a = P_2 / S$: $r x a (1 - R^2) + r^2 a^2 R / \Pi_1$.
    """
    chain = Chain(hidden_layers + 1)
    r, S = chain.abbreviations
    A, pi, layers = chain.maps, chain.precisions, range(1, chain.depth + 1)
    slope = equilibrated_step(chain)
    G = sp.symbols(f"G_1:{chain.depth + 1}", real=True)
    known = chain.abbreviations | dict(zip(G, slope.after, strict=True))
    flow = dict(zip(A, (-g for g in G), strict=True))
    below = [sp.Add(*(chain.P(j) ** 2 / pi[j - 1] for j in range(1, l))) for l in layers]
    rates = [2 * r * chain.P(0) * chain.x / S + 2 * r**2 / S**2 * part for part in below]
    gaps = [2 * r**2 * chain.P(l) ** 2 / (pi[l - 1] * S**2) for l in range(1, chain.depth)]
    v = sp.symbols(f"v_1:{chain.depth + 1}", real=True)
    ratio, gain = A[1] / A[0], chain.P(2) / S
    steps = (
        slope,
        Step(
            "How fast they move",
            sp.Matrix([A_l**2 for A_l in A]),
            sp.Matrix([-2 * A_l * g for A_l, g in zip(A, G, strict=True)]),
            along(flow),
            known,
            given="the squared weights",
            using={"gradient": G},
        ),
        Step(
            "which is one term that all layers share, and one for each hidden layer below",
            sp.Matrix([-2 * A_l * g for A_l, g in zip(A, G, strict=True)]),
            sp.Matrix(rates),
            algebra(),
            known,
            label="rates",
        ),
        Step(
            "Neighbours grow apart, the one nearer to the output ahead",
            sp.Matrix([v[l] - v[l - 1] for l in range(1, chain.depth)]),
            sp.Matrix(gaps),
            algebra(),
            chain.abbreviations | dict(zip(v, rates, strict=True)),
            using={"rates": v},
        ),
        Step(
            "The ratio of the two lowest moves towards 1 but for the last term",
            ratio,
            r * chain.x * gain * (1 - ratio**2) + r**2 * gain**2 * ratio / pi[0],
            along(flow),
            known,
            given="the ratio $A_2 / A_1$",
            using={"gradient": G},
        ),
    )
    return Derivation("escape-time", f"The growth of the weights, {chain.described}", steps)


def inflation(hidden_layers: int) -> Derivation:
    r"""Noise inflates the weights above the first: their squares tend to one $q$ with $q^L \sim 2 \nu L t$.

    Claim `inflation`.

    Parameters
    ----------
    hidden_layers : int
        Number of hidden layers, 1 or more.

    Returns
    -------
    Derivation
        Its result is the energy to leading order, $\frac{\nu}{2} (2 \nu L t)^{-(L-1)/L}$.
    """
    chain = Chain(hidden_layers + 1, unit_precisions=True)
    _, S = chain.abbreviations
    A, L, layers = chain.maps, chain.depth, range(1, chain.depth + 1)
    xx, xy, yy = MOMENTS
    noise, u, m, q, t = sp.symbols("nu u m q t", positive=True)
    G = sp.symbols(f"G_1:{L + 1}", real=True)
    v = sp.symbols(f"v_1:{L + 1}", real=True)
    slope = equilibrated_step(chain)
    known = chain.abbreviations | dict(zip(G, slope.after, strict=True))
    flow = dict(zip(A, (-g for g in G), strict=True))
    speeds = sp.Matrix([-2 * A_l * g for A_l, g in zip(A, G, strict=True)])
    squares, slopes = batch(chain)
    below = [sp.Add(*(chain.P(j) ** 2 for j in range(1, l))) for l in layers]
    mean = sp.Matrix([2 * slopes * chain.P(0) / S + 2 * squares / S**2 * part for part in below])
    fitted = sp.Matrix([2 * noise / S**2 * part for part in below])
    path = {A[0]: m / u ** (L - 1)} | dict.fromkeys(A[1:], u)
    large = [sp.Add(*(u ** (2 * (L - j)) for j in range(1, l))) for l in range(1, L + 1)]
    whole = 1 + large[-1]
    shares = sp.Matrix([part / whole for part in large])
    steps = (
        slope,
        Step(
            "How fast the squared weights move",
            sp.Matrix([A_l**2 for A_l in A]),
            speeds,
            along(flow),
            known,
            given="the squared weights",
            using={"gradient": G},
        ),
        Step(
            "in the mean over the batch", speeds, mean, average(moments(chain)), known, using={"gradient": G}
        ),
        Step(
            r"Where the map is fitted, $\langle r x \rangle = 0$ and $\langle r^2 \rangle = \nu$, noise "
            "alone moves them",
            mean,
            fitted,
            substitute({xy: chain.P(0) * xx, yy: noise + chain.P(0) ** 2 * xx}),
            {S: chain.rescaling},
            label="speeds",
        ),
        Step(
            r"Along $A_l = u$ for $l \ge 2$, $A_1 = m / u^{L-1}$, which keeps the map, $S v_l / 2 \nu$ is "
            "the share of $S$ that comes from below layer $l$",
            sp.Matrix([S * speed / (2 * noise) for speed in v]),
            shares,
            substitute(path),
            {S: chain.rescaling} | dict(zip(v, fitted, strict=True)),
            using={"speeds": v},
        ),
        Step(
            "It tends to nothing for the first weight and to all of $S$ for the others",
            shares,
            sp.Matrix([0, *[1] * (L - 1)]),
            limit(u, sp.oo),
        ),
        Step(
            r"$S$ itself grows as $u^{2(L-1)}$",
            whole / u ** (2 * (L - 1)),
            sp.S.One,
            limit(u, sp.oo),
            given="$S / u^{2(L-1)}$ there",
        ),
        Step(
            r"So $q = u^2$ moves at $2 \nu / S \sim 2 \nu / q^{L-1}$, and $q^L$ at a constant speed: "
            r"$q^L \sim 2 \nu L t$",
            q**L,
            2 * noise * L,
            along({q: 2 * noise / q ** (L - 1)}),
            given="$q^L$",
        ),
        Step(
            "The energy with this $q$",
            noise / (2 * q ** (L - 1)),
            noise / 2 * (2 * noise * L * t) ** -sp.Rational(L - 1, L),
            substitute({q: (2 * noise * L * t) ** sp.Rational(1, L)}),
            given=r"the energy $\nu / 2 S$ with $S = q^{L-1}$",
        ),
    )
    return Derivation("inflation", f"Noise and the weights, {chain.described}", steps)


def noise(hidden_layers: int) -> Derivation:
    r"""At a critical point the gradients of a single sample vanish in all layers but the last.

    Claim `gradient-noise`.

    Parameters
    ----------
    hidden_layers : int
        Number of hidden layers, 1 or more.

    Returns
    -------
    Derivation
    """
    chain = Chain(hidden_layers + 1)
    slope = equilibrated_step(chain)
    last = -chain.precisions[-1] * chain.y * chain.x * chain.Q(chain.depth - 1)
    hidden = [sp.S.Zero] * hidden_layers
    steps = (
        slope,
        Step(
            "A critical point has $A_L r = 0$ on every sample. Where $A_L = 0$ only the last layer has a "
            "gradient",
            slope.after,
            sp.Matrix([*hidden, last]),
            substitute({chain.maps[-1]: sp.S.Zero}),
            chain.abbreviations,
        ),
        Step(
            "and where $r = 0$, $y = P_0 x$, no layer has",
            slope.after,
            sp.Matrix([*hidden, sp.S.Zero]),
            substitute({chain.y: chain.P(0) * chain.x}),
            chain.abbreviations,
            follows="gradient",
        ),
    )
    return Derivation("gradient-noise", f"Gradients of a sample, {chain.described}", steps)


def sharpness(hidden_layers: int) -> Derivation:
    r"""The sharpness at a fit is a mean of the layers' squared inputs, with the weights $P_l^2 / S$.

    Claim `fit-sharpness`.

    Parameters
    ----------
    hidden_layers : int
        Number of hidden layers, 1 or more.

    Returns
    -------
    Derivation
    """
    chain = Chain(hidden_layers + 1, unit_precisions=True)
    r, S = chain.abbreviations
    layers = range(1, chain.depth + 1)
    value = chain.residual**2 / (2 * chain.rescaling)
    hessian = sp.hessian(value, chain.maps)
    J = sp.Matrix([chain.P(l) * chain.Q(l - 1) * chain.x for l in layers])
    inputs = sp.symbols(f"q_1:{chain.depth + 1}", nonnegative=True)
    mean = sp.Add(*(chain.P(l) ** 2 * q for l, q in zip(layers, inputs, strict=True))) / S
    squares = {q: (chain.Q(l - 1) * chain.x) ** 2 for l, q in zip(layers, inputs, strict=True)}
    common = sp.Symbol("q", nonnegative=True)
    steps = (
        Step(
            "Its second derivatives in the maps",
            r**2 / (2 * S),
            hessian,
            second_derivatives(*chain.maps),
            chain.abbreviations,
            given=EQUILIBRATED,
        ),
        Step(
            "At a fit, $y = P_0 x$, they are a matrix of rank one",
            hessian,
            J * J.T / chain.rescaling,
            substitute({chain.y: chain.P(0) * chain.x}),
        ),
        Step(
            r"whose eigenvalue is the mean of the squared inputs $q_l = (Q_{l-1} x)^2$ with the weights "
            r"$P_l^2 / S$",
            J * J.T / chain.rescaling,
            mean * J,
            times(J),
            {S: chain.rescaling} | squares,
        ),
        Step(
            "These weights have the sum 1: where all inputs are equal the gains do not matter",
            mean,
            common,
            substitute(dict.fromkeys(inputs, common)),
            {S: chain.rescaling},
            given="the mean of the $q_l$",
        ),
    )
    return Derivation("fit-sharpness", f"Sharpness at a fit, {chain.described}", steps)


def smallest_form(hidden_layers: int) -> Derivation:
    r"""In the smallest case the form of (ii') is $\langle h^2 \rangle - \lambda_r$: the whole Hessian.

    Claim `second-order-classification`.

    Parameters
    ----------
    hidden_layers : int
        Number of hidden layers; the smallest case is 1.

    Returns
    -------
    Derivation
    """
    chain = Chain(hidden_layers + 1, unit_precisions=True)
    xx, xy, yy = MOMENTS
    value = equilibrated(chain)
    hessian = sp.hessian(value, chain.maps)
    lower, upper = chain.maps
    steps = (
        Step(
            "Its second derivatives in the maps",
            value,
            hessian,
            second_derivatives(*chain.maps),
            given=BATCH,
        ),
        Step(
            r"At $A_2 = 0$ with $S_{xy} = 0$ they are $\langle h^2 \rangle - \langle r^2 \rangle$ in $A_2$, "
            r"with $h = A_1 x$ and $r = y$, and zero",
            hessian,
            sp.diag(0, lower**2 * xx - yy),
            substitute({upper: sp.S.Zero, xy: sp.S.Zero}),
        ),
    )
    return Derivation("second-order-classification", f"The form of (ii'), {chain.described}", steps)


FAMILIES = (
    Family("escape-time", escape, cases(hidden_layers=range(2, 5))),
    Family("inflation", inflation, cases(hidden_layers=range(1, 5))),
    Family("gradient-noise", noise, cases(hidden_layers=range(1, 5))),
    Family("fit-sharpness", sharpness, cases(hidden_layers=range(1, 4))),
    Family("second-order-classification", smallest_form, cases(hidden_layers=(1,))),
)
