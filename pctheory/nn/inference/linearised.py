r"""The network linearised at the current activities, and the inverse of the energy's Gauss-Newton Hessian.

A change of the activities is the forward sweep d of changes :math:`\bar\epsilon` of the errors,
:math:`\bar\epsilon_l = d_l - J_l d_{l-1}`, and in these the energy of one sample is a least-squares problem,
:math:`\frac12\sum_l |\epsilon_l + \bar\epsilon_l|^2_{\Pi_l} + \frac12 |r - P\bar\epsilon|^2_C`. The n_L x n_L
matrix :math:`I + CK`, :math:`K = P\Sigma P^T`, solves it.

The *rows* of P say how the outputs depend on the errors below, and further rows say it of single hidden
units. Each is a backward sweep from its output or unit, done for all of them at once, and kept as long as the
slopes of its sample stay the same.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .._stacked import StackedNetwork, State, inverse, weight_by
from .problem import Trace

__all__ = ["Linearised"]


class Linearised:
    """Sweeps through the linearised network, its rows, and Gauss-Newton solutions.

    Parameters
    ----------
    dense : bool
        Whether the rows of the outputs are formed. Without them `solve` leaves out the output's part.

    Attributes
    ----------
    slopes : like the hidden stacks
        The activation's slopes that the rows belong to.
    rows : per stack (B, R, k, N)
        The first n_L rows are the outputs'; a sample's further rows are its units' in the order in which they
        were asked for, and zero where it has fewer than others.
    slot : per stack (k, B, N)
        The row of each unit, -1 where there is none.
    gram : (B, R, R)
        Products of the rows, weighted by the variances: the covariances of these outputs and units.
    """

    def __init__(self, net: StackedNetwork, state: State, trace: Trace, *, dense: bool) -> None:
        self.net, self.trace = net, trace
        self.batch = state.y.shape[0]
        self.outputs = state.y.shape[1] if dense else 0
        self.variances = [inverse(p) for p in net.stack_precisions]
        self.slopes: list[Tensor] = []
        self.rows = [z.new_zeros(self.batch, self.outputs, z.shape[0], z.shape[2]) for z in state.hidden]
        self.slot = [torch.full_like(z, -1, dtype=torch.long) for z in state.hidden]
        self.count = torch.full((self.batch,), self.outputs, device=state.y.device)
        self.gram = state.y.new_zeros(self.batch, self.outputs, self.outputs)

    # -- rows ------------------------------------------------------------------------------------------------

    def move(self, slopes: list[Tensor], curvature: Tensor) -> None:
        """Linearise with these slopes and this curvature of the output energy; samples whose slopes are as
        before keep their rows.
        """
        changed = torch.zeros(self.batch, dtype=torch.bool, device=curvature.device)
        for s, new in enumerate(slopes):
            changed |= (new != self.slopes[s]).any(2).any(0) if self.slopes else True
        self.slopes = [s.clone() for s in slopes]
        for slot, rows in zip(self.slot, self.rows, strict=True):
            slot[:, changed] = -1
            rows[changed] = 0
        self.count[changed] = self.outputs
        self._shape(int(self.count.max()))
        if self.outputs:
            (which,) = torch.nonzero(changed, as_tuple=True)
            samples = which.repeat_interleave(self.outputs)
            units = torch.arange(self.outputs, device=which.device).repeat(len(which))
            self._sweep(samples, torch.full_like(samples, self.net.depth), units, units)
            self._multiply(which)
            inner = self.gram[:, : self.outputs, : self.outputs]
            eye = torch.eye(self.outputs, dtype=curvature.dtype, device=curvature.device)
            self.core = torch.linalg.solve(eye + curvature @ inner, curvature)  # (I + C K)^-1 C

    def add(self, wanted: list[Tensor]) -> None:
        """Rows for the units that are marked and have none."""
        found = []
        for stack, mask in zip(self.net.stacks, wanted, strict=True):
            rows, samples, units = torch.nonzero(mask, as_tuple=True)
            found.append(torch.stack((samples, rows + stack.first, units)).flip(1))
        samples, layers, units = torch.cat(found[::-1], dim=1)  # from the output down
        order = torch.argsort(samples, stable=True)
        fresh = torch.bincount(samples, minlength=self.batch)
        place = torch.empty_like(samples)
        place[order] = (
            torch.arange(len(samples), device=samples.device) - (fresh.cumsum(0) - fresh)[samples[order]]
        )
        slots = self.count[samples] + place
        self.count += fresh
        self._shape(int(self.count.max()))
        for stack, slot in zip(self.net.stacks, self.slot, strict=True):
            mine = (layers >= stack.first) & (layers <= stack.last)
            slot[layers[mine] - stack.first, samples[mine], units[mine]] = slots[mine]
        self._sweep(samples, layers, units, slots)
        self._multiply(torch.nonzero(fresh, as_tuple=True)[0])

    def _shape(self, size: int) -> None:
        """Room for so many rows of each sample, and at most twice as much."""
        change = size - self.gram.shape[1]
        if change > 0 or 2 * size < self.gram.shape[1]:
            pad = torch.nn.functional.pad
            self.rows = [pad(r, (0, 0, 0, 0, 0, change)) for r in self.rows]
            self.gram = pad(self.gram, (0, change, 0, change))

    def _sweep(self, samples: Tensor, layers: Tensor, units: Tensor, slots: Tensor) -> None:
        """Backward sweeps from units of the given layers, which must not increase."""
        net, active, work = self.net, 0, 0
        starts = torch.bincount(layers, minlength=net.depth + 1).tolist()
        value = self.gram.new_empty(0, 0)
        for layer in range(net.depth, 0, -1):
            position = self._position(layer)
            if active:
                s, row = position  # type: ignore[misc]
                value = net.transport(value, layer + 1, self.slopes[s][row][samples[:active]])
                work += active
            if starts[layer]:
                new = self.gram.new_zeros(starts[layer], net.widths[layer])
                new.scatter_(1, units[active : active + starts[layer], None], 1)
                value = torch.cat((value, new)) if active else new
                active += starts[layer]
            if active and position is not None:
                s, row = position
                self.rows[s][samples[:active], slots[:active], row] = value
        self.trace.num_passes += work / (2 * self.batch * max(net.depth - 1, 1))

    def _multiply(self, samples: Tensor) -> None:
        """Products of the rows of these samples."""
        everything = len(samples) == self.batch
        gram = torch.zeros_like(self.gram if everything else self.gram[samples])
        for variance, rows in zip(self.variances, self.rows, strict=True):
            mine = rows if everything else rows[samples]
            gram.baddbmm_(_weighted(variance, mine).flatten(2), mine.flatten(2).mT)
        self.gram[samples] = gram

    def _position(self, layer: int) -> tuple[int, int] | None:
        """Stack and row of a hidden layer."""
        for s, stack in enumerate(self.net.stacks):
            if stack.first <= layer <= stack.last:
                return s, layer - stack.first
        return None

    # -- sweeps ----------------------------------------------------------------------------------------------

    def backward(self, forces: list[Tensor]) -> list[Tensor]:
        r""":math:`R^T f`, R being the forward sweep: forces on the activities as forces on the errors."""
        result = [torch.empty_like(f) for f in forces]
        value: Tensor | None = None
        layer = self.net.depth
        for s in reversed(range(len(forces))):
            for row in reversed(range(forces[s].shape[0])):
                total = forces[s][row]
                if value is not None:
                    total = total + self.net.transport(value, layer, self.slopes[s][row])
                value = result[s][row] = total
                layer -= 1
        self.trace.num_passes += 0.5
        return result

    def forward(self, changes: list[Tensor]) -> list[Tensor]:
        """Changes of the activities from changes of the errors."""
        result = [torch.empty_like(c) for c in changes]
        before: tuple[Tensor, Tensor] | None = None
        layer = 0
        for s, change in enumerate(changes):
            for row in range(change.shape[0]):
                layer += 1
                total = change[row]
                if before is not None:
                    total = total + self.net.push(before[0], layer, before[1])
                result[s][row] = total
                before = total, self.slopes[s][row]
        self.trace.num_passes += 0.5
        return result

    # -- solutions -------------------------------------------------------------------------------------------

    def solve(self, forces: list[Tensor]) -> list[Tensor]:
        """The Gauss-Newton changes of the errors under forces on the activities."""
        result = [weight_by(v, f) for v, f in zip(self.variances, self.backward(forces), strict=True)]
        if self.outputs:
            self._push(result, self._feedback(self.measure(result)[:, : self.outputs]))
        return result

    def measure(self, changes: list[Tensor]) -> Tensor:
        """By how much changes of the errors move the outputs and units of the rows, (B, R)."""
        total = torch.zeros_like(self.gram[:, :, :1])
        for rows, change in zip(self.rows, changes, strict=True):
            total.baddbmm_(rows.flatten(2), change.transpose(0, 1).flatten(1)[:, :, None])
        return total[:, :, 0]

    def response(self) -> Tensor:
        """How the rows of units move under forces on these units, (B, R - n_L, R - n_L)."""
        n = self.outputs
        cross = self.gram[:, n:, :n]
        return self.gram[:, n:, n:] - cross @ self.core @ cross.mT

    def press(self, changes: list[Tensor], forces: Tensor) -> None:
        """Add the Gauss-Newton changes of the errors under forces (B, R - n_L) on the units with rows."""
        moved = (self.gram[:, : self.outputs, self.outputs :] @ forces[..., None])[..., 0]
        self._push(changes, torch.cat((self._feedback(moved), forces), dim=1))

    def _push(self, changes: list[Tensor], forces: Tensor) -> None:
        """Add the changes of the errors that forces on the rows (B, at most R) make."""
        size = forces.shape[1]
        for rows, variance, change in zip(self.rows, self.variances, changes, strict=True):
            pressed = (forces[:, None, :] @ rows[:, :size].flatten(2)).reshape(-1, *rows.shape[2:])
            change.add_(weight_by(variance, pressed.transpose(0, 1)))

    def _feedback(self, moved: Tensor) -> Tensor:
        """The force with which the outputs answer their change, (B, n_L)."""
        return -(self.core @ moved[..., None])[..., 0]

    def gather(self, values: list[Tensor]) -> Tensor:
        """Values of hidden units at their rows, (B, R - n_L); zero where a sample has fewer rows."""
        result = self.gram.new_zeros(self.batch, self.gram.shape[1] - self.outputs)
        for slot, value in zip(self.slot, values, strict=True):
            _, samples, _ = found = torch.nonzero(slot >= 0, as_tuple=True)
            result[samples, slot[found] - self.outputs] = value[found].to(result)
        return result

    def scatter(self, values: Tensor) -> list[Tensor]:
        """The inverse of `gather`; zero at units without rows."""
        result = []
        for slot in self.slot:
            _, samples, _ = found = torch.nonzero(slot >= 0, as_tuple=True)
            result.append(torch.zeros_like(slot, dtype=values.dtype))
            result[-1][found] = values[samples, slot[found] - self.outputs]
        return result


def _weighted(variance: float | Tensor, rows: Tensor) -> Tensor:
    """A stack's Sigma times rows (B, R, k, N)."""
    if isinstance(variance, float):
        return weight_by(variance, rows)
    if variance.shape[1] == 1:
        return rows * variance[:, 0]
    return torch.einsum("brkn,knm->brkm", rows, variance)
