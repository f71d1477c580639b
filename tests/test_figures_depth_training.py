"""The figures of training at depth, on the data of their quick profiles."""

import dataclasses

import numpy as np
import pytest
from figure_checks import drawn, quick

torch = pytest.importorskip("torch")

from experiments import arithmetic_reach, homotopy_networks
from figures import arithmetic_reach as reach_figure
from figures import homotopy_networks as homotopy_figure
from pctheory import load_dataset
from pctheory.nn import GradientDescent, Stop, infer

pytestmark = pytest.mark.evidence("empirical")


@pytest.mark.claim("early-pc-is-scale-free-bp")
@pytest.mark.parametrize("coordinates", arithmetic_reach.COORDINATES)
def test_the_plain_loops_are_the_inference_of_the_package(coordinates):
    config = arithmetic_reach.PROFILES["quick"]
    data = load_dataset("digits", limit=config.batch)
    model = arithmetic_reach.network(config, data, 0, torch.float64)
    x, y = torch.as_tensor(np.asarray(data.x)), torch.as_tensor(np.asarray(data.y))
    z, errors = arithmetic_reach.plain_errors(model, x, y, 0.05, 9, torch.float64, coordinates)
    found = infer(model, x, y, GradientDescent(0.05, coordinates=coordinates), stop=Stop(9))
    for a, b in zip(z, found.activities[:-1], strict=True):
        assert float((a - b).abs().max()) < 1e-12
    for a, b in zip(errors, found.errors, strict=True):
        assert float((a - b).abs().max()) < 1e-12


@pytest.mark.claim("early-pc-is-scale-free-bp")
def test_displacements_reach_as_far_as_the_light_cone_and_differences_as_far_as_rounding_allows():
    result = quick(arithmetic_reach)
    config = arithmetic_reach.PROFILES["quick"]
    layers = config.hidden + 1
    for time in config.times:
        assert reach_figure.measured(result, "float64", "displacements", time) == min(time + 1, layers)
        for arithmetic in arithmetic_reach.DTYPES:
            for coordinates in arithmetic_reach.COORDINATES:
                found = reach_figure.measured(result, arithmetic, coordinates, time)
                assert abs(found - reach_figure.predicted(result, arithmetic, coordinates, time)) <= 2
    changes = {arm: np.asarray(run["change"])[0] for arm, run in result["training"].items()}
    assert changes["scaled"].min() > 100 * changes["displacements"].min()
    assert np.allclose(changes["scaled"], changes["double"], rtol=1e-2)
    drawn(reach_figure, result, panels=2, shown=[changes["bp"]])


@pytest.mark.claim("precision-homotopy")
def test_predictive_coding_gets_out_of_the_saddle_and_hands_over():
    base = homotopy_networks.PROFILES["quick"]
    config = dataclasses.replace(base, iterations=44, scale=0.5, handover=0.9)
    both = homotopy_networks.trial(config, "pc-bp", 3e-3, 0)
    alone = homotopy_networks.trial(config, "bp", 3e-3, 0)
    turned = np.isinf(both["precision"])
    assert not turned[0]
    assert turned[-1]
    assert both["final"] > alone["final"]
    result = quick(homotopy_networks)
    accuracies = [100 * np.asarray(run["accuracy"]).mean(axis=0) for run in result["runs"].values()]
    drawn(homotopy_figure, result, panels=3, shown=accuracies)
