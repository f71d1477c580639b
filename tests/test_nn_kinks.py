"""The slope of a kinked activation where a unit rests on its kink."""

import torch

from pctheory.nn.inference.kinks import smallest_slope


def test_at_a_concave_kink_the_steeper_side_is_taken_and_at_a_convex_one_the_smallest_subgradient():
    # columns: concave, right steeper; concave, left steeper; convex, balanced within; convex, beyond; off the
    # kink; concave, weakly
    z = torch.tensor([0.0, 0.0, 0.0, 0.0, 1.5, 0.0])
    own = torch.tensor([0.5, 0.75, -0.5, -4.0, 0.5, 0.125])
    pull = torch.tensor([2.0, 1.0, -2.0, -2.0, 2.0, 0.5])
    slope = torch.full((6,), 0.375)
    expected = torch.tensor([1.0, 0.0, 0.25, 1.0, 0.375, 1.0])
    assert torch.equal(smallest_slope(z, own, pull, slope, (0.0, 1.0)), expected)
