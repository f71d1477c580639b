"""Whatever is passed where a network, data, an objective or activities belong: one sentence that names the
argument.
"""

import ast
import importlib
import inspect
import re

import numpy as np
import pytest
from architecture import IMPORTS, PACKAGE

from pctheory import Data, LinearPCN, MSELoss, gradient_descent
from pctheory.inference import ClampedProblem, relax
from pctheory.landscape import Objective
from pctheory.learning import LayerEnergies
from pctheory.related import Predify

NET = LinearPCN.random((2, 3, 2), rng=0)
DATA = Data([[1.0, 2.0]], [[0.0, 1.0]])
ACTIVITIES = tuple(np.ones((1, n)) for n in NET.widths)
VALID = {
    "net": NET,
    "data": DATA,
    "objective": MSELoss(DATA),
    "activities": ACTIVITIES,
    "adjoint": ACTIVITIES,
    "start": None,
    "problem": ClampedProblem(NET, ACTIVITIES),
    "loss": LayerEnergies(),
    "x": DATA.x,
    "y": DATA.y,
    "errors": [np.zeros((1, 3))],
    "update": NET.weights,
    "direction": NET.weights,
    "vectors": np.zeros((1, NET.num_weights)),
    "weights": [[1.0, 1.0]],
    "widths": NET.widths,
    "times": [0.0, 1.0],
    "method": "gd",
    "name": "random",
    "first": "random",
    "second": "first weight",
    "rule": "bp",
    "rng": 0,
}
NUMBERS = {"float": 0.1, "int": 1}
WRONG = {
    "net": ["net", None, NET.weights, DATA],
    "data": [(DATA.x, DATA.y), None, NET, DATA.x],
    "objective": [DATA, None, MSELoss, "loss"],
    "activities": ["activities", None, DATA.x, 1.0],
    "adjoint": [None, DATA.x],
    "problem": [NET, None, ACTIVITIES],
}


def arguments(function):
    """Valid values of the arguments without defaults, and of those that are tried with wrong ones."""
    values = {}
    for name, parameter in inspect.signature(function).parameters.items():
        if (name in WRONG and is_tried(function, name)) or (
            parameter.default is parameter.empty and name != "self"
        ):
            if name not in VALID and parameter.annotation not in NUMBERS:
                return None
            values[name] = VALID.get(name, NUMBERS.get(parameter.annotation))
    return values


def public():
    """Functions, and classes with a constructor of their own, that any package of the theory exports."""
    for package in IMPORTS:
        if package in ("nn", "plotting", "symbolic", "claims", "datasets"):
            continue
        face = importlib.import_module(f"pctheory.{package}")
        for name in face.__all__:
            thing = getattr(face, name)
            if not callable(thing) or inspect.isabstract(thing):
                continue
            made_by_functions = isinstance(thing, type) and "def __init__" not in inspect.getsource(thing)
            if not made_by_functions or issubclass(thing, Objective):
                yield f"{package}.{name}", thing
    objective = MSELoss(DATA)
    for name, method in inspect.getmembers(objective, inspect.ismethod):
        if not name.startswith("_") and name not in ("expand", "stacked_values"):
            yield f"Objective.{name}", method


CLASSES = {"net": "LinearPCN", "data": "Data", "objective": "Objective", "problem": "ClampedProblem"}
"""What the argument is annotated with where it is tried; elsewhere the name means something else."""


def is_tried(thing, argument):
    parameter = inspect.signature(thing).parameters.get(argument)
    return parameter is not None and parameter.annotation == CLASSES.get(argument, parameter.annotation)


CASES = [
    (name, thing, argument) for name, thing in public() for argument in WRONG if is_tried(thing, argument)
]


@pytest.mark.parametrize(("name", "thing", "argument"), CASES, ids=lambda v: v if isinstance(v, str) else "")
def test_a_wrong_type_is_refused_in_one_sentence_that_names_the_argument(name, thing, argument):
    values = arguments(thing)
    assert values is not None, (
        f"give `VALID` a value for every argument of {name}: {inspect.signature(thing)}"
    )
    for wrong in WRONG[argument]:
        with pytest.raises(TypeError, match=rf"^`{argument}` must be .*\. Got .*\.$"):
            thing(**{**values, argument: wrong})


ELSEWHERE = [
    (lambda wrong: Predify.predictive_coding(wrong), "net"),
    (lambda wrong: LinearPCN.from_torch(wrong), "module"),
    (lambda wrong: gradient_descent(MSELoss(DATA), NET, 0.1, 1).values(wrong), "objective"),
    (lambda wrong: ClampedProblem(NET, ACTIVITIES, reverse=wrong), "reverse"),
    (lambda wrong: ClampedProblem(NET, ACTIVITIES, mask=wrong), "mask"),
    (lambda wrong: relax(NET, DATA, 0.1, 1, start=wrong), "start"),
    (lambda wrong: Data.teacher(wrong, 3, rng=0), "teacher"),
]


@pytest.mark.parametrize(("call", "argument"), ELSEWHERE)
def test_so_is_one_in_a_constructor_or_a_keyword(call, argument):
    with pytest.raises(TypeError, match=rf"^`{argument}` must be .*\. Got object[:.]"):
        call(object())


def test_the_walk_meets_every_package_and_argument():
    assert {name.split(".")[0] for name, _, _ in CASES} >= {"model", "inference", "landscape", "dynamics"}
    assert {argument for _, _, argument in CASES} == set(WRONG)
    assert issubclass(type(VALID["objective"]), Objective)
    assert len(CASES) > 90


def references():
    """Every dotted name in backticks in a docstring or an attribute's docstring of the package."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
                for found in re.findall(r"`(pctheory(?:\.\w+)+)`", str(node.value.value)):
                    yield found, str(path.relative_to(PACKAGE))


@pytest.mark.parametrize(("reference", "path"), sorted(set(references())))
def test_a_dotted_name_in_a_docstring_exists(reference, path):
    parts = reference.split(".")
    for cut in range(len(parts), 0, -1):
        try:
            thing = importlib.import_module(".".join(parts[:cut]))
        except ModuleNotFoundError:
            continue
        break
    for part in parts[cut:]:
        thing = getattr(thing, part)
