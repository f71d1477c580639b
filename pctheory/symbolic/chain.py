r"""Scalar chains of any depth: the energy by its definition, and everything that follows at its equilibrium.

A chain is a network with one unit in each layer. Its maps $A_l$, precisions $\Pi_l$, input $x$ and target $y$
are symbols; $A_l = a_l w_l + \tau_l$ (multiplier, weight, skip) is inserted at the end, since no step uses
what $A_l$ is made of. The proof of each result starts from $F = \tfrac12 \sum_l \Pi_l (z_l - A_l z_{l-1})^2$
and uses differentiation, the solution of a linear system and substitution only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import sympy as sp

from .cases import Family, cases
from .derivation import Derivation, Step
from .exact import gradient, solution
from .rules import Rule, algebra, differentiate, solve, substitute

ENERGY = "the energy $F$ of one sample"
LOSS = "the loss of one sample"
EQUILIBRATED = "the equilibrated energy $F^* = r^2 / 2S$ of one sample"
BATCH = r"the equilibrated energy $F^* = \langle r^2 \rangle / 2S$ of a batch"
RESCALING = "the rescaling $S$"


@dataclass(frozen=True)
class Chain:
    r"""A chain of L maps between single units, with every quantity a symbol.

    Parameters
    ----------
    depth : int
        L, the number of maps: one more than the number of hidden layers.
    unit_precisions : bool
        Whether every $\Pi_l$ is the number 1 instead of a positive symbol.

    Raises
    ------
    ValueError
        If `depth` is less than 1.

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

    @property
    def described(self) -> str:
        """The chain in words: `chain with 2 hidden layers`."""
        number = self.depth - 1
        return f"chain with {number or 'no'} hidden layer{'' if number == 1 else 's'}"

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
        r"""$A_{top} \cdots A_{bottom+1}$: the map from layer `bottom` to `top`; 1 when they are the same."""
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
    r"""Go from the energy to its minimum: differentiate, solve, and bring the solution to closed form.

    Parameters
    ----------
    chain : Chain
        The chain whose energy is minimised over its hidden activities.

    Returns
    -------
    list of Step
        With the labels `slope` and `equilibrium`. Empty without hidden layers.
    """
    if chain.depth == 1:
        return []
    z = chain.activities
    slope = gradient(chain.energy, z)
    solved = sp.Matrix(chain.equilibrium)
    return [
        Step(
            "The gradient of the energy in the hidden activities",
            chain.energy,
            slope,
            differentiate(*z),
            given=ENERGY,
            label="slope",
        ),
        Step("It vanishes at one point", slope, solved, solve(*z)),
        Step(
            r"which is $z_l^* = Q_l x + K_l r / S$",
            solved,
            sp.Matrix(chain.closed_activities),
            algebra(),
            chain.abbreviations,
            label="equilibrium",
        ),
    ]


def at_equilibrium(chain: Chain) -> Rule:
    r"""Insert $z_l^* = Q_l x + K_l r / S$ for the hidden activities, in the abbreviations of the chain.

    Parameters
    ----------
    chain : Chain
        The chain whose hidden activities are replaced.

    Returns
    -------
    Rule
    """
    return substitute(dict(zip(chain.activities, chain.closed_activities, strict=True)))


def equilibrated_steps(chain: Chain) -> list[Step]:
    r"""Go on from `stationary_steps` to the energy at equilibrium, $r^2 / 2S$.

    Parameters
    ----------
    chain : Chain
        With a hidden layer at least.

    Returns
    -------
    list of Step
        `stationary_steps` and one more, with the label `equilibrated energy`.
    """
    r, S = chain.abbreviations
    there = Step(
        "The energy there",
        chain.energy,
        r**2 / (2 * S),
        at_equilibrium(chain),
        chain.abbreviations,
        given=ENERGY,
        using={"equilibrium": chain.activities},
        label="equilibrated energy",
    )
    return [*stationary_steps(chain), there]


def equilibrium_errors(hidden_layers: int) -> Derivation:
    r"""The errors at equilibrium are $\Pi_l \epsilon_l^* = P_l r / S$ in every layer.

    Claim `equilibrium-errors`.

    Parameters
    ----------
    hidden_layers : int
        Number of hidden layers, 1 or more.

    Returns
    -------
    Derivation
    """
    chain = Chain(hidden_layers + 1)
    r, S = chain.abbreviations
    layers = [chain.x, *chain.activities, chain.y]
    weighted = [
        pi * (above - A * below)
        for pi, A, below, above in zip(chain.precisions, chain.maps, layers, layers[1:], strict=False)
    ]
    last = Step(
        r"At the equilibrium they are $P_l r / S$",
        sp.Matrix(weighted),
        sp.Matrix([chain.P(layer) * r / S for layer in range(1, chain.depth + 1)]),
        at_equilibrium(chain),
        chain.abbreviations,
        given=r"the weighted errors $\Pi_l \epsilon_l = \Pi_l (z_l - A_l z_{l-1})$",
        using={"equilibrium": chain.activities},
    )
    return Derivation(
        "equilibrium-errors",
        f"Errors at equilibrium, {chain.described}",
        (*stationary_steps(chain), last),
    )


def equilibrated_energy(hidden_layers: int) -> Derivation:
    r"""The energy at equilibrium is $F^* = r^2 / 2S$ with $S = \sum_l P_l^2 / \Pi_l$.

    Claim `equilibrated-energy`.

    Parameters
    ----------
    hidden_layers : int
        Number of hidden layers, 0 or more.

    Returns
    -------
    Derivation
        Its result has multipliers and skips inserted.
    """
    chain = Chain(hidden_layers + 1)
    equilibrated = chain.residual**2 / (2 * chain.rescaling) if hidden_layers else chain.energy
    steps = equilibrated_steps(chain) if hidden_layers else []
    last = Step(
        r"With $A_l = a_l w_l + \tau_l$: multiplier, weight, skip",
        equilibrated,
        equilibrated.xreplace(chain.parameters),
        substitute(chain.parameters),
        given=None if hidden_layers else ENERGY,
    )
    return Derivation("equilibrated-energy", f"Energy at equilibrium, {chain.described}", (*steps, last))


FAMILIES = (
    Family("equilibrium-errors", equilibrium_errors, cases(hidden_layers=range(1, 6))),
    Family("equilibrated-energy", equilibrated_energy, cases(hidden_layers=range(6))),
)
