"""The figures of depth, on the data of their quick profiles."""

import numpy as np
import pytest
from figure_checks import drawn, quick

from experiments import precision_homotopy, s_stable_limit
from figures import precision_homotopy as homotopy_figure
from figures import s_stable_limit as stable_figure
from pctheory import Data


@pytest.mark.claim("s-stable-limit")
def test_networks_are_nearer_to_their_own_limit_than_to_that_of_backprop():
    result = quick(s_stable_limit)
    for case in ("plain", "residual"):
        part = result[case]
        wide = part["losses"][0, -1].mean(axis=0)
        own, backprop = (np.abs(wide - part["field"][k])[1:] for k in (1, 0))
        assert np.all(own < 0.5 * backprop)
        error = part["cosines"].std(axis=1, ddof=1) / np.sqrt(part["cosines"].shape[1])
        assert np.all(np.abs(part["cosines"].mean(axis=1) - part["predicted"]) < 5 * error + 1e-4)
    shown = [result["plain"]["field"][1], result["plain"]["predicted"], result["residual"]["predicted"]]
    drawn(stable_figure, result, panels=3, shown=shown)


@pytest.mark.claim("s-stable-limit")
@pytest.mark.evidence("empirical")
def test_a_larger_alpha_learns_the_modes_more_evenly_as_its_mean_field_says():
    pytest.importorskip("torch")
    from experiments import what_alpha_does
    from figures import what_alpha_does as alpha_figure

    result = quick(what_alpha_does)
    measured = alpha_figure.by_alpha(result, alpha_figure.learned(result, "networks")).mean(axis=1)
    predicted = alpha_figure.learned(result, "field")
    backprop, large = predicted
    assert large[0] < backprop[0]
    assert large[-1] > backprop[-1] + 0.1
    assert np.abs(measured - predicted).max() < 0.05
    for activation in alpha_figure.activations(result):
        equal, other = (alpha_figure.spread(result, activation, rule) for rule in what_alpha_does.RULES)
        assert 1 < equal < other
    drawn(
        alpha_figure,
        result,
        panels=3,
        shown=[*predicted, alpha_figure.ratios(result, "tanh", "alpha")[0] - 1],
    )


def test_the_modes_of_the_least_squares_map_are_wholly_learned_by_it():
    pytest.importorskip("torch")
    from experiments import what_alpha_does

    rng = np.random.default_rng(0)
    data = Data(rng.standard_normal((30, 4)), rng.standard_normal((30, 3)))
    best = np.linalg.solve(data.x.T @ data.x, data.x.T @ data.y).T
    values, shares = what_alpha_does.modes(data, np.array([best, 0.5 * best, np.zeros((3, 4))]))
    fitted = best @ data.x.T
    assert values[:3] == pytest.approx(np.linalg.svd(fitted / np.sqrt(30), compute_uv=False), rel=1e-12)
    for row, share in zip(shares, (1.0, 0.5, 0.0), strict=True):
        assert row == pytest.approx(np.full(3, share), abs=1e-12)
    rest = data.y.T - fitted
    assert what_alpha_does.losses(data, best[None])[0] == pytest.approx(0.5 * np.sum(rest**2) / 30, rel=1e-12)


@pytest.mark.claim("precision-homotopy")
def test_the_kept_rescaling_is_faster_than_every_schedule_tried():
    result = quick(precision_homotopy)
    table = result["L = 4"]
    rules = dict(zip(precision_homotopy.RULES, table["measured"], strict=True))
    assert np.all(rules["kept"] < rules["best"])
    assert np.all(rules["best"] < rules["unit"])
    assert np.all(rules["unit"] < rules["bp"])
    np.testing.assert_allclose(rules["kept"], table["predicted"][-1], rtol=0.05)
    assert result["schedules"].min() > 0.999
    assert result["kept measured"][0].argmin() == list(result["rescalings"]).index(2.0)
    drawn(homotopy_figure, result, panels=3, shown=[*table["measured"], result["kept predicted"][0]])
