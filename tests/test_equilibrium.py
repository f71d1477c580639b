"""Section E: the equilibrium of inference, against dense linear algebra, arbitrary precision and autograd."""

import accuracy_study
import jax
import numpy as np
import oracles
import pytest
import torch
from hypothesis import assume, given
from scipy.stats import multivariate_normal
from strategies import problems
from tolerances import EPS, assert_close

from pctheory import (
    Data,
    LinearPCN,
    activity_gradient,
    activity_hessian,
    energy,
    equilibrium,
    feedforward,
    loss,
    rescaling,
    weight_gradient,
)
from pctheory.inference import (
    gradient_decomposition,
    input_products,
    noise_covariances,
    output_products,
    routes,
)
from pctheory.inference.products import largest, norm
from pctheory.inference.routes import forward_sweep, is_trusted
from pctheory.model import PARAMETERISATIONS

METHODS = ["auto", "sweep", "feedback", "elimination"]


def hidden(eq):
    return np.hstack([np.zeros((len(eq.activities[0]), 0)), *eq.activities[1:-1]])


def as_torch(net, data):
    """The same problem in torch, weights requiring gradients."""
    leaves = [torch.tensor(np.array(w), requires_grad=True) for w in net.weights]
    twin = net.replace(weights=leaves)
    return twin, Data(torch.tensor(data.x), torch.tensor(data.y)), leaves


def torch_energy(leaves, net, z):
    """F(z) from the definition in plain torch operations: the empirical check shares no code with the
    package.
    """
    total = 0.0
    for l, (w, a, skip, _) in enumerate(
        zip(leaves, net.multipliers, net.skips, net.precisions, strict=True), start=1
    ):
        error = z[l] - a * z[l - 1] @ w.T - (z[l - 1] if skip else 0)
        pi = torch.as_tensor(oracles.dense_precisions(net)[l - 1])
        total = total + 0.5 * torch.sum((error @ pi) * error) / len(error)
    return total


def settle(leaves, net, data):
    """Hidden activities by Newton's method on autograd's gradient and Hessian of `torch_energy` (one step:
    quadratic).
    """
    sizes = [n * data.num_samples for n in net.widths[1:-1]]
    x, y = torch.as_tensor(np.array(data.x)), torch.as_tensor(np.array(data.y))

    def of(vector):
        parts = torch.split(vector, sizes)
        z = [x, *(p.reshape(data.num_samples, -1) for p in parts), y]
        return torch_energy([w.detach() for w in leaves], net, z)

    start = torch.zeros(sum(sizes), dtype=torch.float64)
    gradient, hessian = torch.func.grad(of)(start), torch.func.hessian(of)(start)
    solution = -torch.linalg.solve(hessian, gradient)
    return [x, *(p.reshape(data.num_samples, -1) for p in torch.split(solution, sizes)), y], hessian


@pytest.mark.claim("equilibrium-errors")
@pytest.mark.parametrize("method", METHODS)
@given(problem=problems())
def test_the_closed_form_minimises_the_energy(method, problem):
    net, data = problem
    eq = equilibrium(net, data, method=method)
    expected, minimum, kappa = oracles.minimise(net, data)
    products = max(np.linalg.norm(p, 2) for p in output_products(net))
    scale = max(np.abs(a).max() for a in eq.activities)
    size = 10 * sum(net.widths)
    # the sweep's error grows with the products; the elimination's with the condition of H = kappa^2
    growth = max(kappa**2, products * max(1.0, products / kappa))
    assert_close(hidden(eq), expected, size=size, kappa=growth, scale=scale)
    assert_close(eq.energy, minimum, size=size, kappa=growth, scale=max(minimum, scale**2 * EPS))


@pytest.mark.claim("equilibrium-errors")
@given(problems(min_depth=2))
def test_the_equilibrium_is_stationary_and_its_gradient_vanishes(problem):
    net, data = problem
    eq = equilibrium(net, data)
    gradient = activity_gradient(net, eq.activities)[1:-1]
    pieces = [
        np.abs(p.apply(e)).max() * max(1.0, np.linalg.norm(a, 2))
        for p, e, a in zip(net.precisions, eq.errors, net.maps, strict=True)
    ]
    amplitude = max(
        np.abs(z).max() * max(1.0, np.linalg.norm(a, 2)) ** 2
        for z, a in zip(eq.activities, net.maps, strict=False)
    )
    largest = max(np.linalg.norm(np.atleast_2d(p.value), 2) for p in net.precisions)
    # a residual carries no condition number, but the sweep may leave errors up to its own estimate
    limit = eq.accuracy.activities / EPS if eq.method == "sweep" else 1.0
    for g in gradient:
        assert_close(
            g * data.num_samples,
            np.zeros_like(g),
            size=100 * sum(net.widths),
            kappa=limit,
            scale=max(*pieces, amplitude * largest),
        )


@pytest.mark.claim("equilibrium-errors")
@given(problems())
def test_errors_are_products_transposed_times_the_solved_residual(problem):
    net, data = problem
    eq = equilibrium(net, data, method="elimination")
    solved = np.linalg.solve(eq.rescaling, eq.residual.T).T
    kappa = (
        np.linalg.cond(eq.rescaling) * np.linalg.cond(activity_hessian(net).to_dense())
        if net.depth > 1
        else np.linalg.cond(eq.rescaling)
    )
    assume(kappa < 1e8)
    for precision, error, product in zip(net.precisions, eq.errors, output_products(net)[1:], strict=True):
        scale = max(np.abs(z).max() for z in eq.activities) * np.linalg.norm(
            np.atleast_2d(precision.value), 2
        )
        assert_close(
            precision.apply(error), solved @ product, size=100 * sum(net.widths), kappa=kappa, scale=scale
        )


@pytest.mark.claim("equilibrated-energy")
@given(problems())
def test_the_equilibrated_energy_is_the_rescaled_loss(problem):
    net, data = problem
    s, r = oracle_rescaling(net), data.y - data.x @ output_products(net)[0].T
    expected = 0.5 * np.mean(np.sum(r * np.linalg.solve(s, r.T).T, axis=1))
    kappa = np.linalg.cond(s)
    scale = np.mean(np.sum(r**2, axis=1)) / np.linalg.eigvalsh(s)[0]
    assert_close(equilibrium(net, data).energy, expected, size=10 * sum(net.widths), kappa=kappa, scale=scale)


@pytest.mark.claim("equilibrated-energy")
@given(problems(min_depth=1, max_depth=1))
def test_with_one_layer_the_equilibrated_energy_is_the_loss(problem):
    net, data = problem
    assert_close(equilibrium(net, data).energy, float(loss(net, data)), size=20 * sum(net.widths))


@pytest.mark.claim("equilibrated-energy")
@given(problems(min_depth=2))
def test_the_rescaling_does_not_depend_on_the_first_layer(problem):
    net, _ = problem
    other = net.replace(weights=[7 * net.weights[0] + 1, *net.weights[1:]])
    np.testing.assert_array_equal(rescaling(net), rescaling(other))


@pytest.mark.claim("equilibrated-energy")
@given(problems())
def test_the_equilibrated_energy_is_at_most_the_loss_and_attains_it(problem):
    net, data = problem
    value = float(loss(net, data))
    assert float(equilibrium(net, data).energy) <= value * (1 + 1e-12)  # feedforward activities have F = loss
    zero = net.replace(weights=[*net.weights[:-1], 0 * net.weights[-1]])
    if net.depth > 1:
        assert_close(equilibrium(zero, data).energy, float(loss(zero, data)), size=20 * sum(net.widths))


def oracle_rescaling(net):
    maps, precisions = oracles.dense_maps(net), oracles.dense_precisions(net)
    total = np.zeros((net.widths[-1],) * 2)
    for l in range(1, net.depth + 1):
        product = np.eye(net.widths[-1])
        for matrix in reversed(maps[l:]):
            product = product @ matrix
        total += product @ np.linalg.inv(precisions[l - 1]) @ product.T
    return total


@pytest.mark.claim("equilibrated-energy")
@given(problems(max_samples=1))
def test_the_rescaling_is_the_sum_of_products_by_either_recursion(problem):
    net, _ = problem
    expected = oracle_rescaling(net)
    assert_close(rescaling(net), expected, size=10 * sum(net.widths))
    assert_close(noise_covariances(net)[-1], expected, size=10 * sum(net.widths))


@pytest.mark.claim("gaussian-marginal")
@given(problems())
def test_the_energy_is_the_gaussian_log_likelihood_without_its_log_determinant(problem):
    net, data = problem
    s, mean = rescaling(net), data.x @ output_products(net)[0].T
    log_density = [
        multivariate_normal.logpdf(y, m, s, allow_singular=True) for y, m in zip(data.y, mean, strict=True)
    ]
    n = net.widths[-1]
    expected = -np.mean(log_density) - 0.5 * np.linalg.slogdet(s)[1] - 0.5 * n * np.log(2 * np.pi)
    kappa = np.linalg.cond(s)
    assume(kappa < 1e8)
    value = equilibrium(net, data).energy
    assert_close(
        value,
        expected,
        size=20 * sum(net.widths),
        kappa=kappa,
        scale=max(abs(expected), n, np.abs(np.linalg.slogdet(s)[1])),
    )


@pytest.mark.claim("gaussian-marginal")
def test_the_rescaling_is_the_covariance_of_sampled_outputs(rng):
    net = LinearPCN.random((2, 3, 2), precisions=[2.0, [0.5, 3.0]], rng=rng)
    size, x = 200_000, np.array([1.0, -2.0])
    z = np.tile(x, (size, 1))
    for matrix, precision in zip(net.maps, net.precisions, strict=True):
        z = z @ matrix.T + precision.unwhiten(rng.standard_normal((size, precision.size)))
    s = rescaling(net)
    # an entry of a sample covariance has standard deviation sqrt((s_ij^2 + s_ii s_jj) / size): five of them
    deviation = np.sqrt((s**2 + np.outer(np.diag(s), np.diag(s))) / size)
    assert np.all(np.abs(np.cov(z.T) - s) < 5 * deviation)


@pytest.mark.claim("envelope-gradient")
@given(problems(max_depth=4, max_width=3, max_samples=3))
def test_the_local_rule_at_equilibrium_is_the_gradient_of_the_equilibrated_energy(problem):
    net, data = problem
    s = rescaling(net)
    assume(np.linalg.cond(s) < 1e6)
    twin, batch, leaves = as_torch(net, data)
    # road one: autograd through the closed form r^T S^{-1} r / 2B, written out here
    maps = [
        a * w + (torch.eye(len(w), dtype=w.dtype) if t else 0)
        for w, a, t in zip(leaves, net.multipliers, net.skips, strict=True)
    ]
    product, total = torch.eye(net.widths[-1], dtype=torch.float64), 0.0
    for l in range(net.depth, 0, -1):
        total = (
            total + product @ torch.as_tensor(np.linalg.inv(oracles.dense_precisions(net)[l - 1])) @ product.T
        )
        product = product @ maps[l - 1]
    r = batch.y - batch.x @ product.T
    value = 0.5 * torch.sum(r * torch.linalg.solve(total, r.T).T) / len(r)
    expected = [g.numpy() for g in torch.autograd.grad(value, leaves)]
    local = weight_gradient(net, equilibrium(net, data).activities)
    kappa = np.linalg.cond(s) * (np.linalg.cond(activity_hessian(net).to_dense()) if net.depth > 1 else 1)
    scale = max(1.0, *(np.abs(g).max() for g in expected), np.abs(r.detach().numpy()).max() ** 2)
    for g, e in zip(local, expected, strict=True):
        assert_close(g, e, size=100 * sum(net.widths), kappa=kappa, scale=scale)
    # road two: autograd through the package's own equilibrium
    for g, e in zip(torch.autograd.grad(equilibrium(twin, batch).energy, leaves), expected, strict=True):
        assert_close(g.numpy(), e, size=100 * sum(net.widths), kappa=kappa, scale=scale)


@pytest.mark.claim("envelope-gradient")
@pytest.mark.claim("equilibrium-errors")
@pytest.mark.claim("equilibrated-energy")
@pytest.mark.claim("activity-hessian")
@pytest.mark.evidence("empirical")
@pytest.mark.parametrize("gamma", [0.5, 1.0, 4.0])
@pytest.mark.parametrize("skips", [False, True])
@pytest.mark.parametrize("name", PARAMETERISATIONS)
@pytest.mark.parametrize("depth", [1, 2, 3, 5])
def test_every_parameterisation_agrees_with_autograd_of_the_plain_energy(name, skips, gamma, depth, rng):
    net = LinearPCN.random(
        (3, *[4] * (depth - 1), 2), parameterisation=name, skips=skips, gamma=gamma, rng=rng
    )
    data = Data(rng.standard_normal((5, 3)), rng.standard_normal((5, 2)))
    _, _, leaves = as_torch(net, data)
    z, hessian = settle(leaves, net, data)
    value = torch_energy(leaves, net, z)
    eq = equilibrium(net, data)
    kappa = np.linalg.cond(hessian.numpy()) if depth > 1 else 1.0
    for ours, theirs in zip(eq.activities, z, strict=True):
        assert_close(
            ours,
            theirs.detach().numpy(),
            size=200,
            kappa=kappa,
            scale=max(np.abs(a).max() for a in eq.activities),
        )
    assert_close(eq.energy, value.item(), size=200, kappa=kappa)
    gradients = [g.numpy() for g in torch.autograd.grad(value, leaves)]
    scale = max(np.abs(g).max() for g in gradients)
    for ours, theirs in zip(weight_gradient(net, eq.activities), gradients, strict=True):
        assert_close(ours, theirs, size=200, kappa=kappa, scale=scale)
    if depth > 1:
        one = Data(data.x[:1], data.y[:1])
        assert_close(activity_hessian(net).to_dense(), settle(leaves, net, one)[1].numpy(), size=100)


@pytest.mark.claim("envelope-gradient")
def test_away_from_equilibrium_the_local_rule_is_not_the_gradient(rng):
    net = LinearPCN.random((2, 3, 1), rng=rng)
    data = Data(rng.standard_normal((4, 2)), rng.standard_normal((4, 1)))
    exact = weight_gradient(net, equilibrium(net, data).activities)
    start = weight_gradient(net, (*feedforward(net, data.x)[:-1], data.y))
    assert np.abs(exact[0] - start[0]).max() > 0.1 * np.abs(exact[0]).max()


@pytest.mark.claim("gradient-decomposition")
@given(problems())
def test_the_gradient_is_preconditioned_backprop_plus_a_residual_term(problem):
    net, data = problem
    eq = equilibrium(net, data)
    kappa = np.linalg.cond(eq.rescaling)
    assume(kappa < 1e8)
    first, second = gradient_decomposition(net, data)
    expected = weight_gradient(net, eq.activities)
    kappa = kappa**2 * (np.linalg.cond(activity_hessian(net).to_dense()) if net.depth > 1 else 1)
    growth = max(np.linalg.norm(p, 2) for p in (*output_products(net), *input_products(net)))
    scale = max(1.0, np.abs(eq.residual).max()) ** 2 * max(1.0, growth) ** 2
    for one, two, gradient in zip(first, second, expected, strict=True):
        assert_close(one + two, gradient, size=100 * sum(net.widths), kappa=kappa, scale=scale)


@pytest.mark.claim("gradient-decomposition")
def test_at_a_perfect_fit_only_backprop_remains_and_both_vanish(rng):
    net = LinearPCN.random((2, 3, 2), rng=rng)
    x = rng.standard_normal((5, 2))
    first, second = gradient_decomposition(net, Data(x, feedforward(net, x)[-1]))
    for term in (*first, *second):
        assert np.abs(term).max() < 1e-14


@pytest.mark.claim("gradient-decomposition")
def test_at_the_origin_of_a_deep_network_only_the_residual_term_sees_the_saddle(rng):
    # backprop's gradient vanishes as sigma^(L-1); the residual term of the last layer as sigma
    data = Data(rng.standard_normal((6, 2)), rng.standard_normal((6, 2)))
    sizes = []
    for sigma in (1e-2, 1e-4):
        net = LinearPCN.random((2, 3, 3, 2), init=sigma, rng=5)
        first, second = gradient_decomposition(net, data)
        sizes.append((np.linalg.norm(first[-1]), np.linalg.norm(second[-1])))
    assert np.log10(sizes[0][0] / sizes[1][0]) == pytest.approx(4, abs=0.01)
    assert np.log10(sizes[0][1] / sizes[1][1]) == pytest.approx(2, abs=0.01)


@pytest.mark.claim("hessian-determinant")
@given(problems(max_samples=1))
def test_the_determinant_of_the_hessian_is_that_of_the_rescaling_times_the_precisions(problem):
    net, _ = problem
    ours = activity_hessian(net).cholesky().logdet() if net.depth > 1 else 0.0
    expected = np.linalg.slogdet(oracle_rescaling(net))[1] + sum(
        np.linalg.slogdet(p)[1] for p in oracles.dense_precisions(net)
    )
    kappa = (
        np.linalg.cond(activity_hessian(net).to_dense()) if net.depth > 1 else np.linalg.cond(rescaling(net))
    )
    assert_close(ours, expected, size=20 * sum(net.widths), kappa=kappa, scale=max(1.0, abs(expected)))


@pytest.mark.claim("posterior")
@given(problems(min_depth=2, max_samples=1))
def test_the_inverse_hessian_is_the_posterior_covariance_of_the_hidden_activities(problem):
    net, _ = problem
    # joint covariance of (z_1..z_L) given x, from the generative model, then conditioned on z_L
    maps, sigmas = oracles.dense_maps(net), [np.linalg.inv(p) for p in oracles.dense_precisions(net)]
    cuts = np.cumsum([0, *net.widths[1:]])
    mixing = np.zeros((cuts[-1], cuts[-1]))
    for k in range(net.depth):
        product = np.eye(net.widths[k + 1])
        for l in range(k, net.depth):
            product = product if l == k else maps[l] @ product
            mixing[cuts[l] : cuts[l + 1], cuts[k] : cuts[k + 1]] = product
    noise = np.zeros_like(mixing)
    for k, sigma in enumerate(sigmas):
        noise[cuts[k] : cuts[k + 1], cuts[k] : cuts[k + 1]] = sigma
    joint = mixing @ noise @ mixing.T
    h, o = slice(0, cuts[-2]), slice(cuts[-2], cuts[-1])
    expected = joint[h, h] - joint[h, o] @ np.linalg.solve(joint[o, o], joint[o, h])
    hessian = activity_hessian(net)
    ours = hessian.cholesky().solve(np.eye(hessian.shape[0]))
    kappa = np.linalg.cond(hessian.to_dense()) * np.linalg.cond(joint[o, o])
    assume(kappa < 1e10)
    assert_close(ours, expected, size=20 * sum(net.widths), kappa=kappa, scale=np.abs(joint).max())


@pytest.mark.claim("error-coordinates")
@given(problems(min_depth=2, precisions=False))
def test_in_error_coordinates_the_energy_is_a_ridge_problem_with_the_rescaling_in_its_spectrum(problem):
    net, data = problem
    rng = np.random.default_rng(0)
    errors = [rng.standard_normal((data.num_samples, n)) for n in net.widths[1:-1]]
    z = [data.x]
    for matrix, error in zip(net.maps, errors, strict=False):
        z.append(z[-1] @ matrix.T + error)
    products = output_products(net)
    r = data.y - data.x @ products[0].T
    rest = r - sum(e @ p.T for e, p in zip(errors, products[1:], strict=False))
    expected = 0.5 * (sum(np.sum(e**2) for e in errors) + np.sum(rest**2)) / data.num_samples
    growth = max(1.0, *(np.linalg.norm(p, 2) for p in products))
    scale = max(np.abs(a).max() for a in z) ** 2 * growth**2
    assert_close(energy(net, (*z, data.y)), expected, size=50 * sum(net.widths), scale=max(scale, expected))
    stack = np.hstack(products[1:-1])
    spectrum = np.linalg.eigvalsh(np.eye(stack.shape[1]) + stack.T @ stack)
    wanted = np.sort(
        np.concatenate([np.ones(max(stack.shape[1] - net.widths[-1], 0)), np.linalg.eigvalsh(rescaling(net))])
    )
    assert_close(spectrum[::-1], wanted[::-1][: len(spectrum)], size=10 * sum(net.widths))


@pytest.mark.claim("error-coordinates")
def test_the_first_step_in_error_coordinates_is_backprop(rng):
    net = LinearPCN.random((2, 3, 3, 2), rng=rng)
    data = Data(rng.standard_normal((4, 2)), rng.standard_normal((4, 2)))
    _, batch, leaves = as_torch(net, data)
    z = [batch.x]
    for w in leaves:
        z.append(z[-1] @ w.T)
    hidden_gradients = torch.autograd.grad(0.5 * torch.sum((batch.y - z[-1]) ** 2), z[1:-1])
    r = data.y - data.x @ output_products(net)[0].T
    for gradient, product in zip(hidden_gradients, output_products(net)[1:-1], strict=True):
        assert_close(-r @ product, gradient.numpy(), size=100)  # d/d eps_l of the energy at eps = 0


class TestNumerics:
    """Where the products explode, where they are wide, and where they are deep."""

    @pytest.mark.claim("equilibrium-errors")
    @pytest.mark.parametrize(("gain", "depth"), [(1.0, 20), (2**0.5, 24), (2.0, 20), (4.0, 24), (0.2, 16)])
    def test_against_arbitrary_precision(self, gain, depth, rng):
        width = 3
        weights = [gain * rng.standard_normal((width, width)) / width**0.5 for _ in range(depth)]
        net = LinearPCN([*weights[:-1], weights[-1][:2]])
        data = Data(rng.standard_normal((2, width)), rng.standard_normal((2, 2)))
        expected, minimum = oracles.exact_equilibrium(net, data)
        kappa = np.linalg.cond(activity_hessian(net).to_dense())
        eq = equilibrium(net, data)
        assert eq.accuracy.activities <= 1e4 * EPS
        # the better of the guarantees: growth of errors in the sweep, condition of H
        assert_close(
            hidden(eq),
            expected,
            size=10 * depth * width,
            kappa=max(kappa, 1e4 if eq.method == "sweep" else 1),
        )
        assert_close(eq.energy, minimum, size=10 * depth * width, kappa=kappa)

    @pytest.mark.claim("equilibrium-errors")
    def test_exploding_products_switch_to_the_feedback(self, rng):
        weights = [
            4 * rng.standard_normal((4, 4)) / 2 for _ in range(600)
        ]  # products of 10^360: beyond float64
        net, data = LinearPCN(weights), Data(rng.standard_normal((2, 4)), rng.standard_normal((2, 4)))
        with np.errstate(all="ignore"):
            eq = equilibrium(net, data)
        assert eq.method == "feedback"
        gradient = activity_gradient(net, eq.activities)[1:-1]
        scale = max(np.abs(e).max() for e in eq.errors)
        assert max(np.abs(g).max() for g in gradient) < 1e-10 * scale
        with np.errstate(all="ignore"), pytest.raises(ValueError, match="overflow"):
            _ = eq.rescaling

    @pytest.mark.claim("equilibrium-errors")
    @pytest.mark.parametrize("widths", [(5, 4, 4, 90), (3, 2, 2, 2, 40)])
    def test_wide_outputs_take_the_feedback_and_agree_with_the_sweep(self, widths, rng):
        net = LinearPCN.random(widths, rng=rng)
        data = Data(rng.standard_normal((7, widths[0])), rng.standard_normal((7, widths[-1])))
        eq = equilibrium(net, data)
        assert eq.method == "feedback"
        other = equilibrium(net, data, method="sweep")
        kappa = np.linalg.cond(activity_hessian(net).to_dense())
        assert_close(hidden(eq), hidden(other), size=sum(widths), kappa=kappa)
        assert_close(eq.energy, float(other.energy), size=sum(widths), kappa=kappa)

    def test_a_thousand_layers(self, rng):
        net = LinearPCN.random((3,) * 1001, init="orthogonal", rng=rng)
        data = Data(rng.standard_normal((2, 3)), rng.standard_normal((2, 3)))
        eq = equilibrium(net, data)
        r = data.y - feedforward(net, data.x)[-1]
        # perfect isometry: S = L I and every error has the size |r| / L
        assert_close(eq.rescaling, 1000 * np.eye(3), size=3000)
        for error in eq.errors:
            assert_close(np.linalg.norm(error, axis=1), np.linalg.norm(r, axis=1) / 1000, size=3000)

    def test_one_hidden_unit_everywhere(self):
        net = LinearPCN([[[1.0]]] * 4)
        eq = equilibrium(net, Data([[0.0]], [[4.0]]))
        assert_close([z.item() for z in eq.activities], [0, 1, 2, 3, 4], size=10)
        assert_close(eq.energy, 2.0, size=10)


@pytest.mark.parametrize("kind", list(accuracy_study.KINDS))
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.claim("equilibrium-errors")
def test_the_true_errors_are_within_ten_times_their_estimate(kind, method):
    number = {"deep": 1, "layers": 6}.get(kind, 12)
    refused = 0
    for i in range(number):
        with np.errstate(all="ignore"):
            net, data, digits = accuracy_study.draw(kind, np.random.default_rng([3, i]))
            found = accuracy_study.ratios(net, data, digits, method)
        if isinstance(found, str):
            assert found.startswith("ValueError: ")
            refused += 1
            continue
        infinite = found.pop("infinite")
        assert max(found.values()) <= accuracy_study.LIMIT, (i, found)
        assert not infinite or kind == "fitted"
    if method in ("auto", "feedback"):
        assert refused <= (2 if kind == "weights" else 0)


def test_the_estimates_for_networks_of_moderate_size_are_small():
    for i in range(30):
        net, data, _ = accuracy_study.draw("ordinary", np.random.default_rng([4, i]))
        assert max(equilibrium(net, data).accuracy) < 1e3 * EPS


@pytest.mark.claim("equilibrium-errors")
@pytest.mark.parametrize("spread", [3.0, 6.0, 9.0])
def test_outputs_of_precisions_far_apart_have_accurate_errors(spread):
    """Fewer units than outputs: what they cannot reach is a small rest of large numbers."""
    net = LinearPCN(
        [[[0.7], [-1.2]], [[1.0, 0.6], [-0.4, 1.3], [0.8, 0.5]]],
        precisions=[1e-6, [10**-spread, 10 ** (-spread / 2), 10**spread]],
    )
    data = Data([[1.0], [-0.3]], [[0.6, -1.0, 0.4], [1.7, 0.2, -0.9]])
    eq = equilibrium(net, data, method="feedback")
    true = oracles.true_relative_errors(net, data, eq, 150)
    assert max(true["errors"], true["energy"]) < 50 * EPS


def test_an_equilibrium_without_an_accurate_digit_is_refused():
    rng = np.random.default_rng(0)
    net = LinearPCN([1e84 * rng.standard_normal((2, 3)), 1e95 * rng.standard_normal((1, 2)), [[1e-52]] * 3])
    data = Data(rng.standard_normal((2, 3)), rng.standard_normal((2, 3)))
    for method in ("auto", "feedback"):
        with pytest.raises(ValueError, match="`weights` must not be so large that the predictions"):
            equilibrium(net, data, method=method)


@pytest.mark.parametrize(
    ("method", "net"),
    [
        ("sweep", LinearPCN([[[30.0]]] * 12, precisions=[1e-6, *[1.0] * 11])),
        ("elimination", LinearPCN([[[1.0]], [[0.7]], [[1.0]]], precisions=[1e-8, 1e8, 1e-8])),
    ],
)
def test_a_method_that_leaves_no_digit_where_another_leaves_some_is_refused(method, net):
    data = Data([[1.0]], [[3.0]])
    with pytest.raises(ValueError, match=f"`method` must be one .* Got '{method}', .* use 'auto'"):
        equilibrium(net, data, method=method)
    assert max(equilibrium(net, data).accuracy) < 1e-12


def test_a_fit_to_the_last_digit_is_no_failure():
    """Errors and energy are 0 up to the rounding errors of the data, and their estimates say so."""
    net = LinearPCN([[[0.1, 0.7]], [[0.3], [1.1]]])
    x = np.array([[0.3, 0.9], [1.7, -0.2]])
    eq = equilibrium(net, Data(x, feedforward(net, x)[-1] * (1 + EPS)))
    assert eq.energy < EPS**2
    assert np.isinf(eq.accuracy.errors)
    assert eq.accuracy.activities < 100 * EPS


def test_precisions_of_any_size_are_no_matter_of_luck():
    """The elimination of H would be cheaper here, and wrong by 5%: its condition is that of 1e15."""
    net = LinearPCN.random([1, 3, 1, 2, 2], rng=44, precisions=[1e-7, 1e8, 10.0, 1e-6])
    data = Data([[1.0], [0.3]], [[1.0, -2.0], [0.5, 0.7]])
    true = oracles.true_relative_errors(net, data, equilibrium(net, data), 100)
    assert max(true.values()) < 1e-14
    lost = equilibrium(net, data, method="elimination")
    assert max(oracles.true_relative_errors(net, data, lost, 100).values()) > 1e-4
    assert lost.accuracy.energy > 1e-4


def test_errors_that_hidden_layers_hide_from_the_output_are_seen():
    """Rounding errors grow in the hidden layers and are contracted again: z_L is met, and z_4 is not."""
    rng = np.random.default_rng(0)
    weights = [1e-90, 1e22, 1e6, 1e6, 1e-50]
    net = LinearPCN([w * rng.standard_normal((2, 2)) for w in weights])
    data = Data(rng.standard_normal((2, 2)), rng.standard_normal((2, 2)))
    eq = equilibrium(net, data)
    assert eq.method == "feedback"
    true = oracles.true_relative_errors(net, data, eq, 1000)
    assert true["activities"] <= 10 * eq.accuracy.activities


@pytest.mark.claim("equilibrium-errors")
@pytest.mark.parametrize("spread", [0.0, 2.0, 5.0, 12.0])
@pytest.mark.parametrize("noise", [1.0, 1e-6])
def test_wide_layers_of_any_condition_are_reduced_without_loss(spread, noise, rng):
    """7 outputs of 3 units, which 6 units follow: rows are reduced by a Cholesky factor or by QR."""
    scales = 10 ** np.linspace(0, -spread, 3)
    weights = [rng.standard_normal((3, 2)), *(rng.standard_normal((n, 3)) * scales for n in (6, 7))]
    weights.insert(2, rng.standard_normal((3, 6)))
    net = LinearPCN(weights, precisions=[1.0, 2.0, rng.uniform(0.5, 2, 3), 0.5])
    x = rng.standard_normal((4, 2))
    y = feedforward(net, x)[-1]
    data = Data(x, y + noise * rng.standard_normal(y.shape))
    eq = equilibrium(net, data)
    assert eq.method == "feedback"
    true = oracles.true_relative_errors(net, data, eq, 100)
    for name, error in true.items():
        assert error <= 10 * getattr(eq.accuracy, name), name
        assert error <= 1e3 * EPS / noise, name


def swept_rows(net, first, added, condition, target):
    """`forward_sweep` with errors that are given layer by layer."""
    rows, errors, growth = forward_sweep(net, first, np.eye(len(first)), np.hstack(added), condition, target)
    np.testing.assert_array_equal(np.hstack(errors), np.hstack(added))
    return rows, growth


@pytest.mark.parametrize(("gain", "depth", "trusted"), [(1.0, 50, True), (3.0, 6, True), (10.0, 8, False)])
def test_rounding_errors_grow_with_the_maps_and_the_sweep_is_trusted_up_to_ten_thousand(gain, depth, trusted):
    """A chain whose activities stay of one size while its rounding errors grow by the gain in every layer."""
    net = LinearPCN([[[gain]]] * depth)
    rows = np.ones((3, 1))
    added = [rows - gain * rows] * depth  # z_l = 1 everywhere
    swept, growth = swept_rows(net, gain * rows, added, 1.0, rows)
    for z in swept:
        assert_close(z, rows, size=10, kappa=gain**depth)
    assert 0.03 * gain ** (depth - 1) <= growth <= 30 * depth * gain ** (depth - 1)
    assert is_trusted(net, 1.0, growth) == trusted
    missed = swept_rows(net, gain * rows, added, 1.0, rows + 1e-3)[1]
    assert np.isclose(missed, 1e-3 / EPS, rtol=1e-2)
    assert not is_trusted(net, 1.0, missed)


def test_the_growth_is_a_sample_of_the_rounding_errors_in_every_layer():
    """Against a sweep of more digits, on chains whose errors explode and vanish again within."""
    ratios = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        depth, size = int(rng.integers(5, 30)), int(rng.integers(1, 5))
        widths, gains = rng.integers(1, 6, depth + 1), 10 ** rng.uniform(-1.5, 1.5, depth)
        net = LinearPCN(
            [g * rng.standard_normal((b, a)) for g, a, b in zip(gains, widths[:-1], widths[1:], strict=True)]
        )
        first = rng.standard_normal((size, widths[0])) @ net.maps[0].T
        z, added = first, []
        for matrix in (None, *net.maps[1:]):
            predicted = first if matrix is None else z @ matrix.T
            added.append(rng.standard_normal(predicted.shape) - predicted)
            z = predicted + added[-1]
        exact = [first.astype(np.longdouble) + added[0]]
        for matrix, error in zip(net.maps[1:], added[1:], strict=True):
            exact.append(exact[-1] @ matrix.T + error)
        swept, growth = swept_rows(net, first, added, 0.0, exact[-1].astype(float))
        error = max(float(np.abs(a - b).max()) for a, b in zip(swept, exact, strict=True))
        scale = max(float(np.abs(b).max()) for b in exact)
        ratios.append(error / scale / EPS / growth)
    assert max(ratios) <= 50  # a sample may be small by chance
    assert 0.3 <= np.median(ratios) <= 1.5


def test_the_random_errors_of_a_sweep_are_normal_and_of_the_given_size(rng):
    net = LinearPCN([rng.standard_normal((400, 3)), 0.1 * np.eye(400)], precisions=[4.0, 1.0])
    rows = rng.standard_normal((5, 3))
    added = [rng.standard_normal((5, 400)), np.zeros((5, 400))]

    def growth(condition, scale=1.0):
        first, *errors = (scale * a for a in (rows @ net.maps[0].T, *added))
        end = (first + errors[0]) @ net.maps[1].T
        swept, result = swept_rows(net, first, errors, scale * condition, end)
        assert_close(swept[-1], end, size=400)
        return result

    assert growth(1.0) == growth(1.0, scale=2.0**-20) == growth(1.0, scale=2.0**20)
    # the largest of 400 normal numbers is 3; those of a layer of precision 4 are halved, those of the second
    # are whole; the largest entry of a combination of 5 samples is about 3 * sqrt(5 (3 + 1)); the weights of
    # the combination, of 1 to 2, are in both
    assert 1e6 * 3 / 20 < growth(1e6) < 1e6 * 5 / 6
    assert np.isclose(growth(1e7) / growth(1e6), 10, rtol=1e-4)
    wide = np.zeros((2, 400))
    assert swept_rows(net, wide, [wide, wide], 0.0, wide)[1] == 0.0


def test_the_rounding_errors_of_the_sweep_are_those_of_its_errors_times_its_condition(monkeypatch, rng):
    seen = []

    def watched(net, first, coefficients, basis, condition, target):
        seen.append((coefficients, basis, condition))
        return forward_sweep(net, first, coefficients, basis, condition, target)

    monkeypatch.setattr(routes, "forward_sweep", watched)
    net = LinearPCN.random((3, 4, 2), precisions=[4.0, np.array([9.0, 0.5])], rng=rng)
    eq = equilibrium(net, Data(rng.standard_normal((5, 3)), rng.standard_normal((5, 2))))
    ((coefficients, basis, condition),) = seen
    assert_close(condition, np.trace(np.diag([9.0, 0.5]) @ eq.rescaling) ** 0.5, size=50)  # |R C_L|
    assert_close(coefficients @ basis, np.hstack(eq.errors), size=50)
    weighted = [(basis[:, :4] * 2.0), basis[:, 4:] * np.array([3.0, 0.5**0.5])]  # of unit length, C_l^T e_l
    assert_close(sum(w @ w.T for w in weighted), np.eye(2), size=50)


def test_a_sweep_is_not_trusted_beyond_its_bounds():
    net = LinearPCN([np.eye(2), np.eye(2)], precisions=[1.0, np.array([1.0, 9e3])])
    assert is_trusted(net, 8e3, 9e3)
    assert not is_trusted(net, 9e3, 9e3)  # eps^(-1/4) = 8192
    assert not is_trusted(net, 8e3, 1.1e4)
    assert is_trusted(net, 8e3, 99.0, order=2)
    assert not is_trusted(net, 8e3, 101.0, order=2)
    assert not is_trusted(net, 1.0, np.nan)
    assert not is_trusted(net, np.nan, 1.0)
    assert not is_trusted(net.replace(precisions=[1.0, np.array([1.0, 1.1e4])]), 1.0, 1.0)
    assert is_trusted(net.replace(precisions=[5.0, np.array([5.0, 4.5e4])]), 1.0, 1.0)
    assert not is_trusted(net.replace(precisions=[0.2, np.array([0.2, 2.2e3])]), 1.0, 1.0)
    assert not is_trusted(net.replace(precisions=[1.1e4, 1.0]), 1.0, 1.0)


def test_sizes_of_arrays_are_unknown_only_where_they_are_traced():
    assert largest(np.array([[1.0, -3.0]])) == largest(np.array([[3.0, -1.0]])) == 3
    assert largest(np.array([[2.0, 1.0]])) == largest(torch.tensor([[-2.0, -1.0]], requires_grad=True)) == 2
    assert norm(np.array([[3.0, -4.0]])) == norm(torch.tensor([[3.0, -4.0]], requires_grad=True)) == 5
    assert np.isnan(largest(np.array([1.0, np.nan])))
    traced = []
    jax.jit(lambda a: traced.extend([largest(a), norm(a)]))(jax.numpy.ones((2, 2)))
    assert np.isnan(traced).all()


def test_the_accuracy_of_traced_arrays_is_unknown():
    seen = []

    def value(w):
        net = LinearPCN([w, jax.numpy.asarray([[3.0]])])
        eq = equilibrium(net, Data(jax.numpy.asarray([[1.0]]), jax.numpy.asarray([[7.0]])))
        seen.append(eq.accuracy)
        return eq.energy

    with jax.enable_x64(True):
        assert_close(jax.jit(value)(jax.numpy.asarray([[2.0]])), 0.05, size=10)
    assert np.isnan(seen[0]).all()


@pytest.mark.parametrize("method", METHODS)
def test_torch_and_jax_arrays_stay_what_they_are_and_agree_with_numpy(method, rng):
    net = LinearPCN.random(
        (3, 4, 4, 2), skips=True, precisions=[2.0, [1.0, 2.0, 3.0, 4.0], np.diag([1.0, 3.0])], rng=rng
    )
    data = Data(rng.standard_normal((5, 3)), rng.standard_normal((5, 2)))
    expected = equilibrium(net, data, method=method)
    with jax.enable_x64(True):
        for convert in (torch.tensor, jax.numpy.asarray):
            raw = [2.0, convert([1.0, 2.0, 3.0, 4.0]), convert(np.diag([1.0, 3.0]))]
            twin = LinearPCN([convert(np.array(w)) for w in net.weights], skips=net.skips, precisions=raw)
            eq = equilibrium(twin, Data(convert(data.x), convert(data.y)), method=method)
            for ours, theirs in zip(eq.activities, expected.activities, strict=True):
                assert type(ours) is type(twin.weights[0])
                assert_close(np.asarray(ours), theirs, size=200)
            assert_close(np.asarray(eq.energy), float(expected.energy), size=200)
            assert_close(np.asarray(eq.rescaling), expected.rescaling, size=200)


def test_jax_differentiates_and_compiles_the_equilibrium(rng):
    net = LinearPCN.random((3, 4, 2), rng=rng)
    data = Data(rng.standard_normal((5, 3)), rng.standard_normal((5, 2)))
    expected = weight_gradient(net, equilibrium(net, data).activities)
    with jax.enable_x64(True):
        batch = Data(jax.numpy.asarray(data.x), jax.numpy.asarray(data.y))

        def value(weights):
            return equilibrium(LinearPCN(list(weights)), batch).energy

        weights = [jax.numpy.asarray(w) for w in net.weights]
        for gradient in (jax.grad(value)(weights), jax.jit(jax.grad(value))(weights)):
            for ours, theirs in zip(gradient, expected, strict=True):
                assert_close(np.asarray(ours), theirs, size=200)


def test_float32_networks_stay_float32(rng):
    net = LinearPCN.random((3, 4, 2), rng=rng)
    small = net.replace(weights=[w.astype(np.float32) for w in net.weights])
    data = Data(rng.standard_normal((5, 3)), rng.standard_normal((5, 2)))
    eq = equilibrium(small, data)
    assert {z.dtype for z in eq.activities} == {np.dtype(np.float32)}
    assert_close(eq.energy, float(equilibrium(net, data).energy), size=100, eps=np.finfo(np.float32).eps)


def test_an_unknown_method_is_refused_in_one_sentence():
    with pytest.raises(
        ValueError, match="`method` must be one of 'auto', 'sweep', 'feedback', 'elimination'. Got 'fast'"
    ):
        equilibrium(LinearPCN([[[1.0]]]), Data([[1.0]], [[1.0]]), method="fast")
