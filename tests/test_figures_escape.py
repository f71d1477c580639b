"""The figure of the escape from small weights, on the data of its quick profile."""

import numpy as np
import pytest
from figure_checks import drawn, quick

from experiments import edge_of_stability, fit_sharpness, gradient_noise, lazy_prediction
from experiments import escape_time as experiment
from figures import edge_of_stability as edge_figure
from figures import escape_time as figure
from figures import fit_sharpness as sharpness_figure
from figures import gradient_noise as noise_figure
from figures import lazy_prediction as lazy_figure

ESCAPE = pytest.mark.claim("escape-time")
EMPIRICAL = pytest.mark.evidence("empirical")


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
    drawn(figure, result, panels=6, shown=[])
    assert figure.numbers(result)["pc-steps"].split(", ")[0] == "32"


@pytest.mark.claim("fit-sharpness")
def test_descent_confirms_every_predicted_rate_and_the_bound_holds():
    result = quick(fit_sharpness)
    found = sharpness_figure.numbers(result)
    assert found["confirmed"] == found["tried"] == 24
    for table in result["maps"].values():
        assert np.all(table["pc_rate"] >= table["pc_least"] * (1 - 1e-9))
        assert np.all(table["bp_rate"] < table["pc_rate"])
    drawn(sharpness_figure, result, panels=3, shown=[])


@pytest.mark.claim("fit-sharpness")
def test_along_training_the_sharpness_of_the_energy_stays_below_that_of_the_loss():
    result = quick(edge_of_stability)
    sharpness = {rule: result["rules"][rule]["sharpness"] for rule in ("pc", "bp")}
    small = list(result["rates"]).index(0.2)
    assert np.all(sharpness["bp"][small, :, -1] > 1.5 * sharpness["pc"][small, :, -1])
    loss = result["rules"]["pc"]["loss"]
    assert np.all(loss[:, :, -1] < loss[:, :, 0])  # the larger rate is beyond what BP stands
    assert not np.all(result["rules"]["bp"]["loss"][1, :, -1] < result["rules"]["bp"]["loss"][1, :, 0])
    drawn(edge_figure, result, panels=3, shown=sharpness["pc"][small])


@pytest.mark.claim("gradient-noise")
def test_the_noise_of_predictive_coding_leaves_the_last_layer_after_the_saddle():
    result = quick(gradient_noise)
    shares = {rule: result["rules"][rule]["shares"] for rule in ("pc", "bp")}
    assert np.all(shares["pc"][:, -1, 0] > 0.9)
    assert np.all(shares["bp"][:, -1, 0] < 0.5)
    assert np.all(shares["pc"][:, -1, -1] < 0.5)
    drawn(noise_figure, result, panels=3, shown=result["rules"]["pc"]["scale"])


@pytest.mark.claim("lazy-prediction")
def test_the_error_of_the_prediction_falls_with_the_width_and_for_mupc_it_does_not():
    result = quick(lazy_prediction)
    for rule in ("pc", "bp"):
        errors = np.mean(result["ntp"][rule]["error"], axis=(1, 2))
        assert errors[1] < errors[0]
        tanh = result["tanh"][rule].mean(axis=1)
        assert tanh[1] < tanh[0]
        assert np.mean(result["mupc"][rule]["error"][-1]) > errors[1]
    drawn(lazy_figure, result, panels=3, shown=[result["ntp"]["pc"]["trained"][-1, 0]])
