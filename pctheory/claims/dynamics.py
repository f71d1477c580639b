"""How the weights move on the landscape."""

from ._claim import Claim

_ALL = ("symbolic", "numerical", "empirical")
_SAD = "Innocenti et al. 2024"
_LINEAR = "Linear network, activities at equilibrium."
_ENDS = r"Linear network, $L \ge 2$, first and last layer free of skips, no zero multiplier."

CLAIMS = (
    Claim(
        "balance-law",
        "Imbalance drifts towards the output",
        r"For every $\theta$, with $G_l = \partial F^* / \partial A_l$: $A_{l+1}^\top G_{l+1} - G_l A_l^\top "
        r"= -\Pi_l \langle \epsilon_l^* \epsilon_l^{*\top} \rangle$. So under gradient flow on $F^*$ "
        r"$\frac{d}{dt} \big[ A_{l+1}^\top A_{l+1} / a_{l+1}^2 - A_l A_l^\top / a_l^2 \big] = \Pi_l \langle "
        r"\epsilon_l^* \epsilon_l^{*\top} \rangle + \langle \epsilon_l^* \epsilon_l^{*\top} \rangle \Pi_l$, "
        r"which is positive semidefinite for $\Pi_l = I$, where gradient flow on $\mathcal L$ conserves it. "
        r"For ReLU and leaky ReLU networks $z_l = W_l \phi(z_{l-1}) + \epsilon_l$ the "
        "diagonal holds at any stationary $z$.",
        _LINEAR + " The last part: a positively homogeneous activation.",
        "this work",
        _ALL,
        "pctheory.dynamics.imbalance_rate",
        ("balance-law",),
    ),
    Claim(
        "cascade",
        "The energy escapes early, the loss late",
        "From small weights the layers of a chain grow from the output down: the last one at rate "
        r"$S_{yy}$, which halves $F^*$ at time $\big( \log(1/\varepsilon) + \frac54 \big) / S_{yy}$ at any "
        "depth to leading order, while $S$ inflates and the product has hardly grown; the loss falls much "
        "later.",
        r"Chain of depth $L > 2$, second moments 1 in the measured times, initial weights $\varepsilon$.",
        "this work (measured)",
        ("numerical", "empirical"),
        "pctheory.dynamics.half_time",
        ("cascade",),
    ),
    Claim(
        "init-scale-reversal",
        "Near a fit the two flows differ by a unit of time",
        r"At a fit of one output $\nabla^2 F^* = \nabla^2 \mathcal L / s$: gradient flow on $F^*$ is "
        "slower by the factor $s$, but its largest stable step is larger by the same factor and the "
        "condition numbers are equal. On a common scale of time predictive coding leaves a small "
        "initialisation sooner and is the slower one from weights of order one; each at its largest stable "
        "step, the two converge equally fast.",
        "Linear network, one output. The reversal on a common scale of time is measured.",
        "this work (measured)",
        ("numerical", "empirical"),
        "experiments.cascade",
        ("cascade",),
    ),
    Claim(
        "matched-scale",
        "Published learning rates were not on one scale",
        "With the loss averaged over batch and outputs and the energy summed over the batch, the step of "
        "predictive coding is larger by $B n_L / 2$ at equal learning rates.",
        "The scales of the public code of " + _SAD + ".",
        "this work",
        ("numerical", "empirical"),
        "experiments.matched_scale",
        ("matched-scale",),
    ),
    Claim(
        "escape-time",
        "The time to leave small weights",
        r"Chain of $L \ge 3$ weights d, $y = \sigma x$, $\langle x^2 \rangle = 1$, hidden precisions $\pi$, "
        r"$\Lambda = \log(1/d)$, T the time until the product is $\sigma/2$, $c_L = 2^{L-3} \int_0^1 "
        r"\prod_{j=0}^{L-4} (u + j)\, du$. As $d \to 0$, uniformly in $1 \le \pi \le \Lambda^M$, gradient "
        r"flow on $F^*$ has $T \sim [\pi \Lambda + c_L \Lambda^{L-2} / \pi] / \sigma^2$ ($L \ge 4$), $T \sim "
        r"\pi \Lambda / \sigma^2 + (3 \Lambda)^{4/3} / (4 \pi \sigma^{2/3})$ ($L = 3$); gradient flow on "
        r"$\mathcal L$ has $T \sim d^{-(L-2)} / ((L-2) \sigma)$. The best precision is $\pi^* \sim "
        r"\sqrt{c_L} \Lambda^{(L-3)/2}$, with $T \sim 2 \sqrt{c_L} \Lambda^{(L-1)/2} / \sigma^2$ ($L \ge "
        r"4$). At unit precision $w_l^2 \sim 2 (l - 3) \Lambda$ for $l > 3$ at T. From aligned dense weights "
        r"$F^*$ is the sum of the energies of such chains.",
        "Equal weights, activities at equilibrium. For random dense weights the same times are a conjecture.",
        "this work",
        _ALL,
        "pctheory.dynamics.escape_time",
        ("escape-time", "when-pc-wins"),
    ),
    Claim(
        "escape-steps",
        "Steps of descent from small weights",
        r"Chain as in escape-time, $\sigma = \pi = 1$. Gradient descent on $F^*$ at a rate $\eta \le 1/(2L)$ "
        r"keeps $0 < P_0 < 1$, reaches $P_0 = 1/2$ in $O(\Lambda^{L-2}) / \eta$ steps ($L \ge 4$; "
        r"$\Lambda^{4/3}$ for $L = 3$) and a residual $\epsilon$ in $O(\Lambda^{L-2} \log(1/\epsilon)) / "
        r"\eta$ more. Gradient descent on $\mathcal L$ that converges to a fit needs, for all but countably "
        r"many rates, at least $\frac{L}{2(L-2)} [d^{-(L-2)} - 2^{(L-2)/L}]$ steps.",
        "Equal weights, constant rate, activities at equilibrium.",
        "this work",
        ("numerical",),
        "pctheory.dynamics.fewest_loss_steps",
        ("escape-time",),
    ),
    Claim(
        "escape-trap",
        "Noise stronger than the signal traps it at a bottleneck",
        r"Widths $1, \dots, 1, 2$, $y = (\sigma x, \nu \xi)$ with uncorrelated unit x and $\xi$, $A_L = (u, "
        r"b)^\top$, $\gamma = 1 + w_{L-1}^2 + \dots + (w_{L-1} \cdots w_2)^2$. The set $w_1 = u = 0$ is "
        r"invariant under gradient flow on $F^*$, and the Hessian across it is positive definite if and only "
        r"if $\gamma b^2 (\nu^2 \gamma b^2 / (1 + \gamma b^2) - \sigma^2) > \sigma^2$ and $w_{L-1} \cdots "
        r"w_2 \ne 0$: for $\nu^2 > \sigma^2$ it is as soon as $\gamma b^2$ is large enough, and $\gamma b^2$ "
        r"grows.",
        "Unit precisions, activities at equilibrium.",
        "this work",
        ("numerical",),
        "pctheory.dynamics.gradient_flow",
    ),
    Claim(
        "precision-homotopy",
        "The fastest schedule of precisions keeps the rescaling at 2",
        r"$\partial F^* / \partial \log \pi$ is the energy of the hidden layers, so that raising $\pi$ "
        r"leaves the loss alone. Chain as in escape-time, $L \ge 4$, the precision any function of time and "
        r"state with values in $(0, \infty]$: $T \ge (1 - o(1))\, 4 (L-3) \Lambda / \sigma^2$. Keeping $S = "
        r"s$, that is $\pi = \frac{1}{s-1} \sum_{1 \le l < L} P_l^2$, has $T \sim \frac{s^2}{s-1} (L-3) "
        r"\Lambda / \sigma^2$, so that $s = 2$ attains the bound. For $L = 3$ (formal) the best $s$ falls "
        r"from 2 to 1, predictive coding and then backprop: $T \sim \frac{18}{5} (\frac{5 \Lambda}{12 "
        r"\sigma^2})^{2/3}$, against $(3 \sqrt2 \Lambda / \sigma^2)^{2/3}$ at $s = 2$.",
        "Chain, equal small weights, activities at equilibrium; the first statement: linear network, one "
        "hidden precision.",
        "this work",
        ("numerical", "empirical"),
        "pctheory.dynamics.homotopy_flow",
        ("precision-homotopy", "homotopy-networks", "when-pc-wins"),
    ),
    Claim(
        "fit-sharpness",
        "The sharpness at a fit is a mean over the layers",
        r"Where $r = 0$ on every sample the non-zero spectrum of $\nabla^2 F^*$ is that of $\sum_l C_l "
        r"\otimes K_l$, $C_l = S^{-1/2} P_l P_l^\top S^{-1/2}$, $K_l = a_l^2 \hat X_{l-1} \hat X_{l-1}^\top "
        r"/ B$, and $\sum_l C_l = I$. Hence $\max_v \min_l v^\top K_l v \le \lambda_{\max}(\nabla^2 F^*) \le "
        r"\max_l a_l^2 \lambda_{\max} \langle \hat z_{l-1} \hat z_{l-1}^\top \rangle$, whatever the backward "
        r"gains, with equality where the $K_l$ are equal. Gradient descent stands rates up to $2 / "
        r"\lambda_{\max}$ there.",
        "Linear network, unit precisions; with others both bounds have the factor $\\lambda_{\\max}(\\sum_l "
        "C_l)$.",
        "this work",
        ("symbolic", "numerical"),
        "pctheory.dynamics.fit_sharpness",
        ("fit-sharpness", "edge-of-stability"),
    ),
    Claim(
        "inflation",
        "Noise inflates the weights, to leading order (formal)",
        r"Chain of $L \ge 2$ weights under gradient flow on $F^*$, the map fitted, residual noise $\nu = "
        r"\langle r^2 \rangle > 0$: as $t \to \infty$, $w_l \sim (2 \nu L t)^{1/(2L)}$ for $l \ge 2$ and "
        r"$F^* \sim \frac{\nu}{2} (2 \nu L t)^{-(L-1)/L}$.",
        "Unit precisions, activities at equilibrium.",
        "this work",
        ("symbolic", "numerical"),
        "pctheory.dynamics.inflation",
    ),
    Claim(
        "almost-every-trajectory",
        "Almost every trajectory reaches a global minimum or diverges",
        r"Gradient flow on $F^*$ exists for all times, and each trajectory converges to a critical point or "
        r"diverges, $|\theta(t)| \to \infty$. On data on which every critical point but the global minima "
        r"is a strict saddle the trajectory from almost every $\theta(0)$ converges to a global minimum or "
        r"diverges: on realisable data, $y = Tx$, and on data that satisfy the condition of "
        r"second-order-classification. If $F^*$ has no minimiser there, almost every trajectory diverges.",
        _ENDS,
        "this work, by the inequality of Lojasiewicz 1963 and the argument of Lee et al. 2016",
        ("numerical",),
        "pctheory.dynamics.gradient_flow",
    ),
    Claim(
        "gradient-noise",
        "At critical points gradient noise lives in the last layer",
        r"The gradients of one sample's energy at equilibrium are $g_{l,i} = -a_l \Pi_l \epsilon_{l,i}^* "
        r"z_{l-1,i}^{*\top}$, so that $\mathrm{tr}\, C_l = a_l^2 \langle |\Pi_l \epsilon_l^*|^2 "
        r"|z_{l-1}^*|^2 \rangle - |G_l|^2$, $G_l$ their mean. At every critical point of $F^*$ they vanish "
        r"in every hidden layer $l < L$ on every sample, and $\mathrm{tr}\, C = a_L^2 \langle |\Pi_L r|^2 "
        r"|h|^2 \rangle$ with $h = Q_{L-1} x$.",
        _ENDS + " All layers learned, no weight decay. The formula for the traces needs neither.",
        "this work",
        _ALL,
        "pctheory.dynamics.gradient_noise",
        ("gradient-noise",),
    ),
    Claim(
        "lazy-prediction",
        "A lazy network is backprop's, preconditioned on the outputs",
        r"Hidden widths N, $a_1 = n_0^{-1/2}$, $a_l = N^{-1/2}$, standard normal initial weights. Along "
        r"gradient flow on $F^*$, up to a fixed time and up to $O(N^{-1/2})$ in probability, $\dot f = "
        r"-\frac1B \Theta S^{-1} (f - y)$ with $\Theta = \sum_l a_l^2 (P_l P_l^\top) \otimes (\hat X_{l-1} "
        r"\hat X_{l-1}^\top)$ and S as they are at the start; gradient flow on $\mathcal L$ has I in the "
        r"place of $S^{-1}$. As measured the error is of order $1/N$.",
        "Linear network of fixed depth without skips, unit precisions. For nonlinear networks, with the "
        "kernel of autograd, it is a prediction that training confirms.",
        "this work; the kernel of backprop: Jacot et al. 2018",
        ("numerical", "empirical"),
        "pctheory.dynamics.lazy_map",
        ("lazy-prediction",),
    ),
)
