"""Biases in torch: against torch's own modules, autograd, and the theory of linear networks with biases."""

import copy
import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import pctheory
from pctheory import Data, EquilibratedEnergy, LinearPCN, MSELoss
from pctheory.model import bias_rate_scales
from pctheory.nn import (
    BP,
    IPC,
    PC,
    PCN,
    Adaptive,
    Convolution,
    ErrorDescent,
    GradientDescent,
    Heun,
    Image,
    Momentum,
    Newton,
    Stop,
    Switch,
    TrainingSettings,
    empirical_kernel,
    infer,
    train,
)
from pctheory.nn.through_inference import Clamps, implicit_gradient, unrolled_gradient

EPS = float(np.finfo(np.float64).eps)
DENSE = (5, 6, 6, 6, 4, 3)
IMAGES = (Image(2, 4, 3), Convolution(3), Convolution(3), Convolution(4, 2, 2, 0), 5, 5, 3)
PHI = {"linear": lambda z: z, "tanh": torch.tanh, "relu": torch.relu, "gelu": torch.nn.functional.gelu}


def network(layers=DENSE, activation="tanh", seed=0, **options):
    """A network whose biases are not zero."""
    skips = [False, True, *[False] * (len(layers) - 3)] if "skips" not in options else options.pop("skips")
    chosen = {"parameterisation": "mupc", "skips": skips, "dtype": torch.float64} | options
    model = PCN(layers, activation=activation, bias=True, rng=seed, **chosen)
    rng = np.random.default_rng(seed + 100)
    with torch.no_grad():
        for bias in model.biases:
            bias.copy_(torch.tensor(rng.standard_normal(tuple(bias.shape))))
    return model


def samples(model, batch=6, seed=1):
    rng = np.random.default_rng(seed)
    x = torch.tensor(rng.standard_normal((batch, model.widths[0])))
    return x, torch.tensor(np.eye(model.widths[-1])[rng.integers(0, model.widths[-1], batch)])


def random_activities(model, seed, batch=6):
    rng = np.random.default_rng(seed)
    z = [torch.tensor(rng.standard_normal((batch, n)), requires_grad=True) for n in model.widths]
    if model.output == "cross-entropy":
        z[-1] = torch.softmax(z[-1].detach(), -1).requires_grad_()
    return z


def torch_layers(model, layers):
    """The model's layers as torch's own modules, whose parameters are the model's; multipliers apart."""
    result, shape = [], layers[0]
    for layer, weight, bias in zip(layers[1:], model.weights, model.biases, strict=True):
        if isinstance(layer, Convolution):
            border = layer.kernel // 2 if layer.padding is None else layer.padding
            module = torch.nn.Conv2d(shape.channels, layer.channels, layer.kernel, layer.stride, border)
            shape = layer.image(shape)
        else:
            module = torch.nn.Linear(weight.shape[1], weight.shape[0])
        module.weight, module.bias = weight, bias
        result.append(module)
    return result


def torch_prediction(model, layers, modules, layer, below):
    """Prediction of layer `layer` by torch's module, whose bias no multiplier scales."""
    module, a = modules[layer - 1], model.multipliers[layer - 1]
    value = below if layer == 1 else PHI[model.activation.name](below)
    if isinstance(module, torch.nn.Conv2d):
        image = layers[0]
        for block in layers[1:layer]:
            image = block.image(image)
        value = value.reshape(-1, image.channels, image.height, image.width)
    zero = torch.zeros_like(value[:1])
    out = (a * (module(value) - module(zero)) + module(zero)).flatten(1)
    return out + below if model.skips[layer - 1] else out


def torch_energy(model, layers, z):
    modules, total = torch_layers(model, layers), 0.0
    for layer in range(1, model.depth + 1):
        prediction = torch_prediction(model, layers, modules, layer, z[layer - 1])
        if layer == model.depth and model.output == "cross-entropy":
            total = total - (z[-1] * torch.log_softmax(prediction, -1)).sum()
        else:
            total = total + 0.5 * ((z[layer] - prediction) ** 2).sum()
    return total / len(z[0])


def assert_same(left, right, roundings=512):
    """Equal to a few hundred roundings of the largest entry."""
    for a, b in zip(left, right, strict=True):
        assert a.shape == b.shape
        scale = 1 + max(float(a.detach().abs().max()), float(b.detach().abs().max()))
        assert float((a - b).detach().abs().max()) <= roundings * EPS * scale


@pytest.mark.parametrize("layers", [DENSE, IMAGES, (3, 2), (3, 4, 2)], ids=["dense", "images", "one", "two"])
@pytest.mark.parametrize("activation", ["linear", "tanh", "relu", "gelu"])
@pytest.mark.parametrize("output", ["mse", "cross-entropy"])
def test_energy_and_gradients_are_autograds_of_torchs_own_modules_with_biases(layers, activation, output):
    skips = False if len(layers) < 4 else [False, True, *[False] * (len(layers) - 3)]
    model = network(layers, activation, output=output, skips=skips)
    z = random_activities(model, 2)
    energy = torch_energy(model, layers, z)
    assert_same([energy], [model.energy(z)])
    expected = torch.autograd.grad(energy, [*z, *model.weights, *model.biases])
    values = [a.detach() for a in z]
    assert_same(expected[: len(z)], model.activity_gradient(values))
    assert_same(expected[len(z) :], model.local_gradient(values))
    assert_same([energy], [model.stacked().energy(model.state(values)).mean()])
    rows, modules = z[0].detach(), torch_layers(model, layers)
    for layer in range(1, model.depth + 1):
        rows = torch_prediction(model, layers, modules, layer, rows)
    assert_same([rows], [model(values[0])])
    learned = list(model.parameters())
    assert_same(
        torch.autograd.grad(model.loss(values[0], values[-1]), learned),
        model.loss_gradient(values[0], values[-1]),
    )


def linear_problem(precisions=None, seed=3):
    rng = np.random.default_rng(seed)
    net = LinearPCN.random(
        (4, 5, 5, 5, 3), skips=True, parameterisation="ntp", biases=1.0, precisions=precisions, rng=seed
    )
    return net, Data(rng.standard_normal((8, 4)), rng.standard_normal((8, 3)))


@pytest.mark.claim("biases")
def test_a_linear_network_with_biases_goes_to_torch_and_back_unchanged():
    net, data = linear_problem([2.0, np.linspace(1, 2, 5), 0.5, 3.0])
    model = PCN.from_linear(net)
    back = LinearPCN.from_torch(model)
    for a, b in zip((*back.parameters, *back.maps), (*net.parameters, *net.maps), strict=True):
        assert np.array_equal(a, b)
    z = [a.detach() for a in random_activities(model, 4)]
    rows = [a.numpy() for a in z]
    assert float(model.energy(z).detach()) == pytest.approx(float(pctheory.energy(net, rows)), rel=1e-13)
    assert float(model.loss(data.x, data.y).detach()) == pytest.approx(
        float(pctheory.loss(net, data)), rel=1e-13
    )
    assert model.num_weights == net.num_weights


@pytest.mark.claim("biases")
def test_convolutions_with_biases_are_the_dense_network_with_their_matrices():
    model = network(IMAGES, "linear")
    net = LinearPCN.from_torch(model)
    x, y = samples(model)
    assert_same([model(x)], [torch.tensor(np.asarray(pctheory.feedforward(net, x.numpy())[-1]))])
    found = infer(model, x, y, "newton", stop=Stop(tolerance=1e-13))
    exact = pctheory.equilibrium(net, Data(x.numpy(), y.numpy()))
    for a, b in zip(found.activities, exact.activities, strict=True):
        assert float((a - torch.tensor(np.asarray(b))).abs().max()) < 1e-11
    gradient = model.local_gradient(found.activities, errors=found.errors)
    dense = EquilibratedEnergy(Data(x.numpy(), y.numpy())).gradient(net)
    for layer, (operator, mine, whole) in enumerate(
        zip(model.operators, gradient[model.depth :], dense[model.depth :], strict=True)
    ):  # the entries of a channel share one number, and their slopes add
        summed = operator.collect(torch.tensor(np.asarray(whole))[None])
        assert float((mine - summed).abs().max()) < 1e-11, layer


METHODS = [
    GradientDescent(0.2),
    GradientDescent(0.2, coordinates="activities"),
    Momentum(0.1),
    ErrorDescent(0.1),
    Heun(t_max=200.0, rtol=1e-4, atol=1e-6),
    Newton(),
    Adaptive(),
]


@pytest.mark.claim("biases")
@pytest.mark.evidence("empirical")
@pytest.mark.parametrize("method", METHODS, ids=lambda m: type(m).__name__)
def test_inference_with_biases_ends_at_the_equilibrium_of_the_theory(method):
    net, data = linear_problem()
    model = PCN.from_linear(net)
    near = 1e-4 if isinstance(method, Heun) else 1e-9
    found = infer(model, data.x, data.y, method, stop=Stop(4000, tolerance=1e-12 if near < 1e-5 else 1e-6))
    exact = pctheory.equilibrium(net, data)
    assert found.energy == pytest.approx(float(exact.energy), rel=near)
    for a, b in zip(found.activities, exact.activities, strict=True):
        assert np.abs(a.numpy() - np.asarray(b)).max() < near
    gradient = model.local_gradient(found.activities, errors=found.errors)
    for a, b in zip(gradient, EquilibratedEnergy(data).gradient(net), strict=True):
        assert np.abs(a.numpy() - np.asarray(b)).max() < near
    for a, b in zip(model.loss_gradient(data.x, data.y), MSELoss(data).gradient(net), strict=True):
        assert np.abs(a.numpy() - np.asarray(b)).max() < 1e-13


@pytest.mark.parametrize("activation, output", [("tanh", "cross-entropy"), ("relu", "mse"), ("gelu", "mse")])
@pytest.mark.parametrize("layers", [DENSE, IMAGES], ids=["dense", "images"])
def test_newton_rests_where_autograd_of_the_energy_of_torchs_modules_vanishes(layers, activation, output):
    model = network(layers, activation, output=output)
    x, y = samples(model)
    found = infer(model, x, y, Newton(), stop=Stop(tolerance=1e-11))
    assert found.converged
    if activation == "relu":  # units that rest at the kink have no derivative
        assert found.energy < float(model.loss(x, y).detach())
        return
    z = [a.clone().requires_grad_() for a in found.activities]
    slopes = torch.autograd.grad(torch_energy(model, layers, z), z[1:-1])
    start = [a.detach().requires_grad_() for a in model.feedforward(x)[:-1]]
    first = torch.autograd.grad(torch_energy(model, layers, [*start, y]), start[1:])
    norm = lambda rows: float(torch.cat([r.flatten() for r in rows]).norm())
    assert norm(slopes) <= 1e-10 * norm(first)


@pytest.mark.parametrize("method", [GradientDescent, Momentum])
@pytest.mark.parametrize("activation, output", [("tanh", "cross-entropy"), ("relu", "mse")])
def test_displacements_do_not_feel_the_biases_and_descend_as_activities_do(method, activation, output):
    model = network(DENSE, activation, output=output)
    x, y = samples(model)
    here, there = (
        infer(model, x, y, method(0.05, coordinates=c), stop=Stop(9)) for c in ("displacements", "activities")
    )
    for a, b in zip((*here.activities, *here.errors), (*there.activities, *there.errors), strict=True):
        assert float((a - b).abs().max()) < 1e-12
    pairs = zip(
        model.local_gradient(here.activities, errors=here.errors),
        model.local_gradient(there.activities),
        strict=True,
    )
    assert all(float((a - b).abs().max()) < 1e-12 for a, b in pairs)


def test_below_the_front_biases_do_not_learn():
    model = network((5, 6, 6, 6, 6, 6, 3), "tanh")
    x, y = samples(model)
    found = infer(model, x, y, GradientDescent(0.1), stop=Stop(2))
    slopes = model.local_gradient(found.activities, errors=found.errors)[model.depth :]
    assert [bool(g.any()) for g in slopes] == [False] * 3 + [True] * 3
    still = TrainingSettings(
        PC(GradientDescent(0.1), stop=Stop(2)), optimiser="SGD", learning_rate=0.1, batch_size=6, steps=1
    )
    before = [b.detach().clone() for b in model.biases]
    train(model, Data(x.numpy(), y.numpy()), still)
    assert [not torch.equal(a, b) for a, b in zip(before, model.biases, strict=True)] == [False] * 3 + [
        True
    ] * 3


RULES = {
    "pc": PC(GradientDescent(0.2), stop=Stop(12)),
    "adaptive": PC(Adaptive()),
    "ipc": IPC(GradientDescent(0.2), stop=Stop(12)),
    "bp": BP(),
    "switch": Switch(PC("newton"), BP(), below=0.5),
}


@pytest.mark.parametrize(
    "rule, layers",
    [*((rule, (5, 6, 6, 3)) for rule in RULES.values()), (RULES["pc"], IMAGES), (RULES["bp"], IMAGES)],
    ids=[*RULES, "pc-images", "bp-images"],
)
def test_every_rule_learns_with_biases_what_it_cannot_without(rule, layers):
    settings = TrainingSettings(rule, learning_rate=0.1, batch_size=2, steps=25)
    losses = {}
    for bias in (False, True):
        model = PCN(layers, activation="tanh", bias=bias, rng=0, dtype=torch.float64)
        data = Data(np.zeros((2, model.widths[0])), np.tile([1.0, -2.0, 0.5], (2, 1)))
        losses[bias] = train(model, data, settings).metrics["loss"][-1]
    assert losses[False] == pytest.approx(0.5 * 5.25)  # an input of zeros says nothing
    assert losses[True] < 0.5 * losses[False]


@pytest.mark.parametrize("rule", ["pc", "ipc", "bp"])
def test_a_run_with_biases_resumes_to_the_identical_result(rule, tmp_path):
    rng = np.random.default_rng(0)
    data = Data(rng.standard_normal((32, 5)), rng.standard_normal((32, 3)))
    settings = TrainingSettings(RULES[rule], learning_rate=0.01, batch_size=8, steps=9)
    whole = train(network(), data, settings)
    train(network(), data, dataclasses.replace(settings, steps=5), checkpoint=tmp_path / "run.pt")
    resumed = train(network(), data, settings, checkpoint=tmp_path / "run.pt")
    for a, b in zip((*whole.weights, *whole.biases), (*resumed.weights, *resumed.biases), strict=True):
        assert np.array_equal(a, b)
    with pytest.raises(ValueError, match="`checkpoint` must come from the same settings"):
        train(network(seed=1), data, settings, checkpoint=tmp_path / "run.pt")


def test_frozen_layers_keep_their_biases_and_the_table_scales_the_others():
    rng = np.random.default_rng(0)
    data = Data(rng.standard_normal((8, 6)), rng.standard_normal((8, 3)))
    model = network((6, 8, 8, 8, 3), skips=[False, True, True, False])
    before = [b.detach().clone() for b in model.biases]
    settings = TrainingSettings(
        "bp", learning_rate=0.01, learning_rate_scaling="table", batch_size=8, steps=1, frozen=(2,)
    )
    train(model, data, settings)
    moved = [float((b - b0).detach().abs().median()) for b, b0 in zip(model.biases, before, strict=True)]
    assert moved == pytest.approx([0.01, 0, 0.01 / 4, 0.01], rel=1e-3)  # Adam's first step is its rate


@pytest.mark.parametrize("optimiser", ["sgd", "adam"])
@pytest.mark.parametrize("name", ["ntp", "mupc"])
def test_at_their_rates_biases_move_the_outputs_alike_at_every_width_and_depth(name, optimiser):
    """One step on the biases below the output, in the direction of the optimiser."""

    def moved(width, hidden, skips):
        changes = []
        for seed in range(6):
            widths = (4, *[width] * hidden, 1)
            model = PCN(
                widths,
                activation="tanh",
                bias=True,
                parameterisation=name,
                skips=skips,
                rng=seed,
                dtype=torch.float64,
            )
            x = torch.tensor(np.random.default_rng(seed).standard_normal((1, 4)))
            start = model(x).detach()
            slopes = model.loss_gradient(x, start + 1)[model.depth : -1]  # a residual of 1
            scales = bias_rate_scales(widths, name, optimiser, skips=skips)
            with torch.no_grad():
                for bias, g, scale in zip(model.biases, slopes, scales, strict=False):
                    bias.sub_(1e-6 * scale * (g if optimiser == "sgd" else torch.sign(g)))
            changes.append(float((model(x) - start).abs().detach()) / 1e-6)
        return float(np.mean(changes))

    def slope(sizes, values):
        return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])

    widths, depths = [32, 64, 128, 256], [4, 8, 16, 32]
    # under Adam "ntp" moves its hidden layers by as much as "mupc" and has a readout larger by N^1/2
    expected = 0.5 if (name, optimiser) == ("ntp", "adam") else 0.0
    assert slope(widths, [moved(n, 3, False) for n in widths]) == pytest.approx(expected, abs=0.1)
    assert slope(depths, [moved(64, h, True) for h in depths]) == pytest.approx(0, abs=0.15)


def test_rates_of_biases_layer_by_layer():
    widths = (3, 16, 16, 16, 2)
    assert bias_rate_scales(widths, "sp", "sgd", skips=True) == (1, 1, 1, 1)
    assert bias_rate_scales(widths, "mupc", "sgd", gamma=2) == (64, 64, 64, 1)
    assert bias_rate_scales(widths, "mupc", "sgd", gamma=2, skips=True) == (64, 16, 16, 1)
    assert bias_rate_scales(widths, "ntp", "adam", skips=True) == (1, 0.25, 0.25, 1)
    assert bias_rate_scales((3, 2), "mupc", "sgd") == (1,)
    assert bias_rate_scales((3, 8, 2), "mupc", "adam", skips=True) == (1, 1)


def test_biases_start_at_zero_or_as_torch_draws_them_and_leave_the_weights_as_they_are():
    plain, biased = (PCN(DENSE, bias=b, rng=0, init="torch") for b in (False, True))
    assert all(torch.equal(a, b) for a, b in zip(plain.weights, biased.weights, strict=True))
    wide = PCN((400, 5000, 1), bias=True, rng=0, init="torch").biases[0].detach()
    assert float(wide.abs().max()) == pytest.approx(1 / 20, rel=1e-2)
    assert float(wide.std()) == pytest.approx(1 / 20 / 3**0.5, rel=0.05)
    assert not any(bool(b.any()) for b in PCN(DENSE, bias=True, rng=0).biases)
    assert repr(PCN((2, 3, 1), bias=True, rng=0)) == "PCN(2 -> 3 -> 1, linear, mse, 13 weights and biases)"


def test_copies_casts_and_state_dicts_take_the_biases_along():
    model = network()
    other = copy.deepcopy(model).to(torch.float32)
    assert torch.equal(other.stacked().shifts[1], model.biases[1].detach().float())
    fresh = PCN(DENSE, activation="tanh", bias=True, parameterisation="mupc", rng=9, dtype=torch.float64)
    fresh.load_state_dict(model.state_dict())
    assert torch.equal(fresh.biases[2], model.biases[2])
    listed = PCN.from_weights(
        list(model.weights), biases=list(model.biases), multipliers=model.multipliers, skips=model.skips
    )
    assert torch.equal(listed.biases[2], model.biases[2])


@pytest.mark.claim("lazy-prediction")
def test_the_tangent_kernel_counts_the_biases():
    model = network((3, 4, 4, 2))
    x = torch.tensor(np.random.default_rng(0).standard_normal((3, 3)))
    names, values = zip(*model.named_parameters(), strict=True)

    def outputs(*parameters):
        return torch.func.functional_call(model, dict(zip(names, parameters, strict=True)), (x,)).flatten()

    blocks = torch.func.jacrev(outputs, argnums=tuple(range(len(values))))(*values)
    jacobian = torch.cat([b.flatten(1) for b in blocks], dim=1).detach()
    found = empirical_kernel(model, x).kernel.reshape(6, 6)
    assert_same([found], [jacobian @ jacobian.T])


def test_gradients_through_inference_reach_the_biases():
    """Implicit, and unrolled to the end, against differences of the settled loss."""
    model = network((3, 4, 4, 2))
    x, y = samples(model, batch=4)
    clamps = Clamps.of(model)
    weights = torch.tensor(np.random.default_rng(5).standard_normal(4))

    def loss(model, z):
        return ((z[2] @ weights) ** 2).mean()

    def settled():
        return infer(model, x, y, Newton(), stop=Stop(tolerance=1e-14)).activities

    z = settled()
    implicit = implicit_gradient(model, z, loss, clamps, tolerance=1e-13).gradient
    unrolled = unrolled_gradient(model, z, loss, clamps, step=0.3, num_steps=300).gradient
    assert len(implicit) == len(unrolled) == 2 * model.depth
    for a, b in zip(implicit, unrolled, strict=True):
        assert float((a - b).abs().max()) < 1e-9
    for layer in range(model.depth):
        values = []
        for sign in (1, -1):
            with torch.no_grad():
                model.biases[layer][0] += sign * 1e-5
                values.append(float(loss(model, settled())))
                model.biases[layer][0] -= sign * 1e-5
        difference = (values[0] - values[1]) / 2e-5
        assert float(implicit[model.depth + layer][0]) == pytest.approx(difference, abs=1e-8)


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: PCN((3, 2), bias=1, rng=0), TypeError, "`bias` must be True or False"),
        (lambda: PCN.from_weights([[[1.0]]], biases=[[1.0], [2.0]]), ValueError, "one vector per layer"),
        (
            lambda: PCN.from_weights([[[1.0]]], biases=[[1.0, 2.0]]),
            ValueError,
            r"`b_1` must have shape \(1,\)",
        ),
        (
            lambda: PCN.from_linear(LinearPCN([[[1.0]], [[1.0]]], biases=[None, [1.0]])),
            ValueError,
            "`net` must learn all its entries",
        ),
    ],
)
def test_bad_input_is_refused_with_the_rule(call, error, message):
    with pytest.raises(error, match=message):
        call()
