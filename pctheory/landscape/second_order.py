r"""The complete second-order classification of the critical points of :math:`F^*` (claim
``second-order-classification``).

At a critical point with a residual, unit precisions (others are absorbed), :math:`h = Q_{L-1} x`, :math:`M =
M_{L-1}`,
:math:`\lambda_r` the top eigenvalue of :math:`\langle r r^T \rangle`, U the range of :math:`A_L` and
:math:`N_y` the residual noise of the data:

(i)   :math:`\langle h h^T \rangle` singular: strict.
(ii)  :math:`\langle h h^T \rangle \succ 0`, :math:`A_L` with a kernel, :math:`\langle r x^T \rangle \ne 0`:
strict. (ii') :math:`\langle h h^T \rangle \succ 0`, :math:`A_L` with a kernel, :math:`\langle r x^T \rangle =
0`: strict unless
      :math:`\langle h h^T \rangle \succeq \lambda_r (M^{-1} + A_L^T A_L)^{-1}`.
(iii) :math:`\langle h h^T \rangle \succ 0`, :math:`A_L` without a kernel: strict unless for all :math:`V:
U^\perp \to U`

.. math:: \mathrm{tr}\, V^T S_{yy} V - \mathrm{tr}\, V S_{yy} V^T
          + \mathrm{tr}\, (S|_U)^{-1} V N_y V^T \ge 0 .

Where the form is positive definite the point is a local minimum: the form is the Hessian across the manifold
of critical points through it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .. import _check
from ..model import Data, LinearPCN, Precision
from ..model.definitions import require_plain
from ._whitened import RANK_TOLERANCE, mean, regression
from .certificates import CASES, critical, verified
from .objectives import EquilibratedEnergy

__all__ = ["SecondOrderForm", "every_saddle_is_strict", "second_order_form", "spurious_minimum"]


@dataclass(frozen=True, eq=False, repr=False)
class SecondOrderForm:
    r"""The quadratic form that decides whether a critical point is a strict saddle, at its least value.

    Attributes
    ----------
    case : "i", "ii", "ii'" or "iii"
    value : float
        The least value on the form's unit sphere, with unit precisions: strict if and only if it is negative.
    scale : float
        The size of the terms that the value is the difference of.
    direction : tuple like ``net.weights``
        Of unit norm, where the form is least.
    curvature : float
        :math:`d^T \nabla^2 F^* d`, by one exact Hessian-vector product.
    predicted : float
        The same from the form.
    """

    case: str
    value: float
    scale: float
    direction: tuple[np.ndarray, ...]
    curvature: float
    predicted: float

    def __repr__(self) -> str:
        return f"SecondOrderForm(case {self.case}, value {self.value:.6g}, curvature {self.curvature:.6g})"


def second_order_form(net: LinearPCN, data: Data, *, gradient_tolerance: float = 1e-6) -> SecondOrderForm:
    r"""The case of a critical point of :math:`F^*` and the least value of the form that decides there.

    Parameters
    ----------
    net : LinearPCN
        A critical point of :math:`F^*` with L >= 2 and a residual. Multipliers, skips and precisions are
        allowed.
    data : Data
        x (B, n_0) and y (B, n_L).
    gradient_tolerance : float
        Largest norm of the gradient at which the point is taken as critical, relative to the scale of the
        data.

    Returns
    -------
    SecondOrderForm

    Raises
    ------
    ValueError
        If the point is not critical or fits perfectly.

    Notes
    -----
    Claim ``second-order-classification`` (this work). Case (iii) is an eigenvalue problem of size
    :math:`n_{L-1} (n_L - n_{L-1})`.

    Examples
    --------
    One output follows the input, the other is noise; the single hidden unit reads the first.

    >>> data = Data([[1.0], [1.0], [-1.0], [-1.0]], [[1.0, 2.0], [1.0, -2.0], [-1.0, 2.0], [-1.0, -2.0]])
    >>> second_order_form(LinearPCN([[[2.0]], [[0.5], [0.0]]]), data)  # 1 - 4 + 4 / (1 + 1/4)
    SecondOrderForm(case iii, value 0.2, curvature 0.8)
    """
    require_plain(net)
    objective = EquilibratedEnergy(data)
    limit = _check.positive(gradient_tolerance, "gradient_tolerance")
    point = critical(objective, net, limit)
    case, candidate = "i", CASES["i"](point)
    if point.every_feature_varies:
        if not point.readout[2].size:
            case, candidate = "iii", CASES["iii"](point)
        elif (found := CASES["ii"](point)) is not None:
            case, candidate = "ii", found
        else:
            case = "ii'"
    if candidate is None:  # only if the layers below the output are degenerate to rounding
        case, candidate = "i", CASES["i"](point)
    assert candidate is not None
    at = verified(objective, net, point, case, candidate)
    strength = float(np.linalg.eigvalsh(mean(point.residual, point.residual))[-1])
    scale = strength * (1.0 if case in ("ii", "iii") else float(np.linalg.norm(point.posterior, 2)))
    return SecondOrderForm(case, candidate[2], scale, at.direction, at.curvature, at.predicted)


def every_saddle_is_strict(data: Data, precision: object = 1.0) -> bool:
    r"""Whether on these data every critical point of :math:`F^*` is a global minimum or a strict saddle, for
    all networks.

    Parameters
    ----------
    data : Data
        x (B, n_0) and y (B, n_L).
    precision : float, (n_L,) or (n_L, n_L), optional
        The output precision :math:`\Pi_L`; hidden precisions, multipliers and skips do not matter.

    Returns
    -------
    bool
        True: at every depth L >= 2 and for all widths, and then no network has a local minimum that is not
        global. False: the network of `spurious_minimum` has one.

    Notes
    -----
    Claim ``second-order-classification``. True for data that a linear map fits, for noise of full rank with
    :math:`S_{yx} \ne 0`, and whenever :math:`S_{yx} \ne 0` and no eigenvector of :math:`S_{yy}` with a
    positive eigenvalue is free of noise, :math:`N_y u = 0` (observability): a random direction of noise is
    enough.

    Examples
    --------
    >>> x = [[1.0], [1.0], [-1.0], [-1.0]]
    >>> every_saddle_is_strict(Data(x, [[1.0, 2.0], [1.0, -2.0], [-1.0, 2.0], [-1.0, -2.0]]))
    False
    >>> every_saddle_is_strict(Data(x, [[1.0, 2.0], [1.0, -2.0], [-1.0, 2.0], [-1.0, -2.1]]))
    True
    """
    return spurious_minimum(data, precision) is None


def spurious_minimum(data: Data, precision: object = 1.0) -> LinearPCN | None:
    r"""A network of two layers at a local minimum of :math:`F^*` that is not global, or None if no network
    has one.

    Parameters
    ----------
    data : Data
        x (B, n_0) and y (B, n_L).
    precision : float, (n_L,) or (n_L, n_L), optional
        The output precision :math:`\Pi_L`.

    Returns
    -------
    LinearPCN or None
        None: at every depth L >= 2 and for all widths every critical point is a global minimum or a strict
        saddle.

    Notes
    -----
    Claim ``second-order-classification``. Let E be the largest space that :math:`S_{yy}` maps to itself and
    that is free of noise. There is such a minimum in two cases: if :math:`A_L` can read a part of E whose
    eigenvalues exceed all of
    :math:`S_{yx} S_{xx}^+ S_{xy}` outside of it, but not all of :math:`S_{yy}`; or if signal and noise are
    orthogonal,
    :math:`N_y S_{yx} = 0`, and a direction of the input is left over for a hidden unit that the output does
    not read.

    Examples
    --------
    >>> x = [[1.0], [1.0], [-1.0], [-1.0]]
    >>> data = Data(x, [[1.0, 2.0], [1.0, -2.0], [-1.0, 2.0], [-1.0, -2.0]])
    >>> net = spurious_minimum(data)
    >>> net.widths, second_order_form(net, data).case, second_order_form(net, data).value > 0
    ((1, 1, 2), 'iii', True)
    """
    rows = _check.instance(data, "data", Data).compress()
    x, output = np.asarray(rows.x), np.asarray(rows.y)
    chosen = Precision.of(precision, output.shape[1], output, "precision")
    y = np.asarray(chosen.whiten(output))
    predictor = regression(x, y)
    signal, noise = x @ predictor.T, y - x @ predictor.T
    if np.linalg.norm(noise) <= RANK_TOLERANCE * np.linalg.norm(y):
        return None
    maps = _isolated_reading(y, signal, noise, predictor)
    if maps is None and np.linalg.norm(noise @ signal.T) <= RANK_TOLERANCE * np.linalg.norm(y) ** 2:
        maps = _orthogonal_noise(x, signal, noise, predictor)
    if maps is None:
        return None
    first, last = maps
    return LinearPCN([first, np.asarray(chosen.unwhiten(last.T)).T], precisions=[1.0, precision])


def _isolated_reading(
    y: np.ndarray, signal: np.ndarray, noise: np.ndarray, predictor: np.ndarray
) -> tuple[np.ndarray, np.ndarray] | None:
    r"""A_L = c U with U in E: for small c the form is at least :math:`\lambda_{min}(S|_U) -
    \lambda_{max}(\hat S|_{U^\perp}) > 0`.

    Returns
    -------
    (W_1, A_L) or None
        The weights of the two layers; None if no U qualifies.
    """
    free = _noise_free(y, noise)
    for kept in range(free.shape[1], 0, -1):
        inside = free[:, :kept]
        outside = np.linalg.svd(inside)[0][:, kept:]
        least = np.sum((y @ inside[:, -1]) ** 2) / len(y)
        most, everything = (np.linalg.norm(part @ outside, 2) ** 2 / len(y) for part in (signal, y))
        if least > (1 + RANK_TOLERANCE) * most and everything > (1 + RANK_TOLERANCE) * least:
            # with S = 1 + c^2 on U the noise takes at most c^2 lambda_max(S_yy) from the form
            gain = np.sqrt(0.5 * (least - most) / everything)
            return inside.T @ predictor / gain, gain * inside
    return None


def _orthogonal_noise(
    x: np.ndarray, signal: np.ndarray, noise: np.ndarray, predictor: np.ndarray
) -> tuple[np.ndarray, np.ndarray] | None:
    r"""A_L reads all of the signal and has one more unit, driven by an input that the signal does not use."""
    left, singular, right = np.linalg.svd(x, full_matrices=False)
    kept = singular > RANK_TOLERANCE * singular[0]
    left, whiten = left[:, kept], right[kept].T / singular[kept]
    used, strengths, rows = np.linalg.svd(left.T @ signal)
    rank = int(np.sum(strengths > RANK_TOLERANCE * np.linalg.norm(noise + signal)))
    if rank == left.shape[1]:
        return None
    top = np.linalg.norm(noise, 2) ** 2 / len(x)
    inside, spare = rows[:rank].T, whiten @ used[:, -1]
    # <h h^T> > top (1 + A^T A)^-1 for both kinds of unit
    gain = np.sqrt(0.5 * strengths[rank - 1] ** 2 / len(x) / top) if rank else 1.0
    first = np.vstack([inside.T @ predictor / gain, np.sqrt(2 * top * len(x)) * spare])
    return first, np.hstack([gain * inside, np.zeros((len(inside), 1))])


def _noise_free(y: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Eigenvectors of S_yy, descending, that span the largest space which S_yy maps to itself and noise does
    not touch.

    Returns
    -------
    (n_L, k)
        One eigenvector a column, those of positive eigenvalue.
    """
    moments = mean(y, y)
    _, singular, rows = np.linalg.svd(noise)
    basis = rows[int(np.sum(singular > RANK_TOLERANCE * np.linalg.norm(y))) :].T
    while basis.size:
        leaves = moments @ basis - basis @ (basis.T @ moments @ basis)
        _, singular, rows = np.linalg.svd(leaves)
        stay = rows[int(np.sum(singular > RANK_TOLERANCE * np.trace(moments))) :].T
        if stay.shape[1] == basis.shape[1]:
            break
        basis = basis @ stay
    values, vectors = np.linalg.eigh(basis.T @ moments @ basis)
    order = np.argsort(-values)
    return basis @ vectors[:, order[values[order] > RANK_TOLERANCE**2 * np.trace(moments)]]
