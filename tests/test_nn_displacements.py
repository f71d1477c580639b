"""Inference in displacements from the forward pass: errors that keep their digits."""

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from pctheory.nn import PCN, Adam, GradientDescent, Momentum, Stop, infer
from pctheory.nn._activation import activation
from pctheory.nn.inference import descents, relax
from pctheory.nn.inference.problem import Trace

EPS32 = float(torch.finfo(torch.float32).eps)


def deep(activation="relu", hidden=12, dtype=torch.float64, skips=True, output="mse", seed=0):
    widths = (5, *[8] * hidden, 3)
    return PCN(
        widths,
        activation=activation,
        parameterisation="mupc",
        skips=skips,
        output=output,
        rng=seed,
        dtype=dtype,
    )


def samples(count=16, seed=1):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((count, 5)), np.eye(3)[rng.integers(0, 3, count)]


@pytest.mark.parametrize("name", ["linear", "tanh", "relu", "leaky_relu", "gelu", "silu"])
@pytest.mark.parametrize("size", [3.0, 0.3, 1e-2, 1e-4, 1e-8, 1e-20])
def test_a_change_of_the_activation_has_the_relative_precision_of_the_step(name, size):
    rng = np.random.default_rng(0)
    z = torch.tensor(rng.standard_normal(400), dtype=torch.float32)
    d = torch.tensor(size * rng.standard_normal(400), dtype=torch.float32)
    act = activation(name)
    found = act.change(z, d).double()
    z, d = z.double(), d.double()
    exact = act.value(z + d) - act.value(z)
    if (
        size < 1e-6
    ):  # where float64 has few digits left: the slope, or at a kink that is not passed the side's
        exact = d * act.slope(z, act.value(z))
    scale = d.abs() * (1 + size)
    assert float(((found - exact).abs() / scale).max()) < (2e-5 if name in ("gelu", "silu") else 1e-6)


@pytest.mark.parametrize("name", ["tanh", "relu", "leaky_relu", "relu6", "elu"])
def test_a_change_over_the_kink_or_into_saturation_is_exact_and_finite(name):
    z = torch.tensor([-20.0, -1.0, -1e-3, 0.0, 0.0, 1e-3, 1.0, 20.0, 40.0], dtype=torch.float32)
    d = torch.tensor([40.0, 2.0, 1e-2, 1.0, -1.0, -1e-2, -2.0, -40.0, -80.0], dtype=torch.float32)
    act = activation(name)
    exact = act.value(z.double() + d.double()) - act.value(z.double())
    assert torch.allclose(act.change(z, d).double(), exact, rtol=4 * EPS32, atol=1e-9)


@pytest.mark.parametrize("method", [GradientDescent, Momentum])
@pytest.mark.parametrize("name, output", [("linear", "mse"), ("tanh", "cross-entropy"), ("relu", "mse")])
@pytest.mark.parametrize("skips", [True, False])
def test_both_coordinates_descend_alike(method, name, output, skips):
    model, (x, y) = deep(name, 4, skips=skips, output=output), samples()
    here, there = (
        infer(model, x, y, method(0.05, coordinates=c), stop=Stop(9), record=3)
        for c in ("displacements", "activities")
    )
    near = 1e-13
    for a, b in zip(here.activities, there.activities, strict=True):
        assert float((a - b).abs().max()) < near
    for a, b in zip(here.errors, there.errors, strict=True):
        assert float((a - b).abs().max()) < near
    assert here.energies == pytest.approx(there.energies, rel=near)


def test_errors_and_weight_gradients_are_those_of_the_activities_where_these_have_digits():
    for method in (GradientDescent(0.2), "error", "newton", "adaptive"):
        model, (x, y) = deep(hidden=4), samples()
        found = infer(model, x, y, method, stop=Stop(12))
        z = found.activities
        for layer, error in enumerate(found.errors, start=1):
            plain = z[layer] - model.prediction(layer, z[layer - 1]).detach()
            assert float((error - plain).abs().max()) < 1e-13
        pairs = zip(model.local_gradient(z, errors=found.errors), model.local_gradient(z), strict=True)
        assert all(float((a - b).abs().max()) < 1e-13 for a, b in pairs)


def test_given_errors_are_weighted_by_the_precisions():
    model, (x, y) = deep(hidden=2), samples()
    weighted = PCN.from_weights(
        [w.detach() for w in model.weights],
        activation="relu",
        multipliers=model.multipliers,
        skips=model.skips,
        precisions=[3.0, np.linspace(1, 2, 8), 5.0],
    )
    found = infer(weighted, x, y, GradientDescent(0.05), stop=Stop(4))
    pairs = zip(
        weighted.local_gradient(found.activities, errors=found.errors),
        weighted.local_gradient(found.activities),
        strict=True,
    )
    assert all(float((a - b).abs().max()) < 1e-13 for a, b in pairs)


def test_errors_that_do_not_fit_are_refused():
    model, (x, y) = deep(hidden=2), samples()
    z, errors = (found := infer(model, x, y)).activities, found.errors
    for wrong, message in (
        (errors[1:], r"`errors` must be a tuple \(eps_1, ..., eps_3\), one per layer.* Got 2"),
        (3, "`errors` must be a tuple .* Got int"),
        ((errors[0][:, 1:], *errors[1:]), "`eps_1` must have 8 columns"),
        ((*errors[:2], errors[2][1:]), r"`eps_3` must have shape \(16, 3\)"),
    ):
        with pytest.raises(ValueError, match=message):
            model.local_gradient(z, errors=wrong)


@pytest.mark.claim("error-reach")
@pytest.mark.parametrize("name", ["relu", "tanh"])
def test_after_h_small_steps_every_layer_has_backprops_direction_which_a_difference_of_activities_loses(name):
    step, hidden = 1 / 512, 20
    model, (x, y) = deep(name, hidden), samples()
    exact = model.loss_gradient(x, y)

    def cosines(model, coordinates):
        found = infer(model, x, y, GradientDescent(step, coordinates=coordinates), stop=Stop(hidden))
        gradient = model.local_gradient(found.activities, errors=found.errors)
        scaled = [g.double() / g.double().abs().max().clamp(min=1e-300) for g in gradient]
        return np.array(
            [
                float((a * b).sum() / (a.norm() * b.norm() + 1e-300))
                for a, b in zip(scaled, exact, strict=True)
            ]
        )

    assert cosines(model, "displacements").min() > 0.999
    assert np.sum(cosines(model, "activities") > 0.99) < hidden - 5
    single = model.float()
    near = cosines(single, "displacements")
    # what is left is what float32 can hold: its smallest number is 1.4e-45
    assert np.sum(near > 0.99) > np.sum(cosines(single, "activities") > 0.99) + 8


@pytest.mark.claim("error-reach")
def test_inside_the_light_cone_the_error_is_backprops_times_a_binomial():
    step, hidden, steps = 1e-3, 6, 9
    model, (x, y) = deep("tanh", hidden), samples()
    found = infer(model, x, y, GradientDescent(step), stop=Stop(steps))
    start = model.stacked().feedforward(model.inputs(x))
    net = model.stacked()
    backward = net.empty_like_hidden(16)
    net.pull_back(torch.tensor(y) - start.y, net.slopes(start), backward)
    layers = [row for stack in backward for row in stack]
    for k in range(1, hidden + 1):
        error, expected = found.errors[hidden - k], layers[hidden - k]
        ratio = float((error * expected).sum() / expected.square().sum())
        # the depth-k factor, with O(step) corrections of either sign
        assert ratio == pytest.approx(math.comb(steps, k) * step**k, rel=20 * step * steps)


PRECISIONS = {
    "ones": lambda hidden, rng: None,
    "numbers": lambda hidden, rng: [*rng.uniform(0.5, 2.0, hidden), 3.0],
    "vectors": lambda hidden, rng: [*rng.uniform(0.5, 2.0, (hidden, 8)), np.array([1.0, 2.0, 3.0])],
    "matrices": lambda hidden, rng: [*(np.eye(8) + 0.3 for _ in range(hidden)), np.eye(3) + 0.2],
}


def relaxed(model, method, steps, least=0.0, observed=False):
    x, y = (torch.as_tensor(rows, dtype=model.dtype) for rows in samples())
    marks = torch.arange(48).reshape(16, 3) % 4 > 0 if observed else None
    net = model.stacked(observed=marks)
    with torch.no_grad():
        return relax(net, x, y, method, Stop(steps), "feedforward", np.random.default_rng(0), least=least)


@pytest.mark.parametrize(
    ("activation", "precision"),
    [("linear", "matrices"), ("tanh", "numbers"), ("relu", "ones"), ("relu", "vectors"), ("gelu", "ones")],
)
@pytest.mark.parametrize("width", [1, 3, 100])
def test_bands_take_the_steps_of_a_descent_in_another_order(width, activation, precision, monkeypatch):
    rng = np.random.default_rng(0)
    for method, hidden, steps, skips in (
        (GradientDescent(0.2), 7, 7, True),
        (GradientDescent(0.2), 7, 20, [False, True, True, False, True, False, True, False]),
        (Momentum(0.1), 4, 9, False),
        (Adam(0.01), 1, 3, False),
        (Adam(0.01), 9, 4, True),
    ):
        model = PCN(
            (5, *[8] * hidden, 3),
            activation=activation,
            skips=skips,
            precisions=PRECISIONS[precision](hidden, rng),
            rng=1,
            dtype=torch.float64,
        )
        for observed in (False, True) if hidden == 7 else (False,):
            monkeypatch.setattr(descents, "_width", lambda moved, steps: width)
            monkeypatch.setattr(Trace, "unobserved", property(lambda trace: True))
            state, errors, trace = relaxed(model, method, steps, observed=observed)
            monkeypatch.setattr(Trace, "unobserved", property(lambda trace: False))
            plain, expected, counted = relaxed(model, method, steps, observed=observed)
            assert (trace.num_steps, trace.num_passes) == (counted.num_steps, counted.num_passes)
            assert errors.lowest == expected.lowest
            low = errors.lowest - 1
            scale = float(expected.hidden[0][low:].abs().max())
            for ours, theirs in (
                (state.displacement.moved[0], plain.displacement.moved[0]),
                (state.hidden[0], plain.hidden[0]),
                (errors.hidden[0][low:], expected.hidden[0][low:]),
                (errors.output, expected.output),
            ):
                assert float((ours - theirs).abs().max()) <= 1e-13 * max(scale, 1.0)


@pytest.mark.parametrize("width", [1, 3, 100])
def test_bands_stop_where_displacements_are_too_small_to_count(width, monkeypatch):
    model = deep("tanh", hidden=12, dtype=torch.float32)
    monkeypatch.setattr(descents, "_width", lambda moved, steps: width)
    found = {}
    for unobserved in (True, False):
        monkeypatch.setattr(Trace, "unobserved", property(lambda trace, value=unobserved: value))
        state, errors, _ = relaxed(model, GradientDescent(0.01), 14, least=1e-9)
        found[unobserved] = errors.lowest, state.displacement.moved[0]
    assert 1 < found[True][0] == found[False][0]
    assert torch.equal(found[True][1], found[False][1])


def test_descents_whose_steps_nobody_watches_go_in_bands(monkeypatch):
    calls = []
    monkeypatch.setattr(descents, "_in_bands", lambda *arguments: calls.append(arguments))
    relaxed(deep(), GradientDescent(0.2), 3)
    assert len(calls) == 1
    relaxed(deep(), GradientDescent(0.2, decay=0.1), 3)
    relaxed(deep(), GradientDescent(0.2, coordinates="activities"), 3)
    infer(deep(), *samples(), GradientDescent(0.2), stop=Stop(3))
    assert len(calls) == 1


def test_the_rows_of_a_band_fit_into_the_cache_of_each_thread():
    moved = torch.empty(64, 64, 128, dtype=torch.float32)
    working = 4 * 128 * (128 + 9 * 64)
    threads = torch.get_num_threads()
    assert descents._width(moved, 64) == threads * descents.CACHE // working > 1
    assert descents._width(moved.double().expand(64, 64, 128), 64) == threads * descents.CACHE // (
        2 * working
    )
    assert descents._width(torch.empty(2, 1000, 2000), 64) == 1
