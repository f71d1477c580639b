"""Derivations of origin, critical points, saddles, balance and trust region, against dense numbers."""

import numpy as np
import pytest
import sympy as sp
from symbolic_oracle import (
    at,
    central_gradient,
    central_hessian,
    chain_values,
    dense_chain,
    network_at,
    rationals,
)
from tolerances import assert_close

from pctheory.symbolic import Chain, Network, Step, derivations, derive
from pctheory.symbolic.balance import MOMENTS, batch, equilibrated
from pctheory.symbolic.means import sign
from pctheory.symbolic.origin import second_moments
from pctheory.symbolic.rules import substitute

XX, XY, YY = MOMENTS


def every(claim):
    return pytest.mark.parametrize("case", derivations(claim), ids=str)


def network_of(case, **options):
    """The network that a case with widths speaks of."""
    return Network(case["widths"], skips=case.get("skips", False), **options)


ORIGINS = [
    {"widths": (2, 2, 2), "skips": False},
    {"widths": (1, 1, 1, 1), "skips": False},
    {"widths": (1, 1, 1, 1), "skips": True},
    {"widths": (2, 2, 2, 2), "skips": True},
]


def batch_moments(rng, network, samples=3):
    """Data of a few samples, and the numbers of their second moments."""
    x, y = rng.normal(size=(samples, network.widths[0])), rng.normal(size=(samples, network.widths[-1]))
    data = dict(zip([*network.x, *network.y], np.hstack([x, y]).T, strict=True))
    moments = {}
    for product, mean in second_moments(network).items():
        one, other = sorted(product.free_symbols, key=str) if product.is_Mul else [product.base] * 2
        moments[mean] = float(np.mean(data[one] * data[other]))
    return x, y, moments


def mean_of(value, network, x, y, scales):
    """The mean over the batch of a value of `Dense`, as a function of the flat weights."""

    numbers = [float(scales[a]) for a in network.scales]

    def function(flat):
        return np.mean([value(network_at(network, flat, a, b, numbers)) for a, b in zip(x, y, strict=True)])

    return function


def loss(dense):
    output = dense.x
    for A in dense.maps:
        output = A @ output
    return 0.5 * float(np.sum((dense.y - output) ** 2))


@pytest.mark.claim("origin-hessian-loss")
@every("origin-hessian-loss")
def test_at_the_origin_the_loss_has_the_cross_block_at_most(case):
    assert case.derive().claim == case.claim == "origin-hessian-loss"


@pytest.mark.claim("origin-hessian-energy")
@every("origin-hessian-energy")
def test_at_the_origin_the_energy_has_the_target_covariance_in_its_last_block(case):
    assert case.derive().claim == case.claim == "origin-hessian-energy"


@pytest.mark.claim("origin-hessian-loss")
@pytest.mark.parametrize("case", ORIGINS, ids=str)
def test_the_hessian_of_the_loss_at_the_origin_meets_differences(case, rng):
    proof = derive("origin-hessian-loss", **case)
    network = network_of(case, multipliers=True)
    x, y, moments = batch_moments(rng, network)
    scales = rationals(rng, network.scales)
    hessian = central_hessian(mean_of(loss, network, x, y, scales), np.zeros(len(network.weights)))
    label = "mean Hessian" if any(step.label == "mean Hessian" for step in proof.steps) else "Hessian"
    closed = at(proof[label].after, moments | scales)
    np.testing.assert_allclose(closed, hessian, atol=1e-7 * (1 + np.abs(hessian).max()))


@pytest.mark.claim("origin-hessian-energy")
@pytest.mark.parametrize("case", ORIGINS, ids=str)
def test_the_hessian_of_the_energy_at_the_origin_meets_differences_and_has_the_stated_eigenvalues(case, rng):
    network = network_of(case, multipliers=True)
    x, y, moments = batch_moments(rng, network)
    scales = rationals(rng, network.scales)
    energy = mean_of(lambda dense: dense.energy, network, x, y, scales)
    hessian = central_hessian(energy, np.zeros(len(network.weights)))
    closed = at(derive("origin-hessian-energy", **case)["mean Hessian"].after, moments | scales)
    np.testing.assert_allclose(closed, hessian, atol=1e-7 * (1 + np.abs(hessian).max()))
    eigenvalues = np.linalg.eigvalsh(closed)
    assert eigenvalues[0] < 0  # a strict saddle as soon as some target is not zero
    if not network.skips and network.depth > 2:
        a = float(scales[network.scales[-1]])
        block = -(a**2) * np.linalg.eigvalsh(y.T @ y / len(y))
        expected = np.sort(np.concatenate([np.repeat(block, network.widths[-2]), np.zeros(len(closed))]))
        assert_close(eigenvalues, expected[: len(closed)], size=40)


@pytest.mark.claim("origin-hessian-energy")
def test_without_targets_the_origin_is_degenerate():
    hessian = derive("origin-hessian-energy", widths=(1, 1, 1, 1))["mean Hessian"].after
    assert hessian.subs(dict.fromkeys(hessian.free_symbols, 0)).is_zero_matrix


@pytest.mark.claim("zero-rank-saddles")
@every("zero-rank-saddles")
def test_with_a_zero_last_layer_the_last_block_is_known(case, rng):
    network = network_of(case.parameters)
    block = case.derive()["block"].after
    values = rationals(rng, [*network.weights, *network.x, *network.y])
    last = len(list(network.matrices[-1]))
    x, y, weights = (
        [float(values[s]) for s in symbols] for symbols in (network.x, network.y, network.weights)
    )

    def energy(flat):
        return network_at(network, [*weights[:-last], *flat], x, y).energy

    hessian = central_hessian(energy, np.zeros(last))
    closed = at(block, values)
    np.testing.assert_allclose(closed, hessian, atol=1e-6 * (1 + np.abs(hessian).max()) ** 2)


@pytest.mark.claim("zero-rank-saddles")
def test_zero_rank_saddles_are_at_least_as_deep_as_the_origin():
    step = derive("zero-rank-saddles", widths=(1, 1, 1, 1)).steps[-1]
    assert step.rule.name == r"sign $\le 0$"
    with pytest.raises(ValueError, match="visibly"):
        Step("deeper without exception", step.expand(step.before), step.after, sign("<"))


@pytest.mark.claim("balance-law")
@every("balance-law")
def test_the_imbalance_drifts_by_the_hidden_errors(case):
    assert case.derive().claim == case.claim == "balance-law"


@pytest.mark.claim("balance-law")
@pytest.mark.parametrize("depth", range(2, 6))
def test_the_balance_law_meets_differences_of_the_dense_minimum(depth, rng):
    chain = Chain(depth)
    values = chain_values(rng, chain)
    point = np.array([float(values[A]) for A in chain.maps])
    G = central_gradient(
        lambda maps: dense_chain(chain, values | dict(zip(chain.maps, maps, strict=True))).energy, point
    )
    law = point[1:] * G[1:] - G[:-1] * point[:-1]
    dense = dense_chain(chain, values)
    errors = np.array([pi * float(e[0]) ** 2 for pi, e in zip(dense.precisions, dense.errors, strict=True)])
    np.testing.assert_allclose(law, -errors[:-1], atol=1e-7 * (1 + np.abs(G).max()))
    step = derive("balance-law", hidden_layers=depth - 1).steps[1]
    closed = at(step.expand(step.after), values).ravel()
    assert_close(closed, -errors[:-1], size=40, kappa=dense.kappa)


@pytest.mark.claim("critical-points")
@every("critical-points")
def test_critical_points_are_the_stated_ones(case):
    assert case.derive().claim == case.claim == "critical-points"


@pytest.mark.claim("critical-points")
@pytest.mark.parametrize("depth", range(2, 6))
def test_at_the_stated_points_the_gradient_vanishes_and_near_them_it_does_not(depth):
    chain = Chain(depth, unit_precisions=True)
    energy = equilibrated(chain)
    gradient = sp.Matrix([energy.diff(A) for A in chain.maps])
    others = {A: sp.Rational(i + 2, 3) for i, A in enumerate(chain.maps)}
    numbers = {XX: sp.S.One, XY: -sp.S.One, YY: sp.Integer(2)}
    critical = others | {chain.maps[-1]: 0, chain.maps[0]: 0} | numbers
    assert gradient.subs(critical).is_zero_matrix
    for dropped in (chain.maps[-1], chain.maps[0]):  # each of the two conditions is needed
        assert not gradient.subs(critical | {dropped: sp.Rational(1, 5)}).is_zero_matrix
    fit = others | {chain.maps[0]: -1 / chain.product(depth, 1).subs(others)} | numbers | {YY: sp.S.One}
    assert gradient.subs(fit).is_zero_matrix
    assert energy.subs(fit) == 0


@pytest.mark.claim("critical-points")
def test_with_the_residual_balanced_by_hand_a_point_that_is_not_critical_is_refused():
    step = derive("critical-points", hidden_layers=2).steps[2]
    with pytest.raises(ValueError, match="Step"):
        Step("no condition on the first maps", step.before, sp.zeros(3, 1), step.rule, step.where)


@pytest.mark.claim("strict-saddles")
@every("strict-saddles")
def test_critical_points_that_do_not_fit_have_negative_curvature(case):
    assert case.derive().claim == case.claim == "strict-saddles"


@pytest.mark.claim("strict-saddles")
@pytest.mark.parametrize("depth", range(2, 6))
def test_the_curvature_at_a_saddle_meets_differences(depth):
    chain = Chain(depth, unit_precisions=True)
    values = {A: sp.Rational(i + 2, 3) for i, A in enumerate(chain.maps)}
    values |= {chain.maps[0]: sp.S.Zero, XX: sp.S.One, XY: -sp.S.One, YY: sp.Integer(2)}
    del values[chain.maps[-1]]
    energy = sp.lambdify(chain.maps[-1], equilibrated(chain).subs(values))
    step = derive("strict-saddles", hidden_layers=depth - 1)["curvature"]
    h = 1e-3
    curvature = (
        4 * (energy(h) + energy(-h)) / 3 - (energy(2 * h) + energy(-2 * h)) / 12 - 2.5 * energy(0)
    ) / h**2
    assert at(step.after, values) < 0
    assert curvature == pytest.approx(at(step.after, values), rel=1e-6)


@pytest.mark.claim("strict-saddles")
def test_the_counterexample_has_no_second_order_escape_but_a_third_order_one():
    def energy(first, last, xx=2.0, yy=18.0):  # w = 3: w^2 xx = yy, S_xy = 0
        return (yy + first**2 * last**2 * xx) / (2 * (1 + last**2))

    start = energy(3.0, 0.0)
    hessian = central_hessian(lambda point: energy(*point), np.array([3.0, 0.0]))
    np.testing.assert_allclose(hessian, 0.0, atol=1e-6)
    step = derive("strict-saddles", point="zero Hessian").steps[-1]
    for d in (1e-3, 1e-2, 0.5, 5.9):
        drop = at(step.after, _named(step.after, S_xx=2.0, d=d, e=6 - d))
        assert drop > 0
        assert start - energy(3 - d, np.sqrt(d)) == pytest.approx(drop, rel=1e-6, abs=1e-13)
    # with S_xy != 0 the same point is not critical at all
    gradient = sp.Matrix([equilibrated(Chain(2, unit_precisions=True)).diff(A) for A in Chain(2).maps])
    assert not gradient.subs({XX: 2, YY: 18, XY: 1, Chain(2).maps[0]: 3, Chain(2).maps[1]: 0}).is_zero_matrix


def _named(expression, **numbers):
    """Numbers for symbols by name, whatever is assumed of them."""
    return {symbol: numbers[str(symbol)] for symbol in expression.free_symbols}


@pytest.mark.claim("strict-saddles")
def test_the_local_minimum_is_not_global():
    def energy(first, last, xx=2.0, yy=1.0):
        return (yy + first**2 * last**2 * xx) / (2 * (1 + last**2))

    around = [energy(3 + 0.1 * np.cos(t), 0.1 * np.sin(t)) for t in np.linspace(0, 2 * np.pi, 64)]
    assert min(around) >= energy(3.0, 0.0)
    assert energy(0.0, 5.0) < energy(3.0, 0.0)
    assert derive("strict-saddles", point="local minimum").claim == "strict-saddles"


@pytest.mark.claim("flat-minima")
@every("flat-minima")
def test_at_a_fit_the_energy_is_flatter_than_the_loss(case, rng):
    proof = case.derive()
    if "hidden_layers" in case.parameters:
        chain = Chain(case.parameters["hidden_layers"] + 1, unit_precisions=True)
        values = chain_values(rng, chain) | {XX: sp.Rational(3, 2)}
        whole = chain.P(0).subs(values)
        values |= {XY: whole * values[XX], YY: whole**2 * values[XX]}
        function = sp.lambdify(chain.maps, equilibrated(chain).subs({m: values[m] for m in MOMENTS}))
        point = np.array([float(values[A]) for A in chain.maps])
        hessian = central_hessian(lambda maps: function(*maps), point, step=1e-3 * np.abs(point).min())
        closed = at(proof["flat"].expand(proof["flat"].after), values)
        np.testing.assert_allclose(closed, hessian, atol=1e-5 * (1 + np.abs(hessian).max()) ** 2)
    else:
        network = network_of(case.parameters)
        values = rationals(rng, [*network.weights, *network.x])
        target = (network.product(network.depth, 0) * network.x).subs(values)
        values |= dict(zip(network.y, target, strict=True))
        x, y, point = (
            [float(values[s]) for s in symbols] for symbols in (network.x, network.y, network.weights)
        )
        hessian = central_hessian(lambda flat: network_at(network, flat, x, y).energy, point)
        closed = at(proof.result, values)
        np.testing.assert_allclose(closed, hessian, atol=1e-5 * (1 + np.abs(hessian).max()) ** 2)


@pytest.mark.claim("flat-minima")
def test_off_the_fit_the_curvatures_are_not_proportional():
    step = derive("flat-minima", hidden_layers=1)["flat"]
    with pytest.raises(ValueError, match="Step"):
        Step(
            "without the fit", step.before, step.expand(step.after), substitute({XY: sp.S.One, YY: sp.S.One})
        )


@pytest.mark.claim("tr-toy")
@every("tr-toy")
def test_one_hidden_unit_is_less_attracted_and_more_repelled(case, rng):
    proof = case.derive()
    for x, y in rng.normal(size=(5, 2)):
        energy = np.linalg.eigvalsh([[0, -x * y], [-x * y, -(y**2)]])
        stated = proof["eigenvalues"].after
        closed = at(stated, _named(stated, x=x, y=y))
        assert_close(np.sort(closed.ravel()), energy, size=40)
        assert energy[0] < -abs(x * y) < 0 < energy[1] < abs(x * y)
    np.testing.assert_allclose(at(proof.result, {}), [[0.6180339887498949, -1.618033988749895]], rtol=1e-15)
    assert [step.rule.name for step in proof.steps].count("sign $> 0$") == 3


@pytest.mark.claim("tr-weights")
@every("tr-weights")
def test_the_first_weight_of_one_unit_has_the_rescaled_gradient_exactly(case, rng):
    proof = case.derive()
    chain = Chain(2, unit_precisions=True)
    values = chain_values(rng, chain)
    point = np.array([float(values[A]) for A in chain.maps])
    slope = central_gradient(
        lambda maps: dense_chain(chain, values | dict(zip(chain.maps, maps, strict=True))).energy, point
    )
    closed = [at(step.expand(step.after), values) for step in (proof["first"], proof["second"])]
    np.testing.assert_allclose(closed, slope, atol=1e-7 * (1 + np.abs(slope).max()))


@pytest.mark.claim("tr-expansion")
@every("tr-expansion")
def test_the_energy_is_its_own_quadratic_model_in_the_activities(case, rng):
    chain = Chain(case.parameters["hidden_layers"] + 1)
    values = chain_values(rng, chain)
    dense = dense_chain(chain, values)
    K, b = dense.system
    forward = np.array([at(chain.Q(layer) * chain.x, values) for layer in range(1, chain.depth)])
    step = np.linalg.solve(dense.hessian, K.T @ (b - K @ forward))
    assert_close(at(case.derive().result, values).ravel(), step, size=40, kappa=dense.kappa)


@pytest.mark.claim("tr-radius")
@every("tr-radius")
def test_inference_takes_the_trust_region_step_of_its_own_radius(case, rng):
    proof = case.derive()
    chain = Chain(case.parameters["hidden_layers"] + 1, unit_precisions=True)
    values = chain_values(rng, chain)
    dense = dense_chain(chain, values)
    K, b = dense.system
    forward = np.array([at(chain.Q(layer) * chain.x, values) for layer in range(1, chain.depth)])
    slope = K.T @ (K @ forward - b)
    squared = slope @ np.linalg.solve(dense.hessian, slope)
    assert_close(at(proof["squared radius"].after, values), np.array(squared), size=40, kappa=dense.kappa)
    assert_close(
        2 * (loss(dense) - dense.energy), np.array(squared), size=40, kappa=dense.kappa, scale=loss(dense) + 1
    )


@pytest.mark.claim("strict-saddles")
def test_the_mean_squared_residual_in_the_moments_is_that_of_the_samples(rng):
    chain = Chain(3, unit_precisions=True)
    x, y = rng.normal(size=(2, 5))
    values = dict(zip(chain.maps, rng.normal(size=3), strict=True))
    whole = float(np.prod(list(values.values())))
    moments = {XX: np.mean(x * x), XY: np.mean(x * y), YY: np.mean(y * y)}
    squared, cross = (at(value, values | moments) for value in batch(chain))
    assert squared == pytest.approx(np.mean((y - whole * x) ** 2), rel=1e-12)
    assert cross == pytest.approx(np.mean((y - whole * x) * x), rel=1e-12)
