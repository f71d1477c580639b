"""Change one sign, constant or operator of a formula at a time, and see whether a test fails.

`make mutants` draws mutants at random (by seed) until the time is over, and lists the survivors: changes that
no test of the module noticed. What was tried is kept in `build/mutants.json`, so that the next call goes on
with the rest; a module that was edited, or whose tests were, is tried anew.

    python tests/mutants.py [MODULE ...] [--minutes 10] [--seed 0] [--again]

First the tests that name the changed function are run, then the test files that name most often what the
module exports; slow tests never. It happens in a copy of the project, in a process that is forked for each
mutant after the large libraries were loaded: a few seconds a mutant.
"""

from __future__ import annotations

import argparse
import ast
import copy
import functools
import gc
import hashlib
import importlib
import importlib.util
import json
import multiprocessing
import os
import random
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from architecture import THEORY

ROOT = Path(__file__).resolve().parent.parent
RECORD = ROOT / "build" / "mutants.json"
PACKAGES = (*THEORY, "nn")
LIBRARIES = (
    "numpy",
    "scipy.linalg",
    "scipy.optimize",
    "scipy.sparse.linalg",
    "torch",
    "hypothesis",
    "pytest",
)
SECONDS = 90.0
"""Longest time for the tests of one mutant: one that loops for ever is killed, and counts as found."""
WORD = re.compile(r"\w+")
OTHERS = "architecture arguments claims datasets figures notebooks paper pipeline plotting readme symbolic"
ELSEWHERE = tuple(f"test_{name}" for name in OTHERS.split())
"""Tests of other things than numbers."""
NEAR = 12
"""Largest number of tests that are tried first."""
FILES = 4
"""Largest number of test files for one mutant: those that name the module's exports most often."""

EQUIVALENT = {
    "pctheory/inference/curvature.py: dense.T  ->  dense": "eigh reads one triangle only",
    "pctheory/inference/routes.py: noise + _check.detached(carried[size:, :])  ->  "
    "noise - _check.detached(carried[size:, :])": "the noise is random and symmetric",
    "pctheory/inference/routes.py: noise + units[:, begin:stop] * combined[-1]  ->  "
    "noise - units[:, begin:stop] * combined[-1]": "the noise is random and symmetric",
}
"""Changes after which the module does the same, and why: they are not tried."""

TOLERANCE = 1e-5
"""Smaller constants are tolerances and guards: to change one by half is to change nothing."""

OPERATORS: dict[type, type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.Pow: ast.Mult,
}
COMPARISONS: dict[type, type[ast.cmpop]] = {
    ast.Lt: ast.GtE,
    ast.LtE: ast.Gt,
    ast.Gt: ast.LtE,
    ast.GtE: ast.Lt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
}
NAMES = {"min": "max", "max": "min", "minimum": "maximum", "maximum": "minimum", "sum": "prod", "mean": "sum"}
NAMES |= {"sin": "cos", "cos": "sin", "argmin": "argmax", "argmax": "argmin", "any": "all", "all": "any"}


def sites(tree: ast.Module) -> Iterator[ast.expr]:
    """The expressions that can be changed, in a fixed order; no docstring, annotation, default text or
    error.
    """
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop(0)
        if isinstance(node, ast.Raise | ast.Assert | ast.Import | ast.ImportFrom | ast.JoinedStr):
            continue
        if isinstance(node, ast.expr) and changed(node) is not None:
            yield node
        for name, value in ast.iter_fields(node):
            if name not in ("annotation", "returns", "decorator_list"):
                waiting += [
                    v for v in (value if isinstance(value, list) else [value]) if isinstance(v, ast.AST)
                ]


def changed(node: ast.expr) -> ast.expr | None:
    """The same expression with one thing changed; None where there is nothing to change."""
    match node:
        case ast.BinOp(left, op, right) if type(op) in OPERATORS:
            return ast.BinOp(left, OPERATORS[type(op)](), right)
        case ast.UnaryOp(ast.USub(), operand) if not isinstance(operand, ast.Constant):
            return operand
        case ast.Constant(value) if type(value) in (int, float) and not 0 < abs(value) < TOLERANCE:
            return ast.Constant(value + 1 if type(value) is int or value == 0 else 1.5 * value)
        case ast.Compare(left, [op], [right]) if type(op) in COMPARISONS:
            return ast.Compare(left, [COMPARISONS[type(op)]()], [right])
        case ast.Attribute(value, "T" | "mT"):
            return value
        case ast.Attribute(value, name) if name in NAMES:
            return ast.Attribute(value, NAMES[name], node.ctx)
        case ast.Name(name) if name in ("min", "max", "any", "all"):
            return ast.Name(NAMES[name], node.ctx)
    return None


def mutant(source: str, index: int) -> tuple[str, int, str]:
    """The source with its change number `index`, the line of it, and what was changed to what."""
    tree = ast.parse(source)
    node = list(sites(tree))[index]
    before, after = copy.deepcopy(node), changed(node)
    assert after is not None
    line, said = node.lineno, f"{short(before)}  ->  {short(after)}"
    node.__class__ = after.__class__  # in place: the parent keeps its child
    node.__dict__.update(after.__dict__)
    return ast.unparse(ast.fix_missing_locations(tree)), line, said


def short(node: ast.expr) -> str:
    text = ast.unparse(node)
    return text if len(text) <= 70 else text[:67] + "..."


def tests_of(path: Path) -> list[str]:
    """The module's own examples, and the test files that name what it, or else its package, exports: most
    first.
    """
    for exported in (set(names_of(path)), set(names_of(path.parent / "__init__.py"))):
        counts = {t: sum(word in exported for word in WORD.findall(t.read_text())) for t in test_files()}
        named = sorted((t for t in counts if counts[t]), key=lambda t: -counts[t])
        if named:
            break
    return [str(p.relative_to(ROOT)) for p in (path, *named[:FILES])]


def nearest(path: Path, line: int, files: list[str]) -> list[str]:
    """The module's examples, and the tests that name the function or method of the changed line, of `files`
    first.
    """
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.lineno <= line <= (node.end_lineno or 0):
            names.add(node.name)
    public = {name for name in names if not name.startswith("_")} or set(names_of(path))
    found = files[:1]
    for file in dict.fromkeys([*files[1:], *(str(p.relative_to(ROOT)) for p in test_files())]):
        text = (ROOT / file).read_text()
        for node in ast.parse(text).body:
            is_test = isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name.lower().startswith(
                "test"
            )
            if is_test and public & set(WORD.findall(ast.get_source_segment(text, node) or "")):
                found.append(f"{file}::{node.name}")
    return found[:NEAR]


@functools.cache
def test_files() -> list[Path]:
    """Those of the numeric packages."""
    return [t for t in sorted((ROOT / "tests").glob("test_*.py")) if not t.name.startswith(ELSEWHERE)]


def names_of(path: Path) -> list[str]:
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return list(ast.literal_eval(node.value))
    return []


def put(path: Path, text: str) -> None:
    """Write a module; what Python compiled of it before has the same date and length, so it must go."""
    path.write_text(text)
    Path(importlib.util.cache_from_source(str(path))).unlink(missing_ok=True)


def run_tests(folder: Path, tests: list[str]) -> None:
    """Run in a forked process: its exit status is that of pytest."""
    os.chdir(folder)
    sys.path[:] = [str(folder), *(p for p in sys.path if Path(p).resolve() not in (ROOT, ROOT / "tests"))]
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1)
    os.dup2(silent, 2)
    import pytest

    options = ["-x", "-q", "-m", "not slow", "-p", "no:cacheprovider"]
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # they take longer to load than most tests to run
    preloaded = ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
    sys.exit(pytest.main([*tests, *options, *preloaded]))


def outcome(folder: Path, tests: list[str]) -> str:
    """ "killed", "survived" or "timeout"."""
    process = multiprocessing.get_context("fork").Process(target=run_tests, args=(folder, tests))
    process.start()
    process.join(SECONDS)
    if process.is_alive():
        process.kill()
        process.join()
        return "timeout"
    return "survived" if process.exitcode in (0, 5) else "killed"  # 5: there is no such test


def digest(paths: list[str]) -> str:
    return hashlib.sha256(b"".join((ROOT / p).read_bytes() for p in paths)).hexdigest()[:16]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("modules", nargs="*", help="files of pctheory; default all of " + ", ".join(PACKAGES))
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--again", action="store_true", help="forget what was tried before")
    asked = parser.parse_args(arguments)
    paths = [Path(m).resolve() for m in asked.modules] or sorted(
        p for name in PACKAGES for p in (ROOT / "pctheory" / name).rglob("*.py") if p.name != "__init__.py"
    )
    for library in LIBRARIES:
        importlib.import_module(library)
    record: dict[str, Any] = json.loads(RECORD.read_text()) if RECORD.exists() and not asked.again else {}
    todo = []
    for path in paths:
        name, tests = str(path.relative_to(ROOT)), tests_of(path)
        known = record.get(name, {})
        if known.get("digest") != digest(tests):
            record[name] = known = {"digest": digest(tests), "found": {}}
        source, same = path.read_text(), {c for c in EQUIVALENT if c.startswith(f"{name}: ")}
        number = sum(1 for _ in sites(ast.parse(source)))
        todo += [
            (path, i, tests)
            for i in range(number)
            if str(i) not in known["found"] and not (same and f"{name}: {mutant(source, i)[2]}" in same)
        ]
    gc.freeze()  # else the children's collector would copy every page of the libraries
    random.Random(asked.seed).shuffle(todo)
    end, tried, sound = time.monotonic() + 60 * asked.minutes, 0, dict[str, bool]()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / ROOT.name
        ignored = shutil.ignore_patterns("__pycache__", "results", "out", "build")
        for part in ("pctheory", "tests", "experiments", "figures"):
            shutil.copytree(ROOT / part, folder / part, ignore=ignored)
        shutil.copy(ROOT / "pyproject.toml", folder)
        for path, index, tests in todo:
            if time.monotonic() > end:
                break
            source, name = path.read_text(), str(path.relative_to(ROOT))
            text, line, said = mutant(source, index)
            near = nearest(path, line, tests)
            if name not in sound:
                sound[name] = outcome(folder, near) == "survived"
                if not sound[name]:
                    print(f"{name} is left out: its tests fail before it is changed.", flush=True)
            if not sound[name]:
                continue
            put(folder / name, text)
            found = outcome(folder, near)
            if found == "survived":
                found = outcome(folder, tests)
            put(folder / name, source)
            record[name]["found"][str(index)] = [found, line, said]
            RECORD.parent.mkdir(exist_ok=True)
            RECORD.write_text(json.dumps(record, indent=1))
            tried += 1
            if found == "survived":
                print(f"{name}:{line}: {said}", flush=True)
    results = [(n, *r) for n in record if (ROOT / n) in paths for r in record[n]["found"].values()]
    print(f"\n{len(results)} of {len(results) + len(todo) - tried} mutants tried ({tried} now); survivors:")
    for name, found, line, said in sorted(results, key=lambda r: (r[0], r[2])):
        if found == "survived":
            print(f"  {name}:{line}: {said}")
    counts = {kind: sum(r[1] == kind for r in results) for kind in ("killed", "timeout", "survived")}
    print(", ".join(f"{count} {kind}" for kind, count in counts.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
