"""Figures of inference and of the limits: their data, from the quick profile, and that they draw."""

import dataclasses
import importlib

import figure_checks
import numpy as np
import pytest
import torch

from experiments._store import Meta
from pctheory import LinearPCN, inference_rate
from pctheory.limits import isometric_condition_number, marchenko_pastur
from pctheory.nn import PCN, Stop, infer

SHOWN = {
    "conditioning_init": (
        3,
        lambda r: [np.reshape(r["errors"]["orthogonal"], (-1, len(r["hidden"])))[-1]],
    ),
    "hessian_spectra": (5, lambda r: [r["sp"][3]["full density"], r["mupc + skips"][2]["full density"]]),
    "forward_pass": (
        4,
        lambda r: [r[case]["law"] for case in ("mupc + skips", "sp + skips", "sp", "orthogonal")],
    ),
    "coordinates_conditioning": (
        3,
        lambda r: [r[f"kappa {name}"] for name in ("activities", "errors", "mean")],
    ),
    "energy_loss_ratio": (
        6,
        lambda r: [r[case][k][:, 0] for case in ("mupc", "sp") for k in ("excess", "law")],
    ),
    "pc_bp_cosine": (6, lambda r: [*r["law"].T, r["none"]["excess"][:, 0, 0]]),
    "limits_toy": (
        6,
        lambda r: [r[case][8][k].mean(0) for case in ("mupc + skips", "sp") for k in ("energy", "bp loss")],
    ),
    "richness": (3, lambda r: [r["law"], *r["mean field"]["loss"], *r["mean field"]["excess"]]),
    "saddle_regime": (4, lambda r: [row for rule in ("pc", "bp") for row in r[2][1][rule]["loss"]]),
    "error_reach": (4, lambda r: [r["change bp"]]),
    "inference_budget": (
        6,
        lambda r: [
            *(r[m]["gap"] for m in ("euler", "coarse", "heun", "adam")),
            *(r[m]["largest"] for m in ("euler", "coarse")),
            r["decay"]["accuracy"],
        ],
    ),
    "conditioning_training": (2, lambda r: [*np.reshape(r["adam"]["gap"], (-1, len(r["steps"])))]),
}
"""For each figure, how many panels it has and arrays of the result that must be seen in them."""


def quick(name):
    return figure_checks.quick(importlib.import_module(f"experiments.{name}"))


@pytest.mark.parametrize("name", SHOWN)
def test_the_figure_draws_its_data_and_its_caption_names_the_setting(name):
    figure, module = (importlib.import_module(f"{package}.{name}") for package in ("figures", "experiments"))
    result, (panels, shown) = quick(name), SHOWN[name]
    figure_checks.drawn(figure, result, panels=panels, shown=shown(result))
    meta = Meta(name, "quick", vars(module.PROFILES["quick"]), "scaled down: a test", 0.0, {}, None, None)
    assert "scaled down" in figure.caption(result, meta)


@pytest.mark.claim("conditioning")
def test_orthogonal_networks_lie_on_the_law_and_errors_are_better_coordinates():
    result = quick("conditioning_init")
    for k, h in enumerate(result["hidden"]):
        law = isometric_condition_number(int(h) + 1, narrow_output=True)
        np.testing.assert_allclose(result["activities"]["orthogonal"][:, :, k], law, rtol=1e-9)
        np.testing.assert_allclose(result["errors"]["orthogonal"][:, :, k], h + 1, rtol=1e-9)
    assert np.all(result["errors"]["mupc + skips"] < result["activities"]["mupc + skips"])


@pytest.mark.claim("conditioning")
@pytest.mark.evidence("empirical")
def test_learning_makes_inference_ill_conditioned():
    module = importlib.import_module("experiments.conditioning_training")
    config = dataclasses.replace(
        module.PROFILES["quick"], num_steps=60, learning_rate=3e-3, iterations=200, every=100
    )
    found = module.trial(config, "gd", 4, 2.0, 0)
    assert found["accuracy"][-1] > 0.8
    assert np.all(np.diff(found["kappa"]) > 0.5)
    assert found["largest"][-1] > 1.3 * found["largest"][0]
    assert np.all((found["gap"] > 0) & (found["gap"] < 0.01))


@pytest.mark.claim("hessian-spectra")
def test_the_diagonal_part_is_marchenko_and_pastur_and_densities_have_unit_mass():
    part = quick("hessian_spectra")["sp"][3]
    inside = (part["points"] > 1.2) & (part["points"] < 4.8)
    expected = marchenko_pastur(part["points"][inside] - 1, 1.0)
    np.testing.assert_allclose(part["diagonal density"][inside], expected, atol=5e-3)
    assert abs(part["couplings"].max()) < 1.1 * part["edge"]


@pytest.mark.claim("forward-stability")
def test_the_forward_pass_is_stable_in_mupc_and_dies_in_sp():
    result = quick("forward_pass")
    assert np.all(np.abs(np.log(result["mupc + skips"]["linear"]["adam"][:, 0])) < 1)
    assert result["sp"]["linear"]["adam"][-1, 0, -1] < 0.1


@pytest.mark.claim("coordinates-resolve-tradeoff")
def test_error_coordinates_need_fewer_gradients_and_conjugate_gradients_end_after_the_outputs():
    result = quick("coordinates_conditioning")
    for h in result["hidden"]:
        runs = result[int(h)]
        assert runs["error-gd"]["work"] < runs["gd"]["work"]
        assert runs["error-cg"]["work"] <= 2  # two outputs
        assert runs["exact"]["work"] < 10
        assert runs["heun"]["work"] > runs["gd"]["work"]  # the same rate at twice the price


@pytest.mark.claim("limit-to-backprop")
def test_the_loss_is_never_below_the_energy_and_the_excess_has_its_mean():
    result = quick("energy_loss_ratio")
    for case in ("mupc", "sp"):
        part = result[case]
        assert np.all(part["loss"] >= part["energy"])
        assert np.median(np.abs(part["excess"] - part["law"]) / part["error"]) < 3


@pytest.mark.claim("error-reach")
@pytest.mark.evidence("empirical")
def test_errors_of_real_inference_end_at_the_number_of_steps_and_fall_factorially():
    part = quick("error_reach")["0.5"]
    for steps in (4, 8):
        errors = part[steps]["errors"]
        assert np.all(errors[1 : steps + 1] > 0)
        assert not np.any(errors[steps + 1 :])
        assert not np.any(part[steps]["gradients"][steps + 1 :])
        assert np.all(np.diff(np.log(errors[1 : steps + 1])) < -1)  # each layer loses more than a factor e


def test_longer_inference_comes_closer_to_the_equilibrium():
    result = quick("inference_budget")
    for method in ("euler", "coarse", "heun"):
        gaps = result[method]["gap"]
        assert np.all(gaps[:, 1] < gaps[:, 0])
        assert np.all(gaps > -1e-8)


@pytest.mark.claim("inference-rate")
def test_the_largest_curvature_of_a_linear_network_is_that_of_the_theory():
    module = importlib.import_module("experiments.inference_budget")
    model = PCN((6, 30, 20, 4), init="torch", rng=0, dtype=torch.float64)
    x, y = np.random.default_rng(1).standard_normal((3, 6)), np.zeros((3, 4))
    found = module.largest_curvature(model, infer(model, x, y, stop=Stop(2)).activities)
    assert found == pytest.approx(inference_rate(LinearPCN(**model.linear_parameters())).largest, rel=1e-8)


@pytest.mark.claim("limit-to-backprop")
def test_wide_networks_have_parallel_gradients():
    result = quick("pc_bp_cosine")
    for scaling in ("table", "none"):
        cosines = result[scaling]["cosine"]
        assert np.all(cosines[-1] > cosines[0])
        assert np.all(cosines[-1] > 0.97)


@pytest.mark.claim("limit-to-backprop")
def test_wide_nonlinear_networks_have_parallel_gradients_at_the_equilibrium():
    result = quick("limits_nonlinear")
    for part in (result["runs"]["table"], result["runs"]["none"]):
        assert np.all(part["cosine"][1] > 0.97)
        assert np.all(part["cosine"][0] < 0.8)
        assert np.all(part["layers"][1] > part["layers"][0])
        assert np.all(part["energy"] < part["loss"])
        assert np.all(part["residual"] <= 1e-6)  # inference has ended
        np.testing.assert_array_equal(
            part["cosine"][:, 0], part["between"][:, 0]
        )  # the same weights at first
    assert np.all(result["agreement"]["converged"])
    assert np.all(result["agreement"]["distance"] < 1e-6)


@pytest.mark.claim("limit-to-backprop")
def test_so_they_have_with_the_squared_error_and_both_losses_stand_side_by_side():
    results = {name: quick(name) for name in ("limits_nonlinear", "limits_squared_error")}
    squared = results["limits_squared_error"]
    assert np.all(squared["cosine"][1] > 0.97)
    assert np.all(squared["cosine"][1] > squared["cosine"][0])
    assert np.all(squared["energy"] < squared["loss"])
    assert np.all(squared["residual"] <= 1e-6)
    runs = results["limits_nonlinear"]["runs"]
    assert not np.allclose(runs["table"]["loss"], squared["loss"])
    shown = [runs[c][k][:, -1] for c in ("table", "none") for k in ("loss", "bp_loss")]
    shown += [1 - squared["cosine"][:, 0], 1 - squared["energy"][:, 0] / squared["loss"][:, 0]]
    figure = importlib.import_module("figures.limits_nonlinear")
    figure_checks.drawn(figure, results, panels=3, shown=shown)


@pytest.mark.claim("scalar-gradient-split")
@pytest.mark.claim("limit-to-backprop")
def test_the_extra_gradient_fades_with_the_width():
    result = quick("limits_toy")
    for case in ("mupc + skips", "mupc"):
        share = [np.nanmean(result[case][n]["extra"] / result[case][n]["rescaled"]) for n in (8, 32)]
        assert share[1] < 0.6 * share[0]


@pytest.mark.claim("rich-drift")
@pytest.mark.evidence("empirical")
def test_rich_networks_start_nearest_to_backprop_and_drift_away():
    result = quick("richness")
    start, end = result["excess"][:, :, 0].mean(axis=1), result["excess"][:, :, -1].mean(axis=1)
    assert start[0] / start[1] == pytest.approx(
        16, rel=1e-3
    )  # gamma .5 and 2, the same weights: the square of their ratio
    assert end[1] / start[1] > end[0] / start[0]


@pytest.mark.claim("init-scale-reversal")
@pytest.mark.evidence("empirical")
def test_the_advantage_at_small_initialisation_reverses_at_ordinary_scale():
    module = importlib.import_module("experiments.saddle_regime")
    config = module.Config(steps=300)
    half = {
        (sigma, rule): np.median([module.cell(config, 8, 2, sigma, rule, seed)["half"] for seed in range(3)])
        for sigma in (0.03, 0.3)
        for rule in ("pc", "bp")
    }
    assert half[0.03, "pc"] < half[0.03, "bp"]
    assert half[0.3, "pc"] > half[0.3, "bp"]
