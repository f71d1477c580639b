"""Section B: learning through inference, and the classification-reconstruction trade-off."""

from ._claim import Claim

_ANY = "Linear network, precisions positive definite; any clamps that leave the Hessian of the free units invertible."
_CHAIN = "Linear network, input and output clamped."

CLAIMS = (
    Claim(
        "through-inference-gradients",
        "Backpropagation through inference is a second inference",
        r"For a task loss $\Lambda(z^*; \theta)$ let $a = \mathcal H_{ff}^{-1} \nabla_z \Lambda$ (zero on clamped units) and "
        r"$\delta_l = a_l - A_l a_{l-1}$. Then $d\Lambda / dA_l = \langle \Pi_l \epsilon_l^* a_{l-1}^\top + \Pi_l \delta_l "
        r"z_{l-1}^{*\top} \rangle + \partial\Lambda / \partial A_l$. If $\Lambda$ is the energy, $a = 0$, and the implicit, "
        r"truncated and one-step gradients and the local rule coincide.",
        _ANY + r" $\Lambda$ is differentiable.",
        "this work; implicit differentiation of equilibria: Bai et al. 2019",
        ("symbolic", "numerical", "empirical"),
        "pctheory.learning",
        ("gradient-comparison",),
    ),
    Claim(
        "nothing-to-learn",
        "With a free output there is nothing to infer",
        r"If only the input is clamped and inference starts from the forward pass, $z_T = \hat z$ for every $T$, and "
        r"backpropagation of a loss of the activities through inference is backpropagation through the forward pass.",
        "Any differentiable network; only layer 0 clamped, feedforward start.",
        "this work",
        ("symbolic", "numerical", "empirical"),
        "pctheory.learning",
    ),
    Claim(
        "equilibrium-propagation",
        "Two nudged equilibria give the implicit gradient",
        r"With $F_\beta = F + \beta\Lambda$ and $z^\beta$ its minimum, $[\partial_\theta F_\beta(z^{\beta}) - \partial_\theta "
        r"F_{-\beta}(z^{-\beta})] / 2\beta = d\Lambda / d\theta + O(\beta^2)$; the one-sided quotient errs by $O(\beta)$.",
        _ANY + r" $\Lambda$ is three times differentiable.",
        "Scellier and Bengio 2017",
        (
            "symbolic",
            "numerical",
        ),
        "pctheory.learning",
        ("gradient-comparison",),
    ),
    Claim(
        "truncated-adjoint",
        "Truncated backpropagation is a Neumann sum",
        r"$K$ steps of backpropagation at equilibrium use the adjoint $a_K = g \sum_{k<K} (I - g\mathcal H)^k \nabla_z\Lambda$, and "
        r"$a - a_K = (I - g\mathcal H)^K a$, so that $|a - a_K| \le \rho^K |a|$. $K = 1$ is the one-step gradient.",
        _ANY,
        "this work; Neumann series of implicit gradients are folklore",
        ("symbolic", "numerical", "empirical"),
        "pctheory.learning",
        ("gradient-comparison",),
    ),
    Claim(
        "exact-bp-variants",
        "Two local rules that are exactly backpropagation",
        r"Z-IL (inference with $g = 1$ from the forward pass, $W_l$ updated at $t = L - l$) gives backpropagation's gradient if the "
        r"hidden precisions are $1$; fixed predictions give it at their fixed point for any precisions.",
        _CHAIN + " Z-IL: unit hidden precisions, step 1, feedforward start.",
        "Song et al. 2020; Whittington and Bogacz 2017, Millidge et al. 2022",
        (
            "symbolic",
            "numerical",
        ),
        "pctheory.learning",
        ("gradient-comparison",),
    ),
    Claim(
        "cre-tradeoff",
        "The classification-reconstruction trade-off of a linear code",
        r"$\min_{E,D,C} \lambda \langle |x - DEx|^2 \rangle + (1 - \lambda) \langle |y - CEx|^2 \rangle$ over codes of dimension $k$ is "
        r"solved by $E = V_k^\top S_{xx}^{-1/2}$, $V_k$ the top $k$ eigenvectors of $G(\lambda) = \lambda S_{xx} + (1 - \lambda) "
        r"S_{xx}^{-1/2} S_{xy} S_{yx} S_{xx}^{-1/2}$ (pseudo-inverse roots on the range of $S_{xx}$), with the errors "
        r"$\mathrm{tr}\, S_{xx} - \mathrm{tr}\, V_k^\top S_{xx} V_k$ and $\mathrm{tr}\, S_{yy} - \mathrm{tr}\, V_k^\top "
        r"S_{xx}^{-1/2} S_{xy} S_{yx} S_{xx}^{-1/2} V_k$. Nothing is traded if $k \ge \mathrm{rank}\, S_{xx}$ or if the top "
        r"eigenspaces of the two terms agree.",
        "Linear encoder, decoder and head; squared errors; any data.",
        "this work; the question: Rathjens and Wiskott 2024",
        ("numerical", "empirical"),
        "pctheory.learning.tradeoff",
        ("cre-tradeoff",),
    ),
    Claim(
        "pcn-tradeoff",
        "The local rule reconstructs; backpropagation through inference trades",
        r"A linear generative network classifies by a linear function of the image whatever its depth and its learning rule. "
        r"Measured: the local rule spends its codes on the variance of the images; backpropagation of $\lambda$ reconstruction + "
        r"$(1 - \lambda)$ cross-entropy through inference traces a front, which ends at the accuracy of linear regression.",
        "Linear for the ceiling; the rest is measured.",
        "this work",
        ("empirical",),
        "pctheory.nn.through_inference",
        ("pcn-tradeoff",),
    ),
    Claim(
        "missing-logdet",
        "Averaging over the posterior restores the likelihood",
        r"The local rule averaged over the posterior of the hidden activities, $-\Pi_l \langle \mathbb E[\epsilon_l z_{l-1}^\top] "
        r"\rangle$, is the gradient of $F^* + \frac12 \log\det S$. For one layer of latent units $z \sim \mathcal N(0, I)$ and noise "
        r"$\sigma^2$ it vanishes at $W = U (\Lambda - \sigma^2)^{1/2} R$, the maximum likelihood solution of probabilistic PCA, where "
        r"the plain rule does not.",
        _CHAIN,
        "this work; the solution: Tipping and Bishop 1999",
        ("symbolic", "numerical", "empirical"),
        "pctheory.learning",
    ),
    Claim(
        "target-alignment",
        "Where a step of learning moves the output",
        r"For one sample and unit precisions a small step moves the output along $K r$ under backpropagation, $K = \sum_l "
        r"|\hat z_{l-1}|^2 P_l P_l^\top$, and along $\tilde K S^{-1} r$ under PC, with $\langle z_{l-1}^*, \hat z_{l-1} \rangle$ in the "
        r"place of the squares. With rates $\eta_l \propto 1 / \langle z_{l-1}^*, \hat z_{l-1} \rangle$ PC moves it exactly along $r$.",
        "Linear network, one sample, first order in the step; updates of $A_l$. The last statement for any precisions if the "
        r"update is $\epsilon_l^* z_{l-1}^{*\top}$.",
        "Song et al. 2024 (observation); this work (exact rates)",
        ("numerical", "empirical"),
        "pctheory.learning",
    ),
    Claim(
        "one-shot",
        "Normalised consolidation learns in one step",
        r"$A_l \leftarrow A_l + \epsilon_l^* z_{l-1}^{*\top} / |z_{l-1}^*|^2$ makes the network map $x$ exactly to $y$. For a batch, "
        r"$A_l + E_l Z_{l-1}^+$ maps every sample, if the samples' activities are linearly independent in every layer below $L$.",
        _CHAIN + " No activity at equilibrium vanishes below the output.",
        "Alonso et al. 2022 (one sample); this work (batch)",
        (
            "symbolic",
            "numerical",
        ),
        "pctheory.learning",
    ),
)
