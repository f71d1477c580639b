"""Predify's dynamics: the map against a literal implementation in torch, stability, waves, the PC special
case.
"""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import seeds
from tolerances import assert_close

from pctheory import LinearPCN, activity_gradient
from pctheory.related import Predify, chain_is_stable, chain_multiplier, chain_speed


@st.composite
def models(draw, max_layers=4, max_width=4):
    rng = np.random.default_rng(draw(seeds))
    widths = [draw(st.integers(1, max_width)) for _ in range(draw(st.integers(1, max_layers)) + 1)]
    rates = rng.uniform(0, 0.5, (3, len(widths) - 1))
    rates[2, -1] = 0
    forward = [rng.standard_normal((b, a)) / np.sqrt(a) for a, b in pairwise(widths)]
    backward = [rng.standard_normal((a, b)) / np.sqrt(b) for a, b in pairwise(widths)]
    return Predify(forward, backward, alphas=list(rates[0]), betas=list(rates[1]), lambdas=list(rates[2]))


def literal_step(model, e0, layers):
    """The update as the paper writes it, with autograd for the gradient of the reconstruction error."""
    old = [torch.tensor(e) for e in (e0, *layers)]
    new = [old[0]]
    for n in range(1, len(old)):
        a, b, c = model.alphas[n - 1], model.betas[n - 1], model.lambdas[n - 1]
        leaf = old[n].clone().requires_grad_()
        error = 0.5 * torch.sum((old[n - 1] - leaf @ torch.tensor(model.backward[n - 1]).T) ** 2)
        (slope,) = torch.autograd.grad(error, leaf)
        value = b * new[n - 1] @ torch.tensor(model.forward[n - 1]).T + (1 - b - c) * old[n] - a * slope
        if n + 1 < len(old):
            value = value + c * old[n + 1] @ torch.tensor(model.backward[n]).T
        new.append(value)
    return [e.numpy() for e in new[1:]]


def states(model, size=3, seed=0):
    rng = np.random.default_rng(seed)
    e0 = rng.standard_normal((size, model.forward[0].shape[1]))
    return e0, [rng.standard_normal((size, n)) for n in model.sizes]


@pytest.mark.claim("predify-map")
@pytest.mark.evidence("empirical")
@given(models())
def test_the_map_is_the_update_with_autograd(model):
    e0, layers = states(model)
    scale = (
        max(np.abs(e).max() for e in (e0, *layers))
        * (1 + max(np.linalg.norm(w, 2) for w in model.backward)) ** 2
    )
    for a, b in zip(model.step(e0, layers), literal_step(model, e0, layers), strict=True):
        assert_close(a, b, size=100 * sum(model.sizes), scale=scale)


@pytest.mark.claim("predify-map")
@settings(max_examples=25)
@given(models())
def test_the_fixed_point_is_fixed_and_is_reached_iff_the_spectral_radius_is_below_one(model):
    e0, layers = states(model)
    system = np.eye(sum(model.sizes)) - model.map
    if np.linalg.cond(system) > 1e6:
        return
    rest = model.fixed_point(e0)
    scale = max(1.0, *(np.abs(e).max() for e in rest))
    for a, b in zip(model.step(e0, rest), rest, strict=True):
        assert_close(a, b, size=1e3, kappa=1e6, scale=scale)
    radius = model.spectral_radius
    state, gap = layers, []
    steps = 400
    for _ in range(steps):
        state = model.step(e0, state)
        gap.append(max(np.abs(a - b).max() for a, b in zip(state, rest, strict=True)))
    if radius < 0.95:
        assert gap[-1] < 1e-4 * scale
    elif radius > 1.02:
        assert gap[-1] > gap[steps // 2]


@pytest.mark.claim("predify-map")
def test_the_map_is_not_symmetric_and_can_oscillate(rng):
    model = Predify([np.eye(2)] * 3, [np.eye(2)] * 3, alphas=0.3, betas=0.3, lambdas=0.1)
    assert np.abs(model.map - model.map.T).max() > 0.1
    rotation = np.array([[0.0, -1.0], [1.0, 0.0]])
    turning = Predify([np.eye(2)] * 2, [np.eye(2), rotation], alphas=0.2, betas=0.2, lambdas=0.5)
    assert np.abs(np.linalg.eigvals(turning.map).imag).max() > 0.05


@pytest.mark.claim("predify-is-pc")
@given(st.lists(st.integers(1, 4), min_size=2, max_size=5), seeds)
def test_one_step_of_the_special_case_is_one_gradient_step_on_the_generative_energy(widths, seed):
    rng = np.random.default_rng(seed)
    alphas = rng.uniform(0.05, 0.5, len(widths) - 1)
    net = LinearPCN.random(widths, precisions=list(alphas), rng=rng)
    model = Predify.predictive_coding(net)
    z = [rng.standard_normal((3, n)) for n in widths]
    slope = activity_gradient(net, tuple(z))
    expected = [a - 3 * s for a, s in zip(z, slope, strict=True)][:-1]  # the image, layer L, stays
    actual = model.step(z[-1], z[-2::-1])[::-1]
    for a, b in zip(actual, expected, strict=True):
        assert_close(a, b, size=1e3, scale=max(np.abs(v).max() for v in z) * 10)


@pytest.mark.claim("predify-is-pc")
def test_with_other_feedback_or_a_forward_drive_it_is_no_gradient_step(rng):
    """Descent on an energy has a symmetric map; the special case does and its neighbours do not."""
    net = LinearPCN.random((2, 3, 4), precisions=[0.2, 0.3], rng=rng)
    special = Predify.predictive_coding(net)
    assert_close(special.map, special.map.T, size=10)
    feedback = Predify(
        special.forward, special.backward, alphas=special.alphas, betas=0.0, lambdas=[0.1, 0.0]
    )
    forward = Predify(
        [w.T for w in special.backward],
        special.backward,
        alphas=special.alphas,
        betas=0.1,
        lambdas=special.lambdas,
    )
    for other in (feedback, forward):
        assert np.abs(other.map - other.map.T).max() > 1e-2


RATES = st.floats(0, 1.2)


@pytest.mark.claim("predify-dispersion")
@given(RATES, st.floats(0, 0.95), RATES)
def test_no_wave_grows_iff_alpha_plus_lambda_is_at_most_one(alpha, beta, lam):
    waves = chain_multiplier(np.linspace(-np.pi, np.pi, 2001), alpha=alpha, beta=beta, lam=lam)
    largest = np.abs(waves).max()
    if alpha + lam > 1 + 1e-6:
        assert largest > 1
    if chain_is_stable(alpha=alpha, beta=beta, lam=lam):
        assert largest <= 1 + 1e-12
    assert chain_is_stable(alpha=alpha, beta=beta, lam=lam) == (alpha + lam <= 1)


@pytest.mark.claim("predify-dispersion")
@given(st.floats(0, 1), st.floats(0, 0.9), st.floats(0, 1))
def test_long_waves_travel_at_the_speed_of_the_formula(alpha, beta, lam):
    """mu(k) = exp(-i v k) + O(k^2): the phase of a long wave, by a central difference."""
    k = 1e-5
    up, down = chain_multiplier(np.array([k, -k]), alpha=alpha, beta=beta, lam=lam)
    measured = -((up - down) / (2 * k)).imag
    assert abs(measured - chain_speed(alpha=alpha, beta=beta, lam=lam)) < 1e-6 / (1 - beta) ** 3


@pytest.mark.claim("predify-dispersion")
@pytest.mark.evidence("empirical")
@pytest.mark.parametrize(("alpha", "beta", "lam"), [(0.2, 0.4, 0.1), (0.6, 0.0, 0.1), (0.1, 0.1, 0.6)])
def test_a_smooth_bump_on_a_long_finite_chain_moves_at_that_speed(alpha, beta, lam):
    size, steps = 600, 60
    model = Predify([np.eye(1)] * size, [np.eye(1)] * size, alphas=alpha, betas=beta, lambdas=lam)
    n = np.arange(1, size + 1)
    e = np.exp(-((n - 300) ** 2) / (2 * 30.0**2))
    start = np.sum(n * e) / np.sum(e)
    for _ in range(steps):
        e = model.map @ e
    moved = np.sum(n * e) / np.sum(e) - start
    speed = chain_speed(alpha=alpha, beta=beta, lam=lam)
    # mass and first moment obey the law exactly on the infinite chain; the ends are 8 widths away
    assert abs(moved / steps - speed) < 1e-6


@pytest.mark.claim("predify-dispersion")
@pytest.mark.parametrize("beta", [0.0, 0.3, 0.8])
def test_a_long_finite_chain_is_unstable_beyond_the_bound(beta):
    for total, stable in ((0.9, True), (1.15, False)):
        model = Predify([np.eye(1)] * 60, [np.eye(1)] * 60, alphas=total / 2, betas=beta, lambdas=total / 2)
        # a non-normal map: growth of the norm within few steps is what an infinite chain's spectrum predicts
        powers = np.linalg.norm(np.linalg.matrix_power(model.map, 40), 2)
        assert (powers < 10) == stable


BAD = [
    (
        lambda: Predify([[[1.0]]], [], alphas=1, betas=0, lambdas=0),
        "`backward` must be one matrix per layer, 1",
    ),
    (
        lambda: Predify([[[1.0]]], [[[1.0, 2.0]]], alphas=1, betas=0, lambdas=0),
        r"`backward\[0\]` must have shape \(1, 1\)",
    ),
    (lambda: Predify([[[1.0]]], [[[1.0]]], alphas=1, betas=0, lambdas=[0.5]), "`lambdas` must end in 0"),
    (
        lambda: Predify([[[1.0]]], [[[1.0]]], alphas=[1, 2], betas=0, lambdas=0),
        "`alphas` must be one number, or one per",
    ),
    (
        lambda: Predify([[[1.0]]], [[[1.0]]], alphas=0, betas=0, lambdas=0).fixed_point([[1.0]]),
        "eigenvalue 1",
    ),
    (lambda: chain_speed(alpha=0, beta=1, lam=0), "`beta` must be less than 1"),
    (
        lambda: Predify.predictive_coding(LinearPCN([[[1.0], [1.0]]], precisions=[[1.0, 2.0]])),
        "`net` must have numbers as precisions",
    ),
]


@pytest.mark.parametrize(("call", "message"), BAD)
def test_bad_arguments_are_refused_in_one_sentence(call, message):
    with pytest.raises(ValueError, match=message):
        call()
