"""The figures of depth, on the data of their quick profiles."""

import numpy as np
import pytest
from figure_checks import drawn, quick

from experiments import precision_homotopy, s_stable_limit
from figures import precision_homotopy as homotopy_figure
from figures import s_stable_limit as stable_figure


@pytest.mark.claim("s-stable-limit")
def test_networks_are_nearer_to_their_own_limit_than_to_that_of_backprop():
    result = quick(s_stable_limit)
    for case in ("plain", "residual"):
        part = result[case]
        wide = part["losses"][0, -1].mean(axis=0)
        own, backprop = (np.abs(wide - part["field"][k])[1:] for k in (1, 0))
        assert np.all(own < 0.5 * backprop)
        error = part["cosines"].std(axis=1, ddof=1) / np.sqrt(part["cosines"].shape[1])
        assert np.all(np.abs(part["cosines"].mean(axis=1) - part["predicted"]) < 5 * error + 1e-4)
    shown = [result["plain"]["field"][1], result["plain"]["predicted"], result["residual"]["predicted"]]
    drawn(stable_figure, result, panels=3, shown=shown)


@pytest.mark.claim("precision-homotopy")
def test_the_kept_rescaling_is_faster_than_every_schedule_tried():
    result = quick(precision_homotopy)
    table = result["L = 4"]
    rules = dict(zip(precision_homotopy.RULES, table["measured"], strict=True))
    assert np.all(rules["kept"] < rules["best"])
    assert np.all(rules["best"] < rules["unit"])
    assert np.all(rules["unit"] < rules["bp"])
    np.testing.assert_allclose(rules["kept"], table["predicted"][-1], rtol=0.05)
    assert result["schedules"].min() > 0.999
    assert result["kept measured"][0].argmin() == list(result["rescalings"]).index(2.0)
    drawn(homotopy_figure, result, panels=3, shown=[*table["measured"], result["kept predicted"][0]])
