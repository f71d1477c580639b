"""Both ends of the spectrum of the Hessian of the equilibrated energy in the weights, by Lanczos.

Random data of 784 inputs and 10 outputs, streamed. Goal for 1e7 weights: ten minutes and 4 GB.
"""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator

import numpy as np

from experiments.benchmarks._timing import Effort, Row, compared, quartiles, seconds_of
from pctheory import Data, EquilibratedEnergy, LinearPCN, extreme_eigenvalues

DENSE = (16, 24, 24, 10)  # 1200 weights: the dense Hessian is an alternative
LARGE = ((784, 256, 256, 10), (784, 1024, 1024, 10))


def rows(effort: Effort) -> Iterator[Row | str]:
    """The ends by Lanczos: against dense eigenvalues where that fits, alone where it does not."""
    net, energy = problem(DENSE if effort.full else (2, 3, 2))
    exact = np.linalg.eigvalsh(energy.hessian(net))
    calls: dict[str, Callable[[], object]] = {
        "ours": lambda: extreme_eigenvalues(energy, net),
        "dense eigenvalues": lambda: np.linalg.eigvalsh(energy.hessian(net)),
    }
    ends = extreme_eigenvalues(energy, net)
    error = max(abs(ends.smallest[0] - exact[0]), abs(ends.largest[0] - exact[-1])) / abs(exact).max()
    note = f"relative difference {error:.0e}"
    yield from compared(
        "ends of the Hessian of F*", f"{net.num_weights} weights", net.num_weights, calls, 3, note
    )
    for widths in LARGE if effort.full else ():
        net, energy = problem(widths)
        seconds = quartiles(np.array([seconds_of(lambda: extreme_eigenvalues(energy, net))]))  # noqa: B023
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        size = f"{net.num_weights} weights"
        note = f"one call, peak memory {peak:.2f} GB"
        yield Row("ends of the Hessian of F*", size, net.num_weights, seconds, note=note)


def problem(widths: tuple[int, ...]) -> tuple[LinearPCN, EquilibratedEnergy]:
    """A network at initialisation, and the energy of noisy linear data."""
    rng = np.random.default_rng(0)
    teacher = rng.standard_normal((widths[-1], widths[0])) / widths[0] ** 0.5
    parts = (Data.teacher(teacher, 500, noise=0.1, rng=rng) for _ in range(4))
    return LinearPCN.random(widths, rng=rng), EquilibratedEnergy(Data.from_batches((p.x, p.y) for p in parts))
