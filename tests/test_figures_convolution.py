"""The figure of the convolutional network, on the data of its quick profile."""

import numpy as np
import pytest
from figure_checks import drawn, quick

from experiments import saddle_escape_conv
from figures import saddle_escape_conv as figure

pytestmark = pytest.mark.evidence("empirical")


@pytest.mark.claim("origin-hessian-energy")
def test_a_convolutional_network_leaves_the_origin_sooner_by_predictive_coding():
    result = quick(saddle_escape_conv)
    for runs in result["curves"].values():
        losses = {method: np.asarray(runs[method]["loss"])[0] for method in saddle_escape_conv.RUNS}
        assert losses["bp"][0] == losses["pc"][0]
        assert runs["pc"]["norm"][0][0] > 3 * runs["bp"]["norm"][0][0]
        assert figure.escape(runs["pc"])[0] < figure.escape(runs["bp"])[0] <= runs["bp"]["step"][-1]
        for run in runs.values():
            assert np.shape(run["change"]) == (1, 3)
            assert np.min(run["change"]) > 1  # every kernel grew beyond what it was
    runs = result["curves"]["relu"]
    drawn(figure, result, panels=3, shown=[run["change"] for run in runs.values()])
