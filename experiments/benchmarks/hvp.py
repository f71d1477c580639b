"""What exact derivatives cost: value, gradient, Hessian-vector product, against torch's double autograd of
F*.

    python -m experiments.benchmarks.hvp [--samples 794]

Medians over interleaved repetitions on one thread, float64. torch runs F* in closed form (the same sweep at
all B rows): what a user would write without an analytic product.
"""

import argparse
from collections.abc import Callable

import numpy as np
import torch

from experiments.benchmarks._timing import medians
from pctheory import Data, EquilibratedEnergy, LinearPCN, MSELoss
from pctheory.inference import equilibrium

SHAPES = {
    "784-256-256-10": (784, 256, 256, 10),
    "784-128-10": (784, 128, 10),
    "64 x 8 layers - 10": (64, *[64] * 8, 10),
    "4-4-4-4": (4, 4, 4, 4),
}


def measure(widths: tuple[int, ...], samples: int) -> dict[str, float]:
    rng = np.random.default_rng(0)
    net = LinearPCN.random(widths, rng=rng)
    data = Data(rng.standard_normal((samples, widths[0])), rng.standard_normal((samples, widths[-1])))
    energy, loss = EquilibratedEnergy(data), MSELoss(data)
    vector = rng.standard_normal(net.num_weights)
    operator = energy.hessian_operator(net)
    twin = Data(torch.tensor(np.array(energy.data.x)), torch.tensor(np.array(energy.data.y)))
    weights = tuple(torch.tensor(np.array(w)) for w in net.weights)
    direction = tuple(torch.tensor(np.array(d)) for d in net.unflatten(vector).weights)

    def function(*own: torch.Tensor) -> torch.Tensor:
        return equilibrium(net.replace(weights=list(own)), twin, method="sweep").energy

    functions: dict[str, Callable[[], object]] = {
        "loss gradient": lambda: loss.gradient(net),
        "F* value": lambda: energy.value(net),
        "F* gradient": lambda: energy.gradient(net),
        "F* hvp": lambda: energy.hvp(net, vector),
        "F* hvp, expanded": lambda: operator @ vector,
        "torch gradient": lambda: torch.func.grad(function, argnums=tuple(range(net.depth)))(*weights),
        "torch hvp": lambda: torch.autograd.functional.hvp(function, weights, direction),
    }
    return medians(functions, 15)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--samples", type=int, default=794)
    samples = parser.parse_args().samples
    torch.set_num_threads(1)
    for name, widths in SHAPES.items():
        times = measure(widths, samples)
        unit = times["F* gradient"]
        print(f"{name}: gradient of F* {1e3 * unit:.2f} ms")
        for what, seconds in times.items():
            print(f"    {what:18} {1e3 * seconds:9.3f} ms  {seconds / unit:6.2f} gradients")


if __name__ == "__main__":
    main()
