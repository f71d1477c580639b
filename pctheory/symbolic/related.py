r"""Related systems and limits: Predify's dynamics, PPCA and the missing log determinant, and the limit to backprop."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import sympy as sp

from .blocks import Network
from .derivation import Derivation, Step
from .elimination import roots
from .exact import inverse
from .rules import algebra, average, differentiate, gaussian_mean, limit, sign, solve, substitute


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
    r"""One step by its definition, as equations: the layer below enters with its updated value, the top has no feedback."""
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
        equations.append(new[n] - update + alpha * error.diff(p["e"][n - 1]))
    return image, sp.Matrix(equations), p


def predify_map(layers: int) -> Derivation:
    r"""$e^+ = (I - B)^{-1} (M e + c)$ with B subdiagonal and M tridiagonal (`predify-map`)."""
    image, equations, p = _predify_equations(layers)
    B, M, c = sp.zeros(layers, layers), sp.zeros(layers, layers), sp.zeros(layers, 1)
    for j in range(layers):
        alpha, beta, b = p["alpha"][j], p["beta"][j], p["backward"][j]
        share = p["lambda"][j] if j + 1 < layers else sp.S.Zero
        M[j, j] = 1 - beta - share - alpha * b**2
        if j:
            B[j, j - 1] = beta * p["forward"][j]
            M[j, j - 1] = alpha * b
        if j + 1 < layers:
            M[j, j + 1] = share * p["backward"][j + 1]
    c[0] = (p["beta"][0] * p["forward"][0] + p["alpha"][0] * p["backward"][0]) * image
    state = sp.Matrix(p["e"])
    step = Step(
        "The updated layers solve the triangular system of one step",
        equations,
        inverse(sp.eye(layers) - B) * (M * state + c),
        solve(*p["new"]),
    )
    return Derivation("predify-map", f"One step as a linear map, {layers} layers", (step,))


def predify_is_descent(layers: int) -> Derivation:
    r"""$\beta = 0$, $\lambda_j = \alpha_{j+1}$: one step is gradient descent on $\sum_j (\alpha_j / 2)(e_{j-1} - b_j e_j)^2$ (`predify-is-pc`)."""
    image, equations, p = _predify_equations(layers)
    below = (image, *p["e"])
    energy = sp.Add(
        *(
            alpha * (below[j] - b * below[j + 1]) ** 2 / 2
            for j, (alpha, b) in enumerate(zip(p["alpha"], p["backward"], strict=True))
        )
    )
    special = dict.fromkeys(p["beta"], sp.S.Zero) | dict(zip(p["lambda"][:-1], p["alpha"][1:], strict=True))
    restricted = equations.subs(special, simultaneous=True)
    gradient = sp.Matrix([energy.diff(e) for e in p["e"]])
    steps = (
        Step(r"With $\beta = 0$ and $\lambda_j = \alpha_{j+1}$", equations, restricted, substitute(special)),
        Step("The slope of the generative energy", energy, gradient, differentiate(*p["e"])),
        Step("One step is one step of descent", restricted, sp.Matrix(p["e"]) - gradient, solve(*p["new"])),
    )
    return Derivation("predify-is-pc", f"Predify as predictive coding, {layers} layers", steps)


def predify_dispersion() -> Derivation:
    r"""Identity chain without ends: stable iff $\alpha + \lambda \le 1$; speed $(\alpha + \beta - \lambda)/(1 - \beta)$ (`predify-dispersion`).

    For $\alpha, \beta, \lambda \ge 0$ and $\beta < 1$.
    """
    alpha, beta, feedback, k, u = sp.symbols("alpha beta lambda k u", real=True)
    shortfall, total_share, gain = sp.symbols("d sigma beta", nonnegative=True)
    excess = sp.Symbol("h", positive=True)
    top = feedback * sp.exp(sp.I * k) + 1 - beta - feedback + alpha * (sp.exp(-sp.I * k) - 1)
    growth = top / (1 - beta * sp.exp(-sp.I * k))
    total, difference = alpha + feedback, feedback - alpha
    # |1 - beta e^{-ik}|^2 and |top|^2 with cos k = 1 - u and sin^2 k = u (2 - u).
    squares = ((1 - beta * (1 - u)) ** 2 + beta**2 * u * (2 - u)) - (
        (1 - beta - total * u) ** 2 + difference**2 * u * (2 - u)
    )
    bracket = 2 * beta + 2 * (1 - beta) * total - total**2 * u - difference**2 * (2 - u)
    short_wave = 2 * (1 - total) * (beta + total)
    steps = (
        Step(
            r"A wave $e_n = \zeta^t e^{i k n}$: with $u = 1 - \cos k$ in $[0, 2]$, $|1 - \beta e^{-ik}|^2 (1 - |\zeta|^2)$ is",
            squares,
            u * bracket,
            algebra(),
        ),
        Step(
            "The bracket is linear in $u$, so that its ends decide. At $u = 2$",
            bracket,
            short_wave,
            substitute({u: sp.Integer(2)}),
        ),
        Step("At $u = 0$", bracket, short_wave + 8 * alpha * feedback, substitute({u: sp.S.Zero})),
        Step(
            r"With $\sigma = \alpha + \lambda$, $d = 1 - \sigma$: where $d \ge 0$ no wave grows",
            2 * shortfall * (gain + total_share),
            2 * shortfall * (gain + total_share),
            sign(r"\ge"),
        ),
        Step(
            r"and where $\sigma = 1 + h > 1$ the shortest one does",
            2 * (1 - (1 + excess)) * (gain + 1 + excess),
            -2 * excess * (gain + 1 + excess),
            sign("<"),
        ),
        Step(
            r"Long waves travel at $i\, d\zeta/dk$ at $k = 0$",
            sp.I * growth.diff(k),
            (alpha + beta - feedback) / (1 - beta),
            substitute({k: sp.S.Zero}),
        ),
    )
    return Derivation("predify-dispersion", "Waves on a chain without ends", steps)


def missing_logdet() -> Derivation:
    r"""Plain PC shrinks the weight for ever; averaged over the posterior it stops at the PPCA solution (`missing-logdet`).

    One observed and one latent unit: $x = w z + \text{noise}$ of variance $\sigma^2$, $z \sim N(0, 1)$, $S = \langle x^2 \rangle$.
    """
    x, z, w = sp.symbols("x z w", real=True)
    noise, second = sp.symbols("v S_xx", positive=True)
    energy = (x - w * z) ** 2 / (2 * noise) + z**2 / 2
    total = w**2 + noise
    optimum, posterior = w * x / total, noise / total
    plain = (x - w * optimum) * optimum
    averaged = plain - w * posterior
    likelihood = -sp.log(total) / 2 - second / (2 * total)
    size = sp.sqrt(second - noise)
    steps = (
        Step(
            "The slope of the energy in the latent unit",
            energy,
            (w * (w * z - x)) / noise + z,
            differentiate(z),
        ),
        Step("vanishes at", (w * (w * z - x)) / noise + z, optimum, solve(z)),
        Step("Its curvature is the posterior precision", 1 + w**2 / noise, 1 / posterior, algebra()),
        Step(
            r"The local rule $\langle (x - w z) z \rangle$ at the minimum",
            plain,
            w * noise * second / total**2,
            average({x**2: second}),
        ),
        Step(
            "never vanishes but at $w = 0$: it grows without end",
            (w * noise * second / total**2) * w,
            w**2 * noise * second / total**2,
            sign(r"\ge"),
        ),
        Step(
            "Averaged over the posterior it is",
            averaged,
            w * noise * (second - total) / total**2,
            average({x**2: second, sp.S.One: sp.S.One}),
        ),
        Step(
            "which is the slope of the likelihood of PPCA, log determinant included, times the noise",
            noise * likelihood,
            w * noise * (second - total) / total**2,
            differentiate(w),
        ),
        Step(
            r"It vanishes at $w = 0$ and at the PPCA solution $w^2 = S_{xx} - v$",
            w * (second - total),
            sp.Matrix([[0, size, -size]]),
            roots(w),
        ),
    )
    return Derivation("missing-logdet", "PPCA with one latent unit", steps)


def mean_rescaling(width: int, depth: int, skips: bool) -> Derivation:
    r"""One output, `mupc`, $W \sim N(0, 1)$: the mean of $S$ by Gaussian moments of every entry (`limit-to-backprop`)."""
    network = Network((1, *(width,) * (depth - 1), 1))
    richness = sp.Symbol("gamma", positive=True)
    hidden_scale = sp.Rational(1, width * depth if skips else width)
    maps = [network.matrices[0]]
    # The square root of the hidden multiplier is a symbol m, so that the polynomials have rational coefficients.
    root = sp.Symbol("m", positive=True)
    for matrix in network.matrices[1:-1]:
        maps.append(root * matrix + (sp.eye(width) if skips else sp.zeros(width, width)))
    maps.append(network.matrices[-1] / (width * richness))
    path, rescaling = sp.eye(1), sp.S.One
    for A in reversed(maps[1:]):
        path = path * A
        rescaling += (path * path.T)[0]
    inner = 1 + sp.Rational(1, depth) if skips else sp.S.One
    in_root = 1 + sp.Add(*(((1 if skips else 0) + root**2 * width) ** k for k in range(depth - 1))) / (
        width * richness**2
    )
    closed = 1 + sp.Add(*(inner**k for k in range(depth - 1))) / (width * richness**2)
    steps = (
        Step(
            "The mean of the rescaling over all weights, hidden multiplier $m$",
            rescaling,
            in_root,
            gaussian_mean(*(weight for matrix in network.matrices[1:] for weight in matrix)),
        ),
        Step(
            r"With $m^2 = 1/(NL)$" if skips else r"With $m^2 = 1/N$",
            in_root,
            closed,
            substitute({root: sp.sqrt(hidden_scale)}),
        ),
    )
    kind = "with skips" if skips else "without skips"
    return Derivation("limit-to-backprop", f"Mean rescaling, width {width}, depth {depth}, {kind}", steps)


def mean_rescaling_limit() -> Derivation:
    r"""$E[S] - 1 = \frac{L}{\gamma^2 N} [(1 + 1/L)^{L-1} - 1] \to (e - 1) L / (\gamma^2 N)$ (`limit-to-backprop`)."""
    width = sp.Symbol("N", positive=True)
    richness = sp.Symbol("gamma", positive=True)
    ratio, count = sp.Symbol("q", positive=True), sp.Symbol("n", integer=True, positive=True)
    geometric = (ratio**count - 1) / (ratio - 1)
    real_depth = sp.Symbol("L", positive=True)
    excess = real_depth * ((1 + 1 / real_depth) ** (real_depth - 1) - 1) / (richness**2 * width)
    steps = (
        Step(
            r"The sum of $q^k$ over $k < n$ grows by its next term",
            geometric.subs(count, count + 1) - geometric,
            ratio**count,
            algebra(),
        ),
        Step(
            r"With $q = 1 + 1/L$ and $n = L - 1$ terms, over $\gamma^2 N$",
            geometric / (richness**2 * width),
            excess,
            substitute({ratio: 1 + 1 / real_depth, count: real_depth - 1}),
        ),
        Step(
            r"for many layers, with $L / N$ held, $(e - 1) L / (\gamma^2 N)$",
            excess * richness**2 * width / real_depth,
            sp.E - 1,
            limit(real_depth, sp.oo),
        ),
    )
    return Derivation("limit-to-backprop", "Mean rescaling, any width and depth", steps)


DERIVATIONS: Mapping[str, Callable[[], Derivation]] = (
    {
        "predify-dispersion": predify_dispersion,
        "missing-logdet": missing_logdet,
        "limit-to-backprop/any-depth": mean_rescaling_limit,
    }
    | {
        f"{name}/layers-{layers}": partial(builder, layers)
        for name, builder in (("predify-map", predify_map), ("predify-is-pc", predify_is_descent))
        for layers in (2, 3)
    }
    | {
        f"limit-to-backprop/width-{width}-depth-{depth}{'-skips' if skips else ''}": partial(
            mean_rescaling, width, depth, skips
        )
        for width, depth in ((2, 2), (2, 3), (2, 4), (3, 3))
        for skips in (False, True)
    }
)
