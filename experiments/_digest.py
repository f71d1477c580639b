"""Which experiment code a result belongs to.

The code that counts is the syntax tree of the experiment's module and of the helper modules of this package
that it imports, without comments, docstrings, formatting, `PROFILES`, `ANALOGUE` and the defaults of `Config`
(their values count as settings). `pctheory` does not count, nor from which of its modules a name is imported:
refactoring it must not throw results away; a test recomputes committed results instead.
"""

from __future__ import annotations

import ast
import hashlib
import json
from pathlib import Path
from types import ModuleType

_INFRASTRUCTURE = frozenset({"_store", "_digest", "_progress", "_result", "__main__", "__init__"})
_NO_CODE = frozenset({"PROFILES", "ANALOGUE"})


def code_digest(module: ModuleType) -> str:
    """Hash of the syntax of a module and of all helper modules of its package that it imports."""
    package = module.__name__.rpartition(".")[0]
    folder = Path(str(module.__file__)).parent
    trees: dict[str, ast.Module] = {}
    pending = [module.__name__.rpartition(".")[2]]
    while pending:
        name = pending.pop()
        path = folder / f"{name}.py"
        if name in trees or name in _INFRASTRUCTURE or not path.exists():
            continue
        trees[name] = ast.parse(path.read_text(encoding="utf-8"))
        pending += _siblings(trees[name], package)
    return digest({name: _syntax(tree) for name, tree in trees.items()})


def _siblings(tree: ast.Module, package: str) -> list[str]:
    """Names of modules of `package` that `tree` imports; names that are no module fall out later."""
    found: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [a.name[len(package) + 1 :] for a in node.names if a.name.startswith(f"{package}.")]
        elif isinstance(node, ast.ImportFrom):
            source = f"{package}.{node.module or ''}".rstrip(".") if node.level == 1 else node.module or ""
            if source == package:
                found += [a.name for a in node.names]
            elif source.startswith(f"{package}."):
                found.append(source[len(package) + 1 :])
    return [name.partition(".")[0] for name in found]


def _syntax(node: object) -> object:
    """The syntax tree as plain lists, the same for every Python version.

    `ast.dump` prints new empty fields.
    """
    if isinstance(node, list):
        return [_syntax(item) for item in node if not any(ignored(item) for ignored in _IGNORED)]
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = {name: value for name, value in ast.iter_fields(node) if name != "type_comment"}
    if isinstance(node, ast.ClassDef) and node.name == "Config":
        fields["body"] = [
            _without_default(item) if isinstance(item, ast.AnnAssign) else item for item in node.body
        ]
    return [type(node).__name__, {k: _syntax(v) for k, v in fields.items() if v is not None and v != []}]


def _without_default(node: ast.AnnAssign) -> ast.AnnAssign:
    return ast.AnnAssign(target=node.target, annotation=node.annotation, value=None, simple=node.simple)


def _is_docstring(node: object) -> bool:
    """A string that stands alone as a statement has no effect, wherever it stands."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _is_no_code(node: object) -> bool:
    target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
    return (
        isinstance(node, ast.Assign | ast.AnnAssign)
        and isinstance(target, ast.Name)
        and target.id in _NO_CODE
    )


def _is_library_import(node: object) -> bool:
    """An import from `pctheory`, whatever the module."""
    if isinstance(node, ast.Import):
        return all(alias.name.partition(".")[0] == "pctheory" for alias in node.names)
    return (
        isinstance(node, ast.ImportFrom)
        and node.level == 0
        and (node.module or "").partition(".")[0] == "pctheory"
    )


_IGNORED = (_is_docstring, _is_no_code, _is_library_import)


def digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]
