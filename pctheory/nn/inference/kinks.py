r"""Newton steps for activations with a kink at 0: the minimum of a convex model in which units may come to
rest at their kinks.

With fixed slopes the Hessian is Gauss-Newton's. What it leaves out is that the pull u on phi(z) of a unit, u
< 0, changes the energy's slope when z changes sign: the energy has a convex kink, to which the model adds
:math:`w \max(0, -\sigma(z + d))`, w = |u| times the jump of the slope, sigma the side that the unit is on.
The dual of the model in the forces :math:`0 \leq \lambda \leq w` of the kinks is a box-constrained quadratic
program in the few units that reach them: with :math:`\lambda = 0` a unit stays on its side, with
:math:`\lambda = w` it crosses, and in between it rests at 0. At a concave kink (u > 0) the energy lies below
its continuation, and nothing is added: a step that descends in the model descends.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .linearised import Linearised

__all__ = ["Kinks", "box_program", "smallest_slope"]

MAX_ROUNDS = 8
MAX_ROWS = 128
"""Most units of a sample that are admitted to the model in a round, besides those at 0."""
MAX_ITERATIONS = 60
ARMIJO = 1e-4


def smallest_slope(z: Tensor, own: Tensor, pull: Tensor, slope: Tensor, kink: tuple[float, float]) -> Tensor:
    """The slope at z = 0 that gives the subgradient of smallest norm; elsewhere `slope`.

    The energy along one unit falls or rises by own - slope * pull. With pull < 0 the kink is convex: the
    slope that makes the gradient smallest is chosen. With pull >= 0 it is concave, never a resting place: the
    steeper side is chosen.

    Returns
    -------
    tensor like z
        The slopes.
    """
    left, right = kink
    balanced = (own / torch.where(pull < 0, pull, -1)).clamp(left, right)
    steeper = torch.where((own - right * pull).abs() > (own - left * pull).abs(), right, left).to(z)
    return torch.where(z == 0, torch.where(pull < 0, balanced, steeper), slope)


class Kinks:
    """The model at the current activities: the slopes it uses, and the sides and weights of the kinks.

    At z = 0 a convex kink takes the slope that its unit had before, so that a unit that comes to rest changes
    no other's rows.
    """

    def __init__(
        self,
        lin: Linearised,
        hidden: list[Tensor],
        own: list[Tensor],
        pulls: list[Tensor],
        smallest: list[Tensor],
        kink: tuple[float, float],
    ) -> None:
        left, right = kink
        self.lin, self.hidden = lin, hidden
        self.slopes, self.sides, self.weights, self.resting, self.gradient = [], [], [], [], []
        for s, (z, force, pull, slope) in enumerate(zip(hidden, own, pulls, smallest, strict=True)):
            convex, zero = pull < 0, z == 0
            before = lin.slopes[s] if lin.slopes else torch.full_like(z, right)
            chosen = torch.where(zero & convex, before, slope)
            self.slopes.append(chosen)
            self.sides.append(torch.where(zero, torch.where(chosen == right, 1, -1), torch.sign(z)).to(z))
            self.weights.append(torch.where(convex, -pull * (right - left), 0))
            self.resting.append(convex & zero)
            self.gradient.append(force - chosen * pull)

    def direction(self, *, bend: bool) -> tuple[list[Tensor], list[Tensor], Tensor]:
        """The model's minimum.

        Parameters
        ----------
        bend : bool
            Whether kinks on the way are part of the model; those of units at 0 are in any case.

        Returns
        -------
        changes : of the errors, like the hidden stacks
        held : like the hidden stacks, booleans: units that end at 0
        fall : (B,) slope of the energy along the straight step
        """
        lin = self.lin
        free = lin.solve([-g for g in self.gradient])
        changes, held, wanted = free, [torch.zeros_like(r) for r in self.resting], self.resting
        for _ in range(MAX_ROUNDS):
            if any(bool(w.any()) for w in wanted):
                lin.add([w & (slot < 0) for w, slot in zip(wanted, lin.slot, strict=True)])
            if int(lin.count.max()) > lin.outputs:
                changes, held = self._minimum(free)
            step = lin.forward(changes)
            wanted = self._crossing(step)
            if not bend or not any(bool(w.any()) for w in wanted):
                break
        return changes, held, self._fall(step)

    def _minimum(self, free: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Changes of the errors and units that end at 0, with the kinks of all units that have rows."""
        lin = self.lin
        sides, weights = lin.gather(self.sides), lin.gather(self.weights)
        ends = sides * (lin.gather(self.hidden) + lin.measure(free)[:, lin.outputs :])
        response = sides[:, :, None] * lin.response() * sides[:, None, :]
        forces = box_program(response + torch.diag_embed((sides == 0).to(sides)), ends, weights)
        changes = [f.clone() for f in free]
        lin.press(changes, sides * forces)
        return changes, [m > 0 for m in lin.scatter(((forces > 0) & (forces < weights)).to(sides))]

    def _crossing(self, step: list[Tensor]) -> list[Tensor]:
        """Units without rows that a step carries across a convex kink; of each sample the most important."""
        scores = []
        for z, d, side, weight, slot in zip(
            self.hidden, step, self.sides, self.weights, self.lin.slot, strict=True
        ):
            scores.append(torch.where(slot < 0, weight * (-side * (z + d)).clamp(min=0), 0))
        flat = torch.cat([s.transpose(0, 1).flatten(1) for s in scores], dim=1)
        least = flat.topk(min(MAX_ROWS, flat.shape[1]), dim=1).values[:, -1]
        return [(s > 0) & (s >= least[None, :, None]) for s in scores]

    def _fall(self, step: list[Tensor]) -> Tensor:
        """Slope of the energy along a step, (B,)."""
        total = torch.zeros_like(step[0][0, :, 0])
        for g, d, weight, side, rest in zip(
            self.gradient, step, self.weights, self.sides, self.resting, strict=True
        ):
            bend = torch.where(rest, weight * (-side * d).clamp(min=0), 0)
            total += (g * d + bend).sum((0, 2))
        return total


def box_program(matrix: Tensor, vector: Tensor, upper: Tensor) -> Tensor:
    r"""Minimise :math:`\frac12 \lambda^T Q \lambda + q^T \lambda` for :math:`0 \leq \lambda \leq w`, by
    projected Newton steps.

    Parameters
    ----------
    matrix : (B, n, n), positive definite
        Q.
    vector, upper : (B, n)
        The linear term q, and the bounds w.

    Returns
    -------
    (B, n)
        The minimum of each sample.
    """

    def value(x: Tensor) -> Tensor:
        return ((0.5 * matrix @ x[..., None])[..., 0] * x + vector * x).sum(-1)

    x = torch.zeros_like(vector)
    scale = torch.diagonal(matrix, dim1=1, dim2=2)
    size = upper.amax(1, keepdim=True) + (vector.abs() / scale).amax(1, keepdim=True)
    rounding = torch.finfo(x.dtype).eps
    least = value(x)
    for _ in range(MAX_ITERATIONS):
        slope = (matrix @ x[..., None])[..., 0] + vector
        distance = (x - torch.minimum((x - slope / scale).clamp(min=0), upper)).abs()
        if bool((distance <= 64 * rounding * size).all()):
            break
        free = ~(((x <= 0) & (slope >= 0)) | ((x >= upper) & (slope <= 0)))
        mask = free.to(x)
        reduced = mask[:, :, None] * matrix * mask[:, None, :] + torch.diag_embed(1 - mask)
        step = -torch.linalg.solve(reduced, mask * slope)
        length, found = torch.ones_like(least), torch.zeros_like(least, dtype=torch.bool)
        start = x
        for _ in range(MAX_ITERATIONS):
            trial = torch.minimum((start + length[:, None] * step).clamp(min=0), upper)
            energy = value(trial)
            good = energy <= least + ARMIJO * (slope * (trial - start)).sum(-1) + 4 * rounding * least.abs()
            good &= ~found
            x = torch.where(good[:, None], trial, x)
            least = torch.where(good, energy, least)
            found |= good
            if bool(found.all()):
                break
            length = torch.where(found, length, 0.5 * length)
    return x
