r"""The gradient in a few layers at a time, for descents that follow a band of layers down the network."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from .network import StackedNetwork
from .stacks import State, inner_errors, inner_gradient, rows_of, weight_by, weight_output

__all__ = ["Windows"]


class _Views(NamedTuple):
    """What a call reads and writes; `above` and `below` are of the inner layers that have errors."""

    change: Callable[[Tensor, Tensor], object]
    moved: Tensor
    origin: Tensor
    above: Tensor
    below: Tensor
    errors: Tensor
    own: Tensor
    upper: Tensor
    maps: Tensor
    transposed: Tensor
    tau: float | Tensor
    precision: float | Tensor
    values: Tensor
    lower_values: Tensor
    back: Tensor
    lower_back: Tensor


class Windows:
    """The gradient in some rows of a network that is one stack, displaced.

    The errors stay in place. A call for the rows start, ..., stop - 1 reads that of its first row from the
    last call that ended below it, and leaves that of row `stop` to the next call above.

    Parameters
    ----------
    net, state : the network and its activities
    most : int
        Rows of a call, at most.
    """

    def __init__(self, net: StackedNetwork, state: State, most: int) -> None:
        assert state.displacement is not None
        self.net, self.state, self.rest = net, state, state.displacement
        (self.moved,), (self.origin,) = self.rest.moved, self.rest.origin
        self.errors = torch.zeros_like(self.moved)
        most = min(most, len(self.moved))
        self.values, self.back = (torch.empty_like(self.moved[:most]) for _ in range(2))
        (self.change,) = self.rest.changes(net.activation)
        self.views: dict[tuple[int, int], _Views] = {}

    def gradient(self, start: int, stop: int, *, settled: bool) -> Tensor:
        """Per-sample gradient in the rows start, ..., stop - 1, valid until the next call.

        The error of the first row is zero if it is `settled`; that of layer 1 is its displacement.

        Returns
        -------
        (stop - start, B, N)
        """
        v = self.views.get((start, stop)) or self._cut(start, stop)
        net, phi, top = self.net, self.net.activation, stop == len(self.moved)
        v.change(v.moved, v.values)
        if len(v.upper):
            inner_errors(v.above, v.below, v.lower_values, v.transposed, v.tau, v.upper)
        if start == 0 and not settled:
            self.errors[0] = self.moved[0]  # the input does not move
        own, upper = v.own, v.upper
        if (weighted := weight_by(v.precision, v.errors)) is not v.errors:
            own, upper = weighted[: len(own)], weighted[1:]
        if len(upper):
            torch.bmm(upper, v.maps, out=v.lower_back)
        if top:
            output = net.output_error(
                net.mapped(net.depth, v.values[-1]) + self.rest.prediction, self.state.y
            )
            net.pulled(net.depth, weight_output(net.output_precision, output), v.back[-1])
        active = v.back
        if not phi.is_linear:
            here = torch.add(v.origin, v.moved, out=v.values)
            if phi.name == "tanh":  # its pullback reads the values, and no activities
                torch.tanh(here, out=here)
            active = phi.pullback(active, here, here)
        inner_gradient(own, active, upper, v.tau, v.back)
        return v.back

    def _cut(self, start: int, stop: int) -> _Views:
        num, end = stop - start, min(stop + 1, len(self.moved))
        inner = end - start - 1
        (maps,), (tau,), (precision,) = self.net.inners, self.net.taus, self.net.stack_precisions
        rows = self.moved if maps is None else maps
        own = rows[start : start + inner]
        found = self.views[start, stop] = _Views(
            change=self.change(start, stop),
            moved=self.moved[start:stop],
            origin=self.origin[start:stop],
            above=self.moved[start + 1 : end],
            below=self.moved[start : end - 1],
            errors=self.errors[start:end],
            own=self.errors[start:stop],
            upper=self.errors[start + 1 : end],
            maps=own,
            transposed=own.mT,
            tau=rows_of(tau, start, start + inner),
            precision=rows_of(precision, start, end),
            values=self.values[:num],
            lower_values=self.values[:inner],
            back=self.back[:num],
            lower_back=self.back[:inner],
        )
        return found
