"""The reference: one page for each package, and on these pages every public name once."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import textwrap
from itertools import pairwise
from types import ModuleType

import pctheory

__all__ = ["PACKAGES", "entries", "pages"]

PACKAGES = {
    "Theory": (
        "model",
        "inference",
        "landscape",
        "dynamics",
        "trust_region",
        "limits",
        "learning",
        "related",
        "linalg",
    ),
    "Training": ("nn", "datasets", "sweeps"),
    "To look at": ("explore", "plotting", "symbolic", "claims"),
}
"""The packages in reading order."""

_TOP = (
    "Every public name stands once, on the page of its package. Those that are needed most can also be had "
    "from ``pctheory`` itself, as ``pctheory.equilibrium``:"
)
_DIRECTIVES = {"Functions": "autofunction", "Classes": "autoclass", "Values": "py:data"}


def pages() -> dict[str, str]:
    """The sources of the pages, in reStructuredText, by their path."""
    made = {"reference/index.rst": _index()}
    for packages in PACKAGES.values():
        made |= {f"reference/{name}.rst": _page(name) for name in packages}
    return made


def entries(name: str) -> dict[str, list[str]]:
    """What a package exports: functions, classes and values."""
    package = _package(name)
    found: dict[str, list[str]] = {kind: [] for kind in _DIRECTIVES}
    for public in package.__all__:
        value = getattr(package, public)
        kind = "Functions" if inspect.isroutine(value) else "Classes" if inspect.isclass(value) else "Values"
        found[kind].append(public)
    return found


def _package(name: str) -> ModuleType:
    return importlib.import_module(f"pctheory.{name}")


def _index() -> str:
    parts = [
        _heading("Reference", "="),
        _TOP,
        ", ".join(f":py:obj:`~{_home(name)}`" for name in pctheory.__all__) + ".",
    ]
    for heading, packages in PACKAGES.items():
        rows = "\n".join(f"* :doc:`{name}`: {_first(_package(name))}" for name in packages)
        names = "\n   ".join(packages)
        parts += [_heading(heading, "-"), rows, f".. toctree::\n   :hidden:\n\n   {names}"]
    return "\n\n".join(parts) + "\n"


def _home(name: str) -> str:
    """Where a name of the top level is made."""
    for packages in PACKAGES.values():
        for package in packages:
            if name in _package(package).__all__:
                return f"pctheory.{package}.{name}"
    raise LookupError(f"`pctheory.{name}` must be exported by a package as well.")


def _page(name: str) -> str:
    parts = [_heading(f"pctheory.{name}", "="), f".. automodule:: pctheory.{name}"]
    for kind, names in entries(name).items():
        if names:
            parts.append(_heading(kind, "-"))
        for public in names:
            parts.append(_entry(f"pctheory.{name}", public, kind))
    return "\n\n".join(parts) + "\n"


def _entry(package: str, name: str, kind: str) -> str:
    directive = f".. {_DIRECTIVES[kind]}:: {package}.{name}"
    if kind == "Classes":
        return f"{directive}\n   :members:"
    if kind == "Values":
        return f"{directive}\n\n{textwrap.indent(_said(package, name), '   ')}"
    return directive


def _said(package: str, name: str) -> str:
    """The text below the assignment of a value; of an object that is documented by its class, that of the
    class.
    """
    module = importlib.import_module(package)
    for info in [None, *pkgutil.iter_modules(module.__path__)]:
        inner = module if info is None else importlib.import_module(f"{package}.{info.name}")
        body = ast.parse(inspect.getsource(inner)).body
        for statement, following in pairwise(body):
            targets = getattr(statement, "targets", [getattr(statement, "target", None)])
            if any(isinstance(target, ast.Name) and target.id == name for target in targets):
                match following:
                    case ast.Expr(ast.Constant(str(text))):
                        return inspect.cleandoc(text)
    value = getattr(module, name)
    if isinstance(value, tuple | dict):
        return ", ".join(f"``{key}``" for key in value)
    return f"A :py:class:`~{package}.{type(value).__name__}`."


def _first(package: ModuleType) -> str:
    """The first sentence of what a package says of itself."""
    text = " ".join((inspect.getdoc(package) or "").partition("\n\n")[0].split())
    return text[:1].lower() + text[1:]


def _heading(text: str, line: str) -> str:
    return f"{text}\n{line * len(text)}"
