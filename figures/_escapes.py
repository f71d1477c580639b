"""What the figures of leaving saddles share: iterations to a level of the loss, and how they are written."""

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import ArrayLike

from figures import _names


def iterations_to(steps: ArrayLike, losses: ArrayLike, fraction: float) -> np.ndarray:
    """First iteration at which the loss is at most this fraction of the first one, per seed; NaN: not
    reached.

    `losses` is (seeds, records); between two records the loss is interpolated.
    """
    at, found = np.asarray(steps, dtype=float), []
    for row in np.asarray(losses, dtype=float):
        below = np.flatnonzero(row <= fraction * row[0])
        if len(below) == 0:
            found.append(np.nan)
        elif below[0] == 0:
            found.append(0.0)
        else:
            k = below[0]
            part = (row[k - 1] - fraction * row[0]) / (row[k - 1] - row[k])
            found.append(at[k - 1] + part * (at[k] - at[k - 1]))
    return np.array(found)


def span(values: ArrayLike, otherwise: str = "not reached", digits: int = 2) -> str:
    """Smallest and largest of the finite values, and how many are not; `otherwise` when none is finite."""
    every = np.ravel(np.asarray(values, dtype=float))
    finite = every[np.isfinite(every)]
    if len(finite) == 0:
        return otherwise
    ends = dict.fromkeys(rounded(v, digits) for v in (finite.min(), finite.max()))
    missing = len(every) - len(finite)
    return "-".join(ends) + (f" ({missing} not)" if missing else "")


def rounded(value: float, digits: int = 2) -> str:
    """The value to so many significant digits, without an exponent where that is readable."""
    short = float(f"{value:.{digits}g}")
    return f"{short:g}" if short >= 1e6 or short < 1e-3 else f"{short:.10g}"


def each(activations: Iterable[str], text: Callable[[str], str]) -> str:
    """A text for each activation, after its name."""
    return ", ".join(f"{_names.activation(name)} {text(name)}" for name in activations)
