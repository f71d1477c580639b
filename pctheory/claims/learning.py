"""Learning through inference, and the classification-reconstruction trade-off."""

from ._claim import Claim

_ANY = (
    "Linear network, precisions positive definite; any clamps that leave the Hessian of the free units "
    "invertible."
)
_CHAIN = "Linear network, input and output clamped."

CLAIMS = (
    Claim(
        "through-inference-gradients",
        "Backpropagation through inference is a second inference",
        r"For a task loss $\Lambda(z^*; \theta)$ let $\alpha = \mathcal H_{ff}^{-1} \nabla_z \Lambda$ "
        r"(zero on clamped units) and $\delta_l = \alpha_l - A_l \alpha_{l-1}$. Then $d\Lambda / dA_l = "
        r"\langle \Pi_l \epsilon_l^* \alpha_{l-1}^\top + \Pi_l \delta_l z_{l-1}^{*\top} \rangle + "
        r"\partial\Lambda / \partial A_l$. If $\Lambda$ is the energy, $\alpha = 0$, and the implicit, "
        "truncated and one-step gradients and the local rule coincide.",
        _ANY + r" $\Lambda$ is differentiable.",
        "this work; implicit differentiation of equilibria: Bai et al. 2019",
        ("symbolic", "numerical", "empirical"),
        "pctheory.learning.implicit_gradient",
        ("gradient-comparison",),
    ),
    Claim(
        "nothing-to-learn",
        "With a free output there is nothing to infer",
        r"If only the input is clamped and inference starts from the forward pass, $z_T = \hat z$ for "
        "every $T$, and backpropagation of a loss of the activities through inference is backpropagation "
        "through the forward pass.",
        "Any differentiable network; only layer 0 clamped, feedforward start.",
        "this work",
        ("symbolic", "numerical", "empirical"),
        "pctheory.learning.unrolled_gradient",
    ),
    Claim(
        "truncated-adjoint",
        "Truncated backpropagation is a Neumann sum",
        r"$K$ steps of backpropagation at equilibrium use the adjoint $\alpha_K = g \sum_{k<K} (I - "
        r"g\mathcal H)^k \nabla_z\Lambda$, and $\alpha - \alpha_K = (I - g\mathcal H)^K \alpha$, so that "
        r"$|\alpha - \alpha_K| \le \rho^K |\alpha|$. $K = 1$ is the one-step gradient.",
        _ANY,
        "this work; Neumann series of implicit gradients are folklore",
        ("symbolic", "numerical", "empirical"),
        "pctheory.learning.truncated_gradient",
        ("gradient-comparison",),
    ),
    Claim(
        "equilibrium-propagation",
        "Two nudged equilibria give the implicit gradient",
        r"With $F_\beta = F + \beta\Lambda$ and $z^\beta$ its minimum, $[\partial_\theta "
        r"F_\beta(z^{\beta}) - \partial_\theta F_{-\beta}(z^{-\beta})] / 2\beta = d\Lambda / d\theta + "
        r"O(\beta^2)$; the one-sided quotient errs by $O(\beta)$.",
        _ANY + r" $\Lambda$ is three times continuously differentiable.",
        "Scellier and Bengio 2017",
        ("symbolic", "numerical"),
        "pctheory.learning.equilibrium_propagation_gradient",
        ("gradient-comparison",),
    ),
    Claim(
        "exact-bp-variants",
        "Two local rules that are exactly backpropagation",
        "Z-IL (inference with $g = 1$ from the forward pass, $W_l$ updated at $t = L - l$) gives "
        "backpropagation's gradient if the hidden precisions are $1$; fixed predictions give it at their "
        "fixed point for any precisions.",
        _CHAIN + " Z-IL: unit hidden precisions, step 1, feedforward start.",
        "Song et al. 2020; Whittington and Bogacz 2017, Millidge et al. 2022",
        ("symbolic", "numerical"),
        "pctheory.learning.z_il_gradient",
        ("gradient-comparison",),
    ),
    Claim(
        "target-alignment",
        "Where a step of learning moves the output",
        "For one sample and unit precisions a small step moves the output along $K r$ under "
        r"backpropagation, $K = \sum_l |\hat z_{l-1}|^2 P_l P_l^\top$, and along $\tilde K S^{-1} r$ under "
        r"PC, with $\langle z_{l-1}^*, \hat z_{l-1} \rangle$ in the place of the squares. With rates "
        r"$\eta_l \propto 1 / \langle z_{l-1}^*, \hat z_{l-1} \rangle$, if all of these products are "
        "positive, PC moves it exactly along $r$.",
        "Linear network, one sample, first order in the step; updates of $A_l$. The last statement for "
        r"any precisions if the update is $\epsilon_l^* z_{l-1}^{*\top}$; a negative product would ask for "
        "a negative rate.",
        "Song et al. 2024 (observation); Oliviers, Lominadze and Bogacz 2026 (deep linear networks); this "
        "work (exact rates)",
        ("numerical", "empirical"),
        "pctheory.learning.target_alignment",
    ),
    Claim(
        "one-shot",
        "Normalised consolidation learns in one step",
        r"$A_l \leftarrow A_l + \epsilon_l^* z_{l-1}^{*\top} / |z_{l-1}^*|^2$ makes the network map $x$ "
        "exactly to $y$. For a batch, $A_l + E_l Z_{l-1}^+$ maps every sample, if the samples' activities "
        "are linearly independent in every layer below $L$. Any activities with both ends clamped will "
        r"do; those at equilibrium have the least $\sum_l |\epsilon_l|^2_{\Pi_l}$.",
        _CHAIN + " No activity vanishes below the output.",
        "Alonso et al. 2022 (one sample); this work (batch)",
        ("symbolic", "numerical"),
        "pctheory.learning.one_shot",
    ),
    Claim(
        "missing-logdet",
        "Averaging over the posterior restores the likelihood",
        r"The local rule averaged over the posterior of the hidden activities, $-\Pi_l \langle \mathbb "
        r"E[\epsilon_l z_{l-1}^\top] \rangle$, is the gradient of $F^* + \frac12 \log\det S$. For one "
        r"layer of latent units $z \sim \mathcal N(0, I)$ and noise $\sigma^2$ it vanishes at $W = U "
        r"(\Lambda - \sigma^2)^{1/2} R$, the maximum likelihood solution of probabilistic PCA, where the "
        "plain rule does not.",
        _CHAIN,
        "this work; the solution: Tipping and Bishop 1999",
        ("symbolic", "numerical", "empirical"),
        "pctheory.learning.posterior_averaged_gradient",
    ),
    Claim(
        "precision-learning",
        "Precisions learn from the posterior, not from squared errors alone",
        r"$\partial (F^* + \frac12 \log\det S) / \partial \Pi_l = \frac12 (\langle \epsilon_l^* "
        r"\epsilon_l^{*\top} \rangle - \Sigma_l P_l^\top S^{-1} P_l \Sigma_l)$, and $\Sigma_l \leftarrow "
        r"\langle \epsilon_l^* \epsilon_l^{*\top} \rangle + \Sigma_l - \Sigma_l P_l^\top S^{-1} P_l "
        r"\Sigma_l$ never raises the negative log likelihood (EM). For a vector of precisions, the diagonal "
        r"of the gradient times $\pi_l$ is the gradient in $\log \pi_l$. The rule $\Sigma_l \leftarrow "
        r"\langle \epsilon_l^* \epsilon_l^{*\top} \rangle$ descends $F^* - \frac12 \sum_l \log\det \Pi_l$, "
        r"which has no lower bound: with one output each update squares the ratios of the shares $P_l "
        r"\Sigma_l P_l^\top / S$, and all precisions but that of the largest share tend to infinity. With "
        "learned precisions the likelihood has a minimiser wherever the residual noise is positive definite.",
        _CHAIN + r" The last statement for maps $P_0$ and $S$ that the network can represent.",
        "this work; EM for one layer of factors: Rubin and Thayer 1982",
        ("symbolic", "numerical"),
        "pctheory.learning.update_precisions",
        ("learned-precision",),
    ),
    Claim(
        "cre-tradeoff",
        "The classification-reconstruction trade-off of a linear code",
        r"$\min_{E,D,C} \lambda \langle |x - DEx|^2 \rangle + (1 - \lambda) \langle |y - CEx|^2 \rangle$ "
        r"over codes of dimension $k$ is solved by $E = V_k^\top S_{xx}^{-1/2}$, $V_k$ the top $k$ "
        r"eigenvectors of $G(\lambda) = \lambda S_{xx} + (1 - \lambda) S_{xx}^{-1/2} S_{xy} S_{yx} "
        r"S_{xx}^{-1/2}$ (pseudo-inverse roots on the range of $S_{xx}$), with the errors $\mathrm{tr}\, "
        r"S_{xx} - \mathrm{tr}\, V_k^\top S_{xx} V_k$ and $\mathrm{tr}\, S_{yy} - \mathrm{tr}\, V_k^\top "
        r"S_{xx}^{-1/2} S_{xy} S_{yx} S_{xx}^{-1/2} V_k$. Nothing is traded if $k \ge \mathrm{rank}\, "
        "S_{xx}$ or if the top eigenspaces of the two terms agree.",
        "Linear encoder, decoder and head; squared errors; any data.",
        "de Jong and Kiers 1992 (principal covariates regression: the minimiser); this work (any data, "
        "the trade-off); the question: Rathjens and Wiskott 2024",
        ("numerical", "empirical"),
        "pctheory.learning.tradeoff_curve",
        ("cre-tradeoff",),
    ),
    Claim(
        "pcn-tradeoff",
        "The local rule reconstructs; backpropagation through inference trades",
        "A linear generative network classifies by a linear function of the image whatever its depth and "
        "its learning rule. Measured: the local rule spends its codes on the variance of the images; "
        r"backpropagation of $\lambda$ reconstruction + $(1 - \lambda)$ cross-entropy through inference "
        "traces a front, which ends at the accuracy of linear regression.",
        "Linear for the ceiling; the rest is measured.",
        "this work",
        ("empirical",),
        "experiments.pcn_tradeoff",
        ("pcn-tradeoff",),
    ),
)
