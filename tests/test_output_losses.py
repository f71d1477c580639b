"""Inference and learning under any convex output loss, against dense minimisation, differences and real
inference.
"""

import numpy as np
import pytest
import scipy.optimize
import torch
from hypothesis import given
from oracles import dense_maps, dense_precisions, exact_equilibrium
from strategies import networks, seeds
from tolerances import EPS, assert_close

from pctheory import (
    Data,
    EquilibratedEnergy,
    LinearPCN,
    MSELoss,
    WeightDecay,
    activity_hessian,
    equilibrium,
    gradient_descent,
)
from pctheory.inference import ConvexLoss, envelope_equilibrium, output_losses, pseudo_huber
from pctheory.landscape import EnvelopeEnergy, OutputLoss
from pctheory.nn import PCN, Stop, infer


def one_hot(labels, num_classes):
    return np.eye(num_classes)[np.asarray(labels)]


def problem(widths=(3, 4, 2, 4, 3), samples=7, scale=1.5, rng=0, **options):
    """A network with every kind of precision, and labels."""
    rng = np.random.default_rng(rng)
    net = LinearPCN.random(widths, rng=rng, **options)
    kinds = [2.0, np.linspace(0.5, 2, widths[2]), np.diag(np.linspace(1, 3, widths[3])) + 0.2, 1.5]
    net = net.replace(weights=[scale * w for w in net.weights], precisions=[*kinds[: net.depth - 1], 1.5])
    labels = rng.integers(widths[-1], size=samples)
    return net, Data(rng.standard_normal((samples, widths[0])), one_hot(labels, widths[-1]))


def cross_entropy(outputs, y):
    top = outputs.max(axis=1, keepdims=True)
    return (top[:, 0] + np.log(np.exp(outputs - top).sum(1))) - (outputs * y).sum(1)


def dense_energy(net, data, hidden):
    """The energy of hidden activities, from its definition, layer by layer; the last precision scales the
    loss.
    """
    maps, precisions = dense_maps(net), dense_precisions(net)
    parts = np.split(hidden.reshape(data.num_samples, -1), np.cumsum(net.widths[1:-1])[:-1], axis=1)
    before, total = data.x, 0.0
    for matrix, precision, z in zip(maps, precisions, parts, strict=False):
        error = z - before @ matrix.T
        total += 0.5 * np.sum((error @ precision) * error)
        before = z
    return (
        total + float(net.precisions[-1].value) * cross_entropy(before @ maps[-1].T, data.y).sum()
    ) / data.num_samples


@pytest.mark.claim("moreau-envelope")
def test_the_answer_is_the_minimum_of_the_energy_over_the_hidden_activities():
    net, data = problem()
    at = envelope_equilibrium(net, data)
    z = np.concatenate(at.activities[1:-1], axis=1).ravel()
    assert_close(at.energy, dense_energy(net, data, z), size=100)
    # strongly convex: no start ends lower, and the gradient by differences vanishes there
    found = scipy.optimize.minimize(
        lambda v: dense_energy(net, data, v), np.zeros_like(z), method="BFGS", options={"gtol": 1e-7}
    )
    assert float(at.energy) <= found.fun + 1e-12
    assert found.fun - float(at.energy) <= 1e-9
    steps = 1e-5 * np.eye(z.size)
    slope = [(dense_energy(net, data, z + s) - dense_energy(net, data, z - s)) / 2e-5 for s in steps]
    assert np.max(np.abs(slope)) <= 1e-9
    assert at.energy_bound <= 1e-20
    assert at.closure <= 64 * EPS


@pytest.mark.claim("moreau-envelope")
@pytest.mark.evidence("empirical")
def test_converged_inference_ends_there():
    net, data = problem(widths=(3, 5, 5, 5, 3), parameterisation="mupc", skips=True, scale=1.5)
    model = PCN.from_linear(net, output="cross-entropy")
    result = infer(model, data.x, data.y, "newton", stop=Stop(tolerance=1e-13))
    at = envelope_equilibrium(net, data)
    # the energy is at least as curved as its hidden part alone; per-sample gradients are B times larger
    hidden_part = activity_hessian(net.replace(precisions=[*(p.value for p in net.precisions[:-1]), 1e-12]))
    bound = result.gradient_norms[-1] * data.num_samples / np.linalg.eigvalsh(hidden_part.to_dense())[0]
    for z, z_star in zip(result.activities[:-1], at.activities[:-1], strict=True):
        assert float(np.linalg.norm(z.numpy() - z_star)) <= bound + 1e3 * EPS
    assert result.energy == pytest.approx(float(at.energy), rel=1e-12)


@pytest.mark.claim("moreau-envelope")
@given(net=networks(max_depth=5), seed=seeds)
def test_squared_error_gives_the_rescaled_loss_back(net, seed):
    rng = np.random.default_rng(seed)
    data = Data(rng.standard_normal((4, net.widths[0])), rng.standard_normal((4, net.widths[-1])))
    net = net.replace(precisions=[*(p.value for p in net.precisions[:-1]), 0.7])
    at, exact = envelope_equilibrium(net, data, "mse"), equilibrium(net, data, method="sweep")
    kappa = np.linalg.cond(np.asarray(exact.rescaling))
    assert_close(
        at.energy,
        exact.energy,
        size=64,
        kappa=kappa,
        scale=float(np.mean(data.y**2)) * 10 + float(exact.energy),
    )
    energy = EnvelopeEnergy(data, "mse")
    for ours, theirs in zip(energy.gradient(net), EquilibratedEnergy(data).gradient(net), strict=True):
        assert_close(ours, theirs, size=64, kappa=kappa, scale=10 * float(np.max(np.abs(theirs))) + 1e-9)


@pytest.mark.claim("moreau-envelope")
@pytest.mark.parametrize("objective", [OutputLoss, EnvelopeEnergy])
@pytest.mark.parametrize("output", ["cross-entropy", "mse", pseudo_huber(0.5)])
@pytest.mark.parametrize("widths", [(3, 3), (3, 2, 3), (3, 4, 4, 4, 3)])
def test_gradient_and_curvature_are_those_of_the_value(objective, output, widths):
    net, data = (
        problem(widths=widths)
        if len(widths) > 3
        else (LinearPCN.random(widths, rng=1, precisions=[2.0] * (len(widths) - 1)), problem()[1])
    )
    net = net.replace(multipliers=np.linspace(0.5, 1.5, net.depth), skips=False)
    f, rng = objective(data, output), np.random.default_rng(3)
    direction = tuple(rng.standard_normal(w.shape) for w in net.weights)

    def along(t):
        return net.replace(weights=[w + t * d for w, d in zip(net.weights, direction, strict=True)])

    h = 1e-4
    slope = (float(f.value(along(h))) - float(f.value(along(-h)))) / (2 * h)
    inner = sum(float(np.sum(g * d)) for g, d in zip(f.gradient(net), direction, strict=True))
    assert inner == pytest.approx(slope, rel=1e-6)
    for product, up, down in zip(
        f.hvp(net, direction), f.gradient(along(h)), f.gradient(along(-h)), strict=True
    ):
        np.testing.assert_allclose(product, (up - down) / (2 * h), atol=1e-5 * np.max(np.abs(product)))
    dense = f.hessian(net)
    np.testing.assert_allclose(dense @ net.join(direction), net.join(f.hvp(net, direction)), atol=1e-10)
    assert_close(f.values(net, net.flatten()[None])[0], f.value(net), size=10)


@pytest.mark.claim("moreau-envelope")
def test_the_envelope_lies_below_the_loss_and_gradients_pass_through_torch():
    net, data = problem()
    assert float(EnvelopeEnergy(data).value(net)) < float(OutputLoss(data).value(net))
    weights = [torch.tensor(w, requires_grad=True) for w in net.weights]
    own = Data(torch.tensor(data.x), torch.tensor(data.y))
    precisions = [p.value for p in net.precisions]
    theory = LinearPCN(weights, precisions=precisions)
    automatic = torch.autograd.grad(EnvelopeEnergy(own).value(theory), weights)
    for ours, theirs in zip(EnvelopeEnergy(data).gradient(net), automatic, strict=True):
        np.testing.assert_allclose(ours, theirs.numpy(), atol=1e-11)


def test_the_certificate_of_the_energy_holds_at_every_scale_or_the_answer_is_refused():
    refused = 0
    for scale in (1e-8, 1e-2, 1.0, 3.0, 10.0, 30.0, 100.0):
        net, data = problem(scale=scale)
        try:
            at = envelope_equilibrium(net, data)
        except ValueError:
            refused += 1
            continue
        z = np.concatenate(at.activities[1:-1], axis=1).ravel()
        assert dense_energy(net, data, z) <= float(at.energy) * (1 + 1e-6) + at.energy_bound
        assert at.energy_bound <= 1e-6 * float(at.energy)
    assert refused <= 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"output": "hinge"}, "`output` must be one of 'mse', 'cross-entropy'"),
        ({"y": -np.eye(3)[[0, 1, 2, 0, 1, 2, 0]]}, "`y` must hold rows of probabilities"),
        ({"precision": np.ones(3)}, "`precisions` must end with a number"),
    ],
)
def test_what_is_no_loss_is_refused(change, message):
    net, data = problem()
    if "precision" in change:
        net = net.replace(precisions=[None, None, None, change["precision"]])
    with pytest.raises(ValueError, match=message):
        envelope_equilibrium(
            net, Data(data.x, change.get("y", data.y)), change.get("output", "cross-entropy")
        )


def test_a_function_that_is_not_convex_is_noticed():
    hill = ConvexLoss(
        "hill",
        lambda o, y: -(o**4).sum(-1),
        lambda o, y: 4 * o**3,
        lambda o, y: 0 * o[:, :, None] * o[:, None, :],
    )
    net, data = problem()
    with np.errstate(over="ignore", invalid="ignore"), pytest.raises(ValueError, match="Got 1.5 hill"):
        envelope_equilibrium(net, data, hill)


# --- the landscape of cross-entropy -------------------------------------------------------------------------


def centred(num_classes):
    return np.eye(num_classes) - 1 / num_classes


def critical_network(rng, data, *, widths=(3, 4, 3, 3)):
    """J A_L = 0 (equal rows) and S_gx Q_{L-1}^T = 0: with S_gx != 0 the inner map kills the correlated
    inputs.
    """
    classes = widths[-1]
    g = 1 / classes - data.y
    cross = g.T @ data.x / data.num_samples
    _, singular, basis = np.linalg.svd(cross)
    null = basis[np.sum(singular > 1e-12) :]
    first = rng.standard_normal((widths[1], len(null))) @ null
    middle = rng.standard_normal((widths[2], widths[1]))
    last = np.ones((classes, 1)) * rng.standard_normal((1, widths[2]))
    return LinearPCN([first, middle, last]), cross


@pytest.mark.claim("cross-entropy-landscape")
@pytest.mark.parametrize("seed", range(8))
def test_critical_points_are_constant_predictors_and_strict_when_inputs_tell_something(seed):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((30, 5))
    data = Data(x, one_hot(rng.integers(3, size=30), 3))
    net, cross = critical_network(rng, data, widths=(5, 4, 3, 3))
    energy, loss = EnvelopeEnergy(data), OutputLoss(data)
    assert max(np.max(np.abs(g)) for g in energy.gradient(net)) <= 1e-13
    assert float(energy.value(net)) == pytest.approx(np.log(3), rel=1e-14)
    assert float(loss.value(net)) == pytest.approx(np.log(3), rel=1e-14)
    assert np.max(np.abs(cross)) > 1e-2
    assert np.linalg.eigvalsh(energy.hessian(net))[0] < -1e-4
    # either condition alone does not make a critical point
    moved = net.replace(weights=[*net.weights[:2], net.weights[2] + 0.1 * rng.standard_normal((3, 3))])
    assert max(np.max(np.abs(g)) for g in energy.gradient(moved)) > 1e-3


@pytest.mark.claim("cross-entropy-landscape")
@pytest.mark.parametrize("seed", range(4))
def test_where_the_energy_stops_falling_it_stands_at_log_c(seed):
    """Descent from the neighbourhood of random points never finds another critical point: all gradients stay
    large.
    """
    rng = np.random.default_rng(seed)
    data = Data(rng.standard_normal((12, 2)), one_hot(rng.integers(3, size=12), 3))
    net = LinearPCN.random((2, 3, 3), init=1.0, rng=rng)
    path = gradient_descent(EnvelopeEnergy(data), net, 0.3, 400, record=100)
    values = [float(EnvelopeEnergy(data).value(net.unflatten(w))) for w in path.weights]
    assert all(np.diff(values) < 0)
    last = EnvelopeEnergy(data).gradient(net.unflatten(path.weights[-1]))
    assert np.sqrt(sum(np.sum(g**2) for g in last)) > 1e-6


@pytest.mark.claim("cross-entropy-landscape")
@pytest.mark.parametrize("factor", [0.6, 0.9, 1.1, 2.0])
def test_without_information_the_point_is_not_strict_exactly_above_the_threshold(factor):
    r"""S_gx = 0: non-strict iff <hh^T> >= C lambda_max(J diag(pi) J) M, here with one hidden unit."""
    classes, counts = 3, np.array([3, 2, 1])
    labels = np.repeat(np.arange(classes), counts)
    x = np.concatenate([np.ones((6, 1)), -np.ones((6, 1))])  # every class as often on each side
    data = Data(x, one_hot(np.concatenate([labels, labels]), classes))
    J, pi = centred(classes), counts / counts.sum()
    threshold = (
        classes * np.linalg.eigvalsh(J @ np.diag(pi) @ J)[-1]
    )  # M = 1: one noisy layer before the output
    w = np.sqrt(factor * threshold)
    net = LinearPCN([[[w]], np.full((classes, 1), 0.4)])
    energy = EnvelopeEnergy(data)
    assert max(np.max(np.abs(g)) for g in energy.gradient(net)) <= 1e-14
    smallest = np.linalg.eigvalsh(energy.hessian(net))[0]
    assert (smallest < -1e-6) == (factor < 1), smallest


@pytest.mark.claim("cross-entropy-landscape")
def test_on_random_labels_the_energy_falls_towards_zero_while_the_loss_rises_and_decay_stops_it():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((20, 1))
    labels = (x[:, 0] > 0).astype(int)
    labels[rng.random(20) < 0.3] ^= 1
    data = Data(x, one_hot(labels, 2))
    energy, loss = EnvelopeEnergy(data), OutputLoss(data)
    best = scipy.optimize.minimize_scalar(
        lambda p: float(loss.value(LinearPCN([[[p]], [[1.0], [-1.0]]])))
    ).fun
    net = LinearPCN([[[0.5]], [[0.5], [-0.5]]])
    assert energy.infimum(net) == 0.0
    scales = [1.0, 10.0, 1e3, 1e5]
    nets = [LinearPCN([[[1e-3]], [[s], [-s]]]) for s in scales]
    energies = [float(energy.value(n)) for n in nets]
    assert all(np.diff(energies) < 0)
    assert energies[-1] < 1e-5 < best
    path = gradient_descent(energy, net, 3.0, 500, record=500)
    end = net.unflatten(path.weights[-1])
    assert float(energy.value(end)) < 0.5 * best
    assert float(loss.value(end)) > best
    decayed = WeightDecay(energy, 0.05)
    kept = gradient_descent(decayed, net, 1.0, 200, record=200)
    assert float(loss.value(net.unflatten(kept.weights[-1]))) < float(loss.value(end))


def minimum(objective, net):
    """A local minimum near `net`, by a quasi-Newton method on the exact gradient."""
    found = scipy.optimize.minimize(
        lambda w: float(objective.value(net.unflatten(w))),
        net.flatten(),
        jac=lambda w: net.join(objective.gradient(net.unflatten(w))),
        method="BFGS",
        options={"gtol": 1e-9},
    )
    return net.unflatten(found.x)


@pytest.mark.claim("convex-loss-landscape")
def test_a_narrow_layer_and_another_convex_loss_make_spurious_minima():
    """2-1-2, y = (1, 0), (0, 1.3) and pseudo-Huber .2: psi over lines has two minima of different depth."""
    loss = pseudo_huber(0.2)
    y = np.array([[1.0, 0.0], [0.0, 1.3]])

    def psi(angle):
        u = np.array([np.cos(angle), np.sin(angle)])

        def along(row):
            value = lambda t: float(loss.value((t * u)[None], row[None])[0])
            return scipy.optimize.minimize_scalar(
                value, bounds=(-3, 3), method="bounded", options={"xatol": 1e-12}
            ).fun

        return np.mean([along(row) for row in y])

    minima = [
        scipy.optimize.minimize_scalar(psi, bounds=b, method="bounded", options={"xatol": 1e-10})
        for b in ((-0.5, 0.5), (np.pi / 2 - 0.5, np.pi / 2 + 0.5))
    ]
    levels = sorted(m.fun for m in minima)
    assert levels[1] - levels[0] > 0.02
    # each is a local minimum of the energy of a network that reads both inputs through one unit
    data = Data(np.eye(2), y)
    energy, values = EnvelopeEnergy(data, loss), []
    for m in minima:
        u = np.array([np.cos(m.x), np.sin(m.x)])
        net = LinearPCN([(y @ u)[None], u[:, None]])
        end = minimum(energy, net)
        assert np.sqrt(sum(np.sum(g**2) for g in energy.gradient(end))) < 1e-7
        spectrum = np.linalg.eigvalsh(energy.hessian(end))
        assert spectrum[0] > -1e-6  # one zero: the scale that the two layers share
        values.append(float(energy.value(end)))
    assert sorted(values) == pytest.approx(levels, rel=1e-6)


@pytest.mark.claim("convex-loss-landscape")
def test_with_squared_error_the_same_narrow_network_has_one_level():
    y = np.array([[1.0, 0.0], [0.0, 1.3]])
    data = Data(np.eye(2), y)
    ends = []
    for angle in (0.05, np.pi / 2 - 0.05):
        u = np.array([np.cos(angle), np.sin(angle)])
        net = LinearPCN([(y @ u)[None], u[:, None]])
        ends.append(float(EquilibratedEnergy(data).value(minimum(EquilibratedEnergy(data), net))))
    assert ends[0] == pytest.approx(ends[1], rel=1e-6)
    assert float(MSELoss(data).infimum(net)) == pytest.approx(ends[0], rel=1e-6)


# --- the estimates of the error -----------------------------------------------------------------------------


@pytest.mark.claim("moreau-envelope")
def test_a_search_stopped_early_is_within_its_bound_of_the_minimum(monkeypatch):
    monkeypatch.setattr(output_losses, "CERTIFIED", np.inf)
    net, data = problem()
    best = float(envelope_equilibrium(net, data).energy)
    bounds = []
    for steps in range(4):
        monkeypatch.setattr(output_losses, "MAX_STEPS", steps)
        at = envelope_equilibrium(net, data)
        gap = float(at.energy) - best
        assert 0 <= gap + 8 * EPS * best <= at.energy_bound + 16 * EPS * best
        bounds.append(at.energy_bound)
    assert all(np.diff(bounds) < 0)
    # attained, up to the condition, where the function is quadratic: one output, squared error
    line = LinearPCN([[[1.0]], [[1e-3]]])
    monkeypatch.setattr(output_losses, "MAX_STEPS", 0)
    at = envelope_equilibrium(line, Data([[1.0]], [[7.0]]), "mse")
    exact = 0.5 * (7.0 - 1e-3) ** 2 / (1 + 1e-6)
    assert float(at.energy) - exact == pytest.approx(at.energy_bound, rel=1e-5)


@pytest.mark.parametrize("gain", [1.0, 4.0, 16.0, 64.0])
@pytest.mark.parametrize("seed", range(3))
def test_the_closure_tells_the_error_of_the_activities(gain, seed):
    """Against 60 digits, where the products of the weights carry rounding errors to the output."""
    rng = np.random.default_rng(seed)
    net = LinearPCN([gain * rng.standard_normal(shape) for shape in ((3, 2), (3, 3), (3, 3), (2, 3))])
    data = Data(rng.standard_normal((3, 2)), rng.standard_normal((3, 2)))
    at = envelope_equilibrium(net, data, "mse")
    exact, _ = exact_equilibrium(net, data)
    z = np.concatenate(at.activities[1:-1], axis=1)
    error = np.max(np.abs(z - exact)) / np.max(np.abs(exact))
    assert error <= 10 * max(at.closure, EPS)
