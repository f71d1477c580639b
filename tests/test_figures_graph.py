"""The figure of the balance law on graphs, on the data of its quick profile."""

import numpy as np
import pytest
from figure_checks import drawn, quick

from experiments import graph_balance as experiment
from figures import graph_balance as figure


@pytest.mark.claim("graph-balance")
def test_along_training_the_imbalance_of_every_node_grows_as_its_errors_say():
    result = quick(experiment)
    for kind in experiment.EDGES:
        table = result["graphs"][kind]
        np.testing.assert_allclose(table["measured"], table["predicted"], atol=1e-7)
        assert np.all(np.diff(table["predicted"], axis=0) > 0)
        assert np.all(table["loss"] > table["energy"])
    shown = [result["graphs"][kind]["predicted"][1:, 0] for kind in experiment.EDGES]
    drawn(figure, result, panels=2, shown=shown)
