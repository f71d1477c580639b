"""Landscapes, inference and trust regions to be looked at and moved: scenes, and their controls in Jupyter.

``pctheory.explore()`` shows every scene with its controls (it needs ``pip install pctheory[notebook]``). A
scene alone is a figure whose settings are moved by `Scene.move`; it needs nothing but matplotlib.

>>> import pctheory as pt
>>> scene = pt.explore.Plane(pt.LinearPCN.zeros((1, 1, 1, 1)), pt.Data([[1.0]], [[-1.0]]))
>>> scene.move(inference=1.0, right=0.0, up=0.0)
>>> scene.note
'F* at the point: 0.5; the loss: 0.5; a critical point of F*: strict saddle; of the loss: degenerate.'
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from ..model import Data
from ._deformation import Deformation, deformation
from ._directions import DIRECTIONS, direction, plane_of
from ._inference import METHODS, Descent, Inference, descent
from ._paths import RULES, rule_path
from ._plane import Plane
from ._problems import PROBLEMS, problem
from ._scene import Choice, Scene, Slider, Toggle
from ._sizes import Sizes
from ._trust_region import TrustRegion

__all__ = [
    "DIRECTIONS",
    "METHODS",
    "PROBLEMS",
    "RULES",
    "Choice",
    "Deformation",
    "Descent",
    "Inference",
    "Plane",
    "Scene",
    "Sizes",
    "Slider",
    "Toggle",
    "TrustRegion",
    "deformation",
    "descent",
    "direction",
    "explore",
    "plane_of",
    "problem",
    "rule_path",
]


def explore(net: Any = None, data: Data | None = None) -> Any:
    """Every scene with its controls, for a notebook.

    Parameters
    ----------
    net : LinearPCN or torch.nn.Module, optional
        A linear network without biases; by default toy problems to choose from.
    data : Data, optional
        Its data; by default the answers of a random linear teacher.

    Returns
    -------
    ipywidgets.Widget
        One tab a scene.

    Raises
    ------
    ModuleNotFoundError
        Without ipywidgets and anywidget.
    TypeError
        If there are data and no network.
    ValueError
        If the widths do not fit the data, or the network has biases.
    """
    try:
        from ._widgets import tabs
    except ModuleNotFoundError as missing:
        raise ModuleNotFoundError(
            f"The controls need {missing.name}, which is not installed: `pip install pctheory[notebook]`. "
            "The scenes alone, as `pctheory.explore.Plane(net, data)`, do not."
        ) from missing
    return tabs(net, data)


class _Callable(ModuleType):
    """The package is itself the function: ``pctheory.explore(net, data)``."""

    def __call__(self, net: Any = None, data: Data | None = None) -> Any:
        return explore(net, data)


sys.modules[__name__].__class__ = _Callable
