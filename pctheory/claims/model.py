"""The energy's derivatives and the data."""

from ._claim import Claim

_ALL = ("symbolic", "numerical", "empirical")
_SAD = "Innocenti et al. 2024"
_SETTING = "Linear network, precisions positive definite, input and output clamped."

CLAIMS = (
    Claim(
        "activity-hessian",
        "The Hessian in the activities",
        r"$H_{ll} = \Pi_l + A_{l+1}^\top \Pi_{l+1} A_{l+1}$ and $H_{l,l+1} = -A_{l+1}^\top \Pi_{l+1}$: "
        "symmetric positive definite and block tridiagonal.",
        _SETTING,
        "Innocenti et al. 2025",
        _ALL,
        "pctheory.model.activity_hessian",
        ("inference-landscape",),
    ),
    Claim(
        "envelope-gradient",
        "The local rule at equilibrium is an exact gradient",
        r"$\partial F^* / \partial A_l = -\frac1B \sum_i \Pi_l \epsilon_l^* z_{l-1}^{*\top}$ and $\partial "
        r"F^* / \partial W_l = a_l\, \partial F^* / \partial A_l$.",
        _SETTING + " The activities are at equilibrium.",
        _SAD,
        _ALL,
        "pctheory.model.weight_gradient",
    ),
    Claim(
        "data-compression",
        "Second moments are all of the data",
        r"$F^*$, $\mathcal L$ and their derivatives depend on the data only through $S_{xx}, S_{yx}, "
        "S_{yy}$: any data set compresses exactly to at most $n_0 + n_L$ rows, the triangular factor of "
        r"$[x\; y]$.",
        "Linear network, quadratic energy.",
        "this work",
        ("symbolic", "numerical"),
        "pctheory.model.Data.compress",
    ),
)
