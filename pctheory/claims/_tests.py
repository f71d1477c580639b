"""What the checkout has of a claim: the tests, read from their source without importing them, and the file
that computes it.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ._claim import EVIDENCE, Claim

__all__ = ["ROOT", "ClaimTest", "evidence_of", "find_tests", "source_file"]

ROOT = Path(__file__).resolve().parents[2]
"""The checkout: `tests/` and `paper/` lie beside the package."""

_PREFIXES = {"test_symbolic_": "symbolic", "test_nn_": "empirical"}


@dataclass(frozen=True, order=True)
class ClaimTest:
    """A test function that verifies a claim.

    Attributes
    ----------
    claim : str
        The id in its marker.
    evidence : str
        One of `EVIDENCE`.
    path : str
        The file, from the root of the checkout.
    name : str
        `test_name` or `TestClass::test_name`.
    line : int
        Where it stands in the file.
    """

    claim: str
    evidence: str
    path: str
    name: str
    line: int


def evidence_of(stem: str, marked: str | None = None) -> str:
    """What kind of check a test is: its marker says so, or else the name of its file.

    Parameters
    ----------
    stem : str
        The file's name without its suffix.
    marked : None or str
        The argument of the test's marker, if it has one.

    Returns
    -------
    str
        One of `EVIDENCE`.


    Examples
    --------
    >>> evidence_of("test_symbolic_chain"), evidence_of("test_energy", "empirical")
    ('symbolic', 'empirical')
    """
    if marked is not None:
        return marked
    return next((evidence for prefix, evidence in _PREFIXES.items() if stem.startswith(prefix)), "numerical")


def find_tests(folder: Path = ROOT / "tests") -> tuple[ClaimTest, ...]:
    """Every (test, claim) pair below `folder`, sorted by claim, kind of check and place.

    Markers count on functions, on classes, in `pytestmark` and in `pytest.param(..., marks=...)`, written out
    or by a name that the module gives them.

    Returns
    -------
    tuple of ClaimTest
        One for each pair.

    Raises
    ------
    ValueError
        If a marker's argument is not one plain string: the source is read, not run.
    """
    found: list[ClaimTest] = []
    for path in sorted(folder.rglob("test_*.py")):
        text = path.read_text()
        if "claim" in text:
            found += _File(path, path.relative_to(folder.parent).as_posix(), ast.parse(text)).tests()
    return tuple(sorted(found))


def source_file(claim: Claim) -> str:
    """The file that defines the object named by `claim.where`, from the root of the checkout.

    Parameters
    ----------
    claim : Claim
        One claim of the catalogue.

    Returns
    -------
    str
        A path with forward slashes.

    Examples
    --------
    >>> from pctheory.claims import claims
    >>> source_file(claims["error-coordinates"])
    'pctheory/inference/error_coordinates.py'
    """
    # a decorated function is found where it is written, not where its decorator is
    file = inspect.getsourcefile(inspect.unwrap(claim.resolve()))  # type: ignore[arg-type]
    return Path(file or "").resolve().relative_to(ROOT).as_posix()


@dataclass(frozen=True)
class _Marks:
    claims: tuple[str, ...] = ()
    evidence: str | None = None

    def within(self, outer: _Marks) -> _Marks:
        """These marks on something that lies in a class or module with the marks `outer`."""
        return _Marks(tuple(dict.fromkeys((*outer.claims, *self.claims))), self.evidence or outer.evidence)


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
                evidence = evidence_of(self.path.stem, marks.evidence)
                for claim in marks.claims:
                    yield ClaimTest(claim, evidence, self.name, prefix + node.name, node.lineno)

    def _marks(self, expressions: Iterable[ast.expr]) -> _Marks:
        claims: list[str] = []
        evidence = None
        for expression in expressions:
            for node in ast.walk(expression):
                if isinstance(node, ast.Name) and node.id in self.named:
                    marks = self._marks([self.named[node.id]])
                    claims += marks.claims
                    evidence = marks.evidence or evidence
                elif isinstance(node, ast.Call) and (kind := _marker(node.func)) is not None:
                    value = self._literal(node, kind)
                    if kind == "claim":
                        claims.append(value)
                    else:
                        evidence = value
        return _Marks(tuple(dict.fromkeys(claims)), evidence)

    def _literal(self, call: ast.Call, kind: str) -> str:
        value = call.args[0].value if call.args and isinstance(call.args[0], ast.Constant) else None
        if len(call.args) != 1 or call.keywords or not isinstance(value, str):
            raise ValueError(
                f"A `{kind}` marker must hold one string. Got `{ast.unparse(call)}` in {self.name}, line "
                f"{call.lineno}: write one marker for each."
            )
        if kind == "evidence" and value not in EVIDENCE:
            raise ValueError(
                f"An `evidence` marker must name one of {', '.join(EVIDENCE)}. Got {value!r} in {self.name}, "
                f"line {call.lineno}."
            )
        return value


def _marker(function: ast.expr) -> str | None:
    """`claim` or `evidence` when the expression is `pytest.mark.claim` or `pytest.mark.evidence`."""
    if isinstance(function, ast.Attribute) and function.attr in ("claim", "evidence"):
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
