"""Derivations of the equilibrium, against dense least squares on the energy."""

import numpy as np
import pytest
import sympy as sp
from symbolic_oracle import at, central_gradient, chain_values, dense_chain, dense_network, rationals
from tolerances import assert_close

from pctheory.symbolic import Chain, Network, Step, derivations, derive
from pctheory.symbolic.rules import algebra, differentiate, substitute

DEPTHS = range(2, 7)
WIDTHS = ((2, 2, 2), (2, 2, 2, 2), (2, 3, 2), (3, 2, 3), (3, 3, 3), (2, 3, 2, 1))


def close(actual, expected, dense):
    assert_close(actual, expected, size=40, kappa=dense.kappa, scale=1.0 + float(np.max(np.abs(expected))))


def every(claim):
    return pytest.mark.parametrize("case", derivations(claim), ids=str)


@pytest.mark.claim("equilibrium-errors")
@every("equilibrium-errors")
def test_weighted_errors_are_the_residual_carried_back(case):
    assert case.derive().claim == case.claim == "equilibrium-errors"


@pytest.mark.claim("equilibrium-errors")
@pytest.mark.parametrize("depth", DEPTHS)
def test_weighted_errors_of_a_chain_meet_least_squares(depth, rng):
    chain = Chain(depth)
    values = chain_values(rng, chain)
    dense = dense_chain(chain, values)
    weighted = [pi * error for pi, error in zip(dense.precisions, dense.errors, strict=True)]
    close(at(derive("equilibrium-errors", hidden_layers=depth - 1).result, values), np.stack(weighted), dense)


@pytest.mark.claim("equilibrium-errors")
@pytest.mark.parametrize("depth", DEPTHS)
def test_activities_of_a_chain_meet_least_squares(depth, rng):
    chain = Chain(depth)
    values = chain_values(rng, chain)
    dense = dense_chain(chain, values)
    for closed in (chain.equilibrium, tuple(chain.equilibrium_values.values())):
        close([at(z, values) for z in closed], dense.minimum, dense)


@pytest.mark.claim("equilibrated-energy")
@every("equilibrated-energy")
def test_energy_at_equilibrium_is_the_rescaled_residual(case):
    assert case.derive().claim == case.claim == "equilibrated-energy"


@pytest.mark.claim("equilibrated-energy")
@pytest.mark.parametrize("depth", range(1, 7))
def test_energy_of_a_chain_meets_least_squares_with_multipliers_skips_and_precisions(depth, rng):
    chain = Chain(depth)
    result = derive("equilibrated-energy", hidden_layers=depth - 1).result
    values = rationals(rng, sorted(result.free_symbols, key=str))
    maps = {A: value.subs(values) for A, value in chain.parameters.items()}
    dense = dense_chain(chain, values | maps)
    close(at(result, values), np.array(dense.energy), dense)
    assert (depth == 1) == (result.free_symbols.isdisjoint(chain.multipliers[1:]))


@pytest.mark.claim("equilibrated-energy")
@pytest.mark.parametrize("widths", WIDTHS)
def test_energy_of_a_block_network_meets_least_squares(widths, rng):
    network = Network(widths)
    values = rationals(rng, [*network.weights, *network.x, *network.y])
    dense = dense_network(network, values)
    prediction = network.maps[0] * network.x
    first = {
        sp.Symbol(rf"\hat{{z}}_{i + 1}", real=True): entry.subs(values) for i, entry in enumerate(prediction)
    }
    proof = derive("equilibrated-energy", widths=widths)
    close(at(proof.result, values | first), np.array(dense.energy), dense)


@pytest.mark.claim("equilibrated-energy")
def test_the_rescaling_does_not_see_the_first_map():
    for depth in DEPTHS:
        chain = Chain(depth)
        assert chain.maps[0] not in chain.rescaling.free_symbols


@pytest.mark.claim("equilibrated-energy")
@pytest.mark.parametrize("wrong", ["sign of the residual's map", "factor one half", "a map too many"])
def test_a_wrong_energy_at_equilibrium_is_refused(wrong):
    chain = Chain(3)
    S, r = chain.rescaling, chain.residual
    after = {
        "sign of the residual's map": (chain.y + chain.P(0) * chain.x) ** 2 / (2 * S),
        "factor one half": r**2 / S,
        "a map too many": r**2 / (2 * (S + chain.P(0) ** 2)),
    }[wrong]
    with pytest.raises(ValueError, match="Step `the energy there`"):
        Step("the energy there", chain.energy, after, substitute(chain.equilibrium_values))


@pytest.mark.claim("gaussian-marginal")
@every("gaussian-marginal")
def test_integrating_the_hidden_layers_out_leaves_a_gaussian_with_the_rescaling(case):
    assert case.derive().claim == case.claim == "gaussian-marginal"


@pytest.mark.claim("gaussian-marginal")
@pytest.mark.parametrize("depth", DEPTHS)
def test_the_variance_of_the_output_is_that_of_the_generative_model(depth, rng):
    chain = Chain(depth)
    values = chain_values(rng, chain)
    variance = 0.0
    for A, pi in zip(chain.maps, chain.precisions, strict=True):
        variance = float(values[A]) ** 2 * variance + 1 / float(values[pi])
    result = at(derive("gaussian-marginal", hidden_layers=depth - 1).result, values)
    assert_close(result, np.array(1 / (2 * np.pi * variance)), size=40)


@pytest.mark.claim("activity-hessian")
@every("activity-hessian")
def test_the_activity_hessian_is_tridiagonal_with_the_data_at_its_ends(case, rng):
    proof = case.derive()
    chain = Chain(case.parameters["hidden_layers"] + 1)
    values = chain_values(rng, chain)
    dense = dense_chain(chain, values)
    close(at(proof["Hessian"].after, values), dense.hessian, dense)
    K, b = dense.system
    close(at(-proof.result, values), (K.T @ b)[:, None], dense)


@pytest.mark.claim("hessian-determinant")
@every("hessian-determinant")
def test_the_determinant_of_the_hessian_is_that_of_the_rescaling(case, rng):
    proof = case.derive()
    if not case.parameters:
        return
    if "hidden_layers" in case.parameters:
        chain = Chain(case.parameters["hidden_layers"] + 1)
        values = chain_values(rng, chain)
        dense = dense_chain(chain, values)
    else:
        network = Network(case.parameters["widths"])
        values = rationals(rng, [*network.weights, *network.x, *network.y])
        dense = dense_network(network, values)
    expected = np.array(np.linalg.det(dense.hessian))
    assert_close(at(proof.result, values), expected, size=40, kappa=dense.kappa)


@pytest.mark.claim("posterior")
@every("posterior")
def test_the_inverse_hessian_is_the_posterior_covariance(case, rng):
    proof = case.derive()
    if "hidden_layers" not in case.parameters:
        return
    chain = Chain(case.parameters["hidden_layers"] + 1)
    values = chain_values(rng, chain)
    dense = dense_chain(chain, values)
    # the joint covariance of the hidden layers and the output under the generative model, and its Schur
    # complement
    size = chain.depth
    forward = np.eye(size)
    for layer in range(1, size):
        forward[layer] += float(values[chain.maps[layer]]) * forward[layer - 1]
    joint = forward @ np.diag([1 / float(values[pi]) for pi in chain.precisions]) @ forward.T
    cross = joint[:-1, -1:]
    schur = joint[:-1, :-1] - cross @ cross.T / joint[-1, -1]
    close(at(proof.result, values), schur, dense)
    close(at(proof.result, values), np.linalg.inv(dense.hessian), dense)


@pytest.mark.claim("envelope-gradient")
@every("envelope-gradient")
def test_the_local_rule_at_equilibrium_is_the_gradient(case):
    assert case.derive().claim == case.claim == "envelope-gradient"


@pytest.mark.claim("envelope-gradient")
@pytest.mark.parametrize("depth", DEPTHS)
def test_the_gradient_of_a_chain_meets_differences_of_the_dense_minimum(depth, rng):
    chain = Chain(depth)
    values = chain_values(rng, chain)
    step = derive("envelope-gradient", hidden_layers=depth - 1)["gradient"]
    closed = at(step.expand(step.after), values)

    def energy(maps):
        return dense_chain(chain, values | dict(zip(chain.maps, maps, strict=True))).energy

    point = np.array([float(values[A]) for A in chain.maps])
    slope = central_gradient(energy, point)
    np.testing.assert_allclose(closed.ravel(), slope, atol=1e-7 * (1 + np.abs(slope).max()))


@pytest.mark.claim("gradient-decomposition")
@every("gradient-decomposition")
def test_the_gradient_is_preconditioned_backprop_and_a_part_of_the_rescaling(case):
    proof = case.derive()
    chain = Chain(case.parameters["hidden_layers"] + 1)
    whole = derive("envelope-gradient", hidden_layers=chain.depth - 1)["gradient"]
    # two derivations, one gradient
    Step("they agree", proof["gradient"].after, whole.after, algebra(), chain.abbreviations)


@pytest.mark.claim("gradient-decomposition")
def test_at_a_perfect_fit_only_the_first_part_is_left():
    chain = Chain(3)
    gradient = derive("gradient-decomposition", hidden_layers=2)["gradient"].after.xreplace(
        chain.abbreviations
    )
    fit = {chain.y: chain.P(0) * chain.x}
    Step("both vanish with the residual", gradient, sp.zeros(3, 1), substitute(fit))
    last = chain.maps[-1]
    with pytest.raises(ValueError, match="Step"):
        Step("without a fit they do not", gradient, sp.zeros(3, 1), substitute({last: sp.S.Zero}))


@pytest.mark.claim("error-coordinates")
@every("error-coordinates")
def test_error_coordinates_have_the_spectrum_one_and_the_rescaling(case, rng):
    proof = case.derive()
    chain = Chain(case.parameters["hidden_layers"] + 1, unit_precisions=True)
    values = chain_values(rng, chain)
    forward = np.eye(chain.depth)
    for layer in range(1, chain.depth):
        forward[layer] += float(values[chain.maps[layer]]) * forward[layer - 1]
    hessian = dense_chain(chain, values).hessian
    to_activities = forward[:-1, :-1]  # dz / d(eps)
    spectrum = np.linalg.eigvalsh(to_activities.T @ hessian @ to_activities)
    expected = np.array([1.0] * (chain.depth - 2) + [at(chain.rescaling, values)])
    assert_close(spectrum, np.sort(expected), size=40, kappa=expected[-1])
    first = dense_chain(chain, values)
    residual = float(first.y[0] - np.prod([A[0, 0] for A in first.maps]) * first.x[0])
    backprop = [np.prod([A[0, 0] for A in first.maps[l:]]) * residual for l in range(1, chain.depth)]
    assert_close(-at(proof.result, values).ravel(), np.array(backprop), size=40)


@pytest.mark.claim("scalar-gradient-split")
@every("scalar-gradient-split")
def test_with_one_output_the_gradient_splits_into_loss_and_rescaling(case):
    chain = Chain(case.parameters["hidden_layers"] + 1, unit_precisions=True)
    step = case.derive().steps[-1]
    with pytest.raises(ValueError, match="Step"):
        Step(
            "the rescaling held fixed",
            step.before,
            step.after + sp.ones(chain.depth, 1),
            step.rule,
            step.where,
        )


@pytest.mark.claim("precision-limits")
@every("precision-limits")
def test_rigid_hidden_layers_give_backprop(case, rng):
    chain = Chain(case.parameters["hidden_layers"] + 1, unit_precisions=True)
    values = chain_values(rng, chain)
    steps = (case.derive()[label] for label in ("backprop", "first order"))
    backprop, first_order = (at(step.expand(step.after), values).ravel() for step in steps)
    ratio = 1e6
    dense = dense_chain(chain, values)
    dense = type(dense)(dense.maps, (ratio,) * (chain.depth - 1) + (1.0,), dense.x, dense.y)
    z, errors = dense.layers, dense.errors
    local = -np.array([pi * (e @ below) for pi, e, below in zip(dense.precisions, errors, z, strict=False)])
    scale = 1 + np.abs(first_order).max()
    # the next order, and the rounding of ratio * error where the errors are 1 / ratio small
    np.testing.assert_allclose(
        ratio * (local - backprop), first_order, atol=2e3 * scale**3 / ratio + 1e-3 * scale
    )


@pytest.mark.claim("no-minimiser-with-noise")
@every("no-minimiser-with-noise")
def test_with_a_residual_the_energy_falls_along_the_scaling_path(case):
    assert case.derive().claim == case.claim == "no-minimiser-with-noise"


@pytest.mark.claim("data-compression")
@every("data-compression")
def test_the_data_enter_through_second_moments(case, rng):
    chain = Chain(case.parameters["hidden_layers"] + 1)
    values = chain_values(rng, chain)
    x, y = rng.normal(size=(2, 7))
    mean = np.mean(
        [dense_chain(chain, values | {chain.x: a, chain.y: b}).energy for a, b in zip(x, y, strict=True)]
    )
    # two samples with the same three moments
    u = np.sqrt(2 * np.mean(x * x))
    v = 2 * np.mean(x * y) / u
    n = np.sqrt(2 * np.mean(y * y) - v**2)
    two = np.mean(
        [dense_chain(chain, values | {chain.x: a, chain.y: b}).energy for a, b in ((u, v), (0.0, n))]
    )
    assert_close(two, np.array(mean), size=40, kappa=dense_chain(chain, values).kappa)
    assert case.derive().claim == case.claim == "data-compression"


@pytest.mark.claim("envelope-gradient")
def test_a_gradient_without_its_sign_is_refused():
    chain = Chain(2)
    right = sp.Matrix([chain.energy.diff(A) for A in chain.maps])
    Step("the local rule", chain.energy, right, differentiate(*chain.maps))
    for wrong in (-right, right / 2):
        with pytest.raises(ValueError, match="Step `the local rule`"):
            Step("the local rule", chain.energy, wrong, differentiate(*chain.maps))
