"""Both ends of the spectrum of the Hessian of F* in the weights of a 784-256-256-10 network on 60000 images.

    python -m experiments.benchmarks.hessian_spectrum [--dataset fashion-mnist] [--tolerance 1e-8]

At initialisation and at the origin; time, peak memory, residuals. Goal: both ends under 30 s on two cores and
under 1 GB. The memory that the data set itself takes is printed apart: the objective keeps 794 rows of it.
"""

import argparse
import resource
import time

from pctheory import EquilibratedEnergy, LinearPCN, MSELoss, extreme_eigenvalues, load_dataset

WIDTHS = (784, 256, 256, 10)


def peak() -> float:
    """Largest resident size of this process so far, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", default="fashion-mnist")
    parser.add_argument("--tolerance", type=float, default=1e-8)
    options = parser.parse_args()
    start = time.perf_counter()
    data = load_dataset(options.dataset)
    loaded = time.perf_counter() - start
    full = peak()
    start = time.perf_counter()
    data = data.compress()
    compressed = time.perf_counter() - start
    print(f"{options.dataset}: loaded in {loaded:.1f} s ({full:.2f} GB peak), {data} in {compressed:.1f} s")
    print(f"peak with the compression: {peak():.2f} GB")
    nets = {
        "sp": LinearPCN.random(WIDTHS, rng=0),
        "mupc": LinearPCN.random(WIDTHS, parameterisation="mupc", skips=True, rng=0),
        "origin": LinearPCN.zeros(WIDTHS),
    }
    for name, net in nets.items():
        for kind in (EquilibratedEnergy, MSELoss):
            start = time.perf_counter()
            ends = extreme_eigenvalues(kind(data), net, tolerance=options.tolerance)
            seconds = time.perf_counter() - start
            print(
                f"{name:7}{kind.__name__:20} {net.num_weights} weights: {ends.smallest[0]:.6g} (residual "
                f"{ends.smallest_residuals[0]:.1e}) to {ends.largest[0]:.6g} "
                f"({ends.largest_residuals[0]:.1e}), "
                f"{seconds:.1f} s, peak {peak():.2f} GB"
            )


if __name__ == "__main__":
    main()
