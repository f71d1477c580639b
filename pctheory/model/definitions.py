r"""Definitions: the feedforward pass, the energy F(z), its gradients and Hessian, the loss.

Activities are a tuple :math:`(z_0, \dots, z_L)`, each (B, n_l), whose rows are samples. Energies are means
over the batch with the factor 1/2:

.. math:: F(z) = \frac{1}{2B} \sum_{i=1}^{B} \sum_{l=1}^{L} \epsilon_l^T \Pi_l \epsilon_l,
          \qquad \epsilon_l = z_l - A_l z_{l-1} - b_l.

Each formula is in a function that does not check its arguments, for loops and for callers that have better
errors than the differences of activities: `errors_of`, `energies_of`, `slope_of`, `local_rule`,
`weight_rule`, `forward_pass`. The public functions check, and call these.
"""

from __future__ import annotations

from collections.abc import Sequence

from array_api_compat import array_namespace, device

from .. import _check
from .._check import Array
from ..linalg import BlockTridiagonal
from .data import Data
from .network import LEARNED, LinearPCN

__all__ = [
    "activity_gradient",
    "activity_hessian",
    "activity_linear_term",
    "energy",
    "feedforward",
    "layer_energies",
    "loss",
    "prediction_errors",
    "weight_gradient",
]


def feedforward(net: LinearPCN, x: Array) -> tuple[Array, ...]:
    r"""Activities without prediction error: :math:`\hat z_l = A_l \hat z_{l-1} + b_l`, :math:`\hat z_0 = x`.

    Parameters
    ----------
    net : LinearPCN
        The network.
    x : (B, n_0)
        Inputs, one sample a row.

    Returns
    -------
    activities : tuple of (B, n_l), l = 0..L

    Examples
    --------
    >>> [z.item() for z in feedforward(LinearPCN([[[2.0]], [[3.0]]]), [[1.0]])]
    [1.0, 2.0, 6.0]
    """
    return forward_pass(net, input_rows(net, x))


def prediction_errors(net: LinearPCN, activities: Sequence[Array]) -> tuple[Array, ...]:
    r"""Prediction errors :math:`\epsilon_l = z_l - A_l z_{l-1} - b_l`.

    Parameters
    ----------
    net : LinearPCN
        The network.
    activities : (z_0, ..., z_L), each (B, n_l)
        Activities of all layers.

    Returns
    -------
    errors : tuple of (B, n_l), l = 1..L

    Examples
    --------
    >>> net = LinearPCN([[[2.0]], [[3.0]]])
    >>> [e.item() for e in prediction_errors(net, ([[1.0]], [[2.5]], [[7.0]]))]
    [0.5, -0.5]
    """
    return errors_of(net, activity_rows(net, activities))


def layer_energies(net: LinearPCN, activities: Sequence[Array]) -> Array:
    r"""Energy of each layer, :math:`\frac{1}{2B}\sum_i \epsilon_l^T \Pi_l \epsilon_l`; they sum to F.

    Parameters
    ----------
    net : LinearPCN
        The network.
    activities : (z_0, ..., z_L), each (B, n_l)
        Activities of all layers.

    Returns
    -------
    energies : (L,), l = 1..L

    Examples
    --------
    >>> layer_energies(LinearPCN([[[2.0]], [[3.0]]]), ([[1.0]], [[2.5]], [[7.0]]))
    array([0.125, 0.125])
    """
    errors = errors_of(net, activity_rows(net, activities))
    for l, (precision, error) in enumerate(zip(net.precisions, errors, strict=True), start=1):
        precision.require_carried(error, activities[l], f"z_{l}")
    return energies_of(net, errors)


def energy(net: LinearPCN, activities: Sequence[Array]) -> Array:
    r"""The energy :math:`F(z) = \frac{1}{2B}\sum_i\sum_l \epsilon_l^T \Pi_l \epsilon_l` of any activities.

    Parameters
    ----------
    net : LinearPCN
        The network.
    activities : (z_0, ..., z_L), each (B, n_l)
        Activities of all layers.

    Returns
    -------
    F : scalar of the network's array library

    Examples
    --------
    >>> net = LinearPCN([[[2.0]], [[3.0]]])
    >>> float(energy(net, ([[1.0]], [[2.5]], [[7.0]])))  # errors 0.5 and -0.5
    0.25
    """
    energies = layer_energies(net, activities)
    return array_namespace(energies).sum(energies)


def activity_gradient(net: LinearPCN, activities: Sequence[Array]) -> tuple[Array, ...]:
    r"""Gradient of `energy` in the activities, with its factor 1/B.

    .. math:: \partial F / \partial z_l = \tfrac1B (\Pi_l \epsilon_l - A_{l+1}^T \Pi_{l+1} \epsilon_{l+1})

    Parameters
    ----------
    net : LinearPCN
        The network.
    activities : (z_0, ..., z_L), each (B, n_l)
        Activities of all layers.

    Returns
    -------
    gradient : tuple of (B, n_l), l = 0..L
        That of clamped layers, usually 0 and L, moves nothing. Inference with a step per sample uses B times
        this.

    Examples
    --------
    >>> net = LinearPCN([[[2.0]], [[3.0]]])
    >>> [g.item() for g in activity_gradient(net, ([[1.0]], [[2.5]], [[7.0]]))]  # errors 0.5 and -0.5
    [-1.0, 2.0, -0.5]
    """
    z = activity_rows(net, activities)
    return tuple(slope / z[0].shape[0] for slope in slope_of(net, errors_of(net, z)))


def weight_gradient(net: LinearPCN, activities: Sequence[Array]) -> tuple[Array, ...]:
    r"""Gradient of `energy` in the weights at fixed activities: the local learning rule.

    .. math:: \partial F / \partial W_l = -\frac{a_l}{B} \sum_i \Pi_l \epsilon_l z_{l-1}^T

    Parameters
    ----------
    net : LinearPCN
        The network.
    activities : (z_0, ..., z_L), each (B, n_l)
        Activities of all layers.

    Returns
    -------
    gradient : tuple of (n_l, n_{l-1}), l = 1..L
        With biases L vectors (n_l,) follow, :math:`-\frac1B \sum_i \Pi_l \epsilon_l`; 0 where an entry is
        fixed.

    Notes
    -----
    The errors are differences of the activities, and lose digits where they are small against them. At
    equilibrium `pctheory.inference.Equilibrium.weight_gradient` uses errors that are not differences.

    Examples
    --------
    >>> net = LinearPCN([[[2.0]], [[3.0]]])
    >>> [g.item() for g in weight_gradient(net, ([[1.0]], [[2.5]], [[7.0]]))]  # errors 0.5 and -0.5
    [-0.5, 1.25]
    """
    z = activity_rows(net, activities)
    return local_rule(net, errors_of(net, z), z)


def activity_hessian(net: LinearPCN) -> BlockTridiagonal:
    r"""Hessian H of one sample's energy in the hidden activities :math:`z_1, \dots, z_{L-1}`; no factor 1/B.

    .. math:: H_{ll} = \Pi_l + A_{l+1}^T \Pi_{l+1} A_{l+1}, \qquad H_{l+1,l} = -\Pi_{l+1} A_{l+1}

    Symmetric positive definite and block tridiagonal (claim ``activity-hessian``; Innocenti et al. 2025).
    With L = 1 there are no hidden activities and H is 0 x 0.

    Returns
    -------
    H : BlockTridiagonal
        L - 1 blocks, of orders n_1, ..., n_{L-1}.

    Examples
    --------
    >>> float(activity_hessian(LinearPCN([[[2.0]], [[3.0]]])).to_dense()[0, 0])  # 1 + w_2^2
    10.0
    """
    _check.instance(net, "net", LinearPCN)
    return BlockTridiagonal(*hessian_blocks(net))


def hessian_blocks(net: LinearPCN) -> tuple[list[Array], list[Array]]:
    """The diagonal and the lower blocks of `activity_hessian`."""
    _check.memory(3 * sum(n * n for n in net.widths[1:-1]), "net", "take narrower layers")
    diagonal, lower = [], []
    for l, above in enumerate(net.maps[1:], start=1):
        weighted = net.precisions[l].apply(above.T).T  # Pi_{l+1} A_{l+1}
        diagonal.append(net.precisions[l - 1].matrix(above) + above.T @ weighted)
        if l + 1 < net.depth:
            lower.append(-weighted)
    return diagonal, lower


def activity_linear_term(net: LinearPCN, data: Data) -> Array:
    r"""The vector b of :math:`H z^* = b`, H the `activity_hessian`, one row per sample.

    Block 1 holds :math:`\Pi_1 A_1 x`, block L-1 holds :math:`A_L^T \Pi_L y`; with L = 2 the two are added.

    Parameters
    ----------
    net : LinearPCN
        The network.
    data : Data
        x (B, n_0) and y (B, n_L).

    Returns
    -------
    b : (B, n_1 + ... + n_{L-1})

    Examples
    --------
    >>> activity_linear_term(LinearPCN([[[2.0]], [[3.0]]]), Data([[1.0]], [[7.0]]))  # 2 * 1 + 3 * 7
    array([[23.]])
    """
    return linear_term(net, *data_rows(net, data))


def linear_term(net: LinearPCN, x: Array, y: Array) -> Array:
    """`activity_linear_term` of checked rows."""
    xp = array_namespace(x, y)
    if net.depth == 1:
        return xp.zeros_like(x[:, :0])
    blocks = [xp.zeros((x.shape[0], n), dtype=x.dtype, device=device(x)) for n in net.widths[1:-1]]
    blocks[0] = blocks[0] + net.precisions[0].apply(net.predictors[0](x))
    blocks[-1] = blocks[-1] + net.precisions[-1].apply(y) @ net.maps[-1]
    if net.biases:
        pushed = [p.apply(b[None, :]) for p, b in zip(net.precisions, net.biases, strict=True)]
        blocks = [
            block + (pushed[l] if l else 0.0) - pushed[l + 1] @ net.maps[l + 1]
            for l, block in enumerate(blocks)
        ]
    return xp.concat(blocks, axis=1)


def loss(net: LinearPCN, data: Data) -> Array:
    r"""The loss :math:`\mathcal L = \frac{1}{2B}\sum_i |y - \hat z_L|^2_{\Pi_L}`, at the energy's scale.

    With missing targets, the least loss over the free ones: :math:`r_O^T (\Sigma_{L,OO})^{-1} r_O` of the
    observed ones.

    Parameters
    ----------
    net : LinearPCN
        The network.
    data : Data
        x (B, n_0) and y (B, n_L).

    Returns
    -------
    loss : scalar of the network's array library

    Examples
    --------
    >>> float(loss(LinearPCN([[[2.0]], [[3.0]]]), Data([[1.0]], [[7.0]])))
    0.5
    """
    x, y = any_rows(net, data)
    xp = array_namespace(x, y)
    residual = y - forward_pass(net, x)[-1]
    if data.observed is not None:
        weighted = net.precisions[-1].apply_observed(residual, data.observed)
        return 0.5 * xp.sum(residual * weighted) / x.shape[0]
    return 0.5 * xp.sum(net.precisions[-1].whiten(residual) ** 2) / x.shape[0]


def forward_pass(net: LinearPCN, x: Array) -> tuple[Array, ...]:
    """`feedforward` of checked rows."""
    activities = [x]
    for predict in net.predictors:
        activities.append(predict(activities[-1]))
    return tuple(activities)


def errors_of(net: LinearPCN, activities: Sequence[Array]) -> tuple[Array, ...]:
    """`prediction_errors` of checked activities."""
    z = activities
    return tuple(z[l] - predict(z[l - 1]) for l, predict in enumerate(net.predictors, start=1))


def energies_of(net: LinearPCN, errors: Sequence[Array]) -> Array:
    """`layer_energies` of given errors."""
    xp = array_namespace(*errors)
    whitened = [precision.whiten(error) for precision, error in zip(net.precisions, errors, strict=True)]
    return xp.stack([0.5 * xp.sum(w**2) / w.shape[0] for w in whitened])


def slope_of(net: LinearPCN, errors: Sequence[Array]) -> tuple[Array, ...]:
    """`activity_gradient` of given errors, of a sample's energy: without its factor 1/B."""
    weighted = [p.apply(e) for p, e in zip(net.precisions, errors, strict=True)]
    down = [w @ a for w, a in zip(weighted, net.maps, strict=True)]
    inner = [w - d for w, d in zip(weighted[:-1], down[1:], strict=True)]
    return (-down[0], *inner, weighted[-1])


def local_rule(net: LinearPCN, errors: Sequence[Array], activities: Sequence[Array]) -> tuple[Array, ...]:
    """`weight_gradient` of given errors and activities."""
    weighted = [p.apply(e) for p, e in zip(net.precisions, errors, strict=True)]
    return weight_rule(net, weighted, activities)


def weight_rule(net: LinearPCN, weighted: Sequence[Array], inputs: Sequence[Array]) -> tuple[Array, ...]:
    r"""The rule :math:`-a_l \langle \delta_l z_{l-1}^T \rangle`, :math:`-\langle \delta_l \rangle` for
    biases, of weighted errors :math:`\delta_l` (B, n_l), l = 1..L, and inputs :math:`z_{l-1}` of the layers.

    Returns
    -------
    update : arrays like ``net.parameters``
        In the sign of a gradient, 0 where an entry is fixed.
    """
    size = inputs[0].shape[0]
    update = [
        (-multiplier / size) * delta.T @ before
        for multiplier, delta, before in zip(net.multipliers, weighted, inputs, strict=False)
    ]
    if net.biases:
        xp = array_namespace(*weighted)
        update += [-xp.sum(delta, axis=0) / size for delta in weighted]
    return net.masked(update)


def require_plain(net: LinearPCN) -> LinearPCN:
    """A network without biases, whose entries all learn and whose units all have noise; others are refused.

    Returns
    -------
    LinearPCN
        Unchanged.

    Raises
    ------
    TypeError
        If it is no network.
    ValueError
        If it is not plain.
    """
    _check.instance(net, "net", LinearPCN)
    if net.biases:
        raise ValueError(
            "`net` must have no biases here: this formula is for networks without them. Got biases: centre "
            "the data and pass `net.without_biases()`, or make them weights from a constant input."
        )
    return require_plain_units(net)


def require_plain_units(net: LinearPCN) -> LinearPCN:
    """A network whose entries all learn and whose units all have noise; others are refused.

    Returns
    -------
    LinearPCN
        Unchanged.

    Raises
    ------
    ValueError
        If it is not such a network.
    """
    if net.fixed:
        raise ValueError(
            "`net` must learn all its entries here: this formula is for networks without fixed ones. Got "
            f"{sum(int(mask.sum()) for mask in net.fixed)} fixed entries: pass `net.all_learned()`, or use "
            "the derivatives of `EquilibratedEnergy`."
        )
    if net.learned != LEARNED:
        raise ValueError(
            "`net` must learn its weights alone here: this formula is for given precisions. Got a network "
            f"that learns its {' and '.join(net.learned)}: pass `net.all_learned()`."
        )
    if net.carries:
        raise ValueError(
            "`net` must have finite precisions here: this formula is for networks whose units all have "
            "noise. Got units of precision inf: use the derivatives of `EquilibratedEnergy`."
        )
    return net


def like_weights(net: LinearPCN, rows: Array) -> Array:
    """`rows` in the library and the dtype of the weights."""
    weight = net.weights[0]
    xp = _check.same_namespace((weight, rows), "the weights and the data")
    return rows if rows.dtype == weight.dtype else xp.astype(rows, weight.dtype)


def input_rows(net: LinearPCN, x: Array) -> Array:
    """Inputs (B, n_0), checked, in the library and the dtype of the weights."""
    _check.instance(net, "net", LinearPCN)
    rows = like_weights(net, _check.matrix(x, "x"))
    if rows.shape[1] != net.widths[0]:
        raise ValueError(f"`x` must have {net.widths[0]} columns, the width of layer 0. Got {rows.shape[1]}.")
    return rows


def data_rows(net: LinearPCN, data: Data) -> tuple[Array, Array]:
    """The rows x (B, n_0) and y (B, n_L), checked against the network, in the library and the dtype of its
    weights.

    Returns
    -------
    x, y : (B, n_0) and (B, n_L)

    Raises
    ------
    ValueError
        If the columns are not as many as the units, or a target is missing.
    """
    _check.instance(data, "data", Data)
    return any_rows(net, data.complete())


def any_rows(net: LinearPCN, data: Data) -> tuple[Array, Array]:
    """`data_rows` of data whose targets may be missing: where they are, y is 0."""
    _check.instance(net, "net", LinearPCN)
    _check.instance(data, "data", Data)
    for name, rows, width in (("x", data.x, net.widths[0]), ("y", data.y, net.widths[-1])):
        if rows.shape[1] != width:
            raise ValueError(
                f"`{name}` must have {width} columns, one for each unit of that layer. Got {rows.shape[1]}."
            )
    if net.biases and data.is_compressed:
        raise ValueError(
            "`data` must be samples for a network with biases. Got compressed rows, which lost the mean: "
            "compress data with a column of ones in x, and make the biases weights from it."
        )
    return like_weights(net, data.x), like_weights(net, data.y)


def activity_rows(net: LinearPCN, activities: Sequence[Array], name: str = "activities") -> tuple[Array, ...]:
    """Activities (z_0, ..., z_L), checked, in the library and the dtype of the weights."""
    _check.instance(net, "net", LinearPCN)
    rule = f"`{name}` must be a tuple (z_0, ..., z_{net.depth}), one per layer."
    if not isinstance(activities, list | tuple):
        raise TypeError(f"{rule} Got {type(activities).__name__}.")
    if len(activities) != net.depth + 1:
        raise ValueError(f"{rule} Got {len(activities)}.")
    result: list[Array] = []
    for l, (z, width) in enumerate(zip(activities, net.widths, strict=True)):
        array = _check.as_array(z, f"z_{l}")
        if array.ndim != 2 or array.shape[1] != width or (result and array.shape[0] != result[0].shape[0]):
            rows = result[0].shape[0] if result else "B"
            raise ValueError(f"`z_{l}` must have shape ({rows}, {width}). Got {tuple(array.shape)}.")
        result.append(like_weights(net, array))
    return tuple(result)
