"""The figures of learning through inference and of Predify, on the data of their quick profiles."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from experiments import error_arrival, finite_time_inference, gradient_comparison, predify_stability
from experiments._progress import Progress
from experiments._result import Result
from figures import error_arrival as arrival_figure
from figures import finite_time_inference as finite_time_figure
from figures import gradient_comparison as gradient_figure
from figures import predify_stability as predify_figure
from pctheory.plotting import style

pytestmark = pytest.mark.road("empirical")


def quick(experiment):
    config = experiment.PROFILES["quick"]
    return Result(experiment.run(config, Progress(config)))


def drawn(figure, result):
    with style():
        fig = Figure(figsize=figure.SIZE, layout="constrained")
        figure.draw(fig, result)
        fig.canvas.draw()
    return fig


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
    assert drawn(finite_time_figure, result).axes


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
    assert drawn(gradient_figure, result).axes


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
    assert drawn(arrival_figure, result).axes


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
    assert drawn(predify_figure, result).axes
