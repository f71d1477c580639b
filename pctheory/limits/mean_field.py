r"""Infinitely wide linear networks that learn: the dynamical mean field of training in the Depth-muP limit.

Under ``mupc`` the width N can be sent to infinity at any fixed step of training. Entries of the activities
:math:`h_l(t)` and of the backward vectors :math:`g_l(t) = \gamma N\, \partial f / \partial h_l` then become
independent draws of one process per layer, and their kernels :math:`\Phi_l(t, s) = \mathbb E[h_l(t)
h_l(s)^T]`, :math:`G_l(t, s) = \mathbb E[g_l(t) g_l(s)^T]` stop fluctuating (Bordelon & Pehlevan 2022). In a
linear network the process is Gaussian, and a step of gradient descent looks only at the past: the
self-consistent equations are solved exactly by marching once through time, without iteration and without
sampling.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from .. import _check
from ..model import Data, Precision, multipliers, skip_pattern

__all__ = ["MeanFieldTraining", "mean_field_training"]


@dataclass(frozen=True, eq=False, repr=False)
class MeanFieldTraining:
    r"""The infinitely wide network at the steps t = 0..T of training.

    Attributes
    ----------
    maps : (T + 1, n_L, n_0)
        The map f(t) from input to output.
    losses : (T + 1,)
        Its loss, which is also its equilibrated energy: S is :math:`\Sigma_L` in the limit (claim
        ``limit-to-backprop``).
    forward_kernels : (T + 1, H, n_0, n_0)
        :math:`\Phi_l(t, t)` on the span of the inputs: the mean square of layer l at input x is :math:`x^T
        \Phi_l x`.
    backward_kernels : (T + 1, H, n_L, n_L)
        :math:`G_l(t, t)`.
    excess : (T + 1, n_L, n_L)
        The limit of :math:`N (S - \Sigma_L)` with unit precisions in the hidden layers, :math:`\gamma^{-2}
        \sum_l G_l(t, t)`: how fast the network becomes backpropagation's as it widens, at each step of its
        training.
    """

    maps: np.ndarray
    losses: np.ndarray
    forward_kernels: np.ndarray
    backward_kernels: np.ndarray
    excess: np.ndarray

    def __repr__(self) -> str:
        return (
            f"MeanFieldTraining({len(self.losses) - 1} steps, {self.forward_kernels.shape[1]} hidden layers, "
            f"loss {self.losses[0]:.6g} -> {self.losses[-1]:.6g})"
        )


class _Process:
    """A Gaussian process over time: its kernel and its responses to noises. Rows are (time, component)."""

    def __init__(self, times: int, size: int) -> None:
        self.times, self.size = times, size
        self.responses: dict[str, np.ndarray] = {}
        self.kernel = np.zeros((times * size, times * size))

    def at(self, t: int) -> slice:
        """Rows of time t."""
        return slice(t * self.size, (t + 1) * self.size)

    def before(self, t: int) -> slice:
        """Rows of the times before t."""
        return slice(t * self.size)

    @property
    def present(self) -> np.ndarray:
        """The kernel at equal times, (T, size, size)."""
        return np.stack([self.kernel[self.at(t), self.at(t)] for t in range(self.times)])

    def advance(
        self,
        t: int,
        noise: str,
        sources: dict[str, _Process],
        *,
        scale: float,
        drive: np.ndarray,
        partner: _Process,
        skip: _Process | None,
    ) -> None:
        """Set time t to `scale` times its noise, plus `drive` times the partner's past, plus the skip.

        The covariance of a noise is the kernel of its source, known up to t.
        """
        self._response(noise, sources)[self.at(t), sources[noise].at(t)] = scale * np.eye(self.size)
        for name, block in partner.responses.items():
            past = sources[name].before(t)
            self._response(name, sources)[self.at(t), past] += drive @ block[partner.before(t), past]
        if skip is not None:
            for name, block in skip.responses.items():
                self._response(name, sources)[self.at(t)] += block[skip.at(t)]
        now, row = self.before(t + 1), 0.0
        for name, block in self.responses.items():
            known = sources[name].before(t + 1)
            row = row + (block[self.at(t), known] @ sources[name].kernel[known, known]) @ block[now, known].T
        self.kernel[self.at(t), now] = row
        self.kernel[now, self.at(t)] = self.kernel[self.at(t), now].T

    def _response(self, noise: str, sources: dict[str, _Process]) -> np.ndarray:
        if noise not in self.responses:
            self.responses[noise] = np.zeros((self.times * self.size, self.times * sources[noise].size))
        return self.responses[noise]


def mean_field_training(
    data: Data,
    hidden: int,
    *,
    learning_rate: float,
    num_steps: int,
    skips: bool | Iterable[bool] = False,
    gamma: float = 1.0,
    precision: float | np.ndarray | None = None,
) -> MeanFieldTraining:
    r"""Full-batch gradient descent on the loss of an infinitely wide ``mupc`` network, from N(0, 1) weights.

    Claim ``mean-field-training``.

    Parameters
    ----------
    data : Data
        x (B, n_0) and y (B, n_L).
    hidden : int
        Hidden layers H.
    learning_rate : float
        Base rate :math:`\eta_0`; that of the weights is :math:`\eta_0\gamma^2 N` (`learning_rate_scale`).
    num_steps : int
        T. With inputs of rank r and one output, memory grows like :math:`H (T r)^2` and time like
        :math:`H (T r)^2 T r`; skips multiply both by up to H.
    skips : bool, or one per layer
        As in `LinearPCN.random`.
    gamma : float
        Richness.
    precision : None, number, vector (n_L,) or matrix (n_L, n_L)
        :math:`\Pi_L` of the loss :math:`\frac{1}{2B}\sum_i |y_i - f x_i|^2_{\Pi_L}`.

    Returns
    -------
    MeanFieldTraining

    Raises
    ------
    ValueError
        If the loss does not stay finite.

    Notes
    -----
    Let :math:`c_l = a_l \sqrt{n_{l-1}}`, which is 1, or :math:`L^{-1/2}` in the hidden layers of a network
    with skips, and :math:`c_L = 1`; let :math:`\beta(s) = (S_{xy} - S_{xx} f(s)^T)\Pi_L`, and let :math:`u_l
    \sim N(0, \Phi_{l-1})` and :math:`r_l \sim N(0, G_{l+1})` be independent, :math:`\Phi_0 = I/n_0`,
    :math:`G_L = I`. With all sums over s < t

    .. math::

        h_l(t) &= \tau_l h_{l-1}(t) + c_l u_l(t) + \sum_s \Big[
                  c_l \frac{\partial h_{l-1}(t)}{\partial r_{l-1}(s)}
                  + \eta_0 \gamma c_l^2\, \Phi_{l-1}(t, s)\, \beta(s)\Big] g_l(s), \\
        g_l(t) &= \tau_{l+1} g_{l+1}(t) + c_{l+1} r_l(t) + \sum_s \Big[
                  c_{l+1} \frac{\partial g_{l+1}(t)}{\partial u_{l+1}(s)}
                  + \eta_0 \gamma c_{l+1}^2\, G_{l+1}(t, s)\, \beta(s)^T\Big] h_l(s), \\
        f(t)^T &= \frac{1}{\gamma} \sum_s \frac{\partial h_H(t)}{\partial r_H(s)}
                  + \eta_0 \sum_s \Phi_H(t, s)\, \beta(s) .

    Every response to the present or the future vanishes, so that time t follows from the past by one sweep up
    the layers and one down. Because :math:`P_l = g_l^T / (\gamma N)`, the backward kernels also give the
    rescaling to first order in 1/N. Sources: Bordelon & Pehlevan 2022 (arXiv:2205.09653) without skips,
    Bordelon et al. 2023 (arXiv:2309.16620) with them; the exact solution by one march through time is this
    work's.

    Examples
    --------
    >>> mean_field_training(Data([[1.0]], [[1.0]]), 2, learning_rate=0.1, num_steps=40)
    MeanFieldTraining(40 steps, 2 hidden layers, loss 0.5 -> ...)
    """
    _check.instance(data, "data", Data)
    layers = _check.count(hidden, "hidden", 1)
    times = _check.count(num_steps, "num_steps") + 1
    rate, richness = _check.positive(learning_rate, "learning_rate"), _check.positive(gamma, "gamma")
    x, y = _check.to_numpy(data.x, "x"), _check.to_numpy(data.y, "y")
    weigh = Precision.of(1.0 if precision is None else precision, y.shape[1], y, "precision")
    outputs = y.shape[1]
    kernels = (4 * layers + 3) * (times * max(min(x.shape), outputs)) ** 2
    _check.memory(kernels, "num_steps", "take fewer steps, hidden layers or samples")
    # hidden layers of width 1 have the multipliers c_l, and obey the same rules about skips
    unit = (1,) * (layers + 2)
    tau = skip_pattern(unit, skips)
    scales = multipliers(unit, "mupc", skips=tau)
    left, values, right = np.linalg.svd(x, full_matrices=False)
    rank = int(np.sum(values > max(x.shape) * np.finfo(x.dtype).eps * values[0]))
    basis = right[:rank]  # the network is used on the span of the inputs alone
    inputs = left[:, :rank] * values[:rank]

    h = [_Process(times, rank) for _ in range(layers + 1)]
    g = [_Process(times, outputs) for _ in range(layers + 2)]  # g_0 is never asked for
    h[0].kernel[:] = np.tile(np.eye(rank) / x.shape[1], (times, times))
    g[-1].kernel[:] = np.tile(np.eye(outputs), (times, times))
    sources = {f"u{l}": h[l - 1] for l in range(1, layers + 1)} | {
        f"r{l}": g[l + 1] for l in range(1, layers + 1)
    }
    maps, losses = np.zeros((times, outputs, x.shape[1])), np.zeros(times)
    beta = np.zeros((times, rank, outputs))

    def drive(field: _Process, noise: str, scale: float, residuals: np.ndarray, t: int) -> np.ndarray:
        """What multiplies the partner's past: the response of the layer before and the learned weights."""
        kernel = field.kernel[field.at(t), field.before(t)].reshape(field.size, t, field.size)
        learned = rate * richness * scale**2 * np.einsum("isj,sjk->isk", kernel, residuals[:t])
        result = learned.reshape(field.size, -1)
        if noise in field.responses:
            result += scale * field.responses[noise][field.at(t), sources[noise].before(t)]
        return result

    with np.errstate(over="ignore", invalid="ignore"):  # a run that diverges is refused at its end
        for t in range(times):
            for l in range(1, layers + 1):
                h[l].advance(
                    t,
                    f"u{l}",
                    sources,
                    scale=scales[l - 1],
                    drive=drive(h[l - 1], f"r{l - 1}", scales[l - 1], beta, t),
                    partner=g[l],
                    skip=h[l - 1] if tau[l - 1] else None,
                )
            for l in range(layers, 0, -1):
                g[l].advance(
                    t,
                    f"r{l}",
                    sources,
                    scale=scales[l],
                    drive=drive(g[l + 1], f"u{l + 1}", scales[l], np.swapaxes(beta, 1, 2), t),
                    partner=h[l],
                    skip=g[l + 1] if tau[l] else None,
                )
            # the readout is r_H, constant in time, plus what it has learned: another field driven by h_H
            output = drive(h[layers], f"r{layers}", 1.0, beta, t).reshape(rank, t, outputs).sum(1) / richness
            residual = y - inputs @ output
            weighted = weigh.apply(residual)
            maps[t] = output.T @ basis
            losses[t] = 0.5 * float(np.sum(residual * weighted)) / len(y)
            beta[t] = inputs.T @ weighted / len(y)
    if not np.all(np.isfinite(losses)):
        raise ValueError(
            "`learning_rate` must be small enough for the loss to stay finite. "
            f"Got {rate:g}, with which it does not after {int(np.argmin(np.isfinite(losses)))} steps."
        )
    upward = np.stack([basis.T @ field.present @ basis for field in h[1:]], axis=1)
    downward = np.stack([field.present for field in g[1:-1]], axis=1)
    return MeanFieldTraining(maps, losses, upward, downward, downward.sum(axis=1) / richness**2)
