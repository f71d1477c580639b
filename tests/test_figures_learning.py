"""The figures of learning through inference and of Predify, on the data of their quick profiles."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from experiments import finite_time_inference
from experiments._progress import Progress
from experiments._result import Result
from figures import finite_time_inference as finite_time_figure
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
