"""Torch modules: each is read right, or refused at its first operation that is not linear."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from pctheory import Data, LinearGraph, LinearPCN, equilibrium, feedforward


class Net(nn.Module):
    """Layers by name, and a forward pass given as a function."""

    def __init__(self, forward, **layers):
        super().__init__()
        for name, layer in layers.items():
            setattr(self, name, layer)
        self.run = forward

    def forward(self, x):
        return self.run(self, x)


def seeded(build):
    def module():
        torch.manual_seed(0)
        return build()

    return module


def statistics(norm):
    """A batch norm that has seen data."""
    with torch.no_grad():
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2.0)
        norm.weight.normal_()
        norm.bias.normal_()
    return norm


def square(n=3, **options):
    return nn.Linear(n, n, **options)


def with_scale(net, x):
    return net.b(0.5 * net.a(x) - 2.0 + net.a(x) / 4)


def concatenated(net, x):
    return net.c(torch.cat([net.a(x), x], dim=1))


def sizes(net, x):
    return net.c(net.a(x).view(x.size(0), -1))


def reshaped(net, x):
    return net.c(net.a(x).reshape(x.shape[0], 2, 2).transpose(1, 2).flatten(1))


READ = {
    "chain": (lambda: nn.Sequential(nn.Linear(3, 4, bias=False), nn.Linear(4, 2, bias=False)), None),
    "chain with biases": (lambda: nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2)), None),
    "one layer": (lambda: nn.Linear(3, 2), None),
    "nested": (lambda: nn.Sequential(nn.Sequential(square()), nn.Identity(), nn.Linear(3, 2)), None),
    "layers listed in another order": (
        lambda: Net(lambda net, x: net.a(net.b(x)), a=nn.Linear(4, 2), b=nn.Linear(3, 4)),
        None,
    ),
    "layers called output and x": (
        lambda: Net(lambda net, x: net.x(net.output(x)), output=square(), x=nn.Linear(3, 2)),
        None,
    ),
    "shared layer": (lambda: Net(lambda net, x: net.b(net.a(net.a(x))), a=square(), b=nn.Linear(3, 2)), None),
    "residual block": (
        lambda: Net(lambda net, x: net.c(x + net.b(net.a(x))), a=square(), b=square(), c=square()),
        None,
    ),
    "identity around one layer": (
        lambda: Net(lambda net, x: net.b(x + net.a(x)), a=square(), b=square()),
        None,
    ),
    "long skips": (
        lambda: Net(
            lambda net, x: net.d(net.c(net.b(net.a(x)) + x) + net.a(x)) + net.e(x),
            a=square(),
            b=square(),
            c=square(),
            d=square(),
            e=square(),
        ),
        None,
    ),
    "scaled and shifted": (lambda: Net(with_scale, a=square(), b=square()), None),
    "shifted twice": (
        lambda: Net(lambda net, x: net.c(2 * (net.a(x) + 1) + 3), a=square(), c=square()),
        None,
    ),
    "dense block": (lambda: Net(concatenated, a=square(), c=nn.Linear(6, 2)), None),
    "view by sizes": (lambda: Net(sizes, a=square(), c=square()), None),
    "reshape and transpose": (lambda: Net(reshaped, a=nn.Linear(3, 4), c=nn.Linear(4, 2)), None),
    "functional linear": (
        lambda: Net(
            lambda net, x: functional.linear(net.a(x), net.w), a=square(), w=nn.Parameter(torch.randn(2, 3))
        ),
        None,
    ),
    "matrix product": (
        lambda: Net(lambda net, x: net.a(x) @ net.w, a=square(), w=nn.Parameter(torch.randn(3, 2))),
        None,
    ),
    "dropout in eval mode": (lambda: nn.Sequential(square(), nn.Dropout(), square()).eval(), None),
    "batch norm in eval mode": (
        lambda: nn.Sequential(square(), statistics(nn.BatchNorm1d(3)), nn.Linear(3, 2)).eval(),
        None,
    ),
    "convolution": (
        lambda: nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.Flatten(), nn.Linear(32, 2)),
        (1, 4, 4),
    ),
    "strided, grouped, dilated": (
        lambda: nn.Sequential(
            nn.Conv2d(2, 4, 3, stride=2, groups=2, dilation=1, padding=1), nn.Conv2d(4, 1, 2), nn.Flatten()
        ),
        (2, 4, 4),
    ),
    "transposed convolution": (
        lambda: nn.Sequential(
            nn.Flatten(), nn.Unflatten(1, (1, 2, 2)), nn.ConvTranspose2d(1, 1, 2, stride=2), nn.Flatten()
        ),
        (4,),
    ),
    "convolution, batch norm, average pool": (
        lambda: nn.Sequential(
            nn.Conv2d(1, 2, 3, padding=1),
            statistics(nn.BatchNorm2d(2)),
            nn.AvgPool2d(2),
            nn.Flatten(),
            nn.Linear(8, 2),
        ).eval(),
        (1, 4, 4),
    ),
    "residual convolution": (
        lambda: Net(
            lambda net, x: net.c(nn.functional.adaptive_avg_pool2d(x + net.b(net.a(x)), 1).flatten(1)),
            a=nn.Conv2d(2, 2, 3, padding=1),
            b=nn.Conv2d(2, 2, 3, padding=1),
            c=nn.Linear(2, 2),
        ),
        (2, 3, 3),
    ),
    "linear on the last axis": (lambda: nn.Sequential(nn.Linear(3, 2), nn.Flatten()), (4, 3)),
}


@pytest.mark.parametrize("name", READ)
def test_a_linear_module_is_read_right(name):
    build, shape = READ[name]
    module = seeded(build)().double()
    graph = LinearGraph.from_torch(module, input_shape=shape)
    net = LinearPCN.from_torch(module, input_shape=shape)
    rows = np.random.default_rng(3).standard_normal((6, net.widths[0]))
    given = torch.tensor(rows if shape is None else rows.reshape(6, *shape))
    expected = module(given).detach().reshape(6, -1).numpy()
    np.testing.assert_allclose(feedforward(net, rows)[-1], expected, rtol=1e-12, atol=1e-12)
    assert net.weights[0].dtype == np.float64
    assert graph.output.startswith("output")
    # at a target that it predicts inference does nothing
    assert equilibrium(net, Data(rows, expected)).energy < 1e-24


def running(net, x):
    net.calls = net.calls + 1
    return net.a(x) * net.calls


def in_place(net, x):
    h = net.a(x)
    h.mul_(2.0)
    return net.b(h)


def branch(net, x):
    return net.a(x) if x.sum() > 0 else net.b(x)


REFUSED = {
    "ReLU layer": (
        lambda: nn.Sequential(square(), nn.ReLU(), square()),
        r"operation '1' \(ReLU\), which is not linear",
    ),
    "functional ReLU": (
        lambda: Net(lambda net, x: net.b(torch.relu(net.a(x))), a=square(), b=square()),
        "'relu', which is not linear",
    ),
    "method": (
        lambda: Net(lambda net, x: net.b(net.a(x).tanh()), a=square(), b=square()),
        "'tanh', which is not linear",
    ),
    "clamp far away": (
        lambda: Net(lambda net, x: net.a(x).clamp(-100, 100), a=square()),
        "'clamp', which is not linear",
    ),
    "product of activities": (
        lambda: Net(lambda net, x: net.a(x) * net.b(x), a=square(), b=square()),
        "'mul', which is not linear",
    ),
    "layer norm": (lambda: nn.Sequential(square(), nn.LayerNorm(3)), "LayerNorm.*not linear"),
    "softmax": (lambda: nn.Sequential(square(), nn.Softmax(dim=1)), "Softmax.*not linear"),
    "dropout in train mode": (
        lambda: nn.Sequential(square(), nn.Dropout(), square()).train(),
        "Dropout.*another result each time",
    ),
    "batch norm in train mode": (
        lambda: nn.Sequential(square(), nn.BatchNorm1d(3)).train(),
        r"'1' \(BatchNorm1d\)",
    ),
    "mean over the batch": (
        lambda: Net(lambda net, x: net.a(x) - net.a(x).mean(0, keepdim=True), a=square()),
        "'mean', which does not keep one row per sample",
    ),
    "recurrent": (
        lambda: nn.Sequential(square(), nn.RNN(3, 3), square()),
        r"RNN\), which returns several tensors",
    ),
    "branch on data": (lambda: Net(branch, a=square(), b=square()), "torch.fx can trace.*TraceError"),
    "two arguments": (lambda: TwoInputs(), "forward pass of one argument. Got x, y"),
    "no layers": (lambda: nn.Sequential(nn.Identity()), "must hold linear layers"),
    "layers that are not used": (
        lambda: Net(lambda net, x: 2 * x, a=square()),
        "a forward pass that uses none",
    ),
    "changed in place": (
        lambda: Net(in_place, a=square(), b=square()),
        "its forward pass changes tensors in place",
    ),
    "embedding": (lambda: nn.Sequential(nn.Embedding(3, 3), square()), "`input_shape` must be given"),
    "convolution of unknown size": (
        lambda: nn.Sequential(nn.Conv2d(1, 1, 3), nn.Flatten()),
        "`input_shape` must be given",
    ),
}


class TwoInputs(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = square()

    def forward(self, x, y):
        return self.a(x) + y


@pytest.mark.parametrize("name", REFUSED)
def test_a_module_that_is_not_linear_is_refused_at_its_first_such_operation(name):
    build, message = REFUSED[name]
    module = seeded(build)()
    before = copy.deepcopy(module.state_dict())
    for tensors in (False, True):
        with pytest.raises(ValueError, match=message):
            LinearPCN.from_torch(module, tensors=tensors)
    for key, value in module.state_dict().items():
        assert torch.equal(value, before[key])


def test_plain_chains_stay_plain_and_learn_all_their_weights():
    module = seeded(READ["chain"][0])()
    net = LinearPCN.from_torch(module)
    assert net.is_plain
    np.testing.assert_allclose(net.weights[0], module[0].weight.detach().numpy())
    biased = LinearPCN.from_torch(nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2)))
    assert not biased.fixed
    assert biased.num_weights == 3 * 4 + 4 + 4 * 2 + 2


def test_what_is_shared_or_a_kernel_is_fixed_and_the_rest_learns():
    shared = LinearGraph.from_torch(seeded(READ["shared layer"][0])())
    assert shared.fixed == {("x", "a"), ("a", "a_1"), "a", "a_1"}
    kernel = LinearGraph.from_torch(seeded(READ["convolution"][0])(), input_shape=(1, 4, 4))
    assert kernel.fixed == {("input_1", "_1"), "_1"}
    assert kernel.network.num_weights == 32 * 2 + 2
    skips = LinearGraph.from_torch(seeded(READ["residual block"][0])())
    assert skips.fixed == {("x", "add")}


def test_a_batch_norm_is_part_of_the_layer_below():
    graph = LinearGraph.from_torch(seeded(READ["batch norm in eval mode"][0])())
    assert not graph.fixed
    assert len(graph.nodes) == 3


@pytest.mark.parametrize("name", ["chain with biases", "long skips", "convolution"])
def test_tensors_keep_their_dtype_and_their_graph(name):
    build, shape = READ[name]
    module = seeded(build)()
    net = LinearPCN.from_torch(module, input_shape=shape, tensors=True)
    assert net.weights[0].dtype == torch.float32
    x, y = torch.randn(5, net.widths[0]), torch.randn(5, net.widths[-1])
    equilibrium(net, Data(x, y)).energy.backward()
    twin = copy.deepcopy(module).double()
    for tensor in twin.parameters():
        tensor.grad = None
    other = LinearPCN.from_torch(twin, input_shape=shape, tensors=True)
    equilibrium(other, Data(x.double(), y.double())).energy.backward()
    for ours, theirs in zip(module.parameters(), twin.parameters(), strict=True):
        assert ours.grad is not None
        np.testing.assert_allclose(ours.grad, theirs.grad, rtol=1e-3, atol=1e-5)


def test_the_gradient_of_a_module_is_that_of_finite_differences():
    """F* of a shared layer, through the module's own parameter."""
    module = seeded(READ["shared layer"][0])().double()
    data = Data(torch.randn(5, 3).double(), torch.randn(5, 2).double())

    def value():
        return equilibrium(LinearPCN.from_torch(module, tensors=True), data).energy

    value().backward()
    slope, weight, step = module.a.weight.grad[1, 2].item(), module.a.weight, 1e-6
    with torch.no_grad():
        weight[1, 2] += step
        above = value().item()
        weight[1, 2] -= 2 * step
        below = value().item()
    np.testing.assert_allclose(slope, (above - below) / (2 * step), rtol=1e-7)


@pytest.mark.parametrize("wrong", [3, "net", None, np.eye(2)])
def test_what_is_no_module_is_refused(wrong):
    with pytest.raises(TypeError, match="`module` must be a torch.nn.Module"):
        LinearPCN.from_torch(wrong)
