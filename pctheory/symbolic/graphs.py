r"""Graphs of single units with every edge, cycles and self-loops too, and chains with biases.

$z = B z + B_{in} x + b + \epsilon$ and $y = C z + D x + b_y + \epsilon_y$, one unit a node and every entry a
symbol. What the output gets of a node is $P = C (I - B)^{-1}$. Its entries are symbols, and $C = P (I - B)$
is written in them, so that there are few fractions.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import sympy as sp

from .cases import Family, cases
from .chain import Chain
from .derivation import Derivation, Step
from .elimination import take_determinant
from .exact import gradient
from .rules import algebra, differentiate, second_derivatives, solve, substitute

BIASED = "the energy $F$ of one sample, with biases"
MEANS = tuple(sp.symbols("m_x m_y", real=True))
MOMENTS = tuple(sp.symbols("S_xx S_xy S_yy", real=True))


@dataclass(frozen=True)
class Graph:
    r"""n hidden nodes of one unit each, with all edges between them, from x, and to y.

    Parameters
    ----------
    size : int
        n.

    Examples
    --------
    >>> graph = Graph(1)
    >>> graph.rescaling
    P_1**2/Pi_1 + 1/Pi_y
    """

    size: int

    @property
    def described(self) -> str:
        """The graph in words."""
        return f"graph with {self.size} hidden node{'' if self.size == 1 else 's'} and all edges"

    @cached_property
    def x(self) -> sp.Symbol:
        return sp.Symbol("x", real=True)

    @cached_property
    def y(self) -> sp.Symbol:
        return sp.Symbol("y", real=True)

    @cached_property
    def activities(self) -> tuple[sp.Symbol, ...]:
        return tuple(sp.symbols(f"z_1:{self.size + 1}", real=True))

    @cached_property
    def inner(self) -> sp.Matrix:
        """B."""
        n = self.size
        return sp.Matrix(n, n, lambda i, j: sp.Symbol(f"B_{i + 1}{j + 1}", real=True))

    @cached_property
    def inputs(self) -> tuple[sp.Symbol, ...]:
        """The entries of $B_{in}$."""
        return tuple(sp.symbols(f"U_1:{self.size + 1}", real=True))

    @cached_property
    def outputs(self) -> tuple[sp.Symbol, ...]:
        return tuple(sp.symbols(f"C_1:{self.size + 1}", real=True))

    @cached_property
    def direct(self) -> sp.Symbol:
        return sp.Symbol("D", real=True)

    @cached_property
    def biases(self) -> tuple[sp.Symbol, ...]:
        return tuple(sp.symbols(f"b_1:{self.size + 1}", real=True))

    @cached_property
    def last_bias(self) -> sp.Symbol:
        return sp.Symbol("b_y", real=True)

    @cached_property
    def precisions(self) -> tuple[sp.Symbol, ...]:
        """Of the hidden nodes, then of the output."""
        return (*sp.symbols(f"Pi_1:{self.size + 1}", positive=True), sp.Symbol("Pi_y", positive=True))

    @cached_property
    def errors(self) -> sp.Matrix:
        """Of the hidden nodes, then of the output."""
        z = sp.Matrix(self.activities)
        hidden = z - self.inner * z - sp.Matrix(self.inputs) * self.x - sp.Matrix(self.biases)
        read = (sp.Matrix([self.outputs]) * z)[0]
        return sp.Matrix([*hidden, self.y - read - self.direct * self.x - self.last_bias])

    @cached_property
    def energy(self) -> sp.Expr:
        """$F$ of one sample, by its definition."""
        return sp.Add(*(pi * error**2 / 2 for pi, error in zip(self.precisions, self.errors, strict=True)))

    @cached_property
    def loop(self) -> sp.Matrix:
        """$I - B$."""
        return sp.eye(self.size) - self.inner

    @cached_property
    def determinant(self) -> sp.Expr:
        return self.loop.det(method="berkowitz")

    @cached_property
    def path(self) -> tuple[sp.Symbol, ...]:
        """The entries of P."""
        return tuple(sp.symbols(f"P_1:{self.size + 1}", real=True))

    @cached_property
    def rescaling(self) -> sp.Expr:
        r"""$S = \sum_j P_j^2 / \Pi_j + 1 / \Pi_y$."""
        terms = [p**2 / pi for p, pi in zip(self.path, self.precisions, strict=False)]
        return sp.Add(*terms, 1 / self.precisions[-1])

    @cached_property
    def residual(self) -> sp.Expr:
        r"""$r = y - P (B_{in} x + b) - D x - b_y$."""
        fed = [u * self.x + b for u, b in zip(self.inputs, self.biases, strict=True)]
        carried = sp.Add(*(p * f for p, f in zip(self.path, fed, strict=True)))
        return self.y - carried - self.direct * self.x - self.last_bias

    @cached_property
    def letters(self) -> dict[sp.Symbol, sp.Expr]:
        """C, in P, then r and S, with their definitions."""
        read = sp.Matrix([self.path]) * self.loop
        scale = {sp.Symbol("r", real=True): self.residual, sp.Symbol("S", positive=True): self.rescaling}
        return dict(zip(self.outputs, read, strict=True)) | scale

    @cached_property
    def settled(self) -> sp.Matrix:
        r"""$z^* = (I - B)^{-1} (B_{in} x + b + \Sigma P^T r / S)$ in the letters."""
        *_, r, S = self.letters
        fed = [
            u * self.x + b + p * r / (pi * S)
            for u, b, p, pi in zip(self.inputs, self.biases, self.path, self.precisions, strict=False)
        ]
        return self.loop.adjugate() * sp.Matrix(fed) / self.determinant


def settled_steps(graph: Graph) -> list[Step]:
    """Go from the energy of a graph to its minimum.

    Parameters
    ----------
    graph : Graph
        Whose energy is minimised over the hidden activities.

    Returns
    -------
    list of Step
        The last has the label `equilibrium`.
    """
    z, slope = graph.activities, gradient(graph.energy, graph.activities)
    return [
        Step("The gradient in the hidden activities", graph.energy, slope, differentiate(*z), given=BIASED),
        Step(
            r"It vanishes at $z^* = (I - B)^{-1} (B_{in} x + b + \Sigma P^T r / S)$",
            slope,
            graph.settled,
            solve(*z),
            graph.letters,
            label="equilibrium",
        ),
    ]


def graph_equilibrium(hidden_nodes: int) -> Derivation:
    r"""On any graph $\Pi \epsilon^* = P^T r / S$ and $F^* = r^2 / 2S$ with $P = C (I - B)^{-1}$.

    Claim `graph-equilibrium`.

    Parameters
    ----------
    hidden_nodes : int
        Number of hidden nodes, 1 or more, with all edges between them.

    Returns
    -------
    Derivation
    """
    graph = Graph(hidden_nodes)
    *_, r, S = graph.letters
    there = substitute(dict(zip(graph.activities, graph.settled, strict=True)))
    weighted = [pi * error for pi, error in zip(graph.precisions, graph.errors, strict=True)]
    steps = (
        *settled_steps(graph),
        Step(
            "Every weighted error is what the way to the output carries back of $r / S$",
            sp.Matrix(weighted),
            sp.Matrix([*(p * r / S for p in graph.path), r / S]),
            there,
            graph.letters,
            given=r"the weighted errors $\Pi_j \epsilon_j$ by their definition",
            using={"equilibrium": graph.activities},
        ),
        Step(
            "The energy there",
            graph.energy,
            r**2 / (2 * S),
            there,
            graph.letters,
            given=BIASED,
            using={"equilibrium": graph.activities},
        ),
    )
    return Derivation("graph-equilibrium", f"Equilibrium, {graph.described}", steps)


def graph_balance(hidden_nodes: int) -> Derivation:
    r"""At every node $\sum_{out} B G - \sum_{in} G B - g b = -\Pi_j \epsilon_j^{*2}$, cycles or not.

    Claim `graph-balance`.

    Parameters
    ----------
    hidden_nodes : int
        Number of hidden nodes, 1 or more, with all edges between them.

    Returns
    -------
    Derivation
        Its result is the sum over the nodes, in which no edge between hidden nodes is left.
    """
    graph = Graph(hidden_nodes)
    n, B, z = graph.size, graph.inner, graph.activities
    edges = [*B, *graph.inputs, *graph.outputs, *graph.biases]
    in_edges, in_activities = gradient(graph.energy, edges), gradient(graph.energy, z)
    G, D = sp.symbols(f"G_1:{len(edges) + 1}", real=True), sp.symbols(f"D_1:{n + 1}", real=True)
    inner, into, out, shift = G[: n * n], G[n * n : n * n + n], G[n * n + n : n * n + 2 * n], G[-n:]
    ends = [
        graph.outputs[j] * out[j] - into[j] * graph.inputs[j] - shift[j] * graph.biases[j] - z[j] * D[j]
        for j in range(n)
    ]
    between = [
        sp.Add(*(B[k, j] * inner[k * n + j] - inner[j * n + k] * B[j, k] for k in range(n))) for j in range(n)
    ]
    hidden = [-pi * error**2 for pi, error in zip(graph.precisions[:-1], graph.errors, strict=False)]
    values = dict(zip(G, in_edges, strict=True)) | dict(zip(D, in_activities, strict=True))
    steps = (
        Step(
            "The slope in the activities",
            graph.energy,
            in_activities,
            differentiate(*z),
            given=BIASED,
            label="slope",
        ),
        Step(
            "The gradient in the edges and biases",
            graph.energy,
            in_edges,
            differentiate(*edges),
            given=BIASED,
            label="gradient",
        ),
        Step(
            "At every hidden node edges out less edges in, less $z_j D_j$, zero where the activities "
            r"are stationary, leave $-\Pi_j \epsilon_j^2$",
            sp.Matrix([e + b for e, b in zip(ends, between, strict=True)]),
            sp.Matrix(hidden),
            algebra(),
            values,
            using={"gradient": G, "slope": D},
        ),
        Step(
            "In the sum over the nodes the edges between them cancel: if those at $x$ and $y$ and the biases "
            "learn, no hidden error is left at a critical point",
            sp.Add(*ends),
            sp.Add(*hidden),
            algebra(),
            values,
            using={"gradient": G, "slope": D},
        ),
    )
    return Derivation("graph-balance", f"Balance, {graph.described}", steps)


def cyclic_logdet(hidden_nodes: int) -> Derivation:
    r"""The activity Hessian of a graph has $\det H = S \det(I - B)^2 \prod_j \Pi_j$.

    Claim `cyclic-logdet`.

    Parameters
    ----------
    hidden_nodes : int
        Number of hidden nodes, 1 or more, with all edges between them.

    Returns
    -------
    Derivation
    """
    graph = Graph(hidden_nodes)
    jacobian = graph.errors.jacobian(list(graph.activities))
    hessian = jacobian.T * sp.diag(*graph.precisions) * jacobian
    loop, (*_, S) = sp.Symbol("d", real=True), graph.letters
    steps = (
        Step(
            "The second derivatives in the hidden activities",
            graph.energy,
            hessian,
            second_derivatives(*graph.activities),
            given=BIASED,
        ),
        Step(
            r"Its determinant, with $d = \det(I - B)$",
            hessian,
            S * loop**2 * sp.Mul(*graph.precisions),
            take_determinant(),
            {**graph.letters, loop: graph.determinant},
        ),
    )
    return Derivation("cyclic-logdet", f"Determinant of the Hessian, {graph.described}", steps)


def biases(hidden_layers: int) -> Derivation:
    r"""Biases move the targets by $c = \sum_l P_l b_l$, and the best last one centres the data.

    Claim `biases`.

    Parameters
    ----------
    hidden_layers : int
        Number of hidden layers, 1 or more.

    Returns
    -------
    Derivation
        Its result is $F^*$ of a batch at the best output bias.
    """
    chain = Chain(hidden_layers + 1)
    S = sp.Symbol("S", positive=True)
    r, c = sp.symbols("r c", real=True)
    b = sp.symbols(f"b_1:{chain.depth + 1}", real=True)
    shift = sp.Add(*(chain.P(l) * bias for l, bias in enumerate(b, start=1)))
    where = {r: chain.residual, S: chain.rescaling, c: shift}
    layers = [chain.x, *chain.activities, chain.y]
    errors = [
        above - A * below - bias
        for A, below, above, bias in zip(chain.maps, layers, layers[1:], b, strict=False)
    ]
    energy = sp.Add(*(pi * error**2 / 2 for pi, error in zip(chain.precisions, errors, strict=True)))
    slope = gradient(energy, chain.activities)
    carried = [
        sp.Add(*(chain.product(l, k) * b[k - 1] for k in range(1, l + 1))) for l in range(1, chain.depth)
    ]
    settled = [
        chain.Q(l) * chain.x + carried[l - 1] + chain.gain(l) * (r - c) / S for l in range(1, chain.depth)
    ]
    mean_x, mean_y = MEANS
    xx, xy, yy = MOMENTS
    whole = chain.P(0)
    residual, square = mean_y - whole * mean_x, yy - 2 * whole * xy + whole**2 * xx
    batch = (square - 2 * c * residual + c**2) / (2 * S)
    centred = (yy - mean_y**2) - 2 * whole * (xy - mean_x * mean_y) + whole**2 * (xx - mean_x**2)
    steps = (
        Step(
            "The gradient in the hidden activities",
            energy,
            slope,
            differentiate(*chain.activities),
            given=BIASED,
        ),
        Step(
            r"It vanishes where $r - c$, $c = \sum_l P_l b_l$, stands in the place of $r$, and what the "
            "biases carry is added",
            slope,
            sp.Matrix(settled),
            solve(*chain.activities),
            where,
            label="equilibrium",
        ),
        Step(
            "The energy there",
            energy,
            (r - c) ** 2 / (2 * S),
            substitute(dict(zip(chain.activities, settled, strict=True))),
            where,
            given=BIASED,
            using={"equilibrium": chain.activities},
            label="energy",
        ),
        Step(
            "The gradient in the biases is minus the weighted errors",
            (r - c) ** 2 / (2 * S),
            sp.Matrix([-chain.P(l) * (r - c) / S for l in range(1, chain.depth + 1)]),
            differentiate(*b),
            where,
            follows="energy",
        ),
        Step(
            "Of a batch: the gradient in the output's bias",
            batch,
            (c - residual) / S,
            differentiate(b[-1]),
            where,
            given=r"its mean over a batch with the means $m$ and the moments $S_{xx}, S_{xy}, S_{yy}$",
        ),
        Step(
            "vanishes at one bias",
            (c - residual) / S,
            residual - shift + b[-1],
            solve(b[-1]),
            where,
            label="best",
        ),
        Step(
            "where the energy is that of the centred data, whatever the other biases",
            batch,
            centred / (2 * S),
            substitute({b[-1]: residual - shift + b[-1]}),
            where,
            given=r"its mean over a batch with the means $m$ and the moments $S_{xx}, S_{xy}, S_{yy}$",
            using={"best": b[-1]},
        ),
    )
    return Derivation("biases", f"Biases, {chain.described}", steps)


FAMILIES = (
    Family("biases", biases, cases(hidden_layers=range(1, 5))),
    Family("graph-equilibrium", graph_equilibrium, cases(hidden_nodes=(1, 2))),
    Family("graph-balance", graph_balance, cases(hidden_nodes=(1, 2, 3))),
    Family("cyclic-logdet", cyclic_logdet, cases(hidden_nodes=(1, 2))),
)
