"""The tests of each claim, read from the source of the tests without importing them."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ._claim import ROADS

__all__ = ["ROOT", "ClaimTest", "find_tests", "road_of"]

ROOT = Path(__file__).resolve().parents[2]
"""The checkout: `tests/`, `paper/` and `README.md` lie beside the package."""

_PREFIXES = {"test_symbolic_": "symbolic", "test_nn_": "empirical"}


@dataclass(frozen=True, order=True)
class ClaimTest:
    """A test function that verifies a claim.

    Attributes
    ----------
    claim : str
        The id in its marker.
    road : str
        One of `ROADS`.
    path : str
        The file, from the root of the checkout.
    name : str
        `test_name` or `TestClass::test_name`.
    line : int
        Where it stands in the file.
    """

    claim: str
    road: str
    path: str
    name: str
    line: int


def road_of(stem: str, marked: str | None = None) -> str:
    """The road of a test: its marker, or else what the file's name says.

    Examples
    --------
    >>> road_of("test_symbolic_chain"), road_of("test_energy"), road_of("test_energy", "empirical")
    ('symbolic', 'numerical', 'empirical')
    """
    if marked is not None:
        return marked
    return next((road for prefix, road in _PREFIXES.items() if stem.startswith(prefix)), "numerical")


def find_tests(folder: Path = ROOT / "tests") -> tuple[ClaimTest, ...]:
    """Every (test, claim) pair below `folder`, by claim, road and place.

    Markers count on functions, on classes, in `pytestmark` and in `pytest.param(..., marks=...)`, written out or by a
    name that the module gives them.

    Raises
    ------
    ValueError
        If a marker does not spell its claim or road as one string: what is computed cannot be read here.
    """
    found: list[ClaimTest] = []
    for path in sorted(folder.rglob("test_*.py")):
        text = path.read_text()
        if "claim" in text:
            found += _File(path, path.relative_to(folder.parent).as_posix(), ast.parse(text)).tests()
    return tuple(sorted(found))


@dataclass(frozen=True)
class _Marks:
    claims: tuple[str, ...] = ()
    road: str | None = None

    def within(self, outer: _Marks) -> _Marks:
        """These marks on something that lies in a class or module with the marks `outer`."""
        return _Marks(tuple(dict.fromkeys((*outer.claims, *self.claims))), self.road or outer.road)


class _File:
    def __init__(self, path: Path, name: str, tree: ast.Module) -> None:
        self.path, self.name, self.tree = path, name, tree
        self.named: Mapping[str, ast.expr] = {
            target.id: node.value
            for node in tree.body
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }

    def tests(self) -> list[ClaimTest]:
        return list(self._inside(self.tree.body, _Marks(), ""))

    def _inside(self, body: Sequence[ast.stmt], outer: _Marks, prefix: str) -> Iterable[ClaimTest]:
        for node in body:
            if isinstance(node, ast.Assign) and any(
                isinstance(target, ast.Name) and target.id == "pytestmark" for target in node.targets
            ):
                outer = self._marks([node.value]).within(outer)
        for node in body:
            if isinstance(node, ast.ClassDef) and node.name.startswith("Test"):
                marks = self._marks(node.decorator_list).within(outer)
                yield from self._inside(node.body, marks, f"{prefix}{node.name}::")
            elif isinstance(node, ast.FunctionDef) and node.name.startswith("test"):
                marks = self._marks(node.decorator_list).within(outer)
                road = road_of(self.path.stem, marks.road)
                for claim in marks.claims:
                    yield ClaimTest(claim, road, self.name, prefix + node.name, node.lineno)

    def _marks(self, expressions: Iterable[ast.expr]) -> _Marks:
        claims: list[str] = []
        road = None
        for expression in expressions:
            for node in ast.walk(expression):
                if isinstance(node, ast.Name) and node.id in self.named:
                    marks = self._marks([self.named[node.id]])
                    claims += marks.claims
                    road = marks.road or road
                elif isinstance(node, ast.Call) and (kind := _marker(node.func)) is not None:
                    value = self._literal(node, kind)
                    if kind == "claim":
                        claims.append(value)
                    else:
                        road = value
        return _Marks(tuple(dict.fromkeys(claims)), road)

    def _literal(self, call: ast.Call, kind: str) -> str:
        value = call.args[0].value if call.args and isinstance(call.args[0], ast.Constant) else None
        if len(call.args) != 1 or call.keywords or not isinstance(value, str):
            raise ValueError(
                f"A `{kind}` marker must hold one string. Got `{ast.unparse(call)}` in {self.name}, line {call.lineno}: "
                "write one marker for each."
            )
        if kind == "road" and value not in ROADS:
            raise ValueError(
                f"A `road` marker must name one of {', '.join(ROADS)}. Got {value!r} in {self.name}, line {call.lineno}."
            )
        return value


def _marker(function: ast.expr) -> str | None:
    """`claim` or `road` when the expression is `pytest.mark.claim` or `pytest.mark.road`."""
    if isinstance(function, ast.Attribute) and function.attr in ("claim", "road"):
        owner = function.value
        name = (
            owner.attr
            if isinstance(owner, ast.Attribute)
            else owner.id
            if isinstance(owner, ast.Name)
            else ""
        )
        return function.attr if name == "mark" else None
    return None
