r"""On which data, and where, has the equilibrated energy local minima that are not global?

Claims ``second-order-classification`` and ``strict-saddles``. First the plane of the smallest example: widths
1-1-2 and y = (x, noise), whose critical points with the hidden unit on the signal are strict saddles or local
minima according to the gain of the unit and to the ratio of noise and signal. Then critical points found from
random starts on networks with a bottleneck, on data with noise of partial rank: in half of the data sets one
output direction is free of noise and uncorrelated with the others, in the other half the noise has the same
rank and a random direction.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from experiments._progress import Progress
from pctheory import Data, EquilibratedEnergy, LinearPCN
from pctheory.landscape import KINDS, every_saddle_is_strict, find_critical_points

WIDTHS: dict[str, tuple[int, ...]] = {
    "2-1-2": (2, 1, 2),
    "3-1-3": (3, 1, 3),
    "3-2-3": (3, 2, 3),
    "2-2-1-3": (2, 2, 1, 3),
}
CASES = ("i", "ii", "ii'", "iii")


@dataclass(frozen=True)
class Config:
    ratios: tuple[float, ...] = (0.5, 0.8, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0)
    plane_starts: int = 60
    starts: int = 60
    sets: int = 16
    samples: int = 24
    seed: int = 0


PROFILES = {
    "quick": Config(ratios=(0.5, 3.0), plane_starts=40, starts=3, sets=1),
    "cpu": Config(plane_starts=80, starts=14, sets=3),
    "full": Config(),
}


def signal_and_noise(ratio: float) -> Data:
    """The data y = (x, sqrt(ratio) xi) with uncorrelated x and xi of second moment 1."""
    x, xi = np.array([1.0, 1.0, -1.0, -1.0]), np.array([1.0, -1.0, 1.0, -1.0])
    return Data(x[:, None], np.column_stack([x, np.sqrt(ratio) * xi]))


def plane(config: Config, ratio: float) -> dict[str, Any]:
    """The critical points of 1-1-2 with the unit on the signal: their gain, form and smallest curvature."""
    rng = np.random.default_rng([config.seed, round(1000 * ratio)])
    found = find_critical_points(
        EquilibratedEnergy(signal_and_noise(ratio)), LinearPCN.zeros((1, 1, 2)), config.plane_starts, rng
    )
    on_signal = [
        point
        for point in found
        if abs(point.net.weights[1][0, 0]) > 1e-3 and abs(point.net.weights[1][1, 0]) < 1e-6
    ]
    return {
        "gain": np.array([abs(float(point.net.weights[1][0, 0])) for point in on_signal]),
        "smallest": np.array([point.min_curvature for point in on_signal]),
        "kind": np.array([KINDS.index(point.kind) for point in on_signal], dtype=np.int64),
    }


def partial_noise(config: Config, widths: tuple[int, ...], isolated: bool, rng: np.random.Generator) -> Data:
    """Outputs with noise in all directions but one: a principal component of the outputs (`isolated`), or a
    random one.
    """
    inputs, outputs = widths[0], widths[-1]
    frame = np.linalg.qr(rng.standard_normal((config.samples, inputs + outputs - 1)))[0] * np.sqrt(
        config.samples
    )
    z, noise = frame[:, :inputs], 1.6 * frame[:, inputs:]
    rest = 0.4 * z[:, 1:] @ rng.standard_normal((inputs - 1, outputs - 1)) + noise
    if isolated:
        y = np.column_stack([z[:, 0], rest])
    else:
        spread = np.linalg.qr(rng.standard_normal((outputs, outputs)))[0][:, 1:]
        y = z @ rng.standard_normal((inputs, outputs)) + noise @ spread.T
    turn = np.linalg.qr(rng.standard_normal((outputs, outputs)))[0]
    return Data(z, y @ turn.T)


def search(config: Config, setting: str, isolated: bool, number: int) -> dict[str, Any]:
    """All distinct critical points that the starts on one data set lead to."""
    widths = WIDTHS[setting]
    rng = np.random.default_rng([config.seed, list(WIDTHS).index(setting), int(isolated), number])
    data = partial_noise(config, widths, isolated, rng)
    found = find_critical_points(EquilibratedEnergy(data), LinearPCN.zeros(widths), config.starts, rng)
    away = [(point, point.form) for point in found if point.form is not None]  # not at a global minimum
    return {
        "benign": every_saddle_is_strict(data),
        "smallest": np.array([point.min_curvature for point, _ in away]),
        "form": np.array([form.value for _, form in away]),
        "case": np.array([CASES.index(form.case) for _, form in away], dtype=np.int64),
        "kind": np.array([KINDS.index(point.kind) for point, _ in away], dtype=np.int64),
        "negative": np.array([bool(point.index) for point, _ in away], dtype=bool),
    }


def run(config: Config, progress: Progress) -> dict[str, Any]:
    ratios = progress.cells(plane, [{"ratio": ratio} for ratio in config.ratios])
    cells = [
        {"setting": setting, "isolated": isolated, "number": number}
        for setting in WIDTHS
        for isolated in (True, False)
        for number in range(config.sets)
    ]
    results = progress.cells(search, cells)
    joined = {
        key: np.concatenate([np.asarray(result[key]) for result in results])
        for key in ("smallest", "form", "case", "kind", "negative")
    }
    benign = [np.full(len(result["kind"]), bool(result["benign"])) for result in results]
    strict, border = (joined["kind"] == KINDS.index(kind) for kind in ("strict saddle", "degenerate"))
    return {
        "ratios": np.array(config.ratios),
        "plane": {
            f"{ratio:g}": dict(cell.items()) for ratio, cell in zip(config.ratios, ratios, strict=True)
        },
        "found": {**joined, "benign": np.concatenate(benign)},
        "sets": len(cells),
        "benign_sets": int(sum(bool(result["benign"]) for result in results)),
        "disagreements": int(np.sum((strict != joined["negative"]) & ~border)),
        "border": int(np.sum(border)),
        "kinds": list(KINDS),
        "cases": list(CASES),
    }
