"""Section L: the balance law, gradient flow and descent, the cascade, inflating weights; in closed form and
in plain torch.
"""

import warnings

import numpy as np
import plain_torch
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import simpson
from strategies import problems, seeds
from tolerances import assert_close

from pctheory import Data, LinearPCN, equilibrium, rescaling
from pctheory.dynamics import (
    crossing_time,
    gradient_descent,
    gradient_flow,
    half_time,
    imbalance,
    imbalance_rate,
)
from pctheory.landscape import EquilibratedEnergy, MSELoss, NegativeLogLikelihood, WeightDecay

TOY = Data([[1.0]], [[-1.0]])


def chain(depth, size, sign=-1):
    """All weights `size`, the first with the sign of the target's product."""
    return LinearPCN([[[sign * size]]] + [[[size]]] * (depth - 1))


@pytest.mark.claim("balance-law")
@given(problem=problems(min_depth=2))
def test_neighbouring_gradients_differ_by_the_covariance_of_the_error_between_them(problem):
    net, data = problem
    eq = equilibrium(net, data)
    slopes = [
        g / a for g, a in zip(EquilibratedEnergy(data).gradient(net), net.multipliers, strict=True)
    ]  # G_l = dF*/dA_l
    kappa = np.linalg.cond(rescaling(net)) * max(1.0, *(np.linalg.norm(m, 2) ** 2 for m in net.maps))
    for l in range(net.depth - 1):
        left = net.maps[l + 1].T @ slopes[l + 1] - slopes[l] @ net.maps[l].T
        error = eq.errors[l]
        right = -net.precisions[l].apply(error).T @ error / data.num_samples
        scale = max(np.abs(g).max() for g in slopes) * max(1.0, *(np.linalg.norm(m, 2) for m in net.maps))
        assert_close(left, right, size=10 * net.num_weights, kappa=kappa, scale=scale)


@pytest.mark.claim("balance-law")
@given(problem=problems(min_depth=2), kind=st.sampled_from([MSELoss, EquilibratedEnergy]))
def test_the_imbalance_moves_at_its_rate_and_on_the_loss_not_at_all(problem, kind):
    net, data = problem
    gradient = kind(data).gradient(net)
    # dD = derivative of the imbalance along -gradient: D is quadratic, so central differences are exact
    moved = [
        imbalance(net.replace(weights=[w - s * g for w, g in zip(net.weights, gradient, strict=True)]))
        for s in (1.0, -1.0)
    ]
    rates = imbalance_rate(net, data)
    kappa = np.linalg.cond(rescaling(net)) * max(1.0, *(np.linalg.norm(m, 2) ** 2 for m in net.maps))
    for l, (up, down) in enumerate(zip(*moved, strict=True)):
        expected = rates[l] if kind is EquilibratedEnergy else 0 * rates[l]
        scale = max(np.abs(up).max(), np.abs(down).max())
        assert_close((up - down) / 2, expected, size=20 * net.num_weights, kappa=kappa, scale=scale)


@pytest.mark.claim("balance-law")
@given(problem=problems(min_depth=2, precisions=False))
def test_with_unit_precisions_the_drift_is_towards_the_output(problem):
    net, data = problem
    for rate in imbalance_rate(net, data):
        assert np.linalg.eigvalsh(rate)[0] >= -1e-12 * max(np.abs(rate).max(), 1e-300)


@pytest.mark.claim("balance-law")
def test_with_unequal_precisions_the_drift_need_not_be_one_way():
    rng = np.random.default_rng(0)
    net = LinearPCN([rng.standard_normal((2, 2)), np.eye(2)], precisions=[[50.0, 0.02], 1.0])
    rate = imbalance_rate(net, Data(rng.standard_normal((1, 2)), rng.standard_normal((1, 2))))[0]
    assert np.linalg.eigvalsh(rate)[0] < -1e-6


@pytest.mark.claim("balance-law")
@pytest.mark.parametrize("kind", [MSELoss, EquilibratedEnergy])
def test_along_the_flow_the_imbalance_is_the_integral_of_the_error_covariance(kind, rng):
    net = LinearPCN.random((3, 4, 4, 2), parameterisation="mupc", skips=True, rng=rng)
    data = Data(rng.standard_normal((12, 3)), rng.standard_normal((12, 2)))
    times = np.linspace(0.0, 20.0, 401)
    path = gradient_flow(kind(data), net, times)
    nets = [path.network(i) for i in range(len(times))]
    for l in range(net.depth - 1):
        drift = imbalance(nets[-1])[l] - imbalance(nets[0])[l]
        rates = np.stack([imbalance_rate(n, data)[l] for n in nets])
        integral = simpson(rates, x=times, axis=0)
        expected = integral if kind is EquilibratedEnergy else 0 * integral
        np.testing.assert_allclose(drift, expected, atol=2e-6)
    if kind is EquilibratedEnergy:
        assert np.abs(integral).max() > 1e-2


def torch_drift(rate, steps):
    """Deviation of the imbalance from the summed error covariances along real inference and training."""
    rng = np.random.default_rng(5)
    net = LinearPCN.random((3, 4, 3), init=0.4, rng=rng)
    data = Data(rng.standard_normal((10, 3)), rng.standard_normal((10, 3)))
    x, y = torch.tensor(data.x), torch.tensor(data.y)
    weights = plain_torch.tensors(net)
    begin = weights[1].T @ weights[1] - weights[0] @ weights[0].T
    total, worst, moved = torch.zeros_like(begin), 0.0, 0.0
    for _ in range(steps):
        maps = plain_torch.as_maps(weights, net)
        z = plain_torch.infer(maps, x, y, 40)
        error = plain_torch.errors_of(maps, z)[0]
        total = total + rate * 2 * error.T @ error / len(x)
        gradient = plain_torch.local_gradient(weights, net, z)
        weights = [w - rate * g for w, g in zip(weights, gradient, strict=True)]
        now = weights[1].T @ weights[1] - weights[0] @ weights[0].T
        worst = max(worst, float((now - begin - total).abs().max()))
        moved = max(moved, float(total.abs().max()))
    return worst, moved


@pytest.mark.claim("balance-law")
@pytest.mark.evidence("empirical")
def test_training_drifts_by_the_integral_up_to_the_step_size():
    worst, moved = zip(*(torch_drift(rate, int(2.4 / rate)) for rate in (0.16, 0.08, 0.04)), strict=True)
    assert moved[-1] > 0.1
    assert worst[-1] < 0.1 * moved[-1]
    np.testing.assert_allclose(np.diff(np.log2(worst)), -1.0, atol=0.15)  # first order in the step


def settled(weights, x, y, phi):
    """Stationary activities: inference, then Newton's method with the units that rest on the kink, z = 0,
    held there.
    """
    sizes = [5 * len(x), 5 * len(x)]

    def of(vector):
        hidden = [part.reshape(len(x), 5) for part in torch.split(vector, sizes)]
        return len(x) * plain_torch.energy(weights, [x, *hidden, y], phi)

    vector, step = torch.cat([h.ravel() for h in plain_torch.infer(weights, x, y, 300, phi=phi)[1:-1]]), 0.2
    for _ in range(1200):
        vector, step = vector - step * torch.func.grad(of)(vector), step * 0.995
    free = torch.abs(vector) > 5e-3
    vector = vector * free
    for _ in range(6):
        slope, curve = torch.func.grad(of)(vector)[free], torch.func.hessian(of)(vector)[free][:, free]
        vector[free] = vector[free] - torch.linalg.solve(curve, slope)
    assert float(torch.func.grad(of)(vector)[free].abs().max()) < 1e-10
    return [x, *(part.reshape(len(x), 5) for part in torch.split(vector, sizes)), y]


ACTIVATIONS = {
    "relu": torch.relu,
    "leaky relu": lambda z: torch.nn.functional.leaky_relu(z, 0.1),
    "tanh": torch.tanh,
}


@pytest.mark.claim("balance-law")
@pytest.mark.evidence("empirical")
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_each_hidden_neuron_of_a_homogeneous_network_obeys_the_diagonal(name):
    """z_l = W_l phi(z_{l-1}) + eps_l at a stationary z: |out|^2 - |in|^2 of a neuron grows at 2 <eps^2>. Tanh
    does not.

    Stationary in the sense that z_j dF/dz_j = 0: a unit at rest on the kink (z_j = 0) obeys the law too.
    """
    rng = np.random.default_rng(3)
    net = LinearPCN.random((3, 5, 5, 2), init=0.6, rng=rng)
    x, y = torch.tensor(rng.standard_normal((6, 3))), torch.tensor(rng.standard_normal((6, 2)))
    phi, weights = ACTIVATIONS[name], plain_torch.tensors(net)
    z = settled(weights, x, y, phi)
    slopes = plain_torch.local_gradient(weights, net, z, phi)
    errors = plain_torch.errors_of(weights, z, phi)
    for l in range(2):
        left = torch.diagonal(weights[l + 1].T @ slopes[l + 1] - slopes[l] @ weights[l].T)
        right = -torch.mean(errors[l] ** 2, 0)
        if name == "tanh":
            assert float((left - right).abs().max()) > 1e-3
        else:
            np.testing.assert_allclose(left, right, atol=1e-10)
            assert float(right.abs().max()) > 1e-2


@pytest.mark.claim("balance-law")
def test_a_layer_that_does_not_learn_has_no_balance():
    frozen = LinearPCN([[[1.0]], [[1.0]]], multipliers=[1.0, 0.0])
    with pytest.raises(ValueError, match="`multipliers` must not be 0"):
        imbalance(frozen)
    with pytest.raises(ValueError, match="`multipliers` must not be 0"):
        imbalance_rate(frozen, TOY)


@given(seed=seeds)
@settings(max_examples=15)
def test_regression_flows_as_the_matrix_exponential_says(seed):
    rng = np.random.default_rng(seed)
    data = Data(rng.standard_normal((6, 2)), rng.standard_normal((6, 1)))
    net = LinearPCN([rng.standard_normal((1, 2))])
    times = np.array([0.0, 0.5, 2.0])
    path = gradient_flow(EquilibratedEnergy(data), net, times)
    values, vectors = np.linalg.eigh(data.xx)
    best = np.linalg.solve(data.xx, data.yx[0])
    for t, w in zip(path.times, path.weights, strict=True):
        decay = (vectors * np.exp(-t * values)) @ vectors.T
        expected = best + decay @ (net.weights[0][0] - best)
        np.testing.assert_allclose(w, expected, atol=1e-6 * max(1.0, np.abs(best).max()))


@pytest.mark.parametrize("method", ["LSODA", "DOP853", "Radau", "BDF"])
def test_every_integrator_follows_the_same_flow(method, rng):
    data = Data(rng.standard_normal((8, 2)), rng.standard_normal((8, 2)))
    net = LinearPCN.random((2, 3, 2), rng=rng)
    reference = gradient_flow(EquilibratedEnergy(data), net, [0.0, 1.0, 5.0], method="DOP853", rtol=1e-12)
    path = gradient_flow(EquilibratedEnergy(data), net, [0.0, 1.0, 5.0], method=method)
    np.testing.assert_allclose(path.weights, reference.weights, atol=1e-6)
    assert np.all(np.diff(path.values()) < 0)


def test_descent_follows_the_flow_to_first_order_in_the_learning_rate(rng):
    data = Data(rng.standard_normal((8, 2)), rng.standard_normal((8, 2)))
    net = LinearPCN.random((2, 3, 2), rng=rng)
    objective = EquilibratedEnergy(data)
    exact = gradient_flow(objective, net, [0.0, 2.0]).weights[-1]
    errors = [
        np.abs(gradient_descent(objective, net, 2.0 / n, n).weights[-1] - exact).max() for n in (50, 100, 200)
    ]
    np.testing.assert_allclose(np.diff(np.log2(errors)), -1.0, atol=0.1)


def test_diverging_descent_says_so_and_keeps_what_was_finite(rng):
    data = Data.teacher(np.eye(2), 10, rng=rng)
    net = LinearPCN.random((2, 3, 2), init=2.0, rng=rng)
    path = gradient_descent(MSELoss(data), net, 10.0, 1000)
    assert path.status == "diverged"
    assert len(path.times) < 50
    assert np.all(np.isfinite(path.weights))


def test_a_diverging_flow_says_so():
    class Uphill(WeightDecay):
        strength = -1.0

    uphill = Uphill(MSELoss(TOY), 0.0)
    uphill.strength = -5.0
    path = gradient_flow(uphill, LinearPCN([[[1.0]]]), np.linspace(0.0, 100.0, 11))
    assert path.status == "diverged"
    assert path.times[-1] < 10.0


def test_paths_are_recorded_as_asked(rng):
    net = LinearPCN.random((1, 2, 1), rng=rng)
    every = gradient_descent(MSELoss(TOY), net, 0.1, 7, record=3)
    np.testing.assert_allclose(every.times, [0.0, 0.3, 0.6, 0.7])
    listed = gradient_descent(MSELoss(TOY), net, 0.1, 7, record=[0, 5])
    np.testing.assert_allclose(listed.times, [0.0, 0.5])
    assert every.layer_norms().shape == (4, 2)
    np.testing.assert_allclose(every.layer_norms()[0], [np.linalg.norm(w) for w in net.weights])
    values = [float(MSELoss(TOY).value(every.network(i))) for i in range(4)]
    np.testing.assert_allclose(every.values(), values)
    energies = [float(EquilibratedEnergy(TOY).value(every.network(i))) for i in range(4)]
    np.testing.assert_allclose(every.values(EquilibratedEnergy(TOY)), energies)


# first time at which the product is half its target, from weights .01 of the right sign
CASCADE = {3: (99.16, 10.95), 4: (4999.0, 46.64)}


@pytest.mark.claim("cascade")
@pytest.mark.parametrize("depth", CASCADE)
def test_the_energy_fits_a_chain_sooner_than_the_loss_does(depth):
    times = np.concatenate([[0.0], np.geomspace(0.1, 6e3, 60000)])
    loss = MSELoss(TOY)
    found = []
    for kind in (MSELoss, EquilibratedEnergy):
        path = gradient_flow(kind(TOY), chain(depth, 0.01), times)
        found.append(crossing_time(path.times, path.values(loss), 0.125))  # a quarter of the loss
    np.testing.assert_allclose(found, CASCADE[depth], rtol=1e-3)


@pytest.mark.claim("cascade")
@pytest.mark.parametrize("depth", [4, 6, 8])
def test_the_energy_falls_early_at_any_depth_and_the_loss_late(depth):
    """Half of the energy goes to the last layer alone: dw/dt = w / (1 + w^2)^2 takes log(1/eps) + 5/4 to w =
    1.
    """
    size = 0.01
    times = np.linspace(0.0, 20.0, 2001)
    path = gradient_flow(EquilibratedEnergy(TOY), chain(depth, size), times)
    energies, losses = path.values(), path.values(MSELoss(TOY))
    expected = np.log(1 / size) + 5 / 4
    np.testing.assert_allclose(half_time(path.times, energies), expected, rtol=1e-3)
    assert half_time(path.times, losses) == np.inf
    norms = path.layer_norms()[-1]
    assert norms[-1] > 10 * norms[-2] > 10 * norms[0] * (1 - 1e-6)  # from the top down
    assert rescaling(path.network(-1))[0, 0] > 3  # S inflates before the product grows


@pytest.mark.claim("cascade")
def test_a_product_of_the_wrong_sign_stops_the_loss_for_good_and_only_delays_the_energy():
    times = np.concatenate([[0.0], np.geomspace(0.1, 1e3, 2000)])
    wrong = chain(3, 0.01, sign=1)
    loss = MSELoss(TOY)
    path = gradient_flow(loss, wrong, times)
    assert crossing_time(path.times, path.values(), 0.49) == np.inf
    energy = gradient_flow(EquilibratedEnergy(TOY), wrong, times)
    np.testing.assert_allclose(crossing_time(energy.times, energy.values(loss), 0.125), 16.11, rtol=1e-3)


@pytest.mark.claim("cascade")
@pytest.mark.evidence("empirical")
def test_training_by_inference_cascades_as_the_flow_does():
    x, y, net = torch.tensor(TOY.x), torch.tensor(TOY.y), chain(3, 0.01)
    weights, rate = plain_torch.tensors(net), 0.05
    steps = 0
    while float((y - plain_torch.forward(weights, x)[-1]).abs()) > 0.5:
        gradient = plain_torch.pc_gradient(weights, net, x, y, steps=25)
        weights = [w - rate * g for w, g in zip(weights, gradient, strict=True)]
        steps += 1
    np.testing.assert_allclose(steps * rate, CASCADE[3][1], rtol=0.04)


@pytest.mark.claim("init-scale-reversal")
def test_the_energys_lead_turns_into_a_lag_at_ordinary_scale():
    times = np.concatenate([[0.0], np.geomspace(0.01, 1e4, 3000)])
    speed = {}
    for size in (0.05, 0.9):
        fit = []
        for kind in (MSELoss, EquilibratedEnergy):
            path = gradient_flow(kind(TOY), chain(4, size), times)
            fit.append(crossing_time(path.times, path.values(MSELoss(TOY)), 0.005))
        speed[size] = fit[0] / fit[1]
    assert speed[0.05] > 2
    assert speed[0.9] < 0.7


@pytest.mark.claim("matched-scale")
@pytest.mark.evidence("empirical")
def test_the_published_code_gives_predictive_coding_a_step_larger_by_half_of_batch_times_outputs(rng):
    """BP averages over batch and outputs (torch's mse_loss), PC sums over the batch: with S -> I the ratio is
    B n_L / 2.
    """
    batch, outputs = 16, 3
    net = LinearPCN.random((4, 5, outputs), init=1e-5, rng=rng)
    x, y = torch.tensor(rng.standard_normal((batch, 4))), torch.tensor(rng.standard_normal((batch, outputs)))
    leaves = [w.requires_grad_(True) for w in plain_torch.tensors(net)]
    published = torch.autograd.grad(
        torch.nn.functional.mse_loss(plain_torch.forward(leaves, x)[-1], y), leaves
    )
    z = plain_torch.infer(leaves, x, y, 50)
    summed = [batch * g for g in plain_torch.local_gradient(leaves, net, z)]
    # the first layer's gradient is that of the loss over S; the last one has the extra term of the energy
    np.testing.assert_allclose(summed[0] / published[0], batch * outputs / 2, rtol=1e-6)
    matched = plain_torch.bp_gradient(leaves, net, x, y)
    np.testing.assert_allclose(matched[0], summed[0] / batch, rtol=1e-6, atol=1e-12)


@pytest.mark.claim("no-minimiser-with-noise")
def test_on_noise_the_weights_inflate_like_the_fourth_root_of_time():
    """One unit, w_1 = 0, S_xy = 0: dw/dt = S_yy w / (1 + w^2)^2, so w^4 / 4 + w^2 + log w = t + const."""
    data = Data([[1.0], [-1.0]], [[1.0], [1.0]])
    times = np.geomspace(1.0, 1e6, 61)
    path = gradient_flow(EquilibratedEnergy(data), LinearPCN([[[0.0]], [[0.5]]]), np.insert(times, 0, 0.0))
    w = path.weights[:, 1]
    clock = w**4 / 4 + w**2 + np.log(w)
    np.testing.assert_allclose(clock - clock[0], path.times, rtol=1e-6)
    slope = np.diff(np.log(w[-10:])) / np.diff(np.log(path.times[-10:]))
    np.testing.assert_allclose(slope, 0.25, atol=0.002)


@pytest.mark.claim("no-minimiser-with-noise")
@pytest.mark.evidence("empirical")
def test_training_on_noise_inflates_the_weights_and_decay_stops_it():
    rng = np.random.default_rng(1)
    x, y = torch.tensor(rng.standard_normal((12, 2))), torch.tensor(rng.standard_normal((12, 2)))
    net = LinearPCN.random((2, 3, 2), init=0.5, rng=rng)
    norms = {}
    for strength in (0.0, 0.05):
        weights, sizes = plain_torch.tensors(net), []
        for _ in range(300):
            gradient = plain_torch.pc_gradient(weights, net, x, y, steps=12)
            weights = [w - 0.3 * (g + strength * w) for w, g in zip(weights, gradient, strict=True)]
            sizes.append(float(weights[-1].norm()))
        norms[strength] = sizes
    assert norms[0.0][-1] > norms[0.0][-100] + 0.02 > norms[0.0][-200] + 0.04
    assert abs(norms[0.05][-1] - norms[0.05][-100]) < 1e-2


@pytest.mark.claim("no-minimiser-with-noise")
def test_a_perfect_fit_is_a_minimum_that_the_flow_reaches(rng):
    data = Data.teacher(rng.standard_normal((2, 2)), 20, rng=rng)  # the hypothesis dropped: no noise
    path = gradient_flow(EquilibratedEnergy(data), LinearPCN.random((2, 3, 2), rng=rng), [0.0, 200.0, 1000.0])
    assert path.values()[-1] < 1e-8
    np.testing.assert_allclose(path.weights[-1], path.weights[-2], atol=1e-2)


def test_times_are_interpolated_and_infinite_if_never():
    assert crossing_time([0.0, 1.0], [1.0, 0.0], 2.0) == 0.0
    assert crossing_time([0.0, 1.0], [1.0, 0.5], 0.4) == np.inf
    assert half_time([0.0, 1.0, 2.0], [3.0, 2.0, 1.0], floor=1.0) == 1.0


def test_errors_say_the_rule(rng):
    net = LinearPCN.random((1, 2, 1), rng=rng)
    with pytest.raises(ValueError, match="strictly increasing"):
        gradient_flow(MSELoss(TOY), net, [1.0, 0.0])
    with pytest.raises(ValueError, match="`method` must be one of"):
        gradient_flow(MSELoss(TOY), net, [0.0, 1.0], method="Euler")
    with pytest.raises(TypeError, match="`objective` must be"):
        gradient_flow(TOY, net, [0.0, 1.0])
    with pytest.raises(ValueError, match="`learning_rate` must be greater"):
        gradient_descent(MSELoss(TOY), net, 0.0, 3)
    with pytest.raises(ValueError, match="`record` must name a step"):
        gradient_descent(MSELoss(TOY), net, 0.1, 3, record=[9])
    with pytest.raises(ValueError, match="one entry per time"):
        crossing_time([0.0, 1.0], [1.0], 0.5)
    with pytest.raises(TypeError, match="`objective` must be"):
        gradient_descent(MSELoss(TOY), net, 0.1, 3).values(TOY)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gradient_flow(NegativeLogLikelihood(TOY), net, [0.0, 1.0])
