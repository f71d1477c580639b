"""The torch module: its energy, analytic gradients and stacks, against autograd of the plain definition."""

import copy
from itertools import pairwise

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import pctheory
from pctheory import Data, LinearPCN
from pctheory.nn import PCN

EPS = float(np.finfo(np.float64).eps)
WIDTHS = (5, 6, 6, 6, 4, 4, 4, 3)
ACTIVATIONS = ("linear", "tanh", "relu", "gelu", "softplus", "leaky_relu")


def random_precisions(widths, rng, kind):
    if kind == "matrix":
        roots = [rng.standard_normal((n, n)) for n in widths[1:]]
        return [root @ root.T / n + np.eye(n) for root, n in zip(roots, widths[1:], strict=True)]
    if kind == "vector":
        return [rng.uniform(0.5, 2, n) for n in widths[1:]]
    return list(rng.uniform(0.5, 2, len(widths) - 1)) if kind == "number" else None


def random_activities(model, batch, seed):
    rng = np.random.default_rng(seed)
    z = [torch.tensor(rng.standard_normal((batch, n)), requires_grad=True) for n in model.widths]
    if model.output == "cross-entropy":
        z[-1] = torch.softmax(z[-1].detach(), -1).requires_grad_()
    return z


def assert_same(left, right, size=1.0):
    """Equal to a few hundred roundings of the largest entry."""
    for a, b in zip(left, right, strict=True):
        scale = size + max(float(a.detach().abs().max()), float(b.detach().abs().max()))
        assert float((a - b).detach().abs().max()) <= 256 * EPS * scale


def modules(activation="relu", output="mse", **options):
    return PCN(WIDTHS, activation=activation, output=output, rng=3, dtype=torch.float64, **options)


@pytest.mark.parametrize("output", ["mse", "cross-entropy"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("skips", [False, True])
@pytest.mark.parametrize("parameterisation, gamma", [("sp", 1.0), ("ntp", 0.7), ("mupc", 2.0)])
def test_analytic_gradients_are_those_of_the_plain_energy(activation, output, skips, parameterisation, gamma):
    pattern = [skips and 0 < i < 6 and a == b for i, (a, b) in enumerate(pairwise(WIDTHS))]
    model = modules(activation, output, skips=pattern, parameterisation=parameterisation, gamma=gamma)
    z = random_activities(model, 7, seed=1)
    energy = model.energy(z)
    by_autograd = torch.autograd.grad(energy, [*z, *model.weights])
    values = [a.detach() for a in z]
    assert_same(by_autograd[: len(z)], model.activity_gradient(values))
    assert_same(by_autograd[len(z) :], model.local_gradient(values))
    in_stacks = model.stacked().energy(model.state(values)).mean()
    assert_same([energy.detach()], [in_stacks])


@pytest.mark.parametrize("kind", ["number", "vector", "matrix"])
def test_precisions_weigh_the_errors_of_every_layer(kind):
    precisions = random_precisions(WIDTHS, np.random.default_rng(0), kind)
    model = modules("tanh", skips=[False, True, True, False, True, True, False], precisions=precisions)
    z = random_activities(model, 5, seed=2)
    by_autograd = torch.autograd.grad(model.energy(z), [*z, *model.weights])
    values = [a.detach() for a in z]
    assert_same(by_autograd[: len(z)], model.activity_gradient(values))
    assert_same(by_autograd[len(z) :], model.local_gradient(values))


@pytest.mark.parametrize("output", ["mse", "cross-entropy"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_explicit_backward_pass_is_backpropagation_of_the_loss(activation, output):
    model = modules(activation, output, skips=[False, True, True, False, True, True, False])
    z = random_activities(model, 7, seed=3)
    x, y = z[0].detach(), z[-1].detach()
    assert_same(torch.autograd.grad(model.loss(x, y), list(model.weights)), model.loss_gradient(x, y))


def test_the_energy_of_a_linear_network_is_that_of_the_theory():
    net = LinearPCN.random(
        (4, 5, 5, 3),
        parameterisation="mupc",
        skips=True,
        gamma=0.5,
        precisions=random_precisions((4, 5, 5, 3), np.random.default_rng(0), "matrix"),
        rng=1,
    )
    model = PCN.from_linear(net)
    z = random_activities(model, 6, seed=4)
    values = [a.detach().numpy() for a in z]
    assert float(model.energy(z).detach()) == pytest.approx(float(pctheory.energy(net, values)), rel=1e-13)
    data = Data(values[0], values[-1])
    assert float(model.loss(data.x, data.y).detach()) == pytest.approx(
        float(pctheory.loss(net, data)), rel=1e-13
    )
    back = LinearPCN.from_torch(model)
    assert all(np.array_equal(a, b) for a, b in zip(back.maps, net.maps, strict=True))
    assert float(pctheory.energy(back, values)) == float(pctheory.energy(net, values))


def test_depth_one_has_no_hidden_layers():
    model = PCN((3, 2), activation="relu", rng=0, dtype=torch.float64)
    z = random_activities(model, 4, seed=5)
    values = [a.detach() for a in z]
    by_autograd = torch.autograd.grad(model.energy(z), [*z, *model.weights])
    assert_same(by_autograd[:2], model.activity_gradient(values))
    assert_same(by_autograd[2:], model.local_gradient(values))
    assert_same(model.loss_gradient(*values), model.local_gradient(values))


def test_equal_layers_share_a_storage_that_follows_optimisers_copies_and_casts():
    model = PCN((3, 4, 4, 4, 2), activation="tanh", rng=0, dtype=torch.float64)
    model.stacked()
    with torch.no_grad():
        model.weights[1].add_(1.0)
    assert torch.equal(model.stacked().maps[1], model.weights[1])
    for other in (copy.deepcopy(model), copy.deepcopy(model).to(torch.float32)):
        with torch.no_grad():
            other.weights[2].mul_(2.0)
        assert torch.equal(other.stacked().maps[2], other.weights[2])
        assert not torch.equal(other.stacked().maps[2].to(torch.float64), model.stacked().maps[2])
    state = model.state_dict()
    other = PCN((3, 4, 4, 4, 2), activation="tanh", rng=1, dtype=torch.float64)
    other.load_state_dict(state)
    assert torch.equal(other.stacked().maps[2], model.stacked().maps[2])


def test_labels_and_one_hot_rows_are_the_same_targets():
    model = PCN((3, 4, 3), activation="tanh", output="cross-entropy", rng=0)
    x = torch.ones(2, 3)
    assert torch.equal(model.loss(x, [0, 2]), model.loss(x, [[1.0, 0, 0], [0, 0, 1]]))


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: PCN((3, 2), activation="softmax", rng=0), "`activation` must be"),
        (lambda: PCN((3, 2), activation="no_such", rng=0), "`activation` must be"),
        (lambda: PCN((3, 2), output="l1", rng=0), "`output` must be one of"),
        (lambda: PCN((3, 4, 2), precisions=[1.0], rng=0), "`precisions` must be one per layer"),
        (lambda: PCN((3, 2), precisions=[-1.0], rng=0), "must be positive"),
        (lambda: PCN((3, 2), output="cross-entropy", precisions=[[1.0, 2.0]], rng=0), "must be a number"),
        (lambda: PCN((3, 2), rng=0)([[1.0, 2.0]]), "`x` must have 3 columns"),
        (lambda: PCN((3, 2), rng=0)([[1.0, np.nan, 2.0]]), "`x` must be finite"),
        (lambda: PCN((3, 2), rng=0)(np.zeros((0, 3))), "at least one row"),
        (lambda: PCN((3, 2), rng=0).energy([[[1.0, 2.0, 3.0]]]), "`activities` must be a tuple"),
        (lambda: PCN((1, 2), output="cross-entropy", rng=0).loss([[1.0]], [2]), "class labels 0..1"),
        (lambda: PCN((1, 2), output="cross-entropy", rng=0).loss([[1.0]], [[0.2, 0.2]]), "probabilities"),
        (lambda: PCN((3, 2), rng=0).loss(np.zeros((2, 3)), np.zeros((1, 2))), "one row per sample"),
        (lambda: PCN((3, 3), activation="relu", rng=0).linear_parameters(), "`activation` must be 'linear'"),
        (lambda: PCN((3, 3), output="cross-entropy", rng=0).linear_parameters(), "`output` must be 'mse'"),
    ],
)
def test_bad_input_is_refused_with_the_rule(call, message):
    with pytest.raises(ValueError, match=message):
        call()
