r"""Are the saddles of the equilibrated energy strict, as the theorem says, and those of the loss not?

Claims ``critical-points`` and ``strict-saddles``. Critical points of any index are searched from many random
starts on small networks, for F* and for the loss; each is classified by its Hessian and, for F*, certified by
a closed-form direction of escape. The settings are the hypotheses: targets that some linear map fits
(realisable), the same behind a hidden layer that is too narrow (bottleneck), and noise on every output
(noisy). The counterexample needs noise without any correlation.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from experiments._progress import Progress
from pctheory import Data, EquilibratedEnergy, LinearPCN, MSELoss, landscape_slice
from pctheory.landscape import KINDS, find_critical_points, infimum, non_strict_saddle

SETTINGS: dict[str, dict[str, Any]] = {
    "realisable": {"widths": (3, 3, 2)},
    "realisable, deep": {"widths": (2, 3, 2, 2)},
    "realisable, skips": {"widths": (2, 3, 3, 2), "parameterisation": "ntp", "skips": True},
    "bottleneck": {"widths": (3, 1, 3)},
    "bottleneck, deep": {"widths": (3, 2, 2, 3)},
    "noisy": {"widths": (2, 2, 2), "noise": 0.5},
    "noisy, deep": {"widths": (2, 2, 2, 2), "noise": 0.5},
    "noisy bottleneck": {"widths": (3, 1, 3), "noise": 0.5},
}
"""At most 21 weights each; `noise` is the standard deviation added to every output."""

OBJECTIVES = {"energy": EquilibratedEnergy, "loss": MSELoss}
CASES = ("i", "ii", "iii", "eigenvector")


@dataclass(frozen=True)
class Config:
    starts: int = 200
    samples: int = 40
    correlations: tuple[float, ...] = (0.0, 0.1, 0.2, 0.4)
    grid: int = 81
    seed: int = 0


PROFILES = {
    "quick": Config(starts=2, samples=10, correlations=(0.0, 0.4), grid=9),
    "cpu": Config(starts=90),
    "full": Config(),
}


def search(config: Config, setting: str, objective: str) -> dict[str, Any]:
    """All distinct critical points that the starts of one setting lead to."""
    options = dict(SETTINGS[setting])
    widths, noise = options.pop("widths"), options.pop("noise", 0.0)
    rng = np.random.default_rng([config.seed, list(SETTINGS).index(setting)])
    data = Data.teacher(rng.standard_normal((widths[-1], widths[0])), config.samples, noise=noise, rng=rng)
    net = LinearPCN.zeros(widths, **options)
    chosen = OBJECTIVES[objective](data)
    found = find_critical_points(chosen, net, config.starts, rng)
    escapes = [point.escape for point in found]
    return {
        "num_weights": net.num_weights,
        "infimum": infimum(chosen, net),
        "value": np.array([point.value for point in found]),
        "gradient": np.array([point.gradient_norm for point in found]),
        "smallest": np.array([point.min_curvature for point in found]),
        "index": np.array([point.index for point in found], dtype=np.int64),
        "kind": np.array([KINDS.index(point.kind) for point in found], dtype=np.int64),
        "case": np.array([CASES.index(escape.case) if escape else -1 for escape in escapes], dtype=np.int64),
        "certificate": np.array([escape.curvature if escape else np.nan for escape in escapes]),
        "predicted": np.array([escape.predicted if escape else np.nan for escape in escapes]),
        "size": np.array([float(np.linalg.norm(point.net.flatten())) for point in found]),
        "duplicates": found.num_duplicates,
        "escaped": found.num_escaped,
        "stalled": found.num_stalled,
    }


def counterexample(config: Config) -> dict[str, Any]:
    """The plane of two weights around the saddle without curvature, without and with correlation."""
    net, data = non_strict_saddle()
    axes = [np.eye(2)[0], np.eye(2)[1]]
    distance = np.linspace(0.0, 0.5, config.grid)
    values, gradients, falls, curvatures = [], [], [], []
    for correlation in config.correlations:
        # S_xx = S_yy = 1 whatever the correlation
        tilted = Data(data.x, np.sqrt(1 - correlation**2) * data.y + correlation * data.x)
        energy = EquilibratedEnergy(tilted)
        piece = landscape_slice(energy, net, axes, extent=(-1.25, 1.25), num=config.grid)
        values.append(piece.values)
        line = [LinearPCN([[[1.0 + a]], [[0.0]]]) for a in piece.axes[0]]
        gradients.append([np.sqrt(sum(np.sum(g**2) for g in energy.gradient(each))) for each in line])
        curvatures.append([np.linalg.eigvalsh(energy.hessian(each))[0] for each in line])
        falls.append([float(energy.value(LinearPCN([[[1.0 - d]], [[np.sqrt(d)]]]))) for d in distance])
    return {
        "correlations": np.array(config.correlations),
        "first": 1.0 + piece.axes[0],
        "last": piece.axes[1],
        "values": np.stack(values),  # (correlation, w_2, w_1)
        "gradient": np.array(gradients),  # along w_2 = 0
        "smallest": np.array(curvatures),  # along w_2 = 0
        "distance": distance,
        "fall": np.array(falls) - np.array(falls)[:, :1],  # along (1 - d, sqrt d)
        "saddle_gradient": float(np.sqrt(sum(np.sum(g**2) for g in EquilibratedEnergy(data).gradient(net)))),
        "saddle_hessian": EquilibratedEnergy(data).hessian(net),
    }


def run(config: Config, progress: Progress) -> dict[str, Any]:
    cells = [{"setting": setting, "objective": objective} for objective in OBJECTIVES for setting in SETTINGS]
    results = progress.cells(search, cells)
    found: dict[str, dict[str, Any]] = {name: {} for name in OBJECTIVES}
    for cell, result in zip(cells, results, strict=True):
        found[cell["objective"]][cell["setting"]] = dict(result.items())
    strict = [KINDS.index("strict saddle"), KINDS.index("global minimum")]
    violations = 0
    for setting, points in found["energy"].items():
        allowed = strict[:1] if "noise" in SETTINGS[setting] else strict
        violations += int(np.sum(~np.isin(points["kind"], allowed)))
    return {
        **found,
        "kinds": list(KINDS),
        "cases": list(CASES),
        "violations": violations,
        "counterexample": counterexample(config),
    }


def table(result: Any) -> str:
    """The points by setting and kind, as text."""
    lines = [f"{'':12}{'setting':20}{'points':>7}" + "".join(f"{kind:>16}" for kind in KINDS[:4])]
    for objective in OBJECTIVES:
        for setting in SETTINGS:
            kinds = np.asarray(result[objective][setting]["kind"])
            counts = "".join(f"{int(np.sum(kinds == k)):16}" for k in range(4))
            lines.append(f"{objective:12}{setting:20}{len(kinds):7}{counts}")
    lines.append(f"points of the energy that violate the theorem: {result['violations']}")
    return "\n".join(lines)
