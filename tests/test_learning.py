"""Section B: learning rules in closed form, against autograd through the computation that each of them
names.
"""

import numpy as np
import oracles
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from strategies import networks, problems, seeds
from tolerances import EPS, assert_close

from pctheory import Data, LinearPCN, equilibrium, feedforward, inference_rate, relax
from pctheory.inference import ClampedProblem, first_arrival, output_products, rescaling, spiking_update
from pctheory.learning import (
    LEARNING_RULES,
    CrossEntropy,
    LayerEnergies,
    Mixture,
    SquaredError,
    aligned_update,
    backprop_gradient,
    compare_gradients,
    equilibrium_propagation_gradient,
    error_descent_gradient,
    fixed_prediction_gradient,
    implicit_gradient,
    local_gradient,
    mixed_derivative,
    one_shot,
    output_change,
    pc_gradient,
    posterior_averaged_gradient,
    target_alignment,
    truncated_gradient,
    unrolled_gradient,
    z_il_gradient,
)

# ---- the computation itself, in plain torch: shares no code with the package -------------------------------


class Plain:
    """A clamped problem from the definition of the energy, with weights that require gradients."""

    def __init__(self, net, z, mask, prior=None):
        self.leaves = [torch.tensor(np.array(w), requires_grad=True) for w in net.weights]
        self.net, self.prior = net, prior
        self.pis = [torch.tensor(p) for p in oracles.dense_precisions(net)]
        self.given = [torch.tensor(np.array(a)) for a in z]
        self.free = [
            torch.tensor(~np.broadcast_to(m, n).copy(), dtype=torch.float64)
            for m, n in zip(mask, net.widths, strict=True)
        ]

    def predict(self, l, before):
        matrix = self.net.multipliers[l - 1] * self.leaves[l - 1]
        return before @ matrix.T + (before if self.net.skips[l - 1] else 0)

    def layer_energies(self, z):
        errors = [z[l] - self.predict(l, z[l - 1]) for l in range(1, len(z))]
        return [0.5 * torch.sum((e @ p) * e) / len(e) for e, p in zip(errors, self.pis, strict=True)]

    def energy(self, z):
        total = sum(self.layer_energies(z))
        return total if self.prior is None else total + 0.5 * self.prior * torch.sum(z[0] ** 2) / len(z[0])

    def start(self):
        z = [self.given[0] * (1 - self.free[0])]
        for l in range(1, len(self.given)):
            z.append(self.given[l] * (1 - self.free[l]) + self.predict(l, z[-1]) * self.free[l])
        return z

    def descend(self, z, step):
        """One step of gradient descent, in the graph."""
        own = [(a * 1.0) if a.requires_grad else a.clone().requires_grad_() for a in z]
        slopes = torch.autograd.grad(self.energy(own), own, create_graph=True)  # direct dependence only
        size = len(z[0])
        return [a - step * size * s * m for a, s, m in zip(own, slopes, self.free, strict=True)]

    def gradient(self, value):
        if value.requires_grad:
            value.backward()
        return [np.zeros(w.shape) if w.grad is None else w.grad.numpy() for w in self.leaves]

    def settle(self):
        """Newton on the free units with dense derivatives by autograd, differentiable in the weights."""
        sizes = [a.numel() for a in self.given]
        free = torch.cat(
            [(m * torch.ones_like(a)).flatten() for m, a in zip(self.free, self.given, strict=True)]
        )
        held = torch.cat([a.flatten() for a in self.given]) * (1 - free)
        index = torch.nonzero(free).flatten()

        def of(v):
            full = held.index_add(0, index, v)
            return self.energy(
                [p.reshape(a.shape) for p, a in zip(torch.split(full, sizes), self.given, strict=True)]
            )

        origin = torch.zeros(len(index), dtype=torch.float64, requires_grad=True)
        slope = torch.autograd.grad(of(origin), origin, create_graph=True)[0]
        rows = [torch.autograd.grad(s, origin, create_graph=True)[0] for s in slope]
        solution = -torch.linalg.solve(torch.stack(rows), slope) if len(index) else origin
        full = held.index_add(0, index, solution)
        return [p.reshape(a.shape) for p, a in zip(torch.split(full, sizes), self.given, strict=True)]


def plain_loss(kind, plain, z, target):
    """Task losses from their definitions."""
    energies = plain.layer_energies(z)
    if kind == "energy":
        return sum(energies)
    if kind == "reconstruction":
        return energies[-1]
    if kind == "mse":
        return 0.5 * torch.sum((torch.tensor(target) - z[0]) ** 2) / len(z[0])
    return -torch.sum(torch.tensor(target) * torch.log_softmax(z[0] / 0.7, 1)) / len(z[0])


def task_loss(kind, net, target):
    return {
        "energy": LayerEnergies(),
        "reconstruction": LayerEnergies((0.0,) * (net.depth - 1) + (1.0,)),
        "mse": SquaredError(target, 0),
        "cross-entropy": CrossEntropy(target, 0, 0.7),
    }[kind]


KINDS = ["energy", "reconstruction", "mse", "cross-entropy"]


@st.composite
def tasks(draw, max_depth=4, **options):
    """A generative problem (label free, image clamped, some hidden units clamped too), a target for the
    label.
    """
    net = draw(networks(max_depth=max_depth, max_width=4, **options))
    rng = np.random.default_rng(draw(seeds))
    z = tuple(rng.standard_normal((2, n)) for n in net.widths)
    hidden = [draw(st.booleans()) and rng.integers(0, 2, n).astype(bool) for n in net.widths[1:-1]]
    mask = (
        False,
        *(np.broadcast_to(h, n).copy() for h, n in zip(hidden, net.widths[1:-1], strict=True)),
        True,
    )
    logits = rng.standard_normal((2, net.widths[0]))
    target = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return net, z, mask, target


def scale_of(problem, *parts):
    """Products of activities, adjoints, precisions and maps: the size of the terms that a gradient sums
    up.
    """
    biggest = max(np.abs(a).max(initial=0) for part in parts for a in part)
    maps = max(np.linalg.norm(m, 2) for m in problem.net.maps)
    pis = max(np.linalg.norm(p, 2) for p in oracles.dense_precisions(problem.net))
    return max(biggest, 1.0) ** 2 * (1 + maps) ** 2 * max(pis, 1.0) * max(*problem.net.multipliers, 1.0)


# ---- through-inference-gradients ---------------------------------------------------------------------------


@pytest.mark.claim("through-inference-gradients")
@pytest.mark.evidence("empirical")
@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25)
@given(case=tasks())
def test_the_implicit_gradient_is_autograd_through_the_equilibrium(kind, case):
    net, z, mask, target = case
    problem = ClampedProblem(net, z, mask, prior=0.5)
    kappa = np.linalg.cond(problem.hessian.to_dense())
    assume(kappa < 1e5)
    plain = Plain(net, z, mask, prior=0.5)
    expected = plain.gradient(plain_loss(kind, plain, plain.settle(), target))
    loss = task_loss(kind, net, target)
    actual = implicit_gradient(problem, loss)
    settled = problem.equilibrium().activities
    adjoint = problem.solve(tuple(2 * s for s in loss.activity_gradient(net, settled)))
    for a, b in zip(actual, expected, strict=True):
        assert_close(a, b, size=100 * sum(net.widths), kappa=kappa, scale=scale_of(problem, settled, adjoint))


@pytest.mark.claim("through-inference-gradients")
@pytest.mark.evidence("empirical")
@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=20)
@given(case=tasks(), steps=st.integers(0, 5), last=st.sampled_from([None, 0, 1, 3]))
def test_the_unrolled_gradient_is_autograd_through_the_steps(kind, case, steps, last):
    net, z, mask, target = case
    problem = ClampedProblem(net, z, mask, prior=0.5)
    step = 1.2 / np.linalg.norm(problem.hessian.to_dense(), 2)
    last = None if last is None else min(last, steps)
    plain = Plain(net, z, mask, prior=0.5)
    state = plain.start()
    for t in range(steps):
        if last is not None and t == steps - last:
            state = [a.detach() for a in state]
        state = plain.descend(state, step)
    if last == 0:
        state = [a.detach() for a in state]
    elif last == steps:
        state = plain.start()
        state = [a.detach() for a in state]
        for _ in range(steps):
            state = plain.descend(state, step)
    expected = plain.gradient(plain_loss(kind, plain, state, target))
    actual = unrolled_gradient(problem, task_loss(kind, net, target), step, steps, last=last)
    path = [a for part in problem.relax(step, steps) for a in part]
    size = 200 * sum(net.widths) * (steps + 1)
    for a, b in zip(actual, expected, strict=True):
        assert_close(a, b, size=size, scale=scale_of(problem, path, [target]))


@pytest.mark.claim("through-inference-gradients")
@given(problems(min_depth=2, gain=(0.3, 1.2)))
def test_with_the_energy_as_the_loss_every_rule_is_the_local_rule_at_equilibrium(problem):
    """Envelope theorem: implicit, one-step, truncated and local coincide, and the adjoint vanishes."""
    net, data = problem
    clamped = ClampedProblem(net, (*feedforward(net, data.x)[:-1], data.y))
    rate = inference_rate(net)
    assume(rate.condition < 1e4)
    expected = pc_gradient(net, data)
    settled = equilibrium(net, data).activities
    scale = scale_of(clamped, settled)
    for actual in (
        implicit_gradient(clamped, LayerEnergies()),
        truncated_gradient(clamped, LayerEnergies(), rate.best_step, 1),
        truncated_gradient(clamped, LayerEnergies(), rate.best_step, 7),
        equilibrium_propagation_gradient(clamped, LayerEnergies(), 0.01),
    ):
        for a, b in zip(actual, expected, strict=True):
            # a nudge of 0.01 amplifies rounding by its inverse
            assert_close(a, b, size=1e4 * sum(net.widths), kappa=rate.condition, scale=scale)


def test_without_the_envelope_theorem_the_rules_differ(rng):
    """Another loss than the energy: implicit, one-step and local part."""
    net = LinearPCN.random((2, 4, 4), rng=rng)
    z = tuple(rng.standard_normal((3, n)) for n in net.widths)
    problem = ClampedProblem(net, z, (False, False, True))
    loss = SquaredError(z[0], 0)
    exact, one = implicit_gradient(problem, loss), truncated_gradient(problem, loss, 0.1, 1)
    assert max(np.abs(a - b).max() for a, b in zip(exact, one, strict=True)) > 1e-2
    assert max(np.abs(a).max() for a in truncated_gradient(problem, loss, 0.1, 0)) == 0


@pytest.mark.claim("through-inference-gradients")
@given(tasks(), st.floats(0, 1))
def test_the_gradient_is_linear_in_the_loss(case, weight):
    net, z, mask, target = case
    problem = ClampedProblem(net, z, mask, prior=0.5)
    assume(np.linalg.cond(problem.hessian.to_dense()) < 1e5)
    parts = [task_loss(kind, net, target) for kind in ("reconstruction", "cross-entropy")]
    mixed = implicit_gradient(problem, Mixture(((weight, parts[0]), (1 - weight, parts[1]))))
    alone = [implicit_gradient(problem, part) for part in parts]
    for m, a, b in zip(mixed, *alone, strict=True):
        scale = max(np.abs(a).max(), np.abs(b).max())
        assert_close(m, weight * a + (1 - weight) * b, size=1e3, kappa=1e5, scale=scale)


@given(tasks())
def test_the_mixed_derivative_is_symmetric_and_gives_the_local_rule(case):
    net, z, _, _ = case
    other = tuple(a[::-1] + 1 for a in z)
    for a, b in zip(mixed_derivative(net, z, other), mixed_derivative(net, other, z), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)
    local = LayerEnergies().weight_gradient(net, z)
    for a, b in zip(mixed_derivative(net, z, z), local, strict=True):
        np.testing.assert_allclose(a, -2 * b, rtol=1e-12, atol=1e-12)


# ---- truncated-adjoint -------------------------------------------------------------------------------------


def adjoint_error(problem, loss, step, terms):
    """|a - a_K| / |a| from the definition: K steps of the adjoint iteration."""
    settled = problem.equilibrium().activities
    source = tuple(len(settled[0]) * s for s in loss.activity_gradient(problem.net, settled))
    flat = np.hstack([v[:, f] for v, f in zip(source, problem.free, strict=True)])
    hessian = problem.hessian.to_dense()
    exact, partial = np.linalg.solve(hessian, flat.T).T, np.zeros_like(flat)
    for _ in range(terms):
        partial = partial + step * (flat - partial @ hessian)
    return np.linalg.norm(exact - partial) / np.linalg.norm(exact)


@pytest.mark.claim("truncated-adjoint")
@given(tasks(), st.integers(0, 12))
def test_the_truncated_adjoint_errs_by_at_most_rho_to_the_k(case, terms):
    net, z, mask, target = case
    problem = ClampedProblem(net, z, mask, prior=0.5)
    values = np.linalg.eigvalsh(problem.hessian.to_dense())
    step = 2 / (values[0] + values[-1])
    rho = np.max(np.abs(1 - step * values))
    assume(values[-1] / values[0] < 1e6)
    error = adjoint_error(problem, SquaredError(target, 0), step, terms)
    assert error <= rho**terms * (1 + 1e-9) + 1e-9


@pytest.mark.claim("truncated-adjoint")
def test_the_truncated_gradient_converges_at_the_rate_rho_and_attains_it(rng):
    net = LinearPCN.random((3, 5, 4, 6), rng=rng)
    z = tuple(rng.standard_normal((4, n)) for n in net.widths)
    problem = ClampedProblem(net, z, (False, False, False, True), prior=0.2)
    values = np.linalg.eigvalsh(problem.hessian.to_dense())
    step = 0.9 / values[-1]  # one slowest mode: the rate is seen undisturbed
    rho = 1 - step * values[0]
    loss = SquaredError(z[0], 0)
    exact = np.concatenate([g.ravel() for g in implicit_gradient(problem, loss)])
    slow = int(np.log(1e-6) / np.log(rho))
    terms = np.array([slow, 2 * slow])
    gaps = [
        np.linalg.norm(
            np.concatenate([g.ravel() for g in truncated_gradient(problem, loss, step, int(k))]) - exact
        )
        for k in terms
    ]
    measured = (gaps[1] / gaps[0]) ** (1 / slow)
    assert abs(np.log(measured) / np.log(rho) - 1) < 2e-3, (measured, rho)


@pytest.mark.claim("truncated-adjoint")
@given(tasks(), st.integers(1, 6))
def test_k_steps_of_backpropagation_at_equilibrium_are_the_neumann_sum(case, terms):
    net, z, mask, target = case
    problem = ClampedProblem(net, z, mask, prior=0.5)
    hessian = problem.hessian.to_dense()
    assume(np.linalg.cond(hessian) < 1e6)
    step = 1 / np.linalg.norm(hessian, 2)
    loss = CrossEntropy(target, 0)
    settled = problem.equilibrium().activities
    unrolled = unrolled_gradient(problem, loss, step, terms + 2, last=terms, start=settled)
    for a, b in zip(unrolled, truncated_gradient(problem, loss, step, terms), strict=True):
        assert_close(a, b, size=1e3, kappa=1e6, scale=scale_of(problem, settled))


# ---- equilibrium-propagation -------------------------------------------------------------------------------


@pytest.mark.claim("equilibrium-propagation")
@pytest.mark.parametrize("kind", ["reconstruction", "mse", "cross-entropy"])
def test_equilibrium_propagation_errs_by_beta_squared(kind, rng):
    net = LinearPCN.random((3, 5, 6), rng=rng)
    z = tuple(rng.standard_normal((4, n)) for n in net.widths)
    problem = ClampedProblem(net, z, (False, False, True))
    target = np.eye(3)[[0, 1, 2, 0]]
    loss = task_loss(kind, net, target)
    exact = np.concatenate([g.ravel() for g in implicit_gradient(problem, loss)])
    betas = np.array([4e-3, 2e-3, 1e-3])
    gaps = [
        np.linalg.norm(
            np.concatenate([g.ravel() for g in equilibrium_propagation_gradient(problem, loss, b)]) - exact
        )
        for b in betas
    ]
    slopes = np.diff(np.log(gaps)) / np.diff(np.log(betas))
    # the next term is of order beta^4: slopes deviate from 2 by O(beta^2 c^2), c = |H^{-1} Lambda''|
    assert np.all(np.abs(slopes - 2) < 0.01), (slopes, gaps)


@pytest.mark.claim("equilibrium-propagation")
def test_a_one_sided_nudge_errs_by_beta_only(rng):
    """The dropped hypothesis: without the negative phase the error is of first order."""
    net = LinearPCN.random((3, 5, 6), rng=rng)
    z = tuple(rng.standard_normal((4, n)) for n in net.widths)
    problem = ClampedProblem(net, z, (False, False, True))
    loss = SquaredError(rng.standard_normal((4, 3)), 0)
    exact = implicit_gradient(problem, loss)[0]
    rest = LayerEnergies().weight_gradient(net, problem.equilibrium().activities)[0]
    gaps = []
    for beta in (1e-2, 5e-3):
        # two-sided nudge b around the state nudged by b: minus sides cancel to the one-sided difference
        plus = _nudged_local(problem, loss, beta)
        gaps.append(np.linalg.norm((plus - rest) / beta - exact))
    assert 1.8 < gaps[0] / gaps[1] < 2.2


def _nudged_local(problem, loss, beta):
    """Local rule of the first layer at the minimum of F + beta Lambda, densely (read-out of layer 0 by
    squares).
    """
    hessian = problem.hessian.to_dense()
    n0 = problem.net.widths[0]
    nudge = np.zeros_like(hessian)
    nudge[:n0, :n0] = beta * np.eye(n0)
    held = problem.project(problem.activities)
    zero = tuple(a - h for a, h in zip(problem.activities, held, strict=True))
    right = -np.hstack([v[:, f] for v, f in zip(problem.product(zero), problem.free, strict=True)])
    right[:, :n0] += beta * loss.target
    free = np.linalg.solve(hessian + nudge, right.T).T
    cut = np.cumsum(problem.net.widths[:-1])
    z = (free[:, : cut[0]], free[:, cut[0] :], problem.activities[-1])
    return LayerEnergies().weight_gradient(problem.net, z)[0]


# ---- nothing-to-learn --------------------------------------------------------------------------------------


@pytest.mark.claim("nothing-to-learn")
@given(problems(min_depth=2), st.integers(0, 6))
def test_with_a_free_output_and_the_feedforward_start_inference_does_nothing(problem, steps):
    net, data = problem
    forward = feedforward(net, data.x)
    mask = (True, *(False,) * net.depth)
    free = ClampedProblem(net, forward, mask)
    step = 1 / np.linalg.norm(free.hessian.to_dense(), 2)
    path = free.relax(step, steps)
    scale = max(np.abs(z).max() for z in forward)
    for a, b in zip(path[-1], forward, strict=True):
        assert_close(a, b, size=100 * sum(net.widths) * (steps + 1), scale=scale)
    gradient = unrolled_gradient(free, SquaredError(data.y), step, steps)
    expected = backprop_gradient(net.replace(precisions=[*[p.value for p in net.precisions[:-1]], 1.0]), data)
    for a, b in zip(gradient, expected, strict=True):
        assert_close(
            a, b, size=1e3 * sum(net.widths) * (steps + 1), scale=scale_of(free, forward, [data.y]) * 10
        )


@pytest.mark.claim("nothing-to-learn")
def test_a_clamped_output_or_another_start_gives_inference_something_to_do(rng):
    """Both hypotheses dropped, one at a time."""
    net = LinearPCN.random((3, 4, 2), rng=rng)
    data = Data(rng.standard_normal((5, 3)), rng.standard_normal((5, 2)))
    forward = feedforward(net, data.x)
    bp = backprop_gradient(net, data)[0]
    free = ClampedProblem(net, forward, (True, False, False))
    zero = (data.x, *(0 * z for z in forward[1:]))
    other_start = unrolled_gradient(free, SquaredError(data.y), 0.1, 3, start=zero)[0]
    clamped = ClampedProblem(net, (*forward[:-1], data.y))
    other_clamp = unrolled_gradient(clamped, LayerEnergies(), 0.1, 3)[0]
    assert np.abs(other_start - bp).max() > 1e-2
    assert np.abs(other_clamp - bp).max() > 1e-2


# ---- exact-bp-variants -------------------------------------------------------------------------------------


@given(problems())
def test_backprop_is_the_gradient_of_the_loss(problem):
    net, data = problem
    plain = Plain(
        net,
        (data.x, *(np.zeros((len(data.x), n)) for n in net.widths[1:-1]), data.y),
        [True] * len(net.widths),
    )
    z = torch.tensor(data.x)
    for l in range(1, net.depth + 1):
        z = plain.predict(l, z)
    r = torch.tensor(data.y) - z
    expected = plain.gradient(0.5 * torch.sum((r @ plain.pis[-1]) * r) / len(r))
    scale = max(max(np.abs(g).max() for g in expected), 1e-3) * 100
    for a, b in zip(backprop_gradient(net, data), expected, strict=True):
        assert_close(a, b, size=100 * sum(net.widths), scale=scale)


def unit_hidden(net):
    """The same network with unit precisions on its hidden layers."""
    return net.replace(precisions=[*[None] * (net.depth - 1), net.precisions[-1].value])


@pytest.mark.claim("exact-bp-variants")
@given(problems())
def test_z_il_is_exactly_backprop(problem):
    net, data = problem
    net = unit_hidden(net)
    bp = backprop_gradient(net, data)
    scale = max(max(np.abs(g).max() for g in bp), 1e-3)
    maps = max(1.0, *(np.linalg.norm(m, 2) for m in net.maps))
    forward = max(np.abs(z).max() for z in feedforward(net, data.x))
    limit = max(scale, forward**2 * maps ** (2 * net.depth) * max(np.max(net.precisions[-1].value), 1.0))
    for a, b in zip(z_il_gradient(net, data), bp, strict=True):
        assert_close(a, b, size=100 * sum(net.widths), scale=limit)


@pytest.mark.claim("exact-bp-variants")
@given(problems(gain=(0.3, 1.0)))
def test_fixed_predictions_settle_at_backprop_for_any_precisions(problem):
    net, data = problem
    values = [np.linalg.eigvalsh(p) for p in oracles.dense_precisions(net)[:-1]] or [np.ones(1)]
    low, high = min(v[0] for v in values), max(v[-1] for v in values)
    step = 2 / (low + high)
    rho = (high - low) / (high + low)
    steps = net.depth + (0 if rho < 1e-12 else int(40 * net.depth / -np.log(rho)))
    bp = backprop_gradient(net, data)
    scale = scale_of(
        ClampedProblem(net, (*feedforward(net, data.x)[:-1], data.y)), feedforward(net, data.x), [data.y]
    )
    for a, b in zip(fixed_prediction_gradient(net, data, step, steps), bp, strict=True):
        assert_close(a, b, size=1e4 * sum(net.widths), scale=scale * 10)


@pytest.mark.claim("exact-bp-variants")
def test_z_il_needs_a_step_of_one_unit_hidden_precisions_and_the_feedforward_start(rng):
    """Each hypothesis dropped: the errors arrive scaled by g, weighted by the precisions, or mixed with
    others.
    """
    net = LinearPCN.random((3, 4, 3, 2), rng=rng)
    data = Data(rng.standard_normal((5, 3)), rng.standard_normal((5, 2)))
    bp = backprop_gradient(net, data)
    heavy = net.replace(precisions=[2.0, None, None])
    assert np.abs(z_il_gradient(heavy, data)[0] - bp[0]).max() > 1e-2
    step = 0.5
    arrived = first_arrival(net, data, step)
    scaled = [-e.T @ z / 5 for e, z in zip(arrived, feedforward(net, data.x), strict=False)]
    for l, (a, b) in enumerate(zip(scaled, bp, strict=True), start=1):
        np.testing.assert_allclose(a, step ** (3 - l) * b, rtol=1e-12)
    zero = (data.x, *(0 * z for z in feedforward(net, data.x)[1:-1]), data.y)
    late = LayerEnergies().weight_gradient(net, relax(net, data, 1.0, 2, start=zero))[0]
    assert np.abs(late - bp[0]).max() > 1e-2


@settings(max_examples=20)
@given(problems(min_depth=2, max_depth=4, gain=(0.3, 1.0)))
def test_error_coordinates_start_along_backprop_and_end_at_exact_pc(problem):
    net, data = problem
    kappa = np.linalg.cond(rescaling(net)) * inference_rate(net).condition
    assume(np.linalg.cond(rescaling(net)) < 30 and kappa < 1e5)  # 0.936^600 < 1e-16
    compared = compare_gradients(net, data, ("error-coordinates",), num_steps=600)
    scale = max(np.abs(g).max() for g in (*compared.gradients["pc"], *compared.gradients["bp"]))
    for a, b in zip(compared.gradients["error-coordinates"], compared.gradients["pc"], strict=True):
        assert_close(a, b, size=1e4, kappa=kappa, scale=max(scale, 1e-3))
    small = 1e-7
    first = error_descent_gradient(net, data, small, 1)
    for a, b in list(zip(first, compared.gradients["bp"], strict=True))[:-1]:
        np.testing.assert_allclose(a / small, b, atol=1e-4 * max(scale, 1.0) ** 2)


# ---- target-alignment, one-shot, missing-logdet ------------------------------------------------------------


@pytest.mark.claim("target-alignment")
@given(problems(max_samples=1))
def test_the_output_moves_along_k_r_for_backprop_and_along_k_s_inverse_r_for_pc(problem):
    net, data = problem
    net = net.replace(precisions=None)
    settled, forward = equilibrium(net, data), feedforward(net, data.x)
    products = output_products(net)[1:]
    r = data.y - forward[-1]
    k = sum(
        a**2 * np.sum(z**2) * p @ p.T for a, z, p in zip(net.multipliers, forward, products, strict=False)
    )
    bp = output_change(net, data.x, tuple(-g for g in backprop_gradient(net, data)))
    assert_close(
        bp, r @ k.T, size=1e3, scale=max(np.abs(bp).max(), np.abs(r @ k).max()) * (1 + np.linalg.norm(k))
    )
    tilde = sum(
        a**2 * np.sum(z * h) * p @ p.T
        for a, z, h, p in zip(net.multipliers, settled.activities, forward, products, strict=False)
    )
    s = rescaling(net)
    pc = output_change(net, data.x, tuple(-g for g in pc_gradient(net, data)))
    scale = (1 + np.linalg.norm(k)) * max(
        1.0, np.abs(data.y).max(), *(np.abs(z).max() for z in settled.activities)
    )
    kappa = np.linalg.cond(s)
    assume(kappa < 1e8)
    assert_close(pc, np.linalg.solve(s, r.T).T @ tilde.T, size=1e4, kappa=kappa, scale=scale)


@pytest.mark.claim("target-alignment")
@given(problems(max_samples=1))
def test_rates_inverse_to_the_overlap_make_pc_move_straight_at_the_target(problem):
    net, data = problem
    settled, forward = equilibrium(net, data), feedforward(net, data.x)
    overlaps = [
        abs(np.sum(z * h)) / max(np.sum(z**2), np.sum(h**2), 1e-300)
        for z, h in zip(settled.activities, forward, strict=False)
    ]
    assume(min(overlaps) > 1e-3)
    kappa = np.linalg.cond(rescaling(net)) * (inference_rate(net).condition if net.depth > 1 else 1.0)
    assume(kappa < 1e6)
    update = aligned_update(net, data)
    r = data.y - forward[-1]
    moved = output_change(net, data.x, update)
    assert_close(moved, r, size=1e4, kappa=kappa * 1e3, scale=np.abs(np.hstack(settled.activities)).max())
    if np.linalg.norm(r) > 1e-6:
        assert float(target_alignment(net, data, update)[0]) > 1 - 1e-6


@pytest.mark.claim("target-alignment")
@pytest.mark.evidence("empirical")
def test_a_small_step_of_the_aligned_update_really_moves_the_output_at_the_target(rng):
    net = LinearPCN.random((6, 8, 8, 4), rng=rng)
    data = Data(rng.standard_normal((1, 6)), rng.standard_normal((1, 4)))
    before, r = feedforward(net, data.x)[-1], data.y - feedforward(net, data.x)[-1]

    def cosine(update, rate=1e-6):
        after = net.replace(weights=[w + rate * d for w, d in zip(net.weights, update, strict=True)])
        change = feedforward(after, data.x)[-1] - before
        return float(np.sum(change * r) / np.linalg.norm(change) / np.linalg.norm(r))

    pc = cosine(tuple(-g for g in pc_gradient(net, data)))
    bp = cosine(tuple(-g for g in backprop_gradient(net, data)))
    assert cosine(aligned_update(net, data)) > 1 - 1e-9
    assert bp < 1 - 1e-3
    assert pc < 1 - 1e-6  # equal rates: the hypothesis of exact alignment dropped


@pytest.mark.claim("one-shot")
@given(problems(max_samples=1))
def test_normalised_consolidation_maps_the_sample_exactly(problem):
    net, data = problem
    settled = equilibrium(net, data)
    sizes = [np.linalg.norm(z) for z in settled.activities]
    assume(min(sizes[:-1]) > 1e-3 * max(sizes))
    learned = one_shot(net, data)
    kappa = (inference_rate(net).condition if net.depth > 1 else 1.0) * 1e3**2
    assert_close(
        feedforward(learned, data.x)[-1], data.y, size=1e3 * sum(net.widths), kappa=kappa, scale=max(sizes)
    )
    for w, old, a, e, z in zip(
        learned.weights, net.weights, net.multipliers, settled.errors, settled.activities, strict=False
    ):
        assert_close(
            a * (w - old),
            e.T @ z / np.sum(z**2),
            size=1e3,
            kappa=1e3,
            scale=np.abs(e).max() / np.linalg.norm(z),
        )


@pytest.mark.claim("one-shot")
def test_a_batch_is_learned_in_one_shot_when_its_activities_are_independent(rng):
    net = LinearPCN.random((5, 6, 4, 3), rng=rng)
    data = Data(rng.standard_normal((4, 5)), rng.standard_normal((4, 3)))
    np.testing.assert_allclose(feedforward(one_shot(net, data), data.x)[-1], data.y, atol=1e-9)
    wide = Data(rng.standard_normal((5, 5)), rng.standard_normal((5, 3)))
    with pytest.raises(
        ValueError, match="`data` must give samples whose activities in layer 2 are linearly independent"
    ):
        one_shot(net, wide)  # five samples through a layer of four units


@pytest.mark.claim("missing-logdet")
@pytest.mark.evidence("empirical")
@settings(max_examples=30)
@given(problems(max_depth=4, max_samples=3, gain=(0.3, 1.2)))
def test_the_posterior_averaged_rule_is_the_gradient_of_the_likelihood(problem):
    """Autograd on the Gaussian log likelihood N(y; P_0 x, S), written out."""
    net, data = problem
    plain = Plain(
        net,
        (data.x, *(np.zeros((len(data.x), n)) for n in net.widths[1:-1]), data.y),
        [True] * len(net.widths),
    )
    maps = [
        a * w + (torch.eye(len(w), dtype=torch.float64) if s else 0)
        for w, a, s in zip(plain.leaves, net.multipliers, net.skips, strict=True)
    ]
    mean, cov = torch.tensor(data.x), torch.zeros(net.widths[0], net.widths[0], dtype=torch.float64)
    for m, pi in zip(maps, plain.pis, strict=True):
        mean, cov = mean @ m.T, m @ cov @ m.T + torch.linalg.inv(pi)
    cov = (cov + cov.T) / 2
    density = torch.distributions.MultivariateNormal(mean, cov)
    expected = plain.gradient(-density.log_prob(torch.tensor(data.y)).mean())
    kappa = np.linalg.cond(cov.detach().numpy()) * (inference_rate(net).condition if net.depth > 1 else 1)
    assume(kappa < 1e6)
    scale = max(1.0, *(np.abs(g).max() for g in expected)) * max(1.0, np.abs(data.y).max()) ** 2
    for a, b in zip(posterior_averaged_gradient(net, data), expected, strict=True):
        assert_close(a, b, size=1e4, kappa=kappa, scale=scale)


def ppca_problem(rng, noise=0.3, dimension=5, code=2, samples=40):
    """A one-layer linear generative model z_1 ~ N(0, I), y = W z_1 + noise, at PPCA's maximum likelihood
    solution.
    """
    basis = np.linalg.qr(rng.standard_normal((dimension, dimension)))[0]
    variances = np.array([4.0, 2.0, 0.5, 0.2, 0.1])
    z = np.linalg.qr(rng.standard_normal((samples, dimension)))[0] * np.sqrt(samples * variances)
    data = Data(np.zeros((samples, 1)), z @ basis.T)
    rotation = np.linalg.qr(rng.standard_normal((code, code)))[0]
    weights = basis[:, :code] @ np.diag(np.sqrt(variances[:code] - noise)) @ rotation
    return LinearPCN([np.zeros((code, 1)), weights], precisions=[1.0, 1 / noise]), data


@pytest.mark.claim("missing-logdet")
def test_posterior_averaged_pc_is_stationary_at_ppca_and_plain_pc_is_not(rng):
    net, data = ppca_problem(rng)
    averaged = posterior_averaged_gradient(net, data)[1]
    assert_close(averaged, np.zeros_like(averaged), size=1e3, kappa=10, scale=10)
    plain = pc_gradient(net, data)[1]
    assert np.abs(plain).max() > 0.1
    # plain PC wants larger weights: its gradient points inwards, against W
    assert np.sum(-plain * net.weights[1]) > 0
    off = net.replace(weights=[net.weights[0], 1.001 * net.weights[1]])
    assert np.abs(posterior_averaged_gradient(off, data)[1]).max() > 1e-4


# ---- compare_gradients and its bounds ----------------------------------------------------------------------


@pytest.mark.claim("finite-time-energy")
@given(problems(min_depth=2, gain=(0.3, 1.2)), st.integers(0, 30), st.floats(0.2, 1.0))
def test_the_bounds_hold_for_any_network_step_and_time(problem, steps, fraction):
    net, data = problem
    rate = inference_rate(net)
    assume(rate.condition < 1e5)
    compared = compare_gradients(
        net, data, ("local", "detached", "unrolled"), step=fraction * rate.best_step, num_steps=steps
    )
    errors = compared.errors("pc")
    slack = 1e5 * EPS * rate.condition * max(1.0, *(np.abs(g).max() for g in compared.gradients["pc"]))
    assert np.all(errors["local"] <= compared.bounds.local * (1 + 1e-9) + slack)
    assert np.all(errors["detached"] <= compared.bounds.detached * (1 + 1e-9) + slack)
    assert np.all(errors["unrolled"] <= compared.bounds.unrolled * (1 + 1e-9) + slack)


@pytest.mark.claim("finite-time-energy")
def test_the_local_rule_errs_by_rho_to_the_t_and_unrolling_by_t_rho_to_the_2t(rng):
    net = LinearPCN.random((4, 6, 6, 5), rng=rng)
    data = Data(rng.standard_normal((6, 4)), rng.standard_normal((6, 5)))
    rate = inference_rate(net)
    step = 0.9 / rate.largest  # rho = 1 - g lambda_min, one mode
    rho = rate.contraction(step)
    times = np.array([2, 3]) * int(np.log(1e-2) / np.log(rho))
    gaps = {"local": [], "detached": []}
    for steps in times:
        errors = compare_gradients(net, data, tuple(gaps), step=step, num_steps=int(steps)).errors("pc")
        for rule, row in gaps.items():
            row.append(np.linalg.norm(errors[rule]))
    span = times[1] - times[0]
    local = np.log(gaps["local"][1] / gaps["local"][0]) / (span * np.log(rho))
    detached = np.log(gaps["detached"][1] / gaps["detached"][0] * times[0] / times[1]) / (span * np.log(rho))
    assert abs(local - 1) < 0.02, local
    assert abs(detached - 2) < 0.05, detached


@pytest.mark.claim("finite-time-energy")
def test_the_bounds_of_a_chain_are_those_worked_out_by_hand():
    net, data = LinearPCN([[[2.0]], [[3.0]]]), Data([[1.0]], [[7.0]])
    bounds = compare_gradients(net, data, ("local",), step=0.05, num_steps=3).bounds
    # H = 1 + 3^2 = 10, so rho = 1 - 0.5; z_1 starts at 2 and ends at (2 + 3 * 7) / 10 = 2.3, with errors 0.3
    # and 0.1
    rho, top, d = 0.5, 10.0, 0.3
    s = np.sqrt([1 + 2**2, 1 + 3**2])
    m = np.array([0.3, 0.1]) + s * [1.0, 2.3]
    local = m * rho**3 * d + s * rho**6 * d**2
    detached = rho**6 * d * (m + s * d + 2 * 3 * 0.05 * top * s * d / rho)
    start = rho**6 * top * d * np.array([1.0, 0.0])  # the input, through the only hidden layer
    np.testing.assert_allclose(bounds.local, local, rtol=1e-12)
    np.testing.assert_allclose(bounds.detached, detached, rtol=1e-12)
    np.testing.assert_allclose(bounds.unrolled, detached + start, rtol=1e-12)


def test_every_rule_runs_and_the_table_is_complete(rng):
    net = LinearPCN.random((3, 4, 4, 2), rng=rng, skips=True, parameterisation="mupc")
    data = Data(rng.standard_normal((5, 3)), rng.standard_normal((5, 2)))
    compared = compare_gradients(net, data)
    assert set(compared.gradients) == set(LEARNING_RULES)
    cosines, ratios = compared.cosines("pc"), compared.norm_ratios("bp")
    np.testing.assert_allclose(cosines["implicit"], 1, atol=1e-12)
    np.testing.assert_allclose(ratios["bp"], 1)
    np.testing.assert_allclose(compared.cosines("bp")["z-il"], 1, atol=1e-12)
    spiking = spiking_update(net, data, compared.step, 1e-3)
    np.testing.assert_array_equal(spiking[0], compared.gradients["spiking"][0])
    local = local_gradient(net, data, compared.step, compared.num_steps)
    np.testing.assert_array_equal(local[0], compared.gradients["local"][0])


def test_norm_ratios_are_norms_over_that_of_the_named_rule_and_nan_where_it_is_zero(rng):
    net = LinearPCN.random((3, 4, 4, 2), rng=rng)
    data = Data(rng.standard_normal((5, 3)), rng.standard_normal((5, 2)))
    compared = compare_gradients(net, data, ("local",), num_steps=1)
    sizes = {rule: [np.linalg.norm(g) for g in compared.gradients[rule]] for rule in ("pc", "local")}
    expected = [0.0, *np.divide(sizes["local"], sizes["pc"])[1:]]  # one step: no error has reached layer 1
    np.testing.assert_allclose(compared.norm_ratios("pc")["local"], expected, rtol=1e-14)
    inverse = compared.norm_ratios("local")["pc"]
    assert np.isnan(inverse[0])
    np.testing.assert_allclose(inverse[1:], 1 / np.array(expected[1:]), rtol=1e-14)


def test_torch_networks_keep_their_library_and_their_graph(rng):
    net = LinearPCN.random((2, 3, 4), rng=rng)
    z = tuple(rng.standard_normal((3, n)) for n in net.widths)
    loss = CrossEntropy(np.eye(2)[[0, 1, 0]], 0)
    expected = implicit_gradient(ClampedProblem(net, z, (False, False, True)), loss)
    twin = net.replace(weights=[torch.tensor(np.array(w)) for w in net.weights])
    problem = ClampedProblem(twin, tuple(torch.tensor(a) for a in z), (False, False, True))
    actual = implicit_gradient(problem, CrossEntropy(torch.tensor(loss.target), 0))
    for a, b in zip(actual, expected, strict=True):
        np.testing.assert_allclose(a.numpy(), b, atol=1e-13)


def small(rng=None):
    rng = np.random.default_rng(0)
    net = LinearPCN.random((2, 3, 2), rng=rng)
    data = Data(rng.standard_normal((2, 2)), rng.standard_normal((2, 2)))
    return net, data, ClampedProblem(net, (*feedforward(net, data.x)[:-1], data.y))


BAD = [
    (lambda n, d, p: compare_gradients(n, d, ("magic",)), "`rules` must be one of 'bp', 'pc'"),
    (lambda n, d, p: unrolled_gradient(p, LayerEnergies(), 0.1, 2, last=3), "`last` must not exceed"),
    (
        lambda n, d, p: equilibrium_propagation_gradient(p, LayerEnergies(), 0.0),
        "`beta` must not be 0",
    ),
    (
        lambda n, d, p: equilibrium_propagation_gradient(p, SquaredError(np.ones((2, 3)), 1), 1e4),
        "`beta` must be small enough",
    ),
    (
        lambda n, d, p: LayerEnergies((1.0,)).value(n, p.activities),
        "`weights` must be one number per layer, 2",
    ),
    (lambda n, d, p: aligned_update(n, d), "`data` must hold one sample"),
]


@pytest.mark.parametrize(("call", "message"), BAD)
def test_bad_arguments_are_refused_in_one_sentence(call, message):
    with pytest.raises(ValueError, match=message):
        call(*small())
