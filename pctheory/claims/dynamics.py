"""How the weights move on the landscape."""

from ._claim import Claim

_ALL = ("symbolic", "numerical", "empirical")
_SAD = "Innocenti et al. 2024"
_LINEAR = "Linear network, activities at equilibrium."

CLAIMS = (
    Claim(
        "balance-law",
        "Imbalance drifts towards the output",
        r"For every $\theta$, with $G_l = \partial F^* / \partial A_l$: $A_{l+1}^\top G_{l+1} - G_l "
        r"A_l^\top = -\Pi_l \langle \epsilon_l^* \epsilon_l^{*\top} \rangle$. So under gradient flow on "
        r"$F^*$ $\frac{d}{dt} \big[ A_{l+1}^\top A_{l+1} / a_{l+1}^2 - A_l A_l^\top / a_l^2 \big] = \Pi_l "
        r"\langle \epsilon_l^* \epsilon_l^{*\top} \rangle + \langle \epsilon_l^* \epsilon_l^{*\top} "
        r"\rangle \Pi_l$, which is positive semidefinite for $\Pi_l = I$, where gradient flow on $\mathcal "
        r"L$ conserves it. For ReLU and leaky ReLU networks $z_l = W_l \phi(z_{l-1}) + \epsilon_l$ the "
        "diagonal holds at any stationary $z$.",
        _LINEAR + " The last part: a positively homogeneous activation.",
        "this work",
        _ALL,
        "pctheory.dynamics.imbalance_rate",
        ("balance-law",),
    ),
    Claim(
        "cascade",
        "The energy escapes early, the loss late",
        "From small weights the layers of a chain grow from the output down: the last one at rate "
        r"$S_{yy}$, which halves $F^*$ at time $\big( \log(1/\varepsilon) + \frac54 \big) / S_{yy}$ at any "
        "depth to leading order, while $S$ inflates and the product has hardly grown; the loss falls much "
        "later.",
        r"Chain of depth $L > 2$, second moments 1 in the measured times, initial weights $\varepsilon$.",
        "this work (measured)",
        ("numerical", "empirical"),
        "pctheory.dynamics.half_time",
        ("cascade",),
    ),
    Claim(
        "init-scale-reversal",
        "Near a fit the two flows differ by a unit of time",
        r"At a fit of one output $\nabla^2 F^* = \nabla^2 \mathcal L / s$: gradient flow on $F^*$ is "
        "slower by the factor $s$, but its largest stable step is larger by the same factor and the "
        "condition numbers are equal. On a common scale of time predictive coding leaves a small "
        "initialisation sooner and is the slower one from weights of order one; each at its largest "
        "stable step, the two converge equally fast.",
        "Linear network, one output. The reversal on a common scale of time is measured.",
        "this work (measured)",
        ("numerical", "empirical"),
        "experiments.cascade",
        ("cascade",),
    ),
    Claim(
        "matched-scale",
        "Published learning rates were not on one scale",
        "With the loss averaged over batch and outputs and the energy summed over the batch, the step of "
        "predictive coding is larger by $B n_L / 2$ at equal learning rates.",
        "The scales of the public code of " + _SAD + ".",
        "this work",
        ("numerical", "empirical"),
        "experiments.matched_scale",
        ("matched-scale",),
    ),
)
