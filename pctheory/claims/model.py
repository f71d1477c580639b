"""The energy's derivatives and the data."""

from ._claim import Claim

_ALL = ("symbolic", "numerical", "empirical")
_SETTING = "Linear network, precisions positive definite, input and output clamped."

CLAIMS = (
    Claim(
        "activity-hessian",
        "The Hessian in the activities",
        r"$H_{ll} = \Pi_l + A_{l+1}^\top \Pi_{l+1} A_{l+1}$ and $H_{l,l+1} = -A_{l+1}^\top \Pi_{l+1}$: "
        "symmetric positive definite and block tridiagonal.",
        _SETTING,
        "Innocenti et al. 2025",
        _ALL,
        "pctheory.model.activity_hessian",
        ("inference-landscape",),
    ),
    Claim(
        "data-compression",
        "Second moments are all of the data",
        r"$F^*$, $\mathcal L$ and their derivatives depend on the data only through $S_{xx}, S_{yx}, "
        "S_{yy}$: any data set compresses exactly to at most $n_0 + n_L$ rows, the triangular factor of "
        r"$[x\; y]$.",
        "Linear network, quadratic energy.",
        "this work",
        ("symbolic", "numerical"),
        "pctheory.model.Data.compress",
    ),
    Claim(
        "biases",
        "Biases",
        r"With biases $F^*$ is that of the targets $y - c$, $c = \sum_l P_l b_l$, and "
        r"$\partial F^* / \partial b_l = -\langle \Pi_l \epsilon_l \rangle$; the balance law gains "
        r"$-g_{b_l} b_l^\top$. The minimum over $b_L$ is $F^*$ of the centred data, and at a critical point "
        r"the Hessian has the inertia of the centred problem and $n_L$ positive and $\sum_{l<L} n_l$ zero "
        "eigenvalues more.",
        _SETTING,
        "this work",
        _ALL,
        "pctheory.model.LinearPCN",
    ),
    Claim(
        "graph-equilibrium",
        "The equilibrium of a graph",
        r"On any graph, $z = B z + B_{\mathrm{in}} x + \epsilon$, $y = C z + \epsilon_y$, with $I - B$ "
        r"invertible: $P = C (I - B)^{-1}$, $S = P \Sigma P^\top + \Sigma_y$, "
        r"$\Pi \epsilon^* = P^\top S^{-1} r$, $F^* = \frac12 \langle r^\top S^{-1} r \rangle$ and "
        r"$\partial F^* / \partial B_{vu} = -\langle \Pi_v \epsilon_v^* z_u^{*\top} \rangle$.",
        "Linear graph, cyclic or not, one input and one output, clamped.",
        "this work",
        ("symbolic", "numerical"),
        "pctheory.model.LinearGraph",
    ),
    Claim(
        "graph-balance",
        "Balance at every node",
        r"At every hidden node $\sum_{\mathrm{out}} B^\top G - \sum_{\mathrm{in}} G B^\top = -\langle \Pi_j "
        r"\epsilon_j \epsilon_j^\top \rangle$. Traces over a set of hidden nodes leave only the edges that "
        "enter or leave it: if the edges at $x$ and $y$ learn, no critical point has a hidden error, "
        "whatever is fixed between; fixed edges at $x$ or $y$ break it.",
        "Linear graph, cyclic or not.",
        "this work",
        ("symbolic", "numerical"),
        "pctheory.model.LinearGraph.imbalance",
        ("graph-balance",),
    ),
    Claim(
        "graph-saddles",
        "Saddles on graphs, seen from the ends",
        r"Let the output read the nodes $O$ and $M = [(I - B)^{-1} \Sigma (I - B)^{-\top}]_{OO} \succ 0$. "
        r"$F^*$ is that of the network of two layers with the maps $[(I - B)^{-1} B_{\mathrm{in}}]_O$ and "
        r"$C_O$ and the hidden covariance $M$; a fixed edge from the input to the output moves the targets. "
        "If the other edges at the input and the output learn, whatever is fixed or learns between, a "
        "critical point is a strict saddle if and only if it is one of that network: strict-saddles and "
        "second-order-classification hold. With a fixed edge from the input to a hidden node, with one from "
        "a hidden node to the output, even beside others that learn, or without noise in a node that is "
        "read, they can fail on realisable data.",
        "Linear graph, cyclic or not, without biases (with biases: centred data).",
        "this work",
        ("numerical",),
        "pctheory.model.LinearGraph.contracted",
    ),
    Claim(
        "cyclic-logdet",
        "What PC leaves out on a cycle",
        r"$\det H = \det S \, \det(I - B)^2 \prod_v \det \Pi_v$. The joint density of activities and outputs "
        r"is $-\log p = F - \log|\det(I - B)|$ up to constants, and its integral over $z$ is $F^* + \frac12 "
        r"\log\det S$: PC leaves out both log determinants.",
        "Linear graph, cyclic or not.",
        "this work",
        ("symbolic", "numerical"),
        "pctheory.model.LinearGraph",
    ),
)
