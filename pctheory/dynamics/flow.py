r"""Learning on an objective: gradient flow, gradient descent, the balance law, and the times they take.

Gradient flow on the weights is :math:`\dot W_l = -\partial f / \partial W_l`. On the loss it conserves the
*imbalance* of every pair of layers; on :math:`F^*` the imbalance grows at twice the covariance of the hidden
prediction errors (claim ``balance-law``).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .. import _check, _html
from ..inference import equilibrium
from ..landscape import Objective
from ..model import LEARNED, Data, LinearPCN
from ..model.definitions import any_rows

__all__ = [
    "Trajectory",
    "crossing_time",
    "gradient_descent",
    "gradient_flow",
    "half_time",
    "imbalance",
    "imbalance_rate",
]

FLOW_METHODS = ("LSODA", "DOP853", "Radau", "BDF")

JACOBIAN_LIMIT = 200
"""Number of weights up to which an implicit method is given the exact Hessian."""

DIVERGED = 1e8
"""Norm of the weights at which a trajectory is said to diverge."""


SPARKS = 60
"""Points of the small line that a notebook shows of a trajectory."""


@dataclass(frozen=True, eq=False, repr=False)
class Trajectory:
    r"""A path of weights.

    Attributes
    ----------
    times : (T,)
        Time of the flow, or number of descent steps times the learning rate, of each recorded point.
    weights : (T, num_weights)
        In the order of ``net.flatten()``: all that the objective learns.
    net : LinearPCN
        The start.
    objective : Objective
        What was descended.
    status : "completed", "diverged" or "stopped"
        "diverged": the weights passed `DIVERGED` or became infinite; "stopped": the integrator could not keep
        its tolerance. Then `times` ends early.
    message : str
    """

    times: np.ndarray
    weights: np.ndarray
    net: LinearPCN
    objective: Objective
    status: str
    message: str

    def network(self, index: int) -> LinearPCN:
        """The network at a recorded point."""
        return self.net.unflatten(self.weights[index]).learning(LEARNED)

    def values(self, objective: Objective | None = None) -> np.ndarray:
        """Values (T,) of the descended objective, or of another one, along the path."""
        chosen = self.objective if objective is None else objective
        return np.asarray(_check.instance(chosen, "objective", Objective).values(self.net, self.weights))

    def layer_norms(self) -> np.ndarray:
        r""":math:`\|W_l\|_F`, (T, L)."""
        return np.stack(
            [np.linalg.norm(w, axis=(1, 2)) for w in self.net.split(self.weights)[: self.net.depth]], axis=1
        )

    def plot(self, ax: Any = None, *objectives: Objective, **options: Any) -> Any:
        """The descended objective, or others, against time.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            A new figure's by default.
        *objectives : Objective
            By default the one that was descended.
        **options
            Of the lines.

        Returns
        -------
        matplotlib.axes.Axes
        """
        from ..plotting import plot_trajectory

        return plot_trajectory(self, ax, objectives, **options)

    def _repr_html_(self) -> str:
        kept = np.unique(np.linspace(0, len(self.times) - 1, SPARKS).astype(int))
        values = self.objective.values(self.net, self.weights[kept])
        facts = {
            "of": type(self.objective).__name__,
            "points": f"{len(self.times)}, to time {self.times[-1]:.4g}",
            "status": self.status,
            "value": f"{float(values[0]):.6g} \N{RIGHTWARDS ARROW} {float(values[-1]):.6g}",
        }
        return _html.card("Trajectory", facts, _html.sparkline(np.asarray(values)))

    def __repr__(self) -> str:
        return (
            f"Trajectory({len(self.times)} points to time {self.times[-1]:.4g}, {self.status}, {self.net!r})"
        )


def gradient_flow(
    objective: Objective,
    net: LinearPCN,
    times: ArrayLike,
    *,
    method: str | None = None,
    rtol: float = 1e-9,
    atol: float = 1e-12,
) -> Trajectory:
    r"""Gradient flow :math:`\dot W_l = -\partial f / \partial W_l` by an adaptive integrator.

    Parameters
    ----------
    objective : Objective
        f, the function that falls.
    net : LinearPCN
        Where the flow starts.
    times : increasing (T,), the first is the time of the start
        When the weights are recorded.
    method : None, "LSODA", "DOP853", "Radau" or "BDF"
        By default LSODA, which turns implicit where the flow is stiff, up to `JACOBIAN_LIMIT` weights, and
        DOP853 above. The implicit methods use the exact Hessian up to that limit.
    rtol, atol : float
        Relative and absolute tolerance of a step.

    Returns
    -------
    Trajectory
        With the status "diverged" or "stopped" and fewer points if the end was not reached.

    Notes
    -----
    On data that a linear map fits, the flow of :math:`F^*` converges to a global minimum or diverges from
    almost every start (claim ``almost-every-trajectory``). A point near which it stays is not always one that
    one wants: noise stronger than the signal traps it at a bottleneck (claim ``escape-trap``).

    Examples
    --------
    >>> from pctheory import MSELoss
    >>> loss = MSELoss(Data([[1.0]], [[1.0]]))
    >>> path = gradient_flow(loss, LinearPCN([[[0.0]]]), [0.0, 1.0])  # w = 1 - exp(-t)
    >>> round(float(path.weights[-1, 0]), 6), path.status
    (0.632121, 'completed')
    """
    from scipy.integrate import solve_ivp  # 0.3 s that `import pctheory` need not wait for

    _check.instance(objective, "objective", Objective)
    net = objective.coordinates(net).to_numpy()
    when = _times(times)
    chosen = ("LSODA" if net.num_weights <= JACOBIAN_LIMIT else "DOP853") if method is None else method
    _check.choice(chosen, "method", FLOW_METHODS)
    relative, absolute = _check.positive(rtol, "rtol"), _check.non_negative(atol, "atol")
    start = np.asarray(net.flatten())

    def slope(_: float, vector: np.ndarray) -> np.ndarray:
        return -np.asarray(net.join(objective.gradient(net.with_weights(net.split(vector)))))

    def jacobian(_: float, vector: np.ndarray) -> np.ndarray:
        return -np.asarray(objective.hessian(net.with_weights(net.split(vector))))

    def too_far(_: float, vector: np.ndarray) -> float:
        return DIVERGED - float(np.linalg.norm(vector))

    too_far.terminal = True  # type: ignore[attr-defined]
    options: dict[str, Any] = (
        {"jac": jacobian} if chosen != "DOP853" and net.num_weights <= JACOBIAN_LIMIT else {}
    )
    with warnings.catch_warnings():
        # LSODA prints its failure as a warning; it is in the status
        warnings.simplefilter("ignore", UserWarning)
        solution = solve_ivp(  # type: ignore[call-overload]
            slope,
            (when[0], when[-1]),
            start,
            method=chosen,
            t_eval=when,
            events=too_far,
            rtol=relative,
            atol=absolute,
            **options,
        )
    status = {0: "completed", 1: "diverged"}.get(solution.status, "stopped")
    reached = np.asarray(solution.t, dtype=np.float64)
    weights = np.asarray(solution.y, dtype=np.float64).T.reshape(-1, len(start))
    if not len(reached):
        reached, weights = when[:1], start[None]
    return Trajectory(reached, weights, net, objective, status, str(solution.message))


def gradient_descent(
    objective: Objective, net: LinearPCN, learning_rate: float, steps: int, *, record: int | Sequence[int] = 1
) -> Trajectory:
    r"""Gradient descent :math:`W_l \leftarrow W_l - \eta\, \partial f / \partial W_l` on the exact gradient.

    Parameters
    ----------
    objective : Objective
        f, the function that falls.
    net : LinearPCN
        Where the descent starts.
    learning_rate : float
        :math:`\eta`, for the energy's and the loss's common factor 1/(2B).
    steps : int
        How many steps to take.
    record : int or sequence of step numbers
        Keep every `record`-th step (and the last), or the listed ones; 0 is the start.

    Returns
    -------
    Trajectory
        ``times`` are steps times the learning rate. It ends early, "diverged", if the weights pass
        `DIVERGED`.

    Raises
    ------
    ValueError
        If `record` names no step of the run.

    Examples
    --------
    >>> from pctheory import MSELoss
    >>> loss = MSELoss(Data([[1.0]], [[1.0]]))
    >>> gradient_descent(loss, LinearPCN([[[0.0]]]), 0.5, 2).weights[:, 0]
    array([0.  , 0.5 , 0.75])
    """
    _check.instance(objective, "objective", Objective)
    net = objective.coordinates(net).to_numpy()
    rate, number = _check.positive(learning_rate, "learning_rate"), _check.count(steps, "steps")
    if isinstance(record, int):
        every = _check.count(record, "record", 1)
        _check.memory(
            (number // every + 1) * net.num_weights, "steps", "raise `record`, the steps between two kept"
        )
        kept = {*range(0, number + 1, every), number}
    else:
        entries = _check.sequence(record, "record", "an integer or a list or tuple of them")
        kept = {_check.count(step, "record") for step in entries}
    vector = np.asarray(net.flatten())
    at, rows, status = [], [], "completed"
    for step in range(number + 1):
        if step in kept:
            at.append(step * rate)
            rows.append(vector)
        if step == number:
            break
        gradient = objective.gradient(net.with_weights(net.split(vector)))
        vector = vector - rate * net.join(gradient)
        if not np.linalg.norm(vector) < DIVERGED:
            status = "diverged"
            break
    if not rows:
        raise ValueError(f"`record` must name a step from 0 to {number}. Got {sorted(kept)}.")
    message = (
        f"The norm of the weights passed {DIVERGED:g}." if status == "diverged" else "All steps were taken."
    )
    return Trajectory(np.array(at), np.stack(rows), net, objective, status, message)


def imbalance(net: LinearPCN) -> tuple[np.ndarray, ...]:
    r"""The imbalance of neighbouring layers:

    .. math:: D_l = A_{l+1}^T A_{l+1} / a_{l+1}^2 - A_l A_l^T / a_l^2 - b_l b_l^T

    Returns
    -------
    imbalance : tuple of (n_l, n_l), l = 1..L-1

    Notes
    -----
    Gradient flow on the loss conserves it; on :math:`F^*` it obeys :math:`\dot D_l` = `imbalance_rate` (claim
    ``balance-law``; with biases ``biases``).

    Examples
    --------
    >>> imbalance(LinearPCN([[[2.0]], [[3.0]]]))[0]
    array([[5.]])
    """
    net = _all_learn(net).to_numpy()
    scaled = [m / _nonzero(a, l) for l, (m, a) in enumerate(zip(net.maps, net.multipliers, strict=True), 1)]
    shifts = net.biases or tuple(np.zeros(n) for n in net.widths[1:])
    return tuple(
        above.T @ above - below @ below.T - np.outer(b, b)
        for (below, above), b in zip(pairwise(scaled), shifts, strict=False)
    )


def imbalance_rate(net: LinearPCN, data: Data) -> tuple[np.ndarray, ...]:
    r"""How fast the imbalance grows under gradient flow on :math:`F^*`:

    .. math:: \dot D_l = \Pi_l \langle \epsilon_l^* \epsilon_l^{*T} \rangle
              + \langle \epsilon_l^* \epsilon_l^{*T} \rangle \Pi_l

    With unit precisions twice the covariance of the hidden errors: positive semidefinite, a drift towards the
    output.

    Returns
    -------
    rate : tuple of (n_l, n_l), l = 1..L-1

    Notes
    -----
    Claim ``balance-law`` (this work).

    Examples
    --------
    >>> rate = imbalance_rate(LinearPCN([[[2.0]], [[3.0]]]), Data([[1.0]], [[7.0]]))
    >>> rate[0].round(12)  # the error is 3 r / S = 0.3
    array([[0.18]])
    """
    any_rows(_all_learn(net), data)
    for l, a in enumerate(net.multipliers, 1):
        _nonzero(a, l)
    net, data = net.to_numpy(), data.to_numpy()
    whole = bool(net.biases) or data.observed is not None
    errors = equilibrium(net, data if whole else data.compress()).errors
    rates = []
    for precision, error in zip(net.precisions[:-1], errors[:-1], strict=True):
        product = precision.apply(error).T @ error / len(error)
        rates.append(product + product.T)
    return tuple(rates)


def crossing_time(times: ArrayLike, values: ArrayLike, level: float) -> float:
    r"""First time at which a curve falls to a level, interpolated linearly; infinite if it never does.

    Parameters
    ----------
    times, values : (T,)
        For example ``path.times`` and ``path.values(MSELoss(data))``.
    level : float
        The value to fall to.

    Returns
    -------
    float
        In the units of `times`.

    Raises
    ------
    ValueError
        If `values` does not have one entry per time.

    Examples
    --------
    >>> crossing_time([0.0, 1.0, 2.0], [1.0, 1.0, 0.0], 0.75)
    1.25
    """
    when, curve = _curve(times, values)
    target = _check.real(level, "level")
    below = np.flatnonzero(curve <= target)
    if not len(below):
        return float("inf")
    i = int(below[0])
    if i == 0:
        return float(when[0])
    fraction = (curve[i - 1] - target) / (curve[i - 1] - curve[i])
    return float(when[i - 1] + fraction * (when[i] - when[i - 1]))


def half_time(times: ArrayLike, values: ArrayLike, *, floor: float = 0.0) -> float:
    r"""First time at which a curve has fallen half of the way to `floor`; infinite if it never does.

    "Escapes" is not "fits": give it the energy's values and the loss's, and report both (claim ``cascade``).

    Returns
    -------
    float
        In the units of `times`.

    Examples
    --------
    >>> half_time([0.0, 1.0, 2.0], [1.0, 0.75, 0.25])
    1.5
    """
    when, curve = _curve(times, values)
    low = _check.real(floor, "floor")
    return crossing_time(when, curve, low + (float(curve[0]) - low) / 2)


def _curve(times: ArrayLike, values: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    when, curve = _times(times), _check.finite(_check.to_numpy(values, "values"), "values")
    if curve.shape != when.shape:
        raise ValueError(f"`values` must have one entry per time, {when.shape}. Got shape {curve.shape}.")
    return when, curve


def _times(times: ArrayLike) -> np.ndarray:
    when = _check.finite(_check.to_numpy(times, "times"), "times")
    if when.ndim != 1 or len(when) < 2 or not np.all(np.diff(when) > 0):
        raise ValueError(
            f"`times` must be a strictly increasing list of two or more. Got shape {when.shape}."
        )
    return np.asarray(when)


def _all_learn(net: LinearPCN) -> LinearPCN:
    if _check.instance(net, "net", LinearPCN).fixed:
        raise ValueError(
            "`net` must learn all its entries for the balance law of whole layers. Got "
            f"{sum(int(mask.sum()) for mask in net.fixed)} fixed entries: the law of each node of a graph is "
            "claim `graph-balance`, see `LinearGraph.imbalance`."
        )
    return net


def _nonzero(multiplier: float, layer: int) -> float:
    if multiplier == 0:
        raise ValueError(f"`multipliers` must not be 0 where weights learn. Got 0 at layer {layer}.")
    return multiplier
