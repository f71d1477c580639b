r"""The network at one moment: energies, gradients and Hessian products of all layers of a stack in a few
batched products.

Hidden layers of equal width that follow each other form a *stack*: their activities are one tensor (k, B, N),
and the maps between them one tensor (k-1, N, N). Any other map, a convolution too, is the *entry* of a stack.

Two gradients occur. *Per sample* means B times the gradient of the energy F: no factor 1/B.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .maps import StackedMaps
from .stacks import (
    Errors,
    Gradient,
    State,
    inner_errors,
    inner_gradient,
    rows_of,
    weight_by,
    weight_output,
)

__all__ = ["StackedNetwork"]


class StackedNetwork(StackedMaps):
    r"""A network's maps in stacks, with the energy of activities and its derivatives."""

    def errors(self, state: State, *, lowest: int = 1, settled_below: bool = False) -> Errors:
        r"""Prediction errors :math:`\epsilon_l`; without cancellation where the state has a displacement.

        Parameters
        ----------
        state : State
            Activities of all layers; `hidden` follows its displacement.
        lowest : int
            Only layers from here up are computed.
        settled_below : bool
            The error of layer `lowest` is zero (the front has just reached it) and is not computed. Always
            true when `lowest` > 1.

        Returns
        -------
        Errors
            Of the layers from `lowest` up.

        Notes
        -----
        Results are written into buffers of this object and are valid until the next call.
        """
        phis, errors, _ = self._workspace(state.x.shape[0])
        rest = state.displacement
        before_phi = state.x
        weighted: list[Tensor] = []
        for s, stack in enumerate(self.stacks):
            error = errors[s]
            if stack.last < lowest:
                weighted.append(error)
                continue
            j0 = max(lowest - stack.first, 0)
            z = state.hidden[s] if rest is None else rest.moved[s]
            if rest is None:
                pre = self._activated(z, phis[s], j0)
            else:
                torch.add(rest.origin[s][j0:], z[j0:], out=state.hidden[s][j0:])
                pre = phis[s]
                rest.changes(self.activation)[s](j0)(z[j0:], pre[j0:])
            inner, tau = self.inners[s], self.taus[s]
            if j0 + 1 < stack.size:
                assert inner is not None
                inner_errors(
                    z[j0 + 1 :], z[j0:-1], pre[j0:-1], inner[j0:].mT, rows_of(tau, j0), error[j0 + 1 :]
                )
                if rest is None and (shift := self.inner_shifts[s]) is not None:
                    error[j0 + 1 :].sub_(shift[j0:])  # displacements do not feel it
            if stack.first + j0 == lowest and (lowest > 1 or settled_below):
                error[j0] = 0
            elif rest is not None and s == 0:
                error[0] = z[0]  # the input does not move
            else:  # then j0 is 0
                self.residual(stack.first, z[0], before_phi, error[0])
                if rest is None and self.shifts:
                    error[0].sub_(self.shifts[stack.first - 1])
                if self.skip[stack.first - 1]:
                    error[0].sub_((state.hidden if rest is None else rest.moved)[s - 1][-1])
            weighted.append(weight_by(self.stack_precisions[s], error, j0))
            before_phi = pre[-1]
        prediction = self.mapped(self.depth, before_phi)
        if rest is not None:
            prediction = prediction + rest.prediction
        elif self.shifts:
            prediction = prediction + self.shifts[-1]
        output = self.output_error(prediction, state.y)
        return Errors(
            lowest, errors, weighted, output, weight_output(self.output_precision, output), prediction
        )

    def errors_of(self, hidden: list[Tensor], prediction: Tensor, y: Tensor) -> Errors:
        """Given errors of the hidden layers, weighted, with the output's at `prediction`."""
        weighted = [weight_by(p, e) for p, e in zip(self.stack_precisions, hidden, strict=True)]
        output = self.output_error(prediction, y)
        return Errors(1, hidden, weighted, output, weight_output(self.output_precision, output), prediction)

    def _activated(self, z: Tensor, out: Tensor, j0: int) -> Tensor:
        """Values of the activation from row j0 up, in `out` unless they are z itself."""
        phi = self.activation
        if phi.is_linear:
            return z
        if phi.name == "relu":
            torch.clamp_min(z[j0:], 0.0, out=out[j0:])
        elif phi.name == "tanh":
            torch.tanh(z[j0:], out=out[j0:])
        else:
            out[j0:] = phi.value(z[j0:])
        return out

    def gradient(
        self,
        state: State,
        *,
        lowest: int = 1,
        settled_below: bool = False,
        slopes: list[Tensor] | None = None,
        ends: tuple[bool, bool] = (False, False),
    ) -> Gradient:
        r"""Per-sample gradient :math:`\Pi_l\epsilon_l - \phi'(z_l) \circ M_{l+1}^T\Pi_{l+1}\epsilon_{l+1} -
        \tau\dots`.

        Parameters
        ----------
        state, lowest, settled_below : see `errors`
            Where, and of which layers.
        slopes : None, or like the hidden stacks
            :math:`\phi'(z)` to use instead of the activation's own: the choice of a subgradient at a kink.
        ends : (input, output)
            Whether the gradients of z_0 and of a free z_L are wanted too.

        Returns
        -------
        Gradient
            Of the layers from `lowest` up.

        Notes
        -----
        Results are written into buffers of this object and are valid until the next call.
        """
        errors = self.errors(state, lowest=lowest, settled_below=settled_below)
        phis, _, backs = self._workspace(state.x.shape[0])
        phi, weighted, output_weighted = self.activation, errors.weighted, errors.output_weighted
        gradients: list[Tensor] = [None] * len(self.stacks)  # type: ignore[list-item]
        upper, above_weighted = self.depth, output_weighted
        for s in reversed(range(len(self.stacks))):
            stack, back = self.stacks[s], backs[s]
            gradients[s] = back
            if stack.last < lowest:
                continue
            j0 = max(lowest - stack.first, 0)
            g, inner, tau = weighted[s], self.inners[s], self.taus[s]
            self.pulled(upper, above_weighted, back[-1])
            if inner is not None and j0 + 1 < stack.size:
                torch.bmm(g[j0 + 1 :], inner[j0:], out=back[j0:-1])
            active = back[j0:]
            if slopes is not None:
                active.mul_(slopes[s][j0:])
            elif not phi.is_linear:
                # only tanh's pullback reads the values; with a displacement changes stand in their place
                if state.displacement is not None and phi.name == "tanh":
                    self._activated(state.hidden[s], phis[s], j0)
                active = phi.pullback(active, state.hidden[s][j0:], phis[s][j0:])
            inner_gradient(g[j0:], active, g[j0 + 1 :], rows_of(tau, j0), back[j0:])
            if self.skip[upper - 1]:
                back[-1].sub_(above_weighted)
            upper, above_weighted = stack.first, g[0]
        return Gradient(
            errors,
            gradients,
            -self.pulled(upper, above_weighted) if ends[0] else None,
            output_weighted if ends[1] else None,
        )

    def energy_of(self, errors: Errors, y: Tensor) -> float:
        """The energy F, from the errors."""
        total = self.output_energy(errors.prediction, y).sum()
        for s, stack in enumerate(self.stacks):
            j0 = max(errors.lowest - stack.first, 0)
            if j0 < stack.size:
                total = total + 0.5 * torch.sum(errors.hidden[s][j0:] * errors.weighted[s][j0:])
        return float(total) / y.shape[0]

    def energy(self, state: State) -> Tensor:
        """Energy of each sample, (B,): its mean is F."""
        batch = state.x.shape[0]
        total = state.x.new_zeros(batch)
        before, layer = state.x, 0
        for s, stack in enumerate(self.stacks):
            z = state.hidden[s]
            pre = self.activation.value(z)
            error = torch.empty_like(z)
            torch.sub(z[0], self._predict(before, layer), out=error[0])
            inner, tau = self.inners[s], self.taus[s]
            if inner is not None:
                torch.sub(z[1:], tau * z[:-1], out=error[1:])
                error[1:].baddbmm_(pre[:-1], inner.mT, alpha=-1)
                if (shift := self.inner_shifts[s]) is not None:
                    error[1:].sub_(shift)
            weighted = weight_by(self.stack_precisions[s], error)
            total = total + 0.5 * torch.einsum("kbn,kbn->b", error, weighted)
            before, layer = z[-1], stack.last
        return total + self.output_energy(self._predict(before, layer), state.y)

    def output_curvature(self, prediction: Tensor) -> Tensor:
        r"""Hessian C of the output energy in the prediction, (B, n_L, n_L): :math:`\Pi_L`, or diag(p) - p
        p^T.

        Returns
        -------
        (B, n_L, n_L)
            One matrix a sample.
        """
        eye = torch.eye(self.widths[-1], dtype=prediction.dtype, device=prediction.device)
        if self.output == "cross-entropy":
            p = torch.softmax(prediction, -1)
            return self.precisions[-1] * (p[:, :, None] * eye - p[:, :, None] * p[:, None, :])
        own = self.output_precision
        if isinstance(own, Tensor) and own.ndim == 3:
            return own * eye if own.shape[1] == 1 else own
        return weight_by(own, eye).expand(prediction.shape[0], -1, -1)

    def hessian_product(
        self,
        vectors: list[Tensor],
        slopes: list[Tensor],
        curvature: Tensor,
        diagonal: list[Tensor] | None,
    ) -> list[Tensor]:
        r"""Per-sample Hessian of the energy in the hidden activities times `vectors`.

        `curvature` is that of the output energy; `diagonal` is :math:`-\phi''(z_l) \circ
        M_{l+1}^T\Pi_{l+1}\epsilon_{l+1}`, without which the product is Gauss-Newton's.

        Returns
        -------
        list of tensors like `vectors`
            The products, stack by stack.
        """
        moved = [s * v for s, v in zip(slopes, vectors, strict=True)]
        weighted = []
        for s, v in enumerate(vectors):
            change = v.clone()
            inner = self.inners[s]
            if inner is not None:
                change[1:].sub_(self.taus[s] * v[:-1]).baddbmm_(moved[s][:-1], inner.mT, alpha=-1)
            if s:
                first = self.stacks[s].first
                self.residual(first, change[0], moved[s - 1][-1], change[0])
                if self.skip[first - 1]:
                    change[0].sub_(vectors[s - 1][-1])
            weighted.append(weight_by(self.stack_precisions[s], change))
        upper = self.depth
        above_weighted = -torch.einsum("bij,bj->bi", curvature, self.mapped(upper, moved[-1][-1]))
        result: list[Tensor] = [None] * len(vectors)  # type: ignore[list-item]
        for s in reversed(range(len(vectors))):
            g, inner = weighted[s], self.inners[s]
            back = torch.empty_like(g)
            self.pulled(upper, above_weighted, back[-1])
            if inner is not None:
                torch.bmm(g[1:], inner, out=back[:-1])
            back.mul_(slopes[s]).neg_().add_(g)
            if inner is not None:
                back[:-1].sub_(self.taus[s] * g[1:])
            if self.skip[upper - 1]:
                back[-1].sub_(above_weighted)
            if diagonal is not None:
                back.addcmul_(diagonal[s], vectors[s])
            result[s] = back
            upper, above_weighted = self.stacks[s].first, g[0]
        return result

    def local_gradients(self, state: State, errors: Errors, multipliers: tuple[float, ...]) -> list[Tensor]:
        """The local rule for the weights, then for the biases if there are any.

        Errors below their `lowest` are zero, and so are their gradients.

        Returns
        -------
        list of tensors like the weights, then like the biases, l = 1..L each
        """
        return [*self._weight_gradients(state, errors, multipliers), *self._bias_gradients(errors)]

    def _bias_gradients(self, errors: Errors) -> list[Tensor]:
        r"""The local rule :math:`-\frac1B\sum_i \Pi_l\epsilon_l`, l = 1..L."""
        if not self.shifts:
            return []
        forces: list[Tensor] = []
        for stack, weighted in zip(self.stacks, errors.weighted, strict=True):
            below = max(errors.lowest - stack.first, 0)
            forces += [torch.zeros_like(g) if row < below else g for row, g in enumerate(weighted)]
        forces.append(errors.output_weighted)
        return [-o.collect(g) / len(g) for o, g in zip(self.operators, forces, strict=True)]

    def _weight_gradients(self, state: State, errors: Errors, multipliers: tuple[float, ...]) -> list[Tensor]:
        r"""The local rule :math:`-\frac{a_l}{B}\sum_i (\Pi_l\epsilon_l)\,\phi(z_{l-1})^T`, l = 1..L."""
        batch = state.x.shape[0]
        result: list[Tensor] = []
        before = state.x
        for s, stack in enumerate(self.stacks):
            z, g = state.hidden[s], errors.weighted[s]
            j0 = max(errors.lowest - stack.first, 0)
            if j0 == 0:
                gradient = self.operators[stack.first - 1].gradient(g[0], before)
                result.append((-multipliers[stack.first - 1] / batch) * gradient)
            else:
                result.append(torch.zeros_like(self.maps[stack.first - 1]))
            if stack.size > 1:
                scales = multipliers[stack.first : stack.last]
                inner = z.new_zeros(stack.size - 1, stack.width, stack.width)
                j1 = min(max(j0, 1), stack.size)  # first row with an inner map above it
                if j1 < stack.size:
                    torch.bmm(g[j1:].mT, self.activation.value(z[j1 - 1 : -1]), out=inner[j1 - 1 :])
                if len(set(scales)) == 1:
                    inner.mul_(-scales[0] / batch)
                else:
                    inner.mul_(inner.new_tensor([-a / batch for a in scales])[:, None, None])
                result.extend(inner.unbind(0))
            before = self.activation.value(z[-1])
        result.append(
            (-multipliers[-1] / batch) * self.operators[-1].gradient(errors.output_weighted, before)
        )
        return result

    def _workspace(self, batch: int) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        if self._buffers is None or any(b.shape[1] != batch for b in self._buffers[0]):
            self._buffers = (
                self.empty_like_hidden(batch),
                self.empty_like_hidden(batch),
                self.empty_like_hidden(batch),
            )
        return self._buffers
