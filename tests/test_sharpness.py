"""The sharpness at a perfect fit: the kernel's spectrum, the two bounds, and descent on both sides of the
largest rate.
"""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import networks, seeds
from tolerances import assert_close

from pctheory import (
    Data,
    EquilibratedEnergy,
    LinearPCN,
    MSELoss,
    NegativeLogLikelihood,
    feedforward,
    gradient_descent,
)
from pctheory.dynamics import fit_sharpness, sharpness
from pctheory.dynamics.kernels import tangent_kernel
from pctheory.landscape import gauss_newton_hessian

pytestmark = pytest.mark.claim("fit-sharpness")
OBJECTIVES = (EquilibratedEnergy, MSELoss)


def fitted(net, samples, rng):
    """Data that the network fits: R = 0."""
    x = rng.standard_normal((samples, net.widths[0]))
    return Data(x, feedforward(net, x)[-1])


@given(networks(min_depth=1), st.integers(1, 6), seeds)
def test_at_a_fit_the_sharpness_is_the_top_of_the_dense_hessian_and_between_the_bounds(net, samples, seed):
    data = fitted(net, samples, np.random.default_rng(seed))
    for rule in OBJECTIVES:
        objective = rule(data)
        dense = np.linalg.eigvalsh(gauss_newton_hessian(objective, net))
        found = fit_sharpness(objective, net)
        assert_close(found.sharpness, dense[-1], size=net.num_weights, kappa=1e3)
        slack = 1e-10 * found.upper
        assert found.lower - slack <= found.sharpness <= found.upper + slack
        if rule is EquilibratedEnergy:
            largest = max(np.linalg.eigvalsh(p.matrix(np.eye(p.size)))[-1] for p in net.precisions)
            assert found.normalisation <= largest * (1 + 1e-10)


@given(networks(min_depth=2, precisions=False), seeds)
def test_at_unit_precisions_the_energys_kernel_is_normalised_whatever_the_backward_gains(net, seed):
    data = fitted(net, 4, np.random.default_rng(seed))
    found = fit_sharpness(EquilibratedEnergy(data), net)
    assert math.isclose(found.normalisation, 1, rel_tol=1e-10)
    top = max(
        a**2 * np.linalg.eigvalsh(z.T @ z / len(z))[-1]
        for a, z in zip(net.multipliers, feedforward(net, data.x), strict=False)
    )
    assert math.isclose(found.upper, top, rel_tol=1e-9)


def test_the_whole_non_zero_spectrum_is_that_of_the_kernel():
    rng = np.random.default_rng(0)
    net = LinearPCN.random((3, 4, 4, 2), skips=True, rng=rng)
    data = fitted(net, 5, rng)
    for rule in OBJECTIVES:
        factors = tangent_kernel(net, data, "energy" if rule is EquilibratedEnergy else "loss")
        kernel = np.linalg.eigvalsh(sum(map(np.kron, factors.outer, factors.grams)))
        hessian = np.linalg.eigvalsh(np.asarray(rule(data).hessian(net)))
        np.testing.assert_allclose(hessian[-len(kernel) :], kernel, atol=1e-12 * kernel[-1])
        np.testing.assert_allclose(hessian[: -len(kernel)], 0, atol=1e-12 * kernel[-1])


@pytest.mark.parametrize("depth", [1, 3, 7])
def test_both_bounds_are_attained_where_the_layers_share_their_input_covariance(depth):
    rng = np.random.default_rng(depth)
    net = LinearPCN([np.linalg.qr(rng.standard_normal((4, 4)))[0] for _ in range(depth)])
    data = Data(2 * np.eye(4), 2 * np.eye(4) @ np.linalg.multi_dot([np.eye(4), *net.weights[::-1]]).T)
    found = fit_sharpness(EquilibratedEnergy(data), net)
    np.testing.assert_allclose([found.lower, found.sharpness, found.upper], 1, rtol=1e-12)
    assert math.isclose(fit_sharpness(MSELoss(data), net).sharpness, depth, rel_tol=1e-12)


@pytest.mark.parametrize("gain", [0.3, 1.0, 3.0])
def test_the_loss_has_no_such_bound(gain):
    """Backward gains multiply the sharpness of the loss and not that of the energy."""
    net = LinearPCN([[[1.0]], [[gain]], [[gain]], [[gain]], [[gain]]])
    data = Data([[1.0]], [[gain**4]])
    energy, loss = fit_sharpness(EquilibratedEnergy(data), net), fit_sharpness(MSELoss(data), net)
    assert math.isclose(energy.upper, max(1.0, gain**6), rel_tol=1e-12)
    assert energy.sharpness <= energy.upper
    total = sum(gain ** (2 * j) for j in range(5))
    assert math.isclose(loss.sharpness / energy.sharpness, total, rel_tol=1e-12)


def test_where_a_residual_is_left_the_bound_fails():
    """Its hypothesis: the same weights and inputs, other targets."""
    net = LinearPCN([[[0.5]], [[0.5]]])
    data = Data([[1.0]], [[20.0]])
    found = fit_sharpness(EquilibratedEnergy(data), net)
    hessian = np.linalg.eigvalsh(np.asarray(EquilibratedEnergy(data).hessian(net)))
    assert hessian[-1] > 2 * found.upper


@pytest.mark.parametrize("rule", OBJECTIVES)
@pytest.mark.parametrize("gain", [0.7, 1.0, 1.3])
@pytest.mark.parametrize("depth", [2, 4, 8])
def test_descent_converges_below_the_largest_rate_and_diverges_above(depth, gain, rule):
    rng = np.random.default_rng(depth)
    weights = [gain * np.linalg.qr(rng.standard_normal((3, 3)))[0] for _ in range(depth)]
    net = LinearPCN(weights)
    data = fitted(net, 6, rng)
    objective = rule(data)
    rate = fit_sharpness(objective, net).largest_rate
    _, vectors = np.linalg.eigh(np.asarray(objective.hessian(net)))
    start = net.unflatten(net.flatten() + 1e-7 * vectors[:, -1])
    first = objective.value(start)
    ends = {part: gradient_descent(objective, start, part * rate, 150, record=150) for part in (0.98, 1.02)}
    assert ends[0.98].values()[-1] < 1e-2 * first
    assert ends[1.02].values()[-1] > 1e2 * first


def test_lanczos_finds_what_the_dense_kernel_holds(monkeypatch):
    rng = np.random.default_rng(1)
    net = LinearPCN.random((6, 7, 7, 5), rng=rng)
    objective = EquilibratedEnergy(fitted(net, 9, rng))
    dense = fit_sharpness(objective, net).sharpness
    monkeypatch.setattr(sharpness, "DENSE_LIMIT", 0)
    assert math.isclose(fit_sharpness(objective, net).sharpness, dense, rel_tol=1e-10)


def test_the_likelihood_is_refused_and_weights_of_zero_have_no_largest_rate():
    data = Data([[1.0]], [[0.0]])
    with pytest.raises(TypeError, match="`objective` must be an EquilibratedEnergy or an MSELoss"):
        fit_sharpness(NegativeLogLikelihood(data), LinearPCN.zeros((1, 1, 1)))
    assert fit_sharpness(EquilibratedEnergy(data), LinearPCN.zeros((1, 1, 1, 1))).largest_rate == math.inf
