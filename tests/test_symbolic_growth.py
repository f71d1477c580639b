"""Derivations of learning: the growth of the weights, gradients of single samples, sharpness, the smallest
form.
"""

import numpy as np
import pytest
import sympy as sp
from symbolic_oracle import at, central_gradient, central_hessian, chain_values, dense_chain

from pctheory.dynamics import inflation
from pctheory.symbolic import Chain, Step, derivations, derive
from pctheory.symbolic.balance import MOMENTS
from pctheory.symbolic.rules import substitute


def every(claim):
    return pytest.mark.parametrize("case", derivations(claim), ids=str)


def energy_of(chain, values):
    """F* of one sample as a function of the maps, by dense least squares."""
    return lambda maps: dense_chain(chain, values | dict(zip(chain.maps, maps, strict=True))).energy


@pytest.mark.claim("escape-time")
@every("escape-time")
def test_the_rates_of_growth_are_those_of_the_dense_minimum(case, rng):
    chain = Chain(case.parameters["hidden_layers"] + 1)
    values = chain_values(rng, chain)
    point = np.array([float(values[A]) for A in chain.maps])
    slope = central_gradient(energy_of(chain, values), point)
    proof = case.derive()
    rates = at(proof["rates"].expand(proof["rates"].after), values).ravel()
    scale = 1 + np.abs(point).max() * np.abs(slope).max()
    np.testing.assert_allclose(rates, -2 * point * slope, atol=1e-7 * scale)
    gaps = at(proof.steps[3].expand(proof.steps[3].after), values).ravel()
    np.testing.assert_allclose(gaps, np.diff(rates), atol=1e-12 * np.abs(rates).max())
    assert np.all(gaps >= 0)
    ratio = -slope[1] / point[0] + point[1] * slope[0] / point[0] ** 2
    scale *= 1 + np.abs(point).max() / point[0] ** 2
    np.testing.assert_allclose(at(proof.result, values), ratio, atol=1e-7 * scale)


@pytest.mark.claim("inflation")
@every("inflation")
def test_at_a_fit_noise_moves_the_weights_as_the_dense_minimum_does(case, rng):
    chain = Chain(case.parameters["hidden_layers"] + 1, unit_precisions=True)
    point = rng.uniform(0.5, 1.5, chain.depth)
    noise = 0.7
    targets = point.prod() + np.array([1.0, -1.0]) * noise**0.5

    def energy(maps):
        values = dict(zip(chain.maps, maps, strict=True)) | {chain.x: 1.0}
        return np.mean([dense_chain(chain, values | {chain.y: y}).energy for y in targets])

    proof = case.derive()
    values = dict(zip(chain.maps, point, strict=True)) | {sp.Symbol("nu", positive=True): noise}
    speeds = at(proof["speeds"].expand(proof["speeds"].after), values).ravel()
    np.testing.assert_allclose(speeds, -2 * point * central_gradient(energy, point), atol=1e-7)


@pytest.mark.claim("inflation")
@every("inflation")
def test_the_energy_with_noise_is_that_of_the_numerical_package(case):
    nu, t = (sp.Symbol(name, positive=True) for name in ("nu", "t"))
    proof, depth = case.derive(), case.parameters["hidden_layers"] + 1
    expected = inflation((1,) * (depth + 1), 0.3, 50.0).energy
    np.testing.assert_allclose(float(proof.result.subs({nu: 0.3, t: 50.0})), expected, rtol=1e-12)


@pytest.mark.claim("gradient-noise")
@every("gradient-noise")
def test_without_a_last_map_or_a_residual_hidden_layers_have_no_gradient_on_any_sample(case, rng):
    chain = Chain(case.parameters["hidden_layers"] + 1)
    values = chain_values(rng, chain)
    proof = case.derive()
    nothing = np.array([*(float(values[A]) for A in chain.maps[:-1]), 0.0])
    slope = central_gradient(energy_of(chain, values), nothing)
    np.testing.assert_allclose(at(proof.steps[1].after, values).ravel(), slope, atol=1e-6)
    assert np.any(np.abs(slope) > 1e-3)
    assert proof.result.is_zero_matrix


@pytest.mark.claim("gradient-noise")
def test_with_a_residual_and_a_last_map_they_have_one():
    step = derive("gradient-noise", hidden_layers=2).steps[-1]
    with pytest.raises(ValueError, match="Step"):
        Step("any target", step.expand(step.before), step.after, substitute({Chain(3).y: sp.Integer(1)}))


@pytest.mark.claim("fit-sharpness")
@every("fit-sharpness")
def test_the_sharpness_at_a_fit_is_that_of_differences(case, rng):
    chain = Chain(case.parameters["hidden_layers"] + 1, unit_precisions=True)
    values = chain_values(rng, chain)
    values[chain.y] = (chain.P(0) * chain.x).subs(values)
    point = np.array([float(values[A]) for A in chain.maps])
    hessian = central_hessian(energy_of(chain, values), point)
    proof = case.derive()
    rank_one = at(proof.steps[1].expand(proof.steps[1].after), values)
    np.testing.assert_allclose(rank_one, hessian, atol=1e-5 * (1 + np.abs(hessian).max()))
    assert proof.result == sp.Symbol("q", nonnegative=True)


@pytest.mark.claim("fit-sharpness")
def test_the_sharpness_of_the_loss_is_not_a_mean():
    """Without S the weights have another sum than 1."""
    step = derive("fit-sharpness", hidden_layers=1).steps[-1]
    unscaled = step.expand(step.before) * Chain(2, unit_precisions=True).rescaling
    with pytest.raises(ValueError, match="Step"):
        Step("no mean", unscaled, step.after, step.rule)


@pytest.mark.claim("second-order-classification")
@every("second-order-classification")
def test_the_smallest_form_is_the_hessian_of_differences(case, rng):
    x, noise = rng.standard_normal((2, 30))
    y = noise - x * (x @ noise) / (x @ x)
    w = 0.7

    def energy(maps):
        lower, upper = maps
        return 0.5 * np.mean((y - upper * lower * x) ** 2) / (1 + upper**2)

    hessian = central_hessian(energy, np.array([w, 0.0]))
    xx, _, yy = MOMENTS
    values = {xx: np.mean(x**2), yy: np.mean(y**2), Chain(2).maps[0]: w}
    np.testing.assert_allclose(at(case.derive().result, values), hessian, atol=1e-6)
