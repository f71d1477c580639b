"""The definitions, against loops and finite differences."""

import numpy as np
import oracles
import pytest
from hypothesis import given
from strategies import problems
from tolerances import assert_close

from pctheory import (
    LinearPCN,
    activity_gradient,
    activity_hessian,
    energy,
    feedforward,
    loss,
    weight_gradient,
)
from pctheory.model import activity_linear_term, layer_energies


def random_activities(net, size, seed=0):
    rng = np.random.default_rng(seed)
    return tuple(rng.standard_normal((size, n)) for n in net.widths)


@given(problems())
def test_the_energy_is_its_definition(problem):
    net, data = problem
    z = random_activities(net, data.num_samples)
    expected = oracles.energy(net, z)
    assert_close(energy(net, z), expected, size=sum(net.widths) * 10)
    assert_close(layer_energies(net, z).sum(), expected, size=sum(net.widths) * 10)


@given(problems())
def test_the_activity_gradient_is_the_derivative_of_the_energy(problem):
    net, data = problem
    z = random_activities(net, data.num_samples)
    shapes = [a.shape for a in z]
    cuts = np.cumsum([0, *(a.size for a in z)])

    def of(vector):
        return float(
            energy(
                net, tuple(vector[i:j].reshape(s) for i, j, s in zip(cuts, cuts[1:], shapes, strict=False))
            )
        )

    flat = np.concatenate([a.ravel() for a in z])
    gradient = np.concatenate([g.ravel() for g in activity_gradient(net, z)])
    # a quadratic: central differences err by rounding only, eps * F / step
    limit = 1e-9 * max(1.0, float(energy(net, z)))
    np.testing.assert_allclose(
        gradient, oracles.finite_difference(of, flat, 1e-4), atol=limit * 10, rtol=1e-7
    )


@given(problems())
def test_the_weight_gradient_is_the_derivative_of_the_energy_at_fixed_activities(problem):
    net, data = problem
    z = random_activities(net, data.num_samples)
    gradient = np.concatenate([g.ravel() for g in weight_gradient(net, z)])
    expected = oracles.finite_difference(lambda v: float(energy(net.unflatten(v), z)), net.flatten(), 1e-4)
    limit = 1e-9 * max(1.0, float(energy(net, z)))
    np.testing.assert_allclose(gradient, expected, atol=limit * 10, rtol=1e-7)


@pytest.mark.claim("activity-hessian")
@given(problems())
def test_the_activity_hessian_is_the_second_derivative_and_is_block_tridiagonal(problem):
    net, data = problem
    jacobian, from_x, from_y = oracles.least_squares(net)
    expected = jacobian.T @ jacobian
    hessian = activity_hessian(net)
    assert_close(hessian.to_dense(), expected, size=sum(net.widths))
    b = -(data.x @ from_x.T + data.y @ from_y.T) @ jacobian
    scale = np.abs(b).max(initial=1.0)
    assert_close(activity_linear_term(net, data), b, size=10 * sum(net.widths), scale=scale)
    if expected.size:
        assert np.linalg.eigvalsh(expected)[0] > 0


@given(problems())
def test_feedforward_activities_have_the_loss_as_their_energy(problem):
    net, data = problem
    z = (*feedforward(net, data.x)[:-1], data.y)
    assert_close(energy(net, z), float(loss(net, data)), size=10 * sum(net.widths))


BAD = [
    (lambda net: feedforward(net, np.ones((2, 3))), ValueError, "`x` must have 2 columns"),
    (
        lambda net: energy(net, (np.ones((1, 2)),)),
        ValueError,
        r"`activities` must be a tuple \(z_0, ..., z_2\)",
    ),
    (
        lambda net: energy(net, (np.ones((1, 2)), np.ones((2, 3)), np.ones((1, 1)))),
        ValueError,
        r"`z_1` must have shape \(1, 3\). Got \(2, 3\)",
    ),
]


@pytest.mark.parametrize(("call", "error", "message"), BAD)
def test_bad_activities_are_refused_in_one_sentence(call, error, message):
    with pytest.raises(error, match=message):
        call(LinearPCN.random((2, 3, 1), rng=0))
