"""Learned precisions against dense Gaussian algebra, differences and the laws of both rules."""

from itertools import pairwise

import numpy as np
import pytest
from figure_checks import drawn, quick
from hypothesis import given
from oracles import dense_maps, dense_precisions
from strategies import networks, seeds
from tolerances import assert_close

from experiments import learned_precision
from figures import learned_precision as precision_figure
from pctheory import Data, EquilibratedEnergy, LinearPCN, NegativeLogLikelihood, equilibrium
from pctheory.inference import output_products, rescaling
from pctheory.learning import precision_gradient, update_precisions

pytestmark = pytest.mark.claim("precision-learning")


def samples(net, seed, count=6):
    rng = np.random.default_rng(seed)
    return Data(rng.standard_normal((count, net.widths[0])), rng.standard_normal((count, net.widths[-1])))


def posterior_moments(net, data):
    """<E[eps_l eps_l^T]> by conditioning the joint Gaussian of all errors on y: dense, without S."""
    maps, precisions = dense_maps(net), dense_precisions(net)
    covariance = [np.linalg.inv(p) for p in precisions]
    sizes = [len(c) for c in covariance]
    joint = np.zeros((sum(sizes), sum(sizes)))
    ends = np.cumsum([0, *sizes])
    for c, a, b in zip(covariance, ends, ends[1:], strict=False):
        joint[a:b, a:b] = c
    reads, forward = [], np.eye(sizes[-1])
    for matrix in maps[:0:-1]:
        reads.append(forward)
        forward = forward @ matrix
    reads.append(forward)
    reader = np.hstack(reads[::-1])
    marginal = reader @ joint @ reader.T
    gain = joint @ reader.T @ np.linalg.inv(marginal)
    after = joint - gain @ reader @ joint
    r = data.y - data.x @ (forward @ maps[0]).T
    means = r @ gain.T
    second = means.T @ means / len(r) + after
    return [second[a:b, a:b] for a, b in pairwise(ends)]


@given(net=networks(max_depth=4, max_width=4), seed=seeds)
def test_an_em_update_is_the_posterior_second_moment_of_the_errors_and_the_gradient_its_excess(net, seed):
    data = samples(net, seed)
    kappa = np.linalg.cond(np.asarray(rescaling(net)))
    exact = posterior_moments(net, data)
    for p, gradient, moment in zip(net.precisions, precision_gradient(net, data), exact, strict=True):
        sigma = np.linalg.inv(p.matrix(np.eye(1)))
        scale = float(np.max(np.abs(moment))) + float(np.max(sigma))
        assert_close(gradient, (moment - sigma) / 2, size=4096, kappa=kappa, scale=scale)


@pytest.mark.parametrize("shape", ["matrix", "diagonal", "number"])
def test_the_new_covariances_are_the_posterior_second_moments_of_their_shape(shape):
    net = LinearPCN.random((3, 4, 2, 3), rng=1, precisions=[2.0, np.array([0.5, 3.0]), None])
    data = samples(net, 0)
    keep = {
        "matrix": lambda m: m,
        "diagonal": lambda m: np.diag(np.diag(m)),
        "number": lambda m: np.eye(len(m)) * np.trace(m) / len(m),
    }[shape]
    found = update_precisions(net, data, shape=shape)
    for p, moment in zip(found.precisions, posterior_moments(net, data), strict=True):
        new = np.linalg.inv(p.matrix(np.eye(1)))
        np.testing.assert_allclose(new, keep(moment), atol=1e-12 * np.max(moment))


@pytest.mark.parametrize("layer", [1, 2, 3])
def test_the_gradient_is_that_of_the_likelihood(layer):
    rng = np.random.default_rng(layer)
    net = LinearPCN.random((3, 4, 2, 3), rng=1)
    matrices = [m @ m.T + np.eye(len(m)) for m in (rng.standard_normal((n, n)) for n in net.widths[1:])]
    net, data = net.replace(precisions=matrices), samples(net, 0)
    change = rng.standard_normal(matrices[layer - 1].shape)
    change, h = change + change.T, 1e-6

    def value(t):
        moved = [m + (t * change if l == layer else 0) for l, m in enumerate(matrices, start=1)]
        return float(NegativeLogLikelihood(data).value(net.replace(precisions=moved)))

    found = np.trace(precision_gradient(net, data)[layer - 1] @ change)
    assert found == pytest.approx((value(h) - value(-h)) / (2 * h), rel=1e-7)


@pytest.mark.parametrize("shape", ["matrix", "diagonal", "number"])
def test_em_never_raises_the_likelihood_and_rests_where_its_gradient_vanishes(shape):
    net = LinearPCN.random((2, 3, 2), rng=4)
    data = samples(net, 1, count=40)
    values = []
    for _ in range(300):
        values.append(float(NegativeLogLikelihood(data).value(net)))
        net = update_precisions(net, data, shape=shape)
    assert all(np.diff(values) <= 1e-12)
    assert values[-1] < values[0] - 1e-3
    pick = {"matrix": lambda g: g, "diagonal": np.diag, "number": np.trace}[shape]
    for p, g in zip(net.precisions, precision_gradient(net, data), strict=True):
        assert np.max(np.abs(pick(g))) <= 1e-4 / p.extremes[0]


def test_with_the_output_precision_learned_the_least_likelihood_is_that_of_the_residual_noise():
    """Also where the noise is smaller than what a precision of 1 assumes."""
    result = quick(learned_precision)
    data = learned_precision.no_minimiser.chain_data(0.5)
    best = LinearPCN([[[1.0]], [[0.1]]], precisions=[1.0, 1 / 0.49]).replace(weights=[[[10.0]], [[0.1]]])
    value = float(NegativeLogLikelihood(data).value(best))
    assert value == pytest.approx(0.5 + 0.5 * np.log(0.5), rel=1e-14)
    assert max(np.max(np.abs(g)) for g in NegativeLogLikelihood(data).gradient(best)) <= 1e-14
    assert max(np.max(np.abs(g)) for g in precision_gradient(best, data)) <= 1e-14
    for column in result["columns"].values():
        ends = {rule: column[rule]["likelihood"][-1] for rule in ("fixed", "likelihood")}
        assert -1e-9 <= ends["likelihood"] < ends["fixed"]


def test_each_update_by_mean_squared_errors_squares_the_ratios_of_the_shares():
    rng = np.random.default_rng(0)
    net = LinearPCN([rng.standard_normal((1, 2))] + [rng.standard_normal((1, 1)) for _ in range(3)])
    net = net.replace(precisions=[1.3, 0.7, 2.0, 0.9])
    data = Data(rng.standard_normal((5, 2)), rng.standard_normal((5, 1)))

    def shares(net):
        parts = [
            p.item() ** 2 / float(np.ravel(q.value)[0])
            for p, q in zip(output_products(net)[1:], net.precisions, strict=True)
        ]
        return np.array(parts) / np.sum(parts)

    before = shares(net)
    square = float(np.mean((equilibrium(net, data).residual) ** 2))
    for _ in range(4):
        old = shares(net)
        net = update_precisions(net, data, rule="map")
        new = old**2 / np.sum(old**2)
        np.testing.assert_allclose(shares(net), new, rtol=1e-10)
        assert float(rescaling(net)[0, 0]) == pytest.approx(square * np.sum(old**2), rel=1e-10)
    assert np.argmax(shares(net)) == np.argmax(before)


def test_the_energy_with_its_normalisation_has_no_lower_bound_where_the_likelihood_has():
    net = LinearPCN.random((2, 3, 2), rng=4)
    data = samples(net, 1, count=40)
    energies, likelihoods = [], []
    for exponent in range(0, 9, 2):
        far = net.replace(precisions=[10.0**exponent, 1.0])
        energies.append(float(EquilibratedEnergy(data).value(far)) - 0.5 * 3 * np.log(10.0**exponent))
        likelihoods.append(float(NegativeLogLikelihood(data).value(far)))
    assert all(np.diff(energies) < -1)
    assert np.ptp(likelihoods) < 1


def test_the_figure_shows_flows_iterations_and_the_law():
    result = quick(learned_precision)
    network = result["columns"]["network"]
    shown = [network["likelihood"]["last"][1:], network["fixed"]["last_precision"][1:]]
    shown += [precision_figure.law(np.asarray(result["iterations"]["map"]["shares"]))[0]]
    drawn(precision_figure, result, panels=len(result["columns"]) + 3, shown=shown)
    assert float(precision_figure.numbers(result)["law"]) < 1e-12


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rule": "mean"}, "`rule` must be one of 'em', 'map'"),
        ({"shape": "scalar"}, "`shape` must be one of 'matrix', 'diagonal', 'number'"),
        ({"layers": [3]}, "`layers` must be numbers from 1 to 2"),
        ({"rule": "map"}, "`rule` must leave errors in every direction of layer 1"),
    ],
)
def test_a_wrong_choice_is_answered_in_one_sentence(options, message):
    net = LinearPCN.random((2, 3, 1), rng=0)
    with pytest.raises(ValueError, match=message):
        update_precisions(net, samples(net, 0), **options)


def test_layers_that_do_not_learn_keep_their_precision():
    net = LinearPCN.random((2, 3, 2), rng=0, precisions=[2.0, 3.0])
    found = update_precisions(net, samples(net, 0), layers=[2])
    assert found.precisions[0].value == 2.0
    assert found.precisions[1].value.shape == (2, 2)
