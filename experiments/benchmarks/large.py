"""A stream of 1e7 samples, and the ends of a Hessian of 1e7 weights, each done once.

The processor time is what counts on a machine that has other things to do. The peak is that of the process
until then.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

import numpy as np

from experiments.benchmarks._timing import Effort, Row, quartiles
from experiments.benchmarks.spectrum import problem
from pctheory import Data, extreme_eigenvalues

Result = TypeVar("Result")

INPUTS, OUTPUTS, BATCH = 784, 10, 5000
WIDTHS = (INPUTS, 2048, 2048, 2048, OUTPUTS)


def rows(effort: Effort) -> Iterator[Row | str]:
    """The stream, its moments against those of an array, and both ends of the spectrum."""
    many, few = (10**7, 10**5) if effort.full else (2 * BATCH, BATCH)
    found, row = once("moments of a stream", f"{many} samples of {INPUTS}", many, lambda: streamed(many))
    yield row
    whole = [np.concatenate(part) for part in zip(*samples(few), strict=True)]
    exact = np.hstack(whole).T @ np.hstack(whole) / few
    data = streamed(few)
    moments = np.block([[data.xx, data.yx.T], [data.yx, data.yy]])
    error = np.abs(moments - exact).max() / np.abs(exact).max()
    far = np.abs(found.xx - np.eye(INPUTS)).max() * many**0.5
    yield (
        f"moments of a stream: {few} samples differ from those in one array by {error:.0e}; "
        f"of {many} by {far:.1f} / sqrt(samples) from the distribution's."
    )
    net, energy = problem(WIDTHS if effort.full else (INPUTS, 16, OUTPUTS))
    size = f"{net.num_weights} weights"
    ends, row = once(
        "ends of the Hessian of F*", size, net.num_weights, lambda: extreme_eigenvalues(energy, net)
    )
    yield row
    yield (
        f"ends of the Hessian of F*, {size}: {ends.smallest[0]:.5g} and {ends.largest[0]:.5g}, residuals "
        f"{ends.smallest_residuals[0]:.0e} and {ends.largest_residuals[0]:.0e}."
    )


def once(task: str, size: str, scale: float, call: Callable[[], Result]) -> tuple[Result, Row]:
    """What the call returns, and its row."""
    wall, processor = time.perf_counter(), time.process_time()
    result = call()
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    note = f"one call, {processor:.0f} s of processor time, peak memory {peak:.2f} GB"
    return result, Row(task, size, scale, quartiles(np.array([wall])), note=note)


def streamed(count: int) -> Data:
    """The moments of so many samples."""
    return Data.from_batches(samples(count))


def samples(count: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Gaussian inputs and noisy linear targets, batch by batch."""
    rng = np.random.default_rng(0)
    teacher = rng.standard_normal((INPUTS, OUTPUTS)) / INPUTS**0.5
    for _ in range(count // BATCH):
        x = rng.standard_normal((BATCH, INPUTS))
        yield x, x @ teacher + 0.1 * rng.standard_normal((BATCH, OUTPUTS))
