"""Section L: the second-order classification of the critical points, and the data on which all saddles are
strict.
"""

import numpy as np
import plain_torch
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import random_precision, seeds
from test_saddles import coloured

from pctheory import Data, LinearPCN, equilibrium
from pctheory.dynamics import gradient_flow
from pctheory.landscape import (
    EquilibratedEnergy,
    MSELoss,
    classify_critical_point,
    every_saddle_is_strict,
    find_critical_points,
    infimum,
    second_order_form,
    spurious_minimum,
)

CASES = ["i", "ii", "ii'", "iii"]
EXACT = 1e-9
"""Curvature tolerance at critical points that are built and not found."""


def partly_noisy(rng, orthogonal=False):
    """Data with noise-free outputs, turned among noisy ones, and the noise-free directions.

    In the frame z (white) the outputs are (sizes * z_1..free, signal + noise), rotated; `orthogonal`: the
    rest is noise only.
    """
    outputs = int(rng.integers(2, 5))
    free = int(rng.integers(0 if orthogonal else 1, outputs))
    rest, inputs = outputs - free, outputs + int(rng.integers(1, 3))
    samples = 4 * (inputs + outputs)
    frame = np.sqrt(samples) * np.linalg.qr(rng.standard_normal((samples, inputs + rest)))[0]
    z, source = frame[:, :inputs], frame[:, inputs:]
    x = z @ (rng.standard_normal((inputs, inputs)) + 2 * np.eye(inputs))
    noise_rank = int(rng.integers(1, rest + 1))
    noisy = np.exp(rng.uniform(-1.5, 1)) * source[:, :noise_rank] @ rng.standard_normal((noise_rank, rest))
    if not orthogonal:
        strength = np.exp(rng.uniform(-3, 1)) / np.sqrt(inputs)
        noisy = noisy + strength * z[:, free:] @ rng.standard_normal((inputs - free, rest))
    turn = np.linalg.qr(rng.standard_normal((outputs, outputs)))[0]
    clean = z[:, :free] * np.exp(rng.uniform(-1, 1, free))
    return Data(x, np.hstack([clean, noisy]) @ turn.T), turn[:, :free], z


def fit(x, rows):
    return np.linalg.lstsq(x, rows, rcond=None)[0].T


def layers(features, depth, rng):
    """Maps A_1, ..., A_{L-1} whose product is `features`, of full row rank above the first."""
    maps, target = [], features
    for _ in range(depth - 2):
        width = len(target) + int(rng.integers(0, 2))
        maps.insert(0, rng.standard_normal((len(target), width)) + 2 * np.eye(len(target), width))
        target = np.linalg.pinv(maps[0]) @ target
    return [target, *maps]


def critical_point(case, rng, variants=True):
    """A critical point of F* of the given case, built from the two conditions, and its data."""
    data, free, z = partly_noisy(rng, orthogonal=case == "ii'")
    kept = free.shape[1] if case == "ii'" else int(rng.integers(1, free.shape[1] + 1))
    basis = free[:, rng.permutation(free.shape[1])[:kept]]
    gain = np.exp(rng.uniform(-2, 1)) * (rng.standard_normal((kept, kept)) + 2 * np.eye(kept))
    last, features = basis @ gain, np.linalg.solve(gain, basis.T @ fit(data.x, data.y))
    if case == "i":
        extra = np.zeros((int(rng.integers(1, 3)), data.x.shape[1]))
    elif case == "ii":  # inputs that no output follows
        unseen = np.linalg.svd(data.yx)[2][data.y.shape[1] :]
        extra = unseen[: int(rng.integers(1, len(unseen) + 1))]
    else:
        spare = z[:, kept : kept + int(rng.integers(1, data.x.shape[1] - kept + 1))]
        extra = fit(data.x, spare * np.exp(rng.uniform(-1, 1.5)))
    if case != "iii":
        hidden = kept + len(extra)
        mix = rng.standard_normal((hidden, hidden)) + 2 * np.eye(hidden)
        last = np.hstack([last, np.zeros((len(last), len(extra)))]) @ np.linalg.inv(mix)
        features = mix @ np.vstack([features, extra])
    net = LinearPCN([*layers(features, int(rng.integers(2, 5)), rng), last])
    if variants and rng.random() < 0.5:
        net, back = coloured(net, rng, True, rng.random() < 0.5)
        data = Data(data.x, data.y @ back)
    return net, data


@pytest.mark.claim("second-order-classification")
@pytest.mark.parametrize("case", CASES)
@given(seed=seeds)
@settings(max_examples=60)
def test_the_form_has_the_sign_of_the_smallest_eigenvalue_of_the_hessian(case, seed):
    net, data = critical_point(case, np.random.default_rng(seed))
    objective = EquilibratedEnergy(data)
    point = classify_critical_point(objective, net, curvature_tolerance=EXACT)
    if point.kind == "global minimum":
        assert case == "iii"
        return
    form, hessian = point.form, objective.hessian(net)
    values = np.linalg.eigvalsh(hessian)
    scale = np.abs(values).max()
    assert form.case == case
    assert (point.kind == "strict saddle") == (values[0] < -1e-9 * scale)
    assert (point.kind == "strict saddle") == (form.value < 0)
    # the direction is verified: one Hessian-vector product, and the dense Hessian, give what the form
    # predicts
    vector = np.concatenate([d.ravel() for d in form.direction])
    np.testing.assert_allclose(np.linalg.norm(vector), 1.0)
    np.testing.assert_allclose(form.curvature, vector @ hessian @ vector, atol=1e-12 * scale)
    np.testing.assert_allclose(form.predicted, form.curvature, rtol=1e-7, atol=1e-11 * scale)
    assert np.sign(form.predicted) == np.sign(form.value)
    if point.kind == "strict saddle":
        assert values[0] - 1e-12 * scale <= point.escape.curvature < 0


@pytest.mark.claim("second-order-classification")
@pytest.mark.parametrize("case", ["ii'", "iii"])
@given(seed=seeds)
@settings(max_examples=40)
def test_a_positive_form_is_a_local_minimum_although_the_hessian_has_a_kernel(case, seed):
    rng = np.random.default_rng(seed)
    net, data = critical_point(case, rng, variants=False)
    objective = EquilibratedEnergy(data)
    point = classify_critical_point(objective, net, curvature_tolerance=EXACT)
    if point.kind != "local minimum":
        return
    assert infimum(objective, net) < point.value
    assert not every_saddle_is_strict(data)
    vector = net.flatten()
    smallest = min(np.abs(w).mean() for w in net.weights if np.any(w))
    for push in 1e-3 * smallest * rng.standard_normal((30, len(vector))):
        assert objective.value(net.unflatten(vector + push)) >= point.value * (1 - 1e-13)


@pytest.mark.claim("second-order-classification")
@given(seed=seeds)
@settings(max_examples=30)
def test_the_form_is_the_hessian_minimised_over_what_the_hidden_layers_can_add(seed):
    """Case (iii) by brute force: the Schur complement of the dense Hessian on dA_2 = V^T A_2."""
    rng = np.random.default_rng(seed)
    data, free, _ = partly_noisy(rng)
    kept = int(rng.integers(1, free.shape[1] + 1))
    basis = free[:, :kept]
    gain = rng.standard_normal((kept, kept)) + 2 * np.eye(kept)
    net = LinearPCN([np.linalg.solve(gain, basis.T @ fit(data.x, data.y)), basis @ gain])
    hessian = EquilibratedEnergy(data).hessian(net)
    first = net.weights[0].size
    outside = np.linalg.svd(basis)[0][:, kept:]
    images = []
    for index in np.ndindex(kept, outside.shape[1]):
        v = np.zeros((kept, outside.shape[1]))
        v[index] = 1.0
        images.append((outside @ v.T @ basis.T @ net.weights[1]).ravel())
    last = np.zeros((len(images), len(hessian)))
    last[:, first:] = images
    inner = hessian[:first, :first]
    cross = last @ hessian[:, :first]
    schur = last @ hessian @ last.T - cross @ np.linalg.lstsq(inner, cross.T, rcond=None)[0]
    expected = np.linalg.eigvalsh(schur)[0]
    eigenvalue = second_order_form(net, data).value
    np.testing.assert_allclose(eigenvalue, expected, rtol=1e-8, atol=1e-9 * np.abs(schur).max())


@pytest.mark.claim("second-order-classification")
@given(seed=seeds, orthogonal=st.booleans(), kind=st.sampled_from(["identity", "scalar", "vector", "matrix"]))
@settings(max_examples=80)
def test_where_the_condition_on_the_data_fails_a_network_has_a_local_minimum_that_is_not_global(
    seed, orthogonal, kind
):
    rng = np.random.default_rng(seed)
    data, *_ = partly_noisy(rng, orthogonal)
    precision = random_precision(kind, data.y.shape[1], rng)
    precision = 1.0 if precision is None else precision
    if kind != "identity":  # the condition is one on the whitened outputs
        root = np.linalg.cholesky(
            np.diag(np.broadcast_to(precision, data.y.shape[1])) if kind != "matrix" else precision
        )
        data = Data(data.x, data.y @ np.linalg.inv(root))
    net = spurious_minimum(data, precision)
    assert every_saddle_is_strict(data, precision) == (net is None)
    if net is None:
        assert not orthogonal
        return
    objective = EquilibratedEnergy(data)
    point = classify_critical_point(objective, net, curvature_tolerance=EXACT)
    assert point.kind == "local minimum"
    assert point.form.case in ("ii'", "iii")
    assert point.value > infimum(objective, net) * (1 + 1e-9)
    values = np.linalg.eigvalsh(objective.hessian(net))
    assert values[0] >= -1e-10 * values[-1]


@pytest.mark.claim("second-order-classification")
@pytest.mark.parametrize("widths", [(2, 2, 2), (2, 1, 2), (2, 1, 2, 2)])
def test_where_the_condition_holds_a_search_finds_only_strict_saddles(widths, rng):
    """Noise of rank one in a general direction: neither realisable nor of full rank."""
    x = rng.standard_normal((20, 2))
    data = Data(x, x @ rng.standard_normal((2, 2)) + np.outer(rng.standard_normal(20), [0.7, -0.4]))
    assert np.linalg.eigvalsh(data.residual_noise())[0] < 1e-12
    assert every_saddle_is_strict(data)
    found = find_critical_points(EquilibratedEnergy(data), LinearPCN.zeros(widths), 15, rng)
    assert len(found) >= 1
    assert {point.kind for point in found} == {"strict saddle"}
    assert {point.form.case for point in found} <= {"i", "ii"}


@pytest.mark.claim("second-order-classification")
def test_data_on_which_every_saddle_is_strict(rng):
    x = rng.standard_normal((30, 3))
    teacher, noise = rng.standard_normal((3, 2)), rng.standard_normal((30, 2))
    assert every_saddle_is_strict(Data(x, x @ teacher))  # realisable
    assert every_saddle_is_strict(Data(x, x @ teacher + noise))  # noise of full rank
    assert every_saddle_is_strict(Data(x, 0 * noise))
    rest = noise - x @ np.linalg.lstsq(x, noise, rcond=None)[0]
    assert not every_saddle_is_strict(Data(x, rest))  # S_yx = 0
    # scale does not matter
    for data in (Data(x, x @ teacher + noise), Data(x, rest)):
        tiny = Data(1e-7 * data.x, 1e6 * data.y)
        assert every_saddle_is_strict(tiny) == every_saddle_is_strict(data)


def signal_and_noise(nu):
    """y = (x, sqrt(nu) xi), second moments 1, uncorrelated."""
    x, xi = np.array([1.0, 1.0, -1.0, -1.0]), np.array([1.0, -1.0, 1.0, -1.0])
    return Data(x[:, None], np.column_stack([x, np.sqrt(nu) * xi]))


@pytest.mark.claim("strict-saddles")
@pytest.mark.claim("second-order-classification")
@pytest.mark.parametrize("nu", [1.5, 3.0])
def test_with_noise_of_partial_rank_an_open_set_of_weights_is_made_of_local_minima(nu):
    """1-1-2: the input is correlated with its target and yet saddles turn into minima where a^2 < mu / (nu -
    mu).
    """
    data = signal_and_noise(nu)
    objective = EquilibratedEnergy(data)
    border = 1.0 / (nu - 1.0)
    for a2, kind in ((0.3 * border, "local minimum"), (border, "degenerate"), (3 * border, "strict saddle")):
        a = np.sqrt(a2)
        point = classify_critical_point(objective, LinearPCN([[[1 / a]], [[a], [0.0]]]))
        assert point.kind == kind
        # V is a number: mu - nu + nu / (1 + a^2)
        np.testing.assert_allclose(point.form.value, 1 - nu + nu / (1 + a2), atol=1e-12)
        values = np.linalg.eigvalsh(objective.hessian(point.net))
        np.testing.assert_allclose(values[0], min(0.0, point.form.predicted), atol=1e-12)
        np.testing.assert_allclose(point.value, nu / 2)
        assert infimum(objective, point.net) == pytest.approx(0.5)
    # the loss has no such minima (it is the rank-one fit, globally)
    assert classify_critical_point(MSELoss(data), point.net).kind == "global minimum"


@pytest.mark.claim("second-order-classification")
@pytest.mark.evidence("empirical")
@pytest.mark.parametrize(("a2", "stays"), [(0.2, True), (4.0, False)])
def test_training_by_real_inference_returns_to_a_spurious_minimum_and_leaves_a_strict_saddle(a2, stays):
    nu, a = 3.0, np.sqrt(a2)
    data = signal_and_noise(nu)
    net = LinearPCN([[[1 / a]], [[a], [0.0]]])
    x, y = torch.tensor(data.x), torch.tensor(data.y)
    weights = [w + 0.02 for w in plain_torch.tensors(net)]
    for _ in range(400):
        slopes = plain_torch.pc_gradient(weights, net, x, y, steps=60)
        weights = [w - 0.05 * g for w, g in zip(weights, slopes, strict=True)]
    end = LinearPCN([w.numpy() for w in weights])
    value = float(EquilibratedEnergy(data).value(end))
    assert (abs(value - nu / 2) < 1e-3) == stays
    assert (abs(float(weights[1][1])) < 1e-2) == stays


@pytest.mark.claim("second-order-classification")
def test_at_the_border_second_derivatives_do_not_decide_and_third_or_fourth_ones_do():
    """Form zero: the energy falls along a curve, although the Hessian is positive semidefinite."""
    nu = 3.0
    data = signal_and_noise(nu)
    objective = EquilibratedEnergy(data)
    a = np.sqrt(1 / (nu - 1))
    net = LinearPCN([[[1 / a]], [[a], [0.0]]])
    assert np.linalg.eigvalsh(objective.hessian(net))[0] > -1e-12
    here = float(objective.value(net))
    for d in (0.04, 0.02, 0.01):  # along the critical line the form turns negative: step there, then across
        there = LinearPCN([[[1 / (a + d)]], [[a + d], [np.sqrt(d) / 2]]])
        assert objective.value(there) < here


# ---- scale -------------------------------------------------------------------------------------------------


@pytest.mark.claim("second-order-classification")
@given(seed=seeds, x_scale=st.sampled_from([1e-9, 1e-5, 1e4]), y_scale=st.sampled_from([1e-6, 1.0, 1e5]))
@settings(max_examples=30)
def test_the_kind_does_not_depend_on_the_units_of_the_data(seed, x_scale, y_scale):
    rng = np.random.default_rng(seed)
    case = CASES[int(rng.integers(4))]
    net, data = critical_point(case, rng, variants=False)
    other = Data(x_scale * data.x, y_scale * data.y)
    first, *rest = net.weights
    same = LinearPCN([first * y_scale / x_scale, *rest])
    points = [
        classify_critical_point(EquilibratedEnergy(each), at, curvature_tolerance=1e-7)
        for each, at in ((data, net), (other, same))
    ]
    assert points[0].kind == points[1].kind != "not critical"
    assert points[0].index == points[1].index
    away = LinearPCN.random(same.widths, rng=rng)
    for objective in (EquilibratedEnergy, MSELoss):
        moved = away.replace(weights=[away.weights[0] * y_scale / x_scale, *away.weights[1:]])
        assert classify_critical_point(objective(other), moved).kind == "not critical"


@pytest.mark.parametrize("objective", [EquilibratedEnergy, MSELoss])
@pytest.mark.parametrize("small", [1e-3, 1e-5, 1e-7])
def test_a_weak_direction_that_is_not_learned_yet_is_not_a_global_minimum(objective, small):
    data = Data(np.sqrt(2) * np.eye(2), np.sqrt(2) * np.diag([1.0, small]))
    net = LinearPCN([np.diag([1.0, 0.0])] * 2)
    point = classify_critical_point(objective(data), net)
    assert point.kind == "strict saddle"
    assert point.escape.curvature < 0
    fitted = LinearPCN([np.diag([1.0, np.sqrt(small)])] * 2)
    assert classify_critical_point(objective(data), fitted).kind == "global minimum"


@pytest.mark.parametrize("scale", [1e-5, 1e3])
def test_a_search_finds_the_same_points_whatever_the_units(scale):
    data = Data([[1.0], [-1.0]], [[-2.0], [2.0]])
    kinds = []
    for each in (data, Data(scale * data.x, data.y)):
        found = find_critical_points(EquilibratedEnergy(each), LinearPCN.zeros((1, 1, 1)), 30, rng=0)
        kinds.append(
            [(point.kind, round(point.value, 6)) for point in found if point.kind == "strict saddle"]
        )
    assert kinds[0] == kinds[1] == [("strict saddle", 2.0)]


# ---- what minimising sequences do --------------------------------------------------------------------------


@pytest.mark.claim("no-minimiser-with-noise")
def test_without_noise_there_is_no_minimiser_either_behind_an_earlier_bottleneck(rng):
    """An autoencoder 4-3-1-3-4: three units can reach F* = lambda_4 / 2, and one input direction cannot
    attain it.
    """
    x = rng.standard_normal((30, 4))
    data = Data(x, x)
    values, vectors = np.linalg.eigh(data.yy)
    net = LinearPCN.zeros((4, 3, 1, 3, 4))
    objective = EquilibratedEnergy(data)
    assert infimum(objective, net) == pytest.approx(values[0] / 2)
    best = infimum(MSELoss(data), net)
    assert best == pytest.approx(values[:3].sum() / 2)
    reached = []
    for s in (1.0, 10.0, 100.0, 1e3):
        last = LinearPCN([np.zeros((3, 4)), np.zeros((1, 3)), np.zeros((3, 1)), s * vectors[:, 1:]])
        reached.append(float(objective.value(last)))
    assert np.all(np.diff(reached) < 0)
    np.testing.assert_allclose(reached[-1], values[0] / 2, rtol=1e-4)
    # a point that attains it would be critical with the loss at that value, below the best map of rank one
    assert reached[-1] < best
    # with the bottleneck last there is a minimiser: 4-3-1-4
    plain = LinearPCN([vectors[:, 1:].T, np.array([[0.0, 0.0, 1.0]]), vectors[:, 3:]])
    point = classify_critical_point(objective, plain)
    assert point.kind == "global minimum"
    assert point.value == pytest.approx(best)


@pytest.mark.claim("no-minimiser-with-noise")
@pytest.mark.parametrize("nu", [2.0, 0.5])
def test_what_predictive_coding_learns_behind_a_bottleneck_is_the_components_of_the_targets(nu):
    """1-1-2: the unit goes to the larger component of y, signal or noise; backprop goes to what x
    predicts.
    """
    data = signal_and_noise(nu)
    objective = EquilibratedEnergy(data)
    net = LinearPCN([[[0.3]], [[0.2], [0.1]]])
    path = gradient_flow(objective, net, [0.0, 1e4, 1e6])
    end = path.network(-1)
    assert infimum(objective, end) == pytest.approx(min(1.0, nu) / 2)
    value = float(objective.value(end))
    prediction = data.y - equilibrium(end, data).errors[-1]
    top = np.array([0.0, 1.0]) if nu > 1 else np.array([1.0, 0.0])
    projected = np.outer(data.y @ top, top)
    # Eckart-Young: the distance is bounded by what is left of the energy over the gap
    assert value - infimum(objective, end) < 1e-2
    assert np.sqrt(np.mean(np.sum((prediction - projected) ** 2, axis=1))) < 0.2
    loss = gradient_flow(MSELoss(data), net, [0.0, 200.0]).network(-1)
    np.testing.assert_allclose(loss.maps[1] @ loss.maps[0], [[1.0], [0.0]], atol=1e-6)
    # the loss of predictive coding is above that of backprop where the noise is the larger component
    assert (MSELoss(data).value(end) > nu / 2 + 0.4) == (nu > 1)
