"""The toy problem of the limits: Gaussian inputs, labels +1 and -1, one output, full-batch descent."""

from __future__ import annotations

from typing import Any

import numpy as np

from experiments._descent import SGD, bp_gradient, cosine, loss_of, pc_gradient, single, train
from pctheory import Data, LinearPCN, equilibrium, mean_field_training, rescaling
from pctheory.model import learning_rate_scale


def toy_data(inputs: int, samples: int, seed: int) -> Data:
    """Inputs N(0, I), half of the labels +1 and half -1."""
    rng = np.random.default_rng([seed, 40])
    y = np.where(np.arange(samples) % 2 == 0, 1.0, -1.0)
    return Data(rng.standard_normal((samples, inputs)), y[:, None])


def toy_cell(
    config: Any,
    width: int,
    hidden: int,
    rng: np.random.Generator,
    options: dict[str, Any],
    rule: str = "pc",
    **record: bool,
) -> dict[str, np.ndarray]:
    """One run on the data of the config, with `hidden` layers of `width`."""
    data = toy_data(config.inputs, config.samples, config.seed)
    widths = [config.inputs, *[width] * hidden, 1]
    return toy_run(data, widths, options, rule, config.rate, config.steps, rng, **record)


def toy_mean_field(config: Any, *, skips: bool, gamma: float = 1.0) -> dict[str, np.ndarray]:
    """Loss and N (s - 1) of the infinitely wide network of the config."""
    data = toy_data(config.inputs, config.samples, config.seed)
    field = mean_field_training(
        data, config.hidden, learning_rate=config.rate, num_steps=config.steps, skips=skips, gamma=gamma
    )
    return {"loss": field.losses, "excess": field.excess[:, 0, 0]}


def toy_run(
    data: Data,
    widths: list[int],
    options: dict[str, Any],
    rule: str,
    rate: float,
    steps: int,
    rng: np.random.Generator,
    *,
    precise: bool = False,
    details: bool = True,
) -> dict[str, np.ndarray]:
    """Curves of one run: loss, energy, s - 1, norms of the two terms of the gradient of F*, cosine with
    backprop.

    The learning rate is scaled by the parameterisation's powers, also in gamma. Diverged runs end in nan.
    """
    net = LinearPCN.random(widths, rng=rng, **options)
    net = net if precise else single(net)
    scale = learning_rate_scale(
        widths,
        options.get("parameterisation", "sp"),
        "sgd",
        skips=options.get("skips", False),
        gamma=options.get("gamma", 1.0),
    )
    names = ("loss", "energy", "excess", "rescaled", "extra", "cosine")
    curves = {name: np.full(steps + 1, np.nan) for name in names}

    def observe(t: int, state: LinearPCN, batch: Data) -> None:
        curves["loss"][t] = loss_of(state, batch)
        if rule == "bp" and not details:
            return
        curves["energy"][t] = float(equilibrium(state, batch).energy)
        curves["excess"][t] = float(rescaling(state)[0, 0]) - 1
        if not details:
            return
        slope = pc_gradient(state, batch)[1]
        curves["cosine"][t] = cosine(slope, bp_gradient(state, batch)[1])
        s = 1 + curves["excess"][t]
        first = [
            g / s for g in bp_gradient(state, batch)[1]
        ]  # the split of one output: grad L / s, and the rest
        curves["rescaled"][t] = np.sqrt(sum(float(np.vdot(g, g)) for g in first))
        rest = [a - b for a, b in zip(slope, first, strict=True)]
        curves["extra"][t] = np.sqrt(sum(float(np.vdot(g, g)) for g in rest))

    gradient = pc_gradient if rule == "pc" else bp_gradient
    train(net, lambda t: data, gradient, SGD(rate * scale), steps, observe)
    return curves
