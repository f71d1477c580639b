r"""What does the spectrum of the inference Hessian look like, and which part of it is random-matrix theory?

Innocenti et al. 2025 (arXiv:2505.13124), appendix: H = D + O of linear networks of width 128. Eigenvalues of
one network each against the limiting densities of `pctheory.limits.random_matrix`. Claim: hessian-spectra.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from experiments._progress import Progress
from pctheory import LinearPCN, activity_hessian
from pctheory.limits import coupling_density, coupling_edge, diagonal_density, hessian_density

CASES: dict[str, dict[str, Any]] = {
    "sp": {"parameterisation": "sp"},
    "mupc + skips": {"parameterisation": "mupc", "skips": True},
}


@dataclass(frozen=True)
class Config:
    """The published width."""

    width: int = field(default=128, metadata={"label": "width N"})
    hidden: tuple[int, ...] = field(default=(2, 4, 16), metadata={"label": "hidden layers H"})
    points: int = field(default=300, metadata={"label": "points of the densities"})
    seed: int = 0


PROFILES = {
    "quick": Config(width=32, hidden=(2, 3), points=30),
    "cpu": Config(),
    "full": Config(),
}


def spectra(config: Config, case: str, num_hidden: int) -> dict[str, Any]:
    """Eigenvalues and densities of D, O and H.

    The output is as wide as the layers, so that all blocks are alike.
    """
    rng = np.random.default_rng([config.seed, num_hidden, list(CASES).index(case)])
    widths = [config.width] * (num_hidden + 2)
    options = dict(CASES[case])
    net = LinearPCN.random(widths, rng=rng, **options)
    hessian = activity_hessian(net)
    name, skips = options.pop("parameterisation"), options.pop("skips", False)
    diagonal = np.concatenate([np.linalg.eigvalsh(block) for block in hessian.diagonal])
    full = np.linalg.eigvalsh(hessian.to_dense())
    top = 1.08 * full[-1]
    # denser near 0, where deep networks have a sharp peak
    points = top * np.linspace(0.01, 1, config.points) ** 2
    result: dict[str, Any] = {
        "points": points,
        "full": full,
        "full density": hessian_density(points, widths, name, skips=skips),
        "diagonal": diagonal,
        "diagonal density": diagonal_density(points, widths, name, skips=skips),
    }
    if num_hidden > 1 and not skips:
        zero = [np.zeros_like(block) for block in hessian.diagonal]
        couplings = type(hessian)(zero, hessian.lower)
        result["couplings"] = np.linalg.eigvalsh(couplings.to_dense())
        result["edge"] = coupling_edge(num_hidden)
        result["coupling points"] = np.linspace(-1.1, 1.1, config.points) * result["edge"]
        result["coupling density"] = coupling_density(result["coupling points"], widths, name)
    return result


def run(config: Config, progress: Progress) -> dict[str, Any]:
    """One network per case and depth."""
    cells = [{"case": case, "num_hidden": h} for case in CASES for h in config.hidden]
    found = progress.cells(spectra, cells)
    result: dict[str, Any] = {"hidden": np.array(config.hidden)}
    for c, f in zip(cells, found, strict=True):
        result.setdefault(c["case"], {})[str(c["num_hidden"])] = f  # type: ignore[call-overload]
    return result
