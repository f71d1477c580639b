r"""General depth and general matrices: the induction steps, as identities between words in noncommuting symbols.

The letters are matrices of any sizes that fit; a transpose and an inverse are letters of their own. A relation says what
a word of letters is worth ($M M^{-1} = I$), and a step holds when both sides reduce to the same words.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import sympy as sp

from .derivation import Derivation, Step
from .words import rewrite


def letters(names: str) -> tuple[sp.Symbol, ...]:
    r"""Noncommuting symbols, separated by blanks; a `'` is written as a transpose and a `~` as an inverse.

    Examples
    --------
    >>> letters("A A' M~")
    (A, A^{\top}, M^{-1})
    """
    written = (name.replace("'", r"^{\top}").replace("~", "^{-1}") for name in names.split())
    return tuple(sp.Symbol(name, commutative=False) for name in written)


def inverses(*pairs: Sequence[sp.Symbol]) -> dict[sp.Expr, sp.Expr]:
    """The relations that make the letters of each pair inverse to one another."""
    return {word: sp.S.One for first, second in pairs for word in (first * second, second * first)}


def marginal_recursion() -> Derivation:
    r"""Minimising over one more layer: $M_l = \Sigma_l + A_l M_{l-1} A_l^T$ (`equilibrated-energy`).

    The layers below $l - 1$ have been minimised over and left $\tfrac12 d^T M_{l-1}^{-1} d$ with $d = z_{l-1} - Q_{l-1} x$;
    with $\rho = z_l - Q_l x$ the error of layer l is $\rho - A_l d$. At $l = L$, $\rho = r$ and $M_L = S$.
    """
    A, At, M, Mi, sigma, pi, N, Ni = letters(r"A_l A_l' M_{l-1} M_{l-1}~ \Sigma_l \Pi_l M_l M_l~")
    rho, rho_t = letters(r"\rho \rho'")
    rule = rewrite(inverses((M, Mi), (sigma, pi), (N, Ni)) | {A * M * At: N - sigma})
    d, d_t = M * At * Ni * rho, rho_t * Ni * A * M
    error, error_t = rho - A * d, rho_t - d_t * At
    steps = (
        Step(
            r"With $M_l = \Sigma_l + A_l M_{l-1} A_l^T$ the error of layer $l$ at $d = M_{l-1} A_l^T M_l^{-1} \rho$",
            error,
            sigma * Ni * rho,
            rule,
        ),
        Step(
            r"The gradient $M_{l-1}^{-1} d - A_l^T \Pi_l (\rho - A_l d)$ vanishes there",
            Mi * d - At * pi * error,
            sp.S.Zero,
            rule,
        ),
        Step(
            r"Twice the energy there is $\rho^T M_l^{-1} \rho$, the form assumed one layer below",
            d_t * Mi * d + error_t * pi * error,
            rho_t * Ni * rho,
            rule,
        ),
    )
    return Derivation("equilibrated-energy", "One more layer, matrices of any size", steps)


def error_recursion() -> Derivation:
    r"""$\Pi_l \epsilon_l^* = P_l^T S^{-1} r$: stationary, and the forward sweep ends at y (`equilibrium-errors`).

    $P_l = P_{l+1} A_{l+1}$, so that $P_l^T$ is written $A_{l+1}^T P_{l+1}^T$.
    """
    A, At, Pt, S, Si, r = letters(r"A_{l+1} A_{l+1}' P_{l+1}' S S~ r")
    M, N, sigma, pi = letters(r"M_l M_{l+1} \Sigma_{l+1} \Pi_{l+1}")
    (M_top,) = letters("M_L")
    steps = (
        Step(
            r"With $\epsilon_{l+1} = \Sigma_{l+1} P_{l+1}^T S^{-1} r$, stationarity $\Pi_l \epsilon_l = A_{l+1}^T \Pi_{l+1} \epsilon_{l+1}$ gives $P_l^T S^{-1} r$",
            At * pi * (sigma * Pt * Si * r),
            At * Pt * Si * r,
            rewrite(inverses((sigma, pi))),
        ),
        Step(
            r"If $z_l - Q_l x = M_l P_l^T S^{-1} r$, then one map further, with the error added, $z_{l+1} - Q_{l+1} x = M_{l+1} P_{l+1}^T S^{-1} r$",
            A * (M * At * Pt * Si * r) + sigma * Pt * Si * r,
            N * Pt * Si * r,
            rewrite({A * M * At: N - sigma}),
        ),
        Step(
            r"At the output $P_L = I$ and $M_L = S$: the sweep ends at $Q_L x + r = y$",
            M_top * Si * r,
            r,
            rewrite({M_top: S} | inverses((S, Si))),
        ),
    )
    return Derivation("equilibrium-errors", "Errors at equilibrium, matrices of any size", steps)


def determinant_recursion() -> Derivation:
    r"""Block elimination of H: pivots $D_l = M_l^{-1} + A_{l+1}^T \Pi_{l+1} A_{l+1}$ (`hessian-determinant`).

    By Sylvester's identity $\det D_l = \det M_{l+1} \det \Pi_{l+1} / \det M_l$, so that the product of the pivots telescopes
    to $\det M_L \prod_{l \ge 2} \det \Pi_l / \det M_1 = \det S \prod_l \det \Pi_l$.
    """
    A, At, M, Mi, sigma, pi, N, Ni = letters(r"A_l A_l' M_{l-1} M_{l-1}~ \Sigma_l \Pi_l M_l M_l~")
    D, Di, B, Bt, pi_above = letters(r"D_{l-1} D_{l-1}~ A_{l+1} A_{l+1}' \Pi_{l+1}")
    pivot = rewrite(inverses((D, Di), (M, Mi), (sigma, pi)) | {At * pi * A: D - Mi})
    lower = rewrite(inverses((M, Mi), (sigma, pi), (N, Ni)) | {A * M * At: N - sigma})
    woodbury = pi - pi * A * Di * At * pi
    steps = (
        Step(
            r"Woodbury: with $D_{l-1} = M_{l-1}^{-1} + A_l^T \Pi_l A_l$, the matrix $\Pi_l - \Pi_l A_l D_{l-1}^{-1} A_l^T \Pi_l$ is the inverse of $M_l$",
            (sigma + A * M * At) * woodbury,
            sp.S.One,
            pivot,
        ),
        Step(
            r"so that eliminating layer $l - 1$ leaves the pivot $D_l = M_l^{-1} + A_{l+1}^T \Pi_{l+1} A_{l+1}$",
            pi + Bt * pi_above * B - pi * A * Di * At * pi,
            Ni + Bt * pi_above * B,
            rewrite({pi * A * Di * At * pi: pi - Ni}),
        ),
        Step(
            r"Sylvester: $\Sigma_l + A_l M_{l-1} A_l^T = \Sigma_l (I + \Pi_l A_l M_{l-1} A_l^T)$",
            sigma * (1 + pi * A * M * At),
            N,
            lower,
        ),
        Step(
            r"and $D_{l-1} = M_{l-1}^{-1} (I + M_{l-1} A_l^T \Pi_l A_l)$, where $\det(I + X Y) = \det(I + Y X)$",
            Mi * (1 + M * At * pi * A),
            D,
            pivot,
        ),
    )
    return Derivation("hessian-determinant", "Block elimination, matrices of any size", steps)


def finite_limit() -> Derivation:
    r"""$M_\infty = \Pi_L - U^T H^{-1} U = S^{-1}$ (`finite-time-energy`): Woodbury at the last layer, with $D = D_{L-1}$.

    U has its only block, $A_L^T \Pi_L$, in layer $L - 1$, where $H^{-1}$ has the inverse of the last pivot.
    """
    A, At, M, Mi, sigma, pi, D, Di = letters(r"A_L A_L' M_{L-1} M_{L-1}~ \Sigma_L \Pi_L D D~")
    rule = rewrite(inverses((D, Di), (M, Mi), (sigma, pi)) | {At * pi * A: D - Mi})
    step = Step(
        r"$\Pi_L - (\Pi_L A_L) D^{-1} (A_L^T \Pi_L)$ times $S = \Sigma_L + A_L M_{L-1} A_L^T$ is the identity",
        (pi - pi * A * Di * At * pi) * (sigma + A * M * At),
        sp.S.One,
        rule,
    )
    return Derivation("finite-time-energy", "Inference run to its end, matrices of any size", (step,))


def balance() -> Derivation:
    r"""$A_{l+1}^T G_{l+1} - G_l A_l^T = -\langle \Pi_l \epsilon_l \epsilon_l^T \rangle$ for every sample (`balance-law`).

    One sample: $G_l = -\Pi_l \epsilon_l z_{l-1}^T$. The law is linear in the samples, so that it holds for their mean; it uses
    the stationarity of layer l and nothing else.
    """
    At, pi, e, et, zt, below_t = letters(r"A_l' \Pi_l \epsilon_l \epsilon_l' z_l' z_{l-1}'")
    Bt, weighted = letters(r"A_{l+1}' (\Pi_{l+1}\epsilon_{l+1})")
    rule = rewrite({Bt * weighted: pi * e, below_t * At: zt - et})
    gradient_above = -weighted * zt
    gradient = -pi * e * below_t
    step = Step(
        r"Stationarity is $A_{l+1}^T \Pi_{l+1} \epsilon_{l+1} = \Pi_l \epsilon_l$, and $z_{l-1}^T A_l^T = z_l^T - \epsilon_l^T$",
        Bt * gradient_above - gradient * At,
        -pi * e * et,
        rule,
    )
    return Derivation("balance-law", "The balance law, matrices of any size", (step,))


def critical_points() -> Derivation:
    r"""Every $G_l = 0$ iff $A_L^T R = 0$ and $\langle r x^T \rangle Q_{L-1}^T = 0$ (`critical-points`), $\Pi = I$.

    By the balance law all $G_l = 0$ force $\langle \epsilon_l \epsilon_l^T \rangle = 0$ for $l < L$, that is, every hidden
    error of every sample vanishes. The steps read off what that means, and that the converse holds.
    """
    A, At, M, Si, u, r, rt = letters("A_L A_L' M_{L-1} S~ u r r'")
    x_t, Qt, Bt = letters("x' Q_{L-1}' B_l'")
    residual_free = {At * r: sp.S.Zero, Si * r: r}
    steps = (
        Step(
            r"The last hidden error is $A_L^T u$ with $u = S^{-1} r$. Where it vanishes, $S u = (I + A_L M_{L-1} A_L^T) u = u$, so that $r = u$ and $A_L^T r = 0$",
            (1 + A * M * At) * u,
            u,
            rewrite({At * u: sp.S.Zero}),
        ),
        Step(
            r"and $G_L = -\langle \epsilon_L z_{L-1}^T \rangle$ with $\epsilon_L = S^{-1} r$, $z_{L-1} = Q_{L-1} x$ is $-\langle r x^T \rangle Q_{L-1}^T$",
            -Si * r * (x_t * Qt),
            -r * x_t * Qt,
            rewrite(residual_free),
        ),
        Step(
            "Conversely $A_L^T r = 0$ makes $S r = r$, that is, $S^{-1} r = r$",
            (1 + A * M * At) * r,
            r,
            rewrite({At * r: sp.S.Zero}),
        ),
        Step(
            r"so that every hidden error $P_l^T S^{-1} r = B_l^T A_L^T S^{-1} r$, and with it $G_l$, vanishes",
            Bt * At * Si * r,
            sp.S.Zero,
            rewrite(residual_free),
        ),
        Step("and the energy is the loss", rt * Si * r, rt * r, rewrite(residual_free)),
    )
    return Derivation("critical-points", "The critical points, matrices of any size", steps)


DERIVATIONS: Mapping[str, Callable[[], Derivation]] = {
    "equilibrated-energy/induction": marginal_recursion,
    "equilibrium-errors/induction": error_recursion,
    "hessian-determinant/induction": determinant_recursion,
    "finite-time-energy/induction": finite_limit,
    "balance-law/induction": balance,
    "critical-points/induction": critical_points,
}
