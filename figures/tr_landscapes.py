r"""Loss and equilibrated energy of the toy, with the paths of BP and PC.

What to see: BP bends towards the origin first and ends near (-.95, 1.05); PC goes directly and ends near
(-.68, 1.46).
"""

import numpy as np
from matplotlib.figure import Figure

from experiments import tr_landscapes
from experiments._result import Result
from experiments._store import Meta
from figures._outcome import Outcome, outcome
from pctheory import plotting

EXPERIMENT = tr_landscapes
TITLE = "Two paths past the saddle"
SOURCE = "TR 1"
SIZE = (5.5, 4.4)
_NAMES = {"bp": r"loss $\mathcal{L}$", "pc": r"equilibrated energy $F^*$"}
_PATHS = {"bp": ("BP", plotting.COLOURS["highlight"]), "pc": ("PC", plotting.COLOURS["trust-region"])}


def draw(fig: Figure, result: Result) -> None:
    """Top: surfaces. Bottom: contours, negative gradients and paths."""
    axis = result["axis"]
    for column, (rule, name) in enumerate(_NAMES.items()):
        part = result[rule]
        top = fig.add_subplot(2, 2, column + 1, projection="3d")
        plotting.surface(top, axis, axis, part["values"])
        top.set(xlabel="$w_1$", ylabel="$w_2$", title=name)
        top.view_init(elev=34, azim=-62)
        top.set_box_aspect((1, 1, 0.55), zoom=1.1)
        bottom = fig.add_subplot(2, 2, column + 3)
        plotting.contour(bottom, axis, axis, part["values"], field=tuple(part["field"]))
        first = np.linspace(-2, 2, 400)
        with np.errstate(divide="ignore"):
            second = np.where(np.abs(first) >= 0.5, -1 / first, np.nan)
        bottom.plot(first, second, color="white", lw=1.0, ls=":", zorder=4)
        label, color = _PATHS[rule]
        plotting.path(bottom, part["path"], color, label)
        bottom.set(
            xlabel="$w_1$", ylabel="$w_2$", aspect="equal", xticks=(-2, -1, 0, 1, 2), yticks=(-2, -1, 0, 1, 2)
        )
        bottom.legend(loc="upper right", fontsize=7.5)


def caption(result: Result, meta: Meta) -> str:
    """End points and eigenvalues, against the published ones."""
    ends = {rule: result[rule]["path"][-1] for rule in ("bp", "pc")}
    eigen = {rule: result[rule]["origin_eigenvalues"] for rule in ("bp", "pc")}
    near = {rule: result[rule]["nearest_to_origin"] for rule in ("bp", "pc")}
    return (
        rf"BP bends towards the saddle at the origin and passes it at a distance of {near['bp']:.2f}; PC "
        rf"keeps {near['pc']:.2f} away, because the energy attracts less there and repels more. The toy $f = "
        r"w_2 w_1 x$, $y = -x$, $x \sim N(1, 0.1^2)$: surfaces (top), contours with the negative gradient "
        "and stochastic descent from $(0.744, 0.94)$ (bottom; dotted: the solutions). Batches of "
        rf"{meta.config['batch_size']}, learning rate {meta.config['learning_rate']:g} for both, at one "
        rf"scale. Ends: BP $({ends['bp'][0]:.2f}, {ends['bp'][1]:.2f})$ (published: near $(-0.95, 1.05)$), "
        rf"PC $({ends['pc'][0]:.2f}, {ends['pc'][1]:.2f})$ ($(-0.68, 1.46)$). Eigenvalues at the origin: "
        rf"${eigen['bp'][0]:.3f}, {eigen['bp'][1]:.3f}$ (loss), ${eigen['pc'][0]:.3f}, {eigen['pc'][1]:.3f}$ "
        rf"(energy). ({meta.setting}.)"
    )


def numbers(result: Result) -> dict[str, str | float]:
    """End points."""
    return {
        f"{rule}-end": "(" + ", ".join(f"{w:.2f}" for w in result[rule]["path"][-1]) + ")"
        for rule in ("bp", "pc")
    }


def outcomes(result: Result, meta: Meta) -> list[Outcome]:
    """Where the two paths end."""
    published = {"bp": (-0.95, 1.05), "pc": (-0.68, 1.46)}
    near = {rule: result[rule]["nearest_to_origin"] for rule in published}
    return [
        *(
            outcome(
                f"{rule.upper()} ends near {end}",
                str(numbers(result)[f"{rule}-end"]),
                bool(np.allclose(result[rule]["path"][-1], end, atol=0.05)),
            )
            for rule, end in published.items()
        ),
        outcome(
            "BP bends towards the saddle, PC does not",
            f"nearest to the origin: BP {near['bp']:.2f}, PC {near['pc']:.2f}",
            bool(near["bp"] < near["pc"]),
        ),
    ]
