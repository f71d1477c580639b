"""The energy's derivatives and the data."""

from ._claim import Claim

_ALL = ("symbolic", "numerical", "empirical")
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
