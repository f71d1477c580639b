r"""Hessians in the weights in closed form: at the origin, at points of rank zero, at perfect fits.

Claims ``origin-hessian-loss``, ``origin-hessian-energy``, ``zero-rank-saddles``, ``flat-minima``. The closed
forms hold for every objective that depends on the network through its map :math:`P_0` and its rescaling. They
need two matrices: the metric :math:`\Lambda` of the residual (:math:`\Pi_L` for the loss, :math:`S^{-1}`
otherwise), and

.. math:: \Omega = 0 \ (\mathcal L), \qquad \Omega = \Lambda \langle r r^T \rangle \Lambda \ (F^*), \qquad
          \Omega = \Lambda \langle r r^T \rangle \Lambda - \Lambda \ (F^* + \tfrac12 \log\det S),

which is minus twice the derivative of the objective in S. It makes saddles of :math:`F^*` strict where the
loss is flat.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import _check
from ..inference import input_products, noise_covariances, output_products
from ..model import LinearPCN
from ..model.definitions import require_plain
from .objectives import Objective

__all__ = ["OriginHessian", "gauss_newton_hessian", "origin_hessian", "zero_rank_hessian"]


@dataclass(frozen=True, eq=False, repr=False)
class OriginHessian:
    r"""The Hessian at the origin of weight space, in closed form, with its spectrum.

    Only two blocks do not vanish: the one of the last layer, :math:`-a_L^2 \Omega \otimes C` (row-major), and
    the one that couples the first and the last layer, :math:`(W_1[a,i], W_L[c,b]) \mapsto -a_1 a_L
    \delta_{ab} (\Lambda S_{yx})_{ci}`, which is there if every hidden layer (possibly none) has a skip. C
    sums :math:`\Sigma_{L-1}` and the :math:`\Sigma_k` below it from which skips lead up to layer L-1. With L
    = 1 the Hessian is :math:`a^2 \Lambda \otimes S_{xx}`.

    Attributes
    ----------
    last : (n_L, n_L)
        :math:`-a_L^2 \Omega`; with L = 1, :math:`a^2 \Lambda`.
    covariance : (n_{L-1}, n_{L-1})
        C; with L = 1, :math:`S_{xx}`.
    cross : (n_L, n_0) or None
        :math:`-a_1 a_L \Lambda S_{yx}`, if the coupling is there.
    widths : (n_0, ..., n_L)
    """

    last: np.ndarray
    covariance: np.ndarray
    cross: np.ndarray | None
    widths: tuple[int, ...]

    @property
    def num_weights(self) -> int:
        return sum(a * b for a, b in zip(self.widths[:-1], self.widths[1:], strict=True))

    def to_dense(self) -> np.ndarray:
        """(num_weights, num_weights), in the order of ``net.flatten()``."""
        size, outputs = self.num_weights, self.widths[-1] * self.widths[-2]
        _check.memory(size**2, "to_dense", "use `eigenvalues`, which forms no matrix")
        dense = np.zeros((size, size))
        dense[size - outputs :, size - outputs :] = np.kron(self.last, self.covariance)
        if self.cross is not None:
            hidden = self.widths[-2]
            # rows (a, i) of W_1, columns (c, b) of W_L
            block = np.einsum("ab,ci->aicb", np.eye(hidden), self.cross)
            block = block.reshape(hidden * self.widths[0], outputs)
            dense[: len(block), size - outputs :] = block
            dense[size - outputs :, : len(block)] = block.T
        return dense

    def eigenvalues(self) -> np.ndarray:
        r"""All num_weights eigenvalues, ascending, without forming the Hessian.

        Each eigenvalue c of C contributes those of :math:`-a_L^2 c\, \Omega` or, with the coupling, of the
        matrix :math:`\begin{pmatrix} 0 & -a_1 a_L S_{xy} \Lambda \\ -a_1 a_L \Lambda S_{yx} & -a_L^2 c\,
        \Omega \end{pmatrix}`;
        the rest are 0.

        Returns
        -------
        (num_weights,)
            Ascending, numpy float64.
        """
        noise = np.linalg.eigvalsh(self.covariance)
        if self.cross is None:
            found = np.outer(noise, np.linalg.eigvalsh(self.last)).ravel()
        else:
            corner = np.zeros((self.widths[0], self.widths[0]))
            blocks = [np.block([[corner, self.cross.T], [self.cross, c * self.last]]) for c in noise]
            found = np.concatenate([np.linalg.eigvalsh(block) for block in blocks])
        return np.sort(np.concatenate([found, np.zeros(self.num_weights - len(found))]))

    def plot(self, ax: Any = None) -> Any:
        """All eigenvalues, ascending, in closed form.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            A new figure's by default.

        Returns
        -------
        matplotlib.axes.Axes
        """
        from ..plotting import plot_spectrum

        return plot_spectrum(self.eigenvalues(), ax)

    def __repr__(self) -> str:
        coupled = "with" if self.cross is not None else "without"
        widths = " -> ".join(map(str, self.widths))
        return f"OriginHessian({widths}, {coupled} the coupling of first and last layer)"


def origin_hessian(
    objective: Objective,
    widths: Iterable[int],
    *,
    parameterisation: str = "sp",
    skips: bool | Iterable[bool] = False,
    gamma: float = 1.0,
    precisions: Sequence[Any] | None = None,
) -> OriginHessian:
    r"""The Hessian at W = 0 in closed form: any depth, widths, multipliers, skips and precisions.

    Without skips, unit multipliers and precisions: the loss has the block :math:`\partial^2 \mathcal L /
    \partial W_1[a,i] \partial W_2[c,b] = -\delta_{ab} S_{yx}[c,i]` for L = 2 and nothing for L > 2;
    :math:`F^*` has in addition :math:`\partial^2 F^* / \partial W_L^2 = -S_{yy} \otimes I`. So the origin is
    a strict saddle of :math:`F^*` at any depth as soon as some y is not 0.

    Parameters
    ----------
    objective : MSELoss, EquilibratedEnergy or NegativeLogLikelihood
        The function of the weights whose Hessian is taken.
    widths, parameterisation, skips, gamma, precisions
        As in `LinearPCN.zeros`.

    Returns
    -------
    OriginHessian

    Notes
    -----
    Claims ``origin-hessian-loss`` (Saxe et al. 2014, Kawaguchi 2016) and ``origin-hessian-energy`` (Innocenti
    et al. 2024, Theorem 2; multipliers, skips, precisions and the likelihood: this work). Claim
    ``tr-toy`` is the network of two weights.

    Examples
    --------
    >>> from pctheory import Data, EquilibratedEnergy, MSELoss
    >>> data = Data([[1.0], [1.0]], [[-1.0], [-3.0]])  # S_yy = 5
    >>> origin_hessian(MSELoss(data), (1, 2, 2, 1)).eigenvalues()
    array([0., 0., 0., 0., 0., 0., 0., 0.])
    >>> origin_hessian(EquilibratedEnergy(data), (1, 2, 2, 1)).eigenvalues().round(12)
    array([-5., -5.,  0.,  0.,  0.,  0.,  0.,  0.])
    """
    net = LinearPCN.zeros(
        widths, parameterisation=parameterisation, skips=skips, gamma=gamma, precisions=precisions
    )
    inverse, noise = _check.instance(objective, "objective", Objective).metric_and_noise(net)
    data, a, depth = objective.data, net.multipliers, net.depth
    if depth == 1:
        return OriginHessian(a[0] ** 2 * inverse, data.xx, None, net.widths)
    reach = 1
    while reach < depth - 1 and net.skips[depth - 1 - reach]:
        reach += 1
    last = np.asarray(net.maps[-2])
    covariance = sum(
        np.asarray(net.precisions[k].covariance(last)) for k in range(depth - 1 - reach, depth - 1)
    )
    cross = -a[0] * a[-1] * inverse @ data.yx if reach == depth - 1 else None
    return OriginHessian(0.0 - a[-1] ** 2 * noise, np.asarray(covariance), cross, net.widths)


def zero_rank_hessian(objective: Objective, net: LinearPCN) -> np.ndarray:
    r"""The block of the last layer where :math:`W_L = 0`, in closed form.

    .. math:: \frac{\partial^2 f}{\partial W_L^2} = a_L^2 \left( \Lambda \otimes \langle h h^T \rangle
              - \Omega \otimes M_{L-1} \right), \qquad h = Q_{L-1} x

    Parameters
    ----------
    objective : MSELoss, EquilibratedEnergy or NegativeLogLikelihood
        The function of the weights whose Hessian is taken.
    net : LinearPCN with L >= 2 and W_L = 0
        A critical point of all three if also :math:`S_{yx} Q_{L-1}^T = 0`.

    Returns
    -------
    block : (n_L n_{L-1}, n_L n_{L-1}), rows and columns in the row-major order of W_L

    Raises
    ------
    ValueError
        If there is only one layer, or the last one is not zero.

    Notes
    -----
    Claim ``zero-rank-saddles`` (Innocenti et al. 2024, Theorem 3; sharpened here: M_{L-1} replaces I). If
    :math:`Q_{L-1} = 0` the smallest eigenvalue for :math:`F^*` is
    :math:`-a_L^2 \lambda_{max}(S_{yy}) \lambda_{max}(M_{L-1})`: deeper than at the origin.

    Examples
    --------
    >>> from pctheory import Data, EquilibratedEnergy
    >>> net = LinearPCN([[[0.0]], [[2.0]], [[0.0]]])  # M_2 = 1 + 4
    >>> zero_rank_hessian(EquilibratedEnergy(Data([[1.0]], [[3.0]])), net).round(12)
    array([[-45.]])
    """
    _check.instance(objective, "objective", Objective)
    if require_plain(net).depth < 2:
        raise ValueError("`net` must have at least two layers. Got one: its Hessian is `origin_hessian`.")
    if np.any(np.asarray(net.weights[-1])):
        largest = np.max(np.abs(np.asarray(net.weights[-1])))
        raise ValueError(f"`W_{net.depth}` must be zero. Got entries up to {largest:g}.")
    inverse, noise = objective.metric_and_noise(net)
    inputs = input_products(net)[-2]
    features = inputs @ objective.data.xx @ inputs.T
    below = noise_covariances(net)[-2]
    return net.multipliers[-1] ** 2 * (np.kron(inverse, features) - np.kron(noise, below))


def gauss_newton_hessian(objective: Objective, net: LinearPCN) -> np.ndarray:
    r"""The Gauss-Newton matrix :math:`J^T \Lambda J`, the Hessian wherever the residual vanishes.

    J is the derivative of the outputs :math:`P_0 x` in the weights, averaged over the samples:

    .. math:: (J^T \Lambda J)_{W_l W_k} = a_l a_k\, (P_l^T \Lambda P_k) \otimes (Q_{l-1} S_{xx} Q_{k-1}^T)

    With :math:`\Lambda = S^{-1} \preceq \Pi_L` minima of :math:`F^*` are flatter than those of the loss, in
    every direction (claim ``flat-minima``; Innocenti et al. 2023, 2024; general form here).

    Parameters
    ----------
    objective : MSELoss or EquilibratedEnergy
        Gives :math:`\Lambda`: :math:`\Pi_L` for the loss, :math:`S^{-1}` for :math:`F^*`.
    net : LinearPCN
        The network.

    Returns
    -------
    matrix : (num_weights, num_weights)

    Raises
    ------
    TypeError
        If the objective is the negative log likelihood.

    Examples
    --------
    >>> from pctheory import Data, EquilibratedEnergy, MSELoss
    >>> net, data = LinearPCN([[[2.0]], [[3.0]]]), Data([[1.0]], [[6.0]])  # R = 0, S = 10
    >>> gauss_newton_hessian(MSELoss(data), net)
    array([[9., 6.],
           [6., 4.]])
    >>> gauss_newton_hessian(EquilibratedEnergy(data), net).round(12)
    array([[0.9, 0.6],
           [0.6, 0.4]])
    """
    inverse, _ = _check.instance(objective, "objective", Objective).metric_and_noise(require_plain(net))
    if objective.entropy_weight:
        raise TypeError(
            "`objective` must be an MSELoss or an EquilibratedEnergy. "
            f"Got {type(objective).__name__}: its log determinant has curvature of its own at a perfect fit."
        )
    outputs, inputs, a = output_products(net), input_products(net), net.multipliers
    layers = range(1, net.depth + 1)
    return np.block(
        [
            [
                a[l - 1]
                * a[k - 1]
                * np.kron(
                    outputs[l].T @ inverse @ outputs[k], inputs[l - 1] @ objective.data.xx @ inputs[k - 1].T
                )
                for k in layers
            ]
            for l in layers
        ]
    )
