r"""The sharpness at a perfect fit, its bounds, and with it the largest learning rate at which gradient
descent is stable.

Where the residual vanishes on every sample the Hessian of the equilibrated energy in the weights has the
non-zero spectrum of the *kernel*

.. math:: \sum_{l=1}^{L} C_l \otimes K_l, \qquad C_l = S^{-1/2} P_l P_l^T S^{-1/2}, \qquad
          K_l = \frac{a_l^2}{B}\, \hat X_{l-1} \hat X_{l-1}^T ,

(:math:`n_L B` rows; :math:`\hat X_l` holds the feedforward activities of layer l, a sample a row). The
:math:`C_l` sum to the identity at unit precisions, because S is the sum of :math:`P_l P_l^T`: whatever the
backward gains, the sharpness is a weighted mean over the layers, where that of the loss, with :math:`\Pi_L`
in the place of :math:`S^{-1}`, is a sum (claim
``fit-sharpness``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse.linalg import LinearOperator, eigsh

from ..landscape import EquilibratedEnergy, MSELoss, Objective
from ..model import LinearPCN
from .kernels import tangent_kernel

__all__ = ["FitSharpness", "fit_sharpness"]

DENSE_LIMIT = 400
"""Rows of the kernel up to which it is formed."""


@dataclass(frozen=True)
class FitSharpness:
    r"""The sharpness at a perfect fit and what bounds it.

    Attributes
    ----------
    sharpness : float
        The largest eigenvalue of the Hessian.
    lower, upper : float
        :math:`\lambda_{\max}(\sum_l C_l)` times :math:`\max_v \min_l v^T K_l v` (over the top eigenvectors v
        of the
        :math:`K_l`) and times :math:`\max_l \lambda_{\max}(K_l)`.
    normalisation : float
        :math:`\lambda_{\max}(\sum_l C_l)`: 1 for the equilibrated energy at unit precisions.
    """

    sharpness: float
    lower: float
    upper: float
    normalisation: float

    @property
    def largest_rate(self) -> float:
        """2 / sharpness: gradient descent converges to the fit from nearby at smaller rates, and at no larger
        one.
        """
        return 2 / self.sharpness if self.sharpness > 0 else float("inf")


def fit_sharpness(objective: Objective, net: LinearPCN) -> FitSharpness:
    r"""The sharpness of :math:`F^*` or of the loss at a perfect fit, and its bounds:

    .. math:: \max_v \min_l\, v^T K_l v \;\le\; \lambda_{\max}(\nabla^2 F^*) \;\le\;
              \max_l\, a_l^2\, \lambda_{\max} \langle \hat z_{l-1} \hat z_{l-1}^T \rangle .

    Parameters
    ----------
    objective : EquilibratedEnergy or MSELoss
        Its targets do not count: they are taken to be what the network puts out.
    net : LinearPCN
        The network, taken as a perfect fit.

    Returns
    -------
    FitSharpness

    Raises
    ------
    TypeError
        If `objective` is neither.

    Notes
    -----
    Where the residual does not vanish, `sharpness` is that of the Gauss-Newton matrix. The bounds hold for
    both objectives and all precisions with the factor `normalisation`, at most the largest eigenvalue of any
    :math:`\Pi_l` for :math:`F^*`. Cost: dense up to `DENSE_LIMIT` rows of the kernel, then Lanczos on
    products with it. Claim ``fit-sharpness`` (this work).

    Examples
    --------
    >>> from pctheory import Data
    >>> net, data = LinearPCN([[[2.0]], [[3.0]]]), Data([[1.0]], [[6.0]])
    >>> found = fit_sharpness(EquilibratedEnergy(data), net)  # (9 * 1 + 1 * 4) / S, S = 10
    >>> round(found.sharpness, 12), round(found.lower, 12), round(found.upper, 12)
    (1.3, 1.0, 4.0)
    >>> round(fit_sharpness(MSELoss(data), net).sharpness, 12)
    13.0
    """
    if not isinstance(objective, EquilibratedEnergy | MSELoss):
        raise TypeError(
            f"`objective` must be an EquilibratedEnergy or an MSELoss. Got {type(objective).__name__}."
        )
    kernel = tangent_kernel(
        net, objective.data, "energy" if isinstance(objective, EquilibratedEnergy) else "loss"
    )
    outer, grams = kernel.outer, kernel.grams
    total = float(np.linalg.eigvalsh(outer.sum(axis=0))[-1])
    spectra = [np.linalg.eigh(gram) for gram in grams]
    tops = [vectors[:, -1] for _, vectors in spectra]
    least = max(min(float(v @ gram @ v) for gram in grams) for v in tops)
    most = max(float(values[-1]) for values, _ in spectra)
    return FitSharpness(_top(outer, grams), total * least, total * most, total)


def _top(outer: np.ndarray, grams: np.ndarray) -> float:
    """The largest eigenvalue of the sum of the Kronecker products."""
    rows, columns = outer.shape[-1], grams.shape[-1]
    if rows * columns <= DENSE_LIMIT:
        kernel = sum(np.kron(c, k) for c, k in zip(outer, grams, strict=True))
        return float(np.linalg.eigvalsh(kernel)[-1])

    def product(vector: np.ndarray) -> np.ndarray:
        block = vector.reshape(rows, columns)
        return np.asarray(sum(c @ block @ k for c, k in zip(outer, grams, strict=True))).ravel()

    operator = LinearOperator((rows * columns,) * 2, matvec=product, dtype=np.float64)
    start = np.random.default_rng(0).standard_normal(rows * columns)
    return float(eigsh(operator, k=1, which="LA", v0=start, return_eigenvectors=False)[0])
