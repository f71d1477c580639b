"""The expansion of an objective at one network: value, gradient and curvature from sweeps of n_L rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from array_api_compat import array_namespace, device

from .._check import Array
from ..inference import Equilibrium, equilibrium
from ..inference.routes import forward_sweep, output_norm
from ..linalg import BlockTridiagonal, BlockTridiagonalCholesky
from ..model import Data, LinearPCN
from ..model.definitions import hessian_blocks


class Expansion(ABC):
    """The value, the gradient and the curvature of an objective at one network."""

    value: Array

    @abstractmethod
    def gradient(self) -> tuple[Array, ...]: ...

    @abstractmethod
    def hvp(self, direction: Sequence[Array]) -> tuple[Array, ...]:
        """The product with a direction, or with a stack of them: arrays (..., n_l, n_{l-1})."""


@dataclass(frozen=True)
class Metric:
    r"""Output coordinates in which the residual's metric is the identity.

    `outputs`: :math:`p_l`, l = 1..L. `weighted`: :math:`p_l \Sigma_l`. `whiten`: rows :math:`r \mapsto R^{-T}
    r`. `half_logdet`: :math:`\frac12\log\det S`. `root`: R. `residual_weight`, `entropy_weight`:
    :math:`\Omega` is the first times :math:`\langle \rho\rho^T \rangle` minus the second times I. The loss
    does not depend on S: both are 0, and it uses neither `weighted` nor `half_logdet` nor `root`.
    """

    outputs: list[Array]
    weighted: list[Array]
    whiten: Callable[[Array], Array]
    half_logdet: Array
    root: Array | None
    residual_weight: float
    entropy_weight: float


class Sweep(Expansion):
    """Backward and forward sweeps of n_L rows; `t[l]`, `p[l]` and `s[l]` = p_l Sigma_l for l = 0..L."""

    def __init__(self, net: LinearPCN, metric: Metric, data: Data, rho: Array, value: Array) -> None:
        xp = array_namespace(rho)
        self.net, self.metric, self.data, self.rho, self.value = net, metric, data, rho, value
        self.kappa, self.entropy = metric.residual_weight, metric.entropy_weight
        x, y = data.x, data.y
        self.p = [metric.outputs[0] @ net.maps[0], *metric.outputs]
        start = rho.T @ x / x.shape[0]
        if not self.kappa:
            self.t = [start]
            for matrix in net.maps:
                self.t.append(self.t[-1] @ matrix.T)
        else:  # what t_L must be is known beforehand
            self.norm = output_norm(net, metric.root)
            self.t, self.growth = self._forward(start, self.moment, rho.T @ y / y.shape[0])
        if self.entropy:
            k, growth = self._forward(xp.zeros_like(start), self._identity(), metric.root)  # R^{-T} K_l^T
            self.growth = max(self.growth, growth)
            self.t = [t - self.entropy * each for t, each in zip(self.t, k, strict=True)]

    def _forward(self, start: Array, noise: Array, target: Array) -> tuple[list[Array], float]:
        """t_l = t_{l-1} A_l^T + Omega p_l Sigma_l, from t_0 to the target, and the growth of errors."""
        first, basis = start @ self.net.maps[0].T, array_namespace(noise).concat(self.metric.weighted, axis=1)
        swept, _, growth = forward_sweep(self.net, first, noise, basis, self.norm, target)
        return [start, *swept], growth

    @cached_property
    def moment(self) -> Array:
        r""":math:`\langle \rho\rho^T \rangle`."""
        return self.rho.T @ self.rho / self.rho.shape[0]

    @cached_property
    def noise(self) -> Array:
        """Omega, minus twice the derivative of f in S (in whitened coordinates)."""
        return self.moment - self.entropy * self._identity() if self.entropy else self.moment

    def _identity(self) -> Array:
        return array_namespace(self.rho).eye(self.rho.shape[1], dtype=self.rho.dtype, device=device(self.rho))

    def gradient(self) -> tuple[Array, ...]:
        return tuple(
            -a * (p.T @ t) for a, p, t in zip(self.net.multipliers, self.p[1:], self.t, strict=False)
        )

    def log_precision_gradient(self) -> tuple[Array, ...]:
        r""":math:`\partial f / \partial \log\pi_l = \frac12 \mathrm{diag}(\Sigma_l p_l^T \Omega p_l)`."""
        xp = array_namespace(self.rho)
        pairs = zip(self.p[1:], self.metric.weighted, strict=True)
        return tuple(xp.sum(p * (self.noise @ s), axis=0) / 2 for p, s in pairs)

    def hvp(self, direction: Sequence[Array], logs: Sequence[Array] = ()) -> tuple[Array, ...]:
        """With changes (..., n_l) of the precisions' logarithms the product has parts of theirs behind."""
        maps, multipliers = self.net.maps, self.net.multipliers
        xp = array_namespace(self.rho)
        moved = [a * d for a, d in zip(multipliers, direction, strict=True)]  # dA_l
        depth = self.net.depth
        dp = [xp.zeros_like(self.p[-1])] * (depth + 1)
        for l in range(depth, 0, -1):
            above = self.p[l] @ moved[l - 1]
            dp[l - 1] = above if l == depth else above + dp[l] @ maps[l - 1]
        dt = -(dp[0] @ self.data.xx)
        thinned = [s * log[..., None, :] for s, log in zip(self.metric.weighted, logs, strict=False)]
        if self.kappa:
            shift = [dp[l] @ transpose(self.metric.weighted[l - 1]) for l in range(1, depth)]
            ds = sum(shift[1:], start=shift[0]) if shift else xp.zeros_like(dp[0] @ self.p[0].T)
            ds = ds + transpose(ds)  # dS; then d(S^-1) = -dS, because S = I here
            for p, thin in zip(self.p[1:], thinned, strict=False):
                ds = ds - thin @ p.T
            dm = dp[0] @ self.t[0].T + ds @ self.moment
            dn = -(dm + transpose(dm))
            if self.entropy:
                dn = dn + self.entropy * ds
            dt = dt - ds @ self.t[0]
        product = []
        for l in range(1, depth + 1):
            term = self.p[l].T @ dt
            if l < depth:
                term = term + transpose(dp[l]) @ self.t[l - 1]
            product.append(-multipliers[l - 1] * term)
            if l < depth:
                dt = dt @ maps[l - 1].T + self.t[l - 1] @ transpose(moved[l - 1])
                if self.kappa:
                    sigma_dp = self.net.precisions[l - 1].solve(dp[l])
                    dt = dt + dn @ self.metric.weighted[l - 1] + self.noise @ sigma_dp
                    if logs:
                        dt = dt - self.noise @ thinned[l - 1]
        for p, s, thin, change in zip(self.p[1:], self.metric.weighted, thinned, dp[1:], strict=False):
            parts = s * (2 * self.noise @ change + dn @ p) - thin * (self.noise @ p)
            product.append(xp.sum(parts, axis=-2) / 2)
        return tuple(product)


class Biased(Expansion):
    """An expansion in weights and biases, from that of the network whose constant unit carries the biases."""

    def __init__(self, inner: Sweep, net: LinearPCN) -> None:
        self.inner, self.net, self.value = inner, net, inner.value

    def gradient(self) -> tuple[Array, ...]:
        return self._apart(self.inner.gradient())

    def hvp(self, direction: Sequence[Array], logs: Sequence[Array] = ()) -> tuple[Array, ...]:
        xp = array_namespace(*direction)
        joined = []
        depth, multipliers = self.net.depth, self.net.multipliers
        for l, (a, d, b) in enumerate(zip(multipliers, direction, direction[depth:], strict=False), start=1):
            rows = xp.concat([a * d, b[..., None]], axis=-1)
            still = xp.zeros_like(rows[..., :1, :])
            joined.append(rows if l == depth else xp.concat([rows, still], axis=-2))
        product = self.inner.hvp(joined, logs)
        return (*self._apart(product[:depth]), *product[depth:])

    def _apart(self, parts: Sequence[Array]) -> tuple[Array, ...]:
        own = [part[..., :n, :] for part, n in zip(parts, self.net.widths[1:], strict=True)]
        weights = [a * part[..., :-1] for a, part in zip(self.net.multipliers, own, strict=True)]
        return (*weights, *(part[..., -1] for part in own))


class Joint(Expansion):
    """An expansion in weights, biases and the logarithms of the precisions."""

    def __init__(self, inner: Sweep | Biased, sweep: Sweep, net: LinearPCN) -> None:
        self.inner, self.sweep, self.net, self.value = inner, sweep, net, inner.value
        self.shapes = net.layout.shapes[-net.depth :]

    def gradient(self) -> tuple[Array, ...]:
        return (*self.inner.gradient(), *self._gathered(self.sweep.log_precision_gradient()))

    def hvp(self, direction: Sequence[Array]) -> tuple[Array, ...]:
        depth, like = self.net.depth, self.net.weights[0]
        xp = array_namespace(like)
        logs: list[Array] = []
        for log, shape, p in zip(direction[-depth:], self.shapes, self.sweep.p[1:], strict=True):
            log = log if shape else log[..., None]
            width = self.net.widths[len(logs) + 1]
            whole = xp.broadcast_to(log, (*log.shape[:-1], width))
            extra = xp.zeros((*log.shape[:-1], p.shape[-1] - width), dtype=like.dtype, device=device(like))
            logs.append(xp.concat([whole, extra], axis=-1))  # the unit that carries the biases has none
        product = self.inner.hvp(direction[:-depth], logs)
        return (*product[:-depth], *self._gathered(product[-depth:]))

    def _gathered(self, parts: Sequence[Array]) -> list[Array]:
        """Derivatives in the logarithms of all units as those in the ones of the layers."""
        own = [part[..., :n] for part, n in zip(parts, self.net.widths[1:], strict=True)]
        xp = array_namespace(*own)
        return [
            part if shape else xp.sum(part, axis=-1) for part, shape in zip(own, self.shapes, strict=True)
        ]


class Elimination(Expansion):
    r"""F* from the equilibrium of every row; the tangent solves :math:`H\,dz = -(dH\,z - db)`."""

    def __init__(self, net: LinearPCN, data: Data) -> None:
        self.net = net
        self.at: Equilibrium = equilibrium(net, data, method="feedback")
        self.value = self.at.energy

    @cached_property
    def factor(self) -> BlockTridiagonalCholesky:
        return BlockTridiagonal.unchecked(*hessian_blocks(self.net)).cholesky()

    @cached_property
    def delta(self) -> list[Array]:
        """Pi_l eps_l, l = 1..L."""
        return list(self.at.weighted_errors)

    def gradient(self) -> tuple[Array, ...]:
        return self.at.weight_gradient()

    def hvp(self, direction: Sequence[Array]) -> tuple[Array, ...]:
        if direction[0].ndim > 2:
            xp = array_namespace(direction[0])
            stacks = zip(
                *(self.hvp([d[i] for d in direction]) for i in range(direction[0].shape[0])), strict=True
            )
            return tuple(xp.stack(list(parts)) for parts in stacks)
        z, delta, net, maps = self.at.activities, self.delta, self.net, self.net.maps
        xp = array_namespace(z[0])
        moved = [a * d for a, d in zip(net.multipliers, direction, strict=False)]
        change = [before @ m.T for before, m in zip(z[:-1], moved, strict=True)]
        if net.biases:
            change = [c + d for c, d in zip(change, direction[net.depth :], strict=True)]
        # errors and their weighted values move by -dA_l z_{l-1} - db_l at fixed activities
        fixed = [-pi.apply(c) for pi, c in zip(net.precisions, change, strict=True)]
        dz = [xp.zeros_like(z[0]), xp.zeros_like(z[-1])]
        if net.depth > 1:
            force = [fixed[l - 1] - delta[l] @ moved[l] - fixed[l] @ maps[l] for l in range(1, net.depth)]
            rows = self.factor.substitute(xp.concat(force, axis=1))
            dz[1:1] = self.factor.matrix.split_rows(-rows)
        product, shifts = [], []
        for l, (a, pi, matrix) in enumerate(zip(net.multipliers, net.precisions, maps, strict=True), start=1):
            tangent = fixed[l - 1] + pi.apply(dz[l] - dz[l - 1] @ matrix.T)
            term = tangent.T @ z[l - 1] + delta[l - 1].T @ dz[l - 1]
            product.append(-a / z[0].shape[0] * term)
            shifts.append(-xp.mean(tangent, axis=0))
        return (*product, *shifts) if net.biases else tuple(product)


class Decayed(Expansion):
    """An expansion with decay of the weights, not of biases nor of what is fixed."""

    def __init__(self, inner: Expansion, net: LinearPCN, strength: float) -> None:
        self.inner, self.strength = inner, strength
        self.weights = net.masked(net.weights)
        squares = sum(array_namespace(w).sum(w**2) for w in self.weights)
        self.value = inner.value + strength / 2 * squares

    def gradient(self) -> tuple[Array, ...]:
        return self._added(self.inner.gradient(), self.weights)

    def hvp(self, direction: Sequence[Array]) -> tuple[Array, ...]:
        return self._added(self.inner.hvp(direction), direction[: len(self.weights)])

    def _added(self, parts: Sequence[Array], weights: Sequence[Array]) -> tuple[Array, ...]:
        pairs = zip(parts, weights, strict=False)
        return (*(part + self.strength * w for part, w in pairs), *parts[len(weights) :])


def transpose(stack: Array) -> Array:
    """Transpose of the last two axes."""
    return array_namespace(stack).matrix_transpose(stack)
