"""Inference in torch against the closed forms: the empirical road to the claims about equilibrium and its
approach.
"""

import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch")


import pctheory
from pctheory import Data, LinearPCN
from pctheory.inference import ClampedProblem, clamped_equilibrium
from pctheory.nn import (
    PCN,
    Adam,
    Clamps,
    ErrorDescent,
    GradientDescent,
    Heun,
    Momentum,
    Newton,
    Stop,
    infer,
    settle,
)
from pctheory.nn._stacked import State
from pctheory.nn.inference.descents import descend
from pctheory.nn.inference.kinks import box_program
from pctheory.nn.inference.linearised import Linearised
from pctheory.nn.inference.problem import Problem, Trace

EPS = float(np.finfo(np.float64).eps)
DESCENTS = [GradientDescent(0.3), Momentum(0.1, momentum=0.8), ErrorDescent(0.3)]
INPUT = (True, False, False, False, False)
METHODS = [*DESCENTS, Newton(), Heun(t_max=400.0, first_step=0.05, rtol=1e-4, atol=1e-7)]


def linear_problem(precisions=None, seed=0, skips=True):
    rng = np.random.default_rng(seed)
    net = LinearPCN.random(
        (4, 6, 6, 6, 3), parameterisation="mupc", skips=skips, precisions=precisions, rng=rng
    )
    return net, Data(rng.standard_normal((8, 4)), rng.standard_normal((8, 3)))


def condition(net):
    eigenvalues = np.linalg.eigvalsh(np.asarray(pctheory.activity_hessian(net).to_dense()))
    return eigenvalues[-1] / eigenvalues[0], eigenvalues


def matrix_precisions():
    rng = np.random.default_rng(7)
    roots = [rng.standard_normal((n, n)) for n in (6, 6, 6, 3)]
    return [root @ root.T / len(root) + np.eye(len(root)) for root in roots]


@pytest.mark.claim("equilibrium-errors")
@pytest.mark.claim("equilibrated-energy")
@pytest.mark.parametrize("precisions", [None, [1.0, 2.0, 0.5, 3.0], matrix_precisions()])
@pytest.mark.parametrize("method", METHODS, ids=lambda m: type(m).__name__)
def test_inference_ends_at_the_equilibrium_and_its_energy_comes_down_to_the_closed_form(method, precisions):
    net, data = linear_problem(precisions)
    expected = pctheory.equilibrium(net, data)
    # of the ODE the way is followed, not its end: explicit steps rest at the edge of stability
    stop = Stop(20_000, 1e-3 if isinstance(method, Heun) else 1e-9)
    if precisions is not None:
        steps = {k: 0.2 * v for k, v in vars(method).items() if k in ("step", "first_step")}
        method = dataclasses.replace(method, **steps)
    result = infer(PCN.from_linear(net), data.x, data.y, method, stop=stop, record=1)
    assert result.converged
    # |z - z*| <= |grad| / lambda_min, per-sample gradients being B times larger
    _, eigenvalues = condition(net)
    bound = result.gradient_norms[-1] * data.num_samples / eigenvalues[0]
    for z, z_star in zip(result.activities, expected.activities, strict=True):
        assert float(np.linalg.norm(z.numpy() - np.asarray(z_star))) <= bound + 1e3 * EPS
    # F(z) - F* = 1/(2B) g^T H^-1 g, from above
    gap = result.energy - float(expected.energy)
    assert -16 * EPS <= gap <= bound * result.gradient_norms[-1] / 2 + 16 * EPS
    if isinstance(method, GradientDescent | Heun):
        assert np.all(np.diff(result.energies) <= 4 * EPS)
    assert np.all(result.energies >= float(expected.energy) - 16 * EPS)


@pytest.mark.claim("equilibrium-errors")
@pytest.mark.parametrize("method, tolerance", [(Adam(0.003), 1e-3), (GradientDescent(0.3), 1e-9)])
@pytest.mark.parametrize("start", ["zeros", "random"])
def test_the_equilibrium_does_not_depend_on_the_start(method, tolerance, start):
    net, data = linear_problem()
    expected = pctheory.equilibrium(net, data)
    stop = Stop(20_000, tolerance)
    result = infer(PCN.from_linear(net), data.x, data.y, method, stop=stop, start=start, rng=0)
    assert result.converged
    bound = result.gradient_norms[-1] * data.num_samples / condition(net)[1][0]
    for z, z_star in zip(result.activities, expected.activities, strict=True):
        assert float(np.linalg.norm(z.numpy() - np.asarray(z_star))) <= bound + 1e3 * EPS


@pytest.mark.claim("envelope-gradient")
def test_the_local_rule_at_equilibrium_is_the_gradient_of_the_equilibrated_energy():
    net, data = linear_problem([1.0, 2.0, 0.5, 3.0])
    model = PCN.from_linear(net)
    result = infer(model, data.x, data.y, "newton", stop=Stop(tolerance=1e-13))
    local = model.local_gradient(result.activities)
    # autograd through the closed form of F*, whose gradient is never written down
    weights = [torch.tensor(np.asarray(w), requires_grad=True) for w in net.weights]
    theory = LinearPCN(weights, multipliers=net.multipliers, skips=net.skips, precisions=[1.0, 2.0, 0.5, 3.0])
    energy = pctheory.equilibrium(theory, Data(torch.tensor(data.x), torch.tensor(data.y))).energy
    exact = torch.autograd.grad(energy, weights)
    for a, b in zip(local, exact, strict=True):
        assert float((a - b).abs().max()) <= 1e3 * condition(net)[0] * EPS
    # away from equilibrium it is not
    early = model.local_gradient(infer(model, data.x, data.y, stop=Stop(3)).activities)
    assert max(float((a - b).abs().max()) for a, b in zip(early, exact, strict=True)) > 1e-3


@pytest.mark.claim("activity-hessian")
def test_the_gradient_of_inference_is_affine_with_the_hessian_of_the_theory():
    net, _ = linear_problem(matrix_precisions())
    model = PCN.from_linear(net)
    hessian = np.asarray(pctheory.activity_hessian(net).to_dense())
    stacked = model.stacked()
    state = model.state([torch.zeros(18, n, dtype=torch.float64) for n in net.widths])
    base = model.activity_gradient(state.layers())
    for s, stack in enumerate(stacked.stacks):
        offset = sum(net.widths[1 : stack.first])
        for row in range(stack.size):
            for unit in range(stack.width):
                sample = offset + row * stack.width + unit
                state.hidden[s][row, sample, unit] = 1.0
    moved = model.activity_gradient(state.layers())
    measured = torch.cat([18 * (b - a) for a, b in zip(base[1:-1], moved[1:-1], strict=True)], dim=1).numpy()
    assert np.abs(measured - hessian).max() <= 64 * EPS * np.abs(hessian).max()


@pytest.mark.claim("error-coordinates")
def test_the_first_step_in_error_coordinates_is_the_backprop_gradient():
    net, data = linear_problem()
    model = PCN.from_linear(net)
    step = 0.25
    result = infer(model, data.x, data.y, ErrorDescent(step), stop=Stop(1))
    backward = model.loss_gradient(data.x, data.y)
    errors = [
        z.numpy() - before.numpy() @ np.asarray(a).T
        for before, z, a in zip(result.activities, result.activities[1:-1], net.maps, strict=False)
    ]
    forward = pctheory.feedforward(net, data.x)
    for error, before, gradient, a in zip(errors, forward, backward, net.multipliers, strict=False):
        by_errors = -a / data.num_samples * (error / step).T @ np.asarray(before)
        assert np.abs(by_errors - gradient.numpy()).max() <= 256 * EPS


def ends_clamped(widths):
    return [np.full(n, l in (0, len(widths) - 1)) for l, n in enumerate(widths)]


def relaxed(model, x, y, method, num_steps, *, front):
    net = model.stacked()
    with torch.no_grad():
        start = net.feedforward(model.inputs(x))
        state = State(start.x, start.hidden, model.targets(y, start.x.shape[0]))
        problem = Problem(net, state, ends_clamped(model.widths), front=front)
        descend(problem, method, Trace(problem, method, Stop(num_steps), record=None))
    return state.layers()


@pytest.mark.claim("first-arrival")
@pytest.mark.parametrize("method", [GradientDescent(0.3), Momentum(0.2), Adam(0.05)])
@pytest.mark.parametrize(
    "activation, output", [("linear", "mse"), ("relu", "mse"), ("tanh", "cross-entropy")]
)
@pytest.mark.parametrize("num_steps", [1, 4, 9])
def test_layers_below_the_front_are_skipped_exactly(method, activation, output, num_steps):
    widths = (5, 6, 6, 6, 4, 4, 6, 3)
    skips = [False, True, True, False, True, False, False]
    model = PCN(widths, activation=activation, output=output, skips=skips, rng=0, dtype=torch.float64)
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((6, 5)), np.eye(3)[rng.integers(0, 3, 6)]
    skipping = relaxed(model, x, y, method, num_steps, front=True)
    # a layer is below the front while l < L - t
    still = [l for l in range(1, 7) if l < 7 - num_steps]
    forward = model.stacked().feedforward(model.inputs(x)).layers()
    assert all(torch.equal(skipping[l], forward[l]) for l in still)
    assert all(not torch.equal(skipping[l], forward[l]) for l in range(1, 7) if l not in still)
    if not isinstance(method, Adam):  # Adam turns roundings of the full computation into steps
        full = relaxed(model, x, y, method, num_steps, front=False)
        assert all(float((a - b).abs().max()) <= 1e-13 for a, b in zip(skipping, full, strict=True))


@pytest.mark.claim("first-arrival")
def test_the_error_arrives_at_layer_l_after_L_minus_l_steps_as_g_to_the_power_of_its_delay():
    net, data = linear_problem()
    step = 0.1
    r = data.y - np.asarray(pctheory.feedforward(net, data.x)[-1])
    product = np.eye(3)
    for l in range(net.depth - 1, 0, -1):
        product = product @ np.asarray(net.maps[l])
        t = net.depth - l
        z = infer(PCN.from_linear(net), data.x, data.y, GradientDescent(step), stop=Stop(t)).activities
        error = z[l].numpy() - z[l - 1].numpy() @ np.asarray(net.maps[l - 1]).T
        assert np.abs(error - step**t * r @ product).max() <= 64 * EPS
    # a free output has nothing to propagate
    free = infer(PCN.from_linear(net), data.x, None, GradientDescent(step), clamp=INPUT, stop=Stop(5))
    assert free.energy <= EPS


@pytest.mark.claim("nothing-to-learn")
def test_with_a_free_output_inference_stays_at_the_forward_pass():
    net, data = linear_problem()
    result = infer(PCN.from_linear(net), data.x, None, GradientDescent(0.3), clamp=INPUT, stop=Stop(50))
    for z, forward in zip(result.activities, pctheory.feedforward(net, data.x), strict=True):
        assert np.abs(z.numpy() - np.asarray(forward)).max() <= 64 * EPS


def test_the_generative_orientation_infers_a_free_input():
    """With only z_L held the energy falls to zero when the map is onto, at any preimage of y."""
    net, data = LinearPCN.random((4, 6, 6, 3), init="orthogonal", rng=0), linear_problem()[1]
    clamp = (False, False, False, True)
    result = infer(
        PCN.from_linear(net), None, data.y, GradientDescent(0.3), clamp=clamp, stop=Stop(4000, 1e-8)
    )
    assert result.converged
    assert result.energy < 1e-12
    gradient = PCN.from_linear(net).activity_gradient(result.activities)
    assert max(float(g.abs().max()) for g in gradient[:-1]) <= result.gradient_norms[-1]


def test_held_hidden_layers_do_not_move():
    net, data = linear_problem()
    model = PCN.from_linear(net)
    start = infer(model, data.x, data.y, start="random", rng=3, stop=Stop(0)).activities
    start = [z.clone() for z in start]
    result = infer(
        model,
        data.x,
        data.y,
        GradientDescent(0.2),
        start=start,
        clamp=(True, False, True, False, True),
        stop=Stop(50),
    )
    assert torch.equal(result.activities[2], start[2])
    assert not torch.equal(result.activities[1], start[1])


def test_the_batch_mean_convention_divides_the_step_by_the_batch_size():
    net, data = linear_problem()
    model = PCN.from_linear(net)
    for method in (GradientDescent, Momentum, ErrorDescent):
        mean = infer(model, data.x, data.y, method(0.8, convention="batch-mean"), stop=Stop(7))
        each = infer(model, data.x, data.y, method(0.1), stop=Stop(7))
        assert all(
            float((a - b).abs().max()) <= 64 * EPS
            for a, b in zip(mean.activities, each.activities, strict=True)
        )


def test_decay_pulls_the_activities_to_the_minimum_with_a_ridge():
    net, data = linear_problem()
    decay = 0.3
    result = infer(
        PCN.from_linear(net), data.x, data.y, GradientDescent(0.2, decay=decay), stop=Stop(500, 1e-13)
    )
    assert result.converged  # of the energy and the decay together
    gradient = PCN.from_linear(net).activity_gradient(result.activities)
    for g, z in zip(gradient[1:-1], result.activities[1:-1], strict=True):
        assert float((data.num_samples * g + decay * z).abs().max()) <= 1e-12


@pytest.mark.claim("inference-rate")
def test_adaptive_heun_follows_the_exponential_flow_within_its_tolerance():
    net, data = linear_problem()
    model = PCN.from_linear(net)
    hessian = np.asarray(pctheory.activity_hessian(net).to_dense())
    z_star = np.concatenate([np.asarray(z) for z in pctheory.equilibrium(net, data).activities[1:-1]], axis=1)
    start = np.concatenate([np.asarray(z) for z in pctheory.feedforward(net, data.x)[1:-1]], axis=1)
    values, vectors = np.linalg.eigh(hessian)
    exact = z_star + (start - z_star) @ (vectors * np.exp(-1.5 * values)) @ vectors.T
    errors = []
    for rtol in (1e-4, 1e-6):
        result = infer(model, data.x, data.y, Heun(t_max=1.5, rtol=rtol, atol=rtol, first_step=0.5))
        end = np.concatenate([z.numpy() for z in result.activities[1:-1]], axis=1)
        errors.append(np.sqrt(np.mean((end - exact) ** 2)))
        # the flow contracts: the error is at most the sum of the local ones
        assert errors[-1] <= result.num_steps * rtol * (1 + np.abs(exact).max())
    assert errors[1] < 0.1 * errors[0]


@pytest.mark.claim("inference-rate")
def test_gd_diverges_past_two_over_the_largest_eigenvalue():
    net, data = linear_problem()
    model = PCN.from_linear(net)
    edge = 2 / condition(net)[1][-1]
    assert infer(model, data.x, data.y, GradientDescent(0.95 * edge), stop=Stop(3000, 1e-6)).converged
    with pytest.raises(ValueError, match="`step` must be small enough"):
        infer(model, data.x, data.y, GradientDescent(1.5 * edge), stop=Stop(20_000), record=100)


@pytest.mark.parametrize("activation", ["tanh", "relu", "gelu", "leaky_relu"])
@pytest.mark.parametrize("output", ["mse", "cross-entropy"])
def test_gauss_newton_reaches_a_minimum_of_a_nonlinear_energy(activation, output):
    model = PCN(
        (8, *(16,) * 8, 4),
        activation=activation,
        output=output,
        parameterisation="mupc",
        skips=True,
        rng=0,
        dtype=torch.float64,
    )
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((12, 8)), np.eye(4)[rng.integers(0, 4, 12)]
    result = infer(model, x, y, "newton", stop=Stop(tolerance=1e-8), record=1)
    assert result.converged
    assert np.all(np.diff(result.energies) <= 1e-12)
    # no descent from there goes lower
    further = infer(model, x, y, GradientDescent(0.01), start=result.activities, stop=Stop(200))
    assert further.energy >= result.energy - 1e-10
    gradient = model.activity_gradient(result.activities)[1:-1]
    rest = [(z == 0) for z in result.activities[1:-1]]
    at_rest = sum(int(mask.sum()) for mask in rest)
    free = max(float(g[~mask].abs().max()) for g, mask in zip(gradient, rest, strict=True))
    assert free <= 1e-8  # away from kinks it is the gradient of the definition
    assert (at_rest > 0) == (activation in ("relu", "leaky_relu"))


def test_units_rest_at_the_kink_of_a_relu_where_gd_chatters():
    model = PCN.from_weights([[[1.0]], [[-1.0]]], activation="relu", dtype=torch.float64)
    # F = (z - x)^2 / 2 + (y + relu(z))^2 / 2 with x = 0.5, y = 2: slopes at 0 are -0.5 and 1.5, the minimum
    # is the kink
    result = infer(model, [[0.5]], [[2.0]], "newton", stop=Stop(tolerance=1e-12))
    assert result.converged
    assert float(result.activities[1]) == 0
    chatter = infer(model, [[0.5]], [[2.0]], GradientDescent(0.1), stop=Stop(1000, 1e-3))
    assert chatter.converged is False
    assert 0 < abs(float(chatter.activities[1])) < 0.2


@pytest.mark.parametrize("precisions", [None, "vectors"])
def test_rows_and_solutions_of_the_linearised_network_are_those_of_its_dense_hessian(precisions):
    rng = np.random.default_rng(3)
    widths = (3, 5, 5, 4, 6, 2)
    if precisions == "vectors":
        precisions = [rng.uniform(0.5, 2.0, n) for n in widths[1:]]
    skips = [False, True, False, False, False]
    model = PCN(widths, activation="relu", skips=skips, precisions=precisions, rng=0, dtype=torch.float64)
    x, y = rng.standard_normal((2, 3)), rng.standard_normal((2, 2))
    net = model.stacked()
    state = net.feedforward(model.inputs(x))
    problem = Problem(net, state, ends_clamped(widths), front=False)
    state.y = model.targets(y, 2)
    with torch.no_grad():
        lin = Linearised(net, state, Trace(problem, Newton(), Stop()), dense=True)
        slopes, curvature = net.slopes(state), net.output_curvature(state.y)
        lin.move(slopes, curvature)
        wanted = [torch.zeros_like(z, dtype=torch.bool) for z in state.hidden]
        wanted[0][1, 0, 3] = wanted[-1][0, 0, 2] = wanted[0][0, 1, 1] = (
            True  # two of the first sample, one of the second
        )
        lin.add(wanted)
        forces = [torch.tensor(rng.standard_normal(z.shape)) for z in state.hidden]
        changes = lin.solve(forces)
        step = lin.forward(changes)
        assert all(
            torch.allclose(a, b, atol=1e-12)
            for a, b in zip(net.hessian_product(step, slopes, curvature, None), forces, strict=True)
        )
        assert torch.allclose(lin.measure(changes)[:, 2:], lin.gather(step), atol=1e-12)
        # forces on the units with rows move these units by the response
        loads = lin.gather([torch.ones_like(z) for z in state.hidden]) * 0.7
        pressed = [torch.zeros_like(z) for z in state.hidden]
        lin.press(pressed, loads)
        moved = lin.forward(pressed)
        assert torch.allclose((lin.response() @ loads[..., None])[..., 0], lin.gather(moved), atol=1e-12)
        assert all(
            torch.allclose(a, b, atol=1e-12)
            for a, b in zip(
                net.hessian_product(moved, slopes, curvature, None), lin.scatter(loads), strict=True
            )
        )


def test_the_box_program_ends_where_no_force_within_its_bounds_does_better():
    rng = np.random.default_rng(5)
    root = torch.tensor(rng.standard_normal((40, 9, 9)))
    matrix, vector = root @ root.mT + 0.01 * torch.eye(9), torch.tensor(rng.standard_normal((40, 9)))
    upper = torch.tensor(rng.uniform(0, 1, (40, 9)))
    x = box_program(matrix, vector, upper)
    slope = (matrix @ x[..., None])[..., 0] + vector
    low, high = x == 0, x == upper
    assert bool(((x >= 0) & (x <= upper)).all())
    assert bool((slope[low & ~high] >= 0).all())
    assert bool((slope[high & ~low] <= 0).all())
    assert float(slope[~low & ~high].abs().max()) <= 1e4 * EPS
    assert min(int(low.sum()), int(high.sum()), int((~low & ~high).sum())) > 20


@pytest.mark.parametrize("hidden, most", [(8, 30), (32, 90)])
def test_newton_steps_find_the_units_that_rest_in_few_passes_where_descents_do_not_converge(hidden, most):
    model = PCN(
        (8, *(32,) * hidden, 4),
        activation="relu",
        parameterisation="mupc",
        skips=True,
        rng=0,
        dtype=torch.float64,
    )
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((8, 8)), np.eye(4)[rng.integers(0, 4, 8)]
    result = infer(model, x, y, "newton", stop=Stop(tolerance=1e-10))
    assert result.converged
    assert result.num_passes <= most
    assert sum(int((z == 0).sum()) for z in result.activities[1:-1]) > hidden
    for method in (GradientDescent(0.3), Adam(0.01), ErrorDescent(0.3)):
        descent = infer(model, x, y, method, stop=Stop(10 * most, 1e-2))
        assert not descent.converged


def test_wide_outputs_leave_the_rank_to_conjugate_gradients():
    model = PCN((4, 6, 6, 70), activation="tanh", rng=0, dtype=torch.float64)
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((3, 4)), rng.standard_normal((3, 70))
    assert infer(model, x, y, "newton", stop=Stop(tolerance=1e-9)).converged


def test_a_callback_sees_every_step_and_records_are_taken_where_asked():
    net, data = linear_problem()
    seen = []
    result = infer(
        PCN.from_linear(net),
        data.x,
        data.y,
        stop=Stop(6),
        record=2,
        callback=lambda t, z: seen.append((t, len(z))),
    )
    assert seen == [(t, 5) for t in range(1, 7)]
    assert result.steps.tolist() == [0, 2, 4, 6]
    assert result.converged is None
    assert result.num_passes == 6
    model = PCN.from_linear(net)
    assert result.energy == pytest.approx(float(model.energy(result.activities).detach()), rel=1e-13)
    gradient = model.activity_gradient(result.activities)[1:-1]
    norm = np.sqrt(sum(float((g**2).sum()) for g in gradient))
    assert result.gradient_norms[-1] == pytest.approx(norm, rel=1e-12)


# -- methods and stops as values -----------------------------------------------------------------------------


SHORT = [
    GradientDescent(0.2),
    GradientDescent(0.2, decay=0.1),
    Momentum(0.1),
    Adam(0.02),
    Heun(t_max=2.0),
    ErrorDescent(0.2),
    Newton(),
]


def name_of(method):
    return repr(method)


@pytest.mark.parametrize("method", SHORT, ids=name_of)
def test_every_method_lowers_the_energy_is_repeatable_and_leaves_its_input_alone(method):
    net, data = linear_problem()
    model = PCN.from_linear(net, activation="tanh")
    x, y = torch.tensor(data.x), torch.tensor(data.y)
    kept = x.clone(), y.clone(), [w.detach().clone() for w in model.weights]
    runs = [infer(model, x, y, method, stop=Stop(num_steps=8), record=1) for _ in range(2)]
    assert runs[0].energies[-1] < runs[0].energies[0]
    assert runs[0].energies[0] == pytest.approx(float(model.loss(x, y).detach()), rel=1e-13)
    assert all(torch.equal(a, b) for a, b in zip(runs[0].activities, runs[1].activities, strict=True))
    assert torch.equal(x, kept[0])
    assert torch.equal(y, kept[1])
    assert all(torch.equal(a, b) for a, b in zip(model.weights, kept[2], strict=True))
    assert runs[0].num_steps == runs[0].steps[-1] <= 8


@pytest.mark.parametrize("method", SHORT, ids=name_of)
def test_every_method_takes_no_step_when_it_is_asked_for_none(method):
    net, data = linear_problem()
    result = infer(PCN.from_linear(net), data.x, data.y, method, stop=Stop(num_steps=0))
    for z, forward in zip(result.activities[:-1], pctheory.feedforward(net, data.x)[:-1], strict=True):
        assert np.abs(z.numpy() - np.asarray(forward)).max() <= 64 * EPS
    assert (result.num_steps, len(result.energies)) == (0, 1)


@pytest.mark.parametrize("method", SHORT, ids=name_of)
def test_every_method_stops_at_the_tolerance_and_says_so(method):
    net, data = linear_problem()
    result = infer(PCN.from_linear(net), data.x, data.y, method, stop=Stop(5000, tolerance=0.5), record=1)
    assert result.converged
    assert result.message == "converged"
    assert result.gradient_norms[-1] <= 0.5 * result.gradient_norms[0] < result.gradient_norms[-2]


@pytest.mark.parametrize(
    "name, method",
    [
        ("gd", GradientDescent()),
        ("momentum", Momentum()),
        ("adam", Adam()),
        ("error", ErrorDescent()),
        ("newton", Newton()),
    ],
)
def test_a_name_stands_for_the_method_with_its_defaults(name, method):
    net, data = linear_problem()
    short, long = (infer(PCN.from_linear(net), data.x, data.y, m, stop=Stop(3)) for m in (name, method))
    assert all(torch.equal(a, b) for a, b in zip(short.activities, long.activities, strict=True))


def test_the_times_of_gradient_descent_are_those_of_eulers_method_and_only_methods_of_the_ode_have_any():
    net, data = linear_problem()
    model = PCN.from_linear(net)
    result = infer(model, data.x, data.y, GradientDescent(step=0.25), stop=Stop(6), record=4)
    assert result.steps.tolist() == [0, 4, 6]
    assert result.times.tolist() == [0.0, 1.0, 1.5]
    ode = infer(model, data.x, data.y, Heun(t_max=2.0, first_step=0.125), stop=Stop(1), record=1)
    assert ode.times[0] == 0
    assert 0 < ode.times[1] <= 0.125  # the first step may be refused and shortened
    assert infer(model, data.x, data.y, Heun(t_max=2.0, rtol=1e-3)).times.tolist() == [2.0]
    for method in (Momentum(), Adam(), ErrorDescent(), Newton()):
        assert infer(model, data.x, data.y, method, stop=Stop(2), record=1).times is None


def test_an_accepted_heun_step_is_the_mean_of_the_two_slopes():
    """One unit, F = (z - 2)^2 / 2 + (7 - 3 z)^2 / 2: dz/dt = f = 23 - 10 z.

    Heun's step is then z + dt f (1 - 5 dt).
    """
    model = PCN.from_weights([[[2.0]], [[3.0]]])
    dt = 0.01
    result = infer(model, [[1.0]], [[7.0]], Heun(t_max=1.0, first_step=dt, rtol=1.0), stop=Stop(1), record=1)
    assert result.times.tolist() == [0.0, dt]
    assert result.activities[1].item() == pytest.approx(2 + dt * 3 * (1 - 5 * dt), rel=4 * EPS)


@pytest.mark.parametrize(
    "call",
    [
        lambda: GradientDescent(momentum=0.5),
        lambda: Momentum(t_max=1.0),
        lambda: Adam(momentum=0.5),
        lambda: Heun(t_max=1.0, step=0.1),
        lambda: Heun(),
        lambda: ErrorDescent(decay=0.1),
        lambda: Newton(step=0.1),
        lambda: Newton(convention="batch-mean"),
        lambda: Stop(record=1),
    ],
)
def test_a_field_that_does_not_apply_cannot_be_written(call):
    with pytest.raises(TypeError, match="argument"):
        call()


@pytest.mark.parametrize("method", [*SHORT, Stop()], ids=name_of)
def test_methods_and_stops_do_not_change_and_are_equal_when_their_fields_are(method):
    assert method == dataclasses.replace(method)
    for field in dataclasses.fields(method):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(method, field.name, None)


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: GradientDescent(step=0.0), ValueError, "`step` must be greater than 0"),
        (lambda: GradientDescent(step="fast"), TypeError, "`step` must be a real number"),
        (lambda: GradientDescent(decay=-1.0), ValueError, "`decay` must be 0 or more"),
        (lambda: Momentum(momentum=1.0), ValueError, "`momentum` must be at least 0 and less than 1"),
        (lambda: Adam(betas=(0.9, 1.0)), ValueError, r"`betas\[1\]` must be at least 0"),
        (lambda: Adam(betas=0.9), TypeError, "`betas` must be a pair"),
        (lambda: Adam(epsilon=0.0), ValueError, "`epsilon` must be greater than 0"),
        (lambda: Heun(t_max=0.0), ValueError, "`t_max` must be greater than 0"),
        (lambda: Heun(t_max=1.0, rtol=float("nan")), ValueError, "`rtol` must be finite"),
        (lambda: ErrorDescent(convention="sum"), ValueError, "`convention` must be one of"),
        (lambda: Stop(num_steps=-1), ValueError, "`num_steps` must be 0 or more"),
        (lambda: Stop(tolerance=0.0), ValueError, "`tolerance` must be greater than 0"),
    ],
)
def test_bad_fields_are_refused_when_the_value_is_made(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize(
    "options, error, message",
    [
        (
            {"method": "gauss-newton"},
            ValueError,
            "or one of 'gd', 'momentum', 'adam', 'error', 'newton', 'adaptive'. Got 'gauss-",
        ),
        ({"method": 3}, TypeError, "`method` must be a method such as"),
        ({"stop": 3}, TypeError, "`stop` must be a Stop. Got int"),
        ({"record": -1}, ValueError, "`record` must be 0 or more"),
        ({"start": "nowhere"}, ValueError, "`start` must be one of"),
        ({"start": None}, TypeError, "`start` must be 'feedforward', .* or activities. Got NoneType"),
        ({"start": "random"}, ValueError, "`rng` must be given"),
        ({"clamp": (False,) * 5}, ValueError, "`clamp` must clamp units"),
        ({"clamp": (0, 4)}, ValueError, "`clamp` must be one entry per layer, 5 of them"),
        (
            {"clamp": (True, False, [True, 0, 1], False, True)},
            ValueError,
            r"`clamp\[2\]` must be True, False or 6",
        ),
        ({"clamp": INPUT, "method": "error"}, ValueError, "`clamp` must be None"),
        ({"clamp": INPUT, "method": "newton"}, ValueError, "for Newton"),
        ({"y": None}, ValueError, "`y` must be given when units of layer 4"),
        (
            {"start": [np.ones((2, n)) for n in (4, 6, 6, 6, 3)]},
            ValueError,
            "`start` and `x` must have one row",
        ),
    ],
)
def test_bad_arguments_are_refused_with_the_rule(options, error, message):
    net, data = linear_problem()
    with pytest.raises(error, match=message):
        infer(PCN.from_linear(net), **{"x": data.x, "y": data.y, **options})


# -- clamped units -------------------------------------------------------------------------------------------


MASKS = {
    "parts": (
        np.array([True, True, False, True]),
        [False, False, True, False, False, True],
        False,
        True,
        [True, False, True],
    ),
    "layers": (True, False, True, False, True),
    "no input": (False, [True, False] * 3, False, False, True),
    "no output": (True, False, False, [True, False] * 3, False),
}


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
@pytest.mark.parametrize(
    "method", [GradientDescent(0.1), Momentum(0.05), Heun(t_max=1e4, rtol=1e-3)], ids=name_of
)
def test_one_mask_means_the_same_to_inference_to_clamps_and_to_the_theory(mask, method):
    net, _ = linear_problem(skips=False)
    rng = np.random.default_rng(2)
    given = [rng.standard_normal((5, n)) for n in net.widths]
    expected = clamped_equilibrium(net, given, mask)
    model = PCN.from_linear(net)
    found = infer(model, given[0], given[-1], method, start=given, clamp=mask, stop=Stop(20_000, 1e-4))
    clamps = Clamps.of(model, mask)
    with torch.no_grad():
        settled = settle(model, given, clamps, step=0.1, num_steps=1)
    problem = ClampedProblem(net, given, mask)
    free = problem.free
    # |z - z*| <= |gradient| / lambda_min, per-sample gradients being B times larger
    least = np.linalg.eigvalsh(np.asarray(problem.hessian.to_dense()))[0]
    bound = 5 * found.gradient_norms[-1] / least + 1e3 * EPS
    for l, (z, z_star) in enumerate(zip(found.activities, expected.activities, strict=True)):
        held = np.setdiff1d(np.arange(net.widths[l]), free[l])
        assert np.array_equal(z.numpy()[:, held], given[l][:, held])
        assert np.array_equal(settled[l].numpy()[:, held], given[l][:, held])
        assert np.array_equal(np.flatnonzero(clamps.free[l].numpy()), free[l])
        assert float(np.linalg.norm(z.numpy() - np.asarray(z_star))) <= bound
    gap = found.energy - float(expected.energy)
    assert -64 * EPS <= gap <= bound * found.gradient_norms[-1] / 2 + 64 * EPS


def test_clamped_units_do_not_decay():
    net, data = linear_problem()
    start = [np.ones((8, n)) for n in net.widths]
    clamp = (True, [True, False] * 3, False, False, True)
    result = infer(
        PCN.from_linear(net),
        data.x,
        data.y,
        GradientDescent(0.1, decay=0.5),
        start=start,
        clamp=clamp,
        stop=Stop(9),
    )
    assert np.all(result.activities[1].numpy()[:, ::2] == 1)
    assert np.all(result.activities[1].numpy()[:, 1::2] != 1)
