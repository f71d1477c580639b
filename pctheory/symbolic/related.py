r"""PPCA and the missing log determinant, and the limit to backprop."""

from __future__ import annotations

import sympy as sp

from .blocks import Network
from .cases import Family, cases
from .chain import ENERGY
from .derivation import Derivation, Step
from .elimination import roots
from .exact import gradient
from .means import average, gaussian_mean, limit, sign
from .rules import algebra, differentiate, mixed_derivative, solve, substitute


def missing_logdet() -> Derivation:
    r"""Plain PC grows its weight for ever; averaged over the posterior it stops at PPCA's solution.

    Claim `missing-logdet`.

    One observed and one latent unit: $x = w z + \text{noise}$ of variance v, $z \sim N(0, 1)$.

    Returns
    -------
    Derivation
    """
    x, z, w, m, n, spread = sp.symbols("x z w m n s", real=True)
    noise, second = sp.symbols("v S_xx", positive=True)
    plain_rule, rule, score = sp.symbols("p a D", real=True)
    energy = (x - w * z) ** 2 / (2 * noise) + z**2 / 2
    total = w**2 + noise
    optimum, posterior = w * x / total, noise / total
    slope = gradient(energy, [z])
    local = (x - w * z) * z
    sampled = (x - w * (m + spread * n)) * (m + spread * n)
    over_posterior = (x - w * m) * m - w * spread**2
    plain = w * noise * second / total**2
    averaged = w * noise * (second - total) / total**2
    likelihood = -sp.log(total) / 2 - second / (2 * total)
    size = sp.sqrt(second - noise)
    premise = "the local rule $(x - w z) z$"
    with_posterior = (x - w * optimum) * optimum - w * posterior
    steps = (
        Step("Its slope in the latent unit", energy, slope, differentiate(z), given=ENERGY),
        Step("vanishes at", slope, optimum, solve(z), label="minimum"),
        Step(
            "Its curvature is the precision of the posterior",
            energy,
            1 / posterior,
            mixed_derivative(z, z),
            given=ENERGY,
            label="precision",
        ),
        Step(
            "At the minimum it is",
            local,
            (x - w * optimum) * optimum,
            substitute({z: optimum}),
            given=premise,
            using={"minimum": z},
        ),
        Step(
            "Its mean over the batch",
            (x - w * optimum) * optimum,
            plain,
            average({x**2: second}),
            label="plain",
        ),
        Step(
            "has the sign of $w$: it vanishes at $w = 0$ only, and the weight grows without end",
            plain_rule * w,
            w**2 * noise * second / total**2,
            sign(r"\ge"),
            {plain_rule: plain},
            using={"plain": plain_rule},
        ),
        Step(
            "At a sample of the posterior, $z = m + s n$ with $n$ normal",
            local,
            sampled,
            substitute({z: m + spread * n}),
            given=premise,
        ),
        Step("its mean over the posterior", sampled, over_posterior, gaussian_mean(n)),
        Step(
            "With the mean $m$ and the variance $s^2$ of the posterior",
            over_posterior,
            with_posterior,
            substitute({m: optimum, spread: sp.sqrt(posterior)}),
            using={"minimum": m},
        ),
        Step(
            "Its mean over the batch",
            with_posterior,
            averaged,
            average({x**2: second, sp.S.One: sp.S.One}),
            label="averaged",
        ),
        Step(
            "Its slope in the weight",
            likelihood,
            w * (second - total) / total**2,
            differentiate(w),
            given="the log likelihood of PPCA, with its log determinant",
            label="score",
        ),
        Step(
            "The averaged rule is the noise times that",
            rule - noise * score,
            sp.S.Zero,
            algebra(),
            {rule: averaged, score: w * (second - total) / total**2},
            using={"averaged": rule, "score": score},
        ),
        Step(
            r"It vanishes at $w = 0$ and at PPCA's solution, $w^2 = S_{xx} - v$",
            rule * total**2 / noise,
            sp.Matrix([[0, size, -size]]),
            roots(w),
            {rule: averaged},
            using={"averaged": rule},
        ),
    )
    return Derivation("missing-logdet", "PPCA with one latent unit", steps)


def mean_rescaling(width: int, hidden_layers: int, skips: bool = False) -> Derivation:
    r"""One output, $W \sim N(0, 1)$ scaled as in `mupc`: the mean of S over the weights, by moments.

    Claim `limit-to-backprop`.

    Parameters
    ----------
    width : int, 1 or more
        Units in each hidden layer.
    hidden_layers : int
        Number of hidden layers, 1 or more.
    skips : bool
        Whether the layers between hidden layers have an identity skip.

    Returns
    -------
    Derivation
    """
    depth = hidden_layers + 1
    network = Network((1, *(width,) * hidden_layers, 1))
    richness = sp.Symbol("gamma", positive=True)
    # The square root of the hidden multiplier is a symbol m, so that the polynomials have rational
    # coefficients.
    root = sp.Symbol("m", positive=True)
    skip = sp.eye(width) if skips else sp.zeros(width)
    maps = [root * matrix + skip for matrix in network.matrices[1:-1]]
    maps.append(network.matrices[-1] / (width * richness))
    path, rescaling = sp.eye(1), sp.S.One
    for A in reversed(maps):
        path = path * A
        rescaling += (path * path.T)[0]
    inner = 1 + sp.Rational(1, depth) if skips else sp.S.One
    in_root = 1 + sp.Add(*(((1 if skips else 0) + root**2 * width) ** k for k in range(hidden_layers))) / (
        width * richness**2
    )
    closed = 1 + sp.Add(*(inner**k for k in range(hidden_layers))) / (width * richness**2)
    mean = Step(
        "Its mean over all weights",
        rescaling,
        in_root,
        gaussian_mean(*(weight for matrix in network.matrices[1:] for weight in matrix)),
        given="the rescaling $S$, entry by entry, with the multiplier $m$ in the hidden layers",
    )
    kind = "with skips" if skips else "without skips"
    layers = f"{hidden_layers} hidden layer{'s' if hidden_layers > 1 else ''}"
    title = f"Mean rescaling, width {width}, {layers}, {kind}"
    if hidden_layers == 1:
        return Derivation("limit-to-backprop", title, (mean,))
    inserted = Step(
        r"With $m^2 = 1/(NL)$" if skips else r"With $m^2 = 1/N$",
        in_root,
        closed,
        substitute({root: sp.sqrt(sp.Rational(1, width * depth if skips else width))}),
    )
    return Derivation("limit-to-backprop", title, (mean, inserted))


def mean_rescaling_limit() -> Derivation:
    r"""$E[S] - 1 = \frac{L}{\gamma^2 N} [(1 + 1/L)^{L-1} - 1] \to (e - 1) L / (\gamma^2 N)$.

    Claim `limit-to-backprop`.

    Returns
    -------
    Derivation
    """
    width, richness, ratio, depth = sp.symbols("N gamma q L", positive=True)
    count = sp.Symbol("n", integer=True, positive=True)
    sum_n, sum_next, excess_symbol = sp.symbols("s_n s_{n+1} E", real=True)
    geometric = (ratio**count - 1) / (ratio - 1)
    following = (ratio ** (count + 1) - 1) / (ratio - 1)
    excess = depth * ((1 + 1 / depth) ** (depth - 1) - 1) / (richness**2 * width)
    premise = "the sum $s_n$ of $q^k$ over $k < n$, in closed form"
    steps = (
        Step(
            "One term more", geometric, following, substitute({count: count + 1}), given=premise, label="next"
        ),
        Step(
            "adds the next power: the closed form is the sum",
            sum_next - sum_n,
            ratio**count,
            algebra(),
            {sum_next: following, sum_n: geometric},
            using={"next": sum_next, premise: sum_n},
        ),
        Step(
            r"$E[S] - 1$ is that sum over $\gamma^2 N$, with $q = 1 + 1/L$ and $n = L - 1$",
            sum_n / (richness**2 * width),
            excess,
            substitute({ratio: 1 + 1 / depth, count: depth - 1}),
            {sum_n: geometric},
            using={premise: sum_n},
            label="excess",
        ),
        Step(
            r"for many layers, with $L / N$ held, $(e - 1) L / (\gamma^2 N)$",
            excess_symbol * richness**2 * width / depth,
            sp.E - 1,
            limit(depth, sp.oo),
            {excess_symbol: excess},
            using={"excess": excess_symbol},
        ),
    )
    return Derivation("limit-to-backprop", "Mean rescaling, any width and depth", steps)


FAMILIES = (
    Family("missing-logdet", missing_logdet, cases()),
    Family("limit-to-backprop", mean_rescaling_limit, cases()),
    Family(
        "limit-to-backprop",
        mean_rescaling,
        tuple(
            {"width": width, "hidden_layers": hidden_layers, "skips": skips}
            for width, hidden_layers in ((2, 1), (2, 2), (2, 3), (3, 2))
            for skips in (False, True)
        ),
    ),
)
