"""A sweep on a cluster gives the same bytes as in one process, also when a worker dies in the middle."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from experiments._store import Store

EXPERIMENT = '''
"""Does a random walk come back?"""
import os
import time
from dataclasses import dataclass
from pathlib import Path
import numpy as np

@dataclass(frozen=True)
class Config:
    walks: int = 8
    seconds: float = 0.3

PROFILES = {"quick": Config(), "cpu": Config(), "full": Config()}

def walk(config, seed):
    (Path(__file__).parent / f"worker-{os.getpid()}").touch()
    time.sleep(config.seconds)
    return {"path": np.random.default_rng(seed).standard_normal((500, 3)).cumsum(axis=0)}

def run(config, progress):
    cells = [{"seed": seed} for seed in range(config.walks)]
    return {seed: cell["path"] for seed, cell in enumerate(progress.cells(walk, cells))}
'''


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of one experiment that every worker can import."""
    folder = tmp_path / "walking"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "walks.py").write_text(textwrap.dedent(EXPERIMENT))
    monkeypatch.syspath_prepend(tmp_path)
    root = str(Path(__file__).parent.parent)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), root, os.environ.get("PYTHONPATH", "")]))
    yield folder
    for name in [m for m in sys.modules if m.partition(".")[0] == "walking"]:
        del sys.modules[name]


def stored_bytes(root, **options):
    store = Store("walking", root)
    store.obtain(store.experiment("walks"), "quick", quiet=True, **options)
    (path,) = root.glob("**/*.npz")
    return path.read_bytes()


def workers(folder):
    return [int(p.name.partition("-")[2]) for p in folder.glob("worker-*")]


@contextlib.contextmanager
def one_worker_dies(folder):
    """Forgets the workers of the runs before, and kills the first of this one when a second is at work."""
    for marker in folder.glob("worker-*"):
        marker.unlink()
    killed = []

    def kill_one() -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and len(workers(folder)) < 2:
            time.sleep(0.02)
        killed.append(workers(folder)[0])
        os.kill(killed[0], signal.SIGKILL)

    killer = threading.Thread(target=kill_one)
    killer.start()
    yield
    killer.join()
    assert killed
    assert os.getpid() not in workers(folder)
    assert len(workers(folder)) >= 2


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_dask_cluster_that_loses_a_worker_gives_the_same_bytes(package, tmp_path, monkeypatch):
    distributed = pytest.importorskip("distributed", reason="the extra `cluster` is not installed")
    expected = stored_bytes(tmp_path / "here", jobs=1)
    cluster = distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0", silence_logs=50
    )
    with cluster:
        monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", cluster.scheduler_address)
        with one_worker_dies(package):
            assert stored_bytes(tmp_path / "cluster", jobs=2, backend="dask") == expected


@pytest.mark.slow
def test_a_ray_cluster_that_loses_a_worker_gives_the_same_bytes(package, tmp_path):
    ray = pytest.importorskip("ray", reason="ray is not installed")
    expected = stored_bytes(tmp_path / "here", jobs=1)
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        with one_worker_dies(package):
            assert stored_bytes(tmp_path / "cluster", jobs=2, backend="ray") == expected
    finally:
        ray.shutdown()
