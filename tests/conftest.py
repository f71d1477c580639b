"""One BLAS thread, deterministic hypothesis profiles, the headless plotting backend."""

import os

for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")  # mixed thread pools make small blocks 40-400 times slower
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import hypothesis
import numpy as np
import pytest
import threadpoolctl

hypothesis.settings.register_profile(
    "ci", derandomize=True, max_examples=60, deadline=None, print_blob=True, database=None
)
hypothesis.settings.register_profile("hunt", max_examples=5000, deadline=None, print_blob=True)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    with threadpoolctl.threadpool_limits(1):
        yield


@pytest.fixture
def rng():
    """A fresh generator per test."""
    return np.random.default_rng(20240611)
