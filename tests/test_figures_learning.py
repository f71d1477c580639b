"""The figures of learning through inference and of Predify, on the data of their quick profiles."""

import numpy as np
import pytest
from figure_checks import drawn, quick

from experiments import (
    cre_tradeoff,
    error_arrival,
    finite_time_inference,
    gradient_comparison,
    inference_by_rule,
    pcn_tradeoff,
    predify_stability,
)
from figures import cre_tradeoff as cre_figure
from figures import error_arrival as arrival_figure
from figures import finite_time_inference as finite_time_figure
from figures import gradient_comparison as gradient_figure
from figures import inference_by_rule as rule_figure
from figures import pcn_tradeoff as pcn_figure
from figures import predify_stability as predify_figure

pytestmark = pytest.mark.evidence("empirical")


@pytest.mark.claim("finite-time-energy")
def test_the_finite_time_energy_goes_from_the_loss_to_the_equilibrated_energy():
    result = quick(finite_time_inference)
    eigenvalues = np.asarray(result["eigenvalues"])
    np.testing.assert_allclose(eigenvalues[0], 1, rtol=1e-12)
    limit = np.asarray(result["inverse_rescaling"])
    assert np.all(np.diff(eigenvalues, axis=0) <= 1e-12)
    assert np.all(eigenvalues >= limit * (1 - 1e-12))
    for rule in ("local", "unrolled"):
        error = np.asarray(result[f"{rule}_error"])
        assert np.all(error <= np.asarray(result[f"{rule}_bound"]) + 1e-12)
    assert abs(result["unrolled_bp"][0] - 1) < 1e-12  # no steps: backprop
    assert result["unrolled_error"][-1] < result["local_error"][-1]
    rates = finite_time_figure._rates(result)
    assert abs(rates["local"] - 1) < 0.25
    assert abs(rates["unrolled"] - 2) < 0.4
    curves = [
        result[f"{rule}_{what}"] for rule in ("local", "unrolled") for what in ("error", "bound", "pc", "bp")
    ]
    drawn(finite_time_figure, result, panels=3, shown=[*curves, *eigenvalues.T])


def test_the_rules_fall_into_backprops_and_predictive_codings():
    result = quick(gradient_comparison)
    for rule in ("z-il", "fixed-prediction"):
        np.testing.assert_allclose(result["cosine_bp"][rule], 1, rtol=1e-10)
        np.testing.assert_allclose(result["ratio_bp"][rule], 1, rtol=1e-10)
    for rule in ("implicit", "one-step", "neumann", "equilibrium-propagation"):
        np.testing.assert_allclose(result["cosine_pc"][rule], 1, rtol=1e-8)
        np.testing.assert_allclose(result["ratio_pc"][rule], 1, rtol=1e-8)
    slopes = gradient_figure._slopes(result)
    assert abs(slopes["ep"] - 2) < 0.02
    assert 0.9 < slopes["neumann"] < 1.3
    errors = [row for name in ("neumann", "ep") for row in np.asarray(result[name])]
    drawn(gradient_figure, result, panels=6, shown=errors)


@pytest.mark.claim("first-arrival")
def test_errors_arrive_one_layer_a_step_and_level_out_at_equilibrium():
    result = quick(error_arrival)
    energies, arrival = np.asarray(result["energies"]), np.asarray(result["arrival"])
    depth = energies.shape[1]
    for l in range(1, depth + 1):
        when = depth - l
        assert np.all(energies[:when, l - 1] == 0)
        np.testing.assert_allclose(energies[when, l - 1], arrival[l - 1], rtol=1e-10)
    np.testing.assert_allclose(energies[-1], result["equilibrium"], rtol=1e-4)
    cosines = np.asarray(result["spiking_cosines"])
    assert np.all(
        np.diff(np.nanmin(cosines, axis=1)) >= -1e-9
    )  # alpha falls along the rows: towards backprop
    assert np.nanmin(cosines[-1]) > 1 - 1e-3
    curves = [energies[-1], result["equilibrium"], result["spiking_norms"], result["predicted_norms"]]
    drawn(arrival_figure, result, panels=4, shown=curves)


@pytest.mark.claim("predify-dispersion")
@pytest.mark.claim("predify-map")
def test_the_stability_map_ends_where_the_formula_says():
    result = quick(predify_stability)
    for beta, growth in zip(result["betas"], result["growth"], strict=True):
        stable = np.asarray(growth) <= 1 + 1e-9
        total = np.add.outer(np.asarray(result["lambdas"]), np.asarray(result["alphas"]))
        np.testing.assert_array_equal(stable, total <= 1 + 1e-12, err_msg=f"beta = {beta}")
    np.testing.assert_allclose(result["speeds_measured"], result["speeds"], atol=1e-6)
    assert result["pc_imaginary"] < 1e-12 < result["full_imaginary"]
    drawn(predify_figure, result, panels=6, shown=[*result["growth"], result["full_imag"], result["pc_imag"]])


@pytest.mark.claim("cre-tradeoff")
def test_trained_linear_networks_reach_the_front_and_never_pass_it():
    result = quick(cre_tradeoff)
    gaps = np.asarray(result["trained_loss"]) / np.asarray(result["trained_expected"]) - 1
    assert gaps.min() > -1e-9
    assert gaps.max() < 1e-2
    entry = cre_figure._sets(result)[0]
    for k in entry["reconstruction"].keys():  # noqa: SIM118
        assert np.all(np.diff(entry["reconstruction"][k]) <= 1e-9)
        assert np.all(np.diff(entry["classification"][k]) >= -1e-9)
        assert np.all(np.asarray(entry["classification"][k]) >= entry["floor"] - 1e-9)
    points = [result["trained_classification"], result["relu_classification"]]
    fronts = [entry["classification"][k] for k in entry["reconstruction"].keys()]  # noqa: SIM118
    drawn(cre_figure, result, panels=6, shown=[*points, *fronts])


@pytest.mark.claim("pcn-tradeoff")
def test_accuracy_and_reconstruction_are_traded_along_lambda():
    result = quick(pcn_tradeoff)
    error = np.asarray(result["through_reconstruction"]).mean(1)
    accuracy = np.asarray(result["through_accuracy"]).mean(1)
    assert error[0] > error[-1]  # lambda = 0 gives up the images
    assert accuracy[0] > accuracy[-1]  # lambda = 1 gives up the labels
    half = result["images"].shape[1] // 2
    np.testing.assert_array_equal(result["filled"][:, :half], result["images"][:, :half])
    fig = drawn(pcn_figure, result, panels=4, shown=[error, accuracy])
    mosaic, side = fig.axes[-1].images[0].get_array(), int(result["side"])
    columns = [np.ma.filled(mosaic[:, k * (side + side // 2) :][:, :side], np.nan).ravel() for k in range(8)]
    for place, key in ((0, "images"), (7, "filled")):
        np.testing.assert_array_equal(columns[place], np.ravel(result[key]))


def test_the_rules_start_alike_and_exact_pc_ends_at_a_lower_energy_than_backprop():
    result = quick(inference_by_rule)
    for rule in inference_by_rule.RULES:
        np.testing.assert_array_equal(result[rule]["energy"][:, 0], result["pc"]["energy"][:, 0])
        energy, reached, loss = (np.asarray(result[rule][key]) for key in ("energy", "reached", "loss"))
        assert np.all(energy <= reached * (1 + 1e-12))  # F* <= F(z_T) <= loss at a stable step
        assert np.all(reached <= loss * (1 + 1e-12))
        gaps = np.asarray(result[rule]["last_gaps"])
        assert np.all(np.diff(gaps, axis=1) <= 1e-12)
    ends = {rule: np.asarray(result[rule]["energy"])[:, -1].mean() for rule in inference_by_rule.RULES}
    assert ends["pc"] < ends["bp"]  # who descends on the energy gets further down
    names = ("energy", "loss", "half_life", "last_eigenvalues")
    curves = [result[rule][name] for rule in inference_by_rule.RULES for name in names]
    drawn(rule_figure, result, panels=6, shown=curves)
