"""The rule for figures is measured right: fonts, letters, colours under deuteranopia, and the table of it."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from figures import _rule
from figures._figure import Drawn
from figures._outcome import outcome
from figures._panels import few_decades
from figures._table import table


def test_colours_lie_where_cielab_has_them():
    # of the sRGB primaries and white, as tabulated for D65
    np.testing.assert_allclose(_rule.lab([1.0, 1.0, 1.0]), [100, 0, 0], atol=0.02)
    np.testing.assert_allclose(_rule.lab([1.0, 0.0, 0.0]), [53.24, 80.09, 67.20], atol=0.02)
    np.testing.assert_allclose(_rule.lab([0.0, 0.0, 1.0]), [32.30, 79.19, -107.86], atol=0.02)
    np.testing.assert_allclose(_rule.lab([0.0, 0.0, 0.0]), 0, atol=1e-12)


def test_without_green_cones_red_and_green_meet_and_greys_stay():
    greys = np.repeat(np.linspace(0, 1, 5)[:, None], 3, axis=1)
    np.testing.assert_allclose(_rule.deuteranopia(greys), greys, atol=1e-5)
    red, green, blue = (0.8, 0.35, 0.2), (0.55, 0.55, 0.2), (0.2, 0.35, 0.8)
    apart = np.linalg.norm(_rule.lab(red) - _rule.lab(green))
    assert _rule.distance(red, green) < 0.4 * apart
    assert _rule.distance(red, blue) > 60
    assert _rule.distance(red, red) == 0


def panel(*, letter="a", size=8.0):
    fig = Figure()
    ax = fig.subplots()
    ax.text(0, 0, letter, fontweight="bold", fontsize=9)
    ax.text(0, 0, "words", fontsize=size)
    return fig, ax


def test_two_lines_of_one_style_are_told_apart_by_their_colours_alone():
    fig, ax = panel()
    ax.plot([0, 1], color="#cc5933")
    ax.plot([0, 1], "--", color="#8c8c33")
    ax.axhline(0.5, color="#cc5a33")
    assert _rule.closest_colours(fig) is None
    ax.plot([1, 2], color="#8c8c33")
    apart, where = _rule.closest_colours(fig)
    assert apart == pytest.approx(_rule.distance((0.8, 0.349, 0.2), (0.549, 0.549, 0.2)), rel=0.01)
    assert where == "panel 0: line -, marker None, #8c8c33 and #cc5933"
    ax.plot([2, 3], color="#cc5933", alpha=0.98)  # a little fainter, on white
    assert _rule.closest_colours(fig)[0] < apart


def test_fonts_and_letters_are_those_that_are_seen():
    fig, ax = panel(size=5.5)
    assert _rule.looks(fig) == {"panels": 1, "font": 5.5}
    ax.texts[1].set_visible(False)
    assert _rule.smallest_font(fig) > _rule.FONT
    fig.add_axes((0.5, 0.5, 0.1, 0.1)).text(0, 0, "b", fontweight="bold")
    assert _rule.letters(fig) == "ab"
    fig.axes[1].set_axis_off()
    assert len(_rule.panels(fig)) == 1


def test_the_table_names_verdict_looks_and_scale():
    caption = "A message. More, $x + y$. (scaled down: width N 4 instead of 8; 2 seeds.)"
    drawn = Drawn(
        "one-figure", "One", "SAD 1", (4.0, 2.0), "scaled down", caption, [], "cpu", False, 1.0, {},
        [outcome("x", "y", True)], 2, {"panels": 3, "font": 7.5},
    )  # fmt: skip
    *_, row = table([drawn]).splitlines()
    assert (
        row == "| one-figure | agrees | 4 | 3 | 7.5 | - | 2 | scaled down: width N 4 instead of 8; 2 seeds. |"
    )


def test_an_axis_of_few_decades_has_its_numbers_written_out():
    fig, ax = panel()
    ax.plot([0.3, 3.0])
    ax.set_yscale("log")
    few_decades(ax.yaxis)
    fig.canvas.draw()
    assert {"0.5", "1", "2"} <= {label.get_text() for label in ax.get_yticklabels()}
