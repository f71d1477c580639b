"""The network value: shapes, parameterisations, flattening, and what it refuses."""

import numpy as np
import pytest
import torch
from hypothesis import given
from strategies import networks

from pctheory import LinearPCN
from pctheory.model import PARAMETERISATIONS, initial_weights, learning_rate_scale, multipliers


@given(networks())
def test_flatten_and_unflatten_are_inverse(net):
    vector = net.flatten()
    assert vector.shape == (net.num_weights,)
    for weight, again in zip(net.weights, net.unflatten(vector).weights, strict=True):
        np.testing.assert_array_equal(weight, again)


def test_flatten_is_row_major():
    net = LinearPCN([[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0]]])
    np.testing.assert_array_equal(net.flatten(), [1, 2, 3, 4, 5, 6])


@given(networks())
def test_maps_are_multiplier_times_weight_plus_skip(net):
    for weight, a, skip, effective in zip(net.weights, net.multipliers, net.skips, net.maps, strict=True):
        np.testing.assert_allclose(effective, a * weight + skip * np.eye(*weight.shape), rtol=1e-15)


def test_replacing_one_field_keeps_the_others():
    net = LinearPCN.random((2, 3, 3, 1), skips=True, precisions=[None, 2.0, [1.0]], rng=0)
    other = net.replace(multipliers=(1, 2, 3))
    assert other.skips == net.skips
    assert other.precisions[1].value == 2.0
    np.testing.assert_array_equal(other.precisions[2].value, net.precisions[2].value)


def test_weights_cannot_change_behind_the_network():
    weight = np.ones((1, 1))
    net = LinearPCN([weight])
    weight[0, 0] = 7
    assert net.weights[0][0, 0] == 1
    with pytest.raises(ValueError, match="read-only"):
        net.weights[0][0, 0] = 7


def test_the_table_of_multipliers():
    widths = (4, 9, 16, 16, 5)
    assert multipliers(widths, "sp") == (1, 1, 1, 1)
    np.testing.assert_allclose(multipliers(widths, "ntp"), [1 / 2, 1 / 3, 1 / 4, 1 / 4])
    np.testing.assert_allclose(multipliers(widths, "mupc", gamma=2), [1 / 2, 1 / 3, 1 / 4, 1 / 32])
    skipped = multipliers((4, 16, 16, 16, 5), "mupc", skips=True)
    np.testing.assert_allclose(skipped, [1 / 2, 1 / 8, 1 / 8, 1 / 16])
    np.testing.assert_allclose(multipliers((4, 5), "mupc", gamma=2), [1 / 4])


def test_learning_rate_scalings():
    widths = (3, 16, 16, 16, 2)
    assert learning_rate_scale(widths, "mupc", "sgd", gamma=2) == 64
    assert learning_rate_scale(widths, "mupc", "adam", skips=True) == pytest.approx(1 / 8)
    assert learning_rate_scale(widths, "mupc", "adam") == pytest.approx(1 / 4)
    assert learning_rate_scale(widths, "sp", "adam", skips=True) == 1


@pytest.mark.parametrize("name", PARAMETERISATIONS)
@pytest.mark.parametrize(
    ("init", "variance"),
    [
        ("torch", lambda n, _: 1 / (3 * n)),
        ("normal", lambda n, _: 1 / n),
        (0.05, lambda n, _: 0.05**2),
        (None, None),
    ],
)
def test_initial_variance(name, init, variance):
    weight = initial_weights((50, 400), name, init=init, rng=1)[0]
    expected = variance(50, name) if variance else 50.0 ** PARAMETERISATIONS[name].variance
    # the sample variance of 20000 entries has a relative standard deviation of at most sqrt(2 / 20000) = 1%
    assert weight.var() == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("shape", [(3, 7), (7, 3), (5, 5)])
def test_orthogonal_initialisation_has_unit_singular_values(shape):
    weight = initial_weights(shape[::-1], init="orthogonal", rng=2)[0]
    np.testing.assert_allclose(np.linalg.svd(weight, compute_uv=False), 1, rtol=1e-13)


def test_from_torch_reads_linear_layers_in_order():
    module = torch.nn.Sequential(torch.nn.Linear(3, 4, bias=False), torch.nn.Linear(4, 2, bias=False))
    net = LinearPCN.from_torch(module)
    assert net.widths == (3, 4, 2)
    np.testing.assert_allclose(net.weights[0], module[0].weight.detach().numpy())
    assert net.weights[0].dtype == np.float64


BAD = [
    (
        lambda: LinearPCN([np.ones((3, 2)), np.ones((1, 4))]),
        ValueError,
        r"`W_2` must have shape \(1, 3\): its input",
    ),
    (lambda: LinearPCN([]), ValueError, "at least one matrix"),
    (lambda: LinearPCN(np.ones((2, 2))), TypeError, "list or tuple"),
    (lambda: LinearPCN([np.ones(3)]), ValueError, "`W_1` must be a two-dimensional array"),
    (lambda: LinearPCN([[[np.nan]]]), ValueError, "`W_1` must be finite. Got 1 NaN"),
    (lambda: LinearPCN([[["a"]]]), TypeError, "`W_1` must be a real array"),
    (lambda: LinearPCN([np.ones((2, 2), dtype=complex)]), TypeError, "real floating"),
    (lambda: LinearPCN([np.ones((1, 1)), torch.ones(1, 1)]), TypeError, "arrays of one library"),
    (lambda: LinearPCN([np.eye(2)] * 3, skips=[True, False, False]), ValueError, "skip on layer 1 of 3"),
    (lambda: LinearPCN([np.eye(2)] * 3, skips=[False, False, True]), ValueError, "skip on layer 3 of 3"),
    (lambda: LinearPCN.random((2, 3, 4, 2), skips=True, rng=0), ValueError, "square layers"),
    (lambda: LinearPCN([np.eye(2)] * 3, skips=[False]), ValueError, "one per layer, 3"),
    (
        lambda: LinearPCN([[[1.0]]], multipliers=[1, 2]),
        ValueError,
        "`multipliers` must be one number per layer",
    ),
    (lambda: LinearPCN([[[1.0]]], precisions=[1, 2]), ValueError, "`precisions` must be one per layer"),
    (lambda: LinearPCN([[[1.0]]], precisions=[-1.0]), ValueError, "must be positive"),
    (lambda: LinearPCN([np.eye(2)], precisions=[[[1, 2], [2, 1]]]), ValueError, "positive definite"),
    (lambda: LinearPCN([np.eye(2)], precisions=[[[1, 2], [0, 1]]]), ValueError, "symmetric"),
    (lambda: LinearPCN([np.eye(2)], precisions=[[1, 2, 3]]), ValueError, r"vector \(2,\)"),
    (lambda: LinearPCN.random((2, 2), parameterisation="mup", rng=0), ValueError, "'sp', 'ntp', 'mupc'"),
    (lambda: LinearPCN.random((2, 2), init="xavier", rng=0), ValueError, "'normal', 'torch', 'orthogonal'"),
    (lambda: LinearPCN.random((2, 2), gamma=0, rng=0), ValueError, "`gamma` must be greater than 0"),
    (lambda: LinearPCN.random((2,), rng=0), ValueError, "at least the input and the output"),
    (lambda: LinearPCN.random((2, 0), rng=0), ValueError, "`widths` must be 1 or more"),
    (lambda: LinearPCN.random((2, 2), rng=None), TypeError, "`rng` must be"),
    (lambda: LinearPCN([[[1.0]]]).unflatten(np.ones(2)), ValueError, r"must have shape \(1,\)"),
    (lambda: LinearPCN([[[1.0]]]).replace(width=2), TypeError, "takes only"),
    (lambda: LinearPCN.from_torch(torch.nn.Sequential(torch.nn.Linear(2, 2))), ValueError, "no biases"),
    (
        lambda: LinearPCN.from_torch(torch.nn.Sequential(torch.nn.Linear(2, 2, bias=False), torch.nn.ReLU())),
        ValueError,
        "only linear layers.*ReLU",
    ),
]


@pytest.mark.parametrize(("build", "error", "message"), BAD)
def test_bad_networks_are_refused_in_one_sentence(build, error, message):
    with pytest.raises(error, match=message):
        build()
