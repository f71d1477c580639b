"""Tolerances derived from the size of a computation, its conditioning and its scale; nothing is tuned.

A backward-stable computation on `size` numbers with condition `kappa` errs by about size * kappa * eps *
scale.
"""

import numpy as np

EPS = float(np.finfo(np.float64).eps)
SAFETY = 16.0


def bound(size, kappa=1.0, scale=1.0, eps=EPS):
    """Largest absolute error to accept."""
    return SAFETY * size * kappa * eps * max(scale, np.finfo(np.float64).tiny)


def assert_close(actual, expected, *, size, kappa=1.0, scale=None, eps=EPS):
    """Largest absolute difference at most `bound`; the scale is that of `expected` unless given."""
    actual, expected = np.asarray(actual, dtype=np.float64), np.asarray(expected, dtype=np.float64)
    assert actual.shape == expected.shape, (actual.shape, expected.shape)
    if not expected.size:
        return
    scale = float(np.max(np.abs(expected))) if scale is None else scale
    error, limit = float(np.max(np.abs(actual - expected))), bound(size, kappa, scale, eps)
    assert error <= limit, (
        f"error {error:.2e} exceeds {limit:.2e} (size {size}, kappa {kappa:.1e}, scale {scale:.1e})"
    )
