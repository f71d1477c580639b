"""Data: moments, compression, noise, teachers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import networks, seeds
from tolerances import assert_close

from pctheory import Data, LinearPCN, energy, equilibrium, loss


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
