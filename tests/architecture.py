"""Which package may import which: the table that the code is held to, and the README's drawing of it.

`python tests/architecture.py` rewrites the drawing in the README.
"""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "pctheory"
README = ROOT / "README.md"
BEGIN, END = "<!-- layout:begin -->\n", "<!-- layout:end -->"

IMPORTS = {
    "plotting": set(),
    "linalg": {"plotting"},
    "model": {"linalg"},
    "inference": {"linalg", "model", "plotting"},
    "landscape": {"inference", "linalg", "model", "plotting"},
    "dynamics": {"inference", "landscape", "model", "plotting"},
    "trust_region": {"inference", "landscape", "model"},
    "learning": {"inference", "model", "plotting"},
    "limits": {"model", "plotting"},
    "related": {"inference", "model"},
    "datasets": {"model"},
    "nn": {"model", "plotting"},
    "symbolic": set(),
    "explore": {"dynamics", "inference", "landscape", "limits", "model", "plotting", "trust_region"},
    "sweeps": set(),
    "claims": set(),
}
"""What each package imports from the others: exactly this.

`_check` (arguments and error messages) and `_html` (what notebooks show) serve them all.
"""

THEORY = (
    *("linalg", "model", "inference", "landscape", "dynamics"),
    *("trust_region", "limits", "learning", "related"),
)
"""The packages of formulas."""

SAYS = {
    "linalg": "block-tridiagonal matrices, spectra",
    "model": "network, data, energy: definitions",
    "inference": "equilibrium, rates, solvers",
    "landscape": "objectives, Hessians, saddles",
    "dynamics": "gradient flow, balance",
    "trust_region": "the step, directions",
    "learning": "rules, comparison, trade-off",
    "limits": "initialisation, wide limits",
    "related": "Predify, state spaces",
    "datasets": "real images and ratings",
    "nn": "real training, in torch",
    "symbolic": "derivations, in sympy",
    "plotting": "style and panels, in matplotlib",
    "explore": "scenes to move, in Jupyter",
    "sweeps": "grids and seeds, kept and resumed",
    "claims": "the catalogue of results",
}


def imports_of(path: Path) -> set[str]:
    """The packages of pctheory, and private helper modules, that a file imports anywhere."""
    depth = len(path.relative_to(PACKAGE).parts)
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
            found.update(parts[1] for parts in names if parts[0] == "pctheory" and len(parts) > 1)
        elif isinstance(node, ast.ImportFrom):
            parts = (node.module or "").split(".") if node.module else []
            if node.level == 0 and parts[0] != "pctheory":
                continue
            if node.level not in (0, depth):
                continue
            inner = parts[1:] if node.level == 0 else parts
            found.update(inner[:1] or [alias.name for alias in node.names])
    return found


def floors() -> list[list[str]]:
    """The packages from the ground up: each stands above all that it imports."""
    level: dict[str, int] = {}
    while len(level) < len(IMPORTS):
        ready = [p for p, below in IMPORTS.items() if p not in level and below <= level.keys()]
        if not ready:
            raise ValueError(
                f"`IMPORTS` must have no circle. Got one among {sorted(IMPORTS.keys() - level.keys())}."
            )
        level.update({p: 1 + max((level[b] for b in IMPORTS[p]), default=-1) for p in ready})
    return [[p for p in IMPORTS if level[p] == n] for n in range(max(level.values()) + 1)]


def shown(package: str) -> set[str]:
    """The imports of a package without those that another of its imports brings along."""
    return {b for b in IMPORTS[package] if not any(b in _below(other) for other in IMPORTS[package])}


def _below(package: str) -> set[str]:
    return IMPORTS[package] | {deep for b in IMPORTS[package] for deep in _below(b)}


def drawing() -> str:
    """The packages as a Mermaid graph: an arrow is an import; those that a longer way shows are left out."""
    lines = ["```mermaid", "graph BT"]
    lines += [f'  {package}["<b>{package}</b><br>{SAYS[package]}"]' for package in IMPORTS]
    lines += [f"  {b} --> {package}" for package in IMPORTS for b in sorted(shown(package))]
    return "\n".join([*lines, "```", ""])


def rewritten(text: str) -> str:
    """A README's text with the drawing of today's table."""
    before, rest = text.split(BEGIN)
    return before + BEGIN + drawing() + END + rest.split(END, 1)[1]


if __name__ == "__main__":
    README.write_text(rewritten(README.read_text()))
