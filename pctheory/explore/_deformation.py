r"""From the loss to the equilibrated energy: the energy after a time of inference, at many networks at once.

Descent on the whitened hidden errors, :math:`\dot w = -\partial F / \partial w` from w = 0, leaves after a
time t, in the eigenvectors of :math:`\tilde S = C_L^T S C_L` with eigenvalues :math:`\lambda_k \ge 1` and the
components :math:`\rho_k` of the whitened residual,

.. math:: F(t) = \frac12 \sum_k \langle \rho_k^2 \rangle
          \Big[ \frac1{\lambda_k} + \Big(1 - \frac1{\lambda_k}\Big) e^{-2 \lambda_k t} \Big],

the loss at t = 0 and :math:`F^*` for :math:`t \to \infty` (claims ``error-coordinates``,
``equilibrated-energy``). The matrices are of the size of the output, whatever the network.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .. import _check
from ..inference.products import hidden_products
from ..model import Data, LinearPCN

__all__ = ["Deformation", "deformation"]


@dataclass(frozen=True, eq=False, repr=False)
class Deformation:
    r"""A landscape at every time of inference.

    Attributes
    ----------
    eigenvalues : (..., n_L)
        :math:`\lambda_k` at each network.
    squares : (..., n_L)
        :math:`\langle \rho_k^2 \rangle` there.
    """

    eigenvalues: np.ndarray
    squares: np.ndarray

    def at(self, time: float) -> np.ndarray:
        """The energy after a time of inference, (...); the loss at 0, the equilibrated energy at infinity."""
        share = 1 / self.eigenvalues
        left = np.zeros_like(share) if math.isinf(time) else np.exp(-2 * time * self.eigenvalues)
        return np.asarray(0.5 * np.sum(self.squares * (share + (1 - share) * left), axis=-1))


def deformation(net: LinearPCN, data: Data, vectors: np.ndarray) -> Deformation:
    """The landscapes of all times at many points of weight space.

    Parameters
    ----------
    net : LinearPCN
        Widths, multipliers, skips and precisions, numpy; its weights do not matter.
    data : Data
        Numpy; compress it first.
    vectors : (..., num_weights)
        Weights, in the order of ``net.flatten()``.

    Returns
    -------
    Deformation
        Of the shape of `vectors` without its last axis.

    Raises
    ------
    ValueError
        If the vectors have another length.

    Examples
    --------
    >>> import numpy as np
    >>> from pctheory import Data, LinearPCN
    >>> net, data = LinearPCN.zeros((1, 1, 1)), Data([[1.0]], [[7.0]])
    >>> found = deformation(net, data, np.array([2.0, 3.0]))  # r = 1, S = 10
    >>> [round(float(found.at(t)), 3) for t in (0.0, 0.05, math.inf)]  # 0.05 + 0.45 / e
    [0.5, 0.216, 0.05]
    """
    _check.instance(net, "net", LinearPCN)
    _check.instance(data, "data", Data)
    vectors = _check.as_array(vectors, "vectors")
    if vectors.shape[-1:] != (net.num_weights,):
        raise ValueError(
            f"`vectors` must have shape (..., {net.num_weights}), one entry a weight of `net`. Got "
            f"{vectors.shape}: take rows like `net.flatten()`."
        )
    stack = net.with_weights(net.split(vectors))
    products, last = hidden_products(stack), net.precisions[-1]
    outputs = net.widths[-1]
    rescaled = np.zeros((*vectors.shape[:-1], outputs, outputs))
    for precision, product in zip(net.precisions[:-1], products, strict=False):
        whitened = last.whiten(np.swapaxes(precision.colour(product), -1, -2))
        rescaled = rescaled + np.swapaxes(whitened, -1, -2) @ whitened
    rescaled = rescaled + np.eye(outputs)
    residual = last.whiten(data.y - data.x @ np.swapaxes(products[0] @ stack.maps[0], -1, -2))
    if outputs == 1:
        return Deformation(rescaled[..., 0], np.mean(residual**2, axis=-2))
    eigenvalues, columns = np.linalg.eigh(rescaled)
    return Deformation(eigenvalues, np.mean((residual @ columns) ** 2, axis=-2))
