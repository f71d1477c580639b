"""Slow and independent: everything from the definition of the energy, dense, without the structure the
package uses.
"""

import mpmath
import numpy as np


def dense_precisions(net):
    """Pi_l as dense matrices."""
    return [
        np.asarray(p.value) * np.eye(p.size) if np.ndim(p.value) < 2 else np.asarray(p.value)
        for p in net.precisions
    ]


def dense_maps(net):
    """A_l = a_l W_l + tau_l I, written out."""
    return [
        a * np.asarray(w) + t * np.eye(*np.shape(w))
        for w, a, t in zip(net.weights, net.multipliers, net.skips, strict=True)
    ]


def energy(net, activities):
    """F(z) by loops over samples and layers."""
    total = 0.0
    for i in range(len(activities[0])):
        for l, (matrix, precision) in enumerate(
            zip(dense_maps(net), dense_precisions(net), strict=True), start=1
        ):
            error = activities[l][i] - matrix @ activities[l - 1][i]
            total += error @ precision @ error
    return total / (2 * len(activities[0]))


def least_squares(net):
    """J, K_x, K_y with whitened errors w = J z + K_x x + K_y y for hidden z: the energy is |w|^2 / 2 per
    sample.
    """
    maps, roots = dense_maps(net), [np.linalg.cholesky(p).T for p in dense_precisions(net)]
    widths = net.widths
    rows = np.cumsum([0, *widths[1:]])
    cols = np.cumsum([0, *widths])
    full = np.zeros((rows[-1], cols[-1]))
    for l in range(1, net.depth + 1):
        block = slice(rows[l - 1], rows[l])
        full[block, cols[l] : cols[l + 1]] = roots[l - 1]
        full[block, cols[l - 1] : cols[l]] = -roots[l - 1] @ maps[l - 1]
    return full[:, cols[1] : cols[-2]], full[:, : cols[1]], full[:, cols[-2] :]


def minimise(net, data):
    """Minimise the energy over the hidden activities by dense least squares: z_hidden (B, N), F*, and the
    condition of J.
    """
    jacobian, from_x, from_y = least_squares(net)
    target = -(data.x @ from_x.T + data.y @ from_y.T)
    hidden = (
        np.linalg.lstsq(jacobian, target.T, rcond=None)[0].T
        if jacobian.shape[1]
        else np.zeros((len(data.x), 0))
    )
    rest = hidden @ jacobian.T - target
    singular = np.linalg.svd(jacobian, compute_uv=False) if jacobian.shape[1] else np.ones(1)
    return hidden, 0.5 * np.sum(rest**2) / len(rest), singular[0] / singular[-1]


def exact_equilibrium(net, data, digits=60):
    """z_hidden (B, N) and F* in arbitrary precision, from the normal equations of the definition."""
    with mpmath.workdps(digits):
        jacobian, from_x, from_y = (mpmath.matrix(m.tolist()) for m in _exact_parts(net))
        x, y = mpmath.matrix(data.x.tolist()), mpmath.matrix(data.y.tolist())
        target = -(from_x * x.T + from_y * y.T)
        normal, right = jacobian.T * jacobian, jacobian.T * target
        columns = [mpmath.lu_solve(normal, right[:, i]) for i in range(right.cols)]
        hidden = mpmath.matrix([[column[i] for column in columns] for i in range(normal.rows)])
        rest = jacobian * hidden - target
        energy = sum(v**2 for v in rest) / (2 * len(data.x))
        return np.array(hidden.T.tolist(), dtype=np.float64), float(energy)


def true_relative_errors(net, data, eq, digits):
    """Relative errors of an equilibrium in arbitrary precision: activities, whitened errors, energy.

    By the recursion of the covariances M_l, the inverse of S = M_L, and Pi_l eps_l = A_{l+1}^T Pi_{l+1}
    eps_{l+1}.
    """
    with mpmath.workdps(digits):
        maps = [mpmath.matrix(m.tolist()) for m in dense_maps(net)]
        precisions = [mpmath.matrix(p.tolist()) for p in dense_precisions(net)]
        x, y = mpmath.matrix(data.x.tolist()).T, mpmath.matrix(data.y.tolist()).T
        sigmas = [p**-1 for p in precisions]
        cov, predicted = sigmas[0], maps[0] * x
        for matrix, sigma in zip(maps[1:], sigmas[1:], strict=True):
            cov, predicted = sigma + matrix * cov * matrix.T, matrix * predicted
        pushed = [cov**-1 * (y - predicted)]
        for matrix in reversed(maps[1:]):
            pushed.insert(0, matrix.T * pushed[0])
        errors = [s * p for s, p in zip(sigmas, pushed, strict=True)]
        z = [x]
        for matrix, error in zip(maps, errors, strict=True):
            z.append(matrix * z[-1] + error)
        roots = [mpmath.cholesky(p).T for p in precisions]
        white = [c * e for c, e in zip(roots, errors, strict=True)]
        got = [mpmath.matrix(e.tolist()).T for e in eq.errors]
        moves = [c * (g - e) for c, g, e in zip(roots, got, errors, strict=True)]
        found = [mpmath.matrix(a.tolist()).T for a in eq.activities]
        energy = sum(v**2 for w in white for v in w) / (2 * x.cols)

        def largest(matrices):
            return max(abs(v) for m in matrices for v in m)

        return {
            "activities": float(largest([a - b for a, b in zip(found, z, strict=True)]) / largest(z)),
            "errors": float(largest(moves) / largest(white)),
            "energy": float(abs(mpmath.mpf(float(eq.energy)) - energy) / energy),
        }


def _exact_parts(net):
    if not all(p.is_identity for p in net.precisions):
        raise ValueError("the arbitrary-precision oracle takes identity precisions: their roots are exact")
    return least_squares(net)


def finite_difference(function, vector, step=1e-6):
    """Central differences of a scalar function, one coordinate at a time."""
    gradient = np.empty_like(vector)
    for i in range(vector.size):
        shift = np.zeros_like(vector)
        shift[i] = step
        gradient[i] = (function(vector + shift) - function(vector - shift)) / (2 * step)
    return gradient
