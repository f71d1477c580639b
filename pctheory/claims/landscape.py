"""The landscape of the weights."""

from ._claim import Claim

_ALL = ("symbolic", "numerical", "empirical")
_SAD = "Innocenti et al. 2024"
_LINEAR = "Linear network, activities at equilibrium."
_ENDS = r"Linear network, $L \ge 2$, first and last layer free of skips, no zero multiplier."
_TR = "Innocenti et al. 2023"
_TOY = "$f(x) = w_2 w_1 x$, unit precisions"

CLAIMS = (
    Claim(
        "critical-points",
        "Critical points are those without hidden error",
        r"$\theta$ is a critical point of $F^*$ if and only if $A_L^\top \Pi_L R = 0$ and $\langle r x^\top "
        r"\rangle Q_{L-1}^\top = 0$. There every hidden error vanishes on every sample, $S^{-1} r = \Pi_L "
        r"r$, $F^* = \mathcal L$, and $\theta$ is a critical point of $\mathcal L$.",
        _ENDS,
        "this work",
        _ALL,
        "pctheory.landscape.classify_critical_point",
        ("critical-points",),
    ),
    Claim(
        "strict-saddles",
        "Saddles of the equilibrated energy are strict",
        "(a) On data with $y = Tx$ every critical point of $F^*$ is a global minimum or a strict saddle. "
        r"(b) If $S_{yy} - S_{yx} S_{xx}^+ S_{xy}$ is positive definite and $S_{yx} \ne 0$, every critical "
        "point is a strict saddle. (c) Without a condition on the data this is false. $L = 2$, all widths 1, "
        "$S_{xy} = 0$, $w_1^2 S_{xx} = S_{yy}$, $w_2 = 0$ is a critical point with zero Hessian and a "
        "descent direction of third order. With correlated input, but noise of partial rank, there are "
        r"local minima that are not global: widths 1-1-2, $y = (x, \sqrt\nu \xi)$, $\nu > \mu = S_{xx}$, "
        r"$A_2 = (a, 0)^\top$, $A_1 = 1/a$, $a^2 < \mu / (\nu - \mu)$.",
        _ENDS,
        "this work; the conjecture of "
        + _SAD
        + " holds under (a) or (b) and not in general. The one-unit case of (c) also stands in a public "
        "Lean 4 formalisation (MeTTapedia)",
        _ALL,
        "pctheory.landscape.escape_direction",
        ("critical-points",),
    ),
    Claim(
        "second-order-classification",
        "Which critical points are strict, and on which data all are",
        r"At a critical point of $F^*$ with a residual, let $h = Q_{L-1} x$, $\lambda_r = \lambda_{\max} "
        r"\langle r r^\top \rangle$, $U = \mathrm{range}\, A_L$ and $N_y = S_{yy} - S_{yx} S_{xx}^+ "
        r"S_{xy}$. (i) $\langle h h^\top \rangle$ singular: strict. Otherwise: (ii) $A_L$ with a kernel, "
        r"$\langle r x^\top \rangle \ne 0$: strict; (ii') $A_L$ with a kernel, $\langle r x^\top \rangle = "
        r"0$: strict unless $\langle h h^\top \rangle \succeq \lambda_r (M_{L-1}^{-1} + A_L^\top "
        r"A_L)^{-1}$; (iii) $A_L$ without a kernel: strict unless $\mathrm{tr}\, V^\top S_{yy} V - "
        r"\mathrm{tr}\, V S_{yy} V^\top + \mathrm{tr}\, (S|_U)^{-1} V N_y V^\top \ge 0$ for all $V: U^\perp "
        r"\to U$. Where the form is positive definite the point is a local minimum. If $S_{yx} \ne 0$ and "
        r"no eigenvector of $S_{yy}$ with a positive eigenvalue lies in $\ker N_y$, every critical point, "
        r"at any depth and for all widths, is a strict saddle. A condition on the second moments of the "
        r"data is equivalent to this for all critical points but global minima.",
        _ENDS + " The formulas for unit precisions, any in the code.",
        "this work",
        _ALL,
        "pctheory.landscape.second_order_form",
        ("second-order-map", "critical-points"),
    ),
    Claim(
        "origin-hessian-loss",
        "The loss is flat at the origin",
        r"At $W = 0$ without skips: for $L = 2$ the Hessian of $\mathcal L$ has only the block $\partial^2 "
        r"\mathcal L / \partial W_1[a,i] \partial W_2[c,b] = -\delta_{ab} S_{yx}[c,i]$; for $L > 2$ it is "
        "zero, and the first derivative that does not vanish is of order $L$.",
        "Linear network; unit multipliers and precisions in the formula, any in the code.",
        "Saxe et al. 2014, Kawaguchi 2016; " + _SAD,
        _ALL,
        "pctheory.landscape.origin_hessian",
        ("origin-hessians",),
    ),
    Claim(
        "origin-hessian-energy",
        "The origin is a strict saddle of the equilibrated energy",
        r"At $W = 0$ without skips the Hessian of $F^*$ is that of $\mathcal L$ with the block $\partial^2 "
        r"F^* / \partial W_L^2 = -S_{yy} \otimes I$ in addition. For $L > 2$ its eigenvalues are those of "
        r"$-S_{yy}$, each $n_{L-1}$ times, and zeros; for $L = 2$ those of $\begin{pmatrix} 0 & -S_{xy} \\ "
        r"-S_{yx} & -S_{yy} \end{pmatrix}$, each $n_1$ times, and zeros. With skips on every hidden layer "
        r"the block is $-(L-1) S_{yy} \otimes I$ and the cross block is there too.",
        r"Linear network; unit multipliers and precisions in the formula, any in the code; $S_{yy} \ne 0$ "
        "for strictness.",
        _SAD + ", Theorem 2; multipliers, skips and precisions: this work",
        _ALL,
        "pctheory.landscape.origin_hessian",
        ("origin-saddle-toy", "origin-hessians", "origin-hessians-data"),
    ),
    Claim(
        "tr-toy",
        "At the origin the energy attracts less and repels more",
        r"At $w = 0$ the Hessian of $\mathcal L$ has the eigenvalues $\pm S_{yx}$, that of $F^*$ has "
        r"$\tfrac12 (-S_{yy} \pm \sqrt{S_{yy}^2 + 4 S_{yx}^2})$: both are smaller.",
        _TOY + r", $S_{yx} \ne 0$.",
        _TR,
        ("symbolic", "numerical"),
        "pctheory.landscape.origin_hessian",
        ("tr-landscapes",),
    ),
    Claim(
        "zero-rank-saddles",
        "Zero-rank saddles are strict, and deeper",
        r"Where $W_L = 0$ the block of $W_L$ in the Hessian of $F^*$ is $I \otimes \langle h h^\top \rangle "
        r"- S_{yy} \otimes M_{L-1}$ with $h = Q_{L-1} x$ and $M_{L-1} = I + A_{L-1} A_{L-1}^\top + \dots$. "
        r"If $Q_{L-1} = 0$ too, $\lambda_{\min} \le -\lambda_{\max}(S_{yy}) \lambda_{\max}(M_{L-1})$.",
        r"Linear network; a critical point if also $S_{yx} Q_{L-1}^\top = 0$.",
        _SAD + ", Theorem 3; sharpened in this work",
        _ALL,
        "pctheory.landscape.zero_rank_hessian",
        ("zero-rank-hessians",),
    ),
    Claim(
        "flat-minima",
        "Perfect fits are flatter minima of the equilibrated energy",
        r"Where $R = 0$, $\nabla^2 \mathcal L = \langle J^\top \Pi_L J \rangle$ and $\nabla^2 F^* = \langle "
        r"J^\top S^{-1} J \rangle \preceq \nabla^2 \mathcal L$, $J$ the derivative of the output in the "
        r"weights. On a chain $\nabla^2 F^* = \nabla^2 \mathcal L / s$.",
        _LINEAR,
        "Innocenti et al. 2023, 2024 (chains); this work (general form)",
        _ALL,
        "pctheory.landscape.gauss_newton_hessian",
    ),
    Claim(
        "no-minimiser-with-noise",
        "When there is no minimiser, and what learning then tends to",
        r"$\inf F^* = \frac12 \sum_{j > n_{L-1}} \lambda_j(S_{yy})$, whatever the inputs. It is attained "
        "only if the leading principal components of the targets are a linear function of the input that the "
        "network can represent: never with noise on every output, and without noise not if an earlier "
        r"bottleneck is too narrow. The scaling $A_L \to s A_L$, $A_1 \to A_1 / s$ keeps the map and sends "
        r"$F^*$ down. Along any sequence with $F^* \to \inf F^*$ the prediction $A_L z_{L-1}^*$ tends to "
        r"$\Pi_U y$, the projection of the targets on their top $n_{L-1}$ principal components (if "
        r"$\lambda_{n_{L-1}} > \lambda_{n_{L-1}+1}$), where backpropagation tends to reduced-rank "
        r"regression. On one unit $w \sim t^{1/4}$. Weight decay restores a minimiser; so does $\frac12 "
        r"\log\det S$ if the noise exceeds $\Sigma_L$.",
        _ENDS,
        "this work",
        _ALL,
        "pctheory.landscape.infimum",
        ("no-minimiser", "noise-and-bottleneck"),
    ),
    Claim(
        "cross-entropy-landscape",
        "With cross-entropy every critical point is a constant predictor",
        r"Critical for $F^*$ iff $J A_L = 0$ and $S_{gx} Q_{L-1}^\top = 0$, $J = I - \mathbf{1} "
        r"\mathbf{1}^\top / C$, $S_{gx} = \langle (\mathbf{1}/C - e_y) x^\top \rangle$: every critical "
        r"point predicts $1/C$ and has $F^* = \mathcal L = \log C$. If $S_{gx} \ne 0$ all of them are "
        r"strict saddles, and there is no local minimum. If $S_{gx} = 0$ one is strict unless $\langle h "
        r"h^\top \rangle \succeq C \lambda_{\max}(J \mathrm{diag}(p) J) M_{L-1}$. With two hidden units "
        r"before the output, or two classes, $\inf F^* = 0$ on any labels, random ones too, and is not "
        r"attained. With biases critical points predict the frequencies $p$ of the classes, at the entropy "
        r"of $p$ (there is none if a class is absent): strict saddles unless all classes have one mean and "
        r"$\mathrm{Cov}(h) \succeq M_{L-1}$.",
        "Hard labels of $C$ classes, at most one of them absent; any depth, widths, skips; without biases "
        "but where they are named.",
        "this work",
        ("numerical",),
        "pctheory.landscape.EnvelopeEnergy",
        ("cross-entropy",),
    ),
    Claim(
        "convex-loss-landscape",
        "With other convex losses narrow networks have spurious minima",
        r"$F^* \ge \psi(\mathrm{ran}\, A_L)$ with $\psi(U) = \frac1B \sum_i \min_{v \in U} \ell_i(v)$, and "
        r"minima of $\psi$ give local minima of $F^*$ at its value. For squared errors $\psi$ is "
        r"principal "
        "component analysis and has one level; for other convex losses it can have several: pseudo-Huber "
        "with two samples and one hidden unit.",
        "Linear network, convex output losses.",
        "this work",
        ("numerical",),
        "pctheory.landscape.EnvelopeEnergy",
    ),
)
