"""The infinitely wide network in training, against its exactly solvable cases and against wide networks."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tolerances import assert_close

from pctheory import (
    Data,
    LinearPCN,
    equilibrium,
    expected_rescaling,
    mean_field_training,
    rescaling,
    weight_gradient,
)
from pctheory.nn import BP, PC, PCN, Stop, TrainingSettings, train


def problem(seed, samples=6, inputs=4, outputs=2):
    rng = np.random.default_rng(seed)
    return Data(rng.standard_normal((samples, inputs)), rng.standard_normal((samples, outputs)))


def one_hidden_layer(data, rate, steps, gamma, precision):
    r"""The Gram matrix of the columns of (W_1 / sqrt(D), W_2^T) / sqrt(N) moves by itself when H = 1, at any
    width.
    """
    x, y, d = data.x, data.y, data.x.shape[1]
    gram = np.eye(d + y.shape[1])
    gram[:d, :d] /= d
    maps, grams = [], []
    for _ in range(steps + 1):
        maps.append(gram[d:, :d] / gamma)
        grams.append(gram)
        beta = x.T @ (y - x @ maps[-1].T) @ precision / len(x)
        step = np.block([[np.eye(d), rate * gamma * beta], [rate * gamma / d * beta.T, np.eye(y.shape[1])]])
        gram = step.T @ gram @ step
    return np.array(maps), np.array(grams)


@pytest.mark.claim("mean-field-training")
@settings(max_examples=25)
@given(
    st.integers(0, 10**6),
    st.integers(1, 7),
    st.integers(1, 5),
    st.integers(1, 3),
    st.floats(0.3, 3.0),
    st.integers(0, 8),
)
def test_one_hidden_layer_is_solved_exactly(seed, samples, inputs, outputs, gamma, steps):
    data = problem(seed, samples, inputs, outputs)
    root = np.random.default_rng(seed).standard_normal((outputs, outputs))
    precision = np.eye(outputs) + root @ root.T
    rate = 0.2 / np.linalg.norm(precision, 2)
    field = mean_field_training(
        data, 1, learning_rate=rate, num_steps=steps, gamma=gamma, precision=precision
    )
    maps, grams = one_hidden_layer(data, rate, steps, gamma, precision)
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
    ],
)
def test_bad_input_is_refused(options, message):
    arguments = {"hidden": 2, "learning_rate": 0.1, "num_steps": 3, **options}
    with pytest.raises(ValueError, match=message):
        mean_field_training(problem(0), arguments.pop("hidden"), **arguments)


def test_data_must_be_data():
    with pytest.raises(TypeError, match="`data` must be a pctheory.Data"):
        mean_field_training(([[1.0]], [[1.0]]), 1, learning_rate=0.1, num_steps=1)
