r"""The equilibrium of inference: products, the rescaling S, errors, activities and the equilibrated energy.

Claims ``equilibrium-errors``, ``equilibrated-energy``, ``envelope-gradient``, ``gradient-decomposition``,
``hessian-determinant``. With :math:`P_l = A_L \cdots A_{l+1}`, :math:`\Sigma_l = \Pi_l^{-1}`, :math:`r = y -
P_0 x`:

.. math:: S = \sum_{l=1}^{L} P_l \Sigma_l P_l^T, \qquad \Pi_l \epsilon_l^* = P_l^T S^{-1} r, \qquad
          F^* = \frac{1}{2B} \sum_i r_i^T S^{-1} r_i .

Let :math:`C_l C_l^T = \Pi_l` and stack :math:`G = [P_1 C_1^{-T}, \dots, P_L C_L^{-T}]`, so that :math:`S = G
G^T`. The whitened errors :math:`w_l = C_l^T \epsilon_l` of smallest norm with :math:`G w = r` are the
equilibrium: a QR factorisation :math:`G^T = Q R` gives :math:`w = Q R^{-T} r` without ever forming S, whose
condition is the square of G's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, overload

import numpy as np
from array_api_compat import array_namespace

from .. import _check, _html
from .._check import Array
from ..model import Data, LinearPCN
from ..model.definitions import any_rows, energies_of, forward_pass, weight_rule
from .accuracy import RelativeErrors, relative_errors
from .observed import observed_sweep
from .output_losses import ConvexLoss, EnvelopeEquilibrium, envelope_equilibrium
from .products import representable, rescaling
from .routes import METHODS, solve

__all__ = ["Equilibrium", "equilibrium", "gradient_decomposition"]


SHOWN_OUTPUTS = 64
"""Outputs up to which a notebook shows the loss and the spectrum of S: beyond, they would cost too much."""


@dataclass(frozen=True, eq=False, repr=False)
class Equilibrium:
    r"""The minimum of the energy over the hidden activities, input and output clamped.

    Attributes
    ----------
    activities : (z_0, ..., z_L), each (B, n_l)
        :math:`z^*`, with z_0 = x and z_L = y; outputs that were not observed are filled in.
    errors : L arrays (B, n_l), l = 1..L
        :math:`\epsilon_l^* = \Sigma_l P_l^T S^{-1} r`.
    energy : scalar
        :math:`F^*`.
    method : "sweep", "feedback", "elimination", or "observed" where targets are missing
        How it was computed.
    accuracy : RelativeErrors
        Estimated relative errors of activities, errors and energy, computed when first asked for.
    rescaling : (n_L, n_L)
        :math:`S`, computed when first asked for.
    residual : (B, n_L)
        :math:`r = y - P_0 x`, computed when first asked for.
    """

    activities: tuple[Array, ...]
    errors: tuple[Array, ...]
    energy: Array
    method: str
    net: LinearPCN
    data: Data

    @cached_property
    def rescaling(self) -> Array:
        """The rescaling S, (n_L, n_L)."""
        return rescaling(self.net)

    @cached_property
    def residual(self) -> Array:
        """The residual r = y - P_0 x, (B, n_L)."""
        return representable(self.activities[-1] - forward_pass(self.net, self.activities[0])[-1], "r")

    @cached_property
    def accuracy(self) -> RelativeErrors:
        """Estimated relative errors of activities, errors and energy; they cost three more equilibria.

        With missing targets, of the equilibrium with the outputs that were filled in, which is the same.
        """
        method = "feedback" if self.method == "observed" else self.method
        return relative_errors(self.net, self.activities, self.errors, self.energy, method)

    @cached_property
    def weighted_errors(self) -> tuple[Array, ...]:
        r""":math:`\Pi_l \epsilon_l^* = P_l^T S^{-1} r`, (B, n_l) each, l = 1..L; finite without noise too."""
        weighted: list[Array] = []
        for l in range(self.net.depth, 0, -1):
            precision = self.net.precisions[l - 1]
            weighted.append(
                weighted[-1] @ self.net.maps[l] if precision.carries else precision.apply(self.errors[l - 1])
            )
        return tuple(weighted[::-1])

    def weight_gradient(self) -> tuple[Array, ...]:
        r"""The gradient of :math:`F^*` in the weights, (n_l, n_{l-1}) each: the local rule at equilibrium.

        Claims ``envelope-gradient`` and, for :math:`-\langle \Pi_l \epsilon_l^* \rangle` of the biases,
        ``biases``. It uses the errors of the equilibrium, which are not differences of activities.

        Returns
        -------
        gradient : tuple of (n_l, n_{l-1}), l = 1..L, then with biases (n_l,), l = 1..L
            0 where an entry is fixed.
        """
        return weight_rule(self.net, self.weighted_errors, self.activities)

    def layer_energies(self) -> Array:
        r"""The energy of each layer, :math:`\frac{1}{2B}\sum_i \epsilon_l^{*T} \Pi_l \epsilon_l^*`, (L,)."""
        return energies_of(self.net, self.errors)

    def plot(self, ax: Any = None) -> Any:
        """The energy of each layer.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            A new figure's by default.

        Returns
        -------
        matplotlib.axes.Axes
        """
        from ..plotting import plot_equilibrium

        return plot_equilibrium(_check.to_numpy(self.layer_energies(), "energy"), ax)

    def _repr_html_(self) -> str:
        energies = _check.to_numpy(self.layer_energies(), "energy")
        facts: dict[str, object] = {
            "energy F*": f"{float(_check.detached(self.energy)):.6g}",
            "of the layers": _html.brief([float(e) for e in energies]),
            "found by": self.method,
            "network": self.net,
            "data": self.data,
        }
        if self.net.widths[-1] <= SHOWN_OUTPUTS:
            whitened = self.net.precisions[-1].whiten(self.residual)
            loss = 0.5 * float(_check.detached((whitened**2).sum())) / self.residual.shape[0]
            spectrum = np.linalg.eigvalsh(_check.to_numpy(self.rescaling, "S"))
            facts = {
                "loss": f"{loss:.6g}",
                **facts,
                "eigenvalues of S": _html.brief(list(map(float, spectrum)), "direction"),
            }
        return _html.card("Equilibrium", facts, _html.sparkline(energies))

    def __repr__(self) -> str:
        return f"Equilibrium(energy={float(_check.detached(self.energy)):.6g}, {self.net!r}, {self.data!r})"


@overload
def equilibrium(
    net: LinearPCN, data: Data, *, output: Literal["mse"] = "mse", method: str = "auto"
) -> Equilibrium: ...


@overload
def equilibrium(
    net: LinearPCN, data: Data, *, output: str | ConvexLoss, method: str = "auto"
) -> Equilibrium | EnvelopeEquilibrium: ...


def equilibrium(
    net: LinearPCN, data: Data, *, output: str | ConvexLoss = "mse", method: str = "auto"
) -> Equilibrium | EnvelopeEquilibrium:
    r"""The equilibrium of inference: the minimum of the energy in the hidden activities, in closed form.

    .. math:: \Pi_l \epsilon_l^* = P_l^T S^{-1} r, \qquad
              z_l^* = A_l z_{l-1}^* + \epsilon_l^*, \qquad z_0^* = x

    Parameters
    ----------
    net : LinearPCN
        The network.
    data : Data
        x (B, n_0) and y (B, n_L), cast to the weights' dtype. Targets that are missing (`Data.observed`) are
        free, and z_L fills them in (claim ``missing-outputs``).
    output : "mse", "cross-entropy", or a ConvexLoss
        What the output layer pays; all but "mse" by `envelope_equilibrium`, which see. With "cross-entropy"
        the energy can be driven to 0 on any labels, random ones too, while the loss rises (claim
        ``cross-entropy-landscape``).
    method : "auto", "sweep", "feedback" or "elimination"
        "sweep": one backward sweep of n_L rows, a QR factorisation, one forward sweep of B rows: the price of
        a forward and a backward pass. "feedback": a backward sweep of at most n_L rows that divides out the
        growth of the products, and a forward sweep that corrects itself at every layer: accurate for maps and
        precisions of any size. "elimination": Cholesky elimination of the block-tridiagonal H, an independent
        check, whose error grows with the condition of H. "auto": the sweep if the output is the narrowest
        layer and the products and precisions are of moderate size, the feedback otherwise.

    Returns
    -------
    Equilibrium, or EnvelopeEquilibrium for another output than "mse"

    Raises
    ------
    ValueError
        If `method` is given where there is one only: for another output, or missing targets. If no digit is
        left: the result overflows, the H of the elimination is, rounded, not positive definite, or the
        method's rounding errors exceed the activities, or the errors where another method has them.

    Notes
    -----
    Claims ``equilibrium-errors`` and ``equilibrated-energy``. Differentiable in the weights in torch and JAX.
    `Equilibrium.accuracy` estimates the errors of the result. Where the network fits the data to the last
    digit, errors and energy are 0 up to the rounding errors of the data: this is no failure, and their
    estimates are infinite.

    Examples
    --------
    >>> eq = equilibrium(LinearPCN([[[2.0]], [[3.0]]]), Data([[1.0]], [[7.0]]))
    >>> [round(z.item(), 12) for z in eq.activities], round(float(eq.energy), 12)  # r = 1, S = 10
    ([1.0, 2.3, 7.0], 0.05)
    >>> missing = Data([[1.0]], [[7.0, 0.0]], observed=[[True, False]])
    >>> eq = equilibrium(LinearPCN([[[2.0]], [[3.0], [1.0]]]), missing)  # what is free follows z_1
    >>> [z.round(12).tolist() for z in eq.activities]
    [[[1.0]], [[2.3]], [[7.0, 2.3]]]
    """
    _check.choice(method, "method", METHODS)
    if not (isinstance(output, str) and output == "mse"):
        _require_auto(method, "`output` is not 'mse'")
        return envelope_equilibrium(net, data, output)
    x, y = any_rows(net, data)
    if data.observed is not None:
        _require_auto(method, "targets are missing")
        activities, errors, energy = observed_sweep(net, x, y, data.observed)
        return Equilibrium(activities, errors, representable(energy, "F"), "observed", net, data)
    route = solve(net, x, y, method)
    eq = Equilibrium(route.activities, route.errors, route.energy, route.method, net, data)
    if route.doubtful:
        _require_digits(eq, method)
    return eq


def _require_digits(eq: Equilibrium, method: str) -> None:
    """Raise an error if rounding errors of the method have left no digit.

    Errors and energy are also lost where the network fits the data to the last digit, with every method:
    then they are 0 up to the rounding errors of the data, and this is the answer.

    Raises
    ------
    ValueError
        If no digit is left.
    """
    lost = [name for name, estimate in eq.accuracy._asdict().items() if math.isinf(estimate)]
    if not lost:
        return
    if method in ("auto", "feedback"):
        if "activities" in lost:
            raise ValueError(
                "`weights` must not be so large that the predictions of a layer cancel to the last digit. "
                "Got a network without an accurate digit in its activities at equilibrium: scale the "
                "weights down."
            )
        return
    other = equilibrium(eq.net, eq.data).accuracy._asdict()
    if any(not math.isinf(other[name]) for name in lost):
        raise ValueError(
            "`method` must be one whose rounding errors leave a digit of the equilibrium. Got "
            f"{method!r}, which leaves none of the {' and '.join(lost)}: use 'auto'."
        )


def _require_auto(method: str, where: str) -> None:
    if method != "auto":
        raise ValueError(f"`method` must be 'auto' where {where}: there is one way only. Got {method!r}.")


def gradient_decomposition(net: LinearPCN, data: Data) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
    r"""The two terms of the gradient of F* in the weights (claim ``gradient-decomposition``).

    .. math:: \frac{\partial F^*}{\partial W_l} = -a_l P_l^T S^{-1} \Big[ \langle r x^T \rangle Q_{l-1}^T
              + \langle r r^T \rangle S^{-1} K_{l-1}^T \Big],
              \qquad K_l = A_l K_{l-1} + \Sigma_l P_l^T, \quad K_0 = 0

    Parameters
    ----------
    net : LinearPCN
        The network.
    data : Data
        x (B, n_0) and y (B, n_L).

    Returns
    -------
    preconditioned : tuple of (n_l, n_{l-1})
        Backprop's gradient with its output error preconditioned by :math:`S^{-1}`.
    residual : tuple of (n_l, n_{l-1})
        Vanishes at a perfect fit; it is what leaves saddles where backprop's gradient is zero.

    Notes
    -----
    With :math:`\Pi_l \epsilon_l^* = P_l^T S^{-1} r` they are the local rule at the errors of equilibrium,
    with the activities :math:`\hat z_{l-1} = Q_{l-1} x` of the forward pass, and with what inference adds to
    them, :math:`K_{l-1} S^{-1} r`. Their sum is the gradient of `EquilibratedEnergy`. With one output the
    terms are :math:`\nabla \mathcal L / s` and :math:`-\mathcal L\, \nabla s / s^2` (claim
    ``scalar-gradient-split``).

    Examples
    --------
    >>> net, data = LinearPCN([[[2.0]], [[3.0]]]), Data([[1.0]], [[7.0]])  # r = 1, S = 10
    >>> [[round(g.item(), 12) for g in term] for term in gradient_decomposition(net, data)]
    [[-0.3, -0.2], [0.0, -0.03]]
    """
    eq = equilibrium(net, data)
    forward = forward_pass(net, eq.activities[0])
    drift = [
        array_namespace(forward[0]).zeros_like(forward[0])
    ]  # z* - zhat = K S^{-1} r, without a difference
    for matrix, error in zip(net.maps, eq.errors, strict=True):
        drift.append(drift[-1] @ matrix.T + error)
    terms = [list(weight_rule(net, eq.weighted_errors, inputs)) for inputs in (forward, drift)]
    for index in range(net.depth, len(terms[1])):  # a bias belongs to the forward pass
        terms[1][index] = array_namespace(*terms[1]).zeros_like(terms[1][index])
    return tuple(terms[0]), tuple(terms[1])
