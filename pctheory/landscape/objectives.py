r"""Objectives of learning with exact derivatives: the loss, the equilibrated energy, the likelihood.

All three depend on the network only through its map :math:`P_0` and the rescaling :math:`S`, so one
computation serves them. Choose output coordinates in which :math:`S` (for the loss :math:`\Sigma_L`) is the
identity: :math:`p_l = R^{-T} P_l` and :math:`\rho = R^{-T} r` with :math:`S = R^T R` from a QR factorisation.
Then

.. math:: \frac{\partial f}{\partial W_l} = -a_l\, p_l^T t_{l-1}, \qquad
          t_0 = \langle \rho x^T \rangle, \quad t_l = t_{l-1} A_l^T + \Omega p_l \Sigma_l,

with :math:`\Omega = 0` for the loss, :math:`\langle \rho\rho^T \rangle` for :math:`F^*` and :math:`\langle
\rho\rho^T \rangle - I` for the likelihood. For :math:`F^*`, :math:`t_l = \langle \rho z_l^{*T} \rangle` and
this is the local rule at equilibrium (claim ``envelope-gradient``). The batch enters through second moments
only: a gradient costs one backward and one forward sweep of n_L rows, and so does its directional derivative,
the Hessian-vector product.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import final

import numpy as np
from array_api_compat import array_namespace

from .. import _check
from .._check import Array
from ..inference import output_products, rescaling
from ..inference.products import hidden_products
from ..inference.routes import CLOSURE_BOUND, is_trusted
from ..linalg import thin_qr
from ..model import LEARNED, PARAMETERS, Data, LinearPCN
from ..model.definitions import data_rows, require_plain
from ._expansion import Biased, Decayed, Elimination, Expansion, Joint, Metric, Sweep, transpose
from ._objective import Objective
from ._rows import observed_rows

__all__ = [
    "EquilibratedEnergy",
    "MSELoss",
    "NegativeLogLikelihood",
    "Objective",
    "RescaledObjective",
    "WeightDecay",
]

KINDS = "a tuple of kinds of parameters"


class _DataObjective(Objective):
    """What the loss, the equilibrated energy and the likelihood share."""

    def __init__(self, data: Data) -> None:
        self.samples = _check.instance(data, "data", Data)
        self.data = data.compress() if data.observed is None else data

    @cached_property
    def _with_ones(self) -> Data:
        """The data with a last input of ones, for the unit that carries the biases."""
        xp = array_namespace(self.samples.x)
        ones = xp.ones_like(self.samples.x[:, :1])
        return Data(xp.concat([self.samples.x, ones], axis=1), self.samples.y).compress()

    @abstractmethod
    def _metric(self, net: LinearPCN, products: list[Array]) -> Metric:
        """The whitening of the outputs, from P_1, ..., P_L."""

    def expand(self, net: LinearPCN, order: int = 1) -> Expansion:
        if self.data.observed is not None:
            return observed_rows(net, self.data, noisy=False)
        return _apart(net, self._sweep(net))

    def _sweep(self, net: LinearPCN) -> Sweep:
        chain, data = self._chain(net)
        metric, rho = self._whitened(chain, data)
        return Sweep(chain, metric, data, rho, self._value(metric, rho))

    def _chain(self, net: LinearPCN) -> tuple[LinearPCN, Data]:
        """A network without biases, and its data."""
        if not _check.instance(net, "net", LinearPCN).biases:
            return net, self._cast(net, self.data)
        data_rows(net, self.samples)
        chain = net.with_constant()
        return chain, self._cast(chain, self._with_ones)

    def _whitened(self, net: LinearPCN, data: Data) -> tuple[Metric, Array]:
        products = hidden_products(net)
        metric = self._metric(net, products)
        residual = data.y - data.x @ transpose(products[0] @ net.maps[0])  # P_0 first: n_L rows, not B
        return metric, metric.whiten(residual)

    def _cast(self, net: LinearPCN, data: Data) -> Data:
        """The data in the weights' dtype; usually as they are, with their moments already computed."""
        x, y = data_rows(net, data)
        return data if x is data.x and y is data.y else Data(x, y)

    def stacked_values(self, net: LinearPCN) -> Array:
        if self.data.observed is not None:
            return self.one_by_one(net)
        metric, rho = self._whitened(*self._chain(net))
        return self._value(metric, rho)

    def _value(self, metric: Metric, rho: Array) -> Array:
        value = 0.5 * array_namespace(rho).sum(rho**2, axis=(-2, -1)) / rho.shape[-2]
        return value + metric.entropy_weight * metric.half_logdet if metric.entropy_weight else value

    def _host(self, net: LinearPCN) -> tuple[LinearPCN, Data]:
        """Network and data in numpy float64, of widths that fit."""
        net, data = _check.instance(net, "net", LinearPCN).to_numpy(), self.data.complete().to_numpy()
        widths = data.x.shape[1], data.y.shape[1]
        if widths != (net.widths[0], net.widths[-1]):
            raise ValueError(
                f"`widths` must begin and end with those of the data, {widths[0]} and {widths[1]}. "
                f"Got {net.widths[0]} and {net.widths[-1]}."
            )
        return net, data

    def _reduced(self, net: LinearPCN) -> tuple[LinearPCN, Data]:
        """`_host`, with centred data in the place of an output bias that learns."""
        host, data = self._host(net)
        if not host.biases:
            return host, data
        data = self.samples.to_numpy()
        x, y = data.x - data.x.mean(axis=0), data.y - data.y.mean(axis=0)
        return host.without_biases(), Data(x, y).compress()

    def _best_map(self, net: LinearPCN) -> float:
        """The loss of the best linear map of rank min n_l."""
        net, data = self._reduced(net)
        x, y = data.x, net.precisions[-1].whiten(data.y)
        basis, singular, _ = np.linalg.svd(x, full_matrices=False)
        basis = basis[:, singular > max(x.shape) * np.finfo(np.float64).eps * singular[0]]
        predictable = basis.T @ y
        tail = np.linalg.svd(predictable, compute_uv=False)[min(net.widths) :]
        return float((np.sum((y - basis @ predictable) ** 2) + np.sum(tail**2)) / (2 * len(y)))


@final
class MSELoss(_DataObjective):
    r"""The loss :math:`\mathcal L = \frac{1}{2B}\sum_i |y - P_0 x|^2_{\Pi_L}`: what backprop descends.

    Parameters
    ----------
    data : Data
        Compressed once to at most n_0 + n_L rows (claim ``data-compression``), unless targets are missing:
        then the loss is that of the observed ones.

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
        outputs = [transpose(last.whiten(transpose(p))) for p in products]
        return Metric(outputs, outputs, last.whiten, 0.0, None, 0.0, 0.0)

    def metric_and_noise(self, net: LinearPCN) -> tuple[np.ndarray, np.ndarray]:
        host, _ = self._host(net)
        metric = np.asarray(require_plain(host).precisions[-1].matrix(host.maps[-1]))
        return metric, np.zeros_like(metric)

    def infimum(self, net: LinearPCN) -> float | None:
        """The loss of the best linear (with biases affine) map of rank min n_l.

        Returns
        -------
        float or None
            The bound; None where targets are missing or entries are fixed.
        """
        fixed = _check.instance(net, "net", LinearPCN).fixed
        return None if fixed or self.data.observed is not None else self._best_map(net)


class RescaledObjective(_DataObjective):
    r"""An objective of the rescaled residual: :math:`F^*`, plus a multiple of :math:`\frac12\log\det S`."""

    def _metric(self, net: LinearPCN, products: list[Array]) -> Metric:
        xp = array_namespace(*products)
        whole = products[0] if len(products) > 1 else products[-1]
        last = xp.broadcast_to(products[-1], (*whole.shape[:-2], *products[-1].shape))
        pairs = zip(net.precisions, [*products[:-1], last], strict=True)
        stack = [transpose(pi.colour(p)) for pi, p in pairs]
        q, r = thin_qr(xp.concat(stack, axis=-2))
        # Q^T = R^{-T} [P_1 C_1^{-T}, ...] holds the whitened products; C_l C_l^T = Pi_l
        weighted, start = [], 0
        for pi in net.precisions:
            weighted.append(pi.unwhiten(transpose(q[..., start : start + pi.size, :])))
            start += pi.size
        outputs = [
            xp.linalg.solve(transpose(r), xp.broadcast_to(p, s.shape))  # R^{-T} P_l: Pi_l is infinite
            if pi.carries
            else pi.apply(s)
            for pi, s, p in zip(net.precisions, weighted, products, strict=True)
        ]
        half_logdet = xp.sum(xp.log(xp.abs(xp.linalg.diagonal(r))), axis=-1)
        return Metric(
            outputs,
            weighted,
            whiten=lambda rows: transpose(xp.linalg.solve(transpose(r), transpose(rows))),
            half_logdet=half_logdet,
            root=r,
            residual_weight=1.0,
            entropy_weight=self.entropy_weight,
        )

    def expand(self, net: LinearPCN, order: int = 1) -> Expansion:
        if self.data.observed is not None:
            return observed_rows(net, self.data, noisy=True)
        sweep = self._sweep(net)
        if is_trusted(sweep.net, sweep.norm, sweep.growth, order=order):
            return _apart(net, sweep)
        return self._without_closure(net, sweep)

    @abstractmethod
    def _without_closure(self, net: LinearPCN, sweep: Sweep) -> Expansion:
        """The expansion where the sweep is not trusted."""

    def metric_and_noise(self, net: LinearPCN) -> tuple[np.ndarray, np.ndarray]:
        host, data = self._host(net)
        inverse = np.linalg.solve(rescaling(require_plain(host)), np.eye(host.widths[-1]))
        inverse = (inverse + inverse.T) / 2
        solved = (data.y - data.x @ output_products(host)[0].T) @ inverse
        return inverse, solved.T @ solved / data.num_samples - self.entropy_weight * inverse


@final
class EquilibratedEnergy(RescaledObjective):
    r"""The energy at equilibrium, :math:`F^* = \frac{1}{2B}\sum_i r_i^T S^{-1} r_i`: what PC descends.

    Parameters
    ----------
    data : Data
        Compressed once to at most n_0 + n_L rows, unless targets are missing (claim ``missing-outputs``).

    Notes
    -----
    Claims ``equilibrated-energy``, ``envelope-gradient``, ``gradient-decomposition``. Where the products of
    the maps explode and the forward sweep misses y (see `pctheory.inference.routes.is_trusted`),
    value, gradient and Hessian-vector product come from the elimination of the block-tridiagonal H instead,
    with B rows.

    Examples
    --------
    >>> energy = EquilibratedEnergy(Data([[1.0]], [[7.0]]))
    >>> net = LinearPCN([[[2.0]], [[3.0]]])  # r = 1, S = 10
    >>> round(float(energy.value(net)), 12), [round(g.item(), 12) for g in energy.gradient(net)]
    (0.05, [-0.3, -0.23])
    """

    def _without_closure(self, net: LinearPCN, sweep: Sweep) -> Expansion:
        if net.carries and not sweep.growth > CLOSURE_BOUND:
            return _apart(net, sweep)  # H needs finite precisions; second derivatives to about 1e-8
        return Elimination(net, self.samples if net.biases else self.data)

    def infimum(self, net: LinearPCN) -> float | None:
        r"""What n_{L-1} units must leave of y: :math:`\frac12 \sum_{j > n_{L-1}} \lambda_j(\Pi_L^{1/2} S_{yy}
        \Pi_L^{1/2})`.

        With L = 1 there are no hidden units, and it is that of the loss. With biases the moment is that of
        the centred y.

        Returns
        -------
        float or None
            The bound; None where targets are missing, entries are fixed or units carry a value.
        """
        if _check.instance(net, "net", LinearPCN).fixed or net.carries or self.data.observed is not None:
            return None
        if net.depth == 1:
            return self._best_map(net)
        net, data = self._reduced(net)
        y = net.precisions[-1].whiten(data.y)
        tail = np.linalg.svd(y, compute_uv=False)[net.widths[-2] :]
        return float(np.sum(tail**2) / (2 * len(y)))


@final
class NegativeLogLikelihood(RescaledObjective):
    r"""The negative log likelihood :math:`F^* + \frac12 \log\det S`, without :math:`\frac{n_L}{2}\log 2\pi`.

    The network is the Gaussian model :math:`y | x \sim N(P_0 x, S)` (claim ``gaussian-marginal``), and
    predictive coding leaves out the log determinant. Unlike :math:`F^*` it has a minimiser on noisy data,
    provided that the noise exceeds the assumed :math:`\Sigma_L`: below it, the weights inflate the other way,
    :math:`W_L \to 0` at a fixed map (claim ``no-minimiser-with-noise``). With the precisions learned too
    there is nothing to exceed: it has a minimiser wherever the residual noise is positive definite (claim
    ``precision-learning``).

    Parameters
    ----------
    data : Data
        Compressed once to at most n_0 + n_L rows.
    learn : some of "weights", "biases", "precisions"
        What the objective is a function of; the rest is held. Precisions, numbers or vectors, learn by their
        logarithms :math:`\theta_l`, with :math:`\Pi_l = e^{\theta_l}`: the gradient, directions and the
        vectors of flows, Hessians and slices then have one array a layer more, behind the weights and biases.
        In whitened output coordinates

        .. math:: \frac{\partial f}{\partial \theta_l}
                  = \tfrac12 \mathrm{diag}\big( \Sigma_l p_l^T (\langle \rho\rho^T \rangle - I) p_l \big),

        summed over the layer if its precision is a number.

    Raises
    ------
    ValueError, TypeError
        If `learn` names anything else, the same twice, or nothing.

    Examples
    --------
    >>> import math
    >>> data, net = Data([[1.0]], [[7.0]]), LinearPCN([[[2.0]], [[3.0]]])
    >>> math.isclose(NegativeLogLikelihood(data).value(net), 0.05 + 0.5 * math.log(10))
    True
    >>> joint = NegativeLogLikelihood(data, learn=("weights", "precisions"))
    >>> [round(g.item(), 12) for g in joint.gradient(net)]  # r = 1, S = 10: (1 / 10 - 1) P_l^2 / (2 S)
    [-0.3, 0.07, -0.405, -0.045]
    """

    entropy_weight = 1.0

    def __init__(self, data: Data, *, learn: Sequence[str] = LEARNED) -> None:
        super().__init__(_check.instance(data, "data", Data).complete())
        names = [_check.choice(name, "learn", PARAMETERS) for name in _check.sequence(learn, "learn", KINDS)]
        if not names or len(set(names)) < len(names):
            raise ValueError(f"`learn` must name each kind once, and at least one. Got {names}.")
        self.learn = tuple(name for name in PARAMETERS if name in names)

    def __repr__(self) -> str:
        learn = "" if self.learn == LEARNED else f", learn={self.learn}"
        return f"NegativeLogLikelihood({self.data!r}{learn})"

    def _without_closure(self, net: LinearPCN, sweep: Sweep) -> Expansion:
        if not sweep.growth > CLOSURE_BOUND:  # also where a traced growth is NaN
            return _apart(net, sweep)  # second derivatives to about 1e-8
        raise ValueError(
            "`net` must have maps of moderate size for the derivatives of the log determinant to be "
            "accurate. "
            f"Got products so large that rounding errors grow by {sweep.growth:.1e}: scale the weights down, "
            f"or use "
            "`EquilibratedEnergy`."
        )


@final
class WeightDecay(Objective):
    r"""An objective with weight decay, :math:`f + \frac{\lambda}{2} \sum_l \|W_l\|_F^2`, biases left alone.

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
        self.objective = _check.instance(objective, "objective", Objective)
        self.strength = _check.non_negative(strength, "strength")
        self.data, self.learn = objective.data, objective.learn

    def expand(self, net: LinearPCN, order: int = 1) -> Expansion:
        return Decayed(self.objective.expand(net, order), net, self.strength)

    def stacked_values(self, net: LinearPCN) -> Array:
        squares = [array_namespace(w).sum(w**2, axis=(-2, -1)) for w in net.masked(net.weights)]
        return self.objective.stacked_values(net) + self.strength / 2 * sum(squares)

    def __repr__(self) -> str:
        return f"WeightDecay({self.objective!r}, {self.strength:g})"


def _apart(net: LinearPCN, sweep: Sweep) -> Expansion:
    """The expansion in the parameters of `net` from that of its chain."""
    inner = Biased(sweep, net) if net.biases else sweep
    return Joint(inner, sweep, net) if "precisions" in net.learned else inner
