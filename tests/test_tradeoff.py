"""The classification-reconstruction trade-off: closed form against optimality conditions, baselines and
training.
"""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from strategies import seeds
from tolerances import EPS, assert_close

from pctheory import Data
from pctheory.learning import tradeoff_curve


@st.composite
def data_sets(draw, max_width=6):
    """Any data, often with fewer samples than inputs or with dependent inputs."""
    rng = np.random.default_rng(draw(seeds))
    n, m = draw(st.integers(1, max_width)), draw(st.integers(1, 4))
    rank, size = draw(st.integers(1, n)), draw(st.integers(1, 12))
    x = rng.standard_normal((size, rank)) @ rng.standard_normal((rank, n))
    y = x @ rng.standard_normal((n, m)) * draw(st.sampled_from([0.0, 1.0])) + rng.standard_normal((size, m))
    return Data(x, y)


def errors_of(data, encoder):
    """Errors of the best linear decoders of a code, by least squares."""
    code = data.x @ encoder.T
    return tuple(
        np.mean(np.sum((t - code @ np.linalg.lstsq(code, t, rcond=1e-10)[0]) ** 2, axis=1))
        for t in (data.x, data.y)
    )


WEIGHTS = st.lists(st.floats(0, 1), min_size=1, max_size=4).map(sorted)


@pytest.mark.claim("cre-tradeoff")
@given(data_sets(), st.integers(1, 7), WEIGHTS)
def test_the_code_attains_its_errors_with_the_best_decoders(data, k, weights):
    for point in tradeoff_curve(data, k, weights).points:
        code = data.x @ point.encoder.T
        scale = max(np.trace(data.xx), np.trace(data.yy))
        kappa = np.linalg.cond(code)
        tolerance = {"size": 100 * data.num_samples, "kappa": kappa**2, "scale": scale}
        assert_close(
            np.mean(np.sum((data.x - code @ point.decoder.T) ** 2, 1)), point.reconstruction, **tolerance
        )
        assert_close(
            np.mean(np.sum((data.y - code @ point.classifier.T) ** 2, 1)), point.classification, **tolerance
        )
        assert_close(code.T @ code / len(code), np.eye(code.shape[1]), size=1e4, kappa=kappa**2)
        best = errors_of(data, point.encoder)
        assert_close(best[0], point.reconstruction, size=1e5, kappa=kappa**2, scale=scale)
        assert_close(best[1], point.classification, size=1e5, kappa=kappa**2, scale=scale)


@pytest.mark.claim("cre-tradeoff")
@given(data_sets(), st.integers(1, 4), st.floats(0, 1), seeds)
def test_no_other_code_has_a_smaller_loss(data, k, weight, seed):
    point = tradeoff_curve(data, k, [weight]).points[0]
    rng = np.random.default_rng(seed)
    slack = 1e4 * EPS * max(np.trace(data.xx), np.trace(data.yy)) * 1e3
    for size in (1.0, 0.1, 1e-3):
        # full rank: a random code of dimension k, near the optimal one for small sizes
        base = np.zeros((k, data.x.shape[1]))
        base[: len(point.encoder)] = point.encoder / np.abs(point.encoder).max()
        other = errors_of(data, base + size * rng.standard_normal(base.shape))
        assert weight * other[0] + (1 - weight) * other[1] >= point.loss - slack


@pytest.mark.claim("cre-tradeoff")
@given(data_sets(), st.integers(1, 7))
def test_the_ends_are_principal_components_and_canonical_regression(data, k):
    """lambda = 1: Eckart-Young; lambda = 0: reduced-rank regression."""
    ends = tradeoff_curve(data, k, [0.0, 1.0])
    values = np.linalg.eigvalsh(data.xx)[::-1]
    scale = max(np.trace(data.xx), np.trace(data.yy))
    assert_close(ends.reconstruction[1], np.sum(np.maximum(values[k:], 0)), size=1e3, scale=scale)
    left, s, _ = np.linalg.svd(data.x, full_matrices=False)
    left = left[:, s > 1e-10 * s[0]]
    fitted = left @ (left.T @ data.y)
    explained = np.linalg.svd(fitted, compute_uv=False) ** 2 / data.num_samples
    expected = np.trace(data.yy) - np.sum(explained[:k])
    assert_close(ends.classification[0], max(expected, 0.0), size=1e3, kappa=1e2, scale=scale)


@pytest.mark.claim("cre-tradeoff")
@given(data_sets(), st.integers(1, 5))
def test_the_curve_is_a_pareto_front(data, k):
    """More weight on reconstruction never hurts it and never helps classification: ends included, ties
    resolved.
    """
    curve = tradeoff_curve(data, k, np.linspace(0, 1, 9))
    slack = 1e5 * EPS * max(np.trace(data.xx), np.trace(data.yy))
    assert np.all(np.diff(curve.reconstruction) <= slack)
    assert np.all(np.diff(curve.classification) >= -slack)


@pytest.mark.claim("cre-tradeoff")
@given(data_sets(), WEIGHTS)
def test_nothing_is_traded_when_the_code_is_as_large_as_the_rank(data, weights):
    rank = np.linalg.matrix_rank(data.x, tol=1e-10 * np.linalg.norm(data.x, 2))
    curve = tradeoff_curve(data, int(rank), weights)
    assert curve.rank == rank
    scale = max(np.trace(data.xx), np.trace(data.yy))
    assert_close(curve.reconstruction, np.zeros(len(weights)), size=1e3, scale=scale)
    assert_close(
        curve.classification,
        np.full(len(weights), np.trace(data.residual_noise())),
        size=1e3,
        kappa=1e2,
        scale=scale,
    )


@pytest.mark.claim("cre-tradeoff")
def test_nothing_is_traded_when_the_subspaces_align(rng):
    """The target is the first principal component: its code is best for both, until the code is one too large
    to say.
    """
    x = np.linalg.qr(rng.standard_normal((20, 4)))[0] * np.sqrt(20) * np.array([3.0, 2.0, 1.0, 0.5])
    aligned = tradeoff_curve(Data(x, x[:, :1]), 1, [0.0, 0.3, 1.0])
    np.testing.assert_allclose(aligned.reconstruction, 4 + 1 + 0.25, rtol=1e-12)
    np.testing.assert_allclose(aligned.classification, 0, atol=1e-12)
    # dropped hypothesis: the target is the last component
    crossed = tradeoff_curve(Data(x, x[:, 3:]), 1, [0.0, 1.0])
    np.testing.assert_allclose(crossed.classification, [0, 0.25], atol=1e-12)
    np.testing.assert_allclose(crossed.reconstruction, [14, 5.25], rtol=1e-12)


@pytest.mark.claim("cre-tradeoff")
def test_a_tie_at_the_end_is_resolved_for_the_other_error(rng):
    """k = 3 but one target: at lambda = 0 two dimensions of the code are free, and go to reconstruction."""
    x = np.linalg.qr(rng.standard_normal((20, 4)))[0] * np.sqrt(20) * np.array([3.0, 2.0, 1.0, 0.5])
    curve = tradeoff_curve(Data(x, x[:, 3:]), 3, [0.0, 1e-9])
    np.testing.assert_allclose(curve.reconstruction, [1.0, 1.0], rtol=1e-9)


@pytest.mark.claim("cre-tradeoff")
@pytest.mark.evidence("empirical")
@pytest.mark.parametrize("weight", [0.0, 0.2, 0.7, 1.0])
def test_trained_linear_autoencoder_classifiers_reach_the_closed_form(weight, rng):
    """Encoder, decoder and head by L-BFGS in torch from a random start: no spurious minima, the same loss."""
    x = rng.standard_normal((60, 6)) * np.array([3, 2, 1.5, 1, 0.7, 0.5])
    y = np.tanh(x @ rng.standard_normal((6, 3))) + 0.3 * rng.standard_normal((60, 3))
    data = Data(x, y)
    expected = tradeoff_curve(data, 2, [weight]).points[0]
    generator = torch.Generator().manual_seed(0)
    parts = [
        torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True)
        for shape in ((2, 6), (6, 2), (3, 2))
    ]
    tx, ty = torch.tensor(x), torch.tensor(y)
    optimiser = torch.optim.LBFGS(
        parts, max_iter=2000, tolerance_grad=1e-12, tolerance_change=1e-16, line_search_fn="strong_wolfe"
    )

    def closure():
        optimiser.zero_grad()
        code = tx @ parts[0].T
        loss = weight * torch.sum((tx - code @ parts[1].T) ** 2) + (1 - weight) * torch.sum(
            (ty - code @ parts[2].T) ** 2
        )
        loss = loss / len(tx)
        loss.backward()
        return loss

    value = float(optimiser.step(closure).detach())
    for _ in range(3):
        value = float(optimiser.step(closure).detach())
    assert -1e-9 <= value / expected.loss - 1 < 1e-8


BAD = [
    (lambda d: tradeoff_curve(d, 0, [0.5]), ValueError, "`k` must be 1 or more. Got 0"),
    (lambda d: tradeoff_curve(d, 1, [1.5]), ValueError, r"`weights` must lie in \[0, 1\].*Got 1.5"),
    (lambda d: tradeoff_curve(d, 1, []), ValueError, "`weights` must hold at least one"),
    (
        lambda d: tradeoff_curve(Data(0 * d.x, d.y), 1, [0.5]),
        ValueError,
        "`data` must have an x that is not zero",
    ),
    (lambda d: tradeoff_curve(d.x, 1, [0.5]), TypeError, "`data` must be a pctheory.Data"),
]


@pytest.mark.parametrize(("call", "error", "message"), BAD)
def test_bad_arguments_are_refused_in_one_sentence(call, error, message):
    with pytest.raises(error, match=message):
        call(Data([[1.0, 2.0]], [[1.0]]))
