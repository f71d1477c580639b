"""Call every public function with one wrong argument after another: `make hunt`, or `python tests/hunt.py
--seconds 600`.

A call that is refused must be refused in the project's own words: a `ValueError` or a `TypeError` that names
an argument between backticks. A call that is accepted must return finite numbers, and no call may change what
it was given. Everything else is a finding. The same seed makes the same calls.
"""

from __future__ import annotations

import argparse
import copy
import importlib
import inspect
import math
import os
import resource
import select
import signal
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np
from architecture import THEORY

from pctheory import Data, EquilibratedEnergy, LinearPCN, MSELoss, feedforward

ESTIMATES = ("residual",)
"""Fields that hold NaN where the error is not known."""
MEMORY = 4 * 2**30  # bytes; asking for more is a finding, not a crash of the machine
CALL_SECONDS = 3
WRONG: dict[str, Callable[[], Any]] = {
    "None": lambda: None,
    "a word": lambda: "net",
    "an object": object,
    "-1": lambda: -1,
    "0": lambda: 0,
    "NaN": lambda: math.nan,
    "infinity": lambda: math.inf,
    "10**400": lambda: 10**400,
    "10**12": lambda: 10**12,
    "a complex number": lambda: 1 + 2j,
    "True": lambda: True,
    "an empty list": list,
    "a ragged list": lambda: [[1.0], [1.0, 2.0]],
    "a complex array": lambda: np.ones((4, 2), dtype=complex),
    "an array of NaN": lambda: np.full((4, 2), math.nan),
    "a masked array": lambda: np.ma.masked_array(np.ones((4, 2)), mask=np.eye(4, 2)),
    "float16": lambda: np.ones((4, 2), dtype=np.float16),
    "longdouble": lambda: np.ones((4, 2), dtype=np.longdouble),
    "objects": lambda: np.array([[None, "x"]], dtype=object),
    "an empty array": lambda: np.ones((0, 2)),
    "a wrong shape": lambda: np.ones((3, 7)),
    "three dimensions": lambda: np.ones((2, 2, 2)),
    "huge entries": lambda: np.full((4, 2), 1e300),
    "a mapping": lambda: {"net": 1},
    "a network of other widths": lambda: LinearPCN.random((5, 3, 4), rng=0),
    "a network of one layer": lambda: LinearPCN.random((2, 2), rng=0),
    "data of other widths": lambda: Data(np.ones((4, 5)), np.ones((4, 1))),
}

ENDLESS = "10**12"
"""The wrong value for which a call may run past its time: as a number of steps it is right."""


class Given:
    """Arguments that are right, by the name of the parameter."""

    def __init__(self, rng: np.random.Generator) -> None:
        widths = (2, *(int(n) for n in rng.integers(2, 4, size=rng.integers(1, 4))), 2)
        self.net = LinearPCN.random(widths, rng=rng)
        self.data = Data(rng.standard_normal((4, 2)), rng.standard_normal((4, 2)))
        self.hidden = feedforward(self.net, self.data.x)
        self.rng = rng

    def argument(self, function: str, name: str) -> Any:
        """The right value, or `inspect.Parameter.empty` where none is known."""
        special = self._special(function)
        if name in special:
            return special[name]
        from pctheory.inference import ClampedProblem
        from pctheory.learning import SquaredError

        net, data = self.net, self.data
        direction = tuple(self.rng.standard_normal(w.shape) for w in net.weights)
        known: Mapping[str, Callable[[], Any]] = {
            "net": lambda: net,
            "data": lambda: data,
            "objective": lambda: MSELoss(data),
            "activities": lambda: self.hidden,
            "adjoint": lambda: self.hidden,
            "errors": lambda: [0.1 * z for z in self.hidden[1:-1]],
            "x": lambda: data.x,
            "y": lambda: data.y,
            "widths": lambda: net.widths,
            "weights": lambda: net.weights,
            "parameterisation": lambda: "mupc",
            "name": lambda: "mupc",
            "optimiser": lambda: "adam",
            "skips": lambda: False,
            "rng": lambda: 0,
            "step": lambda: 0.05,
            "num_steps": lambda: 3,
            "steps": lambda: 3,
            "num_terms": lambda: 3,
            "last": lambda: 2,
            "method": lambda: {"solve_inference": "gd", "equilibrium": "sweep"}.get(function, "rk45"),
            "learning_rate": lambda: 0.01,
            "times": lambda: np.linspace(0.0, 1.0, 5),
            "values": lambda: np.linspace(1.0, 0.1, 5),
            "level": lambda: 0.5,
            "strength": lambda: 0.1,
            "radius": lambda: 0.5,
            "directions": lambda: self._directions(function, direction),
            "update": lambda: direction,
            "problem": lambda: ClampedProblem(net, (data.x, *self.hidden[1:-1], data.y)),
            "loss": lambda: SquaredError(data.y),
            "target": lambda: data.y,
            "beta": lambda: 0.3,
            "alpha": lambda: 0.1,
            "lam": lambda: 0.2,
            "wavenumber": lambda: np.linspace(0, 3, 4),
            "points": lambda: np.linspace(0.1, 4.0, 5),
            "ratio": lambda: 0.5,
            "depth": lambda: 4,
            "hidden": lambda: 2,
            "num_hidden": lambda: 3,
            "num_starts": lambda: 2,
            "k": lambda: 1,
            "value": lambda: 2.0,
            "size": lambda: 2,
            "delay": lambda: 1,
            "step_times_eigenvalue": lambda: 0.1,
            "diagonal": lambda: [2 * np.eye(2), 2 * np.eye(2)],
            "lower": lambda: [0.1 * np.eye(2)],
            "forward": lambda: [np.eye(2), np.eye(2)],
            "backward": lambda: [np.eye(2), np.eye(2)],
            "alphas": lambda: 0.1,
            "betas": lambda: 0.2,
            "lambdas": lambda: 0.2,
            "scale": lambda: 1e-3,
            "precision": lambda: 1.0,
            "tolerance": lambda: 1e-8,
            "terms": lambda: ((1.0, SquaredError(data.y)),),
        }
        return known[name]() if name in known else inspect.Parameter.empty

    def _special(self, function: str) -> dict[str, Any]:
        """What one function needs and the others do not."""
        net, x = self.net, self.data.x
        origin = LinearPCN.zeros(net.widths)
        one_sample = Data(x[:1], self.data.y[:1])
        chain = {"net": (1, 1, 1, 1), "objective": "energy"}
        cases: Mapping[str, dict[str, Any]] = {
            "LayerEnergies": {"weights": None},
            "aligned_update": {"data": one_sample},
            "chain_flow": chain,
            "gradient_noise": {"objective": "energy"},
            "lazy_map": {"objective": "energy"},
            "envelope_equilibrium": {"data": Data(x, np.eye(2)[[0, 1, 1, 0]])},
            "envelope_form": {"net": origin, "data": Data(x, np.eye(2)[[0, 1, 1, 0]])},
            "escape_direction": {"net": origin},
            "escape_time": chain,
            "nearest_solution": {"data": Data(x, self.hidden[-1] + 0.1 * x)},
            "one_shot": {"data": one_sample},
            "scheduled_inference": {"weights": np.ones((3, net.depth))},
            "second_order_form": {"net": origin},
            "tradeoff_curve": {"weights": (0.2, 0.8)},
            "zero_rank_hessian": {
                "net": net.replace(weights=(*net.weights[:-1], 0 * net.weights[-1])),
                "objective": EquilibratedEnergy(self.data),
            },
        }
        return cases.get(function, {})

    def _directions(self, function: str, direction: tuple[np.ndarray, ...]) -> Any:
        return "random" if function == "landscape_slice" else {"bp": direction, "pc": direction}


@dataclass(frozen=True)
class Finding:
    """One call that was neither refused in the project's words nor answered."""

    function: str
    argument: str
    value: str
    outcome: str


def functions() -> Iterator[tuple[str, Callable[..., Any]]]:
    """Every public function and every public class that is made from arguments."""
    for package in THEORY:
        module = importlib.import_module(f"pctheory.{package}")
        for name in module.__all__:
            target = getattr(module, name)
            made = inspect.isclass(target) and not inspect.isabstract(target) and not issubclass(target, dict)
            if inspect.isfunction(target) or made:
                yield name, target


def call(target: Callable[..., Any], arguments: dict[str, Any]) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        signature = inspect.signature(target)
        positional = [
            arguments[name]
            for name, p in signature.parameters.items()
            if name in arguments and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
        ]
        named = {
            n: v
            for n, v in arguments.items()
            if signature.parameters[n].kind == inspect.Parameter.KEYWORD_ONLY
        }
        return target(*positional, **named)


def right_call(name: str, target: Callable[..., Any], given: Given) -> dict[str, Any] | None:
    """Arguments of a call that works, or None where the function is not one that a user calls with
    arguments.
    """
    arguments = {}
    for parameter in inspect.signature(target).parameters.values():
        value = given.argument(name, parameter.name)
        optional = parameter.default is not inspect.Parameter.empty
        if value is inspect.Parameter.empty:
            if not optional:
                return None
            continue
        if optional and parameter.name in ("method", "precision", "skips", "directions", "last", "scale"):
            continue
        arguments[parameter.name] = value
    return arguments


def numbers(value: Any, depth: int = 0) -> Iterator[np.ndarray]:
    """The arrays and numbers in an answer, but for estimates of its error, which may be NaN."""
    if depth > 3:
        return
    if isinstance(value, float | np.floating | np.ndarray):
        array = np.asarray(value)
        if array.dtype.kind in "fc":
            yield array
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from numbers(item, depth + 1)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from numbers(item, depth + 1)
    elif is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            if field.name not in ESTIMATES:
                yield from numbers(getattr(value, field.name, None), depth + 1)


def outcome(target: Callable[..., Any], arguments: dict[str, Any]) -> str:
    """'refused', 'answered', or what is wrong; found in a process of its own, which may crash or run for
    ever.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.close(reader)
        os.write(writer, judged(target, arguments).encode()[:500])
        os._exit(0)
    os.close(writer)
    ready, _, _ = select.select([reader], [], [], CALL_SECONDS)
    said = os.read(reader, 500).decode() if ready else f"ran for more than {CALL_SECONDS} s"
    if not ready:
        os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(reader)
    return said or "crashed the interpreter"


def judged(target: Callable[..., Any], arguments: dict[str, Any]) -> str:
    """'refused', 'answered', or what is wrong."""
    before = copy.deepcopy(arguments)
    try:
        answer = call(target, arguments)
    except (ValueError, TypeError) as error:
        said = str(error)
        result = "refused" if "`" in said else f"{type(error).__name__} in foreign words: {said[:90]}"
    except MemoryError:
        result = "asked for more memory than there is"
    except Exception as error:  # noqa: BLE001  # whatever it is, it is a finding
        result = f"{type(error).__name__}: {str(error)[:90]}"
    else:
        result = "answered" if not any(np.isnan(a).any() for a in numbers(answer)) else "answered with NaN"
    if result in ("refused", "answered") and not _same(before, arguments):
        result = "changed its arguments"
    return result


def _same(left: Any, right: Any) -> bool:
    pairs = zip(numbers(left), numbers(right), strict=True)
    return all(np.array_equal(a, b, equal_nan=True) for a, b in pairs)


def hunt(seconds: float, seed: int) -> tuple[Counter[str], list[Finding], list[str]]:
    """Counts of outcomes, the findings (one for each function, argument and outcome), and what was not
    reached.
    """
    rng = np.random.default_rng(seed)
    counts: Counter[str] = Counter()
    findings: dict[tuple[str, str, str], Finding] = {}
    skipped: list[str] = []
    end = time.monotonic() + seconds
    first = True
    while first or time.monotonic() < end:
        given = Given(rng)
        for name, target in functions():
            arguments = right_call(name, target, given)
            if arguments is None:
                if first:
                    skipped.append(name)
                continue
            plain = outcome(target, dict(arguments))
            if plain != "answered":
                findings.setdefault((name, "", plain), Finding(name, "(none)", "right arguments", plain))
                continue
            for parameter in inspect.signature(target).parameters:
                chosen = list(WRONG) if first else rng.choice(list(WRONG), 3, replace=False)
                for value in chosen:
                    found = outcome(target, {**arguments, parameter: WRONG[value]()})
                    if value == ENDLESS and found.startswith("ran for"):
                        found = "answered"  # as many steps as were asked for
                    counts[found if found in ("refused", "answered") else "finding"] += 1
                    if found not in ("refused", "answered"):
                        findings.setdefault(
                            (name, parameter, found[:40]), Finding(name, parameter, value, found)
                        )
                if not first and time.monotonic() > end:
                    break
        first = False
    return counts, list(findings.values()), skipped


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--minutes", type=float, default=1.0, help="at least one round is made (default: 1)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, resource.RLIM_INFINITY))
    counts, findings, skipped = hunt(60 * options.minutes, options.seed)
    for finding in findings:
        print(f"{finding.function}({finding.argument} = {finding.value}): {finding.outcome}")
    print(f"not called, since they are made by other functions: {', '.join(skipped)}")
    print(
        ", ".join(f"{count} {kind}" for kind, count in counts.most_common()),
        f"{len(findings)} distinct findings",
    )
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
