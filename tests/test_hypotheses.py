"""What happens without a hypothesis that is easily forgotten: for each, the theorem fails."""

import numpy as np
import pytest

from pctheory import Data, LinearPCN, activity_hessian, equilibrium, feedforward, rescaling
from pctheory.landscape import EquilibratedEnergy, MSELoss
from pctheory.learning import aligned_update, one_shot
from pctheory.related import Predify


def gradients_cosine(net, data):
    first, second = (
        np.concatenate([g.ravel() for g in objective(data).gradient(net)])
        for objective in (EquilibratedEnergy, MSELoss)
    )
    return float(first @ second / np.linalg.norm(first) / np.linalg.norm(second))


def wide(hidden, width, rng, **options):
    net = LinearPCN.random((5, *[width] * hidden, 1), parameterisation="mupc", rng=rng, **options)
    return net, Data(rng.standard_normal((20, 5)), rng.standard_normal((20, 1)))


@pytest.mark.claim("limit-to-backprop")
def test_with_an_output_precision_that_grows_with_the_width_the_limit_is_not_backprop(rng):
    fixed, growing = [], []
    for width in (64, 256, 1024):
        draws = [wide(3, width, rng) for _ in range(4)]
        fixed.append(np.mean([1 - gradients_cosine(net, data) for net, data in draws]))
        growing.append(
            np.mean(
                [
                    1 - gradients_cosine(net.replace(precisions=[None, None, None, float(width)]), data)
                    for net, data in draws
                ]
            )
        )
    assert fixed[0] < 0.1
    assert fixed[-1] < 1e-3
    assert min(growing) > 0.2  # and it does not fall


@pytest.mark.claim("limit-to-backprop")
def test_at_a_fixed_ratio_of_width_and_depth_the_energies_agree_and_the_gradients_drift_apart(rng):
    """N = 16 L, no skips: E S - 1 = (L - 1) / N stays below 1/16, and 1 - cos grows with L^3 / N^2."""
    gaps, angles = [], []
    for layers in (4, 16):
        draws = [wide(layers - 1, 16 * layers, rng) for _ in range(5)]
        gaps.append(
            np.mean([1 - float(EquilibratedEnergy(d).value(n) / MSELoss(d).value(n)) for n, d in draws])
        )
        angles.append(np.mean([1 - gradients_cosine(net, data) for net, data in draws]))
    assert max(gaps) < 0.07
    assert angles[0] < 0.1
    assert angles[1] > 1.5 * angles[0]


@pytest.mark.claim("limit-to-backprop")
def test_the_mean_rescaling_is_the_same_multiple_of_the_identity_for_any_number_of_outputs(rng):
    depth, width, outputs, draws = 4, 30, 3, 400
    total = np.zeros((draws, outputs, outputs))
    for draw in total:
        draw[:] = rescaling(
            LinearPCN.random((5, *[width] * (depth - 1), outputs), parameterisation="mupc", rng=rng)
        )
    mean, error = total.mean(axis=0), total.std(axis=0) / np.sqrt(draws)
    expected = (1 + (depth - 1) / width) * np.eye(outputs)
    assert np.all(np.abs(mean - expected) < 4.5 * error + 1e-12)


@pytest.mark.claim("coordinates-resolve-tradeoff")
def test_the_condition_number_in_the_errors_is_at_least_the_loss_over_the_energy(rng):
    for scale in (0.5, 2.0, 6.0):
        net = LinearPCN.random((4, 6, 6, 3), init=scale, rng=rng)
        data = Data(rng.standard_normal((10, 4)), rng.standard_normal((10, 3)))
        ratio = float(MSELoss(data).value(net) / EquilibratedEnergy(data).value(net))
        assert np.linalg.eigvalsh(rescaling(net))[-1] >= ratio * (1 - 1e-9)
    assert ratio > 30  # away from initialisation it is large


@pytest.mark.claim("init-scale-reversal")
def test_near_a_fit_the_largest_stable_step_is_larger_by_s_and_the_condition_number_is_the_same(rng):
    net = LinearPCN.random((3, 4, 4, 1), init=1.0, rng=rng)
    data = Data.teacher(net, 20, rng=rng)
    s = rescaling(net).item()
    spectra = [
        np.linalg.eigvalsh(objective(data).hessian(net)) for objective in (MSELoss, EquilibratedEnergy)
    ]
    assert s > 1.2
    np.testing.assert_allclose(spectra[0][-1], s * spectra[1][-1], rtol=1e-9)
    positive = [values[values > 1e-9 * values[-1]] for values in spectra]
    np.testing.assert_allclose(*(values[-1] / values[0] for values in positive), rtol=1e-6)
    # descent from near the fit, each at the same part of its own largest step, ends at the same distance
    ends = []
    push = 1e-6 * rng.standard_normal(net.num_weights)
    for objective, values in zip((MSELoss, EquilibratedEnergy), spectra, strict=True):
        vector = net.flatten() + push
        for _ in range(50):
            slope = np.concatenate([g.ravel() for g in objective(data).gradient(net.unflatten(vector))])
            vector = vector - slope / values[-1]
        ends.append(float(MSELoss(data).value(net.unflatten(vector))))
    np.testing.assert_allclose(ends[0], ends[1], rtol=1e-3)


@pytest.mark.claim("predify-is-pc")
def test_gradient_steps_may_alternate_although_their_map_is_symmetric():
    model = Predify([[[1.0]]], [[[1.0]]], alphas=1.5, betas=0.0, lambdas=0.0)
    assert model.map.item() == pytest.approx(-0.5)


@pytest.mark.claim("target-alignment")
def test_a_large_target_turns_an_activity_against_the_forward_pass_and_the_rate_must_be_negative():
    net, data = LinearPCN([[[1.0]], [[1.0]]]), Data([[1.0]], [[-10.0]])
    settled, forward = equilibrium(net, data), feedforward(net, data.x)
    assert settled.activities[1].item() * forward[1].item() < 0
    r = (data.y - forward[-1]).item()
    # the plain update of the last layer moves the output away from the target
    assert r * (settled.errors[1] * settled.activities[1] * forward[1]).item() < 0
    # the aligned one moves it by r, with the opposite sign of that layer's plain update
    aligned = aligned_update(net, data)[1].item()
    assert aligned * (settled.errors[1] * settled.activities[1]).item() < 0


@pytest.mark.claim("one-shot")
def test_any_activities_with_both_ends_clamped_learn_in_one_shot_and_equilibrium_has_the_least_errors(rng):
    net = LinearPCN.random((3, 4, 4, 2), rng=rng)
    data = Data(rng.standard_normal((1, 3)), rng.standard_normal((1, 2)))
    z = [data.x, *(rng.standard_normal((1, n)) for n in (4, 4)), data.y]
    errors = [above - below @ a.T for a, below, above in zip(net.maps, z[:-1], z[1:], strict=True)]
    learned = LinearPCN(
        [a + e.T @ below / np.sum(below**2) for a, e, below in zip(net.maps, errors, z[:-1], strict=True)]
    )
    np.testing.assert_allclose(feedforward(learned, data.x)[-1], data.y, atol=1e-12)
    np.testing.assert_allclose(feedforward(one_shot(net, data), data.x)[-1], data.y, atol=1e-12)
    settled = equilibrium(net, data)
    assert sum(np.sum(e**2) for e in settled.errors) < sum(np.sum(e**2) for e in errors)


@pytest.mark.claim("tr-expansion")
def test_the_information_of_the_joint_density_is_not_that_of_the_output_alone(rng):
    """H is the information of z and y together; the output's own Fisher information about z_{L-1} has no
    prior term.
    """
    net = LinearPCN.random((2, 3, 2), rng=rng)
    hessian = activity_hessian(net).to_dense()
    last = net.maps[-1]
    np.testing.assert_allclose(hessian, np.eye(3) + last.T @ last)
    assert np.linalg.matrix_rank(last.T @ last) < len(hessian)
