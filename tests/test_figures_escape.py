"""The figure of the escape from small weights, on the data of its quick profile."""

import numpy as np
import pytest
from figure_checks import drawn, quick

from experiments import escape_time as experiment
from experiments import fit_sharpness
from figures import escape_time as figure
from figures import fit_sharpness as sharpness_figure

ESCAPE = pytest.mark.claim("escape-time")
EMPIRICAL = pytest.mark.road("empirical")


@pytest.fixture(scope="module")
def result():
    return quick(experiment)


@EMPIRICAL
@ESCAPE
def test_networks_trained_through_inference_leave_small_weights_in_fewer_iterations_than_by_backprop(result):
    for name in ("tanh", "relu"):
        counts = result["network"][name]
        assert np.all(counts["pc"] < counts["bp"])
        assert np.all(np.isfinite(counts["pc"]))


@EMPIRICAL
@ESCAPE
def test_from_random_weights_the_time_is_near_that_of_the_chain(result):
    ratio = result["dense"]["pc"] / result["dense_chain"]["pc"][:, None, :]
    assert np.all((ratio > 0.7) & (ratio < 1.4))


@pytest.mark.claim("escape-steps")
def test_the_best_rates_were_confirmed_by_descent_on_the_objectives(result):
    steps = result["descent"]
    assert np.all(steps["pc_steps"] <= 70)
    run = np.isfinite(steps["bp_steps"])
    assert run.any()
    assert np.all(steps["bp_steps"][run] >= steps["bound"][run])


def test_the_figure_is_drawn(result):
    assert len(drawn(figure, result).axes) == 6
    assert figure.numbers(result)["pc-steps"].split(", ")[0] == "32"


@pytest.mark.claim("fit-sharpness")
def test_descent_confirms_every_predicted_rate_and_the_bound_holds():
    result = quick(fit_sharpness)
    found = sharpness_figure.numbers(result)
    assert found["confirmed"] == found["tried"] == 24
    for table in result["maps"].values():
        assert np.all(table["pc_rate"] >= table["pc_least"] * (1 - 1e-9))
        assert np.all(table["bp_rate"] < table["pc_rate"])
    assert len(drawn(sharpness_figure, result).axes) == 3
