"""Section L: Hessians at the origin, at zero-rank points and at minima; ends of spectra; slices."""

import time

import numpy as np
import plain_torch
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import problems, random_precision, seeds
from tolerances import assert_close

from pctheory import Data, LinearPCN, rescaling
from pctheory.inference import input_products, noise_covariances
from pctheory.landscape import (
    EquilibratedEnergy,
    MSELoss,
    NegativeLogLikelihood,
    WeightDecay,
    extreme_eigenvalues,
    gauss_newton_hessian,
    landscape_slice,
    origin_hessian,
    zero_rank_hessian,
)
from pctheory.model import PARAMETERISATIONS

OBJECTIVES = [MSELoss, EquilibratedEnergy, NegativeLogLikelihood]


@st.composite
def origins(draw, min_depth=1, max_depth=5):
    """Keywords of `LinearPCN.zeros` and data."""
    depth, rng = draw(st.integers(min_depth, max_depth)), np.random.default_rng(draw(seeds))
    square = draw(st.booleans())
    hidden = draw(st.integers(1, 4))
    widths = [draw(st.integers(1, 4)) for _ in range(depth + 1)]
    if square:
        widths[1:-1] = [hidden] * (depth - 1)
    full = draw(st.booleans())
    pattern = [square and 1 < l < depth and (full or bool(rng.integers(2))) for l in range(1, depth + 1)]
    kinds = st.sampled_from(["identity", "scalar", "vector", "matrix"])
    options = {
        "parameterisation": draw(st.sampled_from(sorted(PARAMETERISATIONS))),
        "skips": pattern,
        "gamma": draw(st.sampled_from([0.5, 1.0, 3.0])),
        "precisions": [random_precision(draw(kinds), n, rng) for n in widths[1:]],
    }
    size = draw(st.integers(1, 6))
    data = Data(rng.standard_normal((size, widths[0])), rng.standard_normal((size, widths[-1])))
    return tuple(widths), options, data


def check_origin(kind, widths, options, data):
    objective, net = kind(data), LinearPCN.zeros(widths, **options)
    closed, dense = origin_hessian(objective, widths, **options), objective.hessian(net)
    kappa = max(np.linalg.cond(p.matrix(net.weights[-1])) for p in net.precisions)
    scale = max(1e-3, float(np.abs(dense).max()))
    limits = {"size": 10 * net.num_weights, "kappa": kappa, "scale": scale}
    assert_close(closed.to_dense(), dense, **limits)
    assert_close(closed.eigenvalues(), np.linalg.eigvalsh(dense), **limits)


@pytest.mark.claim("origin-hessian-loss")
@given(problem=origins())
def test_the_loss_at_the_origin_has_one_cross_block_at_most(problem):
    check_origin(MSELoss, *problem)


@pytest.mark.claim("origin-hessian-energy")
@pytest.mark.parametrize("kind", [EquilibratedEnergy, NegativeLogLikelihood])
@given(problem=origins())
def test_the_energy_at_the_origin_has_the_last_block_too(kind, problem):
    check_origin(kind, *problem)


@pytest.mark.claim("origin-hessian-loss")
@pytest.mark.parametrize("depth", [2, 3, 4, 5])
def test_the_first_derivative_of_the_loss_that_does_not_vanish_at_the_origin_has_the_order_of_the_depth(
    depth, rng
):
    widths = (3, *[2] * (depth - 1), 2)
    loss, zero = MSELoss(Data.teacher(rng.standard_normal((2, 3)), 20, rng=rng)), LinearPCN.zeros(widths)
    direction = rng.standard_normal(zero.num_weights)
    # a polynomial of degree 2 L along a line: interpolate its coefficients exactly
    points = np.cos(np.pi * (np.arange(2 * depth + 1) + 0.5) / (2 * depth + 1))
    values = [float(loss.value(zero.unflatten(t * direction))) for t in points]
    coefficients = np.linalg.solve(np.vander(points, increasing=True), values)
    scale = np.abs(coefficients).max()
    assert_close(coefficients[1:depth], np.zeros(depth - 1), size=100, kappa=1e3, scale=scale)
    assert abs(coefficients[depth]) > 1e-6 * scale
    if depth > 2:
        assert not loss.hessian(zero).any()


@pytest.mark.claim("origin-hessian-energy")
@given(problem=origins(min_depth=2))
def test_the_origin_is_a_strict_saddle_of_the_energy_as_soon_as_some_output_is_not_zero(problem):
    widths, options, data = problem
    smallest = origin_hessian(EquilibratedEnergy(data), widths, **options).eigenvalues()[0]
    assert smallest < 0
    silent = Data(data.x, 0 * data.y)  # the hypothesis dropped
    assert not origin_hessian(EquilibratedEnergy(silent), widths, **options).to_dense().any()


@pytest.mark.claim("origin-hessian-energy")
@pytest.mark.parametrize("depth", [3, 4, 6])
def test_without_skips_the_spectrum_is_minus_that_of_the_outputs_once_per_hidden_unit(depth, rng):
    data = Data(rng.standard_normal((9, 2)), rng.standard_normal((9, 3)))
    widths = (2, *[4] * (depth - 1), 3)
    found = np.linalg.eigvalsh(EquilibratedEnergy(data).hessian(LinearPCN.zeros(widths)))
    expected = np.sort(np.repeat(-np.linalg.eigvalsh(data.yy), 4))
    assert_close(found[:12], expected, size=len(found))
    assert_close(found[12:], np.zeros(len(found) - 12), size=len(found), scale=1.0)


@pytest.mark.claim("origin-hessian-energy")
def test_with_skips_the_last_block_counts_the_layers_and_the_loss_is_strict_too(rng):
    data = Data.teacher(rng.standard_normal((2, 3)), 30, rng=rng)
    for depth in (3, 4, 5):
        widths = (3, *[4] * (depth - 1), 2)
        zero = LinearPCN.zeros(widths, skips=True)
        block = EquilibratedEnergy(data).hessian(zero)[-8:, -8:]
        assert_close(block, -(depth - 1) * np.kron(data.yy, np.eye(4)), size=100)
        assert extreme_eigenvalues(MSELoss(data), zero).smallest[0] < -0.1


@pytest.mark.claim("origin-hessian-energy")
@pytest.mark.evidence("empirical")
@pytest.mark.parametrize("skips", [False, True])
@pytest.mark.parametrize("depth", [2, 3, 4])
def test_inference_and_local_learning_near_the_origin_feel_that_hessian(depth, skips, rng):
    data = Data(rng.standard_normal((8, 3)), rng.standard_normal((8, 2)))
    widths = (3, *[3] * (depth - 1), 2)
    zero = LinearPCN.zeros(widths, parameterisation="mupc", skips=skips)
    x, y = torch.tensor(data.x), torch.tensor(data.y)
    direction = rng.standard_normal(zero.num_weights)
    step = 1e-4
    plus, minus = (
        plain_torch.pc_gradient(plain_torch.tensors(zero.unflatten(s * step * direction)), zero, x, y)
        for s in (1, -1)
    )
    quotient = np.concatenate(
        [((p - m) / (2 * step)).numpy().ravel() for p, m in zip(plus, minus, strict=True)]
    )
    closed = origin_hessian(EquilibratedEnergy(data), widths, parameterisation="mupc", skips=skips).to_dense()
    # central differences err by step^2 times third derivatives of order one
    np.testing.assert_allclose(quotient, closed @ direction, atol=100 * step**2)


@pytest.mark.claim("origin-hessian-loss")
@pytest.mark.evidence("empirical")
@pytest.mark.parametrize("depth", [2, 3])
def test_autograd_of_the_loss_at_the_origin_agrees(depth, rng):
    data = Data(rng.standard_normal((8, 3)), rng.standard_normal((8, 2)))
    zero = LinearPCN.zeros((3, *[4] * (depth - 1), 2))
    x, y = torch.tensor(data.x), torch.tensor(data.y)

    def loss(vector):
        h, start = x, 0
        for w in zero.weights:
            h = h @ vector[start : start + w.size].reshape(w.shape).T
            start += w.size
        return 0.5 * torch.sum((y - h) ** 2) / len(x)

    hessian = torch.func.hessian(loss)(torch.zeros(zero.num_weights, dtype=torch.float64))
    assert_close(origin_hessian(MSELoss(data), zero.widths).to_dense(), hessian, size=100, scale=1.0)


@pytest.mark.claim("zero-rank-saddles")
@pytest.mark.parametrize("kind", OBJECTIVES)
@given(problem=problems(min_depth=2))
@settings(max_examples=40)
def test_the_last_block_at_zero_rank(kind, problem):
    net, data = problem
    net = net.replace(weights=[*net.weights[:-1], 0 * net.weights[-1]])
    block = zero_rank_hessian(kind(data), net)
    dense = kind(data).hessian(net)[-len(block) :, -len(block) :]
    kappa = np.linalg.cond(noise_covariances(net)[-2]) * np.linalg.cond(rescaling(net))
    assert_close(block, dense, size=10 * net.num_weights, kappa=kappa, scale=max(1e-3, np.abs(block).max()))


@pytest.mark.claim("zero-rank-saddles")
@given(problem=problems(min_depth=3, max_depth=5, precisions=False))
@settings(max_examples=40)
def test_dead_features_make_the_saddle_deeper_than_the_origin(problem):
    net, data = problem
    first, last = 0 * net.weights[0], 0 * net.weights[-1]
    net = net.replace(weights=[first, *net.weights[1:-1], last])
    objective = EquilibratedEnergy(data)
    gradient = np.concatenate([g.ravel() for g in objective.gradient(net)])
    assert not gradient.any()
    a = net.multipliers[-1]
    below = np.linalg.eigvalsh(noise_covariances(net)[-2])[-1]
    top = np.linalg.eigvalsh(data.yy)[-1]
    smallest = np.linalg.eigvalsh(objective.hessian(net))[0]
    expected = -(a**2) * top * below
    slack = 1e-10 * abs(expected)
    assert smallest <= expected + slack
    assert below >= 1 - 1e-12
    if not any(net.skips):  # then nothing couples W_L to the other layers
        block = zero_rank_hessian(objective, net)
        assert_close(np.linalg.eigvalsh(block)[0], expected, size=10 * net.num_weights, kappa=below)


@pytest.mark.claim("zero-rank-saddles")
def test_live_features_that_see_the_outputs_are_not_critical(rng):
    data = Data.teacher(rng.standard_normal((2, 3)), 20, rng=rng)
    net = LinearPCN([rng.standard_normal((3, 3)), rng.standard_normal((3, 3)), np.zeros((2, 3))])
    gradient = EquilibratedEnergy(data).gradient(net)
    expected = -data.yx @ input_products(net)[2].T
    assert_close(gradient[-1], expected, size=100)
    assert np.abs(expected).max() > 0.1


@st.composite
def perfect_fits(draw, **options):
    net, data = draw(problems(**options))
    output = data.x
    for matrix in net.maps:
        output = output @ matrix.T
    return net, Data(data.x, output)


@pytest.mark.claim("flat-minima")
@given(problem=perfect_fits(max_depth=5))
@settings(max_examples=40)
def test_minima_of_the_energy_are_flatter_than_those_of_the_loss(problem):
    net, data = problem
    loss, energy = MSELoss(data), EquilibratedEnergy(data)
    sharp, flat = loss.hessian(net), energy.hessian(net)
    scale = max(float(np.abs(sharp).max()), 1e-300)
    # the residual of the fit is rounding, but enters the Hessian undamped
    kappa = np.linalg.cond(rescaling(net)) * max(1.0, *(np.linalg.norm(m, 2) ** 2 for m in net.maps))
    limits = {"size": 100 * net.num_weights, "kappa": kappa, "scale": max(scale, np.abs(data.y).max() ** 2)}
    assert_close(gauss_newton_hessian(loss, net), sharp, **limits)
    assert_close(gauss_newton_hessian(energy, net), flat, **limits)
    difference = np.linalg.eigvalsh(gauss_newton_hessian(loss, net) - gauss_newton_hessian(energy, net))
    assert difference[0] >= -1e-9 * scale


@pytest.mark.claim("flat-minima")
@given(weights=st.lists(st.floats(0.3, 3.0), min_size=1, max_size=6))
def test_on_a_chain_the_curvature_is_that_of_the_loss_over_the_rescaling(weights):
    net = LinearPCN([[[w]] for w in weights])
    data = Data([[1.5]], [[1.5 * np.prod(weights)]])
    s = float(rescaling(net)[0, 0])
    sharp = MSELoss(data).hessian(net)
    limits = {"size": 100, "kappa": s, "scale": np.abs(sharp).max()}
    assert_close(s * gauss_newton_hessian(EquilibratedEnergy(data), net), sharp, **limits)


@pytest.mark.claim("flat-minima")
def test_away_from_a_perfect_fit_the_gauss_newton_matrix_is_not_the_hessian(rng):
    net = LinearPCN([rng.standard_normal((3, 2)), rng.standard_normal((2, 3))])
    data = Data(rng.standard_normal((9, 2)), rng.standard_normal((9, 2)))
    for kind in (MSELoss, EquilibratedEnergy):
        assert np.abs(kind(data).hessian(net) - gauss_newton_hessian(kind(data), net)).max() > 1e-2


@pytest.mark.claim("flat-minima")
@pytest.mark.evidence("empirical")
def test_trained_networks_sit_at_minima_of_that_curvature(rng):
    data = Data.teacher(0.5 * rng.standard_normal((2, 3)), 12, rng=rng)
    net = LinearPCN.random((3, 4, 2), init=0.7, rng=rng)
    x, y = torch.tensor(data.x), torch.tensor(data.y)
    weights = plain_torch.tensors(net)
    for _ in range(500):
        gradient = plain_torch.pc_gradient(weights, net, x, y, steps=12)
        weights = [w - 0.8 * g for w, g in zip(weights, gradient, strict=True)]
    trained = net.replace(weights=[w.numpy() for w in weights])
    assert MSELoss(data).value(trained) < 1e-12
    direction = rng.standard_normal(net.num_weights)
    step = 1e-4
    plus, minus = (
        plain_torch.pc_gradient(
            plain_torch.tensors(trained.unflatten(trained.flatten() + s * step * direction)), net, x, y
        )
        for s in (1, -1)
    )
    quotient = np.concatenate(
        [((p - m) / (2 * step)).numpy().ravel() for p, m in zip(plus, minus, strict=True)]
    )
    expected = gauss_newton_hessian(EquilibratedEnergy(data), trained) @ direction
    np.testing.assert_allclose(quotient, expected, atol=1e3 * step**2)


@pytest.mark.parametrize("kind", OBJECTIVES)
def test_the_ends_by_lanczos_are_those_of_the_dense_hessian(kind, rng):
    net = LinearPCN.random((12, 10, 15, 8), init="normal", rng=rng)
    data = Data(rng.standard_normal((40, 12)), rng.standard_normal((40, 8)))
    assert net.num_weights > 300
    ends = extreme_eigenvalues(kind(data), net, k=3, tolerance=1e-10)
    values = np.linalg.eigvalsh(kind(data).hessian(net))
    np.testing.assert_allclose(ends.smallest, values[:3], atol=1e-8 * values[-1])
    np.testing.assert_allclose(ends.largest, values[::-1][:3], atol=1e-8 * values[-1])
    assert max(ends.smallest_residuals.max(), ends.largest_residuals.max()) <= 1e-9 * values[-1]
    again = extreme_eigenvalues(kind(data), net, k=3, tolerance=1e-10)
    np.testing.assert_array_equal(again.smallest_vectors, ends.smallest_vectors)
    down = net.split(ends.smallest_vectors)
    assert [d.shape for d in down] == [(3, *w.shape) for w in net.weights]
    np.testing.assert_array_equal(net.join(down), ends.smallest_vectors)


def test_the_ends_at_a_flat_minimum_converge(rng):
    net = LinearPCN.random((10, 20, 10), rng=rng)
    data = Data.teacher(net, 30, rng=rng)
    ends = extreme_eigenvalues(EquilibratedEnergy(data), net)
    assert abs(ends.smallest[0]) < 1e-7 * ends.largest[0]
    assert ends.smallest_residuals[0] < 1e-6 * ends.largest[0]


def test_a_zero_hessian_has_zero_ends(rng):
    net = LinearPCN.zeros((12, 10, 15, 8))
    data = Data(rng.standard_normal((40, 12)), rng.standard_normal((40, 8)))
    ends = extreme_eigenvalues(MSELoss(data), net, k=2)
    for values in (ends.smallest, ends.largest, ends.smallest_residuals, ends.largest_residuals):
        np.testing.assert_array_equal(values, [0.0, 0.0])
    rows = np.vstack([ends.smallest_vectors, ends.largest_vectors])
    np.testing.assert_allclose(rows @ rows.T, np.eye(4), atol=1e-12)


def test_small_and_large_networks_take_the_same_keywords(rng):
    data = Data(rng.standard_normal((5, 1)), rng.standard_normal((5, 1)))
    ends = extreme_eigenvalues(EquilibratedEnergy(data), LinearPCN.zeros((1, 2, 1)), k=2)
    assert ends.smallest.shape == ends.largest.shape == (2,)
    with pytest.raises(ValueError, match="`k` must not exceed"):
        extreme_eigenvalues(MSELoss(data), LinearPCN.zeros((1, 2, 1)), k=5)
    with pytest.raises(TypeError, match="`objective` must be"):
        extreme_eigenvalues(data, LinearPCN.zeros((1, 2, 1)))


@given(problem=problems(max_depth=4), seed=seeds, kind=st.sampled_from(OBJECTIVES))
@settings(max_examples=25)
def test_slices_are_the_values_of_their_points(problem, seed, kind):
    net, data = problem
    objective = WeightDecay(kind(data), 0.1) if seed % 2 else kind(data)
    piece = landscape_slice(
        objective, net, "random", extent=(-0.5, 1.0), num=4, dimensions=min(2, net.num_weights), rng=seed
    )
    for index in np.ndindex(piece.values.shape):
        # values[j, i] lies at (axes[0][i], axes[1][j])
        moved = list(net.weights)
        for axis, direction, at in zip(piece.axes, piece.directions, reversed(index), strict=True):
            moved = [w + axis[at] * d for w, d in zip(moved, direction, strict=True)]
        expected = float(objective.value(net.replace(weights=moved)))
        np.testing.assert_allclose(piece.values[index], expected, rtol=1e-8, atol=1e-10)


def test_a_slice_through_the_origin_along_its_eigenvectors_curves_as_they_say():
    data = Data([[1.0]], [[-1.0]])
    net = LinearPCN.zeros((1, 1, 1))
    piece = landscape_slice(EquilibratedEnergy(data), net, extent=1e-3, num=3)
    down, up = piece.values[1], piece.values[:, 1]
    golden = (np.sqrt(5) + 1) / 2
    np.testing.assert_allclose((down[0] - 2 * down[1] + down[2]) / 1e-6, -golden, rtol=1e-4)
    np.testing.assert_allclose((up[0] - 2 * up[1] + up[2]) / 1e-6, golden - 1, rtol=1e-4)


def test_layer_normalised_directions_have_the_layers_norms(rng):
    net = LinearPCN.random((3, 4, 2), rng=rng)
    data = Data(rng.standard_normal((5, 3)), rng.standard_normal((5, 2)))
    piece = landscape_slice(MSELoss(data), net, "layer-normalised", num=3, rng=rng)
    for direction in piece.directions:
        for part, weight in zip(direction, net.weights, strict=True):
            assert_close(np.linalg.norm(part), np.linalg.norm(weight), size=10)
    with pytest.raises(ValueError, match="must not be zero"):
        landscape_slice(MSELoss(data), LinearPCN.zeros((3, 4, 2)), "layer-normalised", rng=rng)


def test_a_grid_of_a_hundred_and_one_squared_toy_networks_takes_about_a_second(rng):
    net = LinearPCN.random((3, 4, 4, 4, 3), rng=rng)
    data = Data.toy(64, size=3, rng=rng)
    begin = time.perf_counter()
    piece = landscape_slice(EquilibratedEnergy(data), net, num=101)
    assert piece.values.shape == (101, 101)
    assert time.perf_counter() - begin < 5.0


def test_errors_say_the_rule(rng):
    data = Data(rng.standard_normal((5, 3)), rng.standard_normal((5, 2)))
    net = LinearPCN.random((3, 4, 2), rng=rng)
    with pytest.raises(ValueError, match="`W_2` must be zero"):
        zero_rank_hessian(MSELoss(data), net)
    with pytest.raises(ValueError, match="at least two layers"):
        zero_rank_hessian(MSELoss(data), LinearPCN.zeros((3, 2)))
    with pytest.raises(TypeError, match="curvature of its own"):
        gauss_newton_hessian(NegativeLogLikelihood(data), net)
    with pytest.raises(TypeError, match="`objective` must be an MSELoss"):
        origin_hessian(WeightDecay(MSELoss(data), 1.0), (3, 2))
    with pytest.raises(ValueError, match="begin and end"):
        origin_hessian(MSELoss(data), (2, 2))
    with pytest.raises(ValueError, match="`dimensions` must be 1 or 2"):
        landscape_slice(MSELoss(data), net, "random", dimensions=3, rng=rng)
    with pytest.raises(ValueError, match="`directions` must be one or two"):
        landscape_slice(MSELoss(data), net, [net.flatten()] * 3)
    with pytest.raises(ValueError, match="entries, one per weight"):
        landscape_slice(MSELoss(data), net, [np.ones(3)])
    with pytest.raises(ValueError, match="the shapes of the weights"):
        landscape_slice(MSELoss(data), net, [[np.ones((1, 1))]])
