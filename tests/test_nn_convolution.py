"""Convolutions: against autograd of conv2d written layer by layer, and against the theory of the dense
network they are.
"""

import copy
import dataclasses
from itertools import pairwise

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import random_precision, seeds
from torch.nn.functional import conv2d, gelu, log_softmax

import pctheory
from experiments._classifiers import GenerativeClassifier
from pctheory import Data, LinearPCN
from pctheory.model import parameterisation
from pctheory.nn import (
    BP,
    IPC,
    PC,
    PCN,
    Adam,
    Adaptive,
    Convolution,
    ErrorDescent,
    GradientDescent,
    Heun,
    Image,
    Momentum,
    Newton,
    Stop,
    TrainingSettings,
    accuracy,
    infer,
    train,
)
from pctheory.nn.through_inference import Clamps, unrolled_gradient

EPS = float(np.finfo(np.float64).eps)
PHI = {"linear": lambda z: z, "tanh": torch.tanh, "relu": torch.relu, "gelu": gelu}
LAYERS = (Image(2, 6, 5), Convolution(3), Convolution(3), Convolution(4, 4, 2, 0), 4, 4, 3)
SKIPS = (False, True, False, False, True, False)
CLASSIFIER = (Image(1, 6, 6), Convolution(8), Convolution(8), Convolution(8, stride=2), 3)


def network(activation="tanh", layers=LAYERS, skips=SKIPS, **options):
    chosen = {"parameterisation": "mupc", "rng": 0, "dtype": torch.float64} | options
    return PCN(layers, activation=activation, skips=skips, **chosen)


def samples(model, batch=6, seed=1):
    rng = np.random.default_rng(seed)
    x = torch.tensor(rng.standard_normal((batch, model.widths[0])))
    classes = model.widths[-1]
    return x, torch.nn.functional.one_hot(torch.tensor(rng.integers(0, classes, batch)), classes).double()


def random_activities(model, batch, seed):
    rng = np.random.default_rng(seed)
    z = [torch.tensor(rng.standard_normal((batch, n)), requires_grad=True) for n in model.widths]
    if model.output == "cross-entropy":
        z[-1] = torch.softmax(z[-1].detach(), -1).requires_grad_()
    return z


def plain_predictions(model, layers, activities):
    """Of every layer from the activities below it, or where they end the prediction, by conv2d and products
    with matrices.
    """
    shape, result = layers[0], []
    for l, (layer, weight) in enumerate(zip(layers[1:], model.weights, strict=True)):
        below = activities[l] if l < len(activities) else result[-1]
        value = PHI[model.activation.name](below) if l else below
        if isinstance(layer, Convolution):
            images = value.reshape(-1, shape.channels, shape.height, shape.width)
            padding = layer.kernel // 2 if layer.padding is None else layer.padding
            images = conv2d(images, weight, stride=layer.stride, padding=padding)
            shape, value = Image(*images.shape[1:]), images.flatten(1)
        else:
            value = value @ weight.T
        value = model.multipliers[l] * value
        result.append(value + below if model.skips[l] else value)
    return result


def plain_energy(model, layers, z):
    total = 0
    for l, prediction in enumerate(plain_predictions(model, layers, z)):
        precision = model.precisions[l]
        if l == model.depth - 1 and model.output == "cross-entropy":
            total = total - precision * (z[-1] * log_softmax(prediction, -1)).sum()
            continue
        total = total + 0.5 * quadratic(precision, z[l + 1] - prediction)
    return total / len(z[0])


def plain_loss(model, layers, x, y):
    prediction, precision = plain_predictions(model, layers, [x])[-1], model.precisions[-1]
    if model.output == "cross-entropy":
        return -precision * (y * log_softmax(prediction, -1)).sum() / len(x)
    return 0.5 * quadratic(precision, y - prediction) / len(x)


def quadratic(precision, error):
    dense = precision * torch.eye(error.shape[1], dtype=error.dtype) if np.ndim(precision) < 2 else precision
    return torch.einsum("bi,ij,bj->", error, dense, error)


def assert_same(left, right, roundings=512):
    """Equal to a few hundred roundings of the largest entry."""
    for a, b in zip(left, right, strict=True):
        assert a.shape == b.shape
        scale = 1 + max(float(a.detach().abs().max()), float(b.detach().abs().max()))
        assert float((a - b).detach().abs().max()) <= roundings * EPS * scale


@st.composite
def convolutional_networks(draw):
    """Images of any small shape, convolutions of any kernel, stride and padding, matrices above them, skips
    where they fit.
    """
    image = Image(draw(st.integers(1, 3)), draw(st.integers(2, 6)), draw(st.integers(2, 6)))
    layers, shapes = [image], [image]
    for _ in range(draw(st.integers(1, 4))):
        kernel = draw(st.integers(1, 4))
        block = Convolution(
            draw(st.sampled_from([2, 3, shapes[-1].channels])),
            kernel,
            draw(st.integers(1, 3)),
            draw(st.none() | st.integers(0, kernel - 1)),
        )
        try:
            shapes.append(block.image(shapes[-1]))
        except ValueError:  # it does not fit: the tests of bad input look at that
            continue
        layers.append(block)
    for _ in range(draw(st.integers(0, 3))):
        size = shapes[-1].size if isinstance(shapes[-1], Image) else shapes[-1]
        shapes.append(draw(st.sampled_from([size, 4])))
        layers.append(shapes[-1])
    if len(layers) == 1 or draw(st.booleans()):
        shapes.append(3)
        layers.append(3)
    depth, rng = len(layers) - 1, np.random.default_rng(draw(seeds))
    pattern = [
        0 < l < depth - 1 and a == b and bool(rng.integers(2)) for l, (a, b) in enumerate(pairwise(shapes))
    ]
    output = draw(st.sampled_from(["mse", "cross-entropy"]))
    widths = [s.size if isinstance(s, Image) else s for s in shapes]
    kinds = ["identity", "scalar", "vector", "matrix"]
    precisions = [random_precision(draw(st.sampled_from(kinds)), n, rng) for n in widths[1:]]
    if output == "cross-entropy":
        precisions[-1] = draw(st.sampled_from([None, 0.7]))
    model = network(
        draw(st.sampled_from(sorted(PHI))),
        layers,
        pattern,
        output=output,
        precisions=precisions,
        parameterisation=draw(st.sampled_from(["sp", "ntp", "mupc"])),
        gamma=draw(st.sampled_from([0.5, 1.0])),
        rng=rng,
    )
    return model, layers, draw(seeds)


@given(convolutional_networks())
def test_analytic_gradients_are_those_of_the_plain_energy(drawn):
    model, layers, seed = drawn
    z = random_activities(model, 5, seed)
    energy = plain_energy(model, layers, z)
    by_autograd = torch.autograd.grad(energy, [*z, *model.weights])
    values = [a.detach() for a in z]
    assert_same([energy], [model.energy(values)])
    assert_same([energy], [model.stacked().energy(model.state(values)).mean()])
    assert_same(by_autograd[: len(z)], model.activity_gradient(values))
    assert_same(by_autograd[len(z) :], model.local_gradient(values))
    x, y = values[0], values[-1]
    loss = plain_loss(model, layers, x, y)
    assert_same([loss], [model.loss(x, y)])
    assert_same(torch.autograd.grad(loss, list(model.weights)), model.loss_gradient(x, y))


@given(convolutional_networks())
@settings(max_examples=25)
def test_products_with_the_hessian_are_those_of_the_plain_energy(drawn):
    model, layers, seed = drawn
    if model.depth == 1:
        return
    z = [a.detach() for a in random_activities(model, 3, seed)]
    vectors = [a.detach() for a in random_activities(model, 3, seed + 1)[1:-1]]

    def slope(*hidden):
        total = 3 * plain_energy(model, layers, [z[0], *hidden, z[-1]])
        return torch.autograd.grad(total, hidden, create_graph=True)

    hidden = [a.clone().requires_grad_() for a in z[1:-1]]
    along = sum((s * v).sum() for s, v in zip(slope(*hidden), vectors, strict=True))
    expected = torch.autograd.grad(along, hidden)
    net, state = model.stacked(), model.state(z)
    slopes, act = net.slopes(state), model.activation
    predicted = model.prediction(model.depth, z[-2]).detach()
    diagonal = None
    if act.curvature is not None:  # minus phi'' times what the errors of the layer above pull
        ones = [torch.ones_like(s) for s in slopes]
        pulls = model.state([z[0], *pulled_errors(model, layers, z), z[-1]]).hidden
        diagonal = [-act.curvature(a) * p * o for a, p, o in zip(state.hidden, pulls, ones, strict=True)]
    stacked = model.state([z[0], *vectors, z[-1]]).hidden
    product = net.hessian_product(stacked, slopes, net.output_curvature(predicted), diagonal)
    assert_same(expected, [row for stack in product for row in stack])


def pulled_errors(model, layers, z):
    """M_{l+1}^T of the weighted error above, by autograd in phi(z_l)."""
    bent = [PHI[model.activation.name](a).clone().requires_grad_() for a in z[1:-1]]
    weighted, total = [], 0
    for l, prediction in enumerate(plain_predictions(model, layers, z)):
        if l == model.depth - 1 and model.output == "cross-entropy":
            weighted.append(model.precisions[l] * (z[-1] - torch.softmax(prediction, -1)))
            continue
        error, pi = z[l + 1] - prediction, model.precisions[l]
        weighted.append(error @ pi if np.ndim(pi) == 2 else error * pi)
    for l, value in enumerate(bent, start=1):
        matrix = model.multipliers[l] * model.matrices()[l]
        total = total + ((value @ matrix.T) * weighted[l].detach()).sum()
    return torch.autograd.grad(total, bent)


def dense_twin(model):
    """The same network with the matrices of the convolutions in their place."""
    return PCN.from_weights(
        list(model.matrices()),
        activation=model.activation.name,
        multipliers=model.multipliers,
        skips=model.skips,
        output=model.output,
        precisions=model.precisions,
        dtype=model.dtype,
    )


METHODS = {
    "gd": (GradientDescent(0.2), {"stop": Stop(12)}),
    "random": (GradientDescent(0.2), {"stop": Stop(3), "start": "random", "rng": 0}),
    "momentum": (Momentum(0.1), {"stop": Stop(12)}),
    "adam": (Adam(0.02, epsilon=0.02), {"stop": Stop(12)}),  # small gradients are not blown up
    "heun": (Heun(t_max=0.5, rtol=1e-3), {}),
    "error": (ErrorDescent(0.2), {"stop": Stop(12)}),
    "newton": (Newton(), {"stop": Stop(tolerance=1e-9)}),
    "adaptive": (Adaptive(1e-3), {}),
}


NETWORKS = [("linear", "mse"), ("tanh", "cross-entropy"), ("relu", "mse"), ("gelu", "mse")]


@pytest.mark.parametrize(
    "method, activation, output",
    # the ODE jumps at a kink, where an adaptive step shrinks without end
    [(m, *n) for m in METHODS for n in NETWORKS if (m, n[0]) != ("heun", "relu")],
)
def test_inference_is_that_of_the_dense_network_with_the_same_matrices(method, activation, output):
    precisions = [None, 2.0, np.linspace(0.5, 2, 8), None, 0.5, None]
    model = network(activation, output=output, precisions=precisions)
    twin, (x, y) = dense_twin(model), samples(model)
    chosen, options = METHODS[method]
    results = [infer(m, x, y, chosen, **options) for m in (model, twin)]
    assert results[0].num_steps == results[1].num_steps
    # roundings differ and stable steps do not amplify them; a solver ends within its tolerance
    gap = 1e-7 if method == "newton" else 1e4 * EPS
    for a, b in zip(results[0].activities, results[1].activities, strict=True):
        assert float((a - b).abs().max()) <= gap
    assert results[0].energy == pytest.approx(results[1].energy, rel=gap)
    for a, b, operator, weight in zip(
        model.local_gradient(results[0].activities),
        twin.local_gradient(results[1].activities),
        model.operators,
        model.weights,
        strict=True,
    ):
        # the kernel's gradient sums the dense one over the entries that share a weight
        kernel = weight.detach().clone().requires_grad_()
        (summed,) = torch.autograd.grad((operator.matrix(kernel) * b).sum(), kernel)
        assert float((a - summed).abs().max()) <= 100 * gap


@pytest.mark.claim("equilibrated-energy")
@pytest.mark.claim("equilibrium-errors")
@pytest.mark.parametrize("skips", [SKIPS, False])
@pytest.mark.parametrize("precisions", [None, [None, 2.0, np.linspace(0.5, 2, 8), None, 0.5, 3.0]])
@pytest.mark.parametrize("method", [GradientDescent(0.1), ErrorDescent(0.1), Newton()])
def test_a_linear_network_relaxes_to_the_equilibrium_of_the_theory(method, precisions, skips):
    model = network("linear", skips=skips, precisions=precisions)
    net, (x, y) = LinearPCN.from_torch(model), samples(model)
    expected = pctheory.equilibrium(net, Data(x.numpy(), y.numpy()))
    result = infer(model, x, y, method, stop=Stop(20_000, 1e-13), record=100)
    assert result.converged
    hessian = np.linalg.eigvalsh(np.asarray(pctheory.activity_hessian(net).to_dense()))
    # F(z) - F* <= |g|^2 / (2 lambda_min) is far below rounding here: what is left is the precision of the
    # sums
    assert abs(result.energy - float(expected.energy)) <= 64 * EPS * float(expected.energy)
    assert np.all(result.energies >= float(expected.energy) * (1 - 64 * EPS))
    bound = len(x) * result.gradient_norms[-1] / hessian[0] + 1e3 * EPS
    for z, z_star in zip(result.activities, expected.activities, strict=True):
        assert float(np.linalg.norm(z.numpy() - np.asarray(z_star))) <= bound


@pytest.mark.claim("envelope-gradient")
def test_the_local_rule_at_equilibrium_is_the_gradient_of_the_equilibrated_energy_in_the_kernels():
    model = network("linear")
    x, y = samples(model)
    local = model.local_gradient(infer(model, x, y, "newton", stop=Stop(tolerance=1e-14)).activities)
    kernels = [w.detach().clone().requires_grad_() for w in model.weights]
    matrices = [o.matrix(k) for o, k in zip(model.operators, kernels, strict=True)]
    theory = LinearPCN(matrices, multipliers=model.multipliers, skips=model.skips)
    energy = pctheory.equilibrium(theory, Data(x, y)).energy
    assert_same(torch.autograd.grad(energy, kernels), local, roundings=1e4)


@pytest.mark.claim("origin-hessian-energy")
def test_at_the_origin_the_energy_of_kernels_curves_down_along_the_last_layer_and_nowhere_else():
    model = network("linear", (Image(1, 3, 3), Convolution(2), Convolution(2, stride=2), 2), False)
    x, y = samples(model)
    sizes = [w.numel() for w in model.weights]

    def energy(flat):
        parts = torch.split(flat, sizes)
        matrices = [
            o.matrix(p.reshape(w.shape))
            for o, w, p in zip(model.operators, model.weights, parts, strict=True)
        ]
        return pctheory.equilibrium(LinearPCN(matrices, multipliers=model.multipliers), Data(x, y)).energy

    origin = torch.zeros(sum(sizes), dtype=torch.float64)
    hessian = torch.autograd.functional.hessian(energy, origin)
    expected = torch.zeros_like(hessian)
    moment = y.T @ y / len(y)
    last = -(model.multipliers[-1] ** 2) * torch.kron(
        moment, torch.eye(model.widths[-2], dtype=torch.float64)
    )
    expected[-sizes[-1] :, -sizes[-1] :] = last
    assert_same([hessian], [expected])


@pytest.mark.claim("balance-law")
@pytest.mark.parametrize("activation", ["linear", "relu", "leaky_relu"])
def test_kernels_of_neighbouring_layers_balance_up_to_the_hidden_error(activation):
    """<W_l, dF/dW_l> - <W_{l+1}, dF/dW_{l+1}> is the mean of the squared error between them, at any
    stationary point.
    """
    precisions = [None, 2.0, np.linspace(0.5, 2, 8), None, 0.5, None]
    model = network(activation, skips=False, precisions=precisions)
    x, y = samples(model)
    z = infer(model, x, y, "newton", stop=Stop(tolerance=1e-13)).activities
    pairs = zip(model.weights, model.local_gradient(z), strict=True)
    inner = [float((w.detach() * g).sum()) for w, g in pairs]
    for l, (below, above) in enumerate(pairwise(inner), start=1):
        error = z[l] - model.prediction(l, z[l - 1]).detach()
        size = float(quadratic(model.precisions[l - 1], error)) / len(x)
        assert below - above == pytest.approx(size, rel=1e-9, abs=1e-12)


@pytest.mark.claim("activity-hessian")
def test_the_gradient_of_inference_is_affine_with_the_hessian_of_the_theory():
    model = network(
        "linear", (Image(1, 4, 3), Convolution(2), Convolution(2), 5, 2), [False, True, False, False]
    )
    hessian = np.asarray(pctheory.activity_hessian(LinearPCN.from_torch(model)).to_dense())
    hidden = list(model.widths[1:-1])
    zeros = [torch.zeros(sum(hidden), n, dtype=torch.float64) for n in model.widths]
    moved = [zeros[0], *torch.split(torch.eye(sum(hidden), dtype=torch.float64), hidden, 1), zeros[-1]]
    base, other = model.activity_gradient(zeros), model.activity_gradient(moved)
    measured = torch.cat([sum(hidden) * (b - a) for a, b in zip(base, other, strict=True)][1:-1], dim=1)
    assert np.abs(measured.numpy() - hessian).max() <= 64 * EPS * np.abs(hessian).max()


@pytest.mark.claim("first-arrival")
@pytest.mark.parametrize("num_steps", range(1, 6))
def test_the_error_arrives_one_layer_a_step_and_what_lies_below_keeps_its_values(num_steps):
    model = network("gelu")
    x, y = samples(model)
    start = infer(model, x, y, stop=Stop(0)).activities
    result = infer(model, x, y, GradientDescent(0.2), stop=Stop(num_steps))
    full = infer(model, x, y, GradientDescent(0.2), stop=Stop(num_steps), start=start)  # without the front
    for l, (a, b, s) in enumerate(zip(result.activities, full.activities, start, strict=True)):
        assert float((a - b).abs().max()) <= 1e4 * EPS
        moved = float((a - s).abs().max())
        assert moved == 0 if l < model.depth - num_steps or l == model.depth else moved > 0


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_gauss_newton_reaches_a_minimum_that_descent_does_not_lower(activation):
    model = network(activation, output="cross-entropy")
    x, y = samples(model)
    result = infer(model, x, y, "newton", stop=Stop(tolerance=1e-10), record=1)
    assert result.converged
    assert np.all(np.diff(result.energies) <= 1e-13)
    further = infer(model, x, y, GradientDescent(0.01), start=result.activities, stop=Stop(200))
    assert further.energy >= result.energy - 1e-12


# -- parameterisations ---------------------------------------------------------------------------------------


def test_multipliers_and_initial_weights_take_the_fan_in_of_the_kernel():
    layers = (Image(3, 8, 8), Convolution(16), Convolution(16), Convolution(32, 2, 2), 10)
    skips = [False, True, False, False]
    model = network("relu", layers, skips, gamma=2.0)
    fans = (3 * 9, 16 * 9, 16 * 4, 32 * 5 * 5)
    assert model.multipliers == pytest.approx(
        [fans[0] ** -0.5, (4 * fans[1]) ** -0.5, (4 * fans[2]) ** -0.5, 1 / (2 * fans[3])]
    )
    assert [tuple(w.shape) for w in model.weights] == [
        (16, 3, 3, 3),
        (16, 16, 3, 3),
        (32, 16, 2, 2),
        (10, 800),
    ]
    standard = network("relu", layers, skips, parameterisation="sp", init="orthogonal")
    rows = standard.weights[1].detach().reshape(16, -1)
    assert_same([rows @ rows.T], [torch.eye(16, dtype=torch.float64)])
    scaled = network("relu", layers, skips, parameterisation="sp")
    assert_same(scaled.weights, [w * f**-0.5 for w, f in zip(model.weights, fans, strict=True)])
    dense = (7, 5, 9, 4)
    for name in ("sp", "ntp", "mupc"):
        assert parameterisation.multipliers(dense, name, fan_ins=dense[:-1]) == parameterisation.multipliers(
            dense, name
        )
        for optimiser in ("sgd", "adam"):
            scale = parameterisation.learning_rate_scale(dense, name, optimiser, fan_ins=dense[:-1])
            assert scale == parameterisation.learning_rate_scale(dense, name, optimiser)


@pytest.mark.parametrize("name", ["sp", "ntp", "mupc"])
def test_predictions_keep_the_second_moment_of_what_is_below_away_from_the_border(name):
    model = network(
        "linear", (Image(4, 8, 8), Convolution(64), Convolution(400), 2), False, parameterisation=name
    )
    x = torch.ones(1, model.widths[0], dtype=torch.float64)
    first, second = (z.detach().reshape(-1, 8, 8) for z in model.feedforward(x)[1:3])
    inner = [(z[:, 2:-2, 2:-2] ** 2).mean((1, 2)) for z in (first, second)]
    # the 4 positions of a patch are correlated: each channel counts as one sample of a chi-squared at least
    assert float(inner[0].mean()) == pytest.approx(1.0, abs=4 * (2 / 64) ** 0.5)
    assert float(inner[1].mean() / inner[0].mean()) == pytest.approx(1.0, abs=4 * (2 / 400) ** 0.5)


def test_adam_moves_units_alike_at_every_number_of_channels():
    """One step of Adam at the rate of the table moves the last hidden layer by as much at any width."""
    moved = []
    for channels in (8, 32, 128):
        model = network("relu", (Image(1, 6, 6), Convolution(channels), Convolution(channels), 3), False)
        x, y = samples(model, 16)
        before = model.feedforward(x)[-2].detach()
        steps = TrainingSettings(
            rule="bp", learning_rate=0.1, learning_rate_scaling="table", batch_size=16, steps=1
        )
        train(model, Data(x.numpy(), y.numpy()), steps)
        moved.append(float((model.feedforward(x)[-2].detach() - before).square().mean() ** 0.5))
    assert max(moved) <= 2 * min(moved)


# -- training ------------------------------------------------------------------------------------------------


def stripes(num_samples=192, seed=0):
    """Images 6 x 6 with a horizontal or a vertical stripe anywhere, or a dot."""
    rng = np.random.default_rng(seed)
    images, labels = 0.2 * rng.standard_normal((num_samples, 6, 6)), rng.integers(0, 3, num_samples)
    for image, label, (i, j) in zip(images, labels, rng.integers(0, 6, (num_samples, 2)), strict=True):
        image[[np.s_[i, :], np.s_[:, j], np.s_[i, j]][label]] += 1.5
    return Data(images.reshape(num_samples, 36), np.eye(3)[labels])


def classifier(seed=0, **options):
    return network("relu", CLASSIFIER, [False, True, False, False], rng=seed, **options)


SETTINGS = TrainingSettings(
    PC(GradientDescent(0.2), stop=Stop(8)),
    learning_rate=0.1,
    batch_size=32,
    epochs=10,
    metrics_every=5,
)
RULES = {"pc": SETTINGS.rule, "ipc": IPC(GradientDescent(0.2), stop=Stop(8)), "bp": BP()}


@pytest.mark.parametrize("rule", ["pc", "ipc", "bp"])
@pytest.mark.parametrize("output", ["mse", "cross-entropy"])
def test_every_rule_learns_the_images(rule, output):
    model, test = classifier(output=output), stripes(60, seed=1)
    result = train(model, stripes(), dataclasses.replace(SETTINGS, rule=RULES[rule]), test=test)
    assert result.metrics["loss"][-1] < 0.5 * result.metrics["loss"][0]
    assert result.evaluations["accuracy"][-1] > 0.8
    assert result.evaluations["accuracy"][-1] == accuracy(model, test.x, test.y)
    assert np.all(result.metrics["weight_change"][-1] > 0)
    assert [w.shape for w in result.weights] == [tuple(w.shape) for w in model.weights]


def test_bp_is_sgd_by_autograd_on_the_loss():
    data, model, twin = stripes(32), classifier(), classifier()
    train(
        model, data, TrainingSettings(rule="bp", optimiser="SGD", learning_rate=0.3, batch_size=32, steps=4)
    )
    optimiser = torch.optim.SGD(twin.parameters(), lr=0.3)
    for _ in range(4):
        optimiser.zero_grad()
        plain_loss(twin, CLASSIFIER, torch.tensor(data.x), torch.tensor(data.y)).backward()
        optimiser.step()
    assert_same(model.weights, twin.weights, roundings=1e4)


def test_a_killed_run_resumes_to_the_identical_result(tmp_path):
    class Killed(Exception):
        pass

    def kill(step, model):
        if step == 7:
            raise Killed

    run = dataclasses.replace(SETTINGS, epochs=2)
    whole = train(classifier(), stripes(), run)
    path = tmp_path / "run.pt"
    with pytest.raises(Killed):
        train(classifier(), stripes(), run, checkpoint=path, checkpoint_every=5, callback=kill)
    resumed = train(classifier(), stripes(), run, checkpoint=path)
    assert np.array_equal(whole.metrics["loss"], resumed.metrics["loss"])
    assert all(np.array_equal(a, b) for a, b in zip(whole.weights, resumed.weights, strict=True))


def test_a_checkpoint_knows_the_padding_although_all_weights_have_the_same_shape(tmp_path):
    data, path = stripes(32), tmp_path / "run.pt"
    run = TrainingSettings(batch_size=32, steps=1)
    pair = [network("relu", (Image(1, 6, 6), Convolution(4, 3, 3, p), 3), False) for p in (0, 1)]
    assert pair[0].widths == pair[1].widths
    train(pair[0], data, run, checkpoint=path)
    with pytest.raises(ValueError, match="`checkpoint` must come from the same settings"):
        train(pair[1], data, run, checkpoint=path)


def test_differentiating_through_inference_and_at_the_energy_gives_the_local_rule():
    model = network("tanh")
    x, y = samples(model, 3)
    rest = infer(model, x, y, "newton", stop=Stop(tolerance=1e-12)).activities
    result = unrolled_gradient(
        model, rest, lambda m, z: m.energy(z), Clamps.of(model), step=0.05, num_steps=2, start=rest
    )
    assert_same(result.gradient, model.local_gradient(rest), roundings=1e5)


@pytest.mark.parametrize("activation", ["linear", "tanh"])
def test_a_bidirectional_network_sees_images_by_convolutions(activation):
    up = network(activation, (Image(1, 4, 4), Convolution(2, stride=2), 3), False)
    down = network(activation, (3, 8, 16), False)
    images, labels = torch.flip(samples(down)[1], [0]), samples(up)[1]
    found, expected = (
        GenerativeClassifier(down, discriminative).settle(images, labels)
        for discriminative in (up, dense_twin(up))
    )
    assert_same(found, expected, roundings=1e4)


def test_copies_casts_and_saved_states_keep_the_kernels():
    model = network("relu")
    x, _ = samples(model)
    twin = network("relu", rng=5)
    twin.load_state_dict(model.state_dict())
    assert torch.equal(twin(x), model(x))
    single = copy.deepcopy(model).to(torch.float32)
    single_output = single(x.float()).double()
    assert float((single_output - model(x)).detach().abs().max()) <= 1e-5
    assert model.num_weights == sum(w.numel() for w in model.weights)
    assert repr(model) == (
        "PCN(2x6x5 -> 3x6x5 -> 3x6x5 -> 4x2x1 -> 4 -> 4 -> 3, relu, mse, 387 weights, skips on layers 2, 5)"
    )


# -- bad input -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "layers, skips, message",
    [
        ((36, Convolution(4), 3), False, "`widths` must have an image below every convolution"),
        ((Convolution(4), 3), False, "with nothing below it"),
        ((Image(1, 6, 6), 8, Convolution(4), 3), False, "with 8 below it"),
        ((Image(1, 6, 6), Image(1, 6, 6), 3), False, "`widths` must have an Image as layer 0 only"),
        ((Image(1, 3, 3), Convolution(4, 5, 1, 0), 3), False, "`kernel` must fit into the padded image"),
        ((Image(1, 6, 6),), False, "`widths` must list at least"),
        (
            (Image(1, 6, 6), Convolution(4), Convolution(4, stride=2), 3),
            True,
            "`skips` must stay on square layers",
        ),
        (
            (Image(1, 4, 4), Convolution(1), Convolution(4, 2, 2, 0), 3),
            [False, True, False],
            "`skips` must stay on convolutions that keep the shape",
        ),
    ],
)
def test_layers_that_do_not_fit_are_refused_with_the_rule(layers, skips, message):
    with pytest.raises(ValueError, match=message):
        network("relu", layers, skips)


@pytest.mark.parametrize(
    "make, error, message",
    [
        (lambda: Image(0, 4, 4), ValueError, "`channels` must be 1 or more"),
        (lambda: Image(1, 4.0, 4), TypeError, "`height` must be an integer"),
        (lambda: Convolution(4, stride=0), ValueError, "`stride` must be 1 or more"),
        (lambda: Convolution(4, padding=3), ValueError, "`padding` must be less than the kernel's side"),
        (lambda: Convolution(4, padding=-1), ValueError, "`padding` must be 0 or more"),
        (lambda: PCN((Image(1, 4, 4), "4"), rng=0), TypeError, "`widths` must be a sequence"),
        (lambda: PCN(3, rng=0), TypeError, "`widths` must be a sequence"),
        (lambda: network()(torch.zeros(2, 2, 6, 5)), ValueError, "`x` must be a two-dimensional array"),
        (
            lambda: parameterisation.multipliers((3, 4, 2), fan_ins=[3]),
            ValueError,
            "`fan_ins` must be one per layer, 2 of them",
        ),
    ],
)
def test_bad_blocks_and_rows_are_refused_with_the_rule(make, error, message):
    with pytest.raises(error, match=message):
        make()


# -- another device ------------------------------------------------------------------------------------------


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("layers, skips", [(LAYERS, SKIPS), ((6, 8, 8, 8, 3), True)])
def test_inference_and_training_on_a_cuda_device_are_those_on_the_cpu(layers, skips, tmp_path):
    host, model = (network("tanh", layers, skips, device=d) for d in ("cpu", "cuda"))
    x, y = samples(host, 64)
    for method, options in METHODS.values():
        expected, result = (infer(m, x, y, method, **options) for m in (host, model))
        for a, b in zip(expected.activities, result.activities, strict=True):
            assert b.device.type == "cuda"
            assert float((a - b.cpu()).abs().max()) <= 1e-6
    for rule in ("pc", "ipc", "bp"):
        run = dataclasses.replace(SETTINGS, rule=RULES[rule], epochs=3)
        pair = [network("tanh", layers, skips, device=d) for d in ("cpu", "cuda")]
        path = tmp_path / f"{rule}.pt"
        data = Data(x.numpy(), y.numpy())
        losses = [
            train(m, data, run, test=data, checkpoint=path.with_suffix(f".{i}")).metrics["loss"]
            for i, m in enumerate(pair)
        ]
        assert losses[1] == pytest.approx(losses[0], rel=1e-5)
        again = train(
            network("tanh", layers, skips, device="cuda"),
            data,
            run,
            test=data,
            checkpoint=path.with_suffix(".1"),
        )
        assert np.array_equal(again.metrics["loss"], losses[1])
