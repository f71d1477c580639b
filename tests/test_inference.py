"""Section I: the dynamics of inference, against dense linear algebra, simulation and autograd."""

import itertools
import math

import mpmath
import numpy as np
import oracles
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import networks, problems
from tolerances import EPS, assert_close

from pctheory import (
    Data,
    LinearPCN,
    activity_hessian,
    energy,
    equilibrium,
    feedforward,
    loss,
    rescaling,
    weight_gradient,
)
from pctheory.inference import (
    SOLVERS,
    activities_from_errors,
    condition_number,
    delayed_multipliers,
    error_eigenvalues,
    error_energy,
    error_gradient,
    error_hessian,
    finite_time_energy,
    finite_time_rescaling,
    first_arrival,
    gradient_decomposition,
    inference_modes,
    inference_rate,
    inference_start,
    output_products,
    relax,
    scheduled_inference,
    solve_inference,
    spiking_precision,
    spiking_update,
)
from pctheory.limits import isometric_condition_number, isometric_eigenvalues
from pctheory.model import layer_energies, prediction_errors


def hidden(activities):
    return np.hstack(activities[1:-1])


def orthogonal_net(rng, depth, width, outputs=None):
    widths = [width] * depth + [width if outputs is None else outputs]
    return LinearPCN.random(widths, init="orthogonal", rng=rng)


def gaussian_problem(rng, widths, size=5, **options):
    net = LinearPCN.random(widths, rng=rng, **options)
    return net, Data(rng.standard_normal((size, widths[0])), rng.standard_normal((size, widths[-1])))


def slope(x, y):
    return np.polyfit(np.log(x), np.log(y), 1)[0]


# --- rates and modes ---


@pytest.mark.claim("inference-rate")
@given(problems(min_depth=2), st.integers(0, 30), st.floats(0.05, 1.0))
def test_t_steps_of_descent_apply_the_power_of_one_minus_gh(problem, num_steps, fraction):
    net, data = problem
    step = fraction * inference_rate(net).stability_bound()
    modes = inference_modes(net, data)
    z = relax(net, data, step, num_steps)
    scale = max(np.abs(hidden(z)).max(), np.abs(modes.equilibrium).max(), np.abs(modes.amplitudes).max())
    kappa = inference_rate(net).condition * max(num_steps, 1)
    assert_close(
        hidden(z), modes.after(num_steps, step), size=100 * sum(net.widths), kappa=kappa, scale=scale
    )
    gap = energy(net, z) - equilibrium(net, data).energy
    size = 1000 * sum(net.widths)
    assert_close(gap, modes.gap(num_steps, step), size=size, kappa=kappa, scale=loss(net, data) + scale**2)


@pytest.mark.claim("inference-rate")
@settings(max_examples=20)
@given(problems(min_depth=2), st.floats(0, 3))
def test_the_flow_is_the_exponential_of_the_hessian(problem, time):
    net, data = problem
    h = activity_hessian(net).to_dense()
    star, start = hidden(equilibrium(net, data).activities), hidden(inference_start(net, data))
    expected = star + (start - star) @ scipy.linalg.expm(-time * h)
    found = inference_modes(net, data).flow(time)
    assert_close(
        found,
        expected,
        size=1000 * len(h),
        kappa=np.linalg.cond(h),
        scale=np.abs(start - star).max() + np.abs(star).max(),
    )


@pytest.mark.claim("inference-rate")
@given(networks(min_depth=2))
def test_the_best_step_contracts_by_kappa_minus_one_over_kappa_plus_one(net):
    values = np.linalg.eigvalsh(activity_hessian(net).to_dense())
    rate = inference_rate(net)
    kappa = values[-1] / values[0]
    assert_close(rate.condition, kappa, size=10 * sum(net.widths), kappa=kappa)
    contraction = np.max(np.abs(1 - rate.best_step * values))
    size = 10 * sum(net.widths)
    assert_close(rate.rate, contraction, size=size, kappa=kappa, scale=1.0)
    assert_close(rate.rate, (kappa - 1) / (kappa + 1), size=size, kappa=kappa, scale=1.0)
    for factor in (0.9, 0.99, 1.01, 1.1):  # no other step is better
        assert rate.contraction(factor * rate.best_step) >= rate.rate


@pytest.mark.claim("inference-rate")
def test_descent_is_stable_if_and_only_if_the_step_is_below_two_over_the_largest_eigenvalue(rng):
    net, data = gaussian_problem(rng, (3, 6, 5, 4, 2))
    bound = inference_rate(net).stability_bound()
    steps = 4000
    gaps = [inference_modes(net, data).gap(steps, c * bound) for c in (0.999, 1.001)]
    first = inference_modes(net, data).gap(0, bound)
    assert gaps[0] < first < gaps[1]
    z = relax(net, data, 1.01 * bound, 2000)
    assert energy(net, z) > 1e3 * loss(net, data)


@pytest.mark.claim("inference-rate")
@pytest.mark.parametrize("width", [1, 8])  # dense, and by Lanczos
def test_condition_numbers_beyond_one_over_eps_are_those_of_exact_arithmetic(rng, width):
    """Channels of gain 1.9 with a free end: the smallest eigenvalue is lost in the entries of H but not in
    the maps.
    """
    depth = 45
    channels = np.diag([1.9] + [1.0] * (width - 1))
    rotations = [np.linalg.qr(rng.standard_normal((width, width)))[0] for _ in range(depth)]
    weights = [above @ channels @ below.T for below, above in itertools.pairwise(rotations)]
    output = (
        0.0 * rotations[-1][:, :1].T if width == 1 else rotations[-1][:, -1:].T
    )  # the output sees another channel
    with mpmath.workdps(60):
        a = mpmath.mpf(1.9)
        h = mpmath.zeros(depth - 1)
        for l in range(depth - 1):
            h[l, l] = 1 + (a * a if l < depth - 2 else 0)
            if l:
                h[l, l - 1] = h[l - 1, l] = -a
        values = mpmath.eigsy(h, eigvals_only=True)
        smallest, largest = float(values[0]), float(values[depth - 2])
    rate = inference_rate(LinearPCN([*weights, output]))
    assert rate.condition > 1e17
    assert rate.smallest == pytest.approx(smallest, rel=1e-11)
    assert rate.largest == pytest.approx(largest, rel=1e-11)
    assert rate.residual < 1e-8


@pytest.mark.claim("inference-rate")
def test_half_lives_halve_their_modes(rng):
    net, data = gaussian_problem(rng, (2, 4, 4, 2))
    rate = inference_rate(net)
    step = 0.3 * rate.best_step
    lives = inference_modes(net, data).half_lives(step)
    values = np.linalg.eigvalsh(activity_hessian(net).to_dense())
    assert_close(
        np.abs(1 - step * values) ** lives, np.full(len(values), 0.5), size=100, kappa=rate.condition
    )
    assert rate.half_life(step) == pytest.approx(lives.max(), rel=1e-10)
    assert rate.half_life(3 / rate.largest) == math.inf
    assert np.all(inference_modes(net, data).half_lives(3 / rate.smallest) == math.inf)


@pytest.mark.claim("inference-rate")
@pytest.mark.evidence("empirical")
def test_autograd_descent_on_the_plain_energy_takes_the_same_path(rng):
    net, data = gaussian_problem(rng, (3, 5, 4, 2), precisions=[2.0, None, 0.5])
    step, steps = 0.5 * inference_rate(net).best_step, 25
    weights = [torch.tensor(np.array(w)) for w in net.weights]
    z = [torch.tensor(np.array(a)) for a in feedforward(net, data.x)]
    z[-1] = torch.tensor(data.y)
    for _ in range(steps):
        for a in z[1:-1]:
            a.requires_grad_(True)
        total = sum(
            0.5 * pi * torch.sum((z[l + 1] - z[l] @ w.T) ** 2)
            for l, (w, pi) in enumerate(zip(weights, (2.0, 1.0, 0.5), strict=True))
        )
        slopes = torch.autograd.grad(total, z[1:-1])
        z[1:-1] = [(a - step * s).detach() for a, s in zip(z[1:-1], slopes, strict=True)]
    expected = hidden([a.numpy() for a in z])
    assert_close(
        hidden(relax(net, data, step, steps)), expected, size=100 * steps, scale=np.abs(expected).max()
    )


def test_inference_needs_a_hidden_layer():
    net = LinearPCN([[[1.0]]])
    for call in (inference_rate, condition_number, lambda n: condition_number(n, "errors")):
        with pytest.raises(ValueError, match="must have a hidden layer"):
            call(net)


def test_arguments_are_refused_at_the_door(rng):
    net, data = gaussian_problem(rng, (2, 3, 2))
    with pytest.raises(ValueError, match="`step` must be greater than 0"):
        relax(net, data, 0.0, 1)
    with pytest.raises(ValueError, match="`num_steps` must be 0 or more"):
        finite_time_energy(net, data, 0.1, -1)
    with pytest.raises(ValueError, match="'activities', 'errors'"):
        condition_number(net, "weights")
    with pytest.raises(ValueError, match="`method` must be one of"):
        solve_inference(net, data, "newton")
    with pytest.raises(ValueError, match="rows of 2 numbers"):
        scheduled_inference(net, data, 0.1, [[1.0]])
    with pytest.raises(ValueError, match="one array per hidden layer, 1 of them"):
        error_energy(net, data, [])
    with pytest.raises(ValueError, match=r"`errors\[0\]` must have shape \(5, 3\)"):
        error_energy(net, data, [np.zeros((5, 2))])


# --- the energy after T steps ---


@pytest.mark.claim("finite-time-energy")
@given(problems(), st.integers(0, 20), st.floats(0.05, 0.95))
def test_the_energy_after_t_steps_is_quadratic_in_the_residual(problem, num_steps, fraction):
    net, data = problem
    rate = inference_rate(net) if net.depth > 1 else None
    step = fraction * rate.stability_bound() if rate else 0.1
    kappa = (rate.condition if rate else 1.0) * max(num_steps, 1)
    expected = energy(net, relax(net, data, step, num_steps))
    scale = max(float(loss(net, data)), max(np.abs(a).max() for a in feedforward(net, data.x)) ** 2)
    assert_close(
        finite_time_energy(net, data, step, num_steps), expected, size=1000, kappa=kappa, scale=scale
    )


@pytest.mark.claim("finite-time-energy")
@given(networks(), st.integers(1, 20), st.floats(0.05, 0.95))
def test_m_t_has_its_closed_form_between_the_output_precision_and_the_inverse_rescaling(
    net, num_steps, fraction
):
    output = oracles.dense_precisions(net)[-1]
    if net.depth == 1:
        assert_close(finite_time_rescaling(net, 0.1, num_steps), output, size=10)
        return
    h = activity_hessian(net).to_dense()
    g = fraction * inference_rate(net).stability_bound()
    u = np.zeros((len(h), len(output)))
    u[-net.widths[-2] :] = oracles.dense_maps(net)[-1].T @ output
    power = np.linalg.matrix_power(np.eye(len(h)) - g * h, 2 * num_steps)
    expected = output - u.T @ np.linalg.solve(h, (np.eye(len(h)) - power) @ u)
    kappa = np.linalg.cond(h) * np.linalg.cond(rescaling(net))
    scale = np.linalg.norm(output, 2) + np.linalg.norm(u, 2) ** 2
    found = finite_time_rescaling(net, g, num_steps)
    assert_close(found, expected, size=1000 * num_steps, kappa=kappa, scale=scale)
    assert_close(finite_time_rescaling(net, g, 0), output, size=10)
    # M_T decreases from Pi_L to S^{-1}
    slack = 1000 * len(h) * num_steps * EPS * kappa * scale
    assert np.linalg.eigvalsh(output - found).min() > -slack
    assert np.linalg.eigvalsh(found - np.linalg.inv(rescaling(net))).min() > -slack


@pytest.mark.claim("finite-time-energy")
@pytest.mark.evidence("empirical")
def test_the_gradient_through_inference_errs_by_rho_to_the_2t_and_the_local_rule_by_rho_to_the_t(rng):
    """The two rates, measured by unrolling the inference of the plain energy in torch."""
    net, data = gaussian_problem(rng, (3, 4, 4, 2), size=6)
    step = inference_rate(net).best_step
    rho = inference_rate(net).rate
    x, y = torch.tensor(data.x), torch.tensor(data.y)

    def plain(weights, z):
        return sum(0.5 * torch.sum((z[l + 1] - z[l] @ w.T) ** 2) for l, w in enumerate(weights)) / len(x)

    def through(num_steps):
        weights = [torch.tensor(np.array(w), requires_grad=True) for w in net.weights]
        z = [x]
        for w in weights[:-1]:
            z.append(z[-1] @ w.T)
        z.append(y)
        for _ in range(num_steps):
            slopes = torch.func.grad(lambda inner, z=z: plain(weights, [z[0], *inner, z[-1]]))(tuple(z[1:-1]))
            z[1:-1] = [a - step * len(x) * s for a, s in zip(z[1:-1], slopes, strict=True)]
        unrolled = torch.autograd.grad(plain(weights, z), weights, retain_graph=True)
        local = torch.autograd.grad(plain(weights, [a.detach() for a in z]), weights)
        return [np.concatenate([g.numpy().ravel() for g in part]) for part in (unrolled, local)]

    exact = np.concatenate([g.ravel() for g in weight_gradient(net, equilibrium(net, data).activities)])
    times = np.array([20, 30, 40, 50, 60])
    errors = np.array([[np.linalg.norm(g - exact) for g in through(int(t))] for t in times])
    # log error = log T + 2 T log rho + const, and T log rho + const
    unrolled = np.polyfit(times, np.log(errors[:, 0] / times), 1)[0]
    local = np.polyfit(times, np.log(errors[:, 1]), 1)[0]
    assert unrolled == pytest.approx(2 * math.log(rho), rel=0.05)
    assert local == pytest.approx(math.log(rho), rel=0.05)
    # and the closed form in torch has the unrolled gradient
    weights = [torch.tensor(np.array(w), requires_grad=True) for w in net.weights]
    value = finite_time_energy(net.replace(weights=weights), Data(x, y), step, 7)
    closed = np.concatenate([g.numpy().ravel() for g in torch.autograd.grad(value, weights)])
    assert_close(closed, through(7)[0], size=1000, kappa=inference_rate(net).condition)


# --- chains ---


@pytest.mark.claim("chain-spectrum")
@pytest.mark.parametrize("depth", [2, 3, 5, 9, 16])
def test_orthogonal_maps_give_the_path_graph(rng, depth):
    width = 4
    values = np.linalg.eigvalsh(activity_hessian(orthogonal_net(rng, depth, width)).to_dense())
    expected = np.repeat(isometric_eigenvalues(depth), width)
    assert_close(values, expected, size=len(values), scale=4.0)
    k = np.arange(1, depth)
    assert_close(isometric_eigenvalues(depth), 2 - 2 * np.cos(k * np.pi / depth), size=10, scale=4.0)
    net = orthogonal_net(rng, depth, width)
    assert error_eigenvalues(net)[-1] == pytest.approx(depth, rel=1e-12)
    if depth > 2:  # with L = 2 the output is as wide as the hidden layer, and the eigenvalue 1 is missing
        assert condition_number(net, "errors") == pytest.approx(depth, rel=1e-12)


@pytest.mark.claim("chain-spectrum")
@pytest.mark.claim("conditioning")
@pytest.mark.parametrize("depth", [2, 3, 6, 11])
def test_a_narrow_output_frees_the_end_of_the_chain(rng, depth):
    width, outputs = 5, 2
    values = np.linalg.eigvalsh(activity_hessian(orthogonal_net(rng, depth, width, outputs)).to_dense())
    k = np.arange(1, depth)
    clamped, free = isometric_eigenvalues(depth), 2 - 2 * np.cos((2 * k - 1) * np.pi / (2 * depth - 1))
    expected = np.sort(np.concatenate([np.repeat(clamped, outputs), np.repeat(free, width - outputs)]))
    assert_close(values, expected, size=len(values), scale=4.0)
    assert_close(
        isometric_eigenvalues(depth, narrow_output=True), np.sort(np.concatenate([clamped, free])), size=9
    )
    assert isometric_condition_number(depth, narrow_output=True) == pytest.approx(
        values[-1] / values[0], rel=1e-11
    )


@pytest.mark.claim("chain-spectrum")
@pytest.mark.claim("conditioning")
def test_the_condition_number_of_a_chain_grows_like_the_square_of_its_depth():
    depths = np.array([64, 128, 256, 512, 1024])
    for narrow, law in ((False, 4 * depths**2 / np.pi**2), (True, 4 * (2 * depths - 1) ** 2 / np.pi**2)):
        kappa = np.array([isometric_condition_number(int(d), narrow_output=narrow) for d in depths])
        # kappa = law (1 + O(1/L^2)): the relative error falls with slope -2
        assert slope(depths, np.abs(kappa / law - 1)) == pytest.approx(-2, abs=0.02)


@pytest.mark.claim("chain-spectrum")
def test_maps_that_are_not_orthogonal_have_another_spectrum(rng):
    net = LinearPCN.random([4] * 5, rng=rng)
    values = np.linalg.eigvalsh(activity_hessian(net).to_dense())
    assert np.max(np.abs(values - np.repeat(isometric_eigenvalues(4), 4))) > 0.5


# --- arrival, schedules, delays ---


@pytest.mark.claim("first-arrival")
@given(problems(), st.floats(0.01, 1.0))
def test_errors_arrive_one_layer_per_step_and_are_zero_before(problem, step):
    net, data = problem
    predicted = first_arrival(net, data, step)
    for l in range(1, net.depth + 1):
        arrival = net.depth - l
        errors = prediction_errors(net, relax(net, data, step, arrival))
        scale = max(np.abs(e).max() for e in (*predicted, *errors)) + max(
            np.abs(a).max() for a in feedforward(net, data.x)
        )
        assert_close(errors[l - 1], predicted[l - 1], size=1000, scale=scale)
        if arrival:
            before = prediction_errors(net, relax(net, data, step, arrival - 1))
            assert not np.any(before[l - 1])  # exactly


@pytest.mark.claim("first-arrival")
def test_the_imbalance_across_layers_is_a_transient(rng):
    """First arrivals fall like g^(L-l); at equilibrium orthogonal maps have one size of error in every
    layer.
    """
    depth, step = 8, 0.1
    net = orthogonal_net(rng, depth, 4)
    data = Data(rng.standard_normal((3, 4)), rng.standard_normal((3, 4)))
    sizes = [np.linalg.norm(e) for e in first_arrival(net, data, step)]
    assert_close(np.array(sizes[1:]) / sizes[:-1], np.full(depth - 1, 1 / step), size=100)
    eq = equilibrium(net, data)
    r = np.linalg.norm(eq.residual)
    assert_close([np.linalg.norm(e) for e in eq.errors], np.full(depth, r / depth), size=100 * depth)
    assert_close(
        layer_energies(net, eq.activities), np.full(depth, r**2 / (2 * 3 * depth**2)), size=100 * depth
    )


@pytest.mark.claim("precision-limits")
@pytest.mark.parametrize("skips", [False, True])
def test_stiff_hidden_layers_give_backprops_gradient_at_the_rate_of_one_over_the_ratio(rng, skips):
    net, data = gaussian_problem(rng, (3, 4, 4, 4, 2), skips=skips)
    x = torch.tensor(data.x)
    weights = [torch.tensor(np.array(w), requires_grad=True) for w in net.weights]
    z = x
    for w, skip in zip(weights, net.skips, strict=True):
        z = z @ w.T + (z if skip else 0)
    value = 0.5 * torch.sum((torch.tensor(data.y) - z) ** 2) / len(x)
    backprop = [g.numpy() for g in torch.autograd.grad(value, weights)]
    ratios = np.array([1e2, 1e3, 1e4, 1e5])
    errors = []
    for ratio in ratios:
        stiff = net.replace(precisions=[ratio] * (net.depth - 1) + [1.0])
        gradient = weight_gradient(stiff, equilibrium(stiff, data, method="sweep").activities)
        errors.append(math.sqrt(sum(np.sum((g - b) ** 2) for g, b in zip(gradient, backprop, strict=True))))
    assert slope(ratios, errors) == pytest.approx(-1, abs=0.05)
    assert errors[-1] < 1e-3 * math.sqrt(sum(np.sum(b**2) for b in backprop))


@pytest.mark.claim("precision-limits")
@settings(max_examples=25)
@given(problems(precisions=False, max_depth=5), st.floats(0.05, 0.9))
def test_spiking_precisions_displace_each_layer_by_its_rescaled_backprop_error(problem, g):
    net, data = problem
    forward = feedforward(net, data.x)
    z = scheduled_inference(net, data, g, spiking_precision(net.depth, 0.0))
    r, products = data.y - forward[-1], output_products(net)
    scale = max(np.abs(a).max() for a in (*forward, *z))
    for l in range(1, net.depth + 1):
        factor = g ** (net.depth - l) * (1 - g if l < net.depth else 1)
        assert_close(z[l] - forward[l], factor * r @ products[l], size=1000, scale=scale)


@pytest.mark.claim("precision-limits")
def test_the_spiking_update_tends_to_rescaled_backprop_linearly_in_alpha(rng):
    net, data = gaussian_problem(rng, (3, 4, 4, 2))
    g = 0.4
    forward, products = feedforward(net, data.x), output_products(net)
    limit = [
        -(g ** (3 - l) * (1 - g if l < 3 else 1))
        * ((data.y - forward[-1]) @ products[l]).T
        @ forward[l - 1]
        / 5
        for l in (1, 2, 3)
    ]
    alphas = np.array([1e-2, 1e-3, 1e-4, 1e-5])
    errors = [
        max(np.abs(u - b).max() for u, b in zip(spiking_update(net, data, g, a), limit, strict=True))
        for a in alphas
    ]
    assert slope(alphas, errors) == pytest.approx(1, abs=0.02)
    assert not np.allclose(
        spiking_update(net, data, g, 1.0)[0], limit[0]
    )  # without the schedule it is no backprop


@pytest.mark.claim("stability-delay")
@pytest.mark.parametrize("delay", [0, 1, 2, 5])
def test_delayed_errors_lower_the_stability_bound_and_turn_the_flip_into_a_rotation(rng, delay):
    net, data = gaussian_problem(rng, (3, 4, 3, 2))
    rate = inference_rate(net)
    bound = rate.stability_bound(delay)
    gain = bound * rate.largest
    assert gain == pytest.approx(2 * math.sin(math.pi / (2 * (2 * delay + 1))), rel=1e-14)
    critical = delayed_multipliers(gain, delay)
    assert abs(critical[0]) == pytest.approx(1, abs=1e-9)
    assert abs(np.angle(critical[0])) == pytest.approx(math.pi / (2 * delay + 1), abs=1e-9)
    assert (
        abs(delayed_multipliers(0.999 * gain, delay)[0])
        < 1
        < abs(delayed_multipliers(1.001 * gain, delay)[0])
    )
    # simulation from the definition: the gradient of `delay` steps ago
    h = activity_hessian(net).to_dense()
    for factor, decays in ((0.97, True), (1.03, False)):
        past = [hidden(inference_start(net, data)) - hidden(equilibrium(net, data).activities)] * (delay + 1)
        for _ in range(1500):
            past = [*past[1:], past[-1] - factor * bound * past[0] @ h]
        assert (np.linalg.norm(past[-1]) < 1e-2) == decays


# --- the coordinates of the errors ---


@pytest.mark.claim("error-coordinates")
@given(problems(min_depth=2), st.data())
def test_the_energy_is_the_same_in_the_coordinates_of_the_errors(problem, draw):
    net, data = problem
    rng = np.random.default_rng(draw.draw(st.integers(0, 2**32 - 1)))
    errors = [rng.standard_normal((data.num_samples, n)) for n in net.widths[1:-1]]
    z = (*activities_from_errors(net, data.x, errors)[:-1], data.y)
    scale = max(float(energy(net, z)), max(np.abs(a).max() for a in z) ** 2)
    assert_close(error_energy(net, data, errors), oracles.energy(net, z), size=1000, scale=scale)
    numeric = oracles.finite_difference(
        lambda v: float(
            error_energy(
                net, data, np.split(v.reshape(data.num_samples, -1), np.cumsum(net.widths[1:-2]), axis=1)
            )
            if net.depth > 2
            else error_energy(net, data, [v.reshape(data.num_samples, -1)])
        ),
        np.hstack(errors).ravel(),
    ).reshape(data.num_samples, -1)
    found = np.hstack(error_gradient(net, data, errors))
    assert np.abs(found - numeric).max() <= 1e-7 * (1 + scale) * max(1.0, np.abs(found).max())


@pytest.mark.claim("error-coordinates")
@given(networks(min_depth=2))
def test_the_spectrum_in_error_coordinates_is_one_and_that_of_the_rescaling(net):
    dense = error_hessian(net) @ np.eye(sum(net.widths[1:-1]))
    values = error_eigenvalues(net)
    scale = float(values[-1])
    assert_close(np.linalg.eigvalsh((dense + dense.T) / 2), values, size=100 * len(values), scale=scale)
    root = np.linalg.cholesky(oracles.dense_precisions(net)[-1])
    whitened = np.linalg.eigvalsh(root.T @ rescaling(net) @ root)
    ones = np.ones(max(len(values) - len(whitened), 0))
    expected = np.sort(np.concatenate([ones, whitened]))[max(len(whitened) - len(values), 0) :]
    assert_close(values, expected, size=100 * len(values), scale=scale)
    if len(values) > len(whitened):
        assert_close(condition_number(net, "errors"), whitened[-1], size=100 * len(values))


@pytest.mark.claim("error-coordinates")
def test_the_operator_is_the_hessian_of_the_energy_by_autograd(rng):
    net, data = gaussian_problem(rng, (3, 4, 5, 2), size=1)
    maps = [torch.tensor(np.array(a)) for a in oracles.dense_maps(net)]
    x, y = torch.tensor(data.x[0]), torch.tensor(data.y[0])

    def plain(vector):
        first, second = vector[:4], vector[4:]
        output = y - maps[2] @ (maps[1] @ (maps[0] @ x + first) + second)
        return 0.5 * (first @ first + second @ second + output @ output)

    expected = torch.func.hessian(plain)(torch.zeros(9, dtype=torch.float64)).numpy()
    assert_close(error_hessian(net) @ np.eye(9), expected, size=100)


@pytest.mark.claim("error-coordinates")
@given(problems(min_depth=2))
def test_the_first_step_from_zero_errors_is_backprops_error(problem):
    net, data = problem
    zero = [np.zeros((data.num_samples, n)) for n in net.widths[1:-1]]
    scale = 1 + max(np.abs(a).max() for a in feedforward(net, data.x)) ** 2
    assert_close(error_energy(net, data, zero), loss(net, data), size=1000, scale=scale)
    delta = net.precisions[-1].apply(data.y - feedforward(net, data.x)[-1])
    gradient = error_gradient(net, data, zero)
    for l in range(net.depth - 1, 0, -1):
        delta = delta @ oracles.dense_maps(net)[l]
        assert_close(
            gradient[l - 1] * data.num_samples, -delta, size=1000, scale=max(scale, np.abs(delta).max())
        )


@pytest.mark.claim("error-coordinates")
def test_an_output_wider_than_the_hidden_layers_loses_the_eigenvalue_one(rng):
    """The hypothesis dropped: then cond < lambda_max(S)."""
    net = LinearPCN.random((2, 3, 6), rng=rng)
    assert error_eigenvalues(net)[0] > 1 + 1e-3
    assert condition_number(net, "errors") < np.linalg.eigvalsh(rescaling(net))[-1] * (1 - 1e-3)


# --- solvers on equal work ---


@pytest.mark.claim("coordinates-resolve-tradeoff")
@pytest.mark.parametrize("method", SOLVERS)
def test_every_solver_descends_to_the_equilibrium_at_its_own_rate(rng, method):
    net, data = gaussian_problem(rng, (3, 6, 6, 6, 2), precisions=[1.5, None, 0.7, 2.0])
    trace = solve_inference(
        net, data, method, max_products=4000, tolerance=1e-9, step=0.02 if method == "adam" else None
    )
    first = loss(net, data) - equilibrium(net, data).energy
    assert_close(trace.gaps[0], first, size=1000)
    assert trace.products_to(1e-6 if method == "adam" else 1e-9) < 4000
    kappa = condition_number(net, "errors" if method.startswith("error") else "activities")
    if method in ("gd", "error-gd"):
        ratio = trace.gaps[1:] / trace.gaps[:-1]
        assert np.max(ratio) <= ((kappa - 1) / (kappa + 1)) ** 2 * (1 + 1e-6)
    if method == "cg":
        bound = 4 * ((math.sqrt(kappa) - 1) / (math.sqrt(kappa) + 1)) ** (2 * trace.products)
        assert np.all(trace.gaps <= bound * trace.gaps[0] * (1 + 1e-6))
    assert not np.any(np.diff(trace.products) <= 0)


@pytest.mark.claim("coordinates-resolve-tradeoff")
def test_descent_is_the_relaxation_of_the_definition(rng):
    net, data = gaussian_problem(rng, (3, 6, 5, 2))
    trace = solve_inference(net, data, "gd", max_products=10)
    expected = [
        float(energy(net, relax(net, data, trace.step, t)) - equilibrium(net, data).energy) for t in range(11)
    ]
    assert_close(trace.gaps, expected, size=10000, kappa=condition_number(net))


@pytest.mark.claim("coordinates-resolve-tradeoff")
def test_adam_is_torchs_adam_on_the_quadratic_of_the_activity_hessian(rng):
    net, data = gaussian_problem(rng, (3, 6, 5, 2))
    trace = solve_inference(net, data, "adam", max_products=6, step=0.05)
    hessian = torch.tensor(activity_hessian(net).to_dense())
    rest = torch.tensor(hidden(equilibrium(net, data).activities))
    z = torch.tensor(hidden(feedforward(net, data.x)), requires_grad=True)
    optimiser, expected = torch.optim.Adam([z], lr=0.05), []
    for _ in range(7):
        excess = 0.5 * torch.sum((z - rest) @ hessian * (z - rest))
        expected.append(excess.item() / len(data.x))
        optimiser.zero_grad()
        excess.backward()
        optimiser.step()
    assert_close(trace.gaps, expected, size=10000, kappa=condition_number(net))
    np.testing.assert_array_equal(trace.products, range(7))


@pytest.mark.claim("coordinates-resolve-tradeoff")
def test_the_work_of_the_closed_form_is_the_multiply_adds_of_its_sweeps(rng):
    net = LinearPCN.random((3, 4, 5, 2), rng=rng)
    trace = solve_inference(net, Data(rng.standard_normal((7, 3)), rng.standard_normal((7, 2))), "exact")
    products_to_the_output = 2 * 2 * 5 + 2 * 5 * 4  # n_L rows: the identity times W_3, and that times W_2
    factorisation = 2 * 2**2 * (4 + 5 + 2)  # QR of these products and the identity, stacked: n_L columns
    forward = 7 * (3 * 4 + 4 * 5 + 5 * 2) + 7 * 2 * (
        4 + 5 + 2
    )  # the outputs; each layer's error from the outputs'
    gradient = 2 * 7 * (3 * 4 + 4 * 5 + 5 * 2)
    expected = [0, (products_to_the_output + factorisation + forward) / gradient]
    np.testing.assert_allclose(trace.products, expected, rtol=1e-14)
    assert trace.gaps[1] == 0


@pytest.mark.claim("coordinates-resolve-tradeoff")
@pytest.mark.parametrize("outputs", [1, 2, 4])
def test_conjugate_gradients_in_error_coordinates_end_after_as_many_steps_as_outputs(rng, outputs):
    net, data = gaussian_problem(rng, (3, 20, 20, 20, outputs), parameterisation="mupc", skips=True)
    trace = solve_inference(net, data, "error-cg", max_products=outputs)
    assert trace.gaps[outputs] <= 1e-20 * trace.gaps[0]
    in_activities = solve_inference(net, data, "cg", max_products=outputs)
    assert in_activities.gaps[outputs] > 1e-6 * trace.gaps[0]


@pytest.mark.claim("coordinates-resolve-tradeoff")
def test_heun_and_descent_share_their_best_step():
    low, high = 0.05, 7.0
    steps = np.linspace(0.2, 0.4, 4001)
    polynomial = [1 - steps * v + (steps * v) ** 2 / 2 for v in (low, high)]
    best = steps[np.argmin(np.max(np.abs(polynomial), axis=0))]
    assert best == pytest.approx(2 / (low + high), abs=1e-4)


# --- the reach of the error ---


@pytest.mark.claim("error-reach")
def test_the_error_reaches_about_step_times_steps_layers_and_exactly_as_many_as_steps(rng):
    """Residual maps near the identity: |eps| at distance k after T steps is the k-th term of a Poisson-like
    profile.
    """
    depth, width, g, steps = (
        40,
        8,
        0.5 / 64,
        128,
    )  # the published settings: lr .5 on the mean over 64 samples, T = 128
    net, data = gaussian_problem(rng, [width] * depth + [1], parameterisation="mupc", skips=True)
    energies = np.asarray(layer_energies(net, relax(net, data, g, steps)))[::-1]  # from the output
    profile = np.sqrt(energies[1:] / energies[1])
    bound = np.array([(g * steps) ** k / math.factorial(k) for k in range(30)])
    assert np.all(profile[3:20] <= bound[3:20] * 8**3)  # the maps' gains: (1 + O(1/sqrt L)) per layer
    assert profile[6] < 1e-2
    assert profile[20] < 1e-12
    short = np.asarray(layer_energies(net, relax(net, data, g, 5)))[::-1]
    assert np.all(short[1:6] > 0)
    assert not np.any(short[6:])  # exactly zero beyond T layers


# -- accuracy where condition numbers pass 1 / eps -----------------------------------------------------------


def exact_gradients(net, data, digits=80):
    """The gradient of F* and its two terms in arbitrary precision, from S and the products, as arrays."""
    with mpmath.workdps(digits):
        maps = [mpmath.matrix(m.tolist()) for m in oracles.dense_maps(net)]
        sigmas = [mpmath.matrix(p.tolist()) ** -1 for p in oracles.dense_precisions(net)]
        x, y = mpmath.matrix(data.x.tolist()).T, mpmath.matrix(data.y.tolist()).T
        products = [mpmath.eye(maps[-1].rows)]
        for matrix in reversed(maps[1:]):
            products.insert(0, products[0] * matrix)
        rescaled = sum((p * s * p.T for p, s in zip(products, sigmas, strict=True)), 0 * products[-1])
        solved = rescaled**-1 * (y - products[0] * maps[0] * x)
        z_hat, drift, first, second = x, 0 * x, [], []
        for a, matrix, sigma, product in zip(net.multipliers, maps, sigmas, products, strict=True):
            pushed = product.T * solved
            first.append(-mpmath.mpf(a) / x.cols * pushed * z_hat.T)
            second.append(-mpmath.mpf(a) / x.cols * pushed * drift.T)
            z_hat, drift = matrix * z_hat, matrix * drift + sigma * pushed
        return [[np.array(m.tolist(), dtype=float) for m in terms] for terms in (first, second)]


@pytest.mark.parametrize("precisions", [(1e8, 1e-8, 1.0), (1e-8, 1e8, 1e4), (1e10, 1e10, 1e-6)])
@pytest.mark.claim("gradient-decomposition")
def test_gradients_at_equilibrium_use_errors_that_are_no_differences(precisions, rng):
    net = LinearPCN.random((2, 3, 2, 2), precisions=precisions, rng=rng)
    data = Data(rng.standard_normal((4, 2)), rng.standard_normal((4, 2)))
    first, second = exact_gradients(net, data)
    ours = gradient_decomposition(net, data)
    local = equilibrium(net, data).weight_gradient()
    for a, b, c, d, e in zip(first, second, *ours, local, strict=True):
        np.testing.assert_allclose(c, a, rtol=0, atol=1e-11 * np.abs(a).max())
        np.testing.assert_allclose(d, b, rtol=0, atol=1e-11 * np.abs(b).max(initial=1e-300))
        np.testing.assert_allclose(e, a + b, rtol=0, atol=1e-11 * np.abs(a + b).max())


def test_the_energy_after_a_few_steps_keeps_its_digits_where_s_has_lost_them():
    turn = np.array([[0.6, -0.8], [0.8, 0.6]])
    net = LinearPCN([np.eye(2), turn @ np.diag([2e8, 1.0]) @ turn.T])
    data = Data([[1.0, 0.5]], [[0.3, -2.0]])
    assert np.linalg.cond(rescaling(net)) > 1e16
    step, num_steps = 1e-17, 3
    with mpmath.workdps(80):
        last = mpmath.matrix(net.weights[1].tolist())
        r = mpmath.matrix(data.y.tolist()).T - last * mpmath.matrix(data.x.tolist()).T
        h = mpmath.eye(2) + last.T * last
        kept = (mpmath.eye(2) - mpmath.mpf(step) * h) ** (2 * num_steps)
        metric = mpmath.eye(2) - last * (h**-1 * (mpmath.eye(2) - kept)) * last.T
        exact = float((r.T * metric * r)[0, 0] / 2)
    assert float(finite_time_energy(net, data, step, num_steps)) == pytest.approx(exact, rel=1e-7)


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.claim("inference-rate")
def test_the_ends_of_the_spectrum_are_right_or_their_residual_says_not(seed):
    rng = np.random.default_rng(seed)
    widths = rng.integers(1, 4, rng.integers(3, 6))
    weights = [10 ** rng.uniform(-3, 6) * rng.standard_normal((b, a)) for a, b in itertools.pairwise(widths)]
    net = LinearPCN(weights)
    rate = inference_rate(net)
    with mpmath.workdps(100):
        dense = _exact_hessian(net)
        values = sorted(mpmath.eigsy(dense, eigvals_only=True))
        low, high = float(values[0]), float(values[-1])
    assert rate.largest == pytest.approx(high, rel=1e-12)
    assert abs(rate.smallest - low) <= max(10 * rate.residual, 1e-9) * low


def _exact_hessian(net):
    maps = [mpmath.matrix(m.tolist()) for m in oracles.dense_maps(net)]
    cuts = np.cumsum([0, *net.widths[1:-1]])
    dense = mpmath.eye(int(cuts[-1]))
    for l in range(1, net.depth):
        block = maps[l].T * maps[l]
        for i in range(block.rows):
            for j in range(block.cols):
                dense[int(cuts[l - 1]) + i, int(cuts[l - 1]) + j] += block[i, j]
        if l + 1 < net.depth:
            for i in range(maps[l].rows):
                for j in range(maps[l].cols):
                    row, column = int(cuts[l]) + i, int(cuts[l - 1]) + j
                    dense[row, column] = dense[column, row] = -maps[l][i, j]
    return dense


def test_a_layer_that_is_pinned_down_has_condition_one():
    assert inference_rate(LinearPCN([[[1.0]], [[1e8]]])).condition == 1
