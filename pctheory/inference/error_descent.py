r"""Gradient descent in the errors: its largest stable step, its best step, and its path.

With the precision :math:`\pi` in all hidden layers the Hessian of a sample's energy in the hidden errors is
:math:`\pi` times a matrix with the eigenvalue 1 and those of :math:`C_L^T S C_L`, :math:`C_L C_L^T = \Pi_L`.
From the forward pass only the latter take part. A step is a pass backward and one forward: where S is near a
multiple of I, two or three are enough (claim ``error-step-bound``).
"""

from __future__ import annotations

import math

from array_api_compat import array_namespace, device

from .. import _check
from .._check import Array
from ..model import Data, LinearPCN
from ..model.definitions import data_rows, require_plain
from .dynamics import InferenceRate
from .error_coordinates import error_eigenvalues, error_slope
from .products import require_hidden

__all__ = ["error_inference_rate", "relax_errors"]

STARTS = ("feedforward", "any")


def error_inference_rate(net: LinearPCN, start: str = "feedforward") -> InferenceRate:
    r"""The extreme curvatures of inference in the errors, and with them its best and largest stable steps.

    For the output precision 1 and the precision :math:`\pi` in the hidden layers descent from the forward
    pass has

    .. math:: g < \frac{2}{\pi\, \lambda_{\max}(S)}, \qquad
              g_{\text{best}} = \frac{2}{\pi\, (\lambda_{\min}(S) + \lambda_{\max}(S))}, \qquad
              \text{rate} = \frac{\kappa(S) - 1}{\kappa(S) + 1} \text{ per pass} .

    Parameters
    ----------
    net : LinearPCN
        A network whose hidden layers have one number as their precision.
    start : "feedforward" or "any"
        From the forward pass the errors stay combinations of the :math:`P_l^T`, where the curvatures are
        those of S. From any errors the curvature :math:`\pi` of all the others takes part too: 1 stands for
        :math:`\lambda_{\min}(S)` in the formulas.

    Returns
    -------
    InferenceRate
        Of a step g on the energy of a sample, :math:`\epsilon \leftarrow \epsilon - g\, \partial F`. Its
        `residual` is NaN: the curvatures are from a singular value decomposition, which gives none.

    Raises
    ------
    ValueError
        If there is no hidden layer, or the hidden precisions are not one number.

    Notes
    -----
    With one output a single pass at the step :math:`1 / (\pi S)` is exact. The step :math:`1/\pi` is the
    fixed-point iteration :math:`\epsilon_l \leftarrow P_l^T \Pi_L \epsilon_L / \pi`, which diverges as soon
    as :math:`\lambda_{\max}(S) > 2`. Claim ``error-step-bound`` (this work).

    Examples
    --------
    >>> net = LinearPCN([[[2.0]], [[1.0]], [[1.0]]], precisions=[4.0, 4.0, 1.0])  # S = 1 + 2/4
    >>> rates = [error_inference_rate(net, start) for start in ("feedforward", "any")]
    >>> [(round(r.stability_bound(), 6), round(r.best_step, 6), round(r.rate, 6)) for r in rates]
    [(0.333333, 0.166667, 0.0), (0.333333, 0.2, 0.2)]
    """
    require_plain(net)
    require_hidden(net)
    _check.choice(start, "start", STARTS)
    values = _hidden_precision(net) * error_eigenvalues(net)
    moved = min(len(values), net.widths[-1]) if start == "feedforward" else len(values)
    return InferenceRate(float(values[-moved]), float(values[-1]), math.nan)


def relax_errors(net: LinearPCN, data: Data, step: float, num_steps: int) -> list[tuple[Array, ...]]:
    r"""Hidden errors during gradient descent from the feedforward pass, :math:`\epsilon = 0`.

    .. math:: \epsilon_l \leftarrow \epsilon_l - g\, (\Pi_l \epsilon_l - P_l^T \Pi_L \epsilon_L)

    Parameters
    ----------
    net : LinearPCN
        The network.
    data : Data
        x (B, n_0) and y (B, n_L).
    step : float
        g, on the energy of a sample.
    num_steps : int
        T, the number of passes.

    Returns
    -------
    path : T + 1 tuples of (B, n_l), l = 1..L-1
        `activities_from_errors` gives the activities.

    Notes
    -----
    After one step the errors are those of backpropagation times g. Claim ``error-step-bound`` (this work).

    Examples
    --------
    >>> net, data = LinearPCN([[[2.0]], [[3.0]]]), Data([[1.0]], [[7.0]])  # r = 1, S = 10, eps* = .3
    >>> [round(errors[0].item(), 12) for errors in relax_errors(net, data, 0.05, 3)]
    [0.0, 0.15, 0.225, 0.2625]
    """
    require_plain(net)
    require_hidden(net)
    x, y = data_rows(net, data)
    g, steps = _check.positive(step, "step"), _check.count(num_steps, "num_steps")
    kept = (steps + 1) * x.shape[0] * sum(net.widths[1:-1])
    _check.memory(kept, "num_steps", "take fewer steps")
    xp = array_namespace(x)
    path = [tuple(xp.zeros((x.shape[0], n), dtype=x.dtype, device=device(x)) for n in net.widths[1:-1])]
    for _ in range(steps):
        slope = error_slope(net, x, y, path[-1])
        path.append(tuple(e - g * s for e, s in zip(path[-1], slope, strict=True)))
    return path


def _hidden_precision(net: LinearPCN) -> float:
    values = [p.value for p in net.precisions[:-1]]
    if not all(isinstance(v, float) for v in values) or len(set(values)) > 1:
        raise ValueError(
            "`net` must have one number as the precision of all hidden layers. Got layers that differ, or a "
            "vector or matrix: change them with `net.replace(precisions=...)`, or take the spectrum in "
            "whitened errors, `error_eigenvalues`."
        )
    return float(values[0])
