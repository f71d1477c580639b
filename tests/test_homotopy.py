"""Precisions that change along training: no schedule is faster than 4 (L - 3) log 1/d, and one attains it."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import networks, seeds

from pctheory import Data, EquilibratedEnergy, LinearPCN, MSELoss, equilibrium
from pctheory.dynamics import (
    KeepRescaling,
    best_precision,
    chain_flow,
    chain_rates,
    fastest_time,
    homotopy_flow,
    homotopy_time,
)

pytestmark = pytest.mark.claim("precision-homotopy")


def widths(depth):
    return (1,) * (depth + 1)


@settings(max_examples=40)
@given(networks(min_depth=2, precisions=False), seeds, st.floats(0.3, 5.0))
def test_raising_the_precision_raises_the_energy_by_that_of_the_hidden_layers_and_not_the_loss(net, seed, pi):
    rng = np.random.default_rng(seed)
    data = Data(rng.standard_normal((3, net.widths[0])), rng.standard_normal((3, net.widths[-1])))

    def at(factor):
        return net.replace(precisions=[factor * pi] * (net.depth - 1) + [1.0])

    settled = equilibrium(at(1.0), data)
    hidden = sum(0.5 * pi * np.sum(e**2) for e in settled.errors[:-1]) / 3
    pulled = np.linalg.solve(settled.rescaling, settled.residual.T).T
    form = 0.5 * np.sum(pulled * (pulled @ (settled.rescaling - np.eye(net.widths[-1])))) / 3
    assert form == pytest.approx(hidden, rel=1e-8, abs=1e-12 * (1 + float(MSELoss(data).value(net))))
    step = 1e-4
    energies = [float(EquilibratedEnergy(data).value(at(math.exp(s * step)))) for s in (1, -1)]
    slope = (energies[0] - energies[1]) / (2 * step)
    assert slope == pytest.approx(hidden, rel=1e-6, abs=1e-10 * (1 + energies[0]))
    assert hidden >= 0
    assert float(MSELoss(data).value(at(2.0))) == float(MSELoss(data).value(at(1.0)))


@pytest.mark.parametrize(
    ("depth", "times"),
    [(4, (5e7, 159, 37.5)), (5, (3.3e11, 2734, 72.0)), (6, (2.5e15, 74850, 106.1))],
)
def test_the_times_at_small_weights(depth, times):
    found = (
        chain_flow(widths(depth), 1e-4, objective="loss").escape_time,
        chain_flow(widths(depth), 1e-4).escape_time,
        homotopy_flow(widths(depth), 1e-4).escape_time,
    )
    np.testing.assert_allclose(found, times, rtol=0.02)


@pytest.mark.parametrize("depth", [4, 5, 6])
def test_keeping_the_rescaling_at_two_attains_the_bound(depth):
    ratios = [
        homotopy_flow(widths(depth), scale, rtol=1e-8).escape_time / fastest_time(widths(depth), scale)
        for scale in (1e-64, 1e-128)
    ]
    assert abs(ratios[1] - 1) < abs(ratios[0] - 1) < 0.02
    np.testing.assert_allclose(ratios[0], {4: 1.017, 5: 1.004, 6: 1.001}[depth], atol=6e-4)
    assert homotopy_time(widths(depth), 1e-64) == fastest_time(widths(depth), 1e-64)


@pytest.mark.parametrize("rescaling", [1.3, 3.0, 6.0])
def test_another_rescaling_costs_its_factor(rescaling):
    rule = KeepRescaling(rescaling)
    flow = homotopy_flow(widths(5), 1e-64, rule, rtol=1e-8)
    np.testing.assert_allclose(flow.rescalings, rescaling, rtol=1e-9)
    assert flow.escape_time == pytest.approx(homotopy_time(widths(5), 1e-64, rule), rel=0.02)
    factor = rescaling**2 / (4 * (rescaling - 1))
    assert homotopy_time(widths(5), 1e-64, rule) == pytest.approx(
        factor * fastest_time(widths(5), 1e-64), rel=1e-12
    )


@pytest.mark.parametrize("signal", [0.5, 3.0])
@pytest.mark.parametrize("depth", [3, 4, 5])
def test_the_formula_holds_for_every_signal(depth, signal):
    off = []
    for scale in (1e-8, 1e-64):
        flow = homotopy_flow(widths(depth), scale, signal=signal, rtol=1e-8)
        off.append(abs(flow.escape_time / homotopy_time(widths(depth), scale, signal=signal) - 1))
    assert off[1] < min(off[0], {3: 0.1, 4: 0.05, 5: 0.01}[depth])


@pytest.mark.parametrize("floor", [1.0, 10.0])
def test_a_least_precision_adds_its_own_escape_of_the_last_layer(floor):
    rule = KeepRescaling(floor=floor)
    for depth in (4, 5):
        flow = homotopy_flow(widths(depth), 1e-64, rule, rtol=1e-8)
        assert flow.precisions.min() == floor
        assert flow.escape_time == pytest.approx(homotopy_time(widths(depth), 1e-64, rule), rel=0.02)


def random_rule(seed):
    """A schedule that jumps between precisions over many decades with the state, and to backprop at times."""
    rng = np.random.default_rng(seed)
    steps = np.exp(rng.uniform(-8, 12, 6))
    edges = np.sort(rng.uniform(0, 1, 5))
    keep = KeepRescaling(1 + np.exp(rng.uniform(-1.5, 1.5)))

    def rule(logs):
        part = np.clip(1 + logs.sum() / (len(logs) * 16 * math.log(10)), 0, 1)
        chosen = steps[np.searchsorted(edges, part)]
        return float(chosen) if seed % 2 else keep(logs) * float(np.clip(chosen, 0.1, 10))

    return rule


@pytest.mark.parametrize("depth", [4, 5])
@pytest.mark.parametrize("seed", range(6))
def test_no_schedule_is_faster(depth, seed):
    scale = 1e-16
    best = homotopy_flow(widths(depth), scale).escape_time
    other = homotopy_flow(widths(depth), scale, random_rule(seed), rtol=1e-7).escape_time
    assert other > best * (1 - 1e-3)
    assert other > 0.97 * fastest_time(widths(depth), scale)


def test_the_proof_in_numbers_the_layers_cannot_fall_faster_than_at_a_rescaling_of_two():
    """The rate of sum log x_l over the small layers 3..L-1 is at most 2 (s - 1) / s^2 <= 1/2, plus what the
    product adds.
    """
    rng = np.random.default_rng(0)
    for _ in range(300):
        depth = int(rng.integers(4, 8))
        logs = np.sort(rng.uniform(-12, 2, depth))
        pi = math.exp(rng.uniform(-20, 10))
        rates = 2 * chain_rates(logs, pi)
        direct = 2 * chain_rates(logs, objective="loss")
        products = np.cumsum(logs[::-1])[::-1]
        s = 1 + np.exp(2 * products[1:]).sum() / pi
        small = [l for l in range(3, depth) if 2 * logs[l - 1] < -6]
        total = sum(rates[l - 1] - direct[l - 1] / s for l in small)
        largest = max((math.exp(2 * logs[l - 1]) for l in small), default=0.0)
        rho = 1 - math.exp(products[0])
        assert total <= rho**2 * 2 * (s - 1) / s**2 / (1 - largest) * (1 + 1e-9)
        assert 2 * (s - 1) / s**2 <= 0.5


def falling(depth3_scale):
    """The best rule of three weights: w_3 = h s (2 - s), and backprop from s = 1 on."""
    h = (math.log(1 / depth3_scale) / 2.4) ** (1 / 3)

    def rule(logs):
        y = math.exp(logs[-1]) / h
        if y >= 1:
            return math.inf
        return KeepRescaling(1 + math.sqrt(1 - y))(logs)

    return rule


def test_for_three_weights_predictive_coding_and_then_backprop_is_best():
    """At 1e-16 the ratio to log^(2/3) is 1.93, 2.00 and 2.42 for the best rule, one switch, and s = 2
    throughout, on the way to 2.008, 2.080 and 2.621.
    """
    scale = 1e-16
    log_inverse = math.log(1 / scale)
    switch = (0.75 * math.sqrt(2) * log_inverse) ** (2 / 3)

    def one(logs):
        return math.inf if math.exp(2 * logs[-1]) > switch / 2 else KeepRescaling()(logs)

    found = [
        homotopy_flow(widths(3), scale, rule, rtol=1e-7).escape_time
        for rule in (falling(scale), one, KeepRescaling())
    ]
    assert found[0] < found[1] < found[2]
    np.testing.assert_allclose(np.array(found) / log_inverse ** (2 / 3), (1.932, 2.004, 2.419), atol=3e-3)
    assert found[0] == pytest.approx(fastest_time(widths(3), scale), rel=0.05)
    assert found[2] == pytest.approx(homotopy_time(widths(3), scale), rel=0.09)
    constant = chain_flow(widths(3), scale, best_precision(widths(3), scale)).escape_time
    assert constant > 4 * found[2]


def test_the_constant_of_three_weights():
    """Minimise the time of q' = 2 (u - u^2), m' = u sqrt q over u = 1/s, at its optimum."""
    u = np.linspace(0.5, 1, 20001)
    root, slope = (2 * u - 1) / u**2, 2 * (2 * u - 1) / u**6  # of h = 1: sqrt q, dt / du
    time = np.trapezoid(slope, u) + 1.0
    grown = np.trapezoid(root * u * slope, u) + 1.0
    assert time == pytest.approx(3.6, rel=1e-6)
    assert grown == pytest.approx(2.4, rel=1e-6)
    assert fastest_time(widths(3), math.exp(-10.0)) == pytest.approx(time * (10 / grown) ** (2 / 3), rel=1e-6)


@pytest.mark.parametrize("signal", [0.5, 1.0, 3.0])
def test_the_formulas_as_they_are_printed(signal):
    strength, squared = 10.0, signal**2
    scale = math.exp(-strength)
    for depth in (4, 7):
        bound = 4 * (depth - 3) * strength / squared
        assert fastest_time(widths(depth), scale, signal=signal) == pytest.approx(bound, rel=1e-12)
        rule = KeepRescaling(3.0, floor=0.5)
        kept = 4.5 * (depth - 3) * strength / squared + 0.5 * strength / squared
        assert homotopy_time(widths(depth), scale, rule, signal=signal) == pytest.approx(kept, rel=1e-12)
    three = 18 / 5 * (5 * strength / (12 * squared)) ** (2 / 3)
    assert fastest_time(widths(3), scale, signal=signal) == pytest.approx(three, rel=1e-12)
    kept = (3 * math.sqrt(2) * strength / squared) ** (2 / 3)
    assert homotopy_time(widths(3), scale, signal=signal) == pytest.approx(kept, rel=1e-12)


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="`rescaling` must be above 1"):
        KeepRescaling(1.0)
    with pytest.raises(ValueError, match="`floor`"):
        KeepRescaling(floor=-1.0)
    with pytest.raises(ValueError, match="`scale` must be at least 1e-140"):
        homotopy_flow(widths(4), 1e-200)
    with pytest.raises(ValueError, match="`fraction` must be below 1"):
        homotopy_flow(widths(4), 1e-4, fraction=1.0)
    with pytest.raises(ValueError, match="`net` must have 3 weights"):
        fastest_time((1, 1, 1), 1e-4)
    assert "4 weights to time" in repr(homotopy_flow(LinearPCN([[[0.1]]] * 4), 1e-4))
