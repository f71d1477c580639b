"""Median times of alternatives, measured side by side."""

import statistics
import time
from collections.abc import Callable


def medians(functions: dict[str, Callable[[], object]], repetitions: int) -> dict[str, float]:
    """Median wall seconds of each function, the calls interleaved so that a drift of the machine hits all
    alike.
    """
    times: dict[str, list[float]] = {name: [] for name in functions}
    for function in functions.values():
        function()
    for _ in range(repetitions):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}
