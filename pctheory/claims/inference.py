"""Section I: the dynamics of inference."""

from ._claim import Claim

_QI = "Qi et al. 2025"
_DESCENT = (
    r"Linear network, input and output clamped; gradient descent with step $g$ on the energy of a sample."
)

CLAIMS = (
    Claim(
        "inference-rate",
        "The rate of inference",
        r"$z_T - z^* = (I - gH)^T (z_0 - z^*)$. Stable iff $g < 2 / \lambda_{\max}(H)$; the best step is "
        r"$2 / (\lambda_{\min} + \lambda_{\max})$, at which the slowest mode shrinks by $(\kappa - 1)/(\kappa + 1)$ per step. "
        r"The flow is $e^{-tH}$.",
        _DESCENT,
        "classical",
        ("symbolic", "numerical", "empirical"),
        "pctheory.inference.dynamics",
        ("inference-landscape", "coordinates-conditioning", "inference-budget"),
    ),
    Claim(
        "finite-time-energy",
        "The energy after T steps",
        r"$F(z_T) = \frac{1}{2B} \sum_i r_i^\top M_T r_i$ with $M_T = \Pi_L - U^\top H^{-1} [I - (I - gH)^{2T}] U$, "
        r"$U = A_L^\top \Pi_L$ in the block of layer $L-1$. $M_0 = \Pi_L$ (backprop), $M_\infty = S^{-1}$ (equilibrium). Its "
        r"gradient differs from that of $F^*$ by $O(T \rho^{2T})$, the local rule at $z_T$ by $O(\rho^T)$, "
        r"$\rho = \max |1 - g\,\mathrm{eig}\,H|$.",
        _DESCENT + " Inference starts from the feedforward pass.",
        "this work",
        ("symbolic", "numerical", "empirical"),
        "pctheory.inference.dynamics",
        ("tr-inference-time", "finite-time-inference"),
    ),
    Claim(
        "chain-spectrum",
        "Orthogonal networks are path graphs",
        r"$\mathrm{eig}(H) = 2 - 2\cos(k\pi/L)$, $k = 1..L-1$, each $N$ times; $\kappa = \cot^2 \frac{\pi}{2L} \sim 4L^2/\pi^2$, "
        r"against $\lambda_{\max}(S) = L$ in the coordinates of the errors. With fewer outputs than units the free chain's "
        r"$2 - 2\cos\frac{(2k-1)\pi}{2L-1}$ join them.",
        "Orthogonal square maps, unit precisions.",
        "this work",
        ("symbolic", "numerical"),
        "pctheory.limits.initialisation",
        ("conditioning-init",),
    ),
    Claim(
        "first-arrival",
        "Errors arrive one layer per step",
        r"$\epsilon_l(t) = 0$ for $t < L - l$, and $\epsilon_l(L-l) = g^{L-l} A_{l+1}^\top \Pi_{l+1} \cdots A_L^\top \Pi_L r$, "
        r"which is $g^{L-l} P_l^\top r$ for unit precisions. The exponential imbalance across layers is a transient: at "
        r"equilibrium of orthogonal maps every $|\epsilon_l^*| = |r|/L$.",
        _DESCENT + " Inference starts from the feedforward pass.",
        _QI + " (observation); Goemaere et al. 2025 (decay and rounding); this work (exact form)",
        ("symbolic", "numerical", "empirical"),
        "pctheory.inference.arrival",
        ("error-arrival",),
    ),
    Claim(
        "precision-limits",
        "Precisions that give backprop",
        r"As hidden over output precision tends to infinity the equilibrium gradient tends to backprop's, with an error "
        r"$O(1/\text{ratio})$. With spiking precisions (1 on layer $L - t$ at step $t$, $\alpha \to 0$ elsewhere) "
        r"$z_l - \hat z_l \to g^{L-l} (1-g) P_l^\top r$ for hidden $l$: layer-rescaled backprop.",
        "Linear network; unit precisions for the second statement.",
        "Whittington and Bogacz 2017; " + _QI,
        ("symbolic", "numerical", "empirical"),
        "pctheory.inference.arrival",
        ("error-arrival",),
    ),
    Claim(
        "stability-delay",
        "Delayed errors",
        r"When errors arrive $d$ steps late a mode obeys $\mu^{d+1} - \mu^d + g\lambda = 0$ and inference is stable iff "
        r"$g \lambda_{\max} < 2 \sin\frac{\pi}{2(2d+1)}$: 2 without delay, where the fastest mode flips, 1 with $d = 1$, where "
        r"it turns by $60^\circ$ (Neimark-Sacker).",
        r"Linear network; every error is $d$ steps old.",
        "Levin and May 1976 (the bound, for a scalar map); Frieder and Lukasiewicz 2022 (the bifurcation in a small network); "
        "this work (networks, any delay)",
        ("symbolic", "numerical"),
        "pctheory.inference.arrival",
    ),
    Claim(
        "error-reach",
        "How far the error reaches",
        r"After $T$ steps with $g = \eta / B$ per sample the error has moved about $gT$ layers into a residual network with maps "
        r"near the identity: its size at distance $k$ is at most of the order $(gT)^k / k!$, and exactly zero for $k > T$. "
        r"Errors that are small but not zero are lost to arithmetic: to the rounding of $z - \hat z$ and to Adam's $\epsilon$. "
        r"In training at the published settings of muPC (MNIST, 31 layers, float32, Adam with $\epsilon = 10^{-8}$) the weights "
        r"of a few layers at the output change by more than a tenth; with inference to equilibrium those of all layers do.",
        r"Feedforward start, small $gT$; maps $I + O(L^{-1/2})$. The last two statements are measured, for this arithmetic and "
        r"at one rate for all rules.",
        "this work (measured)",
        ("numerical", "empirical"),
        "pctheory.inference.arrival",
        ("error-reach", "mupc-128"),
    ),
)
