"""The infinitely wide network in training, against its exactly solvable cases and against wide networks."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tolerances import assert_close

from pctheory import (
    Data,
    EquilibratedEnergy,
    LinearPCN,
    MSELoss,
    equilibrium,
    expected_rescaling,
    loss,
    mean_field_training,
    rescaling,
    weight_gradient,
)
from pctheory.limits import initial_cosine, stable_precisions
from pctheory.nn import BP, PC, PCN, Stop, TrainingSettings, train


def problem(seed, samples=6, inputs=4, outputs=2):
    rng = np.random.default_rng(seed)
    return Data(rng.standard_normal((samples, inputs)), rng.standard_normal((samples, outputs)))


def one_hidden_layer(data, rate, steps, gamma, precision, alpha=0.0):
    r"""The Gram matrix of the columns of (W_1 / sqrt(D), W_2^T) / sqrt(N) moves by itself when H = 1, at any
    width, on the loss and on F*.
    """
    x, y, d = data.x, data.y, data.x.shape[1]
    gram = np.eye(d + y.shape[1])
    gram[:d, :d] /= d
    maps, grams = [], []
    for _ in range(steps + 1):
        maps.append(gram[d:, :d] / gamma)
        grams.append(gram)
        pull = np.linalg.inv(np.linalg.inv(precision) + alpha / (2 * gamma**2) * gram[d:, d:])
        errors = (y - x @ maps[-1].T) @ pull
        beta, inflation = x.T @ errors / len(x), errors.T @ errors / len(x)
        last = np.eye(y.shape[1]) + rate * alpha / 2 * inflation
        step = np.block([[np.eye(d), rate * gamma * beta], [rate * gamma / d * beta.T, last]])
        gram = step.T @ gram @ step
    return np.array(maps), np.array(grams)


@pytest.mark.claim("mean-field-training")
@pytest.mark.claim("s-stable-limit")
@settings(max_examples=25)
@given(
    st.integers(0, 10**6),
    st.integers(1, 7),
    st.integers(1, 5),
    st.integers(1, 3),
    st.floats(0.3, 3.0),
    st.integers(0, 8),
    st.sampled_from([0.0, 0.3, 3.0]),
)
def test_one_hidden_layer_is_solved_exactly(seed, samples, inputs, outputs, gamma, steps, alpha):
    data = problem(seed, samples, inputs, outputs)
    root = np.random.default_rng(seed).standard_normal((outputs, outputs))
    precision = np.eye(outputs) + root @ root.T
    rate = 0.2 / np.linalg.norm(precision, 2)
    field = mean_field_training(
        data, 1, learning_rate=rate, num_steps=steps, gamma=gamma, precision=precision, alpha=alpha
    )
    maps, grams = one_hidden_layer(data, rate, steps, gamma, precision, alpha)
    seen = np.linalg.pinv(data.x) @ data.x  # kernels are given on the span of the inputs
    size = (steps + 1) * (inputs + outputs)
    assert_close(field.maps, maps, size=size, kappa=np.linalg.cond(precision), scale=1 + np.abs(maps).max())
    assert_close(
        field.forward_kernels[:, 0],
        seen @ grams[:, :inputs, :inputs] @ seen,
        size=size,
        scale=np.abs(grams).max(),
    )
    assert_close(
        field.backward_kernels[:, 0], grams[:, inputs:, inputs:], size=size, scale=np.abs(grams).max()
    )
    residual = data.y - data.x @ maps[-1].T
    assert field.losses[-1] == pytest.approx(
        np.sum(residual * (residual @ precision)) / (2 * samples), rel=1e-10
    )


@pytest.mark.claim("mean-field-training")
@pytest.mark.parametrize(
    "skips, kernel",
    [
        (False, lambda L: L),  # every layer contributes the kernel of the inputs
        # with skips: (1 + 1/L)^(L-2) is the growth through the hidden layers; the layers in between leave one
        # factor out
        (True, lambda L: 2 * (1 + 1 / L) ** (L - 2) + (L - 2) / L * (1 + 1 / L) ** (L - 3)),
    ],
)
def test_poor_networks_are_kernel_regression(skips, kernel):
    data, layers, rate, steps = problem(3), 3, 0.3, 12
    f = np.zeros((2, 4))
    maps = []
    for _ in range(steps + 1):
        maps.append(f)
        f = f + rate * kernel(layers + 1) * (data.yx - f @ data.xx) / 4
    gaps = [
        np.abs(
            mean_field_training(
                data, layers, learning_rate=rate, num_steps=steps, skips=skips, gamma=gamma
            ).maps
            - maps
        ).max()
        for gamma in (0.02, 0.01)
    ]
    assert gaps[1] < 1e-4
    assert gaps[0] / gaps[1] == pytest.approx(4, rel=0.02)  # feature learning enters at gamma^2


SHAPES = [(2, False), (3, True), (4, [False, True, False, True, False])]


@pytest.mark.claim("mean-field-training")
@pytest.mark.evidence("empirical")
@pytest.mark.parametrize("rule", ["bp", "pc"])
@pytest.mark.parametrize("hidden, skips", SHAPES, ids=["plain", "residual", "some skips"])
def test_wide_networks_train_like_the_mean_field(hidden, skips, rule):
    data, steps, rate, gamma = problem(1), 8, 0.1, 1.5
    field = mean_field_training(data, hidden, learning_rate=rate, num_steps=steps, skips=skips, gamma=gamma)

    def losses(width, seed, sign):
        model = PCN(
            (4, *[width] * hidden, 2),
            parameterisation="mupc",
            skips=skips,
            gamma=gamma,
            rng=seed,
            dtype=torch.float64,
        )
        with torch.no_grad():
            model.weights[-1].mul_(sign)
        result = train(
            model,
            data,
            TrainingSettings(
                PC("newton", stop=Stop(tolerance=1e-9)) if rule == "pc" else BP(),
                optimiser="SGD",
                learning_rate=rate,
                learning_rate_scaling="table",
                batch_size=6,
                steps=steps,
                metrics_every=1,
            ),
        )
        return result.metrics["loss"]

    def deviations(width, seeds):
        """(seeds, steps); the two signs of the last layer cancel the fluctuation of first order at the
        start.
        """
        runs = [[losses(width, seed, sign) for sign in (1, -1)] for seed in range(seeds)]
        return np.mean(runs, axis=1)[:, 1:] - field.losses[1:]

    wide, narrow = deviations(384, 12), deviations(24, 24)
    error = wide.std(axis=0, ddof=1) / math.sqrt(len(wide))
    assert np.all(np.abs(wide.mean(axis=0)) < 4 * error)
    assert (
        np.sqrt(np.mean(narrow**2) / np.mean(wide**2)) > 2.5
    )  # 4 is the square root of the ratio of the widths
    other = mean_field_training(data, hidden + 1, learning_rate=rate, num_steps=steps, gamma=gamma)
    assert np.abs((other.losses[1:] - field.losses[1:]) / error).max() > 8  # another depth is another limit


@pytest.mark.claim("mean-field-training")
@pytest.mark.parametrize("hidden, skips", SHAPES, ids=["plain", "residual", "some skips"])
def test_the_excess_of_the_rescaling_follows_training(hidden, skips):
    data, steps, rate, gamma, width = problem(1), 8, 0.1, 1.5, 256
    field = mean_field_training(data, hidden, learning_rate=rate, num_steps=steps, skips=skips, gamma=gamma)
    widths = (4, *[width] * hidden, 2)
    excess = []
    for seed in range(12):
        net = LinearPCN.random(widths, parameterisation="mupc", skips=skips, gamma=gamma, rng=seed)
        for _ in range(steps):
            slope = weight_gradient(net, equilibrium(net, data).activities)
            weights = [w - rate * gamma**2 * width * g for w, g in zip(net.weights, slope, strict=True)]
            net = net.replace(weights=weights)
        excess.append(width * (rescaling(net) - np.eye(2)))
    mean, error = np.mean(excess, axis=0), np.std(excess, axis=0, ddof=1) / math.sqrt(len(excess))
    assert np.all(np.abs(mean - field.excess[-1]) < 4 * error)
    law = width * (expected_rescaling(widths, "mupc", skips=skips, gamma=gamma) - np.eye(2))
    assert_close(field.excess[0], law, size=width * hidden)
    assert np.abs((mean - law) / error).max() > 8  # training has moved it


STABLE = pytest.mark.claim("s-stable-limit")


@STABLE
@settings(max_examples=30)
@given(
    st.integers(0, 10**6),
    st.integers(2, 5),
    st.booleans(),
    st.floats(0.1, 10.0),
    st.floats(0.1, 10.0),
)
def test_only_the_ratio_of_the_precisions_and_the_rate_matter(seed, depth, skips, hidden, output):
    """F*(pi, Pi_L) = Pi_L F*(pi / Pi_L, 1), and so for its gradient."""
    rng = np.random.default_rng(seed)
    net = LinearPCN.random((3, *[4] * (depth - 1), 2), skips=skips, rng=rng)
    objective = EquilibratedEnergy(problem(seed, inputs=3))
    both = net.replace(precisions=[hidden] * (depth - 1) + [output])
    ratio = net.replace(precisions=[hidden / output] * (depth - 1) + [1.0])
    kappa = np.linalg.cond(rescaling(ratio)) * max(hidden / output, output / hidden)
    assert_close(objective.value(both), output * objective.value(ratio), size=4 * depth, kappa=kappa)
    for one, other in zip(objective.gradient(both), objective.gradient(ratio), strict=True):
        assert_close(one, output * other, size=4 * depth, kappa=kappa, scale=1 + np.abs(one).max())


@STABLE
@pytest.mark.parametrize("hidden, skips", SHAPES, ids=["plain", "residual", "some skips"])
def test_the_limit_joins_that_of_backprop_as_alpha_vanishes(hidden, skips):
    options = {"learning_rate": 0.1, "num_steps": 12, "skips": skips, "gamma": 1.5}
    backprop, same, tenth, small = (
        mean_field_training(problem(1), hidden, alpha=alpha, **options) for alpha in (0, 1e-15, 1e-4, 1e-3)
    )
    for name in ("maps", "losses", "excess"):
        assert_close(getattr(same, name), getattr(backprop, name), size=12 * hidden * 6, scale=1.0)
    gaps = [np.abs(field.maps - backprop.maps).max() for field in (tenth, small)]
    assert gaps[1] / gaps[0] == pytest.approx(10, rel=0.01)  # linear in alpha
    np.testing.assert_array_equal(backprop.energies, backprop.losses)


@STABLE
def test_an_output_precision_is_a_larger_alpha_and_a_larger_rate():
    options = {"num_steps": 8, "skips": True}
    one = mean_field_training(problem(1), 3, learning_rate=0.05, alpha=0.4, precision=3.0, **options)
    other = mean_field_training(problem(1), 3, learning_rate=0.15, alpha=1.2, **options)
    assert_close(one.maps, other.maps, size=8 * 3 * 6, scale=1.0)
    assert_close(one.energies, 3 * other.energies, size=8 * 3 * 6)


@STABLE
@pytest.mark.parametrize("alpha", [0.5, 2.0])
@pytest.mark.parametrize("hidden, skips", SHAPES, ids=["plain", "residual", "some skips"])
def test_wide_networks_trained_on_the_energy_follow_the_stable_mean_field(hidden, skips, alpha):
    data, steps, rate, gamma, seeds = problem(1), 8, 0.1, 1.5, 12
    options = {"learning_rate": rate, "num_steps": steps, "skips": skips, "gamma": gamma}
    field = mean_field_training(data, hidden, alpha=alpha, **options)

    def path(net, width):
        """Losses, energies and S; the weights move along the exact gradient of F*."""
        found = []
        for step in range(steps + 1):
            settled = equilibrium(net, data)
            found.append([loss(net, data), settled.energy, *rescaling(net).ravel()])
            if step < steps:
                slope = settled.weight_gradient()
                moved = [w - rate * gamma**2 * width * g for w, g in zip(net.weights, slope, strict=True)]
                net = net.replace(weights=moved)
        return np.array(found)

    def deviations(width):
        """The two signs of the last layer cancel the fluctuation of first order at the start."""
        widths, runs = (4, *[width] * hidden, 2), []
        for seed in range(seeds):
            net = LinearPCN.random(
                widths,
                parameterisation="mupc",
                skips=skips,
                gamma=gamma,
                rng=seed,
                precisions=stable_precisions(widths, alpha),
            )
            other = net.replace(weights=[*net.weights[:-1], -net.weights[-1]])
            runs.append((path(net, width) + path(other, width)) / 2)
        stable = field.rescalings.reshape(steps + 1, -1)
        return np.array(runs) - np.column_stack([field.losses, field.energies, stable])

    wide, narrow = deviations(256), deviations(32)
    error = wide.std(axis=0, ddof=1) / math.sqrt(seeds)
    assert np.all(np.abs(wide.mean(axis=0))[1:] < 4 * error[1:] + 1e-12)
    assert np.sqrt(np.mean(narrow**2) / np.mean(wide**2)) > 2  # 2.8 is the square root of the ratio of widths
    backprop = mean_field_training(data, hidden, **options)
    assert np.abs((backprop.losses - field.losses)[1:] / error[1:, 0]).max() > 6  # is another limit


def gradient_cosine(net, data):
    one, other = (
        np.concatenate([g.ravel() for g in objective(data).gradient(net)])
        for objective in (EquilibratedEnergy, MSELoss)
    )
    return one @ other / np.linalg.norm(one) / np.linalg.norm(other)


@STABLE
@pytest.mark.claim("limit-to-backprop")
@pytest.mark.parametrize("alpha", [0.5, 2.0])
@pytest.mark.parametrize("hidden, skips", SHAPES, ids=["plain", "residual", "some skips"])
def test_the_gradients_cosine_at_initialisation(hidden, skips, alpha):
    data, width, gamma = problem(1), 384, 1.5
    widths, found = (4, *[width] * hidden, 2), []
    for seed in range(10):
        net = LinearPCN.random(
            widths,
            parameterisation="mupc",
            skips=skips,
            gamma=gamma,
            rng=seed,
            precisions=stable_precisions(widths, alpha),
        )
        other = net.replace(weights=[*net.weights[:-1], -net.weights[-1]])
        found.append((gradient_cosine(net, data) + gradient_cosine(other, data)) / 2)
    predicted = initial_cosine(data, hidden, alpha, skips=skips, gamma=gamma)
    assert abs(np.mean(found) - predicted) < 4 * np.std(found, ddof=1) / math.sqrt(len(found))
    assert abs(np.mean(found) - initial_cosine(data, hidden, 1.3 * alpha, skips=skips, gamma=gamma)) > 0.01


@STABLE
@pytest.mark.parametrize("alpha, gamma", [(1.0, 1.0), (0.5, 2.0), (3.0, 0.7)])
def test_the_cosine_in_closed_form(alpha, gamma):
    data = problem(4, outputs=1)
    power, signal = float(data.yy[0, 0]), float(np.sum(data.yx**2)) / 4
    for depth in (2, 5, 33):
        scale = 1 + alpha / gamma**2 * (depth - 1) / depth
        ratio = power**2 * alpha**2 * (depth**2 - 1) / (12 * depth) / (scale * gamma) ** 2 / signal
        assert initial_cosine(data, depth - 1, alpha, gamma=gamma) == pytest.approx(
            (1 + ratio) ** -0.5, rel=1e-12
        )
    scale = 1 + alpha / gamma**2 * (math.e - 1)
    ratio = math.e / 3 * (alpha * power / gamma / scale) ** 2 / signal
    off = [
        initial_cosine(data, depth - 1, alpha, gamma=gamma, skips=True) - (1 + ratio) ** -0.5
        for depth in (500, 1000)
    ]
    assert abs(off[1]) < 1e-3
    assert off[0] / off[1] == pytest.approx(2, rel=0.02)  # the limit of depth is approached like 1/L


@STABLE
@pytest.mark.claim("limit-to-backprop")
def test_at_unit_precision_gradients_agree_when_the_width_exceeds_depth_to_the_three_halves():
    data = problem(4, outputs=1)
    power, signal = float(data.yy[0, 0]), float(np.sum(data.yx**2)) / 4
    for depth in (64, 512):
        width = 40 * depth**1.5
        plain, residual = (
            1 - initial_cosine(data, depth - 1, depth / width, skips=skips) for skips in (False, True)
        )
        assert plain == pytest.approx(power**2 * depth**3 / (24 * signal * width**2), rel=0.03)
        law = math.e / 6 * power**2 * depth**2 / (signal * width**2)
        assert residual == pytest.approx(law, rel=8 / depth)


@STABLE
def test_with_skips_training_has_a_limit_in_depth():
    maps = [
        mean_field_training(
            problem(1, outputs=1), hidden, learning_rate=0.1, num_steps=4, skips=True, alpha=1.0
        ).maps[-1]
        for hidden in (7, 15, 31)
    ]
    steps = [np.abs(b - a).max() for a, b in pairwise(maps)]
    assert steps[0] / steps[1] == pytest.approx(2, rel=0.15)  # 1/L
    plain = [initial_cosine(problem(1), depth - 1, 1.0) for depth in (400, 1600)]
    assert plain[0] / plain[1] == pytest.approx(2, rel=0.05)  # L^{-1/2}: no limit without skips


@STABLE
def test_an_output_precision_that_grows_with_the_width_has_another_limit():
    """Pi_L = N at unit hidden precisions is alpha = L, which is not backprop."""
    data, depth = problem(1, outputs=1), 4
    limit, off = initial_cosine(data, depth - 1, float(depth)), []
    for width in (32, 512):
        found = []
        for seed in range(12):
            net = LinearPCN.random(
                (4, *[width] * (depth - 1), 1),
                parameterisation="mupc",
                rng=seed,
                precisions=[1.0] * (depth - 1) + [float(width)],
            )
            other = net.replace(weights=[*net.weights[:-1], -net.weights[-1]])
            found.append((gradient_cosine(net, data) + gradient_cosine(other, data)) / 2)
        off.append((np.mean(found) - limit) / (np.std(found, ddof=1) / math.sqrt(len(found))))
    assert abs(off[1]) < 4
    assert limit < 0.9


def test_the_network_is_used_on_the_span_of_the_inputs():
    rng = np.random.default_rng(5)
    x = rng.standard_normal((3, 7))
    data = Data(x, rng.standard_normal((3, 1)))
    field = mean_field_training(data, 2, learning_rate=0.2, num_steps=5)
    off = np.eye(7) - np.linalg.pinv(x) @ x
    assert np.abs(field.maps @ off).max() < 1e-14
    repeated = mean_field_training(
        Data(np.tile(data.x, (4, 1)), np.tile(data.y, (4, 1))), 2, learning_rate=0.2, num_steps=5
    )
    assert_close(repeated.maps, field.maps, size=12 * 7, scale=1.0)
    assert_close(repeated.losses, field.losses, size=12 * 7)


def test_a_residual_stack_starts_with_the_kernels_of_the_forward_pass():
    field = mean_field_training(problem(2), 3, learning_rate=0.1, num_steps=0, skips=True)
    growth = 1 + 1 / 4
    for layer in range(3):
        assert_close(field.forward_kernels[0, layer], growth**layer * np.eye(4) / 4, size=16)
        assert_close(field.backward_kernels[0, layer], growth ** (2 - layer) * np.eye(2), size=16)
    assert field.losses.shape == (1,)
    assert math.isclose(field.losses[0], np.sum(problem(2).y ** 2) / 12)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"hidden": 0}, "`hidden` must be"),
        ({"num_steps": -1}, "`num_steps` must be"),
        ({"learning_rate": 0.0}, "`learning_rate` must be"),
        ({"gamma": -1.0}, "`gamma` must be"),
        ({"skips": [True, False, False]}, "`skips` must be False on the first"),
        ({"precision": np.eye(3)}, "`precision"),
        ({"alpha": -0.1}, "`alpha` must be"),
    ],
)
def test_bad_input_is_refused(options, message):
    arguments = {"hidden": 2, "learning_rate": 0.1, "num_steps": 3, **options}
    with pytest.raises(ValueError, match=message):
        mean_field_training(problem(0), arguments.pop("hidden"), **arguments)


def test_data_must_be_data():
    with pytest.raises(TypeError, match="`data` must be a pctheory.Data"):
        mean_field_training(([[1.0]], [[1.0]]), 1, learning_rate=0.1, num_steps=1)


def test_stable_precisions_are_one_a_layer():
    assert stable_precisions((3, 8, 16, 2), 0.5) == (0.75, 0.375, 1.0)
    with pytest.raises(ValueError, match="`alpha` must be"):
        stable_precisions((3, 8, 2), 0.0)
    with pytest.raises(ValueError, match="`data` must have inputs and outputs that are correlated"):
        initial_cosine(Data([[1.0], [-1.0]], [[1.0], [1.0]]), 1, 0.5)
