"""Backpropagation through real inference in torch, linear and nonlinear, against the closed forms and finite
differences.
"""

import numpy as np
import pytest
import torch
from tolerances import assert_close

from pctheory import Data, LinearPCN, feedforward, finite_time_energy, inference_rate
from pctheory.inference import ClampedProblem, clamped_equilibrium
from pctheory.learning import (
    CrossEntropy,
    LayerEnergies,
    backprop_gradient,
    local_gradient,
    pc_gradient,
)
from pctheory.learning import implicit_gradient as closed_implicit
from pctheory.learning import unrolled_gradient as closed_unrolled
from pctheory.nn import PCN
from pctheory.nn.through_inference import Clamps, implicit_gradient, settle, unrolled_gradient


def energy(model, z):
    return model.energy(z)


def surprise(target):
    def loss(model, z):
        return -torch.sum(target * torch.log_softmax(z[0], -1)) / len(target)

    return loss


def generative(rng, activation="linear"):
    net = LinearPCN.random((3, 5, 4, 6), rng=rng)
    model = PCN.from_linear(net, activation=activation)
    given = tuple(torch.tensor(rng.standard_normal((4, n))) for n in net.widths)
    return net, model, given, (False, False, False, True)


def discriminative(rng):
    net = LinearPCN.random((4, 6, 5, 3), rng=rng)
    data = Data(rng.standard_normal((5, 4)), rng.standard_normal((5, 3)))
    given = tuple(torch.tensor(np.array(z)) for z in (*feedforward(net, data.x)[:-1], data.y))
    return net, data, PCN.from_linear(net), given


def largest_gap(actual, expected):
    """Worst layer, relative to the layer's norm."""
    return max(
        float(np.linalg.norm(np.asarray(a) - np.asarray(b)) / max(np.linalg.norm(np.asarray(b)), 1e-300))
        for a, b in zip(actual, expected, strict=True)
    )


@pytest.mark.claim("finite-time-energy")
@pytest.mark.parametrize("steps", [0, 1, 2, 7])
def test_unrolling_the_energy_is_the_gradient_of_the_finite_time_energy(steps, rng):
    net, data, model, given = discriminative(rng)
    step = inference_rate(net).best_step
    leaves = [torch.tensor(np.array(w), requires_grad=True) for w in net.weights]
    twin = net.replace(weights=leaves)
    finite_time_energy(twin, Data(torch.tensor(data.x), torch.tensor(data.y)), step, steps).backward()
    result = unrolled_gradient(model, given, energy, Clamps.of(model), step=step, num_steps=steps)
    assert largest_gap(result.gradient, [w.grad.numpy() for w in leaves]) < 1e-11
    if steps == 0:
        assert largest_gap(result.gradient, backprop_gradient(net, data)) < 1e-13


@pytest.mark.claim("through-inference-gradients")
@pytest.mark.parametrize("last", [None, 0, 2, 6])
def test_unrolled_by_torch_is_the_closed_form(last, rng):
    net, model, given, mask = generative(rng)
    target = torch.softmax(torch.tensor(rng.standard_normal((4, 3))), -1)
    problem = ClampedProblem(net, [np.asarray(z) for z in given], mask, prior=0.5)
    step = 1 / np.linalg.norm(problem.hessian.to_dense(), 2)
    clamps = Clamps.of(model, mask, prior=0.5)
    result = unrolled_gradient(model, given, surprise(target), clamps, step=step, num_steps=6, last=last)
    loss = CrossEntropy(np.asarray(target), 0)
    expected = closed_unrolled(problem, loss, step, 6, last=last)
    assert largest_gap(result.gradient, expected) < 1e-11


@pytest.mark.claim("through-inference-gradients")
def test_implicit_by_krylov_is_the_closed_form(rng):
    net, model, given, mask = generative(rng)
    target = torch.softmax(torch.tensor(rng.standard_normal((4, 3))), -1)
    settled = clamped_equilibrium(net, [np.asarray(z) for z in given], mask, prior=0.5)
    clamps = Clamps.of(model, mask, prior=0.5)
    result = implicit_gradient(
        model, [torch.tensor(z) for z in settled.activities], surprise(target), clamps, tolerance=1e-13
    )
    expected = closed_implicit(settled.problem, CrossEntropy(np.asarray(target), 0))
    assert result.residual < 1e-11
    assert largest_gap(result.gradient, expected) < 1e-9


@pytest.mark.claim("through-inference-gradients")
@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_nonlinear_implicit_is_the_derivative_of_the_settled_loss(activation, rng):
    """Central differences through real inference to convergence, along a random direction of weights."""
    _, model, given, _ = generative(rng, activation)
    mask = (False, False, np.array([True, False, False, True]), True)
    clamps = Clamps.of(model, mask, prior=0.5)
    target = torch.softmax(torch.tensor(rng.standard_normal((4, 3))), -1)
    loss = surprise(target)
    step = 0.1

    def rest():
        with torch.no_grad():
            return settle(model, given, clamps, step=step, num_steps=800)

    result = implicit_gradient(model, rest(), loss, clamps, tolerance=1e-13)
    direction = [torch.tensor(rng.standard_normal(tuple(w.shape))) for w in model.weights]
    slope = float(sum(torch.sum(g * d) for g, d in zip(result.gradient, direction, strict=True)))
    values, shift = [], 1e-5
    for sign in (1, -1):
        with torch.no_grad():
            for w, d in zip(model.weights, direction, strict=True):
                w.add_(sign * shift * d)
        values.append(float(loss(model, rest()).detach()))
        with torch.no_grad():
            for w, d in zip(model.weights, direction, strict=True):
                w.sub_(sign * shift * d)
    assert_close(
        (values[0] - values[1]) / (2 * shift), slope, size=1e5, kappa=1e4, scale=max(abs(slope), 1.0)
    )


@pytest.mark.claim("truncated-adjoint")
@pytest.mark.parametrize("activation", ["linear", "tanh"])
def test_truncated_backpropagation_at_equilibrium_tends_to_the_implicit_gradient(activation, rng):
    _, model, given, mask = generative(rng, activation)
    clamps = Clamps.of(model, mask, prior=0.5)
    loss = surprise(torch.softmax(torch.tensor(rng.standard_normal((4, 3))), -1))
    with torch.no_grad():
        rest = settle(model, given, clamps, step=0.1, num_steps=1500)
    exact = implicit_gradient(model, rest, loss, clamps, tolerance=1e-13).gradient
    gaps = [
        largest_gap(
            unrolled_gradient(model, given, loss, clamps, step=0.1, num_steps=k, last=k, start=rest).gradient,
            exact,
        )
        for k in (1, 20, 40, 80)
    ]
    assert gaps[0] > gaps[1] > gaps[2] > gaps[3]
    # geometric: twice the terms, twice the digits beyond the first
    assert abs(np.log(gaps[3] / gaps[2]) / np.log(gaps[2] / gaps[1]) - 2) < 0.25


@pytest.mark.claim("nothing-to-learn")
@pytest.mark.parametrize("activation", ["linear", "tanh"])
def test_with_a_free_output_backpropagation_through_inference_is_backpropagation(activation, rng):
    net, data, _, given = discriminative(rng)
    model = PCN.from_linear(net, activation=activation)
    target = torch.tensor(data.y)

    def loss(model, z):
        return 0.5 * torch.sum((target - z[-1]) ** 2) / len(target)

    clamps = Clamps.of(model, (True, False, False, False))
    result = unrolled_gradient(model, given, loss, clamps, step=0.1, num_steps=5)
    expected = model.loss_gradient(data.x, data.y)
    assert largest_gap(result.gradient, expected) < 1e-12
    zero = (given[0], *(0 * z for z in given[1:]))
    other = unrolled_gradient(model, given, loss, clamps, step=0.1, num_steps=5, start=zero)
    assert largest_gap(other.gradient, expected) > 1e-2


def test_the_local_rule_is_what_is_left_without_the_steps(rng):
    net, data, model, given = discriminative(rng)
    result = unrolled_gradient(model, given, energy, Clamps.of(model), step=0.1, num_steps=4, last=0)
    assert largest_gap(result.gradient, local_gradient(net, data, 0.1, 4)) < 1e-12


@pytest.mark.claim("through-inference-gradients")
def test_at_equilibrium_the_energy_has_no_adjoint_and_implicit_is_the_local_rule(rng):
    net, data, model, given = discriminative(rng)
    settled = clamped_equilibrium(net, [np.asarray(z) for z in given])
    result = implicit_gradient(model, [torch.tensor(z) for z in settled.activities], energy, Clamps.of(model))
    assert largest_gap(result.gradient, pc_gradient(net, data)) < 1e-10
    assert largest_gap(result.gradient, LayerEnergies().weight_gradient(net, settled.activities)) < 1e-10


BAD = [
    (lambda m, z: Clamps.of(m, (True,)), "`mask` must be one entry per layer, 4 of them. Got 1"),
    (lambda m, z: Clamps.of(m, (True, [True], True, True)), r"`mask\[1\]` must be True, False or 5 booleans"),
    (
        lambda m, z: settle(m, z, Clamps.of(m), step=0.1, num_steps=1, last=2),
        "`last` must not exceed the number of steps. Got 2",
    ),
]


@pytest.mark.parametrize(("call", "message"), BAD)
def test_bad_arguments_are_refused_in_one_sentence(call, message, rng):
    _, model, given, _ = generative(rng)
    with pytest.raises(ValueError, match=message):
        call(model, given)
