"""The drawing helpers put on the axes what they are given: data are tested, not pixels."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from pctheory import plotting


@pytest.fixture
def fig() -> Iterator[Figure]:
    with plotting.style():
        yield Figure(figsize=(plotting.WIDTH, 2.5), layout="constrained")


@pytest.fixture
def ax(fig: Figure) -> Axes:
    return fig.subplots()


def _luminance(colour: str) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear))


def test_style_lasts_as_long_as_its_context_and_forgets_the_users_own() -> None:
    with mpl.rc_context({"lines.linewidth": 7.0, "font.size": 3.0}):
        with plotting.style():
            assert (mpl.rcParams["lines.linewidth"], mpl.rcParams["mathtext.fontset"]) == (1.2, "stix")
            assert mpl.rcParams["text.usetex"] is False
        assert (mpl.rcParams["lines.linewidth"], mpl.rcParams["font.size"]) == (7.0, 3.0)


def test_style_keeps_the_mode_that_a_notebook_sets_with_its_first_figure() -> None:
    assert not mpl.is_interactive()
    try:
        with plotting.style():
            mpl.interactive(True)
        assert mpl.is_interactive()
    finally:
        mpl.interactive(False)


def test_roles_that_meet_differ_without_colour() -> None:
    theory, bp, pc = (_luminance(plotting.COLOURS[role]) for role in ("theory", "bp", "pc"))
    assert theory < 0.01
    assert bp > 0.15
    assert pc - bp > 0.05


@pytest.mark.parametrize("count", [1, 2, 5, 9])
def test_shades_go_from_light_to_dark_and_stop_before_the_black_of_theory(count: int) -> None:
    luminance = [_luminance(colour) for colour in plotting.shades(count)]
    assert len(luminance) == count
    assert all(a > b for a, b in itertools.pairwise(luminance))
    assert min(luminance) > 0.03


def test_low_is_dark_and_zero_is_white() -> None:
    light = [_luminance(plotting.LANDSCAPE(v)) for v in np.linspace(0, 1, 50)]
    assert np.all(np.diff(light) > 0)
    assert _luminance(plotting.DIVERGING(0.5)) > 0.9


def test_spread_is_mean_and_deviation_over_the_seeds_that_did_not_diverge(ax: Axes) -> None:
    x = np.arange(4.0)
    samples = np.array([[1.0, 2.0, 3.0, 4.0], [3.0, 4.0, 5.0, 6.0], [2.0, 9.0, np.inf, np.nan]])
    line = plotting.spread(ax, x, samples, "red", "runs")
    np.testing.assert_array_equal(line.get_ydata(), [2.0, 3.0, 4.0, 5.0])
    band = ax.collections[0].get_paths()[0].vertices
    assert (band[:, 1].min(), band[:, 1].max()) == (1.0, 6.0)
    diverged, cross = ax.lines[0], ax.lines[1]
    np.testing.assert_array_equal(diverged.get_ydata(), [2.0, 9.0])
    assert (cross.get_marker(), cross.get_xdata()[0], cross.get_ydata()[0]) == ("x", 1.0, 9.0)


def test_spread_on_a_logarithmic_axis_is_geometric(ax: Axes) -> None:
    ax.set_yscale("log")
    line = plotting.spread(ax, [0.0, 1.0], [[1.0, 1.0], [100.0, 1e-4]], "red")
    np.testing.assert_allclose(line.get_ydata(), [10.0, 1e-2], rtol=1e-14)
    band = ax.collections[0].get_paths()[0].vertices[:, 1]
    np.testing.assert_allclose([band.min(), band.max()], [1e-4, 100.0], rtol=1e-13)


def test_spread_of_nothing_but_divergence_has_an_empty_mean(ax: Axes) -> None:
    line = plotting.spread(ax, [0.0, 1.0, 2.0], [[np.nan] * 3, [1.0, np.nan, np.nan]], "red", "runs")
    assert line.get_xdata().size == 0
    assert line.get_label() == "runs"


def test_spread_says_which_way_round_samples_lie(ax: Axes) -> None:
    with pytest.raises(ValueError, match=r"`samples` must have one column per entry of `x`.*Got \(3, 2\)"):
        plotting.spread(ax, np.arange(3.0), np.zeros((3, 2)), "red")


def test_theory_is_a_black_line_above_the_measured_markers(ax: Axes) -> None:
    line = plotting.theory(ax, [1, 2], [3, 4])
    dots = plotting.measured(ax, [1, 2], [[1.0, 3.0], [3.0, 5.0]])
    assert line.get_color() == "#000000"
    assert line.get_zorder() > dots.get_zorder()
    np.testing.assert_array_equal(dots.get_ydata(), [2.0, 4.0])
    assert dots.get_linestyle() == "None"


def test_a_spectrum_is_sorted_and_its_prediction_steps_through_it(ax: Axes) -> None:
    plotting.spectrum(ax, [3.0, 1.0, 2.0], [2.0, 3.0, 1.0])
    markers = next(line for line in ax.lines if line.get_marker() == "o")
    np.testing.assert_array_equal(markers.get_ydata(), [1.0, 2.0, 3.0])
    step = next(line for line in ax.lines if line.get_drawstyle() == "steps-post")
    np.testing.assert_array_equal(step.get_xdata(), [0.5, 1.5, 2.5, 3.5])
    np.testing.assert_array_equal(step.get_ydata(), [1.0, 2.0, 3.0, 3.0])


def test_a_spectral_density_has_unit_area(ax: Axes) -> None:
    plotting.spectrum(ax, np.linspace(0, 4, 100), [[0, 4], [0.25, 0.25]], kind="density", bins=8)
    area = sum(patch.get_width() * patch.get_height() for patch in ax.patches)
    assert area == pytest.approx(1.0, rel=1e-12)
    with pytest.raises(ValueError, match="`kind` must be one of 'sorted', 'density'"):
        plotting.spectrum(ax, [1.0], kind="pie")


def test_a_distribution_is_the_share_of_samples_up_to_each_and_marks_the_median(ax: Axes) -> None:
    plotting.distribution(ax, [3.0, 1.0, 2.0, 2.5, 9.0], "#ff0000", "starts")
    steps, median = ax.lines
    np.testing.assert_array_equal(steps.get_xdata()[1:], [1.0, 2.0, 2.5, 3.0, 9.0])
    np.testing.assert_allclose(steps.get_ydata()[1:], np.arange(1, 6) / 5)
    assert (median.get_xdata()[0], median.get_ydata()[0]) == (2.5, 0.5)
    assert ax.get_legend_handles_labels()[1] == ["starts"]


def test_medians_have_bars_from_the_smallest_seed_to_the_largest(ax: Axes) -> None:
    ax.set_yscale("log")
    plotting.medians(ax, [0.1, 1.0], [[1.0, 5.0], [3.0, 6.0], [100.0, 8.0]], "#ff0000", "PC")
    np.testing.assert_allclose(ax.lines[0].get_xydata(), [[0.1, 3.0], [1.0, 6.0]], rtol=1e-14)
    bars = [segment[:, 1] for segment in ax.collections[0].get_segments()]
    np.testing.assert_allclose(bars, [[1.0, 100.0], [5.0, 8.0]], rtol=1e-12)
    assert ax.get_legend_handles_labels()[1] == ["PC"]


def test_violins_end_with_their_samples_and_show_the_medians(ax: Axes) -> None:
    rng = np.random.default_rng(0)
    samples = [rng.uniform(0, 1, 80), rng.uniform(2, 5, 70)]
    plotting.violins(ax, samples, ["#ff0000", "#0000ff"], ["a", "b"])
    for body, values in zip(ax.collections, samples, strict=True):
        ends = body.get_paths()[0].get_extents()
        np.testing.assert_allclose([ends.y0, ends.y1], [values.min(), values.max()], rtol=1e-12)
    assert [line.get_ydata()[0] for line in ax.lines] == [np.median(values) for values in samples]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["a", "b"]


def test_without_seaborn_the_error_names_what_to_install(ax: Axes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "seaborn", None)
    with pytest.raises(ModuleNotFoundError, match=r"need seaborn.*pip install pctheory\[experiments\]"):
        plotting.distribution(ax, [1.0], "#ff0000")


def test_a_heatmap_has_one_scale_on_both_sides_of_zero_and_lines_between_blocks(ax: Axes) -> None:
    image = plotting.heatmap(ax, [[1.0, -3.0], [0.0, 2.0]], blocks=(1, 1))
    assert (image.norm.vmin, image.norm.vmax) == (-3.0, 3.0)
    assert [line.get_xdata()[0] for line in ax.lines if line.get_xdata()[0] == line.get_xdata()[1]] == [0.5]
    assert plotting.heatmap(ax, np.zeros((2, 2))).norm.vmax == 1.0
    assert plotting.heatmap(ax, np.eye(2), limit=5.0).norm.vmin == -5.0


def test_contour_levels_resolve_valleys_and_arrows_point_down(ax: Axes) -> None:
    x, y = np.linspace(-2, 2, 41), np.linspace(-1, 1, 21)
    z = (x[None, :] ** 2 + 4 * y[:, None] ** 2) ** 3
    v, u = np.gradient(-z, y, x)
    filled = plotting.contour(ax, x, y, z, field=(u, v), levels=10)
    share = np.histogram(z, filled.levels)[0] / z.size
    np.testing.assert_allclose(share, 0.1, atol=0.01)  # every level holds a tenth of the plane
    arrows = ax.collections[-1]
    outwards = arrows.U * arrows.X + arrows.V * arrows.Y
    assert np.all(outwards[np.hypot(arrows.X, arrows.Y) > 0.2] < 0)
    with pytest.raises(ValueError, match=r"must have shape \(len\(y\), len\(x\)\) = \(21, 41\)"):
        plotting.contour(ax, x, y, z.T)


def test_a_flat_landscape_can_be_drawn(fig: Figure) -> None:
    x = np.linspace(-1, 1, 5)
    plotting.contour(fig.add_subplot(1, 2, 1), x, x, np.ones((5, 5)))
    plotting.surface(fig.add_subplot(1, 2, 2, projection="3d"), x, x, np.ones((5, 5)))
    fig.draw_without_rendering()


def test_a_surface_is_cut_at_its_ceiling(fig: Figure) -> None:
    x = np.linspace(-1, 1, 21)
    z = x[None, :] ** 2 + x[:, None] ** 2
    ax = fig.add_subplot(projection="3d")
    plotting.surface(ax, x, x, z, ceiling=0.5)
    fig.draw_without_rendering()
    assert ax.get_zlim()[1] < 0.6


def test_a_path_is_hollow_where_it_starts_and_full_where_it_ends(ax: Axes) -> None:
    line = plotting.path(ax, [[0.0, 0.0], [1.0, 2.0], [3.0, 1.0]], "#ff0000", "way")
    np.testing.assert_array_equal(line.get_xydata(), [[0, 0], [1, 2], [3, 1]])
    start, end = ax.lines[-2:]
    assert (start.get_xdata()[0], start.get_markerfacecolor()) == (0.0, "white")
    assert (end.get_xdata()[0], end.get_markerfacecolor()) == (3.0, "#ff0000")


def test_letters_run_row_by_row(fig: Figure) -> None:
    axes = fig.subplots(2, 2)
    plotting.letter(axes)
    assert [ax.texts[0].get_text() for ax in axes.flat] == ["a", "b", "c", "d"]
    scene = fig.add_subplot(projection="3d")
    plotting.letter([scene], start="e")
    fig.draw_without_rendering()
    assert scene.texts[0].get_text() == "e"


def test_log2_ticks_are_powers_written_as_numbers_where_they_are_sizes(ax: Axes) -> None:
    ax.plot([2, 64], [2.0**-8, 2.0**14])
    plotting.log2_axis(ax, "both")
    ax.figure.draw_without_rendering()
    assert {"2", "8", "64"} < {label.get_text() for label in ax.get_xticklabels()}
    formatted = [ax.yaxis.get_major_formatter()(v, None) for v in (2.0**-3, 1.0, 2048.0, 4096.0)]
    assert formatted == ["$2^{-3}$", "1", "2048", "$2^{12}$"]
    assert all(np.log2(t) == round(np.log2(t)) for t in ax.get_xticks())
    with pytest.raises(ValueError, match="`which` must be one of 'x', 'y', 'both'"):
        plotting.log2_axis(ax, "z")


def test_a_shared_legend_has_each_label_once_and_lies_beside_the_panels(fig: Figure) -> None:
    axes = fig.subplots(1, 2)
    for ax in axes:
        ax.plot([0, 1], label="BP")
        plotting.theory(ax, [0, 1], [1, 0])
    legend = plotting.legend_outside(fig, axes, "bottom")
    fig.draw_without_rendering()
    assert [text.get_text() for text in legend.get_texts()] == ["BP", "theory"]
    box = legend.get_window_extent()
    assert all(not box.overlaps(ax.get_tightbbox()) for ax in axes)


@pytest.mark.parametrize("corner", ["upper left", "upper right", "lower left", "lower right"])
def test_a_note_lies_in_its_corner(ax: Axes, corner: str) -> None:
    plotting.note(ax, "text", corner)
    x, y = ax.texts[0].get_position()
    assert (y > 0.5, x > 0.5) == (corner.startswith("upper"), corner.endswith("right"))
