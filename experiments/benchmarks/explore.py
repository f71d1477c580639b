"""What a move of a slider takes in each scene of `pctheory.explore`: computing, drawing and packing the
picture.

    python -m experiments.benchmarks.explore [--moves 20]

Milliseconds, median and 95th percentile over random moves: on the clock and, as the machine may be busy, of
the processor.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np

from pctheory.explore import Choice, Inference, Plane, Scene, Sizes, Toggle, TrustRegion, problem

CONTROLS_OF_DIRECTIONS = ("first", "second")


def scenes() -> dict[str, Scene]:
    """Each scene on a small and on a deep problem."""
    found: dict[str, Scene] = {}
    for name in ("two weights", "random network", "deep network"):
        net, data = problem(name)
        second = "last weight" if net.num_weights == 2 else "random"
        found[f"Plane, {name}"] = Plane(net, data, second=second)
        if name != "two weights":
            found[f"Inference, {name}"] = Inference(net, data)
            found[f"TrustRegion, {name}"] = TrustRegion(net, data)
    found["Sizes"] = Sizes(depth=24, width=16)
    return found


def times(scene: Scene, setting: str, moves: int, rng: np.random.Generator) -> np.ndarray:
    """Seconds on the clock and of the processor of each move, (moves, 2); the first is not counted."""
    rows = []
    for _ in range(moves + 1):
        value = _drawn(scene, setting, rng)
        clock, processor = time.perf_counter(), time.process_time()
        scene.move(**{setting: value})
        scene.stage.jpeg()
        rows.append((time.perf_counter() - clock, time.process_time() - processor))
    return np.array(rows[1:])


def _drawn(scene: Scene, setting: str, rng: np.random.Generator) -> Any:
    control = scene.CONTROLS[setting]
    if setting in CONTROLS_OF_DIRECTIONS:  # those that exist everywhere
        kept = {"first": ("first weight", "gradient of F*"), "second": ("random", "all weights")}[setting]
        return str(rng.choice(kept))
    if isinstance(control, Choice):
        return str(rng.choice(control.options))
    if isinstance(control, Toggle):
        return bool(rng.integers(2))
    low, high = (-1.0, 1.0) if setting in ("right", "up") else (control.low, control.high)
    value = rng.uniform(low, high)
    return round(value) if isinstance(control.value, int) else float(value)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--moves", type=int, default=20)
    moves, rng = parser.parse_args().moves, np.random.default_rng(0)
    print(f"{'':34} {'clock: median':>14} {'95 %':>6} {'processor: median':>18} {'95 %':>6}  slowest control")
    for name, scene in scenes().items():
        start = dict(scene.settings)
        found = {}
        for setting in scene.CONTROLS:
            if name.startswith("Plane, two") and setting in CONTROLS_OF_DIRECTIONS:
                continue  # two weights have one plane
            found[setting] = times(scene, setting, moves, rng)
            scene.move(**start)
        everything = 1e3 * np.concatenate(list(found.values()))
        slowest = max(found, key=lambda setting: float(np.median(found[setting][:, 1])))
        (clock, processor), (late, slow) = (
            np.median(everything, axis=0),
            np.quantile(everything, 0.95, axis=0),
        )
        print(f"{name:34} {clock:14.1f} {late:6.1f} {processor:18.1f} {slow:6.1f}  {slowest}")


if __name__ == "__main__":
    main()
