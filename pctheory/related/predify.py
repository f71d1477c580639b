r"""Predify's recurrent dynamics (Choksi et al. 2021, arXiv:2106.02749) on linear networks.

Layers :math:`e_1, \dots, e_L` stand above a constant input :math:`e_0`. With feedforward maps
:math:`W_{f,j}`, feedback maps :math:`W_{b,j}` from layer j to j - 1 and reconstruction errors
:math:`\varepsilon_{j-1} = \frac12 |e_{j-1} - W_{b,j} e_j|^2`

.. math:: e_j(t+1) = \beta_j W_{f,j} e_{j-1}(t+1) + \lambda_j W_{b,j+1} e_{j+1}(t)
          + (1 - \beta_j - \lambda_j) e_j(t) - \alpha_j \nabla_{e_j} \varepsilon_{j-1}(t)

The layers are updated in order: layer j uses the new values of the layer below. The letters are those of the
publication.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .. import _check
from .._check import Array
from ..model import LinearPCN
from ..model.definitions import require_plain

__all__ = ["Predify", "chain_is_stable", "chain_multiplier", "chain_speed"]


@dataclass(frozen=True, eq=False, repr=False, init=False)
class Predify:
    r"""A linear network with Predify's dynamics, which are a linear map (claim ``predify-map``).

    Parameters
    ----------
    forward : L matrices (n_j, n_{j-1})
        :math:`W_{f,j}`, j = 1..L.
    backward : L matrices (n_{j-1}, n_j)
        :math:`W_{b,j}`.
    alphas, betas, lambdas : number, or L numbers
        Weights of error correction, of the forward drive and of feedback. The top layer has no feedback, so
        that :math:`\lambda_L` is 0 (a single number is given to all layers but the top).

    Examples
    --------
    >>> model = Predify([[[1.0]]], [[[1.0]]], alphas=0.5, betas=0.25, lambdas=0.0)
    >>> model.map.item(), model.fixed_point([[2.0]])[0].item()  # 1 - 1/4 - 1/2
    (0.25, 2.0)
    """

    forward: tuple[np.ndarray, ...]
    backward: tuple[np.ndarray, ...]
    alphas: tuple[float, ...]
    betas: tuple[float, ...]
    lambdas: tuple[float, ...]

    def __init__(
        self,
        forward: Sequence[Array],
        backward: Sequence[Array],
        *,
        alphas: float | Sequence[float],
        betas: float | Sequence[float],
        lambdas: float | Sequence[float],
    ) -> None:
        ups = LinearPCN(_check.sequence(forward, "forward"))  # a chain of matrices, checked
        downs = _check.matrices(backward, "backward")
        size = ups.depth
        if len(downs) != size:
            raise ValueError(f"`backward` must be one matrix per layer, {size} of them. Got {len(downs)}.")
        for j, (up, down) in enumerate(zip(ups.weights, downs, strict=True)):
            if down.shape != up.shape[::-1]:
                raise ValueError(
                    f"`backward[{j}]` must have shape {up.shape[::-1]}: it predicts the input of "
                    f"`forward[{j}]`. Got {tuple(down.shape)}."
                )
        top = [_check.real(lambdas, "lambdas")] * (size - 1) + [0.0] if np.isscalar(lambdas) else lambdas
        object.__setattr__(self, "forward", tuple(_check.to_numpy(w, "forward") for w in ups.weights))
        object.__setattr__(self, "backward", tuple(_check.to_numpy(w, "backward") for w in downs))
        object.__setattr__(self, "alphas", _numbers(alphas, size, "alphas"))
        object.__setattr__(self, "betas", _numbers(betas, size, "betas"))
        object.__setattr__(self, "lambdas", _numbers(top, size, "lambdas"))
        if self.lambdas[-1] != 0:
            raise ValueError(
                f"`lambdas` must end in 0: no layer feeds back to the top one. Got {self.lambdas[-1]:g}."
            )

    @classmethod
    def predictive_coding(cls, net: LinearPCN) -> Predify:
        r"""The special case that is gradient descent: :math:`\beta = 0`, :math:`\lambda_j = \alpha_{j+1}`.

        One step is one gradient step of size 1 on :math:`\sum_j \frac{\alpha_j}{2} |e_{j-1} - W_{b,j}
        e_j|^2`, the energy of the generative network `net` read from its image (its last layer is
        :math:`e_0`), whose precisions must be numbers: :math:`\alpha_j`. Claim ``predify-is-pc``.

        Returns
        -------
        Predify
            With those weights and constants.

        Raises
        ------
        ValueError
            If a precision is not a number.

        Examples
        --------
        >>> Predify.predictive_coding(LinearPCN([[[2.0]]], precisions=[0.1])).map.item()  # 1 - 0.1 * 2^2
        0.6
        """
        require_plain(net)
        for l, precision in enumerate(net.precisions):
            if np.ndim(precision.value):
                raise ValueError(
                    f"`net` must have numbers as precisions: Predify weighs a layer's error by one number. "
                    f"Got an array in `precisions[{l}]`."
                )
        alphas = [float(p.value) for p in net.precisions[::-1]]
        backward = list(net.maps[::-1])
        return cls(
            [0 * _check.to_numpy(w, "W").T for w in backward],
            backward,
            alphas=alphas,
            betas=0.0,
            lambdas=[*alphas[1:], 0.0],
        )

    @property
    def sizes(self) -> tuple[int, ...]:
        """Widths (n_1, ..., n_L)."""
        return tuple(w.shape[0] for w in self.forward)

    @cached_property
    def map(self) -> np.ndarray:
        r"""The matrix :math:`A = (I - B)^{-1} M` of :math:`e(t+1) = A e(t) + c`. Claim ``predify-map``.

        B holds :math:`\beta_j W_{f,j}` below the diagonal; :math:`M_{jj} = (1 - \beta_j - \lambda_j) I -
        \alpha_j W_{b,j}^T W_{b,j}`, :math:`M_{j,j-1} = \alpha_j W_{b,j}^T`, :math:`M_{j,j+1} = \lambda_j
        W_{b,j+1}`. Not symmetric: oscillations are possible.
        """
        cuts = np.cumsum([0, *self.sizes])
        m = np.zeros((cuts[-1], cuts[-1]))
        for j, (down, a, b, c) in enumerate(
            zip(self.backward, self.alphas, self.betas, self.lambdas, strict=True)
        ):
            rows = slice(cuts[j], cuts[j + 1])
            m[rows, rows] = (1 - b - c) * np.eye(self.sizes[j]) - a * down.T @ down
            if j:
                m[rows, cuts[j - 1] : cuts[j]] = a * down.T
            if j + 1 < len(self.sizes):
                m[rows, cuts[j + 1] : cuts[j + 2]] = c * self.backward[j + 1]
        return self._sweep(m)

    def drive(self, e0: Array) -> np.ndarray:
        r"""The constant c of :math:`e(t+1) = A e(t) + c` for inputs :math:`e_0`, (B, n_1 + ... + n_L)."""
        given = self._input(e0)
        first = given @ (self.betas[0] * self.forward[0] + self.alphas[0] * self.backward[0].T).T
        rest = np.zeros((len(given), sum(self.sizes[1:])))
        return self._sweep(np.hstack([first, rest]).T).T

    @property
    def spectral_radius(self) -> float:
        r""":math:`\rho(A)`; the dynamics converge for every start iff it is below 1."""
        return float(np.max(np.abs(np.linalg.eigvals(self.map))))

    def fixed_point(self, e0: Array) -> tuple[np.ndarray, ...]:
        r""":math:`(I - A)^{-1} c`, the layers 1..L, (B, n_j) each.

        Returns
        -------
        layers : tuple of (B, n_j), j = 1..L

        Raises
        ------
        ValueError
            If 1 is an eigenvalue of A: then there is none, or there are many.
        """
        system = np.eye(sum(self.sizes)) - self.map
        singular = np.linalg.svd(system, compute_uv=False)
        if singular[-1] <= len(system) * np.finfo(np.float64).eps * singular[0]:
            raise ValueError(
                "`map` must not have the eigenvalue 1, or the fixed point is not unique. Got an eigenvalue "
                "of 1: "
                "raise `alphas` or `betas`."
            )
        return self._split(np.linalg.solve(system, self.drive(e0).T).T)

    def step(self, e0: Array, layers: Sequence[Array]) -> tuple[np.ndarray, ...]:
        """One update of all layers by the map, e_j (B, n_j) each, j = 1..L."""
        rows = np.hstack([_check.to_numpy(e, f"layers[{j}]") for j, e in enumerate(layers)])
        if rows.shape[1] != sum(self.sizes):
            raise ValueError(f"`layers` must have the widths {self.sizes}. Got {rows.shape[1]} units in all.")
        return self._split(rows @ self.map.T + self.drive(e0))

    def _sweep(self, columns: np.ndarray) -> np.ndarray:
        """(I - B)^{-1}: forward substitution along the sweep."""
        cuts = np.cumsum([0, *self.sizes])
        result = columns.copy()
        for j in range(1, len(self.sizes)):
            below = result[cuts[j - 1] : cuts[j]]
            result[cuts[j] : cuts[j + 1]] += self.betas[j] * self.forward[j] @ below
        return result

    def _split(self, rows: np.ndarray) -> tuple[np.ndarray, ...]:
        return tuple(np.split(rows, np.cumsum(self.sizes)[:-1], axis=1))

    def _input(self, e0: Array) -> np.ndarray:
        given = _check.to_numpy(_check.matrix(e0, "e0"), "e0")
        if given.shape[1] != self.forward[0].shape[1]:
            raise ValueError(f"`e0` must have {self.forward[0].shape[1]} columns. Got {given.shape[1]}.")
        return given

    def __repr__(self) -> str:
        widths = " -> ".join(str(n) for n in (self.forward[0].shape[1], *self.sizes))
        return f"Predify({widths}, spectral radius {self.spectral_radius:.4f})"


def chain_multiplier(wavenumber: Array, *, alpha: float, beta: float, lam: float) -> np.ndarray:
    r"""Multiplier :math:`\mu(k)` of the wave :math:`e^{ikn} \mu^t` on the infinite chain of identity maps.

    .. math:: \mu(k) = \frac{1 - \alpha - \beta - \lambda + \lambda e^{ik} + \alpha e^{-ik}}
              {1 - \beta e^{-ik}}

    Claim ``predify-dispersion``; waves: Faye et al. 2023 (arXiv:2304.05676).

    Parameters
    ----------
    wavenumber : (m,)
        k.
    alpha, beta, lam : float
        Weights of error correction, of the forward drive (less than 1) and of feedback; 0 or more.

    Returns
    -------
    multiplier : (m,), complex

    Examples
    --------
    >>> chain_multiplier(np.array([0.0, np.pi]), alpha=0.25, beta=0.5, lam=0.25).real
    array([ 1.        , -0.33333333])
    """
    a, b, c = _rates(alpha, beta, lam)
    k = _check.finite(_check.to_numpy(wavenumber, "wavenumber"), "wavenumber")
    up = np.exp(1j * k)
    return (1 - a - b - c + c * up + a / up) / (1 - b / up)


def chain_is_stable(*, alpha: float, beta: float, lam: float) -> bool:
    r"""Whether no wave grows on the infinite chain of identity maps: :math:`\alpha + \lambda \le 1`.

    Parameters
    ----------
    alpha, beta, lam : float
        As in `chain_multiplier`.

    Returns
    -------
    bool

    Examples
    --------
    >>> chain_is_stable(alpha=0.5, beta=0.2, lam=0.5), chain_is_stable(alpha=0.6, beta=0.2, lam=0.5)
    (True, False)
    """
    a, _, c = _rates(alpha, beta, lam)
    return a + c <= 1


def chain_speed(*, alpha: float, beta: float, lam: float) -> float:
    r"""Speed of long waves, :math:`(\alpha + \beta - \lambda) / (1 - \beta)`, in layers per step.

    Parameters
    ----------
    alpha, beta, lam : float
        As in `chain_multiplier`.

    Returns
    -------
    float
        Positive for waves that travel upwards.

    Examples
    --------
    >>> chain_speed(alpha=0.25, beta=0.5, lam=0.25)
    1.0
    """
    a, b, c = _rates(alpha, beta, lam)
    return (a + b - c) / (1 - b)


def _rates(alpha: float, beta: float, lam: float) -> tuple[float, float, float]:
    a, b, c = (
        _check.non_negative(alpha, "alpha"),
        _check.non_negative(beta, "beta"),
        _check.non_negative(lam, "lam"),
    )
    if b >= 1:
        raise ValueError(f"`beta` must be less than 1: at 1 a layer copies the one below at once. Got {b:g}.")
    return a, b, c


def _numbers(value: float | Sequence[float], size: int, name: str) -> tuple[float, ...]:
    if np.isscalar(value):
        return (_check.real(value, name),) * size
    entries = _check.sequence(value, name, "a number or a list or tuple of them")
    numbers = tuple(_check.real(v, f"{name}[{j}]") for j, v in enumerate(entries))
    if len(numbers) != size:
        raise ValueError(
            f"`{name}` must be one number, or one per layer, {size} of them. Got {len(numbers)}."
        )
    return numbers
