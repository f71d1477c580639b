r"""Effective maps in stacks, and the sweeps that go layer by layer: the forward and the backward pass."""

from __future__ import annotations

import torch
from torch import Tensor

from .._activation import Activation
from ..layers import Operator
from .stacks import Stack, State, inverse, observed_precision, stacked_precision, weight_by, weight_output

__all__ = ["StackedMaps"]


class StackedMaps:
    r"""Effective maps :math:`a_l W_l`, skips and precisions, read from a model once.

    Parameters
    ----------
    widths, operators, activation, stacks : the model's
    weights : without multipliers: of each stack the entry's and the inner maps (k-1, N, N), and the output's
    shifts : the biases as rows (n_l,), l = 1..L; none without biases
    observed : booleans (B, n_L), or None: the outputs that have an error; the others are free, see
        `observed_precision`
    """

    def __init__(
        self,
        widths: tuple[int, ...],
        operators: tuple[Operator, ...],
        activation: Activation,
        stacks: tuple[Stack, ...],
        weights: tuple[list[Tensor], list[Tensor | None], Tensor],
        shifts: tuple[Tensor, ...],
        multipliers: tuple[float, ...],
        skips: tuple[bool, ...],
        precisions: tuple[float | Tensor, ...],
        output: str,
        observed: Tensor | None = None,
    ) -> None:
        self.widths, self.activation, self.stacks, self.output = widths, activation, stacks, output
        self.operators, self.depth = operators, len(widths) - 1
        self.precisions, self.shifts = precisions, shifts
        self.inner_shifts = [
            torch.stack(shifts[s.first : s.last])[:, None] if shifts and s.size > 1 else None for s in stacks
        ]
        entries, inners, last = weights
        self.inners: list[Tensor | None] = []
        self.taus: list[float | Tensor] = []
        for stack, inner in zip(stacks, inners, strict=True):
            if inner is None:
                self.inners.append(None)
                self.taus.append(0.0)
                continue
            scales = multipliers[stack.first : stack.last]
            taus = [float(skip) for skip in skips[stack.first : stack.last]]
            if len(set(scales)) == 1:
                inner = _scaled(inner, scales[0])
            else:
                inner = inner * inner.new_tensor(scales)[:, None, None]
            if activation.is_linear and any(taus):  # the skip is part of the map: A_l = a_l W_l + I
                eye = torch.eye(stack.width, dtype=inner.dtype, device=inner.device)
                inner = inner + inner.new_tensor(taus)[:, None, None] * eye
                taus = [0.0]
            self.inners.append(inner)
            self.taus.append(taus[0] if len(set(taus)) == 1 else inner.new_tensor(taus)[:, None, None])
        self.maps: list[Tensor] = []
        self.skip: list[float] = []
        for entry, inner, tau, stack in zip(entries, self.inners, self.taus, stacks, strict=True):
            self.maps.append(_scaled(entry, multipliers[stack.first - 1]))
            self.skip.append(float(skips[stack.first - 1]))
            if inner is not None:
                self.maps.extend(inner.unbind(0))
                flat = [tau] * (stack.size - 1) if isinstance(tau, float) else tau.flatten().tolist()
                self.skip.extend(flat)
        self.maps.append(_scaled(last, multipliers[-1]))
        self.skip.append(0.0)
        self.observed = observed
        self.output_precision = observed_precision(precisions[-1], observed, last)
        self.stack_precisions = [stacked_precision(precisions, s, last) for s in stacks]
        self._buffers: tuple[list[Tensor], list[Tensor], list[Tensor]] | None = None

    # -- maps ------------------------------------------------------------------------------------------------

    def mapped(self, layer: int, rows: Tensor) -> Tensor:
        r""":math:`M_l v` of the layer l = `layer`."""
        return self.operators[layer - 1].push(self.maps[layer - 1], rows)

    def pulled(self, layer: int, rows: Tensor, out: Tensor | None = None) -> Tensor:
        r""":math:`M_l^T v` of the layer l = `layer`."""
        return self.operators[layer - 1].pull(self.maps[layer - 1], rows, out)

    def residual(self, layer: int, target: Tensor, rows: Tensor, out: Tensor) -> Tensor:
        r"""`target` minus :math:`M_l v`, into `out`."""
        return self.operators[layer - 1].residual(self.maps[layer - 1], target, rows, out)

    # -- the forward pass ------------------------------------------------------------------------------------

    def empty_like_hidden(self, batch: int) -> list[Tensor]:
        """Uninitialised hidden stacks."""
        return [self.maps[-1].new_empty(s.size, batch, s.width) for s in self.stacks]

    def feedforward(self, x: Tensor) -> State:
        """Activities without prediction errors; y is the prediction."""
        hidden = self.empty_like_hidden(x.shape[0])
        state = self.roll(x, None, State(x, hidden, x))
        state.prediction = state.y
        return state

    def roll(self, x: Tensor, errors: list[Tensor] | None, state: State) -> State:
        r"""The forward pass with given errors: :math:`z_l = \mathrm{prediction}_l + \epsilon_l`, written into
        `state`.

        The returned state's y is the prediction of layer L.

        Returns
        -------
        State
            x, the hidden stacks of `state`, and the prediction.
        """
        before, layer = x, 0
        for index, hidden in enumerate(state.hidden):
            for row in range(hidden.shape[0]):
                prediction = self._predict(before, layer)
                before = hidden[row]
                if errors is None:
                    before.copy_(prediction)
                else:
                    torch.add(prediction, errors[index][row], out=before)
                layer += 1
        return State(x, state.hidden, self._predict(before, layer))

    def _predict(self, before: Tensor, layer: int) -> Tensor:
        """Prediction of layer `layer + 1` from the activity of layer `layer`."""
        value = self.activation.value(before) if layer else before
        prediction = self.mapped(layer + 1, value)
        if self.shifts:
            prediction = prediction + self.shifts[layer]
        return prediction.add_(before) if self.skip[layer] else prediction

    def output_error(self, prediction: Tensor, y: Tensor) -> Tensor:
        """The last error, y minus the prediction or its softmax: (B, n_L)."""
        return y - (torch.softmax(prediction, -1) if self.output == "cross-entropy" else prediction)

    def output_force(self, prediction: Tensor, y: Tensor) -> Tensor:
        r"""Minus the per-sample gradient of the output energy in the prediction, :math:`\Pi_L \epsilon_L`.

        Returns
        -------
        (B, n_L)
            One row a sample.
        """
        return weight_output(self.output_precision, self.output_error(prediction, y))

    def output_energy(self, prediction: Tensor, y: Tensor) -> Tensor:
        """Output energy of each sample, (B,)."""
        if self.output == "cross-entropy":
            surprise = -(y * torch.log_softmax(prediction, -1)).sum(-1)
            return self.precisions[-1] * surprise
        error = y - prediction
        return 0.5 * (error * weight_output(self.output_precision, error)).sum(-1)

    def filled(self, state: State) -> Tensor:
        """The outputs, (B, n_L): the observed ones as they are, the others where the energy is least."""
        if self.observed is None:
            return state.y
        before = state.hidden[-1][-1] if state.hidden else state.x
        prediction = self._predict(before, self.depth - 1)
        error = self.filled_error(self.output_force(prediction, state.y))
        return torch.where(self.observed, state.y, prediction + error)

    def filled_error(self, force: Tensor) -> Tensor:
        r"""The output error :math:`\Sigma_L \delta` of the filled outputs with the force :math:`\delta`."""
        return weight_by(inverse(self.precisions[-1]), force)

    # -- the backward pass -----------------------------------------------------------------------------------

    def slopes(self, state: State) -> list[Tensor]:
        r""":math:`\phi'(z)` of the hidden stacks."""
        return [self.activation.slope(z, self.activation.value(z)) for z in state.hidden]

    def pull_back(self, output: Tensor, slopes: list[Tensor], into: list[Tensor]) -> None:
        r"""The backward pass: :math:`\lambda_{L} =` `output`, :math:`\lambda_l = J_{l+1}^T \lambda_{l+1}`,
        into hidden stacks.

        `output` is (..., B, n_L) and `into` (k, ..., B, N): several vectors may go back at once.
        """
        value, layer = output, self.depth
        for s in reversed(range(len(self.stacks))):
            for row in reversed(range(self.stacks[s].size)):
                value = self.transport(value, layer, slopes[s][row], into[s][row])
                layer -= 1

    def transport(self, value: Tensor, layer: int, slope: Tensor, out: Tensor | None = None) -> Tensor:
        r""":math:`J_l^T v = \phi'(z_{l-1}) \circ (M_l^T v) + \tau_l v` for the layer l = `layer` > 1."""
        result = self.pulled(layer, value, out).mul_(slope)
        return result.add_(value) if self.skip[layer - 1] else result

    def push(self, value: Tensor, layer: int, slope: Tensor) -> Tensor:
        r""":math:`J_l v = M_l (\phi'(z_{l-1}) \circ v) + \tau_l v` for the layer l = `layer` > 1."""
        result = self.mapped(layer, slope * value)
        if self.skip[layer - 1]:
            result.add_(value, alpha=self.skip[layer - 1])
        return result


def _scaled(weight: Tensor, multiplier: float) -> Tensor:
    return weight if multiplier == 1.0 else multiplier * weight
