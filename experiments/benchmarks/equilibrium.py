"""What the exact equilibrium costs: against one backprop gradient of the same network, and against a dense
solve of H.

    python -m experiments.benchmarks.equilibrium

Medians over interleaved repetitions on one thread; 784 inputs, 10 outputs, batch 64, float64 throughout (and
float32 for the shape where that is quoted). The dense solve is timed only where H fits in a few gigabytes.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch

from experiments.benchmarks._timing import medians
from pctheory import Data, LinearPCN, activity_hessian, equilibrium
from pctheory.model import activity_linear_term

SHAPES = ((128, 32), (512, 16), (1024, 16))
BATCH, INPUTS, OUTPUTS = 64, 784, 10


def backprop(net: LinearPCN, data: Data) -> Callable[[], object]:
    """One gradient of the loss by torch autograd: forward, backward, weight gradients."""
    leaves = [torch.tensor(np.array(w), requires_grad=True) for w in net.weights]
    x, y = torch.tensor(data.x), torch.tensor(data.y)

    def gradient() -> object:
        z = x
        for weight in leaves:
            z = z @ weight.T
        return torch.autograd.grad(0.5 * torch.sum((y - z) ** 2) / len(y), leaves)

    return gradient


def dense(net: LinearPCN, data: Data) -> Callable[[], np.ndarray]:
    """Form H as a dense matrix and solve."""

    def solve() -> np.ndarray:
        return np.linalg.solve(activity_hessian(net).to_dense(), activity_linear_term(net, data).T)

    return solve


def main() -> None:
    """Print one row per shape and dtype."""
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    torch.set_num_threads(1)
    print("   N   L  dtype    equilibrium  backprop  ratio   dense solve  ratio  worst |z - z_dense|")
    for width, depth in SHAPES:
        for dtype in (np.float64, np.float32):
            rng = np.random.default_rng(0)
            net = LinearPCN.random((INPUTS, *[width] * (depth - 1), OUTPUTS), rng=rng)
            net = net.replace(weights=[w.astype(dtype) for w in net.weights])
            data = Data(
                rng.standard_normal((BATCH, INPUTS)).astype(dtype),
                rng.standard_normal((BATCH, OUTPUTS)).astype(dtype),
            )
            times = medians({"ours": lambda n=net, d=data: equilibrium(n, d), "bp": backprop(net, data)}, 15)  # type: ignore[misc]
            line = f"{width:4d}  {depth:2d}  {dtype.__name__}  {1e3 * times['ours']:8.1f} ms"
            line += f" {1e3 * times['bp']:6.1f} ms"
            line += f"  {times['ours'] / times['bp']:5.2f}"
            if width * (depth - 1) <= 8000:
                solve = dense(net, data)
                start = time.perf_counter()
                exact = solve().T
                slow = time.perf_counter() - start
                error = np.abs(np.hstack(equilibrium(net, data).activities[1:-1]) - exact).max()
                line += f"  {slow:9.2f} s  {slow / times['ours']:6.0f}  {error:.1e}"
            print(line, flush=True)


if __name__ == "__main__":
    main()
