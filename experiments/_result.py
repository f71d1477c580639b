"""Results as arrays by name, and their files: those of `pctheory.sweeps`."""

from pctheory.sweeps import DamagedError, Result, read_result, write_atomically, write_result

__all__ = ["DamagedError", "Result", "read_result", "write_atomically", "write_result"]
