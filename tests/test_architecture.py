"""Arrows point one way: the imports of the package, read from its source."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "pctheory"

# what a module may import from the package; private helpers may be imported everywhere
ALLOWED = {
    "_check": set(),
    "parameterisation": set(),
    "precision": set(),
    "_block_kernels": set(),
    "_block_spectrum": {"block_tridiagonal"},  # for the type of a matrix only
    "block_tridiagonal": set(),
    "data": {"network"},  # for the type of a teacher only
    "datasets": {"data"},
    "network": {"parameterisation", "precision"},
    "energy": {"block_tridiagonal", "data", "network"},
    "equilibrium": {"data", "energy", "network"},
    "objectives": {"block_tridiagonal", "data", "energy", "equilibrium", "network"},
    "landscape": {"data", "energy", "equilibrium", "network", "objectives", "parameterisation"},
    "flow": {"data", "energy", "equilibrium", "network", "objectives"},
    "saddles": {"data", "energy", "equilibrium", "flow", "landscape", "network", "objectives"},
    "trust_region": {"data", "energy", "equilibrium", "error_coordinates", "network"},
    "directions": {
        "data",
        "energy",
        "equilibrium",
        "inference",
        "network",
        "objectives",
        "trust_region",
    },
    "error_coordinates": {"data", "energy", "equilibrium", "network"},
    "curvature": {"energy", "equilibrium", "network"},
    "inference": {
        "block_tridiagonal",
        "curvature",
        "data",
        "energy",
        "equilibrium",
        "error_coordinates",
        "network",
    },
    "arrival": {"data", "energy", "inference", "network"},
    "solvers": {"data", "energy", "equilibrium", "error_coordinates", "inference", "network"},
    "limits": {"data", "energy", "equilibrium", "network", "parameterisation", "precision"},
    "mean_field": {"data", "parameterisation", "precision"},
    "random_matrix": {"limits", "parameterisation"},
    "clamping": {"block_tridiagonal", "energy", "network", "precision"},
    "credit": {
        "arrival",
        "clamping",
        "data",
        "energy",
        "equilibrium",
        "error_coordinates",
        "inference",
        "network",
    },
    "tradeoff": {"data"},
    "predify": {"network"},
    "claims": set(),
    "symbolic": set(),
    "nn": {"network", "data", "parameterisation", "precision"},
    "plotting": {"block_tridiagonal"},
}
HEAVY = {
    "torch": {"nn"},
    "sympy": {"symbolic"},
    "matplotlib": {"plotting"},
    "seaborn": {"plotting"},
}


def modules():
    return sorted(p for p in PACKAGE.rglob("*.py") if p != PACKAGE / "__init__.py")


def room(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path):
    """(top-level names, rooms of pctheory) that a file imports anywhere, type-checking blocks included."""
    outside, inside = set(), set()
    depth = len(path.relative_to(PACKAGE).parts)
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                parts = alias.name.split(".")
                (inside.add(parts[1]) if parts[0] == "pctheory" and len(parts) > 1 else outside.add(parts[0]))
        elif isinstance(node, ast.ImportFrom):
            parts = (node.module or "").split(".")
            if node.level == 0 and parts[0] != "pctheory":
                outside.add(parts[0])
            elif node.level == 0 or node.level == depth:
                names = parts[1:] if node.level == 0 else [p for p in parts if p]
                inside.update([names[0]] if names else [alias.name for alias in node.names])
    return outside, inside


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_one_way(path):
    _, inside = imports(path)
    home = room(path)
    assert home in ALLOWED, (
        f"{home} has no place in the layout: add it to ALLOWED and to the README's picture"
    )
    private = {name for name in inside if name.startswith("_")}
    assert inside - private - {home} <= ALLOWED[home]
    if home in ("symbolic", "block_tridiagonal") and home == "symbolic":
        assert not inside - {home}


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_heavy_libraries_live_in_one_room_each(path):
    outside, _ = imports(path)
    for library, rooms in HEAVY.items():
        assert library not in outside or room(path) in rooms, f"{library} is imported outside {rooms}"


@pytest.mark.parametrize("folder", ["pctheory", "figures"])
def test_nothing_imports_upwards(folder):
    for path in (ROOT / folder).rglob("*.py"):
        outside = imports(path)[0] if folder == "pctheory" else top_names(path)
        above = {"experiments", "figures", "tests"} if folder == "pctheory" else {"tests"}
        assert not outside & above, path


def top_names(path):
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add((node.module or "").split(".")[0])
    return names


def test_importing_the_package_loads_nothing_heavy():
    code = (
        "import sys, pctheory; "
        "print(sorted({'torch','sympy','seaborn','matplotlib','jax','sklearn','pandas'} & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert out.stdout.strip() == "[]"


def test_every_module_fits_its_idea():
    long = {str(p.relative_to(ROOT)): n for p in modules() if (n := len(p.read_text().splitlines())) > 420}
    assert not long, f"split these: {long}"
