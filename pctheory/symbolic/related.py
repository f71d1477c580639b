r"""Predify's dynamics, PPCA and the missing log determinant, and the limit to backprop."""

from __future__ import annotations

import sympy as sp

from .blocks import Network
from .cases import Family, cases
from .chain import ENERGY
from .derivation import Derivation, Step
from .elimination import roots
from .exact import gradient, inverse, tidy
from .rules import (
    algebra,
    average,
    differentiate,
    gaussian_mean,
    limit,
    mixed_derivative,
    sign,
    solve,
    substitute,
)

_UPDATE = "one step by its definition: new values less their update, layer by layer from below"


def _symbols(name: str, number: int) -> tuple[sp.Symbol, ...]:
    return tuple(sp.symbols(f"{name}_1:{number + 1}", real=True))


def _predify(layers: int) -> dict[str, tuple[sp.Symbol, ...]]:
    names = {
        "e": "e",
        "new": "e^{+}",
        "beta": "beta",
        "lambda": "lambda",
        "alpha": "alpha",
        "forward": "f",
        "backward": "b",
    }
    return {key: _symbols(name, layers) for key, name in names.items()}


def _predify_equations(layers: int) -> tuple[sp.Symbol, sp.Matrix, dict[str, tuple[sp.Symbol, ...]]]:
    r"""One step as equations: the layer below enters with its new value, the top has no feedback."""
    p = _predify(layers)
    image = sp.Symbol("e_0", real=True)
    old, new = (image, *p["e"]), (image, *p["new"])
    equations = []
    for n in range(1, layers + 1):
        beta, alpha, b = p["beta"][n - 1], p["alpha"][n - 1], p["backward"][n - 1]
        error = (old[n - 1] - b * old[n]) ** 2 / 2
        feedback, share = sp.S.Zero, sp.S.Zero
        if n < layers:
            share = p["lambda"][n - 1]
            feedback = share * p["backward"][n] * old[n + 1]
        update = beta * p["forward"][n - 1] * new[n - 1] + feedback + (1 - beta - share) * old[n]
        equations.append(new[n] - update + alpha * tidy(error.diff(p["e"][n - 1])))
    return image, sp.Matrix(equations), p


def predify_map(num_layers: int) -> Derivation:
    r"""One step is $e^+ = (I - B)^{-1} (M e + c)$ with B subdiagonal and M tridiagonal.

    Claim `predify-map`.

    Parameters
    ----------
    num_layers : int, 2 or more

    Returns
    -------
    Derivation
    """
    image, equations, p = _predify_equations(num_layers)
    B, M, c = sp.zeros(num_layers), sp.zeros(num_layers), sp.zeros(num_layers, 1)
    for j in range(num_layers):
        alpha, beta, b = p["alpha"][j], p["beta"][j], p["backward"][j]
        share = p["lambda"][j] if j + 1 < num_layers else sp.S.Zero
        M[j, j] = 1 - beta - share - alpha * b**2
        if j:
            B[j, j - 1] = beta * p["forward"][j]
            M[j, j - 1] = alpha * b
        if j + 1 < num_layers:
            M[j, j + 1] = share * p["backward"][j + 1]
    c[0] = (p["beta"][0] * p["forward"][0] + p["alpha"][0] * p["backward"][0]) * image
    step = Step(
        "The new values solve a triangular system",
        equations,
        inverse(sp.eye(num_layers) - B) * (M * sp.Matrix(p["e"]) + c),
        solve(*p["new"]),
        given=_UPDATE,
    )
    return Derivation("predify-map", f"One step as a linear map, {num_layers} layers", (step,))


def predify_is_descent(num_layers: int) -> Derivation:
    r"""With $\beta = 0$, $\lambda_j = \alpha_{j+1}$ one step is gradient descent on a generative energy.

    Claim `predify-is-pc`.

    Parameters
    ----------
    num_layers : int, 2 or more

    Returns
    -------
    Derivation
    """
    image, equations, p = _predify_equations(num_layers)
    below = (image, *p["e"])
    energy = sp.Add(
        *(
            alpha * (below[j] - b * below[j + 1]) ** 2 / 2
            for j, (alpha, b) in enumerate(zip(p["alpha"], p["backward"], strict=True))
        )
    )
    special = dict.fromkeys(p["beta"], sp.S.Zero) | dict(zip(p["lambda"][:-1], p["alpha"][1:], strict=True))
    restricted = equations.subs(special, simultaneous=True)
    slope = gradient(energy, p["e"])
    D = _symbols("D", num_layers)
    steps = (
        Step(
            "Its slope",
            energy,
            slope,
            differentiate(*p["e"]),
            given=r"the generative energy $\sum_j (\alpha_j / 2)(e_{j-1} - b_j e_j)^2$",
            label="slope",
        ),
        Step(
            r"With $\beta = 0$ and $\lambda_j = \alpha_{j+1}$",
            equations,
            restricted,
            substitute(special),
            given=_UPDATE,
        ),
        Step(
            "The new values are one step of descent away from the old ones",
            restricted,
            sp.Matrix([e - d for e, d in zip(p["e"], D, strict=True)]),
            solve(*p["new"]),
            dict(zip(D, slope, strict=True)),
            using={"slope": D},
        ),
    )
    return Derivation("predify-is-pc", f"Predify as predictive coding, {num_layers} layers", steps)


def predify_dispersion() -> Derivation:
    r"""Identity chain: stable iff $\alpha + \lambda \le 1$; speed $(\alpha + \beta - \lambda)/(1 - \beta)$.

    Claim `predify-dispersion`.

    For $\alpha, \beta, \lambda \ge 0$ and $\beta < 1$.

    Returns
    -------
    Derivation
    """
    alpha, beta, feedback, sigma, d = sp.symbols("alpha beta lambda sigma d", nonnegative=True)
    excess = sp.Symbol("h", positive=True)
    wave = sp.Symbol("w")
    k, u, D = sp.symbols("k u D", real=True)

    def top(phase: sp.Expr) -> sp.Expr:
        return feedback * phase + 1 - beta - feedback + alpha * (1 / phase - 1)

    total, difference = alpha + feedback, feedback - alpha
    bracket = 2 * beta + 2 * (1 - beta) * total - total**2 * u - difference**2 * (2 - u)
    decay = (1 - beta / wave) * (1 - beta * wave) - top(wave) * top(1 / wave)
    short_wave = 2 * (1 - total) * (beta + total)
    phase = sp.exp(sp.I * k)
    growth = top(phase) / (1 - beta / phase)
    slope = growth.diff(k)
    in_shortfall = 2 * d * (beta + sigma)
    grows = -2 * excess * (beta + 1 + excess)
    steps = (
        Step(
            r"With $u = 1 - \cos k$, in $[0, 2]$, it is linear in $u$, so that its ends decide",
            decay / (1 - (wave + 1 / wave) / 2),
            bracket,
            algebra(),
            {u: 1 - (wave + 1 / wave) / 2},
            given=r"the decay $|1 - \beta / w|^2 (1 - |\zeta|^2)$ of a wave $e_n = \zeta^t w^n$ with $w = "
            r"e^{i k}$, over $1 - \cos k$",
            label="decay",
        ),
        Step(
            "At $u = 0$, long waves",
            bracket,
            short_wave + 8 * alpha * feedback,
            substitute({u: sp.S.Zero}),
        ),
        Step(
            "At $u = 2$, the shortest wave: this is the smaller one",
            bracket,
            short_wave,
            substitute({u: sp.Integer(2)}),
            follows="decay",
        ),
        Step(
            r"In $\sigma = \alpha + \lambda$ and $d = 1 - \sigma$",
            short_wave,
            in_shortfall,
            substitute({alpha: sigma - feedback}),
            {d: 1 - sigma},
            label="end",
        ),
        Step("Where $d \\ge 0$ no wave grows", in_shortfall, in_shortfall, sign(r"\ge")),
        Step(
            r"Where $\sigma = 1 + h > 1$",
            in_shortfall,
            grows,
            substitute({sigma: 1 + excess}),
            {d: 1 - sigma},
            follows="end",
        ),
        Step("the shortest one does", grows, grows, sign("<")),
        Step(
            "Its slope in $k$",
            growth,
            slope,
            differentiate(k),
            given=r"the growth $\zeta$ of a wave with wavenumber $k$",
            label="slope",
        ),
        Step(
            r"Long waves travel at $i\, d\zeta/dk$ at $k = 0$",
            sp.I * D,
            (alpha + beta - feedback) / (1 - beta),
            substitute({k: sp.S.Zero}),
            {D: slope},
            using={"slope": D},
        ),
    )
    return Derivation("predify-dispersion", "Waves on a chain without ends", steps)


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
    hidden_layers : int, 1 or more
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
    Family("predify-dispersion", predify_dispersion, cases()),
    Family("missing-logdet", missing_logdet, cases()),
    Family("limit-to-backprop", mean_rescaling_limit, cases()),
    Family("predify-map", predify_map, cases(num_layers=(2, 3))),
    Family("predify-is-pc", predify_is_descent, cases(num_layers=(2, 3))),
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
