r"""The dynamics of inference: rates and modes, the energy after T steps, condition numbers.

Gradient descent on the hidden activities of one sample with step g is linear (claim ``inference-rate``):

.. math:: z_T - z^* = (I - gH)^T (z_0 - z^*) .

The step g belongs to the energy of a sample; on the batch mean F it is B times larger. Everything here holds
for any precisions: H is `activity_hessian`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from array_api_compat import array_namespace, device

from .. import _check
from .._check import Array
from ..model import Data, LinearPCN, activity_hessian
from ..model.definitions import activity_rows, data_rows, energies_of, errors_of, forward_pass, slope_of
from .curvature import extreme_curvatures
from .equilibria import equilibrium
from .error_coordinates import error_eigenvalues
from .products import require_hidden

__all__ = [
    "InferenceModes",
    "InferenceRate",
    "condition_number",
    "finite_time_energy",
    "finite_time_rescaling",
    "inference_modes",
    "inference_rate",
    "inference_start",
    "relax",
]

COORDINATES = ("activities", "errors")


@dataclass(frozen=True)
class InferenceRate:
    r"""How fast gradient descent on the activities converges.

    Attributes
    ----------
    smallest, largest : float
        Extreme eigenvalues of H: the slowest and the fastest curvature.
    residual : float
        Largest relative residual of the two pairs: each eigenvalue is exact to this relative distance. NaN
        where it is not known, as from `error_inference_rate`.
    """

    smallest: float
    largest: float
    residual: float

    @property
    def condition(self) -> float:
        r""":math:`\kappa = \lambda_{\max} / \lambda_{\min}`."""
        return self.largest / self.smallest

    @property
    def best_step(self) -> float:
        r""":math:`2 / (\lambda_{\min} + \lambda_{\max})`, which contracts the slowest mode fastest."""
        return 2 / (self.smallest + self.largest)

    @property
    def rate(self) -> float:
        r"""Contraction per step at the best step, :math:`(\kappa - 1) / (\kappa + 1)`."""
        return (self.largest - self.smallest) / (self.largest + self.smallest)

    def contraction(self, step: float) -> float:
        r""":math:`\rho = \max |1 - g \lambda|`, the factor of the slowest mode per step g; above 1, it
        diverges.

        Returns
        -------
        rho : float
        """
        g = _check.positive(step, "step")
        return max(abs(1 - g * self.smallest), abs(1 - g * self.largest))

    def half_life(self, step: float | None = None) -> float:
        r"""Steps in which the slowest mode halves, :math:`-\ln 2 / \ln \rho`; infinite if it does not shrink.

        The default step is the best one.

        Returns
        -------
        float
            A number of steps, rarely whole.
        """
        rho = self.rate if step is None else self.contraction(step)
        if rho >= 1:
            return math.inf
        return -math.log(2) / math.log(rho) if rho > 0 else 0.0

    def stability_bound(self, delay: int = 0) -> float:
        r"""Largest stable step when every unit sees errors that are `delay` steps old.

        .. math:: g < \frac{2}{\lambda_{\max}} \sin \frac{\pi}{2 (2d + 1)}

        Without delay this is :math:`2 / \lambda_{\max}`, where the fastest mode flips sign at every step;
        with a delay of one it is :math:`1 / \lambda_{\max}`, where it turns by 60 degrees. Claim
        ``stability-delay``.

        Returns
        -------
        float
            The largest stable g.
        """
        d = _check.count(delay, "delay")
        return 2 * math.sin(math.pi / (2 * (2 * d + 1))) / self.largest


def inference_rate(net: LinearPCN) -> InferenceRate:
    r"""Extreme curvatures of inference, and with them its best step, rate and largest stable step.

    From `extreme_curvatures`, which holds even where :math:`\kappa` exceeds 1/eps. Claim ``inference-rate``.

    Returns
    -------
    InferenceRate

    Raises
    ------
    ValueError
        If there is no hidden layer.

    Examples
    --------
    >>> rate = inference_rate(LinearPCN([[[1.0]], [[1.0]], [[1.0]]]))  # H = [[2, -1], [-1, 2]]
    >>> [round(v, 12) for v in (rate.condition, rate.best_step, rate.rate, rate.stability_bound())]
    [3.0, 0.5, 0.5, 0.666666666667]
    """
    require_hidden(net)
    return InferenceRate(*extreme_curvatures(net))


def condition_number(net: LinearPCN, coordinates: str = "activities") -> float:
    r"""Condition number of inference: what the number of gradient steps grows with.

    Parameters
    ----------
    net : LinearPCN
        The network.
    coordinates : "activities" or "errors"
        The coordinates in which descent runs. In errors (whitened by the precisions) it is
        :math:`\lambda_{\max}(C_L^T S C_L)`, that is :math:`\lambda_{\max}(S)` for unit precisions, as soon as
        the hidden layers together are wider than the output. Claims ``conditioning``, ``error-coordinates``.

    Returns
    -------
    kappa : float

    Raises
    ------
    ValueError
        If there is no hidden layer.

    Examples
    --------
    >>> net = LinearPCN([[[1.0]], [[1.0]], [[1.0]]])
    >>> round(condition_number(net), 12), round(condition_number(net, "errors"), 12)
    (3.0, 3.0)
    """
    if _check.choice(coordinates, "coordinates", COORDINATES) == "activities":
        return inference_rate(net).condition
    require_hidden(net)
    values = error_eigenvalues(net)
    return float(values[-1] / values[0])


@dataclass(frozen=True, eq=False)
class InferenceModes:
    r"""The exact trajectory of inference, mode by mode.

    Attributes
    ----------
    eigenvalues : (n,), n the number of hidden units
        :math:`\lambda_k` of H, ascending.
    vectors : (n, n)
        Unit eigenvectors, one a row.
    amplitudes : (B, n)
        Of :math:`z_0 - z^*` along the eigenvectors.
    equilibrium : (B, n)
        Hidden activities :math:`z^*`, layers side by side.
    """

    eigenvalues: np.ndarray
    vectors: np.ndarray
    amplitudes: np.ndarray
    equilibrium: np.ndarray

    def after(self, num_steps: int, step: float) -> np.ndarray:
        r"""Hidden activities after T steps, :math:`z^* + \sum_k (1 - g\lambda_k)^T c_k v_k`, (B, n)."""
        factors = (1 - _check.positive(step, "step") * self.eigenvalues) ** _check.count(
            num_steps, "num_steps"
        )
        return np.asarray(self.equilibrium + (self.amplitudes * factors) @ self.vectors)

    def flow(self, time: float) -> np.ndarray:
        r"""Hidden activities of the continuous flow :math:`\dot z = -\nabla F`, with :math:`e^{-\lambda_k
        t}`, (B, n).

        Returns
        -------
        (B, n)
            One row a sample, numpy.
        """
        factors = np.exp(-self.eigenvalues * _check.non_negative(time, "time"))
        return np.asarray(self.equilibrium + (self.amplitudes * factors) @ self.vectors)

    def gap(self, num_steps: int, step: float) -> float:
        r""":math:`F(z_T) - F^* = \frac{1}{2B}\sum_{i,k} \lambda_k (1-g\lambda_k)^{2T} c_{ik}^2`."""
        factors = (1 - _check.positive(step, "step") * self.eigenvalues) ** (
            2 * _check.count(num_steps, "num_steps")
        )
        return float(0.5 * np.mean(self.amplitudes**2 @ (self.eigenvalues * factors)))

    def half_lives(self, step: float) -> np.ndarray:
        r"""Steps in which each mode halves, :math:`-\ln 2/\ln|1-g\lambda_k|`, (n,); infinite for modes that
        do not shrink.

        Returns
        -------
        (n,)
            In the order of the eigenvalues.
        """
        shrink = np.abs(1 - _check.positive(step, "step") * self.eigenvalues)
        with np.errstate(divide="ignore"):
            lives = -math.log(2) / np.log(shrink)
        return np.where(shrink < 1, lives, math.inf)


def inference_modes(net: LinearPCN, data: Data, *, start: Sequence[Array] | None = None) -> InferenceModes:
    r"""Eigenvectors of H, and the amplitude of each in the start of inference. Dense: :math:`O(n^3)`, numpy
    float64.

    Parameters
    ----------
    net : LinearPCN
        The network.
    data : Data
        x (B, n_0) and y (B, n_L).
    start : None or (z_0, ..., z_L)
        Where inference starts; the feedforward pass by default.

    Returns
    -------
    InferenceModes

    Raises
    ------
    ValueError
        If there is no hidden layer.

    Examples
    --------
    >>> modes = inference_modes(LinearPCN([[[2.0]], [[3.0]]]), Data([[1.0]], [[7.0]]))
    >>> modes.eigenvalues, modes.amplitudes.round(12)  # z_0 - z* = 2 - 2.3
    (array([10.]), array([[-0.3]]))
    """
    require_hidden(net)
    _check.memory(3 * sum(net.widths[1:-1]) ** 2, "net", "use `inference_rate`, which forms no matrix")
    values, columns = np.linalg.eigh(_check.to_numpy(activity_hessian(net).to_dense(), "weights"))
    fixed = hidden_rows(equilibrium(net, data).activities)
    begin = hidden_rows(inference_start(net, data) if start is None else activity_rows(net, start, "start"))
    return InferenceModes(values, columns.T, (begin - fixed) @ columns, fixed)


def inference_start(net: LinearPCN, data: Data) -> tuple[Array, ...]:
    """The feedforward pass with the output clamped to y: only the output has an error, and the energy is the
    loss.

    Parameters
    ----------
    net : LinearPCN
        The network.
    data : Data
        x (B, n_0) and y (B, n_L).

    Returns
    -------
    activities : tuple of (B, n_l), l = 0..L

    Examples
    --------
    >>> net, data = LinearPCN([[[2.0]], [[3.0]]]), Data([[1.0]], [[7.0]])
    >>> [z.item() for z in inference_start(net, data)]
    [1.0, 2.0, 7.0]
    """
    x, y = data_rows(net, data)
    return (*forward_pass(net, x)[:-1], y)


def relax(
    net: LinearPCN,
    data: Data,
    step: float,
    num_steps: int,
    *,
    start: Sequence[Array] | None = None,
) -> tuple[Array, ...]:
    r"""T steps of gradient descent on the hidden activities, input and output clamped.

    .. math:: z_l \leftarrow z_l - g\, (\Pi_l \epsilon_l - A_{l+1}^T \Pi_{l+1} \epsilon_{l+1}),
              \qquad l = 1..L-1

    All layers move at once. In any array library, differentiable.

    Parameters
    ----------
    net : LinearPCN
        The network.
    data : Data
        x (B, n_0) and y (B, n_L).
    step : float
        g, on the energy of a sample.
    num_steps : int
        T.
    start : None or (z_0, ..., z_L)
        The feedforward pass by default.

    Returns
    -------
    activities : tuple of (B, n_l), l = 0..L

    Examples
    --------
    >>> z = relax(LinearPCN([[[2.0]], [[3.0]]]), Data([[1.0]], [[7.0]]), step=0.1, num_steps=1)
    >>> [a.item() for a in z]  # 1 / H = 0.1: one step is enough
    [1.0, 2.3, 7.0]
    """
    g, steps = _check.positive(step, "step"), _check.count(num_steps, "num_steps")
    z = inference_start(net, data) if start is None else activity_rows(net, start, "start")
    return _descended(net, z, g, steps)


def _descended(net: LinearPCN, z: tuple[Array, ...], step: float, num_steps: int) -> tuple[Array, ...]:
    for _ in range(num_steps):
        slope = slope_of(net, errors_of(net, z))
        z = (z[0], *(a - step * s for a, s in zip(z[1:-1], slope[1:-1], strict=True)), z[-1])
    return z


def finite_time_rescaling(net: LinearPCN, step: float, num_steps: int) -> Array:
    r"""The matrix :math:`M_T` of the energy after T steps, between :math:`\Pi_L` and :math:`S^{-1}`.

    .. math:: M_T = \Pi_L - U^T H^{-1} \big[ I - (I - gH)^{2T} \big] U
                  = \sum_{l=1}^{L} E_l \Pi_l E_l^T

    with :math:`U = A_L^T \Pi_L` in the block of layer L-1. Row i of :math:`E_l` is the error of layer l after
    T steps if the residual is the unit vector i: the second form adds positive matrices only, and costs T
    steps of inference with n_L rows. Claim ``finite-time-energy``.

    Parameters
    ----------
    net : LinearPCN
        The network.
    step : float
        g, on the energy of a sample.
    num_steps : int
        T.

    Returns
    -------
    M_T : (n_L, n_L)

    Examples
    --------
    >>> round(float(finite_time_rescaling(LinearPCN([[[2.0]], [[3.0]]]), 0.05, 1)[0, 0]), 12)  # 1/10 + 9/40
    0.325
    """
    g, steps = _check.positive(step, "step"), _check.count(num_steps, "num_steps")
    last = _check.instance(net, "net", LinearPCN).maps[-1]
    xp = array_namespace(last)
    errors = _errors_after(net, xp.eye(last.shape[0], dtype=last.dtype, device=device(last)), g, steps)
    whitened = [p.whiten(e) for p, e in zip(net.precisions, errors, strict=True)]
    return sum(w @ w.T for w in whitened)


def _errors_after(net: LinearPCN, residual: Array, step: float, num_steps: int) -> tuple[Array, ...]:
    """Errors after T steps from the forward pass, (B, n_l), by the displacements z - zhat: they depend on r
    alone.

    Returns
    -------
    errors : tuple of (B, n_l), l = 1..L
    """
    xp = array_namespace(residual)
    zeros = [
        xp.zeros((residual.shape[0], n), dtype=residual.dtype, device=device(residual))
        for n in net.widths[:-1]
    ]
    net = net.without_biases()  # what they add is in the residual
    return errors_of(net, _descended(net, (*zeros, residual), step, num_steps))


def finite_time_energy(net: LinearPCN, data: Data, step: float, num_steps: int) -> Array:
    r"""The energy after T steps from the feedforward pass, :math:`F(z_T) = \frac{1}{2B}\sum_i r_i^T M_T r_i`.

    It is the loss at T = 0 and tends to :math:`F^*`; its gradient in the weights is what backpropagation
    through T steps of inference computes. Differentiable in torch and JAX. Claim ``finite-time-energy``.

    Parameters
    ----------
    net : LinearPCN
        The network.
    data : Data
        x (B, n_0) and y (B, n_L).
    step : float
        g, on the energy of a sample.
    num_steps : int
        T.

    Returns
    -------
    energy : scalar of the network's array library

    Examples
    --------
    >>> net, data = LinearPCN([[[2.0]], [[3.0]]]), Data([[1.0]], [[7.0]])
    >>> [round(float(finite_time_energy(net, data, 0.05, t)), 6) for t in (0, 1, 2, 100)]
    [0.5, 0.1625, 0.078125, 0.05]
    """
    g, steps = _check.positive(step, "step"), _check.count(num_steps, "num_steps")
    x, y = data_rows(net, data)
    energies = energies_of(net, _errors_after(net, y - forward_pass(net, x)[-1], g, steps))
    return array_namespace(energies).sum(energies)


def hidden_rows(activities: Sequence[Array]) -> np.ndarray:
    """The hidden activities side by side, (B, n), numpy float64."""
    return np.concatenate([_check.to_numpy(z, "activities") for z in activities[1:-1]], axis=1)
