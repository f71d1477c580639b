"""Inference with multipliers: its equilibrium is backpropagation, its signals are waves."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import expm
from strategies import networks, seeds

from pctheory import Data, LinearPCN, feedforward
from pctheory.limits import isometric_eigenvalues
from pctheory.related import ballistic_rate, primal_dual_eigenvalues, primal_dual_matrix

pytestmark = pytest.mark.claim("augmented-lagrangian")


def flow(net, x, y, z, multipliers, nu):
    """The right side, from the definition: errors, and derivatives of the Lagrangian by hand."""
    maps, layers = net.maps, [x, *z]
    errors = [layers[l + 1] - maps[l] @ layers[l] for l in range(net.depth - 1)]
    residual = y - maps[-1] @ layers[-1]
    pulls = [m + e for m, e in zip(multipliers, errors, strict=True)]
    slopes = [pulls[l] - maps[l + 1].T @ pulls[l + 1] for l in range(net.depth - 2)]
    slopes.append(pulls[-1] - maps[-1].T @ residual)
    return np.concatenate([*(-s for s in slopes), *(nu * e for e in errors)])


@settings(max_examples=40)
@given(networks(min_depth=2, precisions=False), seeds, st.floats(0.05, 20.0))
def test_the_matrix_is_that_of_the_flow_and_its_rest_is_backpropagation(net, seed, nu):
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal(net.widths[0]), rng.standard_normal(net.widths[-1])
    cuts = np.cumsum(net.widths[1:-1])[:-1]
    size = sum(net.widths[1:-1])
    matrix = primal_dual_matrix(net, nu)

    def right(state):
        return flow(net, x, y, np.split(state[:size], cuts), np.split(state[size:], cuts), nu)

    state = rng.standard_normal(2 * size)
    scale = 1 + np.abs(matrix).sum() + np.abs(right(0 * state)).max()
    np.testing.assert_allclose(right(state) - right(0 * state), matrix @ state, atol=1e-12 * scale)
    passes = [z[0] for z in feedforward(net, x[None])]
    sent = [y - passes[-1]]
    for m in net.maps[:0:-1]:
        sent.insert(0, m.T @ sent[0])
    rest = np.concatenate([*passes[1:-1], *sent[:-1]])
    assert np.abs(right(rest)).max() < 1e-12 * scale * (1 + np.abs(rest).max())
    assert np.linalg.eigvals(matrix).real.max() < 1e-9 * np.abs(matrix).max()  # stable at every rate


@pytest.mark.parametrize("nu", [0.1, 1.5, 4.0])
@pytest.mark.parametrize("depth", [2, 3, 7, 16])
def test_the_eigenvalues_of_orthogonal_networks_solve_the_equation_of_the_chain(depth, nu):
    net = LinearPCN.random((3,) * (depth + 1), init="orthogonal", rng=depth)
    values = primal_dual_eigenvalues(depth, nu)
    assert values.shape == (2 * depth - 2,)
    # traces of powers compare the spectra without sorting nearly equal complex numbers
    matrix = primal_dual_matrix(net, nu)
    for power in (1, 2, 3, 5):
        trace = np.trace(np.linalg.matrix_power(matrix, power))
        assert 3 * np.sum(values**power).real == pytest.approx(trace, rel=1e-9)
    angle = np.arccos(1 + values**2 / (2 * (values + nu)))
    left = np.sin(depth * angle) - nu / (values + nu) * np.sin((depth - 1) * angle)
    size = np.abs(np.sin(depth * angle)) + np.abs(np.sin((depth - 1) * angle)) + np.abs(angle)
    separate = np.abs(np.sin(angle)) > 1e-4  # theta = 0 or pi solves the equation without being a mode
    assert separate.any()
    assert np.abs(left / size)[separate].max() < 1e-6


def test_without_multipliers_the_rates_are_those_of_predictive_coding():
    values = np.sort(-primal_dual_eigenvalues(9, 1e-9).real)[-8:]
    np.testing.assert_allclose(values, isometric_eigenvalues(9), rtol=1e-6)


def test_the_rate_as_it_is_printed():
    for nu in (0.04, 0.25):
        root = math.sqrt(nu)
        assert ballistic_rate(7, nu) == pytest.approx(root * math.atanh(root) / 7, rel=1e-12)
        assert ballistic_rate(7, 1 / nu) == pytest.approx(math.atanh(root) / root / 7, rel=1e-12)


@pytest.mark.parametrize("nu", [0.1, 0.25, 4.0])
def test_the_slowest_mode_decays_like_one_over_the_depth(nu):
    ratios = [-primal_dual_eigenvalues(depth, nu)[0].real / ballistic_rate(depth, nu) for depth in (32, 128)]
    assert abs(ratios[1] - 1) < 0.015
    assert abs(ratios[1] - 1) < abs(ratios[0] - 1)
    speed = abs(primal_dual_eigenvalues(128, 4.0)[0].imag) * 128
    assert speed == pytest.approx(2 * math.pi / 2, rel=0.01)  # half a wave in L layers, at the speed sqrt(4)
    diffusive = isometric_eigenvalues(128)[0]
    assert -primal_dual_eigenvalues(128, nu)[0].real > diffusive


@pytest.mark.parametrize("depth", [2, 3, 8])
def test_at_the_matched_rate_every_rate_is_one(depth):
    """M + I is nilpotent, in integers and so exactly; it is a single Jordan block."""
    shifted = primal_dual_matrix(LinearPCN([[[1.0]]] * depth), 1.0) + np.eye(2 * depth - 2)
    assert not np.linalg.matrix_power(shifted, 2 * depth - 2).any()
    assert np.linalg.matrix_power(shifted, 2 * depth - 3).any()
    np.testing.assert_array_equal(primal_dual_eigenvalues(depth, 1.0), np.full(2 * depth - 2, -1.0))
    assert ballistic_rate(depth, 1.0) == math.inf
    nearby = primal_dual_eigenvalues(depth, 1 + 1e-9)
    assert np.abs(np.abs(nearby + 1) - 1e-9 ** (1 / (2 * depth - 2))).max() < 1e-2


def test_signals_arrive_as_a_wave():
    """After the time L the flow with multipliers is near backpropagation in all layers, descent is not."""
    depth = 24
    net, data = LinearPCN([[[1.0]]] * depth), Data([[0.0]], [[1.0]])
    matrix, n = primal_dual_matrix(net, 1.0), depth - 1
    rest = np.concatenate([np.zeros(n), np.ones(n)]) * data.y[0, 0]  # lambda_l = P_l^T r = 1

    def after(time):
        return rest - expm(time * matrix) @ rest

    assert np.abs(after(3.0 * depth)[n:] - 1).max() < 0.02
    assert np.abs(after(0.5 * depth)[n] - 1) > 0.5  # the first layer has not heard of it
    slow = isometric_eigenvalues(depth)[0]
    assert math.exp(-slow * 3 * depth) > 0.2


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="`net` must have a hidden layer"):
        primal_dual_matrix(LinearPCN([[[1.0]]]), 1.0)
    with pytest.raises(ValueError, match="`net` must have unit precisions"):
        primal_dual_matrix(LinearPCN([[[1.0]]] * 2, precisions=[2.0, 1.0]), 1.0)
    with pytest.raises(ValueError, match="`dual_rate`"):
        primal_dual_eigenvalues(3, 0.0)
