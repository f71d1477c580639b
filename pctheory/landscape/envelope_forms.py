r"""The second variation of the energy at a critical point under any convex output loss.

Claims ``moreau-envelope``, ``cross-entropy-landscape`` and ``convex-loss-landscape``. At a critical point
no hidden error is left, and :math:`A_L^T g = 0` for every sample. Let V be the change of :math:`A_L`, Z x
that of :math:`h = Q_{L-1} x`, and e the hidden error that arises before the output. With
:math:`M = M_{L-1}` and the Hessian :math:`\Lambda` of the loss, to second order

.. math:: \delta^2 F^* = \Big\langle \min_e \; 2 g^T V (Z x + e) + e^T M^{-1} e + d^T \Lambda\, d \Big\rangle,
          \qquad d = V h + A_L (Z x + e) .

Three changes are known to have no effect: of the basis of the last hidden layer, :math:`V = -A_L X, Z = X
Q_{L-1}`, so that Z x may be taken uncorrelated with h; of Z in directions that :math:`A_L` does not read,
if :math:`\langle g x^T \rangle = 0`; and of all outputs of a softmax together. On what is left there are four
cases, as for squared errors (`pctheory.landscape.second_order_form`):

(i)   :math:`\langle h h^T \rangle` singular: strict, with Z = 0.
(ii)  :math:`\langle h h^T \rangle \succ 0`, :math:`A_L` with a kernel, :math:`\langle g x^T \rangle \ne 0`:
      strict.
(ii') The same with :math:`\langle g x^T \rangle = 0`: strict if and only if the form takes a negative value.
(iii) :math:`\langle h h^T \rangle \succ 0`, :math:`A_L` without a kernel: likewise.

Where the form is positive definite the point is a local minimum: its zeros are then the tangents of a
manifold of critical points of the same value.

With cross-entropy and hard labels :math:`A_L` reads nothing, :math:`\Lambda = J / C`, and case (ii') is
:math:`\langle h h^T \rangle \succeq C \lambda_{max}(J \,\mathrm{diag}(p) J)\, M`.

With biases :math:`\langle g \rangle = 0`, and d gains the change of the output's bias, which may be any:
constants in :math:`V h` and in :math:`Z x`, and the changes of the hidden biases, have no effect, so that h
and x are centred. With cross-entropy and hard labels the prediction is the frequencies p of the classes,
:math:`\Lambda = \langle g g^T \rangle = \mathrm{diag}(p) - p p^T`, and case (ii') is
:math:`\mathrm{Cov}(h) \succeq M`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import null_space

from .. import _check
from ..inference import ConvexLoss, noise_covariances
from ..inference.output_losses import output_loss
from ..model import Data, LinearPCN, feedforward
from ..model.definitions import require_plain_units
from ._whitened import FIT_TOLERANCE, RANK_TOLERANCE, mean
from .certificates import least, measured, require_critical
from .envelopes import EnvelopeEnergy
from .second_order import SecondOrderForm

__all__ = ["envelope_form"]

BLOCK = 2**24
"""Numbers held at once where the form is applied to many directions."""


def envelope_form(
    net: LinearPCN,
    data: Data,
    output: str | ConvexLoss = "cross-entropy",
    *,
    gradient_tolerance: float = 1e-6,
) -> SecondOrderForm:
    r"""The case of a critical point under a convex output loss, and the least value of the form that decides.

    Parameters
    ----------
    net : LinearPCN
        A critical point of `EnvelopeEnergy` with L >= 2. Multipliers, skips, precisions and biases are
        allowed; the last precision must be a number.
    data : Data
        x (B, n_0) and targets y (B, n_L).
    output : "cross-entropy", "mse", or a ConvexLoss
        The loss of the outputs.
    gradient_tolerance : float
        Largest norm of the gradient at which the point is taken as critical, relative to the scale of the
        data.

    Returns
    -------
    SecondOrderForm
        The point is a strict saddle if and only if `value` is negative. It is the least on the unit sphere of
        (V, Z), with unit hidden noise, uncorrelated inputs and V in units of one over the size of g.

    Raises
    ------
    ValueError
        If the point is not critical, or if every sample is at the minimum of its loss.

    Notes
    -----
    Claims ``moreau-envelope``, ``cross-entropy-landscape``, ``convex-loss-landscape`` (this work). An
    eigenvalue problem of size at most :math:`n_L n_{L-1} + n_{L-1} (n_0 - n_{L-1})`.

    Examples
    --------
    The label does not depend on the input: half of each class on either side. :math:`S_{gx} = 0`, and
    the threshold is at :math:`h^2 = 2 \cdot \frac12`.

    >>> data = Data([[1.0], [1.0], [-1.0], [-1.0]], [[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    >>> envelope_form(LinearPCN([[[0.8]], [[0.3], [0.3]]]), data)  # .8^2 / 2 - 1 / 2
    SecondOrderForm(case ii', value -0.36, curvature -0.18)
    >>> envelope_form(LinearPCN([[[1.2]], [[0.3], [0.3]]]), data)
    SecondOrderForm(case ii', value 0.44, curvature 0.22)
    """
    require_plain_units(_check.instance(net, "net", LinearPCN))
    objective = EnvelopeEnergy(data, output)
    require_critical(objective, net, _check.positive(gradient_tolerance, "gradient_tolerance"))
    if _excess(net, data, output) <= FIT_TOLERANCE**2:
        raise ValueError(
            "`net` must leave some sample above the minimum of its loss. Got none: a global minimum."
        )
    point = _Point.of(net, data, output)
    value, v, inner, shift = point.least()
    first = None
    if inner is not None:
        # <h h^T> > 0, so that the layers above A_1 pass on every change
        path = np.eye(net.widths[1])
        for matrix in net.maps[1:-1]:
            path = np.asarray(matrix) @ path
        first = np.linalg.lstsq(path, inner, rcond=None)[0]
    at = measured(objective, net, point.case, (v, first, value), shift)
    return SecondOrderForm(point.case, value, point.scale, at.direction, at.curvature, at.predicted)


def every_sample_at_its_minimum(objective: EnvelopeEnergy, net: LinearPCN, gradient_norm: float) -> bool:
    """Whether no sample has a gradient left, up to what a gradient in the weights of this norm allows."""
    return _excess(net, objective.data, objective.output) <= gradient_norm + FIT_TOLERANCE**2


def _excess(net: LinearPCN, data: Data, output: str | ConvexLoss) -> float:
    r""":math:`\langle |g|^2 \rangle` as a part of its value at the output 0."""
    loss, y = output_loss(net, output), np.asarray(data.y)
    out = np.asarray(feedforward(net, np.asarray(data.x))[-1])
    square, at_zero = (float(np.sum(np.asarray(loss.gradient(o, y)) ** 2)) for o in (out, 0 * out))
    return square / at_zero if at_zero else square


@dataclass(frozen=True, eq=False)
class _Point:
    r"""A critical point in units in which the last hidden layer has the noise covariance I."""

    basis: np.ndarray  # (n_L, m), columns that span the outputs that the loss depends on
    root: np.ndarray  # C with M = C C^T
    a: np.ndarray  # (m, n), A_L
    features: np.ndarray  # (B, n), h; with biases less its mean
    slope: np.ndarray  # (B, m), g
    curvature: np.ndarray  # (B, m, m), Lambda
    inputs: np.ndarray  # (B, r), x with covariance I; with biases less its mean
    whiten: np.ndarray  # (n_0, r), inputs = x whiten
    middle: tuple[np.ndarray, np.ndarray] | None  # means of h and of inputs, with biases

    @classmethod
    def of(cls, net: LinearPCN, data: Data, output: str | ConvexLoss) -> _Point:
        loss = output_loss(net, output)
        x, y = np.asarray(data.x), np.asarray(data.y)
        *_, below, out = (np.asarray(z) for z in feedforward(net, x))
        basis = np.eye(y.shape[1])
        if output == "cross-entropy":
            basis = null_space(np.ones((1, y.shape[1])))
        root = np.linalg.cholesky(np.asarray(noise_covariances(net)[-2]))
        features = np.linalg.solve(root, below.T).T
        mean_x = np.mean(x, axis=0) if net.biases else np.zeros(x.shape[1])
        left, singular, rows = np.linalg.svd(x - mean_x, full_matrices=False)
        rank = int(np.sum(singular > RANK_TOLERANCE * np.max(singular, initial=0.0)))
        whiten = np.sqrt(len(x)) * rows[:rank].T / singular[:rank]
        return cls(
            basis=basis,
            root=root,
            a=basis.T @ np.asarray(net.maps[-1]) @ root,
            features=features - np.mean(features, axis=0) if net.biases else features,
            slope=np.asarray(loss.gradient(out, y)) @ basis,
            curvature=basis.T @ np.asarray(loss.hessian(out, y)) @ basis,
            inputs=np.sqrt(len(x)) * left[:, :rank],
            whiten=whiten,
            middle=(np.mean(features, axis=0), mean_x @ whiten) if net.biases else None,
        )

    @property
    def size(self) -> float:
        """The root mean square of g."""
        return float(np.sqrt(np.mean(np.sum(self.slope**2, axis=1))))

    @property
    def every_feature_varies(self) -> bool:
        r"""Whether :math:`\langle h h^T \rangle` is positive definite."""
        values = np.linalg.svd(self.features, compute_uv=False)
        return len(values) == self.features.shape[1] and bool(values[-1] > RANK_TOLERANCE * values[0])

    @property
    def read(self) -> np.ndarray:
        """Orthonormal columns that span the directions of the last hidden layer that A_L reads."""
        _, singular, rows = np.linalg.svd(self.a)
        felt = singular * np.sqrt(np.linalg.norm(np.mean(self.curvature, axis=0), 2))
        # the hidden noise has unit variance: below 1e-6 of it nothing is read
        return np.asarray(rows[: int(np.sum(felt > RANK_TOLERANCE * max(1.0, np.max(felt, initial=0.0))))].T)

    @property
    def informed(self) -> bool:
        r"""Whether :math:`\langle g x^T \rangle \ne 0`."""
        return bool(np.linalg.norm(mean(self.slope, self.inputs)) > RANK_TOLERANCE * self.size)

    @property
    def case(self) -> str:
        if not self.every_feature_varies:
            return "i"
        if self.read.shape[1] == self.a.shape[1]:
            return "iii"
        return "ii" if self.informed else "ii'"

    @property
    def scale(self) -> float:
        """The size of the terms with g, or what rounding leaves of the others."""
        others = np.linalg.norm(mean(self.features, self.features), 2) * np.max(
            np.linalg.norm(self.curvature, 2, axis=(1, 2))
        )
        return max(1.0, RANK_TOLERANCE * float(others) / self.size**2)

    def least(self) -> tuple[float, np.ndarray, np.ndarray | None, np.ndarray | None]:
        r"""The least value of the form on the unit sphere, with the V, the Z and the change of the output's
        bias where it is taken.

        Returns
        -------
        value : float
        v : (n_L, n_{L-1})
        inner : (n_{L-1}, n_0) or None
            None in case (i).
        shift : (n_L,) or None
            None without biases.
        """
        (m, n), case = self.a.shape, self.case
        spare = null_space(mean(self.features, self.inputs), rcond=RANK_TOLERANCE)
        turned = {"i": np.zeros((n, 0)), "ii'": self.read}.get(case, np.eye(n))
        form = _Form(self, self.inputs @ spare, turned)
        value, found = least(form.apply, (form.num_parameters,))
        v = found[: m * n].reshape(m, n) / self.size
        inner = found[m * n : m * n + turned.shape[1] * spare.shape[1]]
        moved = turned @ inner.reshape(turned.shape[1], spare.shape[1]) @ spare.T
        shift = None
        if self.middle is not None:  # the form's h and x are centred, the network's are not
            features, inputs = self.middle
            shift = self.basis @ (found[-m:] / self.size - v @ features - self.a @ moved @ inputs)
        v = self.basis @ np.linalg.solve(self.root.T, v.T).T
        return value, v, None if case == "i" else self.root @ moved @ self.whiten.T, shift


class _Form:
    r"""The quadratic form of the second variation as a symmetric map of vectors, one or a stack: V, Z, and
    with biases the change of the output's.
    """

    def __init__(self, point: _Point, free: np.ndarray, turned: np.ndarray) -> None:
        self.point, self.free, self.turned = point, free, turned
        pulled = point.curvature @ point.a
        self.posterior = np.linalg.inv(np.eye(point.a.shape[1]) + point.a.T @ pulled)

    @property
    def num_parameters(self) -> int:
        return self.num_maps + (0 if self.point.middle is None else len(self.point.a))

    @property
    def num_maps(self) -> int:
        return self.point.a.size + self.turned.shape[1] * self.free.shape[1]

    def apply(self, vectors: np.ndarray) -> np.ndarray:
        """Half the derivative of the form, of the shape of `vectors`, (..., num_parameters)."""
        rows = vectors.reshape(-1, vectors.shape[-1])
        step = max(1, BLOCK // (len(self.free) * sum(self.point.a.shape)))
        parts = [self._half_derivative(rows[i : i + step]) for i in range(0, len(rows), step)]
        return np.concatenate(parts).reshape(vectors.shape)

    def _half_derivative(self, rows: np.ndarray) -> np.ndarray:
        at, (m, n), count = self.point, self.point.a.shape, len(rows)
        v = rows[:, : m * n].reshape(count, m, n) / at.size
        inner = rows[:, m * n : self.num_maps].reshape(count, self.turned.shape[1], self.free.shape[1])
        lift = rows[:, self.num_maps :] / at.size
        slope = at.slope @ v  # V^T g, (count, B, n)
        moved = self.free @ np.swapaxes(inner, 1, 2) @ self.turned.T  # Z x
        shift = at.features @ np.swapaxes(v, 1, 2) + moved @ at.a.T  # d without e
        if at.middle is not None:
            shift = shift + lift[:, None]
        error = -_each(self.posterior, slope + _each(at.curvature, shift) @ at.a)  # the least e
        strain = _each(at.curvature, shift + error @ at.a.T)  # Lambda d
        by_v = at.slope.T @ (moved + error) + np.swapaxes(strain, 1, 2) @ at.features
        by_inner = self.turned.T @ np.swapaxes(slope + strain @ at.a, 1, 2) @ self.free
        parts = [by_v.reshape(count, -1) / at.size, by_inner.reshape(count, -1)]
        if at.middle is not None:
            parts.append(np.sum(strain, axis=1) / at.size)
        return np.concatenate(parts, axis=1) / len(self.free)


def _each(matrices: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The symmetric matrix of each sample, (B, n, n), times its row in each of a stack, (K, B, n)."""
    return np.swapaxes(np.swapaxes(rows, 0, 1) @ matrices, 0, 1)
