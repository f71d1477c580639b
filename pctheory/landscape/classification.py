r"""What kind of critical point a network is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .. import _check
from ..model import Data, LinearPCN
from .certificates import EscapeDirection, escape_direction
from .objectives import EquilibratedEnergy, Objective
from .spectrum import DENSE_LIMIT, extreme_eigenvalues

__all__ = ["KINDS", "CriticalPoint", "classify_critical_point", "infimum", "non_strict_saddle"]

KINDS = ("global minimum", "strict saddle", "local minimum", "degenerate", "not critical")


@dataclass(frozen=True, eq=False, repr=False)
class CriticalPoint:
    r"""A point of weight space and what its first and second derivatives say about it.

    Attributes
    ----------
    kind : "global minimum", "strict saddle", "local minimum", "degenerate" or "not critical"
        "strict saddle": the Hessian has a negative eigenvalue (this includes maxima). "local minimum": all eigenvalues are
        positive. "degenerate": none is negative and some are zero, so that second derivatives do not decide.
    value, gradient_norm : float
    min_curvature : float
        Smallest eigenvalue of the Hessian.
    index : int or None
        Number of negative eigenvalues; None above `pctheory.landscape.spectrum.DENSE_LIMIT` weights.
    escape : EscapeDirection or None
        A verified direction of negative curvature of a strict saddle.
    net : LinearPCN
    """

    kind: str
    value: float
    gradient_norm: float
    min_curvature: float
    index: int | None
    escape: EscapeDirection | None
    net: LinearPCN

    def __repr__(self) -> str:
        parts = [f"value {self.value:.6g}", f"|gradient| {self.gradient_norm:.1e}"]
        parts.append(f"smallest curvature {self.min_curvature:.4g}")
        if self.index is not None:
            parts.append(f"index {self.index}")
        if self.escape is not None:
            parts.append(f"escape by case {self.escape.case}")
        return f"CriticalPoint({self.kind}: {', '.join(parts)})"


def classify_critical_point(
    objective: Objective,
    net: LinearPCN,
    *,
    gradient_tolerance: float = 1e-8,
    curvature_tolerance: float | None = None,
) -> CriticalPoint:
    r"""The kind of a critical point, with its index and a way out of it.

    Parameters
    ----------
    gradient_tolerance : float
        Largest norm of the gradient of a critical point.
    curvature_tolerance : float, optional
        Eigenvalues closer to 0 count as 0. By default the square root of the gradient's norm (relative to the data's scale):
        near a degenerate point the gradient is the square of the distance, and an eigenvalue errs by the distance.

    Returns
    -------
    CriticalPoint

    Notes
    -----
    Claims ``critical-points``, ``strict-saddles``. A global minimum is recognised by its value, see `infimum`; of objectives
    without a known infimum minima are "local minimum" or "degenerate".

    Examples
    --------
    >>> from pctheory import MSELoss
    >>> data = Data([[1.0], [-1.0]], [[-2.0], [2.0]])
    >>> classify_critical_point(EquilibratedEnergy(data), LinearPCN.zeros((1, 1, 1, 1))).kind
    'strict saddle'
    >>> classify_critical_point(MSELoss(data), LinearPCN.zeros((1, 1, 1, 1))).kind
    'degenerate'
    """
    _check.instance(objective, "objective", Objective)
    _check.instance(net, "net", LinearPCN)
    limit = _check.positive(gradient_tolerance, "gradient_tolerance")
    value, gradient = objective.value_and_gradient(net)
    norm = float(np.sqrt(sum(np.sum(np.asarray(g) ** 2) for g in gradient)))
    if net.num_weights <= DENSE_LIMIT:
        values, vectors = np.linalg.eigh(np.asarray(objective.hessian(net)))
        smallest, largest, lowest = float(values[0]), float(values[-1]), vectors[:, 0]
    else:
        ends = extreme_eigenvalues(objective, net)
        values, lowest = None, ends.smallest_vectors[0]
        smallest, largest = float(ends.smallest[0]), float(ends.largest[0])
    if curvature_tolerance is None:
        scale = max(abs(smallest), abs(largest))
        zero = float(np.sqrt(norm * max(scale, 1e-300))) + 1e-9 * scale
    else:
        zero = _check.non_negative(curvature_tolerance, "curvature_tolerance")
    index = None if values is None else int(np.sum(values < -zero))
    kind, escape = "degenerate", None
    if not norm <= limit:
        kind = "not critical"
    elif _is_infimum(objective, net, float(value)):
        kind = "global minimum"
    elif smallest < -zero:
        kind, escape = "strict saddle", _escape(objective, net, smallest, lowest, limit)
    elif smallest > zero:
        kind = "local minimum"
    return CriticalPoint(kind, float(value), norm, smallest, index, escape, net)


def infimum(objective: Objective, net: LinearPCN) -> float | None:
    r"""The greatest lower bound of an objective over all weights of networks of these widths.

    Of the loss: the residual of the best linear map of rank min n_l. Of :math:`F^*` with L >= 2:
    :math:`\frac12 \sum_{j > n_{L-1}} \lambda_j(\Pi_L^{1/2} S_{yy} \Pi_L^{1/2})`, the least that n_{L-1} units can leave of y
    (claim ``no-minimiser-with-noise``). None where it is not known. Zero multipliers are not allowed for.

    Examples
    --------
    >>> from pctheory import MSELoss
    >>> data = Data([[1.0], [1.0]], [[1.0], [3.0]])  # S_yy = 5, residual noise 1
    >>> net = LinearPCN.zeros((1, 1, 1))
    >>> round(infimum(MSELoss(data), net), 12), infimum(EquilibratedEnergy(data), net)
    (0.5, 0.0)
    """
    return _check.instance(objective, "objective", Objective).infimum(_check.instance(net, "net", LinearPCN))


def non_strict_saddle() -> tuple[LinearPCN, Data]:
    r"""A critical point of :math:`F^*` whose Hessian is exactly zero: the hypotheses of ``strict-saddles`` are needed.

    L = 2, one unit a layer, :math:`S_{xy} = 0`, :math:`S_{xx} = S_{yy} = 1` and :math:`(w_1, w_2) = (1, 0)`. The energy still
    falls, to third order, along :math:`(w_1, w_2) = (1 - d, \sqrt d)`.

    Returns
    -------
    net, data

    Notes
    -----
    Claim ``strict-saddles`` (c). The one-unit case also stands in a public Lean 4 formalisation (MeTTapedia).

    Examples
    --------
    >>> net, data = non_strict_saddle()
    >>> bool((EquilibratedEnergy(data).hessian(net) == 0).all())
    True
    """
    x, y = np.array([[1.0], [1.0], [-1.0], [-1.0]]), np.array([[1.0], [-1.0], [1.0], [-1.0]])
    return LinearPCN([[[1.0]], [[0.0]]]), Data(x, y)


def _is_infimum(objective: Objective, net: LinearPCN, value: float) -> bool:
    bound = infimum(objective, net)
    if bound is None:
        return False
    y = np.asarray(net.precisions[-1].whiten(np.asarray(objective.data.y)))
    return value - bound <= 1e-10 * float(np.sum(y**2)) / len(y)


def _escape(
    objective: Objective, net: LinearPCN, smallest: float, lowest: np.ndarray, tolerance: float
) -> EscapeDirection:
    if isinstance(objective, EquilibratedEnergy):
        try:
            return escape_direction(net, objective.data, gradient_tolerance=tolerance)
        except (
            ValueError
        ):  # outside the theorem's hypotheses no certificate need apply; the eigenvector always does
            pass
    product = np.asarray(objective.hvp(net, lowest))
    return EscapeDirection(net.split(lowest), float(lowest @ product), smallest, "eigenvector")
