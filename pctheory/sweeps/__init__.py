"""Sweeps over settings and seeds: in processes, each cell kept as soon as it is done."""

from .grid import Sweep, sweep
from .progress import BACKENDS, Progress
from .results import DamagedError, Result, read_result, write_atomically, write_result

__all__ = [
    "BACKENDS",
    "DamagedError",
    "Progress",
    "Result",
    "Sweep",
    "read_result",
    "sweep",
    "write_atomically",
    "write_result",
]
