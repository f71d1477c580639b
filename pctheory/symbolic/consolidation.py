r"""Chains and their data: consolidation in one step, and second moments that are all of the data."""

from __future__ import annotations

import sympy as sp

from .balance import MOMENTS, batch, moments
from .cases import Family, cases
from .chain import Chain
from .derivation import Derivation, Step
from .means import average
from .rules import algebra, substitute


def one_shot(hidden_layers: int) -> Derivation:
    r"""The update $dA_l = \epsilon_l z_{l-1} / z_{l-1}^2$ at equilibrium maps x exactly to y.

    Claim `one-shot`.

    One sample.

    Parameters
    ----------
    hidden_layers : int
        Number of hidden layers, 0 or more.

    Returns
    -------
    Derivation
    """
    chain = Chain(hidden_layers + 1)
    layers = [chain.x, *chain.activities, chain.y]
    changed = [
        A + (above - A * below) / below
        for A, below, above in zip(chain.maps, layers, layers[1:], strict=False)
    ]
    step = Step(
        "Each layer maps the activity below to the one above, so that the whole maps $x$ to $y$",
        sp.Mul(*changed) * chain.x,
        chain.y,
        algebra(),
        given=r"the output of the changed maps $A_l + \epsilon_l z_{l-1} / z_{l-1}^2$",
    )
    return Derivation("one-shot", f"Normalised consolidation, {chain.described}", (step,))


def compression(hidden_layers: int) -> Derivation:
    r"""Loss and equilibrated energy see the data through three second moments.

    Claim `data-compression`.

    Parameters
    ----------
    hidden_layers : int
        Number of hidden layers, 0 or more.

    Returns
    -------
    Derivation
    """
    chain = Chain(hidden_layers + 1)
    xx, xy, yy = MOMENTS
    root, cross, rest = sp.symbols("u v n", real=True)
    of_two = (root**2 / 2, root * cross / 2, (cross**2 + rest**2) / 2)
    steps = (
        Step(
            "Its mean over the batch",
            chain.residual**2,
            batch(chain)[0],
            average(moments(chain)),
            given="the squared residual $r^2$, of which loss and energy are multiples",
        ),
        Step(
            "The two samples $(x, y) = (u, v)$ and $(0, n)$ have the same mean",
            batch(chain)[0],
            ((cross - chain.P(0) * root) ** 2 + rest**2) / 2,
            substitute(dict(zip(MOMENTS, of_two, strict=True))),
        ),
        Step(
            "They take on any values, by a triangular square root",
            sp.Matrix(of_two),
            sp.Matrix(MOMENTS),
            substitute(
                {
                    root: sp.sqrt(2 * xx),
                    cross: 2 * xy / sp.sqrt(2 * xx),
                    rest: sp.sqrt(2 * yy - 2 * xy**2 / xx),
                }
            ),
            given="the second moments of these two samples",
        ),
    )
    return Derivation("data-compression", f"Second moments are enough, {chain.described}", steps)


FAMILIES = (
    Family("one-shot", one_shot, cases(hidden_layers=range(4))),
    Family("data-compression", compression, cases(hidden_layers=range(4))),
)
