"""The controls of the scenes in Jupyter. ipywidgets and anywidget live only here."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import Any

import anywidget
import ipywidgets
import traitlets

from ..model import Data
from ._inference import Inference
from ._plane import Plane
from ._problems import PROBLEMS, given, problem
from ._scene import Choice, Control, Scene, Slider
from ._sizes import Sizes
from ._trust_region import TrustRegion

__all__ = ["Canvas", "panel", "tabs"]

SCENES: dict[str, Callable[..., Scene]] = {
    "Plane": Plane,
    "Inference": Inference,
    "Trust region": TrustRegion,
    "Depth and width": Sizes,
}

SHOWS = """
function render({ model, el }) {
  const image = document.createElement("img");
  image.style.cssText = "max-width:100%;background:white;touch-action:none;cursor:crosshair";
  image.draggable = false;
  image.alt = "";
  el.appendChild(image);
  let url = null, from = null, busy = false, waiting = null;
  const show = () => {
    const old = url;
    url = URL.createObjectURL(new Blob([model.get("picture")], { type: "image/jpeg" }));
    image.src = url;
    if (old) URL.revokeObjectURL(old);
    busy = false;
    if (waiting) { const next = waiting; waiting = null; send(next); }
  };
  const send = (where) => {
    if (busy) { waiting = where; return; }
    busy = true;
    setTimeout(() => { busy = false; }, 500);
    model.set("pointer", where);
    model.save_changes();
  };
  const place = (event) => {
    const box = image.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, 1 - (event.clientY - box.top) / box.height];
  };
  image.addEventListener("pointerdown", (event) => {
    image.setPointerCapture(event.pointerId);
    from = place(event);
    send([...from, 0, 0, performance.now()]);
  });
  image.addEventListener("pointermove", (event) => {
    if (!from || busy) return;
    const to = place(event);
    send([...to, to[0] - from[0], to[1] - from[1], performance.now()]);
    from = to;
  });
  image.addEventListener("pointerup", () => { from = null; });
  model.on("change:picture", show);
  show();
}
export default { render };
"""


class Canvas(anywidget.AnyWidget):
    """A picture that says where it is touched: (across, up, shift across, shift up, clock)."""

    _esm = SHOWS
    picture = traitlets.Bytes().tag(sync=True)
    pointer = traitlets.List(traitlets.Float()).tag(sync=True)


def panel(scene: Scene) -> ipywidgets.Widget:
    """A scene with a control for each of its settings.

    Returns
    -------
    ipywidgets.VBox
        The canvas, the note and the controls; ``.canvas``, ``.note`` and ``.controls`` by name.
    """
    canvas, note = Canvas(picture=scene.stage.jpeg()), ipywidgets.HTML(escape(scene.note))
    controls = {
        name: _control(control, scene.settings[name], name) for name, control in scene.CONTROLS.items()
    }

    def show(**changes: Any) -> None:
        try:
            scene.move(**changes)
        except (ValueError, TypeError) as refused:
            note.value = f"<b>{escape(str(refused))}</b>"
            for name in changes:
                controls[name].value = scene.settings[name]
            return
        canvas.picture = scene.stage.jpeg()
        note.value = escape(scene.note)

    def moved(change: Any) -> None:
        name = next(n for n, control in controls.items() if control is change.owner)
        if scene.settings[name] != change.new:
            show(**{name: change.new})

    def touched(change: Any) -> None:
        across, up, right, above, _ = change.new
        if changes := scene.point(across, up, (right, above)):
            show(**changes)
            for name in changes:  # they find nothing to do: the scene is there already
                controls[name].value = scene.settings[name]

    for control in controls.values():
        control.observe(moved, "value")
    canvas.observe(touched, "pointer")
    layout = ipywidgets.Layout(display="flex", flex_flow="row wrap")
    box = ipywidgets.VBox([canvas, note, ipywidgets.Box(list(controls.values()), layout=layout)])
    box.canvas, box.note, box.controls = canvas, note, controls
    return box


def tabs(net: Any, data: Data | None) -> ipywidgets.Widget:
    """All scenes, one a tab; the scene of a tab is made when it is first opened."""
    if net is not None or data is not None:
        return _scenes(*given(net, data, PROBLEMS[0]))
    chosen = ipywidgets.Dropdown(options=list(PROBLEMS), description="problem")
    place = ipywidgets.VBox([_scenes(*problem(chosen.value))])

    def change(event: Any) -> None:
        place.children = [_scenes(*problem(event.new))]

    chosen.observe(change, "value")
    return ipywidgets.VBox([chosen, place])


def _scenes(net: Any, data: Data | None) -> ipywidgets.Tab:
    places = [ipywidgets.VBox() for _ in SCENES]
    tab = ipywidgets.Tab(places, titles=list(SCENES))

    def open_tab(index: int | None) -> None:
        if index is None or places[index].children:
            return
        kind = list(SCENES.values())[index]
        try:
            places[index].children = [panel(kind() if kind is Sizes else kind(net, data))]
        except (ValueError, TypeError) as refused:
            places[index].children = [ipywidgets.HTML(f"<b>{escape(str(refused))}</b>")]

    tab.observe(lambda event: open_tab(event.new), "selected_index")
    tab.selected_index = 0
    open_tab(0)
    return tab


def _control(control: Control, value: Any, name: str) -> ipywidgets.Widget:
    layout = ipywidgets.Layout(width="340px", max_width="100%")
    style = {"description_width": "160px"}
    common = {"description": control.label, "layout": layout, "style": style, "tooltip": name}
    if isinstance(control, Choice):
        return ipywidgets.Dropdown(options=list(control.options), value=value, **common)
    if isinstance(control, Slider):
        whole = float(control.step).is_integer() and isinstance(value, int)
        kind = ipywidgets.IntSlider if whole else ipywidgets.FloatSlider
        cast = int if whole else float
        return kind(
            value=value, min=cast(control.low), max=cast(control.high), step=cast(control.step), **common
        )
    return ipywidgets.Checkbox(value=value, indent=False, **{**common, "layout": {"width": "120px"}})
