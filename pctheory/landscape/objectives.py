r"""Objectives of learning and their exact derivatives: the loss, the equilibrated energy, the full likelihood.

All three see the network only through its whole map :math:`P_0` and the rescaling :math:`S`, so one computation serves them.
Choose output coordinates in which the metric of the residual (:math:`S`; for the loss :math:`\Sigma_L`) is the identity:
:math:`p_l = R^{-T} P_l` and :math:`\rho = R^{-T} r` with :math:`S = R^T R` from a QR factorisation. Then

.. math:: \frac{\partial f}{\partial W_l} = -a_l\, p_l^T t_{l-1}, \qquad
          t_0 = \langle \rho x^T \rangle, \quad t_l = t_{l-1} A_l^T + N p_l \Sigma_l,

with :math:`N = 0` for the loss, :math:`\langle \rho\rho^T \rangle` for :math:`F^*` and
:math:`\langle \rho\rho^T \rangle - I` for the likelihood. For :math:`F^*`, :math:`t_l = \langle \rho z_l^{*T} \rangle` and this
is the local rule at equilibrium (claim ``envelope-gradient``). The batch has gone: a gradient costs one backward and one
forward sweep of n_L rows, and so does its directional derivative, the Hessian-vector product.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from array_api_compat import array_namespace, device, is_array_api_obj
from scipy.sparse.linalg import LinearOperator

from .. import _check
from .._check import Array
from ..inference.equilibria import CLOSURE_BOUND, hidden_products
from ..model import Data, LinearPCN
from ..model.definitions import data_rows
from ._expansion import Decayed, Elimination, Expansion, Metric, Sweep, flatten, on_rows, split, transpose

__all__ = ["EquilibratedEnergy", "MSELoss", "NegativeLogLikelihood", "Objective", "WeightDecay"]

CHUNK = 2**22
"""Numbers held at once by a block of directions of the dense Hessian."""


class Objective(ABC):
    r"""A function f of the weights, with its exact gradient and Hessian.

    Value and gradient work in any array-API library and stay in the weights' one; they are differentiable there.
    """

    data: Data

    @abstractmethod
    def _expand(self, net: LinearPCN, order: int = 1) -> Expansion:
        """The expansion of f at `net`, accurate to first or second derivatives: everything that they share."""

    def value(self, net: LinearPCN) -> Array:
        r""":math:`f`, a scalar of the weights' array library."""
        return self._expand(net).value

    def gradient(self, net: LinearPCN) -> tuple[Array, ...]:
        r""":math:`\partial f / \partial W_l`, a tuple like ``net.weights``."""
        return self._expand(net).gradient()

    def value_and_gradient(self, net: LinearPCN) -> tuple[Array, tuple[Array, ...]]:
        """Both, for the price of the gradient."""
        expansion = self._expand(net)
        return expansion.value, expansion.gradient()

    def hvp(self, net: LinearPCN, direction: Sequence[Array] | Array) -> Any:
        r"""Hessian-vector product :math:`\nabla^2 f\, v`: the exact derivative of the gradient along v.

        Parameters
        ----------
        direction : tuple of arrays like ``net.weights``, or vector (num_weights,) in the order of ``net.flatten()``

        Returns
        -------
        product : of the same form as `direction`

        Notes
        -----
        Costs about three gradients, two of them inside `hessian_operator`, which expands at the network only once.
        """
        parts, flat = _direction(net, direction)
        product = self._expand(net, 2).hvp(parts)
        return flatten(product) if flat else product

    def hessian(self, net: LinearPCN) -> Array:
        r"""The dense Hessian :math:`\nabla^2 f`, (num_weights, num_weights), exactly symmetric.

        Rows and columns follow ``net.flatten()``. Costs num_weights Hessian-vector products, done in blocks.
        """
        weight = net.weights[0]
        xp = array_namespace(weight)
        expansion, size = self._expand(net, 2), net.num_weights
        identity = xp.eye(size, dtype=weight.dtype, device=device(weight))
        step = max(1, CHUNK // size)
        blocks = [flatten(expansion.hvp(split(net, identity[i : i + step, :]))) for i in range(0, size, step)]
        full = xp.concat(blocks, axis=0)
        return (full + full.T) / 2

    def hessian_operator(self, net: LinearPCN) -> LinearOperator:
        r"""The Hessian as a scipy `LinearOperator` on numpy vectors, (num_weights, num_weights), never formed."""
        weight = net.weights[0]
        xp = array_namespace(weight)
        expansion, size = self._expand(net, 2), net.num_weights

        def rows(block: np.ndarray) -> np.ndarray:
            own = xp.asarray(np.ascontiguousarray(block), dtype=weight.dtype, device=device(weight))
            return _check.to_numpy(flatten(expansion.hvp(split(net, own))), "product")

        return LinearOperator(
            (size, size),
            matvec=lambda v: rows(np.reshape(v, (1, -1)))[0],
            rmatvec=lambda v: rows(np.reshape(v, (1, -1)))[0],
            matmat=lambda block: rows(block.T).T,
            rmatmat=lambda block: rows(block.T).T,
            dtype=np.float64,
        )

    def _values(self, net: LinearPCN) -> Array:
        """Values of a stack of networks: weights of shape (..., n_l, n_{l-1}) give values of shape (...,)."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.data!r})"


class _DataObjective(Objective):
    """What the loss, the equilibrated energy and the likelihood share."""

    def __init__(self, data: Data) -> None:
        if not isinstance(data, Data):
            raise TypeError(f"`data` must be a pctheory.Data(x, y). Got {type(data).__name__}.")
        self.data = data.compress()

    @abstractmethod
    def _metric(self, net: LinearPCN, products: list[Array]) -> Metric:
        """The whitening of the outputs, from P_1, ..., P_L."""

    def _expand(self, net: LinearPCN, order: int = 1) -> Expansion:
        return self._sweep(net)

    def _sweep(self, net: LinearPCN) -> Sweep:
        metric, data, rho = self._whitened(net)
        return Sweep(net, metric, data, rho, self._value(metric, rho))

    def _whitened(self, net: LinearPCN) -> tuple[Metric, Data, Array]:
        data = self._cast(net)
        products = hidden_products(net)
        metric = self._metric(net, products)
        residual = data.y - data.x @ transpose(products[0] @ net.maps[0])  # n_L rows of products, not B
        return metric, data, metric.whiten(residual)

    def _cast(self, net: LinearPCN) -> Data:
        """The data in the weights' dtype; usually as they are, with their moments already computed."""
        x, y = data_rows(net, self.data)
        return self.data if x is self.data.x and y is self.data.y else Data(x, y)

    def _values(self, net: LinearPCN) -> Array:
        metric, _, rho = self._whitened(net)
        return self._value(metric, rho)

    def _value(self, metric: Metric, rho: Array) -> Array:
        value = 0.5 * array_namespace(rho).sum(rho**2, axis=(-2, -1)) / rho.shape[-2]
        return value + metric.entropy_weight * metric.half_logdet if metric.entropy_weight else value


class MSELoss(_DataObjective):
    r"""The loss :math:`\mathcal L = \frac{1}{2B}\sum_i |y - P_0 x|^2_{\Pi_L}`: what backprop descends.

    Parameters
    ----------
    data : Data
        Compressed once to at most n_0 + n_L rows (claim ``data-compression``).

    Examples
    --------
    >>> loss = MSELoss(Data([[1.0]], [[7.0]]))
    >>> net = LinearPCN([[[2.0]], [[3.0]]])
    >>> float(loss.value(net)), [g.item() for g in loss.gradient(net)]
    (0.5, [-3.0, -2.0])
    >>> loss.hessian(net)
    array([[9., 5.],
           [5., 4.]])
    """

    def _metric(self, net: LinearPCN, products: list[Array]) -> Metric:
        last = net.precisions[-1]
        outputs = [transpose(on_rows(last.whiten, transpose(p))) for p in products]
        return Metric(outputs, outputs, lambda r: on_rows(last.whiten, r), 0.0, None, 0.0, 0.0)


class EquilibratedEnergy(_DataObjective):
    r"""The energy at the equilibrium of inference, :math:`F^* = \frac{1}{2B}\sum_i r_i^T S^{-1} r_i`: what PC descends.

    Parameters
    ----------
    data : Data
        Compressed once to at most n_0 + n_L rows.

    Notes
    -----
    Claims ``equilibrated-energy``, ``envelope-gradient``, ``gradient-decomposition``. Where the products of the maps
    explode and the forward sweep no longer closes on y (see `pctheory.inference.equilibria.CLOSURE_BOUND`), value, gradient and
    Hessian-vector product come from the elimination of the block-tridiagonal H instead, at B rows.

    Examples
    --------
    >>> energy = EquilibratedEnergy(Data([[1.0]], [[7.0]]))
    >>> net = LinearPCN([[[2.0]], [[3.0]]])  # r = 1, S = 10
    >>> round(float(energy.value(net)), 12), [round(g.item(), 12) for g in energy.gradient(net)]
    (0.05, [-0.3, -0.23])
    """

    _entropy_weight = 0.0

    def _metric(self, net: LinearPCN, products: list[Array]) -> Metric:
        xp = array_namespace(*products)
        whole = products[0] if len(products) > 1 else products[-1]
        last = xp.broadcast_to(products[-1], (*whole.shape[:-2], *products[-1].shape))
        stack = [
            transpose(on_rows(pi.colour, p))
            for pi, p in zip(net.precisions, [*products[:-1], last], strict=True)
        ]
        q, r = xp.linalg.qr(xp.concat(stack, axis=-2), mode="reduced")
        # Q^T = R^{-T} [P_1 C_1^{-T}, ...] holds the whitened products; C_l C_l^T = Pi_l
        weighted, start = [], 0
        for pi in net.precisions:
            weighted.append(on_rows(pi.unwhiten, transpose(q[..., start : start + pi.size, :])))
            start += pi.size
        outputs = [on_rows(pi.apply, s) for pi, s in zip(net.precisions, weighted, strict=True)]
        half_logdet = xp.sum(xp.log(xp.abs(xp.linalg.diagonal(r))), axis=-1)
        return Metric(
            outputs,
            weighted,
            whiten=lambda rows: transpose(xp.linalg.solve(transpose(r), transpose(rows))),
            half_logdet=half_logdet,
            root=r,
            residual_weight=1.0,
            entropy_weight=self._entropy_weight,
        )

    def _expand(self, net: LinearPCN, order: int = 1) -> Expansion:
        sweep = self._sweep(net)
        # a first derivative errs by closure times eps, a second one, swept twice, by its square times eps
        bound = CLOSURE_BOUND ** (1 / order) * float(array_namespace(sweep.rho).finfo(sweep.rho.dtype).eps)
        return sweep if sweep.closure <= bound else self._eliminate(net, sweep)

    def _eliminate(self, net: LinearPCN, sweep: Sweep | None = None) -> Expansion:
        return Elimination(net, self.data)


class NegativeLogLikelihood(EquilibratedEnergy):
    r"""The negative log likelihood :math:`F^* + \frac12 \log\det S`, per sample and without :math:`\frac{n_L}{2}\log 2\pi`.

    The network is the Gaussian model :math:`y | x \sim N(P_0 x, S)` (claim ``gaussian-marginal``), and predictive coding
    leaves out the log determinant. Unlike :math:`F^*` it has a minimiser on noisy data, provided that the noise exceeds the
    assumed :math:`\Sigma_L`: below it, the weights inflate the other way, :math:`W_L \to 0` at a fixed map (claim
    ``no-minimiser-with-noise``).

    Parameters
    ----------
    data : Data
        Compressed once to at most n_0 + n_L rows.

    Examples
    --------
    >>> import math
    >>> value = NegativeLogLikelihood(Data([[1.0]], [[7.0]])).value(LinearPCN([[[2.0]], [[3.0]]]))
    >>> math.isclose(value, 0.05 + 0.5 * math.log(10))
    True
    """

    _entropy_weight = 1.0

    def _eliminate(self, net: LinearPCN, sweep: Sweep | None = None) -> Expansion:
        if sweep is not None and sweep.closure <= CLOSURE_BOUND * float(
            array_namespace(sweep.rho).finfo(sweep.rho.dtype).eps
        ):
            return sweep  # second derivatives to about 1e-8
        raise ValueError(
            "The forward sweep must close on the output for the log determinant's derivatives to be accurate. "
            "The products of the maps are too large: lower the scale of the weights, or use `EquilibratedEnergy`."
        )


class WeightDecay(Objective):
    r"""An objective with weight decay, :math:`f + \frac{\lambda}{2} \sum_l \|W_l\|_F^2`.

    With it :math:`F^*` has a minimiser on noisy data (claim ``no-minimiser-with-noise``).

    Parameters
    ----------
    objective : Objective
    strength : float
        :math:`\lambda \ge 0`.

    Examples
    --------
    >>> decayed = WeightDecay(MSELoss(Data([[1.0]], [[7.0]])), 0.1)
    >>> round(float(decayed.value(LinearPCN([[[2.0]], [[3.0]]]))), 12)  # 0.5 + 0.05 (4 + 9)
    1.15
    """

    def __init__(self, objective: Objective, strength: float) -> None:
        if not isinstance(objective, Objective):
            raise TypeError(f"`objective` must be an objective. Got {type(objective).__name__}.")
        self.objective = objective
        self.strength = _check.non_negative(strength, "strength")
        self.data = objective.data

    def _expand(self, net: LinearPCN, order: int = 1) -> Expansion:
        return Decayed(self.objective._expand(net, order), net.weights, self.strength)

    def _values(self, net: LinearPCN) -> Array:
        squares = [array_namespace(w).sum(w**2, axis=(-2, -1)) for w in net.weights]
        return self.objective._values(net) + self.strength / 2 * sum(squares)

    def __repr__(self) -> str:
        return f"WeightDecay({self.objective!r}, {self.strength:g})"


def _direction(net: LinearPCN, direction: Sequence[Array] | Array) -> tuple[tuple[Array, ...], bool]:
    """A direction as a tuple of arrays, and whether it came as a vector."""
    if not isinstance(direction, list | tuple):
        if not is_array_api_obj(direction):
            raise TypeError(
                "`direction` must be a tuple of arrays like the weights, or a vector. "
                f"Got {type(direction).__name__}."
            )
        vector = _check.finite(_check.as_array(direction, "direction"), "direction")
        if tuple(vector.shape) != (net.num_weights,):
            raise ValueError(
                f"`direction` must have shape ({net.num_weights},), one entry per weight. Got {tuple(vector.shape)}."
            )
        return net.split(vector), True
    if len(direction) != net.depth:
        raise ValueError(
            f"`direction` must hold one array per layer, {net.depth} of them. Got {len(direction)}."
        )
    parts = tuple(_check.matrix(d, f"direction[{l}]") for l, d in enumerate(direction))
    for l, (part, weight) in enumerate(zip(parts, net.weights, strict=True)):
        if part.shape != weight.shape:
            raise ValueError(
                f"`direction[{l}]` must have the shape of `W_{l + 1}`, {tuple(weight.shape)}. Got {tuple(part.shape)}."
            )
    return parts, False
