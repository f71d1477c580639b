r"""The tangent kernel of any network, by autograd, and with it what it learns in the lazy regime.

Nothing here is a closed form of the theory: the derivatives of the outputs in the weights, and in errors
added at the layers, come from autograd at the feedforward activities.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .. import _check
from ._stacked import inverse, weight_by
from .pcn import PCN

__all__ = ["EmpiricalKernel", "empirical_kernel"]

RULES = ("pc", "bp")


@dataclass(frozen=True, eq=False)
class EmpiricalKernel:
    r"""The tangent kernel of a network on samples, and the rescaling of each sample.

    Attributes
    ----------
    kernel : (B, n_L, B, n_L)
        :math:`\Theta = J J^T`, J the derivative of the outputs in the weights and biases.
    rescaling : (B, n_L, n_L)
        :math:`S_i = \sum_l J_{l,i} \Sigma_l J_{l,i}^T`, :math:`J_{l,i}` the derivative of the outputs of
        sample i in an error added to layer l.
    noise : (n_L, n_L)
        :math:`\Sigma_L`, that stands in the place of :math:`S_i` for backprop.
    outputs : (B, n_L)
        f at the start.
    """

    kernel: Tensor
    rescaling: Tensor
    noise: Tensor
    outputs: Tensor

    def predict(self, targets: Any, times: Any, *, rule: str = "pc") -> Tensor:
        r"""The outputs along gradient flow while the kernel stays what it is:

        .. math:: \dot f_i = \frac1B \sum_j \Theta_{ij}\, S_j^{-1} (y_j - f_j) .

        Parameters
        ----------
        targets : (B, n_L)
            y.
        times : (T,)
            Times of the flow; steps of gradient descent times the rate.
        rule : "pc" or "bp"
            Predictive coding at equilibrium, or backprop, with :math:`\Pi_L` in the place of
            :math:`S_j^{-1}`.

        Returns
        -------
        outputs : (T, B, n_L)

        Raises
        ------
        TypeError
            If an argument has a wrong type.
        ValueError
            If `targets` or `times` do not fit or are not finite, or `rule` is none of the two.

        Notes
        -----
        Claim ``lazy-prediction``. Cost: the eigenvectors of a matrix with :math:`B n_L` rows.
        """
        size = self.outputs.numel()
        y, when = (
            torch.as_tensor(_check.finite(_check.to_numpy(value, name), name)).to(self.outputs)
            for name, value in (("targets", targets), ("times", times))
        )
        if y.shape != self.outputs.shape or when.ndim != 1:
            raise ValueError(
                f"`targets` must have shape {tuple(self.outputs.shape)} and `times` one dimension. "
                f"Got {tuple(y.shape)} and {tuple(when.shape)}."
            )
        scale = (
            self.rescaling
            if _check.choice(rule, "rule", RULES) == "pc"
            else self.noise.expand_as(self.rescaling)
        )
        root = torch.block_diag(*torch.linalg.cholesky(scale))  # type: ignore[no-untyped-call]
        half = torch.linalg.solve_triangular(root, self.kernel.reshape(size, size), upper=False)
        white = torch.linalg.solve_triangular(root, half.T, upper=False) / len(y)
        values, vectors = torch.linalg.eigh((white + white.T) / 2)
        error = torch.linalg.solve_triangular(root, (self.outputs - y).reshape(size, 1), upper=False)
        decay = torch.exp(-when[:, None] * values)
        left = (decay * (vectors.T @ error).ravel()) @ vectors.T
        return y + (left @ root.T).reshape(-1, *y.shape)


def empirical_kernel(model: PCN, x: Any) -> EmpiricalKernel:
    r"""The tangent kernel of a network at its feedforward activities, by autograd.

    Parameters
    ----------
    model : PCN
        Any activation, convolutions and skips; squared error at the output.
    x : (B, n_0)
        Inputs.

    Returns
    -------
    EmpiricalKernel

    Raises
    ------
    ValueError
        If the output energy is a cross-entropy.

    Notes
    -----
    Cost: :math:`B n_L` backward passes of the batch, and as many gradients in memory. Claim
    ``lazy-prediction``.

    Examples
    --------
    >>> model = PCN.from_weights([[[2.0]], [[3.0]]])
    >>> found = empirical_kernel(model, [[1.0]])  # 3^2 * 1 + 1 * 2^2, and 1 + 3^2
    >>> found.kernel.item(), found.rescaling.item()
    (13.0, 10.0)
    """
    _check.instance(model, "model", PCN)
    if model.output != "mse":
        raise ValueError(
            f"`output` must be 'mse': the kernel is that of a squared error. Got {model.output!r}."
        )
    z = model.inputs(x)
    batch, outputs = len(z), model.widths[-1]
    errors = [z.new_zeros(batch, width, requires_grad=True) for width in model.widths[1:]]
    for layer, error in enumerate(errors, start=1):
        z = model.prediction(layer, z) + error
    each = torch.eye(batch * outputs, dtype=z.dtype, device=z.device).reshape(-1, batch, outputs)
    by_weights = torch.autograd.grad(
        z, list(model.parameters()), each, retain_graph=True, is_grads_batched=True
    )
    jacobian = torch.cat([g.flatten(1) for g in by_weights], dim=1)
    # samples do not mix: one row of ones per output serves all of them
    each = torch.eye(outputs, dtype=z.dtype, device=z.device)[:, None].expand(-1, batch, -1)
    by_errors = torch.autograd.grad(z, errors, each, is_grads_batched=True)
    variances = [inverse(p) for p in model.precisions]
    terms = [weight_by(v, g) for v, g in zip(variances, by_errors, strict=True)]
    rescaling = sum(torch.einsum("cbj,dbj->bcd", t, g) for t, g in zip(terms, by_errors, strict=True))
    return EmpiricalKernel(
        (jacobian @ jacobian.T).reshape(batch, outputs, batch, outputs),
        torch.as_tensor(rescaling),
        weight_by(variances[-1], torch.eye(outputs, dtype=z.dtype, device=z.device)),
        z.detach(),
    )
