"""The figures of the landscape, on the data of their quick profiles."""

import importlib

import figure_checks
import numpy as np
import pytest
from figure_checks import quick

from experiments import (
    balance_law,
    cascade,
    critical_points,
    matched_scale,
    no_minimiser,
    noise_and_bottleneck,
    origin_hessians,
    origin_hessians_data,
    origin_saddle_toy,
    second_order_map,
    zero_rank_hessians,
)

EMPIRICAL = pytest.mark.evidence("empirical")


def drawn(name, result, panels, shown):
    figure_checks.drawn(importlib.import_module(f"figures.{name}"), result, panels=panels, shown=shown)


@pytest.fixture(scope="module")
def toy():
    return quick(origin_saddle_toy)


@pytest.fixture(scope="module")
def origin():
    return quick(origin_hessians)


@EMPIRICAL
@pytest.mark.claim("origin-hessian-energy")
def test_with_two_hidden_units_the_loss_is_flat_at_the_origin_and_the_energy_is_not(toy):
    landscape = toy["landscapes"]["chain H=2"]
    axis = landscape["axis"]
    centre = len(axis) // 2
    loss, energy = landscape["loss"]["values"], landscape["energy"]["values"]
    np.testing.assert_allclose(
        loss[:, centre], loss[centre, centre], rtol=1e-14
    )  # along w_3 the product stays 0
    assert np.all(np.diff(energy[centre:, centre]) < 0)
    assert np.all(landscape["energy"]["values"] <= loss * (1 + 1e-14))
    networks = [toy["curves"][name] for name in ("chain H=2", "wide H=3")]
    shown = [row[1:] for curves in networks for rule in ("bp", "pc") for row in curves[rule]["loss"]]
    drawn("origin_saddle_toy", toy, 6, [*shown, (loss.min(), loss.max()), (energy.min(), energy.max())])


@EMPIRICAL
@pytest.mark.claim("cascade")
def test_pc_leaves_the_origin_of_the_chain_before_backprop(toy):
    curves = toy["curves"]["chain H=2"]
    assert np.all(curves["pc"]["half_time"] < curves["bp"]["half_time"])


@EMPIRICAL
@pytest.mark.claim("origin-hessian-energy")
def test_hessians_at_the_origin_measured_through_inference_are_the_closed_form(origin):
    config = origin_hessians.PROFILES["quick"]
    # every activity relaxes by 1 - dt a step there, and the energy is quadratic in what is left
    left = (1 - config.step) ** (2 * config.num_steps)
    for group in (origin["shapes"], origin["chains"]):
        for found in group.values():
            exact, numeric = found["exact"]["energy"], found["numeric"]["energy"]
            np.testing.assert_allclose(numeric, exact, atol=(1.01 * left + 1e-12) * np.abs(exact).max())
    matrices = [origin["shapes"]["[2, 2]"][kind]["energy"] for kind in ("exact", "numeric")]
    spectra = [found["numeric_spectrum"]["energy"] for found in origin["chains"].values()]
    drawn("origin_hessians", origin, 6, [*matrices, *spectra])


@EMPIRICAL
@pytest.mark.claim("origin-hessian-loss")
def test_the_measured_hessian_of_the_loss_is_zero_with_two_hidden_layers(origin):
    assert np.all(origin["shapes"]["[2, 2]"]["numeric"]["loss"] == 0)
    one = origin["shapes"]["[1, 3]"]
    np.testing.assert_allclose(one["numeric"]["loss"], one["exact"]["loss"], rtol=1e-12, atol=1e-14)


@EMPIRICAL
@pytest.mark.claim("origin-hessian-energy")
def test_on_one_hot_labels_the_spectrum_holds_the_class_frequencies():
    result = quick(origin_hessians_data)
    config = origin_hessians_data.PROFILES["quick"]
    left = (1 - config.step) ** (2 * config.num_steps)
    found = result["networks"]["digits 2:2"]
    frequencies = np.sort(np.repeat(-np.asarray(found["frequencies"]), found["width"]))
    np.testing.assert_allclose(
        found["energy"][: len(frequencies)], frequencies, rtol=0, atol=(1.01 * left + 1e-12)
    )
    for each in result["networks"].values():
        np.testing.assert_allclose(each["energy"], each["exact"], atol=2 * left * np.abs(each["exact"]).max())
    spectra = [each[kind] for each in result["networks"].values() for kind in ("loss", "energy", "exact")]
    drawn("origin_hessians_data", result, 2, spectra)


@EMPIRICAL
@pytest.mark.claim("zero-rank-saddles")
def test_zero_rank_saddles_are_deeper_than_the_origin():
    result = quick(zero_rank_hessians)
    for found in result["networks"].values():
        assert found["gradient_norm"] == 0
        assert found["exact"][0] <= found["block"][0] + 1e-12 * abs(found["block"][0])
        assert found["block"][0] < found["origin_smallest"]
        # what inference leaves in its slowest mode
        assert found["largest_difference"] < 0.05
        np.testing.assert_allclose(found["energy"], found["exact"], atol=0.05 * np.abs(found["exact"]).max())
    deep = result["networks"]["digits 3:2"]
    np.testing.assert_allclose(deep["exact"][: len(deep["block"])], deep["block"], rtol=1e-9, atol=1e-12)
    drawn("zero_rank_hessians", result, 2, [found["block"] for found in result["networks"].values()])


@EMPIRICAL
@pytest.mark.claim("balance-law")
def test_the_balance_law_holds_along_training_to_first_order_in_the_learning_rate():
    result = quick(balance_law)
    for runs in result["runs"].values():
        for rule in ("bp", "pc"):
            coarse, fine = runs[rule]["deviations"].T
            assert np.all((coarse / fine > 1.5) & (coarse / fine < 3))  # the learning rates are 2 : 1
        assert np.all(np.diff(runs["pc"]["predicted"], axis=0) >= 0)
        # PC's drift is far larger than the deviation; backprop's is nothing but deviation
        assert np.all(runs["pc"]["scales"][:, -1] > 3 * runs["pc"]["deviations"][:, -1])
        np.testing.assert_array_equal(runs["bp"]["scales"], runs["bp"]["deviations"])
    names = ("measured", "deviations")
    drawn(
        "balance_law",
        result,
        6,
        [runs[r][n] for runs in result["runs"].values() for r in ("bp", "pc") for n in names],
    )


@pytest.fixture(scope="module")
def cascades():
    return quick(cascade)


@pytest.mark.claim("cascade")
def test_the_energy_halves_at_a_time_that_does_not_depend_on_depth_and_the_loss_later(cascades):
    three, four = list(cascades["depths"]).index(3), list(cascades["depths"]).index(4)
    pc, bp = cascades["by_depth"]["pc"], cascades["by_depth"]["bp"]
    assert pc["half_energy"][four] == pytest.approx(pc["half_energy"][three], rel=0.02)
    assert pc["half_loss"][four] > 4 * pc["half_loss"][three]
    assert bp["half_loss"][four] > 20 * pc["half_loss"][four]
    times = [
        cascades[way]["pc"][f"half_{what}"] for way in ("by_depth", "by_scale") for what in ("loss", "energy")
    ]
    drawn("cascade", cascades, 6, times)


@pytest.mark.claim("cascade")
def test_along_the_first_stage_the_last_weight_and_the_one_below_follow_their_integrals(cascades):
    path = cascades["path"]["pc"]
    last, below = path["layers"][:, -1], path["layers"][:, -2]
    init = cascade.PROFILES["quick"].init
    early = below < 4 * init  # what is neglected is of the order of the squares of the other weights
    clock = np.log(last) + last**2 + last**4 / 4
    tolerance = 20 * (4 * init) ** 2
    np.testing.assert_allclose(
        (clock - clock[0])[early], path["times"][early], rtol=tolerance, atol=tolerance
    )
    growth = np.exp((last**2 - last[0] ** 2) / 2)
    np.testing.assert_allclose(below[early] / below[0], growth[early], rtol=tolerance)


@pytest.mark.claim("init-scale-reversal")
def test_pc_is_faster_from_small_and_slower_from_large_weights(cascades):
    bp, pc = cascades["wide"]["bp"]["hundredth_loss"], cascades["wide"]["pc"]["hundredth_loss"]
    assert np.all(bp[0] > pc[0])
    assert np.all(bp[-1] < pc[-1])


@pytest.mark.claim("no-minimiser-with-noise")
def test_on_noisy_data_the_last_weights_grow_without_end_and_the_remedies_stop_them():
    result = quick(no_minimiser)
    for name, found in result["columns"].items():
        plain, decay = found["curves"]["plain"], found["curves"]["decay"]
        late = plain["times"] >= 10
        assert np.all(np.diff(plain["last"][late]) > 0), name
        assert plain["last"][-1] > decay["last"][-1]
        assert np.all(np.diff(plain["energy"]) < 0)
    chain = result["columns"]["N=2"]["curves"]
    assert chain["likelihood"]["last"][-1] == pytest.approx(1.0, abs=1e-6)  # sqrt(N - 1)
    inflated = chain["plain"]
    assert inflated["last"][-1] == pytest.approx((4 * 2 * inflated["times"][-1]) ** 0.25, rel=0.05)
    inverted = result["columns"]["N=0.5"]["curves"]["likelihood"]
    assert inverted["last"][-1] < inverted["first"][-1]  # less noise than the model assumes
    curves = [result["columns"][name]["curves"]["plain"] for name in ("N=2", "network")]
    drawn("no_minimiser", result, 6, [c[name][c["times"] > 0] for c in curves for name in ("last", "energy")])


@pytest.mark.claim("matched-scale")
def test_the_published_scales_multiply_the_speed_up_of_pc_by_half_the_batch_times_the_outputs():
    result = quick(matched_scale)
    factors = {name: found["factor"] for name, found in result["problems"].items()}
    assert factors == {"chain H=2": 32, "wide toy": 96, "matrix completion": 50}
    for name in ("chain H=2", "wide toy"):
        found = result["problems"][name]
        assert np.all(found["bp"]["times"][:, 0] > found["pc"]["times"][:, 0])
    curves = [found[rule]["curve_loss"] for found in result["problems"].values() for rule in ("bp", "pc")]
    drawn("matched_scale", result, 2, [curve / curve[0] for curve in curves])


@pytest.mark.claim("matched-scale")
def test_completing_a_fully_observed_matrix_is_a_linear_network_on_the_unit_vectors():
    rng = np.random.default_rng(0)
    widths = (3, 4, 4, 2)
    net = matched_scale.LinearPCN.random(widths, init=0.7, rng=rng)
    target = rng.standard_normal((2, 3))
    data = matched_scale.Data(np.eye(3), target.T)
    shapes = [w.shape for w in net.weights]
    for rule in matched_scale.RULES:
        flow = matched_scale.completion(shapes, target, np.ones((2, 3)), rule)
        gradient, loss = flow(net.flatten())
        expected, value = matched_scale.closed_form(net, data, rule)(net.flatten())
        np.testing.assert_allclose(gradient, expected, rtol=1e-10, atol=1e-12)
        assert loss == pytest.approx(value, rel=1e-12)


@pytest.mark.claim("matched-scale")
def test_hidden_entries_have_no_influence_on_matrix_completion():
    rng = np.random.default_rng(1)
    widths = (3, 4, 3)
    net = matched_scale.LinearPCN.random(widths, init=0.7, rng=rng)
    observed = np.array([[1, 1, 0], [1, 0, 1], [0, 1, 1.0]])
    target = rng.standard_normal((3, 3))
    shapes = [w.shape for w in net.weights]
    for rule in matched_scale.RULES:
        one = matched_scale.completion(shapes, target, observed, rule)(net.flatten())
        two = matched_scale.completion(shapes, target + 5 * (1 - observed), observed, rule)(net.flatten())
        np.testing.assert_array_equal(one[0], two[0])


@pytest.mark.claim("strict-saddles")
def test_the_figure_of_critical_points_shows_no_violation():
    result = quick(critical_points)
    assert result["violations"] == 0
    for points in result["energy"].values():
        certified = points["case"] >= 0
        assert np.all(points["certificate"][certified] < 0)
    example = result["counterexample"]
    planes = [(values.min(), values.max()) for values in (example["values"][0], example["values"][-1])]
    drawn("critical_points", result, 6, [*example["smallest"], *planes])


@pytest.mark.claim("no-minimiser-with-noise")
def test_behind_a_bottleneck_pc_finds_the_components_of_real_targets_and_backprop_the_regression():
    result = quick(noise_and_bottleneck)
    for task in ("completion", "classification"):
        pc, bp = result[task]["pc"]["2"], result[task]["bp"]["2"]
        assert (pc["pca"] > 0.99, pc["regression"] < 0.9) == (True, True)
        assert (bp["regression"] > 0.99, bp["pca"] < 0.9) == (True, True)
        assert 0 <= pc["energy"] - pc["least_energy"] < 1e-3
        assert bp["energy"] > pc["energy"] + 0.01
        assert pc["loss"] > bp["loss"] + 0.003
        # the remedies have other output spaces, and not that of the regression
        for cell in (result[task]["likelihood"]["2"], *result[task]["decay"].values()):
            assert cell["pca"] < 0.95
            assert cell["regression"] < 0.95
    assert result["classification"]["pc"]["2"]["accuracy"] < result["classification"]["bp"]["2"]["accuracy"]
    for rule in ("pc", "bp"):  # without noise both are the same
        assert result["autoencoding"][rule]["2"]["regression"] > 0.9999
    units = [str(k) for k in result["units"]]
    shown = [
        [result[task][rule][k][key] for k in units]
        for task, key in (("completion", "test"), ("classification", "accuracy"))
        for rule in ("pc", "bp")
    ]
    drawn("noise_and_bottleneck", result, 6, shown)


@pytest.mark.claim("second-order-classification")
def test_the_figure_of_the_second_order_map_shows_minima_on_one_side_of_the_border_and_no_disagreement():
    result = quick(second_order_map)
    assert result["disagreements"] == 0
    kinds = list(result["kinds"])
    assert sum(len(points["gain"]) for points in result["plane"].values()) >= 1
    for ratio, points in zip(result["ratios"], result["plane"].values(), strict=True):
        minimum = points["gain"] ** 2 * (ratio - 1) < 1
        expected = np.where(minimum, kinds.index("local minimum"), kinds.index("strict saddle"))
        if ratio > 1:  # else the signal is the larger component, and the point a global minimum
            np.testing.assert_array_equal(points["kind"], expected)
    found = result["found"]
    assert not np.any(found["benign"] & (found["kind"] == kinds.index("local minimum")))
    smallest = [np.asarray(found["smallest"])[np.asarray(found["case"]) == k] for k in set(found["case"])]
    drawn("second_order_map", result, 3, smallest)
