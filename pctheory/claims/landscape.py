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
        r"(c) Without a condition on the data this is false. $L = 2$, all widths 1, $S_{xy} = 0$, $w_1^2 S_{xx} = S_{yy}$, "
        r"$w_2 = 0$ is a critical point with zero Hessian and a descent direction of third order. With correlated input, but "
        r"noise of partial rank, there are local minima that are not global: widths 1-1-2, $y = (x, \sqrt\nu \xi)$, "
        r"$\nu > \mu = S_{xx}$, $A_2 = (a, 0)^\top$, $A_1 = 1/a$, $a^2 < \mu / (\nu - \mu)$.",
        _ENDS,
        "this work; the conjecture of "
        + _SAD
        + " holds under (a) or (b) and not in general. The one-unit case of (c) also stands in a public Lean 4 "
        "formalisation (MeTTapedia)",
        _ALL,
        "pctheory.landscape",
        ("critical-points",),
    ),
    Claim(
        "second-order-classification",
        "Which critical points are strict, and on which data all are",
        r"At a critical point of $F^*$ with a residual, let $h = Q_{L-1} x$, $\lambda_r = \lambda_{\max} \langle r r^\top \rangle$, "
        r"$U = \mathrm{range}\, A_L$ and $N_y = S_{yy} - S_{yx} S_{xx}^+ S_{xy}$. (i) $\langle h h^\top \rangle$ singular: strict. "
        r"Otherwise: (ii) $A_L$ with a kernel, $\langle r x^\top \rangle \ne 0$: strict; (ii') $A_L$ with a kernel, "
        r"$\langle r x^\top \rangle = 0$: strict unless $\langle h h^\top \rangle \succeq \lambda_r (M_{L-1}^{-1} + A_L^\top "
        r"A_L)^{-1}$; (iii) $A_L$ without a kernel: strict unless $\mathrm{tr}\, V^\top S_{yy} V - \mathrm{tr}\, V S_{yy} V^\top + "
        r"\mathrm{tr}\, (S|_U)^{-1} V N_y V^\top \ge 0$ for all $V: U^\perp \to U$. Where the form is positive definite the point "
        r"is a local minimum. If $S_{yx} \ne 0$ and no eigenvector of $S_{yy}$ with a positive eigenvalue lies in $\ker N_y$, "
        r"every critical point, at any depth and for all widths, is a strict saddle. A condition on the second moments of the "
        r"data is equivalent to this for all critical points but global minima.",
        _ENDS + " The formulas for unit precisions, any in the code.",
        "this work",
        ("numerical", "empirical"),
        "pctheory.landscape",
        ("second-order-map", "critical-points"),
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
        "When there is no minimiser, and what learning then tends to",
        r"$\inf F^* = \frac12 \sum_{j > n_{L-1}} \lambda_j(S_{yy})$, whatever the inputs. It is attained only if the leading "
        r"principal components of the targets are a linear function of the input that the network can represent: never with "
        r"noise on every output, and without noise not if an earlier bottleneck is too narrow. The scaling $A_L \to s A_L$, "
        r"$A_1 \to A_1 / s$ keeps the map and sends $F^*$ down. Along any sequence with $F^* \to \inf F^*$ the prediction "
        r"$A_L z_{L-1}^*$ tends to $\Pi_U y$, the projection of the targets on their top $n_{L-1}$ principal components "
        r"(if $\lambda_{n_{L-1}} > \lambda_{n_{L-1}+1}$), where backpropagation tends to reduced-rank regression. On one unit "
        r"$w \sim t^{1/4}$. Weight decay restores a minimiser; so does $\frac12 \log\det S$ if the noise exceeds $\Sigma_L$.",
        _ENDS,
        "this work",
        _ALL,
        "pctheory.landscape",
        ("no-minimiser", "noise-and-bottleneck"),
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
        "Near a fit the two flows differ by a unit of time",
        r"At a fit of one output $\nabla^2 F^* = \nabla^2 \mathcal L / s$: gradient flow on $F^*$ is slower by the factor $s$, but "
        r"its largest stable step is larger by the same factor and the condition numbers are equal. On a common scale of time "
        r"predictive coding leaves a small initialisation sooner and is the slower one from weights of order one; each at its "
        r"largest stable step, the two converge equally fast.",
        "Linear network, one output. The reversal on a common scale of time is measured.",
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
)
