r"""Filtering and smoothing as predictive coding: Kalman filter, RTS smoother, temporal predictive coding.

A linear Gaussian state space :math:`s_t = A s_{t-1} + w_t`, :math:`o_t = C s_t + v_t` with covariances Q and
R is a network with time for depth. Layer t has the units :math:`(s_t, o_t)`, its map is :math:`[A; C A]`, and
its errors :math:`(w_t,\, C w_t + v_t)` have one joint precision. With the observations clamped the
equilibrium of all layers is the Rauch-Tung-Striebel smoother, and that of one layer, with the last belief as
the prior below, a step of the Kalman filter. Temporal predictive coding (Millidge et al. 2024) clamps the
layer below to its estimate: the filter with Q in the place of the predicted covariance :math:`P_{t|t-1} = A
P_{t-1} A^T + Q`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import solve_discrete_are, solve_discrete_lyapunov

from .. import _check
from ..inference import ClampedEquilibrium, ClampedProblem
from ..model import LinearPCN

__all__ = ["Beliefs", "StateSpace", "drift_phases"]


@dataclass(frozen=True, eq=False)
class Beliefs:
    r"""Means and covariances of the states at times 1..T.

    Attributes
    ----------
    means : (T, n)
    covariances : (T, n, n)
    """

    means: np.ndarray
    covariances: np.ndarray


@dataclass(frozen=True, eq=False)
class StateSpace:
    r"""A linear Gaussian state space, :math:`s_t = A s_{t-1} + w_t`, :math:`o_t = C s_t + v_t`.

    Attributes
    ----------
    transition : (n, n)
        A.
    observation : (m, n)
        C.
    state_noise : (n, n)
        Q, positive definite.
    observation_noise : (m, m)
        R, positive definite.
    initial : (n, n)
        Covariance of :math:`s_0`, whose mean is 0; positive definite.

    Raises
    ------
    ValueError
        If a matrix has a wrong shape or is not finite, or a covariance is not positive definite.

    Notes
    -----
    Claim ``state-space``: classical; the constructions are this work's.

    Examples
    --------
    >>> walk = StateSpace([[1.0]], [[1.0]], [[1.0]], [[1.0]], [[1.0]])
    >>> walk.filter([[3.0]]).means, walk.temporal([[3.0]]).means  # gains 2/3 and 1/2
    (array([[2.]]), array([[1.5]]))
    """

    transition: np.ndarray
    observation: np.ndarray
    state_noise: np.ndarray
    observation_noise: np.ndarray
    initial: np.ndarray

    def __post_init__(self) -> None:
        for name in ("transition", "observation", "state_noise", "observation_noise", "initial"):
            value = _check.to_numpy(_check.as_array(getattr(self, name), name), name).astype(np.float64)
            _check.finite(value, name)
            if value.ndim != 2:
                raise ValueError(f"`{name}` must be a matrix. Got shape {value.shape}.")
            object.__setattr__(self, name, value)
        n, m = self.transition.shape[0], self.observation.shape[0]
        wanted = {
            "transition": (n, n),
            "observation": (m, n),
            "state_noise": (n, n),
            "observation_noise": (m, m),
            "initial": (n, n),
        }
        for name, shape in wanted.items():
            if getattr(self, name).shape != shape:
                raise ValueError(f"`{name}` must have shape {shape}. Got {getattr(self, name).shape}.")
        for name in ("state_noise", "observation_noise", "initial"):
            value = getattr(self, name)
            if not (np.allclose(value, value.T) and np.linalg.eigvalsh(value)[0] > 0):
                raise ValueError(
                    f"`{name}` must be symmetric and positive definite. Got a matrix that is not."
                )

    def network(self, num_steps: int) -> LinearPCN:
        """The network whose layers are the times 0..T: widths (n, n + m, ..., n + m), observations last.

        Returns
        -------
        LinearPCN
        """
        steps = _check.count(num_steps, "num_steps", 1)
        n, m = self.transition.shape[0], self.observation.shape[0]
        both = np.vstack([np.eye(n), self.observation])
        first = both @ self.transition
        noise = both @ self.state_noise @ both.T
        noise[n:, n:] += self.observation_noise
        precision = np.linalg.inv(noise)
        precision = (precision + precision.T) / 2
        later = np.hstack([first, np.zeros((n + m, m))])
        return LinearPCN([first, *[later] * (steps - 1)], precisions=[precision] * steps)

    def smooth(self, observations: np.ndarray) -> Beliefs:
        r"""Beliefs given all observations, :math:`s_t | o_1, \dots, o_T`: one equilibrium of `network`.

        Parameters
        ----------
        observations : (T, m)
            One row a time.

        Returns
        -------
        Beliefs
            Those of the Rauch-Tung-Striebel smoother (claim ``state-space``).
        """
        seen = self._observations(observations)
        n = self.transition.shape[0]
        settled = self._settle(seen, np.linalg.inv(self.initial))
        means = np.vstack([z[:, :n] for z in settled.activities[1:]])
        return Beliefs(means, np.array([settled.covariance(t + 1) for t in range(len(seen))]))

    def filter(self, observations: np.ndarray) -> Beliefs:
        r"""Beliefs given the past, :math:`s_t | o_1, \dots, o_t`: an equilibrium of one layer for each time.

        Parameters
        ----------
        observations : (T, m)
            One row a time.

        Returns
        -------
        Beliefs
            Those of the Kalman filter (claim ``state-space``).
        """
        n = self.transition.shape[0]
        mean, covariance, means, covariances = np.zeros(n), self.initial, [], []
        for seen in self._observations(observations):
            predicted = self.transition @ mean
            surprise = seen - self.observation @ predicted
            settled = self._settle(surprise[None], np.linalg.inv(covariance))
            mean = predicted + settled.activities[1][0, :n]
            covariance = settled.covariance(1)
            means.append(mean)
            covariances.append(covariance)
        return Beliefs(np.array(means), np.array(covariances))

    def temporal(
        self, observations: np.ndarray, *, step: float | None = None, num_steps: int | None = None
    ) -> Beliefs:
        r"""Temporal predictive coding: each state is inferred with the estimate before it held fixed.

        Parameters
        ----------
        observations : (T, m)
            One row a time.
        step, num_steps : float and int, optional
            g and the number of gradient steps from the prediction; together, or neither for the equilibrium.

        Returns
        -------
        Beliefs
            The covariances are those that its errors have on average (`error_covariance`), in the long run.

        Raises
        ------
        ValueError
            As `temporal_gain` and `error_covariance`.
        """
        gain = self.temporal_gain(step=step, num_steps=num_steps)
        mean, means = np.zeros(self.transition.shape[0]), []
        seen = self._observations(observations)
        for o in seen:
            predicted = self.transition @ mean
            mean = predicted + gain @ (o - self.observation @ predicted)
            means.append(mean)
        long_run = self.error_covariance(gain)
        return Beliefs(np.array(means), np.repeat(long_run[None], len(seen), axis=0))

    def temporal_gain(self, *, step: float | None = None, num_steps: int | None = None) -> np.ndarray:
        r"""The gain of temporal predictive coding, :math:`Q C^T (C Q C^T + R)^{-1}`, (n, m).

        After T steps g it is :math:`[I - (I - g H)^T]` times that, :math:`H = Q^{-1} + C^T R^{-1} C`.

        Returns
        -------
        gain : (n, m)

        Raises
        ------
        ValueError
            If only one of `step` and `num_steps` is given, or they are out of range.
        """
        c, q = self.observation, self.state_noise
        gain = np.linalg.solve(c @ q @ c.T + self.observation_noise, c @ q).T
        if (step is None) != (num_steps is None):
            raise ValueError("`step` and `num_steps` must be given together. Got one of them.")
        if step is None or num_steps is None:
            return np.asarray(gain)
        g, steps = _check.positive(step, "step"), _check.count(num_steps, "num_steps")
        hessian = np.linalg.inv(q) + c.T @ np.linalg.solve(self.observation_noise, c)
        left = np.linalg.matrix_power(np.eye(len(q)) - g * hessian, steps)
        return np.asarray(gain - left @ gain)

    def steady_gain(self) -> np.ndarray:
        """The gain of the Kalman filter in the long run, (n, m): the best of all constant ones.

        Returns
        -------
        gain : (n, m)

        Raises
        ------
        numpy.linalg.LinAlgError
            If there is none: a part of the state that does not decay cannot be observed.
        """
        c = self.observation
        predicted = solve_discrete_are(self.transition.T, c.T, self.state_noise, self.observation_noise)
        return np.asarray(np.linalg.solve(c @ predicted @ c.T + self.observation_noise, c @ predicted).T)

    def error_covariance(self, gain: np.ndarray) -> np.ndarray:
        r"""The covariance P of the errors of a filter with a constant gain K in the long run, (n, n).

        .. math:: P = (I - K C)(A P A^T + Q)(I - K C)^T + K R K^T

        Parameters
        ----------
        gain : (n, m)
            K.

        Returns
        -------
        covariance : (n, n)

        Raises
        ------
        ValueError
            If the gain has another shape, or the errors do not stay bounded.
        """
        gain = _check.to_numpy(_check.as_array(gain, "gain"), "gain")
        wanted = self.observation.shape[::-1]
        if gain.shape != wanted:
            raise ValueError(f"`gain` must have shape {wanted}. Got {gain.shape}.")
        kept = np.eye(self.transition.shape[0]) - gain @ self.observation
        closed = kept @ self.transition
        factor = float(np.abs(np.linalg.eigvals(closed)).max())
        if factor >= 1:
            raise ValueError(
                "`gain` must keep the errors bounded: the eigenvalues of (I - K C) A must be below 1 in "
                f"size. Got one of size {factor:.3g}."
            )
        driven = kept @ self.state_noise @ kept.T + gain @ self.observation_noise @ gain.T
        return np.asarray(solve_discrete_lyapunov(closed, driven))

    def _settle(self, seen: np.ndarray, prior: np.ndarray) -> ClampedEquilibrium:
        n, m = self.transition.shape[0], self.observation.shape[0]
        net = self.network(len(seen))
        held = [np.zeros((1, n)), *(np.hstack([np.zeros((1, n)), o[None]]) for o in seen)]
        clamped = np.arange(n + m) >= n
        return ClampedProblem(
            net, held, [False, *[clamped] * len(seen)], prior=(prior + prior.T) / 2
        ).equilibrium()

    def _observations(self, observations: np.ndarray) -> np.ndarray:
        seen = _check.to_numpy(_check.as_array(observations, "observations"), "observations")
        m = self.observation.shape[0]
        if seen.ndim != 2 or seen.shape[1] != m or not len(seen):
            raise ValueError(f"`observations` must have shape (T, {m}), T of 1 or more. Got {seen.shape}.")
        return seen.astype(np.float64)


def drift_phases(predictor: np.ndarray) -> np.ndarray:
    r"""By which angle a translation-invariant linear predictor turns each Fourier component of any pattern.

    On a ring of n pixels such a predictor of the next frame is a circulant matrix. A still pattern p is
    predicted as :math:`K p`, whose component at the frequency :math:`\omega` is :math:`\hat K(\omega) \hat
    p(\omega)`: it is turned by :math:`\arg \hat K(\omega)`, whatever the pattern.

    Parameters
    ----------
    predictor : (n, n)
        A circulant matrix K: row i is row 0 shifted by i.

    Returns
    -------
    phases : (n // 2 + 1,)
        Of the frequencies :math:`2\pi j / n`, j = 0..n // 2; a displacement by :math:`\delta` pixels is
        :math:`-2\pi j \delta / n`. NaN where the predictor removes the frequency.

    Raises
    ------
    ValueError
        If the matrix is not circulant.

    Notes
    -----
    So if a predictor displaces the phases of one pattern that has all frequencies, it displaces those of
    every pattern by the same, and if it leaves them, it leaves all. Claim ``state-space`` (this work).

    Examples
    --------
    >>> shift = np.roll(np.eye(5), 1, axis=0)  # moves every pattern by one pixel
    >>> (drift_phases(shift) / (2 * np.pi / 5)).round(12)
    array([ 0., -1., -2.])
    """
    matrix = _check.to_numpy(_check.as_array(predictor, "predictor"), "predictor")
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"`predictor` must be a square matrix. Got shape {matrix.shape}.")
    shifted = np.roll(np.roll(matrix, 1, axis=0), 1, axis=1)
    if not np.allclose(shifted, matrix, rtol=1e-9, atol=1e-9 * np.abs(matrix).max()):
        raise ValueError("`predictor` must be circulant: the same at every pixel. Got a matrix that is not.")
    factor = np.fft.rfft(matrix[:, 0])
    kept = np.abs(factor) > 1e-12 * np.abs(factor).max()
    return np.where(kept, np.angle(factor), np.nan)
