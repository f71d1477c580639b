"""Inference as a trust-region step."""

from ._claim import Claim

_SETTING = "Linear network, precisions positive definite, input and output clamped."
_TR = "Innocenti et al. 2023"
_TOY = "$f(x) = w_2 w_1 x$, unit precisions"

CLAIMS = (
    Claim(
        "tr-expansion",
        "Inference is a damped Gauss-Newton step on the loss",
        r"For one sample and hidden errors $\epsilon = (\epsilon_1, \dots, \epsilon_{L-1})$, $F = "
        r"\ell(\epsilon) + \tfrac12 \sum_{l<L} \epsilon_l^\top \Pi_l \epsilon_l$, where $\ell(\epsilon) = "
        r"\tfrac12 |r - \sum_{l<L} P_l \epsilon_l|^2_{\Pi_L}$ is the loss of the forward pass perturbed by "
        r"$\epsilon$, equal to its Gauss-Newton model. In activities $F = \ell(0) + g^\top d + \tfrac12 "
        r"d^\top H d$ with $d = z - \hat z$, $g = (0, \dots, 0, -A_L^\top \Pi_L r)$ and $H$ the "
        r"information matrix of the joint density of activities and output, so that $z^* = \hat z - H^{-1} "
        "g$ is a Newton step, and a natural-gradient step in this metric.",
        _SETTING,
        _TR + " (to second order); this work (exactness, precisions)",
        ("symbolic", "numerical", "empirical"),
        "pctheory.trust_region.quadratic_model",
        ("tr-inference-time",),
    ),
    Claim(
        "tr-radius",
        "The radius that inference implies, and the way from backprop to Gauss-Newton",
        r"The minimum of $\ell$ over $|\epsilon|_\Pi \le \Delta$ has errors with $\lambda \Pi_l \epsilon_l "
        r"= P_l^\top \Pi_L \epsilon_L$, with a multiplier that falls strictly from $\infty$ to $0$ as "
        r"$\Delta$ grows to the length of the Gauss-Newton step. $\lambda = 1$ is the equilibrium, at "
        r"$\Delta^{*2} = \sum_{l<L} \epsilon_l^{*\top} \Pi_l \epsilon_l^*$; in the metric $H$ the same "
        r"step has $g^\top H^{-1} g = r^\top (\Pi_L - S^{-1}) r$. The gradient in $W_l$ of the loss that "
        r"remains is $-a_l \langle P_l^\top \Pi_L \epsilon_L z_{l-1}^\top \rangle$: backprop's at $\Delta "
        r"= 0$, that of $F^*$ at $\Delta^*$.",
        _SETTING + r" The multiplier is unique where $P_l^\top \Pi_L r \ne 0$ for some $l < L$.",
        _TR + " (adaptive radius); this work",
        ("symbolic", "numerical"),
        "pctheory.trust_region.implied_radius",
    ),
    Claim(
        "tr-weights",
        "Backprop plus the trust region's direction, and the error of that picture",
        r"With $\mathrm{TR}_l = -a_l \langle \Pi_l \epsilon_l^* (z_{l-1}^* - \hat z_{l-1})^\top \rangle$, "
        r"which is the residual term of the gradient decomposition, $\partial F^*/\partial W_l = \partial "
        r"\mathcal L/\partial W_l + \mathrm{TR}_l + a_l P_l^\top (\Pi_L - S^{-1}) \langle r x^\top \rangle "
        r"Q_{l-1}^\top$. The last term, which the heuristic $F^{*\prime} \approx \mathcal L' + "
        r"\mathrm{TR}$ leaves out, vanishes as $S \to \Sigma_L$ and not otherwise.",
        _SETTING,
        _TR + ", Eq. 7 (heuristic); this work (its error)",
        ("symbolic", "numerical"),
        "pctheory.trust_region.update_directions",
        ("update-decomposition",),
    ),
    Claim(
        "tr-alignment",
        "Angles to the nearest solution (measured)",
        "From $(0.744, 0.94)$ with step $0.2$ the cosines to the nearest solution over five updates order "
        r"as $-(\nabla^2 \mathcal L + 2 I)^{-1} \nabla \mathcal L$ > predictive coding > gradient descent; "
        "over starts uniform on $[-2, 2]^2$ the last two have means within a tenth, and predictive coding "
        "is the better aligned in less than half of them.",
        _TOY + r", $y = -x$, $x \sim \mathcal N(1, 0.1^2)$, 64 samples. A measurement, not a theorem.",
        _TR + ", Figure 2 (one start); this work (distribution)",
        ("numerical",),
        "experiments.tr_alignment",
        ("tr-alignment",),
    ),
)
