r"""How long does one training step of a deep predictive coding network take, against plain autograd?

784-128x(H)-10, batch 64, ReLU, skips, mupc, T = H inference steps from feedforward initialisation, Adam on
the weights. The reference is what one writes first: the energy summed layer by layer, `torch.autograd.grad`
in the activities at every inference step, `backward` in the weights at the end. Both take the same steps from
the same weights, and their updates are compared.

Run it with ``python -m experiments.benchmarks.nn_step``.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch

from pctheory import Data
from pctheory.nn import PC, PCN, GradientDescent, Stop, TrainingSettings
from pctheory.nn.training import Run

BATCH, WIDTH, STEP, RATE = 64, 128, 0.2, 1e-3


def network(hidden: int, dtype: torch.dtype = torch.float32) -> PCN:
    """The network of the benchmark."""
    return PCN(
        (784, *(WIDTH,) * hidden, 10),
        activation="relu",
        parameterisation="mupc",
        skips=True,
        rng=0,
        dtype=dtype,
    )


def sample() -> Data:
    """One batch of the size of MNIST's."""
    rng = np.random.default_rng(0)
    return Data(rng.standard_normal((BATCH, 784)), np.eye(10)[rng.integers(0, 10, BATCH)])


def plain_step(
    model: PCN, optimiser: torch.optim.Optimizer, x: torch.Tensor, y: torch.Tensor, steps: int
) -> None:
    """One training step, layer by layer, by autograd."""
    weights, depth = list(model.weights), model.depth

    def predict(layer: int, before: torch.Tensor) -> torch.Tensor:
        value = torch.relu(before) if layer else before
        result = model.multipliers[layer] * (value @ weights[layer].T)
        return result + before if model.skips[layer] else result

    def energy(z: list[torch.Tensor]) -> torch.Tensor:
        total = torch.zeros(())
        for layer in range(depth):
            total = total + 0.5 * ((z[layer + 1] - predict(layer, z[layer])) ** 2).sum()
        return total

    with torch.no_grad():
        z = [x]
        for layer in range(depth - 1):
            z.append(predict(layer, z[-1]))
        z.append(y)
    for _ in range(steps):
        hidden = [rows.detach().requires_grad_() for rows in z[1:-1]]
        gradients = torch.autograd.grad(energy([x, *hidden, y]), hidden)
        with torch.no_grad():
            z = [x, *(rows - STEP * g for rows, g in zip(hidden, gradients, strict=True)), y]
    optimiser.zero_grad()
    (energy(z) / x.shape[0]).backward()
    optimiser.step()


def seconds(call: Callable[[], object], repeats: int) -> float:
    """Median time of a call, after one that warms up."""
    call()
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        call()
        times.append(time.perf_counter() - begin)
    return float(np.median(times))


def compare(hidden: int, repeats: int) -> tuple[float, float, float]:
    """Seconds of a step here and by autograd, and the largest difference of the first updates relative to the
    largest.
    """
    settings = TrainingSettings(
        PC(GradientDescent(STEP), stop=Stop(hidden)),
        learning_rate=RATE,
        batch_size=BATCH,
        steps=10**9,
    )
    data = sample()
    # the same step in float64: equal updates up to rounding
    by_sgd = TrainingSettings(settings.rule, optimiser="SGD", learning_rate=1.0, batch_size=BATCH, steps=2)
    once = Run(network(hidden, torch.float64), data, by_sgd)
    twin, start = network(hidden, torch.float64), network(hidden, torch.float64)
    once.advance()
    plain_step(
        twin,
        torch.optim.SGD(twin.parameters(), lr=1.0),
        twin.inputs(data.x),
        twin.targets(data.y, BATCH),
        hidden,
    )
    size = max(float((b - c).detach().norm()) for b, c in zip(twin.weights, start.weights, strict=True))
    difference = max(
        float((a - b).detach().norm()) / size for a, b in zip(once.model.weights, twin.weights, strict=True)
    )
    run = Run(network(hidden), data, settings)
    twin = network(hidden)
    x, y = twin.inputs(data.x), twin.targets(data.y, BATCH)
    optimiser = torch.optim.Adam(twin.parameters(), lr=RATE)
    ours = seconds(run.advance, repeats)
    plain = seconds(lambda: plain_step(twin, optimiser, x, y, hidden), max(repeats // 2, 2))
    return ours, plain, difference


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--hidden", type=int, nargs="+", default=[4, 16, 64, 128])
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(f"torch {torch.__version__}, {arguments.threads} thread(s), float32")
    print("  H   here ms   autograd ms   ratio   difference of the updates")
    for hidden in arguments.hidden:
        ours, plain, difference = compare(hidden, arguments.repeats)
        print(
            f"{hidden:3d} {1e3 * ours:9.1f} {1e3 * plain:13.1f} {plain / ours:7.1f}   {difference:.1e}",
            flush=True,
        )


if __name__ == "__main__":
    main()
