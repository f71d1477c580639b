"""Section L: the landscape of the weights."""

from ._claim import Claim

_ALL = ("symbolic", "numerical", "empirical")
_SAD = "Innocenti et al. 2024"
_LINEAR = "Linear network, activities at equilibrium."
_ENDS = "Linear network, $L \\ge 2$, first and last layer free of skips, no zero multiplier."

CLAIMS = (
    Claim(
        "balance-law",
        "Imbalance drifts towards the output",
        r"For every $\theta$, with $G_l = \partial F^* / \partial A_l$: $A_{l+1}^\top G_{l+1} - G_l A_l^\top = "
        r"-\Pi_l \langle \epsilon_l^* \epsilon_l^{*\top} \rangle$. So under gradient flow on $F^*$ "
        r"$\frac{d}{dt} \big[ A_{l+1}^\top A_{l+1} / a_{l+1}^2 - A_l A_l^\top / a_l^2 \big] = "
        r"\Pi_l \langle \epsilon_l^* \epsilon_l^{*\top} \rangle + \langle \epsilon_l^* \epsilon_l^{*\top} \rangle \Pi_l$, "
        r"which is positive semidefinite for $\Pi_l = I$, where gradient flow on $\mathcal L$ conserves it. "
        r"For ReLU and leaky ReLU networks $z_l = W_l \phi(z_{l-1}) + \epsilon_l$ the diagonal holds at any stationary $z$.",
        _LINEAR + " The last part: a positively homogeneous activation.",
        "this work",
        _ALL,
        "pctheory.dynamics.flow",
        ("balance-law",),
    ),
    Claim(
        "critical-points",
        "Critical points are those without hidden error",
        r"$\theta$ is a critical point of $F^*$ if and only if $A_L^\top \Pi_L R = 0$ and $\langle r x^\top \rangle Q_{L-1}^\top "
        r"= 0$. There every hidden error vanishes on every sample, $S^{-1} r = \Pi_L r$, $F^* = \mathcal L$, and $\theta$ is a "
        r"critical point of $\mathcal L$.",
        _ENDS,
        "this work",
        _ALL,
        "pctheory.landscape",
        ("critical-points",),
    ),
    Claim(
        "strict-saddles",
        "Saddles of the equilibrated energy are strict",
        r"(a) On data with $y = Tx$ every critical point of $F^*$ is a global minimum or a strict saddle. (b) If "
        r"$S_{yy} - S_{yx} S_{xx}^+ S_{xy}$ is positive definite and $S_{yx} \ne 0$, every critical point is a strict saddle. "
        r"(c) The condition is needed: $L = 2$, all widths 1, $S_{xy} = 0$, $w_1^2 S_{xx} = S_{yy}$, $w_2 = 0$ is a critical "
        r"point with zero Hessian and a descent direction of third order.",
        _ENDS,
        "this work; it settles a conjecture of "
        + _SAD
        + ". (c) also stands in a public Lean 4 formalisation (MeTTapedia)",
        _ALL,
        "pctheory.landscape",
        ("critical-points",),
    ),
    Claim(
        "origin-hessian-loss",
        "The loss is flat at the origin",
        r"At $W = 0$ without skips: for $L = 2$ the Hessian of $\mathcal L$ has only the block "
        r"$\partial^2 \mathcal L / \partial W_1[a,i] \partial W_2[c,b] = -\delta_{ab} S_{yx}[c,i]$; for $L > 2$ it is zero, and "
        r"the first derivative that does not vanish is of order $L$.",
        "Linear network; unit multipliers and precisions in the formula, any in the code.",
        "Saxe et al. 2014, Kawaguchi 2016; " + _SAD,
        _ALL,
        "pctheory.landscape",
        ("origin-hessians",),
    ),
    Claim(
        "origin-hessian-energy",
        "The origin is a strict saddle of the equilibrated energy",
        r"At $W = 0$ without skips the Hessian of $F^*$ is that of $\mathcal L$ with the block "
        r"$\partial^2 F^* / \partial W_L^2 = -S_{yy} \otimes I$ in addition. For $L > 2$ its eigenvalues are those of $-S_{yy}$, "
        r"each $n_{L-1}$ times, and zeros; for $L = 2$ those of "
        r"$\begin{pmatrix} 0 & -S_{xy} \\ -S_{yx} & -S_{yy} \end{pmatrix}$, each $n_1$ times, and zeros. With skips on every "
        r"hidden layer the block is $-(L-1) S_{yy} \otimes I$ and the cross block is there too.",
        "Linear network; unit multipliers and precisions in the formula, any in the code; $S_{yy} \\ne 0$ for strictness.",
        _SAD + ", Theorem 2; multipliers, skips and precisions: this work",
        _ALL,
        "pctheory.landscape",
        ("origin-saddle-toy", "origin-hessians", "origin-hessians-data"),
    ),
    Claim(
        "zero-rank-saddles",
        "Zero-rank saddles are strict, and deeper",
        r"Where $W_L = 0$ the block of $W_L$ in the Hessian of $F^*$ is "
        r"$I \otimes \langle h h^\top \rangle - S_{yy} \otimes M_{L-1}$ with $h = Q_{L-1} x$ and "
        r"$M_{L-1} = I + A_{L-1} A_{L-1}^\top + \dots$. If $Q_{L-1} = 0$ too, "
        r"$\lambda_{\min} \le -\lambda_{\max}(S_{yy}) \lambda_{\max}(M_{L-1})$.",
        "Linear network; a critical point if also $S_{yx} Q_{L-1}^\\top = 0$.",
        _SAD + ", Theorem 3; sharpened in this work",
        _ALL,
        "pctheory.landscape",
        ("zero-rank-hessians",),
    ),
    Claim(
        "flat-minima",
        "Perfect fits are flatter minima of the equilibrated energy",
        r"Where $R = 0$, $\nabla^2 \mathcal L = \langle J^\top \Pi_L J \rangle$ and "
        r"$\nabla^2 F^* = \langle J^\top S^{-1} J \rangle \preceq \nabla^2 \mathcal L$, $J$ the derivative of the output in the "
        r"weights. On a chain $\nabla^2 F^* = \nabla^2 \mathcal L / s$.",
        _LINEAR,
        "Innocenti et al. 2023, 2024 (chains); this work (general form)",
        _ALL,
        "pctheory.landscape",
    ),
    Claim(
        "no-minimiser-with-noise",
        "Noise leaves no minimiser",
        r"With an irreducible residual $F^*$ has no finite minimiser: $A_L \to s A_L$, $A_1 \to A_1 / s$ keeps the map and sends "
        r"$F^*$ down, to $\frac12 \sum_{j > n_{L-1}} \lambda_j(S_{yy})$ at best. On one unit $w \sim t^{1/4}$. Weight decay "
        r"restores a minimiser; so does $\frac12 \log\det S$ if the noise exceeds $\Sigma_L$.",
        _ENDS,
        "this work",
        _ALL,
        "pctheory.landscape",
        ("no-minimiser",),
    ),
    Claim(
        "cascade",
        "The energy escapes early, the loss late",
        r"From small weights the layers of a chain grow from the output down: the last one at rate $S_{yy}$, which halves $F^*$ "
        r"at time $\big( \log(1/\varepsilon) + \frac54 \big) / S_{yy}$ at any depth to leading order, while $S$ inflates and the "
        r"product has hardly grown; the loss falls much later.",
        "Chain of depth $L > 2$, second moments 1 in the measured times, initial weights $\\varepsilon$.",
        "this work (measured)",
        ("numerical", "empirical"),
        "pctheory.dynamics.flow",
        ("cascade",),
    ),
    Claim(
        "init-scale-reversal",
        "The advantage is one of small weights",
        r"Near a fit gradient flow on $F^*$ is slower than on $\mathcal L$ by the factor $s$: predictive coding leaves a small "
        r"initialisation sooner and is the slower one from weights of order one.",
        "Linear network, one output, matched scales.",
        "this work (measured)",
        ("numerical", "empirical"),
        "pctheory.dynamics.flow",
        ("cascade",),
    ),
    Claim(
        "matched-scale",
        "Published learning rates were not on one scale",
        r"With the loss averaged over batch and outputs and the energy summed over the batch, the step of predictive coding is "
        r"larger by $B n_L / 2$ at equal learning rates.",
        "The scales of the public code of " + _SAD + ".",
        "this work",
        ("numerical", "empirical"),
        "pctheory.landscape",
        ("matched-scale",),
    ),
    Claim(
        "escape-time",
        "The time to leave small weights",
        r"Chain of $L \ge 3$ weights d, $y = \sigma x$, $\langle x^2 \rangle = 1$, hidden precisions $\pi$, $\Lambda = \log(1/d)$, T the time "
        r"until the product is $\sigma/2$, $c_L = 2^{L-3} \int_0^1 \prod_{j=0}^{L-4} (u + j)\, du$. As $d \to 0$, uniformly in "
        r"$1 \le \pi \le \Lambda^M$, gradient flow on $F^*$ has $T \sim [\pi \Lambda + c_L \Lambda^{L-2} / \pi] / \sigma^2$ ($L \ge 4$), "
        r"$T \sim \pi \Lambda / \sigma^2 + (3 \Lambda)^{4/3} / (4 \pi \sigma^{2/3})$ ($L = 3$); gradient flow on $\mathcal L$ has "
        r"$T \sim d^{-(L-2)} / ((L-2) \sigma)$. The best precision is $\pi^* \sim \sqrt{c_L} \Lambda^{(L-3)/2}$, with "
        r"$T \sim 2 \sqrt{c_L} \Lambda^{(L-1)/2} / \sigma^2$ ($L \ge 4$). At unit precision $w_l^2 \sim 2 (l - 3) \Lambda$ for $l > 3$ at T. "
        r"From aligned dense weights $F^*$ is the sum of the energies of such chains.",
        "Equal weights, activities at equilibrium. For random dense weights the same times are a conjecture.",
        "this work",
        ("numerical", "empirical"),
        "pctheory.dynamics.escape",
        ("escape-time",),
    ),
    Claim(
        "escape-steps",
        "Steps of descent from small weights",
        r"Chain as in escape-time, $\sigma = \pi = 1$. Gradient descent on $F^*$ at a rate $\eta \le 1/(2L)$ keeps $0 < P_0 < 1$, reaches "
        r"$P_0 = 1/2$ in $O(\Lambda^{L-2}) / \eta$ steps ($L \ge 4$; $\Lambda^{4/3}$ for $L = 3$) and a residual $\epsilon$ in "
        r"$O(\Lambda^{L-2} \log(1/\epsilon)) / \eta$ more. Gradient descent on $\mathcal L$ that converges to a fit needs, for all but "
        r"countably many rates, at least $\frac{L}{2(L-2)} [d^{-(L-2)} - 2^{(L-2)/L}]$ steps.",
        "Equal weights, constant rate, activities at equilibrium.",
        "this work",
        ("numerical",),
        "pctheory.dynamics.escape",
        ("escape-time",),
    ),
    Claim(
        "escape-trap",
        "Noise stronger than the signal traps it at a bottleneck",
        r"Widths $1, \dots, 1, 2$, $y = (\sigma x, \nu \xi)$ with uncorrelated unit x and $\xi$, $A_L = (u, b)^\top$, "
        r"$\gamma = 1 + w_{L-1}^2 + \dots + (w_{L-1} \cdots w_2)^2$. The set $w_1 = u = 0$ is invariant under gradient flow on $F^*$, and the "
        r"Hessian across it is positive definite if and only if "
        r"$\gamma b^2 (\nu^2 \gamma b^2 / (1 + \gamma b^2) - \sigma^2) > \sigma^2$ and $w_{L-1} \cdots w_2 \ne 0$: for $\nu^2 > \sigma^2$ it is as soon as "
        r"$\gamma b^2$ is large enough, and $\gamma b^2$ grows.",
        "Unit precisions, activities at equilibrium.",
        "this work",
        ("numerical",),
        "pctheory.landscape",
    ),
    Claim(
        "fit-sharpness",
        "The sharpness at a fit is a mean over the layers",
        r"Where $r = 0$ on every sample the non-zero spectrum of $\nabla^2 F^*$ is that of $\sum_l C_l \otimes K_l$, "
        r"$C_l = S^{-1/2} P_l P_l^\top S^{-1/2}$, $K_l = a_l^2 \hat X_{l-1} \hat X_{l-1}^\top / B$, and $\sum_l C_l = I$. Hence "
        r"$\max_v \min_l v^\top K_l v \le \lambda_{\max}(\nabla^2 F^*) \le \max_l a_l^2 \lambda_{\max} "
        r"\langle \hat z_{l-1} \hat z_{l-1}^\top \rangle$, whatever the backward gains, with equality where the $K_l$ are equal. "
        r"Gradient descent stands rates up to $2 / \lambda_{\max}$ there.",
        "Linear network, unit precisions; with others both bounds have the factor $\\lambda_{\\max}(\\sum_l C_l)$.",
        "this work",
        ("numerical",),
        "pctheory.dynamics.sharpness",
        ("fit-sharpness",),
    ),
    Claim(
        "inflation",
        "Noise inflates the weights, to leading order (formal)",
        r"Chain of $L \ge 2$ weights under gradient flow on $F^*$, the map fitted, residual noise $\nu = \langle r^2 \rangle > 0$: as "
        r"$t \to \infty$, $w_l \sim (2 \nu L t)^{1/(2L)}$ for $l \ge 2$ and $F^* \sim \frac{\nu}{2} (2 \nu L t)^{-(L-1)/L}$.",
        "Unit precisions, activities at equilibrium.",
        "this work",
        ("numerical",),
        "pctheory.dynamics.noise",
    ),
)
