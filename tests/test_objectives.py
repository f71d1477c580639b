"""Objectives and their derivatives, against double autograd of the definitions, finite differences and exact
identities.
"""

import jax
import numpy as np
import oracles
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import networks, problems, seeds
from tolerances import EPS, assert_close

from pctheory import Data, LinearPCN, equilibrium, loss, rescaling, weight_gradient
from pctheory.inference import gradient_decomposition
from pctheory.landscape import EquilibratedEnergy, MSELoss, NegativeLogLikelihood, WeightDecay
from pctheory.landscape._expansion import Elimination

OBJECTIVES = {
    "loss": MSELoss,
    "energy": EquilibratedEnergy,
    "likelihood": NegativeLogLikelihood,
    "decayed": lambda data: WeightDecay(EquilibratedEnergy(data), 0.3),
}
NAMES = list(OBJECTIVES)


def torch_maps(vector, net):
    maps, start = [], 0
    for w, a, skip in zip(net.weights, net.multipliers, net.skips, strict=True):
        matrix = a * vector[start : start + w.size].reshape(w.shape)
        maps.append(matrix + torch.eye(len(w), dtype=vector.dtype) if skip else matrix)
        start += w.size
    return maps


def torch_objective(name, net, data):
    """f(vector) in plain torch, from the definition: F* by minimising F(z) densely, log det S from the joint
    Gaussian.
    """
    x, y = torch.tensor(data.x), torch.tensor(data.y)
    precisions = [torch.tensor(p) for p in oracles.dense_precisions(net)]
    hidden = net.widths[1:-1]
    edges = np.cumsum([0, *hidden])

    def mse(vector):
        h = x
        for matrix in torch_maps(vector, net):
            h = h @ matrix.T
        return 0.5 * torch.sum(((y - h) @ precisions[-1]) * (y - h)) / len(x)

    def parts(vector):
        """Dense Hessian in the hidden activities and the linear term."""
        maps = torch_maps(vector, net)
        blocks = [[torch.zeros(n, m, dtype=torch.float64) for m in hidden] for n in hidden]
        linear = [torch.zeros(len(x), n, dtype=torch.float64) for n in hidden]
        for l in range(len(hidden)):
            above = maps[l + 1]
            blocks[l][l] = precisions[l] + above.T @ precisions[l + 1] @ above
            if l + 1 < len(hidden):
                blocks[l + 1][l] = -precisions[l + 1] @ above
                blocks[l][l + 1] = blocks[l + 1][l].T
        linear[0] = linear[0] + x @ maps[0].T @ precisions[0]
        linear[-1] = linear[-1] + y @ precisions[-1] @ maps[-1]
        return maps, torch.cat([torch.cat(row, 1) for row in blocks]), torch.cat(linear, 1)

    def energy(vector):
        if not hidden:
            return mse(vector)
        maps, hessian, linear = parts(vector)
        flat = torch.linalg.solve(hessian, linear.T).T
        z = [x, *(flat[:, edges[i] : edges[i + 1]] for i in range(len(hidden))), y]
        errors = [z[l + 1] - z[l] @ maps[l].T for l in range(len(maps))]
        return sum(0.5 * torch.sum((e @ p) * e) for e, p in zip(errors, precisions, strict=True)) / len(x)

    def likelihood(vector):
        """log det S = log det H - sum log det Pi_l."""
        constant = -0.5 * sum(torch.logdet(p) for p in precisions)
        if not hidden:
            return mse(vector) + constant
        return energy(vector) + 0.5 * torch.logdet(parts(vector)[1]) + constant

    return {
        "loss": mse,
        "energy": energy,
        "likelihood": likelihood,
        "decayed": lambda v: energy(v) + 0.15 * torch.sum(v**2),
    }[name]


def condition(net):
    """Condition of the weighing of the errors, where an inverse of S or H enters."""
    hidden = net.depth > 1
    return np.linalg.cond(rescaling(net)) * (
        np.linalg.cond(oracles.least_squares(net)[0]) ** 2 if hidden else 1
    )


def sizes(net):
    return 10 * net.num_weights


@pytest.mark.claim("envelope-gradient")
@pytest.mark.evidence("empirical")
@pytest.mark.parametrize("name", NAMES)
@given(problem=problems(max_depth=5))
@settings(max_examples=40)
def test_value_gradient_and_hessian_are_those_of_double_autograd(name, problem):
    net, data = problem
    objective = OBJECTIVES[name](data)
    function, vector = torch_objective(name, net, data), torch.tensor(np.array(net.flatten()))
    gradient, hessian = torch.func.grad(function)(vector), torch.func.hessian(function)(vector)
    kappa = condition(net)
    scale = float(torch.abs(hessian).max() + torch.abs(gradient).max() + abs(function(vector)))
    assert_close(objective.value(net), function(vector), size=sizes(net), kappa=kappa, scale=scale)
    assert_close(
        np.concatenate([g.ravel() for g in objective.gradient(net)]),
        gradient,
        size=sizes(net),
        kappa=kappa,
        scale=scale,
    )
    dense = objective.hessian(net)
    assert_close(dense, hessian, size=sizes(net), kappa=kappa, scale=scale)
    np.testing.assert_array_equal(dense, dense.T)


@pytest.mark.parametrize("name", NAMES)
@given(problem=problems(), seed=seeds)
@settings(max_examples=40)
def test_products_columns_and_operator_are_one_hessian(name, problem, seed):
    net, data = problem
    objective = OBJECTIVES[name](data)
    dense = objective.hessian(net)
    vector = np.random.default_rng(seed).standard_normal(net.num_weights)
    expected = dense @ vector
    scale = float(np.abs(dense).max() * np.abs(vector).max())
    options = {"size": sizes(net), "scale": scale, "kappa": condition(net)}
    assert_close(objective.hvp(net, vector), expected, **options)
    parts = objective.hvp(net, net.unflatten(vector).weights)
    assert isinstance(parts, tuple)
    assert_close(np.concatenate([p.ravel() for p in parts]), expected, **options)
    operator = objective.hessian_operator(net)
    assert_close(operator @ vector, expected, **options)
    assert_close(operator.T @ vector, expected, **options)
    assert_close(
        operator @ dense[:, :2], dense @ dense[:, :2], **{**options, "scale": float(np.abs(dense).max() ** 2)}
    )


@given(problem=problems())
def test_the_gradient_is_the_local_rule_at_equilibrium_and_the_sum_of_the_decomposition(problem):
    net, data = problem
    gradient = EquilibratedEnergy(data).gradient(net)
    local = weight_gradient(net, equilibrium(net, data).activities)
    first, second = gradient_decomposition(net, data)
    scale = max(np.abs(g).max() for g in (*gradient, *first, *second))
    for g, rule, a, b in zip(gradient, local, first, second, strict=True):
        assert_close(g, rule, size=sizes(net), kappa=condition(net), scale=scale)
        assert_close(g, a + b, size=sizes(net), kappa=condition(net) ** 2, scale=scale)


@given(problem=problems())
def test_values_are_those_of_the_definitions(problem):
    net, data = problem
    options = {"size": sizes(net), "kappa": condition(net)}
    energy = float(equilibrium(net, data).energy)
    scale = max(energy, float(np.abs(data.y).max() ** 2))
    assert_close(MSELoss(data).value(net), loss(net, data), scale=float(loss(net, data)) + scale, **options)
    assert_close(EquilibratedEnergy(data).value(net), energy, scale=scale, **options)
    logdet = np.linalg.slogdet(rescaling(net))[1]
    expected = energy + logdet / 2
    assert_close(NegativeLogLikelihood(data).value(net), expected, scale=scale + abs(logdet), **options)


@pytest.mark.claim("data-compression")
@given(net=networks(max_depth=4), seed=seeds)
@settings(max_examples=30)
def test_many_samples_cost_and_mean_what_their_compression_does(net, seed):
    rng = np.random.default_rng(seed)
    data = Data(rng.standard_normal((50, net.widths[0])), rng.standard_normal((50, net.widths[-1])))
    objective = EquilibratedEnergy(data)
    assert objective.data.num_samples <= net.widths[0] + net.widths[-1]
    local = weight_gradient(net, equilibrium(net, data).activities)
    scale = max(np.abs(g).max() for g in local)
    for g, rule in zip(objective.gradient(net), local, strict=True):
        assert_close(g, rule, size=50 * sizes(net), kappa=condition(net), scale=scale)


@given(problem=problems(min_depth=2, max_depth=4), seed=seeds)
@settings(max_examples=40)
def test_the_elimination_gives_the_same_derivatives(problem, seed):
    net, data = problem
    objective = EquilibratedEnergy(data)
    sweep, other = objective.expand(net), Elimination(net, data)
    rng = np.random.default_rng(seed)
    stack = [rng.standard_normal((3, *w.shape)) for w in net.weights]
    pairs = [*zip(sweep.gradient(), other.gradient(), strict=True)]
    pairs += [*zip(sweep.hvp(stack), other.hvp(stack), strict=True)]
    scale = max(np.abs(b).max() for _, b in pairs)
    for a, b in pairs:
        assert_close(a, b, size=sizes(net), kappa=condition(net) ** 2, scale=scale)
    assert_close(sweep.value, other.value, size=sizes(net), kappa=condition(net), scale=float(other.value))


def test_exploding_products_are_left_to_the_elimination_and_the_likelihood_refuses():
    rng = np.random.default_rng(0)
    net = LinearPCN([4.0 * rng.standard_normal((4, 4)) for _ in range(40)])
    data = Data(rng.standard_normal((5, 4)), rng.standard_normal((5, 4)))
    objective = EquilibratedEnergy(data)
    expected = weight_gradient(net, equilibrium(net, data, method="elimination").activities)
    scale = max(np.abs(g).max() for g in expected)
    for g, e in zip(objective.gradient(net), expected, strict=True):
        assert_close(g, e, size=net.num_weights, scale=scale)
    # the product along a direction is the difference quotient of the gradient
    direction = tuple(rng.standard_normal(w.shape) for w in net.weights)
    step = 1e-4
    up, down = (
        objective.gradient(
            net.replace(weights=[w + s * d for w, d in zip(net.weights, direction, strict=True)])
        )
        for s in (step, -step)
    )
    quotient = np.concatenate([((u - d) / (2 * step)).ravel() for u, d in zip(up, down, strict=True)])
    product = np.concatenate([p.ravel() for p in objective.hvp(net, direction)])
    assert np.linalg.norm(quotient - product) < 1e-4 * np.linalg.norm(product)
    with pytest.raises(ValueError, match="log determinant"):
        NegativeLogLikelihood(data).gradient(net)


@pytest.mark.parametrize("name", NAMES)
@given(problem=problems(max_depth=3), seed=seeds)
@settings(max_examples=20)
def test_stacks_of_networks_have_the_values_of_their_members(name, problem, seed):
    net, data = problem
    objective = OBJECTIVES[name](data)
    rng = np.random.default_rng(seed)
    stack = tuple(rng.standard_normal((2, 3, *w.shape)) for w in net.weights)
    values = objective.stacked_values(net.with_weights(stack))
    assert values.shape == (2, 3)
    for i in range(2):
        for j in range(3):
            member = net.replace(weights=[w[i, j] for w in stack])
            expected = objective.value(member)
            scale = abs(float(expected)) + 1
            assert_close(values[i, j], expected, size=sizes(net), kappa=condition(member), scale=scale)


@given(data=st.data())
def test_one_layer_is_linear_regression(data):
    net, samples = data.draw(problems(min_depth=1, max_depth=1))
    assert_close(
        EquilibratedEnergy(samples).hessian(net),
        MSELoss(samples).hessian(net),
        size=sizes(net),
        kappa=condition(net),
        scale=float(np.abs(MSELoss(samples).hessian(net)).max()),
    )
    precision = oracles.dense_precisions(net)[0]
    expected = net.multipliers[0] ** 2 * np.kron(precision, samples.xx)
    assert_close(MSELoss(samples).hessian(net), expected, size=sizes(net), kappa=condition(net))


@pytest.mark.parametrize("name", NAMES)
def test_torch_and_jax_arrays_stay_what_they_are(name, rng):
    data = Data(rng.standard_normal((9, 3)), rng.standard_normal((9, 2)))
    net = LinearPCN.random((3, 4, 4, 2), parameterisation="mupc", skips=True, rng=rng)
    value, gradient = OBJECTIVES[name](data).value_and_gradient(net)
    leaves = [torch.tensor(np.array(w), requires_grad=True) for w in net.weights]
    twin = OBJECTIVES[name](Data(torch.tensor(data.x), torch.tensor(data.y)))
    torch_net = net.replace(weights=leaves)
    own = twin.value(torch_net)
    automatic = torch.autograd.grad(own, leaves)
    for g, mine, auto in zip(gradient, twin.gradient(torch_net), automatic, strict=True):
        assert_close(mine.detach(), g, size=100, scale=1.0)
        assert_close(auto, g, size=100, scale=1.0)
    dense = OBJECTIVES[name](data).hessian(net)
    assert_close(twin.hessian(torch_net).detach(), dense, size=100, scale=1.0)
    assert_close(twin.hessian_operator(torch_net) @ dense[0], dense @ dense[0], size=100, scale=10.0)
    if name not in (
        "energy",
        "likelihood",
    ):  # the others are made of the same pieces, and compiling takes seconds
        return
    with jax.enable_x64(True):
        jnp = jax.numpy
        other = OBJECTIVES[name](Data(jnp.asarray(data.x), jnp.asarray(data.y)))
        weights = [jnp.asarray(w) for w in net.weights]
        derived = jax.grad(lambda ws: other.value(net.replace(weights=ws)))(weights)
        assert_close(other.value(net.replace(weights=weights)), value, size=100, scale=1.0)
        for g, auto in zip(gradient, derived, strict=True):
            assert_close(np.asarray(auto), g, size=100, scale=1.0)


@given(problem=problems(min_depth=2, max_depth=4), seed=seeds)
@settings(max_examples=20)
def test_a_relative_error_of_1e_7_in_the_tangent_would_be_seen(problem, seed):
    net, data = problem
    objective = EquilibratedEnergy(data)
    dense = objective.hessian(net)
    limit = 16 * sizes(net) * condition(net) * EPS
    if limit < 1e-8:
        with pytest.raises(AssertionError):
            assert_close(dense * (1 + 1e-7), dense, size=sizes(net), kappa=condition(net))


def test_errors_say_the_rule():
    data = Data([[1.0]], [[1.0]])
    net = LinearPCN([[[1.0]], [[2.0]]])
    with pytest.raises(TypeError, match="`data` must be"):
        MSELoss([1.0])
    with pytest.raises(TypeError, match="`objective` must be"):
        WeightDecay(data, 0.1)
    with pytest.raises(ValueError, match="`strength` must be 0 or more"):
        WeightDecay(MSELoss(data), -1.0)
    with pytest.raises(ValueError, match="`direction` must have shape"):
        MSELoss(data).hvp(net, np.ones(3))
    with pytest.raises(ValueError, match="one array per layer"):
        MSELoss(data).hvp(net, [np.ones((1, 1))])
    with pytest.raises(ValueError, match="the shape of `W_2`"):
        MSELoss(data).hvp(net, [np.ones((1, 1)), np.ones((1, 2))])
    with pytest.raises(TypeError, match="`direction` must be a tuple"):
        MSELoss(data).hvp(net, "down")
