"""The figures of training at depth, on the data of their quick profiles."""

import dataclasses

import numpy as np
import pytest
from figure_checks import drawn, quick

torch = pytest.importorskip("torch")

from experiments import arithmetic_reach, depth_all_layers, homotopy_networks, joint_resets, when_pc_wins
from figures import arithmetic_reach as reach_figure
from figures import depth_all_layers as depth_figure
from figures import homotopy_networks as homotopy_figure
from figures import joint_resets as resets_figure
from figures import when_pc_wins as wins_figure
from pctheory import load_dataset
from pctheory.dynamics import chain_flow, homotopy_flow
from pctheory.nn import BP, PCN, GradientDescent, Stop, TrainingSettings, accuracy, infer, train

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
    config = dataclasses.replace(base, iterations=44, patience=1, scale=0.5, handover=0.9)
    both = homotopy_networks.trial(config, "pc-bp", 3e-3, 0)
    alone = homotopy_networks.trial(config, "bp", 3e-3, 0)
    turned = np.isinf(both["precision"])
    assert not turned[0]
    assert turned[-1]
    assert both["final"] > alone["final"]
    result = quick(homotopy_networks)
    accuracies = [100 * np.asarray(run["accuracy"]).mean(axis=0) for run in result["runs"].values()]
    drawn(homotopy_figure, result, panels=3, shown=accuracies)


def test_exact_inference_at_a_small_alpha_trains_as_backpropagation_does():
    result = quick(depth_all_layers)
    config = depth_all_layers.PROFILES["quick"]
    for hidden in config.depths:
        near, pc, bp = (result["runs"]["digits"][str(hidden)][rule] for rule in ("near", "pc", "bp"))
        assert np.abs(np.asarray(near["accuracy"]) - np.asarray(bp["accuracy"])).max() < 0.05
        assert np.asarray(near["true"])[0] < config.tolerance
        assert 1 < np.asarray(near["ratio"])[0] < np.asarray(pc["ratio"])[0]
    shown = [
        100 * np.mean([result["runs"]["digits"][str(h)]["bp"]["accuracy"] for h in config.depths], axis=1),
        100 * np.mean(result["runs"]["digits"]["6"]["published"]["lost"], axis=0),
    ]
    drawn(depth_figure, result, panels=5, shown=shown)
    numbers = depth_figure.numbers(result)
    found = depth_figure.gaps(result, "near")
    assert len(found) == len(config.depths) == numbers["near-networks"]
    assert float(numbers["near-worst-behind"]) == pytest.approx(
        max(f.mean() for f in found.values()), abs=5e-3
    )


def test_the_interval_of_a_gap_is_students():
    one, two, three = samples = np.array([0.1, 0.4, 0.1])
    # the 97.5% quantile of Student's t with two degrees of freedom is 0.95 / sqrt(2 * 0.975 * 0.025)
    mean = (one + two + three) / 3
    error = np.sqrt(((samples - mean) ** 2).sum() / 2 / 3)
    assert depth_figure.half_width(samples) == pytest.approx(
        0.95 / np.sqrt(2 * 0.975 * 0.025) * error, rel=1e-9
    )


def test_the_larger_alpha_ends_where_the_settings_say():
    config = dataclasses.replace(depth_all_layers.PROFILES["quick"], larger_depth=2)
    assert depth_all_layers.rates_of(config, "pc", 2) == config.rates
    assert depth_all_layers.rates_of(config, "pc", 6) == ()
    assert depth_all_layers.rates_of(config, "near", 6) == config.rates


def test_a_reset_costs_what_the_network_loses_with_that_layer_untrained():
    config = depth_all_layers.PROFILES["quick"]
    data = load_dataset("digits", limit=200)
    model = depth_all_layers.network(config, 3, 0, data)
    initial = [w.detach().clone() for w in model.weights]
    settings = TrainingSettings(BP(), learning_rate=0.1, batch_size=50, steps=10)
    train(model, data, settings)
    lost = depth_all_layers.ablation(model, initial, data, 200)
    for layer in range(model.depth):
        weights = [(initial if k == layer else model.weights)[k].detach().numpy() for k in range(model.depth)]
        twin = PCN.from_weights(
            weights, activation="relu", multipliers=model.multipliers, skips=model.skips, dtype=torch.float32
        )
        expected = accuracy(model, data.x, data.y) - accuracy(twin, data.x, data.y)
        assert abs(lost[layer] - expected) < 1e-9
    assert np.abs(lost).max() > 0.1


@pytest.mark.claim("escape-time")
def test_where_predictive_coding_wins_is_drawn_from_the_best_rate_of_each_rule():
    result = quick(when_pc_wins)
    config = when_pc_wins.PROFILES["quick"]
    cells = when_pc_wins.cases(config)
    assert {c["rule"] for c in cells if c["optimiser"] == "SGD"} == {"bp", "pc"}
    assert {c["rule"] for c in cells if c["activation"] == "tanh" and not c["skips"]} == set(
        when_pc_wins.RULES
    )
    iterations = wins_figure.table(result, "iterations", "tanh", "Adam")
    assert np.isfinite(iterations).all()
    drawn(wins_figure, result, panels=4, shown=[np.clip(np.log2(iterations), -3, 3)])


def test_the_best_rate_beats_its_neighbours_and_is_found_from_far_away(monkeypatch):
    config = dataclasses.replace(when_pc_wins.PROFILES["quick"], every=1, iterations=1000, span=3)
    asked = []

    def reach(config, rule, optimiser, rate, limit, seed, **net):
        power = round(np.log10(rate / 1e-3) * 2)
        asked.append(power)
        taken = np.inf if power < 2 else 100 + 10 * (power - 4) ** 2
        return (taken, taken) if taken <= limit else (np.inf, np.inf)

    monkeypatch.setattr(when_pc_wins, "reach", reach)
    found = when_pc_wins.trial(config, "bp", "Adam", 2, "tanh", 1.0, False)
    assert asked == [0, 1, 2, 3, 4, 5, -1]
    assert found["rate"] == pytest.approx(0.1)
    assert found["iterations"][0] == 100


@pytest.mark.claim("escape-time")
@pytest.mark.claim("precision-homotopy")
def test_a_chain_is_learned_sooner_on_the_energy_below_the_border_alone():
    for kept, flow in ((False, chain_flow), (True, homotopy_flow)):
        at = when_pc_wins.border(4, kept=kept)
        for scale, sooner in ((at - 0.01, True), (at + 0.01, False)):
            loss = chain_flow((1,) * 6, scale, objective="loss").escape_time
            assert (flow((1,) * 6, scale).escape_time < loss) == sooner
    assert when_pc_wins.border(4, kept=True) > when_pc_wins.border(4, kept=False)


@pytest.mark.claim("error-reach")
def test_joint_resets_join_the_trained_network_and_the_initial_one():
    config = depth_all_layers.PROFILES["quick"]
    data = load_dataset("digits", limit=200)
    model = depth_all_layers.network(config, 3, 0, data)
    initial = [w.detach().clone() for w in model.weights]
    settings = TrainingSettings(BP(), learning_rate=0.1, batch_size=50, steps=10)
    trained = train(model, data, settings).weights
    labels = torch.as_tensor(np.asarray(data.y).argmax(1))
    below, above = joint_resets.resets(model, initial, np.asarray(data.x), labels)
    assert all(np.array_equal(w.detach().numpy(), t) for w, t in zip(model.weights, trained, strict=True))
    for k in range(model.depth + 1):
        for found, first in ((below, True), (above, False)):
            weights = [
                initial[layer].numpy() if (layer < k) == first else trained[layer]
                for layer in range(model.depth)
            ]
            twin = PCN.from_weights(
                weights, activation="relu", multipliers=model.multipliers, skips=model.skips,
                dtype=torch.float32,
            )  # fmt: skip
            assert found[k] == pytest.approx(accuracy(twin, data.x, data.y), abs=1e-9)
    assert below[0] == above[-1] > below[-1] == above[0]


def test_joint_resets_are_drawn_and_counted():
    result = quick(joint_resets)
    run = result["runs"]["digits 6"]["bp"]
    lost = np.asarray(run["below"])[0, 0] - np.asarray(run["below"])[0]
    spared = resets_figure.spared(run)
    assert (lost[: spared + 1] <= resets_figure.MATTERS).all()
    assert lost[spared + 1] > resets_figure.MATTERS
    assert resets_figure.half(run) >= spared
    drawn(resets_figure, result, panels=2, shown=[100 * np.asarray(run["below"]).mean(axis=0)])
