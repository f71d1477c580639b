r"""The Hessians of loss and equilibrated energy at the origin and at zero-rank points.

Every entry of every weight matrix is a variable. The equilibrated energy is a minimum over the activities, so
that its second derivatives follow from those of the energy by implicit differentiation; nothing is taken from
the closed form of $F^*$. Weights are ordered layer by layer and row by row.
"""

from __future__ import annotations

from collections.abc import Sequence

import sympy as sp

from .blocks import Network, words
from .cases import Family, cases
from .chain import ENERGY, LOSS
from .derivation import Derivation, Step
from .elimination import eigenvalues
from .exact import determinant
from .means import average, sign
from .rules import mixed_derivative, second_derivatives_at_zero, second_derivatives_of_minimum, substitute


def second_moments(network: Network) -> dict[sp.Expr, sp.Expr]:
    """Map each product of two data entries to the symbol of its mean over the batch.

    Parameters
    ----------
    network : Network
        The network whose input and target are the data.

    Returns
    -------
    dict
        For the rule `average`.
    """
    data = [*(("x", entry) for entry in network.x), *(("y", entry) for entry in network.y)]
    means: dict[sp.Expr, sp.Expr] = {}
    for i, (one, first) in enumerate(data):
        for other, second in data[i:]:
            index = f"{str(first).split('_')[1]}{str(second).split('_')[1]}"
            means[first * second] = sp.Symbol(f"S^{{{one}{other}}}_{{{index}}}", real=True)
    return means


def _cross_block(network: Network) -> sp.Matrix:
    r"""$-a_1 a_L \delta_{ab} y_c x_i$ between $W_1[a, i]$ and $W_L[c, b]$, which meet through identities."""
    index = {weight: i for i, weight in enumerate(network.weights)}
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
    r"""The loss has the cross block of the first and last layer only, and only where these meet.

    Claim `origin-hessian-loss`.

    Parameters
    ----------
    widths : sequence of int
        $n_0, ..., n_L$ with a hidden layer at least; hidden widths are equal with skips.
    skips : bool
        Whether the layers $2, ..., L - 1$ have an identity skip.

    Returns
    -------
    Derivation
        The Hessian has the label `Hessian`; where it is not zero, its mean over the batch is `mean Hessian`.
    """
    network = Network(tuple(widths), multipliers=True, skips=skips)
    expected = _cross_block(network) if _meets(network) else sp.zeros(len(network.weights))
    steps = [
        Step(
            "Its second derivatives at zero weights",
            network.loss,
            expected,
            second_derivatives_at_zero(*network.weights),
            given=LOSS,
            label="Hessian",
        )
    ]
    if _meets(network):
        steps.append(
            Step(
                "Their mean over the batch",
                expected,
                _mean(network, expected),
                average(second_moments(network)),
                label="mean Hessian",
            )
        )
    else:
        path = [W[0, 0] for W in network.matrices]
        derivative = network.loss.diff(*path)
        steps += [
            Step(
                r"A derivative of order $L$, along one path",
                network.loss,
                derivative,
                mixed_derivative(*path),
                given=LOSS,
            ),
            Step(
                "does not vanish at the origin",
                derivative,
                -sp.Mul(*network.scales) * network.x[0] * network.y[0],
                substitute(dict.fromkeys(network.weights, sp.S.Zero)),
            ),
        ]
    return Derivation("origin-hessian-loss", f"Loss at the origin, {_describe(network)}", tuple(steps))


def energy_at_origin(widths: Sequence[int], skips: bool = False) -> Derivation:
    r"""The energy has the loss's cross block and $-S_{yy} \otimes I$ in the last layer.

    Claim `origin-hessian-energy`.

    Parameters
    ----------
    widths : sequence of int
        $n_0, ..., n_L$ with a hidden layer at least; hidden widths are equal with skips.
    skips : bool
        Whether the layers $2, ..., L - 1$ have an identity skip.

    Returns
    -------
    Derivation
        The Hessian has the label `Hessian`, its mean over the batch the label `mean Hessian`.
    """
    network = Network(tuple(widths), multipliers=True, skips=skips)
    point = dict.fromkeys((*network.weights, *network.activities), sp.S.Zero)
    paths = (network.depth - 1) if skips else 1
    y = network.y
    block = -paths * network.scales[-1] ** 2 * sp.kronecker_product(y * y.T, sp.eye(network.widths[-2]))
    expected = _last_block(network, block)
    if _meets(network):
        expected += _cross_block(network)
    averaged = _mean(network, expected)
    steps = (
        Step(
            r"The second derivatives of its minimum over $z$ at zero weights, where $z^* = 0$",
            network.energy,
            expected,
            second_derivatives_of_minimum(network.weights, network.activities, point),
            given=ENERGY,
            label="Hessian",
        ),
        Step(
            "Their mean over the batch",
            expected,
            averaged,
            average(second_moments(network)),
            label="mean Hessian",
        ),
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
        zero = sp.zeros(network.widths[0], network.widths[0])
        small = sp.Matrix(sp.BlockMatrix([[zero, yx.T], [yx, scaled]]).as_explicit())
        block = r"\begin{pmatrix} 0 & -S_{xy} \\ -S_{yx} & -c S_{yy} \end{pmatrix}"
        those = f"${block}$ (multipliers inserted, $c$ paths)"
    else:
        small = scaled
        those = "$-a_L^2 S_{yy}$"
    factor = determinant(variable * sp.eye(small.rows) - small)
    return Step(
        f"Its eigenvalues: those of {those}, one copy for each unit of the last hidden layer, and zeros",
        hessian,
        variable ** (size - copies * small.rows) * factor**copies,
        eigenvalues(variable),
    )


def zero_rank(widths: Sequence[int]) -> Derivation:
    r"""With $W_L = 0$ the last block is $I \otimes \langle h h^T \rangle - S_{yy} \otimes M_{L-1}$.

    Claim `zero-rank-saddles`.

    With one unit in each layer the curvature is brought to its sign as well.

    Parameters
    ----------
    widths : sequence of int
        $n_0, ..., n_L$ with a hidden layer at least.

    Returns
    -------
    Derivation
        The block of one sample has the label `block`.
    """
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
    block = sp.kronecker_product(sp.eye(network.widths[-1]), h * h.T) - sp.kronecker_product(y * y.T, M)
    steps = [
        Step(
            r"The second derivatives of its minimum over $z$ in $W_L$, at $W_L = 0$, where $z_l^* = Q_l x$",
            network.energy,
            block,
            second_derivatives_of_minimum(list(last), network.activities, at),
            given=ENERGY,
            label="block",
        )
    ]
    if set(network.widths) == {1}:
        steps += _signs(network, block[0])
    return Derivation("zero-rank-saddles", f"Zero last layer, {_describe(network)}", tuple(steps))


def _signs(network: Network, curvature: sp.Expr) -> list[Step]:
    """The curvature of a network of single units where the product of the maps below the last is zero."""
    top = network.depth - 1
    xx, yy = sp.symbols("S_xx S_yy", positive=True)
    mean, here = sp.symbols("C C_0", real=True)
    squared = network.product(top, 0)[0] ** 2
    paths = sp.Add(*(network.product(top, k)[0] ** 2 for k in range(1, top)))
    averaged = squared * xx - yy * network.marginal(top)[0]
    moments = {network.x[0] ** 2: xx, network.y[0] ** 2: yy}
    return [
        Step("Its mean over the batch", curvature, averaged, average(moments), label="mean"),
        Step(
            r"Where $Q_{L-1} = 0$, that is, without its part $Q_{L-1}^2 S_{xx}$, it is negative",
            mean - squared * xx,
            -yy * (1 + paths),
            sign("<"),
            {mean: averaged},
            using={"mean": mean},
            label="zero rank",
        ),
        Step(
            "and at most the $-S_{yy}$ of the origin",
            here + yy,
            -yy * paths,
            sign(r"\le"),
            {here: -yy * (1 + paths)},
            using={"zero rank": here},
        ),
    ]


def _describe(network: Network) -> str:
    return f"widths {words(network.widths)}" + (", skips" if network.skips else "")


_PLAIN = (
    *((1,) * size for size in (3, 4, 5, 6)),
    *((2, 2, 2), (3, 2, 2), (2, 3, 2), (2, 2, 2, 2), (2, 2, 2, 2, 2)),
)
_SKIPS = (*((1,) * size for size in (4, 5, 6)), (2, 2, 2, 2), (1, 2, 2, 2, 1))
_ORIGIN = (*cases(widths=_PLAIN, skips=(False,)), *cases(widths=_SKIPS, skips=(True,)))

FAMILIES = (
    Family("origin-hessian-loss", loss_at_origin, _ORIGIN),
    Family("origin-hessian-energy", energy_at_origin, _ORIGIN),
    Family(
        "zero-rank-saddles",
        zero_rank,
        cases(widths=(*((1,) * size for size in (3, 4, 5, 6)), (2, 2, 2), (2, 3, 2), (2, 2, 2, 2))),
    ),
)
