"""The trust-region figures, on the data of their quick profiles."""

import importlib
from itertools import pairwise

import figure_checks
import numpy as np
import pytest

from experiments._trials import best


def quick(name):
    return figure_checks.quick(importlib.import_module(f"experiments.{name}"))


def drawn(name, panels, shown):
    figure_checks.drawn(importlib.import_module(f"figures.{name}"), quick(name), panels=panels, shown=shown)


@pytest.mark.claim("tr-toy")
def test_the_toys_paths_end_where_they_were_published_to_end():
    result = quick("tr_landscapes")
    for rule, published in (("bp", (-0.95, 1.05)), ("pc", (-0.68, 1.46))):
        assert np.max(np.abs(result[rule]["path"][-1] - published)) < 0.02  # read off to two digits
        assert result[rule]["losses"][-1] < 1e-6
    assert result["bp"]["nearest_to_origin"] < 0.6
    assert result["pc"]["nearest_to_origin"] > 0.94
    loss, energy = result["bp"]["origin_eigenvalues"], result["pc"]["origin_eigenvalues"]
    assert np.all(energy < loss)
    drawn("tr_landscapes", 4, [result[rule]["path"][:, k] for rule in ("bp", "pc") for k in (0, 1)])


@pytest.mark.claim("tr-expansion")
@pytest.mark.evidence("empirical")
def test_the_landscape_falls_from_the_loss_to_the_equilibrated_energy_as_torch_inference_says():
    result = quick("tr_inference_time")
    ordered = list(result["landscapes"].values())
    for earlier, later in pairwise(ordered):
        assert np.all(later <= earlier * (1 + 1e-12))
    assert result["worst"] < 1e-12
    shares, measured = result["shares"], result["measured"]
    every = np.isin(np.round(result["dense"], 9), np.round(result["sparse"], 9))
    same = np.isin(np.round(result["sparse"], 9), np.round(result["dense"], 9))
    np.testing.assert_allclose(measured[:, same], shares[:, every], rtol=1e-12)
    maps = [result["landscapes"][name] for name in ("0", "0.1", "0.5", "inf")]
    drawn("tr_inference_time", 6, [*((np.min(v), np.max(v)) for v in maps), *shares, *measured])


@pytest.mark.claim("tr-alignment")
def test_the_alignment_has_the_published_order_from_the_published_start():
    published = quick("tr_alignment")["published"]
    newton, pc, gd = (np.asarray(published[rule]) for rule in ("trust-region", "pc", "bp"))
    assert np.all(newton >= pc)
    assert np.all(pc > gd)
    assert newton.min() > 0.98
    assert pc.min() > 0.95
    assert 0.45 < gd.min() < gd.max() < 0.82
    gain = quick("tr_alignment")["gain"]
    assert gain.min() < 0 < gain.max()  # it depends on the start
    drawn("tr_alignment", 3, [newton, pc, gd, gain])


@pytest.mark.claim("flat-minima")
def test_weight_noise_raises_the_objectives_by_their_hessians():
    result = quick("tr_weight_noise")
    for where in ("bp", "pc"):
        part = result[where]
        scale = 1 + part["weights"][1] ** 2
        np.testing.assert_allclose(part["curvature/pc"], part["curvature/bp"] / scale, rtol=1e-8)
        sigma, mean, error = result["deviations"][0], part["mean/bp"][0], part["error/bp"][0]
        line = 0.5 * sigma**2 * part["curvature/bp"]
        assert abs(mean - line - 0.5 * sigma**4) < 4 * error
    traces = result["traces"]
    assert np.all(traces["energy at pc"] < traces["loss at pc"])
    drawn("tr_weight_noise", 2, [result["bp"]["mean/bp"], result["pc"]["mean/bp"], result["pc"]["mean/pc"]])


@pytest.mark.claim("tr-weights")
def test_near_the_saddle_the_residual_term_leads_and_the_heuristic_holds_while_the_rescaling_is_small():
    result = quick("update_decomposition")
    norm = result["norm"]
    assert np.all(np.asarray(norm["pc-residual"])[:, 0] > 3 * np.asarray(norm["pc-preconditioned"])[:, 0])
    error, excess = np.asarray(result["heuristic"]), np.asarray(result["rescaling"]) - 1
    assert np.all(error[:, 0] < 0.02)
    # what the heuristic leaves out is at most the excess of S times backprop's gradient
    bound = excess * np.asarray(norm["gd"]) / np.asarray(norm["pc"])
    assert np.all(error <= bound * (1 + 1e-9))
    assert np.all(np.asarray(result["energy"]) <= np.asarray(result["loss"]) * (1 + 1e-12))
    cosines = [np.mean(values, axis=0) for rule, values in result["cosine"].items() if rule != "pc"]
    drawn("update_decomposition", 3, cosines)


@pytest.mark.parametrize("name", ["tr_chains", "tr_deep_nets"])
def test_training_runs_start_together_and_reach_the_equilibrium_they_claim(name):
    result = quick(name)
    for activation in ("linear", "relu"):
        bp, pc = (np.asarray(result[activation][rule]["loss"]) for rule in ("bp", "pc"))
        assert bp.shape == pc.shape
        np.testing.assert_allclose(bp[:, 0], pc[:, 0], rtol=1e-6)
        assert np.isfinite(bp).all()
        assert np.isfinite(pc).all()
    assert result["linear/gap" if name == "tr_chains" else "linear/pc/gap"] < 1e-3
    losses = [result[activation][rule]["loss"] for activation in ("linear", "relu") for rule in ("bp", "pc")]
    drawn(name, 2, [np.mean(values, axis=0) for values in losses])


def test_the_best_run_is_the_lowest_at_its_end_and_never_a_diverged_one():
    falling, diverged, flat = np.linspace(1, 0, 5), np.array([1, 0, 0, np.nan, np.nan]), np.ones(5)
    assert best([flat[None], diverged[None], falling[None]], window=2) == 2
