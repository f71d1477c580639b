"""Adaptive inference: exact weight gradients in a few passes, and the estimate of what they are off."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from pctheory import Data, LinearPCN, equilibrium
from pctheory.model import hidden_precision
from pctheory.nn import PC, PCN, Adaptive, Stop, TrainingSettings, infer, train

EPS = float(np.finfo(np.float64).eps)


def problem(activation, precision=1.0, hidden=6, width=16, scale=None, output="mse", seed=0):
    widths = (10, *[width] * hidden, 4)
    options = {"parameterisation": "mupc", "skips": True} if scale is None else {"init": scale}
    model = PCN(
        widths,
        activation=activation,
        output=output,
        precisions=[*[precision] * hidden, 1.0],
        rng=seed,
        dtype=torch.float64,
        **options,
    )
    rng = np.random.default_rng(seed + 1)
    return model, rng.standard_normal((24, 10)), np.eye(4)[rng.integers(0, 4, 24)]


def off(model, x, y, found):
    """Largest relative distance of a layer's weight gradient from that of the stationary point nearby."""
    start = found.activities  # with kinks the energy may have several
    exact = infer(model, x, y, "newton", start=start, stop=Stop(100, 1e-10))
    pairs = zip(
        model.local_gradient(found.activities, errors=found.errors),
        model.local_gradient(exact.activities, errors=exact.errors),
        strict=True,
    )
    return max(float((a - b).norm() / b.norm()) for a, b in pairs)


@pytest.mark.claim("equilibrium-errors")
def test_in_a_linear_network_it_ends_at_the_equilibrium_after_as_many_passes_as_outputs_and_one():
    net = LinearPCN.random((6, 9, 9, 9, 3), rng=2)
    rng = np.random.default_rng(3)
    data = Data(rng.standard_normal((12, 6)), rng.standard_normal((12, 3)))
    found = infer(PCN.from_linear(net), data.x, data.y, Adaptive(1e-9, max_passes=20))
    # n_L + 1 passes solve it; the estimate needs some more to see that nothing changes
    assert found.num_passes <= 3 + 4
    solved = equilibrium(net, data)
    for a, b in zip(found.errors, solved.errors, strict=True):
        assert np.abs(a.numpy() - np.asarray(b)).max() < 1e-9


@pytest.mark.parametrize("activation", ["tanh", "relu", "gelu"])
@pytest.mark.parametrize("output", ["mse", "cross-entropy"])
def test_where_the_rescaling_is_near_one_a_few_passes_give_every_weight_gradient(activation, output):
    model, x, y = problem(activation, hidden_precision((10, *[16] * 6, 4), "mupc", skips=True), output=output)
    found = infer(model, x, y, Adaptive(0.01))
    assert found.message == "converged"
    assert found.num_passes <= 4
    assert found.gradient_error <= 0.01
    assert off(model, x, y, found) < 0.02


@pytest.mark.parametrize(
    "activation, precision, scale", [("tanh", 1.0, 0.4), ("relu", 1.0, None), ("relu", 1.0, 0.5)]
)
def test_where_it_is_large_newtons_method_takes_over_and_the_estimate_still_holds(
    activation, precision, scale
):
    model, x, y = problem(activation, precision, scale=scale, seed=4)
    found = infer(model, x, y, Adaptive(0.005, max_passes=3))
    assert found.num_steps > 3
    assert found.gradient_error <= 0.005
    assert off(model, x, y, found) < 0.01


def test_units_that_rest_at_kinks_are_brought_there_where_plain_passes_jump_for_ever():
    model, x, y = problem("relu", 20.0, hidden=12, width=32, seed=1)
    found = infer(model, x, y, Adaptive(1e-9, max_passes=60), stop=Stop(9))
    smallest = min(float(z[z != 0].abs().min()) for z in found.activities[1:-1])
    assert smallest < 1e-6  # no unit comes so near 0 by chance
    assert off(model, x, y, found) < 0.01


def test_training_and_inference_use_the_same_errors_up_to_the_last_forward_pass():
    model, x, y = problem("relu", 8.0)
    start = [w.detach().clone() for w in model.weights]
    rate = 1e-3
    settings = TrainingSettings(
        PC(Adaptive(0.01)), optimiser="SGD", learning_rate=rate, batch_size=24, steps=1
    )
    result = train(model, Data(x, y), settings)
    moved = [(a - b.detach()) / rate for a, b in zip(start, model.weights, strict=True)]
    with torch.no_grad():
        for weight, old in zip(model.weights, start, strict=True):
            weight.copy_(old)
    exact = infer(model, x, y, "newton", stop=Stop(100, 1e-10))
    there = model.local_gradient(exact.activities)
    assert max(float((a - b).norm() / b.norm()) for a, b in zip(moved, there, strict=True)) < 0.02
    assert result.inference["gradient_error"][0] <= 0.01
    assert result.inference["passes"][0] == infer(model, x, y, Adaptive(0.01)).num_passes


def test_the_estimate_is_of_the_size_of_the_error_along_the_passes():
    ratios = []
    for activation, precision in (("relu", 16.0), ("tanh", 16.0), ("relu", 64.0), ("tanh", 1.0)):
        model, x, y = problem(activation, precision, hidden=10, seed=5)
        for passes in (3, 4):
            found = infer(model, x, y, Adaptive(1e-12), stop=Stop(passes))
            ratios.append(off(model, x, y, found) / found.gradient_error)
    assert max(ratios) < 3
    assert np.median(ratios) < 1


def test_with_a_tolerance_of_the_gradient_the_estimate_is_that_of_the_end():
    model, x, y = problem("tanh", scale=0.4, seed=4)
    found = infer(model, x, y, Adaptive(max_passes=3), stop=Stop(None, 1e-5))
    assert found.num_steps > 3
    assert off(model, x, y, found) < 3 * found.gradient_error < 1e-3


def test_one_pass_makes_no_estimate():
    model, x, y = problem("tanh")
    assert np.isnan(infer(model, x, y, Adaptive(), stop=Stop(1)).gradient_error)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_layers_without_a_gradient_are_at_rest(dtype):
    model, x, y = problem("relu", 16.0, scale=1.0)
    with torch.no_grad():
        model.weights[2].copy_(-model.weights[2].abs())  # of nonnegative values: no unit of layer 3 is active
    dead = infer(model.to(dtype), x, y, Adaptive(0.01))
    assert (dead.message, dead.gradient_error, dead.num_passes) == ("converged", 0.0, 2)
    model, x, _ = problem("relu")
    model = model.to(dtype)
    fits = infer(model, x, model.stacked().feedforward(model.inputs(x)).y, Adaptive(0.01))
    assert (fits.message, fits.energy, fits.gradient_error, fits.num_passes) == ("converged", 0.0, 0.0, 2)


@pytest.mark.parametrize("scale", [30.0, 1e8])
def test_newtons_method_starts_from_the_forward_pass_where_the_passes_blow_up(scale):
    model, x, y = problem("relu", scale=scale)
    alone = infer(model, x, y, "newton")
    found = infer(model, x, y, Adaptive(max_passes=50))
    assert found.num_steps < 50
    assert found.energy == alone.energy


def test_a_given_number_of_steps_leaves_newtons_method_out():
    model, x, y = problem("tanh", scale=0.4)
    found = infer(model, x, y, Adaptive(1e-12, max_passes=2), stop=Stop(5))
    assert (found.num_steps, found.num_passes) == (5, 5)


def test_other_methods_make_no_estimate():
    model, x, y = problem("tanh")
    assert infer(model, x, y, "newton").gradient_error is None


@pytest.mark.parametrize("options", [{"tolerance": 0.0}, {"max_passes": 1}])
def test_bad_fields_are_refused(options):
    with pytest.raises(ValueError, match=f"`{next(iter(options))}` must"):
        Adaptive(**options)
