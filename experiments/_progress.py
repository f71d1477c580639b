"""How a `run` goes through its cells: that of `pctheory.sweeps`."""

from pctheory.sweeps import BACKENDS, Progress

__all__ = ["BACKENDS", "Progress"]
