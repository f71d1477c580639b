r"""Predify's dynamics: a linear map, its special case that is predictive coding, and waves."""

from __future__ import annotations

import sympy as sp

from .cases import Family, cases
from .derivation import Derivation, Step
from .exact import gradient, inverse, tidy
from .means import sign
from .rules import algebra, differentiate, solve, substitute

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
    num_layers : int
        Number of layers above the image, 2 or more.

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
    num_layers : int
        Number of layers above the image, 2 or more.

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


FAMILIES = (
    Family("predify-dispersion", predify_dispersion, cases()),
    Family("predify-map", predify_map, cases(num_layers=(2, 3))),
    Family("predify-is-pc", predify_is_descent, cases(num_layers=(2, 3))),
)
