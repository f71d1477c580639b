r"""Infinitely wide linear networks that learn: the dynamical mean field of training in the Depth-muP limit.

Under ``mupc`` the width N can be sent to infinity at any fixed step of training. Entries of the activities
:math:`h_l(t)` and of the backward vectors :math:`g_l(t) = \gamma N\, \partial f / \partial h_l` then become
independent draws of one process per layer, and their kernels :math:`\Phi_l(t, s) = \mathbb E[h_l(t)
h_l(s)^T]`, :math:`G_l(t, s) = \mathbb E[g_l(t) g_l(s)^T]` stop fluctuating (Bordelon & Pehlevan 2022). In a
linear network the process is Gaussian, and a step of gradient descent looks only at the past: the
self-consistent equations are solved exactly by marching once through time, without iteration and without
sampling.

Predictive coding has the limit of backpropagation if its precisions are fixed. With hidden precisions
:math:`L / (\alpha N)` it has one of its own, for every :math:`\alpha`, in which the rescaling S keeps its
size (claim ``s-stable-limit``).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import _check
from ..model import Data, Precision, multipliers, skip_pattern

__all__ = ["MeanFieldTraining", "mean_field_training"]


@dataclass(frozen=True, eq=False, repr=False)
class MeanFieldTraining:
    r"""The infinitely wide network at the steps t = 0..T of training.

    Attributes
    ----------
    alpha : float
        :math:`\alpha`; 0 is backpropagation.
    maps : (T + 1, n_L, n_0)
        The map f(t) from input to output.
    losses : (T + 1,)
        Its loss.
    energies : (T + 1,)
        Its equilibrated energy, the loss where :math:`\alpha` is 0 (claim ``limit-to-backprop``).
    rescalings : (T + 1, n_L, n_L)
        :math:`S(t) = \Sigma_L + \frac{\alpha}{\gamma^2 L} \sum_l G_l(t, t)`.
    forward_kernels : (T + 1, H, n_0, n_0)
        :math:`\Phi_l(t, t)` on the span of the inputs: the mean square of layer l at input x is :math:`x^T
        \Phi_l x`.
    backward_kernels : (T + 1, H, n_L, n_L)
        :math:`G_l(t, t)`.
    excess : (T + 1, n_L, n_L)
        :math:`\gamma^{-2} \sum_l G_l(t, t)`. Where :math:`\alpha` is 0 it is the limit of :math:`N (S -
        \Sigma_L)` with unit precisions in the hidden layers: how fast the network becomes
        backpropagation's as it widens, at each step of its training.
    """

    alpha: float
    maps: np.ndarray
    losses: np.ndarray
    energies: np.ndarray
    rescalings: np.ndarray
    forward_kernels: np.ndarray
    backward_kernels: np.ndarray
    excess: np.ndarray

    def plot(self, ax: Any = None) -> Any:
        """The loss of each step.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            A new figure's by default.

        Returns
        -------
        matplotlib.axes.Axes
        """
        from ..plotting import plot_losses

        return plot_losses(self.losses, ax)

    def __repr__(self) -> str:
        return (
            f"MeanFieldTraining({len(self.losses) - 1} steps, {self.forward_kernels.shape[1]} hidden layers, "
            f"alpha {self.alpha:g}, loss {self.losses[0]:.6g} -> {self.losses[-1]:.6g})"
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
        """Set time t to `scale` times its noise, plus `drive` times the partner up to there, plus the skip.

        The covariance of a noise is the kernel of its source, known up to t.
        """
        self._response(noise, sources)[self.at(t), sources[noise].at(t)] = scale * np.eye(self.size)
        known = slice(drive.shape[1])  # of the partner: to t, or to the time before
        for name, block in partner.responses.items():
            heard = sources[name].before(t + 1)
            self._response(name, sources)[self.at(t), heard] += drive @ block[known, heard]
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


@np.errstate(over="ignore", invalid="ignore")  # a run that diverges is refused at its end
def mean_field_training(
    data: Data,
    hidden: int,
    *,
    learning_rate: float,
    num_steps: int,
    alpha: float = 0.0,
    skips: bool | Iterable[bool] = False,
    gamma: float = 1.0,
    precision: float | np.ndarray | None = None,
) -> MeanFieldTraining:
    r"""Full-batch gradient descent on the loss or on F* of an infinitely wide ``mupc`` network, from N(0, 1)
    weights.

    Claims ``mean-field-training`` (:math:`\alpha = 0`) and ``s-stable-limit``.

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
        :math:`H (T r)^2 T r`; skips multiply both by up to H. Where :math:`\alpha > 0`, r counts the outputs
        too.
    alpha : float
        :math:`\alpha`: the hidden precisions are :math:`L / (\alpha N)` (`stable_precisions`), and the
        objective is F*. At 0 it is the loss, and F* with any precisions that stay fixed as N grows.
    skips : bool, or one per layer
        As in `LinearPCN.random`.
    gamma : float
        Richness.
    precision : None, number, vector (n_L,) or matrix (n_L, n_L)
        :math:`\Pi_L`, which does not grow with N.

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
    with skips, and :math:`c_L = 1`. Let :math:`K_l = A_l K_{l-1} + \frac{\alpha}{\gamma L} g_l`, :math:`K_0 =
    0`: inference adds :math:`K_l S^{-1} r` to the activities :math:`h_l x`. With :math:`\tilde h_l = (h_l,
    K_l)` and :math:`\beta = (S_{xr} S^{-1};\, S^{-1} S_{rr} S^{-1})`, (n_0 + n_L, n_L), the gradient of F* is
    :math:`-(\gamma N)^{-1} g_l \beta^T \tilde h_{l-1}^T`: backpropagation's, in a network with n_L channels
    more, into which every layer injects its own backward vector. For :math:`\alpha = 0` they are empty. Let
    :math:`u_l \sim N(0, \Phi_{l-1})` and :math:`r_l \sim N(0, G_{l+1})` be independent, :math:`\Phi_l` the
    kernel of :math:`\tilde h_l`, :math:`\Phi_0 = \mathrm{diag}(I/n_0, 0)`, :math:`G_L = I`, and E the
    embedding of the channels. With s < t in all sums but the first, where s may be t,

    .. math::

        \tilde h_l(t) &= \tau_l \tilde h_{l-1}(t) + c_l u_l(t) + \sum_{s \le t} c_l
                  \frac{\partial \tilde h_{l-1}(t)}{\partial r_{l-1}(s)}\, g_l(s)
                  + \eta_0 \gamma c_l^2 \sum_s \Phi_{l-1}(t, s)\, \beta(s)\, g_l(s)
                  + \frac{\alpha}{\gamma L} E g_l(t), \\
        g_l(t) &= \tau_{l+1} g_{l+1}(t) + c_{l+1} r_l(t) + \sum_s \Big[
                  c_{l+1} \frac{\partial g_{l+1}(t)}{\partial u_{l+1}(s)}
                  + \eta_0 \gamma c_{l+1}^2\, G_{l+1}(t, s)\, \beta(s)^T\Big] \tilde h_l(s), \\
        f(t)^T &= \frac{1}{\gamma} \Big[ \sum_{s \le t} \frac{\partial h_H(t)}{\partial r_H(s)}
                  + \eta_0 \gamma \sum_s \big(\Phi_H(t, s)\, \beta(s)\big)_h \Big] .

    The backward vectors at t need only the past, and the activities only them and the past, so that time t
    follows by one sweep down the layers and one up. Because :math:`P_l = g_l^T / (\gamma N)`, the backward
    kernels also give the rescaling. Sources: Bordelon & Pehlevan 2022 (arXiv:2205.09653) without skips,
    Bordelon et al. 2023 (arXiv:2309.16620) with them, both for the loss; the exact solution by one march
    through time and the limit for F* are this work's.

    Examples
    --------
    >>> mean_field_training(Data([[1.0]], [[1.0]]), 2, learning_rate=0.1, num_steps=40, alpha=0.5)
    MeanFieldTraining(40 steps, 2 hidden layers, alpha 0.5, loss 0.5 -> ...)
    """
    _check.instance(data, "data", Data)
    layers = _check.count(hidden, "hidden", 1)
    times = _check.count(num_steps, "num_steps") + 1
    rate, richness = _check.positive(learning_rate, "learning_rate"), _check.positive(gamma, "gamma")
    strength = _check.non_negative(alpha, "alpha")
    x, y = _check.to_numpy(data.complete().x, "x"), _check.to_numpy(data.y, "y")
    weigh = Precision.of(1.0 if precision is None else precision, y.shape[1], y, "precision")
    outputs = y.shape[1]
    most = max(min(x.shape) + (outputs if strength else 0), outputs)
    kernels = (4 * layers + 3) * (times * most) ** 2
    _check.memory(kernels, "num_steps", "take fewer steps, hidden layers or samples")
    # hidden layers of width 1 have the multipliers c_l, and obey the same rules about skips
    unit = (1,) * (layers + 2)
    tau = skip_pattern(unit, skips)
    scales = multipliers(unit, "mupc", skips=tau)
    left, values, right = np.linalg.svd(x, full_matrices=False)
    rank = int(np.sum(values > max(x.shape) * np.finfo(x.dtype).eps * values[0]))
    basis = right[:rank]  # the network is used on the span of the inputs alone
    inputs = left[:, :rank] * values[:rank]

    size = rank + (outputs if strength else 0)
    injected = strength / (richness * (layers + 1))

    h = [_Process(times, size) for _ in range(layers + 1)]
    g = [_Process(times, outputs) for _ in range(layers + 2)]  # g_0 is never asked for
    h[0].kernel[:] = np.tile(np.diag(np.arange(size) < rank) / x.shape[1], (times, times))
    g[-1].kernel[:] = np.tile(np.eye(outputs), (times, times))
    sources = {f"u{l}": h[l - 1] for l in range(1, layers + 1)} | {
        f"r{l}": g[l + 1] for l in range(1, layers + 1)
    }
    maps, losses, energies = np.zeros((times, outputs, x.shape[1])), np.zeros(times), np.zeros(times)
    excess, rescalings = np.zeros((2, times, outputs, outputs))
    beta = np.zeros((times, size, outputs))

    def learned(field: _Process, scale: float, residuals: np.ndarray, t: int) -> np.ndarray:
        """What the steps before t put into the weights, as the field at t reads it: factors of the past."""
        kernel = field.kernel[field.at(t), field.before(t)].reshape(field.size, t, field.size)
        moved = np.einsum("isj,sjk->isk", kernel, residuals[:t])
        return rate * richness * scale**2 * moved.reshape(field.size, -1)

    def response(field: _Process, noise: str, until: int) -> np.ndarray | float:
        """The response of the field's last time to the noise before `until`."""
        if noise not in field.responses:
            return 0.0
        return field.responses[noise][field.at(t), sources[noise].before(until)]

    def upward(below: _Process, noise: str, scale: float, t: int) -> np.ndarray:
        """What multiplies g(s), s = 0..t, in the layer above `below`."""
        present = np.zeros((size, outputs))
        return np.hstack([learned(below, scale, beta, t), present]) + scale * response(below, noise, t + 1)

    for t in range(times):
        for l in range(layers, 0, -1):
            g[l].advance(
                t,
                f"r{l}",
                sources,
                scale=scales[l],
                drive=learned(g[l + 1], scales[l], np.swapaxes(beta, 1, 2), t)
                + scales[l] * response(g[l + 1], f"u{l + 1}", t),
                partner=h[l],
                skip=g[l + 1] if tau[l] else None,
            )
        for l in range(1, layers + 1):
            drive = upward(h[l - 1], f"r{l - 1}", scales[l - 1], t)
            drive[rank:, -outputs:] += injected * np.eye(outputs)[: size - rank]
            h[l].advance(
                t,
                f"u{l}",
                sources,
                scale=scales[l - 1],
                drive=drive,
                partner=g[l],
                skip=h[l - 1] if tau[l - 1] else None,
            )
        excess[t] = sum(field.kernel[field.at(t), field.at(t)] for field in g[1:-1]) / richness**2
        rescalings[t] = weigh.covariance(y) + strength / (layers + 1) * excess[t]
        # the readout is r_H, constant in time, plus what it has learned: another field driven by h_H
        output = (
            upward(h[layers], f"r{layers}", 1.0, t).reshape(size, t + 1, outputs).sum(1)[:rank] / richness
        )
        residual = y - inputs @ output
        maps[t] = output.T @ basis
        losses[t] = 0.5 * float(np.sum(residual * weigh.apply(residual))) / len(y)
        pulled = np.linalg.solve(rescalings[t], residual.T).T  # r^T S^{-1}
        energies[t] = 0.5 * float(np.sum(residual * pulled)) / len(y)
        beta[t] = np.vstack([inputs.T @ pulled, (pulled.T @ pulled)[: size - rank]]) / len(y)
    if not np.all(np.isfinite(losses)):
        raise ValueError(
            "`learning_rate` must be small enough for the loss to stay finite. "
            f"Got {rate:g}, with which it does not after {int(np.argmin(np.isfinite(losses)))} steps."
        )
    forward = np.stack([basis.T @ field.present[:, :rank, :rank] @ basis for field in h[1:]], axis=1)
    backward = np.stack([field.present for field in g[1:-1]], axis=1)
    return MeanFieldTraining(strength, maps, losses, energies, rescalings, forward, backward, excess)
