"""Inference in torch against the closed forms: the empirical road to the claims about equilibrium and its approach."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from pctheory.nn._frame import State
from pctheory.nn._kinks import box_program
from pctheory.nn._linearised import Linearised

import pctheory
from pctheory import Data, LinearPCN
from pctheory.nn import PCN, InferenceSettings, infer
from pctheory.nn.inference import Problem, Trace, descend

EPS = float(np.finfo(np.float64).eps)
DESCENTS = {
    "gd": {"step": 0.3},
    "euler": {"step": 0.3},
    "momentum": {"step": 0.1, "momentum": 0.8},
    "error": {"step": 0.3},
}


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
@pytest.mark.parametrize("method", [*DESCENTS, "gauss-newton", "heun"])
def test_inference_ends_at_the_equilibrium_and_its_energy_comes_down_to_the_closed_form(method, precisions):
    net, data = linear_problem(precisions)
    expected = pctheory.equilibrium(net, data)
    tolerance = 1e-9
    options = {
        "gauss-newton": {},
        "heun": {"t_max": 400.0, "rtol": 1e-4, "atol": 1e-7, "step": 0.05},
    }.get(method) or {**DESCENTS.get(method, {}), "num_steps": 20_000}
    if precisions is not None and "step" in options:
        options["step"] *= 0.2
    if method == "heun":
        tolerance = 1e-3  # the ODE is followed, not its end: explicit steps rest at the edge of stability
    result = infer(
        PCN.from_linear(net), data.x, data.y, method=method, tolerance=tolerance, record=1, **options
    )
    assert result.converged
    # |z - z*| <= |grad| / lambda_min, per-sample gradients being B times larger
    _, eigenvalues = condition(net)
    bound = result.gradient_norms[-1] * data.num_samples / eigenvalues[0]
    for z, z_star in zip(result.activities, expected.activities, strict=True):
        assert float(np.linalg.norm(z.numpy() - np.asarray(z_star))) <= bound + 1e3 * EPS
    # F(z) - F* = 1/(2B) g^T H^-1 g, from above
    gap = result.energy - float(expected.energy)
    assert -16 * EPS <= gap <= bound * result.gradient_norms[-1] / 2 + 16 * EPS
    if method in ("gd", "euler", "heun"):
        assert np.all(np.diff(result.energies) <= 4 * EPS)
    assert np.all(result.energies >= float(expected.energy) - 16 * EPS)


@pytest.mark.claim("equilibrium-errors")
@pytest.mark.parametrize("method", ["adam", "gd"])
@pytest.mark.parametrize("init", ["zeros", "random"])
def test_the_equilibrium_does_not_depend_on_the_start(method, init):
    net, data = linear_problem()
    expected = pctheory.equilibrium(net, data)
    step = {"adam": 0.003, "gd": 0.3}[method]
    tolerance = {"adam": 1e-3, "gd": 1e-9}[method]
    result = infer(
        PCN.from_linear(net),
        data.x,
        data.y,
        method=method,
        step=step,
        num_steps=20_000,
        init=init,
        rng=0,
        tolerance=tolerance,
    )
    assert result.converged
    bound = result.gradient_norms[-1] * data.num_samples / condition(net)[1][0]
    for z, z_star in zip(result.activities, expected.activities, strict=True):
        assert float(np.linalg.norm(z.numpy() - np.asarray(z_star))) <= bound + 1e3 * EPS


@pytest.mark.claim("envelope-gradient")
def test_the_local_rule_at_equilibrium_is_the_gradient_of_the_equilibrated_energy():
    net, data = linear_problem([1.0, 2.0, 0.5, 3.0])
    model = PCN.from_linear(net)
    result = infer(model, data.x, data.y, method="gauss-newton", tolerance=1e-13)
    local = model.local_gradient(result.activities)
    # autograd through the closed form of F*, whose gradient is never written down
    weights = [torch.tensor(np.asarray(w), requires_grad=True) for w in net.weights]
    theory = LinearPCN(weights, multipliers=net.multipliers, skips=net.skips, precisions=[1.0, 2.0, 0.5, 3.0])
    energy = pctheory.equilibrium(theory, Data(torch.tensor(data.x), torch.tensor(data.y))).energy
    exact = torch.autograd.grad(energy, weights)
    for a, b in zip(local, exact, strict=True):
        assert float((a - b).abs().max()) <= 1e3 * condition(net)[0] * EPS
    # away from equilibrium it is not
    early = model.local_gradient(infer(model, data.x, data.y, step=0.1, num_steps=3).activities)
    assert max(float((a - b).abs().max()) for a, b in zip(early, exact, strict=True)) > 1e-3


@pytest.mark.claim("activity-hessian")
def test_the_gradient_of_inference_is_affine_with_the_hessian_of_the_theory():
    net, _ = linear_problem(matrix_precisions())
    model = PCN.from_linear(net)
    hessian = np.asarray(pctheory.activity_hessian(net).to_dense())
    frame = model.frame()
    state = model.state([torch.zeros(18, n, dtype=torch.float64) for n in net.widths])
    base = model.activity_gradient(state.layers())
    for s, stack in enumerate(frame.stacks):
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
    result = infer(model, data.x, data.y, method="error", step=step, num_steps=1)
    backward = model.loss_gradient(data.x, data.y)
    errors = [
        z.numpy() - before.numpy() @ np.asarray(a).T
        for before, z, a in zip(result.activities, result.activities[1:-1], net.maps, strict=False)
    ]
    forward = pctheory.feedforward(net, data.x)
    for error, before, gradient, a in zip(errors, forward, backward, net.multipliers, strict=False):
        by_errors = -a / data.num_samples * (error / step).T @ np.asarray(before)
        assert np.abs(by_errors - gradient.numpy()).max() <= 256 * EPS


def relaxed(model, x, y, settings, *, front):
    frame = model.frame()
    with torch.no_grad():
        start = frame.feedforward(model.inputs(x))
        state = State(start.x, start.hidden, model.targets(y, start.x.shape[0]))
        problem = Problem(frame, state, frozenset((0, model.depth)), front=front)
        descend(problem, settings, Trace(settings, problem, silent=True))
    return state.layers()


@pytest.mark.claim("first-arrival")
@pytest.mark.parametrize("method, step", [("gd", 0.3), ("momentum", 0.2), ("adam", 0.05)])
@pytest.mark.parametrize(
    "activation, output", [("linear", "mse"), ("relu", "mse"), ("tanh", "cross-entropy")]
)
@pytest.mark.parametrize("num_steps", [1, 4, 9])
def test_layers_below_the_front_are_skipped_exactly(method, step, activation, output, num_steps):
    widths = (5, 6, 6, 6, 4, 4, 6, 3)
    skips = [False, True, True, False, True, False, False]
    model = PCN(widths, activation=activation, output=output, skips=skips, rng=0, dtype=torch.float64)
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((6, 5)), np.eye(3)[rng.integers(0, 3, 6)]
    settings = InferenceSettings(method=method, step=step, num_steps=num_steps)
    skipping = relaxed(model, x, y, settings, front=True)
    # a layer is below the front while l < L - t
    still = [l for l in range(1, 7) if l < 7 - num_steps]
    forward = model.frame().feedforward(model.inputs(x)).layers()
    assert all(torch.equal(skipping[l], forward[l]) for l in still)
    assert all(not torch.equal(skipping[l], forward[l]) for l in range(1, 7) if l not in still)
    if method != "adam":  # Adam turns roundings of the full computation into steps
        full = relaxed(model, x, y, settings, front=False)
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
        z = infer(PCN.from_linear(net), data.x, data.y, step=step, num_steps=t).activities
        error = z[l].numpy() - z[l - 1].numpy() @ np.asarray(net.maps[l - 1]).T
        assert np.abs(error - step**t * r @ product).max() <= 64 * EPS
    # a free output has nothing to propagate
    free = infer(PCN.from_linear(net), data.x, None, clamp=(0,), step=step, num_steps=5)
    assert free.energy <= EPS


@pytest.mark.claim("nothing-to-learn")
def test_with_a_free_output_inference_stays_at_the_forward_pass():
    net, data = linear_problem()
    result = infer(PCN.from_linear(net), data.x, None, clamp=(0,), step=0.3, num_steps=50)
    for z, forward in zip(result.activities, pctheory.feedforward(net, data.x), strict=True):
        assert np.abs(z.numpy() - np.asarray(forward)).max() <= 64 * EPS


def test_the_generative_orientation_infers_a_free_input():
    """With only z_L held the energy falls to zero when the map is onto, at any preimage of y."""
    net, data = LinearPCN.random((4, 6, 6, 3), init="orthogonal", rng=0), linear_problem()[1]
    result = infer(
        PCN.from_linear(net), None, data.y, clamp=(net.depth,), step=0.3, num_steps=4000, tolerance=1e-8
    )
    assert result.converged
    assert result.energy < 1e-12
    gradient = PCN.from_linear(net).activity_gradient(result.activities)
    assert max(float(g.abs().max()) for g in gradient[:-1]) <= result.gradient_norms[-1]


def test_held_hidden_layers_do_not_move():
    net, data = linear_problem()
    model = PCN.from_linear(net)
    start = infer(model, data.x, data.y, init="random", rng=3, num_steps=0).activities
    start = [z.clone() for z in start]
    result = infer(model, data.x, data.y, start=start, clamp=(0, 2, 4), step=0.2, num_steps=50)
    assert torch.equal(result.activities[2], start[2])
    assert not torch.equal(result.activities[1], start[1])


def test_the_batch_mean_convention_divides_the_step_by_the_batch_size():
    net, data = linear_problem()
    model = PCN.from_linear(net)
    for method in ("gd", "momentum", "error"):
        mean = infer(model, data.x, data.y, method=method, step=0.8, num_steps=7, convention="batch-mean")
        each = infer(model, data.x, data.y, method=method, step=0.1, num_steps=7)
        assert all(
            float((a - b).abs().max()) <= 64 * EPS
            for a, b in zip(mean.activities, each.activities, strict=True)
        )


def test_decay_pulls_the_activities_to_the_minimum_with_a_ridge():
    net, data = linear_problem()
    decay = 0.3
    result = infer(PCN.from_linear(net), data.x, data.y, step=0.2, num_steps=500, decay=decay)
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
        result = infer(model, data.x, data.y, method="heun", t_max=1.5, rtol=rtol, atol=rtol, step=0.5)
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
    assert infer(model, data.x, data.y, step=0.95 * edge, num_steps=3000, tolerance=1e-6).converged
    with pytest.raises(ValueError, match="`step` must be small enough"):
        infer(model, data.x, data.y, step=1.5 * edge, num_steps=20_000, record=100)


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
    result = infer(model, x, y, method="gauss-newton", tolerance=1e-8, record=1)
    assert result.converged
    assert np.all(np.diff(result.energies) <= 1e-12)
    # no descent from there goes lower
    further = infer(model, x, y, start=result.activities, step=0.01, num_steps=200)
    assert further.energy >= result.energy - 1e-10
    gradient = model.activity_gradient(result.activities)[1:-1]
    rest = [(z == 0) for z in result.activities[1:-1]]
    at_rest = sum(int(mask.sum()) for mask in rest)
    free = max(float(g[~mask].abs().max()) for g, mask in zip(gradient, rest, strict=True))
    assert free <= 1e-8  # away from kinks it is the gradient of the definition
    assert (at_rest > 0) == (activation in ("relu", "leaky_relu"))


def test_units_rest_at_the_kink_of_a_relu_where_gd_chatters():
    model = PCN.from_weights([[[1.0]], [[-1.0]]], activation="relu", dtype=torch.float64)
    # F = (z - x)^2 / 2 + (y + relu(z))^2 / 2 with x = 0.5, y = 2: slopes at 0 are -0.5 and 1.5, the minimum is the kink
    result = infer(model, [[0.5]], [[2.0]], method="gauss-newton", tolerance=1e-12)
    assert result.converged
    assert float(result.activities[1]) == 0
    chatter = infer(model, [[0.5]], [[2.0]], step=0.1, num_steps=1000, tolerance=1e-3)
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
    problem = Problem(
        model.frame(), model.frame().feedforward(model.inputs(x)), frozenset((0, 5)), front=False
    )
    frame, state = problem.frame, problem.state
    state.y = model.targets(y, 2)
    with torch.no_grad():
        lin = Linearised(frame, state, Trace(InferenceSettings(), problem), dense=True)
        slopes, curvature = frame.slopes(state), frame.output_curvature(state.y)
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
            for a, b in zip(frame.hessian_product(step, slopes, curvature, None), forces, strict=True)
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
                frame.hessian_product(moved, slopes, curvature, None), lin.scatter(loads), strict=True
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
    result = infer(model, x, y, method="gauss-newton", tolerance=1e-10)
    assert result.converged
    assert result.num_passes <= most
    assert sum(int((z == 0).sum()) for z in result.activities[1:-1]) > hidden
    for method, step in (("gd", 0.3), ("adam", 0.01), ("error", 0.3)):
        descent = infer(model, x, y, method=method, step=step, num_steps=10 * most, tolerance=1e-2)
        assert not descent.converged


def test_wide_outputs_leave_the_rank_to_conjugate_gradients():
    model = PCN((4, 6, 6, 70), activation="tanh", rng=0, dtype=torch.float64)
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((3, 4)), rng.standard_normal((3, 70))
    assert infer(model, x, y, method="gauss-newton", tolerance=1e-9).converged


def test_a_callback_sees_every_step_and_records_are_taken_where_asked():
    net, data = linear_problem()
    seen = []
    result = infer(
        PCN.from_linear(net),
        data.x,
        data.y,
        num_steps=6,
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


@pytest.mark.parametrize(
    "options, message",
    [
        ({"method": "newton"}, "`method` must be one of"),
        ({"step": 0.0}, "`step` must be greater than 0"),
        ({"method": "heun"}, "`t_max` must be given"),
        ({"init": "random"}, "`rng` must be given"),
        ({"clamp": ()}, "`clamp` must hold"),
        ({"clamp": (0, 9)}, "`clamp` must list layers"),
        ({"clamp": (0,), "method": "error"}, "`clamp` must be"),
        ({"decay": 0.1, "method": "error"}, "`decay` must be 0"),
        ({"momentum": 1.0}, "`momentum` must be"),
        ({"convention": "sum"}, "`convention` must be one of"),
    ],
)
def test_bad_settings_are_refused_with_the_rule(options, message):
    net, data = linear_problem()
    with pytest.raises(ValueError, match=message):
        infer(PCN.from_linear(net), data.x, data.y, **options)
    with pytest.raises(TypeError, match="`infer` takes only"):
        infer(PCN.from_linear(net), data.x, data.y, steps=3)
    with pytest.raises(ValueError, match="`y` must be given"):
        infer(PCN.from_linear(net), data.x, None)
