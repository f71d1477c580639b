"""The equilibrium figures, on the data of their quick profiles."""

import numpy as np
import pytest
from figure_checks import drawn, quick

from experiments import equilibrium_energy, inference_landscape
from figures import equilibrium_energy as equilibrium_figure
from figures import inference_landscape as landscape_figure

pytestmark = pytest.mark.evidence("empirical")


@pytest.fixture(scope="module")
def energies():
    return quick(equilibrium_energy)


@pytest.fixture(scope="module")
def landscape():
    return quick(inference_landscape)


@pytest.mark.claim("equilibrated-energy")
def test_the_energy_after_inference_is_the_closed_form_along_training(energies):
    tolerance = equilibrium_energy.PROFILES["quick"].tolerance
    for cell in energies["cells"].values():
        excess = np.asarray(cell["numerical"]) / cell["exact"] - 1
        assert np.all(excess >= -1e-5)  # F* is the minimum (inference is in float32)
        assert np.all(
            excess <= 10 * tolerance
        )  # the floor of the solver: many activities, each uncertain by it
        tight = np.asarray(cell["by_time_tight"])
        assert np.all(np.diff(tight) <= 1e-6 * tight[0])  # inference only ever lowers the energy
        assert 0 <= tight[-1] / cell["exact_final"] - 1 <= 1e-4
        assert cell["by_time"][0] < cell["loss_final"]
    curves = [cell[kind] for cell in energies["cells"].values() for kind in ("numerical", "exact")]
    drawn(equilibrium_figure, energies, panels=2, shown=curves)


@pytest.mark.claim("equilibrium-errors")
@pytest.mark.claim("activity-hessian")
def test_every_solver_ends_at_the_closed_form_minimum(landscape):
    two = landscape["two"]
    start = np.hypot(2 - two["z_star"][0], -2 - two["z_star"][1])
    for path in two["paths"].values():
        assert np.hypot(*(path[-1] - two["z_star"])) < start
    one = landscape["one"]
    parabola = one["energy_star"] + 0.5 * one["curvature"] * (one["z"] - one["z_star"]) ** 2
    np.testing.assert_allclose(one["energy"], parabola, rtol=1e-12)
    for deep in landscape["deep"].values():
        for end in ("smallest", "largest"):
            curve = 0.5 * deep[end] * deep["distance"] ** 2
            np.testing.assert_allclose(deep["slices"][end], curve, atol=1e-10 * deep["largest"])
    curves = [landscape["one"]["energy"]] + [path[:, 1] for path in two["paths"].values()]
    drawn(landscape_figure, landscape, panels=5, shown=curves)
