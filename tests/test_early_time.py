"""Few small steps of inference: the leading term exactly, what is left of it, and how far it reaches in each
arithmetic.
"""

import math

import numpy as np
import pytest
from numpy.polynomial import polynomial

from pctheory import Data, LinearPCN, feedforward
from pctheory.inference import early_reach, early_scales

pytestmark = pytest.mark.claim("early-pc-is-scale-free-bp")


def problem(depth, width=6, seed=0):
    rng = np.random.default_rng(seed)
    net = LinearPCN.random((4, *[width] * (depth - 1), 3), init="orthogonal", rng=rng)
    return net, Data(rng.standard_normal((5, 4)), rng.standard_normal((5, 3)))


def backprop(net, data):
    """Errors that backpropagation sends to layers 1..L, and its gradients."""
    passes = feedforward(net, data.x)
    sent = [data.y - passes[-1]]
    for matrix in net.maps[:0:-1]:
        sent.insert(0, sent[0] @ matrix)
    return sent, [-e.T @ z for e, z in zip(sent, passes, strict=False)], passes


def displaced(net, data, step, num_steps):
    """Errors and gradients of descent on the displacements d = z - zhat: nothing cancels in them."""
    passes, maps = feedforward(net, data.x), net.maps
    d = [np.zeros_like(z) for z in passes]
    d[-1] = data.y - passes[-1]
    for _ in range(num_steps):
        errors = [b - a @ m.T for a, b, m in zip(d, d[1:], maps, strict=False)]
        slope = [errors[l] - errors[l + 1] @ maps[l + 1] for l in range(net.depth - 1)]
        d = [d[0], *(v - step * s for v, s in zip(d[1:-1], slope, strict=True)), d[-1]]
    errors = [b - a @ m.T for a, b, m in zip(d, d[1:], maps, strict=False)]
    return errors, [-e.T @ (z + v) for e, z, v in zip(errors, passes, d, strict=False)]


def cosine(a, b):
    return float(np.vdot(a, b) / np.linalg.norm(a) / np.linalg.norm(b))


def test_the_leading_coefficient_is_exact():
    """A chain of integer weights, in polynomials of the step with integer coefficients."""
    weights, residual, steps = [2, 3, -1, 2, 5], 7, 6
    depth = len(weights)
    d = [np.array([0], dtype=object)] * depth + [np.array([residual], dtype=object)]
    for _ in range(steps):
        errors = [polynomial.polysub(d[l + 1], weights[l] * d[l]) for l in range(depth)]
        slope = [polynomial.polysub(errors[l], weights[l + 1] * errors[l + 1]) for l in range(depth - 1)]
        d = [d[0], *(polynomial.polysub(d[l + 1], [0, *slope[l]]) for l in range(depth - 1)), d[-1]]
    for l in range(1, depth):
        k = depth - l
        error = polynomial.polysub(d[l], weights[l - 1] * d[l - 1])
        expected = math.comb(steps, k) * math.prod(weights[l:]) * residual
        assert list(error[:k]) == [0] * k
        assert error[k] == expected


def test_the_scales_are_binomials():
    exact = [math.comb(20, k) * 0.01**k for k in range(12)][::-1]
    np.testing.assert_allclose(early_scales(12, 0.01, 20), exact, rtol=1e-12)
    assert list(early_scales(6, 0.3, 2)[:3]) == [0, 0, 0]


@pytest.mark.parametrize("steps", [11, 25])
def test_each_layer_has_the_error_and_gradient_of_backprop_at_its_scale(steps):
    net, data = problem(12)
    sent, slopes, _ = backprop(net, data)
    worst = []
    for step in (1e-4, 1e-5):
        errors, gradients = displaced(net, data, step, steps)
        scales = early_scales(12, step, steps)
        off = [
            np.linalg.norm(found / scale - wanted) / np.linalg.norm(wanted)
            for pair in ((errors, sent), (gradients, slopes))
            for found, wanted, scale in zip(*pair, scales, strict=True)
        ]
        worst.append(max(off))
        assert all(cosine(a, b) > 1 - (4 * step * steps) ** 2 for a, b in zip(gradients, slopes, strict=True))
    assert worst[0] < 4 * 1e-4 * steps
    assert worst[0] / worst[1] == pytest.approx(10, rel=0.05)  # O(gT)


def test_an_update_that_ignores_the_scale_is_that_of_backprop():
    net, data = problem(30)
    _, slopes, _ = backprop(net, data)
    _, gradients = displaced(net, data, 1e-3, 30)
    assert np.linalg.norm(gradients[0]) < 1e-80 * np.linalg.norm(slopes[0])
    for found, wanted in zip(gradients, slopes, strict=True):
        assert np.mean(np.sign(found) == np.sign(wanted)) > 0.9
        assert cosine(found, wanted) > 0.99


def test_steps_that_are_not_small_have_other_directions():
    net, data = problem(30)
    _, slopes, _ = backprop(net, data)
    _, gradients = displaced(net, data, 0.4, 60)
    assert min(cosine(a, b) for a, b in zip(gradients, slopes, strict=True)) < 0.9


def test_layers_that_the_light_cone_has_not_reached_have_no_gradient():
    net, data = problem(9)
    errors, _ = displaced(net, data, 0.01, 4)
    scales = early_scales(9, 0.01, 4)
    for error, scale in zip(errors, scales, strict=True):
        assert (np.abs(error).max() == 0) == (scale == 0)
    assert early_reach(net, data, 0.01, 4) == 4


def rounded(net, data, step, num_steps, dtype):
    """Gradients of descent on activities in an arithmetic, errors as differences of them."""
    maps = [m.astype(dtype) for m in net.maps]
    z = [data.x.astype(dtype)]
    for m in maps:
        z.append(z[-1] @ m.T)
    z[-1] = data.y.astype(dtype)
    g = dtype(step)

    def errors():
        return [b - a @ m.T for a, b, m in zip(z, z[1:], maps, strict=False)]

    for _ in range(num_steps):
        e = errors()
        z = [z[0], *(z[l + 1] - g * (e[l] - e[l + 1] @ maps[l + 1]) for l in range(net.depth - 1)), z[-1]]
    return [-(e.T @ v).astype(float) for e, v in zip(errors(), z, strict=False)]


@pytest.mark.parametrize(
    ("dtype", "roundoff"), [(np.float16, 4.9e-4), (np.float32, 6e-8), (np.float64, 1.1e-16)]
)
@pytest.mark.parametrize("step", [1e-3, 1e-2])
def test_the_reach_in_an_arithmetic_is_that_of_the_scale_above_its_rounding(dtype, roundoff, step):
    net, data = problem(24, width=32)
    _, slopes, _ = backprop(net, data)
    found = rounded(net, data, step, 24, dtype)
    reached = 0
    for gradient, wanted in zip(found[-2::-1], slopes[-2::-1], strict=True):
        if not np.linalg.norm(gradient) > 0 or cosine(gradient, wanted) < 0.7:
            break
        reached += 1
    assert abs(reached - early_reach(net, data, step, 24, roundoff=roundoff)) <= 1
    assert early_reach(net, data, step, 24) == 23


@pytest.mark.parametrize("epsilon", [1e-4, 1e-8, 1e-16])
def test_the_reach_under_adam_is_that_of_the_scale_above_its_epsilon(epsilon):
    net, data = problem(24, width=32)
    _, gradients = displaced(net, data, 1e-2, 24)
    share = []
    for gradient in gradients:
        mean = gradient / data.num_samples
        share.append(np.sqrt(np.mean((mean / (np.abs(mean) + epsilon)) ** 2)))  # Adam's first update
    reached = int(np.argmin([s > 0.4 for s in [*share[-2::-1], 0.0]]))
    assert abs(reached - early_reach(net, data, 1e-2, 24, adam_epsilon=epsilon)) <= 1


def test_only_unit_precisions_are_taken():
    net, data = problem(3)
    with pytest.raises(ValueError, match="`net` must have unit precisions"):
        early_reach(net.replace(precisions=[2.0, 1.0, 1.0]), data, 0.1, 3)
    with pytest.raises(ValueError, match="`step`"):
        early_scales(3, -0.1, 3)
