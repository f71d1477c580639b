"""Gradient and Hessian-vector product of the equilibrated energy against `torch.func` on its closed form.

794 samples, float64. torch differentiates the same sweep: what a user would write without an analytic
product.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch

from experiments.benchmarks._timing import Effort, Row, compared
from pctheory import Data, EquilibratedEnergy, LinearPCN, MSELoss, equilibrium

FULL = ((784, 128, 10), (784, 256, 256, 10), (64, *[64] * 8, 10), (784, 1024, 1024, 10))
SAMPLES = 794


def rows(effort: Effort) -> Iterator[Row | str]:
    """Gradient and Hessian-vector product, each in our own gradients and in torch's."""
    for widths in FULL if effort.full else ((4, 4, 4, 4),):
        net, energy, loss = problem(widths)
        vector = np.random.default_rng(1).standard_normal(net.num_weights)
        operator = energy.hessian_operator(net)
        gradient, product = twin(net, energy.data, vector)
        size = (
            f"{'-'.join(map(str, widths))}" if len(widths) < 6 else f"{len(widths) - 1} layers of {widths[1]}"
        )
        ours = energy.gradient(net)
        error = max(
            np.abs(a - b.numpy()).max() / np.abs(a).max() for a, b in zip(ours, gradient(), strict=True)
        )
        calls: dict[str, Callable[[], object]] = {
            "ours": lambda: energy.gradient(net),  # noqa: B023
            "our gradient of the loss": lambda: loss.gradient(net),  # noqa: B023
            "torch.func.grad": gradient,
        }
        note = f"relative difference {error:.0e}"
        yield from compared("gradient of F*", size, net.num_weights, calls, effort.repetitions, note)
        calls = {
            "ours": lambda: operator @ vector,  # noqa: B023
            "our gradient of F*": lambda: energy.gradient(net),  # noqa: B023
            "torch.func.jvp of the gradient": product,
        }
        flat = np.concatenate([h.numpy().ravel() for h in product()])
        error = np.abs(operator @ vector - flat).max() / np.abs(flat).max()
        note = f"relative difference {error:.0e}"
        yield from compared("Hessian-vector product", size, net.num_weights, calls, effort.repetitions, note)


def problem(widths: tuple[int, ...]) -> tuple[LinearPCN, EquilibratedEnergy, MSELoss]:
    """A network and two objectives of random data."""
    rng = np.random.default_rng(0)
    net = LinearPCN.random(widths, rng=rng)
    data = Data(rng.standard_normal((SAMPLES, widths[0])), rng.standard_normal((SAMPLES, widths[-1])))
    return net, EquilibratedEnergy(data), MSELoss(data)


Tensors = tuple[torch.Tensor, ...]


def twin(
    net: LinearPCN, data: Data, vector: np.ndarray
) -> tuple[Callable[[], Tensors], Callable[[], Tensors]]:
    """Gradient and Hessian-vector product of the sweep by `torch.func`."""
    rows = Data(torch.tensor(np.array(data.x)), torch.tensor(np.array(data.y)))
    weights = tuple(torch.tensor(np.array(w)) for w in net.weights)
    direction = tuple(torch.tensor(np.array(d)) for d in net.split(vector))

    def function(*own: torch.Tensor) -> torch.Tensor:
        return equilibrium(net.with_weights(own), rows, method="sweep").energy

    gradient = torch.func.grad(function, argnums=tuple(range(net.depth)))
    return lambda: gradient(*weights), lambda: torch.func.jvp(gradient, weights, direction)[1]
