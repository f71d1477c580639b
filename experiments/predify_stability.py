r"""For which weights are Predify's dynamics stable, how fast do waves travel, and where is predictive coding?

The growth of the fastest wave on the infinite identity chain over (alpha, lambda, beta); speeds of a bump on
a long finite chain; spectra of the map of a deep linear network with random feedback, general and in the
special case that is gradient descent. Claims ``predify-map``, ``predify-is-pc``, ``predify-dispersion``;
dynamics of Choksi et al. 2021 (arXiv:2106.02749).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from experiments._progress import Progress
from pctheory import LinearPCN
from pctheory.related import Predify, chain_multiplier, chain_speed


@dataclass(frozen=True)
class Config:
    """Chains of identity maps; networks of random ones."""

    betas: tuple[float, ...] = (0.0, 0.3, 0.6)
    grid: int = 49
    waves: int = 721
    chain: int = 400
    steps: int = 40
    widths: tuple[int, ...] = (12, 16, 16, 24)
    seed: int = 0


PROFILES = {
    "quick": Config(grid=13, waves=181, chain=300, steps=20, widths=(6, 8, 8, 12)),
    "cpu": Config(),
    "full": Config(),
}

BUMPS = ((0.2, 0.0, 0.0), (0.2, 0.3, 0.0), (0.2, 0.3, 0.5), (0.1, 0.6, 0.1), (0.1, 0.0, 0.6))
"""(alpha, beta, lambda)."""


def run(config: Config, progress: Progress) -> dict[str, Any]:
    """Maps, speeds, spectra."""
    rates = np.linspace(0, 1.2, config.grid)
    k = np.linspace(-np.pi, np.pi, config.waves)
    growth = [
        [[np.abs(chain_multiplier(k, alpha=a, beta=b, lam=c)).max() for a in rates] for c in rates]
        for b in progress.track(config.betas, "stability")
    ]
    return {
        "betas": list(config.betas), "alphas": rates, "lambdas": rates, "growth": np.array(growth),
        **_bumps(config), **_spectra(config), **_waves(k),
    }  # fmt: skip


def _bumps(config: Config) -> dict[str, Any]:
    """Centre of mass of a bump over the steps, on a finite chain whose ends it does not reach."""
    n, centre = np.arange(1, config.chain + 1), config.chain / 2
    begin = np.exp(-((n - centre) ** 2) / (2 * (config.chain / 20) ** 2))
    paths, measured, predicted = [], [], []
    for alpha, beta, lam in BUMPS:
        model = Predify(
            [np.eye(1)] * config.chain, [np.eye(1)] * config.chain, alphas=alpha, betas=beta, lambdas=lam
        )
        e, path = begin, []
        for _ in range(config.steps + 1):
            path.append(np.sum(n * e) / np.sum(e) - centre)
            e = model.map @ e
        paths.append(path)
        measured.append((path[-1] - path[0]) / config.steps)
        predicted.append(chain_speed(alpha=alpha, beta=beta, lam=lam))
    return {"paths": paths, "speeds_measured": measured, "speeds": predicted}


def _waves(k: np.ndarray) -> dict[str, Any]:
    """Multipliers over the wavenumber."""
    return {
        "k": k,
        "multipliers": np.array([np.abs(chain_multiplier(k, alpha=a, beta=b, lam=c)) for a, b, c in BUMPS]),
    }


def _spectra(config: Config) -> dict[str, Any]:
    """Eigenvalues of A: Predify with a forward drive, and the special case with the same error weights."""
    rng = np.random.default_rng(config.seed)
    depth = len(config.widths) - 1
    net = LinearPCN.random(config.widths, precisions=[0.15] * depth, rng=rng)
    special = Predify.predictive_coding(net)
    forward = [2 * rng.standard_normal(w.shape[::-1]) / w.shape[0] ** 0.5 for w in special.backward]
    general = Predify(
        forward, special.backward, alphas=special.alphas, betas=0.5, lambdas=[0.3] * (depth - 1) + [0.0]
    )
    full, pc = np.linalg.eigvals(general.map), np.linalg.eigvals(special.map)
    return {
        "full_real": full.real, "full_imag": full.imag, "pc_real": pc.real, "pc_imag": pc.imag,
        "full_radius": general.spectral_radius, "pc_radius": special.spectral_radius,
        "full_imaginary": float(np.abs(full.imag).max()), "pc_imaginary": float(np.abs(pc.imag).max()),
    }  # fmt: skip
