"""Where almost every trajectory of gradient flow on the equilibrated energy goes, and which do not."""

import numpy as np
import pytest

from pctheory import Data, EquilibratedEnergy, LinearPCN, classify_critical_point, gradient_flow
from pctheory.landscape import every_saddle_is_strict, infimum

pytestmark = pytest.mark.claim("almost-every-trajectory")


def realisable(shape, rng):
    x = rng.standard_normal((20, shape[0]))
    return Data(x, x @ rng.standard_normal((shape[0], shape[-1])))


@pytest.mark.parametrize("shape", [(2, 2, 2), (3, 2, 2, 2), (2, 3, 2, 1), (1, 1, 1, 1, 1), (2, 1, 2)])
@pytest.mark.parametrize("seed", range(2))
def test_on_realisable_data_random_starts_reach_a_global_minimum_or_diverge(shape, seed):
    rng = np.random.default_rng(seed)
    data = realisable(shape, rng)
    net = LinearPCN.random(shape, init=rng.choice([0.1, 1.0]), rng=rng)
    objective = EquilibratedEnergy(data)
    path = gradient_flow(objective, net, [0.0, 1e3, 1e6], method="BDF", rtol=1e-7)
    assert path.status == "completed"
    above = path.values() - infimum(objective, net)
    norms = np.linalg.norm(path.weights, axis=1)
    arrived = above[-1] < 1e-9 * above[0]
    runs_away = norms[-1] > 1.5 * norms[1] and above[-1] < above[1]
    assert arrived or runs_away
    if min(shape[1:-1]) == min(shape):  # the map can be represented, and a minimiser exists
        assert arrived


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("shape", [(2, 2, 2), (1, 1, 1, 1), (2, 1, 1)])
def test_with_noise_of_full_rank_random_starts_diverge(shape, seed):
    rng = np.random.default_rng(seed)
    clean = realisable(shape, rng)
    data = Data(clean.x, clean.y + 0.5 * rng.standard_normal(clean.y.shape))
    assert every_saddle_is_strict(data)
    net = LinearPCN.random(shape, init=0.3, rng=rng)
    path = gradient_flow(EquilibratedEnergy(data), net, [0.0, 1e1, 1e3, 1e5], method="BDF", rtol=1e-6)
    norms = np.linalg.norm(path.weights, axis=1)
    assert np.all(norms[2:] > 1.3 * norms[1:-1])
    assert np.all(np.diff(path.values()) < 0)


def test_an_autoencoder_with_an_early_bottleneck_has_no_minimiser_and_its_starts_diverge():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((20, 3))
    objective = EquilibratedEnergy(Data(x, x))
    for seed in range(2):
        net = LinearPCN.random((3, 1, 2, 3), init=0.3, rng=seed)
        path = gradient_flow(objective, net, [0.0, 1e2, 1e4], method="BDF", rtol=1e-6)
        norms = np.linalg.norm(path.weights, axis=1)
        assert norms[2] > 1.5 * norms[1]
        assert path.values()[-1] - infimum(objective, net) < 0.1 * path.values()[0]


def test_without_the_condition_on_the_data_an_open_set_of_starts_ends_in_a_minimum_that_is_not_global():
    """Noise on one of two outputs, stronger than the signal, and one hidden unit."""
    nu, rng = 2.0, np.random.default_rng(1)
    x, xi = np.array([1.0, 1.0, -1.0, -1.0]), np.array([1.0, -1.0, 1.0, -1.0])
    data = Data(x[:, None], np.stack([x, np.sqrt(nu) * xi], axis=1))
    assert not every_saddle_is_strict(data)
    objective = EquilibratedEnergy(data)
    a = 0.7  # a^2 < mu / (nu - mu) = 1
    centre = LinearPCN([[[1 / a]], [[a], [0.0]]])
    for _ in range(5):
        start = centre.unflatten(centre.flatten() + 0.03 * rng.standard_normal(3))
        path = gradient_flow(objective, start, [0.0, 1e3, 2e3])
        assert np.linalg.norm(path.weights[-1] - path.weights[1]) < 1e-6
        assert path.values()[-1] > infimum(objective, centre) + 0.1


def test_the_exceptions_exist_and_are_thin():
    """A mode that starts at zero stays there, and the flow ends at a strict saddle; the least push lets it
    leave.
    """
    x = np.array([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    objective = EquilibratedEnergy(Data(x, x * [2.0, 1.0]))
    start = LinearPCN([np.diag([0.5, 0.0]), np.diag([0.5, 0.0])])
    path = gradient_flow(objective, start, [0.0, 200.0])
    end = classify_critical_point(objective, path.network(-1), gradient_tolerance=1e-6)
    assert end.kind == "strict saddle"
    assert abs(end.value - 0.5) < 1e-6
    pushed = start.unflatten(start.flatten() + 1e-6 * np.random.default_rng(0).standard_normal(8))
    assert gradient_flow(objective, pushed, [0.0, 200.0]).values()[-1] < 1e-9


@pytest.mark.parametrize("seed", range(4))
def test_the_flow_moves_at_most_by_the_root_of_the_time(seed):
    """|theta(t) - theta(0)|^2 <= t F*(0): no trajectory ends in finite time, also with noise."""
    rng = np.random.default_rng(seed)
    net = LinearPCN.random((3, 3, 3, 2), init=2.0, rng=rng)
    data = Data(rng.standard_normal((8, 3)), 20 * rng.standard_normal((8, 2)))
    times = np.concatenate([[0.0], np.geomspace(1e-4, 1e2, 30)])
    path = gradient_flow(EquilibratedEnergy(data), net, times)
    moved = np.linalg.norm(path.weights - path.weights[0], axis=1)
    assert np.all(moved**2 <= times * path.values()[0] * (1 + 1e-9))
