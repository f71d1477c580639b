r"""The lazy regime: what a wide network in the neural-tangent parameterisation learns, predicted from its
initial weights.

While weights move little against their size, the outputs f on the samples follow linear equations with the
kernel of the start,

.. math:: \dot f = -\frac1B\, \Theta\, S^{-1} (f - y), \qquad
          \Theta = \sum_{l=1}^{L} a_l^2\, (P_l P_l^T) \otimes (\hat X_{l-1} \hat X_{l-1}^T),

where gradient flow on the loss has :math:`\Pi_L` in the place of :math:`S^{-1}`: predictive coding differs
from backprop by a preconditioner on the outputs (claim ``lazy-prediction``).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from .. import _check
from ..inference import output_products
from ..model import Data, LinearPCN
from .kernels import OBJECTIVES, tangent_kernel

__all__ = ["lazy_map"]


def lazy_map(net: LinearPCN, data: Data, times: ArrayLike, *, objective: str = "energy") -> np.ndarray:
    r"""The map of the network along gradient flow in the lazy regime, from the kernel at its present weights:

    .. math:: \dot M = \sum_{l=1}^{L} a_l^2\, P_l P_l^T S^{-1}\, \langle (y - M x) x^T \rangle\,
              Q_{l-1}^T Q_{l-1}, \qquad M(0) = P_0,

    with P, Q and S fixed at their initial values. The prediction for inputs x (rows) is ``x @ M.T``, whether
    they are in the data or not.

    Parameters
    ----------
    net : LinearPCN
        The network at the start.
    data : Data
        What it learns.
    times : (T,)
        Times of the flow, 0 or more; steps of gradient descent times the rate.
    objective : "energy" or "loss"
        Gradient flow on :math:`F^*` (predictive coding) or on the loss (backprop), which has :math:`\Pi_L` in
        the place of :math:`S^{-1}`.

    Returns
    -------
    maps : (T, n_L, n_0)

    Raises
    ------
    ValueError
        If a time is negative.

    Notes
    -----
    With the parameterisation "ntp" and widths N, at a fixed depth and time, the trained network is
    :math:`O(N^{-1/2})` away, and 1/N as measured. Under "mupc" it is not lazy: features move. With noise the
    equilibrated energy also leaves the regime at late times, whatever N, because its weights inflate (claim
    ``no-minimiser-with-noise``). Cost: the eigenvectors of a matrix with :math:`n_L n_0` rows. Claim
    ``lazy-prediction`` (this work).

    Examples
    --------
    >>> net, data = LinearPCN([[[1.0]], [[1.0]]]), Data([[1.0]], [[3.0]])  # kernel 1 + 1, S = 2
    >>> lazy_map(net, data, [0.0, 1.0]).ravel().round(6)  # 3 - 2 exp(-t)
    array([1.      , 2.264241])
    >>> lazy_map(net, data, [0.0, 1.0], objective="loss").ravel().round(6)  # 3 - 2 exp(-2 t)
    array([1.      , 2.729329])
    """
    when = _check.finite(_check.to_numpy(times, "times"), "times")
    if when.ndim != 1 or np.any(when < 0):
        raise ValueError(f"`times` must be a list of times, 0 or more. Got {times!r}.")
    kernel = tangent_kernel(net, data, _check.choice(objective, "objective", OBJECTIVES))
    start = _check.to_numpy(output_products(net)[0], "net")
    values, vectors = np.linalg.eigh(sum(map(np.kron, kernel.outer, kernel.grams)))
    values = np.maximum(values, 0)  # rounding can leave less
    error = np.linalg.solve(kernel.root, start @ kernel.rows.T - kernel.targets.T)
    decay = -values * when[:, None]
    # the integral of exp(-values s) over 0 < s < t
    passed = np.divide(np.expm1(decay), -values, out=when[:, None] + 0 * decay, where=values > 0)
    summed = (passed * (error.ravel() @ vectors)) @ vectors.T
    drive = summed.reshape(-1, *error.shape) @ kernel.rows
    moved = sum(c @ drive @ f.T @ f for c, f in zip(kernel.outer, kernel.features, strict=True))
    return np.asarray(start - kernel.root @ moved)
