r"""The Hessians of the loss and of the equilibrated energy at the origin and at zero-rank points, with eigenvalues.

Every entry of every weight matrix is a variable. The equilibrated energy is a minimum over the activities, so that its second
derivatives follow from those of the energy by implicit differentiation; nothing is taken from the closed form of $F^*$.
Weights are ordered layer by layer and row by row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import sympy as sp

from .blocks import Network, words
from .derivation import Derivation, Step
from .elimination import eigenvalues
from .exact import determinant
from .rules import (
    average,
    mixed_derivative,
    second_derivatives_at_zero,
    second_derivatives_of_minimum,
    sign,
    substitute,
)


def second_moments(network: Network) -> dict[sp.Expr, sp.Expr]:
    """Each product of two data entries with the symbol of its mean over the batch."""
    data = [*(("x", entry) for entry in network.x), *(("y", entry) for entry in network.y)]
    means: dict[sp.Expr, sp.Expr] = {}
    for i, (one, first) in enumerate(data):
        for other, second in data[i:]:
            index = f"{str(first).split('_')[1]}{str(second).split('_')[1]}"
            means[first * second] = sp.Symbol(f"S^{{{one}{other}}}_{{{index}}}", real=True)
    return means


def _positions(network: Network) -> dict[sp.Symbol, int]:
    return {weight: i for i, weight in enumerate(network.weights)}


def _cross_block(network: Network) -> sp.Matrix:
    r"""$-a_1 a_L \delta_{ab} y_c x_i$ between $W_1[a, i]$ and $W_L[c, b]$, where the two meet through identities only."""
    index = _positions(network)
    hessian = sp.zeros(len(index), len(index))
    first, last = network.matrices[0], network.matrices[-1]
    for a in range(first.rows):
        for i in range(first.cols):
            for c in range(last.rows):
                row, column = index[first[a, i]], index[last[c, a]]
                entry = -network.scales[0] * network.scales[-1] * network.y[c] * network.x[i]
                hessian[row, column] = hessian[column, row] = entry
    return hessian


def _last_block(network: Network, block: sp.Matrix) -> sp.Matrix:
    size = len(network.weights)
    hessian = sp.zeros(size, size)
    hessian[size - block.rows :, size - block.cols :] = block
    return hessian


def _meets(network: Network) -> bool:
    """Whether the first and the last layer meet at the origin: directly, or through skips."""
    return network.depth == 2 or network.skips


def _mean(network: Network, expression: sp.Matrix) -> sp.Matrix:
    return expression.subs(second_moments(network))


def loss_at_origin(widths: Sequence[int], skips: bool = False) -> Derivation:
    r"""The loss: only the cross block of the first and last layer, and only where they meet (`origin-hessian-loss`)."""
    network = Network(tuple(widths), multipliers=True, skips=skips)
    origin = dict.fromkeys(network.weights, sp.S.Zero)
    expected = _cross_block(network) if _meets(network) else sp.zeros(len(origin), len(origin))
    steps = [
        Step(
            "The second derivatives of the loss at zero weights",
            network.loss,
            expected,
            second_derivatives_at_zero(*network.weights),
        ),
        Step("Its mean over the batch", expected, _mean(network, expected), average(second_moments(network))),
    ]
    if not _meets(network):
        path = [W[0, 0] for W in network.matrices]
        derivative = network.loss.diff(*path)
        leading = -sp.Mul(*network.scales) * network.x[0] * network.y[0]
        steps += [
            Step(
                r"A derivative of order $L$ along one path", network.loss, derivative, mixed_derivative(*path)
            ),
            Step("does not vanish at the origin", derivative, leading, substitute(origin)),
        ]
    return Derivation("origin-hessian-loss", f"Loss at the origin, {_describe(network)}", tuple(steps))


def energy_at_origin(widths: Sequence[int], skips: bool = False) -> Derivation:
    r"""The energy: the loss's cross block and $-S_{yy} \otimes I$ in the last layer (`origin-hessian-energy`)."""
    network = Network(tuple(widths), multipliers=True, skips=skips)
    point = dict.fromkeys((*network.weights, *network.activities), sp.S.Zero)
    paths = (network.depth - 1) if skips else 1
    y = network.y
    block = -paths * network.scales[-1] ** 2 * sp.kronecker_product(y * y.T, sp.eye(network.widths[-2]))
    expected = _last_block(network, block) + (
        _cross_block(network) if _meets(network) else sp.zeros(len(network.weights), len(network.weights))
    )
    averaged = _mean(network, expected)
    steps = (
        Step(
            r"The Hessian of $\min_z F$ at zero weights, where $z^* = 0$",
            network.energy,
            expected,
            second_derivatives_of_minimum(network.weights, network.activities, point),
        ),
        Step("Its mean over the batch", expected, averaged, average(second_moments(network))),
        _spectrum(network, averaged, paths),
    )
    return Derivation("origin-hessian-energy", f"Energy at the origin, {_describe(network)}", steps)


def _spectrum(network: Network, hessian: sp.Matrix, paths: int) -> Step:
    variable = sp.Symbol("lambda")
    yy = _mean(network, network.y * network.y.T)
    copies, size = network.widths[-2], len(network.weights)
    scaled = -paths * network.scales[-1] ** 2 * yy
    if _meets(network):
        yx = -network.scales[0] * network.scales[-1] * _mean(network, network.y * network.x.T)
        small = sp.Matrix(
            sp.BlockMatrix(
                [[sp.zeros(network.widths[0], network.widths[0]), yx.T], [yx, scaled]]
            ).as_explicit()
        )
        statement = r"Its eigenvalues: those of $\begin{pmatrix} 0 & -S_{xy} \\ -S_{yx} & -c S_{yy} \end{pmatrix}$ (multipliers inserted, $c$ paths), one copy per unit of the last hidden layer, and zeros"
    else:
        small = scaled
        statement = r"Its eigenvalues: those of $-a_L^2 S_{yy}$, one copy per unit of the last hidden layer, and zeros"
    factor = determinant(variable * sp.eye(small.rows) - small)
    return Step(
        statement, hessian, variable ** (size - copies * small.rows) * factor**copies, eigenvalues(variable)
    )


def zero_rank(widths: Sequence[int]) -> Derivation:
    r"""With $W_L = 0$ the last block is $I \otimes \langle h h^T \rangle - S_{yy} \otimes M_{L-1}$ (`zero-rank-saddles`)."""
    network = Network(tuple(widths))
    last = network.matrices[-1]
    layers = [network.product(layer, 0) * network.x for layer in range(1, network.depth)]
    point = dict.fromkeys(last, sp.S.Zero)
    at = point | {
        entry: value
        for z, layer in zip(network.hidden, layers, strict=True)
        for entry, value in zip(z, layer, strict=True)
    }
    h, M, y = layers[-1], network.marginal(network.depth - 1), network.y
    outputs = network.widths[-1]
    block = sp.kronecker_product(sp.eye(outputs), h * h.T) - sp.kronecker_product(y * y.T, M)
    steps = [
        Step(
            r"The Hessian of $\min_z F$ in $W_L$ at $W_L = 0$, where $z_l^* = Q_l x$",
            network.energy,
            block,
            second_derivatives_of_minimum(list(last), network.activities, at),
        )
    ]
    if outputs == 1 and network.widths[-2] == 1:
        path = sp.Add(*(entry**2 for entry in _paths(network)))
        target = sp.Symbol("S_yy", positive=True)
        steps += [
            Step(
                r"Where $Q_{L-1} = 0$ the curvature is $-S_{yy} M_{L-1}$, negative",
                -target * M[0],
                -target * (1 + path),
                sign("<"),
            ),
            Step("and at most that at the origin", -target * M[0] + target, -target * path, sign(r"\le")),
        ]
    return Derivation("zero-rank-saddles", f"Zero last layer, {_describe(network)}", tuple(steps))


def _paths(network: Network) -> list[sp.Expr]:
    """The entries of every product $A_{L-1} ... A_{k+1}$ of more than no factor."""
    top = network.depth - 1
    return [entry for k in range(1, top) for entry in network.product(top, k)]


def _describe(network: Network) -> str:
    return f"widths {words(network.widths)}" + (", skips" if network.skips else "")


def _key(widths: Sequence[int], skips: bool) -> str:
    return "-".join(map(str, widths)) + ("-skips" if skips else "")


_CASES: tuple[tuple[tuple[int, ...], bool], ...] = (
    ((1, 1, 1), False),
    ((1, 1, 1, 1), False),
    ((1, 1, 1, 1, 1), False),
    ((1, 1, 1, 1, 1, 1), False),
    ((1, 1, 1, 1), True),
    ((1, 1, 1, 1, 1), True),
    ((1, 1, 1, 1, 1, 1), True),
    ((2, 2, 2), False),
    ((3, 2, 2), False),
    ((2, 3, 2), False),
    ((2, 2, 2, 2), False),
    ((2, 2, 2, 2), True),
    ((2, 2, 2, 2, 2), False),
    ((1, 2, 2, 2, 1), True),
)

DERIVATIONS: Mapping[str, Callable[[], Derivation]] = {
    f"{name}/widths-{_key(widths, skips)}": partial(builder, widths, skips)
    for name, builder in (
        ("origin-hessian-loss", loss_at_origin),
        ("origin-hessian-energy", energy_at_origin),
    )
    for widths, skips in _CASES
} | {
    f"zero-rank-saddles/widths-{_key(widths, False)}": partial(zero_rank, widths)
    for widths in (
        (1, 1, 1),
        (1, 1, 1, 1),
        (1, 1, 1, 1, 1),
        (1, 1, 1, 1, 1, 1),
        (2, 2, 2),
        (2, 3, 2),
        (2, 2, 2, 2),
    )
}
