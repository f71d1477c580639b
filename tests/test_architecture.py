"""Arrows point one way: the imports of the package, read from its source."""

import ast
import importlib
import io
import subprocess
import sys
import tokenize

import pytest
from architecture import IMPORTS, PACKAGE, README, ROOT, drawing, floors, imports_of, rewritten

import pctheory

NO_CODE = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
}
HEAVY = {
    "torch": {"nn"},
    "sympy": {"symbolic"},
    "matplotlib": {"plotting"},
    "seaborn": {"plotting"},
    "ipywidgets": {"explore"},
    "anywidget": {"explore"},
}


def modules():
    return sorted(p for p in PACKAGE.rglob("*.py") if p.parent != PACKAGE)


def package_of(path):
    return path.relative_to(PACKAGE).parts[0]


def top_names(path):
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add((node.module or "").split(".")[0])
    return names


@pytest.mark.parametrize("package", IMPORTS)
def test_a_package_imports_exactly_what_the_table_says(package):
    found = set().union(*(imports_of(p) for p in modules() if package_of(p) == package))
    assert found - {package, "_check", "_html"} == IMPORTS[package]


def test_every_module_belongs_to_a_package_of_the_table():
    assert {package_of(p) for p in modules()} == set(IMPORTS)
    assert {p.name for p in PACKAGE.glob("*.py")} == {"__init__.py", "__main__.py", "_check.py", "_html.py"}


def test_no_package_stands_below_what_it_imports():
    level = {package: n for n, names in enumerate(floors()) for package in names}
    assert all(level[below] < level[package] for package in IMPORTS for below in IMPORTS[package])


def test_the_modules_of_a_package_import_each_other_in_no_circle():
    for package in IMPORTS:
        graph = {
            p.stem: siblings(p) for p in modules() if p.parent == PACKAGE / package and p.stem != "__init__"
        }
        while graph:
            ready = {name for name, below in graph.items() if not below & graph.keys()}
            assert ready, f"{package}: {sorted(graph)} import each other in a circle"
            graph = {name: below for name, below in graph.items() if name not in ready}


def siblings(path):
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level == 1:
            found.update([node.module.split(".")[0]] if node.module else [a.name for a in node.names])
    return found


def test_the_drawing_in_the_readme_is_that_of_the_table():
    text = README.read_text()
    assert rewritten(text) == text, "run `make readme`"
    assert drawing() in text


def test_no_private_name_crosses_a_package():
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.ImportFrom)
                and node.level > 1
                and len(path.relative_to(PACKAGE).parts) == 2
            ):
                names = [*(node.module or "").split("."), *(alias.name for alias in node.names)]
                private = [name for name in names if name.startswith("_") and name not in ("_check", "_html")]
                assert not private, f"{path}: {private}"


@pytest.mark.parametrize("package", IMPORTS)
def test_no_module_hides_behind_a_name_of_its_package(package):
    """A submodule that shares its name with something the package exports could not be reached."""
    face = importlib.import_module(f"pctheory.{package}")
    exported = set(face.__all__) - {package}
    names = {p.stem for p in (PACKAGE / package).iterdir() if p.suffix == ".py" or p.is_dir()}
    assert not names & exported
    assert not set(pctheory.__all__) & set(IMPORTS)


def test_the_package_shows_its_public_names_and_no_others():
    assert set(dir(pctheory)) == {*pctheory.__all__, *IMPORTS, "__version__"}
    assert all(getattr(pctheory, name) is not None for name in dir(pctheory))
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = pctheory.nonsense


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_heavy_libraries_live_in_one_package_each(path):
    outside = top_names(path)
    for library, packages in HEAVY.items():
        assert library not in outside or package_of(path) in packages, (
            f"{library} is imported outside {packages}"
        )


@pytest.mark.parametrize(
    ("folder", "above"),
    [
        ("pctheory", {"experiments", "figures", "tests"}),
        ("experiments", {"figures", "tests"}),
        ("figures", {"tests"}),
    ],
)
def test_nothing_imports_upwards(folder, above):
    for path in (ROOT / folder).rglob("*.py"):
        assert not top_names(path) & above, path


def test_importing_the_package_loads_nothing_heavy():
    code = (
        "import sys, pctheory; "
        "heavy = {'torch','sympy','seaborn','matplotlib','jax','sklearn','pandas','ipywidgets'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert out.stdout.strip() == "[]"


def lines_of_code(path):
    """Lines of a module without docstrings, comments and blank lines."""
    lines = set()
    for token in tokenize.generate_tokens(io.StringIO(path.read_text()).readline):
        alone = token.line.strip().startswith(('"""', 'r"""'))
        if token.type not in NO_CODE and not (token.type == tokenize.STRING and alone):
            lines.update(range(token.start[0], token.end[0] + 1))
    return len(lines)


def test_every_module_fits_its_idea():
    long = {str(p.relative_to(ROOT)): n for p in modules() if (n := lines_of_code(p)) > 320}
    assert not long, f"split these: {long}"
