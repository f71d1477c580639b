"""Whatever is passed where a network, data, an objective or activities belong: one sentence that names the
argument.
"""

import ast
import importlib
import inspect
import re
import tracemalloc

import numpy as np
import pytest
from architecture import IMPORTS, PACKAGE

from pctheory import (
    Data,
    LinearPCN,
    MSELoss,
    _check,
    activity_hessian,
    extreme_eigenvalues,
    gradient_descent,
    landscape_slice,
    mean_field_training,
    origin_hessian,
)
from pctheory.inference import (
    ClampedProblem,
    delayed_multipliers,
    inference_modes,
    relax,
    spiking_precision,
)
from pctheory.landscape import Objective
from pctheory.learning import LayerEnergies
from pctheory.limits import coupling_edge, isometric_eigenvalues
from pctheory.model import Precision
from pctheory.related import Predify
from pctheory.trust_region import gauss_newton_matrix

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


ENOUGH = 2**20
WIDE = LinearPCN.zeros((2, 9000, 2))
DEEP = LinearPCN.zeros((2, 100, 100, 100, 100, 2))
BIG = [
    (lambda: MSELoss(DATA).hessian(WIDE), "net", 24 * 36_000**2),
    (lambda: activity_hessian(WIDE), "net", 24 * 9000**2),
    (lambda: activity_hessian(DEEP).to_dense(), "to_dense", 8 * 400**2),
    (lambda: inference_modes(DEEP, DATA), "net", 24 * 400**2),
    (lambda: origin_hessian(MSELoss(DATA), (2, 300, 2)).to_dense(), "to_dense", 8 * 1200**2),
    (lambda: VALID["problem"].relax(0.1, 10**9), "num_steps", 8 * 7 * (10**9 + 1)),
    (lambda: landscape_slice(MSELoss(DATA), NET, num=10**6, rng=0), "num", 32 * 10**12),
    (lambda: gradient_descent(MSELoss(DATA), NET, 0.1, 10**12), "steps", 8 * 12 * (10**12 + 1)),
    (lambda: gauss_newton_matrix(WIDE, DATA), "net", 8 * 36_000**2),
    (
        lambda: mean_field_training(DATA, 2, learning_rate=0.1, num_steps=10**6),
        "num_steps",
        8 * 11 * (2 * 10**6 + 2) ** 2,
    ),
    (
        lambda: mean_field_training(DATA, 10**9, learning_rate=0.1, num_steps=3),
        "num_steps",
        8 * (4 * 10**9 + 3) * 64,
    ),
    (lambda: Data.toy(10**9, rng=0), "num_samples", 16 * 10**9),
    (lambda: Data.teacher(np.eye(2), 10**9, rng=0), "num_samples", 32 * 10**9),
    (lambda: LinearPCN.zeros((10**5, 10**5)), "widths", 8 * 10**10),
    (lambda: LinearPCN.random((10**5, 10**5), rng=0), "widths", 8 * 10**10),
    (lambda: spiking_precision(10**6, 0.1), "depth", 8 * 10**12),
    (lambda: delayed_multipliers(1.0, 10**6), "delay", 24 * (10**6 + 1) ** 2),
    (lambda: isometric_eigenvalues(10**12), "depth", 64 * 10**12),
    (lambda: coupling_edge(10**6), "num_hidden", 32 * 10**12),
    (lambda: extreme_eigenvalues(MSELoss(DATA), WIDE, 9000), "k", 48 * 9000 * 36_000),
]


@pytest.mark.parametrize(("call", "name", "size"), BIG, ids=[f"{n}-{i}" for i, (_, n, _) in enumerate(BIG)])
def test_memory_that_is_not_there_is_refused_before_it_is_taken(call, name, size, monkeypatch):
    monkeypatch.setattr(_check, "_memory", lambda: ENOUGH)
    tracemalloc.start()
    with pytest.raises(ValueError, match=f"`{name}` must leave what it asks for within memory") as refused:
        call()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 * ENOUGH
    asked = int(
        re.search(r"Got ([\d,]+) bytes, and there are 1,048,576", str(refused.value))[1].replace(",", "")
    )
    assert asked == size > ENOUGH


def test_the_memory_of_the_machine_is_known():
    assert 2**28 < _check._memory() < 2**50


def test_a_mean_field_that_diverges_is_refused():
    with pytest.raises(ValueError, match="`learning_rate` must be small enough for the loss to stay finite"):
        mean_field_training(DATA, 2, learning_rate=1e9, num_steps=9)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (float("nan"), "`value` must be finite"),
        (-1.0, "`value` must be positive"),
        (0, "`value` must be positive"),
        ([1.0, -1.0], "`value` must be positive"),
        ([[1.0, 2.0], [2.0, 1.0]], "`value` must be positive definite"),
        ([[1.0, 1.0], [0.0, 1.0]], "`value` must be symmetric"),
        ([1.0, 1.0, 1.0], r"Got shape \(3,\)"),
    ],
)
def test_a_precision_made_directly_is_checked(value, message):
    with pytest.raises(ValueError, match=message):
        Precision(value, 2)
    with pytest.raises(ValueError, match=message.replace("`value`", "`Pi`")):
        Precision.of(value, 2, np.eye(2), "Pi")
    assert Precision(2, 3).value == 2.0
    with pytest.raises(ValueError, match="`Pi` must be finite"):  # inf is for hidden units that carry a value
        Precision.of(float("inf"), 2, np.eye(2), "Pi")
