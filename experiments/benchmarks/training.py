r"""One training step of a deep nonlinear network, and inference until it has converged.

784-128x(H)-10, batch 64, ReLU, skips, mupc, float32, T = H inference steps from feedforward initialisation,
Adam on the weights. Autograd is what one writes first: the energy summed layer by layer,
`torch.autograd.grad` in the activities at every inference step, `backward` in the weights at the end. jpc
takes the same steps, compiled as one function, in an interpreter of its own (`JPC_PYTHON`, see
CONTRIBUTING.md), on as many cores as we have threads. So does FabricPC (`FABRICPC_PYTHON`), of a network with
as many products of the same sizes: its layers apply the activation after the map.
Backprop is one step of Adam on the loss.

At H = 64 a step of ours is 8.3e9 operations in products of 64 x 128 by 128 x 128 (the layers below the front
of the errors are left out). On an idle core of 140-190 GF/s these take 45-60 ms. Ten elementwise passes take
20 ms while their rows stay in the cache and 80 ms from memory; Adam and the rest of the step take 15-20 ms.

Inference converges to a relative gradient norm of 1e-4, with tanh units, float64, batch 16; torch's L-BFGS on
the hidden activities ends at the same norm.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

import numpy as np
import torch

from experiments.benchmarks._timing import Effort, Row, compared
from pctheory import Data
from pctheory.nn import BP, PC, PCN, GradientDescent, Newton, Stop, TrainingSettings, infer
from pctheory.nn.training import Run

BATCH, WIDTH, STEP, RATE = 64, 128, 0.2, 1e-3
TOLERANCE = 1e-4
OTHERS = ("jpc", "FabricPC")
"""Libraries with interpreters of their own: each named by a variable of the environment, as JPC_PYTHON."""


def rows(effort: Effort) -> Iterator[Row | str]:
    """Training steps over H, then converged inference."""
    torch.set_num_threads(effort.threads)
    for hidden in (4, 16, 64, 128) if effort.full else (2,):
        calls: dict[str, Callable[[], object]] = {
            "ours": step_of(hidden, PC(GradientDescent(STEP), stop=Stop(hidden))),
            "layer-by-layer autograd": autograd_step(hidden),
            "our step of backprop": step_of(hidden, BP()),
        }
        size = f"784-{WIDTH}x{hidden}-10"
        note = f"{effort.threads} thread{'s' * (effort.threads > 1)}"
        with contextlib.ExitStack() as processes:
            others = [processes.enter_context(Other(name, hidden, effort.threads)) for name in OTHERS]
            calls |= {other.name: other.call for other in others if other.call is not None}
            repetitions = effort.repetitions if hidden < 64 else max(effort.repetitions // 2, 3)
            yield from compared("training step", size, hidden, calls, repetitions, note)
            for other in others:
                if other.call is None:
                    yield f"training step, {size}, against {other.name}: skipped, {other.reason}."
    if effort.threads == 1:
        for hidden in (4, 16) if effort.full else (2,):
            yield from _converged(hidden)


def network(hidden: int, activation: str = "relu", dtype: torch.dtype = torch.float32) -> PCN:
    """The network of the benchmark."""
    return PCN(
        (784, *(WIDTH,) * hidden, 10),
        activation=activation,
        parameterisation="mupc",
        skips=True,
        rng=0,
        dtype=dtype,
    )


def sample(size: int = BATCH) -> Data:
    """One batch of the shape of MNIST's."""
    rng = np.random.default_rng(0)
    return Data(rng.standard_normal((size, 784)), np.eye(10)[rng.integers(0, 10, size)])


def step_of(hidden: int, rule: PC | BP) -> Callable[[], object]:
    """A training step of `pctheory.nn`."""
    settings = TrainingSettings(rule, learning_rate=RATE, batch_size=BATCH, steps=10**9)
    return Run(network(hidden), sample(), settings).advance


def autograd_step(hidden: int) -> Callable[[], object]:
    """The same step by autograd, layer by layer."""
    model, data = network(hidden), sample()
    optimiser = torch.optim.Adam(model.parameters(), lr=RATE)
    x, y = model.inputs(data.x), model.targets(data.y, BATCH)

    def step() -> None:
        z = [*feedforward(model, x)[:-1], y]
        for _ in range(hidden):
            inner = [rows.detach().requires_grad_() for rows in z[1:-1]]
            gradients = torch.autograd.grad(energy(model, [x, *inner, y]), inner)
            with torch.no_grad():
                z = [x, *(rows - STEP * g for rows, g in zip(inner, gradients, strict=True)), y]
        optimiser.zero_grad()
        (energy(model, z) / x.shape[0]).backward()
        optimiser.step()

    return step


def predicted(
    model: PCN, layer: int, before: torch.Tensor, phi: Callable[[torch.Tensor], torch.Tensor]
) -> torch.Tensor:
    """What a layer predicts from the one before it."""
    result = model.multipliers[layer] * (phi(before) if layer else before) @ list(model.weights)[layer].T
    return result + before if model.skips[layer] else result


def feedforward(
    model: PCN, x: torch.Tensor, phi: Callable[[torch.Tensor], torch.Tensor] = torch.relu
) -> list[torch.Tensor]:
    """Activities of the forward pass."""
    z = [x]
    with torch.no_grad():
        for layer in range(model.depth):
            z.append(predicted(model, layer, z[-1], phi))
    return z


def energy(
    model: PCN, z: list[torch.Tensor], phi: Callable[[torch.Tensor], torch.Tensor] = torch.relu
) -> torch.Tensor:
    """Half the squared errors of all layers and samples."""
    total = torch.zeros((), dtype=z[0].dtype)
    for layer in range(model.depth):
        total = total + 0.5 * ((z[layer + 1] - predicted(model, layer, z[layer], phi)) ** 2).sum()
    return total


def _converged(hidden: int) -> Iterator[Row]:
    model, data = network(hidden, "tanh", torch.float64), sample(16)
    x, y = model.inputs(data.x), model.targets(data.y, 16)
    start = infer(model, data.x, data.y, stop=Stop(num_steps=0)).gradient_norms[0]

    def descend() -> list[float]:
        z = [rows.requires_grad_() for rows in feedforward(model, x, torch.tanh)[1:-1]]
        optimiser = torch.optim.LBFGS(
            z, max_iter=5000, tolerance_grad=0.0, tolerance_change=0.0, line_search_fn="strong_wolfe"
        )
        norms: list[float] = []

        def closure() -> torch.Tensor:
            optimiser.zero_grad()
            value = energy(model, [x, *z, y], torch.tanh) / len(x)
            value.backward()
            slope = torch.cat([rows.grad.ravel() for rows in z if rows.grad is not None])
            norms.append(len(x) ** 0.5 * float(slope.norm()))
            if norms[-1] < TOLERANCE * start:
                raise StopIteration
            return value

        with contextlib.suppress(StopIteration):
            optimiser.step(closure)
        return norms

    ours = lambda: infer(model, data.x, data.y, Newton(), stop=Stop(None, TOLERANCE))
    ends = ours().gradient_norms[-1] / start, descend()[-1] / start
    calls: dict[str, Callable[[], object]] = {"ours, Newton": ours, "torch L-BFGS": descend}
    note = f"relative gradient norms {ends[0]:.0e} and {ends[1]:.0e}"
    yield from compared("converged inference", f"784-{WIDTH}x{hidden}-10, tanh", hidden, calls, 5, note)


class Other:
    """A step of a library in another interpreter: each line sent to it makes one step and returns its
    seconds.
    """

    def __init__(self, name: str, hidden: int, threads: int) -> None:
        self.name = name
        self.process: subprocess.Popen[str] | None = None
        self.call: Callable[[], float] | None = None
        variable = f"{name.upper()}_PYTHON"
        python = os.environ.get(variable)
        self.reason = f"{variable} names no interpreter with {name}"
        if python is None:
            return
        settings = {"hidden": hidden, "width": WIDTH, "batch": BATCH, "step": STEP, "rate": RATE}
        settings["threads"] = threads
        script = str(Path(__file__).parent / f"_{name.lower()}_step.py")
        self.process = subprocess.Popen(
            [python, script, json.dumps(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        if self._line() == "ready":
            self.call = self._seconds
        else:
            self.reason = f"{python} cannot import {name}"

    def _line(self) -> str:
        assert self.process is not None
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def _seconds(self) -> float:
        assert self.process is not None
        assert self.process.stdin is not None
        self.process.stdin.write("step\n")
        self.process.stdin.flush()
        return float(self._line())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.communicate()  # closes the pipes
