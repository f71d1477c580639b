r"""Scalar chains of any depth: the energy by its definition, and everything that follows at its equilibrium.

A chain is a network with one unit in each layer. Its maps $A_l$, precisions $\Pi_l$, input $x$ and target $y$ are symbols;
$A_l = a_l w_l + \tau_l$ (multiplier, weight, skip) is inserted at the end, since no step uses what $A_l$ is made of.
The proof of each result starts from $F = \tfrac12 \sum_l \Pi_l (z_l - A_l z_{l-1})^2$ and uses differentiation, the solution
of a linear system and substitution only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import sympy as sp

from .derivation import Derivation, Step
from .exact import solution
from .rules import algebra, differentiate, solve, substitute

DEPTHS = range(1, 7)


@dataclass(frozen=True)
class Chain:
    r"""A chain of L maps between single units, with every quantity a symbol.

    Parameters
    ----------
    depth : L, the number of maps
    unit_precisions : whether every $\Pi_l$ is the number 1 instead of a positive symbol

    Examples
    --------
    >>> chain = Chain(2, unit_precisions=True)
    >>> chain.energy
    (-A_1*x + z_1)**2/2 + (-A_2*z_1 + y)**2/2
    >>> chain.rescaling
    A_2**2 + 1
    """

    depth: int
    unit_precisions: bool = False

    def __post_init__(self) -> None:
        if self.depth < 1:
            raise ValueError(f"`depth` must be at least 1. Got {self.depth}: name the number of maps.")

    @cached_property
    def x(self) -> sp.Symbol:
        return sp.Symbol("x", real=True)

    @cached_property
    def y(self) -> sp.Symbol:
        return sp.Symbol("y", real=True)

    @cached_property
    def maps(self) -> tuple[sp.Symbol, ...]:
        """$A_1, ..., A_L$."""
        return tuple(sp.symbols(f"A_1:{self.depth + 1}", real=True))

    @cached_property
    def activities(self) -> tuple[sp.Symbol, ...]:
        """The hidden $z_1, ..., z_{L-1}$."""
        return tuple(sp.symbols(f"z_1:{self.depth}", real=True)) if self.depth > 1 else ()

    @cached_property
    def errors(self) -> tuple[sp.Symbol, ...]:
        r"""The hidden $\epsilon_1, ..., \epsilon_{L-1}$ as coordinates."""
        return tuple(sp.symbols(f"epsilon_1:{self.depth}", real=True)) if self.depth > 1 else ()

    @cached_property
    def precisions(self) -> tuple[sp.Expr, ...]:
        if self.unit_precisions:
            return (sp.S.One,) * self.depth
        return tuple(sp.symbols(f"Pi_1:{self.depth + 1}", positive=True))

    @cached_property
    def weights(self) -> tuple[sp.Symbol, ...]:
        return tuple(sp.symbols(f"w_1:{self.depth + 1}", real=True))

    @cached_property
    def multipliers(self) -> tuple[sp.Symbol, ...]:
        return tuple(sp.symbols(f"a_1:{self.depth + 1}", positive=True))

    @cached_property
    def parameters(self) -> dict[sp.Symbol, sp.Expr]:
        r"""$A_l \to a_l w_l + \tau_l$, with no skip on the first and the last layer."""
        skips = sp.symbols(f"tau_1:{self.depth + 1}", real=True)
        return {
            A: a * w + (tau if 1 < layer < self.depth else 0)
            for layer, (A, a, w, tau) in enumerate(
                zip(self.maps, self.multipliers, self.weights, skips, strict=True), start=1
            )
        }

    def product(self, top: int, bottom: int) -> sp.Expr:
        r"""$A_{top} \cdots A_{bottom+1}$: the map from layer `bottom` to layer `top`; 1 when they are the same."""
        return sp.Mul(*self.maps[bottom:top])

    def P(self, layer: int) -> sp.Expr:
        return self.product(self.depth, layer)

    def Q(self, layer: int) -> sp.Expr:
        return self.product(layer, 0)

    def gain(self, layer: int) -> sp.Expr:
        r"""$K_l = \sum_{k \le l} (A_l \cdots A_{k+1}) \Sigma_k P_k$: what layer l gains from the residual."""
        return sp.Add(
            *(self.product(layer, k) * self.P(k) / self.precisions[k - 1] for k in range(1, layer + 1))
        )

    def marginal(self, layer: int) -> sp.Expr:
        r"""$M_l = \sum_{k \le l} (A_l \cdots A_{k+1})^2 \Sigma_k$: the variance of $z_l$ given the input."""
        return sp.Add(*(self.product(layer, k) ** 2 / self.precisions[k - 1] for k in range(1, layer + 1)))

    @cached_property
    def rescaling(self) -> sp.Expr:
        r"""$S = \sum_l P_l^2 / \Pi_l$."""
        return sp.Add(
            *(self.P(layer) ** 2 / self.precisions[layer - 1] for layer in range(1, self.depth + 1))
        )

    @cached_property
    def residual(self) -> sp.Expr:
        """$r = y - P_0 x$."""
        return self.y - self.P(0) * self.x

    def energy_of(self, activities: Sequence[sp.Expr]) -> sp.Expr:
        r"""$F$ by its definition, at the given hidden activities."""
        layers = [self.x, *activities, self.y]
        return sp.Add(
            *(
                pi * (above - A * below) ** 2 / 2
                for pi, A, below, above in zip(self.precisions, self.maps, layers, layers[1:], strict=False)
            )
        )

    @property
    def energy(self) -> sp.Expr:
        return self.energy_of(self.activities)

    @cached_property
    def equilibrium(self) -> tuple[sp.Expr, ...]:
        """The hidden activities where the gradient of the energy vanishes, by elimination."""
        return tuple(solution([self.energy.diff(z) for z in self.activities], self.activities))

    @cached_property
    def abbreviations(self) -> dict[sp.Symbol, sp.Expr]:
        """`r` and `S` with their definitions."""
        return {sp.Symbol("r", real=True): self.residual, sp.Symbol("S", positive=True): self.rescaling}

    @cached_property
    def closed_activities(self) -> tuple[sp.Expr, ...]:
        r"""$z_l^* = Q_l x + K_l r / S$ in the abbreviations, for the hidden layers."""
        r, S = self.abbreviations
        return tuple(self.Q(layer) * self.x + self.gain(layer) * r / S for layer in range(1, self.depth))

    @cached_property
    def equilibrium_values(self) -> dict[sp.Symbol, sp.Expr]:
        """Each hidden activity with its closed form at equilibrium, abbreviations written out."""
        closed = (value.xreplace(self.abbreviations) for value in self.closed_activities)
        return dict(zip(self.activities, closed, strict=True))

    @cached_property
    def loss(self) -> sp.Expr:
        r"""$L = \Pi_L (y - P_0 x)^2 / 2$."""
        return self.precisions[-1] * self.residual**2 / 2


def stationary_steps(chain: Chain) -> list[Step]:
    """From the energy to its minimiser: differentiate, solve, and bring the solution to closed form. None for depth 1."""
    if chain.depth == 1:
        return []
    z = chain.activities
    gradient = sp.Matrix([chain.energy.diff(activity) for activity in z])
    solved = sp.Matrix(chain.equilibrium)
    return [
        Step(
            "The gradient of the energy in the hidden activities", chain.energy, gradient, differentiate(*z)
        ),
        Step("It vanishes at one point", gradient, solved, solve(*z)),
        Step(
            r"which is $z_l^* = Q_l x + K_l r / S$",
            solved,
            sp.Matrix(chain.closed_activities),
            algebra(),
            chain.abbreviations,
        ),
    ]


def equilibrium_errors(depth: int) -> Derivation:
    r"""$\Pi_l \epsilon_l^* = P_l r / S$ for every layer (`equilibrium-errors`)."""
    chain = Chain(depth)
    r, S = chain.abbreviations
    layers = [chain.x, *chain.closed_activities, chain.y]
    weighted = [
        pi * (above - A * below)
        for pi, A, below, above in zip(chain.precisions, chain.maps, layers, layers[1:], strict=False)
    ]
    closed = sp.Matrix([chain.P(layer) * r / S for layer in range(1, depth + 1)])
    last = Step(
        r"The weighted errors $\Pi_l \epsilon_l^*$ there are $P_l r / S$",
        sp.Matrix(weighted),
        closed,
        algebra(),
        chain.abbreviations,
    )
    return Derivation(
        "equilibrium-errors",
        f"Errors at equilibrium, chain of depth {depth}",
        (*stationary_steps(chain), last),
    )


def equilibrated_energy(depth: int) -> Derivation:
    r"""$F^* = r^2 / 2S$ with $S = \sum_l P_l^2 / \Pi_l$, multipliers and skips inserted (`equilibrated-energy`)."""
    chain = Chain(depth)
    r, S = chain.abbreviations
    statement, rule = "Nothing is hidden, so that the energy is the loss", algebra()
    if depth > 1:
        statement, rule = "The energy there", substitute(chain.equilibrium_values)
    equilibrated = chain.residual**2 / (2 * chain.rescaling)
    steps = [
        *stationary_steps(chain),
        Step(statement, chain.energy, r**2 / (2 * S), rule, chain.abbreviations),
        Step(
            r"With $A_l = a_l w_l + \tau_l$",
            equilibrated,
            equilibrated.xreplace(chain.parameters),
            substitute(chain.parameters),
        ),
    ]
    return Derivation("equilibrated-energy", f"Energy at equilibrium, chain of depth {depth}", tuple(steps))


DERIVATIONS: Mapping[str, Callable[[], Derivation]] = {
    f"{name}/chain-{depth}": partial(builder, depth)
    for name, builder in (
        ("equilibrium-errors", equilibrium_errors),
        ("equilibrated-energy", equilibrated_energy),
    )
    for depth in DEPTHS
}
