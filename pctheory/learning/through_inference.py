r"""Gradients of a task loss through inference: unrolled, truncated, implicit, equilibrium propagation.

Inference is :math:`z_{t+1} = z_t - g \nabla E(z_t)` with E a sample's energy and :math:`\mathcal H` its
Hessian on the free units. For an adjoint :math:`\alpha = (\alpha_0, \dots, \alpha_L)`, shaped like the
activities, let

.. math:: D_l(z, \alpha) = a_l \big\langle \Pi_l \epsilon_l(z)\, \alpha_{l-1}^T
          + \Pi_l \epsilon_l(\alpha)\, z_{l-1}^T \big\rangle,
          \qquad \epsilon_l(\alpha) = \alpha_l - A_l \alpha_{l-1},

where :math:`a_l` is the multiplier and the mean is over the batch. The derivative of :math:`-\alpha^T \nabla
E(z)` in :math:`W_l` is :math:`D_l(z, \alpha)`, so each rule is a sum of such terms with its own adjoint
(claims ``through-inference-gradients``, ``truncated-adjoint``, ``equilibrium-propagation``).
"""

from __future__ import annotations

from collections.abc import Sequence

from array_api_compat import array_namespace

from .. import _check
from .._check import Array
from ..inference import ClampedProblem
from ..model import LinearPCN, weight_gradient
from ..model.definitions import activity_rows, errors_of, require_plain
from .losses import TaskLoss

__all__ = [
    "equilibrium_propagation_gradient",
    "implicit_gradient",
    "mixed_derivative",
    "truncated_gradient",
    "unrolled_gradient",
]

MAX_ITERATIONS = 1000


def mixed_derivative(
    net: LinearPCN, activities: Sequence[Array], adjoint: Sequence[Array]
) -> tuple[Array, ...]:
    r"""The bilinear form :math:`D_l(z, \alpha) = -\langle \alpha^T \partial_{W_l} \nabla E(z) \rangle`.

    It is symmetric in its arguments, and :math:`D(z, z) = -2\, \partial F/\partial W`.

    Parameters
    ----------
    net : LinearPCN
        The network.
    activities : (z_0, ..., z_L), each (B, n_l)
        Activities of all layers.
    adjoint : L + 1 arrays (B, n_l)
        :math:`\alpha_l`.

    Returns
    -------
    form : tuple of (n_l, n_{l-1}), l = 1..L

    Examples
    --------
    >>> net, z = LinearPCN([[[2.0]]]), ([[1.0]], [[5.0]])  # epsilon = 3
    >>> mixed_derivative(net, z, z)[0].item()
    6.0
    """
    return _mixed(require_plain(net), activity_rows(net, activities), activity_rows(net, adjoint, "adjoint"))


def _mixed(net: LinearPCN, activities: Sequence[Array], adjoint: Sequence[Array]) -> tuple[Array, ...]:
    size = activities[0].shape[0]
    errors, responses = errors_of(net, activities), errors_of(net, adjoint)
    return tuple(
        (a / size) * (precision.apply(e).T @ alpha + precision.apply(d).T @ z)
        for a, precision, e, d, alpha, z in zip(
            net.multipliers, net.precisions, errors, responses, adjoint, activities, strict=False
        )
    )


def implicit_gradient(problem: ClampedProblem, loss: TaskLoss) -> tuple[Array, ...]:
    r"""The gradient of :math:`\Lambda(z^*(\theta); \theta)`: a second inference run with the same Hessian.

    .. math:: \alpha = \mathcal H^{-1} \nabla_z \Lambda, \qquad
              \frac{d\Lambda}{dW_l} = D_l(z^*, \alpha) + \frac{\partial\Lambda}{\partial W_l}

    With the energy as the loss the adjoint :math:`\alpha` is 0, and this is the local rule at equilibrium.
    Claim ``through-inference-gradients``.

    Parameters
    ----------
    problem : ClampedProblem
        The network, and the units that are clamped.
    loss : TaskLoss
        :math:`\Lambda`.

    Returns
    -------
    gradient : tuple of (n_l, n_{l-1}), l = 1..L

    Examples
    --------
    >>> import numpy as np
    >>> from pctheory.learning import CrossEntropy
    >>> net, image = LinearPCN([[[1.0], [0.0]]]), (np.zeros((1, 1)), np.array([[3.0, 1.0]]))
    >>> problem = ClampedProblem(net, image, (False, True))
    >>> [g.tolist() for g in implicit_gradient(problem, CrossEntropy(np.ones((1, 1))))]  # one class
    [[[0.0], [0.0]]]
    """
    _require(problem, loss)
    z = problem.equilibrium().activities
    return _with_adjoint(problem, loss, z, problem.solve(_per_sample(problem, loss, z)))


def truncated_gradient(
    problem: ClampedProblem, loss: TaskLoss, step: float, num_terms: int
) -> tuple[Array, ...]:
    r"""The last K steps of backpropagation through inference at equilibrium: a Neumann sum for the adjoint.

    .. math:: \alpha_K = g \sum_{k<K} (I - g\mathcal H)^k \nabla_z \Lambda, \qquad
              \alpha - \alpha_K = (I - g\mathcal H)^K \alpha

    The relative error of the adjoint is at most :math:`\rho^K`; K = 1 is the one-step (Jacobian-free)
    gradient and K = 0 the explicit derivative alone. Claim ``truncated-adjoint``.

    Parameters
    ----------
    problem : ClampedProblem
        The network, the activities and which of their units are clamped.
    loss : TaskLoss
        Loss of the activities, :math:`\Lambda`.
    step : float
        g.
    num_terms : int
        K.

    Returns
    -------
    gradient : tuple of (n_l, n_{l-1}), l = 1..L

    Examples
    --------
    >>> import numpy as np
    >>> from pctheory.learning import SquaredError
    >>> net, y = LinearPCN([[[1.0]], [[1.0]]]), np.array([[2.0]])
    >>> problem = ClampedProblem(net, (np.ones((1, 1)), np.zeros((1, 1)), y))
    >>> loss = SquaredError(np.array([[3.0]]), layer=1)
    >>> [round(g.item(), 12) for g in truncated_gradient(problem, loss, 0.25, 1)]  # 1 - 0.25 * 2
    [-0.375, 0.375]
    >>> [round(g.item(), 12) for g in implicit_gradient(problem, loss)]
    [-0.75, 0.75]
    """
    _require(problem, loss)
    g, terms = _check.positive(step, "step"), _check.count(num_terms, "num_terms")
    z = problem.equilibrium().activities
    term = _per_sample(problem, loss, z)
    total = tuple(array_namespace(v).zeros_like(v) for v in term)
    for _ in range(terms):
        total = tuple(s + g * v for s, v in zip(total, term, strict=True))
        term = _contract(problem, term, g)
    return _with_adjoint(problem, loss, z, total)


def unrolled_gradient(
    problem: ClampedProblem,
    loss: TaskLoss,
    step: float,
    num_steps: int,
    *,
    last: int | None = None,
    start: Sequence[Array] | None = None,
) -> tuple[Array, ...]:
    r"""Backpropagation of :math:`\Lambda(z_T)` through T steps of inference.

    If only the input is clamped, this is backpropagation through the forward pass (claim
    ``nothing-to-learn``).

    .. math:: \alpha_T = \nabla_z\Lambda, \quad \alpha_t = (I - g\mathcal H)\,\alpha_{t+1}, \qquad
              \frac{d\Lambda}{dW_l} = \sum_{t<T} D_l(z_t, g\,\alpha_{t+1})
              + \frac{\partial\Lambda}{\partial W_l} + \alpha_0^T \frac{\partial z_0}{\partial W_l}

    with the step as the index of the adjoint :math:`\alpha`.

    Parameters
    ----------
    problem : ClampedProblem
        The network, the activities and which of their units are clamped.
    loss : TaskLoss
        Loss of the activities, :math:`\Lambda`.
    step : float
        g.
    num_steps : int
        T.
    last : None or int
        Only the last K <= T steps are differentiated; what came before is a constant. None: all of them, and
        the forward pass of the start too. K = T takes the start as a constant; K = 0 is the explicit
        derivative alone, which for the energy is the local rule at :math:`z_T`.
    start : None or (z_0, ..., z_L)
        Values of the free units at t = 0, constants; `ClampedProblem.start` by default.

    Returns
    -------
    gradient : tuple of (n_l, n_{l-1}), l = 1..L

    Raises
    ------
    ValueError
        If `last` exceeds `num_steps`.

    Examples
    --------
    >>> import numpy as np
    >>> from pctheory.learning import LayerEnergies, local_gradient
    >>> from pctheory import Data
    >>> net, data = LinearPCN([[[1.0]], [[1.0]]]), Data([[1.0]], [[2.0]])
    >>> problem = ClampedProblem(net, (data.x, data.x, data.y))
    >>> [g.item() for g in unrolled_gradient(problem, LayerEnergies(), 0.25, 1, last=0)]
    [-0.25, -0.9375]
    >>> [g.item() for g in local_gradient(net, data, 0.25, 1)]
    [-0.25, -0.9375]
    """
    _require(problem, loss)
    path = problem.relax(step, num_steps, start)
    steps = len(path) - 1
    count = steps if last is None else _check.count(last, "last")
    if count > steps:
        raise ValueError(
            f"`last` must not exceed the number of steps. Got {count} for `num_steps` = {steps}."
        )
    adjoint = _per_sample(problem, loss, path[-1])
    gradient = loss.weight_gradient(problem.net, path[-1])
    for z in reversed(path[steps - count : steps]):
        pushed = tuple(step * v for v in adjoint)
        gradient = _add(gradient, _mixed(problem.net, z, pushed))
        adjoint = _contract(problem, adjoint, step)
    if last is None and start is None:
        gradient = _add(gradient, _start_gradient(problem, path[0], adjoint))
    return gradient


def equilibrium_propagation_gradient(
    problem: ClampedProblem, loss: TaskLoss, beta: float
) -> tuple[Array, ...]:
    r"""Equilibrium propagation: the difference quotient of two nudged equilibria.

    .. math:: \frac{1}{2\beta} \big[ \partial_W F_\beta(z^{+\beta}) - \partial_W F_{-\beta}(z^{-\beta}) \big]

    :math:`F_\beta = F + \beta\Lambda`, and :math:`z^\beta` is its minimum over the free units. The error
    against `implicit_gradient` is :math:`O(\beta^2)`; rounding adds about eps / beta. Claim
    ``equilibrium-propagation``; Scellier & Bengio 2017.

    Parameters
    ----------
    problem : ClampedProblem
        The network, the activities and which of their units are clamped.
    loss : TaskLoss
        :math:`\Lambda`.
    beta : float
        Nudge, not zero.

    Returns
    -------
    gradient : tuple of (n_l, n_{l-1}), l = 1..L

    Raises
    ------
    ValueError
        If `beta` is zero, or too large for the iteration to converge.

    Notes
    -----
    The minimum is found by :math:`z \leftarrow z - \mathcal H^{-1} B \nabla F_\beta(z)`, repeated until z no
    longer changes. The rate is :math:`\beta \Vert \mathcal H^{-1} \nabla^2\Lambda \Vert`: a small nudge takes
    a few solves.

    Examples
    --------
    >>> import numpy as np
    >>> from pctheory.learning import SquaredError
    >>> net, y = LinearPCN([[[1.0]], [[1.0]]]), np.array([[2.0]])
    >>> problem = ClampedProblem(net, (np.ones((1, 1)), np.zeros((1, 1)), y))
    >>> loss = SquaredError(np.array([[3.0]]), layer=1)
    >>> [round(g.item(), 6) for g in equilibrium_propagation_gradient(problem, loss, 1e-4)]
    [-0.75, 0.75]
    >>> [round(g.item(), 6) for g in implicit_gradient(problem, loss)]
    [-0.75, 0.75]
    """
    _require(problem, loss)
    nudge = _check.real(beta, "beta")
    if nudge == 0:
        raise ValueError(
            "`beta` must not be 0: the two equilibria would be the same. Got 0: pass a small number."
        )
    rested = problem.equilibrium().activities
    sides = []
    for sign in (1.0, -1.0):
        z = _nudged(problem, loss, sign * nudge, rested)
        own, task = weight_gradient(problem.net, z), loss.weight_gradient(problem.net, z)
        sides.append(tuple(f + sign * nudge * t for f, t in zip(own, task, strict=True)))
    return tuple((p - m) / (2 * nudge) for p, m in zip(*sides, strict=True))


def _require(problem: object, loss: object) -> None:
    inference: ClampedProblem = _check.instance(problem, "problem", ClampedProblem)
    for net in (inference.net, inference.reverse):
        if net is not None:
            require_plain(net)
    _check.instance(loss, "loss", TaskLoss)


def _nudged(
    problem: ClampedProblem, loss: TaskLoss, beta: float, rested: tuple[Array, ...]
) -> tuple[Array, ...]:
    """The minimum of F + beta Lambda, to rounding."""
    z, before = rested, float("inf")
    size = _largest(rested)
    small = float(array_namespace(z[0]).finfo(z[0].dtype).eps) ** 0.5 * size
    for _ in range(MAX_ITERATIONS):
        task = _per_sample(problem, loss, z)
        force = tuple(a + beta * b for a, b in zip(problem.product(z), task, strict=True))
        move = problem.solve(force)
        z = tuple(a - b for a, b in zip(z, move, strict=True))
        moved = _largest(move)
        if moved == 0 or (moved >= before / 2 and moved <= small):
            return z
        if not moved <= 1e3 * size:
            break
        before = moved
    raise ValueError(
        f"`beta` must be small enough for the nudged inference to converge. Got {beta:g}: lower it."
    )


def _largest(layers: Sequence[Array]) -> float:
    return max(float(array_namespace(v).max(array_namespace(v).abs(_check.detached(v)))) for v in layers)


def _per_sample(problem: ClampedProblem, loss: TaskLoss, z: Sequence[Array]) -> tuple[Array, ...]:
    """Gradient of each sample's loss on the free units."""
    slope = loss.activity_gradient(problem.net, z)
    return problem.project(tuple(problem.batch_size * s for s in slope))


def _contract(problem: ClampedProblem, layers: Sequence[Array], step: float) -> tuple[Array, ...]:
    """(I - gH) v."""
    return tuple(v - step * h for v, h in zip(layers, problem.product(layers), strict=True))


def _with_adjoint(
    problem: ClampedProblem, loss: TaskLoss, z: Sequence[Array], adjoint: Sequence[Array]
) -> tuple[Array, ...]:
    return _add(_mixed(problem.net, z, adjoint), loss.weight_gradient(problem.net, z))


def _start_gradient(
    problem: ClampedProblem, start: Sequence[Array], adjoint: Sequence[Array]
) -> tuple[Array, ...]:
    r"""Through the forward pass of the start: :math:`\mu_{l-1} = \alpha_{l-1} + A_l^T \mu_l`."""
    net, size = problem.net, problem.batch_size
    back = list(adjoint)
    gradient: list[Array] = []
    for l in range(net.depth, 0, -1):
        gradient.append((net.multipliers[l - 1] / size) * back[l].T @ start[l - 1])
        lower = back[:]
        lower[l - 1] = back[l] @ net.maps[l - 1]
        back[l - 1] = back[l - 1] + problem.project(tuple(lower))[l - 1]
    return tuple(gradient[::-1])


def _add(one: Sequence[Array], other: Sequence[Array]) -> tuple[Array, ...]:
    return tuple(a + b for a, b in zip(one, other, strict=True))
