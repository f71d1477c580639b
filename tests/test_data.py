"""Data: moments, compression, noise, teachers."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import networks, seeds
from tolerances import assert_close

from pctheory import (
    Data,
    EquilibratedEnergy,
    LinearPCN,
    MSELoss,
    NegativeLogLikelihood,
    energy,
    equilibrium,
    loss,
)
from pctheory.model.data import PART


@pytest.mark.claim("data-compression")
@given(seeds, st.integers(1, 40), st.integers(1, 5), st.integers(1, 5))
def test_compression_keeps_every_second_moment(seed, size, n_x, n_y):
    rng = np.random.default_rng(seed)
    data = Data(rng.standard_normal((size, n_x)), rng.standard_normal((size, n_y)))
    small = data.compress()
    assert small.num_samples <= max(n_x + n_y, 1) or small.num_samples == size <= n_x + n_y
    for name in ("xx", "yx", "yy"):
        assert_close(
            getattr(small, name), getattr(data, name), size=size, scale=max(data.xx.max(), data.yy.max())
        )


@pytest.mark.claim("data-compression")
@given(networks(max_depth=4), seeds)
def test_compression_keeps_the_loss_and_the_equilibrated_energy(net, seed):
    rng = np.random.default_rng(seed)
    data = Data(rng.standard_normal((50, net.widths[0])), rng.standard_normal((50, net.widths[-1])))
    small = data.compress()
    assert_close(loss(net, small), loss(net, data), size=50)
    assert_close(equilibrium(net, small).energy, equilibrium(net, data).energy, size=50 * net.depth)


@pytest.mark.claim("data-compression")
def test_dropping_linearity_the_moments_no_longer_suffice(rng):
    # with a ReLU between two layers the loss depends on more than second moments
    x, w = rng.standard_normal((200, 2)), rng.standard_normal((3, 2))
    data = Data(x, rng.standard_normal((200, 1)))
    small = data.compress()
    nonlinear = lambda d: np.mean((d.y - np.maximum(d.x @ w.T, 0).sum(axis=1, keepdims=True)) ** 2)
    assert abs(nonlinear(small) - nonlinear(data)) > 1e-2 * nonlinear(data)


@pytest.mark.claim("data-compression")
@given(networks(max_depth=3), st.integers(1, 90), seeds)
def test_batches_give_every_objective_the_same_value_gradient_and_hessian(net, size, seed):
    rng = np.random.default_rng(seed)
    data = Data(rng.standard_normal((size, net.widths[0])), rng.standard_normal((size, net.widths[-1])))
    streamed = Data.from_batches(cut(data, rng))
    direction = rng.standard_normal(net.num_weights)
    moments = np.max(np.abs([*np.ravel(data.xx), *np.ravel(data.yx), *np.ravel(data.yy)]))
    for name in ("xx", "yx", "yy"):
        assert_close(getattr(streamed, name), getattr(data, name), size=size, scale=moments)
    for kind in (MSELoss, EquilibratedEnergy, NegativeLogLikelihood):
        ours, whole = kind(streamed), kind(data)
        assert_close(ours.value(net), whole.value(net), size=size)
        for g, expected in zip(ours.gradient(net), whole.gradient(net), strict=True):
            assert_close(g, expected, size=size)
        assert_close(ours.hvp(net, direction), whole.hvp(net, direction), size=size)


@given(seeds, st.integers(1, 90))
def test_the_cut_into_batches_changes_no_bit(seed, size):
    rng = np.random.default_rng(seed)
    data = Data(rng.standard_normal((size, 3)), rng.standard_normal((size, 2)))
    small = data.compress()
    for batches in (cut(data, rng), zip(data.x[:, None], data.y[:, None], strict=True), [(data.x, data.y)]):
        streamed = Data.from_batches(batches)
        np.testing.assert_array_equal(streamed.x, small.x)
        np.testing.assert_array_equal(streamed.y, small.y)


def test_batches_may_be_integers_on_disk_or_of_another_library(rng, tmp_path):
    x, y = rng.integers(0, 255, (PART + 9, 3), dtype=np.uint8), rng.standard_normal((PART + 9, 2))
    on_disk = np.memmap(tmp_path / "x", dtype=np.uint8, mode="w+", shape=x.shape)
    on_disk[:] = x
    small = Data(x, y).compress()
    np.testing.assert_array_equal(Data.from_batches([(on_disk, y)]).x, small.x)
    torch = pytest.importorskip("torch")
    loader = [(torch.asarray(x[i : i + 500].astype(float)), torch.asarray(y[i : i + 500])) for i in (0, 500)]
    streamed = Data.from_batches(loader)
    assert isinstance(streamed.x, torch.Tensor)
    assert_close(streamed.xx, Data(x[:1000], y[:1000]).xx, size=1000)


def test_streaming_keeps_a_bounded_number_of_rows():
    x, y = np.ones((1000, 40)), np.ones((1000, 2))
    tracemalloc.start()
    Data.from_batches((x, y) for _ in range(20))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6 * 1000 * 42 * 8 < 20 * 1000 * 42 * 8


def test_the_equilibrium_of_a_batch_is_that_of_its_samples(rng):
    net = LinearPCN.random((3, 4, 2), rng=rng)
    data = Data(rng.standard_normal((25, 3)), rng.standard_normal((25, 2)))
    parts = [(len(x), equilibrium(net, Data(x, y))) for x, y in cut(data, rng)]
    whole = equilibrium(net, data)
    energy_of_batches = sum(count * float(part.energy) for count, part in parts) / data.num_samples
    assert_close(energy_of_batches, equilibrium(net, Data.from_batches(cut(data, rng))).energy, size=25)
    for layer, expected in enumerate(whole.activities):
        assert_close(np.concatenate([part.activities[layer] for _, part in parts]), expected, size=25)


def cut(data, rng):
    """The rows in batches of one to seven."""
    start = 0
    while start < data.num_samples:
        stop = start + int(rng.integers(1, 8))
        yield data.x[start:stop], data.y[start:stop]
        start = stop


def test_residual_noise_vanishes_on_realisable_data(rng):
    data = Data.teacher(rng.standard_normal((2, 5)), 30, rng=rng)
    assert np.abs(data.residual_noise()).max() < 1e-26 * 30 * data.yy.max() * 1e4
    few = Data(rng.standard_normal((3, 5)), rng.standard_normal((3, 2)))  # B <= rank(x): any targets
    assert np.abs(few.residual_noise()).max() < 1e-26 * 30 * few.yy.max() * 1e4


def test_residual_noise_is_the_schur_complement(rng):
    data = Data(rng.standard_normal((40, 3)), rng.standard_normal((40, 2)))
    expected = data.yy - data.yx @ np.linalg.solve(data.xx, data.yx.T)
    assert_close(data.residual_noise(), expected, size=40, kappa=np.linalg.cond(data.xx), scale=data.yy.max())


def test_residual_noise_ignores_directions_that_x_lacks(rng):
    x = rng.standard_normal((40, 2))
    data = Data(np.hstack([x, x]), rng.standard_normal((40, 2)))
    expected = Data(x, data.y).residual_noise()
    assert_close(data.residual_noise(), expected, size=40, kappa=np.linalg.cond(x), scale=data.yy.max())


def test_teacher_and_toy(rng):
    teacher = LinearPCN.random((3, 4, 2), rng=rng)
    data = Data.teacher(teacher, 20, rng=rng)
    assert float(loss(teacher, data)) == pytest.approx(0, abs=1e-30)
    assert float(energy(teacher, equilibrium(teacher, data).activities)) == pytest.approx(0, abs=1e-30)
    toy = Data.toy(10000, rng=rng)
    np.testing.assert_array_equal(toy.y, -toy.x)
    assert toy.x.mean() == pytest.approx(1, abs=0.01)
    assert toy.x.std() == pytest.approx(0.1, rel=0.05)


def test_batches_visit_every_sample_once(rng):
    data = Data(np.arange(10.0)[:, None], np.arange(10.0)[:, None])
    seen = np.concatenate([batch.x[:, 0] for batch in data.batches(5, rng=rng)])
    assert sorted(seen) == list(range(10))
    assert sum(1 for _ in data.batches(4, rng=rng)) == 2


ONE = ([[1.0]], [[1.0]])
BAD = [
    (
        lambda: Data(np.ones((2, 1)), np.ones((3, 1))),
        ValueError,
        "one row per sample each. Got 2 rows of x and 3",
    ),
    (lambda: Data(np.ones((0, 1)), np.ones((0, 1))), ValueError, "at least one row"),
    (lambda: Data(np.ones(3), np.ones((3, 1))), ValueError, "`x` must be a two-dimensional array"),
    (lambda: Data([[np.inf]], [[1.0]]), ValueError, "`x` must be finite"),
    (lambda: Data("x", [[1.0]]), TypeError, "`x` must be a real array"),
    (
        lambda: Data(np.ones((2, 1), np.float16), [[1.0], [1.0]]),
        TypeError,
        "`x` must be .* Got dtype float16",
    ),
    (lambda: Data(np.ones((2, 1), np.longdouble), [[1.0], [1.0]]), TypeError, "`x` must be a real array of"),
    (lambda: Data.from_batches([]), ValueError, "`batches` must hold at least one pair"),
    (lambda: Data.from_batches(7), TypeError, "`batches` must be an iterable of pairs"),
    (lambda: Data.from_batches([np.eye(2)]), TypeError, "`batches\\[0\\]` must be a pair .* Got ndarray"),
    (
        lambda: Data.from_batches([ONE, ([[1.0]], [1.0])]),
        ValueError,
        "`batches\\[1\\]\\[1\\]` must be a two-",
    ),
    (
        lambda: Data.from_batches([ONE, ([[np.nan]], [[1.0]])]),
        ValueError,
        "`batches\\[1\\]\\[0\\]` must be fin",
    ),
    (
        lambda: Data.from_batches([ONE, (np.eye(2), [[1.0]])]),
        ValueError,
        "`batches\\[1\\]` must have one row",
    ),
    (lambda: Data.from_batches([ONE, ([[1.0]], [[1.0, 2.0]])]), ValueError, "Got 1 and 2"),
    (lambda: Data.from_batches([ONE, (np.ones((0, 1)), np.ones((0, 1)))]), ValueError, "at least one row"),
    (lambda: Data.toy(0, rng=0), ValueError, "`num_samples` must be 1 or more"),
    (lambda: next(Data.toy(3, rng=0).batches(4, rng=0)), ValueError, "must not exceed"),
    (lambda: Data.teacher(np.eye(2), 3, noise=-1, rng=0), ValueError, "`noise` must be 0 or more"),
    (lambda: loss(LinearPCN([[[1.0]]]), Data([[1.0, 2.0]], [[1.0]])), ValueError, "`x` must have 1 columns"),
    (lambda: loss(LinearPCN([[[1.0]]]), ([[1.0]], [[1.0]])), TypeError, "`data` must be a pctheory.Data"),
]


@pytest.mark.parametrize(("build", "error", "message"), BAD)
def test_bad_data_are_refused_in_one_sentence(build, error, message):
    with pytest.raises(error, match=message):
        build()
