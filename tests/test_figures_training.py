"""The figures of real training, on the data of their quick profiles."""

import dataclasses

import numpy as np
import pytest
import torch
from figure_checks import drawn, quick
from tolerances import assert_close

from experiments import (
    error_reach,
    lr_transfer,
    matrix_completion,
    mupc_128,
    mupc_depth,
    mupc_scaled_rate,
    saddle_escape,
)
from experiments._result import Result
from figures import error_reach as reach_figure
from figures import lr_transfer as transfer_figure
from figures import matrix_completion as completion_figure
from figures import mupc_128 as deep_figure
from figures import mupc_depth as mupc_figure
from figures import saddle_escape as escape_figure
from pctheory import load_dataset
from pctheory.datasets import load_movielens
from pctheory.nn import PCN, GradientDescent, Stop, infer

pytestmark = pytest.mark.evidence("empirical")


def test_mupc_learns_with_backprop_and_only_standard_pc_stays_behind():
    result = quick(mupc_depth)
    for hidden, accuracies in result["accuracy"].items():
        for method in mupc_depth.METHODS:
            assert np.asarray(accuracies[method]).shape == (2, len(result["steps"][method]))
        assert np.all(np.asarray(result["final"][hidden]["bp"]) > 0.2)
        assert np.all(np.asarray(result["final"][hidden]["sp"]) < np.asarray(result["final"][hidden]["mupc"]))
    for hidden in result["accuracy"]:
        pc, bp = (np.asarray(result["change"][hidden][m]) for m in ("mupc", "bp"))
        assert np.all(pc[:, 0] < bp[:, 0])  # learning fades with the distance from the output
    scaled = quick(mupc_scaled_rate)
    for hidden, final in scaled["final"].items():  # the last layer, which learns most, keeps its rate
        assert np.all(np.asarray(final) > np.asarray(result["final"][hidden]["mupc"]).min() - 0.1)
    changes = [
        row for by in result["change"].values() for rule in ("bp", "mupc") for row in np.asarray(by[rule])
    ]
    both = {"mupc_depth": result, "mupc_scaled_rate": scaled}
    drawn(mupc_figure, both, panels=4, shown=changes)


def test_a_run_that_diverges_is_kept_as_diverged():
    config = mupc_depth.Config(
        dataset="digits", width=8, batch_size=16, iterations=4, sp_iterations=4, every=1, activity_lr=1e30
    )
    found = mupc_depth.trial(config, 3, "sp", 0)
    assert np.isfinite(found["accuracy"][0])
    assert np.isnan(found["accuracy"][1:]).any()
    assert np.isnan(found["final"])


def test_rates_that_diverge_lose_infinitely_and_the_others_learn():
    result = quick(lr_transfer)
    for method, networks in result["loss"].items():
        for losses in networks.values():
            assert np.asarray(losses).shape == (1, 2, 1 if method == "bp" else 3)
            assert np.all(np.isfinite(losses[..., :2]))
            if method != "bp":
                assert np.all(np.isinf(losses[..., 2]))
    untrained = lr_transfer.Config(
        dataset="digits", activity_lrs=(1.0,), batch_size=32, iterations=1, sp_learning_rates=(1e-3,), seeds=1
    )
    start = lr_transfer.smallest_loss(untrained, "mupc", 16, 2, 0.1, 0)["loss"]
    assert np.min(result["loss"]["mupc"]["16-2"]) < 0.6 * start[0]
    cuts = [
        np.min(v, axis=(0, 1 if rate == "activity" else 2))
        for m in ("mupc", "sp")
        for v in result["loss"][m].values()
        for rate in ("weight", "activity")
    ]
    shown = [np.where(np.isfinite(v), v, np.nan) for v in cuts]
    drawn(transfer_figure, result, panels=6, shown=[*shown, *result["loss"]["bp"].values()])


def test_how_far_an_optimum_moves_is_read_from_the_grid():
    still = np.array([[[3.0, 2.0], [2.0, 1.0]]])
    moved = np.array([[[1.0, 2.0], [np.inf, 4.0]]])
    result = Result(
        {
            "loss": {
                "mupc": {"8-2": still, "16-2": still / 2, "16-4": still},
                "sp": {"8-2": still, "16-2": moved, "16-4": moved[:, ::-1]},
                "bp": dict.fromkeys(("8-2", "16-2", "16-4"), still[..., :1]),
            },
            "sweeps": {"width": np.array([(8, 2), (16, 2)]), "depth": np.array([(16, 2), (16, 4)])},
            "learning_rates": {m: np.array([0.1, 1.0]) for m in lr_transfer.METHODS},
            "activity_lrs": np.array([1.0, 10.0]),
            "dataset": "digits",
        }
    )
    n = transfer_figure.numbers(result)
    assert (n["mupc-width-weight"], n["mupc-width-activity"], n["mupc-width-excess"]) == ("1", "10", "1.00")
    assert (n["sp-width-weight"], n["sp-width-activity"], n["sp-width-excess"]) == (
        "1, 0.1",
        "10, 1",
        "4.00",
    )
    assert n["sp-depth-excess"] == "infinitely many"


def test_deep_networks_learn_with_both_output_energies_and_a_finished_run_is_not_trained_again(tmp_path):
    result = quick(mupc_128)
    for runs in result["runs"].values():
        for rule in mupc_128.RULES:
            assert np.all(np.asarray(runs[rule]["final"]) > 0.3)
        pc, bp = (np.asarray(runs[rule]["change"]) for rule in ("pc", "bp"))
        assert np.all(pc[:, 0] < 0.01 * bp[:, 0])  # the error does not reach the input side
        assert np.all(pc[:, -1] > 0.1)
    changes = [runs["bp"]["change"] for runs in result["runs"].values()]
    drawn(deep_figure, result, panels=4, shown=changes)
    config, path = mupc_128.PROFILES["quick"], tmp_path / "run.pt"
    first = mupc_128.trial(config, 0, "pc", 0, str(path))
    assert path.exists()
    again = mupc_128.trial(config, 0, "pc", 0, str(path))
    assert again["seconds"] == first["seconds"]
    assert again["final"] == first["final"] == result["runs"]["0"]["pc"]["final"][0]
    assert np.array_equal(again["accuracy"], first["accuracy"])


@pytest.mark.claim("error-reach")
def test_inference_near_equilibrium_gives_every_layer_its_gradient_and_the_published_one_the_last_alone():
    config = error_reach.Config(dataset="digits", width=16, trained_hidden=12, batch=32)
    data = load_dataset("digits", limit=config.batch)
    model = PCN(
        (64, *[config.width] * config.trained_hidden, 10),
        activation="relu",
        parameterisation="mupc",
        skips=True,
        rng=0,
        dtype=torch.float64,
    )
    solved = infer(model, data.x, data.y, "newton", stop=Stop(40))
    exact = model.local_gradient(solved.activities)
    ratios = {}
    for rule in ("pc", "equilibrium"):
        learning = error_reach.learning(config, rule)
        found = infer(model, data.x, data.y, learning.method, stop=learning.stop)
        pairs = zip(model.local_gradient(found.activities), exact, strict=True)
        ratios[rule] = [
            (float(torch.linalg.norm(a - b) / torch.linalg.norm(b)), float((a * b).sum() / (b * b).sum()))
            for a, b in pairs
        ]
    assert max(distance for distance, _ in ratios["equilibrium"]) < 0.1
    assert max(abs(along) for _, along in ratios["pc"][:-4]) < 0.01
    assert ratios["pc"][-1][1] > 1  # the output's error has not been shared out
    assert error_reach.distance(model, data, error_reach.learning(config, "equilibrium")) < 0.1


@pytest.mark.claim("error-reach")
def test_frozen_layers_do_not_move_under_any_rule():
    config = error_reach.PROFILES["quick"]
    for rule in error_reach.RULES:
        change = error_reach.frozen(config, rule, 2, 0)["change"]
        assert np.all(change[:2] > 0)
        assert not np.any(change[2:])
    result = quick(error_reach)
    drawn(reach_figure, result, panels=4, shown=[result["change bp"]])


def case(activation, seed=3):
    rng = np.random.default_rng(seed)
    weights = [0.5 * rng.standard_normal((n, m)) for m, n in ((4, 6), (6, 6), (6, 5), (5, 4))]
    observed = (rng.random((4, 4)) < 0.8).astype(float)
    assert 0 < observed.sum() < observed.size
    return weights, rng.standard_normal((4, 4)), observed


@pytest.mark.parametrize("activation", ["linear", "tanh", "relu"])
def test_the_gradient_of_the_masked_loss_is_autograds(activation):
    weights, y, observed = case(activation)
    value, gradient = matrix_completion.bp_gradient(weights, activation, y, observed)
    matrices = [torch.tensor(w, requires_grad=True) for w in weights]
    act = {"linear": lambda z: z, "tanh": torch.tanh, "relu": torch.relu}[activation]
    output = matrices[0].T
    for matrix in matrices[1:]:
        output = act(output) @ matrix.T
    loss = (torch.tensor(observed) * (torch.tensor(y) - output)).square().sum() / 8
    loss.backward()
    assert value == pytest.approx(loss.item(), rel=1e-13)
    for ours, matrix in zip(gradient, matrices, strict=True):
        assert_close(ours, matrix.grad.numpy(), size=6)


@pytest.mark.parametrize("activation", ["linear", "tanh", "relu"])
def test_inference_and_local_gradient_of_the_masked_energy_are_autograds(activation):
    weights, y, observed = case(activation)
    dt, steps = 0.1, 7
    value, gradient = matrix_completion.pc_gradient(weights, activation, y, observed, steps, dt)
    matrices = [torch.tensor(w, requires_grad=True) for w in weights]
    act = {"linear": lambda z: z, "tanh": torch.tanh, "relu": torch.relu}[activation]
    z = [torch.tensor(a) for a in matrix_completion.feedforward(weights, activation)[:-1]]

    def energy(z):
        total = (z[0] - matrices[0].T).square().sum()
        for before, after, matrix in zip(z, z[1:], matrices[1:], strict=False):
            total = total + (after - act(before) @ matrix.T).square().sum()
        error = torch.tensor(observed) * (torch.tensor(y) - act(z[-1]) @ matrices[-1].T)
        return (total + error.square().sum()) / 2

    for _ in range(steps):
        z = [a.detach().requires_grad_() for a in z]
        z = [a - dt * g for a, g in zip(z, torch.autograd.grad(energy(z), z), strict=True)]
    final = energy([a.detach() for a in z]) / 4
    final.backward()
    assert value == pytest.approx(final.item(), rel=1e-12)
    rounding = float(np.abs(y).max())  # errors are differences of activities of this size
    for ours, matrix in zip(gradient, matrices, strict=True):
        assert_close(ours, matrix.grad.numpy(), size=6, scale=rounding)


def test_with_every_entry_observed_it_is_the_network_of_the_torch_layer():
    weights, y, _ = case("tanh")
    model = PCN.from_weights(weights, activation="tanh")
    found = infer(model, np.eye(4), y, GradientDescent(0.1), stop=Stop(7))
    value, gradient = matrix_completion.pc_gradient(weights, "tanh", y, np.ones((4, 4)), 7, 0.1)
    assert value == pytest.approx(found.energy, rel=1e-12)
    rounding = float(np.abs(y).max())  # errors are differences of activities of this size
    for ours, theirs in zip(gradient, model.local_gradient(found.activities), strict=True):
        assert_close(ours, theirs.detach().numpy(), size=6, scale=rounding)


@pytest.mark.claim("matched-scale")
def test_matrix_completion_passes_the_saddle_of_rank_one_and_pc_leaves_it_and_the_origin_sooner():
    result = quick(matrix_completion)
    one = result["ranks"][0][1]
    for activation, curves in result["curves"].items():
        plateau = np.asarray(curves["bp"]["error"][0])
        assert np.min(np.abs(plateau - one)) < 0.01 * one, activation
        halves = {run: completion_figure.to(curves[run], 0.5)[0] for run in matrix_completion.RUNS}
        assert halves["pc"] < halves["bp"]
        assert halves["pc-published"] < halves["bp-published"] / 10
        saddle = completion_figure.from_saddle(curves, 1)
        assert abs(saddle["error"][0] - one) < 0.01 * one
        assert saddle["pc"][0] < saddle["bp"][0]
        start, steps = curves["bp"]["saddles"]["1"]["from"][0], np.asarray(curves["bp"]["step"])
        assert curves["bp"]["norm"][0][steps == start] < 0.1 * np.max(curves["bp"]["norm"][0][steps > start])
    ratings = result["ratings"]
    assert ratings["runs"]["bp"]["error"][0][0] == pytest.approx(ratings["ranks"][0], rel=1e-3)
    assert ratings["runs"]["bp"]["hidden_error"][0][0] == pytest.approx(
        ratings["first_hidden_error"], rel=1e-3
    )
    left = {rule: completion_figure.to(run, 0.9)[0] for rule, run in ratings["runs"].items()}
    assert left["pc"] < left["bp"]
    saddles = [curves["bp"]["saddles"]["1"] for curves in result["curves"].values()]
    for runs in (result["curves"]["linear"], ratings["runs"]):
        assert completion_figure.budget(runs) == 4000  # of BP; PC's 400 iterations are 20400 passes
        steps = np.asarray(runs["pc"]["step"])
        assert 51 * steps[completion_figure.within(runs, "pc")].max() <= 4000 < 51 * steps.max()
        assert completion_figure.within(runs, "bp").all()
    shown = [saddle["error"] for saddle in saddles]
    drawn(completion_figure, result, panels=5, shown=shown)


def test_a_run_that_visits_no_saddle_has_none_to_start_from():
    config = dataclasses.replace(matrix_completion.PROFILES["quick"], bp_iterations=20, pc_iterations=4)
    found = matrix_completion.trial(config, "linear", "bp", 0)["saddles"]["1"]
    assert np.isnan(found["from"])
    assert np.isnan(found["error"]).all()
    rise = np.array([1.0, 10.0, 2.0, 10.0, 8.0, 10.0, 1.0])
    assert matrix_completion.visited(rise).tolist() == [
        2
    ]  # the other dip is not half as deep as what is beside it


def test_the_ratings_that_are_hidden_are_known_and_not_observed():
    config = matrix_completion.PROFILES["quick"]
    y, observed, tested = matrix_completion.ratings(config)
    films = load_movielens()[1]
    assert y.shape == (config.films, config.films)
    assert not np.any(observed * tested)
    share = np.sum(tested) / np.sum(observed + tested)
    assert share == pytest.approx(config.hidden_share, abs=0.5 / y.size)
    assert np.sum(observed * y) == pytest.approx(0.0, abs=1e-9)
    centred = y[observed + tested > 0]
    assert set(np.round(2 * (centred - centred.min()), 6)) <= set(range(10))  # half stars
    most = np.sort(np.bincount(films))[-config.films :]
    assert np.sum(observed + tested) <= most.sum()


def test_the_fit_of_full_rank_is_exact_and_a_seen_matrix_has_eckart_young_errors():
    config = matrix_completion.PROFILES["quick"]
    y, observed, hidden = matrix_completion.problem(config, 0)
    assert np.array_equal(observed + hidden, np.ones_like(y))
    assert matrix_completion.lowest_loss(y, observed, config.rank, 500) < 1e-12
    values = np.linalg.svd(y)[1]
    for rank in range(config.rank + 1):
        seen = matrix_completion.lowest_loss(y, np.ones_like(y), rank, 3)
        assert_close(seen, np.sum(values[rank:] ** 2) / y.size, size=len(y), scale=float(np.mean(y**2)))


@pytest.mark.claim("matched-scale")
def test_pc_leaves_both_saddles_and_backprop_at_its_published_scale_stays():
    result = quick(saddle_escape)
    for by_start in result["curves"].values():
        near, far = (by_start[start]["linear"] for start in ("origin", "zero-rank"))
        assert near["pc"]["norm"][0][0] > 3 * near["bp"]["norm"][0][0]
        for runs in (near, far):
            losses = {method: np.asarray(runs[method]["loss"])[0] for method in saddle_escape.RUNS}
            assert losses["bp"][0] == losses["pc"][0] == losses["bp-published"][0]
            assert losses["bp-published"][-1] > 0.999 * losses["bp-published"][0]
            assert escape_figure.escape(runs["pc"])[0] <= runs["pc"]["step"][-1]
            assert np.isnan(escape_figure.escape(runs["bp-published"])).all()
            assert np.isinf(escape_figure.speed_up(runs, "bp-published")).all()
        for method in ("pc", "bp"):  # the zero-rank saddle of these networks is left sooner
            assert escape_figure.escape(far[method])[0] < escape_figure.escape(near[method])[0]
    runs = [by_start["origin"]["linear"] for by_start in result["curves"].values()]
    errors = [0.2 * np.mean(run[rule]["loss"], axis=0)[1:] for run in runs for rule in ("bp", "pc")]
    drawn(escape_figure, result, panels=2, shown=errors)


@pytest.mark.claim("zero-rank-saddles")
def test_the_start_near_a_zero_rank_saddle_is_the_origins_but_for_the_last_hidden_matrix():
    config = saddle_escape.PROFILES["quick"]
    widths = config.widths(64, 10)
    origin, zero = (
        saddle_escape.network(config, widths, "tanh", start, 0).weights for start in ("origin", "zero-rank")
    )
    same = [torch.equal(a, b) for a, b in zip(origin, zero, strict=True)]
    assert same == [True, True, False, True]
    bound = config.width**-0.5
    assert 0.9 * bound < float(zero[-2].detach().abs().max()) <= bound
    assert float(origin[-2].detach().std()) == pytest.approx(config.init, rel=0.2)


def test_the_plateaus_of_linear_maps_are_those_of_reduced_rank_regression():
    config = saddle_escape.PROFILES["quick"]
    whole = dataclasses.replace(config, batch_size=config.images)
    losses = saddle_escape.linear_plateaus(whole, "digits")["losses"]
    data, used = saddle_escape.images_of(config, "digits")
    assert used == "digits"
    x, y = np.asarray(data.x), np.asarray(data.y)
    assert losses[0] == pytest.approx(float(np.mean(np.sum(y**2, axis=1)) / 2), rel=1e-12)
    left, values, _ = np.linalg.svd(x, full_matrices=False)
    left = left[:, values > 1e-10 * values[0]]
    gains = np.linalg.svd(left.T @ y)[1] ** 2 / (2 * len(y))
    assert_close(losses, losses[0] - np.cumsum([0.0, *gains[:2]]), size=x.shape[1], scale=float(losses[0]))
