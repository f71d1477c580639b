"""Paths of the learning rules through weight space, from any point."""

from __future__ import annotations

import numpy as np

from .. import _check
from ..model import Data, LinearPCN
from ..trust_region import gauss_newton_step

__all__ = ["RULES", "descents", "rule_path"]

RULES = ("bp", "pc", "gauss-newton", "trust-region")
"""Gradient descent on the loss and on F*; Gauss-Newton steps, and the same in a trust region."""

DESCENTS = ("bp", "pc")
"""The first two: both are computed at once."""

FRACTION = 0.25
"""Part of the full second-order step that is taken at a time, so that the path can be seen."""

DAMPING = 1.0
"""Of the steps in a trust region, those of Levenberg and Marquardt."""

FAR = 1e3
"""Norm of the weights at which a path ends."""


def rule_path(net: LinearPCN, data: Data, rule: str, rate: float, steps: int) -> np.ndarray:
    r"""Weights along the path of a rule.

    Parameters
    ----------
    net : LinearPCN
        The start.
    data : Data
        What the objectives are of.
    rule : "bp", "pc", "gauss-newton" or "trust-region"
        "bp" and "pc": gradient descent on the loss and on :math:`F^*`. "gauss-newton": a quarter of
        :math:`-(J^T J)^+ \nabla\mathcal L` at a time. "trust-region": a quarter of
        :math:`-(J^T J + I)^{-1} \nabla\mathcal L`.
    rate : float
        Learning rate of the descents; the second-order steps have none.
    steps : int
        How many are taken.

    Returns
    -------
    weights : (steps + 1, num_weights), or fewer rows if the path diverges

    Examples
    --------
    >>> net, data = LinearPCN([[[2.0]], [[3.0]]]), Data([[1.0]], [[7.0]])
    >>> rule_path(net, data, "bp", 0.1, 1).round(12).tolist()
    [[2.0, 3.0], [2.3, 3.2]]
    """
    _check.instance(net, "net", LinearPCN)
    _check.instance(data, "data", Data)
    _check.count(steps, "steps")
    if _check.choice(rule, "rule", RULES) in DESCENTS:
        return descents(net, data, _check.positive(rate, "rate"), steps)[DESCENTS.index(rule)]
    points = [np.asarray(net.flatten())]
    for _ in range(steps):
        step = gauss_newton_step(
            net.unflatten(points[-1]), data, damping=DAMPING if rule == "trust-region" else 0.0
        )
        points.append(points[-1] + FRACTION * np.asarray(net.join(step)))
        if not np.linalg.norm(points[-1]) < FAR:
            break
    return np.stack(points)


def descents(net: LinearPCN, data: Data, rate: float, steps: int) -> tuple[np.ndarray, np.ndarray]:
    r"""Weights along gradient descent on the loss and on :math:`F^*`, side by side as one stack.

    The loss is :math:`F^*` of a network whose hidden units have no noise. So both obey

    .. math:: \frac{\partial f}{\partial A_l} = -P_l^T t_{l-1}, \quad
              t_0 = S^{-1} \langle r x^T \rangle, \quad
              t_l = t_{l-1} A_l^T + S^{-1} \langle r r^T \rangle S^{-1} P_l \Sigma_l,

    with :math:`\Sigma_l = 0` below the output for the loss (claim ``envelope-gradient``). Only moments of the
    data occur, the maps are views into one vector, and nothing is checked: a step of both takes a tenth of a
    millisecond at ten layers.

    Parameters
    ----------
    net : LinearPCN
        The start, numpy, without biases.
    data : Data
        What the objectives are of.
    rate : float
        Learning rate.
    steps : int
        How many are taken.

    Returns
    -------
    bp, pc : (steps + 1, num_weights), or fewer rows if the path diverges

    Examples
    --------
    >>> net, data = LinearPCN([[[2.0]], [[3.0]]]), Data([[1.0]], [[7.0]])
    >>> [path[1].round(12).tolist() for path in descents(net, data, 0.1, 1)]  # F* slopes by (-.3, -.23)
    [[2.3, 3.2], [2.03, 3.023]]
    """
    whole = net.all_learned()
    learns = np.concatenate([part.ravel() for part in net.split(np.ones(net.num_weights))])
    scale = np.concatenate([np.full(w.size, a) for a, w in zip(net.multipliers, net.weights, strict=True)])
    skip = np.concatenate(
        [(t * np.eye(*w.shape)).ravel() for t, w in zip(net.skips, net.weights, strict=True)]
    )
    weights = np.tile(whole.flatten(), (len(DESCENTS), 1))
    flat, slope = np.empty_like(weights), np.empty_like(weights)
    maps, slopes = whole.split(flat), whole.split(slope)  # views
    noisy = np.array([0.0, 1.0])[:, None, None]
    hidden, last = net.precisions[:-1], np.asarray(net.precisions[-1].covariance(maps[-1][0]))
    xx, yx, yy = (np.asarray(m) for m in (data.xx, data.yx, data.yy))
    rows = np.empty((steps + 1, *weights.shape))
    taken = np.full(len(DESCENTS), steps + 1)
    for step in range(steps + 1):
        rows[step] = weights
        if step == steps:
            break
        np.add(scale * weights, skip, out=flat)
        product = np.broadcast_to(np.eye(net.widths[-1]), (len(DESCENTS), *last.shape))
        products, noise, size = [product], [], last
        for matrix, precision in zip(maps[:0:-1], hidden[::-1], strict=True):
            product = product @ matrix
            products.append(product)
            noise.append(noisy * precision.solve(product))
            size = size + noise[-1] @ product.swapaxes(1, 2)
        whole_map = product @ maps[0]
        across = yx - whole_map @ xx
        left = yy - whole_map @ yx.T
        left = left - across @ whole_map.swapaxes(1, 2)  # <r r^T>
        solved = np.linalg.solve(size, np.concatenate([across, left], axis=2))
        t, left = solved[:, :, : xx.shape[1]], solved[:, :, xx.shape[1] :]
        left = np.linalg.solve(size, left.swapaxes(1, 2))
        for matrix, out in zip(maps, slopes, strict=True):
            np.matmul(products.pop().swapaxes(1, 2), t, out=out)
            if noise:
                t = t @ matrix.swapaxes(1, 2) + left @ noise.pop()
        weights = weights + rate * (learns * scale * slope)
        lost = ~(np.sum(weights**2, axis=1) < FAR**2)
        if lost.any():
            taken = np.where(lost & (taken > steps), step + 1, taken)
            if (taken <= steps).all():
                break
            weights[taken <= steps] = rows[0, taken <= steps]  # whatever: these rows are not kept
    bp, pc = (net.join(whole.split(rows[:count, k])) for k, count in enumerate(taken))
    return np.asarray(bp), np.asarray(pc)
