"""Times of alternatives, measured side by side, and their ratios."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable

import numpy as np

Quartiles = tuple[float, float, float]


@dataclasses.dataclass(frozen=True)
class Effort:
    """How much is measured: full sizes or small ones, repetitions of each call, threads."""

    full: bool = True
    repetitions: int = 15
    threads: int = 1


@dataclasses.dataclass(frozen=True)
class Row:
    """One task at one size: our quartiles of seconds, and those of an alternative where there is one.

    Parameters
    ----------
    task, size : str
        What was done, and to what.
    scale : float
        The size as a number: where the row stands in the figure.
    seconds : (lower quartile, median, upper quartile)
        Of one call.
    against : str
        The alternative; empty if there is none.
    reference : quartiles or None
        Its seconds.
    ratio : quartiles or None
        Its seconds over ours, from the repetitions one by one: how many times as fast we are.
    note : str
        Accuracy, memory, threads.
    """

    task: str
    size: str
    scale: float
    seconds: Quartiles
    against: str = ""
    reference: Quartiles | None = None
    ratio: Quartiles | None = None
    note: str = ""


def seconds_of(call: Callable[[], object]) -> float:
    """Wall seconds of one call; a call that returns a float has measured itself."""
    start = time.perf_counter()
    result = call()
    return result if isinstance(result, float) else time.perf_counter() - start


def compared(
    task: str,
    size: str,
    scale: float,
    calls: dict[str, Callable[[], object]],
    repetitions: int,
    note: str = "",
) -> list[Row]:
    """The first call against each of the others.

    The repetitions of all calls are interleaved, so that a change of the machine's speed hits all alike, and
    each call is made once before to warm up.
    """
    for call in calls.values():
        call()
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repetitions):
        for name, call in calls.items():
            times[name].append(seconds_of(call))
    ours, *others = (np.array(t) for t in times.values())
    names = list(calls)[1:]
    if not names:
        return [Row(task, size, scale, quartiles(ours), note=note)]
    return [
        Row(task, size, scale, quartiles(ours), name, quartiles(other), quartiles(other / ours), note)
        for name, other in zip(names, others, strict=True)
    ]


def quartiles(values: np.ndarray) -> Quartiles:
    """Lower quartile, median, upper quartile."""
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
    return float(low), float(middle), float(high)
