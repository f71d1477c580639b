r"""The equilibrium of inference: products, the rescaling S, errors, activities and the equilibrated energy.

Claims ``equilibrium-errors``, ``equilibrated-energy``, ``envelope-gradient``, ``gradient-decomposition``,
``hessian-determinant``. With :math:`P_l = A_L \cdots A_{l+1}`, :math:`\Sigma_l = \Pi_l^{-1}`, :math:`r = y -
P_0 x`:

.. math:: S = \sum_{l=1}^{L} P_l \Sigma_l P_l^T, \qquad \Pi_l \epsilon_l^* = P_l^T S^{-1} r, \qquad
          F^* = \frac{1}{2B} \sum_i r_i^T S^{-1} r_i .

Let :math:`C_l C_l^T = \Pi_l` and stack :math:`G = [P_1 C_1^{-T}, \dots, P_L C_L^{-T}]`, so that :math:`S = G
G^T`. The whitened errors :math:`w_l = C_l^T \epsilon_l` of smallest norm with :math:`G w = r` are the
equilibrium: a QR factorisation :math:`G^T = Q R` gives :math:`w = Q R^{-T} r` without ever forming S, whose
condition is the square of G's.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from array_api_compat import array_namespace, device

from .. import _check
from .._check import Array
from ..linalg import BlockTridiagonal
from ..model import Data, LinearPCN
from ..model.definitions import (
    data_rows,
    energies_of,
    errors_of,
    forward_pass,
    hessian_blocks,
    linear_term,
    local_rule,
)

__all__ = [
    "Equilibrium",
    "equilibrium",
    "gradient_decomposition",
    "input_products",
    "noise_covariances",
    "output_products",
    "rescaling",
]

METHODS = ("auto", "sweep", "elimination")

CLOSURE_BOUND = 1e4
"""Largest mismatch of z_L and y, in units of eps times their scale, at which the sweep is trusted.

The forward sweep carries rounding errors to the output with the same amplification with which it carries them
to the hidden activities, so the mismatch there is a free estimate of the error everywhere.
"""


def output_products(net: LinearPCN) -> tuple[Array, ...]:
    r"""Products :math:`P_l = A_L \cdots A_{l+1}`; :math:`P_L = I`, and :math:`P_0` is the map of the whole network.

    Returns
    -------
    products : tuple of (n_L, n_l), l = 0..L

    Examples
    --------
    >>> [p.item() for p in output_products(LinearPCN([[[2.0]], [[3.0]]]))]
    [6.0, 3.0, 1.0]
    """
    _check.instance(net, "net", LinearPCN)
    products = hidden_products(net)
    return (products[0] @ net.maps[0], *products)


def input_products(net: LinearPCN) -> tuple[Array, ...]:
    r"""Products :math:`Q_l = A_l \cdots A_1`; :math:`Q_0 = I`.

    Returns
    -------
    products : tuple of (n_l, n_0), l = 0..L

    Examples
    --------
    >>> [q.item() for q in input_products(LinearPCN([[[2.0]], [[3.0]]]))]
    [1.0, 2.0, 6.0]
    """
    maps = _check.instance(net, "net", LinearPCN).maps
    first, xp = maps[0], array_namespace(*maps)
    products = [xp.eye(first.shape[1], dtype=first.dtype, device=device(first))]
    for matrix in maps:
        products.append(matrix @ products[-1])
    return tuple(products)


def noise_covariances(net: LinearPCN) -> tuple[Array, ...]:
    r"""Covariances of the layers given the input: :math:`M_l = \Sigma_l + A_l M_{l-1} A_l^T`, :math:`M_0 = 0`.

    By claim ``gaussian-marginal``, :math:`z_l | x \sim N(Q_l x, M_l)`; :math:`M_L = S`.

    Returns
    -------
    covariances : tuple of (n_l, n_l), l = 1..L

    Examples
    --------
    >>> [m.item() for m in noise_covariances(LinearPCN([[[2.0]], [[3.0]]]))]  # 1 and 1 + w_2^2
    [1.0, 10.0]
    """
    maps = _check.instance(net, "net", LinearPCN).maps
    covariances = [net.precisions[0].covariance(maps[0])]
    for matrix, precision in zip(maps[1:], net.precisions[1:], strict=True):
        covariances.append(precision.covariance(matrix) + matrix @ covariances[-1] @ matrix.T)
    return tuple(covariances)


def rescaling(net: LinearPCN) -> Array:
    r"""The rescaling :math:`S = \sum_{l=1}^{L} P_l \Sigma_l P_l^T`, (n_L, n_L), symmetric positive definite.

    It is the covariance of y given x, and does not depend on :math:`A_1`. Computed from the products
    :math:`P_l` or by the recursion of `noise_covariances`, whichever costs less. Source: Innocenti et al.
    2024 (arXiv:2408.11979), Theorem 1.

    Returns
    -------
    S : (n_L, n_L)

    Raises
    ------
    ValueError
        If the products of the maps overflow the floating-point range.

    Notes
    -----
    Claim ``hessian-determinant``: the Hessian of inference has :math:`\det H = \det S \prod_l \det \Pi_l`.

    Examples
    --------
    >>> float(rescaling(LinearPCN([[[2.0]], [[3.0]]]))[0, 0])  # 1 + w_2^2
    10.0
    """
    _check.instance(net, "net", LinearPCN)
    if _forward_is_cheaper(net):
        result = noise_covariances(net)[-1]
        result = (result + result.T) / 2
    else:
        stack = whitened_stack(net, hidden_products(net))
        result = stack.T @ stack
    return _representable(result, "S")


@dataclass(frozen=True, eq=False, repr=False)
class Equilibrium:
    r"""The minimum of the energy over the hidden activities, input and output clamped.

    Attributes
    ----------
    activities : (z_0, ..., z_L), each (B, n_l)
        :math:`z^*`, with z_0 = x and z_L = y.
    errors : L arrays (B, n_l), l = 1..L
        :math:`\epsilon_l^* = \Sigma_l P_l^T S^{-1} r`.
    energy : scalar
        :math:`F^*`.
    method : "sweep" or "elimination"
        How it was computed.
    closure : float
        Mismatch of z_L and y in the forward sweep, relative to their scale: an estimate of the relative error
        of the activities. 0 for the elimination, which has no sweep.
    rescaling : (n_L, n_L)
        :math:`S`, computed when first asked for.
    residual : (B, n_L)
        :math:`r = y - P_0 x`, computed when first asked for.
    """

    activities: tuple[Array, ...]
    errors: tuple[Array, ...]
    energy: Array
    method: str
    closure: float
    net: LinearPCN
    data: Data

    @cached_property
    def rescaling(self) -> Array:
        """S, (n_L, n_L)."""
        return rescaling(self.net)

    @cached_property
    def residual(self) -> Array:
        """R = y - P_0 x, (B, n_L)."""
        return _representable(self.activities[-1] - forward_pass(self.net, self.activities[0])[-1], "r")

    def weight_gradient(self) -> tuple[Array, ...]:
        r"""The gradient of :math:`F^*` in the weights, (n_l, n_{l-1}) each: the local rule at equilibrium.

        Claim ``envelope-gradient``. It uses the errors of the equilibrium, which are not differences of
        activities.
        """
        return local_rule(self.net, self.errors, self.activities)

    def __repr__(self) -> str:
        return f"Equilibrium(energy={float(self.energy):.6g}, {self.net!r}, {self.data!r})"


def equilibrium(net: LinearPCN, data: Data, *, method: str = "auto") -> Equilibrium:
    r"""The equilibrium of inference: the unique minimum of the energy in the hidden activities, in closed form.

    .. math:: \Pi_l \epsilon_l^* = P_l^T S^{-1} r, \qquad z_l^* = A_l z_{l-1}^* + \epsilon_l^*, \qquad z_0^* = x

    Parameters
    ----------
    data : Data
        x (B, n_0) and y (B, n_L), cast to the weights' dtype.
    method : "auto", "sweep" or "elimination"
        "sweep": one backward sweep of n_L rows, a QR factorisation, one forward sweep of B rows: the price of
        a forward and a backward pass. "elimination": Cholesky elimination of the block-tridiagonal H, which
        forms no products (its error grows with the condition of H instead) and is cheaper when the output is
        much wider than the hidden layers. "auto": the cheaper of the two, and the elimination if the
        activities of the sweep miss y by more than `CLOSURE_BOUND` times eps.

    Returns
    -------
    Equilibrium

    Raises
    ------
    ValueError
        If the sweep misses y and H, rounded, is no longer positive definite: its smallest eigenvalue is below
        eps times its largest, and no float64 computation of :math:`z^*` from H has a correct digit.

    Notes
    -----
    Claims ``equilibrium-errors`` and ``equilibrated-energy``. Differentiable in the weights in torch and JAX.
    Under `jax.jit` the closure has no value yet, and "auto" is decided by cost alone.

    Examples
    --------
    >>> eq = equilibrium(LinearPCN([[[2.0]], [[3.0]]]), Data([[1.0]], [[7.0]]))
    >>> [round(z.item(), 12) for z in eq.activities], round(float(eq.energy), 12)  # r = 1, S = 10
    ([1.0, 2.3, 7.0], 0.05)
    """
    _check.choice(method, "method", METHODS)
    x, y = data_rows(net, data)
    if method == "elimination" or (method == "auto" and _elimination_is_cheaper(net, x.shape[0])):
        return _by_elimination(net, data, x, y)
    result = _by_sweep(net, data, x, y)
    if method == "auto" and not result.closure <= CLOSURE_BOUND * float(
        array_namespace(x).finfo(x.dtype).eps
    ):
        return _by_elimination(net, data, x, y)
    return result


def gradient_decomposition(net: LinearPCN, data: Data) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
    r"""The two terms of the gradient of F* in the weights (claim ``gradient-decomposition``).

    .. math:: \frac{\partial F^*}{\partial W_l} = -a_l P_l^T S^{-1} \Big[ \langle r x^T \rangle Q_{l-1}^T
              + \langle r r^T \rangle S^{-1} K_{l-1}^T \Big],
              \qquad K_l = A_l K_{l-1} + \Sigma_l P_l^T, \quad K_0 = 0

    Parameters
    ----------
    data : Data

    Returns
    -------
    preconditioned : tuple of (n_l, n_{l-1})
        Backprop's gradient with its output error preconditioned by :math:`S^{-1}`.
    residual : tuple of (n_l, n_{l-1})
        Vanishes at a perfect fit; it is what leaves saddles where backprop's gradient is zero.

    Notes
    -----
    With one output the terms are :math:`\nabla \mathcal L / s` and :math:`-\mathcal L\, \nabla s / s^2` (claim
    ``scalar-gradient-split``).
    Their sum is the gradient of `EquilibratedEnergy`, which costs less. Cost: the products :math:`P_l, Q_l,
    K_l`.

    Examples
    --------
    >>> net, data = LinearPCN([[[2.0]], [[3.0]]]), Data([[1.0]], [[7.0]])  # r = 1, S = 10
    >>> [[round(g.item(), 12) for g in term] for term in gradient_decomposition(net, data)]
    [[-0.3, -0.2], [0.0, -0.03]]
    """
    x, y = data_rows(net, data)
    xp = array_namespace(x, y)
    outputs, inputs = output_products(net), input_products(net)
    r = y - x @ outputs[0].T
    size = x.shape[0]
    solved = xp.linalg.solve(rescaling(net), r.T).T  # S^{-1} r
    rx, rr = solved.T @ x / size, solved.T @ solved / size  # both preconditioned
    k = xp.zeros_like(inputs[0] @ inputs[0][:, :1] @ outputs[-1][:1, :])
    first, second = [], []
    for l, (a, matrix, precision) in enumerate(
        zip(net.multipliers, net.maps, net.precisions, strict=True), start=1
    ):
        p = outputs[l]
        first.append(-a * p.T @ rx @ inputs[l - 1].T)
        second.append(-a * p.T @ rr @ k.T)
        k = matrix @ k + precision.solve(p).T
    return tuple(first), tuple(second)


def _by_sweep(net: LinearPCN, data: Data, x: Array, y: Array) -> Equilibrium:
    xp = array_namespace(x, y)
    products, maps = hidden_products(net), net.maps
    first = x @ maps[0].T
    residual = y - first @ products[0].T
    q, r = xp.linalg.qr(whitened_stack(net, products), mode="reduced")
    root = xp.linalg.solve(r.T, residual.T)  # R^{-T} r: F* is half its squared norm
    whitened = (q @ root).T
    errors, start = [], 0
    for precision in net.precisions:
        errors.append(precision.unwhiten(whitened[:, start : start + precision.size]))
        start += precision.size
    activities = [x, first + errors[0]]
    for matrix, error in zip(maps[1:], errors[1:], strict=True):
        activities.append(activities[-1] @ matrix.T + error)
    closure = closure_mismatch(activities[-1], y, first)
    activities[-1] = y
    energy = 0.5 * xp.sum(root**2) / x.shape[0]
    return Equilibrium(tuple(activities), tuple(errors), energy, "sweep", closure, net, data)


def _by_elimination(net: LinearPCN, data: Data, x: Array, y: Array) -> Equilibrium:
    hidden: tuple[Array, ...] = ()
    if net.depth > 1:
        hessian = BlockTridiagonal.unchecked(*hessian_blocks(net))
        hidden = hessian.split_rows(hessian.cholesky().substitute(linear_term(net, x, y)))
    activities = (x, *hidden, y)
    errors = errors_of(net, activities)
    energies = energies_of(net, errors)
    energy = array_namespace(energies).sum(energies)
    return Equilibrium(activities, errors, energy, "elimination", 0.0, net, data)


def require_hidden(net: LinearPCN) -> None:
    """Refuse what is no network, and networks without a hidden layer."""
    if _check.instance(net, "net", LinearPCN).depth < 2:
        raise ValueError(
            "`net` must have a hidden layer: inference moves hidden activities. Got a network of one layer."
        )


def hidden_products(net: LinearPCN) -> list[Array]:
    """P_1, ..., P_L."""
    maps = net.maps
    last, xp = maps[-1], array_namespace(*maps)
    products = [xp.eye(last.shape[-2], dtype=last.dtype, device=device(last))]
    for matrix in reversed(maps[1:]):
        products.append(products[-1] @ matrix)
    return products[::-1]


def whitened_stack(net: LinearPCN, products: list[Array]) -> Array:
    """G^T, (n_1 + ... + n_L, n_L), with S = G G^T."""
    xp = array_namespace(*products)
    return xp.concat(
        [p.colour(product).T for p, product in zip(net.precisions, products, strict=True)], axis=0
    )


def closure_mismatch(output: Array, y: Array, first: Array) -> float:
    """Largest entry of z_L - y over the scale of the data; nan or inf when the sweep overflowed; 0 when traced."""
    xp = array_namespace(output, y)
    output, y, first = (_check.detached(a) for a in (output, y, first))
    try:
        scale = max(float(xp.max(xp.abs(y))), float(xp.max(xp.abs(first))))
        return float(xp.max(xp.abs(output - y))) / scale if scale else 0.0
    except (TypeError, RuntimeError):
        return 0.0


def _sizes(net: LinearPCN) -> tuple[tuple[int, ...], int]:
    return net.widths[1:], net.widths[-1]


def _sweep_cost(net: LinearPCN) -> int:
    """Multiply-adds of P_1..P_L and of the QR factorisation of G^T."""
    sizes, outputs = _sizes(net)
    return sum(outputs * a * b for a, b in pairwise(sizes)) + 2 * outputs**2 * sum(sizes)


def _elimination_is_cheaper(net: LinearPCN, batch: int) -> bool:
    """Compare `_sweep_cost` with forming H and factoring it; the forward work in the batch is about the same."""
    sizes, _ = _sizes(net)
    form = sum(b * a * a for a, b in pairwise(sizes))
    factor = sum(n**3 // 3 for n in sizes[:-1]) + sum(b * a * (a + b) for a, b in pairwise(sizes[:-1]))
    solve = batch * sum(n * n for n in sizes[:-1])
    return form + factor + solve < _sweep_cost(net)


def _forward_is_cheaper(net: LinearPCN) -> bool:
    sizes, outputs = _sizes(net)
    forward = sum(b * a * (a + b) for a, b in pairwise(sizes))
    backward = sum(outputs * a * b for a, b in pairwise(sizes)) + outputs**2 * sum(sizes)
    return forward < backward


def _representable(array: Array, name: str) -> Array:
    xp = array_namespace(array)
    try:
        ok = bool(xp.all(xp.isfinite(array)))
    except (TypeError, RuntimeError):
        return array
    if not ok:
        raise ValueError(
            f"The products of the maps must stay within the floating-point range, or `{name}` is not a number. "
            f"Got an overflow of {array.dtype}: `equilibrium` still finds the activities, the errors and the energy."
        )
    return array
