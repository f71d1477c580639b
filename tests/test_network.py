"""The network value: shapes, parameterisations, flattening, and what it refuses."""

import copy
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from strategies import networks

from pctheory import Data, EquilibratedEnergy, LinearPCN, rescaling
from pctheory.model import (
    PARAMETERISATIONS,
    hidden_precision,
    initial_weights,
    learning_rate_scale,
    learning_rate_scales,
    multipliers,
)


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
    assert learning_rate_scales(widths, "mupc", "adam", skips=True) == pytest.approx((1, 1 / 8, 1 / 8, 1))
    assert learning_rate_scales(widths, "ntp", "adam", skips=True) == pytest.approx((1, 1 / 8, 1 / 8, 1 / 4))
    assert learning_rate_scales(widths, "mupc", "sgd", gamma=2) == (64,) * 4
    assert learning_rate_scales(widths, "sp", "adam", skips=True) == (1,) * 4
    assert learning_rate_scales((3, 2), "mupc", "adam") == (1,)
    assert learning_rate_scales((3, 4, 2), "ntp", "adam") == pytest.approx((1, 1 / 2))


def test_with_the_hidden_precision_of_the_table_the_rescaling_keeps_its_distance_from_one():
    for name, skips in (("mupc", True), ("mupc", False), ("ntp", True), ("sp", False)):
        spread = []
        for width, hidden in ((32, 6), (128, 6), (32, 24)):
            widths = (4, *[width] * hidden, 1)
            precision = hidden_precision(widths, name, skips=skips, alpha=0.05)
            means = [
                float(np.asarray(rescaling(net))[0, 0]) - 1
                for net in (
                    LinearPCN.random(
                        widths,
                        parameterisation=name,
                        skips=skips,
                        precisions=[*[precision] * hidden, 1.0],
                        rng=seed,
                    )
                    for seed in range(40)
                )
            ]
            spread.append(np.mean(means))
        # (e - 1) alpha with skips and alpha without, in the limit of depth
        assert np.array(spread) == pytest.approx(0.05 * (np.e - 1 if skips else 1.0), rel=0.4), name
    with pytest.raises(ValueError, match="`parameterisation` must be 'ntp' or 'mupc' with skips"):
        hidden_precision((4, 8, 8, 2), "sp", skips=True)
    assert hidden_precision((4, 512, 512, 2), "mupc", alpha=1.0) == 1.0


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
    (lambda: LinearPCN([np.ones((2, 2), dtype=complex)]), TypeError, "of float32, float64 or integers"),
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
]


@pytest.mark.parametrize(("build", "error", "message"), BAD)
def test_bad_networks_are_refused_in_one_sentence(build, error, message):
    with pytest.raises(error, match=message):
        build()


@pytest.mark.parametrize("options", [{"multipliers": (0.5, 0.5, 0.5)}, {"skips": True}, {}])
def test_results_follow_torch_weights_that_change_in_place(options):
    weights = [torch.full((2, 2), 0.5, dtype=torch.float64, requires_grad=True) for _ in range(3)]
    net = LinearPCN(weights, **options)
    data = Data(torch.ones((1, 2), dtype=torch.float64), 3 * torch.ones((1, 2), dtype=torch.float64))
    objective = EquilibratedEnergy(data)
    optimiser = torch.optim.SGD(weights, lr=0.1)
    for _ in range(2):
        optimiser.zero_grad()
        value = objective.value(net)
        value.backward()
        fresh = LinearPCN([w.detach().clone() for w in weights], **options)
        assert float(value.detach()) == float(objective.value(fresh))
        for weight, gradient in zip(weights, objective.gradient(fresh), strict=True):
            torch.testing.assert_close(weight.grad, gradient)
        optimiser.step()


def test_copies_and_pickles_of_a_network_are_read_only_and_equal():
    net = LinearPCN.random(
        (2, 3, 3, 1), parameterisation="mupc", skips=True, precisions=[2.0, None, None], rng=0
    )
    _ = net.maps
    for other in (copy.copy(net), copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        for ours, theirs in zip(net.weights, other.weights, strict=True):
            np.testing.assert_array_equal(ours, theirs)
            with pytest.raises(ValueError, match="read-only"):
                theirs[0, 0] = 1.0
        for ours, theirs in zip(net.maps, other.maps, strict=True):
            np.testing.assert_array_equal(ours, theirs)
        assert (other.multipliers, other.skips) == (net.multipliers, net.skips)
        assert [p.value for p in other.precisions] == [p.value for p in net.precisions]


def test_a_network_that_requires_grad_can_be_copied():
    weights = [torch.ones((2, 2), dtype=torch.float64, requires_grad=True) for _ in range(3)]
    net = LinearPCN(weights, multipliers=(0.5, 0.5, 0.5))
    _ = net.maps
    other = copy.deepcopy(net)
    assert all(w.requires_grad and w is not v for w, v in zip(other.weights, net.weights, strict=True))
    net.replace(multipliers=(1, 1, 1)).maps[0].sum().backward()
    assert other.weights[0].grad is None


def test_a_view_and_a_precision_that_change_later_do_not_change_the_network():
    owner, precision = np.ones((2, 2)), np.ones(2)
    view = owner[:]
    view.flags.writeable = False
    net = LinearPCN([view], precisions=[precision])
    owner[:], precision[:] = 5.0, 7.0
    np.testing.assert_array_equal(net.weights[0], np.ones((2, 2)))
    np.testing.assert_array_equal(net.precisions[0].value, np.ones(2))


def test_split_and_join_are_inverses_on_vectors_and_stacks():
    net = LinearPCN.random((2, 3, 1), rng=0)
    for vectors in (np.arange(9.0), np.arange(18.0).reshape(2, 9), np.arange(36.0).reshape(2, 2, 9)):
        parts = net.split(vectors)
        assert [p.shape for p in parts] == [(*vectors.shape[:-1], 3, 2), (*vectors.shape[:-1], 1, 3)]
        np.testing.assert_array_equal(net.join(parts), vectors)
    np.testing.assert_array_equal(net.join(net.weights), net.flatten())


def test_the_origin_has_no_negative_zeros():
    assert not any(np.signbit(w).any() for w in LinearPCN.zeros((3, 4, 2), parameterisation="mupc").weights)


def test_to_numpy_converts_weights_precisions_and_data():
    weights = [torch.ones((2, 2), dtype=torch.float32, requires_grad=True)]
    net = LinearPCN(weights, precisions=[torch.tensor([1.0, 2.0])]).to_numpy()
    data = Data(torch.ones((1, 2)), torch.ones((1, 2))).to_numpy()
    for array in (*net.weights, net.precisions[0].value, data.x, data.y):
        assert isinstance(array, np.ndarray)
        assert array.dtype == np.float64
    assert net.to_numpy() is net
    assert data.to_numpy() is data
