"""Curves: theory lines, measured markers, spread over seeds, spectra."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike

from pctheory import _check
from pctheory.plotting.theme import COLOURS


def theory(ax: Axes, x: ArrayLike, y: ArrayLike, label: str | None = "theory", **options: Any) -> Line2D:
    """A closed form: a black line, above the measurements it explains."""
    options = {"color": COLOURS["theory"], "linewidth": 0.9, "zorder": 4, **options}
    return ax.plot(np.asarray(x), np.asarray(y), label=label, **options)[0]


def measured(ax: Axes, x: ArrayLike, samples: ArrayLike, label: str | None = None, **options: Any) -> Line2D:
    """A measurement: markers at the mean, with bars of one standard deviation where there are several
    samples.

    Parameters
    ----------
    ax
        where it is drawn
    x : (n,)
        where the points are
    samples : (n,) or (seeds, n)
        one value per point, or one row per seed
    label
        in the legend
    **options
        of matplotlib, for the line or the markers

    Returns
    -------
    Line2D
        the markers at the mean
    """
    values = np.asarray(samples, dtype=np.float64)
    options = {
        "color": COLOURS["pc"],
        "marker": "o",
        "linestyle": "none",
        "markeredgecolor": "white",
        **options,
    }
    if values.ndim == 1:
        return ax.plot(np.asarray(x), values, label=label, **options)[0]
    container = ax.errorbar(
        np.asarray(x), values.mean(axis=0), values.std(axis=0), label=label, elinewidth=0.8, **options
    )
    line: Line2D = container.lines[0]
    return line


def spread(
    ax: Axes, x: ArrayLike, samples: ArrayLike, color: str, label: str | None = None, **options: Any
) -> Line2D:
    """Mean over seeds as a line, one standard deviation as a band; a diverged seed is drawn as diverged.

    A seed with a value that is not finite is left out of mean and band, drawn as a thin line up to its last
    finite value, and marked there with a cross. On a logarithmic axis (set it before) mean and deviation are
    those of the logarithm, so that the band stays positive.

    Parameters
    ----------
    ax
        where it is drawn
    x : (n,)
        where the points are
    samples : (n,) or (seeds, n)
        one value per point, or one row per seed
    color, label
        of the line, and its name in the legend
    options
        of the mean's line

    Returns
    -------
    Line2D
        of the mean

    Raises
    ------
    ValueError
        If `samples` does not have one column per entry of `x`.
    """
    values = np.atleast_2d(np.asarray(samples, dtype=np.float64))
    at = np.asarray(x, dtype=np.float64)
    if values.shape[1:] != at.shape:
        raise ValueError(
            f"`samples` must have one column per entry of `x`, so shape (seeds, {at.size}). Got "
            f"{values.shape}: "
            "transpose it or cut `x`."
        )
    finite = np.isfinite(values).all(axis=1)
    for row in values[~finite]:
        valid = np.isfinite(row)
        last = int(np.argmin(valid))  # index of the first value that is not finite
        ax.plot(at[:last], row[:last], color=color, linewidth=0.5, alpha=0.7)
        if last > 0:
            ax.plot(at[last - 1], row[last - 1], marker="x", color=color, markersize=4.5, markeredgewidth=1.0)
    kept = values[finite]
    if kept.shape[0] == 0:
        return ax.plot([], [], color=color, label=label, **options)[0]
    logarithmic = ax.get_yscale() == "log" and bool((kept > 0).all())
    scaled = np.log(kept) if logarithmic else kept
    centre, width = scaled.mean(axis=0), scaled.std(axis=0)
    lower, middle, upper = (np.exp(v) if logarithmic else v for v in (centre - width, centre, centre + width))
    if kept.shape[0] > 1:
        ax.fill_between(at, lower, upper, color=color, alpha=0.2, linewidth=0)
    return ax.plot(at, middle, color=color, label=label, **options)[0]


def spectrum(
    ax: Axes,
    eigenvalues: ArrayLike,
    predicted: ArrayLike | None = None,
    *,
    kind: str = "sorted",
    color: str = COLOURS["pc"],
    label: str | None = None,
    bins: int = 40,
) -> None:
    """Eigenvalues and, in black, what theory says of them.

    Parameters
    ----------
    ax
        where it is drawn
    eigenvalues : (n,)
        measured
    predicted
        kind "sorted": (n,) eigenvalues; kind "density": (2, m), points and density
    kind
        "sorted": eigenvalue against rank, smallest first; "density": histogram of unit area
    color, label, bins
        colour and name of the measured ones, and the number of bins of a histogram
    """
    values = np.sort(np.asarray(eigenvalues, dtype=np.float64).ravel())
    expected = None if predicted is None else np.asarray(predicted, dtype=np.float64)
    if _check.choice(kind, "kind", ("sorted", "density")) == "density":
        ax.hist(values, bins=bins, density=True, color=color, alpha=0.55, linewidth=0, label=label)
        if expected is not None:
            theory(ax, expected[0], expected[1])
        ax.set_ylim(bottom=0)
        return
    rank = np.arange(1, values.size + 1)
    ax.axhline(0.0, color=COLOURS["quiet"], linewidth=0.5, zorder=0)
    ax.plot(rank, values, "o", color=color, markeredgecolor="white", label=label, zorder=3)
    if expected is not None:
        # steps, centred on the ranks: a degenerate eigenvalue shows as a plateau
        ax.step(
            np.append(rank, values.size + 1) - 0.5,
            np.append(np.sort(expected), np.max(expected)),
            where="post",
            color=COLOURS["theory"],
            linewidth=0.9,
            label="theory",
            zorder=2,
        )
