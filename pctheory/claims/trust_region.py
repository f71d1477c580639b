"""Section T: inference as a trust-region step."""

from ._claim import Claim

_TR = "Innocenti et al. 2023"
_SETTING = "Linear network, precisions positive definite, input and output clamped."
_TOY = r"$f(x) = w_2 w_1 x$, unit precisions"

CLAIMS = (
    Claim(
        "tr-expansion",
        "Inference is a damped Gauss-Newton step on the loss",
        r"For one sample and hidden errors $\epsilon = (\epsilon_1, \dots, \epsilon_{L-1})$, $F = \ell(\epsilon) + \tfrac12 "
        r"\sum_{l<L} \epsilon_l^\top \Pi_l \epsilon_l$, where $\ell(\epsilon) = \tfrac12 |r - \sum_{l<L} P_l \epsilon_l|^2_{\Pi_L}$ "
        r"is the loss of the forward pass perturbed by $\epsilon$, equal to its Gauss-Newton model. In activities "
        r"$F = \ell(0) + g^\top d + \tfrac12 d^\top H d$ with $d = z - \hat z$, $g = (0, \dots, 0, -A_L^\top \Pi_L r)$ and $H$ the "
        r"information matrix of the joint density of activities and output, so that $z^* = \hat z - H^{-1} g$ is a Newton step, "
        r"and a natural-gradient step in this metric.",
        _SETTING,
        _TR + " (to second order); this work (exactness, precisions)",
        ("symbolic", "numerical", "empirical"),
        "pctheory.trust_region.step",
        ("tr-inference-time",),
    ),
    Claim(
        "tr-radius",
        "The radius that inference implies, and the way from backprop to Gauss-Newton",
        r"The minimum of $\ell$ over $|\epsilon|_\Pi \le \Delta$ has errors with $\lambda \Pi_l \epsilon_l = P_l^\top \Pi_L \epsilon_L$, "
        r"with a multiplier that falls strictly from $\infty$ to $0$ as $\Delta$ grows to the length of the Gauss-Newton step. "
        r"$\lambda = 1$ is the equilibrium, at $\Delta^{*2} = \sum_{l<L} \epsilon_l^{*\top} \Pi_l \epsilon_l^*$; in the metric $H$ the "
        r"same step has $g^\top H^{-1} g = r^\top (\Pi_L - S^{-1}) r$. The gradient in $W_l$ of the loss that remains is "
        r"$-a_l \langle P_l^\top \Pi_L \epsilon_L z_{l-1}^\top \rangle$: backprop's at $\Delta = 0$, that of $F^*$ at $\Delta^*$.",
        _SETTING + " The multiplier is unique where $P_l^\\top \\Pi_L r \\ne 0$ for some $l < L$.",
        _TR + " (adaptive radius); this work",
        ("symbolic", "numerical"),
        "pctheory.trust_region.step",
        (),
    ),
    Claim(
        "tr-toy",
        "At the origin the energy attracts less and repels more",
        r"At $w = 0$ the Hessian of $\mathcal L$ has the eigenvalues $\pm S_{yx}$, that of $F^*$ has "
        r"$\tfrac12 (-S_{yy} \pm \sqrt{S_{yy}^2 + 4 S_{yx}^2})$: both are smaller.",
        _TOY + r", $S_{yx} \ne 0$.",
        _TR,
        ("symbolic", "numerical"),
        "pctheory.landscape",
        ("tr-landscapes",),
    ),
    Claim(
        "tr-weights",
        "Backprop plus the trust region's direction, and the error of that picture",
        r"With $\mathrm{TR}_l = -a_l \langle \Pi_l \epsilon_l^* (z_{l-1}^* - \hat z_{l-1})^\top \rangle$, which is the residual term of "
        r"the gradient decomposition, $\partial F^*/\partial W_l = \partial \mathcal L/\partial W_l + \mathrm{TR}_l + a_l P_l^\top "
        r"(\Pi_L - S^{-1}) \langle r x^\top \rangle Q_{l-1}^\top$. The last term, which the heuristic $F^{*\prime} \approx "
        r"\mathcal L' + \mathrm{TR}$ leaves out, vanishes as $S \to \Sigma_L$ and not otherwise.",
        _SETTING,
        _TR + ", Eq. 7 (heuristic); this work (its error)",
        ("symbolic", "numerical"),
        "pctheory.inference.equilibria",
        ("update-decomposition",),
    ),
    Claim(
        "tr-alignment",
        "Angles to the nearest solution (measured)",
        r"From $(0.744, 0.94)$ with step $0.2$ the cosines to the nearest solution over five updates order as "
        r"$-(\nabla^2 \mathcal L + 2 I)^{-1} \nabla \mathcal L$ > predictive coding > gradient descent; over starts uniform on $[-2, 2]^2$ "
        r"the last two have means within a tenth, and predictive coding is the better aligned in less than half of them.",
        _TOY + r", $y = -x$, $x \sim \mathcal N(1, 0.1^2)$, 64 samples. A measurement, not a theorem.",
        _TR + ", Figure 2 (one start); this work (distribution)",
        ("numerical",),
        "pctheory.trust_region.directions",
        ("tr-alignment",),
    ),
)
