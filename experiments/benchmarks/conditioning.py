"""Condition numbers of the inference Hessian at 128 x 128: 16384 activities, values, residuals, time and
memory.

    python -m experiments.benchmarks.conditioning [--width 128] [--hidden 128] [--seed 0]

Each network runs in a process of its own, so that its peak memory is its own.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from typing import Any

CASES: dict[str, dict[str, Any]] = {
    "sp": {},
    "sp, torch's variance": {"init": "torch"},
    "sp + skips": {"skips": True, "init": "torch"},
    "mupc + skips": {"parameterisation": "mupc", "skips": True},
    "orthogonal": {"init": "orthogonal"},
}


def measure(case: str, width: int, num_hidden: int, seed: int) -> dict[str, float]:
    """One network, in this process."""
    from pctheory import LinearPCN, condition_number, inference_rate

    net = LinearPCN.random([width, *[width] * num_hidden, 10], rng=seed, **CASES[case])
    start = time.perf_counter()
    rate = inference_rate(net)
    seconds = time.perf_counter() - start
    return {
        "kappa": rate.condition,
        "smallest": rate.smallest,
        "largest": rate.largest,
        "residual": rate.residual,
        "kappa in errors": condition_number(net, "errors"),
        "seconds": seconds,
        "peak MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def main() -> None:
    """Measure every case and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--case", choices=list(CASES), help="measure this one, here, and print JSON")
    options = parser.parse_args()
    if options.case:
        print(json.dumps(measure(options.case, options.width, options.hidden, options.seed)))
        return
    for case in CASES:
        command = [sys.executable, "-m", "experiments.benchmarks.conditioning", "--case", case]
        command += [
            "--width",
            str(options.width),
            "--hidden",
            str(options.hidden),
            "--seed",
            str(options.seed),
        ]
        found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        print(f"{case:22}", "  ".join(f"{key} {value:.4g}" for key, value in found.items()), flush=True)


if __name__ == "__main__":
    main()
