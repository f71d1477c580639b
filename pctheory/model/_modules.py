"""Reading a torch module without importing torch: its linear layers, and whether it does anything else."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from .. import _check

__all__ = ["linear_layers", "require_same_map"]


class Network(Protocol):
    """What is compared with the module."""

    @property
    def maps(self) -> tuple[Any, ...]: ...

    @property
    def widths(self) -> tuple[int, ...]: ...


def linear_layers(module: Any) -> list[Any]:
    """The weights of the bias-free linear layers of a module, in the order in which it lists them."""
    leaves = [leaf for leaf in module.modules() if not any(True for _ in leaf.children())]
    matrices = []
    for leaf in leaves:
        kind = type(leaf).__name__
        if kind in ("Identity", "Flatten"):
            continue
        if not hasattr(leaf, "in_features"):
            raise ValueError(
                f"`module` must hold only linear layers: a linear network is what the theory describes. Got "
                f"{kind}."
            )
        if getattr(leaf, "bias", None) is not None:
            raise ValueError(
                "`module` must have no biases. Got one on a layer "
                f"{leaf.in_features} -> {leaf.out_features}: build it with bias=False, or append a constant "
                f"input."
            )
        matrices.append(leaf.weight)
    if not matrices:
        raise ValueError(f"`module` must hold linear layers. Got {type(module).__name__} without any.")
    return matrices


def require_same_map(module: Any, net: Network, weight: Any) -> None:
    """Raise an error if the output of a module on random inputs is not that of the network."""
    inputs = np.random.default_rng(0).standard_normal((4, net.widths[0]))
    try:
        output = _check.to_numpy(module(weight.new_tensor(inputs)), "output")
    except Exception as error:
        raise ValueError(
            f"`module` must take rows (B, {net.widths[0]}). Got {type(error).__name__} when it was run: "
            f"{error}"
        ) from error
    expected = inputs
    for matrix in net.maps:
        expected = expected @ matrix.T
    eps = 2.0**-52 if weight.element_size() == 8 else 2.0**-23
    scale = max(float(np.max(np.abs(expected))), float(np.max(np.abs(output), initial=0.0)))
    if output.shape != expected.shape or np.max(np.abs(output - expected)) > 1e3 * eps * scale * sum(
        net.widths
    ):
        raise ValueError(
            "`module` must apply its linear layers one after another and nothing else. Got other outputs on "
            "random inputs: its `forward` has a skip, a non-linearity, or a layer that is used twice; pass "
            "the matrices to LinearPCN(weights, skips=...) instead."
        )
