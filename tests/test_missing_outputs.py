"""Targets that are missing: the equilibrium and the landscape against a minimum over the free outputs."""

import numpy as np
import pytest
import torch
from hypothesis import given
from strategies import problems, seeds
from tolerances import EPS, assert_close

from pctheory import (
    Data,
    EquilibratedEnergy,
    LinearPCN,
    MSELoss,
    NegativeLogLikelihood,
    classify_critical_point,
    equilibrium,
    gradient_descent,
    gradient_flow,
    imbalance,
    loss,
)
from pctheory.dynamics import fit_sharpness, imbalance_rate
from pctheory.inference import rescaling
from pctheory.landscape import EnvelopeEnergy, origin_hessian, second_order_form
from pctheory.limits import mean_field_training
from pctheory.nn import PCN, Stop, infer

claim = pytest.mark.claim("missing-outputs")


def masked(data, rng):
    """The data with part of the targets missing, NaN there: one sample complete, one empty."""
    observed = rng.random(data.y.shape) < 0.6
    observed[0] = True
    observed[-1] = False
    return Data(data.x, np.where(observed, data.y, np.nan), observed)


def schur(matrix, residual, observed):
    """sum_i r_O^T (matrix_OO)^-1 r_O / 2B, sample by sample."""
    total = 0.0
    for r, o in zip(residual, observed, strict=True):
        if o.any():
            total += r[o] @ np.linalg.solve(matrix[np.ix_(o, o)], r[o])
    return total / (2 * len(residual))


@claim
@given(problem=problems(max_samples=6), seed=seeds)
def test_the_energy_is_that_of_the_observed_block_and_least_over_the_free_outputs(problem, seed):
    net, data = problem
    if data.num_samples < 3:
        data = Data(np.tile(data.x, (3, 1)), np.tile(data.y, (3, 1)))
    data = masked(data, np.random.default_rng(seed))
    at = equilibrium(net, data)
    S = np.asarray(rescaling(net))
    kappa = np.linalg.cond(S)
    residual = data.y - np.asarray(at.activities[-1] - at.residual)
    exact = schur(S, residual, data.observed)
    assert_close(at.energy, exact, size=256, kappa=kappa, scale=exact + float(np.mean(data.y**2)))
    # the equilibrium with the outputs that were filled in, which no other filling lies below
    filled = at.activities[-1]
    np.testing.assert_array_equal(filled[data.observed], data.y[data.observed])
    other = equilibrium(net, Data(data.x, filled))
    scale = 1 + max(float(np.max(np.abs(z))) for z in other.activities)
    for ours, theirs in zip(at.activities, other.activities, strict=True):
        assert_close(ours, theirs, size=256, kappa=kappa, scale=scale)
    free = np.where(data.observed, 0.0, 1.0)
    slope = net.precisions[-1].apply(at.errors[-1]) * free
    assert np.max(np.abs(slope)) <= 1e3 * EPS * kappa * scale * net.precisions[-1].extremes[1]
    assert float(at.energy) <= float(other.energy) * (1 + 1e-9) + 1e-12 * scale**2


@claim
@pytest.mark.parametrize("objective", [MSELoss, EquilibratedEnergy])
@pytest.mark.parametrize(
    ("widths", "last"),
    [((3, 4, 2, 4), "vector"), ((3, 2, 5, 4), 2.0), ((2, 3, 3, 5), "matrix"), ((3, 4), 0.5)],
)
def test_gradient_and_curvature_are_those_of_the_value(objective, widths, last):
    rng = np.random.default_rng(0)
    n = widths[-1]
    kinds = {"vector": np.linspace(0.5, 2, n), "matrix": np.diag(np.linspace(1, 2, n)) + 0.2}
    net = LinearPCN.random(widths, rng=1, precisions=[2.0] * (len(widths) - 2) + [kinds.get(last, last)])
    net = net.replace(multipliers=np.linspace(0.5, 1.5, net.depth))
    data = masked(Data(rng.standard_normal((7, widths[0])), rng.standard_normal((7, n))), rng)
    f, v = objective(data), net.flatten()
    metric = np.linalg.inv(net.precisions[-1].matrix(v)) if objective is MSELoss else rescaling(net)
    residual = data.y - data.x @ np.linalg.multi_dot([*net.maps[::-1], np.eye(widths[0])]).T
    assert_close(f.value(net), schur(metric, residual, data.observed), size=100)
    assert_close(f.values(net, v[None])[0], f.value(net), size=1)
    direction, h = rng.standard_normal(v.shape), 1e-5
    up, down = (net.unflatten(v + s * h * direction) for s in (1, -1))
    slope = (float(f.value(up)) - float(f.value(down))) / (2 * h)
    assert net.join(f.gradient(net)) @ direction == pytest.approx(slope, rel=1e-7)
    change = (net.join(f.gradient(up)) - net.join(f.gradient(down))) / (2 * h)
    product = f.hvp(net, direction)
    np.testing.assert_allclose(product, change, atol=1e-7 * np.max(np.abs(product)))
    np.testing.assert_allclose(f.hessian(net) @ direction, product, atol=1e-12 * np.max(np.abs(product)))


@claim
def test_a_complete_mask_changes_nothing_and_equal_patterns_give_equal_answers():
    rng = np.random.default_rng(2)
    net = LinearPCN.random((3, 2, 4), rng=1)
    x, y = rng.standard_normal((6, 3)), rng.standard_normal((6, 4))
    assert Data(x, y, np.ones((6, 4), dtype=bool)).observed is None
    pattern = np.array([True, False, True, True])
    data = Data(x, y, np.tile(pattern, (6, 1)))
    alone = LinearPCN([net.weights[0], net.weights[1][pattern]])
    rest = EquilibratedEnergy(Data(x, y[:, pattern]))
    assert_close(EquilibratedEnergy(data).value(net), rest.value(alone), size=50)
    for ours, theirs in zip(EquilibratedEnergy(data).gradient(net), rest.gradient(alone), strict=True):
        assert_close(ours[pattern] if ours.shape[0] == 4 else ours, theirs, size=200)
    assert np.max(np.abs(EquilibratedEnergy(data).gradient(net)[1][~pattern])) == 0.0


@claim
@pytest.mark.evidence("empirical")
@pytest.mark.parametrize("method", ["gd", "momentum", "adam"])
def test_inference_that_clamps_the_observed_outputs_ends_there(method):
    rng = np.random.default_rng(0)
    net = LinearPCN.random((3, 4, 4, 3), rng=1)
    data = masked(Data(rng.standard_normal((7, 3)), rng.standard_normal((7, 3))), rng)
    y = np.where(data.observed, data.y, np.nan)
    stop = Stop(num_steps=20000, tolerance=1e-12 if method != "adam" else 1e-5)
    found = infer(PCN.from_linear(net), data.x, y, method, observed=data.observed, stop=stop)
    at = equilibrium(net, data)
    near = 1e-10 if method != "adam" else 1e-3
    for ours, theirs in zip(found.activities, at.activities, strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs, atol=near)
    assert found.energy == pytest.approx(float(at.energy), rel=near)


@claim
def test_gradients_pass_through_torch_and_the_flow_obeys_the_balance_law():
    rng = np.random.default_rng(3)
    net = LinearPCN.random((3, 2, 3, 4), rng=1)
    data = masked(Data(rng.standard_normal((6, 3)), rng.standard_normal((6, 4))), rng)
    weights = [torch.tensor(w, requires_grad=True) for w in net.weights]
    own = Data(torch.tensor(data.x), torch.tensor(data.y), torch.tensor(data.observed))
    automatic = torch.autograd.grad(equilibrium(LinearPCN(weights), own).energy, weights)
    energy = EquilibratedEnergy(data)
    for ours, theirs in zip(energy.gradient(net), automatic, strict=True):
        np.testing.assert_allclose(ours, theirs.numpy(), atol=1e-13)
    path = gradient_flow(energy, net, np.array([0.0, 1e-3]), rtol=1e-12, atol=1e-14)
    drift = [(b - a) / 1e-3 for a, b in zip(imbalance(net), imbalance(path.network(-1)), strict=True)]
    for ours, theirs in zip(imbalance_rate(net, data), drift, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0.02, atol=1e-3 * np.max(np.abs(theirs)))
    assert gradient_descent(energy, net, 0.1, 3).status == "completed"


@claim
@pytest.mark.parametrize("seed", range(3))
def test_where_descent_ends_no_hidden_error_is_left_on_any_sample(seed):
    """Critical iff A_L^T delta_i = 0 for each sample and <delta x^T> Q_{L-1}^T = 0."""
    rng = np.random.default_rng(seed)
    data = masked(Data(rng.standard_normal((6, 3)), rng.standard_normal((6, 3))), rng)
    energy = EquilibratedEnergy(data)
    net = LinearPCN.zeros((3, 2, 3))
    assert max(np.max(np.abs(g)) for g in energy.gradient(net)) == 0.0
    assert np.max(np.abs(equilibrium(net, data).errors[0])) == 0.0
    # a second one: W_1 = 0 and A_L of one unit that is orthogonal to every observed target
    y = np.where(data.observed, data.y, 0.0)
    y[:, 0] = 0.0
    axis = Data(data.x, y, data.observed)
    net = LinearPCN([np.zeros((1, 3)), np.array([[0.7], [0.0], [0.0]])])
    at = equilibrium(net, axis)
    gradient = EquilibratedEnergy(axis).gradient(net)
    assert max(np.max(np.abs(g)) for g in gradient) <= 1e-15
    assert np.max(np.abs(at.errors[0])) <= 1e-15
    assert float(at.energy) == pytest.approx(float(loss(net, axis)), rel=1e-14)


@claim
def test_missing_targets_make_a_local_minimum_that_is_not_global():
    """2-1-3, y = (1, ?, 0), (0, 0, 1.2): complete data have no such minimum (strict-saddles)."""
    y = np.array([[1.0, np.nan, 0.0], [0.0, 0.0, 1.2]])
    data = Data(np.eye(2), y, ~np.isnan(y))
    energy = EquilibratedEnergy(data)
    trapped = LinearPCN([[[1.0, 0.0]], [[1.0], [1.0], [0.0]]])
    best = LinearPCN([[[0.0, 1.2]], [[0.0], [0.0], [1.0]]])
    for net, value in ((trapped, 0.36), (best, 0.25)):
        assert max(np.max(np.abs(g)) for g in energy.gradient(net)) <= 1e-15
        assert float(energy.value(net)) == pytest.approx(value, rel=1e-14)
        assert np.linalg.eigvalsh(energy.hessian(net))[0] >= -1e-14
        # the least energy in the neighbourhood, which does not lie below
        rng = np.random.default_rng(0)
        around = net.flatten() + 0.03 * rng.standard_normal((100, net.num_weights))
        assert np.min(np.asarray(energy.values(net, around))) >= value - 1e-12
        assert classify_critical_point(energy, net).kind == "degenerate"
    # with the target observed, whatever its value near 0, the same point can be left
    complete = EquilibratedEnergy(Data(np.eye(2), np.nan_to_num(y)))
    found = gradient_descent(complete, trapped.unflatten(trapped.flatten() + 1e-3), 0.5, 500, record=500)
    assert float(found.values()[-1]) == pytest.approx(0.25, abs=1e-3)
    stays = gradient_descent(energy, trapped.unflatten(trapped.flatten() + 1e-3), 0.5, 500, record=500)
    assert float(stays.values()[-1]) == pytest.approx(0.36, abs=1e-3)


def example():
    return Data([[1.0], [2.0]], [[1.0, 2.0], [3.0, 0.0]], [[True, True], [True, False]])


@pytest.mark.parametrize(
    "use",
    [
        lambda net, data: data.yx,
        lambda net, data: data.yy,
        lambda net, data: data.compress(),
        lambda net, data: data.residual_noise(),
        lambda net, data: NegativeLogLikelihood(data),
        lambda net, data: EnvelopeEnergy(data, "mse").value(net),
        lambda net, data: equilibrium(net, data, output="cross-entropy"),
        lambda net, data: origin_hessian(EquilibratedEnergy(data), net.widths),
        lambda net, data: fit_sharpness(MSELoss(data), net),
        lambda net, data: second_order_form(LinearPCN.zeros(net.widths), data),
        lambda net, data: mean_field_training(data, 1, learning_rate=0.1, num_steps=1),
    ],
)
def test_what_needs_every_target_says_so(use):
    with pytest.raises(ValueError, match="`data` must have every target observed here. Got 1 missing"):
        use(LinearPCN.random((1, 2, 2), rng=0), example())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Data([[1.0]], [[np.nan]]), "Got 1 NaN entries: if they are missing, pass observed=~np.isna"),
        (lambda: Data([[1.0]], [[1.0]], [[1.0]]), "`observed` must be booleans of the shape of y"),
        (lambda: Data([[1.0]], [[1.0]], [True]), r"Got an array of shape \(1,\) and dtype bool"),
        (lambda: Data([[1.0]], [[np.nan]], [[True]]), "`y` must be finite"),
        (lambda: Data([[1.0]], [2]), r"for class labels pass np.eye\(num_classes\)\[labels\]"),
        (
            lambda: equilibrium(LinearPCN.zeros((1, 2)), example(), method="sweep"),
            "`method` must be 'auto' where targets are missing",
        ),
        (
            lambda: equilibrium(LinearPCN.zeros((1, 2)), example().take([0]), output="hinge"),
            "`output` must be one of 'mse', 'cross-entropy'",
        ),
        (
            lambda: infer(
                PCN.from_weights([[[1.0]]]), [[1.0]], [[1.0]], clamp=[True, True], observed=[[True]]
            ),
            "`clamp` must be None with `observed`",
        ),
    ],
)
def test_a_wrong_mask_is_answered_in_one_sentence(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_the_mask_goes_along_with_the_samples():
    data = example()
    assert data.take([1]).observed.tolist() == [[True, False]]
    assert data.to_numpy() is data
    assert Data(torch.tensor(data.x), torch.tensor(data.y), data.observed).to_numpy().observed.sum() == 3
    assert repr(data) == "Data(2 samples, 1 -> 2, 3 of 4 targets observed)"
