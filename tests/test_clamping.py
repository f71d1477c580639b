"""Any clamps: exact inference by elimination, against dense linear algebra and conditional Gaussians."""

from itertools import pairwise

import jax
import numpy as np
import oracles
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import networks, problems, seeds
from tolerances import assert_close

from pctheory import LinearPCN, equilibrium
from pctheory.inference import ClampedProblem, clamped_equilibrium


def full_least_squares(net):
    """K with whitened errors K (z_0, ..., z_L): the dense oracle of the energy in all units."""
    inner, from_x, from_y = oracles.least_squares(net)
    return np.hstack([from_x, inner, from_y])


def dense_prior(prior, size):
    value = np.asarray(0.0 if prior is None else prior, dtype=float)
    return value if value.ndim == 2 else value * np.eye(size)


def dense_minimum(net, z, clamped, prior=None, reverse=None):
    """Free units (B, m), their Hessian, by dense normal equations from the definition."""
    k = full_least_squares(net)
    hessian = k.T @ k
    if reverse is not None:
        cuts = np.cumsum([0, *net.widths])
        order = np.concatenate([np.arange(cuts[l], cuts[l + 1]) for l in range(net.depth, -1, -1)])
        back = np.zeros_like(hessian)
        kr = full_least_squares(reverse)
        back[np.ix_(order, order)] = kr.T @ kr
        hessian = hessian + back
    n0 = net.widths[0]
    hessian[:n0, :n0] += dense_prior(prior, n0)
    rows, free = np.hstack(z), ~clamped
    block = hessian[np.ix_(free, free)]
    values = -np.linalg.solve(block, hessian[np.ix_(free, clamped)] @ rows[:, clamped].T).T
    return values, block


@st.composite
def clamped(draw, **options):
    """A network, activities, a mask with layers and units clamped at random, and a prior."""
    net = draw(networks(**options))
    rng = np.random.default_rng(draw(seeds))
    z = tuple(rng.standard_normal((3, n)) for n in net.widths)
    mask = []
    for n in net.widths:
        kind = draw(st.sampled_from(["clamped", "free", "units"]))
        mask.append({"clamped": True, "free": False, "units": rng.integers(0, 2, n).astype(bool)}[kind])
    prior = draw(st.sampled_from([1.0, 0.3]))
    return net, z, tuple(mask), prior


def marks(net, mask):
    return np.concatenate([np.broadcast_to(m, n) for m, n in zip(mask, net.widths, strict=True)])


@pytest.mark.claim("posterior")
@given(clamped())
def test_any_clamps_give_the_conditional_mean_and_covariance(case):
    net, z, mask, prior = case
    held = marks(net, mask)
    assume(not held.all())
    expected, hessian = dense_minimum(net, z, held, prior)
    kappa = np.linalg.cond(hessian)
    assume(kappa < 1e8)
    settled = clamped_equilibrium(net, z, mask, prior=prior)
    rows = np.hstack(settled.activities)
    size = 10 * sum(net.widths)
    assert_close(rows[:, ~held], expected, size=size, kappa=kappa, scale=np.abs(rows).max())
    np.testing.assert_array_equal(rows[:, held], np.hstack(z)[:, held])
    inverse = np.linalg.inv(hessian)
    layers = np.concatenate([np.full(n, l) for l, n in enumerate(net.widths)])[~held]
    for l in sorted(set(layers)):
        block = inverse[np.ix_(layers == l, layers == l)]
        assert_close(settled.covariance(int(l)), block, size=size, kappa=kappa, scale=np.abs(inverse).max())


@given(problems(min_depth=2))
def test_with_input_and_output_clamped_it_is_the_equilibrium(problem):
    net, data = problem
    z = (data.x, *(np.full((len(data.x), n), np.nan) for n in net.widths[1:-1]), data.y)
    z = tuple(np.nan_to_num(a) for a in z)
    expected = equilibrium(net, data, method="elimination")
    settled = clamped_equilibrium(net, z)
    kappa = np.linalg.cond(settled.problem.hessian.to_dense())
    scale = max(np.abs(a).max() for a in expected.activities)
    for a, b in zip(settled.activities, expected.activities, strict=True):
        assert_close(a, b, size=10 * sum(net.widths), kappa=kappa, scale=scale)


@given(clamped())
def test_the_gradient_vanishes_on_the_free_units_and_the_energy_is_lowest_there(case):
    net, z, mask, prior = case
    problem = ClampedProblem(net, z, mask, prior=prior)
    settled = problem.equilibrium()
    rng = np.random.default_rng(1)
    moved = problem.project(tuple(rng.standard_normal(a.shape) for a in z))
    if not problem.free_layers:
        return
    below, above = (
        problem.energy(tuple(a + s * v for a, v in zip(settled.activities, moved, strict=True)))
        for s in (-1.0, 1.0)
    )
    # the energy is quadratic: equal on both sides of its minimum, and higher by half the curvature
    curvature = sum(np.sum(v * h) for v, h in zip(moved, problem.product(moved), strict=True)) / len(z[0])
    norm = np.linalg.norm(problem.hessian.to_dense(), 2)
    kappa = np.linalg.cond(problem.hessian.to_dense())
    scale = norm * max(np.abs(a).max() for a in (*settled.activities, *moved)) ** 2
    size = 100 * sum(net.widths)
    assert_close(below, above, size=size, kappa=kappa, scale=scale)
    assert_close(above - settled.energy, curvature / 2, size=size, kappa=kappa, scale=scale)


@given(clamped(min_depth=2), seeds)
def test_a_bidirectional_network_settles_where_both_energies_balance(case, seed):
    net, z, mask, prior = case
    held = marks(net, mask)
    assume(not held.all())
    reverse = LinearPCN.random(net.widths[::-1], rng=seed)
    expected, hessian = dense_minimum(net, z, held, prior, reverse)
    kappa = np.linalg.cond(hessian)
    assume(kappa < 1e8)
    settled = clamped_equilibrium(net, z, mask, prior=prior, reverse=reverse)
    rows = np.hstack(settled.activities)
    assert_close(rows[:, ~held], expected, size=10 * sum(net.widths), kappa=kappa, scale=np.abs(rows).max())


def test_descent_on_free_units_tends_to_the_equilibrium_and_keeps_the_clamps(rng):
    net = LinearPCN.random((3, 4, 5), rng=rng)
    z = tuple(rng.standard_normal((2, n)) for n in net.widths)
    mask = (False, False, np.array([True, True, False, True, True]))
    problem = ClampedProblem(net, z, mask, prior=0.5)
    values = np.linalg.eigvalsh(problem.hessian.to_dense())
    path = problem.relax(2 / (values[0] + values[-1]), 4000)
    for a, b in zip(path[-1], problem.equilibrium().activities, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-10)
    np.testing.assert_array_equal(path[-1][2][:, mask[2]], z[2][:, mask[2]])
    rho = max(abs(1 - 2 / (values[0] + values[-1]) * values[[0, -1]]))
    rest = np.hstack(problem.equilibrium().activities)
    gaps = [np.linalg.norm(np.hstack(step) - rest) for step in path[:50]]
    assert all(b <= rho * a * (1 + 1e-9) for a, b in pairwise(gaps))


def test_missing_pixels_of_a_linear_generative_model_are_filled_exactly(rng):
    """Half of a noiseless image determines the code, and the code the other half."""
    net = LinearPCN([rng.standard_normal((4, 2)), rng.standard_normal((9, 4))])
    label = rng.standard_normal((3, 2))
    image = label @ net.maps[0].T @ net.maps[1].T
    mask = np.arange(9) < 5
    given_half = np.where(mask, image, 0.0)
    settled = clamped_equilibrium(net, (0 * label, np.zeros((3, 4)), given_half), (False, False, mask))
    np.testing.assert_allclose(settled.activities[2], image, atol=1e-9)
    np.testing.assert_allclose(settled.activities[0], label, atol=1e-9)
    assert float(settled.energy) < 1e-18


def test_without_a_prior_the_clamped_units_must_determine_the_rest(rng):
    net = LinearPCN.random((5, 4, 3), rng=rng)  # 3 outputs cannot tell 5 inputs
    z = tuple(rng.standard_normal((2, n)) for n in net.widths)
    with pytest.raises(ValueError, match="`mask` must clamp enough units"):
        clamped_equilibrium(net, z, (False, False, True))
    settled = clamped_equilibrium(net, z, (False, False, True), prior=1e-3)
    assert np.isfinite(settled.energy)
    assert np.isfinite(clamped_equilibrium(net, z, ([True, True, False, False, False], False, True)).energy)


def test_a_layer_clamped_in_the_middle_separates_the_network(rng):
    net = LinearPCN.random((2, 3, 2, 3, 2), rng=rng)
    z = tuple(rng.standard_normal((2, n)) for n in net.widths)
    other = (*z[:4], z[4] + 1)
    mask = (True, False, True, False, True)
    one, two = clamped_equilibrium(net, z, mask), clamped_equilibrium(net, other, mask)
    np.testing.assert_array_equal(one.activities[1], two.activities[1])
    assert np.abs(one.activities[3] - two.activities[3]).max() > 0.01


def test_torch_and_jax_give_the_same_and_differentiate(rng):
    net = LinearPCN.random((2, 4, 3), rng=rng)
    z = tuple(rng.standard_normal((2, n)) for n in net.widths)
    mask = (False, [True, False, True, False], True)
    expected = clamped_equilibrium(net, z, mask, prior=1.0)
    leaves = [torch.tensor(np.array(w), requires_grad=True) for w in net.weights]
    twin = net.replace(weights=leaves)
    settled = clamped_equilibrium(twin, tuple(torch.tensor(a) for a in z), mask, prior=1.0)
    for a, b in zip(settled.activities, expected.activities, strict=True):
        np.testing.assert_allclose(a.detach().numpy(), b, atol=1e-13)
    settled.energy.backward()
    assert all(torch.isfinite(leaf.grad).all() for leaf in leaves)
    with jax.enable_x64(True):
        import jax.numpy as jnp

        weights = [jnp.asarray(w) for w in net.weights]
        own = clamped_equilibrium(
            net.replace(weights=weights), tuple(jnp.asarray(a) for a in z), mask, prior=1.0
        )
        np.testing.assert_allclose(np.asarray(own.activities[1]), expected.activities[1], atol=1e-13)


BAD = [
    (
        lambda n, z: clamped_equilibrium(n, z, (True, True)),
        "`mask` must be one entry per layer, 3 of them. Got 2",
    ),
    (
        lambda n, z: clamped_equilibrium(n, z, (True, [True], True)),
        r"`mask\[1\]` must be True, False or 4 booleans",
    ),
    (
        lambda n, z: clamped_equilibrium(n, z, reverse=n),
        r"`reverse` must have the widths of `net` in reverse, \(3, 4, 2\)",
    ),
    (
        lambda n, z: clamped_equilibrium(n, z).covariance(0),
        r"`layer` must have free units: layers \[1\] do. Got 0",
    ),
]


@pytest.mark.parametrize(("call", "message"), BAD)
def test_bad_clamps_are_refused_in_one_sentence(call, message, rng):
    net = LinearPCN.random((2, 4, 3), rng=rng)
    with pytest.raises(ValueError, match=message):
        call(net, tuple(rng.standard_normal((2, n)) for n in net.widths))
