"""The negative log likelihood in weights, biases and the logarithms of precisions, from independent roads."""

import copy
import pickle

import mpmath
import numpy as np
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import seeds
from test_precisions import posterior_moments, samples

from pctheory import (
    Data,
    EquilibratedEnergy,
    LinearPCN,
    MSELoss,
    NegativeLogLikelihood,
    WeightDecay,
    classify_critical_point,
    extreme_eigenvalues,
    find_critical_points,
    gradient_descent,
    gradient_flow,
    landscape_slice,
)
from pctheory.learning import precision_gradient, update_precisions

pytestmark = pytest.mark.claim("precision-learning")

EVERYTHING = ("weights", "biases", "precisions")


def network(depth, seed, biases=True):
    """Unequal widths; precisions that are numbers and vectors, all different from 1."""
    rng = np.random.default_rng(seed)
    widths = [int(n) for n in rng.integers(1, 4, depth + 1)]
    precisions = [
        float(np.exp(rng.uniform(-1, 1))) if rng.random() < 0.5 else np.exp(rng.uniform(-1, 1, n))
        for n in widths[1:]
    ]
    return LinearPCN.random(
        widths, parameterisation="ntp", precisions=precisions, biases=0.5 if biases else None, rng=rng
    )


def in_torch(objective, net):
    """The objective of one vector by its definition, from dense Gaussian algebra in torch."""
    torch = pytest.importorskip("torch")
    own, data = objective.coordinates(net), objective.samples
    x, y = torch.tensor(data.x), torch.tensor(data.y)
    count = net.depth

    def value(vector):
        parts = own.split(vector)
        given = [torch.tensor(np.asarray(p)) for p in own.parameters]
        masks = own.layout.fixed or [np.zeros(p.shape, bool) for p in given]
        parts = [torch.where(torch.tensor(m), g, p) for m, g, p in zip(masks, given, parts, strict=True)]
        weights = parts[:count]
        shifts = parts[count : 2 * count] if net.biases else [torch.zeros(n) for n in net.widths[1:]]
        if len(parts) > count + len(net.biases):
            variances = [torch.exp(-log) for log in parts[-count:]]
        else:
            variances = [1 / torch.as_tensor(p.value) for p in net.precisions]
        mean, covariance = x, torch.zeros(net.widths[0], net.widths[0], dtype=x.dtype)
        for a, w, b, v in zip(net.multipliers, weights, shifts, variances, strict=True):
            mean = mean @ (a * w).T + b
            covariance = a**2 * w @ covariance @ w.T + torch.diag(v * torch.ones(len(w), dtype=x.dtype))
        rest = y - mean
        fit = 0.5 * (rest * torch.linalg.solve(covariance, rest.T).T).sum() / len(x)
        return fit + 0.5 * torch.logdet(covariance)

    return torch, value, torch.tensor(np.asarray(own.flatten()))


@settings(max_examples=20)
@given(
    st.integers(1, 4),
    seeds,
    st.booleans(),
    st.sampled_from([("precisions",), ("weights", "precisions"), ("biases", "precisions"), EVERYTHING]),
)
def test_value_gradient_and_hessian_are_those_of_the_gaussian_in_all_coordinates(depth, seed, biases, learn):
    net = network(depth, seed, biases)
    objective = NegativeLogLikelihood(samples(net, seed), learn=learn)
    torch, value, at = in_torch(objective, net)
    own = objective.coordinates(net)
    assert len(at) == own.num_weights
    scale = float(torch.func.hessian(value)(at).abs().max()) + float(abs(value(at)))
    assert float(objective.value(net)) == pytest.approx(float(value(at)), rel=1e-12, abs=1e-12)
    gradient = own.join(objective.gradient(net))
    np.testing.assert_allclose(gradient, torch.func.grad(value)(at), atol=1e-12 * scale)
    np.testing.assert_allclose(objective.hessian(net), torch.func.hessian(value)(at), atol=1e-12 * scale)
    direction = np.random.default_rng(seed).standard_normal(len(at))
    product = objective.hessian(net) @ direction
    np.testing.assert_allclose(objective.hvp(net, direction), product, atol=1e-12 * scale * len(at))
    apart = objective.hvp(net, own.split(direction))
    np.testing.assert_allclose(own.join(apart), product, atol=1e-12 * scale * len(at))


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_skips_and_multipliers_count(depth):
    net = LinearPCN.random((2, *[3] * (depth - 1), 2), parameterisation="mupc", skips=depth > 2, rng=0)
    objective = NegativeLogLikelihood(samples(net, 0), learn=("weights", "precisions"))
    own, h = objective.coordinates(net.replace(precisions=[0.7, *[2.0] * (depth - 1)])), 1e-5
    vector, gradient = own.flatten(), own.join(objective.gradient(own))
    ends = [vector + sign * h * e for e in np.eye(len(vector)) for sign in (1, -1)]
    values = np.asarray(objective.values(own, np.stack(ends))).reshape(-1, 2)
    np.testing.assert_allclose((values[:, 0] - values[:, 1]) / (2 * h), gradient, atol=1e-9)


def test_a_chain_to_forty_digits():
    """One hidden unit, biases, unequal precisions: value, gradient and curvature along a direction."""
    net = LinearPCN([[[0.7]], [[-1.3]]], biases=[[0.2], [-0.4]], precisions=[0.3, 5.0])
    data = Data([[1.0], [-0.5], [2.0]], [[0.4], [1.0], [-3.0]])
    objective = NegativeLogLikelihood(data, learn=EVERYTHING)
    direction = np.array([0.3, -0.2, 0.5, 0.1, -0.7, 0.4])
    with mpmath.workdps(40):
        numbers = [mpmath.mpf(float(v)) for v in net.flatten()] + [mpmath.log(0.3), mpmath.log(5.0)]

        def value(*p):
            scale = mpmath.exp(-p[5]) + p[1] ** 2 * mpmath.exp(-p[4])
            rows = zip(data.x[:, 0], data.y[:, 0], strict=True)
            rest = [float(y) - p[1] * (p[0] * float(x) + p[2]) - p[3] for x, y in rows]
            return sum(r**2 for r in rest) / (2 * len(rest) * scale) + mpmath.log(scale) / 2

        def along(t):
            return value(*(n + t * float(d) for n, d in zip(numbers, direction, strict=True)))

        orders = np.eye(6, dtype=int)
        gradient = [float(mpmath.diff(value, numbers, tuple(int(n) for n in row))) for row in orders]
        exact, curvature = float(value(*numbers)), float(mpmath.diff(along, 0, 2))
    own = objective.coordinates(net)
    assert float(objective.value(net)) == pytest.approx(exact, rel=1e-14)
    np.testing.assert_allclose(own.join(objective.gradient(net)), gradient, rtol=1e-13, atol=1e-14)
    assert direction @ objective.hvp(net, direction) == pytest.approx(curvature, rel=1e-13)


@pytest.mark.evidence("symbolic")
def test_the_gradient_in_a_log_precision_follows_from_the_energy_of_the_activities():
    """-log of the integral of exp(-F) over the hidden unit, by sympy; its derivative is the formula's."""
    w1, w2, x, y, z = sp.symbols("w1 w2 x y z", real=True)
    first, last = sp.symbols("pi1 pi2", positive=True)
    energy = (first * (z - w1 * x) ** 2 + last * (y - w2 * z) ** 2) / 2
    curvature = sp.diff(energy, z, 2)
    best = sp.solve(sp.diff(energy, z), z)[0]
    negative_log = energy.subs(z, best) + sp.log(curvature) / 2 - sp.log(first * last) / 2
    size = 1 / last + w2**2 / first
    for precision, product in ((first, w2), (last, sp.S.One)):
        whitened = product**2 / size  # p_l^2
        formula = whitened / precision * ((y - w2 * w1 * x) ** 2 / size - 1) / 2
        slope = precision * sp.diff(negative_log, precision)  # the derivative in log pi
        assert sp.cancel(sp.together(slope - formula)) == 0
        assert sp.cancel(sp.together(slope + formula)) != 0


def test_the_gradient_is_that_of_the_precisions_by_the_chain_rule_and_vanishes_where_em_rests():
    net = network(3, 8, biases=False)
    data = samples(net, 1, count=50)
    objective = NegativeLogLikelihood(data, learn=("precisions",))
    logs = objective.gradient(net)[3:]
    exact = posterior_moments(net, data)
    rows = zip(logs, net.precisions, precision_gradient(net, data), exact, strict=True)
    for log, precision, matrix, moment in rows:
        whole = np.diag(matrix) * precision.value
        by_moment = (np.diag(moment) * precision.value - 1) / 2
        np.testing.assert_allclose(log, whole if np.ndim(log) else whole.sum(), rtol=1e-10, atol=1e-13)
        np.testing.assert_allclose(log, by_moment if np.ndim(log) else by_moment.sum(), rtol=1e-9, atol=1e-12)


def test_the_flow_in_weights_and_precisions_reaches_the_least_likelihood_and_em_agrees():
    """Targets whose residual noise is smaller than what a precision of 1 assumes."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((60, 2))
    data = Data(x, x @ rng.standard_normal((2, 2)) + 0.3 * rng.standard_normal((60, 2)))
    noise = data.residual_noise()
    least = 1.0 + 0.5 * np.linalg.slogdet(noise)[1]
    net = LinearPCN.random((2, 2, 2), rng=1, precisions=[np.ones(2), np.ones(2)])
    objective = NegativeLogLikelihood(data, learn=("weights", "precisions"))
    path = gradient_flow(objective, net, [0.0, 10.0, 300.0])
    values = path.values()
    assert path.status == "completed"
    assert values[0] > values[1] >= values[2] - 1e-12
    assert values[2] == pytest.approx(least, abs=1e-10)
    end = path.network(-1)
    assert end.num_weights == net.num_weights
    assert float(NegativeLogLikelihood(data).value(end)) == pytest.approx(values[2], rel=1e-14)
    held = gradient_flow(NegativeLogLikelihood(data), net, [0.0, 300.0])
    assert held.values()[-1] > values[2] + 0.1
    rested = update_precisions(end, data, shape="diagonal")
    pairs = zip(rested.precisions, end.precisions, strict=True)
    assert all(np.allclose(new.value, old.value, rtol=1e-6) for new, old in pairs)


def test_every_tool_of_the_landscape_takes_it():
    data = Data([[1.0], [-1.0]], [[1.5], [-0.5]])
    net = LinearPCN([[[0.4]]], precisions=[2.0])  # y = w x + noise: the minimum is at w = 1, 1/pi = .25
    objective = NegativeLogLikelihood(data, learn=("weights", "precisions"))
    found = find_critical_points(objective, net, 10, rng=0).points
    assert [point.kind for point in found] == ["local minimum"]
    point = found[0]
    assert point.value == pytest.approx(0.5 + 0.5 * np.log(0.25), rel=1e-12)
    assert point.net.weights[0].item() == pytest.approx(1.0, rel=1e-9)
    assert point.net.precisions[0].value == pytest.approx(4.0, rel=1e-9)
    ends = extreme_eigenvalues(objective, point.net)
    np.testing.assert_allclose([ends.smallest[0], ends.largest[0]], [0.5, 4.0], rtol=1e-8)
    around = landscape_slice(objective, point.net, [[1.0, 0.0], [0.0, 1.0]], extent=0.5, num=5)
    at = around.axes[0]
    middle = objective.coordinates(point.net).flatten()
    w, log = np.meshgrid(middle[0] + at, middle[1] + at)
    squares = ((1.5 - w) ** 2 + (-0.5 + w) ** 2) / 2
    np.testing.assert_allclose(around.values, squares * np.exp(log) / 2 - log / 2, rtol=1e-13)
    walk = gradient_descent(objective, net, 0.1, 400)
    assert walk.values()[-1] == pytest.approx(point.value, abs=1e-10)
    assert around.project(walk).shape == (401, 2)
    saddle = LinearPCN([[[0.0]], [[0.0]]], precisions=[1.0, 1 / 1.25])
    kind = classify_critical_point(objective, saddle)
    assert kind.kind == "strict saddle"
    assert kind.escape is not None
    assert [np.shape(part) for part in kind.escape.direction] == [(1, 1), (1, 1), (), ()]


@given(st.integers(1, 3), seeds, st.booleans())
def test_a_stack_of_networks_has_the_values_of_each(depth, seed, biases):
    net = network(depth, seed, biases)
    objective = WeightDecay(NegativeLogLikelihood(samples(net, seed), learn=EVERYTHING), 0.1)
    own = objective.coordinates(net)
    vectors = np.random.default_rng(seed).standard_normal((4, own.num_weights))
    each = [float(objective.value(own.unflatten(v))) for v in vectors]
    np.testing.assert_allclose(objective.values(net, vectors), each, rtol=1e-10)


def test_the_value_is_differentiable_in_torch():
    torch = pytest.importorskip("torch")
    net = network(2, 5)
    objective = NegativeLogLikelihood(samples(net, 0), learn=EVERYTHING)
    tensors = net.replace(
        weights=[torch.tensor(w) for w in net.weights], biases=[torch.tensor(b) for b in net.biases]
    )
    own = objective.coordinates(tensors)
    data = objective.samples
    objective = NegativeLogLikelihood(Data(torch.tensor(data.x), torch.tensor(data.y)), learn=EVERYTHING)
    at = own.flatten().detach().requires_grad_(True)
    objective.value(own.unflatten(at)).backward()
    expected = own.join(objective.gradient(own.unflatten(at.detach())))
    np.testing.assert_allclose(at.grad, expected, rtol=1e-10, atol=1e-13)


def test_fixed_entries_and_units_that_carry_a_value_stay():
    net = LinearPCN.random((2, 3, 2), rng=0, precisions=[[2.0, np.inf, 0.5], 1.5])
    net = net.replace(fixed=[np.array([[True, False], [False] * 2, [False] * 2]), False])
    objective = NegativeLogLikelihood(samples(net, 0), learn=("weights", "precisions"))
    own = objective.coordinates(net)
    assert own.num_weights == 5 + 6 + 2 + 1
    moved = own.unflatten(own.flatten() + 0.3)
    assert moved.weights[0][0, 0] == net.weights[0][0, 0]
    np.testing.assert_allclose(moved.precisions[0].value, np.exp(0.3) * net.precisions[0].value)
    gradient = objective.gradient(net)
    assert gradient[0][0, 0] == gradient[2][1] == 0.0
    h, vector = 1e-5, own.flatten()
    found = [
        (objective.value(own.unflatten(vector + h * e)) - objective.value(own.unflatten(vector - h * e)))
        / (2 * h)
        for e in np.eye(len(vector))
    ]
    np.testing.assert_allclose(own.join(gradient), found, atol=1e-9)


def test_other_objectives_are_functions_of_the_weights_and_biases_alone():
    net = network(3, 4)
    data = samples(net, 0)
    own = NegativeLogLikelihood(data, learn=EVERYTHING).coordinates(net)
    for objective in (MSELoss(data), EquilibratedEnergy(data), NegativeLogLikelihood(data)):
        found, plain = objective.gradient(own), objective.gradient(net)
        assert len(found) == len(plain) == 6
        assert all(np.array_equal(a, b) for a, b in zip(found, plain, strict=True))
    for same in (copy.deepcopy(own), pickle.loads(pickle.dumps(own))):
        assert np.array_equal(same.flatten(), own.flatten())
    assert own.replace(skips=None).num_weights == net.num_weights
    assert "learns weights and biases and precisions" in repr(own)
    joint = NegativeLogLikelihood(data, learn=["precisions", "weights"])
    assert "learn=('weights', 'precisions')" in repr(joint)


@pytest.mark.parametrize(
    ("learn", "message"),
    [
        (("weights", "precision"), r"`learn` must be one of .* Got 'precision'\. Did you mean 'precisions'"),
        ((), r"`learn` must name each kind once, and at least one\. Got \[\]\."),
        (("weights", "weights"), r"`learn` must name each kind once"),
    ],
)
def test_a_wrong_kind_is_refused_in_one_sentence(learn, message):
    with pytest.raises(ValueError, match=message):
        NegativeLogLikelihood(Data([[1.0]], [[1.0]]), learn=learn)


def test_what_cannot_learn_is_refused_in_one_sentence():
    data = Data([[1.0, 0.0]], [[1.0, 2.0]])
    with pytest.raises(TypeError, match="`learn` must be a tuple of kinds of parameters. Got str"):
        NegativeLogLikelihood(data, learn="precisions")
    net = LinearPCN.random((2, 2), rng=0, precisions=[np.array([[2.0, 0.5], [0.5, 1.0]])])
    with pytest.raises(ValueError, match="`precisions` must be numbers or vectors .* Got a matrix"):
        NegativeLogLikelihood(data, learn=("precisions",)).gradient(net)
    with pytest.raises(ValueError, match=r"`learn` must name something .* Got \('biases',\) for LinearPCN"):
        NegativeLogLikelihood(data, learn=("biases",)).gradient(net)
    plain = LinearPCN.random((2, 2, 2), rng=0)
    joint = NegativeLogLikelihood(data, learn=("weights", "precisions"))
    with pytest.raises(ValueError, match=r"one array per layer, `W_l`, then `log Pi_l`: 4 of them. Got 2"):
        joint.hvp(plain, plain.weights)
    with pytest.raises(ValueError, match=r"`direction\[3\]` must have the shape of `log Pi_2`, \(\)\. Got"):
        joint.hvp(plain, (*plain.weights, np.array(0.0), np.zeros(2)))
    with pytest.raises(ValueError, match="`net` must learn its weights alone here"):
        precision_gradient(joint.coordinates(plain), data)
