r"""How much work does each inference method need to reach a relative gradient norm of 1e-5 in a deep
nonlinear network?

784-128x(H)-10 at initialisation, skips, mupc, random inputs and one-hot targets, float64. A *pass* is one
gradient of all samples in all activities: one forward and one backward sweep; what Gauss-Newton does is
counted in the same unit, a sweep from one output or one unit of a sample as a share of it. What it computes
from their results (products of the rows with each other) is in the seconds alone. The step of each descent is
the best of a few, chosen by the gradient norm after a tenth of the passes allowed.

Run it with ``python -m experiments.benchmarks.nn_inference``.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch

from pctheory.nn import PCN, Adam, ErrorDescent, GradientDescent, Momentum, Newton, Stop, infer

CANDIDATES: dict[str, list[Newton | GradientDescent | Momentum | Adam | ErrorDescent]] = {
    "newton": [Newton()],
    "gd": [GradientDescent(0.2), GradientDescent(0.4)],
    "momentum": [Momentum(0.05), Momentum(0.2)],
    "adam": [Adam(0.001), Adam(0.01)],
    "error": [ErrorDescent(0.2), ErrorDescent(0.6)],
}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--hidden", type=int, nargs="+", default=[16, 64, 128])
    parser.add_argument("--activations", nargs="+", default=["tanh", "relu"])
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--passes", type=int, default=20_000, help="most passes of a descent")
    parser.add_argument("--tolerance", type=float, default=1e-5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, 1 thread, float64, batch {arguments.batch}, N = 128")
    print("activation    H  method         step   passes   seconds   relative gradient   energy       end")
    for activation in arguments.activations:
        for hidden in arguments.hidden:
            model = PCN(
                (784, *(128,) * hidden, 10),
                activation=activation,
                parameterisation="mupc",
                skips=True,
                rng=0,
                dtype=torch.float64,
            )
            rng = np.random.default_rng(0)
            x = rng.standard_normal((arguments.batch, 784))
            y = np.eye(10)[rng.integers(0, 10, arguments.batch)]
            start = infer(model, x, y, stop=Stop(num_steps=0)).gradient_norms[0]
            for name, candidates in CANDIDATES.items():
                norms = {}
                for candidate in candidates if len(candidates) > 1 else ():
                    try:
                        pilot = infer(model, x, y, candidate, stop=Stop(max(arguments.passes // 10, 1)))
                    except ValueError:  # too large a step
                        continue
                    norms[candidate] = pilot.gradient_norms[-1]
                method = min(norms, key=lambda m: norms[m]) if norms else candidates[0]
                most = arguments.passes if norms else None
                begin = time.perf_counter()
                result = infer(model, x, y, method, stop=Stop(most, arguments.tolerance))
                seconds = time.perf_counter() - begin
                print(
                    f"{activation:10s} {hidden:4d}  {name:12s} {getattr(method, 'step', 1.0):6.3f} {result.num_passes:8.0f} {seconds:9.2f} "
                    f"{result.gradient_norms[-1] / start:19.1e}   {result.energy:.8f}   {result.message}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
