r"""Networks with several units in a layer: every entry of every matrix is a symbol.

The same way as for chains (differentiate, solve, insert), so that no matrix identity is taken for granted:
order of factors, transposes and the Woodbury identity come out of scalar elimination.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import sympy as sp

from .cases import Family, cases
from .chain import ENERGY
from .derivation import Derivation, Step
from .elimination import invert, take_determinant
from .exact import gradient, inverse, solution
from .rules import algebra, differentiate, second_derivatives, solve, substitute


@dataclass(frozen=True)
class Network:
    r"""A network of given widths with symbolic entries: maps $a_l W_l + \tau_l I$, unit precisions.

    Parameters
    ----------
    widths : tuple of int
        $n_0, ..., n_L$.
    multipliers : bool
        Whether $a_l$ is a positive symbol instead of 1.
    skips : bool
        Whether the layers $2, ..., L - 1$ have an identity skip.

    Raises
    ------
    ValueError
        If there are less than two widths, one is not positive, or skips join layers of different widths.

    Examples
    --------
    >>> Network((1, 2, 1)).matrices[1]
    Matrix([[W2_11, W2_12]])
    """

    widths: tuple[int, ...]
    multipliers: bool = False
    skips: bool = False

    def __post_init__(self) -> None:
        if len(self.widths) < 2 or min(self.widths) < 1:
            raise ValueError(f"`widths` must be two or more positive numbers. Got {self.widths}.")
        if self.skips and len(set(self.widths[1:-1])) > 1:
            raise ValueError(f"`widths` must be equal in the layers joined by skips. Got {self.widths}.")

    @property
    def depth(self) -> int:
        return len(self.widths) - 1

    @cached_property
    def x(self) -> sp.Matrix:
        return _vector("x", self.widths[0])

    @cached_property
    def y(self) -> sp.Matrix:
        return _vector("y", self.widths[-1])

    @cached_property
    def matrices(self) -> tuple[sp.Matrix, ...]:
        """The weights $W_1, ..., W_L$."""
        return tuple(
            sp.Matrix(
                rows,
                columns,
                lambda i, j, l=layer: sp.Symbol(f"W{l}_{i + 1}{j + 1}", real=True),
            )
            for layer, (columns, rows) in enumerate(zip(self.widths, self.widths[1:], strict=False), start=1)
        )

    @cached_property
    def scales(self) -> tuple[sp.Expr, ...]:
        if not self.multipliers:
            return (sp.S.One,) * self.depth
        return tuple(sp.symbols(f"a_1:{self.depth + 1}", positive=True))

    @cached_property
    def maps(self) -> tuple[sp.Matrix, ...]:
        """$A_1, ..., A_L$ in the weights."""
        return tuple(
            a * W + (sp.eye(W.rows) if self.skips and 1 < layer < self.depth else sp.zeros(*W.shape))
            for layer, (a, W) in enumerate(zip(self.scales, self.matrices, strict=True), start=1)
        )

    @cached_property
    def weights(self) -> tuple[sp.Symbol, ...]:
        """All weights, layer by layer and row by row."""
        return tuple(entry for W in self.matrices for entry in W)

    @cached_property
    def hidden(self) -> tuple[sp.Matrix, ...]:
        return tuple(_vector(f"z{layer}", n) for layer, n in enumerate(self.widths[1:-1], start=1))

    @cached_property
    def activities(self) -> tuple[sp.Symbol, ...]:
        return tuple(entry for z in self.hidden for entry in z)

    @cached_property
    def energy(self) -> sp.Expr:
        r"""$F$ of one sample, by its definition."""
        layers = [self.x, *self.hidden, self.y]
        return sp.Add(
            *(
                entry**2 / 2
                for A, below, above in zip(self.maps, layers, layers[1:], strict=False)
                for entry in above - A * below
            )
        )

    @cached_property
    def loss(self) -> sp.Expr:
        return (self.residual.T * self.residual)[0] / 2

    def product(self, top: int, bottom: int) -> sp.Matrix:
        r"""$A_{top} \cdots A_{bottom+1}$."""
        total = sp.eye(self.widths[bottom])
        for A in self.maps[bottom:top]:
            total = A * total
        return total

    @cached_property
    def residual(self) -> sp.Matrix:
        return self.y - self.product(self.depth, 0) * self.x

    def marginal(self, layer: int) -> sp.Matrix:
        r"""$M_l = I + A_l A_l^T + \cdots$: covariance of $z_l$ given the input."""
        total = sp.zeros(self.widths[layer], self.widths[layer])
        for k in range(1, layer + 1):
            path = self.product(layer, k)
            total += path * path.T
        return total

    @cached_property
    def rescaling(self) -> sp.Matrix:
        return self.marginal(self.depth)


def _vector(name: str, size: int) -> sp.Matrix:
    return sp.Matrix([sp.Symbol(f"{name}_{i + 1}", real=True) for i in range(size)])


def equilibrated_energy(widths: Sequence[int]) -> Derivation:
    r"""The energy at equilibrium is $F^* = \tfrac12 r^T S^{-1} r$, from the equations of every unit.

    Claim `equilibrated-energy`.

    $\hat z_1 = A_1 x$ is the only way in which the input and the first map enter, so that its entries are
    symbols here.

    Parameters
    ----------
    widths : sequence of int
        $n_0, ..., n_L$ with a hidden layer at least.

    Returns
    -------
    Derivation
    """
    network = Network(tuple(widths))
    z, depth = network.activities, network.depth
    first = _vector(r"\hat{z}", network.widths[1])
    energy = (
        network.energy - sp.Add(*(entry**2 for entry in network.hidden[0] - network.maps[0] * network.x)) / 2
    )
    energy += sp.Add(*(entry**2 for entry in network.hidden[0] - first)) / 2
    slope = gradient(energy, z)
    solved = solution(list(slope), z)
    r, S = network.y - network.product(depth, 1) * first, network.rescaling
    weighted = sp.Matrix([sp.Symbol(f"u_{i + 1}", real=True) for i in range(network.widths[-1])])
    where = dict(zip(weighted, solution(list(S * weighted - r), list(weighted)), strict=True))
    layers, closed = [first], sp.zeros(0, 1)
    for layer in range(1, depth):
        error = network.product(depth, layer).T * weighted
        layers.append((network.maps[layer - 1] * layers[-1] if layer > 1 else first) + error)
        closed = closed.col_join(layers[-1])
    premise = r"the energy of one sample, with $\hat z_1 = A_1 x$"
    steps = (
        Step(
            "The gradient of the energy in every hidden unit",
            energy,
            slope,
            differentiate(*z),
            given=premise,
        ),
        Step("It vanishes at one point", slope, solved, solve(*z)),
        Step(
            r"which is the forward sweep $z_l = A_l z_{l-1} + P_l^T u$ with $S u = r$",
            solved,
            closed,
            algebra(),
            where,
            label="equilibrium",
        ),
        Step(
            r"The energy there is $\tfrac12 r^T S^{-1} r$",
            energy,
            (r.T * weighted)[0] / 2,
            substitute({activity: value.xreplace(where) for activity, value in zip(z, closed, strict=True)}),
            where,
            given=premise,
            using={"equilibrium": z},
        ),
    )
    return Derivation("equilibrated-energy", f"Energy at equilibrium, widths {words(widths)}", steps)


def _hessian_step(network: Network) -> Step:
    return Step(
        "The second derivatives in the hidden activities",
        network.energy,
        sp.hessian(network.energy, network.activities),
        second_derivatives(*network.activities),
        given=ENERGY,
    )


def determinant(widths: Sequence[int]) -> Derivation:
    r"""The determinant of the activity Hessian is $\det H = \det S$.

    Claim `hessian-determinant`.

    Parameters
    ----------
    widths : sequence of int
        $n_0, ..., n_L$ with a hidden layer at least.

    Returns
    -------
    Derivation
    """
    network = Network(tuple(widths))
    hessian = _hessian_step(network)
    steps = (
        hessian,
        Step("Its determinant is that of $S$", hessian.after, network.rescaling.det(), take_determinant()),
    )
    return Derivation("hessian-determinant", f"Determinant of the Hessian, widths {words(widths)}", steps)


def posterior(widths: Sequence[int]) -> Derivation:
    r"""$H^{-1}$ is the prior covariance less the regression on the output.

    Claim `posterior`.

    Parameters
    ----------
    widths : sequence of int
        $n_0, ..., n_L$ with a hidden layer at least.

    Returns
    -------
    Derivation
    """
    network = Network(tuple(widths))
    hessian = _hessian_step(network)
    layers = range(1, network.depth)
    prior = sp.Matrix(
        sp.BlockMatrix([[_covariance(network, i, j) for j in layers] for i in layers]).as_explicit()
    )
    cross = sp.Matrix.vstack(*(_covariance(network, layer, network.depth) for layer in layers))
    steps = (
        hessian,
        Step(
            r"Its inverse is $C_{zz} - C_{zy} S^{-1} C_{yz}$ of the prior $z_l = A_l z_{l-1} + \epsilon_l$",
            hessian.after,
            prior - cross * inverse(network.rescaling) * cross.T,
            invert(),
        ),
    )
    return Derivation("posterior", f"Posterior covariance, widths {words(widths)}", steps)


def _covariance(network: Network, one: int, other: int) -> sp.Matrix:
    if one >= other:
        return network.product(one, other) * network.marginal(other)
    return _covariance(network, other, one).T


def envelope_gradient(widths: Sequence[int]) -> Derivation:
    r"""$dF^*/dA_l = -\epsilon_l^* z_{l-1}^{*T}$ in every entry.

    Claim `envelope-gradient`.

    Parameters
    ----------
    widths : sequence of int
        $n_0, ..., n_L$ with a hidden layer at least.

    Returns
    -------
    Derivation
    """
    network = Network(tuple(widths))
    r, S = network.residual, network.rescaling
    weighted = inverse(S) * r
    layers, rule = [network.x], []
    for layer in range(1, network.depth + 1):
        error = network.product(network.depth, layer).T * weighted
        rule += list(-error * layers[-1].T)
        layers.append(network.maps[layer - 1] * layers[-1] + error)
    step = Step(
        "Its gradient is the local rule at equilibrium",
        (r.T * weighted)[0] / 2,
        sp.Matrix(rule),
        differentiate(*network.weights),
        given=r"the equilibrated energy $F^* = \tfrac12 r^T S^{-1} r$ of one sample",
    )
    return Derivation(
        "envelope-gradient", f"Gradient of the equilibrated energy, widths {words(widths)}", (step,)
    )


def words(widths: Sequence[int]) -> str:
    """Write widths as they are read out.

    Parameters
    ----------
    widths : sequence of int
        $n_0, ..., n_L$.

    Returns
    -------
    str
        Such as `2, 3, 2`.
    """
    return ", ".join(map(str, widths))


_WIDTHS = ((2, 2, 2), (2, 2, 2, 2), (2, 3, 2), (3, 2, 3), (3, 3, 3))

FAMILIES = (
    Family("equilibrated-energy", equilibrated_energy, cases(widths=(*_WIDTHS, (2, 3, 2, 1)))),
    Family("hessian-determinant", determinant, cases(widths=_WIDTHS)),
    Family("posterior", posterior, cases(widths=_WIDTHS)),
    Family(
        "envelope-gradient",
        envelope_gradient,
        cases(widths=((2, 2, 2), (2, 3, 1), (1, 2, 2, 1), (1, 2, 2))),
    ),
)
