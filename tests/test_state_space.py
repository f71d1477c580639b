"""State spaces: the textbook's filter and smoother, written here, against clamped equilibria of networks."""

import numpy as np
import pytest
from figure_checks import drawn, quick
from hypothesis import given, settings
from hypothesis import strategies as st
from tolerances import assert_close

from experiments import kalman
from figures import kalman as figure
from pctheory.inference import ClampedProblem
from pctheory.related import StateSpace, drift_phases

pytestmark = pytest.mark.claim("state-space")


def spd(size, rng):
    root = rng.standard_normal((size, size))
    return np.eye(size) * 0.3 + root @ root.T / size


def random_space(states, seen, rng, radius=0.95):
    a = rng.standard_normal((states, states))
    a *= radius / np.abs(np.linalg.eigvals(a)).max()
    return StateSpace(
        a, rng.standard_normal((seen, states)), spd(states, rng), spd(seen, rng), spd(states, rng)
    )


def textbook(space, observations):
    """Kalman's filter and the Rauch-Tung-Striebel smoother by their recursions."""
    a, c, q, r = space.transition, space.observation, space.state_noise, space.observation_noise
    mean, cov, forward = np.zeros(len(a)), space.initial, []
    for o in observations:
        ahead, spread = a @ mean, a @ cov @ a.T + q
        gain = spread @ c.T @ np.linalg.inv(c @ spread @ c.T + r)
        mean, cov = ahead + gain @ (o - c @ ahead), (np.eye(len(a)) - gain @ c) @ spread
        forward.append((ahead, spread, mean, cov))
    backward = [forward[-1][2:]]
    for (_, _, mean, cov), (ahead, spread, _, _) in zip(forward[-2::-1], forward[:0:-1], strict=True):
        j = cov @ a.T @ np.linalg.inv(spread)
        later, later_cov = backward[0]
        backward.insert(0, (mean + j @ (later - ahead), cov + j @ (later_cov - spread) @ j.T))
    pairs = [f[2:] for f in forward], backward
    return [tuple(np.array(v) for v in zip(*part, strict=True)) for part in pairs]


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.integers(1, 4), st.integers(1, 3), st.integers(1, 8))
def test_filter_and_smoother_are_clamped_equilibria(seed, states, seen, times):
    rng = np.random.default_rng(seed)
    space = random_space(states, seen, rng)
    observations = rng.standard_normal((times, seen)) * 3
    (means, covs), (smooth, smooth_covs) = textbook(space, observations)
    filtered, smoothed = space.filter(observations), space.smooth(observations)
    size, kappa = 8 * times * (states + seen), 1e3
    assert_close(filtered.means, means, size=size, kappa=kappa)
    assert_close(filtered.covariances, covs, size=size, kappa=kappa)
    assert_close(smoothed.means, smooth, size=size, kappa=kappa)
    assert_close(smoothed.covariances, smooth_covs, size=size, kappa=kappa)
    assert_close(smoothed.means[-1], filtered.means[-1], size=size, kappa=kappa, scale=np.abs(means).max())


def test_temporal_predictive_coding_is_the_filter_with_q_for_the_predicted_covariance():
    rng = np.random.default_rng(3)
    space = random_space(3, 2, rng)
    observations = rng.standard_normal((6, 2))
    mean = np.zeros(3)
    for o, found in zip(observations, space.temporal(observations).means, strict=True):
        held = [mean[None], np.hstack([np.zeros(3), o])[None]]
        mask = [True, np.arange(5) >= 3]
        mean = ClampedProblem(space.network(1), held, mask).equilibrium().activities[1][0, :3]
        assert_close(found, mean, size=100, scale=1.0)
    still = StateSpace(
        np.zeros((3, 3)), space.observation, space.state_noise, space.observation_noise, space.initial
    )
    assert_close(still.temporal_gain(), still.steady_gain(), size=100)  # nothing to remember: equal
    assert np.abs(space.temporal_gain() - space.steady_gain()).max() > 0.01


def test_a_few_gradient_steps_have_a_smaller_gain():
    rng = np.random.default_rng(4)
    space = random_space(2, 2, rng)
    c = space.observation
    q, r = (np.linalg.inv(m) for m in (space.state_noise, space.observation_noise))
    surprise, s = np.array([0.7, -1.1]), np.zeros(2)
    for _ in range(5):
        s = s - 0.02 * (q @ s - c.T @ r @ (surprise - c @ s))
    assert_close(space.temporal_gain(step=0.02, num_steps=5) @ surprise, s, size=50)
    assert_close(space.temporal_gain(step=0.02, num_steps=4000), space.temporal_gain(), size=1000)


def test_the_errors_of_a_constant_gain_and_the_best_of_them():
    rng = np.random.default_rng(5)
    space = random_space(3, 2, rng)
    best = np.trace(space.error_covariance(space.steady_gain()))
    _, covs = textbook(space, np.zeros((300, 2)))[0]
    assert best == pytest.approx(np.trace(covs[-1]), rel=1e-9)
    assert np.trace(space.error_covariance(space.temporal_gain())) > best * (1 + 1e-6)
    for _ in range(20):
        other = space.steady_gain() + 0.02 * rng.standard_normal((3, 2))
        assert np.trace(space.error_covariance(other)) > best


def test_the_gap_of_a_random_walk():
    """A = C = 1, R = 1: gains q / (q + 1), and p / (p + 1) with p = (q + sqrt(q^2 + 4 q)) / 2."""
    for q in (0.01, 0.3, 5.0):
        walk = StateSpace([[1.0]], [[1.0]], [[q]], [[1.0]], [[1.0]])
        predicted = (q + np.sqrt(q**2 + 4 * q)) / 2
        assert walk.steady_gain().item() == pytest.approx(predicted / (predicted + 1), rel=1e-10)
        k = walk.temporal_gain().item()
        assert k == pytest.approx(q / (q + 1), rel=1e-12)
        error = ((1 - k) ** 2 * q + k**2) / (1 - (1 - k) ** 2)
        assert walk.error_covariance(np.array([[k]])).item() == pytest.approx(error, rel=1e-10)


@pytest.mark.evidence("empirical")
def test_simulated_errors_have_the_predicted_size():
    rng = np.random.default_rng(6)
    walk = StateSpace([[1.0]], [[1.0]], [[0.2]], [[1.0]], [[1.0]])
    states = np.cumsum(np.sqrt(0.2) * rng.standard_normal(40000))
    seen = (states + rng.standard_normal(40000))[:, None]
    off = (walk.temporal(seen).means[:, 0] - states)[100:]
    assert np.mean(off**2) == pytest.approx(walk.error_covariance(walk.temporal_gain()).item(), rel=0.06)


def circulant(column):
    return np.array([np.roll(column, k) for k in range(len(column))]).T


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.integers(3, 16))
def test_a_translation_invariant_predictor_turns_every_pattern_alike(seed, size):
    rng = np.random.default_rng(seed)
    predictor = circulant(rng.standard_normal(size))
    phases = drift_phases(predictor)
    for pattern in rng.standard_normal((3, size)):
        turned = np.angle(np.fft.rfft(predictor @ pattern) / np.fft.rfft(pattern))
        assert np.abs(np.exp(1j * turned) - np.exp(1j * phases)).max() < 1e-7


def test_if_one_pattern_moves_all_move_alike_and_if_one_stays_all_stay():
    rng = np.random.default_rng(1)
    blur = np.array([0.5, 0.25, 0, 0, 0, 0.25 - 1e-3])
    blur[1] = blur[-1]
    assert np.abs(np.sin(drift_phases(circulant(blur)))).max() < 1e-12  # mirror symmetric: no drift
    moved = drift_phases(circulant(np.roll(blur, 2)))
    expected = -2 * np.pi * np.arange(4) / 6 * 2
    assert np.abs(np.exp(1j * moved) - np.exp(1j * expected)).max() < 1e-12
    one = rng.standard_normal(6)
    np.testing.assert_allclose(
        circulant(np.roll(blur, 2)) @ one, np.roll(circulant(blur) @ one, 2), rtol=1e-12
    )


def test_a_frequency_that_the_predictor_removes_has_no_phase():
    mean = drift_phases(np.full((4, 4), 0.25))
    assert mean[0] == 0
    assert np.isnan(mean[1:]).all()


def test_a_filter_that_is_the_same_everywhere_predicts_so_too_and_a_nonlinear_one_need_not():
    rng = np.random.default_rng(2)
    size = 8
    space = StateSpace(
        circulant(rng.standard_normal(size) / 4),
        circulant(np.r_[1.0, rng.standard_normal(size - 1) / 8]),
        0.5 * np.eye(size),
        np.eye(size),
        np.eye(size),
    )
    for gain in (space.temporal_gain(), space.steady_gain()):
        drift_phases(space.transition @ gain)  # circulant, or refused

    def turned(phi, pattern):
        found = np.fft.rfft(phi(space.transition @ pattern)) / np.fft.rfft(pattern)
        return np.exp(1j * np.angle(found))

    first, second = rng.standard_normal((2, size))
    assert np.abs(turned(lambda v: v, first) - turned(lambda v: v, second)).max() < 1e-10
    assert (
        np.abs(turned(lambda v: np.maximum(v, 0), first) - turned(lambda v: np.maximum(v, 0), second)).max()
        > 0.1
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"transition": [1.0]}, "`transition` must be a matrix"),
        ({"observation": [[1.0, 2.0]]}, "`observation` must have shape"),
        ({"transition": [[np.nan]]}, "`transition` must be finite"),
        ({"state_noise": [[-1.0]]}, "`state_noise` must be symmetric and positive definite"),
    ],
)
def test_bad_spaces_are_refused(change, message):
    names = ("transition", "observation", "state_noise", "observation_noise", "initial")
    fields = {name: [[1.0]] for name in names}
    with pytest.raises(ValueError, match=message):
        StateSpace(**(fields | change))


def test_bad_input_is_refused():
    walk = StateSpace([[2.0]], [[1.0]], [[1.0]], [[1.0]], [[1.0]])
    with pytest.raises(ValueError, match="`observations` must have shape"):
        walk.filter(np.zeros((3, 2)))
    with pytest.raises(ValueError, match="given together"):
        walk.temporal_gain(step=0.1)
    with pytest.raises(ValueError, match="`gain` must keep the errors bounded"):
        walk.error_covariance(np.zeros((1, 1)))
    with pytest.raises(ValueError, match="`gain` must have shape"):
        walk.error_covariance(np.zeros((2, 1)))
    with pytest.raises(np.linalg.LinAlgError):
        StateSpace([[2.0]], [[0.0]], [[1.0]], [[1.0]], [[1.0]]).steady_gain()
    with pytest.raises(ValueError, match="`predictor` must be circulant"):
        drift_phases(np.diag([1.0, 2.0]))
    with pytest.raises(ValueError, match="`predictor` must be a square matrix"):
        drift_phases(np.ones((1, 2)))


@pytest.mark.evidence("empirical")
def test_the_figure_shows_the_predicted_errors_and_the_filter_as_the_best():
    result = quick(kalman)
    for name in ("kalman", "temporal", "steps errors"):
        np.testing.assert_allclose(result[name]["simulated"], result[name]["predicted"], rtol=0.2)
    assert np.all(result["kalman"]["predicted"] < result["temporal"]["predicted"])
    assert np.all(result["steps errors"]["predicted"] > result["limits"][1] * (1 - 1e-3))
    drawn(figure, result, panels=3, shown=[result["kalman"]["predicted"], result["path"]["smoother"]])
