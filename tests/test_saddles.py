"""Section L: the critical points of the equilibrated energy, and that all of them are strict or global
minima.
"""

import numpy as np
import plain_torch
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from strategies import random_precision, seeds
from tolerances import assert_close

from pctheory import Data, LinearPCN, equilibrium
from pctheory.dynamics import gradient_flow
from pctheory.inference import input_products
from pctheory.landscape import (
    EquilibratedEnergy,
    MSELoss,
    NegativeLogLikelihood,
    WeightDecay,
    classify_critical_point,
    escape_direction,
    extreme_eigenvalues,
    find_critical_points,
    infimum,
    non_strict_saddle,
)


def gradient_norm(objective, net):
    return float(np.sqrt(sum(np.sum(g**2) for g in objective.gradient(net))))


def coloured(net, rng, precisions, skips):
    """The same critical point with other precisions, multipliers and (where square) skips, by a change of
    variables.
    """
    widths, depth = net.widths, net.depth
    kinds = ["identity", "scalar", "vector", "matrix"]
    pis = [random_precision(rng.choice(kinds), n, rng) if precisions else None for n in widths[1:]]
    plain = net.replace(precisions=pis)
    roots = [np.eye(widths[0])]
    roots += [np.linalg.cholesky(p.matrix(w)) for p, w in zip(plain.precisions, plain.weights, strict=True)]
    maps = [
        np.linalg.solve(roots[l + 1].T, a) @ roots[l].T for l, a in enumerate(net.maps)
    ]  # undoes C_l^T A_l C_{l-1}^-T
    pattern = [skips and 1 < l < depth and widths[l] == widths[l - 1] for l in range(1, depth + 1)]
    multipliers = np.exp(rng.uniform(-0.7, 0.7, depth)) if precisions else np.ones(depth)
    weights = [
        (a - (np.eye(len(a)) if skip else 0)) / m
        for a, skip, m in zip(maps, pattern, multipliers, strict=True)
    ]
    back = np.linalg.inv(roots[-1])
    return LinearPCN(weights, multipliers=list(multipliers), skips=pattern, precisions=pis), back


@st.composite
def saddles(draw, case, variants=True):
    """A network at a critical point of F* built for one certificate, from its two conditions; and data.

    y = T x exactly. A_L = U B with U eigenvectors of S_yy, Q_{L-1} = B^+ U^T T + (rows that S_yx does not
    see).
    """
    rng = np.random.default_rng(draw(seeds))
    depth, outputs = draw(st.integers(2, 4)), draw(st.integers(2, 4))
    inputs = outputs + draw(st.integers(1, 3))
    x = rng.standard_normal((3 * inputs, inputs))
    data = Data(x, x @ rng.standard_normal((inputs, outputs)))
    vectors = np.linalg.eigh(data.yy)[1]  # ascending
    rank = draw(st.integers(1, outputs - 1))
    basis = vectors[:, :rank]  # never the top ones
    unseen = np.linalg.svd(data.yx)[2][outputs:]  # S_yx maps these rows to 0
    projected = basis.T @ np.linalg.lstsq(data.x, data.y, rcond=None)[0].T
    if case == "i":  # more hidden units than features
        hidden = rank + draw(st.integers(1, 2))
        reading = rng.standard_normal((rank, hidden))
        features = np.linalg.pinv(reading) @ projected
    elif case == "ii":  # features that the output does not read
        extra = draw(st.integers(1, len(unseen)))
        hidden = rank + extra
        reading = np.hstack([rng.standard_normal((rank, rank)), np.zeros((rank, extra))])
        features = np.vstack([np.linalg.solve(reading[:, :rank], projected), unseen[:extra]])
        mix = np.linalg.qr(rng.standard_normal((hidden, hidden)))[0]
        reading, features = reading @ mix.T, mix @ features
    else:
        hidden = rank
        reading = rng.standard_normal((rank, rank)) + 2 * np.eye(rank)
        assume(np.linalg.cond(reading) < 50)
        features = np.linalg.solve(reading, projected)
    between = [rng.standard_normal((hidden, hidden)) + 2 * np.eye(hidden) for _ in range(depth - 2)]
    first = features
    for matrix in reversed(between):
        assume(np.linalg.cond(matrix) < 50)
        first = np.linalg.solve(matrix, first)
    net = LinearPCN([first, *between, basis @ reading])
    if variants:
        net, back = coloured(net, rng, draw(st.booleans()), draw(st.booleans()))
        data = Data(data.x, data.y @ back)
    return net, data


@pytest.mark.claim("strict-saddles")
@pytest.mark.parametrize("case", ["i", "ii", "iii"])
@given(data=st.data())
def test_each_certificate_is_a_direction_of_the_curvature_it_predicts(case, data):
    net, samples = data.draw(saddles(case))
    objective = EquilibratedEnergy(samples)
    assert gradient_norm(objective, net) < 1e-8 * max(1, np.abs(samples.yy).max())
    escape = escape_direction(net, samples, case=case)
    hessian = objective.hessian(net)
    vector = np.concatenate([d.ravel() for d in escape.direction])
    scale = np.abs(hessian).max()
    assert escape.case == case
    assert_close(np.linalg.norm(vector), 1.0, size=len(vector))
    assert_close(escape.curvature, vector @ hessian @ vector, size=100 * len(vector), scale=scale)
    np.testing.assert_allclose(escape.predicted, escape.curvature, rtol=1e-7, atol=1e-9 * scale)
    assert np.linalg.eigvalsh(hessian)[0] - 1e-12 * scale <= escape.curvature < 0
    assert classify_critical_point(objective, net, gradient_tolerance=1e-6).kind == "strict saddle"


@pytest.mark.claim("strict-saddles")
@given(data=st.data())
def test_rotating_towards_a_larger_eigenvector_curves_by_the_difference_of_the_eigenvalues(data):
    net, samples = data.draw(saddles("iii", variants=False))
    escape = escape_direction(net, samples, case="iii")
    values = np.linalg.eigvalsh(samples.yy)
    inside = values[0]
    # undo the normalisation: dA_L = u_1 u_2^T A_L has the norm |A_L^T u_2|
    vectors = np.linalg.eigh(samples.yy)[1]
    ratio = np.linalg.norm(net.maps[-1].T @ vectors[:, 0]) / np.linalg.norm(escape.direction[-1])
    np.testing.assert_allclose(escape.curvature * ratio**2, inside - values[-1], rtol=1e-7)


@pytest.mark.claim("critical-points")
@pytest.mark.parametrize("case", ["i", "ii", "iii"])
@given(data=st.data())
@settings(max_examples=30)
def test_the_two_conditions_are_sufficient_and_there_all_hidden_errors_vanish(case, data):
    net, samples = data.draw(saddles(case))
    eq, loss = equilibrium(net, samples), MSELoss(samples)
    scale = np.abs(samples.y).max()
    r, last = eq.residual, net.precisions[-1].apply(eq.residual)
    assert np.abs(last @ net.maps[-1]).max() < 1e-8 * scale
    assert np.abs(last.T @ samples.x @ input_products(net)[-2].T).max() < 1e-7 * scale * len(r)
    assert gradient_norm(EquilibratedEnergy(samples), net) < 1e-7 * scale**2
    assert gradient_norm(loss, net) < 1e-7 * scale**2
    for error in eq.errors[:-1]:
        assert np.abs(error).max() < 1e-7 * scale
    np.testing.assert_allclose(eq.errors[-1], r, atol=1e-7 * scale)
    np.testing.assert_allclose(loss.value(net), eq.energy, atol=1e-7 * scale**2)


@pytest.mark.claim("critical-points")
@pytest.mark.evidence("empirical")
def test_inference_at_a_critical_point_ends_without_hidden_error_and_nothing_is_learned(rng):
    x = rng.standard_normal((12, 3))
    data = Data(x, x @ rng.standard_normal((3, 2)))
    u = np.linalg.eigh(data.yy)[1][:, :1]  # the smaller eigenvector of S_yy
    fit = np.linalg.lstsq(data.x, data.y @ u, rcond=None)[0].T
    net = LinearPCN([np.vstack([fit, 0 * fit]), np.eye(2), u @ np.array([[1.0, 0.7]])])
    at = [torch.tensor(a) for a in (data.x, data.y)]
    maps = plain_torch.as_maps(plain_torch.tensors(net), net)
    start = plain_torch.errors_of(maps, [*plain_torch.forward(maps, at[0])[:-1], at[1]])
    z = plain_torch.infer(maps, *at, 500)
    hidden = plain_torch.errors_of(maps, z)[:-1]
    assert float(start[-1].abs().max()) > 0.1
    assert max(float(e.abs().max()) for e in hidden) < 1e-12
    assert max(float(g.abs().max()) for g in plain_torch.local_gradient(maps, net, z)) < 1e-12
    # elsewhere, hidden errors remain
    moved = [maps[0], maps[1], maps[2] + 0.3 * torch.ones_like(maps[2])]
    z = plain_torch.infer(moved, *at, 500)
    assert float(plain_torch.errors_of(moved, z)[0].abs().max()) > 1e-2


SETTINGS = [
    # widths, noise rank of the outputs
    ((2, 2, 2), 0),
    ((3, 2, 1, 2), 0),
    ((2, 3, 3, 2), 0),
    ((2, 2, 2), 2),
    ((2, 1, 2), 2),
    ((1, 1, 1, 1), 1),
]


def sampled(widths, noise, rng):
    x = rng.standard_normal((20, widths[0]))
    y = x @ rng.standard_normal((widths[0], widths[-1]))
    return Data(x, y + (0.5 * rng.standard_normal(y.shape) if noise else 0))


@pytest.mark.claim("critical-points")
@pytest.mark.claim("strict-saddles")
@pytest.mark.parametrize(("widths", "noise"), SETTINGS)
def test_every_critical_point_found_obeys_both_theorems(widths, noise, rng):
    data = sampled(widths, noise, rng)
    objective = EquilibratedEnergy(data)
    found = find_critical_points(objective, LinearPCN.zeros(widths), 12, rng)
    assert len(found) >= 1
    for point in found:
        assert point.gradient_norm <= 1e-10
        eq = equilibrium(point.net, data)
        # necessity: the gradient is small, and errors enter the balance law squared
        assert max(np.abs(e).max() for e in eq.errors[:-1]) < 1e-3
        assert np.abs(eq.residual @ point.net.maps[-1]).max() < 1e-3
        assert gradient_norm(MSELoss(data), point.net) < 1e-3
        if noise:  # no minimum at all
            assert point.kind == "strict saddle"
        else:
            assert point.kind in ("strict saddle", "global minimum")
        if point.kind == "strict saddle":
            assert point.escape.case in ("i", "ii", "iii")
            assert point.escape.curvature < 0


@pytest.mark.claim("critical-points")
def test_a_critical_point_of_the_loss_need_not_be_one_of_the_energy(rng):
    """The converse fails: two dead layers stop backprop, but A_L^T R is not zero."""
    data = sampled((2, 2, 2, 2), 0, rng)
    net = LinearPCN([np.zeros((2, 2)), np.zeros((2, 2)), rng.standard_normal((2, 2))])
    assert gradient_norm(MSELoss(data), net) == 0
    assert gradient_norm(EquilibratedEnergy(data), net) > 1e-2


@pytest.mark.claim("strict-saddles")
def test_the_loss_has_saddles_that_are_not_strict_where_the_energy_has_none(rng):
    data = sampled((2, 2, 2, 2), 0, rng)
    origin = LinearPCN.zeros((2, 2, 2, 2))
    assert classify_critical_point(MSELoss(data), origin).kind == "degenerate"
    assert classify_critical_point(EquilibratedEnergy(data), origin).kind == "strict saddle"


@pytest.mark.claim("strict-saddles")
def test_without_correlation_a_critical_point_can_have_no_curvature_and_still_lead_down():
    net, data = non_strict_saddle()
    objective = EquilibratedEnergy(data)
    assert gradient_norm(objective, net) == 0
    assert not objective.hessian(net).any()
    assert classify_critical_point(objective, net).kind == "degenerate"
    with pytest.raises(ValueError, match="No certificate"):
        escape_direction(net, data)
    here = float(objective.value(net))
    falls = []
    for d in (0.1, 0.05, 0.025):
        there = objective.value(LinearPCN([[[1.0 - d]], [[np.sqrt(d)]]]))
        # F* = (1 + (1-d)^2 d) / (2 (1+d)): exactly d^2 (d - 2) / (2 (1 + d)) below
        assert_close(there - here, d**2 * (d - 2) / (2 * (1 + d)), size=10, scale=1.0)
        falls.append(here - there)
    assert min(falls) > 0


@pytest.mark.claim("strict-saddles")
@pytest.mark.parametrize("correlation", [0.1, -0.5])
def test_any_correlation_makes_that_saddle_strict(correlation):
    _, data = non_strict_saddle()
    data = Data(data.x, data.y + correlation * data.x)  # the noise has full rank, and S_yx is not 0
    objective = EquilibratedEnergy(data)
    found = find_critical_points(objective, LinearPCN.zeros((1, 1, 1)), 30, rng=0)
    assert len(found) == 1  # only the origin is left
    assert found.points[0].kind == "strict saddle"
    assert np.abs(found.points[0].net.flatten()).max() < 1e-8


@pytest.mark.claim("strict-saddles")
def test_without_correlation_there_can_be_local_minima_that_are_not_global():
    _, data = non_strict_saddle()
    objective = EquilibratedEnergy(data)
    net = LinearPCN([[[1.5]], [[0.0]]])  # w_1^2 S_xx > S_yy
    point = classify_critical_point(objective, net)
    assert (point.kind, point.form.case) == ("local minimum", "ii'")
    assert_close(point.form.value, 1.5**2 - 1, size=10)
    assert_close(point.value, 0.5, size=10)
    assert infimum(objective, net) == 0
    rng = np.random.default_rng(0)
    near = [objective.value(net.unflatten(net.flatten() + 0.1 * rng.uniform(-1, 1, 2))) for _ in range(500)]
    assert min(near) >= 0.5 - 1e-15


@pytest.mark.claim("strict-saddles")
def test_one_layer_has_only_global_minima(rng):
    data = sampled((3, 2), 2, rng)
    found = find_critical_points(EquilibratedEnergy(data), LinearPCN.zeros((3, 2)), 5, rng)
    assert [p.kind for p in found] == ["global minimum"]
    with pytest.raises(ValueError, match="convex"):
        escape_direction(LinearPCN.zeros((3, 2)), data)


@pytest.mark.claim("no-minimiser-with-noise")
@given(seed=seeds)
@settings(max_examples=20)
def test_scaling_the_last_layer_against_the_first_sends_the_energy_to_its_infimum(seed):
    rng = np.random.default_rng(seed)
    data = sampled((3, 2, 3), 3, rng)
    vectors = np.linalg.eigh(data.yy)[1][:, ::-1]
    net = LinearPCN([rng.standard_normal((2, 3)), vectors[:, :2]])
    objective = EquilibratedEnergy(data)
    values, losses = [], []
    for s in (1.0, 10.0, 100.0, 1e3):
        scaled = net.replace(weights=[net.weights[0] / s, net.weights[1] * s])
        values.append(float(objective.value(scaled)))
        losses.append(float(MSELoss(data).value(scaled)))
    np.testing.assert_allclose(losses, losses[0], rtol=1e-10)
    assert np.all(np.diff(values) < 0)
    bound = infimum(objective, net)
    assert bound <= values[-1]
    np.testing.assert_allclose(values[-1], bound, atol=1e-5 * np.trace(data.yy))
    # and no network is below the bound
    for _ in range(20):
        assert objective.value(LinearPCN.random((3, 2, 3), init=2.0, rng=rng)) >= bound


def noisy(level, rng):
    x = rng.standard_normal((20, 2))
    return Data(x, x @ rng.standard_normal((2, 2)) + level * rng.standard_normal((20, 2)))


@pytest.mark.claim("no-minimiser-with-noise")
@pytest.mark.parametrize("remedy", ["decay", "likelihood"])
def test_weight_decay_and_the_full_likelihood_have_a_minimiser(remedy, rng):
    data = noisy(2.0, rng)
    decayed = WeightDecay(EquilibratedEnergy(data), 0.02)
    objective = decayed if remedy == "decay" else NegativeLogLikelihood(data)
    path = gradient_flow(objective, LinearPCN.random((2, 1, 2), rng=rng), [0.0, 300.0, 1e3])
    assert path.status == "completed"
    best = classify_critical_point(objective, path.network(-1))
    assert best.kind == "local minimum"
    for s in (0.1, 0.5, 2.0, 10.0, 100.0):
        first, last = best.net.weights
        assert objective.value(best.net.replace(weights=[first / s, last * s])) > best.value + 1e-3
    assert infimum(objective, best.net) is None


@pytest.mark.claim("no-minimiser-with-noise")
def test_the_likelihood_has_a_minimiser_only_if_the_noise_exceeds_the_assumed_one(rng):
    """Residual variance below Sigma_L: S should fall to Sigma_L, and W_L -> 0, W_1 -> inf at a fixed map gets
    there.
    """
    data = noisy(0.3, rng)
    objective = NegativeLogLikelihood(data)
    top = np.linalg.svd(data.yx)[0][:, :1]
    fit = np.linalg.lstsq(data.x, data.y @ top, rcond=None)[0].T
    values = [float(objective.value(LinearPCN([fit / s, top * s]))) for s in (3.0, 1.0, 0.3, 0.1, 0.03)]
    assert np.all(np.diff(values) < 0)


@given(seed=seeds)
@settings(max_examples=20)
def test_the_infimum_of_the_loss_is_the_best_map_of_the_networks_rank(seed):
    rng = np.random.default_rng(seed)
    data = sampled((4, 2, 3, 3), 3, rng)
    objective = MSELoss(data)
    best = np.linalg.lstsq(data.x, data.y, rcond=None)[0]  # (n_0, n_L)
    top = np.linalg.svd(data.x @ best)[2][:2]  # the two output directions with the most predictable variance
    net = LinearPCN([top @ best.T, np.eye(3, 2), top.T @ np.eye(2, 3)])
    bound = infimum(objective, net)
    np.testing.assert_allclose(objective.value(net), bound, rtol=1e-9)
    assert gradient_norm(objective, net) < 1e-9
    assert classify_critical_point(objective, net).kind == "global minimum"
    for _ in range(20):
        assert objective.value(LinearPCN.random((4, 2, 3, 3), rng=rng)) >= bound


@pytest.mark.claim("strict-saddles")
@pytest.mark.claim("zero-rank-saddles")
@pytest.mark.evidence("empirical")
def test_training_leaves_a_saddle_at_the_rate_of_its_curvature_where_backprop_stays(rng):
    """From a tiny push along the certificate PC grows by 1 - step * curvature a step; BP stands still."""
    data = sampled((3, 3, 3, 2), 0, rng)
    net = LinearPCN([np.zeros((3, 3)), 0.4 * rng.standard_normal((3, 3)), np.zeros((2, 3))])
    escape = escape_direction(net, data)
    push = 1e-5
    x, y = torch.tensor(data.x), torch.tensor(data.y)
    start = [torch.tensor(w + push * d) for w, d in zip(net.weights, escape.direction, strict=True)]
    rate, steps = 0.02 / abs(escape.curvature), 25
    weights = {"pc": start, "bp": start}
    for _ in range(steps):
        pc = plain_torch.pc_gradient(weights["pc"], net, x, y, steps=120)
        bp = plain_torch.bp_gradient(weights["bp"], net, x, y)
        weights["pc"] = [w - rate * g for w, g in zip(weights["pc"], pc, strict=True)]
        weights["bp"] = [w - rate * g for w, g in zip(weights["bp"], bp, strict=True)]

    def along(ws):
        return sum(
            float(np.sum((w.numpy() - a) * d))
            for w, a, d in zip(ws, net.weights, escape.direction, strict=True)
        )

    hessian = EquilibratedEnergy(data).hessian(net)
    vector = np.concatenate([d.ravel() for d in escape.direction])
    power = np.linalg.matrix_power(np.eye(len(hessian)) - rate * hessian, steps) @ vector
    np.testing.assert_allclose(along(weights["pc"]) / push, vector @ power, rtol=1e-3)
    assert along(weights["pc"]) > 1.5 * push
    sharp = np.linalg.matrix_power(np.eye(len(hessian)) - rate * MSELoss(data).hessian(net), steps) @ vector
    np.testing.assert_allclose(along(weights["bp"]) / push, vector @ sharp, rtol=1e-3)


def test_large_networks_are_classified_by_the_ends_of_their_spectrum(rng):
    data = Data(rng.standard_normal((30, 12)), rng.standard_normal((30, 8)))
    origin = LinearPCN.zeros((12, 20, 10, 8))
    point = classify_critical_point(EquilibratedEnergy(data), origin)
    assert (point.kind, point.index) == ("strict saddle", None)
    top = np.linalg.eigvalsh(data.yy)[-1]
    np.testing.assert_allclose([point.min_curvature, point.escape.curvature], -top, rtol=1e-7)
    likelihood = classify_critical_point(NegativeLogLikelihood(data), origin)
    ends = extreme_eigenvalues(NegativeLogLikelihood(data), origin)
    np.testing.assert_allclose(likelihood.min_curvature, ends.smallest[0])


def test_kinds_counts_and_signs_are_reported(rng):
    data = sampled((2, 2, 2), 0, rng)
    found = find_critical_points(MSELoss(data), LinearPCN.zeros((2, 2, 2)), 12, rng)
    assert len(found) + found.num_duplicates + found.num_escaped + found.num_stalled == 12
    assert sum(len(found.of_kind(k)) for k in ("global minimum", "strict saddle")) == len(found)
    assert [p.value for p in found] == sorted(p.value for p in found)
    net = LinearPCN.random((2, 2, 2), rng=rng)
    assert classify_critical_point(MSELoss(data), net).kind == "not critical"
    decayed = WeightDecay(MSELoss(data), 100.0)
    assert classify_critical_point(decayed, LinearPCN.zeros((2, 2, 2))).kind == "local minimum"


def test_errors_say_the_rule(rng):
    data = sampled((2, 2, 2), 0, rng)
    net = LinearPCN.random((2, 2, 2), rng=rng)
    with pytest.raises(ValueError, match="`net` must be a critical point"):
        escape_direction(net, data)
    with pytest.raises(ValueError, match="`case` must be one of"):
        escape_direction(net, data, case="iv")
    with pytest.raises(ValueError, match="perfect fit"):
        escape_direction(net, Data.teacher(net, 10, rng=rng))
    with pytest.raises(ValueError, match="`multipliers` must not be 0"):
        escape_direction(net.replace(multipliers=(1.0, 0.0)), data)
    with pytest.raises(ValueError, match='certificate "iii"'):
        escape_direction(LinearPCN.zeros((2, 3, 2)), data, case="iii")
    with pytest.raises(ValueError, match="at most 300 weights"):
        find_critical_points(MSELoss(data), LinearPCN.zeros((2, 300, 2)), 1, rng)
    with pytest.raises(TypeError, match="`rng` must be"):
        find_critical_points(MSELoss(data), net, 1, None)
