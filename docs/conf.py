"""The settings of Sphinx. `python -m docs` writes the sources that they are applied to."""

import os
import re
import sys
from importlib.metadata import distribution
from pathlib import Path

from sphinx.application import Sphinx

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

import pctheory
from pctheory.claims import claims

project = "pctheory"
copyright = "the pctheory developers"
version = release = pctheory.__version__
extensions = ["sphinx.ext.autodoc", "sphinx.ext.mathjax", "numpydoc", "myst_nb", "sphinx_copybutton"]
exclude_patterns = ["_*"]
default_role = "py:obj"

html_theme = "furo"
html_title = "pctheory"
html_show_sourcelink = html_copy_source = False
# One file of MathJax that draws formulas as SVG: no fonts, nothing from the network.
MATHJAX = distribution("sphinx-mathjax-offline").locate_file(
    "sphinx-mathjax-offline/static/mathjax/tex-svg.js"
)
html_static_path = [str(HERE / "static"), str(MATHJAX)]
html_css_files = ["style.css"]
html_js_files = [("landscape.js", {"defer": "defer"})]
mathjax_path = "tex-svg.js"
mathjax3_config = {
    "options": {"enableMenu": False},
    "tex": {"inlineMath": [["\\(", "\\)"], ["$", "$"]]},
}

myst_enable_extensions = ["dollarmath", "amsmath", "colon_fence"]
myst_heading_anchors = 2
myst_mathjax_classes = "tex2jax_process|mathjax_process|math|output_area|text_html"  # what a repr writes too
suppress_warnings = ["mystnb.unknown_mime_type"]

autodoc_typehints = "none"  # the docstrings say shapes and meanings
autodoc_member_order = "bysource"
numpydoc_show_class_members = False

nb_execution_mode = os.environ.get("DOCS_NOTEBOOKS", "cache")
nb_merge_streams = True
nb_execution_timeout = 600
nb_execution_raise_on_error = True
nb_ipywidgets_js: dict[str, object] = {}  # they would come from the network

_CODE = re.compile(r"``([a-z0-9]+(?:-[a-z0-9]+)*)``")


def _link_claims(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Turn the ids of claims in a docstring into links to their pages."""
    for i, line in enumerate(lines):
        lines[i] = _CODE.sub(
            lambda found: f":doc:`/claims/{found[1]}`" if found[1] in claims else found[0], line
        )


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", _link_claims)
