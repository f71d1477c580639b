"""Predify's dynamics, and inference over time."""

from ._claim import Claim

CLAIMS = (
    Claim(
        "predify-map",
        "Predify on a linear network is a linear map",
        r"$e(t+1) = A e(t) + c$ with $A = (I - B)^{-1} M$, $B = \beta_j W_{f,j}$ below the diagonal, "
        r"$M_{jj} = (1 - \beta_j - \lambda_j) I - \alpha_j W_{b,j}^\top W_{b,j}$, $M_{j,j-1} = \alpha_j "
        r"W_{b,j}^\top$, $M_{j,j+1} = \lambda_j W_{b,j+1}$. Its fixed point is $(I - A)^{-1} c$; it is "
        r"reached from every start iff $\rho(A) < 1$. $A$ is not symmetric.",
        r"Linear forward and feedback maps, a constant input, $\lambda_L = 0$ at the top.",
        "this work; the dynamics: Choksi et al. 2021",
        ("symbolic", "numerical", "empirical"),
        "pctheory.related.Predify",
        ("predify-stability",),
    ),
    Claim(
        "predify-is-pc",
        "The special case that is predictive coding",
        r"With $\beta = 0$ and $\lambda_j = \alpha_{j+1}$ (and $\lambda_L = 0$) a step is one gradient "
        r"step of size $1$ on $\sum_j \frac{\alpha_j}{2} |e_{j-1} - W_{b,j} e_j|^2$.",
        "Linear feedback maps.",
        "this work",
        ("symbolic", "numerical"),
        "pctheory.related.Predify.predictive_coding",
        ("predify-stability",),
    ),
    Claim(
        "predify-dispersion",
        "Waves on the identity chain",
        r"On the infinite chain of identity maps the wave $e^{ikn}$ is multiplied by $\mu(k) = \frac{1 - "
        r"\alpha - \beta - \lambda + \lambda e^{ik} + \alpha e^{-ik}}{1 - \beta e^{-ik}}$ in a step. No "
        r"wave grows iff $\alpha + \lambda \le 1$, and long waves travel at $(\alpha + \beta - \lambda) / "
        r"(1 - \beta)$ layers per step.",
        r"$\alpha, \lambda \ge 0$, $0 \le \beta < 1$.",
        "this work; waves in the continuous limit: Faye et al. 2023",
        ("symbolic", "numerical", "empirical"),
        "pctheory.related.chain_multiplier",
        ("predify-stability",),
    ),
    Claim(
        "state-space",
        "Filters and smoothers are clamped equilibria",
        r"With layers $(s_t, o_t)$, maps $[A; CA]$ and the joint precision of $(w_t, C w_t + v_t)$ the "
        r"equilibrium with all observations clamped is the Rauch-Tung-Striebel smoother, and that of one "
        r"layer, with the last belief as the prior of the layer below, a step of the Kalman filter. Temporal "
        r"predictive coding, the layer below clamped, is the filter with $Q$ in the place of $P_{t|t-1}$: "
        r"its gain is $Q C^\top (C Q C^\top + R)^{-1}$, $[I - (I - gH)^T]$ times that after $T$ steps, and "
        r"its errors tend to the covariance $P = (I - KC)(APA^\top + Q)(I - KC)^\top + K R K^\top$ if $(I - "
        r"KC) A$ is stable. A translation-invariant linear predictor turns the phase of each frequency of "
        r"every pattern by the same angle: if it displaces one pattern with all frequencies, by 0 or more "
        r"pixels, it displaces all patterns by as much.",
        "Linear Gaussian state space, $Q$, $R$ and the initial covariance positive definite; for the last "
        "statement pixels on a ring.",
        "classical; Millidge et al. 2024 (temporal predictive coding); this work (constructions, phases)",
        ("numerical", "empirical"),
        "pctheory.related.StateSpace",
        ("kalman",),
    ),
    Claim(
        "augmented-lagrangian",
        "With multipliers inference is a wave that ends at backprop",
        r"Descend on $\frac12 |y - A_L z_{L-1}|^2 + \sum_{l<L} (\lambda_l^\top \epsilon_l + \frac12 "
        r"|\epsilon_l|^2)$ in the activities, $\dot\lambda_l = \nu \epsilon_l$. The flow converges from "
        r"every start for every $\nu > 0$, to the forward pass and $\lambda_l = P_l^\top r$, the errors "
        r"of backprop. For square orthogonal maps and $\nu \ne 1$ its eigenvalues are the $\mu$ with "
        r"$\sin L\theta / \sin\theta = \frac{\nu}{\mu + \nu} \sin (L-1)\theta / \sin\theta$, $2 - 2 "
        r"\cos\theta = -\mu^2 / (\mu + \nu)$; the slowest rate is $\frac{\sqrt\nu}{2L} \log |\frac{1 + "
        r"\sqrt\nu}{1 - \sqrt\nu}|$ to leading order (formal), where predictive coding has $\pi^2 / L^2$. At "
        r"$\nu = 1$ the output absorbs the waves: every eigenvalue is $-1$.",
        "Linear network, unit precisions; the last two statements: square orthogonal maps.",
        "Seely & Gould 2026 (rule, equilibrium); this work (spectrum); the augmented Lagrangian is classical",
        ("numerical",),
        "pctheory.related.primal_dual_matrix",
    ),
)
