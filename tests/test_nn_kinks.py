"""The slope of a kinked activation where a unit rests on its kink."""

from types import SimpleNamespace

import torch

from pctheory.nn.inference.kinks import Kinks, smallest_slope


def test_at_a_concave_kink_the_steeper_side_is_taken_and_at_a_convex_one_the_smallest_subgradient():
    # columns: concave, right steeper; concave, left steeper; convex, balanced within; convex, beyond; off the
    # kink; concave, weakly
    z = torch.tensor([0.0, 0.0, 0.0, 0.0, 1.5, 0.0])
    own = torch.tensor([0.5, 0.75, -0.5, -4.0, 0.5, 0.125])
    pull = torch.tensor([2.0, 1.0, -2.0, -2.0, 2.0, 0.5])
    slope = torch.full((6,), 0.375)
    expected = torch.tensor([1.0, 0.0, 0.25, 1.0, 0.375, 1.0])
    assert torch.equal(smallest_slope(z, own, pull, slope, (0.0, 1.0)), expected)


def test_slopes_of_a_leaky_kink_lie_between_its_two_sides():
    # columns: concave, right steeper; concave, left steeper; convex, balanced within; convex, beyond
    own = torch.tensor([0.5, 1.5, -1.0, -0.25])
    pull = torch.tensor([4.0, 2.0, -2.0, -2.0])
    found = smallest_slope(torch.zeros(4), own, pull, torch.ones(4), (0.25, 2.0))
    assert torch.equal(found, torch.tensor([2.0, 2.0, 0.5, 0.25]))
    own = torch.tensor([3.5])  # |3.5 - 2 * 2| < |3.5 - 0.25 * 2|
    assert torch.equal(smallest_slope(torch.zeros(1), own, pull[1:2], own, (0.25, 2.0)), torch.tensor([0.25]))


def test_the_model_at_a_leaky_kink_weighs_convex_kinks_by_their_jump_and_moves_units_at_rest_alone():
    # columns: at rest on a convex kink; on a concave one; off the kink, convex; off it on the left, concave
    z = torch.tensor([0.0, 0.0, 1.0, -1.0])
    pull = torch.tensor([-2.0, 0.5, -3.0, 1.0])
    own, smallest = torch.tensor([1.0, 2.0, 3.0, 4.0]), torch.tensor([0.5, 2.0, 2.0, 0.25])
    kinks = Kinks(SimpleNamespace(slopes=[]), [z], [own], [pull], [smallest], (0.25, 2.0))
    assert torch.equal(kinks.slopes[0], torch.tensor([2.0, 2.0, 2.0, 0.25]))  # as before it came to rest
    assert torch.equal(kinks.sides[0], torch.tensor([1.0, 1.0, 1.0, -1.0]))
    assert torch.equal(kinks.weights[0], torch.tensor([3.5, 0.0, 5.25, 0.0]))
    assert torch.equal(kinks.resting[0], torch.tensor([True, False, False, False]))
    assert torch.equal(kinks.gradient[0], torch.tensor([5.0, 1.0, 9.0, 3.75]))
    left = SimpleNamespace(slopes=[torch.full((4,), 0.25)])
    again = Kinks(left, [z], [own], [pull], [smallest], (0.25, 2.0))
    assert torch.equal(again.slopes[0], torch.tensor([0.25, 2.0, 2.0, 0.25]))
    assert torch.equal(again.sides[0], torch.tensor([-1.0, 1.0, 1.0, -1.0]))
