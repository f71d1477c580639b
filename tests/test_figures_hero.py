"""The picture of the README: its surfaces are the two formulas it names, and its paths descend them."""

import importlib

import numpy as np
from figure_checks import drawn, quick

from experiments import hero_landscape
from pctheory import Data


def test_the_surfaces_are_the_formulas_of_the_caption_and_the_paths_descend_them():
    config = hero_landscape.PROFILES["quick"]
    result = quick(hero_landscape)
    moment = float(np.mean(Data.toy(config.batch_size, rng=config.seed).x ** 2))

    def values(u, v):
        loss = (1 + v * u**2) ** 2 * moment / 2
        return {"bp": loss, "pc": loss / (1 + v**2 + v**2 * u**2)}

    grid = values(*np.meshgrid(result["u"], result["v"]))
    for rule in ("bp", "pc"):
        path, heights = result[rule]["path"], result[rule]["heights"]
        assert np.allclose(result[rule]["values"], grid[rule], rtol=1e-12)
        assert np.allclose(heights, values(*path.T)[rule], rtol=1e-12)
        assert np.allclose(result[rule]["losses"], values(*path.T)["bp"], rtol=1e-12)
        assert np.all(np.diff(heights) <= 1e-15)
    assert np.allclose(result["origin"]["bp"], 0)
    assert np.allclose(result["origin"]["pc"], [-moment, 0])
    figure = importlib.import_module("figures.hero_landscape")
    assert figure.numbers(result)["pc"] < figure.numbers(result)["bp"]
    curves = [result[rule]["losses"] for rule in ("bp", "pc")]
    drawn(figure, result, panels=3, shown=curves)
