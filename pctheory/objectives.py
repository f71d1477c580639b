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
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from array_api_compat import array_namespace, device, is_array_api_obj
from scipy.sparse.linalg import LinearOperator

from . import _check
from ._check import Array
from .block_tridiagonal import BlockTridiagonalCholesky
from .data import Data
from .energy import _data, activity_hessian, weight_gradient
from .equilibrium import CLOSURE_BOUND, Equilibrium, _hidden_products, _mismatch, equilibrium
from .network import LinearPCN

__all__ = ["EquilibratedEnergy", "MSELoss", "NegativeLogLikelihood", "Objective", "WeightDecay"]

CHUNK = 2**22
"""Numbers held at once by a block of directions of the dense Hessian."""


class Objective(ABC):
    r"""A function f of the weights, with its exact gradient and Hessian.

    Value and gradient work in any array-API library and stay in the weights' one; they are differentiable there.
    """

    data: Data

    @abstractmethod
    def _expand(self, net: LinearPCN) -> _Expansion:
        """The expansion of f at `net`: everything that its derivatives there share."""

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
        product = self._expand(net).hvp(parts)
        return _flatten(product) if flat else product

    def hessian(self, net: LinearPCN) -> Array:
        r"""The dense Hessian :math:`\nabla^2 f`, (num_weights, num_weights), exactly symmetric.

        Rows and columns follow ``net.flatten()``. Costs num_weights Hessian-vector products, done in blocks.
        """
        weight = net.weights[0]
        xp = array_namespace(weight)
        expansion, size = self._expand(net), net.num_weights
        identity = xp.eye(size, dtype=weight.dtype, device=device(weight))
        step = max(1, CHUNK // size)
        blocks = [
            _flatten(expansion.hvp(_split(net, identity[i : i + step, :]))) for i in range(0, size, step)
        ]
        full = xp.concat(blocks, axis=0)
        return (full + full.T) / 2

    def hessian_operator(self, net: LinearPCN) -> LinearOperator:
        r"""The Hessian as a scipy `LinearOperator` on numpy vectors, (num_weights, num_weights), never formed."""
        weight = net.weights[0]
        xp = array_namespace(weight)
        expansion, size = self._expand(net), net.num_weights

        def rows(block: np.ndarray) -> np.ndarray:
            own = xp.asarray(np.ascontiguousarray(block), dtype=weight.dtype, device=device(weight))
            return _check.to_numpy(_flatten(expansion.hvp(_split(net, own))), "product")

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


class _Expansion(ABC):
    """The value, the gradient and the curvature of an objective at one network."""

    value: Array

    @abstractmethod
    def gradient(self) -> tuple[Array, ...]: ...

    @abstractmethod
    def hvp(self, direction: Sequence[Array]) -> tuple[Array, ...]:
        """The product with a direction, or with a stack of them: arrays (..., n_l, n_{l-1})."""


class _DataObjective(Objective):
    """What the loss, the equilibrated energy and the likelihood share."""

    _residual_weight = 0.0  # N = residual_weight <rho rho^T> - entropy_weight I
    _entropy_weight = 0.0

    def __init__(self, data: Data) -> None:
        if not isinstance(data, Data):
            raise TypeError(f"`data` must be a pctheory.Data(x, y). Got {type(data).__name__}.")
        self.data = data.compress()

    @abstractmethod
    def _metric(self, net: LinearPCN, products: list[Array]) -> _Metric:
        """The whitening of the outputs, from P_1, ..., P_L."""

    def _expand(self, net: LinearPCN) -> _Expansion:
        return _Sweep(self, net)

    def _whitened(self, net: LinearPCN) -> tuple[_Metric, Array, Array, Array]:
        x, y = _data(net, self.data)
        products = _hidden_products(net)
        metric = self._metric(net, products)
        residual = y - (x @ _mT(net.maps[0])) @ _mT(products[0])
        return metric, x, y, metric.whiten(residual)

    def _values(self, net: LinearPCN) -> Array:
        metric, _, _, rho = self._whitened(net)
        return self._value(metric, rho)

    def _value(self, metric: _Metric, rho: Array) -> Array:
        value = 0.5 * array_namespace(rho).sum(rho**2, axis=(-2, -1)) / rho.shape[-2]
        return value + self._entropy_weight * metric.half_logdet if self._entropy_weight else value


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

    def _metric(self, net: LinearPCN, products: list[Array]) -> _Metric:
        last = net.precisions[-1]
        outputs = [_mT(_rows(last.whiten, _mT(p))) for p in products]
        return _Metric(outputs, outputs, lambda r: _rows(last.whiten, r), 0.0, None)


class EquilibratedEnergy(_DataObjective):
    r"""The energy at the equilibrium of inference, :math:`F^* = \frac{1}{2B}\sum_i r_i^T S^{-1} r_i`: what PC descends.

    Parameters
    ----------
    data : Data
        Compressed once to at most n_0 + n_L rows.

    Notes
    -----
    Claims ``equilibrated-energy``, ``envelope-gradient``, ``gradient-decomposition``. Where the products of the maps
    explode and the forward sweep no longer closes on y (see `pctheory.equilibrium.CLOSURE_BOUND`), value, gradient and
    Hessian-vector product come from the elimination of the block-tridiagonal H instead, at B rows.

    Examples
    --------
    >>> energy = EquilibratedEnergy(Data([[1.0]], [[7.0]]))
    >>> net = LinearPCN([[[2.0]], [[3.0]]])  # r = 1, S = 10
    >>> round(float(energy.value(net)), 12), [round(g.item(), 12) for g in energy.gradient(net)]
    (0.05, [-0.3, -0.23])
    """

    _residual_weight = 1.0

    def _metric(self, net: LinearPCN, products: list[Array]) -> _Metric:
        xp = array_namespace(*products)
        whole = products[0] if len(products) > 1 else products[-1]
        last = xp.broadcast_to(products[-1], (*whole.shape[:-2], *products[-1].shape))
        stack = [
            _mT(_rows(pi.colour, p)) for pi, p in zip(net.precisions, [*products[:-1], last], strict=True)
        ]
        q, r = xp.linalg.qr(xp.concat(stack, axis=-2), mode="reduced")
        # Q^T = R^{-T} [P_1 C_1^{-T}, ...] holds the whitened products; C_l C_l^T = Pi_l
        weighted, start = [], 0
        for pi in net.precisions:
            weighted.append(_rows(pi.unwhiten, _mT(q[..., start : start + pi.size, :])))
            start += pi.size
        outputs = [_rows(pi.apply, s) for pi, s in zip(net.precisions, weighted, strict=True)]
        half_logdet = xp.sum(xp.log(xp.abs(xp.linalg.diagonal(r))), axis=-1)
        return _Metric(
            outputs, weighted, lambda rows: _mT(xp.linalg.solve(_mT(r), _mT(rows))), half_logdet, r
        )

    def _expand(self, net: LinearPCN) -> _Expansion:
        sweep = _Sweep(self, net)
        bound = CLOSURE_BOUND * float(array_namespace(sweep.rho).finfo(sweep.rho.dtype).eps)
        return sweep if sweep.closure <= bound else self._eliminate(net)

    def _eliminate(self, net: LinearPCN) -> _Expansion:
        return _Elimination(net, self.data)


class NegativeLogLikelihood(EquilibratedEnergy):
    r"""The negative log likelihood :math:`F^* + \frac12 \log\det S`, per sample and without :math:`\frac{n_L}{2}\log 2\pi`.

    The network is the Gaussian model :math:`y | x \sim N(P_0 x, S)` (claim ``gaussian-marginal``), and predictive coding
    leaves out the log determinant. Unlike :math:`F^*` it has a minimiser on noisy data (claim ``no-minimiser-with-noise``).

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

    def _eliminate(self, net: LinearPCN) -> _Expansion:
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

    def _expand(self, net: LinearPCN) -> _Expansion:
        return _Decayed(self.objective._expand(net), net.weights, self.strength)

    def _values(self, net: LinearPCN) -> Array:
        squares = [array_namespace(w).sum(w**2, axis=(-2, -1)) for w in net.weights]
        return self.objective._values(net) + self.strength / 2 * sum(squares)

    def __repr__(self) -> str:
        return f"WeightDecay({self.objective!r}, {self.strength:g})"


@dataclass(frozen=True)
class _Metric:
    r"""Output coordinates in which the residual's metric is the identity.

    `outputs`: :math:`p_l`, l = 1..L. `weighted`: :math:`p_l \Sigma_l`. `whiten`: rows :math:`r \mapsto R^{-T} r`.
    `half_logdet`: :math:`\frac12\log\det S`. `root`: R.
    The loss does not depend on S: it uses neither `weighted` nor the last two.
    """

    outputs: list[Array]
    weighted: list[Array]
    whiten: Callable[[Array], Array]
    half_logdet: Array
    root: Array


class _Sweep(_Expansion):
    """Backward and forward sweeps of n_L rows; `t[l]`, `p[l]` and `s[l]` = p_l Sigma_l for l = 0..L."""

    def __init__(self, objective: _DataObjective, net: LinearPCN) -> None:
        metric, x, y, rho = objective._whitened(net)
        self.net, self.rho, self.metric = net, rho, metric
        self.kappa, self.entropy = objective._residual_weight, objective._entropy_weight
        self.data = objective.data
        self.value = objective._value(metric, rho)
        self.p = [metric.outputs[0] @ net.maps[0], *metric.outputs]
        self.t = [rho.T @ x / x.shape[0]]
        for matrix, weighted in zip(net.maps, metric.weighted, strict=True):
            forward = self.t[-1] @ matrix.T
            self.t.append(forward + self.noise @ weighted if self.kappa else forward)
        self.closure = self._closure(rho.T @ y / y.shape[0]) if self.kappa else 0.0

    @cached_property
    def moment(self) -> Array:
        r""":math:`\langle \rho\rho^T \rangle`."""
        return self.rho.T @ self.rho / self.rho.shape[0]

    @cached_property
    def noise(self) -> Array:
        """N, minus twice the derivative of f in S (in whitened coordinates)."""
        return self.moment - self.entropy * self._identity() if self.entropy else self.moment

    def _identity(self) -> Array:
        return array_namespace(self.rho).eye(self.rho.shape[1], dtype=self.rho.dtype, device=device(self.rho))

    def _closure(self, target: Array) -> float:
        """t_L is known beforehand, <rho y^T> - entropy R: the mismatch estimates the relative error of every t_l."""
        if self.entropy:
            target = target - self.entropy * self.metric.root
        return _mismatch(self.t[-1], target, self.t[0] @ self.net.maps[0].T)

    def gradient(self) -> tuple[Array, ...]:
        return tuple(
            -a * (p.T @ t) for a, p, t in zip(self.net.multipliers, self.p[1:], self.t, strict=False)
        )

    def hvp(self, direction: Sequence[Array]) -> tuple[Array, ...]:
        maps, multipliers = self.net.maps, self.net.multipliers
        xp = array_namespace(self.rho)
        moved = [a * d for a, d in zip(multipliers, direction, strict=True)]  # dA_l
        depth = self.net.depth
        dp = [xp.zeros_like(self.p[-1])] * (depth + 1)
        for l in range(depth, 0, -1):
            above = self.p[l] @ moved[l - 1]
            dp[l - 1] = above if l == depth else above + dp[l] @ maps[l - 1]
        dt = -(dp[0] @ xp.astype(self.data.xx, self.rho.dtype))
        if self.kappa:
            shift = [dp[l] @ _mT(self.metric.weighted[l - 1]) for l in range(1, depth)]
            ds = sum(shift[1:], start=shift[0]) if shift else xp.zeros_like(dp[0] @ self.p[0].T)
            ds = ds + _mT(ds)  # dS; then d(S^-1) = -dS, because S = I here
            dm = dp[0] @ self.t[0].T + ds @ self.moment
            dn = -(dm + _mT(dm))
            if self.entropy:
                dn = dn + self.entropy * ds
            dt = dt - ds @ self.t[0]
        product = []
        for l in range(1, depth + 1):
            term = self.p[l].T @ dt
            if l < depth:
                term = term + _mT(dp[l]) @ self.t[l - 1]
            product.append(-multipliers[l - 1] * term)
            if l < depth:
                dt = dt @ maps[l - 1].T + self.t[l - 1] @ _mT(moved[l - 1])
                if self.kappa:
                    sigma_dp = _rows(self.net.precisions[l - 1].solve, dp[l])
                    dt = dt + dn @ self.metric.weighted[l - 1] + self.noise @ sigma_dp
        return tuple(product)


class _Elimination(_Expansion):
    r"""F* from the activities at equilibrium: the tangent solves :math:`H\,dz = -(dH\,z - db)`. One direction at a time."""

    def __init__(self, net: LinearPCN, data: Data) -> None:
        self.net = net
        self.at: Equilibrium = equilibrium(net, data, method="elimination")
        self.value = self.at.energy

    @cached_property
    def factor(self) -> BlockTridiagonalCholesky:
        return activity_hessian(self.net).cholesky()

    @cached_property
    def delta(self) -> list[Array]:
        """Pi_l eps_l, l = 1..L."""
        return [pi.apply(e) for pi, e in zip(self.net.precisions, self.at.errors, strict=True)]

    def gradient(self) -> tuple[Array, ...]:
        return weight_gradient(self.net, self.at.activities)

    def hvp(self, direction: Sequence[Array]) -> tuple[Array, ...]:
        if direction[0].ndim > 2:
            xp = array_namespace(direction[0])
            stacks = zip(
                *(self.hvp([d[i] for d in direction]) for i in range(direction[0].shape[0])), strict=True
            )
            return tuple(xp.stack(list(parts)) for parts in stacks)
        z, delta, net = self.at.activities, self.delta, self.net
        xp = array_namespace(z[0])
        moved = [a * d for a, d in zip(net.multipliers, direction, strict=True)]
        # errors and their weighted values move by -dA_l z_{l-1} at fixed activities
        fixed = [-pi.apply(before @ m.T) for pi, before, m in zip(net.precisions, z[:-1], moved, strict=True)]
        dz = [xp.zeros_like(z[0]), xp.zeros_like(z[-1])]
        if net.depth > 1:
            force = [fixed[l - 1] - delta[l] @ moved[l] - fixed[l] @ net.maps[l] for l in range(1, net.depth)]
            rows = xp.concat(force, axis=1)
            dz[1:1] = activity_hessian(net).split(-self.factor.solve(rows))
        product = []
        for l, (a, pi, matrix) in enumerate(
            zip(net.multipliers, net.precisions, net.maps, strict=True), start=1
        ):
            tangent = fixed[l - 1] + pi.apply(dz[l] - dz[l - 1] @ matrix.T)
            term = tangent.T @ z[l - 1] + delta[l - 1].T @ dz[l - 1]
            product.append(-a / z[0].shape[0] * term)
        return tuple(product)


class _Decayed(_Expansion):
    def __init__(self, inner: _Expansion, weights: Sequence[Array], strength: float) -> None:
        self.inner, self.weights, self.strength = inner, weights, strength
        squares = sum(array_namespace(w).sum(w**2) for w in weights)
        self.value = inner.value + strength / 2 * squares

    def gradient(self) -> tuple[Array, ...]:
        pairs = zip(self.inner.gradient(), self.weights, strict=True)
        return tuple(g + self.strength * w for g, w in pairs)

    def hvp(self, direction: Sequence[Array]) -> tuple[Array, ...]:
        pairs = zip(self.inner.hvp(direction), direction, strict=True)
        return tuple(h + self.strength * d for h, d in pairs)


def _mT(stack: Array) -> Array:
    """Transpose of the last two axes."""
    return array_namespace(stack).matrix_transpose(stack)


def _rows(function: Callable[[Array], Array], stack: Array) -> Array:
    """A method of `Precision`, which acts on rows, on a stack of rows."""
    if stack.ndim == 2:
        return function(stack)
    xp = array_namespace(stack)
    return xp.reshape(function(xp.reshape(stack, (-1, stack.shape[-1]))), stack.shape)


def _split(net: LinearPCN, vectors: Array) -> tuple[Array, ...]:
    """Vectors (K, num_weights) as stacks (K, n_l, n_{l-1})."""
    xp = array_namespace(vectors)
    parts, start = [], 0
    for w in net.weights:
        size = w.shape[-2] * w.shape[-1]
        shape = (vectors.shape[0], w.shape[-2], w.shape[-1])
        parts.append(xp.reshape(vectors[:, start : start + size], shape))
        start += size
    return tuple(parts)


def _flatten(parts: Sequence[Array]) -> Array:
    """Stacks (..., n_l, n_{l-1}) as vectors (..., num_weights)."""
    xp = array_namespace(*parts)
    return xp.concat([xp.reshape(p, (*p.shape[:-2], -1)) for p in parts], axis=-1)


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
        return net._split(vector), True
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
