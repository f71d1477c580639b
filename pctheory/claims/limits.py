"""Initialisation, conditioning, and the limits of width and depth."""

from ._claim import Claim

_MU = "Innocenti et al. 2025"
_LIM = "Innocenti et al. 2026"
_INIT = "Linear network at initialisation, unit precisions."

CLAIMS = (
    Claim(
        "forward-stability",
        "The forward pass at initialisation",
        r"$\mathbb E |z_l|^2 / n_l = (a_l^2 \sigma_l^2 n_{l-1} + \tau_l)\, \mathbb E |z_{l-1}|^2 / "
        r"n_{l-1}$. The root mean square of the last hidden layer is $(1 + 1/L)^{(L-2)/2} \to \sqrt e$ for "
        "`mupc` with skips, $2^{(L-2)/2}$ for `sp` with skips, and $3^{-(L-1)/2}$ for `sp` with torch's "
        "variance.",
        "Linear network, independent centred weights; an input of root mean square 1.",
        _MU,
        ("numerical",),
        "pctheory.limits.forward_rms",
        ("forward-pass",),
    ),
    Claim(
        "limit-to-backprop",
        "When predictive coding becomes backprop",
        r"With one output $\mathbb E S - 1 = \frac{L}{\gamma^2 N} [(1 + 1/L)^{L-1} - 1] \to (e-1) L / "
        r"(\gamma^2 N)$ for `mupc` with skips and $(L-1)/(\gamma^2 N)$ without; $N$ times that for `ntp`; "
        "$L - 1$ for `sp` with variance $1/N$, $2^{L-1} - 1$ with skips, $(4/3)^{L-1} - 1$ with torch's "
        r"variance and skips. So $F^* \to \mathcal L$ when $N \gg L$ under `mupc`, and for any number of "
        r"outputs, of which $\mathbb E S - I$ is the same multiple of $I$. The gradients agree as $N \to "
        r"\infty$ at fixed depth; without skips this takes $N \gg L^{3/2}$ (`s-stable-limit`).",
        _INIT
        + " The precisions stay fixed as $N$ grows: with an output precision that grows like $N$ the limit "
        "is not backprop.",
        _MU
        + "; "
        + _LIM
        + "; Ishikawa et al. 2025 (between first order and Gauss-Newton); this work (exact mean)",
        ("symbolic", "numerical"),
        "pctheory.limits.expected_rescaling",
        ("energy-loss-ratio", "pc-bp-cosine", "limits-nonlinear"),
    ),
    Claim(
        "mean-field-training",
        "Infinitely wide networks, trained: the mean field is causal",
        r"As $N \to \infty$ at a fixed step of gradient descent with the rate $\eta_0\gamma^2 N$, "
        "activities $h_l(t)$ and backward vectors $g_l(t)$ of `mupc`, with or without skips, become "
        "Gaussian processes, one per layer: finitely many entries converge in distribution, their "
        "averages over a layer in probability. Their responses to noise at the present and in the future "
        "vanish, so their kernels, the map $f(t)$ and the loss follow exactly from one march through "
        r"time. Predictive coding and backprop share this limit, and $N(S - \Sigma_L) \to \gamma^{-2} "
        r"\sum_l \mathbb E[g_l(t) g_l(t)^\top]$.",
        "Linear network, equal hidden widths, weights N(0, 1), full batch, H, T and the data fixed as N "
        "grows.",
        "Bordelon & Pehlevan 2022; Bordelon et al. 2023 (skips); Chizat et al. 2022, Bordelon & Pehlevan "
        "2025 (deep linear networks); this work (exact march at finite time)",
        ("numerical", "empirical"),
        "pctheory.limits.mean_field_training",
        ("limits-toy", "richness"),
    ),
    Claim(
        "s-stable-limit",
        "Precisions that follow the width have a limit of their own",
        r"$F^*(\pi, \Pi_L I) = \Pi_L F^*(\pi / \Pi_L, I)$ for any weights, so that the precisions of a "
        r"`mupc` network are one parameter, $\alpha = (L/N)\, \Pi_L / \pi$. As $N \to \infty$ at fixed "
        r"$\alpha$ and a fixed step of descent on $F^*$ the mean field is causal: with $K_l = A_l K_{l-1} + "
        r"(\alpha / \gamma L) g_l$ and $S(t) = \Sigma_L + (\alpha / \gamma^2 L) \sum_l G_l(t, t)$ the "
        r"gradient is $-(\gamma N)^{-1} g_l \beta^\top (h_{l-1}, K_{l-1})^\top$, backprop's with one "
        r"injected channel for each output. It is backprop's limit iff $\alpha = 0$. At initialisation, one "
        r"output, $b = |S_{xy}|^2 / n_0$: $\cos = [1 + \frac{S_{yy}^2 \alpha^2}{S^2 \gamma^2 b} \frac{L^2 - "
        r"1}{12 L}]^{-1/2}$ without skips, with $e/3$ for the last fraction with skips, $L \to \infty$. So "
        r"at unit precisions without skips gradients agree only for $N \gg L^{3/2}$.",
        "Linear `mupc` network, equal hidden widths, weights N(0, 1), full batch; H, T and the data fixed as "
        "N grows. In depth: only with skips, and formally.",
        "this work; for the loss: Bordelon & Pehlevan 2022, Bordelon et al. 2023; the question of other "
        "limits: " + _LIM,
        ("numerical", "empirical"),
        "pctheory.limits.stable_precisions",
        ("s-stable-limit", "what-alpha-does"),
    ),
    Claim(
        "rich-drift",
        "Rich networks drift away from backprop",
        r"$s - 1$ is of order $1/N$ along training but grows, the more the larger $\gamma$: at "
        r"initialisation it is proportional to $\gamma^{-2}$, so the network that starts nearest to "
        "backprop is the one that drifts farthest, by the factor that the mean field gives "
        "(`mean-field-training`).",
        "Linear residual `mupc` network, one output, gradient descent at the scaled learning rates; toy "
        "data.",
        "this work (measured, after the setting of " + _LIM + ")",
        ("empirical",),
        "experiments.richness",
        ("richness",),
    ),
    Claim(
        "conditioning",
        "Stable networks are ill-conditioned",
        r"Under perfect isometry with a narrow output $\kappa(H) = \cos^2\frac{\pi}{2L} / "
        r"\sin^2\frac{\pi}{2(2L-1)} \sim 4(2L-1)^2/\pi^2$. At initialisation $\kappa$ of `mupc` with skips "
        "grows like the square of the depth, nearly independently of the width; of `sp` with skips "
        "exponentially; of `sp` with torch's variance and no skips it stays bounded, because the signal "
        r"dies. In the coordinates of the errors $\kappa = \lambda_{\max}(S)$. Learning raises $\kappa(H)$ "
        "(measured).",
        _INIT,
        _MU + " (measurements); this work (exact statements)",
        ("numerical", "empirical"),
        "pctheory.limits.isometric_condition_number",
        ("conditioning-init", "conditioning-training"),
    ),
    Claim(
        "stable-is-ill-conditioned",
        "A stable forward pass makes every linear network ill-conditioned",
        r"If for some input $m \le |\hat z_l|^2$ for $0 < l < L$ and $|\hat z_l|^2 \le M$ for $0 < l \le L$, "
        r"then $\lambda_{\min}(H) \le \frac{M}{m} 4 \sin^2 \frac{\pi}{2L}$ and $\kappa(H) \ge \frac{m}{M} "
        r"\frac{L^2}{\pi^2}$. Sharper, $\kappa(H)$ is at least that of the chain $\sum_l (s_l - s_{l-1})^2 "
        r"|\hat z_l|^2$ relative to $\sum_l s_l^2 |\hat z_l|^2$, with equality for orthogonal maps. Signals "
        r"that die or explode escape: for maps $I/2$ or $2I$, $\kappa \le 9$ at every depth.",
        "Linear network, unit precisions (with others $|\\hat z_l|_{\\Pi_l}$ in the numerator); the "
        "Gauss-Newton Hessian of positively homogeneous units without biases.",
        "this work; measurements: " + _MU,
        ("numerical", "empirical"),
        "pctheory.limits.condition_bound",
    ),
    Claim(
        "chain-spectrum",
        "Orthogonal networks are path graphs",
        r"$\mathrm{eig}(H) = 2 - 2\cos(k\pi/L)$, $k = 1..L-1$, each $N$ times; $\kappa = \cot^2 "
        r"\frac{\pi}{2L} \sim 4L^2/\pi^2$, against $\lambda_{\max}(S) = L$ in the coordinates of the "
        r"errors. With fewer outputs than units the free chain's $2 - 2\cos\frac{(2k-1)\pi}{2L-1}$ join "
        "them.",
        "Orthogonal square maps, unit precisions.",
        "this work",
        ("symbolic", "numerical"),
        "pctheory.limits.isometric_eigenvalues",
        ("conditioning-init",),
    ),
    Claim(
        "coordinates-resolve-tradeoff",
        "At initialisation the trade-off belongs to the coordinates",
        r"For `mupc` with skips and one output $\mathbb E\,\kappa = \mathbb E\, S = 1 + "
        r"\frac{L}{N}[(1+1/L)^{L-1} - 1]$ in the coordinates of the errors, at every depth, while "
        r"$\kappa(H) = \Theta(L^2)$. Conjugate gradients there end after at most $n_L$ steps. In training "
        r"$\lambda_{\max}(S) \ge \mathcal L / F^*$ may grow by orders of magnitude; the bound of $n_L$ "
        "steps stays. A step in the errors is a sweep through $2L$ layers one after the other, a step in "
        "the activities is local and of latency $O(1)$.",
        _INIT + r" The number of steps and the bound by $\mathcal L / F^*$: any weights.",
        "this work",
        ("numerical",),
        "pctheory.limits.expected_rescaling",
        ("coordinates-conditioning",),
    ),
    Claim(
        "hessian-spectra",
        "Spectra of the inference Hessian",
        "$H = D + O$. Blocks of D: Marchenko and Pastur's law shifted by 1, $[1, 1 + 4s^2]$ for square "
        "blocks with entries of variance $s^2/N$. O: symmetric, with the edge of $1/m_l = z - s^2(m_{l-1} "
        r"+ m_{l+1})$, which is $2s$ for two layers and tends to $2\sqrt2 s$. $H = J^\top J$ with J "
        "bidiagonal, so its limiting density at any depth solves a matrix Dyson equation.",
        _INIT + " Independent entries, wide layers.",
        _MU + " (D, O); this work (H at any depth)",
        ("numerical",),
        "pctheory.limits.hessian_density",
        ("hessian-spectra",),
    ),
)
