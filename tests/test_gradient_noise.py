"""Gradient noise: traces against gradients of single samples, and where it lives at critical points."""

import numpy as np
import pytest
import torch
from hypothesis import given
from strategies import networks, problems, seeds
from tolerances import assert_close

from pctheory import Data, EquilibratedEnergy, LinearPCN, MSELoss
from pctheory.dynamics import gradient_noise
from pctheory.inference import equilibrium
from pctheory.landscape import WeightDecay, find_critical_points
from pctheory.nn import PCN, Stop, infer

pytestmark = pytest.mark.claim("gradient-noise")
OBJECTIVES = {"energy": EquilibratedEnergy, "loss": MSELoss}


def measured(gradients):
    """Traces and squares from the gradients of the samples, a list over layers of (B, ...)."""
    means = [g.mean(axis=0) for g in gradients]
    traces = [np.sum((g - m) ** 2) / len(g) for g, m in zip(gradients, means, strict=True)]
    return np.array(traces), np.array([np.sum(m**2) for m in means])


@given(problems(max_samples=7))
def test_the_traces_are_those_of_the_gradients_of_single_samples(problem):
    net, data = problem
    for name, objective in OBJECTIVES.items():
        rows = [objective(data.take([i])).gradient(net) for i in range(data.num_samples)]
        traces, squares = measured([np.stack(layer) for layer in zip(*rows, strict=True)])
        noise = gradient_noise(net, data, objective=name)
        size, scale = 40 * net.num_weights, float(np.max(traces + squares))
        assert_close(noise.traces, traces, size=size, kappa=1e3, scale=scale)
        assert_close(noise.squares, squares, size=size, kappa=1e3, scale=scale)


@pytest.mark.evidence("empirical")
@pytest.mark.parametrize("skips", [False, True])
def test_autograd_of_each_samples_energy_after_real_inference_has_this_noise(skips):
    rng = np.random.default_rng(4)
    net = LinearPCN.random(
        (5, 6, 6, 6, 3), parameterisation="mupc", skips=skips, precisions=[2.0, None, 0.5, 3.0], rng=rng
    )
    x, y = rng.standard_normal((9, 5)), rng.standard_normal((9, 3))
    model = PCN.from_linear(net)
    settled = infer(model, x, y, "newton", stop=Stop(50, 1e-13)).activities
    parameters = dict(model.named_parameters())

    layers = list(zip(model.multipliers, model.skips, (2.0, 1.0, 0.5, 3.0), strict=True))

    def predicted(weight, a, skip, below):
        return a * below @ weight.T + (below if skip else 0)

    def energy(weights, sample):
        total = 0.0
        for w, (a, skip, pi), below, above in zip(weights.values(), layers, sample, sample[1:], strict=False):
            total = total + 0.5 * pi * ((above - predicted(w, a, skip, below)) ** 2).sum()
        return total

    def loss(weights, sample):
        z = sample[0]
        for w, (a, skip, _) in zip(weights.values(), layers, strict=True):
            z = predicted(w, a, skip, z)
        return 1.5 * ((sample[-1] - z) ** 2).sum()

    for name, function in (("energy", energy), ("loss", loss)):
        per_sample = torch.func.vmap(torch.func.grad(function), in_dims=(None, 0))
        gradients = [g.detach().numpy() for g in per_sample(parameters, tuple(settled)).values()]
        noise = gradient_noise(net, Data(x, y), objective=name)
        traces, squares = measured(gradients)
        np.testing.assert_allclose(noise.traces, traces, rtol=1e-8)
        np.testing.assert_allclose(noise.squares, squares, rtol=1e-8)


def test_at_critical_points_of_the_energy_the_noise_lives_in_the_last_layer(rng):
    """At the origin, and at a point where an eigenvector of S_yy is fitted."""
    x = rng.standard_normal((40, 3))
    fitted, noise = rng.standard_normal((40, 1)), rng.standard_normal((40, 2))
    x[:, :1] = fitted
    # the first output is the input's first component, the others noise that is orthogonal to all of x
    noise -= x @ np.linalg.lstsq(x, noise, rcond=None)[0]
    data = Data(x, np.hstack([fitted, noise]))
    top = np.zeros((2, 2))
    top[0, 0] = 1.0
    first, last = np.zeros((2, 3)), np.zeros((3, 2))
    first[0, 0], last[0, 0] = 0.5, 2.0
    for weights in ([first, top, last], [0 * first, 0 * top, 0 * last]):
        net = LinearPCN(weights, precisions=[3.0, 0.4, 2.0])
        gradient = EquilibratedEnergy(data).gradient(net)
        assert max(np.abs(g).max() for g in gradient) < 1e-14
        found = gradient_noise(net, data)
        assert np.all(found.traces[:-1] < 1e-28)
        h = x @ np.linalg.multi_dot(net.weights[-2::-1]).T
        r = data.y - h @ net.weights[-1].T
        expected = 4.0 * np.mean(np.sum(r**2, axis=1) * np.sum(h**2, axis=1))
        np.testing.assert_allclose(found.trace, expected, rtol=1e-12, atol=1e-28)
    assert found.scale == np.inf or found.trace == 0


def test_critical_points_that_a_search_finds_keep_no_noise_in_hidden_layers(rng):
    x = rng.standard_normal((30, 3))
    data = Data(x, x @ rng.standard_normal((3, 2)))
    net = LinearPCN.random((3, 2, 2, 2), rng=rng)
    points = find_critical_points(EquilibratedEnergy(data), net, 6, rng)
    assert points
    for point in points:
        noise = gradient_noise(point.net, data)
        assert np.all(noise.traces[:-1] <= 1e-12)


def chain(rng):
    """A chain of two weights, noisy data, and the regression that its map should be."""
    x, xi = rng.standard_normal((2, 50))
    x /= np.sqrt(np.mean(x**2))
    xi -= x * (x @ xi) / (x @ x)
    xi /= np.sqrt(np.mean(xi**2))
    return Data(x[:, None], (2 * x + xi)[:, None])


def test_a_critical_point_of_the_loss_may_keep_noise_in_every_layer(rng):
    data = chain(rng)
    net = LinearPCN([[[1.0]], [[2.0]]])
    assert max(abs(g.item()) for g in MSELoss(data).gradient(net)) < 1e-14
    assert np.all(gradient_noise(net, data, objective="loss").traces > 0.1)
    assert np.all(gradient_noise(net, data, objective="loss").squares < 1e-28)


def test_where_the_last_layer_is_not_learned_a_critical_point_of_the_others_keeps_noise(rng):
    """Its hypothesis: all layers are learned. Here the last weight is held at 2."""
    data = chain(rng)
    first, last = EquilibratedEnergy(data).gradient(LinearPCN([[[1.0]], [[2.0]]]))
    assert abs(first.item()) < 1e-14
    assert abs(last.item()) > 0.05
    noise = gradient_noise(LinearPCN([[[1.0]], [[2.0]]]), data)
    assert noise.traces[0] > 0.1


def test_with_weight_decay_critical_points_keep_noise_in_hidden_layers(rng):
    from scipy.optimize import minimize

    data = chain(rng)
    net = LinearPCN([[[1.0]], [[1.0]]])
    objective = WeightDecay(EquilibratedEnergy(data), 0.01)
    found = minimize(
        lambda v: float(objective.value(net.unflatten(v))),
        net.flatten(),
        jac=lambda v: np.asarray(net.join(objective.gradient(net.unflatten(v)))),
        method="BFGS",
        options={"gtol": 1e-10},
    )
    assert gradient_noise(net.unflatten(found.x), data).traces[0] > 1e-3


def test_the_noise_of_compressed_data_is_another(rng):
    x, y = rng.standard_normal((60, 3)), rng.standard_normal((60, 2))
    data, net = Data(x, y), LinearPCN.random((3, 4, 2), rng=rng)
    whole, small = gradient_noise(net, data), gradient_noise(net, data.compress())
    np.testing.assert_allclose(whole.squares, small.squares, rtol=1e-12)
    assert not np.allclose(whole.traces, small.traces, rtol=0.2)


@given(networks(min_depth=2), seeds)
def test_the_noise_of_a_batch_falls_with_its_size(net, seed):
    """Mini-batches with replacement: the mean square of their gradient's deviation is trace / size."""
    rng = np.random.default_rng(seed)
    data = Data(rng.standard_normal((3, net.widths[0])), rng.standard_normal((3, net.widths[-1])))
    pairs = [(i, j) for i in range(3) for j in range(3)]
    rows = [EquilibratedEnergy(data.take(list(p))).gradient(net) for p in pairs]
    traces, _ = measured([np.stack(layer) for layer in zip(*rows, strict=True)])
    found = gradient_noise(net, data)
    scale = float(np.max(found.traces + found.squares))
    assert_close(traces, found.traces / 2, size=40 * net.num_weights, kappa=1e3, scale=scale)


def test_scales_and_shares():
    data = Data([[1.0], [1.0]], [[3.0], [1.0]])
    noise = gradient_noise(LinearPCN([[[1.0]], [[1.0]]]), data)
    np.testing.assert_allclose(noise.scales, [1, 1], rtol=1e-12)
    np.testing.assert_allclose(noise.shares, [0.2, 0.8], rtol=1e-12)
    still = gradient_noise(LinearPCN.zeros((1, 1, 1)), data)
    assert np.all(still.shares == 0)
    assert still.scale == np.inf
    assert equilibrium(LinearPCN.zeros((1, 1, 1)), data).energy > 0
    with pytest.raises(ValueError, match="`objective` must be"):
        gradient_noise(LinearPCN.zeros((1, 1, 1)), data, objective="likelihood")
