"""The figures that show the theory at a glance, on the data of their quick profiles, and the films."""

import io

import numpy as np
import pytest
from figure_checks import drawn, quick
from matplotlib.figure import Figure
from PIL import Image

from experiments import compute_matched, hero_landscape, learning_movie, map_of_the_theory
from figures import compute_matched as compute_figure
from figures import hero_landscape as hero_figure
from figures import learning_movie as movie_figure
from figures import map_of_the_theory as map_figure
from figures._film import Film
from pctheory import Data, EquilibratedEnergy, MSELoss, finite_time_energy
from pctheory.nn import PC, Adaptive, ErrorDescent

FILMED = [(hero_landscape, hero_figure), (learning_movie, movie_figure)]


@pytest.mark.claim("equilibrium-errors")
@pytest.mark.claim("equilibrated-energy")
def test_the_steps_of_the_map_are_what_their_headings_say():
    result = quick(map_of_the_theory)
    network, inference = result["network"], result["inference"]
    assert network["gradient"] < 1e-12
    assert np.allclose(network["before"][:-1], 0)
    assert np.sum(network["after"] ** 2) < np.sum(network["before"] ** 2)
    descent = inference["path"] - inference["minimum"]
    assert np.all(np.diff(np.linalg.norm(descent, axis=1)) < 0)
    assert np.all(result["critical"]["pc"]["strict"])
    line, at = result["saddle"]["last"], result["saddle"]["at"]
    np.testing.assert_allclose(line["bp"], 0.5)
    np.testing.assert_allclose(line["pc"], 0.5 / (1 + at**2))
    n = map_figure.numbers(result)
    assert float(n["pc-energy-half"]) < float(n["pc-half"]) < float(n["bp-half"])
    distance = result["limit"]["distance"].mean(axis=0)
    assert distance[-1] < distance[0]
    shown = [line["pc"], result["flows"]["pc"]["pc"], result["critical"]["pc"]["value"]]
    drawn(map_figure, result, panels=6, shown=shown)


@pytest.mark.claim("cascade")
def test_predictive_coding_reaches_half_of_every_mode_sooner_and_its_energy_falls_first():
    result = quick(learning_movie)
    film, strengths = result["film"], result["strengths"]
    assert np.all(result["half"]["pc"] < result["half"]["bp"])
    for rule in ("bp", "pc"):
        run = film[rule]
        assert np.all(run["energy"] <= run["loss"] + 1e-12)
        # what is left of the strengths is a part of the loss, all of it where the rest of the map is zero
        rest = 0.5 * np.sum((run["modes"] - strengths) ** 2, axis=1)
        assert np.all(rest <= run["loss"] + 1e-9)
        assert np.all(np.diff(run["loss" if rule == "bp" else "energy"]) < 0)
    assert film["pc"]["rescaling"][-1, 0] > film["bp"]["rescaling"][-1, 0]
    early = film["pc"]["energy"][0] / 2
    assert np.argmax(film["pc"]["energy"] < early) <= np.argmax(film["pc"]["loss"] < early)
    drawn(movie_figure, result, panels=6, shown=[film["pc"]["loss"], *film["bp"]["modes"].T])


def test_the_time_to_half_is_interpolated_and_infinite_if_never_reached():
    config = learning_movie.Config(strengths=(2.0, 1.0), end=2.0, points=3)
    modes = np.array([[0.0, 0.0], [0.5, 0.1], [1.5, 0.2]])
    np.testing.assert_allclose(learning_movie.halves(config, modes), [1.5, np.inf])


@pytest.mark.claim("finite-time-energy")
def test_the_film_leads_from_the_loss_to_the_energy_by_the_energies_of_inference():
    config, result = hero_landscape.PROFILES["quick"], quick(hero_landscape)
    film, data = result["film"], Data.toy(config.batch_size, rng=config.seed)
    net = hero_landscape.chain(np.array([film["u"][2], film["v"][1]]) @ hero_landscape.TIED)
    for steps, values in zip(film["steps"], film["values"], strict=True):
        expected = float(finite_time_energy(net, data, config.inference_step, int(steps)))
        assert values[1, 2] == pytest.approx(expected, rel=1e-12)
    every = slice(None, None, config.film_every)
    np.testing.assert_allclose(film["values"][0], result["bp"]["values"][every, every])
    assert np.all(film["values"] >= result["pc"]["values"][every, every] - 1e-12)
    assert MSELoss(data).value(net) > film["values"][1][1, 2] > EquilibratedEnergy(data).value(net)


def test_a_film_shows_its_frames_and_is_the_same_twice():
    def frame(fig, result, index):
        fig.subplots().plot(result[: index + 1], "o-")

    film = Film((2.0, 1.0), len, frame)
    once = film.render([0.0, 1.0, 0.5])
    assert once == film.render([0.0, 1.0, 0.5])
    with Image.open(io.BytesIO(once)) as picture:
        assert picture.n_frames == 3


@pytest.mark.parametrize(("experiment", "figure"), FILMED)
def test_the_last_frame_of_a_film_shows_the_end(experiment, figure):
    result, fig = quick(experiment), Figure(figsize=figure.FILM)
    figure.frame(fig, result, figure.frames(result) - 1)
    assert figure.frames(result) > 1
    lines = [np.asarray(line.get_ydata()) for ax in fig.axes for line in ax.lines]
    end = result["film"]["pc"]["loss"] if "pc" in result["film"] else result["film"]["values"][-1][:, 1]
    assert any(np.shape(y) == np.shape(end) and np.allclose(y, end) for y in lines)


@pytest.mark.evidence("empirical")
def test_all_rules_get_the_same_passes_and_their_counts_are_those_of_their_methods():
    config, result = compute_matched.PROFILES["quick"], quick(compute_matched)
    first = {rule: run["passes"][0, 0] for rule, run in result["runs"].items()}
    assert first["bp"] == 1
    for rule in ("gd", "momentum", "adam", "error"):
        assert first[rule] == 2 * config.hidden
    for rule, run in result["runs"].items():
        kept = np.isfinite(run["passes"])
        assert np.all(np.diff(run["passes"][0][kept[0]]) > 0)
        assert config.passes / 2 < np.nanmax(run["passes"]) <= 2 * config.passes + 16 * config.points, rule
        assert run["rate"] == config.rates[int(np.nanargmax(run["swept"]))]
    assert compute_figure.at_common(result, "bp").shape == (config.seeds,)
    model = compute_matched.network(config, (64, 10), 0)
    near, error = (compute_matched.learning(config, rule, model) for rule in ("near", "error"))
    assert isinstance(near, PC)
    assert isinstance(near.method, Adaptive)
    assert near.precision > 1
    assert isinstance(error.method, ErrorDescent)
    losses = np.asarray(result["runs"]["bp"]["loss"])
    losses = losses[:, np.isfinite(losses).all(axis=0)]
    drawn(compute_figure, result, panels=4, shown=[np.mean(losses, axis=0)])
