r"""Any depth and matrices of any size: the induction steps, as identities between words of letters.

The letters are matrices of any sizes that fit; a transpose and an inverse are letters of their own. A
relation says what a word of letters is worth ($M M^{-1} = I$), and a step holds when both sides reduce to the
same words.
"""

from __future__ import annotations

from collections.abc import Sequence

import sympy as sp

from .cases import Family, cases
from .derivation import Derivation, Step
from .words import rewrite


def letters(names: str) -> tuple[sp.Symbol, ...]:
    r"""Make noncommuting symbols.

    Parameters
    ----------
    names : str
        Separated by blanks; a `'` is written as a transpose and a `~` as an inverse.

    Returns
    -------
    tuple of sympy symbols

    Examples
    --------
    >>> letters("A A' M~")
    (A, A^{\top}, M^{-1})
    """
    written = (name.replace("'", r"^{\top}").replace("~", "^{-1}") for name in names.split())
    return tuple(sp.Symbol(name, commutative=False) for name in written)


def inverses(*pairs: Sequence[sp.Symbol]) -> dict[sp.Expr, sp.Expr]:
    """Make the letters of each pair inverse to one another.

    Parameters
    ----------
    *pairs : sequences of two letters
        In each pair, one is the inverse of the other.

    Returns
    -------
    dict
        Word to 1, for `pctheory.symbolic.words.rewrite`.
    """
    return {word: sp.S.One for first, second in pairs for word in (first * second, second * first)}


def marginal_recursion() -> Derivation:
    r"""Minimising over one more layer gives $M_l = \Sigma_l + A_l M_{l-1} A_l^T$.

    Claim `equilibrated-energy`.

    The layers below $l - 1$ have been minimised over and left $\tfrac12 d^T M_{l-1}^{-1} d$ with
    $d = z_{l-1} - Q_{l-1} x$; with $\rho = z_l - Q_l x$ the error of layer l is $\rho - A_l d$. At $l = L$,
    $\rho = r$ and $M_L = S$.

    Returns
    -------
    Derivation
    """
    A, At, M, Mi, sigma, pi, N, Ni = letters(r"A_l A_l' M_{l-1} M_{l-1}~ \Sigma_l \Pi_l M_l M_l~")
    rho, rho_t, d, d_t, error = letters(r"\rho \rho' d d' e")
    rule = rewrite(inverses((M, Mi), (sigma, pi), (N, Ni)) | {A * M * At: N - sigma})
    where = {d: M * At * Ni * rho, d_t: rho_t * Ni * A * M}
    with_error = where | {error: sigma * Ni * rho}
    steps = (
        Step(
            r"With $M_l = \Sigma_l + A_l M_{l-1} A_l^T$ it is, at $d = M_{l-1} A_l^T M_l^{-1} \rho$",
            rho - A * d,
            sigma * Ni * rho,
            rule,
            where,
            given=r"the error of layer $l$, $e = \rho - A_l d$",
            label="error",
        ),
        Step(
            "It vanishes there",
            Mi * d - At * pi * error,
            sp.S.Zero,
            rule,
            with_error,
            given=r"the gradient $M_{l-1}^{-1} d - A_l^T \Pi_l e$ in $d$",
            using={"error": error},
        ),
        Step(
            r"It is there $\rho^T M_l^{-1} \rho$, the form that was assumed one layer below",
            d_t * Mi * d + (rho_t - d_t * At) * pi * error,
            rho_t * Ni * rho,
            rule,
            with_error,
            given=r"twice the energy, $d^T M_{l-1}^{-1} d + e^T \Pi_l e$",
            using={"error": error},
        ),
    )
    return Derivation("equilibrated-energy", "One more layer, matrices of any size", steps)


def error_recursion() -> Derivation:
    r"""$\Pi_l \epsilon_l^* = P_l^T S^{-1} r$ is stationary, and the forward sweep ends at y.

    Claim `equilibrium-errors`.

    $P_l = P_{l+1} A_{l+1}$, so that $P_l^T$ is written $A_{l+1}^T P_{l+1}^T$.

    Returns
    -------
    Derivation
    """
    A, At, Pt, S, Si, r = letters(r"A_{l+1} A_{l+1}' P_{l+1}' S S~ r")
    M, N, sigma, pi, above = letters(r"M_l M_{l+1} \Sigma_{l+1} \Pi_{l+1} \epsilon_{l+1}")
    where = {above: sigma * Pt * Si * r}
    steps = (
        Step(
            r"With $\epsilon_{l+1} = \Sigma_{l+1} P_{l+1}^T S^{-1} r$ it is $P_l^T S^{-1} r$, the same "
            "form one layer below",
            At * pi * above,
            At * Pt * Si * r,
            rewrite(inverses((sigma, pi))),
            where,
            given=r"what stationarity makes of $\Pi_l \epsilon_l$: $A_{l+1}^T \Pi_{l+1} \epsilon_{l+1}$",
        ),
        Step(
            "If $z_l - Q_l x = M_l P_l^T S^{-1} r$, this is $M_{l+1} P_{l+1}^T S^{-1} r$, the same form "
            "one layer above",
            A * (M * At * Pt * Si * r) + above,
            N * Pt * Si * r,
            rewrite({A * M * At: N - sigma}),
            where,
            given=r"the forward sweep $z_{l+1} - Q_{l+1} x = A_{l+1} (z_l - Q_l x) + \epsilon_{l+1}$",
        ),
        Step(
            r"At the output $P_L = I$ and $M_L = S$: the sweep ends at $Q_L x + r = y$",
            N * Pt * Si * r,
            r,
            rewrite({N: S, Pt: sp.S.One} | inverses((S, Si))),
        ),
    )
    return Derivation("equilibrium-errors", "Errors at equilibrium, matrices of any size", steps)


def determinant_recursion() -> Derivation:
    r"""Block elimination of H leaves the pivots $D_l = M_l^{-1} + A_{l+1}^T \Pi_{l+1} A_{l+1}$.

    Claim `hessian-determinant`.

    By Sylvester's identity, $\det(I + X Y) = \det(I + Y X)$, $\det D_l = \det M_{l+1} \det \Pi_{l+1} / \det
    M_l$, so that the product of the pivots telescopes to $\det M_L \prod_{l \ge 2} \det \Pi_l / \det M_1 =
    \det S \prod_l \det \Pi_l$.

    Returns
    -------
    Derivation
    """
    A, At, M, Mi, sigma, pi, N, Ni = letters(r"A_l A_l' M_{l-1} M_{l-1}~ \Sigma_l \Pi_l M_l M_l~")
    D, Di, B, Bt, pi_above = letters(r"D_{l-1} D_{l-1}~ A_{l+1} A_{l+1}' \Pi_{l+1}")
    pivot = rewrite(inverses((D, Di), (M, Mi), (sigma, pi)) | {At * pi * A: D - Mi})
    marginal = sigma + A * M * At
    woodbury = pi - pi * A * Di * At * pi
    steps = (
        Step(
            r"In a form for Sylvester's identity",
            marginal,
            sigma * (1 + pi * A * M * At),
            rewrite(inverses((sigma, pi))),
            given=r"the recursion $M_l = \Sigma_l + A_l M_{l-1} A_l^T$",
            label="recursion",
        ),
        Step(
            r"In a form for Sylvester's identity",
            Mi + At * pi * A,
            Mi * (1 + M * At * pi * A),
            rewrite(inverses((M, Mi))),
            given=r"the pivot $D_{l-1} = M_{l-1}^{-1} + A_l^T \Pi_l A_l$",
        ),
        Step(
            r"Woodbury: the inverse of $M_l$ is $\Pi_l - \Pi_l A_l D_{l-1}^{-1} A_l^T \Pi_l$",
            N * woodbury,
            sp.S.One,
            pivot,
            {N: sigma * (1 + pi * A * M * At)},
            using={"recursion": N},
        ),
        Step(
            r"It is $M_l^{-1} + A_{l+1}^T \Pi_{l+1} A_{l+1}$, the next pivot",
            pi + Bt * pi_above * B - pi * A * Di * At * pi,
            Ni + Bt * pi_above * B,
            rewrite({pi * A * Di * At * pi: pi - Ni}),
            given="what the elimination of layer $l - 1$ leaves in the block of layer $l$",
        ),
    )
    return Derivation("hessian-determinant", "Block elimination, matrices of any size", steps)


def finite_limit() -> Derivation:
    r"""Inference run to its end has $M_\infty = \Pi_L - U^T H^{-1} U = S^{-1}$.

    Claim `finite-time-energy`.

    Woodbury at the last layer, with $D = D_{L-1}$: U has its only block, $A_L^T \Pi_L$, in layer $L - 1$,
    where $H^{-1}$ has the inverse of the last pivot.

    Returns
    -------
    Derivation
    """
    A, At, M, Mi, sigma, pi, D, Di = letters(r"A_L A_L' M_{L-1} M_{L-1}~ \Sigma_L \Pi_L D D~")
    step = Step(
        "It is the identity",
        (pi - pi * A * Di * At * pi) * (sigma + A * M * At),
        sp.S.One,
        rewrite(inverses((D, Di), (M, Mi), (sigma, pi)) | {At * pi * A: D - Mi}),
        given=r"the product of $M_\infty = \Pi_L - U^T H^{-1} U$ and $S = \Sigma_L + A_L M_{L-1} A_L^T$",
    )
    return Derivation("finite-time-energy", "Inference run to its end, matrices of any size", (step,))


def balance() -> Derivation:
    r"""$A_{l+1}^T G_{l+1} - G_l A_l^T = -\langle \Pi_l \epsilon_l \epsilon_l^T \rangle$ for every sample.

    Claim `balance-law`.

    One sample: $G_l = -\Pi_l \epsilon_l z_{l-1}^T$. The law is linear in the samples, so that it holds for
    their mean; it uses the stationarity of layer l and nothing else.

    Returns
    -------
    Derivation
    """
    At, pi, e, et, zt, below_t = letters(r"A_l' \Pi_l \epsilon_l \epsilon_l' z_l' z_{l-1}'")
    Bt, weighted, gradient_above, gradient = letters(r"A_{l+1}' (\Pi_{l+1}\epsilon_{l+1}) G_{l+1} G_l")
    step = Step(
        r"Stationarity is $A_{l+1}^T \Pi_{l+1} \epsilon_{l+1} = \Pi_l \epsilon_l$, and $z_{l-1}^T A_l^T = "
        r"z_l^T - \epsilon_l^T$",
        Bt * gradient_above - gradient * At,
        -pi * e * et,
        rewrite({Bt * weighted: pi * e, below_t * At: zt - et}),
        {gradient_above: -weighted * zt, gradient: -pi * e * below_t},
        given=r"$A_{l+1}^T G_{l+1} - G_l A_l^T$ with the local rule $G_l = -\Pi_l \epsilon_l z_{l-1}^T$",
    )
    return Derivation("balance-law", "The balance law, matrices of any size", (step,))


def critical_points() -> Derivation:
    r"""All gradients vanish iff $A_L^T R = 0$ and $\langle r x^T \rangle Q_{L-1}^T = 0$.

    Claim `critical-points`.

    Unit precisions. By the balance law all $G_l = 0$ force $\langle \epsilon_l \epsilon_l^T \rangle = 0$ for
    $l < L$, that is, every hidden error of every sample vanishes. The steps read off what that means, and
    that the converse holds.

    Returns
    -------
    Derivation
    """
    A, At, M, Si, u, r, rt = letters("A_L A_L' M_{L-1} S~ u r r'")
    x_t, Qt, Bt = letters("x' Q_{L-1}' B_l'")
    residual_free = {At * r: sp.S.Zero, Si * r: r}
    steps = (
        Step(
            r"The last hidden error is $A_L^T u$. Where it vanishes, $r = u$, so that $A_L^T r = 0$ as well",
            (1 + A * M * At) * u,
            u,
            rewrite({At * u: sp.S.Zero}),
            given=r"the residual $r = S u$ in $u = S^{-1} r$, $S = I + A_L M_{L-1} A_L^T$",
        ),
        Step(
            r"Conversely $A_L^T r = 0$ makes $S r = r$, that is, $S^{-1} r = r$",
            (1 + A * M * At) * r,
            r,
            rewrite({At * r: sp.S.Zero}),
            given="$S r$",
        ),
        Step(
            r"Then it is $-r x^T Q_{L-1}^T$",
            -Si * r * (x_t * Qt),
            -r * x_t * Qt,
            rewrite({Si * r: r}),
            given=r"the gradient $G_L = -\epsilon_L z_{L-1}^T$ with $\epsilon_L = S^{-1} r$ and $z_{L-1} = "
            "Q_{L-1} x$",
        ),
        Step(
            r"It vanishes, and with it every $G_l$ below the output",
            Bt * At * Si * r,
            sp.S.Zero,
            rewrite(residual_free),
            given=r"a hidden error $P_l^T S^{-1} r = B_l^T A_L^T S^{-1} r$",
        ),
        Step(
            "It is twice the loss",
            rt * Si * r,
            rt * r,
            rewrite(residual_free),
            given="twice the equilibrated energy",
        ),
    )
    return Derivation("critical-points", "The critical points, matrices of any size", steps)


FAMILIES = (
    Family("equilibrated-energy", marginal_recursion, cases()),
    Family("equilibrium-errors", error_recursion, cases()),
    Family("hessian-determinant", determinant_recursion, cases()),
    Family("finite-time-energy", finite_limit, cases()),
    Family("balance-law", balance, cases()),
    Family("critical-points", critical_points, cases()),
)
