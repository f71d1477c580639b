"""The figures of other output losses and of missing outputs, on the data of their quick profiles."""

import numpy as np
import pytest
from figure_checks import drawn, quick

from experiments import cross_entropy, deep_factorisation
from figures import cross_entropy as entropy_figure
from figures import deep_factorisation as factorisation_figure
from pctheory import Data, EquilibratedEnergy, LinearPCN, MSELoss
from pctheory.datasets import load_movielens


@pytest.mark.claim("cross-entropy-landscape")
def test_the_energy_falls_below_the_least_loss_and_the_only_critical_point_of_the_plane_is_a_saddle():
    result = quick(cross_entropy)
    config = cross_entropy.PROFILES["quick"]
    data = cross_entropy.noisy_signs(config)
    energy = cross_entropy.EnvelopeEnergy(data)
    origin = cross_entropy.chain(0.0, 0.0)
    assert max(np.max(np.abs(g)) for g in energy.gradient(origin)) <= 1e-15
    assert np.linalg.eigvalsh(energy.hessian(origin))[0] < 0
    away = [cross_entropy.chain(a, b) for a in (-2.0, 0.0, 1.0) for b in (-1.0, 0.0, 3.0) if (a, b) != (0, 0)]
    assert min(max(np.max(np.abs(g)) for g in energy.gradient(net)) for net in away) > 1e-3
    # the plane is left by no gradient, so that its critical points are those of the network
    assert all(np.allclose(energy.gradient(n)[1], [[1], [-1]] * energy.gradient(n)[1][0]) for n in away)
    far = cross_entropy.chain(1e-3, 1e5)
    assert float(energy.value(far)) < 1e-3 * entropy_figure.least(result["chain"])
    assert np.all(np.asarray(result["plane"]["energy"]) <= np.asarray(result["plane"]["loss"]) + 1e-12)
    assert all(np.diff(result["chain"]["pc"]["energy"]) < 0)
    assert all(0.9 < c <= 1 for c in np.ravel(result["cosine"]))
    shown = [result["plane"]["energy"], result["digits"]["pc"]["loss"], entropy_figure.slope(result)]
    drawn(entropy_figure, result, panels=6, shown=shown[1:])


@pytest.mark.claim("missing-outputs")
@pytest.mark.parametrize("depth", [2, 3, 4])
def test_the_sparse_gradients_are_those_of_the_theory(depth):
    config = deep_factorisation.PROFILES["quick"]
    data = deep_factorisation.ratings(config, 0).train
    users = deep_factorisation.entries_of(data)
    observed = np.zeros(data.shape, dtype=bool)
    observed[users, data.indices] = True
    whole = Data(np.eye(data.shape[0]), data.toarray(), observed)
    weights = [3 * w for w in deep_factorisation.initial(config, depth, data.shape, 0)]
    net = LinearPCN(weights)
    for rule, objective in (("bp", MSELoss), ("pc", EquilibratedEnergy)):
        found = deep_factorisation.gradient(rule, weights, data, users)
        for ours, theirs in zip(found, objective(whole).gradient(net), strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-12 * np.max(np.abs(theirs)))
    product = np.linalg.multi_dot([*weights[::-1], np.eye(data.shape[0])])
    np.testing.assert_allclose(
        deep_factorisation.singular_values(weights),
        np.linalg.svd(product, compute_uv=False)[: config.width],
        rtol=1e-10,
    )


def test_the_parts_of_the_ratings_are_disjoint_and_the_means_are_those_of_training():
    config = deep_factorisation.PROFILES["quick"]
    split = deep_factorisation.ratings(config, 0)
    sizes = [len(split.raw[name][2]) for name in ("train", "valid", "test")]
    pairs = {pair for u, i, _ in split.raw.values() for pair in zip(u, i, strict=True)}
    assert len(pairs) == sum(sizes)
    assert sizes[0] == round(0.8 * sum(sizes))
    u, i, r = split.raw["train"]
    dense = np.zeros(split.train.shape)
    dense[u, i] = r - r.mean()
    film = dense.sum(axis=0) / ((dense != 0).sum(axis=0) + deep_factorisation.DAMPING)
    first = i[0]
    here = dense[:, first][dense[:, first] != 0]
    assert film[first] == pytest.approx(here.sum() / (len(here) + deep_factorisation.DAMPING))
    other = deep_factorisation.ratings(config, 1)
    assert not np.array_equal(other.raw["test"][0], split.raw["test"][0])
    assert len(load_movielens()[2]) > sum(sizes)


def test_the_figure_of_the_factorisation_shows_its_runs_and_its_verdict():
    result = quick(deep_factorisation)
    runs = result["runs"]
    first = next(iter(runs.values()))
    shown = [first["pc"]["test"][0][1:], np.mean(factorisation_figure.rank(first["bp"]), axis=0)[1:]]
    drawn(factorisation_figure, result, panels=len(runs) + 3, shown=shown)
    text = factorisation_figure.verdict(result)
    lower = [
        factorisation_figure.stopped(own["pc"]).mean() < factorisation_figure.stopped(own["bp"]).mean()
        for own in runs.values()
    ]
    assert ("at every depth, and" in text) == all(lower)
    level = factorisation_figure.shared_level(result, "2")
    for rule in ("bp", "pc"):
        steps, seconds = factorisation_figure.fastest(result, "2", rule, level)
        assert np.isfinite(steps)
        assert seconds == pytest.approx(steps * runs["2"][rule]["trial_seconds"])
    assert factorisation_figure.fastest(result, "2", "bp", 0.0)[0] == np.inf
