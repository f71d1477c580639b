"""The equilibrium of inference, and how inference approaches it."""

from ._claim import Claim

_ALL = ("symbolic", "numerical", "empirical")
_SAD = "Innocenti et al. 2024"
_SETTING = "Linear network, precisions positive definite, input and output clamped."
_QI = "Qi et al. 2025"
_DESCENT = (
    "Linear network, input and output clamped; gradient descent with step $g$ on the energy of a sample."
)
_LIM = "Innocenti et al. 2026"

CLAIMS = (
    Claim(
        "envelope-gradient",
        "The local rule at equilibrium is an exact gradient",
        r"$\partial F^* / \partial A_l = -\frac1B \sum_i \Pi_l \epsilon_l^* z_{l-1}^{*\top}$ and $\partial "
        r"F^* / \partial W_l = a_l\, \partial F^* / \partial A_l$.",
        _SETTING + " The activities are at equilibrium.",
        _SAD,
        _ALL,
        "pctheory.inference.Equilibrium.weight_gradient",
    ),
    Claim(
        "equilibrium-errors",
        "Errors at equilibrium",
        r"The energy has one minimiser in the hidden activities: $\Pi_l \epsilon_l^* = P_l^\top S^{-1} r$ "
        r"for $l = 1, \dots, L$, and $z_l^* = A_l z_{l-1}^* + \epsilon_l^*$ from $z_0^* = x$ reproduces "
        "$z_L^* = y$.",
        _SETTING,
        _SAD + " (setting); Innocenti et al. 2026 and this work (closed form)",
        _ALL,
        "pctheory.inference.equilibrium",
        ("inference-landscape", "equilibrium-energy"),
    ),
    Claim(
        "equilibrated-energy",
        "The equilibrated energy is a rescaled loss",
        r"$F^* = \frac{1}{2B} \sum_i r_i^\top S^{-1} r_i$ with $S = \sum_{l=1}^{L} P_l \Sigma_l P_l^\top$. "
        r"With $L = 1$, $F^* = \mathcal L$. $S$ does not depend on $A_1$.",
        _SETTING,
        _SAD + ", Theorem 1",
        _ALL,
        "pctheory.inference.equilibrium",
        ("equilibrium-energy",),
    ),
    Claim(
        "moreau-envelope",
        "With any convex output loss the energy is its Moreau envelope",
        r"If the output pays a convex loss $\ell_i$, then $F^* = \langle \min_{u \in \mathrm{ran}\, K} "
        r"\ell(\hat y + u) + \frac12 u^\top K^+ u \rangle$ with $K = \sum_{l<L} P_l \Sigma_l P_l^\top$. At "
        r"the minimum $u^* = -K g$ and $\Pi_l \epsilon_l^* = -P_l^\top g$, with $g$ the gradient of the loss "
        r"there, and $\partial F^* / \partial W_l = -a_l \langle \delta_l z_{l-1}^{*\top} \rangle$ with "
        r"$\delta_l = \Pi_l \epsilon_l^*$, $\delta_L = -g$. In coordinates $u = R^\top c$, $R^\top R = K$, "
        r"half the squared "
        "gradient bounds the distance of the energy to its minimum.",
        "Linear network; output loss convex and twice continuously differentiable.",
        "this work",
        ("numerical", "empirical"),
        "pctheory.inference.envelope_equilibrium",
    ),
    Claim(
        "missing-outputs",
        "Missing outputs are filled in at the price of a pass",
        r"If of sample $i$ only the outputs $O$ are observed and the others are free, $F^* = \frac{1}{2B} "
        r"\sum_i r_O^\top (S_{OO})^{-1} r_O$, and $\Pi_l \epsilon_l^* = P_l^\top \delta$ with $\delta_O = "
        r"(S_{OO})^{-1} r_O$, 0 elsewhere: a system of $\min(n_{L-1}, n_L)$ unknowns for each pattern. The "
        r"local rule is the gradient, the balance law holds, and at critical points $A_L^\top \delta_i = 0$ "
        "for each sample: no hidden error is left. But there can be local minima that are not global: 2-1-3 "
        r"with $y = (1, ?, 0), (0, 0, 1.2)$ has $F^* = .36$ and $.25$.",
        "Linear network, input clamped.",
        "this work",
        ("numerical", "empirical"),
        "pctheory.inference.equilibrium",
        ("deep-factorisation",),
    ),
    Claim(
        "gaussian-marginal",
        "The energy is a likelihood without its log determinant",
        r"$y \mid x \sim \mathcal N(P_0 x, S)$, so that $F^* = -\langle \log p(y \mid x) \rangle - \tfrac12 "
        r"\log\det S - \tfrac{n_L}{2} \log 2\pi$.",
        _SETTING,
        _SAD + ", proof of Theorem 1",
        ("symbolic", "numerical"),
        "pctheory.inference.noise_covariances",
    ),
    Claim(
        "gradient-decomposition",
        "Preconditioned backprop plus a residual term",
        r"$\partial F^* / \partial A_l = -P_l^\top S^{-1} \big[ \langle r x^\top \rangle Q_{l-1}^\top + "
        r"\langle r r^\top \rangle S^{-1} K_{l-1}^\top \big]$ with $K_{l-1} = \sum_{k<l} (A_{l-1} \cdots "
        r"A_{k+1}) \Sigma_k P_k^\top$.",
        _SETTING,
        "this work",
        ("symbolic", "numerical"),
        "pctheory.inference.gradient_decomposition",
    ),
    Claim(
        "scalar-gradient-split",
        "Rescaled loss gradient and extra energy gradient",
        r"With one output $\nabla F^* = \frac1s \nabla \mathcal L - \frac{\mathcal L}{s^2} \nabla s$: the "
        "two terms of the gradient decomposition.",
        "Linear network, one output, unit precisions.",
        _LIM,
        ("symbolic", "numerical"),
        "pctheory.inference.gradient_decomposition",
        ("limits-toy",),
    ),
    Claim(
        "hessian-determinant",
        "The determinant of the Hessian is that of the rescaling",
        r"$\det H = \det S \prod_{l=1}^{L} \det \Pi_l$.",
        _SETTING,
        "this work",
        ("symbolic", "numerical"),
        "pctheory.inference.rescaling",
    ),
    Claim(
        "posterior",
        "The inverse Hessian is the posterior covariance",
        r"$H^{-1}$ is the covariance of $(z_1, \dots, z_{L-1})$ given $x$ and $y$.",
        _SETTING,
        "Innocenti et al. 2025 (implicit); this work",
        ("symbolic", "numerical"),
        "pctheory.inference.ClampedEquilibrium.covariance",
    ),
    Claim(
        "error-coordinates",
        "In error coordinates the spectrum is that of the rescaling",
        r"With $\Pi_l = I$, in $(\epsilon_1, \dots, \epsilon_{L-1})$ the energy of a sample is $\tfrac12 "
        r"\sum_l |\epsilon_l|^2 + \tfrac12 |r - \sum_{l<L} P_l \epsilon_l|^2$. Its Hessian $I + P^\top P$ "
        r"has the eigenvalue 1 and those of $S$; the first gradient step from $\epsilon = 0$ is the "
        "backprop gradient.",
        "Linear network, unit precisions.",
        "Goemaere et al. 2025 (coordinates); this work (spectrum)",
        ("symbolic", "numerical", "empirical"),
        "pctheory.inference.error_eigenvalues",
    ),
    Claim(
        "error-step-bound",
        "The step and the rate of descent in the errors",
        r"With precision $\pi$ in the hidden layers and 1 at the output, $S = I + \frac1\pi \sum_{l<L} P_l "
        r"P_l^\top$, the Hessian in the hidden errors is $\pi$ times a matrix whose eigenvalues are 1 and "
        r"those of $S$. Descent is stable iff $g < 2 / (\pi \lambda_{\max}(S))$. From any errors the best "
        r"step is $2 / (\pi (1 + \lambda_{\max}(S)))$, which shrinks the slowest mode by $(\lambda_{\max}(S) "
        r"- 1) / (\lambda_{\max}(S) + 1)$ per pass. From the forward pass only the at most $n_L$ modes of "
        r"$S$ take part: the best step is $2 / (\pi (\lambda_{\min}(S) + \lambda_{\max}(S)))$ with the rate "
        r"$(\kappa(S) - 1) / (\kappa(S) + 1)$, and with one output a single pass at the step $1/(\pi S)$ is "
        r"exact.",
        "Linear network, one hidden precision; hidden layers together wider than the output.",
        "this work; the coordinates: Goemaere et al. 2025",
        ("numerical",),
        "pctheory.inference.error_inference_rate",
    ),
    Claim(
        "inference-rate",
        "The rate of inference",
        r"$z_T - z^* = (I - gH)^T (z_0 - z^*)$. Stable iff $g < 2 / \lambda_{\max}(H)$; the best step is $2 "
        r"/ (\lambda_{\min} + \lambda_{\max})$, at which the slowest mode shrinks by $(\kappa - 1)/(\kappa "
        r"+ 1)$ per step. The flow is $e^{-tH}$.",
        _DESCENT,
        "classical",
        ("symbolic", "numerical", "empirical"),
        "pctheory.inference.inference_rate",
        ("inference-landscape", "coordinates-conditioning", "inference-budget"),
    ),
    Claim(
        "finite-time-energy",
        "The energy after T steps",
        r"$F(z_T) = \frac{1}{2B} \sum_i r_i^\top M_T r_i$ with $M_T = \Pi_L - U^\top H^{-1} [I - (I - "
        r"gH)^{2T}] U$, $U = A_L^\top \Pi_L$ in the block of layer $L-1$. $M_0 = \Pi_L$ (backprop), "
        r"$M_\infty = S^{-1}$ (equilibrium). Its gradient differs from that of $F^*$ by $O(T \rho^{2T})$, "
        r"the local rule at $z_T$ by $O(\rho^T)$, $\rho = \max |1 - g\,\mathrm{eig}\,H|$.",
        _DESCENT + " Inference starts from the feedforward pass.",
        "this work",
        ("symbolic", "numerical", "empirical"),
        "pctheory.inference.finite_time_energy",
        ("tr-inference-time", "finite-time-inference"),
    ),
    Claim(
        "first-arrival",
        "Errors arrive one layer per step",
        r"$\epsilon_l(t) = 0$ for $t < L - l$, and $\epsilon_l(L-l) = g^{L-l} A_{l+1}^\top \Pi_{l+1} \cdots "
        r"A_L^\top \Pi_L r$, which is $g^{L-l} P_l^\top r$ for unit precisions. The exponential imbalance "
        r"across layers is a transient: at equilibrium of orthogonal maps every $|\epsilon_l^*| "
        "= |r|/L$.",
        _DESCENT + " Inference starts from the feedforward pass.",
        _QI + " (observation); Goemaere et al. 2025 (decay and rounding); this work (exact form)",
        ("symbolic", "numerical", "empirical"),
        "pctheory.inference.first_arrival",
        ("error-arrival",),
    ),
    Claim(
        "precision-limits",
        "Precisions that give backprop",
        "As hidden over output precision tends to infinity the equilibrium gradient tends to backprop's, "
        r"with an error $O(1/\text{ratio})$. With spiking precisions (1 on layer $L - t$ at step $t$, "
        r"$\alpha \to 0$ elsewhere) $z_l - \hat z_l \to g^{L-l} (1-g) P_l^\top r$ for hidden $l$: "
        "layer-rescaled backprop.",
        "Linear network; unit precisions for the second statement.",
        "Whittington and Bogacz 2017; " + _QI,
        ("symbolic", "numerical", "empirical"),
        "pctheory.inference.spiking_update",
        ("error-arrival",),
    ),
    Claim(
        "stability-delay",
        "Delayed errors",
        r"When errors arrive $d$ steps late a mode obeys $\mu^{d+1} - \mu^d + g\lambda = 0$ and inference "
        r"is stable iff $g \lambda_{\max} < 2 \sin\frac{\pi}{2(2d+1)}$: 2 without delay, where the fastest "
        r"mode flips, 1 with $d = 1$, where it turns by $60^\circ$ (Neimark-Sacker).",
        "Linear network; every error is $d$ steps old.",
        "Levin and May 1976 (the bound, for a scalar map); Frieder and Lukasiewicz 2022 (the bifurcation in "
        "a small network); this work (networks, any delay)",
        ("symbolic", "numerical"),
        "pctheory.inference.delayed_multipliers",
    ),
    Claim(
        "early-pc-is-scale-free-bp",
        "A few small steps give backprop's direction at a falling scale",
        r"After $T \ge L - 1$ steps from the forward pass the error and the gradient of the layer $k$ below "
        r"the output are backprop's times $\binom{T}{k} g^k (1 + O(gT))$, and so backprop's update under any "
        r"optimiser that ignores the scale of each layer. The reach in a given arithmetic and with Adam's "
        r"$\varepsilon$ is the largest $k$ for which this scale, times the size of backprop's error and "
        r"gradient, stays above the rounding of the activities and above $\varepsilon$; where errors are "
        r"computed as displacements rounding does not count.",
        "Linear network, unit precisions, $gT \\lVert H \\rVert$ small. The reach: to within a layer or two "
        "(measured).",
        "this work; the decay with rounding: Goemaere et al. 2025",
        ("numerical", "empirical"),
        "pctheory.inference.early_reach",
        ("arithmetic-reach",),
    ),
    Claim(
        "error-reach",
        "How far the error reaches",
        r"After $T$ steps with $g = \eta / B$ per sample the error has moved about $gT$ layers into a "
        "residual network with maps near the identity: its size at distance $k$ is at most of the order "
        "$(gT)^k / k!$, and exactly zero for $k > T$. Errors that are small but not zero are lost to "
        r"arithmetic: to the rounding of $z - \hat z$ and to Adam's $\epsilon$. In training at the published "
        r"settings of muPC (MNIST, 31 layers, float32, Adam with $\epsilon = 10^{-8}$) the "
        "weights of a few layers at the output change by more than a tenth; with inference to equilibrium "
        "those of all layers do.",
        "Feedforward start, small $gT$; maps $I + O(L^{-1/2})$. The last two statements are measured, for "
        "this arithmetic and at one rate for all rules.",
        "this work (measured)",
        ("numerical", "empirical"),
        "experiments.error_reach",
        ("error-reach", "mupc-128", "joint-resets"),
    ),
)
