r"""What kind of critical point a network is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .. import _check, _html
from ..model import Data, LinearPCN
from ._whitened import FIT_TOLERANCE, Units, flat
from .certificates import EscapeDirection, escape_direction
from .envelope_forms import envelope_form, every_sample_at_its_minimum
from .envelopes import EnvelopeEnergy
from .objectives import EquilibratedEnergy, Objective
from .second_order import SecondOrderForm, second_order_form
from .spectrum import DENSE_LIMIT, extreme_eigenvalues

__all__ = ["KINDS", "CriticalPoint", "classify_critical_point", "infimum", "non_strict_saddle"]

KINDS = ("global minimum", "strict saddle", "local minimum", "degenerate", "not critical")


@dataclass(frozen=True, eq=False, repr=False)
class CriticalPoint:
    r"""A point of weight space and what its first and second derivatives say about it.

    Attributes
    ----------
    kind : "global minimum", "strict saddle", "local minimum", "degenerate" or "not critical"
        "strict saddle": the Hessian has a negative eigenvalue (this includes maxima). "local minimum": it is
        positive definite, for :math:`F^*` across the manifold of critical points through the point.
        "degenerate": second derivatives do not decide.
    value : float
    gradient_norm : float
        Relative to the scale of the data.
    min_curvature : float
        Smallest eigenvalue of the Hessian.
    index : int or None
        Number of negative eigenvalues; None above `pctheory.landscape.spectrum.DENSE_LIMIT` weights.
    form : SecondOrderForm or None
        Of :math:`F^*` away from a global minimum: the case of the theorem and the form that decided, at its
        least value.
    escape : EscapeDirection or None
        A verified direction of negative curvature of a strict saddle.
    net : LinearPCN
    """

    kind: str
    value: float
    gradient_norm: float
    min_curvature: float
    index: int | None
    form: SecondOrderForm | None
    escape: EscapeDirection | None
    net: LinearPCN

    def _repr_html_(self) -> str:
        facts: dict[str, object] = {
            "value": f"{self.value:.6g}",
            "norm of the gradient, relative": f"{self.gradient_norm:.1e}",
            "smallest curvature": f"{self.min_curvature:.6g}",
            "negative eigenvalues": "not counted" if self.index is None else self.index,
            "network": self.net,
        }
        if self.form is not None:
            facts["case of the theorem"] = f"{self.form.case}, least value of its form {self.form.value:.6g}"
        if self.escape is not None:
            facts["way out"] = f"case {self.escape.case}"
            facts["its curvature"] = (
                f"{self.escape.curvature:.6g} by a Hessian-vector product, {self.escape.predicted:.6g} by "
                "the closed form"
            )
        return _html.card(f"Critical point: {self.kind}", facts)

    def __repr__(self) -> str:
        parts = [f"value {self.value:.6g}", f"|gradient| {self.gradient_norm:.1e}"]
        parts.append(f"smallest curvature {self.min_curvature:.4g}")
        if self.index is not None:
            parts.append(f"index {self.index}")
        if self.form is not None:
            parts.append(f"case {self.form.case}, form {self.form.value:.4g}")
        elif self.escape is not None:
            parts.append(f"escape along an {self.escape.case}")
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
    objective : Objective
        The function of the weights, f.
    net : LinearPCN
        The point.
    gradient_tolerance : float
        Largest norm of the gradient of a critical point, relative to the scale of the data: the gradient is
        taken in weights of size :math:`|y|/|x|` (first layer) and 1 (the others), and over :math:`\langle
        |y|^2 \rangle`.
    curvature_tolerance : float, optional
        Values of the form of :math:`F^*`, or eigenvalues of other objectives, below this part of their scale
        count as 0. By default the square root of the gradient's norm: near a degenerate point the gradient is
        the square of the distance, and curvatures err by the distance.

    Returns
    -------
    CriticalPoint

    Notes
    -----
    Claims ``critical-points``, ``second-order-classification``, ``cross-entropy-landscape`` and
    ``convex-loss-landscape``. Whether a point of :math:`F^*` is strict is decided by the theorem's case and
    form, see `pctheory.landscape.second_order_form` and, for other convex output losses,
    `pctheory.landscape.envelope_form`; that of other objectives by the eigenvalues of the Hessian. A global
    minimum is recognised by its value, see `infimum`, and with a convex output loss also where every sample
    is at the minimum of its loss; of objectives without a known infimum minima are "local minimum" or
    "degenerate". With fixed entries or units that carry a value, and of `EquilibratedEnergy` with biases
    (give it as ``EnvelopeEnergy(data, "mse")``, or centre the data), it is the eigenvalues that decide.

    Examples
    --------
    >>> from pctheory import MSELoss
    >>> data = Data([[1.0], [-1.0]], [[-2.0], [2.0]])
    >>> classify_critical_point(EquilibratedEnergy(data), LinearPCN.zeros((1, 1, 1, 1)))
    CriticalPoint(strict saddle: value 2, |gradient| 0.0e+00, smallest curvature -4, index 1, case i, form -4)
    >>> classify_critical_point(MSELoss(data), LinearPCN.zeros((1, 1, 1, 1))).kind
    'degenerate'
    """
    _check.instance(objective, "objective", Objective)
    net = objective.coordinates(net)
    limit = _check.positive(gradient_tolerance, "gradient_tolerance")
    value, gradient = objective.value_and_gradient(net)
    units = Units.of(objective, net)
    norm = float(np.linalg.norm(units.gradient(flat(net, gradient))))
    zero = np.sqrt(norm) + 1e-9
    if curvature_tolerance is not None:
        zero = _check.non_negative(curvature_tolerance, "curvature_tolerance")
    spectrum = _spectrum(objective, net, units)
    kind, form, escape = "degenerate", None, None
    if not norm <= limit:
        kind = "not critical"
    elif _has_form(objective, net):
        if _is_infimum(objective, net, float(value), norm):
            kind = "global minimum"
        else:
            form = _form(objective, net, limit)
            if form.curvature < 0 and (form.value < -zero * form.scale or form.case in ("i", "ii")):
                kind, escape = "strict saddle", _way_out(objective, net, limit, form)
            elif form.value > zero * form.scale:
                kind = "local minimum"
    elif spectrum.ends[0] < -zero * spectrum.size:
        kind, escape = "strict saddle", _along(objective, net, spectrum)
    elif _is_infimum(objective, net, float(value), norm):
        kind = "global minimum"
    elif spectrum.ends[0] > zero * spectrum.size:
        kind = "local minimum"
    return CriticalPoint(kind, float(value), norm, spectrum.smallest, spectrum.index(zero), form, escape, net)


def infimum(objective: Objective, net: LinearPCN) -> float | None:
    r"""The greatest lower bound of an objective over all weights of networks of these widths.

    Of the loss: the residual of the best linear map of rank min n_l. Of :math:`F^*` with L >= 2:
    :math:`\frac12 \sum_{j > n_{L-1}} \lambda_j(\Pi_L^{1/2} S_{yy} \Pi_L^{1/2})`, the least that n_{L-1} units
    can leave of y (claim ``no-minimiser-with-noise``). None where it is not known. It does not account
    for multipliers that are zero.

    Returns
    -------
    float or None
        The bound, or None.

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
    r"""A critical point of :math:`F^*` whose Hessian is exactly zero: the hypotheses of ``strict-saddles``
    are needed.

    L = 2, one unit a layer, :math:`S_{xy} = 0`, :math:`S_{xx} = S_{yy} = 1` and :math:`(w_1, w_2) = (1, 0)`.
    The energy still falls, to third order, along :math:`(w_1, w_2) = (1 - d, \sqrt d)`.

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


@dataclass(frozen=True, eq=False)
class _Spectrum:
    """The ends of the Hessian: as it is, and in units in which its eigenvalues can be compared with 1."""

    smallest: float
    lowest: np.ndarray
    values: np.ndarray | None  # all eigenvalues in the units, ascending
    ends: tuple[float, float]

    @property
    def size(self) -> float:
        return max(abs(self.ends[0]), abs(self.ends[1]))

    def index(self, zero: float) -> int | None:
        return None if self.values is None else int(np.sum(self.values < -zero * self.size))


def _spectrum(objective: Objective, net: LinearPCN, units: Units) -> _Spectrum:
    if net.num_weights <= DENSE_LIMIT:
        hessian = np.asarray(objective.hessian(net))
        own, vectors = np.linalg.eigh(hessian)
        values = np.linalg.eigvalsh(units.hessian(hessian))
        return _Spectrum(float(own[0]), vectors[:, 0], values, (float(values[0]), float(values[-1])))
    ends = extreme_eigenvalues(objective, net)
    smallest, largest = float(ends.smallest[0]), float(ends.largest[0])
    return _Spectrum(smallest, ends.smallest_vectors[0], None, (smallest, largest))


def _has_form(objective: Objective, net: LinearPCN) -> bool:
    energy = isinstance(objective, EquilibratedEnergy | EnvelopeEnergy)
    complete = energy and objective.data.observed is None
    plain = net.is_plain or (isinstance(objective, EnvelopeEnergy) and not net.fixed and not net.carries)
    return complete and plain and net.depth > 1 and 0 not in net.multipliers


def _form(objective: Objective, net: LinearPCN, limit: float) -> SecondOrderForm:
    if isinstance(objective, EnvelopeEnergy):
        return envelope_form(net, objective.data, objective.output, gradient_tolerance=limit)
    return second_order_form(net, objective.data, gradient_tolerance=limit)


def _way_out(objective: Objective, net: LinearPCN, limit: float, form: SecondOrderForm) -> EscapeDirection:
    if isinstance(objective, EnvelopeEnergy):
        return EscapeDirection(form.direction, form.curvature, form.predicted, form.case)
    return escape_direction(net, objective.data, gradient_tolerance=limit)


def _is_infimum(objective: Objective, net: LinearPCN, value: float, gradient_norm: float) -> bool:
    """Whether the value is the infimum, up to rounding and to what a gradient of this norm allows."""
    if isinstance(objective, EnvelopeEnergy) and every_sample_at_its_minimum(objective, net, gradient_norm):
        return True
    bound = infimum(objective, net)
    if bound is None:
        return False
    y = np.asarray(net.precisions[-1].whiten(np.asarray(objective.data.y)))
    square, eps = float(np.sum(y**2)) / len(y), float(np.finfo(np.float64).eps)
    return value - bound <= 64 * eps * (value + bound) + (gradient_norm + FIT_TOLERANCE**2) * square


def _along(objective: Objective, net: LinearPCN, spectrum: _Spectrum) -> EscapeDirection:
    product = np.asarray(objective.hvp(net, spectrum.lowest))
    curvature = float(spectrum.lowest @ product)
    return EscapeDirection(net.split(spectrum.lowest), curvature, spectrum.smallest, "eigenvector")
