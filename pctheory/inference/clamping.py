r"""Any orientation and any clamps: inference when some units are clamped and the rest are free.

The energy is the same for all of them. The discriminative chain clamps :math:`z_0` and :math:`z_L`. The
generative one has a label :math:`z_0` at the top and an image :math:`z_L` at the bottom, and classifies an
image by inferring its label. To fill in missing pixels, the other units of their layer are clamped. Let
:math:`\mathcal H` be the Hessian of a sample's energy in all units, and f, c the free and the clamped ones:

.. math:: \mathcal H_{ff} z_f^* = -\mathcal H_{fc} z_c,
          \qquad \mathrm{Cov}(z_f \mid z_c) = \mathcal H_{ff}^{-1},

which is block tridiagonal whatever is clamped. It is singular only if some signal in the free units of layer
0 reaches no clamped unit; a prior on layer 0 prevents that. Bidirectional predictive coding (Oliviers et al.
2025, arXiv:2505.23415) adds predictions from L to 0: a network in the other direction, whose Hessian is block
tridiagonal too, and is added.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from array_api_compat import array_namespace, device

from .. import _check
from .._check import Array
from ..linalg import BlockTridiagonal, BlockTridiagonalCholesky
from ..model import LinearPCN, Precision
from ..model.definitions import activity_rows, energies_of, errors_of, slope_of

__all__ = ["ClampedEquilibrium", "ClampedProblem", "clamped_equilibrium"]


@dataclass(frozen=True, eq=False, repr=False, init=False)
class ClampedProblem:
    r"""Inference in a network of which some units are clamped.

    Parameters
    ----------
    net : LinearPCN
        Predictions from layer 0 to layer L.
    activities : (z_0, ..., z_L), each (B, n_l)
        Only the values of the clamped units matter.
    mask : None, or L + 1 of: bool, (n_l,) booleans
        True where a unit is clamped; None clamps layers 0 and L.
    prior : None, number, vector (n_0,) or matrix (n_0, n_0)
        Precision :math:`\Pi_0` of a Gaussian prior of mean 0 on layer 0, which adds
        :math:`\frac12 z_0^T \Pi_0 z_0` to the energy of a sample. None: flat.
    reverse : None or LinearPCN
        Predictions from layer L to layer 0, widths :math:`(n_L, \dots, n_0)`: the second half of a
        bidirectional network.

    Attributes
    ----------
    free : L + 1 integer arrays
        Numbers of the free units of each layer, ascending.

    Raises
    ------
    ValueError, TypeError
        One sentence with the rule that the argument breaks.

    Examples
    --------
    >>> ClampedProblem(LinearPCN([[[2.0]]]), ([[0.0]], [[3.0]]), mask=(False, True))
    ClampedProblem(1 samples, free units 1/1, 0/1)
    """

    net: LinearPCN
    activities: tuple[Array, ...]
    free: tuple[np.ndarray, ...]
    prior: Precision | None
    reverse: LinearPCN | None

    def __init__(
        self,
        net: LinearPCN,
        activities: Sequence[Array],
        mask: Sequence[Any] | None = None,
        *,
        prior: Any = None,
        reverse: LinearPCN | None = None,
    ) -> None:
        _check.instance(net, "net", LinearPCN)
        if reverse is not None and _check.instance(reverse, "reverse", LinearPCN).widths != net.widths[::-1]:
            raise ValueError(
                f"`reverse` must have the widths of `net` in reverse, {net.widths[::-1]}. Got "
                f"{reverse.widths}."
            )
        object.__setattr__(self, "net", net)
        object.__setattr__(self, "activities", activity_rows(net, activities))
        clamped = _check.clamped_units(mask, net.widths, "mask")
        object.__setattr__(self, "free", tuple(np.flatnonzero(~marks) for marks in clamped))
        like = net.weights[0]
        checked = None if prior is None else Precision.of(prior, net.widths[0], like, "prior")
        object.__setattr__(self, "prior", checked)
        object.__setattr__(self, "reverse", reverse)

    @property
    def batch_size(self) -> int:
        """Number of samples B."""
        return int(self.activities[0].shape[0])

    def energy(self, activities: Sequence[Array]) -> Array:
        """Energy of any activities, prior and reverse predictions included: a mean over the batch."""
        return self._energy(activity_rows(self.net, activities))

    def _energy(self, z: tuple[Array, ...]) -> Array:
        xp = array_namespace(*z)
        total = xp.sum(energies_of(self.net, errors_of(self.net, z)))
        if self.reverse is not None:
            back = z[::-1]
            total = total + xp.sum(energies_of(self.reverse, errors_of(self.reverse, back)))
        if self.prior is not None:
            total = total + 0.5 * xp.sum(self.prior.whiten(z[0]) ** 2) / z[0].shape[0]
        return total

    def product(self, layers: Sequence[Array]) -> tuple[Array, ...]:
        r"""Rows :math:`v \mapsto \mathcal H v` on the free units, zero elsewhere; each (B, n_l).

        Without biases the energy has no linear term, and this is also the gradient of a sample's energy at v.

        Returns
        -------
        tuple of (B, n_l), l = 0..L
            The products, layer by layer.
        """
        return self._product(activity_rows(self.net, layers, "layers"))

    def _product(self, v: tuple[Array, ...]) -> tuple[Array, ...]:
        reverse = self.reverse and self.reverse.without_biases()
        return self._slope(v, self.net.without_biases(), reverse)

    def _gradient(self, z: tuple[Array, ...]) -> tuple[Array, ...]:
        """Gradient of a sample's energy in the free units."""
        return self._slope(z, self.net, self.reverse)

    def _slope(self, v: tuple[Array, ...], net: LinearPCN, reverse: LinearPCN | None) -> tuple[Array, ...]:
        slope = list(slope_of(net, errors_of(net, v)))
        if reverse is not None:
            back = slope_of(reverse, errors_of(reverse, v[::-1]))[::-1]
            slope = [a + b for a, b in zip(slope, back, strict=True)]
        if self.prior is not None:
            slope[0] = slope[0] + self.prior.apply(v[0])
        return self.project(slope)

    def project(self, layers: Sequence[Array]) -> tuple[Array, ...]:
        """`layers` with zeros on the clamped units."""
        return tuple(v * m for v, m in zip(layers, self._indicators, strict=True))

    def solve(self, layers: Sequence[Array]) -> tuple[Array, ...]:
        r"""Rows :math:`v \mapsto \mathcal H_{ff}^{-1} v_f`, zero on the clamped units."""
        if not self.free_layers:
            return self.project(layers)
        xp = array_namespace(*layers)
        rows = xp.concat([_take(layers[l], self.free[l]) for l in self.free_layers], axis=1)
        parts = dict(
            zip(self.free_layers, self.hessian.split_rows(self.factor.substitute(rows)), strict=True)
        )
        zero = [xp.zeros_like(v) for v in layers]
        return tuple(self._place(l, parts[l], zero[l]) if l in parts else zero[l] for l in range(len(zero)))

    @cached_property
    def hessian(self) -> BlockTridiagonal:
        r""":math:`\mathcal H_{ff}`, a block for each layer that has free units; per sample."""
        diagonal, lower = _full_hessian(self.net)
        if self.reverse is not None:
            others, uppers = _full_hessian(self.reverse)
            diagonal = [a + b for a, b in zip(diagonal, others[::-1], strict=True)]
            lower = [a + b.T for a, b in zip(lower, uppers[::-1], strict=True)]
        if self.prior is not None:
            diagonal[0] = diagonal[0] + self.prior.matrix(diagonal[0])
        xp = array_namespace(*diagonal)
        blocks = [_take(_take(diagonal[l], self.free[l]), self.free[l], axis=0) for l in self.free_layers]
        couplings = []
        for before, after in zip(self.free_layers, self.free_layers[1:], strict=False):
            if after == before + 1:
                couplings.append(_take(_take(lower[before], self.free[before]), self.free[after], axis=0))
            else:  # a layer that is clamped as a whole separates what is above from what is below
                shape = (len(self.free[after]), len(self.free[before]))
                couplings.append(xp.zeros(shape, dtype=diagonal[0].dtype, device=device(diagonal[0])))
        return BlockTridiagonal(blocks, couplings)

    @cached_property
    def factor(self) -> BlockTridiagonalCholesky:
        """Cholesky factor of `hessian`.

        Raises
        ------
        ValueError
            If the clamped units do not determine the free ones.
        """
        try:
            factor = self.hessian.cholesky()
        except ValueError:
            raise self._undetermined() from None
        if 0 in self.free_layers and self.prior is None and self.reverse is None:
            # the pivot of layer 0 is what all clamped units say about it; the others are at least Pi_l
            pivot = _check.detached(factor.pivots[0])
            try:
                known = np.linalg.svd(_check.to_numpy(pivot, "pivot"), compute_uv=False)
            except (TypeError, RuntimeError):  # traced
                return factor
            scale = float(np.max(np.abs(_check.to_numpy(self.hessian.diagonal[0], "hessian"))))
            order = sum(self.hessian.sizes)
            if known[-1] ** 2 <= order * float(array_namespace(pivot).finfo(pivot.dtype).eps) * scale:
                raise self._undetermined()
        return factor

    def _undetermined(self) -> ValueError:
        return ValueError(
            "`mask` must clamp enough units to determine the free ones: a signal in the free units of layer "
            "0 reaches no "
            f"clamped unit. Got {[len(f) for f in self.free]} free units of {list(self.net.widths)}: clamp "
            f"more, or give "
            "`prior`."
        )

    def start(self) -> tuple[Array, ...]:
        """The forward pass that keeps clamped units: free ones are predicted from the layer before; 0 in
        layer 0.

        Returns
        -------
        activities : tuple of (B, n_l), l = 0..L
        """
        z = [self._place(0, None, self.activities[0])]
        for l, predict in enumerate(self.net.predictors, start=1):
            z.append(self._place(l, _take(predict(z[-1]), self.free[l]), self.activities[l]))
        return tuple(z)

    def relax(
        self, step: float, num_steps: int, start: Sequence[Array] | None = None
    ) -> list[tuple[Array, ...]]:
        r"""Activities during gradient descent, :math:`z \leftarrow z - g \nabla` on the free units.

        Parameters
        ----------
        step : float
            g, on the energy of a sample.
        num_steps : int
            T.
        start : None or (z_0, ..., z_L)
            Free units at t = 0; `start` by default.

        Returns
        -------
        path : T + 1 tuples of activities
        """
        g, steps = _check.positive(step, "step"), _check.count(num_steps, "num_steps")
        kept = (steps + 1) * self.batch_size * sum(self.net.widths)
        _check.memory(kept, "num_steps", "take fewer steps, or go on from the last activities with `start`")
        path = [self.start() if start is None else self._clamped(activity_rows(self.net, start, "start"))]
        for _ in range(steps):
            slope = self._gradient(path[-1])
            path.append(tuple(z - g * s for z, s in zip(path[-1], slope, strict=True)))
        return path

    def equilibrium(self) -> ClampedEquilibrium:
        """The minimum of the energy over the free units."""
        held = self._clamped(tuple(array_namespace(z).zeros_like(z) for z in self.activities))
        moved = self.solve(self._gradient(held))
        z = tuple(a - b for a, b in zip(held, moved, strict=True))
        return ClampedEquilibrium(z, self._energy(z), self)

    @cached_property
    def free_layers(self) -> tuple[int, ...]:
        """Layers that have free units."""
        return tuple(l for l, units in enumerate(self.free) if len(units))

    @cached_property
    def _indicators(self) -> tuple[Array, ...]:
        like = self.net.weights[0]
        xp = array_namespace(like)
        marks = []
        for units, width in zip(self.free, self.net.widths, strict=True):
            mark = np.zeros(width)
            mark[units] = 1.0
            marks.append(xp.asarray(mark, dtype=like.dtype, device=device(like)))
        return tuple(marks)

    def _clamped(self, layers: Sequence[Array]) -> tuple[Array, ...]:
        """`layers` with the clamped units at their values."""
        return tuple(
            v * m + given * (1 - m)
            for v, given, m in zip(layers, self.activities, self._indicators, strict=True)
        )

    def _place(self, l: int, values: Array | None, base: Array) -> Array:
        """Layer l with `values` (0 if None) on its free units and `base` on the clamped ones."""
        units, width = self.free[l], self.net.widths[l]
        if not len(units):
            return base
        if values is None:
            return base * (1 - self._indicators[l])
        if len(units) == width:
            return values
        held = np.setdiff1d(np.arange(width), units)
        xp = array_namespace(values)
        joined = xp.concat([_take(base, held), values], axis=1)
        order = np.argsort(np.concatenate([held, units]))
        return xp.take(joined, xp.asarray(order, device=device(joined)), axis=1)

    def __repr__(self) -> str:
        free = ", ".join(f"{len(units)}/{n}" for units, n in zip(self.free, self.net.widths, strict=True))
        return f"ClampedProblem({self.batch_size} samples, free units {free})"


@dataclass(frozen=True, eq=False, repr=False)
class ClampedEquilibrium:
    r"""The minimum of the energy over the free units.

    Attributes
    ----------
    activities : (z_0, ..., z_L), each (B, n_l)
        :math:`z^*`, clamped units included.
    energy : scalar
    problem : ClampedProblem
    """

    activities: tuple[Array, ...]
    energy: Array
    problem: ClampedProblem

    def covariance(self, layer: int) -> Array:
        r"""Posterior covariance of a layer's free units given the clamped ones: a block of :math:`\mathcal
        H_{ff}^{-1}`.

        It is the same for every sample. Claim ``posterior``.

        Parameters
        ----------
        layer : int
            l, from 0 to L.

        Returns
        -------
        covariance : (m, m)
            For the m free units of the layer.

        Raises
        ------
        ValueError
            If the layer has no free units.
        """
        l = _check.count(layer, "layer")
        if l not in self.problem.free_layers:
            raise ValueError(
                f"`layer` must have free units: layers {list(self.problem.free_layers)} do. Got {l}."
            )
        return self._inverse[0][self.problem.free_layers.index(l)]

    @cached_property
    def _inverse(self) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
        return self.problem.factor.inverse_blocks()

    def __repr__(self) -> str:
        return f"ClampedEquilibrium(energy={float(_check.detached(self.energy)):.6g}, {self.problem!r})"


def clamped_equilibrium(
    net: LinearPCN,
    activities: Sequence[Array],
    mask: Sequence[Any] | None = None,
    *,
    prior: Any = None,
    reverse: LinearPCN | None = None,
) -> ClampedEquilibrium:
    r"""The equilibrium of inference with any units clamped, by block-tridiagonal elimination.

    .. math:: z_f^* = -\mathcal H_{ff}^{-1} \mathcal H_{fc} z_c

    Parameters
    ----------
    net, activities, mask, prior, reverse
        As in `ClampedProblem`.

    Returns
    -------
    ClampedEquilibrium
        Its `covariance` is the posterior covariance of a layer.

    Notes
    -----
    Cost :math:`O(\sum_l n_l^3)` once and :math:`O(\sum_l n_l^2)` per sample. Differentiable in torch and JAX.
    With layers 0 and L clamped it is `equilibrium`.

    Examples
    --------
    >>> net = LinearPCN([[[2.0]]])  # a label z_0 predicts an image z_1 = 2 z_0
    >>> given = (np.array([[0.0]]), np.array([[3.0]]))
    >>> settled = clamped_equilibrium(net, given, mask=(False, True), prior=1.0)
    >>> round(settled.activities[0].item(), 12)  # 2 * 3 / (1 + 4)
    1.2
    >>> round(settled.covariance(0).item(), 12)  # 1 / (1 + 4)
    0.2
    """
    return ClampedProblem(net, activities, mask, prior=prior, reverse=reverse).equilibrium()


def _full_hessian(net: LinearPCN) -> tuple[list[Array], list[Array]]:
    """Blocks of the Hessian of a sample's energy in all units: on and below the diagonal, l = 0..L."""
    like = net.maps[0]
    xp = array_namespace(like)
    diagonal = [xp.zeros((like.shape[1], like.shape[1]), dtype=like.dtype, device=device(like))]
    lower = []
    for matrix, precision in zip(net.maps, net.precisions, strict=True):
        weighted = precision.apply(matrix.T).T  # Pi_l A_l
        diagonal[-1] = diagonal[-1] + matrix.T @ weighted
        lower.append(-weighted)
        diagonal.append(precision.matrix(matrix))
    return diagonal, lower


def _take(array: Array, units: np.ndarray, axis: int = 1) -> Array:
    if len(units) == array.shape[axis]:
        return array  # indices are sorted: this is all of them in order
    xp = array_namespace(array)
    return xp.take(array, xp.asarray(units, device=device(array)), axis=axis)
