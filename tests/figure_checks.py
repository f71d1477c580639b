"""Figures are tested on the data of their quick profiles, and on what they draw: panels, labels, and those
very data.
"""

from functools import cache

import numpy as np
from matplotlib.figure import Figure

from experiments._progress import Progress
from experiments._result import Result
from figures import _rule
from pctheory.plotting import style


@cache
def quick(experiment):
    """The result of an experiment's quick profile, computed once here and stored nowhere."""
    config = experiment.PROFILES["quick"]
    return Result(experiment.run(config, Progress(config)))


def drawn(figure, result, *, panels, shown):
    """The figure, drawn without a warning: with so many panels, all labelled, lettered and none empty, that
    show the arrays, in words that can be read and colours that can be told apart.
    """
    with style():
        fig = Figure(figsize=figure.SIZE, layout="constrained")
        figure.draw(fig, result)
        fig.canvas.draw()
    visible = _rule.panels(fig)
    assert len(visible) == panels
    lettered = _rule.letters(fig)
    assert lettered == "abcdef"[: len(lettered)]
    assert lettered or panels == 1
    assert _rule.smallest_font(fig) >= _rule.FONT
    closest = _rule.closest_colours(fig)
    assert closest is None or closest[0] >= _rule.APART, closest
    for number, ax in enumerate(visible):
        where = f"panel {number}, '{ax.get_title()}'"
        assert any(np.isfinite(values).any() for values in drawn_in(ax)), f"{where} is empty"
        for axis in ("x", "y"):
            assert labelled(ax, axis, visible), f"{where} has no label along {axis}"
    everything = [values for ax in visible for values in drawn_in(ax)]
    for index, array in enumerate(shown):
        wanted = np.asarray(array, dtype=float).ravel()
        assert wanted.size > 0
        assert any(
            v.shape == wanted.shape and np.allclose(v, wanted, rtol=1e-6, atol=0, equal_nan=True)
            for v in everything
        ), f"array {index} of those that the figure must show is not drawn: {wanted}"
    if hasattr(figure, "numbers"):
        assert all(isinstance(v, str | int | float) for v in figure.numbers(result).values())
    return fig


def drawn_in(ax):
    """The numbers behind what a panel holds, each flat."""
    for line in ax.lines:
        yield from (np.asarray(v, dtype=float).ravel() for v in line.get_data())
    for artist in (*ax.images, *ax.collections):
        if artist.get_array() is not None:
            yield np.ma.filled(np.ma.asarray(artist.get_array(), dtype=float), np.nan).ravel()
    for collection in ax.collections:
        if hasattr(collection, "zmin"):  # of contours only the range is kept
            yield np.array([collection.zmin, collection.zmax])
        yield np.ma.filled(np.ma.asarray(collection.get_offsets(), dtype=float), np.nan)[:, 1]
    if ax.patches:
        yield np.array([patch.get_extents().height for patch in ax.patches])


def labelled(ax, axis, panels):
    """Named by itself, by a panel of its column or row, for all panels, by words as ticks, or (upwards) by
    its title.
    """
    ticks = [label.get_text() for label in getattr(ax, f"get_{axis}ticklabels")()]
    words = any(any(c.isalpha() for c in text.replace("mathdefault", "")) for text in ticks)
    named = any(getattr(other, f"get_{axis}label")() for other in panels if beside(ax, other, axis))
    for_all = getattr(ax.figure, f"get_sup{axis}label")()
    return named or words or bool(for_all) or not any(ticks) or (axis == "y" and bool(ax.get_title()))


def beside(ax, other, axis):
    """Whether two panels are one, share the axis, or lie in one column (of x) or one row (of y) of a grid."""
    if other in getattr(ax, f"get_shared_{axis}_axes")().get_siblings(ax):
        return True
    a, b = ax.get_subplotspec(), other.get_subplotspec()
    span = "colspan" if axis == "x" else "rowspan"
    return a.get_gridspec() is b.get_gridspec() and getattr(a, span) == getattr(b, span)
