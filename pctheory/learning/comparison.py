r"""All learning rules on one batch: cosines, ratios of norms, and bounds on their distance from exact PC."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from .. import _check
from .._check import Array
from ..inference import ClampedProblem, error_eigenvalues, inference_rate, spiking_update
from ..model import Data, LinearPCN, feedforward
from ..model.definitions import data_rows, require_plain
from .losses import LayerEnergies, TaskLoss
from .rules import (
    backprop_gradient,
    error_descent_gradient,
    fixed_prediction_gradient,
    local_gradient,
    pc_gradient,
    z_il_gradient,
)
from .through_inference import (
    equilibrium_propagation_gradient,
    implicit_gradient,
    truncated_gradient,
    unrolled_gradient,
)

__all__ = ["LEARNING_RULES", "GradientBounds", "GradientComparison", "compare_gradients", "gradient_bounds"]


@dataclass(frozen=True)
class _Settings:
    step: float
    num_steps: int
    last: int
    beta: float
    alpha: float
    loss: TaskLoss


Rule = Callable[[LinearPCN, Data, ClampedProblem, _Settings], tuple[Array, ...]]

LEARNING_RULES: dict[str, Rule] = {
    "bp": lambda n, d, p, s: backprop_gradient(n, d),
    "pc": lambda n, d, p, s: pc_gradient(n, d),
    "local": lambda n, d, p, s: local_gradient(n, d, s.step, s.num_steps),
    "unrolled": lambda n, d, p, s: unrolled_gradient(p, s.loss, s.step, s.num_steps),
    "detached": lambda n, d, p, s: unrolled_gradient(p, s.loss, s.step, s.num_steps, last=s.num_steps),
    "truncated": lambda n, d, p, s: unrolled_gradient(p, s.loss, s.step, s.num_steps, last=s.last),
    "implicit": lambda n, d, p, s: implicit_gradient(p, s.loss),
    "neumann": lambda n, d, p, s: truncated_gradient(p, s.loss, s.step, s.last),
    "one-step": lambda n, d, p, s: truncated_gradient(p, s.loss, s.step, 1),
    "equilibrium-propagation": lambda n, d, p, s: equilibrium_propagation_gradient(p, s.loss, s.beta),
    "error-coordinates": lambda n, d, p, s: error_descent_gradient(n, d, _error_step(n), s.num_steps),
    "z-il": lambda n, d, p, s: z_il_gradient(n, d),
    "fixed-prediction": lambda n, d, p, s: fixed_prediction_gradient(
        n, d, _prediction_step(n), max(s.num_steps, n.depth - 1)
    ),
    "spiking": lambda n, d, p, s: spiking_update(n, d, s.step, s.alpha),
}
"""Every rule by name: backprop, exact PC, and what lies between and beside them."""


@dataclass(frozen=True, eq=False, repr=False)
class GradientComparison:
    r"""The gradients of several rules on the same network and batch.

    Attributes
    ----------
    gradients : dict of tuples of L arrays
    step, num_steps, contraction : float, int, float
        g, T and :math:`\rho = \max |1 - g\, \mathrm{eig}(H)|`.
    bounds : GradientBounds
    """

    gradients: dict[str, tuple[np.ndarray, ...]]
    step: float
    num_steps: int
    contraction: float
    bounds: GradientBounds

    def cosines(self, to: str) -> dict[str, np.ndarray]:
        """Cosine to the rule `to`, layer by layer.

        Parameters
        ----------
        to : str
            One of the compared rules.

        Returns
        -------
        cosines : dict of arrays (L,)
            NaN where a gradient is exactly zero.
        """
        reference = self._rule(to)
        return {
            name: np.array([_cosine(a, b) for a, b in zip(g, reference, strict=True)])
            for name, g in self.gradients.items()
        }

    def norm_ratios(self, to: str) -> dict[str, np.ndarray]:
        """Norm of each rule's gradient divided by that of the rule `to`, layer by layer.

        Parameters
        ----------
        to : str
            One of the compared rules.

        Returns
        -------
        ratios : dict of arrays (L,)
            NaN where the gradient of `to` is exactly zero.

        Examples
        --------
        >>> net, data = LinearPCN([[[1.0]], [[2.0]]]), Data([[1.0]], [[3.0]])  # r = 1, S = 5
        >>> compare_gradients(net, data, ()).norm_ratios("bp")["pc"].round(12)
        array([0.2 , 0.28])
        """
        sizes = np.array([np.linalg.norm(g) for g in self._rule(to)])
        sizes = np.where(sizes > 0, sizes, np.nan)
        return {name: np.array([np.linalg.norm(a) for a in g]) / sizes for name, g in self.gradients.items()}

    def errors(self, to: str) -> dict[str, np.ndarray]:
        """Norm of the difference from the gradient of the rule `to`, layer by layer.

        Parameters
        ----------
        to : str
            One of the compared rules.

        Returns
        -------
        errors : dict of arrays (L,)
        """
        reference = self._rule(to)
        return {
            name: np.array([np.linalg.norm(a - b) for a, b in zip(g, reference, strict=True)])
            for name, g in self.gradients.items()
        }

    def _rule(self, name: str) -> tuple[np.ndarray, ...]:
        return self.gradients[_check.choice(name, "to", self.gradients)]

    def __repr__(self) -> str:
        return (
            f"GradientComparison({', '.join(self.gradients)}; g = {self.step:.3g}, T = {self.num_steps}, "
            f"rho = {self.contraction:.4f})"
        )


@dataclass(frozen=True, eq=False)
class GradientBounds:
    r"""Bounds on the distance from the gradient of F*, for gradient descent on the activities; (L,) each.

    Attributes
    ----------
    local : of the local rule at :math:`z_T`, :math:`O(\rho^T)`
    detached : of backpropagation of the energy through T steps, :math:`O(T \rho^{2T})`, the start a constant
    unrolled : the same, the start's forward pass included
    """

    local: np.ndarray
    detached: np.ndarray
    unrolled: np.ndarray


def compare_gradients(
    net: LinearPCN,
    data: Data,
    rules: Iterable[str] | None = None,
    *,
    step: float | None = None,
    num_steps: int = 20,
    last: int = 5,
    beta: float = 1e-3,
    alpha: float = 1e-3,
    loss: TaskLoss | None = None,
) -> GradientComparison:
    r"""Gradients of several learning rules, and what theory says of their distances.

    Parameters
    ----------
    net : LinearPCN
        With at least one hidden layer; input and output clamped to the data.
    data : Data
        x (B, n_0) and y (B, n_L).
    rules : names in `LEARNING_RULES`
        All of them by default; "bp" and "pc" are always there.
    step : float
        g of gradient descent on the activities; by default the best one, :math:`2/(\lambda_{\min} +
        \lambda_{\max})`.
    num_steps : int
        T.
    last : int
        K: steps of "truncated" and terms of "neumann".
    beta : float
        Nudge of "equilibrium-propagation".
    alpha : float
        Precision of the silent layers of "spiking".
    loss : TaskLoss
        What the rules through inference differentiate; the energy by default.

    Returns
    -------
    GradientComparison

    Notes
    -----
    "detached" unrolls all T steps from a constant start; "unrolled" differentiates the forward pass of the
    start too. "error-coordinates" and "fixed-prediction" descend with their own best steps.

    Examples
    --------
    >>> net, data = LinearPCN([[[1.0]], [[1.0]], [[1.0]]]), Data([[1.0]], [[2.0]])
    >>> compared = compare_gradients(net, data, ("local", "z-il"), num_steps=2)
    >>> compared
    GradientComparison(bp, pc, local, z-il; g = 0.5, T = 2, rho = 0.5000)
    >>> bool((compared.errors("pc")["local"] <= compared.bounds.local).all())
    True
    """
    chosen = LEARNING_RULES if rules is None else _check.sequence(rules, "rules")
    names = dict.fromkeys(("bp", "pc", *(_check.choice(name, "rules", LEARNING_RULES) for name in chosen)))
    rate = inference_rate(require_plain(net))
    g = rate.best_step if step is None else _check.positive(step, "step")
    steps = _check.count(num_steps, "num_steps")
    settings = _Settings(
        g,
        steps,
        min(_check.count(last, "last"), steps),
        beta,
        alpha,
        LayerEnergies() if loss is None else loss,
    )
    x, y = data_rows(net, data)
    problem = ClampedProblem(net, (*feedforward(net, x)[:-1], y))
    gradients = {
        name: tuple(
            _check.to_numpy(part, name) for part in LEARNING_RULES[name](net, data, problem, settings)
        )
        for name in names
    }
    return GradientComparison(gradients, g, steps, rate.contraction(g), gradient_bounds(problem, g, steps))


def gradient_bounds(problem: ClampedProblem, step: float, num_steps: int) -> GradientBounds:
    r"""Bounds that hold for any network, data and step (also an unstable one), in terms of :math:`\rho`.

    Let :math:`d_t = z_t - z^*`, :math:`|d_t| \le \rho^t |d_0|`, :math:`s_l = \Vert \Pi_l [I, -A_l] \Vert` and
    :math:`m_l = |\Pi_l \epsilon_l^*| + s_l |z_{l-1}^*|` (Frobenius norms over the batch). For any adjoint
    :math:`\alpha`, :math:`|D_l(z^*, \alpha)| \le a_l m_l |\alpha| / B` and
    :math:`|D_l(d, \alpha)| \le 2 a_l s_l |d| |\alpha| / B`, so that

    .. math:: \text{local:} \quad & \tfrac{a_l}{B} (m_l \rho^T |d_0| + s_l \rho^{2T} |d_0|^2) \\
              \text{detached:} \quad & \tfrac{a_l}{B} \rho^{2T} |d_0| (m_l + s_l |d_0|
                  + 2 T g \lambda_{\max} s_l |d_0| / \rho)

    and the start adds at most :math:`\tfrac{a_l}{B} \rho^{2T} \lambda_{\max} |d_0| |\hat z_{l-1}|
    \sum_{k \ge l} \Vert A_k \Vert \cdots \Vert A_{l+1} \Vert`. Claim ``finite-time-energy``.

    Parameters
    ----------
    problem : ClampedProblem
        Input and output clamped.
    step : float
        g.
    num_steps : int
        T.

    Returns
    -------
    GradientBounds
    """
    _check.instance(problem, "problem", ClampedProblem)
    net, size = require_plain(problem.net), problem.batch_size
    rate = inference_rate(net)
    g, T = _check.positive(step, "step"), _check.count(num_steps, "num_steps")
    rho, top = rate.contraction(g), rate.largest
    start = [_check.to_numpy(z, "z") for z in problem.start()]
    rest = [_check.to_numpy(z, "z") for z in problem.equilibrium().activities]
    d = np.sqrt(sum(np.sum((a - b) ** 2) for a, b in zip(start, rest, strict=True)))
    maps = [_check.to_numpy(m, "A") for m in net.maps]
    norms = [float(np.linalg.norm(m, 2)) for m in maps]
    local, detached, unrolled = [], [], []
    for l, (matrix, precision, multiplier) in enumerate(
        zip(maps, net.precisions, net.multipliers, strict=True), start=1
    ):
        pi = _check.to_numpy(precision.matrix(net.maps[l - 1]), "Pi")
        s = float(np.linalg.norm(np.hstack([pi, -pi @ matrix]), 2))
        m = float(np.linalg.norm((rest[l] - rest[l - 1] @ matrix.T) @ pi)) + s * float(
            np.linalg.norm(rest[l - 1])
        )
        scale = abs(multiplier) / size
        through = 2 * T * g * top * s * d * rho ** (2 * T - 1) if T else 0.0
        reach, product = 0.0, 1.0
        for k in range(l, net.depth):  # hidden layers k >= l; the output is clamped
            product *= norms[k - 1] if k > l else 1.0
            reach += product
        local.append(scale * d * (m * rho**T + s * d * rho ** (2 * T)))
        detached.append(scale * d * ((m + s * d) * rho ** (2 * T) + through))
        unrolled.append(
            detached[-1] + scale * rho ** (2 * T) * top * d * float(np.linalg.norm(start[l - 1])) * reach
        )
    return GradientBounds(np.array(local), np.array(detached), np.array(unrolled))


def _error_step(net: LinearPCN) -> float:
    """The best step of gradient descent on the whitened hidden errors."""
    values = error_eigenvalues(net)
    return float(2 / (values[0] + values[-1]))


def _prediction_step(net: LinearPCN) -> float:
    """The best step with fixed predictions, set by the eigenvalues of the hidden precisions."""
    values = [
        np.linalg.eigvalsh(_check.to_numpy(p.matrix(w), "Pi"))
        for p, w in zip(net.precisions[:-1], net.weights[:-1], strict=True)
    ]
    return float(2 / (min(v[0] for v in values) + max(v[-1] for v in values)))


def _cosine(a: np.ndarray, b: np.ndarray) -> float:
    size = np.linalg.norm(a) * np.linalg.norm(b)
    return float(np.sum(a * b) / size) if size else np.nan
