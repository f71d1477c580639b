"""A small part of `make hunt`: every public function with a few wrong values for every argument."""

import inspect

import numpy as np
import pytest
from hunt import WRONG, Given, functions, judged, right_call
from listing import assert_none

VALUES = ("None", "an object", "NaN", "10**400", "a ragged list")


@pytest.fixture(scope="module")
def given():
    return Given(np.random.default_rng(0))


def test_the_right_arguments_are_answered(given):
    calls = [(name, target, right_call(name, target, given)) for name, target in functions()]
    made = [(name, judged(target, arguments)) for name, target, arguments in calls if arguments is not None]
    assert len(made) > 90
    assert_none(
        [f"{name}: {said}" for name, said in made if said != "answered"], "right arguments are answered"
    )


@pytest.mark.parametrize("value", VALUES)
def test_a_wrong_argument_is_refused_by_name_or_answered(given, value):
    problems = []
    for name, target in functions():
        arguments = right_call(name, target, given)
        if arguments is None:
            continue
        for parameter in inspect.signature(target).parameters:
            said = judged(target, {**arguments, parameter: WRONG[value]()})
            if said not in ("refused", "answered"):
                problems.append(f"{name}({parameter} = {value}): {said}")
    assert_none(problems, "a wrong argument is refused by name")


@pytest.mark.parametrize(
    ("function", "parameter", "value"),
    [
        ("equilibrium", "output", "a complex array"),
        ("condition_bound", "x", "huge entries"),
        ("initial_cosine", "hidden", "10**12"),
    ],
)
def test_what_a_long_hunt_found_is_refused(given, function, parameter, value):
    name, target = next((n, t) for n, t in functions() if n.split(".")[-1] == function)
    arguments = right_call(name, target, given)
    assert judged(target, {**arguments, parameter: WRONG[value]()}) == "refused"
