"""Section E: the equilibrium of inference."""

from ._claim import Claim

_ALL = ("symbolic", "numerical", "empirical")
_SAD = "Innocenti et al. 2024"
_SETTING = "Linear network, precisions positive definite, input and output clamped."

CLAIMS = (
    Claim(
        "equilibrium-errors",
        "Errors at equilibrium",
        r"The energy has one minimiser in the hidden activities: $\Pi_l \epsilon_l^* = P_l^\top S^{-1} r$ for "
        r"$l = 1, \dots, L$, and $z_l^* = A_l z_{l-1}^* + \epsilon_l^*$ from $z_0^* = x$ reproduces $z_L^* = y$.",
        _SETTING,
        _SAD + " (setting); Innocenti et al. 2026 and this work (closed form)",
        _ALL,
        "pctheory.inference.equilibria",
        ("inference-landscape", "equilibrium-energy"),
    ),
    Claim(
        "equilibrated-energy",
        "The equilibrated energy is a rescaled loss",
        r"$F^* = \frac{1}{2B} \sum_i r_i^\top S^{-1} r_i$ with $S = \sum_{l=1}^{L} P_l \Sigma_l P_l^\top$. With $L = 1$, "
        r"$F^* = \mathcal L$. $S$ does not depend on $A_1$.",
        _SETTING,
        _SAD + ", Theorem 1",
        _ALL,
        "pctheory.inference.equilibria",
        ("equilibrium-energy",),
    ),
    Claim(
        "gaussian-marginal",
        "The energy is a likelihood without its log determinant",
        r"$y \mid x \sim \mathcal N(P_0 x, S)$, so that $F^* = -\langle \log p(y \mid x) \rangle "
        r"- \tfrac12 \log\det S - \tfrac{n_L}{2} \log 2\pi$.",
        _SETTING,
        _SAD + ", proof of Theorem 1",
        ("symbolic", "numerical"),
        "pctheory.inference.equilibria",
        (),
    ),
    Claim(
        "envelope-gradient",
        "The local rule at equilibrium is an exact gradient",
        r"$\partial F^* / \partial A_l = -\frac1B \sum_i \Pi_l \epsilon_l^* z_{l-1}^{*\top}$ and "
        r"$\partial F^* / \partial W_l = a_l\, \partial F^* / \partial A_l$.",
        _SETTING + " The activities are at equilibrium.",
        _SAD,
        _ALL,
        "pctheory.model.definitions",
        (),
    ),
    Claim(
        "gradient-decomposition",
        "Preconditioned backprop plus a residual term",
        r"$\partial F^* / \partial A_l = -P_l^\top S^{-1} \big[ \langle r x^\top \rangle Q_{l-1}^\top + "
        r"\langle r r^\top \rangle S^{-1} K_{l-1}^\top \big]$ with "
        r"$K_{l-1} = \sum_{k<l} (A_{l-1} \cdots A_{k+1}) \Sigma_k P_k^\top$.",
        _SETTING,
        "this work",
        ("symbolic", "numerical"),
        "pctheory.inference.equilibria",
        (),
    ),
    Claim(
        "activity-hessian",
        "The Hessian in the activities",
        r"$H_{ll} = \Pi_l + A_{l+1}^\top \Pi_{l+1} A_{l+1}$ and $H_{l,l+1} = -A_{l+1}^\top \Pi_{l+1}$: symmetric positive "
        r"definite and block tridiagonal.",
        _SETTING,
        "Innocenti et al. 2025",
        _ALL,
        "pctheory.model.definitions",
        ("inference-landscape",),
    ),
    Claim(
        "hessian-determinant",
        "The determinant of the Hessian is that of the rescaling",
        r"$\det H = \det S \prod_{l=1}^{L} \det \Pi_l$.",
        _SETTING,
        "this work",
        ("symbolic", "numerical"),
        "pctheory.inference.equilibria",
    ),
    Claim(
        "posterior",
        "The inverse Hessian is the posterior covariance",
        r"$H^{-1}$ is the covariance of $(z_1, \dots, z_{L-1})$ given $x$ and $y$.",
        _SETTING,
        "Innocenti et al. 2025 (implicit); this work",
        ("symbolic", "numerical"),
        "pctheory.linalg.block_tridiagonal",
    ),
    Claim(
        "error-coordinates",
        "In error coordinates the spectrum is that of the rescaling",
        r"With $\Pi_l = I$, in $(\epsilon_1, \dots, \epsilon_{L-1})$ the energy of a sample is $\tfrac12 \sum_l |\epsilon_l|^2 "
        r"+ \tfrac12 |r - \sum_{l<L} P_l \epsilon_l|^2$. Its Hessian $I + P^\top P$ has the eigenvalue 1 and those of $S$; "
        r"the first gradient step from $\epsilon = 0$ is the backprop gradient.",
        "Linear network, unit precisions.",
        "Goemaere et al. 2025 (coordinates); this work (spectrum)",
        ("symbolic", "numerical", "empirical"),
        "pctheory.inference.equilibria",
    ),
    Claim(
        "data-compression",
        "Second moments are all of the data",
        r"$F^*$, $\mathcal L$ and their derivatives depend on the data only through $S_{xx}, S_{yx}, S_{yy}$: any data set "
        r"compresses exactly to at most $n_0 + n_L$ rows, the triangular factor of $[x\; y]$.",
        "Linear network, quadratic energy.",
        "this work",
        ("symbolic", "numerical"),
        "pctheory.model.data",
    ),
)
