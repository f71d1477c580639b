"""Depth: how ill-conditioned a stable network must be, and how fast descent in the errors is."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_torch import errors_of, forward, tensors
from strategies import networks, seeds
from tolerances import EPS, assert_close

from pctheory import Data, LinearPCN, activity_hessian, condition_number, equilibrium, feedforward, rescaling
from pctheory.inference import (
    error_eigenvalues,
    error_hessian,
    error_inference_rate,
    relax_errors,
)
from pctheory.limits import condition_bound, isometric_condition_number

ILL = pytest.mark.claim("stable-is-ill-conditioned")
STEP = pytest.mark.claim("error-step-bound")


# ---- the condition number of a stable network --------------------------------------------------------------


def spread_of(matrix):
    values = np.linalg.eigvalsh(matrix)
    return values[-1] / values[0]


@ILL
@settings(max_examples=40)
@given(networks(min_depth=2), seeds)
def test_every_network_is_as_ill_conditioned_as_the_chain_of_its_signal(net, seed):
    x = np.random.default_rng(seed).standard_normal((3, net.widths[0]))
    found = condition_bound(net, x)
    kappa = spread_of(activity_hessian(net).to_dense())
    assert found.depth_bound <= found.bound * (1 + 1e-9)
    assert found.bound <= kappa * (1 + 100 * kappa * EPS)
    norms = [
        np.sum(p.whiten(z) ** 2, axis=1) for p, z in zip(net.precisions, feedforward(net, x)[1:], strict=True)
    ]
    assert_close(found.norms, np.array(norms)[:, found.sample], size=8 * net.depth, kappa=10)


@ILL
@settings(max_examples=40)
@given(networks(min_depth=2, precisions=False), seeds)
def test_the_condition_number_is_at_least_the_square_of_the_depth_for_a_stable_signal(net, seed):
    """The theorem as it is stated, from norms that are taken here."""
    x = np.random.default_rng(seed).standard_normal((1, net.widths[0]))
    norms = [float(np.sum(z**2)) for z in feedforward(net, x)[1:]]
    least, most = min(norms[:-1]), max(norms)
    values = np.linalg.eigvalsh(activity_hessian(net).to_dense())
    bound = most / least * 4 * math.sin(math.pi / (2 * net.depth)) ** 2
    assert values[0] <= bound * (1 + 1e-9) + 100 * EPS * values[-1]
    if net.depth > 1 and values[0] > 1e-9 * values[-1]:
        assert values[-1] / values[0] >= least / most * net.depth**2 / math.pi**2
    assert condition_bound(net, x).depth_bound >= least / most * net.depth**2 / math.pi**2 * (1 - 1e-12)


@ILL
@pytest.mark.parametrize("depth", [2, 3, 8, 31])
def test_orthogonal_networks_attain_the_bound(depth):
    net = LinearPCN.random((4,) * (depth + 1), init="orthogonal", rng=depth)
    found = condition_bound(net, np.eye(4))
    assert_close(found.bound, isometric_condition_number(depth), size=100 * depth)
    assert_close(condition_number(net), found.bound, size=100 * depth**2)
    assert found.depth_bound == pytest.approx(1 / (4 * math.sin(math.pi / (2 * depth)) ** 2), rel=1e-12)
    assert found.bound < 4.1 * found.depth_bound + 1


@ILL
@pytest.mark.parametrize("gain", [0.5, 2.0])
def test_a_signal_that_dies_or_explodes_leaves_inference_well_conditioned(gain):
    """Without the hypothesis the condition number need not grow with the depth."""
    for depth in (16, 64):
        net = LinearPCN([gain * np.eye(3)] * depth)
        assert condition_number(net) <= 9.0001 < depth**2 / math.pi**2
        assert condition_bound(net, np.ones((1, 3))).bound <= condition_number(net) * (1 + 1e-9)


@ILL
def test_a_wide_stable_network_is_within_a_factor_of_its_bound():
    net = LinearPCN.random((64,) * 17, parameterisation="mupc", skips=True, rng=0)
    x = np.random.default_rng(1).standard_normal((4, 64))
    found = condition_bound(net, x)
    assert 1 < condition_number(net) / found.bound < 20


@ILL
@pytest.mark.evidence("empirical")
@pytest.mark.parametrize("activation", [torch.relu, torch.nn.functional.leaky_relu], ids=["relu", "leaky"])
@pytest.mark.parametrize("depth", [4, 9])
def test_the_gauss_newton_hessian_of_homogeneous_units_obeys_it(depth, activation):
    """Of the energy of real units by autograd; with tanh, which is not homogeneous, the form is another."""
    net = LinearPCN.random((5, *[12] * (depth - 1), 3), init=math.sqrt(2 / 12), rng=depth)
    maps = tensors(net)
    x = torch.tensor(np.random.default_rng(depth).standard_normal((1, 5)))

    def compare(phi):
        z = forward(maps, x, phi)
        sizes = [v.shape[1] for v in z[1:-1]]

        def errors(flat):
            return torch.cat(errors_of(maps, [x, *torch.split(flat, sizes, dim=1), z[-1]], phi), dim=1)[0]

        hidden = torch.cat(z[1:-1], dim=1)
        slope = torch.autograd.functional.jacobian(errors, hidden)[:, 0].numpy()
        s = np.sin(np.arange(1, depth) * math.pi / depth)
        v = np.concatenate([a * layer[0].numpy() for a, layer in zip(s, z[1:-1], strict=True)])
        norms = np.array([float((layer**2).sum()) for layer in z[1:]])
        form = np.sum(np.diff([0, *s, 0]) ** 2 * norms)
        return slope.T @ slope, float(v @ slope.T @ slope @ v), form, norms

    hessian, direct, form, norms = compare(activation)
    assert direct == pytest.approx(form, rel=1e-12)
    least, most = norms[:-1].min(), norms.max()
    assert spread_of(hessian) >= least / most * depth**2 / math.pi**2
    _, direct, form, _ = compare(torch.tanh)
    assert abs(direct / form - 1) > 1e-3


def test_a_bound_needs_a_hidden_layer_and_a_signal():
    with pytest.raises(ValueError, match="`net` must have a hidden layer"):
        condition_bound(LinearPCN([[[1.0]]]), [[1.0]])
    with pytest.raises(ValueError, match="`x` must have a row whose signal reaches"):
        condition_bound(LinearPCN([[[0.0]], [[1.0]]]), [[1.0]])


# ---- descent in the errors ---------------------------------------------------------------------------------


@st.composite
def single_precision(draw):
    net = draw(networks(min_depth=2, precisions=False, max_width=4))
    pi = draw(st.floats(0.2, 20.0))
    return net.replace(precisions=[pi] * (net.depth - 1) + [1.0]), pi


@STEP
@settings(max_examples=40)
@given(single_precision())
def test_the_spectrum_in_the_errors_is_the_precision_times_that_of_the_rescaling_and_one(case):
    net, pi = case
    size, rows = sum(net.widths[1:-1]), np.linalg.eigvalsh(rescaling(net))
    products = [np.eye(net.widths[-1])]
    for matrix in net.maps[:0:-1]:
        products.insert(0, products[0] @ matrix)
    stack = np.hstack(products[:-1])  # P_1, ..., P_{L-1}
    dense = np.linalg.eigvalsh(pi * np.eye(size) + stack.T @ stack)
    rate = error_inference_rate(net, "any")
    assert_close(rate.largest, dense[-1], size=size)
    assert_close(rate.smallest, dense[0], size=size, scale=dense[-1])
    assert_close(rate.largest, pi * rows[-1], size=size)
    assert rate.stability_bound() == pytest.approx(2 / (pi * rows[-1]), rel=1e-9)
    if size > net.widths[-1]:
        assert_close(rate.smallest, pi, size=size, scale=dense[-1])
        assert rate.best_step == pytest.approx(2 / (pi * (1 + rows[-1])), rel=1e-9)
        assert_close(rate.rate, (rows[-1] - 1) / (rows[-1] + 1), size=size, scale=1.0)
    assert np.isnan(rate.residual)  # not known
    seen = error_inference_rate(net)
    if size >= net.widths[-1]:
        assert_close(seen.smallest, pi * rows[0], size=size, scale=dense[-1])
        assert_close(seen.rate, (rows[-1] - rows[0]) / (rows[-1] + rows[0]), size=size, scale=1.0)
    operator = error_hessian(net) @ np.eye(size)
    assert_close(np.linalg.eigvalsh(operator)[-1] * pi, rate.largest, size=size)


def deep(pi):
    net = LinearPCN.random((3, 5, 5, 5, 2), rng=3)
    return net.replace(precisions=[pi] * 3 + [1.0])


DATA = Data(
    np.random.default_rng(0).standard_normal((4, 3)), np.random.default_rng(1).standard_normal((4, 2))
)


def distances(net, step, num_steps, data=DATA):
    target = np.hstack(equilibrium(net, data).errors[:-1])
    return np.array([np.linalg.norm(np.hstack(e) - target) for e in relax_errors(net, data, step, num_steps)])


@STEP
@pytest.mark.parametrize("pi", [0.5, 1.0, 8.0])
def test_descent_converges_just_below_the_bound_and_diverges_just_above(pi):
    net = deep(pi)
    bound = error_inference_rate(net).stability_bound()
    below, above = distances(net, 0.99 * bound, 600), distances(net, 1.01 * bound, 600)
    assert below[-1] < 1e-4 * below[0]
    assert above[-1] > 10 * above[300]


@STEP
@pytest.mark.parametrize("pi", [0.5, 1.0, 8.0])
def test_the_best_step_has_the_predicted_rate_per_pass_and_no_other_step_a_better_one(pi):
    net = deep(pi)
    rate = error_inference_rate(net)
    first = distances(net, rate.best_step, 0)[0]

    def measured(step):
        path = distances(net, step, 12)
        return (path[12] / first) ** (1 / 12)

    # two outputs, whose two modes shrink equally fast at the best step
    assert measured(rate.best_step) == pytest.approx(rate.rate, rel=1e-8)
    assert measured(0.8 * rate.best_step) > rate.rate < measured(1.2 * rate.best_step)
    assert rate.rate < error_inference_rate(net, "any").rate


@STEP
def test_with_one_output_a_single_pass_is_exact():
    net = LinearPCN.random((3, 5, 4, 1), rng=2).replace(precisions=[0.7, 0.7, 1.0])
    data = Data(DATA.x, DATA.y[:, :1])
    scale = float(rescaling(net)[0, 0])
    rate = error_inference_rate(net)
    assert rate.best_step == pytest.approx(1 / (0.7 * scale), rel=1e-12)
    path = distances(net, rate.best_step, 1, data)
    assert path[1] < 1e-13 * path[0]
    other = distances(net, error_inference_rate(net, "any").best_step, 1, data)
    assert other[1] > 0.1 * other[0]


@STEP
def test_from_other_errors_all_modes_take_part():
    """Errors that the output does not see decay at the rate of the curvature pi, not at those of S."""
    net, pi = deep(2.0), 2.0
    hessian = pi * (error_hessian(net) @ np.eye(15))
    rate = error_inference_rate(net, "any")
    step = np.eye(15) - rate.best_step * hessian
    worst = np.abs(np.linalg.eigvalsh(step)).max()
    assert worst == pytest.approx(rate.rate, rel=1e-12)
    assert worst > 1.05 * error_inference_rate(net).rate


@STEP
def test_each_pass_is_the_linear_map_of_the_hessian():
    net, step = deep(2.0), 0.1
    size = 15
    hessian = 2.0 * (error_hessian(net) @ np.eye(size))  # whitened errors are sqrt(2) times the errors
    target = np.hstack(equilibrium(net, DATA).errors[:-1])
    power = np.linalg.matrix_power(np.eye(size) - step * hessian, 7)
    expected = target - target @ power
    assert_close(np.hstack(relax_errors(net, DATA, step, 7)[-1]), expected, size=7 * size)


@STEP
def test_the_fixed_point_iteration_moves_the_modes_of_the_output_and_diverges_beyond_two():
    pi = 8.0
    net = deep(pi)
    target = np.hstack(equilibrium(net, DATA).errors[:-1])
    after = [np.hstack(e) - target for e in relax_errors(net, DATA, 1 / pi, 3)]
    assert np.linalg.matrix_rank(np.vstack(after), tol=1e-12) <= 2
    worst = np.linalg.eigvalsh(rescaling(net))[-1] - 1
    for before, now in pairwise(after[1:]):
        assert np.linalg.norm(now) <= worst * np.linalg.norm(before) * (1 + 1e-12)
    wild = net.replace(precisions=[0.2] * 3 + [1.0])
    assert np.linalg.eigvalsh(rescaling(wild))[-1] > 2
    grown = distances(wild, 1 / 0.2, 12)
    assert grown[-1] > 10 * grown[0]  # it diverges as soon as the rescaling exceeds 2


@STEP
def test_where_the_rescaling_is_near_one_two_passes_are_enough():
    net = deep(200.0)
    path = distances(net, error_inference_rate(net).best_step, 2)
    top = np.linalg.eigvalsh(rescaling(net))[-1]
    assert path[2] / path[0] <= ((top - 1) / (top + 1)) ** 2 < 0.02


def test_the_hidden_precisions_must_be_one_number():
    with pytest.raises(ValueError, match="`net` must have one number as the precision"):
        error_inference_rate(deep(1.0).replace(precisions=[1.0, 2.0, 1.0, 1.0]))
    with pytest.raises(ValueError, match="hidden layer"):
        error_inference_rate(LinearPCN([[[1.0]]]))
    assert len(error_eigenvalues(deep(1.0))) == 15
