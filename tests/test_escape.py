"""The escape from small weights: the times of the flow, the steps of descent, dense networks, noise at a
bottleneck.
"""

import math
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import brentq

from pctheory import Data, EquilibratedEnergy, LinearPCN, MSELoss, gradient_descent, gradient_flow
from pctheory.dynamics import (
    best_precision,
    chain_flow,
    crossing_time,
    escape_constant,
    escape_profile,
    escape_time,
    fewest_loss_steps,
    inflation,
)

UNIT = Data([[1.0]], [[1.0]])
SCALES = [Decimal("1e-6"), Decimal("1e-60"), Decimal("1e-3000")]
ESCAPE = pytest.mark.claim("escape-time")
STEPS = pytest.mark.claim("escape-steps")
TRAP = pytest.mark.claim("escape-trap")


def widths(depth):
    return (1,) * (depth + 1)


def chain(depth, scale, precision=1.0):
    return LinearPCN([[[scale]]] * depth, precisions=[precision] * (depth - 1) + [1.0])


def log_inverse(scale):
    return float(-Decimal(scale).ln())


# ---- the flow ----------------------------------------------------------------------------------------------


@ESCAPE
@pytest.mark.parametrize("depth", range(4, 10))
def test_the_constant_is_its_integral(depth):
    integral, _ = quad(lambda u: np.prod([u + j for j in range(depth - 3)]), 0, 1, epsabs=0, epsrel=1e-13)
    assert math.isclose(escape_constant(depth), 2 ** (depth - 3) * integral, rel_tol=1e-13)


def test_the_constants_are_exact():
    assert [escape_constant(depth) for depth in (4, 5, 6)] == [1, Fraction(10, 3), 18]


@ESCAPE
@pytest.mark.parametrize("objective", ["energy", "loss"])
@pytest.mark.parametrize(("depth", "precision", "signal"), [(3, 1.0, 1.0), (4, 2.5, 0.7), (5, 1.3, 2.0)])
def test_the_chain_in_logarithms_is_the_gradient_flow_of_the_objective(depth, precision, signal, objective):
    data, scale = Data([[1.0]], [[signal]]), 0.1
    net = chain(depth, scale, precision)
    fast = chain_flow(net, scale, precision, signal=signal, objective=objective)
    rule = EquilibratedEnergy(data) if objective == "energy" else MSELoss(data)
    slow = gradient_flow(rule, net, [0.0, fast.escape_time], method="DOP853", rtol=1e-13, atol=1e-14)
    np.testing.assert_allclose(np.log(slow.weights[-1]), fast.log_weights[-1], atol=2e-8, rtol=0)


@ESCAPE
@pytest.mark.parametrize("precision", [1.0, "best"])
@pytest.mark.parametrize("depth", range(3, 9))
def test_the_time_of_escape_on_the_energy_approaches_the_formula_as_the_weights_shrink(depth, precision):
    off = []
    for scale in SCALES:
        pi = best_precision(widths(depth), scale) if precision == "best" else precision
        measured = chain_flow(widths(depth), scale, pi).escape_time
        off.append(abs(math.log(measured / escape_time(widths(depth), scale, pi))))
    assert off[0] > 1.5 * off[1] > 1.5**2 * off[2]
    assert off[2] < {3: 0.04, 4: 0.075}.get(depth, 0.006)  # of the order of Lambda^(-1/3) up to depth 4


@ESCAPE
@pytest.mark.parametrize(
    ("depth", "expected"),
    [
        (3, (1.153, 1.048, 1.012)),
        (4, (1.725, 1.286, 1.072)),
        (5, (1.042, 1.0095, 1.0004)),
        (6, (0.687, 0.955, 0.9987)),
    ],
)
def test_at_unit_precision_the_last_term_alone_leads(depth, expected):
    ratios = []
    for scale in SCALES:
        lead = escape_time(widths(depth), scale) - log_inverse(scale)
        ratios.append(chain_flow(widths(depth), scale).escape_time / lead)
    np.testing.assert_allclose(ratios, expected, atol=6e-4)


@ESCAPE
@pytest.mark.parametrize("power", [1, 2, 3])
@pytest.mark.parametrize("depth", [3, 4, 5, 6])
def test_the_formula_holds_at_precisions_up_to_powers_of_the_logarithm(depth, power):
    off = []
    for scale in SCALES[1:]:
        pi = log_inverse(scale) ** power
        measured = chain_flow(widths(depth), scale, pi).escape_time
        off.append(abs(measured / escape_time(widths(depth), scale, pi) - 1))
    assert off[1] < min(off[0], 0.01)


@ESCAPE
@pytest.mark.parametrize("precision", [1.0, "best"])
@pytest.mark.parametrize("signal", [0.5, 3.0])
@pytest.mark.parametrize("depth", [3, 4, 5])
def test_the_formula_holds_for_every_signal(depth, signal, precision):
    off = []
    for scale in SCALES:
        best = best_precision(widths(depth), scale, signal=signal)
        pi = best if precision == "best" else precision
        measured = chain_flow(widths(depth), scale, pi, signal=signal).escape_time
        off.append(abs(math.log(measured / escape_time(widths(depth), scale, pi, signal=signal))))
    assert off[0] > off[1] > off[2]
    # the next order at depth 4 is of size (signal^4 / Lambda)^(1/3)
    assert off[2] < {3: 0.08, 4: 0.3 if signal > 1 else 0.03, 5: 0.0015}[depth]


@ESCAPE
@pytest.mark.parametrize("depth", range(3, 8))
def test_the_best_precision_is_the_shortest_of_the_formula_and_of_the_flow(depth):
    scale = SCALES[-1]
    best = best_precision(widths(depth), scale)
    for time in (
        lambda pi: escape_time(widths(depth), scale, pi),
        lambda pi: chain_flow(widths(depth), scale, pi).escape_time,
    ):
        assert time(best) < min(time(best / 1.5), time(1.5 * best))
    # stationary: the two terms are equal
    half = best * log_inverse(scale)
    assert math.isclose(escape_time(widths(depth), scale, best), 2 * half, rel_tol=1e-12)


@ESCAPE
@pytest.mark.parametrize("depth", range(3, 7))
def test_on_the_loss_the_time_is_a_power_of_the_size_of_the_weights(depth):
    # all weights stay equal: the time is the integral of w^-(L-1) / (1 - w^L) = w^-(L-1) + w / (1 - w^L)
    end = 2 ** (-1 / depth)
    rest, _ = quad(lambda w: w / (1 - w**depth), 0, end, epsabs=1e-13, epsrel=1e-13)
    for scale in (0.1, 1e-3, 1e-6):
        power = (scale ** -(depth - 2) - end ** -(depth - 2)) / (depth - 2)
        lost, _ = quad(lambda w: w / (1 - w**depth), 0, scale, epsabs=1e-15)
        measured = chain_flow(widths(depth), scale, objective="loss").escape_time
        assert math.isclose(measured, power + rest - lost, rel_tol=1e-8)
        predicted = escape_time(widths(depth), scale, objective="loss")
        assert abs(measured / predicted - 1) < 2 * (depth - 2) * scale ** (depth - 2) + 1e-10


@ESCAPE
@pytest.mark.parametrize("precision", [1.0, 4.0])
@pytest.mark.parametrize("depth", [3, 4, 6])
def test_the_lemmas_of_the_proof_hold_along_the_flow(depth, precision):
    flow = chain_flow(widths(depth), 1e-8, precision)
    squares, logs = np.exp(2 * flow.log_weights), flow.log_weights - math.log(1e-8)
    assert np.all(np.diff(squares, axis=1) >= -1e-9 * squares[:, 1:])  # ordered
    ratio = np.exp(flow.log_weights[:, 1] - flow.log_weights[:, 0])
    assert np.all((ratio > 1 - 1e-9) & (ratio <= 0.25 + math.sqrt(1 + 1 / 16)))
    gaps = np.diff(squares, axis=1)[:, 1:]  # x_{l+1} - x_l for l = 2..L-1
    assert np.all(gaps <= 2 * logs[:, 1:-1] * (1 + 1e-7) + 1e-9)
    early = flow.log_weights[:, 2] < math.log(1e-8) / 2
    if depth > 3:
        np.testing.assert_allclose(gaps[early, 1], 2 * logs[early, 2], rtol=1e-3, atol=1e-3)


@ESCAPE
def test_next_orders_at_depths_3_and_4():
    """Formal: at depth 3 two equations for the square of the last weight, at depth 4 the time of the first
    two weights.
    """
    scale = SCALES[-1]
    big = log_inverse(scale)
    for pi in (1.0, 5.0):
        q = brentq(lambda q, pi=pi: pi * math.sqrt(q) + q**1.5 / 3 + q / 4 - big, 1e-9, 1e6)
        time = pi * (big + math.log(q) / 2 + q / pi + (q / pi) ** 2 / 4)
        assert abs(chain_flow(widths(3), scale, pi).escape_time / time - 1) < 0.005
    correction = 0.5 * 4.5 ** (2 / 3) * big ** (5 / 3)
    assert abs((chain_flow(widths(4), scale).escape_time - big**2) / correction - 1) < 0.01


@ESCAPE
@pytest.mark.parametrize("depth", [5, 6, 7])
def test_the_escape_leaves_top_heavy_weights(depth):
    worst = []
    for scale in SCALES:
        flow = chain_flow(widths(depth), scale)
        squares = np.exp(2 * flow.log_weights[-1])
        profile = escape_profile(widths(depth), scale)
        worst.append(np.max(np.abs(squares - profile)) / log_inverse(scale))
    assert worst[0] > worst[1] > worst[2]
    assert worst[2] < 0.01
    if depth > 5:  # at depth 5 the third weight is of order 1, and at depth 4 it grows
        leading = math.factorial(depth - 3) * (2 * log_inverse(scale)) ** (depth - 3)
        assert abs(flow.rescalings()[-1] / leading - 1) < 0.01
    top = math.exp(2 * flow.log_products()[-1, 3])
    assert abs(top / (math.factorial(depth - 3) * (2 * log_inverse(scale)) ** (depth - 3)) - 1) < 0.01


@ESCAPE
def test_with_two_weights_there_is_no_such_difference():
    """Below three weights the origin repels on the loss too: the time is a logarithm for both."""
    ratios = []
    for scale in (1e-4, 1e-8):
        paths = [
            gradient_flow(rule(UNIT), chain(2, scale), np.linspace(0, 3 * log_inverse(scale), 2000))
            for rule in (EquilibratedEnergy, MSELoss)
        ]
        times = [crossing_time(p.times, 1 - p.weights.prod(axis=1), 0.5) for p in paths]
        ratios.append(times[0] / times[1])
    assert 0.3 < ratios[1] < 1
    with pytest.raises(ValueError, match="`net` must have 3 weights or more"):
        escape_time((1, 1, 1), 1e-6)


@ESCAPE
def test_two_weights_that_start_at_zero_never_leave():
    net = LinearPCN([[[0.0]], [[0.0]], [[0.1]], [[0.1]]])
    path = gradient_flow(EquilibratedEnergy(UNIT), net, [0.0, 1e4])
    assert np.all(path.weights[:, :2] == 0)


@ESCAPE
def test_a_precision_beyond_every_power_of_the_logarithm_loses_the_advantage():
    scale = 1e-4
    loss = chain_flow(widths(4), scale, objective="loss").escape_time
    assert chain_flow(widths(4), scale, scale**-2 * 1e3).escape_time > 0.9 * loss
    assert chain_flow(widths(4), scale, scale**-2 / 1e3).escape_time < 0.05 * loss


# ---- descent in steps --------------------------------------------------------------------------------------


def steps_to(path, tolerance):
    residual = np.abs(1 - path.weights.prod(axis=1))
    return int(np.flatnonzero(residual < tolerance)[0])


@STEPS
@pytest.mark.parametrize("depth", [3, 4, 5])
def test_descent_on_the_energy_at_rates_up_to_one_over_twice_the_depth_stays_below_its_target(depth):
    rate, scale = 1 / (2 * depth), 1e-3
    steps = round(2 * chain_flow(widths(depth), scale).escape_time / rate) + 200
    path = gradient_descent(EquilibratedEnergy(UNIT), chain(depth, scale), rate, min(steps, 20_000))
    product = path.weights.prod(axis=1)
    assert np.all((product > 0) & (product < 1))
    assert np.all(np.diff(path.weights, axis=1) >= -1e-12)
    assert np.all(path.weights[:, 1] <= (0.25 + math.sqrt(1 + 1 / 16)) * path.weights[:, 0])
    time = crossing_time(path.times, 1 - product, 0.5)
    assert abs(time / chain_flow(widths(depth), scale).escape_time - 1) < 0.1


@STEPS
def test_the_steps_on_the_energy_grow_like_a_power_of_the_logarithm():
    for depth, power, scales in ((3, 4 / 3, (1e-2, 1e-4, 1e-6, 1e-8)), (4, 2.0, (1e-2, 1e-4, 1e-6))):
        counts = []
        for scale in scales:
            path = gradient_descent(EquilibratedEnergy(UNIT), chain(depth, scale), 1 / (2 * depth), 4000)
            counts.append(steps_to(path, 0.5) / (2 * depth * log_inverse(scale) ** power))
        assert max(counts) < 2 * escape_time(widths(depth), 1e-2) / log_inverse(1e-2) ** power


@STEPS
@pytest.mark.parametrize(
    ("depth", "rate", "at_most", "loss"), [(3, 2.8, 32, 1.5e6), (4, 11.0, 69, 1e12), (5, 128.0, 276, 8e17)]
)
def test_tens_of_steps_fit_where_the_loss_needs_a_power_of_the_size(depth, rate, at_most, loss):
    path = gradient_descent(EquilibratedEnergy(UNIT), chain(depth, 1e-6), rate, 400)
    assert steps_to(path, 1e-4) <= at_most
    assert fewest_loss_steps(widths(depth), 1e-6) >= 0.99 * loss


@STEPS
@pytest.mark.parametrize(("depth", "scale"), [(3, 0.01), (4, 0.1), (5, 0.2)])
def test_descent_on_the_loss_needs_the_steps_that_are_said_and_no_rate_saves_them(depth, scale):
    bound = fewest_loss_steps(widths(depth), scale)
    fewest = np.inf
    for rate in np.array([1.0, 1.7, 1.98, 2.02, 2.2]) / depth:
        path = gradient_descent(MSELoss(UNIT), chain(depth, scale), rate, round(4 * bound) + 1500)
        if abs(1 - path.weights[-1].prod()) < 1e-6:
            assert rate <= 2 / depth
            fewest = min(fewest, steps_to(path, 0.5))
    assert bound <= fewest < 2 * bound


@STEPS
def test_the_bound_on_the_steps_is_its_formula():
    assert math.isclose(fewest_loss_steps(widths(4), 0.1), 100 - math.sqrt(2), rel_tol=1e-13)
    assert math.isclose(fewest_loss_steps(widths(3), 0.5), 3 - 1.5 * 2 ** (1 / 3), rel_tol=1e-13)


@STEPS
def test_beyond_twice_over_the_depth_descent_on_the_loss_does_not_converge():
    path = gradient_descent(MSELoss(UNIT), chain(3, 0.1), 1.02 * 2 / 3, 3000)
    assert np.min(np.abs(1 - path.weights[-100:].prod(axis=1))) > 1e-3


# ---- dense networks ----------------------------------------------------------------------------------------


def aligned(depth, singular, scale, rng):
    """Data of a map with these singular values, and weights scale times orthogonal that are aligned with
    it.
    """
    size = len(singular)
    bases = [np.linalg.qr(rng.standard_normal((size, size)))[0] for _ in range(depth + 1)]
    x = math.sqrt(size) * bases[0].T
    data = Data(x, x @ (bases[-1] @ np.diag(singular) @ bases[0].T).T)
    return LinearPCN([scale * v @ u.T for u, v in pairwise(bases)]), data


@ESCAPE
@pytest.mark.parametrize("depth", [3, 4])
def test_from_aligned_weights_the_modes_are_chains_of_their_own(depth):
    singular, scale = np.array([2.0, 1.0, 0.6]), 1e-2
    net, data = aligned(depth, singular, scale, np.random.default_rng(depth))
    flows = [chain_flow(widths(depth), scale, signal=s) for s in singular]
    times = [0.0, *sorted(f.escape_time for f in flows)]
    path = gradient_flow(EquilibratedEnergy(data), net, times, method="DOP853", rtol=1e-11, atol=1e-14)
    for flow, value in zip(flows, singular, strict=True):
        row = times.index(flow.escape_time)
        modes = np.linalg.svd(np.linalg.multi_dot(path.network(row).weights[::-1]), compute_uv=False)
        np.testing.assert_allclose(modes[np.argmin(np.abs(modes - value / 2))], value / 2, rtol=1e-6)
    # the energy is the sum of the chains'
    rng = np.random.default_rng(0)
    diagonal = [rng.uniform(0.2, 2, 3) for _ in range(depth)]
    bases = [net.weights[l] / scale for l in range(depth)]
    left = [np.eye(3)]
    for base in bases[::-1]:
        left.insert(0, left[0] @ base)
    # W_l = V_l D_l V_{l-1}^T with V_L = U of the data's map
    v = [np.linalg.svd(data.yx)[0]]
    for base in bases[::-1]:
        v.insert(0, base.T @ v[0])
    dense = net.replace(weights=[v[l + 1] @ np.diag(d) @ v[l].T for l, d in enumerate(diagonal)])
    parts = [
        EquilibratedEnergy(Data([[1.0]], [[s]])).value(LinearPCN([[[d[i]]] for d in diagonal]))
        for i, s in enumerate(singular)
    ]
    assert math.isclose(EquilibratedEnergy(data).value(dense), sum(parts), rel_tol=1e-12)


# ---- noise at a bottleneck ---------------------------------------------------------------------------------


def bottleneck(below, b, noise, signal=1.0, u=0.0, first=0.0):
    """Widths 1-...-1-2, y = (signal x, sqrt(noise) xi) with four samples, last map (u, b), first weight
    `first`.
    """
    x, xi = np.array([1.0, 1.0, -1.0, -1.0]), np.array([1.0, -1.0, 1.0, -1.0])
    data = Data(x[:, None], np.stack([signal * x, math.sqrt(noise) * xi], axis=1))
    weights = [[[first]], *([[w]] for w in below), [[u], [b]]]
    return LinearPCN(weights), data


@TRAP
@pytest.mark.parametrize("seed", range(20))
def test_the_signal_is_trapped_where_the_quadratic_form_is_definite(seed):
    rng = np.random.default_rng(seed)
    below, b = rng.uniform(0.3, 2, rng.integers(1, 4)), rng.uniform(0.5, 3)
    noise, signal = rng.uniform(0.3, 4), rng.uniform(0.5, 1.5)
    net, data = bottleneck(below, b, noise, signal)
    hessian = EquilibratedEnergy(data).hessian(net)
    first, u = 0, net.num_weights - 2
    block = hessian[np.ix_([first, u], [first, u])]
    gain = 1 + sum(np.prod(below[-j:] ** 2) for j in range(1, len(below) + 1))
    g = 1 + gain * b**2
    product = np.prod(below)
    expected = np.array([
        [b**2 * product**2 / g, -signal * product / g],
        [-signal * product / g, gain * (noise * gain * b**2 / g - signal**2) / g],
    ])  # fmt: skip
    np.testing.assert_allclose(block, expected, rtol=1e-11, atol=1e-12)
    others = np.delete(hessian[[first, u]], [first, u], axis=1)
    np.testing.assert_allclose(others, 0, atol=1e-13)  # the plane first = u = 0 is invariant
    definite = gain * b**2 * (noise * gain * b**2 / g - signal**2) > signal**2
    assert (np.linalg.eigvalsh(block)[0] > 0) == definite


@TRAP
@pytest.mark.parametrize("scale", [1e-2, 1e-4])
@pytest.mark.parametrize(("noise", "escapes"), [(0.9, True), (1.1, False)])
def test_more_noise_than_signal_traps_the_signal_behind_a_unit_and_not_behind_two(noise, escapes, scale):
    net, data = bottleneck([scale], scale, noise, u=scale, first=scale)
    rng = np.random.default_rng(0)
    wide = LinearPCN.random((1, 2, 2, 2), init=scale, rng=rng)
    ends = {}
    for name, start in (("unit", net), ("two", wide)):
        path = gradient_flow(EquilibratedEnergy(data), start, [0.0, 300.0, 2e4])
        whole = [np.linalg.multi_dot(path.network(i).weights[::-1])[0, 0] for i in range(len(path.times))]
        ends[name] = whole[-1]
    assert (ends["unit"] > 0.5) == escapes
    assert ends["two"] > 0.5
    loss = gradient_flow(MSELoss(data), net, [0.0, 10 / scale])
    assert np.linalg.multi_dot(loss.network(-1).weights[::-1])[0, 0] > 0.5


@pytest.mark.claim("inflation")
@pytest.mark.parametrize("noise", [0.5, 2.0])
@pytest.mark.parametrize("depth", [2, 3, 4])
def test_after_the_fit_noise_inflates_all_weights_but_the_first(depth, noise):
    x, xi = np.array([1.0, 1.0, -1.0, -1.0]), np.array([1.0, -1.0, 1.0, -1.0])
    data = Data(x[:, None], (x + math.sqrt(noise) * xi)[:, None])
    path = gradient_flow(EquilibratedEnergy(data), chain(depth, 1.0), [0.0, 1e4, 1e6, 1e8, 1e10])
    late = [inflation(widths(depth), noise, t) for t in path.times[1:]]
    energy = np.abs(path.values()[1:] / [e.energy for e in late] - 1)
    weight = np.max(np.abs(path.weights[1:, 1:] / np.array([[e.weight] for e in late]) - 1), axis=1)
    for off in (energy, weight):
        assert np.all(np.diff(off) < 0)
        assert off[-1] < {2: 2e-5, 3: 1e-3, 4: 7e-3}[depth]
    np.testing.assert_allclose(path.weights[-1].prod(), 1, rtol=1e-8)


@pytest.mark.claim("inflation")
def test_without_noise_nothing_inflates():
    path = gradient_flow(EquilibratedEnergy(UNIT), chain(3, 0.9), [0.0, 1e3, 1e8])
    np.testing.assert_allclose(path.weights[-1], path.weights[1], rtol=1e-9)


# ---- arguments ---------------------------------------------------------------------------------------------


def test_beyond_the_largest_float_the_time_on_the_loss_is_infinite():
    assert escape_time(widths(4), Decimal("1e-300"), objective="loss") == math.inf
    assert fewest_loss_steps(widths(4), Decimal("1e-300")) == math.inf
    with pytest.raises(ValueError, match="`scale` must be large enough for the time of the escape on the loss"):
        chain_flow(widths(4), Decimal("1e-300"), objective="loss")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: escape_time(widths(4), 1.5), r"`scale` must be between 0 and 1. Got 1.5."),
        (lambda: escape_time(widths(4), Decimal(2)), r"`scale` must be between 0 and 1. Got 2."),
        (lambda: escape_time(widths(4), 1e-3, 0.5), "`precision` must be 1 or more"),
        (
            lambda: escape_time(widths(4), 1e-3, objective="both"),
            "`objective` must be one of 'energy', 'loss'",
        ),
        (lambda: inflation((1, 1), 1.0, 1.0), "`net` must have 2 weights or more"),
        (lambda: escape_constant(3), "`depth` must be 4 or more. Got 3."),
        (lambda: chain_flow(widths(4), 0.9), "the product of the weights must start below"),
        (lambda: chain_flow(widths(4), 0.1, fraction=1.0), "`fraction` must be below 1"),
    ],
)
def test_wrong_arguments_are_refused_in_one_sentence(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_network_stands_for_its_depth():
    assert escape_time(chain(5, 0.1), 1e-6) == escape_time(widths(5), 1e-6)
    assert repr(chain_flow(widths(3), 1e-2)).startswith("ChainFlow(3 weights on the energy, ")


def test_on_the_loss_the_flow_is_followed_as_far_as_the_largest_float():
    for depth, scale in ((3, "1e-300"), (5, "1e-100")):
        flow = chain_flow(widths(depth), Decimal(scale), objective="loss")
        predicted = escape_time(widths(depth), Decimal(scale), objective="loss")
        assert math.isclose(flow.escape_time, predicted, rel_tol=1e-9)
