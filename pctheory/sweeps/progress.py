"""`Progress`: what `run` uses to go through a sweep: bars, processes, and a checkpoint per cell."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import importlib
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar

from .results import DamagedError, Result, read_result, write_result

T = TypeVar("T")
BACKENDS = ("loky", "dask", "ray")


@dataclasses.dataclass
class Progress:
    """The way a `run` is carried out: how many processes, where its checkpoints lie. It changes no number.

    `Progress(config)` alone computes in this process, keeps no checkpoint and is silent: for tests and
    notebooks.

    Parameters
    ----------
    config
        handed to each cell as its first argument
    jobs, backend
        processes, and joblib's way to them
    checkpoints
        folder of the finished cells; None keeps none
    label
        name shown on the bars; None is silent
    resumed_seconds
        time that the cells read from checkpoints took when they were computed
    """

    config: Any
    jobs: int = 1
    backend: str = "loky"
    checkpoints: Path | None = None
    label: str | None = None
    resumed_seconds: float = 0.0

    def cells(
        self, function: Callable[..., Mapping[str, Any]], cells: Iterable[Mapping[str, Any]]
    ) -> list[Result]:
        """`[function(config, **cell) for cell in cells]`, in processes, each cell kept as soon as it is done.

        Parameters
        ----------
        function
            a function at module level (it is pickled by name) that returns a mapping of arrays and depends on
            nothing but its arguments: seeds belong into the config or the cell
        cells
            keyword arguments of each call: numbers, strings, booleans, tuples of them

        Returns
        -------
        list of Result
            in the order of `cells`, whatever the order in which they finished
        """
        todo = [dict(cell) for cell in cells]
        paths = [self._path(function, cell) for cell in todo]
        done: dict[int, Result] = {}
        for index, path in enumerate(paths):
            if path is not None and path.exists():
                try:
                    done[index], seconds = _read_cell(path)
                except DamagedError:
                    continue  # as if it had not been computed yet
                self.resumed_seconds += seconds
        missing = [index for index in range(len(todo)) if index not in done]
        calls = [(function, self.config, todo[index], index) for index in missing]
        with self._bar(len(todo), len(done)) as bar:
            for index, result, seconds in self._parallel(calls):
                done[index] = result
                if (path := paths[index]) is not None:
                    write_result(path, Result({"cell": result.flat(), "seconds": seconds}), compact=False)
                bar.advance(", ".join(f"{k}={v}" for k, v in todo[index].items()))
        return [done[index] for index in range(len(todo))]

    def track(self, items: Iterable[T], description: str = "") -> Iterable[T]:
        """`items` behind a bar: `for step in progress.track(range(steps), "training")`."""
        tqdm = _tqdm()
        if tqdm is None:
            return items
        label = f"{self.label}: {description}" if description else self.label
        bar: Iterable[T] = tqdm(items, desc=label, leave=False, disable=True if self.label is None else None)
        return bar

    def _path(self, function: Callable[..., Any], cell: Mapping[str, Any]) -> Path | None:
        if "<" in getattr(function, "__qualname__", "<"):
            raise ValueError(
                "`function` of `progress.cells` must be defined with `def` at module level, since it is "
                f"pickled by its name. Got {function!r}: move it there and pass what it needs by the cell."
            )
        if self.checkpoints is None:
            return None
        text = json.dumps([function.__module__, function.__qualname__, cell], sort_keys=True)
        return self.checkpoints / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.npz"

    def _parallel(self, calls: Sequence[tuple[Any, ...]]) -> Iterable[tuple[int, Result, float]]:
        if self.jobs == 1 and self.backend == "loky":
            return (_call(*call) for call in calls)
        if self.backend == "ray":
            return _on_ray(calls)
        try:
            import joblib
        except ModuleNotFoundError as missing:
            raise ModuleNotFoundError(
                "Several processes need joblib, which is not installed: `pip install pctheory[experiments]`, "
                "or use one."
            ) from missing
        if self.backend == "dask":
            # makes joblib know the cluster; the client reads DASK_SCHEDULER_ADDRESS
            _needed("distributed", "dask").Client()
        with joblib.parallel_config(backend=self.backend, n_jobs=self.jobs):
            # unordered: the parent writes each checkpoint when its cell ends, also where workers share no
            # disk
            parallel = joblib.Parallel(return_as="generator_unordered")
        results: Iterable[tuple[int, Result, float]] = parallel(
            joblib.delayed(_call)(*call) for call in calls
        )
        return results

    def _bar(self, total: int, initial: int) -> _Bar:
        return _Bar(self.label, total, initial)


class _Bar:
    """A tqdm bar on a terminal, now and then a line elsewhere, nothing without a label."""

    def __init__(self, label: str | None, total: int, initial: int) -> None:
        self.label, self.total, self.count = label, total, initial
        self.last = time.monotonic()
        tqdm = _tqdm() if label is not None and sys.stderr.isatty() else None
        self.tqdm = tqdm and tqdm(total=total, initial=initial, desc=label, unit="cell")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.tqdm is not None:
            self.tqdm.close()

    def advance(self, cell: str) -> None:
        self.count += 1
        if self.tqdm is not None:
            self.tqdm.update()
            self.tqdm.set_postfix_str(cell)
        elif self.label is not None and time.monotonic() - self.last > 10:
            self.last = time.monotonic()
            print(f"{self.label}: {self.count} of {self.total} cells ({cell})", file=sys.stderr, flush=True)


def _call(
    function: Callable[..., Mapping[str, Any]], config: Any, cell: Mapping[str, Any], index: int
) -> tuple[int, Result, float]:
    """One cell, with one BLAS thread, wherever it runs."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
    start = time.perf_counter()
    with _one_thread():
        result = Result(function(config, **cell))
    return index, result, time.perf_counter() - start


def _one_thread() -> contextlib.AbstractContextManager[object]:
    """One BLAS thread, where threadpoolctl is installed: mixed pools slow small blocks down."""
    try:
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]
    except ModuleNotFoundError:
        return contextlib.nullcontext()
    limits: contextlib.AbstractContextManager[object] = threadpool_limits(1)
    return limits


def _tqdm() -> Any:
    """The bar of tqdm, or None where it is not installed: then lines are printed now and then."""
    try:
        from tqdm import tqdm
    except ModuleNotFoundError:
        return None
    return tqdm


def _read_cell(path: Path) -> tuple[Result, float]:
    stored = read_result(path)
    return stored["cell"] if "cell" in stored else Result({}), stored["seconds"]


def _on_ray(calls: Sequence[tuple[Any, ...]]) -> Iterator[tuple[int, Result, float]]:
    """The cells as tasks of ray, in the order in which they end; ray repeats those of a worker that died."""
    ray = _needed("ray", "ray")
    if not ray.is_initialized():
        ray.init()  # joins RAY_ADDRESS, or starts on this machine
    task = ray.remote(_call)
    waiting = [task.remote(*call) for call in calls]
    while waiting:
        done, waiting = ray.wait(waiting)
        yield from ray.get(done)


def _needed(package: str, backend: str) -> Any:
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"The backend {backend} needs the package {package}, which is not installed: "
            f"install it with `pip install {package}`, or use the backend loky."
        ) from error
