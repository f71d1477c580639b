r"""The tangent kernel of a linear network, in the outputs' own units: what moves the outputs when the weights
descend the loss or the equilibrated energy.

.. math:: \sum_{l=1}^{L} C_l \otimes K_l, \qquad C_l = S^{-1/2} P_l P_l^T S^{-1/2}, \qquad
          K_l = \frac{a_l^2}{B}\, \hat X_{l-1} \hat X_{l-1}^T

on samples and outputs (:math:`\hat X_l` holds the feedforward activities of layer l, a sample a row); for the
loss :math:`\Sigma_L` takes the place of S.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..inference import input_products, output_products, rescaling
from ..model import Data, LinearPCN
from ..model.definitions import data_rows, require_plain

OBJECTIVES = ("energy", "loss")


class TangentKernel(NamedTuple):
    """The factors of the kernel.

    Attributes
    ----------
    root : (n_L, n_L)
        Lower triangular, times its transpose S; for the loss Sigma_L. It stands for the root of S.
    outer : (L, n_L, n_L)
        C_l.
    features : tuple of (n_{l-1}, n_0)
        a_l Q_{l-1} / sqrt(B): what layer l makes of an input.
    rows : (R, n_0)
        Inputs with the second moments of the data's, R at most n_0: a rotation of the batch.
    targets : (R, n_L)
        The targets in the same rotation.
    """

    root: np.ndarray
    outer: np.ndarray
    features: tuple[np.ndarray, ...]
    rows: np.ndarray
    targets: np.ndarray

    @property
    def grams(self) -> np.ndarray:
        """K_l, (L, R, R)."""
        seen = [self.rows @ feature.T for feature in self.features]
        return np.stack([z @ z.T for z in seen])


def tangent_kernel(net: LinearPCN, data: Data, objective: str) -> TangentKernel:
    """The kernel of the equilibrated energy or of the loss at the present weights."""
    require_plain(net)
    data_rows(net, data)
    net, own = net.to_numpy(), data.to_numpy().compress()
    products = output_products(net)[1:]
    if objective == "energy":
        root = np.linalg.cholesky(rescaling(net))
    else:
        root = np.linalg.cholesky(net.precisions[-1].covariance(products[-1]))
    white = [np.linalg.solve(root, p) for p in products]
    basis, rows = np.linalg.qr(own.x)
    features = tuple(
        a * q / np.sqrt(own.num_samples) for a, q in zip(net.multipliers, input_products(net), strict=False)
    )
    return TangentKernel(root, np.stack([p @ p.T for p in white]), features, rows, basis.T @ own.y)
